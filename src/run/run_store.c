/* Runs and spans in the database. */
#include "run/run_int.h"
#include "run/usage_int.h"
#include "access/access.h"
#include "base/clock.h"
#include "base/room.h"

#include <stdio.h>

const struct migration run_migrations[6] = {
	{1, "runs and spans",
		"CREATE TABLE run ("
		"  id BLOB PRIMARY KEY,"
		"  kind TEXT NOT NULL,"
		"  name TEXT NOT NULL,"
		"  status TEXT NOT NULL,"
		"  start_ns BIGINT NOT NULL,"
		"  end_ns BIGINT,"
		"  error TEXT,"
		"  attributes TEXT NOT NULL);"
		"CREATE INDEX run_by_kind ON run (kind, id);"
		"CREATE INDEX run_by_status ON run (status, id);"
		"CREATE INDEX run_by_start ON run (start_ns);"
		"CREATE TABLE span ("
		"  run BLOB NOT NULL REFERENCES run (id) ON DELETE CASCADE,"
		"  id BIGINT NOT NULL,"
		"  parent BIGINT,"
		"  name TEXT NOT NULL,"
		"  kind TEXT NOT NULL,"
		"  status TEXT NOT NULL,"
		"  start_ns BIGINT NOT NULL,"
		"  end_ns BIGINT,"
		"  error TEXT,"
		"  attributes TEXT NOT NULL,"
		"  PRIMARY KEY (run, id));"},
	{2, "traces",
		"ALTER TABLE run ADD COLUMN project TEXT NOT NULL DEFAULT 'default';"
		"ALTER TABLE run ADD COLUMN spans BIGINT NOT NULL DEFAULT 0;"
		"ALTER TABLE run ADD COLUMN errors BIGINT NOT NULL DEFAULT 0;"
		"ALTER TABLE run ADD COLUMN tokens_in BIGINT NOT NULL DEFAULT 0;"
		"ALTER TABLE run ADD COLUMN tokens_out BIGINT NOT NULL DEFAULT 0;"
		"ALTER TABLE run ADD COLUMN cost DOUBLE PRECISION NOT NULL DEFAULT 0;"
		"ALTER TABLE run ADD COLUMN root BIGINT;"
		"ALTER TABLE run ADD COLUMN last_ns BIGINT;"
		"ALTER TABLE run ADD COLUMN seen_ms BIGINT;"
		"ALTER TABLE span ADD COLUMN raw BLOB;"
		"ALTER TABLE span ADD COLUMN holder BLOB;"
		"CREATE TABLE span_holder ("
		"  project TEXT NOT NULL,"
		"  id BLOB NOT NULL,"
		"  resource BLOB NOT NULL,"
		"  resource_url BLOB NOT NULL,"
		"  scope BLOB NOT NULL,"
		"  scope_url BLOB NOT NULL,"
		"  PRIMARY KEY (project, id));"},
	{3, "days of traces that were removed",
		"CREATE TABLE trace_day ("
		"  project TEXT NOT NULL,"
		"  day BIGINT NOT NULL,"
		"  service TEXT NOT NULL,"
		"  traces BIGINT NOT NULL,"
		"  failed BIGINT NOT NULL,"
		"  spans BIGINT NOT NULL,"
		"  errors BIGINT NOT NULL,"
		"  tokens_in BIGINT NOT NULL,"
		"  tokens_out BIGINT NOT NULL,"
		"  cost DOUBLE PRECISION NOT NULL,"
		"  duration_ms BIGINT NOT NULL,"
		"  PRIMARY KEY (project, day, service));"},
	/* experiment -1: none. version counts the changes of an experiment's runs and is 0 for
	 * runs that are no tracked ones. */
	{4, "experiments",
		"ALTER TABLE run ADD COLUMN experiment BIGINT NOT NULL DEFAULT -1;"
		"ALTER TABLE run ADD COLUMN version BIGINT NOT NULL DEFAULT 0;"
		"ALTER TABLE run ADD COLUMN person TEXT NOT NULL DEFAULT '';"
		"ALTER TABLE run ADD COLUMN creator TEXT NOT NULL DEFAULT '';"
		"ALTER TABLE run ADD COLUMN deleted_ms BIGINT NOT NULL DEFAULT 0;"
		"ALTER TABLE run ADD COLUMN tail BIGINT NOT NULL DEFAULT 0;"
		"ALTER TABLE run ADD COLUMN tail_bytes BIGINT NOT NULL DEFAULT 0;"
		"ALTER TABLE run ADD COLUMN folded BIGINT NOT NULL DEFAULT 0;"
		"DROP INDEX run_by_kind;"
		"DROP INDEX run_by_status;"
		"CREATE INDEX run_by_kind ON run (project, kind, id);"
		"CREATE INDEX run_by_experiment ON run (project, experiment, version);"
		"CREATE INDEX run_running ON run (id) WHERE status = 'running';"
		"CREATE TABLE experiment ("
		"  project TEXT NOT NULL,"
		"  number BIGINT NOT NULL,"
		"  name TEXT NOT NULL,"
		"  location TEXT NOT NULL,"
		"  created_ms BIGINT NOT NULL,"
		"  updated_ms BIGINT NOT NULL,"
		"  deleted_ms BIGINT NOT NULL DEFAULT 0,"
		"  purged BIGINT NOT NULL DEFAULT 0,"
		"  PRIMARY KEY (project, number),"
		"  UNIQUE (project, name));"
		"CREATE TABLE experiment_tag ("
		"  project TEXT NOT NULL,"
		"  number BIGINT NOT NULL,"
		"  name TEXT NOT NULL,"
		"  value TEXT NOT NULL,"
		"  PRIMARY KEY (project, number, name),"
		"  FOREIGN KEY (project, number) REFERENCES experiment ON DELETE CASCADE);"
		"CREATE TABLE run_doc ("
		"  run BLOB PRIMARY KEY REFERENCES run (id) ON DELETE CASCADE,"
		"  data BLOB NOT NULL);"
		"CREATE TABLE run_tail ("
		"  run BLOB NOT NULL REFERENCES run (id) ON DELETE CASCADE,"
		"  seq BIGINT NOT NULL,"
		"  data BLOB NOT NULL,"
		"  PRIMARY KEY (run, seq));"
		"CREATE TABLE run_series ("
		"  run BLOB NOT NULL REFERENCES run (id) ON DELETE CASCADE,"
		"  name TEXT NOT NULL,"
		"  level BIGINT NOT NULL,"
		"  n BIGINT NOT NULL,"
		"  data BLOB NOT NULL,"
		"  PRIMARY KEY (run, name, level, n));"
		"CREATE TABLE run_file ("
		"  project TEXT NOT NULL,"
		"  dir TEXT NOT NULL,"
		"  name TEXT NOT NULL,"
		"  blob TEXT NOT NULL,"
		"  size BIGINT NOT NULL,"
		"  created_ms BIGINT NOT NULL,"
		"  PRIMARY KEY (project, dir, name));"},
	/* rolled: 0 not, 1 the head rows say so, 2 nothing useless is left. A hold keeps its run:
	 * no cascade. experiment -1: of the whole project; a NULL is inherited. */
	{5, "retention",
		"ALTER TABLE run ADD COLUMN rolled BIGINT NOT NULL DEFAULT 0;"
		"CREATE INDEX run_deleted ON run (project, experiment, deleted_ms, id) "
		"  WHERE deleted_ms > 0;"
		"CREATE INDEX run_ended ON run (project, experiment, rolled, end_ns, id) "
		"  WHERE version > 0 AND deleted_ms = 0;"
		"CREATE TABLE run_hold ("
		"  run BLOB PRIMARY KEY REFERENCES run (id),"
		"  project TEXT NOT NULL,"
		"  reason TEXT NOT NULL,"
		"  who TEXT NOT NULL,"
		"  at_ms BIGINT NOT NULL);"
		"CREATE INDEX run_hold_of ON run_hold (project, at_ms, run);"
		"CREATE TABLE retention_policy ("
		"  project TEXT NOT NULL,"
		"  experiment BIGINT NOT NULL,"
		"  delete_days BIGINT,"
		"  purge_days BIGINT,"
		"  rollup_days BIGINT,"
		"  rollup_level BIGINT,"
		"  who TEXT NOT NULL,"
		"  at_ms BIGINT NOT NULL,"
		"  PRIMARY KEY (project, experiment));"
		"CREATE TABLE retention_lease ("
		"  name TEXT PRIMARY KEY,"
		"  holder BLOB NOT NULL,"
		"  until_ms BIGINT NOT NULL);"},
	{6, "usage of models by day",
		"CREATE TABLE trace_usage ("
		"  project TEXT NOT NULL,"
		"  day BIGINT NOT NULL,"
		"  model TEXT NOT NULL,"
		"  calls BIGINT NOT NULL,"
		"  errors BIGINT NOT NULL,"
		"  tokens_in BIGINT NOT NULL,"
		"  tokens_out BIGINT NOT NULL,"
		"  cost DOUBLE PRECISION NOT NULL,"
		"  times BLOB NOT NULL,"
		"  PRIMARY KEY (project, day, model));"},
};

static struct param ns_or_null(int64_t ns)
{
	return ns ? P_I64(ns) : P_NULL;
}

static enum err put_run(struct tx *tx, const struct record *r, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO run (id, project, kind, name, status, start_ns, end_ns, error, "
		"attributes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
		"status = excluded.status, end_ns = excluded.end_ns, error = excluded.error, "
		"attributes = excluded.attributes",
		P_ID(r->run), P_TEXT(str_c(r->project ? r->project : "default")),
		P_TEXT(str_c(r->kind)), P_TEXT(str_c(r->name)),
		P_TEXT(str_c(run_statuses[r->status])), P_I64(r->start_ns), ns_or_null(r->end_ns),
		P_TEXT(str_c(r->error)), P_TEXT(str_c(r->attributes ? r->attributes : "{}")));
}

/* Somebody's trace: nobody adds to another project's. */
static enum err check_host(struct tx *tx, const struct record *r, struct errtext *et)
{
	struct row *row;
	enum err e = db_query(tx, &row, et, "SELECT project FROM run WHERE id = ?", P_ID(r->run));
	if (e)
		return e;
	if (!row_next(row, &e, et) || !str_eq_c(row_text(row, 0), r->project))
		e = e ? e
		      : err_set(et, ERR_CONFLICT,
				"a request's traceparent names a trace that is not of its project");
	row_free(row);
	return e;
}

/* The trace of which a guest is a span: made when its first span has not come yet. */
static enum err put_host(struct tx *tx, const struct record *r, struct errtext *et)
{
	if (!r->guest_root)
		return check_host(tx, r, et);
	enum err e = db_exec(tx, et,
		"INSERT INTO run (id, project, kind, name, status, start_ns, attributes, last_ns, "
		"seen_ms) VALUES (?, ?, 'trace', ?, 'running', ?, '{}', ?, ?) "
		"ON CONFLICT (id) DO NOTHING",
		P_ID(r->run), P_TEXT(str_c(r->project)), P_TEXT(str_c(r->name)), P_I64(r->start_ns),
		P_I64(r->start_ns), P_I64(clock_unix_ms()));
	if (!e)
		e = check_host(tx, r, et);
	if (!e && r->end_ns) /* until its root comes, the guest's end is the trace's */
		e = db_exec(tx, et,
			"UPDATE run SET status = ?, error = ?, end_ns = ?, last_ns = ? "
			"WHERE id = ? AND kind = 'trace' AND root IS NULL",
			P_TEXT(str_c(run_statuses[r->status])), P_TEXT(str_c(r->error)),
			P_I64(r->end_ns), P_I64(r->end_ns), P_ID(r->run));
	return e;
}

static enum err put_span(struct tx *tx, const struct record *r, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO span (run, id, parent, name, kind, status, start_ns, end_ns, error, "
		"attributes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
		"ON CONFLICT (run, id) DO UPDATE SET status = excluded.status, "
		"end_ns = excluded.end_ns, error = excluded.error, attributes = "
		"excluded.attributes",
		P_ID(r->run), P_I64(r->span), ns_or_null(r->parent), P_TEXT(str_c(r->name)),
		P_TEXT(str_c(r->kind)), P_TEXT(str_c(run_statuses[r->status])), P_I64(r->start_ns),
		ns_or_null(r->end_ns), P_TEXT(str_c(r->error)),
		P_TEXT(str_c(r->attributes ? r->attributes : "{}")));
}

static enum err put_usage(struct tx *tx, const struct record *rec, struct errtext *et)
{
	struct usage u = {0};
	usage_count_own(&u, rec);
	enum err e = usage_store(tx, str_c(rec->project ? rec->project : "default"), &u, et);
	usage_clear(&u);
	return e;
}

enum err run_store_put(struct tx *tx, const struct record *rec, struct errtext *et)
{
	enum err e = rec->is_span && rec->guest ? put_host(tx, rec, et) : OK;
	if (!e)
		e = rec->is_span ? put_span(tx, rec, et) : put_run(tx, rec, et);
	return e ? e : put_usage(tx, rec, et);
}

enum err run_store_interrupt(struct db *db, int64_t *n, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(db, TX_WRITE, &tx, et);
	if (e)
		return e;
	e = db_exec(tx, et,
		"UPDATE span SET status = 'interrupted' WHERE status = 'running' AND run IN "
		"(SELECT id FROM run WHERE status = 'running' AND kind <> 'trace' AND version = "
		"0)");
	if (!e) /* Croft's own spans in others' traces; raw: the others' */
		e = db_exec(tx, et,
			"UPDATE span SET status = 'interrupted' WHERE status = 'running' AND raw "
			"IS "
			"NULL AND run IN (SELECT id FROM run WHERE status = 'running' AND kind = "
			"'trace')");
	if (!e)
		e = db_exec(tx, et,
			"UPDATE run SET status = 'interrupted' WHERE status = 'running' AND "
			"kind <> 'trace' AND version = 0");
	int64_t changed = e ? 0 : db_changes(tx);
	e = db_finish(tx, e, et);
	if (!e)
		*n = changed;
	return e;
}

#define PRUNED                                                                                \
	"(SELECT id FROM run WHERE start_ns < ? AND status <> 'running' AND kind <> 'trace' " \
	"AND kind <> 'purged' AND version = 0 AND NOT EXISTS "                                \
	"(SELECT 1 FROM run_hold h WHERE h.run = run.id) ORDER BY start_ns, id LIMIT ?)"

/* A record in the audit log for each project of which runs go. */
static enum err tell_pruned(
	struct tx *tx, int64_t before_ns, int64_t limit, const char *policy, struct errtext *et)
{
	struct row *r;
	char day[CLOCK_TEXT], subject[48], detail[100];
	enum err e = db_query(tx, &r, et,
		"SELECT project, COUNT(*) FROM run WHERE id IN " PRUNED " GROUP BY project",
		P_I64(before_ns), P_I64(limit));
	if (e)
		return e;
	clock_rfc3339(before_ns / 1000000, day);
	snprintf(subject, sizeof subject, "runs before %.16s", day);
	while (!e && row_next(r, &e, et)) {
		struct principal who = {.name = S("croft"), .project = row_text(r, 0)};
		snprintf(detail, sizeof detail, "{\"policy\":\"%s\",\"runs\":%lld}", policy,
			(long long)row_i64(r, 1));
		e = audit_add(tx, &who, "run.expire", str_c(subject), str_c(detail), et);
	}
	row_free(r);
	return e;
}

enum err run_store_prune(struct db *db, int64_t before_ns, int64_t limit, const char *policy,
	int64_t *n, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(db, TX_WRITE, &tx, et);
	if (e)
		return e;
	e = tell_pruned(tx, before_ns, limit, policy, et);
	if (!e)
		e = db_exec(tx, et, "DELETE FROM run WHERE id IN " PRUNED, P_I64(before_ns),
			P_I64(limit));
	if (e) {
		db_rollback(tx);
		return e;
	}
	int64_t changed = db_changes(tx);
	e = db_commit(tx, et);
	if (!e)
		*n = changed;
	return e;
}

/* ---- reading ---- */

static struct str copy(struct arena *a, struct str s, enum err *e)
{
	if (!s.p)
		return s;
	struct str c = arena_str(a, s);
	if (!c.p)
		*e = ERR_NOMEM;
	return c;
}

static const char run_columns[] = "SELECT " RUN_COLUMNS " FROM run";

enum err run_row_read(struct row *r, struct arena *a, struct run_row *out)
{
	enum err e = OK;
	*out = (struct run_row){
		.id = row_id(r, 0),
		.kind = copy(a, row_text(r, 1), &e),
		.name = copy(a, row_text(r, 2), &e),
		.status = copy(a, row_text(r, 3), &e),
		.start_ns = row_i64(r, 4),
		.end_ns = row_i64(r, 5),
		.error = copy(a, row_text(r, 6), &e),
		.attributes = copy(a, row_text(r, 7), &e),
		.spans = row_i64(r, 8),
		.errors = row_i64(r, 9),
		.tokens_in = row_i64(r, 10),
		.tokens_out = row_i64(r, 11),
		.cost = row_f64(r, 12),
	};
	return e;
}

enum err span_row_read(struct row *r, struct arena *a, struct span_row *out)
{
	enum err e = OK;
	*out = (struct span_row){
		.id = row_i64(r, 0),
		.parent = row_i64(r, 1),
		.name = copy(a, row_text(r, 2), &e),
		.kind = copy(a, row_text(r, 3), &e),
		.status = copy(a, row_text(r, 4), &e),
		.start_ns = row_i64(r, 5),
		.end_ns = row_i64(r, 6),
		.error = copy(a, row_text(r, 7), &e),
		.attributes = copy(a, row_text(r, 8), &e),
		.raw = copy(a, row_null(r, 9) ? (struct str){0} : row_blob(r, 9), &e),
		.holder = copy(a, row_null(r, 10) ? (struct str){0} : row_blob(r, 10), &e),
	};
	return e;
}

/* By time, as the ids of traces say nothing of it. The row that a page goes on after may be gone by
 * then: the id of a run of our own begins with its time; after another one the list ends. */
static void list_after(struct buf *sql, struct param *p, size_t *n, const struct run_filter *f)
{
	int64_t ms = id_unix_ms(f->after), now_ms = clock_unix_ns() / 1000000;
	buf_addc(sql,
		" AND (start_ns, id) < (COALESCE((SELECT x.start_ns FROM run x WHERE x.id = ? "
		"AND x.project = ?), ?), ?)");
	p[(*n)++] = P_ID(f->after);
	p[(*n)++] = P_TEXT(f->project);
	p[(*n)++] = P_I64(ms <= now_ms ? ms * 1000000 : 0);
	p[(*n)++] = P_ID(f->after);
}

enum err run_store_list(struct db *db, const struct run_filter *f, struct arena *a,
	struct run_row **rows, size_t *n, struct errtext *et)
{
	struct buf sql = {0};
	struct param p[8];
	size_t n_p = 0;
	buf_addf(&sql, "%s WHERE project = ?", run_columns);
	p[n_p++] = P_TEXT(f->project);
	if (f->kind.n) {
		buf_addc(&sql, " AND kind = ?");
		p[n_p++] = P_TEXT(f->kind);
	}
	if (f->status.n) {
		buf_addc(&sql, " AND status = ?");
		p[n_p++] = P_TEXT(f->status);
	}
	if (!id_is_zero(f->after))
		list_after(&sql, p, &n_p, f);
	buf_addc(&sql, " ORDER BY start_ns DESC, id DESC LIMIT ?");
	p[n_p++] = P_I64(f->limit);
	struct run_row *list = arena_array_of(a, (size_t)f->limit, struct run_row);
	struct tx *tx;
	enum err e = sql.err || !list ? err_set(et, ERR_NOMEM, "no memory for a list of runs")
				      : db_begin(db, TX_READ, &tx, et);
	if (e) {
		buf_free(&sql);
		return e;
	}
	struct row *r = NULL;
	size_t k = 0;
	e = db_query_n(tx, &r, et, buf_c(&sql), p, n_p);
	while (!e && row_next(r, &e, et))
		e = run_row_read(r, a, &list[k++]);
	row_free(r);
	db_rollback(tx);
	buf_free(&sql);
	if (e)
		return e;
	*rows = list;
	*n = k;
	return OK;
}

static enum err get_run(struct tx *tx, struct str project, struct id id, struct arena *a,
	struct run_row *run, struct errtext *et)
{
	struct row *r;
	char hex[ID_HEX + 1];
	id_hex(id, hex);
	enum err e =
		db_query(tx, &r, et, "SELECT " RUN_COLUMNS " FROM run WHERE id = ? AND project = ?",
			P_ID(id), P_TEXT(project));
	if (e)
		return e;
	if (row_next(r, &e, et))
		e = run_row_read(r, a, run);
	else if (!e)
		e = err_set(et, ERR_NOT_FOUND, "there is no run %s", hex);
	row_free(r);
	return e;
}

enum err span_rows(struct tx *tx, struct id run, int64_t only, struct arena *a,
	struct span_row **spans, size_t *n, struct errtext *et)
{
	struct row *r;
	size_t k = 0, cap = 0;
	struct span_row *list = NULL;
	enum err e = only ? db_query(tx, &r, et,
				    "SELECT " SPAN_COLUMNS " FROM span WHERE run = ? AND id = ?",
				    P_ID(run), P_I64(only))
			  : db_query(tx, &r, et,
				    "SELECT " SPAN_COLUMNS
				    " FROM span WHERE run = ? ORDER BY start_ns, id",
				    P_ID(run));
	if (e)
		return e;
	while (!e && row_next(r, &e, et)) {
		if (!arena_room(a, list, k, cap)) {
			e = err_set(et, ERR_NOMEM, "no memory for the spans of a run");
			break;
		}
		e = span_row_read(r, a, &list[k++]);
	}
	row_free(r);
	if (!e) {
		*spans = list;
		*n = k;
	}
	return e;
}

enum err run_store_get(struct db *db, struct str project, struct id id, struct arena *a,
	struct run_row *run, struct span_row **spans, size_t *n, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(db, TX_READ, &tx, et);
	if (e)
		return e;
	e = get_run(tx, project, id, a, run, et);
	if (!e)
		e = span_rows(tx, id, 0, a, spans, n, et);
	db_rollback(tx);
	return e;
}
