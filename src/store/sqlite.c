/* SQLite behind struct db_backend: "sqlite:/path/croft.db".
 *
 * One connection writes, and readers have theirs from a pool; write-ahead logging lets them go on
 * while it writes. A commit is acknowledged after fsync (synchronous = FULL).
 *
 *  1. Every connection belongs to one thread at a time (lend.h), so SQLite runs without its own
 *     locks.
 *  2. A read transaction reads once at its begin, because SQLite fixes its view only then.
 *  3. Statements are prepared once for a connection and kept; one that is running already (a query
 *     inside its own loop) is prepared anew and thrown away after use. */
#include "store/db_int.h"
#include "base/map.h"
#include "base/os.h"
#include "store/lend.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <unistd.h>

enum { READERS_MAX = LEND_MAX, STATEMENTS_KEPT = 192, FOREIGN_LOCK_MS = 10000 };

struct kept {
	sqlite3_stmt *stmt;
	uint64_t used; /* tick of the last use */
	bool busy;
};

struct conn {
	struct sqlite *db;
	sqlite3 *h;      /* a reader's is opened when it is first lent */
	struct map kept; /* SQL text -> struct kept */
	uint64_t tick;
	enum tx_kind kind;
};

struct sqlite {
	char *path;
	struct conn writer, readers[READERS_MAX];
	struct lender for_writer, for_reader;
};

struct cursor {
	struct conn *c;
	sqlite3_stmt *stmt;
	struct kept *kept; /* NULL: ours alone */
	int columns;
};

/* ---- errors ---- */

static enum err err_of(int rc)
{
	switch (rc & 0xFF) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return ERR_BUSY;
	case SQLITE_NOMEM:
		return ERR_NOMEM;
	case SQLITE_FULL:
		return ERR_NO_SPACE;
	case SQLITE_CONSTRAINT:
		return ERR_CONFLICT;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return ERR_CORRUPT;
	case SQLITE_TOOBIG:
		return ERR_TOO_LARGE;
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return ERR_FORBIDDEN;
	case SQLITE_INTERRUPT:
		return ERR_CANCELLED;
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
	case SQLITE_PROTOCOL:
		return ERR_IO;
	default:
		return ERR_INTERNAL;
	}
}

static enum err fail(sqlite3 *h, int rc, const char *doing, struct errtext *et)
{
	return err_set(et, err_of(rc), "%s: %s", doing, h ? sqlite3_errmsg(h) : sqlite3_errstr(rc));
}

/* ---- connections ---- */

static void conn_close(struct conn *c)
{
	struct str key;
	void *v;
	for (size_t i = 0; map_next(&c->kept, &i, &key, &v);) {
		sqlite3_finalize(((struct kept *)v)->stmt);
		free(v);
	}
	map_free(&c->kept);
	sqlite3_close_v2(c->h);
	c->h = NULL;
}

static int run(struct conn *c, const char *sql)
{
	return sqlite3_exec(c->h, sql, NULL, NULL, NULL);
}

static int set_up(struct conn *c, bool writer)
{
	/* cell_size_check and trusted_schema: a damaged or hostile file is an error, not a crash.
	 */
	static const char common[] = "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; "
				     "PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY; "
				     "PRAGMA cache_size = -8192;";
	static const char writing[] = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; "
				      "PRAGMA journal_size_limit = 67108864;";
	sqlite3_extended_result_codes(c->h, 1);
	sqlite3_busy_timeout(c->h, FOREIGN_LOCK_MS);
	sqlite3_db_config(c->h, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
	sqlite3_db_config(c->h, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
	sqlite3_db_config(c->h, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	int rc = writer ? run(c, writing) : SQLITE_OK;
	if (!rc)
		rc = run(c, common);
	if (!rc && !writer)
		rc = run(c, "PRAGMA query_only = ON");
	return rc;
}

static enum err conn_open(struct conn *c, struct errtext *et)
{
	bool writer = c->kind == TX_WRITE;
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
	int rc = sqlite3_open_v2(c->db->path, &c->h, flags, NULL);
	if (!rc)
		rc = set_up(c, writer);
	if (rc) {
		enum err e = fail(c->h, rc, c->db->path, et);
		conn_close(c);
		return e;
	}
	return OK;
}

/* Made here so that only its owner may read it; SQLite gives the log the same permissions. */
static enum err make_file(const char *path, struct errtext *et)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(et, "%s", path);
	close(fd);
	return OK;
}

static void db_free(struct sqlite *db)
{
	for (unsigned i = 0; i < READERS_MAX; i++)
		conn_close(&db->readers[i]);
	conn_close(&db->writer); /* last: it checkpoints and removes the log */
	lender_release(&db->for_reader);
	lender_release(&db->for_writer);
	free(db->path);
	free(db);
}

static void add_conn(struct sqlite *db, struct conn *c, enum tx_kind kind)
{
	c->db = db;
	c->kind = kind;
	lender_give(kind == TX_WRITE ? &db->for_writer : &db->for_reader, c);
}

static enum err lite_open(const char *at, const char *life, void **ctx, struct errtext *et)
{
	if (!*at)
		return err_set(
			et, ERR_INVALID, "sqlite: needs a path, as in sqlite:/var/lib/croft.db");
	struct sqlite *db = calloc(1, sizeof *db);
	if (db)
		db->path = str_dup(str_c(at));
	if (!db || !db->path) {
		free(db);
		return err_set(et, ERR_NOMEM, "no memory for the database");
	}
	lender_init(&db->for_writer);
	lender_init(&db->for_reader);
	add_conn(db, &db->writer, TX_WRITE);
	for (unsigned i = 0; i < READERS_MAX; i++)
		add_conn(db, &db->readers[i], TX_READ);
	enum err e = make_file(at, et);
	if (!e)
		e = conn_open(&db->writer, et);
	if (e) {
		db_free(db);
		return e;
	}
	*ctx = db;
	return OK;
}

static void lite_close(void *ctx)
{
	struct sqlite *db = ctx;
	run(&db->writer, "PRAGMA optimize");
	db_free(db);
}

static void lite_set_wait(void *ctx, uint32_t wait_ms)
{
	struct sqlite *db = ctx;
	lender_set_wait(&db->for_writer, wait_ms);
	lender_set_wait(&db->for_reader, wait_ms);
}

static void give_back(struct conn *c)
{
	lender_give(c->kind == TX_WRITE ? &c->db->for_writer : &c->db->for_reader, c);
}

/* ---- statements ---- */

static void forget_one(struct conn *c)
{
	struct str key, oldest_key = {0};
	struct kept *oldest = NULL;
	void *v;
	for (size_t i = 0; map_next(&c->kept, &i, &key, &v);) {
		struct kept *k = v;
		if (!k->busy && (!oldest || k->used < oldest->used)) {
			oldest = k;
			oldest_key = key;
		}
	}
	if (!oldest)
		return;
	map_del(&c->kept, oldest_key);
	sqlite3_finalize(oldest->stmt);
	free(oldest);
}

static enum err prepare(
	struct conn *c, const char *sql, bool keep, sqlite3_stmt **out, struct errtext *et)
{
	const char *tail = "";
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v3(
		c->h, sql, -1, keep ? SQLITE_PREPARE_PERSISTENT : 0, &stmt, &tail);
	if (rc)
		return fail(c->h, rc, "SQL", et);
	if (!stmt || str_trim(str_c(tail)).n) {
		sqlite3_finalize(stmt);
		return err_set(et, ERR_INTERNAL, "SQL: exactly one statement was expected");
	}
	for (int i = sqlite3_bind_parameter_count(stmt); i > 0; i--)
		if (sqlite3_bind_parameter_name(stmt, i)) {
			sqlite3_finalize(stmt);
			return err_set(
				et, ERR_INTERNAL, "SQL: only plain ? parameters are portable");
		}
	*out = stmt;
	return OK;
}

/* The statement, ready to be bound; *kept is NULL when it is the caller's alone. */
static enum err statement(
	struct conn *c, const char *sql, sqlite3_stmt **out, struct kept **kept, struct errtext *et)
{
	struct kept *k = map_get(&c->kept, str_c(sql));
	if (k && !k->busy) {
		k->busy = true;
		k->used = ++c->tick;
		*out = k->stmt;
		*kept = k;
		return OK;
	}
	bool keep = !k;
	enum err e = prepare(c, sql, keep, out, et);
	*kept = NULL;
	if (e || !keep)
		return e;
	if (c->kept.n >= STATEMENTS_KEPT)
		forget_one(c);
	k = calloc(1, sizeof *k);
	if (!k)
		return OK;
	*k = (struct kept){.stmt = *out, .used = ++c->tick, .busy = true};
	if (map_put(&c->kept, str_c(sql), k))
		*kept = k;
	else
		free(k);
	return OK;
}

static void release(sqlite3_stmt *stmt, struct kept *kept)
{
	if (!kept) {
		sqlite3_finalize(stmt);
		return;
	}
	sqlite3_reset(stmt);
	sqlite3_clear_bindings(stmt);
	kept->busy = false;
}

static int bind_one(sqlite3_stmt *stmt, int at, const struct param *p, bool copy)
{
	sqlite3_destructor_type life = copy ? SQLITE_TRANSIENT : SQLITE_STATIC;
	const char *data = p->s.p && !p->s.n ? "" : p->s.p;
	switch (p->kind) {
	case PARAM_I64:
		return sqlite3_bind_int64(stmt, at, p->i);
	case PARAM_F64:
		return sqlite3_bind_double(stmt, at, p->f);
	case PARAM_TEXT:
		return data ? sqlite3_bind_text64(stmt, at, data, p->s.n, life, SQLITE_UTF8)
			    : sqlite3_bind_null(stmt, at);
	case PARAM_BLOB:
		return data ? sqlite3_bind_blob64(stmt, at, data, p->s.n, life)
			    : sqlite3_bind_null(stmt, at);
	case PARAM_NULL:
		break;
	}
	return sqlite3_bind_null(stmt, at);
}

static enum err bind(struct conn *c, sqlite3_stmt *stmt, const struct param *p, size_t n, bool copy,
	struct errtext *et)
{
	int wanted = sqlite3_bind_parameter_count(stmt);
	if ((size_t)wanted != n)
		return err_set(et, ERR_INTERNAL, "SQL: %d parameters wanted, %zu given", wanted, n);
	for (size_t i = 0; i < n; i++) {
		int rc = bind_one(stmt, (int)i + 1, &p[i], copy);
		if (rc)
			return fail(c->h, rc, "SQL parameter", et);
	}
	return OK;
}

static enum err lite_exec(void *conn, const char *sql, const struct param *p, size_t n,
	int64_t *changes, struct errtext *et)
{
	struct conn *c = conn;
	sqlite3_stmt *stmt;
	struct kept *kept;
	enum err e = statement(c, sql, &stmt, &kept, et);
	if (e)
		return e;
	e = bind(c, stmt, p, n, false, et);
	if (!e) {
		int rc;
		while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
			;
		if (rc != SQLITE_DONE)
			e = fail(c->h, rc, "the database", et);
		else if (changes)
			*changes = sqlite3_stmt_readonly(stmt) ? 0 : sqlite3_changes64(c->h);
	}
	release(stmt, kept);
	return e;
}

static enum err lite_script(void *conn, const char *sql, struct errtext *et)
{
	struct conn *c = conn;
	int rc = run(c, sql);
	return rc ? fail(c->h, rc, "the database", et) : OK;
}

static enum err lite_query(void *conn, const char *sql, const struct param *p, size_t n,
	void **cursor, struct errtext *et)
{
	struct conn *c = conn;
	struct cursor *cur = calloc(1, sizeof *cur);
	if (!cur)
		return err_set(et, ERR_NOMEM, "no memory for a query");
	cur->c = c;
	enum err e = statement(c, sql, &cur->stmt, &cur->kept, et);
	if (e) {
		free(cur);
		return e;
	}
	e = bind(c, cur->stmt, p, n, true, et);
	if (e) {
		release(cur->stmt, cur->kept);
		free(cur);
		return e;
	}
	cur->columns = sqlite3_column_count(cur->stmt);
	*cursor = cur;
	return OK;
}

static bool lite_next(void *cursor, enum err *e, struct errtext *et)
{
	struct cursor *cur = cursor;
	int rc = sqlite3_step(cur->stmt);
	if (rc == SQLITE_ROW)
		return true;
	if (rc != SQLITE_DONE)
		*e = fail(cur->c->h, rc, "the database", et);
	return false;
}

static int lite_columns(void *cursor)
{
	return ((struct cursor *)cursor)->columns;
}

static bool lite_is_null(void *cursor, int column)
{
	return sqlite3_column_type(((struct cursor *)cursor)->stmt, column) == SQLITE_NULL;
}

static int64_t lite_i64(void *cursor, int column)
{
	return sqlite3_column_int64(((struct cursor *)cursor)->stmt, column);
}

static double lite_f64(void *cursor, int column)
{
	return sqlite3_column_double(((struct cursor *)cursor)->stmt, column);
}

static struct str lite_text(void *cursor, int column)
{
	sqlite3_stmt *s = ((struct cursor *)cursor)->stmt;
	const void *p = sqlite3_column_text(s, column);
	return p ? str_mk(p, (size_t)sqlite3_column_bytes(s, column)) : (struct str){0};
}

static struct str lite_blob(void *cursor, int column)
{
	sqlite3_stmt *s = ((struct cursor *)cursor)->stmt;
	if (sqlite3_column_type(s, column) == SQLITE_NULL)
		return (struct str){0};
	const void *p = sqlite3_column_blob(s, column);
	return str_mk(p ? p : "", (size_t)sqlite3_column_bytes(s, column));
}

static void lite_end(void *cursor)
{
	struct cursor *cur = cursor;
	release(cur->stmt, cur->kept);
	free(cur);
}

/* ---- transactions ---- */

static enum err step_plain(struct conn *c, const char *sql, struct errtext *et)
{
	return lite_exec(c, sql, NULL, 0, NULL, et);
}

static enum err lite_begin(void *ctx, enum tx_kind kind, void **conn, struct errtext *et)
{
	struct sqlite *db = ctx;
	void *lent;
	enum err e = lender_take(kind == TX_WRITE ? &db->for_writer : &db->for_reader, &lent, et);
	if (e)
		return e;
	struct conn *c = lent;
	if (!c->h)
		e = conn_open(c, et);
	if (e) {
		give_back(c);
		return e;
	}
	e = step_plain(c, kind == TX_WRITE ? "BEGIN IMMEDIATE" : "BEGIN", et);
	if (!e && kind == TX_READ) {
		e = step_plain(c, "SELECT 1 FROM sqlite_schema LIMIT 1", et);
		if (e)
			step_plain(c, "ROLLBACK", NULL);
	}
	if (e) {
		give_back(c);
		return e;
	}
	*conn = c;
	return OK;
}

static void lite_rollback(void *conn)
{
	struct conn *c = conn;
	/* Some failures (a full disk) have rolled back already. */
	if (!sqlite3_get_autocommit(c->h) && step_plain(c, "ROLLBACK", NULL))
		run(c, "ROLLBACK");
	give_back(c);
}

static enum err lite_commit(void *conn, struct errtext *et)
{
	struct conn *c = conn;
	enum err e =
		sqlite3_get_autocommit(c->h)
			? err_set(et, ERR_INTERNAL, "the transaction had ended before its commit")
			: step_plain(c, "COMMIT", et);
	if (e) {
		lite_rollback(c);
		return e;
	}
	give_back(c);
	return OK;
}

static enum err lite_check(void *ctx, bool full, struct errtext *et)
{
	void *conn, *cursor;
	enum err e = lite_begin(ctx, TX_READ, &conn, et);
	if (e)
		return e;
	e = lite_query(conn, full ? "PRAGMA integrity_check(1)" : "PRAGMA quick_check(1)", NULL, 0,
		&cursor, et);
	if (!e) {
		if (lite_next(cursor, &e, et) && !str_eq(lite_text(cursor, 0), S("ok")))
			e = err_set(et, ERR_CORRUPT, "the database %s is damaged: %.*s",
				((struct sqlite *)ctx)->path, STR_FMT(lite_text(cursor, 0)));
		lite_end(cursor);
	}
	lite_rollback(conn);
	return e;
}

const struct db_backend db_sqlite = {
	.scheme = "sqlite",
	.open = lite_open,
	.close = lite_close,
	.set_wait = lite_set_wait,
	.check = lite_check,
	.begin = lite_begin,
	.commit = lite_commit,
	.rollback = lite_rollback,
	.tables_sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND "
		      "substr(name, 1, 7) <> 'sqlite_' ORDER BY name",
	.columns_sql = "SELECT name, type, pk FROM pragma_table_info(?) ORDER BY cid",
	.references_sql = "SELECT DISTINCT \"table\" FROM pragma_foreign_key_list(?)",
	.exec = lite_exec,
	.script = lite_script,
	.query = lite_query,
	.next = lite_next,
	.columns = lite_columns,
	.is_null = lite_is_null,
	.i64 = lite_i64,
	.f64 = lite_f64,
	.text = lite_text,
	.blob = lite_blob,
	.end = lite_end,
};
