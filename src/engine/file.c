/* Files of a model: mapped or read, looked at, and only then given out. */
#include "engine/file.h"

static enum err look(
	const struct file_check *check, const char *path, struct str bytes, struct errtext *et)
{
	return check && check->fn ? check->fn(check->ctx, path, bytes, et) : OK;
}

enum err file_map(
	const char *path, const struct file_check *check, struct os_map *out, struct errtext *et)
{
	struct os_map map;
	enum err e = os_map_file(path, &map, et);
	if (e)
		return e;
	e = look(check, path, str_mk(map.p ? map.p : "", map.n), et);
	if (e)
		os_unmap(&map);
	else
		*out = map;
	return e;
}

enum err file_read(const char *path, size_t max, const struct file_check *check, struct buf *out,
	struct errtext *et)
{
	enum err e = os_read_file(path, max, out, et);
	return e ? e : look(check, path, buf_str(out), et);
}
