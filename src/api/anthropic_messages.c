/* POST /v1/messages and /v1/messages/count_tokens.
 *
 * The stream, exactly: message_start with an empty message; for each block content_block_start,
 * deltas, content_block_stop, in order, one block at a time; a ping after the first start;
 * message_delta with the reason and the whole usage; message_stop. It begins with the first token,
 * so that what fails before is an ordinary error with its status; what fails later is an event
 * `error`. */
#include "api/anthropic.h"

#include <stdio.h>

enum block { BLOCK_NONE, BLOCK_TEXT, BLOCK_THINKING, BLOCK_CALL };

struct turn {
	struct croft *c;
	struct http_request *rq;
	struct http_response *rs;
	struct chat_params p;
	struct endpoint *ep;
	struct run *run;
	struct chat_result res;
	struct api_error x;
	char id[64];
	/* the stream */
	bool begun;
	enum block open;
	int64_t index; /* of the open block, or of the next one */
	uint32_t prompt_tokens;
	struct buf json; /* reused */
};

/* ---- errors ---- */

static void reply_error(struct turn *t)
{
	anthropic_reply_error(t->rs, t->rq->id, &t->x);
}

/* ---- pieces ---- */

static const char *stop_reason(const struct chat_result *r)
{
	switch (r->finish) {
	case CHAT_STOP_STRING:
		return "stop_sequence";
	case CHAT_LENGTH:
		return "max_tokens";
	case CHAT_TOOL_CALLS:
		return "tool_use";
	case CHAT_FILTERED:
		return "refusal";
	default:
		return "end_turn";
	}
}

static void stop_members(struct jw *w, const struct chat_result *r)
{
	jw_kc(w, "stop_reason", r ? stop_reason(r) : NULL);
	jw_key(w, "stop_sequence");
	if (r && r->finish == CHAT_STOP_STRING)
		jw_str(w, buf_str(&r->stop_string));
	else
		jw_null(w);
}

static void usage_member(struct jw *w, int64_t in, int64_t out, int64_t cached)
{
	jw_key(w, "usage");
	jw_obj(w);
	jw_ki64(w, "input_tokens", in - cached);
	jw_ki64(w, "cache_creation_input_tokens", 0);
	jw_ki64(w, "cache_read_input_tokens", cached);
	jw_ki64(w, "output_tokens", out);
	jw_end(w);
}

static void message_members(struct turn *t, struct jw *w)
{
	jw_kc(w, "id", t->id);
	jw_kc(w, "type", "message");
	jw_kc(w, "role", "assistant");
	jw_kstr(w, "model", endpoint_name(t->ep));
}

/* ---- the stream ---- */

static enum err send_event(struct turn *t, const char *type)
{
	return t->json.err ? ERR_NOMEM : http_sse_event(t->rs, type, buf_str(&t->json));
}

static struct jw begin_event(struct turn *t, const char *type)
{
	buf_clear(&t->json);
	struct jw w = {.out = &t->json};
	jw_obj(&w);
	jw_kc(&w, "type", type);
	return w;
}

static enum err send_start(struct turn *t)
{
	struct jw w = begin_event(t, "message_start");
	jw_key(&w, "message");
	jw_obj(&w);
	message_members(t, &w);
	jw_key(&w, "content");
	jw_arr(&w);
	jw_end(&w);
	stop_members(&w, NULL);
	usage_member(&w, t->prompt_tokens, 0, 0);
	jw_end(&w);
	jw_end(&w);
	return send_event(t, "message_start");
}

static enum err send_ping(struct turn *t)
{
	struct jw w = begin_event(t, "ping");
	jw_end(&w);
	return send_event(t, "ping");
}

static enum err begin_stream(struct turn *t)
{
	if (t->begun)
		return OK;
	t->begun = true;
	enum err e = http_sse_begin(t->rs);
	return e ? e : send_start(t);
}

static enum err close_block(struct turn *t)
{
	if (!t->open)
		return OK;
	struct jw w = begin_event(t, "content_block_stop");
	jw_ki64(&w, "index", t->index++);
	jw_end(&w);
	t->open = BLOCK_NONE;
	return send_event(t, "content_block_stop");
}

/* A block of that kind is open afterwards; a call always opens a new one. */
static enum err open_block(struct turn *t, enum block kind, const struct chat_event *call)
{
	if (t->open == kind && !call)
		return OK;
	enum err e = begin_stream(t);
	e = e ? e : close_block(t);
	if (e)
		return e;
	bool first = t->index == 0;
	struct jw w = begin_event(t, "content_block_start");
	jw_ki64(&w, "index", t->index);
	jw_key(&w, "content_block");
	jw_obj(&w);
	jw_kc(&w, "type",
		kind == BLOCK_TEXT       ? "text"
		: kind == BLOCK_THINKING ? "thinking"
					 : "tool_use");
	if (call) {
		jw_kstr(&w, "id", call->id);
		jw_kstr(&w, "name", call->name);
		jw_key(&w, "input");
		jw_obj(&w);
		jw_end(&w);
	} else if (kind == BLOCK_THINKING) {
		jw_kc(&w, "thinking", "");
		jw_kc(&w, "signature", "");
	} else {
		jw_kc(&w, "text", "");
	}
	jw_end(&w);
	jw_end(&w);
	t->open = kind;
	e = send_event(t, "content_block_start");
	return e || !first ? e : send_ping(t);
}

static enum err send_delta(struct turn *t, const char *type, const char *key, struct str text)
{
	struct jw w = begin_event(t, "content_block_delta");
	jw_ki64(&w, "index", t->index);
	jw_key(&w, "delta");
	jw_obj(&w);
	jw_kc(&w, "type", type);
	jw_kstr(&w, key, text);
	jw_end(&w);
	jw_end(&w);
	return send_event(t, "content_block_delta");
}

static bool on_event(void *ctx, const struct chat_event *ev)
{
	struct turn *t = ctx;
	enum err e = OK;
	switch (ev->kind) {
	case CHAT_TEXT:
		if (!ev->text.n)
			return true;
		e = open_block(t, BLOCK_TEXT, NULL);
		return !e && !send_delta(t, "text_delta", "text", ev->text);
	case CHAT_REASONING:
		e = open_block(t, BLOCK_THINKING, NULL);
		return !e && !send_delta(t, "thinking_delta", "thinking", ev->text);
	case CHAT_CALL:
		return !open_block(t, BLOCK_CALL, ev);
	case CHAT_ARGUMENTS:
		return !send_delta(t, "input_json_delta", "partial_json", ev->text);
	case CHAT_CALL_END:
		return !close_block(t);
	}
	return true;
}

static enum err end_stream(struct turn *t)
{
	enum err e = begin_stream(t);
	e = e ? e : close_block(t);
	if (e)
		return e;
	struct jw w = begin_event(t, "message_delta");
	jw_key(&w, "delta");
	jw_obj(&w);
	stop_members(&w, &t->res);
	jw_end(&w);
	usage_member(&w, t->res.prompt_tokens, t->res.completion_tokens, t->res.cached_tokens);
	jw_end(&w);
	e = send_event(t, "message_delta");
	if (e)
		return e;
	w = begin_event(t, "message_stop");
	jw_end(&w);
	return send_event(t, "message_stop");
}

static void fail_stream(struct turn *t)
{
	buf_clear(&t->json);
	anthropic_error_json(&t->x, t->rq->id, &t->json);
	http_sse_event(t->rs, "error", buf_str(&t->json));
}

/* ---- the whole ---- */

static void write_call(struct jw *w, const struct chat_call *call)
{
	yyjson_doc *doc = NULL;
	/* cut off by max_tokens, arguments are no JSON: stop_reason tells */
	bool whole = !json_parse(buf_str(&call->arguments), &doc, NULL);
	jw_obj(w);
	jw_kc(w, "type", "tool_use");
	jw_kstr(w, "id", buf_str(&call->id));
	jw_kstr(w, "name", buf_str(&call->name));
	jw_key(w, "input");
	if (whole) {
		jw_val(w, yyjson_doc_get_root(doc));
		yyjson_doc_free(doc);
	} else {
		jw_obj(w);
		jw_end(w);
	}
	jw_end(w);
}

static void reply_whole(struct turn *t)
{
	const struct chat_result *r = &t->res;
	buf_clear(&t->json);
	struct jw w = {.out = &t->json};
	jw_obj(&w);
	message_members(t, &w);
	jw_key(&w, "content");
	jw_arr(&w);
	if (r->reasoning.n) {
		jw_obj(&w);
		jw_kc(&w, "type", "thinking");
		jw_kstr(&w, "thinking", buf_str(&r->reasoning));
		jw_kc(&w, "signature", "");
		jw_end(&w);
	}
	if (r->text.n) {
		jw_obj(&w);
		jw_kc(&w, "type", "text");
		jw_kstr(&w, "text", buf_str(&r->text));
		jw_end(&w);
	}
	for (size_t i = 0; i < r->n_calls; i++)
		write_call(&w, &r->calls[i]);
	jw_end(&w);
	stop_members(&w, r);
	usage_member(&w, r->prompt_tokens, r->completion_tokens, r->cached_tokens);
	jw_end(&w);
	http_reply_json(t->rs, 200, &w);
}

/* ---- one request ---- */

/* message_start has the prompt's tokens, before the first one is written. A remote provider tells
 * them at the end only. */
static enum err count(struct turn *t, const struct chat_request *r)
{
	struct tokens all = {0};
	enum err e = chat_prompt_tokens(t->c, t->ep, r, &all, &t->x.et);
	t->prompt_tokens = (uint32_t)all.n;
	tokens_free(&all);
	return e ? api_fail_from(&t->x, e, "messages") : OK;
}

static enum err find(struct turn *t)
{
	enum err e = endpoint_chat(t->c, t->p.gen.model, &t->ep, &t->x.et);
	return e ? api_fail_from(&t->x, e, "model") : OK;
}

static enum err converse(struct turn *t)
{
	struct chat_request r = api_chat_request(&t->p, t->rq->who, t->rq->cancel);
	enum err e = OK;
	if (t->p.gen.stream && endpoint_model(t->ep))
		e = count(t, &r);
	if (e)
		return e;
	r.on_event = t->p.gen.stream ? on_event : NULL;
	r.ctx = t;
	e = chat_run(t->c, t->ep, t->run, &r, &t->res, &t->x.et);
	if (e)
		return api_fail_from(&t->x, e, "messages");
	if (!t->p.gen.stream) {
		reply_whole(t);
		return OK;
	}
	e = end_stream(t);
	return e ? api_fail(&t->x, e, NULL, NULL, "the client went away") : OK;
}

static void begin_turn(struct turn *t)
{
	char hex[ID_HEX + 1];
	struct str name = str_sub(t->p.last_user, 0, 120);
	t->run = run_begin(
		t->c, project_of(t->rq), "chat", str_sub(name, 0, utf8_complete_prefix(name)));
	id_hex(t->run ? run_id(t->run) : t->rq->id, hex);
	http_set_header(t->rs, "x-croft-run", str_c(hex));
	snprintf(t->id, sizeof t->id, "msg_%s", hex);
	id_hex(t->rq->id, hex);
	http_set_header(t->rs, "request-id", str_c(hex));
}

static void end_turn(struct turn *t, enum err e)
{
	if (e && t->begun)
		fail_stream(t);
	else if (e)
		reply_error(t);
	if (t->ep)
		run_text(t->run, "model", endpoint_name(t->ep));
	run_i64(t->run, "prompt_tokens", t->res.prompt_tokens);
	run_i64(t->run, "completion_tokens", t->res.completion_tokens);
	run_f64(t->run, "first_token_ms", (double)t->res.first_token_ns / 1e6);
	run_end(t->run, e, &t->x.et);
	chat_result_free(&t->res);
	endpoint_put(t->ep);
	buf_free(&t->json);
}

static void messages(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct turn t = {.c = c, .rq = rq, .rs = rs};
	if (anthropic_parse(rq->body, false, rq->arena, &t.p, &t.x) ||
		api_priority(rq, &t.p.gen.priority, &t.x)) {
		reply_error(&t);
		buf_free(&t.json);
		return;
	}
	begin_turn(&t);
	enum err e = find(&t);
	end_turn(&t, e ? e : converse(&t));
}

static void count_tokens(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct turn t = {.c = c, .rq = rq, .rs = rs};
	enum err e = anthropic_parse(rq->body, true, rq->arena, &t.p, &t.x);
	e = e ? e : find(&t);
	struct chat_request r = api_chat_request(&t.p, rq->who, rq->cancel);
	e = e ? e : count(&t, &r);
	if (e) {
		reply_error(&t);
	} else {
		struct jw w = {.out = &t.json};
		jw_obj(&w);
		jw_ki64(&w, "input_tokens", t.prompt_tokens);
		jw_end(&w);
		http_reply_json(rs, 200, &w);
	}
	endpoint_put(t.ep);
	buf_free(&t.json);
}

/* What the router itself refuses. */
static void refuse(struct http_response *rs, enum err e, const struct errtext *et)
{
	struct api_error x = {.e = e, .et = *et};
	anthropic_reply_error(rs, (struct id){0}, &x);
}

static const struct route routes[] = {
	{HTTP_POST, "/v1/messages", messages, PERM_MODEL_USE,
		"Answer a conversation as Anthropic's API does; with stream, as events", NULL,
		"AnthropicMessages", "object", 0},
	{HTTP_POST, "/v1/messages/count_tokens", count_tokens, PERM_MODEL_USE,
		"How many tokens a conversation has", NULL, "AnthropicMessages",
		"{ input_tokens: int }", 0},
};

static const struct face faces[] = {{.prefix = "/v1/messages", .error = refuse}};

static const struct shape shapes[] = {
	{"AnthropicMessages",
		"{ model?, max_tokens?: int, system?: string | object[], messages: { role: "
		"\"user\" | \"assistant\", content: string | object[] }[], stop_sequences?: "
		"string[], temperature?: number, top_p?: number, top_k?: int, stream?: boolean, "
		"tools?: { name, description?, input_schema: object, strict?: boolean }[], "
		"tool_choice?: { type: \"auto\" | \"any\" | \"tool\" | \"none\", name?, "
		"disable_parallel_tool_use?: boolean }, thinking?: { type: \"enabled\" | "
		"\"adaptive\" | \"disabled\" }, output_config?: { format?: { type: "
		"\"json_schema\", schema: object } } }"},
};

const struct module anthropic_module = {
	.name = "anthropic",
	TABLE(routes),
	TABLE(faces),
	TABLE(shapes),
};
