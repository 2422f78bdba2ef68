/* Answers with calls, family by family, of a model that writes what the test says: what comes out,
 * and that every byte of a call was allowed by a language where one must be held. */
#include "endpoint/chat_int.h"
#include "tap.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/os.h"

/* in constant tables, where a compound literal may not stand */
#define S_(literal)                             \
	{                                       \
		"" literal, sizeof(literal) - 1 \
	}

/* ---- an endpoint that is a tokenizer of bytes, and a script ---- */

static struct tokenizer *tk;
static struct constraints *cache;
static const char *const *script; /* what each run of the generator writes, a list with a NULL */
static struct buf written;        /* all that was put, or written and taken */

struct model *endpoint_model(const struct endpoint *e)
{
	return (struct model *)e;
}

const struct tokenizer *model_tokenizer(const struct model *m)
{
	return tk;
}

struct generator *endpoint_generator(const struct endpoint *e)
{
	return (struct generator *)e;
}

uint32_t generator_context(const struct generator *g)
{
	return 100000;
}

void endpoint_share(const struct endpoint *e, struct gen_request *g, const struct principal *who,
	struct str project)
{
}

enum err endpoint_constraint_get(struct croft *c, enum constraint_kind kind, struct str source,
	struct constraint **out, struct errtext *et)
{
	return constraint_get(cache, kind, source, out, et);
}

void endpoint_constraint_put(struct croft *c, struct constraint *k)
{
	constraint_put(cache, k);
}

/* what receipts would tell */
struct str endpoint_name(const struct endpoint *e)
{
	return S("scripted");
}

struct str endpoint_base(const struct endpoint *e)
{
	return S("");
}

struct str endpoint_sha256(const struct endpoint *e)
{
	return S("");
}

struct str endpoint_base_sha256(const struct endpoint *e)
{
	return S("");
}

enum err endpoint_remote_chat(struct croft *c, struct endpoint *ep, struct run *run,
	const struct chat_request *r, struct chat_result *out, struct errtext *et)
{
	return err_set(et, ERR_INTERNAL, "it is local");
}

static bool deliver(const struct gen_request *r, int32_t id, uint32_t index)
{
	struct buf text = {0};
	tokenizer_piece(tk, id, false, &text);
	bool more = r->on_token(
		r->ctx, &(struct gen_event){.token = id, .index = index, .text = buf_str(&text)});
	buf_free(&text);
	return more;
}

/* Writes its line of the script, as far as somebody wants it. A line must be of the language. */
enum err generator_run(struct generator *g, const struct gen_request *r, struct gen_result *out,
	struct errtext *et)
{
	struct tokens t = {0};
	struct matcher *m = NULL;
	struct buf piece = {0};
	const char *line = *script ? *script++ : "";
	bool more = true;
	CHECK_OK(tokenizer_encode(tk, str_c(line), r->language ? 0 : TOKENIZE_SPECIAL, &t, et), et);
	if (r->language)
		CHECK_OK(matcher_new(r->language, &m, et), et);
	*out = (struct gen_result){.finish = GEN_STOP};
	for (size_t i = 0; i < t.n && more; i++) {
		buf_clear(&piece);
		tokenizer_piece(tk, t.id[i], true, &piece);
		if (m && matcher_must_end(m))
			FAIL("\"%s\" is more than the language takes", line);
		if (m && !matcher_take(m, piece.p, piece.n)) {
			FAIL("the language does not take \"%s\" at %zu", line, i);
			break;
		}
		more = deliver(r, t.id[i], (uint32_t)i);
		out->completion_tokens++;
	}
	if (m && more && !matcher_may_end(m))
		FAIL("\"%s\" is not whole", line);
	if (!more)
		out->finish = GEN_CANCELLED;
	matcher_free(m);
	tokens_free(&t);
	buf_free(&piece);
	return OK;
}

/* Bytes, and the control tokens of the families. */
static void use_template(const char *name)
{
	static const char *const special[] = {"<|start|>", "<|end|>", "<|message|>", "<|channel|>",
		"<|constrain|>", "<|return|>", "<|call|>", "[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"};
	struct buf path = {0}, file = {0}, config = {0}, json = {0};
	struct errtext et;
	yyjson_doc *doc;
	buf_addf(&path, "tests/golden/templates/%s.json", name);
	CHECK_OK(os_read_file(tap_source(buf_c(&path)), 1 << 20, &file, &et), &et);
	CHECK_OK(json_parse(buf_str(&file), &doc, &et), &et);
	struct jw w = {.out = &config};
	jw_obj(&w);
	jw_kstr(&w, "chat_template", json_str(yyjson_doc_get_root(doc), "template"));
	jw_end(&w);
	buf_addc(&json,
		"{\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,\"merges\":[],\"vocab\":{");
	for (int b = 0; b < 256; b++)
		buf_addf(&json, "%s\"<0x%02X>\":%d", b ? "," : "", b, b);
	buf_addc(&json, "}},\"decoder\":{\"type\":\"ByteFallback\"},\"added_tokens\":[");
	for (size_t i = 0; i < ARRAY_LEN(special); i++)
		buf_addf(&json, "%s{\"id\":%zu,\"content\":\"%s\",\"special\":true}", i ? "," : "",
			256 + i, special[i]);
	buf_addc(&json, "]}");
	tokenizer_free(tk);
	CHECK_OK(tokenizer_from_json(buf_str(&json), buf_str(&config), &tk, &et), &et);
	yyjson_doc_free(doc);
	buf_free(&path);
	buf_free(&file);
	buf_free(&config);
	buf_free(&json);
}

/* ---- what comes out ---- */

static bool note(void *ctx, const struct chat_event *ev)
{
	static enum chat_event_kind last;
	struct buf *b = ctx;
	if (ev->kind == CHAT_CALL)
		buf_addf(b, "CALL %.*s ", STR_FMT(ev->name));
	else if (ev->kind == CHAT_CALL_END)
		buf_addc(b, "END\n");
	else if (ev->kind != CHAT_ARGUMENTS && ev->text.n && (last != ev->kind || !b->n))
		buf_addc(b, ev->kind == CHAT_TEXT ? "T:" : "[thought]");
	buf_adds(b, ev->text);
	if (ev->text.n || ev->kind >= CHAT_CALL)
		last = ev->kind;
	return true;
}

static const struct chat_tool tools[] = {
	{.name = S_("get_weather"),
		.parameters =
			S_("{\"type\":\"object\",\"required\":[\"city\",\"days\"],\"properties\":{"
			   "\"city\":{\"type\":\"string\",\"pattern\":\"^[A-Z][a-z]+$\"},"
			   "\"unit\":{\"enum\":[\"c\",\"f.1\"]},"
			   "\"days\":{\"$ref\":\"#/$defs/days\"}},"
			   "\"$defs\":{\"days\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":9}}"
			   "}")},
	{.name = S_("add"),
		.parameters =
			S_("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"number\"},"
			   "\"note\":{\"anyOf\":[{\"type\":\"string\",\"maxLength\":8},{\"type\":"
			   "\"null\"}]}}}")},
};

static enum err answer(struct chat_request *r, const char *prompt, const char *const *lines,
	struct chat_turn *t, struct buf *events, struct errtext *et)
{
	r->tools = tools;
	r->n_tools = r->n_tools == SIZE_MAX ? 0 : ARRAY_LEN(tools);
	r->sampling = (struct sampling)SAMPLING_DEFAULT;
	r->top_logprobs = -1;
	r->on_event = note;
	r->ctx = events;
	script = lines;
	buf_clear(events);
	*t = (struct chat_turn){.r = r, .manner = chat_manner_of(NULL), .prompt = str_c(prompt)};
	CHECK_OK(tokenizer_encode(tk, t->prompt, TOKENIZE_SPECIAL, &t->ids, et), et);
	size_t n = t->ids.n;
	enum err e = chat_answer(t, et);
	buf_clear(&written);
	for (size_t i = n; i < t->ids.n; i++)
		tokenizer_piece(tk, t->ids.id[i], true, &written);
	return e;
}

static void expect(struct chat_request r, const char *prompt, const char *const *lines,
	const char *events, enum chat_finish finish, const char *all)
{
	struct chat_turn t;
	struct buf got = {0};
	struct errtext et = {0};
	CHECK_OK(answer(&r, prompt, lines, &t, &got, &et), &et);
	CHECK_STR(buf_str(&got), events);
	CHECK_INT(t.res.finish, finish);
	CHECK(!*script);
	if (all)
		CHECK_STR(buf_str(&written), all);
	for (size_t i = 0; i < t.res.n_calls; i++) {
		yyjson_doc *doc = NULL;
		CHECK_OK(json_parse(buf_str(&t.res.calls[i].arguments), &doc, &et), &et);
		yyjson_doc_free(doc);
	}
	chat_result_free(&t.res);
	tokens_free(&t.ids);
	buf_free(&got);
}

#define LINES(...)                              \
	(const char *const[])                   \
	{                                       \
		__VA_ARGS__ __VA_OPT__(, ) NULL \
	}

static void begin(const char *template)
{
	cache = constraints_new(64);
	use_template(template);
}

static void end(void)
{
	tokenizer_free(tk);
	tk = NULL;
	constraints_free(cache);
	buf_free(&written);
}

/* ---- Qwen's models for code ---- */

static void test_endpoint_answer__xml(void)
{
	struct chat_request required = {.tool_choice = TOOLS_REQUIRED}, any = {0};
	struct chat_request named = {
		.tool_choice = TOOLS_NAMED, .tool_name = S("add"), .one_call = true};
	const char *prompt = "<|im_start|>assistant\n";
	begin("qwen3-coder");
	expect(required, prompt,
		LINES("get_weather", "Bonn\n</parameter>", "<parameter=unit>\n",
			"f.1\n</parameter>", "3", "\n<tool_call>", "add", "<parameter=note>\n",
			"\n5\n</parameter>", "Done."),
		"CALL get_weather {\"city\": \"Bonn\", \"unit\": \"f.1\", \"days\": 3}END\n"
		"CALL add {\"note\": \"\\n5\"}END\n",
		CHAT_TOOL_CALLS,
		"<tool_call>\n<function=get_weather>\n<parameter=city>\nBonn\n</parameter>\n"
		"<parameter=unit>\nf.1\n</parameter>\n<parameter=days>\n3\n</parameter>\n</"
		"function>\n"
		"</tool_call>\n<tool_call>\n<function=add>\n<parameter=note>\n\n5\n</parameter>\n"
		"</function>\n</tool_call>");
	expect(named, prompt,
		LINES("<parameter=a>\n", "1.5", "<parameter=note>\n", "null\n</parameter>"),
		"CALL add {\"a\": 1.5, \"note\": null}END\n", CHAT_TOOL_CALLS, NULL);
	expect(named, prompt, LINES("</function>"), "CALL add {}END\n", CHAT_TOOL_CALLS, NULL);
	/* the model begins by itself, with or without the outer sign, and goes on with text */
	expect(any, prompt,
		LINES("I look.\n<tool_call>\n<function=x", "add", "</function>",
			" So\n<function=", "add", "<parameter=a>\n", "2", "</function>", ""),
		"T:I look.CALL add {}END\nT: SoCALL add {\"a\": 2}END\n", CHAT_TOOL_CALLS, NULL);
	expect(any, prompt, LINES("Only text."), "T:Only text.", CHAT_STOP, "Only text.");
	end();
}

/* What XML cannot be held to is refused when it must be, and left to the model otherwise. */
static void test_endpoint_answer__xml_that_cannot_be_held(void)
{
	struct chat_tool odd = {.name = S("odd"),
		.parameters = S("{\"type\":\"object\",\"properties\":{\"x\":{\"type\":[\"string\","
				"\"integer\"],\"not\":{\"const\":3}}}}")};
	struct chat_request r = {.tools = &odd, .n_tools = 1, .tool_choice = TOOLS_REQUIRED};
	struct chat_turn t = {.r = &r};
	struct buf got = {0};
	struct errtext et = {0};
	begin("qwen3-coder");
	t.manner = chat_manner_of(NULL);
	script = LINES(
		"<tool_call>\n", "<parameter=x>\n12\n</parameter>\n</function>\n</tool_call>");
	CHECK_INT(chat_answer(&t, &et), ERR_INVALID);
	CHECK(strstr(et.msg, "odd") && strstr(et.msg, "'x'"));
	r = (struct chat_request){.tools = &odd,
		.n_tools = 1,
		.sampling = SAMPLING_DEFAULT,
		.top_logprobs = -1,
		.on_event = note,
		.ctx = &got};
	t.ids.n = 0;
	CHECK_OK(chat_answer(&t, &et), &et);
	CHECK_STR(buf_str(&got), "CALL odd {\"x\": 12}END\n");
	chat_result_free(&t.res);
	tokens_free(&t.ids);
	buf_free(&got);
	end();
}

/* A string or something else: a string where it is held, and else what it looks like. */
static void test_endpoint_answer__xml_of_several_types(void)
{
	struct chat_tool odd = {.name = S("odd"),
		.parameters = S("{\"type\":\"object\",\"required\":[\"x\"],\"properties\":{\"x\":{"
				"\"anyOf\":["
				"{\"type\":\"string\"},{\"type\":\"integer\"}]},\"y\":{}}}")};
	struct chat_request r = {.tools = &odd,
		.n_tools = 1,
		.tool_choice = TOOLS_REQUIRED,
		.sampling = SAMPLING_DEFAULT,
		.top_logprobs = -1,
		.on_event = note};
	struct chat_turn t = {.r = &r};
	struct buf got = {0};
	struct errtext et = {0};
	begin("qwen3-coder");
	r.ctx = &got;
	t.manner = chat_manner_of(NULL);
	script = LINES("12\n</parameter>", "<parameter=y>\n", "{}\n</parameter>");
	CHECK_OK(chat_answer(&t, &et), &et);
	CHECK_STR(buf_str(&got), "CALL odd {\"x\": \"12\", \"y\": \"{}\"}END\n");
	chat_result_free(&t.res);
	tokens_free(&t.ids);
	buf_free(&got);
	end();
}

/* ---- Harmony ---- */

static void test_endpoint_answer__harmony(void)
{
	struct chat_request required = {.tool_choice = TOOLS_REQUIRED}, any = {0};
	struct chat_request none = {.n_tools = SIZE_MAX};
	struct chat_request quick = {.tool_choice = TOOLS_REQUIRED, .reasoning = REASONING_OFF};
	struct chat_request object = {
		.n_tools = SIZE_MAX, .format = CONSTRAINT_OBJECT, .format_source = S("")};
	const char *prompt = "<|end|><|start|>assistant";
	begin("gpt-oss");
	expect(none, prompt,
		LINES("<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final"
		      "<|message|>Hello <b>.<|return|>"),
		"[thought]Hm.T:Hello <b>.", CHAT_STOP, NULL);
	expect(none, prompt, LINES("<|channel|>final<|message|>Hello."), "T:Hello.", CHAT_STOP,
		NULL);
	/* it begins a call: from the header on it is held */
	expect(any, prompt,
		LINES("<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>"
		      "commentary"
		      "<|message|>I "
		      "look.<|end|><|start|>assistant<|channel|>analysis<|message|>Two."
		      "<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather "
		      "<|constrain|>json<|message|>{\"x",
			"{\"city\": \"Bonn\", \"days\": 2}"),
		"[thought]Hm.T:I look.[thought]Two.CALL get_weather {\"city\": \"Bonn\", \"days\": "
		"2}END\n",
		CHAT_TOOL_CALLS, NULL);
	/* it must call: after its thoughts, or at once */
	expect(required, prompt,
		LINES("<|channel|>analysis<|message|>Hm.<|end|><|start|>", "add", "{\"a\": 1}"),
		"[thought]Hm.CALL add {\"a\": 1}END\n", CHAT_TOOL_CALLS,
		"<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary "
		"to=functions.add <|constrain|>json<|message|>{\"a\": 1}<|call|>");
	expect(quick, prompt, LINES("add", "{}"), "CALL add {}END\n", CHAT_TOOL_CALLS,
		"<|channel|>commentary to=functions.add <|constrain|>json<|message|>{}<|call|>");
	expect(object, prompt, LINES("<|channel|>final", "{\"a\": 1}"), "T:{\"a\": 1}", CHAT_STOP,
		"<|channel|>final<|message|>{\"a\": 1}");
	/* an unknown tool is no call, and nothing is lost */
	expect(any, prompt, LINES("<|channel|>commentary to=functions.other<|message|>{}"),
		"T:<|channel|>commentary to=functions.other<|message|>{}", CHAT_STOP, NULL);
	CHECK(!tokenizer_is_end(tk, tokenizer_find(tk, S("<|end|>"))));
	CHECK(tokenizer_is_end(tk, tokenizer_find(tk, S("<|call|>"))));
	end();
}

/* ---- Functionary, and Mistral's newer models ---- */

static void test_endpoint_answer__functionary(void)
{
	struct chat_request required = {.tool_choice = TOOLS_REQUIRED}, any = {0};
	struct chat_request none = {.n_tools = SIZE_MAX};
	struct chat_request object = {
		.n_tools = SIZE_MAX, .format = CONSTRAINT_OBJECT, .format_source = S("")};
	const char *prompt = "assistant<|end_header_id|>\n\n>>>";
	begin("functionary-v3.2");
	expect(none, prompt, LINES("all\nHello >>> you."), "T:Hello >>> you.", CHAT_STOP, NULL);
	expect(any, prompt,
		LINES("all\nI look.>>>add\n{", "{\"a\": 1}", ">>>get_weather\n",
			"{\"city\": \"Bonn\", \"days\": 2}", ""),
		"T:I look.CALL add {\"a\": 1}END\nCALL get_weather {\"city\": \"Bonn\", \"days\": "
		"2}END\n",
		CHAT_TOOL_CALLS, NULL);
	expect(required, prompt, LINES("add", "{}", ">>>add\n", "{\"a\": 2}", ">>>all\nDone"),
		"CALL add {}END\nCALL add {\"a\": 2}END\n", CHAT_TOOL_CALLS,
		"add\n{}>>>add\n{\"a\": 2}");
	expect(object, prompt, LINES("{}"), "T:{}", CHAT_STOP, "all\n{}");
	end();
}

static void test_endpoint_answer__mistral_args(void)
{
	struct chat_request required = {.tool_choice = TOOLS_REQUIRED}, any = {0};
	begin("mistral-small-3.2");
	expect(any, "[/INST]", LINES("[TOOL_CALLS]add[CALL_ID]", "add", "{\"a\": 1}", ""),
		"CALL add {\"a\": 1}END\n", CHAT_TOOL_CALLS, "[TOOL_CALLS]add[ARGS]{\"a\": 1}");
	expect(required, "[/INST]", LINES("add", "{}", "[TOOL_CALLS]", "add", "{\"a\": 2}", "x"),
		"CALL add {}END\nCALL add {\"a\": 2}END\n", CHAT_TOOL_CALLS,
		"[TOOL_CALLS]add[ARGS]{}[TOOL_CALLS]add[ARGS]{\"a\": 2}");
	end();
}

TESTS(T(test_endpoint_answer__xml), T(test_endpoint_answer__xml_that_cannot_be_held),
	T(test_endpoint_answer__xml_of_several_types), T(test_endpoint_answer__harmony),
	T(test_endpoint_answer__functionary), T(test_endpoint_answer__mistral_args))
