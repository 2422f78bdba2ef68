/* A segment of the sparse index: reading its blocks, making it from vectors or from the living of
 * other segments. */
#include "vector/sparse_int.h"
#include "base/room.h"

#include <math.h>
#include <stdlib.h>

/* Behind the data: a block is unpacked as if it were full. */
enum { ROOM = PACK_N * sizeof(uint32_t) };

static void clear(struct segment *base)
{
	struct sseg *s = (struct sseg *)(void *)base;
	segment_free(base, s->terms);
	segment_free(base, s->blocks);
	segment_free(base, s->data);
}

const struct sterm *sseg_find(const struct sseg *s, uint32_t index)
{
	uint32_t lo = 0, hi = s->n_terms;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (s->terms[mid].index < index)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < s->n_terms && s->terms[lo].index == index ? &s->terms[lo] : NULL;
}

uint32_t sseg_read(const struct sseg *s, const struct sterm *t, uint32_t block,
	uint32_t docs[PACK_N], float values[PACK_N])
{
	const struct sblock *b = &s->blocks[t->first + block];
	const uint8_t *p = s->data + b->at;
	uint32_t n = MIN(t->n - block * PACK_N, (uint32_t)PACK_N);
	unsigned bits = *p++;
	unpack_ascending(p, bits, block ? b[-1].last : UINT32_MAX, docs);
	memcpy(values, p + pack_bytes_of(bits, n), n * sizeof *values);
	return n;
}

/* ---- writing ---- */

struct writer {
	struct sseg *s;
	struct buf data;
	size_t cap_terms, cap_blocks;
	bool failed;
	/* of the term at hand */
	uint32_t before; /* the last document of the block before */
};

static struct writer writer_new(size_t n_docs)
{
	struct writer w = {.s = calloc(1, sizeof *w.s)};
	if (w.s) {
		atomic_init(&w.s->base.refs, 1);
		w.s->base.keys = malloc((n_docs + 1) * sizeof *w.s->base.keys);
		w.s->base.n_docs = (uint32_t)n_docs;
	}
	w.failed = !w.s || !w.s->base.keys || n_docs >= INT32_MAX;
	return w;
}

static void write_block(struct writer *w, const uint32_t *docs, const float *values, uint32_t n)
{
	uint32_t gaps[PACK_N] = {0};
	uint8_t packed[PACK_N * sizeof(uint32_t)];
	struct sseg *s = w->s;
	struct sblock b = {docs[n - 1], values[0], values[0], w->data.n};
	for (uint32_t i = 0; i < n; i++) {
		gaps[i] = docs[i] - (i ? docs[i - 1] : w->before) - 1;
		b.lo = MIN(b.lo, values[i]);
		b.hi = MAX(b.hi, values[i]);
	}
	unsigned bits = pack_bits(gaps);
	pack128(gaps, bits, packed);
	buf_putc(&w->data, (char)bits);
	buf_add(&w->data, packed, pack_bytes_of(bits, n));
	buf_add(&w->data, values, n * sizeof *values);
	w->before = b.last;
	if (w->failed || w->data.err || !heap_room(s->blocks, s->n_blocks, w->cap_blocks))
		w->failed = true;
	else
		s->blocks[s->n_blocks++] = b;
}

/* All postings of an index, documents ascending. */
static void write_term(
	struct writer *w, uint32_t index, const uint32_t *docs, const float *values, size_t n)
{
	struct sseg *s = w->s;
	if (w->failed || !n || !heap_room(s->terms, s->n_terms, w->cap_terms)) {
		w->failed |= n > 0;
		return;
	}
	s->terms[s->n_terms++] = (struct sterm){index, (uint32_t)n, s->n_blocks};
	w->before = UINT32_MAX;
	for (size_t i = 0; i < n && !w->failed; i += PACK_N)
		write_block(w, docs + i, values + i, (uint32_t)MIN(n - i, (size_t)PACK_N));
}

static struct sseg *writer_end(struct writer *w)
{
	static const uint8_t room[ROOM] = {0};
	struct sseg *s = w->s;
	buf_add(&w->data, room, sizeof room);
	if (w->failed || w->data.err) {
		buf_free(&w->data);
		segment_put(&sparse_kind, s ? &s->base : NULL);
		return NULL;
	}
	/* without what growing left */
	struct sterm *terms = realloc(s->terms, (s->n_terms + 1) * sizeof *terms);
	struct sblock *blocks = realloc(s->blocks, (s->n_blocks + 1) * sizeof *blocks);
	s->terms = terms ? terms : s->terms;
	s->blocks = blocks ? blocks : s->blocks;
	s->data = realloc(w->data.p, w->data.n);
	if (!s->data)
		s->data = (uint8_t *)w->data.p;
	s->n_data = w->data.n;
	s->base.bytes = sizeof *s + s->base.n_docs * sizeof *s->base.keys +
			s->n_terms * sizeof *terms + s->n_blocks * sizeof *blocks + w->data.n;
	return s;
}

/* ---- from vectors ---- */

struct posting {
	uint32_t index, doc;
	float value;
};

static int by_key(const void *a, const void *b)
{
	const struct sdoc *x = a, *y = b;
	return (x->key > y->key) - (x->key < y->key);
}

/* By index, documents stay in their order: two rounds of counting, of 16 bits each. */
static bool sort_postings(struct posting *p, size_t n)
{
	struct posting *other = malloc((n + 1) * sizeof *other);
	size_t *count = malloc(65537 * sizeof *count);
	for (unsigned shift = 0; other && count && shift < 32; shift += 16) {
		struct posting *from = shift ? other : p, *to = shift ? p : other;
		memset(count, 0, 65537 * sizeof *count);
		for (size_t i = 0; i < n; i++)
			count[(from[i].index >> shift & 0xFFFF) + 1]++;
		for (size_t i = 1; i < 65537; i++)
			count[i] += count[i - 1];
		for (size_t i = 0; i < n; i++)
			to[count[from[i].index >> shift & 0xFFFF]++] = from[i];
	}
	bool ok = other && count;
	free(other);
	free(count);
	return ok;
}

static int by_index(const void *a, const void *b)
{
	const struct posting *x = a, *y = b;
	if (x->index != y->index)
		return x->index < y->index ? -1 : 1;
	return (x->doc > y->doc) - (x->doc < y->doc);
}

static void write_postings(struct writer *w, const struct posting *p, size_t n)
{
	uint32_t *docs = malloc((n + 1) * sizeof *docs);
	float *values = malloc((n + 1) * sizeof *values);
	w->failed |= !docs || !values;
	for (size_t i = 0, to; i < n && !w->failed; i = to) {
		for (to = i; to < n && p[to].index == p[i].index; to++) {
			docs[to - i] = p[to].doc;
			values[to - i] = p[to].value;
		}
		write_term(w, p[i].index, docs, values, to - i);
	}
	free(docs);
	free(values);
}

struct sseg *sseg_make(struct sdoc *docs, size_t n)
{
	enum { FEW = 1 << 14 };
	struct writer w = writer_new(n);
	size_t n_all = 0;
	qsort(docs, n, sizeof *docs, by_key);
	for (size_t i = 0; i < n; i++)
		n_all += docs[i].n;
	struct posting *all = malloc((n_all + 1) * sizeof *all);
	w.failed |= !all;
	for (size_t i = 0, to = 0; i < n && !w.failed; i++) {
		const float *values = sdoc_values(&docs[i]);
		w.s->base.keys[i] = docs[i].key;
		for (uint32_t k = 0; k < docs[i].n; k++)
			all[to++] = (struct posting){docs[i].at[k], (uint32_t)i, values[k]};
	}
	if (!w.failed && n_all > FEW)
		w.failed = !sort_postings(all, n_all);
	else if (!w.failed)
		qsort(all, n_all, sizeof *all, by_index);
	if (!w.failed)
		write_postings(&w, all, n_all);
	free(all);
	return writer_end(&w);
}

/* ---- from segments ---- */

struct merging {
	const struct segment_part *parts;
	size_t n;
	uint32_t **doc;      /* [part][document]: its new number; UINT32_MAX: dead */
	uint32_t *term;      /* [part]: the next one */
	struct posting *row; /* of one index, by new document */
	struct posting *late;
	size_t n_row, cap_row, cap_late;
};

static void merging_free(struct merging *m)
{
	for (size_t i = 0; m->doc && i < m->n; i++)
		free(m->doc[i]);
	free(m->doc);
	free(m->term);
	free(m->row);
	free(m->late);
}

static bool merging_new(struct merging *m)
{
	m->doc = calloc(m->n + 1, sizeof *m->doc);
	m->term = calloc(m->n + 1, sizeof *m->term);
	bool ok = m->doc && m->term;
	for (size_t i = 0; ok && i < m->n; i++)
		ok = (m->doc[i] = malloc((m->parts[i].seg->n_docs + 1) * sizeof **m->doc)) != NULL;
	return ok;
}

/* The living of all parts by their keys. */
static void number_docs(struct merging *m, struct writer *w)
{
	uint32_t n = 0;
	uint32_t *at = m->term; /* not in use yet */
	for (;;) {
		size_t best = m->n;
		for (size_t i = 0; i < m->n; i++) {
			const struct segment_part *p = &m->parts[i];
			while (at[i] < p->seg->n_docs && segment_dead(p->live, at[i]))
				m->doc[i][at[i]++] = UINT32_MAX;
			if (at[i] < p->seg->n_docs &&
				(best == m->n ||
					p->seg->keys[at[i]] < m->parts[best].seg->keys[at[best]]))
				best = i;
		}
		if (best == m->n)
			break;
		w->s->base.keys[n] = m->parts[best].seg->keys[at[best]];
		m->doc[best][at[best]++] = n++;
	}
	memset(m->term, 0, m->n * sizeof *m->term);
}

static bool add_row(struct merging *m, size_t part, const struct sterm *t)
{
	uint32_t docs[PACK_N];
	float values[PACK_N];
	for (uint32_t b = 0; b < sblocks_of(t); b++) {
		uint32_t n = sseg_read(sseg_of(&m->parts[part]), t, b, docs, values);
		for (uint32_t i = 0; i < n; i++) {
			uint32_t doc = m->doc[part][docs[i]];
			if (doc == UINT32_MAX)
				continue;
			if (!heap_room(m->row, m->n_row, m->cap_row))
				return false;
			m->row[m->n_row++] = (struct posting){t->index, doc, values[i]};
		}
	}
	return true;
}

/* What stands from `at` on goes to its places among what stands before. Both ascend. */
static bool merge_row(struct merging *m, size_t at)
{
	size_t n_late = m->n_row - at, to = m->n_row;
	if (!at || !n_late)
		return true;
	if (m->cap_late < n_late) {
		struct posting *more = realloc(m->late, n_late * sizeof *more);
		if (!more)
			return false;
		m->late = more;
		m->cap_late = n_late;
	}
	memcpy(m->late, m->row + at, n_late * sizeof *m->late);
	while (n_late) {
		bool early = at && m->row[at - 1].doc > m->late[n_late - 1].doc;
		m->row[--to] = early ? m->row[--at] : m->late[--n_late];
	}
	return true;
}

/* The next index that some part has; false: there is none, or no memory (w->failed). */
static bool next_row(struct merging *m, struct writer *w)
{
	uint32_t index = UINT32_MAX;
	bool any = false;
	m->n_row = 0;
	for (size_t i = 0; i < m->n; i++) {
		const struct sseg *s = sseg_of(&m->parts[i]);
		if (m->term[i] < s->n_terms) {
			index = MIN(index, s->terms[m->term[i]].index);
			any = true;
		}
	}
	for (size_t i = 0; any && i < m->n && !w->failed; i++) {
		const struct sseg *s = sseg_of(&m->parts[i]);
		if (m->term[i] >= s->n_terms || s->terms[m->term[i]].index != index)
			continue;
		size_t before = m->n_row;
		w->failed = !add_row(m, i, &s->terms[m->term[i]++]) || !merge_row(m, before);
	}
	return any && !w->failed;
}

struct sseg *sseg_merge(const struct segment_part *parts, size_t n)
{
	struct merging m = {.parts = parts, .n = n};
	size_t n_docs = 0;
	for (size_t i = 0; i < n; i++)
		n_docs += parts[i].live->n_docs;
	struct writer w = writer_new(n_docs);
	w.failed |= !merging_new(&m);
	uint32_t *docs = malloc((n_docs + 1) * sizeof *docs);
	float *values = malloc((n_docs + 1) * sizeof *values);
	w.failed |= !docs || !values;
	if (!w.failed)
		number_docs(&m, &w);
	while (!w.failed && next_row(&m, &w)) {
		for (size_t i = 0; i < m.n_row; i++) {
			docs[i] = m.row[i].doc;
			values[i] = m.row[i].value;
		}
		write_term(&w, m.n_row ? m.row[0].index : 0, docs, values, m.n_row);
	}
	free(docs);
	free(values);
	merging_free(&m);
	return writer_end(&w);
}

/* ---- files ---- */

struct counts {
	uint64_t n_terms, n_blocks, n_data;
};

static void write_seg(struct segment_out *o, const struct segment *base)
{
	const struct sseg *s = (const struct sseg *)(const void *)base;
	struct counts c = {s->n_terms, s->n_blocks, s->n_data};
	segment_give_copy(o, &c, sizeof c);
	segment_give_keys(o, base);
	segment_give(o, s->terms, sizeof *s->terms, s->n_terms);
	segment_give(o, s->blocks, sizeof *s->blocks, s->n_blocks);
	segment_give(o, s->data, 1, s->n_data);
}

/* A block begins at `at`: is it what it says, within the data? Returns where it ends; 0: no. */
static uint64_t block_end(
	const struct sseg *s, const struct sterm *t, uint32_t block, uint64_t at, uint32_t *before)
{
	const struct sblock *b = &s->blocks[t->first + block];
	uint32_t n = MIN(t->n - block * PACK_N, (uint32_t)PACK_N), docs[PACK_N];
	float values[PACK_N];
	if (b->at != at || at >= s->n_data - ROOM || s->data[at] > 32)
		return 0;
	uint64_t end = at + 1 + pack_bytes_of(s->data[at], n) + n * sizeof *values;
	if (end > s->n_data - ROOM)
		return 0;
	sseg_read(s, t, block, docs, values);
	for (uint32_t i = 0; i < n; i++) {
		if (docs[i] >= s->base.n_docs || (*before != UINT32_MAX && docs[i] <= *before) ||
			!isfinite(values[i]) || values[i] < b->lo || values[i] > b->hi)
			return 0;
		*before = docs[i];
	}
	return *before == b->last ? end : 0;
}

static bool valid(const struct sseg *s)
{
	uint64_t blocks = 0, at = 0;
	for (uint32_t i = 0; i < s->n_terms; i++) {
		const struct sterm *t = &s->terms[i];
		uint32_t before = UINT32_MAX;
		if (!t->n || t->n > s->base.n_docs || t->first != blocks ||
			sblocks_of(t) > s->n_blocks - blocks || (i && t->index <= t[-1].index))
			return false;
		for (uint32_t b = 0; b < sblocks_of(t); b++)
			if (!(at = block_end(s, t, b, at, &before)))
				return false;
		blocks += sblocks_of(t);
	}
	return blocks == s->n_blocks && at == s->n_data - ROOM;
}

static struct segment *read_seg(struct segments *x, struct segment_in *in)
{
	struct counts c = {0};
	(void)x;
	if (!segment_take_copy(in, &c, sizeof c))
		return NULL;
	struct segment *base = segment_take_keys(in, sizeof(struct sseg));
	struct sseg *s = (struct sseg *)(void *)base;
	if (!s || c.n_terms > UINT32_MAX || c.n_data < ROOM)
		return segment_bad(in, "impossible numbers"), base;
	s->n_terms = (uint32_t)c.n_terms;
	s->n_blocks = c.n_blocks;
	s->n_data = c.n_data;
	s->terms = (struct sterm *)segment_take(in, sizeof *s->terms, s->n_terms);
	s->blocks = (struct sblock *)segment_take(in, sizeof *s->blocks, s->n_blocks);
	s->data = (uint8_t *)segment_take(in, 1, s->n_data);
	base->bytes += s->n_terms * sizeof *s->terms + s->n_blocks * sizeof *s->blocks + s->n_data;
	if (!segment_is_bad(in) && !valid(s))
		segment_bad(in, "impossible postings");
	return base;
}

/* ---- as segments.h wants it ---- */

static struct segment *make(struct segments *x, const struct segment_snap *snap)
{
	(void)snap;
	struct sseg *s = sparse_waiting(x);
	return s ? &s->base : NULL;
}

static struct segment *merge(struct segments *x, const struct segment_snap *snap,
	const struct segment_part *parts, size_t n)
{
	(void)x, (void)snap;
	struct sseg *s = sseg_merge(parts, n);
	return s ? &s->base : NULL;
}

const struct segments_kind sparse_kind = {
	.what = "an index of sparse vectors",
	.live_size = sizeof(struct segment_live),
	.snap_size = sizeof(struct segment_snap),
	.tag = 's',
	.clear = clear,
	.write = write_seg,
	.read = read_seg,
	.make = make,
	.merge = merge,
	.drop = sparse_drop,
	.forget = sparse_forget,
};
