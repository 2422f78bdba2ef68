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

struct chat_request api_chat_request(const struct chat_params *p, const struct http_request *rq)
{
	return (struct chat_request){.messages = p->messages,
		.n_messages = p->n_messages,
		.tools = p->tools,
		.n_tools = p->n_tools,
		.tool_choice = p->tool_choice,
		.tool_name = p->tool_name,
		.one_call = p->one_call,
		.reasoning = p->reasoning,
		.template_json = p->template_json,
		.sampling = p->gen.sampling,
		.max_tokens = p->gen.max_tokens,
		.stop = p->gen.stop,
		.n_stop = p->gen.n_stop,
		.top_logprobs = p->gen.top_logprobs,
		.format = p->gen.format.kind,
		.format_source = p->gen.format.source,
		.format_name = p->gen.format.name,
		.who = rq->who,
		.cancel = rq->cancel};
}
