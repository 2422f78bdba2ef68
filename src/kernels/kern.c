/* Which table: the CPU's features (cpuid, and xgetbv for what the system saves), the build, and
 * CROFT_KERNELS. Compiled without any instruction-set flag. */
#include "kernels/kern_int.h"

#include <stdlib.h>
#if defined KERN_HAVE_AVX2
#include <cpuid.h>
#endif

const struct kern *kern = &kern_generic;
const struct leaves *leaves = &leaves_generic;
const struct leaves_bf16 *bf16;

static const char *lacks_nothing(void)
{
	return NULL;
}

#if defined KERN_HAVE_AVX2
struct feature {
	unsigned leaf, reg, bit; /* reg: 0 a, 1 b, 2 c, 3 d */
	const char *reason;
};

/* xcr0 bits: 1 SSE, 2 AVX; 5..7 the AVX-512 state. */
static const char *lacks(const struct feature *f, size_t n, uint64_t xcr0)
{
	for (size_t i = 0; i < n; i++) {
		unsigned r[4] = {0};
		if (!__get_cpuid_count(f[i].leaf, 0, &r[0], &r[1], &r[2], &r[3]) ||
			!(r[f[i].reg] >> f[i].bit & 1))
			return f[i].reason;
	}
	unsigned lo, hi; /* OSXSAVE is set: it stands in every list */
	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	if ((lo & xcr0) != xcr0)
		return "the operating system does not save the vector registers";
	return NULL;
}

#define AVX2_FEATURES                                                              \
	{1, 2, 27, "the CPU lacks osxsave"}, {1, 2, 28, "the CPU lacks avx"},      \
		{1, 2, 12, "the CPU lacks fma"}, {1, 2, 29, "the CPU lacks f16c"}, \
	{                                                                          \
		7, 1, 5, "the CPU lacks avx2"                                      \
	}

static const char *lacks_avx2(void)
{
	static const struct feature f[] = {AVX2_FEATURES};
	return lacks(f, ARRAY_LEN(f), 0x6);
}

static const char *lacks_avx512(void)
{
	static const struct feature f[] = {AVX2_FEATURES, {7, 1, 16, "the CPU lacks avx512f"},
		{7, 1, 30, "the CPU lacks avx512bw"}, {7, 1, 17, "the CPU lacks avx512dq"},
		{7, 1, 31, "the CPU lacks avx512vl"}, {7, 2, 11, "the CPU lacks avx512_vnni"}};
	return lacks(f, ARRAY_LEN(f), 0xe6);
}

static const char *lacks_bf16(void)
{
	unsigned a = 0, b, c, d;
	const char *why = lacks_avx512();
	if (!why && (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || !(a >> 5 & 1)))
		why = "the CPU lacks avx512_bf16";
	return why;
}
#endif

/* Best first. To add a table: a file with its flags in meson.build, a probe and a row here. */
static const struct {
	const char *name;
	const struct kern *kern;
	const struct leaves *leaves;
	const char *(*lacks)(void);
	const struct leaves_bf16 *bf16;
} tables[] = {
#if defined KERN_HAVE_AVX512BF16
	{"avx512bf16", &kern_avx512, &leaves_avx512, lacks_bf16, &bf16_avx512},
#endif
#if defined KERN_HAVE_AVX512
	{"avx512", &kern_avx512, &leaves_avx512, lacks_avx512, NULL},
#endif
#if defined KERN_HAVE_AVX2
	{"avx2", &kern_avx2, &leaves_avx2, lacks_avx2, NULL},
#endif
	{"generic", &kern_generic, &leaves_generic, lacks_nothing, NULL},
};

const char *kern_unavailable(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(tables); i++)
		if (!strcmp(tables[i].name, name))
			return tables[i].lacks();
	return "this build has no such kernels";
}

enum err kern_use(const char *name, struct errtext *et)
{
	const char *why = kern_unavailable(name);
	if (why)
		return err_set(et, ERR_UNSUPPORTED, "kernels \"%s\" cannot be used: %s", name, why);
	for (size_t i = 0; i < ARRAY_LEN(tables); i++)
		if (!strcmp(tables[i].name, name)) {
			kern = tables[i].kern;
			leaves = tables[i].leaves;
			bf16 = tables[i].bf16;
		}
	return OK;
}

enum err kern_init(struct errtext *et)
{
	const char *want = getenv("CROFT_KERNELS");
	if (want && *want) {
		enum err e = kern_use(want, et);
		return e ? err_wrap(et, e, "CROFT_KERNELS") : OK;
	}
	for (size_t i = 0; i < ARRAY_LEN(tables); i++)
		if (!tables[i].lacks())
			return kern_use(tables[i].name, et);
	return OK;
}

/* Everybody has the best from the beginning: a server may search for days before it opens a model.
 * What CROFT_KERNELS has wrong is said by kern_init. */
__attribute__((constructor)) static void begin(void)
{
	struct errtext et;
	(void)!kern_init(&et);
}
