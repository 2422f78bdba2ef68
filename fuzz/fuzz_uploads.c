/* Bodies of uploads, to begin and to complete one: each is refused with a reason, or what it says
 * is in its bounds. */
#include "api/uploads.h"

#include "api/api_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool yes)
{
	if (!yes)
		__builtin_trap();
}

static void begin(struct str body, struct arena *a)
{
	struct upload_new n;
	struct api_error x = {0};
	enum err e = uploads_parse_begin(body, a, &n, &x);
	must(!e || x.et.msg[0]);
	if (e)
		return;
	must(n.name.n && n.name.n <= FILE_NAME_MAX && n.purpose.n);
	must(n.bytes >= 1 && n.bytes <= UPLOAD_BYTES_MAX);
	must(!n.lives_ms || (n.lives_ms >= FILE_LIVES_MIN_S * 1000ll &&
				    n.lives_ms <= FILE_LIVES_MAX_S * 1000ll));
}

static void complete(struct str body, struct arena *a)
{
	struct upload_parts p;
	struct api_error x = {0};
	unsigned sum = 0;
	enum err e = uploads_parse_parts(body, a, &p, &x);
	must(!e || x.et.msg[0]);
	if (e)
		return;
	must(p.n && p.n <= UPLOADS_PARTS_MAX && (!p.md5.n || p.md5.n == 32));
	for (size_t i = 0; i < p.n; i++)
		sum += p.id[i].b[15];
	must(sum <= 255 * p.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str body = str_mk((const char *)data, size);
	struct arena *a = arena_new(0);
	if (!a)
		return 0;
	begin(body, a);
	complete(body, a);
	arena_free(a);
	return 0;
}
