/* The Responses API without a model: what bodies become, the events of an answer, and rows. */
#include "access/access.h"
#include "api/responses.h"
#include "base/clock.h"
#include "tap.h"

#include <stdio.h>
#include <stdlib.h>

static struct errtext et;
static const struct module *const modules[] = {&access_module, &responses_module};

static struct croft *open_croft(void)
{
	struct croft *c;
	struct croft_options o = {
		.modules = modules, .n_modules = ARRAY_LEN(modules), .home = tap_tmpdir()};
	CHECK_OK(croft_open(&o, &c, &et), &et);
	return c;
}

/* ---- bodies ---- */

static void must_parse(struct arena *a, const char *body, struct response_params *p)
{
	struct api_error x = {0};
	if (response_parse(str_c(body), false, a, p, &x))
		FAIL("%s: %s", body, x.et.msg);
	if (items_messages(p->items, p->n_items, p->instructions, a, &p->chat, &x))
		FAIL("%s: %s", body, x.et.msg);
}

static void test_api_responses__messages(void)
{
	struct arena *a = arena_new(0);
	struct response_params p;
	must_parse(a,
		"{\"instructions\":\"Be brief.\",\"input\":[{\"role\":\"developer\",\"content\":"
		"\"In French.\"},{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":"
		"\"Weather\"},{\"type\":\"input_text\",\"text\":\"?\"}]},{\"type\":\"reasoning\","
		"\"summary\":[]},{\"role\":\"assistant\",\"content\":\"I look.\"},{\"type\":"
		"\"function_call\",\"call_id\":\"a\",\"name\":\"f\",\"arguments\":\"{}\"},{"
		"\"type\":"
		"\"function_call\",\"call_id\":\"b\",\"name\":\"g\",\"arguments\":\"{}\"},{"
		"\"type\":"
		"\"function_call_output\",\"call_id\":\"a\",\"output\":\"1\"},{\"type\":"
		"\"function_call_output\",\"call_id\":\"b\",\"output\":[{\"type\":\"input_text\","
		"\"text\":\"2\"}]}]}",
		&p);
	const struct chat_message *m = p.chat.messages;
	CHECK_INT(p.chat.n_messages, 5);
	CHECK_STR(m[0].content, "Be brief.\n\nIn French.");
	CHECK_STR(m[1].content, "Weather?");
	CHECK_STR(m[2].content, "I look.");
	CHECK_STR(m[2].tool_calls_json,
		"[{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":"
		"\"{}\"}},{\"id\":\"b\",\"type\":\"function\",\"function\":{\"name\":\"g\","
		"\"arguments\":\"{}\"}}]");
	CHECK_STR(m[3].tool_call_id, "a");
	CHECK_STR(m[4].content, "2");
	CHECK_STR(p.chat.last_user, "Weather?");
	arena_free(a);
}

static void test_api_responses__refused(void)
{
	static const struct {
		const char *body, *param;
	} bodies[] = {
		{"{}", "input"},
		{"{\"input\":7}", "input"},
		{"{\"input\":[{\"role\":\"tool\",\"content\":\"x\"}]}", "input[0].role"},
		{"{\"input\":[{\"role\":\"user\"}]}", "input[0].content"},
		{"{\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_file\"}]}]}",
			"input[0].content[0]"},
		{"{\"input\":[{\"type\":\"web_search_call\",\"id\":\"x\"}]}", "input[0]"},
		{"{\"input\":\"x\",\"tools\":[{\"type\":\"mcp\"}]}", "tools[0].type"},
		{"{\"input\":\"x\",\"tools\":[{\"type\":\"function\",\"name\":\"a b\"}]}",
			"tools[0].name"},
		{"{\"input\":\"x\",\"tool_choice\":\"required\"}", "tool_choice"},
		{"{\"input\":\"x\",\"prompt\":{\"id\":\"p\"}}", "prompt"},
		{"{\"input\":\"x\",\"response_format\":{}}", "response_format"},
		{"{\"input\":\"x\",\"text\":{\"verbosity\":\"low\"}}", "text.verbosity"},
		{"{\"input\":\"x\",\"text\":{\"format\":{\"type\":\"json_schema\"}}}",
			"text.format.name"},
		{"{\"input\":\"x\",\"reasoning\":{\"summary\":\"detailed\"}}", "reasoning.summary"},
		{"{\"input\":\"x\",\"reasoning\":{\"effort\":\"some\"}}", "reasoning.effort"},
		{"{\"input\":\"x\",\"include\":[\"all\"]}", "include"},
		{"{\"input\":\"x\",\"truncation\":\"yes\"}", "truncation"},
		{"{\"input\":\"x\",\"background\":true,\"store\":false}", "background"},
		{"{\"input\":\"x\",\"max_output_tokens\":0}", "max_output_tokens"},
		{"{\"input\":\"x\",\"metadata\":{\"a\":1}}", "metadata"},
	};
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		struct arena *a = arena_new(0);
		struct response_params p;
		struct api_error x = {0};
		CHECK_INT(response_parse(str_c(bodies[i].body), false, a, &p, &x), ERR_INVALID);
		CHECK_STR(str_c(x.param), bodies[i].param);
		arena_free(a);
	}
}

/* As deep as a body may be: what is shown again can be read again. */
static void test_api_responses__deep(void)
{
	struct arena *a = arena_new(0);
	struct response_params p;
	struct buf body = {0}, fixed = {0};
	yyjson_doc *doc;
	enum { DEEP = JSON_DEPTH_MAX - 4 };
	buf_addc(&body, "{\"input\":\"x\",\"tools\":[{\"type\":\"function\",\"name\":\"f\","
			"\"parameters\":");
	for (int i = 0; i < DEEP; i++)
		buf_addc(&body, "{\"a\":");
	buf_addc(&body, "1");
	for (int i = 0; i < DEEP; i++)
		buf_putc(&body, '}');
	buf_addc(&body, "}]}");
	must_parse(a, buf_c(&body), &p);
	response_fixed(&p, S("m"), &fixed);
	CHECK(!fixed.err);
	CHECK_OK(json_parse(buf_str(&fixed), &doc, &et), &et);
	yyjson_doc_free(doc);
	buf_free(&body);
	buf_free(&fixed);
	arena_free(a);
}

/* ---- events ---- */

struct told {
	struct buf types; /* a line each */
	int64_t next;
	struct buf last;
};

static bool tell(void *ctx, struct str type, struct str json)
{
	struct told *t = ctx;
	yyjson_doc *doc;
	CHECK_OK(json_parse(json, &doc, &et), &et);
	yyjson_val *o = yyjson_doc_get_root(doc);
	CHECK(str_eq(json_str(o, "type"), type));
	CHECK_INT(json_i64(o, "sequence_number", -1), t->next++);
	yyjson_doc_free(doc);
	buf_addf(&t->types, "%.*s\n", STR_FMT(str_sub(type, sizeof "response." - 1, type.n)));
	buf_clear(&t->last);
	buf_adds(&t->last, json);
	return true;
}

static void say(struct answer *w, enum chat_event_kind kind, const char *text)
{
	struct chat_event ev = {
		.kind = kind, .text = str_c(text), .id = S("call_1"), .name = S("f")};
	CHECK_OK(answer_event(w, &ev), &et);
}

static void item_is(const struct answer *w, size_t i, const char *type, const char *status)
{
	yyjson_doc *doc;
	CHECK(i < w->n_items);
	CHECK_OK(json_parse(w->items[i].json, &doc, &et), &et);
	CHECK_STR(json_str(yyjson_doc_get_root(doc), "type"), type);
	CHECK_STR(json_str(yyjson_doc_get_root(doc), "status"), status);
	CHECK(str_eq(json_str(yyjson_doc_get_root(doc), "id"), w->items[i].id));
	yyjson_doc_free(doc);
}

static void test_api_responses__events(void)
{
	struct told t = {.next = 0};
	struct response r = {.id = id_new(), .status = "in_progress", .fixed = S("{}")};
	struct answer w = {.r = &r, .a = arena_new(0), .emit = tell, .ctx = &t};
	CHECK_OK(answer_state(&w, "response.created"), &et);
	say(&w, CHAT_REASONING, "hm");
	say(&w, CHAT_REASONING, "m");
	say(&w, CHAT_TEXT, "I look.");
	say(&w, CHAT_CALL, "");
	say(&w, CHAT_ARGUMENTS, "{}");
	say(&w, CHAT_CALL_END, "");
	say(&w, CHAT_CALL, "");
	say(&w, CHAT_ARGUMENTS, "{\"a");
	CHECK_OK(answer_end(&w, true), &et);
	r.status = "incomplete";
	CHECK_OK(answer_state(&w, "response.incomplete"), &et);
	CHECK_STR(buf_str(&t.types),
		"created\n"
		"output_item.added\ncontent_part.added\nreasoning_text.delta\nreasoning_text."
		"delta\n"
		"reasoning_text.done\ncontent_part.done\noutput_item.done\n"
		"output_item.added\ncontent_part.added\noutput_text.delta\noutput_text.done\n"
		"content_part.done\noutput_item.done\n"
		"output_item.added\nfunction_call_arguments.delta\nfunction_call_arguments.done\n"
		"output_item.done\n"
		"output_item.added\nfunction_call_arguments.delta\nfunction_call_arguments.done\n"
		"output_item.done\n"
		"incomplete\n");
	item_is(&w, 0, "reasoning", "completed");
	item_is(&w, 1, "message", "completed");
	item_is(&w, 2, "function_call", "completed");
	item_is(&w, 3, "function_call", "incomplete");
	CHECK(str_find(buf_str(&t.last), w.items[3].json) != STR_NONE);
	arena_free(w.a);
	answer_release(&w);
	buf_free(&t.types);
	buf_free(&t.last);
}

/* A second time: the same ids, so the same events. And an answer of nothing has a message. */
static void test_api_responses__again(void)
{
	struct response r = {.id = id_new(), .status = "in_progress", .fixed = S("{}")};
	struct buf all[2] = {{0}};
	for (int i = 0; i < 2; i++) {
		struct told t = {.next = 0};
		struct answer w = {.r = &r, .a = arena_new(0), .emit = tell, .ctx = &t};
		say(&w, CHAT_TEXT, "a");
		say(&w, CHAT_CALL, "");
		CHECK_OK(answer_end(&w, false), &et);
		for (size_t k = 0; k < w.n_items; k++)
			buf_adds(&all[i], w.items[k].json);
		arena_free(w.a);
		answer_release(&w);
		buf_free(&t.types);
		buf_free(&t.last);
	}
	CHECK(all[0].n && str_eq(buf_str(&all[0]), buf_str(&all[1])));
	struct answer w = {.r = &r, .a = arena_new(0)};
	CHECK_OK(answer_end(&w, false), &et);
	item_is(&w, 0, "message", "completed");
	arena_free(w.a);
	answer_release(&w);
	buf_free(&all[0]);
	buf_free(&all[1]);
}

/* ---- rows ---- */

static struct response row_of(const char *project, struct id previous, const char *status)
{
	return (struct response){.id = id_new(),
		.previous = previous,
		.project = str_c(project),
		.who_name = S("ada"),
		.model = S("m"),
		.title = S("t"),
		.status = status,
		.stored = true,
		.created_ms = clock_unix_ms(),
		.fixed = S("{}"),
		.request = S(""),
		.error = S(""),
		.usage = S(""),
		.incomplete = S("")};
}

/* Input "<name>i", output "<name>o". */
static struct response add(struct croft *c, const char *project, struct id previous,
	const char *status, const char *name)
{
	struct response r = row_of(project, previous, status);
	char in[32], out[32];
	snprintf(in, sizeof in, "{\"id\":\"%si\"}", name);
	snprintf(out, sizeof out, "{\"id\":\"%so\"}", name);
	struct item i = {.id = str_sub(str_c(in), 7, strlen(in) - 2), .json = str_c(in)};
	struct item o = {.id = str_sub(str_c(out), 7, strlen(out) - 2), .json = str_c(out)};
	CHECK_OK(response_add(c, &r, &i, 1, &o, response_over(&r), &et), &et);
	return r;
}

static void context_is(
	struct croft *c, const char *project, struct id id, bool with_last, const char *want)
{
	struct arena *a = arena_new(0);
	struct item *v = NULL;
	size_t n = 0;
	struct buf ids = {0};
	CHECK_OK(response_context(c, str_c(project), id, with_last, a, &v, &n, &et), &et);
	for (size_t i = 0; i < n; i++)
		buf_addf(&ids, "%s%.*s", i ? " " : "", STR_FMT(v[i].id));
	CHECK_STR(buf_str(&ids), want);
	buf_free(&ids);
	arena_free(a);
}

static enum err context_fails(struct croft *c, const char *project, struct id id)
{
	struct arena *a = arena_new(0);
	struct item *v;
	size_t n;
	enum err e = response_context(c, str_c(project), id, true, a, &v, &n, &et);
	arena_free(a);
	return e;
}

static void test_api_responses__chain(void)
{
	struct croft *c = open_croft();
	const struct id none = {0};
	struct response a = add(c, "default", none, "completed", "a");
	struct response b = add(c, "default", a.id, "incomplete", "b");
	struct response d = add(c, "default", b.id, "completed", "d");
	struct response f = add(c, "default", d.id, "failed", "f");
	context_is(c, "default", d.id, true, "ai ao bi bo di do");
	context_is(c, "default", d.id, false, "ai ao bi bo di");
	context_is(c, "default", f.id, false, "ai ao bi bo di do fi");
	CHECK_INT(context_fails(c, "default", f.id), ERR_CONFLICT);
	CHECK_INT(context_fails(c, "other", d.id), ERR_NOT_FOUND);
	CHECK_INT(response_delete(c, NULL, S("other"), b.id, &et), ERR_NOT_FOUND);
	CHECK_OK(response_delete(c, NULL, S("default"), b.id, &et), &et);
	CHECK_INT(context_fails(c, "default", d.id), ERR_NOT_FOUND);
	char text[RESPONSE_ID + 1];
	response_id(b.id, text);
	CHECK(str_find(str_c(et.msg), str_c(text)) != STR_NONE);
	context_is(c, "default", a.id, true, "ai ao");
	croft_close(c);
}

static void lease(struct croft *c, struct arena *a, struct job *job)
{
	CHECK_OK(queue_lease(croft_db(c), "response", 30000, a, job, &et), &et);
}

/* Who ends last does not overwrite who ended first. */
static void test_api_responses__ends_once(void)
{
	struct croft *c = open_croft();
	struct arena *a = arena_new(0);
	struct job job;
	bool taken = true, go_on = false;
	struct response r = row_of("default", (struct id){0}, "queued"), now;
	struct item o = {.id = S("o"), .json = S("{\"id\":\"o\"}")}, *v = NULL;
	size_t n = 0;
	r.background = true;
	CHECK_OK(response_add(c, &r, NULL, 0, NULL, 0, &et), &et);
	lease(c, a, &job);
	CHECK_OK(response_started(c, r.id, id_new(), S("m"), &go_on, &et), &et);
	CHECK(go_on);
	CHECK_OK(response_cancel(c, S("other"), r.id, &et), &et);
	CHECK_OK(response_get(c, S("default"), r.id, a, &now, &et), &et);
	CHECK_STR(str_c(now.status), "in_progress");
	CHECK_OK(response_cancel(c, S("default"), r.id, &et), &et);
	r.status = "completed";
	CHECK_OK(response_end(c, &r, &job, &o, 1, S("{}\n"), &taken, &et), &et);
	CHECK(!taken);
	CHECK_OK(response_get(c, S("default"), r.id, a, &now, &et), &et);
	CHECK_STR(str_c(now.status), "cancelled");
	CHECK_OK(response_output(c, r.id, a, &v, &n, &et), &et);
	CHECK_INT(n, 0);
	CHECK_INT(queue_lease(croft_db(c), "response", 30000, a, &job, &et), ERR_NOT_FOUND);
	arena_free(a);
	croft_close(c);
}

static void set_expired(struct croft *c, struct id id)
{
	CHECK_OK(db_change(croft_db(c), NULL, &et,
			 "UPDATE api_response SET expires_ms = 1 WHERE id = ?", P_ID(id)),
		&et);
}

static bool there(struct croft *c, struct id id)
{
	struct arena *a = arena_new(0);
	struct response r;
	enum err e = response_get(c, (struct str){0}, id, a, &r, &et);
	arena_free(a);
	return !e;
}

static void test_api_responses__sweep(void)
{
	struct croft *c = open_croft();
	struct response a = add(c, "default", (struct id){0}, "completed", "a");
	struct response b = add(c, "default", a.id, "completed", "b");
	struct response d = add(c, "default", b.id, "completed", "d");
	set_expired(c, a.id);
	set_expired(c, b.id);
	CHECK_OK(response_sweep(c, &et), &et);
	CHECK(there(c, a.id) && there(c, b.id) && there(c, d.id));
	set_expired(c, d.id);
	CHECK_OK(response_sweep(c, &et), &et);
	CHECK(!there(c, a.id) && !there(c, b.id) && !there(c, d.id));
	croft_close(c);
}

static void test_api_responses__conversation(void)
{
	struct croft *c = open_croft();
	struct arena *a = arena_new(0);
	struct item i = {.id = S("i"), .json = S("{\"id\":\"i\"}")}, *v = NULL;
	struct item o = {.id = S("o"), .json = S("{\"id\":\"o\"}")};
	const struct item_page all = {.after = S(""), .limit = 10};
	struct conversation talk = {.id = id_new(), .metadata = S("{}"), .created_ms = 1};
	size_t n = 0;
	bool more = true;
	CHECK_OK(conversation_add(c, S("default"), &talk, NULL, 0, &et), &et);
	struct response r = row_of("default", (struct id){0}, "completed");
	r.conversation = talk.id;
	r.stored = false;
	CHECK_OK(response_add(c, &r, &i, 1, &o, 1, &et), &et);
	CHECK(!there(c, r.id));
	CHECK_OK(conversation_items(c, S("default"), talk.id, &all, a, &v, &n, &more, &et), &et);
	CHECK(n == 2 && !more && str_eq_c(v[0].id, "i") && str_eq_c(v[1].id, "o"));
	r.id = id_new();
	r.status = "failed";
	CHECK_OK(response_add(c, &r, &i, 1, &o, 1, &et), &et);
	CHECK_OK(conversation_items(c, S("default"), talk.id, &all, a, &v, &n, &more, &et), &et);
	CHECK_INT(n, 2);
	CHECK_INT(conversation_items(c, S("other"), talk.id, &all, a, &v, &n, &more, &et),
		ERR_NOT_FOUND);
	CHECK_OK(conversation_delete(c, NULL, S("default"), talk.id, &et), &et);
	r.id = id_new();
	r.status = "completed";
	r.stored = true;
	CHECK_INT(response_add(c, &r, &i, 1, &o, 1, &et), ERR_NOT_FOUND);
	CHECK(!there(c, r.id));
	arena_free(a);
	croft_close(c);
}

TESTS(T(test_api_responses__messages), T(test_api_responses__refused), T(test_api_responses__deep),
	T(test_api_responses__events), T(test_api_responses__again), T(test_api_responses__chain),
	T(test_api_responses__ends_once), T(test_api_responses__sweep),
	T(test_api_responses__conversation))
