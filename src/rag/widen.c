/* Passages to their surroundings: what was found is small, so that it is found; what is read is the
 * section that it stands in, or some passages before and after it.
 *
 * A window is a run of chunks of one document around a hit. Where windows of two hits meet they
 * become one, in the place of the better hit, so that no text is given twice; the list goes on
 * downwards until there are k texts. The text of a window is that of its chunks, put together by
 * their places in the document: chunks may repeat each other's ends, and between them is nothing
 * but white space. */
#include "rag/stages.h"

#include <stdlib.h>

enum {
	SECTION_MAX = 64,
	TOKENS = 600,
	PIECES_MAX = 32,
	MEET = 3 /* windows' worth of tokens in one that met */
};

struct window {
	struct rag_hit hit;
	uint32_t low, high; /* ordinals */
	uint32_t tokens;
	struct rag_piece *pieces;
	size_t n_pieces;
};

struct widening {
	struct stage *x;
	struct tx *tx;
	struct window *windows;
	size_t n;
};

static enum err no_memory(struct stage *x)
{
	return err_set(x->et, ERR_NOMEM, "no memory for the surroundings of passages");
}

static uint32_t reach(const struct rag_stages *s)
{
	return MAX(s->neighbours, s->parent ? (uint32_t)SECTION_MAX : 0);
}

static bool may_take(
	const struct rag_stages *s, const struct chunk_row *own, const struct chunk_row *c)
{
	uint32_t away =
		c->ordinal > own->ordinal ? c->ordinal - own->ordinal : own->ordinal - c->ordinal;
	return away <= s->neighbours || (s->parent && str_eq(c->heading_path, own->heading_path));
}

/* The chunks around the hit that fit, the nearest first and of equals the later one. */
static void grow(const struct rag_stages *s, const struct chunk_row *rows, size_t n, size_t own,
	struct window *w)
{
	uint32_t most = s->context_tokens ? s->context_tokens : TOKENS;
	size_t low = own, high = own;
	bool up = true, down = true;
	w->tokens = rows[own].tokens;
	while (up || down) {
		up = up && high + 1 < n && may_take(s, &rows[own], &rows[high + 1]) &&
		     w->tokens + rows[high + 1].tokens <= most;
		if (up)
			w->tokens += rows[++high].tokens;
		down = down && low && may_take(s, &rows[own], &rows[low - 1]) &&
		       w->tokens + rows[low - 1].tokens <= most;
		if (down)
			w->tokens += rows[--low].tokens;
	}
	w->low = rows[low].ordinal;
	w->high = rows[high].ordinal;
}

static enum err add_piece(struct widening *d, struct window *w, const struct rag_hit *h)
{
	if (!w->pieces)
		w->pieces = arena_array_of(d->x->a, PIECES_MAX, struct rag_piece);
	if (!w->pieces)
		return no_memory(d->x);
	if (w->n_pieces < PIECES_MAX)
		w->pieces[w->n_pieces++] = (struct rag_piece){h->chunk, h->from, h->to};
	return OK;
}

/* The window of the same document that has this chunk, or NULL. */
static struct window *holder(struct widening *d, const struct rag_hit *h)
{
	for (size_t i = 0; i < d->n; i++)
		if (!memcmp(&d->windows[i].hit.document, &h->document, sizeof h->document) &&
			h->ordinal >= d->windows[i].low && h->ordinal <= d->windows[i].high)
			return &d->windows[i];
	return NULL;
}

static bool same_document(const struct window *a, const struct window *b)
{
	return !memcmp(&a->hit.document, &b->hit.document, sizeof a->hit.document);
}

/* What other windows have is theirs. */
static void leave_out(const struct widening *d, struct window *w)
{
	for (size_t i = 0; i < d->n; i++) {
		const struct window *o = &d->windows[i];
		if (!same_document(o, w) || w->low > o->high || o->low > w->high)
			continue;
		if (w->hit.ordinal > o->high)
			w->low = o->high + 1;
		else
			w->high = o->low - 1;
	}
}

/* The window that takes this one in, since they touch and it has room; or NULL. */
static struct window *meet(struct widening *d, struct window *w)
{
	const struct rag_stages *s = &d->x->q->stages;
	uint32_t most = MEET * (s->context_tokens ? s->context_tokens : TOKENS);
	leave_out(d, w);
	for (size_t i = 0; i < d->n; i++) {
		struct window *o = &d->windows[i];
		bool touch = w->low == o->high + 1 || o->low == w->high + 1;
		bool apart = s->parent && !str_eq(o->hit.heading_path, w->hit.heading_path);
		if (!same_document(o, w) || !touch || apart || o->tokens + w->tokens > most)
			continue;
		o->low = MIN(o->low, w->low);
		o->high = MAX(o->high, w->high);
		o->tokens += w->tokens;
		return o;
	}
	return NULL;
}

static enum err take(struct widening *d, const struct rag_hit *h)
{
	struct stage *x = d->x;
	struct window w = {.hit = *h}, *into = holder(d, h);
	struct chunk_row *rows;
	size_t n = 0, own = 0;
	if (into)
		return add_piece(d, into, h);
	uint32_t far = reach(&x->q->stages);
	enum err e = store_chunks_between(d->tx, h->document,
		h->ordinal > far ? h->ordinal - far : 0, h->ordinal + far, x->a, &rows, &n, x->et);
	if (e)
		return e;
	while (own < n && rows[own].id != h->chunk)
		own++;
	if (own == n) /* replaced meanwhile */
		return OK;
	grow(&x->q->stages, rows, n, own, &w);
	into = meet(d, &w);
	if (into)
		return add_piece(d, into, h);
	d->windows[d->n] = w;
	return add_piece(d, &d->windows[d->n++], h);
}

/* Gaps are white space: as many bytes of it as there are keep every place in the text right. */
static enum err write_text(struct widening *d, struct window *w)
{
	struct stage *x = d->x;
	struct chunk_row *rows;
	struct buf b = {0};
	size_t n = 0;
	enum err e = store_chunks_between(
		d->tx, w->hit.document, w->low, w->high, x->a, &rows, &n, x->et);
	if (e || !n)
		return e;
	uint32_t at = rows[0].from;
	w->hit.from = at;
	for (size_t i = 0; i < n; i++) {
		const struct chunk_row *c = &rows[i];
		if (c->to <= at)
			continue;
		for (uint32_t gap = at; gap < c->from; gap++)
			buf_putc(&b, c->from - at > 1 ? '\n' : ' ');
		buf_adds(&b, str_sub(c->text, at > c->from ? at - c->from : 0, c->text.n));
		at = c->to;
	}
	w->hit.to = at;
	w->hit.text = arena_str(x->a, buf_str(&b));
	w->hit.pieces = w->pieces;
	w->hit.n_pieces = w->n_pieces;
	buf_free(&b);
	return w->hit.text.p ? OK : no_memory(x);
}

enum err stage_widen(struct stage *x, struct rag_hit *hits, size_t *n, size_t k)
{
	struct widening d = {.x = x};
	struct step step;
	step_begin(&step, x->q, x->trail, "context", "chain");
	d.windows = arena_array_of(x->a, MIN(k, *n) + 1, struct window);
	enum err e = d.windows ? db_begin(croft_db(x->c), TX_READ, &d.tx, x->et) : no_memory(x);
	size_t seen = 0;
	for (; seen < *n && d.n < k && !e; seen++)
		e = take(&d, &hits[seen]);
	for (size_t i = 0; i < d.n && !e; i++)
		e = write_text(&d, &d.windows[i]);
	db_rollback(d.tx);
	for (size_t i = 0; i < d.n && !e; i++)
		hits[i] = d.windows[i].hit;
	if (!e)
		*n = d.n;
	span_i64(step.span, "passages_read", (int64_t)seen);
	step_hits(&step, hits, *n, x->a, hit_score);
	step_end(&step, e, x->et);
	return e;
}
