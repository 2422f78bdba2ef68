#include "tap.h"
#include "base/clock.h"
#include "base/os.h"
#include "base/thread.h"
#include "store/db.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct errtext et;
static char url[512];
static bool on_postgres; /* every test runs on each backend */

static struct db *open_db(void)
{
	struct db *db;
	if (!url[0] && on_postgres)
		snprintf(url, sizeof url, "%s", tap_pg_url());
	else if (!url[0])
		snprintf(url, sizeof url, "sqlite:%s/croft.db", tap_tmpdir());
	CHECK_OK(db_open(url, &db, &et), &et);
	return db;
}

static void make_items(struct db *db)
{
	static const struct migration m[] = {
		{1, "items",
			"CREATE TABLE item (id BIGINT PRIMARY KEY, name TEXT, score DOUBLE "
			"PRECISION, "
			"data BLOB);"
			"CREATE INDEX item_name ON item (name);"},
		{2, "parts",
			"CREATE TABLE part (id BIGINT PRIMARY KEY, item BIGINT NOT NULL "
			"REFERENCES item (id) ON DELETE CASCADE);"},
	};
	CHECK_OK(db_migrate(db, "test", m, ARRAY_LEN(m), &et), &et);
}

static int64_t one_i64(struct db *db, const char *sql)
{
	struct tx *tx;
	struct row *r;
	CHECK_OK(db_begin(db, TX_READ, &tx, &et), &et);
	CHECK_OK(db_query(tx, &r, &et, sql), &et);
	enum err e = OK;
	CHECK(row_next(r, &e, &et));
	int64_t v = row_i64(r, 0);
	row_free(r);
	db_rollback(tx);
	return v;
}

static void put_item(struct db *db, int64_t id, struct str name)
{
	struct tx *tx;
	CHECK_OK(db_begin(db, TX_WRITE, &tx, &et), &et);
	CHECK_OK(db_exec(tx, &et, "INSERT INTO item (id, name) VALUES (?, ?)", P_I64(id),
			 P_TEXT(name)),
		&et);
	CHECK_INT(db_changes(tx), 1);
	CHECK_OK(db_commit(tx, &et), &et);
}

static void test_store_db__values_come_back_as_they_went(void)
{
	struct db *db = open_db();
	make_items(db);
	struct tx *tx;
	struct row *r;
	enum err e = OK;
	CHECK_OK(db_begin(db, TX_WRITE, &tx, &et), &et);
	CHECK_OK(db_exec(tx, &et, "INSERT INTO item (id, name, score, data) VALUES (?, ?, ?, ?)",
			 P_I64(INT64_MIN), P_TEXT(S("na\xC3\xAFve")), P_F64(0.1),
			 P_BLOB(str_mk("a\0b", 3))),
		&et);
	CHECK_OK(db_exec(tx, &et, "INSERT INTO item (id, name, score, data) VALUES (?, ?, ?, ?)",
			 P_I64(2), P_TEXT(((struct str){0})), P_NULL, P_BLOB(S(""))),
		&et);
	CHECK_OK(db_query(tx, &r, &et, "SELECT id, name, score, data FROM item ORDER BY id"), &et);
	CHECK(row_next(r, &e, &et));
	CHECK(row_i64(r, 0) == INT64_MIN);
	CHECK_STR(row_text(r, 1), "na\xC3\xAFve");
	CHECK(row_f64(r, 2) == 0.1);
	CHECK(str_eq(row_blob(r, 3), str_mk("a\0b", 3)));
	CHECK(row_next(r, &e, &et));
	CHECK(row_null(r, 1) && row_null(r, 2) && !row_null(r, 3));
	CHECK(row_text(r, 1).p == NULL);
	CHECK(row_blob(r, 3).p && row_blob(r, 3).n == 0);
	CHECK(!row_next(r, &e, &et) && !e);
	row_free(r);
	CHECK_OK(db_commit(tx, &et), &et);
	db_close(db);
}

static void test_store_db__injection_strings_are_only_text(void)
{
	static const char *const nasty[] = {"'; DROP TABLE item; --", "\" OR 1=1 --", "?", "%s%n",
		"\\'; DELETE FROM item WHERE '1'='1", "a\nb;--", "Robert'); DROP TABLE item;--",
		"\xE2\x80\x99 OR \xE2\x80\x99", ":id @id $id ?1"};
	struct db *db = open_db();
	make_items(db);
	for (size_t i = 0; i < ARRAY_LEN(nasty); i++)
		put_item(db, (int64_t)i, str_c(nasty[i]));
	CHECK_INT(one_i64(db, "SELECT COUNT(*) FROM item"), (long long)ARRAY_LEN(nasty));
	struct tx *tx;
	CHECK_OK(db_begin(db, TX_READ, &tx, &et), &et);
	for (size_t i = 0; i < ARRAY_LEN(nasty); i++) {
		struct row *r;
		enum err e = OK;
		CHECK_OK(db_query(tx, &r, &et, "SELECT id, name FROM item WHERE name = ?",
				 P_TEXT(str_c(nasty[i]))),
			&et);
		CHECK(row_next(r, &e, &et));
		CHECK_INT(row_i64(r, 0), (long long)i);
		CHECK_STR(row_text(r, 1), nasty[i]);
		CHECK(!row_next(r, &e, &et));
		row_free(r);
	}
	db_rollback(tx);
	db_close(db);
}

static void expect_refused(
	struct db *db, enum err want, const char *sql, const struct param *p, size_t n)
{
	struct tx *tx;
	CHECK_OK(db_begin(db, TX_WRITE, &tx, &et), &et);
	CHECK_ERR(db_exec_n(tx, &et, sql, p, n), want);
	CHECK(et.msg[0]);
	db_rollback(tx);
}

static void test_store_db__misuse_is_an_error(void)
{
	struct db *db = open_db();
	make_items(db);
	struct param one = P_I64(1), nul = P_TEXT(str_mk("a\0b", 3)), bad = P_TEXT(S("\xFF"));
	expect_refused(db, ERR_INTERNAL, "SELECT 1; SELECT 2", NULL, 0);
	expect_refused(db, ERR_INTERNAL, "", NULL, 0);
	expect_refused(db, ERR_INTERNAL, "DELETE FROM item WHERE id = ?", NULL, 0);
	expect_refused(db, ERR_INTERNAL, "DELETE FROM item WHERE id = ?1", &one, 1);
	expect_refused(db, ERR_INTERNAL, "DELETE FROM item WHERE id = :id", &one, 1);
	expect_refused(db, ERR_INTERNAL, "DELETE FROM nothing", NULL, 0);
	expect_refused(db, ERR_INTERNAL, "DELETE FROM item WHERE name = \"text\"", NULL, 0);
	expect_refused(db, ERR_INVALID, "DELETE FROM item WHERE name = ?", &nul, 1);
	expect_refused(db, ERR_INVALID, "DELETE FROM item WHERE name = ?", &bad, 1);
	struct db *other;
	CHECK_ERR(db_open("mysql:/x", &other, &et), ERR_INVALID);
	CHECK_ERR(db_open("sqlite:", &other, &et), ERR_INVALID);
	CHECK_ERR(db_open("sqlite:/nowhere/at/all.db", &other, &et), ERR_NOT_FOUND);
	CHECK_ERR(db_open("secret:hunter2@host", &other, &et), ERR_INVALID);
	CHECK(!strstr(et.msg, "hunter2"));
	db_close(db);
}

static void test_store_db__a_failed_statement_ends_the_transaction(void)
{
	struct db *db = open_db();
	make_items(db);
	put_item(db, 1, S("one"));
	struct tx *tx;
	CHECK_OK(db_begin(db, TX_WRITE, &tx, &et), &et);
	CHECK_OK(db_exec(tx, &et, "INSERT INTO item (id) VALUES (?)", P_I64(2)), &et);
	CHECK_ERR(db_exec(tx, &et, "INSERT INTO item (id) VALUES (?)", P_I64(1)), ERR_CONFLICT);
	CHECK_ERR(db_exec(tx, &et, "INSERT INTO item (id) VALUES (?)", P_I64(3)), ERR_CONFLICT);
	CHECK_ERR(db_commit(tx, &et), ERR_CONFLICT);
	CHECK_INT(one_i64(db, "SELECT COUNT(*) FROM item"), 1);
	/* foreign keys are on, and reads cannot write */
	expect_refused(db, ERR_CONFLICT, "INSERT INTO part (id, item) VALUES (1, 99)", NULL, 0);
	CHECK_OK(db_begin(db, TX_READ, &tx, &et), &et);
	CHECK(db_exec(tx, &et, "DELETE FROM item") != OK);
	db_rollback(tx);
	CHECK_INT(one_i64(db, "SELECT COUNT(*) FROM item"), 1);
	db_close(db);
}

static void test_store_db__rollback_and_rows_that_outlive(void)
{
	struct db *db = open_db();
	make_items(db);
	put_item(db, 1, S("one"));
	struct tx *tx;
	struct row *r;
	enum err e = OK;
	CHECK_OK(db_begin(db, TX_WRITE, &tx, &et), &et);
	CHECK_OK(db_exec(tx, &et, "DELETE FROM item"), &et);
	CHECK_INT(db_changes(tx), 1);
	CHECK_OK(db_query(tx, &r, &et, "SELECT COUNT(*) FROM item"), &et);
	CHECK(row_next(r, &e, &et));
	db_rollback(tx);
	CHECK(!row_next(r, &e, &et));
	row_free(r);
	CHECK_INT(one_i64(db, "SELECT COUNT(*) FROM item"), 1);
	db_close(db);
}

static void test_store_db__a_reader_sees_one_state(void)
{
	struct db *db = open_db();
	make_items(db);
	put_item(db, 1, S("one"));
	struct tx *old;
	struct row *r;
	enum err e = OK;
	CHECK_OK(db_begin(db, TX_READ, &old, &et), &et);
	put_item(db, 2, S("two"));
	CHECK_INT(one_i64(db, "SELECT COUNT(*) FROM item"), 2);
	CHECK_OK(db_query(old, &r, &et, "SELECT COUNT(*) FROM item"), &et);
	CHECK(row_next(r, &e, &et));
	CHECK_INT(row_i64(r, 0), 1);
	row_free(r);
	db_rollback(old);
	db_close(db);
}

static void test_store_db__the_same_query_inside_its_own_loop(void)
{
	struct db *db = open_db();
	make_items(db);
	for (int i = 0; i < 10; i++)
		put_item(db, i, S("x"));
	static const char sql[] = "SELECT id FROM item WHERE id >= ? ORDER BY id";
	struct tx *tx;
	struct row *outer, *inner;
	enum err e = OK;
	int pairs = 0;
	CHECK_OK(db_begin(db, TX_READ, &tx, &et), &et);
	CHECK_OK(db_query(tx, &outer, &et, sql, P_I64(0)), &et);
	while (row_next(outer, &e, &et)) {
		CHECK_OK(db_query(tx, &inner, &et, sql, P_I64(row_i64(outer, 0))), &et);
		while (row_next(inner, &e, &et))
			pairs++;
		row_free(inner);
	}
	row_free(outer);
	CHECK_INT(pairs, 55);
	/* more different statements than are kept */
	for (int i = 0; i < 500; i++) {
		char text[64];
		snprintf(text, sizeof text, "SELECT %d", i);
		CHECK_OK(db_query(tx, &inner, &et, text), &et);
		CHECK(row_next(inner, &e, &et) && row_i64(inner, 0) == i);
		row_free(inner);
	}
	db_rollback(tx);
	db_close(db);
}

static void test_store_db__migrations_once_and_unchanged(void)
{
	static const struct migration v1[] = {{1, "a", "CREATE TABLE a (x BIGINT)"}};
	static const struct migration v2[] = {{1, "a", "CREATE TABLE a (x BIGINT)"},
		{2, "b", "CREATE TABLE b (x BIGINT); INSERT INTO b (x) VALUES (7);"}};
	static const struct migration changed[] = {{1, "a", "CREATE TABLE a (x BIGINT, y BIGINT)"}};
	static const struct migration broken[] = {
		{1, "a", "CREATE TABLE c (x BIGINT); CREATE TABLE"}};
	static const struct migration gap[] = {{2, "a", "CREATE TABLE c (x BIGINT)"}};
	struct db *db = open_db();
	CHECK_OK(db_migrate(db, "m", v1, 1, &et), &et);
	CHECK_OK(db_migrate(db, "m", v1, 1, &et), &et);
	CHECK_OK(db_migrate(db, "m", v2, 2, &et), &et);
	CHECK_OK(db_migrate(db, "m", v2, 2, &et), &et);
	CHECK_INT(one_i64(db, "SELECT SUM(x) FROM b"), 7);
	CHECK_ERR(db_migrate(db, "m", v1, 1, &et), ERR_CONFLICT);
	CHECK(strstr(et.msg, "newer"));
	CHECK(db_migrate(db, "broken", broken, 1, &et) != OK);
	expect_refused(db, ERR_INTERNAL, "SELECT x FROM c", NULL, 0);
	CHECK_ERR(db_migrate(db, "gap", gap, 1, &et), ERR_INTERNAL);
	CHECK_OK(db_migrate(db, "other", changed + 1, 0, &et), &et);
	struct db *again;
	db_close(db);
	CHECK_OK(db_open(url, &again, &et), &et);
	CHECK_OK(db_migrate(again, "m", v2, 2, &et), &et);
	struct migration tampered[2] = {changed[0], v2[1]};
	CHECK_ERR(db_migrate(again, "m", tampered, 2, &et), ERR_CONFLICT);
	db_close(again);
}

static void test_store_db__the_file_is_private(void)
{
	struct db *db = open_db();
	make_items(db);
	char path[600];
	struct stat st;
	static const char *const ends[] = {"", "-wal", "-shm"};
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		snprintf(path, sizeof path, "%s%s", url + strlen("sqlite:"), ends[i]);
		CHECK(stat(path, &st) == 0);
		CHECK_INT(st.st_mode & 077, 0);
	}
	db_close(db);
}

/* ---- many threads ---- */

enum { THREADS = 8, EACH = 40 };
static struct db *shared;
static atomic_int seen_backwards;

static void *add_rows(void *arg)
{
	int64_t base = (int64_t)(intptr_t)arg * EACH, last = 0;
	for (int64_t i = 0; i < EACH; i++) {
		put_item(shared, base + i, S("t"));
		int64_t now = one_i64(shared, "SELECT COUNT(*) FROM item");
		if (now <= last)
			atomic_fetch_add(&seen_backwards, 1);
		last = now;
	}
	return NULL;
}

static void test_store_db__many_threads(void)
{
	shared = open_db();
	make_items(shared);
	pthread_t t[THREADS];
	for (int i = 0; i < THREADS; i++)
		CHECK_OK(thread_start(&t[i], add_rows, (void *)(intptr_t)i, "rows", &et), &et);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	CHECK_INT(one_i64(shared, "SELECT COUNT(*) FROM item"), THREADS * EACH);
	CHECK_INT(atomic_load(&seen_backwards), 0);
	CHECK_OK(db_check(shared, true, &et), &et);
	db_close(shared);
}

static void *try_to_write(void *arg)
{
	struct tx *tx;
	enum err *e = arg;
	*e = db_begin(shared, TX_WRITE, &tx, NULL);
	if (!*e)
		db_rollback(tx);
	return NULL;
}

static void test_store_db__waiting_has_an_end(void)
{
	shared = open_db();
	make_items(shared);
	db_set_wait(shared, 100);
	struct tx *tx, *second;
	pthread_t t;
	enum err e = OK;
	CHECK_OK(db_begin(shared, TX_WRITE, &tx, &et), &et);
	CHECK_ERR(db_begin(shared, TX_WRITE, &second, &et), ERR_INTERNAL);
	CHECK_OK(thread_start(&t, try_to_write, &e, "writer", &et), &et);
	pthread_join(t, NULL);
	CHECK_ERR(e, ERR_BUSY);
	CHECK_OK(db_exec(tx, &et, "INSERT INTO item (id) VALUES (1)"), &et);
	CHECK_OK(db_commit(tx, &et), &et);
	try_to_write(&e);
	CHECK_ERR(e, OK);
	/* readers too: 16 and no more */
	struct tx *readers[16];
	for (int i = 0; i < 16; i++)
		CHECK_OK(db_begin(shared, TX_READ, &readers[i], &et), &et);
	CHECK_ERR(db_begin(shared, TX_READ, &second, &et), ERR_BUSY);
	for (int i = 0; i < 16; i++)
		db_rollback(readers[i]);
	CHECK_OK(db_begin(shared, TX_READ, &second, &et), &et);
	db_rollback(second);
	db_close(shared);
}

/* ---- shared commits ---- */

struct insert {
	int64_t id;
	bool refuse;
	unsigned runs;
};

static enum err insert_one(struct tx *tx, void *ctx, struct errtext *why)
{
	struct insert *in = ctx;
	in->runs++;
	enum err e = db_exec(tx, why, "INSERT INTO item (id, name) VALUES (?, ?)", P_I64(in->id),
		P_TEXT(S("w")));
	if (!e && in->refuse)
		return err_set(why, ERR_LIMIT, "refused %lld", (long long)in->id);
	return e;
}

static enum err write_one(int64_t id, bool refuse)
{
	struct insert in = {id, refuse, 0};
	enum err e = db_write(shared, insert_one, &in, &et);
	CHECK_INT(in.runs, 1);
	return e;
}

static atomic_int wrong_answers;

/* Of every four: two stand, one is refused by its own function, one collides. */
static void *write_some(void *arg)
{
	struct errtext why;
	int64_t base = (int64_t)(intptr_t)arg * EACH;
	for (int64_t i = 0; i < EACH; i++) {
		struct insert in = {i % 4 == 2 ? -1 : base + i, i % 4 == 3, 0};
		enum err e = db_write(shared, insert_one, &in, &why);
		enum err want = i % 4 == 2 ? ERR_CONFLICT : i % 4 == 3 ? ERR_LIMIT : OK;
		if (e != want)
			atomic_fetch_add(&wrong_answers, 1);
	}
	return NULL;
}

static void test_store_db__shared_commits_keep_each_ones_own_fate(void)
{
	shared = open_db();
	make_items(shared);
	CHECK_OK(write_one(-1, false), &et);
	CHECK_ERR(write_one(-1, false), ERR_CONFLICT);
	CHECK_ERR(write_one(-2, true), ERR_LIMIT);
	CHECK(strstr(et.msg, "refused -2"));
	pthread_t t[THREADS];
	for (int i = 0; i < THREADS; i++)
		CHECK_OK(thread_start(&t[i], write_some, (void *)(intptr_t)i, "w", &et), &et);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	CHECK_INT(atomic_load(&wrong_answers), 0);
	CHECK_INT(one_i64(shared, "SELECT COUNT(*) FROM item"), 1 + THREADS * EACH / 2);
	CHECK_INT(one_i64(shared, "SELECT COUNT(*) FROM item WHERE id = -2"), 0);
	db_close(shared);
}

static enum err write_inside(struct tx *tx, void *ctx, struct errtext *why)
{
	struct insert in = {1, false, 0};
	return db_write(shared, insert_one, &in, why);
}

static void test_store_db__a_shared_commit_needs_the_writer(void)
{
	shared = open_db();
	make_items(shared);
	db_set_wait(shared, 50);
	struct tx *tx;
	CHECK_OK(db_begin(shared, TX_WRITE, &tx, &et), &et);
	struct insert in = {1, false, 0};
	CHECK_ERR(db_write(shared, insert_one, &in, &et), ERR_INTERNAL);
	pthread_t t;
	CHECK_OK(thread_start(&t, write_some, NULL, "w", &et), &et);
	pthread_join(t, NULL);
	CHECK_INT(
		atomic_load(&wrong_answers), EACH); /* each was told that it had to wait too long */
	db_rollback(tx);
	CHECK_ERR(db_write(shared, write_inside, NULL, &et), ERR_INTERNAL);
	CHECK_OK(write_one(5, false), &et);
	CHECK_INT(one_i64(shared, "SELECT COUNT(*) FROM item"), 1);
	db_close(shared);
}

/* ---- damage ---- */

static void test_store_db__damage_is_found_or_harmless(void)
{
	struct db *db = open_db();
	make_items(db);
	struct tx *tx;
	CHECK_OK(db_begin(db, TX_WRITE, &tx, &et), &et);
	for (int i = 0; i < 3000; i++)
		CHECK_OK(db_exec(tx, &et, "INSERT INTO item (id, name) VALUES (?, ?)", P_I64(i),
				 P_TEXT(S("some text that fills the pages of this file"))),
			&et);
	CHECK_OK(db_commit(tx, &et), &et);
	db_close(db);
	struct buf good = {0};
	const char *path = url + strlen("sqlite:");
	CHECK_OK(os_read_file(path, 0, &good, &et), &et);
	srand(7);
	unsigned found = 0;
	enum { TRIALS = 60 };
	for (int i = 0; i < TRIALS; i++) {
		char *bad = malloc(good.n);
		memcpy(bad, good.p, good.n);
		for (int k = 0; k < 64; k++)
			bad[(size_t)rand() % good.n] = (char)rand();
		CHECK_OK(os_write_atomic(path, str_mk(bad, good.n), &et), &et);
		free(bad);
		enum err e = db_open(url, &db, &et);
		if (e) {
			found++;
			continue;
		}
		e = db_check(db, true, &et);
		found += e != OK;
		enum err q = db_begin(db, TX_READ, &tx, &et);
		struct row *r = NULL;
		if (!q) {
			q = db_query(tx, &r, &et, "SELECT id, name FROM item ORDER BY id");
			while (!q && row_next(r, &q, &et))
				(void)row_text(r, 1);
			row_free(r);
			db_rollback(tx);
		}
		db_close(db);
	}
	tap_note("64 random bytes changed: found in %u of %d", found, TRIALS);
	CHECK(found > TRIALS / 2);
	buf_free(&good);
}

#define ON_EACH(X)                                                \
	X(test_store_db__values_come_back_as_they_went)           \
	X(test_store_db__injection_strings_are_only_text)         \
	X(test_store_db__misuse_is_an_error)                      \
	X(test_store_db__a_failed_statement_ends_the_transaction) \
	X(test_store_db__rollback_and_rows_that_outlive)          \
	X(test_store_db__a_reader_sees_one_state)                 \
	X(test_store_db__the_same_query_inside_its_own_loop)      \
	X(test_store_db__migrations_once_and_unchanged)           \
	X(test_store_db__many_threads)                            \
	X(test_store_db__waiting_has_an_end)                      \
	X(test_store_db__shared_commits_keep_each_ones_own_fate)  \
	X(test_store_db__a_shared_commit_needs_the_writer)

#define ON_POSTGRES(name)                 \
	static void name##_postgres(void) \
	{                                 \
		on_postgres = true;       \
		name();                   \
	}
ON_EACH(ON_POSTGRES)

#define ROWS(name) T(name), T(name##_postgres),
TESTS(ON_EACH(ROWS) T(test_store_db__the_file_is_private),
	T(test_store_db__damage_is_found_or_harmless))
