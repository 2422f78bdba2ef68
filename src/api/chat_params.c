/* What the faces of chats share: members of a body, and the turn that its parameters ask for. */
#include "api/api_int.h"

#include <stdlib.h>

yyjson_val *api_get(yyjson_val *obj, const char *key)
{
	yyjson_val *v = yyjson_obj_get(obj, key);
	return yyjson_is_null(v) ? NULL : v;
}

enum err api_no_memory(struct api_error *x)
{
	return api_fail(x, ERR_NOMEM, NULL, NULL, "no memory for the request");
}

enum err api_json_of(yyjson_val *v, struct arena *a, struct str *out, struct api_error *x)
{
	size_t n;
	struct str text = {0};
	char *json = yyjson_val_write(v, 0, &n);
	if (json)
		text = arena_str(a, str_mk(json, n));
	free(json);
	if (!text.p)
		return api_no_memory(x);
	*out = text;
	return OK;
}

enum err api_parse_metadata(
	yyjson_val *o, struct str absent, struct arena *a, struct str *out, struct api_error *x)
{
	enum { PAIRS_MAX = 16, KEY_MAX = 64, VALUE_MAX = 512 };
	yyjson_val *m = api_get(o, "metadata"), *k, *v;
	size_t i, n;
	if (!m) {
		*out = absent;
		return OK;
	}
	bool good = yyjson_is_obj(m) && yyjson_obj_size(m) <= PAIRS_MAX;
	yyjson_obj_foreach(m, i, n, k, v) good &=
		yyjson_is_str(v) && yyjson_get_len(k) <= KEY_MAX && yyjson_get_len(v) <= VALUE_MAX;
	if (!good)
		return api_fail(x, ERR_INVALID, "invalid_value", "metadata",
			"metadata must be at most 16 texts of 512 bytes, with keys of 64");
	return api_json_of(m, a, out, x);
}

static void token_members(const struct tokenizer *tk, struct jw *w, int32_t id, float logprob)
{
	struct buf piece = {0};
	tokenizer_piece(tk, id, true, &piece);
	jw_kstr(w, "token", buf_str(&piece));
	jw_kf64(w, "logprob", (double)logprob);
	jw_key(w, "bytes");
	jw_arr(w);
	for (size_t i = 0; i < piece.n; i++)
		jw_i64(w, (unsigned char)piece.p[i]);
	jw_end(w);
	buf_free(&piece);
}

void api_token_entry(
	const struct tokenizer *tk, const struct gen_event *ev, uint32_t n_top, struct buf *out)
{
	struct jw w = {.out = out};
	jw_obj(&w);
	token_members(tk, &w, ev->token, ev->logprob);
	jw_key(&w, "top_logprobs");
	jw_arr(&w);
	for (uint32_t i = 0; i < ev->n_top && i < n_top; i++) {
		jw_obj(&w);
		token_members(tk, &w, ev->top[i].id, ev->top[i].logprob);
		jw_end(&w);
	}
	jw_end(&w);
	jw_end(&w);
}

struct chat_request api_chat_request(
	const struct chat_params *p, const struct principal *who, const struct cancel *cancel)
{
	return (struct chat_request){.messages = p->messages,
		.n_messages = p->n_messages,
		.tools = p->tools,
		.n_tools = p->n_tools,
		.tool_choice = p->tool_choice,
		.tool_name = p->tool_name,
		.one_call = p->one_call,
		.reasoning = p->reasoning,
		.effort = p->effort,
		.template_json = p->template_json,
		.sampling = p->gen.sampling,
		.max_tokens = p->gen.max_tokens,
		.stop = p->gen.stop,
		.n_stop = p->gen.n_stop,
		.top_logprobs = p->gen.top_logprobs,
		.format = p->gen.format.kind,
		.format_source = p->gen.format.source,
		.format_name = p->gen.format.name,
		.who = who,
		.priority = p->gen.priority,
		.cancel = cancel};
}

enum err api_priority(const struct http_request *rq, int *priority, struct api_error *x)
{
	struct str header = http_header(rq, "x-croft-priority");
	int64_t v = *priority;
	if (header.p && (!str_i64(header, &v) || v < -PRIORITY_MAX || v > PRIORITY_MAX))
		return api_fail(x, ERR_INVALID, "invalid_value", NULL,
			"the header X-Croft-Priority is \"%.*s\"; it must be an integer from %d to "
			"%d, lower ones go first",
			STR_FMT(str_sub(header, 0, 40)), -PRIORITY_MAX, PRIORITY_MAX);
	*priority = v < 0 && !may_house(rq, PERM_MODEL_MANAGE) ? 0 : (int)v;
	return OK;
}
