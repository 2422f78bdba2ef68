/* /v1/uploads: a file in parts, for what is larger than one request should be. */
#include "api/uploads.h"
#include "api/api_int.h"

static void write_upload(struct jw *w, const struct upload_row *u, const struct file_row *f)
{
	char id[UPLOAD_ID + 1];
	upload_id(u->id, id);
	jw_obj(w);
	jw_kc(w, "id", id);
	jw_kc(w, "object", "upload");
	jw_ki64(w, "bytes", u->bytes);
	jw_ki64(w, "created_at", u->created_ms / 1000);
	jw_kstr(w, "filename", u->name);
	jw_kstr(w, "purpose", u->purpose);
	jw_kc(w, "status", u->status);
	jw_ki64(w, "expires_at", u->expires_ms / 1000);
	jw_key(w, "file");
	if (f)
		file_json(w, f);
	else
		jw_null(w);
	jw_end(w);
}

static void reply(struct http_response *rs, enum err e, const struct api_error *x,
	const struct upload_row *u, const struct file_row *f)
{
	if (e) {
		api_reply_error(rs, x);
		return;
	}
	struct buf b = {0};
	struct jw w = {.out = &b};
	write_upload(&w, u, f);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

/* What the store said. */
static enum err fail(struct api_error *x, enum err e, const char *param)
{
	struct errtext said = x->et;
	return api_fail(x, e, NULL, param, "%s", err_text(e, &said));
}

static enum err id_of(const struct http_request *rq, struct id *out, struct api_error *x)
{
	struct str text = http_param(rq, "id");
	return upload_id_parse(text, out)
		       ? OK
		       : api_fail(x, ERR_NOT_FOUND, NULL, "id", "there is no upload %.*s",
				 STR_FMT(str_sub(text, 0, 100)));
}

/* ---- begin ---- */

static enum err parse_expiry(yyjson_val *o, struct upload_new *n, struct api_error *x)
{
	yyjson_val *after = api_get(o, "expires_after");
	if (!after)
		return OK;
	int64_t s = json_i64(after, "seconds", 0);
	if (!str_eq_c(json_str(after, "anchor"), "created_at") || s < FILE_LIVES_MIN_S ||
		s > FILE_LIVES_MAX_S)
		return api_fail(x, ERR_INVALID, "invalid_value", "expires_after",
			"expires_after must have the anchor \"created_at\" and seconds from %d to "
			"%d",
			FILE_LIVES_MIN_S, FILE_LIVES_MAX_S);
	n->lives_ms = s * 1000;
	return OK;
}

static enum err want_text(
	yyjson_val *o, const char *key, size_t max, struct str *out, struct api_error *x)
{
	yyjson_val *v = api_get(o, key);
	*out = json_val_str(v);
	if (!v)
		return api_fail(
			x, ERR_INVALID, "missing_required_parameter", key, "%s is missing", key);
	if (!out->n || out->n > max)
		return api_fail(x, ERR_INVALID, "invalid_value", key,
			"%s must be a text of 1 to %zu bytes", key, max);
	return OK;
}

enum err uploads_parse_begin(
	struct str body, struct arena *a, struct upload_new *n, struct api_error *x)
{
	yyjson_val *o;
	struct str type;
	*n = (struct upload_new){.bytes = 0};
	enum err e = api_parse_body(body, a, &o, x);
	e = e ? e : want_text(o, "filename", FILE_NAME_MAX, &n->name, x);
	e = e ? e : want_text(o, "purpose", 64, &n->purpose, x);
	e = e ? e : want_text(o, "mime_type", 256, &type, x);
	e = e ? e : api_want_i64(o, "bytes", 1, UPLOAD_BYTES_MAX, &n->bytes, x);
	if (!e && !n->bytes)
		e = api_fail(
			x, ERR_INVALID, "missing_required_parameter", "bytes", "bytes is missing");
	if (!e && !file_purpose(n->purpose))
		e = api_fail(x, ERR_INVALID, "invalid_value", "purpose",
			"purpose must be assistants, batch, fine-tune, vision, user_data or evals");
	return e ? e : parse_expiry(o, n, x);
}

static void begin(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct upload_new n;
	struct upload_row u;
	enum err e = uploads_parse_begin(rq->body, rq->arena, &n, &x);
	if (!e) {
		e = uploads_begin(c, project_of(rq), &n, rq->arena, &u, &x.et);
		e = e ? fail(&x, e, NULL) : OK;
	}
	reply(rs, e, &x, &u, NULL);
}

/* ---- parts ---- */

static enum err part_data(const struct http_request *rq, struct str *out, struct api_error *x)
{
	struct http_part *part;
	size_t n = 0;
	enum err e = http_multipart(rq, &part, &n, &x->et);
	if (e)
		return fail(x, e, "data");
	*out = (struct str){0};
	for (size_t i = 0; i < n; i++)
		if (str_eq_c(part[i].name, "data"))
			*out = part[i].data;
	if (!out->n)
		return api_fail(x, ERR_INVALID, "missing_required_parameter", "data",
			"the form has no part named data, or it is empty");
	if (out->n > UPLOAD_PART_MAX)
		return api_fail(x, ERR_TOO_LARGE, NULL, "data",
			"the part has %zu bytes; at most %d are possible", out->n, UPLOAD_PART_MAX);
	return OK;
}

static void add_part(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct id upload;
	struct str data;
	struct upload_part_row part;
	enum err e = id_of(rq, &upload, &x);
	e = e ? e : part_data(rq, &data, &x);
	if (!e) {
		e = uploads_part(c, project_of(rq), upload, data, &part, &x.et);
		e = e ? fail(&x, e, "id") : OK;
	}
	if (e) {
		api_reply_error(rs, &x);
		return;
	}
	struct buf b = {0};
	struct jw w = {.out = &b};
	char hex[ID_HEX + 1], id[UPLOAD_ID + 1];
	id_hex(part.id, hex);
	upload_id(upload, id);
	jw_obj(&w);
	jw_key(&w, "id");
	jw_fmt(&w, "part_%s", hex);
	jw_kc(&w, "object", "upload.part");
	jw_ki64(&w, "created_at", part.created_ms / 1000);
	jw_kc(&w, "upload_id", id);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

/* ---- complete, cancel ---- */

enum err uploads_parse_parts(
	struct str body, struct arena *a, struct upload_parts *out, struct api_error *x)
{
	yyjson_val *o, *list, *v;
	size_t i, n;
	*out = (struct upload_parts){.md5 = S("")};
	enum err e = api_parse_body(body, a, &o, x);
	if (e)
		return e;
	list = api_get(o, "part_ids");
	n = yyjson_arr_size(list);
	if (!n || n > UPLOADS_PARTS_MAX)
		return api_fail(x, ERR_INVALID,
			list ? "invalid_value" : "missing_required_parameter", "part_ids",
			"part_ids must be a list of 1 to %d parts' ids", UPLOADS_PARTS_MAX);
	struct id *ids = arena_array_of(a, n, struct id);
	if (!ids)
		return api_no_memory(x);
	yyjson_arr_foreach(list, i, n, v)
	{
		struct str id = json_val_str(v);
		if (id.n != UPLOAD_PART_ID || !str_starts(id, S("part_")) ||
			!id_parse(str_sub(id, 5, id.n), &ids[i]))
			return api_fail(x, ERR_INVALID, "invalid_value", "part_ids",
				"part_ids[%zu] is no part's id", i);
	}
	if (api_get(o, "md5"))
		out->md5 = json_str(o, "md5");
	if (api_get(o, "md5") && out->md5.n != 2 * MD5_BYTES)
		return api_fail(
			x, ERR_INVALID, "invalid_value", "md5", "md5 must be 32 hex digits");
	out->id = ids;
	out->n = n;
	return OK;
}

static void complete(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct id id;
	struct upload_parts parts;
	struct upload_row u;
	struct file_row f;
	bool there = false;
	enum err e = id_of(rq, &id, &x);
	e = e ? e : uploads_parse_parts(rq->body, rq->arena, &parts, &x);
	if (!e) {
		e = uploads_complete(
			c, project_of(rq), id, &parts, rq->cancel, rq->arena, &u, &x.et);
		e = e ? fail(&x, e, NULL) : OK;
	}
	if (!e) { /* it may have been removed since */
		e = files_get(c, project_of(rq), u.file, rq->arena, &f, &x.et);
		there = !e;
		e = e && e != ERR_NOT_FOUND ? fail(&x, e, NULL) : OK;
	}
	reply(rs, e, &x, &u, there ? &f : NULL);
}

static void cancel(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct id id;
	struct upload_row u;
	enum err e = id_of(rq, &id, &x);
	if (!e) {
		e = uploads_cancel(c, project_of(rq), id, rq->arena, &u, &x.et);
		e = e ? fail(&x, e, "id") : OK;
	}
	reply(rs, e, &x, &u, NULL);
}

/* ---- the module ---- */

static const struct route routes[] = {
	{HTTP_POST, "/v1/uploads", begin, PERM_DOCUMENT_WRITE,
		"Begin a file that comes in parts, within an hour", NULL,
		"{ bytes: int, filename, mime_type, purpose, expires_after?: { anchor: "
		"\"created_at\", seconds: int } }",
		"OpenAIUpload", 0},
	{HTTP_POST, "/v1/uploads/{id}/parts", add_part, PERM_DOCUMENT_WRITE,
		"Add a part: a form with data", NULL, NULL,
		"{ id, object: \"upload.part\", created_at: int, upload_id }",
		(size_t)UPLOAD_PART_MAX + (64 << 10)},
	{HTTP_POST, "/v1/uploads/{id}/complete", complete, PERM_DOCUMENT_WRITE,
		"Make the file of its parts, in the order of the list", NULL,
		"{ part_ids: string[], md5? }", "OpenAIUpload", 0},
	{HTTP_POST, "/v1/uploads/{id}/cancel", cancel, PERM_DOCUMENT_WRITE,
		"Forget an upload and its parts", NULL, NULL, "OpenAIUpload", 0},
};

static const struct shape shapes[] = {
	{"OpenAIUpload",
		"{ id, object: \"upload\", bytes: int, created_at: int, filename, purpose, "
		"status: \"pending\" | \"completed\" | \"cancelled\", expires_at: int, "
		"file: OpenAIFile | null }"},
};

const struct module uploads_module = {
	.name = "uploads",
	.migrations = uploads_migrations,
	.n_migrations = ARRAY_LEN(uploads_migrations),
	TABLE(routes),
	TABLE(shapes),
	.blobs = uploads_blobs,
};
