/* Tracked runs in the database: the head (a row of `run`), the document, the tail of events.
 *
 *  1. A change appends one row to the tail and gives the run a new version; versions of one
 *     experiment only grow, in the order of commits, since write transactions exclude each other.
 *     So "what changed after version V" is a range of an index.
 *  2. The document (run_doc) holds all events up to run.folded; with the tail rows behind that it
 *     is the run's state. Tail rows up to `folded` are only history of points.
 *  3. Points leave the tail for the series in one transaction with the tail's removal, and only
 *     after a fold up to its end. */
#include "run/track_int.h"
#include "base/clock.h"

#include <stdlib.h>

const char *const track_status_words[TRACK_STATUSES] = {
	"running", "scheduled", "ok", "error", "killed"};

#define NEXT_VERSION                                                              \
	"(SELECT COALESCE(MAX(v.version), 0) + 1 FROM run v WHERE v.project = ? " \
	"AND v.experiment = ?)"

static enum err put_tail(
	struct tx *tx, struct id id, int64_t seq, struct str events, struct errtext *et)
{
	return db_exec(tx, et, "INSERT INTO run_tail (run, seq, data) VALUES (?, ?, ?)", P_ID(id),
		P_I64(seq), P_BLOB(events));
}

static enum err put_doc(struct tx *tx, struct id id, struct str events, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO run_doc (run, data) VALUES (?, ?) "
		"ON CONFLICT (run) DO UPDATE SET data = excluded.data",
		P_ID(id), P_BLOB(events));
}

enum err track_store_insert(struct tx *tx, struct str project, const struct track_new *n,
	struct id id, struct str creator, struct str events, struct errtext *et)
{
	enum err e = db_exec(tx, et,
		"INSERT INTO run (id, kind, name, status, start_ns, attributes, project, "
		"experiment, person, creator, version) "
		"VALUES (?, 'experiment', ?, 'running', ?, '{}', ?, ?, ?, ?, " NEXT_VERSION ")",
		P_ID(id), P_TEXT(n->name), P_I64(n->start_ms * 1000000), P_TEXT(project),
		P_I64(n->experiment), P_TEXT(n->user), P_TEXT(creator), P_TEXT(project),
		P_I64(n->experiment));
	return e ? e : put_doc(tx, id, events, et);
}

/* ---- heads ---- */

#define HEAD_COLUMNS                                                                            \
	"r.id, r.experiment, r.version, r.status, r.start_ns, r.end_ns, r.deleted_ms, r.tail, " \
	"r.tail_bytes, r.folded, r.name, r.person"

static enum track_status status_of(struct str word)
{
	for (unsigned i = 0; i < TRACK_STATUSES; i++)
		if (str_eq_c(word, track_status_words[i]))
			return (enum track_status)i;
	return TRACK_KILLED;
}

/* Strings are borrowed from the row. */
static void read_head(struct row *r, struct head *h)
{
	*h = (struct head){
		.t = {.id = row_id(r, 0),
			.experiment = row_i64(r, 1),
			.version = row_i64(r, 2),
			.status = status_of(row_text(r, 3)),
			.start_ms = row_i64(r, 4) / 1000000,
			.end_ms = row_i64(r, 5) / 1000000,
			.deleted_ms = row_i64(r, 6),
			.name = row_text(r, 10),
			.user = row_text(r, 11)},
		.tail = row_i64(r, 7),
		.tail_bytes = row_i64(r, 8),
		.folded = row_i64(r, 9),
	};
}

enum err track_store_head(struct tx *tx, struct str project, struct id id, struct arena *a,
	struct head *out, struct errtext *et)
{
	struct row *r;
	struct head h = {0};
	enum err e = db_query(tx, &r, et,
		"SELECT " HEAD_COLUMNS
		" FROM run r WHERE r.id = ? AND r.project = ? AND r.version > 0",
		P_ID(id), P_TEXT(project));
	if (e)
		return e;
	if (row_next(r, &e, et)) {
		read_head(r, &h);
		h.t.name = a ? arena_str(a, h.t.name) : S("");
		h.t.user = a ? arena_str(a, h.t.user) : S("");
		if (!h.t.name.p || !h.t.user.p)
			e = err_set(et, ERR_NOMEM, "no memory for a run");
	} else if (!e) {
		char hex[ID_HEX + 1];
		id_hex(id, hex);
		e = err_set(et, ERR_NOT_FOUND, "Run with id=%s not found", hex);
	}
	row_free(r);
	if (!e)
		*out = h;
	return e;
}

/* ---- documents ---- */

/* Copies of the rows that a document is made of: its strings point into them until it is done. */
struct parts {
	struct arena *a;
	struct run_doc *d;
};

static enum err parts_open(struct parts *p, struct errtext *et)
{
	p->a = arena_new(0);
	p->d = run_doc_new();
	return p->a && p->d ? OK : err_set(et, ERR_NOMEM, "no memory for the data of a run");
}

static void parts_close(struct parts *p)
{
	arena_free(p->a);
	run_doc_free(p->d);
}

static enum err parts_add(struct parts *p, struct str data, struct errtext *et)
{
	struct str copy = arena_str(p->a, data);
	return copy.p ? run_doc_add(p->d, copy, et)
		      : err_set(et, ERR_NOMEM, "no memory for the data of a run");
}

enum err track_store_load(
	struct tx *tx, const struct head *h, struct tracked **out, struct errtext *et)
{
	struct parts p = {0};
	struct row *r = NULL;
	enum err e = parts_open(&p, et);
	if (!e)
		e = db_query(tx, &r, et, "SELECT data FROM run_doc WHERE run = ?", P_ID(h->t.id));
	while (!e && row_next(r, &e, et))
		e = parts_add(&p, row_blob(r, 0), et);
	row_free(r);
	r = NULL;
	if (!e && h->tail > h->folded)
		e = db_query(tx, &r, et,
			"SELECT data FROM run_tail WHERE run = ? AND seq > ? ORDER BY seq",
			P_ID(h->t.id), P_I64(h->folded));
	while (!e && r && row_next(r, &e, et))
		e = parts_add(&p, row_blob(r, 0), et);
	row_free(r);
	if (!e)
		e = run_doc_finish(p.d, &h->t, out, et);
	parts_close(&p);
	return e;
}

/* ---- changes ---- */

enum err track_store_append(struct tx *tx, struct str project, const struct head *h, struct id id,
	struct str events, struct errtext *et)
{
	enum err e = OK;
	bool any = events.n > 4;
	if (any)
		e = put_tail(tx, id, h->tail + 1, events, et);
	return e ? e
		 : db_exec(tx, et,
			   "UPDATE run SET tail = ?, tail_bytes = ?, version = " NEXT_VERSION
			   " WHERE id = ?",
			   P_I64(h->tail + any),
			   P_I64(h->tail_bytes + (any ? (int64_t)events.n : 0)), P_TEXT(project),
			   P_I64(h->t.experiment), P_ID(id));
}

enum err track_store_update(struct tx *tx, struct id id, struct str name, int status,
	int64_t end_ms, struct errtext *et)
{
	enum err e = OK;
	if (name.p)
		e = db_exec(tx, et, "UPDATE run SET name = ? WHERE id = ?", P_TEXT(name), P_ID(id));
	if (!e && status >= 0)
		e = db_exec(tx, et, "UPDATE run SET status = ? WHERE id = ?",
			P_TEXT(str_c(track_status_words[status])), P_ID(id));
	if (!e && end_ms)
		e = db_exec(tx, et, "UPDATE run SET end_ns = ? WHERE id = ?",
			P_I64(end_ms * 1000000), P_ID(id));
	return e;
}

enum err track_store_fold(struct tx *tx, const struct tracked *t, int64_t tail, struct errtext *et)
{
	struct buf b = {0};
	events_begin(&b);
	events_document(&b, t);
	events_end(&b);
	enum err e = b.err ? err_set(et, b.err, "no memory for the data of a run")
			   : put_doc(tx, t->id, buf_str(&b), et);
	buf_free(&b);
	return e ? e
		 : db_exec(tx, et, "UPDATE run SET folded = ? WHERE id = ?", P_I64(tail),
			   P_ID(t->id));
}

enum err track_store_tail_points(
	struct tx *tx, struct id run, struct str key, points_fn fn, void *ctx, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(
		tx, &r, et, "SELECT data FROM run_tail WHERE run = ? ORDER BY seq", P_ID(run));
	if (e)
		return e;
	while (!e && row_next(r, &e, et))
		e = events_points(row_blob(r, 0), key, fn, ctx, et);
	row_free(r);
	return e;
}

enum err track_store_drop_tail(struct tx *tx, struct id run, struct errtext *et)
{
	enum err e = db_exec(tx, et, "DELETE FROM run_tail WHERE run = ?", P_ID(run));
	return e ? e : db_exec(tx, et, "UPDATE run SET tail_bytes = 0 WHERE id = ?", P_ID(run));
}

static enum err mark_one(struct tx *tx, struct str project, int64_t experiment, struct id id,
	int64_t ms, struct errtext *et)
{
	return db_exec(tx, et,
		"UPDATE run SET deleted_ms = ?, version = " NEXT_VERSION " WHERE id = ?", P_I64(ms),
		P_TEXT(project), P_I64(experiment), P_ID(id));
}

enum err track_store_mark(struct tx *tx, struct str project, int64_t experiment, struct id id,
	int64_t ms, struct errtext *et)
{
	if (!id_is_zero(id))
		return mark_one(tx, project, experiment, id, ms, et);
	struct row *r;
	struct id *ids = NULL;
	size_t n = 0, cap = 0;
	enum err e = db_query(tx, &r, et,
		"SELECT id FROM run WHERE project = ? AND experiment = ? AND version > 0",
		P_TEXT(project), P_I64(experiment));
	if (e)
		return e;
	while (!e && row_next(r, &e, et)) {
		if (n == cap) {
			cap = cap ? cap * 2 : 64;
			struct id *v = realloc(ids, cap * sizeof *v);
			if (!v) {
				e = err_set(et, ERR_NOMEM, "no memory for an experiment's runs");
				break;
			}
			ids = v;
		}
		ids[n++] = row_id(r, 0);
	}
	row_free(r);
	for (size_t i = 0; i < n && !e; i++)
		e = mark_one(tx, project, experiment, ids[i], ms, et);
	free(ids);
	return e;
}

/* ---- what changed ---- */

struct changed {
	struct head h;
	struct parts p;
	bool open;
	tracked_fn fn;
	void *ctx;
};

static enum err changed_emit(struct changed *c, struct errtext *et)
{
	struct tracked *t;
	if (!c->open)
		return OK;
	c->open = false;
	enum err e = run_doc_finish(c->p.d, &c->h.t, &t, et);
	parts_close(&c->p);
	return e ? e : c->fn(c->ctx, t);
}

static enum err changed_begin(struct changed *c, struct row *r, struct errtext *et)
{
	read_head(r, &c->h);
	c->p = (struct parts){0};
	c->open = true;
	enum err e = parts_open(&c->p, et);
	if (e)
		return e;
	c->h.t.name = arena_str(c->p.a, c->h.t.name);
	c->h.t.user = arena_str(c->p.a, c->h.t.user);
	if (!c->h.t.name.p || !c->h.t.user.p)
		return err_set(et, ERR_NOMEM, "no memory for a run");
	return row_null(r, 12) ? OK : parts_add(&c->p, row_blob(r, 12), et);
}

/* Heads with documents, and the tails behind them, both by version: two cursors side by side. */
enum err track_store_changed(struct tx *tx, struct str project, int64_t experiment, int64_t after,
	tracked_fn fn, void *ctx, struct errtext *et)
{
	struct row *heads, *tails = NULL;
	struct changed c = {.fn = fn, .ctx = ctx};
	enum err e = db_query(tx, &heads, et,
		"SELECT " HEAD_COLUMNS ", d.data FROM run r LEFT JOIN run_doc d ON d.run = r.id "
		"WHERE r.project = ? AND r.experiment = ? AND r.version > ? ORDER BY r.version",
		P_TEXT(project), P_I64(experiment), P_I64(after));
	if (e)
		return e;
	e = db_query(tx, &tails, et,
		"SELECT r.version, t.data FROM run r JOIN run_tail t ON t.run = r.id "
		"AND t.seq > r.folded WHERE r.project = ? AND r.experiment = ? AND r.version > ? "
		"AND r.tail > r.folded ORDER BY r.version, t.seq",
		P_TEXT(project), P_I64(experiment), P_I64(after));
	bool more = !e && row_next(tails, &e, et);
	while (!e && row_next(heads, &e, et)) {
		e = changed_begin(&c, heads, et);
		while (!e && more && row_i64(tails, 0) == c.h.t.version) {
			e = parts_add(&c.p, row_blob(tails, 1), et);
			if (!e)
				more = row_next(tails, &e, et);
		}
		if (!e)
			e = changed_emit(&c, et);
	}
	if (c.open)
		parts_close(&c.p);
	row_free(tails);
	row_free(heads);
	return e;
}
