/* Routes of the Responses API. */
#include "api/responses.h"

#include "base/clock.h"
#include "endpoint/remote.h"

#include <stdio.h>

enum { DAY_MS = 24 * 3600 * 1000, LIST_MAX = 100 };

/* ---- what the routes share ---- */

enum err store_failed(struct api_error *x, enum err e, const char *param)
{
	struct errtext said = x->et;
	return api_fail(
		x, e, e == ERR_NOT_FOUND ? "not_found" : NULL, param, "%s", err_text(e, &said));
}

enum err item_page_parse(const struct http_request *rq, struct item_page *out, struct api_error *x)
{
	enum { PAGE_DEFAULT = 20 };
	struct str limit = http_query(rq, "limit"), order = http_query(rq, "order");
	struct str after = http_query(rq, "after");
	int64_t n = PAGE_DEFAULT;
	if (limit.n && (!str_i64(limit, &n) || n < 1 || n > PAGE_MAX))
		return api_fail(x, ERR_INVALID, "invalid_value", "limit",
			"limit must be from 1 to %d", PAGE_MAX);
	if (order.n && !str_eq_c(order, "asc") && !str_eq_c(order, "desc"))
		return api_fail(
			x, ERR_INVALID, "invalid_value", "order", "order must be asc or desc");
	if (!utf8_valid(after) || str_chr(after, 0) != STR_NONE)
		return api_fail(
			x, ERR_INVALID, "invalid_value", "after", "after must be an item's id");
	*out = (struct item_page){.after = after.p ? after : S(""),
		.newest_first = !str_eq_c(order, "asc"),
		.limit = (size_t)n};
	return OK;
}

void reply_items(struct http_response *rs, const struct item *items, size_t n, bool more)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_kc(&w, "object", "list");
	jw_key(&w, "data");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		jw_raw(&w, items[i].json);
	jw_end(&w);
	jw_key(&w, "first_id"), n ? jw_str(&w, items[0].id) : jw_null(&w);
	jw_key(&w, "last_id"), n ? jw_str(&w, items[n - 1].id) : jw_null(&w);
	jw_kbool(&w, "has_more", more);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

static void reply_response(
	struct http_response *rs, const struct response *r, const struct item *items, size_t n)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	response_write(&w, r, items, n);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

/* ---- create ---- */

struct asking {
	struct turn t;
	struct http_request *rq;
	struct http_response *rs;
	bool begun; /* the stream */
};

static bool to_client(void *ctx, struct str type, struct str json)
{
	struct asking *q = ctx;
	return !http_sse_event(q->rs, type.p, json);
}

static enum err begin_stream(struct asking *q)
{
	q->begun = true;
	return http_sse_begin(q->rs);
}

static enum err on_begin(struct turn *t)
{
	struct asking *q = t->ctx;
	if (!t->answer.emit)
		return OK;
	enum err e = begin_stream(q);
	e = e ? e : answer_state(&t->answer, "response.created");
	return e ? e : answer_state(&t->answer, "response.in_progress");
}

static void on_provider(void *ctx, struct str provider, unsigned attempts)
{
	struct asking *q = ctx;
	char n[16];
	if (q->begun)
		return;
	snprintf(n, sizeof n, "%u", attempts);
	http_set_header(q->rs, "x-croft-provider", provider);
	http_set_header(q->rs, "x-croft-attempts", str_c(n));
}

static void begin_row(struct asking *q)
{
	struct turn *t = &q->t;
	struct response *r = &t->r;
	int64_t days = setting_int(t->c, "responses.keep_days"), now = clock_unix_ms();
	*r = (struct response){.project = project_of(q->rq),
		.status = "in_progress",
		.stored = t->p.store,
		.background = t->p.background,
		.streams = t->p.chat.gen.stream,
		.previous = t->p.previous,
		.conversation = t->p.conversation,
		.seed = (int64_t)t->p.chat.gen.sampling.seed,
		.priority = t->p.chat.gen.priority,
		.created_ms = now,
		.expires_ms = days ? now + days * DAY_MS : 0,
		.who = q->rq->who ? q->rq->who->id : (struct id){0},
		.who_name = q->rq->who && q->rq->who->name.p ? q->rq->who->name : S(""),
		.model = S(""),
		.title = items_title(t->p.items, t->p.n_items, t->a),
		.fixed = S("{}"),
		.request = S(""),
		.error = S(""),
		.usage = S(""),
		.incomplete = S("")};
	if (!r->title.p)
		r->title = S("");
	t->answer = (struct answer){.r = r, .a = t->a};
	if (t->p.chat.gen.stream) {
		t->answer.emit = to_client;
		t->answer.ctx = q;
	}
}

static enum err store(struct turn *t)
{
	enum err e = response_add(t->c, &t->r, t->p.items, t->p.n_items, t->answer.items,
		t->answer.n_items, &t->x.et);
	return e ? store_failed(&t->x, e, NULL) : OK;
}

/* Its id was told already: what became of it is stored and said, if anybody is there. */
static void fail_stream(struct asking *q, enum err e)
{
	struct turn *t = &q->t;
	struct api_error x = t->x;
	turn_fail(t, e);
	if (store(t))
		t->r.stored = false;
	t->x = x;
	t->answer.emit = to_client;
	(void)answer_state(&t->answer, response_end_type(&t->r));
}

static enum err answer_now(struct asking *q)
{
	struct turn *t = &q->t;
	char hex[ID_HEX + 1];
	turn_begin_run(t);
	id_hex(t->r.id, hex);
	http_set_header(q->rs, "x-croft-run", str_c(hex));
	enum err e = turn_context(t);
	e = e ? e : turn_answer(t);
	e = e ? e : store(t);
	if (e && q->begun)
		fail_stream(q, e);
	else if (e)
		api_reply_error(q->rs, &t->x);
	else if (t->answer.emit)
		(void)answer_state(&t->answer, response_end_type(&t->r));
	else
		reply_response(q->rs, &t->r, t->answer.items, t->answer.n_items);
	run_end(t->run, e, &t->x.et);
	return e;
}

/* ---- in the background ---- */

/* The model's name, without opening it. */
static enum err name_model(struct turn *t)
{
	struct str name = t->p.chat.gen.model;
	struct remote *p = name.n ? remote_find(t->c, name) : NULL;
	struct installed_model m;
	enum err e = OK;
	if (p) {
		t->r.model = arena_str(t->a, remote_name(p));
		remote_put(p);
		return t->r.model.p ? OK : api_no_memory(&t->x);
	}
	e = installed_find(t->c, name, PURPOSE_CHAT, t->a, &m, &t->x.et);
	if (e)
		return api_fail_from(&t->x, e, "model");
	t->r.model = m.name;
	return OK;
}

static enum err need_room(struct turn *t)
{
	struct queue_counts n = {0};
	int64_t most = setting_int(t->c, "responses.queue_max");
	enum err e = queue_count(croft_db(t->c), "response", &n, &t->x.et);
	if (e)
		return store_failed(&t->x, e, NULL);
	return n.waiting < most ? OK
				: api_fail(&t->x, ERR_BUSY, "rate_limit_exceeded", NULL,
					  "%lld responses wait in the background already (setting "
					  "responses.queue_max)",
					  (long long)n.waiting);
}

static enum err queue_it(struct asking *q)
{
	struct turn *t = &q->t;
	struct buf fixed = {0};
	t->r.id = id_new();
	t->r.status = "queued";
	t->r.request = q->rq->body;
	enum err e = need_room(t);
	e = e ? e : name_model(t);
	e = e ? e : turn_context(t); /* what cannot be found is said at once */
	if (e)
		return e;
	response_fixed(&t->p, t->r.model, &fixed);
	t->r.fixed = fixed.err ? (struct str){0} : arena_str(t->a, buf_str(&fixed));
	buf_free(&fixed);
	return t->r.fixed.p ? store(t) : api_no_memory(&t->x);
}

/* The first two events are the worker's too, under the same numbers. */
static void follow_it(struct asking *q)
{
	struct turn *t = &q->t;
	enum err e = begin_stream(q);
	e = e ? e : answer_state(&t->answer, "response.created");
	e = e ? e : answer_state(&t->answer, "response.queued");
	if (!e)
		(void)responses_follow(t->c, q->rq, q->rs, t->r.id, 1);
}

static void answer_later(struct asking *q)
{
	struct turn *t = &q->t;
	if (queue_it(q)) {
		api_reply_error(q->rs, &t->x);
		return;
	}
	responses_wake(t->c);
	if (t->answer.emit)
		follow_it(q);
	else
		reply_response(q->rs, &t->r, NULL, 0);
}

static void begin_asking(struct asking *q, struct croft *c)
{
	q->t.c = c;
	q->t.a = q->rq->arena;
	q->t.who = q->rq->who;
	q->t.cancel = q->rq->cancel;
	q->t.on_begin = on_begin;
	q->t.on_provider = on_provider;
	q->t.ctx = q;
}

static enum err may_search(struct asking *q)
{
	enum err e = q->t.p.chat.search ? need(q->rq, PERM_DOCUMENT_READ, &q->t.x.et) : OK;
	return e ? store_failed(&q->t.x, e, "tools") : OK;
}

static void create(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct asking q = {.rq = rq, .rs = rs};
	begin_asking(&q, c);
	if (response_parse(rq->body, false, rq->arena, &q.t.p, &q.t.x) ||
		api_priority(rq, &q.t.p.chat.gen.priority, &q.t.x) || may_search(&q)) {
		api_reply_error(rs, &q.t.x);
		return;
	}
	begin_row(&q);
	if (q.t.p.background)
		answer_later(&q);
	else
		(void)answer_now(&q);
	turn_free(&q.t);
}

static void count(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct asking q = {.rq = rq, .rs = rs};
	size_t tokens = 0;
	begin_asking(&q, c);
	q.t.r.project = project_of(rq);
	enum err e = response_parse(rq->body, true, rq->arena, &q.t.p, &q.t.x);
	e = e ? e : may_search(&q);
	e = e ? e : turn_context(&q.t);
	e = e ? e : turn_count(&q.t, &tokens);
	if (e) {
		api_reply_error(rs, &q.t.x);
	} else {
		struct buf b = {0};
		struct jw w = {.out = &b};
		jw_obj(&w);
		jw_kc(&w, "object", "response.input_tokens");
		jw_ki64(&w, "input_tokens", (int64_t)tokens);
		jw_end(&w);
		http_reply_json(rs, 200, &w);
		buf_free(&b);
	}
	turn_free(&q.t);
}

/* ---- one that is stored ---- */

static enum err find(
	struct croft *c, struct http_request *rq, struct response *out, struct api_error *x)
{
	struct id id;
	struct str text = http_param(rq, "id");
	if (!response_id_parse(text, &id))
		return api_fail(x, ERR_NOT_FOUND, "not_found", "response_id",
			"Response with id '%.*s' not found.", STR_FMT(str_sub(text, 0, 64)));
	enum err e = response_get(c, project_of(rq), id, rq->arena, out, &x->et);
	return e ? store_failed(x, e, "response_id") : OK;
}

static void reply_stored(struct croft *c, struct http_request *rq, struct http_response *rs,
	const struct response *r)
{
	struct api_error x = {0};
	struct item *items = NULL;
	size_t n = 0;
	enum err e = response_output(c, r->id, rq->arena, &items, &n, &x.et);
	if (e) {
		store_failed(&x, e, NULL);
		api_reply_error(rs, &x);
	} else {
		reply_response(rs, r, items, n);
	}
}

static enum err parse_follow(const struct http_request *rq, const struct response *r,
	int64_t *after, struct api_error *x)
{
	struct str from = http_query(rq, "starting_after");
	*after = -1;
	if (from.n && (!str_i64(from, after) || *after < 0))
		return api_fail(x, ERR_INVALID, "invalid_value", "starting_after",
			"starting_after must be the number of an event");
	if (!r->background || !r->streams)
		return api_fail(x, ERR_INVALID, "invalid_value", "stream",
			"stream: only a response that was made with background and stream has "
			"events that can be followed later");
	return OK;
}

static void show(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct response r;
	struct str stream = http_query(rq, "stream");
	int64_t after = -1;
	bool follow = str_eq_c(stream, "true") || str_eq_c(stream, "1");
	enum err e = find(c, rq, &r, &x);
	if (!e && follow)
		e = parse_follow(rq, &r, &after, &x);
	if (e)
		api_reply_error(rs, &x);
	else if (!follow)
		reply_stored(c, rq, rs, &r);
	else if (!http_sse_begin(rs))
		(void)responses_follow(c, rq, rs, r.id, after);
}

static void cancel(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct response r;
	enum err e = find(c, rq, &r, &x);
	if (!e && !r.background)
		e = api_fail(&x, ERR_INVALID, "invalid_value", "response_id",
			"Cannot cancel a synchronous response.");
	if (!e) {
		e = response_cancel(c, project_of(rq), r.id, &x.et);
		e = e ? store_failed(&x, e, NULL) : OK;
	}
	responses_interrupt(c, r.id);
	e = e ? e : find(c, rq, &r, &x);
	if (e)
		api_reply_error(rs, &x);
	else
		reply_stored(c, rq, rs, &r);
}

static void delete (struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct response r;
	char id[RESPONSE_ID + 1];
	enum err e = find(c, rq, &r, &x);
	if (!e) {
		e = response_delete(c, rq->who, project_of(rq), r.id, &x.et);
		e = e ? store_failed(&x, e, "response_id") : OK;
	}
	if (e) {
		api_reply_error(rs, &x);
		return;
	}
	responses_interrupt(c, r.id);
	struct buf b = {0};
	struct jw w = {.out = &b};
	response_id(r.id, id);
	jw_obj(&w);
	jw_kc(&w, "id", id);
	jw_kc(&w, "object", "response");
	jw_kbool(&w, "deleted", true);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

/* ---- what it was asked with ---- */

/* A page of a whole list, which is oldest first. */
static enum err page_of(struct item *all, size_t n, const struct item_page *page, struct item *out,
	size_t *n_out, bool *more, struct api_error *x)
{
	size_t from = 0, k = 0;
	if (page->after.n) {
		while (from < n &&
			!str_eq(all[page->newest_first ? n - 1 - from : from].id, page->after))
			from++;
		if (from++ == n)
			return api_fail(x, ERR_NOT_FOUND, "not_found", "after",
				"Item with id '%.*s' not found.",
				STR_FMT(str_sub(page->after, 0, 64)));
	}
	for (; k < page->limit && from + k < n; k++)
		out[k] = all[page->newest_first ? n - 1 - (from + k) : from + k];
	*n_out = k;
	*more = from + k < n;
	return OK;
}

static void input_items(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct response r;
	struct item_page page;
	struct item *all = NULL, out[PAGE_MAX];
	size_t n = 0, n_out = 0;
	bool more = false;
	enum err e = find(c, rq, &r, &x);
	e = e ? e : item_page_parse(rq, &page, &x);
	if (!e) {
		e = response_context(c, project_of(rq), r.id, false, rq->arena, &all, &n, &x.et);
		e = e ? store_failed(&x, e, "response_id") : OK;
	}
	e = e ? e : page_of(all, n, &page, out, &n_out, &more, &x);
	if (e)
		api_reply_error(rs, &x);
	else
		reply_items(rs, out, n_out, more);
}

/* ---- those of a project ---- */

static void key_id(struct jw *w, const char *key, struct id id, bool is_conversation)
{
	char text[RESPONSE_ID + 1];
	if (is_conversation)
		conversation_id(id, text);
	else
		response_id(id, text);
	jw_kc(w, key, id_is_zero(id) ? NULL : text);
}

static void write_line(struct jw *w, const struct response *r)
{
	char hex[ID_HEX + 1];
	jw_obj(w);
	key_id(w, "id", r->id, false);
	id_hex(r->run, hex);
	jw_kc(w, "run", id_is_zero(r->run) ? NULL : hex);
	jw_kc(w, "status", r->status);
	jw_kstr(w, "model", r->model);
	jw_kstr(w, "title", r->title);
	jw_kbool(w, "background", r->background);
	jw_ki64(w, "created_ms", r->created_ms);
	jw_key(w, "expires_ms"), r->expires_ms ? jw_i64(w, r->expires_ms) : jw_null(w);
	key_id(w, "previous", r->previous, false);
	key_id(w, "conversation", r->conversation, true);
	jw_end(w);
}

static void list(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct str limit = http_query(rq, "limit"), before = http_query(rq, "before");
	struct id id = {0};
	int64_t max = 20;
	struct response *v = NULL;
	size_t n = 0;
	bool more = false;
	enum err e = OK;
	if (limit.n && (!str_i64(limit, &max) || max < 1 || max > LIST_MAX))
		e = err_set(&x.et, ERR_INVALID, "limit must be from 1 to %d", LIST_MAX);
	else if (before.n && !response_id_parse(before, &id))
		e = err_set(&x.et, ERR_INVALID, "before must be a response's id");
	e = e ? e
	      : response_list(c, project_of(rq), id, (size_t)max, rq->arena, &v, &n, &more, &x.et);
	if (e) {
		http_reply_error(rs, e, &x.et);
		return;
	}
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_key(&w, "responses");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		write_line(&w, &v[i]);
	jw_end(&w);
	jw_kbool(&w, "more", more);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

/* ---- the module ---- */

static const struct route routes[] = {
	{HTTP_POST, "/v1/responses", create, PERM_MODEL_USE,
		"Answer a conversation as OpenAI's Responses API does; with stream, as events",
		NULL, "OpenAIResponseRequest", "OpenAIResponse", 0},
	{HTTP_POST, "/v1/responses/input_tokens", count, PERM_MODEL_USE,
		"How many tokens the model would read", NULL, "OpenAIResponseRequest",
		"{ object: \"response.input_tokens\", input_tokens: int }", 0},
	{HTTP_GET, "/v1/responses/{id}", show, PERM_RUN_READ,
		"Show a stored response, or follow its events",
		"{ stream?: boolean, "
		"starting_after?: int, include? }",
		NULL, "OpenAIResponse", 0},
	{HTTP_DELETE, "/v1/responses/{id}", delete, PERM_RUN_WRITE, "Remove a stored response",
		NULL, NULL, "{ id, object: \"response\", deleted: boolean }", 0},
	{HTTP_POST, "/v1/responses/{id}/cancel", cancel, PERM_MODEL_USE,
		"Cancel a response that is made in the background", NULL, NULL, "OpenAIResponse",
		0},
	{HTTP_GET, "/v1/responses/{id}/input_items", input_items, PERM_RUN_READ,
		"What a response was asked with, and what it continues",
		"{ limit?: int, order?: \"asc\" | \"desc\", after?, include? }", NULL,
		"OpenAIItems", 0},
	{HTTP_GET, "/api/v1/responses", list, PERM_RUN_READ,
		"List the stored responses of the project, newest first",
		"{ limit?: int, before? }", NULL,
		"{ responses: { id, run: string | null, status, model, title, background: "
		"boolean, created_ms: int, expires_ms: int | null, previous: string | null, "
		"conversation: string | null }[], more: boolean }",
		0},
};

static const struct shape shapes[] = {
	{"OpenAIItems", "{ object: \"list\", data: object[], first_id: string | null, last_id: "
			"string | null, has_more: boolean }"},
	{"OpenAIResponseRequest",
		"{ model?, input?: string | object[], instructions?, previous_response_id?, "
		"conversation?: string | { id }, tools?: { type: \"function\", name, "
		"description?, parameters?: object, strict?: boolean }[], tool_choice?: string | "
		"object, parallel_tool_calls?: boolean, text?: { format?: object }, reasoning?: { "
		"effort?, summary? }, max_output_tokens?: int, temperature?: number, top_p?: "
		"number, top_logprobs?: int, seed?: int, stop?: string | string[], truncation?: "
		"\"auto\" | \"disabled\", include?: string[], metadata?: object, store?: boolean, "
		"background?: boolean, stream?: boolean }"},
	{"OpenAIResponse",
		"{ id, object: \"response\", created_at: int, completed_at: int | null, status: "
		"\"queued\" | \"in_progress\" | \"completed\" | \"incomplete\" | \"failed\" | "
		"\"cancelled\", background: boolean, model, output: object[], error: { code, "
		"message } | null, incomplete_details: { reason } | null, previous_response_id: "
		"string | null, conversation: { id } | null, usage: object | null, metadata: "
		"object, croft: { run: string | null, dropped_messages?: int } }"},
};

static const struct setting settings[] = {
	{"file_search.prompt_tokens", SET_INT, "2000",
		"Tokens of the passages that file_search puts into a prompt; passages beyond are "
		"left out, and the response says so",
		0, 1 << 20},
	{"responses.keep_days", SET_INT, "30",
		"How long stored responses of the OpenAI API are kept; 0: for ever", 0, 36500},
	{"responses.queue_max", SET_INT, "1000",
		"Responses that may wait in the background; more are refused with 429", 1, 1000000},
	{"responses.workers", SET_INT, "4", "Responses that are made in the background at once", 1,
		32},
};

static const struct option list_options[] = {
	{"limit", 'n', "N", "How many; 20 if not given"},
	{"before", 0, "ID", "Older ones than this"},
};

static const struct command commands[] = {
	{"responses", run_responses, "", list_options, ARRAY_LEN(list_options),
		"List the stored responses of the OpenAI API",
		"They are kept for as long as the setting responses.keep_days says."},
	{"responses show", run_responses_show, "ID", NULL, 0,
		"Show a response: what was asked, and the answer", NULL},
	{"responses cancel", run_responses_cancel, "ID...", NULL, 0,
		"Cancel responses that are made in the background", NULL},
	{"responses delete", run_responses_delete, "ID...", NULL, 0, "Remove stored responses",
		"A response that continues a deleted one stays, but cannot be continued itself."},
};

const struct module responses_module = {
	.name = "responses",
	.migrations = responses_migrations,
	.n_migrations = ARRAY_LEN(responses_migrations),
	TABLE(routes),
	TABLE(shapes),
	TABLE(settings),
	TABLE(commands),
	.start = responses_start,
	.stop = responses_stop,
};
