/* The number formats beside golden data of the `gguf` package (tools/oracle/quants.py). */
#include "tap.h"
#include "base/os.h"
#include "kernels/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { N = 512 };

static struct buf golden(const char *type, const char *end)
{
	char rel[128];
	struct buf b = {0};
	struct errtext et;
	snprintf(rel, sizeof rel, "tests/golden/quants/%s%s", type, end);
	CHECK_OK(os_read_file(tap_source(rel), 0, &b, &et), &et);
	return b;
}

static void test_kernels_quants__dequantise_like_the_gguf_package(void)
{
	static const enum kern_type types[] = {KERN_F16, KERN_BF16, KERN_Q8_0, KERN_Q4_0, KERN_Q4_1,
		KERN_Q5_0, KERN_Q5_1, KERN_Q4_K, KERN_Q5_K, KERN_Q6_K};
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		const char *name = kern_type_info(types[i])->name;
		struct buf b = golden(name, ".bin");
		size_t bytes = kern_row_bytes(types[i], N);
		CHECK_INT(b.n, bytes + N * sizeof(float));
		float got[N], want[N];
		memcpy(want, b.p + bytes, sizeof want);
		kern_dequant(types[i], b.p, got, N);
		for (size_t j = 0; j < N;
			j++) /* the order of d * sc * q may differ by a rounding */
			if (!(fabsf(got[j] - want[j]) <= 3e-7f * fabsf(want[j]) + 1e-12f))
				FAIL("%s[%zu] is %.9g, not %.9g", name, j, got[j], want[j]);
		buf_free(&b);
	}
}

static void test_kernels_quants__quantise_like_the_gguf_package(void)
{
	static const enum kern_type types[] = {KERN_F16, KERN_BF16, KERN_Q8_0};
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		const char *name = kern_type_info(types[i])->name;
		struct buf b = golden(name, ".quant.bin");
		size_t bytes = kern_row_bytes(types[i], N);
		CHECK_INT(b.n, bytes + N * sizeof(float));
		float x[N];
		unsigned char got[N * 2];
		memcpy(x, b.p, sizeof x);
		CHECK(kern_quant(types[i], x, got, N));
		for (size_t j = 0; j < bytes; j++)
			if (got[j] != (unsigned char)b.p[sizeof x + j])
				FAIL("%s: byte %zu is %u, not %u", name, j, got[j],
					(unsigned char)b.p[sizeof x + j]);
		buf_free(&b);
	}
	CHECK(!kern_quant(KERN_Q4_K, NULL, NULL, 0));
}

static void test_kernels_quants__half_floats_keep_every_value(void)
{
	for (uint32_t h = 0; h < 65536; h++) {
		float f = kern_f16_to_f32((uint16_t)h);
		if (isnan(f))
			CHECK(isnan(kern_f16_to_f32(kern_f32_to_f16(f))));
		else
			CHECK_INT(kern_f32_to_f16(f), h);
	}
	CHECK_INT(kern_f32_to_f16(65519.99f), 0x7bff); /* the largest */
	CHECK_INT(kern_f32_to_f16(65520), 0x7c00);
	CHECK_INT(kern_f32_to_f16(1 + 0x1p-11f), 0x3c00);     /* a tie, to even */
	CHECK_INT(kern_f32_to_f16(1 + 3 * 0x1p-11f), 0x3c02); /* a tie, to even */
	CHECK_INT(kern_f32_to_f16(0x1p-25f), 0);              /* half the smallest */
	CHECK_INT(kern_f32_to_f16(0x1.8p-25f), 1);            /* more than half */
	CHECK_INT(kern_f32_to_bf16(1 + 0x1p-8f), 0x3f80);     /* a tie, to even */
	CHECK_INT(kern_f32_to_bf16(3.4028234e38f), 0x7f80);   /* rounds to infinity */
	CHECK(kern_f32_to_bf16(NAN) > 0x7f80);
}

/* Whatever bytes a file holds, reading them is defined and the same from the packed form. */
static void test_kernels_quants__hostile_blocks(void)
{
	static const enum kern_type types[] = {KERN_Q8_0, KERN_Q4_0, KERN_Q4_1, KERN_Q5_0,
		KERN_Q5_1, KERN_Q4_K, KERN_Q5_K, KERN_Q6_K};
	static const unsigned char fills[] = {0x00, 0xff, 0x7f, 0x80, 0x7c, 0xfc};
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		for (size_t f = 0; f < ARRAY_LEN(fills); f++) {
			unsigned char row[256 * 2];
			float want[256], got[256];
			memset(row, fills[f], sizeof row);
			kern_dequant(types[i], row, want, 256);
			struct kern_mat w;
			kern_mat_init(&w, types[i], 1, 256,
				aligned_alloc(64, kern_mat_bytes(types[i], 1, 256)));
			kern_mat_pack(&w, row, 0, 1);
			kern_mat_row(&w, 0, got);
			for (size_t j = 0; j < 256; j++)
				CHECK(got[j] == want[j] || (isnan(got[j]) && isnan(want[j])));
			free(w.data);
		}
}

TESTS(T(test_kernels_quants__dequantise_like_the_gguf_package),
	T(test_kernels_quants__quantise_like_the_gguf_package),
	T(test_kernels_quants__half_floats_keep_every_value),
	T(test_kernels_quants__hostile_blocks))
