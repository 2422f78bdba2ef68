/* One span in one form, whatever convention it follows: messages in and out, documents, the call of
 * a tool. Reads OpenTelemetry's GenAI attributes (JSON text, structured values, events, and the
 * older names), OpenInference's and Traceloop's flattened lists, and the chat formats that
 * Langfuse and MLflow put whole into one attribute.
 *
 *	message   { role, parts: Part[], finish? }
 *	part      { type: "text" | "reasoning", text }
 *	          { type: "tool_call", id?, name, arguments }
 *	          { type: "tool_result", id?, result }
 *	          { type: ..., value }            anything else, as it was
 *	document  { id?, text, score?, metadata? }
 *
 * Values are a tree of yyjson's; flattened names ("llm.input_messages.0.message.role") are put
 * together again. NODES_MAX bounds what one span can become. */
#include "run/trace_int.h"
#include "base/json.h"

#include <stdlib.h>

enum { NODES_MAX = 200000, ATTRIBUTES_MAX = 10000, INDEX_MAX = 4096, PATH_MAX_PARTS = 24 };

typedef yyjson_mut_val val;

struct view {
	yyjson_mut_doc *d;
	val *flat; /* the attributes by name */
	size_t nodes;
	const struct trace_log_row *logs; /* of the span */
	size_t n_logs;
};

/* ---- small things ---- */

static val *text_val(struct view *v, struct str s)
{
	if (utf8_valid(s))
		return yyjson_mut_strncpy(v->d, s.p, s.n);
	char *clean = run_clean_max(s, s.n);
	val *t = clean ? yyjson_mut_strcpy(v->d, clean) : NULL;
	free(clean);
	return t;
}

static val *get(val *obj, const char *key)
{
	return yyjson_mut_is_obj(obj) ? yyjson_mut_obj_get(obj, key) : NULL;
}

/* The first of several names that is there and not null. */
static val *first_of(val *obj, const char *const *keys, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		val *x = get(obj, keys[i]);
		if (x && !yyjson_mut_is_null(x))
			return x;
	}
	return NULL;
}
#define FIRST(obj, ...)                                   \
	first_of(obj, (const char *const[]){__VA_ARGS__}, \
		sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void put(struct view *v, val *obj, const char *key, val *x)
{
	/* a value that hangs somewhere already is copied: it can be in one place only */
	if (x)
		yyjson_mut_obj_add_val(v->d, obj, key, yyjson_mut_val_mut_copy(v->d, x));
}

static void put_text(struct view *v, val *obj, const char *key, const char *text)
{
	yyjson_mut_obj_add_strcpy(v->d, obj, key, text);
}

static struct str str_of(val *x)
{
	return yyjson_mut_is_str(x) ? str_mk(yyjson_mut_get_str(x), yyjson_mut_get_len(x))
				    : (struct str){0};
}

/* JSON written as a text, as most SDKs do; anything else as it is. */
static val *opened(struct view *v, val *x)
{
	struct str s = str_of(x);
	yyjson_doc *doc;
	if (!s.n || (s.p[0] != '{' && s.p[0] != '[' && s.p[0] != '"') || v->nodes > NODES_MAX ||
		json_parse(s, &doc, NULL))
		return x;
	v->nodes += yyjson_doc_get_val_count(doc);
	if (v->nodes <= NODES_MAX)
		x = yyjson_val_mut_copy(v->d, yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	return x;
}

/* ---- the attributes ---- */

static val *otel_val(struct view *v, const struct otel_value *o)
{
	struct pb m = pb_of(o->s);
	struct otel_value inner;
	struct str key;
	val *out;
	v->nodes++;
	switch (o->type) {
	case OTEL_STR:
	case OTEL_BYTES: /* the span's attributes show them; here they are only carried along */
		return text_val(v, o->s);
	case OTEL_BOOL:
		return yyjson_mut_bool(v->d, o->i != 0);
	case OTEL_INT:
		return yyjson_mut_sint(v->d, o->i);
	case OTEL_DOUBLE:
		return o->f - o->f == 0 ? yyjson_mut_real(v->d, o->f) : yyjson_mut_null(v->d);
	case OTEL_LIST:
		out = yyjson_mut_arr(v->d);
		while (v->nodes < NODES_MAX && otel_next_item(&m, &inner))
			yyjson_mut_arr_append(out, otel_val(v, &inner));
		return out;
	case OTEL_MAP:
		out = yyjson_mut_obj(v->d);
		while (v->nodes < NODES_MAX && otel_next_attr(&m, OTEL_MAP_ATTRS, &key, &inner))
			yyjson_mut_obj_add(out, text_val(v, key), otel_val(v, &inner));
		return out;
	default:
		return yyjson_mut_null(v->d);
	}
}

static void add_attributes(struct view *v, struct str message, uint32_t number)
{
	struct pb m = pb_of(message);
	struct otel_value o;
	struct str key;
	for (size_t n = 0;
		n < ATTRIBUTES_MAX && v->nodes < NODES_MAX && otel_next_attr(&m, number, &key, &o);
		n++)
		yyjson_mut_obj_add(v->flat, text_val(v, key), otel_val(v, &o));
}

/* ---- flattened lists ---- */

static bool index_of(struct str s, size_t *out)
{
	uint64_t i;
	if (!s.n || s.n > 5 || !str_u64(s, &i) || i > INDEX_MAX)
		return false;
	*out = (size_t)i;
	return true;
}

/* The child of `at` by one part of a name, made when it is missing; NULL: the parts disagree. */
static val *child(struct view *v, val *at, struct str part, bool next_is_list)
{
	size_t i;
	val *x = NULL;
	if (yyjson_mut_is_arr(at)) {
		if (!index_of(part, &i))
			return NULL;
		while (yyjson_mut_arr_size(at) <= i && v->nodes++ < NODES_MAX)
			yyjson_mut_arr_append(at, yyjson_mut_null(v->d));
		x = yyjson_mut_arr_get(at, i);
		if (!x || !yyjson_mut_is_null(x))
			return x;
		yyjson_mut_arr_replace(
			at, i, next_is_list ? yyjson_mut_arr(v->d) : yyjson_mut_obj(v->d));
		return yyjson_mut_arr_get(at, i);
	}
	if (!yyjson_mut_is_obj(at))
		return NULL;
	x = yyjson_mut_obj_getn(at, part.p, part.n);
	if (!x && v->nodes++ < NODES_MAX) {
		x = next_is_list ? yyjson_mut_arr(v->d) : yyjson_mut_obj(v->d);
		yyjson_mut_obj_add(at, yyjson_mut_strncpy(v->d, part.p, part.n), x);
	}
	return x;
}

static void set_leaf(struct view *v, val *at, struct str part, val *x)
{
	size_t i;
	x = yyjson_mut_val_mut_copy(v->d, x);
	if (yyjson_mut_is_obj(at)) {
		if (!yyjson_mut_obj_getn(at, part.p, part.n))
			yyjson_mut_obj_add(at, yyjson_mut_strncpy(v->d, part.p, part.n), x);
	} else if (yyjson_mut_is_arr(at) && index_of(part, &i)) {
		while (yyjson_mut_arr_size(at) <= i && v->nodes++ < NODES_MAX)
			yyjson_mut_arr_append(at, yyjson_mut_null(v->d));
		if (i < yyjson_mut_arr_size(at))
			yyjson_mut_arr_replace(at, i, x);
	}
}

static void set_path(struct view *v, val *at, struct str rest, val *x)
{
	struct str parts[PATH_MAX_PARTS];
	size_t n = 0, ignored;
	while (n < PATH_MAX_PARTS && str_next(&rest, '.', &parts[n]))
		n++;
	for (size_t i = 0; at && i + 1 < n; i++)
		at = child(v, at, parts[i], index_of(parts[i + 1], &ignored));
	if (at && n)
		set_leaf(v, at, parts[n - 1], x);
}

/* All of "prefix.0.a.b", "prefix.1.a" as a list; NULL when there is none. */
static val *listed(struct view *v, const char *prefix)
{
	size_t i, max, n = strlen(prefix);
	val *key, *x, *list = NULL;
	yyjson_mut_obj_foreach(v->flat, i, max, key, x)
	{
		struct str name = str_of(key);
		if (name.n <= n + 1 || memcmp(name.p, prefix, n) || name.p[n] != '.')
			continue;
		if (!list)
			list = yyjson_mut_arr(v->d);
		set_path(v, list, str_sub(name, n + 1, name.n), x);
	}
	return list;
}

/* ---- messages ---- */

static void add_text(struct view *v, val *parts, const char *type, val *text)
{
	if (!yyjson_mut_is_str(text) || !yyjson_mut_get_len(text))
		return;
	val *p = yyjson_mut_arr_add_obj(v->d, parts);
	put_text(v, p, "type", type);
	put(v, p, "text", text);
}

static void add_call(struct view *v, val *parts, val *call)
{
	val *inner = get(call, "tool_call"), *function;
	if (!yyjson_mut_is_obj(call))
		return; /* a hole in a flattened list */
	call = inner ? inner : call;
	function = get(call, "function");
	val *name = FIRST(function ? function : call, "name");
	if (!name)
		name = FIRST(call, "name", "function.name");
	val *args = FIRST(function ? function : call, "arguments", "input", "args");
	val *p = yyjson_mut_arr_add_obj(v->d, parts);
	put_text(v, p, "type", "tool_call");
	put(v, p, "id", FIRST(call, "id", "call_id", "tool_call_id"));
	put(v, p, "name", name);
	if (args)
		put(v, p, "arguments", opened(v, args));
}

static void add_result(struct view *v, val *parts, val *id, val *result)
{
	val *p = yyjson_mut_arr_add_obj(v->d, parts);
	put_text(v, p, "type", "tool_result");
	put(v, p, "id", id);
	if (result)
		put(v, p, "result", opened(v, result));
}

static bool is_one_of(struct str s, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq_c(s, words[i]))
			return true;
	return false;
}
#define IS(s, ...)                                       \
	is_one_of(s, (const char *const[]){__VA_ARGS__}, \
		sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void add_part(struct view *v, val *parts, val *p)
{
	val *inner = get(p, "message_content"); /* OpenInference */
	p = inner ? inner : p;
	struct str type = str_of(get(p, "type"));
	if (yyjson_mut_is_str(p)) {
		add_text(v, parts, "text", p);
	} else if (IS(type, "text", "input_text", "output_text")) {
		add_text(v, parts, "text", FIRST(p, "content", "text"));
	} else if (IS(type, "reasoning", "thinking")) {
		add_text(v, parts, "reasoning", FIRST(p, "content", "thinking", "text"));
	} else if (IS(type, "tool_call", "tool_use", "function_call", "function",
			   "server_tool_call")) {
		add_call(v, parts, p);
	} else if (IS(type, "tool_call_response", "tool_result", "function_call_output")) {
		add_result(v, parts, FIRST(p, "id", "tool_use_id", "call_id", "tool_call_id"),
			FIRST(p, "response", "result", "content", "output"));
	} else if (yyjson_mut_is_obj(p)) {
		val *o = yyjson_mut_arr_add_obj(v->d, parts);
		yyjson_mut_obj_add_strncpy(
			v->d, o, "type", type.n ? type.p : "data", type.n ? type.n : 4);
		put(v, o, "value", p);
	}
}

static void add_content(struct view *v, val *parts, val *content)
{
	size_t i, n;
	val *p;
	if (yyjson_mut_is_arr(content)) {
		yyjson_mut_arr_foreach(content, i, n, p) add_part(v, parts, p);
	} else if (content) {
		add_part(v, parts, content);
	}
}

static void add_message(struct view *v, val *out, val *m, const char *role)
{
	val *inner = get(m, "message"), *finish = FIRST(m, "finish_reason", "stop_reason"), *x;
	size_t i, n;
	m = yyjson_mut_is_obj(inner) ? inner : m;
	val *o = yyjson_mut_arr_add_obj(v->d, out), *said = get(m, "role");
	if (yyjson_mut_is_str(said))
		put(v, o, "role", said);
	else
		put_text(v, o, "role", role);
	val *parts = yyjson_mut_obj_add_arr(v->d, o, "parts");
	val *id = FIRST(m, "tool_call_id", "id");
	add_text(v, parts, "reasoning", FIRST(m, "reasoning_content", "reasoning"));
	if (str_eq_c(str_of(said), "tool") && !get(m, "parts") && get(m, "content"))
		add_result(v, parts, id, get(m, "content"));
	else
		add_content(v, parts, FIRST(m, "parts", "content", "contents", "text"));
	val *calls = opened(v, get(m, "tool_calls"));
	yyjson_mut_arr_foreach(calls, i, n, x) add_call(v, parts, x);
	if (yyjson_mut_is_obj(get(m, "function_call")))
		add_call(v, parts, get(m, "function_call"));
	put(v, o, "finish", finish ? finish : FIRST(m, "finish_reason", "stop_reason"));
}

static bool is_message(val *x)
{
	return yyjson_mut_is_obj(x) &&
	       (get(x, "role") || get(x, "message") || get(x, "parts") || get(x, "content"));
}

/* Adds what the value holds; false when it holds no messages. */
static bool add_messages(struct view *v, val *out, val *x, const char *role, unsigned depth)
{
	size_t i, n;
	val *item;
	x = opened(v, x);
	if (!x || depth > 3)
		return false;
	if (yyjson_mut_is_arr(x)) {
		bool any = false;
		yyjson_mut_arr_foreach(x, i, n, item)
		{
			struct str type = str_of(get(item, "type"));
			if (is_message(item)) {
				add_message(v, out, item, role);
				any = true;
			} else if (type.n) { /* an item of OpenAI's responses */
				val *o = yyjson_mut_arr_add_obj(v->d, out);
				put_text(v, o, "role", role);
				add_part(v, yyjson_mut_obj_add_arr(v->d, o, "parts"), item);
				any = true;
			} else if (yyjson_mut_is_arr(item)) { /* LangChain: a list of lists */
				any |= add_messages(v, out, item, role, depth + 1);
			}
		}
		return any;
	}
	if (!yyjson_mut_is_obj(x))
		return false;
	val *inner = FIRST(x, "messages", "choices", "input", "output");
	if (yyjson_mut_is_arr(inner) && (add_messages(v, out, inner, role, depth + 1)))
		return true;
	if (!is_message(x))
		return false;
	add_message(v, out, x, role);
	return true;
}

static void add_system_of(struct view *v, val *said, val *out)
{
	val *x = opened(v, FIRST(said, "gen_ai.system_instructions"));
	if (!x)
		return;
	val *o = yyjson_mut_obj(v->d);
	put_text(v, o, "role", "system");
	add_content(v, yyjson_mut_obj_add_arr(v->d, o, "parts"), x);
	yyjson_mut_arr_insert(out, o, 0);
}

/* What an event says: `said` is its attributes, and of a log record its body. */
static void add_genai_event(struct view *v, struct str name, val *said, val *in, val *out)
{
	static const struct {
		const char *event, *role;
	} roles[] = {{"gen_ai.system.message", "system"}, {"gen_ai.user.message", "user"},
		{"gen_ai.assistant.message", "assistant"}, {"gen_ai.tool.message", "tool"},
		{"gen_ai.choice", "assistant"}};
	for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
		if (!str_eq_c(name, roles[i].event))
			continue;
		val *message = get(said, "message");
		if (message)
			yyjson_mut_obj_put(
				said, yyjson_mut_str(v->d, "message"), opened(v, message));
		else if (!get(said, "role"))
			put_text(v, said, "role", roles[i].role);
		add_message(v, i == 4 ? out : in, said, roles[i].role);
	}
	add_messages(v, in, FIRST(said, "gen_ai.input.messages", "gen_ai.prompt"), "user", 0);
	add_messages(
		v, out, FIRST(said, "gen_ai.output.messages", "gen_ai.completion"), "assistant", 0);
}

/* Older instrumentations write each message as an event of the span. */
static void add_event_messages(struct view *v, struct str raw, val *in, val *out)
{
	struct pb m = pb_of(raw);
	struct otel_event ev;
	while (v->nodes < NODES_MAX && otel_next_event(&m, &ev)) {
		if (!str_starts(ev.name, S("gen_ai.")))
			continue;
		struct view of = {.d = v->d, .flat = yyjson_mut_obj(v->d), .nodes = v->nodes};
		add_attributes(&of, ev.raw, OTEL_EVENT_ATTRS);
		v->nodes = of.nodes;
		add_genai_event(v, ev.name, of.flat, in, out);
	}
}

/* Others send it as log records. */
static void add_log_messages(struct view *v, val *in, val *out)
{
	for (size_t i = 0; i < v->n_logs && v->nodes < NODES_MAX; i++) {
		const struct otel_log *l = &v->logs[i].log;
		if (!str_starts(l->event, S("gen_ai.")))
			continue;
		struct view of = {.d = v->d, .flat = yyjson_mut_obj(v->d), .nodes = v->nodes};
		if (l->body.type == OTEL_MAP)
			add_attributes(&of, l->body.s, OTEL_MAP_ATTRS);
		add_attributes(&of, l->raw, OTEL_LOG_ATTRS);
		if (l->body.type == OTEL_STR && !get(of.flat, "content"))
			put(v, of.flat, "content", text_val(v, l->body.s));
		v->nodes = of.nodes;
		add_genai_event(v, l->event, of.flat, in, out);
		add_system_of(v, of.flat, in);
	}
}

static void find_messages(
	struct view *v, const struct trace_facts *f, struct str raw, val *in, val *out)
{
	bool llm = f->calls_model && strcmp(f->type, "llm") == 0;
	add_system_of(v, v->flat, in);
	bool got_in = add_messages(v, in, FIRST(v->flat, "gen_ai.input.messages"), "user", 0) ||
		      add_messages(v, in, listed(v, "llm.input_messages"), "user", 0) ||
		      add_messages(v, in, listed(v, "gen_ai.prompt"), "user", 0);
	bool got_out =
		add_messages(v, out, FIRST(v->flat, "gen_ai.output.messages"), "assistant", 0) ||
		add_messages(v, out, listed(v, "llm.output_messages"), "assistant", 0) ||
		add_messages(v, out, listed(v, "gen_ai.completion"), "assistant", 0);
	if (!got_in && !got_out && raw.n)
		add_event_messages(v, raw, in, out);
	if (!got_in && !got_out && !yyjson_mut_arr_size(out))
		add_log_messages(v, in, out);
	if (llm && !yyjson_mut_arr_size(in))
		add_messages(v, in,
			FIRST(v->flat, "gen_ai.prompt", "langfuse.observation.input", "input.value",
				"mlflow.spanInputs", "input"),
			"user", 0);
	if (llm && !yyjson_mut_arr_size(out))
		add_messages(v, out,
			FIRST(v->flat, "gen_ai.completion", "langfuse.observation.output",
				"output.value", "mlflow.spanOutputs", "output"),
			"assistant", 0);
}

/* ---- documents and tools ---- */

static bool add_documents(struct view *v, val *out, val *list)
{
	size_t i, n;
	val *item;
	list = opened(v, list);
	if (yyjson_mut_is_obj(list))
		list = FIRST(list, "documents", "results", "hits");
	if (!yyjson_mut_is_arr(list))
		return false;
	yyjson_mut_arr_foreach(list, i, n, item)
	{
		val *inner = get(item, "document"), *x = yyjson_mut_is_obj(inner) ? inner : item;
		val *text = yyjson_mut_is_str(x) ? x : FIRST(x, "content", "page_content", "text");
		if (!text && !FIRST(x, "id", "score"))
			continue;
		val *o = yyjson_mut_arr_add_obj(v->d, out);
		put(v, o, "id", FIRST(x, "id", "doc_uri"));
		put(v, o, "text", text);
		put(v, o, "score", FIRST(x, "score", "relevance_score"));
		val *meta = FIRST(x, "metadata");
		if (meta)
			put(v, o, "metadata", opened(v, meta));
	}
	return yyjson_mut_arr_size(out) > 0;
}

static void find_documents(struct view *v, const struct trace_facts *f, val *out)
{
	bool asks = strcmp(f->type, "retriever") == 0 || strcmp(f->type, "reranker") == 0;
	bool got = add_documents(v, out, listed(v, "retrieval.documents")) ||
		   add_documents(v, out, listed(v, "reranker.output_documents")) ||
		   add_documents(v, out, FIRST(v->flat, "gen_ai.retrieval.documents"));
	if (!got && asks)
		add_documents(v, out,
			FIRST(v->flat, "output.value", "mlflow.spanOutputs",
				"langfuse.observation.output", "output"));
}

static void find_tool(struct view *v, const struct trace_facts *f, val *root)
{
	if (strcmp(f->type, "tool") != 0)
		return;
	val *o = yyjson_mut_obj_add_obj(v->d, root, "tool");
	put(v, o, "name", FIRST(v->flat, "gen_ai.tool.name", "tool.name", "mcp.tool.name"));
	put(v, o, "id", FIRST(v->flat, "gen_ai.tool.call.id", "tool_call.id"));
	put(v, o, "description", FIRST(v->flat, "gen_ai.tool.description", "tool.description"));
	val *args = FIRST(v->flat, "gen_ai.tool.call.arguments", "tool.parameters", "input.value",
		"mlflow.spanInputs", "langfuse.observation.input", "input");
	val *result = FIRST(v->flat, "gen_ai.tool.call.result", "output.value",
		"mlflow.spanOutputs", "langfuse.observation.output", "output");
	if (args)
		put(v, o, "arguments", opened(v, args));
	if (result)
		put(v, o, "result", opened(v, result));
}

/* ---- the whole ---- */

static void put_value(struct view *v, val *root, const char *key, const struct otel_value *o)
{
	if (o->type != OTEL_EMPTY)
		put(v, root, key, opened(v, otel_val(v, o)));
}

static void put_list(struct view *v, val *root, const char *key, val *list)
{
	if (yyjson_mut_arr_size(list))
		yyjson_mut_obj_add_val(v->d, root, key, list);
}

static char *write_view(struct view *v, const struct trace_facts *f, struct str raw)
{
	val *root = yyjson_mut_obj(v->d), *in = yyjson_mut_arr(v->d), *out = yyjson_mut_arr(v->d),
	    *docs = yyjson_mut_arr(v->d);
	yyjson_mut_doc_set_root(v->d, root);
	find_messages(v, f, raw, in, out);
	find_documents(v, f, docs);
	put_list(v, root, "messages_in", in);
	put_list(v, root, "messages_out", out);
	put_list(v, root, "documents", docs);
	find_tool(v, f, root);
	put_value(v, root, "input", &f->input);
	put_value(v, root, "output", &f->output);
	return yyjson_mut_write(v->d, 0, NULL);
}

char *trace_view_otel(const struct otel_span *s, const struct trace_facts *f,
	const struct trace_log_row *logs, size_t n_logs)
{
	struct view v = {.d = yyjson_mut_doc_new(NULL), .logs = logs, .n_logs = n_logs};
	if (!v.d)
		return NULL;
	v.flat = yyjson_mut_obj(v.d);
	add_attributes(&v, s->raw, OTEL_SPAN_ATTRS);
	char *json = write_view(&v, f, s->raw);
	yyjson_mut_doc_free(v.d);
	return json;
}

char *trace_view_own(struct str attributes, const struct trace_facts *f)
{
	struct view v = {.d = yyjson_mut_doc_new(NULL)};
	if (!v.d)
		return NULL;
	yyjson_doc *doc = NULL;
	if (!json_parse(attributes, &doc, NULL))
		v.flat = yyjson_val_mut_copy(v.d, yyjson_doc_get_root(doc));
	if (!yyjson_mut_is_obj(v.flat))
		v.flat = yyjson_mut_obj(v.d);
	char *json = write_view(&v, f, (struct str){"", 0});
	yyjson_doc_free(doc);
	yyjson_mut_doc_free(v.d);
	return json;
}
