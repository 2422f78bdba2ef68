/* The registry from inside out: facts, lists, changes and lineage, for the faces above this floor
 * (MLflow's, the page's). artifact.h is what makers and users of artifacts need. Everything runs
 * inside the caller's transaction; strings are in the arena. */
#ifndef ARTIFACT_REGISTRY_H
#define ARTIFACT_REGISTRY_H
#include "artifact/artifact.h"

/* ---- facts ---- */

/* What a fact says, of an artifact (version 0) or one of its versions. value NULL ends it.
 *
 *	name         (0)  the artifact is called `value`; NULL: it is deleted
 *	version      (n)  the version exists, with this digest or source; NULL: it is deleted
 *	description  (0,n)
 *	tag          (0,n) name: the key
 *	alias        (0)  name: the alias, value: the version's number
 *	stage        (n)  MLflow's, before there were aliases
 *	check        (n)  name: the check, value: pass or fail, detail: evidence, expiry
 *	approval     (n)  name: who, value: approved
 *	installed    (n)  its files are on this machine; value: chat or embed
 *	claim        (0,n) name: a card's field, value: what somebody wrote
 */
struct fact {
	int64_t seq;
	struct id artifact;
	int64_t version;
	struct str what, name, value; /* value.p NULL: no longer */
	int64_t valid_ms, recorded_ms;
	struct str who, reason;
	struct str detail; /* a JSON object; "": {} */
	int64_t retracts;  /* another fact's seq; 0: none */
	struct str hash;
	enum perm perm; /* that adding it needs; PERM_NONE: by what it says */
};

/* Adds a fact and brings the present state up to date; what matters goes into the audit log.
 * ERR_FORBIDDEN when `who` may not, or a rule on single artifacts forbids it. In: artifact,
 * version, what, name, value, valid_ms (0: now), reason, detail, retracts. *seq may be NULL. */
enum err fact_add(struct tx *tx, const struct principal *who, const struct fact *f, int64_t *seq,
	struct errtext *et) MUST_CHECK;
/* What held at that time; *found false: nothing. A fact that ends something is not found. */
enum err fact_at(struct tx *tx, struct id artifact, int64_t version, struct str what,
	struct str name, struct artifact_time at, struct arena *a, struct fact *out, bool *found,
	struct errtext *et) MUST_CHECK;
/* All that held of one `what` ("": any), by version and name. */
enum err facts_at(struct tx *tx, struct id artifact, int64_t version, struct str what,
	struct artifact_time at, struct arena *a, struct fact **out, size_t *n,
	struct errtext *et) MUST_CHECK;
/* The present, from the table kept for it. version -1: of all. */
enum err facts_now(struct tx *tx, struct id artifact, int64_t version, struct str what,
	struct arena *a, struct fact **out, size_t *n, struct errtext *et) MUST_CHECK;
enum err fact_now(struct tx *tx, struct id artifact, int64_t version, struct str what,
	struct str name, struct arena *a, struct fact *out, bool *found,
	struct errtext *et) MUST_CHECK;

struct fact_filter {
	struct id artifact;
	int64_t version; /* -1: any */
	struct str what, name;
	int64_t before; /* seq; 0: from the newest */
	int64_t limit;
};
/* Newest record first. */
enum err fact_list(struct tx *tx, struct str project, const struct fact_filter *f, struct arena *a,
	struct fact **out, size_t *n, struct errtext *et) MUST_CHECK;
enum err fact_get(struct tx *tx, struct str project, int64_t seq, struct arena *a, struct fact *out,
	struct errtext *et) MUST_CHECK;

struct fact_report {
	int64_t facts, versions; /* looked at */
	int64_t stale;           /* present rows that were not what the facts say */
	int64_t first_bad;       /* seq of the first fact whose hash is wrong; 0: none */
	int64_t version_bad;     /* versions that differ from the fact that made them */
	struct str head;         /* the newest fact's hash */
};
/* Reads every fact, checks the chain and the versions; derives the present again, and puts it right
 * when `repair`. */
enum err facts_verify(struct tx *tx, bool repair, struct arena *a, struct fact_report *out,
	struct errtext *et) MUST_CHECK;

/* ---- artifacts and versions ---- */

extern const struct principal registry_self; /* the program itself, in the default project */

struct artifact_filter {
	struct str kind, text; /* "": any; text: part of the name, any case */
	/* Lists go by name, then kind: those behind this one; both "": from the first. */
	struct str after_name, after_kind;
	int64_t limit;
};
enum err artifact_list(struct tx *tx, struct str project, const struct artifact_filter *f,
	struct arena *a, struct artifact **out, size_t *n, struct errtext *et) MUST_CHECK;
enum err artifact_count(struct tx *tx, struct str project, struct str kind, int64_t *n,
	struct errtext *et) MUST_CHECK;
/* By id, deleted or not. */
enum err artifact_get(struct tx *tx, struct str project, struct id id, struct arena *a,
	struct artifact *out, struct errtext *et) MUST_CHECK;
/* Whoever had the name at that time. */
enum err artifact_find_at(struct tx *tx, struct str project, struct str kind, struct str name,
	struct artifact_time at, struct arena *a, struct artifact *out,
	struct errtext *et) MUST_CHECK;
/* Newest first, below `before` (0: from the newest); deleted ones only with `dead`. */
enum err version_list(struct tx *tx, const struct artifact *of, int64_t before, int64_t limit,
	bool dead, struct arena *a, struct artifact_version **out, size_t *n,
	struct errtext *et) MUST_CHECK;
enum err version_count(
	struct tx *tx, struct id artifact, int64_t *live, struct errtext *et) MUST_CHECK;
/* The artifact and version that a reference's parts name. */
struct ref {
	struct str kind, name, alias; /* "": not said */
	int64_t version;              /* 0: not said */
};
enum err ref_parse(struct str text, struct ref *out, struct errtext *et) MUST_CHECK;
enum err ref_artifact(struct tx *tx, struct str project, const struct ref *r,
	struct artifact_time at, struct arena *a, struct artifact *out,
	struct errtext *et) MUST_CHECK;
enum err ref_version(struct tx *tx, const struct artifact *of, const struct ref *r,
	struct artifact_time at, struct arena *a, struct artifact_version *out,
	struct errtext *et) MUST_CHECK;
/* Zeroes become now; the future is refused. */
enum err time_settle(struct artifact_time *at, struct errtext *et) MUST_CHECK;
bool time_is_now(struct artifact_time at);

enum err artifact_rename(struct tx *tx, const struct principal *who, const struct artifact *of,
	struct str name, struct errtext *et) MUST_CHECK;
enum err artifact_describe(struct tx *tx, const struct principal *who, const struct artifact *of,
	int64_t version, struct str text, struct errtext *et) MUST_CHECK;
enum err artifact_delete(struct tx *tx, const struct principal *who, const struct artifact *of,
	struct str reason, struct errtext *et) MUST_CHECK;
enum err version_delete(struct tx *tx, const struct principal *who, const struct artifact *of,
	int64_t version, struct str reason, struct errtext *et) MUST_CHECK;
/* MLflow's stages; for the promotion rules a stage is an alias of its name. */
enum err artifact_stage_set(struct tx *tx, const struct principal *who, const struct artifact *of,
	int64_t version, struct str stage, struct errtext *et) MUST_CHECK;
/* Says that an earlier fact was wrong: it no longer counts from now on. */
enum err fact_retract(struct tx *tx, const struct principal *who, const struct artifact *of,
	int64_t seq, struct str reason, struct errtext *et) MUST_CHECK;

/* Calls fn for each live version of the project's artifacts of a kind (artifact zero: of all of
 * them; run zero: of any run), newest first within an artifact. Strings are fn's only while it
 * runs. */
typedef enum err (*version_fn)(void *ctx, const struct artifact_version *v, struct errtext *et);
enum err version_each(struct tx *tx, struct str project, struct str kind, struct id artifact,
	struct id run, version_fn fn, void *ctx, struct errtext *et) MUST_CHECK;

/* Whether rules on single artifacts let a request read it; version 0: the artifact itself.
 * ERR_FORBIDDEN names the rule. The route's permission was checked before. */
struct http_request;
enum err artifact_readable(struct tx *tx, const struct http_request *rq, struct id artifact,
	struct str kind, struct str name, int64_t version, struct errtext *et) MUST_CHECK;

/* The same for a tree of its project, by the versions that have it: ERR_NOT_FOUND. */
enum err tree_readable(struct tx *tx, const struct http_request *rq, struct str digest,
	struct errtext *et) MUST_CHECK;

/* ---- lineage ---- */

struct node {
	struct str id; /* "version:HEX:N", "run:HEX", a URI */
	unsigned depth;
};
struct graph {
	struct node *nodes;
	struct edge *edges;
	size_t n_nodes, n_edges;
	bool cut; /* a limit was reached: there is more */
};
enum { GRAPH_NODES_MAX = 2000, GRAPH_DEPTH_MAX = 64 };
/* down: what depends on it; up: where it comes from. The start is nodes[0]. */
enum err lineage_walk(struct tx *tx, struct str project, struct str start, bool down,
	unsigned depth, size_t nodes_max, struct arena *a, struct graph *out,
	struct errtext *et) MUST_CHECK;
/* What a run used, or produced (then the run is the source): at most RUN_EDGES_MAX, oldest first.
 */
enum { RUN_EDGES_MAX = 2000 };
enum err lineage_of_run(struct tx *tx, struct str project, struct id run, enum edge_kind kind,
	struct arena *a, struct edge **out, size_t *n, struct errtext *et) MUST_CHECK;
/* The node that a text means: a reference, "run:ID", "version:ID:N", a URI with "://" or a scheme
 * that says where something is kept. */
enum err lineage_node(struct tx *tx, struct str project, struct str text, struct arena *a,
	struct str *out, struct errtext *et) MUST_CHECK;
/* The version that a node is, of this project; ERR_NOT_FOUND for other nodes. */
enum err node_find_version(struct tx *tx, struct str project, struct str node, struct arena *a,
	struct artifact_version *out, struct errtext *et) MUST_CHECK;
const char *edge_word(enum edge_kind k);
bool edge_parse(struct str word, enum edge_kind *out);

#endif
