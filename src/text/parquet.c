/* Rows of a Parquet file: the columns side by side, a value or a list of each. */
#include "text/parquet_int.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

struct column {
	struct cursor c;
	bool open, left_out;
	/* the row's values */
	struct parquet_value *items;
	size_t cap;
	struct buf texts; /* dates and times, written out */
};

struct parquet {
	struct str file;
	struct arena *arena;
	struct meta meta;
	struct parquet_column *shown;
	struct column *columns;
	size_t group;
	int64_t row; /* of the group */
};

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a Parquet file");
}

enum err parquet_open(struct str bytes, struct parquet **out, struct errtext *et)
{
	struct parquet *p = calloc(1, sizeof *p);
	enum { ARENA_MAX = 1 << 30 };
	if (!p || !(p->arena = arena_new(ARENA_MAX))) {
		free(p);
		return no_memory(et);
	}
	p->file = bytes;
	enum err e = parquet_read_meta(bytes, p->arena, &p->meta, et);
	if (!e) {
		p->columns = calloc(p->meta.n_leaves + 1, sizeof *p->columns);
		p->shown = calloc(p->meta.n_leaves + 1, sizeof *p->shown);
		e = p->columns && p->shown ? OK : no_memory(et);
	}
	for (size_t i = 0; i < p->meta.n_leaves && !e; i++)
		p->shown[i] = p->meta.leaves[i].column;
	if (e)
		parquet_free(p);
	else
		*out = p;
	return e;
}

void parquet_free(struct parquet *p)
{
	if (!p)
		return;
	for (size_t i = 0; p->columns && i < p->meta.n_leaves; i++) {
		cursor_close(&p->columns[i].c);
		free(p->columns[i].items);
		buf_free(&p->columns[i].texts);
	}
	free(p->columns);
	free(p->shown);
	arena_free(p->arena);
	free(p);
}

size_t parquet_columns(const struct parquet *p, const struct parquet_column **out)
{
	*out = p->shown;
	return p->meta.n_leaves;
}

uint64_t parquet_rows(const struct parquet *p)
{
	return p->meta.rows;
}

void parquet_leave_out(struct parquet *p, size_t column)
{
	p->columns[column].left_out = true;
}

/* ---- values ---- */

static float half(uint16_t h)
{
	uint32_t exponent = h >> 10 & 31, part = h & 1023;
	float f = exponent == 31 ? (part ? NAN : INFINITY)
		  : exponent     ? ldexpf((float)(part + 1024), (int)exponent - 25)
				 : ldexpf((float)part, -24);
	return h & 0x8000 ? -f : f;
}

/* An integer of the physical type, or what an unsigned one has in 64 bits. */
static int64_t integer(const struct leaf *l, struct str v)
{
	int32_t small;
	int64_t i;
	if (l->type == INT32) {
		memcpy(&small, v.p, 4);
		return l->meaning == AS_UNSIGNED ? (int64_t)(uint32_t)small : small;
	}
	memcpy(&i, v.p, 8);
	return i;
}

static double real(const struct leaf *l, struct str v)
{
	float f;
	double d;
	uint16_t h;
	if (l->meaning == AS_HALF) {
		memcpy(&h, v.p, 2);
		return (double)half(h);
	}
	if (l->meaning == AS_DECIMAL)
		return (double)integer(l, v) / pow(10, l->scale);
	if (l->type == FLOAT) {
		memcpy(&f, v.p, 4);
		return (double)f;
	}
	memcpy(&d, v.p, 8);
	return d;
}

/* "2026-05-03", "2026-05-03T14:00:00.250Z"; outside the years 1 to 9999 there is no text. */
static bool write_time(const struct leaf *l, struct str bytes, struct buf *out)
{
	static const int64_t parts[] = {
		[AS_MILLIS] = 1000, [AS_MICROS] = 1000000, [AS_NANOS] = 1000000000};
	int64_t second = 0, part = 0, per = 0;
	int32_t day;
	struct tm tm;
	if (l->meaning == AS_DATE) {
		memcpy(&day, bytes.p, 4);
		second = (int64_t)day * 86400;
	} else if (l->meaning == AS_TIME96) {
		memcpy(&part, bytes.p, 8);
		memcpy(&day, bytes.p + 8, 4);
		second = ((int64_t)day - 2440588) * 86400 + part / 1000000000;
		part %= 1000000000;
		if (part < 0)
			return false;
	} else {
		int64_t v = integer(l, bytes);
		per = parts[l->meaning];
		second = v / per - (v % per < 0);
		part = v - second * per;
	}
	time_t t = (time_t)second;
	if (second < -62135596800 || second > 253402300799 || !gmtime_r(&t, &tm))
		return false;
	buf_addf(out, "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
	if (l->meaning == AS_DATE)
		return true;
	buf_addf(out, "T%02d:%02d:%02d", tm.tm_hour, tm.tm_min, tm.tm_sec);
	if (part)
		buf_addf(out, ".%0*lld",
			l->meaning == AS_MILLIS   ? 3
			: l->meaning == AS_MICROS ? 6
						  : 9,
			(long long)part);
	buf_putc(out, 'Z');
	return true;
}

static bool is_time(const struct leaf *l)
{
	return l->meaning >= AS_DATE && l->meaning <= AS_TIME96;
}

static enum err value_of(
	struct column *c, struct str v, struct parquet_value *out, struct errtext *et)
{
	const struct leaf *l = c->c.leaf;
	*out = (struct parquet_value){.kind = l->column.kind};
	if (!v.p) {
		out->kind = PARQUET_NULL;
		return OK;
	}
	switch (out->kind) {
	case PARQUET_BOOL:
		out->i = v.p[0];
		return OK;
	case PARQUET_INT:
	case PARQUET_UINT:
		out->i = integer(l, v);
		return OK;
	case PARQUET_REAL:
		out->d = real(l, v);
		return OK;
	default:
		break;
	}
	if (is_time(l)) {
		/* where it begins in the buffer, until that stays where it is */
		size_t from = c->texts.n;
		if (!write_time(l, v, &c->texts)) {
			out->kind = PARQUET_NULL;
			return OK;
		}
		out->text = str_mk(NULL, c->texts.n - from);
		out->i = (int64_t)from;
		return c->texts.err ? no_memory(et) : OK;
	}
	out->text = v;
	if (out->kind != PARQUET_BYTES && !utf8_valid(v))
		return err_set(et, ERR_CORRUPT, "the column %.*s holds text that is not UTF-8",
			STR_FMT(l->column.name));
	return OK;
}

static void settle_text(struct column *c, struct parquet_value *v)
{
	if (v->kind == PARQUET_TEXT && is_time(c->c.leaf)) {
		v->text.p = buf_str(&c->texts).p + v->i;
		v->i = 0;
	}
}

/* ---- rows ---- */

static enum err short_of(const struct column *c, struct errtext *et)
{
	return err_set(et, ERR_CORRUPT,
		"the Parquet file is damaged: the column %.*s has fewer rows than it says",
		STR_FMT(c->c.leaf->column.name));
}

static enum err add_item(struct column *c, size_t *n, struct errtext *et)
{
	struct str v;
	if (*n == PARQUET_LIST_MAX)
		return err_set(et, ERR_TOO_LARGE,
			"a list of more than %d values in the column %.*s", PARQUET_LIST_MAX,
			STR_FMT(c->c.leaf->column.name));
	if (*n == c->cap) {
		size_t cap = c->cap ? 2 * c->cap : 64;
		struct parquet_value *items = realloc(c->items, cap * sizeof *items);
		if (!items)
			return no_memory(et);
		c->items = items;
		c->cap = cap;
	}
	enum err e = cursor_take(&c->c, &v, et);
	e = e ? e : value_of(c, v, &c->items[*n], et);
	*n += !e;
	return e;
}

/* The first element begins the row; those that repeat follow. */
static enum err read_list(
	struct column *c, uint8_t def, struct parquet_value *out, struct errtext *et)
{
	const struct leaf *l = c->c.leaf;
	size_t n = 0;
	uint8_t rep = 1;
	bool end = false;
	struct str none;
	enum err e = OK;
	*out = (struct parquet_value){.kind = l->column.kind, .list = true};
	if (def < l->def_list) { /* empty, or no list at all */
		bool empty = l->def_list && def == l->def_list - 1;
		out->kind = empty ? l->column.kind : PARQUET_NULL;
		return cursor_take(&c->c, &none, et);
	}
	e = add_item(c, &n, et);
	while (!e) {
		e = cursor_peek(&c->c, &rep, &def, &end, et);
		if (e || end || !rep)
			break;
		e = add_item(c, &n, et);
	}
	for (size_t i = 0; i < n && !e; i++)
		settle_text(c, &c->items[i]);
	out->items = c->items;
	out->n = n;
	return e;
}

static enum err read_value(struct column *c, struct parquet_value *out, struct errtext *et)
{
	uint8_t rep, def;
	bool end;
	struct str v;
	buf_clear(&c->texts);
	enum err e = cursor_peek(&c->c, &rep, &def, &end, et);
	if (!e && (end || rep))
		e = short_of(c, et);
	if (e)
		return e;
	if (c->c.leaf->column.list)
		return read_list(c, def, out, et);
	e = cursor_take(&c->c, &v, et);
	e = e ? e : value_of(c, v, out, et);
	if (!e)
		settle_text(c, out);
	return e;
}

/* The next group with rows. */
static bool open_group(struct parquet *p)
{
	while (p->group < p->meta.n_groups && p->row == p->meta.groups[p->group].rows) {
		p->group++;
		p->row = 0;
		for (size_t i = 0; i < p->meta.n_leaves; i++)
			p->columns[i].open = false;
	}
	return p->group < p->meta.n_groups;
}

/* Why a column cannot be read at all is said before its first value. */
static enum err readable(const struct parquet *p, size_t i, struct errtext *et)
{
	const struct leaf *l = &p->meta.leaves[i];
	int64_t codec = p->meta.groups[p->group].chunks[i].codec;
	if (l->unread)
		return err_set(et, ERR_UNSUPPORTED, "the column %.*s %s: leave it out",
			STR_FMT(l->column.name), l->unread);
	if (!codec_known(codec))
		return err_set(et, ERR_UNSUPPORTED,
			"the column %.*s is packed with codec %lld: snappy, gzip, zstd, "
			"brotli, lz4_raw and none are read",
			STR_FMT(l->column.name), (long long)codec);
	return OK;
}

enum err parquet_next(struct parquet *p, struct parquet_value *row, bool *end, struct errtext *et)
{
	enum err e = OK;
	*end = !open_group(p);
	if (*end)
		return OK;
	for (size_t i = 0; i < p->meta.n_leaves && !e; i++) {
		struct column *c = &p->columns[i];
		row[i] = (struct parquet_value){0};
		if (c->left_out)
			continue;
		e = readable(p, i, et);
		if (e)
			break;
		if (!c->open)
			cursor_open(&c->c, &p->meta.leaves[i], &p->meta.groups[p->group].chunks[i],
				p->file);
		c->open = true;
		e = read_value(c, &row[i], et);
	}
	p->row += !e;
	return e;
}
