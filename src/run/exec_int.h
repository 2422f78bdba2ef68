/* `croft run` and `croft reproduce`: commands that run other programs and keep what these need to
 *run again. Both speak to the API like any client; what they keep are files of the run:
 *
 *	croft/record.json      command, folder, code, environment, seeds, inputs and outputs
 *	croft/code.patch       what differed from the commit
 *	croft/log.txt          what the command printed
 *	croft/reproduction.json  of a run that reproduces another: what came again
 *
 * Inputs and outputs are content of the chunk store, which the record and edges of lineage name:
 * versions of artifacts, and one tree each for the files that are no version.
 *
 *	exec_api.c        runs, metrics and files through the API
 *	exec_host.c       a server of its own for the child, when none is running
 *	exec_record.c     the record written and read
 *	exec_data.c       inputs and outputs: content and versions, to and fro
 *	exec_cmd.c        croft run
 *	reproduce_cmd.c   croft reproduce
 */
#ifndef RUN_EXEC_INT_H
#define RUN_EXEC_INT_H
#include "base/os.h"
#include "module/cmd.h"
#include "run/child.h"
#include "run/code.h"
#include "run/compare.h"

/* Records of version 1 kept inputs and outputs as files of the run (croft/inputs/PATH). */
enum {
	RECORD_VERSION = 2,
	PATCH_MAX = 64 << 20,
	LOG_MAX = 256 << 20,
	FILES_MAX = 10000,
	VERSIONS_MAX = 256
};

/* ---- the API ---- */

/* A file of an input or output; its path is as in the record. */
struct kept_file {
	struct str path;
	char sha256[65];
	int64_t bytes;
};

/* Files that are no version of an artifact: one tree. */
struct kept_files {
	struct kept_file *v; /* room for FILES_MAX */
	size_t n;
	char tree[65]; /* "": there is none */
};

/* A version that stood, or was made, at `path` below the working folder: as a folder, or as the
 * file when it holds only one file that is called like the path. */
struct kept_version {
	struct str path, kind, name, artifact; /* artifact: its id in hex */
	struct str asked; /* "dataset/faq@prod"; "": it was made from what is there */
	int64_t version;
	char digest[65];
};

struct kept_versions {
	struct kept_version v[VERSIONS_MAX];
	size_t n;
};

/* Makes the experiment if there is none of that name. */
enum err exec_create(struct cmd *cmd, struct str experiment, struct str name,
	const struct http_pair *tags, size_t n_tags, struct buf *run,
	struct errtext *et) MUST_CHECK;
enum err exec_log(struct cmd *cmd, struct str run, const struct http_pair *params, size_t n_params,
	const struct http_pair *metrics, size_t n_metrics, const struct http_pair *tags,
	size_t n_tags, struct errtext *et) MUST_CHECK;
enum err exec_end(struct cmd *cmd, struct str run, bool ok, struct errtext *et) MUST_CHECK;
/* The run as MLflow's API gives it ("run": {...}). */
enum err exec_get(struct cmd *cmd, struct str run, yyjson_doc **doc, struct errtext *et) MUST_CHECK;
enum err exec_put_file(struct cmd *cmd, struct str run_uri, const char *path, struct str bytes,
	struct errtext *et) MUST_CHECK;
enum err exec_get_file(struct cmd *cmd, struct str run_uri, const char *path, struct buf *out,
	struct errtext *et) MUST_CHECK;
/* A whole series in the order of its steps; malloc'ed. */
enum err exec_series(struct cmd *cmd, struct str run, struct str key, struct sample **out,
	size_t *n, struct errtext *et) MUST_CHECK;

/* ---- a server for the child ---- */

struct exec_host; /* NULL when a server is running already */
/* What a child needs to reach the API, in `url` and `key`. */
enum err exec_host_open(struct cmd *cmd, struct exec_host **out, struct buf *url, struct buf *key,
	struct errtext *et) MUST_CHECK;
void exec_host_close(struct exec_host *h);
/* "NAME=value"... for a child that works for `run`; in `a`, NULL at the end. */
const char **exec_variables(
	struct arena *a, struct str url, struct str key, struct str run, struct str seed);

/* ---- the record ---- */

struct record_in {
	const char *const *argv;
	const char *const *env;
	bool has_code;
	struct code_state code;
	struct str cwd; /* absolute */
	struct str seed;
	const struct http_pair *params; /* given with --param: a second run is given them too */
	size_t n_params;
	const struct kept_files *inputs, *outputs;
	const struct kept_versions *uses, *makes;
};

/* Written when the command begins, without outputs, and again with them when it has ended. `note`
 * (may be NULL) gets what could not be found out. */
void exec_record_write(struct buf *out, const struct record_in *in, struct buf *note);

/* Appends the files below `path` (or itself) as they are in the record: relative to the working
 * folder, each once. ERR_INVALID for what is outside it: it could not be put back. */
enum err exec_files(
	struct str path, struct arena *a, struct kept_files *files, struct errtext *et) MUST_CHECK;
/* "./a//b" -> "a/b"; false when it leads out of the folder. */
bool exec_inside(struct str path, struct buf *out);
/* os_map_file that takes an empty file as well. */
enum err exec_map(const char *path, struct os_map *m, struct errtext *et) MUST_CHECK;

/* ---- inputs and outputs ---- */

/* Splits "PATH=KIND/NAME...": false when it is no such text, but a path. */
bool exec_ref(struct str text, struct str *path, struct str *ref);
/* The version that a reference names now; its content must be here. */
enum err exec_find(struct cmd *cmd, struct str path, struct str ref, struct arena *a,
	struct kept_version *out, struct errtext *et) MUST_CHECK;
/* Puts it at its path below `dir` ("": the working folder), verified; what is there already must be
 * the very same: ERR_CONFLICT. */
enum err exec_place(struct cmd *cmd, const struct kept_version *v, const char *dir,
	struct errtext *et) MUST_CHECK;
/* Stores what is at `path` as a version of kind/name, or finds that the newest one is the same.
 * run: which produced it, {NULL,0}: none. */
enum err exec_make(struct cmd *cmd, struct str path, struct str ref, struct str run,
	struct arena *a, struct kept_version *out, struct errtext *et) MUST_CHECK;
/* Stores the files, which are below `dir`, as a tree; fills in hashes and sizes. */
enum err exec_store(struct cmd *cmd, const char *dir, struct kept_files *files, struct arena *a,
	struct errtext *et) MUST_CHECK;
/* Edges of lineage: what the run used, what it produced. */
enum err exec_used(struct cmd *cmd, struct str run, const struct kept_versions *v,
	const struct kept_files *f, struct errtext *et) MUST_CHECK;
enum err exec_produced(struct cmd *cmd, struct str run, const struct kept_versions *v,
	const struct kept_files *f, struct errtext *et) MUST_CHECK;

/* Runs the command with its log going to a temporary file, which is stored as croft/log.txt. */
enum err exec_child(struct cmd *cmd, struct str run_uri, struct child_spec *spec,
	struct child_result *r, struct errtext *et) MUST_CHECK;

enum err exec_reproduce(struct cmd *cmd, struct errtext *et) MUST_CHECK;
extern const struct option reproduce_options[5];

#endif
