/* Products: every table against a double-precision oracle on the dequantised weights and, bit by
 * bit, against the generic table; batch invariance; teams; GEMM. Sizes are odd on purpose. */
#include "tap.h"
#include "kernels/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const enum kern_type types[] = {KERN_F32, KERN_F16, KERN_BF16, KERN_Q8_0, KERN_Q4_0,
	KERN_Q4_1, KERN_Q5_0, KERN_Q5_1, KERN_Q4_K, KERN_Q5_K, KERN_Q6_K};
static const char *const tables[] = {"generic", "avx2", "avx512", "avx512bf16"};

static uint64_t seed = 88172645463325252u;

static uint32_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 32);
}

static float rnd_f(void)
{
	return (float)(int32_t)rnd() * 0x1p-31f;
}

static void *mem(size_t n)
{
	void *p = aligned_alloc(64, (n + 63) / 64 * 64 + 64);
	CHECK(p);
	memset(p, 0xA5, (n + 63) / 64 * 64 + 64);
	return p;
}

/* Random rows in the file's format: random quants, every scale field a modest f16. */
static unsigned char *random_rows(enum kern_type t, size_t n, size_t k)
{
	const struct kern_type_info *i = kern_type_info(t);
	size_t bytes = kern_row_bytes(t, k), blocks = n * k / i->block;
	unsigned char *rows = mem(n * bytes);
	for (size_t b = 0; b < blocks; b++) {
		unsigned char *p = rows + b * i->bytes;
		uint16_t h[2] = {
			kern_f32_to_f16(rnd_f() * 0.02f), kern_f32_to_f16(rnd_f() * 0.02f)};
		float f = rnd_f();
		for (unsigned j = 0; j < i->bytes; j++)
			p[j] = (unsigned char)rnd();
		if (t == KERN_F32) {
			memcpy(p, &f, 4);
		} else if (t == KERN_F16 || t == KERN_BF16) {
			uint16_t v = t == KERN_F16 ? kern_f32_to_f16(f) : kern_f32_to_bf16(f);
			memcpy(p, &v, 2);
		} else if (t == KERN_Q6_K) {
			memcpy(p + 208, h, 2);
		} else {
			bool two = t == KERN_Q4_1 || t == KERN_Q5_1 || t == KERN_Q4_K ||
				   t == KERN_Q5_K;
			memcpy(p, h, two ? 4 : 2);
		}
	}
	return rows;
}

struct problem {
	size_t m, n, k;
	struct kern_mat w;
	struct kern_act a;
	unsigned char *rows;
	float *x, *bias;
};

static struct problem problem_new(enum kern_type t, size_t m, size_t n, size_t k)
{
	struct problem p = {.m = m, .n = n, .k = k};
	p.rows = random_rows(t, n, k);
	kern_mat_init(&p.w, t, n, k, mem(kern_mat_bytes(t, n, k)));
	kern_mat_pack(&p.w, p.rows, 0, n);
	p.x = mem(m * k * sizeof *p.x);
	p.bias = mem(n * sizeof *p.bias);
	for (size_t i = 0; i < m * k; i++)
		p.x[i] = rnd_f() * (rnd() % 50 ? 1 : 20);
	for (size_t i = 0; i < n; i++)
		p.bias[i] = rnd_f();
	kern_act_init(&p.a, mem(kern_act_bytes(m, k)), p.x, k, m, k);
	if (kern_type_int8(t))
		kern_act_quant(&p.a, 0, m);
	return p;
}

static void problem_free(struct problem *p)
{
	free(p->rows);
	free(p->w.data);
	free(p->x);
	free(p->bias);
	free(p->a.q);
}

static float *multiply(struct problem *p)
{
	float *y = mem(p->m * p->n * sizeof *y);
	if (kern_type_bf16(p->w.type))
		kern_act_half(&p->a, 0, p->m);
	kern_matmul(&p->w, &p->a, y, p->n, p->bias, 0, p->n);
	return y;
}

/* |y - exact| <= sum over blocks of (half a step of the activations * sum |w|), plus f32 rounding.
 */
static void check_against_exact(const struct problem *p, const float *y, const char *what)
{
	float *w = mem(p->k * sizeof *w);
	size_t row_bytes = kern_row_bytes(p->w.type, p->k);
	for (size_t r = 0; r < p->n; r++) {
		kern_dequant(p->w.type, p->rows + r * row_bytes, w, p->k);
		for (size_t t = 0; t < p->m; t++) {
			double exact = p->bias[r], all = fabs(exact), slack = 0;
			for (size_t i = 0; i < p->k; i++) {
				double v = (double)w[i] * p->x[t * p->k + i];
				exact += v;
				all += fabs(v);
				if (kern_type_int8(p->w.type))
					slack += 0.5001 * p->a.meta[(t * p->k + i) / 32].scale *
						 fabs((double)w[i]);
				if (kern_type_bf16(p->w.type)) /* half a step of 8 bits */
					slack += fabs(v) * 0x1.01p-9;
			}
			/* f32 rounding is relative to the terms, which offsets and minima make
			 * larger */
			double round = (all + slack) * 1e-5, diff = fabs(y[t * p->n + r] - exact);
			if (!(diff <= slack + round))
				FAIL("%s m %zu n %zu k %zu: y[%zu][%zu] is %.9g, exact %.9g, "
				     "allowed %.3g",
					what, p->m, p->n, p->k, t, r, y[t * p->n + r], exact,
					slack + round);
		}
	}
	free(w);
}

static const struct {
	size_t m, n, k;
} shapes[] = {{1, 1, 256}, {1, 16, 256}, {2, 17, 512}, {3, 33, 768}, {5, 50, 256}, {6, 31, 1280},
	{7, 64, 512}, {12, 48, 768}, {13, 95, 512}, {25, 37, 2304}, {67, 35, 256}};

static void test_kernels_mul__every_table_against_exact_and_generic(void)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		for (size_t s = 0; s < ARRAY_LEN(shapes); s++) {
			/* legacy blocks are of 32, floats of 1: odd multiples of those, too */
			size_t k = shapes[s].k, block = kern_type_info(types[i])->block;
			if (block == 32)
				k = k - 32 * (s % 3);
			if (block == 1)
				k = k - s;
			CHECK_OK(kern_use("generic", NULL), NULL);
			struct problem p = problem_new(types[i], shapes[s].m, shapes[s].n, k);
			float *want = multiply(&p);
			for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
				if (kern_unavailable(tables[t]))
					continue;
				CHECK_OK(kern_use(tables[t], NULL), NULL);
				char what[64];
				snprintf(what, sizeof what, "%s %s", tables[t],
					kern_type_info(types[i])->name);
				if (kern_type_int8(types[i])) { /* the int8 rounding is the same
								   everywhere */
					int8_t *q = mem(kern_act_bytes(p.m, k));
					struct kern_act a2;
					kern_act_init(&a2, q, p.x, k, p.m, k);
					kern_act_quant(&a2, 0, p.m);
					if (memcmp(a2.q, p.a.q, p.m * k) ||
						memcmp(a2.meta, p.a.meta,
							p.m * (k / 32) * sizeof *a2.meta))
						FAIL("%s: int8 activations differ from generic's",
							what);
					free(q);
				}
				float *got = multiply(&p);
				check_against_exact(&p, got, what);
				if (kern_type_int8(types[i]) &&
					memcmp(got, want, p.m * p.n * sizeof *got))
					FAIL("%s m %zu n %zu k %zu: not the bits of generic", what,
						p.m, p.n, k);
				free(got);
			}
			free(want);
			problem_free(&p);
		}
}

/* A token's outputs are the same bits alone, in any batch, for any row range and team. */
static void test_kernels_mul__batch_invariance(void)
{
	struct kern_team *team;
	CHECK_OK(kern_team_new(3, &team, NULL), NULL);
	for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
		if (kern_unavailable(tables[t]))
			continue;
		CHECK_OK(kern_use(tables[t], NULL), NULL);
		for (size_t i = 0; i < ARRAY_LEN(types); i++) {
			struct problem p = problem_new(types[i], 29, 75, 1280);
			float *all = multiply(&p), *one = mem(p.m * p.n * sizeof *one);
			for (size_t m = 1; m < p.m; m++) {
				memset(one, 0xFF, p.m * p.n * sizeof *one);
				for (size_t at = 0; at < p.m; at += m) {
					struct kern_act v =
						kern_act_rows(&p.a, at, MIN(m, p.m - at));
					kern_matmul(&p.w, &v, one + at * p.n, p.n, p.bias, 0, 48);
					kern_matmul(&p.w, &v, one + at * p.n, p.n, p.bias, 48, p.n);
				}
				if (memcmp(one, all, p.m * p.n * sizeof *one))
					FAIL("%s %s: batches of %zu differ", tables[t],
						kern_type_info(types[i])->name, m);
			}
			memset(one, 0xFF, p.m * p.n * sizeof *one);
			struct kern_mul jobs[2] = {
				{&p.w, &p.a, one, p.n, p.bias}, {&p.w, &p.a, one, p.n, p.bias}};
			kern_matmul_team(team, jobs, 1);
			if (memcmp(one, all, p.m * p.n * sizeof *one))
				FAIL("%s %s: a team differs", tables[t],
					kern_type_info(types[i])->name);
			free(all);
			free(one);
			problem_free(&p);
		}
	}
	kern_team_free(team);
}

static void test_kernels_mul__packing_keeps_every_value(void)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		size_t n = 37, k = 512;
		unsigned char *rows = random_rows(types[i], n, k);
		struct kern_mat w;
		kern_mat_init(&w, types[i], n, k, mem(kern_mat_bytes(types[i], n, k)));
		kern_mat_pack(&w, rows, 16, n);
		kern_mat_pack(&w, rows, 0, 16);
		float *want = mem(k * 4), *got = mem(k * 4);
		for (size_t r = 0; r < n; r++) {
			kern_dequant(types[i], rows + r * kern_row_bytes(types[i], k), want, k);
			kern_mat_row(&w, r, got);
			for (size_t c = 0; c < k; c++)
				if (memcmp(&want[c], &got[c], 4) && want[c] != got[c])
					FAIL("%s row %zu: [%zu] is %.9g, not %.9g",
						kern_type_info(types[i])->name, r, c, got[c],
						want[c]);
		}
		free(rows);
		free(w.data);
		free(want);
		free(got);
	}
}

static void test_kernels_mul__bad_activations_are_not_hidden(void)
{
	for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
		if (kern_unavailable(tables[t]))
			continue;
		CHECK_OK(kern_use(tables[t], NULL), NULL);
		struct problem p = problem_new(KERN_Q4_0, 4, 16, 96);
		p.x[0 * 96 + 40] = NAN;
		p.x[1 * 96 + 95] = -INFINITY;
		for (size_t i = 0; i < 96; i++)
			p.x[2 * 96 + i] = 1e-38f;
		for (size_t i = 0; i < 96; i++)
			p.x[3 * 96 + i] = 3e38f;
		kern_act_quant(&p.a, 0, 4);
		float *y = multiply(&p);
		for (size_t r = 0; r < 16; r++)
			CHECK(isnan(y[r]) && isnan(y[16 + r]) && y[32 + r] == p.bias[r] &&
				!isnan(y[48 + r]));
		free(y);
		problem_free(&p);
	}
}

static void test_kernels_mul__sizes_that_cannot_be(void)
{
	CHECK_INT(kern_mat_bytes(KERN_Q4_K, 16, 32), 0);
	CHECK_INT(kern_mat_bytes(KERN_Q8_0, 16, 33), 0);
	CHECK_INT(kern_mat_bytes(KERN_F32, SIZE_MAX / 2, SIZE_MAX / 4096), 0);
	CHECK_INT(kern_mat_bytes(KERN_F32, SIZE_MAX, 4), 0);
	CHECK_INT(kern_row_bytes(KERN_Q6_K, 256), 210);
	CHECK_INT(kern_row_bytes(KERN_Q6_K, 255), 0);
	CHECK_INT(kern_row_bytes(KERN_F32, SIZE_MAX / 2), 0);
	CHECK(!kern_type_info(9) && !kern_type_info(4000000000u));
	CHECK(!strcmp(kern_unavailable("sse9"), "this build has no such kernels"));
	struct errtext et;
	CHECK_ERR(kern_use("sse9", &et), ERR_UNSUPPORTED);
}

/* C = alpha op(A) op(B) + beta C against doubles, all four ways, odd sizes, with strides. */
static void gemm_case(struct kern_team *team, const char *table, bool ta, bool tb, size_t m,
	size_t n, size_t k, float alpha, float beta)
{
	size_t lda = (ta ? m : k) + 3, ldb = (tb ? k : n) + 1, ldc = n + 5;
	size_t na = (ta ? k : m) * lda, nb = (tb ? n : k) * ldb;
	float *a = mem(na * 4), *b = mem(nb * 4), *c = mem(m * ldc * 4), *old = mem(m * ldc * 4);
	for (size_t i = 0; i < na; i++)
		a[i] = rnd_f();
	for (size_t i = 0; i < nb; i++)
		b[i] = rnd_f();
	for (size_t i = 0; i < m * ldc; i++)
		old[i] = c[i] = beta != 0 ? rnd_f() : NAN;
	kern_gemm(team, &(struct kern_gemm){ta, tb, m, n, k, a, b, c, lda, ldb, ldc, alpha, beta});
	for (size_t i = 0; i < m; i++)
		for (size_t j = 0; j < ldc; j++) {
			if (j >= n) { /* untouched */
				CHECK(!memcmp(&c[i * ldc + j], &old[i * ldc + j], 4));
				continue;
			}
			double s = 0, all = 0;
			for (size_t l = 0; l < k; l++) {
				double v = (double)a[ta ? l * lda + i : i * lda + l] *
					   b[tb ? j * ldb + l : l * ldb + j];
				s += v;
				all += fabs(v);
			}
			double want = alpha * s + (beta != 0 ? beta * old[i * ldc + j] : 0);
			if (!(fabs(c[i * ldc + j] - want) <= 2e-6 * (all * fabs(alpha) + 1)))
				FAIL("%s ta %d tb %d %zux%zux%zu: c[%zu][%zu] is %.9g, not %.9g",
					table, ta, tb, m, n, k, i, j, c[i * ldc + j], want);
		}
	free(a);
	free(b);
	free(c);
	free(old);
}

static void test_kernels_mul__gemm(void)
{
	static const size_t sizes[][3] = {
		{1, 1, 1}, {13, 33, 7}, {12, 32, 64}, {50, 65, 300}, {5, 100, 513}, {900, 40, 20}};
	struct kern_team *team;
	CHECK_OK(kern_team_new(2, &team, NULL), NULL);
	for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
		if (kern_unavailable(tables[t]))
			continue;
		CHECK_OK(kern_use(tables[t], NULL), NULL);
		for (size_t s = 0; s < ARRAY_LEN(sizes); s++)
			for (int way = 0; way < 4; way++)
				gemm_case(way & 1 ? team : NULL, tables[t], way & 1, way & 2,
					sizes[s][0], sizes[s][1], sizes[s][2], way == 3 ? 0.5f : 1,
					way >= 2 ? 1 : 0);
		gemm_case(NULL, tables[t], false, false, 3, 5, 0, 1, 0.25f); /* an empty sum */
	}
	kern_team_free(team);
}

TESTS(T(test_kernels_mul__every_table_against_exact_and_generic),
	T(test_kernels_mul__batch_invariance), T(test_kernels_mul__packing_keeps_every_value),
	T(test_kernels_mul__bad_activations_are_not_hidden),
	T(test_kernels_mul__sizes_that_cannot_be), T(test_kernels_mul__gemm))
