/* Metadata: one SQL database, chosen by URL ("sqlite:/path/croft.db"; PostgreSQL joins behind the
 * same table of functions). Statements use ? parameters only; text is never pasted into SQL.
 *
 * A struct db is a pool: db_tx takes a connection, and one writer at a time (others wait, up to a
 * limit). What db_tx_commit acknowledged survives kill -9 and power loss.
 *
 *	struct tx *tx;
 *	enum err e = db_begin(db, TX_WRITE, &tx, et);
 *	struct row *r;
 *	e = db_query(tx, &r, et, "SELECT id, name FROM model WHERE kind = ?", P_TEXT(S("llm")));
 *	while (!e && row_next(r, &e, et))
 *		use(row_text(r, 1));
 *	row_free(r);
 *	e = db_exec(tx, et, "UPDATE model SET used_ms = ? WHERE id = ?", P_I64(now), P_BLOB(id));
 *	e = db_commit(tx, et);        // or db_rollback(tx); both free tx
 *
 * A transaction in which a statement failed can only be rolled back: later statements and
 * db_commit give that failure again. What may collide is said in SQL (ON CONFLICT ...). Text must
 * be UTF-8 without NUL (ERR_INVALID). A thread holds one write transaction at a time. */
#ifndef STORE_DB_H
#define STORE_DB_H
#include "base/id.h"
#include "base/thread.h"

struct db;
struct tx;
struct row;

/* TX_LEASE is queue.c's: it writes without excluding others where the database can lock rows. */
enum tx_kind { TX_READ, TX_WRITE, TX_LEASE };

enum param_kind { PARAM_NULL, PARAM_I64, PARAM_F64, PARAM_TEXT, PARAM_BLOB };
struct param {
	enum param_kind kind;
	int64_t i;
	double f;
	struct str s;
};
#define P_NULL ((struct param){PARAM_NULL, 0, 0, {0}})
#define P_I64(v) ((struct param){PARAM_I64, (v), 0, {0}})
/* NaN becomes NULL: SQLite has none. */
#define P_F64(v) ((struct param){PARAM_F64, 0, (v), {0}})
#define P_TEXT(v) ((struct param){PARAM_TEXT, 0, 0, (v)}) /* .p NULL is SQL NULL */
#define P_BLOB(v) ((struct param){PARAM_BLOB, 0, 0, (v)})
#define P_ID(v) ((struct param){PARAM_BLOB, 0, 0, str_mk((v).b, 16)}) /* v: an lvalue struct id */

enum err db_open(const char *url, struct db **out, struct errtext *et) MUST_CHECK;
void db_close(struct db *db);                      /* accepts NULL; every transaction has ended */
void db_set_wait(struct db *db, uint32_t wait_ms); /* how long db_begin waits; 30,000 at first */
/* No other server has this database open now; false when that cannot be found out. What a start
 * cleans up of a process that died must not be another server's. */
bool db_alone(struct db *db);
bool db_is(const struct db *db, const char *scheme); /* "sqlite", "postgres" */
/* For what a large database does beside its transactions (an index that is built while others
 * write): the statements one after the other, each by itself, on a connection of their own and
 * without a time limit. They are the database's own SQL. ERR_UNSUPPORTED: it has no such thing. */
enum err db_beside(struct db *db, const char *const *sql, size_t n, const struct cancel *cancel,
	struct errtext *et) MUST_CHECK;
/* The server's name that outlives its process: of what one process at a time can have, such as a
 * locked data directory. The next life of it takes back what this one had leased (queue.h). */
void db_set_home(struct db *db, struct id home);
/* Reads everything (only the structure when not `full`) and says what is damaged: ERR_CORRUPT. */
enum err db_check(struct db *db, bool full, struct errtext *et) MUST_CHECK;

enum err db_begin(struct db *db, enum tx_kind kind, struct tx **out, struct errtext *et) MUST_CHECK;
enum err db_commit(struct tx *tx, struct errtext *et) MUST_CHECK;
void db_rollback(struct tx *tx); /* accepts NULL */
/* As its work went: commits when e is OK, else rolls back and returns e. */
enum err db_finish(struct tx *tx, enum err e, struct errtext *et) MUST_CHECK;

/* For small hot writes: runs fn inside a write transaction that other threads' calls may share,
 * and returns when that is committed. fn runs in the thread of any of them, so it takes what it
 * needs from ctx; when it fails, what it did is undone, the others' stands, and its error comes
 * back here. It may run again after a commit that failed, so it changes nothing but the database
 * (and what it writes to ctx, it writes anew), and it neither commits nor rolls back. A caller
 * holds no write transaction. ERR_BUSY when too many wait. */
enum err db_write(struct db *db, enum err (*fn)(struct tx *tx, void *ctx, struct errtext *et),
	void *ctx, struct errtext *et) MUST_CHECK;

enum err db_exec_n(struct tx *tx, struct errtext *et, const char *sql, const struct param *p,
	size_t n) MUST_CHECK;
enum err db_query_n(struct tx *tx, struct row **out, struct errtext *et, const char *sql,
	const struct param *p, size_t n) MUST_CHECK;
#define db_exec(tx, et, sql, ...)                                                 \
	db_exec_n(tx, et, sql, (const struct param[]){P_NULL, ##__VA_ARGS__} + 1, \
		sizeof((const struct param[]){P_NULL, ##__VA_ARGS__}) / sizeof(struct param) - 1)
#define db_query(tx, out, et, sql, ...)                                                 \
	db_query_n(tx, out, et, sql, (const struct param[]){P_NULL, ##__VA_ARGS__} + 1, \
		sizeof((const struct param[]){P_NULL, ##__VA_ARGS__}) / sizeof(struct param) - 1)
int64_t db_changes(struct tx *tx); /* rows of the last db_exec */

/* One statement in a write transaction of its own; *n (may be NULL): how many rows it changed. */
enum err db_change_n(struct db *db, int64_t *n, struct errtext *et, const char *sql,
	const struct param *p, size_t n_p) MUST_CHECK;
#define db_change(db, n, et, sql, ...)                                                 \
	db_change_n(db, n, et, sql, (const struct param[]){P_NULL, ##__VA_ARGS__} + 1, \
		sizeof((const struct param[]){P_NULL, ##__VA_ARGS__}) / sizeof(struct param) - 1)

/* Each text of a query's first column; until fn fails. The text lasts for the call. */
enum err db_each_text(struct tx *tx, const char *sql, enum err (*fn)(void *ctx, struct str text),
	void *ctx, struct errtext *et) MUST_CHECK;

bool row_next(struct row *r, enum err *e, struct errtext *et); /* false at the end or on error */
bool row_null(struct row *r, int column);
int64_t row_i64(struct row *r, int column);
double row_f64(struct row *r, int column);
struct str row_text(struct row *r, int column); /* borrowed until the next row_next/row_free */
struct str row_blob(struct row *r, int column);
struct id row_id(struct row *r, int column);
void row_free(struct row *r); /* accepts NULL */

/* A table whose name begins with derived_ is made from others whenever it is missing: it is in no
 * backup and no copy, and what makes it is no migration.
 *
 * Migrations: append only; each module has its own numbering from 1. Applied in one transaction
 * each, recorded with the statement's hash; a changed old one is refused. */
struct migration {
	int number;
	const char *name;
	const char
		*sql; /* several statements; portable SQL: BIGINT, DOUBLE PRECISION, TEXT, BLOB */
};
enum err db_migrate(struct db *db, const char *module, const struct migration *m, size_t n,
	struct errtext *et) MUST_CHECK;
/* The store's own tables (notify.h, queue.h): once after db_open, before modules migrate. */
enum err db_migrate_own(struct db *db, struct errtext *et) MUST_CHECK;

#endif
