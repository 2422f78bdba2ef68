/* Bodies of the Responses API: each is refused with a reason, or its items are whole: they can be
 * stored, read, and sent again; the response shows what was asked; and what a model would answer is
 * events that can be read. */
#include "api/responses.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool yes)
{
	if (!yes)
		__builtin_trap();
}

static yyjson_doc *readable(struct str json)
{
	yyjson_doc *doc = NULL;
	must(!json_parse(json, &doc, NULL) && yyjson_is_obj(yyjson_doc_get_root(doc)));
	return doc;
}

/* ---- items ---- */

static bool check_items(const struct response_params *p)
{
	bool refers = false;
	for (size_t i = 0; i < p->n_items; i++) {
		const struct item *it = &p->items[i];
		refers |= it->reference.n > 0;
		if (it->reference.n)
			continue;
		yyjson_doc *doc = readable(it->json);
		must(str_eq(json_str(yyjson_doc_get_root(doc), "id"), it->id));
		yyjson_doc_free(doc);
	}
	return !refers;
}

static void send_again(const struct response_params *p, struct arena *a)
{
	struct buf list = {0};
	struct item *again;
	struct api_error x = {0};
	yyjson_doc *doc = NULL;
	size_t n;
	buf_putc(&list, '[');
	for (size_t i = 0; i < p->n_items; i++)
		buf_addf(&list, "%s%.*s", i ? "," : "", STR_FMT(p->items[i].json));
	buf_putc(&list, ']');
	must(!list.err && !json_parse(buf_str(&list), &doc, NULL));
	must(!items_parse(yyjson_doc_get_root(doc), "input", ITEMS_MAX, a, &again, &n, &x));
	must(n == p->n_items);
	yyjson_doc_free(doc);
	buf_free(&list);
}

static void check_messages(struct response_params *p, struct arena *a)
{
	struct api_error x = {0};
	enum err e = items_messages(p->items, p->n_items, p->instructions, a, &p->chat, &x);
	must(!e || x.et.msg[0]);
	for (size_t i = 0; i < p->chat.n_messages && !e; i++) {
		const struct chat_message *m = &p->chat.messages[i];
		must(m->role.n && m->content.p);
		must(!str_eq_c(m->role, "tool") || m->tool_call_id.n);
		yyjson_doc *doc = NULL;
		must(!m->tool_calls_json.n || !json_parse(m->tool_calls_json, &doc, NULL));
		yyjson_doc_free(doc);
	}
}

/* ---- the answer ---- */

static bool on_event(void *ctx, struct str type, struct str json)
{
	int64_t *next = ctx;
	yyjson_doc *doc = readable(json);
	yyjson_val *o = yyjson_doc_get_root(doc);
	must(str_eq(json_str(o, "type"), type) && json_i64(o, "sequence_number", -1) == *next);
	++*next;
	yyjson_doc_free(doc);
	return true;
}

static void answer(const struct response_params *p, struct arena *a)
{
	struct buf fixed = {0};
	int64_t next = 0;
	response_fixed(p, S("m"), &fixed);
	must(!fixed.err);
	struct response r = {.id = id_new(), .status = "in_progress", .fixed = buf_str(&fixed)};
	struct answer w = {.r = &r, .a = a, .emit = on_event, .ctx = &next, .top_logprobs = -1};
	const struct str said = p->chat.last_user;
	const struct chat_event events[] = {{.kind = CHAT_REASONING, .text = said},
		{.kind = CHAT_TEXT, .text = said}, {.kind = CHAT_CALL, .id = S("c"), .name = said},
		{.kind = CHAT_ARGUMENTS, .text = said}, {.kind = CHAT_CALL_END},
		{.kind = CHAT_TEXT, .text = said}};
	must(!answer_state(&w, "response.created"));
	for (size_t i = 0; i < ARRAY_LEN(events); i++)
		must(!answer_event(&w, &events[i]));
	must(!answer_end(&w, false) && !answer_state(&w, "response.completed"));
	must(w.n_items == (said.n ? 4u : 2u));
	answer_release(&w);
	buf_free(&fixed);
}

static void parse(struct str body, bool counting)
{
	struct arena *a = arena_new(0);
	struct response_params p;
	struct api_error x = {0};
	if (!a)
		return;
	if (response_parse(body, counting, a, &p, &x)) {
		must(x.e && x.et.msg[0]);
	} else if (check_items(&p)) {
		send_again(&p, a);
		check_messages(&p, a);
		answer(&p, a);
	}
	arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str body = str_mk((const char *)data, size);
	parse(body, false);
	parse(body, true);
	return 0;
}
