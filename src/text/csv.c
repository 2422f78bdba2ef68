/* CSV by RFC 4180, and as it is met: any separator of , ; tab |, LF or CRLF, stray quotes taken
 * literally, rows of unequal length. The first row names the columns unless it looks like data. */
#include "text/doc_int.h"

#include <stdlib.h>

/* The separator that splits the first lines most evenly, quotes respected. */
static char guess_separator(struct str s)
{
	static const char tries[] = ",;\t|";
	char best = ',';
	unsigned best_score = 0;
	for (const char *t = tries; *t; t++) {
		struct str rest = str_sub(s, 0, 65536), line;
		unsigned first = 0, same = 0, lines = 0;
		bool quoted = false;
		while (lines < 20 && str_next_line(&rest, &line)) {
			unsigned n = 0;
			for (size_t i = 0; i < line.n; i++) {
				if (line.p[i] == '"')
					quoted = !quoted;
				n += !quoted && line.p[i] == *t;
			}
			if (quoted)
				continue;
			if (!lines++)
				first = n;
			same += n == first && n > 0;
		}
		unsigned score = same * 16 + MIN(first, 15u);
		if (first && score > best_score) {
			best_score = score;
			best = *t;
		}
	}
	return best;
}

struct reader {
	struct str s;
	size_t i;
	char sep;
	struct buf text; /* of this row's cells, each ended by NUL */
	size_t *from;    /* where each cell starts in it */
	struct str *v;
	size_t n, cap;
	bool stray; /* a quote where none belongs */
};

static bool add_cell(struct reader *r, size_t from)
{
	if (r->n == r->cap) {
		size_t cap = r->cap ? r->cap * 2 : 32;
		size_t *f = realloc(r->from, cap * sizeof *f);
		if (f)
			r->from = f;
		struct str *v = f ? realloc(r->v, cap * sizeof *v) : NULL;
		if (!v)
			return false;
		r->v = v;
		r->cap = cap;
	}
	buf_putc(&r->text, 0);
	r->from[r->n++] = from;
	return true;
}

/* One row into r->v; false at the end. */
static bool next_row(struct reader *r, bool *failed)
{
	buf_clear(&r->text);
	r->n = 0;
	if (r->i >= r->s.n)
		return false;
	for (bool row = true; row;) {
		size_t start = r->text.n;
		if (r->i < r->s.n && r->s.p[r->i] == '"') {
			r->i++;
			for (;;) {
				struct str rest = str_sub(r->s, r->i, r->s.n);
				size_t q = str_chr(rest, '"');
				if (q == STR_NONE) { /* never closed: all that is left */
					buf_adds(&r->text, rest);
					r->i = r->s.n;
					r->stray = true;
					break;
				}
				buf_add(&r->text, rest.p, q);
				r->i += q + 1;
				if (r->i < r->s.n && r->s.p[r->i] == '"') {
					buf_putc(&r->text, '"');
					r->i++;
					continue;
				}
				break;
			}
		}
		size_t from = r->i;
		while (r->i < r->s.n && r->s.p[r->i] != r->sep && r->s.p[r->i] != '\n')
			r->i++;
		buf_add(&r->text, r->s.p + from, r->i - from);
		row = r->i < r->s.n && r->s.p[r->i] == r->sep;
		r->i += r->i < r->s.n;
		if (!add_cell(r, start) || r->text.err) {
			*failed = true;
			return false;
		}
	}
	for (size_t c = 0; c < r->n; c++)
		r->v[c] = str_c(r->text.p + r->from[c]);
	return true;
}

void parse_csv(struct out *o, struct str utf8, char separator)
{
	struct reader r = {.s = utf8, .sep = separator ? separator : guess_separator(utf8)};
	struct table t;
	struct cells header = {0}, row;
	bool failed = false, first = true;
	size_t uneven = 0;
	bool used[4096] = {false}; /* columns with a value */
	table_begin(&t);
	while (next_row(&r, &failed) && !out_stop(o)) {
		row = (struct cells){r.v, r.n};
		if (r.n == 1 && !str_trim(r.v[0]).n)
			continue;
		if (first && (first = false, row_is_header(row))) {
			table_row(&t, true);
			for (size_t i = 0; i < r.n; i++)
				table_cell(&t, r.v[i]);
			if (t.failed)
				out_fail(o, ERR_LIMIT, "its first row is too long");
			else
				header = t.rows[0].c;
			continue;
		}
		uneven += header.n && r.n != header.n;
		for (size_t i = 0; i < row.n && i < 4096; i++)
			used[i] = used[i] || row.v[i].n;
		out_row(o, header, row);
	}
	size_t columns = 0, named = 0;
	for (size_t i = 0; i < header.n; i++) {
		named += str_trim(header.v[i]).n > 0;
		columns += str_trim(header.v[i]).n > 0 && i < 4096 && used[i];
	}
	if (columns < named) /* the header's words, where no row shows them */
		out_row(o, (struct cells){0}, header);
	if (failed)
		out_fail(o, ERR_NOMEM, "out of memory");
	if (uneven)
		out_warn(o, "%zu rows have more or fewer cells than the header", uneven);
	if (r.stray)
		out_warn(o, "a quotation mark is never closed");
	table_drop(&t);
	buf_free(&r.text);
	free(r.from);
	free(r.v);
}
