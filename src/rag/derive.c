/* Filters from the words of a question: a type ("in the spreadsheets"), a tag ("legal documents",
 * "#legal"), an attribute ("region: north", "Acme invoices"), dates ("written since March 2024").
 *
 * No model is asked. A value is taken only when a document of the collection has it, and only where
 * the question speaks of documents: beside a word such as "reports", beside the name of its field,
 * or as a name, spelt as the documents spell it. "What happened in 1969?" is no filter, "reports
 * from 1969" is one. Words are English; types, tags, fields and values are in whatever language the
 * documents have. */
#include "rag/stages.h"

#include "base/clock.h"
#include "base/map.h"

#include <stdlib.h>
#include <time.h>

enum { WORDS_MAX = 256, VALUES_MAX = 4096, NEAR = 4 };

struct word {
	struct str text; /* as it stands */
	bool noun;       /* speaks of documents */
	bool tagged;     /* "#legal" */
};

struct deriving {
	struct stage *x;
	struct word words[WORDS_MAX];
	size_t n;
	struct rag_derived out;
	size_t n_types, n_tags; /* that the question names; with two, one cannot be meant */
	struct map seen;        /* what was looked at: values repeat from document to document */
	int64_t now_ms;
};

/* ---- the question ---- */

static bool is_in(struct str s, const char *list)
{
	struct str rest = str_c(list), one;
	while (str_next(&rest, ' ', &one))
		if (str_eq_nocase(s, one))
			return true;
	return false;
}

static bool is_noun(struct str s)
{
	return is_in(s, "document documents doc docs file files report reports paper papers page "
			"pages "
			"note notes article articles letter letters memo memos minutes contract "
			"contracts invoice invoices email emails e-mail e-mails mail mails message "
			"messages slides presentation presentations spreadsheet spreadsheets sheet "
			"sheets book books table tables transcript transcripts text texts pdf "
			"pdfs") ||
	       is_in(s, "written published dated sent created added uploaded updated issued "
			"received");
}

static bool in_word(unsigned char c)
{
	return c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z') || c == '-' || c == '_' || c == '.' || c == '/' || c == '&';
}

static void read_words(struct deriving *d, struct str q)
{
	size_t i = 0;
	while (i < q.n && d->n < WORDS_MAX) {
		while (i < q.n && !in_word((unsigned char)q.p[i]))
			i++;
		size_t from = i;
		while (i < q.n && in_word((unsigned char)q.p[i]))
			i++;
		struct str w = str_sub(q, from, i);
		while (w.n && strchr(".-/&", w.p[w.n - 1]))
			w.n--;
		if (w.n)
			d->words[d->n++] =
				(struct word){w, is_noun(w), from && q.p[from - 1] == '#'};
	}
}

/* How many words of the question, from `at` on, a value is; 0: it does not stand there. */
static size_t stands_at(const struct deriving *d, size_t at, struct str value, bool exactly)
{
	struct str rest = value, part;
	size_t n = 0;
	while (str_next(&rest, ' ', &part)) {
		if (!part.n)
			continue;
		if (at + n >= d->n)
			return 0;
		struct str w = d->words[at + n].text;
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

static bool word_is(const struct deriving *d, size_t at, struct str text)
{
	return at < d->n && str_eq_nocase(d->words[at].text, text);
}

/* Does the question ask for documents with this value of the field? */
static bool asks_for(const struct deriving *d, struct str field, struct str value)
{
	for (size_t i = 0; i < d->n; i++) {
		size_t n = stands_at(d, i, value, false);
		if (!n)
			continue;
		if (d->words[i].tagged || (i + n < d->n && d->words[i + n].noun))
			return true;
		if ((i && word_is(d, i - 1, field)) || word_is(d, i + n, field) ||
			(i > 1 && word_is(d, i - 2, field) && word_is(d, i - 1, S("is"))))
			return true;
		/* the first word of a sentence is spelt so whatever it is */
		if (i && is_name(value) && stands_at(d, i, value, true))
			return true;
	}
	return false;
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
	const char *type, *words;
} type_words[] = {{"pdf", "pdf pdfs"}, {"docx", "docx word"},
	{"pptx", "pptx powerpoint slides slide presentation presentations"},
	{"xlsx", "xlsx excel spreadsheet spreadsheets workbook"},
	{"email", "email emails e-mail e-mails mail mails eml"}, {"html", "html webpage webpages"},
	{"markdown", "markdown"}, {"csv", "csv"}, {"epub", "epub ebook ebooks e-book e-books"},
	{"json", "json"}, {"odf", "opendocument odt ods odp"}, {"text", "txt"}};

static bool says_type(const struct deriving *d, struct str type)
{
	for (size_t t = 0; t < ARRAY_LEN(type_words); t++) {
		if (!str_eq_c(type, type_words[t].type))
			continue;
		for (size_t i = 0; i < d->n; i++) {
			bool weak = is_in(d->words[i].text, "word excel powerpoint json");
			if (is_in(d->words[i].text, type_words[t].words) &&
				(!weak || (i + 1 < d->n && d->words[i + 1].noun)))
				return true;
		}
	}
	return false;
}

static void take_attribute(struct deriving *d, struct str key, struct str value)
{
	struct rag_derived *f = &d->out;
	if (!is_new(d, key, value) || !asks_for(d, key, value))
		return;
	for (size_t i = 0; i < f->n_attributes; i++)
		if (str_eq(f->attributes[i].key, key)) {
			/* "the north and the south": one value cannot be meant */
			f->attributes[i].value = (struct str){0};
			return;
		}
	if (f->n_attributes == ARRAY_LEN(f->attributes))
		return;
	struct rag_attribute a = {arena_str(d->x->a, key), arena_str(d->x->a, value)};
	if (a.key.p && a.value.p)
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

static void look_at(struct deriving *d, const struct index_doc *doc)
{
	struct str rest = str_c(doc->tags), tag;
	if (is_new(d, S("type"), str_c(doc->type)) && says_type(d, str_c(doc->type)) &&
		!d->n_types++)
		d->out.type = arena_str(d->x->a, str_c(doc->type));
	while (str_next(&rest, ',', &tag)) {
		tag = str_trim(tag);
		if (tag.n && is_new(d, S("tag"), tag) &&
			(asks_for(d, S("tag"), tag) || asks_for(d, S("tagged"), tag)) &&
			!d->n_tags++)
			d->out.tag = arena_str(d->x->a, tag);
	}
	look_at_attributes(d, str_c(doc->attributes));
}

/* ---- dates ---- */

struct span_ms {
	int64_t from, to; /* the first millisecond, and the last */
};

static int64_t day_ms(int year, int month, int day)
{
	struct tm t = {.tm_year = year - 1900, .tm_mon = month, .tm_mday = day};
	return (int64_t)timegm(&t) * 1000;
}

static int month_of(struct str s)
{
	static const char *const names[] = {"january", "february", "march", "april", "may", "june",
		"july", "august", "september", "october", "november", "december"};
	for (int i = 0; i < 12; i++)
		if (str_eq_nocase(s, str_c(names[i])) ||
			(s.n == 3 && str_eq_nocase(s, str_sub(str_c(names[i]), 0, 3))))
			return i;
	return -1;
}

static bool year_of(struct str s, int *year)
{
	int64_t v;
	if (s.n != 4 || !str_i64(s, &v) || v < 1500 || v > 2200)
		return false;
	*year = (int)v;
	return true;
}

/* "2024-03", "2024-03-05" */
static bool iso_of(struct str s, struct span_ms *out)
{
	int year;
	int64_t month, at;
	if (s.n == 10 && clock_parse_rfc3339(s, &at)) {
		*out = (struct span_ms){at, at + 86400000 - 1};
		return true;
	}
	if (s.n != 7 || s.p[4] != '-' || !year_of(str_sub(s, 0, 4), &year) ||
		!str_i64(str_sub(s, 5, 7), &month) || month < 1 || month > 12)
		return false;
	*out = (struct span_ms){day_ms(year, (int)month - 1, 1), day_ms(year, (int)month, 1) - 1};
	return true;
}

/* "last year", "this month", "last 3 weeks"; how many words it is. */
static size_t relative(const struct deriving *d, size_t at, struct span_ms *out)
{
	static const struct {
		const char *words;
		int days;
	} units[] = {{"day days", 1}, {"week weeks", 7}, {"month months", 30}, {"year years", 365}};
	int64_t n = 1;
	time_t now = (time_t)(d->now_ms / 1000);
	struct tm t;
	bool this = word_is(d, at, S("this"));
	if (!this && !word_is(d, at, S("last")) && !word_is(d, at, S("past")))
		return 0;
	size_t unit_at = at + 1;
	bool counted = unit_at < d->n && str_i64(d->words[unit_at].text, &n) && n > 0 && n < 1000;
	unit_at += counted;
	gmtime_r(&now, &t);
	for (size_t u = 0; unit_at < d->n && u < ARRAY_LEN(units); u++) {
		if (!is_in(d->words[unit_at].text, units[u].words))
			continue;
		*out = (struct span_ms){
			d->now_ms - n * units[u].days * INT64_C(86400000), d->now_ms};
		int year = t.tm_year + 1900;
		if (u == 3 && !counted)
			*out = this ? (struct span_ms){day_ms(year, 0, 1), d->now_ms}
				    : (struct span_ms){
					      day_ms(year - 1, 0, 1), day_ms(year, 0, 1) - 1};
		if (u == 2 && !counted)
			*out = this ? (struct span_ms){day_ms(year, t.tm_mon, 1), d->now_ms}
				    : (struct span_ms){day_ms(year, t.tm_mon - 1, 1),
					      day_ms(year, t.tm_mon, 1) - 1};
		return unit_at - at + 1;
	}
	return 0;
}

static size_t date_at(const struct deriving *d, size_t at, struct span_ms *out)
{
	int year, month = at < d->n ? month_of(d->words[at].text) : -1;
	if (at >= d->n)
		return 0;
	if (month >= 0 && at + 1 < d->n && year_of(d->words[at + 1].text, &year)) {
		*out = (struct span_ms){day_ms(year, month, 1), day_ms(year, month + 1, 1) - 1};
		return 2;
	}
	if (iso_of(d->words[at].text, out))
		return 1;
	if (year_of(d->words[at].text, &year)) {
		*out = (struct span_ms){day_ms(year, 0, 1), day_ms(year + 1, 0, 1) - 1};
		return 1;
	}
	return relative(d, at, out);
}

static bool noun_before(const struct deriving *d, size_t at)
{
	for (size_t i = at; i-- && at - i <= NEAR;)
		if (d->words[i].noun)
			return true;
	return false;
}

/* The first date that documents are asked by. Times before 1970 are open ends to a filter. */
static void look_at_dates(struct deriving *d)
{
	struct span_ms s, second;
	for (size_t i = 0; i < d->n; i++) {
		size_t n = date_at(d, i, &s);
		if (!n || !noun_before(d, i))
			continue;
		struct str prep = i ? d->words[i - 1].text : S("");
		if (is_in(prep, "the") && i > 1)
			prep = d->words[i - 2].text;
		if (is_in(prep, "since from between") &&
			(word_is(d, i + n, S("and")) || word_is(d, i + n, S("to")) ||
				word_is(d, i + n, S("until"))) &&
			date_at(d, i + n + 1, &second))
			s.to = second.to;
		else if (is_in(prep, "since"))
			s.to = 0;
		else if (is_in(prep, "after"))
			s = (struct span_ms){s.to + 1, 0};
		else if (is_in(prep, "before"))
			s = (struct span_ms){0, s.from - 1};
		else if (is_in(prep, "until by"))
			s.from = 0;
		d->out.from_ms = s.from;
		d->out.to_ms = s.to;
		return;
	}
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
	struct deriving d = {.x = x, .now_ms = clock_unix_ms()};
	read_words(&d, x->q->text);
	look_at_dates(&d);
	for (size_t i = 0; i < x->r->n_docs; i++)
		if (x->r->docs[i].live && in(ctx, &x->r->docs[i]))
			look_at(&d, &x->r->docs[i]);
	map_free(&d.seen);
	settle(&d);
	x->trail->derived = d.out;
	return OK;
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
		yyjson_val *v = yyjson_obj_getn(
			yyjson_doc_get_root(doc), f->attributes[i].key.p, f->attributes[i].key.n);
		has = str_eq(json_val_str(v), f->attributes[i].value);
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
