/* DOCX, PPTX, XLSX, EPUB, OpenDocument. An input that starts with "PK" is the archive; of any
 * other the first byte says which kind of document the rest becomes the main part of, so that the
 * fuzzer works on the XML and not on checksums. */
#include "doc_fuzz.h"

#define REL "http://schemas.openxmlformats.org/officeDocument/2006/relationships"

static uint32_t crc(struct str s)
{
	uint32_t c = ~0u;
	for (size_t i = 0; i < s.n; i++) {
		c ^= (unsigned char)s.p[i];
		for (int k = 0; k < 8; k++)
			c = c >> 1 ^ (0xEDB88320u & (0u - (c & 1)));
	}
	return ~c;
}

static void le(struct buf *b, uint32_t v, int bytes)
{
	for (; bytes; bytes--, v >>= 8)
		buf_putc(b, (char)(v & 255));
}

static void add(struct buf *zip, struct buf *dir, const char *name, struct str s)
{
	uint32_t at = (uint32_t)zip->n, n = (uint32_t)strlen(name), sum = crc(s);
	for (int k = 0; k < 2; k++) {
		struct buf *b = k ? dir : zip;
		buf_add(b, k ? "PK\1\2\x14\0" : "PK\3\4", k ? 6 : 4);
		le(b, 20, 2), le(b, 0, 2), le(b, 0, 2), le(b, 0, 4);
		le(b, sum, 4), le(b, (uint32_t)s.n, 4), le(b, (uint32_t)s.n, 4);
		le(b, n, 2), le(b, 0, 2);
		if (k)
			le(b, 0, 2), le(b, 0, 2), le(b, 0, 2), le(b, 0, 4), le(b, at, 4);
		buf_addc(b, name);
	}
	buf_adds(zip, s);
}

struct member {
	const char *name, *content; /* NULL: the input */
};

static const struct member kinds[5][6] = {
	{{"word/document.xml", NULL},
		{"word/styles.xml", "<w:styles xmlns:w='x/wordprocessingml'><w:style "
				    "w:styleId='H'><w:name w:val='heading 1'/>"
				    "</w:style></w:styles>"}},
	{{"ppt/presentation.xml", "<p:p xmlns:p='x/presentationml' xmlns:r='" REL
				  "'><p:sldId id='1' r:id='a'/></p:p>"},
		{"ppt/_rels/presentation.xml.rels",
			"<R xmlns='x/package/2006/relationships'><Relationship Id='a' "
			"Type='t/slide' Target='s.xml'/></R>"},
		{"ppt/s.xml", NULL}},
	{{"xl/workbook.xml",
		 "<w xmlns='x/spreadsheetml' xmlns:r='" REL "'><sheet name='S' r:id='a'/></w>"},
		{"xl/_rels/workbook.xml.rels",
			"<R xmlns='x/package/2006/relationships'><Relationship Id='a' "
			"Type='t/worksheet' Target='s.xml'/>"
			"<Relationship Id='b' Type='t/sharedStrings' Target='s.xml'/><Relationship "
			"Id='c' Type='t/styles' "
			"Target='s.xml'/></R>"},
		{"xl/s.xml", NULL}},
	{{"META-INF/container.xml",
		 "<c xmlns='x:xmlns:container'><rootfile full-path='p.opf'/></c>"},
		{"p.opf", "<p xmlns='http://www.idpf.org/2007/opf'><item id='a' "
			  "href='a.html'/><itemref idref='a'/></p>"},
		{"a.html", NULL}},
	{{"mimetype", "application/vnd.oasis.opendocument.text"}, {"content.xml", NULL},
		{"meta.xml", NULL}},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"a.docx", "a.pptx", "a.xlsx", "a.epub", "a.odt"};
	struct str s = str_mk(data, size);
	if (size < 2)
		return 0;
	if (str_starts(s, S("PK"))) {
		fuzz_doc(s, "a.docx");
		return 0;
	}
	size_t kind = data[0] % 5, n = 0;
	struct buf zip = {0}, dir = {0};
	for (const struct member *m = kinds[kind]; n < 6 && m->name; m++, n++)
		add(&zip, &dir, m->name, m->content ? str_c(m->content) : str_sub(s, 1, s.n));
	uint32_t at = (uint32_t)zip.n;
	buf_adds(&zip, buf_str(&dir));
	buf_add(&zip, "PK\5\6\0\0\0\0", 8);
	le(&zip, (uint32_t)n, 2), le(&zip, (uint32_t)n, 2), le(&zip, (uint32_t)dir.n, 4),
		le(&zip, at, 4);
	le(&zip, 0, 2);
	fuzz_doc(buf_str(&zip), names[kind]);
	buf_free(&zip);
	buf_free(&dir);
	return 0;
}
