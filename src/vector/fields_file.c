/* The payload index in a file: a segment's arrays as they are, elements inside, and everything
 * looked at before a segment from a file is used: a checksum is no proof. */
#include "vector/fields_int.h"
#include "vector/pack.h"

#include <math.h>
#include <stdlib.h>

/* Payloads are JSON, which the parser takes no deeper. */
enum { DEPTH_MAX = 1024 };

struct counts {
	uint32_t n_docs, n_paths, n_entries, n_numbers;
	uint64_t n_names, n_lists, n_elements;
};
struct element_of {
	uint32_t path, strings;
};

static size_t n_path_names(const struct fseg *s)
{
	return s->n_paths ? s->path_ends[s->n_paths - 1] : 0;
}

static void write_seg(struct segment_out *o, const struct fseg *s)
{
	size_t n_entry = (size_t)s->n_paths * ENTRY_KINDS, n_number = s->n_paths * NUMBER_KINDS;
	struct counts c = {s->base.n_docs, s->n_paths, s->first_entry[n_entry],
		s->first_number[n_number], s->n_names, s->n_lists, s->n_elements};
	segment_give_copy(o, &c, sizeof c);
	if (s->base.keys)
		segment_give_keys(o, &s->base);
	segment_give(o, s->path_ends, sizeof *s->path_ends, s->n_paths);
	segment_give(o, s->path_names, 1, n_path_names(s));
	segment_give(o, s->entries, sizeof *s->entries, c.n_entries);
	segment_give(o, s->first_entry, sizeof *s->first_entry, n_entry + 1);
	segment_give(o, s->names, 1, s->n_names);
	segment_give(o, s->lists, 1, s->n_lists);
	segment_give(o, s->numbers, sizeof *s->numbers, c.n_numbers);
	segment_give(o, s->number_docs, sizeof *s->number_docs, c.n_numbers);
	segment_give(o, s->first_number, sizeof *s->first_number, n_number + 1);
	for (size_t i = 0; i < s->n_elements; i++) {
		const struct felements *e = &s->elements[i];
		struct element_of of = {e->path, e->strings};
		segment_give_copy(o, &of, sizeof of);
		segment_give(o, e->parents, sizeof *e->parents, e->seg->base.n_docs);
		write_seg(o, e->seg);
	}
}

void fields_seg_write(struct segment_out *o, const struct segment *s)
{
	write_seg(o, (const struct fseg *)(const void *)s);
}

/* ---- looking at it ---- */

/* `first` has n + 1 places of things that are `all`. */
static bool firsts_valid(const uint32_t *first, size_t n, uint32_t all)
{
	bool ok = first[0] == 0 && first[n] == all;
	for (size_t i = 0; i < n && ok; i++)
		ok = first[i] <= first[i + 1];
	return ok;
}

static bool paths_valid(const struct fseg *s, size_t n_names)
{
	struct str before = {0};
	size_t from = 0;
	for (uint32_t i = 0; i < s->n_paths; i++) {
		size_t to = s->path_ends[i];
		if (to < from || to > n_names)
			return false;
		struct str name = str_mk(s->path_names + from, to - from);
		if (i && str_cmp(before, name) >= 0)
			return false;
		before = name;
		from = to;
	}
	return from == n_names;
}

static bool bits_valid(const struct fseg *s, const struct entry *e)
{
	const uint8_t *p = s->lists + e->list_at;
	size_t words = segment_words(s->base.n_docs), n = 0;
	uint64_t word = 0;
	if (words * sizeof word > s->n_lists - e->list_at)
		return false;
	for (size_t w = 0; w < words; w++) {
		memcpy(&word, p + w * sizeof word, sizeof word);
		n += (size_t)__builtin_popcountll(word);
	}
	return n == e->n && !(word >> s->base.n_docs % 64);
}

static bool distances_valid(const struct fseg *s, const struct entry *e)
{
	const uint8_t *p = s->lists + e->list_at, *end = s->lists + s->n_lists;
	uint64_t next = 0;
	for (uint32_t i = 0, gap; i < e->n; i++) {
		if (!varint_check(p, end))
			return false;
		p = varint_get(p, &gap);
		next += gap;
		if (!gap || next > s->base.n_docs)
			return false;
	}
	return true;
}

static bool entry_valid(const struct fseg *s, const struct entry *e, enum entry_kind kind)
{
	uint8_t bits;
	memcpy(&bits, &e->bits, 1);
	if (e->name_at > s->n_names || e->name_n > s->n_names - e->name_at || bits > 1 ||
		e->list_at > s->n_lists || e->n > s->base.n_docs ||
		(kind == ENTRY_LONG && e->name_n != 32))
		return false;
	return bits ? bits_valid(s, e) : distances_valid(s, e);
}

static bool entries_valid(const struct fseg *s)
{
	for (size_t i = 0; i < (size_t)s->n_paths * ENTRY_KINDS; i++)
		for (uint32_t j = s->first_entry[i]; j < s->first_entry[i + 1]; j++) {
			const struct entry *e = &s->entries[j];
			if (!entry_valid(s, e, i % ENTRY_KINDS))
				return false;
			if (j > s->first_entry[i] &&
				str_cmp(fields_entry_name(s, e - 1), fields_entry_name(s, e)) >= 0)
				return false;
		}
	return true;
}

static bool numbers_valid(const struct fseg *s)
{
	for (size_t i = 0; i < (size_t)s->n_paths * NUMBER_KINDS; i++)
		for (uint32_t j = s->first_number[i]; j < s->first_number[i + 1]; j++)
			if (s->number_docs[j] >= s->base.n_docs ||
				(i % NUMBER_KINDS == NUMBER_DOUBLE && isnan(s->numbers[j].d)))
				return false;
	return true;
}

/* ---- reading ---- */

static void take_arrays(struct segment_in *in, struct fseg *s, const struct counts *c)
{
	size_t n_entry = (size_t)s->n_paths * ENTRY_KINDS;
	size_t n_number = (size_t)s->n_paths * NUMBER_KINDS, n_names = 0;
	s->path_ends = (size_t *)segment_take(in, sizeof *s->path_ends, s->n_paths);
	s->path_names = (char *)segment_take_all(in, 1, &n_names);
	s->entries = (struct entry *)segment_take(in, sizeof *s->entries, c->n_entries);
	s->first_entry = (uint32_t *)segment_take(in, sizeof *s->first_entry, n_entry + 1);
	s->names = (char *)segment_take(in, 1, s->n_names);
	s->lists = (uint8_t *)segment_take(in, 1, s->n_lists);
	s->numbers = (union number *)segment_take(in, sizeof *s->numbers, c->n_numbers);
	s->number_docs = (uint32_t *)segment_take(in, sizeof *s->number_docs, c->n_numbers);
	s->first_number = (uint32_t *)segment_take(in, sizeof *s->first_number, n_number + 1);
	s->base.bytes += s->n_paths * sizeof *s->path_ends + n_names +
			 c->n_entries * sizeof *s->entries + n_entry * sizeof *s->first_entry +
			 s->n_names + s->n_lists +
			 c->n_numbers * (sizeof *s->numbers + sizeof *s->number_docs) +
			 n_number * sizeof *s->first_number;
	if (!segment_is_bad(in) &&
		(!firsts_valid(s->first_entry, n_entry, c->n_entries) ||
			!firsts_valid(s->first_number, n_number, c->n_numbers) ||
			!paths_valid(s, n_names) || !entries_valid(s) || !numbers_valid(s)))
		segment_bad(in, "impossible lists");
}

static struct fseg *read_seg(struct segment_in *in, unsigned depth);

static bool take_element(
	struct segment_in *in, const struct fseg *s, struct felements *e, unsigned depth)
{
	struct element_of of = {0};
	size_t n;
	bool ok = segment_take_copy(in, &of, sizeof of);
	e->path = of.path;
	e->strings = of.strings;
	e->parents = (uint32_t *)segment_take_all(in, sizeof *e->parents, &n);
	ok = ok && e->parents && (e->seg = read_seg(in, depth)) && !segment_is_bad(in);
	if (ok && (e->path >= s->n_paths || of.strings > 1 || n != e->seg->base.n_docs))
		segment_bad(in, "impossible elements");
	for (size_t i = 0; ok && !segment_is_bad(in) && i < n; i++)
		if (e->parents[i] >= s->base.n_docs)
			segment_bad(in, "impossible elements");
	return ok && !segment_is_bad(in);
}

/* NULL: no memory, or bad; what is not NULL may be bad too. */
static struct fseg *read_seg(struct segment_in *in, unsigned depth)
{
	struct counts c = {0};
	if (!segment_take_copy(in, &c, sizeof c))
		return NULL;
	if (depth > DEPTH_MAX || c.n_docs >= INT32_MAX || c.n_paths > INT32_MAX / ENTRY_KINDS)
		return segment_bad(in, "impossible numbers");
	struct segment *base = depth ? segment_take_bare(in, sizeof(struct fseg), c.n_docs)
				     : segment_take_keys(in, sizeof(struct fseg));
	struct fseg *s = (struct fseg *)(void *)base;
	if (!s)
		return NULL;
	if (base->n_docs != c.n_docs)
		segment_bad(in, "impossible numbers");
	s->n_paths = c.n_paths;
	s->n_names = c.n_names;
	s->n_lists = c.n_lists;
	take_arrays(in, s, &c);
	bool ok = !segment_is_bad(in);
	for (uint64_t i = 0; i < c.n_elements && ok; i++) {
		struct felements *more = realloc(s->elements, (i + 1) * sizeof *more);
		ok = more != NULL;
		if (!ok)
			break;
		s->elements = more;
		s->elements[s->n_elements++] = (struct felements){0};
		ok = take_element(in, s, &s->elements[i], depth + 1);
		if (ok)
			base->bytes += s->elements[i].seg->base.bytes +
				       s->elements[i].seg->base.n_docs * sizeof(uint32_t);
	}
	if (ok || segment_is_bad(in))
		return s;
	segment_put(&fields_kind, base);
	return NULL;
}

struct segment *fields_seg_read(struct segments *x, struct segment_in *in)
{
	(void)x;
	struct fseg *s = read_seg(in, 0);
	return s ? &s->base : NULL;
}
