/* Filters from the words of a question: a type ("in the spreadsheets"), a tag ("legal documents",
 * "#legal"), an attribute ("region: north", "Acme invoices"), dates (derive_dates.c).
 *
 * No model is asked. A value is taken only when a document of the collection has it, and only where
 * the question speaks of documents: beside a word such as "reports", beside the name of its field,
 * or as a name, spelt as the documents spell it. "What happened in 1969?" is no filter, "reports
 * from 1969" is one. The words are English, German, Spanish and Chinese; types, tags, fields and
 * values are in whatever language the documents have. */
#include "rag/derive_int.h"

#include "base/clock.h"
#include "base/map.h"

#include <stdio.h>
#include <stdlib.h>

enum { VALUES_MAX = 4096 };

struct deriving {
	struct stage *x;
	struct qwords q;
	struct rag_derived out;
	size_t n_types, n_tags; /* that the question names; with two, one cannot be meant */
	struct map seen;        /* what was looked at: values repeat from document to document */
};

/* ---- the question ---- */

/* How many words of the question, from `at` on, a value is; 0: it does not stand there. */
static size_t stands_at(const struct qwords *d, size_t at, struct str value, bool exactly)
{
	struct str rest = value, part;
	size_t n = 0;
	while (str_next(&rest, ' ', &part)) {
		if (!part.n)
			continue;
		if (at + n >= d->n)
			return 0;
		struct str w = d->w[at + n].text;
		if (exactly ? !str_eq(w, part) : !str_eq_nocase(w, part))
			return 0;
		n++;
	}
	return n;
}

static bool is_name(struct str value)
{
	unsigned char c = value.n ? (unsigned char)value.p[0] : 0;
	return value.n >= 3 && ((c >= 'A' && c <= 'Z') || c >= 0x80);
}

/* In Chinese a value stands right before the noun, or 的 does between them. */
static struct str hanzi_asks_for(struct str q, struct str value)
{
	size_t at = value.n && (unsigned char)value.p[0] >= 0x80 ? str_find(q, value) : STR_NONE;
	if (at == STR_NONE)
		return S("");
	struct str behind = str_sub(q, at + value.n, q.n);
	if (str_starts(behind, S("的")))
		behind = str_sub(behind, strlen("的"), behind.n);
	return hanzi_noun(behind, 0) == 0 ? value : S("");
}

/* The words by which the question asks for documents with this value of the field; "": it does
 * not. */
static struct str asks_for(const struct qwords *d, struct str field, struct str value)
{
	for (size_t i = 0; i < d->n; i++) {
		size_t n = stands_at(d, i, value, false);
		if (!n)
			continue;
		if (d->w[i].tagged)
			return qwords_text(d, i, n);
		if (i + n < d->n && d->w[i + n].noun)
			return qwords_text(d, i, n + 1);
		if (i && qword_is(d, i - 1, field))
			return qwords_text(d, i - 1, n + 1);
		if (qword_is(d, i + n, field))
			return qwords_text(d, i, n + 1);
		if (i > 1 && qword_is(d, i - 2, field) && word_in(d->w[i - 1].text, "is ist es"))
			return qwords_text(d, i - 2, n + 2);
		/* the first word of a sentence is spelt so whatever it is */
		if (i && is_name(value) && stands_at(d, i, value, true))
			return qwords_text(d, i, n);
	}
	return hanzi_asks_for(d->question, value);
}

/* ---- what documents have ---- */

static bool is_new(struct deriving *d, struct str field, struct str value)
{
	struct buf key = {0};
	buf_adds(&key, field);
	buf_putc(&key, 0);
	buf_adds(&key, value);
	bool fresh = !key.err && d->seen.n < VALUES_MAX && !map_get(&d->seen, buf_str(&key)) &&
		     map_put(&d->seen, buf_str(&key), d);
	buf_free(&key);
	return fresh;
}

static const struct {
	const char *type, *words, *hanzi;
} type_words[] = {{"pdf", "pdf pdfs", ""}, {"docx", "docx word", ""},
	{"pptx",
		"pptx powerpoint slides slide presentation presentations folien präsentation "
		"präsentationen diapositivas presentación presentaciones",
		"幻灯片 演示文稿"},
	{"xlsx", "xlsx excel spreadsheet spreadsheets workbook tabellenkalkulation", "电子表格"},
	{"email", "email emails e-mail e-mails mail mails eml correo correos", "邮件 电邮"},
	{"html", "html webpage webpages webseite webseiten", "网页"}, {"markdown", "markdown", ""},
	{"csv", "csv", ""}, {"epub", "epub ebook ebooks e-book e-books", "电子书"},
	{"json", "json", ""}, {"odf", "opendocument odt ods odp", ""}, {"text", "txt", ""}};

/* The words that name the type; "": none do. */
static struct str says_type(const struct qwords *d, struct str type)
{
	size_t t = 0;
	while (t < ARRAY_LEN(type_words) && !str_eq_c(type, type_words[t].type))
		t++;
	if (t == ARRAY_LEN(type_words))
		return S("");
	for (size_t i = 0; i < d->n; i++) {
		bool weak = word_in(d->w[i].text, "word excel powerpoint json");
		if (word_in(d->w[i].text, type_words[t].words) &&
			(!weak || (i + 1 < d->n && d->w[i + 1].noun)))
			return d->w[i].text;
	}
	struct str rest = str_c(type_words[t].hanzi), word;
	while (str_next(&rest, ' ', &word))
		if (word.n && str_find(d->question, word) != STR_NONE)
			return word;
	return S("");
}

static void take_attribute(struct deriving *d, struct str key, struct str value)
{
	struct rag_derived *f = &d->out;
	struct str words = is_new(d, key, value) ? asks_for(&d->q, key, value) : S("");
	if (!words.n)
		return;
	for (size_t i = 0; i < f->n_attributes; i++)
		if (str_eq(f->attributes[i].key, key)) {
			/* "the north and the south": one value cannot be meant */
			f->attributes[i].value = (struct str){0};
			return;
		}
	if (f->n_attributes == ARRAY_LEN(f->attributes))
		return;
	struct rag_attribute a = {
		arena_str(d->x->a, key), arena_str(d->x->a, value), arena_str(d->x->a, words)};
	if (a.key.p && a.value.p && a.words.p)
		f->attributes[f->n_attributes++] = a;
}

static void look_at_attributes(struct deriving *d, struct str json)
{
	yyjson_doc *doc = NULL;
	yyjson_val *k, *v;
	size_t i, n;
	if (!json.n || !is_new(d, S(""), json) || json_parse(json, &doc, NULL))
		return;
	yyjson_val *o = yyjson_doc_get_root(doc);
	yyjson_obj_foreach(o, i, n, k, v) if (yyjson_is_str(v))
		take_attribute(d, json_val_str(k), json_val_str(v));
	yyjson_doc_free(doc);
}

static void look_at_type(struct deriving *d, struct str type)
{
	struct str words = is_new(d, S("type"), type) ? says_type(&d->q, type) : S("");
	if (!words.n || d->n_types++)
		return;
	d->out.type = arena_str(d->x->a, type);
	d->out.type_words = arena_str(d->x->a, words);
}

static void look_at_tag(struct deriving *d, struct str tag)
{
	if (!tag.n || !is_new(d, S("tag"), tag))
		return;
	struct str words = asks_for(&d->q, S("tag"), tag);
	if (!words.n)
		words = asks_for(&d->q, S("tagged"), tag);
	if (!words.n || d->n_tags++)
		return;
	d->out.tag = arena_str(d->x->a, tag);
	d->out.tag_words = arena_str(d->x->a, words);
}

static void look_at(struct deriving *d, const struct index_doc *doc)
{
	struct str rest = str_c(doc->tags), tag;
	look_at_type(d, str_c(doc->type));
	while (str_next(&rest, ',', &tag))
		look_at_tag(d, str_trim(tag));
	look_at_attributes(d, str_c(doc->attributes));
}

/* ---- dates ---- */

/* Times before 1970 are open ends to a filter. */
static void look_at_dates(struct deriving *d)
{
	struct dates got;
	if (!qwords_dates(&d->q, clock_unix_ms(), &got))
		return;
	d->out.from_ms = got.from;
	d->out.to_ms = got.to;
	if (got.from)
		d->out.from_words = arena_str(d->x->a, got.words);
	if (got.to)
		d->out.to_words = arena_str(d->x->a, got.words);
}

/* ---- the whole ---- */

static void settle(struct deriving *d)
{
	struct rag_derived *f = &d->out;
	size_t n = 0;
	if (d->n_types > 1)
		f->type = (struct str){0};
	if (d->n_tags > 1)
		f->tag = (struct str){0};
	for (size_t i = 0; i < f->n_attributes; i++)
		if (f->attributes[i].value.n)
			f->attributes[n++] = f->attributes[i];
	f->n_attributes = n;
	f->any = f->type.n || f->tag.n || f->from_ms || f->to_ms || n;
}

enum err stage_derive(struct stage *x, bool (*in)(void *ctx, const struct index_doc *d), void *ctx)
{
	struct deriving *d = arena_new_of(x->a, struct deriving);
	if (!d)
		return err_set(x->et, ERR_NOMEM, "no memory to derive filters");
	*d = (struct deriving){.x = x, .out.by = "rules"};
	qwords_read(&d->q, x->q->text);
	look_at_dates(d);
	for (size_t i = 0; i < x->r->n_docs; i++)
		if (x->r->docs[i].live && in(ctx, &x->r->docs[i]))
			look_at(d, &x->r->docs[i]);
	map_free(&d->seen);
	settle(d);
	x->trail->derived = d->out;
	return OK;
}

/* A text, a number or a boolean; "" for anything else. */
struct str attribute_text(yyjson_val *v, char number[32])
{
	if (yyjson_is_str(v))
		return json_val_str(v);
	if (yyjson_is_bool(v))
		return yyjson_get_bool(v) ? S("true") : S("false");
	if (!yyjson_is_num(v))
		return S("");
	snprintf(number, 32, "%.15g", yyjson_get_num(v));
	return str_c(number);
}

static bool has_attributes(const struct rag_derived *f, struct str json)
{
	yyjson_doc *doc = NULL;
	if (!f->n_attributes)
		return true;
	if (!json.n || json_parse(json, &doc, NULL))
		return false;
	bool has = true;
	for (size_t i = 0; i < f->n_attributes && has; i++) {
		char number[32];
		yyjson_val *v = yyjson_obj_getn(
			yyjson_doc_get_root(doc), f->attributes[i].key.p, f->attributes[i].key.n);
		has = str_eq(attribute_text(v, number), f->attributes[i].value);
	}
	yyjson_doc_free(doc);
	return has;
}

bool derived_keeps(const struct rag_derived *f, const struct index_doc *d)
{
	if (f->type.n && !str_eq_c(f->type, d->type))
		return false;
	if (f->tag.n && !doc_has_tag(d->tags, f->tag))
		return false;
	if (f->from_ms && d->date_ms < f->from_ms)
		return false;
	if (f->to_ms && d->date_ms > f->to_ms)
		return false;
	return has_attributes(f, str_c(d->attributes));
}
