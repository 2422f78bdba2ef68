/* Keyword search: BM25. Items that are put gather in `pending`, and become a segment (segments.h).
 * N, df and the average lengths count living items only, and a score is summed in the order of the
 * query's terms: it is the same bits however the items are laid out. */
#include "vector/bm25_int.h"

#include <math.h>
#include <stdlib.h>

struct bm25 {
	struct segments base;
	struct model model;
	bool positions;
	struct pending pending;
};

static struct bm25 *of(struct segments *x)
{
	return (struct bm25 *)(void *)x;
}

const struct model *bm25_model(const struct bm25 *x)
{
	return &x->model;
}

bool bm25_positions(const struct bm25 *x)
{
	return x->positions;
}

struct snap *bm25_snap_get(struct bm25 *x)
{
	return (struct snap *)(void *)segments_get(&x->base);
}

void bm25_snap_put(struct bm25 *x, struct snap *s)
{
	segments_put_back(&x->base, &s->base);
}

/* ---- what lives ---- */

static bool live_fill(
	struct segment_live *base, const struct segment *seg, const struct segment_live *from_base)
{
	struct live *l = (struct live *)(void *)base;
	const struct seg *s = (const struct seg *)(const void *)seg;
	const struct live *from = (const struct live *)(const void *)from_base;
	if (!from) {
		for (uint32_t f = 0; f < s->n_fields; f++)
			for (uint32_t d = 0; d < seg->n_docs; d++)
				l->len[f] += s->len[(size_t)f * seg->n_docs + d];
		return true;
	}
	memcpy(l->len, from->len, sizeof l->len);
	l->df = malloc(((size_t)s->n_terms + 1) * sizeof *l->df);
	for (uint32_t t = 0; l->df && t < s->n_terms; t++)
		l->df[t] = from->df ? from->df[t] : s->terms[t].n;
	return l->df != NULL;
}

static void live_clear(struct segment_live *l)
{
	free(((struct live *)(void *)l)->df);
}

static size_t live_bytes(const struct segment_live *l, const struct segment *s)
{
	return ((const struct live *)(const void *)l)->df
		       ? ((const struct seg *)(const void *)s)->n_terms * sizeof(uint32_t)
		       : 0;
}

static void bury(struct segment_live *base, const struct segment *seg, uint32_t doc)
{
	struct live *l = (struct live *)(void *)base;
	const struct seg *s = (const struct seg *)(const void *)seg;
	for (uint32_t f = 0; f < s->n_fields; f++)
		l->len[f] -= s->len[(size_t)f * seg->n_docs + doc];
	const uint8_t *p = s->fwd + s->fwd_at[doc], *end = s->fwd + s->fwd_at[doc + 1];
	for (uint32_t gap, next = 0; p < end;) {
		p = varint_get(p, &gap);
		next += gap;
		l->df[next - 1]--;
	}
}

/* ---- a publish ---- */

/* Of the parts and of what is pending. */
static void count(struct segments *base, struct segment_snap *snap)
{
	const struct bm25 *x = of(base);
	const struct pending *p = &x->pending;
	struct snap *s = (struct snap *)(void *)snap;
	uint32_t n_fields = x->model.n_fields;
	for (size_t i = 0; i < snap->n_parts; i++)
		for (uint32_t f = 0; f < n_fields; f++)
			s->len[f] += live_of(&snap->parts[i])->len[f];
	const uint32_t *len = (const void *)p->len.p;
	for (size_t d = 0; d < p->n; d++)
		for (uint32_t f = 0; f < n_fields && !p->docs[d].dropped; f++)
			s->len[f] += len[d * n_fields + f];
	for (uint32_t f = 0; f < n_fields && snap->n_docs; f++)
		s->avg.len[f] = (float)((double)s->len[f] / (double)snap->n_docs);
}

static struct segment *make(struct segments *base, const struct segment_snap *snap)
{
	const struct bm25 *x = of(base);
	struct seg *s = bm25_seg_from_pending(&x->pending, &x->model,
		&((const struct snap *)(const void *)snap)->avg, x->positions);
	return s ? &s->base : NULL;
}

static struct segment *merge(struct segments *base, const struct segment_snap *snap,
	const struct segment_part *parts, size_t n)
{
	struct seg *s = bm25_seg_merge(
		parts, n, &of(base)->model, &((const struct snap *)(const void *)snap)->avg);
	return s ? &s->base : NULL;
}

static void drop(struct segments *x, uint64_t place)
{
	bm25_pending_drop(&of(x)->pending, place);
}

static void forget(struct segments *x)
{
	bm25_pending_free(&of(x)->pending);
}

const struct segments_kind bm25_kind = {
	.what = "the keyword index",
	.live_size = sizeof(struct live),
	.snap_size = sizeof(struct snap),
	.tag = 'w',
	.clear = bm25_seg_clear,
	.write = bm25_seg_write,
	.read = bm25_seg_read,
	.live_fill = live_fill,
	.live_clear = live_clear,
	.bury = bury,
	.live_bytes = live_bytes,
	.count = count,
	.make = make,
	.merge = merge,
	.drop = drop,
	.forget = forget,
};

/* ---- the index ---- */

static bool model_make(struct model *m, const struct bm25_options *o)
{
	bool given = o && (o->k1 != 0 || o->b != 0);
	*m = (struct model){.k1 = given ? o->k1 : 0.9f,
		.classic = !o || !o->fields,
		.n_fields = 1,
		.fields = {{1, given ? o->b : 0.4f}}};
	if (m->classic)
		return true;
	if (!o->n_fields || o->n_fields > BM25_FIELDS_MAX)
		return false;
	m->n_fields = (uint32_t)o->n_fields;
	for (size_t f = 0; f < o->n_fields; f++) {
		m->fields[f] = o->fields[f];
		if (!(o->fields[f].weight > 0 && o->fields[f].weight < 1e6f &&
			    o->fields[f].b >= 0 && o->fields[f].b <= 1))
			return false;
	}
	return true;
}

enum err bm25_new(const struct bm25_options *o, struct bm25 **out)
{
	struct model model;
	if (!model_make(&model, o))
		return ERR_INVALID;
	struct bm25 *x = calloc(1, sizeof *x);
	if (!x || !segments_init(&x->base, &bm25_kind)) {
		free(x);
		return ERR_NOMEM;
	}
	x->model = model;
	x->positions = o && o->positions;
	*out = x;
	return OK;
}

void bm25_free(struct bm25 *x)
{
	if (!x)
		return;
	segments_clear(&x->base);
	free(x);
}

enum err bm25_put_fields(
	struct bm25 *x, uint64_t key, const struct bm25_text *texts, struct errtext *et)
{
	for (uint32_t f = 0; f < x->model.n_fields; f++) {
		const struct bm25_text *t = &texts[f];
		if (t->n > BM25_TERMS_MAX)
			return err_set(et, ERR_TOO_LARGE, "a field of %zu terms", t->n);
		for (size_t i = 0; t->at && i < t->n; i++)
			if (t->at[i] >= BM25_TERMS_MAX || (i && t->at[i] < t->at[i - 1]))
				return err_set(et, ERR_INVALID, "positions of terms must ascend");
	}
	pthread_mutex_lock(&x->base.write);
	bool ok = segments_room(&x->base) &&
		  bm25_pending_add(&x->pending, &x->model, x->positions, key, texts);
	if (ok)
		segments_wait(&x->base, key, x->pending.n - 1);
	pthread_mutex_unlock(&x->base.write);
	return ok ? OK : err_set(et, ERR_NOMEM, "no memory for an item's terms");
}

enum err bm25_put(
	struct bm25 *x, uint64_t key, const struct str *terms, size_t n, struct errtext *et)
{
	struct bm25_text texts[BM25_FIELDS_MAX] = {{terms, NULL, n}};
	return bm25_put_fields(x, key, texts, et);
}

enum err bm25_delete(struct bm25 *x, const uint64_t *keys, size_t n, struct errtext *et)
{
	return segments_delete(&x->base, keys, n, et);
}

enum err bm25_publish(struct bm25 *x, struct errtext *et)
{
	return segments_publish(&x->base, et);
}

size_t bm25_count(struct bm25 *x)
{
	return segments_count(&x->base);
}

size_t bm25_bytes(struct bm25 *x)
{
	return sizeof *x + segments_bytes(&x->base);
}

enum err bm25_save(
	struct bm25 *x, const char *path, uint64_t mark, struct str label, struct errtext *et)
{
	return segments_save(&x->base, path, mark, label, et);
}

enum err bm25_open(struct bm25 *x, const char *path, struct str label, uint64_t max_key,
	uint64_t *mark, struct errtext *et)
{
	return segments_open(&x->base, path, label, max_key, mark, et);
}
