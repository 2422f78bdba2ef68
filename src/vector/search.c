/* Searches in a vector index: by scan, over a subset, along the graph. */
#include "vector/index_int.h"

#include <math.h>
#include <stdlib.h>

/* ---- what all of them do with what they find ---- */

struct found {
	struct vindex *x;
	const struct vindex_query *q;
	struct topk top;
	uint64_t changes; /* when it began */
};

static bool wanted(const struct found *f, uint32_t slot)
{
	return !slot_dead(f->x, slot) &&
	       (!f->q->filter || filter_keeps(f->q->filter, key_of(f->x, slot)));
}

static float bar(const struct found *f)
{
	float least = f->q->within ? f->q->min_score : -INFINITY;
	return f->top.n < f->top.k ? least : MAX(least, f->top.hits[0].score);
}

/* While an item is replaced both its versions may be found: the second one is passed over. */
static bool had(const struct found *f, uint64_t key)
{
	if (f->changes % 2 == 0 && f->changes == atomic_load(&f->x->changes))
		return false;
	for (size_t i = 0; i < f->top.n; i++)
		if (f->top.hits[i].key == key)
			return true;
	return false;
}

static void take(struct found *f, const struct probe *p, uint32_t slot)
{
	struct hit h = {key_of(f->x, slot), rows_score(&f->x->rows, p, slot)};
	if (f->q->within && !(h.score >= f->q->min_score))
		return;
	if (topk_wants(&f->top, h) && !had(f, h.key))
		topk_add(&f->top, h);
}

/* ---- scan ---- */

/* Of slots in a row, or of ids: computes again what may be good enough. */
static void take_block(struct found *f, const struct probe *p, const uint32_t *ids, uint32_t first,
	size_t n, const float *near)
{
	float bound[ROWS_MAX];
	rows_bound(&f->x->rows, p, ids, first, n, near, bound);
	float least = bar(f);
	for (size_t i = 0; i < n; i++) {
		if (bound[i] < least)
			continue;
		uint32_t slot = ids ? ids[i] : first + (uint32_t)i;
		if (wanted(f, slot)) {
			take(f, p, slot);
			least = bar(f);
		}
	}
}

/* The living of n slots from first on. Only these are read: a free one may be being written. */
static size_t living(const struct vindex *x, uint32_t first, size_t n, uint32_t *ids)
{
	const _Atomic uint64_t *words = (const _Atomic uint64_t *)(const void *)x->dead.p;
	size_t found = 0;
	for (size_t i = 0; i < n; i += 64) { /* first is a multiple of ROWS_MAX */
		uint64_t dead =
			atomic_load_explicit(&words[(first + i) / 64], memory_order_acquire);
		for (size_t j = i; j < MIN(n, i + 64); j++) {
			ids[found] = first + (uint32_t)j;
			found += !(dead >> (j - i) & 1);
		}
	}
	return found;
}

static bool scan(struct found *f, struct walk *w)
{
	uint32_t used = atomic_load(&f->x->used), ids[ROWS_MAX];
	float near[ROWS_MAX];
	for (uint32_t at = 0; at < used; at += ROWS_MAX) {
		if (cancelled(f->q->cancel))
			return false;
		size_t n = MIN(ROWS_MAX, used - at), live = living(f->x, at, n, ids);
		const uint32_t *some = live < n ? ids : NULL;
		rows_near(&f->x->rows, &w->probe, some, at, live, near);
		take_block(f, &w->probe, some, at, live, near);
		w->compared += live;
	}
	return true;
}

static void take_ids(struct found *f, struct walk *w, const uint32_t *ids, size_t n)
{
	float near[ROWS_MAX];
	rows_near(&f->x->rows, &w->probe, ids, 0, n, near);
	take_block(f, &w->probe, ids, 0, n, near);
	w->compared += n;
}

/* The slot of a key; most keys lie in a row as they came. */
static bool slot_of(
	const struct vindex *x, uint64_t key, uint32_t used, uint64_t *apart, uint32_t *slot)
{
	uint64_t guess = key - *apart;
	if (guess < used && key_of(x, (uint32_t)guess) == key && !slot_dead(x, (uint32_t)guess)) {
		*slot = (uint32_t)guess;
		return true;
	}
	if (!table_get(x, key, slot))
		return false;
	*apart = key - *slot;
	return true;
}

/* The items that the filter keeps. With bits they are looked up, else every key is shown to it. */
static bool subset(struct found *f, struct walk *w)
{
	struct vindex *x = f->x;
	const struct vindex_filter *by = f->q->filter;
	uint32_t ids[ROWS_MAX], used = atomic_load(&x->used);
	size_t n = 0;
	uint64_t apart = 0; /* keys and slots, of the last one */
	uint64_t end = by->bits ? (by->n_bits + 63) / 64 : (used + 63) / 64;
	for (uint64_t word = 0; word < end; word++) {
		uint64_t left = by->bits ? by->bits[word] : UINT64_MAX;
		if (word % 4096 == 0 && cancelled(f->q->cancel))
			return false;
		for (; left; left &= left - 1) {
			uint64_t at = word * 64 + (unsigned)__builtin_ctzll(left);
			if (by->bits ? at < by->n_bits && slot_of(x, at, used, &apart, &ids[n])
				     : at < used && !slot_dead(x, (uint32_t)at) &&
						by->keep(by->ctx, key_of(x, ids[n] = (uint32_t)at)))
				n++;
			if (n == ROWS_MAX) {
				take_ids(f, w, ids, n);
				n = 0;
			}
		}
	}
	take_ids(f, w, ids, n);
	return true;
}

/* ---- graph ---- */

enum { AHEAD = 4 };

/* The nearest of the pool, computed again, until the codes leave no doubt that the rest is worse.
 */
static void rescore(struct found *f, struct walk *w)
{
	const struct rows *r = &f->x->rows;
	size_t n = 0;
	for (size_t i = 0; i < w->n; i++)
		if (wanted(f, w->pool[i].slot))
			w->pool[n++] = w->pool[i];
	for (size_t i = 0; i < MIN(n, AHEAD); i++)
		rows_fetch(r, w->pool[i].slot);
	for (size_t i = 0; i < n; i++) {
		struct cand c = w->pool[i];
		if (f->top.n == f->top.k &&
			near_to_score(r, c.d) + rows_doubt(r, &w->probe, c.slot) < bar(f))
			break;
		if (i + AHEAD < n)
			rows_fetch(r, w->pool[i + AHEAD].slot);
		take(f, &w->probe, c.slot);
	}
}

static enum err check_query(const struct vindex *x, const float *v, size_t k, struct errtext *et)
{
	if (!(kern->dot(v, v, x->o.dim) < 1e37f))
		return err_set(
			et, ERR_INVALID, "the query has a value that is no number, or is too long");
	if (k > VINDEX_K_MAX)
		return err_set(et, ERR_INVALID, "k is %zu, the most is %d", k, VINDEX_K_MAX);
	return OK;
}

/* How many items a filter may keep; 0: it does not say. */
static uint64_t count_of(const struct vindex_filter *f)
{
	uint64_t count = f->count;
	for (uint64_t i = 0; !count && f->bits && i < (f->n_bits + 63) / 64; i++)
		count += (unsigned)__builtin_popcountll(f->bits[i]);
	return count;
}

/* The smaller the share that matches, the worse matching items are connected with each other. */
static size_t filtered_ef(const struct vindex *x, uint64_t count, size_t ef)
{
	uint64_t live = atomic_load(&x->live);
	double more = count && count < live ? 1 + 0.05 * (double)live / (double)count : 1;
	return (size_t)MIN((double)ef * more, VINDEX_K_MAX);
}

/* So few matching items are compared one by one: a walk that finds as good ones takes as long. */
static bool is_few(const struct vindex *x, const struct vindex_filter *f, size_t ef)
{
	uint64_t count = count_of(f);
	return (count || f->bits) && count <= MAX(2048, 128 * filtered_ef(x, count, ef));
}

/* When many items match, a walk over all of them finds enough that do, if it keeps more. Else it
 * goes over matching ones only: NULL or the filter, for the walk. */
static const struct vindex_filter *way_of(
	const struct vindex *x, const struct vindex_filter *f, size_t *ef)
{
	uint64_t count = f ? count_of(f) : 0, live = atomic_load(&x->live);
	if (!f)
		return NULL;
	if (count < live / 3 || count > live) {
		*ef = filtered_ef(x, count, *ef);
		return f;
	}
	*ef = MIN((size_t)(*ef * live / count), VINDEX_K_MAX);
	return NULL;
}

static enum err cancelled_text(struct errtext *et)
{
	return err_set(et, ERR_CANCELLED, "the search was cancelled");
}

/* Along the graph; what it misses of k matching items is looked for in all that match. */
static enum err along_graph(
	struct found *f, struct walk *w, size_t ef, struct vindex_answer *a, struct errtext *et)
{
	const struct vindex_query *q = f->q;
	a->how = VINDEX_GRAPH;
	a->ef = (uint32_t)ef;
	const struct vindex_filter *by = way_of(f->x, q->filter, &ef);
	for (;; ef *= 4) {
		if (!graph_search(f->x, w, &w->probe, ef, by, q->cancel))
			return err_set(et, ERR_NOMEM, "no memory for a search");
		if (cancelled(q->cancel))
			return cancelled_text(et);
		bool all = w->n < ef; /* nothing else can be reached */
		f->top.n = 0;
		rescore(f, w);
		if (f->top.n == f->top.k || q->within)
			return OK;
		if (all || ef > 4096)
			break;
	}
	f->top.n = 0;
	a->how = q->filter ? VINDEX_SUBSET : VINDEX_SCAN;
	return (q->filter ? subset(f, w) : scan(f, w)) ? OK : cancelled_text(et);
}

static enum err search(struct vindex *x, struct walk *w, struct found *f, struct vindex_answer *a,
	struct errtext *et)
{
	const struct vindex_query *q = f->q;
	size_t ef = q->ef ? q->ef : atomic_load(&x->ef);
	ef = MIN(MAX(ef, q->k), VINDEX_K_MAX);
	bool graph = !q->exact && atomic_load(&x->graph);
	enum err e = OK;
	if (!walk_room(x, w, ef))
		return err_set(et, ERR_NOMEM, "no memory for a search");
	probe_vector(&x->rows, &w->probe, q->vector, w->unit);
	if (q->filter && (!graph || is_few(x, q->filter, ef))) {
		a->how = VINDEX_SUBSET;
		e = subset(f, w) ? OK : cancelled_text(et);
	} else if (!graph) {
		a->how = VINDEX_SCAN;
		e = scan(f, w) ? OK : cancelled_text(et);
	} else {
		e = along_graph(f, w, ef, a, et);
	}
	a->compared = w->compared;
	topk_sort(&f->top);
	a->n = f->top.n;
	return e;
}

enum err vindex_search(struct vindex *x, const struct vindex_query *q, struct hit *out,
	struct vindex_answer *a, struct errtext *et)
{
	enum err e = check_query(x, q->vector, q->k, et);
	if (e)
		return e;
	struct vindex_answer answer = {0};
	if (q->k && vindex_count(x)) {
		struct found f = {x, q, {out, 0, q->k}, atomic_load(&x->changes)};
		struct walk *w = walk_begin(x);
		e = search(x, w, &f, &answer, et);
		walk_end(w);
	}
	if (!e)
		*a = answer;
	return e;
}

/* ---- many at once, some by key ---- */

enum { TOGETHER = 24 }; /* queries that go over the same rows */

struct many {
	int8_t *q; /* of the probes */
	float *unit, *near;
	int32_t *sums;
	struct probe probes[TOGETHER];
};

static bool many_alloc(struct many *m, size_t ld)
{
	m->q = aligned_alloc(64, TOGETHER * ld);
	m->unit = malloc(TOGETHER * ld * sizeof *m->unit);
	m->near = malloc(TOGETHER * ROWS_MAX * sizeof *m->near);
	m->sums = malloc(TOGETHER * ROWS_MAX * sizeof *m->sums);
	if (m->q)
		memset(m->q, 0, TOGETHER * ld);
	return m->q && m->unit && m->near && m->sums;
}

static bool scan_some(struct vindex *x, struct many *m, struct found *f, size_t n_q, size_t ld,
	const struct cancel *cancel)
{
	uint32_t used = atomic_load(&x->used), ids[ROWS_MAX];
	for (uint32_t at = 0; at < used; at += ROWS_MAX) {
		size_t n = MIN(ROWS_MAX, used - at), live = living(x, at, n, ids);
		if (cancelled(cancel))
			return false;
		for (size_t i = 0; i < n_q && live < n; i++) {
			rows_near(&x->rows, &m->probes[i], ids, 0, live, m->near);
			take_block(&f[i], &m->probes[i], ids, 0, live, m->near);
		}
		if (live < n)
			continue;
		rows_near_many(&x->rows, m->probes, n_q, ld, at, n, m->sums, m->near);
		for (size_t i = 0; i < n_q; i++)
			take_block(&f[i], &m->probes[i], NULL, at, n, m->near + i * ROWS_MAX);
	}
	return true;
}

enum err vindex_scan_many(struct vindex *x, const float *queries, size_t n_q, size_t k,
	struct hit *out, size_t *n, const struct cancel *cancel, struct errtext *et)
{
	enum err e = OK;
	size_t dim = x->o.dim, ld = (dim + 63) & ~(size_t)63;
	struct many m = {0};
	for (size_t i = 0; !e && i < n_q; i++)
		e = check_query(x, queries + i * dim, k, et);
	if (!e && !many_alloc(&m, ld))
		e = err_set(et, ERR_NOMEM, "no memory for a search");
	struct walk *w = walk_begin(x);
	for (size_t at = 0; !e && at < n_q; at += TOGETHER) {
		struct vindex_query q[TOGETHER] = {0};
		struct found f[TOGETHER];
		size_t now = MIN(TOGETHER, n_q - at);
		for (size_t i = 0; i < now; i++) {
			f[i] = (struct found){
				x, &q[i], {out + (at + i) * k, 0, k}, atomic_load(&x->changes)};
			m.probes[i].q = m.q + i * ld;
			probe_vector(
				&x->rows, &m.probes[i], queries + (at + i) * dim, m.unit + i * ld);
		}
		if (!scan_some(x, &m, f, now, ld, cancel))
			e = cancelled_text(et);
		for (size_t i = 0; !e && i < now; i++) {
			topk_sort(&f[i].top);
			n[at + i] = f[i].top.n;
		}
	}
	walk_end(w);
	free(m.q);
	free(m.unit);
	free(m.near);
	free(m.sums);
	return e;
}

enum err vindex_scores(struct vindex *x, const float *query, const uint64_t *keys, size_t n,
	float *out, struct errtext *et)
{
	enum err e = check_query(x, query, 0, et);
	if (e)
		return e;
	struct walk *w = walk_begin(x);
	if (walk_room(x, w, 1)) {
		probe_vector(&x->rows, &w->probe, query, w->unit);
		for (size_t i = 0; i < n; i++) {
			uint32_t slot;
			out[i] = table_get(x, keys[i], &slot)
					 ? rows_score(&x->rows, &w->probe, slot)
					 : NAN;
		}
	} else {
		e = err_set(et, ERR_NOMEM, "no memory for a search");
	}
	walk_end(w);
	return e;
}

/* ---- effort ---- */

void vindex_set_ef(struct vindex *x, uint32_t ef)
{
	atomic_store(&x->ef, ef ? ef : 64);
}

uint32_t vindex_ef(struct vindex *x)
{
	return atomic_load(&x->ef);
}

/* A living item's vector, as its codes have it, a little moved. */
static void moved(const struct vindex *x, uint32_t slot, uint64_t *seed, float *v)
{
	struct rows const *r = &x->rows;
	const uint8_t *hi = r->hi.p + slot * r->hi_bytes;
	float s = scale_of(r, slot);
	for (uint32_t j = 0; j < r->dim; j++) {
		*seed = *seed * 6364136223846793005u + 1442695040888963407u;
		float noise = (float)(int32_t)(*seed >> 32) * 0x1p-31f;
		float value = r->type == VINDEX_BIT ? (hi[j / 8] >> j % 8 & 1 ? s : -s)
						    : s * ((float)hi[j] - 127.5f);
		v[j] = value + (r->type == VINDEX_BIT ? s : 16 * s) * noise;
	}
}

struct sample {
	size_t n, k;
	float *v;
	struct hit *exact, *got;
	size_t *n_exact;
};

static enum err recall_of(
	struct vindex *x, const struct sample *s, uint32_t ef, double *recall, struct errtext *et)
{
	size_t good = 0, all = 0;
	for (size_t i = 0; i < s->n; i++) {
		struct vindex_query q = {.vector = s->v + i * x->o.dim, .k = s->k, .ef = ef};
		struct vindex_answer a;
		enum err e = vindex_search(x, &q, s->got, &a, et);
		if (e)
			return e;
		if (!s->n_exact[i])
			continue;
		float least = s->exact[i * s->k + s->n_exact[i] - 1].score;
		all += s->n_exact[i];
		for (size_t j = 0; j < MIN(a.n, s->n_exact[i]); j++)
			good += s->got[j].score >= least;
	}
	*recall = all ? (double)good / (double)all : 1;
	return OK;
}

static enum err tune(struct vindex *x, const struct sample *s, double want, uint32_t *ef,
	double *recall, struct errtext *et)
{
	static const uint32_t steps[] = {
		12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 4096};
	enum err e = OK;
	for (size_t i = 0; !e && i < ARRAY_LEN(steps); i++) {
		*ef = steps[i];
		e = recall_of(x, s, steps[i], recall, et);
		if (*recall >= want)
			break;
	}
	return e;
}

enum err vindex_tune(struct vindex *x, double want, size_t k, size_t n_sample, uint32_t *ef,
	double *recall, struct errtext *et)
{
	size_t dim = x->o.dim;
	if (!(want > 0 && want <= 1) || !k || k > 1000 || !n_sample || n_sample > 10000)
		return err_set(et, ERR_INVALID,
			"a recall above 0 and up to 1, k of 1 to 1,000 and 1 to 10,000 samples are "
			"possible");
	struct sample s = {.k = k,
		.v = malloc(n_sample * dim * sizeof *s.v),
		.exact = malloc(n_sample * k * sizeof *s.exact),
		.got = malloc(k * sizeof *s.got),
		.n_exact = malloc(n_sample * sizeof *s.n_exact)};
	enum err e = s.v && s.exact && s.got && s.n_exact
			     ? OK
			     : err_set(et, ERR_NOMEM, "no memory for %zu samples", n_sample);
	uint64_t seed = 1;
	uint32_t used = atomic_load(&x->used), best = 0;
	double reached = 1;
	struct walk *w = walk_begin(x);
	for (size_t i = 0; !e && used && i < n_sample; i++) {
		uint32_t slot = (uint32_t)((uint64_t)used * i / n_sample);
		if (!slot_dead(x, slot))
			moved(x, slot, &seed, s.v + s.n++ * dim);
	}
	walk_end(w);
	e = e ? e : vindex_scan_many(x, s.v, s.n, k, s.exact, s.n_exact, NULL, et);
	e = e ? e : tune(x, &s, want, &best, &reached, et);
	free(s.v);
	free(s.exact);
	free(s.got);
	free(s.n_exact);
	if (e)
		return e;
	vindex_set_ef(x, best);
	*ef = best;
	*recall = reached;
	return OK;
}
