/* The writer behind all parsers: blocks, tables, limits. See doc_int.h. */
#include "text/doc_int.h"
#include "base/clock.h"
#include "base/room.h"

#include <stdio.h>
#include <stdlib.h>

enum err out_fail(struct out *o, enum err e, const char *fmt, ...)
{
	if (o->err)
		return o->err;
	char msg[400];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(msg, sizeof msg, fmt, ap);
	va_end(ap);
	struct buf b = {0}; /* it may quote what the file says */
	unicode_repair(str_c(msg), &b, NULL);
	o->err = err_set(o->et, e, "%s: %s", o->name, buf_c(&b));
	buf_free(&b);
	return e;
}

bool out_stop(struct out *o)
{
	if (!o->err && ++o->ticks % 256 == 0 && clock_mono_ns() > o->deadline_ns)
		out_fail(o, ERR_TIMEOUT,
			"not parsed after %u ms; split the file or raise the limit",
			o->lim.time_ms_max);
	return o->err != OK;
}

void out_warn(struct out *o, const char *fmt, ...)
{
	enum { WARNINGS_MAX = 16 << 10 };
	va_list ap;
	if (o->warnings.n > WARNINGS_MAX)
		return;
	if (o->warnings.n)
		buf_putc(&o->warnings, '\n');
	if (o->warnings.n > WARNINGS_MAX - 512) {
		buf_addc(&o->warnings, "and more");
		while (o->warnings.n <= WARNINGS_MAX)
			buf_putc(&o->warnings, ' ');
		return;
	}
	va_start(ap, fmt);
	buf_vaddf(&o->warnings, fmt, ap);
	va_end(ap);
}

void out_begin(struct out *o, enum doc_block_kind kind, uint32_t level)
{
	out_end(o);
	o->in_block = true;
	o->kind = kind;
	o->level = kind == BLOCK_HEADING ? (level < 1 ? 1 : MIN(level, 6u)) : 0;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

/* U+00A0, U+2007, U+202F and the like: spaces to a reader, words' glue to a search. */
static size_t odd_space(struct str s, size_t i)
{
	const unsigned char *p = (const unsigned char *)s.p + i;
	size_t n = s.n - i;
	if (n >= 2 && p[0] == 0xC2 && p[1] == 0xA0)
		return 2;
	if (n >= 3 && p[0] == 0xE2 && p[1] == 0x80 &&
		((p[2] >= 0x80 && p[2] <= 0x8A) || p[2] == 0xAF))
		return 3;
	return n >= 3 && p[0] == 0xE3 && p[1] == 0x80 && p[2] == 0x80 ? 3 : 0;
}

/* Soft hyphen, zero-width space and byte-order mark say nothing in extracted text. */
static size_t says_nothing(struct str s, size_t i)
{
	const unsigned char *p = (const unsigned char *)s.p + i;
	size_t n = s.n - i;
	if (n >= 2 && p[0] == 0xC2 && p[1] == 0xAD)
		return 2;
	if (n >= 3 && p[0] == 0xE2 && p[1] == 0x80 && p[2] == 0x8B)
		return 3;
	return n >= 3 && p[0] == 0xEF && p[1] == 0xBB && p[2] == 0xBF ? 3 : 0;
}

void out_text(struct out *o, struct str s)
{
	if (o->err)
		return;
	if (!o->in_block)
		out_begin(o, BLOCK_PARAGRAPH, 0);
	struct buf *b = &o->cur;
	for (size_t i = 0; i < s.n;) {
		unsigned char c = (unsigned char)s.p[i];
		size_t k = is_space(s.p[i]) ? 1 : c >= 0xC2 ? odd_space(s, i) : 0;
		if (k) {
			if (b->n && b->p[b->n - 1] != ' ' && b->p[b->n - 1] != '\n')
				buf_putc(b, ' ');
			i += k;
			continue;
		}
		if (c >= 0xC2 && (k = says_nothing(s, i))) {
			i += k;
			continue;
		}
		size_t from = i++;
		while (i < s.n && !is_space(s.p[i]) &&
			!((unsigned char)s.p[i] >= 0xC2 && (odd_space(s, i) || says_nothing(s, i))))
			i++;
		buf_add(b, s.p + from, i - from);
	}
}

void out_pre(struct out *o, struct str s)
{
	if (o->err)
		return;
	if (!o->in_block)
		out_begin(o, BLOCK_CODE, 0);
	buf_adds(&o->cur, s);
}

/* Control characters away, CR and CRLF to LF. In place: it only gets shorter. */
static void clean(struct buf *b)
{
	size_t to = 0;
	for (size_t i = 0; i < b->n; i++) {
		unsigned char c = (unsigned char)b->p[i];
		if (c == '\r') {
			if (i + 1 < b->n && b->p[i + 1] == '\n')
				continue;
			c = '\n';
		} else if (c == '\f' || c == '\v') {
			c = '\n';
		} else if ((c < ' ' && c != '\n' && c != '\t') || c == 0x7F) {
			continue;
		}
		b->p[to++] = (char)c;
	}
	b->n = to;
	if (b->p)
		b->p[to] = 0;
}

static bool room_for_block(struct out *o)
{
	if (o->n_blocks < o->cap_blocks)
		return true;
	size_t cap = o->cap_blocks ? o->cap_blocks * 2 : 64;
	struct doc_block *p = cap < UINT32_MAX ? realloc(o->blocks, cap * sizeof *p) : NULL;
	if (!p)
		return out_fail(o, ERR_NOMEM, "out of memory for its blocks"), false;
	o->blocks = p;
	o->cap_blocks = cap;
	return true;
}

static struct str trim_lines(struct str s)
{
	while (s.n && is_space(s.p[s.n - 1]))
		s.n--;
	/* leading lines that are blank go, indentation of the first stays in code */
	size_t from = 0;
	for (size_t i = 0; i < s.n && is_space(s.p[i]); i++)
		if (s.p[i] == '\n')
			from = i + 1;
	return str_sub(s, from, s.n);
}

void out_end(struct out *o)
{
	if (!o->in_block)
		return;
	o->in_block = false;
	if (o->cur.err)
		out_fail(o, o->cur.err, "out of memory");
	if (o->err || out_stop(o))
		return;
	clean(&o->cur);
	struct str s =
		o->kind == BLOCK_CODE ? trim_lines(buf_str(&o->cur)) : str_trim(buf_str(&o->cur));
	if (!str_is_ascii(s)) {
		buf_clear(&o->norm);
		size_t bad;
		if (!utf8_valid(s)) {
			struct buf whole = {0};
			unicode_repair(s, &whole, &bad);
			unicode_nfc(buf_str(&whole), &o->norm);
			buf_free(&whole);
		} else {
			unicode_nfc(s, &o->norm);
		}
		s = buf_str(&o->norm);
		s = o->kind == BLOCK_CODE ? trim_lines(s) : str_trim(s);
	}
	if (s.n && room_for_block(o)) {
		bool row = o->kind == BLOCK_TABLE_ROW || o->kind == BLOCK_LIST_ITEM;
		bool same = o->n_blocks && o->blocks[o->n_blocks - 1].kind == o->kind &&
			    o->blocks[o->n_blocks - 1].page == o->page;
		if (o->n_blocks)
			buf_addc(&o->text, row && same ? "\n" : "\n\n");
		if (o->text.n + s.n > o->lim.text_max) {
			out_fail(o, ERR_TOO_LARGE, "more than %zu bytes of text; split the file",
				o->lim.text_max);
		} else {
			struct doc_block *b = &o->blocks[o->n_blocks++];
			*b = (struct doc_block){.kind = o->kind,
				.from = (uint32_t)o->text.n,
				.to = (uint32_t)(o->text.n + s.n),
				.page = o->page,
				.level = o->level};
			buf_adds(&o->text, s);
			if (o->text.err)
				out_fail(o, o->text.err, "out of memory");
			uint32_t upto = b->kind == BLOCK_HEADING ? b->level : 7;
			for (uint32_t l = 1; l < upto; l++)
				if (o->open[l])
					b->heading = o->open[l];
			if (b->kind == BLOCK_HEADING) {
				o->open[b->level] = (uint32_t)o->n_blocks;
				for (uint32_t l = b->level + 1; l < ARRAY_LEN(o->open); l++)
					o->open[l] = 0;
			}
		}
	}
	if (o->cur.cap > 1 << 20)
		buf_free(&o->cur);
	else
		buf_clear(&o->cur);
}

void out_block(struct out *o, enum doc_block_kind kind, uint32_t level, struct str s)
{
	out_begin(o, kind, level);
	if (kind == BLOCK_CODE)
		out_pre(o, s);
	else
		out_text(o, s);
	out_end(o);
}

void out_page(struct out *o, uint32_t page)
{
	out_end(o);
	o->page = page;
	if (page > o->d->n_pages)
		o->d->n_pages = page;
}

/* --- metadata ----------------------------------------------------------------------------------
 */

static struct str one_line(struct out *o, struct str s)
{
	struct buf b = {0}, repaired = {0};
	unicode_repair(s, &repaired, NULL);
	s = buf_str(&repaired);
	for (size_t i = 0; i < s.n; i++) {
		bool space = (unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7F;
		if (!space)
			buf_putc(&b, s.p[i]);
		else if (b.n && b.p[b.n - 1] != ' ')
			buf_putc(&b, ' ');
	}
	struct str cut = str_trim(buf_str(&b));
	if (cut.n > 500)
		cut = str_sub(cut, 0, utf8_complete_prefix(str_sub(cut, 0, 500)));
	struct str kept = arena_str(o->d->arena, cut);
	buf_free(&b);
	buf_free(&repaired);
	return kept.p ? kept : (struct str){"", 0};
}

void out_title(struct out *o, struct str s)
{
	s = str_trim(s);
	if (!o->d->title.n && s.n && !str_eq_nocase(s, S("untitled")))
		o->d->title = one_line(o, s);
}

void out_author(struct out *o, struct str s)
{
	s = one_line(o, s);
	if (!s.n)
		return;
	if (o->d->author.n && o->d->author.n < 400)
		s = arena_fmt(o->d->arena, "%.*s, %.*s", STR_FMT(o->d->author), STR_FMT(s));
	else if (o->d->author.n)
		return;
	if (s.p)
		o->d->author = s;
}

/* "Tue, 1 Jul 2003 10:52:37 +0200", as e-mail and PDF producers write it; also "Jul  1 10:52:37
 * 2003". */
static bool parse_rfc_date(struct str s, int64_t *ms)
{
	static const char months[] = "janfebmaraprmayjunjulaugsepoctnovdec";
	int64_t day = 0, month = 0, year = 0, h = 0, m = 0, sec = 0, zone = 0;
	struct str rest = s, part;
	bool time_seen = false;
	while (str_next(&rest, ' ', &part)) {
		part = str_trim(part);
		while (part.n && (part.p[part.n - 1] == ',' || part.p[part.n - 1] == '.'))
			part.n--;
		int64_t v;
		if (!part.n)
			continue;
		if (str_chr(part, ':') != STR_NONE) {
			struct str t = part, x;
			int64_t *to[] = {&h, &m, &sec};
			for (size_t i = 0; i < 3 && str_next(&t, ':', &x); i++)
				if (!str_i64(str_sub(x, 0, 2), to[i]))
					return false;
			time_seen = true;
		} else if ((part.p[0] == '+' || part.p[0] == '-') && part.n == 5 && time_seen) {
			int64_t hh, mm;
			if (str_i64(str_sub(part, 1, 3), &hh) && str_i64(str_sub(part, 3, 5), &mm))
				zone = (hh * 60 + mm) * (part.p[0] == '-' ? -1 : 1);
		} else if (str_i64(part, &v)) {
			if (part.n <= 2 && !day)
				day = v;
			else if (!year)
				year = part.n <= 2 ? v + (v < 50 ? 2000 : 1900) : v;
		} else if (part.n >= 3 && !month) {
			char low[3];
			for (int i = 0; i < 3; i++)
				low[i] = (char)(part.p[i] | 32);
			for (int i = 0; i < 12; i++)
				if (!memcmp(months + i * 3, low, 3))
					month = i + 1;
		}
	}
	if (!day || !month || year < 1900 || year > 9999 || day > 31 || h > 24 || m > 60 ||
		sec > 61 || h < 0 || m < 0 || sec < 0 || day < 1)
		return false;
	char iso[64];
	snprintf(iso, sizeof iso, "%04d-%02d-%02dT%02d:%02d:%02dZ", (int)year, (int)month, (int)day,
		(int)h, (int)m, (int)MIN(sec, 59));
	if (!clock_parse_rfc3339(str_c(iso), ms))
		return false;
	*ms -= zone * 60000;
	return true;
}

void out_created(struct out *o, struct str s)
{
	s = str_trim(s);
	int64_t ms;
	if (o->d->created_ms || s.n < 4)
		return;
	if (str_starts(s, S("D:")) && s.n >= 10) { /* PDF: D:20240131120000+01'00' */
		char iso[64];
		bool full = s.n >= 16;
		snprintf(iso, sizeof iso, "%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", s.p + 2, s.p + 6,
			s.p + 8, full ? s.p + 10 : "00", full ? s.p + 12 : "00",
			full ? s.p + 14 : "00");
		if (clock_parse_rfc3339(str_c(iso), &ms)) {
			int64_t hh, mm = 0;
			if (full && s.n >= 19 && (s.p[16] == '+' || s.p[16] == '-') &&
				str_i64(str_sub(s, 17, 19), &hh)) {
				if (s.n >= 22)
					(void)!str_i64(str_sub(s, 20, 22), &mm);
				ms -= (hh * 60 + mm) * 60000 * (s.p[16] == '-' ? -1 : 1);
			}
			o->d->created_ms = ms;
		}
		return;
	}
	if (clock_parse_rfc3339(s, &ms)) {
		o->d->created_ms = ms;
		return;
	}
	if (s.n == 19 && s.p[10] == 'T') { /* no zone given: taken as UTC */
		char iso[24];
		snprintf(iso, sizeof iso, "%.19sZ", s.p);
		if (clock_parse_rfc3339(str_c(iso), &ms))
			o->d->created_ms = ms;
		return;
	}
	if (s.n > 10 && clock_parse_rfc3339(str_sub(s, 0, 10), &ms)) {
		o->d->created_ms = ms;
		return;
	}
	if (parse_rfc_date(s, &ms))
		o->d->created_ms = ms;
}

/* --- tables ------------------------------------------------------------------------------------
 */

static bool looks_like_number(struct str s)
{
	size_t digits = 0, letters = 0;
	for (size_t i = 0; i < s.n; i++) {
		digits += s.p[i] >= '0' && s.p[i] <= '9';
		letters += (unsigned char)s.p[i] >= 0x80 ||
			   ((s.p[i] | 32) >= 'a' && (s.p[i] | 32) <= 'z');
	}
	return digits > letters;
}

bool row_is_header(struct cells row)
{
	size_t filled = 0;
	if (row.n > 10000)
		return false;
	for (size_t i = 0; i < row.n; i++) {
		struct str s = str_trim(row.v[i]);
		if (!s.n)
			continue;
		filled++;
		if (s.n > 100 || looks_like_number(s))
			return false;
	}
	return filled >= 1 && filled * 3 >= row.n * 2;
}

/* Nothing but spaces of any kind. */
static bool is_empty(struct str s)
{
	for (size_t i = 0, k; i < s.n; i += k) {
		k = is_space(s.p[i]) ? 1 : odd_space(s, i);
		if (!k && !(k = says_nothing(s, i)))
			return false;
	}
	return true;
}

void out_row(struct out *o, struct cells header, struct cells row)
{
	bool any = false;
	out_begin(o, BLOCK_TABLE_ROW, 0);
	for (size_t i = 0; i < row.n && !o->err; i++) {
		struct str v = str_trim(row.v[i]);
		if (is_empty(v))
			continue;
		if (any)
			out_text(o, S("; "));
		struct str h = i < header.n ? str_trim(header.v[i]) : (struct str){"", 0};
		if (h.n) {
			out_text(o, h);
			out_text(o, h.p[h.n - 1] == ':' ? S(" ") : S(": "));
		}
		out_text(o, v);
		any = true;
	}
	out_end(o);
}

void table_begin(struct table *t)
{
	*t = (struct table){.a = arena_new(64 << 20)};
	t->failed = !t->a;
}

void table_row(struct table *t, bool header)
{
	if (t->failed)
		return;
	if (!heap_room(t->rows, t->n, t->cap)) {
		t->failed = true;
		return;
	}
	t->rows[t->n++] = (struct table_row){.header = header};
	t->cap_cells = 0;
}

void table_cell(struct table *t, struct str text)
{
	if (t->failed || !t->n)
		return;
	struct cells *c = &t->rows[t->n - 1].c;
	if (!arena_room(t->a, c->v, c->n, t->cap_cells)) {
		t->failed = true;
		return;
	}
	struct str kept = arena_str(t->a, str_trim(text));
	if (!kept.p)
		t->failed = true;
	else
		c->v[c->n++] = kept;
}

static size_t filled(struct cells c)
{
	size_t n = 0;
	for (size_t i = 0; i < c.n; i++)
		n += c.v[i].n > 0;
	return n;
}

void table_emit(struct table *t, struct out *o, bool guess_header)
{
	size_t first = 0;
	struct cells header = {0};
	if (t->failed)
		out_fail(o, ERR_LIMIT, "a table is larger than 64 MiB; split it");
	while (first < t->n && t->rows[first].header)
		first++;
	if (!first && guess_header) {
		/* a row with one filled cell above all others is the table's title */
		while (t->n > 2 && filled(t->rows[0].c) == 1 && filled(t->rows[1].c) > 1 &&
			!out_stop(o)) {
			out_row(o, header, t->rows[0].c);
			memmove(t->rows, t->rows + 1, --t->n * sizeof *t->rows);
		}
		if (t->n > 1 && t->rows[0].c.n > 1 && row_is_header(t->rows[0].c))
			first = 1;
	}
	if (first == t->n)
		first = 0; /* nothing but headers: show them as rows */
	if (first == 1) {
		header = t->rows[0].c;
	} else if (first > 1 && !t->failed) { /* several: column by column, each word once */
		size_t columns = 0;
		for (size_t r = 0; r < first; r++)
			columns = MAX(columns, t->rows[r].c.n);
		header.v = arena_array_of(t->a, columns, struct str);
		for (size_t c = 0; header.v && c < columns; c++) {
			struct buf b = {0};
			for (size_t r = 0; r < first; r++) {
				struct str s = c < t->rows[r].c.n ? t->rows[r].c.v[c]
								  : (struct str){"", 0};
				if (s.n && str_find(buf_str(&b), s) == STR_NONE) {
					if (b.n)
						buf_putc(&b, ' ');
					buf_adds(&b, s);
				}
			}
			header.v[header.n] = arena_str(t->a, buf_str(&b));
			header.n += header.v[header.n].p != NULL;
			buf_free(&b);
		}
	}
	/* a column that is empty below its header would lose the header's words */
	bool shown = false;
	for (size_t c = 0; c < header.n && !shown; c++) {
		bool used = !header.v[c].n;
		for (size_t r = first; r < t->n && !used; r++)
			used = c < t->rows[r].c.n && t->rows[r].c.v[c].n;
		if (!used) {
			out_row(o, (struct cells){0}, header);
			shown = true;
		}
	}
	for (size_t r = first; r < t->n && !out_stop(o); r++)
		out_row(o, header, t->rows[r].c);
	table_drop(t);
}

void table_drop(struct table *t)
{
	arena_free(t->a);
	free(t->rows);
	*t = (struct table){0};
}
