/* Artifacts: named things with immutable versions; and the models on this machine.
 *
 * An artifact has a kind (a row of artifact_kinds), a name that is unique per project and kind, and
 * versions 1..n that never change: a digest of the content or the URI of where it is kept, the run
 * that produced it, who, when, metadata. What may change is a fact: where an alias points, what a
 * tag says, that somebody approved, that something was deleted. Facts are only ever added. Each has
 * two times: from when it holds (valid) and when it was written down (recorded); so "what was @prod
 * on 3 May, as known on 5 May" has an answer, and a late correction changes the first without
 * hiding what was believed before. Facts form a chain of hashes.
 *
 *	int64_t n;
 *	e = artifact_put_version(tx, who, &(struct version_new){.kind = S("dataset"),
 *		.name = S("faq"), .digest = tree, .run = id}, &n, et);
 *	e = artifact_alias_set(tx, who, &(struct alias_move){.kind = S("dataset"), .name = S("faq"),
 *		.alias = S("prod"), .version = n}, et);
 *	e = artifact_resolve(tx, project, S("dataset/faq@prod"), (struct artifact_time){0}, a, &v,
 *et); e = lineage_add(tx, who, &(struct edge){.node = node_run(a, run), .kind = EDGE_USED, .source
 *= node_version(a, v.artifact, v.version)}, et);
 *
 * All of these run inside the caller's transaction (writers: TX_WRITE); strings they return are in
 * the arena. Nothing of another project is ever found.
 *
 * Models on this machine: a catalogue of known ones, what is installed, and `pull`.
 *
 * An installed model lives in home/models/<name>/ (a GGUF file, or a safetensors folder) with its
 * row in the database: source, licence, bytes, sha256. Nothing stands under its final name before
 * it is complete and verified. */
#ifndef ARTIFACT_ARTIFACT_H
#define ARTIFACT_ARTIFACT_H
#include "module/module.h"

extern const struct module registry_module; /* artifacts */
extern const struct module promotion_module;
extern const struct module signature_module;
extern const struct module card_module;
extern const struct module lineage_module;
extern const struct module tree_module;     /* their content: artifact/tree.h */
extern const struct module artifact_module; /* the models on this machine */

/* What needs a run to be kept: "a version of an artifact", "lineage"; NULL: nothing. */
enum err artifact_run_needed(struct tx *tx, struct str project, struct id run, const char **why,
	struct errtext *et) MUST_CHECK;

enum model_purpose { PURPOSE_CHAT, PURPOSE_EMBED, PURPOSE_RERANK };
const char *purpose_word(enum model_purpose p); /* "chat", "embed", "rerank" */

struct installed_model {
	struct str name; /* "smollm2-135m-instruct" */
	enum model_purpose purpose;
	struct str path; /* what model_open takes */
	struct str sha256, licence, source;
	struct str base; /* "", or it is an adapter of that model, and the path is adapter_open's */
	uint64_t bytes;
};

/* name may be "" for the default of that purpose (settings chat.model, embed.model,
 * rerank.model). Strings are
 * in `a`. ERR_NOT_FOUND says how to pull it. */
enum err installed_find(struct croft *c, struct str name, enum model_purpose purpose,
	struct arena *a, struct installed_model *out, struct errtext *et) MUST_CHECK;
enum err installed_list(struct croft *c, struct arena *a, struct installed_model **out, size_t *n,
	struct errtext *et) MUST_CHECK;

/* The policy signing.verify around the opening of a model. Each file is compared with what a
 *trusted key signed in the very bytes that the model then uses, before it does; those that it does
 *not read, at the end.
 *
 *	e = trust_begin(c, name, &t, et);   // t NULL: the policy is off; ERR_FORBIDDEN
 *	struct model_options o = {.check = {t ? trust_file : NULL, t}};
 *	e = model_open(path, &o, &model, et);
 *	e = trust_end(t, et);               // frees t, also after a failure; ERR_FORBIDDEN
 *
 * With the policy warn what is wrong is logged, and all of them return OK. */
struct trust;
enum err trust_begin(
	struct croft *c, struct str name, struct trust **out, struct errtext *et) MUST_CHECK;
enum err trust_file(void *trust, const char *path, struct str bytes, struct errtext *et) MUST_CHECK;
enum err trust_end(struct trust *t, struct errtext *et) MUST_CHECK;

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
/* The same of a LoRA adapter of the installed model `base`: a folder of PEFT, or a GGUF file. */
enum err adapter_pull(struct croft *c, struct str what, struct str base, struct str as_name,
	pull_progress_fn fn, void *ctx, const struct cancel *cancel, struct buf *installed_name,
	struct errtext *et) MUST_CHECK;

/* ---- artifacts ---- */

enum { ARTIFACT_NAME_MAX = 256, ALIAS_MAX = 255, TAG_KEY_MAX = 250, TAG_VALUE_MAX = 100000 };

struct artifact_kind {
	const char *name, *plural, *about;
};
/* To add a kind: a row in kinds.c. */
extern const struct artifact_kind artifact_kinds[];
extern const size_t n_artifact_kinds;

/* Zero: now. Only known_ms: as_of_ms is the same. */
struct artifact_time {
	int64_t as_of_ms; /* which moment is asked about (valid time) */
	int64_t known_ms; /* with what was written down until then (record time) */
};

struct artifact {
	struct id id;
	struct str kind, name, description, creator;
	int64_t created_ms, updated_ms, last_version; /* last_version 0: none yet */
	bool deleted;
};

struct artifact_version {
	struct id artifact;
	struct str kind, name;
	int64_t version;
	struct str digest;   /* of the content here; "": none */
	struct str source;   /* where it came from or is kept: a URI; "": none */
	struct str metadata; /* a JSON object */
	struct str description, creator;
	struct id run; /* zero: none */
	int64_t bytes, created_ms, updated_ms;
	bool deleted;
};

struct version_new {
	struct str kind, name; /* the artifact is made when there is none */
	struct str digest, source, description;
	struct str metadata; /* a JSON object; "": {} */
	struct id run;
	int64_t bytes;
	bool reuse; /* a live newest version with the same digest is the answer */
};

enum err artifact_create(struct tx *tx, const struct principal *who, struct str kind,
	struct str name, struct str description, struct id *out, struct errtext *et) MUST_CHECK;
/* The lineage edge to the run is added too. */
enum err artifact_name_check(struct str name, struct errtext *et) MUST_CHECK;
enum err artifact_put_version(struct tx *tx, const struct principal *who,
	const struct version_new *v, int64_t *version, struct errtext *et) MUST_CHECK;
/* The live artifact of that name; ERR_NOT_FOUND. */
enum err artifact_find(struct tx *tx, struct str project, struct str kind, struct str name,
	struct arena *a, struct artifact *out, struct errtext *et) MUST_CHECK;
/* "[kind/]name[:version|@alias]"; neither: the newest live version. The kind may be left out when
 * one artifact only has the name. */
enum err artifact_resolve(struct tx *tx, struct str project, struct str ref,
	struct artifact_time at, struct arena *a, struct artifact_version *out,
	struct errtext *et) MUST_CHECK;
enum err artifact_get_version(struct tx *tx, struct id artifact, int64_t version, struct arena *a,
	struct artifact_version *out, struct errtext *et) MUST_CHECK;

struct alias_move {
	struct str kind, name, alias;
	int64_t version;  /* 0: the alias is taken away */
	int64_t valid_ms; /* since when; 0: now; never in the future */
	struct str reason;
	bool break_glass; /* past the promotion rules; needs a reason and the permission */
};
/* ERR_FORBIDDEN says what a promotion rule still wants. */
enum err artifact_alias_set(struct tx *tx, const struct principal *who, const struct alias_move *m,
	struct errtext *et) MUST_CHECK;
/* version 0: of the artifact itself; value.p NULL: removed. */
enum err artifact_tag_set(struct tx *tx, const struct principal *who, struct id artifact,
	int64_t version, struct str key, struct str value, struct errtext *et) MUST_CHECK;
/* True when a live version of any project holds that digest. */
enum err artifact_digest_used(
	struct tx *tx, struct str digest, bool *used, struct errtext *et) MUST_CHECK;

/* ---- what runs measured ---- */

struct run_metric {
	struct str name; /* in the arena */
	double value;    /* the last one */
};
/* Runs are known above this floor: whoever keeps them says here what a run's metrics are. At most
 * `max`; ERR_NOT_FOUND: no such run. */
typedef enum err (*run_metrics_fn)(struct croft *c, struct str project, struct id run,
	struct arena *a, struct run_metric *out, size_t max, size_t *n, struct errtext *et);
void artifact_set_run_metrics_fn(struct croft *c, run_metrics_fn fn);
run_metrics_fn artifact_run_metrics_fn(struct croft *c);

/* ---- lineage: what came from what, between versions, runs and URIs ---- */

enum edge_kind { EDGE_USED, EDGE_PRODUCED, EDGE_DERIVED, EDGE_COUNT };

/* `node` depends on `source`: a run used a version; a version was produced by a run; a version is
 * derived from a version. Nodes are "version:ID:N", "run:ID", or a URI. */
struct edge {
	struct str node, source;
	enum edge_kind kind;
	struct str detail; /* a JSON object; "": {} */
};
struct str node_version(struct arena *a, struct id artifact, int64_t version);
struct str node_run(struct arena *a, struct id run);
/* Content without a name: a tree of the project. As long as an edge names it, it is kept. */
#define TREE_URN "urn:croft:tree:"
struct str node_tree(struct arena *a, struct str digest);
struct str node_tree_digest(struct str node); /* of the node; .p NULL: it is something else */
/* What is there already is left as it is, but that it gets the detail when it has none. */
enum err lineage_add(struct tx *tx, const struct principal *who, const struct edge *edge,
	struct errtext *et) MUST_CHECK;
/* A run is gone for good: its edges go too, and what only they kept can be collected. */
enum err lineage_forget_run(
	struct tx *tx, struct str project, struct id run, struct errtext *et) MUST_CHECK;

#endif
