/* SQL of scorers. */
#include "api/mlflow_scorer.h"

const struct migration scorer_migrations[1] = {
	{1, "scorers",
		"CREATE TABLE mlflow_scorer ("
		"  project TEXT NOT NULL,"
		"  experiment BIGINT NOT NULL,"
		"  name TEXT NOT NULL,"
		"  version BIGINT NOT NULL,"
		"  id TEXT NOT NULL," /* the same for all versions of a name */
		"  body TEXT NOT NULL,"
		"  created_ms BIGINT NOT NULL,"
		"  PRIMARY KEY (project, experiment, name, version));"},
};

#define SELECT "SELECT experiment, name, version, id, body, created_ms FROM mlflow_scorer "

static enum err read_all(
	struct row *r, struct arena *a, struct scorer **out, size_t *n, struct errtext *et)
{
	struct scorer *v = NULL;
	size_t k = 0, cap = 0;
	enum err e = OK;
	while (!e && k < SCORERS_MAX && row_next(r, &e, et)) {
		if (k == cap) {
			cap = cap ? cap * 2 : 16;
			struct scorer *bigger = arena_array_of(a, cap, struct scorer);
			if (!bigger)
				return err_set(et, ERR_NOMEM, "no memory for scorers");
			if (k)
				memcpy(bigger, v, k * sizeof *v);
			v = bigger;
		}
		v[k] = (struct scorer){.experiment = row_i64(r, 0),
			.name = arena_str(a, row_text(r, 1)),
			.version = row_i64(r, 2),
			.id = arena_str(a, row_text(r, 3)),
			.text = arena_str(a, row_text(r, 4)),
			.created_ms = row_i64(r, 5)};
		if (!v[k].name.p || !v[k].id.p || !v[k].text.p)
			return err_set(et, ERR_NOMEM, "no memory for scorers");
		k++;
	}
	*out = v;
	*n = k;
	return e;
}

enum err scorer_versions(struct tx *tx, struct str project, int64_t experiment, struct str name,
	struct arena *a, struct scorer **out, size_t *n, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		SELECT "WHERE project = ? AND experiment = ? AND name = ? ORDER BY version",
		P_TEXT(project), P_I64(experiment), P_TEXT(name));
	if (e)
		return e;
	e = read_all(r, a, out, n, et);
	row_free(r);
	if (!e && !*n)
		e = err_set(et, ERR_NOT_FOUND,
			"Scorer with name '%.*s' not found for experiment %lld.",
			STR_FMT(str_sub(name, 0, 100)), (long long)experiment);
	return e;
}

enum err scorer_put(
	struct tx *tx, struct str project, struct scorer *v, struct arena *a, struct errtext *et)
{
	struct scorer *had = NULL;
	size_t n = 0;
	char hex[ID_HEX + 1];
	enum err e = scorer_versions(tx, project, v->experiment, v->name, a, &had, &n, et);
	if (e && e != ERR_NOT_FOUND)
		return e;
	if (n == SCORERS_MAX)
		return err_set(et, ERR_LIMIT, "a scorer has at most %d versions", SCORERS_MAX);
	id_hex(id_new(), hex);
	v->version = n ? had[n - 1].version + 1 : 1;
	v->id = n ? had[0].id : arena_str(a, str_c(hex));
	if (!v->id.p)
		return err_set(et, ERR_NOMEM, "no memory for scorers");
	return db_exec(tx, et,
		"INSERT INTO mlflow_scorer (project, experiment, name, version, id, body, "
		"created_ms) VALUES (?, ?, ?, ?, ?, ?, ?)",
		P_TEXT(project), P_I64(v->experiment), P_TEXT(v->name), P_I64(v->version),
		P_TEXT(v->id), P_TEXT(v->text), P_I64(v->created_ms));
}

static bool among(const int64_t *list, size_t n, int64_t v)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == v)
			return true;
	return false;
}

enum err scorer_list(struct tx *tx, struct str project, const int64_t *experiments, size_t n_of,
	struct arena *a, struct scorer **out, size_t *n, struct errtext *et)
{
	struct row *r;
	size_t k = 0;
	enum err e = db_query(tx, &r, et,
		SELECT "s WHERE project = ? AND version = (SELECT MAX(o.version) FROM "
		       "mlflow_scorer o WHERE o.project = s.project AND o.experiment = "
		       "s.experiment AND o.name = s.name) ORDER BY experiment, name",
		P_TEXT(project));
	if (e)
		return e;
	e = read_all(r, a, out, n, et);
	row_free(r);
	if (e || !experiments)
		return e;
	for (size_t i = 0; i < *n; i++)
		if (among(experiments, n_of, (*out)[i].experiment))
			(*out)[k++] = (*out)[i];
	*n = k;
	return OK;
}

enum err scorer_delete(struct tx *tx, struct str project, int64_t experiment, struct str name,
	int64_t version, struct errtext *et)
{
	return db_exec(tx, et,
		"DELETE FROM mlflow_scorer WHERE project = ? AND experiment = ? AND name = ? AND "
		"(? = 0 OR version = ?)",
		P_TEXT(project), P_I64(experiment), P_TEXT(name), P_I64(version), P_I64(version));
}
