/* What the files of this folder share.
 *
 *	eval_module.c  the rows
 *	metrics.c      formulas, bootstrap, permutation test
 *	eval_store.c   SQL
 *	corpus.c       corpora that evaluation keeps: filled once, reused
 *	judged.c       a request to queries with their judged documents
 *	retrieval.c    one setting on all queries; the comparison
 *	tune.c         a search among settings
 *	moved.c        judged queries in both spaces of a collection that moves
 *	record.c       results as runs of an experiment
 *	eval_cmd.c, beir.c: the commands, and the folders that they read */
#ifndef EVAL_EVAL_INT_H
#define EVAL_EVAL_INT_H
#include "base/map.h"
#include "endpoint/endpoint.h"
#include "eval/eval.h"
#include "eval/metrics.h"
#include "module/cmd.h"
#include "rag/rag.h"
#include "run/track.h"

#define EVAL_OWNER "eval"

/* ---- corpora ---- */

struct corpus {
	struct str digest, name, collection; /* digest: of the folder's corpus.jsonl, unpacked */
	int64_t chunk_tokens;                /* 0: the settings */
	int64_t documents, failed;
	bool ready; /* all of it is in */
	int64_t updated_ms;
};

extern const struct migration eval_migrations[];
extern const size_t n_eval_migrations;
enum err corpus_get(struct tx *tx, struct str project, struct str digest, int64_t chunk_tokens,
	struct arena *a, struct corpus *out, struct errtext *et) MUST_CHECK; /* ERR_NOT_FOUND */
enum err corpus_put(
	struct tx *tx, struct str project, const struct corpus *k, struct errtext *et) MUST_CHECK;
enum err corpus_delete(
	struct tx *tx, struct str project, struct str collection, struct errtext *et) MUST_CHECK;
/* digest {NULL,0}: all. */
enum err corpus_list(struct tx *tx, struct str project, struct str digest, struct arena *a,
	struct corpus **out, size_t *n, struct errtext *et) MUST_CHECK;
/* The collection of a corpus, which must be ready: ERR_NOT_READY. */
enum err corpus_collection(struct croft *c, struct str project, struct str digest,
	int64_t chunk_tokens, struct arena *a, struct corpus *out, struct errtext *et) MUST_CHECK;

/* ---- queries and their judged documents ---- */

struct eval_query {
	struct str id, text;
	struct eval_judged *judged;
	size_t n_judged;
	const float *vector; /* made when it is first wanted */
};

struct judged_set {
	struct eval_query *queries; /* each has a relevant document */
	size_t n;
	size_t left_out;   /* queries without one */
	struct map ids;    /* document's id -> number + 1 */
	struct str *names; /* by number */
	bool *found;       /* in any list */
	size_t n_documents;
};

/* Members queries: [{ id, text }], qrels: [[query, document, grade]]. Strings are borrowed. */
enum err judged_parse(
	yyjson_val *o, struct arena *a, struct judged_set *out, struct errtext *et) MUST_CHECK;
void judged_release(struct judged_set *j);
/* The number of the document that a path names, or ids beyond all others: unjudged. */
uint64_t judged_document(const struct judged_set *j, struct str path, uint64_t otherwise);

/* ---- one setting ---- */

enum { EVAL_TOP = 10 };

struct setting_result {
	struct rag_query query; /* without its text */
	struct corpus corpus;
	struct str label;
	struct eval_scores *scores;  /* of each query */
	struct str (*top)[EVAL_TOP]; /* paths */
	struct eval_interval metrics[EVAL_METRICS];
	struct eval_difference against[EVAL_METRICS]; /* the first setting */
	struct str document_set, reranker_sha256;
	double took_ms;
	struct id run;
	bool trial;
};

struct evaluation {
	struct croft *c;
	struct http_request *rq;
	struct http_response *rs;
	struct judged_set set;
	struct setting_result *results;
	size_t n;
	struct str name, digest, model, space;
	struct str experiment; /* its name; "": nothing is recorded */
	int64_t experiment_number;
	int64_t seed, resamples;
	struct rag_pairs *pairs; /* what cross-encoders have read; NULL: nothing is reranked */
	/* How far it is: `doing` is the setting that is measured, `best` the tuner's so far. */
	struct str doing, best;
	size_t trial, trials;
	uint64_t told_ms;
	size_t done, total;
};

void post_retrieval(struct croft *c, struct http_request *rq, struct http_response *rs);
void get_corpora(struct croft *c, struct http_request *rq, struct http_response *rs);
void get_corpus(struct croft *c, struct http_request *rq, struct http_response *rs);
void post_corpus(struct croft *c, struct http_request *rq, struct http_response *rs);
void delete_corpus(struct croft *c, struct http_request *rq, struct http_response *rs);

void send_error(struct http_response *rs, enum err e, const struct errtext *et); /* an event */
/* Some of the queries: which[n]. Fills r->scores and r->top at those places. */
enum err evaluate(struct evaluation *v, struct setting_result *r, const uint32_t *which, size_t n,
	struct arena *a, struct errtext *et) MUST_CHECK;
/* Before anything is reranked. */
enum err evaluation_pairs(struct evaluation *v, struct errtext *et) MUST_CHECK;
enum err setting_room(
	struct evaluation *v, struct setting_result *r, struct errtext *et) MUST_CHECK;
double setting_weight(const struct croft *c, const struct setting_result *r);
size_t setting_passages(const struct setting_result *r);
const char *setting_method(const struct setting_result *r);
/* The queries at which[n] of one metric, in v[n]. */
void metric_values(const struct setting_result *r, enum eval_metric m, const uint32_t *which,
	size_t n, double *v);
enum err summarise(struct evaluation *v, struct setting_result *r,
	const struct setting_result *first, const uint32_t *which, size_t n,
	struct errtext *et) MUST_CHECK;

enum err record_begin(struct evaluation *v, struct errtext *et) MUST_CHECK;
enum err record(struct evaluation *v, struct setting_result *r, const uint32_t *which, size_t n,
	struct errtext *et) MUST_CHECK;

/* ---- the commands ---- */

struct folder {
	struct str name;
	char digest[65];
	struct buf corpus, queries, qrels; /* unpacked */
};
/* ERR_NOT_FOUND, ERR_INVALID. corpus only when wanted. */
enum err folder_read(const char *path, struct str qrels, bool corpus, struct folder *out,
	const struct cancel *cancel, struct errtext *et) MUST_CHECK;
void folder_release(struct folder *f);
/* Appends the members queries and qrels. at_most 0: all queries. */
enum err folder_queries(const struct folder *f, size_t at_most, struct jw *w, size_t *n,
	struct errtext *et) MUST_CHECK;

typedef enum err (*qrel_fn)(void *ctx, struct str query, struct str document, double grade);
enum err folder_qrels(const struct folder *f, qrel_fn fn, void *ctx, struct errtext *et) MUST_CHECK;
/* Sends what the server does not keep yet of the folder's corpus, in chunks of so many tokens (0:
 * the settings'). */
enum err folder_fill(struct cmd *cmd, const struct folder *f, int64_t chunk_tokens,
	struct errtext *et) MUST_CHECK;
/* An event of a long request: progress, result (into *result), error. */
struct listening {
	struct progress *progress;
	struct buf *result;
	struct errtext *et;
};
enum err listen_to(void *listening, struct str event, struct str data) MUST_CHECK;

enum err run_eval_retrieval(struct cmd *cmd, struct errtext *et);

/* moved.c: judged queries in both spaces of a migration */
void post_moved(struct croft *c, struct http_request *rq, struct http_response *rs);
enum err run_eval_migration(struct cmd *cmd, struct errtext *et);

#endif
