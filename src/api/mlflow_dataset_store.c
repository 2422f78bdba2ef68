/* SQL of evaluation datasets. */
#include "api/mlflow_dataset.h"

const struct migration dataset_migrations[1] = {
	{1, "evaluation datasets",
		"CREATE TABLE mlflow_dataset ("
		"  project TEXT NOT NULL,"
		"  id TEXT NOT NULL,"
		"  name TEXT NOT NULL,"
		"  digest TEXT NOT NULL,"
		"  fields TEXT NOT NULL,"
		"  tags TEXT NOT NULL,"
		"  created_by TEXT NOT NULL,"
		"  updated_by TEXT NOT NULL,"
		"  created_ms BIGINT NOT NULL,"
		"  updated_ms BIGINT NOT NULL,"
		"  PRIMARY KEY (project, id));"
		"CREATE TABLE mlflow_dataset_experiment ("
		"  project TEXT NOT NULL,"
		"  dataset TEXT NOT NULL,"
		"  experiment BIGINT NOT NULL,"
		"  PRIMARY KEY (project, dataset, experiment));"
		"CREATE TABLE mlflow_dataset_record ("
		"  project TEXT NOT NULL,"
		"  dataset TEXT NOT NULL,"
		"  id TEXT NOT NULL," /* sorts by time */
		"  inputs TEXT NOT NULL,"
		"  body TEXT NOT NULL,"
		"  created_ms BIGINT NOT NULL,"
		"  updated_ms BIGINT NOT NULL,"
		"  PRIMARY KEY (project, dataset, id));"
		"CREATE UNIQUE INDEX mlflow_dataset_record_inputs ON mlflow_dataset_record "
		"(project, dataset, inputs);"},
};

static enum err copy(struct arena *a, struct str from, struct str *to, struct errtext *et)
{
	*to = arena_str(a, from);
	return to->p ? OK : err_set(et, ERR_NOMEM, "no memory for a dataset");
}

/* ---- datasets ---- */

enum err eval_dataset_put(
	struct tx *tx, struct str project, const struct eval_dataset *v, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO mlflow_dataset (project, id, name, digest, fields, tags, created_by, "
		"updated_by, created_ms, updated_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
		"ON CONFLICT (project, id) DO UPDATE SET digest = excluded.digest, "
		"fields = excluded.fields, tags = excluded.tags, updated_by = excluded.updated_by, "
		"updated_ms = excluded.updated_ms",
		P_TEXT(project), P_TEXT(v->id), P_TEXT(v->name), P_TEXT(v->digest),
		P_TEXT(v->schema), P_TEXT(v->tags), P_TEXT(v->created_by), P_TEXT(v->updated_by),
		P_I64(v->created_ms), P_I64(v->updated_ms));
}

#define SELECT                                                                             \
	"SELECT d.id, d.name, d.digest, d.fields, d.tags, d.created_by, d.updated_by, "    \
	"d.created_ms, d.updated_ms, (SELECT COUNT(*) FROM mlflow_dataset_record r WHERE " \
	"r.project = d.project AND r.dataset = d.id) FROM mlflow_dataset d WHERE d.project = ? "

static enum err read_dataset(
	struct row *r, struct arena *a, struct eval_dataset *v, struct errtext *et)
{
	struct str *const to[] = {
		&v->id, &v->name, &v->digest, &v->schema, &v->tags, &v->created_by, &v->updated_by};
	enum err e = OK;
	*v = (struct eval_dataset){
		.created_ms = row_i64(r, 7), .updated_ms = row_i64(r, 8), .records = row_i64(r, 9)};
	for (int i = 0; i < (int)ARRAY_LEN(to) && !e; i++)
		e = copy(a, row_text(r, i), to[i], et);
	return e;
}

enum err eval_dataset_get(struct tx *tx, struct str project, struct str id, struct arena *a,
	struct eval_dataset *out, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et, SELECT "AND d.id = ?", P_TEXT(project), P_TEXT(id));
	if (e)
		return e;
	if (row_next(r, &e, et))
		e = read_dataset(r, a, out, et);
	else if (!e)
		e = err_set(et, ERR_NOT_FOUND, "Evaluation dataset with id '%.*s' not found",
			STR_FMT(str_sub(id, 0, 100)));
	row_free(r);
	return e;
}

enum err eval_dataset_delete(struct tx *tx, struct str project, struct str id, struct errtext *et)
{
	static const char *const sql[] = {
		"DELETE FROM mlflow_dataset_record WHERE project = ? AND dataset = ?",
		"DELETE FROM mlflow_dataset_experiment WHERE project = ? AND dataset = ?",
		"DELETE FROM mlflow_dataset WHERE project = ? AND id = ?"};
	enum err e = OK;
	for (size_t i = 0; i < ARRAY_LEN(sql) && !e; i++)
		e = db_exec(tx, et, sql[i], P_TEXT(project), P_TEXT(id));
	return e;
}

enum err eval_dataset_each(
	struct tx *tx, struct str project, eval_dataset_fn fn, void *ctx, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(
		tx, &r, et, SELECT "ORDER BY d.created_ms DESC, d.id DESC", P_TEXT(project));
	if (e)
		return e;
	while (!e && row_next(r, &e, et)) {
		struct eval_dataset v;
		struct arena *a = arena_new(16 << 20);
		e = a ? read_dataset(r, a, &v, et) : err_set(et, ERR_NOMEM, "no memory");
		if (!e)
			e = fn(ctx, &v, et);
		arena_free(a);
	}
	row_free(r);
	return e;
}

/* ---- experiments ---- */

enum err eval_dataset_join(struct tx *tx, struct str project, struct str id, int64_t experiment,
	bool leave, struct errtext *et)
{
	return db_exec(tx, et,
		leave ? "DELETE FROM mlflow_dataset_experiment WHERE project = ? AND dataset = ? "
			"AND experiment = ?"
		      : "INSERT INTO mlflow_dataset_experiment (project, dataset, experiment) "
			"VALUES (?, ?, ?) ON CONFLICT (project, dataset, experiment) DO NOTHING",
		P_TEXT(project), P_TEXT(id), P_I64(experiment));
}

enum err eval_dataset_experiments(struct tx *tx, struct str project, struct str id, struct arena *a,
	int64_t **out, size_t *n, struct errtext *et)
{
	struct row *r;
	size_t k = 0;
	int64_t *v = arena_array_of(a, DATASET_PAGE_MAX, int64_t);
	if (!v)
		return err_set(et, ERR_NOMEM, "no memory for a dataset");
	enum err e = db_query(tx, &r, et,
		"SELECT experiment FROM mlflow_dataset_experiment WHERE project = ? AND dataset = "
		"? ORDER BY experiment LIMIT ?",
		P_TEXT(project), P_TEXT(id), P_I64(DATASET_PAGE_MAX));
	if (e)
		return e;
	while (k < DATASET_PAGE_MAX && row_next(r, &e, et))
		v[k++] = row_i64(r, 0);
	row_free(r);
	*out = v;
	*n = k;
	return e;
}

/* ---- records ---- */

enum err eval_record_put(struct tx *tx, struct str project, struct str dataset,
	const struct eval_record *v, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO mlflow_dataset_record (project, dataset, id, inputs, body, "
		"created_ms, updated_ms) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (project, "
		"dataset, id) DO UPDATE SET body = excluded.body, updated_ms = excluded.updated_ms",
		P_TEXT(project), P_TEXT(dataset), P_TEXT(v->id), P_TEXT(str_c(v->inputs)),
		P_TEXT(v->json), P_I64(v->created_ms), P_I64(v->updated_ms));
}

static enum err read_record(
	struct row *r, struct arena *a, struct eval_record *v, struct errtext *et)
{
	struct str inputs = row_text(r, 1);
	*v = (struct eval_record){.created_ms = row_i64(r, 3), .updated_ms = row_i64(r, 4)};
	memcpy(v->inputs, inputs.p, MIN(inputs.n, (size_t)SHA256_HEX));
	enum err e = copy(a, row_text(r, 0), &v->id, et);
	return e ? e : copy(a, row_text(r, 2), &v->json, et);
}

#define RECORD                                                                        \
	"SELECT id, inputs, body, created_ms, updated_ms FROM mlflow_dataset_record " \
	"WHERE project = ? AND dataset = ? "

enum err eval_record_same(struct tx *tx, struct str project, struct str dataset, const char *inputs,
	struct arena *a, struct eval_record *out, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et, RECORD "AND inputs = ?", P_TEXT(project), P_TEXT(dataset),
		P_TEXT(str_c(inputs)));
	if (e)
		return e;
	if (row_next(r, &e, et))
		e = read_record(r, a, out, et);
	else if (!e)
		e = err_set(et, ERR_NOT_FOUND, "no record has these inputs");
	row_free(r);
	return e;
}

enum err eval_record_list(struct tx *tx, struct str project, struct str dataset, struct str after,
	int64_t limit, struct arena *a, struct eval_record **out, size_t *n, struct errtext *et)
{
	struct row *r;
	size_t k = 0, max = (size_t)limit;
	struct eval_record *v = arena_array_of(a, max + 1, struct eval_record);
	if (!v)
		return err_set(et, ERR_NOMEM, "no memory for a dataset");
	enum err e = db_query(tx, &r, et, RECORD "AND id > ? ORDER BY id LIMIT ?", P_TEXT(project),
		P_TEXT(dataset), P_TEXT(after), P_I64(limit));
	if (e)
		return e;
	while (!e && k < max && row_next(r, &e, et))
		e = read_record(r, a, &v[k++], et);
	row_free(r);
	*out = v;
	*n = k;
	return e;
}

enum err eval_record_delete(struct tx *tx, struct str project, struct str dataset, struct str id,
	int64_t *n, struct errtext *et)
{
	enum err e = db_exec(tx, et,
		"DELETE FROM mlflow_dataset_record WHERE project = ? AND dataset = ? AND id = ?",
		P_TEXT(project), P_TEXT(dataset), P_TEXT(id));
	if (!e)
		*n += db_changes(tx) > 0;
	return e;
}
