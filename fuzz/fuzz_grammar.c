/* A grammar from outside and a text to read with it: the bytes up to the first NUL are GBNF, the
 * rest is fed to the matcher. What the matcher keeps must be completable, and what it refuses must
 * leave it as it was. */
#include "text/grammar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Some end within a few thousand bytes, going wherever it goes first. */
static void follow(struct matcher *m)
{
	char forced[16];
	for (unsigned i = 0; i < 64 && !matcher_may_end(m); i++) {
		size_t n = matcher_forced(m, forced, sizeof forced), k = 0;
		if (n && !matcher_take(m, forced, n))
			__builtin_trap();
		if (n || matcher_may_end(m))
			continue;
		for (; k < 256; k++) {
			char byte = (char)(uint8_t)(i * 37 + k);
			if (matcher_take(m, &byte, 1))
				break;
		}
		if (k == 256 && !matcher_status(m, NULL))
			__builtin_trap();
		if (k == 256)
			return;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_mk(data, size), source = in, text = S("");
	size_t nul = str_chr(in, 0);
	if (nul != STR_NONE) {
		source = str_sub(in, 0, nul);
		text = str_sub(in, nul + 1, in.n);
	}
	struct errtext et = {0};
	struct grammar *g;
	struct matcher *m;
	if (grammar_gbnf(source, &g, &et)) {
		if (!et.msg[0] || !utf8_valid(str_c(et.msg)))
			__builtin_trap();
		return 0;
	}
	if (matcher_new(grammar_language(g), &m, &et) == OK) {
		for (size_t i = 0; i < text.n; i++) {
			size_t before, after;
			matcher_stacks(m, &before);
			bool took = matcher_take(m, text.p + i, 1);
			matcher_stacks(m, &after);
			if (!after || (!took && after != before))
				__builtin_trap();
			if (!took)
				break;
		}
		follow(m);
		matcher_free(m);
	}
	grammar_free(g);
	return 0;
}
