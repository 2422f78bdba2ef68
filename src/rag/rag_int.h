/* What the files of this folder share.
 *
 *	rag_module.c  the rows: migrations, routes, commands, settings
 *	index.c       the state in memory: loaded once, published to after each commit
 *	saved.c       the vectors' indexes on disk
 *	chunk.c       a parsed document to chunks
 *	ingest.c      bytes to a searchable document, in one transaction
 *	rag_store.c   SQL
 *	fusion.c      two ranked lists to one
 *	search.c      a query to hits: searches and stages in their order
 *	stages.h      the stages, each a file
 *	docset.c      versions of document sets
 *	owned.c       documents that another part keeps
 *	inspect.c     what other parts look at inside
 *	doc_routes.c, search_routes.c, doc_cmd.c, search_cmd.c: wire JSON and commands
 *	ask.c, cite.c, ask_routes.c, ask_cmd.c: answers
 *
 * Invariants
 * 1. A chunk is a contiguous byte range of its document's extracted text.
 * 2. What is in memory was committed before; a commit is followed by its publication under
 *    `index.lock` before the caller hears of success.
 * 3. Chunk ids are never used twice, so a stale hit cannot name another chunk.
 * 4. Every change of a document is told in its transaction (store/notify.h). A server that did not
 *    make it reads the document's present state and replaces what it has of it, so the order in
 *    which it hears of changes does not matter. */
#ifndef RAG_RAG_INT_H
#define RAG_RAG_INT_H
#include "base/map.h"
#include "endpoint/endpoint.h"
#include "rag/fusion.h"
#include "module/cmd.h"
#include "rag/query_cmd.h"
#include "rag/rag.h"
#include "run/run.h"
#include "store/notify.h"
#include "text/doc.h"
#include "vector/bm25.h"
#include "vector/index.h"

/* Raise it when parsing or chunking changes: documents read by an older one are read again. */
enum { PARSER_VERSION = 1 };

/* ---- chunks ---- */

struct chunk {
	uint32_t from, to; /* bytes of doc->text */
	uint32_t page, tokens;
	struct str heading_path;
};

struct chunk_options {
	uint32_t tokens_max, overlap; /* of the embedding model's tokens */
};

/* In `a`. Every byte of the text that is in a block is in at least one chunk. */
enum err chunk_doc(const struct doc *d, const struct tokenizer *tk, const struct chunk_options *o,
	struct arena *a, struct chunk **out, size_t *n, struct errtext *et) MUST_CHECK;
/* Bytes of title and headings before the text when a chunk is embedded: about 48 tokens. */
enum { RAG_CONTEXT_MAX = 200 };

/* What is embedded and indexed for a chunk: its title and heading path, then its text. The context
 * is cut to context_max bytes (0: no limit). Appends. */
void chunk_index_text(struct str title, struct str heading_path, struct str text,
	size_t context_max, struct buf *out);

/* ---- SQL ---- */

struct doc_row {
	struct id id;
	struct str project, collection, path, title, type, status, error_code, error, warnings,
		language, author, tags, sha256, space, owner, attributes;
	int64_t bytes, pages, chunks, version, created_ms, added_ms, updated_ms, mtime_ms, parser,
		chunk_tokens, chunk_overlap; /* that were asked for; 0: the settings */
};

struct chunk_row {
	int64_t id;
	struct id document;
	uint32_t ordinal, from, to, page, tokens;
	struct str heading_path, text;
	uint8_t sha256[SHA256_BYTES]; /* of the embedded text */
};

extern const struct migration rag_migrations[];
extern const size_t n_rag_migrations;

/* Rows and their strings are in `a`. project {NULL,0}: whosever it is. */
enum err store_doc_by_id(struct tx *tx, struct str project, struct id id, struct arena *a,
	struct doc_row *out, struct errtext *et) MUST_CHECK; /* ERR_NOT_FOUND */
enum err store_doc_by_path(struct tx *tx, struct str project, struct str collection,
	struct str path, struct arena *a, struct doc_row *out,
	struct errtext *et) MUST_CHECK; /* ERR_NOT_FOUND */
struct doc_filter {
	struct str project; /* never empty */
	struct str collection, status, type, like;
	size_t limit;
	struct id after; /* zero: from the newest */
};
enum err store_doc_list(struct tx *tx, const struct doc_filter *f, struct arena *a,
	struct doc_row **out, size_t *n, int64_t *total, int64_t *failed,
	struct errtext *et) MUST_CHECK;
enum err store_doc_each(struct tx *tx, struct str project,
	struct str collection, /* {NULL,0}: all */
	enum err (*fn)(void *ctx, const struct doc_row *d), void *ctx,
	struct errtext *et) MUST_CHECK;
/* Inserts or replaces the row, its text, blocks and chunks. */
enum err store_doc_put(struct tx *tx, const struct doc_row *d, struct str text, struct str blocks,
	const struct chunk_row *chunks, size_t n, struct errtext *et) MUST_CHECK;
enum err store_doc_touch(struct tx *tx, const struct doc_row *d,
	struct errtext *et) MUST_CHECK; /* mtime, tags, attributes */
enum err store_doc_delete(struct tx *tx, struct id id, struct errtext *et) MUST_CHECK;
enum err store_doc_text(struct tx *tx, struct id id, struct arena *a, struct str *text,
	struct str *blocks, struct errtext *et) MUST_CHECK;
enum err store_chunks(struct tx *tx, struct id document, struct arena *a, struct chunk_row **out,
	size_t *n, struct errtext *et) MUST_CHECK;
/* Those with ordinals from low to high. */
enum err store_chunks_between(struct tx *tx, struct id document, uint32_t low, uint32_t high,
	struct arena *a, struct chunk_row **out, size_t *n, struct errtext *et) MUST_CHECK;
enum err store_chunk(struct tx *tx, int64_t id, struct arena *a, struct chunk_row *out,
	struct errtext *et) MUST_CHECK; /* ERR_NOT_FOUND */
enum err store_chunk_max(struct tx *tx, int64_t *max, struct errtext *et) MUST_CHECK;
/* ERR_NOT_FOUND when the text was never embedded in that space. */
enum err store_vector_get(struct tx *tx, struct str space, const uint8_t sha256[SHA256_BYTES],
	float *out, size_t dim, struct errtext *et) MUST_CHECK;
enum err store_vector_put(struct tx *tx, struct str space, const uint8_t sha256[SHA256_BYTES],
	const float *v, size_t dim, struct errtext *et) MUST_CHECK;
enum err store_vector_prune(struct tx *tx, struct errtext *et) MUST_CHECK; /* no chunk has them */

/* What is counted and versioned of a collection; zero where there is none. */
struct set_row {
	int64_t changes, versioned; /* of its documents; how many of them are in a version */
	int64_t version;            /* the newest of its document set; 0: none */
	int64_t settled_ms;
	struct str digest; /* of the documents and of how they are indexed, at that version */
};
enum err store_set_get(struct tx *tx, struct str project, struct str collection, struct arena *a,
	struct set_row *out, struct errtext *et) MUST_CHECK;
enum err store_set_note(
	struct tx *tx, struct str project, struct str collection, struct errtext *et) MUST_CHECK;
enum err store_set_settled(struct tx *tx, struct str project, struct str collection,
	const struct set_row *s, struct errtext *et) MUST_CHECK;
/* Collections with changes that are in no version. */
enum err store_set_due(struct tx *tx,
	enum err (*fn)(void *ctx, struct str project, struct str collection), void *ctx,
	struct errtext *et) MUST_CHECK;

/* ---- the state in memory ---- */

/* The indexes of one project's chunks. Each project has its own, so that neither a hit nor a
 * term's frequency nor a language can come from another one's documents. */
struct shelf {
	char *project;
	struct vindex *dense; /* may hold chunks that are not published: searches filter */
	struct bm25 *bm25;
	bool changed; /* since it was published */

	/* of the file of `dense`; under write_mu */
	char token[ID_HEX + 1]; /* "": there is none */
	uint64_t changes, saved_changes;
	int64_t changed_ms, saved_ms;
};

struct index_doc {
	struct id id;
	struct shelf *shelf;
	char *collection, *path, *type, *tags, *language, *owner, *attributes;
	int64_t date_ms; /* the document's own, else when it was added */
	uint32_t n_chunks;
	bool live;
	size_t next_free; /* of a place that is not: index + 1 of another; 0: the last */
};

/* The thread that makes versions of document sets when nothing has changed for a while. */
struct docset_keeper {
	pthread_mutex_t mu;
	pthread_cond_t cond;
	pthread_t thread;
	bool started, stop, due;
	int64_t changed_ms; /* monotonic */
};

struct rag {
	struct docset_keeper keeper;
	pthread_mutex_t load_mu; /* one loader */
	bool loaded;
	enum err load_error;
	struct errtext load_text;
	atomic_bool ready;
	pthread_t loader;
	bool loader_started;

	struct endpoint *embed; /* the embedding model, kept */
	uint32_t dim;
	char space[SHA256_HEX + 1];

	pthread_rwlock_t lock; /* guards what follows; searches read, publications write */
	struct shelf **shelves;
	size_t n_shelves;
	struct map shelf_by_project;
	struct index_doc *docs;
	size_t n_docs, cap_docs, free_doc; /* free_doc: index + 1 of a free place; 0: none */
	struct map by_path;                /* "project\0collection\0path" -> index + 1 of docs */
	uint64_t *chunk_keys;              /* open addressing: chunk id -> index of docs */
	uint32_t *chunk_docs;
	size_t n_chunk_slots, n_chunks;

	pthread_mutex_t write_mu; /* one transaction and publication at a time */
	char host[ID_HEX + 1];    /* of this data directory, once it is known */
	size_t save_from; /* items of an index that is saved: below 4,096 there is no graph */
	pthread_t saver;  /* saved_keeper() */
	bool saving;
	struct watch *watch;                   /* of changes that other servers make */
	atomic_uint_fast64_t embedded, reused; /* chunks, since the start */
};

#define RAG_CHANNEL "rag.document" /* notices: the id of the document */

struct rag *rag_of(struct croft *c);
enum err rag_init(struct croft *c, struct errtext *et);
enum err rag_start(struct croft *c, struct errtext *et);
void rag_stop(struct croft *c);
enum err rag_ready(struct croft *c, struct errtext *et);
void rag_metrics(struct croft *c, struct buf *out);
void rag_status(struct croft *c, const struct http_request *rq, struct jw *w);

/* Opens the embedding model and builds the indexes from the database, the first time. Chunks
 * without a vector in the model's space (the model was changed) are embedded now. */
enum err rag_load(struct croft *c, struct rag **out, const struct cancel *cancel,
	struct errtext *et) MUST_CHECK;
/* Publication, at once for every search that begins later; under write_mu, after the commit. The
 * old chunks go, the new ones (vectors[n][dim]) come; either may be none. */
enum err index_replace(struct rag *r, const struct doc_row *d, const struct chunk_row *old,
	size_t n_old, const struct chunk_row *chunks, size_t n, const float *vectors,
	struct errtext *et) MUST_CHECK;
enum err index_retag(struct rag *r, const struct doc_row *d, struct errtext *et) MUST_CHECK;
bool doc_has_tag(const char *tags, struct str wanted);
const struct index_doc *index_doc_of(const struct rag *r, uint64_t chunk); /* under lock */
/* NULL: the project has no document. Under lock. */
struct shelf *index_shelf(const struct rag *r, struct str project);

/* ---- the vectors' indexes on disk (saved.c) ---- */

/* One that was opened, its chunks ascending; seen: the database has the chunk. */
struct saved {
	struct shelf *shelf;
	struct vindex *index; /* NULL when the shelf has it */
	uint64_t *keys;
	bool *seen;
	size_t n;
};
/* Those that this data directory has of the present space become their shelves' indexes. */
enum err saved_open(struct croft *c, struct rag *r, struct tx *tx, struct saved **out, size_t *n,
	struct errtext *et) MUST_CHECK;
void saved_release(struct saved *list, size_t n);
bool saved_has(struct saved *list, size_t n, const struct shelf *shelf, uint64_t key);
enum err saved_drop_unseen(struct saved *list, size_t n, struct errtext *et) MUST_CHECK;
/* Saves what has changed, at once or when it has been quiet for a while. */
void saved_keep(struct croft *c, bool at_once);
void *saved_keeper(void *croft); /* a thread that does so until the program stops */
enum err store_saved_put(struct tx *tx, struct str project, struct str host, struct str space,
	struct str token, struct errtext *et) MUST_CHECK;
enum err store_saved_each(struct tx *tx, struct str host,
	enum err (*fn)(void *ctx, struct str project, struct str space, struct str token),
	void *ctx, struct errtext *et) MUST_CHECK;
/* The project's shelf, with this index from now on (its own when this fails, too). */
enum err index_adopt(struct rag *r, struct str project, struct vindex *x, const char *token,
	struct shelf **out) MUST_CHECK;

/* Terms as the keyword index has them, in `a`. */
enum err rag_terms(struct str text, const char *language, struct arena *a, struct str **out,
	size_t *n, struct errtext *et) MUST_CHECK;
/* The languages of documents, and of how many. */
struct language_count {
	const char *language; /* borrowed */
	size_t n;
};
enum { LANGUAGES_MAX = 64 };
void language_add(struct language_count *languages, size_t *n, const char *language);
/* Documents are stemmed in their own language and a query does not say which one it wants: it is
 * taken in its own language (or the documents' most frequent one) and in the others beside it.
 * word_at: where in the query the word of each term begins. */
enum err rag_terms_in(struct str query, const struct language_count *languages, size_t n_languages,
	struct arena *a, struct str **out, uint32_t **word_at, size_t *n,
	struct errtext *et) MUST_CHECK;
/* The same, with the languages of the shelf's live documents. Under lock. */
enum err rag_query_terms(const struct rag *r, const struct shelf *shelf, struct str query,
	struct arena *a, struct str **out, uint32_t **word_at, size_t *n,
	struct errtext *et) MUST_CHECK;

/* ---- ingestion ---- */

enum ingest_outcome { INGEST_INDEXED, INGEST_UNCHANGED, INGEST_FAILED };

struct ingest_request {
	struct str project, collection, path, tags, bytes;
	int64_t mtime_ms;
	struct str owner, attributes; /* as rag_new's */
	uint32_t chunk_tokens, chunk_overlap;
};

struct ingest_result {
	enum ingest_outcome outcome;
	struct doc_row doc; /* in `a`; failed: status, error_code and error say why */
	size_t embedded, reused;
};

/* An error is returned only when nothing could be recorded; a bad file is an outcome. */
enum err ingest_bytes(struct croft *c, const struct ingest_request *rq, struct arena *a,
	struct ingest_result *out, const struct cancel *cancel, struct errtext *et) MUST_CHECK;
/* All of them or, when one is not the project's, none: ERR_NOT_FOUND; ERR_CONFLICT when one is not
 * the owner's ("": nobody's). */
enum err ingest_delete(struct croft *c, struct str project, struct str owner, const struct id *ids,
	size_t n, struct errtext *et) MUST_CHECK;
/* Attributes (or, with NULL, tags) of a document that is there; searches that begin later see
 * them. */
enum err ingest_retag(
	struct croft *c, struct rag *r, const struct doc_row *d, struct errtext *et) MUST_CHECK;

/* ---- versions of document sets ---- */

struct docset {
	struct str ref;  /* "document-set/default:7"; .p NULL: there is no version yet */
	int64_t counted; /* changes that are in it */
	int64_t changes; /* since then */
	bool made;       /* just now */
};

/* A version of the collection's documents as they are, unless the newest one is that. by: who is
 * named as its maker; "": Croft itself. Strings are in `a`. */
enum err docset_settle(struct croft *c, struct rag *r, struct str project, struct str collection,
	struct str by, struct arena *a, struct docset *out, struct errtext *et) MUST_CHECK;
/* The version that a search begins on (one is made when the last is old), and how many documents
 * have changed between that version and its end. */
enum err docset_before(struct croft *c, struct rag *r, struct str project, struct str collection,
	struct arena *a, struct docset *out, struct errtext *et) MUST_CHECK;
enum err docset_after(struct croft *c, struct str project, struct str collection, struct arena *a,
	struct docset *set, struct errtext *et) MUST_CHECK;
void docset_wake(struct rag *r); /* after a change was committed */
void docset_init(struct rag *r);
enum err docset_start(struct croft *c, struct errtext *et) MUST_CHECK;
void docset_stop(struct rag *r);
void docset_members(struct jw *w, const struct docset *set);
void docset_span(struct run *run, const struct docset *set);
void post_ingest_commit(struct croft *c, struct http_request *rq, struct http_response *rs);

/* ---- pairs.c ---- */

struct pairs_ask {
	struct str model_sha256, question;
	const struct str *passages;
	size_t n;
	/* Reads what is not kept. */
	enum err (*read)(
		void *ctx, const struct str *passages, size_t n, float *scores, struct errtext *et);
	void *ctx;
};
/* p NULL: all is read. */
enum err pairs_score(struct rag_pairs *p, const struct pairs_ask *q, float *scores,
	struct errtext *et) MUST_CHECK;

/* ---- retrieval: what rag_search() gives and what answering needs beside it; all in `a` ---- */

struct retrieved {
	struct rag_hit *hits;
	size_t n;
	struct str *terms; /* of the query */
	uint32_t *word_at; /* the word of each term, by its place in the query */
	size_t n_terms;
	float *vector;     /* of the query; NULL for bm25 */
	size_t tokens;     /* that the embedding model read */
	size_t truncated;  /* 1: the query was longer than the model reads */
	struct docset set; /* what it stands on */
	struct fusion_info info;
	struct rag_trail *trail;
};

enum err rag_retrieve(struct croft *c, const struct rag_query *q, struct arena *a,
	struct retrieved *out, const struct cancel *cancel, struct errtext *et) MUST_CHECK;
/* What the run of a search says beside its hits. */
void span_retrieved(struct span *s, const struct retrieved *got);

/* ---- wire JSON shared by routes ---- */

void write_hit(struct jw *w, struct croft *c, const struct rag_hit *h, const struct str *terms,
	size_t n_terms);                               /* an open object's members */
void write_doc(struct jw *w, const struct doc_row *d); /* members */

/* ---- rows ---- */

void get_documents(struct croft *c, struct http_request *rq, struct http_response *rs);
void post_documents(struct croft *c, struct http_request *rq, struct http_response *rs);
void put_document(struct croft *c, struct http_request *rq, struct http_response *rs);
void post_plan(struct croft *c, struct http_request *rq, struct http_response *rs);
void get_document(struct croft *c, struct http_request *rq, struct http_response *rs);
void get_text(struct croft *c, struct http_request *rq, struct http_response *rs);
void get_chunks(struct croft *c, struct http_request *rq, struct http_response *rs);
void get_content(struct croft *c, struct http_request *rq, struct http_response *rs);
void delete_document(struct croft *c, struct http_request *rq, struct http_response *rs);
void post_search(struct croft *c, struct http_request *rq, struct http_response *rs);

enum err run_ingest(struct cmd *cmd, struct errtext *et);
enum err run_docs(struct cmd *cmd, struct errtext *et);
enum err run_docs_show(struct cmd *cmd, struct errtext *et);
enum err run_docs_rm(struct cmd *cmd, struct errtext *et);
enum err run_search(struct cmd *cmd, struct errtext *et);
void query_text(struct cmd *cmd, struct buf *out);
void print_trail(struct cmd *cmd, yyjson_val *reply);
extern const struct option ingest_options[], docs_options[], search_options[];
enum { N_INGEST_OPTIONS = 5, N_DOCS_OPTIONS = 3, N_SEARCH_OPTIONS = 13 + N_RAG_STAGE_OPTIONS };

enum err rag_blobs(struct croft *c, struct tx *tx, enum err (*fn)(void *ctx, struct str hex),
	void *ctx, struct errtext *et);

#endif
