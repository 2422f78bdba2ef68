/* Bodies of the OpenAI routes: each is refused with a reason, or what a handler then relies on is
 * there. The first byte says which. */
#include "api/api_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool yes)
{
	if (!yes)
		__builtin_trap();
}

static void sampled(const struct gen_params *g)
{
	const struct sampling *s = &g->sampling;
	must(s->temperature >= 0 && s->temperature <= 2 && s->top_p >= 0 && s->top_p <= 1);
	must(g->top_logprobs >= -1 && g->top_logprobs <= 20);
	for (size_t i = 0; i < g->n_stop; i++)
		must(g->stop[i].n > 0);
}

static enum err chat(struct str body, struct arena *a, struct api_error *x)
{
	struct chat_params p;
	size_t bytes = 0;
	enum err e = api_parse_chat(body, a, &p, x);
	if (e)
		return e;
	must(p.n_messages > 0);
	for (size_t i = 0; i < p.n_messages; i++) {
		const struct chat_message *m = &p.messages[i];
		must(m->role.n && m->content.p);
		must(!str_eq_c(m->role, "tool") || m->tool_call_id.n);
		bytes += m->content.n + m->tool_calls_json.n + m->reasoning.n;
	}
	for (size_t i = 0; i < p.n_tools; i++)
		must(p.tools[i].name.n);
	must(p.tool_choice != TOOLS_NAMED || p.tool_name.n);
	must(bytes <= 64 * body.n + 64);
	sampled(&p.gen);
	return OK;
}

static void prompt(const struct prompt *p)
{
	must(p->ids ? p->n_ids > 0 : p->text.p != NULL);
}

static enum err completion(struct str body, struct arena *a, struct api_error *x)
{
	struct completion_params p;
	enum err e = api_parse_completion(body, a, &p, x);
	if (e)
		return e;
	must(p.n_prompts > 0);
	for (size_t i = 0; i < p.n_prompts; i++)
		prompt(&p.prompts[i]);
	sampled(&p.gen);
	return OK;
}

static enum err embed(struct str body, struct arena *a, struct api_error *x)
{
	struct embed_params p;
	enum err e = api_parse_embed(body, a, &p, x);
	if (e)
		return e;
	must(p.n_inputs > 0);
	for (size_t i = 0; i < p.n_inputs; i++)
		prompt(&p.inputs[i]);
	return OK;
}

static enum err tokenize(struct str body, struct arena *a, struct api_error *x)
{
	struct tokenize_params p;
	return api_parse_tokenize(body, a, &p, x);
}

static enum err detokenize(struct str body, struct arena *a, struct api_error *x)
{
	struct detokenize_params p;
	return api_parse_detokenize(body, a, &p, x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static enum err (*const parse[])(struct str, struct arena *, struct api_error *) = {
		chat, completion, embed, tokenize, detokenize};
	struct api_error x = {0};
	if (!size)
		return 0;
	struct arena *a = arena_new(0);
	if (a && parse[data[0] % ARRAY_LEN(parse)](str_mk(data + 1, size - 1), a, &x))
		must(x.e && x.et.msg[0]);
	arena_free(a);
	return 0;
}
