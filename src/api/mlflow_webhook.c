/* MLflow's routes of webhooks, and what is said to them of a change. */
#include "access/access.h"
#include "access/secret.h"
#include "api/mlflow_webhook.h"
#include "base/clock.h"
#include "store/queue.h"

#include <stdio.h>

#define FIELDS(...) static const struct mlflow_field fields[] = {__VA_ARGS__}
#define BEGIN(kind) mlreg_begin(&m, c, rq, rs, kind, fields, ARRAY_LEN(fields))

/* ---- events ---- */

static const char *const known[] = {"registered_model.created", "model_version.created",
	"model_version_tag.set", "model_version_tag.deleted", "model_version_alias.created",
	"model_version_alias.deleted", "prompt.created", "prompt_version.created", "prompt_tag.set",
	"prompt_tag.deleted", "prompt_version_tag.set", "prompt_version_tag.deleted",
	"prompt_alias.created", "prompt_alias.deleted", "budget_policy.exceeded"};

/* By kind: model, prompt. Tags of registered models have no event in MLflow. */
static const char *const events[HOOK_COUNT][2] = {
	[HOOK_CREATED] = {"registered_model.created", "prompt.created"},
	[HOOK_VERSION_CREATED] = {"model_version.created", "prompt_version.created"},
	[HOOK_TAG_SET] = {NULL, "prompt_tag.set"},
	[HOOK_TAG_DELETED] = {NULL, "prompt_tag.deleted"},
	[HOOK_VERSION_TAG_SET] = {"model_version_tag.set", "prompt_version_tag.set"},
	[HOOK_VERSION_TAG_DELETED] = {"model_version_tag.deleted", "prompt_version_tag.deleted"},
	[HOOK_ALIAS_CREATED] = {"model_version_alias.created", "prompt_alias.created"},
	[HOOK_ALIAS_DELETED] = {"model_version_alias.deleted", "prompt_alias.deleted"},
};

static bool has_event(struct str list, struct str event)
{
	struct str one;
	while (str_next(&list, ' ', &one))
		if (str_eq(one, event))
			return true;
	return false;
}

/* MLflow's numbers of its enums; 0 is unspecified. */
static const char *const entities[] = {NULL, "registered_model", "model_version",
	"model_version_tag", "model_version_alias", "prompt", "prompt_version", "prompt_tag",
	"prompt_version_tag", "prompt_alias", "budget_policy"};
static const char *const actions[] = {NULL, "created", "updated", "deleted", "set", "exceeded"};

/* A word of an enum by its name in any case or its number. */
static const char *word_of(yyjson_val *v, const char *const *words, size_t n)
{
	int64_t number = 0;
	bool is_number = !yyjson_is_str(v) && mlflow_as_int(v, &number);
	for (size_t i = 1; i < n; i++)
		if (is_number ? number == (int64_t)i
			      : str_eq_nocase(json_val_str(v), str_c(words[i])))
			return words[i];
	return NULL;
}

static enum err read_event(yyjson_val *v, char out[64], struct errtext *et)
{
	const char *entity = word_of(yyjson_obj_get(v, "entity"), entities, ARRAY_LEN(entities));
	const char *action = word_of(yyjson_obj_get(v, "action"), actions, ARRAY_LEN(actions));
	if (!entity || !action)
		return err_set(et, ERR_INVALID,
			"events: objects with an entity and an action of MLflow's are expected");
	snprintf(out, 64, "%s.%s", entity, action);
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (!strcmp(known[i], out))
			return OK;
	return err_set(et, ERR_INVALID, "Invalid action '%s' for entity '%s'.", action, entity);
}

static enum err read_events(struct mlreg *m, struct str *out)
{
	yyjson_val *list = yyjson_obj_get(m->args, "events"), *one;
	struct buf b = {0};
	size_t i, n;
	enum err e = OK;
	if (!yyjson_arr_size(list) || yyjson_arr_size(list) > WEBHOOK_EVENTS_MAX)
		return err_set(&m->et, ERR_INVALID,
			"Webhook events must be a non-empty list of "
			"WebhookEvent objects, at most %d",
			WEBHOOK_EVENTS_MAX);
	yyjson_arr_foreach(list, i, n, one)
	{
		char event[64] = "";
		if (!e)
			e = read_event(one, event, &m->et);
		if (!e && !has_event(buf_str(&b), str_c(event)))
			buf_addf(&b, "%s%s", b.n ? " " : "", event);
	}
	if (!e) {
		*out = arena_str(m->a, buf_str(&b));
		if (!out->p)
			e = err_set(&m->et, ERR_NOMEM, "no memory for a webhook");
	}
	buf_free(&b);
	return e;
}

/* ---- what is said ---- */

static void write_tags(struct jw *w, yyjson_val *args)
{
	static const char *const inner[] = {
		PROMPT_TAG, "mlflow.prompt.text", "_mlflow_prompt_type"};
	yyjson_val *tags = yyjson_obj_get(args, "tags"), *one;
	size_t i, n;
	jw_key(w, "tags");
	jw_obj(w);
	yyjson_arr_foreach(tags, i, n, one)
	{
		struct str key = json_str(one, "key"), value = json_str(one, "value");
		bool hidden = false;
		for (size_t k = 0; k < ARRAY_LEN(inner); k++)
			hidden |= str_eq_c(key, inner[k]);
		if (hidden)
			continue;
		jw_key_str(w, key);
		jw_str(w, value.p ? value : S(""));
	}
	jw_end(w);
}

static struct str tag_of(yyjson_val *args, const char *key)
{
	yyjson_val *tags = yyjson_obj_get(args, "tags"), *one;
	size_t i, n;
	yyjson_arr_foreach(tags, i, n,
		one) if (str_eq_c(json_str(one, "key"), key)) return json_str(one, "value");
	return S("");
}

static void write_maybe(struct jw *w, yyjson_val *args, const char *key)
{
	struct str value = mlflow_text(args, key);
	if (value.n)
		jw_kstr(w, key, value);
	else
		jw_kc(w, key, NULL);
}

static void write_words(struct jw *w, const struct mlreg *m, bool prompt, enum hook hook)
{
	if (hook == HOOK_VERSION_CREATED && prompt)
		jw_kstr(w, "template", tag_of(m->args, "mlflow.prompt.text"));
	if (hook == HOOK_VERSION_CREATED && !prompt) {
		write_maybe(w, m->args, "source");
		write_maybe(w, m->args, "run_id");
	}
	if (hook == HOOK_CREATED || hook == HOOK_VERSION_CREATED) {
		write_tags(w, m->args);
		write_maybe(w, m->args, "description");
	}
	if (hook == HOOK_TAG_SET || hook == HOOK_VERSION_TAG_SET) {
		struct str value = mlflow_text(m->args, "value");
		jw_kstr(w, "value", value.p ? value : S(""));
	}
}

/* brief: without what its author wrote, which is too long. */
static void write_data(struct jw *w, const struct mlreg *m, const struct artifact *of,
	enum hook hook, int64_t version, bool brief)
{
	bool prompt = str_eq_c(of->kind, "prompt");
	jw_obj(w);
	jw_kstr(w, "name", of->name);
	if (version) {
		jw_key(w, "version");
		char text[24];
		snprintf(text, sizeof text, "%lld", (long long)version);
		jw_c(w, text);
	}
	if (hook == HOOK_ALIAS_CREATED || hook == HOOK_ALIAS_DELETED)
		jw_kstr(w, "alias", mlflow_text(m->args, "alias"));
	if (hook >= HOOK_TAG_SET && hook <= HOOK_VERSION_TAG_DELETED)
		jw_kstr(w, "key", mlflow_text(m->args, "key"));
	if (brief)
		jw_kbool(w, "truncated", true);
	else
		write_words(w, m, prompt, hook);
	jw_end(w);
}

static enum err add_job(struct mlreg *m, const struct webhook *v, struct str payload)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	char hook[ID_HEX + 1], delivery[ID_HEX + 1];
	id_hex(v->id, hook);
	id_hex(id_new(), delivery);
	jw_obj(&w);
	jw_kc(&w, "webhook", hook);
	jw_kstr(&w, "project", m->project);
	jw_kc(&w, "delivery", delivery);
	jw_kstr(&w, "payload", payload);
	jw_end(&w);
	enum err e = jw_done(&w) ? queue_add(m->tx, "mlflow_webhook", buf_str(&b),
					   &(struct queue_options){.attempts_max = WEBHOOK_TRIES},
					   NULL, &m->et)
				 : err_set(&m->et, ERR_NOMEM, "no memory for a webhook");
	buf_free(&b);
	return e;
}

static enum err make_payload(struct mlreg *m, const struct artifact *of, enum hook hook,
	int64_t version, const char *event, struct buf *out)
{
	struct buf data = {0};
	struct jw w = {.out = &data};
	write_data(&w, m, of, hook, version, false);
	if (data.n > WEBHOOK_DATA_MAX) {
		buf_clear(&data);
		w = (struct jw){.out = &data};
		write_data(&w, m, of, hook, version, true);
	}
	webhook_payload(out, str_c(event), buf_str(&data));
	bool bad = out->err || data.err;
	buf_free(&data);
	return bad ? err_set(&m->et, ERR_NOMEM, "no memory for a webhook") : OK;
}

enum err webhook_announce(
	struct mlreg *m, const struct artifact *of, enum hook hook, int64_t version)
{
	const char *event = events[hook][str_eq_c(of->kind, "prompt")];
	struct webhook *v = NULL;
	struct buf payload = {0};
	size_t n = 0;
	if (!event)
		return OK;
	enum err e = webhook_list(m->tx, m->project, 0, WEBHOOKS_MAX, m->a, &v, &n, &m->et);
	for (size_t i = 0; i < n && !e; i++) {
		if (!v[i].active || !has_event(v[i].events, str_c(event)))
			continue;
		if (!payload.n)
			e = make_payload(m, of, hook, version, event, &payload);
		if (!e)
			e = add_job(m, &v[i], buf_str(&payload));
		m->announced = true;
	}
	buf_free(&payload);
	return e;
}

/* ---- routes ---- */

static void write_webhook(struct jw *w, const struct webhook *v)
{
	char hex[ID_HEX + 1];
	struct str rest = v->events, event;
	id_hex(v->id, hex);
	jw_obj(w);
	jw_kc(w, "webhook_id", hex);
	jw_kstr(w, "name", v->name);
	if (v->description.n)
		jw_kstr(w, "description", v->description);
	jw_kstr(w, "url", v->url);
	jw_key(w, "events");
	jw_arr(w);
	while (str_next(&rest, ' ', &event)) {
		char upper[64];
		size_t dot = str_chr(event, '.');
		for (size_t i = 0; i < event.n && i < sizeof upper; i++)
			upper[i] = event.p[i] >= 'a' && event.p[i] <= 'z'
					   ? (char)(event.p[i] - 'a' + 'A')
					   : event.p[i];
		jw_obj(w);
		jw_kstr(w, "entity", str_mk(upper, dot));
		jw_kstr(w, "action", str_mk(upper + dot + 1, event.n - dot - 1));
		jw_end(w);
	}
	jw_end(w);
	jw_kc(w, "status", v->active ? "ACTIVE" : "DISABLED");
	jw_ki64(w, "creation_timestamp", v->created_ms);
	jw_ki64(w, "last_updated_timestamp", v->updated_ms);
	jw_end(w);
}

static void reply_webhook(struct mlreg *m, const struct webhook *v)
{
	jw_obj(&m->w);
	jw_key(&m->w, "webhook");
	write_webhook(&m->w, v);
	jw_end(&m->w);
}

static bool name_ok(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool word =
			(c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!word && (!i || i + 1 == s.n || !memchr("._-", c, 3)))
			return false;
	}
	return s.n && s.n <= 63;
}

/* What is given replaces what was; an update gives what it changes. */
static enum err read_webhook(struct mlreg *m, struct webhook *v, bool update)
{
	yyjson_val *status = yyjson_obj_get(m->args, "status");
	struct str name = mlflow_text(m->args, "name"), url = mlflow_text(m->args, "url"),
		   about = mlflow_text(m->args, "description");
	enum err e = OK;
	if (!update || name.n) {
		if (!name_ok(name))
			return err_set(&m->et, ERR_INVALID,
				"Webhook name '%.*s' is invalid. It must start and end with a "
				"letter or digit, be less than 63 characters long, and contain "
				"only letters, digits, dots (.), underscores (_), and hyphens "
				"(-).",
				STR_FMT(str_sub(name, 0, 80)));
		v->name = name;
	}
	if (!update || url.n) {
		e = webhook_check_url(m->c, url, &m->et);
		v->url = url;
	}
	if (!e && (!update || yyjson_arr_size(yyjson_obj_get(m->args, "events"))))
		e = read_events(m, &v->events);
	if (about.p)
		v->description = about;
	if (!e && v->description.n > 1000)
		e = err_set(&m->et, ERR_INVALID, "description: at most 1000 bytes");
	int64_t number = 0;
	if (!e && status && !yyjson_is_null(status)) {
		bool on = yyjson_equals_str(status, "ACTIVE") ||
			  (mlflow_as_int(status, &number) && number == 1);
		bool off = yyjson_equals_str(status, "DISABLED") || number == 2;
		if (!on && !off)
			e = mlflow_invalid(
				&m->et, "status", status, "ACTIVE or DISABLED is expected");
		v->active = on;
	}
	return e;
}

/* The secret is kept among the project's secrets, encrypted; before the row that needs it. */
static enum err keep_secret(struct mlreg *m, struct webhook *v)
{
	char name[64];
	struct str secret = mlflow_text(m->args, "secret");
	webhook_secret_name(v->id, name);
	if (!secret.p)
		return OK;
	v->secret = secret.n > 0;
	if (secret.n)
		return secret_set(m->c, m->rq->who, m->project, str_c(name), secret, &m->et);
	enum err e = secret_remove(m->c, m->rq->who, m->project, str_c(name), &m->et);
	return e == ERR_NOT_FOUND ? OK : e;
}

static enum err audit(struct mlreg *m, const char *action, const struct webhook *v)
{
	char hex[ID_HEX + 1];
	struct buf b = {0};
	struct jw w = {.out = &b};
	id_hex(v->id, hex);
	jw_obj(&w);
	jw_kstr(&w, "name", v->name);
	jw_kstr(&w, "url", v->url);
	jw_kstr(&w, "events", v->events);
	jw_kbool(&w, "active", v->active);
	jw_end(&w);
	enum err e = audit_add(m->tx, m->rq->who, action, str_c(hex), buf_str(&b), &m->et);
	buf_free(&b);
	return e;
}

static enum err room_for_one(struct mlreg *m)
{
	int64_t n = 0;
	enum err e = webhook_count(m->tx, m->project, &n, &m->et);
	if (!e && n >= WEBHOOKS_MAX)
		e = err_set(&m->et, ERR_LIMIT, "a project has at most %d webhooks", WEBHOOKS_MAX);
	return e;
}

/* Secrets have a transaction of their own, and one thread has one at a time: the row is read and
 * checked first, then the secret is set, then the row is written. */
static enum err write_back(struct mlreg *m, struct webhook *v, bool fresh)
{
	enum err e = keep_secret(m, v);
	struct webhook was; /* another may have removed it since */
	v->updated_ms = clock_unix_ms();
	if (!e)
		e = db_begin(croft_db(m->c), TX_WRITE, &m->tx, &m->et);
	if (!e)
		e = fresh ? room_for_one(m)
			  : webhook_get(m->tx, m->project, v->id, m->a, &was, &m->et);
	if (!e)
		e = webhook_put(m->tx, v, &m->et);
	if (!e)
		e = audit(m, fresh ? "webhook.create" : "webhook.update", v);
	if (!e)
		reply_webhook(m, v);
	return e;
}

#define WEBHOOK_FIELDS                                                       \
	{"description", MLFLOW_TEXT, false}, {"secret", MLFLOW_TEXT, false}, \
	{                                                                    \
		"status", MLFLOW_ANY, false                                  \
	}

static MLREG(create)
{
	FIELDS({"name", MLFLOW_TEXT, true}, {"url", MLFLOW_TEXT, true},
		{"events", MLFLOW_ARRAY, true}, WEBHOOK_FIELDS);
	struct mlreg m;
	struct webhook v = {.id = id_new(),
		.active = true,
		.description = S(""),
		.created_ms = clock_unix_ms()};
	enum err e = BEGIN(TX_READ);
	v.project = m.project;
	if (!e)
		e = read_webhook(&m, &v, false);
	if (!e) /* before its secret is kept */
		e = room_for_one(&m);
	db_rollback(m.tx);
	m.tx = NULL;
	if (!e) {
		v.updated_ms = v.created_ms;
		e = write_back(&m, &v, true);
	}
	mlreg_end(&m, e);
}

static enum err find(struct mlreg *m, struct webhook *v)
{
	struct str text = http_param(m->rq, "webhook_id");
	struct id id;
	if (!id_parse(text, &id))
		return err_set(&m->et, ERR_NOT_FOUND, "Webhook with ID %.*s not found.",
			STR_FMT(str_sub(text, 0, 100)));
	return webhook_get(m->tx, m->project, id, m->a, v, &m->et);
}

static MLREG(update)
{
	FIELDS({"name", MLFLOW_TEXT, false}, {"url", MLFLOW_TEXT, false},
		{"events", MLFLOW_ARRAY, false}, WEBHOOK_FIELDS);
	struct mlreg m;
	struct webhook v;
	enum err e = BEGIN(TX_READ);
	if (!e)
		e = find(&m, &v);
	if (!e)
		e = read_webhook(&m, &v, true);
	db_rollback(m.tx);
	m.tx = NULL;
	if (!e)
		e = write_back(&m, &v, false);
	mlreg_end(&m, e);
}

static MLREG(get)
{
	FIELDS({"webhook_id", MLFLOW_TEXT, false});
	struct mlreg m;
	struct webhook v;
	enum err e = BEGIN(TX_READ);
	if (!e)
		e = find(&m, &v);
	if (!e)
		reply_webhook(&m, &v);
	mlreg_end(&m, e);
}

static MLREG(list)
{
	FIELDS({"max_results", MLFLOW_INT, false}, {"page_token", MLFLOW_TEXT, false});
	struct mlreg m;
	struct webhook *v = NULL;
	struct buf token = {0};
	size_t n = 0;
	int64_t offset = 0, max = 0;
	enum err e = BEGIN(TX_READ);
	if (!e) {
		max = mlflow_int(m.args, "max_results", 100);
		if (max < 1 || max > WEBHOOKS_MAX)
			e = err_set(&m.et, ERR_INVALID, "max_results must be between 1 and %d.",
				WEBHOOKS_MAX);
	}
	if (!e)
		e = page_offset(mlflow_text(m.args, "page_token"), &offset, &m.et);
	if (!e)
		e = webhook_list(m.tx, m.project, offset, max + 1, m.a, &v, &n, &m.et);
	jw_obj(&m.w);
	jw_key(&m.w, "webhooks");
	jw_arr(&m.w);
	for (size_t i = 0; i < n && (int64_t)i < max; i++)
		write_webhook(&m.w, &v[i]);
	jw_end(&m.w);
	if ((int64_t)n > max) {
		page_token(&token, offset + max);
		jw_kstr(&m.w, "next_page_token", buf_str(&token));
	}
	jw_end(&m.w);
	buf_free(&token);
	mlreg_end(&m, e);
}

static MLREG(delete)
{
	FIELDS({"webhook_id", MLFLOW_TEXT, false});
	struct mlreg m;
	struct webhook v = {0};
	char name[64];
	enum err e = BEGIN(TX_WRITE);
	if (!e)
		e = find(&m, &v);
	if (!e)
		e = webhook_delete(m.tx, m.project, v.id, &m.et);
	if (!e)
		e = audit(&m, "webhook.delete", &v);
	if (!e) {
		e = db_commit(m.tx, &m.et);
		m.tx = NULL;
	}
	webhook_secret_name(v.id, name);
	if (!e && v.secret) /* one that stays behind is of no use to anybody */
		e = secret_remove(c, rq->who, m.project, str_c(name), &m.et);
	mlreg_end(&m, e == ERR_NOT_FOUND && v.secret ? OK : e);
}

/* ---- test ---- */

/* MLflow's example of each event. */
static const char *example(const char *event)
{
	static const struct {
		const char *end, *data;
	} examples[] = {
		{"registered_model.created",
			"{\"name\": \"example_model\", \"tags\": {\"example_key\": "
			"\"example_value\"}, \"description\": \"An example registered model\"}"},
		{"model_version.created",
			"{\"name\": \"example_model\", \"version\": \"1\", \"source\": "
			"\"models:/123\", \"run_id\": \"abcd1234abcd5678\", \"tags\": "
			"{\"example_key\": \"example_value\"}, \"description\": \"An example "
			"model version\"}"},
		{"prompt.created", "{\"name\": \"example_prompt\", \"tags\": {\"example_key\": "
				   "\"example_value\"}, \"description\": \"An example prompt\"}"},
		{"prompt_version.created",
			"{\"name\": \"example_prompt\", \"version\": \"1\", \"template\": \"Hello "
			"{{name}}!\", \"tags\": {\"example_key\": \"example_value\"}, "
			"\"description\": \"An example prompt version\"}"},
		{"version_tag.set", "{\"name\": \"example\", \"version\": \"1\", \"key\": "
				    "\"example_key\", \"value\": \"example_value\"}"},
		{"version_tag.deleted",
			"{\"name\": \"example\", \"version\": \"1\", \"key\": \"example_key\"}"},
		{"tag.set", "{\"name\": \"example\", \"key\": \"example_key\", \"value\": "
			    "\"example_value\"}"},
		{"tag.deleted", "{\"name\": \"example\", \"key\": \"example_key\"}"},
		{"alias.created", "{\"name\": \"example\", \"alias\": \"example_alias\", "
				  "\"version\": \"1\"}"},
		{"alias.deleted", "{\"name\": \"example\", \"alias\": \"example_alias\"}"},
	};
	for (size_t i = 0; i < ARRAY_LEN(examples); i++)
		if (str_ends(str_c(event), str_c(examples[i].end)))
			return examples[i].data;
	return "{}";
}

static void write_result(
	struct jw *w, enum err e, const struct webhook_answer *answer, const struct errtext *et)
{
	jw_obj(w);
	jw_key(w, "result");
	jw_obj(w);
	jw_kbool(w, "success", !e && answer->status < 400);
	if (!e) {
		jw_ki64(w, "response_status", answer->status);
		jw_kstr(w, "response_body", buf_str(&answer->body));
	} else {
		jw_key(w, "error_message");
		jw_fmt(w, "Failed to test webhook: %s", err_text(e, et));
	}
	jw_end(w);
	jw_end(w);
}

static MLREG(test)
{
	FIELDS({"event", MLFLOW_OBJECT, false});
	struct mlreg m;
	struct webhook v;
	struct webhook_answer answer = {0};
	struct buf payload = {0};
	char event[64] = "", delivery[ID_HEX + 1];
	id_hex(id_new(), delivery);
	enum err e = BEGIN(TX_READ);
	if (!e)
		e = find(&m, &v);
	if (!e && mlflow_has(m.args, "event"))
		e = read_event(yyjson_obj_get(m.args, "event"), event, &m.et);
	else if (!e)
		snprintf(event, sizeof event, "%.*s",
			STR_FMT(str_sub(v.events, 0, str_chr(v.events, ' '))));
	db_rollback(m.tx); /* not held while the other side takes its time */
	m.tx = NULL;
	if (!e) {
		webhook_payload(&payload, str_c(event), str_c(example(event)));
		struct errtext et = {0};
		enum err sent = payload.err ? ERR_NOMEM
					    : webhook_send(c, &v, str_c(delivery),
						      buf_str(&payload), &answer, &et);
		write_result(&m.w, sent, &answer, &et);
	}
	buf_free(&answer.body);
	buf_free(&payload);
	mlreg_end(&m, e);
}

#define WEBHOOKS "/api/2.0/mlflow/webhooks"

const struct route webhook_routes[6] = {
	{HTTP_POST, WEBHOOKS, create, PERM_ARTIFACT_RULE, "MLflow: make a webhook", NULL, "object",
		"object", 0},
	{HTTP_GET, WEBHOOKS, list, PERM_ARTIFACT_RULE, "MLflow: list webhooks",
		"{ max_results?: int, page_token? }", NULL, "object", 0},
	{HTTP_GET, WEBHOOKS "/{webhook_id}", get, PERM_ARTIFACT_RULE, "MLflow: show a webhook",
		NULL, NULL, "object", 0},
	{HTTP_PATCH, WEBHOOKS "/{webhook_id}", update, PERM_ARTIFACT_RULE,
		"MLflow: change a webhook", NULL, "object", "object", 0},
	{HTTP_DELETE, WEBHOOKS "/{webhook_id}", delete, PERM_ARTIFACT_RULE,
		"MLflow: remove a webhook", NULL, NULL, "object", 0},
	{HTTP_POST, WEBHOOKS "/{webhook_id}/test", test, PERM_ARTIFACT_RULE,
		"MLflow: send a webhook an example", NULL, "object", "object", 0},
};
