/* A segment of the keyword index: its form in memory, and how it is made, from pending items or
 * from the living of other segments. It never changes afterwards. */
#include "base/hash.h"
#include "base/room.h"
#include "vector/bm25_int.h"

#include <math.h>
#include <stdlib.h>

void bm25_seg_clear(struct segment *base)
{
	struct seg *s = (struct seg *)(void *)base;
	void *arrays[] = {s->len, s->terms, s->names, s->slots, s->blocks, s->posts, s->pos,
		s->pos_at, s->block_pos, s->fwd_at, s->fwd};
	for (size_t i = 0; i < ARRAY_LEN(arrays); i++)
		segment_free(base, arrays[i]);
}

void bm25_seg_put(struct seg *s)
{
	segment_put(&bm25_kind, s ? &s->base : NULL);
}

/* ---- reading ---- */

struct str bm25_seg_name(const struct seg *s, uint32_t term)
{
	const struct term *t = &s->terms[term];
	return str_mk(s->names + t->name_at, t[1].name_at - t->name_at);
}

/* Slot of a name: that of its term, or a free one. */
static size_t seg_slot(const struct seg *s, struct str name)
{
	size_t i = hash64(name) & (s->n_slots - 1);
	while (s->slots[i] && !str_eq(bm25_seg_name(s, s->slots[i] - 1), name))
		i = (i + 1) & (s->n_slots - 1);
	return i;
}

bool bm25_seg_find(const struct seg *s, struct str name, uint32_t *term)
{
	uint32_t t = s->slots[seg_slot(s, name)];
	*term = t - 1;
	return t != 0;
}

static void tail_read(
	const struct seg *s, const struct term *t, uint32_t before, uint32_t *docs, uint32_t *tf)
{
	const uint8_t *p = s->posts + t->post_at + t->tail_at;
	uint32_t n = t->n % PACK_N;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t v;
		p = varint_get(p, &v);
		before += 1 + (v >> 1);
		docs[i] = before;
		if (v & 1) {
			tf[i] = 1;
			for (uint32_t f = 1; f < s->n_fields; f++)
				tf[f * PACK_N + i] = 0;
			continue;
		}
		for (uint32_t f = 0; f < s->n_fields; f++)
			p = varint_get(p, &tf[f * PACK_N + i]);
	}
	for (uint32_t i = n; i < PACK_N; i++)
		docs[i] = NO_DOC;
}

/* More than is there is read and unpacked: behind all postings lie POSTS_SPARE bytes. */
static void packed_read(const struct seg *s, const uint8_t *p, uint32_t n, uint32_t before,
	uint32_t *docs, uint32_t *tf)
{
	const uint8_t *bits = p;
	p += 1 + s->n_fields;
	unpack_ascending(p, bits[0], before, docs);
	p += pack_bytes_of(bits[0], n);
	for (uint32_t f = 0; f < s->n_fields; f++) {
		unpack128(p, bits[1 + f], tf + f * PACK_N);
		p += pack_bytes_of(bits[1 + f], n);
	}
	for (uint32_t i = 0; s->n_fields == 1 && i < PACK_N; i++)
		tf[i]++;
	for (uint32_t i = n; i < PACK_N; i++)
		docs[i] = NO_DOC;
}

uint32_t bm25_block_read(
	const struct seg *s, const struct term *t, uint32_t block, uint32_t *docs, uint32_t *tf)
{
	const struct block *b = &s->blocks[t->block_at + block];
	uint32_t before = block ? b[-1].last : UINT32_MAX, n = t->n % PACK_N;
	if (block < full_blocks(t)) {
		packed_read(s, s->posts + t->post_at + b->at, PACK_N, before, docs, tf);
		return PACK_N;
	}
	if (n >= PACKED_TAIL)
		packed_read(s, s->posts + t->post_at + t->tail_at, n, before, docs, tf);
	else
		tail_read(s, t, before, docs, tf);
	return n;
}

const uint8_t *bm25_block_positions(const struct seg *s, uint32_t term, uint32_t block)
{
	const uint8_t *p = s->pos + s->pos_at[term];
	return block ? p + s->block_pos[s->terms[term].block_at + block - 1] : p;
}

void bm25_reader_start(struct reader *r, const struct seg *s, uint32_t term)
{
	r->s = s;
	r->t = &s->terms[term];
	r->block = r->n = r->i = 0;
	r->pos = s->pos ? bm25_block_positions(s, term, 0) : NULL;
}

bool bm25_reader_more(struct reader *r)
{
	if (r->i < r->n)
		return true;
	if (r->block == all_blocks(r->t))
		return false;
	r->n = bm25_block_read(r->s, r->t, r->block++, r->docs, r->tf);
	r->i = 0;
	return true;
}

/* ---- scoring ---- */

float bm25_share(const struct model *m, const struct averages *avg, const struct seg *s,
	uint32_t doc, const uint32_t *tf, size_t stride)
{
	return bm25_share_of(m->k1, m->fields, m->classic ? 0 : m->n_fields, avg->len, tf, stride,
		s->len + doc, s->base.n_docs);
}

/* ---- making one ---- */

struct builder {
	struct seg *s;
	const struct model *m;
	bool failed;
	struct buf names, terms, blocks, posts, pos, pos_at, block_pos;
	/* Of the term at hand: */
	struct term t;
	uint64_t pos_start;
	uint32_t before, n; /* last document of the last full block; gathered */
	uint16_t bound;
	uint32_t docs[PACK_N], tf[BM25_FIELDS_MAX * PACK_N];
};

static bool build_start(struct builder *b, const struct model *m, const struct averages *ref,
	size_t docs, bool positions)
{
	*b = (struct builder){.s = calloc(1, sizeof *b->s), .m = m};
	if (!b->s)
		return false;
	struct seg *s = b->s;
	atomic_init(&s->base.refs, 1);
	s->base.n_docs = (uint32_t)docs;
	s->n_fields = m->n_fields;
	s->ref = *ref;
	s->base.keys = malloc((docs + 1) * sizeof *s->base.keys);
	s->len = calloc(docs * m->n_fields + 1, sizeof *s->len);
	s->fwd_at = calloc(docs + 2, sizeof *s->fwd_at);
	if (positions && !buf_reserve(&b->pos, 16))
		return false;
	return docs < NO_DOC - 1 && s->base.keys && s->len && s->fwd_at;
}

static void build_doc(struct builder *b, uint32_t doc, uint64_t key)
{
	b->s->base.keys[doc] = key;
}

static void build_term(struct builder *b, struct str name)
{
	b->failed |= b->names.n > UINT32_MAX - name.n ||
		     b->blocks.n / sizeof(struct block) > UINT32_MAX / 2;
	b->t = (struct term){.post_at = b->posts.n,
		.name_at = (uint32_t)b->names.n,
		.block_at = (uint32_t)(b->blocks.n / sizeof(struct block))};
	b->before = UINT32_MAX;
	b->n = b->bound = 0;
	b->pos_start = b->pos.n;
	buf_adds(&b->names, name);
	if (b->pos.p)
		buf_add(&b->pos_at, &b->pos_start, sizeof b->pos_start);
}

/* The n that are gathered; after them, zeros are packed. */
static void write_packed(struct builder *b, uint32_t n)
{
	uint32_t gaps[PACK_N] = {0}, before = b->before, n_fields = b->m->n_fields;
	uint8_t bits[1 + BM25_FIELDS_MAX];
	for (uint32_t i = 0; i < n; i++) {
		gaps[i] = b->docs[i] - before - 1;
		before = b->docs[i];
		b->tf[i] -= n_fields == 1;
	}
	for (uint32_t f = 0; f < n_fields; f++)
		memset(b->tf + f * PACK_N + n, 0, (PACK_N - n) * sizeof *b->tf);
	for (uint32_t f = 0; f <= n_fields; f++)
		bits[f] = (uint8_t)pack_bits(f ? b->tf + (f - 1) * PACK_N : gaps);
	buf_add(&b->posts, bits, 1 + n_fields);
	for (uint32_t f = 0; f <= n_fields; f++) {
		char *to = buf_reserve(&b->posts, pack_bytes(bits[f]) + 1);
		if (!to)
			return;
		pack128(f ? b->tf + (f - 1) * PACK_N : gaps, bits[f], (uint8_t *)to);
		b->posts.n += pack_bytes_of(bits[f], n);
	}
}

static void write_block(struct builder *b)
{
	uint64_t at = b->posts.n - b->t.post_at, pos_end = b->pos.n - b->pos_start;
	struct block block = {b->docs[PACK_N - 1], (uint32_t)at, b->bound};
	uint32_t end = (uint32_t)pos_end;
	write_packed(b, PACK_N);
	buf_add(&b->blocks, &block, sizeof block);
	if (b->pos.p)
		buf_add(&b->block_pos, &end, sizeof end);
	b->failed |= at > UINT32_MAX || pos_end > UINT32_MAX;
	b->before = block.last;
	b->n = b->bound = 0;
}

static void write_tail(struct builder *b)
{
	uint32_t n_fields = b->m->n_fields, before = b->before;
	char *room = buf_reserve(&b->posts, (size_t)b->n * 5 * (1 + n_fields) + 1);
	if (!room)
		return;
	uint8_t *p = (uint8_t *)room;
	for (uint32_t i = 0; i < b->n; i++) {
		bool once = b->tf[i] == 1;
		for (uint32_t f = 1; f < n_fields; f++)
			once = once && !b->tf[f * PACK_N + i];
		p = varint_put(p, (b->docs[i] - before - 1) << 1 | once);
		before = b->docs[i];
		for (uint32_t f = 0; !once && f < n_fields; f++)
			p = varint_put(p, b->tf[f * PACK_N + i]);
	}
	b->posts.n += (size_t)((char *)p - room);
}

/* Documents come in ascending order. `pos`: their positions, encoded. */
static void build_posting(
	struct builder *b, uint32_t doc, const uint32_t *tf, size_t stride, struct str pos)
{
	float share = bm25_share(b->m, &b->s->ref, b->s, doc, tf, stride);
	float up = ceilf(share * 1.0001f * UINT16_MAX);
	uint16_t bound = up < UINT16_MAX ? (uint16_t)up : UINT16_MAX;
	b->docs[b->n] = doc;
	for (uint32_t f = 0; f < b->m->n_fields; f++)
		b->tf[f * PACK_N + b->n] = tf[f * stride];
	b->bound = MAX(b->bound, bound);
	b->t.bound = MAX(b->t.bound, bound);
	b->t.n++;
	if (b->pos.p)
		buf_adds(&b->pos, pos);
	if (++b->n == PACK_N)
		write_block(b);
}

static void build_term_end(struct builder *b)
{
	uint64_t tail = b->posts.n - b->t.post_at;
	b->failed |= tail > UINT32_MAX;
	b->t.tail_at = (uint32_t)tail;
	b->t.tail_bound = b->bound;
	if (b->n >= PACKED_TAIL)
		write_packed(b, b->n);
	else if (b->n)
		write_tail(b);
	buf_add(&b->terms, &b->t, sizeof b->t);
}

/* The buffer's content at its own size. */
static bool settle(struct buf *b, void *to, size_t *bytes)
{
	if (b->err || !buf_reserve(b, 1))
		return false;
	char *p = realloc(b->p, b->n + 1);
	memcpy(to, p ? &p : &b->p, sizeof p);
	*bytes += b->n;
	*b = (struct buf){0};
	return true;
}

bool bm25_seg_hash(struct seg *s)
{
	s->n_slots = 16;
	while (s->n_slots / 4 * 3 < s->n_terms)
		s->n_slots *= 2;
	s->slots = calloc(s->n_slots, sizeof *s->slots);
	for (uint32_t t = 0; s->slots && t < s->n_terms; t++)
		s->slots[seg_slot(s, bm25_seg_name(s, t))] = t + 1;
	return s->slots != NULL;
}

/* Twice through all postings: how long each document's list is, then the lists. */
static bool build_forward(struct seg *s)
{
	uint32_t *last = calloc((size_t)s->base.n_docs + 1, sizeof *last);
	struct reader *r = malloc(sizeof *r);
	bool ok = last && r;
	for (int pass = 0; ok && pass < 2; pass++) {
		for (uint32_t t = 0; t < s->n_terms; t++)
			for (bm25_reader_start(r, s, t), r->pos = NULL; bm25_reader_more(r);
				r->i++) {
				uint32_t doc = r->docs[r->i];
				uint8_t code[5], *end = varint_put(code, t + 1 - last[doc]);
				if (pass)
					memcpy(s->fwd + s->fwd_at[doc + 1], code,
						(size_t)(end - code));
				s->fwd_at[doc + 1 + !pass] += (uint64_t)(end - code);
				last[doc] = t + 1;
			}
		/* Counts of d stand at d + 2; summed, at d + 1 stands where d begins, and after
		 * the second pass where it ends. */
		if (!pass) {
			for (uint32_t d = 0; d < s->base.n_docs; d++)
				s->fwd_at[d + 2] += s->fwd_at[d + 1];
			s->fwd = malloc(s->fwd_at[s->base.n_docs + 1] + 1);
			ok = s->fwd != NULL;
			memset(last, 0, (size_t)s->base.n_docs * sizeof *last);
		}
	}
	s->base.bytes += s->base.n_docs ? s->fwd_at[s->base.n_docs] : 0;
	free(last);
	free(r);
	return ok;
}

static void build_spare(struct builder *b)
{
	char *spare = buf_reserve(&b->posts, POSTS_SPARE + 1);
	if (!spare)
		return;
	memset(spare, 0, POSTS_SPARE);
	b->posts.n += POSTS_SPARE;
}

/* The segment, or NULL; the builder's life ends. */
static struct seg *build_end(struct builder *b)
{
	struct seg *s = b->s;
	bool positions = b->pos.p != NULL;
	bool ok = s && !b->failed && !b->names.err && !b->terms.err && b->names.n <= UINT32_MAX;
	if (ok) {
		struct term end = {.post_at = b->posts.n, .name_at = (uint32_t)b->names.n};
		s->n_terms = (uint32_t)(b->terms.n / sizeof end);
		buf_add(&b->terms, &end, sizeof end);
		build_spare(b);
		s->n_blocks = b->blocks.n / sizeof *s->blocks;
		s->n_posts = b->posts.n;
		s->n_pos = b->pos.n;
		ok = settle(&b->names, &s->names, &s->base.bytes) &&
		     settle(&b->terms, &s->terms, &s->base.bytes) &&
		     settle(&b->blocks, &s->blocks, &s->base.bytes) &&
		     settle(&b->posts, &s->posts, &s->base.bytes);
	}
	if (ok && positions)
		ok = settle(&b->pos, &s->pos, &s->base.bytes) &&
		     settle(&b->pos_at, &s->pos_at, &s->base.bytes) &&
		     settle(&b->block_pos, &s->block_pos, &s->base.bytes);
	ok = ok && bm25_seg_hash(s) && build_forward(s) && segment_sort(&s->base);
	if (ok)
		s->base.bytes += sizeof *s + s->n_slots * sizeof *s->slots +
				 s->base.n_docs * (sizeof *s->base.keys + sizeof *s->fwd_at +
							  s->n_fields * sizeof *s->len) +
				 (s->base.order ? s->base.n_docs * sizeof *s->base.order : 0);
	struct buf *bufs[] = {
		&b->names, &b->terms, &b->blocks, &b->posts, &b->pos, &b->pos_at, &b->block_pos};
	for (size_t i = 0; i < ARRAY_LEN(bufs); i++)
		buf_free(bufs[i]);
	if (ok)
		return s;
	bm25_seg_put(s);
	return NULL;
}

/* ---- pending items ---- */

static struct str pending_name(const struct pending *p, uint32_t id)
{
	const size_t *ends = (const void *)p->ends.p;
	size_t from = id ? ends[id - 1] : 0;
	return str_mk(p->names.p + from, ends[id] - from);
}

static size_t pending_slot(const struct pending *p, struct str name)
{
	size_t i = hash64(name) & (p->n_slots - 1);
	while (p->slots[i] && !str_eq(pending_name(p, p->slots[i] - 1), name))
		i = (i + 1) & (p->n_slots - 1);
	return i;
}

static bool pending_room(struct pending *p, size_t more)
{
	if (p->n_slots && (p->n_names + more) * 4 <= p->n_slots * 3)
		return true;
	size_t n = MAX(p->n_slots, 64);
	while ((p->n_names + more) * 4 > n * 3)
		n *= 2;
	uint32_t *slots = calloc(n, sizeof *slots);
	if (!slots || p->n_names + more > UINT32_MAX - 1) {
		free(slots);
		return false;
	}
	free(p->slots);
	p->slots = slots;
	p->n_slots = n;
	for (uint32_t i = 0; i < p->n_names; i++)
		p->slots[pending_slot(p, pending_name(p, i))] = i + 1;
	return true;
}

/* Needs room. */
static uint32_t pending_intern(struct pending *p, struct str name)
{
	size_t i = pending_slot(p, name);
	if (!p->slots[i]) {
		buf_adds(&p->names, name);
		buf_add(&p->ends, &p->names.n, sizeof p->names.n);
		p->slots[i] = (uint32_t)++p->n_names;
	}
	return p->slots[i] - 1;
}

bool bm25_pending_add(struct pending *p, const struct model *m, bool positions, uint64_t key,
	const struct bm25_text *texts)
{
	size_t n = 0, bytes = 0;
	for (uint32_t f = 0; f < m->n_fields; f++) {
		n += texts[f].n;
		for (size_t i = 0; i < texts[f].n; i++)
			bytes += texts[f].terms[i].n;
	}
	bool ok = heap_room(p->docs, p->n, p->cap) && pending_room(p, n) &&
		  buf_reserve(&p->len, m->n_fields * sizeof(uint32_t)) &&
		  buf_reserve(&p->ids, n * sizeof(uint32_t) + 1) &&
		  buf_reserve(&p->at, positions ? n * sizeof(uint32_t) + 1 : 1) &&
		  buf_reserve(&p->names, bytes + 1) &&
		  buf_reserve(&p->ends, n * sizeof(size_t) + 1);
	if (!ok) {
		p->len.err = p->ids.err = p->at.err = p->names.err = p->ends.err = OK;
		return false;
	}
	/* Nothing can fail from here. */
	p->n_living++;
	p->docs[p->n++] = (struct pending_doc){key, p->ids.n / sizeof(uint32_t), false};
	for (uint32_t f = 0; f < m->n_fields; f++) {
		uint32_t len = (uint32_t)texts[f].n;
		buf_add(&p->len, &len, sizeof len);
		for (uint32_t i = 0; i < len; i++) {
			uint32_t id = pending_intern(p, texts[f].terms[i]);
			uint32_t at = texts[f].at ? texts[f].at[i] : i;
			buf_add(&p->ids, &id, sizeof id);
			if (positions)
				buf_add(&p->at, &at, sizeof at);
		}
	}
	return true;
}

void bm25_pending_drop(struct pending *p, uint64_t place)
{
	p->docs[place].dropped = true;
	p->n_living--;
}

void bm25_pending_free(struct pending *p)
{
	free(p->docs);
	free(p->slots);
	struct buf *bufs[] = {&p->len, &p->ids, &p->at, &p->names, &p->ends};
	for (size_t i = 0; i < ARRAY_LEN(bufs); i++)
		buf_free(bufs[i]);
	*p = (struct pending){0};
}

/* Where each term occurs, in the order of documents, fields and positions. */
struct occurrences {
	uint64_t *from;     /* of a pending name; [n_names + 1] */
	uint32_t *doc, *at; /* at: field << 24 | position */
	uint32_t *order;    /* names that occur, in byte order */
	uint32_t n_order;
};

static int by_name(const void *a, const void *b, void *ctx)
{
	return str_cmp(
		pending_name(ctx, *(const uint32_t *)a), pending_name(ctx, *(const uint32_t *)b));
}

static void fill_occurrences(
	struct occurrences *o, const struct pending *p, const struct model *m, struct builder *b)
{
	const uint32_t *len = (const void *)p->len.p, *ids = (const void *)p->ids.p;
	const uint32_t *at = p->at.n ? (const void *)p->at.p : NULL;
	uint32_t doc = 0;
	for (size_t d = 0; d < p->n; d++) {
		if (p->docs[d].dropped)
			continue;
		size_t i = p->docs[d].first;
		build_doc(b, doc, p->docs[d].key);
		for (uint32_t f = 0; f < m->n_fields; f++) {
			uint32_t n = len[d * m->n_fields + f];
			b->s->len[(size_t)f * b->s->base.n_docs + doc] = n;
			for (uint32_t j = 0; j < n; j++, i++) {
				uint64_t to = o->from[ids[i]]++;
				o->doc[to] = doc;
				o->at[to] = f << 24 | (at ? at[i] : 0);
			}
		}
		doc++;
	}
	/* from[] has moved to where each ends. */
	memmove(o->from + 1, o->from, p->n_names * sizeof *o->from);
	o->from[0] = 0;
}

static bool find_occurrences(
	struct occurrences *o, const struct pending *p, const struct model *m, struct builder *b)
{
	const uint32_t *len = (const void *)p->len.p, *ids = (const void *)p->ids.p;
	uint64_t total = 0;
	o->from = calloc(p->n_names + 2, sizeof *o->from);
	o->order = malloc((p->n_names + 1) * sizeof *o->order);
	if (!o->from || !o->order)
		return false;
	for (size_t d = 0; d < p->n; d++) {
		size_t n = 0;
		for (uint32_t f = 0; f < m->n_fields; f++)
			n += len[d * m->n_fields + f];
		for (size_t i = 0; !p->docs[d].dropped && i < n; i++, total++)
			o->from[ids[p->docs[d].first + i] + 1]++;
	}
	for (uint32_t t = 0; t < p->n_names; t++) {
		if (o->from[t + 1])
			o->order[o->n_order++] = t;
		o->from[t + 1] += o->from[t];
	}
	o->doc = malloc((total + 1) * sizeof *o->doc);
	o->at = malloc((total + 1) * sizeof *o->at);
	if (!o->doc || !o->at)
		return false;
	fill_occurrences(o, p, m, b);
	qsort_r(o->order, o->n_order, sizeof *o->order, by_name, (void *)p);
	return true;
}

/* The occurrences [i, ...) of one document; returns where the next one's begin. */
static uint64_t build_from_occurrences(
	struct builder *b, const struct occurrences *o, uint64_t i, uint64_t end, struct buf *pos)
{
	uint32_t tf[BM25_FIELDS_MAX] = {0}, doc = o->doc[i], last = 0, field = UINT32_MAX;
	buf_clear(pos);
	for (; i < end && o->doc[i] == doc; i++) {
		uint32_t f = o->at[i] >> 24, at = o->at[i] & (BM25_TERMS_MAX - 1);
		uint8_t code[5];
		tf[f]++;
		if (!b->pos.p)
			continue;
		buf_add(pos, code, (size_t)(varint_put(code, f == field ? at - last : at) - code));
		field = f;
		last = at;
	}
	b->failed |= pos->err != OK;
	build_posting(b, doc, tf, 1, buf_str(pos));
	return i;
}

struct seg *bm25_seg_from_pending(
	const struct pending *p, const struct model *m, const struct averages *ref, bool positions)
{
	struct builder *b = malloc(sizeof *b);
	struct occurrences o = {0};
	struct buf pos = {0};
	struct seg *s = NULL;
	if (!b)
		return NULL;
	bool ok = build_start(b, m, ref, p->n_living, positions) && find_occurrences(&o, p, m, b);
	for (uint32_t t = 0; ok && t < o.n_order; t++) {
		uint32_t id = o.order[t];
		build_term(b, pending_name(p, id));
		for (uint64_t i = o.from[id]; i < o.from[id + 1];)
			i = build_from_occurrences(b, &o, i, o.from[id + 1], &pos);
		build_term_end(b);
	}
	free(o.from);
	free(o.doc);
	free(o.at);
	free(o.order);
	buf_free(&pos);
	b->failed |= !ok;
	s = build_end(b);
	free(b);
	return s;
}

/* ---- merging ---- */

struct source {
	const struct segment_part *part;
	uint32_t term; /* at hand */
	uint32_t *to;  /* documents to those of the new segment; UINT32_MAX: dead */
};

static bool sources_make(
	struct source *src, const struct segment_part *parts, size_t n, struct builder *b)
{
	uint32_t doc = 0;
	for (size_t i = 0; i < n; i++) {
		const struct seg *s = seg_of(&parts[i]);
		src[i] = (struct source){
			&parts[i], 0, malloc(((size_t)s->base.n_docs + 1) * sizeof(uint32_t))};
		if (!src[i].to)
			return false;
		for (uint32_t d = 0; d < s->base.n_docs; d++) {
			src[i].to[d] = segment_dead(parts[i].live, d) ? UINT32_MAX : doc;
			if (segment_dead(parts[i].live, d))
				continue;
			build_doc(b, doc, s->base.keys[d]);
			for (size_t f = 0; f < s->n_fields; f++)
				b->s->len[f * b->s->base.n_docs + doc] =
					s->len[f * s->base.n_docs + d];
			doc++;
		}
	}
	return true;
}

/* The least name that a source stands at; {NULL, 0}: all are through. */
static struct str least_name(struct source *src, size_t n)
{
	struct str least = {0};
	for (size_t i = 0; i < n; i++) {
		const struct seg *s = seg_of(src[i].part);
		while (src[i].term < s->n_terms && !live_df(src[i].part, src[i].term))
			src[i].term++;
		if (src[i].term == s->n_terms)
			continue;
		struct str name = bm25_seg_name(s, src[i].term);
		if (!least.p || str_cmp(name, least) < 0)
			least = name;
	}
	return least;
}

static void merge_term(struct builder *b, struct source *src, struct reader *r)
{
	const struct seg *s = seg_of(src->part);
	for (bm25_reader_start(r, s, src->term); bm25_reader_more(r); r->i++) {
		const uint8_t *from = r->pos;
		if (from) {
			uint32_t n = 0;
			for (uint32_t f = 0; f < s->n_fields; f++)
				n += r->tf[f * PACK_N + r->i];
			r->pos = varints_skip(from, n);
		}
		uint32_t doc = src->to[r->docs[r->i]];
		if (doc != UINT32_MAX)
			build_posting(b, doc, r->tf + r->i, PACK_N,
				str_mk(from, from ? (size_t)(r->pos - from) : 0));
	}
}

struct seg *bm25_seg_merge(const struct segment_part *parts, size_t n, const struct model *m,
	const struct averages *ref)
{
	size_t docs = 0;
	for (size_t i = 0; i < n; i++)
		docs += parts[i].live->n_docs;
	struct builder *b = malloc(sizeof *b);
	struct reader *r = malloc(sizeof *r);
	struct source *src = calloc(n + 1, sizeof *src);
	struct seg *s = NULL;
	if (b) {
		bool ok = build_start(b, m, ref, docs, n && seg_of(&parts[0])->pos) && r && src &&
			  sources_make(src, parts, n, b);
		for (struct str name; ok && (name = least_name(src, n)).p;) {
			build_term(b, name);
			for (size_t i = 0; i < n; i++) {
				const struct seg *from = seg_of(src[i].part);
				if (src[i].term < from->n_terms &&
					str_eq(bm25_seg_name(from, src[i].term), name)) {
					merge_term(b, &src[i], r);
					src[i].term++;
				}
			}
			build_term_end(b);
		}
		b->failed |= !ok;
		s = build_end(b);
	}
	for (size_t i = 0; src && i < n; i++)
		free(src[i].to);
	free(src);
	free(r);
	free(b);
	return s;
}

/* ---- postings that a query makes ---- */

struct seg *bm25_seg_of_postings(const struct seg *like, const struct model *m,
	const uint32_t *docs, const uint32_t *tf, size_t n)
{
	struct builder *b = malloc(sizeof *b);
	struct seg *s = NULL;
	if (!b)
		return NULL;
	*b = (struct builder){.s = calloc(1, sizeof *s), .m = m};
	bool ok = b->s != NULL;
	if (ok) {
		atomic_init(&b->s->base.refs, 1);
		b->s->base.n_docs = like->base.n_docs;
		b->s->n_fields = like->n_fields;
		b->s->len = like->len; /* borrowed while it is made */
		b->s->ref = like->ref;
		build_term(b, S(""));
		for (size_t i = 0; i < n; i++)
			build_posting(b, docs[i], tf + i * m->n_fields, 1, S(""));
		build_term_end(b);
		b->s->len = NULL;
		build_spare(b);
		ok = !b->failed && !b->terms.err &&
		     settle(&b->terms, &b->s->terms, &b->s->base.bytes) &&
		     settle(&b->blocks, &b->s->blocks, &b->s->base.bytes) &&
		     settle(&b->posts, &b->s->posts, &b->s->base.bytes);
	}
	s = b->s;
	buf_free(&b->names);
	buf_free(&b->terms);
	buf_free(&b->blocks);
	buf_free(&b->posts);
	free(b);
	if (ok)
		return s;
	bm25_seg_put(s);
	return NULL;
}
