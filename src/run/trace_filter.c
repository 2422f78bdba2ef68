/* What traces are searched by: the names, and what a trace or a span has under them. */
#include "run/trace_filter.h"
#include "run/trace_find_int.h"

#include <stdio.h>

enum { G_TRACE, G_TAG, G_METADATA, G_FEEDBACK, G_EXPECTATION, G_SPAN, G_SPAN_ATTRIBUTE };

enum {
	K_ID,
	K_TIME,
	K_DURATION,
	K_END,
	K_STATUS,
	K_CLIENT_REQUEST,
	K_NAME,
	K_RUN,
	K_PROMPT,
	K_TEXT,
	K_EXPERIMENT,
	K_OWN_ID,
	K_STATE,
	K_KIND,
	K_START,
	K_TOOK,
	K_TOKENS,
	K_TOKENS_IN,
	K_TOKENS_OUT,
	K_COST,
	K_SPANS,
	K_ERRORS,
	K_WORD, /* and all behind it: a word of the run's attributes */
};

#define LISTED (FILTER_OPS_TEXT | FILTER_OP_RLIKE | FILTER_OP_IN)
#define NUMBER FILTER_NUMBER, FILTER_EXTENDED
#define WORD(word_)                                        \
	{                                                  \
		.names = {word_}, .flags = FILTER_EXTENDED \
	}

static const struct filter_key trace_keys[] = {
	[K_ID] = {{"request_id"}, FILTER_TEXT, FILTER_ALIASES, LISTED},
	[K_TIME] = {{"timestamp_ms", "timestamp"}, FILTER_TIME},
	[K_DURATION] = {{"execution_time_ms", "execution_time"}, FILTER_NUMBER},
	[K_END] = {{"end_time_ms", "end_time"}, FILTER_TIME},
	[K_STATUS] = {{"status"}, FILTER_TEXT, FILTER_ALIASES | FILTER_NOCASE, LISTED},
	[K_CLIENT_REQUEST] = {{"client_request_id"}, FILTER_TEXT, FILTER_UNORDERED, LISTED},
	[K_NAME] = {{"name"}, FILTER_TEXT, 0, LISTED | FILTER_OP_NULL},
	[K_RUN] = {{"run_id"}, FILTER_TEXT, FILTER_ALIASES, LISTED | FILTER_OP_NULL},
	[K_PROMPT] = {{"prompt"}, FILTER_TEXT, FILTER_UNORDERED},
	[K_TEXT] = {{"text"}, FILTER_TEXT, FILTER_UNORDERED | FILTER_IN_PARTS, FILTER_OPS_LIKE},
	[K_EXPERIMENT] = {{"experiment_id"}, FILTER_NUMBER, FILTER_ORDER_ONLY},
	[K_OWN_ID] = {{"id", "trace_id"}, FILTER_TEXT, FILTER_ALIASES | FILTER_EXTENDED},
	[K_STATE] = {{"state"}, FILTER_TEXT, FILTER_ALIASES | FILTER_NOCASE | FILTER_EXTENDED},
	[K_KIND] = {{"kind"}, FILTER_TEXT, FILTER_EXTENDED},
	[K_START] = {{"start_time", "request_time"}, FILTER_TIME, FILTER_EXTENDED},
	[K_TOOK] = {{"duration_ms", "execution_duration", "latency"}, NUMBER},
	[K_TOKENS] = {{"tokens"}, NUMBER},
	[K_TOKENS_IN] = {{"tokens_in"}, NUMBER},
	[K_TOKENS_OUT] = {{"tokens_out"}, NUMBER},
	[K_COST] = {{"cost"}, NUMBER},
	[K_SPANS] = {{"spans"}, NUMBER},
	[K_ERRORS] = {{"errors"}, NUMBER},
	[K_WORD] = WORD("model"),
	WORD("service"),
	WORD("session"),
	WORD("user"),
	WORD("input"),
	WORD("output"),
};

enum { S_NAME, S_TYPE, S_STATUS, S_CONTENT, S_KIND, S_MODEL, S_TOOK };

static const struct filter_key span_keys[] = {
	[S_NAME] = {{"name"}},
	[S_TYPE] = {{"type"}, FILTER_TEXT, FILTER_ALIASES | FILTER_NOCASE},
	[S_STATUS] = {{"status"}, FILTER_TEXT, FILTER_ALIASES | FILTER_NOCASE},
	[S_CONTENT] = {{"content"}, FILTER_TEXT, 0, FILTER_OPS_LIKE},
	[S_KIND] = {{"kind"}, FILTER_TEXT, FILTER_ALIASES | FILTER_NOCASE | FILTER_EXTENDED},
	[S_MODEL] = {{"model"}, FILTER_TEXT, FILTER_EXTENDED},
	[S_TOOK] = {{"duration_ms"}, NUMBER},
};

#define SAID (FILTER_OPS_TEXT | FILTER_OP_RLIKE | FILTER_OP_NULL)

static const struct filter_group groups[] = {
	[G_TRACE] = {{"attribute", "attributes", "trace"}, trace_keys, ARRAY_LEN(trace_keys), 0,
		LISTED},
	[G_TAG] = {{"tag", "tags"}, NULL, 0, 0, SAID},
	[G_METADATA] = {{"request_metadata", "metadata"}, NULL, 0, 0, SAID},
	[G_FEEDBACK] = {{"feedback"}, NULL, 0, FILTER_UNORDERED, SAID | FILTER_OPS_ORDER},
	[G_EXPECTATION] = {{"expectation"}, NULL, 0, FILTER_UNORDERED, SAID | FILTER_OPS_ORDER},
	[G_SPAN] = {{"span"}, span_keys, ARRAY_LEN(span_keys), FILTER_PARTS | FILTER_UNORDERED,
		LISTED},
	[G_SPAN_ATTRIBUTE] = {{"span.attributes"}, NULL, 0, FILTER_PARTS | FILTER_UNORDERED,
		LISTED},
};

const struct filter_language trace_language = {
	groups, ARRAY_LEN(groups), false, FILTER_OF_TRACES, false};
const struct filter_language trace_mlflow_language = {
	groups, ARRAY_LEN(groups), true, FILTER_OF_TRACES, false};

/* ---- what was asked ---- */

static bool in_notes(const struct filter_name *n)
{
	return n->group == G_TAG || n->group == G_METADATA ||
	       (n->group == G_TRACE &&
		       (n->index == K_RUN || n->index == K_PROMPT || n->index == K_CLIENT_REQUEST));
}

bool trace_filter_needs_notes(const struct filter *f)
{
	for (unsigned g = G_TAG; g <= G_EXPECTATION; g++)
		if (filter_asks(f, g))
			return true;
	return filter_asks_key(f, G_TRACE, K_RUN) || filter_asks_key(f, G_TRACE, K_PROMPT) ||
	       filter_asks_key(f, G_TRACE, K_CLIENT_REQUEST);
}

bool trace_order_needs_notes(const struct filter_order *o, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (in_notes(&o[i].name))
			return true;
	return false;
}

bool trace_name_is_time(const struct filter_name *n)
{
	return n->group == G_TRACE && (n->index == K_TIME || n->index == K_START);
}

void trace_filter_times(const struct filter *f, int64_t *since, int64_t *until)
{
	const struct filter_test *t;
	*since = 0;
	*until = INT64_MAX;
	for (size_t i = 0; (t = filter_required(f, i)); i++) {
		if (!trace_name_is_time(&t->name) || !t->numeric || t->number < 0 ||
			t->number > 9e12)
			continue;
		int64_t ns = (int64_t)t->number * 1000000;
		if (t->op == FILTER_GT || t->op == FILTER_GE || t->op == FILTER_EQ)
			*since = MAX(*since, ns);
		if (t->op == FILTER_LT || t->op == FILTER_LE || t->op == FILTER_EQ)
			*until = MIN(*until, ns + 1000000);
	}
}

/* MLflow's words mean ours. */
static const struct {
	const char *ours, *theirs;
} status_words[] = {{"ok", "OK"}, {"error", "ERROR"}, {"running", "IN_PROGRESS"}};

static struct str our_status(struct str word)
{
	for (size_t i = 0; i < ARRAY_LEN(status_words); i++)
		if (str_eq_nocase(word, str_c(status_words[i].ours)) ||
			str_eq_nocase(word, str_c(status_words[i].theirs)))
			return str_c(status_words[i].ours);
	return (struct str){0};
}

const char *trace_filter_column(const struct filter *f, unsigned i, struct str *value)
{
	static const char *const columns[] = {"name", "kind", "status"};
	static const unsigned keys[] = {K_NAME, K_KIND, K_STATUS};
	const struct filter_test *t;
	for (size_t k = 0; (t = filter_required(f, k)); k++) {
		if (t->op != FILTER_EQ || t->name.group != G_TRACE || t->name.index != keys[i])
			continue;
		*value = keys[i] == K_STATUS ? our_status(t->text) : t->text;
		return value->p ? columns[i] : NULL;
	}
	return NULL;
}

/* ---- values ---- */

void trace_values_clear(struct trace_values *v)
{
	yyjson_doc_free(v->words);
	*v = (struct trace_values){0};
}

static bool number(struct filter_value *out, double v)
{
	out->is_number = true;
	out->number = v;
	return true;
}

static bool text(struct filter_value *out, struct str s)
{
	out->text = s;
	return s.p != NULL;
}

static bool status(struct str ours, size_t at, struct filter_value *out)
{
	if (!at)
		return text(out, ours);
	for (size_t i = 0; i < ARRAY_LEN(status_words) && at == 1; i++)
		if (str_eq_c(ours, status_words[i].ours))
			return text(out, str_c(status_words[i].theirs));
	return false;
}

static struct str note(const struct trace_found *f, enum trace_note_kind kind, const char *key)
{
	return trace_note_of(f, kind, str_c(key));
}

/* The run in which it was made, and those that it was linked to. */
static bool run_of(const struct trace_found *f, size_t at, struct filter_value *out)
{
	struct str source = note(f, NOTE_METADATA, "mlflow.sourceRun");
	if (source.p && !at--)
		return text(out, source);
	for (size_t i = 0; i < f->n_notes; i++)
		if (f->notes[i].kind == NOTE_RUN && !at--)
			return text(out, f->notes[i].key);
	return false;
}

/* 'name/version'; the tag is a list of both */
static bool prompt(struct trace_values *v, struct str tag, size_t at, struct filter_value *out)
{
	yyjson_doc *doc;
	if (!tag.p || json_parse(tag, &doc, NULL))
		return false;
	yyjson_val *x = yyjson_arr_get(yyjson_doc_get_root(doc), at);
	struct str name = json_str(x, "name"), version = json_str(x, "version");
	snprintf(v->text, sizeof v->text, "%.*s/%.*s", STR_FMT(str_sub(name, 0, 60)),
		STR_FMT(str_sub(version, 0, 15)));
	yyjson_doc_free(doc);
	return x && text(out, str_c(v->text));
}

static bool word(struct trace_values *v, const struct trace_found *f, unsigned index,
	struct filter_value *out)
{
	if (!v->words && json_parse(f->run.attributes, &v->words, NULL))
		v->words = NULL;
	return text(out, json_str(yyjson_doc_get_root(v->words), trace_keys[index].names[0]));
}

/* Where several have been said, each. */
static bool assessment(const struct trace_found *f, const struct filter_name *n, size_t at,
	struct filter_value *out)
{
	for (size_t i = 0; i < f->n_assessments; i++) {
		const struct assessment *s = &f->assessments[i];
		if (s->expectation != (n->group == G_EXPECTATION) || !s->value.p ||
			!str_eq(s->name, n->key) || at--)
			continue;
		bool quoted = s->value.n >= 2 && s->value.p[0] == '"';
		return text(out, quoted ? str_sub(s->value, 1, s->value.n - 1) : s->value);
	}
	return false;
}

static bool trace_id(struct trace_values *v, struct id id, size_t at, struct filter_value *out)
{
	memcpy(v->text, "tr-", 3);
	id_hex(id, v->text + 3);
	return text(out, str_c(v->text + (at ? 3 : 0))) && at < 2;
}

static bool text_of_run(const struct run_row *r, size_t at, struct filter_value *out)
{
	out->text = at == 0 ? r->name : at == 1 ? r->attributes : r->error;
	return at < 3;
}

static bool single(struct trace_values *v, const struct trace_found *f, unsigned index,
	struct filter_value *out)
{
	const struct run_row *r = &f->run;
	switch (index) {
	case K_TIME:
	case K_START:
		return number(out, (double)(r->start_ns / 1000000));
	case K_DURATION:
	case K_TOOK:
		return r->end_ns && number(out, (double)(r->end_ns - r->start_ns) / 1e6);
	case K_END:
		return r->end_ns && number(out, (double)(r->end_ns / 1000000));
	case K_CLIENT_REQUEST:
		return text(out, note(f, NOTE_METADATA, NOTE_CLIENT_REQUEST));
	case K_NAME:
		return text(out, r->name);
	case K_EXPERIMENT:
		return f->experiment >= 0 && number(out, (double)f->experiment);
	case K_KIND:
		return text(out, r->kind);
	case K_TOKENS:
		return number(out, (double)(r->tokens_in + r->tokens_out));
	case K_TOKENS_IN:
		return number(out, (double)r->tokens_in);
	case K_TOKENS_OUT:
		return number(out, (double)r->tokens_out);
	case K_COST:
		return number(out, r->cost);
	case K_SPANS:
		return number(out, (double)r->spans);
	case K_ERRORS:
		return number(out, (double)r->errors);
	default:
		return word(v, f, index, out);
	}
}

bool trace_value(void *values, const void *found, const struct filter_name *n, size_t at,
	struct filter_value *out)
{
	const struct trace_found *f = found;
	switch (n->group) {
	case G_TAG:
		return !at && text(out, trace_note_of(f, NOTE_TAG, n->key));
	case G_METADATA:
		return !at && text(out, trace_note_of(f, NOTE_METADATA, n->key));
	case G_FEEDBACK:
	case G_EXPECTATION:
		return assessment(f, n, at, out);
	}
	switch (n->index) {
	case K_ID:
	case K_OWN_ID:
		return trace_id(values, f->run.id, at, out);
	case K_STATUS:
	case K_STATE:
		return status(f->run.status, at, out);
	case K_RUN:
		return run_of(f, at, out);
	case K_PROMPT:
		return prompt(values, note(f, NOTE_TAG, "mlflow.linkedPrompts"), at, out);
	case K_TEXT:
		return text_of_run(&f->run, at, out);
	}
	return !at && single(values, f, n->index, out);
}

/* ---- of a span ---- */

static bool attribute(struct trace_values *v, const struct span_row *s, struct str wanted,
	struct filter_value *out)
{
	struct str key;
	struct otel_value a;
	struct pb m = pb_of(s->raw.p ? s->raw : S(""));
	while (otel_next_attr(&m, OTEL_SPAN_ATTRS, &key, &a)) {
		if (!str_eq(key, wanted))
			continue;
		out->is_number = a.type == OTEL_INT || a.type == OTEL_DOUBLE;
		out->number = a.type == OTEL_INT ? (double)a.i : a.f;
		if (a.type == OTEL_STR)
			out->text = a.s;
		else if (a.type == OTEL_BOOL)
			out->text = a.i ? S("true") : S("false");
		else if (out->is_number) {
			a.type == OTEL_INT
				? snprintf(v->text, sizeof v->text, "%lld", (long long)a.i)
				: snprintf(v->text, sizeof v->text, "%.17g", a.f);
			out->text = str_c(v->text);
		}
		return true;
	}
	return false;
}

static struct str model_of(struct trace_values *v, const struct span_row *s)
{
	struct otel_span o;
	if (!v->has_facts && s->raw.p && otel_span_read(s->raw, &o))
		trace_facts_read(&o, &v->facts);
	v->has_facts = true;
	return v->facts.model.n ? v->facts.model : (struct str){0};
}

bool trace_span_value(void *values, const void *span, const struct filter_name *n, size_t at,
	struct filter_value *out)
{
	const struct span_row *s = span;
	const char *type;
	if (n->group == G_TRACE) { /* text */
		out->text = at ? trace_content(s) : s->name;
		return at < 2;
	}
	if (n->group == G_SPAN_ATTRIBUTE)
		return !at && attribute(values, s, n->key, out);
	if (n->index == S_STATUS)
		return status(s->status, at, out);
	if (n->index == S_TYPE || n->index == S_KIND) {
		if (!at)
			return text(out, s->kind);
		type = trace_type_word(s->kind, at - 1);
		return type && text(out, str_c(type));
	}
	if (at)
		return false;
	switch (n->index) {
	case S_NAME:
		return text(out, s->name);
	case S_CONTENT:
		return text(out, trace_content(s));
	case S_MODEL:
		return text(out, model_of(values, s));
	}
	return s->end_ns && number(out, (double)(s->end_ns - s->start_ns) / 1e6);
}
