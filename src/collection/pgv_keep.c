/* Which items of a collection in pgvector match a filter, for searches that find candidates
 * elsewhere than in its table. Few that match are listed beforehand; else candidates are asked
 * about, some at a time. */
#include "collection/pgv_int.h"

#include <math.h>
#include <stdlib.h>

enum {
	SAMPLE = 2000,      /* rows that tell how many match */
	LIST_GUESS = 20000, /* expected: listed */
	LIST_MOST = 100000, /* more than these are not */
	ASK_AT_ONCE = 4096,
};

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a search");
}

enum err pgv_share(struct collection *k, struct tx *tx, int64_t items, const struct cond *c,
	struct arena *a, double *out, struct errtext *et)
{
	struct pgv_sql q = {.a = a};
	struct row *r;
	bool exact;
	double percent = 100.0 * SAMPLE / (double)MAX(items, (int64_t)1);
	buf_addc(&q.text, "SELECT count(*), count(CASE WHEN ");
	pgv_cond(&q, c, &exact);
	buf_addf(&q.text,
		" THEN 1 END) FROM derived_pgv_%lld t TABLESAMPLE SYSTEM (%.9f) REPEATABLE (1)",
		(long long)k->number, MIN(percent, 100.0));
	enum err e = q.text.err || q.err ? no_memory(et)
					 : pgv_plan(tx, PGV_AS_IT_LIKES, 1, k->pgv.version, et);
	e = e ? e : db_query_n(tx, &r, et, buf_c(&q.text), q.params, q.n);
	buf_free(&q.text);
	if (e)
		return e;
	if (row_next(r, &e, et))
		*out = row_i64(r, 0) ? (double)row_i64(r, 1) / (double)row_i64(r, 0) : 0;
	row_free(r);
	return e;
}

enum err pgv_payload_matches(struct tx *tx, int64_t number, const struct cond *c, uint64_t num,
	bool *yes, struct errtext *et)
{
	struct item_row item;
	yyjson_doc *doc = NULL;
	struct arena *a = arena_new(0);
	enum err e = a ? store_item_by_num(tx, number, (int64_t)num,
				 (struct item_want){.payload = true}, a, &item, et)
		       : no_memory(et);
	if (e == ERR_NOT_FOUND) /* it never is, within one snapshot */
		e = err_set(et, ERR_CORRUPT, "an item of the collection has no row");
	e = e ? e : json_parse(item.payload, &doc, et);
	if (!e)
		*yes = cond_matches(c, num, yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	arena_free(a);
	return e;
}

/* ---- some items ---- */

struct found {
	uint64_t num;
	bool odd;
};

/* Of the rows of a query the nums that match are added to `out`; *n: how many rows there were. */
static enum err take_matching(struct pgv_keep *x, struct pgv_sql *q, size_t most,
	struct bitmap *out, size_t *n, struct errtext *et)
{
	struct row *r;
	struct found *list = malloc((most + 1) * sizeof *list);
	enum err e = !list || q->err || q->text.err
			     ? no_memory(et)
			     : db_query_n(x->tx, &r, et, buf_c(&q->text), q->params, q->n);
	*n = 0;
	if (!e) {
		while (*n < most && row_next(r, &e, et))
			list[(*n)++] = (struct found){(uint64_t)row_i64(r, 0), row_i64(r, 1) != 0};
		row_free(r);
	}
	for (size_t i = 0; i < *n && !e; i++) {
		bool yes = true;
		if (x->filter && (list[i].odd || !x->exact))
			e = pgv_payload_matches(
				x->tx, x->k->number, x->filter, list[i].num, &yes, et);
		if (!e && yes)
			bitmap_add(out, list[i].num);
	}
	free(list);
	return !e && out->err ? no_memory(et) : e;
}

static void where(struct pgv_keep *x, struct pgv_sql *q)
{
	buf_addf(&q->text, "SELECT t.num, t.odd FROM derived_pgv_%lld t WHERE ",
		(long long)x->k->number);
	x->exact = true;
	buf_addc(&q->text, x->odd ? "(t.odd OR " : "(");
	if (x->filter)
		pgv_cond(q, x->filter, &x->exact);
	else
		buf_addc(&q->text, "TRUE");
	buf_putc(&q->text, ')');
}

static enum err ask(
	struct pgv_keep *x, const uint64_t *nums, size_t n, struct bitmap *out, struct errtext *et)
{
	size_t got;
	enum err e = OK;
	for (size_t i = 0; i < n && !e; i += ASK_AT_ONCE) {
		size_t some = MIN(n - i, (size_t)ASK_AT_ONCE);
		struct pgv_sql q = {.a = x->a};
		where(x, &q);
		buf_addc(&q.text, " AND t.num = ANY (CAST(? AS bigint[]))");
		pgv_bind_nums(&q, nums + i, some);
		e = take_matching(x, &q, some, out, &got, et);
		buf_free(&q.text);
	}
	return e;
}

static enum err list(struct pgv_keep *x, struct errtext *et)
{
	struct pgv_sql q = {.a = x->a};
	size_t n;
	where(x, &q);
	buf_addc(&q.text, " LIMIT ?");
	pgv_bind(&q, P_I64(LIST_MOST));
	enum err e = take_matching(x, &q, LIST_MOST, &x->some, &n, et);
	buf_free(&q.text);
	x->listed = n < LIST_MOST;
	return e;
}

enum err pgv_keep_begin(struct pgv_keep *x, int64_t items, const uint64_t *among, size_t n_among,
	struct errtext *et)
{
	double part = 1;
	if (among) {
		x->listed = true;
		return ask(x, among, n_among, &x->some, et);
	}
	if (!x->filter)
		return OK;
	enum err e = pgv_share(x->k, x->tx, items, x->filter, x->a, &part, et);
	return e || part * (double)items > LIST_GUESS ? e : list(x, et);
}

enum err pgv_keep_these(
	struct pgv_keep *x, const uint64_t *nums, size_t n, bool *yes, struct errtext *et)
{
	struct bitmap some = {0};
	const struct bitmap *b = x->listed ? &x->some : &some;
	enum err e = x->listed || !x->filter || !n ? OK : ask(x, nums, n, &some, et);
	for (size_t i = 0; i < n && !e; i++)
		yes[i] = (!x->listed && !x->filter) || bitmap_has(b, nums[i]);
	bitmap_free(&some);
	return e;
}

/* The numbers of those that are listed, without their lowest bits. */
enum err pgv_keep_chunks(
	const struct pgv_keep *x, unsigned bits, uint64_t **out, size_t *n, struct errtext *et)
{
	enum { AT_ONCE = 1024 };
	uint64_t keys[AT_ONCE], from = 0;
	size_t got;
	uint64_t *chunks = arena_array_of(x->a, x->some.count + 1, uint64_t);
	if (!chunks)
		return no_memory(et);
	for (*n = 0; (got = bitmap_keys(&x->some, from, keys, AT_ONCE)); from = keys[got - 1] + 1)
		for (size_t i = 0; i < got; i++)
			if (!*n || chunks[*n - 1] != keys[i] >> bits)
				chunks[(*n)++] = keys[i] >> bits;
	*out = chunks;
	return OK;
}

void pgv_keep_end(struct pgv_keep *x)
{
	bitmap_free(&x->some);
}

/* ---- the best ---- */

static bool worse(struct hit a, struct hit b)
{
	return a.score != b.score ? a.score < b.score : a.key > b.key;
}

static void sift(struct hit *h, size_t n, size_t at)
{
	for (;;) {
		size_t least = at, l = 2 * at + 1;
		for (size_t c = l; c < n && c < l + 2; c++)
			if (worse(h[c], h[least]))
				least = c;
		if (least == at)
			return;
		struct hit t = h[at];
		h[at] = h[least];
		h[least] = t;
		at = least;
	}
}

static void add_hit(struct pgv_best *b, struct hit x)
{
	if (b->n == b->max) {
		if (!worse(b->hits[0], x))
			return;
		b->hits[0] = x;
		sift(b->hits, b->n, 0);
		return;
	}
	b->hits[b->n++] = x;
	for (size_t i = b->n == b->max ? b->n / 2 : 0; i-- > 0;)
		sift(b->hits, b->n, i);
}

float pgv_best_limit(const struct pgv_best *b)
{
	return b->n == b->max ? b->hits[0].score : -INFINITY;
}

enum err pgv_best_add(struct pgv_best *b, struct pgv_keep *keep, uint64_t first,
	const uint64_t *bits, size_t n_words, const float *scores, struct errtext *et)
{
	enum { AT_ONCE = 1024 };
	uint64_t nums[AT_ONCE];
	bool yes[AT_ONCE];
	enum err e = OK;
	for (size_t i = 0; i < 64 * n_words && !e;) {
		float limit = pgv_best_limit(b);
		size_t n = 0;
		for (; i < 64 * n_words && n < AT_ONCE; i++)
			if (bits[i / 64] >> i % 64 & 1 && scores[i] >= limit)
				nums[n++] = first + i;
		e = pgv_keep_these(keep, nums, n, yes, et);
		for (size_t j = 0; j < n && !e; j++)
			if (yes[j])
				add_hit(b, (struct hit){nums[j], scores[nums[j] - first]});
	}
	return e;
}

static int best_first(const void *a, const void *b)
{
	const struct hit *x = a, *y = b;
	return worse(*y, *x) ? -1 : worse(*x, *y);
}

void pgv_best_sort(struct pgv_best *b)
{
	if (b->n)
		qsort(b->hits, b->n, sizeof *b->hits, best_first);
}
