/* Postings in PostgreSQL: SQL for PostgreSQL alone, what reads. */
#include "collection/pgv_post.h"
#include "base/room.h"

#include <stdio.h>
#include <stdlib.h>

enum { FETCH_ROWS = 256 /* in the text of FETCH below */, WORD_MAX = 64 };

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a search in postings");
}

static void bind_keys(struct pgv_sql *q, const struct str *keys, size_t n)
{
	struct buf b = {0};
	buf_putc(&b, '{');
	for (size_t i = 0; i < n; i++) {
		buf_addc(&b, i ? ",\"\\\\x" : "\"\\\\x");
		for (size_t j = 0; j < keys[i].n; j++)
			buf_addf(&b, "%02x", (unsigned char)keys[i].p[j]);
		buf_putc(&b, '"');
	}
	buf_putc(&b, '}');
	if (b.err)
		q->err = ERR_NOMEM;
	else
		pgv_bind_text(q, buf_str(&b));
	buf_free(&b);
}

static void bind_doubles(struct pgv_sql *q, const double *v, size_t n)
{
	struct buf b = {0};
	buf_putc(&b, '{');
	for (size_t i = 0; i < n; i++)
		buf_addf(&b, i ? ",%.17g" : "%.17g", v[i]);
	buf_putc(&b, '}');
	if (b.err)
		q->err = ERR_NOMEM;
	else
		pgv_bind_text(q, buf_str(&b));
	buf_free(&b);
}

static enum err query(struct tx *tx, struct pgv_sql *q, struct row **r, struct errtext *et)
{
	enum err e = q->err || q->text.err
			     ? no_memory(et)
			     : db_query_n(tx, r, et, buf_c(&q->text), q->params, q->n);
	buf_free(&q->text);
	return e;
}

enum err post_counts(struct tx *tx, const struct post_base *b, struct arena *a,
	const struct str *keys, size_t n, uint64_t *counts, struct errtext *et)
{
	struct pgv_sql q = {.a = a};
	struct row *r;
	memset(counts, 0, n * sizeof *counts);
	buf_addf(&q.text,
		"SELECT u.i, t.n FROM unnest(CAST(? AS bytea[])) WITH ORDINALITY AS u (term, i) "
		"JOIN %s_t t ON t.term = u.term",
		b->name);
	bind_keys(&q, keys, n);
	enum err e = query(tx, &q, &r, et);
	if (e)
		return e;
	while (row_next(r, &e, et))
		counts[row_i64(r, 0) - 1] = (uint64_t)row_i64(r, 1);
	row_free(r);
	return e;
}

/* ---- chunks, the best first ---- */

/* The bounds of all rows of the keys come from the index alone; rows of postings are read as the
 * cursor comes to them. */
static void scan_sql(struct pgv_sql *q, const struct post_base *b, const struct post_scan *s)
{
	size_t wanted = 0;
	for (size_t i = 0; i < s->n; i++)
		wanted += s->weights[i] != 0;
	buf_addc(&q->text,
		"DECLARE croft_posts NO SCROLL CURSOR FOR WITH q AS MATERIALIZED (SELECT term, w, "
		"i FROM unnest(CAST(? AS bytea[]), CAST(? AS double precision[])) WITH ORDINALITY "
		"AS q (term, w, i)), b AS MATERIALIZED (SELECT p.chunk, sum(GREATEST(q.w * p.hi, "
		"q.w * p.lo, 0)) AS u FROM q JOIN ");
	bind_keys(q, s->keys, s->n);
	bind_doubles(q, s->weights, s->n);
	buf_addf(&q->text, "%s_p p ON p.term = q.term WHERE %s", b->name,
		s->any ? "TRUE" : "q.w <> 0");
	if (s->chunks) {
		buf_addc(&q->text, " AND p.chunk = ANY (CAST(? AS bigint[]))");
		pgv_bind_nums(q, s->chunks, s->n_chunks);
	}
	buf_addc(&q->text, " GROUP BY p.chunk");
	if (s->all) {
		buf_addc(&q->text, " HAVING count(*) = ?");
		pgv_bind(q, P_I64((int64_t)wanted));
	}
	buf_addf(&q->text,
		") SELECT b.chunk, b.u, p.i, p.post FROM (SELECT chunk, u FROM b ORDER BY u DESC, "
		"chunk) b CROSS JOIN LATERAL (SELECT q.i, p.post FROM q JOIN %s_p p ON p.term = "
		"q.term AND p.chunk = b.chunk OFFSET 0) p ORDER BY b.u DESC, b.chunk",
		b->name);
}

/* The rows of the chunk at hand. */
struct gathered {
	const struct post_scan *s;
	struct buf bytes;
	size_t *at, *n; /* by key */
	struct str *posts;
	uint64_t chunk;
	double most;
	bool any, enough;
};

static enum err tell(struct gathered *g, struct errtext *et)
{
	if (!g->any || g->enough)
		return OK;
	if (g->bytes.err)
		return no_memory(et);
	if (cancelled(g->s->cancel))
		return err_set(et, ERR_CANCELLED, "the search was cancelled");
	for (size_t i = 0; i < g->s->n; i++) {
		g->posts[i] = g->n[i] ? str_mk(g->bytes.p + g->at[i], g->n[i]) : S("");
		g->n[i] = 0;
	}
	g->any = false;
	enum err e = g->s->fn(g->s->ctx, g->chunk, g->most, g->posts, &g->enough, et);
	buf_clear(&g->bytes);
	return e;
}

static enum err take_rows(struct gathered *g, struct row *r, size_t *n, struct errtext *et)
{
	enum err e = OK;
	for (*n = 0; !e && !g->enough && row_next(r, &e, et); ++*n) {
		uint64_t chunk = (uint64_t)row_i64(r, 0);
		size_t key = (size_t)row_i64(r, 2) - 1;
		struct str post = row_blob(r, 3);
		if (g->any && chunk != g->chunk)
			e = tell(g, et);
		g->any = true;
		g->chunk = chunk;
		g->most = row_f64(r, 1);
		g->at[key] = g->bytes.n;
		g->n[key] = post.n;
		buf_adds(&g->bytes, post);
	}
	return e;
}

static enum err scan_all(struct tx *tx, struct gathered *g, struct errtext *et)
{
	size_t n = FETCH_ROWS;
	enum err e = OK;
	while (!e && n == FETCH_ROWS && !g->enough) {
		struct row *r;
		e = db_query(tx, &r, et, "FETCH 256 FROM croft_posts");
		if (!e) {
			e = take_rows(g, r, &n, et);
			row_free(r);
		}
	}
	return e ? e : tell(g, et);
}

enum err post_scan(struct tx *tx, const struct post_base *b, struct arena *a,
	const struct post_scan *s, struct errtext *et)
{
	struct pgv_sql q = {.a = a};
	struct gathered g = {.s = s,
		.at = arena_array_of(a, s->n + 1, size_t),
		.n = arena_array_of(a, s->n + 1, size_t),
		.posts = arena_array_of(a, s->n + 1, struct str)};
	if (!g.at || !g.n || !g.posts)
		return no_memory(et);
	memset(g.n, 0, (s->n + 1) * sizeof *g.n);
	scan_sql(&q, b, s);
	/* the planner would read whole tables, and sort everything before the first row */
	enum err e = q.err || q.text.err
			     ? no_memory(et)
			     : db_exec(tx, et,
				       "SELECT set_config('enable_seqscan', 'off', true), "
				       "set_config('enable_hashjoin', 'off', true), "
				       "set_config('enable_mergejoin', 'off', true), "
				       "set_config('enable_bitmapscan', 'off', true)");
	e = e ? e : db_exec_n(tx, et, buf_c(&q.text), q.params, q.n);
	buf_free(&q.text);
	e = e ? e : scan_all(tx, &g, et);
	e = e ? e : db_exec(tx, et, "CLOSE croft_posts");
	buf_free(&g.bytes);
	return e;
}

/* ---- terms that stand for another ---- */

/* The first bytes that come after all that begins with the prefix; false: there are none. */
static bool after_prefix(struct str prefix, struct arena *a, struct str *out)
{
	size_t n = prefix.n;
	while (n && (unsigned char)prefix.p[n - 1] == 0xFF)
		n--;
	if (!n)
		return false;
	char *copy = arena_c(a, str_sub(prefix, 0, n));
	if (!copy)
		return false;
	copy[n - 1] = (char)((unsigned char)copy[n - 1] + 1);
	*out = str_mk(copy, n);
	return true;
}

static enum err add_found(struct arena *a, struct post_term **list, size_t *n, size_t *cap,
	struct post_term t, struct errtext *et)
{
	struct post_term *more = *list;
	t.term = arena_str(a, t.term);
	if (!t.term.p || !arena_room(a, more, *n, *cap))
		return no_memory(et);
	more[(*n)++] = t;
	*list = more;
	return OK;
}

enum err post_beginning(struct tx *tx, const struct post_base *b, struct str prefix, size_t max,
	struct arena *a, struct post_term **out, size_t *n, struct errtext *et)
{
	struct pgv_sql q = {.a = a};
	struct str end;
	struct row *r;
	size_t cap = 0;
	*out = NULL;
	*n = 0;
	buf_addf(&q.text, "SELECT term, n FROM %s_t WHERE term >= ?", b->name);
	pgv_bind(&q, P_BLOB(prefix));
	if (after_prefix(prefix, a, &end)) {
		buf_addc(&q.text, " AND term < ?");
		pgv_bind(&q, P_BLOB(end));
	}
	buf_addc(&q.text, " ORDER BY n DESC, term LIMIT ?");
	pgv_bind(&q, P_I64((int64_t)max));
	enum err e = query(tx, &q, &r, et);
	if (e)
		return e;
	while (!e && row_next(r, &e, et))
		e = add_found(a, out, n, &cap,
			(struct post_term){row_blob(r, 0), (uint64_t)row_i64(r, 1), 0}, et);
	row_free(r);
	return e;
}

struct spelling {
	uint32_t want[WORD_MAX];
	unsigned n, edits;
};

/* How many edits the term is away; more than the most when it is too far. */
static unsigned distance(const struct spelling *w, struct str term)
{
	unsigned row[WORD_MAX + 1], depth = 0;
	for (unsigned j = 0; j <= w->n; j++)
		row[j] = j;
	for (size_t at = 0; at < term.n;) {
		uint32_t cp;
		unsigned diagonal = row[0], least = row[0] = ++depth;
		at += utf8_decode(str_sub(term, at, term.n), &cp);
		for (unsigned j = 1; j <= w->n; j++) {
			unsigned above = row[j];
			row[j] = MIN(diagonal + (w->want[j - 1] != cp), MIN(above, row[j - 1]) + 1);
			diagonal = above;
			least = MIN(least, row[j]);
		}
		if (least > w->edits)
			return least;
	}
	return row[w->n];
}

static int by_worth(const void *a, const void *b)
{
	const struct post_term *x = a, *y = b;
	if (x->edits != y->edits)
		return x->edits < y->edits ? -1 : 1;
	if (x->df != y->df)
		return x->df > y->df ? -1 : 1;
	return str_cmp(x->term, y->term);
}

/* Only terms of nearly the same length are looked at. When more than twice as many as are wanted
 * have been found, the worse of them are left out. */
enum err post_misspelt(struct tx *tx, const struct post_base *b, struct str term, unsigned edits,
	size_t max, bool *cut, struct arena *a, struct post_term **out, size_t *n,
	struct errtext *et)
{
	struct spelling w = {.edits = edits};
	struct pgv_sql q = {.a = a};
	struct row *r;
	size_t cap = 0;
	for (size_t at = 0; at < term.n && w.n < WORD_MAX;)
		at += utf8_decode(str_sub(term, at, term.n), &w.want[w.n++]);
	*out = NULL;
	*n = 0;
	buf_addf(&q.text,
		"SELECT term, n FROM %s_t WHERE letters BETWEEN ? AND ? AND length(term) > 0",
		b->name);
	pgv_bind(&q, P_I64((int64_t)w.n - edits));
	pgv_bind(&q, P_I64((int64_t)w.n + edits));
	enum err e = query(tx, &q, &r, et);
	if (e)
		return e;
	while (!e && row_next(r, &e, et)) {
		struct str t = row_blob(r, 0);
		unsigned d = distance(&w, t);
		if (d > edits || !t.p[0])
			continue;
		e = add_found(
			a, out, n, &cap, (struct post_term){t, (uint64_t)row_i64(r, 1), d}, et);
		if (!e && *n > 2 * max) {
			qsort(*out, *n, sizeof **out, by_worth);
			*n = max;
			*cut = true;
		}
	}
	row_free(r);
	if (!e && *n)
		qsort(*out, *n, sizeof **out, by_worth);
	*cut |= *n > max;
	*n = MIN(*n, max);
	return e;
}
