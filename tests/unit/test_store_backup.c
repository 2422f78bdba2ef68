/* Backups: from either backend to either, every kind of damage, and what must be refused. */
#include "tap.h"
#include "base/clock.h"
#include "store/backup_int.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct errtext et;

static const struct migration v1[] = {
	{1, "tables",
		"CREATE TABLE zoo (id BIGINT PRIMARY KEY, name TEXT, weight DOUBLE PRECISION, "
		"photo "
		"BLOB);"
		"CREATE TABLE animal (zoo BIGINT NOT NULL REFERENCES zoo (id), tag TEXT NOT NULL, "
		"note TEXT, PRIMARY KEY (zoo, tag));"
		"CREATE TABLE plain (x TEXT, y BIGINT);"
		"INSERT INTO plain (x, y) VALUES ('made by the migration', 1);"},
	{2, "more", "ALTER TABLE zoo ADD COLUMN kind TEXT; CREATE TABLE later (z BIGINT);"},
};
static const struct schema_part parts[] = {{"zoo", v1, 2}};

static struct db *open_url(const char *url)
{
	struct db *db;
	CHECK_OK(db_open(url, &db, &et), &et);
	return db;
}

/* A fresh database of either backend. */
static struct db *fresh(bool postgres)
{
	static unsigned n;
	char url[600];
	snprintf(url, sizeof url, "sqlite:%s/%u.db", tap_tmpdir(), n++);
	return open_url(postgres ? tap_pg_url() : url);
}

static struct blobs *fresh_blobs(void)
{
	static unsigned n;
	char url[600];
	struct blobs *b;
	snprintf(url, sizeof url, "file:%s/blobs%u", tap_tmpdir(), n++);
	CHECK_OK(blobs_open(url, &b, &et), &et);
	return b;
}

static void migrate(struct db *db)
{
	CHECK_OK(db_migrate_own(db, &et), &et);
	CHECK_OK(db_migrate(db, "zoo", v1, 2, &et), &et);
}

static void fill(struct db *db)
{
	static const double weights[] = {0.1, -0.0, 1e-310, INFINITY, -INFINITY, 5e300, 1.0 / 3};
	struct tx *tx;
	migrate(db);
	CHECK_OK(db_begin(db, TX_WRITE, &tx, &et), &et);
	for (int64_t i = 0; i < 200; i++) {
		uint8_t photo[40];
		random_bytes(photo, sizeof photo);
		CHECK_OK(db_exec(tx, &et,
				 "INSERT INTO zoo (id, name, weight, photo, kind) VALUES "
				 "(?,?,?,?,?)",
				 P_I64(i ? INT64_MIN + i * 7919 : INT64_MAX),
				 P_TEXT(i % 3 ? S("na\xC3\xAFve \"quoted\"\n\t\\ \x01 "
						  "\xF0\x9F\xA6\x93")
					      : S("")),
				 P_F64(weights[i % 7]), P_BLOB(str_mk(photo, (size_t)i % 41)),
				 i % 5 ? P_NULL : P_TEXT(S("x"))),
			&et);
		CHECK_OK(db_exec(tx, &et, "INSERT INTO animal (zoo, tag, note) VALUES (?,?,?)",
				 P_I64(i ? INT64_MIN + i * 7919 : INT64_MAX),
				 P_TEXT(i % 2 ? S("b") : S("A")), P_NULL),
			&et);
	}
	CHECK_OK(db_exec(tx, &et, "INSERT INTO plain (x, y) VALUES ('mine', 2)"), &et);
	CHECK_OK(db_commit(tx, &et), &et);
}

static const char *backup_path(void)
{
	static char path[600];
	snprintf(path, sizeof path, "%s/backup.tar", tap_tmpdir());
	return path;
}

static enum err to_fd(void *ctx, struct str bytes)
{
	return os_write_all(*(int *)ctx, bytes.p, bytes.n, NULL);
}

static struct backup_info make(struct db *db, struct blobs *blobs)
{
	struct backup_info info;
	int fd = open(backup_path(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	CHECK_OK(backup_make(db, blobs, to_fd, &fd, &info, NULL, &et), &et);
	close(fd);
	return info;
}

struct hashed {
	struct sha256 h;
	uint64_t rows;
};

static enum err hash_line(void *ctx, struct str line, struct errtext *why)
{
	struct hashed *h = ctx;
	sha256_add(&h->h, line.p, line.n);
	h->rows++;
	return OK;
}

/* Of all rows of all tables. */
static void fingerprint(struct db *db, char hex[SHA256_HEX + 1])
{
	struct hashed h = {0};
	struct tx *tx;
	struct table *t;
	size_t n;
	uint8_t sum[SHA256_BYTES];
	struct arena *a = arena_new(0);
	CHECK_OK(sha256_init(&h.h), &et);
	CHECK_OK(db_begin(db, TX_READ, &tx, &et), &et);
	CHECK_OK(schema_read(tx, a, &t, &n, &et), &et);
	for (size_t i = 0; i < n; i++)
		CHECK_OK(table_rows(tx, &t[i], hash_line, &h, NULL, &et), &et);
	db_rollback(tx);
	arena_free(a);
	sha256_end(&h.h, sum);
	hex_encode(sum, sizeof sum, hex);
	CHECK(h.rows >= 402);
}

static void round_trip(bool from_pg, bool to_pg)
{
	struct db *db = fresh(from_pg), *to = fresh(to_pg);
	struct blobs *blobs = fresh_blobs(), *to_blobs = fresh_blobs();
	char a[SHA256_HEX + 1], b[SHA256_HEX + 1], hex[3][SHA256_HEX + 1];
	char *big = calloc(1, 3000000);
	fill(db);
	CHECK_OK(blob_put(blobs, S("small"), hex[0], &et), &et);
	CHECK_OK(blob_put(blobs, S(""), hex[1], &et), &et);
	CHECK_OK(blob_put(blobs, str_mk(big, 3000000), hex[2], &et), &et);
	struct backup_info made = make(db, blobs), restored;
	CHECK_INT(made.blobs, 3);
	CHECK_OK(backup_restore(backup_path(), to, to_blobs, parts, 1, &restored, NULL, &et), &et);
	CHECK_INT(restored.rows, made.rows);
	CHECK_INT(restored.bytes, made.bytes);
	fingerprint(db, a);
	fingerprint(to, b);
	CHECK_STR(str_c(b), a);
	for (int i = 0; i < 3; i++) {
		struct os_map map;
		CHECK_OK(blob_get(to_blobs, hex[i], true, &map, &et), &et);
		os_unmap(&map);
	}
	migrate(to); /* it is a database like any other */
	fingerprint(to, b);
	CHECK_STR(str_c(b), a);
	CHECK_ERR(backup_restore(backup_path(), to, to_blobs, parts, 1, NULL, NULL, &et),
		ERR_CONFLICT);
	db_close(db);
	db_close(to);
	blobs_close(blobs);
	blobs_close(to_blobs);
	free(big);
}

static void test_store_backup__sqlite_to_sqlite(void)
{
	round_trip(false, false);
}

static void test_store_backup__sqlite_to_postgres_and_back(void)
{
	round_trip(false, true);
	round_trip(true, false);
	round_trip(true, true);
}

static void copied_table(void *ctx, const struct copied *t)
{
	*(uint64_t *)ctx += t->rows;
}

static void test_store_backup__copies_between_databases(void)
{
	char a[SHA256_HEX + 1], b[SHA256_HEX + 1];
	struct db *db = fresh(false), *pg = fresh(true), *back = fresh(false);
	uint64_t rows = 0;
	fill(db);
	CHECK_OK(db_copy(db, pg, parts, 1, copied_table, &rows, NULL, &et), &et);
	CHECK_INT(rows, 402);
	CHECK_OK(db_copy(pg, back, parts, 1, copied_table, &rows, NULL, &et), &et);
	fingerprint(db, a);
	fingerprint(back, b);
	CHECK_STR(str_c(b), a);
	CHECK_ERR(db_copy(db, pg, parts, 1, NULL, NULL, NULL, &et), ERR_CONFLICT);
	struct schema_part older[] = {{"zoo", v1, 1}};
	struct db *third = fresh(false);
	CHECK_ERR(db_copy(db, third, older, 1, NULL, NULL, NULL, &et), ERR_CONFLICT);
	CHECK_OK(db_copy(db, third, parts, 1, NULL, NULL, NULL, &et), &et); /* nothing had stayed */
	db_close(db);
	db_close(pg);
	db_close(back);
	db_close(third);
}

/* An older schema, then this build: restored as it was, and migrated on. */
static void test_store_backup__of_an_older_schema(void)
{
	struct db *db = fresh(false), *to = fresh(false);
	struct blobs *blobs = fresh_blobs();
	struct tx *tx;
	CHECK_OK(db_migrate_own(db, &et), &et);
	CHECK_OK(db_migrate(db, "zoo", v1, 1, &et), &et);
	CHECK_OK(db_begin(db, TX_WRITE, &tx, &et), &et);
	CHECK_OK(db_exec(tx, &et, "INSERT INTO zoo (id, name) VALUES (1, 'old')"), &et);
	CHECK_OK(db_commit(tx, &et), &et);
	make(db, blobs);
	CHECK_OK(backup_restore(backup_path(), to, blobs, parts, 1, NULL, NULL, &et), &et);
	CHECK_OK(db_begin(to, TX_WRITE, &tx, &et), &et);
	CHECK(db_exec(tx, &et, "UPDATE zoo SET kind = 'x'") != OK);
	db_rollback(tx);
	CHECK_OK(db_migrate(to, "zoo", v1, 2, &et), &et);
	CHECK_OK(db_begin(to, TX_WRITE, &tx, &et), &et);
	CHECK_OK(db_exec(tx, &et, "UPDATE zoo SET kind = 'x'"), &et);
	CHECK_INT(db_changes(tx), 1);
	db_rollback(tx);
	db_close(db);
	db_close(to);
	blobs_close(blobs);
}

static void test_store_backup__what_this_build_does_not_know(void)
{
	static const struct migration other[] = {
		{1, "tables", "CREATE TABLE zoo (id BIGINT PRIMARY KEY)"}, {2, "x", "SELECT 1"}};
	struct schema_part older[] = {{"zoo", v1, 1}}, changed[] = {{"zoo", other, 2}},
			   without[] = {{"other", v1, 2}};
	struct db *db = fresh(false), *to = fresh(false);
	struct blobs *blobs = fresh_blobs();
	fill(db);
	make(db, blobs);
	CHECK_ERR(
		backup_restore(backup_path(), to, blobs, older, 1, NULL, NULL, &et), ERR_CONFLICT);
	CHECK(strstr(et.msg, "newer Croft"));
	CHECK_ERR(backup_restore(backup_path(), to, blobs, without, 1, NULL, NULL, &et),
		ERR_CONFLICT);
	CHECK_ERR(backup_restore(backup_path(), to, blobs, changed, 1, NULL, NULL, &et),
		ERR_CONFLICT);
	CHECK_OK(backup_restore(backup_path(), to, blobs, parts, 1, NULL, NULL, &et), &et);
	db_close(db);
	db_close(to);
	blobs_close(blobs);
}

static enum err refuse_after(void *ctx, struct str bytes)
{
	size_t *left = ctx;
	if (*left < bytes.n)
		return ERR_NO_SPACE;
	*left -= bytes.n;
	return OK;
}

static void test_store_backup__a_full_disk_and_a_cancel(void)
{
	struct db *db = fresh(false);
	struct blobs *blobs = fresh_blobs();
	fill(db);
	struct backup_info whole = make(db, blobs);
	for (size_t n = 0; n < whole.bytes; n += 1500) {
		size_t left = n;
		CHECK_ERR(
			backup_make(db, blobs, refuse_after, &left, NULL, NULL, &et), ERR_NO_SPACE);
	}
	struct cancel stop = {0};
	size_t plenty = SIZE_MAX;
	cancel_set(&stop);
	CHECK_ERR(backup_make(db, blobs, refuse_after, &plenty, NULL, &stop, &et), ERR_CANCELLED);
	CHECK_ERR(backup_verify(backup_path(), &whole, &stop, &et), ERR_CANCELLED);
	db_close(db);
	blobs_close(blobs);
}

/* Every byte of the file: a change is found, or it stands where nothing is read (padding). */
static void test_store_backup__damage_is_found(void)
{
	struct db *db = fresh(false), *to = fresh(false);
	struct blobs *blobs = fresh_blobs();
	char hex[SHA256_HEX + 1];
	struct buf good = {0};
	struct backup_info info;
	CHECK_OK(db_migrate_own(db, &et), &et);
	CHECK_OK(db_migrate(db, "zoo", v1, 2, &et), &et);
	CHECK_OK(blob_put(blobs, S("a blob"), hex, &et), &et);
	make(db, blobs);
	CHECK_OK(os_read_file(backup_path(), 0, &good, &et), &et);
	char *copy = malloc(good.n);
	memcpy(copy, good.p, good.n);
	int fd = open(backup_path(), O_RDWR);
	size_t unseen = 0, zeros = 0;
	for (size_t i = 0; i < good.n; i++) {
		char bad = (char)(copy[i] ^ (1 << (i % 8)));
		CHECK(pwrite(fd, &bad, 1, (off_t)i) == 1);
		zeros += copy[i] == 0;
		if (!backup_verify(backup_path(), &info, NULL, &et)) {
			/* padding, the end of a header's sum, dates in the manifest */
			if (copy[i] && i % TAR_BLOCK != 155 && i < good.n - 6000)
				FAIL("byte %zu (%c) is not looked at", i, copy[i]);
			unseen++;
		}
		CHECK(pwrite(fd, &copy[i], 1, (off_t)i) == 1);
	}
	tap_note("%zu of %zu single changes are not seen; %zu bytes are padding", unseen, good.n,
		zeros);
	CHECK(unseen < zeros);
	CHECK_OK(backup_verify(backup_path(), &info, NULL, &et), &et);
	/* cut off anywhere but in the two empty blocks at the end */
	for (size_t n = 0; n + 1024 < good.n; n += 97) {
		CHECK(ftruncate(fd, (off_t)n) == 0);
		CHECK_ERR(backup_verify(backup_path(), &info, NULL, &et), ERR_CORRUPT);
		CHECK_ERR(backup_restore(backup_path(), to, blobs, parts, 1, NULL, NULL, &et),
			ERR_CORRUPT);
		CHECK(pwrite(fd, copy, good.n, 0) == (ssize_t)good.n);
	}
	CHECK_OK(backup_restore(backup_path(), to, blobs, parts, 1, NULL, NULL, &et), &et);
	close(fd);
	free(copy);
	buf_free(&good);
	db_close(db);
	db_close(to);
	blobs_close(blobs);
}

static void test_store_backup__sizes_in_headers(void)
{
	static const uint64_t sizes[] = {
		0, 1, 511, 512, (1ull << 33) - 1, 1ull << 33, 1ull << 45, INT64_MAX};
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		char block[TAR_BLOCK], name[TAR_NAME_MAX + 1];
		uint64_t size = 1;
		bool end;
		tar_header("blobs/x", sizes[i], 1700000000, block);
		CHECK(tar_parse(block, name, &size, &end) && !end);
		CHECK(size == sizes[i]);
		CHECK_STR(str_c(name), "blobs/x");
	}
	/* GNU tar reads it */
	struct db *db = fresh(false);
	struct blobs *blobs = fresh_blobs();
	char cmd[900];
	fill(db);
	make(db, blobs);
	snprintf(cmd, sizeof cmd,
		"test \"$(tar xOf %s tables/plain/000000 | wc -l)\" = 2 && tar tf %s | tail -1 | "
		"grep -q "
		"'^manifest.json$'",
		backup_path(), backup_path());
	CHECK_INT(system(cmd), 0);
	db_close(db);
	blobs_close(blobs);
}

TESTS(T(test_store_backup__sqlite_to_sqlite), T(test_store_backup__sqlite_to_postgres_and_back),
	T(test_store_backup__copies_between_databases), T(test_store_backup__of_an_older_schema),
	T(test_store_backup__what_this_build_does_not_know),
	T(test_store_backup__a_full_disk_and_a_cancel), T(test_store_backup__damage_is_found),
	T(test_store_backup__sizes_in_headers))
