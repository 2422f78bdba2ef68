/* MLflow's scorers: judges that a client wrote, kept as the text that it made of them, by
 * experiment and name, in versions. Croft does not run them: the client does. */
#include "api/mlflow_int.h"
#include "api/mlflow_scorer.h"
#include "base/clock.h"

#include <stdio.h>

#define FIELDS(...) static const struct mlflow_field fields[] = {__VA_ARGS__}
#define BEGIN(kind) mlreg_begin(&m, c, rq, rs, kind, fields, ARRAY_LEN(fields))
#define EXPERIMENT                                 \
	{                                          \
		"experiment_id", MLFLOW_TEXT, true \
	}
#define NAME                              \
	{                                 \
		"name", MLFLOW_TEXT, true \
	}

/* An experiment that is there; asked for before the transaction begins. */
static enum err experiment_of(struct croft *c, struct http_request *rq, struct str text,
	int64_t *number, struct errtext *et)
{
	struct experiment x;
	enum err e = mlflow_experiment_id(text, number, et);
	if (!e)
		e = experiment_get(c, project_of(rq), *number, rq->arena, &x, et);
	if (!e && x.deleted_ms)
		e = err_set(et, ERR_INVALID,
			"The experiment %lld must be in the 'active' state. Current state is "
			"deleted.",
			(long long)*number);
	return e;
}

static enum err begin(struct mlreg *m, struct croft *c, struct http_request *rq,
	struct http_response *rs, enum tx_kind kind, const struct mlflow_field *fields, size_t n,
	int64_t *experiment)
{
	yyjson_val *args = NULL;
	*m = (struct mlreg){.c = c, .rq = rq, .rs = rs};
	enum err e = mlflow_args(rq, fields, n, &args, &m->et);
	if (!e)
		e = experiment_of(c, rq, mlflow_text(args, "experiment_id"), experiment, &m->et);
	return e ? e : mlreg_begin(m, c, rq, rs, kind, fields, n);
}

static void write_scorer(struct jw *w, const struct scorer *v)
{
	jw_obj(w);
	jw_ki64(w, "experiment_id", v->experiment);
	jw_kstr(w, "scorer_name", v->name);
	jw_ki64(w, "scorer_version", v->version);
	jw_kstr(w, "serialized_scorer", v->text);
	jw_ki64(w, "creation_time", v->created_ms);
	jw_kstr(w, "scorer_id", v->id);
	jw_end(w);
}

static void write_list(struct mlreg *m, const struct scorer *v, size_t n)
{
	jw_obj(&m->w);
	jw_key(&m->w, "scorers");
	jw_arr(&m->w);
	for (size_t i = 0; i < n; i++)
		write_scorer(&m->w, &v[i]);
	jw_end(&m->w);
	jw_end(&m->w);
}

static enum err check(struct mlreg *m, struct str name, struct str text)
{
	yyjson_doc *doc = NULL;
	if (!str_trim(name).n || name.n > SCORER_NAME_MAX)
		return err_set(&m->et, ERR_INVALID,
			"Scorer name cannot be empty or contain only whitespace, nor be longer "
			"than %d bytes.",
			SCORER_NAME_MAX);
	enum err e = json_parse(text, &doc, NULL);
	yyjson_doc_free(doc);
	return e ? err_set(&m->et, ERR_INVALID, "serialized_scorer must be valid JSON") : OK;
}

static MLREG(post_scorer)
{
	FIELDS(EXPERIMENT, NAME, {"serialized_scorer", MLFLOW_TEXT, true});
	struct mlreg m;
	struct scorer v = {0};
	enum err e = begin(&m, c, rq, rs, TX_WRITE, fields, ARRAY_LEN(fields), &v.experiment);
	if (!e) {
		v.name = mlflow_text(m.args, "name");
		v.text = mlflow_text(m.args, "serialized_scorer");
		v.created_ms = clock_unix_ms();
		e = check(&m, v.name, v.text);
	}
	if (!e)
		e = scorer_put(m.tx, m.project, &v, m.a, &m.et);
	if (!e) {
		jw_obj(&m.w);
		jw_ki64(&m.w, "version", v.version);
		jw_kstr(&m.w, "scorer_id", v.id);
		jw_key(&m.w, "experiment_id");
		jw_fmt(&m.w, "%lld", (long long)v.experiment);
		jw_kstr(&m.w, "name", v.name);
		jw_kstr(&m.w, "serialized_scorer", v.text);
		jw_ki64(&m.w, "creation_time", v.created_ms);
		jw_end(&m.w);
	}
	mlreg_end(&m, e);
}

/* The newest version of each name: of one experiment, of several, or of all. */
static MLREG(list_scorers)
{
	FIELDS({"experiment_id", MLFLOW_TEXT, false}, {"experiment_ids", MLFLOW_TEXTS, false});
	struct mlreg m;
	yyjson_val *args = NULL, *one;
	int64_t of[SCORER_EXPERIMENTS_MAX];
	size_t n = 0, n_v = 0, i, max;
	struct scorer *v = NULL;
	m = (struct mlreg){.c = c, .rq = rq, .rs = rs};
	enum err e = mlflow_args(rq, fields, ARRAY_LEN(fields), &args, &m.et);
	struct str single = e ? (struct str){0} : mlflow_text(args, "experiment_id");
	yyjson_val *list = e ? NULL : yyjson_obj_get(args, "experiment_ids");
	if (!e && single.n && list)
		e = err_set(&m.et, ERR_INVALID,
			"Cannot specify both 'experiment_id' and 'experiment_ids'.");
	if (!e && single.n)
		e = experiment_of(c, rq, single, &of[n++], &m.et);
	if (!e && yyjson_arr_size(list) > SCORER_EXPERIMENTS_MAX)
		e = err_set(
			&m.et, ERR_INVALID, "experiment_ids: at most %d", SCORER_EXPERIMENTS_MAX);
	if (!e)
		yyjson_arr_foreach(list, i, max, one) if (!e) e =
			mlflow_experiment_id(json_val_str(one), &of[n++], &m.et);
	if (!e)
		e = BEGIN(TX_READ);
	if (!e)
		e = scorer_list(
			m.tx, m.project, single.n || list ? of : NULL, n, m.a, &v, &n_v, &m.et);
	if (!e)
		write_list(&m, v, n_v);
	mlreg_end(&m, e);
}

static MLREG(list_versions)
{
	FIELDS(EXPERIMENT, NAME);
	struct mlreg m;
	struct scorer *v = NULL;
	size_t n = 0;
	int64_t experiment = 0;
	enum err e = begin(&m, c, rq, rs, TX_READ, fields, ARRAY_LEN(fields), &experiment);
	if (!e)
		e = scorer_versions(m.tx, m.project, experiment, mlflow_text(m.args, "name"), m.a,
			&v, &n, &m.et);
	if (!e)
		write_list(&m, v, n);
	mlreg_end(&m, e);
}

/* The version that the arguments name, or the newest. */
static enum err find(struct mlreg *m, int64_t experiment, struct scorer *out)
{
	struct scorer *v = NULL;
	size_t n = 0;
	struct str name = mlflow_text(m->args, "name");
	int64_t version = mlflow_int(m->args, "version", 0);
	enum err e = scorer_versions(m->tx, m->project, experiment, name, m->a, &v, &n, &m->et);
	if (e)
		return e;
	for (size_t i = n; i-- > 0;)
		if (!version || v[i].version == version) {
			*out = v[i];
			return OK;
		}
	return err_set(&m->et, ERR_NOT_FOUND,
		"Scorer with name '%.*s' and version %lld not found for experiment %lld.",
		STR_FMT(str_sub(name, 0, 100)), (long long)version, (long long)experiment);
}

static MLREG(get_scorer)
{
	FIELDS(EXPERIMENT, NAME, {"version", MLFLOW_INT, false});
	struct mlreg m;
	struct scorer v;
	int64_t experiment = 0;
	enum err e = begin(&m, c, rq, rs, TX_READ, fields, ARRAY_LEN(fields), &experiment);
	if (!e)
		e = find(&m, experiment, &v);
	if (!e) {
		jw_obj(&m.w);
		jw_key(&m.w, "scorer");
		write_scorer(&m.w, &v);
		jw_end(&m.w);
	}
	mlreg_end(&m, e);
}

static MLREG(delete_scorer)
{
	FIELDS(EXPERIMENT, NAME, {"version", MLFLOW_INT, false});
	struct mlreg m;
	struct scorer v;
	int64_t experiment = 0;
	enum err e = begin(&m, c, rq, rs, TX_WRITE, fields, ARRAY_LEN(fields), &experiment);
	if (!e)
		e = find(&m, experiment, &v);
	if (!e)
		e = scorer_delete(m.tx, m.project, experiment, v.name,
			mlflow_has(m.args, "version") ? v.version : 0, &m.et);
	mlreg_end(&m, e);
}

/* Croft judges nothing by itself as traces come: there are no configurations of that. Clients ask
 * for them whenever they list scorers. */
static void online_configs(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	http_reply(rs, 200, "application/json", S("{\"configs\": []}"));
}

static void set_online(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et;
	enum err e = err_set(&et, ERR_UNSUPPORTED,
		"scorers are not run by the server here: run them with mlflow.genai.evaluate");
	mlflow_reply_error(rs, e, &et);
}

#define SCORERS "/api/3.0/mlflow/scorers/"
#define NAMED "{ experiment_id: string, name: string, version?: int }"

static const struct route routes[] = {
	{HTTP_POST, SCORERS "register", post_scorer, PERM_RUN_WRITE, "MLflow: keep a scorer", NULL,
		"{ experiment_id: string, name: string, serialized_scorer: string }", "object", 0},
	{HTTP_GET, SCORERS "list", list_scorers, PERM_RUN_READ, "MLflow: list scorers",
		"{ experiment_id?: string, experiment_ids?: string }", NULL, "object", 0},
	{HTTP_GET, SCORERS "versions", list_versions, PERM_RUN_READ,
		"MLflow: list a scorer's versions", "{ experiment_id: string, name: string }", NULL,
		"object", 0},
	{HTTP_GET, SCORERS "get", get_scorer, PERM_RUN_READ, "MLflow: show a scorer", NAMED, NULL,
		"object", 0},
	{HTTP_GET, SCORERS "online-configs", online_configs, PERM_RUN_READ,
		"MLflow: none: scorers are run by clients", "{ scorer_ids?: string }", NULL,
		"object", 0},
	{HTTP_PUT, SCORERS "online-config", set_online, PERM_RUN_WRITE,
		"MLflow: refused: scorers are run by clients", NULL, "object", "object", 0},
	{HTTP_DELETE, SCORERS "delete", delete_scorer, PERM_RUN_DELETE,
		"MLflow: remove a scorer or a version", NULL, NAMED, "object", 0},
};

const struct module mlflow_scorer_module = {
	.name = "mlflow_scorer",
	.migrations = scorer_migrations,
	.n_migrations = ARRAY_LEN(scorer_migrations),
	TABLE(routes),
};
