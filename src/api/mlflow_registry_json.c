/* One call of the registry's routes, and models and versions as MLflow's JSON. */
#include "api/mlflow_registry.h"
#include "api/mlflow_webhook.h"
#include "base/hash.h"

#include <stdio.h>

enum err mlreg_begin(struct mlreg *m, struct croft *c, struct http_request *rq,
	struct http_response *rs, enum tx_kind kind, const struct mlflow_field *fields, size_t n)
{
	*m = (struct mlreg){.c = c, .rq = rq, .rs = rs, .project = project_of(rq), .a = rq->arena};
	m->w.out = &m->out;
	enum err e = mlflow_args(rq, fields, n, &m->args, &m->et);
	return e ? e : db_begin(croft_db(c), kind, &m->tx, &m->et);
}

void mlreg_end(struct mlreg *m, enum err e)
{
	if (!e && m->tx) {
		e = db_commit(m->tx, &m->et);
		if (!e && m->announced)
			webhook_wake(m->c);
	} else {
		db_rollback(m->tx);
	}
	if (e)
		mlflow_reply_error(m->rs, e, &m->et);
	else if (m->out.n)
		http_reply_json(m->rs, 200, &m->w);
	else
		mlflow_reply(m->rs, OK, NULL);
	buf_free(&m->out);
}

/* ---- what the arguments name ---- */

enum err mlreg_name_check(struct mlreg *m, const char *key)
{
	struct str name = mlflow_text(m->args, key);
	if (!str_trim(name).n)
		return err_set(
			&m->et, ERR_INVALID, "Missing value for required parameter '%s'.", key);
	if (str_chr(name, '/') != STR_NONE || str_chr(name, ':') != STR_NONE)
		return err_set(&m->et, ERR_INVALID,
			"Invalid model name '%.*s'. Names cannot contain '/' or ':'.",
			STR_FMT(str_sub(name, 0, 200)));
	return OK;
}

enum err mlreg_model(struct mlreg *m, const char *key, struct artifact *out)
{
	static const char *const kinds[] = {"model", "prompt"};
	struct str name = mlflow_text(m->args, key);
	enum err e = mlreg_name_check(m, key);
	if (e)
		return e;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		e = artifact_find(m->tx, m->project, str_c(kinds[i]), name, m->a, out, &m->et);
		if (!e)
			e = artifact_readable(
				m->tx, m->rq, out->id, out->kind, out->name, 0, &m->et);
		if (e != ERR_NOT_FOUND)
			return e;
	}
	return err_set(&m->et, ERR_NOT_FOUND, "Registered Model with name=%.*s not found",
		STR_FMT(str_sub(name, 0, 300)));
}

enum err mlreg_version(struct mlreg *m, const struct artifact *of, struct artifact_version *out)
{
	yyjson_val *given = yyjson_obj_get(m->args, "version");
	int64_t version;
	if (!mlflow_as_int(given, &version))
		return err_set(&m->et, ERR_INVALID,
			"Parameter 'version' must be an integer, got '%.*s'.",
			STR_FMT(str_sub(json_val_str(given), 0, 60)));
	enum err e = artifact_get_version(m->tx, of->id, version, m->a, out, &m->et);
	if (e == ERR_NOT_FOUND || (!e && out->deleted))
		return err_set(&m->et, ERR_NOT_FOUND,
			"Model Version (name=%.*s, version=%lld) not found", STR_FMT(of->name),
			(long long)version);
	return e ? e : artifact_readable(m->tx, m->rq, of->id, of->kind, of->name, version, &m->et);
}

bool mlreg_has_prompt_tag(yyjson_val *args)
{
	yyjson_val *tags = yyjson_obj_get(args, "tags"), *tag;
	size_t i, n;
	yyjson_arr_foreach(
		tags, i, n, tag) if (str_eq_c(json_str(tag, "key"), PROMPT_TAG) &&
				     str_eq_nocase(json_str(tag, "value"), S("true"))) return true;
	return false;
}

enum err mlreg_put_tags(struct mlreg *m, struct id artifact, int64_t version)
{
	static const struct mlflow_field fields[] = {
		{"key", MLFLOW_TEXT, true}, {"value", MLFLOW_TEXT, false}};
	yyjson_val *tags = yyjson_obj_get(m->args, "tags"), *tag;
	size_t i, n;
	yyjson_arr_foreach(tags, i, n, tag)
	{
		char path[32];
		snprintf(path, sizeof path, "tags[%zu]", i);
		struct str value = json_str(tag, "value");
		enum err e = mlflow_check(tag, path, fields, ARRAY_LEN(fields), &m->et);
		if (!e)
			e = artifact_tag_set(m->tx, m->rq->who, artifact, version,
				json_str(tag, "key"), value.p ? value : S(""), &m->et);
		if (e)
			return e;
	}
	return OK;
}

/* ---- stages ---- */

static const char *const stages[MLFLOW_STAGES] = {"None", "Staging", "Production", "Archived"};

bool mlflow_stage_parse(struct str text, struct str *out)
{
	for (size_t i = 0; i < ARRAY_LEN(stages); i++)
		if (str_eq_nocase(text, str_c(stages[i]))) {
			*out = str_c(stages[i]);
			return true;
		}
	return false;
}

struct str mlflow_stage(struct tx *tx, const struct artifact_version *v, struct arena *a)
{
	struct fact f;
	bool found = false;
	if (fact_now(tx, v->artifact, v->version, S("stage"), S(""), a, &f, &found, NULL) || !found)
		return S("None");
	return f.value;
}

static enum err keep_latest(struct mlreg *m, const struct artifact *of, int64_t version,
	struct str stage, struct str seen[MLFLOW_STAGES], struct artifact_version *out, size_t *n)
{
	for (size_t i = 0; i < *n; i++)
		if (str_eq(seen[i], stage))
			return OK;
	if (*n == MLFLOW_STAGES)
		return OK;
	enum err e = artifact_get_version(m->tx, of->id, version, m->a, &out[*n], &m->et);
	if (!e)
		e = artifact_readable(m->tx, m->rq, of->id, of->kind, of->name, version, &m->et);
	if (!e && !out[*n].deleted)
		seen[(*n)++] = stage;
	return e == ERR_FORBIDDEN ? OK : e;
}

/* Those with a stage are few: facts. The newest without one is soon found from the top. */
enum err mlreg_latest(struct mlreg *m, const struct artifact *of,
	struct artifact_version out[MLFLOW_STAGES], size_t *n)
{
	struct fact *staged;
	struct str seen[MLFLOW_STAGES];
	size_t n_staged = 0, n_page = 0;
	int64_t before = 0;
	*n = 0;
	enum err e = facts_now(m->tx, of->id, -1, S("stage"), m->a, &staged, &n_staged, &m->et);
	do {
		struct artifact_version *page;
		if (!e)
			e = version_list(
				m->tx, of, before, 32, false, m->a, &page, &n_page, &m->et);
		for (size_t i = 0; i < n_page && !e; i++) {
			bool has = false;
			for (size_t k = 0; k < n_staged; k++)
				has |= staged[k].version == page[i].version &&
				       !str_eq_c(staged[k].value, "None");
			before = page[i].version;
			if (has)
				continue;
			e = keep_latest(m, of, page[i].version, S("None"), seen, out, n);
			n_page = 0; /* found */
		}
	} while (!e && n_page == 32);
	for (size_t k = n_staged; k-- > 0 && !e;) /* newest version first */
		if (!str_eq_c(staged[k].value, "None"))
			e = keep_latest(m, of, staged[k].version, staged[k].value, seen, out, n);
	return e;
}

/* ---- JSON ---- */

struct str mlflow_member(const struct artifact_version *v, const char *key, struct arena *a)
{
	yyjson_doc *doc;
	struct str found = {0};
	if (str_find(v->metadata, S("\"mlflow\"")) == STR_NONE ||
		json_parse(v->metadata, &doc, NULL))
		return found;
	found = json_str(yyjson_obj_get(yyjson_doc_get_root(doc), "mlflow"), key);
	if (found.p)
		found = arena_str(a, found);
	yyjson_doc_free(doc);
	return found;
}

static void write_tag(struct jw *w, struct str key, struct str value)
{
	jw_obj(w);
	jw_kstr(w, "key", key);
	jw_kstr(w, "value", value);
	jw_end(w);
}

static void write_tags(struct jw *w, struct str kind, const struct fact *now, size_t n)
{
	bool prompt = str_eq_c(kind, "prompt");
	jw_key(w, "tags");
	jw_arr(w);
	for (size_t i = 0; i < n; i++) {
		if (!str_eq_c(now[i].what, "tag"))
			continue;
		prompt &= !str_eq_c(now[i].name, PROMPT_TAG);
		write_tag(w, now[i].name, now[i].value);
	}
	if (prompt)
		write_tag(w, S(PROMPT_TAG), S("true"));
	jw_end(w);
}

static void run_member(struct mlreg *m, const struct artifact_version *v)
{
	char hex[ID_HEX + 1];
	struct str odd = mlflow_member(v, "run_id", m->a);
	if (id_is_zero(v->run)) {
		jw_kstr(&m->w, "run_id", odd.p ? odd : S(""));
		return;
	}
	id_hex(v->run, hex);
	jw_kc(&m->w, "run_id", hex);
}

static void aliases_member(
	struct mlreg *m, const struct artifact_version *v, const struct fact *list, size_t n)
{
	jw_key(&m->w, "aliases");
	jw_arr(&m->w);
	for (size_t i = 0; i < n; i++) {
		int64_t to;
		if (str_i64(list[i].value, &to) && to == v->version)
			jw_str(&m->w, list[i].name);
	}
	jw_end(&m->w);
}

enum err mlreg_write_version(struct mlreg *m, const struct artifact_version *v)
{
	struct fact *now = NULL, *aliases = NULL;
	size_t n = 0, n_aliases = 0;
	struct jw *w = &m->w;
	enum err e = facts_now(m->tx, v->artifact, v->version, S("tag"), m->a, &now, &n, &m->et);
	if (!e)
		e = facts_now(
			m->tx, v->artifact, 0, S("alias"), m->a, &aliases, &n_aliases, &m->et);
	if (e)
		return e;
	struct str link = mlflow_member(v, "run_link", m->a),
		   model = mlflow_member(v, "model_id", m->a);
	jw_obj(w);
	jw_kstr(w, "name", v->name);
	jw_key(w, "version");
	jw_fmt(w, "%lld", (long long)v->version);
	jw_ki64(w, "creation_timestamp", v->created_ms);
	jw_ki64(w, "last_updated_timestamp", v->updated_ms);
	jw_kstr(w, "user_id", v->creator);
	jw_kstr(w, "current_stage", mlflow_stage(m->tx, v, m->a));
	jw_kstr(w, "description", v->description);
	jw_kstr(w, "source", v->source);
	run_member(m, v);
	if (link.n)
		jw_kstr(w, "run_link", link);
	if (model.n)
		jw_kstr(w, "model_id", model);
	jw_kc(w, "status", "READY");
	write_tags(w, v->kind, now, n);
	aliases_member(m, v, aliases, n_aliases);
	jw_end(w);
	return OK;
}

enum err mlreg_write_model(struct mlreg *m, const struct artifact *v)
{
	struct fact *now = NULL;
	struct artifact_version latest[MLFLOW_STAGES];
	size_t n = 0, n_latest = 0;
	struct jw *w = &m->w;
	enum err e = facts_now(m->tx, v->id, 0, S(""), m->a, &now, &n, &m->et);
	if (!e)
		e = mlreg_latest(m, v, latest, &n_latest);
	if (e)
		return e;
	jw_obj(w);
	jw_kstr(w, "name", v->name);
	jw_ki64(w, "creation_timestamp", v->created_ms);
	jw_ki64(w, "last_updated_timestamp", v->updated_ms);
	jw_kstr(w, "user_id", v->creator);
	jw_kstr(w, "description", v->description);
	jw_key(w, "latest_versions");
	jw_arr(w);
	for (size_t i = 0; i < n_latest && !e; i++)
		e = mlreg_write_version(m, &latest[i]);
	jw_end(w);
	write_tags(w, v->kind, now, n);
	jw_key(w, "aliases");
	jw_arr(w);
	for (size_t i = 0; i < n; i++) {
		if (!str_eq_c(now[i].what, "alias"))
			continue;
		jw_obj(w);
		jw_kstr(w, "alias", now[i].name);
		jw_kstr(w, "version", now[i].value);
		jw_end(w);
	}
	jw_end(w);
	jw_end(w);
	return e;
}

enum err mlreg_reply_model(struct mlreg *m, struct id artifact)
{
	struct artifact v;
	enum err e = artifact_get(m->tx, m->project, artifact, m->a, &v, &m->et);
	jw_obj(&m->w);
	jw_key(&m->w, "registered_model");
	if (!e)
		e = mlreg_write_model(m, &v);
	jw_end(&m->w);
	return e;
}

enum err mlreg_reply_version(struct mlreg *m, struct id artifact, int64_t version)
{
	struct artifact_version v;
	enum err e = artifact_get_version(m->tx, artifact, version, m->a, &v, &m->et);
	if (!e)
		e = artifact_readable(m->tx, m->rq, artifact, v.kind, v.name, version, &m->et);
	jw_obj(&m->w);
	jw_key(&m->w, "model_version");
	if (!e)
		e = mlreg_write_version(m, &v);
	jw_end(&m->w);
	return e;
}

/* ---- pages ---- */

void page_token(struct buf *out, int64_t offset)
{
	char text[48];
	int n = snprintf(text, sizeof text, "{\"offset\": %lld}", (long long)offset);
	base64_encode(out, str_mk(text, (size_t)n));
}

enum err page_offset(struct str token, int64_t *offset, struct errtext *et)
{
	struct buf text = {0};
	yyjson_doc *doc = NULL;
	int64_t n = 0;
	if (!token.n)
		return OK;
	bool good = token.n < 200 && base64_decode(&text, token) &&
		    !json_parse(buf_str(&text), &doc, NULL);
	if (good)
		n = json_i64(yyjson_doc_get_root(doc), "offset", -1);
	yyjson_doc_free(doc);
	buf_free(&text);
	if (!good || n < 0)
		return err_set(et, ERR_INVALID, "Invalid page token, could not base64-decode");
	*offset = n;
	return OK;
}
