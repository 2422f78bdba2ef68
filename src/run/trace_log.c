/* Log records of OpenTelemetry: a request to rows, and reading them.
 *
 *  1. As with spans, a request is read and checked whole before anything is stored, and a record is
 *     kept as the bytes of its message.
 *  2. Records have no ids. A record's key is its time, its place in the request and a hash of
 *     everything it says: what an exporter sends again after a lost answer is there once, and what
 *     happened at one time stays in order.
 *  3. A record belongs to the project that sent it, whatever trace it names: it may come before
 * that trace, and it is found only in its own project.
 *  4. Lists go along an index; what no index knows is looked at row by row, and a page ends when
 *     SCAN_ROWS_MAX rows or SCAN_BYTES_MAX bytes were looked at: the cursor says where to go on. */
#include "access/access.h"
#include "base/clock.h"
#include "base/hash.h"
#include "run/trace_int.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	RECORDS_MAX = TRACE_SPANS_MAX,
	HOLDERS_MAX = 10000,
	REQUEST_RESOURCE_LOGS = 1,
	RL_RESOURCE = 1,
	RL_SCOPE_LOGS = 2,
	RL_URL = 3,
	SL_SCOPE = 1,
	SL_RECORD = 2,
	SL_URL = 3,
	CHUNK = 500,
	SCAN_ROWS_MAX = 20000,
	SCAN_BYTES_MAX = 64 << 20
};

/* ---- reading ---- */

struct reader {
	struct trace_log_batch *b;
	struct errtext *et;
	size_t cap, cap_holders;
	size_t left; /* for trace_holder_begin */
	int64_t now_ns;
};

static enum err malformed(struct reader *r)
{
	return err_set(r->et, ERR_INVALID, "the request is no valid ExportLogsServiceRequest");
}

static enum err grow(struct reader *r, void **list, size_t n, size_t *cap, size_t size, size_t max)
{
	if (n < *cap)
		return OK;
	if (n == max)
		return err_set(r->et, ERR_TOO_LARGE,
			"the request has more than %zu records or scopes: send smaller batches",
			max);
	size_t more = MIN(MAX(*cap * 2, (size_t)64), max);
	void *p = realloc(*list, more * size);
	if (!p)
		return err_set(r->et, ERR_NOMEM, "no memory for a request's log records");
	*list = p;
	*cap = more;
	return OK;
}

static enum err add_record(struct reader *r, struct str raw, uint32_t holder)
{
	struct trace_log_batch *b = r->b;
	enum err e = grow(r, (void **)&b->items, b->n, &r->cap, sizeof *b->items, RECORDS_MAX);
	if (e)
		return e;
	struct trace_log_item *it = &b->items[b->n];
	if (!otel_log_read(raw, &it->log))
		return malformed(r);
	int64_t said = it->log.time_ns ? it->log.time_ns : it->log.observed_ns;
	if (said < 0) {
		if (!b->accepted.rejected++)
			err_set(&b->accepted.why, OK, "a time is beyond the year 2262");
		return OK;
	}
	it->at_ns = said ? said : r->now_ns;
	it->holder = holder;
	b->n++;
	return OK;
}

static enum err read_scope_logs(struct reader *r, struct str raw, const struct trace_holder *of)
{
	struct trace_log_batch *b = r->b;
	struct pb m = pb_of(raw);
	struct pb_field f;
	struct trace_holder h = *of;
	enum err e = trace_holder_begin(of, &r->left, r->et);
	if (!e)
		e = grow(r, (void **)&b->holders, b->n_holders, &r->cap_holders, sizeof *b->holders,
			HOLDERS_MAX);
	uint32_t at = (uint32_t)b->n_holders;
	while (!e && pb_next(&m, &f)) {
		if (f.wire != PB_BYTES)
			continue;
		if (f.number == SL_SCOPE)
			h.scope = f.s;
		else if (f.number == SL_URL)
			h.scope_url = f.s;
		else if (f.number == SL_RECORD)
			e = add_record(r, f.s, at);
	}
	if (!e && m.bad)
		e = malformed(r);
	if (!e)
		e = trace_holder_finish(&h, r->et);
	if (!e)
		b->holders[b->n_holders++] = h;
	return e;
}

/* Twice over it: the resource may stand behind the records that it is of. */
static enum err read_resource_logs(struct reader *r, struct str raw)
{
	struct str none = {"", 0};
	struct trace_holder h = {none, none, none, none, none, {0}};
	struct pb m = pb_of(raw), again = m;
	struct pb_field f;
	while (pb_next(&m, &f)) {
		if (f.wire == PB_BYTES && f.number == RL_RESOURCE)
			h.resource = f.s;
		else if (f.wire == PB_BYTES && f.number == RL_URL)
			h.resource_url = f.s;
	}
	if (m.bad)
		return malformed(r);
	enum err e = OK;
	while (!e && pb_next(&again, &f))
		if (f.wire == PB_BYTES && f.number == RL_SCOPE_LOGS)
			e = read_scope_logs(r, f.s, &h);
	return e;
}

static void name_records(struct trace_log_batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		struct trace_log_item *it = &b->items[i];
		const struct trace_holder *h = &b->holders[it->holder];
		uint64_t parts[3];
		memcpy(parts, h->key, sizeof h->key);
		parts[2] = hash64(it->log.raw);
		uint64_t content = hash64(str_mk((char *)parts, sizeof parts));
		it->id = (int64_t)((uint64_t)i << 43 | content >> 21);
	}
}

enum err trace_log_batch_read(struct trace_log_batch *b, struct str request, struct errtext *et)
{
	struct reader r = {.b = b,
		.et = et,
		.now_ns = clock_unix_ns(),
		.left = request.n + TRACE_REPEATED_MAX};
	struct pb m = pb_of(request);
	struct pb_field f;
	enum err e = OK;
	while (!e && pb_next(&m, &f))
		if (f.number == REQUEST_RESOURCE_LOGS && f.wire == PB_BYTES)
			e = read_resource_logs(&r, f.s);
	if (!e && m.bad)
		e = malformed(&r);
	if (!e)
		name_records(b);
	return e;
}

void trace_log_batch_clear(struct trace_log_batch *b)
{
	free(b->items);
	free(b->holders);
}

/* ---- storing ---- */

static enum err store(struct tx *tx, void *ctx, struct errtext *et)
{
	const struct trace_log_batch *b = ctx;
	enum err e = trace_put_holders(tx, b->project, b->holders, b->n_holders, et);
	for (size_t i = 0; !e && i < b->n; i++) {
		const struct trace_log_item *it = &b->items[i];
		const struct trace_holder *h = &b->holders[it->holder];
		e = db_exec(tx, et,
			"INSERT INTO trace_log (project, run, at_ns, id, span, severity, holder, "
			"raw) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (project, run, at_ns, "
			"id) "
			"DO NOTHING",
			P_TEXT(b->project), P_ID(it->log.trace), P_I64(it->at_ns), P_I64(it->id),
			P_I64(it->log.span),
			P_I64((int64_t)MIN(it->log.severity, (uint64_t)INT32_MAX)),
			P_BLOB(str_mk(h->key, sizeof h->key)), P_BLOB(it->log.raw));
	}
	return e;
}

enum err trace_import_logs(struct croft *c, struct str project, struct str request,
	struct trace_accepted *out, struct errtext *et)
{
	struct traces *t = croft_state(c, &trace_module);
	struct trace_log_batch b = {.project = project};
	enum err e = trace_log_batch_read(&b, request, et);
	if (!e && b.n)
		e = db_write(croft_db(c), store, &b, et);
	if (!e) {
		*out = b.accepted;
		out->spans = b.n;
		atomic_fetch_add(&t->logs, b.n);
	}
	trace_log_batch_clear(&b);
	return e;
}

/* ---- lists ---- */

struct sql {
	struct buf text;
	struct param p[16];
	size_t n;
};

static void where(struct sql *q, const char *text, struct param p)
{
	buf_addc(&q->text, text);
	q->p[q->n++] = p;
}

static void make_sql(
	struct sql *s, const struct trace_log_query *q, int64_t after_ns, int64_t after_id)
{
	const char *way = q->ascending ? "ASC" : "DESC", *than = q->ascending ? ">" : "<";
	*s = (struct sql){0};
	buf_addc(&s->text, "SELECT run, at_ns, id, holder, raw FROM trace_log");
	where(s, " WHERE project = ?", P_TEXT(q->project));
	if (!id_is_zero(q->run))
		where(s, " AND run = ?", P_ID(q->run));
	if (q->span)
		where(s, " AND span = ?", P_I64(q->span));
	if (q->severity)
		where(s, " AND severity >= ?", P_I64(q->severity));
	if (q->since_ns)
		where(s, " AND at_ns >= ?", P_I64(q->since_ns));
	if (q->until_ns)
		where(s, " AND at_ns < ?", P_I64(q->until_ns));
	if (after_ns) {
		buf_addf(&s->text, " AND (at_ns %s ? OR (at_ns = ? AND id %s ?))", than, than);
		s->p[s->n++] = P_I64(after_ns);
		s->p[s->n++] = P_I64(after_ns);
		s->p[s->n++] = P_I64(after_id);
	}
	buf_addf(&s->text, " ORDER BY at_ns %s, id %s", way, way);
	where(s, " LIMIT ?", P_I64(CHUNK));
}

struct scan {
	struct tx *tx;
	const struct trace_log_query *q;
	struct arena *a;
	struct trace_log_page *out;
	size_t rows, bytes;
};

static enum err keep(struct scan *s, struct row *r, struct str raw, struct errtext *et)
{
	struct trace_log_row *v = &s->out->list[s->out->n];
	struct str copy = arena_str(s->a, raw), holder = arena_str(s->a, row_blob(r, 3));
	if (!copy.p || !holder.p)
		return err_set(et, ERR_NOMEM, "no memory for log records");
	if (!otel_log_read(copy, &v->log))
		return err_set(et, ERR_CORRUPT, "a stored log record is damaged");
	v->run = row_id(r, 0);
	v->at_ns = row_i64(r, 1);
	v->id = row_i64(r, 2);
	v->holder = holder;
	s->out->n++;
	return OK;
}

/* One piece of the list; *end: there are no more rows. */
static enum err chunk(struct scan *s, bool *end, struct errtext *et)
{
	struct sql sql;
	struct row *r = NULL;
	struct trace_log_page *out = s->out;
	size_t n = 0;
	make_sql(&sql, s->q, out->next_ns, out->next_id);
	enum err e = sql.text.err ? err_set(et, ERR_NOMEM, "no memory for a list of logs")
				  : db_query_n(s->tx, &r, et, buf_c(&sql.text), sql.p, sql.n);
	*end = true;
	while (!e && row_next(r, &e, et)) {
		if (out->n == s->q->limit || s->bytes > SCAN_BYTES_MAX) {
			*end = false;
			break;
		}
		struct str raw = row_blob(r, 4);
		s->bytes += raw.n + 200;
		n++;
		if (!s->q->search.n || str_find_nocase(raw, s->q->search) != STR_NONE)
			e = keep(s, r, raw, et);
		out->next_ns = row_i64(r, 1);
		out->next_id = row_i64(r, 2);
	}
	row_free(r);
	buf_free(&sql.text);
	s->rows += n;
	*end = *end && n < CHUNK;
	return e;
}

enum err trace_log_find(struct db *db, const struct trace_log_query *q, struct arena *a,
	struct trace_log_page *out, struct errtext *et)
{
	struct trace_log_page page = {.next_ns = q->after_ns, .next_id = q->after_id};
	struct scan s = {.q = q, .a = a, .out = &page};
	bool end = false;
	page.list = arena_array_of(a, MAX(q->limit, (size_t)1), struct trace_log_row);
	if (!page.list)
		return err_set(et, ERR_NOMEM, "no memory for a list of logs");
	enum err e = db_begin(db, TX_READ, &s.tx, et);
	if (e)
		return e;
	while (!e && !end && page.n < q->limit && s.rows < SCAN_ROWS_MAX &&
		s.bytes <= SCAN_BYTES_MAX)
		e = chunk(&s, &end, et);
	db_rollback(s.tx);
	page.more = !end;
	if (!e)
		*out = page;
	return e;
}

enum err trace_log_count(struct db *db, struct str project, struct id run, int64_t max, int64_t *n,
	struct errtext *et)
{
	struct tx *tx;
	struct row *r;
	enum err e = db_begin(db, TX_READ, &tx, et);
	if (e)
		return e;
	e = db_query(tx, &r, et,
		"SELECT COUNT(*) FROM (SELECT 1 FROM trace_log WHERE project = ? AND run = ? "
		"LIMIT ?) x",
		P_TEXT(project), P_ID(run), P_I64(max));
	if (!e) {
		if (row_next(r, &e, et))
			*n = row_i64(r, 0);
		row_free(r);
	}
	db_rollback(tx);
	return e;
}

/* ---- retention ---- */

enum err trace_log_place(
	struct db *db, int64_t before_ns, struct trace_log_place *at, struct errtext *et)
{
	struct tx *tx;
	struct row *r;
	bool found = false, old = false;
	enum err e = db_begin(db, TX_READ, &tx, et);
	if (e)
		return e;
	while (!e && !old) {
		e = db_query(tx, &r, et,
			"SELECT project, at_ns FROM trace_log WHERE project > ? ORDER BY project, "
			"at_ns LIMIT 1",
			P_TEXT(str_c(at->project)));
		if (e)
			break;
		found = row_next(r, &e, et);
		if (found) {
			snprintf(at->project, sizeof at->project, "%.*s", STR_FMT(row_text(r, 0)));
			old = row_i64(r, 1) < before_ns;
		}
		row_free(r);
		if (!e && !found)
			e = ERR_NOT_FOUND;
	}
	at->told = false;
	db_rollback(tx);
	return e;
}

static enum err tell(struct tx *tx, const struct trace_log_place *at, int64_t before_ns,
	const char *policy, struct errtext *et)
{
	struct principal who = {.name = S("croft"), .project = str_c(at->project)};
	char day[CLOCK_TEXT], subject[48];
	struct buf b = {0};
	struct jw w = {.out = &b};
	clock_rfc3339(before_ns / 1000000, day);
	snprintf(subject, sizeof subject, "logs before %.10s", day);
	jw_obj(&w);
	jw_kc(&w, "policy", policy);
	jw_end(&w);
	enum err e = audit_add(tx, &who, "log.expire", str_c(subject), buf_str(&b), et);
	buf_free(&b);
	return e;
}

enum err trace_log_expire(struct db *db, struct trace_log_place *at, int64_t before_ns,
	int64_t limit, const char *policy, int64_t *n, struct errtext *et)
{
	struct tx *tx;
	struct str project = str_c(at->project);
	enum err e = db_begin(db, TX_WRITE, &tx, et);
	if (e)
		return e;
	e = db_exec(tx, et,
		"DELETE FROM trace_log WHERE project = ? AND (run, at_ns, id) IN (SELECT t.run, "
		"t.at_ns, t.id FROM trace_log t WHERE t.project = ? AND t.at_ns < ? AND NOT EXISTS "
		"(SELECT 1 FROM run_hold h WHERE h.run = t.run) LIMIT ?)",
		P_TEXT(project), P_TEXT(project), P_I64(before_ns), P_I64(limit));
	int64_t gone = e ? 0 : db_changes(tx);
	bool tells = gone && !at->told;
	if (!e && tells)
		e = tell(tx, at, before_ns, policy, et);
	e = db_finish(tx, e, et);
	if (!e) {
		*n = gone;
		at->told |= tells;
	}
	return e;
}
