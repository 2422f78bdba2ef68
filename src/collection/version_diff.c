/* Two versions compared: by the hashes in their indexes, so that what is equal is never read; then
 * how far the items with other vectors have moved, from the vectors themselves. */
#include "collection/version_int.h"

#include <math.h>
#include <stdlib.h>

const float vdiff_edges[VDIFF_BINS + 1] = {
	0, 0.001f, 0.01f, 0.02f, 0.05f, 0.1f, 0.2f, 0.3f, 0.5f, 0.75f, 1, 2};

const char *vchange_word(enum vchange c)
{
	static const char *const words[] = {"added", "removed", "moved", "changed"};
	return words[c];
}

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory to compare versions");
}

/* ---- what differs ---- */

static struct vdelta delta_of(const struct vitem *a, const struct vitem *b)
{
	struct vdelta d = {.before = a, .after = b, .distance = NAN};
	bool vectors = a && b && memcmp(a->vectors, b->vectors, VERSION_SUM) != 0;
	bool rest = a && b && memcmp(a->rest, b->rest, VERSION_SUM) != 0;
	d.change = !a        ? VCHANGE_ADDED
		   : !b      ? VCHANGE_REMOVED
		   : vectors ? VCHANGE_MOVED
			     : VCHANGE_PAYLOAD;
	d.payload = rest;
	return d;
}

static enum err add(struct vdiff *d, size_t *cap, struct vdelta x, struct errtext *et)
{
	if (d->n == *cap) {
		size_t more = *cap ? *cap + *cap / 2 : 256;
		struct vdelta *list = realloc(d->list, more * sizeof *list);
		if (!list)
			return no_memory(et);
		d->list = list;
		*cap = more;
	}
	d->list[d->n++] = x;
	d->counts[x.change]++;
	d->payloads += x.change == VCHANGE_MOVED && x.payload;
	return OK;
}

enum err version_diff(
	const struct version *a, const struct version *b, struct vdiff *out, struct errtext *et)
{
	struct vdiff d = {0};
	size_t i = 0, j = 0, cap = 0;
	enum err e = OK;
	while ((i < a->n || j < b->n) && !e) {
		const struct vitem *x = &a->items[i], *y = &b->items[j];
		int cmp = i == a->n ? 1 : j == b->n ? -1 : str_cmp(x->id, y->id);
		i += cmp <= 0;
		j += cmp >= 0;
		if (cmp == 0 && version_same(x, y))
			d.same++;
		else
			e = add(&d, &cap, delta_of(cmp > 0 ? NULL : x, cmp < 0 ? NULL : y), et);
	}
	if (e)
		vdiff_free(&d);
	else
		*out = d;
	return e;
}

void vdiff_free(struct vdiff *d)
{
	free(d->list);
	*d = (struct vdiff){0};
}

/* ---- how far ---- */

enum { MEASURE_AT_ONCE = 4096 };

/* Some of the moved items: the vectors of one side, then what they are to those of the other. */
struct measuring {
	const struct version *v[2];
	int side;
	struct vdelta *deltas[MEASURE_AT_ONCE];
	struct item_vector *vectors[MEASURE_AT_ONCE];
	size_t n_vectors[MEASURE_AT_ONCE], n;
	struct arena *a;
};

/* Vectors of another model, or of another length, cannot be compared; sparse ones and lists of
 * vectors are not. */
static bool comparable(const struct measuring *m, struct str space)
{
	const struct space *x = version_space(m->v[0], space), *y = version_space(m->v[1], space);
	return x && y && !x->kind && !y->kind && x->dim == y->dim &&
	       str_eq(x->identity, y->identity);
}

static float cosine_distance(const float *x, const float *y, size_t n)
{
	float xx = kern->dot(x, x, n), yy = kern->dot(y, y, n);
	float product = sqrtf(xx) * sqrtf(yy);
	if (!(product > 0))
		return xx == yy ? 0 : 1;
	return MIN(MAX(1 - kern->dot(x, y, n) / product, 0.0f), 2.0f);
}

static float farthest(const struct measuring *m, size_t i, const struct item_vector *y, size_t n)
{
	float far = NAN;
	for (size_t a = 0; a < m->n_vectors[i]; a++)
		for (size_t b = 0; b < n; b++) {
			const struct item_vector *x = &m->vectors[i][a];
			if (!str_eq(x->space, y[b].space) || !comparable(m, x->space))
				continue;
			float d = cosine_distance(x->v, y[b].v, x->dim);
			far = isnan(far) || d > far ? d : far;
		}
	return far;
}

static enum err take_record(void *ctx, size_t i, const struct vrecord *r, struct errtext *et)
{
	struct measuring *m = ctx;
	struct arena *a = m->side ? arena_new(0) : m->a;
	const struct version *v = m->v[m->side];
	struct item_vector *list;
	size_t n;
	if (!a)
		return no_memory(et);
	enum err e = item_decode(r->vectors, v->spaces, v->n_spaces, a, &list, &n, et);
	if (!e && m->side) {
		m->deltas[i]->distance = farthest(m, i, list, n);
	} else if (!e) {
		m->vectors[i] = list;
		m->n_vectors[i] = n;
	}
	if (m->side)
		arena_free(a);
	return e;
}

static enum err measure_some(struct measuring *m, const struct cancel *cancel, struct errtext *et)
{
	const struct vitem *items[2][MEASURE_AT_ONCE];
	for (size_t i = 0; i < m->n; i++) {
		items[0][i] = m->deltas[i]->before;
		items[1][i] = m->deltas[i]->after;
	}
	m->a = arena_new(0);
	enum err e = m->a ? OK : no_memory(et);
	for (m->side = 0; m->side < 2 && !e; m->side++)
		e = version_records(
			m->v[m->side], items[m->side], m->n, take_record, m, cancel, et);
	arena_free(m->a);
	m->n = 0;
	return e;
}

enum err version_measure(const struct version *a, const struct version *b,
	struct vdelta *const *list, size_t n, const struct cancel *cancel, struct errtext *et)
{
	struct measuring *m = calloc(1, sizeof *m);
	enum err e = m ? OK : no_memory(et);
	if (e)
		return e;
	m->v[0] = a;
	m->v[1] = b;
	for (size_t i = 0; i < n && !e; i++) {
		if (list[i]->change == VCHANGE_MOVED)
			m->deltas[m->n++] = list[i];
		if (m->n == MEASURE_AT_ONCE)
			e = measure_some(m, cancel, et);
	}
	e = e || !m->n ? e : measure_some(m, cancel, et);
	free(m);
	return e;
}

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;
	return x < y ? -1 : x > y;
}

static void summarise(struct vdiff *d, float *v)
{
	double sum = 0;
	size_t n = 0;
	for (size_t i = 0; i < d->n; i++)
		if (!isnan(d->list[i].distance))
			v[n++] = d->list[i].distance;
	if (n)
		qsort(v, n, sizeof *v, by_value);
	for (size_t i = 0, bin = 0; i < n; i++) {
		sum += (double)v[i];
		while (bin + 1 < VDIFF_BINS && v[i] >= vdiff_edges[bin + 1])
			bin++;
		d->bins[bin]++;
	}
	d->measured = n;
	d->mean = n ? sum / (double)n : 0;
	d->median = n ? (double)v[n / 2] : 0;
	d->p95 = n ? (double)v[MIN(n - 1, n * 95 / 100)] : 0;
	d->max = n ? (double)v[n - 1] : 0;
}

enum err version_measure_all(const struct version *a, const struct version *b, struct vdiff *d,
	const struct cancel *cancel, struct errtext *et)
{
	float *v = malloc((d->n + 1) * sizeof *v);
	struct vdelta **list = malloc((d->n + 1) * sizeof *list);
	enum err e = v && list ? OK : no_memory(et);
	for (size_t i = 0; i < d->n && !e; i++)
		list[i] = &d->list[i];
	e = e ? e : version_measure(a, b, list, d->n, cancel, et);
	if (!e)
		summarise(d, v);
	free(v);
	free(list);
	return e;
}
