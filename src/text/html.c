/* HTML by gumbo: the tree to blocks.
 *
 * gumbo knows no limits, so they stand around it: a look beforehand refuses nesting and attribute
 * counts that make it slow (its cost grows with depth at each tag), and its memory comes from
 * chunks with a cap and a clock; passing either leaves gumbo by longjmp, and freeing the chunks
 * frees whatever it held. For the same reason the tree is never destroyed node by node. */
#include "text/doc_int.h"
#include "base/clock.h"

#include <gumbo.h>
#include <setjmp.h>
#include <stdlib.h>

/* --- gumbo's memory -----------------------------------------------------------------------------
 */

struct chunk {
	struct chunk *next;
	size_t used, size;
	_Alignas(16) char bytes[];
};

struct heap {
	struct chunk *chunks;
	size_t total, max;
	uint64_t deadline_ns;
	unsigned calls;
	enum err err;
	jmp_buf out;
};

static void *heap_alloc(void *ctx, size_t n)
{
	struct heap *h = ctx;
	n = (n + 15) & ~(size_t)15;
	if (++h->calls % 1024 == 0 && clock_mono_ns() > h->deadline_ns) {
		h->err = ERR_TIMEOUT;
		longjmp(h->out, 1);
	}
	if (!h->chunks || h->chunks->size - h->chunks->used < n) {
		size_t size = MAX(n, (size_t)256 << 10);
		struct chunk *c = h->total + size > h->max ? NULL : malloc(sizeof *c + size);
		if (!c) {
			h->err = h->total + size > h->max ? ERR_LIMIT : ERR_NOMEM;
			longjmp(h->out, 1);
		}
		*c = (struct chunk){.next = h->chunks, .size = size};
		h->total += size;
		if (n > size / 2 && h->chunks) { /* a large one: the present chunk stays in use */
			c->next = h->chunks->next;
			h->chunks->next = c;
			c->used = n;
			return c->bytes;
		}
		h->chunks = c;
	}
	void *p = h->chunks->bytes + h->chunks->used;
	h->chunks->used += n;
	return p;
}

static void heap_keep(void *ctx, void *p)
{
	(void)ctx, (void)p;
}

static void heap_free(struct heap *h)
{
	for (struct chunk *c = h->chunks, *next; c; c = next) {
		next = c->next;
		free(c);
	}
}

/* --- the look beforehand ------------------------------------------------------------------------
 */

enum { ATTRIBUTES_MAX = 1000 };

static uint64_t tag_id(struct str name) /* ten letters and digits are enough to tell tags apart */
{
	uint64_t id = 0;
	for (size_t i = 0; i < name.n && i < 10; i++) {
		unsigned c = (unsigned char)name.p[i] | 32u;
		id = id << 6 | ((c >= 'a' && c <= 'z') ? c - 'a' + 1 : (c & 31) + 28);
	}
	return id;
}

static uint64_t id_c(const char *name)
{
	return tag_id(str_c(name));
}

static bool is_any(uint64_t id, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (id == id_c(names[i]))
			return true;
	return false;
}

/* The deepest nesting, about as gumbo will see it; SIZE_MAX: a tag has too many attributes. */
static size_t nesting(struct str s, size_t depth_max)
{
	static const char *const empty[] = {"br", "img", "hr", "meta", "link", "input", "area",
		"base", "col", "embed", "param", "source", "track", "wbr", "frame", "bgsound",
		"keygen", "command", "image"};
	static const char *const raw[] = {
		"script", "style", "textarea", "title", "xmp", "noembed", "noframes"};
	/* an opening tag ends an open one of its own kind */
	static const char *const siblings[] = {"p", "li", "td", "th", "tr", "dd", "dt", "option",
		"optgroup", "tbody", "thead", "tfoot", "h1", "h2", "h3", "h4", "h5", "h6", "a",
		"nobr", "button", "html", "body", "head", "colgroup", "rp", "rt"};
	size_t deepest = 0, depth = 0;
	uint64_t *stack = malloc((depth_max + 2) * sizeof *stack);
	if (!stack)
		return 0;
	for (size_t i = 0; i < s.n;) {
		const char *lt = memchr(s.p + i, '<', s.n - i);
		if (!lt)
			break;
		i = (size_t)(lt - s.p) + 1;
		if (i + 2 < s.n && s.p[i] == '!' && s.p[i + 1] == '-' && s.p[i + 2] == '-') {
			size_t end = str_find(str_sub(s, i + 3, s.n), S("-->"));
			if (end == STR_NONE)
				break;
			i += 3 + end + 3;
			continue;
		}
		bool closing = i < s.n && s.p[i] == '/';
		size_t from = i + closing;
		if (from >= s.n || (s.p[from] | 32) < 'a' || (s.p[from] | 32) > 'z')
			continue;
		size_t to = from;
		while (to < s.n && (unsigned char)s.p[to] > ' ' && s.p[to] != '>' && s.p[to] != '/')
			to++;
		uint64_t id = tag_id(str_sub(s, from, to));
		size_t attributes = 0, end = to;
		char quote = 0;
		for (; end < s.n && (quote || s.p[end] != '>'); end++) {
			char c = s.p[end];
			if (quote)
				quote = c == quote ? 0 : quote;
			else if ((c == '"' || c == '\'') && end && s.p[end - 1] == '=')
				quote = c;
			else if (((unsigned char)c <= ' ' || c == '/') && end + 1 < s.n &&
				 (unsigned char)s.p[end + 1] > ' ')
				attributes++;
		}
		if (attributes > ATTRIBUTES_MAX) {
			free(stack);
			return SIZE_MAX;
		}
		i = end < s.n ? end + 1 : s.n;
		if (closing) {
			for (size_t k = depth; k > 0; k--) {
				if (stack[k - 1] == id) {
					depth = k - 1;
					break;
				}
			}
			continue;
		}
		if (is_any(id, empty, ARRAY_LEN(empty)))
			continue;
		if (is_any(id, raw, ARRAY_LEN(raw))) {
			char close_tag[16] = "</";
			size_t n = MIN(to - from, (size_t)12);
			memcpy(close_tag + 2, s.p + from, n);
			size_t at = str_find_nocase(str_sub(s, i, s.n), str_mk(close_tag, n + 2));
			if (at == STR_NONE)
				break;
			i += at;
			continue;
		}
		if (depth && stack[depth - 1] == id && is_any(id, siblings, ARRAY_LEN(siblings)))
			depth--;
		stack[depth++] = id;
		deepest = MAX(deepest, depth);
		if (depth > depth_max)
			break;
	}
	free(stack);
	return deepest;
}

/* --- the tree to blocks
 * --------------------------------------------------------------------------- */

struct walk {
	struct out *o;
	bool keep_all; /* boilerplate too */
	unsigned skipped, images, depth;
	uint32_t quote;
	bool in_item; /* text that stands alone belongs to a list item */
};

static const char *attribute(const GumboNode *n, const char *name)
{
	const GumboAttribute *a = gumbo_get_attribute(&n->v.element.attributes, name);
	return a ? a->value : NULL;
}

static bool has_class(const GumboNode *n, const char *const *names, size_t count)
{
	struct str rest = str_c(attribute(n, "class")), one;
	while (rest.n && str_next(&rest, ' ', &one))
		for (size_t i = 0; i < count; i++)
			if (str_eq_nocase(one, str_c(names[i])))
				return true;
	return false;
}

/* What a reader of the page would not take for its text. */
static bool is_furniture(struct walk *w, const GumboNode *n)
{
	static const char *const classes[] = {"nav", "navbar", "navheader", "navfooter",
		"navigation", "breadcrumb", "breadcrumbs", "cookie-banner", "cookie-notice",
		"skip-link", "pagination", "site-header", "site-footer", "page-footer",
		"headerlink", "mw-editsection", "noprint"};
	GumboTag t = n->v.element.tag;
	if (w->keep_all)
		return false;
	const char *role = attribute(n, "role");
	if (role && (!strcmp(role, "navigation") || !strcmp(role, "banner") ||
			    !strcmp(role, "contentinfo") || !strcmp(role, "search")))
		return true;
	if (t == GUMBO_TAG_NAV)
		return true;
	if (t == GUMBO_TAG_FOOTER && n->parent && n->parent->type == GUMBO_NODE_ELEMENT &&
		n->parent->v.element.tag == GUMBO_TAG_BODY)
		return true;
	return has_class(n, classes, ARRAY_LEN(classes));
}

static bool is_hidden(const GumboNode *n)
{
	const char *aria = attribute(n, "aria-hidden"), *style = attribute(n, "style");
	if (attribute(n, "hidden") || (aria && !strcmp(aria, "true")))
		return true;
	return style && (str_find_nocase(str_c(style), S("display:none")) != STR_NONE ||
				str_find_nocase(str_c(style), S("display: none")) != STR_NONE);
}

static bool never_text(GumboTag t)
{
	switch (t) {
	case GUMBO_TAG_SCRIPT:
	case GUMBO_TAG_STYLE:
	case GUMBO_TAG_TEMPLATE:
	case GUMBO_TAG_HEAD:
	case GUMBO_TAG_SVG:
	case GUMBO_TAG_IFRAME:
	case GUMBO_TAG_OBJECT:
	case GUMBO_TAG_SELECT:
	case GUMBO_TAG_TEXTAREA:
	case GUMBO_TAG_CANVAS:
	case GUMBO_TAG_AUDIO:
	case GUMBO_TAG_VIDEO:
	case GUMBO_TAG_NOEMBED:
	case GUMBO_TAG_NOFRAMES:
		return true;
	default:
		return false;
	}
}

static bool is_block(GumboTag t)
{
	switch (t) {
	case GUMBO_TAG_ADDRESS:
	case GUMBO_TAG_ARTICLE:
	case GUMBO_TAG_ASIDE:
	case GUMBO_TAG_BLOCKQUOTE:
	case GUMBO_TAG_CENTER:
	case GUMBO_TAG_DETAILS:
	case GUMBO_TAG_DIV:
	case GUMBO_TAG_DL:
	case GUMBO_TAG_DT:
	case GUMBO_TAG_DD:
	case GUMBO_TAG_FIELDSET:
	case GUMBO_TAG_FIGURE:
	case GUMBO_TAG_FIGCAPTION:
	case GUMBO_TAG_FOOTER:
	case GUMBO_TAG_FORM:
	case GUMBO_TAG_HEADER:
	case GUMBO_TAG_HR:
	case GUMBO_TAG_LI:
	case GUMBO_TAG_MAIN:
	case GUMBO_TAG_OL:
	case GUMBO_TAG_P:
	case GUMBO_TAG_PRE:
	case GUMBO_TAG_SECTION:
	case GUMBO_TAG_SUMMARY:
	case GUMBO_TAG_TABLE:
	case GUMBO_TAG_UL:
	case GUMBO_TAG_H1:
	case GUMBO_TAG_H2:
	case GUMBO_TAG_H3:
	case GUMBO_TAG_H4:
	case GUMBO_TAG_H5:
	case GUMBO_TAG_H6:
	case GUMBO_TAG_CAPTION:
		return true;
	default:
		return false;
	}
}

static bool is_text(const GumboNode *n)
{
	return n->type == GUMBO_NODE_TEXT || n->type == GUMBO_NODE_WHITESPACE ||
	       n->type == GUMBO_NODE_CDATA;
}

static const GumboVector *children(const GumboNode *n)
{
	return &n->v.element.children;
}

/* All text below n on one line (pre: as it stands). */
static void gather(struct walk *w, const GumboNode *n, struct buf *b, bool pre)
{
	if (is_text(n)) {
		buf_addc(b, n->v.text.text);
		return;
	}
	if (n->type != GUMBO_NODE_ELEMENT || never_text(n->v.element.tag) || is_hidden(n) ||
		w->depth > 2000)
		return;
	GumboTag t = n->v.element.tag;
	if (t == GUMBO_TAG_IMG) {
		const char *alt = attribute(n, "alt");
		if (alt)
			buf_addc(b, alt);
		return;
	}
	bool block = is_block(t) || t == GUMBO_TAG_TR || t == GUMBO_TAG_TD || t == GUMBO_TAG_TH;
	if (t == GUMBO_TAG_BR || block)
		buf_putc(b, pre ? '\n' : ' ');
	w->depth++;
	for (unsigned i = 0; i < children(n)->length; i++)
		gather(w, children(n)->data[i], b, pre);
	w->depth--;
	if (block)
		buf_putc(b, pre ? '\n' : ' ');
}

static void walk_children(struct walk *w, const GumboNode *n);

/* A table laid out for looks: a cell holds a table, a heading or several paragraphs. */
static bool holds_layout(const GumboNode *n, unsigned depth, unsigned *paragraphs, bool in_cell)
{
	if (n->type != GUMBO_NODE_ELEMENT || depth > 400)
		return false;
	for (unsigned i = 0; i < children(n)->length; i++) {
		const GumboNode *c = children(n)->data[i];
		if (c->type != GUMBO_NODE_ELEMENT)
			continue;
		GumboTag t = c->v.element.tag;
		if (in_cell && ((t >= GUMBO_TAG_H1 && t <= GUMBO_TAG_H6) || t == GUMBO_TAG_TABLE))
			return true;
		if (in_cell && t == GUMBO_TAG_P && ++*paragraphs > 2)
			return true;
		bool cell = t == GUMBO_TAG_TD || t == GUMBO_TAG_TH;
		unsigned own = 0;
		if (holds_layout(c, depth + 1, cell ? &own : paragraphs, in_cell || cell))
			return true;
	}
	return false;
}

static bool has_header_cell(const GumboNode *n, unsigned depth)
{
	if (n->type != GUMBO_NODE_ELEMENT || depth > 6)
		return false;
	if (n->v.element.tag == GUMBO_TAG_TH)
		return true;
	for (unsigned i = 0; i < children(n)->length; i++)
		if (has_header_cell(children(n)->data[i], depth + 1))
			return true;
	return false;
}

enum { SPAN_MAX = 64, COLUMNS_MAX = 1024 };

struct grid {
	struct table t;
	struct {
		unsigned rows; /* that a cell above still covers this column */
		struct str text;
	} held[COLUMNS_MAX];
	bool in_head;
};

static unsigned span(const GumboNode *cell, const char *name)
{
	const char *s = attribute(cell, name);
	uint64_t v;
	return s && str_u64(str_c(s), &v) && v > 1 ? (unsigned)MIN(v, (uint64_t)SPAN_MAX) : 1;
}

static void grid_row(struct walk *w, struct grid *g, const GumboNode *tr, bool in_head)
{
	struct buf b = {0};
	bool all_th = true, any = false;
	for (unsigned i = 0; i < children(tr)->length; i++) {
		const GumboNode *c = children(tr)->data[i];
		if (c->type != GUMBO_NODE_ELEMENT)
			continue;
		any = any || c->v.element.tag == GUMBO_TAG_TH || c->v.element.tag == GUMBO_TAG_TD;
		all_th = all_th && c->v.element.tag != GUMBO_TAG_TD;
	}
	if (!any)
		return;
	table_row(&g->t, in_head || all_th);
	size_t column = 0;
	for (unsigned i = 0; i <= children(tr)->length; i++) {
		while (column < COLUMNS_MAX && g->held[column].rows) {
			g->held[column].rows--;
			table_cell(&g->t, g->held[column++].text);
		}
		if (i == children(tr)->length)
			break;
		const GumboNode *c = children(tr)->data[i];
		if (c->type != GUMBO_NODE_ELEMENT ||
			(c->v.element.tag != GUMBO_TAG_TD && c->v.element.tag != GUMBO_TAG_TH))
			continue;
		buf_clear(&b);
		gather(w, c, &b, false);
		unsigned across = span(c, "colspan"), down = span(c, "rowspan");
		struct str text = buf_str(&b);
		for (unsigned k = 0; k < across; k++) {
			/* the text stands once; a header stands over all its columns */
			bool show = k == 0 || in_head || all_th;
			table_cell(&g->t, show ? text : (struct str){"", 0});
			if (down > 1 && column < COLUMNS_MAX && !g->t.failed) {
				struct cells *row = &g->t.rows[g->t.n - 1].c;
				g->held[column].rows = down - 1;
				g->held[column].text = row->v[row->n - 1];
			}
			column++;
		}
	}
	buf_free(&b);
}

static void grid_rows(struct walk *w, struct grid *g, const GumboNode *n, bool in_head)
{
	for (unsigned i = 0; i < children(n)->length && !w->o->err; i++) {
		const GumboNode *c = children(n)->data[i];
		if (c->type != GUMBO_NODE_ELEMENT)
			continue;
		GumboTag t = c->v.element.tag;
		if (t == GUMBO_TAG_TR)
			grid_row(w, g, c, in_head);
		else if (t == GUMBO_TAG_CAPTION) {
			struct buf b = {0};
			gather(w, c, &b, false);
			out_block(w->o, BLOCK_CAPTION, 0, buf_str(&b));
			buf_free(&b);
		} else if (t == GUMBO_TAG_THEAD || t == GUMBO_TAG_TBODY || t == GUMBO_TAG_TFOOT) {
			grid_rows(w, g, c, t == GUMBO_TAG_THEAD);
		}
	}
}

static void walk_table(struct walk *w, const GumboNode *n)
{
	unsigned paragraphs = 0;
	if (!has_header_cell(n, 0) && holds_layout(n, 0, &paragraphs, false)) {
		walk_children(w, n);
		return;
	}
	struct grid *g = calloc(1, sizeof *g);
	if (!g) {
		out_fail(w->o, ERR_NOMEM, "out of memory");
		return;
	}
	table_begin(&g->t);
	grid_rows(w, g, n, false);
	table_emit(&g->t, w->o, true);
	free(g);
}

static void walk(struct walk *w, const GumboNode *n)
{
	struct out *o = w->o;
	if (is_text(n)) {
		if (n->type != GUMBO_NODE_WHITESPACE && !o->in_block)
			out_begin(o,
				w->quote     ? BLOCK_QUOTE
				: w->in_item ? BLOCK_LIST_ITEM
					     : BLOCK_PARAGRAPH,
				0);
		if (o->in_block)
			out_text(o, str_c(n->v.text.text));
		return;
	}
	if (n->type != GUMBO_NODE_ELEMENT || out_stop(o))
		return;
	GumboTag t = n->v.element.tag;
	if (never_text(t) || is_hidden(n))
		return;
	if (is_furniture(w, n)) {
		w->skipped++;
		return;
	}
	if (t == GUMBO_TAG_BR) {
		if (o->in_block)
			out_text(o, S(" "));
		return;
	}
	if (t == GUMBO_TAG_IMG) {
		const char *alt = attribute(n, "alt");
		if (alt && *alt && o->in_block)
			out_text(o, str_c(alt));
		else if (alt && *alt)
			out_block(o, BLOCK_CAPTION, 0, str_c(alt));
		else
			w->images++;
		return;
	}
	if (!is_block(t) && t != GUMBO_TAG_TD && t != GUMBO_TAG_TH && t != GUMBO_TAG_TR) {
		walk_children(w, n); /* inline, or unknown */
		return;
	}
	out_end(o);
	bool item = w->in_item;
	if (t >= GUMBO_TAG_H1 && t <= GUMBO_TAG_H6) {
		struct buf b = {0};
		gather(w, n, &b, false);
		out_block(o, BLOCK_HEADING, (uint32_t)(t - GUMBO_TAG_H1) + 1, buf_str(&b));
		buf_free(&b);
	} else if (t == GUMBO_TAG_PRE) {
		struct buf b = {0};
		gather(w, n, &b, true);
		out_block(o, BLOCK_CODE, 0, buf_str(&b));
		buf_free(&b);
	} else if (t == GUMBO_TAG_TABLE) {
		walk_table(w, n);
	} else if (t == GUMBO_TAG_FIGCAPTION || t == GUMBO_TAG_CAPTION) {
		out_begin(o, BLOCK_CAPTION, 0);
		walk_children(w, n);
	} else if (t == GUMBO_TAG_BLOCKQUOTE) {
		w->quote++;
		walk_children(w, n);
		w->quote--;
	} else if (t == GUMBO_TAG_LI || t == GUMBO_TAG_DT || t == GUMBO_TAG_DD) {
		w->in_item = true;
		walk_children(w, n);
		w->in_item = item;
	} else {
		walk_children(w, n);
	}
	out_end(o);
}

static void walk_children(struct walk *w, const GumboNode *n)
{
	if (++w->depth > 2000)
		out_fail(w->o, ERR_LIMIT, "nested too deeply");
	for (unsigned i = 0; i < children(n)->length && !w->o->err; i++)
		walk(w, children(n)->data[i]);
	w->depth--;
}

static void head(struct walk *w, const GumboNode *n)
{
	for (unsigned i = 0; i < children(n)->length; i++) {
		const GumboNode *c = children(n)->data[i];
		if (c->type != GUMBO_NODE_ELEMENT)
			continue;
		if (c->v.element.tag == GUMBO_TAG_TITLE) {
			struct buf b = {0};
			gather(w, c, &b, false);
			out_title(w->o, buf_str(&b));
			buf_free(&b);
		} else if (c->v.element.tag == GUMBO_TAG_META) {
			const char *name = attribute(c, "name"), *value = attribute(c, "content");
			if (!name)
				name = attribute(c, "property");
			if (!name || !value)
				continue;
			struct str key = str_c(name);
			if (str_eq_nocase(key, S("author")) || str_eq_nocase(key, S("dc.creator")))
				out_author(w->o, str_c(value));
			else if (str_eq_nocase(key, S("date")) ||
				 str_eq_nocase(key, S("dcterms.created")) ||
				 str_eq_nocase(key, S("article:published_time")))
				out_created(w->o, str_c(value));
		}
	}
}

static const GumboNode *child_of(const GumboNode *n, GumboTag t)
{
	for (unsigned i = 0; n && n->type == GUMBO_NODE_ELEMENT && i < children(n)->length; i++) {
		const GumboNode *c = children(n)->data[i];
		if (c->type == GUMBO_NODE_ELEMENT && c->v.element.tag == t)
			return c;
	}
	return NULL;
}

void html_into(struct out *o, struct str utf8, bool metadata)
{
	size_t depth_max = (size_t)o->lim.depth_max * 4, depth = nesting(utf8, depth_max);
	if (depth > depth_max) {
		if (depth == SIZE_MAX)
			out_fail(o, ERR_LIMIT, "an HTML tag with more than %d attributes",
				ATTRIBUTES_MAX);
		else
			out_fail(o, ERR_LIMIT, "HTML nested deeper than %zu levels", depth_max);
		return;
	}
	struct heap *h = calloc(1, sizeof *h);
	if (!h) {
		out_fail(o, ERR_NOMEM, "out of memory");
		return;
	}
	/* a page of text takes 5 to 15 times its size; tags without text take more */
	h->max = MIN(((size_t)48 << 20) + utf8.n * 32, (size_t)2 << 30);
	h->deadline_ns = o->deadline_ns;
	if (setjmp(h->out) == 0) {
		GumboOptions options = kGumboDefaultOptions;
		options.allocator = heap_alloc;
		options.deallocator = heap_keep;
		options.userdata = h;
		options.max_errors = 0;
		GumboOutput *tree = gumbo_parse_with_options(&options, utf8.p, utf8.n);
		struct walk w = {.o = o};
		const GumboNode *head_node = child_of(tree->root, GUMBO_TAG_HEAD);
		const GumboNode *body = child_of(tree->root, GUMBO_TAG_BODY);
		if (metadata && head_node)
			head(&w, head_node);
		size_t before = o->n_blocks;
		if (body)
			walk_children(&w, body);
		out_end(o);
		if (body && o->n_blocks == before && w.skipped && !o->err) {
			w.keep_all = true; /* it is nothing but furniture: then that is its text */
			w.skipped = 0;
			walk_children(&w, body);
			out_end(o);
		}
		if (w.skipped && metadata)
			out_warn(o, "%u navigation parts were left out", w.skipped);
		if (w.images && metadata)
			out_warn(o, "%u images without text", w.images);
	} else if (h->err == ERR_TIMEOUT) {
		out_fail(o, ERR_TIMEOUT,
			"not parsed after %u ms; split the file or raise the limit",
			o->lim.time_ms_max);
	} else {
		out_fail(o, h->err,
			h->err == ERR_NOMEM ? "out of memory"
					    : "its HTML unfolds to more than %zu bytes",
			h->max);
	}
	heap_free(h);
	free(h);
}

/* <meta charset=...> or http-equiv in the first 4 kB, as browsers look for it. */
static bool meta_charset(struct str s, char name[64])
{
	s = str_sub(s, 0, 4096);
	size_t at = str_find_nocase(s, S("charset"));
	if (at == STR_NONE)
		return false;
	s = str_trim(str_sub(s, at + 7, s.n));
	if (!s.n || s.p[0] != '=')
		return false;
	s = str_trim(str_sub(s, 1, s.n));
	size_t n = 0, i = s.n && (s.p[0] == '"' || s.p[0] == '\'') ? 1 : 0;
	while (i < s.n && n < 63 &&
		((s.p[i] | 32) >= 'a' || (s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '-' ||
			s.p[i] == '_') &&
		s.p[i] != '"')
		name[n++] = s.p[i++];
	name[n] = 0;
	return n > 0;
}

void parse_html(struct out *o, struct str bytes, const char *charset)
{
	struct buf utf8 = {0};
	char named[64];
	if (!charset && meta_charset(bytes, named))
		charset = named;
	if (!text_decode(o, bytes, charset, &utf8))
		html_into(o, buf_str(&utf8), true);
	buf_free(&utf8);
}
