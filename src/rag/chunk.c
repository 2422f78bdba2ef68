/* Chunks: first the text is cut into units that are better not split (a sentence, a table row, a
 * line of code), then units are packed into chunks of at most tokens_max tokens.
 *
 * A heading begins a new chunk, unless the one at hand is still tiny; it stays with the text below
 * it. Within a section a chunk repeats the last units of the one before, up to `overlap` tokens.
 * Only a unit that is itself too long is cut inside, at the tokenizer's own boundaries. */
#include "rag/rag_int.h"
#include "base/room.h"
#include "text/unicode.h"

struct unit {
	uint32_t from, to, tokens, block;
	bool heading,
		section_start; /* a heading block, or the first unit after a change of heading */
	bool repeatable;       /* may be repeated as overlap */
};

struct cutter {
	const struct doc *d;
	const struct tokenizer *tk;
	const struct chunk_options *o;
	struct arena *a;
	struct errtext *et;
	enum err e;
	struct unit *units;
	size_t n, cap;
	uint32_t block;
	struct tokens scratch;
};

static void add_unit(struct cutter *x, uint32_t from, uint32_t to, uint32_t tokens)
{
	const struct doc_block *b = &x->d->blocks[x->block];
	if (!arena_room(x->a, x->units, x->n, x->cap)) {
		x->e = err_set(x->et, ERR_NOMEM, "no memory for the chunks");
		return;
	}
	bool heading = b->kind == BLOCK_HEADING || b->kind == BLOCK_TITLE;
	x->units[x->n] = (struct unit){.from = from,
		.to = to,
		.tokens = tokens,
		.block = x->block,
		.heading = heading,
		.repeatable = !heading && b->kind != BLOCK_TABLE_ROW};
	x->units[x->n].section_start = heading && (x->n == 0 || !x->units[x->n - 1].heading);
	x->n++;
}

/* Tokens of text[from..to], with offsets, in x->scratch. */
static bool tokenize(struct cutter *x, uint32_t from, uint32_t to)
{
	x->scratch.n = 0;
	if (!x->e)
		x->e = tokenizer_encode(
			x->tk, str_sub(x->d->text, from, to), TOKENIZE_OFFSETS, &x->scratch, x->et);
	return !x->e;
}

static bool is_gap(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static void add_trimmed(struct cutter *x, uint32_t from, uint32_t to)
{
	const char *p = x->d->text.p;
	while (from < to && is_gap(p[from]))
		from++;
	while (to > from && is_gap(p[to - 1]))
		to--;
	if (from == to || !tokenize(x, from, to))
		return;
	const struct tokens *t = &x->scratch;
	uint32_t max = x->o->tokens_max;
	if (t->n <= max || !t->from) {
		add_unit(x, from, to, (uint32_t)t->n);
		return;
	}
	/* Too long for one chunk: cut where a token begins, preferably after white space. */
	size_t start = 0;
	uint32_t at = from;
	while (start < t->n && !x->e) {
		size_t end = MIN(start + max, t->n);
		if (end < t->n)
			for (size_t back = end; back > start + max / 2; back--)
				if (is_gap(p[from + t->from[back] - 1])) {
					end = back;
					break;
				}
		uint32_t stop = end < t->n ? from + t->from[end] : to;
		while (stop < to && stop > at && ((unsigned char)p[stop] & 0xC0) == 0x80)
			stop--; /* never inside a code point */
		if (stop > at)
			add_unit(x, at, stop, (uint32_t)(end - start));
		at = stop;
		start = end;
	}
}

struct sentence_ctx {
	struct cutter *x;
	uint32_t base;
};

static bool on_sentence(void *ctx, uint32_t from, uint32_t to)
{
	struct sentence_ctx *s = ctx;
	add_trimmed(s->x, s->base + from, s->base + to);
	return !s->x->e;
}

static void cut_lines(struct cutter *x, uint32_t from, uint32_t to)
{
	while (from < to && !x->e) {
		size_t end = str_chr(str_sub(x->d->text, from, to), '\n');
		uint32_t stop = end == STR_NONE ? to : from + (uint32_t)end + 1;
		add_trimmed(x, from, stop);
		from = stop;
	}
}

static void cut_block(struct cutter *x, uint32_t i)
{
	const struct doc_block *b = &x->d->blocks[i];
	x->block = i;
	switch (b->kind) {
	case BLOCK_TITLE:
	case BLOCK_HEADING:
	case BLOCK_TABLE_ROW:
		add_trimmed(x, b->from, b->to);
		return;
	case BLOCK_CODE:
		cut_lines(x, b->from, b->to);
		return;
	default: {
		struct sentence_ctx ctx = {x, b->from};
		enum err e =
			unicode_sentences(str_sub(x->d->text, b->from, b->to), on_sentence, &ctx);
		if (e && !x->e)
			x->e = err_set(x->et, e, "the text could not be cut into sentences");
	}
	}
}

/* ---- packing ---- */

struct packer {
	struct cutter *x;
	struct chunk *chunks;
	size_t n, cap;
};

static void add_chunk(struct packer *p, size_t first, size_t last)
{
	struct cutter *x = p->x;
	if (!arena_room(x->a, p->chunks, p->n, p->cap)) {
		x->e = err_set(x->et, ERR_NOMEM, "no memory for the chunks");
		return;
	}
	size_t body = first; /* the heading path is that of the text below the headings */
	while (body < last && x->units[body].heading)
		body++;
	struct buf path = {0};
	doc_heading_path(x->d, x->units[body].block, &path);
	struct chunk *c = &p->chunks[p->n++];
	*c = (struct chunk){.from = x->units[first].from,
		.to = x->units[last].to,
		.page = x->d->blocks[x->units[body].block].page,
		.heading_path = arena_str(x->a, buf_str(&path))};
	for (size_t i = first; i <= last; i++)
		c->tokens += x->units[i].tokens;
	if (!c->heading_path.p || path.err)
		x->e = err_set(x->et, ERR_NOMEM, "no memory for the chunks");
	buf_free(&path);
}

/* The first unit of the chunk after units[first..last], repeating some of them. */
static size_t with_overlap(const struct cutter *x, size_t first, size_t last)
{
	uint32_t sum = 0;
	size_t at = last + 1;
	if (at < x->n && x->units[at].section_start)
		return at;
	while (at > first + 1 && x->units[at - 1].repeatable &&
		sum + x->units[at - 1].tokens <= x->o->overlap)
		sum += x->units[--at].tokens;
	return at;
}

static void pack(struct packer *p)
{
	const struct cutter *x = p->x;
	uint32_t tiny = x->o->tokens_max / 5, max = x->o->tokens_max;
	size_t first = 0, fresh = 0; /* units[fresh] is the first that no chunk has yet */
	while (fresh < x->n && !p->x->e) {
		uint32_t sum = 0;
		size_t last = first;
		for (size_t i = first; i < x->n; i++) {
			const struct unit *u = &x->units[i];
			bool full = i > first && sum + u->tokens > max;
			bool new_section = i > fresh && u->section_start && sum >= tiny;
			if (full || new_section)
				break;
			sum += u->tokens;
			last = i;
		}
		if (last < fresh) { /* the overlap left no room for anything new */
			first = fresh;
			continue;
		}
		/* headings do not end a chunk: they belong to what follows */
		size_t end = last;
		while (end > fresh && last + 1 < x->n && x->units[end].heading)
			end--;
		add_chunk(p, first, end);
		fresh = end + 1;
		first = with_overlap(x, first, end);
	}
}

enum err chunk_doc(const struct doc *d, const struct tokenizer *tk, const struct chunk_options *o,
	struct arena *a, struct chunk **out, size_t *n, struct errtext *et)
{
	struct cutter x = {.d = d, .tk = tk, .o = o, .a = a, .et = et};
	for (size_t i = 0; i < d->n_blocks && !x.e; i++)
		cut_block(&x, (uint32_t)i);
	struct packer p = {.x = &x};
	if (!x.e)
		pack(&p);
	tokens_free(&x.scratch);
	if (!x.e) {
		*out = p.chunks;
		*n = p.n;
	}
	return x.e;
}

void chunk_index_text(struct str title, struct str heading_path, struct str text,
	size_t context_max, struct buf *out)
{
	struct str context = heading_path;
	struct buf both = {0};
	if (title.n && str_find(heading_path, title) == STR_NONE) {
		buf_adds(&both, title);
		if (heading_path.n)
			buf_addf(&both, " > %.*s", STR_FMT(heading_path));
		context = buf_str(&both);
	}
	if (context_max && context.n > context_max)
		context.n = utf8_complete_prefix(str_sub(context, 0, context_max));
	if (context.n) {
		buf_adds(out, context);
		buf_putc(out, '\n');
	}
	buf_adds(out, text);
	buf_free(&both);
}
