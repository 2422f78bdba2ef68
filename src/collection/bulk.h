/* Work on many items that outlives the request and the server: what curation found, or what was
 * selected, is written into the items, deleted, or made a version of a dataset.
 *
 *	bulk.c         the worker: selects, writes batch by batch, or makes the dataset
 *	bulk_store.c   SQL
 *	bulk_routes.c  wire JSON
 *	bulk_cmd.c     commands
 *
 * A job holds all that it works on: the parameters, the cases (curate_int.h), who asked. So a later
 * curation or the deletion of a result does not change what is being done.
 *
 *	waiting --lease--> running --the last batch--> done
 *	                      |------- an error ----> failed
 *	waiting, running --bulk_cancel-------------> cancelled
 *
 * 1. A batch of changes, its record in the audit log and how far the job is are one transaction. A
 *    server that is killed finds the job in the queue (store/worker.h) when it is back and goes on
 *    with the first batch that is not there: nothing is done twice, nothing is left out.
 * 2. A dataset's version is put by the last transaction, together with the end of the job. Until
 *    then there are blobs that no version names, which are collected; a restart begins anew, and
 *    the same items make the same bytes.
 * 3. A job whose state is not running any more changes nothing: each batch looks at it in its own
 *    transaction, on whatever server the cancel came in.
 *
 * Up to BULK_NOW items that are named are one batch: done in the request, without a job. */
#ifndef COLLECTION_BULK_H
#define COLLECTION_BULK_H
#include "collection/curate_int.h"
#include "module/cmd.h"

#define BULK_QUEUE "bulk"
enum { BULK_NOW = 500, BULK_IDS_MAX = 2000000, BULK_KEPT = 20 };

enum bulk_what {
	BULK_TAG,
	BULK_LABEL,
	BULK_CHECKED,
	BULK_DELETE,
	BULK_SET,
	BULK_DATASET,
	BULK_WHATS
};
enum bulk_state { BULK_WAITING, BULK_RUNNING, BULK_DONE, BULK_FAILED, BULK_CANCELLED };

struct bulk_row {
	struct str id, project, who_id, who; /* who_id: hex, or "" */
	int64_t collection;
	enum bulk_what what;
	enum curate_kind kind; /* CURATE_KINDS: items that were selected */
	struct str options;    /* JSON: field, value, ids, filter, dataset, ... */
	struct str about;      /* of the result: JSON */
	struct str cases;      /* .n 0 for a selection: not looked up yet */
	enum bulk_state state;
	struct str error, outcome; /* outcome: JSON of a dataset, or "" */
	int64_t found_at;          /* the change that the result was made of */
	int64_t reached, total, items, gone, seq, begun_ms, ended_ms;
};

enum err store_bulk_add(struct tx *tx, const struct bulk_row *r, struct errtext *et) MUST_CHECK;
/* Strings are in `a`; cases and options: only when `whole`. ERR_NOT_FOUND. */
enum err store_bulk(struct tx *tx, struct str id, bool whole, struct arena *a, struct bulk_row *out,
	struct errtext *et) MUST_CHECK;
/* The newest first, without options and cases. */
enum err store_bulks(struct tx *tx, int64_t collection, size_t max, struct arena *a,
	struct bulk_row **out, size_t *n, struct errtext *et) MUST_CHECK;
/* State, error, outcome and figures. One that has ended loses its cases and options. */
enum err store_bulk_set(struct tx *tx, const struct bulk_row *r, struct errtext *et) MUST_CHECK;
enum err store_bulk_cases(struct tx *tx, struct str id, struct str cases, int64_t total,
	struct errtext *et) MUST_CHECK;
/* Those that have ended, but for the newest BULK_KEPT. */
enum err store_bulk_trim(struct tx *tx, int64_t collection, struct errtext *et) MUST_CHECK;
enum err store_bulk_drop(struct tx *tx, int64_t collection, struct errtext *et) MUST_CHECK;

const char *bulk_word(enum bulk_what w);        /* "tag" */
const char *bulk_state_word(enum bulk_state s); /* "running" */

/* Adds a job; r->id and the times are set. */
enum err bulk_add(struct croft *c, const struct principal *who, struct bulk_row *r, struct arena *a,
	struct errtext *et) MUST_CHECK;
/* ERR_CONFLICT: it has ended. What it has done stays. */
enum err bulk_cancel(
	struct croft *c, int64_t collection, struct str id, struct errtext *et) MUST_CHECK;

/* What `options` of a job say, as curate_apply_run and curate_dataset_make want it. Texts are in
 * the JSON. */
enum err bulk_apply_of(yyjson_val *options, enum bulk_what what, struct arena *a,
	struct curate_apply *out, struct errtext *et) MUST_CHECK;
enum err bulk_dataset_of(
	yyjson_val *options, struct curate_dataset *out, struct errtext *et) MUST_CHECK;

/* For commands: posts to url and waits for the job that this begins; doc: how it ended. name_url is
 * that of the collection. */
enum err bulk_call(struct cmd *cmd, const char *name_url, const char *url, struct str body,
	const char *doing, struct buf *reply, yyjson_doc **doc, struct errtext *et) MUST_CHECK;
void bulk_print_dataset(struct cmd *cmd, yyjson_val *job);

enum err bulk_start(struct croft *c, struct errtext *et) MUST_CHECK;
void bulk_stop(struct croft *c);

#endif
