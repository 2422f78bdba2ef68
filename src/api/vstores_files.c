/* Routes of the files of a vector store, and of batches of files. */
#include "api/vstores.h"

#include "base/clock.h"

#include <stdio.h>

/* ---- files that are asked for ---- */

static enum err check_file(const struct vfile_new *v, size_t i, size_t n, enum err e,
	const struct file_row *f, struct api_error *x)
{
	char param[32] = "file_id";
	char id[FILE_ID + 1];
	file_id(v->file, id);
	if (n > 1)
		snprintf(param, sizeof param, "file_ids[%zu]", i);
	if (e)
		return vstores_failed(x, e, param);
	if (!str_eq_c(f->purpose, "assistants") && !str_eq_c(f->purpose, "user_data"))
		return api_fail(x, ERR_INVALID, "invalid_value", param,
			"%s: the purpose of %s is %.*s; a vector store takes assistants and "
			"user_data",
			param, id, STR_FMT(f->purpose));
	return OK;
}

enum err vfiles_rows(struct croft *c, struct http_request *rq, const struct vfile_new *v, size_t n,
	struct vfile **out, struct api_error *x)
{
	int64_t now = clock_unix_ms();
	struct vfile *rows = arena_array_of(rq->arena, n + 1, struct vfile);
	if (!rows)
		return api_no_memory(x);
	for (size_t i = 0; i < n; i++) {
		struct file_row f = {0};
		enum err e = files_get(c, project_of(rq), v[i].file, rq->arena, &f, &x->et);
		if (check_file(&v[i], i, n, e, &f, x))
			return x->e;
		bool automatic = !v[i].chunk_tokens;
		rows[i] = (struct vfile){.file = v[i].file,
			.turn = id_new(),
			.name = f.name,
			.attributes = v[i].attributes,
			.chunk_tokens =
				automatic ? setting_int(c, "rag.chunk_tokens") : v[i].chunk_tokens,
			.chunk_overlap = automatic ? setting_int(c, "rag.chunk_overlap")
						   : v[i].chunk_overlap,
			.created_ms = now};
	}
	*out = rows;
	return OK;
}

static enum err want_file(struct croft *c, struct http_request *rq, const struct vstore *v,
	struct vfile *out, struct api_error *x)
{
	struct id id;
	struct str text = http_param(rq, "file");
	if (!file_id_parse(text, &id))
		return api_fail(x, ERR_NOT_FOUND, NULL, "file_id",
			"there is no file %.*s in this vector store",
			STR_FMT(str_sub(text, 0, 100)));
	enum err e = vfile_get(c, project_of(rq), v->id, id, rq->arena, out, &x->et);
	return e ? vstores_failed(x, e, "file_id") : OK;
}

/* ---- the object ---- */

static void write_file(struct jw *w, const struct vfile *f)
{
	char id[FILE_ID + 1], store[VSTORE_ID + 1];
	file_id(f->file, id);
	vstore_id(f->store, store);
	jw_obj(w);
	jw_kc(w, "id", id);
	jw_kc(w, "object", "vector_store.file");
	jw_ki64(w, "usage_bytes", f->bytes);
	jw_ki64(w, "created_at", f->created_ms / 1000);
	jw_kc(w, "vector_store_id", store);
	jw_kstr(w, "status", f->status);
	jw_key(w, "last_error");
	if (f->code.n) {
		jw_obj(w);
		jw_kstr(w, "code", f->code);
		jw_kstr(w, "message", f->error);
		jw_end(w);
	} else {
		jw_null(w);
	}
	jw_key(w, "chunking_strategy");
	jw_obj(w);
	jw_kc(w, "type", "static");
	jw_key(w, "static");
	jw_obj(w);
	jw_ki64(w, "max_chunk_size_tokens", f->chunk_tokens);
	jw_ki64(w, "chunk_overlap_tokens", f->chunk_overlap);
	jw_end(w);
	jw_end(w);
	jw_key(w, "attributes");
	jw_raw(w, f->attributes);
	jw_end(w);
}

static void reply_file(struct http_response *rs, const struct vfile *f)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	write_file(&w, f);
	vstores_poll_header(rs);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

/* ---- add, show, change, remove ---- */

void vstore_files_add(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct vstore v;
	struct vfile_new n;
	struct vfile *row, f;
	enum err e = vstores_want(c, rq, &v, &x);
	e = e ? e : vfile_parse(rq->body, rq->arena, &n, &x);
	e = e ? e : vfiles_rows(c, rq, &n, 1, &row, &x);
	if (!e) {
		e = vfile_add(c, project_of(rq), v.id, row, 1, NULL, &x.et);
		e = e ? vstores_failed(&x, e, "vector_store_id") : OK;
	}
	if (!e) {
		e = vfile_get(c, project_of(rq), v.id, n.file, rq->arena, &f, &x.et);
		e = e ? vstores_failed(&x, e, "file_id") : OK;
	}
	if (e)
		api_reply_error(rs, &x);
	else
		reply_file(rs, &f);
	vstores_wake(c);
}

void vstore_files_show(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct vstore v;
	struct vfile f;
	enum err e = vstores_want(c, rq, &v, &x);
	e = e ? e : want_file(c, rq, &v, &f, &x);
	if (e)
		api_reply_error(rs, &x);
	else
		reply_file(rs, &f);
}

void vstore_files_update(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct vstore v;
	struct vfile f;
	yyjson_val *o;
	struct str attributes;
	enum err e = vstores_want(c, rq, &v, &x);
	e = e ? e : want_file(c, rq, &v, &f, &x);
	e = e ? e : api_parse_body(rq->body, rq->arena, &o, &x);
	if (!e && !yyjson_obj_get(o, "attributes"))
		e = api_fail(&x, ERR_INVALID, "missing_required_parameter", "attributes",
			"attributes is missing");
	e = e ? e : vfile_attributes_parse(o, "", rq->arena, &attributes, &x);
	if (!e) {
		e = vfile_attributes(c, &f, attributes, &x.et);
		e = e ? vstores_failed(&x, e, "file_id") : want_file(c, rq, &v, &f, &x);
	}
	if (e)
		api_reply_error(rs, &x);
	else
		reply_file(rs, &f);
}

void vstore_files_remove(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct vstore v;
	struct vfile f;
	enum err e = vstores_want(c, rq, &v, &x);
	e = e ? e : want_file(c, rq, &v, &f, &x);
	if (!e) {
		e = vfile_remove(c, rq->who, &f, &x.et);
		e = e ? vstores_failed(&x, e, "file_id") : OK;
	}
	if (e) {
		api_reply_error(rs, &x);
		return;
	}
	struct buf b = {0};
	struct jw w = {.out = &b};
	char id[FILE_ID + 1];
	file_id(f.file, id);
	jw_obj(&w);
	jw_kc(&w, "id", id);
	jw_kc(&w, "object", "vector_store.file.deleted");
	jw_kbool(&w, "deleted", true);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

void vstore_files_content(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct vstore v;
	struct vfile f;
	struct str text = {0};
	char id[VSTORE_ID + 1];
	enum err e = vstores_want(c, rq, &v, &x);
	e = e ? e : want_file(c, rq, &v, &f, &x);
	if (!e && !str_eq_c(f.status, "completed"))
		e = api_fail(&x, ERR_CONFLICT, NULL, "file_id",
			"the file is %.*s: there is no text of it", STR_FMT(f.status));
	if (!e) {
		vstore_id(v.id, id);
		e = rag_text(c, project_of(rq), str_c(id), vfile_path(f.file, f.name, rq->arena),
			rq->arena, &text, &x.et);
		e = e ? vstores_failed(&x, e, "file_id") : OK;
	}
	if (e) {
		api_reply_error(rs, &x);
		return;
	}
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_kc(&w, "object", "vector_store.file_content.page");
	jw_key(&w, "data");
	jw_arr(&w);
	jw_obj(&w);
	jw_kc(&w, "type", "text");
	jw_kstr(&w, "text", text);
	jw_end(&w);
	jw_end(&w);
	jw_kbool(&w, "has_more", false);
	jw_kc(&w, "next_page", NULL);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

/* ---- lists ---- */

static enum err parse_list(
	const struct http_request *rq, struct vfile_query *q, struct api_error *x)
{
	static const char *const words[] = {"in_progress", "completed", "failed", "cancelled"};
	const char *key = http_query(rq, "before").n ? "before" : "after";
	struct str edge = http_query(rq, key);
	size_t i = 0;
	q->status = http_query(rq, "filter");
	enum err e = vpage_parse(rq, &q->page, x);
	if (e)
		return e;
	while (i < ARRAY_LEN(words) && !str_eq_c(q->status, words[i]))
		i++;
	if (q->status.n && i == ARRAY_LEN(words))
		return api_fail(x, ERR_INVALID, "invalid_value", "filter",
			"filter must be in_progress, completed, failed or cancelled");
	if (edge.n && !file_id_parse(edge, &q->page.edge))
		return api_fail(
			x, ERR_INVALID, "invalid_value", key, "%s must be a file's id", key);
	return OK;
}

static void reply_list(struct http_response *rs, const struct vfile *v, size_t n, bool more)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	char first[FILE_ID + 1], last[FILE_ID + 1];
	jw_obj(&w);
	jw_kc(&w, "object", "list");
	jw_key(&w, "data");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		write_file(&w, &v[i]);
	jw_end(&w);
	if (n) {
		file_id(v[0].file, first);
		file_id(v[n - 1].file, last);
	}
	jw_kc(&w, "first_id", n ? first : NULL);
	jw_kc(&w, "last_id", n ? last : NULL);
	jw_kbool(&w, "has_more", more);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

static void list_files(
	struct croft *c, struct http_request *rq, struct http_response *rs, struct id batch)
{
	struct api_error x = {0};
	struct vstore v;
	struct vfile_query q = {.batch = batch};
	struct vfile *files = NULL;
	size_t n = 0;
	bool more = false;
	enum err e = vstores_want(c, rq, &v, &x);
	e = e ? e : parse_list(rq, &q, &x);
	if (!e) {
		e = vfile_list(c, project_of(rq), v.id, &q, rq->arena, &files, &n, &more, &x.et);
		e = e ? vstores_failed(&x, e, q.page.backwards ? "before" : "after") : OK;
	}
	if (e)
		api_reply_error(rs, &x);
	else
		reply_list(rs, files, n, more);
}

void vstore_files_list(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	list_files(c, rq, rs, (struct id){0});
}

/* ---- batches ---- */

static void reply_batch(struct http_response *rs, const struct vbatch *v)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	char id[VBATCH_ID + 1], store[VSTORE_ID + 1];
	vbatch_id(v->id, id);
	vstore_id(v->store, store);
	jw_obj(&w);
	jw_kc(&w, "id", id);
	jw_kc(&w, "object", "vector_store.files_batch");
	jw_ki64(&w, "created_at", v->created_ms / 1000);
	jw_kc(&w, "vector_store_id", store);
	jw_kc(&w, "status",
		v->counts.in_progress ? "in_progress"
		: v->cancelled_ms     ? "cancelled"
				      : "completed");
	vcounts_write(&w, &v->counts);
	jw_end(&w);
	vstores_poll_header(rs);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

static enum err want_batch(
	struct croft *c, struct http_request *rq, struct vbatch *out, struct api_error *x)
{
	struct vstore v;
	struct id id;
	struct str text = http_param(rq, "batch");
	enum err e = vstores_want(c, rq, &v, x);
	if (e)
		return e;
	if (!vbatch_id_parse(text, &id))
		return api_fail(x, ERR_NOT_FOUND, NULL, "batch_id",
			"there is no batch of files %.*s in this vector store",
			STR_FMT(str_sub(text, 0, 100)));
	e = vbatch_get(c, project_of(rq), v.id, id, out, &x->et);
	return e ? vstores_failed(x, e, "batch_id") : OK;
}

void vstore_batches_add(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct vstore v;
	struct vfile_new *files = NULL;
	struct vfile *rows;
	size_t n = 0;
	struct vbatch b = {.id = id_new(), .created_ms = clock_unix_ms()};
	enum err e = vstores_want(c, rq, &v, &x);
	e = e ? e : vbatch_parse(rq->body, rq->arena, &files, &n, &x);
	e = e ? e : vfiles_rows(c, rq, files, n, &rows, &x);
	if (!e) {
		e = vfile_add(c, project_of(rq), v.id, rows, n, &b, &x.et);
		e = e ? vstores_failed(&x, e, "vector_store_id") : OK;
	}
	if (!e) {
		e = vbatch_get(c, project_of(rq), v.id, b.id, &b, &x.et);
		e = e ? vstores_failed(&x, e, NULL) : OK;
	}
	if (e)
		api_reply_error(rs, &x);
	else
		reply_batch(rs, &b);
	vstores_wake(c);
}

void vstore_batches_show(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct vbatch b;
	if (want_batch(c, rq, &b, &x))
		api_reply_error(rs, &x);
	else
		reply_batch(rs, &b);
}

void vstore_batches_cancel(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct vbatch b;
	enum err e = want_batch(c, rq, &b, &x);
	if (!e) {
		e = vbatch_cancel(c, project_of(rq), b.store, b.id, &x.et);
		e = e ? vstores_failed(&x, e, "batch_id") : want_batch(c, rq, &b, &x);
	}
	if (e)
		api_reply_error(rs, &x);
	else
		reply_batch(rs, &b);
}

void vstore_batches_files(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct vbatch b;
	if (want_batch(c, rq, &b, &x))
		api_reply_error(rs, &x);
	else
		list_files(c, rq, rs, b.id);
}
