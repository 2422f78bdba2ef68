/* Anthropic's events to events of a turn: content comes in blocks, one after the other. */
#include "endpoint/remote_int.h"

static void read_usage(struct remote_stream *s, yyjson_val *u)
{
	if (!yyjson_is_obj(u))
		return;
	/* input_tokens does not count what was read from, or written to, their cache */
	int64_t cached = json_i64(u, "cache_read_input_tokens", 0);
	int64_t input = json_i64(u, "input_tokens", -1);
	if (input >= 0) {
		s->res.cached_tokens = (uint32_t)cached;
		s->res.prompt_tokens =
			(uint32_t)(input + cached + json_i64(u, "cache_creation_input_tokens", 0));
	}
	s->res.completion_tokens = (uint32_t)json_i64(u, "output_tokens", s->res.completion_tokens);
}

static void read_stop(struct remote_stream *s, yyjson_val *o)
{
	struct str word = json_str(o, "stop_reason");
	if (!word.n)
		return;
	buf_clear(&s->finish);
	buf_adds(&s->finish, str_sub(word, 0, 100));
	s->finished = true;
	s->res.finish =
		str_eq_c(word, "max_tokens") || str_eq_c(word, "model_context_window_exceeded")
			? CHAT_LENGTH
		: str_eq_c(word, "tool_use")      ? CHAT_TOOL_CALLS
		: str_eq_c(word, "refusal")       ? CHAT_FILTERED
		: str_eq_c(word, "stop_sequence") ? CHAT_STOP_STRING
						  : CHAT_STOP;
	if (s->res.finish == CHAT_STOP_STRING) {
		buf_clear(&s->res.stop_string);
		buf_adds(&s->res.stop_string, json_str(o, "stop_sequence"));
	}
}

static enum err write_input(struct remote_stream *s, yyjson_val *input, struct errtext *et)
{
	struct buf text = {0};
	struct jw w = {.out = &text};
	if (!yyjson_is_obj(input) || !yyjson_obj_size(input))
		return OK;
	jw_val(&w, input);
	enum err e = jw_done(&w) ? stream_arguments(s, buf_str(&text), et)
				 : err_set(et, ERR_NOMEM, "no memory for the answer");
	buf_free(&text);
	return e;
}

static enum err begin_block(
	struct remote_stream *s, int64_t index, yyjson_val *b, struct errtext *et)
{
	struct str type = json_str(b, "type");
	s->text_block = index;
	if (str_eq_c(type, "tool_use")) {
		enum err e =
			stream_call_begin(s, index, json_str(b, "id"), json_str(b, "name"), et);
		return e ? e : write_input(s, yyjson_obj_get(b, "input"), et);
	}
	if (str_eq_c(type, "thinking"))
		return stream_text(s, CHAT_REASONING, json_str(b, "thinking"), et);
	return str_eq_c(type, "text") ? stream_text(s, CHAT_TEXT, json_str(b, "text"), et) : OK;
}

static enum err add_to_block(
	struct remote_stream *s, int64_t index, yyjson_val *d, struct errtext *et)
{
	struct str type = json_str(d, "type");
	if (index != s->text_block)
		return err_set(et, ERR_NETWORK,
			"the provider's stream writes to a block that is not open");
	if (str_eq_c(type, "text_delta"))
		return stream_text(s, CHAT_TEXT, json_str(d, "text"), et);
	if (str_eq_c(type, "thinking_delta"))
		return stream_text(s, CHAT_REASONING, json_str(d, "thinking"), et);
	if (!str_eq_c(type, "input_json_delta"))
		return OK; /* signatures, citations */
	if (!s->call_open)
		return err_set(
			et, ERR_NETWORK, "the provider's stream has arguments outside a call");
	return stream_arguments(s, json_str(d, "partial_json"), et);
}

enum err blocks_event(struct remote_stream *s, yyjson_val *o, struct errtext *et)
{
	struct str type = json_str(o, "type");
	int64_t index = json_i64(o, "index", 0);
	if (str_eq_c(type, "message_start")) {
		read_usage(s, yyjson_obj_get(yyjson_obj_get(o, "message"), "usage"));
	} else if (s->finished && !str_eq_c(type, "message_stop")) {
		return OK;
	} else if (str_eq_c(type, "content_block_start")) {
		return begin_block(s, index, yyjson_obj_get(o, "content_block"), et);
	} else if (str_eq_c(type, "content_block_delta")) {
		return add_to_block(s, index, yyjson_obj_get(o, "delta"), et);
	} else if (str_eq_c(type, "content_block_stop")) {
		s->text_block = -1;
		return s->call_open ? stream_call_end(s, et) : OK;
	} else if (str_eq_c(type, "message_delta")) {
		enum err e = s->call_open ? stream_call_end(s, et) : OK;
		read_usage(s, yyjson_obj_get(o, "usage"));
		read_stop(s, yyjson_obj_get(o, "delta"));
		return e;
	} else if (str_eq_c(type, "message_stop")) {
		s->done = true;
	}
	return OK;
}

enum err blocks_whole(struct remote_stream *s, yyjson_val *o, struct errtext *et)
{
	size_t i, n;
	yyjson_val *b;
	enum err e = OK;
	yyjson_arr_foreach(yyjson_obj_get(o, "content"), i, n, b)
	{
		if (!e)
			e = begin_block(s, (int64_t)i, b, et);
		if (!e && s->call_open)
			e = stream_call_end(s, et);
	}
	read_usage(s, yyjson_obj_get(o, "usage"));
	read_stop(s, o);
	return e;
}
