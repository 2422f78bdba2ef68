/* Tokenizers: byte-level BPE (with the pre-tokenisers that GGUF names), SentencePiece BPE and
 * unigram, WordPiece; read from GGUF metadata or from tokenizer.json. A tokenizer is immutable
 * after it is made, and any number of threads may use it.
 *
 *	struct tokens t = {0};
 *	enum err e = tokenizer_encode(tk, text, TOKENIZE_SPECIAL, &t, et);
 *	tokens_free(&t);
 *
 * Encoding never truncates. Decoding gives bytes; a token may be part of a code point, so stream
 * through a struct detok, which holds incomplete UTF-8 back. */
#ifndef ENGINE_TOKENIZER_H
#define ENGINE_TOKENIZER_H
#include "base/str.h"

struct tokenizer;
struct gguf;

struct tokens {
	int32_t *id;
	/* The half-open byte range of the input that each token came from; NULL unless
	 * TOKENIZE_OFFSETS was asked for. */
	uint32_t *from, *to;
	size_t n, cap;
};

enum tokenize_flags {
	TOKENIZE_ADD_SPECIAL = 1, /* BOS/EOS, [CLS]/[SEP] as the model's own settings say */
	TOKENIZE_SPECIAL = 2,     /* control tokens written in the text become those tokens */
	TOKENIZE_OFFSETS = 4,
};

enum err tokenizer_from_gguf(const struct gguf *g, struct tokenizer **out, struct errtext *et);
/* tokenizer.json (Hugging Face); config may be {NULL, 0} or tokenizer_config.json's text. */
enum err tokenizer_from_json(struct str tokenizer_json, struct str config_json,
	struct tokenizer **out, struct errtext *et);
void tokenizer_free(struct tokenizer *tk);

enum { TOKENIZER_BETWEEN_MAX = 8 };
/* The special tokens between two texts that are read as one; how many, 0: it does not say. */
unsigned tokenizer_between(const struct tokenizer *tk, int32_t out[TOKENIZER_BETWEEN_MAX]);

/* Appends to out. */
enum err tokenizer_encode(const struct tokenizer *tk, struct str text, unsigned flags,
	struct tokens *out, struct errtext *et) MUST_CHECK;
void tokens_free(struct tokens *t);

/* The bytes of one token as the model's text (control tokens: nothing unless `special`). */
void tokenizer_piece(const struct tokenizer *tk, int32_t id, bool special, struct buf *out);
enum err tokenizer_decode(
	const struct tokenizer *tk, const int32_t *ids, size_t n, bool special, struct buf *out);

size_t tokenizer_vocab_size(const struct tokenizer *tk);
int32_t tokenizer_find(const struct tokenizer *tk, struct str piece); /* -1: no such token */
int32_t tokenizer_bos(const struct tokenizer *tk);                    /* -1: none */
int32_t tokenizer_eos(const struct tokenizer *tk);
bool tokenizer_is_end(const struct tokenizer *tk, int32_t id); /* any end-of-generation token */
bool tokenizer_is_control(const struct tokenizer *tk, int32_t id);
/* One space at the very beginning of a text is taken away when it is decoded. */
bool tokenizer_strips_space(const struct tokenizer *tk);
const char *tokenizer_kind(const struct tokenizer *tk); /* "bpe/qwen2", "wordpiece", ... */
/* The chat template in the tokenizer's own metadata, or {NULL, 0}. Borrowed. */
struct str tokenizer_chat_template(const struct tokenizer *tk);

/* Streaming decoder for one sequence. detok_add returns the bytes that are complete now (borrowed
 * until the next call); detok_end what is left, malformed bytes as U+FFFD. */
struct detok {
	const struct tokenizer *tk;
	struct buf held, out;
	bool started;
};
struct str detok_add(struct detok *d, int32_t id);
struct str detok_end(struct detok *d);
void detok_free(struct detok *d);

#endif
