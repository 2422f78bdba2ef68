/* SQL of logged models. */
#include "artifact/logged.h"
#include "artifact/registry_int.h"
#include "base/clock.h"

#include <math.h>

#define COLUMNS                                                                    \
	"id, experiment, name, type, creator, location, status, run, created_ms, " \
	"updated_ms, deleted"

static enum err read_model(
	struct row *r, struct arena *a, struct logged_model *m, struct errtext *et)
{
	*m = (struct logged_model){.status = (enum logged_status)row_i64(r, 6),
		.created_ms = row_i64(r, 8),
		.updated_ms = row_i64(r, 9),
		.deleted = row_i64(r, 10) != 0};
	if (!row_null(r, 7))
		m->run = row_id(r, 7);
	struct str *const to[] = {
		&m->id, &m->experiment, &m->name, &m->type, &m->creator, &m->location};
	enum err e = OK;
	for (int i = 0; i < (int)ARRAY_LEN(to) && !e; i++)
		e = row_copy(a, row_text(r, i), to[i], et);
	return e;
}

enum err logged_put(
	struct tx *tx, struct str project, const struct logged_model *m, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO logged_model (project, " COLUMNS
		") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
		P_TEXT(project), P_TEXT(m->id), P_TEXT(m->experiment), P_TEXT(m->name),
		P_TEXT(m->type), P_TEXT(m->creator), P_TEXT(m->location), P_I64(m->status),
		id_is_zero(m->run) ? P_NULL : P_ID(m->run), P_I64(m->created_ms),
		P_I64(m->created_ms));
}

enum err logged_get(struct tx *tx, struct str project, struct str id, bool dead, struct arena *a,
	struct logged_model *out, struct errtext *et)
{
	struct row *r;
	struct logged_model m;
	bool found = false;
	enum err e = db_query(tx, &r, et,
		"SELECT " COLUMNS " FROM logged_model WHERE project = ? AND id = ?",
		P_TEXT(project), P_TEXT(id));
	if (e)
		return e;
	if (row_next(r, &e, et)) {
		e = read_model(r, a, &m, et);
		found = !e && (dead || !m.deleted);
	}
	row_free(r);
	if (!e && !found)
		e = err_set(et, ERR_NOT_FOUND, "Logged model with ID '%.*s' not found.",
			STR_FMT(str_sub(id, 0, 100)));
	if (!e)
		*out = m;
	return e;
}

enum err logged_pairs(struct tx *tx, struct str project, struct str id, struct arena *a,
	struct logged_pair **out, size_t *n, struct errtext *et)
{
	struct row *r;
	size_t k = 0, cap = 0;
	struct logged_pair *list = NULL;
	enum err e = db_query(tx, &r, et,
		"SELECT param, name, value FROM logged_model_pair WHERE project = ? AND model = ? "
		"ORDER BY name",
		P_TEXT(project), P_TEXT(id));
	if (e)
		return e;
	while (!e && row_next(r, &e, et)) {
		if (k == cap) {
			cap = cap ? cap * 2 : 16;
			struct logged_pair *v = arena_array_of(a, cap, struct logged_pair);
			if (!v) {
				e = err_set(et, ERR_NOMEM, "no memory for a logged model");
				break;
			}
			if (k)
				memcpy(v, list, k * sizeof *v);
			list = v;
		}
		list[k].param = row_i64(r, 0) != 0;
		e = row_copy(a, row_text(r, 1), &list[k].key, et);
		if (!e)
			e = row_copy(a, row_text(r, 2), &list[k].value, et);
		k++;
	}
	row_free(r);
	if (e)
		return e;
	*out = list;
	*n = k;
	return OK;
}

enum err logged_set_pair(struct tx *tx, struct str project, struct str id,
	const struct logged_pair *p, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO logged_model_pair (project, model, param, name, value) "
		"VALUES (?, ?, ?, ?, ?) ON CONFLICT (project, model, param, name) "
		"DO UPDATE SET value = excluded.value",
		P_TEXT(project), P_TEXT(id), P_I64(p->param), P_TEXT(p->key), P_TEXT(p->value));
}

enum err logged_drop_tag(struct tx *tx, struct str project, struct str id, struct str key,
	bool *found, struct errtext *et)
{
	enum err e = db_exec(tx, et,
		"DELETE FROM logged_model_pair WHERE project = ? AND model = ? AND param = 0 AND "
		"name = ?",
		P_TEXT(project), P_TEXT(id), P_TEXT(key));
	if (!e)
		*found = db_changes(tx) > 0;
	return e;
}

enum err logged_set_status(struct tx *tx, struct str project, struct str id,
	enum logged_status status, struct errtext *et)
{
	return db_exec(tx, et,
		"UPDATE logged_model SET status = ?, updated_ms = ? WHERE project = ? AND id = ?",
		P_I64(status), P_I64(clock_unix_ms()), P_TEXT(project), P_TEXT(id));
}

enum err logged_delete(struct tx *tx, struct str project, struct str id, struct errtext *et)
{
	return db_exec(tx, et,
		"UPDATE logged_model SET deleted = 1, updated_ms = ? WHERE project = ? AND id = ?",
		P_I64(clock_unix_ms()), P_TEXT(project), P_TEXT(id));
}

enum err logged_each(struct tx *tx, struct str project, struct str experiment, logged_fn fn,
	void *ctx, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT " COLUMNS " FROM logged_model WHERE project = ? AND experiment = ? AND "
		"deleted = 0 ORDER BY created_ms DESC, id",
		P_TEXT(project), P_TEXT(experiment));
	if (e)
		return e;
	while (!e && row_next(r, &e, et)) {
		struct logged_model m;
		struct arena *a = arena_new(1 << 20);
		e = a ? read_model(r, a, &m, et) : err_set(et, ERR_NOMEM, "no memory");
		if (!e)
			e = fn(ctx, &m, et);
		arena_free(a);
	}
	row_free(r);
	return e;
}

/* ---- metrics ---- */

const struct migration logged_migrations[1] = {
	{1, "metrics of logged models",
		"CREATE TABLE logged_model_metric ("
		"  project TEXT NOT NULL,"
		"  model TEXT NOT NULL,"
		"  name TEXT NOT NULL,"
		"  ms BIGINT NOT NULL,"
		"  step BIGINT NOT NULL,"
		"  run BLOB NOT NULL,"
		"  value DOUBLE PRECISION," /* NULL: not a number */
		"  dataset TEXT NOT NULL,"
		"  digest TEXT NOT NULL,"
		"  PRIMARY KEY (project, model, name, ms, step, run));"},
};

enum err logged_add_metric(struct tx *tx, struct str project, struct str id,
	const struct logged_metric *m, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO logged_model_metric (project, model, name, ms, step, run, value, "
		"dataset, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
		"ON CONFLICT (project, model, name, ms, step, run) DO NOTHING",
		P_TEXT(project), P_TEXT(id), P_TEXT(m->name), P_I64(m->ms), P_I64(m->step),
		P_ID(m->run), isnan(m->value) ? P_NULL : P_F64(m->value), P_TEXT(m->dataset),
		P_TEXT(m->digest));
}

static enum err read_metric(
	struct row *r, struct arena *a, struct logged_metric *m, struct errtext *et)
{
	*m = (struct logged_metric){.ms = row_i64(r, 1),
		.step = row_i64(r, 2),
		.run = row_id(r, 3),
		.value = row_null(r, 4) ? NAN : row_f64(r, 4)};
	enum err e = row_copy(a, row_text(r, 0), &m->name, et);
	if (!e)
		e = row_copy(a, row_text(r, 5), &m->dataset, et);
	return e ? e : row_copy(a, row_text(r, 6), &m->digest, et);
}

enum err logged_metrics(struct tx *tx, struct str project, struct str id, struct str name,
	struct arena *a, struct logged_metric **out, size_t *n, struct errtext *et)
{
	struct row *r;
	size_t k = 0, cap = 0;
	struct logged_metric *list = NULL;
	enum err e = db_query(tx, &r, et,
		"SELECT name, ms, step, run, value, dataset, digest FROM logged_model_metric "
		"WHERE project = ? AND model = ? AND (? = '' OR name = ?) "
		"ORDER BY ms DESC, step DESC, name, run LIMIT ?",
		P_TEXT(project), P_TEXT(id), P_TEXT(name), P_TEXT(name), P_I64(LOGGED_METRICS_MAX));
	if (e)
		return e;
	while (!e && row_next(r, &e, et)) {
		if (k == cap) {
			cap = cap ? cap * 2 : 16;
			struct logged_metric *v = arena_array_of(a, cap, struct logged_metric);
			if (!v) {
				e = err_set(et, ERR_NOMEM, "no memory for a logged model");
				break;
			}
			if (k)
				memcpy(v, list, k * sizeof *v);
			list = v;
		}
		e = read_metric(r, a, &list[k++], et);
	}
	row_free(r);
	if (e)
		return e;
	*out = list;
	*n = k;
	return OK;
}
