/* The prompt of a turn: messages and tools through the model's own chat template, then tokens.
 *
 * Where a template knows nothing of tools they are explained in the system message, calls are
 * written as the explanation says, and results come as the user's text. Where it knows them it
 * still has wishes: ids of a certain length, one call a message. */
#include "endpoint/chat_int.h"

#include "base/hash.h"

struct chat_manner chat_manner_of(const struct endpoint *ep)
{
	struct str template = tokenizer_chat_template(model_tokenizer(endpoint_model(ep)));
	const struct toolcall_family *f = toolcall_family(template);
	return (struct chat_manner){.family = f ? f : toolcall_generic(),
		.renders_tools = f,
		.thinks = thinking_signs(template)};
}

/* What is being put together. */
struct draft {
	const struct chat_request *r;
	struct chat_manner manner;
	const struct tokenizer *tk;
	struct arena *a;
	struct chat_message *m;
	size_t n;
};

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for the prompt");
}

static struct str keep(struct draft *d, struct buf *b)
{
	struct str s = b->err ? (struct str){0} : arena_str(d->a, buf_str(b));
	buf_free(b);
	return s;
}

/* ---- tools ---- */

static void write_tool(struct jw *w, const struct chat_tool *t)
{
	jw_obj(w);
	jw_kc(w, "type", "function");
	jw_key(w, "function");
	jw_obj(w);
	jw_kstr(w, "name", t->name);
	if (t->description.n)
		jw_kstr(w, "description", t->description);
	jw_key(w, "parameters");
	jw_raw(w, t->parameters.n ? t->parameters : S("{\"type\":\"object\",\"properties\":{}}"));
	jw_end(w);
	jw_end(w);
}

static struct str tools_json(struct draft *d)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_arr(&w);
	for (size_t i = 0; i < d->r->n_tools; i++)
		write_tool(&w, &d->r->tools[i]);
	jw_end(&w);
	return keep(d, &b);
}

/* Explained to a model whose template does not: the words that Hermes and Qwen were taught. */
static struct str explained(struct draft *d, struct str system)
{
	struct buf b = {0};
	if (system.n)
		buf_addf(&b, "%.*s\n\n", STR_FMT(system));
	buf_addc(&b,
		"# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
		"You are provided with function signatures within <tools></tools> XML tags:\n"
		"<tools>");
	for (size_t i = 0; i < d->r->n_tools; i++) {
		struct jw w = {.out = &b};
		buf_putc(&b, '\n');
		write_tool(&w, &d->r->tools[i]);
	}
	buf_addc(&b,
		"\n</tools>\n\nFor each function call, return a json object with function name "
		"and arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n"
		"{\"name\": <function-name>, \"arguments\": <args-json-object>}\n"
		"</tool_call>");
	return keep(d, &b);
}

/* ---- messages ---- */

/* {"id", "type", "function": {"name", "arguments": "{...}"}} as the model would have written it. */
static void write_call_text(struct buf *b, yyjson_val *call)
{
	yyjson_val *fn = yyjson_obj_get(call, "function");
	yyjson_val *args = yyjson_obj_get(fn, "arguments");
	buf_addc(b, b->n ? "\n<tool_call>\n{\"name\": " : "<tool_call>\n{\"name\": ");
	json_escape(b, json_str(fn, "name"));
	buf_addc(b, ", \"arguments\": ");
	if (yyjson_is_str(args)) {
		buf_adds(b, json_val_str(args).n ? json_val_str(args) : S("{}"));
	} else {
		struct jw w = {.out = b};
		jw_val(&w, args);
	}
	buf_addc(b, "}\n</tool_call>");
}

static enum err calls_as_text(struct draft *d, struct chat_message *m, struct errtext *et)
{
	yyjson_doc *doc;
	yyjson_val *call;
	size_t i, n;
	struct buf b = {0};
	enum err e = json_parse(m->tool_calls_json, &doc, et);
	if (e)
		return err_wrap(et, e, "tool_calls");
	buf_adds(&b, m->content);
	yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n, call) write_call_text(&b, call);
	yyjson_doc_free(doc);
	m->content = keep(d, &b);
	m->tool_calls_json = S("");
	return m->content.p ? OK : no_memory(et);
}

/* Results are the user's text; those of one turn share a message, as roles must alternate. */
static enum err result_as_text(struct draft *d, const struct chat_message *m, struct errtext *et)
{
	struct buf b = {0};
	struct chat_message *last = d->n ? &d->m[d->n - 1] : NULL;
	bool joins = last && str_eq_c(last->role, "user") &&
		     str_ends(last->content, S("</tool_response>"));
	if (joins)
		buf_addf(&b, "%.*s\n", STR_FMT(last->content));
	buf_addf(&b, "<tool_response>\n%.*s\n</tool_response>", STR_FMT(m->content));
	struct str text = keep(d, &b);
	if (!text.p)
		return no_memory(et);
	if (!joins)
		last = &d->m[d->n++];
	*last = (struct chat_message){.role = S("user"), .content = text};
	return OK;
}

/* The id itself when it has the length, else letters and digits that stand for it. */
static struct str id_of_length(struct draft *d, struct str id)
{
	char hex[SHA256_HEX + 1];
	unsigned n = d->manner.family->id_length;
	bool good = id.n == n;
	for (size_t i = 0; i < id.n && good; i++)
		good = (id.p[i] >= '0' && id.p[i] <= '9') || (id.p[i] >= 'a' && id.p[i] <= 'z') ||
		       (id.p[i] >= 'A' && id.p[i] <= 'Z');
	if (!n || good)
		return id;
	sha256_hex_of(id, hex);
	return arena_str(d->a, str_mk(hex, n));
}

static void write_call(struct draft *d, struct jw *w, yyjson_val *call)
{
	yyjson_val *k, *v;
	size_t i, n;
	jw_obj(w);
	yyjson_obj_foreach(call, i, n, k, v)
	{
		jw_key_str(w, json_val_str(k));
		if (str_eq_c(json_val_str(k), "id"))
			jw_str(w, id_of_length(d, json_val_str(v)));
		else
			jw_val(w, v);
	}
	jw_end(w);
}

/* The message with its calls, or one message for each where the template takes no more. */
static enum err calls_as_wished(struct draft *d, const struct chat_message *m, struct errtext *et)
{
	yyjson_doc *doc;
	enum err e = json_parse(m->tool_calls_json, &doc, et);
	if (e)
		return err_wrap(et, e, "tool_calls");
	yyjson_val *all = yyjson_doc_get_root(doc);
	size_t n = yyjson_arr_size(all), each = d->manner.family->single ? 1 : n;
	for (size_t i = 0; i < n && !e; i += each) {
		struct buf b = {0};
		struct jw w = {.out = &b};
		jw_arr(&w);
		for (size_t k = i; k < i + each; k++)
			write_call(d, &w, yyjson_arr_get(all, k));
		jw_end(&w);
		d->m[d->n] = *m;
		d->m[d->n].tool_calls_json = keep(d, &b);
		if (!d->m[d->n++].tool_calls_json.p)
			e = no_memory(et);
	}
	yyjson_doc_free(doc);
	return e;
}

/* What users and tools wrote must not become the model's control tokens, with which it could
 * pretend to be somebody else's turn: a space breaks what the tokenizer would take for one. */
static enum err defuse(struct draft *d, struct str *s, struct errtext *et)
{
	struct tokens t = {0};
	struct buf b = {0};
	size_t from = 0;
	if (str_chr(*s, '<') == STR_NONE && str_chr(*s, '[') == STR_NONE)
		return OK;
	enum err e = tokenizer_encode(d->tk, *s, TOKENIZE_SPECIAL | TOKENIZE_OFFSETS, &t, et);
	for (size_t i = 0; i < t.n && !e; i++)
		if (tokenizer_is_control(d->tk, t.id[i]) && t.to[i] > t.from[i] + 1) {
			buf_adds(&b, str_sub(*s, from, t.from[i] + 1));
			buf_putc(&b, ' ');
			from = t.from[i] + 1;
		}
	tokens_free(&t);
	if (!e && from) {
		buf_adds(&b, str_sub(*s, from, s->n));
		*s = keep(d, &b);
		e = s->p ? OK : no_memory(et);
	}
	buf_free(&b);
	return e;
}

static enum err add_message(struct draft *d, const struct chat_message *in, struct errtext *et)
{
	struct chat_message safe = *in, *m = &safe;
	if (str_eq_c(m->role, "user") || str_eq_c(m->role, "tool")) {
		enum err e = defuse(d, &safe.content, et);
		if (e)
			return e;
	}
	bool own = !d->manner.renders_tools;
	if (str_eq_c(m->role, "tool") && own)
		return result_as_text(d, m, et);
	/* Harmony takes a thought or a text before a call, not both: the text goes ahead */
	if (m->tool_calls_json.n && d->manner.family->messages && m->reasoning.n && m->content.n) {
		d->m[d->n++] = (struct chat_message){.role = m->role, .content = m->content};
		m->content = S("");
	}
	if (m->tool_calls_json.n && !own)
		return calls_as_wished(d, m, et);
	d->m[d->n] = *m;
	if (own)
		d->m[d->n].reasoning = S("");
	d->m[d->n].tool_call_id = id_of_length(d, m->tool_call_id);
	return m->tool_calls_json.n ? calls_as_text(d, &d->m[d->n++], et) : (d->n++, OK);
}

static size_t calls_in(struct str json)
{
	yyjson_doc *doc;
	if (!json.n || json_parse(json, &doc, NULL))
		return 0;
	size_t n = yyjson_arr_size(yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	return n;
}

static size_t most_messages(const struct chat_request *r)
{
	size_t n = 1 + r->n_messages;
	for (size_t i = 0; i < r->n_messages; i++)
		n += calls_in(r->messages[i].tool_calls_json) + (r->messages[i].reasoning.n > 0);
	return n;
}

static enum err put_together(struct draft *d, struct errtext *et)
{
	const struct chat_request *r = d->r;
	bool explain = r->n_tools && !d->manner.renders_tools;
	enum err e = OK;
	d->m = arena_array_of(d->a, most_messages(r), struct chat_message);
	if (!d->m)
		return no_memory(et);
	size_t i = 0;
	if (explain) {
		bool has = str_eq_c(r->messages[0].role, "system");
		struct str text = explained(d, has ? r->messages[0].content : S(""));
		if (!text.p)
			return no_memory(et);
		d->m[d->n++] = (struct chat_message){.role = S("system"), .content = text};
		i = has;
	}
	for (; i < r->n_messages && !e; i++)
		e = add_message(d, &r->messages[i], et);
	return e;
}

/* gpt-oss knows three words. */
static struct str effort_word(const struct draft *d)
{
	struct str e = d->r->effort;
	if (!d->manner.family->messages)
		return e;
	if (str_eq_c(e, "none") || str_eq_c(e, "minimal"))
		return S("low");
	return str_eq_c(e, "xhigh") || str_eq_c(e, "max") ? S("high") : e;
}

/* enable_thinking is what templates ask for, by and large; what the caller says goes first. */
static struct str more_json(struct draft *d)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	yyjson_doc *doc = NULL;
	yyjson_val *k, *v, *root = NULL;
	size_t i, n;
	if (d->r->template_json.n && !json_parse(d->r->template_json, &doc, NULL))
		root = yyjson_doc_get_root(doc);
	jw_obj(&w);
	if (d->r->reasoning && !yyjson_obj_get(root, "enable_thinking"))
		jw_kbool(&w, "enable_thinking", d->r->reasoning == REASONING_ON);
	if (d->r->reasoning && !yyjson_obj_get(root, "thinking"))
		jw_kbool(&w, "thinking", d->r->reasoning == REASONING_ON);
	if (d->r->effort.n && !yyjson_obj_get(root, "reasoning_effort"))
		jw_kstr(&w, "reasoning_effort", effort_word(d));
	yyjson_obj_foreach(root, i, n, k, v)
	{
		jw_key_str(&w, json_val_str(k));
		jw_val(&w, v);
	}
	jw_end(&w);
	yyjson_doc_free(doc);
	return keep(d, &b);
}

/* ---- the whole ---- */

static void write_messages(const struct chat_request *r, struct buf *out)
{
	struct jw w = {.out = out};
	jw_arr(&w);
	for (size_t i = 0; i < r->n_messages; i++) {
		const struct chat_message *m = &r->messages[i];
		jw_obj(&w);
		jw_kstr(&w, "role", m->role);
		jw_kstr(&w, "content", m->content);
		if (m->reasoning.n)
			jw_kstr(&w, "reasoning_content", m->reasoning);
		if (m->tool_calls_json.n)
			jw_key(&w, "tool_calls"), jw_raw(&w, m->tool_calls_json);
		if (m->tool_call_id.n)
			jw_kstr(&w, "tool_call_id", m->tool_call_id);
		jw_end(&w);
	}
	jw_end(&w);
}

static enum err render(struct endpoint *ep, struct draft *d, struct buf *text, bool *used_default,
	struct errtext *et)
{
	enum err e = put_together(d, et);
	if (e)
		return e;
	struct chat_vars v = {.add_generation_prompt = true,
		.more_json = more_json(d),
		.args_text = d->manner.family->args_text};
	if (d->r->n_tools && d->manner.renders_tools)
		v.tools_json = tools_json(d);
	return model_chat_render(endpoint_model(ep), d->m, d->n, &v, text, used_default, et);
}

enum err chat_prompt_make(struct endpoint *ep, struct run *run, const struct chat_request *r,
	struct tokens *out, struct buf *text, struct errtext *et)
{
	struct buf mine = {0}, input = {0};
	struct draft d = {.r = r,
		.manner = chat_manner_of(ep),
		.tk = model_tokenizer(endpoint_model(ep)),
		.a = arena_new(0)};
	bool used_default = false;
	struct span *s = span_begin(run, NULL, "prompt", "template");
	write_messages(r, &input);
	if (!input.err)
		span_json(s, "input", buf_str(&input));
	enum err e = d.a ? render(ep, &d, &mine, &used_default, et) : no_memory(et);
	if (!e)
		e = tokenizer_encode(model_tokenizer(endpoint_model(ep)), buf_str(&mine),
			TOKENIZE_SPECIAL, out, et);
	span_text(s, "output", buf_str(&mine));
	span_i64(s, "tokens", (int64_t)out->n);
	if (used_default)
		span_text(s, "note", S("the model has no chat template: ChatML was used"));
	if (r->n_tools)
		span_text(s, "tools",
			str_c(d.manner.renders_tools ? d.manner.family->name
						     : "explained in words"));
	span_end(s, e, et);
	if (!e && text)
		*text = mine;
	else
		buf_free(&mine);
	buf_free(&input);
	arena_free(d.a);
	return e;
}
