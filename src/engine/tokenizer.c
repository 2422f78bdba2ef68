/* Tokenizers: the public face. Added tokens, the chain of stages, the word cache, decoding. */
#include "engine/tokenizer_int.h"

#include <pthread.h>
#include <stdlib.h>

/* ---- the word cache: one per thread, of all its tokenizers ---- */

enum { CACHE_SLOTS = 8192, CACHE_KEY = 27, CACHE_IDS = 7 };

struct word_entry {
	union {
		struct {
			char word[CACHE_KEY];
			uint8_t len;
			uint32_t serial; /* of the tokenizer; 0: free */
		} k;
		uint64_t w[4];
	};
	int32_t id[CACHE_IDS];
	uint32_t n;
};

struct word_cache {
	struct word_entry slot[CACHE_SLOTS];
};

static pthread_key_t cache_key;
static bool cache_have_key;

static void cache_make_key(void)
{
	cache_have_key = pthread_key_create(&cache_key, free) == 0;
}

/* NULL is a fine answer: then nothing is cached. */
static struct word_cache *cache_of_thread(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, cache_make_key);
	if (!cache_have_key)
		return NULL;
	struct word_cache *c = pthread_getspecific(cache_key);
	if (!c) {
		c = calloc(1, sizeof *c);
		if (c && pthread_setspecific(cache_key, c)) {
			free(c);
			c = NULL;
		}
	}
	return c;
}

/* ---- output ---- */

static bool tokens_grow(struct enc *e)
{
	struct tokens *t = e->out;
	size_t cap = MAX(t->cap * 2, 64);
	int32_t *id = realloc(t->id, cap * sizeof *id);
	if (!id)
		goto no_memory;
	t->id = id;
	if (e->flags & TOKENIZE_OFFSETS || t->from) {
		uint32_t *from = realloc(t->from, cap * sizeof *from);
		if (from)
			t->from = from;
		uint32_t *to = realloc(t->to, cap * sizeof *to);
		if (to)
			t->to = to;
		if (!from || !to)
			goto no_memory;
	}
	t->cap = cap;
	return true;
no_memory:
	e->err = ERR_NOMEM;
	return false;
}

void enc_token(struct enc *e, int32_t id, const struct view *v, size_t from, size_t to)
{
	struct tokens *t = e->out;
	if (t->n == t->cap && !tokens_grow(e))
		return;
	t->id[t->n] = id;
	if (t->from) {
		t->from[t->n] = view_from(v, from);
		t->to[t->n] = MAX(view_to(v, to), t->from[t->n]);
	}
	t->n++;
}

void *enc_syms(struct enc *e, size_t bytes)
{
	if (bytes > e->syms_cap) {
		free(e->syms);
		e->syms_cap = 0;
		e->syms = malloc(bytes * 2);
		if (!e->syms) {
			e->err = ERR_NOMEM;
			return NULL;
		}
		e->syms_cap = bytes * 2;
	}
	return e->syms;
}

/* ---- words ---- */

static void model_run(struct enc *e, const struct view *v)
{
	switch (e->tk->model) {
	case TK_BPE:
		enc_bpe(e, v);
		return;
	case TK_UNIGRAM:
		enc_unigram(e, v);
		return;
	case TK_WORDPIECE:
		enc_wordpiece(e, v);
		return;
	}
}

static void cache_put(struct enc *e, struct word_entry *at, const struct word_entry *key, size_t n0)
{
	size_t n = e->out->n - n0;
	if (e->err || n > CACHE_IDS)
		return;
	/* The length of an unknown token is not that of its piece. */
	for (size_t i = 0; i < n && n > 1; i++)
		if (e->out->id[n0 + i] == e->tk->unk)
			return;
	*at = *key;
	at->n = (uint32_t)n;
	if (n)
		memcpy(at->id, e->out->id + n0, n * sizeof *at->id);
}

void enc_model(struct enc *e, const struct view *v)
{
	if (v->n == 0)
		return;
	if (!e->cache || v->n > CACHE_KEY) {
		model_run(e, v);
		return;
	}
	struct word_entry key = {.k = {.len = (uint8_t)v->n, .serial = e->tk->serial}};
	memcpy(key.k.word, v->p, v->n);
	uint64_t h = (key.w[0] ^ key.w[3]) * 0x9E3779B97F4A7C15u;
	h = (h ^ h >> 31 ^ key.w[1]) * 0xBF58476D1CE4E5B9u;
	h = (h ^ h >> 31 ^ key.w[2]) * 0x94D049BB133111EBu;
	struct word_entry *at = &e->cache->slot[(h ^ h >> 32) % CACHE_SLOTS];
	if (memcmp(at->w, key.w, sizeof key.w) != 0) {
		size_t n0 = e->out->n;
		model_run(e, v);
		cache_put(e, at, &key, n0);
		return;
	}
	size_t from = 0;
	for (uint32_t i = 0; i < at->n; i++) {
		size_t to = at->n == 1 ? v->n : from + e->tk->piece[at->id[i]].n;
		enc_token(e, at->id[i], v, from, to);
		from = to;
	}
}

/* ---- added tokens ---- */

static bool word_before(const struct view *v, size_t i)
{
	size_t k = i, len;
	while (k && i - k < 4) {
		k--;
		if (((unsigned char)v->p[k] & 0xC0) != 0x80)
			break;
	}
	return k < i && uc(cp_at(v->p, k, v->n, &len)) & UC_WORD;
}

static size_t space_before(const struct view *v, size_t i, size_t floor_at)
{
	while (i > floor_at) {
		size_t k = i - 1, len;
		while (k > floor_at && ((unsigned char)v->p[k] & 0xC0) == 0x80)
			k--;
		if (!(uc(cp_at(v->p, k, v->n, &len)) & UC_SPACE))
			break;
		i = k;
	}
	return i;
}

static const struct added *added_at(
	const struct enc *e, const struct trie *t, const struct view *v, size_t i, size_t *end)
{
	const struct added *best = NULL;
	uint32_t at = 0;
	size_t len;
	for (size_t k = i; k < v->n; k++) {
		at = trie_step(t, at, (unsigned char)v->p[k]);
		if (!at)
			break;
		int32_t value = t->node[at].value;
		if (value < 0)
			continue;
		const struct added *a = &e->tk->added[value];
		if (a->special && !(e->flags & TOKENIZE_SPECIAL))
			continue;
		best = a;
		*end = k + 1;
	}
	if (best && best->single_word &&
		(word_before(v, i) || (*end < v->n && uc(cp_at(v->p, *end, v->n, &len)) & UC_WORD)))
		return NULL;
	return best;
}

/* Leftmost, longest. What stands between goes on to the stage `next`. */
static void enc_added(
	struct enc *e, const struct trie *t, unsigned bit, unsigned next, const struct view *v)
{
	size_t done = 0, end, len;
	for (size_t i = 0; t->node && i < v->n && !e->err; i++) {
		if (!(e->tk->added_first[(unsigned char)v->p[i]] & bit))
			continue;
		const struct added *a = added_at(e, t, v, i, &end);
		if (!a)
			continue;
		size_t from = a->lstrip ? space_before(v, i, done) : i;
		while (a->rstrip && end < v->n && uc(cp_at(v->p, end, v->n, &len)) & UC_SPACE)
			end += len;
		if (from > done)
			enc_run(e, next, view_sub(v, done, from));
		enc_token(e, a->id, v, from, end);
		done = end;
		i = end - 1;
	}
	if (done < v->n)
		enc_run(e, next, view_sub(v, done, v->n));
}

void enc_run(struct enc *e, unsigned stage, struct view v)
{
	for (; stage < e->tk->n_stages && !e->err; stage++) {
		if (v.n == 0)
			return;
		if (e->tk->stage[stage].kind == ST_ADDED) {
			if (!e->tk->added_norm.node)
				continue;
			enc_added(e, &e->tk->added_norm, 2, stage + 1, &v);
			return;
		}
		if (!enc_normalise(e, stage, &v)) {
			enc_split(e, stage, &v);
			return;
		}
	}
	if (!e->err)
		enc_model(e, &v);
}

enum err tokenizer_encode(const struct tokenizer *tk, struct str text, unsigned flags,
	struct tokens *out, struct errtext *et)
{
	if (text.n > TEXT_MAX)
		return err_set(et, ERR_TOO_LARGE,
			"a text of %zu bytes; at most %d can be tokenized at once", text.n,
			TEXT_MAX);
	struct enc e = {.tk = tk, .flags = flags, .out = out, .cache = cache_of_thread()};
	size_t n0 = out->n;
	struct view v = {text.p ? text.p : "", text.n, NULL, 0, true};
	if (flags & TOKENIZE_OFFSETS && !out->from && out->cap) {
		/* The earlier tokens came without offsets. */
		out->from = calloc(out->cap, sizeof *out->from);
		out->to = calloc(out->cap, sizeof *out->to);
		if (!out->from || !out->to)
			e.err = ERR_NOMEM;
	}
	for (unsigned i = 0; flags & TOKENIZE_ADD_SPECIAL && i < tk->n_before; i++)
		enc_token(&e, tk->before[i], &v, 0, 0);
	if (!e.err)
		enc_added(&e, &tk->added_raw, 1, 0, &v);
	for (unsigned i = 0; flags & TOKENIZE_ADD_SPECIAL && i < tk->n_after; i++)
		enc_token(&e, tk->after[i], &v, text.n, text.n);
	for (unsigned i = 0; i < tk->n_stages; i++) {
		free(e.sc[i].p);
		free(e.sc[i].map);
	}
	free(e.syms);
	if (e.err) {
		out->n = n0;
		return err_set(et, e.err, "tokenizing %zu bytes: %s", text.n, err_sentence(e.err));
	}
	return OK;
}

void tokens_free(struct tokens *t)
{
	free(t->id);
	free(t->from);
	free(t->to);
	*t = (struct tokens){0};
}

/* ---- decoding ---- */

bool tokenizer_is_control(const struct tokenizer *tk, int32_t id)
{
	return id >= 0 && (uint32_t)id < tk->n_ids &&
	       (tk->piece[id].type == PIECE_CONTROL || tk->piece[id].type == PIECE_UNKNOWN);
}

void tokenizer_piece(const struct tokenizer *tk, int32_t id, bool special, struct buf *out)
{
	if (id < 0 || (uint32_t)id >= tk->n_ids || (!special && tokenizer_is_control(tk, id)))
		return;
	struct str s = tk_text(tk, (uint32_t)id);
	if (!tk->dec_spm_space || tk->piece[id].type == PIECE_BYTE) {
		buf_adds(out, s);
		return;
	}
	for (size_t at; (at = str_find(s, S("\xE2\x96\x81"))) != STR_NONE;) {
		buf_adds(out, str_sub(s, 0, at));
		buf_putc(out, ' ');
		s = str_sub(s, at + 3, s.n);
	}
	buf_adds(out, s);
}

/* The reference's mending of English after WordPiece: no space before these. */
static void wordpiece_cleanup(struct buf *b, size_t from)
{
	static const char *const tight[] = {".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re"};
	struct buf copy = {0};
	buf_add(&copy, b->p + from, b->n - from);
	b->n = from;
	for (size_t i = 0; i < copy.n; i++) {
		bool drop = false;
		for (size_t k = 0; copy.p[i] == ' ' && k < ARRAY_LEN(tight) && !drop; k++)
			drop = str_starts(str_mk(copy.p + i + 1, copy.n - i - 1), str_c(tight[k]));
		if (!drop)
			buf_putc(b, copy.p[i]);
	}
	if (copy.err)
		b->err = copy.err;
	buf_free(&copy);
}

enum err tokenizer_decode(
	const struct tokenizer *tk, const int32_t *ids, size_t n, bool special, struct buf *out)
{
	size_t n0 = out->n;
	for (size_t i = 0; i < n; i++) {
		int32_t id = ids[i];
		if (id < 0 || (uint32_t)id >= tk->n_ids)
			return ERR_INVALID;
		size_t at = out->n;
		if (tk->dec_wordpiece && at > n0 && !(tk->piece[id].flags & PIECE_CONTINUES) &&
			(special || !tokenizer_is_control(tk, id)))
			buf_putc(out, ' ');
		tokenizer_piece(tk, id, special, out);
	}
	if (tk->dec_strip_first && out->n > n0 && out->p[n0] == ' ') {
		memmove(out->p + n0, out->p + n0 + 1, out->n - n0);
		out->n--;
	}
	if (tk->dec_cleanup && out->n > n0 && !out->err)
		wordpiece_cleanup(out, n0);
	return out->err;
}

/* Copies s with malformed bytes as U+FFFD. */
static void add_valid(struct buf *out, struct str s)
{
	for (size_t i = 0, len; i < s.n; i += len) {
		uint32_t cp;
		len = utf8_decode(str_sub(s, i, s.n), &cp);
		buf_add_utf8(out, cp);
	}
}

struct str detok_add(struct detok *d, int32_t id)
{
	buf_clear(&d->out);
	tokenizer_piece(d->tk, id, false, &d->held);
	if (!d->started && d->held.n) {
		d->started = true;
		if (d->tk->dec_strip_first && d->held.p[0] == ' ') {
			memmove(d->held.p, d->held.p + 1, d->held.n);
			d->held.n--;
		}
	}
	size_t whole = utf8_complete_prefix(buf_str(&d->held));
	if (whole) {
		add_valid(&d->out, str_mk(d->held.p, whole));
		memmove(d->held.p, d->held.p + whole, d->held.n - whole + 1);
		d->held.n -= whole;
	}
	return buf_str(&d->out);
}

struct str detok_end(struct detok *d)
{
	buf_clear(&d->out);
	add_valid(&d->out, buf_str(&d->held));
	buf_clear(&d->held);
	d->started = false;
	return buf_str(&d->out);
}

void detok_free(struct detok *d)
{
	buf_free(&d->held);
	buf_free(&d->out);
}

/* ---- questions ---- */

bool tokenizer_strips_space(const struct tokenizer *tk)
{
	return tk->dec_strip_first;
}

size_t tokenizer_vocab_size(const struct tokenizer *tk)
{
	return tk->n_ids;
}

static int32_t trie_exact(const struct trie *t, struct str s)
{
	uint32_t at = 0;
	for (size_t i = 0; i < s.n; i++)
		if (!t->node || !(at = trie_step(t, at, (unsigned char)s.p[i])))
			return -1;
	return s.n ? t->node[at].value : -1;
}

int32_t tokenizer_find(const struct tokenizer *tk, struct str piece)
{
	int32_t a = trie_exact(&tk->added_raw, piece);
	a = a >= 0 ? a : trie_exact(&tk->added_norm, piece);
	if (a >= 0)
		return tk->added[a].id;
	int32_t id = tk_lookup(tk, piece);
	id = id >= 0 ? id : trie_exact(&tk->words, piece);
	if (id < 0 && tk->model == TK_WORDPIECE && str_starts(piece, S("##")))
		id = trie_exact(&tk->rest, str_sub(piece, 2, piece.n));
	return id >= 0 && (uint32_t)id < tk->n_ids ? id : -1;
}

int32_t tokenizer_bos(const struct tokenizer *tk)
{
	return tk->bos;
}

int32_t tokenizer_eos(const struct tokenizer *tk)
{
	return tk->eos;
}

unsigned tokenizer_between(const struct tokenizer *tk, int32_t out[TOKENIZER_BETWEEN_MAX])
{
	_Static_assert((int)TOKENIZER_BETWEEN_MAX == (int)AFFIX_MAX, "they are copied");
	unsigned n = tk->n_between ? tk->n_between : tk->n_after;
	memcpy(out, tk->n_between ? tk->between : tk->after, n * sizeof *out);
	return n;
}

bool tokenizer_is_end(const struct tokenizer *tk, int32_t id)
{
	return id >= 0 && (uint32_t)id < tk->n_ids && tk->is_end[id];
}

const char *tokenizer_kind(const struct tokenizer *tk)
{
	return tk->kind;
}

struct str tokenizer_chat_template(const struct tokenizer *tk)
{
	return tk->chat_template;
}
