/* What values a path has, from the payload index: counted, and items in their order. */
#include "base/id.h"
#include "base/room.h"
#include "vector/fields_int.h"
#include "vector/pack.h"

#include <stdlib.h>

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for the values of a field");
}

bool fields_has_place(struct str path)
{
	struct str name;
	while (path.n)
		if (cond_step(&path, &name) == 'i')
			return true;
	return false;
}

/* The documents of a segment that live and are among the keys. */
static uint64_t *chosen(const struct segment_part *p, const struct bitmap *among)
{
	const struct fseg *s = fseg_of(p);
	uint64_t *bits = calloc(segment_words(s->base.n_docs), sizeof *bits);
	for (uint32_t i = 0; bits && i < s->base.n_docs; i++)
		if (!segment_dead(p->live, i) && (!among || bitmap_has(among, s->base.keys[i])))
			bits[i / 64] |= UINT64_C(1) << i % 64;
	return bits;
}

static bool has_bit(const uint64_t *bits, uint32_t doc)
{
	return bits[doc / 64] >> doc % 64 & 1;
}

/* ---- counting ---- */

struct tally {
	struct names names; /* a byte for the kind, then the value */
	struct fields_facet *rows;
	size_t cap;
	bool failed;
};

enum { KIND_BOOL, KIND_INT, KIND_STRING, KIND_UUID, KIND_DIGEST };

static void count_value(struct tally *t, char kind, struct str bytes, uint64_t n, uint64_t key)
{
	char room[1 + STRING_MAX];
	room[0] = kind;
	memcpy(room + 1, bytes.p, bytes.n);
	uint32_t before = t->names.n;
	uint32_t i = fields_names_add(&t->names, str_mk(room, 1 + bytes.n));
	size_t n_rows = t->names.n;
	if (i == NO_NAME || (n_rows > before && !heap_room(t->rows, n_rows - 1, t->cap))) {
		t->failed = true;
		return;
	}
	if (n_rows > before)
		t->rows[i] = (struct fields_facet){.key = key, .digest = kind == KIND_DIGEST};
	t->rows[i].n += n;
}

/* How many documents of a list are chosen, and the first of them. */
static uint64_t count_list(
	const struct fseg *s, const struct entry *e, const uint64_t *bits, uint32_t *first)
{
	const uint8_t *p = s->lists + e->list_at;
	uint64_t n = 0;
	if (e->bits) {
		for (size_t w = segment_words(s->base.n_docs); w--;) {
			uint64_t word;
			memcpy(&word, p + w * sizeof word, sizeof word);
			word &= bits[w];
			n += (uint64_t)__builtin_popcountll(word);
			if (word)
				*first = (uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(word);
		}
		return n;
	}
	for (uint32_t i = 0, gap, next = 0; i < e->n; i++) {
		p = varint_get(p, &gap);
		next += gap;
		if (!has_bit(bits, next - 1))
			continue;
		if (!n++)
			*first = next - 1;
	}
	return n;
}

static void count_entries(struct tally *t, const struct fseg *s, uint32_t path,
	enum entry_kind from, char kind, const uint64_t *bits)
{
	const uint32_t *first = &s->first_entry[path * ENTRY_KINDS + from];
	for (uint32_t i = first[0]; i < first[1] && !t->failed; i++) {
		uint32_t doc = 0;
		uint64_t n = count_list(s, &s->entries[i], bits, &doc);
		struct str name = from == ENTRY_TRUE    ? S("\1")
				  : from == ENTRY_FALSE ? str_mk("", 1)
							: fields_entry_name(s, &s->entries[i]);
		struct id id;
		if (n && kind == KIND_STRING && id_parse(name, &id))
			count_value(t, KIND_UUID, str_mk(id.b, sizeof id.b), n, 0);
		else if (n)
			count_value(t, kind, name, n, s->base.keys[doc]);
	}
}

/* Pairs ascend by value, then by document: one document may have a value twice. */
static void count_integers(
	struct tally *t, const struct fseg *s, uint32_t path, const uint64_t *bits)
{
	const uint32_t *at = &s->first_number[path * NUMBER_KINDS + NUMBER_INT];
	for (uint32_t i = at[0], to; i < at[1] && !t->failed; i = to) {
		uint64_t n = 0;
		for (to = i; to < at[1] && s->numbers[to].i == s->numbers[i].i; to++)
			if (to == i || s->number_docs[to] != s->number_docs[to - 1])
				n += has_bit(bits, s->number_docs[to]);
		if (n)
			count_value(t, KIND_INT, str_mk(&s->numbers[i].i, sizeof(int64_t)), n, 0);
	}
}

static void count_part(
	struct tally *t, const struct segment_part *p, struct str path, const struct bitmap *among)
{
	uint32_t id;
	if (!fseg_path(fseg_of(p), path, &id))
		return;
	uint64_t *bits = chosen(p, among);
	t->failed |= !bits;
	if (!t->failed) {
		count_entries(t, fseg_of(p), id, ENTRY_TRUE, KIND_BOOL, bits);
		count_entries(t, fseg_of(p), id, ENTRY_FALSE, KIND_BOOL, bits);
		count_entries(t, fseg_of(p), id, ENTRY_STRING, KIND_STRING, bits);
		count_entries(t, fseg_of(p), id, ENTRY_LONG, KIND_DIGEST, bits);
		count_integers(t, fseg_of(p), id, bits);
	}
	free(bits);
}

/* As UUIDs are written. */
static struct str spell_uuid(struct str bytes, struct arena *a)
{
	struct id id;
	char hex[ID_HEX + 1], out[36];
	size_t n = 0;
	memcpy(id.b, bytes.p, sizeof id.b);
	id_hex(id, hex);
	for (size_t i = 0; i < ID_HEX; i++) {
		if (i == 8 || i == 12 || i == 16 || i == 20)
			out[n++] = '-';
		out[n++] = hex[i];
	}
	return arena_str(a, str_mk(out, n));
}

/* The value that stands in a name. */
static bool read_name(struct str name, struct arena *a, struct fields_facet *out)
{
	struct str bytes = str_sub(name, 1, name.n);
	struct cond_value *v = &out->value;
	switch (name.p[0]) {
	case KIND_BOOL:
		v->type = COND_BOOL;
		v->b = bytes.p[0];
		return true;
	case KIND_INT:
		v->type = COND_NUMBER;
		v->n.integral = true;
		memcpy(&v->n.i, bytes.p, sizeof v->n.i);
		return true;
	default:
		v->type = COND_STRING;
		v->s = name.p[0] == KIND_UUID ? spell_uuid(bytes, a) : arena_str(a, bytes);
		return v->s.p != NULL;
	}
}

static int place_of(const struct cond_value *v)
{
	return v->type == COND_BOOL ? 0 : v->type == COND_NUMBER ? 1 : 2;
}

static int by_count(const void *a, const void *b)
{
	const struct fields_facet *x = a, *y = b;
	if (x->n != y->n)
		return x->n > y->n ? -1 : 1;
	int order = place_of(&x->value) - place_of(&y->value);
	return order ? order : cond_value_cmp(&x->value, &y->value);
}

enum err fields_facets(struct fields *x, struct str path, const struct bitmap *among, size_t max,
	struct arena *a, struct fields_facet **out, size_t *n, struct errtext *et)
{
	struct tally t = {0};
	struct segment_snap *s = segments_get(fields_segments(x));
	for (size_t i = 0; i < s->n_parts && !t.failed; i++)
		count_part(&t, &s->parts[i], path, among);
	segments_put_back(fields_segments(x), s);
	for (uint32_t i = 0; i < t.names.n && !t.failed; i++)
		t.failed = !read_name(fields_names_at(&t.names, i), a, &t.rows[i]);
	size_t found = MIN(max, (size_t)t.names.n);
	struct fields_facet *list = arena_array_of(a, found + 1, struct fields_facet);
	t.failed |= !list;
	if (!t.failed) {
		if (t.names.n)
			qsort(t.rows, t.names.n, sizeof *t.rows, by_count);
		if (found)
			memcpy(list, t.rows, found * sizeof *list);
		*out = list;
		*n = found;
	}
	fields_names_free(&t.names);
	free(t.rows);
	return t.failed ? no_memory(et) : OK;
}

/* ---- order ---- */

struct ordering {
	bool descending;
	const struct cond_number *from;
	size_t max;
	struct fields_ordered *rows; /* of all parts, not in order */
	size_t n, cap;
	bool failed;
};

static struct cond_number number_at(const struct fseg *s, enum number_kind kind, uint32_t i)
{
	return kind == NUMBER_DOUBLE ? (struct cond_number){false, 0, s->numbers[i].d}
				     : (struct cond_number){true, s->numbers[i].i, 0};
}

static bool before(const struct ordering *o, struct cond_number n)
{
	int order = o->from ? cond_number_cmp(n, *o->from) : 0;
	return o->descending ? order > 0 : order < 0;
}

/* The pairs [from, to) have one value. Returns how many were taken. */
static size_t take_equal(struct ordering *o, const struct fseg *s, enum number_kind kind,
	uint32_t from, uint32_t to, const uint64_t *bits, size_t max)
{
	size_t taken = 0;
	for (uint32_t i = from; i < to && taken < max; i++) {
		uint32_t doc = s->number_docs[i];
		if (!has_bit(bits, doc) || (i > from && doc == s->number_docs[i - 1]))
			continue;
		if (!heap_room(o->rows, o->n, o->cap)) {
			o->failed = true;
			return taken;
		}
		o->rows[o->n++] = (struct fields_ordered){s->base.keys[doc], number_at(s, kind, i)};
		taken++;
	}
	return taken;
}

/* The first of one kind in a segment. */
static void take_kind(struct ordering *o, const struct fseg *s, uint32_t path,
	enum number_kind kind, const uint64_t *bits)
{
	const uint32_t *at = &s->first_number[path * NUMBER_KINDS + kind];
	uint32_t from = at[0], to = at[1];
	size_t left = o->max;
	while (from < to && left && !o->failed) {
		uint32_t lo = o->descending ? to - 1 : from, hi = lo + 1;
		struct cond_number n = number_at(s, kind, lo);
		while (o->descending && lo > from &&
			!cond_number_cmp(number_at(s, kind, lo - 1), n))
			lo--;
		while (!o->descending && hi < to && !cond_number_cmp(number_at(s, kind, hi), n))
			hi++;
		if (!before(o, n))
			left -= take_equal(o, s, kind, lo, hi, bits, left);
		if (o->descending)
			to = lo;
		else
			from = hi;
	}
}

static int up(const void *a, const void *b)
{
	const struct fields_ordered *x = a, *y = b;
	int order = cond_number_cmp(x->value, y->value);
	return order ? order : (x->key > y->key) - (x->key < y->key);
}

static int down(const void *a, const void *b)
{
	const struct fields_ordered *x = a, *y = b;
	int order = cond_number_cmp(y->value, x->value);
	return order ? order : (x->key > y->key) - (x->key < y->key);
}

static void take_part(struct ordering *o, const struct segment_part *p, struct str path,
	const struct bitmap *among)
{
	static const enum number_kind kinds[] = {NUMBER_INT, NUMBER_DOUBLE, NUMBER_TIME};
	uint32_t id;
	if (!fseg_path(fseg_of(p), path, &id))
		return;
	uint64_t *bits = chosen(p, among);
	o->failed |= !bits;
	for (size_t i = 0; i < ARRAY_LEN(kinds) && !o->failed; i++)
		take_kind(o, fseg_of(p), id, kinds[i], bits);
	free(bits);
}

enum err fields_order(struct fields *x, struct str path, bool descending,
	const struct cond_number *from, const struct bitmap *among, size_t max,
	struct fields_ordered *out, size_t *n, struct errtext *et)
{
	struct ordering o = {.descending = descending, .from = from, .max = max};
	struct segment_snap *s = segments_get(fields_segments(x));
	size_t kept = 0;
	for (size_t i = 0; i < s->n_parts && !o.failed; i++)
		take_part(&o, &s->parts[i], path, among);
	segments_put_back(fields_segments(x), s);
	if (!o.failed && o.n)
		qsort(o.rows, o.n, sizeof *o.rows, descending ? down : up);
	for (size_t i = 0; i < o.n && kept < max && !o.failed; i++) {
		const struct fields_ordered *r = &o.rows[i];
		if (!i || r->key != r[-1].key || cond_number_cmp(r->value, r[-1].value))
			out[kept++] = *r;
	}
	free(o.rows);
	if (o.failed)
		return no_memory(et);
	*n = kept;
	return OK;
}
