/* What a blob backend is: a scheme and a table of functions (listed in blob.c). Names are SHA-256
 * in hex, checked by blob.c; so are content and name of a put. */
#ifndef STORE_BLOB_INT_H
#define STORE_BLOB_INT_H
#include "store/blob.h"

struct blob_backend {
	const char *scheme;
	enum err (*open)(const char *at, void **ctx, struct errtext *et);
	void (*close)(void *ctx);
	/* Returns when the bytes are on stable storage; what was there already and is the same
	 * counts as new for `sweep`. */
	enum err (*put)(void *ctx, const char *hex, struct str data, struct errtext *et);
	enum err (*get)(void *ctx, const char *hex, struct os_map *out, struct errtext *et);
	bool (*exists)(void *ctx, const char *hex);
	enum err (*remove)(void *ctx, const char *hex, struct errtext *et);
	enum err (*sweep)(void *ctx, bool (*keep)(void *kctx, const char *hex), void *kctx,
		uint64_t *freed, struct errtext *et);
};

extern const struct blob_backend blob_file;

/* The calls of blob_file.c that can fail on a bad day; tests put failing ones in their place. */
struct blob_sys {
	ssize_t (*write)(int fd, const void *p, size_t n);
	int (*fsync)(int fd);
	int (*rename)(const char *from, const char *to);
};
extern struct blob_sys blob_sys;

#endif
