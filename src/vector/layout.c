/* A layout in the plane or in space: neighbours attract each other, points drawn by chance repel.
 *
 * 1. The nearest rows of each row, with weights: 1 for the nearest, falling with the distance so
 *    that the weights of each row sum up to the logarithm of their number (`smooth`). The two
 *    directions between two rows are joined as a + b - ab (`edges_of`).
 * 2. A start: principal components, the places of an earlier layout, or the middle of neighbours.
 * 3. Epochs in which edges take turns, as often as their weight says: its ends move together, and
 *    its head away from five others (`optimise`). Points that began at a place of an earlier layout
 *    are drawn back to it after each epoch, so that the picture stays what it was where the rows
 *    did. One thread: the order is what makes it the same
 *    each time. The two forces are read from tables over the squared distance. */
#include "vector/layout_int.h"

#include <math.h>
#include <stdlib.h>

enum { NEGATIVE = 5, SMOOTH_STEPS = 64, PLACE_ROUNDS = 8 };

/* ---- the curve ---- */

/* Levenberg and Marquardt on the 300 points that the original fits. */
void layout_curve(double min_dist, double spread, double *a_out, double *b_out)
{
	enum { POINTS = 300 };
	double a = 1, b = 1, damp = 1e-3, last = INFINITY;
	for (int step = 0; step < 200; step++) {
		double jaa = 0, jab = 0, jbb = 0, ra = 0, rb = 0, sum = 0;
		for (int i = 1; i < POINTS; i++) {
			double x = 3 * spread * i / (POINTS - 1);
			double y = x < min_dist ? 1 : exp(-(x - min_dist) / spread);
			double p = pow(x, 2 * b), f = 1 / (1 + a * p), r = y - f;
			double da = -p * f * f, db = -2 * a * p * log(x) * f * f;
			jaa += da * da;
			jab += da * db;
			jbb += db * db;
			ra += da * r;
			rb += db * r;
			sum += r * r;
		}
		double l = 1 + damp, det = jaa * jbb * l * l - jab * jab;
		if (!(det > 0) || fabs(last - sum) < 1e-15)
			break;
		last = sum;
		a = MAX(a + (jbb * l * ra - jab * rb) / det, 1e-3);
		b = MAX(b + (jaa * l * rb - jab * ra) / det, 1e-3);
		damp *= 0.5;
	}
	*a_out = a;
	*b_out = b;
}

/* Functions of the squared distance: 64 points for each doubling from 2^-24 to 2^20, and straight
 * lines between them. */
enum { CURVE_BITS = 17, CURVE_N = 44 * 64 };
struct curve {
	float at[CURVE_N + 1];
};

static uint32_t bits_of(float f)
{
	uint32_t u;
	memcpy(&u, &f, 4);
	return u;
}

static float float_of(uint32_t u)
{
	float f;
	memcpy(&f, &u, 4);
	return f;
}

static const uint32_t curve_first = (127 - 24) << 23;

static inline float curve_at(const struct curve *c, float d2)
{
	uint32_t u = bits_of(d2);
	if (u <= curve_first)
		return c->at[0];
	u -= curve_first;
	uint32_t i = u >> CURVE_BITS;
	if (i >= CURVE_N)
		return c->at[CURVE_N];
	float part = (float)(u & ((1u << CURVE_BITS) - 1)) * (1.0f / (1u << CURVE_BITS));
	return c->at[i] + part * (c->at[i + 1] - c->at[i]);
}

static void make_curves(double a, double b, struct curve *attract, struct curve *repel)
{
	for (uint32_t i = 0; i <= CURVE_N; i++) {
		double d2 = (double)float_of(curve_first + (i << CURVE_BITS)), p = pow(d2, b);
		attract->at[i] = (float)(-2 * a * b * p / d2 / (1 + a * p));
		repel->at[i] = (float)(2 * b / ((0.001 + d2) * (1 + a * p)));
	}
}

/* ---- weights and edges ---- */

/* How near the neighbours of one row are: weights into w. */
static void smooth(const float *d, const uint32_t *at, size_t k, double all_mean, float *w)
{
	double nearest = 0, mean = 0, low = 0, high = INFINITY, sigma = 1,
	       want = log2((double)k + 1);
	size_t n = 0;
	for (; n < k && at[n] != LAYOUT_NOBODY; n++) {
		mean += (double)d[n];
		if (nearest == 0)
			nearest = (double)d[n];
	}
	mean /= MAX(n, 1u);
	for (int s = 0; s < SMOOTH_STEPS; s++) {
		double sum = 0;
		for (size_t i = 0; i < n; i++) {
			double x = (double)d[i] - nearest;
			sum += x > 0 ? exp(-x / sigma) : 1;
		}
		if (fabs(sum - want) < 1e-5)
			break;
		if (sum > want) {
			high = sigma;
			sigma = (low + high) / 2;
		} else {
			low = sigma;
			sigma = isinf(high) ? sigma * 2 : (low + high) / 2;
		}
	}
	sigma = MAX(sigma, 1e-3 * (nearest > 0 ? mean : all_mean));
	for (size_t i = 0; i < k; i++) {
		double x = i < n ? (double)d[i] - nearest : INFINITY;
		w[i] = x <= 0 ? 1 : isinf(x) ? 0 : sigma > 0 ? (float)exp(-x / sigma) : 0;
	}
}

struct edge {
	uint32_t head, tail;
	float every, next; /* weight at first, then: epochs between its turns */
};

struct edges {
	struct edge *e;
	size_t n;
};

struct embed {
	const struct layout_rows *x;
	const struct layout_work *w;
	const uint32_t *movers; /* rows that have neighbours here; NULL: all */
	size_t n_movers;
	const uint8_t *still; /* [n]: rows that do not move; NULL: none */
	struct layout_nearest g;
	float *weight; /* [n_movers][k] */
	struct edges edges;
	uint32_t epochs, full; /* that are run; of a whole layout */
	uint64_t seed;
	size_t dims;
	float *xy; /* [n][dims] */
	const float
		*home; /* [n][dims]: places to be drawn back to, NaN: none; NULL: all have none */
	struct curve attract, repel;
};

static enum err get_weights(struct embed *m, struct errtext *et)
{
	size_t k = m->g.k, n = 0;
	double mean = 0;
	m->weight = malloc((m->n_movers * k + 1) * sizeof *m->weight);
	if (!m->weight)
		return layout_no_memory(et);
	for (size_t i = 0; i < m->n_movers * k; i++)
		if (m->g.at[i] != LAYOUT_NOBODY) {
			mean += (double)m->g.distance[i];
			n++;
		}
	mean /= (double)MAX(n, 1u);
	for (size_t i = 0; i < m->n_movers; i++) {
		if (i % 4096 == 0 && layout_at(m->w, "weights", i, m->n_movers))
			return ERR_CANCELLED;
		smooth(m->g.distance + i * k, m->g.at + i * k, k, mean, m->weight + i * k);
	}
	return OK;
}

/* The weight of the way back; 0: there is none. */
static float back(const struct embed *m, const uint32_t *place, uint32_t from, uint32_t to)
{
	size_t k = m->g.k, at = place ? place[from] : from;
	if (at == LAYOUT_NOBODY)
		return 0;
	for (size_t c = 0; c < k; c++)
		if (m->g.at[at * k + c] == to)
			return m->weight[at * k + c];
	return 0;
}

/* Each pair in both directions, in the order of heads, but for heads that do not move; without
 * those whose turn would never come. */
static enum err edges_of(struct embed *m, const uint32_t *place, struct errtext *et)
{
	size_t k = m->g.k, n = m->x->n, *first = calloc(n + 2, sizeof *first);
	float least = 1.0f / (float)m->full;
	enum err e = first ? OK : layout_no_memory(et);
	for (int filling = 0; filling < 2 && !e; filling++) {
		for (size_t i = 0; i < m->n_movers; i++) {
			uint32_t head = m->movers ? m->movers[i] : (uint32_t)i;
			for (size_t c = 0; c < k; c++) {
				uint32_t tail = m->g.at[i * k + c];
				if (tail == LAYOUT_NOBODY)
					break;
				float a = m->weight[i * k + c], b = back(m, place, tail, head);
				float w = a + b - a * b;
				bool there = w >= least;
				bool other = there && b <= 0 && !(m->still && m->still[tail]);
				if (!filling) {
					first[head + 2] += there;
					first[tail + 2] += other;
				} else {
					if (there)
						m->edges.e[first[head + 1]++] =
							(struct edge){head, tail, w, 0};
					if (other)
						m->edges.e[first[tail + 1]++] =
							(struct edge){tail, head, w, 0};
				}
			}
			if (i % 65536 == 0 && cancelled(m->w->cancel)) {
				free(first);
				return ERR_CANCELLED;
			}
		}
		for (size_t i = 2; !filling && i < n + 2; i++)
			first[i] += first[i - 1];
		if (!filling) {
			m->edges.n = first[n + 1];
			m->edges.e = malloc((m->edges.n + 1) * sizeof *m->edges.e);
			e = m->edges.e ? OK : layout_no_memory(et);
		}
	}
	free(first);
	return e;
}

/* ---- moving ---- */

static inline float clip(float v)
{
	return v > 4 ? 4 : v < -4 ? -4 : v;
}

/* dims is a constant where this is called: the loops are gone. */
static inline __attribute__((always_inline)) float between(
	const float *a, const float *b, float *by, size_t dims)
{
	float sum = 0;
	for (size_t d = 0; d < dims; d++) {
		by[d] = a[d] - b[d];
		sum += by[d] * by[d];
	}
	return sum;
}

static inline __attribute__((always_inline)) void take_turn(
	struct embed *m, const struct edge *t, float alpha, uint64_t *random, size_t dims)
{
	float *h = m->xy + dims * t->head, *o = m->xy + dims * t->tail, by[3];
	float d2 = between(h, o, by, dims);
	if (d2 > 0) {
		float f = curve_at(&m->attract, d2);
		bool both = !m->still || !m->still[t->tail];
		for (size_t d = 0; d < dims; d++) {
			float g = clip(f * by[d]) * alpha;
			h[d] += g;
			o[d] -= both ? g : 0;
		}
	}
	for (int i = 0; i < NEGATIVE; i++) {
		size_t r = (size_t)(((layout_random(random) >> 32) * m->x->n) >> 32);
		o = m->xy + dims * r;
		d2 = between(h, o, by, dims);
		if (r == t->head)
			continue;
		if (d2 <= 0) { /* on the same spot: apart, whichever way */
			for (size_t d = 0; d < dims; d++)
				h[d] += layout_uniform(random) * alpha;
			continue;
		}
		float f = curve_at(&m->repel, d2);
		for (size_t d = 0; d < dims; d++)
			h[d] += clip(f * by[d]) * alpha;
	}
}

/* How strongly, by the cooling: enough that clusters keep their places, and so little that what
 * the new rows change is seen. */
#define HOMESICK 0.1f

static void draw_home(struct embed *m, float alpha)
{
	for (size_t i = 0; i < m->x->n * m->dims; i++)
		if (!isnan(m->home[i]))
			m->xy[i] += HOMESICK * alpha * (m->home[i] - m->xy[i]);
}

static enum err optimise(struct embed *m)
{
	uint64_t random = m->seed ^ 0x6c61796f7574u;
	for (size_t i = 0; i < m->edges.n; i++) {
		struct edge *t = &m->edges.e[i];
		t->next = t->every = 1 / t->every;
	}
	for (uint32_t epoch = 0; epoch < m->epochs; epoch++) {
		/* what begins from places begins as late in the cooling */
		float alpha = (float)(m->epochs - epoch) / (float)m->full;
		if (layout_at(m->w, "layout", epoch, m->epochs))
			return ERR_CANCELLED;
		for (size_t i = 0; i < m->edges.n; i++) {
			struct edge *t = &m->edges.e[i];
			if (t->next > (float)(epoch + 1))
				continue;
			t->next += t->every;
			if (m->dims == 2)
				take_turn(m, t, alpha, &random, 2);
			else
				take_turn(m, t, alpha, &random, 3);
			if (i % (1 << 20) == 0 && cancelled(m->w->cancel))
				return ERR_CANCELLED;
		}
		if (m->home)
			draw_home(m, alpha);
	}
	return layout_at(m->w, "layout", m->epochs, m->epochs);
}

/* ---- the start ---- */

static bool placed(const float *xy, size_t dims, size_t i)
{
	bool there = true;
	for (size_t d = 0; d < dims; d++)
		there &= !isnan(xy[dims * i + d]);
	return there;
}

static enum err start_by_pca(struct embed *m, struct errtext *et)
{
	size_t n = m->x->n, k = MIN(m->x->dim, m->dims);
	float largest = 0, *p = malloc(n * m->dims * sizeof *p);
	uint64_t random = m->seed ^ 0x7374617274u;
	enum err e = p ? layout_pca(m->x, k, m->seed, m->w, p, NULL, et) : layout_no_memory(et);
	for (size_t i = 0; i < n * k && !e; i++)
		largest = MAX(largest, fabsf(p[i]));
	for (size_t i = 0; i < n && !e; i++)
		for (size_t d = 0; d < m->dims; d++)
			m->xy[m->dims * i + d] =
				(d < k && largest > 0 ? p[k * i + d] * (10 / largest) : 0) +
				layout_uniform(&random) * 1e-3f;
	free(p);
	return e;
}

/* The weighted middle of those neighbours that have a place; again for those whose neighbours had
 * none before; at last anywhere in the picture. */
static void start_by_neighbours(struct embed *m)
{
	size_t k = m->g.k, left = 1, dims = m->dims;
	uint64_t random = m->seed ^ 0x706c616365u;
	float low[3] = {INFINITY, INFINITY, INFINITY}, high[3] = {-INFINITY, -INFINITY, -INFINITY};
	for (size_t i = 0; i < m->x->n; i++)
		for (size_t d = 0; d < dims && placed(m->xy, dims, i); d++) {
			low[d] = MIN(low[d], m->xy[dims * i + d]);
			high[d] = MAX(high[d], m->xy[dims * i + d]);
		}
	for (int round = 0; round <= PLACE_ROUNDS && left; round++) {
		left = 0;
		for (size_t i = 0; i < m->n_movers; i++) {
			uint32_t row = m->movers ? m->movers[i] : (uint32_t)i;
			double sum[3] = {0}, all = 0;
			if (placed(m->xy, dims, row))
				continue;
			for (size_t c = 0; c < k && m->g.at[i * k + c] != LAYOUT_NOBODY; c++) {
				uint32_t other = m->g.at[i * k + c];
				double w = (double)m->weight[i * k + c];
				if (!placed(m->xy, dims, other))
					continue;
				for (size_t d = 0; d < dims; d++)
					sum[d] += w * (double)m->xy[dims * other + d];
				all += w;
			}
			bool anywhere = round == PLACE_ROUNDS;
			left += all <= 0;
			for (size_t d = 0; d < dims && (all > 0 || anywhere); d++)
				m->xy[dims * row + d] =
					(all > 0 ? (float)(sum[d] / all)
						 : low[d] + (high[d] - low[d]) *
									fabsf(layout_uniform(
										&random))) +
					layout_uniform(&random) * 1e-3f;
		}
	}
}

/* ---- all of it ---- */

struct start {
	size_t n_placed;
	uint32_t *movers, *place; /* those without a place; where each row stands among them */
	uint8_t *still;
	size_t n_movers;
};

static enum err find_movers(const struct layout_rows *x, const float *xy, size_t dims,
	struct start *s, struct errtext *et)
{
	s->movers = malloc((x->n + 1) * sizeof *s->movers);
	s->place = malloc((x->n + 1) * sizeof *s->place);
	s->still = malloc(x->n + 1);
	if (!s->movers || !s->place || !s->still)
		return layout_no_memory(et);
	for (size_t i = 0; i < x->n; i++) {
		s->still[i] = placed(xy, dims, i);
		s->place[i] = s->still[i] ? LAYOUT_NOBODY : (uint32_t)s->n_movers;
		if (!s->still[i])
			s->movers[s->n_movers++] = (uint32_t)i;
	}
	return OK;
}

static enum err check(
	const struct layout_rows *x, const struct layout_options *o, struct errtext *et)
{
	if (x->n < 2 || !x->dim || x->n > LAYOUT_ROWS_MAX)
		return err_set(et, ERR_INVALID, "a layout of %zu vectors: 2 to %d are possible",
			x->n, LAYOUT_ROWS_MAX);
	if (o->neighbours == 1 || o->neighbours > LAYOUT_NEIGHBOURS_MAX || o->epochs > 10000)
		return err_set(et, ERR_INVALID,
			"a layout with %u neighbours and %u epochs: 2 to %d and at most 10000",
			o->neighbours, o->epochs, LAYOUT_NEIGHBOURS_MAX);
	if (o->dims && o->dims != 2 && o->dims != 3)
		return err_set(et, ERR_INVALID, "a layout in %u dimensions: 2 and 3 are possible",
			o->dims);
	if (!(o->min_dist >= 0 && o->min_dist <= 10 && o->spread >= 0 && o->spread <= 10) ||
		(o->spread > 0 && o->min_dist > 3 * o->spread))
		return err_set(et, ERR_INVALID,
			"min_dist and spread are from 0 to 10, and min_dist at most 3 times "
			"spread");
	return OK;
}

static enum err embed(
	struct embed *m, const struct start *s, const struct layout_options *o, struct errtext *et)
{
	double a, b;
	size_t k = MIN((size_t)(o->neighbours ? o->neighbours : 15), m->x->n) - 1;
	enum err e = layout_nearest(m->x, m->movers, m->n_movers, k, LAYOUT_AUTO, m->w, &m->g, et);
	e = e ? e : get_weights(m, et);
	if (!e && !s->n_placed)
		e = start_by_pca(m, et);
	else if (!e)
		start_by_neighbours(m);
	e = e ? e : edges_of(m, m->movers ? s->place : NULL, et);
	if (!e) {
		layout_curve(o->min_dist > 0 ? (double)o->min_dist : 0.1,
			o->spread > 0 ? (double)o->spread : 1, &a, &b);
		make_curves(a, b, &m->attract, &m->repel);
		e = optimise(m);
	}
	return e;
}

enum err layout_embed(const struct layout_rows *x, const struct layout_options *o,
	const struct layout_work *w, float *xy, struct errtext *et)
{
	struct start s = {0};
	float *home = NULL;
	struct embed *m = calloc(1, sizeof *m);
	enum err e = m ? check(x, o, et) : layout_no_memory(et);
	size_t dims = o->dims == 3 ? 3 : 2;
	e = e ? e : find_movers(x, xy, dims, &s, et);
	if (!e) {
		s.n_placed = x->n - s.n_movers;
		bool some = s.n_placed && o->stay;
		*m = (struct embed){.x = x,
			.w = w,
			.movers = some ? s.movers : NULL,
			.n_movers = some ? s.n_movers : x->n,
			.still = some ? s.still : NULL,
			.full = o->epochs       ? o->epochs
				: x->n <= 10000 ? 500
						: 200,
			.seed = o->seed,
			.dims = dims,
			.xy = xy};
		m->epochs = s.n_placed ? m->full / 3 + 1 : m->full;
		home = s.n_placed && !some ? malloc(x->n * dims * sizeof *home) : NULL;
		e = s.n_placed && !some && !home ? layout_no_memory(et) : OK;
		if (home)
			memcpy(home, xy, x->n * dims * sizeof *home);
		m->home = home;
		e = e ? e : m->n_movers ? embed(m, &s, o, et) : OK;
	}
	if (m) {
		layout_nearest_free(&m->g);
		free(m->weight);
		free(m->edges.e);
	}
	free(m);
	free(home);
	free(s.movers);
	free(s.place);
	free(s.still);
	return e;
}
