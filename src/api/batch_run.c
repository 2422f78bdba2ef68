/* Answers the lines of batches, through the handlers of the endpoints themselves.
 *
 * A worker has one batch at a time and answers its lines one after the other; the setting
 * batch.workers bounds how many lines compete with live requests. An endpoint that is too busy is
 * asked again later. */
#include "api/batch_int.h"
#include "base/clock.h"
#include "store/worker.h"

enum { BUSY_MS = 500, RETRY_MS = 2000 };

/* ---- one line ---- */

struct reply {
	int status;
	struct buf body;
};

static void on_head(void *ctx, int status, const struct http_pair *headers, size_t n)
{
	((struct reply *)ctx)->status = status;
}

static enum err on_data(void *ctx, struct str data)
{
	struct reply *r = ctx;
	buf_adds(&r->body, data);
	return r->body.err;
}

static void write_line(struct jw *w, struct str custom_id, const struct reply *r, const char *code,
	const char *why)
{
	char hex[ID_HEX + 1];
	id_hex(id_new(), hex);
	jw_obj(w);
	jw_key(w, "id");
	jw_fmt(w, "batch_req_%s", hex);
	jw_kstr(w, "custom_id", custom_id);
	jw_key(w, "response");
	if (r) {
		jw_obj(w);
		jw_ki64(w, "status_code", r->status);
		jw_kc(w, "request_id", hex);
		jw_key(w, "body");
		jw_raw(w, buf_str(&r->body));
		jw_end(w);
	} else {
		jw_null(w);
	}
	jw_key(w, "error");
	if (code) {
		jw_obj(w);
		jw_kc(w, "code", code);
		jw_kc(w, "message", why);
		jw_end(w);
	} else {
		jw_null(w);
	}
	jw_end(w);
}

static enum err ask(
	struct work *k, const struct batch *b, struct str body, struct reply *r, struct errtext *et)
{
	const struct http_pair headers[] = {{S("content-type"), S("application/json")},
		{S("x-croft-project"), b->project},
		{S("x-croft-priority"), S("10")}}; /* after whoever waits for an answer */
	const struct http_local to = {on_head, on_data, r};
	do {
		r->status = 0;
		buf_clear(&r->body);
		enum err e = http_local_run(croft_handle, k->ctx, HTTP_POST, b->endpoint, headers,
			ARRAY_LEN(headers), body, k->cancel, &to, et);
		if (e)
			return e;
		if (r->status != 429 && r->status != 503)
			return OK;
	} while (clock_unix_ms() < b->expires_ms && work_nap(k, BUSY_MS));
	return err_set(et, ERR_CANCELLED, "the endpoint was busy");
}

static enum err answer(struct work *k, const struct batch *b, struct str text,
	const struct batch_line *l, size_t number, struct errtext *et)
{
	struct buf body = {0}, line = {0};
	struct jw w = {.out = &body}, out = {.out = &line};
	struct reply r = {.body = {.max = 256 << 20}};
	yyjson_doc *doc, *parsed = NULL;
	enum err e = json_parse(str_sub(text, l->at, l->at + l->n), &doc, et);
	if (e)
		return e;
	jw_val(&w, yyjson_obj_get(yyjson_doc_get_root(doc), "body"));
	e = jw_done(&w) ? ask(k, b, buf_str(&body), &r, et)
			: err_set(et, ERR_NOMEM, "no memory for a request");
	/* half an answer of a server that stops is none */
	if (!e && cancelled(k->cancel))
		e = err_set(et, ERR_CANCELLED, "the server stops");
	if (!e)
		e = json_parse(buf_str(&r.body), &parsed, et);
	if (!e) {
		write_line(&out, l->custom_id, &r, NULL, NULL);
		e = jw_done(&out) ? batch_answer(k->ctx, b->id, (int64_t)number, r.status < 400,
					    buf_str(&line), et)
				  : err_set(et, ERR_NOMEM, "no memory for an answer");
	}
	yyjson_doc_free(parsed);
	yyjson_doc_free(doc);
	buf_free(&body);
	buf_free(&line);
	buf_free(&r.body);
	return e;
}

/* ---- the end ---- */

struct sink {
	struct croft *c;
	struct blob_writer *w; /* NULL: nothing was written */
	struct errtext *et;
};

static enum err put_line(void *ctx, struct str line)
{
	struct sink *s = ctx;
	enum err e = s->w ? OK : blob_writer_open(croft_blobs(s->c), &s->w, s->et);
	if (!e)
		e = blob_writer_add(s->w, line, s->et);
	return e ? e : blob_writer_add(s->w, S("\n"), s->et);
}

static enum err close_sink(
	struct sink *s, enum err e, const char *name, struct file_row *f, struct errtext *et)
{
	uint64_t size = 0;
	if (!s->w)
		return e;
	if (e) {
		blob_writer_drop(s->w);
		return e;
	}
	*f = (struct file_row){.id = id_new(),
		.name = str_c(name),
		.purpose = S("batch_output"),
		.created_ms = clock_unix_ms()};
	e = blob_writer_finish(s->w, NULL, f->blob, &size, et);
	f->bytes = (int64_t)size;
	return e;
}

/* Those that nobody answered in time. */
static enum err put_expired(
	struct sink *s, const struct batch_line *v, const bool *answered, size_t n)
{
	struct buf line = {0};
	enum err e = OK;
	for (size_t i = 0; i < n && !e; i++) {
		if (answered[i])
			continue;
		buf_clear(&line);
		struct jw w = {.out = &line};
		write_line(&w, v[i].custom_id, NULL, "batch_expired",
			"this request could not be answered before the completion window ended");
		e = put_line(s, buf_str(&line));
	}
	buf_free(&line);
	return e;
}

static enum err finish(struct work *k, struct batch *b, const char *status,
	const struct batch_line *v, const bool *answered, size_t n, struct errtext *et)
{
	struct croft *c = k->ctx;
	struct sink good = {.c = c, .et = et}, bad = {.c = c, .et = et};
	struct file_row output = {0}, errors = {0};
	b->status = str_c(status);
	b->finalizing_ms = clock_unix_ms();
	enum err e = batch_replies(c, b->id, true, put_line, &good, et);
	e = close_sink(&good, e, "output.jsonl", &output, et);
	if (!e)
		e = batch_replies(c, b->id, false, put_line, &bad, et);
	if (!e && str_eq_c(b->status, "expired"))
		e = put_expired(&bad, v, answered, n);
	e = close_sink(&bad, e, "errors.jsonl", &errors, et);
	return e ? e : batch_end(c, b, &k->job, &output, &errors, et);
}

/* ---- a batch ---- */

static enum err go(struct work *k, struct batch *b, struct str text, struct batch_line *v, size_t n,
	struct errtext *et)
{
	struct croft *c = k->ctx;
	bool *answered = arena_array_of(k->a, n + 1, bool);
	const char *status = "completed";
	if (!answered)
		return err_set(et, ERR_NOMEM, "no memory for a batch");
	enum err e = batch_started(c, b->id, (int64_t)n, et);
	e = e ? e : batch_answered(c, b->id, answered, n, et);
	for (size_t i = 0; i < n && !e; i++) {
		struct arena *mine = arena_new(0);
		struct batch now = {0};
		e = mine ? batch_get(c, b->project, b->id, mine, &now, et)
			 : err_set(et, ERR_NOMEM, "no memory for a batch");
		bool cancelling = !e && str_eq_c(now.status, "cancelling");
		arena_free(mine);
		if (!e && cancelling)
			status = "cancelled";
		else if (!e && clock_unix_ms() >= b->expires_ms)
			status = "expired";
		else if (!e && !answered[i]) {
			e = answer(k, b, text, &v[i], i, et);
			answered[i] = !e;
			continue;
		} else
			continue;
		break;
	}
	if (!e) {
		struct batch now;
		e = batch_get(c, b->project, b->id, k->a, &now, et);
		return e ? e : finish(k, &now, status, v, answered, n, et);
	}
	return e;
}

static enum err fail_with(struct work *k, struct batch *b, struct str problems, struct errtext *et)
{
	struct file_row none = {0};
	b->status = S("failed");
	b->problems = problems;
	return batch_end(k->ctx, b, &k->job, &none, &none, et);
}

static enum err run_batch(struct work *k, struct errtext *et)
{
	struct croft *c = k->ctx;
	struct id id;
	struct batch b;
	struct file_row file;
	struct os_map map;
	struct batch_line *v = NULL;
	struct buf problems = {0};
	size_t n = 0;
	if (!id_parse(k->job.body, &id))
		return queue_done_now(k->db, &k->job, et);
	enum err e = batch_get(c, (struct str){0}, id, k->a, &b, et);
	if (e)
		return e;
	e = files_get(c, b.project, b.input, k->a, &file, et);
	if (e == ERR_NOT_FOUND)
		return fail_with(k, &b,
			S("[{\"code\":\"file_not_found\",\"message\":\"the input file was removed "
			  "or has expired\",\"param\":\"input_file_id\",\"line\":null}]"),
			et);
	e = e ? e : blob_get(croft_blobs(c), file.blob, false, &map, et);
	if (e)
		return e;
	struct str text = str_mk(map.p, map.n);
	e = batch_input(text, b.endpoint, k->a, &v, &n, &problems, et);
	if (!e)
		e = n ? go(k, &b, text, v, n, et) : fail_with(k, &b, buf_str(&problems), et);
	buf_free(&problems);
	os_unmap(&map);
	return e;
}

void batch_wake(struct croft *c)
{
	workers_wake(croft_state(c, &batch_module));
}

enum err batch_start(struct croft *c, struct errtext *et)
{
	struct workers *s;
	enum err e = workers_start(croft_db(c),
		&(struct worker_options){.queue = "batch",
			.name = "batch",
			.threads = (unsigned)setting_int(c, "batch.workers"),
			.retry_ms = RETRY_MS,
			.run = run_batch,
			.ctx = c},
		&s, et);
	if (!e)
		croft_set_state(c, &batch_module, s);
	return e;
}

void batch_stop(struct croft *c)
{
	workers_stop(croft_state(c, &batch_module));
	croft_set_state(c, &batch_module, NULL);
}
