/* Reading traces. Lists go along the index of (project, time); what no index knows is looked at row
 * by row, and a page ends when enough was found or SCAN_ROWS_MAX rows or SCAN_BYTES_MAX bytes of
 * spans were looked at: the cursor says where to go on, so nothing is skipped silently. */
#include "run/trace_query.h"
#include "access/access.h"
#include "base/clock.h"
#include "run/retain_int.h"

#include <stdlib.h>

enum { CHUNK = 200, SCAN_ROWS_MAX = 20000, SCAN_BYTES_MAX = 64 << 20, NOTES_MAX = 1000 };

static struct str kept(struct arena *a, struct row *r, int column, bool blob, enum err *e)
{
	if (row_null(r, column))
		return (struct str){0};
	struct str s = arena_str(a, blob ? row_blob(r, column) : row_text(r, column));
	if (!s.p)
		*e = ERR_NOMEM;
	return s;
}

#define RUN_COLUMNS                                                                               \
	"id, kind, name, status, start_ns, end_ns, error, attributes, spans, errors, tokens_in, " \
	"tokens_out, cost, experiment"

static enum err read_run(struct row *r, struct arena *a, struct run_row *out)
{
	enum err e = OK;
	*out = (struct run_row){
		.id = row_id(r, 0),
		.kind = kept(a, r, 1, false, &e),
		.name = kept(a, r, 2, false, &e),
		.status = kept(a, r, 3, false, &e),
		.start_ns = row_i64(r, 4),
		.end_ns = row_null(r, 5) ? 0 : row_i64(r, 5),
		.error = kept(a, r, 6, false, &e),
		.attributes = kept(a, r, 7, false, &e),
		.spans = row_i64(r, 8),
		.errors = row_i64(r, 9),
		.tokens_in = row_i64(r, 10),
		.tokens_out = row_i64(r, 11),
		.cost = row_f64(r, 12),
	};
	return e;
}

#define SPAN_COLUMNS \
	"id, parent, name, kind, status, start_ns, end_ns, error, attributes, raw, holder"

static enum err read_span(struct row *r, struct arena *a, struct span_row *out)
{
	enum err e = OK;
	*out = (struct span_row){
		.id = row_i64(r, 0),
		.parent = row_null(r, 1) ? 0 : row_i64(r, 1),
		.name = kept(a, r, 2, false, &e),
		.kind = kept(a, r, 3, false, &e),
		.status = kept(a, r, 4, false, &e),
		.start_ns = row_i64(r, 5),
		.end_ns = row_null(r, 6) ? 0 : row_i64(r, 6),
		.error = kept(a, r, 7, false, &e),
		.attributes = kept(a, r, 8, false, &e),
		.raw = kept(a, r, 9, true, &e),
		.holder = kept(a, r, 10, true, &e),
	};
	return e;
}

/* ---- notes ---- */

static enum err read_notes(
	struct tx *tx, struct id run, struct arena *a, struct trace_found *f, struct errtext *et)
{
	struct row *r;
	size_t n = 0;
	enum err e = db_query(tx, &r, et,
		"SELECT metadata, name, value FROM trace_note WHERE run = ? ORDER BY metadata, "
		"name",
		P_ID(run));
	if (e)
		return e;
	while (!e && n < NOTES_MAX && row_next(r, &e, et)) {
		if (!f->notes)
			f->notes = arena_array_of(a, NOTES_MAX, struct trace_note);
		if (!f->notes)
			e = ERR_NOMEM;
		else
			f->notes[n++] = (struct trace_note){(enum trace_note_kind)row_i64(r, 0),
				kept(a, r, 1, false, &e), kept(a, r, 2, false, &e)};
	}
	row_free(r);
	f->n_notes = n;
	if (!e)
		e = feedback_read(tx, run, false, a, &f->assessments, &f->n_assessments, et);
	return e;
}

struct str trace_note_of(const struct trace_found *f, enum trace_note_kind kind, struct str key)
{
	for (size_t i = 0; i < f->n_notes; i++)
		if (f->notes[i].kind == kind && str_eq(f->notes[i].key, key))
			return f->notes[i].value;
	return (struct str){0};
}

/* ---- matching ---- */

struct scan {
	const struct trace_query *q;
	struct tx *tx;
	struct arena *a;
	size_t rows, bytes;
};

static bool match_status(const struct trace_clause *c, struct str status)
{
	/* MLflow's words mean ours; a clause may use either, in any case */
	static const struct {
		const char *ours, *theirs;
	} words[] = {{"ok", "OK"}, {"error", "ERROR"}, {"running", "IN_PROGRESS"}};
	if (trace_match_text(c, status) != (c->op == OP_NE || c->op == OP_NOT_IN))
		return trace_match_text(c, status);
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_eq_c(status, words[i].ours))
			return trace_match_text(c, str_c(words[i].theirs));
	return trace_match_text(c, status);
}

static bool match_assessment(const struct trace_clause *c, const struct trace_found *f)
{
	bool want = c->field == TF_EXPECTATION, any = false;
	for (size_t i = 0; i < f->n_assessments; i++) {
		const struct assessment *s = &f->assessments[i];
		if (s->expectation != want || !str_eq(s->name, c->key) || !s->value.p)
			continue;
		struct str v = s->value;
		if (v.n >= 2 && v.p[0] == '"')
			v = str_sub(v, 1, v.n - 1);
		any = true;
		if (trace_match_any(c, v))
			return true;
	}
	return !any && c->op == OP_NULL;
}

static bool match_id(const struct trace_clause *c, struct id id)
{
	char hex[3 + ID_HEX + 1] = "tr-";
	id_hex(id, hex + 3);
	bool no = c->op == OP_NE || c->op == OP_NOT_IN;
	bool with = trace_match_text(c, str_c(hex)), without = trace_match_text(c, str_c(hex + 3));
	return no ? with && without : with || without;
}

/* The run in which it was made, or one that it was linked to. */
static bool match_linked(const struct trace_clause *c, const struct trace_found *f)
{
	struct str source = trace_note_of(f, NOTE_METADATA, S("mlflow.sourceRun"));
	bool any = source.p != NULL;
	if (source.p && trace_match_text(c, source))
		return true;
	for (size_t i = 0; i < f->n_notes; i++)
		if (f->notes[i].kind == NOTE_RUN) {
			any = true;
			if (trace_match_text(c, f->notes[i].key))
				return true;
		}
	return !any && c->op == OP_NULL;
}

/* prompt = 'name/version'; the tag is a list of both */
static bool match_prompt(const struct trace_clause *c, struct str tag)
{
	yyjson_doc *doc;
	size_t i, n;
	yyjson_val *x;
	bool found = false;
	if (!tag.p || c->op != OP_EQ || json_parse(tag, &doc, NULL))
		return c->op == OP_NULL && !tag.p;
	yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n, x)
	{
		struct buf b = {0};
		buf_addf(&b, "%.*s/%.*s", STR_FMT(json_str(x, "name")),
			STR_FMT(json_str(x, "version")));
		found |= str_eq(buf_str(&b), c->texts[0]);
		buf_free(&b);
	}
	yyjson_doc_free(doc);
	return found;
}

static bool match_run(const struct trace_clause *c, const struct trace_found *f, yyjson_val *words)
{
	const struct run_row *r = &f->run;
	switch (c->field) {
	case TF_STATUS:
		return match_status(c, r->status);
	case TF_NAME:
		return trace_match_text(c, r->name);
	case TF_KIND:
		return trace_match_text(c, r->kind);
	case TF_ID:
		return match_id(c, r->id);
	case TF_RUN:
		return match_linked(c, f);
	case TF_CLIENT_REQUEST:
		return trace_match_text(c, trace_note_of(f, NOTE_METADATA, S(NOTE_CLIENT_REQUEST)));
	case TF_PROMPT:
		return match_prompt(c, trace_note_of(f, NOTE_TAG, S("mlflow.linkedPrompts")));
	case TF_END:
		return r->end_ns ? trace_match_number(c, (double)(r->end_ns / 1000000))
				 : c->op == OP_NULL;
	case TF_TIME:
		return trace_match_number(c, (double)(r->start_ns / 1000000));
	case TF_DURATION:
		if (!r->end_ns)
			return c->op == OP_NULL;
		return trace_match_number(c, (double)(r->end_ns - r->start_ns) / 1e6);
	case TF_TOKENS:
		return trace_match_number(c, (double)(r->tokens_in + r->tokens_out));
	case TF_TOKENS_IN:
		return trace_match_number(c, (double)r->tokens_in);
	case TF_TOKENS_OUT:
		return trace_match_number(c, (double)r->tokens_out);
	case TF_COST:
		return trace_match_number(c, r->cost);
	case TF_SPANS:
		return trace_match_number(c, (double)r->spans);
	case TF_ERRORS:
		return trace_match_number(c, (double)r->errors);
	case TF_WORD:
		return trace_match_text(
			c, json_val_str(yyjson_obj_getn(words, c->key.p, c->key.n)));
	case TF_TAG:
		return trace_match_any(c, trace_note_of(f, NOTE_TAG, c->key));
	case TF_METADATA:
		return trace_match_any(c, trace_note_of(f, NOTE_METADATA, c->key));
	case TF_FEEDBACK:
	case TF_EXPECTATION:
		return match_assessment(c, f);
	default:
		return true; /* of spans, or text: later */
	}
}

static bool match_attribute(const struct trace_clause *c, const struct span_row *s)
{
	struct str key;
	struct otel_value v;
	struct pb m = pb_of(s->raw.p ? s->raw : S(""));
	while (otel_next_attr(&m, OTEL_SPAN_ATTRS, &key, &v)) {
		if (!str_eq(key, c->key))
			continue;
		switch (v.type) {
		case OTEL_STR:
			return trace_match_any(c, v.s);
		case OTEL_INT:
			return c->is_number || c->op == OP_NOT_NULL
				       ? trace_match_number(c, (double)v.i)
				       : false;
		case OTEL_DOUBLE:
			return c->is_number || c->op == OP_NOT_NULL ? trace_match_number(c, v.f)
								    : false;
		case OTEL_BOOL:
			return trace_match_text(c, v.i ? S("true") : S("false"));
		default:
			return c->op == OP_NOT_NULL;
		}
	}
	return c->op == OP_NULL;
}

static struct str content_of(const struct span_row *s)
{
	return s->raw.p ? s->raw : s->attributes;
}

static bool match_span(const struct trace_clause *c, const struct span_row *s)
{
	struct trace_facts f = {0};
	struct otel_span o;
	switch (c->field) {
	case TF_SPAN_NAME:
		return trace_match_text(c, s->name);
	case TF_SPAN_TYPE: /* 'CHAT_MODEL' and 'GENERATION' are llm too */
		if (c->op == OP_EQ || c->op == OP_NE) {
			const char *ours = trace_type_of(c->texts[0]);
			bool same = str_eq_nocase(s->kind, c->texts[0]) ||
				    (ours && str_eq_c(s->kind, ours));
			return same == (c->op == OP_EQ);
		}
		return trace_match_text(c, s->kind);
	case TF_SPAN_STATUS:
		return match_status(c, s->status);
	case TF_SPAN_MODEL:
		if (s->raw.p && otel_span_read(s->raw, &o))
			trace_facts_read(&o, &f);
		return trace_match_text(c, f.model.n ? f.model : (struct str){0});
	case TF_SPAN_CONTENT:
		return trace_match_text(c, content_of(s));
	case TF_SPAN_DURATION:
		return s->end_ns ? trace_match_number(c, (double)(s->end_ns - s->start_ns) / 1e6)
				 : c->op == OP_NULL;
	case TF_SPAN_ATTRIBUTE:
		return match_attribute(c, s);
	default:
		return true;
	}
}

static bool contains(struct str in, struct str what)
{
	return in.p && str_find_nocase(in, what) != STR_NONE;
}

/* The text of a trace: its name and words, and everything that its spans hold. */
static bool match_text_head(const struct trace_clause *c, const struct run_row *r)
{
	return trace_match_text(c, r->name) || trace_match_text(c, r->attributes);
}

struct wants {
	bool spans_wanted, span_found;
	bool text_found[32], search_found;
};

static void look_at_span(struct scan *s, const struct span_row *row, struct wants *w)
{
	const struct trace_filter *f = &s->q->filter;
	bool all = true;
	for (size_t i = 0; i < f->n; i++) {
		const struct trace_clause *c = &f->clauses[i];
		if (c->field >= TF_SPAN_NAME)
			all &= match_span(c, row);
		else if (c->field == TF_TEXT && !w->text_found[i])
			w->text_found[i] = trace_match_text(c, row->name) ||
					   trace_match_text(c, content_of(row));
	}
	w->span_found |= all;
	if (s->q->search.n && !w->search_found)
		w->search_found = contains(row->name, s->q->search) ||
				  contains(content_of(row), s->q->search);
}

static bool satisfied(const struct trace_filter *f, const struct wants *w, struct str search)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->clauses[i].field == TF_TEXT && !w->text_found[i])
			return false;
	return (!w->spans_wanted || w->span_found) && (!search.n || w->search_found);
}

static enum err match_spans(
	struct scan *s, const struct run_row *run, bool *good, struct errtext *et)
{
	const struct trace_filter *f = &s->q->filter;
	struct wants w = {0};
	for (size_t i = 0; i < f->n; i++) {
		w.spans_wanted |= f->clauses[i].field >= TF_SPAN_NAME;
		if (f->clauses[i].field == TF_TEXT)
			w.text_found[i] = match_text_head(&f->clauses[i], run);
	}
	w.search_found = contains(run->name, s->q->search) ||
			 contains(run->attributes, s->q->search) ||
			 contains(run->error, s->q->search);
	*good = satisfied(f, &w, s->q->search);
	if (*good)
		return OK;
	struct row *r = NULL;
	enum err e = db_query(
		s->tx, &r, et, "SELECT " SPAN_COLUMNS " FROM span WHERE run = ?", P_ID(run->id));
	while (!e && !*good && row_next(r, &e, et)) {
		struct span_row row;
		struct arena *a = arena_new(0);
		e = a ? read_span(r, a, &row) : err_set(et, ERR_NOMEM, "no memory for spans");
		if (!e) {
			s->bytes += content_of(&row).n + 200;
			look_at_span(s, &row, &w);
			*good = satisfied(f, &w, s->q->search);
		}
		arena_free(a);
	}
	row_free(r);
	return e;
}

/* ---- lists ---- */

static enum err matches(struct scan *s, struct trace_found *f, bool *good, struct errtext *et)
{
	const struct trace_filter *filter = &s->q->filter;
	yyjson_doc *words = NULL;
	enum err e = OK;
	*good = true;
	if (filter->needs_notes || s->q->notes)
		e = read_notes(s->tx, f->run.id, s->a, f, et);
	if (!e && filter->n && json_parse(f->run.attributes, &words, NULL))
		words = NULL;
	for (size_t i = 0; !e && *good && i < filter->n; i++)
		*good = match_run(&filter->clauses[i], f, yyjson_doc_get_root(words));
	yyjson_doc_free(words);
	if (!e && *good && (filter->needs_spans || s->q->search.n))
		e = match_spans(s, &f->run, good, et);
	return e;
}

struct sql {
	struct buf text;
	struct param p[32];
	size_t n;
};

static void where(struct sql *q, const char *text, struct param p)
{
	buf_addc(&q->text, text);
	q->p[q->n++] = p;
}

/* Bounds of the time that the filter gives are the index's. */
static void time_bounds(const struct trace_query *q, int64_t *since, int64_t *until)
{
	*since = q->since_ns;
	*until = q->until_ns ? q->until_ns : INT64_MAX;
	for (size_t i = 0; i < q->filter.n; i++) {
		const struct trace_clause *c = &q->filter.clauses[i];
		if (c->field != TF_TIME || c->number < 0 || c->number > 9e12)
			continue;
		int64_t ns = (int64_t)c->number * 1000000;
		if (c->op == OP_GT || c->op == OP_GE || c->op == OP_EQ)
			*since = MAX(*since, ns);
		if (c->op == OP_LT || c->op == OP_LE || c->op == OP_EQ)
			*until = MIN(*until, ns + 1000000);
	}
}

static void make_sql(struct sql *s, const struct trace_query *q, int64_t after_ns, struct id *after)
{
	int64_t since, until;
	const char *way = q->ascending ? "ASC" : "DESC", *than = q->ascending ? ">" : "<";
	time_bounds(q, &since, &until);
	*s = (struct sql){0};
	buf_addc(&s->text, "SELECT " RUN_COLUMNS " FROM run WHERE version = 0");
	where(s, " AND project = ?", P_TEXT(q->project));
	if (since)
		where(s, " AND start_ns >= ?", P_I64(since));
	if (until < INT64_MAX)
		where(s, " AND start_ns < ?", P_I64(until));
	if (after_ns) {
		buf_addf(
			&s->text, " AND (start_ns %s ? OR (start_ns = ? AND id %s ?))", than, than);
		s->p[s->n++] = P_I64(after_ns);
		s->p[s->n++] = P_I64(after_ns);
		s->p[s->n++] = P_ID(*after);
	}
	for (size_t i = 0; i < q->n_experiments && i < TRACE_EXPERIMENTS_MAX; i++)
		where(s, i ? ", ?" : " AND experiment IN (?", P_I64(q->experiments[i]));
	buf_addc(&s->text, q->n_experiments ? ")" : "");
	buf_addf(&s->text, " ORDER BY start_ns %s, id %s", way, way);
	where(s, " LIMIT ?", P_I64(CHUNK));
}

/* One piece of the list; *end: there are no more rows. */
static enum err chunk(struct scan *s, struct trace_page *out, bool *end, struct errtext *et)
{
	struct sql sql;
	struct row *r = NULL;
	struct id after = out->next_id;
	struct trace_found *rows = arena_array_of(s->a, CHUNK, struct trace_found);
	size_t n = 0;
	make_sql(&sql, s->q, out->next_ns, &after);
	enum err e = rows && !sql.text.err
			     ? db_query_n(s->tx, &r, et, buf_c(&sql.text), sql.p, sql.n)
			     : err_set(et, ERR_NOMEM, "no memory for a list of traces");
	while (!e && n < CHUNK && row_next(r, &e, et)) {
		rows[n] = (struct trace_found){0};
		e = read_run(r, s->a, &rows[n].run);
		rows[n++].experiment = row_i64(r, 13);
	}
	row_free(r);
	buf_free(&sql.text);
	*end = n < CHUNK;
	for (size_t i = 0; !e && i < n; i++) {
		bool good;
		if (out->n == s->q->limit || s->bytes > SCAN_BYTES_MAX) {
			*end = false;
			break;
		}
		e = matches(s, &rows[i], &good, et);
		out->next_ns = rows[i].run.start_ns;
		out->next_id = rows[i].run.id;
		if (!e && good)
			out->list[out->n++] = rows[i];
	}
	s->rows += n;
	return e;
}

enum err trace_find(struct db *db, const struct trace_query *q, struct arena *a,
	struct trace_page *out, struct errtext *et)
{
	struct trace_page page = {.next_ns = q->after_ns, .next_id = q->after_id};
	struct scan s = {.q = q, .a = a};
	bool end = false;
	page.list = arena_array_of(a, MAX(q->limit, (size_t)1), struct trace_found);
	if (!page.list)
		return err_set(et, ERR_NOMEM, "no memory for a list of traces");
	enum err e = db_begin(db, TX_READ, &s.tx, et);
	if (e)
		return e;
	while (!e && !end && page.n < q->limit && s.rows < SCAN_ROWS_MAX &&
		s.bytes <= SCAN_BYTES_MAX)
		e = chunk(&s, &page, &end, et);
	db_rollback(s.tx);
	page.more = !end;
	if (!e)
		*out = page;
	return e;
}

/* ---- one trace ---- */

static enum err load_run(struct tx *tx, struct str project, struct id id, struct arena *a,
	struct trace_found *out, struct errtext *et)
{
	struct row *r;
	char hex[ID_HEX + 1];
	id_hex(id, hex);
	*out = (struct trace_found){0};
	enum err e =
		db_query(tx, &r, et, "SELECT " RUN_COLUMNS " FROM run WHERE id = ? AND project = ?",
			P_ID(id), P_TEXT(project));
	if (e)
		return e;
	if (row_next(r, &e, et)) {
		e = read_run(r, a, &out->run);
		out->experiment = row_i64(r, 13);
	} else if (!e) {
		e = err_set(et, ERR_NOT_FOUND, "there is no trace %s", hex);
	}
	row_free(r);
	return e ? e : read_notes(tx, id, a, out, et);
}

static enum err load_spans(struct tx *tx, struct id id, int64_t only, struct arena *a,
	struct span_row **spans, size_t *n, struct errtext *et)
{
	struct row *r;
	size_t k = 0, cap = 0;
	struct span_row *list = NULL;
	enum err e = only ? db_query(tx, &r, et,
				    "SELECT " SPAN_COLUMNS " FROM span WHERE run = ? AND id = ?",
				    P_ID(id), P_I64(only))
			  : db_query(tx, &r, et,
				    "SELECT " SPAN_COLUMNS
				    " FROM span WHERE run = ? ORDER BY start_ns, id",
				    P_ID(id));
	if (e)
		return e;
	while (!e && row_next(r, &e, et)) {
		if (k == cap) {
			size_t more = cap ? cap * 2 : 32;
			struct span_row *bigger = arena_array_of(a, more, struct span_row);
			if (!bigger) {
				e = err_set(et, ERR_NOMEM, "no memory for the spans of a trace");
				break;
			}
			if (k)
				memcpy(bigger, list, k * sizeof *list);
			list = bigger;
			cap = more;
		}
		e = read_span(r, a, &list[k++]);
	}
	row_free(r);
	*spans = list;
	*n = k;
	return e;
}

enum err trace_load_info(struct db *db, struct str project, struct id id, struct arena *a,
	struct trace_found *out, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(db, TX_READ, &tx, et);
	if (e)
		return e;
	e = load_run(tx, project, id, a, out, et);
	db_rollback(tx);
	return e;
}

enum err trace_load(struct db *db, struct str project, struct id id, struct arena *a,
	struct trace_found *out, struct span_row **spans, size_t *n, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(db, TX_READ, &tx, et);
	if (e)
		return e;
	e = load_run(tx, project, id, a, out, et);
	if (!e)
		e = load_spans(tx, id, 0, a, spans, n, et);
	db_rollback(tx);
	return e;
}

enum err trace_load_span(struct db *db, struct str project, struct id id, int64_t span,
	struct arena *a, struct trace_found *out, struct span_row *row, struct errtext *et)
{
	struct tx *tx;
	struct span_row *list;
	size_t n = 0;
	enum err e = db_begin(db, TX_READ, &tx, et);
	if (e)
		return e;
	e = load_run(tx, project, id, a, out, et);
	if (!e)
		e = load_spans(tx, id, span, a, &list, &n, et);
	db_rollback(tx);
	if (!e && (!n || !span))
		e = err_set(et, ERR_NOT_FOUND, "this trace has no span %016llx",
			(unsigned long long)span);
	if (!e)
		*row = list[0];
	return e;
}

enum err trace_load_source(struct db *db, struct str project, struct str holder, struct arena *a,
	struct trace_source *out, struct errtext *et)
{
	struct tx *tx;
	struct row *r;
	*out = (struct trace_source){0};
	if (!holder.p)
		return OK;
	enum err e = db_begin(db, TX_READ, &tx, et);
	if (e)
		return e;
	e = db_query(tx, &r, et,
		"SELECT resource, resource_url, scope, scope_url FROM span_holder WHERE project = "
		"? "
		"AND id = ?",
		P_TEXT(project), P_BLOB(holder));
	if (!e) {
		if (row_next(r, &e, et))
			*out = (struct trace_source){kept(a, r, 0, true, &e),
				kept(a, r, 1, true, &e), kept(a, r, 2, true, &e),
				kept(a, r, 3, true, &e)};
		row_free(r);
	}
	db_rollback(tx);
	return e;
}

/* ---- changes ---- */

enum err trace_put_notes(
	struct tx *tx, struct id run, const struct trace_note *notes, size_t n, struct errtext *et)
{
	enum err e = OK;
	for (size_t i = 0; !e && i < n; i++)
		e = db_exec(tx, et,
			"INSERT INTO trace_note (run, metadata, name, value) VALUES (?, ?, ?, ?) "
			"ON CONFLICT (run, metadata, name) DO UPDATE SET value = excluded.value",
			P_ID(run), P_I64(notes[i].kind), P_TEXT(notes[i].key),
			P_TEXT(notes[i].value));
	return e;
}

struct change {
	const struct principal *who;
	struct str project;
	struct id id;
	struct trace_note note;
};

static enum err change_tag(struct tx *tx, void *ctx, struct errtext *et)
{
	struct change *ch = ctx;
	struct arena *a = arena_new(0);
	struct trace_found f;
	enum err e = a ? load_run(tx, ch->project, ch->id, a, &f, et)
		       : err_set(et, ERR_NOMEM, "no memory for a trace");
	bool there = !e && trace_note_of(&f, NOTE_TAG, ch->note.key).p;
	if (!e && ch->note.value.p && !there && f.n_notes >= NOTES_MAX)
		e = err_set(et, ERR_LIMIT, "a trace takes at most %d tags", NOTES_MAX);
	if (!e && ch->note.value.p)
		e = trace_put_notes(tx, ch->id, &ch->note, 1, et);
	else if (!e && !there)
		e = err_set(et, ERR_NOT_FOUND, "this trace has no tag %.*s",
			STR_FMT(str_sub(ch->note.key, 0, 100)));
	else if (!e)
		e = db_exec(tx, et,
			"DELETE FROM trace_note WHERE run = ? AND metadata = 0 AND name = ?",
			P_ID(ch->id), P_TEXT(ch->note.key));
	arena_free(a);
	return e;
}

enum err trace_tag(struct croft *c, struct str project, struct id id, struct str key,
	struct str value, struct errtext *et)
{
	struct change ch = {.project = project, .id = id, .note = {NOTE_TAG, key, value}};
	if (!key.n || key.n > 250 || value.n > 8000)
		return err_set(
			et, ERR_INVALID, "a tag's key has 1 to 250 bytes, its value at most 8000");
	return db_write(croft_db(c), change_tag, &ch, et);
}

static enum err link_one(struct tx *tx, void *ctx, struct errtext *et)
{
	struct change *ch = ctx;
	struct arena *a = arena_new(0);
	struct trace_found f;
	enum err e = a ? load_run(tx, ch->project, ch->id, a, &f, et)
		       : err_set(et, ERR_NOMEM, "no memory for a trace");
	if (!e && f.n_notes >= NOTES_MAX)
		e = err_set(et, ERR_LIMIT, "a trace takes at most %d tags", NOTES_MAX);
	if (!e)
		e = trace_put_notes(tx, ch->id, &ch->note, 1, et);
	arena_free(a);
	return e;
}

enum err trace_link(
	struct croft *c, struct str project, struct id id, struct id run, struct errtext *et)
{
	char hex[ID_HEX + 1];
	id_hex(run, hex);
	struct change ch = {.project = project, .id = id, .note = {NOTE_RUN, str_c(hex), S("")}};
	return db_write(croft_db(c), link_one, &ch, et);
}

struct report {
	struct str project;
	const struct trace_report *r;
};

static enum err report_one(struct tx *tx, void *ctx, struct errtext *et)
{
	struct report *w = ctx;
	enum err e = trace_store_report(tx, w->project, w->r, et);
	return e ? e : trace_put_notes(tx, w->r->id, w->r->notes, w->r->n_notes, et);
}

enum err trace_report(
	struct croft *c, struct str project, const struct trace_report *r, struct errtext *et)
{
	struct report w = {project, r};
	if (r->n_notes > NOTES_MAX)
		return err_set(
			et, ERR_LIMIT, "a trace takes at most %d tags and metadata", NOTES_MAX);
	return db_write(croft_db(c), report_one, &w, et);
}

static enum err delete_one(struct tx *tx, void *ctx, struct errtext *et)
{
	struct change *ch = ctx;
	struct arena *a = arena_new(0);
	struct trace_found f;
	struct buf subject = {0}, detail = {0};
	struct jw w = {.out = &detail};
	char hex[ID_HEX + 1];
	enum err e = a ? load_run(tx, ch->project, ch->id, a, &f, et)
		       : err_set(et, ERR_NOMEM, "no memory for a trace");
	if (!e)
		e = retain_not_held(tx, ch->id, et);
	if (!e) {
		id_hex(ch->id, hex);
		buf_addf(&subject, "run/%s", hex);
		jw_obj(&w);
		jw_kstr(&w, "kind", f.run.kind);
		jw_kstr(&w, "name", f.run.name);
		jw_ki64(&w, "started_ms", f.run.start_ns / 1000000);
		jw_ki64(&w, "spans", f.run.spans);
		jw_end(&w);
		e = audit_add(tx, ch->who, "run.delete", buf_str(&subject), buf_str(&detail), et);
	}
	if (!e)
		e = db_exec(tx, et, "DELETE FROM run WHERE id = ? AND project = ?", P_ID(ch->id),
			P_TEXT(ch->project));
	buf_free(&subject);
	buf_free(&detail);
	arena_free(a);
	return e;
}

enum err trace_delete(struct croft *c, const struct principal *who, struct str project,
	struct id id, struct errtext *et)
{
	struct change ch = {.who = who, .project = project, .id = id};
	return db_write(croft_db(c), delete_one, &ch, et);
}
