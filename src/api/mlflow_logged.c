/* MLflow's logged models: create, finalize, params, tags, search, delete, list their files. */
#include "api/mlflow_filter.h"
#include "api/mlflow_int.h"
#include "api/mlflow_lineage.h"
#include "api/mlflow_registry.h"
#include "base/clock.h"
#include "run/file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define FIELDS(...) static const struct mlflow_field fields[] = {__VA_ARGS__}
#define BEGIN(kind) mlreg_begin(&m, c, rq, rs, kind, fields, ARRAY_LEN(fields))

enum { PAIRS_MAX = 1000, PAGE_MAX = 1000, ORDERS_MAX = 8, DATASETS_MAX = 100 };

/* ---- JSON ---- */

static void write_pairs(
	struct jw *w, const char *key, bool params, const struct logged_pair *p, size_t n)
{
	jw_key(w, key);
	jw_arr(w);
	for (size_t i = 0; i < n; i++) {
		if (p[i].param != params)
			continue;
		jw_obj(w);
		jw_kstr(w, "key", p[i].key);
		jw_kstr(w, "value", p[i].value);
		jw_end(w);
	}
	jw_end(w);
}

static const char *status_word(enum logged_status s)
{
	static const char *const words[] = {"LOGGED_MODEL_STATUS_UNSPECIFIED",
		"LOGGED_MODEL_PENDING", "LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED"};
	return words[(size_t)s < ARRAY_LEN(words) ? s : 0];
}

static enum err write_metrics(struct mlreg *m, struct str id)
{
	struct logged_metric *v = NULL;
	size_t n = 0;
	struct jw *w = &m->w;
	enum err e = logged_metrics(m->tx, m->project, id, S(""), m->a, &v, &n, &m->et);
	jw_key(w, "metrics");
	jw_arr(w);
	for (size_t i = 0; i < n; i++) {
		char run[ID_HEX + 1];
		id_hex(v[i].run, run);
		jw_obj(w);
		jw_kstr(w, "key", v[i].name);
		jw_key(w, "value");
		mlflow_write_float(w, v[i].value);
		jw_ki64(w, "timestamp", v[i].ms);
		jw_ki64(w, "step", v[i].step);
		jw_kstr(w, "model_id", id);
		jw_kc(w, "run_id", run);
		if (v[i].dataset.n)
			jw_kstr(w, "dataset_name", v[i].dataset);
		if (v[i].digest.n)
			jw_kstr(w, "dataset_digest", v[i].digest);
		jw_end(w);
	}
	jw_end(w);
	return e;
}

static enum err write_model(struct mlreg *m, const struct logged_model *v)
{
	struct logged_pair *pairs;
	size_t n = 0;
	char run[ID_HEX + 1] = "";
	struct jw *w = &m->w;
	enum err e = logged_pairs(m->tx, m->project, v->id, m->a, &pairs, &n, &m->et);
	if (e)
		return e;
	if (!id_is_zero(v->run))
		id_hex(v->run, run);
	jw_obj(w);
	jw_key(w, "info");
	jw_obj(w);
	jw_kstr(w, "model_id", v->id);
	jw_kstr(w, "experiment_id", v->experiment);
	jw_kstr(w, "name", v->name);
	jw_ki64(w, "creation_timestamp_ms", v->created_ms);
	jw_ki64(w, "last_updated_timestamp_ms", v->updated_ms);
	jw_kstr(w, "artifact_uri", v->location);
	jw_kc(w, "status", status_word(v->status));
	jw_kstr(w, "model_type", v->type);
	if (*run)
		jw_kc(w, "source_run_id", run);
	write_pairs(w, "tags", false, pairs, n);
	jw_end(w);
	jw_key(w, "data");
	jw_obj(w);
	write_pairs(w, "params", true, pairs, n);
	e = write_metrics(m, v->id);
	jw_end(w);
	jw_end(w);
	return e;
}

static enum err reply_model(struct mlreg *m, struct str id)
{
	struct logged_model v;
	enum err e = logged_get(m->tx, m->project, id, true, m->a, &v, &m->et);
	jw_obj(&m->w);
	jw_key(&m->w, "model");
	if (!e)
		e = write_model(m, &v);
	jw_end(&m->w);
	return e;
}

/* ---- create ---- */

static enum err check_name(struct mlreg *m, struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (strchr("/:.%\"'", name.p[i]))
			return err_set(&m->et, ERR_INVALID,
				"Invalid model name ('%.*s') provided. Model name must be a "
				"non-empty string and cannot contain the following characters: "
				"('/', ':', '.', '%%', '\"', \"'\")",
				STR_FMT(str_sub(name, 0, 100)));
	return OK;
}

static enum err put_pairs(struct mlreg *m, struct str id, const char *key, bool params)
{
	static const struct mlflow_field pair[] = {
		{"key", MLFLOW_TEXT, true}, {"value", MLFLOW_TEXT, false}};
	yyjson_val *list = yyjson_obj_get(m->args, key), *one;
	size_t i, n;
	if (yyjson_arr_size(list) > PAIRS_MAX)
		return err_set(&m->et, ERR_INVALID, "%s: at most %d at a time", key, PAIRS_MAX);
	yyjson_arr_foreach(list, i, n, one)
	{
		char path[40];
		snprintf(path, sizeof path, "%s[%zu]", key, i);
		struct str value = json_str(one, "value");
		enum err e = mlflow_check(one, path, pair, ARRAY_LEN(pair), &m->et);
		if (!e)
			e = logged_set_pair(m->tx, m->project, id,
				&(struct logged_pair){
					json_str(one, "key"), value.p ? value : S(""), params},
				&m->et);
		if (e)
			return e;
	}
	return OK;
}

/* A name when none is given, as MLflow gives one: two words and a number. */
static struct str random_name(struct arena *a)
{
	static const char *const first[] = {"able", "bold", "calm", "deft", "eager", "fair", "glad",
		"keen", "mild", "neat", "quick", "rare", "sage", "tidy", "wise", "zesty"};
	static const char *const second[] = {"auk", "bee", "carp", "dove", "eel", "finch", "goat",
		"hare", "ibis", "jay", "kite", "lark", "mole", "newt", "owl", "wren"};
	uint8_t r[4];
	random_bytes(r, sizeof r);
	return arena_fmt(
		a, "%s-%s-%d", first[r[0] & 15], second[r[1] & 15], (r[2] << 8 | r[3]) % 1000);
}

/* Where its files go: below its experiment's place. */
static struct str models_location(struct mlreg *m, struct str experiment, struct str id)
{
	return arena_fmt(m->a, "mlflow-artifacts:/%.*s/models/%.*s/artifacts", STR_FMT(experiment),
		STR_FMT(id));
}

static MLREG(mlflow_logged_create)
{
	FIELDS({"experiment_id", MLFLOW_TEXT, true}, {"name", MLFLOW_TEXT, false},
		{"model_type", MLFLOW_TEXT, false}, {"source_run_id", MLFLOW_TEXT, false},
		{"params", MLFLOW_ARRAY, false}, {"tags", MLFLOW_ARRAY, false});
	struct mlreg m;
	char hex[ID_HEX + 1];
	id_hex(id_new(), hex);
	struct logged_model v = {.status = LOGGED_PENDING, .created_ms = clock_unix_ms()};
	enum err e = BEGIN(TX_WRITE);
	if (!e) {
		struct str run = mlflow_text(m.args, "source_run_id");
		struct str type = mlflow_text(m.args, "model_type");
		v.experiment = mlflow_text(m.args, "experiment_id");
		v.name = mlflow_text(m.args, "name");
		v.type = type.p ? type : S("");
		v.creator = rq->who->name;
		v.id = arena_fmt(m.a, "m-%s", hex);
		if (!v.name.n)
			v.name = random_name(m.a);
		v.location = models_location(&m, v.experiment, v.id);
		if (run.n && !id_parse(run, &v.run))
			e = err_set(&m.et, ERR_INVALID, "Invalid run ID: '%.*s'",
				STR_FMT(str_sub(run, 0, 100)));
		if (!v.id.p || !v.location.p || !v.name.p)
			e = err_set(&m.et, ERR_NOMEM, "no memory");
	}
	if (!e)
		e = check_name(&m, v.name);
	if (!e)
		e = logged_put(m.tx, m.project, &v, &m.et);
	if (!e)
		e = put_pairs(&m, v.id, "params", true);
	if (!e)
		e = put_pairs(&m, v.id, "tags", false);
	if (!e)
		e = mlflow_lineage_logged(m.tx, rq, v.id, v.run, &m.et);
	if (!e)
		e = reply_model(&m, v.id);
	mlreg_end(&m, e);
}

/* ---- one model ---- */

static enum err find(struct mlreg *m, struct logged_model *v)
{
	return logged_get(m->tx, m->project, http_param(m->rq, "model_id"), false, m->a, v, &m->et);
}

static MLREG(mlflow_logged_get)
{
	FIELDS({"allow_deleted", MLFLOW_BOOL, false});
	struct mlreg m;
	struct logged_model v;
	enum err e = BEGIN(TX_READ);
	if (!e && !mlflow_bool(m.args, "allow_deleted", false))
		e = find(&m, &v);
	if (!e)
		e = reply_model(&m, http_param(rq, "model_id"));
	mlreg_end(&m, e);
}

static bool parse_status(yyjson_val *v, enum logged_status *out)
{
	int64_t n;
	for (int i = 0; i <= LOGGED_FAILED; i++)
		if (yyjson_is_str(v) &&
			str_eq_c(json_val_str(v), status_word((enum logged_status)i))) {
			*out = (enum logged_status)i;
			return true;
		}
	if (!mlflow_as_int(v, &n) || n < 0 || n > LOGGED_FAILED)
		return false;
	*out = (enum logged_status)n;
	return true;
}

static MLREG(mlflow_logged_finalize)
{
	FIELDS({"model_id", MLFLOW_TEXT, false});
	struct mlreg m;
	struct logged_model v;
	enum logged_status status = LOGGED_UNSPECIFIED;
	enum err e = BEGIN(TX_WRITE);
	if (!e && !parse_status(yyjson_obj_get(m.args, "status"), &status))
		e = mlflow_invalid(&m.et, "status", yyjson_obj_get(m.args, "status"),
			"a status of a logged model is expected");
	if (!e)
		e = find(&m, &v);
	if (!e)
		e = logged_set_status(m.tx, m.project, v.id, status, &m.et);
	if (!e)
		e = reply_model(&m, v.id);
	mlreg_end(&m, e);
}

static MLREG(mlflow_logged_delete)
{
	FIELDS({"model_id", MLFLOW_TEXT, false});
	struct mlreg m;
	struct logged_model v;
	enum err e = BEGIN(TX_WRITE);
	if (!e)
		e = find(&m, &v);
	if (!e)
		e = logged_delete(m.tx, m.project, v.id, &m.et);
	mlreg_end(&m, e);
}

static MLREG(mlflow_logged_params)
{
	FIELDS({"params", MLFLOW_ARRAY, false});
	struct mlreg m;
	struct logged_model v;
	enum err e = BEGIN(TX_WRITE);
	if (!e)
		e = find(&m, &v);
	if (!e)
		e = put_pairs(&m, v.id, "params", true);
	mlreg_end(&m, e);
}

static MLREG(mlflow_logged_tags)
{
	FIELDS({"tags", MLFLOW_ARRAY, false});
	struct mlreg m;
	struct logged_model v;
	enum err e = BEGIN(TX_WRITE);
	if (!e)
		e = find(&m, &v);
	if (!e)
		e = put_pairs(&m, v.id, "tags", false);
	if (!e)
		e = reply_model(&m, v.id);
	mlreg_end(&m, e);
}

static MLREG(mlflow_logged_drop_tag)
{
	FIELDS({"model_id", MLFLOW_TEXT, false});
	struct mlreg m;
	struct logged_model v;
	struct str key = http_param(rq, "key");
	bool found = false;
	enum err e = BEGIN(TX_WRITE);
	if (!e)
		e = find(&m, &v);
	if (!e)
		e = logged_drop_tag(m.tx, m.project, v.id, key, &found, &m.et);
	if (!e && !found)
		e = err_set(&m.et, ERR_NOT_FOUND, "No tag with key '%.*s' for model with ID '%.*s'",
			STR_FMT(str_sub(key, 0, 100)), STR_FMT(v.id));
	mlreg_end(&m, e);
}

/* ---- search ---- */

struct found {
	struct logged_model model;
	struct logged_pair *pairs;
	size_t n_pairs;
	double newest[ORDERS_MAX]; /* of the metric that the i-th order names */
};

struct search {
	struct mlreg *m;
	struct filter_clause *clauses;
	size_t n_clauses;
	struct {
		struct str key, dataset, digest; /* dataset, digest: of a metric; "": any */
		bool descending;
	} orders[ORDERS_MAX];
	size_t n_orders;
	yyjson_val *datasets;
	struct found *v;
	size_t n, cap;
};

static bool number_of(const struct logged_model *v, struct str key, double *out)
{
	if (str_eq_c(key, "creation_timestamp") || str_eq_c(key, "creation_timestamp_ms") ||
		str_eq_c(key, "creation_time"))
		*out = (double)v->created_ms;
	else if (str_eq_c(key, "last_updated_timestamp") ||
		 str_eq_c(key, "last_updated_timestamp_ms"))
		*out = (double)v->updated_ms;
	else
		return false;
	return true;
}

static bool text_of(const struct search *s, const struct found *f, struct str key, struct str *out)
{
	static const char *const words[] = {"UNSPECIFIED", "PENDING", "READY", "FAILED"};
	const struct logged_model *v = &f->model;
	char hex[ID_HEX + 1];
	if (str_eq_c(key, "name"))
		*out = v->name;
	else if (str_eq_c(key, "model_id"))
		*out = v->id;
	else if (str_eq_c(key, "model_type"))
		*out = v->type;
	else if (str_eq_c(key, "experiment_id"))
		*out = v->experiment;
	else if (str_eq_c(key, "status"))
		*out = str_c(words[(size_t)v->status < ARRAY_LEN(words) ? v->status : 0]);
	else if (str_eq_c(key, "artifact_location"))
		*out = v->location;
	else if (str_eq_c(key, "source_run_id")) {
		id_hex(v->run, hex);
		*out = id_is_zero(v->run) ? (struct str){0} : arena_str(s->m->a, str_c(hex));
	} else
		return false;
	return true;
}

static struct str pair_of(const struct found *f, bool param, struct str key)
{
	for (size_t i = 0; i < f->n_pairs; i++)
		if (f->pairs[i].param == param && str_eq(f->pairs[i].key, key))
			return f->pairs[i].value;
	return (struct str){0};
}

static bool on_dataset(const struct logged_metric *v, struct str name, struct str digest)
{
	return (!name.n || str_eq(v->dataset, name)) && (!digest.n || str_eq(v->digest, digest));
}

static bool on_one_of(const struct search *s, const struct logged_metric *v)
{
	yyjson_val *one;
	size_t i, n;
	bool yes = !yyjson_arr_size(s->datasets);
	yyjson_arr_foreach(s->datasets, i, n, one) yes |=
		on_dataset(v, json_str(one, "dataset_name"), json_str(one, "dataset_digest"));
	return yes;
}

/* Whether a metric of that name ("": any) has a value that fits, on one of the datasets asked for.
 */
static enum err any_metric(struct search *s, struct str model, struct str name,
	const struct filter_clause *c, bool *yes)
{
	struct logged_metric *v = NULL;
	size_t n = 0;
	*yes = false;
	if (c && c->quoted)
		return err_set(&s->m->et, ERR_INVALID,
			"metrics.%.*s: a number is expected, without quotes",
			STR_FMT(str_sub(name, 0, 100)));
	enum err e =
		logged_metrics(s->m->tx, s->m->project, model, name, s->m->a, &v, &n, &s->m->et);
	for (size_t i = 0; i < n && !e && !*yes; i++)
		*yes = on_one_of(s, &v[i]) && (!c || filter_match_number(c, v[i].value));
	return e;
}

static enum err matches(struct search *s, const struct found *f, bool *yes)
{
	*yes = true;
	for (size_t i = 0; i < s->n_clauses && *yes; i++) {
		struct filter_clause *c = &s->clauses[i];
		struct str text = {0};
		double number;
		enum err e = OK;
		if (str_eq_c(c->type, "param") || str_eq_c(c->type, "tag"))
			*yes = filter_match_text(c, pair_of(f, str_eq_c(c->type, "param"), c->key));
		else if (str_eq_c(c->type, "metric"))
			e = any_metric(s, f->model.id, c->key, c, yes);
		else if (number_of(&f->model, c->key, &number))
			*yes = filter_match_number(c, number);
		else if (text_of(s, f, c->key, &text))
			*yes = filter_match_text(c, text);
		else
			return err_set(&s->m->et, ERR_INVALID,
				"Invalid attribute key '%.*s' for logged models.",
				STR_FMT(str_sub(c->key, 0, 100)));
		if (e)
			return e;
	}
	bool measured = !*yes;
	for (size_t i = 0; i < s->n_clauses; i++)
		measured |= str_eq_c(s->clauses[i].type, "metric");
	if (!measured && yyjson_arr_size(s->datasets))
		return any_metric(s, f->model.id, S(""), NULL, yes);
	return OK;
}

/* The newest value of a metric, on the dataset that the order names; NAN: none. */
static enum err newest(struct search *s, struct found *f)
{
	for (size_t i = 0; i < s->n_orders; i++) {
		struct logged_metric *v = NULL;
		size_t n = 0;
		struct str key = s->orders[i].key;
		f->newest[i] = NAN;
		if (!str_starts(key, S("metrics.")))
			continue;
		enum err e = logged_metrics(s->m->tx, s->m->project, f->model.id,
			str_sub(key, 8, key.n), s->m->a, &v, &n, &s->m->et);
		if (e)
			return e;
		for (size_t k = n; k-- > 0;)
			if (on_dataset(&v[k], s->orders[i].dataset, s->orders[i].digest))
				f->newest[i] = v[k].value;
	}
	return OK;
}

static enum err copy_model(struct arena *a, const struct logged_model *from,
	struct logged_model *to, struct errtext *et)
{
	*to = *from;
	struct str *const f[] = {
		&to->id, &to->experiment, &to->name, &to->type, &to->creator, &to->location};
	for (size_t i = 0; i < ARRAY_LEN(f); i++) {
		*f[i] = arena_str(a, *f[i]);
		if (!f[i]->p)
			return err_set(et, ERR_NOMEM, "no memory for a search");
	}
	return OK;
}

static enum err on_model(void *ctx, const struct logged_model *v, struct errtext *et)
{
	struct search *s = ctx;
	struct found f = {0};
	bool yes = false;
	enum err e = copy_model(s->m->a, v, &f.model, et);
	if (!e)
		e = logged_pairs(s->m->tx, s->m->project, v->id, s->m->a, &f.pairs, &f.n_pairs, et);
	if (!e)
		e = matches(s, &f, &yes);
	if (!e && yes)
		e = newest(s, &f);
	if (e || !yes)
		return e;
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 64;
		struct found *bigger = realloc(s->v, cap * sizeof *bigger);
		if (!bigger)
			return err_set(et, ERR_NOMEM, "no memory for a search");
		s->v = bigger;
		s->cap = cap;
	}
	s->v[s->n++] = f;
	return OK;
}

/* What has no value comes last, whatever the direction. */
static int none_last(const struct search *s, size_t i, bool a, bool b)
{
	return s->orders[i].descending ? b - a : a - b;
}

static int cmp_by(const struct search *s, const struct found *a, const struct found *b, size_t i)
{
	struct str key = s->orders[i].key, x = {0}, y = {0};
	double p, q;
	if (str_starts(key, S("metrics."))) {
		p = a->newest[i];
		q = b->newest[i];
		if (isnan(p) || isnan(q))
			return none_last(s, i, isnan(p), isnan(q));
		return (p > q) - (p < q);
	}
	if (str_starts(key, S("attributes.")))
		key = str_sub(key, 11, key.n);
	if (number_of(&a->model, key, &p) && number_of(&b->model, key, &q))
		return (p > q) - (p < q);
	if (str_starts(key, S("params."))) {
		x = pair_of(a, true, str_sub(key, 7, key.n));
		y = pair_of(b, true, str_sub(key, 7, key.n));
	} else if (str_starts(key, S("tags."))) {
		x = pair_of(a, false, str_sub(key, 5, key.n));
		y = pair_of(b, false, str_sub(key, 5, key.n));
	} else {
		text_of(s, a, key, &x);
		text_of(s, b, key, &y);
	}
	if (!x.p || !y.p)
		return none_last(s, i, !x.p, !y.p);
	return str_cmp(x, y);
}

static int cmp_found(const void *x, const void *y, void *ctx)
{
	const struct search *s = ctx;
	const struct found *a = x, *b = y;
	for (size_t i = 0; i < s->n_orders; i++) {
		int c = cmp_by(s, a, b, i);
		if (c)
			return s->orders[i].descending ? -c : c;
	}
	int64_t d = b->model.created_ms - a->model.created_ms;
	return d ? (d > 0) - (d < 0) : -str_cmp(a->model.id, b->model.id);
}

static bool orderable(struct str key)
{
	static const char *const attributes[] = {"name", "model_id", "model_type", "experiment_id",
		"status", "artifact_location", "source_run_id"};
	const struct logged_model none = {0};
	double number;
	if (str_starts(key, S("metrics.")) || str_starts(key, S("params.")) ||
		str_starts(key, S("tags.")))
		return true;
	if (str_starts(key, S("attributes.")))
		key = str_sub(key, 11, key.n);
	for (size_t i = 0; i < ARRAY_LEN(attributes); i++)
		if (str_eq_c(key, attributes[i]))
			return true;
	return number_of(&none, key, &number);
}

static enum err parse_orders(struct search *s)
{
	yyjson_val *list = yyjson_obj_get(s->m->args, "order_by"), *one;
	size_t i, n;
	yyjson_arr_foreach(list, i, n, one)
	{
		struct str key = json_str(one, "field_name");
		if (!key.n || i == ORDERS_MAX)
			return err_set(&s->m->et, ERR_INVALID,
				"order_by: objects with a field_name are expected, at most %d",
				ORDERS_MAX);
		if (!orderable(key))
			return err_set(&s->m->et, ERR_INVALID, "Invalid order by field name: %.*s",
				STR_FMT(str_sub(key, 0, 100)));
		s->orders[s->n_orders].key = key;
		s->orders[s->n_orders].dataset = json_str(one, "dataset_name");
		s->orders[s->n_orders].digest = json_str(one, "dataset_digest");
		s->orders[s->n_orders++].descending = !json_bool(one, "ascending", true);
	}
	return OK;
}

static enum err read_datasets(struct search *s)
{
	yyjson_val *one;
	size_t i, n;
	s->datasets = yyjson_obj_get(s->m->args, "datasets");
	if (yyjson_arr_size(s->datasets) > DATASETS_MAX)
		return err_set(&s->m->et, ERR_INVALID, "datasets: at most %d", DATASETS_MAX);
	yyjson_arr_foreach(s->datasets, i, n,
		one) if (!json_str(one, "dataset_name").n) return err_set(&s->m->et, ERR_INVALID,
		"`dataset_name` in the `datasets` clause must be specified.");
	return OK;
}

static enum err find_all(struct search *s)
{
	struct mlreg *m = s->m;
	yyjson_val *list = yyjson_obj_get(m->args, "experiment_ids"), *one;
	size_t i, n;
	enum err e = OK;
	yyjson_arr_foreach(list, i, n, one)
	{
		e = logged_each(m->tx, m->project, json_val_str(one), on_model, s, &m->et);
		if (e)
			return e;
	}
	if (s->n)
		qsort_r(s->v, s->n, sizeof *s->v, cmp_found, s);
	return OK;
}

static enum err write_found(struct search *s, int64_t offset, int64_t max)
{
	struct mlreg *m = s->m;
	size_t from = (size_t)MIN(offset, (int64_t)s->n),
	       to = (size_t)MIN(offset + max, (int64_t)s->n);
	struct buf token = {0};
	enum err e = OK;
	jw_obj(&m->w);
	jw_key(&m->w, "models");
	jw_arr(&m->w);
	for (size_t i = from; i < to && !e; i++)
		e = write_model(m, &s->v[i].model);
	jw_end(&m->w);
	if (to < s->n) {
		page_token(&token, (int64_t)to);
		jw_kstr(&m->w, "next_page_token", buf_str(&token));
	}
	jw_end(&m->w);
	buf_free(&token);
	return e;
}

static MLREG(mlflow_logged_search)
{
	FIELDS({"experiment_ids", MLFLOW_TEXTS, true}, {"filter", MLFLOW_TEXT, false},
		{"max_results", MLFLOW_INT, false}, {"order_by", MLFLOW_ARRAY, false},
		{"page_token", MLFLOW_TEXT, false}, {"datasets", MLFLOW_ARRAY, false});
	struct mlreg m;
	struct search s = {.m = &m};
	int64_t offset = 0, max = 100;
	enum err e = BEGIN(TX_READ);
	if (!e) {
		struct str filter = mlflow_text(m.args, "filter");
		max = mlflow_int(m.args, "max_results", max);
		e = filter_parse(filter.p ? filter : S(""), m.a, &s.clauses, &s.n_clauses, &m.et);
	}
	if (!e && (max < 1 || max > PAGE_MAX))
		e = err_set(&m.et, ERR_INVALID, "max_results: a number from 1 to %d is expected",
			PAGE_MAX);
	if (!e)
		e = read_datasets(&s);
	if (!e)
		e = page_offset(mlflow_text(m.args, "page_token"), &offset, &m.et);
	if (!e)
		e = parse_orders(&s);
	if (!e)
		e = find_all(&s);
	if (!e)
		e = write_found(&s, offset, max);
	free(s.v);
	mlreg_end(&m, e);
}

/* ---- files ---- */

/* Where the model's file or folder `path` is in the artifact proxy. */
static enum err place_of(struct croft *c, struct http_request *rq, struct str path,
	struct str *location, struct str *full, struct errtext *et)
{
	static const struct str scheme = {"mlflow-artifacts:/", 18};
	struct tx *tx;
	struct logged_model v;
	enum err e = run_file_path(path, true, et);
	if (!e)
		e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = logged_get(tx, project_of(rq), http_param(rq, "model_id"), false, rq->arena, &v, et);
	db_rollback(tx);
	if (e)
		return e;
	if (!str_starts(v.location, scheme))
		return err_set(et, ERR_UNSUPPORTED,
			"the files of this model are not kept here but at %.*s",
			STR_FMT(str_sub(v.location, 0, 300)));
	*location = v.location;
	*full = arena_fmt(rq->arena, "%.*s%s%.*s",
		STR_FMT(str_sub(v.location, scheme.n, v.location.n)), path.n ? "/" : "",
		STR_FMT(path));
	return full->p ? OK : err_set(et, ERR_NOMEM, "no memory for a path");
}

static void list_files(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct run_file *v = NULL;
	size_t n = 0;
	struct str path = http_query(rq, "artifact_directory_path"), location, full;
	struct buf b = {0};
	struct jw w = {.out = &b};
	enum err e = place_of(c, rq, path.p ? path : S(""), &location, &full, &et);
	if (!e)
		e = run_file_list(c, project_of(rq), full, rq->arena, &v, &n, &et);
	if (!e) {
		jw_obj(&w);
		jw_kstr(&w, "root_uri", location);
		mlflow_write_files(&w, path, v, n);
		jw_end(&w);
	}
	e ? mlflow_reply_error(rs, e, &et) : http_reply_json(rs, 200, &w);
	buf_free(&b);
}

static void get_file(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct str path = http_query(rq, "artifact_file_path"), location, full;
	enum err e = path.n ? place_of(c, rq, path, &location, &full, &et)
			    : err_set(&et, ERR_INVALID,
				      "Request must include the \"artifact_file_path\" query "
				      "parameter.");
	if (e)
		mlflow_reply_error(rs, e, &et);
	else
		mlflow_send_path(c, rq, rs, full, &et);
}

#define LOGGED "/api/2.0/mlflow/logged-models"

static const struct route routes[] = {
	{HTTP_POST, LOGGED, mlflow_logged_create, PERM_RUN_WRITE, "MLflow: log a model", NULL,
		"object", "object", 0},
	{HTTP_POST, LOGGED "/search", mlflow_logged_search, PERM_RUN_READ,
		"MLflow: search logged models", NULL, "object", "object", 0},
	{HTTP_GET, LOGGED "/{model_id}", mlflow_logged_get, PERM_RUN_READ,
		"MLflow: show a logged model", "{ allow_deleted?: boolean }", NULL, "object", 0},
	{HTTP_PATCH, LOGGED "/{model_id}", mlflow_logged_finalize, PERM_RUN_WRITE,
		"MLflow: say that a logged model is complete", NULL, "object", "object", 0},
	{HTTP_DELETE, LOGGED "/{model_id}", mlflow_logged_delete, PERM_RUN_DELETE,
		"MLflow: delete a logged model", NULL, "object", "object", 0},
	{HTTP_GET, LOGGED "/{model_id}/artifacts/directories", list_files, PERM_RUN_READ,
		"MLflow: list a logged model's files", "{ artifact_directory_path? }", NULL,
		"object", 0},
	{HTTP_GET, LOGGED "/{model_id}/artifacts/files", get_file, PERM_RUN_READ,
		"MLflow: fetch a file of a logged model", "{ artifact_file_path: string }", NULL,
		NULL, 0},
	{HTTP_POST, LOGGED "/{model_id}/params", mlflow_logged_params, PERM_RUN_WRITE,
		"MLflow: add parameters to a logged model", NULL, "object", "object", 0},
	{HTTP_PATCH, LOGGED "/{model_id}/tags", mlflow_logged_tags, PERM_RUN_WRITE,
		"MLflow: tag a logged model", NULL, "object", "object", 0},
	{HTTP_DELETE, LOGGED "/{model_id}/tags/{key}", mlflow_logged_drop_tag, PERM_RUN_WRITE,
		"MLflow: remove a tag of a logged model", NULL, "object", "object", 0},
};

const struct module mlflow_logged_module = {
	.name = "mlflow_logged",
	.migrations = logged_migrations,
	.n_migrations = ARRAY_LEN(logged_migrations),
	TABLE(routes),
};
