/* Real documents against the text that docling's maintainers expect of them (shared data): of the
 * expected words, how many are there (recall, as multisets); of ours, how many are expected at all
 * (precision; table rows repeat their header's words, so counts say nothing there). */
#include "tap.h"
#include "base/map.h"
#include "base/os.h"
#include "text/doc.h"
#include "text/unicode.h"

#include <stdio.h>
#include <stdlib.h>

struct count {
	unsigned expected, got;
};

struct words {
	struct map *m;
	struct str s;
	bool expected;
	struct buf folded;
};

static bool count_word(void *ctx, uint32_t from, uint32_t to)
{
	struct words *w = ctx;
	buf_clear(&w->folded);
	CHECK_INT(unicode_nfkc_casefold(str_sub(w->s, from, to), &w->folded), OK);
	struct count *c = map_get(w->m, buf_str(&w->folded));
	if (!c) {
		c = calloc(1, sizeof *c);
		CHECK(c && map_put(w->m, buf_str(&w->folded), c));
	}
	*(w->expected ? &c->expected : &c->got) += 1;
	return true;
}

static void replace_all(struct buf *b, const char *what, const char *by)
{
	struct buf out = {0};
	struct str s = buf_str(b);
	for (size_t at; (at = str_find(s, str_c(what))) != STR_NONE;) {
		buf_adds(&out, str_sub(s, 0, at));
		buf_addc(&out, by);
		s = str_sub(s, at + strlen(what), s.n);
	}
	buf_adds(&out, s);
	buf_free(b);
	*b = out;
}

/* The words of Markdown: without link targets, escapes, entities, list numbers and placeholders. */
static void strip_markdown(struct buf *b)
{
	struct buf out = {0};
	replace_all(b, "<!-- image -->", "");
	replace_all(b, "<!-- formula-not-decoded -->", "");
	replace_all(b, "&amp;", "&");
	replace_all(b, "&lt;", "<");
	replace_all(b, "&gt;", ">");
	replace_all(b, "\\_", "_");
	for (;;) {
		size_t at = str_find(buf_str(b), S("]("));
		if (at == STR_NONE)
			break;
		size_t end = at;
		while (end < b->n && b->p[end] != ')' && b->p[end] != '\n')
			end++;
		memset(b->p + at, ' ', end - at + (end < b->n && b->p[end] == ')'));
	}
	struct str rest = buf_str(b), line;
	while (str_next_line(&rest, &line)) {
		struct str s = str_trim(line);
		size_t i = 0;
		while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9')
			i++;
		if (i && i + 1 < s.n && s.p[i] == '.' && s.p[i + 1] == ' ')
			s = str_sub(s, i + 2, s.n);
		buf_adds(&out, s);
		buf_putc(&out, '\n');
	}
	buf_free(b);
	*b = out;
}

struct file {
	const char *source, *expected;
	double recall, precision;
	const char *why; /* it asks for less than the format's bounds */
};

static void measure(const struct file *f, double recall_min, double precision_min)
{
	char path[256];
	struct buf bytes = {0}, want = {0};
	struct errtext et;
	struct doc *d;
	struct map m = {0};
	snprintf(path, sizeof path, "docs/parse/%s", f->expected);
	CHECK_OK(os_read_file(tap_shared(path), 0, &want, &et), &et);
	snprintf(path, sizeof path, "docs/parse/%s", f->source);
	CHECK_OK(os_read_file(tap_shared(path), 0, &bytes, &et), &et);
	CHECK_OK(doc_parse(buf_str(&bytes), path, NULL, &d, &et), &et);
	strip_markdown(&want);
	struct words w = {.m = &m, .s = buf_str(&want), .expected = true};
	CHECK_INT(unicode_words(w.s, count_word, &w), OK);
	w.s = d->text;
	w.expected = false;
	CHECK_INT(unicode_words(w.s, count_word, &w), OK);
	double expected = 0, found = 0, got = 0, known = 0;
	struct str key;
	void *v;
	struct buf missing = {0};
	for (size_t i = 0; map_next(&m, &i, &key, &v);) {
		struct count *c = v;
		expected += c->expected;
		found += MIN(c->expected, c->got);
		got += c->got;
		known += c->expected ? c->got : 0;
		if (c->expected > c->got && missing.n < 200)
			buf_addf(&missing, " %.*s", STR_FMT(key));
		if (!c->expected && missing.n < 200)
			buf_addf(&missing, " +%.*s", STR_FMT(key));
		free(c);
	}
	double recall = expected ? found / expected : 1, precision = got ? known / got : 1;
	if (f->recall > 0)
		recall_min = f->recall;
	if (f->precision > 0)
		precision_min = f->precision;
	tap_note("%-52s recall %.3f precision %.3f%s%s%s", f->source, recall, precision,
		recall < 0.97 || precision < 0.9 ? ":" : "",
		recall < 0.97 || precision < 0.9 ? buf_c(&missing) : "", f->why ? f->why : "");
	if (!getenv("ORACLE_SHOW") && (recall < recall_min || precision < precision_min))
		FAIL("%s: recall %.3f (at least %.2f), precision %.3f (at least %.2f)", f->source,
			recall, recall_min, precision, precision_min);
	map_free(&m);
	buf_free(&w.folded);
	buf_free(&missing);
	buf_free(&bytes);
	buf_free(&want);
	doc_free(d);
}

#define ALL(files, recall, precision)                    \
	for (size_t i_ = 0; i_ < ARRAY_LEN(files); i_++) \
	measure(&files[i_], recall, precision)
#define F(dir, name, ...)                                                         \
	{                                                                         \
		dir "/sources/" name, dir "/groundtruth/" name ".md", __VA_ARGS__ \
	}

static void test_text_doc_oracle__docx(void)
{
	static const struct file files[] = {
		F("docx", "word_tables.docx", 0.85, 0,
			" (the expectation repeats a merged cell's text in each column)"),
		F("docx", "content_control_with_picture.docx"), F("docx", "unit_test_headers.docx"),
		F("docx", "drawingml.docx", 0.25, 0, " (charts are left out, and told)"),
		F("docx", "Strict.docx"), F("docx", "word_sample.docx"),
		F("docx", "docx_lists.docx"),
		F("docx", "docx_checkboxes.docx", 0.85, 0, " (☒ stays a sign, expected is [x])"),
		F("docx", "tablecell.docx"),
		F("docx", "list_after_num_headers.docx", 0.95, 0, " (computed heading numbers)"),
		F("docx", "unit_test_formatting.docx"), F("docx", "Transitional.docx"),
		F("docx", "word_image_anchors.docx"),
		F("docx", "docx_list_blank_spacer.docx", 0.9, 0, " (computed list numbers)"),
		F("docx", "omml_text_escapes_in_math.docx"),
		F("docx", "omml_multi_equation_paragraph.docx"),
		F("docx", "equations.docx", 0.8, 0, " (formulas as plain text, expected is LaTeX)"),
		F("docx", "table_with_equations.docx", 0.75, 0.85,
			" (formulas as plain text, expected is LaTeX)")};
	ALL(files, 0.97, 0.9);
}

static void test_text_doc_oracle__html(void)
{
	static const struct file files[] = {
		F("html", "hyperlink_02.html", 0, 0.25, " (we keep an image's alt text)"),
		F("html", "html_nested_block_in_list_item.html"), F("html", "unit_test_01.html"),
		F("html", "html_rich_table_cells.html", 0.95, 0,
			" (H2O is one word; list numbers)"),
		F("html", "example_07.html"), F("html", "html_inline_group_in_table_cell.html"),
		F("html", "hyperlink_05.html"), F("html", "hyperlink_03.html"),
		F("html", "table_05.html"), F("html", "html_code_snippets.html"),
		F("html", "table_with_heading_01.html"),
		F("html", "formatting.html", 0.9, 0, " (x2 with a raised 2 is one word)"),
		F("html", "table_with_heading_02.html"), F("html", "table_02.html"),
		F("html", "hyperlink_04.html")};
	ALL(files, 0.97, 0.9);
}

static void test_text_doc_oracle__pptx(void)
{
	static const struct file files[] = {F("pptx", "powerpoint_comments.pptx", 0.7, 0,
						    " (comments without their author and time)"),
		F("pptx", "powerpoint_with_image.pptx"),
		F("pptx", "powerpoint_unrecognized_shape.pptx"),
		F("pptx", "powerpoint_issue_2663.pptx")};
	ALL(files, 0.97, 0.9);
}

static void test_text_doc_oracle__xlsx(void)
{
	static const struct file files[] = {
		F("xlsx", "xlsx_01.xlsx", 0.75, 0,
			" (charts repeat their cells in the expectation)"),
		F("xlsx", "xlsx_07_gap_tolerance_.xlsx", 0.8, 0,
			" (merged cells are repeated in the expectation)")};
	ALL(files, 0.97, 0.9);
}

static void test_text_doc_oracle__csv(void)
{
	static const struct file files[] = {F("csv", "csv-comma.csv"),
		F("csv", "csv-semicolon.csv"), F("csv", "csv-tab.csv"),
		F("csv", "csv-comma-in-cell.csv"), F("csv", "csv-too-few-columns.csv"),
		F("csv", "csv-too-many-columns.csv")};
	ALL(files, 0.97, 0.97);
}

static void test_text_doc_oracle__markdown(void)
{
	static const struct file files[] = {F("md", "wiki.md"), F("md", "blocks.md"),
		F("md", "mixed_without_h1.md"), F("md", "inline_and_formatting.md"),
		F("md", "ending_with_table.md"),
		F("md", "signature_stamp_01.md", 0, 0.8, " (alt text of images)"),
		F("md", "nested.md")};
	ALL(files, 0.97, 0.9);
}

static void test_text_doc_oracle__odf(void)
{
	static const struct file files[] = {F("odf", "text_document_02.odt", 0.6, 0,
						    " (an embedded chart's numbers, merged cells)"),
		F("odf", "text_document_03.odt"), F("odf", "odf_table_with_title_01.ods"),
		F("odf", "odf_presentation_01.odp", 0, 0.85, " (we keep the notes)")};
	ALL(files, 0.97, 0.9);
}

static void test_text_doc_oracle__pdf(void)
{
	static const struct file files[] = {
		{"pdf/sources/multi_page.pdf", "pdf/groundtruth/multi_page.md", 0, 0, NULL},
		{"pdf/sources/code_and_formula.pdf", "pdf/groundtruth/code_and_formula.md", 0, 0,
			NULL},
		{"pdf/sources/picture_classification.pdf",
			"pdf/groundtruth/picture_classification.md", 0, 0, NULL},
		{"pdf/sources/amt_handbook_sample.pdf", "pdf/groundtruth/amt_handbook_sample.md", 0,
			0, NULL},
		{"pdf/sources/table_mislabeled_as_picture.pdf",
			"pdf/groundtruth/table_mislabeled_as_picture.md", 0, 0, NULL},
		{"pdf/sources/right_to_left_03.pdf", "pdf/groundtruth/right_to_left_03.md", 0.92,
			0.85, " (poppler takes the ligature lam-alef apart the wrong way round)"},
	};
	ALL(files, 0.97, 0.9);
}

TESTS(T(test_text_doc_oracle__docx), T(test_text_doc_oracle__html), T(test_text_doc_oracle__pptx),
	T(test_text_doc_oracle__xlsx), T(test_text_doc_oracle__csv),
	T(test_text_doc_oracle__markdown), T(test_text_doc_oracle__odf),
	T(test_text_doc_oracle__pdf))
