/* Request bodies to structs. Every parameter that could change an answer is read, or refused by
 * name; null is the same as absent everywhere. */
#include "api/api_int.h"

#include <stdio.h>

enum { MESSAGES_MAX = 4096, STOPS_MAX = 16, CHOICES_MAX = 8, INPUTS_MAX = 2048, BIAS_MAX = 1024 };
enum { PROMPT_IDS_MAX = 1 << 20, REPEAT_LAST = 64, COMPLETION_TOKENS = 16 };

static enum err bad_type(struct api_error *x, const char *key, const char *want)
{
	return api_fail(x, ERR_INVALID, "invalid_type", key, "%s must be %s", key, want);
}

static enum err refused(struct api_error *x, const char *key, const char *why)
{
	return api_fail(x, ERR_INVALID, "unsupported_parameter", key, "%s: %s", key, why);
}

enum err api_want_f64(
	yyjson_val *o, const char *key, double min, double max, double *out, struct api_error *x)
{
	yyjson_val *v = api_get(o, key);
	if (!v)
		return OK;
	if (!yyjson_is_num(v))
		return bad_type(x, key, "a number");
	double d = yyjson_get_num(v);
	if (!(d >= min && d <= max))
		return api_fail(x, ERR_INVALID, "invalid_value", key,
			"%s is %g; it must be from %g to %g", key, d, min, max);
	*out = d;
	return OK;
}

enum err api_want_i64(
	yyjson_val *o, const char *key, int64_t min, int64_t max, int64_t *out, struct api_error *x)
{
	yyjson_val *v = api_get(o, key);
	if (!v)
		return OK;
	if (!yyjson_is_int(v))
		return bad_type(x, key, "an integer");
	int64_t i = yyjson_get_sint(v);
	if (i < min || i > max || (yyjson_is_uint(v) && yyjson_get_uint(v) > INT64_MAX))
		return api_fail(x, ERR_INVALID, "invalid_value", key,
			"%s must be from %lld to %lld", key, (long long)min, (long long)max);
	*out = i;
	return OK;
}

enum err api_want_bool(yyjson_val *o, const char *key, bool *out, struct api_error *x)
{
	yyjson_val *v = api_get(o, key);
	if (!v)
		return OK;
	if (!yyjson_is_bool(v))
		return bad_type(x, key, "true or false");
	*out = yyjson_get_bool(v);
	return OK;
}

/* ---- what chat and completions have in common ---- */

enum err api_parse_stop(yyjson_val *o, struct arena *a, struct gen_params *p, struct api_error *x)
{
	yyjson_val *v = api_get(o, "stop"), *s;
	size_t i, n;
	if (!v)
		return OK;
	if (!yyjson_is_str(v) && !yyjson_is_arr(v))
		return bad_type(x, "stop", "a string or a list of strings");
	n = yyjson_is_str(v) ? 1 : yyjson_arr_size(v);
	if (n > STOPS_MAX)
		return api_fail(x, ERR_INVALID, "invalid_value", "stop",
			"stop has %zu strings; at most %d are possible", n, STOPS_MAX);
	p->stop = arena_array_of(a, n + 1, struct str);
	if (!p->stop)
		return api_no_memory(x);
	if (yyjson_is_str(v)) {
		p->stop[p->n_stop++] = json_val_str(v);
	} else {
		yyjson_arr_foreach(v, i, n, s)
		{
			if (!yyjson_is_str(s))
				return bad_type(x, "stop", "a string or a list of strings");
			p->stop[p->n_stop++] = json_val_str(s);
		}
	}
	for (i = 0; i < p->n_stop; i++)
		if (!p->stop[i].n)
			return api_fail(x, ERR_INVALID, "invalid_value", "stop",
				"stop has an empty string");
	return OK;
}

/* {"1234": -100}: ids are checked against the vocabulary when the model is known. */
static enum err parse_bias(
	yyjson_val *o, struct arena *a, struct gen_params *p, struct api_error *x)
{
	yyjson_val *v = api_get(o, "logit_bias"), *key, *value;
	size_t i, n;
	if (!v)
		return OK;
	if (!yyjson_is_obj(v))
		return bad_type(x, "logit_bias", "an object of token ids and numbers");
	n = yyjson_obj_size(v);
	if (n > BIAS_MAX)
		return api_fail(x, ERR_INVALID, "invalid_value", "logit_bias",
			"logit_bias has %zu entries; at most %d are possible", n, BIAS_MAX);
	struct logit_bias *all = arena_array_of(a, n + 1, struct logit_bias);
	if (!all)
		return api_no_memory(x);
	yyjson_obj_foreach(v, i, n, key, value)
	{
		int64_t id;
		if (!str_i64(json_val_str(key), &id) || id < 0 || id > INT32_MAX)
			return api_fail(x, ERR_INVALID, "invalid_value", "logit_bias",
				"logit_bias: \"%.40s\" is not a token id", yyjson_get_str(key));
		double d = yyjson_get_num(value);
		if (!yyjson_is_num(value) || !(d >= -100 && d <= 100))
			return api_fail(x, ERR_INVALID, "invalid_value", "logit_bias",
				"logit_bias: the value of %lld must be a number from -100 to 100",
				(long long)id);
		/* OpenAI: -100 and 100 ban a token or make it the only one */
		float bias = (float)(d <= -100 ? -1000 : d >= 100 ? 1000 : d);
		all[i] = (struct logit_bias){(int32_t)id, bias};
	}
	p->sampling.bias = all;
	p->sampling.n_bias = n;
	return OK;
}

enum err api_parse_sampling(
	yyjson_val *o, struct arena *a, struct gen_params *p, struct api_error *x)
{
	double temperature = 1, top_p = 1, min_p = 0, repeat = 1, presence = 0, frequency = 0;
	int64_t top_k = 0, seed = 0;
	enum err e = api_want_f64(o, "temperature", 0, 2, &temperature, x);
	e = e ? e : api_want_f64(o, "top_p", 0, 1, &top_p, x);
	e = e ? e : api_want_i64(o, "top_k", -1, INT32_MAX, &top_k, x);
	e = e ? e : api_want_f64(o, "min_p", 0, 1, &min_p, x);
	e = e ? e : api_want_f64(o, "repetition_penalty", 0.01, 10, &repeat, x);
	e = e ? e : api_want_f64(o, "repeat_penalty", 0.01, 10, &repeat, x);
	e = e ? e : api_want_f64(o, "presence_penalty", -2, 2, &presence, x);
	e = e ? e : api_want_f64(o, "frequency_penalty", -2, 2, &frequency, x);
	e = e ? e : api_want_i64(o, "seed", INT64_MIN, INT64_MAX, &seed, x);
	if (e)
		return e;
	if (top_p == 0) { /* the smallest cut that leaves something */
		top_p = 1;
		top_k = 1;
	}
	if (!api_get(o, "seed"))
		random_bytes(&seed, sizeof seed);
	p->sampling = (struct sampling){.temperature = (float)temperature,
		.top_k = (int32_t)MAX(top_k, (int64_t)0),
		.top_p = (float)top_p,
		.min_p = (float)min_p,
		.repeat_penalty = (float)repeat,
		.repeat_last = repeat != 1 ? REPEAT_LAST : 0,
		.presence_penalty = (float)presence,
		.frequency_penalty = (float)frequency,
		.seed = (uint64_t)seed};
	return parse_bias(o, a, p, x);
}

static enum err parse_stream(yyjson_val *o, struct gen_params *p, struct api_error *x)
{
	yyjson_val *options = api_get(o, "stream_options");
	enum err e = api_want_bool(o, "stream", &p->stream, x);
	if (e || !options)
		return e;
	if (!yyjson_is_obj(options))
		return bad_type(x, "stream_options", "an object");
	if (!p->stream)
		return api_fail(x, ERR_INVALID, "invalid_value", "stream_options",
			"stream_options is only possible when stream is true");
	return api_want_bool(options, "include_usage", &p->include_usage, x);
}

enum err api_parse_model(yyjson_val *o, struct str *model, struct api_error *x)
{
	yyjson_val *v = api_get(o, "model");
	if (v && !yyjson_is_str(v))
		return bad_type(x, "model", "a string");
	*model = json_val_str(v);
	if (!v || str_eq_c(*model, "default"))
		*model = str_mk("", 0);
	return OK;
}

const char *api_tier(int priority)
{
	return priority < 0 ? "priority" : priority > 0 ? "flex" : "default";
}

/* OpenAI's words for it, and vLLM's number. */
enum err api_parse_priority(yyjson_val *o, struct gen_params *p, struct api_error *x)
{
	static const struct {
		const char *word;
		int priority;
	} tiers[] = {{"auto", 0}, {"default", 0}, {"scale", 0}, {"flex", 1}, {"priority", -1}};
	yyjson_val *tier = api_get(o, "service_tier");
	int64_t priority = 0;
	size_t i = 0;
	if (tier && !yyjson_is_str(tier))
		return bad_type(x, "service_tier", "a string");
	while (tier && i < ARRAY_LEN(tiers) && !str_eq_c(json_val_str(tier), tiers[i].word))
		i++;
	if (i == ARRAY_LEN(tiers))
		return api_fail(x, ERR_INVALID, "invalid_value", "service_tier",
			"service_tier is \"%.*s\"; it must be auto, default, flex or priority",
			STR_FMT(str_sub(json_val_str(tier), 0, 40)));
	p->tier = tier != NULL;
	priority = tiers[i].priority;
	enum err e = api_want_i64(o, "priority", -PRIORITY_MAX, PRIORITY_MAX, &priority, x);
	p->priority = (int)priority;
	return e;
}

static enum err parse_gen(yyjson_val *o, struct arena *a, struct gen_params *p, struct api_error *x)
{
	int64_t n = 1, max_tokens = 0;
	p->top_logprobs = -1;
	enum err e = api_parse_model(o, &p->model, x);
	e = e ? e : parse_stream(o, p, x);
	e = e ? e : api_want_i64(o, "n", 1, CHOICES_MAX, &n, x);
	e = e ? e : api_want_i64(o, "max_tokens", 1, INT32_MAX, &max_tokens, x);
	e = e ? e : api_want_i64(o, "max_completion_tokens", 1, INT32_MAX, &max_tokens, x);
	e = e ? e : api_parse_sampling(o, a, p, x);
	e = e ? e : api_parse_stop(o, a, p, x);
	e = e ? e : api_parse_priority(o, p, x);
	e = e ? e : api_parse_format(o, a, &p->format, x);
	p->n = (unsigned)n;
	p->max_tokens = (uint32_t)max_tokens;
	return e;
}

enum err api_parse_body(struct str body, struct arena *a, yyjson_val **root, struct api_error *x)
{
	yyjson_doc *doc = NULL;
	struct errtext why = {0};
	enum err e = json_parse(body, &doc, &why);
	if (e)
		return api_fail(x, e, "invalid_json", NULL, "the body: %s", err_text(e, &why));
	if (!arena_on_free(a, (void (*)(void *))yyjson_doc_free, doc)) {
		yyjson_doc_free(doc);
		return api_no_memory(x);
	}
	*root = yyjson_doc_get_root(doc);
	return yyjson_is_obj(*root) ? OK
				    : api_fail(x, ERR_INVALID, "invalid_type", NULL,
					      "the body must be a JSON object");
}

/* ---- chat ---- */

/* Content is a string, or a list of parts of which only text is understood. */
static enum err parse_content(
	yyjson_val *v, const char *param, struct arena *a, struct str *out, struct api_error *x)
{
	yyjson_val *part;
	size_t i, n;
	struct buf b = {0};
	if (yyjson_is_str(v)) {
		*out = json_val_str(v);
		return OK;
	}
	if (!yyjson_is_arr(v))
		return bad_type(x, param, "a string or a list of parts");
	yyjson_arr_foreach(v, i, n, part)
	{
		struct str type = json_str(part, "type");
		yyjson_val *text = NULL;
		if (str_eq_c(type, "text") || str_eq_c(type, "input_text"))
			text = yyjson_obj_get(part, "text");
		else if (str_eq_c(type, "refusal"))
			text = yyjson_obj_get(part, "refusal");
		else if (type.n) {
			buf_free(&b);
			return api_fail(x, ERR_INVALID, "unsupported_value", param,
				"%s[%zu]: parts of type \"%.*s\" are not supported: the models "
				"here read text only",
				param, i, STR_FMT(str_sub(type, 0, 40)));
		}
		if (!yyjson_is_str(text)) {
			buf_free(&b);
			return api_fail(x, ERR_INVALID, "invalid_value", param,
				"%s[%zu] is not a part with type and text", param, i);
		}
		buf_adds(&b, json_val_str(text));
	}
	*out = arena_str(a, buf_str(&b));
	bool failed = b.err || !out->p;
	buf_free(&b);
	return failed ? api_no_memory(x) : OK;
}

static enum err parse_message(
	yyjson_val *m, size_t i, struct arena *a, struct chat_message *out, struct api_error *x)
{
	static const char *const roles[] = {
		"system", "developer", "user", "assistant", "tool", "function"};
	char param[64];
	snprintf(param, sizeof param, "messages[%zu]", i);
	if (!yyjson_is_obj(m))
		return bad_type(x, param, "an object");
	struct str role = json_str(m, "role");
	bool known = false;
	for (size_t k = 0; k < ARRAY_LEN(roles); k++)
		known |= str_eq_c(role, roles[k]);
	snprintf(param, sizeof param, "messages[%zu].role", i);
	if (!known)
		return api_fail(x, ERR_INVALID, "invalid_value", param,
			"%s must be one of system, developer, user, assistant, tool, function",
			param);
	/* models know "system"; "developer" is its newer name */
	out->role = str_eq_c(role, "developer")  ? S("system")
		    : str_eq_c(role, "function") ? S("tool")
						 : role;
	out->content = str_mk("", 0);
	out->name = json_str(m, "name");
	if (str_eq_c(role, "assistant")) /* whether it is told again is the template's business */
		out->reasoning = json_str(m, "reasoning_content");
	out->tool_call_id = str_eq_c(role, "function") ? out->name : json_str(m, "tool_call_id");
	yyjson_val *content = api_get(m, "content");
	enum err e = api_parse_calls(m, i, a, out, x);
	if (e)
		return e;
	snprintf(param, sizeof param, "messages[%zu].tool_call_id", i);
	if (str_eq_c(role, "tool") && !out->tool_call_id.n)
		return api_fail(x, ERR_INVALID, "missing_required_parameter", param,
			"%s is missing", param);
	snprintf(param, sizeof param, "messages[%zu].name", i);
	if (str_eq_c(role, "function") && !out->name.n)
		return api_fail(x, ERR_INVALID, "missing_required_parameter", param,
			"%s is missing", param);
	snprintf(param, sizeof param, "messages[%zu].content", i);
	if (!content && !str_eq_c(role, "assistant"))
		return api_fail(x, ERR_INVALID, "missing_required_parameter", param,
			"%s is missing", param);
	return content ? parse_content(content, param, a, &out->content, x) : OK;
}

static enum err parse_messages(
	yyjson_val *o, struct arena *a, struct chat_params *p, struct api_error *x)
{
	yyjson_val *all = api_get(o, "messages"), *m;
	size_t i, n = yyjson_arr_size(all);
	if (!all)
		return api_fail(x, ERR_INVALID, "missing_required_parameter", "messages",
			"messages is missing");
	if (!yyjson_is_arr(all))
		return bad_type(x, "messages", "a list");
	if (!n || n > MESSAGES_MAX)
		return api_fail(x, ERR_INVALID, "invalid_value", "messages",
			"messages has %zu entries; it must have from 1 to %d", n, MESSAGES_MAX);
	p->messages = arena_array_of(a, n, struct chat_message);
	if (!p->messages)
		return api_no_memory(x);
	yyjson_arr_foreach(all, i, n, m)
	{
		enum err e = parse_message(m, i, a, &p->messages[i], x);
		if (e)
			return e;
		if (str_eq_c(p->messages[i].role, "user"))
			p->last_user = p->messages[i].content;
	}
	p->n_messages = n;
	return OK;
}

/* What cannot be done yet is refused: an answer that only looks like it is worse than none. */
static enum err refuse_unsupported(yyjson_val *o, struct api_error *x)
{
	yyjson_val *v;
	if (api_get(o, "audio"))
		return refused(x, "audio", "the models here write text only");
	v = api_get(o, "modalities");
	if (v && !(yyjson_arr_size(v) == 1 && str_eq_c(json_val_str(yyjson_arr_get(v, 0)), "text")))
		return refused(x, "modalities", "the models here write text only");
	if (api_get(o, "web_search_options"))
		return refused(x, "web_search_options", "there is no web search");
	return OK;
}

enum err api_parse_chat(
	struct str body, struct arena *a, struct chat_params *p, struct api_error *x)
{
	yyjson_val *o;
	bool logprobs = false;
	int64_t top = 0;
	*p = (struct chat_params){.last_user = {"", 0}};
	enum err e = api_parse_body(body, a, &o, x);
	e = e ? e : parse_gen(o, a, &p->gen, x);
	e = e ? e : refuse_unsupported(o, x);
	e = e ? e : api_parse_tools(o, a, p, x);
	e = e ? e : api_parse_reasoning(o, a, p, x);
	e = e ? e : api_want_bool(o, "receipt", &p->receipt, x);
	e = e ? e : api_want_bool(o, "logprobs", &logprobs, x);
	e = e ? e : api_want_i64(o, "top_logprobs", 0, 20, &top, x);
	if (!e && api_get(o, "top_logprobs") && !logprobs)
		e = api_fail(x, ERR_INVALID, "invalid_value", "top_logprobs",
			"top_logprobs is only possible when logprobs is true");
	p->gen.top_logprobs = logprobs ? (int32_t)top : -1;
	return e ? e : parse_messages(o, a, p, x);
}

/* ---- prompts: a string, strings, ids, or lists of ids ---- */

static enum err parse_ids(
	yyjson_val *v, const char *key, struct arena *a, struct prompt *out, struct api_error *x)
{
	size_t i, n = yyjson_arr_size(v);
	yyjson_val *id;
	if (!n || n > PROMPT_IDS_MAX)
		return api_fail(x, ERR_INVALID, "invalid_value", key,
			"%s has a list of %zu tokens; from 1 to %d are possible", key, n,
			PROMPT_IDS_MAX);
	out->ids = arena_array_of(a, n, int32_t);
	if (!out->ids)
		return api_no_memory(x);
	yyjson_arr_foreach(v, i, n, id)
	{
		if (!yyjson_is_uint(id) || yyjson_get_uint(id) > INT32_MAX)
			return bad_type(x, key, "text, token ids, or a list of either");
		out->ids[i] = (int32_t)yyjson_get_uint(id);
	}
	out->n_ids = n;
	return OK;
}

static enum err parse_prompts(yyjson_val *o, const char *key, size_t max, struct arena *a,
	struct prompt **out, size_t *count, struct api_error *x)
{
	yyjson_val *v = api_get(o, key), *first = yyjson_arr_get_first(v), *one;
	size_t i, n = 1;
	if (!v)
		return api_fail(
			x, ERR_INVALID, "missing_required_parameter", key, "%s is missing", key);
	bool ids = yyjson_is_arr(v) && yyjson_is_num(first);
	if (yyjson_is_arr(v) && !ids)
		n = yyjson_arr_size(v);
	else if (!yyjson_is_str(v) && !ids)
		return bad_type(x, key, "text, token ids, or a list of either");
	if (!n || n > max)
		return api_fail(x, ERR_INVALID, "invalid_value", key,
			"%s has %zu entries; it must have from 1 to %zu", key, n, max);
	struct prompt *all = arena_array_of(a, n, struct prompt);
	if (!all)
		return api_no_memory(x);
	*out = all;
	*count = n;
	if (ids)
		return parse_ids(v, key, a, &all[0], x);
	if (yyjson_is_str(v)) {
		all[0].text = json_val_str(v);
		return OK;
	}
	yyjson_arr_foreach(v, i, n, one)
	{
		if (yyjson_is_str(one)) {
			all[i].text = json_val_str(one);
			continue;
		}
		if (!yyjson_is_arr(one))
			return bad_type(x, key, "text, token ids, or a list of either");
		enum err e = parse_ids(one, key, a, &all[i], x);
		if (e)
			return e;
	}
	return OK;
}

enum err api_parse_completion(
	struct str body, struct arena *a, struct completion_params *p, struct api_error *x)
{
	yyjson_val *o;
	int64_t logprobs = -1, best_of = 1;
	*p = (struct completion_params){0};
	enum err e = api_parse_body(body, a, &o, x);
	e = e ? e : parse_gen(o, a, &p->gen, x);
	e = e ? e : api_want_bool(o, "echo", &p->gen.echo, x);
	e = e ? e : api_want_i64(o, "logprobs", 0, 5, &logprobs, x);
	e = e ? e : api_want_i64(o, "best_of", 1, 20, &best_of, x);
	e = e ? e : parse_prompts(o, "prompt", 64, a, &p->prompts, &p->n_prompts, x);
	if (e)
		return e;
	for (size_t i = 0; i < p->n_prompts; i++)
		if (!p->prompts[i].ids && !p->prompts[i].text.n)
			return api_fail(
				x, ERR_INVALID, "invalid_value", "prompt", "prompt is empty");
	if (best_of > (int64_t)p->gen.n)
		return refused(x, "best_of", "more than n is not supported");
	if (api_get(o, "suffix") && json_str(o, "suffix").n)
		return refused(x, "suffix", "inserting text is not supported");
	if (!p->gen.max_tokens)
		p->gen.max_tokens = COMPLETION_TOKENS; /* OpenAI's default here */
	p->gen.top_logprobs = (int32_t)logprobs;
	return OK;
}

enum err api_parse_embed(
	struct str body, struct arena *a, struct embed_params *p, struct api_error *x)
{
	yyjson_val *o, *format;
	*p = (struct embed_params){0};
	enum err e = api_parse_body(body, a, &o, x);
	e = e ? e : api_parse_model(o, &p->model, x);
	e = e ? e : api_want_i64(o, "dimensions", 1, INT32_MAX, &p->dimensions, x);
	e = e ? e : parse_prompts(o, "input", INPUTS_MAX, a, &p->inputs, &p->n_inputs, x);
	if (e)
		return e;
	struct str type = json_val_str(api_get(o, "input_type"));
	p->as = str_eq_c(type, "query")      ? EMBED_QUERY
		: str_eq_c(type, "document") ? EMBED_DOCUMENT
					     : EMBED_PLAIN;
	if (api_get(o, "input_type") && p->as == EMBED_PLAIN)
		return api_fail(x, ERR_INVALID, "invalid_value", "input_type",
			"input_type must be \"query\" or \"document\"");
	format = api_get(o, "encoding_format");
	p->base64 = str_eq_c(json_val_str(format), "base64");
	if (format && !p->base64 && !str_eq_c(json_val_str(format), "float"))
		return api_fail(x, ERR_INVALID, "invalid_value", "encoding_format",
			"encoding_format must be \"float\" or \"base64\"");
	for (size_t i = 0; i < p->n_inputs; i++)
		if (!p->inputs[i].ids && !p->inputs[i].text.n)
			return api_fail(
				x, ERR_INVALID, "invalid_value", "input", "input[%zu] is empty", i);
	return OK;
}

/* ---- tokens ---- */

enum err api_parse_tokenize(
	struct str body, struct arena *a, struct tokenize_params *p, struct api_error *x)
{
	yyjson_val *o, *prompt;
	*p = (struct tokenize_params){0};
	enum err e = api_parse_body(body, a, &o, x);
	e = e ? e : api_parse_model(o, &p->model, x);
	e = e ? e : api_want_bool(o, "return_token_strs", &p->pieces, x);
	if (e)
		return e;
	prompt = api_get(o, "prompt");
	p->conversation = api_get(o, "messages") != NULL;
	if (p->conversation == (prompt != NULL))
		return api_fail(x, ERR_INVALID,
			prompt ? "invalid_value" : "missing_required_parameter", "prompt",
			"one of prompt and messages is expected");
	if (prompt && !yyjson_is_str(prompt))
		return bad_type(x, "prompt", "a string");
	p->text = json_val_str(prompt);
	p->add_special = true;
	/* the template of a conversation writes its own special tokens, and asks for an answer */
	bool ask = true, special = false, go_on = false;
	e = api_want_bool(o, "add_special_tokens", p->conversation ? &special : &p->add_special, x);
	e = e ? e : api_want_bool(o, "add_generation_prompt", &ask, x);
	e = e ? e : api_want_bool(o, "continue_final_message", &go_on, x);
	if (!e && p->conversation && (special || !ask || go_on))
		e = refused(x,
			special ? "add_special_tokens"
			: !ask  ? "add_generation_prompt"
				: "continue_final_message",
			"messages are counted as /v1/chat/completions reads them");
	return e;
}

enum err api_parse_detokenize(
	struct str body, struct arena *a, struct detokenize_params *p, struct api_error *x)
{
	yyjson_val *o, *tokens;
	*p = (struct detokenize_params){0};
	enum err e = api_parse_body(body, a, &o, x);
	e = e ? e : api_parse_model(o, &p->model, x);
	if (e)
		return e;
	tokens = api_get(o, "tokens");
	if (!tokens)
		return api_fail(x, ERR_INVALID, "missing_required_parameter", "tokens",
			"tokens is missing");
	if (!yyjson_is_arr(tokens))
		return bad_type(x, "tokens", "a list of token ids");
	return yyjson_arr_size(tokens) ? parse_ids(tokens, "tokens", a, &p->tokens, x) : OK;
}
