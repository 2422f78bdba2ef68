/* Filters from a question by a chat model: it is told which types, tags, attributes and dates the
 * documents have, and held to a JSON Schema in which nothing else can be said.
 *
 *  1. Beside each value it has to quote the words of the question that ask for it. What it quotes
 *     and the question does not have, or is all of the question, is no evidence: left out, with a
 *     note. So is a value that no document has, and a date that is none (providers need not hold
 *     to a schema).
 *  2. What is in the schema is bounded: the values that most documents have. Others cannot be
 *     derived.
 *  3. A model that fails is no error: rules are asked (search.c). */
#include "rag/derive_int.h"

#include "base/clock.h"
#include "base/map.h"

#include <stdio.h>
#include <stdlib.h>

enum { FIELDS_MAX = 12, VALUES_MAX = 48, SEEN_MAX = 4096, VALUE_BYTES = 100, WORDS_BYTES = 60 };

struct value {
	struct str text;
	size_t documents;
};

struct field {
	struct str key;
	struct value *values; /* those of most documents first */
	size_t n, cap;
};

struct inventory {
	struct field types, tags, fields[FIELDS_MAX];
	size_t n_fields, documents;
	int64_t first_ms, last_ms;
};

/* ---- what documents have ---- */

struct reading {
	struct stage *x;
	struct inventory *inv;
	struct map seen; /* "field \0 value" -> place in the field's values + 1 */
	enum err e;
};

static struct field *field_of(struct inventory *inv, struct str key)
{
	for (size_t i = 0; i < inv->n_fields; i++)
		if (str_eq(inv->fields[i].key, key))
			return &inv->fields[i];
	return NULL;
}

static struct field *field_new(struct reading *r, struct str key)
{
	struct inventory *inv = r->inv;
	if (inv->n_fields == FIELDS_MAX || key.n > VALUE_BYTES)
		return NULL;
	struct field *f = &inv->fields[inv->n_fields++];
	f->key = arena_str(r->x->a, key);
	return f;
}

static bool grow(struct reading *r, struct field *f)
{
	size_t cap = f->cap ? 2 * f->cap : 8;
	struct value *v = arena_array_of(r->x->a, cap, struct value);
	if (!v)
		return false;
	if (f->n)
		memcpy(v, f->values, f->n * sizeof *v);
	f->values = v;
	f->cap = cap;
	return true;
}

static void count(struct reading *r, struct field *f, struct str name, struct str text)
{
	struct buf key = {0};
	if (!f || !text.n || text.n > VALUE_BYTES)
		return;
	buf_adds(&key, name);
	buf_putc(&key, 0);
	buf_adds(&key, text);
	size_t at = (uintptr_t)map_get(&r->seen, buf_str(&key));
	if (at) {
		f->values[at - 1].documents++;
	} else if (r->seen.n < SEEN_MAX) {
		struct str kept = arena_str(r->x->a, text);
		if (!kept.p || (f->n == f->cap && !grow(r, f)) ||
			!map_put(&r->seen, buf_str(&key), (void *)(uintptr_t)(f->n + 1)))
			r->e = ERR_NOMEM;
		else
			f->values[f->n++] = (struct value){kept, 1};
	}
	buf_free(&key);
}

static void read_attributes(struct reading *r, struct str json)
{
	yyjson_doc *doc = NULL;
	yyjson_val *k, *v;
	size_t i, n;
	if (!json.n || json_parse(json, &doc, NULL))
		return;
	yyjson_val *o = yyjson_doc_get_root(doc);
	yyjson_obj_foreach(o, i, n, k, v)
	{
		char number[32];
		struct str key = json_val_str(k), text = attribute_text(v, number);
		struct field *f = field_of(r->inv, key);
		if (text.n)
			count(r, f ? f : field_new(r, key), key, text);
	}
	yyjson_doc_free(doc);
}

static void read_document(struct reading *r, const struct index_doc *d)
{
	struct inventory *inv = r->inv;
	struct str rest = str_c(d->tags), tag;
	inv->documents++;
	inv->first_ms = inv->documents == 1 ? d->date_ms : MIN(inv->first_ms, d->date_ms);
	inv->last_ms = MAX(inv->last_ms, d->date_ms);
	count(r, &inv->types, S("\1"), str_c(d->type));
	while (str_next(&rest, ',', &tag))
		count(r, &inv->tags, S("\2"), str_trim(tag));
	read_attributes(r, str_c(d->attributes));
}

static int by_documents(const void *a, const void *b)
{
	const struct value *x = a, *y = b;
	if (x->documents != y->documents)
		return x->documents < y->documents ? 1 : -1;
	return str_cmp(x->text, y->text);
}

static void settle(struct field *f)
{
	if (f->n)
		qsort(f->values, f->n, sizeof *f->values, by_documents);
	f->n = MIN(f->n, (size_t)VALUES_MAX);
}

enum err inventory_read(struct stage *x, bool (*in)(void *ctx, const struct index_doc *d),
	void *ctx, struct inventory **out)
{
	struct reading r = {.x = x, .inv = arena_new_of(x->a, struct inventory)};
	if (!r.inv)
		return err_set(x->et, ERR_NOMEM, "no memory to derive filters");
	*r.inv = (struct inventory){0};
	for (size_t i = 0; i < x->r->n_docs && !r.e; i++)
		if (x->r->docs[i].live && in(ctx, &x->r->docs[i]))
			read_document(&r, &x->r->docs[i]);
	map_free(&r.seen);
	settle(&r.inv->types);
	settle(&r.inv->tags);
	for (size_t i = 0; i < r.inv->n_fields; i++)
		settle(&r.inv->fields[i]);
	*out = r.inv;
	return r.e ? err_set(x->et, r.e, "no memory to derive filters") : OK;
}

/* ---- what it is asked ---- */

/* { words, value } or null. */
static void write_filter(struct jw *w, const struct field *f, bool bounds)
{
	jw_obj(w);
	jw_key(w, "anyOf");
	jw_arr(w);
	jw_obj(w);
	jw_kc(w, "type", "null");
	jw_end(w);
	jw_obj(w);
	jw_kc(w, "type", "object");
	jw_key(w, "properties");
	jw_obj(w);
	jw_key(w, "words");
	jw_obj(w);
	jw_kc(w, "type", "string");
	if (bounds) {
		jw_ki64(w, "minLength", 2);
		jw_ki64(w, "maxLength", WORDS_BYTES);
	}
	jw_end(w);
	jw_key(w, "value");
	jw_obj(w);
	jw_kc(w, "type", "string");
	if (!f && bounds)
		jw_kc(w, "pattern", "^[12][0-9]{3}-[01][0-9]-[0-3][0-9]$");
	if (f) {
		jw_key(w, "enum");
		jw_arr(w);
		for (size_t i = 0; i < f->n; i++)
			jw_str(w, f->values[i].text);
		jw_end(w);
	}
	jw_end(w);
	jw_end(w);
	jw_key(w, "required");
	jw_arr(w);
	jw_c(w, "words");
	jw_c(w, "value");
	jw_end(w);
	jw_kbool(w, "additionalProperties", false);
	jw_end(w);
	jw_end(w);
	jw_end(w);
}

static void begin_object(struct jw *w)
{
	jw_obj(w);
	jw_kc(w, "type", "object");
	jw_key(w, "properties");
	jw_obj(w);
}

static void write_attributes(struct jw *w, const struct inventory *inv, bool bounds)
{
	begin_object(w);
	for (size_t i = 0; i < inv->n_fields; i++) {
		jw_key_str(w, inv->fields[i].key);
		write_filter(w, &inv->fields[i], bounds);
	}
	jw_end(w);
	jw_key(w, "required");
	jw_arr(w);
	for (size_t i = 0; i < inv->n_fields; i++)
		jw_str(w, inv->fields[i].key);
	jw_end(w);
	jw_kbool(w, "additionalProperties", false);
	jw_end(w);
}

static void write_schema(void *ctx, bool bounds, struct buf *out)
{
	const struct inventory *inv = ctx;
	const struct {
		const char *name;
		const struct field *of; /* NULL: a date */
	} all[] = {{"type", &inv->types}, {"tag", &inv->tags}, {"from", NULL}, {"to", NULL}};
	struct jw w = {.out = out};
	begin_object(&w);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (!all[i].of || all[i].of->n) {
			jw_key(&w, all[i].name);
			write_filter(&w, all[i].of, bounds);
		}
	if (inv->n_fields) {
		jw_key(&w, "attributes");
		write_attributes(&w, inv, bounds);
	}
	jw_end(&w);
	jw_key(&w, "required");
	jw_arr(&w);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (!all[i].of || all[i].of->n)
			jw_c(&w, all[i].name);
	if (inv->n_fields)
		jw_c(&w, "attributes");
	jw_end(&w);
	jw_kbool(&w, "additionalProperties", false);
	jw_end(&w);
}

static const char head[] =
	"You read from a question which documents are to be searched. You do not answer the "
	"question. Say only what it says of the documents themselves: of which type they are, "
	"which tag or attribute they have, from which time they are; not what they tell about. "
	"Most questions say nothing of the kind: then everything is null.\n"
	"For each thing that the question does say write \"words\", copied from the question "
	"exactly as they stand there and no more of them than are needed, and \"value\". \"from\" "
	"and \"to\" are the first and the last day of the documents, as YYYY-MM-DD.\n";

static void write_prompt(const struct inventory *inv, struct buf *out)
{
	char today[CLOCK_TEXT], first[CLOCK_TEXT], last[CLOCK_TEXT];
	clock_rfc3339(clock_unix_ms(), today);
	clock_rfc3339(inv->first_ms, first);
	clock_rfc3339(inv->last_ms, last);
	buf_addc(out, head);
	buf_addf(out, "Today is %.10s. The documents are from %.10s to %.10s.", today, first, last);
}

/* ---- what it says ---- */

struct taking {
	const struct inventory *inv;
	struct rag_derived out;
};

static bool same_letters(struct str a, struct str b)
{
	return a.n == b.n && str_eq_nocase(a, b);
}

/* Whatever the case, and the blanks around. */
static bool question_has(struct str question, struct str words)
{
	for (size_t i = 0; i + words.n <= question.n; i++)
		if (same_letters(str_sub(question, i, i + words.n), words))
			return true;
	return false;
}

static size_t count_words(struct str s)
{
	size_t n = 0;
	struct str one;
	while (str_next(&s, ' ', &one))
		n += one.n > 0;
	return n;
}

/* Left out, and said. */
static void refuse(struct stage *x, const char *what, struct str value, const char *why)
{
	value = str_sub(value, 0, 60);
	value.n = utf8_complete_prefix(value);
	trail_note(x->trail,
		arena_fmt(x->a, "the chat model read %s \"%.*s\" from the question%s: left out",
			what, STR_FMT(value), why));
}

/* Its words, when they are evidence. */
static bool is_said(struct stage *x, const char *what, yyjson_val *o, struct str *words)
{
	struct str question = str_trim(x->q->text), w = str_trim(json_str(o, "words"));
	struct str value = json_str(o, "value");
	if (!yyjson_is_obj(o) || !value.n)
		return false;
	if (w.n < 2 || !question_has(question, w)) {
		refuse(x, what, value, ", which has no such words");
		return false;
	}
	if (same_letters(w, question) && count_words(question) > 3) {
		refuse(x, what, value, " as a whole");
		return false;
	}
	*words = arena_str(x->a, w);
	return words->p != NULL;
}

/* Spelt as the documents spell it. */
static struct str value_of(
	struct stage *x, const char *what, const struct field *f, yyjson_val *o, struct str *words)
{
	struct str value = json_str(o, "value");
	if (!is_said(x, what, o, words))
		return (struct str){0};
	for (size_t i = 0; i < f->n; i++)
		if (str_eq_nocase(f->values[i].text, value))
			return f->values[i].text;
	refuse(x, what, value, ", which no document has");
	return (struct str){0};
}

static int64_t date_of(struct stage *x, const char *what, yyjson_val *o, struct str *words)
{
	struct str value = json_str(o, "value");
	int64_t ms = 0;
	if (!is_said(x, what, o, words))
		return 0;
	if (value.n == 10 && clock_parse_rfc3339(value, &ms) && ms)
		return ms;
	refuse(x, what, value, ", which is no day");
	return 0;
}

static void take_attributes(struct stage *x, struct taking *t, yyjson_val *o)
{
	struct rag_derived *d = &t->out;
	for (size_t i = 0; i < t->inv->n_fields && d->n_attributes < ARRAY_LEN(d->attributes);
		i++) {
		const struct field *f = &t->inv->fields[i];
		struct rag_attribute a = {.key = f->key};
		const char *what = arena_c(x->a, f->key);
		a.value = value_of(x, what ? what : "an attribute", f,
			yyjson_obj_getn(o, f->key.p, f->key.n), &a.words);
		if (a.value.n)
			d->attributes[d->n_attributes++] = a;
	}
}

static enum err take(struct stage *x, void *ctx, struct str json)
{
	struct taking t = {.inv = ctx, .out.by = "model"};
	struct rag_derived *d = &t.out;
	yyjson_doc *doc;
	enum err e = json_parse(json, &doc, x->et);
	if (e)
		return e;
	yyjson_val *o = yyjson_doc_get_root(doc);
	if (!yyjson_is_obj(o)) {
		yyjson_doc_free(doc);
		return err_set(x->et, ERR_INVALID, "it did not write what it was asked for");
	}
	d->type = value_of(x, "type", &t.inv->types, yyjson_obj_get(o, "type"), &d->type_words);
	d->tag = value_of(x, "tag", &t.inv->tags, yyjson_obj_get(o, "tag"), &d->tag_words);
	d->from_ms = date_of(x, "from", yyjson_obj_get(o, "from"), &d->from_words);
	d->to_ms = date_of(x, "to", yyjson_obj_get(o, "to"), &d->to_words);
	if (d->to_ms)
		d->to_ms += 86400000 - 1;
	if (d->from_ms && d->to_ms && d->from_ms > d->to_ms) {
		refuse(x, "from", json_str(yyjson_obj_get(o, "from"), "value"), ", after its end");
		d->from_ms = d->to_ms = 0;
		d->from_words = d->to_words = (struct str){0};
	}
	take_attributes(x, &t, yyjson_obj_get(o, "attributes"));
	d->any = d->type.n || d->tag.n || d->from_ms || d->to_ms || d->n_attributes;
	x->trail->derived = *d;
	yyjson_doc_free(doc);
	return OK;
}

enum err stage_derive_model(struct stage *x, struct step *step, const struct inventory *inv)
{
	struct buf prompt = {0};
	write_prompt(inv, &prompt);
	span_text(step->span, "input", x->q->text);
	struct asking q = {.name = S("filters"),
		.system = buf_str(&prompt),
		.max_tokens = 256 + 48 * (uint32_t)inv->n_fields,
		.schema = write_schema,
		.take = take,
		.ctx = (void *)inv};
	enum err e = !inv->documents ? OK
		     : prompt.err    ? err_set(x->et, ERR_NOMEM, "no memory for a prompt")
				     : stage_ask(x, step, &q);
	if (!e && !inv->documents)
		x->trail->derived = (struct rag_derived){.by = "model"};
	buf_free(&prompt);
	return e;
}
