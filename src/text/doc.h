/* Documents: a file of some format in, plain text with structure out.
 *
 * The extracted text is one UTF-8 string (NFC, LF line ends); everything else points into it by
 * byte offset. Blocks are in reading order, do not overlap, and cover all text but the white space
 * between them. A page is where the source has pages (PDF, PPTX slides, XLSX sheets), else 0.
 *
 *	struct doc *d;
 *	enum err e = doc_parse(bytes, "report.pdf", &(struct doc_limits){0}, &d, et);
 *	for (size_t i = 0; i < d->n_blocks; i++) ...
 *	doc_free(d);
 *
 * A damaged, encrypted, over-large or unknown file is an error that says which and what to do.
 * Parsers that link C libraries run in this process under the limits; PDF runs in a child process
 * that can neither open files nor reach the network (landlock, seccomp, rlimits). */
#ifndef TEXT_DOC_H
#define TEXT_DOC_H
#include "base/str.h"

enum doc_type {
	DOC_UNKNOWN,
	DOC_TEXT,
	DOC_MARKDOWN,
	DOC_HTML,
	DOC_PDF,
	DOC_DOCX,
	DOC_PPTX,
	DOC_XLSX,
	DOC_CSV,
	DOC_TSV,
	DOC_JSON,
	DOC_JSONL,
	DOC_EPUB,
	DOC_EMAIL,
	DOC_ODF, /* OpenDocument: text, sheets, slides */
};

enum doc_block_kind {
	BLOCK_TITLE,
	BLOCK_HEADING,
	BLOCK_PARAGRAPH,
	BLOCK_LIST_ITEM,
	BLOCK_TABLE_ROW,
	BLOCK_CODE,
	BLOCK_QUOTE,
	BLOCK_CAPTION
};

struct doc_block {
	enum doc_block_kind kind;
	uint32_t from, to; /* bytes of doc->text */
	uint32_t page;     /* from 1; 0: the format has none */
	uint32_t level;    /* headings: 1..6 */
	uint32_t heading;  /* index + 1 of the heading block it stands under; 0: none */
};

struct doc {
	enum doc_type type;
	struct str title;    /* from metadata, else the first heading, else the file's name */
	struct str language; /* guess: "en"; "" unknown */
	struct str author;
	int64_t created_ms; /* from metadata; 0: none */
	struct str text;
	struct doc_block *blocks;
	size_t n_blocks;
	uint32_t n_pages;
	/* Things that were left out or mended, one line each ("3 images without text"). Never
	 * silent. */
	struct str warnings;
	struct arena *arena; /* owns all of the above */
};

struct doc_limits {
	size_t input_max;     /* bytes; 0: 512 MiB */
	size_t unpacked_max;  /* bytes after decompression; 0: 256 MiB, and at most 1,000 : 1 */
	size_t text_max;      /* 0: 64 MiB */
	uint32_t entries_max; /* members of an archive; 0: 10,000 */
	uint32_t depth_max;   /* 0: 128 */
	uint32_t time_ms_max; /* child processes; 0: 60,000 */
};

enum err doc_parse(struct str bytes, const char *name, const struct doc_limits *limits,
	struct doc **out, struct errtext *et) MUST_CHECK;
void doc_free(struct doc *d);
/* By content first, then by the name's ending. */
enum doc_type doc_sniff(struct str bytes, const char *name);
const char *doc_type_name(enum doc_type t);     /* "pdf" */
enum doc_type doc_type_from_name(struct str s); /* DOC_UNKNOWN when there is none */
const char *doc_media_type(enum doc_type t);    /* "application/pdf" */
/* "Install > From source": the titles of the headings above block i, outermost first. */
void doc_heading_path(const struct doc *d, size_t i, struct buf *out);

#endif
