/* The drivers of products: they cut a product into panels, passes over k and tiles of tokens, and
 * leave the arithmetic to the instruction set's leaves. The order of additions of an output element
 * is fixed by k alone. */
#include "kernels/kern_int.h"

#include <stdlib.h>

/* ---- activations ----------------------------------------------------------------------------- */

static size_t up64(size_t n)
{
	return (n + 63) & ~(size_t)63;
}

static size_t even(size_t n)
{
	return (n + 1) & ~(size_t)1;
}

size_t kern_act_bytes(size_t m, size_t k)
{
	return up64(m * k) + up64(m * (k / BLK) * sizeof(struct kern_act_meta)) +
	       up64(m * even(k) * sizeof(uint16_t));
}

void kern_act_init(struct kern_act *a, void *mem, const float *x, size_t ldx, size_t m, size_t k)
{
	*a = (struct kern_act){.m = m, .k = k, .ldx = ldx, .x = x, .q = mem};
	a->meta = (struct kern_act_meta *)((unsigned char *)mem + up64(m * k));
	a->h = (uint16_t *)((unsigned char *)a->meta + up64(m * (k / BLK) * sizeof *a->meta));
}

void kern_act_quant(struct kern_act *a, size_t from, size_t to)
{
	for (size_t t = from; t < to; t++)
		leaves->act_row(
			a->x + t * a->ldx, a->k, a->q + t * a->k, a->meta + t * (a->k / BLK));
}

void kern_act_half(struct kern_act *a, size_t from, size_t to)
{
	for (size_t t = from; bf16 && t < to; t++)
		bf16->act_row(a->x + t * a->ldx, a->k, a->h + t * even(a->k));
}

bool kern_type_bf16(enum kern_type t)
{
	return t == KERN_BF16 && bf16;
}

struct kern_act kern_act_rows(const struct kern_act *a, size_t from, size_t m)
{
	struct kern_act v = *a;
	v.m = m;
	v.x += from * a->ldx;
	v.q += from * a->k;
	v.meta += from * (a->k / BLK);
	v.h += from * even(a->k);
	return v;
}

/* ---- one range of rows ----------------------------------------------------------------------- */

const float sums_zeros[MANY_PANELS * KERN_PANEL];

/* n rows of m tokens as they begin. */
static void start_rows(struct sums o, size_t m, size_t n)
{
	for (size_t t = 0; t < m && o.from != o.y; t++)
		memcpy(o.y + t * o.ldy, o.from + t * o.ldf, n * sizeof *o.y);
}

/* A pass over k that is not the first goes on from what it finds. */
static struct sums pass(struct sums o, bool first)
{
	return first ? o : sums_of(o.y, o.ldy, true);
}

/* Sums are cut every KC_B pairs, whatever the tile. */
static void panels_bf16(const struct kern_mat *w, const struct kern_act *a, size_t panel,
	unsigned n_panels, struct sums o)
{
	size_t pairs = even(w->k) / 2, lda = even(w->k), step = bf16->tok_tile;
	for (size_t i = 0; i < pairs; i += KC_B)
		for (size_t m = 0; m < a->m; m += step) {
			struct sums at = sums_at(pass(o, i == 0), m, 0);
			bf16->tile(panel_at(w, panel) + i * LINE, w->panel_bytes, n_panels,
				MIN(pairs - i, (size_t)KC_B), a->h + m * lda + 2 * i, lda,
				MIN(a->m - m, step), &at);
		}
}

/* One token: whole panels at once. */
static void rows_one(const struct kern_mat *w, const struct kern_act *a, size_t panel,
	size_t n_panels, struct sums o)
{
	start_rows(o, 1, n_panels * KERN_PANEL);
	o = pass(o, false);
	for (size_t p = 0; kern_type_bf16(w->type) && p < n_panels; p += 4)
		panels_bf16(w, a, panel + p, (unsigned)MIN(n_panels - p, (size_t)4),
			sums_at(o, 0, p * KERN_PANEL));
	if (!kern_type_bf16(w->type))
		leaves->row(w->type, panel_at(w, panel), w->panel_bytes, n_panels, w->k, a->x, a->q,
			a->meta, o.y);
}

/* Up to so many tokens (measured on Zen 5). */
static size_t few_max(void)
{
	return leaves->few ? 8 * FEW : 0;
}

/* Few tokens do not pay for unpacking to memory: they go by in eights, four, two and one. The first
 * eight waits for memory; the second, which finds the panels in the cache, asks for the next ones.
 */
static void few_int8(const struct kern_mat *w, const struct kern_act *a, size_t panel,
	unsigned n_panels, struct sums o)
{
	size_t ldm = w->k / BLK;
	for (size_t m = 0, n; m < a->m; m += n) {
		n = a->m - m >= FEW ? FEW : a->m - m >= 4 ? 4 : a->m - m >= 2 ? 2 : 1;
		if (n == 1) {
			struct kern_act one = kern_act_rows(a, m, 1);
			rows_one(w, &one, panel, n_panels, sums_at(o, m, 0));
			continue;
		}
		struct sums at = sums_at(o, m, 0);
		leaves->few(w->type, panel_at(w, panel), w->panel_bytes, n_panels, w->k,
			a->q + m * a->k, a->k, a->meta + m * ldm, ldm, n,
			m == 0     ? AHEAD_BLKS * LINE * layout_of(w->type)->lines
			: m == FEW ? n_panels * w->panel_bytes
				   : 0,
			&at);
	}
}

/* Many tokens: a pass over k takes all panels before the next one begins, so that the columns of
 * the activations that it reads stay in the second cache. */
static void many_int8(const struct kern_mat *w, const struct kern_act *a, size_t panel,
	size_t n_panels, struct sums o)
{
	struct tile_w t;
	size_t ldm = w->k / BLK, passes = (ldm + KC_BLKS - 1) / KC_BLKS,
	       step = (ldm + passes - 1) / passes;
	for (size_t b = 0; b < ldm; b += step)
		for (size_t i = 0; i < n_panels; i += 2) {
			size_t n = MIN(ldm - b, step);
			unsigned both = (unsigned)MIN(n_panels - i, (size_t)2);
			for (unsigned p = 0; p < both; p++)
				leaves->unpack(
					w->type, panel_at(w, panel + i + p), w->k, b, n, &t, p);
			for (size_t m = 0; m < a->m; m += leaves->tok_tile) {
				struct sums at = sums_at(pass(o, b == 0), m, i * KERN_PANEL);
				leaves->tile(layout_of(w->type), &t, both, n,
					a->q + m * a->k + b * BLK, a->k, a->meta + m * ldm + b, ldm,
					MIN(a->m - m, (size_t)leaves->tok_tile), &at);
			}
		}
}

/* The same for F16: converted in registers. */
static void few_f16(const struct kern_mat *w, const struct kern_act *a, size_t panel,
	unsigned n_panels, struct sums o)
{
	const kern_f16 *p = (const kern_f16 *)(const void *)panel_at(w, panel);
	for (size_t k = 0; k < w->k; k += KC_F)
		for (size_t m = 0; m < a->m; m += leaves->tok_tile_f) {
			struct sums at = sums_at(pass(o, k == 0), m, 0);
			leaves->tile_h(p + k * KERN_PANEL, w->panel_bytes / sizeof *p, KERN_PANEL,
				n_panels, MIN(w->k - k, (size_t)KC_F), a->x + m * a->ldx + k,
				a->ldx, MIN(a->m - m, (size_t)leaves->tok_tile_f), &at);
		}
}

static void pair_float(const struct kern_mat *w, const struct kern_act *a, size_t panel,
	unsigned n_panels, struct sums o)
{
	struct tile_f t;
	bool whole = w->type == KERN_F32; /* already what unpack_f makes */
	size_t apart = whole ? w->panel_bytes / sizeof(float) : KC_F * KERN_PANEL;
	const float *first = (const float *)(const void *)panel_at(w, panel);
	for (size_t k = 0; k < w->k; k += KC_F) {
		size_t n = MIN(w->k - k, (size_t)KC_F);
		for (unsigned p = 0; p < n_panels && !whole; p++)
			leaves->unpack_f(w->type, panel_at(w, panel + p), k, n, t.w[p]);
		for (size_t m = 0; m < a->m; m += leaves->tok_tile_f) {
			struct sums at = sums_at(pass(o, k == 0), m, 0);
			leaves->tile_f(whole ? first + k * KERN_PANEL : t.w[0][0], apart, n_panels,
				n, a->x + m * a->ldx + k, a->ldx, 1,
				MIN(a->m - m, (size_t)leaves->tok_tile_f), &at);
		}
	}
}

/* Up to two whole panels, all tokens. */
static void pair(const struct kern_mat *w, const struct kern_act *a, size_t panel,
	unsigned n_panels, struct sums o)
{
	if (a->m == 1 && leaves->row)
		rows_one(w, a, panel, n_panels, o);
	else if (kern_type_bf16(w->type))
		panels_bf16(w, a, panel, n_panels, o);
	else if (kern_type_int8(w->type) && a->m > 1 && a->m <= few_max())
		few_int8(w, a, panel, n_panels, o);
	else if (kern_type_int8(w->type))
		many_int8(w, a, panel, n_panels, o);
	else if (w->type == KERN_F16 && leaves->tile_h && a->m <= 3 * leaves->tok_tile_f)
		few_f16(w, a, panel, n_panels, o);
	else
		pair_float(w, a, panel, n_panels, o);
}

/* A last panel of fewer than 16 rows: through a buffer, some tokens at a time. */
static void ragged(
	const struct kern_mat *w, const struct kern_act *a, size_t panel, size_t n, struct sums o)
{
	enum { TOKS = 64 };
	float buf[TOKS * KERN_PANEL] __attribute__((aligned(64)));
	for (size_t m = 0; m < a->m; m += TOKS) {
		struct kern_act part = kern_act_rows(a, m, MIN(a->m - m, (size_t)TOKS));
		struct sums at = sums_at(o, m, 0);
		memset(buf, 0, sizeof buf);
		for (size_t t = 0; t < part.m; t++)
			memcpy(buf + t * KERN_PANEL, at.from + t * at.ldf, n * sizeof *buf);
		pair(w, &part, panel, 1, sums_of(buf, KERN_PANEL, true));
		for (size_t t = 0; t < part.m; t++)
			memcpy(at.y + t * at.ldy, buf + t * KERN_PANEL, n * sizeof *buf);
	}
}

void kern_matmul(const struct kern_mat *w, const struct kern_act *a, float *y, size_t ldy,
	const float *bias, size_t from, size_t to)
{
	bool one = a->m == 1 && leaves->row,
	     many = kern_type_int8(w->type) && a->m > MAX(few_max(), (size_t)1);
	size_t most = one ? to : many ? MANY_PANELS : 2;
	if (one && !bias)
		memset(y + from, 0, (to - from) * sizeof *y);
	for (size_t n; from < to; from += n) {
		struct sums o = {y + from, ldy,
			bias  ? bias + from
			: one ? y + from
			      : sums_zeros,
			0};
		size_t panel = from / KERN_PANEL, panels = MIN((to - from) / KERN_PANEL, most);
		n = panels ? panels * KERN_PANEL : to - from;
		if (!w->k)
			start_rows(o, a->m, n);
		else if (!panels)
			ragged(w, a, panel, n, o);
		else if (one)
			rows_one(w, a, panel, panels, o);
		else if (many)
			many_int8(w, a, panel, panels, o);
		else
			pair(w, a, panel, (unsigned)panels, o);
	}
}

/* ---- over a team ----------------------------------------------------------------------------- */

/* A chunk is some rows of a matrix times some tokens. Its activations are read once for every two
 * panels: they are to stay in the second cache. */
enum { MULS = 16, CHUNK_BYTES = 48 << 10, ACT_BYTES = 384 << 10, TOKS_MIN = 48, TOKS_INT8 = 512 };

struct muls {
	const struct kern_mul *jobs;
	size_t n;
	size_t step[MULS], toks[MULS]; /* rows and tokens of a chunk */
	size_t first[MULS + 1];        /* index of a job's first chunk */
};

/* Quantised weights are unpacked for every chunk, which more tokens pay for; they go by in passes
 * over k. */
static size_t toks_of_chunk(const struct kern_mul *j)
{
	if (kern_type_int8(j->w->type))
		return TOKS_INT8;
	size_t fit = ACT_BYTES / (j->w->k * (kern_type_bf16(j->w->type) ? 2 : 4) + 1);
	return MAX(fit / leaves->tok_tile_f * leaves->tok_tile_f, (size_t)TOKS_MIN);
}

/* Rows of a chunk: for many tokens two panels, or more where their activations are large and rows
 * enough for all threads; for few, enough that the work pays for the hand-out. */
static size_t rows_of_chunk(const struct kern_mul *j, size_t toks, unsigned threads)
{
	size_t step = 2 * KERN_PANEL, m = MIN(j->a->m, toks);
	if (threads == 1)
		return j->w->n;
	if (m <= 4 * FEW) {
		size_t pairs = CHUNK_BYTES / (2 * j->w->panel_bytes) / (m / FEW + 1) + 2;
		size_t fair = (j->w->n / step + 4 * threads - 1) / (4 * threads);
		return step * MAX(MIN(pairs, fair), (size_t)1);
	}
	bool large = kern_type_int8(j->w->type) ? m * j->w->k > ACT_BYTES : j->a->m > toks;
	return large && j->w->n >= 8 * threads * MANY_PANELS * KERN_PANEL ? MANY_PANELS * KERN_PANEL
									  : step;
}

static void mul_chunk(void *arg, size_t chunk, unsigned thread)
{
	struct muls *s = arg;
	size_t i = 0;
	while (chunk >= s->first[i + 1])
		i++;
	const struct kern_mul *j = &s->jobs[i];
	size_t step = s->step[i], across = (j->w->n + step - 1) / step, at = chunk - s->first[i],
	       m = at / across * s->toks[i], from = at % across * step;
	struct kern_act a = kern_act_rows(j->a, m, MIN(s->toks[i], j->a->m - m));
	kern_matmul(j->w, &a, j->y + m * j->ldy, j->ldy, j->bias, from, MIN(from + step, j->w->n));
}

void kern_matmul_team(struct kern_team *team, const struct kern_mul *jobs, size_t n)
{
	for (; n; jobs += MIN(n, (size_t)MULS), n -= MIN(n, (size_t)MULS)) {
		struct muls s = {.jobs = jobs, .n = MIN(n, (size_t)MULS)};
		for (size_t i = 0; i < s.n; i++) {
			const struct kern_mul *j = &jobs[i];
			s.toks[i] = toks_of_chunk(j);
			s.step[i] = rows_of_chunk(j, s.toks[i], kern_team_size(team));
			s.first[i + 1] =
				s.first[i] + (j->w->n + s.step[i] - 1) / s.step[i] *
						     ((j->a->m + s.toks[i] - 1) / s.toks[i]);
		}
		kern_team_run(team, mul_chunk, &s, s.first[s.n]);
	}
}

static void act_chunk(void *arg, size_t chunk, unsigned thread)
{
	struct kern_act *a = arg;
	kern_act_quant(a, chunk * 8, MIN(chunk * 8 + 8, a->m));
}

void kern_act_quant_team(struct kern_team *team, struct kern_act *a)
{
	kern_team_run(team, act_chunk, a, (a->m + 7) / 8);
}

struct pack {
	struct kern_mat *w;
	const void *rows;
	size_t from, to;
};

static void pack_chunk(void *arg, size_t chunk, unsigned thread)
{
	struct pack *p = arg;
	size_t step = 4 * KERN_PANEL, from = p->from + chunk * step;
	kern_mat_pack(p->w, p->rows, from, MIN(from + step, p->to));
}

void kern_mat_pack_team(
	struct kern_team *team, struct kern_mat *w, const void *rows, size_t from, size_t to)
{
	size_t step = 4 * KERN_PANEL;
	kern_team_run(
		team, pack_chunk, &(struct pack){w, rows, from, to}, (to - from + step - 1) / step);
}

/* ---- f32 GEMM -------------------------------------------------------------------------------- */

/* Columns [j, j + 32) of op(B), rows [k0, k0 + n), as two panels [n][16]. */
static void pack_b(const struct kern_gemm *g, size_t j, size_t k0, size_t n, struct tile_f *t)
{
	size_t cols = MIN(g->n - j, (size_t)2 * KERN_PANEL);
	for (unsigned p = 0; p < 2 && p * KERN_PANEL < cols; p++) {
		size_t c = MIN(cols - p * KERN_PANEL, (size_t)KERN_PANEL), j0 = j + p * KERN_PANEL;
		if (g->tb) {
			leaves->transpose(KERN_F32, g->b + j0 * g->ldb + k0, g->ldb, c, n, t->w[p]);
			continue;
		}
		if (c < KERN_PANEL)
			memset(t->w[p], 0, n * sizeof t->w[p][0]);
		for (size_t i = 0; i < n; i++)
			memcpy(t->w[p][i], g->b + (k0 + i) * g->ldb + j0, c * sizeof(float));
	}
}

/* C's tile = alpha * acc + (first ? beta * C : C). */
static void gemm_store(const struct kern_gemm *g, bool first, size_t i, size_t j, size_t m,
	size_t cols, const float *acc)
{
	for (size_t t = 0; t < m; t++) {
		float *c = g->c + (i + t) * g->ldc + j;
		const float *s = acc + t * 2 * KERN_PANEL;
		for (size_t r = 0; r < cols; r++) {
			float old = first ? (g->beta != 0 ? g->beta * c[r] : 0) : c[r];
			c[r] = old + g->alpha * s[r];
		}
	}
}

/* 32 columns of C, rows [m0, m1). */
static void gemm_columns(const struct kern_gemm *g, size_t j, size_t m0, size_t m1)
{
	enum { TOKS_MAX = 16 };
	struct tile_f t;
	float acc[TOKS_MAX * 2 * KERN_PANEL] __attribute__((aligned(64)));
	size_t cols = MIN(g->n - j, (size_t)2 * KERN_PANEL), step = leaves->tok_tile_f;
	for (size_t k = 0; k < g->k || (!g->k && !k); k += KC_F) {
		size_t n = MIN(g->k - k, (size_t)KC_F);
		pack_b(g, j, k, n, &t);
		for (size_t i = m0; i < m1; i += step) {
			size_t m = MIN(m1 - i, step);
			struct sums to = sums_of(acc, 2 * KERN_PANEL, false);
			const float *a = g->ta ? g->a + k * g->lda + i : g->a + i * g->lda + k;
			leaves->tile_f(t.w[0][0], KC_F * KERN_PANEL, cols > KERN_PANEL ? 2 : 1, n,
				a, g->ta ? 1 : g->lda, g->ta ? g->lda : 1, m, &to);
			gemm_store(g, k == 0, i, j, m, cols, acc);
		}
	}
}

enum { GEMM_ROWS = 768 };

static void gemm_chunk(void *arg, size_t chunk, unsigned thread)
{
	const struct kern_gemm *g = arg;
	size_t across = (g->n + 2 * KERN_PANEL - 1) / (2 * KERN_PANEL);
	size_t m0 = chunk / across * GEMM_ROWS;
	gemm_columns(g, chunk % across * 2 * KERN_PANEL, m0, MIN(m0 + GEMM_ROWS, g->m));
}

void kern_gemm(struct kern_team *team, const struct kern_gemm *g)
{
	size_t across = (g->n + 2 * KERN_PANEL - 1) / (2 * KERN_PANEL),
	       down = (g->m + GEMM_ROWS - 1) / GEMM_ROWS;
	kern_team_run(team, gemm_chunk, (void *)(uintptr_t)g, across * down);
}
