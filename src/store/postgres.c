/* PostgreSQL behind struct db_backend: "postgres://user:password@host:port/database?..." or
 * "postgres:host=... dbname=..." (whatever libpq takes).
 *
 *  1. A write transaction first takes one advisory lock of its schema. The schema is the unit that
 *     is shared: one writer at a time among all servers that use it, as db.h promises. Inside one
 *     process writers wait for the one writing connection, in the order in which they came.
 *  2. A read transaction is REPEATABLE READ READ ONLY, and its snapshot is taken at begin.
 *  3. A commit whose answer was lost is looked up: the transaction's number was asked for when it
 *     began, and the server knows what became of it. Only when no server answers in time is the
 *     outcome unknown, and then the error says so.
 *  4. A connection that turns out dead at begin is made anew, once; nothing has been done with it
 *     yet. Inside a transaction its loss is ERR_NETWORK, which can be tried again.
 *  5. Rows stream: at most one query is being read from a connection. When another statement
 *     needs it, the rest of that query is put into memory first.
 *  6. Values travel in binary form, so that numbers are exact; statements are prepared once for a
 *     connection and its parameter types. */
#include "store/pg_int.h"
#include "base/clock.h"
#include "base/map.h"
#include "store/lend.h"

#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	READERS = LEND_MAX,
	LEASERS = 2, /* connections for TX_LEASE */
	STATEMENTS_KEPT = 192,
	PARAMS_MAX = 1024,
	VALUE_MAX = 1 << 30, /* what a field of PostgreSQL can hold */
	RECONNECT_MS = 2000, /* a begin waits this long for a server that went away */
	OUTCOME_MS = 10000,  /* a commit waits this long to learn what became of it */
};

struct postgres {
	char *conninfo;
	char life[ID_HEX + 1];
	unsigned wait_ms;
	struct conn *conns[1 + LEASERS + READERS];
	struct lender lenders[3]; /* by enum tx_kind */
	struct conn *listener;    /* not lent: the one thread that waits for notices */
};

struct kept {
	char name[24];
	unsigned params;
	uint64_t used;
};

struct conn {
	struct postgres *db;
	PGconn *pg; /* NULL: not connected */
	enum tx_kind kind;
	unsigned wait_ms;      /* that the server knows of */
	struct map kept;       /* types and SQL -> struct kept */
	uint64_t tick;         /* of statements; also names them */
	struct cursor *stream; /* the query whose rows are still arriving */
	bool pending;          /* an answer that nobody has looked at: ROLLBACK's */
	char xid[24];          /* of the write transaction */
};

struct cursor {
	struct conn *c;
	int columns;
	unsigned *types;
	struct pg_cell *cells; /* of the present row */
	char (*printed)[40];   /* numbers asked for as text */
	PGresult *row;         /* owns the cells while streaming */
	bool fresh;            /* row has come but was not yet handed out */
	struct buf rest;       /* rows put into memory: for each cell its length and bytes */
	size_t at;             /* in rest */
	enum err failed;
	struct errtext why;
};

/* ---- errors ---- */

/* https://www.postgresql.org/docs/15/errcodes-appendix.html; a class stands for all its codes */
static const struct {
	const char *state;
	enum err e;
} states[] = {
	{"57014", ERR_TIMEOUT}, /* statement timeout */
	{"25P03", ERR_TIMEOUT}, /* idle in transaction */
	{"55P03", ERR_BUSY},    /* lock not available */
	{"25006", ERR_FORBIDDEN},
	{"42501", ERR_FORBIDDEN},
	{"53100", ERR_NO_SPACE},
	{"53200", ERR_NOMEM},
	{"57P01", ERR_NETWORK}, /* the server stops, ... */
	{"57P02", ERR_NETWORK}, /* has crashed, ... */
	{"57P03", ERR_NETWORK}, /* or starts */
	{"3D000", ERR_NOT_FOUND},
	{"08", ERR_NETWORK},
	{"22", ERR_INVALID},
	{"23", ERR_CONFLICT},
	{"28", ERR_NETWORK}, /* it does not let us in: to a client that is a bad gateway */
	{"40", ERR_BUSY},    /* serialization, deadlock */
	{"53", ERR_BUSY},
	{"54", ERR_TOO_LARGE},
	{"58", ERR_IO},
	{"XX001", ERR_CORRUPT},
	{"XX002", ERR_CORRUPT},
};

static enum err err_of(const char *state)
{
	for (size_t i = 0; state && i < ARRAY_LEN(states); i++)
		if (strncmp(state, states[i].state, strlen(states[i].state)) == 0)
			return states[i].e;
	return ERR_INTERNAL;
}

static struct str first_line(const char *text)
{
	struct str rest = str_c(text), line = {0};
	str_next_line(&rest, &line);
	return line;
}

static bool lost(const struct conn *c)
{
	return PQstatus(c->pg) != CONNECTION_OK;
}

/* The server's own sentence: it names tables and constraints, never values. */
static enum err fail(struct conn *c, const PGresult *r, const char *doing, struct errtext *et)
{
	const char *state = r ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;
	const char *text = r ? PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY) : NULL;
	const char *at = r ? PQresultErrorField(r, PG_DIAG_SOURCE_FUNCTION) : NULL;
	enum err e = state ? err_of(state) : lost(c) ? ERR_NETWORK : ERR_INTERNAL;
	if (at && strcmp(at, "RevalidateCachedQuery") == 0)
		e = ERR_BUSY; /* a table changed under a prepared statement: again, and it is new */
	struct str line = text ? str_c(text) : first_line(PQerrorMessage(c->pg));
	return err_set(et, e, "%s: %.*s", doing, STR_FMT(line));
}

/* ---- connecting ---- */

static void forget_statements(struct conn *c)
{
	struct str key;
	void *v;
	for (size_t i = 0; map_next(&c->kept, &i, &key, &v);)
		free(v);
	map_free(&c->kept);
}

static void disconnect(struct conn *c)
{
	forget_statements(c);
	PQfinish(c->pg);
	c->pg = NULL;
	c->stream = NULL;
	c->pending = false;
}

/* Whatever the URL says wins over what stands before it, and what stands after it wins over it. */
static PGconn *dial(const char *conninfo)
{
	static const char *const keys[] = {"connect_timeout", "keepalives_idle",
		"keepalives_interval", "keepalives_count", "tcp_user_timeout",
		"target_session_attrs", "fallback_application_name", "dbname", "client_encoding",
		NULL};
	const char *const values[] = {
		"5", "10", "5", "3", "30000", "read-write", "croft", conninfo, "UTF8", NULL};
	return PQconnectdbParams(keys, values, 1);
}

static PGresult *simple(struct conn *c, const char *sql)
{
	return PQexec(c->pg, sql);
}

static bool good(const PGresult *r)
{
	ExecStatusType s = PQresultStatus(r);
	return s == PGRES_TUPLES_OK || s == PGRES_COMMAND_OK;
}

static enum err do_plain(struct conn *c, const char *sql, const char *doing, struct errtext *et)
{
	PGresult *r = simple(c, sql);
	enum err e = good(r) ? OK : fail(c, r, doing, et);
	PQclear(r);
	return e;
}

/* The schema that search_path names first does not exist yet. */
static enum err make_schema(struct conn *c, const char *search_path, struct errtext *et)
{
	struct str rest = str_c(search_path), name = {0};
	str_next(&rest, ',', &name);
	name = str_trim(name);
	if (name.n > 2 && name.p[0] == '"')
		name = str_sub(name, 1, name.n - 1);
	if (!name.n || name.p[0] == '$')
		return err_set(et, ERR_INVALID,
			"the database has no schema to use: search_path is \"%s\"", search_path);
	char *quoted = PQescapeIdentifier(c->pg, name.p, name.n);
	struct buf sql = {0};
	buf_addf(&sql, "CREATE SCHEMA IF NOT EXISTS %s", quoted ? quoted : "");
	PQfreemem(quoted);
	PGresult *r = simple(c, buf_c(&sql));
	const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
	/* Two servers may start at once: unique_violation means that the other one made it. */
	enum err e = good(r) || (state && strcmp(state, "23505") == 0)
			     ? OK
			     : fail(c, r, "making the schema", et);
	PQclear(r);
	buf_free(&sql);
	return e;
}

/* What the administrator or the URL has set stays, but for what the promises need. */
static const char set_up_sql[] =
	"SELECT current_schema(), current_setting('search_path'), "
	"current_setting('server_encoding'),"
	"CASE WHEN current_setting('synchronous_commit') = 'off' THEN "
	"set_config('synchronous_commit', 'on', false) END,"
	"CASE WHEN current_setting('statement_timeout') = '0' THEN "
	"set_config('statement_timeout', '120s', false) END,"
	"CASE WHEN current_setting('idle_in_transaction_session_timeout') = '0' THEN "
	"set_config('idle_in_transaction_session_timeout', '300s', false) END,"
	"set_config('standard_conforming_strings', 'on', false),"
	"set_config('client_min_messages', 'error', false), set_config('jit', 'off', false)";

static enum err set_up(struct conn *c, struct errtext *et)
{
	PGresult *r = simple(c, set_up_sql);
	enum err e = good(r) ? OK : fail(c, r, "PostgreSQL", et);
	if (!e && strcmp(PQgetvalue(r, 0, 2), "UTF8") != 0)
		e = err_set(et, ERR_INVALID,
			"the database's encoding is %s, UTF8 is needed: make it with "
			"CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0",
			PQgetvalue(r, 0, 2));
	if (!e && PQgetisnull(r, 0, 0))
		e = make_schema(c, PQgetvalue(r, 0, 1), et);
	PQclear(r);
	return e;
}

/* Held by the writing connection of each server as long as that lives: how others see it. */
#define SERVER_LOCK "1668181621, hashtext(current_schema())"

/* Held by every connection: PostgreSQL lets go of it when the process has died. */
#define LIFE_LOCK 1668181622

static enum err hold_life(struct conn *c, struct errtext *et)
{
	char sql[120];
	snprintf(sql, sizeof sql, "SELECT pg_advisory_lock_shared(%d, hashtext('%s'))", LIFE_LOCK,
		c->db->life);
	return do_plain(c, sql, "PostgreSQL", et);
}

static enum err connect_once(struct conn *c, struct errtext *et)
{
	disconnect(c);
	c->pg = dial(c->db->conninfo);
	if (!c->pg)
		return err_set(et, ERR_NOMEM, "no memory for a connection");
	c->wait_ms = 0;
	enum err e = OK;
	if (lost(c))
		e = err_set(et, ERR_NETWORK, "PostgreSQL: %.*s",
			STR_FMT(first_line(PQerrorMessage(c->pg))));
	if (!e)
		e = set_up(c, et);
	if (!e && c->kind == TX_WRITE)
		e = do_plain(
			c, "SELECT pg_advisory_lock_shared(" SERVER_LOCK ")", "PostgreSQL", et);
	if (!e)
		e = hold_life(c, et);
	if (e)
		disconnect(c);
	return e;
}

/* A server that restarts is away for a moment. */
static enum err connect_within(struct conn *c, unsigned limit_ms, struct errtext *et)
{
	uint64_t stop = clock_mono_ns() + limit_ms * 1000000ull;
	enum err e;
	for (unsigned pause = 20; (e = connect_once(c, et)) == ERR_NETWORK; pause *= 2) {
		if (clock_mono_ns() + pause * 1000000ull > stop)
			break;
		clock_sleep_ms(pause);
	}
	return e;
}

static struct conn *conn_new(struct postgres *db, enum tx_kind kind)
{
	struct conn *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->db = db;
	c->kind = kind;
	return c;
}

static void conn_free(struct conn *c)
{
	if (c)
		disconnect(c);
	free(c);
}

static void db_free(struct postgres *db)
{
	for (unsigned i = 0; i < ARRAY_LEN(db->conns); i++)
		conn_free(db->conns[i]);
	conn_free(db->listener);
	for (unsigned i = 0; i < ARRAY_LEN(db->lenders); i++)
		lender_release(&db->lenders[i]);
	free(db->conninfo);
	free(db);
}

static enum err make_conns(struct postgres *db, struct errtext *et)
{
	db->listener = conn_new(db, TX_READ);
	bool all = db->listener != NULL;
	for (unsigned i = 0; all && i < ARRAY_LEN(db->conns); i++) {
		enum tx_kind kind = !i ? TX_WRITE : i <= LEASERS ? TX_LEASE : TX_READ;
		db->conns[i] = conn_new(db, kind);
		all = db->conns[i] != NULL;
		if (all)
			lender_give(&db->lenders[kind], db->conns[i]);
	}
	return all ? OK : err_set(et, ERR_NOMEM, "no memory for the database");
}

/* libpq's own message about a URL that it cannot read may hold parts of the password. */
static enum err check_conninfo(const char *conninfo, struct errtext *et)
{
	PQconninfoOption *o = PQconninfoParse(conninfo, NULL);
	if (!o)
		return err_set(et, ERR_INVALID,
			"the database's URL cannot be read: its form is "
			"postgres://user:password@host:port/database, with %%-escapes for what is "
			"special");
	PQconninfoFree(o);
	return OK;
}

static enum err pg_open(const char *at, const char *life, void **ctx, struct errtext *et)
{
	struct buf text = {0};
	buf_addf(&text, "%s%s", at[0] == '/' && at[1] == '/' ? "postgres:" : "", at);
	char *conninfo = buf_take(&text);
	struct postgres *db = conninfo ? calloc(1, sizeof *db) : NULL;
	if (!db) {
		free(conninfo);
		return err_set(et, ERR_NOMEM, "no memory for the database");
	}
	db->conninfo = conninfo;
	snprintf(db->life, sizeof db->life, "%s", life);
	db->wait_ms = LEND_WAIT_MS;
	for (unsigned i = 0; i < ARRAY_LEN(db->lenders); i++)
		lender_init(&db->lenders[i]);
	enum err e = check_conninfo(conninfo, et);
	if (!e)
		e = make_conns(db, et);
	if (!e)
		e = connect_once(db->conns[0], et);
	if (e) {
		db_free(db);
		return e;
	}
	*ctx = db;
	return OK;
}

static void pg_close(void *ctx)
{
	db_free(ctx);
}

static void pg_set_wait(void *ctx, uint32_t wait_ms)
{
	struct postgres *db = ctx;
	db->wait_ms = wait_ms;
	for (unsigned i = 0; i < ARRAY_LEN(db->lenders); i++)
		lender_set_wait(&db->lenders[i], wait_ms);
}

/* ---- the one stream ---- */

static void settle(struct conn *c)
{
	PGresult *r;
	while (c->pending && (r = PQgetResult(c->pg)))
		PQclear(r);
	c->pending = false;
}

static void keep_row(struct cursor *cur)
{
	for (int i = 0; i < cur->columns; i++) {
		bool null = PQgetisnull(cur->row, 0, i);
		int n = null ? -1 : PQgetlength(cur->row, 0, i);
		buf_add(&cur->rest, &n, sizeof n);
		if (n > 0)
			buf_add(&cur->rest, PQgetvalue(cur->row, 0, i), (size_t)n);
	}
	if (cur->rest.err && !cur->failed)
		cur->failed = err_set(&cur->why, cur->rest.err, "no memory for a query's rows");
}

/* The next row into cur->row; false at the end, when the connection is free again. */
static bool arrive(struct cursor *cur)
{
	struct conn *c = cur->c;
	PQclear(cur->row);
	cur->row = PQgetResult(c->pg);
	if (PQresultStatus(cur->row) == PGRES_SINGLE_TUPLE)
		return true;
	if (!good(cur->row) && !cur->failed)
		cur->failed = fail(c, cur->row, "the database", &cur->why);
	PQclear(cur->row);
	cur->row = NULL;
	c->pending = true;
	settle(c);
	c->stream = NULL;
	return false;
}

/* Makes the connection free for another statement. The row that the caller looks at stays. */
static void put_aside(struct conn *c)
{
	settle(c);
	struct cursor *cur = c->stream;
	if (!cur)
		return;
	PGresult *present = NULL;
	if (cur->fresh) {
		keep_row(cur);
		cur->fresh = false;
	} else {
		present = cur->row;
		cur->row = NULL;
	}
	while (arrive(cur))
		keep_row(cur);
	cur->row = present;
}

/* ---- statements ---- */

static enum err check_count(unsigned wanted, size_t n, struct errtext *et)
{
	if (wanted != n)
		return err_set(et, ERR_INTERNAL, "SQL: %u parameters wanted, %zu given", wanted, n);
	return OK;
}

struct bound {
	Oid types[PARAMS_MAX];
	const char *values[PARAMS_MAX];
	int lengths[PARAMS_MAX], formats[PARAMS_MAX];
	char room[PARAMS_MAX][8];
};

static enum err bind(struct bound *b, const struct param *p, size_t n, struct errtext *et)
{
	if (n > PARAMS_MAX)
		return err_set(et, ERR_INTERNAL, "SQL: more than %d parameters", PARAMS_MAX);
	for (size_t i = 0; i < n; i++) {
		struct pg_cell v;
		if (p[i].s.n > VALUE_MAX)
			return err_set(et, ERR_TOO_LARGE, "a value is larger than 1 GiB");
		b->types[i] = pg_param(&p[i], b->room[i], &v);
		b->values[i] = v.p;
		b->lengths[i] = v.n;
		b->formats[i] = 1;
	}
	return OK;
}

static void forget_one(struct conn *c)
{
	struct str key, oldest_key = {0};
	struct kept *oldest = NULL;
	void *v;
	for (size_t i = 0; map_next(&c->kept, &i, &key, &v);) {
		struct kept *k = v;
		if (!oldest || k->used < oldest->used) {
			oldest = k;
			oldest_key = key;
		}
	}
	if (!oldest)
		return;
	char sql[64];
	snprintf(sql, sizeof sql, "DEALLOCATE %s", oldest->name);
	PQclear(simple(c, sql));
	map_del(&c->kept, oldest_key);
	free(oldest);
}

static enum err prepare(struct conn *c, const char *sql, const struct bound *b, size_t n,
	struct kept *k, struct errtext *et)
{
	struct buf text = {0};
	enum err e = pg_statement(str_c(sql), &text, &k->params, et);
	if (!e)
		e = check_count(k->params, n, et);
	if (!e && !str_trim(str_c(sql)).n)
		e = err_set(et, ERR_INTERNAL, "SQL: exactly one statement was expected");
	if (!e) {
		snprintf(k->name, sizeof k->name, "s%llu", (unsigned long long)++c->tick);
		PGresult *r = PQprepare(c->pg, k->name, buf_c(&text), (int)n, b->types);
		if (!good(r))
			e = fail(c, r, "SQL", et);
		PQclear(r);
	}
	buf_free(&text);
	return e;
}

/* The prepared statement for this text and these types. */
static enum err statement(struct conn *c, const char *sql, const struct bound *b, size_t n,
	struct kept **out, struct errtext *et)
{
	struct buf key = {0};
	for (size_t i = 0; i < n; i++)
		buf_addf(&key, "%u,", b->types[i]);
	buf_addf(&key, ":%s", sql);
	struct kept *k = map_get(&c->kept, buf_str(&key));
	enum err e = OK;
	if (!k) {
		if (c->kept.n >= STATEMENTS_KEPT)
			forget_one(c);
		k = calloc(1, sizeof *k);
		e = k ? prepare(c, sql, b, n, k, et) : err_set(et, ERR_NOMEM, "no memory");
		if (!e && !map_put(&c->kept, buf_str(&key), k))
			e = err_set(et, ERR_NOMEM, "no memory for a statement");
		if (e)
			free(k);
	}
	buf_free(&key);
	if (e)
		return e;
	k->used = ++c->tick;
	*out = k;
	return OK;
}

static enum err pg_exec(void *conn, const char *sql, const struct param *p, size_t n,
	int64_t *changes, struct errtext *et)
{
	struct conn *c = conn;
	struct bound b;
	struct kept *k;
	put_aside(c);
	enum err e = bind(&b, p, n, et);
	if (!e)
		e = statement(c, sql, &b, n, &k, et);
	if (e)
		return e;
	PGresult *r = PQexecPrepared(c->pg, k->name, (int)n, b.values, b.lengths, b.formats, 1);
	if (!good(r)) {
		e = PQresultStatus(r) == PGRES_EMPTY_QUERY
			    ? err_set(et, ERR_INTERNAL, "SQL: exactly one statement was expected")
			    : fail(c, r, "the database", et);
	} else if (changes) {
		int64_t rows = 0;
		bool read = strncmp(PQcmdStatus(r), "SELECT", 6) == 0;
		*changes = !read && str_i64(str_c(PQcmdTuples(r)), &rows) ? rows : 0;
	}
	PQclear(r);
	return e;
}

static enum err pg_run_script(void *conn, const char *sql, struct errtext *et)
{
	struct conn *c = conn;
	struct buf text = {0};
	put_aside(c);
	buf_addc(&text, "SET LOCAL statement_timeout = 0;");
	enum err e = pg_script(str_c(sql), &text, et);
	if (!e)
		e = do_plain(c, buf_c(&text), "the database", et);
	buf_free(&text);
	forget_statements(c); /* what they return may have changed */
	return e;
}

/* ---- queries ---- */

static void cursor_free(struct cursor *cur)
{
	PQclear(cur->row);
	buf_free(&cur->rest);
	free(cur->types);
	free(cur->cells);
	free(cur->printed);
	free(cur);
}

static void pg_end(void *cursor)
{
	struct cursor *cur = cursor;
	if (cur->c->stream == cur)
		while (arrive(cur))
			;
	cursor_free(cur);
}

/* The first answer tells the columns, also when there are no rows. */
static enum err describe(struct cursor *cur, const PGresult *first, struct errtext *et)
{
	cur->columns = PQnfields(first);
	size_t n = (size_t)cur->columns + 1;
	cur->types = calloc(n, sizeof *cur->types);
	cur->cells = calloc(n, sizeof *cur->cells);
	cur->printed = calloc(n, sizeof *cur->printed);
	if (!cur->types || !cur->cells || !cur->printed)
		return err_set(et, ERR_NOMEM, "no memory for a query");
	for (int i = 0; i < cur->columns; i++)
		cur->types[i] = PQftype(first, i);
	return OK;
}

static enum err start(
	struct cursor *cur, const char *name, const struct bound *b, size_t n, struct errtext *et)
{
	struct conn *c = cur->c;
	if (!PQsendQueryPrepared(c->pg, name, (int)n, b->values, b->lengths, b->formats, 1) ||
		!PQsetSingleRowMode(c->pg))
		return fail(c, NULL, "the database", et);
	c->stream = cur;
	PGresult *first = PQgetResult(c->pg);
	ExecStatusType s = PQresultStatus(first);
	enum err e = OK;
	if (s == PGRES_SINGLE_TUPLE || s == PGRES_TUPLES_OK)
		e = describe(cur, first, et);
	else if (s == PGRES_EMPTY_QUERY || s == PGRES_COMMAND_OK)
		e = err_set(et, ERR_INTERNAL, "SQL: a query was expected");
	else
		e = fail(c, first, "the database", et);
	if (!e && s == PGRES_SINGLE_TUPLE) {
		cur->row = first;
		cur->fresh = true;
		return OK;
	}
	PQclear(first);
	c->pending = true;
	settle(c);
	c->stream = NULL;
	return e;
}

static enum err pg_query(void *conn, const char *sql, const struct param *p, size_t n,
	void **cursor, struct errtext *et)
{
	struct conn *c = conn;
	struct bound b;
	struct kept *k;
	put_aside(c);
	struct cursor *cur = calloc(1, sizeof *cur);
	enum err e = cur ? bind(&b, p, n, et) : err_set(et, ERR_NOMEM, "no memory for a query");
	if (!e)
		e = statement(c, sql, &b, n, &k, et);
	if (!e) {
		cur->c = c;
		e = start(cur, k->name, &b, n, et);
	}
	if (e) {
		if (cur)
			cursor_free(cur);
		return e;
	}
	*cursor = cur;
	return OK;
}

static void cells_of_row(struct cursor *cur)
{
	for (int i = 0; i < cur->columns; i++) {
		bool null = PQgetisnull(cur->row, 0, i);
		cur->cells[i] = (struct pg_cell){
			null ? NULL : PQgetvalue(cur->row, 0, i), PQgetlength(cur->row, 0, i)};
	}
}

static void cells_of_rest(struct cursor *cur)
{
	PQclear(cur->row);
	cur->row = NULL;
	for (int i = 0; i < cur->columns; i++) {
		int n;
		memcpy(&n, cur->rest.p + cur->at, sizeof n);
		cur->at += sizeof n;
		cur->cells[i] = (struct pg_cell){n < 0 ? NULL : cur->rest.p + cur->at, MAX(n, 0)};
		cur->at += (size_t)MAX(n, 0);
	}
}

static bool pg_next(void *cursor, enum err *e, struct errtext *et)
{
	struct cursor *cur = cursor;
	if (cur->c->stream == cur && (cur->fresh || arrive(cur))) {
		cur->fresh = false;
		cells_of_row(cur);
		return true;
	}
	if (cur->at < cur->rest.n && !cur->rest.err) {
		cells_of_rest(cur);
		return true;
	}
	if (cur->failed) {
		*e = cur->failed;
		*et = cur->why;
	}
	return false;
}

static int pg_columns(void *cursor)
{
	return ((struct cursor *)cursor)->columns;
}

static bool pg_is_null(void *cursor, int column)
{
	return !((struct cursor *)cursor)->cells[column].p;
}

static int64_t pg_column_i64(void *cursor, int column)
{
	struct cursor *cur = cursor;
	return pg_i64(cur->types[column], cur->cells[column]);
}

static double pg_column_f64(void *cursor, int column)
{
	struct cursor *cur = cursor;
	return pg_f64(cur->types[column], cur->cells[column]);
}

static struct str pg_column_bytes(void *cursor, int column)
{
	struct cursor *cur = cursor;
	struct pg_cell v = cur->cells[column];
	if (!v.p)
		return (struct str){0};
	if (pg_is_bytes(cur->types[column]))
		return str_mk(v.p, (size_t)v.n);
	pg_print(cur->types[column], v, cur->printed[column]);
	return str_c(cur->printed[column]);
}

/* ---- transactions ---- */

static void give_back(struct conn *c)
{
	lender_give(&c->db->lenders[c->kind], c);
}

/* The lock's number is the schema's: Croft's states in two schemas do not wait for each other. */
#define SCHEMA_LOCK "pg_advisory_xact_lock(1668181620, hashtext(current_schema()))"

static enum err begin_read(struct conn *c, struct errtext *et)
{
	return do_plain(c,
		"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1 /* the snapshot */",
		"PostgreSQL", et);
}

/* The number is what find_outcome asks for. */
static enum err begin_write(struct conn *c, struct errtext *et)
{
	static const char locked[] =
		"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT " SCHEMA_LOCK "; "
		"SELECT pg_current_xact_id()::text";
	static const char unlocked[] =
		"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_current_xact_id()::text";
	PGresult *r = simple(c, c->kind == TX_WRITE ? locked : unlocked);
	enum err e = good(r) ? OK : fail(c, r, "PostgreSQL", et);
	if (!e)
		snprintf(c->xid, sizeof c->xid, "%s", PQgetvalue(r, 0, 0));
	PQclear(r);
	return e;
}

static enum err set_lock_wait(struct conn *c, unsigned wait_ms, struct errtext *et)
{
	char sql[64];
	if (c->wait_ms == wait_ms)
		return OK;
	snprintf(sql, sizeof sql, "SET lock_timeout = %u", MAX(wait_ms, 1u));
	enum err e = do_plain(c, sql, "PostgreSQL", et);
	if (!e)
		c->wait_ms = wait_ms;
	return e;
}

static enum err begin_now(struct conn *c, struct errtext *et)
{
	settle(c);
	enum err e = set_lock_wait(c, c->db->wait_ms, et);
	if (!e)
		e = c->kind == TX_READ ? begin_read(c, et) : begin_write(c, et);
	return e;
}

static void undo(struct conn *c)
{
	if (!lost(c))
		PQclear(simple(c, "ROLLBACK"));
	if (lost(c))
		disconnect(c);
}

static enum err pg_begin(void *ctx, enum tx_kind kind, void **conn, struct errtext *et)
{
	struct postgres *db = ctx;
	void *lent;
	enum err e = lender_take(&db->lenders[kind], &lent, et);
	if (e)
		return e;
	struct conn *c = lent;
	bool fresh = !c->pg;
	if (fresh)
		e = connect_within(c, RECONNECT_MS, et);
	if (!e)
		e = begin_now(c, et);
	if (e && !fresh && lost(c)) {
		e = connect_within(c, RECONNECT_MS, et);
		if (!e)
			e = begin_now(c, et);
	}
	if (e) {
		if (c->pg)
			undo(c);
		give_back(c);
		if (e == ERR_BUSY)
			err_set(et, e, "the database was in use by other servers for %u ms",
				db->wait_ms);
		return e;
	}
	*conn = c;
	return OK;
}

/* Nobody waits for the answer to the end of a read. */
static void pg_rollback(void *conn)
{
	struct conn *c = conn;
	put_aside(c);
	if (c->kind == TX_READ && !lost(c) && PQsendQuery(c->pg, "ROLLBACK"))
		c->pending = true;
	else
		undo(c);
	give_back(c);
}

enum outcome { OUTCOME_UNKNOWN, OUTCOME_STORED, OUTCOME_GONE };

static enum outcome ask_outcome(struct conn *c)
{
	const char *const values[] = {c->xid};
	PGresult *r = PQexecParams(
		c->pg, "SELECT pg_xact_status($1::xid8)", 1, NULL, values, NULL, NULL, 0);
	const char *said = good(r) && !PQgetisnull(r, 0, 0) ? PQgetvalue(r, 0, 0) : "";
	enum outcome o = strcmp(said, "committed") == 0 ? OUTCOME_STORED
			 : strcmp(said, "aborted") == 0 ? OUTCOME_GONE
							: OUTCOME_UNKNOWN;
	PQclear(r);
	return o;
}

/* The connection was lost between COMMIT and its answer. The old server process may still be at
 * it, so "in progress" is asked again. */
static enum err find_outcome(struct conn *c, struct errtext *et)
{
	uint64_t stop = clock_mono_ns() + OUTCOME_MS * 1000000ull;
	do {
		enum outcome o = connect_once(c, NULL) ? OUTCOME_UNKNOWN : ask_outcome(c);
		if (o == OUTCOME_STORED)
			return OK;
		if (o == OUTCOME_GONE)
			return err_set(et, ERR_NETWORK,
				"the connection to PostgreSQL was lost before the commit: nothing "
				"was stored");
		clock_sleep_ms(50);
	} while (clock_mono_ns() < stop);
	return err_set(et, ERR_NETWORK,
		"the connection to PostgreSQL was lost during the commit, and it cannot be asked: "
		"whether the change was stored is not known");
}

static enum err pg_commit(void *conn, struct errtext *et)
{
	struct conn *c = conn;
	put_aside(c);
	if (c->kind == TX_READ) {
		pg_rollback(c);
		return OK;
	}
	PGresult *r = simple(c, "COMMIT");
	enum err e = OK;
	if (!good(r))
		e = lost(c) ? find_outcome(c, et) : fail(c, r, "the database", et);
	else if (strcmp(PQcmdStatus(r), "COMMIT") != 0)
		e = err_set(et, ERR_INTERNAL, "the transaction had failed before its commit");
	PQclear(r);
	if (c->pg && (e || lost(c)))
		undo(c);
	give_back(c);
	return e;
}

static bool pg_alone(void *ctx)
{
	void *conn;
	if (pg_begin(ctx, TX_WRITE, &conn, NULL))
		return false;
	struct conn *c = conn;
	PGresult *r = simple(c,
		"SELECT 1 FROM pg_locks o JOIN pg_locks m ON m.pid = pg_backend_pid() AND "
		"m.locktype = 'advisory' AND m.classid = 1668181621 AND o.locktype = m.locktype "
		"AND "
		"o.classid = m.classid AND o.objid = m.objid AND o.database = m.database AND "
		"o.pid <> m.pid LIMIT 1");
	bool alone = good(r) && PQntuples(r) == 0;
	PQclear(r);
	pg_rollback(c);
	return alone;
}

/* ---- notices ---- */

#define SCHEMA_CHANNEL "'croft_' || hashtext(current_schema())"

static enum err pg_announce(void *conn, struct errtext *et)
{
	return pg_exec(conn, "SELECT pg_notify(" SCHEMA_CHANNEL ", '')", NULL, 0, NULL, et);
}

static enum err listen_to(struct conn *c, struct errtext *et)
{
	enum err e = connect_once(c, et);
	if (e)
		return e;
	PGresult *r = simple(c, "SELECT " SCHEMA_CHANNEL);
	char sql[128];
	if (!good(r))
		e = fail(c, r, "PostgreSQL", et);
	else
		snprintf(sql, sizeof sql, "LISTEN \"%s\"", PQgetvalue(r, 0, 0));
	PQclear(r);
	if (!e)
		e = do_plain(c, sql, "PostgreSQL", et);
	if (e)
		disconnect(c);
	return e;
}

/* Only the notifier's thread comes here. */
static void pg_wait(void *ctx, int wake_fd, unsigned timeout_ms)
{
	struct postgres *db = ctx;
	struct conn *c = db->listener;
	if (!c->pg && listen_to(c, NULL) == OK)
		return; /* what came before it listened is read now */
	struct pollfd p[2] = {{wake_fd, POLLIN, 0}, {c->pg ? PQsocket(c->pg) : -1, POLLIN, 0}};
	if (poll(p, 2, (int)(c->pg ? timeout_ms : MIN(timeout_ms, 500u))) <= 0 || !p[1].revents)
		return;
	bool alive = PQconsumeInput(c->pg);
	for (PGnotify *n; (n = PQnotifies(c->pg));)
		PQfreemem(n);
	if (!alive || lost(c))
		disconnect(c);
}

/* ---- beside transactions ---- */

static enum err finish_beside(struct conn *c, const struct cancel *cancel, struct errtext *et)
{
	enum { LOOK_MS = 100 };
	char said[256];
	bool told = false;
	while (PQisBusy(c->pg)) {
		struct pollfd p = {PQsocket(c->pg), POLLIN, 0};
		if (cancelled(cancel) && !told) {
			PGcancel *stop = PQgetCancel(c->pg);
			told = stop && PQcancel(stop, said, sizeof said);
			PQfreeCancel(stop);
		}
		if (poll(&p, 1, LOOK_MS) > 0 && !PQconsumeInput(c->pg))
			break;
	}
	enum err e = OK;
	for (PGresult *r; (r = PQgetResult(c->pg)); PQclear(r))
		if (!e && !good(r))
			e = fail(c, r, "the database", et);
	if (!e && lost(c))
		e = fail(c, NULL, "the database", et);
	return told && e ? err_set(et, ERR_CANCELLED, "stopped while the database worked") : e;
}

static enum err pg_beside(void *ctx, const char *const *sql, size_t n, const struct cancel *cancel,
	struct errtext *et)
{
	struct conn *c = conn_new(ctx, TX_READ);
	enum err e = c ? connect_once(c, et) : err_set(et, ERR_NOMEM, "no memory for a connection");
	e = e ? e : do_plain(c, "SET statement_timeout = 0", "PostgreSQL", et);
	for (size_t i = 0; i < n && !e; i++)
		e = PQsendQuery(c->pg, sql[i]) ? finish_beside(c, cancel, et)
					       : fail(c, NULL, "the database", et);
	conn_free(c);
	return e;
}

/* ---- the check ---- */

/* Reads every value of every table, so that a damaged page or a damaged long value shows. */
static enum err check_table(struct conn *c, const char *name, struct errtext *et)
{
	struct buf sql = {0};
	char *quoted = PQescapeIdentifier(c->pg, name, strlen(name));
	buf_addf(&sql, "SELECT count(t::text) FROM %s t", quoted ? quoted : "");
	PQfreemem(quoted);
	PGresult *r = simple(c, buf_c(&sql));
	enum err e = OK;
	if (!good(r)) {
		e = fail(c, r, name, et);
		if (e == ERR_INTERNAL || e == ERR_IO)
			e = ERR_CORRUPT;
	}
	PQclear(r);
	buf_free(&sql);
	return e;
}

static enum err pg_check(void *ctx, bool full, struct errtext *et)
{
	void *conn;
	enum err e = pg_begin(ctx, TX_READ, &conn, et);
	if (e)
		return e;
	struct conn *c = conn;
	PGresult *r = simple(c,
		"SET LOCAL statement_timeout = 0; SELECT tablename::text FROM pg_tables WHERE "
		"schemaname = current_schema() ORDER BY 1");
	if (!good(r))
		e = fail(c, r, "PostgreSQL", et);
	for (int i = 0; full && !e && i < PQntuples(r); i++)
		e = check_table(c, PQgetvalue(r, i, 0), et);
	PQclear(r);
	pg_rollback(c);
	return e;
}

const struct db_backend db_postgres = {
	.scheme = "postgres",
	.alias = "postgresql",
	.open = pg_open,
	.close = pg_close,
	.set_wait = pg_set_wait,
	.beside = pg_beside,
	.check = pg_check,
	.begin = pg_begin,
	.commit = pg_commit,
	.rollback = pg_rollback,
	.alone = pg_alone,
	.lock_rows = " FOR UPDATE",
	.skip_locked = " FOR UPDATE SKIP LOCKED",
	.now_sql = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
	/* a hash that two lives share makes a dead one look alive, not the other way round */
	.lives_sql =
		"SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = 1668181622 "
		"AND objid = CAST(CAST(hashtext(?) AS BIGINT) & 4294967295 AS oid) AND database "
		"= (SELECT oid FROM pg_database WHERE datname = current_database()) LIMIT 1",
	.announce = pg_announce,
	.wait = pg_wait,
	.tables_sql = "SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = "
		      "current_schema() AND tablename NOT LIKE 'derived\\_%' ORDER BY 1",
	.columns_sql =
		"SELECT CAST(a.attname AS TEXT), format_type(a.atttypid, NULL), "
		"COALESCE(array_position(string_to_array(CAST(i.indkey AS TEXT), ' '), "
		"CAST(a.attnum AS TEXT)), 0) FROM pg_class c JOIN pg_attribute a ON a.attrelid = "
		"c.oid LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary "
		"WHERE c.relname = ? AND c.relnamespace = CAST(current_schema() AS regnamespace) "
		"AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
	.references_sql =
		"SELECT DISTINCT CAST(f.relname AS TEXT) FROM pg_constraint k JOIN pg_class c ON "
		"c.oid = k.conrelid JOIN pg_class f ON f.oid = k.confrelid WHERE k.contype = 'f' "
		"AND c.relname = ? AND c.relnamespace = CAST(current_schema() AS regnamespace)",
	.exec = pg_exec,
	.script = pg_run_script,
	.query = pg_query,
	.next = pg_next,
	.columns = pg_columns,
	.is_null = pg_is_null,
	.i64 = pg_column_i64,
	.f64 = pg_column_f64,
	.text = pg_column_bytes,
	.blob = pg_column_bytes,
	.end = pg_end,
};
