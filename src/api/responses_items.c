/* Items of a conversation: messages, calls of functions, their results, thoughts. What comes in is
 * written anew with an id of ours, so that what is stored is whole and has nothing unknown in it.
 */
#include "api/responses.h"

#include <stdio.h>

enum { CONTENT_MAX = 4096 };

void item_id(const char *prefix, char out[8 + ID_HEX + 1])
{
	char hex[ID_HEX + 1];
	id_hex(id_new(), hex);
	snprintf(out, 8 + ID_HEX + 1, "%s_%s", prefix, hex);
}

static enum err bad(struct api_error *x, const char *where, const char *want)
{
	return api_fail(x, ERR_INVALID, "invalid_type", where, "%s must be %s", where, want);
}

/* ---- content ---- */

/* The text of a part; NULL when it has none that a model here could read. */
static yyjson_val *part_text(yyjson_val *part)
{
	static const char *const kinds[] = {
		"input_text", "output_text", "text", "summary_text", "reasoning_text"};
	struct str type = json_str(part, "type");
	if (str_eq_c(type, "refusal"))
		return api_get(part, "refusal");
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (str_eq_c(type, kinds[i]))
			return api_get(part, "text");
	return NULL;
}

static enum err check_part(yyjson_val *part, const char *where, size_t i, struct api_error *x)
{
	struct str type = json_str(part, "type");
	yyjson_val *text = part_text(part);
	char param[80];
	snprintf(param, sizeof param, "%s[%zu]", where, i);
	if (!yyjson_is_obj(part) || !type.n)
		return bad(x, param, "a part with a type");
	if (!text && (str_starts(type, S("input_")) || str_starts(type, S("computer_"))) &&
		!str_eq_c(type, "input_text"))
		return api_fail(x, ERR_INVALID, "unsupported_value", param,
			"%s: parts of type '%.*s' are not supported: the models here read text",
			param, STR_FMT(str_sub(type, 0, 40)));
	return yyjson_is_str(text) ? OK : bad(x, param, "a part of a known type with a text");
}

/* Those that were in an answer, when it is sent again. */
static void write_annotations(struct jw *w, yyjson_val *part)
{
	yyjson_val *v;
	size_t i, n;
	jw_arr(w);
	yyjson_arr_foreach(api_get(part, "annotations"), i, n, v)
	{
		if (str_eq_c(json_str(v, "type"), "file_citation"))
			jw_val(w, v);
	}
	jw_end(w);
}

static void write_part(struct jw *w, const char *type, struct str text, yyjson_val *part)
{
	jw_obj(w);
	jw_kc(w, "type", type);
	if (str_eq_c(str_c(type), "refusal")) {
		jw_kstr(w, "refusal", text);
	} else {
		jw_kstr(w, "text", text);
		if (str_eq_c(str_c(type), "output_text")) {
			jw_key(w, "annotations");
			write_annotations(w, part);
			jw_key(w, "logprobs"), jw_arr(w), jw_end(w);
		}
	}
	jw_end(w);
}

/* A text or parts, as parts of one type (a refusal stays one). */
static enum err write_content(
	struct jw *w, yyjson_val *v, const char *type, const char *where, struct api_error *x)
{
	yyjson_val *part;
	size_t i, n;
	if (!yyjson_is_str(v) && !yyjson_is_arr(v))
		return bad(x, where, "a text or a list of parts");
	if (yyjson_arr_size(v) > CONTENT_MAX)
		return api_fail(x, ERR_INVALID, "invalid_value", where,
			"%s: at most %d parts are possible", where, CONTENT_MAX);
	jw_arr(w);
	if (yyjson_is_str(v))
		write_part(w, type, json_val_str(v), NULL);
	yyjson_arr_foreach(v, i, n, part)
	{
		enum err e = check_part(part, where, i, x);
		if (e)
			return e;
		bool refusal = str_eq_c(json_str(part, "type"), "refusal");
		write_part(w, refusal ? "refusal" : type, json_val_str(part_text(part)), part);
	}
	jw_end(w);
	return OK;
}

/* ---- one item ---- */

static void begin_item(
	struct jw *w, const char *prefix, const char *type, struct arena *a, struct item *out)
{
	char id[8 + ID_HEX + 1];
	item_id(prefix, id);
	out->id = arena_str(a, str_c(id));
	jw_obj(w);
	jw_kc(w, "id", id);
	jw_kc(w, "type", type);
}

static void keep_status(struct jw *w, yyjson_val *v)
{
	struct str status = json_str(v, "status");
	bool cut = str_eq_c(status, "incomplete");
	jw_kc(w, "status", cut ? "incomplete" : "completed");
}

static enum err write_message(struct jw *w, yyjson_val *v, const char *where, struct arena *a,
	struct item *out, struct api_error *x)
{
	static const char *const roles[] = {"user", "assistant", "system", "developer"};
	char param[80];
	struct str role = json_str(v, "role"), phase = json_str(v, "phase");
	size_t i = 0;
	while (i < ARRAY_LEN(roles) && !str_eq_c(role, roles[i]))
		i++;
	snprintf(param, sizeof param, "%s.role", where);
	if (i == ARRAY_LEN(roles))
		return api_fail(x, ERR_INVALID, "invalid_value", param,
			"%s must be user, assistant, system or developer", param);
	bool ours = str_eq_c(role, "assistant");
	begin_item(w, "msg", "message", a, out);
	keep_status(w, v);
	jw_kc(w, "role", roles[i]);
	if (ours && (str_eq_c(phase, "commentary") || str_eq_c(phase, "final_answer")))
		jw_kstr(w, "phase", phase);
	jw_key(w, "content");
	snprintf(param, sizeof param, "%s.content", where);
	return write_content(
		w, api_get(v, "content"), ours ? "output_text" : "input_text", param, x);
}

static enum err write_call(struct jw *w, yyjson_val *v, const char *where, struct arena *a,
	struct item *out, struct api_error *x)
{
	if (!json_str(v, "call_id").n || !json_str(v, "name").n ||
		!yyjson_is_str(api_get(v, "arguments")))
		return bad(x, where, "a function_call with call_id, name and arguments as text");
	begin_item(w, "fc", "function_call", a, out);
	keep_status(w, v);
	jw_kstr(w, "call_id", json_str(v, "call_id"));
	jw_kstr(w, "name", json_str(v, "name"));
	jw_kstr(w, "arguments", json_str(v, "arguments"));
	return OK;
}

static enum err write_result(struct jw *w, yyjson_val *v, const char *where, struct arena *a,
	struct item *out, struct api_error *x)
{
	char param[80];
	yyjson_val *said = api_get(v, "output");
	if (!json_str(v, "call_id").n)
		return bad(x, where, "a function_call_output with the call_id that it answers");
	begin_item(w, "fco", "function_call_output", a, out);
	keep_status(w, v);
	jw_kstr(w, "call_id", json_str(v, "call_id"));
	jw_key(w, "output");
	if (yyjson_is_str(said)) {
		jw_val(w, said);
		return OK;
	}
	snprintf(param, sizeof param, "%s.output", where);
	return write_content(w, said, "input_text", param, x);
}

static enum err write_thoughts(struct jw *w, yyjson_val *v, const char *where, struct arena *a,
	struct item *out, struct api_error *x)
{
	char param[80];
	yyjson_val *summary = api_get(v, "summary"), *content = api_get(v, "content");
	begin_item(w, "rs", "reasoning", a, out);
	jw_key(w, "summary");
	snprintf(param, sizeof param, "%s.summary", where);
	if (!summary) {
		jw_arr(w), jw_end(w);
	} else if (write_content(w, summary, "summary_text", param, x)) {
		return x->e;
	}
	if (!content)
		return OK;
	jw_key(w, "content");
	snprintf(param, sizeof param, "%s.content", where);
	return write_content(w, content, "reasoning_text", param, x);
}

/* A search that was made before: kept, not told to the model again. */
static enum err write_search(struct jw *w, yyjson_val *v, const char *where, struct arena *a,
	struct item *out, struct api_error *x)
{
	yyjson_val *queries = api_get(v, "queries"), *results = api_get(v, "results"), *q;
	size_t i, n;
	bool good = yyjson_is_arr(queries) && (!results || yyjson_is_arr(results));
	yyjson_arr_foreach(queries, i, n, q) good &= yyjson_is_str(q);
	if (!good)
		return bad(x, where, "a file_search_call with a list of queries");
	begin_item(w, "fs", "file_search_call", a, out);
	keep_status(w, v);
	jw_key(w, "queries"), jw_val(w, queries);
	jw_key(w, "results"), results ? jw_val(w, results) : jw_null(w);
	return OK;
}

static enum err refer(
	yyjson_val *v, const char *where, struct arena *a, struct item *out, struct api_error *x)
{
	struct str id = json_str(v, "id");
	if (!id.n || id.n > 64)
		return bad(x, where, "an item_reference with the id of an item");
	out->reference = arena_str(a, id);
	return out->reference.p ? OK : api_no_memory(x);
}

static enum err write_item(struct jw *w, yyjson_val *v, const char *where, struct arena *a,
	struct item *out, struct api_error *x)
{
	static const struct {
		const char *type;
		enum err (*fn)(struct jw *w, yyjson_val *v, const char *where, struct arena *a,
			struct item *out, struct api_error *x);
	} kinds[] = {{"message", write_message}, {"function_call", write_call},
		{"function_call_output", write_result}, {"reasoning", write_thoughts},
		{"file_search_call", write_search}};
	struct str type = json_str(v, "type");
	if (!yyjson_is_obj(v))
		return bad(x, where, "an object");
	if (!type.n && api_get(v, "role")) /* the short form of a message */
		type = S("message");
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (str_eq_c(type, kinds[i].type))
			return kinds[i].fn(w, v, where, a, out, x);
	if (!type.n)
		return bad(x, where, "an item with a type");
	return api_fail(x, ERR_INVALID, "unsupported_value", where,
		"%s: items of type '%.*s' are not supported; message, function_call, "
		"function_call_output, file_search_call, reasoning and item_reference are",
		where, STR_FMT(str_sub(type, 0, 40)));
}

static enum err parse_item(
	yyjson_val *v, const char *where, struct arena *a, struct item *out, struct api_error *x)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	if (str_eq_c(json_str(v, "type"), "item_reference"))
		return refer(v, where, a, out, x);
	enum err e = write_item(&w, v, where, a, out, x);
	if (!e) {
		jw_end(&w);
		if (jw_done(&w))
			out->json = arena_str(a, buf_str(&b));
		if (!out->json.p || !out->id.p)
			e = api_no_memory(x);
	}
	buf_free(&b);
	return e;
}

static enum err parse_text(struct str text, struct arena *a, struct item *out, struct api_error *x)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	begin_item(&w, "msg", "message", a, out);
	jw_kc(&w, "status", "completed");
	jw_kc(&w, "role", "user");
	jw_key(&w, "content");
	jw_arr(&w);
	write_part(&w, "input_text", text, NULL);
	jw_end(&w);
	jw_end(&w);
	if (jw_done(&w))
		out->json = arena_str(a, buf_str(&b));
	buf_free(&b);
	return out->json.p && out->id.p ? OK : api_no_memory(x);
}

enum err items_parse(yyjson_val *input, const char *param, size_t max, struct arena *a,
	struct item **out, size_t *n_out, struct api_error *x)
{
	yyjson_val *v;
	size_t i, n = yyjson_arr_size(input);
	enum err e = OK;
	if (!yyjson_is_str(input) && !yyjson_is_arr(input))
		return bad(x, param, "a text or a list of items");
	if (n > max)
		return api_fail(x, ERR_INVALID, "invalid_value", param,
			"%s has %zu items; at most %zu are possible", param, n, max);
	struct item *all = arena_array_of(a, n + 1, struct item);
	if (!all)
		return api_no_memory(x);
	if (yyjson_is_str(input)) {
		n = 1;
		e = parse_text(json_val_str(input), a, &all[0], x);
	}
	yyjson_arr_foreach(input, i, n, v)
	{
		char where[48];
		snprintf(where, sizeof where, "%s[%zu]", param, i);
		e = e ? e : parse_item(v, where, a, &all[i], x);
	}
	if (e)
		return e;
	*out = all;
	*n_out = yyjson_is_str(input) ? 1 : yyjson_arr_size(input);
	return OK;
}

/* ---- messages ---- */

/* An assistant's message whose calls may still come. */
struct pending {
	bool open;
	struct str content;
	struct buf calls; /* JSON objects, comma separated */
};

static enum err text_of(yyjson_val *v, struct arena *a, struct str *out, struct api_error *x)
{
	yyjson_val *part;
	size_t i, n;
	struct buf b = {0};
	if (yyjson_is_str(v)) {
		*out = json_val_str(v);
		return OK;
	}
	if (yyjson_arr_size(v) == 1) {
		*out = json_val_str(part_text(yyjson_arr_get(v, 0)));
		return OK;
	}
	yyjson_arr_foreach(v, i, n, part) buf_adds(&b, json_val_str(part_text(part)));
	*out = b.err ? (struct str){0} : arena_str(a, buf_str(&b));
	buf_free(&b);
	return out->p ? OK : api_no_memory(x);
}

static enum err end_pending(
	struct pending *q, struct arena *a, struct chat_params *p, struct api_error *x)
{
	struct chat_message *m = &p->messages[p->n_messages];
	if (!q->open)
		return OK;
	q->open = false;
	*m = (struct chat_message){.role = S("assistant"), .content = q->content};
	if (q->calls.n)
		m->tool_calls_json = arena_fmt(a, "[%.*s]", STR_FMT(buf_str(&q->calls)));
	if (q->calls.err || (q->calls.n && !m->tool_calls_json.p))
		return api_no_memory(x);
	buf_clear(&q->calls);
	q->content = S("");
	p->n_messages++;
	return OK;
}

static void add_call(struct pending *q, yyjson_val *v)
{
	q->open = true;
	if (q->calls.n)
		buf_putc(&q->calls, ',');
	struct jw w = {.out = &q->calls};
	jw_obj(&w);
	jw_kstr(&w, "id", json_str(v, "call_id"));
	jw_kc(&w, "type", "function");
	jw_key(&w, "function");
	jw_obj(&w);
	jw_kstr(&w, "name", json_str(v, "name"));
	jw_kstr(&w, "arguments", json_str(v, "arguments"));
	jw_end(&w);
	jw_end(&w);
}

/* Instructions and a system message at the head are one: many templates take no second. */
static enum err add_system(
	struct arena *a, struct str text, struct chat_params *p, struct api_error *x)
{
	struct chat_message *last = p->n_messages ? &p->messages[p->n_messages - 1] : NULL;
	if (!last || !str_eq_c(last->role, "system")) {
		p->messages[p->n_messages++] =
			(struct chat_message){.role = S("system"), .content = text};
		return OK;
	}
	last->content = arena_fmt(a, "%.*s\n\n%.*s", STR_FMT(last->content), STR_FMT(text));
	return last->content.p ? OK : api_no_memory(x);
}

static enum err add_message(struct pending *q, yyjson_val *v, struct arena *a,
	struct chat_params *p, struct api_error *x)
{
	struct str role = json_str(v, "role"), text = S("");
	enum err e = text_of(api_get(v, "content"), a, &text, x);
	e = e ? e : end_pending(q, a, p, x);
	if (e)
		return e;
	if (str_eq_c(role, "assistant")) {
		q->open = true;
		q->content = text;
		return OK;
	}
	if (!str_eq_c(role, "user"))
		return add_system(a, text, p, x);
	p->messages[p->n_messages++] = (struct chat_message){.role = S("user"), .content = text};
	p->last_user = text;
	return OK;
}

static enum err add_item(struct pending *q, yyjson_val *v, struct arena *a, struct chat_params *p,
	struct api_error *x)
{
	struct str type = json_str(v, "type");
	if (str_eq_c(type, "message"))
		return add_message(q, v, a, p, x);
	if (str_eq_c(type, "function_call")) {
		add_call(q, v);
		return OK;
	}
	if (!str_eq_c(type, "function_call_output"))
		return OK; /* what a model thought before is not told to it again */
	struct chat_message m = {.role = S("tool"), .tool_call_id = json_str(v, "call_id")};
	enum err e = text_of(api_get(v, "output"), a, &m.content, x);
	e = e ? e : end_pending(q, a, p, x);
	if (!e)
		p->messages[p->n_messages++] = m;
	return e;
}

static enum err parse_stored(
	struct str json, struct arena *a, yyjson_val **out, struct api_error *x)
{
	yyjson_doc *doc;
	enum err e = json_parse(json, &doc, &x->et);
	if (e)
		return api_fail(x, ERR_CORRUPT, NULL, NULL, "a stored item cannot be read");
	if (!arena_on_free(a, (void (*)(void *))yyjson_doc_free, doc)) {
		yyjson_doc_free(doc);
		return api_no_memory(x);
	}
	*out = yyjson_doc_get_root(doc);
	return OK;
}

enum err items_messages(const struct item *items, size_t n, struct str instructions,
	struct arena *a, struct chat_params *p, struct api_error *x)
{
	struct pending q = {.content = S("")};
	enum err e = OK;
	p->n_messages = 0;
	p->last_user = S("");
	p->messages = arena_array_of(a, n + 2, struct chat_message);
	if (!p->messages)
		return api_no_memory(x);
	if (instructions.n)
		e = add_system(a, instructions, p, x);
	for (size_t i = 0; i < n && !e; i++) {
		yyjson_val *v = NULL;
		e = parse_stored(items[i].json, a, &v, x);
		e = e ? e : add_item(&q, v, a, p, x);
	}
	e = e ? e : end_pending(&q, a, p, x);
	buf_free(&q.calls);
	if (!e && !p->n_messages)
		e = api_fail(x, ERR_INVALID, "missing_required_parameter", "input",
			"there is nothing to answer: input has no message");
	return e;
}
