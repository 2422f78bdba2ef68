/* MLflow's artifact proxy: files of runs over HTTP, below mlflow-artifacts. */
#include "api/mlflow_int.h"
#include "run/file.h"

#include <stdio.h>

#define ARGS(...)                                                  \
	static const struct mlflow_field fields[] = {__VA_ARGS__}; \
	struct errtext et = {0};                                   \
	yyjson_val *args = NULL;                                   \
	enum err e = mlflow_args(rq, fields, ARRAY_LEN(fields), &args, &et)

void mlflow_health(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	http_reply(rs, 200, "text/plain", S("OK"));
}

void mlflow_version(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	http_reply(rs, 200, "text/plain", S(MLFLOW_VERSION));
}

void mlflow_file_put(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	enum err e = run_file_put(c, project_of(rq), http_param(rq, "path"), rq->body, &et);
	mlflow_reply(rs, e, &et);
}

void mlflow_file_delete(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	enum err e = run_file_remove(c, project_of(rq), http_param(rq, "path"), &et);
	mlflow_reply(rs, e, &et);
}

/* ---- downloads ---- */

/* "bytes=a-b", "bytes=a-" or "bytes=-n" of n bytes. Whatever else a client asks for (several
 * ranges, other units, nonsense) is answered with the whole, as HTTP allows. */
enum range { RANGE_NONE, RANGE_OK, RANGE_BEYOND };

static enum range range_of(struct str asked, uint64_t n, uint64_t *from, uint64_t *to)
{
	uint64_t a = 0, b = 0;
	if (!str_starts(asked, S("bytes=")))
		return RANGE_NONE;
	struct str s = str_trim(str_sub(asked, 6, asked.n));
	size_t dash = str_chr(s, '-');
	if (dash == STR_NONE || str_chr(s, ',') != STR_NONE)
		return RANGE_NONE;
	struct str first = str_sub(s, 0, dash), last = str_sub(s, dash + 1, s.n);
	if ((first.n && !str_u64(first, &a)) || (last.n && !str_u64(last, &b)) ||
		(!first.n && !last.n))
		return RANGE_NONE;
	if (!first.n) {
		if (!b || !n)
			return RANGE_BEYOND;
		*from = b < n ? n - b : 0;
		*to = n;
		return RANGE_OK;
	}
	if (last.n && b < a)
		return RANGE_NONE;
	if (a >= n)
		return RANGE_BEYOND;
	*from = a;
	*to = last.n && b < n - 1 ? b + 1 : n;
	return RANGE_OK;
}

static void send_data(struct http_response *rs, int status, struct str data)
{
	enum { PIECE = 1 << 20 };
	enum err e = OK;
	if (data.n <= PIECE) {
		http_reply(rs, status, "application/octet-stream", data);
	} else if (!http_stream_begin(rs, status, "application/octet-stream")) {
		for (size_t at = 0; at < data.n && !e; at += PIECE)
			e = http_stream_write(rs, str_sub(data, at, at + PIECE));
	}
}

static void send_file(struct croft *c, const struct http_request *rq, struct http_response *rs,
	const struct run_file *f, struct errtext *et)
{
	struct os_map map;
	char bytes[80];
	uint64_t from = 0, to = 0;
	enum err e = blob_get(croft_blobs(c), f->blob, false, &map, et);
	if (e) {
		if (e == ERR_NOT_FOUND)
			e = err_set(et, ERR_CORRUPT, "the file's content is missing in the store");
		mlflow_reply_error(rs, e, et);
		return;
	}
	/* never shown as a page of this origin */
	http_set_header(rs, "x-content-type-options", S("nosniff"));
	http_set_header(rs, "content-disposition", S("attachment"));
	http_set_header(rs, "accept-ranges", S("bytes"));
	enum range asked = range_of(http_header(rq, "range"), map.n, &from, &to);
	if (asked == RANGE_BEYOND)
		snprintf(bytes, sizeof bytes, "bytes */%zu", map.n);
	else
		snprintf(bytes, sizeof bytes, "bytes %llu-%llu/%zu", (unsigned long long)from,
			(unsigned long long)(to - 1), map.n);
	if (asked != RANGE_NONE)
		http_set_header(rs, "content-range", str_c(bytes));
	if (asked == RANGE_BEYOND)
		http_reply(rs, 416, "application/octet-stream", S(""));
	else if (asked == RANGE_OK)
		send_data(rs, 206, str_sub(str_mk(map.p, map.n), from, to));
	else
		send_data(rs, 200, str_mk(map.p, map.n));
	os_unmap(&map);
}

void mlflow_send_path(struct croft *c, struct http_request *rq, struct http_response *rs,
	struct str path, struct errtext *et)
{
	struct run_file f;
	enum err e = run_file_get(c, project_of(rq), path, &f, et);
	if (!e && !f.blob[0])
		e = err_set(
			et, ERR_NOT_FOUND, "'%.*s' is a folder", STR_FMT(str_sub(path, 0, 300)));
	e ? mlflow_reply_error(rs, e, et) : send_file(c, rq, rs, &f, et);
}

void mlflow_file_get(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	mlflow_send_path(c, rq, rs, http_param(rq, "path"), &et);
}

/* ---- lists ---- */

void mlflow_write_files(struct jw *w, struct str prefix, const struct run_file *v, size_t n)
{
	if (!n)
		return;
	jw_key(w, "files");
	jw_arr(w);
	for (size_t i = 0; i < n; i++) {
		jw_obj(w);
		jw_key(w, "path");
		jw_fmt(w, "%.*s%s%.*s", STR_FMT(prefix), prefix.n ? "/" : "", STR_FMT(v[i].name));
		jw_kbool(w, "is_dir", !v[i].blob[0]);
		if (v[i].blob[0])
			jw_ki64(w, "file_size", v[i].size);
		jw_end(w);
	}
	jw_end(w);
}

void mlflow_files_list(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	ARGS({"path", MLFLOW_TEXT, false});
	struct run_file *v = NULL;
	size_t n = 0;
	struct str path = e ? (struct str){0} : mlflow_text(args, "path");
	if (!e)
		e = run_file_list(c, project_of(rq), path.p ? path : S(""), rq->arena, &v, &n, &et);
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	mlflow_write_files(&w, S(""), v, n);
	jw_end(&w);
	e ? mlflow_reply_error(rs, e, &et) : http_reply_json(rs, 200, &w);
	buf_free(&b);
}

/* Where a run's files are, as a path here ("3/<id>/artifacts"); its files may be elsewhere. */
static enum err folder_of(struct croft *c, struct http_request *rq, yyjson_val *args,
	struct str *folder, struct str *uri, struct errtext *et)
{
	static const struct str scheme = {"mlflow-artifacts:/", 18};
	struct experiment x;
	struct tracked *t = NULL;
	struct id id;
	char hex[ID_HEX + 1];
	enum err e = mlflow_run_id(args, "run_id", &id, et);
	if (!e)
		e = track_get(c, project_of(rq), id, &t, et);
	if (!e)
		e = experiment_get(c, project_of(rq), t->experiment, rq->arena, &x, et);
	tracked_free(t);
	if (e)
		return e;
	id_hex(id, hex);
	*uri = arena_fmt(rq->arena, "%.*s/%s/artifacts", STR_FMT(x.location), hex);
	if (!uri->p)
		return err_set(et, ERR_NOMEM, "no memory for a path");
	if (!str_starts(*uri, scheme) || str_starts(*uri, S("mlflow-artifacts://")))
		return err_set(et, ERR_UNSUPPORTED,
			"the artifacts of this run are not kept here but at %.*s",
			STR_FMT(str_sub(*uri, 0, 300)));
	*folder = str_sub(*uri, scheme.n, uri->n);
	return OK;
}

static enum err inside(struct http_request *rq, struct str folder, struct str path, struct str *out,
	struct errtext *et)
{
	enum err e = run_file_path(path, true, et);
	if (e)
		return e;
	*out = path.n ? arena_fmt(rq->arena, "%.*s/%.*s", STR_FMT(folder), STR_FMT(path)) : folder;
	return out->p ? OK : err_set(et, ERR_NOMEM, "no memory for a path");
}

void mlflow_artifacts_list(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	ARGS({"run_id", MLFLOW_TEXT, false}, {"run_uuid", MLFLOW_TEXT, false},
		{"path", MLFLOW_TEXT, false});
	struct str folder = {0}, uri = {0}, full = {0};
	struct str path = e ? (struct str){0} : mlflow_text(args, "path");
	struct run_file *v = NULL;
	size_t n = 0;
	if (!e)
		e = folder_of(c, rq, args, &folder, &uri, &et);
	if (!e)
		e = inside(rq, folder, path, &full, &et);
	if (!e)
		e = run_file_list(c, project_of(rq), full, rq->arena, &v, &n, &et);
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_kstr(&w, "root_uri", uri);
	mlflow_write_files(&w, path, v, n);
	jw_end(&w);
	e ? mlflow_reply_error(rs, e, &et) : http_reply_json(rs, 200, &w);
	buf_free(&b);
}

void mlflow_get_artifact(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	ARGS({"run_id", MLFLOW_TEXT, false}, {"run_uuid", MLFLOW_TEXT, false},
		{"path", MLFLOW_TEXT, true});
	struct str folder = {0}, uri = {0}, full = {0};
	if (!e)
		e = folder_of(c, rq, args, &folder, &uri, &et);
	if (!e)
		e = inside(rq, folder, mlflow_text(args, "path"), &full, &et);
	if (e)
		mlflow_reply_error(rs, e, &et);
	else
		mlflow_send_path(c, rq, rs, full, &et);
}

/* What MLflow's page stores: a small file of a run, in the body. */
void mlflow_upload_artifact(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	enum { FILE_MAX = 10 << 20 };
	struct errtext et = {0};
	struct str folder = {0}, uri = {0}, full = {0}, path = http_query(rq, "path");
	struct str run = http_query(rq, "run_uuid");
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_doc *args = NULL;
	enum err e = OK;
	if (!run.n)
		e = err_set(&et, ERR_INVALID, "Request must specify run_uuid.");
	else if (!path.n)
		e = err_set(&et, ERR_INVALID, "Request must specify path.");
	else if (run_file_path(path, false, &et))
		e = ERR_INVALID;
	else if (!rq->body.n)
		e = err_set(&et, ERR_INVALID, "Request must specify data.");
	else if (rq->body.n > FILE_MAX)
		e = err_set(&et, ERR_INVALID, "Artifact size is too large. Max size is 10MB.");
	if (!e && doc) {
		yyjson_mut_val *root = yyjson_mut_obj(doc);
		yyjson_mut_doc_set_root(doc, root);
		yyjson_mut_obj_add_strn(doc, root, "run_id", run.p, run.n);
		args = yyjson_mut_doc_imut_copy(doc, NULL);
	}
	if (!e && !args)
		e = err_set(&et, ERR_NOMEM, "no memory for a file");
	if (!e)
		e = folder_of(c, rq, yyjson_doc_get_root(args), &folder, &uri, &et);
	if (!e)
		e = inside(rq, folder, path, &full, &et);
	if (!e)
		e = run_file_put(c, project_of(rq), full, rq->body, &et);
	yyjson_doc_free(args);
	yyjson_mut_doc_free(doc);
	mlflow_reply(rs, e, &et);
}
