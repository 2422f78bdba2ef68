/* OpenAI's vector stores: files of /v1/files, made findable in the background.
 *
 *	vstores.c         routes of stores, and the module
 *	vstores_files.c   routes of their files and batches of files
 *	vstores_find.c    the route of searches, and the search that `file_search` shares
 *	vstores_params.c  request bodies to structs
 *	vstores_store.c   rows
 *	vstores_run.c     threads that parse, split and embed
 *	vstores_cmd.c     `croft stores`
 *
 *  1. A store is a collection of rag's, named by the store's id; each of its files is a document
 *     there, whose owner is VSTORE_OWNER. A row here says what was asked and what became of it.
 *  2. A file that was added is a row and a job of the durable queue, in one transaction. A worker
 *     makes the document, then the row's status and the job's end, in one transaction. After a
 *     crash the job comes again, and finds the document made, or makes it.
 *  3. A row that is removed is not found from then on: hits without a row are left out. The
 *document is removed before the reply; a job that was added with the row's removal does it after a
 *     crash. A worker that finds its row gone removes what it has made.
 *  4. Every query has the project. */
#ifndef API_VSTORES_H
#define API_VSTORES_H
#include "api/api_int.h"
#include "api/files.h"
#include "rag/rag.h"
#include "store/queue.h"
#include "vector/cond.h"

#define VSTORE_OWNER S("vector_store")
#define VSTORE_QUEUE "vector_store"

enum {
	VSTORE_ID = 3 + ID_HEX,
	VBATCH_ID = 5 + ID_HEX,
	VSTORE_FILES_MAX = 2000, /* in one request */
	VSTORE_RESULTS_MAX = 50,
	VSTORE_QUERIES_MAX = 16,
	CHUNK_TOKENS_MIN = 100,
	CHUNK_TOKENS_MAX = 4096,
};

/* ---- rows ---- */

struct vcounts {
	int64_t in_progress, completed, failed, cancelled;
};

struct vstore {
	struct id id;
	struct str project, name, description, metadata; /* metadata: JSON */
	int64_t created_ms, active_ms, expires_days;     /* 0: never */
	bool expired;
	int64_t bytes;
	struct vcounts counts;
};

struct vfile {
	struct id store, file, batch; /* batch zero: none */
	struct id turn;               /* new each time it is added */
	struct str project, name, attributes, status, code, error;
	int64_t chunk_tokens, chunk_overlap, bytes, created_ms;
};

struct vbatch {
	struct id id, store;
	int64_t created_ms, cancelled_ms;
	struct vcounts counts;
};

/* A page of a list by the ids of its rows. */
struct vpage {
	bool oldest_first, backwards; /* backwards: those before the edge */
	struct id edge;               /* zero: from the end */
	int64_t limit;
};

extern const struct migration vstores_migrations[1];

void vstore_id(struct id id, char out[VSTORE_ID + 1]);
bool vstore_id_parse(struct str text, struct id *out);
void vbatch_id(struct id id, char out[VBATCH_ID + 1]);
bool vbatch_id_parse(struct str text, struct id *out);
/* The document of a file: rag's path. */
struct str vfile_path(struct id file, struct str name, struct arena *a);
int64_t vstore_ends_ms(const struct vstore *v); /* 0: never */

enum err vstore_add(struct croft *c, const struct vstore *v, const struct vfile *files, size_t n,
	struct errtext *et) MUST_CHECK;
/* ERR_NOT_FOUND. */
enum err vstore_get(struct croft *c, struct str project, struct id id, struct arena *a,
	struct vstore *out, struct errtext *et) MUST_CHECK;
enum err vstore_list(struct croft *c, struct str project, const struct vpage *page, struct arena *a,
	struct vstore **out, size_t *n, bool *more, struct errtext *et) MUST_CHECK;
enum err vstore_update(struct croft *c, const struct vstore *v, struct errtext *et) MUST_CHECK;
enum err vstore_remove(struct croft *c, const struct principal *who, struct str project,
	struct id id, struct errtext *et) MUST_CHECK;
/* It was used: its end moves. */
enum err vstore_used(struct croft *c, const struct vstore *v, struct errtext *et) MUST_CHECK;
/* Stores that have ended: marked so, and their documents removed. Files that are no more: out. */
enum err vstore_sweep(struct croft *c, struct errtext *et) MUST_CHECK;

/* With batch, of that batch, which is new. ERR_NOT_FOUND: the store; ERR_CONFLICT: it has expired.
 */
enum err vfile_add(struct croft *c, struct str project, struct id store, const struct vfile *files,
	size_t n, const struct vbatch *batch, struct errtext *et) MUST_CHECK;
enum err vfile_get(struct croft *c, struct str project, struct id store, struct id file,
	struct arena *a, struct vfile *out, struct errtext *et) MUST_CHECK;
struct vfile_query {
	struct str status; /* "": any */
	struct id batch;   /* zero: any */
	struct vpage page;
};
enum err vfile_list(struct croft *c, struct str project, struct id store,
	const struct vfile_query *q, struct arena *a, struct vfile **out, size_t *n, bool *more,
	struct errtext *et) MUST_CHECK;
enum err vfile_attributes(
	struct croft *c, const struct vfile *f, struct str json, struct errtext *et) MUST_CHECK;
enum err vfile_remove(struct croft *c, const struct principal *who, const struct vfile *f,
	struct errtext *et) MUST_CHECK;
/* Of every store of the project: the file itself goes. */
enum err vfile_remove_all(struct croft *c, const struct principal *who, struct str project,
	struct id file, struct errtext *et) MUST_CHECK;
/* What became of it, and the job's end. *taken false: it was removed, cancelled or added anew
 * meanwhile; nothing is stored but the job's end. */
enum err vfile_end(struct croft *c, const struct vfile *f, const struct job *job, bool *taken,
	struct errtext *et) MUST_CHECK;

enum err vbatch_get(struct croft *c, struct str project, struct id store, struct id id,
	struct vbatch *out, struct errtext *et) MUST_CHECK;
enum err vbatch_cancel(struct croft *c, struct str project, struct id store, struct id id,
	struct errtext *et) MUST_CHECK;

/* ---- bodies ---- */

struct vfile_new {
	struct id file;
	struct str attributes;               /* JSON */
	int64_t chunk_tokens, chunk_overlap; /* 0, 0: auto */
};

struct vstore_new {
	bool has_name, has_description, has_metadata, has_expiry;
	struct str name, description, metadata;
	int64_t expires_days;
	struct vfile_new *files;
	size_t n_files;
};

struct vsearch {
	struct str *queries;
	size_t n_queries;
	int64_t most;
	double threshold;
	float balance; /* of the dense side, as rag_query's */
	enum rag_method method;
	const struct cond *filter; /* over attributes; NULL: none */
	struct id *stores;
	size_t n_stores;
	bool rewrite; /* each query by a chat model; both are searched */
	/* "auto", "none", "default-...", or a cross-encoder's name; "": as the settings say */
	struct str ranker;
	bool rerank;                 /* from here on set by vsearch_ranker() */
	struct str reranker;         /* which cross-encoder */
	const struct principal *who; /* whose share of a chat model a rewriting takes */
	struct run *run;             /* gets a span for each stage, below `span`; NULL: none */
	struct span *span;
};

enum err vstore_parse(
	struct str body, bool is_new, struct arena *a, struct vstore_new *out, struct api_error *x);
enum err vfile_parse(struct str body, struct arena *a, struct vfile_new *out, struct api_error *x);
enum err vbatch_parse(
	struct str body, struct arena *a, struct vfile_new **out, size_t *n, struct api_error *x);
enum err vfile_attributes_parse(
	yyjson_val *o, const char *param, struct arena *a, struct str *out, struct api_error *x);
enum err vsearch_parse(struct str body, struct arena *a, struct vsearch *out, struct api_error *x);
/* The members that a search and the tool `file_search` share: max_num_results, filters,
 * ranking_options. `where` is what stands before their names: "", "tools[0]." */
enum err vsearch_options(yyjson_val *o, const char *where, struct arena *a, struct vsearch *out,
	struct api_error *x);

/* ---- search ---- */

struct vhit {
	struct rag_hit hit;
	struct id store, file;
	struct str name;
};
struct vfound {
	struct vhit *hits; /* best first */
	size_t n;
	struct str *searched; /* the queries, each followed by what it was rewritten to */
	size_t n_searched;
	struct str *notes; /* what did not go as it was asked for */
	size_t n_notes;
};
/* Which cross-encoder, if any, orders what is found. `where` as in vsearch_options(). */
enum err vsearch_ranker(struct croft *c, const char *where, struct arena *a, struct vsearch *q,
	struct api_error *x);
/* The stores are the project's, none has expired. */
enum err vstores_find(struct croft *c, struct str project, const struct vsearch *q,
	const struct cancel *cancel, struct arena *a, struct vfound *out,
	struct errtext *et) MUST_CHECK;

/* ---- routes ---- */

/* What the store said; `param` names what was not found. */
enum err vstores_failed(struct api_error *x, enum err e, const char *param);
enum err vstores_want(
	struct croft *c, struct http_request *rq, struct vstore *out, struct api_error *x);
enum err vpage_parse(const struct http_request *rq, struct vpage *out, struct api_error *x);
void vcounts_write(struct jw *w, const struct vcounts *n);
int64_t vcounts_total(const struct vcounts *n);
/* What clients that wait should wait before they ask again. */
void vstores_poll_header(struct http_response *rs);
/* Files that can be added, as rows. */
enum err vfiles_rows(struct croft *c, struct http_request *rq, const struct vfile_new *v, size_t n,
	struct vfile **out, struct api_error *x);

void vstore_files_add(struct croft *c, struct http_request *rq, struct http_response *rs);
void vstore_files_list(struct croft *c, struct http_request *rq, struct http_response *rs);
void vstore_files_show(struct croft *c, struct http_request *rq, struct http_response *rs);
void vstore_files_update(struct croft *c, struct http_request *rq, struct http_response *rs);
void vstore_files_remove(struct croft *c, struct http_request *rq, struct http_response *rs);
void vstore_files_content(struct croft *c, struct http_request *rq, struct http_response *rs);
void vstore_batches_add(struct croft *c, struct http_request *rq, struct http_response *rs);
void vstore_batches_show(struct croft *c, struct http_request *rq, struct http_response *rs);
void vstore_batches_cancel(struct croft *c, struct http_request *rq, struct http_response *rs);
void vstore_batches_files(struct croft *c, struct http_request *rq, struct http_response *rs);
void vstores_search(struct croft *c, struct http_request *rq, struct http_response *rs);

struct cmd;
enum err run_stores(struct cmd *cmd, struct errtext *et);
enum err run_stores_show(struct cmd *cmd, struct errtext *et);
enum err run_stores_make(struct cmd *cmd, struct errtext *et);
enum err run_stores_add(struct cmd *cmd, struct errtext *et);
enum err run_stores_search(struct cmd *cmd, struct errtext *et);
enum err run_stores_rm(struct cmd *cmd, struct errtext *et);

enum err vstores_start(struct croft *c, struct errtext *et);
void vstores_stop(struct croft *c);
void vstores_wake(struct croft *c);

extern const struct module vstores_module;

#endif
