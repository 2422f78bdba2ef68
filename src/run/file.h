/* Files of runs: paths of a project ("3/<run id>/artifacts/model/MLmodel") and the blobs that they
 * name. A path is relative, without empty, "." or ".." segments, in whatever encoding. A folder is
 * there as long as something was put below it and the folder itself was not removed.
 *
 * The blob is durable before its path is; a path never names half a file. */
#ifndef RUN_FILE_H
#define RUN_FILE_H
#include "module/module.h"

struct run_file {
	struct str name; /* the last segment */
	char blob[65];   /* "": a folder */
	int64_t size, created_ms;
};

/* ERR_INVALID for a path that is not as said above; "" is the root where `root` allows it. */
enum err run_file_path(struct str path, bool root, struct errtext *et) MUST_CHECK;
/* ERR_CONFLICT when the path is a folder's, or a file's is among its folders. */
enum err run_file_put(struct croft *c, struct str project, struct str path, struct str data,
	struct errtext *et) MUST_CHECK;
enum err run_file_get(struct croft *c, struct str project, struct str path, struct run_file *out,
	struct errtext *et) MUST_CHECK;
/* What is in a folder, by name; of a folder that is not there: nothing. Of a file: nothing. */
enum err run_file_list(struct croft *c, struct str project, struct str folder, struct arena *a,
	struct run_file **list, size_t *n, struct errtext *et) MUST_CHECK;
/* The file, or the folder with all below it; what is not there is no error. */
enum err run_file_remove(
	struct croft *c, struct str project, struct str path, struct errtext *et) MUST_CHECK;
/* Every blob that a path names: module.blobs. */
enum err run_file_blobs(struct croft *c, struct tx *tx, enum err (*fn)(void *ctx, struct str hex),
	void *ctx, struct errtext *et) MUST_CHECK;

#endif
