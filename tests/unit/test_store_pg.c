/* What is PostgreSQL's own: the translation of SQL, binary values, connections that are cut
 * anywhere (a proxy between), several servers on one schema. */
#include "tap.h"
#include "base/clock.h"
#include "base/thread.h"
#include "store/pg_int.h"

#include <endian.h>
#include <math.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct errtext et;

/* ---- SQL ---- */

static void test_store_pg__marks_outside_of_literals(void)
{
	static const struct {
		const char *sql, *want;
		unsigned params;
	} cases[] = {
		{"SELECT ?", "SELECT $1", 1},
		{"SELECT ?, '?', \"?\", ? -- ?\n, ? /* ? */",
			"SELECT $1, '?', \"?\", $2 -- ?\n, $3 /* ? */", 3},
		{"SELECT 'it''s ?' || ?", "SELECT 'it''s ?' || $1", 1},
		{"SELECT '?", "SELECT '?", 0},
		{"SELECT /* ?", "SELECT /* ?", 0},
		{"?+?*?", "$1+$2*$3", 3},
		{"f @? CAST(? AS jsonpath) AND g @? ?", "f @? CAST($1 AS jsonpath) AND g @? $2", 2},
		{"'@?' || ? || \"@?\" @?", "'@?' || $1 || \"@?\" @?", 1},
		{"f @?? -- @?", "f @?$1 -- @?", 1},
		{"", "", 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf b = {0};
		unsigned n = 99;
		CHECK_OK(pg_statement(str_c(cases[i].sql), &b, &n, &et), &et);
		CHECK_STR(buf_str(&b), cases[i].want);
		CHECK_INT(n, cases[i].params);
		buf_free(&b);
	}
	static const char *const refused[] = {
		"SELECT ?1", "SELECT :a", "SELECT @a", "SELECT $1", "SELECT ??", "SELECT x::text"};
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		struct buf b = {0};
		unsigned n;
		CHECK_ERR(pg_statement(str_c(refused[i]), &b, &n, &et), ERR_INTERNAL);
		buf_free(&b);
	}
}

static void test_store_pg__types_in_scripts(void)
{
	static const char *const cases[][2] = {
		{"CREATE TABLE t (a BLOB NOT NULL, b TEXT DEFAULT 'TEXT; BLOB')",
			"CREATE TABLE t (a BYTEA NOT NULL, b TEXT COLLATE \"C\" DEFAULT 'TEXT; "
			"BLOB')"},
		{"ALTER TABLE t ADD COLUMN c text; UPDATE t SET c = CAST(1 AS TEXT)",
			"ALTER TABLE t ADD COLUMN c TEXT COLLATE \"C\"; UPDATE t SET c = CAST(1 AS "
			"TEXT)"},
		{"create table t (text_id BIGINT, blob_ TEXT)",
			"create table t (text_id BIGINT, blob_ TEXT COLLATE \"C\")"},
		{"CREATE TABLE blob (blob TEXT, text BLOB, b blob, PRIMARY KEY (blob, text))",
			"CREATE TABLE blob (blob TEXT COLLATE \"C\", text BYTEA, b BYTEA, PRIMARY "
			"KEY "
			"(blob, text))"},
		{"ALTER TABLE t ADD COLUMN blob TEXT; CREATE INDEX i ON text (blob, text); "
		 "INSERT INTO t (blob, text) SELECT blob, text FROM blob",
			"ALTER TABLE t ADD COLUMN blob TEXT COLLATE \"C\"; CREATE INDEX i ON text "
			"(blob, text); INSERT INTO t (blob, text) SELECT blob, text FROM blob"},
		{"CREATE TABLE t (a TEXT, CHECK (CAST(a AS BLOB) = b))",
			"CREATE TABLE t (a TEXT COLLATE \"C\", CHECK (CAST(a AS BYTEA) = b))"},
		{"CREATE TABLE t AS SELECT CAST(1 AS TEXT) x",
			"CREATE TABLE t AS SELECT CAST(1 AS TEXT) x"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf b = {0};
		CHECK_OK(pg_script(str_c(cases[i][0]), &b, &et), &et);
		CHECK_STR(buf_str(&b), cases[i][1]);
		buf_free(&b);
	}
}

/* ---- values ---- */

static const struct migration schema[] = {
	{1, "values",
		"CREATE TABLE v (id BIGINT PRIMARY KEY, i BIGINT, d DOUBLE PRECISION, t TEXT, "
		"b BLOB)"},
};

static struct db *open_at(const char *url)
{
	struct db *db;
	CHECK_OK(db_open(url, &db, &et), &et);
	CHECK_OK(db_migrate(db, "test", schema, 1, &et), &et);
	return db;
}

static struct row *first_row(struct tx *tx, const char *sql)
{
	struct row *r;
	enum err e = OK;
	CHECK_OK(db_query(tx, &r, &et, sql), &et);
	if (!row_next(r, &e, &et))
		FAIL("%s: no row: %s", sql, err_text(e, &et));
	return r;
}

static void test_store_pg__numbers_are_exact(void)
{
	struct db *db = open_at(tap_pg_url());
	struct tx *tx;
	struct row *r;
	enum err e = OK;
	double special[] = {0.1, 1e308, -5e-324, INFINITY, -INFINITY, 0x1.fffffffffffffp+1023};
	srand(5);
	CHECK_OK(db_begin(db, TX_WRITE, &tx, &et), &et);
	double sent[500];
	for (size_t i = 0; i < ARRAY_LEN(sent); i++) {
		uint64_t bits;
		do {
			random_bytes(&bits, 8);
			memcpy(&sent[i], &bits, 8);
		} while (isnan(sent[i]));
		if (i < ARRAY_LEN(special))
			sent[i] = special[i];
		CHECK_OK(db_exec(tx, &et, "INSERT INTO v (id, i, d) VALUES (?, ?, ?)",
				 P_I64((int64_t)i), P_I64(INT64_MAX - (int64_t)i), P_F64(sent[i])),
			&et);
	}
	CHECK_OK(db_exec(tx, &et, "INSERT INTO v (id, d) VALUES (?, ?)", P_I64(9999), P_F64(NAN)),
		&et);
	CHECK_OK(db_query(tx, &r, &et, "SELECT d, i FROM v ORDER BY id"), &et);
	for (size_t i = 0; i < ARRAY_LEN(sent); i++) {
		CHECK(row_next(r, &e, &et));
		double got = row_f64(r, 0);
		CHECK(memcmp(&got, &sent[i], 8) == 0);
		CHECK(row_i64(r, 1) == INT64_MAX - (int64_t)i);
	}
	CHECK(row_next(r, &e, &et) && row_null(r, 0)); /* NaN, as in SQLite */
	row_free(r);
	/* SUM and AVG over BIGINT are numeric there */
	r = first_row(tx,
		"SELECT SUM(i), AVG(id), SUM(id), -SUM(id), COUNT(*), SUM(i) FROM v WHERE id < 3");
	CHECK(row_i64(r, 0) == INT64_MAX); /* does not fit */
	CHECK_NEAR(row_f64(r, 0), 3 * 0x1p63, 1e5);
	CHECK_NEAR(row_f64(r, 1), 1.0, 1e-12);
	CHECK_INT(row_i64(r, 2), 3);
	CHECK_INT(row_i64(r, 3), -3);
	CHECK_STR(row_text(r, 4), "3");
	CHECK_STR(row_text(r, 2), "3");
	row_free(r);
	r = first_row(tx,
		"SELECT CAST(-9223372036854775808 AS NUMERIC), CAST(0.00012345 AS NUMERIC), "
		"CAST(123456789012345678 AS NUMERIC), CAST(-20000 AS NUMERIC), 1 = 1");
	CHECK(row_i64(r, 0) == INT64_MIN);
	CHECK_NEAR(row_f64(r, 1), 0.00012345, 1e-18);
	CHECK(row_i64(r, 2) == 123456789012345678);
	CHECK_INT(row_i64(r, 3), -20000);
	CHECK_INT(row_i64(r, 4), 1);
	row_free(r);
	db_rollback(tx);
	db_close(db);
}

static void test_store_pg__text_sorts_by_bytes(void)
{
	static const char *const sorted[] = {
		"", "A", "Z", "_", "a", "z", "\xC3\xA4", "\xE4\xB8\xAD"};
	struct db *db = open_at(tap_pg_url());
	struct tx *tx;
	struct row *r;
	enum err e = OK;
	CHECK_OK(db_begin(db, TX_WRITE, &tx, &et), &et);
	for (size_t i = 0; i < ARRAY_LEN(sorted); i++)
		CHECK_OK(db_exec(tx, &et, "INSERT INTO v (id, t) VALUES (?, ?)",
				 P_I64((int64_t)(i * 5 % ARRAY_LEN(sorted))),
				 P_TEXT(str_c(sorted[i * 5 % ARRAY_LEN(sorted)]))),
			&et);
	CHECK_OK(db_query(tx, &r, &et, "SELECT t FROM v ORDER BY t"), &et);
	for (size_t i = 0; i < ARRAY_LEN(sorted); i++) {
		CHECK(row_next(r, &e, &et));
		CHECK_STR(row_text(r, 0), sorted[i]);
	}
	row_free(r);
	db_rollback(tx);
	db_close(db);
}

/* A row that is looked at stays while other statements run; rows put aside come back in order. */
static void test_store_pg__statements_inside_a_long_query(void)
{
	struct db *db = open_at(tap_pg_url());
	struct tx *tx;
	struct row *r;
	enum err e = OK;
	CHECK_OK(db_begin(db, TX_WRITE, &tx, &et), &et);
	for (int i = 0; i < 3000; i++)
		CHECK_OK(db_exec(tx, &et, "INSERT INTO v (id, t, b) VALUES (?, ?, ?)", P_I64(i),
				 i % 3 ? P_TEXT(S("some text")) : P_NULL,
				 i % 5 ? P_BLOB(S("\0\1\2")) : P_BLOB(S(""))),
			&et);
	CHECK_OK(db_query(tx, &r, &et, "SELECT id, t, b FROM v ORDER BY id"), &et);
	for (int i = 0; i < 3000; i++) {
		CHECK(row_next(r, &e, &et));
		struct str t = row_text(r, 1);
		if (i == 1000)
			CHECK_OK(db_exec(tx, &et, "UPDATE v SET t = 'x' WHERE id > 2000"), &et);
		CHECK_INT(row_i64(r, 0), i);
		CHECK(i % 3 ? str_eq(t, S("some text")) : row_null(r, 1));
		CHECK_INT(row_blob(r, 2).n, i % 5 ? 3 : 0);
		CHECK(row_blob(r, 2).p != NULL);
	}
	CHECK(!row_next(r, &e, &et) && !e);
	row_free(r);
	/* one that is left in the middle */
	CHECK_OK(db_query(tx, &r, &et, "SELECT id FROM v"), &et);
	CHECK(row_next(r, &e, &et));
	row_free(r);
	r = first_row(tx, "SELECT COUNT(*) FROM v");
	CHECK_INT(row_i64(r, 0), 3000);
	row_free(r);
	CHECK_OK(db_commit(tx, &et), &et);
	db_close(db);
}

/* ---- several servers ---- */

enum { SERVERS = 3, THREADS = 2, ADDS = 60 };

static void *add_to_counter(void *arg)
{
	struct db *db = arg;
	for (int i = 0; i < ADDS; i++) {
		struct errtext why;
		struct tx *tx;
		enum err e = db_begin(db, TX_WRITE, &tx, &why);
		if (e)
			return (void *)"begin";
		struct row *r;
		int64_t v = -1;
		e = db_query(tx, &r, &why, "SELECT i FROM v WHERE id = 1");
		if (!e && row_next(r, &e, &why))
			v = row_i64(r, 0);
		row_free(r);
		e = db_exec(tx, &why, "UPDATE v SET i = ? WHERE id = 1", P_I64(v + 1));
		if (e || db_commit(tx, &why))
			return (void *)"write";
	}
	return NULL;
}

static void test_store_pg__read_modify_write_across_servers(void)
{
	struct db *db[SERVERS];
	pthread_t t[SERVERS * THREADS];
	char url[1024];
	snprintf(url, sizeof url, "%s", tap_pg_url());
	for (int i = 0; i < SERVERS; i++) {
		db[i] = open_at(url);
		CHECK(db_alone(db[i]) == (i == 0));
	}
	CHECK(!db_alone(db[0]));
	struct tx *tx;
	CHECK_OK(db_begin(db[0], TX_WRITE, &tx, &et), &et);
	CHECK_OK(db_exec(tx, &et, "INSERT INTO v (id, i) VALUES (1, 0)"), &et);
	CHECK_OK(db_commit(tx, &et), &et);
	for (int i = 0; i < SERVERS * THREADS; i++)
		CHECK_OK(thread_start(&t[i], add_to_counter, db[i % SERVERS], "add", &et), &et);
	for (int i = 0; i < SERVERS * THREADS; i++) {
		void *wrong;
		pthread_join(t[i], &wrong);
		if (wrong)
			FAIL("a thread failed to %s", (const char *)wrong);
	}
	CHECK_OK(db_begin(db[1], TX_READ, &tx, &et), &et);
	struct row *r = first_row(tx, "SELECT i FROM v WHERE id = 1");
	CHECK_INT(row_i64(r, 0), SERVERS * THREADS * ADDS);
	row_free(r);
	db_rollback(tx);
	/* one server's wait for another's lock ends */
	struct tx *second;
	CHECK_OK(db_begin(db[0], TX_WRITE, &tx, &et), &et);
	db_set_wait(db[1], 100);
	CHECK_ERR(db_begin(db[1], TX_WRITE, &second, &et), ERR_BUSY);
	CHECK(strstr(et.msg, "other servers"));
	db_rollback(tx);
	CHECK_OK(db_begin(db[1], TX_WRITE, &second, &et), &et);
	db_rollback(second);
	for (int i = 1; i < SERVERS; i++)
		db_close(db[i]);
	for (int i = 0; i < 200 && !db_alone(db[0]); i++)
		clock_sleep_ms(
			10); /* the server's side of a closed connection ends a moment later */
	CHECK(db_alone(db[0]));
	db_close(db[0]);
}

static void *open_and_migrate(void *arg)
{
	struct errtext why;
	struct db *db;
	if (db_open(arg, &db, &why) || db_migrate(db, "test", schema, 1, &why))
		return (void *)"open";
	db_close(db);
	return NULL;
}

static void test_store_pg__servers_may_start_at_once(void)
{
	char url[1024];
	pthread_t t[4];
	snprintf(url, sizeof url, "%s", tap_pg_url());
	for (int i = 0; i < 4; i++)
		CHECK_OK(thread_start(&t[i], open_and_migrate, url, "open", &et), &et);
	for (int i = 0; i < 4; i++) {
		void *wrong;
		pthread_join(t[i], &wrong);
		CHECK(!wrong);
	}
}

/* ---- a proxy that cuts ---- */

enum cut { CUT_NOT, CUT_NOW, CUT_BEFORE_COMMIT, CUT_AFTER_COMMIT };
static atomic_int cut, open_now; /* open_now: connections through it */
static atomic_bool refuse;
static char proxy_dir[512];
static int proxy_fd;

static int connect_to(const char *dir)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	snprintf(a.sun_path, sizeof a.sun_path, "%s/.s.PGSQL.5432", dir);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&a, sizeof a)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Who is to read may be waiting for the cut itself. */
static bool write_all(int to, const char *b, size_t n)
{
	while (n && cut != CUT_NOW) {
		ssize_t done = send(to, b, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (done < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (done < 0) {
			poll(&(struct pollfd){to, POLLOUT, 0}, 1, 20);
			continue;
		}
		b += done;
		n -= (size_t)done;
	}
	return !n;
}

/* false: the connection is to be cut */
static bool pass(int from, int to, bool from_client, bool *committing)
{
	char b[65536];
	ssize_t n = read(from, b, sizeof b);
	if (n <= 0)
		return false;
	bool commit = from_client && memmem(b, (size_t)n, "COMMIT", 6) &&
		      !memmem(b, (size_t)n, "COMMITTED", 9);
	if (commit && cut == CUT_BEFORE_COMMIT)
		return false;
	*committing |= commit;
	if (!from_client && *committing && cut == CUT_AFTER_COMMIT)
		return false;
	return write_all(to, b, (size_t)n);
}

static void *proxy_one(void *arg)
{
	int client = (int)(intptr_t)arg,
	    server = refuse ? -1 : connect_to(getenv("CROFT_TEST_PG_DIR"));
	struct pollfd p[2] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
	bool committing = false;
	while (server >= 0 && cut != CUT_NOW) {
		if (poll(p, 2, 20) < 0)
			break;
		if (p[0].revents && !pass(client, server, true, &committing))
			break;
		if (p[1].revents && !pass(server, client, false, &committing))
			break;
	}
	close(client);
	if (server >= 0)
		close(server);
	atomic_fetch_sub(&open_now, 1);
	return NULL;
}

static void *proxy_listen(void *arg)
{
	for (int fd; (fd = accept4(proxy_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0;) {
		pthread_t t;
		atomic_fetch_add(&open_now, 1);
		if (!thread_start(&t, proxy_one, (void *)(intptr_t)fd, "proxy", NULL))
			pthread_detach(t);
	}
	return NULL;
}

/* A database behind the proxy, with the table v. */
static struct db *open_behind_proxy(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char url[1024];
	const char *options = strstr(tap_pg_url(), "options=");
	pthread_t t;
	snprintf(proxy_dir, sizeof proxy_dir, "%s", tap_tmpdir());
	snprintf(a.sun_path, sizeof a.sun_path, "%s/.s.PGSQL.5432", proxy_dir);
	proxy_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(bind(proxy_fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(proxy_fd, 64) == 0);
	CHECK_OK(thread_start(&t, proxy_listen, NULL, "listen", &et), &et);
	snprintf(url, sizeof url, "postgres:///postgres?host=%s&user=postgres&%s", proxy_dir,
		options);
	return open_at(url);
}

static void cut_now(void)
{
	cut = CUT_NOW;
	while (atomic_load(&open_now))
		clock_sleep_ms(5);
	cut = CUT_NOT;
}

static bool has(struct db *db, int64_t id)
{
	struct tx *tx;
	struct row *r;
	enum err e = OK;
	CHECK_OK(db_begin(db, TX_READ, &tx, &et), &et);
	CHECK_OK(db_query(tx, &r, &et, "SELECT 1 FROM v WHERE id = ?", P_I64(id)), &et);
	bool found = row_next(r, &e, &et);
	CHECK_OK(e, &et);
	row_free(r);
	db_rollback(tx);
	return found;
}

static struct tx *begin_insert(struct db *db, int64_t id)
{
	struct tx *tx;
	CHECK_OK(db_begin(db, TX_WRITE, &tx, &et), &et);
	CHECK_OK(db_exec(tx, &et, "INSERT INTO v (id) VALUES (?)", P_I64(id)), &et);
	return tx;
}

static void test_store_pg__cut_while_idle_and_inside(void)
{
	struct db *db = open_behind_proxy();
	CHECK(!has(db, 1));
	cut_now(); /* idle connections: the next begin makes new ones */
	CHECK(!has(db, 1));
	CHECK_OK(db_commit(begin_insert(db, 1), &et), &et);
	CHECK(has(db, 1));
	struct tx *tx = begin_insert(db, 2);
	cut_now();
	CHECK_ERR(db_exec(tx, &et, "INSERT INTO v (id) VALUES (3)"), ERR_NETWORK);
	CHECK(err_retryable(ERR_NETWORK));
	CHECK_ERR(db_commit(tx, &et), ERR_NETWORK);
	CHECK(!has(db, 2));
	/* in the middle of a query's rows */
	struct row *r;
	enum err e = OK;
	CHECK_OK(db_begin(db, TX_READ, &tx, &et), &et);
	CHECK_OK(db_query(tx, &r, &et,
			 "SELECT a.n, CAST(a.n AS TEXT) FROM generate_series(1, 400000) AS a (n)"),
		&et);
	CHECK(row_next(r, &e, &et));
	cut_now();
	while (row_next(r, &e, &et))
		;
	CHECK_ERR(e, ERR_NETWORK);
	row_free(r);
	db_rollback(tx);
	CHECK(has(db, 1));
	db_close(db);
}

static void test_store_pg__the_answer_to_a_commit_is_lost(void)
{
	struct db *db = open_behind_proxy();
	struct tx *tx = begin_insert(db, 1);
	cut = CUT_AFTER_COMMIT;
	CHECK_OK(db_commit(tx, &et), &et); /* it was asked what became of it */
	cut = CUT_NOT;
	CHECK(has(db, 1));
	tx = begin_insert(db, 2);
	cut = CUT_BEFORE_COMMIT;
	CHECK_ERR(db_commit(tx, &et), ERR_NETWORK);
	CHECK(strstr(et.msg, "nothing was stored"));
	cut = CUT_NOT;
	CHECK(!has(db, 2));
	tx = begin_insert(db, 3);
	refuse = true;
	cut = CUT_AFTER_COMMIT;
	CHECK_ERR(db_commit(tx, &et), ERR_NETWORK);
	CHECK(strstr(et.msg, "is not known"));
	refuse = false;
	cut = CUT_NOT;
	CHECK(has(db, 3));
	db_close(db);
}

/* ---- beside transactions ---- */

static void *cancel_soon(void *arg)
{
	clock_sleep_ms(300);
	cancel_set(arg);
	return NULL;
}

/* Each statement by itself, outside of transactions, on a connection of its own; the first that
 * fails ends it. */
static void test_store_pg__beside_transactions(void)
{
	static const char *const index[] = {"SET maintenance_work_mem = '8MB'",
		"CREATE INDEX CONCURRENTLY beside_v ON v (t)", "VACUUM v"},
				 *const failing[] = {"CREATE TABLE beside_a (a INT)",
					 "SELECT nothing", "CREATE TABLE beside_b (b INT)"},
				 *const two[] = {"SELECT 1; SELECT nothing"},
				 *const slow[] = {"SELECT pg_sleep(60)"};
	struct db *db = open_at(tap_pg_url());
	struct cancel stop = {0};
	struct tx *tx;
	pthread_t t;
	CHECK_OK(db_beside(db, index, ARRAY_LEN(index), NULL, &et), &et);
	CHECK_OK(db_beside(db, NULL, 0, NULL, &et), &et);
	CHECK(db_beside(db, failing, ARRAY_LEN(failing), NULL, &et) != OK);
	CHECK(strstr(et.msg, "nothing"));
	CHECK(db_beside(db, two, ARRAY_LEN(two), NULL, &et) != OK);
	CHECK_OK(db_begin(db, TX_READ, &tx, &et), &et);
	struct row *r = first_row(tx,
		"SELECT to_regclass('beside_v') IS NOT NULL, to_regclass('beside_a') IS NOT NULL, "
		"to_regclass('beside_b') IS NOT NULL, current_setting('maintenance_work_mem') = "
		"'8MB'");
	CHECK_INT(row_i64(r, 0), 1);
	CHECK_INT(row_i64(r, 1), 1);
	CHECK_INT(row_i64(r, 2), 0);
	CHECK_INT(row_i64(r, 3), 0); /* of its own connection */
	row_free(r);
	db_rollback(tx);
	uint64_t began = clock_mono_ns();
	CHECK_OK(thread_start(&t, cancel_soon, &stop, "cancel", &et), &et);
	CHECK_ERR(db_beside(db, slow, ARRAY_LEN(slow), &stop, &et), ERR_CANCELLED);
	CHECK(clock_mono_ns() - began < 20000000000u);
	pthread_join(t, NULL);
	db_close(db);
	char url[1024];
	snprintf(url, sizeof url, "sqlite:%s/beside.db", tap_tmpdir());
	CHECK_OK(db_open(url, &db, &et), &et);
	CHECK_ERR(db_beside(db, index, ARRAY_LEN(index), NULL, &et), ERR_UNSUPPORTED);
	db_close(db);
}

static void test_store_pg__a_password_is_never_shown(void)
{
	static const char *const bad[] = {"postgres://u:hunter2@127.0.0.1:port/x",
		"postgres:host=127.0.0.1 port=1 password=hunter2 connect_timeout=2",
		"postgres://u:hunter2@127.0.0.1:1/x?connect_timeout=2",
		"postgres:password=hunter2 bogus", "postgresql://u:hunter2@[::1/x"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct db *db;
		et.msg[0] = 0;
		CHECK(db_open(bad[i], &db, &et) != OK);
		CHECK(et.msg[0] && !strstr(et.msg, "hunter2"));
	}
}

TESTS(T(test_store_pg__marks_outside_of_literals), T(test_store_pg__types_in_scripts),
	T(test_store_pg__numbers_are_exact), T(test_store_pg__text_sorts_by_bytes),
	T(test_store_pg__statements_inside_a_long_query),
	T(test_store_pg__read_modify_write_across_servers),
	T(test_store_pg__servers_may_start_at_once), T(test_store_pg__cut_while_idle_and_inside),
	T(test_store_pg__the_answer_to_a_commit_is_lost), T(test_store_pg__beside_transactions),
	T(test_store_pg__a_password_is_never_shown))
