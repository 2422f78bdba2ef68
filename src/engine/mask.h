/* Which tokens may come next, so that the text stays in a language (text/machine.h).
 *
 * A masker belongs to one tokenizer: a trie of all its tokens' bytes, and a cache of what was found
 * out; any number of threads may use it. A mask belongs to one sequence and one thread at a time.
 *
 *	struct masker *k;
 *	enum err e = masker_new(tk, vocab, 64 << 20, &k, et);
 *	struct mask *x;
 *	e = mask_new(k, language, &x, et);
 *	for (;;) {
 *		const uint64_t *allowed;
 *		e = mask_next(x, &allowed, et);          // never an empty set
 *		int32_t id = ... one of them
 *		if (tokenizer_is_end(tk, id))
 *			break;
 *		e = mask_take(x, id, &over, et);
 *		if (over)                                // nothing but the end is possible
 *			break;
 *	}
 *	mask_free(x);
 *	masker_free(k);
 *
 * Control tokens are never allowed, nor those of more than MACHINE_TOKEN_MAX bytes (runs of spaces
 *and dashes, which shorter ones can write); the tokens that end an answer are where the text may
 *end. A mask is the union over the matcher's stacks, and of a stack only its top cell is asked:
 *what tokens stay above the cell below (a bitmap), and at which places in the trie the top cell is
 *finished (then the rest of these tokens is tried with the real stack below). Both are cached by
 *the cell. */
#ifndef ENGINE_MASK_H
#define ENGINE_MASK_H
#include "engine/tokenizer.h"
#include "text/machine.h"

struct masker;
struct mask;

/* vocab: how many logits there are; at least the tokenizer's own size. The cache holds at most
 * cache_bytes (0: 64 MiB), the least recently used masks go first. */
enum err masker_new(const struct tokenizer *tk, size_t vocab, size_t cache_bytes,
	struct masker **out, struct errtext *et) MUST_CHECK;
void masker_free(struct masker *k); /* after its masks; accepts NULL */

struct masker_stats {
	uint64_t hits, misses; /* cells whose mask was known, or was not */
	uint64_t walks;        /* cells that are not worth caching */
	size_t cache_bytes, cache_entries;
	size_t trie_bytes, trie_nodes;
};
void masker_stats(struct masker *k, struct masker_stats *out);

/* ERR_INVALID: the language has no text. It must outlive the mask. */
enum err mask_new(struct masker *k, const struct language *l, struct mask **out,
	struct errtext *et) MUST_CHECK;
void mask_free(struct mask *x); /* accepts NULL */
/* Bit id % 64 of allowed[id / 64], for all of the vocabulary; valid until the next call. An error
 * when no token is left: the matcher gave up, or the vocabulary lacks the bytes. */
enum err mask_next(struct mask *x, const uint64_t **allowed, struct errtext *et) MUST_CHECK;
/* A token that mask_next allowed. *over: nothing but the end is possible. */
enum err mask_take(struct mask *x, int32_t id, bool *over, struct errtext *et) MUST_CHECK;
struct matcher *mask_matcher(struct mask *x);

static inline bool mask_has(const uint64_t *allowed, int32_t id)
{
	return allowed[id / 64] >> (id % 64) & 1;
}

#endif
