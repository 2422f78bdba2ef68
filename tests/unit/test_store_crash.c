/* What was acknowledged is there after the process is killed, and after the power goes: kill -9 at
 * random points, and a disk that loses or tears what was not synced. */
#include "tap.h"
#include "base/clock.h"
#include "store/blob.h"
#include "store/db.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static struct errtext et;

static const struct migration schema[] = {
	{1, "entries",
		"CREATE TABLE entry (number BIGINT NOT NULL, part BIGINT NOT NULL, blob TEXT, data "
		"TEXT, "
		"PRIMARY KEY (number, part)); CREATE INDEX entry_data ON entry (data);"},
};

static void urls(char db_url[600], char blob_url[600])
{
	snprintf(db_url, 600, "sqlite:%s/croft.db", tap_tmpdir());
	snprintf(blob_url, 600, "file:%s/blobs", tap_tmpdir());
}

static int64_t parts_of(int64_t number)
{
	return 1 + number % 7;
}

static enum err write_number(struct db *db, struct blobs *b, int64_t number)
{
	char text[4000], hex[SHA256_HEX + 1];
	struct tx *tx;
	int n = snprintf(text, sizeof text, "content of %lld", (long long)number);
	enum err e = OK;
	if (b)
		e = blob_put(b, str_mk(text, (size_t)n), hex, &et);
	if (!e)
		e = db_begin(db, TX_WRITE, &tx, &et);
	if (e)
		return e;
	memset(text, 'a' + (int)(number % 26), sizeof text);
	for (int64_t p = 0; !e && p < parts_of(number); p++)
		e = db_exec(tx, &et,
			"INSERT INTO entry (number, part, blob, data) VALUES (?, ?, ?, ?)",
			P_I64(number), P_I64(p), P_TEXT(b ? str_c(hex) : ((struct str){0})),
			P_TEXT(str_mk(text, (size_t)(number * 131 % (int64_t)sizeof text))));
	if (!e && number % 10 == 0) /* and some that rewrite what is there */
		e = db_exec(tx, &et, "UPDATE entry SET data = 'rewritten' WHERE number = ?",
			P_I64(number - 5));
	if (e) {
		db_rollback(tx);
		return e;
	}
	return db_commit(tx, &et);
}

/* The numbers are 1..last without gaps, each whole, its blob readable; returns last. */
static int64_t verify(struct db *db, struct blobs *b)
{
	struct tx *tx;
	struct row *r;
	enum err e = OK;
	int64_t last = 0;
	CHECK_OK(db_check(db, true, &et), &et);
	CHECK_OK(db_begin(db, TX_READ, &tx, &et), &et);
	CHECK_OK(db_query(tx, &r, &et,
			 "SELECT number, COUNT(*), MIN(blob) FROM entry GROUP BY number ORDER BY "
			 "number"),
		&et);
	while (row_next(r, &e, &et)) {
		CHECK_INT(row_i64(r, 0), last + 1);
		last = row_i64(r, 0);
		CHECK_INT(row_i64(r, 1), parts_of(last));
		char hex[SHA256_HEX + 1];
		struct os_map m;
		if (!b)
			continue;
		snprintf(hex, sizeof hex, "%.*s", STR_FMT(row_text(r, 2)));
		CHECK_OK(blob_get(b, hex, true, &m, &et), &et);
		os_unmap(&m);
	}
	CHECK_OK(e, &et);
	row_free(r);
	db_rollback(tx);
	return last;
}

static void child_writes(int ack)
{
	char db_url[600], blob_url[600];
	struct db *db;
	struct blobs *b;
	urls(db_url, blob_url);
	CHECK_OK(db_open(db_url, &db, &et), &et);
	CHECK_OK(db_migrate(db, "crash", schema, ARRAY_LEN(schema), &et), &et);
	CHECK_OK(blobs_open(blob_url, &b, &et), &et);
	for (int64_t n = verify(db, NULL) + 1;; n++) {
		CHECK_OK(write_number(db, b, n), &et);
		CHECK(write(ack, &n, sizeof n) == sizeof n);
	}
}

/* A child said n. Each child that was killed since the last word can have committed one more than
 * it said. */
static void heard(int64_t n, int64_t *acked, int64_t *unsaid)
{
	if (n <= *acked || n > *acked + 1 + *unsaid)
		FAIL("%lld follows %lld", (long long)n, (long long)*acked);
	*acked = n;
	*unsaid = 0;
}

static void test_store_crash__kill_9_loses_nothing_acknowledged(void)
{
	char db_url[600], blob_url[600];
	struct db *db;
	struct blobs *b;
	int64_t acked = 0, beyond = 0, unsaid = 0;
	enum { ROUNDS = 60 };
	tap_tmpdir();
	urls(db_url, blob_url);
	srand(11);
	for (int round = 0; round < ROUNDS; round++) {
		int fd[2];
		CHECK(pipe(fd) == 0);
		pid_t pid = fork();
		if (pid == 0) {
			close(fd[0]);
			child_writes(fd[1]);
			_exit(0);
		}
		close(fd[1]);
		/* however slow the disk: some rounds die at the start, the others after a few
		 * writes */
		int64_t n;
		for (int k = rand() % 6; k > 0 && read(fd[0], &n, sizeof n) == sizeof n; k--)
			heard(n, &acked, &unsaid);
		usleep((useconds_t)(rand() % 20000));
		kill(pid, SIGKILL);
		int status;
		waitpid(pid, &status, 0);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		while (read(fd[0], &n, sizeof n) == sizeof n)
			heard(n, &acked, &unsaid);
		unsaid++;
		close(fd[0]);
		if (round % 2)
			continue; /* the next child recovers instead of us */
		CHECK_OK(db_open(db_url, &db, &et), &et);
		CHECK_OK(db_migrate(db, "crash", schema, ARRAY_LEN(schema), &et), &et);
		CHECK_OK(blobs_open(blob_url, &b, &et), &et);
		int64_t last = verify(db, b);
		if (last < acked || last > acked + unsaid)
			FAIL("round %d: %lld acknowledged, %lld there", round, (long long)acked,
				(long long)last);
		beyond += last - acked;
		acked = last;
		unsaid = 0;
		blobs_close(b);
		db_close(db);
	}
	tap_note("%d kills, %lld transactions, %lld committed but not yet acknowledged", ROUNDS,
		(long long)acked, (long long)beyond);
	CHECK(acked > 100);
}

/* ---- a disk that can lose power ----
 *
 * A VFS over the real one. Each file keeps what it held at its last sync and the writes since. At
 * the power cut every later operation fails; then each file becomes its synced content plus, for
 * each later write, by lot: all of it, nothing of it, or its first half (torn). */

enum { FILES = 8, WRITES = 8192 };

struct unsynced {
	sqlite3_int64 at;
	int n; /* -1: truncated to `at` */
	char *bytes;
};

struct disk_file {
	char path[600];
	struct buf synced;
	struct unsynced w[WRITES];
	unsigned n;
};

static struct disk_file disk[FILES];
static long ops_left = -1; /* -1: no cut is planned */
static bool no_power;
/* Faults that pass: after that many operations one fails, or the disk is full for some. */
static long fault_in = -1;
static unsigned full_for;

struct vfile {
	sqlite3_file base;
	struct disk_file *d; /* NULL: not followed (shared memory index, temporary files) */
	sqlite3_file *real;
};

static sqlite3_vfs *real_vfs, power_vfs;

static bool cut(void)
{
	if (ops_left > 0 && --ops_left == 0)
		no_power = true;
	return no_power || (fault_in > 0 && --fault_in == 0 && !full_for);
}

static bool full(void)
{
	return fault_in == 0 && full_for && full_for--;
}

static struct disk_file *disk_file(const char *path)
{
	for (int i = 0; i < FILES; i++) {
		struct disk_file *d = &disk[i];
		if (!d->path[0]) {
			snprintf(d->path, sizeof d->path, "%s", path);
			if (os_exists(path))
				CHECK_OK(os_read_file(path, 0, &d->synced, &et), &et);
		}
		if (strcmp(d->path, path) == 0)
			return d;
	}
	FAIL("too many files");
}

static void remember(struct disk_file *d, sqlite3_int64 at, const void *p, int n)
{
	if (!d)
		return;
	CHECK(d->n < WRITES);
	struct unsynced *w = &d->w[d->n++];
	*w = (struct unsynced){at, n, NULL};
	if (n > 0) {
		w->bytes = malloc((size_t)n);
		memcpy(w->bytes, p, (size_t)n);
	}
}

static void apply(struct buf *to, const struct unsynced *w, int n)
{
	size_t end = (size_t)w->at + (size_t)MAX(n, 0);
	if (n < 0) {
		to->n = MIN(to->n, (size_t)w->at);
		return;
	}
	if (end > to->n) {
		CHECK(buf_reserve(to, end - to->n));
		memset(to->p + to->n, 0, end - to->n);
		to->n = end;
	}
	memcpy(to->p + w->at, w->bytes, (size_t)n);
}

static void settle(struct disk_file *d, bool all)
{
	for (unsigned i = 0; i < d->n; i++) {
		int n = d->w[i].n, lot = all ? 0 : rand() % 4;
		if (lot == 2)
			n = n / 2; /* torn */
		if (lot != 1 && (n >= 0 || lot == 0))
			apply(&d->synced, &d->w[i], n);
		free(d->w[i].bytes);
	}
	d->n = 0;
}

static struct vfile *vf(sqlite3_file *f)
{
	return (struct vfile *)f;
}

static int p_close(sqlite3_file *f)
{
	int rc = vf(f)->real->pMethods ? vf(f)->real->pMethods->xClose(vf(f)->real) : SQLITE_OK;
	free(vf(f)->real);
	return rc;
}

static int p_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	return no_power ? SQLITE_IOERR_READ : vf(f)->real->pMethods->xRead(vf(f)->real, p, n, at);
}

static int p_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	if (cut())
		return SQLITE_IOERR_WRITE;
	if (full())
		return SQLITE_FULL;
	remember(vf(f)->d, at, p, n);
	return vf(f)->real->pMethods->xWrite(vf(f)->real, p, n, at);
}

static int p_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	if (cut())
		return SQLITE_IOERR_TRUNCATE;
	remember(vf(f)->d, size, NULL, -1);
	return vf(f)->real->pMethods->xTruncate(vf(f)->real, size);
}

static int p_sync(sqlite3_file *f, int flags)
{
	if (cut())
		return SQLITE_IOERR_FSYNC;
	if (vf(f)->d)
		settle(vf(f)->d, true);
	return SQLITE_OK; /* the real one would only cost time */
}

static int p_size(sqlite3_file *f, sqlite3_int64 *n)
{
	return vf(f)->real->pMethods->xFileSize(vf(f)->real, n);
}

static int p_lock(sqlite3_file *f, int l)
{
	return vf(f)->real->pMethods->xLock(vf(f)->real, l);
}

static int p_unlock(sqlite3_file *f, int l)
{
	return vf(f)->real->pMethods->xUnlock(vf(f)->real, l);
}

static int p_reserved(sqlite3_file *f, int *out)
{
	return vf(f)->real->pMethods->xCheckReservedLock(vf(f)->real, out);
}

static int p_control(sqlite3_file *f, int op, void *p)
{
	return vf(f)->real->pMethods->xFileControl(vf(f)->real, op, p);
}

static int p_sector(sqlite3_file *f)
{
	return 512;
}

/* Nothing is promised: no atomic and no safe append. */
static int p_device(sqlite3_file *f)
{
	return 0;
}

static int p_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **p)
{
	return vf(f)->real->pMethods->xShmMap(vf(f)->real, page, size, extend, p);
}

static int p_shm_lock(sqlite3_file *f, int off, int n, int flags)
{
	return vf(f)->real->pMethods->xShmLock(vf(f)->real, off, n, flags);
}

static void p_shm_barrier(sqlite3_file *f)
{
	vf(f)->real->pMethods->xShmBarrier(vf(f)->real);
}

static int p_shm_unmap(sqlite3_file *f, int del)
{
	return vf(f)->real->pMethods->xShmUnmap(vf(f)->real, del);
}

static const sqlite3_io_methods power_io = {2, p_close, p_read, p_write, p_truncate, p_sync, p_size,
	p_lock, p_unlock, p_reserved, p_control, p_sector, p_device, p_shm_map, p_shm_lock,
	p_shm_barrier, p_shm_unmap, NULL, NULL};

static int p_open(sqlite3_vfs *v, sqlite3_filename name, sqlite3_file *f, int flags, int *out)
{
	vf(f)->base.pMethods = NULL;
	vf(f)->real = calloc(1, (size_t)real_vfs->szOsFile);
	bool followed =
		name && flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL);
	vf(f)->d = followed ? disk_file(name) : NULL;
	int rc = real_vfs->xOpen(real_vfs, name, vf(f)->real, flags, out);
	if (rc)
		free(vf(f)->real);
	else
		vf(f)->base.pMethods = &power_io;
	return rc;
}

static int p_delete(sqlite3_vfs *v, const char *name, int sync)
{
	if (cut())
		return SQLITE_IOERR_DELETE;
	struct disk_file *d = disk_file(name);
	settle(d, true);
	d->synced.n = 0;
	return real_vfs->xDelete(real_vfs, name, 0);
}

static void plug_in(void)
{
	real_vfs = sqlite3_vfs_find(NULL);
	power_vfs = *real_vfs;
	power_vfs.zName = "power";
	power_vfs.szOsFile = sizeof(struct vfile);
	power_vfs.xOpen = p_open;
	power_vfs.xDelete = p_delete;
	CHECK(sqlite3_vfs_register(&power_vfs, 1) == 0);
}

static void power_returns(void)
{
	for (int i = 0; i < FILES && disk[i].path[0]; i++) {
		settle(&disk[i], false);
		CHECK_OK(os_write_atomic(disk[i].path, buf_str(&disk[i].synced), &et), &et);
	}
	no_power = false;
	ops_left = -1;
}

static void test_store_crash__power_cuts_lose_nothing_acknowledged(void)
{
	char db_url[600], blob_url[600];
	struct db *db;
	int64_t acked = 0, cuts = 0;
	enum { ROUNDS = 250 };
	tap_tmpdir();
	urls(db_url, blob_url);
	srand(5);
	plug_in();
	for (int round = 0; round < ROUNDS; round++) {
		/* every operation of the first transactions, then at random further on */
		ops_left = round < 150 ? round + 1 : 1 + rand() % 1500;
		int64_t n = 0;
		enum err e = db_open(db_url, &db, &et);
		if (!e) {
			e = db_migrate(db, "crash", schema, ARRAY_LEN(schema), &et);
			if (!e)
				e = db_check(db, false, &et);
			for (n = acked + 1; !e; n++) {
				e = write_number(db, NULL, n);
				if (!e)
					acked = n;
			}
			db_close(db);
		}
		cuts += no_power;
		CHECK(no_power);
		power_returns();
		CHECK_OK(db_open(db_url, &db, &et), &et);
		CHECK_OK(db_migrate(db, "crash", schema, ARRAY_LEN(schema), &et), &et);
		int64_t last = verify(db, NULL);
		if (last != acked && last != acked + 1)
			FAIL("round %d: %lld acknowledged, %lld there", round, (long long)acked,
				(long long)last);
		acked = last;
		db_close(db);
	}
	tap_note("%lld power cuts, %lld transactions", (long long)cuts, (long long)acked);
}

static void forget_disk(const char *db_url)
{
	for (int i = 0; i < FILES; i++) {
		for (unsigned k = 0; k < disk[i].n; k++)
			free(disk[i].w[k].bytes);
		disk[i].n = 0;
		disk[i].path[0] = 0;
		buf_clear(&disk[i].synced);
	}
	static const char *const ends[] = {"", "-wal", "-shm"};
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		char path[640];
		snprintf(path, sizeof path, "%s%s", db_url + strlen("sqlite:"), ends[i]);
		unlink(path);
	}
}

/* Writes 1..NUMBERS on a disk that fails on the way; what fails is tried again. */
static unsigned write_through_faults(const char *db_url, enum err want)
{
	enum { NUMBERS = 14 };
	struct db *db = NULL;
	unsigned failures = 0;
	enum err e = ERR_IO;
	while (e) { /* opening it may be what fails */
		e = db_open(db_url, &db, &et);
		if (!e) {
			e = db_migrate(db, "crash", schema, ARRAY_LEN(schema), &et);
			if (e)
				db_close(db);
		}
		failures += e != OK;
		CHECK(failures < 20);
	}
	for (int64_t n = 1; n <= NUMBERS;) {
		e = write_number(db, NULL, n);
		n += e == OK;
		if (e && e != want)
			FAIL("%s instead of %s: %s", err_word(e), err_word(want), et.msg);
		failures += e != OK;
		CHECK(failures < 20);
	}
	CHECK_INT(verify(db, NULL), NUMBERS);
	db_close(db);
	CHECK_OK(db_open(db_url, &db, &et), &et);
	CHECK_INT(verify(db, NULL), NUMBERS);
	db_close(db);
	return failures;
}

static void test_store_crash__errors_that_pass_are_told_and_harm_nothing(void)
{
	char db_url[600], blob_url[600];
	unsigned told[2] = {0};
	int rounds[2] = {0};
	tap_tmpdir();
	urls(db_url, blob_url);
	plug_in();
	for (int disk_full = 0; disk_full < 2; disk_full++)
		for (long n = 1;; n += n < 150 ? 1 : 3) {
			forget_disk(db_url);
			fault_in = n;
			full_for = disk_full ? 1 + (unsigned)n % 5 : 0;
			told[disk_full] +=
				write_through_faults(db_url, disk_full ? ERR_NO_SPACE : ERR_IO);
			rounds[disk_full]++;
			if (fault_in > 0) /* it came to an end before the fault */
				break;
		}
	tap_note("an error at each of %d operations: told %u times; a full disk: %d, %u", rounds[0],
		told[0], rounds[1], told[1]);
	CHECK(rounds[0] > 50 && told[0] > 30 && told[1] > 30);
}

TESTS(T_LONG(test_store_crash__kill_9_loses_nothing_acknowledged, 240),
	T_LONG(test_store_crash__errors_that_pass_are_told_and_harm_nothing, 240),
	T_LONG(test_store_crash__power_cuts_lose_nothing_acknowledged, 240))
