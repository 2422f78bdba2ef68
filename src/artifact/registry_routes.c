/* /api/v1/artifacts: kinds, list, show, versions, tags, aliases, history, lineage. */
#include "artifact/registry_int.h"
#include "artifact/tree_int.h"
#include "base/clock.h"
#include "base/log.h"

static enum err query_i64(
	struct reg_call *k, const char *name, int64_t min, int64_t max, int64_t *out)
{
	struct str text = http_query(k->rq, name);
	if (text.n && (!str_i64(text, out) || *out < min || *out > max))
		return err_set(&k->et, ERR_INVALID, "%s: a number from %lld to %lld is expected",
			name, (long long)min, (long long)max);
	return OK;
}

/* ---- lists ---- */

static void get_kinds(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct reg_call k;
	enum err e = reg_begin(&k, c, rq, rs, TX_READ);
	jw_obj(&k.w);
	jw_key(&k.w, "kinds");
	jw_arr(&k.w);
	for (size_t i = 0; i < n_artifact_kinds && !e; i++) {
		int64_t n = 0;
		e = artifact_count(k.tx, k.project, str_c(artifact_kinds[i].name), &n, &k.et);
		jw_obj(&k.w);
		jw_kc(&k.w, "name", artifact_kinds[i].name);
		jw_kc(&k.w, "plural", artifact_kinds[i].plural);
		jw_kc(&k.w, "about", artifact_kinds[i].about);
		jw_ki64(&k.w, "artifacts", n);
		jw_end(&k.w);
	}
	jw_end(&k.w);
	jw_end(&k.w);
	reg_end(&k, e, 200);
}

/* What a rule keeps from who asks is left out of lists. */
static enum err listed(struct reg_call *k, struct id artifact, struct str kind, struct str name,
	int64_t version, bool *yes)
{
	enum err e = artifact_readable(k->tx, k->rq, artifact, kind, name, version, &k->et);
	*yes = !e;
	return e == ERR_FORBIDDEN ? OK : e;
}

static enum err artifact_now(struct reg_call *k, const struct artifact *v)
{
	struct fact *now = NULL;
	size_t n = 0;
	enum err e = facts_now(k->tx, v->id, 0, S(""), k->rq->arena, &now, &n, &k->et);
	if (!e)
		json_artifact(&k->w, v, now, n);
	return e;
}

/* One of a list: left out when the filter does not match. */
static enum err list_one(
	struct reg_call *k, const struct filter *filter, const struct artifact *v, int64_t *n)
{
	struct fact *now = NULL;
	size_t n_now = 0;
	bool yes = false;
	enum err e = listed(k, v->id, v->kind, v->name, 0, &yes);
	if (e || !yes)
		return e;
	e = facts_now(k->tx, v->id, 0, S(""), k->rq->arena, &now, &n_now, &k->et);
	if (e || !artifact_matches(filter, v, now, n_now))
		return e;
	json_artifact(&k->w, v, now, n_now);
	++*n;
	return OK;
}

/* As many as are asked for, or those among the LOOK_MAX that follow; *next is the last one that was
 * looked at (kind/name), .p NULL at the end. */
static enum err list_artifacts(struct reg_call *k, struct artifact_filter *f,
	const struct filter *filter, struct str *next)
{
	enum { LOOK_MAX = 5000 };
	int64_t found = 0, looked = 0, wanted = f->limit;
	enum err e = OK;
	size_t n = 0;
	*next = (struct str){0};
	do {
		struct artifact *list = NULL;
		f->limit = filter ? 500 : wanted;
		e = artifact_list(k->tx, k->project, f, k->rq->arena, &list, &n, &k->et);
		for (size_t i = 0; i < n && found < wanted && !e; i++) {
			e = list_one(k, filter, &list[i], &found);
			f->after_name = list[i].name;
			f->after_kind = list[i].kind;
		}
		looked += (int64_t)n;
	} while (!e && filter && n == 500 && found < wanted && looked < LOOK_MAX);
	if (n == (size_t)f->limit || found == wanted)
		*next = arena_fmt(
			k->rq->arena, "%.*s/%.*s", STR_FMT(f->after_kind), STR_FMT(f->after_name));
	return e;
}

static void get_artifacts(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct reg_call k;
	const struct filter *filter = NULL;
	struct str next = {0};
	enum err e = reg_begin(&k, c, rq, rs, TX_READ);
	struct artifact_filter f = {.kind = http_query(rq, "kind"),
		.text = http_query(rq, "name"),
		.after_name = http_query(rq, "after"),
		.limit = 100};
	if (!e && f.after_name.n && str_chr(f.after_name, '/') == STR_NONE)
		e = err_set(&k.et, ERR_INVALID, "after must be what \"next\" was: KIND/NAME");
	else if (f.after_name.n)
		str_next(&f.after_name, '/', &f.after_kind);
	if (!f.kind.p)
		f.kind = S("");
	if (!e && f.kind.n)
		e = kind_check(f.kind, &k.et);
	if (!e)
		e = query_i64(&k, "limit", 1, 1000, &f.limit);
	if (!e)
		e = filter_parse(
			http_query(rq, "filter"), &artifact_language, rq->arena, &filter, &k.et);
	jw_obj(&k.w);
	jw_key(&k.w, "artifacts");
	jw_arr(&k.w);
	if (!e)
		e = list_artifacts(&k, &f, filter, &next);
	jw_end(&k.w);
	jw_key(&k.w, "next");
	next.p ? jw_str(&k.w, next) : jw_null(&k.w);
	jw_end(&k.w);
	reg_end(&k, e, 200);
}

/* ---- one artifact ---- */

static void post_artifact(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct reg_call k;
	struct str name = {0}, description = {0};
	struct id id;
	struct artifact v;
	enum err e = reg_begin(&k, c, rq, rs, TX_WRITE);
	if (!e)
		e = json_want_str(k.body, "name", &name, &k.et);
	if (!e)
		e = json_want_str(k.body, "description", &description, &k.et);
	if (!e)
		e = artifact_create(
			k.tx, rq->who, http_param(rq, "kind"), name, description, &id, &k.et);
	if (!e)
		e = artifact_get(k.tx, k.project, id, rq->arena, &v, &k.et);
	if (!e)
		e = artifact_now(&k, &v);
	reg_end(&k, e, 201);
}

/* Its state at the asked time. */
static enum err show(struct reg_call *k, const struct artifact *v, struct artifact_time at)
{
	struct fact *now = NULL;
	size_t n = 0;
	if (time_is_now(at))
		return artifact_now(k, v);
	enum err e = facts_at(k->tx, v->id, 0, S(""), at, k->rq->arena, &now, &n, &k->et);
	struct artifact then = *v;
	then.description = S("");
	for (size_t i = 0; i < n && !e; i++)
		if (str_eq_c(now[i].what, "description"))
			then.description = now[i].value;
	if (!e)
		json_artifact(&k->w, &then, now, n);
	return e;
}

static void get_artifact(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct reg_call k;
	struct artifact v;
	struct artifact_time at;
	enum err e = reg_begin(&k, c, rq, rs, TX_READ);
	if (!e)
		e = reg_artifact(&k, &v);
	if (!e)
		e = reg_time(&k, &at);
	if (!e)
		e = show(&k, &v, at);
	reg_end(&k, e, 200);
}

static void patch_artifact(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct reg_call k;
	struct artifact v;
	struct str name = {0}, description = {0};
	enum err e = reg_begin(&k, c, rq, rs, TX_WRITE);
	if (!e)
		e = reg_artifact(&k, &v);
	if (!e)
		e = json_want_str(k.body, "name", &name, &k.et);
	if (!e)
		e = json_want_str(k.body, "description", &description, &k.et);
	if (!e && name.p)
		e = artifact_rename(k.tx, rq->who, &v, name, &k.et);
	if (!e && description.p)
		e = artifact_describe(k.tx, rq->who, &v, 0, description, &k.et);
	if (!e)
		e = artifact_get(k.tx, k.project, v.id, rq->arena, &v, &k.et);
	if (!e)
		e = artifact_now(&k, &v);
	reg_end(&k, e, 200);
}

static void deleted(struct reg_call *k)
{
	jw_obj(&k->w);
	jw_kbool(&k->w, "deleted", true);
	jw_end(&k->w);
}

static void delete_artifact(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct reg_call k;
	struct artifact v;
	enum err e = reg_begin(&k, c, rq, rs, TX_WRITE);
	if (!e)
		e = reg_artifact(&k, &v);
	if (!e)
		e = artifact_delete(k.tx, rq->who, &v, http_query(rq, "reason"), &k.et);
	deleted(&k);
	reg_end(&k, e, 200);
}

/* ---- versions ---- */

static enum err version_now(struct reg_call *k, const struct artifact_version *v,
	struct artifact_time at, const struct fact *aliases, size_t n_aliases)
{
	struct fact *own = NULL;
	size_t n = 0;
	struct arena *a = k->rq->arena;
	enum err e =
		time_is_now(at)
			? facts_now(k->tx, v->artifact, v->version, S(""), a, &own, &n, &k->et)
			: facts_at(k->tx, v->artifact, v->version, S(""), at, a, &own, &n, &k->et);
	struct fact *all = e ? NULL : arena_array_of(a, n + n_aliases + 1, struct fact);
	if (e)
		return e;
	if (!all)
		return err_set(&k->et, ERR_NOMEM, "no memory");
	if (n)
		memcpy(all, own, n * sizeof *all);
	if (n_aliases)
		memcpy(all + n, aliases, n_aliases * sizeof *all);
	struct artifact_version then = *v;
	if (!time_is_now(at)) {
		then.description = S("");
		then.deleted = false;
		for (size_t i = 0; i < n; i++)
			if (str_eq_c(own[i].what, "description"))
				then.description = own[i].value;
	}
	json_version(&k->w, &then, all, n + n_aliases);
	return OK;
}

static enum err aliases_of(struct reg_call *k, struct id artifact, struct artifact_time at,
	struct fact **out, size_t *n)
{
	if (time_is_now(at))
		return facts_now(k->tx, artifact, 0, S("alias"), k->rq->arena, out, n, &k->et);
	return facts_at(k->tx, artifact, 0, S("alias"), at, k->rq->arena, out, n, &k->et);
}

static enum err one_version(
	struct reg_call *k, const struct artifact_version *v, struct artifact_time at)
{
	struct fact *aliases = NULL;
	size_t n = 0;
	enum err e = aliases_of(k, v->artifact, at, &aliases, &n);
	return e ? e : version_now(k, v, at, aliases, n);
}

static void get_versions(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct reg_call k;
	struct artifact of;
	struct artifact_version *list = NULL;
	struct fact *aliases = NULL;
	size_t n = 0, n_aliases = 0;
	int64_t limit = 100, before = 0, live = 0;
	enum err e = reg_begin(&k, c, rq, rs, TX_READ);
	bool dead = str_eq_c(http_query(rq, "deleted"), "true");
	if (!e)
		e = query_i64(&k, "limit", 1, 1000, &limit);
	if (!e)
		e = query_i64(&k, "before", 1, INT64_MAX, &before);
	if (!e)
		e = reg_artifact(&k, &of);
	if (!e)
		e = version_list(k.tx, &of, before, limit, dead, rq->arena, &list, &n, &k.et);
	if (!e)
		e = aliases_of(&k, of.id, (struct artifact_time){0}, &aliases, &n_aliases);
	if (!e)
		e = version_count(k.tx, of.id, &live, &k.et);
	jw_obj(&k.w);
	jw_ki64(&k.w, "count", live);
	jw_key(&k.w, "versions");
	jw_arr(&k.w);
	for (size_t i = 0; i < n && !e; i++) {
		bool yes = false;
		e = listed(&k, of.id, of.kind, of.name, list[i].version, &yes);
		if (yes)
			e = version_now(
				&k, &list[i], (struct artifact_time){0}, aliases, n_aliases);
	}
	jw_end(&k.w);
	jw_key(&k.w, "next");
	n &&n == (size_t)limit ? jw_i64(&k.w, list[n - 1].version) : jw_null(&k.w);
	jw_end(&k.w);
	reg_end(&k, e, 200);
}

static enum err parse_version(struct reg_call *k, struct version_new *v)
{
	struct str run = {0};
	yyjson_val *metadata = yyjson_obj_get(k->body, "metadata");
	enum err e = json_want_str(k->body, "digest", &v->digest, &k->et);
	if (!e)
		e = json_want_str(k->body, "source", &v->source, &k->et);
	if (!e)
		e = json_want_str(k->body, "description", &v->description, &k->et);
	if (!e)
		e = json_want_i64(k->body, "bytes", 0, INT64_MAX, &v->bytes, &k->et);
	if (!e)
		e = json_want_str(k->body, "run", &run, &k->et);
	if (!e && run.n && !id_parse(run, &v->run))
		e = err_set(&k->et, ERR_INVALID, "run: the id of a run has 32 hex digits");
	if (!e && metadata && !yyjson_is_obj(metadata))
		e = err_set(&k->et, ERR_INVALID, "metadata: an object is expected");
	if (!e && !v->digest.n && !v->source.n)
		e = err_set(&k->et, ERR_INVALID,
			"digest or source: say what the version is, by the digest of its content "
			"or "
			"by the URI of where it is kept");
	if (!e && metadata) {
		struct buf text = {0};
		struct jw w = {.out = &text};
		jw_val(&w, metadata);
		v->metadata = arena_str(k->rq->arena, buf_str(&text));
		buf_free(&text);
		if (!v->metadata.p)
			e = err_set(&k->et, ERR_NOMEM, "no memory");
	}
	return e;
}

static enum err put_tags(struct reg_call *k, struct id artifact, int64_t version)
{
	yyjson_val *tags = yyjson_obj_get(k->body, "tags"), *key, *value;
	size_t i, n;
	enum err e = OK;
	if (tags && !yyjson_is_obj(tags))
		return err_set(&k->et, ERR_INVALID, "tags: an object of texts is expected");
	yyjson_obj_foreach(tags, i, n, key, value)
	{
		if (!yyjson_is_str(value))
			return err_set(&k->et, ERR_INVALID, "tags: texts are expected");
		e = artifact_tag_set(k->tx, k->rq->who, artifact, version, json_val_str(key),
			json_val_str(value), &k->et);
		if (e)
			return e;
	}
	return OK;
}

/* "inputs": references, runs or URIs that the version is derived from. */
static enum err put_inputs(struct reg_call *k, const struct artifact_version *v)
{
	yyjson_val *inputs = yyjson_obj_get(k->body, "inputs"), *input;
	size_t i, n;
	enum err e = OK;
	if (inputs && !yyjson_is_arr(inputs))
		return err_set(&k->et, ERR_INVALID, "inputs: a list of references is expected");
	yyjson_arr_foreach(inputs, i, n, input)
	{
		struct edge edge = {.node = node_version(k->rq->arena, v->artifact, v->version),
			.kind = EDGE_DERIVED};
		e = lineage_node(
			k->tx, k->project, json_val_str(input), k->rq->arena, &edge.source, &k->et);
		if (!e)
			e = lineage_add(k->tx, k->rq->who, &edge, &k->et);
		if (e)
			return e;
	}
	return OK;
}

/* Else a version of one's own would make content readable that a rule keeps from one. What the
 * project does not have may be called by any digest. */
static enum err may_name(struct reg_call *k, struct str digest)
{
	bool found = false;
	enum err e = tree_row_find(k->tx, k->project, digest, &found, &k->et);
	return e || !found ? e : tree_readable(k->tx, k->rq, digest, &k->et);
}

static void post_version(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct reg_call k;
	struct artifact of;
	struct artifact_version v;
	struct version_new new = {.kind = http_param(rq, "kind"), .name = http_param(rq, "name")};
	int64_t version = 0;
	enum err e = reg_begin(&k, c, rq, rs, TX_WRITE);
	if (!e)
		e = parse_version(&k, &new);
	if (!e)
		e = json_want_bool(k.body, "reuse", &new.reuse, &k.et);
	if (!e && tree_digest_ok(new.digest))
		e = may_name(&k, new.digest);
	if (!e)
		e = artifact_put_version(k.tx, rq->who, &new, &version, &k.et);
	if (!e)
		e = reg_artifact(&k, &of);
	if (!e)
		e = artifact_get_version(k.tx, of.id, version, rq->arena, &v, &k.et);
	if (!e)
		e = put_tags(&k, of.id, version);
	if (!e)
		e = put_inputs(&k, &v);
	if (!e)
		e = one_version(&k, &v, (struct artifact_time){0});
	reg_end(&k, e, 201);
}

static void get_version(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct reg_call k;
	struct artifact of;
	struct artifact_version v;
	struct artifact_time at;
	enum err e = reg_begin(&k, c, rq, rs, TX_READ);
	if (!e)
		e = reg_time(&k, &at);
	if (!e)
		e = reg_artifact(&k, &of);
	if (!e)
		e = reg_version(&k, &of, &v);
	if (!e)
		e = one_version(&k, &v, at);
	reg_end(&k, e, 200);
}

static void patch_version(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct reg_call k;
	struct artifact of;
	struct artifact_version v;
	struct str description = {0};
	enum err e = reg_begin(&k, c, rq, rs, TX_WRITE);
	if (!e)
		e = reg_artifact(&k, &of);
	if (!e)
		e = reg_version(&k, &of, &v);
	if (!e)
		e = json_want_str(k.body, "description", &description, &k.et);
	if (!e && description.p)
		e = artifact_describe(k.tx, rq->who, &of, v.version, description, &k.et);
	if (!e)
		e = artifact_get_version(k.tx, of.id, v.version, rq->arena, &v, &k.et);
	if (!e)
		e = one_version(&k, &v, (struct artifact_time){0});
	reg_end(&k, e, 200);
}

static void delete_version(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct reg_call k;
	struct artifact of;
	struct artifact_version v;
	enum err e = reg_begin(&k, c, rq, rs, TX_WRITE);
	if (!e)
		e = reg_artifact(&k, &of);
	if (!e)
		e = reg_version(&k, &of, &v);
	if (!e)
		e = version_delete(k.tx, rq->who, &of, v.version, http_query(rq, "reason"), &k.et);
	deleted(&k);
	reg_end(&k, e, 200);
}

/* One version by a reference: "model/churn@prod", "churn:3". */
static void get_resolve(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct reg_call k;
	struct artifact_version v;
	struct artifact_time at;
	struct str ref = http_query(rq, "ref");
	enum err e = reg_begin(&k, c, rq, rs, TX_READ);
	if (!e)
		e = reg_time(&k, &at);
	if (!e)
		e = artifact_resolve(
			k.tx, k.project, ref.p ? ref : S(""), at, rq->arena, &v, &k.et);
	if (!e)
		e = artifact_readable(k.tx, rq, v.artifact, v.kind, v.name, v.version, &k.et);
	if (!e)
		e = one_version(&k, &v, at);
	reg_end(&k, e, 200);
}

/* ---- tags and aliases ---- */

static enum err tag_version(struct reg_call *k, const struct artifact *of, int64_t *version)
{
	struct artifact_version v;
	enum err e = query_i64(k, "version", 1, INT64_MAX, version);
	if (!e && *version) {
		e = artifact_get_version(k->tx, of->id, *version, k->rq->arena, &v, &k->et);
		if (!e && v.deleted)
			e = err_set(&k->et, ERR_NOT_FOUND, "version %lld is deleted",
				(long long)*version);
	}
	return e;
}

static void change_tag(
	struct croft *c, struct http_request *rq, struct http_response *rs, bool remove)
{
	struct reg_call k;
	struct artifact of;
	struct str value = {0};
	int64_t version = 0;
	enum err e = reg_begin(&k, c, rq, rs, TX_WRITE);
	if (!e)
		e = reg_artifact(&k, &of);
	if (!e)
		e = tag_version(&k, &of, &version);
	if (!e && !remove)
		e = json_want_str(k.body, "value", &value, &k.et);
	if (!e && !remove && !value.p)
		e = err_set(&k.et, ERR_INVALID, "value: a text is expected");
	if (!e)
		e = artifact_tag_set(k.tx, rq->who, of.id, version, http_param(rq, "key"),
			remove ? (struct str){0} : value, &k.et);
	if (!e)
		e = artifact_now(&k, &of);
	reg_end(&k, e, 200);
}

static void put_tag(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	change_tag(c, rq, rs, false);
}

static void delete_tag(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	change_tag(c, rq, rs, true);
}

static enum err want_time(struct reg_call *k, const char *key, int64_t *ms)
{
	struct str text = {0};
	enum err e = json_want_str(k->body, key, &text, &k->et);
	if (!e && text.n && !parse_time(text, false, ms))
		e = err_set(&k->et, ERR_INVALID,
			"%s: a time such as 2026-05-03T14:00:00Z is expected", key);
	return e;
}

/* Whether the glass had to be broken: the fact says so. */
static bool was_broken(struct reg_call *k, struct id artifact, struct str alias)
{
	struct fact f;
	bool found = false;
	return !fact_now(k->tx, artifact, 0, S("alias"), alias, k->rq->arena, &f, &found, NULL) &&
	       found && fact_broke_glass(&f);
}

static void put_alias(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct reg_call k;
	struct artifact of;
	struct alias_move m = {.kind = http_param(rq, "kind"),
		.name = http_param(rq, "name"),
		.alias = http_param(rq, "alias")};
	enum err e = reg_begin(&k, c, rq, rs, TX_WRITE);
	if (!e)
		e = json_want_i64(k.body, "version", 1, INT64_MAX, &m.version, &k.et);
	if (!e && !m.version)
		e = err_set(&k.et, ERR_INVALID, "version: the number of a version is expected");
	if (!e)
		e = json_want_str(k.body, "reason", &m.reason, &k.et);
	if (!e)
		e = json_want_bool(k.body, "break_glass", &m.break_glass, &k.et);
	if (!e)
		e = want_time(&k, "valid", &m.valid_ms);
	if (!e)
		e = artifact_alias_set(k.tx, rq->who, &m, &k.et);
	if (!e)
		e = reg_artifact(&k, &of);
	if (!e)
		e = artifact_now(&k, &of);
	bool broken = !e && m.break_glass && was_broken(&k, of.id, m.alias);
	reg_end(&k, e, 200);
	if (broken)
		log_warn("break glass: %.*s pointed %.*s/%.*s@%.*s at version %lld: %.*s",
			STR_FMT(rq->who->name), STR_FMT(m.kind), STR_FMT(m.name), STR_FMT(m.alias),
			(long long)m.version, STR_FMT(m.reason));
}

static void delete_alias(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct reg_call k;
	struct artifact of;
	struct alias_move m = {.kind = http_param(rq, "kind"),
		.name = http_param(rq, "name"),
		.alias = http_param(rq, "alias"),
		.reason = http_query(rq, "reason")};
	enum err e = reg_begin(&k, c, rq, rs, TX_WRITE);
	if (!e)
		e = artifact_alias_set(k.tx, rq->who, &m, &k.et);
	if (!e)
		e = reg_artifact(&k, &of);
	if (!e)
		e = artifact_now(&k, &of);
	reg_end(&k, e, 200);
}

/* ---- history ---- */

static void get_history(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct reg_call k;
	struct artifact of;
	struct fact *list = NULL;
	size_t n = 0;
	struct fact_filter f = {.version = -1,
		.what = http_query(rq, "what"),
		.name = http_query(rq, "key"),
		.limit = 100};
	enum err e = reg_begin(&k, c, rq, rs, TX_READ);
	if (!e)
		e = query_i64(&k, "version", 0, INT64_MAX, &f.version);
	if (!e)
		e = query_i64(&k, "before", 1, INT64_MAX, &f.before);
	if (!e)
		e = query_i64(&k, "limit", 1, 1000, &f.limit);
	if (!e)
		e = reg_artifact(&k, &of);
	f.artifact = of.id;
	if (!e)
		e = fact_list(k.tx, k.project, &f, rq->arena, &list, &n, &k.et);
	jw_obj(&k.w);
	jw_key(&k.w, "facts");
	jw_arr(&k.w);
	for (size_t i = 0; i < n && !e; i++)
		json_fact(&k.w, &list[i]);
	jw_end(&k.w);
	jw_key(&k.w, "next");
	n &&n == (size_t)f.limit ? jw_i64(&k.w, list[n - 1].seq) : jw_null(&k.w);
	jw_end(&k.w);
	reg_end(&k, e, 200);
}

static enum perm perm_of(struct str what)
{
	return str_eq_c(what, "alias") || str_eq_c(what, "stage") ? PERM_ARTIFACT_ALIAS
	       : str_eq_c(what, "approval")                       ? PERM_ARTIFACT_APPROVE
								  : PERM_ARTIFACT_WRITE;
}

static void post_retract(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct reg_call k;
	struct artifact of;
	struct fact f;
	int64_t seq = 0;
	struct str reason = {0};
	enum err e = reg_begin(&k, c, rq, rs, TX_WRITE);
	if (!e && !str_i64(http_param(rq, "seq"), &seq))
		e = err_set(&k.et, ERR_INVALID, "the number of a fact is expected");
	if (!e)
		e = json_want_str(k.body, "reason", &reason, &k.et);
	if (!e)
		e = reg_artifact(&k, &of);
	if (!e)
		e = fact_get(k.tx, k.project, seq, rq->arena, &f, &k.et);
	if (!e)
		e = need(rq, perm_of(f.what), &k.et);
	if (!e)
		e = fact_retract(k.tx, rq->who, &of, seq, reason, &k.et);
	if (!e)
		e = artifact_now(&k, &of);
	reg_end(&k, e, 200);
}

static void post_verify(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct reg_call k;
	struct fact_report rep = {0};
	bool repair = false;
	enum err e = reg_begin(&k, c, rq, rs, TX_WRITE);
	if (!e)
		e = json_want_bool(k.body, "repair", &repair, &k.et);
	if (!e)
		e = facts_verify(k.tx, repair, rq->arena, &rep, &k.et);
	jw_obj(&k.w);
	jw_kbool(&k.w, "ok", !rep.first_bad && !rep.version_bad && (!rep.stale || repair));
	jw_ki64(&k.w, "facts", rep.facts);
	jw_ki64(&k.w, "versions", rep.versions);
	jw_key(&k.w, "first_bad_fact");
	rep.first_bad ? jw_i64(&k.w, rep.first_bad) : jw_null(&k.w);
	jw_ki64(&k.w, "bad_versions", rep.version_bad);
	jw_ki64(&k.w, "stale", rep.stale);
	jw_kbool(&k.w, "repaired", repair && rep.stale);
	jw_kstr(&k.w, "head", rep.head.p ? rep.head : S(""));
	jw_end(&k.w);
	reg_end(&k, e, 200);
}

static const struct shape shapes[] = {
	{"ArtifactAlias", "{ alias: string, version: int, since: string, by: string, "
			  "reason: string, break_glass: boolean }"},
	{"Artifact", "{ id: id, kind: string, name: string, description: string, creator: string, "
		     "created: string, updated: string, last_version: int, tags: object, "
		     "aliases: ArtifactAlias[] }"},
	{"ArtifactVersion",
		"{ artifact: id, kind: string, name: string, version: int, digest: string, "
		"source: string, run: id | null, creator: string, created: string, "
		"description: string, bytes: int, metadata: object, deleted: boolean, tags: "
		"object, "
		"aliases: string[] }"},
	{"ArtifactFact",
		"{ seq: int, version: int | null, what: string, name: string, value: string | "
		"null, "
		"valid: string, recorded: string, by: string, reason: string, detail: object, "
		"retracts: int | null, hash: string }"},
};
#define AT "as_of?: string, known_at?: string"
#define ONE "/api/v1/artifacts/{kind}/{name}"

static const struct route routes[] = {
	{HTTP_GET, "/api/v1/artifacts", get_artifacts, PERM_ARTIFACT_READ, "List artifacts by name",
		"{ kind?: string, name?: string, filter?: string, limit?: int, after?: string }",
		NULL, "{ artifacts: Artifact[], next: string | null }", 0},
	{HTTP_GET, "/api/v1/artifacts/kinds", get_kinds, PERM_ARTIFACT_READ,
		"The kinds of artifacts, and how many there are of each", NULL, NULL,
		"{ kinds: { name: string, plural: string, about: string, artifacts: int }[] }", 0},
	{HTTP_GET, "/api/v1/artifacts/resolve", get_resolve, PERM_ARTIFACT_READ,
		"The version that a reference names, now or as of a time",
		"{ ref: string, " AT " }", NULL, "ArtifactVersion", 0},
	{HTTP_POST, "/api/v1/artifacts/verify", post_verify, PERM_SYSTEM_MANAGE,
		"Check the chain of facts and the present state derived from it", NULL,
		"{ repair?: boolean }",
		"{ ok: boolean, facts: int, versions: int, first_bad_fact: int | null, "
		"bad_versions: int, stale: int, repaired: boolean, head: string }",
		0},
	{HTTP_POST, "/api/v1/artifacts/{kind}", post_artifact, PERM_ARTIFACT_WRITE,
		"Make an artifact without versions", NULL, "{ name: string, description?: string }",
		"Artifact", 0},
	{HTTP_GET, ONE, get_artifact, PERM_ARTIFACT_READ, "An artifact, now or as of a time",
		"{ " AT " }", NULL, "Artifact", 0},
	{HTTP_PATCH, ONE, patch_artifact, PERM_ARTIFACT_WRITE, "Rename or describe an artifact",
		NULL, "{ name?: string, description?: string }", "Artifact", 0},
	{HTTP_DELETE, ONE, delete_artifact, PERM_ARTIFACT_DELETE,
		"Delete an artifact; its history stays", "{ reason?: string }", NULL,
		"{ deleted: boolean }", 0},
	{HTTP_GET, ONE "/versions", get_versions, PERM_ARTIFACT_READ, "List versions, newest first",
		"{ limit?: int, before?: int, deleted?: boolean }", NULL,
		"{ count: int, versions: ArtifactVersion[], next: int | null }", 0},
	{HTTP_POST, ONE "/versions", post_version, PERM_ARTIFACT_WRITE,
		"Add a version, and the artifact when there is none", NULL,
		"{ digest?: string, source?: string, run?: id, description?: string, "
		"metadata?: object, bytes?: int, tags?: object, inputs?: string[], "
		"reuse?: boolean }",
		"ArtifactVersion", 0},
	{HTTP_GET, ONE "/versions/{version}", get_version, PERM_ARTIFACT_READ,
		"A version by number or alias, now or as of a time", "{ " AT " }", NULL,
		"ArtifactVersion", 0},
	{HTTP_PATCH, ONE "/versions/{version}", patch_version, PERM_ARTIFACT_WRITE,
		"Describe a version", NULL, "{ description: string }", "ArtifactVersion", 0},
	{HTTP_DELETE, ONE "/versions/{version}", delete_version, PERM_ARTIFACT_DELETE,
		"Delete a version; its history stays", "{ reason?: string }", NULL,
		"{ deleted: boolean }", 0},
	{HTTP_PUT, ONE "/tags/{key}", put_tag, PERM_ARTIFACT_WRITE,
		"Set a tag of an artifact or of a version", "{ version?: int }",
		"{ value: string }", "Artifact", 0},
	{HTTP_DELETE, ONE "/tags/{key}", delete_tag, PERM_ARTIFACT_WRITE, "Remove a tag",
		"{ version?: int }", NULL, "Artifact", 0},
	{HTTP_PUT, ONE "/aliases/{alias}", put_alias, PERM_ARTIFACT_ALIAS,
		"Point an alias at a version, from now or from an earlier time on", NULL,
		"{ version: int, valid?: string, reason?: string, break_glass?: boolean }",
		"Artifact", 0},
	{HTTP_DELETE, ONE "/aliases/{alias}", delete_alias, PERM_ARTIFACT_ALIAS,
		"Take an alias away", "{ reason?: string }", NULL, "Artifact", 0},
	{HTTP_GET, ONE "/history", get_history, PERM_ARTIFACT_READ,
		"Facts about an artifact, newest record first",
		"{ what?: string, key?: string, version?: int, before?: int, limit?: int }", NULL,
		"{ facts: ArtifactFact[], next: int | null }", 0},
	{HTTP_POST, ONE "/history/{seq}/retract", post_retract, PERM_ARTIFACT_WRITE,
		"Say that a fact was wrong; it stays in the history", NULL, "{ reason: string }",
		"Artifact", 0},
};

const struct module registry_module = {
	.name = "registry",
	.migrations = registry_migrations,
	.n_migrations = ARRAY_LEN(registry_migrations),
	TABLE(routes),
	TABLE(shapes),
	.commands = registry_commands,
	.n_commands = ARRAY_LEN(registry_commands),
};
