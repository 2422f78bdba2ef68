/* The queue: one table. A job that waits has lease_until_ms 0 or in the past; leasing takes the
 * oldest that is due, counts the attempt and gives the lease a number. Every later step names that
 * number, so a worker whose lease ran out can change nothing any more.
 *
 * Leasing does not need the exclusive writer where rows can be locked: there it runs in a
 * transaction of its own kind and skips rows that others are just taking (TX_LEASE). Times are the
 * database server's where several servers share it, so that their clocks need not agree. */
#include "store/queue.h"
#include "base/clock.h"
#include "store/db_int.h"

#include <stdlib.h>

enum { ATTEMPTS = 5, RETRY_FIRST_MS = 1000, RETRY_MOST_MS = 3600 * 1000, WHY_MAX = 2000 };

/* Where rows are locked, a worker that is just taking the job is waited for: then it no longer
 * waits, and what it does not know of gets a job of its own. */
static enum err find_waiting(struct tx *tx, const char *queue, struct str word, int64_t now,
	bool *there, struct id *id, struct errtext *et)
{
	struct row *r;
	struct buf sql = {0};
	buf_addf(&sql,
		"SELECT id FROM job WHERE queue = ? AND only_one = ? AND status = 'waiting' AND "
		"lease_until_ms <= ?%s",
		tx_lock_rows(tx));
	struct param p[] = {P_TEXT(str_c(queue)), P_TEXT(word), P_I64(now)};
	enum err e = db_query_n(tx, &r, et, buf_c(&sql), p, ARRAY_LEN(p));
	buf_free(&sql);
	if (e)
		return e;
	*there = row_next(r, &e, et);
	if (*there)
		*id = row_id(r, 0);
	row_free(r);
	return e;
}

enum err queue_add(struct tx *tx, const char *queue, struct str body, const struct queue_options *o,
	struct id *id, struct errtext *et)
{
	struct id mine = id_new();
	int64_t now;
	enum err e = tx_now_ms(tx, &now, et);
	bool there = false;
	if (!e && o->only_one.n)
		e = find_waiting(tx, queue, o->only_one, now, &there, &mine, et);
	if (!e && !there)
		e = db_exec(tx, et,
			"INSERT INTO job (id, queue, body, only_one, status, due_ms, "
			"lease_until_ms, "
			"lease, attempts, attempts_max, added_ms) "
			"VALUES (?, ?, ?, ?, 'waiting', ?, 0, 0, 0, ?, ?)",
			P_ID(mine), P_TEXT(str_c(queue)), P_TEXT(body), P_TEXT(o->only_one),
			P_I64(now + o->delay_ms),
			P_I64(o->attempts_max ? o->attempts_max : ATTEMPTS), P_I64(now));
	if (!e && id)
		*id = mine;
	return e;
}

/* ---- leasing ---- */

/* The attempts of a job whose worker died count as well: too many, and it has failed. */
static enum err give_up(struct tx *tx, const char *queue, int64_t now, struct errtext *et)
{
	return db_exec(tx, et,
		"UPDATE job SET status = 'failed', lease_until_ms = 0, why = 'the worker died or "
		"took longer than its lease' WHERE queue = ? AND status = 'waiting' AND "
		"attempts >= attempts_max AND lease_until_ms <= ?",
		P_TEXT(str_c(queue)), P_I64(now));
}

static enum err find_due(struct tx *tx, const char *queue, int64_t now, struct arena *a,
	struct job *out, struct errtext *et)
{
	struct row *r;
	struct buf sql = {0};
	buf_addf(&sql,
		"SELECT id, body, attempts, attempts_max, lease FROM job WHERE queue = ? AND "
		"status = 'waiting' AND due_ms <= ? AND lease_until_ms <= ? ORDER BY due_ms, id "
		"LIMIT 1%s",
		tx_skip_locked(tx));
	struct param p[] = {P_TEXT(str_c(queue)), P_I64(now), P_I64(now)};
	enum err e = db_query_n(tx, &r, et, buf_c(&sql), p, ARRAY_LEN(p));
	buf_free(&sql);
	if (e)
		return e;
	if (row_next(r, &e, et)) {
		*out = (struct job){.id = row_id(r, 0),
			.body = arena_str(a, row_text(r, 1)),
			.attempt = (int)row_i64(r, 2) + 1,
			.attempts_max = (int)row_i64(r, 3),
			.lease = row_i64(r, 4) + 1};
		if (!out->body.p)
			e = err_set(et, ERR_NOMEM, "no memory for a job");
	} else if (!e) {
		e = ERR_NOT_FOUND;
	}
	row_free(r);
	return e;
}

static enum err lease_in(struct tx *tx, const char *queue, int64_t lease_ms, struct arena *a,
	struct job *out, struct errtext *et)
{
	int64_t now = 0;
	enum err e = tx_now_ms(tx, &now, et);
	if (!e)
		e = give_up(tx, queue, now, et);
	if (!e)
		e = find_due(tx, queue, now, a, out, et);
	if (!e)
		e = db_exec(tx, et,
			"UPDATE job SET attempts = ?, lease = ?, lease_until_ms = ?, owner = ? "
			"WHERE id = ?",
			P_I64(out->attempt), P_I64(out->lease), P_I64(now + lease_ms),
			P_TEXT(tx_server(tx)), P_ID(out->id));
	return e;
}

enum err queue_lease(struct db *db, const char *queue, int64_t lease_ms, struct arena *a,
	struct job *out, struct errtext *et)
{
	struct tx *tx;
	struct job job = {0};
	struct queue_counts n = {0};
	/* most looks find nothing: do not write for them */
	enum err e = queue_count(db, queue, &n, et);
	if (!e && !n.waiting)
		e = err_set(et, ERR_NOT_FOUND, "no job of the queue %s is due", queue);
	e = e ? e : db_begin(db, TX_LEASE, &tx, et);
	if (e)
		return e;
	e = lease_in(tx, queue, lease_ms, a, &job, et);
	if (e && e != ERR_NOT_FOUND) {
		db_rollback(tx);
		return e;
	}
	enum err committed = db_commit(tx, et);
	if (committed)
		return committed;
	if (e)
		return err_set(et, e, "no job of the queue %s is due", queue);
	*out = job;
	return OK;
}

/* ---- leases of the dead ---- */

/* Who leases is named HOME.LIFE: a data directory, and one process that had it open. Only one at a
 * time can, so an earlier life is over; that is looked up nevertheless, where the database knows,
 * as a data directory may have been copied. */

enum { PREDECESSORS_MAX = 16 };

static enum err predecessors(struct tx *tx, const char *queue, struct arena *a, struct str *out,
	size_t *n, struct errtext *et)
{
	struct row *r;
	int64_t now;
	struct str me = tx_server(tx);
	size_t home = str_chr(me, '.') + 1;
	enum err e = tx_now_ms(tx, &now, et);
	if (!e)
		e = db_query(tx, &r, et,
			"SELECT DISTINCT owner FROM job WHERE queue = ? AND status = 'waiting' AND "
			"lease_until_ms > ? AND owner IS NOT NULL",
			P_TEXT(str_c(queue)), P_I64(now));
	if (e)
		return e;
	while (*n < PREDECESSORS_MAX && row_next(r, &e, et)) {
		struct str owner = row_text(r, 0);
		if (str_eq(owner, me) || !str_starts(owner, str_sub(me, 0, home)))
			continue;
		out[*n] = arena_str(a, owner);
		if (!out[(*n)++].p)
			e = err_set(et, ERR_NOMEM, "no memory for the queue");
	}
	row_free(r);
	return e;
}

/* The dead of them, in place. */
static enum err only_dead(
	struct tx *tx, struct str *owner, size_t *n, size_t *living, struct errtext *et)
{
	size_t dead = 0;
	enum err e = OK;
	for (size_t i = 0; i < *n && !e; i++) {
		bool lives = true;
		e = tx_lives(tx, owner[i], &lives, et);
		if (lives)
			++*living;
		else
			owner[dead++] = owner[i];
	}
	*n = dead;
	return e;
}

static enum err end_leases_of(
	struct db *db, const char *queue, struct str owner, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(db, TX_LEASE, &tx, et);
	if (e)
		return e;
	e = db_exec(tx, et,
		"UPDATE job SET lease_until_ms = 0 WHERE queue = ? AND status = 'waiting' AND "
		"owner = ?",
		P_TEXT(str_c(queue)), P_TEXT(owner));
	return db_finish(tx, e, et);
}

enum err queue_take_back(struct db *db, const char *queue, size_t *left, struct errtext *et)
{
	struct tx *tx;
	struct str owner[PREDECESSORS_MAX];
	size_t n = 0, living = 0;
	struct arena *a = arena_new(0);
	if (!a)
		return err_set(et, ERR_NOMEM, "no memory for the queue");
	enum err e = db_begin(db, TX_READ, &tx, et);
	if (!e) {
		if (tx_server(tx).p[0] != '.') /* it has a home */
			e = predecessors(tx, queue, a, owner, &n, et);
		e = e ? e : only_dead(tx, owner, &n, &living, et);
		db_rollback(tx);
	}
	for (size_t i = 0; i < n && !e; i++)
		e = end_leases_of(db, queue, owner[i], et);
	arena_free(a);
	if (!e)
		*left = living;
	return e;
}

/* ---- the end of a lease ---- */

static enum err still_ours(struct tx *tx, struct errtext *et)
{
	if (db_changes(tx) == 1)
		return OK;
	return err_set(
		et, ERR_CONFLICT, "the job's lease ran out: it runs elsewhere, or it is done");
}

/* The statement of one of the calls below, in a transaction of its own. */
static enum err one_change(
	struct db *db, struct errtext *et, const char *sql, const struct param *p, size_t n)
{
	struct tx *tx;
	enum err e = db_begin(db, TX_LEASE, &tx, et);
	if (e)
		return e;
	e = db_exec_n(tx, et, sql, p, n);
	if (!e)
		e = still_ours(tx, et);
	return db_finish(tx, e, et);
}

static enum err server_now(struct db *db, int64_t *now, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(db, TX_READ, &tx, et);
	if (e)
		return e;
	e = tx_now_ms(tx, now, et);
	db_rollback(tx);
	return e;
}

enum err queue_keep(struct db *db, const struct job *job, int64_t lease_ms, struct errtext *et)
{
	int64_t now;
	enum err e = server_now(db, &now, et);
	if (e)
		return e;
	struct param p[] = {P_I64(now + lease_ms), P_ID(job->id), P_I64(job->lease), P_I64(now)};
	return one_change(db, et,
		"UPDATE job SET lease_until_ms = ? WHERE id = ? AND lease = ? AND "
		"status = 'waiting' AND lease_until_ms > ?",
		p, ARRAY_LEN(p));
}

#define DONE_SQL "DELETE FROM job WHERE id = ? AND lease = ? AND status = 'waiting'"

enum err queue_done(struct tx *tx, const struct job *job, struct errtext *et)
{
	enum err e = db_exec(tx, et, DONE_SQL, P_ID(job->id), P_I64(job->lease));
	return e ? e : still_ours(tx, et);
}

enum err queue_done_now(struct db *db, const struct job *job, struct errtext *et)
{
	struct param p[] = {P_ID(job->id), P_I64(job->lease)};
	return one_change(db, et, DONE_SQL, p, ARRAY_LEN(p));
}

static int64_t pause_ms(int attempt)
{
	int64_t ms = RETRY_FIRST_MS;
	for (int i = 1; i < attempt && ms < RETRY_MOST_MS; i++)
		ms *= 2;
	ms = MIN(ms, (int64_t)RETRY_MOST_MS);
	uint32_t lot;
	random_bytes(&lot, sizeof lot);
	return ms + (int64_t)(lot % (uint32_t)(ms / 2 + 1));
}

enum err queue_fail(
	struct db *db, const struct job *job, int64_t retry_ms, struct str why, struct errtext *et)
{
	int64_t now;
	enum err e = server_now(db, &now, et);
	if (e)
		return e;
	bool last = job->attempt >= job->attempts_max;
	struct str cut = str_sub(why, 0, WHY_MAX);
	cut.n = utf8_complete_prefix(cut);
	struct param p[] = {P_TEXT(last ? S("failed") : S("waiting")),
		P_I64(now + (retry_ms ? retry_ms : pause_ms(job->attempt))), P_TEXT(cut),
		P_ID(job->id), P_I64(job->lease)};
	return one_change(db, et,
		"UPDATE job SET status = ?, lease_until_ms = 0, due_ms = ?, why = ? WHERE id = ? "
		"AND "
		"lease = ? AND status = 'waiting'",
		p, ARRAY_LEN(p));
}

enum err queue_count(struct db *db, const char *queue, struct queue_counts *out, struct errtext *et)
{
	struct tx *tx;
	struct row *r;
	int64_t now;
	enum err e = db_begin(db, TX_READ, &tx, et);
	if (e)
		return e;
	e = tx_now_ms(tx, &now, et);
	if (!e)
		e = db_query(tx, &r, et,
			"SELECT SUM(CASE WHEN status = 'waiting' AND lease_until_ms <= ? THEN 1 "
			"ELSE "
			"0 END), SUM(CASE WHEN status = 'waiting' AND lease_until_ms > ? THEN 1 "
			"ELSE "
			"0 END), SUM(CASE WHEN status = 'failed' THEN 1 ELSE 0 END) FROM job WHERE "
			"queue = ?",
			P_I64(now), P_I64(now), P_TEXT(str_c(queue)));
	if (!e && row_next(r, &e, et))
		*out = (struct queue_counts){row_i64(r, 0), row_i64(r, 1), row_i64(r, 2)};
	if (!e)
		row_free(r);
	db_rollback(tx);
	return e;
}
