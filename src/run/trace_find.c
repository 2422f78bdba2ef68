/* Lists of traces. By time, they go along the index of (project, time); what no index knows is
 * looked at row by row, and a page ends when enough was found or SCAN_ROWS_MAX rows or
 * SCAN_BYTES_MAX bytes of spans were looked at: the cursor says where to go on, so nothing is
 * skipped silently. In another order, all that match are looked through first; of them the keys are
 * kept. */
#include "run/trace_find_int.h"
#include "base/room.h"

#include <stdlib.h>

enum { CHUNK = 200, SCAN_ROWS_MAX = 20000, SCAN_BYTES_MAX = 64 << 20, SORT_MAX = 100000 };

struct scan {
	const struct trace_query *q;
	struct tx *tx;
	struct trace_values values, span_values;
	size_t rows, bytes;
};

/* ---- matching ---- */

/* Spans are read as far as the answer needs them. */
static enum err match_spans(
	struct scan *s, const struct trace_found *f, enum filter_truth *truth, struct errtext *et)
{
	struct filter_subject whole = {trace_value, &s->values};
	struct filter_subject part = {trace_span_value, &s->span_values};
	uint32_t found = 0;
	struct row *r = NULL;
	enum err e = db_query(
		s->tx, &r, et, "SELECT " SPAN_COLUMNS " FROM span WHERE run = ?", P_ID(f->run.id));
	while (!e && *truth == FILTER_UNKNOWN && row_next(r, &e, et)) {
		struct span_row row;
		struct arena *a = arena_new(0);
		e = a ? span_row_read(r, a, &row) : err_set(et, ERR_NOMEM, "no memory for spans");
		if (!e) {
			uint32_t before = found;
			s->bytes += trace_content(&row).n + 200;
			found = filter_part(s->q->filter, &part, &row, found);
			if (found != before)
				*truth = filter_decide(s->q->filter, &whole, f, found, false);
		}
		trace_values_clear(&s->span_values);
		arena_free(a);
	}
	row_free(r);
	if (!e && *truth == FILTER_UNKNOWN)
		*truth = filter_decide(s->q->filter, &whole, f, found, true);
	return e;
}

static enum err matches(
	struct scan *s, struct arena *a, struct trace_found *f, bool *good, struct errtext *et)
{
	const struct trace_query *q = s->q;
	bool early = trace_filter_needs_notes(q->filter);
	bool late = q->notes || trace_order_needs_notes(q->orders, q->n_orders);
	enum filter_truth truth = FILTER_FALSE;
	enum err e = early ? trace_read_notes(s->tx, f->run.id, a, f, et) : OK;
	if (!e)
		truth = filter_decide(
			q->filter, &(struct filter_subject){trace_value, &s->values}, f, 0, false);
	if (!e && truth == FILTER_UNKNOWN)
		e = match_spans(s, f, &truth, et);
	*good = truth == FILTER_TRUE;
	if (!e && *good && late && !early)
		e = trace_read_notes(s->tx, f->run.id, a, f, et);
	trace_values_clear(&s->values);
	return e;
}

/* ---- rows by time ---- */

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

static void make_sql(struct sql *s, const struct trace_query *q, const struct trace_place *after)
{
	int64_t since, until;
	const char *way = q->ascending ? "ASC" : "DESC", *than = q->ascending ? ">" : "<";
	trace_filter_times(q->filter, &since, &until);
	since = MAX(since, q->since_ns);
	until = MIN(until, q->until_ns ? q->until_ns : INT64_MAX);
	*s = (struct sql){0};
	buf_addc(&s->text, "SELECT " TRACE_RUN_COLUMNS " FROM run WHERE version = 0");
	where(s, " AND project = ?", P_TEXT(q->project));
	if (since)
		where(s, " AND start_ns >= ?", P_I64(since));
	if (until < INT64_MAX)
		where(s, " AND start_ns < ?", P_I64(until));
	for (unsigned i = 0; i < 3; i++) {
		struct str value;
		const char *column = trace_filter_column(q->filter, i, &value);
		if (!column)
			continue;
		buf_addf(&s->text, " AND %s = ?", column);
		s->p[s->n++] = P_TEXT(value);
	}
	if (after->ns) {
		buf_addf(
			&s->text, " AND (start_ns %s ? OR (start_ns = ? AND id %s ?))", than, than);
		s->p[s->n++] = P_I64(after->ns);
		s->p[s->n++] = P_I64(after->ns);
		s->p[s->n++] = P_ID(after->id);
	}
	for (size_t i = 0; i < q->n_experiments && i < TRACE_EXPERIMENTS_MAX; i++)
		where(s, i ? ", ?" : " AND experiment IN (?", P_I64(q->experiments[i]));
	buf_addc(&s->text, q->n_experiments ? ")" : "");
	buf_addf(&s->text, " ORDER BY start_ns %s, id %s", way, way);
	where(s, " LIMIT ?", P_I64(CHUNK));
}

static enum err read_chunk(struct scan *s, const struct trace_place *after, struct arena *a,
	struct trace_found **rows, size_t *n, struct errtext *et)
{
	struct sql sql;
	struct row *r = NULL;
	*n = 0;
	*rows = arena_array_of(a, CHUNK, struct trace_found);
	make_sql(&sql, s->q, after);
	enum err e = *rows && !sql.text.err
			     ? db_query_n(s->tx, &r, et, buf_c(&sql.text), sql.p, sql.n)
			     : err_set(et, ERR_NOMEM, "no memory for a list of traces");
	while (!e && *n < CHUNK && row_next(r, &e, et))
		e = trace_read_run(r, a, &(*rows)[(*n)++]);
	row_free(r);
	buf_free(&sql.text);
	return e;
}

/* One piece of the list; *end: there are no more rows. */
static enum err chunk(
	struct scan *s, struct arena *a, struct trace_page *out, bool *end, struct errtext *et)
{
	struct trace_found *rows;
	size_t n;
	enum err e = read_chunk(s, &out->next, a, &rows, &n, et);
	*end = n < CHUNK;
	for (size_t i = 0; !e && i < n; i++) {
		bool good;
		if (out->n == s->q->limit || s->bytes > SCAN_BYTES_MAX) {
			*end = false;
			break;
		}
		e = matches(s, a, &rows[i], &good, et);
		out->next.ns = rows[i].run.start_ns;
		out->next.id = rows[i].run.id;
		if (!e && good)
			out->list[out->n++] = rows[i];
	}
	s->rows += n;
	return e;
}

static enum err by_time(
	struct scan *s, struct arena *a, struct trace_page *page, struct errtext *et)
{
	bool end = false;
	enum err e = OK;
	while (!e && !end && page->n < s->q->limit && s->rows < SCAN_ROWS_MAX &&
		s->bytes <= SCAN_BYTES_MAX)
		e = chunk(s, a, page, &end, et);
	page->more = !end;
	return e;
}

/* ---- in another order ---- */

/* What is kept of one that matches: its place in time, and what it is ordered by. */
struct kept {
	struct trace_place at;
	struct filter_value *values; /* one for each order; neither text nor number: none */
};

static enum err keep(struct scan *s, const struct trace_found *f, struct arena *a,
	struct kept **out, struct errtext *et)
{
	size_t n = s->q->n_orders;
	struct kept *k = arena_new_of(a, struct kept);
	struct filter_value *v = arena_array_of(a, n, struct filter_value);
	bool whole = k && v;
	for (size_t i = 0; i < n && whole; i++) {
		v[i] = (struct filter_value){{0}, 0, false};
		if (!trace_value(&s->values, f, &s->q->orders[i].name, 0, &v[i]))
			v[i] = (struct filter_value){{0}, 0, false};
		if (v[i].text.p) { /* its beginning decides */
			v[i].text = arena_str(a, str_sub(v[i].text, 0, 1000));
			whole = v[i].text.p != NULL;
		}
	}
	trace_values_clear(&s->values);
	if (!whole)
		return err_set(et, ERR_NOMEM, "no memory for a list of traces");
	*k = (struct kept){{f->run.start_ns, f->run.id, 0}, v};
	*out = k;
	return OK;
}

static bool kept_value(void *ctx, const void *item, const struct filter_name *n, size_t at,
	struct filter_value *out)
{
	const struct trace_query *q = ctx;
	size_t i = 0; /* filter_sort hands over the orders' own names */
	while (i < q->n_orders && &q->orders[i].name != n)
		i++;
	*out = ((const struct kept *)item)->values[i];
	return out->text.p || out->is_number;
}

static int newest_first(const void *pa, const void *pb)
{
	const struct kept *a = pa, *b = pb;
	if (a->at.ns != b->at.ns)
		return a->at.ns > b->at.ns ? -1 : 1;
	return memcmp(a->at.id.b, b->at.id.b, sizeof a->at.id.b);
}

struct all {
	struct kept **v;
	size_t n, cap;
};

static enum err add(struct all *all, struct kept *k, struct errtext *et)
{
	if (all->n == SORT_MAX)
		return err_set(et, ERR_LIMIT,
			"more than %d traces match: order_by goes with fewer, or with timestamp_ms "
			"alone",
			SORT_MAX);
	if (!heap_room(all->v, all->n, all->cap))
		return err_set(et, ERR_NOMEM, "no memory for a list of traces");
	all->v[all->n++] = k;
	return OK;
}

/* Looks through everything, a chunk's rows being forgotten behind it. */
static enum err gather(struct scan *s, struct arena *a, struct all *all, struct errtext *et)
{
	struct trace_place after = {0};
	size_t n = CHUNK;
	enum err e = OK;
	while (!e && n == CHUNK) {
		struct trace_found *rows;
		struct arena *of = arena_new(0);
		e = of ? read_chunk(s, &after, of, &rows, &n, et)
		       : err_set(et, ERR_NOMEM, "no memory for a list of traces");
		for (size_t i = 0; !e && i < n; i++) {
			struct kept *k = NULL;
			bool good;
			after.ns = rows[i].run.start_ns;
			after.id = rows[i].run.id;
			e = matches(s, of, &rows[i], &good, et);
			if (!e && good)
				e = keep(s, &rows[i], a, &k, et);
			if (!e && good)
				e = add(all, k, et);
		}
		arena_free(of);
	}
	return e;
}

static enum err in_order(
	struct scan *s, struct arena *a, struct trace_page *page, struct errtext *et)
{
	const struct trace_query *q = s->q;
	struct arena *keys = arena_new(0);
	struct all all = {0};
	enum err e = keys ? gather(s, keys, &all, et)
			  : err_set(et, ERR_NOMEM, "no memory for a list of traces");
	if (!e)
		e = filter_sort(q->orders, q->n_orders,
			&(struct filter_subject){kept_value, (void *)(uintptr_t)q}, (void **)all.v,
			all.n, newest_first, keys, et);
	size_t from = MIN(q->after.skip, all.n), to = MIN(from + q->limit, all.n);
	for (size_t i = from; !e && i < to; i++)
		e = trace_load_tx(
			s->tx, q->project, all.v[i]->at.id, a, &page->list[page->n++], et);
	page->more = to < all.n;
	page->next = (struct trace_place){.skip = to};
	free(all.v);
	arena_free(keys);
	return e;
}

/* ---- pages ---- */

enum err trace_find(struct db *db, const struct trace_query *q, struct arena *a,
	struct trace_page *out, struct errtext *et)
{
	bool time = !q->n_orders || (q->n_orders == 1 && trace_name_is_time(&q->orders[0].name));
	struct trace_query mine = *q;
	struct trace_page page = {.next = q->after};
	struct scan s = {.q = &mine};
	if (time && q->n_orders) {
		mine.ascending = !q->orders[0].descending;
		mine.n_orders = 0;
	}
	page.list = arena_array_of(a, MAX(q->limit, (size_t)1), struct trace_found);
	if (!page.list)
		return err_set(et, ERR_NOMEM, "no memory for a list of traces");
	enum err e = db_begin(db, TX_READ, &s.tx, et);
	if (e)
		return e;
	e = time ? by_time(&s, a, &page, et) : in_order(&s, a, &page, et);
	db_rollback(s.tx);
	if (!e)
		*out = page;
	return e;
}

bool trace_place_read(struct str s, struct trace_place *out)
{
	size_t dot = s.n ? str_chr(s, '.') : STR_NONE;
	uint64_t skip;
	struct trace_place p = {0};
	if (!s.n) {
		*out = p;
		return true;
	}
	if (s.p[0] == 'p' && str_u64(str_sub(s, 1, s.n), &skip)) {
		*out = (struct trace_place){.skip = skip};
		return true;
	}
	if (dot == STR_NONE || !str_i64(str_sub(s, 0, dot), &p.ns) ||
		!id_parse(str_sub(s, dot + 1, s.n), &p.id))
		return false;
	*out = p;
	return true;
}

void trace_place_json(struct jw *w, const struct trace_place *p)
{
	char hex[ID_HEX + 1];
	id_hex(p->id, hex);
	p->skip ? jw_fmt(w, "p%zu", p->skip) : jw_fmt(w, "%lld.%s", (long long)p->ns, hex);
}
