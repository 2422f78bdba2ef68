/* DOCX: word/document.xml streamed; what a paragraph is, its style says. Text boxes come before the
 * paragraph that they hang on; footnotes and endnotes at the end. Deleted text is left out. */
#include "text/zip_int.h"
#include "base/map.h"

#include <stdio.h>
#include <stdlib.h>

enum role { ROLE_NONE, ROLE_TITLE, ROLE_HEADING, ROLE_LIST, ROLE_QUOTE, ROLE_CODE, ROLE_CAPTION };

struct style {
	enum role role;
	uint32_t level;
	struct str based_on;
};

struct para {
	struct buf text;
	struct style *style;
	uint32_t outline; /* 0: none */
	bool list, no_list, in_props;
};

enum { PARA_MAX = 16, TABLE_MAX = 16 };

struct docx {
	struct out *o;
	struct arena *a;
	struct map styles;
	struct style *style; /* being read */
	struct para para[PARA_MAX];
	size_t n_para;
	unsigned table_depth, skip, text_open, images;
	unsigned spanned;        /* columns that the open cell covers beyond its own */
	bool changed, continues; /* deletions were seen; the cell is part of the one above */
	struct table table;
	struct buf cell;
	bool table_live;
};

static struct style *style_of(struct docx *d, const char *id)
{
	struct style *s = id ? map_get(&d->styles, str_c(id)) : NULL;
	for (unsigned k = 0; s && k < 16 && s->role == ROLE_NONE && s->based_on.n; k++) {
		struct style *base = map_get(&d->styles, s->based_on);
		if (!base || base == s)
			break;
		s = base;
	}
	return s;
}

static void style_by_name(struct style *s, struct str name)
{
	uint64_t n;
	if (str_find_nocase(name, S("heading ")) == 0 && str_u64(str_sub(name, 8, name.n), &n) &&
		n >= 1) {
		s->role = ROLE_HEADING;
		s->level = (uint32_t)MIN(n, 6u);
	} else if (str_eq_nocase(name, S("title"))) {
		s->role = ROLE_TITLE;
	} else if (str_find_nocase(name, S("list ")) == 0) {
		s->role = ROLE_LIST;
	} else if (str_find_nocase(name, S("quote")) != STR_NONE) {
		s->role = ROLE_QUOTE;
	} else if (str_eq_nocase(name, S("caption"))) {
		s->role = ROLE_CAPTION;
	} else if (str_find_nocase(name, S("preformatted")) != STR_NONE ||
		   str_find_nocase(name, S("code")) == 0) {
		s->role = ROLE_CODE;
	}
}

static void styles_start(void *ctx, const char *name, const char **at)
{
	struct docx *d = ctx;
	const char *val = xml_attribute(at, "val");
	if (!strcmp(name, "w:style")) {
		const char *id = xml_attribute(at, "styleId");
		d->style = arena_new_of(d->a, struct style);
		if (!id || !d->style || !map_put(&d->styles, str_c(id), d->style))
			d->style = NULL;
	} else if (!d->style || !val) {
		return;
	} else if (!strcmp(name, "w:name")) {
		style_by_name(d->style, str_c(val));
	} else if (!strcmp(name, "w:basedOn")) {
		d->style->based_on = arena_str(d->a, str_c(val));
	} else if (!strcmp(name, "w:outlineLvl") && d->style->role == ROLE_NONE && atoi(val) < 9) {
		d->style->role = ROLE_HEADING;
		d->style->level = (uint32_t)MIN(atoi(val) + 1, 6);
	} else if (!strcmp(name, "w:numId") && d->style->role == ROLE_NONE &&
		   strcmp(val, "0") != 0) {
		d->style->role = ROLE_LIST;
	}
}

static void styles_end(void *ctx, const char *name)
{
	struct docx *d = ctx;
	if (!strcmp(name, "w:style"))
		d->style = NULL;
}

static struct para *top(struct docx *d)
{
	return d->n_para ? &d->para[MIN(d->n_para, (size_t)PARA_MAX) - 1] : NULL;
}

static void add(struct docx *d, struct str s)
{
	struct para *p = top(d);
	if (p)
		buf_adds(&p->text, s);
}

static bool left_out(const char *name)
{
	static const char *const names[] = {"w:del", "w:moveFrom", "mc:Fallback", "w:instrText",
		"w:delText", "w:footnoteRef", "w:endnoteRef"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strcmp(name, names[i]))
			return true;
	return false;
}

static void body_start(void *ctx, const char *name, const char **at)
{
	struct docx *d = ctx;
	if (d->skip || left_out(name)) {
		d->skip++;
		return;
	}
	struct para *p = top(d);
	const char *val = xml_attribute(at, "val");
	if (name[0] == 'm' && !strcmp(name, "m:t")) {
		d->text_open++;
		return;
	}
	if (strncmp(name, "w:", 2) != 0) {
		if (!strcmp(name, "pic") || !strcmp(name, "a:blip"))
			d->images++;
		return;
	}
	const char *w = name + 2;
	if (!strcmp(w, "p")) {
		if (++d->n_para > PARA_MAX) {
			out_fail(d->o, ERR_LIMIT, "paragraphs nested deeper than %d levels",
				PARA_MAX);
			return;
		}
		p = top(d);
		buf_clear(&p->text);
		p->style = NULL;
		p->outline = 0;
		p->list = p->no_list = p->in_props = false;
	} else if (!strcmp(w, "t")) {
		d->text_open++;
	} else if (!strcmp(w, "tab") && p && !p->in_props) {
		add(d, S("\t"));
	} else if (!strcmp(w, "br") || !strcmp(w, "cr")) {
		add(d, S("\n"));
	} else if (!strcmp(w, "noBreakHyphen")) {
		add(d, S("-"));
	} else if (!strcmp(w, "pPr") && p) {
		p->in_props = true;
	} else if (!strcmp(w, "pStyle") && p) {
		p->style = style_of(d, val);
	} else if (!strcmp(w, "outlineLvl") && p && val && atoi(val) >= 0 && atoi(val) < 9) {
		p->outline = (uint32_t)MIN(atoi(val) + 1, 6);
	} else if (!strcmp(w, "numId") && p && val) {
		p->list = strcmp(val, "0") != 0;
		p->no_list = !p->list;
	} else if (!strcmp(w, "tbl")) {
		if (!d->table_depth++) {
			table_begin(&d->table);
			d->table_live = true;
		}
	} else if (!strcmp(w, "tr") && d->table_depth == 1) {
		table_row(&d->table, false);
	} else if (!strcmp(w, "tblHeader") && d->table_depth == 1 && d->table.n) {
		d->table.rows[d->table.n - 1].header =
			!(val && (!strcmp(val, "0") || !strcmp(val, "false")));
	} else if (!strcmp(w, "tc") && d->table_depth == 1) {
		buf_clear(&d->cell);
		d->continues = false;
	} else if (!strcmp(w, "vMerge") && d->table_depth == 1) {
		d->continues = !val || strcmp(val, "restart") != 0;
	} else if (!strcmp(w, "gridSpan") && d->table_depth == 1 && val) {
		d->spanned = (unsigned)MAX(0, MIN(atoi(val), 64) - 1);
	}
}

static void paragraph_end(struct docx *d)
{
	struct para *p = top(d);
	struct str s = buf_str(&p->text);
	struct out *o = d->o;
	if (p->text.err)
		out_fail(o, p->text.err, "out of memory");
	if (d->table_depth) {
		if (s.n) {
			if (d->cell.n)
				buf_putc(&d->cell, ' ');
			buf_adds(&d->cell, s);
		}
		d->n_para--;
		return;
	}
	enum role role = p->style ? p->style->role : ROLE_NONE;
	enum doc_block_kind kind = BLOCK_PARAGRAPH;
	uint32_t level = 0;
	if (p->outline || role == ROLE_HEADING) {
		kind = BLOCK_HEADING;
		level = p->outline ? p->outline : p->style->level;
	} else if (role == ROLE_TITLE) {
		kind = BLOCK_TITLE;
	} else if (p->list || (role == ROLE_LIST && !p->no_list)) {
		kind = BLOCK_LIST_ITEM;
	} else if (role == ROLE_QUOTE) {
		kind = BLOCK_QUOTE;
	} else if (role == ROLE_CAPTION) {
		kind = BLOCK_CAPTION;
	} else if (role == ROLE_CODE) {
		kind = BLOCK_CODE;
	}
	out_block(o, kind, level, s);
	d->n_para--;
}

static void body_end(void *ctx, const char *name)
{
	struct docx *d = ctx;
	if (d->skip) {
		d->skip--;
		d->changed |= !strcmp(name, "w:del");
		return;
	}
	if (!strcmp(name, "m:t")) {
		d->text_open--;
		add(d, S(" "));
		return;
	}
	if (strncmp(name, "w:", 2) != 0)
		return;
	const char *w = name + 2;
	if (!strcmp(w, "p") && d->n_para) {
		paragraph_end(d);
	} else if (!strcmp(w, "t")) {
		d->text_open--;
	} else if (!strcmp(w, "pPr") && top(d)) {
		top(d)->in_props = false;
	} else if (!strcmp(w, "tc") && d->table_depth == 1) {
		struct str s = buf_str(&d->cell);
		struct table *t = &d->table;
		if (d->continues && !t->failed && t->n > 1) { /* each row says what holds for it */
			struct cells above = t->rows[t->n - 2].c;
			size_t column = t->rows[t->n - 1].c.n;
			s = column < above.n ? above.v[column] : s;
		}
		table_cell(t, s);
		for (; d->spanned; d->spanned--)
			table_cell(&d->table, (struct str){"", 0});
	} else if (!strcmp(w, "tbl") && d->table_depth && !--d->table_depth) {
		table_emit(&d->table, d->o, true);
		d->table_live = false;
	}
}

static void body_text(void *ctx, struct str s)
{
	struct docx *d = ctx;
	if (d->text_open && !d->skip)
		add(d, s);
}

void parse_docx(struct out *o, struct str bytes)
{
	static const struct xml_calls styles = {styles_start, styles_end, NULL};
	static const struct xml_calls body = {body_start, body_end, body_text};
	struct zip_doc *z = zip_doc_open(o, bytes);
	struct docx *d = z ? calloc(1, sizeof *d) : NULL;
	struct relations top_level = {0}, parts = {0};
	if (!d) {
		if (z)
			out_fail(o, ERR_NOMEM, "out of memory");
		zip_doc_close(z);
		return;
	}
	d->o = o;
	d->a = arena_new(16 << 20);
	relations_read(z, "", &top_level);
	const struct relation *r = relation_by_type(&top_level, "officeDocument");
	const char *main_part = r && r->target.n ? r->target.p : "word/document.xml";
	relations_read(z, main_part, &parts);
	r = relation_by_type(&parts, "styles");
	zip_doc_xml(z, r ? r->target.p : "word/styles.xml", &styles, d);
	zip_doc_forgive(z, "word/styles.xml");
	dublin_core(z, "docProps/core.xml");
	if (!o->err && !zip_doc_xml(z, main_part, &body, d))
		out_fail(o, ERR_CORRUPT, "the DOCX file has no part %s; get a fresh copy",
			main_part);
	static const char *const notes[] = {"footnotes", "endnotes"};
	for (size_t i = 0; i < ARRAY_LEN(notes) && !o->err; i++)
		if ((r = relation_by_type(&parts, notes[i])))
			zip_doc_xml(z, r->target.p, &body, d);
	if (relation_by_type(&parts, "comments"))
		out_warn(o, "its comments were left out");
	if (d->changed)
		out_warn(o, "text that tracked changes mark as deleted was left out");
	if (d->images)
		out_warn(o, "%u images without text", d->images);
	if (d->table_live)
		table_drop(&d->table);
	for (size_t i = 0; i < PARA_MAX; i++)
		buf_free(&d->para[i].text);
	buf_free(&d->cell);
	map_free(&d->styles);
	arena_free(d->a);
	relations_free(&top_level);
	relations_free(&parts);
	free(d);
	zip_doc_close(z);
}
