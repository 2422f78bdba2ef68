/* Spans of traces in the database, and the run that each trace is.
 *
 *  1. The run's row comes first. When it is new, the batch's spans make all of it; when it is there
 *     already, it is read, changed by what the new spans add, and written back. Both in the same
 *     transaction as the spans, and write transactions exclude each other, so it always agrees
 *     with them.
 *  2. A span is inserted; when it is there already nothing happens unless its bytes differ: then
 *     the ended one stays, else the later, and the run changes by the difference.
 *  3. A run of kind "trace" has ended when a span without a parent has. What is not of that kind is
 *     one of Croft's own runs, in which others' spans are guests: they do not rename or end it.
 *  4. Another project's trace is never touched. */
#include "run/trace_query.h"
#include "access/access.h"
#include "base/clock.h"
#include "base/json.h"
#include "run/usage_int.h"

#include <stdio.h>
#include <stdlib.h>

struct head {
	bool fresh, own; /* own: one of Croft's own runs */
	bool changed;    /* since it was read */
	struct str name, error, attributes;
	int64_t start_ns, last_ns; /* last_ns: the latest time that any span reports */
	int64_t experiment;        /* -1: none */
	int64_t root;              /* the span without a parent, 0: not seen */
	unsigned status;
	int64_t spans, errors, tokens_in, tokens_out;
	double cost;
	yyjson_mut_doc *doc; /* attributes, when something is to be added */
	bool named;          /* attributes say what the trace is called */
};

static unsigned status_of(const struct otel_span *s)
{
	if (!s->end_ns)
		return STATUS_RUNNING;
	return s->status == OTEL_STATUS_ERROR ? STATUS_ERROR : STATUS_OK;
}

/* ---- the run's attributes: a few words from any of its spans ---- */

static void set_text(struct head *h, const char *key, struct str v, bool replace)
{
	yyjson_mut_val *root = yyjson_mut_doc_get_root(h->doc);
	if (!v.n || (!replace && yyjson_mut_obj_get(root, key)))
		return;
	char *cut = run_clean_max(v, TRACE_PREVIEW_MAX);
	if (cut)
		yyjson_mut_obj_put(
			root, yyjson_mut_strcpy(h->doc, key), yyjson_mut_strcpy(h->doc, cut));
	free(cut);
}

static void set_value(struct head *h, const char *key, const struct otel_value *v, bool replace)
{
	if (v->type == OTEL_STR) {
		set_text(h, key, v->s, replace);
	} else if (v->type != OTEL_EMPTY) {
		struct buf b = {.max = 4 * TRACE_PREVIEW_MAX};
		struct jw w = {.out = &b};
		trace_value_json(&w, v);
		set_text(h, key, buf_str(&b), replace);
		buf_free(&b);
	}
}

static void open_attributes(struct head *h)
{
	yyjson_doc *was = NULL;
	if (h->doc)
		return;
	if (h->attributes.n && !json_parse(h->attributes, &was, NULL))
		h->doc = yyjson_doc_mut_copy(was, NULL);
	else
		h->doc = yyjson_mut_doc_new(NULL);
	yyjson_doc_free(was);
	if (h->doc && !yyjson_mut_is_obj(yyjson_mut_doc_get_root(h->doc)))
		yyjson_mut_doc_set_root(h->doc, yyjson_mut_obj(h->doc));
}

static void add_attributes(struct head *h, const struct trace_item *it, struct str service)
{
	const struct trace_facts *f = &it->facts;
	bool root = !it->span.parent;
	if (!root && !f->model.n && !f->session.n && !f->user.n && h->attributes.n > 2)
		return;
	open_attributes(h);
	if (!h->doc)
		return;
	if (root) {
		set_value(h, "input", &f->input, true);
		set_value(h, "output", &f->output, true);
	}
	set_text(h, "service", service, root);
	set_text(h, "model", f->calls_model ? f->model : (struct str){0}, false);
	set_text(h, "session", f->session, false);
	set_text(h, "user", f->user, false);
}

/* ---- the run's row ---- */

/* Adds what a span says (sign 1), or takes away what an earlier version said (sign -1). */
static void count(struct head *h, const struct trace_item *it, int sign)
{
	h->spans += sign;
	if (status_of(&it->span) == STATUS_ERROR)
		h->errors += sign;
	if (it->facts.calls_model) {
		h->tokens_in += sign * it->facts.tokens_in;
		h->tokens_out += sign * it->facts.tokens_out;
		h->cost += sign * it->facts.cost;
	}
}

/* What a client said of the whole trace counts, whatever its root span says, earlier or later. */
static const char state_key[] = "reported_state";

static void settle_status(struct head *h, const struct otel_span *root)
{
	open_attributes(h);
	if (h->doc && yyjson_mut_obj_get(yyjson_mut_doc_get_root(h->doc), state_key))
		return;
	h->status = status_of(root);
	h->error = h->status == STATUS_ERROR ? root->status_message : (struct str){0};
}

static void shape(struct head *h, const struct trace_item *it, struct str service)
{
	const struct otel_span *s = &it->span;
	bool root = !s->parent, earlier = !h->start_ns || s->start_ns < h->start_ns;
	h->last_ns = MAX(h->last_ns, MAX(s->start_ns, s->end_ns));
	if (!h->own) {
		if (it->facts.trace_name.n)
			h->name = it->facts.trace_name, h->named = true;
		else if (!h->named && (root || (!h->root && earlier)))
			h->name = s->name;
		if (root && (!h->root || h->root == s->id || earlier)) {
			h->root = s->id;
			settle_status(h, s);
		}
		if (earlier)
			h->start_ns = s->start_ns;
	}
	if (!h->own)
		add_attributes(h, it, service);
}

static const char insert_run[] =
	"INSERT INTO run (id, project, kind, name, status, start_ns, end_ns, error, attributes, "
	"spans, errors, tokens_in, tokens_out, cost, root, last_ns, seen_ms, experiment) "
	"VALUES (?, ?, 'trace', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
	"ON CONFLICT (id) DO NOTHING";

static const char select_run[] =
	"SELECT project, kind, name, status, start_ns, error, attributes, spans, errors, "
	"tokens_in, tokens_out, cost, root, last_ns, experiment FROM run WHERE id = ?";

static const char update_run[] =
	"UPDATE run SET name = ?, status = ?, start_ns = ?, end_ns = ?, error = ?, attributes = ?, "
	"spans = ?, errors = ?, tokens_in = ?, tokens_out = ?, cost = ?, root = ?, last_ns = ?, "
	"seen_ms = ?, experiment = ? WHERE id = ?";

static const char update_own[] =
	"UPDATE run SET spans = ?, errors = ?, tokens_in = ?, tokens_out = ?, cost = ?, "
	"seen_ms = ? WHERE id = ?";

static enum err attributes_text(struct head *h, char **own, struct errtext *et)
{
	*own = NULL;
	if (!h->doc)
		return OK;
	size_t n;
	*own = yyjson_mut_write(h->doc, 0, &n);
	yyjson_mut_doc_free(h->doc);
	h->doc = NULL;
	if (!*own)
		return err_set(et, ERR_NOMEM, "no memory for a trace");
	h->attributes = str_mk(*own, n);
	return OK;
}

static enum err write_run(
	struct tx *tx, struct id id, struct str project, struct head *h, struct errtext *et)
{
	char *json, *name = run_clean(h->name), *error = h->error.p ? run_clean(h->error) : NULL;
	enum err e = attributes_text(h, &json, et);
	if (!e && !name)
		e = err_set(et, ERR_NOMEM, "no memory for a trace");
	struct str attrs = h->attributes.n ? h->attributes : S("{}");
	struct param end = h->status == STATUS_RUNNING ? P_NULL : P_I64(h->last_ns);
	struct param root = h->root ? P_I64(h->root) : P_NULL;
	struct str status = str_c(run_statuses[h->status]);
	if (!e && h->fresh)
		e = db_exec(tx, et, insert_run, P_ID(id), P_TEXT(project), P_TEXT(str_c(name)),
			P_TEXT(status), P_I64(h->start_ns), end, P_TEXT(str_c(error)),
			P_TEXT(attrs), P_I64(h->spans), P_I64(h->errors), P_I64(h->tokens_in),
			P_I64(h->tokens_out), P_F64(h->cost), root, P_I64(h->last_ns),
			P_I64(clock_unix_ms()), P_I64(h->experiment));
	else if (!e && h->own)
		e = db_exec(tx, et, update_own, P_I64(h->spans), P_I64(h->errors),
			P_I64(h->tokens_in), P_I64(h->tokens_out), P_F64(h->cost),
			P_I64(clock_unix_ms()), P_ID(id));
	else if (!e)
		e = db_exec(tx, et, update_run, P_TEXT(str_c(name)), P_TEXT(status),
			P_I64(h->start_ns), end, P_TEXT(str_c(error)), P_TEXT(attrs),
			P_I64(h->spans), P_I64(h->errors), P_I64(h->tokens_in),
			P_I64(h->tokens_out), P_F64(h->cost), root, P_I64(h->last_ns),
			P_I64(clock_unix_ms()), P_I64(h->experiment), P_ID(id));
	free(json);
	free(name);
	free(error);
	return e;
}

static struct str kept(struct arena *a, struct str s, enum err *e)
{
	if (!s.p)
		return s;
	struct str c = arena_str(a, s);
	if (!c.p)
		*e = ERR_NOMEM;
	return c;
}

/* *mine: the run is there and of this project. */
static enum err read_head(struct tx *tx, struct id id, struct str project, struct arena *a,
	struct head *h, bool *mine, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et, select_run, P_ID(id));
	if (e)
		return e;
	*mine = false;
	if (row_next(r, &e, et)) {
		*mine = str_eq(row_text(r, 0), project);
		*h = (struct head){.own = !str_eq_c(row_text(r, 1), "trace"),
			.name = kept(a, row_text(r, 2), &e),
			.start_ns = row_i64(r, 4),
			.error = kept(a, row_text(r, 5), &e),
			.attributes = kept(a, row_text(r, 6), &e),
			.spans = row_i64(r, 7),
			.errors = row_i64(r, 8),
			.tokens_in = row_i64(r, 9),
			.tokens_out = row_i64(r, 10),
			.cost = row_f64(r, 11),
			.root = row_null(r, 12) ? 0 : row_i64(r, 12),
			.last_ns = row_null(r, 13) ? 0 : row_i64(r, 13),
			.experiment = row_i64(r, 14)};
		for (unsigned i = 0; i < STATUS_COUNT; i++)
			if (str_eq_c(row_text(r, 3), run_statuses[i]))
				h->status = i;
	}
	row_free(r);
	return e;
}

/* ---- spans ---- */

static const char insert_span[] =
	"INSERT INTO span (run, id, parent, name, kind, status, start_ns, end_ns, error, "
	"attributes, holder, raw) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?, ?) "
	"ON CONFLICT (run, id) DO NOTHING";

static const char update_span[] =
	"UPDATE span SET parent = ?, name = ?, kind = ?, status = ?, start_ns = ?, end_ns = ?, "
	"error = ?, holder = ?, raw = ? WHERE run = ? AND id = ?";

struct span_params {
	struct param id, parent, name, kind, status, start, end, error, holder, raw;
	char *made_name, *made_error;
};

static bool plain(struct str s)
{
	return s.n <= RUN_NAME_MAX && !memchr(s.p, 0, s.n) && utf8_valid(s);
}

static enum err fill(struct span_params *p, const struct trace_item *it,
	const struct trace_holder *holder, struct errtext *et)
{
	const struct otel_span *s = &it->span;
	unsigned status = status_of(s);
	bool has_error = status == STATUS_ERROR;
	p->made_name = plain(s->name) ? NULL : run_clean(s->name);
	p->made_error =
		has_error && !plain(s->status_message) ? run_clean(s->status_message) : NULL;
	if ((!p->made_name && !plain(s->name)) ||
		(has_error && !p->made_error && !plain(s->status_message)))
		return err_set(et, ERR_NOMEM, "no memory for a span");
	struct str error = p->made_error ? str_c(p->made_error) : s->status_message;
	p->id = P_I64(s->id);
	p->parent = s->parent ? P_I64(s->parent) : P_NULL;
	p->name = P_TEXT(p->made_name ? str_c(p->made_name) : s->name);
	p->kind = P_TEXT(str_c(it->facts.type));
	p->status = P_TEXT(str_c(run_statuses[status]));
	p->start = P_I64(s->start_ns);
	p->end = s->end_ns ? P_I64(s->end_ns) : P_NULL;
	p->error = has_error ? P_TEXT(error) : P_NULL;
	p->holder = P_BLOB(str_mk(holder->key, sizeof holder->key));
	p->raw = P_BLOB(s->raw);
	return OK;
}

static void unfill(struct span_params *p)
{
	free(p->made_name);
	free(p->made_error);
}

/* The span is there: *changed and what it said before, when it is to be replaced. */
static enum err compare(struct tx *tx, struct id run, const struct trace_item *it, struct arena *a,
	bool *changed, struct trace_item *was, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et, "SELECT raw FROM span WHERE run = ? AND id = ?",
		P_ID(run), P_I64(it->span.id));
	if (e)
		return e;
	*changed = false;
	if (row_next(r, &e, et) && !row_null(r, 0) && !str_eq(row_blob(r, 0), it->span.raw)) {
		struct str raw = kept(a, row_blob(r, 0), &e);
		if (!e && otel_span_read(raw, &was->span)) {
			trace_facts_read(&was->span, &was->facts);
			*changed = it->span.end_ns || !was->span.end_ns;
		}
	}
	row_free(r);
	return e;
}

static enum err put_span(struct tx *tx, const struct trace_batch *b, struct trace_item *it,
	struct head *h, struct usage *u, struct arena *a, struct errtext *et)
{
	const struct trace_holder *holder = &b->holders[it->holder];
	struct id run = it->span.trace;
	struct span_params p = {0};
	struct trace_item was;
	bool changed = false;
	enum err e = fill(&p, it, holder, et);
	if (!e)
		e = db_exec(tx, et, insert_span, P_ID(run), p.id, p.parent, p.name, p.kind,
			p.status, p.start, p.end, p.error, p.holder, p.raw);
	bool added = !e && db_changes(tx) == 1;
	if (!e && !added)
		e = compare(tx, run, it, a, &changed, &was, et);
	if (!e && changed)
		e = db_exec(tx, et, update_span, p.parent, p.name, p.kind, p.status, p.start, p.end,
			p.error, p.holder, p.raw, P_ID(run), p.id);
	if (!e && changed)
		count(h, &was, -1);
	if (!e && changed)
		usage_count(u, &was, -1);
	if (!e && (added || changed))
		usage_count(u, it, 1);
	if (!e && (added || changed) && !h->fresh) {
		h->changed = true;
		count(h, it, 1);
		shape(h, it, holder->service);
	}
	unfill(&p);
	return e;
}

/* ---- a batch ---- */

enum err trace_put_holders(struct tx *tx, struct str project, const struct trace_holder *holders,
	size_t n, struct errtext *et)
{
	enum err e = OK;
	for (size_t i = 0; !e && i < n; i++) {
		const struct trace_holder *h = &holders[i];
		if (i && memcmp(h->key, h[-1].key, sizeof h->key) == 0)
			continue;
		e = db_exec(tx, et,
			"INSERT INTO span_holder (project, id, resource, resource_url, scope, "
			"scope_url) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (project, id) DO NOTHING",
			P_TEXT(project), P_BLOB(str_mk(h->key, sizeof h->key)), P_BLOB(h->resource),
			P_BLOB(h->resource_url), P_BLOB(h->scope), P_BLOB(h->scope_url));
	}
	return e;
}

/* items[0..n) are the batch's spans of one trace. */
static enum err put_trace(struct tx *tx, struct trace_batch *b, struct trace_item **items, size_t n,
	struct usage *u, struct arena *a, struct errtext *et)
{
	struct id id = items[0]->span.trace;
	struct head h = {.fresh = true, .experiment = b->experiment};
	for (size_t i = 0; i < n; i++) {
		count(&h, items[i], 1);
		shape(&h, items[i], b->holders[items[i]->holder].service);
	}
	enum err e = write_run(tx, id, b->project, &h, et);
	bool mine = true;
	if (!e && db_changes(tx) == 0) {
		e = read_head(tx, id, b->project, a, &h, &mine, et);
		if (!e && !mine)
			b->refused += n;
		if (b->experiment >= 0 && h.experiment < 0) {
			h.experiment = b->experiment;
			h.changed = true;
		}
	}
	for (size_t i = 0; !e && mine && i < n; i++)
		e = put_span(tx, b, items[i], &h, u, a, et);
	if (!e && mine && h.changed)
		e = write_run(tx, id, b->project, &h, et);
	yyjson_mut_doc_free(h.doc);
	return e;
}

enum err trace_store_batch(struct tx *tx, struct trace_batch *b, struct errtext *et)
{
	struct usage u = {0};
	b->refused = 0;
	struct arena *a = arena_new(0);
	enum err e = a ? trace_put_holders(tx, b->project, b->holders, b->n_holders, et)
		       : err_set(et, ERR_NOMEM, "no memory for traces");
	for (size_t i = 0, k; !e && i < b->n_order; i = k) {
		k = i + 1;
		while (k < b->n_order && memcmp(b->order[k]->span.trace.b,
						 b->order[i]->span.trace.b, sizeof(struct id)) == 0)
			k++;
		e = put_trace(tx, b, b->order + i, k - i, &u, a, et);
	}
	if (!e)
		e = usage_store(tx, b->project, &u, et);
	usage_clear(&u);
	arena_free(a);
	return e;
}

enum err trace_store_settle(
	struct db *db, int64_t before_ms, int64_t limit, int64_t *n, struct errtext *et)
{
	return db_change(db, n, et,
		"UPDATE run SET status = CASE WHEN errors > 0 THEN 'error' ELSE 'ok' END, "
		"end_ns = last_ns WHERE id IN (SELECT id FROM run WHERE status = 'running' AND "
		"kind = 'trace' AND seen_ms < ? LIMIT ?)",
		P_I64(before_ms), P_I64(limit));
}

/* ---- what is told otherwise than by spans ---- */

static void report_into(struct head *h, const struct trace_report *r)
{
	if (r->name.n) {
		h->name = r->name;
		h->named = true;
	}
	h->experiment = r->experiment;
	if (!h->start_ns || (!h->spans && r->start_ns))
		h->start_ns = r->start_ns;
	h->last_ns = MAX(h->last_ns, MAX(r->start_ns, r->end_ns));
	open_attributes(h);
	if (r->status != STATUS_RUNNING || !h->root)
		h->status = r->status;
	if (!h->doc)
		return;
	if (r->status != STATUS_RUNNING)
		set_text(h, state_key, str_c(run_statuses[r->status]), true);
	set_text(h, "input", r->input, true);
	set_text(h, "output", r->output, true);
	for (size_t i = 0; i < r->n_notes; i++) {
		const struct trace_note *n = &r->notes[i];
		if (str_eq_c(n->key, "mlflow.trace.session"))
			set_text(h, "session", n->value, true);
		else if (str_eq_c(n->key, "mlflow.trace.user"))
			set_text(h, "user", n->value, true);
	}
}

enum err trace_store_report(
	struct tx *tx, struct str project, const struct trace_report *r, struct errtext *et)
{
	struct head h = {.fresh = true, .experiment = -1};
	struct arena *a = arena_new(0);
	bool mine = true;
	report_into(&h, r);
	enum err e = a ? write_run(tx, r->id, project, &h, et)
		       : err_set(et, ERR_NOMEM, "no memory for a trace");
	if (!e && db_changes(tx) == 0) {
		e = read_head(tx, r->id, project, a, &h, &mine, et);
		if (!e && (!mine || h.own))
			e = err_set(et, ERR_CONFLICT, "the id of this trace is in use");
		if (!e) {
			report_into(&h, r);
			e = write_run(tx, r->id, project, &h, et);
		}
	}
	yyjson_mut_doc_free(h.doc);
	arena_free(a);
	return e;
}

/* ---- retention ---- */

enum err trace_store_old(struct db *db, int64_t before_ns, struct id *ids, size_t limit, size_t *n,
	struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(db, TX_READ, &tx, et);
	if (e)
		return e;
	struct row *r = NULL;
	size_t k = 0;
	e = db_query(tx, &r, et,
		"SELECT id FROM run WHERE start_ns < ? AND kind = 'trace' AND NOT EXISTS (SELECT 1 "
		"FROM run_hold h WHERE h.run = run.id) ORDER BY start_ns LIMIT ?",
		P_I64(before_ns), P_I64((int64_t)limit));
	while (!e && k < limit && row_next(r, &e, et))
		ids[k++] = row_id(r, 0);
	row_free(r);
	db_rollback(tx);
	if (!e)
		*n = k;
	return e;
}

/* One record for a project's day: how many there were is in its sums, which are never removed. */
static enum err tell_day(
	struct tx *tx, struct str project, int64_t day, const char *policy, struct errtext *et)
{
	struct row *r;
	struct principal who = {.name = S("croft"), .project = project};
	char at[CLOCK_TEXT], subject[48];
	struct buf b = {0};
	struct jw w = {.out = &b};
	enum err e = db_query(tx, &r, et,
		"SELECT 1 FROM trace_day WHERE project = ? AND day = ? LIMIT 1", P_TEXT(project),
		P_I64(day));
	if (e)
		return e;
	bool told = row_next(r, &e, et);
	row_free(r);
	if (e || told)
		return e;
	clock_rfc3339(day * 86400000, at);
	snprintf(subject, sizeof subject, "traces of %.10s", at);
	jw_obj(&w);
	jw_kc(&w, "policy", policy);
	jw_end(&w);
	e = audit_add(tx, &who, "trace.expire", str_c(subject), buf_str(&b), et);
	buf_free(&b);
	return e;
}

/* The day's sums of a service: what remains of a trace. */
static enum err roll_up(struct tx *tx, struct id id, const char *policy, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT project, start_ns, status, attributes, spans, errors, tokens_in, "
		"tokens_out, cost, last_ns FROM run WHERE id = ?",
		P_ID(id));
	if (e)
		return e;
	yyjson_doc *doc = NULL;
	if (row_next(r, &e, et)) {
		int64_t start = row_i64(r, 1), ms = (row_i64(r, 9) - start) / 1000000;
		if (json_parse(row_text(r, 3), &doc, NULL))
			doc = NULL;
		struct str service = json_str(yyjson_doc_get_root(doc), "service");
		e = tell_day(tx, row_text(r, 0), start / 86400000000000, policy, et);
		if (!e)
			e = db_exec(tx, et,
				"INSERT INTO trace_day (project, day, service, traces, failed, "
				"spans, "
				"errors, tokens_in, tokens_out, cost, duration_ms) "
				"VALUES (?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?) "
				"ON CONFLICT (project, day, service) DO UPDATE SET "
				"traces = trace_day.traces + 1, "
				"failed = trace_day.failed + excluded.failed, "
				"spans = trace_day.spans + excluded.spans, "
				"errors = trace_day.errors + excluded.errors, "
				"tokens_in = trace_day.tokens_in + excluded.tokens_in, "
				"tokens_out = trace_day.tokens_out + excluded.tokens_out, "
				"cost = trace_day.cost + excluded.cost, "
				"duration_ms = trace_day.duration_ms + excluded.duration_ms",
				P_TEXT(row_text(r, 0)), P_I64(start / 86400000000000),
				P_TEXT(service.p ? service : S("")),
				P_I64(str_eq_c(row_text(r, 2), "error")), P_I64(row_i64(r, 4)),
				P_I64(row_i64(r, 5)), P_I64(row_i64(r, 6)), P_I64(row_i64(r, 7)),
				P_F64(row_f64(r, 8)), P_I64(ms < 0 ? 0 : ms));
	}
	yyjson_doc_free(doc);
	row_free(r);
	return e;
}

/* *left: how many more spans this transaction may remove; *whole: the trace has gone. */
static enum err remove_one(struct tx *tx, struct id id, const char *policy, int64_t *left,
	bool *whole, struct errtext *et)
{
	enum err e = db_exec(tx, et,
		"DELETE FROM span WHERE run = ? AND id IN (SELECT id FROM span WHERE run = ? LIMIT "
		"?)",
		P_ID(id), P_ID(id), P_I64(*left));
	int64_t removed = e ? 0 : db_changes(tx);
	*whole = removed < *left;
	*left -= removed + 1;
	if (!e && *whole)
		e = roll_up(tx, id, policy, et);
	if (!e && *whole)
		e = db_exec(tx, et, "DELETE FROM run WHERE id = ?", P_ID(id));
	return e;
}

enum err trace_store_remove(struct db *db, const struct id *ids, size_t n, int64_t spans,
	const char *policy, size_t *i, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(db, TX_WRITE, &tx, et);
	if (e)
		return e;
	size_t at = *i;
	bool whole = true;
	while (!e && whole && at < n && spans > 0) {
		e = remove_one(tx, ids[at], policy, &spans, &whole, et);
		at += whole;
	}
	e = db_finish(tx, e, et);
	if (!e)
		*i = at;
	return e;
}
