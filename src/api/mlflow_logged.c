/* MLflow's logged models: create, finalize, params, tags, search, delete, list their files. */
#include "api/mlflow_int.h"
#include "api/mlflow_lineage.h"
#include "api/mlflow_registry.h"
#include "base/clock.h"
#include "base/room.h"
#include "text/filter.h"
#include "run/file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define FIELDS(...) static const struct mlflow_field fields[] = {__VA_ARGS__}
#define BEGIN(kind) mlreg_begin(&m, c, rq, rs, kind, fields, ARRAY_LEN(fields))

enum { PAIRS_MAX = 1000, PAGE_MAX = 1000, DATASETS_MAX = 100 };

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

/* Experiments have their own way to the database: asked before the transaction begins. */
static enum err experiment_is_there(struct croft *c, struct http_request *rq, struct errtext *et)
{
	FIELDS({"experiment_id", MLFLOW_TEXT, true});
	yyjson_val *args;
	struct experiment x;
	int64_t number;
	enum err e = mlflow_args(rq, fields, ARRAY_LEN(fields), &args, et);
	if (!e)
		e = mlflow_experiment_id(mlflow_text(args, "experiment_id"), &number, et);
	return e ? e : experiment_get(c, project_of(rq), number, rq->arena, &x, et);
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
	m = (struct mlreg){.c = c, .rq = rq, .rs = rs};
	enum err e = experiment_is_there(c, rq, &m.et);
	if (!e)
		e = BEGIN(TX_WRITE);
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

enum { G_ATTRIBUTE, G_METRIC, G_PARAM, G_TAG };
enum {
	K_NAME,
	K_ID,
	K_TYPE,
	K_STATUS,
	K_RUN,
	K_CREATED,
	K_UPDATED,
	K_EXPERIMENT,
	K_LOCATION,
};

#define TEXTS (FILTER_OPS_TEXT | FILTER_OP_IN)

static const struct filter_key keys[] = {
	[K_NAME] = {.names = {"name"}},
	[K_ID] = {.names = {"model_id"}},
	[K_TYPE] = {.names = {"model_type"}},
	[K_STATUS] = {.names = {"status"}},
	[K_RUN] = {.names = {"source_run_id"}},
	[K_CREATED] = {.names = {"creation_timestamp", "creation_timestamp_ms", "creation_time"},
		.type = FILTER_NUMBER},
	[K_UPDATED] = {.names = {"last_updated_timestamp", "last_updated_timestamp_ms",
			       "last_updated_time"},
		.type = FILTER_NUMBER},
	[K_EXPERIMENT] = {.names = {"experiment_id"}},
	[K_LOCATION] = {.names = {"artifact_location"}},
};

static const struct filter_group groups[] = {
	[G_ATTRIBUTE] = {.names = {"attributes"},
		.keys = keys,
		.n_keys = ARRAY_LEN(keys),
		.ops = TEXTS},
	[G_METRIC] = {.names = {"metrics"}, .ops = FILTER_OPS_NUMBER, .type = FILTER_NUMBER},
	[G_PARAM] = {.names = {"params"}, .ops = TEXTS},
	[G_TAG] = {.names = {"tags"}, .ops = TEXTS},
};

static const struct filter_language language = {
	groups, ARRAY_LEN(groups), true, FILTER_OF_LOGGED, false};

struct found {
	struct logged_model model;
	struct logged_pair *pairs;
	size_t n_pairs;
	struct logged_metric *metrics; /* while it is looked at */
	size_t n_metrics;
	double newest[FILTER_ORDERS_MAX]; /* of the metric that the i-th order names */
};

struct search {
	struct mlreg *m;
	const struct filter *filter;
	struct filter_order orders[FILTER_ORDERS_MAX];
	struct {
		struct str name, digest; /* "": any */
	} on[FILTER_ORDERS_MAX];         /* the dataset of a metric that is ordered by */
	size_t n_orders;
	yyjson_val *datasets;
	struct found **v;
	size_t n, cap;
	char hex[ID_HEX + 1];
};

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

static struct str text_of(struct search *s, const struct logged_model *v, unsigned key)
{
	static const char *const words[] = {"UNSPECIFIED", "PENDING", "READY", "FAILED"};
	switch (key) {
	case K_NAME:
		return v->name;
	case K_ID:
		return v->id;
	case K_TYPE:
		return v->type;
	case K_STATUS:
		return str_c(words[(size_t)v->status < ARRAY_LEN(words) ? v->status : 0]);
	case K_EXPERIMENT:
		return v->experiment;
	case K_LOCATION:
		return v->location;
	}
	id_hex(v->run, s->hex);
	return id_is_zero(v->run) ? (struct str){0} : str_c(s->hex);
}

/* The at-th one of that name on one of the datasets asked for. */
static bool metric_of(const struct search *s, const struct found *f, struct str name, size_t at,
	struct filter_value *out)
{
	for (size_t i = 0; i < f->n_metrics; i++)
		if (str_eq(f->metrics[i].name, name) && on_one_of(s, &f->metrics[i]) && !at--) {
			out->is_number = true;
			out->number = f->metrics[i].value;
			return true;
		}
	return false;
}

static bool value_of(void *ctx, const void *item, const struct filter_name *n, size_t at,
	struct filter_value *out)
{
	const struct found *f = item;
	if (n->group == G_METRIC)
		return metric_of(ctx, f, n->key, at, out);
	if (at)
		return false;
	for (size_t i = 0; n->group != G_ATTRIBUTE && i < f->n_pairs && !out->text.p; i++)
		if (f->pairs[i].param == (n->group == G_PARAM) && str_eq(f->pairs[i].key, n->key))
			out->text = f->pairs[i].value;
	if (n->group == G_ATTRIBUTE && n->type == FILTER_TEXT)
		out->text = text_of(ctx, &f->model, n->index);
	out->is_number = n->type != FILTER_TEXT;
	out->number = (double)(n->index == K_CREATED ? f->model.created_ms : f->model.updated_ms);
	return out->is_number || out->text.p;
}

/* For an order: the i-th one's metric is the newest on its dataset. */
static bool order_value(void *ctx, const void *item, const struct filter_name *n, size_t at,
	struct filter_value *out)
{
	const struct search *s = ctx;
	size_t i = 0; /* filter_sort hands over the orders' own names */
	if (n->group != G_METRIC)
		return value_of(ctx, item, n, at, out);
	while (i < s->n_orders && &s->orders[i].name != n)
		i++;
	out->is_number = true;
	out->number = ((const struct found *)item)->newest[i];
	return !isnan(out->number);
}

static bool matches(struct search *s, const struct found *f)
{
	bool measured = !yyjson_arr_size(s->datasets) || filter_asks(s->filter, G_METRIC);
	for (size_t i = 0; i < f->n_metrics && !measured; i++)
		measured = on_one_of(s, &f->metrics[i]);
	return measured && filter_match(s->filter, &(struct filter_subject){value_of, s}, f);
}

static void find_newest(const struct search *s, struct found *f)
{
	for (size_t i = 0; i < s->n_orders; i++) {
		f->newest[i] = NAN;
		for (size_t k = f->n_metrics; s->orders[i].name.group == G_METRIC && k-- > 0;)
			if (str_eq(f->metrics[k].name, s->orders[i].name.key) &&
				on_dataset(&f->metrics[k], s->on[i].name, s->on[i].digest))
				f->newest[i] = f->metrics[k].value;
	}
}

static bool needs_metrics(const struct search *s)
{
	bool yes = yyjson_arr_size(s->datasets) || filter_asks(s->filter, G_METRIC);
	for (size_t i = 0; i < s->n_orders; i++)
		yes |= s->orders[i].name.group == G_METRIC;
	return yes;
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
	struct found *f = arena_new_of(s->m->a, struct found);
	if (!f)
		return err_set(et, ERR_NOMEM, "no memory for a search");
	enum err e = copy_model(s->m->a, v, &f->model, et);
	if (!e)
		e = logged_pairs(
			s->m->tx, s->m->project, v->id, s->m->a, &f->pairs, &f->n_pairs, et);
	if (!e && needs_metrics(s))
		e = logged_metrics(s->m->tx, s->m->project, v->id, S(""), s->m->a, &f->metrics,
			&f->n_metrics, et);
	if (e || !matches(s, f))
		return e;
	find_newest(s, f);
	if (!heap_room(s->v, s->n, s->cap))
		return err_set(et, ERR_NOMEM, "no memory for a search");
	s->v[s->n++] = f;
	return OK;
}

static int newest_first(const void *x, const void *y)
{
	const struct found *a = x, *b = y;
	int64_t d = b->model.created_ms - a->model.created_ms;
	return d ? (d > 0) - (d < 0) : -str_cmp(a->model.id, b->model.id);
}

/* A field's name stands without quotes, whatever it is of. */
static struct str order_text(struct arena *a, struct str field, bool ascending)
{
	const char *way = ascending ? "ASC" : "DESC";
	size_t dot = str_chr(field, '.');
	if (dot == STR_NONE)
		return arena_fmt(a, "%.*s %s", STR_FMT(field), way);
	return arena_fmt(a, "%.*s.`%.*s` %s", STR_FMT(str_sub(field, 0, dot)),
		STR_FMT(str_sub(field, dot + 1, field.n)), way);
}

static enum err parse_orders(struct search *s)
{
	yyjson_val *list = yyjson_obj_get(s->m->args, "order_by"), *one;
	struct str texts[FILTER_ORDERS_MAX];
	size_t i, n;
	yyjson_arr_foreach(list, i, n, one)
	{
		struct str field = json_str(one, "field_name");
		if (!field.n || i == FILTER_ORDERS_MAX)
			return err_set(&s->m->et, ERR_INVALID,
				"order_by: objects with a field_name are expected, at most %d",
				FILTER_ORDERS_MAX);
		texts[i] = order_text(s->m->a, field, json_bool(one, "ascending", true));
		s->on[i].name = json_str(one, "dataset_name");
		s->on[i].digest = json_str(one, "dataset_digest");
		if (filter_parse_orders(&texts[i], 1, &language, s->m->a, &s->orders[i], &s->m->et))
			return err_set(&s->m->et, ERR_INVALID, "Invalid order by field name: %.*s",
				STR_FMT(str_sub(field, 0, 100)));
		s->n_orders = i + 1;
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
	return filter_sort(s->orders, s->n_orders, &(struct filter_subject){order_value, s},
		(void **)s->v, s->n, newest_first, m->a, &m->et);
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
		e = write_model(m, &s->v[i]->model);
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
		e = filter_parse(filter.p ? filter : S(""), &language, m.a, &s.filter, &m.et);
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
