/* bench_store URL: durable commits a second of one small insert each, with 1, 4 and 16 threads:
 * db_begin/db_commit beside db_write, which lets threads share a commit. */
#include "base/clock.h"
#include "base/thread.h"
#include "store/db.h"

#include <stdio.h>
#include <stdlib.h>

enum { SECONDS = 2, THREADS_MAX = 16 };

static struct db *db;
static bool shares;
static uint64_t stop_ns;
static atomic_long done;
static atomic_llong next_id;

static enum err insert(struct tx *tx, void *ctx, struct errtext *et)
{
	int64_t id = *(int64_t *)ctx;
	return db_exec(tx, et, "INSERT INTO bench_entry (id, name, score) VALUES (?, ?, ?)",
		P_I64(id), P_TEXT(S("one small entry")), P_F64((double)id));
}

static enum err alone(int64_t id, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(db, TX_WRITE, &tx, et);
	if (e)
		return e;
	e = insert(tx, &id, et);
	if (e) {
		db_rollback(tx);
		return e;
	}
	return db_commit(tx, et);
}

static void *work(void *arg)
{
	struct errtext et;
	while (clock_mono_ns() < stop_ns) {
		int64_t id = atomic_fetch_add(&next_id, 1);
		enum err e = shares ? db_write(db, insert, &id, &et) : alone(id, &et);
		if (e) {
			fprintf(stderr, "bench_store: %s\n", err_text(e, &et));
			exit(1);
		}
		atomic_fetch_add(&done, 1);
	}
	return NULL;
}

static double per_second(unsigned threads)
{
	pthread_t t[THREADS_MAX];
	struct errtext et;
	atomic_store(&done, 0);
	uint64_t start = clock_mono_ns();
	stop_ns = start + SECONDS * 1000000000ull;
	for (unsigned i = 0; i < threads; i++)
		if (thread_start(&t[i], work, NULL, "bench", &et))
			exit(1);
	for (unsigned i = 0; i < threads; i++)
		pthread_join(t[i], NULL);
	return (double)atomic_load(&done) / ((double)(clock_mono_ns() - start) / 1e9);
}

int main(int argc, char **argv)
{
	static const unsigned counts[] = {1, 4, THREADS_MAX};
	static const struct migration m[] = {{1, "entries",
		"CREATE TABLE bench_entry (id BIGINT PRIMARY KEY, name TEXT, score DOUBLE "
		"PRECISION)"}};
	struct errtext et;
	if (argc != 2) {
		fprintf(stderr, "usage: bench_store URL (of an empty database)\n");
		return 2;
	}
	enum err e = db_open(argv[1], &db, &et);
	if (!e)
		e = db_migrate(db, "bench", m, 1, &et);
	if (e) {
		fprintf(stderr, "bench_store: %s\n", err_text(e, &et));
		return err_exit(e);
	}
	printf("threads  db_begin/commit  db_write  (durable commits/s)\n");
	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		shares = false;
		double plain = per_second(counts[i]);
		shares = true;
		printf("%7u %16.0f %9.0f\n", counts[i], plain, per_second(counts[i]));
	}
	db_close(db);
	return 0;
}
