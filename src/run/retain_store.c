/* Retention in the database: policies, holds, which runs' time has come, whose turn it is. */
#include "access/access.h"
#include "artifact/artifact.h"
#include "base/clock.h"
#include "run/retain_int.h"

#include <stdio.h>

const char *const retain_fields[RETAIN_FIELDS] = {
	"delete_days", "purge_days", "rollup_days", "rollup_level"};

/* ---- policies ---- */

enum err retain_store_row(struct tx *tx, struct str project, int64_t experiment,
	struct retain_policy *out, struct errtext *et)
{
	struct row *r;
	for (int i = 0; i < RETAIN_FIELDS; i++)
		out->v[i] = -1;
	enum err e = db_query(tx, &r, et,
		"SELECT delete_days, purge_days, rollup_days, rollup_level FROM retention_policy "
		"WHERE project = ? AND experiment = ?",
		P_TEXT(project), P_I64(experiment));
	if (e)
		return e;
	if (row_next(r, &e, et))
		for (int i = 0; i < RETAIN_FIELDS; i++)
			out->v[i] = row_null(r, i) ? -1 : row_i64(r, i);
	row_free(r);
	return e;
}

enum err retain_store_apply(struct tx *tx, struct str project, int64_t experiment,
	struct retain_policy *p, struct errtext *et)
{
	struct retain_policy own;
	enum err e = retain_store_row(tx, project, experiment, &own, et);
	for (int i = 0; !e && i < RETAIN_FIELDS; i++)
		if (own.v[i] >= 0) {
			p->v[i] = own.v[i];
			p->from[i] = experiment < 0 ? RETAIN_OF_PROJECT : RETAIN_OF_EXPERIMENT;
		}
	return e;
}

static struct param days(int64_t v)
{
	return v < 0 ? P_NULL : P_I64(v);
}

enum err retain_store_set(struct tx *tx, struct str project, int64_t experiment,
	const struct retain_policy *p, struct str who, int64_t at_ms, struct errtext *et)
{
	bool any = false;
	for (int i = 0; i < RETAIN_FIELDS; i++)
		any |= p->v[i] >= 0;
	if (!any)
		return db_exec(tx, et,
			"DELETE FROM retention_policy WHERE project = ? AND experiment = ?",
			P_TEXT(project), P_I64(experiment));
	return db_exec(tx, et,
		"INSERT INTO retention_policy (project, experiment, delete_days, purge_days, "
		"rollup_days, rollup_level, who, at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
		"ON CONFLICT (project, experiment) DO UPDATE SET "
		"delete_days = excluded.delete_days, purge_days = excluded.purge_days, "
		"rollup_days = excluded.rollup_days, rollup_level = excluded.rollup_level, "
		"who = excluded.who, at_ms = excluded.at_ms",
		P_TEXT(project), P_I64(experiment), days(p->v[RETAIN_DELETE]),
		days(p->v[RETAIN_PURGE]), days(p->v[RETAIN_ROLL_UP]), days(p->v[RETAIN_LEVEL]),
		P_TEXT(who), P_I64(at_ms));
}

enum err retain_store_rows(struct tx *tx, struct str project, struct arena *a, int64_t **list,
	size_t *n, struct errtext *et)
{
	struct row *r;
	size_t k = 0;
	*list = arena_array_of(a, RETAIN_ROWS_MAX, int64_t);
	if (!*list)
		return err_set(et, ERR_NOMEM, "no memory for policies");
	enum err e = db_query(tx, &r, et,
		"SELECT experiment FROM retention_policy WHERE project = ? AND experiment >= 0 "
		"ORDER BY experiment LIMIT ?",
		P_TEXT(project), P_I64(RETAIN_ROWS_MAX));
	if (e)
		return e;
	while (k < RETAIN_ROWS_MAX && row_next(r, &e, et))
		(*list)[k++] = row_i64(r, 0);
	row_free(r);
	*n = k;
	return e;
}

/* ---- holds ---- */

enum err retain_kept(
	struct tx *tx, struct str project, struct id run, const char **why, struct errtext *et)
{
	struct row *r;
	*why = NULL;
	enum err e = db_query(tx, &r, et, "SELECT 1 FROM run_hold WHERE run = ?", P_ID(run));
	if (e)
		return e;
	if (row_next(r, &e, et))
		*why = "hold";
	row_free(r);
	return e || *why ? e : artifact_run_needed(tx, project, run, why, et);
}

enum err retain_not_held(struct tx *tx, struct id run, struct errtext *et)
{
	struct row *r;
	char hex[ID_HEX + 1];
	id_hex(run, hex);
	enum err e = db_query(tx, &r, et, "SELECT reason FROM run_hold WHERE run = ?", P_ID(run));
	if (e)
		return e;
	if (row_next(r, &e, et))
		e = err_set(et, ERR_CONFLICT,
			"run %s is on hold (%.*s): croft runs release %s first", hex,
			STR_FMT(str_sub(row_text(r, 0), 0, 200)), hex);
	row_free(r);
	return e;
}

enum err retain_none_held(struct tx *tx, struct str project, int64_t experiment, struct errtext *et)
{
	struct row *r;
	struct id held = {0};
	enum err e = db_query(tx, &r, et,
		"SELECT h.run FROM run_hold h JOIN run r ON r.id = h.run WHERE h.project = ? AND "
		"r.experiment = ? LIMIT 1",
		P_TEXT(project), P_I64(experiment));
	if (e)
		return e;
	bool any = row_next(r, &e, et);
	if (any)
		held = row_id(r, 0);
	row_free(r);
	return e || !any ? e : retain_not_held(tx, held, et);
}

struct holding {
	const struct principal *who;
	struct str project, reason; /* reason.p NULL: released */
	struct id run;
	int64_t at_ms;
};

static enum err run_is_there(struct tx *tx, const struct holding *h, struct errtext *et)
{
	struct row *r;
	char hex[ID_HEX + 1];
	id_hex(h->run, hex);
	enum err e = db_query(tx, &r, et, "SELECT 1 FROM run WHERE id = ? AND project = ?",
		P_ID(h->run), P_TEXT(h->project));
	if (e)
		return e;
	if (!row_next(r, &e, et) && !e)
		e = err_set(et, ERR_NOT_FOUND, "there is no run %s", hex);
	row_free(r);
	return e;
}

static enum err hold_in(struct tx *tx, void *ctx, struct errtext *et)
{
	const struct holding *h = ctx;
	char subject[48], hex[ID_HEX + 1];
	struct buf detail = {0};
	struct jw w = {.out = &detail};
	enum err e = run_is_there(tx, h, et);
	if (!e && h->reason.p)
		e = db_exec(tx, et,
			"INSERT INTO run_hold (run, project, reason, who, at_ms) VALUES (?, ?, ?, "
			"?, ?) "
			"ON CONFLICT (run) DO UPDATE SET reason = excluded.reason, who = "
			"excluded.who, "
			"at_ms = excluded.at_ms",
			P_ID(h->run), P_TEXT(h->project), P_TEXT(h->reason), P_TEXT(h->who->name),
			P_I64(h->at_ms));
	else if (!e)
		e = db_exec(tx, et, "DELETE FROM run_hold WHERE run = ?", P_ID(h->run));
	if (!e && !h->reason.p && !db_changes(tx))
		return err_set(et, ERR_NOT_FOUND, "this run is not on hold");
	id_hex(h->run, hex);
	snprintf(subject, sizeof subject, "run %s", hex);
	jw_obj(&w);
	if (h->reason.p)
		jw_kstr(&w, "reason", h->reason);
	jw_end(&w);
	if (!e)
		e = audit_add(tx, h->who, h->reason.p ? "run.hold" : "run.release", str_c(subject),
			buf_str(&detail), et);
	buf_free(&detail);
	return e;
}

enum err retain_hold(struct croft *c, const struct principal *who, struct str project,
	struct id run, struct str reason, struct errtext *et)
{
	struct holding h = {who, project, reason.p ? reason : S(""), run, clock_unix_ms()};
	if (reason.n > 1000)
		return err_set(et, ERR_INVALID, "reason: at most 1,000 bytes are expected");
	return db_write(croft_db(c), hold_in, &h, et);
}

enum err retain_release(struct croft *c, const struct principal *who, struct str project,
	struct id run, struct errtext *et)
{
	struct holding h = {who, project, {0}, run, 0};
	return db_write(croft_db(c), hold_in, &h, et);
}

enum err retain_holds(struct croft *c, struct str project, int64_t before_ms, size_t max,
	struct arena *a, struct run_hold **list, size_t *n, struct errtext *et)
{
	struct tx *tx;
	struct row *r = NULL;
	size_t k = 0;
	struct run_hold *v = arena_array_of(a, max, struct run_hold);
	enum err e = v ? db_begin(croft_db(c), TX_READ, &tx, et)
		       : err_set(et, ERR_NOMEM, "no memory for holds");
	if (e)
		return e;
	e = db_query(tx, &r, et,
		"SELECT h.run, r.name, h.reason, h.who, h.at_ms FROM run_hold h JOIN run r ON r.id "
		"= "
		"h.run WHERE h.project = ? AND h.at_ms < ? ORDER BY h.at_ms DESC, h.run DESC LIMIT "
		"?",
		P_TEXT(project), P_I64(before_ms), P_I64((int64_t)max));
	while (!e && k < max && row_next(r, &e, et)) {
		v[k] = (struct run_hold){row_id(r, 0), arena_str(a, row_text(r, 1)),
			arena_str(a, row_text(r, 2)), arena_str(a, row_text(r, 3)), row_i64(r, 4)};
		if (!v[k].name.p || !v[k].reason.p || !v[k].who.p)
			e = err_set(et, ERR_NOMEM, "no memory for holds");
		k++;
	}
	row_free(r);
	db_rollback(tx);
	*list = v;
	*n = k;
	return e;
}

/* ---- candidates ---- */

static enum err query_deleted(struct tx *tx, struct row **r, struct str project, int64_t experiment,
	int64_t before_ms, const struct retain_cursor *at, struct errtext *et)
{
	return db_query(tx, r, et,
		"SELECT id, deleted_ms, name FROM run WHERE project = ? AND experiment = ? AND "
		"deleted_ms > 0 AND deleted_ms <= ? AND version > 0 AND "
		"(deleted_ms > ? OR (deleted_ms = ? AND id > ?)) ORDER BY deleted_ms, id LIMIT ?",
		P_TEXT(project), P_I64(experiment), P_I64(before_ms), P_I64(at->at), P_I64(at->at),
		P_ID(at->id), P_I64(RETAIN_BATCH));
}

static enum err query_ended(struct tx *tx, struct row **r, struct str project, int64_t experiment,
	int64_t before_ms, const struct retain_cursor *at, struct errtext *et)
{
	return db_query(tx, r, et,
		"SELECT id, end_ns, name FROM run WHERE project = ? AND experiment = ? AND "
		"rolled = ? AND version > 0 AND deleted_ms = 0 AND end_ns <= ? AND "
		"(end_ns > ? OR (end_ns = ? AND id > ?)) AND status <> 'running' AND "
		"status <> 'scheduled' ORDER BY end_ns, id LIMIT ?",
		P_TEXT(project), P_I64(experiment), P_I64(at->rolled), P_I64(before_ms * 1000000),
		P_I64(at->at), P_I64(at->at), P_ID(at->id), P_I64(RETAIN_BATCH));
}

static void copy_name(struct retain_run *to, struct str name)
{
	name.n = MIN(name.n, sizeof to->name - 1);
	name.n = utf8_complete_prefix(name);
	memcpy(to->name, name.p, name.n);
	to->name[name.n] = 0;
}

enum err retain_store_next(struct tx *tx, struct str project, int64_t experiment, int action,
	int64_t before_ms, struct retain_cursor *at, struct retain_run out[RETAIN_BATCH], size_t *n,
	struct errtext *et)
{
	int thirds = action == RETAIN_DELETE ? 3 : 1;
	enum err e = OK;
	for (*n = 0; !e && !*n && at->rolled < thirds;) {
		struct row *r;
		e = action == RETAIN_PURGE
			    ? query_deleted(tx, &r, project, experiment, before_ms, at, et)
			    : query_ended(tx, &r, project, experiment, before_ms, at, et);
		if (e)
			return e;
		while (*n < RETAIN_BATCH && row_next(r, &e, et)) {
			struct retain_run *v = &out[(*n)++];
			v->id = row_id(r, 0);
			v->at = row_i64(r, 1);
			copy_name(v, row_text(r, 2));
		}
		row_free(r);
		if (*n) {
			at->at = out[*n - 1].at;
			at->id = out[*n - 1].id;
		} else {
			*at = (struct retain_cursor){.rolled = at->rolled + 1};
		}
	}
	return e;
}

enum err retain_store_due(struct tx *tx, struct str project, int64_t experiment, int action,
	int64_t before_ms, struct id run, bool *due, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT status, end_ns, deleted_ms, rolled FROM run WHERE id = ? AND project = ? "
		"AND "
		"experiment = ? AND version > 0",
		P_ID(run), P_TEXT(project), P_I64(experiment));
	if (e)
		return e;
	*due = false;
	if (row_next(r, &e, et)) {
		int64_t deleted = row_i64(r, 2);
		bool ended = !row_null(r, 1) && row_i64(r, 1) <= before_ms * 1000000 &&
			     !str_eq_c(row_text(r, 0), "running") &&
			     !str_eq_c(row_text(r, 0), "scheduled");
		if (action == RETAIN_PURGE)
			*due = deleted > 0 && deleted <= before_ms;
		else
			*due = ended && !deleted && (action == RETAIN_DELETE || !row_i64(r, 3));
	}
	row_free(r);
	return e;
}

enum err retain_store_unthinned(struct tx *tx, struct str project, int64_t experiment,
	struct id *run, bool *any, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT id FROM run WHERE project = ? AND experiment = ? AND rolled = 1 AND "
		"version > 0 AND deleted_ms = 0 LIMIT 1",
		P_TEXT(project), P_I64(experiment));
	if (e)
		return e;
	*any = row_next(r, &e, et);
	if (*any)
		*run = row_id(r, 0);
	row_free(r);
	return e;
}

enum err retain_store_rolled(struct tx *tx, struct id run, int state, struct errtext *et)
{
	return db_exec(tx, et, "UPDATE run SET rolled = ? WHERE id = ?", P_I64(state), P_ID(run));
}

enum err retain_store_place(
	struct tx *tx, struct str project, struct retain_place *at, struct errtext *et)
{
	struct row *r;
	struct str behind = str_c(at->project);
	enum err e =
		project.n ? db_query(tx, &r, et,
				    "SELECT project, number FROM experiment WHERE project = ? AND "
				    "number > ? ORDER BY number LIMIT 1",
				    P_TEXT(project), P_I64(at->experiment))
			  : db_query(tx, &r, et,
				    "SELECT project, number FROM experiment WHERE project > ? OR "
				    "(project = ? AND number > ?) ORDER BY project, number LIMIT 1",
				    P_TEXT(behind), P_TEXT(behind), P_I64(at->experiment));
	if (e)
		return e;
	if (row_next(r, &e, et)) {
		snprintf(at->project, sizeof at->project, "%.*s", STR_FMT(row_text(r, 0)));
		at->experiment = row_i64(r, 1);
	} else if (!e) {
		e = ERR_NOT_FOUND;
	}
	row_free(r);
	return e;
}

/* ---- one server at a time ---- */

enum err retain_lease(struct db *db, const char *name, struct id holder, int64_t now_ms,
	int64_t keep_ms, bool steal, bool *mine, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(db, TX_WRITE, &tx, et);
	if (e)
		return e;
	e = db_exec(tx, et,
		"INSERT INTO retention_lease (name, holder, until_ms) VALUES (?, ?, ?) "
		"ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, "
		"until_ms = excluded.until_ms WHERE retention_lease.holder = excluded.holder OR "
		"retention_lease.until_ms < ?",
		P_TEXT(str_c(name)), P_ID(holder), P_I64(now_ms + keep_ms),
		P_I64(steal ? INT64_MAX : now_ms));
	bool got = !e && db_changes(tx) == 1;
	e = db_finish(tx, e, et);
	if (!e)
		*mine = got;
	return e;
}

enum err retain_unlease(struct db *db, const char *name, struct id holder, struct errtext *et)
{
	return db_change(db, NULL, et, "DELETE FROM retention_lease WHERE name = ? AND holder = ?",
		P_TEXT(str_c(name)), P_ID(holder));
}
