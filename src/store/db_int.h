/* What a database backend is: a scheme and a table of functions (one static const struct for each
 * backend, listed in db.c). Everything that all backends share (the checks on parameters,
 * transactions that may no longer commit, rows that outlive their transaction, migrations) is in
 * db.c, so that a backend holds only what is its own. To add one: its file, one line in db.c.
 *
 * A backend's connection serves one thread at a time; `begin` hands it out and `commit` or
 * `rollback` takes it back. */
#ifndef STORE_DB_INT_H
#define STORE_DB_INT_H
#include "store/db.h"

struct db_backend {
	const char *scheme; /* "sqlite": what stands before the colon of the URL */
	const char *alias;  /* another word for it, or NULL */

	/* `at` is what follows the scheme and its colon; `life` names this struct db, in hex. */
	enum err (*open)(const char *at, const char *life, void **ctx, struct errtext *et);
	void (*close)(void *ctx); /* no transaction is open */
	void (*set_wait)(void *ctx, uint32_t wait_ms);
	/* See db_beside; NULL: unsupported. */
	enum err (*beside)(void *ctx, const char *const *sql, size_t n, const struct cancel *cancel,
		struct errtext *et);
	/* Reads the whole database (only its structure when not `full`); ERR_CORRUPT says what. */
	enum err (*check)(void *ctx, bool full, struct errtext *et);

	/* Waits for a free connection, at most the wait that was set, then ERR_BUSY. TX_READ sees
	 * one state of the database throughout: the one at `begin`. */
	enum err (*begin)(void *ctx, enum tx_kind kind, void **conn, struct errtext *et);
	/* Both give the connection back; after a failed commit nothing of the transaction stands.
	 */
	enum err (*commit)(void *conn, struct errtext *et);
	void (*rollback)(void *conn);

	bool (*alone)(void *ctx); /* see db.h; NULL: always */
	/* What several servers need; all NULL for a database that only one process uses. */
	const char *lock_rows, *skip_locked; /* what a SELECT ends with */
	const char *now_sql;                 /* the server's clock, in ms since 1970 */
	const char *lives_sql;               /* a row: the struct db with the life ? is connected */
	enum err (*announce)(void *conn, struct errtext *et); /* wakes `wait` after the commit */
	/* Until a commit was announced, wake_fd can be read, or the time is over. */
	void (*wait)(void *ctx, int wake_fd, unsigned timeout_ms);

	/* For backups: names of all tables; of the table ?: name, type and place in the primary key
	 * (0: none) of each column in order; names of the tables that the table ? refers to. */
	const char *tables_sql, *columns_sql, *references_sql;

	/* One statement; `changes` may be NULL. Parameters have been checked by db.c. */
	enum err (*exec)(void *conn, const char *sql, const struct param *p, size_t n,
		int64_t *changes, struct errtext *et);
	/* Any number of statements without parameters, in the portable types of db.h. */
	enum err (*script)(void *conn, const char *sql, struct errtext *et);
	/* The parameters are not needed after the call. */
	enum err (*query)(void *conn, const char *sql, const struct param *p, size_t n,
		void **cursor, struct errtext *et);
	bool (*next)(void *cursor, enum err *e, struct errtext *et);
	int (*columns)(void *cursor);
	bool (*is_null)(void *cursor, int column);
	int64_t (*i64)(void *cursor, int column);
	double (*f64)(void *cursor, int column);
	struct str (*text)(void *cursor, int column);
	struct str (*blob)(void *cursor, int column);
	void (*end)(void *cursor);
};

extern const struct db_backend db_sqlite, db_postgres;

/* For group.c: parts of a write transaction that can be undone alone. */
enum err tx_savepoint(struct tx *tx, struct errtext *et);
enum err tx_release(struct tx *tx, struct errtext *et); /* keep what was done since */
enum err tx_undo(struct tx *tx, struct errtext *et);    /* undo it; statements may run again */
void tx_guard(struct tx *tx, bool on); /* while on, the transaction may not be ended */
enum err tx_failure(const struct tx *tx, struct errtext *et); /* of an earlier statement */

/* For schema.c: one transaction makes a whole database. */
struct schema_part;
const struct db_backend *tx_backend(struct tx *tx);
enum err tx_script(struct tx *tx, const char *sql, struct errtext *et); /* without a time limit */
enum err migration_begin(struct tx *tx, struct errtext *et); /* the table that records them */
enum err migration_apply(
	struct tx *tx, const char *module, const struct migration *m, struct errtext *et);
struct schema_part migration_own(void);

/* For notify.c and queue.c. */
struct str tx_origin(struct tx *tx); /* names the struct db, whatever the process or machine */
struct str tx_server(struct tx *tx); /* "HOME.LIFE", see queue.c; HOME is empty: it has none */
/* Whether the server of that name may live still. */
enum err tx_lives(struct tx *tx, struct str server, bool *lives, struct errtext *et);
enum err tx_announce(struct tx *tx, struct errtext *et);
enum err tx_now_ms(struct tx *tx, int64_t *now, struct errtext *et);
const char *tx_lock_rows(struct tx *tx);
const char *tx_skip_locked(struct tx *tx);
struct notifier *db_notifier(struct db *db);
bool db_wait_notice(
	struct db *db, int wake_fd, unsigned timeout_ms); /* false: nothing to wait for */
struct notifier *notifier_new(struct db *db);
void notifier_wake(struct notifier *n);
void notifier_free(struct notifier *n); /* accepts NULL; ends its thread */

struct group;
struct group *group_new(void);
void group_free(struct group *g);
enum err group_write(struct db *db, struct group *g,
	enum err (*fn)(struct tx *tx, void *ctx, struct errtext *et), void *ctx,
	struct errtext *et);

#endif
