/* Curation of collections: near-duplicates, outliers, samples to label, labels for items without
 * one, labels that are likely to be wrong, balance of classes.
 *
 *	curate.c          background jobs (jobs.h): read, work, keep
 *	curate_read.c     the items as rows, labels and figures
 *	curate_work.c     what is found, kind by kind (the methods are in vector/curate.h)
 *	curate_store.c    SQL, cases to bytes and back
 *	curate_apply.c    what was found into the payloads of items
 *	curate_dataset.c  what was found, or the rest, as a version of a dataset
 *	bulk.h            jobs that do that, which survive the server
 *	curate_json.c     options and results as JSON
 *	curate_routes.c, curate_cmd.c: wire JSON and the commands
 *
 * Of each kind the last result is kept, with the number of the change that it was made of. Which
 * server works at one is known to that server only; the result, to all. */
#ifndef COLLECTION_CURATE_INT_H
#define COLLECTION_CURATE_INT_H
#include "collection/collection_int.h"

#define CURATE_NO_GROUP UINT32_MAX
enum { CURATE_AT_ONCE = 2, CURATE_LABELS_MAX = 10000, CURATE_PAGE_MAX = 1000 };

enum curate_kind {
	CURATE_DUPLICATES,
	CURATE_OUTLIERS,
	CURATE_SAMPLE,
	CURATE_PROPAGATE,
	CURATE_MISLABELLED,
	CURATE_BALANCE,
	CURATE_KINDS
};
const char *curate_word(enum curate_kind k); /* "duplicates" */
bool curate_parse_kind(struct str word, enum curate_kind *out);

enum curate_keep { KEEP_FIRST, KEEP_LAST, KEEP_CENTRE, KEEP_LONGEST, KEEP_HIGHEST };
enum curate_method {
	METHOD_LOF,
	METHOD_DISTANCE,
	METHOD_CENTRE,
	METHOD_UNCERTAIN,
	METHOD_JOINT,
	METHOD_NOISE_RATE
};

/* What a job is asked; texts that were not given have .p NULL, numbers are NaN or 0. */
struct curate_options {
	struct str space;
	struct str label;  /* the field with the class of an item */
	struct str scores; /* the field with what a model said: numbers, or an object of them */
	struct str keep_field;
	struct str filter; /* JSON; .n 0: all items */
	enum curate_keep keep;
	enum curate_method method;
	double threshold, share, alpha, holdout;
	uint32_t k;
	size_t count;
	uint64_t seed;
	bool diverse, exact; /* exact: all pairs, however long that takes */
};

/* One item that was found. */
struct curate_case {
	int64_t num, other; /* the item; the one that stands for it, is nearest to it; 0: none */
	uint32_t group;     /* of duplicates */
	int32_t given, offered; /* labels, by their place in the result's list; -1: none */
	float score, more;
	uint32_t kept; /* of duplicates: stays */
};

struct curate_row {
	int64_t collection, seq, made_ms;
	enum curate_kind kind;
	struct str about, cases; /* about: JSON {parameters, summary, labels, tag} */
};
/* ERR_NOT_FOUND, without a text. Strings are in `a`; cases: only when wanted. */
enum err store_curation(struct tx *tx, int64_t collection, enum curate_kind kind, bool cases,
	struct arena *a, struct curate_row *out, struct errtext *et) MUST_CHECK;
enum err store_curation_put(
	struct tx *tx, const struct curate_row *r, struct errtext *et) MUST_CHECK;
enum err store_curation_drop(
	struct tx *tx, int64_t collection, enum curate_kind kind, struct errtext *et) MUST_CHECK;

void curate_encode(const struct curate_case *c, size_t n, struct buf *out);
/* Into `a`; ERR_CORRUPT. */
enum err curate_decode(struct str bytes, struct arena *a, struct curate_case **out, size_t *n,
	struct errtext *et) MUST_CHECK;

/* ---- the items as rows ---- */

struct curate_rows {
	struct arena *a;
	const struct space *spaces, *space;
	size_t n_spaces;
	const struct curate_options *o;
	const struct cond *filter;           /* only items that match; NULL: all */
	size_t n, cap, max_bytes, row_bytes; /* row_bytes: what the work needs for each */
	bool labels, worth, scores;          /* what is read of the payloads */
	float *v;          /* [n][dim]; of length 1 unless the distance is Euclid's */
	int64_t *num;      /* ascending */
	int32_t *label;    /* [n] or NULL; -1: none */
	double *worthy;    /* [n] or NULL */
	float *doubt;      /* [n] or NULL: how unsure the scores are, 0 to 1; NaN: none are there */
	bool *checked;     /* [n] or NULL: a person has said that the label is right */
	struct str *names; /* of the labels, as JSON */
	size_t n_names;
	struct map by_name;
	int64_t seq;
	const struct cancel *cancel;
};
/* As of one moment. A collection that is too large is ERR_LIMIT. */
enum err curate_read(
	struct croft *c, int64_t collection, struct curate_rows *x, struct errtext *et) MUST_CHECK;
void curate_rows_free(struct curate_rows *x);
/* The class that a payload's field says, as JSON: a text, a number, a truth value; of a list its
 * first. false: none. */
bool curate_label_of(yyjson_val *payload, struct str field, struct buf *out);

/* ---- the work ---- */

struct layout_work;
struct curate_found {
	struct curate_case *cases; /* malloc'ed */
	size_t n;
	struct buf summary; /* members of a JSON object, without its braces */
};
enum err curate_work(enum curate_kind kind, struct curate_rows *x, const struct layout_work *w,
	struct curate_found *out, struct errtext *et) MUST_CHECK;
void curate_found_free(struct curate_found *f);

/* ---- jobs ---- */

struct jobs;
enum err curations_new(
	struct jobs **out, struct errtext *et); /* collection/jobs.h; their number is the kind */
/* ERR_CONFLICT: one of that kind is worked at; ERR_BUSY: CURATE_AT_ONCE others are. */
enum err curate_start(struct croft *c, struct str project, struct str name, enum curate_kind kind,
	const struct curate_options *o, struct errtext *et) MUST_CHECK;

/* ---- options and results as JSON ---- */

/* Texts are the body's, but for the filter, which is in `a`. */
enum err curate_options_read(enum curate_kind kind, yyjson_val *body, struct arena *a,
	struct curate_options *out, struct errtext *et) MUST_CHECK;
void curate_options_write(
	struct jw *w, enum curate_kind kind, const struct curate_options *o, const struct space *s);
/* A result that is kept, taken apart. Texts are in `a` or in its JSON, which `a` frees. */
struct curate_result {
	struct curate_row row;
	yyjson_val *about;
	struct curate_case *cases;
	size_t n;
	enum distance distance;
};
enum err curate_result_read(struct tx *tx, int64_t collection, enum curate_kind kind, bool cases,
	struct arena *a, struct curate_result *out, struct errtext *et) MUST_CHECK;
void curate_write_label(struct jw *w, const struct curate_result *r, int32_t label);

/* ---- what becomes of it ---- */

const char *curate_default_field(enum curate_kind kind); /* "duplicate_of" */
/* Does the case say something of its item? Of duplicates that stay it does not. */
bool curate_tags(enum curate_kind kind, const struct curate_case *c);
/* What it says, as the value of a field. of: the id that `other` has, or .p NULL. */
void curate_write_value(
	struct jw *w, const struct curate_result *r, const struct curate_case *c, struct str of);

struct curate_applied {
	size_t items, gone; /* changed; no longer there, or their label was decided since */
	int64_t seq;
};
struct curate_apply {
	enum { APPLY_TAG, APPLY_LABEL, APPLY_CHECKED, APPLY_DELETE, APPLY_SET } action;
	struct str field;          /* .p NULL: the kind's own */
	struct str value;          /* of APPLY_SET: JSON */
	const struct item_id *ids; /* only these of the cases; NULL: all */
	size_t n_ids;
	const struct cancel *cancel;
	/* Goes on at this case, after what was done before. */
	size_t from;
	struct curate_applied before;
	/* Within the transaction of each batch that changes anything: what is done with it, and the
	 * case after it. A failure undoes the batch and ends the call. NULL: nothing. */
	enum err (*also)(void *ctx, const struct curate_applied *so_far, size_t reached,
		struct tx *tx, struct errtext *et);
	void *ctx;
};
/* ERR_INVALID when the kind has no such action. */
enum err curate_apply_check(
	enum curate_kind kind, const struct curate_apply *what, struct errtext *et) MUST_CHECK;
/* In batches of CURATE_BATCH, each one transaction with its record in the audit log. */
enum { CURATE_BATCH = 500 };
enum err curate_apply_run(struct croft *c, const struct principal *who, struct collection *k,
	const struct curate_result *r, const struct curate_apply *what, struct curate_applied *out,
	struct arena *a, struct errtext *et) MUST_CHECK;

struct curate_made;
struct curate_dataset {
	enum { DATASET_REST, DATASET_FOUND, DATASET_ALL } items;
	struct str name, field, description;
	bool vectors;
	const struct cancel *cancel;
	/* Within the transaction that puts the version. */
	enum err (*also)(
		void *ctx, struct tx *tx, const struct curate_made *made, struct errtext *et);
	void *ctx;
};
struct curate_made {
	int64_t version, rows;
	char digest[65];
};
enum err curate_dataset_make(struct croft *c, const struct principal *who,
	const struct collection_row *k, const struct curate_result *r,
	const struct curate_dataset *what, struct curate_made *out, struct arena *a,
	struct errtext *et) MUST_CHECK;

#endif
