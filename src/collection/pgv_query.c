/* Searching and listing in pgvector.
 *
 * A search either compares all (a sequential scan, or a bitmap from the index of the payloads, then
 * a sort) or walks the graph; the planner is told which, because only Croft knows what it will say
 * of it. With a filter, a sample of the table says how many items match: the graph is walked when
 * it would meet enough of them before a comparison of all that match were done. Conditions that SQL
 * cannot decide as Croft does, and odd items (pgv_cond.c), are decided here with the payload, while
 * candidates come in order. */
#include "collection/pgv_int.h"
#include "collection/recall_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	FEW_ITEMS = 200,          /* of lists: so few are all scored */
	PER_COMPARISON_NS = 2000, /* of a row that is compared with all others that match */
	PER_STEP_NS = 30000,      /* of a row that the walk hands out */
	HALF_MORE = 4,            /* candidates for each hit when the graph is of half floats */
	CURSOR_ROWS = 256,        /* in the text of FETCH below */
	LIST_ROWS = 1000,
};

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a search");
}

static enum err moved(struct errtext *et)
{
	return err_set(et, ERR_BUSY, "the collection is being moved: try again");
}

/* ---- one search ---- */

struct hit_row {
	uint64_t num;
	double distance;
	bool odd;
};

struct search {
	struct collection *k;
	const struct item_query *q;
	const struct space *s;
	size_t place; /* of the space */
	struct tx *tx;
	struct arena *a;
	struct pgv_facts facts;
	size_t each;           /* vectors near each of a list's that are looked for */
	bool exact_sql;        /* the conditions' SQL says it all, but for odd items */
	struct hit_row *found; /* in order; q->k fit */
	size_t n;
	uint64_t seen; /* rows that came */
	bool over;     /* the rest is worse than q->worst */
};

static const char *operator_of(const struct space *s)
{
	return s->distance == DISTANCE_L2 ? "<->" : s->distance == DISTANCE_L1 ? "<+>" : "<#>";
}

static bool half(const struct search *x)
{
	return x->s->dim > PGV_DIM_FLOAT;
}

static void distance_sql(struct search *x, struct pgv_sql *q, struct str vector)
{
	buf_addf(&q->text, "t.v%zu OPERATOR(%s.%s) CAST(? AS %s.vector)", x->place,
		x->k->pgv.schema, operator_of(x->s), x->k->pgv.schema);
	pgv_bind_text(q, vector);
}

static void order_sql(struct search *x, struct pgv_sql *q, bool walk, struct str vector)
{
	const char *schema = x->k->pgv.schema;
	if (!walk || !half(x)) {
		buf_addc(&q->text, walk ? " ORDER BY d" : " ORDER BY d, t.num");
		return;
	}
	buf_addf(&q->text,
		" ORDER BY CAST(t.v%zu AS %s.halfvec(%u)) OPERATOR(%s.%s) CAST(? AS "
		"%s.halfvec(%u))",
		x->place, schema, x->s->dim, schema, operator_of(x->s), schema, x->s->dim);
	pgv_bind_text(q, vector);
}

/* The distance to the query's vector q.v, as the index has it. */
static void near_sql(struct search *x, struct pgv_sql *q)
{
	const char *schema = x->k->pgv.schema;
	if (half(x))
		buf_addf(&q->text,
			"CAST(r.v AS %s.halfvec(%u)) OPERATOR(%s.%s) CAST(q.v AS %s.halfvec(%u))",
			schema, x->s->dim, schema, operator_of(x->s), schema, x->s->dim);
	else
		buf_addf(&q->text, "r.v OPERATOR(%s.%s) q.v", schema, operator_of(x->s));
}

/* The conditions, and what every row has to fulfil. */
static void where_sql(struct search *x, struct pgv_sql *q)
{
	if (x->s->kind == SPACE_DENSE)
		buf_addf(&q->text, " WHERE t.v%zu IS NOT NULL", x->place);
	else
		buf_addc(&q->text, " WHERE TRUE");
	x->exact_sql = true;
	if (x->q->filter) {
		buf_addc(&q->text, x->facts.state.odd ? " AND (t.odd OR " : " AND (");
		pgv_cond(q, x->q->filter, &x->exact_sql);
		buf_putc(&q->text, ')');
	}
	if (x->q->among) {
		buf_addc(&q->text, " AND t.num = ANY (CAST(? AS bigint[]))");
		pgv_bind_nums(q, x->q->among, x->q->n_among);
	}
}

/* Of a list of vectors: the least distance of each of the query's to one of the item's, added up.
 * Items are all that match, or those whose vectors the graph finds. */
static void lists_sql(struct search *x, struct pgv_sql *q, bool walk, struct str vectors)
{
	const char *schema = x->k->pgv.schema;
	long long number = (long long)x->k->number;
	buf_addf(&q->text,
		"WITH q AS MATERIALIZED (SELECT v, i FROM unnest(CAST(? AS %s.vector[])) "
		"WITH ORDINALITY AS q (v, i))",
		schema);
	pgv_bind_text(q, vectors);
	if (walk) {
		buf_addf(&q->text,
			", near AS MATERIALIZED (SELECT DISTINCT n.num FROM q CROSS JOIN LATERAL "
			"(SELECT r.num FROM derived_pgv_%lld_m%zu r%s",
			number, x->place, x->q->filter ? "" : " ORDER BY ");
		if (x->q->filter) {
			buf_addf(&q->text, " JOIN derived_pgv_%lld t ON t.num = r.num", number);
			where_sql(x, q);
			buf_addc(&q->text, " ORDER BY ");
		}
		near_sql(x, q);
		buf_addc(&q->text, " LIMIT ?) n)");
		pgv_bind(q, P_I64((int64_t)x->each));
	}
	buf_addc(&q->text, " SELECT num, odd, sum(m) AS d FROM (SELECT t.num, t.odd, q.i, min(");
	if (x->s->distance == DISTANCE_L2)
		buf_addf(&q->text, "%s.vector_l2_squared_distance(r.v, q.v)", schema);
	else
		buf_addf(&q->text, "r.v OPERATOR(%s.%s) q.v", schema, operator_of(x->s));
	buf_addf(&q->text,
		") AS m FROM derived_pgv_%lld t JOIN derived_pgv_%lld_m%zu r ON r.num = t.num%s "
		"CROSS JOIN q",
		number, number, x->place, walk ? " JOIN near ON near.num = t.num" : "");
	where_sql(x, q);
	buf_addc(&q->text, " GROUP BY t.num, t.odd, q.i) a GROUP BY num, odd ORDER BY d, num");
}

static void query_sql(struct search *x, struct pgv_sql *q, bool walk, bool cursor)
{
	struct buf vector = {0};
	if (x->s->kind == SPACE_MULTI) {
		pgv_vectors_text(x->s, x->q->vector, x->q->rows, &vector);
		buf_addc(&q->text, cursor ? "DECLARE croft_hits NO SCROLL CURSOR FOR " : "");
		lists_sql(x, q, walk, buf_str(&vector));
		if (!cursor) {
			buf_addc(&q->text, " LIMIT ?");
			pgv_bind(q, P_I64((int64_t)x->q->k));
		}
		if (vector.err || q->text.err)
			q->err = ERR_NOMEM;
		buf_free(&vector);
		return;
	}
	pgv_vector_text(x->s, x->q->vector, &vector);
	if (vector.err)
		q->err = vector.err;
	buf_addf(&q->text, "%sSELECT t.num, t.odd, ",
		cursor ? "DECLARE croft_hits NO SCROLL CURSOR FOR " : "");
	distance_sql(x, q, buf_str(&vector));
	buf_addf(&q->text, " AS d FROM derived_pgv_%lld t", (long long)x->k->number);
	where_sql(x, q);
	order_sql(x, q, walk, buf_str(&vector));
	if (!cursor) {
		buf_addc(&q->text, " LIMIT ?");
		pgv_bind(q, P_I64((int64_t)(x->q->k * (walk && half(x) ? HALF_MORE : 1))));
	}
	if (q->text.err)
		q->err = q->text.err;
	buf_free(&vector);
}

/* ---- candidates ---- */

static bool better(const struct hit_row *a, const struct hit_row *b)
{
	return a->distance != b->distance ? a->distance < b->distance : a->num < b->num;
}

/* The rows of the walk are nearly in order; those of half floats less so. */
static void keep(struct search *x, struct hit_row r)
{
	size_t at = x->n;
	if (x->n == x->q->k) {
		if (!better(&r, &x->found[x->n - 1]))
			return;
		at = x->n - 1;
	} else {
		x->n++;
	}
	while (at && better(&r, &x->found[at - 1])) {
		x->found[at] = x->found[at - 1];
		at--;
	}
	x->found[at] = r;
}

static bool too_bad(const struct search *x, double distance)
{
	if (isnan(x->q->worst))
		return false;
	return distance_is_far(x->s->distance) ? (float)distance > x->q->worst
					       : -(float)distance < x->q->worst;
}

static bool unsure(const struct search *x, const struct hit_row *r)
{
	return x->q->filter && (r->odd || !x->exact_sql);
}

/* Of rows[n] those that are unsure are looked at with their payload. */
static enum err decide(struct search *x, struct hit_row *rows, size_t *n, struct errtext *et)
{
	size_t kept = 0;
	enum err e = OK;
	for (size_t i = 0; i < *n && !e; i++) {
		bool yes = true;
		if (unsure(x, &rows[i]))
			e = pgv_payload_matches(
				x->tx, x->k->number, x->q->filter, rows[i].num, &yes, et);
		if (yes)
			rows[kept++] = rows[i];
	}
	*n = e ? *n : kept;
	return e;
}

/* Of lists, squares are added up. */
static double distance_of(const struct search *x, double d)
{
	bool squares = x->s->kind == SPACE_MULTI && x->s->distance == DISTANCE_L2;
	return squares ? sqrt(MAX(d, 0.0)) : d;
}

/* The rows of one query, at most max. */
static enum err read_rows(struct search *x, const char *sql, const struct param *p, size_t n_p,
	struct hit_row *rows, size_t max, size_t *n, struct errtext *et)
{
	struct row *r;
	enum err e = db_query_n(x->tx, &r, et, sql, p, n_p);
	if (e)
		return e;
	for (*n = 0; *n < max && row_next(r, &e, et); ++*n)
		rows[*n] = (struct hit_row){
			(uint64_t)row_i64(r, 0), distance_of(x, row_f64(r, 2)), row_i64(r, 1) != 0};
	row_free(r);
	x->seen += *n;
	return e;
}

static void keep_all(struct search *x, const struct hit_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!too_bad(x, rows[i].distance))
			keep(x, rows[i]);
}

/* Candidates in order until there are enough. */
static enum err by_cursor(struct search *x, bool walk, struct errtext *et)
{
	struct pgv_sql q = {.a = x->a};
	struct hit_row rows[CURSOR_ROWS];
	size_t n = CURSOR_ROWS, enough = x->q->k;
	query_sql(x, &q, walk, true);
	enum err e = q.err ? no_memory(et) : db_exec_n(x->tx, et, buf_c(&q.text), q.params, q.n);
	while (!e && n == CURSOR_ROWS && x->n < enough) {
		size_t left;
		if (cancelled(x->q->cancel))
			e = err_set(et, ERR_CANCELLED, "the search was cancelled");
		e = e ? e
		      : read_rows(
				x, "FETCH 256 FROM croft_hits", NULL, 0, rows, CURSOR_ROWS, &n, et);
		left = n;
		bool past = n && !half(x) && too_bad(x, rows[n - 1].distance);
		e = e ? e : decide(x, rows, &left, et);
		if (!e)
			keep_all(x, rows, left);
		if (past)
			break;
	}
	e = e ? e : db_exec(x->tx, et, "CLOSE croft_hits");
	buf_free(&q.text);
	return e;
}

static enum err at_once(struct search *x, bool walk, struct errtext *et)
{
	struct pgv_sql q = {.a = x->a};
	size_t max = x->q->k * HALF_MORE, n = 0;
	struct hit_row *rows = malloc(max * sizeof *rows);
	query_sql(x, &q, walk, false);
	enum err e = q.err || !rows
			     ? no_memory(et)
			     : read_rows(x, buf_c(&q.text), q.params, q.n, rows, max, &n, et);
	if (!e)
		keep_all(x, rows, n);
	free(rows);
	buf_free(&q.text);
	return e;
}

/* As asked for, or what the recall of live queries has made of it. */
static uint32_t effort_of(const struct search *x)
{
	uint32_t own =
		x->q->ef || x->s->kind ? x->q->ef : recall_ef(x->k, layout_of(x->k), x->place, 0);
	return own ? own : PGV_EF;
}

static enum err run(struct search *x, bool walk, struct errtext *et)
{
	struct pgv_sql q = {.a = x->a};
	where_sql(x, &q); /* only to learn whether it says all */
	buf_free(&q.text);
	uint32_t ef = effort_of(x);
	x->n = 0;
	x->each = MAX((size_t)x->q->ef, MIN(MAX(4 * x->q->k, (size_t)64), (size_t)4096));
	if (x->s->kind == SPACE_MULTI)
		ef = (uint32_t)x->each;
	enum err e = pgv_plan(x->tx, walk ? PGV_WALK : PGV_COMPARE_ALL, MAX(ef, (uint32_t)x->q->k),
		x->k->pgv.version, et);
	if (e)
		return e;
	bool all_said = !x->q->filter || (x->exact_sql && !x->facts.state.odd);
	return all_said ? at_once(x, walk, et) : by_cursor(x, walk, et);
}

/* ---- which way ---- */

static enum err choose(struct search *x, bool *walk, struct errtext *et)
{
	const struct item_query *q = x->q;
	bool iterative = x->k->pgv.version >= PGV_ITERATIVE;
	double part = 0;
	*walk = x->facts.graph && !q->exact && !q->among &&
		(iterative || (!q->filter && q->k <= PGV_EF_MAX));
	if (!*walk || !q->filter)
		return OK;
	enum err e = pgv_share(x->k, x->tx, x->facts.items, q->filter, x->a, &part, et);
	if (x->s->kind == SPACE_MULTI) { /* what SQL does not decide leaves too few candidates */
		struct pgv_sql sql = {.a = x->a};
		where_sql(x, &sql);
		buf_free(&sql.text);
		*walk = !e && x->exact_sql &&
			part * (double)x->facts.items > FEW_ITEMS + 4 * (double)q->k;
		return e;
	}
	double all_ns = part * (double)x->facts.items * PER_COMPARISON_NS;
	*walk = !e && part > 0 && (double)q->k / part * PER_STEP_NS < all_ns;
	return e;
}

/* The walk ends early when it has looked at hnsw.max_scan_tuples; then all are compared. */
static bool too_few(const struct search *x)
{
	if (x->s->kind == SPACE_MULTI && !x->q->filter)
		return false; /* candidates are those of the nearest vectors */
	return x->n < x->q->k && isnan(x->q->worst) &&
	       (x->q->filter || (int64_t)x->q->k <= x->facts.items);
}

static enum err search_sparse(struct search *x, struct item_search *how, struct errtext *et)
{
	struct pgv_best best = {arena_array_of(x->a, x->q->k + 1, struct hit), 0, x->q->k};
	if (!best.hits)
		return no_memory(et);
	enum err e = pgv_plan(x->tx, PGV_AS_IT_LIKES, 1, x->k->pgv.version, et);
	e = e ? e : pgv_sparse(x->k, x->tx, x->s, x->q, &x->facts, x->a, &best, et);
	for (x->n = 0; x->n < best.n && !e; x->n++)
		x->found[x->n] = (struct hit_row){
			best.hits[x->n].key, -(double)best.hits[x->n].score, false};
	*how = (struct item_search){.compared = (uint64_t)x->facts.items};
	return e;
}

static enum err search(struct search *x, struct item_search *how, struct errtext *et)
{
	bool walk = false;
	enum err e = pgv_facts(x->tx, x->k->number, x->place, &x->facts, et);
	if (e == ERR_NOT_FOUND ||
		(!e && (!x->facts.state.table || x->facts.state.filled != PGV_FILLED)))
		e = moved(et);
	if (!e && x->s->kind == SPACE_SPARSE)
		return search_sparse(x, how, et);
	e = e ? e : choose(x, &walk, et);
	e = e ? e : run(x, walk, et);
	if (!e && walk && too_few(x)) {
		walk = false;
		e = run(x, walk, et);
	}
	bool all = !walk && !x->q->filter && !x->q->among;
	*how = (struct item_search){.approximate = walk,
		.ef = walk ? MAX(effort_of(x), (uint32_t)x->q->k) : 0,
		.compared = all ? (uint64_t)x->facts.items : x->seen};
	return e;
}

static enum err to_hits(struct search *x, struct item_hit **out, struct errtext *et)
{
	struct item_hit *hits = arena_array_of(x->a, x->q->k, struct item_hit);
	if (!hits)
		return no_memory(et);
	for (size_t i = 0; i < x->n; i++) {
		float d = (float)x->found[i].distance;
		hits[i] = (struct item_hit){
			.key = x->found[i].num, .score = distance_is_far(x->s->distance) ? d : -d};
	}
	*out = hits;
	return OK;
}

enum err pgv_query(struct collection *k, const struct item_query *q, struct arena *a,
	struct item_hit **out, size_t *n, struct item_search *how, struct errtext *et)
{
	const struct space *s = collection_space(k, q->space);
	struct search x = {.k = k, .q = q, .s = s, .place = s->place, .a = a};
	struct item_search said = {0};
	x.found = arena_array_of(a, q->k + 1, struct hit_row);
	enum err e = x.found ? db_begin(croft_db(k->c), TX_READ, &x.tx, et) : no_memory(et);
	if (e)
		return e;
	e = search(&x, &said, et);
	db_rollback(x.tx);
	e = e ? e : to_hits(&x, out, et);
	if (e)
		return e;
	*n = x.n;
	if (how)
		*how = said;
	return OK;
}

/* ---- lists ---- */

struct listing {
	struct collection *k;
	const struct cond *c;
	struct tx *tx;
	struct arena *a; /* of what is found */
	bool odd, exact_sql;
	struct matched *found;
	size_t n, cap, max;
	uint64_t count;
	bool keep; /* the rows themselves, not only how many */
};

static enum err add_match(struct listing *x, uint64_t num, struct str id, struct errtext *et)
{
	x->count++;
	if (!x->keep)
		return OK;
	if (x->n == x->cap) {
		size_t cap = x->cap ? 2 * x->cap : 256;
		struct matched *more = arena_array_of(x->a, cap, struct matched);
		if (!more)
			return no_memory(et);
		if (x->n)
			memcpy(more, x->found, x->n * sizeof *more);
		x->found = more;
		x->cap = cap;
	}
	x->found[x->n] = (struct matched){num, arena_str(x->a, id)};
	return x->found[x->n++].id.p ? OK : no_memory(et);
}

/* Of items from the id `from` on, after it when `after`. */
static void list_sql(struct listing *x, struct pgv_sql *q, struct str from, bool after)
{
	buf_addf(&q->text,
		"SELECT i.num, i.id, t.odd, i.payload FROM collection_item i JOIN derived_pgv_%lld "
		"t ON t.num = i.num WHERE i.collection = ? AND i.id %s ? AND ",
		(long long)x->k->number, after ? ">" : ">=");
	pgv_bind(q, P_I64(x->k->number));
	pgv_bind(q, P_BLOB(from));
	buf_addc(&q->text, x->odd ? "(t.odd OR " : "(");
	pgv_cond(q, x->c, &x->exact_sql);
	buf_addc(&q->text, ") ORDER BY i.id LIMIT ?");
	pgv_bind(q, P_I64(LIST_ROWS));
	if (q->text.err)
		q->err = q->text.err;
}

static enum err list_row(struct listing *x, struct row *r, struct errtext *et)
{
	uint64_t num = (uint64_t)row_i64(r, 0);
	bool yes = true;
	enum err e = OK;
	if (!x->exact_sql || row_i64(r, 2)) {
		yyjson_doc *doc = NULL;
		e = json_parse(row_text(r, 3), &doc, et);
		yes = !e && cond_matches(x->c, num, yyjson_doc_get_root(doc));
		yyjson_doc_free(doc);
	}
	return e || !yes ? e : add_match(x, num, row_blob(r, 1), et);
}

/* One part; *last: the id of its last row, in place of the first one's; *more: it was full. */
static enum err list_part(
	struct listing *x, struct item_id *last, bool after, bool *more, struct errtext *et)
{
	struct arena *a = arena_new(0);
	struct pgv_sql q = {.a = a};
	struct row *r;
	size_t got = 0;
	if (!a)
		return no_memory(et);
	list_sql(x, &q, item_id_bytes(last), after);
	enum err e =
		q.err ? no_memory(et) : db_query_n(x->tx, &r, et, buf_c(&q.text), q.params, q.n);
	buf_free(&q.text);
	if (!e) {
		while (!e && (!x->keep || x->n < x->max) && row_next(r, &e, et)) {
			struct str id = row_blob(r, 1);
			got++;
			last->n = (uint8_t)MIN(id.n, sizeof last->b);
			memcpy(last->b, id.p, last->n);
			e = list_row(x, r, et);
		}
		row_free(r);
	}
	arena_free(a);
	*more = got == LIST_ROWS;
	return e;
}

static enum err list_begin(struct listing *x, struct errtext *et)
{
	struct pgv_state s;
	enum err e = db_begin(croft_db(x->k->c), TX_READ, &x->tx, et);
	if (e)
		return e;
	e = pgv_state(x->tx, x->k->number, &s, et);
	if (e == ERR_NOT_FOUND || (!e && (!s.table || s.filled != PGV_FILLED)))
		e = moved(et);
	e = e ? e : pgv_plan(x->tx, PGV_AS_IT_LIKES, 1, x->k->pgv.version, et);
	x->odd = s.odd;
	return e;
}

static enum err list_all(struct listing *x, struct str from, struct errtext *et)
{
	struct item_id last = {.n = (uint8_t)MIN(from.n, (size_t)COLLECTION_ID_MAX)};
	bool more = true;
	memcpy(last.b, from.p, last.n);
	enum err e = list_begin(x, et);
	for (bool after = false; !e && more && (!x->keep || x->n < x->max); after = true)
		e = list_part(x, &last, after, &more, et);
	db_rollback(x->tx);
	return e;
}

enum err pgv_list(struct collection *k, const struct cond *c, struct str from, size_t max,
	struct arena *a, struct matched **out, size_t *n, struct errtext *et)
{
	struct listing x = {.k = k, .c = c, .a = a, .max = max, .keep = true};
	enum err e = list_all(&x, from, et);
	if (!e) {
		*out = x.found;
		*n = x.n;
	}
	return e;
}

/* By SQL alone, when that says it all. */
static enum err count_by_sql(struct listing *x, bool *done, struct errtext *et)
{
	struct pgv_sql q = {.a = x->a};
	struct row *r;
	enum err e = list_begin(x, et);
	buf_addf(
		&q.text, "SELECT count(*) FROM derived_pgv_%lld t WHERE ", (long long)x->k->number);
	pgv_cond(&q, x->c, &x->exact_sql);
	*done = x->exact_sql && !x->odd;
	e = e ? e : q.err || q.text.err ? no_memory(et) : OK;
	if (!e && *done) {
		e = db_query_n(x->tx, &r, et, buf_c(&q.text), q.params, q.n);
		if (!e) {
			if (row_next(r, &e, et))
				x->count = (uint64_t)row_i64(r, 0);
			row_free(r);
		}
	}
	db_rollback(x->tx);
	buf_free(&q.text);
	return e;
}

enum err pgv_count(struct collection *k, const struct cond *c, size_t *n, struct errtext *et)
{
	struct listing x = {.k = k, .c = c, .a = arena_new(0)};
	bool done = false;
	enum err e = x.a ? count_by_sql(&x, &done, et) : no_memory(et);
	if (!e && !done)
		e = list_all(&x, S(""), et);
	arena_free(x.a);
	if (!e)
		*n = (size_t)x.count;
	return e;
}
