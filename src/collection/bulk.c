/* The worker of jobs on many items: see bulk.h for what holds. */
#include "collection/bulk.h"
#include "base/clock.h"
#include "base/log.h"
#include "collection/item_json.h"
#include "collection/migrate_int.h"
#include "collection/part.h"
#include "store/worker.h"

#include <stdlib.h>

enum { THREADS = 2, RETRY_MS = 2000 };

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a job on items");
}

/* ---- adding and cancelling ---- */

static enum err add_in(struct tx *tx, void *ctx, struct errtext *et)
{
	const struct bulk_row *r = ctx;
	struct collection_row k;
	struct arena *a = arena_new(0);
	enum err e = a ? store_collection_by_number(tx, r->collection, a, &k, et) : no_memory(et);
	arena_free(a);
	e = e ? e : store_bulk_add(tx, r, et);
	e = e ? e : store_bulk_trim(tx, r->collection, et);
	return e ? e
		 : queue_add(tx, BULK_QUEUE, r->id,
			   &(struct queue_options){.attempts_max = 1 << 20, .only_one = r->id},
			   NULL, et);
}

enum err bulk_add(struct croft *c, const struct principal *who, struct bulk_row *r, struct arena *a,
	struct errtext *et)
{
	char id[ID_HEX + 1], by[ID_HEX + 1];
	id_hex(id_new(), id);
	id_hex(who->id, by);
	r->id = arena_str(a, str_c(id));
	r->who_id = id_is_zero(who->id) ? S("") : arena_str(a, str_c(by));
	r->who = who->name.p ? who->name : S("");
	r->project = who->project;
	r->error = r->outcome = S("");
	r->begun_ms = clock_unix_ms();
	if (!r->id.p || !r->who_id.p)
		return no_memory(et);
	enum err e = db_write(croft_db(c), add_in, r, et);
	if (!e)
		workers_wake(collections_of(c)->bulk);
	return e;
}

struct cancelling {
	struct arena *a;
	int64_t collection;
	struct str id;
};

static enum err cancel_in(struct tx *tx, void *ctx, struct errtext *et)
{
	struct cancelling *x = ctx;
	struct bulk_row r;
	enum err e = store_bulk(tx, x->id, false, x->a, &r, et);
	if (!e && r.collection != x->collection)
		return err_set(et, ERR_NOT_FOUND, "there is no such job of this collection");
	if (!e && r.state > BULK_RUNNING)
		return err_set(
			et, ERR_CONFLICT, "this job has ended: it is %s", bulk_state_word(r.state));
	r.state = BULK_CANCELLED;
	r.ended_ms = clock_unix_ms();
	return e ? e : store_bulk_set(tx, &r, et);
}

enum err bulk_cancel(struct croft *c, int64_t collection, struct str id, struct errtext *et)
{
	struct cancelling x = {arena_new(0), collection, id};
	enum err e = x.a ? db_write(croft_db(c), cancel_in, &x, et) : no_memory(et);
	arena_free(x.a);
	if (!e)
		workers_interrupt(collections_of(c)->bulk, id);
	return e;
}

/* ---- what the options say ---- */

static enum err ids_of(
	yyjson_val *list, struct arena *a, struct item_id **out, size_t *n, struct errtext *et)
{
	yyjson_val *v;
	size_t i, count = yyjson_arr_size(list), max;
	if (!yyjson_is_arr(list))
		return err_set(et, ERR_INVALID, "ids must be a list of ids");
	if (count > BULK_IDS_MAX)
		return err_set(et, ERR_TOO_LARGE,
			"%zu ids; at most %d go into one call: say a filter", count, BULK_IDS_MAX);
	struct item_id *ids = arena_array_of(a, count + 1, struct item_id);
	enum err e = ids ? OK : no_memory(et);
	yyjson_arr_foreach(list, i, max, v)
	{
		e = e ? e : item_json_id(v, &ids[i], et);
	}
	*out = ids;
	*n = count;
	return e;
}

enum err bulk_apply_of(yyjson_val *o, enum bulk_what what, struct arena *a,
	struct curate_apply *out, struct errtext *et)
{
	struct curate_apply x = {.action = (unsigned)what};
	yyjson_val *ids = yyjson_obj_get(o, "ids"), *value = yyjson_obj_get(o, "value");
	struct item_id *list = NULL;
	struct buf b = {0};
	enum err e = json_want_str(o, "field", &x.field, et);
	if (!e && ids && !yyjson_is_null(ids))
		e = ids_of(ids, a, &list, &x.n_ids, et);
	x.ids = list;
	if (!e && value) {
		jw_val(&(struct jw){.out = &b}, value);
		x.value = b.err ? (struct str){0} : arena_str(a, buf_str(&b));
		e = x.value.p ? OK : no_memory(et);
		buf_free(&b);
	}
	if (!e)
		*out = x;
	return e;
}

enum err bulk_dataset_of(yyjson_val *o, struct curate_dataset *out, struct errtext *et)
{
	static const char *const words[] = {"rest", "found", "all"};
	struct curate_dataset x = {.items = DATASET_REST};
	struct str items = {0};
	bool known = false;
	enum err e = json_want_str(o, "items", &items, et);
	e = e ? e : json_want_str(o, "dataset", &x.name, et);
	e = e ? e : json_want_str(o, "field", &x.field, et);
	e = e ? e : json_want_str(o, "description", &x.description, et);
	e = e ? e : json_want_bool(o, "vectors", &x.vectors, et);
	if (!e && !x.name.n)
		return err_set(et, ERR_INVALID, "dataset (its name) is missing");
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_eq_c(items, words[i])) {
			x.items = (unsigned)i;
			known = true;
		}
	if (!e && items.p && !known)
		e = err_set(et, ERR_INVALID, "items cannot be \"%.*s\": rest, found or all",
			STR_FMT(str_sub(items, 0, 40)));
	if (!e)
		*out = x;
	return e;
}

/* ---- one job ---- */

struct bulk {
	struct croft *c;
	struct work *w;
	struct bulk_row r;
	struct principal who;
	yyjson_val *options;
	struct curate_result result;
	struct collection *k;
	struct arena *a;
};

/* Within the transaction of a batch, of the end: is it still wanted? */
static enum err still_running(struct bulk *b, struct tx *tx, struct errtext *et)
{
	struct bulk_row now;
	struct arena *a = arena_new(0);
	enum err e = a ? store_bulk(tx, b->r.id, false, a, &now, et) : no_memory(et);
	if (!e && now.state > BULK_RUNNING)
		e = err_set(et, ERR_CANCELLED, "cancelled");
	arena_free(a);
	return e;
}

static enum err note_batch(void *ctx, const struct curate_applied *so_far, size_t reached,
	struct tx *tx, struct errtext *et)
{
	struct bulk *b = ctx;
	struct bulk_row r = b->r;
	enum err e = still_running(b, tx, et);
	r.reached = (int64_t)reached;
	r.items = (int64_t)so_far->items;
	r.gone = (int64_t)so_far->gone;
	return e ? e : store_bulk_set(tx, &r, et);
}

static enum err begin_in(struct tx *tx, void *ctx, struct errtext *et)
{
	struct bulk *b = ctx;
	enum err e = store_bulk(tx, b->w->job.body, true, b->a, &b->r, et);
	if (e || b->r.state > BULK_RUNNING)
		return e;
	b->r.state = BULK_RUNNING;
	return store_bulk_set(tx, &b->r, et);
}

static enum err end_in(struct tx *tx, void *ctx, struct errtext *et)
{
	struct bulk *b = ctx;
	enum err e = still_running(b, tx, et);
	b->r.ended_ms = clock_unix_ms();
	e = e ? e : store_bulk_set(tx, &b->r, et);
	return e ? e : queue_done(tx, &b->w->job, et);
}

/* ---- a selection: items by their ids or by a filter ---- */

struct selecting {
	struct curate_case *cases;
	size_t n, cap;
};

static enum err select_num(struct selecting *s, int64_t num, struct errtext *et)
{
	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 1024;
		void *more = realloc(s->cases, cap * sizeof *s->cases);
		if (!more)
			return no_memory(et);
		s->cases = more;
		s->cap = cap;
	}
	s->cases[s->n++] = (struct curate_case){
		.num = num, .group = CURATE_NO_GROUP, .given = -1, .offered = -1};
	return OK;
}

static enum err select_ids(struct bulk *b, struct selecting *s, struct errtext *et)
{
	enum { AT_ONCE = 1000 };
	struct item_id *ids = NULL;
	size_t n = 0;
	enum err e = ids_of(yyjson_obj_get(b->options, "ids"), b->a, &ids, &n, et);
	for (size_t at = 0; at < n && !e; at += AT_ONCE) {
		struct arena *a = arena_new(0);
		struct tx *tx = NULL;
		e = cancelled(b->w->cancel) ? ERR_CANCELLED : a ? OK : no_memory(et);
		e = e ? e : db_begin(croft_db(b->c), TX_READ, &tx, et);
		for (size_t i = at; i < MIN(at + AT_ONCE, n) && !e; i++) {
			struct item_row r;
			e = store_item(tx, b->r.collection, item_id_bytes(&ids[i]),
				(struct item_want){false}, a, &r, et);
			e = e == ERR_NOT_FOUND ? (b->r.gone++, OK)
			    : e                ? e
					       : select_num(s, r.num, et);
		}
		if (tx)
			db_rollback(tx);
		arena_free(a);
	}
	return e;
}

static enum err select_matching(struct bulk *b, struct selecting *s, struct errtext *et)
{
	static const struct cond everything = {.kind = COND_ALL};
	const struct cond *c = NULL;
	struct matched *list = NULL;
	struct str json;
	size_t n = 0;
	struct arena *a = arena_new(0);
	enum err e = a ? part_of_body(b->options, a, &json, et) : no_memory(et);
	e = e ? e : part_read(b->c, b->r.collection, json, a, &c, et);
	e = e ? e : filter_list(b->k, c ? c : &everything, a, &list, &n, et);
	for (size_t i = 0; i < n && !e; i++)
		e = select_num(s, (int64_t)list[i].num, et);
	arena_free(a);
	return e;
}

static int by_num(const void *a, const void *b)
{
	const struct curate_case *x = a, *y = b;
	return x->num < y->num ? -1 : x->num > y->num;
}

static enum err put_cases(struct tx *tx, void *ctx, struct errtext *et)
{
	struct bulk *b = ctx;
	enum err e = still_running(b, tx, et);
	return e ? e : store_bulk_cases(tx, b->r.id, b->r.cases, b->r.total, et);
}

/* Which items are meant is settled once, and kept: a job that goes on works on the same ones. */
static enum err select_items(struct bulk *b, struct errtext *et)
{
	struct selecting s = {0};
	struct buf bytes = {0};
	size_t n = 0;
	enum err e = yyjson_is_arr(yyjson_obj_get(b->options, "ids")) ? select_ids(b, &s, et)
								      : select_matching(b, &s, et);
	if (!e && s.n)
		qsort(s.cases, s.n, sizeof *s.cases, by_num);
	for (size_t i = 0; i < s.n && !e; i++) /* an id that was said twice is one item */
		if (!n || s.cases[n - 1].num != s.cases[i].num)
			s.cases[n++] = s.cases[i];
	if (!e) {
		curate_encode(s.cases, n, &bytes);
		b->r.cases = bytes.err ? (struct str){0} : arena_str(b->a, buf_str(&bytes));
		b->r.total = (int64_t)n;
		e = b->r.cases.p ? db_write(croft_db(b->c), put_cases, b, et) : no_memory(et);
	}
	buf_free(&bytes);
	free(s.cases);
	return e;
}

/* ---- doing it ---- */

static enum err read_json(struct bulk *b, struct str text, yyjson_val **out, struct errtext *et)
{
	yyjson_doc *doc = NULL;
	enum err e = json_parse(text, &doc, et);
	if (e)
		return err_wrap(et, ERR_CORRUPT, "a stored job on items");
	if (!arena_on_free(b->a, (void (*)(void *))yyjson_doc_free, doc)) {
		yyjson_doc_free(doc);
		return no_memory(et);
	}
	*out = yyjson_doc_get_root(doc);
	return OK;
}

static enum err prepare(struct bulk *b, struct errtext *et)
{
	/* the request that asked for it was allowed to, or there would be no job */
	b->who = (struct principal){.name = b->r.who,
		.project = b->r.project,
		.perms = b->r.what == BULK_DATASET ? 1ull << PERM_ARTIFACT_WRITE : 0};
	if (b->r.who_id.n && !id_parse(b->r.who_id, &b->who.id))
		return err_set(et, ERR_CORRUPT, "a stored job on items is damaged");
	enum err e = read_json(b, b->r.options, &b->options, et);
	e = e ? e : read_json(b, b->r.about, &b->result.about, et);
	e = e ? e : collection_open_number(b->c, b->r.collection, &b->k, b->w->cancel, et);
	if (!e && b->r.kind == CURATE_KINDS && !b->r.cases.n)
		e = select_items(b, et);
	b->result.row = (struct curate_row){
		.collection = b->r.collection, .seq = b->r.found_at, .kind = b->r.kind};
	return e ? e : curate_decode(b->r.cases, b->a, &b->result.cases, &b->result.n, et);
}

static enum err apply(struct bulk *b, struct errtext *et)
{
	struct curate_apply what;
	struct curate_applied done = {0};
	enum err e = bulk_apply_of(b->options, b->r.what, b->a, &what, et);
	if (e)
		return e;
	if (b->r.kind == CURATE_KINDS) { /* they are the cases */
		what.ids = NULL;
		what.n_ids = 0;
	}
	what.cancel = b->w->cancel;
	what.from = (size_t)b->r.reached;
	what.before = (struct curate_applied){(size_t)b->r.items, (size_t)b->r.gone, b->r.seq};
	what.also = note_batch;
	what.ctx = b;
	e = curate_apply_run(b->c, &b->who, b->k, &b->result, &what, &done, b->a, et);
	b->r.items = (int64_t)done.items;
	b->r.gone = (int64_t)done.gone;
	b->r.seq = done.seq;
	b->r.reached = b->r.total;
	b->r.state = BULK_DONE;
	return e ? e : db_write(croft_db(b->c), end_in, b, et);
}

static enum err put_version(
	void *ctx, struct tx *tx, const struct curate_made *made, struct errtext *et)
{
	struct bulk *b = ctx;
	struct buf out = {0};
	struct jw w = {.out = &out};
	jw_obj(&w);
	jw_kstr(&w, "name", json_str(b->options, "dataset"));
	jw_ki64(&w, "version", made->version);
	jw_kc(&w, "digest", made->digest);
	jw_ki64(&w, "rows", made->rows);
	jw_end(&w);
	b->r.outcome = out.err ? (struct str){0} : arena_str(b->a, buf_str(&out));
	buf_free(&out);
	b->r.items = made->rows;
	b->r.reached = b->r.total;
	b->r.state = BULK_DONE;
	return b->r.outcome.p ? end_in(tx, b, et) : no_memory(et);
}

static enum err set_in(struct tx *tx, void *ctx, struct errtext *et)
{
	struct bulk *b = ctx;
	enum err e = still_running(b, tx, et);
	return e ? e : store_bulk_set(tx, &b->r, et);
}

static enum err make_dataset(struct bulk *b, struct errtext *et)
{
	struct curate_dataset what;
	struct collection_row k;
	struct curate_made made;
	struct tx *tx;
	enum err e = bulk_dataset_of(b->options, &what, et);
	e = e ? e : db_begin(croft_db(b->c), TX_READ, &tx, et);
	if (e)
		return e;
	e = store_collection_by_number(tx, b->r.collection, b->a, &k, et);
	db_rollback(tx);
	if (b->r.kind == CURATE_KINDS && !yyjson_obj_get(b->options, "items"))
		what.items = DATASET_FOUND;
	what.cancel = b->w->cancel;
	what.also = put_version;
	what.ctx = b;
	b->r.total = e ? 0 : k.items;
	e = e ? e : db_write(croft_db(b->c), set_in, b, et);
	return e ? e : curate_dataset_make(b->c, &b->who, &k, &b->result, &what, &made, b->a, et);
}

static enum err fail_in(struct tx *tx, void *ctx, struct errtext *et)
{
	struct bulk *b = ctx;
	enum err e = still_running(b, tx, et);
	b->r.ended_ms = clock_unix_ms();
	e = e ? e : store_bulk_set(tx, &b->r, et);
	e = e == ERR_CANCELLED || e == ERR_NOT_FOUND ? OK : e;
	return e ? e : queue_done(tx, &b->w->job, et);
}

/* A server that stops, or that has lost the lease, leaves the job as it is; one that was cancelled
 * is over; any other failure is the job's. */
static enum err end_failed(struct bulk *b, enum err why, struct errtext *et)
{
	struct errtext own;
	struct bulk_row now = {0};
	struct tx *tx;
	enum err e = db_begin(croft_db(b->c), TX_READ, &tx, &own);
	if (!e) {
		e = store_bulk(tx, b->w->job.body, false, b->a, &now, &own);
		db_rollback(tx);
	}
	if (e == ERR_NOT_FOUND || (!e && now.state > BULK_RUNNING))
		return queue_done_now(b->w->db, &b->w->job, et);
	if (e || why == ERR_CANCELLED)
		return ERR_CANCELLED;
	if (err_retryable(why) ||
		why == ERR_CONFLICT) /* a conflict would say that it is another's */
		return ERR_NOT_READY;
	b->r = now;
	b->r.state = BULK_FAILED;
	b->r.error = str_c(err_text(why, et));
	log_warn("a job on the items of a collection: %s", err_text(why, et));
	return db_write(croft_db(b->c), fail_in, b, &own);
}

static enum err run(struct work *w, struct errtext *et)
{
	struct bulk b = {.c = w->ctx, .w = w, .a = arena_new((size_t)1 << 32)};
	enum err e = b.a ? db_write(w->db, begin_in, &b, et) : no_memory(et);
	thread_stand_back();
	if (e == ERR_NOT_FOUND || (!e && b.r.state > BULK_RUNNING)) {
		arena_free(b.a);
		return queue_done_now(w->db, &w->job, et);
	}
	e = e ? e : prepare(&b, et);
	e = e ? e : b.r.what == BULK_DATASET ? make_dataset(&b, et) : apply(&b, et);
	if (e)
		e = end_failed(&b, e, et);
	collection_close(b.k);
	arena_free(b.a);
	return e;
}

/* Another server may have heard the cancel. */
static bool wanted(void *ctx, const struct job *job)
{
	struct croft *c = ctx;
	struct errtext et;
	struct bulk_row r;
	struct tx *tx;
	struct arena *a = arena_new(0);
	bool yes = true;
	if (a && !db_begin(croft_db(c), TX_READ, &tx, &et)) {
		enum err e = store_bulk(tx, job->body, false, a, &r, &et);
		yes = e ? e != ERR_NOT_FOUND : r.state <= BULK_RUNNING;
		db_rollback(tx);
	}
	arena_free(a);
	return yes;
}

enum err bulk_start(struct croft *c, struct errtext *et)
{
	return workers_start(croft_db(c),
		&(struct worker_options){.queue = BULK_QUEUE,
			.name = "bulk",
			.threads = THREADS,
			.retry_ms = RETRY_MS,
			.run = run,
			.wanted = wanted,
			.ctx = c},
		&collections_of(c)->bulk, et);
}

void bulk_stop(struct croft *c)
{
	workers_stop(collections_of(c)->bulk);
	collections_of(c)->bulk = NULL;
}
