/* Removes for good what was deleted: runs with their documents, points and files, and experiments
 * that have no runs left.
 *
 *  1. A run goes from everybody's sight in one small transaction, together with its files and its
 *     record in the audit log: it belongs to no project any more. What it holds may be millions of
 *     rows; these go afterwards, a thousand in each transaction, and when the process dies in the
 *     middle the next sweep goes on.
 *  2. What is on hold, or named by a version of an artifact or by lineage, is not removed.
 *  3. The blobs of files go with the next collection. */
#include "access/access.h"
#include "artifact/artifact.h"
#include "base/clock.h"
#include "run/file_int.h"
#include "run/retain_int.h"

#include <stdio.h>

enum { EXPERIMENTS_AT_ONCE = 200, ROWS_AT_ONCE = 1000, PAUSE_MS = 2 };

/* ---- out of sight ---- */

struct victim {
	struct id run;
	int64_t experiment, started_ms, ended_ms, deleted_ms;
	char name[200];
};

/* Where the proxy keeps a run's files; .n 0: elsewhere, and not ours to remove. */
static enum err folder_of(struct tx *tx, struct str project, const struct victim *v,
	char folder[300], struct errtext *et)
{
	struct row *r;
	char hex[ID_HEX + 1];
	id_hex(v->run, hex);
	*folder = 0;
	enum err e = db_query(tx, &r, et,
		"SELECT location FROM experiment WHERE project = ? AND number = ?", P_TEXT(project),
		P_I64(v->experiment));
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

static enum err read_victim(struct tx *tx, struct victim *v, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT name, start_ns, end_ns, deleted_ms FROM run WHERE id = ?", P_ID(v->run));
	if (e)
		return e;
	if (row_next(r, &e, et)) {
		struct str name = str_sub(row_text(r, 0), 0, sizeof v->name - 1);
		name.n = utf8_complete_prefix(name);
		memcpy(v->name, name.p, name.n);
		v->started_ms = row_i64(r, 1) / 1000000;
		v->ended_ms = row_null(r, 2) ? 0 : row_i64(r, 2) / 1000000;
		v->deleted_ms = row_i64(r, 3);
	}
	row_free(r);
	return e;
}

static enum err tombstone(struct tx *tx, const struct principal *who, const struct victim *v,
	const char *policy, struct errtext *et)
{
	char subject[64], hex[ID_HEX + 1];
	struct buf b = {0};
	struct jw w = {.out = &b};
	id_hex(v->run, hex);
	snprintf(subject, sizeof subject, "run %s", hex);
	jw_obj(&w);
	if (policy)
		jw_kc(&w, "policy", policy);
	jw_kc(&w, "name", v->name);
	jw_ki64(&w, "experiment", v->experiment);
	jw_ki64(&w, "started_ms", v->started_ms);
	jw_ki64(&w, "ended_ms", v->ended_ms);
	jw_ki64(&w, "deleted_ms", v->deleted_ms);
	jw_end(&w);
	enum err e = audit_add(tx, who, "run.purge", str_c(subject), buf_str(&b), et);
	buf_free(&b);
	return e;
}

enum err purge_run_in(struct tx *tx, const struct principal *who, struct str project,
	int64_t experiment, struct id run, const char *policy, struct errtext *et)
{
	char folder[300];
	struct victim v = {.run = run, .experiment = experiment};
	enum err e = read_victim(tx, &v, et);
	if (!e)
		e = folder_of(tx, project, &v, folder, et);
	if (!e && *folder)
		e = run_file_remove_in(tx, project, str_c(folder), et);
	if (!e)
		e = lineage_forget_run(tx, project, run, et);
	if (!e)
		e = db_exec(tx, et,
			"UPDATE run SET project = '', kind = 'purged', version = 0, experiment = "
			"-1, "
			"deleted_ms = 0, status = 'killed' WHERE id = ?",
			P_ID(run));
	if (!e)
		e = db_exec(tx, et,
			"UPDATE experiment SET purged = purged + 1 WHERE project = ? AND number = "
			"?",
			P_TEXT(project), P_I64(experiment));
	return e ? e : tombstone(tx, who, &v, policy, et);
}

/* ---- its rows ---- */

struct sweep {
	struct id run;
	bool any;
};

static enum err sweep_some(struct tx *tx, void *ctx, struct errtext *et)
{
	struct sweep *s = ctx;
	struct row *r;
	enum err e = db_query(
		tx, &r, et, "SELECT id FROM run WHERE project = '' AND kind = 'purged' LIMIT 1");
	if (e)
		return e;
	s->any = row_next(r, &e, et);
	if (s->any)
		s->run = row_id(r, 0);
	row_free(r);
	if (e || !s->any)
		return e;
	e = db_exec(tx, et,
		"DELETE FROM run_series WHERE run = ? AND (name, level, n) IN "
		"(SELECT name, level, n FROM run_series WHERE run = ? LIMIT ?)",
		P_ID(s->run), P_ID(s->run), P_I64(ROWS_AT_ONCE));
	if (e || db_changes(tx) == ROWS_AT_ONCE)
		return e;
	e = db_exec(tx, et,
		"DELETE FROM run_tail WHERE run = ? AND seq IN "
		"(SELECT seq FROM run_tail WHERE run = ? LIMIT ?)",
		P_ID(s->run), P_ID(s->run), P_I64(ROWS_AT_ONCE));
	if (e || db_changes(tx) == ROWS_AT_ONCE)
		return e;
	return db_exec(tx, et, "DELETE FROM run WHERE id = ?", P_ID(s->run));
}

enum err purge_sweep(struct db *db, bool (*stop)(void *ctx), void *ctx, struct errtext *et)
{
	struct sweep s = {.any = true};
	enum err e = OK;
	while (!e && s.any && !(stop && stop(ctx))) {
		e = db_write(db, sweep_some, &s, et);
		if (!e && s.any)
			clock_sleep_ms(PAUSE_MS);
	}
	return e;
}

/* ---- experiments ---- */

struct experiments {
	const struct principal *who;
	struct str project;
	int64_t before_ms;
	size_t n; /* of the last transaction */
};

static enum err purge_experiments(struct tx *tx, void *ctx, struct errtext *et)
{
	struct experiments *p = ctx;
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
			e = db_exec(tx, et,
				"DELETE FROM retention_policy WHERE project = ? AND experiment = ?",
				P_TEXT(p->project), P_I64(v[i]));
		if (!e)
			e = audit_add(tx, p->who, "experiment.purge", str_c(subject),
				(struct str){0}, et);
	}
	p->n = n;
	return e;
}

enum err purge_experiments_of(struct db *db, const struct principal *who, struct str project,
	int64_t before_ms, size_t *n, struct errtext *et)
{
	struct experiments p = {who, project, before_ms, 0};
	enum err e;
	*n = 0;
	do {
		e = db_write(db, purge_experiments, &p, et);
		*n += e ? 0 : p.n;
	} while (!e && p.n == EXPERIMENTS_AT_ONCE);
	return e;
}
