/* Which terms of the vocabulary a prefix or a misspelt term stands for. The vocabulary of a segment
 * is in byte order: a prefix is a slice of it, and distances of edits are computed once for what
 * neighbours have in common, and for nothing that begins as what is too far already. */
#include "base/room.h"
#include "vector/bm25_int.h"

#include <stdlib.h>

/* So many terms are looked at before the best are chosen. */
enum { FOUND_MAX = 1 << 16 };

struct found {
	struct expansion *list;
	size_t n, cap;
	bool failed, cut;
};

static bool add_found(struct found *f, const struct segment_part *p, uint32_t term, unsigned edits)
{
	uint32_t df = live_df(p, term);
	if (!df)
		return true;
	if (f->n == FOUND_MAX || !heap_room(f->list, f->n, f->cap)) {
		f->cut |= f->n == FOUND_MAX;
		f->failed |= f->n < FOUND_MAX;
		return false;
	}
	f->list[f->n++] = (struct expansion){bm25_seg_name(seg_of(p), term), df, edits};
	return true;
}

/* The first term from `lo` on that is not before the name, or, with `past`, that does not begin so.
 */
static uint32_t first_term(const struct seg *s, uint32_t lo, struct str name, bool past)
{
	uint32_t hi = s->n_terms;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		struct str t = bm25_seg_name(s, mid);
		if (str_cmp(t, name) < 0 || (past && str_starts(t, name)))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void find_prefix(struct found *f, const struct segment_part *p, struct str prefix)
{
	for (uint32_t t = first_term(seg_of(p), 0, prefix, false);
		t < seg_of(p)->n_terms && str_starts(bm25_seg_name(seg_of(p), t), prefix); t++)
		if (!add_found(f, p, t, 0))
			return;
}

/* Rows of distances between what a term begins with and what the wanted one does; a row for each
 * code point of the former. */
struct rows {
	uint32_t want[BM25_FUZZY_MAX];
	unsigned n, edits;
	uint8_t row[BM25_FUZZY_MAX + 4][BM25_FUZZY_MAX + 1];
	size_t end[BM25_FUZZY_MAX + 4]; /* bytes of that many code points */
	unsigned depth;                 /* rows that hold for the term before */
};

/* The row below `depth` for one more code point; its least. */
static unsigned next_row(struct rows *r, unsigned depth, uint32_t cp)
{
	const uint8_t *above = r->row[depth];
	uint8_t *here = r->row[depth + 1];
	unsigned least = here[0] = (uint8_t)(depth + 1);
	for (unsigned j = 1; j <= r->n; j++) {
		unsigned d = above[j - 1] + (r->want[j - 1] != cp);
		d = MIN(d, MIN(above[j], here[j - 1]) + 1u);
		here[j] = (uint8_t)d;
		least = MIN(least, d);
	}
	return least;
}

/* Goes on with a term; false: nothing that begins with its first *bytes bytes is near. */
static bool follow(struct rows *r, struct str term, size_t *bytes)
{
	size_t at = r->end[r->depth];
	while (at < term.n) {
		uint32_t cp;
		size_t n = utf8_decode(str_sub(term, at, term.n), &cp);
		unsigned least = next_row(r, r->depth, cp);
		at += n;
		if (least > r->edits) {
			*bytes = at;
			return false;
		}
		r->end[++r->depth] = at;
	}
	return true;
}

static void find_fuzzy(struct found *f, const struct segment_part *p, struct rows *r)
{
	struct str before = {0};
	r->depth = 0;
	for (uint32_t t = 0; t < seg_of(p)->n_terms;) {
		struct str term = bm25_seg_name(seg_of(p), t);
		size_t same = 0, far;
		while (same < term.n && same < before.n && term.p[same] == before.p[same])
			same++;
		while (r->depth && r->end[r->depth] > same)
			r->depth--;
		before = term;
		if (!follow(r, term, &far)) {
			t = first_term(seg_of(p), t + 1, str_sub(term, 0, far), true);
			continue;
		}
		unsigned edits = r->row[r->depth][r->n];
		if (edits <= r->edits && !add_found(f, p, t, edits))
			return;
		t++;
	}
}

static bool rows_make(struct rows *r, struct str term, unsigned edits)
{
	*r = (struct rows){.edits = edits};
	for (size_t at = 0; at < term.n;) {
		if (r->n == BM25_FUZZY_MAX)
			return false;
		at += utf8_decode(str_sub(term, at, term.n), &r->want[r->n++]);
	}
	for (unsigned j = 0; j <= r->n; j++)
		r->row[0][j] = (uint8_t)j;
	return true;
}

static int by_term(const void *a, const void *b)
{
	const struct expansion *x = a, *y = b;
	return str_cmp(x->term, y->term);
}

static int by_worth(const void *a, const void *b)
{
	const struct expansion *x = a, *y = b;
	if (x->edits != y->edits)
		return x->edits < y->edits ? -1 : 1;
	if (x->df != y->df)
		return x->df > y->df ? -1 : 1;
	return str_cmp(x->term, y->term);
}

/* The same term of several segments is one; then the best. */
static void choose(struct found *f)
{
	size_t n = 0;
	if (f->n)
		qsort(f->list, f->n, sizeof *f->list, by_term);
	for (size_t i = 0; i < f->n; i++) {
		if (n && str_eq(f->list[n - 1].term, f->list[i].term))
			f->list[n - 1].df += f->list[i].df;
		else
			f->list[n++] = f->list[i];
	}
	if (n)
		qsort(f->list, n, sizeof *f->list, by_worth);
	f->cut |= n > BM25_EXPAND_MAX;
	f->n = MIN(n, BM25_EXPAND_MAX);
}

enum err bm25_expand(const struct snap *s, struct str term, bool prefix, unsigned edits,
	struct expansion **out, size_t *n, bool *cut)
{
	struct found f = {0};
	struct rows *r = prefix ? NULL : malloc(sizeof *r);
	if (!prefix && (!r || !rows_make(r, term, edits))) {
		enum err e = r ? ERR_TOO_LARGE : ERR_NOMEM;
		free(r);
		return e;
	}
	for (size_t p = 0; p < s->base.n_parts && !f.failed; p++) {
		if (prefix)
			find_prefix(&f, &s->base.parts[p], term);
		else
			find_fuzzy(&f, &s->base.parts[p], r);
	}
	free(r);
	if (f.failed) {
		free(f.list);
		return ERR_NOMEM;
	}
	choose(&f);
	*out = f.list;
	*n = f.n;
	*cut |= f.cut;
	return OK;
}
