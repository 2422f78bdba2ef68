/* Models on this machine: a catalogue of known ones, what is installed, and `pull`.
 *
 * An installed model lives in home/models/<name>/ (a GGUF file, or a safetensors folder) with its
 * row in the database: source, licence, bytes, sha256. Nothing stands under its final name before
 * it is complete and verified. */
#ifndef ARTIFACT_ARTIFACT_H
#define ARTIFACT_ARTIFACT_H
#include "module/module.h"

extern const struct module artifact_module;

enum model_purpose { PURPOSE_CHAT, PURPOSE_EMBED };

struct installed_model {
	struct str name; /* "smollm2-135m-instruct" */
	enum model_purpose purpose;
	struct str path; /* what model_open takes */
	struct str sha256, licence, source;
	uint64_t bytes;
};

/* name may be "" for the default of that purpose (settings chat.model, embed.model). Strings are
 * in `a`. ERR_NOT_FOUND says how to pull it. */
enum err installed_find(struct croft *c, struct str name, enum model_purpose purpose,
	struct arena *a, struct installed_model *out, struct errtext *et) MUST_CHECK;
enum err installed_list(struct croft *c, struct arena *a, struct installed_model **out, size_t *n,
	struct errtext *et) MUST_CHECK;

/* Whether a model is open now is known above this floor: the endpoints say it through here. */
typedef bool (*model_loaded_fn)(struct croft *c, struct str name);
void artifact_set_loaded_fn(struct croft *c, model_loaded_fn fn);

/* Removes its files and its row; ERR_NOT_FOUND. One that is open stays usable until it is put. */
enum err installed_remove(struct croft *c, struct str name, struct errtext *et) MUST_CHECK;

typedef void (*pull_progress_fn)(void *ctx, const char *what, uint64_t done, uint64_t total);
/* A catalogue name, "hf:org/repo[@revision][/file]", an https URL of a .gguf ("#sha256=HEX" makes
 * it verified), an absolute local path. What is there already is OK at once. as_name "": made from
 * `what`. The callback gets a label, bytes done and bytes in all (0: not known yet). */
enum err model_pull(struct croft *c, struct str what, struct str as_name, pull_progress_fn fn,
	void *ctx, const struct cancel *cancel, struct buf *installed_name,
	struct errtext *et) MUST_CHECK;

#endif
