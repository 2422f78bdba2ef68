/* Chat completions and completions: one request is one Run and up to n answers to each prompt, some
 * at a time, each on a thread of its own (the generator reads what they begin with once).
 *
 * The stream, exactly: all chunks share id, created and model; the first of a choice has the role,
 * its last an empty delta and the reason; with include_usage every chunk has "usage":null and one
 * more, without choices, has the numbers; then "[DONE]". The stream begins with the first token, so
 * that what fails before it is an ordinary error with its status. */
#include "api/api_int.h"

#include "base/clock.h"
#include "base/log.h"
#include "net/trace_context.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct choice {
	struct buf text, logprobs; /* logprobs: entries, comma separated */
	const char *finish;
	struct chat_result res; /* of a chat: calls, thoughts, receipt */
};

/* What the answers of one request share. */
struct sink {
	pthread_mutex_t mu;   /* of all here, and of what is sent */
	bool begun;           /* the stream */
	struct cancel cancel; /* the client is gone, or an answer failed */
	unsigned next;        /* answer that nobody has begun yet */
	struct api_error x;   /* of the first that failed */
	enum err e;
};

/* One thread's part in it. */
struct job {
	struct sink *sink;
	struct http_request *rq;
	struct http_response *rs;
	const struct gen_params *p;
	bool chat;
	const struct chat_params *cp; /* of a chat */
	struct croft *c;
	struct endpoint *ep;
	const struct tokenizer *tk;
	struct constraint *held; /* what the answers are held to, or NULL */
	struct run *run;
	struct span *span; /* of the present answer */
	char id[64];
	int64_t created;
	unsigned index;        /* of the present answer */
	bool opened;           /* its first chunk is sent */
	struct choice *choice; /* the present answer */
	struct buf chunk;      /* reused */
	/* counts of this thread's answers, in the end of all */
	uint64_t prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens;
	uint64_t queued_ns, prompt_ns, decode_ns, first_ns;
	struct api_error x;
	const char *param; /* "messages" or "prompt" */
};

/* ---- pieces of JSON ---- */

static void common_members(struct job *j, struct jw *w, const char *object)
{
	jw_kc(w, "id", j->id);
	jw_kc(w, "object", object);
	jw_ki64(w, "created", j->created);
	jw_kstr(w, "model", endpoint_name(j->ep));
	jw_kc(w, "system_fingerprint", "croft-" CROFT_VERSION);
	if (j->p->tier)
		jw_kc(w, "service_tier", api_tier(j->p->priority));
}

static void usage_member(struct job *j, struct jw *w)
{
	jw_key(w, "usage");
	jw_obj(w);
	jw_ki64(w, "prompt_tokens", (int64_t)j->prompt_tokens);
	jw_ki64(w, "completion_tokens", (int64_t)j->completion_tokens);
	jw_ki64(w, "total_tokens", (int64_t)(j->prompt_tokens + j->completion_tokens));
	jw_key(w, "prompt_tokens_details");
	jw_obj(w);
	jw_ki64(w, "cached_tokens", (int64_t)j->cached_tokens);
	jw_end(w);
	if (j->reasoning_tokens) {
		jw_key(w, "completion_tokens_details");
		jw_obj(w);
		jw_ki64(w, "reasoning_tokens", (int64_t)j->reasoning_tokens);
		jw_end(w);
	}
	jw_end(w);
}

/* What makes the answer repeatable, when it was asked for. */
static void receipt_member(struct job *j, struct jw *w, const struct chat_result *r)
{
	if (!j->cp || !j->cp->receipt || !r->receipt.n)
		return;
	jw_key(w, "croft");
	jw_obj(w);
	jw_kc(w, "run", strrchr(j->id, '-') + 1);
	jw_key(w, "receipt");
	jw_raw(w, buf_str(&r->receipt));
	jw_end(w);
}

/* One entry of choices[].logprobs.content */
static void token_entry(const struct job *j, const struct gen_event *ev, struct buf *out)
{
	api_token_entry(j->tk, ev, (uint32_t)MAX(j->p->top_logprobs, 0), out);
}

static bool is_first(yyjson_val *top, size_t at)
{
	yyjson_val *t;
	size_t i, n;
	struct str token = json_str(yyjson_arr_get(top, at), "token");
	yyjson_arr_foreach(top, i, n, t)
	{
		if (i < at && str_eq(json_str(t, "token"), token))
			return false;
	}
	return true;
}

/* The older form of /v1/completions: {tokens, token_logprobs, top_logprobs, text_offset}, made
 * from the entries above, which are [entry, ...] in `entries`. */
static void old_logprobs(struct jw *w, struct str entries)
{
	struct buf json = {0};
	yyjson_doc *doc = NULL;
	yyjson_val *e, *t;
	size_t i, n, k, m;
	buf_addf(&json, "[%.*s]", STR_FMT(entries));
	if (json.err || json_parse(buf_str(&json), &doc, NULL)) {
		jw_null(w);
		buf_free(&json);
		return;
	}
	yyjson_val *all = yyjson_doc_get_root(doc);
	jw_obj(w);
	jw_key(w, "tokens");
	jw_arr(w);
	yyjson_arr_foreach(all, i, n, e) jw_val(w, yyjson_obj_get(e, "token"));
	jw_end(w);
	jw_key(w, "token_logprobs");
	jw_arr(w);
	yyjson_arr_foreach(all, i, n, e) jw_val(w, yyjson_obj_get(e, "logprob"));
	jw_end(w);
	jw_key(w, "top_logprobs");
	jw_arr(w);
	yyjson_arr_foreach(all, i, n, e)
	{
		yyjson_val *top = yyjson_obj_get(e, "top_logprobs");
		if (yyjson_is_null(yyjson_obj_get(e, "logprob"))) {
			jw_null(w); /* the first token of a prompt */
			continue;
		}
		jw_obj(w);
		yyjson_arr_foreach(top, k, m, t)
		{
			if (!is_first(top, k)) /* the likelier of two that read the same */
				continue;
			jw_key_str(w, json_str(t, "token"));
			jw_val(w, yyjson_obj_get(t, "logprob"));
		}
		jw_end(w);
	}
	jw_end(w);
	jw_key(w, "text_offset");
	jw_arr(w);
	size_t offset = 0;
	yyjson_arr_foreach(all, i, n, e)
	{
		jw_u64(w, offset);
		offset += yyjson_arr_size(yyjson_obj_get(e, "bytes"));
	}
	jw_end(w);
	jw_end(w);
	yyjson_doc_free(doc);
	buf_free(&json);
}

static void logprobs_member(const struct job *j, struct jw *w, struct str entries)
{
	jw_key(w, "logprobs");
	if (j->p->top_logprobs < 0) {
		jw_null(w);
	} else if (!j->chat) {
		old_logprobs(w, entries);
	} else {
		struct buf list = {0};
		buf_addf(&list, "[%.*s]", STR_FMT(entries));
		jw_obj(w);
		jw_key(w, "content");
		jw_raw(w, buf_str(&list));
		jw_key(w, "refusal");
		jw_null(w);
		jw_end(w);
		buf_free(&list);
	}
}

/* ---- the stream ---- */

static const char *stream_object(const struct job *j)
{
	return j->chat ? "chat.completion.chunk" : "text_completion";
}

static enum err send_event(struct job *j, struct str data)
{
	pthread_mutex_lock(&j->sink->mu);
	enum err e = http_sse_event(j->rs, NULL, data);
	pthread_mutex_unlock(&j->sink->mu);
	return e;
}

static enum err send_chunk(struct job *j, struct jw *w)
{
	if (j->p->include_usage)
		jw_key(w, "usage"), jw_null(w);
	jw_end(w);
	return jw_done(w) ? send_event(j, buf_str(&j->chunk)) : ERR_NOMEM;
}

static void begin_delta(struct job *j, struct jw *w)
{
	buf_clear(&j->chunk);
	*w = (struct jw){.out = &j->chunk};
	jw_obj(w);
	common_members(j, w, stream_object(j));
	jw_key(w, "choices");
	jw_arr(w);
	jw_obj(w);
	jw_ki64(w, "index", j->index);
}

static enum err end_delta(struct job *j, struct jw *w, struct str entries, const char *finish)
{
	if (entries.n)
		logprobs_member(j, w, entries);
	else
		jw_key(w, "logprobs"), jw_null(w);
	jw_kc(w, "finish_reason", finish);
	jw_end(w);
	jw_end(w);
	if (finish)
		receipt_member(j, w, &j->choice->res);
	return send_chunk(j, w);
}

/* One chunk of the present choice. */
static enum err send_delta(
	struct job *j, bool first, struct str text, struct str entries, const char *finish)
{
	struct jw w;
	begin_delta(j, &w);
	if (j->chat) {
		jw_key(&w, "delta");
		jw_obj(&w);
		if (first)
			jw_kc(&w, "role", "assistant");
		if (!finish)
			jw_kstr(&w, "content", text);
		jw_end(&w);
	} else {
		jw_kstr(&w, "text", text);
	}
	return end_delta(j, &w, entries, finish);
}

/* The stream and the choice, when they have not begun yet. */
static enum err open_choice(struct job *j)
{
	enum err e = OK;
	pthread_mutex_lock(&j->sink->mu);
	if (!j->sink->begun) {
		j->sink->begun = true;
		e = http_sse_begin(j->rs);
	}
	pthread_mutex_unlock(&j->sink->mu);
	if (!e && !j->opened) {
		j->opened = true;
		if (j->chat)
			e = send_delta(j, true, S(""), S(""), NULL);
	}
	return e;
}

/* Text, and the token that wrote it or NULL. */
static bool on_text(struct job *j, struct str text, const struct gen_event *token)
{
	struct buf entry = {0};
	if (j->p->top_logprobs >= 0 && token)
		token_entry(j, token, &entry);
	enum err e = entry.err;
	if (j->p->stream) {
		e = e ? e : open_choice(j);
		if (!e && (text.n || entry.n))
			e = send_delta(j, false, text, buf_str(&entry), NULL);
	} else if (entry.n) {
		if (j->choice->logprobs.n)
			buf_putc(&j->choice->logprobs, ',');
		buf_adds(&j->choice->logprobs, buf_str(&entry));
	}
	buf_free(&entry);
	return !e;
}

static bool on_token(void *ctx, const struct gen_event *ev)
{
	return on_text(ctx, ev->text, ev);
}

/* The beginning of a call, or more of its arguments. */
static void call_delta(struct job *j, struct jw *w, const struct chat_event *ev)
{
	bool begins = ev->kind == CHAT_CALL, old = j->cp->functions;
	jw_key(w, old ? "function_call" : "tool_calls");
	if (!old) {
		jw_arr(w);
		jw_obj(w);
		jw_ki64(w, "index", ev->call);
		if (begins) {
			jw_kstr(w, "id", ev->id);
			jw_kc(w, "type", "function");
		}
		jw_key(w, "function");
	}
	jw_obj(w);
	if (begins)
		jw_kstr(w, "name", ev->name);
	jw_kstr(w, "arguments", begins ? S("") : ev->text);
	jw_end(w);
	if (!old) {
		jw_end(w);
		jw_end(w);
	}
}

static bool on_event(void *ctx, const struct chat_event *ev)
{
	struct job *j = ctx;
	struct jw w;
	if (ev->kind == CHAT_TEXT)
		return on_text(j, ev->text, ev->token);
	if (!j->p->stream || ev->kind == CHAT_CALL_END)
		return true;
	if (open_choice(j))
		return false;
	begin_delta(j, &w);
	jw_key(&w, "delta");
	jw_obj(&w);
	if (ev->kind == CHAT_REASONING)
		jw_kstr(&w, "reasoning_content", ev->text);
	else
		call_delta(j, &w, ev);
	jw_end(&w);
	return !end_delta(j, &w, S(""), NULL);
}

static enum err end_choice(struct job *j, const char *finish)
{
	enum err e = open_choice(j);
	return e ? e : send_delta(j, false, S(""), S(""), finish);
}

static enum err end_stream(struct job *j)
{
	enum err e = OK;
	if (j->p->include_usage) {
		buf_clear(&j->chunk);
		struct jw w = {.out = &j->chunk};
		jw_obj(&w);
		common_members(j, &w, stream_object(j));
		jw_key(&w, "choices");
		jw_arr(&w);
		jw_end(&w);
		usage_member(j, &w);
		jw_end(&w);
		e = jw_done(&w) ? send_event(j, buf_str(&j->chunk)) : ERR_NOMEM;
	}
	return e ? e : send_event(j, S("[DONE]"));
}

/* The stream has begun: an error is an event that clients raise. */
static void fail_stream(struct job *j)
{
	buf_clear(&j->chunk);
	struct jw w = {.out = &j->chunk};
	jw_obj(&w);
	jw_key(&w, "error");
	jw_obj(&w);
	api_error_members(&w, &j->x);
	jw_end(&w);
	jw_end(&w);
	if (jw_done(&w))
		send_event(j, buf_str(&j->chunk));
}

/* ---- one answer ---- */

static const char *finish_word(enum gen_finish f)
{
	return f == GEN_LENGTH ? "length" : "stop";
}

static void note_answer(struct job *j, const struct gen_result *r)
{
	span_text(j->span, "output", buf_str(&r->text));
	span_i64(j->span, "prompt_tokens", r->prompt_tokens);
	span_i64(j->span, "completion_tokens", r->completion_tokens);
	span_i64(j->span, "cached_tokens", r->cached_tokens);
	span_text(j->span, "finish_reason", str_c(finish_word(r->finish)));
	span_f64(j->span, "queued_ms", (double)r->queued_ns / 1e6);
	span_f64(j->span, "prompt_ms", (double)r->prompt_ns / 1e6);
	span_f64(j->span, "decode_ms", (double)r->decode_ns / 1e6);
	span_f64(j->span, "first_token_ms", (double)r->first_token_ns / 1e6);
	j->completion_tokens += r->completion_tokens;
	j->queued_ns += r->queued_ns;
	j->prompt_ns += r->prompt_ns;
	j->decode_ns += r->decode_ns;
	if (!j->first_ns)
		j->first_ns = r->first_token_ns;
}

static enum err end_answer(struct job *j, struct str text)
{
	enum err e = OK;
	if (j->p->stream)
		e = end_choice(j, j->choice->finish);
	else
		buf_adds(&j->choice->text, text);
	return e ? api_fail(&j->x, e, NULL, NULL, "the client went away") : OK;
}

/* The entries of the prompt's own tokens; of the first one nothing is known. */
static enum err echo_entries(struct job *j, const struct tokens *prompt, struct buf *out)
{
	uint32_t n_top = (uint32_t)MAX(j->p->top_logprobs, 0);
	float *logprob = calloc(prompt->n, sizeof *logprob);
	struct token_logprob *top = calloc(prompt->n * MAX(n_top, 1u), sizeof *top);
	enum err e =
		logprob && top
			? model_score(endpoint_model(j->ep), endpoint_adapter(j->ep), prompt->id,
				  prompt->n, n_top, logprob, top, &j->sink->cancel, &j->x.et)
			: err_set(&j->x.et, ERR_NOMEM, "no memory for the log probabilities");
	for (size_t i = 0; i < prompt->n && !e; i++) {
		struct gen_event ev = {.token = prompt->id[i],
			.logprob = i ? logprob[i] : NAN,
			.top = top + i * n_top,
			.n_top = i ? n_top : 0};
		if (i)
			buf_putc(out, ',');
		token_entry(j, &ev, out);
	}
	free(logprob);
	free(top);
	return e;
}

static enum err echo(struct job *j, const struct tokens *prompt)
{
	struct buf text = {0}, entries = {0};
	enum err e = tokenizer_decode(j->tk, prompt->id, prompt->n, false, &text);
	if (!e && j->p->top_logprobs >= 0)
		e = echo_entries(j, prompt, &entries);
	if (!e)
		e = text.err ? text.err : entries.err;
	if (e) {
		api_fail_from(&j->x, e, j->param);
	} else if (j->p->stream) {
		e = open_choice(j);
		e = e ? e : send_delta(j, false, buf_str(&text), buf_str(&entries), NULL);
		if (e)
			api_fail(&j->x, e, NULL, NULL, "the client went away");
	} else {
		buf_adds(&j->choice->text, buf_str(&text));
		buf_adds(&j->choice->logprobs, buf_str(&entries));
	}
	buf_free(&text);
	buf_free(&entries);
	return e;
}

static enum err complete(struct job *j, const struct tokens *prompt, unsigned k)
{
	struct gen_request g = {.prompt = prompt->id,
		.n_prompt = prompt->n,
		.max_tokens = j->p->max_tokens,
		.sampling = j->p->sampling,
		.stop = j->p->stop,
		.n_stop = j->p->n_stop,
		.top_logprobs = j->p->top_logprobs,
		.language = constraint_language(j->held),
		.priority = j->p->priority,
		.cancel = &j->sink->cancel,
		.on_token = on_token,
		.ctx = j};
	struct gen_result r = {0};
	if (j->p->echo && echo(j, prompt))
		return j->x.e;
	endpoint_share(j->ep, &g, j->rq->who, project_of(j->rq));
	g.sampling.seed += k; /* n answers differ, and again so with the same seed */
	j->span = span_begin(j->run, NULL, "generate", "llm");
	span_text(j->span, "model", endpoint_name(j->ep));
	span_i64(j->span, "choice", j->index);
	enum err e = generator_run(endpoint_generator(j->ep), &g, &r, &j->x.et);
	if (!e && r.finish == GEN_CANCELLED)
		e = err_set(&j->x.et, ERR_CANCELLED, "the client went away");
	if (e) {
		api_fail_from(&j->x, e, j->param);
	} else {
		note_answer(j, &r);
		if (k == 0) {
			j->prompt_tokens += r.prompt_tokens;
			j->cached_tokens += r.cached_tokens;
		}
		j->choice->finish = finish_word(r.finish);
		e = end_answer(j, buf_str(&r.text));
	}
	span_end(j->span, e, &j->x.et);
	buf_free(&r.text);
	return e;
}

static const char *chat_finish_word(const struct job *j, enum chat_finish f)
{
	switch (f) {
	case CHAT_LENGTH:
		return "length";
	case CHAT_TOOL_CALLS:
		return j->cp->functions ? "function_call" : "tool_calls";
	case CHAT_FILTERED:
		return "content_filter";
	default:
		return "stop";
	}
}

/* Of a remote endpoint: the answer's headers say who gave it. */
static void on_provider(void *ctx, struct str provider, unsigned attempts)
{
	struct job *j = ctx;
	char n[16];
	snprintf(n, sizeof n, "%u", attempts);
	pthread_mutex_lock(&j->sink->mu);
	if (!j->sink->begun) {
		http_set_header(j->rs, "x-croft-provider", provider);
		http_set_header(j->rs, "x-croft-attempts", str_c(n));
	}
	pthread_mutex_unlock(&j->sink->mu);
}

static enum err converse(struct job *j, const struct chat_params *p, unsigned k)
{
	struct chat_request r = api_chat_request(p, j->rq->who, &j->sink->cancel);
	struct chat_result *res = &j->choice->res;
	r.sampling.seed += k;
	r.choice = k;
	/* without a listener, a provider that breaks off in the middle can be asked again */
	r.on_event = j->p->stream || j->p->top_logprobs >= 0 ? on_event : NULL;
	r.on_provider = on_provider;
	r.ctx = j;
	enum err e = chat_run(j->c, j->ep, j->run, &r, res, &j->x.et);
	if (e)
		return api_fail_from(&j->x, e, j->param);
	if (k == 0) {
		j->prompt_tokens += res->prompt_tokens;
		j->cached_tokens += res->cached_tokens;
		j->first_ns = res->first_token_ns;
	}
	j->completion_tokens += res->completion_tokens;
	j->reasoning_tokens += res->reasoning_tokens;
	j->queued_ns += res->queued_ns;
	j->prompt_ns += res->prompt_ns;
	j->decode_ns += res->decode_ns;
	j->choice->finish = chat_finish_word(j, res->finish);
	return end_answer(j, buf_str(&res->text));
}

/* ---- the whole ---- */

static void write_calls(struct job *j, struct jw *w, const struct chat_result *r)
{
	if (!r->n_calls)
		return;
	if (j->cp->functions) {
		jw_key(w, "function_call");
		jw_obj(w);
		jw_kstr(w, "name", buf_str(&r->calls[0].name));
		jw_kstr(w, "arguments", buf_str(&r->calls[0].arguments));
		jw_end(w);
		return;
	}
	jw_key(w, "tool_calls");
	jw_arr(w);
	for (size_t i = 0; i < r->n_calls; i++) {
		jw_obj(w);
		jw_kstr(w, "id", buf_str(&r->calls[i].id));
		jw_kc(w, "type", "function");
		jw_key(w, "function");
		jw_obj(w);
		jw_kstr(w, "name", buf_str(&r->calls[i].name));
		jw_kstr(w, "arguments", buf_str(&r->calls[i].arguments));
		jw_end(w);
		jw_end(w);
	}
	jw_end(w);
}

static void write_choice(struct job *j, struct jw *w, unsigned index, const struct choice *ch)
{
	jw_obj(w);
	jw_ki64(w, "index", index);
	if (j->chat) {
		jw_key(w, "message");
		jw_obj(w);
		jw_kc(w, "role", "assistant");
		if (ch->res.n_calls && !ch->text.n)
			jw_kc(w, "content", NULL);
		else
			jw_kstr(w, "content", buf_str(&ch->text));
		if (ch->res.reasoning.n)
			jw_kstr(w, "reasoning_content", buf_str(&ch->res.reasoning));
		write_calls(j, w, &ch->res);
		jw_kc(w, "refusal", NULL);
		jw_key(w, "annotations");
		jw_arr(w);
		jw_end(w);
		jw_end(w);
	} else {
		jw_kstr(w, "text", buf_str(&ch->text));
	}
	logprobs_member(j, w, buf_str(&ch->logprobs));
	jw_kc(w, "finish_reason", ch->finish);
	jw_end(w);
}

static void reply_whole(struct job *j, const struct choice *choices, unsigned n)
{
	buf_clear(&j->chunk);
	struct jw w = {.out = &j->chunk};
	jw_obj(&w);
	common_members(j, &w, j->chat ? "chat.completion" : "text_completion");
	jw_key(&w, "choices");
	jw_arr(&w);
	for (unsigned i = 0; i < n; i++)
		write_choice(j, &w, i, &choices[i]);
	jw_end(&w);
	usage_member(j, &w);
	receipt_member(j, &w, &choices[0].res);
	jw_end(&w);
	http_reply_json(j->rs, 200, &w);
}

static void begin_job(struct job *j, struct croft *c, const char *kind, struct str name)
{
	char hex[ID_HEX + 1];
	j->run = run_begin(c, project_of(j->rq), kind,
		str_sub(name, 0, utf8_complete_prefix(str_sub(name, 0, 120))));
	id_hex(j->run ? run_id(j->run) : j->rq->id, hex);
	http_set_header(j->rs, "x-croft-run", str_c(hex));
	snprintf(j->id, sizeof j->id, "%s-%s", j->chat ? "chatcmpl" : "cmpl", hex);
	j->created = clock_unix_ms() / 1000;
	j->param = j->chat ? "messages" : "prompt";
}

static enum err find_model(struct job *j, struct croft *c)
{
	enum err e = endpoint_chat(c, j->p->model, &j->ep, &j->x.et);
	if (e)
		return api_fail_from(&j->x, e, "model");
	run_text(j->run, "model", endpoint_name(j->ep));
	j->c = c;
	if (endpoint_model(j->ep))
		j->tk = model_tokenizer(endpoint_model(j->ep));
	else if (!j->chat)
		return api_fail(&j->x, ERR_UNSUPPORTED, "unsupported_model", "model",
			"%.*s is a remote provider, which /v1/completions is not passed on to: "
			"use /v1/chat/completions",
			STR_FMT(endpoint_name(j->ep)));
	for (size_t i = 0; j->tk && i < j->p->sampling.n_bias; i++)
		if ((size_t)j->p->sampling.bias[i].id >= tokenizer_vocab_size(j->tk))
			return api_fail(&j->x, ERR_INVALID, "invalid_value", "logit_bias",
				"logit_bias: %d is no token of this model",
				(int)j->p->sampling.bias[i].id);
	if (j->p->format.kind)
		run_text(j->run, "held_to", str_c(j->p->format.param));
	return api_format_get(c, &j->p->format, &j->held, &j->x);
}

/* Tells the client how it ended, the run what happened. */
static void end_job(struct job *j, enum err e)
{
	if (e && j->sink->begun)
		fail_stream(j);
	else if (e)
		api_reply_error(j->rs, &j->x);
	run_i64(j->run, "prompt_tokens", (int64_t)j->prompt_tokens);
	run_i64(j->run, "completion_tokens", (int64_t)j->completion_tokens);
	run_f64(j->run, "queued_ms", (double)j->queued_ns / 1e6);
	run_f64(j->run, "prompt_ms", (double)j->prompt_ns / 1e6);
	run_f64(j->run, "decode_ms", (double)j->decode_ns / 1e6);
	run_f64(j->run, "first_token_ms", (double)j->first_ns / 1e6);
	run_end(j->run, e, &j->x.et);
	if (j->held)
		api_format_put(j->c, j->held);
	endpoint_put(j->ep);
	buf_free(&j->chunk);
}

/* What there is to answer: the messages of p, or prompts, n answers to each. */
struct task {
	const struct chat_params *p; /* NULL: prompts */
	const struct tokens *prompts;
	struct choice *choices; /* [n] */
	unsigned n;
};

struct worker {
	struct job j;
	const struct task *t;
	struct trace_context context; /* of the request, for what the thread asks of others */
	pthread_t thread;
	bool started;
};

static enum err answer(struct job *j, const struct task *t)
{
	enum err e = t->p ? converse(j, t->p, j->index)
			  : complete(j, &t->prompts[j->index / j->p->n], j->index % j->p->n);
	if (!e && (j->choice->text.err || j->choice->logprobs.err))
		e = api_fail(&j->x, ERR_NOMEM, NULL, NULL, "no memory for the answer");
	return e;
}

/* One answer after the other, until there are none left or one failed. */
static void *answer_some(void *arg)
{
	struct worker *k = arg;
	struct job *j = &k->j;
	struct sink *s = j->sink;
	trace_context_set(k->context);
	for (enum err e = OK; !e;) {
		pthread_mutex_lock(&s->mu);
		j->index = s->next;
		e = s->e ? s->e : j->index == k->t->n ? ERR_NOT_FOUND : OK;
		s->next += !e;
		pthread_mutex_unlock(&s->mu);
		if (e)
			break;
		j->choice = &k->t->choices[j->index];
		j->opened = false;
		e = answer(j, k->t);
		pthread_mutex_lock(&s->mu);
		if (e && !s->e) {
			s->e = e;
			s->x = j->x;
			cancel_set(&s->cancel);
		}
		pthread_mutex_unlock(&s->mu);
	}
	return NULL;
}

static void add_counts(struct job *to, const struct job *from)
{
	to->prompt_tokens += from->prompt_tokens;
	to->completion_tokens += from->completion_tokens;
	to->cached_tokens += from->cached_tokens;
	to->reasoning_tokens += from->reasoning_tokens;
	to->queued_ns += from->queued_ns;
	to->prompt_ns += from->prompt_ns;
	to->decode_ns += from->decode_ns;
	if (!to->first_ns || (from->first_ns && from->first_ns < to->first_ns))
		to->first_ns = from->first_ns;
}

/* All answers, some at a time; where threads are short, on fewer, at least on this one. */
static enum err answer_each(struct job *j, const struct task *t)
{
	enum { AT_ONCE = 16 };
	struct worker k[AT_ONCE];
	unsigned n = MIN(t->n, (unsigned)AT_ONCE);
	for (unsigned i = 0; i < n; i++)
		k[i] = (struct worker){.j = *j, .t = t, .context = trace_context_now()};
	for (unsigned i = 1; i < n; i++)
		k[i].started = !thread_start(&k[i].thread, answer_some, &k[i], "answer", NULL);
	answer_some(&k[0]);
	for (unsigned i = 0; i < n; i++) {
		if (k[i].started)
			pthread_join(k[i].thread, NULL);
		add_counts(j, &k[i].j);
		buf_free(&k[i].j.chunk);
	}
	j->x = j->sink->x;
	return j->sink->e;
}

/* The answers to all prompts, n each, in order; to the messages of p when it is a chat. */
static enum err answer_all(
	struct job *j, const struct chat_params *p, const struct tokens *prompts, size_t n_prompts)
{
	struct task t = {.p = p, .prompts = prompts, .n = (unsigned)n_prompts * j->p->n};
	t.choices = calloc(t.n, sizeof *t.choices);
	enum err e = t.choices ? answer_each(j, &t)
			       : api_fail(&j->x, ERR_NOMEM, NULL, NULL, "no memory");
	if (!e && j->p->stream)
		e = end_stream(j);
	else if (!e)
		reply_whole(j, t.choices, t.n);
	for (unsigned i = 0; t.choices && i < t.n; i++) {
		buf_free(&t.choices[i].text);
		buf_free(&t.choices[i].logprobs);
		chat_result_free(&t.choices[i].res);
	}
	free(t.choices);
	return e;
}

/* ---- chat ---- */

/* The request as it came, for `croft replay`. A span of its own: lists of runs do not read it. */
static void note_request(struct job *j)
{
	struct span *s = span_begin(j->run, NULL, "request", "request");
	span_json(s, "input", j->rq->body);
	span_end(s, OK, NULL);
}

void openai_chat(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct chat_params p;
	struct sink s = {.mu = PTHREAD_MUTEX_INITIALIZER, .cancel.parent = rq->cancel};
	struct job j = {.sink = &s, .rq = rq, .rs = rs, .p = &p.gen, .chat = true, .cp = &p};
	if (api_parse_chat(rq->body, rq->arena, &p, &j.x) ||
		api_priority(rq, &p.gen.priority, &j.x)) {
		api_reply_error(rs, &j.x);
		return;
	}
	begin_job(&j, c, "chat", p.last_user);
	note_request(&j);
	enum err e = find_model(&j, c);
	if (!e)
		e = answer_all(&j, &p, NULL, 1);
	end_job(&j, e);
}

/* ---- completions ---- */

static enum err prompt_tokens(struct job *j, const struct prompt *in, struct tokens *out)
{
	enum err e = OK;
	if (!in->ids) {
		e = tokenizer_encode(
			j->tk, in->text, TOKENIZE_ADD_SPECIAL | TOKENIZE_SPECIAL, out, &j->x.et);
		return e ? api_fail_from(&j->x, e, "prompt") : OK;
	}
	for (size_t i = 0; i < in->n_ids; i++)
		if ((size_t)in->ids[i] >= tokenizer_vocab_size(j->tk))
			return api_fail(&j->x, ERR_INVALID, "invalid_value", "prompt",
				"prompt: %d is no token of this model", (int)in->ids[i]);
	out->id = malloc(in->n_ids * sizeof *out->id);
	if (!out->id)
		return api_fail(&j->x, ERR_NOMEM, NULL, NULL, "no memory for the prompt");
	memcpy(out->id, in->ids, in->n_ids * sizeof *out->id);
	out->n = out->cap = in->n_ids;
	return OK;
}

void openai_completion(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct completion_params p;
	struct sink s = {.mu = PTHREAD_MUTEX_INITIALIZER, .cancel.parent = rq->cancel};
	struct job j = {.sink = &s, .rq = rq, .rs = rs, .p = &p.gen};
	if (api_parse_completion(rq->body, rq->arena, &p, &j.x) ||
		api_priority(rq, &p.gen.priority, &j.x)) {
		api_reply_error(rs, &j.x);
		return;
	}
	begin_job(&j, c, "completion", p.prompts[0].ids ? S("token ids") : p.prompts[0].text);
	enum err e = find_model(&j, c);
	struct tokens *prompts = calloc(p.n_prompts, sizeof *prompts);
	if (!e && !prompts)
		e = api_fail(&j.x, ERR_NOMEM, NULL, NULL, "no memory for the prompts");
	for (size_t i = 0; i < p.n_prompts && !e; i++)
		e = prompt_tokens(&j, &p.prompts[i], &prompts[i]);
	if (!e)
		e = answer_all(&j, NULL, prompts, p.n_prompts);
	for (size_t i = 0; prompts && i < p.n_prompts; i++)
		tokens_free(&prompts[i]);
	free(prompts);
	end_job(&j, e);
}
