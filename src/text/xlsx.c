/* XLSX: each sheet is a page, each row a block "Header: value; ...". An empty row ends a table; the
 * first row of each names its columns if it looks like that. Dates are numbers that a style shows
 * as dates; formulas give the value that was last computed. */
#include "text/zip_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { COLUMNS_MAX = 16384 };

struct sheet {
	struct str name, id;
	bool hidden;
};

struct xlsx {
	struct out *o;
	struct arena *a;
	struct sheet *sheets;
	size_t n_sheets, cap_sheets;
	bool date1904;
	/* shared strings: all in one buffer */
	struct buf strings;
	uint32_t *string_at;
	size_t n_strings, cap_strings;
	unsigned phonetic;
	/* styles */
	unsigned char *style_is_date; /* 1: date, 2: time, 3: both */
	size_t n_styles, cap_styles;
	struct {
		int id;
		unsigned char kind;
	} formats[512];
	size_t n_formats;
	bool in_xfs;
	/* a sheet */
	bool in_value;
	struct buf value; /* of the open cell */
	struct buf row;   /* texts of the open row */
	struct {
		uint32_t from, to;
	} * cell;
	size_t n_cells, cap_cells;
	size_t column;
	char type;
	unsigned style;
	uint64_t row_number, last_row;
	struct table header; /* its one row is the header in force */
	bool header_live, header_used;
	struct str *cells_v;
	size_t cap_v;
};

static void grow_failed(struct xlsx *x)
{
	out_fail(x->o, ERR_NOMEM, "out of memory");
}

#define GROW(x, array, n, cap)                                               \
	do {                                                                 \
		if ((n) >= (cap)) {                                          \
			size_t cap_ = (cap) ? (cap)*2 : 64;                  \
			while (cap_ <= (n))                                  \
				cap_ *= 2;                                   \
			void *p_ = realloc((array), cap_ * sizeof *(array)); \
			if (!p_) {                                           \
				grow_failed(x);                              \
				return;                                      \
			}                                                    \
			(array) = p_;                                        \
			(cap) = cap_;                                        \
		}                                                            \
	} while (0)

static void nothing(void *ctx, const char *name)
{
	(void)ctx, (void)name;
}

static void book_start(void *ctx, const char *name, const char **at)
{
	struct xlsx *x = ctx;
	if (!strcmp(name, "s:workbookPr")) {
		const char *v = xml_attribute(at, "date1904");
		x->date1904 = v && (!strcmp(v, "1") || !strcmp(v, "true"));
	} else if (!strcmp(name, "s:sheet")) {
		const char *sheet_name = xml_attribute(at, "name"), *id = NULL,
			   *state = xml_attribute(at, "state");
		for (const char **k = at; *k; k += 2)
			if (str_ends(str_c(k[0]), S("|id")))
				id = k[1];
		if (!sheet_name || !id || x->n_sheets > 10000)
			return;
		GROW(x, x->sheets, x->n_sheets, x->cap_sheets);
		x->sheets[x->n_sheets++] =
			(struct sheet){.name = arena_str(x->a, str_c(sheet_name)),
				.id = arena_str(x->a, str_c(id)),
				.hidden = state && strcmp(state, "visible") != 0};
	}
}

static void strings_start(void *ctx, const char *name, const char **at)
{
	struct xlsx *x = ctx;
	if (!strcmp(name, "s:si")) {
		GROW(x, x->string_at, x->n_strings + 1, x->cap_strings);
		x->string_at[x->n_strings++] = (uint32_t)x->strings.n;
	} else if (!strcmp(name, "s:rPh")) {
		x->phonetic++;
	} else if (!strcmp(name, "s:t")) {
		x->in_value = true;
	}
}

static void strings_end(void *ctx, const char *name)
{
	struct xlsx *x = ctx;
	if (!strcmp(name, "s:rPh"))
		x->phonetic--;
	else if (!strcmp(name, "s:t"))
		x->in_value = false;
	else if (!strcmp(name, "s:si") && x->string_at)
		x->string_at[x->n_strings] = (uint32_t)x->strings.n;
	if (x->strings.n > x->o->lim.text_max)
		out_fail(x->o, ERR_TOO_LARGE, "more than %zu bytes of text; split the file",
			x->o->lim.text_max);
}

static void strings_text(void *ctx, struct str s)
{
	struct xlsx *x = ctx;
	if (x->in_value && !x->phonetic)
		buf_adds(&x->strings, s);
}

/* What a format code shows: 1 a date, 2 a time, 3 both. */
static unsigned char code_kind(const char *code)
{
	unsigned char kind = 0;
	bool quoted = false, bracket = false, hour = false;
	for (const char *p = code; *p; p++) {
		if (*p == '"')
			quoted = !quoted;
		else if (*p == '[')
			bracket = true;
		else if (*p == ']')
			bracket = false;
		else if (*p == '\\' && p[1])
			p++;
		else if (!quoted && !bracket) {
			char c = (char)(*p | 32);
			if (c == 'h' || c == 's') {
				kind |= 2;
				hour = true;
			} else if (c == 'y' || c == 'd') {
				kind |= 1;
			} else if (c == 'm' && !hour) {
				kind |= 1;
			} else if (*p == ';') {
				break;
			}
		}
	}
	return kind;
}

static void styles_start(void *ctx, const char *name, const char **at)
{
	struct xlsx *x = ctx;
	const char *id = xml_attribute(at, "numFmtId");
	if (!strcmp(name, "s:numFmt") && id && x->n_formats < ARRAY_LEN(x->formats)) {
		const char *code = xml_attribute(at, "formatCode");
		x->formats[x->n_formats].id = atoi(id);
		x->formats[x->n_formats++].kind =
			code && strcasecmp(code, "general") != 0 ? code_kind(code) : 0;
	} else if (!strcmp(name, "s:cellXfs")) {
		x->in_xfs = true;
	} else if (!strcmp(name, "s:xf") && x->in_xfs) {
		int n = id ? atoi(id) : 0;
		unsigned char kind = (n >= 14 && n <= 17)                           ? 1
				     : n == 22                                      ? 3
				     : (n >= 18 && n <= 21) || (n >= 45 && n <= 47) ? 2
				     : (n >= 27 && n <= 36) || (n >= 50 && n <= 58) ? 1
										    : 0;
		for (size_t i = 0; i < x->n_formats; i++)
			if (x->formats[i].id == n)
				kind = x->formats[i].kind;
		GROW(x, x->style_is_date, x->n_styles, x->cap_styles);
		x->style_is_date[x->n_styles++] = kind;
	}
}

static void styles_end(void *ctx, const char *name)
{
	struct xlsx *x = ctx;
	if (!strcmp(name, "s:cellXfs"))
		x->in_xfs = false;
}

/* --- a sheet -------------------------------------------------------------------------------------
 */

static void add_number(struct xlsx *x, double v, unsigned char kind)
{
	if (!kind || v < 0 || v > 2958466) {
		buf_addf(&x->row, "%.15g", v);
		return;
	}
	double days = floor(v + 0.5 / 86400);
	int64_t seconds = (int64_t)((v - days) * 86400 + 0.5);
	time_t t = (time_t)(((int64_t)days - (x->date1904        ? 24107
						     : days < 60 ? 25568
								 : 25569)) *
			    86400);
	struct tm tm;
	if ((kind & 1) && gmtime_r(&t, &tm))
		buf_addf(&x->row, "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
	if ((kind & 2) && (kind == 2 || seconds)) {
		if (kind == 2)
			seconds += (int64_t)days * 86400;
		buf_addf(&x->row, "%s%02d:%02d", kind & 1 ? " " : "", (int)(seconds / 3600),
			(int)(seconds / 60 % 60));
		if (seconds % 60)
			buf_addf(&x->row, ":%02d", (int)(seconds % 60));
	}
}

static void cell_end(struct xlsx *x)
{
	struct str v = buf_str(&x->value);
	size_t from = x->row.n;
	uint64_t index;
	double number;
	if (x->type == 's') {
		if (str_u64(str_trim(v), &index) && index < x->n_strings)
			buf_add(&x->row, x->strings.p + x->string_at[index],
				x->string_at[index + 1] - x->string_at[index]);
	} else if (x->type == 'b') {
		buf_addc(&x->row, v.n && v.p[0] == '1' ? "TRUE" : v.n ? "FALSE" : "");
	} else if (x->type == 'n' && str_f64(str_trim(v), &number)) {
		add_number(x, number, x->style < x->n_styles ? x->style_is_date[x->style] : 0);
	} else {
		buf_adds(&x->row, v);
	}
	if (x->row.n > x->o->lim.text_max) {
		out_fail(x->o, ERR_TOO_LARGE, "more than %zu bytes of text; split the file",
			x->o->lim.text_max);
		return;
	}
	if (x->column >= COLUMNS_MAX || x->row.n == from)
		return;
	GROW(x, x->cell, x->column, x->cap_cells);
	while (x->n_cells <= x->column) {
		x->cell[x->n_cells].from = x->cell[x->n_cells].to = 0;
		x->n_cells++;
	}
	x->cell[x->column].from = (uint32_t)from;
	x->cell[x->column].to = (uint32_t)x->row.n;
}

/* The table above ends: a header without rows is a row itself. */
static void region_end(struct xlsx *x)
{
	if (x->header_live && !x->header_used && x->header.n)
		out_row(x->o, (struct cells){0}, x->header.rows[0].c);
	if (x->header_live)
		table_drop(&x->header);
	x->header_live = x->header_used = false;
}

static void row_end(struct xlsx *x)
{
	if (!x->n_cells)
		return;
	GROW(x, x->cells_v, x->n_cells, x->cap_v);
	for (size_t i = 0; i < x->n_cells; i++)
		x->cells_v[i] = str_sub(buf_str(&x->row), x->cell[i].from, x->cell[i].to);
	struct cells row = {x->cells_v, x->n_cells};
	bool fresh = !x->last_row || x->row_number > x->last_row + 1;
	x->last_row = x->row_number;
	if (fresh) {
		region_end(x);
		size_t filled = 0;
		for (size_t i = 0; i < row.n; i++)
			filled += row.v[i].n > 0;
		if (filled == 1) { /* a table's title; its header may follow */
			out_row(x->o, (struct cells){0}, row);
			x->last_row = 0;
			return;
		}
		if (row_is_header(row)) {
			table_begin(&x->header);
			x->header_live = true;
			table_row(&x->header, true);
			for (size_t i = 0; i < row.n; i++)
				table_cell(&x->header, row.v[i]);
			if (x->header.failed)
				out_fail(x->o, ERR_NOMEM, "out of memory");
			return;
		}
	}
	x->header_used = true;
	out_row(x->o, x->header_live ? x->header.rows[0].c : (struct cells){0}, row);
}

static void sheet_start(void *ctx, const char *name, const char **at)
{
	struct xlsx *x = ctx;
	if (!strcmp(name, "s:row")) {
		const char *r = xml_attribute(at, "r");
		uint64_t n;
		x->row_number = r && str_u64(str_c(r), &n) ? n : x->row_number + 1;
		buf_clear(&x->row);
		x->n_cells = 0;
		x->column = SIZE_MAX;
	} else if (!strcmp(name, "s:c")) {
		const char *r = xml_attribute(at, "r"), *t = xml_attribute(at, "t"),
			   *s = xml_attribute(at, "s");
		size_t column = 0;
		for (const char *p = r;
			p && ((*p | 32) >= 'a' && (*p | 32) <= 'z') && column <= COLUMNS_MAX; p++)
			column = column * 26 + (size_t)((*p | 32) - 'a' + 1);
		x->column = column ? column - 1 : x->column + 1;
		x->type = !t || !strcmp(t, "n") ? 'n'
			  : !strcmp(t, "s")     ? 's'
			  : !strcmp(t, "b")     ? 'b'
						: 't';
		x->style = s ? (unsigned)atoi(s) : 0;
		buf_clear(&x->value);
	} else if (!strcmp(name, "s:v") || !strcmp(name, "s:t")) {
		x->in_value = !x->phonetic;
	} else if (!strcmp(name, "s:rPh")) {
		x->phonetic++;
	}
}

static void sheet_end(void *ctx, const char *name)
{
	struct xlsx *x = ctx;
	if (!strcmp(name, "s:v") || !strcmp(name, "s:t"))
		x->in_value = false;
	else if (!strcmp(name, "s:rPh"))
		x->phonetic--;
	else if (!strcmp(name, "s:c"))
		cell_end(x);
	else if (!strcmp(name, "s:row"))
		row_end(x);
}

static void sheet_text(void *ctx, struct str s)
{
	struct xlsx *x = ctx;
	if (x->in_value)
		buf_adds(&x->value, s);
}

static void read_sheet(struct xlsx *x, struct zip_doc *z, const char *part)
{
	static const struct xml_calls calls = {sheet_start, sheet_end, sheet_text};
	x->row_number = x->last_row = 0;
	x->phonetic = 0;
	x->in_value = false;
	if (!zip_doc_xml(z, part, &calls, x) && !x->o->err)
		out_warn(x->o, "sheet %u is missing", x->o->page);
	region_end(x);
}

void parse_xlsx(struct out *o, struct str bytes)
{
	static const struct xml_calls book = {book_start, nothing, NULL};
	static const struct xml_calls strings = {strings_start, strings_end, strings_text};
	static const struct xml_calls styles = {styles_start, styles_end, NULL};
	struct zip_doc *z = zip_doc_open(o, bytes);
	struct xlsx *x = z ? calloc(1, sizeof *x) : NULL;
	struct relations top_level = {0}, rels = {0};
	if (!x) {
		if (z)
			out_fail(o, ERR_NOMEM, "out of memory");
		zip_doc_close(z);
		return;
	}
	x->o = o;
	x->a = arena_new(16 << 20);
	relations_read(z, "", &top_level);
	const struct relation *r = relation_by_type(&top_level, "officeDocument");
	const char *part = r && r->target.n ? r->target.p : "xl/workbook.xml";
	dublin_core(z, "docProps/core.xml");
	relations_read(z, part, &rels);
	if (!o->err && !zip_doc_xml(z, part, &book, x))
		out_fail(o, ERR_CORRUPT, "the XLSX file has no part %s; get a fresh copy", part);
	if ((r = relation_by_type(&rels, "sharedStrings")))
		zip_doc_xml(z, r->target.p, &strings, x);
	if ((r = relation_by_type(&rels, "styles")))
		zip_doc_xml(z, r->target.p, &styles, x);
	for (size_t i = 0; i < x->n_sheets && !out_stop(o); i++) {
		out_page(o, (uint32_t)i + 1);
		r = x->sheets[i].id.p ? relation_by_id(&rels, x->sheets[i].id.p) : NULL;
		if (!r || !str_eq_c(r->type, "worksheet")) {
			out_warn(o, "sheet %zu is a chart or missing", i + 1);
			continue;
		}
		if (x->sheets[i].hidden)
			out_warn(o, "sheet %zu is hidden in the file; its rows are kept", i + 1);
		if (x->sheets[i].name.n)
			out_block(o, BLOCK_HEADING, 1, x->sheets[i].name);
		read_sheet(x, z, r->target.p);
	}
	if (x->value.err || x->row.err || x->strings.err)
		grow_failed(x);
	buf_free(&x->strings);
	buf_free(&x->value);
	buf_free(&x->row);
	free(x->string_at);
	free(x->style_is_date);
	free(x->sheets);
	free(x->cell);
	free(x->cells_v);
	arena_free(x->a);
	free(x);
	relations_free(&top_level);
	relations_free(&rels);
	zip_doc_close(z);
}
