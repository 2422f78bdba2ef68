/* Pages of a Parquet column: levels and values, one page at a time. */
#include "text/parquet_int.h"

#include <inttypes.h>
#include <stdlib.h>

struct head {
	int64_t type, full, packed, values, encoding, def_encoding, rep_encoding;
	int64_t def_bytes, rep_bytes; /* of version 2 */
	bool is_packed;
};

static enum err damaged(const struct cursor *c, const char *what, struct errtext *et)
{
	return err_set(et, ERR_CORRUPT, "the Parquet file is damaged: the column %.*s: %s",
		STR_FMT(c->leaf->column.name), what);
}

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a page of a Parquet file");
}

void cursor_open(struct cursor *c, const struct leaf *l, const struct chunk *k, struct str file)
{
	c->leaf = l;
	c->codec = k->codec;
	c->left = k->values;
	c->chunk = str_sub(file, (size_t)k->begin, (size_t)(k->begin + k->size));
	c->n = c->at = c->next = c->n_index = c->n_entries = 0;
}

void cursor_close(struct cursor *c)
{
	free(c->page);
	free(c->rep);
	free(c->def);
	free(c->index);
	free(c->dictionary);
	free(c->entries);
	buf_free(&c->plain);
	*c = (struct cursor){0};
}

/* ---- heads ---- */

static void read_inner(struct thrift *t, struct head *h, int64_t kind)
{
	int id = 0;
	enum thrift_type type;
	while (thrift_field(t, &id, &type)) {
		bool v2 = kind == 8;
		if (v2 && id == 7) {
			h->is_packed = type != T_FALSE;
			thrift_skip(t, type);
		} else if (type != T_I32) {
			thrift_skip(t, type);
		} else if (id == 1) {
			h->values = thrift_int(t);
		} else if ((!v2 && id == 2) || (v2 && id == 4)) {
			h->encoding = thrift_int(t);
		} else if (!v2 && id == 3) {
			h->def_encoding = thrift_int(t);
		} else if (!v2 && id == 4) {
			h->rep_encoding = thrift_int(t);
		} else if (v2 && id == 5) {
			h->def_bytes = thrift_int(t);
		} else if (v2 && id == 6) {
			h->rep_bytes = thrift_int(t);
		} else {
			thrift_skip(t, type);
		}
	}
}

static enum err read_head(struct cursor *c, struct head *h, struct errtext *et)
{
	struct thrift t = {.in = c->chunk};
	int id = 0;
	enum thrift_type type;
	*h = (struct head){.type = -1, .is_packed = true, .def_encoding = RLE, .rep_encoding = RLE};
	while (thrift_field(&t, &id, &type)) {
		if (type == T_STRUCT && (id == 5 || id == 7 || id == 8))
			read_inner(&t, h, id);
		else if (type != T_I32)
			thrift_skip(&t, type);
		else if (id == 1)
			h->type = thrift_int(&t);
		else if (id == 2)
			h->full = thrift_int(&t);
		else if (id == 3)
			h->packed = thrift_int(&t);
		else
			thrift_skip(&t, type);
	}
	if (t.bad || h->full < 0 || h->packed < 0 || h->values < 0)
		return damaged(c, "the head of a page cannot be read", et);
	if (h->full > PARQUET_PAGE_MAX || h->values > PARQUET_PAGE_VALUES)
		return err_set(et, ERR_TOO_LARGE,
			"the column %.*s has a page of more than %d bytes, or %d values",
			STR_FMT(c->leaf->column.name), PARQUET_PAGE_MAX, PARQUET_PAGE_VALUES);
	c->chunk = str_sub(c->chunk, t.at, c->chunk.n);
	if ((uint64_t)h->packed > c->chunk.n)
		return damaged(c, "a page is cut off", et);
	return OK;
}

/* ---- runs and packed bits ---- */

static bool varint(struct str *in, uint64_t *out)
{
	*out = 0;
	for (unsigned shift = 0; shift < 35; shift += 7) {
		if (!in->n)
			return false;
		uint8_t b = (uint8_t)in->p[0];
		*in = str_sub(*in, 1, in->n);
		*out |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return true;
	}
	return false;
}

struct runs {
	struct str in;
	unsigned width; /* bits */
};

static uint32_t bits_at(struct str s, size_t bit, unsigned width)
{
	uint64_t v = 0;
	size_t byte = bit / 8, n = MIN((size_t)8, s.n - byte);
	memcpy(&v, s.p + byte, n);
	return (uint32_t)(v >> bit % 8 & ((1ull << width) - 1));
}

/* n values of the hybrid of runs and packed bits, each at most `most`: to bytes or to words. */
static bool unpack(struct runs *r, size_t n, uint32_t most, uint8_t *bytes, uint32_t *words)
{
	for (size_t at = 0; at < n;) {
		uint64_t head, count;
		uint32_t v = 0;
		if (!varint(&r->in, &head))
			return false;
		bool packed = head & 1;
		count = packed ? (head >> 1) * 8 : head >> 1;
		size_t m = (size_t)MIN(count, (uint64_t)(n - at));
		size_t need = packed ? (size_t)(head >> 1) * r->width : (r->width + 7) / 8;
		if (!count)
			return false;
		if (packed && need > r->in.n) { /* the last group may be cut where its values end */
			need = r->in.n;
			m = r->width ? MIN(m, need * 8 / r->width) : m;
			if (at + m < n)
				return false;
		}
		if (need > r->in.n)
			return false;
		if (!packed && need)
			memcpy(&v, r->in.p, need);
		for (size_t i = 0; i < m; i++) {
			if (packed)
				v = r->width ? bits_at(r->in, i * r->width, r->width) : 0;
			if (v > most)
				return false;
			if (bytes)
				bytes[at + i] = (uint8_t)v;
			else
				words[at + i] = v;
		}
		r->in = str_sub(r->in, need, r->in.n);
		at += m;
	}
	return true;
}

static unsigned width_of(uint32_t most)
{
	unsigned w = 0;
	for (; most; most >>= 1)
		w++;
	return w;
}

/* ---- levels ---- */

static enum err levels_room(struct cursor *c, size_t n, struct errtext *et)
{
	if (n > c->levels_cap) {
		uint8_t *rep = realloc(c->rep, n), *def;
		c->rep = rep ? rep : c->rep;
		def = realloc(c->def, n);
		c->def = def ? def : c->def;
		if (!rep || !def)
			return no_memory(et);
		c->levels_cap = n;
	}
	return OK;
}

/* Of version 1: their length stands before them. */
static bool levels(struct str *in, size_t n, uint8_t most, int64_t encoding, uint8_t *out)
{
	uint32_t bytes;
	if (!most) {
		memset(out, 0, n);
		return true;
	}
	if (encoding != RLE || in->n < 4)
		return false;
	memcpy(&bytes, in->p, 4);
	if (bytes > in->n - 4)
		return false;
	struct runs r = {str_sub(*in, 4, 4 + (size_t)bytes), width_of(most)};
	*in = str_sub(*in, 4 + (size_t)bytes, in->n);
	return unpack(&r, n, most, out, NULL);
}

static bool levels_v2(struct str in, size_t n, uint8_t most, uint8_t *out)
{
	struct runs r = {in, width_of(most)};
	if (most)
		return unpack(&r, n, most, out, NULL);
	memset(out, 0, n);
	return true;
}

/* ---- values ---- */

/* Bytes of a plain value, SIZE_MAX when they are cut off; booleans are not among them. */
static size_t value_size(const struct leaf *l, struct str in, size_t *head)
{
	static const size_t sizes[] = {0, 4, 8, 12, 4, 8};
	uint32_t n;
	*head = 0;
	if (l->type == FIXED)
		return (size_t)l->width <= in.n ? (size_t)l->width : SIZE_MAX;
	if (l->type != BYTE_ARRAY)
		return sizes[l->type] <= in.n ? sizes[l->type] : SIZE_MAX;
	if (in.n < 4)
		return SIZE_MAX;
	memcpy(&n, in.p, 4);
	*head = 4;
	return n <= in.n - 4 ? n : SIZE_MAX;
}

static enum err read_dictionary(
	struct cursor *c, const struct head *h, struct str packed, struct errtext *et)
{
	char *bytes = malloc((size_t)h->full + 1);
	struct str *entries = malloc(((size_t)h->values + 1) * sizeof *entries);
	free(c->dictionary);
	free(c->entries);
	c->dictionary = bytes;
	c->entries = entries;
	c->n_entries = 0;
	if (!bytes || !entries)
		return no_memory(et);
	if ((h->encoding != PLAIN && h->encoding != PLAIN_DICTIONARY) || c->leaf->type == BOOLEAN)
		return err_set(
			et, ERR_UNSUPPORTED, "a dictionary in the encoding %" PRId64, h->encoding);
	if (!codec_unpack(c->codec, packed, bytes, (size_t)h->full))
		return damaged(c, "its dictionary cannot be unpacked", et);
	struct str rest = str_mk(bytes, (size_t)h->full);
	for (int64_t i = 0; i < h->values; i++) {
		size_t head, n = value_size(c->leaf, rest, &head);
		if (n == SIZE_MAX)
			return damaged(c, "its dictionary is cut off", et);
		entries[c->n_entries++] = str_sub(rest, head, head + n);
		rest = str_sub(rest, head + n, rest.n);
	}
	return OK;
}

static enum err read_values(struct cursor *c, const struct head *h, struct errtext *et)
{
	size_t n = 0;
	for (size_t i = 0; i < c->n; i++)
		n += c->def[i] == c->leaf->def_max;
	c->by_index = h->encoding == PLAIN_DICTIONARY || h->encoding == RLE_DICTIONARY;
	c->n_index = n;
	c->next = 0;
	c->bit = 0;
	c->runs_of_bits = h->encoding == RLE && c->leaf->type == BOOLEAN;
	if (delta_known(h->encoding)) {
		enum err e = delta_unpack(c->leaf, h->encoding, c->values, n, &c->plain, et);
		c->values = buf_str(&c->plain);
		return e;
	}
	if (!c->by_index && h->encoding != PLAIN && !c->runs_of_bits)
		return err_set(et, ERR_UNSUPPORTED,
			"the column %.*s is in the encoding %" PRId64
			", which is not read; write it with use_dictionary or without "
			"column_encoding",
			STR_FMT(c->leaf->column.name), h->encoding);
	if (h->encoding == PLAIN)
		return OK;
	if (n > c->index_cap) {
		uint32_t *index = realloc(c->index, n * sizeof *index);
		if (!index)
			return no_memory(et);
		c->index = index;
		c->index_cap = n;
	}
	struct runs r = {.in = c->values, .width = 1};
	if (c->by_index && !r.in.n && n)
		return damaged(c, "a page is cut off", et);
	if (c->by_index && n) {
		r.width = (uint8_t)r.in.p[0];
		r.in = str_sub(r.in, 1, r.in.n);
	} else if (!c->by_index) { /* booleans in runs: a length first */
		r.in = str_sub(r.in, 4, r.in.n);
	}
	uint32_t most = c->by_index ? (uint32_t)c->n_entries - 1 : 1;
	if (n && (r.width > 32 || (c->by_index && !c->n_entries) ||
			 !unpack(&r, n, most, NULL, c->index)))
		return damaged(c, "a page's values do not fit its dictionary", et);
	return OK;
}

static enum err unpack_page(
	struct cursor *c, const struct head *h, struct str packed, size_t plain, struct errtext *et)
{
	size_t full = (size_t)h->full;
	if (full > c->page_cap) {
		char *page = realloc(c->page, full);
		if (!page)
			return no_memory(et);
		c->page = page;
		c->page_cap = full;
	}
	if (plain > full || plain > packed.n)
		return damaged(c, "a page's levels are longer than it", et);
	if (plain)
		memcpy(c->page, packed.p, plain);
	struct str rest = str_sub(packed, plain, packed.n);
	/* a page of nothing but levels may have no packed part at all */
	if (full == plain && !rest.n)
		return OK;
	return codec_unpack(
		       h->is_packed ? c->codec : UNCOMPRESSED, rest, c->page + plain, full - plain)
		       ? OK
		       : damaged(c, "a page cannot be unpacked", et);
}

static enum err read_page(
	struct cursor *c, const struct head *h, struct str packed, struct errtext *et)
{
	bool v2 = h->type == DATA_PAGE_V2, good;
	size_t plain = 0;
	if (v2 && (h->rep_bytes < 0 || h->def_bytes < 0 || h->rep_bytes > h->full ||
			  h->def_bytes > h->full - h->rep_bytes))
		return damaged(c, "a page's levels are longer than it", et);
	if (v2)
		plain = (size_t)(h->rep_bytes + h->def_bytes);
	if (h->values > c->left)
		return damaged(c, "its pages have more values than it", et);
	enum err e = unpack_page(c, h, packed, plain, et);
	e = e ? e : levels_room(c, (size_t)h->values + 1, et);
	if (e)
		return e;
	c->n = (size_t)h->values;
	c->at = 0;
	c->left -= h->values;
	struct str in = str_mk(c->page ? c->page : "", (size_t)h->full);
	if (v2) {
		good = levels_v2(str_sub(in, 0, (size_t)h->rep_bytes), c->n, c->leaf->rep_max,
			       c->rep) &&
		       levels_v2(str_sub(in, (size_t)h->rep_bytes, plain), c->n, c->leaf->def_max,
			       c->def);
		in = str_sub(in, plain, in.n);
	} else {
		good = levels(&in, c->n, c->leaf->rep_max, h->rep_encoding, c->rep) &&
		       levels(&in, c->n, c->leaf->def_max, h->def_encoding, c->def);
	}
	c->values = in;
	return good ? read_values(c, h, et) : damaged(c, "a page's levels cannot be read", et);
}

/* ---- one after the other ---- */

enum err cursor_peek(struct cursor *c, uint8_t *rep, uint8_t *def, bool *end, struct errtext *et)
{
	enum err e = OK;
	while (c->at == c->n && c->left && !e) {
		struct head h;
		e = read_head(c, &h, et);
		if (e)
			return e;
		struct str packed = str_sub(c->chunk, 0, (size_t)h.packed);
		c->chunk = str_sub(c->chunk, (size_t)h.packed, c->chunk.n);
		if (h.type == DICTIONARY_PAGE)
			e = read_dictionary(c, &h, packed, et);
		else if (h.type == DATA_PAGE || h.type == DATA_PAGE_V2)
			e = read_page(c, &h, packed, et);
	}
	if (e)
		return e;
	*end = c->at == c->n;
	*rep = *end ? 0 : c->rep[c->at];
	*def = *end ? 0 : c->def[c->at];
	return OK;
}

enum err cursor_take(struct cursor *c, struct str *value, struct errtext *et)
{
	static const char bits[2] = {0, 1};
	*value = (struct str){0};
	if (c->def[c->at++] != c->leaf->def_max)
		return OK;
	if (c->by_index) {
		*value = c->entries[c->index[c->next++]];
		return OK;
	}
	if (c->runs_of_bits) {
		*value = str_mk(&bits[c->index[c->next++]], 1);
		return OK;
	}
	if (c->leaf->type == BOOLEAN) {
		if (c->bit / 8 >= c->values.n)
			return damaged(c, "a page is cut off", et);
		*value = str_mk(&bits[(uint8_t)c->values.p[c->bit / 8] >> c->bit % 8 & 1], 1);
		c->bit++;
		return OK;
	}
	size_t head, n = value_size(c->leaf, c->values, &head);
	if (n == SIZE_MAX)
		return damaged(c, "a page is cut off", et);
	*value = str_sub(c->values, head, head + n);
	c->values = str_sub(c->values, head + n, c->values.n);
	return OK;
}
