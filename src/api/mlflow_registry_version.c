/* MLflow's model versions: create from a source, describe, stage, delete, tags, where the files
 * are. */
#include "api/mlflow_lineage.h"
#include "api/mlflow_registry.h"
#include "api/mlflow_webhook.h"
#include "run/track.h"

#include <stdio.h>

#define FIELDS(...) static const struct mlflow_field fields[] = {__VA_ARGS__}
#define BEGIN(kind) mlreg_begin(&m, c, rq, rs, kind, fields, ARRAY_LEN(fields))
#define NAME_VERSION                         \
	{"name", MLFLOW_TEXT, true},         \
	{                                    \
		"version", MLFLOW_TEXT, true \
	}

/* ---- sources ----
 *
 * A version says where its files are. What a client may say is checked as MLflow does, since others
 * will fetch from there: no path of this machine, no "..", and a source among a run's or a logged
 * model's files only together with that run or model. */

struct source {
	struct str uri, run_id, model_id;
	bool prompt;
};

static bool has_scheme(struct str uri)
{
	size_t colon = str_chr(uri, ':');
	if (colon == STR_NONE || colon < 2)
		return false;
	for (size_t i = 0; i < colon; i++) {
		char c = uri.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    c == '+' || c == '-' || c == '.'))
			return false;
	}
	return true;
}

/* ".." in any number of encodings. */
static bool climbs(struct str uri)
{
	struct buf a = {0}, b = {0};
	bool bad = false;
	buf_adds(&a, uri);
	for (int i = 0; i < 8 && !bad; i++) {
		struct str rest = buf_str(&a), part;
		while (str_next(&rest, '/', &part))
			bad |= str_eq_c(part, "..") || str_chr(part, '\\') != STR_NONE;
		buf_clear(&b);
		url_decode(&b, buf_str(&a), false);
		if (str_eq(buf_str(&a), buf_str(&b)))
			break;
		struct buf t = a;
		a = b;
		b = t;
	}
	buf_free(&a);
	buf_free(&b);
	return bad;
}

static enum err not_the_source(struct mlreg *m, const struct source *s, const char *what)
{
	return err_set(&m->et, ERR_INVALID,
		"Invalid model version source: '%.*s'. The %s request parameter must identify the "
		"resource that contains the source.",
		STR_FMT(str_sub(s->uri, 0, 200)), what);
}

/* mlflow-artifacts:/EXPERIMENT/RUN/artifacts/... must be that run's. */
static bool within_run(const struct source *s)
{
	struct buf part = {0};
	buf_addf(&part, "/%.*s/artifacts", STR_FMT(s->run_id));
	bool yes = s->run_id.n && str_find(s->uri, buf_str(&part)) != STR_NONE;
	buf_free(&part);
	return yes;
}

static enum err check_logged(struct mlreg *m, const struct source *s)
{
	struct logged_model model;
	enum err e = logged_get(m->tx, m->project, s->model_id, false, m->a, &model, &m->et);
	if (e)
		return e;
	if (str_starts(s->uri, S("models:/")))
		return str_eq(str_sub(s->uri, 8, s->uri.n), s->model_id)
			       ? OK
			       : not_the_source(m, s, "model_id");
	if (str_starts(s->uri, S("runs:")))
		return not_the_source(m, s, "model_id");
	if (str_starts(s->uri, S("mlflow-artifacts:")))
		return str_starts(s->uri, model.location) &&
				       (s->uri.n == model.location.n ||
					       s->uri.p[model.location.n] == '/')
			       ? OK
			       : not_the_source(m, s, "model_id");
	return OK;
}

static enum err check_source(struct mlreg *m, const struct source *s)
{
	if (s->prompt)
		return OK;
	if (!has_scheme(s->uri) || str_starts(s->uri, S("file:")))
		return err_set(&m->et, ERR_INVALID,
			"Invalid model version source: '%.*s'. To use a local path as a model "
			"version source, the run_id request parameter has to be specified and the "
			"local path has to be contained within the artifact directory of the run "
			"specified by the run_id.",
			STR_FMT(str_sub(s->uri, 0, 160)));
	if (climbs(s->uri))
		return err_set(&m->et, ERR_INVALID,
			"Invalid model version source: '%.*s'. If supplying a source as an http, "
			"https, local file path, ftp, or mlflow-artifacts uri, an absolute path "
			"must be provided without relative path references present. Please "
			"provide an absolute path.",
			STR_FMT(str_sub(s->uri, 0, 160)));
	if (s->model_id.n)
		return check_logged(m, s);
	if (str_starts(s->uri, S("models:/m-")))
		return not_the_source(m, s, "model_id");
	if (str_starts(s->uri, S("runs:"))) {
		struct str rest = str_sub(s->uri, 5, s->uri.n), run;
		while (str_starts(rest, S("/")))
			rest = str_sub(rest, 1, rest.n);
		if (!str_next(&rest, '/', &run) || !str_eq(run, s->run_id))
			return not_the_source(m, s, "run_id");
	}
	if (str_starts(s->uri, S("mlflow-artifacts:")) && !within_run(s))
		return not_the_source(m, s, "run_id");
	return OK;
}

/* models:/NAME/VERSION and models:/NAME@ALIAS of this registry: the version meant. */
static enum err registered_source(
	struct mlreg *m, struct str uri, struct artifact_version *out, bool *is_one)
{
	struct str rest = str_sub(uri, 8, uri.n);
	size_t at = str_rchr(rest, '@'), slash = str_rchr(rest, '/');
	struct ref r = {.kind = S("model")};
	struct artifact of;
	*is_one = false;
	if (!str_starts(uri, S("models:/")) || str_starts(rest, S("m-")) ||
		(at == STR_NONE && slash == STR_NONE))
		return OK;
	r.name = str_sub(rest, 0, at != STR_NONE ? at : slash);
	if (at != STR_NONE)
		r.alias = str_sub(rest, at + 1, rest.n);
	else if (!str_i64(str_sub(rest, slash + 1, rest.n), &r.version))
		return err_set(&m->et, ERR_INVALID, "Invalid model version source: '%.*s'.",
			STR_FMT(str_sub(uri, 0, 200)));
	enum err e = artifact_find(m->tx, m->project, r.kind, r.name, m->a, &of, &m->et);
	if (!e)
		e = ref_version(m->tx, &of, &r, (struct artifact_time){0}, m->a, out, &m->et);
	if (!e)
		e = artifact_readable(m->tx, m->rq, of.id, of.kind, of.name, out->version, &m->et);
	*is_one = !e;
	return e;
}

/* ---- create ---- */

/* run_link, model_id, and a run_id that is no id of ours. */
static struct str metadata(struct mlreg *m, const struct source *s, bool odd_run, struct buf *out)
{
	struct jw w = {.out = out};
	struct str link = mlflow_text(m->args, "run_link");
	if (!link.n && !s->model_id.n && !odd_run)
		return S("");
	jw_obj(&w);
	jw_key(&w, "mlflow");
	jw_obj(&w);
	if (link.n)
		jw_kstr(&w, "run_link", link);
	if (s->model_id.n)
		jw_kstr(&w, "model_id", s->model_id);
	if (odd_run)
		jw_kstr(&w, "run_id", s->run_id);
	jw_end(&w);
	jw_end(&w);
	return buf_str(out);
}

/* What the version inherits from the logged model or the version that it points at. */
static enum err inherit(struct mlreg *m, struct source *s, struct str *derived)
{
	struct artifact_version from;
	struct logged_model model;
	bool is_one;
	enum err e = registered_source(m, s->uri, &from, &is_one);
	if (e)
		return e;
	if (is_one) {
		char hex[ID_HEX + 1];
		id_hex(from.run, hex);
		if (!s->run_id.n && !id_is_zero(from.run))
			s->run_id = arena_str(m->a, str_c(hex));
		if (!s->model_id.n)
			s->model_id = mlflow_member(&from, "model_id", m->a);
		*derived = node_version(m->a, from.artifact, from.version);
		return OK;
	}
	if (s->model_id.n && !s->run_id.n &&
		!logged_get(m->tx, m->project, s->model_id, false, m->a, &model, NULL) &&
		!id_is_zero(model.run)) {
		char hex[ID_HEX + 1];
		id_hex(model.run, hex);
		s->run_id = arena_str(m->a, str_c(hex));
	}
	return OK;
}

/* The logged model remembers what it was registered as: MLflow's clients look for that tag, and
 * read it as JSON as Python writes it. */
static enum err tag_logged(struct mlreg *m, struct str model, struct str name, int64_t version)
{
	struct buf value = {0}, one = {0};
	struct jw w = {.out = &one};
	struct str had = {0};
	struct logged_pair *pairs = NULL;
	size_t n = 0;
	enum err e = logged_pairs(m->tx, m->project, model, m->a, &pairs, &n, &m->et);
	for (size_t i = 0; i < n; i++)
		if (!pairs[i].param && str_eq_c(pairs[i].key, "mlflow.modelVersions"))
			had = str_trim(pairs[i].value);
	jw_str(&w, name);
	bool list = had.n > 2 && str_starts(had, S("[")) && str_ends(had, S("]"));
	buf_addf(&value, "%.*s%s{\"name\": %.*s, \"version\": %lld}]",
		STR_FMT(list ? str_sub(had, 0, had.n - 1) : S("[")), list ? ", " : "",
		STR_FMT(buf_str(&one)), (long long)version);
	if (!e)
		e = logged_set_pair(m->tx, m->project, model,
			&(struct logged_pair){S("mlflow.modelVersions"), buf_str(&value), false},
			&m->et);
	buf_free(&one);
	buf_free(&value);
	return e;
}

static enum err link_logged(
	struct mlreg *m, const struct artifact *of, const struct source *s, int64_t version)
{
	if (!s->model_id.n || s->prompt)
		return OK;
	enum err e = tag_logged(m, s->model_id, of->name, version);
	return e ? e
		 : mlflow_lineage_registered(m->tx, m->rq, s->model_id, of->id, version, &m->et);
}

static enum err create(struct mlreg *m, const struct artifact *of, struct source *s)
{
	struct buf meta = {0};
	struct str derived = {0};
	int64_t version = 0;
	struct version_new v = {.kind = of->kind,
		.name = of->name,
		.source = s->uri,
		.description = mlflow_text(m->args, "description")};
	enum err e = inherit(m, s, &derived);
	bool odd_run = !e && s->run_id.n && !id_parse(s->run_id, &v.run);
	v.metadata = metadata(m, s, odd_run, &meta);
	if (!e)
		e = artifact_put_version(m->tx, m->rq->who, &v, &version, &m->et);
	if (!e && derived.p)
		e = lineage_add(m->tx, m->rq->who,
			&(struct edge){.node = node_version(m->a, of->id, version),
				.kind = EDGE_DERIVED,
				.source = derived},
			&m->et);
	if (!e)
		e = mlreg_put_tags(m, of->id, version);
	if (!e)
		e = link_logged(m, of, s, version);
	if (!e)
		e = webhook_announce(m, of, HOOK_VERSION_CREATED, version);
	if (!e)
		e = mlreg_reply_version(m, of->id, version);
	buf_free(&meta);
	return e;
}

MLREG(mlflow_version_create)
{
	FIELDS({"name", MLFLOW_TEXT, true}, {"source", MLFLOW_TEXT, true},
		{"run_id", MLFLOW_TEXT, false}, {"run_link", MLFLOW_TEXT, false},
		{"description", MLFLOW_TEXT, false}, {"model_id", MLFLOW_TEXT, false},
		{"tags", MLFLOW_ARRAY, false});
	struct mlreg m;
	struct artifact of;
	enum err e = BEGIN(TX_WRITE);
	if (!e)
		e = mlreg_model(&m, "name", &of);
	if (!e) {
		struct source s = {.uri = mlflow_text(m.args, "source"),
			.run_id = mlflow_text(m.args, "run_id"),
			.model_id = mlflow_text(m.args, "model_id"),
			.prompt = str_eq_c(of.kind, "prompt")};
		e = check_source(&m, &s);
		if (!e)
			e = create(&m, &of, &s);
	}
	mlreg_end(&m, e);
}

/* ---- one version ---- */

static enum err find(struct mlreg *m, struct artifact *of, struct artifact_version *v)
{
	enum err e = mlreg_model(m, "name", of);
	return e ? e : mlreg_version(m, of, v);
}

MLREG(mlflow_version_get)
{
	FIELDS(NAME_VERSION);
	struct mlreg m;
	struct artifact of;
	struct artifact_version v;
	enum err e = BEGIN(TX_READ);
	if (!e)
		e = find(&m, &of, &v);
	if (!e)
		e = mlreg_reply_version(&m, of.id, v.version);
	mlreg_end(&m, e);
}

MLREG(mlflow_version_update)
{
	FIELDS(NAME_VERSION, {"description", MLFLOW_TEXT, false});
	struct mlreg m;
	struct artifact of;
	struct artifact_version v;
	enum err e = BEGIN(TX_WRITE);
	if (!e)
		e = find(&m, &of, &v);
	if (!e)
		e = artifact_describe(
			m.tx, rq->who, &of, v.version, mlflow_text(m.args, "description"), &m.et);
	if (!e)
		e = mlreg_reply_version(&m, of.id, v.version);
	mlreg_end(&m, e);
}

MLREG(mlflow_version_delete)
{
	FIELDS(NAME_VERSION);
	struct mlreg m;
	struct artifact of;
	struct artifact_version v;
	enum err e = BEGIN(TX_WRITE);
	if (!e)
		e = find(&m, &of, &v);
	if (!e)
		e = version_delete(m.tx, rq->who, &of, v.version, S(""), &m.et);
	mlreg_end(&m, e);
}

/* Where to fetch from: a logged model's location, another version's, or the source as it is. */
static enum err location(
	struct mlreg *m, const struct artifact_version *v, unsigned depth, struct str *out)
{
	struct logged_model model;
	struct artifact_version from;
	bool is_one;
	if (str_starts(v->source, S("models:/m-"))) {
		enum err e = logged_get(m->tx, m->project, str_sub(v->source, 8, v->source.n),
			false, m->a, &model, &m->et);
		if (!e)
			*out = model.location;
		return e;
	}
	enum err e = registered_source(m, v->source, &from, &is_one);
	if (e)
		return e;
	if (is_one && depth < 16)
		return location(m, &from, depth + 1, out);
	*out = v->source;
	return OK;
}

MLREG(mlflow_version_uri)
{
	FIELDS(NAME_VERSION);
	struct mlreg m;
	struct artifact of;
	struct artifact_version v;
	struct str uri = {0};
	enum err e = BEGIN(TX_READ);
	if (!e)
		e = find(&m, &of, &v);
	if (!e)
		e = location(&m, &v, 0, &uri);
	jw_obj(&m.w);
	jw_kstr(&m.w, "artifact_uri", uri.p ? uri : S(""));
	jw_end(&m.w);
	mlreg_end(&m, e);
}

/* ---- stages: MLflow's way before there were aliases ---- */

static enum err archive_others(
	struct mlreg *m, const struct artifact *of, int64_t but, struct str stage)
{
	struct fact *list;
	size_t n = 0;
	enum err e = facts_now(m->tx, of->id, -1, S("stage"), m->a, &list, &n, &m->et);
	for (size_t i = 0; i < n && !e; i++)
		if (list[i].version != but && str_eq(list[i].value, stage))
			e = artifact_stage_set(
				m->tx, m->rq->who, of, list[i].version, S("Archived"), &m->et);
	return e;
}

MLREG(mlflow_version_stage)
{
	FIELDS(NAME_VERSION, {"stage", MLFLOW_TEXT, true},
		{"archive_existing_versions", MLFLOW_BOOL, false});
	struct mlreg m;
	struct artifact of;
	struct artifact_version v;
	struct str stage = {0};
	enum err e = BEGIN(TX_WRITE);
	bool archive = !e && mlflow_bool(m.args, "archive_existing_versions", false);
	if (!e && !mlflow_stage_parse(mlflow_text(m.args, "stage"), &stage))
		e = err_set(&m.et, ERR_INVALID,
			"Invalid Model Version stage: %.*s. Value must be one of None, Staging, "
			"Production, Archived.",
			STR_FMT(str_sub(mlflow_text(m.args, "stage"), 0, 60)));
	if (!e && archive && !str_eq_c(stage, "Staging") && !str_eq_c(stage, "Production"))
		e = err_set(&m.et, ERR_INVALID,
			"Model version transition cannot archive existing model versions because "
			"'%.*s' is not an Active stage. Valid stages are ['Staging', 'Production']",
			STR_FMT(stage));
	if (!e)
		e = find(&m, &of, &v);
	if (!e)
		e = artifact_stage_set(m.tx, rq->who, &of, v.version, stage, &m.et);
	if (!e && archive)
		e = archive_others(&m, &of, v.version, stage);
	if (!e)
		e = mlreg_reply_version(&m, of.id, v.version);
	mlreg_end(&m, e);
}

/* ---- tags ---- */

MLREG(mlflow_version_set_tag)
{
	FIELDS(NAME_VERSION, {"key", MLFLOW_TEXT, true}, {"value", MLFLOW_TEXT, false});
	struct mlreg m;
	struct artifact of;
	struct artifact_version v;
	enum err e = BEGIN(TX_WRITE);
	if (!e)
		e = find(&m, &of, &v);
	if (!e) {
		struct str value = mlflow_text(m.args, "value");
		e = artifact_tag_set(m.tx, rq->who, of.id, v.version, mlflow_text(m.args, "key"),
			value.p ? value : S(""), &m.et);
	}
	if (!e)
		e = webhook_announce(&m, &of, HOOK_VERSION_TAG_SET, v.version);
	mlreg_end(&m, e);
}

MLREG(mlflow_version_delete_tag)
{
	FIELDS(NAME_VERSION, {"key", MLFLOW_TEXT, true});
	struct mlreg m;
	struct artifact of;
	struct artifact_version v;
	enum err e = BEGIN(TX_WRITE);
	if (!e)
		e = find(&m, &of, &v);
	if (!e)
		e = artifact_tag_set(m.tx, rq->who, of.id, v.version, mlflow_text(m.args, "key"),
			(struct str){0}, &m.et);
	if (!e)
		e = webhook_announce(&m, &of, HOOK_VERSION_TAG_DELETED, v.version);
	mlreg_end(&m, e);
}
