/* Results compared: numbers, series, arrays, texts. */
#include "run/compare.h"
#include "tap.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const struct tolerance tol = {1e-3, 1e-6}, none;
static struct difference d;

static void test_run_compare__numbers(void)
{
	CHECK_INT(compare_number(1, 1, &none), REPRODUCED);
	CHECK_INT(compare_number((double)NAN, (double)NAN, &none), REPRODUCED);
	CHECK_INT(compare_number((double)NAN, 1, &tol), DIVERGED);
	CHECK_INT(compare_number((double)INFINITY, (double)INFINITY, &none), REPRODUCED);
	CHECK_INT(compare_number((double)INFINITY, -(double)INFINITY, &tol), DIVERGED);
	CHECK_INT(compare_number((double)INFINITY, 1e308, &tol), DIVERGED);
	CHECK_INT(compare_number(1000, 1000.9, &tol), WITHIN_TOLERANCE);
	CHECK_INT(compare_number(1000, 1001.1, &tol), DIVERGED);
	CHECK_INT(compare_number(0, 1e-7, &tol), WITHIN_TOLERANCE);
	CHECK_INT(compare_number(0, 1e-5, &tol), DIVERGED);
	CHECK_INT(compare_number(1, 1 + 1e-15, &none), DIVERGED);
}

static void test_run_compare__series(void)
{
	const struct sample a[] = {{0, 1}, {1, 0.5}, {2, 0.25}},
			    b[] = {{0, 1}, {1, 0.5001}, {2, 0.25}},
			    c[] = {{0, 1}, {1, 0.6}, {2, 0.9}}, e[] = {{0, 1}, {2, 0.25}};
	CHECK_INT(compare_series(a, 3, a, 3, &none, &d), REPRODUCED);
	CHECK_INT(compare_series(a, 3, b, 3, &tol, &d), WITHIN_TOLERANCE);
	CHECK(strstr(d.where, "step 1: 0.5, then 0.5001"));
	CHECK_INT(compare_series(a, 3, c, 3, &tol, &d), DIVERGED);
	CHECK(strstr(d.where, "step 1:")); /* where it began, not where it is largest */
	CHECK_INT(compare_series(a, 3, e, 2, &tol, &d), DIVERGED);
	CHECK_STR(str_c(d.where), "step 1: a point, then none");
	CHECK_INT(compare_series(e, 2, a, 3, &tol, &d), DIVERGED);
	CHECK_STR(str_c(d.where), "step 1: no point, then one");
	CHECK_INT(compare_series(a, 3, a, 2, &tol, &d), DIVERGED);
	CHECK_STR(str_c(d.where), "step 2: a point, then none");
	CHECK_INT(compare_series(NULL, 0, NULL, 0, &none, &d), REPRODUCED);
}

static enum verdict texts(const char *a, const char *b)
{
	return compare_bytes(str_c(a), str_c(b), &tol, &d);
}

static void test_run_compare__texts(void)
{
	CHECK_INT(texts("loss 0.5\nacc 0.91\n", "loss 0.5\nacc 0.91\n"), REPRODUCED);
	CHECK_INT(texts("loss 0.5\nacc 0.91\n", "loss 0.5\nacc 0.9101\n"), WITHIN_TOLERANCE);
	CHECK(strstr(d.where, "line 2"));
	CHECK_INT(texts("{\"a\": [1, 2e3]}", "{\"a\": [1, 2000.5]}"), WITHIN_TOLERANCE);
	CHECK_INT(texts("loss 0.5", "loss 0.6"), DIVERGED);
	CHECK_INT(texts("loss 0.5", "cost 0.5"), DIVERGED);
	CHECK_INT(texts("a\nb\n", "a\nb\nc\n"), DIVERGED);
	CHECK(strstr(d.where, "line 3: one of them ends there"));
	CHECK_INT(texts("5", "-5"), DIVERGED);
	/* digits of a hash or a version are no numbers */
	CHECK_INT(texts("sha a1000", "sha a1001"), DIVERGED);
	CHECK_INT(texts("0x1000", "0x1001"), DIVERGED);
	CHECK_INT(texts("", "x"), DIVERGED);
}

static void add_npy(struct buf *b, const char *type, const char *shape, const void *p, size_t n)
{
	char header[128];
	int h = snprintf(header, sizeof header,
		"{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", type, shape);
	buf_add(b, "\x93NUMPY\x01\x00", 8);
	buf_putc(b, (char)h);
	buf_putc(b, 0);
	buf_add(b, header, (size_t)h);
	buf_add(b, p, n);
}

static void test_run_compare__npy(void)
{
	float a[] = {1, 2, 3}, b[] = {1, 2.0009765625f, 3}, c[] = {1, 2, 4};
	double g[] = {1, 2, 3};
	struct buf x = {0}, y = {0}, z = {0}, w = {0};
	add_npy(&x, "<f4", "3,", a, sizeof a);
	add_npy(&y, "<f4", "3,", b, sizeof b);
	add_npy(&z, "<f4", "3,", c, sizeof c);
	add_npy(&w, "<f8", "3,", g, sizeof g);
	CHECK_INT(compare_bytes(buf_str(&x), buf_str(&y), &tol, &d), WITHIN_TOLERANCE);
	CHECK(strstr(d.where, "element 1: 2, then 2.00097656"));
	CHECK_INT(compare_bytes(buf_str(&x), buf_str(&z), &tol, &d), DIVERGED);
	CHECK(strstr(d.where, "element 2: 3, then 4"));
	CHECK_INT(compare_bytes(buf_str(&x), buf_str(&w), &tol, &d), DIVERGED);
	for (size_t i = 0; i < x.n; i++) /* cut anywhere: an answer, no crash */
		CHECK_INT(
			compare_bytes(str_sub(buf_str(&x), 0, i), buf_str(&y), &tol, &d), DIVERGED);
	buf_free(&x);
	buf_free(&y);
	buf_free(&z);
	buf_free(&w);
}

static void add_safetensors(struct buf *b, const char *json, const void *p, size_t n)
{
	uint64_t h = strlen(json);
	buf_add(b, &h, 8);
	buf_addc(b, json);
	buf_add(b, p, n);
}

static void test_run_compare__safetensors(void)
{
	/* bf16: 1.0 = 3f80, 1.0078125 = 3f81; f16: 1.0 = 3c00, 1.00097656 = 3c01 */
	uint16_t a[] = {0x3f80, 0x3c00}, b[] = {0x3f80, 0x3c01}, c[] = {0x3f81, 0x3c00};
	static const char
		json[] = "{\"x\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[0,2]},"
			 "\"y\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[2,4]}}",
		other[] = "{\"__metadata__\":{\"t\":\"2\"},\"x\":{\"dtype\":\"BF16\",\"shape\":"
			  "[1],\"data_offsets\":[0,2]},\"y\":{\"dtype\":\"F16\",\"shape\":[1],"
			  "\"data_offsets\":[2,4]}}";
	struct buf x = {0}, y = {0}, z = {0}, m = {0};
	add_safetensors(&x, json, a, 4);
	add_safetensors(&y, json, b, 4);
	add_safetensors(&z, json, c, 4);
	CHECK_INT(compare_bytes(buf_str(&x), buf_str(&y), &tol, &d), WITHIN_TOLERANCE);
	CHECK(strstr(d.where, "y element 0: 1, then 1.00097656"));
	CHECK_INT(compare_bytes(buf_str(&x), buf_str(&z), &tol, &d), DIVERGED);
	CHECK(strstr(d.where, "x element 0: 1, then 1.0078125"));
	add_safetensors(&m, other, a, 4);
	(void)m; /* another number of members: not the same file */
	CHECK_INT(compare_bytes(buf_str(&x), buf_str(&m), &tol, &d), DIVERGED);
	buf_free(&x);
	buf_free(&y);
	buf_free(&z);
	buf_free(&m);
}

TESTS(T(test_run_compare__numbers), T(test_run_compare__series), T(test_run_compare__texts),
	T(test_run_compare__npy), T(test_run_compare__safetensors))
