/* The test harness. A test file lists its tests in one table; each runs in its own process with a
 * time limit, so that a crash or a hang is one failed test. Output is TAP.
 *
 *	static void test_base_str__trims(void)
 *	{
 *		CHECK(str_eq_c(str_trim(S(" a ")), "a"));
 *	}
 *	TESTS(T(test_base_str__trims), ...)
 *
 * CHECK_* fail the test and say where and what; they return from it. CROFT_TEST_FILTER=text runs
 * only the tests whose name contains the text. A test may SKIP("why") when something that it
 * needs from outside (shared data, a model) is absent. */
#ifndef TESTS_TAP_H
#define TESTS_TAP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/str.h"

struct tap_test {
	const char *name;
	void (*fn)(void);
	unsigned timeout_s; /* 0: 60 */
};

int tap_main(const struct tap_test *tests, size_t n, int argc, char **argv);
void tap_fail(const char *file, int line, const char *fmt, ...) PRINTF_LIKE(3, 4)
	__attribute__((noreturn));
void tap_skip(const char *fmt, ...) PRINTF_LIKE(1, 2) __attribute__((noreturn));
void tap_note(const char *fmt, ...) PRINTF_LIKE(1, 2); /* a "# ..." line */
/* A fresh folder for this test, removed when it passes. */
const char *tap_tmpdir(void);
/* $CROFT_SHARED_DATA/rel or, without the variable, ../shared/data/rel beside the checkout; skips
 * the test when it is not there. The result is valid until the test ends. */
const char *tap_shared(const char *rel);
/* A file of the repository (golden data): CROFT_SOURCE_ROOT/rel. */
const char *tap_source(const char *rel);
/* A default model's path below $CROFT_TEST_MODELS (build/models by default); skips when absent. */
const char *tap_model(const char *rel);
/* The URL of an empty schema on a PostgreSQL server that is there for tests ($CROFT_TEST_PG_URL,
 * which tests/pg.py sets); skips the test when there is none. */
const char *tap_pg_url(void);
/* xz -dc of a file into memory, malloc'ed. */
struct str tap_unxz(const char *path);

#define T(fn)              \
	{                  \
#fn, fn, 0 \
	}
#define T_LONG(fn, seconds)      \
	{                        \
#fn, fn, seconds \
	}
#define TESTS(...)                                                                  \
	int main(int argc, char **argv)                                             \
	{                                                                           \
		static const struct tap_test tests[] = {__VA_ARGS__};               \
		return tap_main(tests, sizeof tests / sizeof tests[0], argc, argv); \
	}

#define SKIP(...) tap_skip(__VA_ARGS__)
#define FAIL(...) tap_fail(__FILE__, __LINE__, __VA_ARGS__)
#define CHECK(cond)                        \
	do {                               \
		if (!(cond))               \
			FAIL("%s", #cond); \
	} while (0)
#define CHECK_INT(got, want)                                             \
	do {                                                             \
		long long g_ = (long long)(got), w_ = (long long)(want); \
		if (g_ != w_)                                            \
			FAIL("%s is %lld, not %lld", #got, g_, w_);      \
	} while (0)
#define CHECK_STR(got, want)                                                                    \
	do {                                                                                    \
		struct str gs_ = (got), ws_ = str_c(want);                                      \
		if (!str_eq(gs_, ws_))                                                          \
			FAIL("%s is \"%.*s\", not \"%.*s\"", #got, STR_FMT(gs_), STR_FMT(ws_)); \
	} while (0)
#define CHECK_NEAR(got, want, tolerance)                                                  \
	do {                                                                              \
		double g_ = (double)(got), w_ = (double)(want), t_ = (double)(tolerance); \
		if (!(g_ - w_ <= t_ && w_ - g_ <= t_))                                    \
			FAIL("%s is %.9g, not %.9g (tolerance %g)", #got, g_, w_, t_);    \
	} while (0)
/* The call succeeded; otherwise shows the errtext named et. */
#define CHECK_OK(call, et)                                                         \
	do {                                                                       \
		enum err e_ = (call);                                              \
		if (e_)                                                            \
			FAIL("%s: %s: %s", #call, err_word(e_), err_text(e_, et)); \
	} while (0)
#define CHECK_ERR(call, want)                                                        \
	do {                                                                         \
		enum err e_ = (call), w_ = (want);                                   \
		if (e_ != w_)                                                        \
			FAIL("%s is %s, not %s", #call, err_word(e_), err_word(w_)); \
	} while (0)

#endif
