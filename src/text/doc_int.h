/* Inside text: how a parser writes a document, and what parsers share.
 *
 * A parser walks its format and tells the writer (struct out) blocks: out_begin, text, out_end, or
 * whole ones by out_block. The writer keeps what doc.h promises (NFC, LF, order, offsets, heading
 * parents) and the limits; the first failure sticks in o->err, and o->stop says to look up.
 *
 * To add a format: a row in doc.c's table, a parser in a file of its own. */
#ifndef TEXT_DOC_INT_H
#define TEXT_DOC_INT_H
#include "base/arena.h"
#include "text/doc.h"
#include "text/unicode_int.h"

struct out {
	struct doc *d;
	struct doc_limits lim; /* every field filled */
	struct errtext *et;
	const char *name;
	enum err err;
	struct buf text, cur, norm, warnings;
	struct doc_block *blocks;
	size_t n_blocks, cap_blocks;
	uint32_t open[8]; /* index + 1 of the open heading of each level */
	uint32_t page;
	bool in_block;
	enum doc_block_kind kind;
	uint32_t level;
	uint64_t deadline_ns;
	unsigned ticks;
};

/* Starts a block; one that is open is ended. */
void out_begin(struct out *o, enum doc_block_kind kind, uint32_t level);
/* Adds text to the open block (opens a paragraph if there is none). */
void out_text(struct out *o, struct str s); /* runs of white space become one space */
void out_pre(struct out *o, struct str s);  /* as it is */
void out_end(struct out *o);                /* a block without text leaves no trace */
void out_block(struct out *o, enum doc_block_kind kind, uint32_t level, struct str s);
void out_page(struct out *o, uint32_t page); /* of the blocks that follow */
void out_warn(struct out *o, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Keeps the first failure. Returns it. */
enum err out_fail(struct out *o, enum err e, const char *fmt, ...) PRINTF_LIKE(3, 4);
bool out_stop(struct out *o);                 /* failed, or out of time; cheap */
void out_title(struct out *o, struct str s);  /* from metadata: the first that says something */
void out_author(struct out *o, struct str s); /* several are joined by ", " */
void out_created(struct out *o, struct str iso_or_rfc);

/* One row of a table as one block: "header: value; header: value", empty cells left out. */
struct cells {
	struct str *v;
	size_t n;
};
void out_row(struct out *o, struct cells header, struct cells row);
/* Whether a first row names columns: short words, no numbers, nearly all filled. */
bool row_is_header(struct cells row);

/* A table that is collected first, since its header may turn out later. Cells are copied. */
struct table {
	struct arena *a;
	struct table_row {
		struct cells c;
		bool header; /* said so by the source */
	} * rows;
	size_t n, cap;
	size_t cap_cells;
	bool failed;
};
void table_begin(struct table *t);
void table_row(struct table *t, bool header);
void table_cell(struct table *t, struct str text);
void table_emit(struct table *t, struct out *o, bool guess_header); /* and forgets it */
void table_drop(struct table *t);

/* Bytes of some encoding to UTF-8 with LF line ends. hint: a charset's name, or NULL. What was
 * assumed or mended is told as a warning when it is worth one. */
enum err text_decode(struct out *o, struct str bytes, const char *hint, struct buf *utf8);
const char *charset_by_zeros(struct str s); /* UTF-16 or UTF-32 without a mark, or NULL */
bool charset_to_utf8(const char *charset, struct str bytes, struct buf *utf8); /* false: unknown */

/* Parsers. Bytes in; blocks in o. Those of text take UTF-8. */
void parse_text(struct out *o, struct str utf8);
void parse_markdown(struct out *o, struct str utf8);
void parse_html(struct out *o, struct str bytes, const char *charset);
void html_into(struct out *o, struct str utf8, bool metadata);  /* a page or a piece of one */
void parse_csv(struct out *o, struct str utf8, char separator); /* 0: guess */
void parse_json(struct out *o, struct str utf8);
void parse_jsonl(struct out *o, struct str utf8);
void parse_email(struct out *o, struct str bytes);
void parse_pdf(struct out *o, struct str bytes);
void parse_docx(struct out *o, struct str bytes);
void parse_pptx(struct out *o, struct str bytes);
void parse_xlsx(struct out *o, struct str bytes);
void parse_epub(struct out *o, struct str bytes);
void parse_odf(struct out *o, struct str bytes);
/* The document type of a ZIP file by its members' names, DOC_UNKNOWN for any other. */
enum doc_type zip_sniff(struct str bytes);

#endif
