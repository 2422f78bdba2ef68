/* The keyword index in a file: a segment's arrays as they are, and everything looked at before a
 * segment from a file is used: a checksum is no proof. */
#include "vector/bm25_int.h"

#include <stdlib.h>

struct counts {
	uint32_t n_terms, n_fields, positions, unused;
	uint64_t n_names, n_blocks, n_posts, n_pos;
	struct averages ref;
};

void bm25_seg_write(struct segment_out *o, const struct segment *base)
{
	const struct seg *s = (const struct seg *)(const void *)base;
	size_t n = base->n_docs;
	struct counts c = {s->n_terms, s->n_fields, s->pos != NULL, 0, s->terms[s->n_terms].name_at,
		s->n_blocks, s->n_posts, s->n_pos, s->ref};
	segment_give_copy(o, &c, sizeof c);
	segment_give_keys(o, base);
	segment_give(o, s->len, sizeof *s->len, n * s->n_fields);
	segment_give(o, s->terms, sizeof *s->terms, (size_t)s->n_terms + 1);
	segment_give(o, s->names, 1, c.n_names);
	segment_give(o, s->blocks, sizeof *s->blocks, s->n_blocks);
	segment_give(o, s->posts, 1, s->n_posts);
	segment_give(o, s->fwd_at, sizeof *s->fwd_at, n + 1);
	segment_give(o, s->fwd, 1, s->fwd_at[n]);
	if (!s->pos)
		return;
	segment_give(o, s->pos, 1, s->n_pos);
	segment_give(o, s->pos_at, sizeof *s->pos_at, s->n_terms);
	segment_give(o, s->block_pos, sizeof *s->block_pos, s->n_blocks);
}

/* ---- looking at it ---- */

/* What was read so far of a term: each thing begins where the one before it ended. */
struct check {
	const struct seg *s;
	const struct term *t;
	uint64_t n_blocks, pos; /* of all terms */
	uint64_t at, pos_at;    /* of this one */
	uint32_t before;        /* document */
	uint32_t docs[PACK_N], tf[BM25_FIELDS_MAX * PACK_N];
};

/* Bytes of n packed postings at p; 0: they do not lie before `end`. */
static uint64_t packed_bytes(const struct seg *s, const uint8_t *p, const uint8_t *end, uint32_t n)
{
	uint64_t bytes = 1 + s->n_fields;
	if ((uint64_t)(end - p) < bytes)
		return 0;
	for (uint32_t f = 0; f <= s->n_fields; f++) {
		if (p[f] > 32)
			return 0;
		bytes += pack_bytes_of(p[f], n);
	}
	return bytes <= (uint64_t)(end - p) ? bytes : 0;
}

/* The same of a tail of varints. */
static uint64_t tail_bytes(const struct seg *s, const uint8_t *from, const uint8_t *end, uint32_t n)
{
	const uint8_t *p = from;
	for (uint32_t i = 0; i < n && p; i++) {
		bool once = p < end && (*p & 1);
		p = varint_check(p, end);
		for (uint32_t f = 0; f < s->n_fields && !once && p; f++)
			p = varint_check(p, end);
	}
	return p ? (uint64_t)(p - from) : 0;
}

static bool docs_valid(struct check *c, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (c->docs[i] >= c->s->base.n_docs ||
			(c->before != UINT32_MAX && c->docs[i] <= c->before))
			return false;
		c->before = c->docs[i];
	}
	return true;
}

/* As many positions as the postings say. */
static bool positions_valid(struct check *c, uint32_t n)
{
	const uint8_t *p = c->s->pos + c->pos, *end = c->s->pos + c->s->n_pos;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t all = 0;
		for (uint32_t f = 0; f < c->s->n_fields; f++)
			all += c->tf[f * PACK_N + i];
		if (all > (uint64_t)(end - p))
			return false;
		for (; all && p; all--)
			p = varint_check(p, end);
		if (!p)
			return false;
	}
	c->pos = (uint64_t)(p - c->s->pos);
	return true;
}

static bool block_valid(struct check *c, uint32_t block)
{
	const struct seg *s = c->s;
	const struct term *t = c->t;
	bool full = block < full_blocks(t);
	uint32_t n = full ? PACK_N : t->n % PACK_N;
	const uint8_t *p = s->posts + t->post_at + c->at, *end = s->posts + t[1].post_at;
	if ((full ? s->blocks[t->block_at + block].at : t->tail_at) != c->at)
		return false;
	uint64_t bytes =
		full || n >= PACKED_TAIL ? packed_bytes(s, p, end, n) : tail_bytes(s, p, end, n);
	if (!bytes)
		return false;
	c->at += bytes;
	bm25_block_read(s, t, block, c->docs, c->tf);
	if (!docs_valid(c, n) || (full && s->blocks[t->block_at + block].last != c->before))
		return false;
	if (!s->pos)
		return true;
	return positions_valid(c, n) &&
	       (!full || s->block_pos[t->block_at + block] == c->pos - c->pos_at);
}

static bool term_valid(struct check *c, uint32_t term)
{
	const struct seg *s = c->s;
	const struct term *t = c->t = &s->terms[term];
	if (!t->n || t->n > s->base.n_docs || t->post_at > t[1].post_at ||
		t->name_at > t[1].name_at || t->block_at != c->n_blocks ||
		full_blocks(t) > s->n_blocks - c->n_blocks ||
		(term && str_cmp(bm25_seg_name(s, term - 1), bm25_seg_name(s, term)) >= 0) ||
		(s->pos && s->pos_at[term] != c->pos))
		return false;
	c->before = UINT32_MAX;
	c->at = 0;
	c->pos_at = c->pos;
	for (uint32_t b = 0; b < all_blocks(t); b++)
		if (!block_valid(c, b))
			return false;
	c->n_blocks += full_blocks(t);
	/* A term of full blocks alone says too where its tail would be. */
	return t->tail_at <= c->at && t->post_at + c->at == t[1].post_at;
}

/* Names and postings lie where the table of terms says, one after the other: all bounds first. */
static bool bounds_valid(const struct seg *s, uint64_t n_names)
{
	const struct term *end = &s->terms[s->n_terms];
	for (uint32_t t = 0; t < s->n_terms; t++)
		if (s->terms[t].name_at > s->terms[t + 1].name_at ||
			s->terms[t].post_at > s->terms[t + 1].post_at)
			return false;
	return end->name_at == n_names && end->post_at + POSTS_SPARE == s->n_posts &&
	       (!s->n_terms || (!s->terms[0].name_at && !s->terms[0].post_at));
}

/* The terms of each document, ascending; of each term as many as it has documents, so that no count
 * of the living falls below 0. */
static bool forward_valid(const struct seg *s)
{
	uint32_t *n = calloc((size_t)s->n_terms + 1, sizeof *n);
	bool ok = n && s->fwd_at[0] == 0;
	for (uint32_t d = 0; d < s->base.n_docs && ok; d++)
		ok = s->fwd_at[d] <= s->fwd_at[d + 1];
	for (uint32_t d = 0; d < s->base.n_docs && ok; d++) {
		const uint8_t *p = s->fwd + s->fwd_at[d], *end = s->fwd + s->fwd_at[d + 1];
		uint64_t term = 0;
		for (uint32_t gap; p < end && ok;) {
			ok = varint_check(p, end) != NULL;
			if (!ok)
				break;
			p = varint_get(p, &gap);
			term += gap;
			ok = gap && term <= s->n_terms;
			if (ok)
				n[term - 1]++;
		}
	}
	for (uint32_t t = 0; t < s->n_terms && ok; t++)
		ok = n[t] == s->terms[t].n;
	free(n);
	return ok;
}

static bool valid(const struct seg *s, uint64_t n_names)
{
	struct check *c = malloc(sizeof *c);
	bool ok = c && bounds_valid(s, n_names);
	if (ok)
		*c = (struct check){.s = s};
	for (uint32_t t = 0; t < s->n_terms && ok; t++)
		ok = term_valid(c, t);
	ok = ok && c->n_blocks == s->n_blocks && (!s->pos || c->pos == s->n_pos) &&
	     forward_valid(s);
	free(c);
	return ok;
}

/* ---- reading ---- */

static void take_arrays(struct segment_in *in, struct seg *s, const struct counts *c)
{
	size_t n = s->base.n_docs, n_fwd;
	s->len = (uint32_t *)segment_take(in, sizeof *s->len, n * s->n_fields);
	s->terms = (struct term *)segment_take(in, sizeof *s->terms, (size_t)s->n_terms + 1);
	s->names = (char *)segment_take(in, 1, c->n_names);
	s->blocks = (struct block *)segment_take(in, sizeof *s->blocks, s->n_blocks);
	s->posts = (uint8_t *)segment_take(in, 1, s->n_posts);
	s->fwd_at = (uint64_t *)segment_take(in, sizeof *s->fwd_at, n + 1);
	s->fwd = (uint8_t *)segment_take_all(in, 1, &n_fwd);
	s->base.bytes += n * s->n_fields * sizeof *s->len +
			 ((size_t)s->n_terms + 1) * sizeof *s->terms + c->n_names +
			 s->n_blocks * sizeof *s->blocks + s->n_posts + n * sizeof *s->fwd_at +
			 n_fwd;
	if (!segment_is_bad(in) && s->fwd_at[n] != n_fwd)
		segment_bad(in, "impossible lists of terms");
	if (!c->positions)
		return;
	s->pos = (uint8_t *)segment_take(in, 1, s->n_pos);
	s->pos_at = (uint64_t *)segment_take(in, sizeof *s->pos_at, s->n_terms);
	s->block_pos = (uint32_t *)segment_take(in, sizeof *s->block_pos, s->n_blocks);
	s->base.bytes +=
		s->n_pos + s->n_terms * sizeof *s->pos_at + s->n_blocks * sizeof *s->block_pos;
}

struct segment *bm25_seg_read(struct segments *base_x, struct segment_in *in)
{
	const struct bm25 *x = (const struct bm25 *)(const void *)base_x;
	struct counts c = {0};
	if (!segment_take_copy(in, &c, sizeof c))
		return NULL;
	if (c.n_fields != bm25_model(x)->n_fields || c.positions != bm25_positions(x) ||
		c.n_terms == UINT32_MAX || c.n_names > UINT32_MAX || c.n_posts < POSTS_SPARE)
		return segment_bad(in, "impossible numbers");
	struct segment *base = segment_take_keys(in, sizeof(struct seg));
	struct seg *s = (struct seg *)(void *)base;
	if (!s)
		return NULL;
	s->n_terms = c.n_terms;
	s->n_fields = c.n_fields;
	s->n_blocks = c.n_blocks;
	s->n_posts = c.n_posts;
	s->n_pos = c.n_pos;
	s->ref = c.ref;
	take_arrays(in, s, &c);
	if (!segment_is_bad(in) && !valid(s, c.n_names))
		segment_bad(in, "impossible postings");
	if (segment_is_bad(in) || bm25_seg_hash(s)) {
		base->bytes += s->n_slots * sizeof *s->slots;
		return base;
	}
	segment_put(&bm25_kind, base);
	return NULL;
}
