/* Removes for good what was deleted: runs with their documents, points and files, and experiments
 * that have no runs left. Each removal is a record of the audit log, in the same transaction; the
 * blobs of files go with the next collection. A few runs for each transaction, so that others write
 * in between. */
#include "access/access.h"
#include "base/clock.h"
#include "run/file_int.h"
#include "run/track_int.h"

#include <stdio.h>

enum { RUNS_AT_ONCE = 20, EXPERIMENTS_AT_ONCE = 200 };

struct victim {
	struct id id;
	int64_t experiment;
};

struct purge {
	const struct principal *who;
	struct str project;
	int64_t before_ms;
	size_t n; /* of the last transaction */
};

/* Where the proxy keeps a run's files; .n 0: elsewhere, and not ours to remove. */
static enum err folder_of(struct tx *tx, const struct purge *p, const struct victim *v,
	char folder[300], struct errtext *et)
{
	struct row *r;
	char hex[ID_HEX + 1];
	id_hex(v->id, hex);
	*folder = 0;
	enum err e = db_query(tx, &r, et,
		"SELECT location FROM experiment WHERE project = ? AND number = ?",
		P_TEXT(p->project), P_I64(v->experiment));
	if (e)
		return e;
	if (row_next(r, &e, et)) {
		struct str at = row_text(r, 0), scheme = S("mlflow-artifacts:/");
		if (!at.n)
			snprintf(folder, 300, "%lld/%s/artifacts", (long long)v->experiment, hex);
		else if (str_starts(at, scheme) && at.n < 200)
			snprintf(folder, 300, "%.*s/%s/artifacts",
				STR_FMT(str_sub(at, scheme.n, at.n)), hex);
	}
	row_free(r);
	return e;
}

static enum err purge_run(
	struct tx *tx, const struct purge *p, const struct victim *v, struct errtext *et)
{
	char folder[300], subject[64], hex[ID_HEX + 1];
	enum err e = folder_of(tx, p, v, folder, et);
	if (!e && *folder)
		e = run_file_remove_in(tx, p->project, str_c(folder), et);
	if (!e)
		e = db_exec(tx, et, "DELETE FROM run WHERE id = ?", P_ID(v->id));
	if (!e)
		e = db_exec(tx, et,
			"UPDATE experiment SET purged = purged + 1 WHERE project = ? AND number = "
			"?",
			P_TEXT(p->project), P_I64(v->experiment));
	id_hex(v->id, hex);
	snprintf(subject, sizeof subject, "run %s", hex);
	return e ? e : audit_add(tx, p->who, "run.purge", str_c(subject), (struct str){0}, et);
}

static enum err purge_runs(struct tx *tx, void *ctx, struct errtext *et)
{
	struct purge *p = ctx;
	struct victim v[RUNS_AT_ONCE];
	struct row *r;
	size_t n = 0;
	p->n = 0;
	enum err e = db_query(tx, &r, et,
		"SELECT id, experiment FROM run WHERE project = ? AND kind = 'experiment' AND "
		"version > 0 AND deleted_ms > 0 AND deleted_ms <= ? ORDER BY id LIMIT ?",
		P_TEXT(p->project), P_I64(p->before_ms), P_I64(RUNS_AT_ONCE));
	if (e)
		return e;
	while (n < RUNS_AT_ONCE && row_next(r, &e, et))
		v[n++] = (struct victim){row_id(r, 0), row_i64(r, 1)};
	row_free(r);
	for (size_t i = 0; i < n && !e; i++)
		e = purge_run(tx, p, &v[i], et);
	p->n = n;
	return e;
}

static enum err purge_experiments(struct tx *tx, void *ctx, struct errtext *et)
{
	struct purge *p = ctx;
	int64_t v[EXPERIMENTS_AT_ONCE];
	struct row *r;
	size_t n = 0;
	char subject[48];
	p->n = 0;
	/* Default stays: every project has it */
	enum err e = db_query(tx, &r, et,
		"SELECT x.number FROM experiment x WHERE x.project = ? AND x.number > 0 AND "
		"x.deleted_ms > 0 AND x.deleted_ms <= ? AND NOT EXISTS (SELECT 1 FROM run r WHERE "
		"r.project = x.project AND r.experiment = x.number) ORDER BY x.number LIMIT ?",
		P_TEXT(p->project), P_I64(p->before_ms), P_I64(EXPERIMENTS_AT_ONCE));
	if (e)
		return e;
	while (n < EXPERIMENTS_AT_ONCE && row_next(r, &e, et))
		v[n++] = row_i64(r, 0);
	row_free(r);
	for (size_t i = 0; i < n && !e; i++) {
		snprintf(subject, sizeof subject, "experiment %lld", (long long)v[i]);
		e = db_exec(tx, et, "DELETE FROM experiment WHERE project = ? AND number = ?",
			P_TEXT(p->project), P_I64(v[i]));
		if (!e)
			e = audit_add(tx, p->who, "experiment.purge", str_c(subject),
				(struct str){0}, et);
	}
	p->n = n;
	return e;
}

enum err track_purge(struct croft *c, const struct principal *who, struct str project,
	int64_t older_ms, size_t *runs, size_t *experiments, struct errtext *et)
{
	struct purge p = {who, project, clock_unix_ms() - older_ms, 0};
	enum err e;
	*runs = *experiments = 0;
	do {
		e = db_write(croft_db(c), purge_runs, &p, et);
		*runs += e ? 0 : p.n;
	} while (!e && p.n == RUNS_AT_ONCE && !cancelled(croft_stopping(c)));
	if (!e)
		e = db_write(croft_db(c), purge_experiments, &p, et);
	*experiments = e ? 0 : p.n;
	return e;
}
