/* What the kernels reach on this machine, beside what it allows: peaks are measured in the same
 *run.
 *
 *	bench_kernels [threads] [table]
 *
 * One line per operation: op, shape, type, table, rate, share of the unit's peak (int8, f32) or of
 *the memory's read rate. Times are the best of several; a noisy neighbour only ever makes them
 *longer. */
#include "base/clock.h"
#include "kernels/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct kern_team *team;
static unsigned threads = 1;
static double peak_f32, peak_bf16, peak_int8, peak_mem, peak_l2;

static void *mem(size_t n)
{
	void *p = aligned_alloc(64, (n + 63) / 64 * 64);
	if (!p)
		exit(71);
	memset(p, 1, (n + 63) / 64 * 64);
	return p;
}

static double now(void)
{
	return (double)clock_mono_ns() * 1e-9;
}

/* Seconds of one call: the best of what fits into about 0.25 s, at least 3. */
static double best(void (*fn)(void *), void *arg)
{
	double least = 1e9, spent = 0;
	fn(arg);
	for (int i = 0; i < 3 || (spent < 0.25 && i < 10000); i++) {
		double t = now();
		fn(arg);
		t = now() - t;
		least = t < least ? t : least;
		spent += t;
	}
	return least;
}

static void line(const char *op, const char *shape, const char *type, double rate, const char *unit,
	double peak)
{
	printf("%-14s %-20s %-5s %-8s %9.1f %-8s", op, shape, type, kern->name, rate, unit);
	if (peak > 0)
		printf(" %5.1f %%", 100 * rate / peak);
	putchar('\n');
	fflush(stdout);
}

static float *random_f(size_t n)
{
	float *x = mem(n * sizeof *x);
	uint32_t s = 12345;
	for (size_t i = 0; i < n; i++) {
		s = s * 1664525 + 1013904223;
		x[i] = (float)(int32_t)s * 0x1p-31f;
	}
	return x;
}

/* ---- what the machine allows ---- */

static volatile float sink;

#if defined __x86_64__
/* Independent chains of the widest unit; the work is 2 x lanes x chains x rounds operations. */
enum { ROUNDS = 300000 }; /* about 0.7 ms: shorter than a turn of the scheduler */
__attribute__((target("avx512f"))) static void spin_f32_512(void *arg, size_t c, unsigned t)
{
	for (int i = 0; i < ROUNDS; i++)
		__asm__ volatile("vfmadd231ps %%zmm30, %%zmm31, %%zmm0\n vfmadd231ps %%zmm30, "
				 "%%zmm31, %%zmm1\n"
				 "vfmadd231ps %%zmm30, %%zmm31, %%zmm2\n vfmadd231ps %%zmm30, "
				 "%%zmm31, %%zmm3\n"
				 "vfmadd231ps %%zmm30, %%zmm31, %%zmm4\n vfmadd231ps %%zmm30, "
				 "%%zmm31, %%zmm5\n"
				 "vfmadd231ps %%zmm30, %%zmm31, %%zmm6\n vfmadd231ps %%zmm30, "
				 "%%zmm31, %%zmm7\n"
				 :
				 :
				 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7");
}

__attribute__((target("avx512vnni,avx512f"))) static void spin_int8_512(
	void *arg, size_t c, unsigned t)
{
	for (int i = 0; i < ROUNDS; i++)
		__asm__ volatile(
			"vpdpbusd %%zmm30, %%zmm31, %%zmm0\n vpdpbusd %%zmm30, %%zmm31, %%zmm1\n"
			"vpdpbusd %%zmm30, %%zmm31, %%zmm2\n vpdpbusd %%zmm30, %%zmm31, %%zmm3\n"
			"vpdpbusd %%zmm30, %%zmm31, %%zmm4\n vpdpbusd %%zmm30, %%zmm31, %%zmm5\n"
			"vpdpbusd %%zmm30, %%zmm31, %%zmm6\n vpdpbusd %%zmm30, %%zmm31, %%zmm7\n"
			:
			:
			: "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7");
}

/* Sixteen chains: the instruction takes longer than the others. */
__attribute__((target("avx512bf16,avx512f"))) static void spin_bf16_512(
	void *arg, size_t c, unsigned t)
{
#define DP(r) "vdpbf16ps %%zmm30, %%zmm31, %%zmm" #r "\n"
	for (int i = 0; i < ROUNDS; i++)
		__asm__ volatile(DP(0) DP(1) DP(2) DP(3) DP(4) DP(5) DP(6) DP(7) DP(8) DP(9) DP(10)
					 DP(11) DP(12) DP(13) DP(14) DP(15)
				 :
				 :
				 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
				 "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
				 "xmm15");
#undef DP
}

__attribute__((target("avx2,fma"))) static void spin_f32_256(void *arg, size_t c, unsigned t)
{
	for (int i = 0; i < ROUNDS; i++)
		__asm__ volatile("vfmadd231ps %%ymm14, %%ymm15, %%ymm0\n vfmadd231ps %%ymm14, "
				 "%%ymm15, %%ymm1\n"
				 "vfmadd231ps %%ymm14, %%ymm15, %%ymm2\n vfmadd231ps %%ymm14, "
				 "%%ymm15, %%ymm3\n"
				 "vfmadd231ps %%ymm14, %%ymm15, %%ymm4\n vfmadd231ps %%ymm14, "
				 "%%ymm15, %%ymm5\n"
				 "vfmadd231ps %%ymm14, %%ymm15, %%ymm6\n vfmadd231ps %%ymm14, "
				 "%%ymm15, %%ymm7\n"
				 :
				 :
				 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7");
}

struct spin {
	kern_chunk_fn fn;
};

static void spin_all(void *arg)
{
	kern_team_run(team, ((struct spin *)arg)->fn, NULL, threads);
}

static double spin_rate(kern_chunk_fn fn, double lanes)
{
	struct spin s = {fn};
	return 2 * lanes * 8 * ROUNDS * threads / best(spin_all, &s) * 1e-9;
}
#endif

struct reader {
	const float *p;
	size_t n;
};

static void read_chunk(void *arg, size_t c, unsigned t)
{
	struct reader *r = arg;
	size_t step = r->n / (8 * threads);
	sink = kern->sum(r->p + c * step, step);
}

static void read_all(void *arg)
{
	kern_team_run(team, read_chunk, arg, 8 * threads);
}

static void measure_peaks(void)
{
#if defined __x86_64__
	if (!strcmp(kern->name, "avx512")) {
		peak_f32 = spin_rate(spin_f32_512, 16);
		peak_int8 = spin_rate(spin_int8_512, 64);
		if (kern_type_bf16(KERN_BF16))
			peak_bf16 = spin_rate(spin_bf16_512, 64);
	} else if (!strcmp(kern->name, "avx2")) {
		peak_f32 = spin_rate(spin_f32_256, 8);
	}
#endif
	struct reader r = {.n = (size_t)128 << 20};
	r.p = mem(r.n * 4);
	peak_mem = (double)r.n * 4 / best(read_all, &r) * 1e-9;
	r.n = (128 << 10) * threads;
	peak_l2 = (double)r.n * 4 / best(read_all, &r) * 1e-9;
	free((void *)(uintptr_t)r.p);
	line("peak", "f32 fma", "F32", peak_f32, "GFLOP/s", 0);
	line("peak", "bf16 dot", "BF16", peak_bf16, "GFLOP/s", 0);
	line("peak", "int8 dot", "I8", peak_int8, "GOP/s", 0);
	line("peak", "read 512 MB", "F32", peak_mem, "GB/s", 0);
	line("peak", "read 512 kB a thread", "F32", peak_l2, "GB/s", 0);
}

/* ---- products ---- */

struct mul {
	struct kern_mat w;
	struct kern_act a;
	float *x, *y;
};

static void mul_run(void *arg)
{
	struct mul *m = arg;
	kern_matmul_team(
		team, &(struct kern_mul){.w = &m->w, .a = &m->a, .y = m->y, .ldy = m->w.n}, 1);
}

static void act_run(void *arg)
{
	struct mul *m = arg;
	kern_act_quant_team(team, &m->a);
}

struct packing {
	struct kern_mat *w;
	void *rows;
};

static void pack_run(void *arg)
{
	struct packing *p = arg;
	kern_mat_pack_team(team, p->w, p->rows, 0, p->w->n);
}

static void bench_mul(enum kern_type t, size_t m, size_t n, size_t k)
{
	struct mul j;
	char shape[64];
	snprintf(shape, sizeof shape, "%zux%zux%zu", m, n, k);
	size_t bytes = kern_mat_bytes(t, n, k);
	kern_mat_init(&j.w, t, n, k, mem(bytes));
	j.x = random_f(m * k);
	j.y = mem(m * n * 4);
	kern_act_init(&j.a, mem(kern_act_bytes(m, k)), j.x, k, m, k);
	kern_act_quant(&j.a, 0, m);
	kern_act_half(&j.a, 0, m);
	double s = best(mul_run, &j);
	const char *name = kern_type_info(t)->name;
	if (m == 1)
		line("matmul", shape, name, (double)bytes / s * 1e-9, "GB/s", peak_mem);
	else
		line("matmul", shape, name, 2.0 * (double)m * (double)n * (double)k / s * 1e-9,
			"GOP/s",
			kern_type_int8(t) && peak_int8 > 0 ? peak_int8
			: kern_type_bf16(t)                ? peak_bf16
							   : peak_f32);
	free(j.w.data);
	free(j.x);
	free(j.y);
	free(j.a.q);
}

static void bench_pack(enum kern_type t, size_t n, size_t k)
{
	struct kern_mat w;
	char shape[64];
	snprintf(shape, sizeof shape, "%zux%zu", n, k);
	kern_mat_init(&w, t, n, k, mem(kern_mat_bytes(t, n, k)));
	struct packing p = {&w, mem(n * kern_row_bytes(t, k))};
	line("pack", shape, kern_type_info(t)->name,
		(double)(n * kern_row_bytes(t, k)) / best(pack_run, &p) * 1e-9, "GB/s", peak_mem);
	free(w.data);
	free(p.rows);
}

static void bench_act(size_t m, size_t k)
{
	struct mul j = {.x = random_f(m * k)};
	char shape[64];
	snprintf(shape, sizeof shape, "%zux%zu", m, k);
	kern_act_init(&j.a, mem(kern_act_bytes(m, k)), j.x, k, m, k);
	line("act_quant", shape, "F32", (double)(m * k * 4) / best(act_run, &j) * 1e-9, "GB/s", 0);
	free(j.x);
	free(j.a.q);
}

static void gemm_run(void *arg)
{
	kern_gemm(team, arg);
}

static void bench_gemm(bool ta, bool tb, size_t m, size_t n, size_t k)
{
	char shape[64];
	snprintf(shape, sizeof shape, "%zux%zux%zu", m, n, k);
	float *a = random_f(m * k), *b = random_f(n * k), *c = random_f(m * n);
	struct kern_gemm g = {ta, tb, m, n, k, a, b, c, ta ? m : k, tb ? k : n, n, 1, 0};
	const char *op = ta ? "gemm A'B" : tb ? "gemm AB'" : "gemm AB";
	line(op, shape, "F32", 2.0 * (double)m * (double)n * (double)k / best(gemm_run, &g) * 1e-9,
		"GFLOP/s", peak_f32);
	free(a);
	free(b);
	free(c);
}

/* ---- attention, vectors, distances: one thread ---- */

static void attention_run(void *arg)
{
	kern_attention(arg);
}

static void bench_attention(size_t n_tok, size_t n_group, size_t d, size_t n_pos, bool causal)
{
	char shape[64];
	snprintf(shape, sizeof shape, "%zu tok %zu pos %zu d%zu", n_tok, n_pos, n_group, d);
	struct kern_attn a = {.kv_type = KERN_F16,
		.causal = causal,
		.n_tok = n_tok,
		.n_group = n_group,
		.head_dim = d,
		.n_pos = n_pos,
		.pos0 = n_pos - n_tok,
		.q = random_f(n_tok * n_group * d),
		.q_tok = n_group * d,
		.q_head = d,
		.k_pos = d,
		.v_pos = d,
		.scale = 0.125f,
		.out = mem(n_tok * n_group * d * 4),
		.out_tok = n_group * d,
		.out_head = d,
		.scratch = mem(kern_attn_scratch(n_pos, d) * 4)};
	kern_f16 *kv = mem(n_pos * d * 2);
	float *f = random_f(n_pos * d);
	kern->to_f16(kv, f, n_pos * d);
	a.k = a.v = kv;
	double seen = causal ? (double)n_pos - (double)n_tok / 2 : (double)n_pos;
	double flop = 4.0 * (double)n_tok * seen * (double)(n_group * d);
	line("attention", shape, "F16", flop / best(attention_run, &a) * 1e-9, "GFLOP/s",
		peak_f32 / threads);
	free((void *)(uintptr_t)a.q);
	free(a.out);
	free(a.scratch);
	free(kv);
	free(f);
}

struct vec {
	float *x, *y, *z;
	size_t n;
};

#define VEC(name, call, bytes)            \
	static void run_##name(void *arg) \
	{                                 \
		struct vec *v = arg;      \
		call;                     \
	}
VEC(exp, kern->exp(v->y, v->x, v->n), 8)
VEC(silu_mul, kern->silu_mul(v->y, v->x, v->z, v->n), 12)
VEC(gelu_erf, kern->gelu_erf(v->y, v->x, v->n), 8)
VEC(softmax, kern->softmax(v->y, v->x, v->n), 8)
VEC(rmsnorm, kern->rmsnorm(v->y, v->x, v->z, v->n, 1e-5f), 12)
VEC(layernorm, kern->layernorm(v->y, v->x, v->z, v->z, v->n, 1e-5f), 12)
VEC(argmax, sink = (float)kern->argmax(v->x, v->n), 4)
VEC(dot, sink = kern->dot(v->x, v->z, v->n), 8)

static void bench_vectors(void)
{
	struct vec v = {.n = 1536};
	v.x = random_f(v.n);
	v.y = random_f(v.n);
	v.z = random_f(v.n);
	const struct {
		const char *name;
		void (*fn)(void *);
	} ops[] = {{"exp", run_exp}, {"silu_mul", run_silu_mul}, {"gelu_erf", run_gelu_erf},
		{"softmax", run_softmax}, {"rmsnorm", run_rmsnorm}, {"layernorm", run_layernorm},
		{"argmax", run_argmax}, {"dot", run_dot}};
	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		line(ops[i].name, "1536", "F32", (double)v.n / best(ops[i].fn, &v) * 1e-9,
			"Gvalue/s", 0);
}

struct scan {
	float *q, *rows, *out;
	size_t n, dim, n_q;
};

static void scan_chunk(void *arg, size_t c, unsigned t)
{
	struct scan *s = arg;
	size_t step = s->n / (4 * threads), at = c * step;
	if (s->n_q > 1)
		kern->dots_many(s->q, s->dim, s->n_q, s->rows + at * s->dim, s->dim, step, s->dim,
			s->out + at, s->n);
	else
		kern->dots(s->q, s->rows + at * s->dim, s->dim, step, s->dim, s->out + at);
}

static void scan_f16_chunk(void *arg, size_t c, unsigned t)
{
	struct scan *s = arg;
	size_t step = s->n / (4 * threads), at = c * step;
	kern->dots_f16(s->q, (kern_f16 *)s->rows + at * s->dim, s->dim, step, s->dim, s->out + at);
}

static void scan_i8_chunk(void *arg, size_t c, unsigned t)
{
	struct scan *s = arg;
	size_t step = s->n / (4 * threads), at = c * step;
	kern->dots_i8((int8_t *)s->q, (int8_t *)s->rows + at * s->dim, s->dim, step, s->dim,
		(int32_t *)s->out + at);
}

static void scan_run(void *arg)
{
	kern_team_run(team, scan_chunk, arg, 4 * threads);
}

static void scan_f16_run(void *arg)
{
	kern_team_run(team, scan_f16_chunk, arg, 4 * threads);
}

static void scan_i8_run(void *arg)
{
	kern_team_run(team, scan_i8_chunk, arg, 4 * threads);
}

static void bench_distances(void)
{
	struct scan s = {.n = 200000, .dim = 384, .n_q = 1};
	s.q = random_f(16 * s.dim);
	s.rows = random_f(s.n * s.dim);
	s.out = mem(s.n * 4 * 16);
	double bytes = (double)(s.n * s.dim);
	line("dots", "200000 x 384", "F32", bytes * 4 / best(scan_run, &s) * 1e-9, "GB/s",
		peak_mem);
	s.n_q = 16;
	line("dots_many", "16 x 200000 x 384", "F32", bytes * 32 / best(scan_run, &s) * 1e-9,
		"GFLOP/s", peak_f32);
	memset(s.rows, 0x31, s.n * s.dim * 4);
	line("dots", "200000 x 384", "F16", bytes * 2 / best(scan_f16_run, &s) * 1e-9, "GB/s",
		peak_mem);
	line("dots", "200000 x 384", "I8", bytes / best(scan_i8_run, &s) * 1e-9, "GB/s", peak_mem);
	free(s.q);
	free(s.rows);
	free(s.out);
}

int main(int argc, char **argv)
{
	static const enum kern_type types[] = {KERN_Q8_0, KERN_Q4_0, KERN_Q4_1, KERN_Q5_0,
		KERN_Q5_1, KERN_Q4_K, KERN_Q5_K, KERN_Q6_K, KERN_F16, KERN_BF16, KERN_F32};
	struct errtext et;
	threads = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
	enum err e = argc > 2 ? kern_use(argv[2], &et) : kern_init(&et);
	if (!e)
		e = kern_team_new(threads, &team, &et);
	if (e) {
		fprintf(stderr, "bench_kernels: %s\n", err_text(e, &et));
		return err_exit(e);
	}
	printf("%u thread%s; op, shape (tokens x rows x columns), type, table, rate, share of the "
	       "peak\n",
		threads, threads == 1 ? "" : "s");
	measure_peaks();
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		bench_mul(types[i], 1, 49152, 2048);
		bench_mul(types[i], 8, 2048, 2048);
		bench_mul(types[i], 64, 2048, 2048);
		bench_mul(types[i], 512, 1536, 576);
		bench_mul(types[i], 512, 2048, 2048);
	}
	bench_act(512, 2048);
	bench_pack(KERN_Q8_0, 8192, 2048);
	bench_pack(KERN_Q4_1, 8192, 2048);
	bench_pack(KERN_Q6_K, 8192, 2048);
	bench_pack(KERN_F16, 8192, 2048);
	bench_gemm(false, true, 512, 768, 768);
	bench_gemm(false, false, 512, 768, 768);
	bench_gemm(true, false, 768, 768, 512);
	bench_attention(1, 3, 64, 512, true);
	bench_attention(512, 3, 64, 512, true);
	bench_attention(256, 1, 32, 256, false);
	bench_vectors();
	bench_distances();
	kern_team_free(team);
	return 0;
}
