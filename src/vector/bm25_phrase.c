/* Phrases: the documents of a segment that have some terms one after the other, and how often. The
 * rarest term leads; the others are looked up in blocks, positions are only read where all meet. */
#include "base/room.h"
#include "vector/bm25_int.h"

#include <stdlib.h>

struct walk {
	struct reader r;
	uint32_t term;      /* in the segment */
	const uint8_t *pos; /* of the next field */
};

struct made {
	uint32_t *docs, *tf;
	size_t n, cap_docs, cap_tf;
};

static uint32_t all_tf(const struct reader *r)
{
	uint32_t n = 0;
	for (uint32_t f = 0; f < r->s->n_fields; f++)
		n += r->tf[f * PACK_N + r->i];
	return n;
}

static void step(struct reader *r)
{
	r->pos = varints_skip(r->pos, all_tf(r));
	r->i++;
}

/* Goes to the first document that is not before doc; false: there is none. */
static bool walk_to(struct walk *w, uint32_t doc)
{
	struct reader *r = &w->r;
	const struct block *blocks = r->s->blocks + r->t->block_at;
	uint32_t block = r->block ? r->block - 1 : 0;
	while (block < full_blocks(r->t) && blocks[block].last < doc)
		block++;
	if (block == all_blocks(r->t))
		return false;
	if (!r->block || block != r->block - 1) {
		r->block = block + 1;
		r->n = bm25_block_read(r->s, r->t, block, r->docs, r->tf);
		r->i = 0;
		r->pos = bm25_block_positions(r->s, w->term, block);
	}
	while (r->i < r->n && r->docs[r->i] < doc)
		step(r);
	return r->i < r->n;
}

static bool read_field(struct walk *w, struct bm25_places *p, uint32_t field)
{
	uint32_t n = w->r.tf[field * PACK_N + w->r.i], at = 0, gap;
	for (p->n = 0; p->n < n; p->n++) {
		w->pos = varint_get(w->pos, &gap);
		at += gap;
		if (!heap_room(p->at, p->n, p->cap))
			return false;
		p->at[p->n] = at;
	}
	return true;
}

/* Each of the others is taken at its first place that is not too early: if that makes the phrase
 * too long, any other does. */
uint32_t bm25_phrase_count(const struct bm25_places *w, size_t n, uint32_t slop)
{
	uint32_t found = 0;
	for (size_t i = 0; i < w[0].n; i++) {
		uint64_t at = w[0].at[i], end = at;
		size_t k = 1;
		for (; k < n; k++) {
			uint64_t least = end + (w[k].offset - w[k - 1].offset);
			size_t lo = 0, hi = w[k].n;
			while (lo < hi) {
				size_t mid = lo + (hi - lo) / 2;
				if (w[k].at[mid] < least)
					lo = mid + 1;
				else
					hi = mid;
			}
			if (lo == w[k].n)
				break;
			end = w[k].at[lo];
		}
		found += k == n && end - at <= (uint64_t)(w[n - 1].offset - w[0].offset) + slop;
	}
	return found;
}

/* All walks stand at one document. */
static enum err add_document(
	struct walk *w, struct bm25_places *p, size_t n, uint32_t slop, struct made *m)
{
	uint32_t n_fields = w->r.s->n_fields, tf[BM25_FIELDS_MAX] = {0}, any = 0;
	for (size_t k = 0; k < n; k++)
		w[k].pos = w[k].r.pos;
	for (uint32_t f = 0; f < n_fields; f++) {
		for (size_t k = 0; k < n; k++)
			if (!read_field(&w[k], &p[k], f))
				return ERR_NOMEM;
		any += tf[f] = bm25_phrase_count(p, n, slop);
	}
	if (!any)
		return OK;
	if (!heap_room(m->docs, m->n, m->cap_docs))
		return ERR_NOMEM;
	for (uint32_t f = 0; f < n_fields; f++) {
		if (!heap_room(m->tf, m->n * n_fields + f, m->cap_tf))
			return ERR_NOMEM;
		m->tf[m->n * n_fields + f] = tf[f];
	}
	m->docs[m->n++] = w->r.docs[w->r.i];
	return OK;
}

static enum err intersect(
	struct walk *w, struct bm25_places *p, size_t n, uint32_t slop, struct made *m)
{
	uint32_t doc = 0;
	size_t lead = 0;
	enum err e = OK;
	for (size_t k = 1; k < n; k++)
		if (w[k].r.t->n < w[lead].r.t->n)
			lead = k;
	while (!e && walk_to(&w[lead], doc)) {
		uint32_t want = w[lead].r.docs[w[lead].r.i];
		size_t k = 0;
		for (doc = want; k < n && doc == want; k++) {
			if (!walk_to(&w[k], want))
				return OK;
			doc = w[k].r.docs[w[k].r.i];
		}
		if (doc == want) {
			e = add_document(w, p, n, slop, m);
			doc++;
		}
	}
	return e;
}

enum err bm25_phrase_find(
	const struct phrase *p, const struct seg *s, const struct model *m, struct seg **out)
{
	struct walk *w = calloc(p->n, sizeof *w);
	struct bm25_places *places = calloc(p->n, sizeof *places);
	struct made made = {0};
	bool all = true;
	enum err e = w && places ? OK : ERR_NOMEM;
	*out = NULL;
	for (size_t k = 0; !e && all && k < p->n; k++) {
		all = s->n_terms && bm25_seg_find(s, p->terms[k], &w[k].term);
		places[k].offset = p->at ? p->at[k] : (uint32_t)k;
		if (all)
			bm25_reader_start(&w[k].r, s, w[k].term);
	}
	if (!e && all)
		e = intersect(w, places, p->n, p->slop, &made);
	if (!e && made.n && !(*out = bm25_seg_of_postings(s, m, made.docs, made.tf, made.n)))
		e = ERR_NOMEM;
	for (size_t k = 0; places && k < p->n; k++)
		free(places[k].at);
	free(places);
	free(w);
	free(made.docs);
	free(made.tf);
	return e;
}
