/* MLflow's registered models and prompts: create, rename, describe, delete, tags, aliases. */
#include "api/mlflow_registry.h"
#include "api/mlflow_webhook.h"

#include <stdio.h>

#define FIELDS(...) static const struct mlflow_field fields[] = {__VA_ARGS__}
#define BEGIN(kind) mlreg_begin(&m, c, rq, rs, kind, fields, ARRAY_LEN(fields))
#define NAME                              \
	{                                 \
		"name", MLFLOW_TEXT, true \
	}
#define OPTIONAL(name)                   \
	{                                \
		name, MLFLOW_TEXT, false \
	}

/* One namespace for both: what is there already is said in MLflow's words. */
static enum err name_is_free(struct mlreg *m, struct str name, bool prompt)
{
	struct artifact there;
	enum err e = mlreg_model(m, "name", &there);
	if (e == ERR_NOT_FOUND)
		return OK;
	if (e)
		return e;
	bool is_prompt = str_eq_c(there.kind, "prompt");
	if (is_prompt == prompt)
		return err_set(&m->et, ERR_CONFLICT, "%s (name=%.*s) already exists.",
			prompt ? "Prompt" : "Registered Model", STR_FMT(name));
	return err_set(&m->et, ERR_CONFLICT,
		"Tried to create a %s with name '%.*s', but the name is already taken by a %s. "
		"MLflow does not allow creating a model and a prompt with the same name.",
		prompt ? "prompt" : "registered model", STR_FMT(name),
		prompt ? "registered model" : "prompt");
}

MLREG(mlflow_model_create)
{
	FIELDS(NAME, OPTIONAL("description"), {"tags", MLFLOW_ARRAY, false});
	struct mlreg m;
	struct id id;
	enum err e = BEGIN(TX_WRITE);
	bool prompt = !e && mlreg_has_prompt_tag(m.args);
	struct str name = e ? S("") : mlflow_text(m.args, "name");
	if (!e)
		e = name_is_free(&m, name, prompt);
	if (!e)
		e = artifact_create(m.tx, rq->who, prompt ? S("prompt") : S("model"), name,
			mlflow_text(m.args, "description"), &id, &m.et);
	if (!e)
		e = mlreg_put_tags(&m, id, 0);
	if (!e)
		e = webhook_announce(&m,
			&(struct artifact){.kind = prompt ? S("prompt") : S("model"), .name = name},
			HOOK_CREATED, 0);
	if (!e)
		e = mlreg_reply_model(&m, id);
	mlreg_end(&m, e);
}

MLREG(mlflow_model_rename)
{
	FIELDS(NAME, {"new_name", MLFLOW_TEXT, true});
	struct mlreg m;
	struct artifact v;
	enum err e = BEGIN(TX_WRITE);
	if (!e)
		e = mlreg_model(&m, "name", &v);
	if (!e)
		e = mlreg_name_check(&m, "new_name");
	if (!e) {
		struct str to = mlflow_text(m.args, "new_name");
		e = artifact_rename(m.tx, rq->who, &v, to, &m.et);
		if (e == ERR_CONFLICT)
			e = err_set(&m.et, e, "Registered Model (name=%.*s) already exists.",
				STR_FMT(str_sub(to, 0, 300)));
	}
	if (!e)
		e = mlreg_reply_model(&m, v.id);
	mlreg_end(&m, e);
}

MLREG(mlflow_model_update)
{
	FIELDS(NAME, OPTIONAL("description"));
	struct mlreg m;
	struct artifact v;
	enum err e = BEGIN(TX_WRITE);
	if (!e)
		e = mlreg_model(&m, "name", &v);
	if (!e)
		e = artifact_describe(
			m.tx, rq->who, &v, 0, mlflow_text(m.args, "description"), &m.et);
	if (!e)
		e = mlreg_reply_model(&m, v.id);
	mlreg_end(&m, e);
}

MLREG(mlflow_model_delete)
{
	FIELDS(NAME);
	struct mlreg m;
	struct artifact v;
	enum err e = BEGIN(TX_WRITE);
	if (!e)
		e = mlreg_model(&m, "name", &v);
	if (!e)
		e = artifact_delete(m.tx, rq->who, &v, S(""), &m.et);
	mlreg_end(&m, e);
}

MLREG(mlflow_model_get)
{
	FIELDS(NAME);
	struct mlreg m;
	struct artifact v;
	enum err e = BEGIN(TX_READ);
	if (!e)
		e = mlreg_model(&m, "name", &v);
	if (!e)
		e = mlreg_reply_model(&m, v.id);
	mlreg_end(&m, e);
}

/* ---- the newest of each stage ---- */

static enum err stage_wanted(struct mlreg *m, struct str stage, bool *yes)
{
	yyjson_val *list = yyjson_obj_get(m->args, "stages"), *one;
	size_t i, n;
	*yes = !yyjson_arr_size(list);
	yyjson_arr_foreach(list, i, n, one)
	{
		struct str canonical;
		if (!mlflow_stage_parse(json_val_str(one), &canonical))
			return err_set(&m->et, ERR_INVALID,
				"Invalid Model Version stage: %.*s. Value must be one of None, "
				"Staging, Production, Archived.",
				STR_FMT(str_sub(json_val_str(one), 0, 60)));
		*yes |= str_eq(canonical, stage);
	}
	return OK;
}

MLREG(mlflow_model_latest)
{
	FIELDS(NAME, {"stages", MLFLOW_TEXTS, false});
	struct mlreg m;
	struct artifact v;
	struct artifact_version latest[MLFLOW_STAGES];
	size_t n = 0;
	enum err e = BEGIN(TX_READ);
	if (!e)
		e = mlreg_model(&m, "name", &v);
	if (!e)
		e = mlreg_latest(&m, &v, latest, &n);
	jw_obj(&m.w);
	jw_key(&m.w, "model_versions");
	jw_arr(&m.w);
	for (size_t i = 0; i < n && !e; i++) {
		bool wanted;
		e = stage_wanted(&m, mlflow_stage(m.tx, &latest[i], m.a), &wanted);
		if (!e && wanted)
			e = mlreg_write_version(&m, &latest[i]);
	}
	jw_end(&m.w);
	jw_end(&m.w);
	mlreg_end(&m, e);
}

/* ---- tags ---- */

MLREG(mlflow_model_set_tag)
{
	FIELDS(NAME, {"key", MLFLOW_TEXT, true}, OPTIONAL("value"));
	struct mlreg m;
	struct artifact v;
	enum err e = BEGIN(TX_WRITE);
	if (!e)
		e = mlreg_model(&m, "name", &v);
	if (!e) {
		struct str value = mlflow_text(m.args, "value");
		e = artifact_tag_set(m.tx, rq->who, v.id, 0, mlflow_text(m.args, "key"),
			value.p ? value : S(""), &m.et);
	}
	if (!e)
		e = webhook_announce(&m, &v, HOOK_TAG_SET, 0);
	mlreg_end(&m, e);
}

MLREG(mlflow_model_delete_tag)
{
	FIELDS(NAME, {"key", MLFLOW_TEXT, true});
	struct mlreg m;
	struct artifact v;
	enum err e = BEGIN(TX_WRITE);
	if (!e)
		e = mlreg_model(&m, "name", &v);
	if (!e)
		e = artifact_tag_set(
			m.tx, rq->who, v.id, 0, mlflow_text(m.args, "key"), (struct str){0}, &m.et);
	if (!e)
		e = webhook_announce(&m, &v, HOOK_TAG_DELETED, 0);
	mlreg_end(&m, e);
}

/* ---- aliases ---- */

static enum err check_alias(struct mlreg *m)
{
	struct str alias = mlflow_text(m->args, "alias");
	bool number = alias.n > 1 && (alias.p[0] == 'v' || alias.p[0] == 'V');
	for (size_t i = 1; i < alias.n; i++)
		number &= alias.p[i] >= '0' && alias.p[i] <= '9';
	if (str_eq_nocase(alias, S("latest")))
		return err_set(
			&m->et, ERR_INVALID, "'latest' alias name (case insensitive) is reserved.");
	if (number)
		return err_set(&m->et, ERR_INVALID, "Version alias name '%.*s' is reserved.",
			STR_FMT(alias));
	return OK;
}

MLREG(mlflow_alias_set)
{
	FIELDS(NAME, {"alias", MLFLOW_TEXT, true}, {"version", MLFLOW_TEXT, true});
	struct mlreg m;
	struct artifact of;
	struct artifact_version v;
	enum err e = BEGIN(TX_WRITE);
	if (!e)
		e = check_alias(&m);
	if (!e)
		e = mlreg_model(&m, "name", &of);
	if (!e)
		e = mlreg_version(&m, &of, &v);
	if (!e)
		e = artifact_alias_set(m.tx, rq->who,
			&(struct alias_move){.kind = of.kind,
				.name = of.name,
				.alias = mlflow_text(m.args, "alias"),
				.version = v.version},
			&m.et);
	if (!e)
		e = webhook_announce(&m, &of, HOOK_ALIAS_CREATED, v.version);
	mlreg_end(&m, e);
}

MLREG(mlflow_alias_delete)
{
	FIELDS(NAME, {"alias", MLFLOW_TEXT, true});
	struct mlreg m;
	struct artifact of;
	enum err e = BEGIN(TX_WRITE);
	if (!e)
		e = mlreg_model(&m, "name", &of);
	if (!e)
		e = artifact_alias_set(m.tx, rq->who,
			&(struct alias_move){.kind = of.kind,
				.name = of.name,
				.alias = mlflow_text(m.args, "alias")},
			&m.et);
	if (!e)
		e = webhook_announce(&m, &of, HOOK_ALIAS_DELETED, 0);
	mlreg_end(&m, e);
}

MLREG(mlflow_alias_get)
{
	FIELDS(NAME, {"alias", MLFLOW_TEXT, true});
	struct mlreg m;
	struct artifact of;
	struct artifact_version v;
	enum err e = BEGIN(TX_READ);
	if (!e)
		e = mlreg_model(&m, "name", &of);
	if (!e) {
		struct ref r = {.alias = mlflow_text(m.args, "alias")};
		e = ref_version(m.tx, &of, &r, (struct artifact_time){0}, m.a, &v, &m.et);
		if (e == ERR_NOT_FOUND)
			e = err_set(&m.et, ERR_INVALID, "Registered model alias %.*s not found.",
				STR_FMT(str_sub(r.alias, 0, ALIAS_MAX)));
	}
	if (!e)
		e = mlreg_reply_version(&m, of.id, v.version);
	mlreg_end(&m, e);
}
