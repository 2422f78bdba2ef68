#include "tap.h"
#include "base/os.h"
#include "base/proc.h"
#include "text/doc.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zip.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif
#if defined(SANITIZED) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SLOW = 5 };
#else
enum { SLOW = 1 };
#endif

/* What doc.h promises of every document. */
static void check_promises(const struct doc *d)
{
	uint32_t last = 0, page = 0;
	CHECK(utf8_valid(d->text) && utf8_valid(d->title) && utf8_valid(d->author) &&
		utf8_valid(d->warnings));
	CHECK(memchr(d->text.p, '\r', d->text.n) == NULL);
	CHECK(d->title.n > 0);
	for (size_t i = 0; i < d->n_blocks; i++) {
		const struct doc_block *b = &d->blocks[i];
		CHECK(b->from < b->to && b->to <= d->text.n && b->from >= last);
		CHECK(utf8_valid(str_sub(d->text, b->from, b->to)));
		CHECK(str_trim(str_sub(d->text, last, b->from)).n ==
			0); /* nothing between but white space */
		CHECK(b->page >= page && b->page <= d->n_pages);
		CHECK(b->kind == BLOCK_HEADING ? b->level >= 1 && b->level <= 6 : b->level == 0);
		CHECK(b->heading <= i &&
			(!b->heading || d->blocks[b->heading - 1].kind == BLOCK_HEADING));
		if (b->heading && b->kind == BLOCK_HEADING)
			CHECK(d->blocks[b->heading - 1].level < b->level);
		last = b->to;
		page = b->page;
	}
	CHECK(str_trim(str_sub(d->text, last, d->text.n)).n == 0);
}

static struct doc *parse(struct str bytes, const char *name)
{
	struct doc *d;
	struct errtext et;
	CHECK_OK(doc_parse(bytes, name, NULL, &d, &et), &et);
	check_promises(d);
	return d;
}

static struct doc *parse_file(const char *rel)
{
	struct buf b = {0};
	struct errtext et;
	CHECK_OK(os_read_file(tap_shared(rel), 0, &b, &et), &et);
	struct doc *d = parse(buf_str(&b), rel);
	buf_free(&b);
	return d;
}

/* "H1 Title|P text|..." */
static void blocks_are(const struct doc *d, const char *want)
{
	static const char *const kinds[] = {"T", "H", "P", "L", "R", "C", "Q", "K"};
	struct buf b = {0};
	for (size_t i = 0; i < d->n_blocks; i++) {
		const struct doc_block *k = &d->blocks[i];
		buf_addf(&b, "%s", kinds[k->kind]);
		if (k->level)
			buf_addf(&b, "%u", k->level);
		buf_addf(&b, " %.*s|", (int)(k->to - k->from), d->text.p + k->from);
	}
	CHECK_STR(buf_str(&b), want);
	buf_free(&b);
}

static void parses_to(struct str bytes, const char *name, enum doc_type type, const char *want)
{
	struct doc *d = parse(bytes, name);
	CHECK_STR(str_c(doc_type_name(d->type)), doc_type_name(type));
	blocks_are(d, want);
	doc_free(d);
}

static void fails(struct str bytes, const char *name, enum err want, const char *says)
{
	struct doc *d;
	struct errtext et = {{0}};
	CHECK_ERR(doc_parse(bytes, name, NULL, &d, &et), want);
	if (str_find(str_c(et.msg), str_c(says)) == STR_NONE)
		FAIL("\"%s\" does not say \"%s\"", et.msg, says);
}

static void test_text_doc__plain_text(void)
{
	parses_to(S("Title\n=====\n\nOne line\nand its end.\n\n1.  First part\n\n   indented "
		    "para\n\n- a\n- b\n"),
		"a.txt", DOC_TEXT,
		"H1 Title|P One line and its end.|H1 1. First part|P indented para|L - a|L - b|");
	parses_to(S("well-\nknown and the line-\n    end"), "a.txt", DOC_TEXT,
		"P well-known and the line-end|");
	parses_to(S("one page ends here and the text goes on in the\nmiddle of this sentence "
		    "that\n\nPostel    [Page 1]\n\fRFC "
		    "1    May 1983\n\nis long."),
		"r.txt", DOC_TEXT,
		"P one page ends here and the text goes on in the middle of this sentence that|P "
		"is long.|");
	parses_to(S("int main(void)\n{\n\treturn 0;\n}\n"), "a.c", DOC_TEXT,
		"C int main(void)\n{\n\treturn 0;\n}|");
	parses_to(S("a\xCC\x81 e\xC2\xA0z\0soft\xC2\xADhyphen"), "a.txt", DOC_TEXT,
		"P á e zsofthyphen|");
}

static void test_text_doc__encodings(void)
{
	parses_to(S("\xEF\xBB\xBFGr\xC3\xBC\xC3\x9F"
		    "e"),
		"a.txt", DOC_TEXT, "P Grüße|");
	parses_to(S("\xFF\xFEG\0r\0\xFC\0\xDF\0e\0"), "a.txt", DOC_TEXT, "P Grüße|");
	parses_to(S("\xFE\xFF\0G\0r\0\xFC\0\xDF\0e"), "a.txt", DOC_TEXT, "P Grüße|");
	parses_to(S("H\0e\0l\0l\0o\0 \0y\0o\0u\0.\0"), "a.txt", DOC_TEXT, "P Hello you.|");
	parses_to(S("Die Stra\xDF"
		    "e f\xFCr Gr\xF6\xDF"
		    "ere L\xE4nder ist sch\xF6n und gr\xFCn."),
		"a.txt", DOC_TEXT, "P Die Straße für Größere Länder ist schön und grün.|");
	struct doc *d = parse(
		S("caf\xC3\xA9 \xC3\xA9t\xC3\xA9 na\xC3\xAFve \xFF end \xC3\xA9\xC3\xA9"), "a.txt");
	CHECK(str_find(d->warnings, S("not valid UTF-8")) != STR_NONE);
	doc_free(d);
	parses_to(S("<meta charset=windows-1251><p>\xCF\xF0\xE8\xE2\xE5\xF2"), "a.html", DOC_HTML,
		"P Привет|");
}

static void test_text_doc__html(void)
{
	struct doc *d = parse(S("<!DOCTYPE html><html><head><title>The  page</title><meta "
				"name=author content=Ann><script>no()</script></head>"
				"<body><nav>menu</nav><h1>Top</h1><p>One <b>bold</b>\n "
				"word.<h2>Sub</h2><ul><li>a<li>b <ul><li>c</ul></ul>"
				"<pre>x = 1\n  "
				"y</pre><blockquote><p>said</blockquote><table><caption>Cap</"
				"caption><tr><th>N<th>V"
				"<tr><td>a<td>1<tr><td rowspan=2>b<td>2<tr><td>3</table><p "
				"hidden>never</p><img alt='a duck'>"),
		"x.html");
	blocks_are(d, "H1 Top|P One bold word.|H2 Sub|L a|L b|L c|C x = 1\n  y|Q said|K Cap|R N: "
		      "a; V: 1|R N: b; V: 2|R N: b; V: 3|"
		      "K a duck|");
	CHECK_STR(d->title, "The page");
	CHECK_STR(d->author, "Ann");
	struct buf b = {0};
	doc_heading_path(d, 3, &b);
	CHECK_STR(buf_str(&b), "Top > Sub");
	buf_free(&b);
	doc_free(d);
	parses_to(S("<html><body><nav>only this</nav>"), "x.html", DOC_HTML, "P only this|");
	parses_to(S("<table><tr><td><h2>Layout</h2><p>text</td><td>more</table>"), "x.html",
		DOC_HTML, "H2 Layout|P text|P more|");
}

static void test_text_doc__markdown(void)
{
	struct doc *d = parse(S("---\ntitle: \"From matter\"\ndate: 2024-05-01\n---\n# A\n\ntext "
				"*with* [a link](http://x) "
				"and `code`\n\n> quote\n\n1. one\n2. two\n\n   more\n\n| h | k "
				"|\n|---|---|\n| 1 | 2 |\n\n```\ncode\n```\n"
				"<div><p>raw</p></div>\n"),
		"a.md");
	blocks_are(d, "H1 A|P text with a link and code|Q quote|L one|L two|L more|R h: 1; k: 2|C "
		      "code|P raw|");
	CHECK_STR(d->title, "From matter");
	CHECK_INT(d->created_ms, 1714521600000);
	doc_free(d);
}

static void test_text_doc__csv_and_json(void)
{
	parses_to(S("name;note\nAnn;\"a;b \"\"c\"\"\nd\"\nBob;\n"), "a.csv", DOC_CSV,
		"R name: Ann; note: a;b \"c\" d|R name: Bob|");
	parses_to(S("1,2\n3,4\n"), "a.csv", DOC_CSV, "R 1; 2|R 3; 4|");
	parses_to(S("a\tb\nx\ty\n"), "a.tsv", DOC_TSV, "R a: x; b: y|");
	parses_to(S("{\"a\": {\"b\": [1, 2], \"c\": \"text\"}, \"d\": null, \"e\": true}"),
		"a.json", DOC_JSON, "R a.b: 1, 2; a.c: text; e: true|");
	parses_to(S("[{\"q\": \"x\"}, {\"q\": \"y\"}]"), "a.json", DOC_JSON, "R q: x|R q: y|");
	parses_to(S("{\"q\": 1}\n\n{\"q\": [{\"z\": 2}]}\n"), "a.jsonl", DOC_JSONL,
		"R q: 1|R q[0].z: 2|");
	parses_to(S("{\"q\": 1}\n{\"q\": 2}\n"), "noname", DOC_JSONL, "R q: 1|R q: 2|");
	struct doc *d = parse(S("{\"q\": 1}\n{bad\n"), "a.jsonl");
	CHECK(str_find(d->warnings, S("line 2")) != STR_NONE);
	doc_free(d);
	fails(S("{\"q\": "), "a.json", ERR_CORRUPT, "not valid JSON");
}

static void test_text_doc__email(void)
{
	struct doc *d = parse(
		S("From: =?utf-8?Q?J=C3=BCrgen?= <j@example.org>\r\nTo: a@example.org\r\nSubject: "
		  "=?UTF-8?B?R3LDvMOfZQ==?= =?utf-8?q?_da?="
		  "\r\nDate: Tue, 1 Jul 2003 10:52:37 +0200\r\nMIME-Version: 1.0\r\nContent-Type: "
		  "multipart/mixed;\r\n boundary=\"b1\"\r\n\r\n"
		  "preamble\r\n--b1\r\nContent-Type: multipart/alternative; "
		  "boundary=b2\r\n\r\n--b2\r\nContent-Type: text/plain; "
		  "charset=iso-8859-1\r\nContent-Transfer-Encoding: "
		  "quoted-printable\r\n\r\nGr=FC=DFe und =\r\nmehr\r\n--b2\r\n"
		  "Content-Type: text/html\r\n\r\n<p>html</p>\r\n--b2--\r\n--b1\r\nContent-Type: "
		  "application/zip; "
		  "name=\"x.zip\"\r\nContent-Disposition: attachment\r\nContent-Transfer-Encoding: "
		  "base64\r\n\r\nUEsDBA==\r\n--b1--\r\n"),
		"m.eml");
	CHECK_STR(str_c(doc_type_name(d->type)), "email");
	blocks_are(d, "H1 Grüße da|P From: Jürgen <j@example.org>; To: a@example.org; Date: Tue, 1 "
		      "Jul 2003 10:52:37 "
		      "+0200|P Grüße und mehr|");
	CHECK_STR(d->title, "Grüße da");
	CHECK_INT(d->created_ms, 1057049557000);
	CHECK(str_find(d->warnings, S("x.zip")) != STR_NONE);
	doc_free(d);
	parses_to(S("From: a@b\nSubject: s\nContent-Type: text/html\n\n<h2>T</h2><p>x"), "m.eml",
		DOC_EMAIL, "H1 s|P From: a@b|H2 T|P x|");
	parses_to(S("From x Mon\nFrom: a@b\nSubject: 1\n\nx\n\nFrom y Tue\nFrom: c@d\nSubject: "
		    "2\n\ny\n"),
		"m.mbox", DOC_EMAIL, "H1 1|P From: a@b|P x|H1 2|P From: c@d|P y|");
}

/* --- archives made here
 * ---------------------------------------------------------------------------- */

struct member {
	const char *name, *content;
};

static struct str make_zip(const struct member *m, size_t n)
{
	zip_error_t ze;
	zip_source_t *src = zip_source_buffer_create(NULL, 0, 0, &ze);
	zip_t *z = zip_open_from_source(src, ZIP_TRUNCATE, &ze);
	CHECK(src && z);
	zip_source_keep(src);
	for (size_t i = 0; i < n; i++) {
		zip_source_t *s = zip_source_buffer(z, m[i].content, strlen(m[i].content), 0);
		zip_int64_t at = zip_file_add(z, m[i].name, s, 0);
		CHECK(at >= 0);
		if (!strcmp(m[i].name, "mimetype"))
			zip_set_file_compression(z, (zip_uint64_t)at, ZIP_CM_STORE, 0);
	}
	CHECK(zip_close(z) == 0);
	zip_stat_t st;
	CHECK(zip_source_stat(src, &st) == 0 && zip_source_open(src) == 0);
	char *p = malloc(st.size);
	CHECK(p && zip_source_read(src, p, st.size) == (zip_int64_t)st.size);
	zip_source_close(src);
	zip_source_free(src);
	return str_mk(p, st.size);
}

#define CONTAINER                                                                             \
	{                                                                                     \
		"META-INF/container.xml",                                                     \
			"<container "                                                         \
			"xmlns='urn:oasis:names:tc:opendocument:xmlns:container'><rootfiles>" \
			"<rootfile full-path='OPS/p.opf'/></rootfiles></container>"           \
	}
#define PACKAGE                                                                                    \
	{                                                                                          \
		"OPS/p.opf", "<package xmlns='http://www.idpf.org/2007/opf' "                      \
			     "xmlns:dc='http://purl.org/dc/elements/1.1/'>"                        \
			     "<metadata><dc:title>Book</dc:title><dc:creator>A. U. "               \
			     "Thor</dc:creator><dc:date>2020-02-03</dc:date>"                      \
			     "</metadata><manifest><item id='a' href='a%20b.xhtml'/><item id='c' " \
			     "href='c.xhtml'/></manifest>"                                         \
			     "<spine><itemref idref='c'/><itemref idref='a'/><itemref "            \
			     "idref='gone'/></spine></package>"                                    \
	}

static void test_text_doc__epub(void)
{
	static const struct member m[] = {{"mimetype", "application/epub+zip"}, CONTAINER, PACKAGE,
		{"OPS/a b.xhtml",
			"<?xml version='1.0'?><html><body><h1>Two</h1><p>second</p></body></html>"},
		{"OPS/c.xhtml", "<html><body><h1>One</h1><p>first</p></body></html>"}};
	struct str z = make_zip(m, ARRAY_LEN(m));
	struct doc *d = parse(z, "wrong.zip");
	CHECK_INT(d->type, DOC_EPUB);
	blocks_are(d, "H1 One|P first|H1 Two|P second|");
	CHECK_STR(d->title, "Book");
	CHECK_STR(d->author, "A. U. Thor");
	CHECK_INT(d->n_pages, 3);
	CHECK_INT(d->blocks[2].page, 2);
	CHECK(str_find(d->warnings, S("1 parts")) != STR_NONE);
	doc_free(d);
	free((char *)z.p);
	static const struct member locked[] = {{"mimetype", "application/epub+zip"}, CONTAINER,
		PACKAGE,
		{"META-INF/encryption.xml",
			"<encryption xmlns='urn:oasis:names:tc:opendocument:xmlns:container' "
			"xmlns:e='http://www.w3.org/2001/04/"
			"xmlenc#'><e:EncryptedData><e:EncryptionMethod "
			"Algorithm='http://www.w3.org/2001/04/xmlenc#aes128-cbc'/></"
			"e:EncryptedData></encryption>"}};
	z = make_zip(locked, ARRAY_LEN(locked));
	fails(z, "a.epub", ERR_FORBIDDEN, "encrypted");
	free((char *)z.p);
}

static void test_text_doc__xlsx_values(void)
{
	static const struct member m[] = {
		{"xl/workbook.xml",
			"<workbook "
			"xmlns='http://schemas.openxmlformats.org/spreadsheetml/2006/main' "
			"xmlns:q='http://schemas.openxmlformats.org/officeDocument/2006/"
			"relationships'><sheets>"
			"<sheet name='Data' sheetId='1' q:id='r1'/></sheets></workbook>"},
		{"xl/_rels/workbook.xml.rels",
			"<Relationships "
			"xmlns='http://schemas.openxmlformats.org/package/2006/relationships'>"
			"<Relationship Id='r1' Type='x/worksheet' "
			"Target='worksheets/s.xml'/><Relationship Id='r2' "
			"Type='x/sharedStrings' Target='/xl/ss.xml'/><Relationship Id='r3' "
			"Type='x/styles' Target='st.xml'/></Relationships>"},
		{"xl/ss.xml", "<sst "
			      "xmlns='http://schemas.openxmlformats.org/spreadsheetml/2006/"
			      "main'><si><t>When</t></si><si><r><t>How "
			      "</t></r><r><t>much</t></r><rPh><t>no</t></rPh></si></sst>"},
		{"xl/st.xml", "<styleSheet "
			      "xmlns='http://schemas.openxmlformats.org/spreadsheetml/2006/"
			      "main'><numFmts><numFmt numFmtId='170' "
			      "formatCode='yyyy\\-mm\\-dd hh:mm'/></numFmts><cellXfs><xf "
			      "numFmtId='0'/><xf numFmtId='14'/><xf numFmtId='170'/>"
			      "</cellXfs></styleSheet>"},
		{"xl/worksheets/s.xml",
			"<worksheet "
			"xmlns='http://schemas.openxmlformats.org/spreadsheetml/2006/"
			"main'><sheetData><row r='2'><c r='B2' t='s'>"
			"<v>0</v></c><c r='C2' t='s'><v>1</v></c><c r='D2' "
			"t='inlineStr'><is><t>ok</t></is></c></row><row r='3'><c r='B3' s='1'>"
			"<v>45292</v></c><c r='C3'><v>0.10000000000000001</v></c><c r='D3' "
			"t='b'><v>1</v></c></row><row r='4'><c r='B4' s='2'>"
			"<v>45292.5</v></c><c r='C4' "
			"t='str'><f>A1</f><v>sum</v></c></row></sheetData></worksheet>"},
	};
	struct str z = make_zip(m, ARRAY_LEN(m));
	struct doc *d = parse(z, "a.xlsx");
	blocks_are(d, "H1 Data|R When: 2024-01-01; How much: 0.1; ok: TRUE|R When: 2024-01-01 "
		      "12:00; How much: sum|");
	CHECK_INT(d->blocks[1].page, 1);
	doc_free(d);
	free((char *)z.p);
}

static void test_text_doc__bombs(void)
{
	char *big = malloc((64 << 20) + 1);
	CHECK(big);
	memset(big, ' ', 64 << 20);
	big[64 << 20] = 0;
	memcpy(big, "<a>", 3);
	struct member m[] = {{"word/document.xml", big}};
	struct str z = make_zip(m, 1);
	fails(z, "a.docx", ERR_LIMIT, "bomb");
	free((char *)z.p);
	struct doc *d;
	struct errtext et;
	struct member many[] = {{"word/document.xml", "<a/>"}, {"b", ""}, {"c", ""}};
	z = make_zip(many, 3);
	CHECK_ERR(
		doc_parse(z, "a.docx", &(struct doc_limits){.entries_max = 2}, &d, &et), ERR_LIMIT);
	free((char *)z.p);
	CHECK_ERR(doc_parse(S("abcdef"), "a.txt", &(struct doc_limits){.input_max = 5}, &d, &et),
		ERR_TOO_LARGE);
	CHECK_ERR(doc_parse(S("abc\n\ndef"), "a.txt", &(struct doc_limits){.text_max = 5}, &d, &et),
		ERR_TOO_LARGE);
	/* HTML: deep, wide, and what gumbo's formatting rules multiply */
	struct buf b = {0};
	for (int i = 0; i < 100000; i++)
		buf_addc(&b, "<div>");
	fails(buf_str(&b), "a.html", ERR_LIMIT, "nested");
	buf_clear(&b);
	buf_addc(&b, "<p");
	for (int i = 0; i < 100000; i++)
		buf_addf(&b, " a%d", i);
	buf_addc(&b, ">x");
	fails(buf_str(&b), "a.html", ERR_LIMIT, "attributes");
	buf_clear(&b);
	for (int i = 0; i < 400; i++)
		buf_addf(&b, "<b a=%d>", i);
	for (int i = 0; i < 50000; i++)
		buf_addc(&b, "<p>x");
	enum err e = doc_parse(buf_str(&b), "a.html", NULL, &d, &et);
	CHECK(e == ERR_LIMIT || !e);
	if (!e)
		doc_free(d);
	/* Markdown: nesting that costs cmark its square */
	buf_clear(&b);
	for (int i = 0; i < 50000; i++)
		buf_addc(&b, "> ");
	buf_addc(&b, "x");
	fails(buf_str(&b), "a.md", ERR_LIMIT, "nested");
	buf_free(&b);
	free(big);
}

static void test_text_doc__errors_say_what_to_do(void)
{
	fails(S(""), "a.txt", ERR_INVALID, "empty");
	fails(S(" \n\t "), "a.txt", ERR_INVALID, "no text");
	fails(S("\x1F\x8B\x08\0\0\0\0\0"), "a.pdf", ERR_UNSUPPORTED, "gzip");
	fails(S("\x89PNG\r\n\x1A\n\0\0\0\rIHDR"), "a.txt", ERR_UNSUPPORTED, "image");
	fails(S("\x80\x04\x95\0\0\0\0\0\0\0"), "a.json", ERR_UNSUPPORTED, "pickle");
	fails(S("\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1 "
		"E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0c\0k\0a\0g\0e\0"),
		"a.docx", ERR_UNSUPPORTED, "encrypted");
	fails(S("PK\3\4 and nothing else that is a ZIP file"), "a.docx", ERR_CORRUPT, "ZIP");
	fails(S("%PDF-1.7\nnothing"), "a.pdf", ERR_CORRUPT, "damaged");
	struct doc *d = parse(S("<!doctype html><title>t</title><p>not a PDF"), "a.pdf");
	CHECK_INT(d->type, DOC_HTML);
	CHECK(str_find(d->warnings, S("the name says pdf")) != STR_NONE);
	doc_free(d);
}

static void test_text_doc__pdf(void)
{
	struct doc *d = parse_file("docs/parse/pdf/sources/multi_page.pdf");
	CHECK_INT(d->n_pages, 5);
	CHECK_INT(d->created_ms, 1737727155000);
	bool found = false;
	for (size_t i = 0; i < d->n_blocks; i++) {
		struct str s = str_sub(d->text, d->blocks[i].from, d->blocks[i].to);
		if (str_starts(s, S("The Modern Era"))) {
			CHECK_INT(d->blocks[i].page, 2);
			CHECK_INT(d->blocks[i].kind, BLOCK_HEADING);
			found = true;
		}
	}
	CHECK(found);
	doc_free(d);
	d = parse_file("docs/parse/pdf/sources/code_and_formula.pdf");
	CHECK_STR(d->title, "JavaScript Code Example");
	CHECK_INT(d->blocks[0].kind, BLOCK_HEADING);
	CHECK_INT(d->blocks[d->n_blocks - 1].page, 2);
	doc_free(d);
}

/* A PDF with a password: the standard handler with keys that no empty password opens. */
static void test_text_doc__pdf_encrypted(void)
{
	struct buf b = {0};
	size_t at[6];
	buf_addc(&b, "%PDF-1.4\n");
	at[1] = b.n, buf_addc(&b, "1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n");
	at[2] = b.n, buf_addc(&b, "2 0 obj\n<</Type/Pages/Kids[3 0 R]/Count 1>>\nendobj\n");
	at[3] = b.n,
	buf_addc(&b, "3 0 obj\n<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]>>\nendobj\n");
	at[4] = b.n;
	buf_addc(&b, "4 0 obj\n<</Filter/Standard/V 1/R 2/P -4/O<");
	for (int i = 0; i < 32; i++)
		buf_addc(&b, "5A");
	buf_addc(&b, ">/U<");
	for (int i = 0; i < 32; i++)
		buf_addc(&b, "A5");
	buf_addc(&b, ">>>\nendobj\n");
	size_t xref = b.n;
	buf_addc(&b, "xref\n0 5\n0000000000 65535 f \n");
	for (int i = 1; i <= 4; i++)
		buf_addf(&b, "%010zu 00000 n \n", at[i]);
	buf_addf(&b,
		"trailer\n<</Size 5/Root 1 0 R/Encrypt 4 0 "
		"R/ID[<00><00>]>>\nstartxref\n%zu\n%%%%EOF\n",
		xref);
	fails(buf_str(&b), "a.pdf", ERR_FORBIDDEN, "encrypted");
	buf_free(&b);
}

static void test_text_doc__structure_of_real_files(void)
{
	struct doc *d = parse_file("docs/parse/docx/sources/unit_test_headers.docx");
	CHECK_INT(d->blocks[0].kind, BLOCK_TITLE);
	struct buf b = {0};
	bool found = false;
	for (size_t i = 0; i < d->n_blocks && !found; i++) {
		if (!str_eq_c(str_sub(d->text, d->blocks[i].from, d->blocks[i].to),
			    "Paragraph 1.2.3.1"))
			continue;
		doc_heading_path(d, i, &b);
		found = true;
	}
	CHECK_STR(buf_str(&b), "Section 1 > Section 1.2 > Section 1.2.3");
	buf_free(&b);
	doc_free(d);
	d = parse_file("docs/parse/pptx/sources/powerpoint_comments.pptx");
	CHECK_INT(d->n_pages, 3);
	CHECK_INT(d->blocks[d->n_blocks - 1].page, 3);
	doc_free(d);
	d = parse_file("docs/parse/xlsx/sources/xlsx_01.xlsx");
	CHECK_INT(d->n_pages, 4);
	CHECK_STR(str_sub(d->text, d->blocks[1].from, d->blocks[1].to),
		"first: 1; second: 5; third: 9");
	doc_free(d);
}

/* --- files made to hurt
 * ------------------------------------------------------------------------------- */

static long rss_kb(int who)
{
	struct rusage u;
	getrusage(who, &u);
	return u.ru_maxrss;
}

static enum err hostile(void *ctx, const char *path, enum err err, const char *reason)
{
	unsigned *n = ctx;
	static const char *const other[] = {"/gguf/", "/safetensors/", "/otlp/", "/http/"};
	for (size_t i = 0; i < ARRAY_LEN(other); i++)
		if (strstr(path, other[i]))
			return OK; /* other readers' */
	fflush(stdout);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		struct buf b = {0};
		struct errtext et = {{0}};
		struct doc *d;
		if (os_read_file(path, 0, &b, &et))
			_exit(3);
		long before = rss_kb(RUSAGE_SELF);
		/* computing time: the machine may be busy with other tests */
		setrlimit(RLIMIT_CPU, &(struct rlimit){SLOW * 5, SLOW * 5});
		alarm(60);
		enum err e = doc_parse(buf_str(&b), path, NULL, &d, &et);
		if (rss_kb(RUSAGE_SELF) - before > SLOW * 256 << 10 ||
			rss_kb(RUSAGE_CHILDREN) > 300 << 10)
			_exit(4);
		if (!e)
			check_promises(d);
		else if (strlen(et.msg) < 20 || e == ERR_INTERNAL || !utf8_valid(str_c(et.msg)))
			_exit(5);
		_exit(0);
	}
	int status;
	CHECK(waitpid(pid, &status, 0) == pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		FAIL("%s: %s %d", path, WIFEXITED(status) ? "exit" : "signal",
			WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	++*n;
	return OK;
}

static void test_text_doc__hostile_files(void)
{
	struct proc_result r;
	struct errtext et;
	unsigned n = 0;
	const char *argv[] = {
		"tar", "xJf", tap_shared("badinput/badinput.tar.xz"), "-C", tap_tmpdir(), NULL};
	CHECK_OK(proc_run(&(struct proc_spec){.argv = argv}, &r, &et), &et);
	CHECK_INT(r.exit_code, 0);
	proc_result_release(&r);
	CHECK_OK(os_walk(tap_tmpdir(), false, hostile, &n, &et), &et);
	tap_note("%u files", n);
	CHECK(n >= 50);
}

/* Every document there is, cut off and with bytes changed. */
static enum err damaged(void *ctx, const char *path, enum err err, const char *reason)
{
	unsigned *n = ctx;
	struct buf b = {0};
	struct doc *d;
	struct errtext et;
	if (err || strstr(path, "groundtruth") || os_file_size(path) > 400000 ||
		str_ends(str_c(path), S(".pdf")))
		return OK;
	CHECK_OK(os_read_file(path, 0, &b, &et), &et);
	uint32_t seed = (uint32_t)b.n * 2654435761u + 1;
	for (int round = 0; round < 6; round++) {
		struct buf c = {0};
		buf_adds(&c, buf_str(&b));
		for (int k = 0; k < 1 << round && c.n; k++) {
			seed = seed * 1664525 + 1013904223;
			c.p[seed % c.n] ^= (char)(1 << (seed >> 29));
		}
		if (round == 5)
			c.n = c.n * 2 / 3;
		if (!doc_parse(buf_str(&c), path, NULL, &d, &et)) {
			check_promises(d);
			doc_free(d);
		}
		buf_free(&c);
		++*n;
	}
	buf_free(&b);
	return OK;
}

static void test_text_doc__damaged_files(void)
{
	unsigned n = 0;
	struct errtext et;
	CHECK_OK(os_walk(tap_shared("docs/parse"), false, damaged, &n, &et), &et);
	tap_note("%u variants", n);
	CHECK(n > 300);
}

TESTS(T(test_text_doc__plain_text), T(test_text_doc__encodings), T(test_text_doc__html),
	T(test_text_doc__markdown), T(test_text_doc__csv_and_json), T(test_text_doc__email),
	T(test_text_doc__epub), T(test_text_doc__xlsx_values), T(test_text_doc__bombs),
	T(test_text_doc__errors_say_what_to_do), T(test_text_doc__pdf),
	T(test_text_doc__pdf_encrypted), T(test_text_doc__structure_of_real_files),
	T_LONG(test_text_doc__hostile_files, 300), T_LONG(test_text_doc__damaged_files, 300))
