/* What models write, cut in every way: calls, text and thoughts come out the same. */
#include "tap.h"
#include "engine/thinking.h"
#include "engine/toolcall.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/json.h"

static void note(void *ctx, const struct toolcall_event *ev)
{
	static const char *const open[] = {"T:", "CALL ", "", "END\n", "[thought]"};
	static enum toolcall_kind last;
	struct buf *b = ctx;
	bool text = ev->kind == TOOLCALL_TEXT || ev->kind == TOOLCALL_THOUGHT;
	if (!text || last != ev->kind || !b->n)
		buf_addc(b, open[ev->kind]);
	buf_adds(b, ev->text);
	if (ev->kind == TOOLCALL_BEGIN)
		buf_putc(b, ' ');
	last = ev->kind;
}

static const struct toolcall_family *family(const char *name)
{
	size_t n;
	const struct toolcall_family *all = toolcall_families(&n);
	for (size_t i = 0; i < n; i++)
		if (!strcmp(all[i].name, name))
			return &all[i];
	CHECK(!"such a family");
	return all;
}

static enum toolcall_value meant(void *ctx, struct str tool, struct str argument)
{
	if (str_eq_c(argument, "city"))
		return TOOLCALL_VALUE_TEXT;
	return str_eq_c(argument, "note") ? TOOLCALL_VALUE_TEXT_OR_NULL : TOOLCALL_VALUE_ANY;
}

static bool opened; /* the first message, by the prompt */

static void parse(
	const char *fam, bool certain, const char *text, size_t a, size_t b, struct buf *out)
{
	struct str names[] = {S("get_weather"), S("add")}, s = str_c(text);
	struct toolcall_parser p = {.family = family(fam),
		.names = names,
		.n_names = 2,
		.on = note,
		.ctx = out,
		.meant = meant,
		.certain = certain};
	buf_clear(out);
	if (opened)
		toolcall_force(&p, &p.family->syntax[0]);
	toolcall_add(&p, str_sub(s, 0, a));
	toolcall_add(&p, str_sub(s, a, b));
	toolcall_add(&p, str_sub(s, b, s.n));
	toolcall_end(&p);
	toolcall_free(&p);
}

static void expect(const char *fam, bool also_certain, const char *text, const char *want)
{
	struct buf out = {0};
	size_t n = strlen(text);
	for (int certain = 0; certain <= also_certain; certain++)
		for (size_t a = 0; a <= n; a++)
			for (size_t b = a; b <= n; b += 1 + n / 40) {
				parse(fam, certain, text, a, b, &out);
				if (!str_eq_c(buf_str(&out), want)) {
					CHECK_STR(buf_str(&out), want);
					printf("# %s, cut at %zu and %zu, certain %d\n", fam, a, b,
						certain);
					buf_free(&out);
					return;
				}
			}
	CHECK_STR(buf_str(&out), want);
	buf_free(&out);
}

static void test_engine_toolcall__families(void)
{
	expect("hermes", true,
		"<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": "
		"\"K}\\\"\xC3\xB6ln\", "
		"\"n\": [1, {}]}}\n</tool_call>\n<tool_call>\n{\"arguments\": {}, \"name\": "
		"\"add\"}\n"
		"</tool_call>",
		"CALL get_weather {\"city\": \"K}\\\"\xC3\xB6ln\", \"n\": [1, {}]}END\nCALL add "
		"{}END\n");
	expect("hermes", true,
		"Let me see.\n<tool_call>{\"name\":\"add\",\"arguments\":{\"a\":1}}</tool_call> "
		"Done",
		"T:Let me see.CALL add {\"a\":1}END\nT: Done");
	expect("hermes", true, "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1}}",
		"CALL add {\"a\": 1}END\n");
	expect("mistral", true,
		"[TOOL_CALLS][{\"name\": \"add\", \"arguments\": {\"a\": 1, \"b\": 2}, \"id\": "
		"\"abcdefghi\"}, "
		"{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Bonn\"}}]",
		"CALL add {\"a\": 1, \"b\": 2}END\nCALL get_weather {\"city\": \"Bonn\"}END\n");
	expect("llama", true, "{\"name\": \"add\", \"parameters\": {\"a\": \"1\"}}",
		"CALL add {\"a\": \"1\"}END\n");
	expect("llama", true,
		"<|python_tag|>{\"name\": \"add\", \"parameters\": {}}; {\"name\": \"add\", "
		"\"parameters\": {\"a\": 2}}",
		"CALL add {}END\nCALL add {\"a\": 2}END\n");
	expect("mistral-args", true,
		"[TOOL_CALLS]add[CALL_ID]123456789[ARGS]{\"a\": 1}[TOOL_CALLS]get_weather[ARGS]{}",
		"CALL add {\"a\": 1}END\nCALL get_weather {}END\n");
	expect("llama-function", true, "<function=add>{\"a\": 1}</function>",
		"CALL add {\"a\": 1}END\n");
	expect("command-r", true,
		"<|START_ACTION|>[\n    {\"tool_call_id\": \"0\", \"tool_name\": \"add\", "
		"\"parameters\": {\"a\": 1}}\n]<|END_ACTION|>",
		"CALL add {\"a\": 1}END\n");
	expect("phi", true,
		"<|tool_call|>[{\"name\": \"add\", \"arguments\": {\"a\": 1}}]<|/tool_call|>",
		"CALL add {\"a\": 1}END\n");
	expect("nemotron", true,
		"<TOOLCALL>[{\"name\": \"add\", \"arguments\": {\"a\": 1}}]</TOOLCALL>",
		"CALL add {\"a\": 1}END\n");
	expect("granite", true, "<|tool_call|>[{\"name\": \"add\", \"arguments\": {}}]",
		"CALL add {}END\n");
	expect("deepseek", true,
		"<\xEF\xBD\x9Ctool\xE2\x96\x81"
		"calls\xE2\x96\x81"
		"begin\xEF\xBD\x9C><\xEF\xBD\x9Ctool\xE2\x96\x81"
		"call\xE2\x96\x81"
		"begin\xEF\xBD\x9C>"
		"function<\xEF\xBD\x9Ctool\xE2\x96\x81"
		"sep\xEF\xBD\x9C>add\n```json\n{\"a\": 1}\n```<\xEF\xBD\x9Ctool\xE2\x96\x81"
		"call\xE2\x96\x81"
		"end\xEF\xBD\x9C>\n"
		"<\xEF\xBD\x9Ctool\xE2\x96\x81"
		"call\xE2\x96\x81"
		"begin\xEF\xBD\x9C>function<\xEF\xBD\x9Ctool\xE2\x96\x81"
		"sep\xEF\xBD\x9C>get_weather\n```json\n"
		"{}\n```<\xEF\xBD\x9Ctool\xE2\x96\x81"
		"call\xE2\x96\x81"
		"end\xEF\xBD\x9C><\xEF\xBD\x9Ctool\xE2\x96\x81"
		"calls\xE2\x96\x81"
		"end\xEF\xBD\x9C>",
		"CALL add {\"a\": 1}END\nCALL get_weather {}END\n");
}

/* Values without quotes: whether it is a number or a text is the schema's to say. */
static void test_engine_toolcall__values_without_quotes(void)
{
	expect("xml", true,
		"I look.\n<tool_call>\n<function=get_weather>\n<parameter=city>\n\n5 \"</param\\ "
		"K\xC3\xB6ln\t\n\n</parameter>\n<parameter=days>\n5\n</"
		"parameter>\n<parameter=more>\n"
		"{\"a\": [1,\n 2]}\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n"
		"<function=add>\n</function>\n</tool_call>",
		"T:I look.CALL get_weather {\"city\": \"\\n5 \\\"</param\\\\ K\xC3\xB6ln\\t\\n\", "
		"\"days\": 5, "
		"\"more\": {\"a\": [1,\n 2]}}END\nCALL add {}END\n");
	/* as Python writes them; no line breaks; a number that is a text, and nothing at all */
	expect("xml", true,
		"<tool_call><function=add><parameter=a>True</parameter><parameter=b>007</parameter>"
		"<parameter=city>12</parameter><parameter=note>None</parameter><parameter=c> x "
		"</parameter></function></tool_call> Done",
		"CALL add {\"a\": true, \"b\": \"007\", \"city\": \"12\", \"note\": null, \"c\": "
		"\" x "
		"\"}END\nT: Done");
	expect("xml", true,
		"<tool_call><function=add><parameter=note>\n12\n</parameter></function>",
		"CALL add {\"note\": \"12\"}END\n");
	expect("seed", true,
		"<seed:tool_call>\n<function=add>\n<parameter=a>\n1\n</parameter>\n</function>\n"
		"</seed:tool_call>",
		"CALL add {\"a\": 1}END\n");
	/* the outer sign is missing */
	expect("xml", true,
		"<function=add>\n<parameter=a>\n1\n</parameter>\n</function>\n</tool_call>",
		"CALL add {\"a\": 1}END\n");
}

/* Functionary: ">>>", whom it is for, its text. The prompt ends with the first sign. */
static void test_engine_toolcall__recipients(void)
{
	opened = true;
	expect("functionary", true, "get_weather\n{\"city\": \"Bonn\"}>>>add\n{\"a\": 1}",
		"CALL get_weather {\"city\": \"Bonn\"}END\nCALL add {\"a\": 1}END\n");
	expect("functionary", true, "all\nI look.\n>>>add\n{}>>>all\nSo.",
		"T:I look.CALL add {}END\nT:So.");
	expect("functionary", false, "Plain words", "T:Plain words");
	expect("functionary", false, "all\nSee:\n>>> print(1)\n1", "T:See:\n>>> print(1)\n1");
	expect("functionary", false, "unknown\n{\"a\": 1}", "T:unknown\n{\"a\": 1}");
	opened = false;
}

/* Harmony: channels, of which one is for nobody. */
static void test_engine_toolcall__channels(void)
{
	/* as the model writes them after its thoughts, which thinking.h has read */
	expect("harmony", true,
		"<|start|>assistant<|channel|>commentary to=functions.get_weather "
		"<|constrain|>json<|message|>{\"city\": \"Bonn\"}<|call|>",
		"CALL get_weather {\"city\": \"Bonn\"}END\n");
	expect("harmony", false,
		"<|start|>assistant<|channel|>commentary<|message|>I look.<|end|><|start|>assistant"
		"<|channel|>analysis<|message|>Hm, a < b.<|end|><|start|>assistant "
		"to=functions.add<|channel|>commentary json<|message|>{\"a\": 1}<|call|>",
		"T:I look.[thought]Hm, a < b.CALL add {\"a\": 1}END\n");
	expect("harmony", false, "<|start|>assistant<|channel|>final<|message|>Yes <b>.<|return|>",
		"T:Yes <b>.");
	expect("harmony", false,
		"<|start|>assistant<|channel|>commentary to=functions.other<|message|>{}",
		"T:<|start|>assistant<|channel|>commentary to=functions.other<|message|>{}");
	opened = true;
	expect("harmony", false, "<|channel|>final<|message|>Yes.<|return|>", "T:Yes.");
	expect("harmony", true, " to=functions.add<|channel|>commentary json<|message|>{}<|call|>",
		"CALL add {}END\n");
	expect("harmony", false, "Plain words", "T:Plain words");
	opened = false;
}

static void test_engine_toolcall__pauses_behind_a_header(void)
{
	struct buf out = {0};
	struct toolcall_parser p = {
		.family = family("harmony"), .on = note, .ctx = &out, .pause = true};
	toolcall_force(&p, &p.family->syntax[0]);
	CHECK_INT(toolcall_add(&p, S("<|channel|>final<|message|>Hm")), 29);
	CHECK(!toolcall_paused(&p));
	CHECK_INT(toolcall_add(&p, S("<|end|><|start|>assistant<|channel|>commentary to=functions.f"
				     " <|constrain|>json<|message|>{\"a")),
		90);
	CHECK(toolcall_paused(&p));
	CHECK_STR(buf_str(&out), "T:Hm");
	p.certain = true;
	toolcall_add(&p, S("{\"a\": 1"));
	CHECK_STR(buf_str(&out), "T:HmCALL f {\"a\": 1");
	toolcall_add(&p, S("2}<|call|>"));
	toolcall_end(&p);
	CHECK_STR(buf_str(&out), "T:HmCALL f {\"a\": 12}END\n");
	toolcall_free(&p);
	buf_free(&out);
}

/* What only looks like a call stays text, to the byte. */
static void test_engine_toolcall__no_calls(void)
{
	static const char *const texts[][2] = {
		{"hermes", "Write <tool_call> and then {\"name\": 1}"},
		{"hermes", "<tool_call>\n{\"name\": \"unknown\", \"arguments\": {}}\n</tool_call>"},
		{"hermes",
			"<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": }}\n</tool_call>"},
		{"hermes", "<tool_call>\n{\"name\": \"add\", \"arguments\": \"{}\"}"},
		{"hermes", "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": [1"},
		{"hermes", "a <<tool_call"},
		{"hermes", "  \n"},
		{"mistral", "[TOOL_CALLS][]"},
		{"mistral", "[TOOL_CALLS] is a sign"},
		{"llama", "{\"city\": \"Bonn\"}"},
		{"llama", "See {\"name\": \"add\", \"parameters\": {}}"},
		{"llama", "<|python_tag|>print(1)"},
		{"llama-function", "<function=other>{}</function>"},
		{"xml", "<tool_call>\n{\"name\": \"add\", \"arguments\": {}}\n</tool_call>"},
		{"xml", "<tool_call>\n<function=other>\n</function>\n</tool_call>"},
		{"xml", "<tool_call>\n<function=add>\n<parameter=a>\n1\n</function>\n</tool_call>"},
		{"xml", "<function=add><parameter=a>1</parameter><parameter=a>2</parameter></"
			"function>"},
		{"xml", "<function=add>\n<parameter=a>\ncut"},
		{"mistral-args", "[TOOL_CALLS]other[ARGS]{}"},
	};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		char want[256];
		snprintf(want, sizeof want, "T:%s", texts[i][1]);
		expect(texts[i][0], false, texts[i][1], want);
	}
	/* a call within what is none */
	expect("hermes", false,
		"<tool_call> so <tool_call>{\"name\":\"add\",\"arguments\":{}}</tool_call>",
		"T:<tool_call> soCALL add {}END\n");
}

static void test_engine_toolcall__pauses_where_a_call_begins(void)
{
	struct buf out = {0};
	struct toolcall_parser p = {
		.family = family("hermes"), .on = note, .ctx = &out, .pause = true};
	CHECK_INT(toolcall_add(&p, S("Yes.\n<tool_")), 11);
	CHECK_INT(toolcall_add(&p, S("call>{\"x")), 5);
	CHECK(toolcall_paused(&p));
	CHECK_STR(buf_str(&out), "T:Yes.");
	p.certain = true;
	toolcall_add(&p, S("\n{\"name\": \"add\", \"arg"));
	toolcall_add(&p, S("uments\": {\"a\": 1"));
	CHECK_STR(buf_str(&out), "T:Yes.CALL add {\"a\": 1"); /* told while it is written */
	toolcall_add(&p, S("2}}\n</tool_call>"));
	toolcall_end(&p);
	CHECK_STR(buf_str(&out), "T:Yes.CALL add {\"a\": 12}END\n");
	toolcall_free(&p);
	buf_free(&out);
}

static struct str file_text(const char *path)
{
	FILE *f = fopen(path, "rb");
	size_t cap = 1 << 20;
	char *p = malloc(cap);
	CHECK(f && p);
	size_t n = fread(p, 1, cap, f);
	fclose(f);
	return str_mk(p, n);
}

static void test_engine_toolcall__templates(void)
{
	static const char *const want[][2] = {{"tokenizer-qwen3", "hermes"},
		{"tokenizer-qwen2_5", "hermes"}, {"llama3_2_vision", "llama"},
		{"mistral_v3_tekken", "mistral"}, {"deepseek_v3", ""},
		{"command_a_tool_use", "command-r"}, {"exaone4", "hermes"}, {"qwen3-coder", "xml"},
		{"gpt-oss", "harmony"}, {"functionary-v3.2", "functionary"},
		{"mistral-small-3.2", "mistral-args"}, {"smollm2-135m-instruct", ""}, {"phi_4", ""},
		{"llama3", ""}};
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		struct buf path = {0};
		buf_addf(&path, "tests/golden/templates/%s.json", want[i][0]);
		struct str text = file_text(tap_source(buf_c(&path)));
		yyjson_doc *doc = NULL;
		CHECK_OK(json_parse(text, &doc, NULL), NULL);
		const struct toolcall_family *f =
			toolcall_family(json_str(yyjson_doc_get_root(doc), "template"));
		CHECK_STR(str_c(f ? f->name : ""), want[i][1]);
		yyjson_doc_free(doc);
		free((char *)text.p);
		buf_free(&path);
	}
}

/* ---- thoughts ---- */

static void thought(void *ctx, bool t, struct str text)
{
	struct buf *b = ctx;
	static bool last;
	if (!b->n || t != last)
		buf_addc(b, t ? "[think]" : "[say]");
	buf_adds(b, text);
	last = t;
}

static void think(const char *prompt, const char *text, const char *want)
{
	struct buf out = {0};
	struct str s = str_c(text);
	for (size_t a = 0; a <= s.n; a++)
		for (size_t b = a; b <= s.n; b++) {
			struct thinking t = {.signs = thinking_signs(S("x <think> y"))};
			t.inside = thinking_is_open(t.signs, str_c(prompt));
			buf_clear(&out);
			thinking_add(&t, str_sub(s, 0, a), false, thought, &out);
			thinking_add(&t, str_sub(s, a, b), false, thought, &out);
			thinking_add(&t, str_sub(s, b, s.n), false, thought, &out);
			thinking_end(&t, thought, &out);
			thinking_free(&t);
			if (!str_eq_c(buf_str(&out), want)) {
				CHECK_STR(buf_str(&out), want);
				buf_free(&out);
				return;
			}
		}
	CHECK_STR(buf_str(&out), want);
	buf_free(&out);
}

static void test_engine_toolcall__thoughts(void)
{
	think("", "<think>\nHm, a\n b.\n</think>\n\nHello\n", "[think]Hm, a\n b.[say]Hello\n");
	think("assistant\n<think>\n", "Hm.</think>Yes", "[think]Hm.[say]Yes");
	think("", "<think>\n\n</think>\n\nYes", "[say]Yes");
	think("", "  No <think>x</think>", "[say]  No <think>x</think>");
	think("", "<think>cut </thi", "[think]cut </thi");
	think("", "<thi", "[say]<thi");
	CHECK(!thinking_signs(S("{{ messages }}")));
}

static void test_engine_toolcall__thought_pauses(void)
{
	struct buf out = {0};
	struct thinking t = {.signs = thinking_signs(S("<think>"))};
	CHECK_INT(thinking_add(&t, S("<think>a</think>\n{"), true, thought, &out), 16);
	CHECK_STR(buf_str(&out), "[think]a");
	thinking_free(&t);
	buf_free(&out);
}

TESTS(T(test_engine_toolcall__families), T(test_engine_toolcall__no_calls),
	T(test_engine_toolcall__values_without_quotes), T(test_engine_toolcall__recipients),
	T(test_engine_toolcall__channels), T(test_engine_toolcall__pauses_behind_a_header),
	T(test_engine_toolcall__pauses_where_a_call_begins), T(test_engine_toolcall__templates),
	T(test_engine_toolcall__thoughts), T(test_engine_toolcall__thought_pauses))
