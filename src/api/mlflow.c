/* What every MLflow route needs: arguments and their checks in MLflow's words, errors in its shape.
 */
#include "api/mlflow.h"
#include "base/log.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- errors ---- */

static const struct {
	enum err e;
	int status;
	const char *code;
} codes[] = {
	{ERR_INVALID, 400, "INVALID_PARAMETER_VALUE"},
	{ERR_UNAUTHENTICATED, 401, "UNAUTHENTICATED"},
	{ERR_FORBIDDEN, 403, "PERMISSION_DENIED"},
	{ERR_NOT_FOUND, 404, "RESOURCE_DOES_NOT_EXIST"},
	{ERR_METHOD, 405, "BAD_REQUEST"},
	{ERR_CONFLICT, 400, "RESOURCE_ALREADY_EXISTS"},
	{ERR_TOO_LARGE, 413, "INVALID_PARAMETER_VALUE"},
	{ERR_UNSUPPORTED, 501, "NOT_IMPLEMENTED"},
	{ERR_CORRUPT, 500, "DATA_LOSS"},
	{ERR_LIMIT, 400, "INVALID_PARAMETER_VALUE"},
	{ERR_BUSY, 429, "REQUEST_LIMIT_EXCEEDED"},
	{ERR_CANCELLED, 499, "CANCELLED"},
	{ERR_NOT_READY, 503, "TEMPORARILY_UNAVAILABLE"},
	{ERR_NOMEM, 503, "TEMPORARILY_UNAVAILABLE"},
	{ERR_TIMEOUT, 504, "DEADLINE_EXCEEDED"},
	{ERR_NO_SPACE, 507, "RESOURCE_EXHAUSTED"},
};

static void reply(struct http_response *rs, int status, const char *code, const char *message)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_kc(&w, "error_code", code);
	jw_kc(&w, "message", message);
	jw_end(&w);
	if (status == 429 || status == 503)
		http_set_header(rs, "retry-after", S("1"));
	http_reply_json(rs, status, &w);
	buf_free(&b);
}

void mlflow_reply_error(struct http_response *rs, enum err e, const struct errtext *et)
{
	int status = 500;
	const char *code = "INTERNAL_ERROR";
	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (codes[i].e == e) {
			status = codes[i].status;
			code = codes[i].code;
		}
	if (status == 500)
		log_error("mlflow: %s", err_text(e, et));
	reply(rs, status, code, err_text(e, et));
}

/* On this code clients fall back to older paths. */
static void no_path(struct http_response *rs, enum err e, const struct errtext *et)
{
	reply(rs, 404, "ENDPOINT_NOT_FOUND", err_text(e, et));
}

const struct face mlflow_faces[5] = {
	{"/ajax-api/", "/api/", mlflow_reply_error, no_path},
	{"/api/2.0/", NULL, mlflow_reply_error, no_path},
	{"/api/3.0/", NULL, mlflow_reply_error, no_path},
	{"/get-artifact", NULL, mlflow_reply_error, no_path},
	{"/model-versions/get-artifact", NULL, mlflow_reply_error, no_path},
};

void mlflow_reply(struct http_response *rs, enum err e, const struct errtext *et)
{
	e ? mlflow_reply_error(rs, e, et) : http_reply(rs, 200, "application/json", S("{}"));
}

enum err mlflow_invalid(struct errtext *et, const char *path, yyjson_val *v, const char *fmt, ...)
{
	char why[300];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	char *json = v ? yyjson_val_write(v, 0, NULL) : NULL;
	err_set(et, ERR_INVALID, "Invalid value %.160s for parameter '%s' supplied: %s",
		json ? json : "null", path, why);
	free(json);
	return ERR_INVALID;
}

/* ---- values ---- */

bool mlflow_as_int(yyjson_val *v, int64_t *out)
{
	if (yyjson_is_str(v))
		return str_i64(json_val_str(v), out);
	if (yyjson_is_real(v)) {
		double d = yyjson_get_real(v);
		if (d != floor(d) || fabs(d) > 9007199254740992.0)
			return false;
		*out = (int64_t)d;
		return true;
	}
	if (!yyjson_is_int(v) || (yyjson_is_uint(v) && yyjson_get_uint(v) > INT64_MAX))
		return false;
	*out = yyjson_get_sint(v);
	return true;
}

bool mlflow_as_float(yyjson_val *v, double *out)
{
	static const struct {
		const char *word;
		double value;
	} words[] = {{"NaN", NAN}, {"nan", NAN}, {"Infinity", INFINITY}, {"inf", INFINITY},
		{"-Infinity", -INFINITY}, {"-inf", -INFINITY}};
	if (yyjson_is_num(v)) {
		*out = yyjson_get_num(v);
		return true;
	}
	struct str s = json_val_str(v);
	if (!s.p)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_eq_c(s, words[i].word)) {
			*out = words[i].value;
			return true;
		}
	return str_f64(s, out);
}

bool mlflow_has(yyjson_val *args, const char *key)
{
	yyjson_val *v = yyjson_obj_get(args, key);
	return v && !yyjson_is_null(v);
}

struct str mlflow_text(yyjson_val *args, const char *key)
{
	return json_str(args, key);
}

int64_t mlflow_int(yyjson_val *args, const char *key, int64_t otherwise)
{
	int64_t v;
	return mlflow_as_int(yyjson_obj_get(args, key), &v) ? v : otherwise;
}

double mlflow_float(yyjson_val *args, const char *key, double otherwise)
{
	double v;
	return mlflow_as_float(yyjson_obj_get(args, key), &v) ? v : otherwise;
}

bool mlflow_bool(yyjson_val *args, const char *key, bool otherwise)
{
	yyjson_val *v = yyjson_obj_get(args, key);
	if (yyjson_is_str(v))
		return str_eq_nocase(json_val_str(v), S("true"));
	return yyjson_is_bool(v) ? yyjson_get_bool(v) : otherwise;
}

void mlflow_write_float(struct jw *w, double v)
{
	if (isnan(v))
		jw_c(w, "NaN");
	else if (isinf(v))
		jw_c(w, v > 0 ? "Infinity" : "-Infinity");
	else
		jw_f64(w, v);
}

/* ---- checks ---- */

static bool is_of(enum mlflow_type type, yyjson_val *v)
{
	int64_t i;
	double d;
	switch (type) {
	case MLFLOW_TEXT:
		return yyjson_is_str(v);
	case MLFLOW_INT:
		return mlflow_as_int(v, &i);
	case MLFLOW_FLOAT:
		return mlflow_as_float(v, &d);
	case MLFLOW_BOOL:
		return yyjson_is_bool(v) ||
		       (yyjson_is_str(v) && (str_eq_nocase(json_val_str(v), S("true")) ||
						    str_eq_nocase(json_val_str(v), S("false"))));
	case MLFLOW_OBJECT:
		return yyjson_is_obj(v);
	case MLFLOW_ARRAY:
		return yyjson_is_arr(v);
	case MLFLOW_ANY:
		return true;
	case MLFLOW_TEXTS:
		break;
	}
	if (!yyjson_is_arr(v))
		return false;
	yyjson_arr_iter it = yyjson_arr_iter_with(v);
	yyjson_val *item;
	while ((item = yyjson_arr_iter_next(&it)))
		if (!yyjson_is_str(item))
			return false;
	return true;
}

/* As Python names the type of a JSON value. */
static const char *type_name(yyjson_val *v)
{
	return yyjson_is_str(v)    ? "str"
	       : yyjson_is_bool(v) ? "bool"
	       : yyjson_is_int(v)  ? "int"
	       : yyjson_is_real(v) ? "float"
	       : yyjson_is_arr(v)  ? "list"
	       : yyjson_is_obj(v)  ? "dict"
				   : "NoneType";
}

#define SEE " See the API docs for more information about request parameters."

static enum err check_field(
	yyjson_val *object, const char *path, const struct mlflow_field *f, struct errtext *et)
{
	char full[160];
	yyjson_val *v = yyjson_obj_get(object, f->name);
	snprintf(full, sizeof full, "%s%s%s", path, *path ? "." : "", f->name);
	bool absent = !v || yyjson_is_null(v);
	if (f->required && (absent || yyjson_equals_str(v, "")))
		return err_set(
			et, ERR_INVALID, "Missing value for required parameter '%s'." SEE, full);
	if (absent || is_of(f->type, v))
		return OK;
	return mlflow_invalid(et, full, v, " Hint: Value was of type '%s'." SEE, type_name(v));
}

enum err mlflow_check(yyjson_val *object, const char *path, const struct mlflow_field *fields,
	size_t n, struct errtext *et)
{
	if (!yyjson_is_obj(object))
		return mlflow_invalid(
			et, path, object, " Hint: Value was of type '%s'." SEE, type_name(object));
	for (size_t i = 0; i < n; i++) {
		enum err e = check_field(object, path, &fields[i], et);
		if (e)
			return e;
	}
	return OK;
}

/* ---- where the arguments are ---- */

static void free_doc(void *doc)
{
	yyjson_doc_free(doc);
}

static void write_query(const struct http_request *rq, const struct mlflow_field *f, struct jw *w)
{
	bool list = f->type == MLFLOW_TEXTS || f->type == MLFLOW_ARRAY;
	bool given = false;
	for (size_t i = 0; i < rq->n_query; i++) {
		if (!str_eq_c(rq->query[i].name, f->name) || (given && !list))
			continue;
		if (!given)
			jw_key(w, f->name);
		if (!given && list)
			jw_arr(w);
		jw_str(w, rq->query[i].value);
		given = true;
	}
	if (given && list)
		jw_end(w);
}

static struct str query_json(
	struct http_request *rq, const struct mlflow_field *fields, size_t n, struct buf *b)
{
	struct jw w = {.out = b};
	jw_obj(&w);
	for (size_t i = 0; i < n; i++)
		write_query(rq, &fields[i], &w);
	jw_end(&w);
	return buf_str(b);
}

enum err mlflow_args(struct http_request *rq, const struct mlflow_field *fields, size_t n,
	yyjson_val **args, struct errtext *et)
{
	struct buf b = {0};
	yyjson_doc *doc;
	struct str text = str_trim(rq->body).n ? rq->body : query_json(rq, fields, n, &b);
	enum err e = b.err ? err_set(et, ERR_NOMEM, "no memory for a request")
			   : json_parse(text, &doc, et);
	buf_free(&b);
	if (e)
		return e;
	if (!arena_on_free(rq->arena, free_doc, doc)) {
		yyjson_doc_free(doc);
		return err_set(et, ERR_NOMEM, "no memory for a request");
	}
	yyjson_val *root = yyjson_doc_get_root(doc);
	if (!yyjson_is_obj(root))
		return err_set(et, ERR_INVALID, "the body must be a JSON object");
	e = mlflow_check(root, "", fields, n, et);
	if (!e)
		*args = root;
	return e;
}
