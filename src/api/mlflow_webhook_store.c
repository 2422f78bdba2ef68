/* SQL of webhooks. */
#include "api/mlflow_webhook.h"

const struct migration webhook_migrations[1] = {
	{1, "webhooks",
		"CREATE TABLE mlflow_webhook ("
		"  id BLOB PRIMARY KEY,"
		"  project TEXT NOT NULL,"
		"  name TEXT NOT NULL,"
		"  url TEXT NOT NULL,"
		"  description TEXT NOT NULL,"
		"  events TEXT NOT NULL,"
		"  active BIGINT NOT NULL,"
		"  has_secret BIGINT NOT NULL,"
		"  created_ms BIGINT NOT NULL,"
		"  updated_ms BIGINT NOT NULL);"
		"CREATE INDEX mlflow_webhook_of ON mlflow_webhook (project, created_ms);"},
};

#define COLUMNS \
	"id, name, url, description, events, active, has_secret, created_ms, updated_ms, project"

enum err webhook_put(struct tx *tx, const struct webhook *v, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO mlflow_webhook (" COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
		"ON CONFLICT (id) DO UPDATE SET name = excluded.name, url = excluded.url, "
		"description = excluded.description, events = excluded.events, "
		"active = excluded.active, has_secret = excluded.has_secret, "
		"updated_ms = excluded.updated_ms",
		P_ID(v->id), P_TEXT(v->name), P_TEXT(v->url), P_TEXT(v->description),
		P_TEXT(v->events), P_I64(v->active), P_I64(v->secret), P_I64(v->created_ms),
		P_I64(v->updated_ms), P_TEXT(v->project));
}

static enum err copy(struct arena *a, struct str from, struct str *to, struct errtext *et)
{
	*to = arena_str(a, from);
	return to->p ? OK : err_set(et, ERR_NOMEM, "no memory for webhooks");
}

static enum err read_webhook(struct row *r, struct arena *a, struct webhook *v, struct errtext *et)
{
	struct str *const to[] = {&v->name, &v->url, &v->description, &v->events};
	enum err e = OK;
	*v = (struct webhook){.id = row_id(r, 0),
		.active = row_i64(r, 5) != 0,
		.secret = row_i64(r, 6) != 0,
		.created_ms = row_i64(r, 7),
		.updated_ms = row_i64(r, 8)};
	for (int i = 0; i < (int)ARRAY_LEN(to) && !e; i++)
		e = copy(a, row_text(r, i + 1), to[i], et);
	return e ? e : copy(a, row_text(r, 9), &v->project, et);
}

enum err webhook_get(struct tx *tx, struct str project, struct id id, struct arena *a,
	struct webhook *out, struct errtext *et)
{
	struct row *r;
	char hex[ID_HEX + 1];
	enum err e = db_query(tx, &r, et,
		"SELECT " COLUMNS " FROM mlflow_webhook WHERE id = ? AND project = ?", P_ID(id),
		P_TEXT(project));
	if (e)
		return e;
	id_hex(id, hex);
	if (row_next(r, &e, et))
		e = read_webhook(r, a, out, et);
	else if (!e)
		e = err_set(et, ERR_NOT_FOUND, "Webhook with ID %s not found.", hex);
	row_free(r);
	return e;
}

enum err webhook_list(struct tx *tx, struct str project, int64_t offset, int64_t limit,
	struct arena *a, struct webhook **out, size_t *n, struct errtext *et)
{
	struct row *r;
	size_t k = 0, cap = (size_t)MIN(limit, (int64_t)WEBHOOKS_MAX);
	struct webhook *v = arena_array_of(a, cap + 1, struct webhook);
	if (!v)
		return err_set(et, ERR_NOMEM, "no memory for webhooks");
	enum err e = db_query(tx, &r, et,
		"SELECT " COLUMNS " FROM mlflow_webhook WHERE project = ? "
		"ORDER BY created_ms DESC, id DESC LIMIT ? OFFSET ?",
		P_TEXT(project), P_I64((int64_t)cap), P_I64(offset));
	if (e)
		return e;
	while (!e && k < cap && row_next(r, &e, et))
		e = read_webhook(r, a, &v[k++], et);
	row_free(r);
	if (!e) {
		*out = v;
		*n = k;
	}
	return e;
}

enum err webhook_count(struct tx *tx, struct str project, int64_t *n, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et, "SELECT COUNT(*) FROM mlflow_webhook WHERE project = ?",
		P_TEXT(project));
	if (e)
		return e;
	if (row_next(r, &e, et))
		*n = row_i64(r, 0);
	row_free(r);
	return e;
}

enum err webhook_delete(struct tx *tx, struct str project, struct id id, struct errtext *et)
{
	return db_exec(tx, et, "DELETE FROM mlflow_webhook WHERE id = ? AND project = ?", P_ID(id),
		P_TEXT(project));
}
