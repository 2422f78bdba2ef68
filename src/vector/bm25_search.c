/* The search of the keyword index: MaxScore by windows, over postings in blocks with bounds.
 *
 * A segment's documents are taken WINDOW at a time. In each window every term has a bound, the
 * greatest of its blocks there. Terms whose bounds together cannot reach the k-th best hit so far
 * are `below`: they are only looked up for documents that the others found. The others' postings
 * are added up in an array, by arithmetic that is quick and nearly right. The k best sums so far
 * are the `bar`: who cannot reach its least, with a margin for the error (slack), is out. Who can
 * is a candidate, and in the end is scored anew as the formula has it, in the order of the query's
 * terms. So the result is that of scoring everything: docs/internals/keyword.md. */
#include "vector/bm25_int.h"

#include <math.h>
#include <stdlib.h>

/* STEP: documents that are compared at once. */
enum { WINDOW = 4096, STEP = 16, NO_BLOCK = UINT32_MAX };

/* Bounds are a little too high, for what the arithmetic with them can be wrong by. */
static const float SLACK = 1.0001f;

/* ---- the query ---- */

void bm25_query_idf(const struct snap *s, struct query_term *t)
{
	t->idf = bm25_idf_of(s->base.n_docs, t->df);
}

void bm25_query_weigh(const struct snap *s, struct query_term *t, uint32_t *ids, size_t stride)
{
	t->df = 0;
	for (size_t p = 0; p < s->base.n_parts; p++) {
		uint32_t id, df = 0;
		if (bm25_seg_find(seg_of(&s->base.parts[p]), t->term, &id))
			df = live_df(&s->base.parts[p], id);
		if (ids)
			ids[p * stride] = df ? id : NO_TERM;
		t->df += df;
	}
	bm25_query_idf(s, t);
}

void bm25_query_free(struct query *q)
{
	size_t n_parts = q->snap ? q->snap->base.n_parts : 0;
	for (size_t i = 0; q->made && i < n_parts * q->n; i++)
		bm25_seg_put(q->made[i]);
	for (size_t i = 0; q->allowed && i < n_parts; i++)
		free(q->allowed[i]);
	free(q->terms);
	free(q->ids);
	free(q->made);
	free(q->allowed);
}

static void sort_terms(struct query *q, const struct str *terms, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t at = q->n;
		while (at && str_cmp(q->terms[at - 1].term, terms[i]) > 0)
			at--;
		if (at && str_eq(q->terms[at - 1].term, terms[i])) {
			q->terms[at - 1].times++;
			continue;
		}
		memmove(&q->terms[at + 1], &q->terms[at], (q->n++ - at) * sizeof *q->terms);
		q->terms[at] = (struct query_term){.term = terms[i], .times = 1};
	}
}

static bool query_make(struct query *q, const struct model *m, const struct snap *s,
	const struct str *terms, size_t n)
{
	*q = (struct query){.model = m, .snap = s};
	q->terms = malloc((n + 1) * sizeof *q->terms);
	q->ids = malloc((n * s->base.n_parts + 1) * sizeof *q->ids);
	if (!q->terms || !q->ids) {
		bm25_query_free(q);
		*q = (struct query){0};
		return false;
	}
	sort_terms(q, terms, n);
	for (size_t i = 0; i < q->n; i++)
		bm25_query_weigh(s, &q->terms[i], q->ids + i, q->n);
	return true;
}

static float weight_of(const struct query_term *t)
{
	return t->times * t->idf;
}

/* ---- a term's postings in a segment ---- */

struct decoded {
	uint32_t block, n;
	uint32_t docs[PACK_N + STEP]; /* after the last: NO_DOC */
	uint32_t *tf;
};

struct cursor {
	const struct seg *seg; /* that has the postings; the lengths are the part's */
	const struct term *term;
	const struct block *blocks;
	uint32_t n_full, n_blocks;
	float weight;
	float unit; /* what a block's bound is to be multiplied by */
	/* For the window at hand: the first block that reaches it, the last that begins in it, the
	 * bound of all of them. */
	uint32_t at, last;
	float bound;
	uint32_t scan_i;           /* in scan.docs */
	struct decoded scan, look; /* for adding up, and for looking up */
	float part[PACK_N];        /* of scan: what each posting adds, nearly */
};

static uint32_t block_last(const struct cursor *c, uint32_t block)
{
	return block < c->n_full ? c->blocks[block].last : NO_DOC - 1;
}

static float block_bound(const struct cursor *c, uint32_t block)
{
	return c->unit * (float)(block < c->n_full ? c->blocks[block].bound : c->term->tail_bound);
}

struct search {
	const struct query *q;
	const struct segment_part *part;
	const uint64_t *allowed;   /* of the part; NULL: all */
	struct cursor *c, **order; /* in the query's order; by ascending bound */
	float *below;              /* [i]: the bounds of order[0..i) together */
	size_t n;
	uint32_t *tf; /* for all `decoded` */
	vector_keep_fn keep;
	void *ctx;
	struct topk top;
	struct topk bar; /* the k best sums so far, in order of documents */
	uint64_t bar_keys;
	float slack; /* what a sum can be wrong by, as a factor */
	float limit; /* a sum below is out; < 0: there are not k yet */
	struct candidate {
		uint32_t doc;
		float sum;
	} * candidates; /* of this segment, ascending */
	size_t n_candidates, max_candidates;
	/* The window at hand: who was found, and of those, who is not out. */
	uint32_t near_docs[WINDOW];
	float near_sums[WINDOW];
	size_t n_near;
	uint64_t found[WINDOW / 64];
	float sum[WINDOW]; /* 0 where not found */
};

static void decode(const struct cursor *c, struct decoded *d, uint32_t block)
{
	d->n = bm25_block_read(c->seg, c->term, block, d->docs, d->tf);
	d->block = block;
}

/* How much greater a share can be than by the averages that the segment was made with: a length
 * counts for less when the average has grown. */
static float growth(const struct query *q, const struct seg *s)
{
	float g = 1;
	for (uint32_t f = 0; f < s->n_fields; f++)
		if (s->ref.len[f] > 0 && q->snap->avg.len[f] > s->ref.len[f] * g)
			g = q->snap->avg.len[f] / s->ref.len[f];
	return g;
}

static void open_cursors(struct search *z, size_t part)
{
	const struct seg *s = seg_of(z->part);
	float unit = growth(z->q, s) * SLACK / UINT16_MAX;
	size_t per = (size_t)s->n_fields * PACK_N;
	z->n = 0;
	for (size_t i = 0; i < z->q->n; i++) {
		uint32_t id = z->q->ids[part * z->q->n + i];
		const struct seg *from = z->q->terms[i].phrase ? z->q->made[part * z->q->n + i] : s;
		if (id == NO_TERM || !from)
			continue;
		struct cursor *c = &z->c[z->n];
		const struct term *t = &from->terms[id];
		c->seg = from;
		c->term = t;
		c->blocks = from->blocks + t->block_at;
		c->n_full = full_blocks(t);
		c->n_blocks = all_blocks(t);
		c->weight = weight_of(&z->q->terms[i]);
		c->unit = c->weight * unit;
		c->at = c->scan_i = 0;
		c->scan.block = c->look.block = NO_BLOCK;
		c->scan.tf = z->tf + 2 * z->n * per;
		c->look.tf = c->scan.tf + per;
		for (size_t j = PACK_N; j < PACK_N + STEP; j++)
			c->scan.docs[j] = c->look.docs[j] = NO_DOC;
		z->order[z->n++] = c;
	}
}

/* ---- adding up ---- */

/* The loops have no branches and a fixed length: compilers make vectors of them. */
static void score_classic(const struct search *z, struct cursor *c)
{
	const struct model *m = z->q->model;
	const uint32_t *all = seg_of(z->part)->len, *tf = c->scan.tf;
	float base = m->k1 * (1 - m->fields[0].b), w = c->weight;
	float each = m->k1 * m->fields[0].b / z->q->snap->avg.len[0];
	int32_t len[PACK_N];
	float part[STEP];
	for (uint32_t i = 0; i < c->scan.n; i++)
		len[i] = (int32_t)all[c->scan.docs[i]];
	memset(len + c->scan.n, 0, (PACK_N - c->scan.n) * sizeof *len);
	for (size_t from = 0; from < c->scan.n; from += STEP) {
		for (size_t i = 0; i < STEP; i++) {
			float n = (float)(int32_t)tf[from + i];
			part[i] = w * n / (n + base + each * (float)len[from + i]);
		}
		memcpy(c->part + from, part, sizeof part);
	}
}

static void scan_block(const struct search *z, struct cursor *c, uint32_t block)
{
	decode(c, &c->scan, block);
	c->scan_i = 0;
	if (z->q->model->classic) {
		score_classic(z, c);
		return;
	}
	for (uint32_t i = 0; i < c->scan.n; i++)
		c->part[i] = c->weight * bm25_share(z->q->model, &z->q->snap->avg, seg_of(z->part),
						 c->scan.docs[i], c->scan.tf + i, PACK_N);
}

/* The first place from `at` on whose document is not before x; there is one. */
static uint32_t seek(const uint32_t *docs, uint32_t at, uint32_t x)
{
	while (docs[at + STEP - 1] < x)
		at += STEP;
	uint32_t n = 0;
	for (size_t i = 0; i < STEP; i++)
		n += (int32_t)docs[at + i] < (int32_t)x;
	return at + n;
}

/* Adds the documents [lo, hi), which c's window is. */
static void add_up(struct search *z, struct cursor *c, uint32_t lo, uint32_t hi)
{
	for (uint32_t block = c->at; block <= c->last && block < c->n_blocks; block++) {
		if (c->scan.block != block)
			scan_block(z, c, block);
		uint32_t i = seek(c->scan.docs, c->scan_i, lo);
		for (; c->scan.docs[i] < hi; i++) {
			uint32_t d = c->scan.docs[i] - lo;
			z->sum[d] += c->part[i];
			z->found[d / 64] |= UINT64_C(1) << d % 64;
		}
		c->scan_i = i;
	}
}

/* ---- looking up ---- */

/* The block, in whichever of the two it is decoded or else will be. */
static struct decoded *look_into(const struct search *z, struct cursor *c, uint32_t block)
{
	struct decoded *d = c->scan.block == block ? &c->scan : &c->look;
	if (d->block != block)
		decode(c, d, block);
	return d;
}

static float share_of(const struct search *z, uint32_t doc, const uint32_t *tf)
{
	return bm25_share(z->q->model, &z->q->snap->avg, seg_of(z->part), doc, tf, PACK_N);
}

/* ---- candidates ---- */

/* The full block that has documents up to doc, or the tail. */
static uint32_t find_block(const struct block *blocks, uint32_t n_full, uint32_t doc)
{
	uint32_t lo = 0, hi = n_full;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (blocks[mid].last < doc)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static float exact_score(const struct search *z, uint32_t doc)
{
	float sum = 0;
	for (size_t i = 0; i < z->n; i++) {
		struct cursor *c = &z->c[i];
		uint32_t block = find_block(c->blocks, c->n_full, doc);
		if (block == c->n_blocks)
			continue;
		const struct decoded *d = look_into(z, c, block);
		uint32_t at = seek(d->docs, 0, doc);
		if (d->docs[at] == doc)
			sum += c->weight * share_of(z, doc, d->tf + at);
	}
	return sum;
}

/* Scores the candidates. */
static void settle(struct search *z)
{
	for (size_t i = 0; i < z->n_candidates; i++) {
		const struct candidate *c = &z->candidates[i];
		if (c->sum >= z->limit)
			topk_add(&z->top,
				(struct hit){z->part->seg->keys[c->doc], exact_score(z, c->doc)});
	}
	z->n_candidates = 0;
}

static void add_candidate(struct search *z, uint32_t doc, float sum)
{
	topk_add(&z->bar, (struct hit){z->bar_keys++, sum});
	if (z->bar.n == z->bar.k)
		z->limit = MAX(z->limit, z->bar.hits[0].score / z->slack);
	if (z->n_candidates == z->max_candidates) {
		size_t n = 0;
		for (size_t i = 0; i < z->n_candidates; i++)
			if (z->candidates[i].sum >= z->limit)
				z->candidates[n++] = z->candidates[i];
		z->n_candidates = n;
		if (n > z->max_candidates / 2)
			settle(z);
	}
	z->candidates[z->n_candidates++] = (struct candidate){doc, sum};
}

/* Adds what order[i] gives to those who are near, and leaves out who is out then. */
static void narrow(struct search *z, size_t i)
{
	struct cursor *c = z->order[i];
	float limit = z->limit, before = limit - z->below[i + 1], after = limit - z->below[i];
	uint32_t block = c->at, at = 0;
	const struct decoded *d = NULL;
	size_t n = 0;
	for (size_t j = 0; j < z->n_near; j++) {
		uint32_t doc = z->near_docs[j];
		float sum = z->near_sums[j];
		if (sum < before)
			continue;
		for (; block < c->n_blocks && block_last(c, block) < doc; block++)
			d = NULL;
		if (block < c->n_blocks && sum + block_bound(c, block) >= after) {
			if (!d) {
				d = look_into(z, c, block);
				at = 0;
			}
			at = seek(d->docs, at, doc);
			if (d->docs[at] == doc)
				sum += c->weight * share_of(z, doc, d->tf + at);
		}
		z->near_docs[n] = doc;
		z->near_sums[n] = sum;
		n += sum >= after;
	}
	z->n_near = n;
}

/* With few documents the first window has them all, and the bar is raised by one after the other.
 * So it begins at what k of them reach: the least of the greatest of k shares of who is near. */
static void first_limit(struct search *z)
{
	enum { SHARES_MAX = 64 };
	float most[SHARES_MAX] = {0}, least = INFINITY;
	size_t k = z->bar.k;
	if (z->limit >= 0 || k > SHARES_MAX || z->n_near < 4 * k || z->keep || z->part->live->dead)
		return;
	for (size_t j = 0, i = 0; j < z->n_near; j++, i = i + 1 < k ? i + 1 : 0)
		most[i] = MAX(most[i], z->near_sums[j]);
	for (size_t i = 0; i < k; i++)
		least = MIN(least, most[i]);
	z->limit = least / z->slack;
}

static void take_near(struct search *z)
{
	for (size_t j = 0; j < z->n_near; j++) {
		uint32_t doc = z->near_docs[j];
		if (z->near_sums[j] >= z->limit && !segment_dead(z->part->live, doc) &&
			(!z->keep || z->keep(z->ctx, z->part->seg->keys[doc])))
			add_candidate(z, doc, z->near_sums[j]);
	}
}

/* ---- windows ---- */

/* Bounds within [lo, hi), terms in their order, and how many of them are below. */
static size_t window_bounds(struct search *z, uint32_t lo, uint32_t hi)
{
	for (size_t i = 0; i < z->n; i++) {
		struct cursor *c = &z->c[i];
		uint32_t b = c->at;
		while (b < c->n_blocks && block_last(c, b) < lo)
			b++;
		c->at = c->last = b;
		c->bound = b < c->n_blocks ? block_bound(c, b) : 0;
		for (; b + 1 < c->n_blocks && block_last(c, b) + 1 < hi; c->last = ++b)
			c->bound = MAX(c->bound, block_bound(c, b + 1));
	}
	for (size_t i = 1; i < z->n; i++) {
		struct cursor *c = z->order[i];
		size_t j = i;
		for (; j && z->order[j - 1]->bound > c->bound; j--)
			z->order[j] = z->order[j - 1];
		z->order[j] = c;
	}
	size_t n_below = 0;
	z->below[0] = 0;
	while (n_below < z->n && z->below[n_below] + z->order[n_below]->bound < z->limit) {
		z->below[n_below + 1] = z->below[n_below] + z->order[n_below]->bound;
		n_below++;
	}
	return n_below;
}

/* No posting before this document can matter: those of the window's blocks cannot. */
static uint32_t past_blocks(const struct search *z, uint32_t hi)
{
	uint32_t end = UINT32_MAX;
	for (size_t i = 0; i < z->n; i++)
		if (z->c[i].last < z->c[i].n_blocks)
			end = MIN(end, block_last(&z->c[i], z->c[i].last) + 1);
	return MAX(end, hi);
}

static bool is_set(const uint64_t *bits, uint32_t doc)
{
	return bits[doc / 64] >> doc % 64 & 1;
}

static void find_near(struct search *z, uint32_t lo, size_t n_below)
{
	float least = z->limit - z->below[n_below];
	const uint64_t *allowed = z->allowed;
	size_t n = 0;
	for (size_t w = 0; w < ARRAY_LEN(z->found); w++) {
		for (uint64_t bits = z->found[w]; bits; bits &= bits - 1) {
			size_t d = w * 64 + (size_t)__builtin_ctzll(bits);
			z->near_docs[n] = lo + (uint32_t)d;
			z->near_sums[n] = z->sum[d];
			n += z->sum[d] >= least && (!allowed || is_set(allowed, lo + (uint32_t)d));
			z->sum[d] = 0;
		}
		z->found[w] = 0;
	}
	z->n_near = n;
}

static void search_part(struct search *z, size_t part, const struct cancel *cancel)
{
	z->part = &z->q->snap->base.parts[part];
	z->allowed = z->q->allowed ? z->q->allowed[part] : NULL;
	uint32_t end = z->part->seg->n_docs;
	open_cursors(z, part);
	for (uint32_t lo = 0; z->n && lo < end && !cancelled(cancel);) {
		uint32_t hi = MIN(end - lo, WINDOW) + lo;
		size_t n_below = window_bounds(z, lo, hi);
		if (n_below == z->n) {
			lo = past_blocks(z, hi);
			continue;
		}
		for (size_t i = n_below; i < z->n; i++)
			add_up(z, z->order[i], lo, hi);
		find_near(z, lo, n_below);
		for (size_t i = n_below; i-- > 0 && z->n_near;)
			narrow(z, i);
		first_limit(z);
		take_near(z);
		lo = hi;
	}
	settle(z);
}

static void search_free(struct search *z)
{
	if (!z)
		return;
	free(z->c);
	free(z->order);
	free(z->below);
	free(z->tf);
	free(z->bar.hits);
	free(z->candidates);
	free(z);
}

/* For k > 0 hits into out. */
static struct search *search_new(const struct query *q, struct hit *out, size_t k)
{
	struct search *z = malloc(sizeof *z);
	if (!z)
		return NULL;
	memset(z, 0, offsetof(struct search, near_docs));
	memset(z->found, 0, sizeof z->found);
	memset(z->sum, 0, sizeof z->sum);
	size_t most = (size_t)MIN(k, MAX(q->snap->base.n_docs, 1));
	z->q = q;
	z->limit = -1;
	z->slack = 1 + 1e-4f + 1e-6f * (float)q->n;
	z->top = (struct topk){out, 0, k};
	z->bar = (struct topk){malloc(most * sizeof *z->bar.hits), 0, most};
	z->max_candidates = 4 * most + 256;
	z->candidates = malloc(z->max_candidates * sizeof *z->candidates);
	z->c = malloc((q->n + 1) * sizeof *z->c);
	z->order = malloc((q->n + 1) * sizeof *z->order);
	z->below = malloc((q->n + 1) * sizeof *z->below);
	z->tf = malloc((q->n + 1) * 2 * PACK_N * q->model->n_fields * sizeof *z->tf);
	if (z->bar.hits && z->candidates && z->c && z->order && z->below && z->tf)
		return z;
	search_free(z);
	return NULL;
}

enum err bm25_query_run(const struct query *q, size_t k, vector_keep_fn keep, void *ctx,
	struct hit *out, size_t *n, const struct cancel *cancel, struct errtext *et)
{
	struct search *z = k ? search_new(q, out, k) : NULL;
	enum err e = OK;
	if (z) {
		z->keep = keep;
		z->ctx = ctx;
	}
	for (size_t i = 0; z && i < q->snap->base.n_parts && !cancelled(cancel); i++)
		search_part(z, i, cancel);
	if (!z && k)
		e = err_set(et, ERR_NOMEM, "no memory for a search of %zu terms", q->n);
	else if (cancelled(cancel))
		e = err_set(et, ERR_CANCELLED, "the search was cancelled");
	if (!e && z)
		topk_sort(&z->top);
	if (!e)
		*n = z ? z->top.n : 0;
	search_free(z);
	return e;
}

enum err bm25_search(struct bm25 *x, const struct str *terms, size_t n_terms, size_t k,
	vector_keep_fn keep, void *ctx, struct hit *out, size_t *n, const struct cancel *cancel,
	struct errtext *et)
{
	struct snap *s = bm25_snap_get(x);
	struct query q;
	enum err e = query_make(&q, bm25_model(x), s, terms, n_terms) ? OK : ERR_NOMEM;
	if (e)
		e = err_set(et, e, "no memory for a search of %zu terms", n_terms);
	else
		e = bm25_query_run(&q, k, keep, ctx, out, n, cancel, et);
	bm25_query_free(&q);
	bm25_snap_put(x, s);
	return e;
}

/* ---- scores of given items ---- */

/* The living item of a key; NULL: none. */
static const struct segment_part *find_doc(const struct snap *s, uint64_t key, uint32_t *doc)
{
	for (size_t i = 0; i < s->base.n_parts; i++) {
		const struct segment_part *p = &s->base.parts[i];
		if (segment_find(p->seg, key, doc) && !segment_dead(p->live, *doc))
			return p;
	}
	return NULL;
}

/* A document's share of a term; 0: it does not contain it. *n: how often, in all fields. */
static float share_in(
	const struct query *q, const struct seg *s, uint32_t doc, struct str term, uint32_t *n)
{
	uint32_t id, docs[PACK_N + STEP], tf[BM25_FIELDS_MAX * PACK_N];
	*n = 0;
	if (!bm25_seg_find(s, term, &id))
		return 0;
	const struct term *t = &s->terms[id];
	uint32_t block = find_block(s->blocks + t->block_at, full_blocks(t), doc);
	if (block == all_blocks(t))
		return 0;
	bm25_block_read(s, t, block, docs, tf);
	for (size_t i = PACK_N; i < PACK_N + STEP; i++)
		docs[i] = NO_DOC;
	uint32_t i = seek(docs, 0, doc);
	if (docs[i] != doc)
		return 0;
	for (uint32_t f = 0; f < s->n_fields; f++)
		*n += tf[f * PACK_N + i];
	return bm25_share(q->model, &q->snap->avg, s, doc, tf + i, PACK_N);
}

void bm25_scores(struct bm25 *x, const struct str *terms, size_t n_terms, const uint64_t *keys,
	size_t n, float *out)
{
	struct snap *s = bm25_snap_get(x);
	struct query q;
	memset(out, 0, n * sizeof *out);
	if (query_make(&q, bm25_model(x), s, terms, n_terms)) {
		for (size_t i = 0; i < n; i++) {
			uint32_t doc, tf;
			const struct segment_part *p = find_doc(s, keys[i], &doc);
			for (size_t t = 0; p && t < q.n; t++)
				out[i] += weight_of(&q.terms[t]) *
					  share_in(&q, seg_of(p), doc, q.terms[t].term, &tf);
		}
		bm25_query_free(&q);
	}
	bm25_snap_put(x, s);
}

size_t bm25_explain(struct bm25 *x, const struct str *terms, size_t n_terms, uint64_t key,
	struct bm25_term_score *out, size_t max)
{
	struct snap *s = bm25_snap_get(x);
	struct query q;
	size_t n = 0;
	uint32_t doc;
	const struct segment_part *p = find_doc(s, key, &doc);
	if (p && query_make(&q, bm25_model(x), s, terms, n_terms)) {
		for (size_t t = 0; t < q.n && n < max; t++) {
			uint32_t tf;
			float share = share_in(&q, seg_of(p), doc, q.terms[t].term, &tf);
			if (tf)
				out[n++] = (struct bm25_term_score){q.terms[t].term,
					weight_of(&q.terms[t]) * share, tf, q.terms[t].df};
		}
		bm25_query_free(&q);
	}
	bm25_snap_put(x, s);
	return n;
}

void bm25_idf(struct bm25 *x, const struct str *terms, size_t n_terms, float *idf, uint32_t *df)
{
	struct snap *s = bm25_snap_get(x);
	for (size_t i = 0; i < n_terms; i++) {
		struct query_term t = {.term = terms[i]};
		bm25_query_weigh(s, &t, NULL, 0);
		idf[i] = t.idf;
		if (df)
			df[i] = t.df;
	}
	bm25_snap_put(x, s);
}
