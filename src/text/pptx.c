/* PPTX: each slide is a page; its title a heading, then its text and tables in the order of the
 * file, then notes and comments. */
#include "text/zip_int.h"
#include "base/room.h"

#include <stdlib.h>

enum { TITLES, BODIES, NOTES };

struct pptx {
	struct out *o;
	int pass;
	struct buf para, cell, title;
	bool in_text, in_title, in_body, ignored, table_live;
	unsigned skip, table_depth, pictures, charts, shape_depth;
	struct table table;
	/* presentation.xml */
	struct arena *a;
	struct str *ids;
	size_t n_ids, cap_ids;
};

static void slide_start(void *ctx, const char *name, const char **at)
{
	struct pptx *p = ctx;
	if (p->skip || !strcmp(name, "mc:Fallback")) {
		p->skip++;
		return;
	}
	if (!strcmp(name, "p:sp")) {
		p->in_title = p->in_body = p->ignored = false;
	} else if (!strcmp(name, "p:ph")) {
		const char *type = xml_attribute(at, "type");
		p->in_title = type && (!strcmp(type, "title") || !strcmp(type, "ctrTitle"));
		p->ignored = type && (!strcmp(type, "sldNum") || !strcmp(type, "dt") ||
					     !strcmp(type, "ftr") || !strcmp(type, "hdr") ||
					     !strcmp(type, "sldImg"));
		p->in_body = !p->in_title && !p->ignored;
	} else if (!strcmp(name, "a:p")) {
		buf_clear(&p->para);
	} else if (!strcmp(name, "a:t") || !strcmp(name, "p:text")) {
		p->in_text = true;
	} else if (!strcmp(name, "a:br") || !strcmp(name, "a:tab")) {
		buf_putc(&p->para, ' ');
	} else if (!strcmp(name, "p:pic")) {
		p->pictures++;
	} else if (!strcmp(name, "a:graphicData")) {
		const char *uri = xml_attribute(at, "uri");
		p->charts += uri && !str_ends(str_c(uri), S("/table"));
	} else if (!strcmp(name, "a:tbl") && p->pass == BODIES) {
		if (!p->table_depth++) {
			table_begin(&p->table);
			p->table_live = true;
		}
	} else if (!strcmp(name, "a:tr") && p->table_depth == 1) {
		table_row(&p->table, false);
	} else if (!strcmp(name, "a:tc")) {
		buf_clear(&p->cell);
	}
}

static void slide_end(void *ctx, const char *name)
{
	struct pptx *p = ctx;
	if (p->skip) {
		p->skip--;
		return;
	}
	if (!strcmp(name, "a:t") || !strcmp(name, "p:text")) {
		p->in_text = false;
		if (name[0] == 'p')
			out_block(p->o, BLOCK_QUOTE, 0, buf_str(&p->para)), buf_clear(&p->para);
	} else if (!strcmp(name, "p:sp")) {
		p->in_title = p->in_body = p->ignored = false;
	} else if (!strcmp(name, "a:tc") && p->table_depth == 1) {
		table_cell(&p->table, buf_str(&p->cell));
	} else if (!strcmp(name, "a:tbl") && p->table_depth && !--p->table_depth) {
		table_emit(&p->table, p->o, true);
		p->table_live = false;
	} else if (!strcmp(name, "a:p")) {
		struct str s = buf_str(&p->para);
		if (p->table_depth) {
			if (p->cell.n)
				buf_putc(&p->cell, ' ');
			buf_adds(&p->cell, s);
		} else if (p->pass == TITLES && p->in_title) {
			if (p->title.n)
				buf_putc(&p->title, ' ');
			buf_adds(&p->title, s);
		} else if (p->pass == BODIES && !p->in_title && !p->ignored) {
			out_block(p->o, p->in_body ? BLOCK_LIST_ITEM : BLOCK_PARAGRAPH, 0, s);
		} else if (p->pass == NOTES && !p->ignored && !p->in_title) {
			out_block(p->o, BLOCK_QUOTE, 0, s);
		}
		buf_clear(&p->para);
	}
}

static void slide_text(void *ctx, struct str s)
{
	struct pptx *p = ctx;
	if (p->in_text && !p->skip)
		buf_adds(&p->para, s);
}

static void deck_start(void *ctx, const char *name, const char **at)
{
	struct pptx *p = ctx;
	if (strcmp(name, "p:sldId") != 0)
		return;
	/* two attributes are called id: the number, and the relation */
	for (; *at; at += 2) {
		struct str key = str_c(at[0]);
		if (!str_ends(key, S("|id")) || p->n_ids >= 100000)
			continue;
		if (!heap_room(p->ids, p->n_ids, p->cap_ids))
			return;
		p->ids[p->n_ids++] = arena_str(p->a, str_c(at[1]));
	}
}

static void deck_end(void *ctx, const char *name)
{
	(void)ctx, (void)name;
}

static void slide(struct pptx *p, struct zip_doc *z, const char *part)
{
	static const struct xml_calls calls = {slide_start, slide_end, slide_text};
	struct out *o = p->o;
	struct relations rels;
	buf_clear(&p->title);
	p->pass = TITLES;
	if (!zip_doc_xml(z, part, &calls, p)) {
		if (!o->err)
			out_warn(o, "slide %u is missing", o->page);
		return;
	}
	if (str_trim(buf_str(&p->title)).n)
		out_block(o, BLOCK_HEADING, 1, buf_str(&p->title));
	unsigned pictures = p->pictures, charts = p->charts;
	p->pass = BODIES;
	zip_doc_xml(z, part, &calls, p);
	p->pictures = pictures;
	p->charts = charts;
	p->pass = NOTES;
	relations_read(z, part, &rels);
	for (size_t i = 0; i < rels.n && !o->err; i++)
		if (str_eq_c(rels.v[i].type, "notesSlide") || str_eq_c(rels.v[i].type, "comments"))
			zip_doc_xml(z, rels.v[i].target.p, &calls, p);
	p->pictures = pictures;
	p->charts = charts;
	relations_free(&rels);
}

void parse_pptx(struct out *o, struct str bytes)
{
	static const struct xml_calls calls = {deck_start, deck_end, NULL};
	struct zip_doc *z = zip_doc_open(o, bytes);
	struct relations top_level = {0}, rels = {0};
	struct pptx p = {.o = o};
	if (!z)
		return;
	p.a = arena_new(16 << 20);
	relations_read(z, "", &top_level);
	const struct relation *r = relation_by_type(&top_level, "officeDocument");
	const char *deck = r && r->target.n ? r->target.p : "ppt/presentation.xml";
	dublin_core(z, "docProps/core.xml");
	relations_read(z, deck, &rels);
	if (!o->err && !zip_doc_xml(z, deck, &calls, &p))
		out_fail(o, ERR_CORRUPT, "the PPTX file has no part %s; get a fresh copy", deck);
	for (size_t i = 0; i < p.n_ids && !out_stop(o); i++) {
		out_page(o, (uint32_t)i + 1);
		r = p.ids[i].p ? relation_by_id(&rels, p.ids[i].p) : NULL;
		if (r)
			slide(&p, z, r->target.p);
		else
			out_warn(o, "slide %zu is missing", i + 1);
	}
	if (p.pictures)
		out_warn(o, "%u images without text", p.pictures);
	if (p.charts)
		out_warn(o, "%u charts or drawings were left out", p.charts);
	if (p.table_live)
		table_drop(&p.table);
	buf_free(&p.para);
	buf_free(&p.cell);
	buf_free(&p.title);
	free(p.ids);
	arena_free(p.a);
	relations_free(&top_level);
	relations_free(&rels);
	zip_doc_close(z);
}
