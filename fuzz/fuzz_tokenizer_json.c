/* tokenizer.json from outside, then a text from outside encoded with it: the bytes up to the first
 * NUL are the file, the rest the text. What must hold: no id outside the vocabulary, offsets in
 * order within the text, and a second encoding (through the word cache) that equals the first. */
#include "engine/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode(const struct tokenizer *tk, struct str text, unsigned flags)
{
	struct tokens t = {0}, again = {0};
	struct buf back = {0};
	enum err e = tokenizer_encode(tk, text, flags, &t, NULL);
	if (!e && tokenizer_encode(tk, text, flags & ~(unsigned)TOKENIZE_OFFSETS, &again, NULL) ==
			  OK) {
		if (t.n != again.n || (t.n && memcmp(t.id, again.id, t.n * sizeof *t.id) != 0))
			__builtin_trap();
		for (size_t i = 0; i < t.n; i++) {
			if (t.id[i] < 0 || (size_t)t.id[i] >= tokenizer_vocab_size(tk))
				__builtin_trap();
			if (t.from && (t.from[i] > t.to[i] || t.to[i] > text.n))
				__builtin_trap();
		}
		if (tokenizer_decode(tk, t.id, t.n, true, &back))
			__builtin_trap();
		struct detok d = {.tk = tk};
		for (size_t i = 0; i < t.n; i++)
			if (!utf8_valid(detok_add(&d, t.id[i])))
				__builtin_trap();
		if (!utf8_valid(detok_end(&d)))
			__builtin_trap();
		detok_free(&d);
	}
	buf_free(&back);
	tokens_free(&t);
	tokens_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_mk(data, size), json = in, text = in;
	size_t nul = str_chr(in, 0);
	if (nul != STR_NONE) {
		json = str_sub(in, 0, nul);
		text = str_sub(in, nul + 1, in.n);
	}
	struct errtext et = {0};
	struct tokenizer *tk;
	if (tokenizer_from_json(
		    json, S("{\"eos_token\":\"a\",\"chat_template\":\"x\"}"), &tk, &et)) {
		if (!et.msg[0])
			__builtin_trap();
		return 0;
	}
	encode(tk, text, TOKENIZE_OFFSETS | TOKENIZE_SPECIAL | TOKENIZE_ADD_SPECIAL);
	encode(tk, text, TOKENIZE_OFFSETS);
	(void)tokenizer_find(tk, str_sub(text, 0, 8));
	tokenizer_free(tk);
	return 0;
}
