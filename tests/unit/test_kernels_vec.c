/* Vector operations: every table against doubles, on odd sizes; nothing is written past the end. */
#include "tap.h"
#include "kernels/kernels.h"

#include <math.h>
#include <stdlib.h>

static const char *const tables[] = {"generic", "avx2", "avx512"};
#define EACH_TABLE(t)                                  \
	for (size_t t = 0; t < ARRAY_LEN(tables); t++) \
		if (!kern_use(tables[t], NULL))

enum { MAX = 400 };
static const size_t sizes[] = {
	1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 100, 127, 129, 200, 383};

static uint64_t seed = 0x9E3779B97F4A7C15u;

static float rnd_f(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (float)(int32_t)(seed >> 32) * 0x1p-31f;
}

static void fill(float *x, size_t n, float size)
{
	for (size_t i = 0; i < n; i++)
		x[i] = rnd_f() * size;
}

static double ulps(float got, double want)
{
	float f = (float)want;
	double ulp = (double)nextafterf(fabsf(f), INFINITY) - fabsf(f);
	return fabs(got - want) / ulp;
}

static void test_kernels_vec__exp_is_within_two_ulp(void)
{
	EACH_TABLE(t)
	{
		double worst = 0;
		float x[256], y[256];
		for (int i = -873; i < 887; i++) {
			for (int j = 0; j < 256; j++)
				x[j] = (float)(i + j / 256.0) * 0.1f;
			kern->exp(y, x, 256);
			for (int j = 0; j < 256; j++)
				if (x[j] > -87.3f && x[j] < 88.7f)
					worst = MAX(worst, ulps(y[j], exp(x[j])));
		}
		if (!(worst <= 2))
			FAIL("%s: exp is %.3f ulp off", tables[t], worst);
		tap_note("%s: exp %.3f ulp", tables[t], worst);
		float odd[] = {-INFINITY, INFINITY, NAN, -100, 89.5f, 0, -0.0f, -1e30f, 1e30f};
		kern->exp(odd, odd, ARRAY_LEN(odd));
		CHECK(odd[0] == 0 && odd[1] == INFINITY && isnan(odd[2]) && odd[3] == 0 &&
			odd[4] == INFINITY);
		CHECK(odd[5] == 1 && odd[6] == 1 && odd[7] == 0 && odd[8] == INFINITY);
	}
}

static double silu_d(double x)
{
	return x / (1 + exp(-x));
}

static double gelu_tanh_d(double x)
{
	return 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
}

static double gelu_erf_d(double x)
{
	return 0.5 * x * erfc(-x * 0.70710678118654752440);
}

static void test_kernels_vec__activation_functions(void)
{
	EACH_TABLE(t)
	{
		enum { N = 4001 };
		static float x[N], u[N], y[N];
		const struct {
			void (*fn)(float *, const float *, size_t);
			double (*want)(double);
			double abs, rel;
			const char *name;
		} one[] = {{kern->silu, silu_d, 2e-7, 3e-7, "silu"},
			{kern->gelu_tanh, gelu_tanh_d, 3e-7, 3e-7, "gelu_tanh"},
			{kern->gelu_erf, gelu_erf_d, 2e-7, 2e-7, "gelu_erf"},
			{kern->tanh, tanh, 0, 4e-7, "tanh"}};
		for (int i = 0; i < N; i++) {
			x[i] = (float)(i - 2000) * 0.01f + rnd_f() * 0.01f;
			u[i] = rnd_f();
		}
		for (size_t f = 0; f < ARRAY_LEN(one); f++) {
			one[f].fn(y, x, N);
			for (int i = 0; i < N; i++) {
				double want = one[f].want(x[i]),
				       bound = one[f].abs + one[f].rel * fabs(want);
				if (!(fabs(y[i] - want) <= bound))
					FAIL("%s %s(%.9g) is %.9g, not %.9g", tables[t],
						one[f].name, x[i], y[i], want);
			}
		}
		float y2[40];
		kern->silu_mul(y2, x, u, 37);
		kern->silu(y, x, 37);
		for (int i = 0; i < 37; i++)
			CHECK_NEAR(y2[i], (double)y[i] * u[i], 1e-6);
		kern->gelu_tanh_mul(y2, x, u, 37);
		kern->gelu_tanh(y, x, 37);
		for (int i = 0; i < 37; i++)
			CHECK_NEAR(y2[i], (double)y[i] * u[i], 1e-6);
	}
}

static void test_kernels_vec__elementwise_and_sums(void)
{
	static float a[MAX], b[MAX], y[MAX];
	EACH_TABLE(t)
	for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
		size_t n = sizes[s];
		fill(a, n, 1);
		fill(b, n, 1);
		double dot = 0, all = 0, dot16 = 0, total = 0;
		kern_f16 h[MAX];
		kern->to_f16(h, b, n);
		for (size_t i = 0; i < n; i++) {
			CHECK_INT(h[i], kern_f32_to_f16(b[i]));
			dot += (double)a[i] * b[i];
			dot16 += (double)a[i] * kern_f16_to_f32(h[i]);
			all += fabs((double)a[i] * b[i]);
			total += a[i];
		}
		CHECK_NEAR(kern->dot(a, b, n), dot, 1e-6 * all);
		CHECK_NEAR(kern->dot_f16(a, h, n), dot16, 1e-6 * all + 1e-7);
		CHECK_NEAR(kern->sum(a, n), total, 1e-6 * (double)n);
		y[n] = 42;
		kern->add(y, a, b, n);
		for (size_t i = 0; i < n; i++)
			CHECK(y[i] == a[i] + b[i]);
		kern->mul(y, a, b, n);
		for (size_t i = 0; i < n; i++)
			CHECK(y[i] == a[i] * b[i]);
		kern->scale(y, a, 3, n);
		for (size_t i = 0; i < n; i++)
			CHECK(y[i] == a[i] * 3);
		kern->axpy(y, -3, a, n);
		for (size_t i = 0; i < n; i++)
			CHECK_NEAR(y[i], 0, 3e-7);
		kern->from_f16(y, h, n);
		for (size_t i = 0; i < n; i++)
			CHECK(y[i] == kern_f16_to_f32(h[i]));
		double len = kern->normalize(y, a, n), unit = 0, want = 0;
		for (size_t i = 0; i < n; i++) {
			unit += (double)y[i] * y[i];
			want += (double)a[i] * a[i];
		}
		CHECK_NEAR(unit, 1, 1e-6);
		CHECK_NEAR(len, sqrt(want), 1e-6 * sqrt(want));
		CHECK(y[n] == 42);
	}
}

static void test_kernels_vec__argmax(void)
{
	float x[50];
	EACH_TABLE(t)
	{
		for (size_t n = 1; n <= 50; n++)
			for (size_t at = 0; at < n; at++) {
				for (size_t i = 0; i < n; i++)
					x[i] = i == at || i == n - 1 ? 1 : (i % 3 ? -2.0f : NAN);
				CHECK_INT(kern->argmax(x, n), at);
			}
		x[0] = x[1] = NAN;
		x[2] = -INFINITY;
		CHECK_INT(kern->argmax(x, 3), 0);
	}
}

static void test_kernels_vec__softmax_and_norms(void)
{
	static float x[MAX], w[MAX], b[MAX], y[MAX];
	EACH_TABLE(t)
	for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
		size_t n = sizes[s];
		fill(x, n, 9);
		fill(w, n, 1);
		fill(b, n, 1);
		double sum = 0, sq = 0, mean = 0, var = 0;
		for (size_t i = 0; i < n; i++) {
			sum += exp(x[i]);
			sq += (double)x[i] * x[i];
			mean += x[i];
		}
		mean /= (double)n;
		for (size_t i = 0; i < n; i++)
			var += (x[i] - mean) * (x[i] - mean);
		y[n] = 42;
		CHECK_NEAR(kern->softmax(y, x, n), log(sum), 1e-5);
		for (size_t i = 0; i < n; i++)
			CHECK_NEAR(y[i], exp(x[i]) / sum, 2e-6 * exp(x[i]) / sum + 1e-12);
		kern->rmsnorm(y, x, w, n, 1e-5f);
		for (size_t i = 0; i < n; i++)
			CHECK_NEAR(y[i], x[i] / sqrt(sq / (double)n + 1e-5) * w[i], 3e-6);
		kern->rmsnorm(y, x, NULL, n, 1e-5f);
		for (size_t i = 0; i < n; i++)
			CHECK_NEAR(y[i], x[i] / sqrt(sq / (double)n + 1e-5), 3e-6);
		kern->layernorm(y, x, w, b, n, 1e-3f);
		for (size_t i = 0; i < n; i++)
			CHECK_NEAR(y[i], (x[i] - mean) / sqrt(var / (double)n + 1e-3) * w[i] + b[i],
				1e-4);
		CHECK(y[n] == 42);
		for (size_t i = 0; i < n; i++)
			x[i] = -INFINITY;
		CHECK(kern->softmax(y, x, n) == -INFINITY && y[0] == 0 && y[n - 1] == 0);
		x[n / 2] = 5;
		kern->softmax(y, x, n);
		CHECK(y[n / 2] == 1);
	}
}

static void test_kernels_vec__rope(void)
{
	EACH_TABLE(t)
	for (size_t half = 1; half <= 40; half++) {
		enum { HEADS = 3 };
		size_t stride = 2 * half + 5;
		float x[HEADS * 85], a[HEADS * 85], b[HEADS * 85], cs[80];
		fill(x, HEADS * stride, 1);
		for (size_t i = 0; i < half; i++) {
			cs[i] = cosf((float)i + 1);
			cs[half + i] = sinf((float)i + 1);
		}
		memcpy(a, x, sizeof x);
		memcpy(b, x, sizeof x);
		kern->rope_norm(a, cs, half, HEADS, stride);
		kern->rope_neox(b, cs, half, HEADS, stride);
		for (size_t h = 0; h < HEADS; h++) {
			const float *o = x + h * stride, *p = a + h * stride, *q = b + h * stride;
			for (size_t i = 0; i < half; i++) {
				double c = cs[i], s = cs[half + i];
				CHECK_NEAR(p[2 * i], o[2 * i] * c - o[2 * i + 1] * s, 1e-6);
				CHECK_NEAR(p[2 * i + 1], o[2 * i] * s + o[2 * i + 1] * c, 1e-6);
				CHECK_NEAR(q[i], o[i] * c - o[i + half] * s, 1e-6);
				CHECK_NEAR(q[i + half], o[i] * s + o[i + half] * c, 1e-6);
			}
			CHECK(!memcmp(p + 2 * half, o + 2 * half, 5 * sizeof *o));
			CHECK(!memcmp(q + 2 * half, o + 2 * half, 5 * sizeof *o));
		}
	}
}

static void test_kernels_vec__distances(void)
{
	enum { ROWS = 21, STRIDE = 403, QUERIES = 14 };
	static float rows[ROWS * STRIDE], q[QUERIES * STRIDE], out[ROWS + 1], l2[ROWS + 1],
		l1[ROWS + 1], h_out[ROWS], h_l2[ROWS], many[QUERIES * (ROWS + 2)];
	static kern_f16 half[ROWS * STRIDE];
	static int8_t bytes[ROWS * STRIDE], qb[STRIDE];
	int32_t ints[ROWS + 1];
	EACH_TABLE(t)
	for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
		size_t d = sizes[s];
		fill(rows, ROWS * STRIDE, 1);
		fill(q, QUERIES * STRIDE, 1);
		kern->to_f16(half, rows, ROWS * STRIDE);
		for (size_t i = 0; i < ROWS * STRIDE; i++)
			bytes[i] = i % 7 ? (int8_t)(rows[i] * 127) : -128;
		for (size_t i = 0; i < STRIDE; i++)
			qb[i] = i % 5 ? (int8_t)(q[i] * 127) : -128;
		out[ROWS] = l2[ROWS] = l1[ROWS] = 42;
		ints[ROWS] = 42;
		kern->dots(q, rows, STRIDE, ROWS, d, out);
		kern->l2s(q, rows, STRIDE, ROWS, d, l2);
		kern->l1s(q, rows, STRIDE, ROWS, d, l1);
		kern->dots_f16(q, half, STRIDE, ROWS, d, h_out);
		kern->l2s_f16(q, half, STRIDE, ROWS, d, h_l2);
		kern->dots_i8(qb, bytes, STRIDE, ROWS, d, ints);
		kern->dots_many(q, STRIDE, QUERIES, rows, STRIDE, ROWS, d, many, ROWS + 2);
		for (size_t r = 0; r < ROWS; r++) {
			double dot = 0, sq = 0, sum = 0, dot_h = 0, sq_h = 0;
			int32_t i8 = 0;
			for (size_t i = 0; i < d; i++) {
				double a = q[i], b = rows[r * STRIDE + i],
				       h = kern_f16_to_f32(half[r * STRIDE + i]);
				dot += a * b;
				sq += (a - b) * (a - b);
				sum += fabs(a - b);
				dot_h += a * h;
				sq_h += (a - h) * (a - h);
				i8 += qb[i] * bytes[r * STRIDE + i];
			}
			CHECK_NEAR(out[r], dot, 2e-5);
			CHECK_NEAR(l2[r], sq, 3e-5 * (1 + sq));
			CHECK_NEAR(l1[r], sum, 1e-5 * (1 + sum));
			CHECK_NEAR(h_out[r], dot_h, 2e-5);
			CHECK_NEAR(h_l2[r], sq_h, 3e-5 * (1 + sq_h));
			CHECK_INT(ints[r], i8);
			CHECK_INT(kern->dot_i8(qb, bytes + r * STRIDE, d), i8);
			float one;
			kern->dots(q, rows + r * STRIDE, STRIDE, 1, d, &one);
			CHECK(one == out[r]); /* whatever rows go with it */
			kern->l2s(q, rows + r * STRIDE, STRIDE, 1, d, &one);
			CHECK(one == l2[r]);
			kern->l1s(q, rows + r * STRIDE, STRIDE, 1, d, &one);
			CHECK(one == l1[r]);
			for (size_t j = 0; j < QUERIES; j++) {
				double want = 0;
				for (size_t i = 0; i < d; i++)
					want += (double)q[j * STRIDE + i] * rows[r * STRIDE + i];
				CHECK_NEAR(many[j * (ROWS + 2) + r], want, 2e-5);
			}
		}
		CHECK(out[ROWS] == 42 && l2[ROWS] == 42 && l1[ROWS] == 42 && ints[ROWS] == 42);
		float p[ROWS], mixed[MAX], mixed_h[MAX];
		fill(p, ROWS, 1);
		mixed[d] = mixed_h[d] = 42;
		kern->mix(mixed, p, rows, STRIDE, ROWS, d);
		kern->mix_f16(mixed_h, p, half, STRIDE, ROWS, d);
		for (size_t i = 0; i < d; i++) {
			double want = 0;
			for (size_t r = 0; r < ROWS; r++)
				want += (double)p[r] * rows[r * STRIDE + i];
			CHECK_NEAR(mixed[i], want, 1e-5);
			CHECK_NEAR(mixed_h[i], want, 5e-3);
		}
		CHECK(mixed[d] == 42 && mixed_h[d] == 42);
	}
}

/* ---- attention ---- */

static void attend_exact(const struct kern_attn *a, size_t t, size_t g, double *out)
{
	size_t hi = a->causal ? a->pos0 + t + 1 : a->n_pos,
	       lo = a->window && hi > a->window ? hi - a->window : 0;
	double s[512], sum = 0, most = -INFINITY;
	const float *q = a->q + t * a->q_tok + g * a->q_head;
	for (size_t i = 0; i < a->head_dim; i++)
		out[i] = 0;
#define KV(base, at)                                                  \
	(a->kv_type == KERN_F32 ? (double)((const float *)(base))[at] \
				: (double)kern_f16_to_f32(((const kern_f16 *)(base))[at]))
	for (size_t p = lo; p < hi; p++) {
		double d = 0;
		for (size_t i = 0; i < a->head_dim; i++)
			d += q[i] * KV(a->k, p * a->k_pos + i);
		s[p] = d * a->scale;
		if (a->softcap > 0)
			s[p] = a->softcap * tanh(s[p] / a->softcap);
		most = MAX(most, s[p]);
	}
	for (size_t p = lo; p < hi; p++)
		sum += s[p] = exp(s[p] - most);
	for (size_t p = lo; p < hi; p++)
		for (size_t i = 0; i < a->head_dim; i++)
			out[i] += s[p] / sum * KV(a->v, p * a->v_pos + i);
}

/* b's attention is a's, bit by bit. */
static void same_attention(const char *table, const struct kern_attn *a, struct kern_attn b)
{
	size_t n = a->n_tok * a->out_tok;
	float *mine = calloc(n, sizeof *mine);
	b.out = mine;
	kern_attention(&b);
	for (size_t t = 0; t < a->n_tok; t++)
		for (size_t i = 0; i < a->n_group * a->head_dim; i++) {
			float x = mine[t * a->out_tok + i], y = a->out[t * a->out_tok + i];
			if (memcmp(&x, &y, sizeof x))
				FAIL("%s: attention of %zu x %zu over %zu keys%s: [%zu][%zu] is "
				     "%.9g, not %.9g",
					table, a->n_tok, a->n_group, a->n_pos,
					b.blocks ? " in blocks" : "", t, i, x, y);
		}
	free(mine);
}

/* Moves keys (in panels) and values into blocks of a pool, the first ones last, and between them
 * what must not be read. */
static void *in_blocks(struct kern_attn *a)
{
	static uint32_t where[16];
	size_t each = a->kv_type == KERN_F16 ? 2 : 1, d = a->head_dim, n = (a->n_pos + 63) / 64;
	size_t keys = 64 * d * each, factors = 64 * sizeof(float);
	a->block = 2 * (keys + factors);
	char *pool = malloc(2 * n * a->block);
	memset(pool, 0x7f, 2 * n * a->block);
	for (size_t i = 0; i < n; i++) {
		where[i] = (uint32_t)(2 * (n - i) - 1);
		char *to = pool + where[i] * a->block;
		size_t have = MIN(a->n_pos - 64 * i, (size_t)64);
		memcpy(to, (const char *)a->k + i * keys, (have + 15) / 16 * 16 * d * each);
		for (size_t p = 0; p < have; p++)
			memcpy(to + keys + p * d * each,
				(const char *)a->v + (64 * i + p) * a->v_pos * each, d * each);
		if (a->kv_type == KERN_Q8_0) {
			memcpy(to + 2 * keys, a->k_factor + 64 * i, have * sizeof(float));
			memcpy(to + 2 * keys + factors, a->v_factor + 64 * i, have * sizeof(float));
		}
	}
	a->k = pool;
	a->v = pool + keys;
	a->k_factor = (const float *)(pool + 2 * keys);
	a->v_factor = (const float *)(pool + 2 * keys + factors);
	a->v_pos = d;
	a->blocks = where;
	return pool;
}

static void attention_case(const char *table, enum kern_type type, size_t n_tok, size_t n_group,
	size_t d, size_t pos0, size_t n_pos, bool causal, size_t window, float softcap)
{
	size_t ld = 3 * d + 1, q_tok = n_group * d + 2;
	float *k = calloc(n_pos * ld, 4), *v = calloc(n_pos * ld, 4), *q = calloc(n_tok * q_tok, 4);
	float *out = calloc(n_tok * q_tok, 4), *one = calloc(n_tok * q_tok, 4);
	fill(k, n_pos * ld, 1);
	fill(v, n_pos * ld, 1);
	fill(q, n_tok * q_tok, 2);
	if (type == KERN_F16) {
		kern->to_f16((kern_f16 *)k, k, n_pos * ld); /* in place: narrower, in order */
		kern->to_f16((kern_f16 *)v, v, n_pos * ld);
	}
	float *scratch = aligned_alloc(64, (kern_attn_scratch(n_pos, d) * 4 + 63) / 64 * 64);
	struct kern_attn a = {.kv_type = type,
		.causal = causal,
		.n_tok = n_tok,
		.n_group = n_group,
		.head_dim = d,
		.n_pos = n_pos,
		.pos0 = pos0,
		.window = window,
		.q = q,
		.q_tok = q_tok,
		.q_head = d,
		.k = k,
		.v = v,
		.k_pos = ld,
		.v_pos = ld,
		.scale = 1 / sqrtf((float)d),
		.softcap = softcap,
		.out = out,
		.out_tok = q_tok,
		.out_head = d,
		.scratch = scratch};
	kern_attention(&a);
	double want[256];
	for (size_t t = 0; t < n_tok; t++)
		for (size_t g = 0; g < n_group; g++) {
			attend_exact(&a, t, g, want);
			for (size_t i = 0; i < d; i++)
				if (!(fabs(out[t * q_tok + g * d + i] - want[i]) <= 1e-5))
					FAIL("%s tok %zu/%zu group %zu d %zu pos %zu+%zu: [%zu] is "
					     "%.9g, not %.9g",
						table, t, n_tok, n_group, d, pos0, n_pos, i,
						out[t * q_tok + g * d + i], want[i]);
		}
	for (size_t t = 0; t < n_tok; t++)
		for (size_t g = 0; g < n_group; g++) { /* the same bits alone */
			struct kern_attn b = a;
			b.n_tok = b.n_group = 1;
			b.q += t * q_tok + g * d;
			b.out = one + t * q_tok + g * d;
			b.pos0 += t;
			b.n_pos = causal ? b.pos0 + 1 : n_pos;
			kern_attention(&b);
			if (memcmp(b.out, out + t * q_tok + g * d, d * 4))
				FAIL("%s: attention of token %zu of %zu is not the same alone",
					table, t, n_tok);
		}
	if (type == KERN_F16) { /* keys in panels: the same bits */
		kern_f16 *panels = calloc((n_pos + 15) / 16 * 16 * d, 2);
		for (size_t p = 0; p < n_pos; p++)
			for (size_t i = 0; i < d; i++)
				panels[p / 16 * 16 * d + 16 * i + p % 16] =
					((kern_f16 *)k)[p * ld + i];
		struct kern_attn b = a;
		b.k = panels;
		b.k_panels = true;
		same_attention(table, &a, b);
		void *pool = in_blocks(&b);
		same_attention(table, &a, b);
		free(pool);
		free(panels);
	}
	free(k);
	free(v);
	free(q);
	free(out);
	free(one);
	free(scratch);
}

/* Keys and values as bytes with a factor per position: what their f32 values give. */
static void bytes_case(const char *table, size_t n_tok, size_t n_group, size_t d, size_t pos0,
	size_t n_pos, bool causal, size_t window)
{
	size_t whole = (n_pos + 15) / 16 * 16;
	int8_t *kb = calloc(whole * d, 1), *vb = calloc(whole * d, 1);
	float *kf = calloc(whole, 4), *vf = calloc(whole, 4), *k = calloc(n_pos * d, 4),
	      *v = calloc(n_pos * d, 4), *q = calloc(n_tok * n_group * d, 4),
	      *out = calloc(n_tok * n_group * d, 4);
	float *scratch = aligned_alloc(64, (kern_attn_scratch(n_pos, d) * 4 + 63) / 64 * 64);
	fill(q, n_tok * n_group * d, 2);
	fill(kf, n_pos, 0.02f);
	fill(vf, n_pos, 0.02f);
	for (size_t p = 0; p < n_pos; p++)
		for (size_t i = 0; i < d; i++) {
			int8_t x = (int8_t)((p * 37 + i * 91) % 255 - 127),
			       y = (int8_t)((p * 53 + i * 29) % 255 - 127);
			kb[p / 16 * 16 * d + 16 * i + p % 16] = x;
			vb[p * d + i] = y;
			k[p * d + i] = kf[p] * x;
			v[p * d + i] = vf[p] * y;
		}
	struct kern_attn f32 = {.kv_type = KERN_F32,
		.causal = causal,
		.n_tok = n_tok,
		.n_group = n_group,
		.head_dim = d,
		.n_pos = n_pos,
		.pos0 = pos0,
		.window = window,
		.q = q,
		.q_tok = n_group * d,
		.q_head = d,
		.k = k,
		.v = v,
		.k_pos = d,
		.v_pos = d,
		.scale = 1 / sqrtf((float)d),
		.out = out,
		.out_tok = n_group * d,
		.out_head = d,
		.scratch = scratch};
	struct kern_attn a = f32;
	a.kv_type = KERN_Q8_0;
	a.k = kb;
	a.v = vb;
	a.k_factor = kf;
	a.v_factor = vf;
	a.k_panels = true;
	kern_attention(&a);
	double want[256];
	for (size_t t = 0; t < n_tok; t++)
		for (size_t g = 0; g < n_group; g++) {
			attend_exact(&f32, t, g, want);
			for (size_t i = 0; i < d; i++)
				CHECK_NEAR(out[(t * n_group + g) * d + i], want[i], 2e-5);
			struct kern_attn one = a; /* the same bits alone */
			one.n_tok = one.n_group = 1;
			one.q += (t * n_group + g) * d;
			one.out = a.out + (t * n_group + g) * d;
			one.pos0 += t;
			one.n_pos = causal ? one.pos0 + 1 : n_pos;
			same_attention(table, &one, one);
		}
	struct kern_attn b = a;
	void *pool = in_blocks(&b);
	same_attention(table, &a, b);
	free(pool);
	free(kb), free(vb), free(kf), free(vf), free(k), free(v), free(q), free(out), free(scratch);
}

static void test_kernels_vec__attention_over_bytes(void)
{
	EACH_TABLE(t)
	{
		bytes_case(tables[t], 1, 3, 64, 0, 1, true, 0);
		bytes_case(tables[t], 1, 3, 64, 149, 150, true, 0);
		bytes_case(tables[t], 41, 3, 64, 100, 141, true, 0);
		bytes_case(tables[t], 70, 1, 32, 0, 70, false, 0);
		bytes_case(tables[t], 19, 2, 40, 0, 19, true, 0);
		bytes_case(tables[t], 130, 1, 80, 60, 190, true, 37);
		bytes_case(tables[t], 33, 4, 128, 7, 40, true, 0);
		bytes_case(tables[t], 3, 1, 256, 30, 33, true, 8);
	}
}

static void test_kernels_vec__attention(void)
{
	EACH_TABLE(t)
	for (int f16 = 0; f16 < 2; f16++) {
		enum kern_type type = f16 ? KERN_F16 : KERN_F32;
		attention_case(tables[t], type, 1, 3, 64, 0, 1, true, 0, 0);
		attention_case(tables[t], type, 1, 3, 64, 149, 150, true, 0, 0);
		attention_case(tables[t], type, 70, 1, 32, 0, 70, false, 0, 0);
		attention_case(tables[t], type, 41, 3, 64, 100, 141, true, 0, 0);
		attention_case(tables[t], type, 19, 2, 40, 0, 19, true, 0, 0);
		attention_case(tables[t], type, 130, 1, 80, 60, 190, true, 37, 0);
		attention_case(tables[t], type, 33, 4, 128, 7, 40, true, 0, 5);
		attention_case(tables[t], type, 5, 1, 17, 0, 5, false, 0, 0);
		attention_case(tables[t], type, 3, 1, 256, 30, 33, true, 8, 0);
	}
}

/* Sums of codes and bits are exact; fixed-point rows agree with doubles. */
static void test_kernels_vec__codes(void)
{
	enum { ROWS = 21, STRIDE = 448, QUERIES = 14 };
	static float x[ROWS * STRIDE], y[STRIDE];
	static uint8_t rows[ROWS * STRIDE], mid[ROWS * STRIDE];
	static uint16_t lo[ROWS * STRIDE];
	static int8_t q[QUERIES * STRIDE] __attribute__((aligned(64)));
	static int32_t some[ROWS + 1], bits[ROWS + 1], in_order[ROWS + 1], many[QUERIES][ROWS + 1];
	float in_l1[ROWS + 1], some_l1[ROWS + 1], steps[ROWS], one_l1;
	uint32_t ids[ROWS];
	for (size_t r = 0; r < ROWS; r++)
		steps[r] = 0.001f * (float)(r + 1);
	fill(x, ROWS * STRIDE, 1);
	fill(y, STRIDE, 1);
	for (size_t i = 0; i < ROWS * STRIDE; i++) {
		rows[i] = i % 7 ? (uint8_t)(x[i] * 127 + 128) : 255;
		mid[i] = (uint8_t)(x[i] * 9973);
		lo[i] = (uint16_t)(x[i] * 30011);
	}
	for (size_t r = 0; r < ROWS; r++)
		ids[r] = (uint32_t)(r * 8 % ROWS);
	EACH_TABLE(t)
	for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
		size_t d = sizes[s];
		memset(q, 0, sizeof q);
		for (size_t c = 0; c < QUERIES; c++)
			for (size_t i = 0; i < d; i++)
				q[c * STRIDE + i] = (int8_t)((c * 31 + i * 57) % 255 - 127);
		some[ROWS] = bits[ROWS] = in_order[ROWS] = 42;
		in_l1[ROWS] = some_l1[ROWS] = 42;
		kern->codes_l1(y, rows, STRIDE, ids, ROWS, d, steps, some_l1);
		kern->codes_l1(y, rows, STRIDE, NULL, ROWS, d, steps, in_l1);
		kern->codes(q, rows, STRIDE, ids, ROWS, d, some);
		kern->codes(q, rows, STRIDE, NULL, ROWS, d, in_order);
		kern->bits(q, rows, STRIDE, ids, ROWS, d, bits);
		kern->codes_many(q, STRIDE, QUERIES, rows, STRIDE, ROWS, d, many[0], ROWS + 1);
		for (size_t r = 0; r < ROWS; r++) {
			const uint8_t *row = rows + ids[r] * STRIDE;
			int32_t sum = 0, bit = 0;
			for (size_t i = 0; i < d; i++) {
				sum += q[i] * row[i];
				bit += row[i / 8] >> i % 8 & 1 ? q[i] : 0;
			}
			CHECK_INT(some[r], sum);
			CHECK_INT(in_order[ids[r]], sum);
			CHECK_INT(bits[r], bit);
			for (size_t c = 0; c < QUERIES; c++) {
				int32_t one = 0;
				for (size_t i = 0; i < d; i++)
					one += q[c * STRIDE + i] * rows[r * STRIDE + i];
				CHECK_INT(many[c][r], one);
			}
			for (int parts = 0; parts < 3; parts++) {
				double dot = 0, sq = 0, l1 = 0, f = 0x1p-31;
				for (size_t i = 0; i < d; i++) {
					uint32_t low =
						!parts ? 0x800000u
						       : (uint32_t)mid[r * STRIDE + i] << 16 |
								 (parts == 1 ? 0x8000u
									     : lo[r * STRIDE + i]);
					double v = ((double)((uint32_t)rows[r * STRIDE + i] << 24 |
							     low) -
							   0x1p31) *
						   f;
					dot += v * (double)y[i];
					sq += (v - (double)y[i]) * (v - (double)y[i]);
					l1 += fabs(v - (double)y[i]);
				}
				const uint8_t *m = parts ? mid + r * STRIDE : NULL;
				const uint16_t *l = parts == 2 ? lo + r * STRIDE : NULL;
				CHECK_NEAR(kern->fixed(y, rows + r * STRIDE, m, l, d, (float)f,
						   KERN_PRODUCT),
					dot, 3e-5);
				CHECK_NEAR(kern->fixed(y, rows + r * STRIDE, m, l, d, (float)f,
						   KERN_SQUARES),
					sq, 3e-5 * (1 + sq));
				CHECK_NEAR(kern->fixed(y, rows + r * STRIDE, m, l, d, (float)f,
						   KERN_ABS),
					l1, 1e-5 * (1 + l1));
			}
			double far = 0;
			for (size_t i = 0; i < d; i++)
				far += fabs((double)y[i] -
					    (double)steps[r] * (rows[r * STRIDE + i] - 127.5));
			CHECK_NEAR(in_l1[r], far, 1e-5 * (1 + far));
			kern->codes_l1(y, rows, STRIDE, ids + r, 1, d, steps, &one_l1);
			CHECK(one_l1 == some_l1[r]); /* whatever rows go with it */
			CHECK(some_l1[r] == in_l1[ids[r]]);
		}
		CHECK(in_l1[ROWS] == 42 && some_l1[ROWS] == 42);
		CHECK(some[ROWS] == 42 && bits[ROWS] == 42 && in_order[ROWS] == 42);
	}
}

TESTS(T(test_kernels_vec__codes), T(test_kernels_vec__exp_is_within_two_ulp),
	T(test_kernels_vec__activation_functions), T(test_kernels_vec__elementwise_and_sums),
	T(test_kernels_vec__argmax), T(test_kernels_vec__softmax_and_norms),
	T(test_kernels_vec__rope), T(test_kernels_vec__distances), T(test_kernels_vec__attention),
	T(test_kernels_vec__attention_over_bytes))
