/* The parts of the database layer that do not depend on the database. */
#include "store/db_int.h"
#include "store/backup.h"
#include "base/clock.h"
#include "base/hash.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static const struct db_backend *const backends[] = {&db_sqlite, &db_postgres};

struct db {
	const struct db_backend *be;
	void *ctx;
	struct group *group; /* db_write */
	struct notifier *notifier;
	char origin[ID_HEX + 1];
	char server[2 * ID_HEX + 2]; /* tx_server */
	atomic_uint open_tx;
	atomic_uintptr_t writer; /* &self of the thread that has the write transaction */
};

static _Thread_local char self;

struct tx {
	struct db *db;
	void *conn;
	enum tx_kind kind;
	int64_t changes;
	/* The first failure of a statement. PostgreSQL refuses everything after it, so nobody may
	 * come to rely on going on. */
	enum err failed;
	struct errtext why;
	struct row *rows; /* open ones */
	bool announced;   /* it holds a notice: watchers are woken after the commit */
	bool guarded;     /* inside db_write's fn, which neither commits nor rolls back */
};

struct row {
	struct tx *tx; /* NULL when the transaction has ended before the row */
	const struct db_backend *be;
	void *cursor;
	struct row *next;
	bool at_row;
};

/* ---- opening ---- */

static void name_server(struct db *db, const char *home)
{
	snprintf(db->server, sizeof db->server, "%s.%s", home, db->origin);
}

void db_set_home(struct db *db, struct id home)
{
	char hex[ID_HEX + 1];
	id_hex(home, hex);
	name_server(db, hex);
}

enum err db_open(const char *url, struct db **out, struct errtext *et)
{
	const char *colon = strchr(url, ':');
	for (size_t i = 0; colon && i < ARRAY_LEN(backends); i++) {
		const struct db_backend *be = backends[i];
		struct str word = str_mk(url, (size_t)(colon - url));
		if (!str_eq_c(word, be->scheme) && !(be->alias && str_eq_c(word, be->alias)))
			continue;
		struct db *db = calloc(1, sizeof *db);
		if (!db)
			return err_set(et, ERR_NOMEM, "no memory for the database");
		db->be = be;
		db->group = group_new();
		db->notifier = notifier_new(db);
		id_hex(id_new(), db->origin);
		name_server(db, "");
		enum err e = db->group && db->notifier
				     ? be->open(colon + 1, db->origin, &db->ctx, et)
				     : err_set(et, ERR_NOMEM, "no memory for the database");
		if (e) {
			notifier_free(db->notifier);
			group_free(db->group);
			free(db);
			return e;
		}
		*out = db;
		return OK;
	}
	struct buf known = {0};
	for (size_t i = 0; i < ARRAY_LEN(backends); i++)
		buf_addf(&known, "%s%s:", i ? ", " : "", backends[i]->scheme);
	/* The URL may hold a password: only its scheme is shown. */
	err_set(et, ERR_INVALID, "no database of the kind \"%.*s\": this build knows %s",
		colon ? (int)(colon - url) : 0, url, buf_c(&known));
	buf_free(&known);
	return ERR_INVALID;
}

void db_close(struct db *db)
{
	if (!db)
		return;
	notifier_free(db->notifier);
	assert(atomic_load(&db->open_tx) == 0);
	db->be->close(db->ctx);
	group_free(db->group);
	free(db);
}

void db_set_wait(struct db *db, uint32_t wait_ms)
{
	db->be->set_wait(db->ctx, wait_ms);
}

bool db_alone(struct db *db)
{
	return !db->be->alone || db->be->alone(db->ctx);
}

bool db_is(const struct db *db, const char *scheme)
{
	return strcmp(db->be->scheme, scheme) == 0;
}

enum err db_beside(struct db *db, const char *const *sql, size_t n, const struct cancel *cancel,
	struct errtext *et)
{
	return db->be->beside ? db->be->beside(db->ctx, sql, n, cancel, et)
			      : err_set(et, ERR_UNSUPPORTED,
					"%s does nothing beside its transactions", db->be->scheme);
}

enum err db_check(struct db *db, bool full, struct errtext *et)
{
	return db->be->check(db->ctx, full, et);
}

/* ---- transactions ---- */

static bool writing(struct db *db)
{
	return atomic_load(&db->writer) == (uintptr_t)&self;
}

enum err db_begin(struct db *db, enum tx_kind kind, struct tx **out, struct errtext *et)
{
	if (kind == TX_LEASE && !db->be->skip_locked)
		kind = TX_WRITE;
	if (kind == TX_WRITE && writing(db))
		return err_set(
			et, ERR_INTERNAL, "a thread that writes already began to write again");
	struct tx *tx = calloc(1, sizeof *tx);
	if (!tx)
		return err_set(et, ERR_NOMEM, "no memory for a transaction");
	tx->db = db;
	tx->kind = kind;
	enum err e = db->be->begin(db->ctx, kind, &tx->conn, et);
	if (e) {
		free(tx);
		return e;
	}
	atomic_fetch_add(&db->open_tx, 1);
	if (kind == TX_WRITE)
		atomic_store(&db->writer, (uintptr_t)&self);
	*out = tx;
	return OK;
}

static void end_row(struct row *r)
{
	if (r->cursor)
		r->be->end(r->cursor);
	r->cursor = NULL;
	r->tx = NULL;
	r->at_row = false;
}

static void end_rows(struct tx *tx)
{
	while (tx->rows) {
		struct row *r = tx->rows;
		tx->rows = r->next;
		end_row(r);
	}
}

/* Before the backend gives the connection to the next one. */
static void tx_end(struct tx *tx)
{
	assert(!tx->guarded);
	end_rows(tx);
	if (tx->kind == TX_WRITE)
		atomic_store(&tx->db->writer, 0);
}

static void tx_free(struct tx *tx)
{
	atomic_fetch_sub(&tx->db->open_tx, 1);
	free(tx);
}

enum err db_commit(struct tx *tx, struct errtext *et)
{
	tx_end(tx);
	enum err e = tx->failed;
	if (e) {
		err_set(et, e, "nothing was stored: %s", err_text(e, &tx->why));
		tx->db->be->rollback(tx->conn);
	} else {
		e = tx->db->be->commit(tx->conn, et);
		if (!e && tx->announced)
			notifier_wake(tx->db->notifier);
	}
	tx_free(tx);
	return e;
}

void db_rollback(struct tx *tx)
{
	if (!tx)
		return;
	tx_end(tx);
	tx->db->be->rollback(tx->conn);
	tx_free(tx);
}

enum err db_finish(struct tx *tx, enum err e, struct errtext *et)
{
	if (!e)
		return db_commit(tx, et);
	db_rollback(tx);
	return e;
}

enum err db_write(struct db *db, enum err (*fn)(struct tx *tx, void *ctx, struct errtext *et),
	void *ctx, struct errtext *et)
{
	if (writing(db))
		return err_set(
			et, ERR_INTERNAL, "a thread that writes already began to write again");
	return group_write(db, db->group, fn, ctx, et);
}

static enum err control(struct tx *tx, const char *sql, struct errtext *et)
{
	return tx->db->be->exec(tx->conn, sql, NULL, 0, NULL, et);
}

enum err tx_savepoint(struct tx *tx, struct errtext *et)
{
	return control(tx, "SAVEPOINT part", et);
}

enum err tx_release(struct tx *tx, struct errtext *et)
{
	end_rows(tx);
	return control(tx, "RELEASE SAVEPOINT part", et);
}

enum err tx_undo(struct tx *tx, struct errtext *et)
{
	end_rows(tx);
	enum err e = control(tx, "ROLLBACK TO SAVEPOINT part", et);
	if (!e)
		e = control(tx, "RELEASE SAVEPOINT part", et);
	if (!e) {
		tx->failed = OK;
		tx->why = (struct errtext){0};
	}
	return e;
}

void tx_guard(struct tx *tx, bool on)
{
	tx->guarded = on;
}

enum err tx_failure(const struct tx *tx, struct errtext *et)
{
	if (tx->failed && et)
		*et = tx->why;
	return tx->failed;
}

/* ---- for notices and the queue ---- */

struct str tx_server(struct tx *tx)
{
	return str_c(tx->db->server);
}

enum err tx_lives(struct tx *tx, struct str server, bool *lives, struct errtext *et)
{
	struct row *r;
	struct str life = str_sub(server, str_chr(server, '.') + 1, server.n);
	const char *sql = tx->db->be->lives_sql;
	enum err e = sql ? db_query(tx, &r, et, sql, P_TEXT(life)) : OK;
	if (e)
		return e;
	bool there = sql && row_next(r, &e, et);
	if (sql)
		row_free(r);
	if (!e)
		*lives = there;
	return e;
}

struct str tx_origin(struct tx *tx)
{
	return str_c(tx->db->origin);
}

enum err tx_announce(struct tx *tx, struct errtext *et)
{
	enum err e =
		tx->announced || !tx->db->be->announce ? OK : tx->db->be->announce(tx->conn, et);
	if (!e)
		tx->announced = true;
	return e;
}

enum err tx_now_ms(struct tx *tx, int64_t *now, struct errtext *et)
{
	struct row *r;
	if (!tx->db->be->now_sql) {
		*now = clock_unix_ms();
		return OK;
	}
	enum err e = db_query(tx, &r, et, tx->db->be->now_sql);
	if (e)
		return e;
	if (row_next(r, &e, et))
		*now = row_i64(r, 0);
	row_free(r);
	return e;
}

const char *tx_lock_rows(struct tx *tx)
{
	return tx->db->be->lock_rows ? tx->db->be->lock_rows : "";
}

const char *tx_skip_locked(struct tx *tx)
{
	return tx->db->be->skip_locked ? tx->db->be->skip_locked : "";
}

struct notifier *db_notifier(struct db *db)
{
	return db->notifier;
}

bool db_wait_notice(struct db *db, int wake_fd, unsigned timeout_ms)
{
	if (!db->be->wait)
		return false;
	db->be->wait(db->ctx, wake_fd, timeout_ms);
	return true;
}

/* ---- statements ---- */

static enum err tx_fail(struct tx *tx, enum err e, struct errtext *mine, struct errtext *et)
{
	if (!tx->failed) {
		tx->failed = e;
		tx->why = *mine;
	}
	if (et)
		*et = *mine;
	return e;
}

/* What no database can store as text is refused for all of them. */
static enum err check_params(const struct param *p, size_t n, struct errtext *et)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i].kind != PARAM_TEXT || !p[i].s.p)
			continue;
		if (memchr(p[i].s.p, 0, p[i].s.n))
			return err_set(et, ERR_INVALID, "a text to be stored holds a NUL byte");
		if (!utf8_valid(p[i].s))
			return err_set(et, ERR_INVALID, "a text to be stored is not valid UTF-8");
	}
	return OK;
}

static enum err may_run(struct tx *tx, const struct param *p, size_t n, struct errtext *et)
{
	if (tx->failed)
		return err_set(et, tx->failed,
			"an earlier statement of this transaction failed: %s",
			err_text(tx->failed, &tx->why));
	return check_params(p, n, et);
}

enum err db_exec_n(
	struct tx *tx, struct errtext *et, const char *sql, const struct param *p, size_t n)
{
	struct errtext mine = {0};
	int64_t changes = 0;
	enum err e = may_run(tx, p, n, &mine);
	if (!e)
		e = tx->db->be->exec(tx->conn, sql, p, n, &changes, &mine);
	if (e)
		return tx_fail(tx, e, &mine, et);
	tx->changes = changes;
	return OK;
}

int64_t db_changes(struct tx *tx)
{
	return tx->changes;
}

enum err db_change_n(struct db *db, int64_t *n, struct errtext *et, const char *sql,
	const struct param *p, size_t n_p)
{
	struct tx *tx;
	enum err e = db_begin(db, TX_WRITE, &tx, et);
	if (e)
		return e;
	e = db_exec_n(tx, et, sql, p, n_p);
	int64_t changed = e ? 0 : db_changes(tx);
	e = db_finish(tx, e, et);
	if (!e && n)
		*n = changed;
	return e;
}

enum err db_query_n(struct tx *tx, struct row **out, struct errtext *et, const char *sql,
	const struct param *p, size_t n)
{
	struct errtext mine = {0};
	enum err e = may_run(tx, p, n, &mine);
	struct row *r = e ? NULL : calloc(1, sizeof *r);
	if (!e && !r)
		e = err_set(&mine, ERR_NOMEM, "no memory for a query");
	if (!e)
		e = tx->db->be->query(tx->conn, sql, p, n, &r->cursor, &mine);
	if (e) {
		free(r);
		return tx_fail(tx, e, &mine, et);
	}
	r->tx = tx;
	r->be = tx->db->be;
	r->next = tx->rows;
	tx->rows = r;
	*out = r;
	return OK;
}

bool row_next(struct row *r, enum err *e, struct errtext *et)
{
	struct errtext mine = {0};
	if (!r || !r->cursor || *e)
		return false;
	r->at_row = r->be->next(r->cursor, e, &mine);
	if (*e)
		tx_fail(r->tx, *e, &mine, et);
	return r->at_row;
}

enum err db_each_text(struct tx *tx, const char *sql, enum err (*fn)(void *ctx, struct str text),
	void *ctx, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et, sql);
	if (e)
		return e;
	while (!e && row_next(r, &e, et))
		e = fn(ctx, row_text(r, 0));
	row_free(r);
	return e;
}

static void assert_column(const struct row *r, int column)
{
	assert(r->at_row && column >= 0 && column < r->be->columns(r->cursor));
	(void)r, (void)column;
}

bool row_null(struct row *r, int column)
{
	assert_column(r, column);
	return r->be->is_null(r->cursor, column);
}

int64_t row_i64(struct row *r, int column)
{
	assert_column(r, column);
	return r->be->i64(r->cursor, column);
}

double row_f64(struct row *r, int column)
{
	assert_column(r, column);
	return r->be->f64(r->cursor, column);
}

struct str row_text(struct row *r, int column)
{
	assert_column(r, column);
	return r->be->text(r->cursor, column);
}

struct str row_blob(struct row *r, int column)
{
	assert_column(r, column);
	return r->be->blob(r->cursor, column);
}

struct id row_id(struct row *r, int column)
{
	struct id id = {0};
	struct str s = row_blob(r, column);
	if (s.n == sizeof id.b)
		memcpy(id.b, s.p, sizeof id.b);
	return id;
}

void row_free(struct row *r)
{
	if (!r)
		return;
	for (struct row **at = r->tx ? &r->tx->rows : NULL; at && *at; at = &(*at)->next)
		if (*at == r) {
			*at = r->next;
			break;
		}
	end_row(r);
	free(r);
}

/* ---- migrations ---- */

static const char migration_table[] =
	"CREATE TABLE IF NOT EXISTS migration (module TEXT NOT NULL, number BIGINT NOT NULL, "
	"name TEXT NOT NULL, sha256 TEXT NOT NULL, applied_ms BIGINT NOT NULL, "
	"PRIMARY KEY (module, number))";

/* Applied already, the same as now, or different? */
static enum err recorded(struct tx *tx, const char *module, const struct migration *m,
	bool *applied, struct errtext *et)
{
	char want[SHA256_HEX + 1];
	sha256_hex_of(str_c(m->sql), want);
	struct row *r;
	enum err e =
		db_query(tx, &r, et, "SELECT sha256 FROM migration WHERE module = ? AND number = ?",
			P_TEXT(str_c(module)), P_I64(m->number));
	if (e)
		return e;
	*applied = row_next(r, &e, et);
	if (*applied && !str_eq_c(row_text(r, 0), want))
		e = err_set(et, ERR_CONFLICT,
			"migration %s %d (%s) is not the one that this database was made with; a "
			"migration that was released never changes: append a new one",
			module, m->number, m->name);
	row_free(r);
	return e;
}

enum err migration_begin(struct tx *tx, struct errtext *et)
{
	return db_exec(tx, et, migration_table);
}

enum err tx_script(struct tx *tx, const char *sql, struct errtext *et)
{
	return tx->db->be->script(tx->conn, sql, et);
}

const struct db_backend *tx_backend(struct tx *tx)
{
	return tx->db->be;
}

enum err migration_apply(
	struct tx *tx, const char *module, const struct migration *m, struct errtext *et)
{
	enum err e = tx_script(tx, m->sql, et);
	if (e)
		return err_wrap(et, e, "migration %s %d (%s)", module, m->number, m->name);
	char hex[SHA256_HEX + 1];
	sha256_hex_of(str_c(m->sql), hex);
	return db_exec(tx, et,
		"INSERT INTO migration (module, number, name, sha256, applied_ms) "
		"VALUES (?, ?, ?, ?, ?)",
		P_TEXT(str_c(module)), P_I64(m->number), P_TEXT(str_c(m->name)), P_TEXT(str_c(hex)),
		P_I64(clock_unix_ms()));
}

static enum err migrate_one(
	struct db *db, const char *module, const struct migration *m, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(db, TX_WRITE, &tx, et);
	if (e)
		return e;
	bool applied = false;
	e = recorded(tx, module, m, &applied, et);
	if (e || applied) {
		db_rollback(tx);
		return e;
	}
	e = migration_apply(tx, module, m, et);
	return db_finish(tx, e, et);
}

static enum err newest_recorded(
	struct db *db, const char *module, int64_t *number, struct errtext *et)
{
	struct tx *tx;
	struct row *r;
	enum err e = db_begin(db, TX_WRITE, &tx, et);
	if (e)
		return e;
	e = migration_begin(tx, et);
	if (!e)
		e = db_query(tx, &r, et,
			"SELECT COALESCE(MAX(number), 0) FROM migration WHERE module = ?",
			P_TEXT(str_c(module)));
	if (e) {
		db_rollback(tx);
		return e;
	}
	if (row_next(r, &e, et))
		*number = row_i64(r, 0);
	row_free(r);
	return db_finish(tx, e, et);
}

enum err db_migrate(
	struct db *db, const char *module, const struct migration *m, size_t n, struct errtext *et)
{
	for (size_t i = 0; i < n; i++)
		if (m[i].number != (int)i + 1)
			return err_set(et, ERR_INTERNAL,
				"module %s: migration %d stands at place %zu", module, m[i].number,
				i + 1);
	int64_t newest = 0;
	enum err e = newest_recorded(db, module, &newest, et);
	if (!e && newest > (int64_t)n)
		e = err_set(et, ERR_CONFLICT,
			"this data directory was used by a newer Croft (%s %lld, this one knows "
			"%zu): "
			"use that version or a newer one",
			module, (long long)newest, n);
	for (size_t i = 0; !e && i < n; i++)
		e = migrate_one(db, module, &m[i], et);
	return e;
}

static const struct migration own_migrations[] = {
	{1, "notices and jobs",
		"CREATE TABLE notice ("
		"  channel TEXT NOT NULL,"
		"  seq BIGINT NOT NULL,"
		"  origin TEXT NOT NULL,"
		"  body TEXT NOT NULL,"
		"  PRIMARY KEY (channel, seq));"
		"CREATE TABLE job ("
		"  id BLOB PRIMARY KEY,"
		"  queue TEXT NOT NULL,"
		"  body TEXT NOT NULL,"
		"  only_one TEXT,"
		"  status TEXT NOT NULL,"
		"  due_ms BIGINT NOT NULL,"
		"  lease_until_ms BIGINT NOT NULL,"
		"  lease BIGINT NOT NULL,"
		"  attempts BIGINT NOT NULL,"
		"  attempts_max BIGINT NOT NULL,"
		"  added_ms BIGINT NOT NULL,"
		"  why TEXT);"
		"CREATE INDEX job_by_due ON job (queue, status, due_ms, id);"},
	{2, "who leased a job", "ALTER TABLE job ADD COLUMN owner TEXT"},
};

enum err db_migrate_own(struct db *db, struct errtext *et)
{
	return db_migrate(db, "store", own_migrations, ARRAY_LEN(own_migrations), et);
}

struct schema_part migration_own(void)
{
	return (struct schema_part){"store", own_migrations, ARRAY_LEN(own_migrations)};
}
