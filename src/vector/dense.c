/* Exact dense search.
 *
 * Vectors lie in blocks of 1,024, appended by one writer. A snapshot is an array with, for each
 * block, how many of its slots are filled and which of them are dead; a reader holds the snapshot
 * that was current when it began and looks at nothing else. Invariants:
 *
 *	1. A slot is written once, before the first snapshot that counts it, and never again.
 *	2. A key is alive in at most one slot of a snapshot; d->where says which (the writer's).
 *	3. A snapshot and its blocks are counted; the last one who holds them frees them.
 *
 * A full block with more dead than living slots is emptied into the tail. */
#include "kernels/kernels.h"
#include "vector/vector_int.h"

#include <math.h>
#include <stdlib.h>

enum { SLOTS = 1024 };

struct block {
	atomic_size_t refs;
	uint64_t keys[SLOTS];
	float *vec; /* aligned to 64 */
};

struct part {
	struct block *block;
	uint32_t n, n_dead;
	uint64_t dead[SLOTS / 64];
};

struct snap {
	atomic_size_t refs;
	size_t n_parts, n_live;
	struct part parts[];
};

struct dense {
	uint32_t dim;
	size_t stride;         /* floats: rows start on 64 bytes */
	pthread_mutex_t write; /* one writer */
	pthread_mutex_t lock;  /* guards `snap` for the moment it takes to count it */
	struct snap *snap;
	struct keymap where; /* key to part * SLOTS + slot, of the current snapshot */
};

static void block_put(struct block *b)
{
	if (b && atomic_fetch_sub(&b->refs, 1) == 1) {
		free(b->vec);
		free(b);
	}
}

static struct block *block_new(const struct dense *d)
{
	struct block *b = calloc(1, sizeof *b);
	if (b && !(b->vec = aligned_alloc(64, SLOTS * d->stride * sizeof(float)))) {
		free(b);
		b = NULL;
	}
	if (b)
		atomic_init(&b->refs, 1);
	return b;
}

static void snap_put(struct snap *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	for (size_t i = 0; i < s->n_parts; i++)
		block_put(s->parts[i].block);
	free(s);
}

static struct snap *snap_get(struct dense *d)
{
	pthread_mutex_lock(&d->lock);
	struct snap *s = d->snap;
	atomic_fetch_add(&s->refs, 1);
	pthread_mutex_unlock(&d->lock);
	return s;
}

/* A copy with room for `more` parts; the writer's until it is published. */
static struct snap *snap_copy(const struct snap *s, size_t more)
{
	size_t old = s ? s->n_parts : 0;
	struct snap *c = calloc(1, sizeof *c + (old + more) * sizeof c->parts[0]);
	if (!c)
		return NULL;
	atomic_init(&c->refs, 1);
	if (s) {
		c->n_parts = old;
		c->n_live = s->n_live;
		memcpy(c->parts, s->parts, old * sizeof s->parts[0]);
	}
	for (size_t i = 0; i < old; i++)
		atomic_fetch_add(&c->parts[i].block->refs, 1);
	return c;
}

static void publish(struct dense *d, struct snap *s)
{
	pthread_mutex_lock(&d->lock);
	struct snap *old = d->snap;
	d->snap = s;
	pthread_mutex_unlock(&d->lock);
	snap_put(old);
}

enum err dense_new(uint32_t dim, struct dense **out)
{
	if (!dim)
		return ERR_INVALID;
	struct dense *d = calloc(1, sizeof *d);
	if (!d || !(d->snap = snap_copy(NULL, 0))) {
		free(d);
		return ERR_NOMEM;
	}
	d->dim = dim;
	d->stride = ((size_t)dim + 15) & ~(size_t)15;
	pthread_mutex_init(&d->write, NULL);
	pthread_mutex_init(&d->lock, NULL);
	*out = d;
	return OK;
}

void dense_free(struct dense *d)
{
	if (!d)
		return;
	snap_put(d->snap);
	keymap_free(&d->where);
	pthread_mutex_destroy(&d->write);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

static bool is_dead(const struct part *p, size_t slot)
{
	return p->dead[slot / 64] >> slot % 64 & 1;
}

static void kill_slot(struct snap *s, uint64_t at)
{
	struct part *p = &s->parts[at / SLOTS];
	p->dead[at % SLOTS / 64] |= UINT64_C(1) << at % 64;
	p->n_dead++;
	s->n_live--;
}

/* Room for one more at the tail of a snapshot that has space for the part. */
static bool tail(struct dense *d, struct snap *s)
{
	if (s->n_parts && s->parts[s->n_parts - 1].n < SLOTS)
		return true;
	struct block *b = block_new(d);
	if (!b)
		return false;
	s->parts[s->n_parts++] = (struct part){.block = b};
	return true;
}

/* Writes one vector of length 1 at the tail, which has room; returns where. */
static uint64_t append(struct dense *d, struct snap *s, uint64_t key, const float *v)
{
	struct part *p = &s->parts[s->n_parts - 1];
	size_t slot = p->n++;
	p->block->keys[slot] = key;
	float *to = p->block->vec + slot * d->stride;
	memset(to + d->dim, 0, (d->stride - d->dim) * sizeof(float));
	memcpy(to, v, d->dim * sizeof(float));
	s->n_live++;
	return (uint64_t)(s->n_parts - 1) * SLOTS + slot;
}

/* Empties one mostly dead block into the tail. Failing for want of memory changes nothing. */
static void compact(struct dense *d)
{
	const struct snap *old = d->snap;
	size_t i = 0;
	while (i < old->n_parts && (old->parts[i].n < SLOTS || old->parts[i].n_dead <= SLOTS / 2))
		i++;
	if (i == old->n_parts)
		return;
	struct snap *s = snap_copy(old, 1);
	if (!s)
		return;
	/* The last part takes the place of the emptied one, so keep that one till the end. */
	struct part gone = s->parts[i];
	for (size_t j = 0; j < SLOTS; j++) {
		if (is_dead(&gone, j))
			continue;
		if (!tail(d, s)) { /* its places in `where` were not touched yet */
			snap_put(s);
			return;
		}
		append(d, s, gone.block->keys[j], gone.block->vec + j * d->stride);
		s->n_live--;
	}
	block_put(gone.block);
	memmove(&s->parts[i], &s->parts[i + 1], (s->n_parts - i - 1) * sizeof s->parts[0]);
	s->n_parts--;
	for (size_t p = 0; p < s->n_parts; p++) /* no new keys: there is room */
		for (size_t j = 0; j < s->parts[p].n; j++)
			if (!is_dead(&s->parts[p], j))
				keymap_put(
					&d->where, s->parts[p].block->keys[j], p * SLOTS + j, NULL);
	publish(d, s);
}

static enum err check_finite(const struct dense *d, const float *v, size_t n, struct errtext *et)
{
	for (size_t i = 0; i < n * d->dim; i++)
		if (!isfinite(v[i]))
			return err_set(et, ERR_INVALID, "vector %zu has a value that is no number",
				i / d->dim);
	return OK;
}

enum err dense_put(
	struct dense *d, const uint64_t *keys, const float *vectors, size_t n, struct errtext *et)
{
	enum err e = check_finite(d, vectors, n, et);
	if (e || !n)
		return e;
	float *unit = malloc(d->dim * sizeof *unit);
	if (!unit)
		return err_set(et, ERR_NOMEM, "no memory for %zu vectors", n);
	pthread_mutex_lock(&d->write);
	struct snap *s = snap_copy(d->snap, n / SLOTS + 2);
	uint64_t *at = malloc(n * sizeof *at);
	bool ok = s && at && keymap_reserve(&d->where, n);
	for (size_t i = 0; ok && i < n; i++)
		if ((ok = tail(d, s))) {
			kern->normalize(unit, vectors + i * d->dim, d->dim);
			at[i] = append(d, s, keys[i], unit);
		}
	if (ok) { /* nothing can fail from here */
		for (size_t i = 0; i < n; i++) {
			uint64_t former;
			if (keymap_put(&d->where, keys[i], at[i], &former))
				kill_slot(s, former);
		}
		publish(d, s);
		compact(d);
	} else {
		/* The slots beyond the published count are written again by the next put. */
		snap_put(s);
	}
	pthread_mutex_unlock(&d->write);
	free(at);
	free(unit);
	return ok ? OK : err_set(et, ERR_NOMEM, "no memory for %zu vectors", n);
}

enum err dense_delete(struct dense *d, const uint64_t *keys, size_t n, struct errtext *et)
{
	pthread_mutex_lock(&d->write);
	struct snap *s = snap_copy(d->snap, 0);
	for (size_t i = 0; s && i < n; i++) {
		uint64_t at;
		if (keymap_get(&d->where, keys[i], &at)) {
			kill_slot(s, at);
			keymap_del(&d->where, keys[i]);
		}
	}
	if (s) {
		publish(d, s);
		compact(d);
	}
	pthread_mutex_unlock(&d->write);
	return s ? OK : err_set(et, ERR_NOMEM, "no memory to delete %zu vectors", n);
}

size_t dense_count(struct dense *d)
{
	struct snap *s = snap_get(d);
	size_t n = s->n_live;
	snap_put(s);
	return n;
}

uint32_t dense_dim(const struct dense *d)
{
	return d->dim;
}

enum err dense_search(struct dense *d, const float *query, size_t k, vector_keep_fn keep, void *ctx,
	struct hit *out, size_t *n, const struct cancel *cancel, struct errtext *et)
{
	enum err e = check_finite(d, query, 1, et);
	float *unit = e ? NULL : malloc(d->dim * sizeof *unit);
	if (!unit)
		return e ? e : err_set(et, ERR_NOMEM, "no memory for a search");
	kern->normalize(unit, query, d->dim);
	struct snap *s = snap_get(d);
	struct topk top = {out, 0, k};
	float score[SLOTS];
	for (size_t i = 0; !e && i < s->n_parts; i++) {
		const struct part *p = &s->parts[i];
		if (cancelled(cancel))
			e = err_set(et, ERR_CANCELLED, "the search was cancelled");
		kern->dots(unit, p->block->vec, d->stride, p->n, d->dim, score);
		for (size_t j = 0; j < p->n; j++) {
			struct hit h = {p->block->keys[j], score[j]};
			if (topk_wants(&top, h) && !is_dead(p, j) && (!keep || keep(ctx, h.key)))
				topk_add(&top, h);
		}
	}
	snap_put(s);
	free(unit);
	if (e)
		return e;
	topk_sort(&top);
	*n = top.n;
	return OK;
}

void dense_scores(struct dense *d, const float *query, const uint64_t *keys, size_t n, float *out)
{
	float *unit = malloc(d->dim * sizeof *unit);
	/* The writer's map is needed, so writers wait; a handful of dot products is short. */
	pthread_mutex_lock(&d->write);
	if (unit)
		kern->normalize(unit, query, d->dim);
	for (size_t i = 0; i < n; i++) {
		uint64_t at;
		out[i] = NAN;
		if (unit && keymap_get(&d->where, keys[i], &at))
			kern->dots(unit,
				d->snap->parts[at / SLOTS].block->vec + at % SLOTS * d->stride,
				d->stride, 1, d->dim, &out[i]);
	}
	pthread_mutex_unlock(&d->write);
	free(unit);
}
