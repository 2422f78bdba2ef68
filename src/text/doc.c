/* doc_parse: which format, then its parser, then what every document gets. */
#include "text/doc_int.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

/* --- formats -----------------------------------------------------------------------------------
 */

static const struct format {
	enum doc_type type;
	const char *name, *media, *endings; /* endings: separated by spaces */
} formats[] = {
	{DOC_UNKNOWN, "unknown", "application/octet-stream", ""},
	{DOC_TEXT, "text", "text/plain", "txt text log rst adoc asciidoc org"},
	{DOC_MARKDOWN, "markdown", "text/markdown", "md markdown mdown mkd"},
	{DOC_HTML, "html", "text/html", "html htm xhtml"},
	{DOC_PDF, "pdf", "application/pdf", "pdf"},
	{DOC_DOCX, "docx",
		"application/vnd.openxmlformats-officedocument.wordprocessingml.document",
		"docx docm dotx"},
	{DOC_PPTX, "pptx",
		"application/vnd.openxmlformats-officedocument.presentationml.presentation",
		"pptx pptm ppsx potx"},
	{DOC_XLSX, "xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
		"xlsx xlsm xltx"},
	{DOC_CSV, "csv", "text/csv", "csv"},
	{DOC_TSV, "tsv", "text/tab-separated-values", "tsv tab"},
	{DOC_JSON, "json", "application/json", "json"},
	{DOC_JSONL, "jsonl", "application/jsonl", "jsonl ndjson"},
	{DOC_EPUB, "epub", "application/epub+zip", "epub"},
	{DOC_EMAIL, "email", "message/rfc822", "eml mbox"},
	{DOC_ODF, "odf", "application/vnd.oasis.opendocument.text", "odt ods odp ott"},
};

const char *doc_type_name(enum doc_type t)
{
	return (size_t)t < ARRAY_LEN(formats) ? formats[t].name : formats[0].name;
}

enum doc_type doc_type_from_name(struct str s)
{
	for (size_t i = 1; i < ARRAY_LEN(formats); i++)
		if (str_eq_nocase(s, str_c(formats[i].name)))
			return formats[i].type;
	return DOC_UNKNOWN;
}

const char *doc_media_type(enum doc_type t)
{
	return (size_t)t < ARRAY_LEN(formats) ? formats[t].media : formats[0].media;
}

static struct str base_name(const char *name)
{
	struct str s = str_c(name);
	size_t slash = str_rchr(s, '/');
	return slash == STR_NONE ? s : str_sub(s, slash + 1, s.n);
}

static struct str ending(const char *name)
{
	struct str s = base_name(name);
	size_t dot = str_rchr(s, '.');
	return dot == STR_NONE || dot == 0 ? (struct str){"", 0} : str_sub(s, dot + 1, s.n);
}

static bool in_list(struct str word, const char *list)
{
	struct str rest = str_c(list), one;
	while (str_next(&rest, ' ', &one))
		if (word.n && str_eq_nocase(one, word))
			return true;
	return false;
}

static enum doc_type by_ending(const char *name)
{
	struct str end = ending(name);
	for (size_t i = 1; i < ARRAY_LEN(formats); i++)
		if (in_list(end, formats[i].endings))
			return formats[i].type;
	return DOC_UNKNOWN;
}

/* --- by content --------------------------------------------------------------------------------
 */

static struct str skip_white(struct str s)
{
	if (str_starts(s, S("\xEF\xBB\xBF")))
		s = str_sub(s, 3, s.n);
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t' || s.p[0] == '\r' || s.p[0] == '\n'))
		s = str_sub(s, 1, s.n);
	return s;
}

static bool starts_nocase(struct str s, const char *word)
{
	size_t n = strlen(word);
	return s.n >= n && strncasecmp(s.p, word, n) == 0;
}

static bool looks_like_html(struct str s)
{
	s = skip_white(str_sub(s, 0, 8192));
	for (;;) {
		size_t end;
		if (starts_nocase(s, "<!--") && (end = str_find(s, S("-->"))) != STR_NONE)
			s = skip_white(str_sub(s, end + 3, s.n));
		else if (starts_nocase(s, "<?xml") && (end = str_find(s, S("?>"))) != STR_NONE)
			s = skip_white(str_sub(s, end + 2, s.n));
		else
			break;
	}
	return starts_nocase(s, "<!doctype html") || starts_nocase(s, "<html") ||
	       starts_nocase(s, "<head>") || starts_nocase(s, "<body");
}

/* Header lines up to an empty one, two of them well known. */
static bool looks_like_email(struct str s)
{
	static const char *const known[] = {"from", "to", "subject", "date", "message-id",
		"received", "return-path", "delivered-to", "mime-version", "content-type",
		"reply-to", "cc"};
	struct str rest = skip_white(str_sub(s, 0, 65536)), line;
	unsigned hits = 0, sender = 0;
	if (str_starts(rest, S("From ")))
		str_next_line(&rest, &line);
	while (str_next_line(&rest, &line) && line.n) {
		if (line.p[0] == ' ' || line.p[0] == '\t')
			continue;
		size_t colon = str_chr(line, ':');
		if (colon == STR_NONE || colon == 0 || colon > 60)
			return false;
		struct str key = str_sub(line, 0, colon);
		if (str_chr(key, ' ') != STR_NONE)
			return false;
		for (size_t i = 0; i < ARRAY_LEN(known); i++)
			hits += str_eq_nocase(key, str_c(known[i]));
		sender += str_eq_nocase(key, S("from")) || str_eq_nocase(key, S("received")) ||
			  str_eq_nocase(key, S("message-id"));
	}
	return hits >= 2 && sender;
}

static bool looks_like_jsonl(struct str s)
{
	struct str rest = s, line;
	unsigned records = 0;
	while (records < 2 && str_next_line(&rest, &line)) {
		line = str_trim(line);
		if (!line.n)
			continue;
		if (line.p[0] != '{' || line.p[line.n - 1] != '}')
			return false;
		records++;
	}
	return records == 2;
}

static bool looks_like_json(struct str s)
{
	s = str_trim(skip_white(s));
	if (s.n < 2)
		return false;
	char a = s.p[0], z = s.p[s.n - 1];
	if (!((a == '{' && z == '}') || (a == '[' && z == ']')))
		return false;
	struct str in = skip_white(str_sub(s, 1, s.n));
	return in.p[0] == z || in.p[0] == '"' || (a == '[' && (in.p[0] == '{' || in.p[0] == '['));
}

static const char *what_else(struct str b);

enum doc_type doc_sniff(struct str bytes, const char *name)
{
	enum doc_type named = by_ending(name);
	struct str head = str_sub(bytes, 0, 1024);
	if (str_find(head, S("%PDF-")) != STR_NONE)
		return DOC_PDF;
	if (str_starts(bytes, S("PK\3\4")) || str_starts(bytes, S("PK\5\6"))) {
		enum doc_type t = zip_sniff(bytes);
		bool zipped = named == DOC_DOCX || named == DOC_PPTX || named == DOC_XLSX ||
			      named == DOC_EPUB || named == DOC_ODF;
		return t != DOC_UNKNOWN ? t : zipped ? named : DOC_UNKNOWN;
	}
	bool wide = str_starts(bytes, S("\xFF\xFE")) || str_starts(bytes, S("\xFE\xFF"));
	if (!wide && head.n >= 8 && memchr(head.p, 0, head.n)) {
		size_t zeros = 0;
		for (size_t i = 0; i < head.n; i++)
			zeros += !head.p[i];
		wide = !what_else(bytes) && charset_by_zeros(head) != NULL;
		if (!wide && zeros * 20 > head.n) /* a stray one is no reason to refuse a text */
			return DOC_UNKNOWN;
	}
	if (wide)
		return named == DOC_PDF || named == DOC_DOCX || named == DOC_PPTX ||
				       named == DOC_XLSX || named == DOC_EPUB || named == DOC_ODF ||
				       named == DOC_UNKNOWN
			       ? DOC_TEXT
			       : named;
	if (looks_like_html(bytes))
		return DOC_HTML;
	if (named == DOC_JSONL || named == DOC_CSV || named == DOC_TSV || named == DOC_MARKDOWN ||
		named == DOC_JSON || named == DOC_HTML || named == DOC_EMAIL)
		return named == DOC_JSON && looks_like_jsonl(bytes) ? DOC_JSONL : named;
	if (looks_like_email(bytes))
		return DOC_EMAIL;
	if (named != DOC_TEXT && looks_like_jsonl(bytes))
		return DOC_JSONL;
	if (named != DOC_TEXT && looks_like_json(bytes))
		return DOC_JSON;
	return bytes.n ? DOC_TEXT : named;
}

/* What a file that is none of ours is, and what to do about it. */
static const char *what_else(struct str b)
{
	static const struct {
		const char *magic;
		size_t n;
		const char *say;
	} rows[] = {
		{"\x1F\x8B", 2, "a gzip file; unpack it first"},
		{"BZh", 3, "a bzip2 file; unpack it first"},
		{"\xFD"
		 "7zXZ",
			5, "an xz file; unpack it first"},
		{"7z\xBC\xAF", 4, "a 7z archive; unpack it first"},
		{"Rar!", 4, "a RAR archive; unpack it first"},
		{"\x28\xB5\x2F\xFD", 4, "a zstd file; unpack it first"},
		{"PK", 2, "a ZIP archive without a known kind of document; unpack it first"},
		{"\x89PNG", 4, "an image; it has no text to read (recognise it with OCR first)"},
		{"\xFF\xD8\xFF", 3,
			"an image; it has no text to read (recognise it with OCR first)"},
		{"GIF8", 4, "an image; it has no text to read (recognise it with OCR first)"},
		{"II*\0", 4, "an image; it has no text to read (recognise it with OCR first)"},
		{"RIFF", 4, "sound, film or an image; it has no text to read"},
		{"\x7F"
		 "ELF",
			4, "a program"},
		{"MZ", 2, "a program"},
		{"\x80\x02", 2, "a Python pickle; never read, since reading one runs code"},
		{"\x80\x03", 2, "a Python pickle; never read, since reading one runs code"},
		{"\x80\x04", 2, "a Python pickle; never read, since reading one runs code"},
		{"\x80\x05", 2, "a Python pickle; never read, since reading one runs code"},
		{"GGUF", 4, "a model file; put it among the models"},
		{"SQLite format 3", 15, "a database; export its tables as CSV"},
	};
	if (str_starts(b, S("\xD0\xCF\x11\xE0"))) {
		/* an encrypted DOCX/XLSX/PPTX is an OLE file with this stream */
		static const char crypt[] = "E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0c\0k\0a\0g\0e";
		if (memmem(b.p, b.n, crypt, sizeof crypt - 1))
			return "an encrypted Office document; save it without a password";
		return "an Office file of the old binary kind (.doc, .xls, .ppt, .msg); save it as "
		       ".docx, "
		       ".xlsx, .pptx or .eml";
	}
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (b.n >= rows[i].n && !memcmp(b.p, rows[i].magic, rows[i].n))
			return rows[i].say;
	return NULL;
}

/* --- parsing -----------------------------------------------------------------------------------
 */

static bool is_binary(struct str utf8)
{
	size_t odd = 0, n = MIN(utf8.n, (size_t)65536);
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)utf8.p[i];
		odd += (c < ' ' && c != '\n' && c != '\t' && c != '\r' && c != '\f' && c != 0x1B) ||
		       c == 0x7F;
	}
	return odd * 20 > n;
}

/* Formats of text: decode first. */
static void parse_as_text(struct out *o, struct str bytes, enum doc_type type)
{
	struct buf utf8 = {0};
	if (type == DOC_JSON && !utf8_valid(bytes) && !memchr(bytes.p, 0, bytes.n)) {
		out_fail(o, ERR_CORRUPT,
			"not valid UTF-8, as JSON must be; save it in that encoding");
		return;
	}
	if (text_decode(o, bytes, NULL, &utf8)) {
		buf_free(&utf8);
		return;
	}
	struct str s = buf_str(&utf8);
	if (is_binary(s)) {
		const char *what = what_else(bytes);
		out_fail(o, ERR_UNSUPPORTED, "%s",
			what ? what : "binary data of no kind that Croft reads");
	} else if (type == DOC_MARKDOWN) {
		parse_markdown(o, s);
	} else if (type == DOC_CSV || type == DOC_TSV) {
		parse_csv(o, s, type == DOC_TSV ? '\t' : 0);
	} else if (type == DOC_JSON) {
		parse_json(o, s);
	} else if (type == DOC_JSONL) {
		parse_jsonl(o, s);
	} else {
		parse_text(o, s);
	}
	buf_free(&utf8);
}

static void parse_as(struct out *o, struct str bytes, enum doc_type type)
{
	switch (type) {
	case DOC_UNKNOWN: {
		const char *what = what_else(bytes);
		out_fail(o, ERR_UNSUPPORTED, "%s",
			what ? what : "binary data of no kind that Croft reads");
		break;
	}
	case DOC_HTML:
		parse_html(o, bytes, NULL);
		break;
	case DOC_PDF:
		parse_pdf(o, bytes);
		break;
	case DOC_DOCX:
		parse_docx(o, bytes);
		break;
	case DOC_PPTX:
		parse_pptx(o, bytes);
		break;
	case DOC_XLSX:
		parse_xlsx(o, bytes);
		break;
	case DOC_EPUB:
		parse_epub(o, bytes);
		break;
	case DOC_ODF:
		parse_odf(o, bytes);
		break;
	case DOC_EMAIL:
		parse_email(o, bytes);
		break;
	case DOC_TEXT:
	case DOC_MARKDOWN:
	case DOC_CSV:
	case DOC_TSV:
	case DOC_JSON:
	case DOC_JSONL:
		parse_as_text(o, bytes, type);
		break;
	}
}

static void finish(struct out *o, enum doc_type named)
{
	struct doc *d = o->d;
	if (!o->n_blocks) {
		out_fail(o, ERR_INVALID, "%s",
			d->type == DOC_PDF ? "the PDF has no text (scanned pages?); recognise it "
					     "with OCR first"
					   : "there is no text in it");
		return;
	}
	d->text = buf_str(&o->text);
	d->blocks = o->blocks;
	d->n_blocks = o->n_blocks;
	bool title_there = d->title.n > 0;
	for (size_t i = 0; i < d->n_blocks && !title_there && i < 200; i++) {
		const struct doc_block *b = &d->blocks[i];
		if (b->kind == BLOCK_TITLE || b->kind == BLOCK_HEADING) {
			out_title(o, str_sub(d->text, b->from, b->to));
			title_there = d->title.n > 0;
		}
	}
	if (!title_there) {
		struct str base = base_name(o->name);
		size_t dot = str_rchr(base, '.');
		out_title(o, dot == STR_NONE || dot == 0 ? base : str_sub(base, 0, dot));
	}
	const char *lang = unicode_guess_language(d->text);
	d->language = str_c(lang);
	bool texts = (d->type == DOC_TEXT || d->type == DOC_HTML) && named != DOC_UNKNOWN &&
		     named != DOC_TEXT;
	if (named != DOC_UNKNOWN && named != d->type &&
		(texts || named == DOC_PDF || named == DOC_DOCX || named == DOC_PPTX ||
			named == DOC_XLSX || named == DOC_EPUB || named == DOC_ODF ||
			d->type == DOC_PDF || d->type == DOC_DOCX))
		out_warn(o, "the name says %s, the content is %s; read as %s", doc_type_name(named),
			doc_type_name(d->type), doc_type_name(d->type));
	struct buf warnings = {0}; /* they may quote what the file says */
	unicode_repair(buf_str(&o->warnings), &warnings, NULL);
	d->warnings = arena_str(d->arena, buf_str(&warnings));
	buf_free(&warnings);
	/* the two big ones stay where they grew; the arena lets go of them */
	if (!d->warnings.p || !arena_on_free(d->arena, free, o->text.p))
		out_fail(o, ERR_NOMEM, "out of memory");
	else {
		o->text = (struct buf){0};
		if (!arena_on_free(d->arena, free, o->blocks))
			out_fail(o, ERR_NOMEM, "out of memory");
		else
			o->blocks = NULL;
	}
}

enum err doc_parse(struct str bytes, const char *name, const struct doc_limits *limits,
	struct doc **out, struct errtext *et)
{
	struct errtext here;
	struct doc_limits l = limits ? *limits : (struct doc_limits){0};
	l.input_max = l.input_max ? l.input_max : (size_t)512 << 20;
	l.unpacked_max = l.unpacked_max ? l.unpacked_max : (size_t)256 << 20;
	l.text_max = l.text_max ? MIN(l.text_max, (size_t)1 << 30) : (size_t)64 << 20;
	l.entries_max = l.entries_max ? l.entries_max : 10000;
	l.depth_max = l.depth_max ? l.depth_max : 128;
	l.time_ms_max = l.time_ms_max ? l.time_ms_max : 60000;
	if (!bytes.n)
		return err_set(et, ERR_INVALID, "%s: the file is empty", name);
	if (bytes.n > l.input_max)
		return err_set(et, ERR_TOO_LARGE, "%s: %zu bytes, the limit is %zu; split the file",
			name, bytes.n, l.input_max);
	struct arena *a = arena_new(0);
	struct doc *d = a ? arena_new_of(a, struct doc) : NULL;
	if (!d) {
		arena_free(a);
		return err_set(et, ERR_NOMEM, "%s: out of memory", name);
	}
	d->arena = a;
	d->type = doc_sniff(bytes, name);
	d->title = d->author = d->language = d->warnings = (struct str){"", 0};
	struct out o = {.d = d,
		.lim = l,
		.et = et ? et : &here,
		.name = name,
		.deadline_ns = clock_mono_ns() + (uint64_t)l.time_ms_max * 1000000};
	parse_as(&o, bytes, d->type);
	out_end(&o);
	if (!o.err)
		finish(&o, by_ending(name));
	buf_free(&o.text);
	buf_free(&o.cur);
	buf_free(&o.norm);
	buf_free(&o.warnings);
	free(o.blocks);
	if (o.err) {
		doc_free(d);
		return o.err;
	}
	*out = d;
	return OK;
}

void doc_free(struct doc *d)
{
	if (d)
		arena_free(d->arena);
}

void doc_heading_path(const struct doc *d, size_t i, struct buf *out)
{
	uint32_t chain[8];
	size_t n = 0;
	for (uint32_t h = d->blocks[i].heading; h && n < ARRAY_LEN(chain);
		h = d->blocks[h - 1].heading)
		chain[n++] = h - 1;
	while (n--) {
		const struct doc_block *b = &d->blocks[chain[n]];
		buf_adds(out, str_sub(d->text, b->from, b->to));
		if (n)
			buf_addc(out, " > ");
	}
}
