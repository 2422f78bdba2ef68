/* The MLflow REST face, as far as its files share it. MLflow's paths are /api/2.0/mlflow/...,
 * /api/3.0/mlflow/... and the same below /ajax-api (the router reads those as /api, through
 * mlflow_faces), and errors are {"error_code", "message"} wherever they arise.
 *
 *	static const struct mlflow_field fields[] = {
 *		{"run_id", MLFLOW_TEXT, true}, {"max_results", MLFLOW_INT, false}};
 *	yyjson_val *args;
 *	enum err e = mlflow_args(rq, fields, ARRAY_LEN(fields), &args, &et);
 *	struct str run = mlflow_text(args, "run_id");
 *	...
 *	if (e) { mlflow_reply_error(rs, e, &et); return; }
 *
 * Whole numbers come as numbers or as text and leave as numbers; NaN and the infinities are text
 * both ways. mlflow_int.h says what the files of experiments, runs and files share. */
#ifndef API_MLFLOW_H
#define API_MLFLOW_H
#include "module/module.h"

/* The version of MLflow whose REST interface this is; GET /version says it. */
#define MLFLOW_VERSION "3.17.2"

extern const struct face mlflow_faces[5];
extern const struct module mlflow_module;

enum mlflow_type {
	MLFLOW_TEXT,
	MLFLOW_INT,
	MLFLOW_FLOAT,
	MLFLOW_BOOL,
	MLFLOW_ARRAY,
	MLFLOW_TEXTS, /* an array of texts; a GET repeats the parameter */
	MLFLOW_OBJECT,
	MLFLOW_ANY, /* an enum of MLflow's, by name or number: whoever reads it checks it */
};

struct mlflow_field {
	const char *name;
	enum mlflow_type type;
	bool required; /* neither absent, null nor "" */
};

/* The arguments as one JSON object that lives as long as the request: of the body, or for GET and
 * DELETE without a body of the query. ERR_INVALID with MLflow's own words ("Missing value for
 * required parameter 'name'."). Members that no field names are ignored. */
enum err mlflow_args(struct http_request *rq, const struct mlflow_field *fields, size_t n,
	yyjson_val **args, struct errtext *et) MUST_CHECK;
/* The same for an object inside (`path` "metrics[3]"), whose text, numbers and so on must be so. */
enum err mlflow_check(yyjson_val *object, const char *path, const struct mlflow_field *fields,
	size_t n, struct errtext *et) MUST_CHECK;

bool mlflow_has(yyjson_val *args, const char *key);        /* given and not null */
struct str mlflow_text(yyjson_val *args, const char *key); /* {NULL,0}: absent */
int64_t mlflow_int(yyjson_val *args, const char *key, int64_t otherwise);
double mlflow_float(yyjson_val *args, const char *key, double otherwise);
bool mlflow_bool(yyjson_val *args, const char *key, bool otherwise);
/* One value of any kind as a number; false when it is none. */
bool mlflow_as_int(yyjson_val *v, int64_t *out);
bool mlflow_as_float(yyjson_val *v, double *out);
/* "Invalid value <json> for parameter 'path' supplied: why": MLflow's sentence. */
enum err mlflow_invalid(struct errtext *et, const char *path, yyjson_val *v, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

void mlflow_write_float(struct jw *w, double v); /* NaN, Infinity, -Infinity as text */
void mlflow_reply(struct http_response *rs, enum err e, const struct errtext *et); /* {} or error */
void mlflow_reply_error(struct http_response *rs, enum err e, const struct errtext *et);

#endif
