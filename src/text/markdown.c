/* Markdown by cmark-gfm: its tree to blocks. Front matter gives title, author and date. Raw HTML
 * goes through the HTML parser. */
#include "text/doc_int.h"

#include <cmark-gfm-core-extensions.h>
#include <cmark-gfm-extension_api.h>
#include <cmark-gfm.h>
#include <pthread.h>
#include <stdlib.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void register_extensions(void)
{
	cmark_gfm_core_extensions_ensure_registered();
}

/* "---\nkey: value\n---\n" at the start: read and cut off. */
static struct str front_matter(struct out *o, struct str s)
{
	struct str rest = s, line;
	if (!str_next_line(&rest, &line) || !str_eq_c(line, "---"))
		return s;
	struct str after = rest;
	unsigned lines = 0;
	while (str_next_line(&after, &line) && !str_eq_c(line, "---") && !str_eq_c(line, "...") &&
		++lines < 200)
		;
	if (!str_eq_c(line, "---") && !str_eq_c(line, "..."))
		return s;
	while (str_next_line(&rest, &line) && rest.n > after.n) {
		size_t colon = str_chr(line, ':');
		if (colon == STR_NONE)
			continue;
		struct str key = str_trim(str_sub(line, 0, colon));
		struct str value = str_trim(str_sub(line, colon + 1, line.n));
		if (value.n >= 2 && (value.p[0] == '"' || value.p[0] == '\'') &&
			value.p[value.n - 1] == value.p[0])
			value = str_sub(value, 1, value.n - 1);
		if (str_eq_nocase(key, S("title")))
			out_title(o, value);
		else if (str_eq_nocase(key, S("author")))
			out_author(o, value);
		else if (str_eq_nocase(key, S("date")))
			out_created(o, value);
	}
	return after;
}

struct walk {
	struct out *o;
	struct buf html, cell;
	struct table table;
	unsigned quote, item, in_cell;
	bool in_table;
};

static void add(struct walk *w, struct str s)
{
	if (w->in_cell)
		buf_adds(&w->cell, s);
	else
		out_text(w->o, s);
}

/* The text of inline HTML is what stands between the tags; <br> is a space. */
static void inline_html(struct walk *w, struct str tag)
{
	if (str_find_nocase(tag, S("<br")) == 0)
		add(w, S(" "));
}

static void flush_html(struct walk *w)
{
	if (w->html.n && !w->html.err)
		html_into(w->o, buf_str(&w->html), false);
	buf_clear(&w->html);
}

/* Tables are an extension's nodes: their types are known by name only. */
enum part { NO_TABLE, TABLE, ROW, CELL };

static enum part table_part(cmark_node *node)
{
	const char *name = cmark_node_get_type_string(node);
	return strncmp(name, "table", 5) != 0 ? NO_TABLE
	       : !name[5]                     ? TABLE
	       : !strcmp(name, "table_cell")  ? CELL
					      : ROW;
}

static void enter(struct walk *w, cmark_node *node, cmark_node_type t)
{
	struct out *o = w->o;
	const char *text = cmark_node_get_literal(node);
	struct str lit = str_c(text);
	enum part part = table_part(node);
	if (t == CMARK_NODE_HTML_BLOCK) {
		buf_adds(&w->html, lit);
		return;
	}
	if ((t & CMARK_NODE_TYPE_MASK) == CMARK_NODE_TYPE_BLOCK && t != CMARK_NODE_DOCUMENT)
		flush_html(w);
	if (t == CMARK_NODE_TEXT || t == CMARK_NODE_CODE) {
		add(w, lit);
	} else if (t == CMARK_NODE_SOFTBREAK || t == CMARK_NODE_LINEBREAK) {
		add(w, S(" "));
	} else if (t == CMARK_NODE_HTML_INLINE) {
		inline_html(w, lit);
	} else if (t == CMARK_NODE_FOOTNOTE_REFERENCE) {
		add(w, S("["));
		add(w, lit);
		add(w, S("]"));
	} else if (t == CMARK_NODE_HEADING) {
		out_begin(o, BLOCK_HEADING, (uint32_t)cmark_node_get_heading_level(node));
	} else if (t == CMARK_NODE_PARAGRAPH) {
		if (w->item && cmark_node_previous(node) == NULL)
			out_begin(o, BLOCK_LIST_ITEM, 0);
		else
			out_begin(o,
				w->quote  ? BLOCK_QUOTE
				: w->item ? BLOCK_LIST_ITEM
					  : BLOCK_PARAGRAPH,
				0);
	} else if (t == CMARK_NODE_CODE_BLOCK) {
		out_block(o, BLOCK_CODE, 0, lit);
	} else if (t == CMARK_NODE_BLOCK_QUOTE) {
		w->quote++;
	} else if (t == CMARK_NODE_ITEM || t == CMARK_NODE_FOOTNOTE_DEFINITION) {
		w->item++;
	} else if (part == TABLE) {
		table_begin(&w->table);
		w->in_table = true;
	} else if (part == ROW) {
		table_row(&w->table, cmark_gfm_extensions_get_table_row_is_header(node));
	} else if (part == CELL) {
		w->in_cell++;
		buf_clear(&w->cell);
	}
}

static void leave(struct walk *w, cmark_node *node, cmark_node_type t)
{
	enum part part = table_part(node);
	if (t == CMARK_NODE_HEADING || t == CMARK_NODE_PARAGRAPH) {
		out_end(w->o);
	} else if (t == CMARK_NODE_BLOCK_QUOTE) {
		w->quote--;
	} else if (t == CMARK_NODE_ITEM || t == CMARK_NODE_FOOTNOTE_DEFINITION) {
		w->item--;
	} else if (part == CELL) {
		w->in_cell--;
		table_cell(&w->table, buf_str(&w->cell));
	} else if (part == TABLE) {
		table_emit(&w->table, w->o, false);
		w->in_table = false;
	}
}

/* cmark walks all open containers for each line, and brackets for each bracket: the two ways to
 * make it slow are looked for first. */
static bool too_deep(struct str s, unsigned depth_max)
{
	struct str rest = s, line;
	while (str_next_line(&rest, &line)) {
		unsigned depth = 0;
		for (size_t i = 0; i < line.n; i++) {
			char c = line.p[i];
			if (c == '>' || ((c == '-' || c == '*' || c == '+') && i + 1 < line.n &&
						line.p[i + 1] == ' '))
				depth++;
			else if (c != ' ' && c != '\t')
				break;
		}
		if (depth > depth_max && depth > 8) {
			/* "* * * *" and "- - -" are rules */
			struct str t = str_trim(line);
			bool rule = t.n && t.p[0] != '>';
			for (size_t i = 0; i < t.n && rule; i++)
				rule = t.p[i] == t.p[0] || t.p[i] == ' ';
			if (!rule)
				return true;
		}
	}
	unsigned open = 0;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '[' && ++open > 50000)
			return true;
		if (s.p[i] == '\n' && i + 1 < s.n && s.p[i + 1] == '\n')
			open = 0;
	}
	return false;
}

void parse_markdown(struct out *o, struct str utf8)
{
	pthread_once(&once, register_extensions);
	utf8 = front_matter(o, utf8);
	if (too_deep(utf8, o->lim.depth_max)) {
		out_fail(o, ERR_LIMIT, "nested deeper than %u levels", o->lim.depth_max);
		return;
	}
	cmark_parser *p = cmark_parser_new(CMARK_OPT_FOOTNOTES | CMARK_OPT_VALIDATE_UTF8);
	if (!p) {
		out_fail(o, ERR_NOMEM, "out of memory");
		return;
	}
	static const char *const extensions[] = {"table", "strikethrough", "tasklist", "autolink"};
	for (size_t i = 0; i < ARRAY_LEN(extensions); i++) {
		cmark_syntax_extension *x = cmark_find_syntax_extension(extensions[i]);
		if (x)
			cmark_parser_attach_syntax_extension(p, x);
	}
	for (size_t i = 0; i < utf8.n && !out_stop(o); i += 65536)
		cmark_parser_feed(p, utf8.p + i, MIN((size_t)65536, utf8.n - i));
	cmark_node *root = cmark_parser_finish(p);
	cmark_iter *it = root ? cmark_iter_new(root) : NULL;
	struct walk w = {.o = o};
	cmark_event_type ev;
	while (it && (ev = cmark_iter_next(it)) != CMARK_EVENT_DONE && !out_stop(o)) {
		cmark_node *node = cmark_iter_get_node(it);
		cmark_node_type t = cmark_node_get_type(node);
		if (ev == CMARK_EVENT_ENTER)
			enter(&w, node, t);
		else
			leave(&w, node, t);
	}
	flush_html(&w);
	if (w.in_table)
		table_drop(&w.table);
	buf_free(&w.html);
	buf_free(&w.cell);
	if (it)
		cmark_iter_free(it);
	if (root)
		cmark_node_free(root);
	cmark_parser_free(p);
}
