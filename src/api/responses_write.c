/* A response as an object, and as events while it is written.
 *
 * The order of events, exactly: response.created, response.in_progress; for each item
 * output_item.added, then for a message or thoughts content_part.added, deltas, the text's done,
 * content_part.done, for a call deltas of its arguments and their done, then output_item.done; at
 * last response.completed, .incomplete or .failed. All have `type` and `sequence_number`, which
 * counts from 0 without a gap. */
#include "api/responses.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>

bool response_over(const struct response *r)
{
	struct str s = str_c(r->status);
	return !str_eq_c(s, "queued") && !str_eq_c(s, "in_progress");
}

const char *response_end_type(const struct response *r)
{
	struct str s = str_c(r->status);
	return str_eq_c(s, "completed") ? "response.completed"
	       : str_eq_c(s, "failed")  ? "response.failed"
					: "response.incomplete";
}

/* ---- the object ---- */

static void key_json(struct jw *w, const char *key, struct str json)
{
	jw_key(w, key);
	if (json.n)
		jw_raw(w, json);
	else
		jw_null(w);
}

static void write_incomplete(struct jw *w, const struct response *r)
{
	jw_key(w, "incomplete_details");
	if (!r->incomplete.n) {
		jw_null(w);
		return;
	}
	jw_obj(w);
	jw_kstr(w, "reason", r->incomplete);
	jw_end(w);
}

static void write_fixed(struct jw *w, struct str json)
{
	yyjson_doc *doc;
	yyjson_val *k, *v;
	size_t i, n;
	if (json_parse(json, &doc, NULL)) {
		w->bad = true;
		return;
	}
	yyjson_obj_foreach(yyjson_doc_get_root(doc), i, n, k, v)
	{
		jw_key_str(w, json_val_str(k));
		jw_val(w, v);
	}
	yyjson_doc_free(doc);
}

/* What is Croft's own: the run that it is, and what truncation left out. */
static void write_own(struct jw *w, const struct response *r)
{
	char hex[ID_HEX + 1];
	id_hex(r->run, hex);
	jw_key(w, "croft");
	jw_obj(w);
	jw_kc(w, "run", id_is_zero(r->run) ? NULL : hex);
	if (r->dropped)
		jw_ki64(w, "dropped_messages", r->dropped);
	jw_end(w);
}

void response_write(
	struct jw *w, const struct response *r, const struct item *items, size_t n_items)
{
	char id[RESPONSE_ID + 1];
	response_id(r->id, id);
	jw_obj(w);
	jw_kc(w, "id", id);
	jw_kc(w, "object", "response");
	jw_ki64(w, "created_at", r->created_ms / 1000);
	jw_kc(w, "status", r->status);
	jw_kbool(w, "background", r->background);
	jw_key(w, "completed_at");
	if (str_eq_c(str_c(r->status), "completed"))
		jw_i64(w, r->ended_ms / 1000);
	else
		jw_null(w);
	key_json(w, "error", r->error);
	write_incomplete(w, r);
	write_fixed(w, r->fixed);
	jw_key(w, "output");
	jw_arr(w);
	for (size_t i = 0; i < n_items; i++)
		jw_raw(w, items[i].json);
	jw_end(w);
	key_json(w, "usage", r->usage);
	write_own(w, r);
	jw_end(w);
}

/* ---- events ---- */

static enum err fail(struct answer *w, enum err e)
{
	return w->e = w->e ? w->e : e;
}

static struct jw begin_event(struct answer *w, const char *type)
{
	buf_clear(&w->event);
	struct jw j = {.out = &w->event};
	jw_obj(&j);
	jw_kc(&j, "type", type);
	jw_ki64(&j, "sequence_number", (int64_t)w->sequence);
	return j;
}

static enum err send(struct answer *w, struct jw *j, const char *type)
{
	jw_end(j);
	if (!jw_done(j))
		return fail(w, ERR_NOMEM);
	w->sequence++;
	return w->emit(w->ctx, str_c(type), buf_str(&w->event)) ? w->e : fail(w, ERR_CANCELLED);
}

enum err answer_state(struct answer *w, const char *type)
{
	if (!w->emit || w->e)
		return w->e;
	struct jw j = begin_event(w, type);
	jw_key(&j, "response");
	response_write(&j, w->r, w->items, w->n_items);
	return send(w, &j, type);
}

static struct jw begin_part_event(struct answer *w, const char *type)
{
	struct jw j = begin_event(w, type);
	jw_kc(&j, "item_id", w->id);
	jw_ki64(&j, "output_index", (int64_t)w->n_items);
	if (w->open != PART_CALL)
		jw_ki64(&j, "content_index", 0);
	return j;
}

/* ---- items ---- */

static const char *part_type(const struct answer *w)
{
	return w->open == PART_TEXT ? "output_text" : "reasoning_text";
}

static void write_logprobs(struct answer *w, struct jw *j)
{
	struct buf list = {0};
	buf_addf(&list, "[%.*s]", STR_FMT(buf_str(&w->logprobs)));
	jw_key(j, "logprobs");
	jw_raw(j, buf_str(&list));
	if (list.err)
		fail(w, ERR_NOMEM);
	buf_free(&list);
}

static void write_annotations(struct answer *w, struct jw *j, bool whole)
{
	struct str rest = whole ? buf_str(&w->annotations) : S(""), line;
	jw_arr(j);
	while (rest.n && str_next(&rest, '\n', &line))
		if (line.n)
			jw_raw(j, line);
	jw_end(j);
}

static void write_part(struct answer *w, struct jw *j, bool whole)
{
	jw_obj(j);
	jw_kc(j, "type", part_type(w));
	jw_kstr(j, "text", whole ? buf_str(&w->text) : S(""));
	if (w->open == PART_TEXT) {
		jw_key(j, "annotations");
		write_annotations(w, j, whole);
		if (whole)
			write_logprobs(w, j);
		else
			jw_key(j, "logprobs"), jw_arr(j), jw_end(j);
	}
	jw_end(j);
}

/* As it is added (status in_progress, nothing in it) or done. */
static void write_item(struct answer *w, struct jw *j, const char *status, bool whole)
{
	jw_obj(j);
	jw_kc(j, "id", w->id);
	jw_kc(j, "type",
		w->open == PART_TEXT        ? "message"
		: w->open == PART_REASONING ? "reasoning"
					    : "function_call");
	jw_kc(j, "status", status);
	if (w->open == PART_CALL) {
		jw_kstr(j, "call_id", buf_str(&w->call_id));
		jw_kstr(j, "name", buf_str(&w->name));
		jw_kstr(j, "arguments", whole ? buf_str(&w->text) : S(""));
	} else {
		if (w->open == PART_TEXT)
			jw_kc(j, "role", "assistant");
		else
			jw_key(j, "summary"), jw_arr(j), jw_end(j);
		jw_key(j, "content");
		jw_arr(j);
		if (whole)
			write_part(w, j, true);
		jw_end(j);
	}
	jw_end(j);
}

static enum err send_item(struct answer *w, const char *type, const char *status, bool whole)
{
	struct jw j = begin_event(w, type);
	jw_ki64(&j, "output_index", (int64_t)w->n_items);
	jw_key(&j, "item");
	write_item(w, &j, status, whole);
	return send(w, &j, type);
}

static enum err send_part(struct answer *w, const char *type, bool whole)
{
	struct jw j = begin_part_event(w, type);
	jw_key(&j, "part");
	write_part(w, &j, whole);
	return send(w, &j, type);
}

/* The same again when the answer is written again. */
static void output_id(struct answer *w, const char *prefix)
{
	char hex[SHA256_HEX + 1], text[RESPONSE_ID + 1 + 24];
	response_id(w->r->id, text);
	snprintf(text + RESPONSE_ID, sizeof text - RESPONSE_ID, " %zu", w->n_items);
	sha256_hex_of(str_c(text), hex);
	snprintf(w->id, sizeof w->id, "%s_%.32s", prefix, hex);
}

static enum err begin_item(struct answer *w, int kind, const struct chat_event *call)
{
	static const char *const prefixes[] = {"", "msg", "rs", "fc"};
	output_id(w, prefixes[kind]);
	buf_clear(&w->text);
	buf_clear(&w->logprobs);
	buf_clear(&w->call_id);
	buf_clear(&w->name);
	buf_clear(&w->marked);
	buf_clear(&w->annotations);
	if (w->marks)
		*w->marks = (struct marks){.most = w->marks->most};
	if (call) {
		buf_adds(&w->call_id, call->id);
		buf_adds(&w->name, call->name);
	}
	w->open = kind;
	if (!w->emit)
		return w->e;
	enum err e = send_item(w, "response.output_item.added", "in_progress", false);
	return e || kind == PART_CALL ? e : send_part(w, "response.content_part.added", false);
}

static enum err send_done(struct answer *w)
{
	const char *type = w->open == PART_TEXT        ? "response.output_text.done"
			   : w->open == PART_REASONING ? "response.reasoning_text.done"
						       : "response.function_call_arguments.done";
	struct jw j = begin_part_event(w, type);
	if (w->open == PART_CALL)
		jw_kstr(&j, "name", buf_str(&w->name));
	jw_kstr(&j, w->open == PART_CALL ? "arguments" : "text", buf_str(&w->text));
	if (w->open == PART_TEXT)
		write_logprobs(w, &j);
	enum err e = send(w, &j, type);
	return e || w->open == PART_CALL ? e : send_part(w, "response.content_part.done", true);
}

static struct item *room(struct answer *w)
{
	if (w->n_items == w->cap) {
		size_t cap = w->cap ? 2 * w->cap : 8;
		struct item *more = realloc(w->items, cap * sizeof *more);
		if (!more)
			return NULL;
		w->items = more;
		w->cap = cap;
	}
	return &w->items[w->n_items];
}

static enum err keep_item(struct answer *w, const char *status)
{
	struct item *it = room(w);
	struct buf b = {0};
	struct jw j = {.out = &b};
	if (!it)
		return fail(w, ERR_NOMEM);
	write_item(w, &j, status, true);
	*it = (struct item){.id = arena_str(w->a, str_c(w->id))};
	if (jw_done(&j))
		it->json = arena_str(w->a, buf_str(&b));
	buf_free(&b);
	if (!it->id.p || !it->json.p)
		return fail(w, ERR_NOMEM);
	w->n_items++;
	return w->e;
}

static enum err send_delta(struct answer *w, struct str text, struct str entry)
{
	static const char type[] = "response.output_text.delta";
	struct jw j = begin_part_event(w, type);
	jw_kstr(&j, "delta", text);
	jw_key(&j, "logprobs");
	jw_arr(&j);
	if (entry.n)
		jw_raw(&j, entry);
	jw_end(&j);
	return send(w, &j, type);
}

static enum err send_annotations(struct answer *w)
{
	static const char type[] = "response.output_text.annotation.added";
	struct str rest = buf_str(&w->annotations), line;
	enum err e = w->e;
	for (int64_t i = 0; !e && rest.n && str_next(&rest, '\n', &line);) {
		if (!line.n)
			continue;
		struct jw j = begin_part_event(w, type);
		jw_ki64(&j, "annotation_index", i++);
		jw_key(&j, "annotation");
		jw_raw(&j, line);
		e = send(w, &j, type);
	}
	return e;
}

/* What was held back as a marker that it is not, and what the text rests on. */
static enum err end_text(struct answer *w)
{
	struct buf more = {0};
	enum err e = w->e;
	if (w->open != PART_TEXT || !w->marks)
		return e;
	marks_end(w->marks, &more);
	buf_adds(&w->text, buf_str(&more));
	if (!e && more.n && w->emit)
		e = send_delta(w, buf_str(&more), S(""));
	buf_free(&more);
	if (!e)
		w->annotate(
			w->annotate_ctx, buf_str(&w->marked), buf_str(&w->text), &w->annotations);
	return e || !w->emit ? e : send_annotations(w);
}

static enum err end_item(struct answer *w, const char *status)
{
	enum err e = w->e;
	if (w->open == PART_NONE)
		return e;
	e = end_text(w);
	if (w->text.err || w->logprobs.err || w->call_id.err || w->name.err || w->marked.err ||
		w->annotations.err)
		e = fail(w, ERR_NOMEM);
	if (!e && w->emit) {
		e = send_done(w);
		e = e ? e : send_item(w, "response.output_item.done", status, true);
	}
	e = e ? e : keep_item(w, status);
	w->open = PART_NONE;
	return e;
}

/* An item of the kind is open afterwards; a call always begins one. */
static enum err open_item(struct answer *w, int kind, const struct chat_event *call)
{
	if ((int)w->open == kind && !call)
		return w->e;
	enum err e = end_item(w, "completed");
	return e ? e : begin_item(w, kind, call);
}

/* ---- what is written ---- */

static enum err add_text(struct answer *w, struct str text, const struct gen_event *token)
{
	struct buf entry = {0};
	if (token && w->tk && w->top_logprobs >= 0)
		api_token_entry(w->tk, token, (uint32_t)w->top_logprobs, &entry);
	if (!text.n && !entry.n) {
		buf_free(&entry);
		return w->e;
	}
	enum err e = open_item(w, PART_TEXT, NULL);
	struct buf clean = {0};
	if (w->marks) {
		buf_adds(&w->marked, text);
		marks_add(w->marks, text, &clean);
		text = buf_str(&clean);
		if (clean.err)
			e = fail(w, ERR_NOMEM);
	}
	buf_adds(&w->text, text);
	if (entry.n && w->logprobs.n)
		buf_putc(&w->logprobs, ',');
	buf_adds(&w->logprobs, buf_str(&entry));
	if (!e && w->emit && (text.n || entry.n))
		e = send_delta(w, text, buf_str(&entry));
	buf_free(&clean);
	buf_free(&entry);
	return e;
}

static enum err add_delta(struct answer *w, const char *type, struct str text)
{
	buf_adds(&w->text, text);
	if (w->e || !w->emit)
		return w->e;
	struct jw j = begin_part_event(w, type);
	jw_kstr(&j, "delta", text);
	return send(w, &j, type);
}

enum err answer_event(struct answer *w, const struct chat_event *ev)
{
	enum err e = OK;
	switch (ev->kind) {
	case CHAT_TEXT:
		return add_text(w, ev->text, ev->token);
	case CHAT_REASONING:
		e = open_item(w, PART_REASONING, NULL);
		return e ? e : add_delta(w, "response.reasoning_text.delta", ev->text);
	case CHAT_CALL:
		return open_item(w, PART_CALL, ev);
	case CHAT_ARGUMENTS:
		return add_delta(w, "response.function_call_arguments.delta", ev->text);
	case CHAT_CALL_END:
		return end_item(w, "completed");
	}
	return w->e;
}

enum err answer_result(struct answer *w, const struct chat_result *r)
{
	struct chat_event ev = {.kind = CHAT_REASONING, .text = buf_str(&r->reasoning)};
	enum err e = r->reasoning.n ? answer_event(w, &ev) : OK;
	ev = (struct chat_event){.kind = CHAT_TEXT, .text = buf_str(&r->text)};
	e = e ? e : answer_event(w, &ev);
	for (size_t i = 0; i < r->n_calls && !e; i++) {
		const struct chat_call *call = &r->calls[i];
		ev = (struct chat_event){.kind = CHAT_CALL,
			.call = (unsigned)i,
			.id = buf_str(&call->id),
			.name = buf_str(&call->name)};
		e = answer_event(w, &ev);
		ev = (struct chat_event){.kind = CHAT_ARGUMENTS, .text = buf_str(&call->arguments)};
		e = e ? e : answer_event(w, &ev);
		if (i + 1 < r->n_calls)
			e = e ? e : end_item(w, "completed");
	}
	return e;
}

/* ---- a search before the answer ---- */

static void write_search(struct answer *w, struct jw *j, const struct str *queries, size_t n,
	const char *status, struct str results, struct str own)
{
	jw_obj(j);
	jw_kc(j, "id", w->id);
	jw_kc(j, "type", "file_search_call");
	jw_kc(j, "status", status);
	jw_key(j, "queries");
	jw_arr(j);
	for (size_t i = 0; i < n; i++)
		jw_str(j, queries[i]);
	jw_end(j);
	key_json(j, "results", results);
	if (own.n)
		key_json(j, "croft", own);
	jw_end(j);
}

static enum err send_search(struct answer *w, const char *type, struct str item)
{
	struct jw j = begin_event(w, type);
	if (!item.n)
		jw_kc(&j, "item_id", w->id);
	jw_ki64(&j, "output_index", (int64_t)w->n_items);
	if (item.n)
		key_json(&j, "item", item);
	return send(w, &j, type);
}

static enum err send_searched(struct answer *w, struct str begun, struct str done)
{
	static const char *const steps[] = {"response.file_search_call.in_progress",
		"response.file_search_call.searching", "response.file_search_call.completed"};
	enum err e = send_search(w, "response.output_item.added", begun);
	for (size_t i = 0; i < ARRAY_LEN(steps) && !e; i++)
		e = send_search(w, steps[i], S(""));
	return e ? e : send_search(w, "response.output_item.done", done);
}

enum err answer_search(
	struct answer *w, const struct str *queries, size_t n, struct str results, struct str own)
{
	struct buf begun = {0}, done = {0};
	struct jw b = {.out = &begun}, d = {.out = &done};
	struct item *it = room(w);
	output_id(w, "fs");
	write_search(w, &b, NULL, 0, "in_progress", S(""), S(""));
	write_search(w, &d, queries, n, "completed", results, own);
	if (!it || !jw_done(&b) || !jw_done(&d))
		fail(w, ERR_NOMEM);
	if (!w->e && w->emit)
		(void)send_searched(w, buf_str(&begun), buf_str(&done));
	if (it)
		*it = (struct item){.id = arena_str(w->a, str_c(w->id)),
			.json = arena_str(w->a, buf_str(&done))};
	if (it && it->id.p && it->json.p)
		w->n_before = ++w->n_items;
	else
		fail(w, ERR_NOMEM);
	buf_free(&begun);
	buf_free(&done);
	return w->e;
}

enum err answer_end(struct answer *w, bool cut)
{
	const char *status = cut ? "incomplete" : "completed";
	enum err e = OK;
	if (w->n_items == w->n_before && w->open == PART_NONE)
		e = open_item(w, PART_TEXT, NULL);
	return e ? e : end_item(w, status);
}

void answer_release(struct answer *w)
{
	buf_free(&w->text);
	buf_free(&w->logprobs);
	buf_free(&w->call_id);
	buf_free(&w->name);
	buf_free(&w->event);
	buf_free(&w->marked);
	buf_free(&w->annotations);
	free(w->items);
	w->items = NULL;
}
