/* What a collection is held to: a recall that its searches are to reach, and bytes of memory. Both
 * stand in a row of their own (none: the settings), are read with the collection, and may be
 * changed while it is open. */
#include "collection/held.h"
#include "access/access.h"
#include "base/clock.h"

#include <math.h>

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for the limits of a collection");
}

/* ---- SQL ---- */

enum err store_limits(
	struct tx *tx, int64_t collection, struct collection_limits *out, struct errtext *et)
{
	struct row *r;
	struct collection_limits l = {NAN, -1};
	enum err e = db_query(tx, &r, et,
		"SELECT recall, bytes FROM collection_limit WHERE collection = ?",
		P_I64(collection));
	if (e)
		return e;
	if (row_next(r, &e, et)) {
		l.recall = row_null(r, 0) ? NAN : row_f64(r, 0);
		l.bytes = row_i64(r, 1);
	}
	row_free(r);
	if (!e)
		*out = l;
	return e;
}

static enum err store_limits_put(
	struct tx *tx, int64_t collection, const struct collection_limits *l, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO collection_limit (collection, recall, bytes) VALUES (?, ?, ?) "
		"ON CONFLICT (collection) DO UPDATE SET recall = excluded.recall, bytes = "
		"excluded.bytes",
		P_I64(collection), P_F64(l->recall), P_I64(l->bytes));
}

/* ---- what counts ---- */

static double default_recall(const struct croft *c)
{
	double v;
	return str_f64(setting_text(c, "collection.recall_target"), &v) && v >= 0 && v < 1 ? v : 0;
}

struct collection_limits limits_in_force(const struct croft *c, struct collection_limits own)
{
	if (isnan(own.recall))
		own.recall = default_recall(c);
	if (own.bytes < 0)
		own.bytes = setting_int(c, "collection.memory_bytes");
	return own;
}

void limits_adopt(struct collection *k, const struct collection_limits *own)
{
	struct collection_limits l = limits_in_force(k->c, *own);
	atomic_store(&k->recall_ppm, (int64_t)lround(l.recall * 1e6));
	atomic_store(&k->memory_bytes, l.bytes);
}

/* ---- changing ---- */

struct changing {
	const struct http_request *rq;
	struct str project, name;
	const struct limits_patch *p;
	struct collection_limits now;
	int64_t number;
	struct arena *a;
};

static enum err note_audit(struct tx *tx, struct changing *x, struct errtext *et)
{
	struct buf b = {0}, subject = {0};
	struct jw w = {.out = &b};
	buf_addf(&subject, "collection/%.*s", STR_FMT(x->name));
	jw_obj(&w);
	jw_kf64(&w, "recall_target", x->now.recall);
	jw_ki64(&w, "memory_bytes", x->now.bytes);
	jw_end(&w);
	enum err e = b.err || subject.err ? no_memory(et)
					  : audit_add(tx, x->rq->who, "collection.limits",
						    buf_str(&subject), buf_str(&b), et);
	buf_free(&b);
	buf_free(&subject);
	return e;
}

static enum err change_in(struct tx *tx, void *ctx, struct errtext *et)
{
	struct changing *x = ctx;
	struct collection_row r;
	char number[24];
	enum err e = store_collection_by_name(tx, x->project, x->name, x->a, &r, et);
	e = e ? e : store_limits(tx, r.number, &x->now, et);
	if (e)
		return e;
	x->number = r.number;
	x->now.recall = x->p->recall_given ? x->p->to.recall : x->now.recall;
	x->now.bytes = x->p->bytes_given ? x->p->to.bytes : x->now.bytes;
	snprintf(number, sizeof number, "%lld", (long long)r.number);
	e = store_limits_put(tx, r.number, &x->now, et);
	e = e ? e : note_audit(tx, x, et);
	return e ? e : db_notify(tx, COLLECTION_CHANNEL, str_c(number), et);
}

enum err limits_change(struct croft *c, const struct http_request *rq, struct str name,
	const struct limits_patch *p, struct errtext *et)
{
	struct changing x = {
		.rq = rq, .project = project_of(rq), .name = name, .p = p, .a = arena_new(0)};
	char number[24];
	enum err e = x.a ? db_write(croft_db(c), change_in, &x, et) : no_memory(et);
	arena_free(x.a);
	if (e)
		return e;
	snprintf(number, sizeof number, "%lld", (long long)x.number);
	struct collection *k = take_open(collections_of(c), str_c(number));
	if (k) {
		limits_adopt(k, &x.now);
		let_go(k);
	}
	return OK;
}

enum err limits_read(struct croft *c, struct str project, struct str name, struct arena *a,
	struct collection_limits *out, struct errtext *et)
{
	struct collection_row r;
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = store_collection_by_name(tx, project, name, a, &r, et);
	e = e ? e : store_limits(tx, r.number, out, et);
	db_rollback(tx);
	return e;
}
