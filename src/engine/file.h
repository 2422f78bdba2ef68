/* The files that a model is made of, as they are read: whoever opens a model may look at each of
 * them before anything of it is used, in the very bytes that will be used. */
#ifndef ENGINE_FILE_H
#define ENGINE_FILE_H
#include "base/os.h"

struct file_check {
	/* An error ends the opening. Called once for each file, from the thread that opens. */
	enum err (*fn)(void *ctx, const char *path, struct str bytes, struct errtext *et);
	void *ctx;
};

/* check NULL, or without fn: none. */
enum err file_map(const char *path, const struct file_check *check, struct os_map *out,
	struct errtext *et) MUST_CHECK;
enum err file_read(const char *path, size_t max, const struct file_check *check, struct buf *out,
	struct errtext *et) MUST_CHECK;

#endif
