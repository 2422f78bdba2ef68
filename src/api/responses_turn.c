/* One answer of the Responses API: what came before, the model, the end. Who listens and what is
 * stored is the caller's: a request, or a thread for answers in the background. */
#include "api/responses.h"

#include "base/clock.h"
#include "endpoint/remote.h"

#include <stdio.h>

/* ---- what came before ---- */

/* A copy with an id of its own: one item is in one list once. */
static enum err copy_item(struct turn *t, const struct item *found, struct item *out)
{
	char id[8 + ID_HEX + 1], prefix[8] = "";
	size_t n = str_chr(found->id, '_');
	struct str head = arena_fmt(t->a, "{\"id\":\"%.*s\"", STR_FMT(found->id));
	if (!head.p)
		return api_no_memory(&t->x);
	snprintf(prefix, sizeof prefix, "%.*s", n == STR_NONE ? 0 : (int)MIN(n, 7u), found->id.p);
	item_id(prefix, id);
	if (!str_starts(found->json, head))
		return api_fail(&t->x, ERR_CORRUPT, NULL, NULL, "a stored item cannot be read");
	*out = (struct item){.id = arena_str(t->a, str_c(id)),
		.json = arena_fmt(t->a, "{\"id\":\"%s\"%.*s", id,
			STR_FMT(str_sub(found->json, head.n, found->json.n)))};
	return out->id.p && out->json.p ? OK : api_no_memory(&t->x);
}

static enum err resolve(struct turn *t)
{
	enum err e = OK;
	for (size_t i = 0; i < t->p.n_items && !e; i++) {
		struct item *it = &t->p.items[i], found;
		char param[32];
		if (!it->reference.n)
			continue;
		snprintf(param, sizeof param, "input[%zu].id", i);
		e = item_find(t->c, t->r.project, it->reference, t->a, &found, &t->x.et);
		e = e ? store_failed(&t->x, e, param) : copy_item(t, &found, it);
	}
	return e;
}

static enum err previous_failed(struct turn *t, enum err e)
{
	struct errtext said = t->x.et;
	char id[RESPONSE_ID + 1];
	response_id(t->p.previous, id);
	if (e == ERR_NOT_FOUND)
		api_fail(&t->x, e, "previous_response_not_found", "previous_response_id",
			"%s%s (previous_response_id)",
			str_find(str_c(said.msg), str_c(id)) == STR_NONE
				? "A response that it continues was deleted: "
				: "Previous response: ",
			said.msg);
	else
		api_fail(&t->x, e, NULL, "previous_response_id", "%s", err_text(e, &said));
	if (e == ERR_NOT_FOUND || e == ERR_CONFLICT || e == ERR_LIMIT)
		t->x.status = 400;
	return e;
}

static enum err before(struct turn *t)
{
	const struct item_page all = {.after = S(""), .limit = ITEMS_MAX};
	bool more = false;
	enum err e = resolve(t);
	if (e)
		return e;
	if (!id_is_zero(t->p.previous)) {
		e = response_context(t->c, t->r.project, t->p.previous, true, t->a, &t->context,
			&t->n_context, &t->x.et);
		return e ? previous_failed(t, e) : OK;
	}
	if (id_is_zero(t->p.conversation))
		return OK;
	e = conversation_items(t->c, t->r.project, t->p.conversation, &all, t->a, &t->context,
		&t->n_context, &more, &t->x.et);
	if (e)
		return store_failed(&t->x, e, "conversation");
	more |= t->n_context + t->p.n_items > ITEMS_MAX;
	return !more ? OK
		     : api_fail(&t->x, ERR_INVALID, "invalid_value", "conversation",
			       "the conversation has more than %d items: begin a new one",
			       ITEMS_MAX);
}

enum err turn_context(struct turn *t)
{
	enum err e = turn_stores(t);
	return e ? e : before(t);
}

/* ---- names ---- */

struct str items_title(const struct item *items, size_t n, struct arena *a)
{
	enum { TITLE_MAX = 120 };
	struct chat_params p = {.last_user = {0}};
	struct api_error x = {0};
	char text[TITLE_MAX + 1] = "";
	/* the last ones are enough, and a message has at most as many as it has items */
	size_t from = n > 4 ? n - 4 : 0;
	for (size_t i = from; i < n; i++)
		if (!items[i].json.n)
			return S("");
	if (!n || items_messages(items + from, n - from, S(""), a, &p, &x))
		return S("");
	struct str s = str_sub(p.last_user, 0, TITLE_MAX);
	s = str_sub(s, 0, utf8_complete_prefix(s));
	for (size_t i = 0; i < s.n; i++)
		text[i] = (unsigned char)s.p[i] < ' ' || s.p[i] == 127 ? ' ' : s.p[i];
	return arena_str(a, str_mk(text, s.n));
}

void turn_begin_run(struct turn *t)
{
	char id[RESPONSE_ID + 1];
	t->run = run_begin(t->c, t->r.project, "response", t->r.title);
	t->r.run = run_id(t->run);
	if (id_is_zero(t->r.id))
		t->r.id = t->run ? t->r.run : id_new();
	response_id(t->r.id, id);
	run_text(t->run, "response", str_c(id));
}

/* ---- the model ---- */

static enum err find_model(struct turn *t)
{
	const struct sampling *s = &t->p.chat.gen.sampling;
	enum err e = OK;
	do
		e = endpoint_chat(t->c, t->p.chat.gen.model, &t->ep, &t->x.et);
	while (e == ERR_BUSY && t->on_busy && t->on_busy(t));
	if (e)
		return api_fail_from(&t->x, e, "model");
	if (!endpoint_model(t->ep))
		return OK;
	const struct tokenizer *tk = model_tokenizer(endpoint_model(t->ep));
	for (size_t i = 0; i < s->n_bias; i++)
		if ((size_t)s->bias[i].id >= tokenizer_vocab_size(tk))
			return api_fail(&t->x, ERR_INVALID, "invalid_value", "logit_bias",
				"logit_bias: %d is no token of this model", (int)s->bias[i].id);
	t->answer.tk = tk;
	return api_format_get(t->c, &t->p.chat.gen.format, &t->held, &t->x);
}

static enum err make_messages(struct turn *t)
{
	size_t n = t->n_context + t->p.n_items;
	struct item *all = arena_array_of(t->a, n + 1, struct item);
	if (!all)
		return api_no_memory(&t->x);
	if (t->n_context)
		memcpy(all, t->context, t->n_context * sizeof *all);
	if (t->p.n_items)
		memcpy(all + t->n_context, t->p.items, t->p.n_items * sizeof *all);
	return items_messages(all, n, t->p.instructions, t->a, &t->p.chat, &t->x);
}

/* ---- truncation ---- */

/* The conversation from message `from` on, after the system's message. */
static enum err cut(struct turn *t, size_t from, struct chat_params *out)
{
	const struct chat_params *p = &t->p.chat;
	size_t n = 0;
	*out = *p;
	out->messages = arena_array_of(t->a, p->n_messages + 1, struct chat_message);
	if (!out->messages)
		return api_no_memory(&t->x);
	if (from && str_eq_c(p->messages[0].role, "system"))
		out->messages[n++] = p->messages[0];
	for (size_t i = from; i < p->n_messages; i++)
		out->messages[n++] = p->messages[i];
	out->n_messages = n;
	return OK;
}

static enum err fits(struct turn *t, size_t from, size_t limit, bool *yes)
{
	struct chat_params p;
	struct tokens ids = {0};
	enum err e = cut(t, from, &p);
	if (e)
		return e;
	struct chat_request r = api_chat_request(&p, t->who, t->cancel);
	e = chat_prompt_tokens(t->c, t->ep, &r, &ids, &t->x.et);
	if (e)
		return api_fail_from(&t->x, e, "input");
	*yes = ids.n <= limit;
	tokens_free(&ids);
	return OK;
}

/* Where turns begin: with what a user says. */
static size_t turns(const struct chat_params *p, size_t *at)
{
	size_t n = 0;
	at[n++] = 0;
	for (size_t i = 0, seen = 0; i < p->n_messages; i++) {
		bool user = str_eq_c(p->messages[i].role, "user");
		if (user && seen++)
			at[n++] = i;
	}
	return n;
}

static enum err truncate_to(struct turn *t, const size_t *at, size_t n, size_t limit)
{
	struct chat_params p;
	size_t low = 0, high = n - 1; /* the last turn stays: if it does not fit, that is said */
	bool yes = false;
	enum err e = fits(t, 0, limit, &yes);
	if (e || yes)
		return e;
	while (low < high && !e) {
		size_t mid = (low + high) / 2;
		e = fits(t, at[mid], limit, &yes);
		if (yes)
			high = mid;
		else
			low = mid + 1;
	}
	e = e ? e : cut(t, at[low], &p);
	if (e)
		return e;
	t->r.dropped = (int64_t)(t->p.chat.n_messages - p.n_messages);
	t->p.chat.messages = p.messages;
	t->p.chat.n_messages = p.n_messages;
	run_i64(t->run, "dropped_messages", t->r.dropped);
	return OK;
}

/* "auto": whole turns are left out, the oldest first, until there is room for an answer. */
static enum err truncate(struct turn *t)
{
	if (!t->p.truncate)
		return OK;
	if (!endpoint_generator(t->ep))
		return api_fail(&t->x, ERR_INVALID, "unsupported_value", "truncation",
			"truncation: %.*s is a remote provider, whose tokens are not known here: "
			"only \"disabled\" is possible",
			STR_FMT(endpoint_name(t->ep)));
	size_t context = generator_context(endpoint_generator(t->ep));
	size_t room = t->p.chat.gen.max_tokens ? t->p.chat.gen.max_tokens : context / 8;
	size_t *at = arena_array_of(t->a, t->p.chat.n_messages + 1, size_t);
	if (!at)
		return api_no_memory(&t->x);
	return truncate_to(t, at, turns(&t->p.chat, at), context - MIN(room, context / 2));
}

/* ---- the answer ---- */

static enum err begin(struct turn *t)
{
	if (t->begun)
		return OK;
	t->begun = true;
	return t->on_begin ? t->on_begin(t) : OK;
}

static bool on_event(void *ctx, const struct chat_event *ev)
{
	struct turn *t = ctx;
	return !begin(t) && !answer_event(&t->answer, ev);
}

static void on_provider(void *ctx, struct str provider, unsigned attempts)
{
	struct turn *t = ctx;
	if (t->on_provider)
		t->on_provider(t->ctx, provider, attempts);
}

static enum err write_usage(struct turn *t)
{
	const struct chat_result *r = &t->res;
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_ki64(&w, "input_tokens", r->prompt_tokens);
	jw_key(&w, "input_tokens_details");
	jw_obj(&w);
	jw_ki64(&w, "cached_tokens", r->cached_tokens);
	jw_ki64(&w, "cache_write_tokens", 0);
	jw_end(&w);
	jw_ki64(&w, "output_tokens", r->completion_tokens);
	jw_key(&w, "output_tokens_details");
	jw_obj(&w);
	jw_ki64(&w, "reasoning_tokens", r->reasoning_tokens);
	jw_end(&w);
	jw_ki64(&w, "total_tokens", (int64_t)r->prompt_tokens + r->completion_tokens);
	jw_end(&w);
	t->r.usage = jw_done(&w) ? arena_str(t->a, buf_str(&b)) : (struct str){0};
	buf_free(&b);
	return t->r.usage.p ? OK : api_no_memory(&t->x);
}

static enum err ended(struct turn *t)
{
	bool cut_off = t->res.finish == CHAT_LENGTH, filtered = t->res.finish == CHAT_FILTERED;
	enum err e = answer_end(&t->answer, cut_off || filtered);
	if (e)
		return api_fail(&t->x, e, NULL, NULL, "%s",
			e == ERR_CANCELLED ? "the client went away" : "no memory for the answer");
	t->r.status = cut_off || filtered ? "incomplete" : "completed";
	t->r.incomplete = cut_off ? S("max_output_tokens") : filtered ? S("content_filter") : S("");
	return write_usage(t);
}

/* The turn as a chat, which needs nothing that is stored: `croft replay` asks that again. */
static void note_request(struct turn *t, const struct chat_request *r)
{
	struct buf b = {0};
	struct errtext et;
	struct span *s = span_begin(t->run, NULL, "request", "request");
	if (!remote_chat_json(endpoint_name(t->ep), r, &b, &et))
		span_json(s, "input", buf_str(&b));
	span_end(s, OK, NULL);
	buf_free(&b);
}

static enum err run_model(struct turn *t)
{
	struct chat_request r = api_chat_request(&t->p.chat, t->who, t->cancel);
	note_request(t, &r);
	/* without a listener, a provider that breaks off in the middle can be asked again */
	if (t->answer.emit || r.top_logprobs >= 0)
		r.on_event = on_event;
	r.on_provider = on_provider;
	r.ctx = t;
	t->answer.top_logprobs = r.top_logprobs;
	enum err e = OK;
	do
		e = chat_run(t->c, t->ep, t->run, &r, &t->res, &t->x.et);
	while (e == ERR_BUSY && t->on_busy && t->on_busy(t));
	if (e == ERR_CANCELLED && t->answer.e && t->answer.e != ERR_CANCELLED)
		return api_fail(&t->x, t->answer.e, NULL, NULL, "no memory for the answer");
	if (e)
		return api_fail_from(&t->x, e, "input");
	e = begin(t);
	if (!e && !r.on_event)
		e = answer_result(&t->answer, &t->res);
	return e ? api_fail(&t->x, e, NULL, NULL, "the client went away") : ended(t);
}

static void note_run(struct turn *t)
{
	const struct chat_result *r = &t->res;
	if (t->ep)
		run_text(t->run, "model", endpoint_name(t->ep));
	if (t->p.chat.gen.format.kind)
		run_text(t->run, "held_to", str_c(t->p.chat.gen.format.param));
	run_text(t->run, "status", str_c(t->r.status));
	if (t->p.chat.last_user.n)
		run_text(t->run, "input", t->p.chat.last_user);
	if (r->text.n)
		run_text(t->run, "output", buf_str(&r->text));
	run_i64(t->run, "prompt_tokens", r->prompt_tokens);
	run_i64(t->run, "completion_tokens", r->completion_tokens);
	run_f64(t->run, "queued_ms", (double)r->queued_ns / 1e6);
	run_f64(t->run, "prompt_ms", (double)r->prompt_ns / 1e6);
	run_f64(t->run, "decode_ms", (double)r->decode_ns / 1e6);
	run_f64(t->run, "first_token_ms", (double)r->first_token_ns / 1e6);
}

enum err turn_answer(struct turn *t)
{
	struct buf fixed = {0};
	enum err e = find_model(t);
	if (!e) {
		t->r.model = arena_str(t->a, endpoint_name(t->ep));
		response_fixed(&t->p, t->r.model, &fixed);
		t->r.fixed = fixed.err ? (struct str){0} : arena_str(t->a, buf_str(&fixed));
		e = t->r.fixed.p ? make_messages(t) : api_no_memory(&t->x);
	}
	buf_free(&fixed);
	e = e ? e : turn_search(t);
	e = e ? e : truncate(t);
	if (!e && (t->early || t->search))
		e = begin(t);
	e = e ? e : turn_tell(t);
	e = e ? e : run_model(t);
	t->r.ended_ms = clock_unix_ms();
	if (e)
		turn_fail(t, e);
	note_run(t);
	return e;
}

enum err turn_count(struct turn *t, size_t *tokens)
{
	struct tokens ids = {0};
	enum err e = find_model(t);
	e = e ? e : make_messages(t);
	e = e ? e : turn_search(t);
	e = e ? e : truncate(t);
	if (e)
		return e;
	struct chat_request r = api_chat_request(&t->p.chat, t->who, t->cancel);
	e = chat_prompt_tokens(t->c, t->ep, &r, &ids, &t->x.et);
	if (e)
		return api_fail_from(&t->x, e, "input");
	*tokens = ids.n;
	tokens_free(&ids);
	return OK;
}

void turn_fail(struct turn *t, enum err e)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	t->r.status = e == ERR_CANCELLED ? "cancelled" : "failed";
	t->r.ended_ms = clock_unix_ms();
	/* what there is of it is kept; nobody is told more events of it */
	t->answer.emit = NULL;
	t->answer.e = OK;
	if (t->answer.open && answer_end(&t->answer, true))
		t->answer.e = OK;
	if (e == ERR_CANCELLED)
		return;
	jw_obj(&w);
	jw_kc(&w, "code",
		e == ERR_BUSY ? "rate_limit_exceeded"
		: e == ERR_INVALID || e == ERR_TOO_LARGE || e == ERR_UNSUPPORTED ||
				e == ERR_NOT_FOUND
			? "invalid_prompt"
			: "server_error");
	jw_kc(&w, "message", err_text(e, &t->x.et));
	jw_end(&w);
	t->r.error = jw_done(&w) ? arena_str(t->a, buf_str(&b)) : S("");
	if (!t->r.error.p)
		t->r.error = S("");
	buf_free(&b);
}

void turn_free(struct turn *t)
{
	answer_release(&t->answer);
	chat_result_free(&t->res);
	if (t->held)
		api_format_put(t->c, t->held);
	t->held = NULL;
	endpoint_put(t->ep);
	t->ep = NULL;
}
