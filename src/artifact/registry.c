/* What may be done with artifacts: make, add a version, rename, describe, tag, move an alias,
 * delete, correct; and what a reference names, now or at another time. */
#include "artifact/promotion.h"
#include "artifact/registry_int.h"
#include "base/clock.h"

#include <stdio.h>

const struct principal registry_self = {
	.name = {"croft", 5}, .project = {"default", 7}, .perms = PERMS_ALL};

static struct str decimal(char out[24], int64_t v)
{
	return str_mk(out, (size_t)snprintf(out, 24, "%lld", (long long)v));
}

/* ---- making ---- */

enum err artifact_create(struct tx *tx, const struct principal *who, struct str kind,
	struct str name, struct str description, struct id *out, struct errtext *et)
{
	struct arena *a = arena_new(1 << 20);
	struct artifact there, v = {.id = id_new(),
				       .kind = kind,
				       .name = name,
				       .description = description.p ? description : S(""),
				       .creator = who->name.n ? who->name : S("local"),
				       .created_ms = clock_unix_ms()};
	if (!a)
		return err_set(et, ERR_NOMEM, "no memory");
	v.updated_ms = v.created_ms;
	enum err e = kind_check(kind, et);
	if (!e)
		e = artifact_name_check(name, et);
	if (!e) {
		e = artifact_find(tx, who->project, kind, name, a, &there, et);
		e = e == ERR_NOT_FOUND ? OK
		    : e                ? e
			: err_set(et, ERR_CONFLICT, "there is a %.*s '%.*s' already", STR_FMT(kind),
				  STR_FMT(name));
	}
	arena_free(a);
	if (!e)
		e = artifact_row_put(tx, who->project, &v, et);
	if (!e)
		e = fact_add(tx, who,
			&(struct fact){.artifact = v.id, .what = S("name"), .value = name}, NULL,
			et);
	if (!e && v.description.n)
		e = fact_add(tx, who,
			&(struct fact){
				.artifact = v.id, .what = S("description"), .value = v.description},
			NULL, et);
	if (!e)
		*out = v.id;
	return e;
}

static enum err check_version(const struct version_new *v, struct errtext *et)
{
	if (v->metadata.n) {
		yyjson_doc *doc;
		enum err e = json_parse(v->metadata, &doc, et);
		if (e)
			return err_wrap(et, e, "metadata");
		bool good = yyjson_is_obj(yyjson_doc_get_root(doc));
		yyjson_doc_free(doc);
		if (!good)
			return err_set(et, ERR_INVALID, "metadata: a JSON object is expected");
	}
	if (v->digest.n > 200 || v->source.n > 4000)
		return err_set(
			et, ERR_INVALID, "the digest or the source of a version is too long");
	return OK;
}

static enum err add_version(struct tx *tx, const struct principal *who, const struct version_new *v,
	const struct artifact *of, int64_t *version, struct errtext *et)
{
	struct artifact_version row = {.artifact = of->id,
		.version = of->last_version + 1,
		.digest = v->digest.p ? v->digest : S(""),
		.source = v->source.p ? v->source : S(""),
		.metadata = v->metadata.n ? v->metadata : S("{}"),
		.description = v->description.p ? v->description : S(""),
		.creator = who->name.n ? who->name : S("local"),
		.run = v->run,
		.bytes = v->bytes,
		.created_ms = clock_unix_ms()};
	enum err e = version_row_put(tx, who->project, &row, et);
	if (!e)
		e = fact_add(tx, who,
			&(struct fact){.artifact = of->id,
				.version = row.version,
				.what = S("version"),
				.value = row.digest.n ? row.digest : row.source},
			NULL, et);
	if (!e && row.description.n)
		e = fact_add(tx, who,
			&(struct fact){.artifact = of->id,
				.version = row.version,
				.what = S("description"),
				.value = row.description},
			NULL, et);
	if (!e)
		*version = row.version;
	return e;
}

static enum err link_run(struct tx *tx, const struct principal *who, struct id run,
	struct id artifact, int64_t version, struct arena *a, struct errtext *et)
{
	if (id_is_zero(run))
		return OK;
	return lineage_add(tx, who,
		&(struct edge){.node = node_version(a, artifact, version),
			.kind = EDGE_PRODUCED,
			.source = node_run(a, run)},
		et);
}

enum err artifact_put_version(struct tx *tx, const struct principal *who,
	const struct version_new *v, int64_t *version, struct errtext *et)
{
	struct arena *a = arena_new(8 << 20);
	struct artifact of;
	struct id id;
	int64_t made = 0;
	enum err e = a ? check_version(v, et) : err_set(et, ERR_NOMEM, "no memory");
	if (!e) {
		e = artifact_find(tx, who->project, v->kind, v->name, a, &of, et);
		if (e == ERR_NOT_FOUND) {
			e = artifact_create(tx, who, v->kind, v->name, S(""), &id, et);
			if (!e)
				e = artifact_get(tx, who->project, id, a, &of, et);
		}
	}
	if (!e && v->reuse && of.last_version && v->digest.n) {
		struct artifact_version *newest;
		size_t n = 0;
		e = version_list(tx, &of, 0, 1, false, a, &newest, &n, et);
		if (!e && n && str_eq(newest[0].digest, v->digest))
			made = newest[0].version;
	}
	if (!e && !made)
		e = add_version(tx, who, v, &of, &made, et);
	if (!e)
		e = link_run(tx, who, v->run, of.id, made, a, et);
	if (!e)
		*version = made;
	arena_free(a);
	return e;
}

/* ---- changing ---- */

/* Promotion rules go by the name: whoever changes a name that one is for changes what holds. */
static enum err may_rename(struct tx *tx, const struct principal *who, const struct artifact *of,
	struct str name, struct arena *a, struct errtext *et)
{
	struct promotion_rule *rules;
	struct http_request as = {.who = who};
	struct artifact renamed = *of;
	size_t n = 0;
	renamed.name = name;
	enum err e = rule_list(tx, who->project, a, &rules, &n, et);
	for (size_t i = 0; i < n && !e; i++)
		if (rule_is_for(&rules[i], of) || rule_is_for(&rules[i], &renamed))
			e = need(&as, PERM_ARTIFACT_RULE, et);
	return e;
}

enum err artifact_rename(struct tx *tx, const struct principal *who, const struct artifact *of,
	struct str name, struct errtext *et)
{
	struct arena *a = arena_new(1 << 20);
	struct artifact there;
	enum err e = a ? artifact_name_check(name, et) : err_set(et, ERR_NOMEM, "no memory");
	if (!e && !str_eq(name, of->name)) {
		e = artifact_find(tx, who->project, of->kind, name, a, &there, et);
		if (e == ERR_NOT_FOUND)
			e = may_rename(tx, who, of, name, a, et);
		else if (!e)
			e = err_set(et, ERR_CONFLICT, "there is a %.*s '%.*s' already",
				STR_FMT(of->kind), STR_FMT(name));
		if (!e)
			e = fact_add(tx, who,
				&(struct fact){
					.artifact = of->id, .what = S("name"), .value = name},
				NULL, et);
	}
	arena_free(a);
	return e;
}

enum err artifact_describe(struct tx *tx, const struct principal *who, const struct artifact *of,
	int64_t version, struct str text, struct errtext *et)
{
	return fact_add(tx, who,
		&(struct fact){.artifact = of->id,
			.version = version,
			.what = S("description"),
			.value = text.n ? text : (struct str){0}},
		NULL, et);
}

enum err artifact_tag_set(struct tx *tx, const struct principal *who, struct id artifact,
	int64_t version, struct str key, struct str value, struct errtext *et)
{
	if (!key.n || key.n > TAG_KEY_MAX)
		return err_set(
			et, ERR_INVALID, "tag: a key of 1 to %d bytes is expected", TAG_KEY_MAX);
	if (value.n > TAG_VALUE_MAX)
		return err_set(et, ERR_TOO_LARGE, "tag %.*s: %zu bytes, the limit is %d",
			STR_FMT(str_sub(key, 0, 100)), value.n, TAG_VALUE_MAX);
	return fact_add(tx, who,
		&(struct fact){.artifact = artifact,
			.version = version,
			.what = S("tag"),
			.name = key,
			.value = value},
		NULL, et);
}

static enum err live_version(struct tx *tx, const struct artifact *of, int64_t version,
	struct arena *a, struct artifact_version *out, struct errtext *et)
{
	enum err e = artifact_get_version(tx, of->id, version, a, out, et);
	if (e == ERR_NOT_FOUND || (!e && out->deleted))
		return err_set(et, ERR_NOT_FOUND, "%.*s '%.*s' has no version %lld",
			STR_FMT(of->kind), STR_FMT(of->name), (long long)version);
	return e;
}

enum err artifact_alias_set(
	struct tx *tx, const struct principal *who, const struct alias_move *m, struct errtext *et)
{
	struct arena *a = arena_new(8 << 20);
	struct artifact of;
	struct artifact_version v;
	struct gate gate = {0};
	char number[24];
	enum err e = a ? alias_check(m->alias, et) : err_set(et, ERR_NOMEM, "no memory");
	if (!e)
		e = artifact_find(tx, who->project, m->kind, m->name, a, &of, et);
	if (!e && m->version)
		e = live_version(tx, &of, m->version, a, &v, et);
	if (!e && m->valid_ms && m->version && m->valid_ms < v.created_ms)
		e = err_set(et, ERR_INVALID, "valid: version %lld was made after that time",
			(long long)m->version);
	if (!e && m->version)
		e = gate_pass(tx, who, &of, m, a, &gate, et);
	if (!e)
		e = fact_add(tx, who,
			&(struct fact){.artifact = of.id,
				.what = S("alias"),
				.name = m->alias,
				.value = m->version ? decimal(number, m->version) : (struct str){0},
				.valid_ms = m->valid_ms,
				.reason = m->reason,
				.detail = gate.detail},
			NULL, et);
	if (!e && gate.broken)
		e = gate_audit(tx, who, &of, m, &gate, et);
	arena_free(a);
	return e;
}

enum err artifact_stage_set(struct tx *tx, const struct principal *who, const struct artifact *of,
	int64_t version, struct str stage, struct errtext *et)
{
	struct arena *a = arena_new(8 << 20);
	struct gate gate = {0};
	struct alias_move m = {
		.kind = of->kind, .name = of->name, .alias = stage, .version = version};
	enum err e =
		a ? gate_pass(tx, who, of, &m, a, &gate, et) : err_set(et, ERR_NOMEM, "no memory");
	if (!e)
		e = fact_add(tx, who,
			&(struct fact){.artifact = of->id,
				.version = version,
				.what = S("stage"),
				.value = stage},
			NULL, et);
	arena_free(a);
	return e;
}

/* ---- deleting: a fact too; content stays until it is collected ---- */

enum err version_delete(struct tx *tx, const struct principal *who, const struct artifact *of,
	int64_t version, struct str reason, struct errtext *et)
{
	struct arena *a = arena_new(8 << 20);
	struct artifact_version v;
	struct fact *aliases = NULL;
	size_t n = 0;
	char number[24];
	enum err e =
		a ? live_version(tx, of, version, a, &v, et) : err_set(et, ERR_NOMEM, "no memory");
	if (!e)
		e = facts_now(tx, of->id, 0, S("alias"), a, &aliases, &n, et);
	for (size_t i = 0; i < n && !e; i++)
		if (str_eq(aliases[i].value, decimal(number, version)))
			e = fact_add(tx, who,
				&(struct fact){.artifact = of->id,
					.what = S("alias"),
					.name = aliases[i].name,
					.reason = S("the version was deleted"),
					.perm = PERM_ARTIFACT_DELETE},
				NULL, et);
	if (!e)
		e = fact_add(tx, who,
			&(struct fact){.artifact = of->id,
				.version = version,
				.what = S("version"),
				.reason = reason},
			NULL, et);
	arena_free(a);
	return e;
}

enum err artifact_delete(struct tx *tx, const struct principal *who, const struct artifact *of,
	struct str reason, struct errtext *et)
{
	return fact_add(tx, who,
		&(struct fact){.artifact = of->id, .what = S("name"), .reason = reason}, NULL, et);
}

/* ---- correcting ---- */

static enum err points_at(struct tx *tx, const struct artifact *of, struct str alias,
	struct arena *a, int64_t *version, struct errtext *et)
{
	struct fact f;
	bool found = false;
	*version = 0;
	enum err e = fact_now(tx, of->id, 0, S("alias"), alias, a, &f, &found, et);
	if (!e && found && !str_i64(f.value, version))
		*version = 0;
	return e;
}

/* An alias that points elsewhere now, because a move was unsaid, has moved: the promotion rules
 * have their say, and what is gone is not pointed at. */
static enum err falls_back(struct tx *tx, const struct principal *who, const struct artifact *of,
	struct str alias, int64_t was, struct arena *a, struct errtext *et)
{
	int64_t version;
	struct gate gate = {0};
	struct artifact_version v;
	enum err e = points_at(tx, of, alias, a, &version, et);
	if (e || !version || version == was)
		return e;
	struct alias_move m = {
		.kind = of->kind, .name = of->name, .alias = alias, .version = version};
	e = live_version(tx, of, version, a, &v, et);
	if (!e)
		e = gate_pass(tx, who, of, &m, a, &gate, et);
	return e ? err_wrap(et, e, "@%.*s would point at version %lld again", STR_FMT(alias),
			   (long long)version)
		 : OK;
}

enum err fact_retract(struct tx *tx, const struct principal *who, const struct artifact *of,
	int64_t seq, struct str reason, struct errtext *et)
{
	struct arena *a = arena_new(1 << 20);
	struct fact f;
	int64_t was = 0;
	enum err e = a ? fact_get(tx, who->project, seq, a, &f, et)
		       : err_set(et, ERR_NOMEM, "no memory");
	if (!e && memcmp(f.artifact.b, of->id.b, sizeof f.artifact.b) != 0)
		e = err_set(et, ERR_NOT_FOUND, "there is no fact %lld of this artifact",
			(long long)seq);
	if (!e && (f.retracts || str_eq_c(f.what, "name") || str_eq_c(f.what, "version")))
		e = err_set(et, ERR_INVALID,
			"what exists cannot be unsaid: delete it, or make a new version");
	if (!e && !reason.n)
		e = err_set(et, ERR_INVALID, "reason: say why the fact was wrong");
	if (!e && str_eq_c(f.what, "alias"))
		e = points_at(tx, of, f.name, a, &was, et);
	if (!e)
		e = fact_add(tx, who,
			&(struct fact){.artifact = f.artifact,
				.version = f.version,
				.what = f.what,
				.name = f.name,
				.reason = reason,
				.retracts = seq},
			NULL, et);
	if (!e && str_eq_c(f.what, "alias"))
		e = falls_back(tx, who, of, f.name, was, a, et);
	arena_free(a);
	return e;
}

/* ---- times and references ---- */

enum err time_settle(struct artifact_time *at, struct errtext *et)
{
	int64_t now = clock_unix_ms();
	if (at->as_of_ms < 0 || at->known_ms < 0)
		return err_set(et, ERR_INVALID, "as_of, known_at: a time after 1970 is expected");
	if (at->known_ms > now)
		at->known_ms = now; /* the rest of today */
	if (at->as_of_ms > now)
		at->as_of_ms = now;
	if (!at->as_of_ms)
		at->as_of_ms = at->known_ms;
	return OK;
}

enum err ref_parse(struct str text, struct ref *out, struct errtext *et)
{
	struct ref r = {0};
	struct str rest = text;
	size_t slash = str_chr(rest, '/');
	if (slash != STR_NONE) {
		r.kind = str_sub(rest, 0, slash);
		rest = str_sub(rest, slash + 1, rest.n);
		enum err e = kind_check(r.kind, et);
		if (e)
			return e;
	}
	size_t at = str_chr(rest, '@'), colon = str_chr(rest, ':');
	if (at != STR_NONE) {
		r.alias = str_sub(rest, at + 1, rest.n);
		rest = str_sub(rest, 0, at);
		if (!r.alias.n)
			return err_set(et, ERR_INVALID, "an alias is missing after '@'");
	} else if (colon != STR_NONE) {
		struct str v = str_sub(rest, colon + 1, rest.n);
		rest = str_sub(rest, 0, colon);
		if (v.n > 1 && (v.p[0] == 'v' || v.p[0] == 'V'))
			v = str_sub(v, 1, v.n);
		if (!str_eq_c(v, "latest") && (!str_i64(v, &r.version) || r.version < 1))
			return err_set(et, ERR_INVALID,
				"'%.*s' is no version: a number from 1 is expected after ':'",
				STR_FMT(str_sub(v, 0, 60)));
	}
	enum err e = artifact_name_check(rest, et);
	if (e)
		return e;
	r.name = rest;
	*out = r;
	return OK;
}

/* The kind was not said: one only may have the name. */
static enum err any_kind(struct tx *tx, struct str project, struct str name,
	struct artifact_time at, struct arena *a, struct artifact *out, struct errtext *et)
{
	struct buf kinds = {0};
	unsigned found = 0;
	enum err e = OK;
	for (size_t i = 0; i < n_artifact_kinds; i++) {
		struct artifact got;
		struct str kind = str_c(artifact_kinds[i].name);
		e = artifact_find_at(tx, project, kind, name, at, a, &got, et);
		if (e == ERR_NOT_FOUND)
			continue;
		if (e)
			break;
		buf_addf(&kinds, "%s%.*s/%.*s", found++ ? ", " : "", STR_FMT(kind), STR_FMT(name));
		*out = got;
	}
	if (!e || e == ERR_NOT_FOUND)
		e = found == 1 ? OK
		    : found    ? err_set(et, ERR_CONFLICT, "say which: %s", buf_c(&kinds))
			       : err_set(et, ERR_NOT_FOUND, "there is no artifact called '%.*s'",
					 STR_FMT(name));
	buf_free(&kinds);
	return e;
}

enum err ref_artifact(struct tx *tx, struct str project, const struct ref *r,
	struct artifact_time at, struct arena *a, struct artifact *out, struct errtext *et)
{
	if (!r->kind.n)
		return any_kind(tx, project, r->name, at, a, out, et);
	return artifact_find_at(tx, project, r->kind, r->name, at, a, out, et);
}

static enum err no_version(
	const struct artifact *of, const struct ref *r, struct artifact_time at, struct errtext *et)
{
	const char *when = time_is_now(at) ? "" : " at that time";
	const char *has = time_is_now(at) ? "has" : "had";
	if (r->alias.n)
		return err_set(et, ERR_NOT_FOUND, "%.*s '%.*s' %s no alias '%.*s'%s",
			STR_FMT(of->kind), STR_FMT(of->name), has,
			STR_FMT(str_sub(r->alias, 0, 100)), when);
	if (r->version)
		return err_set(et, ERR_NOT_FOUND, "%.*s '%.*s' %s no version %lld%s",
			STR_FMT(of->kind), STR_FMT(of->name), has, (long long)r->version, when);
	return err_set(et, ERR_NOT_FOUND, "%.*s '%.*s' %s no versions%s", STR_FMT(of->kind),
		STR_FMT(of->name), has, when);
}

/* The number that the reference means; 0: none. */
static enum err meant_version(struct tx *tx, const struct artifact *of, const struct ref *r,
	struct artifact_time at, struct arena *a, int64_t *version, struct errtext *et)
{
	struct fact f;
	bool found = false;
	enum err e = OK;
	*version = r->version;
	if (r->alias.n) {
		e = time_is_now(at)
			    ? fact_now(tx, of->id, 0, S("alias"), r->alias, a, &f, &found, et)
			    : fact_at(tx, of->id, 0, S("alias"), r->alias, at, a, &f, &found, et);
		if (!e && (!found || !str_i64(f.value, version)))
			*version = 0;
	}
	return e;
}

static enum err existed(struct tx *tx, struct id artifact, int64_t version, struct artifact_time at,
	struct arena *a, bool *yes, struct errtext *et)
{
	struct fact f;
	return fact_at(tx, artifact, version, S("version"), S(""), at, a, &f, yes, et);
}

static enum err newest(struct tx *tx, const struct artifact *of, struct artifact_time at,
	struct arena *a, struct artifact_version *out, bool *found, struct errtext *et)
{
	struct artifact_version *list;
	int64_t before = 0;
	for (;;) {
		size_t n = 0;
		enum err e = version_list(tx, of, before, 16, !time_is_now(at), a, &list, &n, et);
		for (size_t i = 0; i < n && !e; i++) {
			*found = true;
			if (!time_is_now(at))
				e = existed(tx, of->id, list[i].version, at, a, found, et);
			if (!e && *found) {
				*out = list[i];
				return OK;
			}
		}
		*found = false;
		if (e || n < 16)
			return e;
		before = list[n - 1].version;
	}
}

enum err ref_version(struct tx *tx, const struct artifact *of, const struct ref *r,
	struct artifact_time at, struct arena *a, struct artifact_version *out, struct errtext *et)
{
	int64_t version = 0;
	bool found = false;
	struct artifact_version v;
	struct ref newest_of = *r;
	if (str_eq_nocase(r->alias, S("latest"))) { /* reserved: the newest */
		newest_of.alias = S("");
		r = &newest_of;
	}
	enum err e = meant_version(tx, of, r, at, a, &version, et);
	if (e)
		return e;
	if (!version && !r->alias.n) {
		e = newest(tx, of, at, a, &v, &found, et);
	} else if (version) {
		e = artifact_get_version(tx, of->id, version, a, &v, et);
		if (e == ERR_NOT_FOUND)
			return no_version(of, r, at, et);
		found = !e && !v.deleted;
		if (!e && !time_is_now(at))
			e = existed(tx, of->id, version, at, a, &found, et);
	}
	if (!e && !found)
		e = no_version(of, r, at, et);
	if (!e)
		*out = v;
	return e;
}

enum err artifact_resolve(struct tx *tx, struct str project, struct str text,
	struct artifact_time at, struct arena *a, struct artifact_version *out, struct errtext *et)
{
	struct ref r;
	struct artifact of;
	enum err e = ref_parse(text, &r, et);
	if (!e)
		e = time_settle(&at, et);
	if (!e)
		e = ref_artifact(tx, project, &r, at, a, &of, et);
	if (!e)
		e = ref_version(tx, &of, &r, at, a, out, et);
	return e;
}
