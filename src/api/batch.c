/* /v1/batches: make, list, show and cancel. */
#include "api/api_int.h"
#include "api/batch_int.h"
#include "base/clock.h"

enum { WINDOW_MS = 24 * 3600 * 1000 };

static void key_id(struct jw *w, const char *key, struct id id)
{
	char text[FILE_ID + 1];
	file_id(id, text);
	jw_kc(w, key, id_is_zero(id) ? NULL : text);
}

static void key_time(struct jw *w, const char *key, int64_t ms)
{
	jw_key(w, key);
	if (ms)
		jw_i64(w, ms / 1000);
	else
		jw_null(w);
}

static int64_t ended(const struct batch *b, const char *status)
{
	return str_eq_c(b->status, status) ? b->ended_ms : 0;
}

static void write_batch(struct jw *w, const struct batch *b)
{
	char id[BATCH_ID + 1];
	batch_id(b->id, id);
	jw_obj(w);
	jw_kc(w, "id", id);
	jw_kc(w, "object", "batch");
	jw_kstr(w, "endpoint", b->endpoint);
	jw_key(w, "errors");
	if (b->problems.n) {
		jw_obj(w);
		jw_kc(w, "object", "list");
		jw_key(w, "data");
		jw_raw(w, b->problems);
		jw_end(w);
	} else {
		jw_null(w);
	}
	key_id(w, "input_file_id", b->input);
	jw_kc(w, "completion_window", "24h");
	jw_kstr(w, "status", b->status);
	key_id(w, "output_file_id", b->output);
	key_id(w, "error_file_id", b->errors);
	key_time(w, "created_at", b->created_ms);
	key_time(w, "in_progress_at", b->started_ms);
	key_time(w, "expires_at", b->expires_ms);
	key_time(w, "finalizing_at", b->finalizing_ms);
	key_time(w, "completed_at", ended(b, "completed"));
	key_time(w, "failed_at", ended(b, "failed"));
	key_time(w, "expired_at", ended(b, "expired"));
	key_time(w, "cancelling_at", b->cancelling_ms);
	key_time(w, "cancelled_at", ended(b, "cancelled"));
	jw_key(w, "request_counts");
	jw_obj(w);
	jw_ki64(w, "total", b->total);
	jw_ki64(w, "completed", b->completed);
	jw_ki64(w, "failed", b->failed);
	jw_end(w);
	jw_key(w, "metadata");
	jw_raw(w, b->metadata.n ? b->metadata : S("null"));
	jw_end(w);
}

static void reply(struct http_response *rs, const struct batch *b)
{
	struct buf out = {0};
	struct jw w = {.out = &out};
	write_batch(&w, b);
	http_reply_json(rs, 200, &w);
	buf_free(&out);
}

static enum err fail(struct api_error *x, enum err e, const char *param)
{
	struct errtext said = x->et;
	return api_fail(x, e, NULL, param, "%s", err_text(e, &said));
}

static enum err parse(yyjson_val *o, struct arena *a, struct batch *b, struct api_error *x)
{
	struct str endpoint = json_str(o, "endpoint");
	if (!str_eq_c(endpoint, "/v1/chat/completions") && !str_eq_c(endpoint, "/v1/completions") &&
		!str_eq_c(endpoint, "/v1/embeddings") && !str_eq_c(endpoint, "/v1/responses"))
		return api_fail(x, ERR_INVALID, "invalid_value", "endpoint",
			"endpoint must be /v1/chat/completions, /v1/completions, /v1/embeddings or "
			"/v1/responses");
	if (!str_eq_c(json_str(o, "completion_window"), "24h"))
		return api_fail(x, ERR_INVALID, "invalid_value", "completion_window",
			"completion_window must be 24h");
	if (!file_id_parse(json_str(o, "input_file_id"), &b->input))
		return api_fail(x, ERR_INVALID, "invalid_value", "input_file_id",
			"input_file_id must be a file's id");
	b->endpoint = arena_str(a, endpoint);
	if (!b->endpoint.p)
		return api_fail(x, ERR_NOMEM, NULL, NULL, "no memory for a batch");
	return api_parse_metadata(o, S(""), a, &b->metadata, x);
}

static enum err make(struct croft *c, struct http_request *rq, struct batch *b, struct api_error *x)
{
	yyjson_doc *doc;
	struct file_row f;
	enum err e = json_parse(rq->body, &doc, &x->et);
	if (e)
		return fail(x, e, NULL);
	e = parse(yyjson_doc_get_root(doc), rq->arena, b, x);
	yyjson_doc_free(doc);
	if (e)
		return e;
	e = need(rq, PERM_DOCUMENT_READ, &x->et);
	e = e ? e : need(rq, PERM_DOCUMENT_WRITE, &x->et);
	e = e ? e : files_get(c, project_of(rq), b->input, rq->arena, &f, &x->et);
	if (e)
		return fail(x, e, "input_file_id");
	if (!str_eq_c(f.purpose, "batch"))
		return api_fail(x, ERR_INVALID, "invalid_value", "input_file_id",
			"the input file's purpose must be batch");
	e = batch_add(c, b, &x->et);
	return e ? fail(x, e, NULL) : OK;
}

static void create(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	int64_t now = clock_unix_ms();
	struct batch b = {.id = id_new(),
		.project = project_of(rq),
		.status = S("validating"),
		.problems = S(""),
		.created_ms = now,
		.expires_ms = now + WINDOW_MS};
	if (make(c, rq, &b, &x)) {
		api_reply_error(rs, &x);
		return;
	}
	reply(rs, &b);
	batch_wake(c);
}

static enum err find(struct croft *c, struct http_request *rq, struct batch *b, struct api_error *x)
{
	struct id id;
	struct str text = http_param(rq, "id");
	if (!batch_id_parse(text, &id))
		return api_fail(x, ERR_NOT_FOUND, NULL, "id", "there is no batch %.*s",
			STR_FMT(str_sub(text, 0, 100)));
	enum err e = batch_get(c, project_of(rq), id, rq->arena, b, &x->et);
	return e ? fail(x, e, "id") : OK;
}

static void show(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct batch b;
	if (find(c, rq, &b, &x))
		api_reply_error(rs, &x);
	else
		reply(rs, &b);
}

static void cancel(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct batch b;
	enum err e = find(c, rq, &b, &x);
	if (!e) {
		e = batch_cancel(c, project_of(rq), b.id, &x.et);
		e = e ? fail(&x, e, NULL) : find(c, rq, &b, &x);
	}
	if (e)
		api_reply_error(rs, &x);
	else
		reply(rs, &b);
}

static void list(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct batch *v = NULL;
	struct id after = {0};
	int64_t limit = 20;
	size_t n = 0;
	bool more = false;
	char first[BATCH_ID + 1], last[BATCH_ID + 1];
	struct str l = http_query(rq, "limit"), from = http_query(rq, "after");
	enum err e = OK;
	if (l.n && (!str_i64(l, &limit) || limit < 1 || limit > 100))
		e = api_fail(
			&x, ERR_INVALID, "invalid_value", "limit", "limit must be from 1 to 100");
	else if (from.n && !batch_id_parse(from, &after))
		e = api_fail(
			&x, ERR_INVALID, "invalid_value", "after", "after must be a batch's id");
	if (!e) {
		e = batch_list(c, project_of(rq), after, limit, rq->arena, &v, &n, &more, &x.et);
		e = e ? fail(&x, e, NULL) : OK;
	}
	if (e) {
		api_reply_error(rs, &x);
		return;
	}
	struct buf out = {0};
	struct jw w = {.out = &out};
	jw_obj(&w);
	jw_kc(&w, "object", "list");
	jw_key(&w, "data");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		write_batch(&w, &v[i]);
	jw_end(&w);
	if (n) {
		batch_id(v[0].id, first);
		batch_id(v[n - 1].id, last);
	}
	jw_kc(&w, "first_id", n ? first : NULL);
	jw_kc(&w, "last_id", n ? last : NULL);
	jw_kbool(&w, "has_more", more);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&out);
}

static const struct migration migrations[] = {
	{1, "batches",
		"CREATE TABLE api_batch ("
		"  id BLOB PRIMARY KEY,"
		"  project TEXT NOT NULL,"
		"  input BLOB NOT NULL,"
		"  endpoint TEXT NOT NULL,"
		"  status TEXT NOT NULL,"
		"  metadata TEXT NOT NULL,"
		"  problems TEXT NOT NULL,"
		"  output BLOB NOT NULL,"
		"  errors BLOB NOT NULL,"
		"  total BIGINT NOT NULL,"
		"  completed BIGINT NOT NULL,"
		"  failed BIGINT NOT NULL,"
		"  created_ms BIGINT NOT NULL,"
		"  started_ms BIGINT NOT NULL,"
		"  finalizing_ms BIGINT NOT NULL,"
		"  ended_ms BIGINT NOT NULL,"
		"  cancelling_ms BIGINT NOT NULL,"
		"  expires_ms BIGINT NOT NULL);"
		"CREATE INDEX api_batch_project ON api_batch (project, id);"
		"CREATE TABLE api_batch_line ("
		"  batch BLOB NOT NULL,"
		"  line BIGINT NOT NULL,"
		"  good BIGINT NOT NULL,"
		"  reply TEXT NOT NULL,"
		"  PRIMARY KEY (batch, line));"},
};

static const struct route routes[] = {
	{HTTP_POST, "/v1/batches", create, PERM_MODEL_USE, "Answer a file of requests", NULL,
		"{ input_file_id, endpoint, completion_window: \"24h\", metadata?: object }",
		"OpenAIBatch", 1 << 20},
	{HTTP_GET, "/v1/batches", list, PERM_DOCUMENT_READ, "List the batches of the project",
		"{ limit?: int, after? }", NULL,
		"{ object: \"list\", data: OpenAIBatch[], first_id: string | null, last_id: string "
		"| null, has_more: boolean }",
		0},
	{HTTP_GET, "/v1/batches/{id}", show, PERM_DOCUMENT_READ, "Show a batch", NULL, NULL,
		"OpenAIBatch", 0},
	{HTTP_POST, "/v1/batches/{id}/cancel", cancel, PERM_MODEL_USE, "Cancel a batch", NULL, NULL,
		"OpenAIBatch", 0},
};

static const struct shape shapes[] = {
	{"OpenAIBatch",
		"{ id, object: \"batch\", endpoint, input_file_id, completion_window, status, "
		"output_file_id: string | null, error_file_id: string | null, created_at: int, "
		"expires_at: int, request_counts: { total: int, completed: int, failed: int }, "
		"metadata: object | null }"},
};

static const struct setting settings[] = {
	{"batch.workers", SET_INT, "1", "Requests of batches that are answered at once", 1, 16},
};

const struct module batch_module = {
	.name = "batch",
	TABLE(migrations),
	TABLE(routes),
	TABLE(shapes),
	TABLE(settings),
	.start = batch_start,
	.stop = batch_stop,
};
