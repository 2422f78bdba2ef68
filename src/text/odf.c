/* OpenDocument (text, sheets, slides): content.xml streamed. */
#include "text/zip_int.h"
#include "base/map.h"

#include <stdlib.h>

struct odf {
	struct out *o;
	struct arena *a;
	struct map parents; /* automatic style: the named one it stands on */
	struct buf para[8]; /* a note or a frame may stand inside a paragraph */
	size_t n_para;
	unsigned skip, list, table_depth, sheets, pages, repeat_cell, head_rows;
	uint32_t level[8];
	enum doc_block_kind kind[8];
	struct table table;
	struct buf cell;
	bool table_live, encrypted, title_frame;
	unsigned spreadsheet;
};

static void add(struct odf *d, struct str s)
{
	if (d->n_para && d->n_para <= ARRAY_LEN(d->para))
		buf_adds(&d->para[d->n_para - 1], s);
}

static unsigned count(const char **at, const char *name)
{
	const char *s = xml_attribute(at, name);
	uint64_t v;
	return s && str_u64(str_c(s), &v) && v >= 1 ? (unsigned)MIN(v, (uint64_t)64) : 1;
}

static void odf_start(void *ctx, const char *name, const char **at)
{
	static const char *const left_out[] = {"office:annotation", "text:tracked-changes",
		"text:note-citation", "text:sequence-decls", "text:table-of-content-source",
		"draw:object"};
	struct odf *d = ctx;
	if (d->skip) {
		d->skip++;
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(left_out); i++) {
		if (!strcmp(name, left_out[i])) {
			d->skip = 1;
			return;
		}
	}
	if (!strcmp(name, "style:style")) {
		const char *own = xml_attribute(at, "name"),
			   *parent = xml_attribute(at, "parent-style-name");
		char *kept = own && parent ? arena_c(d->a, str_c(parent)) : NULL;
		if (kept)
			(void)!map_put(&d->parents, str_c(own), kept);
	} else if (!strcmp(name, "text:p") || !strcmp(name, "text:h")) {
		if (++d->n_para > ARRAY_LEN(d->para)) {
			out_fail(d->o, ERR_LIMIT, "paragraphs nested too deeply");
			return;
		}
		size_t k = d->n_para - 1;
		const char *style = xml_attribute(at, "style-name");
		const char *parent = style ? map_get(&d->parents, str_c(style)) : NULL;
		style = parent ? parent : style;
		buf_clear(&d->para[k]);
		d->kind[k] = d->list ? BLOCK_LIST_ITEM : BLOCK_PARAGRAPH;
		d->level[k] = 0;
		if (name[5] == 'h' || (d->title_frame && d->n_para == 1)) {
			d->kind[k] = BLOCK_HEADING;
			d->level[k] = name[5] == 'h' ? count(at, "outline-level") : 1;
		} else if (style && !strcmp(style, "Title")) {
			d->kind[k] = BLOCK_TITLE;
		} else if (style && !strncmp(style, "Heading_20_", 11) && style[11] >= '1' &&
			   style[11] <= '9') {
			d->kind[k] = BLOCK_HEADING;
			d->level[k] = (uint32_t)(style[11] - '0');
		} else if (style && strstr(style, "Preformatted")) {
			d->kind[k] = BLOCK_CODE;
		} else if (style && strstr(style, "Quot")) {
			d->kind[k] = BLOCK_QUOTE;
		}
	} else if (!strcmp(name, "text:s")) {
		for (unsigned n = count(at, "c"); n; n--)
			add(d, S(" "));
	} else if (!strcmp(name, "text:tab") || !strcmp(name, "text:line-break")) {
		add(d, name[5] == 't' ? S("\t") : S("\n"));
	} else if (!strcmp(name, "text:list-item")) {
		d->list++;
	} else if (!strcmp(name, "office:spreadsheet")) {
		d->spreadsheet++;
	} else if (!strcmp(name, "draw:page")) {
		out_page(d->o, ++d->pages);
	} else if (!strcmp(name, "draw:frame") || !strcmp(name, "draw:custom-shape")) {
		const char *kind = xml_attribute(at, "class");
		d->title_frame = kind && !strcmp(kind, "title");
	} else if (!strcmp(name, "table:table")) {
		if (!d->table_depth++) {
			const char *title = xml_attribute(at, "name");
			if (d->spreadsheet) {
				out_page(d->o, ++d->sheets);
				if (title)
					out_block(d->o, BLOCK_HEADING, 1, str_c(title));
			}
			table_begin(&d->table);
			d->table_live = true;
		}
	} else if (!strcmp(name, "table:table-header-rows")) {
		d->head_rows++;
	} else if (!strcmp(name, "table:table-row") && d->table_depth == 1) {
		table_row(&d->table, d->head_rows > 0);
	} else if ((!strcmp(name, "table:table-cell") ||
			   !strcmp(name, "table:covered-table-cell")) &&
		   d->table_depth == 1) {
		buf_clear(&d->cell);
		d->repeat_cell = count(at, "number-columns-repeated");
	}
}

static void odf_end(void *ctx, const char *name)
{
	struct odf *d = ctx;
	if (d->skip) {
		d->skip--;
		return;
	}
	if ((!strcmp(name, "text:p") || !strcmp(name, "text:h")) && d->n_para) {
		size_t k = d->n_para - 1;
		struct str s = buf_str(&d->para[k]);
		if (d->table_depth) {
			if (d->cell.n && s.n)
				buf_putc(&d->cell, ' ');
			buf_adds(&d->cell, s);
		} else {
			out_block(d->o, d->kind[k], d->level[k], s);
		}
		d->n_para--;
	} else if (!strcmp(name, "text:list-item") && d->list) {
		d->list--;
	} else if (!strcmp(name, "draw:frame") || !strcmp(name, "draw:custom-shape")) {
		d->title_frame = false;
	} else if (!strcmp(name, "table:table-header-rows") && d->head_rows) {
		d->head_rows--;
	} else if ((!strcmp(name, "table:table-cell") ||
			   !strcmp(name, "table:covered-table-cell")) &&
		   d->table_depth == 1) {
		for (; d->repeat_cell; d->repeat_cell--)
			table_cell(&d->table, buf_str(&d->cell));
	} else if (!strcmp(name, "table:table-row") && d->table_depth == 1 && d->table.n) {
		/* the empty cells that sheets end their rows with */
		struct cells *c = &d->table.rows[d->table.n - 1].c;
		while (c->n && !c->v[c->n - 1].n)
			c->n--;
		if (!c->n)
			d->table.n--;
	} else if (!strcmp(name, "table:table") && d->table_depth && !--d->table_depth) {
		table_emit(&d->table, d->o, true);
		d->table_live = false;
	}
}

static void odf_text(void *ctx, struct str s)
{
	struct odf *d = ctx;
	if (!d->skip)
		add(d, s);
}

static void manifest_start(void *ctx, const char *name, const char **at)
{
	struct odf *d = ctx;
	d->encrypted = d->encrypted || strstr(name, "encryption-data") != NULL;
}

static void nothing(void *ctx, const char *name)
{
	(void)ctx, (void)name;
}

void parse_odf(struct out *o, struct str bytes)
{
	static const struct xml_calls content = {odf_start, odf_end, odf_text};
	static const struct xml_calls manifest = {manifest_start, nothing, NULL};
	struct zip_doc *z = zip_doc_open(o, bytes);
	struct odf *d = z ? calloc(1, sizeof *d) : NULL;
	if (!d) {
		if (z)
			out_fail(o, ERR_NOMEM, "out of memory");
		zip_doc_close(z);
		return;
	}
	d->o = o;
	d->a = arena_new(16 << 20);
	zip_doc_xml(z, "META-INF/manifest.xml", &manifest, d);
	if (d->encrypted)
		out_fail(o, ERR_FORBIDDEN, "it is encrypted; save it without a password");
	dublin_core(z, "meta.xml");
	if (!o->err && !zip_doc_xml(z, "content.xml", &content, d))
		out_fail(o, ERR_CORRUPT,
			"the OpenDocument file has no part content.xml; get a fresh copy");
	if (d->table_live)
		table_drop(&d->table);
	for (size_t i = 0; i < ARRAY_LEN(d->para); i++)
		buf_free(&d->para[i]);
	buf_free(&d->cell);
	map_free(&d->parents);
	arena_free(d->a);
	free(d);
	zip_doc_close(z);
}
