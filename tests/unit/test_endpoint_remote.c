/* Remote providers without a wire: the circuit breaker's states, bodies of requests in both
 * protocols, and what is made of the streams that providers send, whole or broken. */
#include "endpoint/remote_int.h"
#include "tap.h"

#include <stdlib.h>

static struct errtext et;

/* ---- the breaker ---- */

static void test_endpoint_remote__the_circuit(void)
{
	struct breaker b;
	uint64_t wait, ms = 1000000;
	unsigned failures;
	breaker_init(&b);
	for (int i = 0; i < 2; i++) {
		CHECK(breaker_enter(&b, 0, &wait));
		breaker_failed(&b, 3, 0, 100 * ms);
	}
	CHECK(breaker_enter(&b, 0, &wait));
	breaker_passed(&b); /* failures in a row, not in all */
	for (int i = 0; i < 3; i++) {
		CHECK(breaker_enter(&b, 0, &wait));
		breaker_failed(&b, 3, 0, 100 * ms);
	}
	CHECK_INT(breaker_look(&b, 99 * ms, &failures), BREAKER_OPEN);
	CHECK_INT(failures, 3);
	CHECK(!breaker_enter(&b, 40 * ms, &wait));
	CHECK_INT(wait, 60 * ms);
	/* half open: one at a time */
	CHECK_INT(breaker_look(&b, 100 * ms, &failures), BREAKER_HALF_OPEN);
	CHECK(breaker_enter(&b, 100 * ms, &wait));
	CHECK(!breaker_enter(&b, 100 * ms, &wait));
	breaker_left(&b); /* its client went away: the next one tries */
	CHECK(breaker_enter(&b, 101 * ms, &wait));
	breaker_failed(&b, 3, 101 * ms, 100 * ms);
	CHECK(!breaker_enter(&b, 200 * ms, &wait));
	CHECK(breaker_enter(&b, 201 * ms, &wait));
	breaker_passed(&b);
	CHECK_INT(breaker_look(&b, 201 * ms, &failures), BREAKER_CLOSED);
	CHECK_INT(failures, 0);
	for (int i = 0; i < 100; i++) /* 0: never opens */
		breaker_failed(&b, 0, 0, 100 * ms);
	CHECK(breaker_enter(&b, 0, &wait));
}

/* ---- bodies ---- */

#define CALLS                                                                 \
	"[{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"w\"," \
	"\"arguments\":\"{\\\"city\\\":\\\"Bern\\\"}\"}}]"

static const struct chat_message talk[] = {
	{.role = {"system", 6}, .content = {"Be brief.", 9}},
	{.role = {"user", 4}, .content = {"Weather?", 8}},
	{.role = {"assistant", 9},
		.content = {"", 0},
		.tool_calls_json = {CALLS, sizeof CALLS - 1}},
	{.role = {"tool", 4}, .content = {"rain", 4}, .tool_call_id = {"c1", 2}},
	{.role = {"user", 4}, .content = {"And \"now\"?", 10}},
};

static struct chat_request request(void)
{
	return (struct chat_request){.messages = talk,
		.n_messages = ARRAY_LEN(talk),
		.sampling = {.temperature = 0.5f, .top_p = 1, .repeat_penalty = 1, .seed = 7},
		.max_tokens = 50,
		.top_logprobs = -1};
}

static const struct remote_row row = {
	.name = {"gpt", 3}, .url = {"http://h/v1", 11}, .model = {"big", 3}};

static void test_endpoint_remote__an_openai_body(void)
{
	struct buf b = {0};
	struct chat_request r = request();
	struct chat_tool t = {.name = S("w"), .parameters = S("{\"type\":\"object\"}")};
	r.tools = &t;
	r.n_tools = 1;
	r.tool_choice = TOOLS_REQUIRED;
	r.format = CONSTRAINT_SCHEMA;
	r.format_source = S("{\"type\":\"integer\"}");
	CHECK_OK(remote_openai_body(&row, &r, true, &b, &et), &et);
	CHECK_STR(buf_str(&b),
		"{\"model\":\"big\",\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"},"
		"{\"role\":\"user\",\"content\":\"Weather?\"},"
		"{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"c1\",\"type\":"
		"\"function\",\"function\":{\"name\":\"w\",\"arguments\":\"{\\\"city\\\":"
		"\\\"Bern\\\"}"
		"\"}}]},"
		"{\"role\":\"tool\",\"content\":\"rain\",\"tool_call_id\":\"c1\"},"
		"{\"role\":\"user\",\"content\":\"And \\\"now\\\"?\"}],"
		"\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"w\",\"parameters\":{"
		"\"type\":\"object\"}}}],\"tool_choice\":\"required\",\"temperature\":0.5,\"seed\":"
		"7,"
		"\"max_tokens\":50,\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{"
		"\"name\":\"answer\",\"strict\":true,\"schema\":{\"type\":\"integer\"}}},"
		"\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
	r.format = CONSTRAINT_REGEX;
	CHECK_ERR(remote_openai_body(&row, &r, true, &b, &et), ERR_UNSUPPORTED);
	r.format = CONSTRAINT_NONE;
	r.top_logprobs = 2;
	CHECK_ERR(remote_openai_body(&row, &r, true, &b, &et), ERR_UNSUPPORTED);
	buf_free(&b);
}

static void test_endpoint_remote__an_anthropic_body(void)
{
	struct buf b = {0};
	struct chat_request r = request();
	struct chat_tool t = {.name = S("w"), .description = S("weather")};
	r.tools = &t;
	r.n_tools = 1;
	r.one_call = true;
	CHECK_OK(remote_anthropic_body(&row, &r, false, &b, &et), &et);
	CHECK_STR(buf_str(&b),
		"{\"model\":\"big\",\"max_tokens\":50,\"system\":\"Be brief.\",\"messages\":["
		"{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Weather?\"}]},"
		"{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"c1\","
		"\"name\":"
		"\"w\",\"input\":{\"city\":\"Bern\"}}]},"
		"{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"c1\","
		"\"content\":\"rain\"},{\"type\":\"text\",\"text\":\"And \\\"now\\\"?\"}]}],"
		"\"tools\":[{\"name\":\"w\",\"description\":\"weather\",\"input_schema\":{\"type\":"
		"\"object\"}}],\"tool_choice\":{\"type\":\"auto\",\"disable_parallel_tool_use\":"
		"true},"
		"\"temperature\":0.5}");
	r.sampling.frequency_penalty = 1;
	CHECK_ERR(remote_anthropic_body(&row, &r, false, &b, &et), ERR_UNSUPPORTED);
	CHECK(strstr(et.msg, "frequency_penalty"));
	buf_free(&b);
}

/* ---- streams ---- */

struct events {
	struct buf text;
	size_t most;
	size_t n;
};

static bool on_event(void *ctx, const struct chat_event *ev)
{
	struct events *s = ctx;
	static const char *const words[] = {"text", "think", "call", "args", "end"};
	buf_addf(&s->text, "%s", words[ev->kind]);
	if (ev->kind == CHAT_CALL)
		buf_addf(&s->text, "(%u,%.*s,%.*s)", ev->call, STR_FMT(ev->id), STR_FMT(ev->name));
	else if (ev->kind != CHAT_CALL_END)
		buf_addf(&s->text, "(%.*s)", STR_FMT(ev->text));
	buf_putc(&s->text, ' ');
	return !s->most || ++s->n < s->most;
}

/* Reads it in pieces of `step` bytes; the events as text. */
static enum err read_all(struct remote_stream *s, enum remote_kind kind, const char *in,
	size_t step, struct events *seen)
{
	struct str bytes = str_c(in);
	enum err e = OK;
	remote_stream_init(s, kind, on_event, seen);
	for (size_t i = 0; i < bytes.n && !e; i += step)
		e = remote_stream_feed(s, str_sub(bytes, i, i + step), &et);
	return e ? e : remote_stream_end(s, &et);
}

static void expect(enum remote_kind kind, const char *in, enum err want, const char *events,
	enum chat_finish finish)
{
	static const size_t steps[] = {1, 2, 7, 100000};
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		struct remote_stream s;
		struct events seen = {0};
		CHECK_INT(read_all(&s, kind, in, steps[i], &seen), want);
		CHECK_STR(buf_str(&seen.text), events);
		if (!want)
			CHECK_INT(s.res.finish, finish);
		remote_stream_free(&s);
		buf_free(&seen.text);
	}
}

#define D(json) "data: " json "\n\n"
#define DELTA(json) D("{\"choices\":[{\"index\":0,\"delta\":" json ",\"finish_reason\":null}]}")
#define FINISH(word) D("{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"" word "\"}]}")
#define DONE "data: [DONE]\n\n"

static void test_endpoint_remote__openai_streams(void)
{
	expect(REMOTE_OPENAI,
		": ping\r\n\r\n" DELTA("{\"role\":\"assistant\",\"content\":\"\"}")
			DELTA("{\"reasoning_content\":\"hm\"}") DELTA("{\"content\":\"Gr\\u00fc\"}")
				DELTA("{\"content\":\"\xc3\x9f\"}") FINISH("stop") DONE,
		OK, "think(hm) text(Gr\xc3\xbc) text(\xc3\x9f) ", CHAT_STOP);
	/* without the last empty line, and without [DONE] */
	expect(REMOTE_OPENAI,
		DELTA("{\"content\":\"a\"}") "data:{\"choices\":[{\"finish_reason\":\"length\"}]}",
		OK, "text(a) ", CHAT_LENGTH);
	/* two calls, the first in pieces, the second at once; then a server that knows no index */
	expect(REMOTE_OPENAI,
		DELTA("{\"tool_calls\":[{\"index\":0,\"id\":\"x\",\"type\":\"function\","
		      "\"function\":"
		      "{\"name\":\"f\",\"arguments\":\"\"}}]}")
			DELTA("{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{"
			      "\\\"a\\\"\"}}]}") DELTA("{\"tool_calls\":[{\"index\":0,\"function\":"
						       "{\"arguments\":\":1}\"}}]}")
				DELTA("{\"tool_calls\":[{\"index\":1,\"id\":\"y\",\"function\":{"
				      "\"name\":\"g\",\"arguments\":\"{}\"}}]}")
					FINISH("tool_calls") DONE,
		OK, "call(0,x,f) args({\"a\") args(:1}) end call(1,y,g) args({}) end ",
		CHAT_TOOL_CALLS);
	expect(REMOTE_OPENAI,
		DELTA("{\"tool_calls\":[{\"id\":\"x\",\"function\":{\"name\":\"f\",\"arguments\":{"
		      "\"a\":2}}}]}")
			DELTA("{\"tool_calls\":[{\"id\":\"y\",\"function\":{\"name\":\"g\"}}]}")
				FINISH("stop"),
		OK, "call(0,x,f) args({\"a\":2}) end call(1,y,g) args({}) end ", CHAT_TOOL_CALLS);
}

static void test_endpoint_remote__broken_openai_streams(void)
{
	expect(REMOTE_OPENAI, DELTA("{\"content\":\"half\"}"), ERR_NETWORK, "text(half) ", 0);
	expect(REMOTE_OPENAI, DELTA("{\"content\":\"half\"}") DONE, ERR_NETWORK, "text(half) ", 0);
	expect(REMOTE_OPENAI, "", ERR_NETWORK, "", 0);
	expect(REMOTE_OPENAI, D("{\"choices\":["), ERR_NETWORK, "", 0);
	expect(REMOTE_OPENAI, D("[1]"), ERR_NETWORK, "", 0);
	expect(REMOTE_OPENAI, D("{\"error\":{\"message\":\"no\",\"type\":\"rate_limit_error\"}}"),
		ERR_BUSY, "", 0);
	expect(REMOTE_OPENAI, D("{\"error\":{\"message\":\"no\",\"code\":400}}"), ERR_INVALID, "",
		0);
	expect(REMOTE_OPENAI, D("{\"error\":\"out of memory\"}"), ERR_NETWORK, "", 0);
	/* a surrogate without its other half is no text */
	expect(REMOTE_OPENAI, DELTA("{\"content\":\"\\ud83d\"}") DONE, ERR_NETWORK, "", 0);
	/* arguments of a call that has ended */
	expect(REMOTE_OPENAI,
		DELTA("{\"tool_calls\":[{\"index\":0,\"id\":\"x\",\"function\":{\"name\":\"f\"}}]}")
			DELTA("{\"content\":\"t\"}") DELTA("{\"tool_calls\":[{\"index\":0,"
							   "\"function\":{\"arguments\":\"1\"}}]}"),
		ERR_NETWORK, "call(0,x,f) args({}) end text(t) ", 0);
}

static void test_endpoint_remote__what_is_too_long(void)
{
	struct remote_stream s;
	struct buf line = {0};
	for (int i = 0; i < 1 << 16; i++)
		buf_addc(&line, "aaaaaaaaaaaaaaaa");
	remote_stream_init(&s, REMOTE_OPENAI, NULL, NULL);
	enum err e = remote_stream_feed(&s, S("data: "), &et);
	for (int i = 0; i < 100 && !e; i++)
		e = remote_stream_feed(&s, buf_str(&line), &et);
	CHECK_INT(e, ERR_NETWORK);
	CHECK(strstr(et.msg, "line of more than"));
	remote_stream_free(&s);
	buf_free(&line);
}

static void test_endpoint_remote__usage_and_a_client_that_goes(void)
{
	struct remote_stream s;
	struct events seen = {0}, few = {.most = 2};
	const char *in = DELTA("{\"content\":\"a\"}") DELTA("{\"content\":\"b\"}") FINISH("stop")
		D("{\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,"
		  "\"prompt_tokens_details\":{\"cached_tokens\":4},"
		  "\"completion_tokens_details\":{\"reasoning_tokens\":1}}}") DONE;
	CHECK_OK(read_all(&s, REMOTE_OPENAI, in, 5, &seen), &et);
	CHECK_INT(s.res.prompt_tokens, 9);
	CHECK_INT(s.res.completion_tokens, 2);
	CHECK_INT(s.res.cached_tokens, 4);
	CHECK_INT(s.res.reasoning_tokens, 1);
	CHECK_STR(buf_str(&s.res.text), "ab");
	remote_stream_free(&s);
	CHECK_ERR(read_all(&s, REMOTE_OPENAI, in, 5, &few), ERR_CANCELLED);
	CHECK_STR(buf_str(&few.text), "text(a) text(b) ");
	remote_stream_free(&s);
	buf_free(&seen.text);
	buf_free(&few.text);
}

#define E(type, json) "event: " type "\ndata: {\"type\":\"" type "\"" json "}\n\n"

static void test_endpoint_remote__anthropic_streams(void)
{
	expect(REMOTE_ANTHROPIC,
		E("message_start", ",\"message\":{\"usage\":{\"input_tokens\":5}}") E("ping", "") E(
			"content_block_start", ",\"index\":0,\"content_block\":{\"type\":\"text\","
					       "\"text\":\"\"}") E("content_block_delta",
			",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}")
			E("content_block_stop", ",\"index\":0") E("content_block_start",
				",\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"id\":"
				"\"t1\",\"name\":\"f\",\"input\":{}}") E("content_block_delta",
				",\"index\":1,\"delta\":{\"type\":\"input_json_delta\","
				"\"partial_json\":\"{\\\"a\\\":1}\"}")
				E("content_block_stop", ",\"index\":1") E("message_delta",
					",\"delta\":{\"stop_reason\":\"tool_use\"},"
					"\"usage\":{\"output_tokens\":3}") E("message_stop", ""),
		OK, "text(Hi) call(0,t1,f) args({\"a\":1}) end ", CHAT_TOOL_CALLS);
	expect(REMOTE_ANTHROPIC,
		E("message_start", "") E("error",
			",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}"),
		ERR_BUSY, "", 0);
	expect(REMOTE_ANTHROPIC, E("message_start", "") E("message_stop", ""), ERR_NETWORK, "", 0);
	expect(REMOTE_ANTHROPIC,
		E("content_block_delta",
			",\"index\":3,\"delta\":{\"type\":\"text_delta\",\"text\":\"x\"}"),
		ERR_NETWORK, "", 0);
}

static void test_endpoint_remote__whole_answers(void)
{
	struct remote_stream s;
	remote_stream_init(&s, REMOTE_OPENAI, NULL, NULL);
	CHECK_OK(remote_stream_whole(&s,
			 S("{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":"
			   "\"hello\"},"
			   "\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":3,"
			   "\"completion_tokens\":1}}"),
			 &et),
		&et);
	CHECK_STR(buf_str(&s.res.text), "hello");
	CHECK_INT(s.res.finish, CHAT_LENGTH);
	remote_stream_free(&s);
	remote_stream_init(&s, REMOTE_ANTHROPIC, NULL, NULL);
	CHECK_OK(remote_stream_whole(&s,
			 S("{\"content\":[{\"type\":\"text\",\"text\":\"yes\"},{\"type\":\"tool_"
			   "use\","
			   "\"id\":\"i\",\"name\":\"n\",\"input\":{\"k\":true}}],\"stop_reason\":"
			   "\"tool_use\",\"usage\":{\"input_tokens\":2,\"output_tokens\":8}}"),
			 &et),
		&et);
	CHECK_STR(buf_str(&s.res.text), "yes");
	CHECK_INT(s.res.n_calls, 1);
	CHECK_STR(buf_str(&s.res.calls[0].arguments), "{\"k\":true}");
	CHECK_INT(s.res.completion_tokens, 8);
	remote_stream_free(&s);
	remote_stream_init(&s, REMOTE_OPENAI, NULL, NULL);
	CHECK_ERR(remote_stream_whole(&s, S("<html>"), &et), ERR_NETWORK);
	remote_stream_free(&s);
}

TESTS(T(test_endpoint_remote__the_circuit), T(test_endpoint_remote__an_openai_body),
	T(test_endpoint_remote__an_anthropic_body), T(test_endpoint_remote__openai_streams),
	T(test_endpoint_remote__broken_openai_streams), T(test_endpoint_remote__what_is_too_long),
	T(test_endpoint_remote__usage_and_a_client_that_goes),
	T(test_endpoint_remote__anthropic_streams), T(test_endpoint_remote__whole_answers))
