/* SQL of artifacts, versions and edges: the tables, and reading them. */
#include "artifact/registry_int.h"
#include "base/clock.h"

#include <stdlib.h>

const struct migration registry_migrations[N_REGISTRY_MIGRATIONS] = {
	{1, "artifacts",
		"CREATE TABLE artifact ("
		"  id BLOB PRIMARY KEY,"
		"  project TEXT NOT NULL,"
		"  kind TEXT NOT NULL,"
		"  name TEXT NOT NULL,"
		"  description TEXT NOT NULL,"
		"  creator TEXT NOT NULL,"
		"  created_ms BIGINT NOT NULL,"
		"  updated_ms BIGINT NOT NULL,"
		"  last_version BIGINT NOT NULL,"
		"  deleted BIGINT NOT NULL);"
		/* a tombstone does not keep its name from others */
		"CREATE UNIQUE INDEX artifact_live ON artifact (project, kind, name) "
		"  WHERE deleted = 0;"
		"CREATE INDEX artifact_name ON artifact (project, name);"
		"CREATE TABLE artifact_version ("
		"  artifact BLOB NOT NULL,"
		"  version BIGINT NOT NULL,"
		"  digest TEXT NOT NULL,"
		"  source TEXT NOT NULL,"
		"  metadata TEXT NOT NULL,"
		"  description TEXT NOT NULL,"
		"  creator TEXT NOT NULL,"
		"  run BLOB,"
		"  bytes BIGINT NOT NULL,"
		"  created_ms BIGINT NOT NULL,"
		"  updated_ms BIGINT NOT NULL,"
		"  deleted BIGINT NOT NULL,"
		"  PRIMARY KEY (artifact, version));"
		"CREATE INDEX artifact_version_digest ON artifact_version (digest);"
		"CREATE INDEX artifact_version_run ON artifact_version (run);"
		"CREATE TABLE artifact_fact ("
		"  seq BIGINT PRIMARY KEY,"
		"  project TEXT NOT NULL,"
		"  artifact BLOB NOT NULL,"
		"  version BIGINT NOT NULL,"
		"  what TEXT NOT NULL,"
		"  name TEXT NOT NULL,"
		"  value TEXT,"
		"  valid_ms BIGINT NOT NULL,"
		"  recorded_ms BIGINT NOT NULL,"
		"  who TEXT NOT NULL,"
		"  reason TEXT NOT NULL,"
		"  detail TEXT NOT NULL,"
		"  retracts BIGINT NOT NULL,"
		"  hash TEXT NOT NULL);"
		"CREATE INDEX artifact_fact_of ON artifact_fact "
		"  (artifact, version, what, name, valid_ms, seq);"
		"CREATE INDEX artifact_fact_all ON artifact_fact (artifact, seq);"
		"CREATE INDEX artifact_fact_retracts ON artifact_fact (retracts) "
		"  WHERE retracts <> 0;"
		"CREATE TABLE artifact_now ("
		"  artifact BLOB NOT NULL,"
		"  version BIGINT NOT NULL,"
		"  what TEXT NOT NULL,"
		"  name TEXT NOT NULL,"
		"  seq BIGINT NOT NULL,"
		"  PRIMARY KEY (artifact, version, what, name));"
		"CREATE TABLE lineage_edge ("
		"  project TEXT NOT NULL,"
		"  node TEXT NOT NULL,"
		"  kind TEXT NOT NULL,"
		"  source TEXT NOT NULL,"
		"  detail TEXT NOT NULL,"
		"  who TEXT NOT NULL,"
		"  recorded_ms BIGINT NOT NULL,"
		"  PRIMARY KEY (project, node, kind, source));"
		"CREATE INDEX lineage_edge_back ON lineage_edge (project, source);"},
	{2, "logged models",
		"CREATE TABLE logged_model ("
		"  project TEXT NOT NULL,"
		"  id TEXT NOT NULL,"
		"  experiment TEXT NOT NULL,"
		"  name TEXT NOT NULL,"
		"  type TEXT NOT NULL,"
		"  creator TEXT NOT NULL,"
		"  location TEXT NOT NULL,"
		"  status BIGINT NOT NULL,"
		"  run BLOB,"
		"  created_ms BIGINT NOT NULL,"
		"  updated_ms BIGINT NOT NULL,"
		"  deleted BIGINT NOT NULL,"
		"  PRIMARY KEY (project, id));"
		"CREATE INDEX logged_model_of ON logged_model (project, experiment, created_ms);"
		"CREATE TABLE logged_model_pair ("
		"  project TEXT NOT NULL,"
		"  model TEXT NOT NULL,"
		"  param BIGINT NOT NULL,"
		"  name TEXT NOT NULL,"
		"  value TEXT NOT NULL,"
		"  PRIMARY KEY (project, model, param, name));"},
	{3, "promotion rules",
		"CREATE TABLE promotion_rule ("
		"  id BLOB PRIMARY KEY,"
		"  project TEXT NOT NULL,"
		"  kind TEXT NOT NULL,"
		"  name TEXT NOT NULL,"
		"  alias TEXT NOT NULL,"
		"  checks TEXT NOT NULL,"
		"  approvals BIGINT NOT NULL,"
		"  creator TEXT NOT NULL,"
		"  created_ms BIGINT NOT NULL,"
		"  ended_ms BIGINT NOT NULL);"
		"CREATE INDEX promotion_rule_of ON promotion_rule (project, ended_ms);"},
	{4, "signatures",
		"CREATE TABLE artifact_signature ("
		"  artifact BLOB NOT NULL,"
		"  version BIGINT NOT NULL,"
		"  hint TEXT NOT NULL,"
		"  bundle TEXT NOT NULL,"
		"  who TEXT NOT NULL,"
		"  created_ms BIGINT NOT NULL,"
		"  PRIMARY KEY (artifact, version, hint));"},
	{5, "who had a name",
		"CREATE INDEX artifact_fact_name ON artifact_fact (project, value) "
		"  WHERE what = 'name';"},
};

/* ---- rows into structs ---- */

#define ARTIFACT_COLUMNS                                                               \
	"a.id, a.kind, a.name, a.description, a.creator, a.created_ms, a.updated_ms, " \
	"a.last_version, a.deleted"

static enum err read_artifact(
	struct row *r, struct arena *a, struct artifact *v, struct errtext *et)
{
	*v = (struct artifact){.id = row_id(r, 0),
		.created_ms = row_i64(r, 5),
		.updated_ms = row_i64(r, 6),
		.last_version = row_i64(r, 7),
		.deleted = row_i64(r, 8) != 0};
	enum err e = row_copy(a, row_text(r, 1), &v->kind, et);
	if (!e)
		e = row_copy(a, row_text(r, 2), &v->name, et);
	if (!e)
		e = row_copy(a, row_text(r, 3), &v->description, et);
	return e ? e : row_copy(a, row_text(r, 4), &v->creator, et);
}

#define VERSION_COLUMNS                                                                    \
	"v.artifact, a.kind, a.name, v.version, v.digest, v.source, v.metadata, "          \
	"v.description, v.creator, v.run, v.bytes, v.created_ms, v.updated_ms, v.deleted " \
	"FROM artifact_version v JOIN artifact a ON a.id = v.artifact "

static enum err read_version(
	struct row *r, struct arena *a, struct artifact_version *v, struct errtext *et)
{
	*v = (struct artifact_version){.artifact = row_id(r, 0),
		.version = row_i64(r, 3),
		.bytes = row_i64(r, 10),
		.created_ms = row_i64(r, 11),
		.updated_ms = row_i64(r, 12),
		.deleted = row_i64(r, 13) != 0};
	if (!row_null(r, 9))
		v->run = row_id(r, 9);
	struct str *const to[] = {&v->kind, &v->name, NULL, &v->digest, &v->source, &v->metadata,
		&v->description, &v->creator};
	enum err e = OK;
	for (int i = 0; i < (int)ARRAY_LEN(to) && !e; i++)
		if (to[i])
			e = row_copy(a, row_text(r, i + 1), to[i], et);
	return e;
}

static enum err one_artifact(struct tx *tx, const char *sql, const struct param *p, size_t n_p,
	struct arena *a, struct artifact *out, bool *found, struct errtext *et)
{
	struct row *r;
	struct artifact got;
	enum err e = db_query_n(tx, &r, et, sql, p, n_p);
	if (e)
		return e;
	*found = row_next(r, &e, et);
	if (*found)
		e = read_artifact(r, a, &got, et);
	row_free(r);
	if (!e && *found)
		*out = got;
	return e;
}

/* ---- artifacts ---- */

enum err artifact_find(struct tx *tx, struct str project, struct str kind, struct str name,
	struct arena *a, struct artifact *out, struct errtext *et)
{
	bool found = false;
	const struct param p[] = {P_TEXT(project), P_TEXT(kind), P_TEXT(name)};
	enum err e = one_artifact(tx,
		"SELECT " ARTIFACT_COLUMNS " FROM artifact a WHERE a.project = ? AND a.kind = ? "
		"AND a.name = ? AND a.deleted = 0",
		p, ARRAY_LEN(p), a, out, &found, et);
	if (!e && !found)
		e = err_set(et, ERR_NOT_FOUND, "there is no %.*s called '%.*s'", STR_FMT(kind),
			STR_FMT(str_sub(name, 0, 200)));
	return e;
}

enum err artifact_get(struct tx *tx, struct str project, struct id id, struct arena *a,
	struct artifact *out, struct errtext *et)
{
	bool found = false;
	const struct param p[] = {P_TEXT(project), P_ID(id)};
	enum err e = one_artifact(tx,
		"SELECT " ARTIFACT_COLUMNS " FROM artifact a WHERE a.project = ? AND a.id = ?", p,
		ARRAY_LEN(p), a, out, &found, et);
	if (!e && !found)
		e = err_set(et, ERR_NOT_FOUND, "there is no such artifact");
	return e;
}

static enum err read_artifacts(struct tx *tx, const char *sql, const struct param *p, size_t n_p,
	size_t limit, bool (*keep)(const struct artifact *v, const void *ctx), const void *ctx,
	struct arena *a, struct artifact **out, size_t *n, struct errtext *et)
{
	struct row *r;
	size_t k = 0;
	struct artifact *list = arena_array_of(a, limit, struct artifact);
	if (!list)
		return err_set(et, ERR_NOMEM, "no memory for a list of artifacts");
	enum err e = db_query_n(tx, &r, et, sql, p, n_p);
	if (e)
		return e;
	while (!e && k < limit && row_next(r, &e, et)) {
		e = read_artifact(r, a, &list[k], et);
		if (!e && (!keep || keep(&list[k], ctx)))
			k++;
	}
	row_free(r);
	if (e)
		return e;
	*out = list;
	*n = k;
	return OK;
}

static bool has_text(const struct artifact *v, const void *ctx)
{
	const struct str *text = ctx;
	return !text->n || str_find_nocase(v->name, *text) != STR_NONE;
}

enum err artifact_list(struct tx *tx, struct str project, const struct artifact_filter *f,
	struct arena *a, struct artifact **out, size_t *n, struct errtext *et)
{
	struct str name = f->after_name.p ? f->after_name : S("");
	struct str kind = f->after_kind.p ? f->after_kind : S("");
	const struct param p[] = {P_TEXT(project), P_TEXT(f->kind), P_TEXT(f->kind), P_TEXT(name),
		P_TEXT(name), P_TEXT(kind)};
	return read_artifacts(tx,
		"SELECT " ARTIFACT_COLUMNS " FROM artifact a WHERE a.project = ? AND "
		"(a.kind = ? OR ? = '') AND a.deleted = 0 AND a.name >= ? AND "
		"(a.name > ? OR a.kind > ?) ORDER BY a.name, a.kind",
		p, ARRAY_LEN(p), (size_t)f->limit, has_text, &f->text, a, out, n, et);
}

enum err artifact_count(
	struct tx *tx, struct str project, struct str kind, int64_t *n, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT COUNT(*) FROM artifact WHERE project = ? AND kind = ? AND deleted = 0",
		P_TEXT(project), P_TEXT(kind));
	if (e)
		return e;
	if (row_next(r, &e, et))
		*n = row_i64(r, 0);
	row_free(r);
	return e;
}

/* Candidates are those that ever had the name; the facts say which had it then. */
enum err artifact_find_at(struct tx *tx, struct str project, struct str kind, struct str name,
	struct artifact_time at, struct arena *a, struct artifact *out, struct errtext *et)
{
	struct artifact *list;
	size_t n = 0;
	if (time_is_now(at))
		return artifact_find(tx, project, kind, name, a, out, et);
	const struct param p[] = {P_TEXT(project), P_TEXT(kind), P_TEXT(project), P_TEXT(name)};
	enum err e = read_artifacts(tx,
		"SELECT " ARTIFACT_COLUMNS " FROM artifact a WHERE a.project = ? AND a.kind = ? "
		"AND a.id IN (SELECT f.artifact FROM artifact_fact f WHERE f.project = ? AND "
		"f.what = 'name' AND f.value = ?) ORDER BY a.created_ms DESC",
		p, ARRAY_LEN(p), 1000, NULL, NULL, a, &list, &n, et);
	for (size_t i = 0; i < n && !e; i++) {
		struct fact f;
		bool found = false;
		e = fact_at(tx, list[i].id, 0, S("name"), S(""), at, a, &f, &found, et);
		if (!e && found && str_eq(f.value, name)) {
			*out = list[i];
			out->name = f.value;
			return OK;
		}
	}
	return e ? e
		 : err_set(et, ERR_NOT_FOUND, "there was no %.*s called '%.*s' at that time",
			   STR_FMT(kind), STR_FMT(str_sub(name, 0, 200)));
}

enum err artifact_row_put(
	struct tx *tx, struct str project, const struct artifact *v, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO artifact (id, project, kind, name, description, creator, created_ms, "
		"updated_ms, last_version, deleted) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0)",
		P_ID(v->id), P_TEXT(project), P_TEXT(v->kind), P_TEXT(v->name),
		P_TEXT(v->description), P_TEXT(v->creator), P_I64(v->created_ms),
		P_I64(v->updated_ms));
}

/* ---- versions ---- */

enum err version_row_put(
	struct tx *tx, struct str project, const struct artifact_version *v, struct errtext *et)
{
	enum err e = db_exec(tx, et,
		"INSERT INTO artifact_version (artifact, version, digest, source, metadata, "
		"description, creator, run, bytes, created_ms, updated_ms, deleted) "
		"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
		P_ID(v->artifact), P_I64(v->version), P_TEXT(v->digest), P_TEXT(v->source),
		P_TEXT(v->metadata), P_TEXT(v->description), P_TEXT(v->creator),
		id_is_zero(v->run) ? P_NULL : P_ID(v->run), P_I64(v->bytes), P_I64(v->created_ms),
		P_I64(v->created_ms));
	if (e)
		return e;
	return db_exec(tx, et, "UPDATE artifact SET last_version = ?, updated_ms = ? WHERE id = ?",
		P_I64(v->version), P_I64(v->created_ms), P_ID(v->artifact));
}

enum err artifact_get_version(struct tx *tx, struct id artifact, int64_t version, struct arena *a,
	struct artifact_version *out, struct errtext *et)
{
	struct row *r;
	struct artifact_version got;
	enum err e = db_query(tx, &r, et,
		"SELECT " VERSION_COLUMNS "WHERE v.artifact = ? AND v.version = ?", P_ID(artifact),
		P_I64(version));
	if (e)
		return e;
	if (row_next(r, &e, et))
		e = read_version(r, a, &got, et);
	else if (!e)
		e = err_set(et, ERR_NOT_FOUND, "there is no version %lld", (long long)version);
	row_free(r);
	if (!e)
		*out = got;
	return e;
}

enum err version_list(struct tx *tx, const struct artifact *of, int64_t before, int64_t limit,
	bool dead, struct arena *a, struct artifact_version **out, size_t *n, struct errtext *et)
{
	struct row *r;
	size_t k = 0;
	struct artifact_version *list = arena_array_of(a, (size_t)limit, struct artifact_version);
	if (!list)
		return err_set(et, ERR_NOMEM, "no memory for a list of versions");
	enum err e = db_query(tx, &r, et,
		"SELECT " VERSION_COLUMNS "WHERE v.artifact = ? AND v.version < ? AND "
		"v.deleted <= ? ORDER BY v.version DESC LIMIT ?",
		P_ID(of->id), P_I64(before ? before : INT64_MAX), P_I64(dead), P_I64(limit));
	if (e)
		return e;
	while (!e && k < (size_t)limit && row_next(r, &e, et))
		e = read_version(r, a, &list[k++], et);
	row_free(r);
	if (e)
		return e;
	*out = list;
	*n = k;
	return OK;
}

enum err version_each(struct tx *tx, struct str project, struct str kind, struct id artifact,
	struct id run, version_fn fn, void *ctx, struct errtext *et)
{
	struct row *r;
	struct param p[5] = {P_TEXT(project), P_TEXT(kind)};
	size_t k = 2;
	struct buf sql = {0};
	buf_addc(&sql, "SELECT " VERSION_COLUMNS
		       "WHERE a.project = ? AND a.kind = ? AND a.deleted = 0 AND v.deleted = 0");
	if (!id_is_zero(artifact)) {
		buf_addc(&sql, " AND v.artifact = ?");
		p[k++] = P_ID(artifact);
	}
	if (!id_is_zero(run)) {
		buf_addc(&sql, " AND v.run = ?");
		p[k++] = P_ID(run);
	}
	buf_addc(&sql, " ORDER BY a.name, v.version DESC");
	enum err e = sql.err ? err_set(et, ERR_NOMEM, "no memory")
			     : db_query_n(tx, &r, et, buf_c(&sql), p, k);
	buf_free(&sql);
	if (e)
		return e;
	while (!e && row_next(r, &e, et)) {
		struct artifact_version v;
		struct arena *a = arena_new(4 << 20);
		e = a ? read_version(r, a, &v, et) : err_set(et, ERR_NOMEM, "no memory");
		if (!e)
			e = fn(ctx, &v, et);
		arena_free(a);
	}
	row_free(r);
	return e;
}

enum err versions_with_digest(struct tx *tx, struct str project, struct str digest, struct arena *a,
	struct artifact_version **out, size_t *n, struct errtext *et)
{
	struct row *r;
	struct artifact_version *list =
		arena_array_of(a, DIGEST_VERSIONS_MAX, struct artifact_version);
	size_t k = 0;
	if (!list)
		return err_set(et, ERR_NOMEM, "no memory");
	enum err e = db_query(tx, &r, et,
		"SELECT " VERSION_COLUMNS "WHERE a.project = ? AND v.digest = ? "
		"ORDER BY v.deleted, v.created_ms DESC LIMIT ?",
		P_TEXT(project), P_TEXT(digest), P_I64(DIGEST_VERSIONS_MAX));
	if (e)
		return e;
	while (!e && k < DIGEST_VERSIONS_MAX && row_next(r, &e, et))
		e = read_version(r, a, &list[k++], et);
	row_free(r);
	if (e)
		return e;
	*out = list;
	*n = k;
	return OK;
}

enum err version_count(struct tx *tx, struct id artifact, int64_t *live, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT COUNT(*) FROM artifact_version WHERE artifact = ? AND deleted = 0",
		P_ID(artifact));
	if (e)
		return e;
	if (row_next(r, &e, et))
		*live = row_i64(r, 0);
	row_free(r);
	return e;
}

enum err artifact_digest_used(struct tx *tx, struct str digest, bool *used, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT 1 FROM artifact_version WHERE digest = ? AND deleted = 0 LIMIT 1",
		P_TEXT(digest));
	if (e)
		return e;
	*used = row_next(r, &e, et);
	row_free(r);
	return e;
}

/* ---- rows that repeat a fact ---- */

static enum err name_follows(
	struct tx *tx, const struct fact *now, bool found, struct id artifact, struct errtext *et)
{
	if (found)
		return db_exec(tx, et, "UPDATE artifact SET name = ?, deleted = 0 WHERE id = ?",
			P_TEXT(now->value), P_ID(artifact));
	return db_exec(tx, et, "UPDATE artifact SET deleted = 1 WHERE id = ?", P_ID(artifact));
}

static enum err description_follows(
	struct tx *tx, struct str text, struct id artifact, int64_t version, struct errtext *et)
{
	if (version)
		return db_exec(tx, et,
			"UPDATE artifact_version SET description = ? WHERE artifact = ? AND "
			"version = ?",
			P_TEXT(text), P_ID(artifact), P_I64(version));
	return db_exec(tx, et, "UPDATE artifact SET description = ? WHERE id = ?", P_TEXT(text),
		P_ID(artifact));
}

enum err rows_follow(struct tx *tx, const struct fact *now, bool found, struct id artifact,
	int64_t version, struct str what, int64_t ms, struct errtext *et)
{
	enum err e = OK;
	bool stamps = ms != 0;
	if (str_eq_c(what, "name"))
		e = name_follows(tx, now, found, artifact, et);
	else if (str_eq_c(what, "description"))
		e = description_follows(tx, found ? now->value : S(""), artifact, version, et);
	else if (str_eq_c(what, "version"))
		e = db_exec(tx, et,
			"UPDATE artifact_version SET deleted = ? WHERE artifact = ? AND version = "
			"?",
			P_I64(!found), P_ID(artifact), P_I64(version));
	else
		stamps = stamps && str_eq_c(what, "stage");
	if (e || !stamps)
		return e;
	if (version)
		return db_exec(tx, et,
			"UPDATE artifact_version SET updated_ms = ? WHERE artifact = ? AND version "
			"= ?",
			P_I64(ms), P_ID(artifact), P_I64(version));
	return db_exec(tx, et, "UPDATE artifact SET updated_ms = ? WHERE id = ?", P_I64(ms),
		P_ID(artifact));
}

/* ---- what needs a run ---- */

static enum err any_row(struct tx *tx, const char *sql, struct param a, struct param b, bool *any,
	struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et, sql, a, b);
	if (e)
		return e;
	*any = row_next(r, &e, et);
	row_free(r);
	return e;
}

enum err artifact_run_needed(
	struct tx *tx, struct str project, struct id run, const char **why, struct errtext *et)
{
	char node[4 + ID_HEX + 1] = "run:";
	bool any = false;
	*why = NULL;
	id_hex(run, node + 4);
	enum err e =
		any_row(tx, "SELECT 1 FROM artifact_version WHERE run = ? AND deleted = ? LIMIT 1",
			P_ID(run), P_I64(0), &any, et);
	if (e || any) {
		*why = any ? "a version of an artifact" : NULL;
		return e;
	}
	/* to a version: that a run read a file, or logged a model, keeps it no longer than any */
	e = any_row(tx,
		"SELECT 1 FROM lineage_edge WHERE project = ? AND node = ? AND "
		"source LIKE 'version:%' LIMIT 1",
		P_TEXT(project), P_TEXT(str_c(node)), &any, et);
	if (!e && !any)
		e = any_row(tx,
			"SELECT 1 FROM lineage_edge WHERE project = ? AND source = ? AND "
			"node LIKE 'version:%' LIMIT 1",
			P_TEXT(project), P_TEXT(str_c(node)), &any, et);
	*why = any ? "lineage" : NULL;
	return e;
}
