/* POST /api/v1/ask: a request to a question, an answer to JSON or events. */
#include "rag/ask.h"
#include "rag/stages.h"

struct listener {
	struct croft *c;
	struct http_response *rs;
	struct buf b;
	struct jw w;
};

static const char *hex_of(struct id id, char out[ID_HEX + 1])
{
	id_hex(id, out);
	return out;
}

static struct jw *begin(struct listener *l)
{
	buf_clear(&l->b);
	l->w = (struct jw){.out = &l->b};
	jw_obj(&l->w);
	return &l->w;
}

static enum err send(struct listener *l, const char *event)
{
	jw_end(&l->w);
	return jw_done(&l->w) ? http_sse_event(l->rs, event, buf_str(&l->b)) : ERR_NOMEM;
}

static void write_passages(struct jw *w, struct croft *c, const struct ask_result *r)
{
	jw_key(w, "passages");
	jw_arr(w);
	for (size_t i = 0; i < r->got.n; i++) {
		jw_obj(w);
		jw_ki64(w, "n", (int64_t)i + 1);
		write_hit(w, c, &r->got.hits[i], r->got.terms, r->got.n_terms);
		jw_end(w);
	}
	jw_end(w);
}

static void write_best(struct jw *w, const char *key, const struct ask_result *r)
{
	char id[ID_HEX + 1];
	jw_key(w, key);
	jw_arr(w);
	for (size_t i = 0; i < r->n_best; i++) {
		const struct best_sentence *b = &r->best[i];
		const struct rag_hit *h = &r->got.hits[b->n - 1];
		jw_obj(w);
		jw_ki64(w, "n", b->n);
		jw_kstr(w, "text", b->text);
		jw_key(w, "score");
		jw_f32(w, b->score);
		jw_kc(w, "document", hex_of(h->document, id));
		jw_ki64(w, "page", h->page);
		jw_ki64(w, "from", b->from);
		jw_ki64(w, "to", b->to);
		jw_end(w);
	}
	jw_end(w);
}

static void write_citation(struct jw *w, const struct ask_result *r, const struct citation *t)
{
	char id[ID_HEX + 1];
	const struct rag_hit *h = &r->got.hits[t->nearest - 1];
	jw_obj(w);
	jw_ki64(w, "n", t->n);
	jw_kc(w, "status", cite_status_name(t->status));
	jw_kc(w, "added_by", t->by_check ? "check" : "model");
	jw_kc(w, "reason", t->reason);
	jw_ki64(w, "answer_from", t->answer_from);
	jw_ki64(w, "answer_to", t->answer_to);
	jw_kstr(w, "quote", t->quote);
	jw_key(w, "score");
	jw_f32(w, t->score);
	jw_kc(w, "document", hex_of(h->document, id));
	jw_kstr(w, "title", h->title);
	jw_kstr(w, "path", h->path);
	jw_ki64(w, "page", h->page);
	jw_ki64(w, "from", t->from);
	jw_ki64(w, "to", t->to);
	jw_end(w);
}

static void write_source(struct jw *w, const struct ask_result *r, uint32_t n, struct str quote,
	uint32_t from, uint32_t to)
{
	char id[ID_HEX + 1];
	const struct rag_hit *h = &r->got.hits[n - 1];
	jw_obj(w);
	jw_ki64(w, "n", n);
	jw_kc(w, "document", hex_of(h->document, id));
	jw_kstr(w, "title", h->title);
	jw_kstr(w, "path", h->path);
	jw_ki64(w, "page", h->page);
	jw_kstr(w, "heading_path", h->heading_path);
	jw_kstr(w, "quote", quote);
	jw_ki64(w, "from", from);
	jw_ki64(w, "to", to);
	jw_end(w);
}

/* Each passage that supports something, once, with the quote of its best citation. */
static void write_sources(struct jw *w, const struct ask_result *r)
{
	const struct checked *k = &r->checked;
	jw_key(w, "sources");
	jw_arr(w);
	for (uint32_t n = 1; n <= r->got.n; n++) {
		const struct citation *best = NULL;
		for (size_t i = 0; i < k->n; i++) {
			const struct citation *t = &k->citations[i];
			if (t->n == n && t->status != CITE_UNSUPPORTED &&
				(!best || t->score > best->score))
				best = t;
		}
		if (best)
			write_source(w, r, n, best->quote, best->from, best->to);
	}
	jw_end(w);
}

static void write_answer(struct jw *w, const struct ask_result *r, struct run *run)
{
	char id[ID_HEX + 1];
	jw_kstr(w, "answer", buf_str(&r->checked.answer));
	jw_kbool(w, "grounded", r->grounded);
	jw_key(w, "reason");
	r->reason.n ? jw_str(w, r->reason) : jw_null(w);
	jw_key(w, "support");
	jw_f32(w, r->support);
	jw_ki64(w, "lead_to", (int64_t)r->lead_to);
	jw_key(w, "generated"); /* what the model wrote, when the answer is not that */
	r->generated.p ? jw_str(w, r->generated) : jw_null(w);
	jw_key(w, "citations");
	jw_arr(w);
	for (size_t i = 0; i < r->checked.n; i++)
		write_citation(w, r, &r->checked.citations[i]);
	jw_end(w);
	write_sources(w, r);
	write_best(w, "best", r);
	jw_key(w, "usage");
	jw_obj(w);
	jw_ki64(w, "prompt_tokens", r->prompt_tokens);
	jw_ki64(w, "completion_tokens", r->completion_tokens);
	jw_ki64(w, "passages_used", (int64_t)r->used);
	jw_end(w);
	jw_key(w, "timings");
	jw_obj(w);
	jw_kf64(w, "retrieve_ms", r->retrieve_ms);
	jw_kf64(w, "prompt_ms", r->prompt_ms);
	jw_kf64(w, "decode_ms", r->decode_ms);
	jw_kf64(w, "check_ms", r->check_ms);
	jw_kf64(w, "total_ms", r->total_ms);
	jw_end(w);
	trail_members(w, r->got.trail);
	docset_members(w, &r->got.set);
	jw_kstr(w, "model", r->model);
	jw_kc(w, "run", hex_of(run_id(run), id));
}

static enum err send_passages(void *ctx, const struct ask_result *r)
{
	struct listener *l = ctx;
	write_passages(begin(l), l->c, r);
	return send(l, "passages");
}

static enum err send_best(void *ctx, const struct ask_result *r)
{
	struct listener *l = ctx;
	write_best(begin(l), "sentences", r);
	return send(l, "best");
}

static enum err send_token(void *ctx, struct str text)
{
	struct listener *l = ctx;
	jw_kstr(begin(l), "text", text);
	return send(l, "token");
}

static void send_error(struct listener *l, enum err e, const struct errtext *et)
{
	struct jw *w = begin(l);
	jw_key(w, "error");
	jw_obj(w);
	jw_kc(w, "code", err_word(e));
	jw_kc(w, "message", err_text(e, et));
	jw_kc(w, "type", err_http(e) < 500 ? "invalid_request_error" : "server_error");
	jw_key(w, "param");
	jw_null(w);
	jw_end(w);
	(void)send(l, "error"); /* the client may have gone */
}

static enum err parse(
	struct croft *c, yyjson_val *o, struct ask_request *q, bool *stream, struct errtext *et)
{
	int64_t max = 0;
	*stream = true;
	enum err e = json_want_str(o, "question", &q->query.text, et);
	if (!e && !str_trim(q->query.text).n)
		e = err_set(et, ERR_INVALID, "'question' is empty");
	if (!e)
		e = json_want_str(o, "model", &q->model, et);
	if (!e)
		e = rag_query_parse(c, o, &q->query, et);
	if (!e)
		e = json_want_f64(o, "temperature", 0, 2, &q->temperature, et);
	if (!e)
		e = json_want_i64(o, "seed", 0, INT64_MAX, &q->seed, et);
	if (!e)
		e = json_want_i64(o, "max_tokens", 1, 1 << 20, &max, et);
	q->max_tokens = max;
	if (!e)
		e = json_want_bool(o, "stream", stream, et);
	return e;
}

static void note_run(struct run *run, const struct ask_result *r)
{
	docset_span(run, &r->got.set);
	run_text(run, "answer", buf_str(&r->checked.answer));
	run_i64(run, "grounded", r->grounded);
	if (r->reason.n)
		run_text(run, "reason", r->reason);
	run_f64(run, "support", r->support);
	run_i64(run, "tokens.prompt", r->prompt_tokens);
	run_i64(run, "tokens.completion", r->completion_tokens);
	if (r->model.n)
		run_text(run, "model", r->model);
}

static void ask_now(struct croft *c, struct http_request *rq, struct http_response *rs,
	const struct ask_request *q, bool stream)
{
	char id[ID_HEX + 1];
	struct errtext et = {0};
	struct listener l = {.c = c, .rs = rs};
	struct ask_events ev = {.ctx = &l};
	struct ask_result *r = arena_new_of(rq->arena, struct ask_result);
	struct run *run = run_begin(c, project_of(rq), "ask", q->query.text);
	enum err e = r ? OK : err_set(&et, ERR_NOMEM, "no memory to answer");
	if (!e && stream) {
		ev.on_passages = send_passages;
		ev.on_best = send_best;
		ev.on_token = send_token;
		e = http_sse_begin(rs);
		jw_kc(begin(&l), "run", hex_of(run_id(run), id));
		if (!e)
			e = send(&l, "run");
	}
	if (!e)
		e = rag_ask(c, q, run, rq->arena, &ev, r, rq->cancel, &et);
	if (!e)
		note_run(run, r);
	if (e && stream && http_replied(rs)) {
		send_error(&l, e, &et);
	} else if (e) {
		http_reply_error(rs, e, &et);
	} else {
		struct jw *w = begin(&l);
		write_answer(w, r, run);
		if (stream) {
			e = send(&l, "answer");
		} else {
			write_passages(w, c, r);
			jw_end(w);
			http_reply_json(rs, 200, w);
		}
	}
	run_end(run, e, &et);
	buf_free(&l.b);
}

void post_ask(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	yyjson_doc *doc = NULL;
	struct ask_request q = {.query.project = project_of(rq), .query.who = rq->who};
	bool stream;
	enum err e = json_parse(rq->body, &doc, &et);
	if (!e)
		e = parse(c, yyjson_doc_get_root(doc), &q, &stream, &et);
	if (!e && rag_stages_wanted(yyjson_doc_get_root(doc), &q.query.stages))
		e = need(rq, PERM_MODEL_USE, &et);
	if (e)
		http_reply_error(rs, e, &et);
	else
		ask_now(c, rq, rs, &q, stream);
	yyjson_doc_free(doc);
}
