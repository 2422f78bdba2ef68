/* A segment of the payload index: its lists, and how it is made from payloads or from the living of
 * other segments. */
#include "base/hash.h"
#include "base/room.h"
#include "text/unicode.h"
#include "vector/fields_int.h"
#include "vector/pack.h"

#include <stdlib.h>

/* ---- names ---- */

struct str fields_names_at(const struct names *t, uint32_t i)
{
	const size_t *ends = (const void *)t->ends.p;
	size_t from = i ? ends[i - 1] : 0;
	return str_mk(t->text.p + from, ends[i] - from);
}

static size_t names_slot(const struct names *t, struct str name)
{
	size_t i = hash64(name) & (t->n_slots - 1);
	while (t->slots[i] && !str_eq(fields_names_at(t, t->slots[i] - 1), name))
		i = (i + 1) & (t->n_slots - 1);
	return i;
}

static bool names_room(struct names *t)
{
	if (t->n_slots && ((size_t)t->n + 1) * 4 <= t->n_slots * 3)
		return true;
	size_t n = t->n_slots ? t->n_slots * 2 : 64;
	uint32_t *slots = t->n < NO_NAME / 2 ? calloc(n, sizeof *slots) : NULL;
	if (!slots)
		return false;
	free(t->slots);
	t->slots = slots;
	t->n_slots = n;
	for (uint32_t i = 0; i < t->n; i++)
		t->slots[names_slot(t, fields_names_at(t, i))] = i + 1;
	return true;
}

uint32_t fields_names_add(struct names *t, struct str name)
{
	if (!names_room(t) || !buf_reserve(&t->text, name.n + 1) ||
		!buf_reserve(&t->ends, sizeof(size_t)))
		return NO_NAME;
	size_t i = names_slot(t, name);
	if (!t->slots[i]) {
		buf_adds(&t->text, name);
		buf_add(&t->ends, &t->text.n, sizeof t->text.n);
		t->slots[i] = ++t->n;
	}
	return t->slots[i] - 1;
}

void fields_names_free(struct names *t)
{
	buf_free(&t->text);
	buf_free(&t->ends);
	free(t->slots);
	*t = (struct names){0};
}

/* ---- reading ---- */

static void clear(struct segment *base)
{
	struct fseg *s = (struct fseg *)(void *)base;
	for (size_t i = 0; i < s->n_elements; i++) {
		struct fseg *of = s->elements[i].seg;
		segment_put(&fields_kind, of ? &of->base : NULL);
		segment_free(base, s->elements[i].parents);
	}
	void *arrays[] = {s->path_names, s->path_ends, s->entries, s->first_entry, s->names,
		s->lists, s->numbers, s->number_docs, s->first_number, s->elements};
	for (size_t i = 0; i < ARRAY_LEN(arrays); i++)
		segment_free(base, arrays[i]);
}

static struct str path_name(const struct fseg *s, uint32_t path)
{
	size_t from = path ? s->path_ends[path - 1] : 0;
	return str_mk(s->path_names + from, s->path_ends[path] - from);
}

bool fseg_path(const struct fseg *s, struct str path, uint32_t *out)
{
	uint32_t lo = 0, hi = s->n_paths;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		int order = str_cmp(path_name(s, mid), path);
		if (!order) {
			*out = mid;
			return true;
		}
		if (order < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

struct str fields_entry_name(const struct fseg *s, const struct entry *e)
{
	return str_mk(s->names + e->name_at, e->name_n);
}

bool fseg_entry(const struct fseg *s, uint32_t path, enum entry_kind kind, struct str name,
	const struct entry **out)
{
	const uint32_t *first = &s->first_entry[path * ENTRY_KINDS + kind];
	uint32_t lo = first[0], hi = first[1];
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		int order = str_cmp(fields_entry_name(s, &s->entries[mid]), name);
		if (!order) {
			*out = &s->entries[mid];
			return true;
		}
		if (order < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

static void set_bit(uint64_t *bits, uint32_t doc)
{
	bits[doc / 64] |= UINT64_C(1) << doc % 64;
}

void fields_entry_mark(const struct fseg *s, const struct entry *e, uint64_t *bits)
{
	const uint8_t *p = s->lists + e->list_at;
	if (e->bits) {
		for (size_t w = 0; w < segment_words(s->base.n_docs); w++) {
			uint64_t word;
			memcpy(&word, p + w * sizeof word, sizeof word);
			bits[w] |= word;
		}
		return;
	}
	for (uint32_t i = 0, gap, next = 0; i < e->n; i++) {
		p = varint_get(p, &gap);
		next += gap;
		set_bit(bits, next - 1);
	}
}

struct str fields_string_name(struct str s, uint8_t room[32], enum entry_kind *kind)
{
	*kind = s.n <= STRING_MAX ? ENTRY_STRING : ENTRY_LONG;
	if (*kind == ENTRY_STRING)
		return s;
	sha256_of(s, room);
	return str_mk(room, 32);
}

/* ---- gathering ---- */

struct number_record {
	uint32_t path, doc;
	enum number_kind kind;
	union number value;
};

struct entry_record {
	uint32_t entry, doc;
};

/* What a path of the document at hand has: a string; values of one, and of more. */
enum { HAS_ANY = 1, HAS_TEXT = 2, HAS_ONE = 4, HAS_MORE = 8 };

struct builder {
	const struct text_paths *text;
	uint32_t n_docs;
	struct names paths, entries; /* of an entry: path, kind, name */
	struct entry_record *records;
	size_t n_records, cap_records;
	struct number_record *numbers;
	size_t n_numbers, cap_numbers;
	/* Of the document at hand: what each path has. */
	uint8_t *has;
	uint32_t *touched;
	size_t n_has, n_touched, cap_touched;
	struct child {
		uint32_t path;
		bool strings;
		struct builder *b;
		uint32_t *parents;
		size_t cap;
	} * children;
	size_t n_children, cap_children;
	struct buf path, key; /* where the walk is; an entry's name */
	bool failed;
};

static void builder_free(struct builder *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < b->n_children; i++) {
		builder_free(b->children[i].b);
		free(b->children[i].parents);
	}
	fields_names_free(&b->paths);
	fields_names_free(&b->entries);
	free(b->records);
	free(b->numbers);
	free(b->has);
	free(b->touched);
	free(b->children);
	buf_free(&b->path);
	buf_free(&b->key);
	free(b);
}

static struct builder *builder_new(const struct text_paths *text)
{
	struct builder *b = calloc(1, sizeof *b);
	if (b)
		b->text = text;
	return b;
}

static uint32_t entry_of(struct builder *b, uint32_t path, enum entry_kind kind, struct str name)
{
	buf_clear(&b->key);
	buf_add(&b->key, &path, sizeof path);
	buf_putc(&b->key, (char)kind);
	buf_adds(&b->key, name);
	uint32_t entry = b->key.err ? NO_NAME : fields_names_add(&b->entries, buf_str(&b->key));
	b->failed |= entry == NO_NAME;
	return entry;
}

static void add_record(struct builder *b, uint32_t entry, uint32_t doc)
{
	if (entry == NO_NAME || !heap_room(b->records, b->n_records, b->cap_records))
		b->failed = true;
	else
		b->records[b->n_records++] = (struct entry_record){entry, doc};
}

static void add_entry(
	struct builder *b, uint32_t path, enum entry_kind kind, struct str name, uint32_t doc)
{
	add_record(b, entry_of(b, path, kind, name), doc);
}

static void add_number(
	struct builder *b, uint32_t path, enum number_kind kind, union number value, uint32_t doc)
{
	if (heap_room(b->numbers, b->n_numbers, b->cap_numbers))
		b->numbers[b->n_numbers++] = (struct number_record){path, doc, kind, value};
	else
		b->failed = true;
}

static uint32_t add_path(struct builder *b, struct str path)
{
	uint32_t id = fields_names_add(&b->paths, path);
	b->failed |= id == NO_NAME;
	return id;
}

static struct child *child_of(struct builder *b, uint32_t path, bool strings)
{
	for (size_t i = 0; i < b->n_children; i++)
		if (b->children[i].path == path && b->children[i].strings == strings)
			return &b->children[i];
	struct builder *made = builder_new(b->text);
	if (!made || !heap_room(b->children, b->n_children, b->cap_children)) {
		builder_free(made);
		b->failed = true;
		return NULL;
	}
	b->children[b->n_children] = (struct child){path, strings, made, NULL, 0};
	return &b->children[b->n_children++];
}

static uint32_t add_element(struct builder *b, struct child *c, uint32_t parent)
{
	if (c->b->n_docs >= INT32_MAX || !heap_room(c->parents, c->b->n_docs, c->cap)) {
		b->failed = true;
		return NO_PARENT;
	}
	c->parents[c->b->n_docs] = parent;
	return c->b->n_docs++;
}

/* ---- walking a payload; cond.c has the meaning ---- */

static void add_object(struct builder *b, yyjson_val *object, uint32_t doc);

struct term_at {
	struct builder *b;
	uint32_t path, doc;
};

static bool add_term(void *ctx, struct str term, uint32_t from, uint32_t to)
{
	struct term_at *t = ctx;
	add_entry(t->b, t->path, ENTRY_TERM, term, t->doc);
	return !t->b->failed;
}

/* Words of a path's first string are the document's; those of others are elements', so that whoever
 * asks for several words gets them from one string. */
static void add_words(struct builder *b, uint32_t path, struct str s, uint32_t doc)
{
	struct term_at t = {b, path, doc};
	if (b->has[path] & HAS_TEXT) {
		struct child *c = child_of(b, path, true);
		uint32_t element = c ? add_element(b, c, doc) : NO_PARENT;
		if (element == NO_PARENT)
			return;
		t = (struct term_at){c->b, add_path(c->b, S("")), element};
	}
	b->has[path] |= HAS_TEXT;
	if (unicode_tokens(s, add_term, &t))
		b->failed = true;
	b->failed |= t.b->failed;
}

static void add_string(struct builder *b, uint32_t path, struct str s, uint32_t doc, bool text)
{
	uint8_t room[32];
	enum entry_kind kind;
	union number time;
	struct str name = fields_string_name(s, room, &kind);
	add_entry(b, path, kind, name, doc);
	if (cond_time_of(s, &time.i))
		add_number(b, path, NUMBER_TIME, time, doc);
	if (text && !b->failed)
		add_words(b, path, s, doc);
}

static void add_value(struct builder *b, uint32_t path, yyjson_val *v, uint32_t doc, bool text)
{
	if (yyjson_is_str(v)) {
		add_string(b, path, json_val_str(v), doc, text);
	} else if (yyjson_is_bool(v)) {
		add_entry(b, path, yyjson_get_bool(v) ? ENTRY_TRUE : ENTRY_FALSE, S(""), doc);
	} else if (yyjson_is_num(v)) {
		struct cond_number x = cond_number_of(v);
		union number value = {.i = x.i};
		if (!x.integral)
			value.d = x.d;
		add_number(b, path, x.integral ? NUMBER_INT : NUMBER_DOUBLE, value, doc);
	} else if (yyjson_is_ctn(v)) {
		add_entry(b, path, ENTRY_OTHER, S(""), doc);
	}
}

static void add_elements(struct builder *b, uint32_t path, yyjson_val *array, uint32_t doc)
{
	size_t i, n;
	yyjson_val *e;
	yyjson_arr_foreach(array, i, n, e)
	{
		struct child *c = yyjson_is_obj(e) ? child_of(b, path, false) : NULL;
		uint32_t element = c ? add_element(b, c, doc) : NO_PARENT;
		if (element == NO_PARENT)
			continue;
		add_object(c->b, e, element);
		b->failed |= c->b->failed;
	}
}

/* Room for what the path has. */
static bool touch(struct builder *b, uint32_t path)
{
	if (path >= b->n_has) {
		size_t n = MAX(b->n_has * 2, (size_t)path + 64);
		uint8_t *has = realloc(b->has, n);
		if (!has)
			return false;
		memset(has + b->n_has, 0, n - b->n_has);
		b->has = has;
		b->n_has = n;
	}
	if (b->has[path])
		return true;
	if (!heap_room(b->touched, b->n_touched, b->cap_touched))
		return false;
	b->touched[b->n_touched++] = path;
	b->has[path] = HAS_ANY;
	return true;
}

static void add_at_path(struct builder *b, uint32_t path, yyjson_val *v, uint32_t doc, bool text)
{
	size_t i, n, count = yyjson_is_arr(v) ? yyjson_arr_size(v) : !yyjson_is_null(v);
	yyjson_val *e;
	bool null = yyjson_is_null(v);
	if (!touch(b, path)) {
		b->failed = true;
		return;
	}
	b->has[path] |= count == 1 ? HAS_ONE : count ? HAS_MORE : 0;
	add_entry(b, path, count ? ENTRY_SOME : ENTRY_ZERO, S(""), doc);
	if (count > 1)
		add_number(b, path, NUMBER_COUNT, (union number){.i = (int64_t)count}, doc);
	if (!yyjson_is_arr(v))
		add_value(b, path, v, doc, text);
	yyjson_arr_foreach(v, i, n, e)
	{
		null |= yyjson_is_null(e);
		add_value(b, path, e, doc, text);
	}
	if (null)
		add_entry(b, path, ENTRY_NULL, S(""), doc);
	if (yyjson_is_arr(v))
		add_elements(b, path, v, doc);
}

static void add_members(struct builder *b, yyjson_val *v, uint32_t doc);

/* What stands one step below b->path, which has that step already, and all below. */
static void add_below(struct builder *b, yyjson_val *v, uint32_t doc)
{
	b->failed |= b->path.err != OK;
	uint32_t path = b->failed ? NO_NAME : add_path(b, buf_str(&b->path));
	if (b->failed)
		return;
	add_at_path(b, path, v, doc, fields_has_text(b->text, buf_str(&b->path)));
	if (yyjson_is_ctn(v))
		add_members(b, v, doc);
}

static void add_members(struct builder *b, yyjson_val *v, uint32_t doc)
{
	size_t i, n, was = b->path.n;
	yyjson_val *name, *e;
	if (yyjson_is_arr(v)) {
		buf_add(&b->path, "w", 2);
		yyjson_arr_foreach(v, i, n, e) add_below(b, e, doc);
		b->path.n = was;
		return;
	}
	yyjson_obj_foreach(v, i, n, name, e)
	{
		struct str part = json_val_str(name);
		if (str_chr(part, 0) != STR_NONE) /* no path can say it */
			continue;
		buf_putc(&b->path, 'k');
		buf_adds(&b->path, part);
		buf_putc(&b->path, 0);
		add_below(b, e, doc);
		b->path.n = was;
	}
}

static void add_object(struct builder *b, yyjson_val *object, uint32_t doc)
{
	buf_clear(&b->path);
	add_members(b, object, doc);
	for (size_t i = 0; i < b->n_touched; i++) {
		uint32_t path = b->touched[i];
		if ((b->has[path] & HAS_ONE) && (b->has[path] & HAS_MORE))
			add_entry(b, path, ENTRY_ONE, S(""), doc);
		b->has[path] = 0;
	}
	b->n_touched = 0;
}

/* ---- finishing ---- */

struct order {
	struct builder *b;
	uint32_t *rank; /* of a path, in byte order */
};

static int by_name(const void *a, const void *b, void *ctx)
{
	return str_cmp(fields_names_at(ctx, *(const uint32_t *)a),
		fields_names_at(ctx, *(const uint32_t *)b));
}

static uint32_t path_of_entry(const struct builder *b, uint32_t entry)
{
	uint32_t path;
	memcpy(&path, fields_names_at(&b->entries, entry).p, sizeof path);
	return path;
}

static int by_entry(const void *pa, const void *pb, void *ctx)
{
	const struct order *o = ctx;
	uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;
	uint32_t x = o->rank[path_of_entry(o->b, a)], y = o->rank[path_of_entry(o->b, b)];
	if (x != y)
		return x < y ? -1 : 1;
	/* Kind and name. */
	return str_cmp(str_sub(fields_names_at(&o->b->entries, a), 4, SIZE_MAX),
		str_sub(fields_names_at(&o->b->entries, b), 4, SIZE_MAX));
}

static int by_number(const void *pa, const void *pb, void *ctx)
{
	const struct order *o = ctx;
	const struct number_record *a = pa, *b = pb;
	if (a->path != b->path)
		return o->rank[a->path] < o->rank[b->path] ? -1 : 1;
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->kind == NUMBER_DOUBLE && a->value.d != b->value.d)
		return a->value.d < b->value.d ? -1 : 1;
	if (a->kind != NUMBER_DOUBLE && a->value.i != b->value.i)
		return a->value.i < b->value.i ? -1 : 1;
	return (a->doc > b->doc) - (a->doc < b->doc);
}

static int by_doc(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

/* In order and once each; returns how many are left. */
static uint32_t tidy(uint32_t *docs, uint32_t n)
{
	bool ordered = true;
	for (uint32_t i = 1; i < n; i++)
		ordered &= docs[i - 1] <= docs[i];
	if (!ordered)
		qsort(docs, n, sizeof *docs, by_doc);
	uint32_t m = 0;
	for (uint32_t i = 0; i < n; i++)
		if (!m || docs[m - 1] != docs[i])
			docs[m++] = docs[i];
	return m;
}

static bool write_list(struct buf *lists, struct entry *e, const uint32_t *docs, uint32_t n_docs)
{
	size_t bits = segment_words(n_docs) * 8;
	char *room = buf_reserve(lists, MAX((size_t)e->n * 5, bits) + 1);
	if (!room)
		return false;
	uint8_t *p = (uint8_t *)room;
	uint32_t before = 0;
	for (uint32_t i = 0; i < e->n && (size_t)((char *)p - room) < bits; i++) {
		p = varint_put(p, docs[i] + 1 - before);
		before = docs[i] + 1;
	}
	e->list_at = lists->n;
	e->bits = (size_t)((char *)p - room) >= bits;
	if (e->bits) {
		memset(room, 0, bits);
		for (uint32_t i = 0; i < e->n; i++) {
			uint64_t word;
			memcpy(&word, room + docs[i] / 64 * 8, sizeof word);
			word |= UINT64_C(1) << docs[i] % 64;
			memcpy(room + docs[i] / 64 * 8, &word, sizeof word);
		}
		p = (uint8_t *)room + bits;
	}
	lists->n += (size_t)((char *)p - room);
	return true;
}

static bool finish_paths(struct fseg *s, const struct builder *b, uint32_t *rank)
{
	uint32_t *order = malloc(((size_t)b->paths.n + 1) * sizeof *order);
	s->n_paths = b->paths.n;
	s->path_names = malloc(b->paths.text.n + 1);
	s->path_ends = malloc(((size_t)b->paths.n + 1) * sizeof *s->path_ends);
	bool ok = order && s->path_names && s->path_ends;
	for (uint32_t i = 0; ok && i < b->paths.n; i++)
		order[i] = i;
	if (ok)
		qsort_r(order, b->paths.n, sizeof *order, by_name, (void *)&b->paths);
	size_t at = 0;
	for (uint32_t i = 0; ok && i < b->paths.n; i++) {
		struct str name = fields_names_at(&b->paths, order[i]);
		memcpy(s->path_names + at, name.p, name.n);
		s->path_ends[i] = at += name.n;
		rank[order[i]] = i;
	}
	s->base.bytes += at + b->paths.n * sizeof *s->path_ends;
	free(order);
	return ok;
}

struct lists_work {
	uint32_t *order, *docs;
	size_t *from;
	struct buf lists, names;
};

static bool finish_lists(struct fseg *s, struct builder *b, struct order *o, struct lists_work *w)
{
	uint32_t n = b->entries.n, slots = s->n_paths * ENTRY_KINDS;
	w->order = malloc(((size_t)n + 1) * sizeof *w->order);
	w->from = calloc((size_t)n + 2, sizeof *w->from);
	w->docs = malloc((b->n_records + 1) * sizeof *w->docs);
	s->entries = calloc((size_t)n + 1, sizeof *s->entries);
	s->first_entry = calloc((size_t)slots + 1, sizeof *s->first_entry);
	if (!w->order || !w->from || !w->docs || !s->entries || !s->first_entry)
		return false;
	for (size_t i = 0; i < b->n_records; i++)
		w->from[b->records[i].entry + 1]++;
	for (uint32_t i = 0; i < n; i++) {
		w->from[i + 1] += w->from[i];
		w->order[i] = i;
	}
	for (size_t i = 0; i < b->n_records; i++)
		w->docs[w->from[b->records[i].entry]++] = b->records[i].doc;
	qsort_r(w->order, n, sizeof *w->order, by_entry, o);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t id = w->order[i];
		size_t from = id ? w->from[id - 1] : 0; /* they have moved to their ends */
		struct str name = fields_names_at(&b->entries, id);
		struct entry *e = &s->entries[i];
		e->n = tidy(w->docs + from, (uint32_t)(w->from[id] - from));
		e->name_at = w->names.n;
		e->name_n = (uint32_t)(name.n - 5);
		s->first_entry[o->rank[path_of_entry(b, id)] * ENTRY_KINDS + (uint32_t)name.p[4] +
			       1]++;
		buf_adds(&w->names, str_sub(name, 5, SIZE_MAX));
		if (!write_list(&w->lists, e, w->docs + from, s->base.n_docs))
			return false;
	}
	for (uint32_t i = 0; i < slots; i++)
		s->first_entry[i + 1] += s->first_entry[i];
	s->base.bytes +=
		n * sizeof *s->entries + slots * sizeof *s->first_entry + w->lists.n + w->names.n;
	if (w->lists.err || w->names.err)
		return false;
	s->n_lists = w->lists.n;
	s->n_names = w->names.n;
	s->lists = (uint8_t *)buf_take(&w->lists);
	s->names = buf_take(&w->names);
	return s->lists && s->names;
}

static bool finish_numbers(struct fseg *s, struct builder *b, struct order *o)
{
	uint32_t slots = s->n_paths * NUMBER_KINDS;
	s->numbers = malloc((b->n_numbers + 1) * sizeof *s->numbers);
	s->number_docs = malloc((b->n_numbers + 1) * sizeof *s->number_docs);
	s->first_number = calloc((size_t)slots + 1, sizeof *s->first_number);
	if (!s->numbers || !s->number_docs || !s->first_number || b->n_numbers > UINT32_MAX - 1)
		return false;
	if (b->n_numbers)
		qsort_r(b->numbers, b->n_numbers, sizeof *b->numbers, by_number, o);
	for (size_t i = 0; i < b->n_numbers; i++) {
		const struct number_record *r = &b->numbers[i];
		s->numbers[i] = r->value;
		s->number_docs[i] = r->doc;
		s->first_number[o->rank[r->path] * NUMBER_KINDS + r->kind + 1]++;
	}
	for (uint32_t i = 0; i < slots; i++)
		s->first_number[i + 1] += s->first_number[i];
	s->base.bytes += b->n_numbers * (sizeof *s->numbers + sizeof *s->number_docs) +
			 slots * sizeof *s->first_number;
	return true;
}

static struct fseg *builder_finish(struct builder *b);

static bool finish_elements(struct fseg *s, struct builder *b, const uint32_t *rank)
{
	s->elements = calloc(b->n_children + 1, sizeof *s->elements);
	for (size_t i = 0; s->elements && i < b->n_children; i++) {
		struct child *c = &b->children[i];
		size_t n = c->b->n_docs;
		struct fseg *made = builder_finish(c->b);
		if (!made)
			return false;
		s->elements[s->n_elements++] =
			(struct felements){rank[c->path], c->strings, made, c->parents};
		s->base.bytes += made->base.bytes + n * sizeof *c->parents;
		c->parents = NULL;
	}
	return s->elements != NULL;
}

/* NULL: no memory. */
static struct fseg *builder_finish(struct builder *b)
{
	struct fseg *s = b->failed ? NULL : calloc(1, sizeof *s);
	if (!s)
		return NULL;
	atomic_init(&s->base.refs, 1);
	s->base.n_docs = b->n_docs;
	s->base.bytes = sizeof *s;
	struct order o = {b, malloc(((size_t)b->paths.n + 1) * sizeof *o.rank)};
	struct lists_work w = {0};
	bool ok = o.rank && finish_paths(s, b, o.rank) && finish_lists(s, b, &o, &w) &&
		  finish_numbers(s, b, &o) && finish_elements(s, b, o.rank);
	free(o.rank);
	free(w.order);
	free(w.docs);
	free(w.from);
	buf_free(&w.lists);
	buf_free(&w.names);
	if (ok)
		return s;
	segment_put(&fields_kind, &s->base);
	return NULL;
}

static int by_key(const void *a, const void *b)
{
	const struct fdoc *x = a, *y = b;
	return (x->key > y->key) - (x->key < y->key);
}

struct fseg *fseg_make(struct fdoc *docs, size_t n, const struct text_paths *text)
{
	struct builder *b = n < INT32_MAX ? builder_new(text) : NULL;
	uint64_t *keys = malloc((n + 1) * sizeof *keys);
	qsort(docs, n, sizeof *docs, by_key);
	for (size_t i = 0; b && keys && i < n && !b->failed; i++) {
		yyjson_doc *doc = NULL;
		struct errtext et;
		keys[i] = docs[i].key;
		b->failed = json_parse(docs[i].payload, &doc, &et) != OK;
		if (!b->failed)
			add_object(b, yyjson_doc_get_root(doc), b->n_docs++);
		yyjson_doc_free(doc);
	}
	struct fseg *s = b && keys ? builder_finish(b) : NULL;
	if (s) {
		s->base.keys = keys;
		s->base.bytes += n * sizeof *keys;
	} else {
		free(keys);
	}
	builder_free(b);
	return s;
}

/* ---- merging ---- */

static void feed_entry(struct builder *b, const struct fseg *s, const struct entry *e,
	uint32_t path, enum entry_kind kind, const uint32_t *to)
{
	const uint8_t *p = s->lists + e->list_at;
	uint32_t id = entry_of(b, path, kind, fields_entry_name(s, e));
	for (uint32_t i = 0, gap, next = 0; !e->bits && i < e->n; i++) {
		p = varint_get(p, &gap);
		next += gap;
		if (to[next - 1] != NO_PARENT)
			add_record(b, id, to[next - 1]);
	}
	for (uint32_t w = 0; e->bits && w < segment_words(s->base.n_docs); w++) {
		uint64_t word;
		memcpy(&word, p + w * sizeof word, sizeof word);
		for (; word; word &= word - 1) {
			uint32_t doc = to[w * 64 + (uint32_t)__builtin_ctzll(word)];
			if (doc != NO_PARENT)
				add_record(b, id, doc);
		}
	}
}

static void feed(struct builder *b, const struct fseg *s, const uint32_t *to);

static void feed_elements(
	struct builder *b, const struct felements *e, uint32_t path, const uint32_t *to)
{
	struct child *c = child_of(b, path, e->strings);
	uint32_t n = e->seg->base.n_docs, *inner = malloc(((size_t)n + 1) * sizeof *inner);
	b->failed |= !c || !inner;
	for (uint32_t i = 0; i < n && !b->failed; i++) {
		uint32_t parent = to[e->parents[i]];
		inner[i] = parent == NO_PARENT ? NO_PARENT : add_element(b, c, parent);
	}
	if (!b->failed) {
		feed(c->b, e->seg, inner);
		b->failed |= c->b->failed;
	}
	free(inner);
}

/* Everything of a segment, its documents renumbered; NO_PARENT: dead. */
static void feed(struct builder *b, const struct fseg *s, const uint32_t *to)
{
	uint32_t *path = malloc(((size_t)s->n_paths + 1) * sizeof *path);
	b->failed |= !path;
	for (uint32_t i = 0; i < s->n_paths && !b->failed; i++)
		path[i] = add_path(b, path_name(s, i));
	for (uint32_t i = 0; i < s->n_paths * ENTRY_KINDS && !b->failed; i++) {
		for (uint32_t j = s->first_entry[i]; j < s->first_entry[i + 1]; j++) {
			const struct entry *e = &s->entries[j];
			feed_entry(b, s, e, path[i / ENTRY_KINDS], i % ENTRY_KINDS, to);
		}
	}
	for (uint32_t i = 0; i < s->n_paths * NUMBER_KINDS && !b->failed; i++)
		for (uint32_t j = s->first_number[i]; j < s->first_number[i + 1]; j++)
			if (to[s->number_docs[j]] != NO_PARENT)
				add_number(b, path[i / NUMBER_KINDS], i % NUMBER_KINDS,
					s->numbers[j], to[s->number_docs[j]]);
	for (size_t i = 0; i < s->n_elements && !b->failed; i++)
		feed_elements(b, &s->elements[i], path[s->elements[i].path], to);
	free(path);
}

struct source {
	uint64_t key;
	uint32_t part, doc;
};

static int by_source_key(const void *a, const void *b)
{
	const struct source *x = a, *y = b;
	return (x->key > y->key) - (x->key < y->key);
}

/* Gives the living numbers in the order of their keys. */
static bool renumber(
	const struct segment_part *parts, size_t n, uint32_t **to, uint64_t *keys, size_t docs)
{
	struct source *all = malloc((docs + 1) * sizeof *all);
	size_t m = 0;
	bool ok = all != NULL;
	for (size_t p = 0; ok && p < n; p++) {
		const struct fseg *s = fseg_of(&parts[p]);
		to[p] = malloc(((size_t)s->base.n_docs + 1) * sizeof **to);
		ok = to[p] != NULL;
		for (uint32_t d = 0; ok && d < s->base.n_docs; d++) {
			to[p][d] = NO_PARENT;
			if (!segment_dead(parts[p].live, d))
				all[m++] = (struct source){s->base.keys[d], (uint32_t)p, d};
		}
	}
	if (ok)
		qsort(all, m, sizeof *all, by_source_key);
	for (size_t i = 0; ok && i < m; i++) {
		keys[i] = all[i].key;
		to[all[i].part][all[i].doc] = (uint32_t)i;
	}
	free(all);
	return ok;
}

struct fseg *fseg_merge(const struct segment_part *parts, size_t n)
{
	static const struct text_paths none = {.some = true};
	size_t docs = 0;
	for (size_t i = 0; i < n; i++)
		docs += parts[i].live->n_docs;
	struct builder *b = docs < INT32_MAX ? builder_new(&none) : NULL;
	uint32_t **to = calloc(n + 1, sizeof *to);
	uint64_t *keys = malloc((docs + 1) * sizeof *keys);
	struct fseg *s = NULL;
	if (b && to && keys && renumber(parts, n, to, keys, docs)) {
		b->n_docs = (uint32_t)docs;
		for (size_t i = 0; i < n && !b->failed; i++)
			feed(b, fseg_of(&parts[i]), to[i]);
		s = builder_finish(b);
	}
	if (s) {
		s->base.keys = keys;
		s->base.bytes += docs * sizeof *keys;
	} else {
		free(keys);
	}
	for (size_t i = 0; to && i < n; i++)
		free(to[i]);
	free(to);
	builder_free(b);
	return s;
}

/* ---- as segments.h wants it ---- */

static struct segment *make(struct segments *x, const struct segment_snap *snap)
{
	(void)snap;
	struct fseg *s = fields_waiting(x);
	return s ? &s->base : NULL;
}

static struct segment *merge(struct segments *x, const struct segment_snap *snap,
	const struct segment_part *parts, size_t n)
{
	(void)x, (void)snap;
	struct fseg *s = fseg_merge(parts, n);
	return s ? &s->base : NULL;
}

const struct segments_kind fields_kind = {
	.what = "the index of payloads",
	.live_size = sizeof(struct segment_live),
	.snap_size = sizeof(struct segment_snap),
	.tag = 'p',
	.clear = clear,
	.write = fields_seg_write,
	.read = fields_seg_read,
	.make = make,
	.merge = merge,
	.drop = fields_drop,
	.forget = fields_forget,
};
