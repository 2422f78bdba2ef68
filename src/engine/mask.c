/* Masks: what the cache knows of each stack's top cell, continued with the real stacks below. */
#include "engine/mask.h"

#include <stdatomic.h>
#include <stdlib.h>
#include "engine/mask_int.h"

enum {
	CACHE_DEFAULT = 64 << 20,
	CELLS_MAX = 6,          /* of a stack that a key may name */
	WORK_MAX = 1000 * 1000, /* of the matcher, for one mask: some tenths of a second */
};

struct masker {
	const struct tokenizer *tk;
	size_t vocab, words;
	struct token_trie t;
	struct cache *cache;
	int32_t *ends;
	size_t n_ends;
	uint32_t space;    /* the node of one space, or 0 */
	bool strips_space; /* of the first token of a text */
	atomic_uint_fast64_t walks;
};

struct mask {
	struct masker *k;
	struct matcher *m;
	uint64_t *bits;
	struct entry *shown;   /* whose bits are the present mask, or NULL */
	struct buf key, piece; /* reused */
	uint64_t work_max;     /* for the present mask */
	struct looks looks;
	bool begun; /* the first token was taken */
};

/* ---- a tokenizer's trie ---- */

/* The tokens' bytes one after the other in text; their order is that of v. */
static enum err gather(
	struct masker *k, struct token_text *v, size_t *n, struct buf *text, struct errtext *et)
{
	size_t size = tokenizer_vocab_size(k->tk);
	for (size_t id = 0; id < size; id++) {
		size_t from = text->n;
		if (tokenizer_is_end(k->tk, (int32_t)id)) {
			k->ends[k->n_ends++] = (int32_t)id;
			continue;
		}
		tokenizer_piece(k->tk, (int32_t)id, false, text);
		if (text->n - from > MACHINE_TOKEN_MAX)
			text->n = from;
		if (text->n > from) /* p once text has stopped growing */
			v[(*n)++] = (struct token_text){{NULL, text->n - from}, (int32_t)id};
	}
	if (text->err)
		return err_set(et, ERR_NOMEM, "no memory for the tokens' texts");
	for (size_t i = 0, at = 0; i < *n; at += v[i++].bytes.n)
		v[i].bytes.p = text->p + at;
	return OK;
}

static void find_space(struct masker *k)
{
	for (uint32_t i = 1; i < k->t.n; i = k->t.node[i].end)
		if (k->t.node[i].byte == ' ')
			k->space = i;
}

static enum err build(struct masker *k, struct errtext *et)
{
	size_t size = tokenizer_vocab_size(k->tk), n = 0;
	struct token_text *v = malloc(MAX(size, 1) * sizeof *v);
	struct buf text = {0};
	k->ends = malloc(MAX(size, 1) * sizeof *k->ends);
	enum err e = v && k->ends ? gather(k, v, &n, &text, et)
				  : err_set(et, ERR_NOMEM, "no memory for a trie of tokens");
	if (!e)
		e = token_trie_build(&k->t, v, n, et);
	free(v);
	buf_free(&text);
	if (!e)
		find_space(k);
	return e;
}

enum err masker_new(const struct tokenizer *tk, size_t vocab, size_t cache_bytes,
	struct masker **out, struct errtext *et)
{
	struct masker *k = calloc(1, sizeof *k);
	if (!k)
		return err_set(et, ERR_NOMEM, "no memory");
	k->tk = tk;
	k->vocab = MAX(vocab, tokenizer_vocab_size(tk));
	k->words = (k->vocab + 63) / 64;
	k->strips_space = tokenizer_strips_space(tk);
	k->cache = cache_new(cache_bytes ? cache_bytes : CACHE_DEFAULT);
	enum err e = k->cache ? build(k, et) : err_set(et, ERR_NOMEM, "no memory");
	if (e)
		masker_free(k);
	else
		*out = k;
	return e;
}

void masker_free(struct masker *k)
{
	if (!k)
		return;
	cache_free(k->cache);
	token_trie_free(&k->t);
	free(k->ends);
	free(k);
}

void masker_stats(struct masker *k, struct masker_stats *out)
{
	cache_stats(k->cache, out);
	out->walks = atomic_load(&k->walks);
	out->trie_bytes = k->t.bytes;
	out->trie_nodes = k->t.n;
}

/* ---- keys ---- */

static void key_cell(struct buf *b, const struct cell *c)
{
	uint32_t more = c->more ? (uint32_t)machine_data_size(c->more) : UINT32_MAX;
	buf_add(b, &c->node, sizeof(void *));
	buf_add(b, (const uint32_t[]){c->kind, c->a, c->b, c->c, more}, 5 * sizeof(uint32_t));
	if (c->more)
		buf_add(b, c->more, more);
}

/* The top n cells of stack c as they are to be asked, to v, the top first: above a bottom, unless
 * the stack ends with them. False: not worth caching, or the stack is not so high. */
static bool key_cells(const struct language *l, const struct cell *c, unsigned n, struct cell *v)
{
	for (unsigned i = 0; i < n; i++, c = c->up) {
		if (!c)
			return false;
		v[i] = *c;
		if (l->ops->key && !l->ops->key(c, &v[i]))
			return false;
		v[i].up = c->up && i + 1 == n ? machine_bottom() : NULL;
	}
	return true;
}

static void key_of(const struct language *l, const struct cell *v, unsigned n, struct buf *out)
{
	bool whole = !v[n - 1].up;
	buf_clear(out);
	buf_add(out, &l->id, sizeof l->id);
	buf_add(out, &whole, sizeof whole);
	for (unsigned i = 0; i < n; i++)
		key_cell(out, &v[i]);
}

/* ---- finding out ---- */

static bool push_cells(struct matcher *m, struct cell *v, unsigned n)
{
	const struct cell *up = v[n - 1].up;
	for (unsigned i = n - 1; i > 0; i--) {
		v[i].up = up;
		up = machine_cell(matcher_machine(m), &v[i]);
		if (!up)
			return false;
	}
	v[0].up = up;
	return matcher_push_like(m, &v[0]);
}

/* What is left of the tokens below the places where the cell ended with result r. */
static enum err collect_rest(const struct walk *w, uint32_t r, struct rest *out)
{
	const struct pop *p = (const struct pop *)(const void *)w->pops.p;
	size_t n_pops = w->pops.n / sizeof *p, n = 0;
	const struct token_trie *t = w->t;
	struct token_text *v = malloc(MAX(w->n_rest, 1) * sizeof *v);
	struct buf text = {0};
	for (size_t i = 0; i < n_pops && v; i++) {
		if (p[i].result != r)
			continue;
		/* the bytes on the way down from the place; its own tokens have none left */
		char way[UINT16_MAX];
		uint32_t at = p[i].node;
		for (uint32_t k = at; k < t->node[at].end; k++) {
			size_t len = t->node[k].depth - t->node[at].depth;
			if (len)
				way[len - 1] = (char)t->node[k].byte;
			for (uint32_t j = t->node[k].own; j < t->node[k + 1].own; j++) {
				v[n++] = (struct token_text){{NULL, len}, t->tokens[j]};
				buf_add(&text, way, len);
			}
		}
	}
	for (size_t i = 0, at = 0; i < n; at += v[i++].bytes.n)
		v[i].bytes.p = buf_c(&text) + at;
	enum err e = v && !text.err ? token_trie_build(&out->t, v, n, NULL) : ERR_NOMEM;
	free(v);
	buf_free(&text);
	return e;
}

static enum err collect_rests(struct entry *e, const struct walk *w)
{
	const struct result *r = (const struct result *)(const void *)w->results.p;
	uint32_t n = (uint32_t)(w->results.n / sizeof *r);
	enum err err = w->results.err ? w->results.err : w->pops.err;
	if (err || !n)
		return err;
	e->rests = calloc(n, sizeof *e->rests);
	if (!e->rests)
		return ERR_NOMEM;
	e->n_rests = n;
	for (uint32_t i = 0; i < n && !err; i++) {
		struct rest *x = &e->rests[i];
		*x = (struct rest){.a = r[i].a, .b = r[i].b, .has_more = r[i].more};
		if (r[i].more)
			buf_add(&x->more, r[i].more, machine_data_size(r[i].more));
		err = x->more.err ? x->more.err : collect_rest(w, i, x);
		e->bytes += sizeof *x + x->more.cap + x->t.bytes;
	}
	return err;
}

/* Walks the whole trie with n cells above a bottom. NULL: out of memory, or of time. */
static struct entry *find_out(struct mask *x, struct cell *v, unsigned n)
{
	struct masker *k = x->k;
	struct entry *e = calloc(1, sizeof *e);
	if (!e)
		return NULL;
	e->refs = 1;
	e->key = str_mk(str_dup(buf_str(&x->key)), x->key.n);
	e->bits = calloc(k->words, sizeof *e->bits);
	struct walk w = {.t = &k->t,
		.m = x->m,
		.bits = e->bits,
		.work_max = x->work_max,
		.looks = &x->looks,
		.collect = true};
	enum err err = e->key.p && e->bits && push_cells(x->m, v, n) ? OK : ERR_NOMEM;
	e->bytes = sizeof *e + e->key.n + k->words * sizeof *e->bits;
	if (!err) {
		walk_below(&w, 0);
		matcher_drop(x->m, 1);
		if (matcher_work(x->m) > x->work_max)
			err = ERR_TOO_LARGE;
		e->deeper = w.too_many;
		if (e->deeper) {
			free(e->bits);
			e->bits = NULL;
			e->bytes = sizeof *e + e->key.n;
		} else if (!err) {
			for (size_t i = 0; i < k->words && !e->any; i++)
				e->any = e->bits[i];
			err = collect_rests(e, &w);
		}
	}
	walk_free(&w);
	if (!err)
		return cache_add(k->cache, e);
	entry_free(e);
	return NULL;
}

/* ---- one stack ---- */

static void walk_rest(struct mask *x, const struct rest *r, const struct cell *below)
{
	struct result result = {.a = r->a, .b = r->b};
	if (r->has_more) {
		result.more = machine_data(matcher_machine(x->m), buf_c(&r->more), r->more.n);
		if (!result.more)
			return;
	}
	if (!matcher_push_resumed(x->m, below, result))
		return;
	struct walk w = {.t = &r->t,
		.m = x->m,
		.bits = x->bits,
		.work_max = x->work_max,
		.looks = &x->looks};
	for (uint32_t i = 0; i < r->t.node[1].own; i++)
		x->bits[r->t.tokens[i] / 64] |= 1ull << (r->t.tokens[i] % 64);
	walk_below(&w, 0);
	matcher_drop(x->m, 1);
}

static void use(struct mask *x, const struct entry *e, const struct cell *below)
{
	for (size_t i = 0; e->any && i < x->k->words; i++)
		x->bits[i] |= e->bits[i];
	for (uint32_t i = 0; i < e->n_rests; i++)
		walk_rest(x, &e->rests[i], below);
}

static void walk_stack(struct mask *x, const struct cell *c, uint32_t root)
{
	struct walk w = {.t = &x->k->t,
		.m = x->m,
		.bits = x->bits,
		.work_max = x->work_max,
		.looks = &x->looks};
	atomic_fetch_add(&x->k->walks, 1);
	if (matcher_push_like(x->m, c)) {
		walk_below(&w, root);
		matcher_drop(x->m, 1);
	}
}

/* What is known of the top of stack c, to be put back; *below is the cell below what it speaks of.
 * NULL: nothing can be kept of it. */
static struct entry *look_up(struct mask *x, const struct cell *c, const struct cell **below)
{
	const struct language *l = matcher_language(x->m);
	struct cell v[CELLS_MAX];
	*below = c;
	for (unsigned n = 1; n <= CELLS_MAX && key_cells(l, c, n, v); n++) {
		key_of(l, v, n, &x->key);
		struct entry *e = x->key.err ? NULL : cache_get(x->k->cache, buf_str(&x->key));
		if (!e && !x->key.err)
			e = find_out(x, v, n);
		if (!e)
			return NULL;
		*below = (*below)->up;
		if (!e->deeper)
			return e;
		cache_put(x->k->cache, e);
	}
	return NULL;
}

/* Adds what stack c allows. */
static void add_stack(struct mask *x, const struct cell *c)
{
	const struct cell *below;
	struct entry *e = look_up(x, c, &below);
	if (!e) {
		walk_stack(x, c, 0);
		return;
	}
	use(x, e, below);
	cache_put(x->k->cache, e);
}

/* ---- masks ---- */

enum err mask_new(struct masker *k, const struct language *l, struct mask **out, struct errtext *et)
{
	struct mask *x = calloc(1, sizeof *x);
	if (x)
		x->bits = calloc(k->words, sizeof *x->bits);
	if (!x || !x->bits) {
		mask_free(x);
		return err_set(et, ERR_NOMEM, "no memory");
	}
	x->k = k;
	enum err e = matcher_new(l, &x->m, et);
	if (e)
		mask_free(x);
	else
		*out = x;
	return e;
}

/* Whose bits are the mask until the next one. */
static void show(struct mask *x, struct entry *e)
{
	if (x->shown)
		cache_put(x->k->cache, x->shown);
	x->shown = e;
}

void mask_free(struct mask *x)
{
	if (!x)
		return;
	show(x, NULL);
	matcher_free(x->m);
	free(x->bits);
	buf_free(&x->key);
	buf_free(&x->piece);
	free(x);
}

struct matcher *mask_matcher(struct mask *x)
{
	return x->m;
}

/* A tokenizer that takes one space away from the beginning of a text: there a token that begins
 * with one counts without it. */
static void without_space(struct mask *x, const struct cell *const *stack, size_t n)
{
	const struct token_trie *t = &x->k->t;
	uint32_t space = x->k->space;
	for (uint32_t i = t->node[space].own; i < t->node[t->node[space].end].own; i++)
		x->bits[t->tokens[i] / 64] &= ~(1ull << (t->tokens[i] % 64));
	for (size_t i = 0; i < n; i++)
		walk_stack(x, stack[i], space);
}

static bool add_stacks(struct mask *x)
{
	size_t n;
	const struct cell *const *now = matcher_stacks(x->m, &n);
	/* the set may move while levels come and go above it */
	const struct cell **stack = malloc(n * sizeof *stack);
	if (!stack)
		return false;
	memcpy(stack, now, n * sizeof *stack);
	for (size_t i = 0; i < n; i++)
		add_stack(x, stack[i]);
	if (x->k->strips_space && !x->begun && x->k->space)
		without_space(x, stack, n);
	free(stack);
	return true;
}

/* The mask is what is known of the only stack, as it is: nothing has to be copied. */
static bool known_whole(struct mask *x, const uint64_t **allowed)
{
	size_t n;
	const struct cell *below, *c = matcher_stacks(x->m, &n)[0];
	if (n != 1 || matcher_may_end(x->m) || (x->k->strips_space && !x->begun))
		return false;
	struct entry *e = look_up(x, c, &below);
	if (e && e->any && !e->n_rests) {
		show(x, e);
		*allowed = e->bits;
		return true;
	}
	if (e)
		cache_put(x->k->cache, e);
	return false;
}

static enum err gather_bits(struct mask *x, struct errtext *et)
{
	struct masker *k = x->k;
	uint64_t any = 0;
	memset(x->bits, 0, k->words * sizeof *x->bits);
	if (!add_stacks(x))
		return err_set(et, ERR_NOMEM, "no memory for a mask");
	if (matcher_may_end(x->m))
		for (size_t i = 0; i < k->n_ends; i++)
			x->bits[k->ends[i] / 64] |= 1ull << (k->ends[i] % 64);
	for (size_t i = 0; i < k->words && !any; i++)
		any = x->bits[i];
	if (any && matcher_work(x->m) <= x->work_max)
		return OK;
	enum err e = matcher_status(x->m, et);
	return e ? e
		 : err_set(et, ERR_UNSUPPORTED,
			   "no token of the model goes on as the grammar or schema demands");
}

enum err mask_next(struct mask *x, const uint64_t **allowed, struct errtext *et)
{
	enum err status = matcher_status(x->m, NULL), e = OK;
	show(x, NULL);
	x->work_max = matcher_work(x->m) + WORK_MAX;
	matcher_will_try(x->m);
	*allowed = x->bits;
	if (!known_whole(x, allowed))
		e = gather_bits(x, et);
	if (!e)
		matcher_restore(x->m, status);
	return e;
}

enum err mask_take(struct mask *x, int32_t id, bool *over, struct errtext *et)
{
	buf_clear(&x->piece);
	tokenizer_piece(x->k->tk, id, false, &x->piece);
	struct str s = buf_str(&x->piece);
	if (!x->begun && x->k->strips_space && str_starts(s, S(" ")))
		s = str_sub(s, 1, s.n);
	if (x->piece.err)
		return err_set(et, ERR_NOMEM, "no memory for a token");
	if (!matcher_take(x->m, s.p, s.n)) {
		enum err e = matcher_status(x->m, et);
		return e ? e
			 : err_set(et, ERR_INTERNAL, "token %d was allowed, but is refused", id);
	}
	x->begun = true;
	*over = matcher_may_end(x->m) && matcher_must_end(x->m);
	return OK;
}
