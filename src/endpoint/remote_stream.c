/* What a provider sends back, piece by piece: server-sent events, and in them OpenAI's chunks.
 *
 *  1. Bytes become lines, lines an event's data, data one JSON object; each is bounded.
 *  2. An object that carries "error" ends the answer with that error.
 *  3. Of the first choice, reasoning and text are passed on at once. A call of a tool begins with
 *     its first chunk and ends when another begins, or the answer ends.
 *  4. The answer is whole only when the provider said why it ended. */
#include "endpoint/remote_int.h"

#include <stdio.h>
#include <stdlib.h>

void remote_stream_init(struct remote_stream *s, enum remote_kind kind,
	bool (*on_event)(void *ctx, const struct chat_event *ev), void *ctx)
{
	*s = (struct remote_stream){
		.kind = kind, .on_event = on_event, .ctx = ctx, .text_block = -1};
	s->line.max = s->data.max = STREAM_EVENT_MAX;
}

void remote_stream_free(struct remote_stream *s)
{
	chat_result_free(&s->res);
	buf_free(&s->finish);
	buf_free(&s->line);
	buf_free(&s->data);
}

/* ---- what was read ---- */

static enum err send_event(struct remote_stream *s, const struct chat_event *ev, struct errtext *et)
{
	s->passed |= s->on_event != NULL;
	if (s->on_event && !s->on_event(s->ctx, ev)) {
		s->refused = true;
		return err_set(et, ERR_CANCELLED, "the client went away");
	}
	return OK;
}

static enum err keep(struct remote_stream *s, struct buf *b, struct str text, struct errtext *et)
{
	s->total += text.n;
	if (s->total > STREAM_TEXT_MAX)
		return err_set(et, ERR_NETWORK, "the provider's answer has more than %d bytes",
			STREAM_TEXT_MAX);
	buf_adds(b, text);
	return b->err ? err_set(et, ERR_NOMEM, "no memory for the answer") : OK;
}

enum err stream_text(
	struct remote_stream *s, enum chat_event_kind kind, struct str text, struct errtext *et)
{
	if (!text.n)
		return OK;
	enum err e = s->call_open ? stream_call_end(s, et) : OK;
	if (!e)
		e = keep(s, kind == CHAT_TEXT ? &s->res.text : &s->res.reasoning, text, et);
	return e ? e : send_event(s, &(struct chat_event){.kind = kind, .text = text}, et);
}

static struct chat_call *last_call(struct remote_stream *s)
{
	return &s->res.calls[s->res.n_calls - 1];
}

enum err stream_call_begin(
	struct remote_stream *s, int64_t index, struct str id, struct str name, struct errtext *et)
{
	char made[64];
	enum err e = s->call_open ? stream_call_end(s, et) : OK;
	if (e)
		return e;
	if (!name.n)
		return err_set(et, ERR_NETWORK, "the provider called a tool without its name");
	if (s->res.n_calls == STREAM_CALLS_MAX)
		return err_set(et, ERR_NETWORK, "the provider called more than %d tools",
			STREAM_CALLS_MAX);
	struct chat_call *more = realloc(s->res.calls, (s->res.n_calls + 1) * sizeof *s->res.calls);
	if (!more)
		return err_set(et, ERR_NOMEM, "no memory for the answer");
	s->res.calls = more;
	more[s->res.n_calls++] = (struct chat_call){0};
	s->call_open = true;
	s->call_index = index;
	if (!id.n) { /* some servers give none */
		char hex[ID_HEX + 1];
		id_hex(id_new(), hex);
		snprintf(made, sizeof made, "call_%s", hex);
		id = str_c(made);
	}
	e = keep(s, &last_call(s)->id, id, et);
	if (!e)
		e = keep(s, &last_call(s)->name, name, et);
	return e ? e
		 : send_event(s,
			   &(struct chat_event){.kind = CHAT_CALL,
				   .call = (unsigned)s->res.n_calls - 1,
				   .id = id,
				   .name = name},
			   et);
}

enum err stream_arguments(struct remote_stream *s, struct str json, struct errtext *et)
{
	if (!json.n)
		return OK;
	enum err e = keep(s, &last_call(s)->arguments, json, et);
	return e ? e
		 : send_event(s,
			   &(struct chat_event){.kind = CHAT_ARGUMENTS,
				   .call = (unsigned)s->res.n_calls - 1,
				   .text = json},
			   et);
}

enum err stream_call_end(struct remote_stream *s, struct errtext *et)
{
	enum err e = OK;
	if (!last_call(s)->arguments.n) /* a tool without parameters */
		e = stream_arguments(s, S("{}"), et);
	s->call_open = false;
	return e ? e
		 : send_event(s,
			   &(struct chat_event){
				   .kind = CHAT_CALL_END, .call = (unsigned)s->res.n_calls - 1},
			   et);
}

/* ---- errors of theirs ---- */

/* {"message", "type", "code"} in either protocol, or a text. */
enum err stream_failed(yyjson_val *error, struct errtext *et)
{
	struct str type = json_str(error, "type"), text = json_str(error, "message"),
		   code = json_str(error, "code");
	int64_t status = json_i64(error, "code", json_i64(error, "status", 0));
	if (yyjson_is_str(error))
		text = json_val_str(error);
	enum err e = str_eq_c(type, "rate_limit_error") || str_eq_c(type, "overloaded_error") ||
				     str_eq_c(code, "rate_limit_exceeded") || status == 429
			     ? ERR_BUSY
		     : str_eq_c(type, "invalid_request_error") || status == 400 ? ERR_INVALID
										: ERR_NETWORK;
	return err_set(et, e, "the provider says: %.*s",
		STR_FMT(text.n ? str_sub(text, 0, 300) : S("an error without a word about it")));
}

/* ---- OpenAI's chunks ---- */

static void read_usage(struct remote_stream *s, yyjson_val *u)
{
	if (!yyjson_is_obj(u))
		return;
	s->res.prompt_tokens = (uint32_t)json_i64(u, "prompt_tokens", 0);
	s->res.completion_tokens = (uint32_t)json_i64(u, "completion_tokens", 0);
	s->res.cached_tokens =
		(uint32_t)json_i64(yyjson_obj_get(u, "prompt_tokens_details"), "cached_tokens", 0);
	s->res.reasoning_tokens = (uint32_t)json_i64(
		yyjson_obj_get(u, "completion_tokens_details"), "reasoning_tokens", 0);
}

/* A call goes on when its index does; servers that give every call index 0 are told apart by ids.
 */
static enum err read_call(
	struct remote_stream *s, yyjson_val *c, int64_t position, struct errtext *et)
{
	yyjson_val *fn = yyjson_obj_get(c, "function");
	int64_t index = json_i64(c, "index", position);
	struct str id = json_str(c, "id"), name = json_str(fn, "name");
	yyjson_val *args = yyjson_obj_get(fn, "arguments");
	bool same = s->call_open && index == s->call_index &&
		    (!id.n || str_eq(id, buf_str(&last_call(s)->id)));
	enum err e = OK;
	if (!same && !name.n && s->res.n_calls)
		return err_set(et, ERR_NETWORK,
			"the provider's stream goes back to a call that had ended");
	if (!same)
		e = stream_call_begin(s, index, id, name, et);
	if (!e && yyjson_is_str(args)) {
		e = stream_arguments(s, json_val_str(args), et);
	} else if (!e && yyjson_is_obj(args)) { /* Ollama's own way */
		struct buf text = {0};
		struct jw w = {.out = &text};
		jw_val(&w, args);
		e = jw_done(&w) ? stream_arguments(s, buf_str(&text), et)
				: err_set(et, ERR_NOMEM, "no memory for the answer");
		buf_free(&text);
	}
	return e;
}

static enum err read_delta(struct remote_stream *s, yyjson_val *d, struct errtext *et)
{
	/* the same thing under llama-server's and vLLM's name, and vLLM's newer one */
	struct str thought = json_str(d, "reasoning_content");
	if (!thought.p)
		thought = json_str(d, "reasoning");
	enum err e = stream_text(s, CHAT_REASONING, thought, et);
	if (!e)
		e = stream_text(s, CHAT_TEXT, json_str(d, "content"), et);
	if (!e)
		e = stream_text(s, CHAT_TEXT, json_str(d, "refusal"), et);
	size_t i, n;
	yyjson_val *c;
	yyjson_arr_foreach(yyjson_obj_get(d, "tool_calls"), i, n, c)
	{
		if (e)
			return e;
		e = read_call(s, c, (int64_t)i, et);
	}
	return e;
}

static enum err read_finish(struct remote_stream *s, yyjson_val *choice, struct errtext *et)
{
	struct str word = json_str(choice, "finish_reason"),
		   stop = json_str(choice, "stop_reason"); /* vLLM: the string that ended it */
	if (!word.n)
		return OK;
	enum err e = s->call_open ? stream_call_end(s, et) : OK;
	buf_clear(&s->finish);
	buf_adds(&s->finish, str_sub(word, 0, 100));
	s->finished = true;
	s->res.finish = str_eq_c(word, "length") ? CHAT_LENGTH
			: str_eq_c(word, "tool_calls") || str_eq_c(word, "function_call")
				? CHAT_TOOL_CALLS
			: str_eq_c(word, "content_filter") ? CHAT_FILTERED
			: stop.n                           ? CHAT_STOP_STRING
							   : CHAT_STOP;
	if (s->res.finish == CHAT_STOP && s->res.n_calls)
		s->res.finish = CHAT_TOOL_CALLS; /* Ollama says "stop" */
	if (s->res.finish == CHAT_STOP_STRING) {
		buf_clear(&s->res.stop_string);
		buf_adds(&s->res.stop_string, stop);
	}
	return e;
}

static enum err chunk(struct remote_stream *s, yyjson_val *o, const char *part, struct errtext *et)
{
	yyjson_val *choice = yyjson_arr_get_first(yyjson_obj_get(o, "choices"));
	enum err e = OK;
	read_usage(s, yyjson_obj_get(o, "usage"));
	if (choice && !s->finished)
		e = read_delta(s, yyjson_obj_get(choice, part), et);
	return e || !choice ? e : read_finish(s, choice, et);
}

/* ---- events ---- */

static enum err object(struct remote_stream *s, struct str text, bool whole, struct errtext *et)
{
	yyjson_doc *doc;
	enum err e = json_parse(text, &doc, et);
	if (e == ERR_NOMEM)
		return e;
	if (e)
		return err_wrap(et, ERR_NETWORK, "the provider sent no JSON");
	yyjson_val *o = yyjson_doc_get_root(doc), *error = yyjson_obj_get(o, "error");
	if (error && !yyjson_is_null(error))
		e = stream_failed(error, et);
	else if (!yyjson_is_obj(o))
		e = err_set(et, ERR_NETWORK, "the provider sent no JSON object");
	else if (s->kind == REMOTE_ANTHROPIC)
		e = whole ? blocks_whole(s, o, et) : blocks_event(s, o, et);
	else
		e = chunk(s, o, whole ? "message" : "delta", et);
	yyjson_doc_free(doc);
	return e;
}

/* An empty line: what was gathered is an event. */
static enum err dispatch(struct remote_stream *s, struct errtext *et)
{
	enum err e = OK;
	struct str data = buf_str(&s->data);
	if (s->has_data && str_eq(str_trim(data), S("[DONE]")))
		s->done = true;
	else if (s->has_data && str_trim(data).n)
		e = object(s, data, false, et);
	s->has_data = false;
	buf_clear(&s->data);
	return e;
}

/* Of the fields only data counts: both protocols say in it what it is. */
static enum err end_line(struct remote_stream *s, struct errtext *et)
{
	struct str line = buf_str(&s->line);
	enum err e = OK;
	if (!line.n) {
		e = dispatch(s, et);
	} else if (str_starts(line, S("data:"))) {
		struct str v = str_sub(line, 5, line.n);
		if (v.n && v.p[0] == ' ')
			v = str_sub(v, 1, v.n);
		if (s->has_data)
			buf_putc(&s->data, '\n');
		buf_adds(&s->data, v);
		s->has_data = true;
	}
	buf_clear(&s->line);
	return s->data.err ? err_set(et, ERR_NETWORK,
				     "the provider sent an event of more than %d bytes",
				     STREAM_EVENT_MAX)
			   : e;
}

/* Lines end with LF, CR or both. */
enum err remote_stream_feed(struct remote_stream *s, struct str bytes, struct errtext *et)
{
	while (bytes.n && !s->done) {
		size_t n = 0;
		if (s->after_cr && bytes.p[0] == '\n')
			bytes = str_sub(bytes, 1, bytes.n);
		s->after_cr = false;
		while (n < bytes.n && bytes.p[n] != '\n' && bytes.p[n] != '\r')
			n++;
		buf_add(&s->line, bytes.p, n);
		if (s->line.err)
			return err_set(et, ERR_NETWORK,
				"the provider sent a line of more than %d bytes", STREAM_EVENT_MAX);
		if (n == bytes.n)
			return OK;
		s->after_cr = bytes.p[n] == '\r';
		bytes = str_sub(bytes, n + 1, bytes.n);
		enum err e = end_line(s, et);
		if (e)
			return e;
	}
	return OK;
}

static enum err check_end(struct remote_stream *s, struct errtext *et)
{
	if (!s->finished)
		return err_set(et, ERR_NETWORK, "the provider's answer ended before its end");
	if (s->res.stop_string.err || s->finish.err)
		return err_set(et, ERR_NOMEM, "no memory for the answer");
	return OK;
}

enum err remote_stream_end(struct remote_stream *s, struct errtext *et)
{
	enum err e = OK;
	if (!s->done && s->line.n) /* the last line without its end */
		e = end_line(s, et);
	if (!e && !s->done)
		e = dispatch(s, et);
	return e ? e : check_end(s, et);
}

enum err remote_stream_whole(struct remote_stream *s, struct str json, struct errtext *et)
{
	enum err e = object(s, json, true, et);
	return e ? e : check_end(s, et);
}
