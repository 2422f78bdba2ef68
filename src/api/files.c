/* /v1/files: upload, list, show, read and remove the files of a project. */
#include "api/files.h"
#include "api/api_int.h"
#include "api/vstores.h"

void file_json(struct jw *w, const struct file_row *f)
{
	char id[FILE_ID + 1];
	file_id(f->id, id);
	jw_obj(w);
	jw_kc(w, "id", id);
	jw_kc(w, "object", "file");
	jw_ki64(w, "bytes", f->bytes);
	jw_ki64(w, "created_at", f->created_ms / 1000);
	jw_key(w, "expires_at");
	if (f->expires_ms)
		jw_i64(w, f->expires_ms / 1000);
	else
		jw_null(w);
	jw_kstr(w, "filename", f->name);
	jw_kstr(w, "purpose", f->purpose);
	jw_kc(w, "status", "processed");
	jw_key(w, "status_details");
	jw_null(w);
	jw_end(w);
}

static void reply_file(struct http_response *rs, const struct file_row *f)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	file_json(&w, f);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

/* What the store said, with the parameter's name. */
static enum err fail(struct api_error *x, enum err e, const char *param)
{
	struct errtext said = x->et;
	return api_fail(x, e, NULL, param, "%s", err_text(e, &said));
}

/* ---- upload ---- */

static enum err parse_expiry(
	struct str anchor, struct str seconds, struct file_new *f, struct api_error *x)
{
	int64_t s;
	if (!anchor.p && !seconds.p)
		return OK;
	if (!str_eq_c(anchor, "created_at"))
		return api_fail(x, ERR_INVALID, "invalid_value", "expires_after[anchor]",
			"expires_after[anchor] must be \"created_at\"");
	if (!str_i64(seconds, &s) || s < FILE_LIVES_MIN_S || s > FILE_LIVES_MAX_S)
		return api_fail(x, ERR_INVALID, "invalid_value", "expires_after[seconds]",
			"expires_after[seconds] must be from %d to %d", FILE_LIVES_MIN_S,
			FILE_LIVES_MAX_S);
	f->lives_ms = s * 1000;
	return OK;
}

static enum err check_new(const struct file_new *f, bool have_file, struct api_error *x)
{
	if (!have_file)
		return api_fail(x, ERR_INVALID, "missing_required_parameter", "file",
			"the form has no part named file");
	if (!f->purpose.n)
		return api_fail(x, ERR_INVALID, "missing_required_parameter", "purpose",
			"the form has no part named purpose");
	if (!file_purpose(f->purpose))
		return api_fail(x, ERR_INVALID, "invalid_value", "purpose",
			"purpose must be assistants, batch, fine-tune, vision, user_data or evals");
	if (f->name.n > FILE_NAME_MAX)
		return api_fail(x, ERR_INVALID, "invalid_value", "file",
			"the file's name has %zu bytes; at most %d are possible", f->name.n,
			FILE_NAME_MAX);
	if (f->data.n > FILE_BYTES_MAX)
		return api_fail(x, ERR_TOO_LARGE, NULL, "file",
			"the file has %zu bytes; at most %d are possible", f->data.n,
			FILE_BYTES_MAX);
	return OK;
}

static enum err parse_form(const struct http_request *rq, struct file_new *f, struct api_error *x)
{
	struct http_part *part;
	struct str anchor = {0}, seconds = {0};
	size_t n = 0;
	bool have = false;
	enum err e = http_multipart(rq, &part, &n, &x->et);
	if (e)
		return fail(x, e, "file");
	for (size_t i = 0; i < n; i++) {
		if (str_eq_c(part[i].name, "file")) {
			have = true;
			f->data = part[i].data;
			f->name = part[i].filename.n ? part[i].filename : S("upload");
		} else if (str_eq_c(part[i].name, "purpose")) {
			f->purpose = part[i].data;
		} else if (str_eq_c(part[i].name, "expires_after[anchor]")) {
			anchor = part[i].data;
		} else if (str_eq_c(part[i].name, "expires_after[seconds]")) {
			seconds = part[i].data;
		}
	}
	e = check_new(f, have, x);
	return e ? e : parse_expiry(anchor, seconds, f, x);
}

static void create(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct file_new f = {.purpose = S("")};
	struct file_row row;
	enum err e = parse_form(rq, &f, &x);
	if (!e) {
		e = files_add(c, project_of(rq), &f, rq->arena, &row, &x.et);
		e = e ? fail(&x, e, NULL) : OK;
	}
	if (e)
		api_reply_error(rs, &x);
	else
		reply_file(rs, &row);
}

/* ---- list ---- */

static enum err parse_list(const struct http_request *rq, struct file_query *q, struct api_error *x)
{
	struct str limit = http_query(rq, "limit"), order = http_query(rq, "order"),
		   after = http_query(rq, "after");
	*q = (struct file_query){.purpose = http_query(rq, "purpose"), .limit = FILES_LIST_MAX};
	if (limit.n && (!str_i64(limit, &q->limit) || q->limit < 1 || q->limit > FILES_LIST_MAX))
		return api_fail(x, ERR_INVALID, "invalid_value", "limit",
			"limit must be from 1 to %d", FILES_LIST_MAX);
	q->oldest_first = str_eq_c(order, "asc");
	if (order.n && !q->oldest_first && !str_eq_c(order, "desc"))
		return api_fail(
			x, ERR_INVALID, "invalid_value", "order", "order must be asc or desc");
	if (after.n && !file_id_parse(after, &q->after))
		return api_fail(
			x, ERR_INVALID, "invalid_value", "after", "after must be a file's id");
	return OK;
}

static void write_edge(struct jw *w, const char *key, const struct file_row *f)
{
	char id[FILE_ID + 1];
	if (f)
		file_id(f->id, id);
	jw_kc(w, key, f ? id : NULL);
}

static void list(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct file_query q;
	struct file_row *v = NULL;
	size_t n = 0;
	bool more = false;
	enum err e = parse_list(rq, &q, &x);
	if (!e) {
		e = files_list(c, project_of(rq), &q, rq->arena, &v, &n, &more, &x.et);
		e = e ? fail(&x, e, NULL) : OK;
	}
	if (e) {
		api_reply_error(rs, &x);
		return;
	}
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_kc(&w, "object", "list");
	jw_key(&w, "data");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		file_json(&w, &v[i]);
	jw_end(&w);
	write_edge(&w, "first_id", n ? &v[0] : NULL);
	write_edge(&w, "last_id", n ? &v[n - 1] : NULL);
	jw_kbool(&w, "has_more", more);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

/* ---- one ---- */

static enum err find(
	struct croft *c, struct http_request *rq, struct file_row *out, struct api_error *x)
{
	struct id id;
	struct str text = http_param(rq, "id");
	if (!file_id_parse(text, &id))
		return api_fail(x, ERR_NOT_FOUND, NULL, "id", "there is no file %.*s",
			STR_FMT(str_sub(text, 0, 100)));
	enum err e = files_get(c, project_of(rq), id, rq->arena, out, &x->et);
	return e ? fail(x, e, "id") : OK;
}

static void show(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct file_row f;
	if (find(c, rq, &f, &x))
		api_reply_error(rs, &x);
	else
		reply_file(rs, &f);
}

static void send(struct http_response *rs, struct str data)
{
	enum { PIECE = 256 << 10 };
	enum err e = OK;
	/* never shown as a page of this origin */
	http_set_header(rs, "x-content-type-options", S("nosniff"));
	http_set_header(rs, "content-disposition", S("attachment"));
	if (data.n <= PIECE) {
		http_reply(rs, 200, "application/octet-stream", data);
	} else if (!http_stream_begin(rs, 200, "application/octet-stream")) {
		for (size_t at = 0; at < data.n && !e; at += PIECE)
			e = http_stream_write(rs, str_sub(data, at, at + PIECE));
	}
}

static void content(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct file_row f;
	struct os_map map;
	enum err e = find(c, rq, &f, &x);
	if (!e) {
		e = blob_get(croft_blobs(c), f.blob, false, &map, &x.et);
		if (e == ERR_NOT_FOUND)
			e = err_set(
				&x.et, ERR_CORRUPT, "the file's content is missing in the store");
		e = e ? fail(&x, e, NULL) : OK;
	}
	if (e) {
		api_reply_error(rs, &x);
		return;
	}
	send(rs, str_mk(map.p, map.n));
	os_unmap(&map);
}

static void delete (struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct file_row f;
	char id[FILE_ID + 1];
	enum err e = find(c, rq, &f, &x);
	if (!e) { /* nothing of it is found from then on */
		e = vfile_remove_all(c, rq->who, project_of(rq), f.id, &x.et);
		e = e ? fail(&x, e, "id") : OK;
	}
	if (!e) {
		e = files_remove(c, rq->who, project_of(rq), f.id, &x.et);
		e = e ? fail(&x, e, "id") : OK;
	}
	if (e) {
		api_reply_error(rs, &x);
		return;
	}
	struct buf b = {0};
	struct jw w = {.out = &b};
	file_id(f.id, id);
	jw_obj(&w);
	jw_kc(&w, "id", id);
	jw_kc(&w, "object", "file");
	jw_kbool(&w, "deleted", true);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

/* ---- the module ---- */

static const struct route routes[] = {
	{HTTP_POST, "/v1/files", create, PERM_DOCUMENT_WRITE,
		"Store a file: a form with file, purpose and perhaps expires_after", NULL, NULL,
		"OpenAIFile", (size_t)FILE_BYTES_MAX + (64 << 10)},
	{HTTP_GET, "/v1/files", list, PERM_DOCUMENT_READ, "List the files of the project",
		"{ purpose?, limit?: int, order?: \"asc\" | \"desc\", after? }", NULL,
		"{ object: \"list\", data: OpenAIFile[], first_id: string | null, last_id: string "
		"| null, has_more: boolean }",
		0},
	{HTTP_GET, "/v1/files/{id}", show, PERM_DOCUMENT_READ, "Show a file", NULL, NULL,
		"OpenAIFile", 0},
	{HTTP_GET, "/v1/files/{id}/content", content, PERM_DOCUMENT_READ, "The bytes of a file",
		NULL, NULL, NULL, 0},
	{HTTP_DELETE, "/v1/files/{id}", delete, PERM_DOCUMENT_WRITE, "Remove a file", NULL, NULL,
		"{ id, object: \"file\", deleted: boolean }", 0},
};

static const struct shape shapes[] = {
	{"OpenAIFile", "{ id, object: \"file\", bytes: int, created_at: int, expires_at: int | "
		       "null, filename, purpose, status: \"processed\" }"},
};

const struct module files_module = {
	.name = "files",
	.migrations = files_migrations,
	.n_migrations = ARRAY_LEN(files_migrations),
	TABLE(routes),
	TABLE(shapes),
	.blobs = files_blobs,
};
