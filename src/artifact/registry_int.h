/* What the registry's files share.
 *
 *	kinds.c            the kinds; what may be a name, an alias
 *	fact_store.c       facts: added, chained, derived for two times
 *	registry_store.c   SQL of artifacts and versions
 *	registry.c         create, version, rename, delete, tag, alias; references
 *	registry_json.c    wire JSON of the above
 *	registry_routes.c  /api/v1/artifacts
 *	registry_cmd.c     `croft artifact`
 *	promotion_store.c  SQL of promotion rules
 *	promotion.c        what a move of an alias wants, and what is there
 *	promotion_routes.c, promotion_cmd.c
 *	dsse.c             Sigstore bundles by a local key
 *	manifest.c         what is signed; the in-toto statement
 *	signature*.c       signatures of versions; the policy at the load of a model
 *	lineage.c          edges; walks over them, bounded
 *	lineage_routes.c   /api/v1/lineage
 *	logged_store.c     SQL of MLflow's logged models
 */
#ifndef ARTIFACT_REGISTRY_INT_H
#define ARTIFACT_REGISTRY_INT_H
#include "artifact/registry.h"
#include "base/hash.h"
#include "text/filter.h"

bool kind_ok(struct str kind);
enum err kind_check(struct str kind, struct errtext *et) MUST_CHECK;
enum err alias_check(struct str alias, struct errtext *et) MUST_CHECK;

/* ---- SQL that facts and artifacts share ---- */

enum err row_copy(struct arena *a, struct str s, struct str *out, struct errtext *et) MUST_CHECK;
enum err artifact_row_put(
	struct tx *tx, struct str project, const struct artifact *v, struct errtext *et) MUST_CHECK;
enum err version_row_put(struct tx *tx, struct str project, const struct artifact_version *v,
	struct errtext *et) MUST_CHECK;
/* The versions of the project with that content, deleted ones too: the first so many. */
enum { DIGEST_VERSIONS_MAX = 500 };
enum err versions_with_digest(struct tx *tx, struct str project, struct str digest, struct arena *a,
	struct artifact_version **out, size_t *n, struct errtext *et) MUST_CHECK;
/* What a fact of that kind changes in the rows themselves. */
enum err rows_follow(struct tx *tx, const struct fact *now, bool found, struct id artifact,
	int64_t version, struct str what, int64_t ms, struct errtext *et) MUST_CHECK;

/* ---- wire JSON ---- */

/* One call of a route: its transaction, its parsed body, its answer. */
struct reg_call {
	struct http_request *rq;
	struct http_response *rs;
	struct croft *c;
	struct tx *tx;
	struct str project;
	yyjson_doc *doc;
	yyjson_val *body; /* an object; NULL without a body */
	struct buf out;
	struct jw w;
	struct errtext et;
};
/* Begins; a failure is what reg_end is to be given. */
enum err reg_begin(struct reg_call *k, struct croft *c, struct http_request *rq,
	struct http_response *rs, enum tx_kind kind) MUST_CHECK;
/* Commits (or rolls back when e), answers with what was written to w, frees. */
void reg_end(struct reg_call *k, enum err e, int status);
/* as_of and known_at of the query; a bare date is the end of that day. */
enum err reg_time(struct reg_call *k, struct artifact_time *out) MUST_CHECK;
/* The live artifact that {kind}/{name} of the path is. */
enum err reg_artifact(struct reg_call *k, struct artifact *out) MUST_CHECK;
/* {version} of the path: a number, or an alias. */
enum err reg_version(
	struct reg_call *k, const struct artifact *of, struct artifact_version *out) MUST_CHECK;
bool parse_time(struct str text, bool end_of_day, int64_t *ms);

void json_time(struct jw *w, const char *key, int64_t ms); /* 0: null */
/* registry_filter.c: what artifacts are searched by; now: what holds of it. */
extern const struct filter_language artifact_language;
bool artifact_matches(
	const struct filter *f, const struct artifact *v, const struct fact *now, size_t n);

void json_artifact(struct jw *w, const struct artifact *v, const struct fact *now, size_t n_now);
void json_version(
	struct jw *w, const struct artifact_version *v, const struct fact *now, size_t n_now);
void json_fact(struct jw *w, const struct fact *f);
bool fact_broke_glass(const struct fact *f);

enum { N_REGISTRY_MIGRATIONS = 5, N_REGISTRY_COMMANDS = 12 };
extern const struct migration registry_migrations[N_REGISTRY_MIGRATIONS];
enum { N_PROMOTION_COMMANDS = 7, N_SIGNATURE_COMMANDS = 3 };
extern const struct command signature_commands[N_SIGNATURE_COMMANDS];
extern const struct command promotion_commands[N_PROMOTION_COMMANDS];
extern const struct command registry_commands[N_REGISTRY_COMMANDS];

#endif
