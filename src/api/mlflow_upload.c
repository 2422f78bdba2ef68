/* MLflow's artifact proxy for large files: uploads in parts, downloads by ranges. The addresses
 * that clients are given are this server's own, in the project that they asked in; requests to them
 * are checked like any other, so what identified the client goes along as headers. */
#include "api/mlflow_int.h"
#include "run/file.h"
#include "run/upload.h"

#include <stdio.h>

#define ROOT "/api/2.0/mlflow-artifacts/"

#define ARGS(...)                                                  \
	static const struct mlflow_field fields[] = {__VA_ARGS__}; \
	struct errtext et = {0};                                   \
	yyjson_val *args = NULL;                                   \
	enum err e = mlflow_args(rq, fields, ARRAY_LEN(fields), &args, &et)

/* ---- addresses ---- */

/* Where the client found this server, as far as it can be told from its request. */
static void own_address(const struct http_request *rq, struct buf *out)
{
	struct str host = http_header(rq, "host");
	struct str proto = http_header(rq, "x-forwarded-proto");
	bool tls = str_eq_nocase(proto, S("https")) || (!proto.n && rq->tls);
	buf_addf(out, "%s://%.*s", tls ? "https" : "http", STR_FMT(host.n ? host : S("localhost")));
	if (rq->project.n) {
		buf_addc(out, "/p/");
		url_encode(out, rq->project);
	}
}

static void add_path(struct buf *out, struct str path)
{
	struct str rest = path, part;
	while (str_next(&rest, '/', &part)) {
		buf_addc(out, "/");
		url_encode(out, part);
	}
}

static void write_headers(struct jw *w, const struct http_request *rq)
{
	static const char *const names[] = {"authorization", "x-api-key"};
	jw_key(w, "headers");
	jw_obj(w);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct str value = http_header(rq, names[i]);
		if (value.n)
			jw_kstr(w, names[i], value);
	}
	jw_end(w);
}

static void send(struct http_response *rs, enum err e, const struct jw *w, struct errtext *et)
{
	e ? mlflow_reply_error(rs, e, et) : http_reply_json(rs, 200, w);
	buf_free(w->out);
}

/* ---- uploads in parts ---- */

/* The file: the folder of the address and the last component of `path`, which is the client's own.
 */
static struct str file_path(struct http_request *rq, yyjson_val *args)
{
	struct str local = mlflow_text(args, "path"), folder = http_param(rq, "path");
	size_t slash = str_rchr(local, '/'), back = str_rchr(local, '\\');
	size_t from = slash == STR_NONE ? 0 : slash + 1;
	if (back != STR_NONE && back + 1 > from)
		from = back + 1;
	struct str name = str_sub(local, from, local.n);
	if (!folder.n || str_chr(name, 0) != STR_NONE) /* with a NUL it is refused */
		return name;
	return arena_fmt(rq->arena, "%.*s/%.*s", STR_FMT(folder), STR_FMT(name));
}

void mlflow_upload_begin(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	ARGS({"path", MLFLOW_TEXT, true}, {"num_parts", MLFLOW_INT, false});
	int64_t parts = e ? 0 : mlflow_int(args, "num_parts", 1);
	struct buf b = {0}, url = {0};
	struct jw w = {.out = &b};
	char hex[ID_HEX + 1];
	struct id id;
	if (!e)
		e = upload_begin(c, project_of(rq), file_path(rq, args), parts, &id, &et);
	if (!e) {
		id_hex(id, hex);
		jw_obj(&w);
		jw_kc(&w, "upload_id", hex);
		jw_key(&w, "credentials");
		jw_arr(&w);
		for (int64_t i = 1; i <= parts; i++) {
			buf_clear(&url);
			own_address(rq, &url);
			buf_addf(&url, ROOT "mpu/part/%s/%lld", hex, (long long)i);
			jw_obj(&w);
			jw_kstr(&w, "url", buf_str(&url));
			jw_ki64(&w, "part_number", i);
			write_headers(&w, rq);
			jw_end(&w);
		}
		jw_end(&w);
		jw_end(&w);
	}
	buf_free(&url);
	send(rs, e, &w, &et);
}

void mlflow_upload_part(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	char etag[SHA256_HEX + 1], quoted[SHA256_HEX + 3];
	struct id id;
	int64_t number = 0;
	enum err e = OK;
	if (!id_parse(http_param(rq, "upload"), &id) || !str_i64(http_param(rq, "number"), &number))
		e = err_set(&et, ERR_NOT_FOUND, "no such upload is under way");
	if (!e)
		e = upload_part(c, project_of(rq), id, number, rq->body, etag, &et);
	if (!e) {
		snprintf(quoted, sizeof quoted, "\"%s\"", etag);
		http_set_header(rs, "etag", str_c(quoted));
	}
	mlflow_reply(rs, e, &et);
}

static enum err upload_id(yyjson_val *args, struct id *out, struct errtext *et)
{
	struct str text = mlflow_text(args, "upload_id");
	if (id_parse(text, out))
		return OK;
	return err_set(et, ERR_NOT_FOUND, "no upload '%.*s' for that file is under way",
		STR_FMT(str_sub(text, 0, 100)));
}

static enum err read_parts(struct http_request *rq, yyjson_val *args, struct upload_part **out,
	size_t *n, struct errtext *et)
{
	static const struct mlflow_field fields[] = {
		{"part_number", MLFLOW_INT, true}, {"etag", MLFLOW_TEXT, false}};
	yyjson_val *list = yyjson_obj_get(args, "parts"), *one;
	size_t i, count = yyjson_arr_size(list);
	if (count > UPLOAD_PARTS_MAX)
		return err_set(et, ERR_INVALID, "parts: at most %d", UPLOAD_PARTS_MAX);
	struct upload_part *v = arena_array_of(rq->arena, count + 1, struct upload_part);
	if (!v)
		return err_set(et, ERR_NOMEM, "no memory for an upload");
	yyjson_arr_foreach(list, i, count, one)
	{
		char path[32];
		snprintf(path, sizeof path, "parts[%zu]", i);
		enum err e = mlflow_check(one, path, fields, ARRAY_LEN(fields), et);
		if (e)
			return e;
		v[i] = (struct upload_part){
			mlflow_int(one, "part_number", 0), mlflow_text(one, "etag")};
	}
	*out = v;
	*n = count;
	return OK;
}

void mlflow_upload_complete(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	ARGS({"path", MLFLOW_TEXT, true}, {"upload_id", MLFLOW_TEXT, false},
		{"parts", MLFLOW_ARRAY, true});
	struct upload_part *parts = NULL;
	size_t n = 0;
	struct id id;
	if (!e)
		e = upload_id(args, &id, &et);
	if (!e)
		e = read_parts(rq, args, &parts, &n, &et);
	if (!e)
		e = upload_complete(c, project_of(rq), id, file_path(rq, args), parts, n, &et);
	mlflow_reply(rs, e, &et);
}

void mlflow_upload_abort(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	ARGS({"path", MLFLOW_TEXT, true}, {"upload_id", MLFLOW_TEXT, false});
	struct id id;
	if (!e)
		e = upload_id(args, &id, &et);
	if (!e)
		e = upload_abort(c, project_of(rq), id, file_path(rq, args), &et);
	mlflow_reply(rs, e, &et);
}

/* ---- downloads by ranges ---- */

void mlflow_file_address(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct run_file f;
	struct str path = http_param(rq, "path");
	struct buf b = {0}, url = {0};
	struct jw w = {.out = &b};
	enum err e = run_file_get(c, project_of(rq), path, &f, &et);
	if (!e && !f.blob[0])
		e = err_set(
			&et, ERR_NOT_FOUND, "'%.*s' is a folder", STR_FMT(str_sub(path, 0, 300)));
	if (!e) {
		own_address(rq, &url);
		buf_addc(&url, ROOT "artifacts");
		add_path(&url, path);
		jw_obj(&w);
		jw_kstr(&w, "url", buf_str(&url));
		write_headers(&w, rq);
		jw_ki64(&w, "file_size", f.size);
		jw_end(&w);
	}
	buf_free(&url);
	send(rs, e, &w, &et);
}

/* Addresses for clients that go past the server to the object store: as with MLflow's server, the
 * files of runs whose artifacts it keeps itself have none; of those elsewhere Croft holds no keys.
 */
static void presigned(
	struct croft *c, struct http_request *rq, struct http_response *rs, const char *what)
{
	ARGS({"run_id", MLFLOW_TEXT, true}, {"path", MLFLOW_TEXT, true},
		{"expiration", MLFLOW_INT, false});
	struct experiment x;
	struct tracked *t = NULL;
	struct id id;
	int64_t seconds = e ? 0 : mlflow_int(args, "expiration", 900);
	if (!e && (seconds < 1 || seconds > 604800))
		e = err_set(&et, ERR_INVALID,
			"expiration must be between 1 and 604800 seconds (got %lld).",
			(long long)seconds);
	if (!e)
		e = run_file_path(mlflow_text(args, "path"), false, &et);
	if (!e)
		e = mlflow_run_id(args, "run_id", &id, &et);
	if (!e)
		e = track_get(c, project_of(rq), id, &t, &et);
	if (!e)
		e = experiment_get(c, project_of(rq), t->experiment, rq->arena, &x, &et);
	tracked_free(t);
	if (!e && str_starts(x.location, S("mlflow-artifacts:")))
		e = err_set(&et, ERR_INVALID,
			"Presigned %s is not supported for runs with proxied artifact storage "
			"(artifact URI scheme: mlflow-artifacts). This endpoint requires a run "
			"with a direct cloud storage artifact URI.",
			what);
	else if (!e)
		e = err_set(&et, ERR_UNSUPPORTED,
			"Presigned %s is not supported for the current artifact repository", what);
	mlflow_reply(rs, e, &et);
}

void mlflow_presigned_upload(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	presigned(c, rq, rs, "upload");
}

void mlflow_presigned_download(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	presigned(c, rq, rs, "download");
}

/* ---- what this server can ---- */

/* Uploads and downloads in pieces are there for those who ask (MLFLOW_ENABLE_PROXY_MULTIPART_*),
 * but not offered to everybody: one request is quicker, and behind a proxy that hides the address
 * only the client's owner knows whether the addresses above lead back here. */
void mlflow_server_info(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_kc(&w, "store_type", "SqlStore");
	jw_kbool(&w, "workspaces_enabled", false);
	jw_kbool(&w, "trace_archival_enabled", false);
	jw_kbool(&w, "multipart_uploads_enabled", false);
	jw_kbool(&w, "multipart_downloads_enabled", false);
	jw_kbool(&w, "presigned_upload_run_id_supported", true);
	jw_kbool(&w, "presigned_upload_model_id_supported", false);
	jw_key(&w, "features_enabled");
	jw_obj(&w);
	jw_kbool(&w, "gateway", false);
	jw_end(&w);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}
