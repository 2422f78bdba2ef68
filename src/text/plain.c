/* Plain text: paragraphs between empty lines, wrapped lines joined, headings where the layout says
 * so (numbered, underlined, capitals), lists, tables and drawings kept as they stand. Page footers
 * and headers of RFC-like files go, with the gap that they made. */
#include "text/doc_int.h"
#include "base/room.h"

#include <stdlib.h>

struct lines {
	struct str *v;
	size_t n, cap;
};

static bool lines_of(struct lines *l, struct str s)
{
	while (s.n) {
		if (!heap_room(l->v, l->n, l->cap))
			return false;
		struct str line;
		if (!str_next_line(&s, &line))
			break;
		while (line.n && (line.p[line.n - 1] == ' ' || line.p[line.n - 1] == '\t'))
			line.n--;
		l->v[l->n++] = line;
	}
	return true;
}

static size_t indent(struct str s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == ' ')
			n++;
		else if (s.p[i] == '\t')
			n += 8 - n % 8;
		else
			break;
	}
	return n;
}

static bool blank(struct str s)
{
	return str_trim(s).n == 0;
}

/* "Postel                     [Page 12]" */
static bool is_footer(struct str s)
{
	s = str_trim(s);
	if (s.n < 8 || s.p[s.n - 1] != ']')
		return false;
	size_t open = str_rchr(s, '[');
	return open != STR_NONE && str_starts(str_sub(s, open, s.n), S("[Page ")) &&
	       s.n - open < 16;
}

/* Drops page ends: a footer, a form feed, the header line after it, and the empty lines about. The
 * paragraph that they cut goes on when it stopped in mid-sentence. */
static size_t drop_page_ends(struct lines *l)
{
	size_t to = 0, dropped = 0;
	for (size_t i = 0; i < l->n; i++) {
		struct str s = l->v[i];
		size_t ff = str_chr(s, '\f');
		bool footer = is_footer(s);
		if (!footer && ff == STR_NONE) {
			l->v[to++] = s;
			continue;
		}
		size_t next = i;
		if (footer) { /* up to the form feed, if one is near */
			while (next + 1 < l->n && next < i + 4 && blank(l->v[next + 1]) &&
				str_chr(l->v[next + 1], '\f') == STR_NONE)
				next++;
			if (next + 1 < l->n && str_chr(l->v[next + 1], '\f') != STR_NONE)
				next++;
		}
		/* the header: behind the feed, or the first line after it if that has a wide gap */
		if (str_chr(l->v[next], '\f') != STR_NONE && footer) {
			size_t k = next + 1;
			while (k < l->n && k < next + 4 && blank(l->v[k]))
				k++;
			bool gap = k < l->n && str_find(str_trim(l->v[k]), S("    ")) != STR_NONE;
			if (!str_trim(l->v[next]).n && k < l->n && !blank(l->v[k]) &&
				(gap || k == next + 1) && (k + 1 == l->n || blank(l->v[k + 1])))
				next = k;
		} else if (ff != STR_NONE && !footer) {
			/* a feed alone: an empty line */
			l->v[to++] = str_sub(s, ff + 1, s.n);
			continue;
		}
		dropped++;
		while (to && blank(l->v[to - 1]))
			to--;
		while (next + 1 < l->n && blank(l->v[next + 1]))
			next++;
		struct str last = to ? l->v[to - 1] : (struct str){"", 0};
		char end = last.n ? last.p[last.n - 1] : '.';
		bool goes_on = next + 1 < l->n && indent(l->v[next + 1]) == indent(last) &&
			       end != '.' && end != ':' && end != '!' && end != '?' && last.n > 40;
		if (!goes_on)
			l->v[to++] = (struct str){"", 0};
		i = next;
	}
	l->n = to;
	return dropped;
}

static bool all_of(struct str s, char c)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] != c)
			return false;
	return s.n > 0;
}

static bool is_underline(struct str s)
{
	s = str_trim(s);
	return s.n >= 3 && (all_of(s, '=') || all_of(s, '-') || all_of(s, '~') || all_of(s, '^'));
}

/* "3.2.1.  Title", "Appendix A.  Title", "Chapter 4": the level, or 0. */
static unsigned numbered(struct str s)
{
	size_t i = 0;
	unsigned level = 0;
	if (str_starts(s, S("Appendix ")) || str_starts(s, S("APPENDIX ")) ||
		str_starts(s, S("Chapter ")) || str_starts(s, S("CHAPTER ")))
		return s.n < 80 ? 1 : 0;
	while (i < s.n && level < 6) {
		size_t from = i;
		while (i < s.n && i - from < 3 && s.p[i] >= '0' && s.p[i] <= '9')
			i++;
		if (i == from && level == 0 && s.p[i] >= 'A' && s.p[i] <= 'Z' && i + 1 < s.n &&
			s.p[i + 1] == '.')
			i++;
		if (i == from)
			break;
		level++;
		if (i >= s.n || s.p[i] != '.')
			break;
		i++;
	}
	if (!level || i >= s.n || s.p[i] != ' ')
		return 0;
	bool dotted = i && s.p[i - 1] == '.';
	struct str title = str_trim(str_sub(s, i, s.n));
	if (!title.n || (level == 1 && !dotted && s.p[i + 1] != ' '))
		return 0;
	uint32_t cp;
	utf8_decode(title, &cp);
	bool capital =
		(cp >= 'A' && cp <= 'Z') || cp >= 0x80 || cp == '"' || cp == '\'' || cp == '(';
	char end = title.p[title.n - 1];
	if (!capital || title.n > 90 || end == '.' || end == ',' || end == ';' || end == ':')
		return 0;
	/* a table of contents: "1. Introduction ........ 3" */
	if (str_find(title, S("....")) != STR_NONE || str_find(title, S(". . .")) != STR_NONE)
		return 0;
	return level;
}

static bool capitals(struct str s)
{
	size_t upper = 0, lower = 0;
	for (size_t i = 0; i < s.n; i++) {
		upper += s.p[i] >= 'A' && s.p[i] <= 'Z';
		lower += (s.p[i] >= 'a' && s.p[i] <= 'z') || (unsigned char)s.p[i] >= 0x80;
	}
	return upper >= 4 && !lower && s.n <= 70 && s.p[s.n - 1] != '.';
}

/* The bullet or number that starts a list item: its length, or 0. */
static size_t bullet(struct str s)
{
	if (s.n > 2 && (s.p[0] == '-' || s.p[0] == '*' || s.p[0] == 'o' || s.p[0] == '+') &&
		s.p[1] == ' ')
		return 2;
	if (str_starts(s, S("\xE2\x80\xA2 "))) /* U+2022 */
		return 4;
	size_t i = 0;
	while (i < s.n && i < 3 && s.p[i] >= '0' && s.p[i] <= '9')
		i++;
	if (i && i + 1 < s.n && (s.p[i] == '.' || s.p[i] == ')') && s.p[i + 1] == ' ')
		return i + 2;
	if (s.n > 4 && s.p[0] == '(' && s.p[2] == ')' && s.p[3] == ' ')
		return 4;
	return 0;
}

/* Drawings, tables, code: gaps inside lines, or few letters. */
static bool is_layout(const struct str *v, size_t n)
{
	size_t gaps = 0, letters = 0, other = 0, ends_code = 0;
	for (size_t k = 0; k < n; k++) {
		struct str s = str_trim(v[k]);
		gaps += str_find(s, S("   ")) != STR_NONE || str_chr(s, '\t') != STR_NONE ||
			str_find(s, S(" . .")) != STR_NONE || str_find(s, S("....")) != STR_NONE;
		char end = s.n ? s.p[s.n - 1] : 0;
		ends_code += end == '{' || end == '}' || (end == ';' && n > 1);
		for (size_t i = 0; i < s.n; i++) {
			unsigned char c = (unsigned char)s.p[i];
			if ((c | 32) >= 'a' && (c | 32) <= 'z')
				letters++;
			else if (c >= 0x80)
				letters++;
			else if (c != ' ' && !(c >= '0' && c <= '9'))
				other++;
		}
	}
	return gaps * 5 >= n * 2 || other > letters || (n > 1 && ends_code * 2 > n);
}

/* Lines as one flow. A hyphen at a line's end stays, since plain text hardly ever divides words. */
static void flow(struct out *o, const struct str *v, size_t n)
{
	for (size_t k = 0; k < n; k++) {
		struct str s = str_trim(v[k]);
		struct str before = k ? str_trim(v[k - 1]) : (struct str){"", 0};
		bool joined = before.n > 1 && before.p[before.n - 1] == '-' &&
			      before.p[before.n - 2] != '-' && before.p[before.n - 2] != ' ';
		if (k && !joined)
			out_text(o, S(" "));
		out_text(o, s);
	}
}

static void paragraph(struct out *o, const struct str *v, size_t n)
{
	/* list items: a bullet starts one, deeper lines belong to it */
	size_t bullets = 0;
	for (size_t k = 0; k < n; k++)
		bullets += bullet(str_trim(v[k])) > 0;
	if (bullet(str_trim(v[0])) && (bullets > 1 || n == 1 || indent(v[1]) > indent(v[0]))) {
		for (size_t k = 0; k < n;) {
			size_t end = k + 1;
			while (end < n && !bullet(str_trim(v[end])))
				end++;
			out_begin(o, BLOCK_LIST_ITEM, 0);
			flow(o, v + k, end - k);
			out_end(o);
			k = end;
		}
		return;
	}
	if (is_layout(v, n)) {
		size_t least = SIZE_MAX;
		for (size_t k = 0; k < n; k++)
			least = MIN(least, indent(v[k]));
		out_begin(o, BLOCK_CODE, 0);
		for (size_t k = 0; k < n; k++) {
			size_t cut = 0;
			while (cut < v[k].n && cut < least && v[k].p[cut] == ' ')
				cut++;
			out_pre(o, str_sub(v[k], cut, v[k].n));
			out_pre(o, S("\n"));
		}
		out_end(o);
		return;
	}
	out_begin(o, BLOCK_PARAGRAPH, 0);
	flow(o, v, n);
	out_end(o);
}

static bool is_source_code(const char *name)
{
	static const char *const endings[] = {".c", ".h", ".cc", ".cpp", ".hpp", ".py", ".js",
		".ts", ".tsx", ".go", ".rs", ".java", ".kt", ".rb", ".pl", ".php", ".sh", ".sql",
		".yaml", ".yml", ".toml", ".ini", ".conf", ".cfg", ".css", ".lua", ".swift", ".cs",
		".scala", ".r", ".jl", ".proto", ".log"};
	for (size_t i = 0; i < ARRAY_LEN(endings); i++)
		if (str_ends_nocase(str_c(name), str_c(endings[i])))
			return true;
	return false;
}

/* A few lines in the middle of the page, without gaps: what RFCs begin with. */
static bool centred(const struct str *v, size_t n)
{
	for (size_t k = 0; k < n; k++)
		if (indent(v[k]) < 8 || v[k].n > 74 ||
			str_find(str_trim(v[k]), S("   ")) != STR_NONE)
			return false;
	return true;
}

void parse_text(struct out *o, struct str utf8)
{
	struct lines l = {0};
	bool code = is_source_code(o->name), titled = false;
	if (!lines_of(&l, utf8)) {
		out_fail(o, ERR_NOMEM, "out of memory");
		free(l.v);
		return;
	}
	if (!code) {
		size_t pages = drop_page_ends(&l);
		if (pages)
			out_warn(o, "%zu page footers and headers were left out", pages);
	}
	for (size_t i = 0; i < l.n && !out_stop(o);) {
		if (blank(l.v[i])) {
			i++;
			continue;
		}
		size_t end = i;
		while (end < l.n && !blank(l.v[end]))
			end++;
		size_t n = end - i;
		struct str s = str_trim(l.v[i]);
		unsigned level;
		if (code) {
			out_begin(o, BLOCK_CODE, 0);
			for (size_t k = i; k < end; k++) {
				out_pre(o, l.v[k]);
				out_pre(o, S("\n"));
			}
			out_end(o);
		} else if (n == 2 && s.n <= 100 && is_underline(l.v[i + 1]) &&
			   !is_underline(l.v[i])) {
			char c = str_trim(l.v[i + 1]).p[0];
			out_block(o, BLOCK_HEADING, c == '=' ? 1 : c == '-' ? 2 : 3, s);
		} else if (n > 2 && s.n <= 100 && indent(l.v[i]) == 0 && is_underline(l.v[i + 1]) &&
			   !is_underline(l.v[i]) && !is_layout(l.v + i, n)) {
			char c = str_trim(l.v[i + 1]).p[0];
			out_block(o, BLOCK_HEADING, c == '=' ? 1 : c == '-' ? 2 : 3, s);
			paragraph(o, l.v + i + 2, n - 2);
		} else if (!titled && o->n_blocks < 8 && n <= 3 && centred(l.v + i, n)) {
			out_begin(o, BLOCK_TITLE, 0);
			flow(o, l.v + i, n);
			out_end(o);
			titled = true;
		} else if (n == 1 && indent(l.v[i]) <= 3 && (level = numbered(s))) {
			out_block(o, BLOCK_HEADING, level, s);
		} else if (n == 1 && indent(l.v[i]) == 0 && capitals(s) &&
			   str_find(s, S("   ")) == STR_NONE) {
			out_block(o, BLOCK_HEADING, 1, s);
		} else {
			paragraph(o, l.v + i, n);
		}
		i = end;
	}
	free(l.v);
}
