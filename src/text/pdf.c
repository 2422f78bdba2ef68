/* PDF: pdftotext (poppler) as a sandboxed child gives every line with its place on the page; what
 * is a heading, a paragraph or a running header follows from that:
 *
 *   1. read_output   the child's lines, as they come, to struct line
 *   2. body_height   the height of most of the text
 *   3. drop_running  lines at the top or bottom edge that come back page after page
 *   4. group         lines of a block that belong together
 *   5. emit          a larger group is a heading; its level is the rank of its height
 */
#include "text/doc_int.h"
#include "base/proc.h"
#include "base/room.h"

#include <math.h>
#include <stdlib.h>

struct line {
	uint32_t page, block;
	float x0, y0, x1, y1, page_height;
	uint32_t from, to; /* of pdf.text */
	bool running;      /* or a bullet that was given to its line */
	bool item;         /* a bullet stood before it */
};

struct pdf {
	struct out *o;
	struct buf pending; /* an unfinished line of the child's output */
	struct buf text;
	struct line *lines;
	size_t n, cap;
	uint32_t page, block;
	float page_height;
	bool in_line, no_memory, over;
};

/* --- the child's output
 * --------------------------------------------------------------------------- */

static float number(struct str s, const char *key)
{
	size_t at = str_find(s, str_c(key));
	return at == STR_NONE ? 0 : strtof(s.p + at + strlen(key), NULL);
}

/* XML's entities, and ligatures taken apart: a search for "file" must find "ﬁle". */
static void add_word(struct buf *b, struct str s)
{
	static const char *const ligatures[] = {"ff", "fi", "fl", "ffi", "ffl", "st", "st"};
	static const struct {
		const char *name, *is;
	} entities[] = {{"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""},
		{"&apos;", "'"}, {"&#39;", "'"}};
	for (size_t i = 0; i < s.n;) {
		struct str rest = str_sub(s, i, s.n);
		size_t k = 0;
		if (s.p[i] == '&') {
			for (; k < ARRAY_LEN(entities) &&
				!str_starts(rest, str_c(entities[k].name));
				k++)
				;
			if (k < ARRAY_LEN(entities)) {
				buf_addc(b, entities[k].is);
				i += strlen(entities[k].name);
				continue;
			}
		} else if (rest.n >= 3 && !memcmp(rest.p, "\xEF\xAC", 2) &&
			   (unsigned char)rest.p[2] <= 0x86) {
			buf_addc(b, ligatures[(unsigned char)rest.p[2] - 0x80]);
			i += 3;
			continue;
		}
		buf_putc(b, s.p[i++]);
	}
}

static struct str between(struct str s, const char *after, const char *before)
{
	size_t a = str_find(s, str_c(after));
	if (a == STR_NONE)
		return (struct str){"", 0};
	s = str_sub(s, a + strlen(after), s.n);
	return str_sub(s, 0, MIN(str_find(s, str_c(before)), s.n));
}

static void metadata(struct pdf *p, struct str s)
{
	struct buf b = {0};
	if (str_starts(s, S("<title>"))) {
		add_word(&b, between(s, "<title>", "</title>"));
		struct str t = buf_str(&b);
		/* what programs write there by themselves is the name of a file */
		bool file = str_starts(t, S("Microsoft Word - ")) ||
			    str_ends_nocase(t, S(".doc")) || str_ends_nocase(t, S(".docx")) ||
			    str_ends_nocase(t, S(".dvi")) || str_ends_nocase(t, S(".indd"));
		if (!file)
			out_title(p->o, t);
	} else if (str_starts(s, S("<meta name=\"Author\""))) {
		add_word(&b, between(s, "content=\"", "\"/>"));
		out_author(p->o, buf_str(&b));
	} else if (str_starts(s, S("<meta name=\"CreationDate\""))) {
		out_created(p->o, between(s, "content=\"", "\"/>"));
	}
	buf_free(&b);
}

/* Right-to-left text comes as it looks; here it is put as it is read: the words of such a line from
 * the last, the letters of its words too, numbers and Latin words left alone. */
static bool is_rtl(uint32_t cp)
{
	return (cp >= 0x590 && cp <= 0x8FF) || (cp >= 0xFB1D && cp <= 0xFDFF) ||
	       (cp >= 0xFE70 && cp <= 0xFEFC);
}

static void turn(struct pdf *p, struct line *l)
{
	struct str s = str_sub(buf_str(&p->text), l->from, l->to);
	size_t rtl = 0, latin = 0;
	uint32_t cp;
	for (size_t i = 0; i < s.n;) {
		i += utf8_decode(str_sub(s, i, s.n), &cp);
		rtl += is_rtl(cp);
		latin += (cp | 32) >= 'a' && (cp | 32) <= 'z';
	}
	if (rtl <= latin)
		return;
	struct buf b = {0};
	for (size_t end = s.n; end;) { /* words from the last */
		size_t from = end;
		while (from && s.p[from - 1] != ' ')
			from--;
		struct str word = str_sub(s, from, end);
		bool any = false;
		for (size_t i = 0; i < word.n && !any;) {
			i += utf8_decode(str_sub(word, i, word.n), &cp);
			any = is_rtl(cp) && !(cp >= 0x660 && cp <= 0x669) &&
			      !(cp >= 0x6F0 && cp <= 0x6F9);
		}
		if (b.n)
			buf_putc(&b, ' ');
		for (size_t i = word.n;
			any && i;) { /* letters from the last, a mark after its letter */
			size_t k = i - 1;
			while (k && ((unsigned char)word.p[k] & 0xC0) == 0x80)
				k--;
			buf_add(&b, word.p + k, i - k);
			i = k;
		}
		if (!any)
			buf_adds(&b, word);
		end = from ? from - 1 : 0;
	}
	if (b.n == s.n && !b.err)
		memcpy(p->text.p + l->from, b.p, b.n);
	buf_free(&b);
}

static void output_line(struct pdf *p, struct str s)
{
	s = str_trim(s);
	if (str_starts(s, S("<word ")) && p->in_line) {
		struct line *l = &p->lines[p->n - 1];
		if (p->text.n > l->from)
			buf_putc(&p->text, ' ');
		add_word(&p->text, between(s, "\">", "</word>"));
		l->to = (uint32_t)p->text.n;
		if (p->text.n > p->o->lim.text_max + (1u << 20))
			p->over = true;
	} else if (str_starts(s, S("<line "))) {
		if (!heap_room(p->lines, p->n, p->cap)) {
			p->no_memory = true;
			return;
		}
		p->lines[p->n++] = (struct line){.page = p->page,
			.block = p->block,
			.x0 = number(s, "xMin=\""),
			.y0 = number(s, "yMin=\""),
			.x1 = number(s, "xMax=\""),
			.y1 = number(s, "yMax=\""),
			.page_height = p->page_height,
			.from = (uint32_t)p->text.n,
			.to = (uint32_t)p->text.n};
		p->in_line = true;
	} else if (str_starts(s, S("</line>")) && p->in_line) {
		turn(p, &p->lines[p->n - 1]);
		p->in_line = false;
	} else if (str_starts(s, S("<block "))) {
		p->block++;
	} else if (str_starts(s, S("<page "))) {
		p->page++;
		p->page_height = number(s, " height=\"");
	} else if (!p->page) {
		metadata(p, s);
	}
}

static bool read_output(void *ctx, struct str bytes)
{
	struct pdf *p = ctx;
	enum { LINE_MAX_BYTES = 1 << 20 };
	while (bytes.n && !p->no_memory && !p->over) {
		size_t nl = str_chr(bytes, '\n');
		if (nl == STR_NONE) {
			if (p->pending.n < LINE_MAX_BYTES)
				buf_adds(&p->pending, bytes);
			break;
		}
		if (p->pending.n) {
			buf_add(&p->pending, bytes.p, nl);
			output_line(p, buf_str(&p->pending));
			buf_clear(&p->pending);
		} else {
			output_line(p, str_sub(bytes, 0, nl));
		}
		bytes = str_sub(bytes, nl + 1, bytes.n);
	}
	return !p->no_memory && !p->over && !p->text.err && !p->pending.err;
}

/* --- what the places say
 * ---------------------------------------------------------------------------- */

static struct str text_of(const struct pdf *p, const struct line *l)
{
	return str_trim(str_sub(buf_str(&p->text), l->from, l->to));
}

static unsigned height(const struct line *l) /* in quarter points; the same font gives the same */
{
	float h = (l->y1 - l->y0) * 4;
	return h > 0 && h < 4000 ? (unsigned)(h + 0.5f) : 0;
}

static unsigned body_height(const struct pdf *p)
{
	static const unsigned max = 4001;
	size_t *weight = calloc(max, sizeof *weight);
	unsigned best = 0;
	for (size_t i = 0; weight && i < p->n; i++)
		weight[MIN(height(&p->lines[i]), max - 1)] += p->lines[i].to - p->lines[i].from;
	for (unsigned h = 1; weight && h < max; h++)
		if (weight[h] > weight[best])
			best = h;
	free(weight);
	return best;
}

/* Digits are alike: "Page 3 of 12" is "Page # of #". */
static uint64_t shape(struct str s, bool *only_digits)
{
	uint64_t h = 1469598103934665603u;
	bool digit = false;
	*only_digits = s.n > 0 && s.n < 12;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool d = c >= '0' && c <= '9';
		if (!d && ((c | 32) >= 'a' && (c | 32) <= 'z'))
			*only_digits = false;
		if (d && digit)
			continue;
		digit = d;
		h = (h ^ (unsigned char)(d ? '#' : c)) * 1099511628211u;
	}
	return h;
}

struct edge {
	uint64_t shape;
	int place; /* distance from the edge, in steps of 4 points */
	uint32_t page;
	size_t line;
};

static int by_shape(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;
	if (x->shape != y->shape)
		return x->shape < y->shape ? -1 : 1;
	if (x->place != y->place)
		return x->place < y->place ? -1 : 1;
	return x->line < y->line ? -1 : x->line > y->line;
}

/* A line in the outer tenth of the page that stands at the same place on a third of the pages (and
 * at least three) is a running header or footer. Fewer pages: nothing is dropped. */
static size_t drop_running(struct pdf *p)
{
	size_t n = 0, dropped = 0;
	struct edge *e = p->page >= 3 ? malloc((p->n + 1) * sizeof *e) : NULL;
	for (size_t i = 0; e && i < p->n; i++) {
		const struct line *l = &p->lines[i];
		bool top = l->y1<l->page_height * 0.1f, bottom = l->y0> l->page_height * 0.9f,
		     digits;
		struct str s = text_of(p, l);
		if ((!top && !bottom) || !s.n)
			continue;
		uint64_t h = shape(s, &digits);
		e[n++] = (struct edge){h, (int)(l->y0 / 4) + (bottom ? 10000 : 0), l->page, i};
	}
	if (e)
		qsort(e, n, sizeof *e, by_shape);
	for (size_t i = 0; i < n;) {
		size_t end = i, pages = 0;
		uint32_t last = 0;
		for (; end < n && e[end].shape == e[i].shape && e[end].place <= e[i].place + 1;
			end++) {
			pages += e[end].page != last;
			last = e[end].page;
		}
		if (pages >= 3 && pages * 3 >= p->page) {
			for (size_t k = i; k < end; k++)
				p->lines[e[k].line].running = true;
			dropped += end - i;
		}
		i = end;
	}
	free(e);
	return dropped;
}

static size_t bullet(struct str s)
{
	static const char *const signs[] = {"\xE2\x80\xA2", "\xE2\x96\xAA", "\xE2\x97\x8F",
		"\xE2\x97\xA6", "\xE2\x80\x93 ", "\xEF\x82\xB7", "\xE2\x96\xA0", "- ", "* "};
	for (size_t i = 0; i < ARRAY_LEN(signs); i++)
		if (str_starts(s, str_c(signs[i])))
			return strlen(signs[i]);
	size_t i = 0;
	while (i < s.n && i < 3 && s.p[i] >= '0' && s.p[i] <= '9')
		i++;
	return i && i + 1 < s.n && (s.p[i] == '.' || s.p[i] == ')') && s.p[i + 1] == ' ' ? i + 2
											 : 0;
}

/* A sign that stands for a bullet: also any of the private ones of symbol fonts (U+F000-U+F0FF). */
static bool is_sign(struct str s)
{
	if (s.n == 3 && (unsigned char)s.p[0] == 0xEF && (unsigned char)s.p[1] >= 0x80 &&
		(unsigned char)s.p[1] <= 0x83)
		return true;
	return s.n && s.n <= 3 && bullet(s) == s.n;
}

/* Bullets set apart from their text are lines of their own: the line beside one is the item. */
static void give_bullets(struct pdf *p)
{
	for (size_t i = 0; i < p->n; i++) {
		struct line *l = &p->lines[i], *best = NULL;
		if (!is_sign(text_of(p, l)))
			continue;
		for (size_t k = i > 200 ? i - 200 : 0; k < p->n && k < i + 200; k++) {
			struct line *c = &p->lines[k];
			if (k != i && c->page == l->page &&
				fabsf(c->y0 - l->y0) < (l->y1 - l->y0) / 2 + 1 &&
				c->x0 >= l->x1 - 1 && (!best || c->x0 < best->x0))
				best = c;
		}
		if (best) {
			best->item = true;
			l->running = true;
		}
	}
}

static bool alike(unsigned a, unsigned b) /* heights within a sixteenth */
{
	return a * 16 <= b * 17 && b * 16 <= a * 17;
}

/* Whether line b goes on with what a is part of. */
static bool belongs(
	const struct pdf *p, const struct line *first, const struct line *a, const struct line *b)
{
	if (a->block != b->block || a->page != b->page || b->item)
		return false;
	/* a formula or a raised mark makes a line of a paragraph higher; headings are short */
	if (!alike(height(a), height(b)) && (a->to - a->from < 40 || b->to - b->from < 40))
		return false;
	float gap = b->y0 - a->y1, h = a->y1 - a->y0;
	bool same_row = fabsf(b->y0 - a->y0) < h / 3;
	if (!same_row && gap > h * 0.9f)
		return false;
	struct str s = text_of(p, b);
	/* a new item, unless the number only stands at a line's start by chance */
	size_t k = bullet(s);
	if (k && (bullet(text_of(p, first)) || (s.p[0] & 0x80)))
		return false;
	return true;
}

/* "2.1 Scope", one line of it: the level, or 0. */
static uint32_t numbered(struct str s)
{
	size_t i = 0;
	uint32_t level = 0;
	while (i < s.n && level < 6) {
		size_t from = i;
		while (i < s.n && i - from < 2 && s.p[i] >= '0' && s.p[i] <= '9')
			i++;
		if (i == from)
			break;
		level++;
		if (i < s.n && s.p[i] == '.')
			i++;
		else
			break;
	}
	if (!level || i >= s.n || s.p[i] != ' ' || s.n > 90)
		return 0;
	char c = s.p[i + 1 < s.n ? i + 1 : i], end = s.p[s.n - 1];
	if (c < 'A' || c > 'Z' || end == '.' || end == ',' || end == ';' || end == ':')
		return 0;
	/* "1. Open the door" may be a step: one level is trusted without its dot only */
	return level == 1 && s.p[i - 1] == '.' ? 0 : level;
}

static bool lower_follows(struct str s)
{
	return s.n && ((s.p[0] >= 'a' && s.p[0] <= 'z') || (unsigned char)s.p[0] >= 0xC3);
}

/* Lines i..end as flowing text; a word divided at a line's end is put together again. */
static void flow(struct pdf *p, size_t i, size_t end)
{
	struct out *o = p->o;
	for (; i < end; i++) {
		struct str s = text_of(p, &p->lines[i]);
		if (p->lines[i].running || !s.n)
			continue;
		struct str next = i + 1 < end ? text_of(p, &p->lines[i + 1]) : (struct str){"", 0};
		size_t cut = 0;
		if (s.n > 2 && s.p[s.n - 1] == '-')
			cut = 1;
		else if (str_ends(s, S("\xC2\xAD")))
			cut = 2;
		else if (str_ends(s, S("\xE2\x80\x90")))
			cut = 3;
		char before = cut && s.n > cut ? s.p[s.n - cut - 1] : ' ';
		bool letter = ((before | 32) >= 'a' && (before | 32) <= 'z') || (before & 0x80);
		bool divided = cut && letter && lower_follows(next);
		out_text(o, divided ? str_sub(s, 0, s.n - cut) : s);
		if (!divided)
			out_text(o, S(" "));
	}
}

struct heights {
	unsigned v[8]; /* of headings, largest first */
	unsigned n;
};

static bool is_heading(const struct pdf *p, size_t i, size_t end, unsigned body)
{
	size_t bytes = 0, letters = 0;
	for (size_t k = i; k < end; k++) {
		struct str s = text_of(p, &p->lines[k]);
		bytes += s.n;
		for (size_t c = 0; c < s.n; c++)
			letters += (s.p[c] | 32) >= 'a' || (s.p[c] & 0x80);
	}
	if (end - i > 4 || bytes > 250 || letters < 3 || p->lines[i].item)
		return false;
	if (height(&p->lines[i]) * 100 > body * 114)
		return true;
	/* a little larger: only a short line that does not end like a sentence */
	struct str last = text_of(p, &p->lines[end - 1]);
	return end - i == 1 && bytes <= 100 && height(&p->lines[i]) * 100 >= body * 107 && last.n &&
	       !memchr(".,;:", last.p[last.n - 1], 4);
}

static size_t group(const struct pdf *p, size_t i)
{
	size_t end = i + 1;
	while (end < p->n && !p->lines[end].running &&
		belongs(p, &p->lines[i], &p->lines[end - 1], &p->lines[end]))
		end++;
	return end;
}

static struct heights heading_heights(const struct pdf *p, unsigned body)
{
	struct heights h = {{0}, 0};
	for (size_t i = 0, end; i < p->n; i = end) {
		end = group(p, i);
		unsigned v = height(&p->lines[i]);
		if (p->lines[i].running || !is_heading(p, i, end, body))
			continue;
		unsigned k = 0;
		while (k < h.n && h.v[k] > v && !alike(h.v[k], v))
			k++;
		if (k < h.n && alike(h.v[k], v)) {
			h.v[k] = MAX(h.v[k], v);
			continue;
		}
		if (h.n == ARRAY_LEN(h.v))
			continue;
		memmove(h.v + k + 1, h.v + k, (h.n - k) * sizeof *h.v);
		h.v[k] = v;
		h.n++;
	}
	return h;
}

static void emit(struct pdf *p)
{
	struct out *o = p->o;
	unsigned body = body_height(p);
	struct heights h = heading_heights(p, body);
	uint32_t page = 0;
	for (size_t i = 0, end; i < p->n && !out_stop(o); i = end) {
		end = group(p, i);
		const struct line *l = &p->lines[i];
		if (l->running)
			continue;
		for (; page < l->page; page++)
			out_page(o, page + 1);
		struct str s = text_of(p, l);
		uint32_t level = 0;
		if (is_heading(p, i, end, body)) {
			for (level = 1; level < h.n && !alike(h.v[level - 1], height(l)); level++)
				;
		} else if (end - i == 1 && (i == 0 || p->lines[i - 1].block != l->block) &&
			   (end == p->n || p->lines[end].block != l->block)) {
			level = numbered(s);
			level = level ? MIN(level + h.n, 6u) : 0;
		}
		if (level)
			out_begin(o, BLOCK_HEADING, level);
		else
			out_begin(o, l->item || bullet(s) ? BLOCK_LIST_ITEM : BLOCK_PARAGRAPH, 0);
		flow(p, i, end);
		out_end(o);
	}
	for (; page < p->page; page++)
		out_page(o, page + 1);
}

void parse_pdf(struct out *o, struct str bytes)
{
	static const char *const argv[] = {
		"pdftotext", "-enc", "UTF-8", "-bbox-layout", "-", "-", NULL};
	struct pdf p = {.o = o};
	struct proc_result r;
	struct errtext et = {0};
	/* a small file has no claim to much: 4 s of computing, and 4 s for each MB; on a busy
	 * machine that takes longer by the clock */
	uint64_t cpu_s = 4 + (uint64_t)bytes.n / (1 << 20) * 4;
	struct proc_spec spec = {.argv = argv,
		.input = bytes,
		.output_max = o->lim.text_max * 64,
		.wall_ms_max = (uint32_t)MIN(cpu_s * 5000, (uint64_t)o->lim.time_ms_max),
		.memory_max = MIN(((size_t)192 << 20) + bytes.n * 4, (size_t)1 << 30),
		.sandbox = true,
		.on_output = read_output,
		.on_output_ctx = &p};
	spec.cpu_s_max = (uint32_t)MIN(cpu_s, (uint64_t)3600);
	enum err e = proc_run(&spec, &r, &et);
	struct str errors = e ? (struct str){"", 0} : str_c(r.err_tail);
	if (e == ERR_NOT_FOUND)
		out_fail(o, ERR_UNSUPPORTED,
			"PDF is read by pdftotext, which is not installed (package poppler-utils)");
	else if (e == ERR_TIMEOUT)
		out_fail(o, ERR_TIMEOUT,
			"the PDF was not read after %u ms; split the file or print it anew",
			spec.wall_ms_max);
	else if (e && p.over)
		out_fail(o, ERR_TOO_LARGE, "more than %zu bytes of text; split the file",
			o->lim.text_max);
	else if (e)
		out_fail(o, e == ERR_CANCELLED ? ERR_NOMEM : e, "pdftotext: %s", err_text(e, &et));
	else if (str_find(errors, S("Incorrect password")) != STR_NONE)
		out_fail(o, ERR_FORBIDDEN, "the PDF is encrypted; save it without a password");
	else if (r.exit_code == 3)
		out_fail(o, ERR_FORBIDDEN,
			"the PDF does not permit copying its text; ask its author for another");
	else if (r.signal)
		out_fail(o, ERR_LIMIT,
			"reading the PDF took more time or memory than it may (signal %d); it may "
			"be damaged",
			r.signal);
	else if (r.exit_code)
		out_fail(o, ERR_CORRUPT,
			"the PDF is damaged; open it in a viewer and print it to a new PDF");
	if (!o->err) {
		size_t running = drop_running(&p);
		give_bullets(&p);
		emit(&p);
		o->d->n_pages = p.page;
		if (running)
			out_warn(o, "%zu running headers and footers were left out", running);
		if (str_find(errors, S("Syntax Error")) != STR_NONE)
			out_warn(o, "the PDF is damaged in places; text may be missing");
		if (!o->n_blocks && !p.page)
			out_fail(o, ERR_CORRUPT, "the PDF has no readable pages; it is damaged");
	}
	if (!e)
		proc_result_release(&r);
	buf_free(&p.pending);
	buf_free(&p.text);
	free(p.lines);
}
