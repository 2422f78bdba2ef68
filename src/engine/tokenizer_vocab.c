/* The tables of a tokenizer, and how they are built. All that comes from a file is checked here. */
#include "engine/tokenizer_int.h"

#include <stdatomic.h>
#include <stdlib.h>
#include "base/hash.h"

struct tokenizer *tk_new(void)
{
	static atomic_uint serial;
	uc_init();
	struct tokenizer *tk = calloc(1, sizeof *tk);
	if (!tk)
		return NULL;
	tk->serial = atomic_fetch_add(&serial, 1) + 1;
	tk->unk = tk->bos = tk->eos = -1;
	for (int i = 0; i < 256; i++)
		tk->byte_id[i] = -1;
	return tk;
}

void tokenizer_free(struct tokenizer *tk)
{
	if (!tk)
		return;
	free(tk->piece);
	buf_free(&tk->text);
	free(tk->tab.slot);
	free(tk->pairs.slot);
	trie_free(&tk->words);
	trie_free(&tk->rest);
	free(tk->char_id);
	free(tk->added);
	trie_free(&tk->added_raw);
	trie_free(&tk->added_norm);
	free(tk->is_end);
	buf_free(&tk->charsmap);
	for (size_t i = 0; i < tk->n_strings; i++)
		free((char *)tk->strings[i].p);
	free(tk->strings);
	free(tk);
}

struct str tk_own(struct tokenizer *tk, struct str s)
{
	struct str *grown = realloc(tk->strings, (tk->n_strings + 1) * sizeof *grown);
	if (!grown)
		return (struct str){0};
	tk->strings = grown;
	char *copy = str_dup(s);
	if (!copy)
		return (struct str){0};
	tk->strings[tk->n_strings++] = str_mk(copy, s.n);
	return str_mk(copy, s.n);
}

enum err tk_piece(struct tokenizer *tk, uint32_t id, struct str text, enum piece_type type,
	double score, struct errtext *et)
{
	if (id >= VOCAB_MAX)
		return err_set(et, ERR_CORRUPT, "vocabulary: id %u is absurd", id);
	if (text.n > PIECE_MAX)
		return err_set(et, ERR_CORRUPT, "vocabulary: id %u is %zu bytes long", id, text.n);
	if (id >= tk->n) {
		/* The capacity is the next power of two above n, at least 1,024. */
		uint32_t cap = 1024, want = 1024;
		while (cap < tk->n)
			cap *= 2;
		while (want <= id)
			want *= 2;
		if (!tk->piece || want > cap) {
			struct piece *grown = realloc(tk->piece, want * sizeof *grown);
			if (!grown)
				return err_set(et, ERR_NOMEM, "vocabulary: out of memory");
			tk->piece = grown;
		}
		for (uint32_t i = tk->n; i <= id; i++)
			tk->piece[i] = (struct piece){.at = UINT32_MAX, .type = PIECE_UNUSED};
		tk->n = id + 1;
	}
	struct piece *p = &tk->piece[id];
	if (p->at != UINT32_MAX)
		return err_set(et, ERR_CORRUPT, "vocabulary: id %u is given twice", id);
	if (tk->text.n + text.n > UINT32_MAX / 2)
		return err_set(et, ERR_CORRUPT, "vocabulary: more than 2 GiB of text");
	*p = (struct piece){(uint32_t)tk->text.n, (uint32_t)text.n, score, (uint8_t)type, 0};
	buf_adds(&tk->text, text);
	if (tk->text.err)
		return err_set(et, tk->text.err, "vocabulary: out of memory");
	return OK;
}

struct str tk_text(const struct tokenizer *tk, uint32_t id)
{
	if (id >= tk->n || tk->piece[id].at == UINT32_MAX || !tk->text.p)
		return (struct str){"", 0};
	return str_mk(tk->text.p + tk->piece[id].at, tk->piece[id].n);
}

/* ---- from text to id ---- */

int32_t tk_lookup(const struct tokenizer *tk, struct str s)
{
	if (!tk->tab.slot)
		return -1;
	for (uint32_t i = (uint32_t)hash64(s);; i++) {
		uint32_t v = tk->tab.slot[i & tk->tab.mask];
		if (!v)
			return -1;
		if (str_eq(tk_text(tk, v - 1), s))
			return (int32_t)(v - 1);
	}
}

enum err tk_tab_build(struct tokenizer *tk, struct errtext *et)
{
	uint32_t cap = 16;
	while (cap < tk->n * 2)
		cap *= 2;
	free(tk->tab.slot);
	tk->tab.slot = calloc(cap, sizeof *tk->tab.slot);
	if (!tk->tab.slot)
		return err_set(et, ERR_NOMEM, "vocabulary: out of memory");
	tk->tab.mask = cap - 1;
	for (uint32_t id = 0; id < tk->n; id++) {
		if (!(tk->piece[id].flags & PIECE_LOOKUP))
			continue;
		struct str s = tk_text(tk, id);
		uint32_t i = (uint32_t)hash64(s);
		/* Two ids of one text: the lower one is found. */
		while (tk->tab.slot[i & tk->tab.mask] &&
			!str_eq(tk_text(tk, tk->tab.slot[i & tk->tab.mask] - 1), s))
			i++;
		if (!tk->tab.slot[i & tk->tab.mask])
			tk->tab.slot[i & tk->tab.mask] = id + 1;
	}
	return OK;
}

/* ---- merges ---- */

static uint64_t pair_hash(uint64_t key)
{
	key *= 0x9E3779B97F4A7C15u;
	return key ^ key >> 29;
}

enum err tk_pairs_reserve(struct tokenizer *tk, size_t n, struct errtext *et)
{
	if (n > MERGES_MAX)
		return err_set(et, ERR_CORRUPT, "merges: %zu of them are absurd", n);
	size_t cap = 16;
	while (cap < n * 2)
		cap *= 2;
	free(tk->pairs.slot);
	tk->pairs.slot = malloc(cap * sizeof *tk->pairs.slot);
	if (!tk->pairs.slot)
		return err_set(et, ERR_NOMEM, "merges: out of memory");
	for (size_t i = 0; i < cap; i++)
		tk->pairs.slot[i].key = UINT64_MAX;
	tk->pairs.mask = cap - 1;
	tk->pairs.n = 0;
	return OK;
}

/* The first of two equal merges counts. The caller has reserved room. */
static void pair_put(
	struct tokenizer *tk, uint32_t left, uint32_t right, uint32_t rank, uint32_t id)
{
	uint64_t key = (uint64_t)left << 32 | right, i = pair_hash(key);
	for (;; i++) {
		struct pair *p = &tk->pairs.slot[i & tk->pairs.mask];
		if (p->key == key)
			return;
		if (p->key == UINT64_MAX) {
			*p = (struct pair){key, rank, id};
			tk->pairs.n++;
			return;
		}
	}
}

enum err tk_merge(
	struct tokenizer *tk, struct str left, struct str right, uint32_t rank, struct errtext *et)
{
	int32_t l = tk_lookup(tk, left), r = tk_lookup(tk, right), m;
	if (l < 0 || r < 0)
		return err_set(et, ERR_CORRUPT, "merge %u: \"%.*s\" is not in the vocabulary", rank,
			(int)MIN(l < 0 ? left.n : right.n, 80u), l < 0 ? left.p : right.p);
	char both[256];
	struct buf big = {0};
	struct str s = {both, left.n + right.n};
	if (s.n > sizeof both) {
		buf_adds(&big, left);
		buf_adds(&big, right);
		if (big.err)
			return err_set(et, big.err, "merges: out of memory");
		s = buf_str(&big);
	} else {
		memcpy(both, left.p, left.n);
		memcpy(both + left.n, right.p, right.n);
	}
	m = tk_lookup(tk, s);
	buf_free(&big);
	if (m < 0)
		return err_set(et, ERR_CORRUPT,
			"merge %u: what \"%.*s\" and \"%.*s\" make is not in the "
			"vocabulary",
			rank, (int)MIN(left.n, 80u), left.p, (int)MIN(right.n, 80u), right.p);
	if (left.n == 0 || right.n == 0)
		return err_set(et, ERR_CORRUPT, "merge %u: of nothing", rank);
	pair_put(tk, (uint32_t)l, (uint32_t)r, rank, (uint32_t)m);
	return OK;
}

enum err tk_merges_from_vocab(struct tokenizer *tk, const uint32_t *rank, struct errtext *et)
{
	/* Twice over the vocabulary: count, then put. A piece of more than 512 bytes is not reached
	 * by merging; splitting it everywhere would cost its square. */
	size_t n = 0;
	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t id = 0; id < tk->n; id++) {
			struct str s = tk_text(tk, id);
			if (!(tk->piece[id].flags & PIECE_LOOKUP) || s.n > 512)
				continue;
			for (size_t cut = 1; cut < s.n; cut++) {
				int32_t l = tk_lookup(tk, str_sub(s, 0, cut));
				if (l < 0)
					continue;
				int32_t r = tk_lookup(tk, str_sub(s, cut, s.n));
				if (r < 0)
					continue;
				n++;
				if (pass)
					pair_put(tk, (uint32_t)l, (uint32_t)r, rank[id], id);
			}
		}
		if (!pass) {
			enum err e = tk_pairs_reserve(tk, n, et);
			if (e)
				return e;
		}
	}
	return OK;
}

/* ---- tries ---- */

static int entry_cmp(const void *a, const void *b)
{
	const struct trie_entry *x = a, *y = b;
	int c = str_cmp(x->s, y->s);
	return c ? c : (x->value > y->value) - (x->value < y->value);
}

struct trie_range {
	uint32_t lo, hi, depth, node;
};

/* Breadth first, so that the children of a node get places side by side. */
static bool trie_fill(struct trie *t, const struct trie_entry *e, uint32_t n, uint32_t cap)
{
	struct trie_range *queue = malloc((size_t)cap * sizeof *queue);
	if (!queue)
		return false;
	uint32_t head = 0, tail = 0;
	t->n = 1;
	t->node[0] = (struct trie_node){.value = -1};
	queue[tail++] = (struct trie_range){0, n, 0, 0};
	while (head < tail) {
		struct trie_range r = queue[head++];
		while (r.lo < r.hi && e[r.lo].s.n == r.depth) {
			if (t->node[r.node].value < 0)
				t->node[r.node].value = e[r.lo].value;
			r.lo++;
		}
		t->node[r.node].first = t->n;
		while (r.lo < r.hi) {
			uint8_t byte = (uint8_t)e[r.lo].s.p[r.depth];
			uint32_t end = r.lo;
			while (end < r.hi && (uint8_t)e[end].s.p[r.depth] == byte)
				end++;
			t->node[t->n] = (struct trie_node){.value = -1, .byte = byte};
			t->node[r.node].n++;
			if (r.node == 0)
				t->root[byte] = t->n;
			queue[tail++] = (struct trie_range){r.lo, end, r.depth + 1, t->n};
			t->n++;
			r.lo = end;
		}
	}
	free(queue);
	return true;
}

enum err trie_build(struct trie *t, struct trie_entry *e, size_t n, struct errtext *et)
{
	qsort(e, n, sizeof *e, entry_cmp);
	/* Each entry adds as many nodes as it has bytes beyond what it shares with the one before.
	 */
	size_t nodes = 1;
	for (size_t i = 0; i < n; i++) {
		size_t same = 0;
		while (i && same < e[i].s.n && same < e[i - 1].s.n &&
			e[i].s.p[same] == e[i - 1].s.p[same])
			same++;
		nodes += e[i].s.n - same;
	}
	if (nodes > 1u << 28)
		return err_set(et, ERR_CORRUPT, "vocabulary: more than 256 Mi of letters");
	*t = (struct trie){.node = malloc(nodes * sizeof *t->node)};
	if (!t->node || !trie_fill(t, e, (uint32_t)n, (uint32_t)nodes)) {
		trie_free(t);
		return err_set(et, ERR_NOMEM, "vocabulary: out of memory");
	}
	return OK;
}

void trie_free(struct trie *t)
{
	free(t->node);
	*t = (struct trie){0};
}

/* ---- added tokens ---- */

enum err tk_add_added(struct tokenizer *tk, const struct added *a, struct errtext *et)
{
	if ((tk->n_added & (tk->n_added - 1)) == 0) {
		size_t cap = tk->n_added ? tk->n_added * 2 : 1;
		struct added *grown = realloc(tk->added, cap * sizeof *grown);
		if (!grown)
			return err_set(et, ERR_NOMEM, "vocabulary: out of memory");
		tk->added = grown;
	}
	tk->added[tk->n_added++] = *a;
	return OK;
}

static enum err added_trie(struct tokenizer *tk, const uint8_t *normalised, bool want,
	struct trie *t, struct errtext *et)
{
	struct trie_entry *e = calloc(tk->n_added + 1, sizeof *e);
	if (!e)
		return err_set(et, ERR_NOMEM, "vocabulary: out of memory");
	size_t n = 0;
	for (size_t i = 0; i < tk->n_added; i++) {
		struct str s = tk_text(tk, (uint32_t)tk->added[i].id);
		if (s.n && (normalised && normalised[i]) == want) {
			e[n++] = (struct trie_entry){s, (int32_t)i};
			tk->added_first[(uint8_t)s.p[0]] |= want ? 2 : 1;
		}
	}
	enum err err = n ? trie_build(t, e, n, et) : OK;
	free(e);
	return err;
}

/* What ends a turn or a text in the vocabularies in use, beside the EOS that the metadata names. */
static const char *const end_texts[] = {"<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>",
	"<|endoftext|>", "<|end_of_text|>", "<|eom_id|>", "<EOT>", "<|EOT|>", "<|end_of_sentence|>",
	"<|end\xE2\x96\x81of\xE2\x96\x81sentence|>",
	"<\xEF\xBD\x9C"
	"end\xE2\x96\x81of\xE2\x96\x81"
	"sentence\xEF\xBD\x9C>",
	"<end_of_utterance>", "<|END_OF_TURN_TOKEN|>", "<|endofturn|>", "<|end_of_turn|>",
	"<|return|>", "<|call|>", "<|eot|>", "</s>"};

/* Where an answer is several messages (Harmony) this ends each, and others the answer. */
static bool ends_a_part(const struct tokenizer *tk, struct str piece)
{
	unsigned found = 0;
	for (size_t i = 0; i < tk->n_added && str_eq_c(piece, "<|end|>"); i++) {
		struct str s = tk_text(tk, (uint32_t)tk->added[i].id);
		found |= str_eq_c(s, "<|channel|>") ? 1u : str_eq_c(s, "<|call|>") ? 2u : 0u;
	}
	return found == 3;
}

/* SentencePiece's BPE merges over a whole text. Where no merge joins something that does not end in
 * U+2581 with something that begins with it, the words between are independent: cutting there gives
 * the same tokens, and words that the cache knows. */
static void cut_at_marks(struct tokenizer *tk)
{
	struct str mark = S("\xE2\x96\x81");
	if (tk->model != TK_BPE || tk->byte_level || !tk->pairs.slot || tk_lookup(tk, mark) < 0)
		return;
	for (uint64_t i = 0; i <= tk->pairs.mask; i++) {
		uint64_t key = tk->pairs.slot[i].key;
		if (key != UINT64_MAX && !str_ends(tk_text(tk, (uint32_t)(key >> 32)), mark) &&
			str_starts(tk_text(tk, (uint32_t)key), mark))
			return;
	}
	tk_stage(tk, ST_MARKS);
}

enum err tk_finish(struct tokenizer *tk, const uint8_t *normalised, struct errtext *et)
{
	if (tk->n == 0)
		return err_set(et, ERR_CORRUPT, "the vocabulary is empty");
	if (!tk->n_ids)
		tk->n_ids = tk->n;
	cut_at_marks(tk);
	enum err e = added_trie(tk, normalised, false, &tk->added_raw, et);
	e = e ? e : added_trie(tk, normalised, true, &tk->added_norm, et);
	if (e)
		return e;
	tk->is_end = calloc(tk->n, 1);
	if (!tk->is_end)
		return err_set(et, ERR_NOMEM, "vocabulary: out of memory");
	if (tk->eos >= 0 && (uint32_t)tk->eos < tk->n)
		tk->is_end[tk->eos] = 1;
	for (size_t i = 0; i < tk->n_added; i++)
		for (size_t k = 0; k < ARRAY_LEN(end_texts); k++) {
			struct str s = tk_text(tk, (uint32_t)tk->added[i].id);
			if (tk->added[i].special && str_eq_c(s, end_texts[k]))
				tk->is_end[tk->added[i].id] = !ends_a_part(tk, s);
		}
	return OK;
}

/* ---- spellings ---- */

/* GPT-2 writes each byte as one visible letter: those that are visible as themselves, the others
 * from U+0100 on. */
static int byte_of_letter(uint32_t cp)
{
	static int16_t table[0x144];
	static atomic_bool ready;
	if (!atomic_load_explicit(&ready, memory_order_acquire)) {
		int16_t t[0x144];
		memset(t, -1, sizeof t);
		int next = 0x100;
		for (int b = 0; b < 256; b++) {
			bool visible =
				(b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
			t[visible ? b : next++] = (int16_t)b;
		}
		for (size_t i = 0; i < ARRAY_LEN(t); i++)
			__atomic_store_n(&table[i], t[i], __ATOMIC_RELAXED);
		atomic_store_explicit(&ready, true, memory_order_release);
	}
	return cp < ARRAY_LEN(table) ? __atomic_load_n(&table[cp], __ATOMIC_RELAXED) : -1;
}

bool tk_unspell_bytes(struct str s, struct buf *out)
{
	buf_clear(out);
	for (size_t i = 0, len; i < s.n; i += len) {
		int b = byte_of_letter(cp_at(s.p, i, s.n, &len));
		if (b < 0)
			return false;
		buf_putc(out, (char)b);
	}
	return !out->err;
}

bool tk_unspell_hex(struct str s, unsigned char *byte)
{
	uint8_t b;
	if (s.n != 6 || memcmp(s.p, "<0x", 3) != 0 || s.p[5] != '>' ||
		!hex_decode(str_sub(s, 3, 5), &b, 1))
		return false;
	*byte = b;
	return true;
}
