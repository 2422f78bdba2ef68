/* Rows of two files compared: each row becomes a number (a sum over its cells, so that the order of
 * columns does not matter) and, with a key, a second one; sorted lists of them are merged. Only
 * rows that changed are read a second time, cell by cell. */
#include "artifact/rows.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/map.h"

#include <math.h>
#include <stdlib.h>

enum { TEXT_SHOWN = 200 };

enum cell_kind { CELL_NUMBER, CELL_TRUTH, CELL_TEXT, CELL_STRUCTURE };

struct cell {
	size_t column;
	enum cell_kind kind;
	struct str text;
	size_t written; /* where in the side's text it stands, + 1; 0: in the file or the document
			 */
	double number;
};

/* What both files share. */
struct reading {
	enum rows_format format;
	struct arena *a;
	struct rows_column *columns; /* room for ROWS_COLUMNS_MAX */
	uint64_t *salts;             /* of the columns: a cell counts in its own */
	size_t n_columns;
	struct map by_name; /* name -> column + 1 */
	struct errtext *et;
};

struct row_at {
	uint64_t hash, key;
	uint32_t at, n; /* in the file */
};

struct side {
	struct reading *r;
	int which; /* 0: before, 1: after */
	struct str in, rest;
	char delimiter;
	size_t *header; /* CSV: the columns, by place */
	size_t n_header;
	struct row_at *rows;
	size_t n, cap;
	bool has_key, cut;
	size_t key; /* column */
	/* the row that was read last */
	struct cell cells[ROWS_COLUMNS_MAX];
	size_t n_cells;
	uint16_t place[ROWS_COLUMNS_MAX]; /* column -> its cell + 1 */
	struct buf text;                  /* cells that stand otherwise in the file */
	yyjson_doc *doc;
};

enum rows_format rows_format_of(struct str path)
{
	static const struct {
		const char *ending;
		enum rows_format format;
	} known[] = {{".csv", ROWS_CSV}, {".tsv", ROWS_TSV}, {".tab", ROWS_TSV},
		{".jsonl", ROWS_JSONL}, {".ndjson", ROWS_JSONL}};
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		struct str end = str_c(known[i].ending);
		if (path.n > end.n && str_eq_nocase(str_sub(path, path.n - end.n, path.n), end))
			return known[i].format;
	}
	return ROWS_NONE;
}

const char *rows_format_word(enum rows_format f)
{
	static const char *const words[] = {"none", "csv", "tsv", "jsonl"};
	return words[f];
}

const char *rows_type(const struct rows_stats *s)
{
	if (!s->values)
		return "empty";
	return s->numbers == s->values      ? "number"
	       : s->truths == s->values     ? "boolean"
	       : s->texts == s->values      ? "text"
	       : s->structures == s->values ? "json"
					    : "mixed";
}

double rows_deviation(const struct rows_stats *s)
{
	return s->numbers > 1 ? sqrt(s->m2 / (double)(s->numbers - 1)) : 0;
}

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory to compare rows");
}

static enum err bad_row(struct side *s, struct str at, const char *what)
{
	size_t line = 1;
	for (const char *p = s->in.p; p < at.p; p++)
		line += *p == '\n';
	return err_set(s->r->et, ERR_INVALID, "the file %s, line %zu: %s",
		s->which ? "after" : "before", line, what);
}

/* ---- columns ---- */

static enum err column_of(struct reading *r, struct str name, size_t *out)
{
	uintptr_t known = (uintptr_t)map_get(&r->by_name, name);
	if (known) {
		*out = known - 1;
		return OK;
	}
	if (r->n_columns == ROWS_COLUMNS_MAX)
		return err_set(r->et, ERR_LIMIT, "more than %d columns", ROWS_COLUMNS_MAX);
	struct rows_column *c = &r->columns[r->n_columns];
	*c = (struct rows_column){.name = arena_str(r->a, name)};
	if (!c->name.p || !map_put(&r->by_name, name, (void *)(uintptr_t)(r->n_columns + 1)))
		return no_memory(r->et);
	r->salts[r->n_columns] = hash64(name) | 1;
	*out = r->n_columns++;
	return OK;
}

/* written: as in struct cell. */
static enum err add_cell(struct side *s, size_t column, enum cell_kind kind, struct str text,
	size_t written, double number)
{
	if (s->n_cells == ROWS_COLUMNS_MAX)
		return err_set(
			s->r->et, ERR_LIMIT, "more than %d cells in a row", ROWS_COLUMNS_MAX);
	s->cells[s->n_cells++] = (struct cell){column, kind, text, written, number};
	return OK;
}

/* ---- CSV ---- */

static bool as_number(struct str s, double *out)
{
	return s.n && s.n < 64 && ((s.p[0] >= '0' && s.p[0] <= '9') || strchr("+-.", s.p[0])) &&
	       str_f64(s, out) && isfinite(*out);
}

static enum err text_cell(struct side *s, size_t column, struct str text, size_t written)
{
	double number = 0;
	if (!text.n)
		return OK;
	enum cell_kind kind = as_number(text, &number) ? CELL_NUMBER
			      : str_eq_nocase(text, S("true")) || str_eq_nocase(text, S("false"))
				      ? CELL_TRUTH
				      : CELL_TEXT;
	return add_cell(s, column, kind, text, written, number);
}

/* One field off the rest; *last: the row ends behind it. A quoted field is unquoted into s->text.
 */
static enum err take_field(struct side *s, struct str *out, size_t *written, bool *last)
{
	struct str *in = &s->rest;
	size_t i = 0;
	*written = 0;
	if (in->n && in->p[0] == '"') {
		size_t from = s->text.n;
		for (i = 1;; i++) {
			if (i >= in->n)
				return bad_row(s, *in, "a quote is not closed");
			if (in->p[i] == '"' && (i + 1 >= in->n || in->p[i + 1] != '"'))
				break;
			i += in->p[i] == '"';
			buf_putc(&s->text, in->p[i]);
		}
		if (s->text.err)
			return no_memory(s->r->et);
		*out = str_mk(s->text.p ? s->text.p + from : "", s->text.n - from);
		*written = from + 1;
		i++;
		if (i < in->n && in->p[i] != s->delimiter && in->p[i] != '\n' && in->p[i] != '\r')
			return bad_row(s, *in, "text follows a closing quote");
	} else {
		while (i < in->n && in->p[i] != s->delimiter && in->p[i] != '\n')
			i++;
		*out = str_sub(*in, 0, i);
		if (out->n && out->p[out->n - 1] == '\r' && (i == in->n || in->p[i] == '\n'))
			out->n--;
	}
	*last = i >= in->n || in->p[i] != s->delimiter;
	if (*last && i < in->n && in->p[i] == '\r')
		i++;
	*in = str_sub(*in, MIN(i + 1, in->n), in->n);
	return OK;
}

static void skip_empty_lines(struct side *s)
{
	while (s->rest.n && (s->rest.p[0] == '\n' || s->rest.p[0] == '\r'))
		s->rest = str_sub(s->rest, 1, s->rest.n);
}

static enum err read_header(struct side *s)
{
	struct reading *r = s->r;
	bool last = false;
	skip_empty_lines(s);
	s->header = arena_array_of(r->a, ROWS_COLUMNS_MAX, size_t);
	enum err e = s->header ? OK : no_memory(r->et);
	while (!e && !last && s->rest.n) {
		struct str name, at = s->rest;
		size_t written;
		e = take_field(s, &name, &written, &last);
		if (!e && s->n_header == ROWS_COLUMNS_MAX)
			e = err_set(r->et, ERR_LIMIT, "more than %d columns", ROWS_COLUMNS_MAX);
		if (!e && !utf8_valid(name))
			e = bad_row(s, at, "the name of a column is not UTF-8");
		if (!e)
			e = column_of(r, name, &s->header[s->n_header++]);
	}
	return e;
}

static enum err read_csv(struct side *s)
{
	bool last = false;
	enum err e = OK;
	for (size_t i = 0; !e && !last; i++) {
		struct str field, at = s->rest;
		size_t written;
		e = take_field(s, &field, &written, &last);
		if (!e && i >= s->n_header && field.n)
			e = bad_row(s, at, "the row has more fields than the header");
		if (!e && i < s->n_header)
			e = text_cell(s, s->header[i], field, written);
		if (!e && !last && !s->rest.n)
			last = true; /* a delimiter at the very end */
	}
	return e;
}

/* Of a CSV file: what occurs most in its first line. */
static char delimiter_of(struct str in)
{
	static const char may[] = ",;\t|";
	size_t end = str_chr(in, '\n'), best = 0;
	char found = ',';
	struct str line = str_sub(in, 0, end == STR_NONE ? in.n : end);
	for (const char *d = may; *d; d++) {
		size_t n = 0;
		for (size_t i = 0; i < line.n; i++)
			n += line.p[i] == *d;
		if (n > best) {
			best = n;
			found = *d;
		}
	}
	return found;
}

/* ---- JSON lines ---- */

static enum err json_cell(struct side *s, size_t column, yyjson_val *v)
{
	struct jw w = {.out = &s->text};
	if (yyjson_is_null(v))
		return OK;
	if (yyjson_is_str(v))
		return add_cell(s, column, CELL_TEXT, json_val_str(v), 0, 0);
	size_t from = s->text.n;
	jw_val(&w, v);
	if (s->text.err)
		return no_memory(s->r->et);
	struct str text = str_mk(s->text.p + from, s->text.n - from);
	if (yyjson_is_num(v))
		return add_cell(s, column, CELL_NUMBER, text, from + 1, yyjson_get_num(v));
	return add_cell(
		s, column, yyjson_is_bool(v) ? CELL_TRUTH : CELL_STRUCTURE, text, from + 1, 0);
}

static enum err read_jsonl(struct side *s)
{
	struct str line, all = s->rest;
	size_t i, n;
	yyjson_val *key, *v;
	size_t end = str_chr(all, '\n');
	line = str_sub(all, 0, end == STR_NONE ? all.n : end);
	s->rest = str_sub(all, end == STR_NONE ? all.n : end + 1, all.n);
	yyjson_doc_free(s->doc);
	s->doc = NULL;
	if (json_parse(line, &s->doc, NULL) || !yyjson_is_obj(yyjson_doc_get_root(s->doc)))
		return bad_row(s, all, "a JSON object is expected");
	enum err e = OK;
	yyjson_obj_foreach(yyjson_doc_get_root(s->doc), i, n, key, v)
	{
		size_t column = 0;
		if (!e)
			e = column_of(s->r, json_val_str(key), &column);
		if (!e)
			e = json_cell(s, column, v);
	}
	return e;
}

static enum err read_row(struct side *s)
{
	for (size_t i = 0; i < s->n_cells; i++)
		s->place[s->cells[i].column] = 0;
	s->n_cells = 0;
	buf_clear(&s->text);
	enum err e = s->r->format == ROWS_JSONL ? read_jsonl(s) : read_csv(s);
	for (size_t i = 0; i < s->n_cells; i++) { /* the buffer no longer moves */
		struct cell *c = &s->cells[i];
		if (c->written)
			c->text.p = s->text.p + c->written - 1;
		s->place[c->column] = (uint16_t)(i + 1);
	}
	return e;
}

/* ---- one file ---- */

static uint64_t scramble(uint64_t x)
{
	x ^= x >> 31;
	x *= 0x9E3779B97F4A7C15ull;
	x ^= x >> 29;
	x *= 0xBF58476D1CE4E5B9ull;
	return x ^ x >> 32;
}

static uint64_t cell_hash(const struct reading *r, const struct cell *c)
{
	return scramble(hash64(c->text) * r->salts[c->column] + (uint64_t)c->kind);
}

static void count(struct rows_stats *t, const struct cell *c)
{
	t->values++;
	t->truths += c->kind == CELL_TRUTH;
	t->structures += c->kind == CELL_STRUCTURE;
	if (c->kind == CELL_TEXT) {
		t->texts++;
		t->length += (int64_t)c->text.n;
	} else if (c->kind == CELL_NUMBER) {
		double d = c->number - t->mean;
		t->min = t->numbers ? fmin(t->min, c->number) : c->number;
		t->max = t->numbers ? fmax(t->max, c->number) : c->number;
		t->mean += d / (double)++t->numbers;
		t->m2 += d * (c->number - t->mean);
	}
}

static enum err keep_row(struct side *s, size_t at, size_t n)
{
	struct row_at row = {.at = (uint32_t)at, .n = (uint32_t)n};
	for (size_t i = 0; i < s->n_cells; i++) {
		const struct cell *c = &s->cells[i];
		uint64_t h = cell_hash(s->r, c);
		row.hash += h;
		if (s->has_key && c->column == s->key)
			row.key = h | 1;
		count(&s->r->columns[c->column].stats[s->which], c);
	}
	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 4096;
		struct row_at *v = realloc(s->rows, cap * sizeof *v);
		if (!v)
			return no_memory(s->r->et);
		s->rows = v;
		s->cap = cap;
	}
	s->rows[s->n++] = row;
	return OK;
}

/* What is too long is cut behind its last whole line; a quoted line break there costs a row. */
static struct str bounded(struct str in, bool *cut)
{
	*cut = in.n > ROWS_BYTES_MAX;
	if (!*cut)
		return in;
	size_t n = ROWS_BYTES_MAX;
	while (n && in.p[n - 1] != '\n')
		n--;
	return str_sub(in, 0, n);
}

static enum err open_side(struct side *s, struct reading *r, int which, struct str in)
{
	*s = (struct side){.r = r, .which = which};
	if (str_starts(in, S("\xEF\xBB\xBF")))
		in = str_sub(in, 3, in.n);
	s->in = s->rest = bounded(in, &s->cut);
	s->delimiter = r->format == ROWS_TSV ? '\t' : delimiter_of(s->in);
	return r->format == ROWS_JSONL ? OK : read_header(s);
}

static enum err read_side(struct side *s)
{
	enum err e = OK;
	for (;;) {
		skip_empty_lines(s);
		if (!s->rest.n || e)
			return e;
		if (s->n == ROWS_MAX) {
			s->cut = true;
			return OK;
		}
		size_t at = (size_t)(s->rest.p - s->in.p);
		e = read_row(s);
		size_t end = (size_t)(s->rest.p - s->in.p);
		while (end > at && (s->in.p[end - 1] == '\n' || s->in.p[end - 1] == '\r'))
			end--;
		if (e == ERR_INVALID && s->cut && !s->rest.n)
			return OK; /* the row in which it was cut */
		if (!e)
			e = keep_row(s, at, end - at);
	}
}

static void close_side(struct side *s)
{
	free(s->rows);
	buf_free(&s->text);
	yyjson_doc_free(s->doc);
}

/* ---- the key ---- */

static bool has_column(struct side *s, struct str name, size_t *column)
{
	uintptr_t known = (uintptr_t)map_get(&s->r->by_name, name);
	if (!known)
		return false;
	*column = known - 1;
	for (size_t i = 0; i < s->n_header; i++)
		if (s->header[i] == known - 1)
			return true;
	for (size_t i = 0; i < s->n_cells && s->r->format == ROWS_JSONL; i++)
		if (s->cells[i].column == known - 1)
			return true;
	return false;
}

/* JSON lines have no header: the first row says which columns there are. */
static enum err peek(struct side *s)
{
	if (s->r->format != ROWS_JSONL)
		return OK;
	skip_empty_lines(s);
	struct str rest = s->rest;
	enum err e = rest.n ? read_row(s) : OK;
	s->rest = rest;
	return e;
}

static enum err find_key(struct side *a, struct side *b, struct str asked)
{
	static const char *const names[] = {"id", "_id", "ID", "Id", "key", "uuid", "path", "name"};
	size_t column = 0;
	enum err e = peek(a);
	if (!e)
		e = peek(b);
	bool found =
		!e && asked.p && has_column(a, asked, &column) && has_column(b, asked, &column);
	if (!e && asked.p && !found)
		return err_set(a->r->et, ERR_INVALID, "key: both files need a column '%.*s'",
			STR_FMT(str_sub(asked, 0, 100)));
	for (size_t i = 0; i < ARRAY_LEN(names) && !found && !e && !asked.p; i++)
		found = has_column(a, str_c(names[i]), &column) &&
			has_column(b, str_c(names[i]), &column);
	a->has_key = b->has_key = found;
	a->key = b->key = column;
	return e;
}

static int by_key(const void *pa, const void *pb)
{
	const struct row_at *a = pa, *b = pb;
	return a->key < b->key ? -1 : a->key > b->key ? 1 : a->at < b->at ? -1 : a->at > b->at;
}

static int by_hash(const void *pa, const void *pb)
{
	const struct row_at *a = pa, *b = pb;
	return a->hash < b->hash ? -1 : a->hash > b->hash ? 1 : a->at < b->at ? -1 : a->at > b->at;
}

static void sort(struct side *s, int (*order)(const void *, const void *))
{
	if (s->n)
		qsort(s->rows, s->n, sizeof *s->rows, order);
}

/* Sorted by key: each row has one, and no other row has it. */
static bool is_key(const struct side *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (!s->rows[i].key || (i && s->rows[i].key == s->rows[i - 1].key))
			return false;
	return true;
}

/* ---- both files ---- */

struct found {
	enum rows_change change;
	uint32_t at, n;
};

struct comparing {
	struct side *a, *b;
	struct rows_diff *out;
	struct found *found;
	size_t n_found, cap_found, entries_max;
};

static enum err read_again(struct side *s, const struct row_at *row)
{
	s->rest = str_sub(s->in, row->at, (size_t)row->at + row->n);
	return read_row(s);
}

static const struct cell *cell_of(const struct side *s, size_t column)
{
	return s->place[column] ? &s->cells[s->place[column] - 1] : NULL;
}

static bool same_cell(const struct cell *a, const struct cell *b)
{
	return a && b && a->kind == b->kind && str_eq(a->text, b->text);
}

static enum err count_changed(
	struct comparing *k, const struct row_at *before, const struct row_at *after)
{
	struct side *a = k->a, *b = k->b;
	enum err e = read_again(a, before);
	if (!e)
		e = read_again(b, after);
	for (size_t i = 0; i < a->n_cells && !e; i++)
		if (!same_cell(&a->cells[i], cell_of(b, a->cells[i].column)))
			a->r->columns[a->cells[i].column].changed++;
	for (size_t i = 0; i < b->n_cells && !e; i++)
		if (!cell_of(a, b->cells[i].column))
			a->r->columns[b->cells[i].column].changed++;
	return e;
}

static enum err report(struct comparing *k, enum rows_change change, const struct row_at *row)
{
	if (k->n_found == k->cap_found) {
		size_t cap = k->cap_found ? 2 * k->cap_found : 256;
		struct found *v = realloc(k->found, cap * sizeof *v);
		if (!v)
			return no_memory(k->a->r->et);
		k->found = v;
		k->cap_found = cap;
	}
	k->found[k->n_found++] = (struct found){change, row->at, row->n};
	return OK;
}

static enum err one_side(struct comparing *k, const struct row_at *row, bool after)
{
	*(after ? &k->out->added : &k->out->removed) += 1;
	return report(k, after ? ROWS_ADDED : ROWS_REMOVED, row);
}

/* Rows of both sides that stand for the same. */
static enum err pair(struct comparing *k, const struct row_at *a, const struct row_at *b)
{
	if (a->hash == b->hash) {
		k->out->same++;
		return OK;
	}
	k->out->changed++;
	enum err e = count_changed(k, a, b);
	return e ? e : report(k, ROWS_CHANGED, b);
}

static enum err merge(struct comparing *k, bool keyed)
{
	const struct side *a = k->a, *b = k->b;
	size_t i = 0, j = 0;
	enum err e = OK;
	while ((i < a->n || j < b->n) && !e) {
		uint64_t x = i < a->n ? keyed ? a->rows[i].key : a->rows[i].hash : 0;
		uint64_t y = j < b->n ? keyed ? b->rows[j].key : b->rows[j].hash : 0;
		if (j == b->n || (i < a->n && x < y))
			e = one_side(k, &a->rows[i++], false);
		else if (i == a->n || y < x)
			e = one_side(k, &b->rows[j++], true);
		else
			e = pair(k, &a->rows[i++], &b->rows[j++]);
	}
	return e;
}

static int by_place(const void *pa, const void *pb)
{
	const struct found *a = pa, *b = pb;
	bool x = a->change == ROWS_REMOVED, y = b->change == ROWS_REMOVED;
	return x != y ? (int)x - (int)y : a->at < b->at ? -1 : a->at > b->at;
}

static enum err entry(struct comparing *k, const struct found *f, struct rows_entry *out)
{
	struct side *s = f->change == ROWS_REMOVED ? k->a : k->b;
	const struct row_at row = {.at = f->at, .n = f->n};
	struct str text = str_sub(s->in, f->at, (size_t)f->at + f->n);
	if (k->out->key.p) {
		enum err e = read_again(s, &row);
		if (e)
			return e;
		const struct cell *c = cell_of(s, s->key);
		text = c ? c->text : S("");
	}
	text = str_sub(text, 0, TEXT_SHOWN);
	while (text.n && !utf8_valid(text))
		text.n--;
	*out = (struct rows_entry){f->change, arena_str(s->r->a, text)};
	return out->row.p ? OK : no_memory(s->r->et);
}

static enum err entries(struct comparing *k)
{
	size_t n = MIN(k->n_found, k->entries_max);
	if (k->n_found)
		qsort(k->found, k->n_found, sizeof *k->found, by_place);
	k->out->entries = arena_array_of(k->a->r->a, n + 1, struct rows_entry);
	enum err e = k->out->entries ? OK : no_memory(k->a->r->et);
	for (size_t i = 0; i < n && !e; i++)
		e = entry(k, &k->found[i], &k->out->entries[i]);
	k->out->n_entries = n;
	return e;
}

static enum err compare(struct comparing *k, struct str asked)
{
	struct side *a = k->a, *b = k->b;
	bool keyed = a->has_key;
	if (keyed) {
		sort(a, by_key);
		sort(b, by_key);
		keyed = is_key(a) && is_key(b);
	}
	if (asked.p && !keyed)
		return err_set(a->r->et, ERR_INVALID,
			"key: '%.*s' does not name each row once: it is missing or occurs twice",
			STR_FMT(str_sub(asked, 0, 100)));
	if (!keyed) {
		sort(a, by_hash);
		sort(b, by_hash);
	}
	k->out->key = keyed ? a->r->columns[a->key].name : (struct str){0};
	enum err e = merge(k, keyed);
	return e ? e : entries(k);
}

enum err rows_diff(struct str before, struct str after, enum rows_format format, struct str key,
	size_t entries_max, struct arena *a, struct rows_diff *out, struct errtext *et)
{
	struct errtext own;
	struct reading r = {.format = format, .a = a, .et = et ? et : &own};
	struct side *s = calloc(2, sizeof *s);
	struct rows_diff d = {0};
	r.columns = arena_array_of(a, ROWS_COLUMNS_MAX, struct rows_column);
	r.salts = arena_array_of(a, ROWS_COLUMNS_MAX, uint64_t);
	enum err e = s && r.columns && r.salts ? OK : no_memory(r.et);
	if (!e)
		e = open_side(&s[0], &r, 0, before);
	if (!e)
		e = open_side(&s[1], &r, 1, after);
	if (!e)
		e = find_key(&s[0], &s[1], key);
	if (!e)
		e = read_side(&s[0]);
	if (!e)
		e = read_side(&s[1]);
	struct comparing k = {.a = &s[0], .b = &s[1], .out = &d, .entries_max = entries_max};
	if (!e)
		e = compare(&k, key);
	if (!e) {
		d.columns = r.columns;
		d.n_columns = r.n_columns;
		for (int i = 0; i < 2; i++) {
			d.rows[i] = (int64_t)s[i].n;
			d.cut[i] = s[i].cut;
		}
		*out = d;
	}
	free(k.found);
	for (int i = 0; s && i < 2; i++)
		close_side(&s[i]);
	free(s);
	map_free(&r.by_name);
	return e;
}
