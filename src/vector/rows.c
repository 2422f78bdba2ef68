/* The vectors of an index: one line of codes that walks and scans read, and the rest of each value,
 * from which a score is computed. */
#include "vector/index_int.h"

#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>

/* ---- regions ---- */

enum { HUGE_PAGE = 2 << 20, SMALL_STEP = 64 << 10 };

enum err region_reserve(struct region *r, size_t item, size_t n, struct errtext *et)
{
	*r = (struct region){.item = item};
	if (!item)
		return OK;
	r->reserved = (item * n + 2 * (size_t)HUGE_PAGE) & ~((size_t)HUGE_PAGE - 1);
	size_t more = r->reserved + HUGE_PAGE;
	uint8_t *p =
		mmap(NULL, more, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED) {
		r->reserved = 0;
		return err_set(et, ERR_NOMEM, "no address space for an index of %zu items", n);
	}
	uint8_t *start = p + (-(uintptr_t)p & (HUGE_PAGE - 1));
	if (start > p)
		munmap(p, (size_t)(start - p));
	munmap(start + r->reserved, more - r->reserved - (size_t)(start - p));
	r->p = start;
	return OK;
}

bool region_grow(struct region *r, size_t n)
{
	size_t want = r->item * n;
	if (want <= r->ready)
		return true;
	size_t step = want > HUGE_PAGE ? HUGE_PAGE : SMALL_STEP;
	want = (want + step - 1) & ~(step - 1);
	if (want > r->reserved || mprotect(r->p, want, PROT_READ | PROT_WRITE))
		return false;
	if (want >= HUGE_PAGE) /* walks jump about: fewer, larger pages are found sooner */
		madvise(r->p, want, MADV_HUGEPAGE);
	r->ready = want;
	return true;
}

void region_free(struct region *r)
{
	if (r->reserved)
		munmap(r->p, r->reserved);
	*r = (struct region){0};
}

/* ---- rows ---- */

void rows_layout(struct rows *r, const struct vindex_options *o)
{
	static const uint8_t low[] = {[VINDEX_F32] = 3, [VINDEX_F16] = 1};
	r->metric = o->metric;
	r->type = o->type;
	r->dim = o->dim;
	size_t hi = o->type == VINDEX_BIT ? (o->dim + 7) / 8 : o->dim;
	/* A row that does not cross more lines of the cache than it must is worth some padding. */
	size_t lines = (hi + 63) & ~(size_t)63;
	r->hi_bytes = lines - hi <= hi / 3 ? lines : (hi + 7) & ~(size_t)7;
	r->low_bytes = o->type < VINDEX_I8 ? ((size_t)low[o->type] * o->dim + 1) & ~(size_t)1 : 0;
}

static float *norms(const struct rows *r)
{
	return (float *)(void *)r->norm.p;
}

/* Where the parts of a value lie; NULL for those that the type lacks. */
static void row_parts(
	const struct rows *r, uint32_t slot, uint8_t **hi, uint8_t **mid, uint16_t **lo)
{
	uint8_t *low = r->low_bytes ? r->low.p + slot * r->low_bytes : NULL;
	*hi = r->hi.p + slot * r->hi_bytes;
	*lo = r->type == VINDEX_F32 ? (uint16_t *)(void *)low : NULL;
	*mid = r->type == VINDEX_F32   ? low + 2 * (size_t)r->dim
	       : r->type == VINDEX_F16 ? low
				       : NULL;
}

static void write_bits(struct rows *r, uint32_t slot, const float *v)
{
	uint8_t *hi = r->hi.p + slot * r->hi_bytes;
	double sum = 0;
	memset(hi, 0, r->hi_bytes);
	for (uint32_t j = 0; j < r->dim; j++) {
		sum += fabs((double)v[j]);
		hi[j / 8] |= (uint8_t)((v[j] >= 0) << j % 8);
	}
	float m = (float)(sum / r->dim);
	((float *)(void *)r->scale.p)[slot] = m;
	if (r->metric != VINDEX_COSINE)
		norms(r)[slot] = m * m * (float)r->dim;
}

static void write_fixed(struct rows *r, uint32_t slot, const float *v)
{
	uint8_t *hi, *mid;
	uint16_t *lo;
	row_parts(r, slot, &hi, &mid, &lo);
	float m = 0;
	double norm = 0;
	for (uint32_t j = 0; j < r->dim; j++) {
		m = fmaxf(m, fabsf(v[j]));
		norm += (double)v[j] * v[j];
	}
	double to = m > 0 ? 0x1p31 / (double)m : 0;
	for (uint32_t j = 0; j < r->dim; j++) {
		double u = floor((double)v[j] * to + 0x1p31);
		uint32_t w = u < 0 ? 0 : u > UINT32_MAX ? UINT32_MAX : (uint32_t)u;
		hi[j] = (uint8_t)(w >> 24);
		if (mid)
			mid[j] = (uint8_t)(w >> 16);
		if (lo)
			lo[j] = (uint16_t)w;
	}
	memset(hi + r->dim, 0, r->hi_bytes - r->dim);
	((float *)(void *)r->scale.p)[slot] = m / 128;
	if (r->metric != VINDEX_COSINE)
		norms(r)[slot] = (float)norm;
}

void rows_write(struct rows *r, uint32_t slot, const float *v, float *scratch)
{
	if (r->metric == VINDEX_COSINE) {
		kern->normalize(scratch, v, r->dim);
		v = scratch;
	}
	if (r->type == VINDEX_BIT)
		write_bits(r, slot, v);
	else
		write_fixed(r, slot, v);
}

/* p->q is there, `scale` is the size of its unit: the rest. */
static void probe_finish(const struct rows *r, struct probe *p, float scale, float norm)
{
	static const uint8_t ones[VINDEX_DIM_MAX + 64] = {[0 ... VINDEX_DIM_MAX - 1] = 1};
	int32_t sum;
	kern->codes(p->q, ones, r->dim, NULL, 1, r->dim, &sum);
	p->off = r->type == VINDEX_BIT ? sum : 255 * sum;
	p->w = r->type == VINDEX_BIT ? scale : scale / 2;
	p->base = r->metric == VINDEX_COSINE ? 1 : 0;
	if (r->metric == VINDEX_L2) {
		p->w *= 2;
		p->base = norm;
	}
}

/* The loops are written for the compiler's vector instructions. */
static float largest(const float *v, uint32_t n)
{
	int32_t m = 0, bits;
	for (uint32_t j = 0; j < n; j++) {
		memcpy(&bits, &v[j], 4);
		bits &= 0x7fffffff;
		m = bits > m ? bits : m;
	}
	float f;
	memcpy(&f, &m, 4);
	return f;
}

/* q = v * to, rounded; |v * to| <= 127. */
static void to_bytes(int8_t *q, const float *v, float to, uint32_t n)
{
	for (uint32_t j = 0; j < n; j++) {
		float t = v[j] * to + 0x1.8p23f; /* the sum's last bits are the rounded number */
		int32_t bits;
		memcpy(&bits, &t, 4);
		q[j] = (int8_t)bits;
	}
}

void probe_vector(const struct rows *r, struct probe *p, const float *v, float *unit)
{
	uint32_t dim = r->dim;
	if (r->metric == VINDEX_COSINE)
		kern->normalize(unit, v, dim);
	else
		memcpy(unit, v, dim * sizeof *unit);
	p->exact = unit;
	if (r->metric == VINDEX_L1)
		return;
	float m = largest(unit, dim), norm = kern->dot(unit, unit, dim);
	float to = m > 0 ? 127 / m : 0;
	if (!isfinite(to)) /* of subnormal size: nothing is near or far */
		to = 0;
	to_bytes(p->q, unit, to, dim);
	float step = to > 0 ? m / 127 : 0, l1[8] = {0}, lost[8] = {0};
	for (uint32_t j = 0; j < dim; j++) {
		float e = unit[j] - (float)p->q[j] * step;
		l1[j % 8] += fabsf(unit[j]);
		lost[j % 8] += e * e;
	}
	for (int i = 1; i < 8; i++) {
		l1[0] += l1[i];
		lost[0] += lost[i];
	}
	p->l1 = l1[0];
	p->err = sqrtf(lost[0]);
	p->len = sqrtf(norm);
	probe_finish(r, p, step, norm);
}

float rows_doubt(const struct rows *r, const struct probe *p, uint32_t slot)
{
	float len = r->metric == VINDEX_COSINE ? 1 : sqrtf(norms(r)[slot]);
	float row = scale_of(r, slot) * p->len * 0.289f; /* of a step: 1 / sqrt(12) */
	float lost = p->err * len / sqrtf((float)r->dim);
	if (r->type == VINDEX_BIT)
		return 0;
	if (r->metric == VINDEX_L1)
		return 3 * scale_of(r, slot) * 0.289f * sqrtf((float)r->dim);
	return (r->metric == VINDEX_L2 ? 6 : 3) * (row + lost);
}

/* q[j] = bytes[j] - 128, eight at a time; there is room for a multiple of 64, and zeros stay. */
static void centred(int8_t *q, const uint8_t *bytes, uint32_t n)
{
	uint32_t j = 0;
	for (; j + 8 <= n; j += 8) {
		uint64_t v;
		memcpy(&v, bytes + j, 8);
		v ^= 0x8080808080808080;
		memcpy(q + j, &v, 8);
	}
	for (; j < n; j++)
		q[j] = (int8_t)(bytes[j] ^ 0x80);
}

void probe_row(const struct rows *r, struct probe *p, uint32_t slot)
{
	const uint8_t *hi = r->hi.p + slot * r->hi_bytes;
	if (r->metric == VINDEX_L1) {
		float scale = scale_of(r, slot);
		for (uint32_t j = 0; j < r->dim; j++)
			p->own[j] = scale * ((float)hi[j] - 127.5f);
		p->exact = p->own;
		return;
	}
	if (r->type == VINDEX_BIT)
		for (uint32_t j = 0; j < r->dim; j++)
			p->q[j] = hi[j / 8] >> j % 8 & 1 ? 1 : -1;
	else
		centred(p->q, hi, r->dim);
	p->exact = NULL;
	probe_finish(r, p, scale_of(r, slot), r->metric == VINDEX_L2 ? norms(r)[slot] : 0);
}

static void near_of_sums(const struct rows *r, const struct probe *p, const uint32_t *ids,
	uint32_t first, size_t n, const int32_t *sums, float *out)
{
	const float *scale = (const float *)(const void *)r->scale.p;
	if (ids)
		for (size_t i = 0; i < n; i++)
			out[i] = p->base - p->w * scale[ids[i]] * (float)(2 * sums[i] - p->off);
	else
		for (size_t i = 0; i < n; i++)
			out[i] = p->base - p->w * scale[first + i] * (float)(2 * sums[i] - p->off);
	if (r->metric == VINDEX_L2)
		for (size_t i = 0; i < n; i++)
			out[i] += norms(r)[ids ? ids[i] : first + (uint32_t)i];
}

void rows_near(const struct rows *r, const struct probe *p, const uint32_t *ids, uint32_t first,
	size_t n, float *out)
{
	int32_t sums[ROWS_MAX];
	const uint8_t *hi = r->hi.p + (ids ? 0 : first) * r->hi_bytes;
	if (r->metric == VINDEX_L1) {
		const float *scale = (const float *)(const void *)r->scale.p + (ids ? 0 : first);
		kern->codes_l1(p->exact, hi, r->hi_bytes, ids, n, r->dim, scale, out);
		return;
	}
	if (r->type == VINDEX_BIT)
		kern->bits(p->q, hi, r->hi_bytes, ids, n, r->dim, sums);
	else
		kern->codes(p->q, hi, r->hi_bytes, ids, n, r->dim, sums);
	near_of_sums(r, p, ids, first, n, sums, out);
}

void rows_near_many(const struct rows *r, const struct probe *p, size_t n_q, size_t ldq,
	uint32_t first, size_t n, int32_t *sums, float *near)
{
	const uint8_t *hi = r->hi.p + first * r->hi_bytes;
	for (size_t i = 0; i < n_q && r->metric == VINDEX_L1; i++)
		rows_near(r, &p[i], NULL, first, n, near + i * ROWS_MAX);
	if (r->metric == VINDEX_L1)
		return;
	if (r->type == VINDEX_BIT)
		for (size_t i = 0; i < n_q; i++)
			kern->bits(p[i].q, hi, r->hi_bytes, NULL, n, r->dim, sums + i * ROWS_MAX);
	else
		kern->codes_many(p->q, ldq, n_q, hi, r->hi_bytes, n, r->dim, sums, ROWS_MAX);
	for (size_t i = 0; i < n_q; i++)
		near_of_sums(r, &p[i], NULL, first, n, sums + i * ROWS_MAX, near + i * ROWS_MAX);
}

float rows_score(const struct rows *r, const struct probe *p, uint32_t slot)
{
	static const enum kern_sum sums[] = {[VINDEX_L2] = KERN_SQUARES, [VINDEX_L1] = KERN_ABS};
	if (r->type == VINDEX_BIT) {
		float d;
		rows_near(r, p, &slot, 0, 1, &d);
		return near_to_score(r, d);
	}
	uint8_t *hi, *mid;
	uint16_t *lo;
	row_parts(r, slot, &hi, &mid, &lo);
	float s = kern->fixed(
		p->exact, hi, mid, lo, r->dim, scale_of(r, slot) * 0x1p-24f, sums[r->metric]);
	return r->metric >= VINDEX_L2 ? -s : s;
}

void rows_fetch(const struct rows *r, uint32_t slot)
{
	if (!r->low_bytes)
		return;
	const uint8_t *low = r->low.p + slot * r->low_bytes;
	for (size_t b = 0; b < r->low_bytes; b += 64)
		__builtin_prefetch(low + b);
}

void rows_bound(const struct rows *r, const struct probe *p, const uint32_t *ids, uint32_t first,
	size_t n, const float *near, float *out)
{
	const float *scale = (const float *)(const void *)r->scale.p;
	const float *norm = r->metric == VINDEX_COSINE ? NULL : norms(r);
	if (r->metric == VINDEX_L1) { /* each difference is off by half a step at most */
		for (size_t i = 0; i < n; i++)
			out[i] = -near[i] + 1e-5f * (1 + near[i]) +
				 0.5001f * (float)r->dim * scale[ids ? ids[i] : first + i];
		return;
	}
	/* The product's error: q times half a step of the row, and what q lacks times the row. The
	 * last term is for the rounding of f32. */
	float twice = r->metric == VINDEX_L2 ? 2 : 1, row = p->l1 / 2 * twice * 1.0001f;
	float sign = r->metric == VINDEX_COSINE ? 1 : 0;
	if (r->type == VINDEX_BIT) /* the score is what is near */
		row = twice = 0;
	if (!norm && !ids) { /* the most frequent, in a form for vector instructions */
		float rest = p->err * 1.001f + 1e-5f;
		for (size_t i = 0; i < n; i++)
			out[i] = 1 - near[i] + row * scale[first + i] + rest;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		uint32_t slot = ids ? ids[i] : first + (uint32_t)i;
		float sq = norm ? norm[slot] : 1;
		out[i] = sign - near[i] + row * scale[slot] + twice * p->err * sqrtf(sq) * 1.001f +
			 1e-5f * (1 + fabsf(near[i]) + sq + p->base);
	}
}
