/* The durable queue and notices, on both backends; where a test has two "servers", they are two
 * struct db of one schema on PostgreSQL, and one on SQLite. */
#include "tap.h"
#include "base/clock.h"
#include "base/thread.h"
#include "store/notify.h"
#include "store/worker.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static struct errtext et;
static bool on_postgres;
static char url[1024];

static struct db *open_one(void)
{
	struct db *db;
	if (!url[0] && on_postgres)
		snprintf(url, sizeof url, "%s", tap_pg_url());
	else if (!url[0])
		snprintf(url, sizeof url, "sqlite:%s/croft.db", tap_tmpdir());
	CHECK_OK(db_open(url, &db, &et), &et);
	CHECK_OK(db_migrate_own(db, &et), &et);
	return db;
}

/* ---- the queue ---- */

static struct id add(struct db *db, const char *body, struct queue_options o)
{
	struct tx *tx;
	struct id id;
	CHECK_OK(db_begin(db, TX_WRITE, &tx, &et), &et);
	CHECK_OK(queue_add(tx, "q", str_c(body), &o, &id, &et), &et);
	CHECK_OK(db_commit(tx, &et), &et);
	return id;
}

static struct job lease(struct db *db, int64_t ms)
{
	static struct arena *bodies;
	struct job job;
	if (!bodies)
		bodies = arena_new(0);
	CHECK_OK(queue_lease(db, "q", ms, bodies, &job, &et), &et);
	return job;
}

static void expect_none(struct db *db)
{
	struct job job;
	struct arena *a = arena_new(0);
	CHECK_ERR(queue_lease(db, "q", 1000, a, &job, &et), ERR_NOT_FOUND);
	arena_free(a);
}

static void expect_counts(struct db *db, int waiting, int running, int failed)
{
	struct queue_counts n;
	CHECK_OK(queue_count(db, "q", &n, &et), &et);
	CHECK_INT(n.waiting, waiting);
	CHECK_INT(n.running, running);
	CHECK_INT(n.failed, failed);
}

static void test_store_queue__from_adding_to_done(void)
{
	struct db *db = open_one();
	struct tx *tx;
	expect_none(db);
	CHECK_OK(db_begin(db, TX_WRITE, &tx, &et), &et);
	CHECK_OK(queue_add(tx, "q", S("never"), &(struct queue_options){0}, NULL, &et), &et);
	db_rollback(tx); /* it belongs to its transaction */
	expect_none(db);
	add(db, "first", (struct queue_options){0});
	add(db, "later", (struct queue_options){.delay_ms = 60000});
	add(db, "second", (struct queue_options){0});
	struct job a = lease(db, 10000), b = lease(db, 10000);
	CHECK_STR(a.body, "first");
	CHECK_STR(b.body, "second");
	CHECK_INT(a.attempt, 1);
	expect_none(db);
	expect_counts(db, 1, 2, 0);
	CHECK_OK(queue_keep(db, &a, 20000, &et), &et);
	CHECK_OK(queue_done_now(db, &a, &et), &et);
	CHECK_ERR(queue_done_now(db, &a, &et), ERR_CONFLICT);
	CHECK_ERR(queue_keep(db, &a, 20000, &et), ERR_CONFLICT);
	CHECK_OK(db_begin(db, TX_WRITE, &tx, &et), &et);
	CHECK_OK(queue_done(tx, &b, &et), &et);
	CHECK_OK(db_commit(tx, &et), &et);
	expect_counts(db, 1, 0, 0);
	db_close(db);
}

static void test_store_queue__a_lease_runs_out(void)
{
	struct db *db = open_one();
	add(db, "x", (struct queue_options){.attempts_max = 2});
	struct job late = lease(db, 30);
	clock_sleep_ms(50);
	struct job second = lease(db, 30);
	CHECK_INT(second.attempt, 2);
	CHECK(memcmp(&late.id, &second.id, sizeof late.id) == 0);
	CHECK_ERR(queue_done_now(db, &late, &et), ERR_CONFLICT);
	CHECK_ERR(queue_fail(db, &late, 0, S("late"), &et), ERR_CONFLICT);
	CHECK_ERR(queue_keep(db, &late, 1000, &et), ERR_CONFLICT);
	clock_sleep_ms(50); /* the second one dies as well: no third */
	expect_none(db);
	expect_counts(db, 0, 0, 1);
	db_close(db);
}

static void test_store_queue__failures_wait_longer_each_time(void)
{
	struct db *db = open_one();
	add(db, "x", (struct queue_options){.attempts_max = 3});
	struct job job = lease(db, 10000);
	uint64_t start = clock_mono_ns();
	CHECK_OK(queue_fail(db, &job, 0, S("no luck"), &et), &et);
	expect_none(db);
	while (clock_mono_ns() - start < 900 * 1000000ull)
		clock_sleep_ms(50);
	expect_none(db); /* a second at least, and at most one and a half */
	while (clock_mono_ns() - start < 1600 * 1000000ull)
		clock_sleep_ms(50);
	job = lease(db, 10000);
	CHECK_INT(job.attempt, 2);
	CHECK_OK(queue_fail(db, &job, 1, S("again"), &et), &et);
	clock_sleep_ms(20);
	job = lease(db, 10000);
	CHECK_INT(job.attempt, 3);
	CHECK_OK(queue_fail(db, &job, 1, S("for good"), &et), &et);
	clock_sleep_ms(20);
	expect_none(db);
	expect_counts(db, 0, 0, 1);
	db_close(db);
}

static void test_store_queue__only_one_waits(void)
{
	struct db *db = open_one();
	struct queue_options o = {.only_one = S("doc 7")};
	struct id a = add(db, "x", o), b = add(db, "y", o);
	CHECK(memcmp(&a, &b, sizeof a) == 0);
	struct job job = lease(db, 10000);
	CHECK_STR(job.body, "x");
	struct id c = add(db, "z", o); /* the first runs already and may have missed something */
	CHECK(memcmp(&a, &c, sizeof a) != 0);
	expect_counts(db, 1, 1, 0);
	db_close(db);
}

enum { WORKERS = 4, JOBS = 120 };
static atomic_int taken[JOBS];

static void *work(void *arg)
{
	struct db *db = arg;
	struct arena *a = arena_new(0);
	struct job job;
	struct errtext why;
	enum err e;
	while (!(e = queue_lease(db, "q", 10000, a, &job, &why))) {
		int64_t n = -1;
		if (!str_i64(job.body, &n))
			return (void *)"body";
		atomic_fetch_add(&taken[n], 1);
		if (queue_done_now(db, &job, &why))
			return (void *)"done";
	}
	arena_free(a);
	return e == ERR_NOT_FOUND ? NULL : (void *)"lease";
}

static void test_store_queue__each_job_to_one_worker(void)
{
	struct db *db[2] = {open_one(), NULL};
	db[1] = on_postgres ? open_one() : db[0];
	for (int i = 0; i < JOBS; i++) {
		char body[16];
		snprintf(body, sizeof body, "%d", i);
		add(db[0], body, (struct queue_options){0});
	}
	pthread_t t[WORKERS];
	for (int i = 0; i < WORKERS; i++)
		CHECK_OK(thread_start(&t[i], work, db[i % 2], "w", &et), &et);
	for (int i = 0; i < WORKERS; i++) {
		void *wrong;
		pthread_join(t[i], &wrong);
		if (wrong)
			FAIL("a worker failed: %s", (const char *)wrong);
	}
	for (int i = 0; i < JOBS; i++)
		CHECK_INT(atomic_load(&taken[i]), 1);
	db_close(db[0]);
	if (on_postgres)
		db_close(db[1]);
}

/* A worker is killed with a job in its hands: somebody else does it. */
static void test_store_queue__a_worker_is_killed(void)
{
	int p[2];
	char c;
	db_close(open_one());
	CHECK(pipe(p) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct db *mine;
		struct job job;
		struct queue_options o = {0};
		struct tx *tx;
		if (db_open(url, &mine, &et) || db_begin(mine, TX_WRITE, &tx, &et) ||
			queue_add(tx, "q", S("x"), &o, NULL, &et) || db_commit(tx, &et) ||
			queue_lease(mine, "q", 3000, arena_new(0), &job, &et) ||
			write(p[1], "y", 1) != 1)
			_exit(1);
		pause();
	}
	CHECK(read(p[0], &c, 1) == 1);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	struct db *db = open_one();
	expect_none(db);
	clock_sleep_ms(3050);
	struct job job = lease(db, 1000);
	CHECK_STR(job.body, "x");
	CHECK_INT(job.attempt, 2);
	db_close(db);
}

/* ---- leases of the dead ---- */

static const struct id home = {{1, 2, 3}}, elsewhere = {{4, 5, 6}};

/* A process that has leased the one job for an hour, in a given home. */
static pid_t lease_in_child(int *alive)
{
	int p[2];
	char c;
	CHECK(pipe(p) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct db *mine;
		struct job job;
		if (db_open(url, &mine, &et))
			_exit(1);
		db_set_home(mine, home);
		if (queue_lease(mine, "q", 3600 * 1000, arena_new(0), &job, &et) ||
			write(p[1], "y", 1) != 1)
			_exit(1);
		pause();
	}
	close(p[1]);
	CHECK(read(p[0], &c, 1) == 1);
	*alive = p[0];
	return pid;
}

static size_t take_back(struct db *db)
{
	size_t left = 99;
	CHECK_OK(queue_take_back(db, "q", &left, &et), &et);
	return left;
}

/* The lease lasts an hour, so only taking it back can give the job to anybody. */
static void test_store_queue__the_next_life_takes_its_leases_back(void)
{
	struct db *db = open_one();
	add(db, "x", (struct queue_options){0});
	db_close(db);
	int alive;
	pid_t pid = lease_in_child(&alive);
	struct db *other = open_one();
	CHECK_INT(take_back(other), 0); /* no home */
	db_set_home(other, elsewhere);
	CHECK_INT(take_back(other), 0);
	expect_none(other);
	if (on_postgres) { /* a copy of the data directory, say */
		db_set_home(other, home);
		CHECK_INT(take_back(other), 1);
		expect_none(other);
		db_set_home(other, elsewhere);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(alive);
	CHECK_INT(take_back(other), 0); /* it is not this one's matter */
	expect_none(other);
	db_close(other);
	db = open_one();
	db_set_home(db, home);
	while (take_back(db)) /* PostgreSQL learns of the death a little later */
		clock_sleep_ms(10);
	struct job job = lease(db, 1000);
	CHECK_STR(job.body, "x");
	CHECK_INT(job.attempt, 2);
	CHECK_INT(take_back(db), 0); /* its own leases are its own */
	expect_none(db);
	db_close(db);
}

/* ---- workers ---- */

struct shop {
	atomic_int done, begun, cancelled, failures;
};

static enum err shop_run(struct work *w, struct errtext *why)
{
	struct shop *s = w->ctx;
	atomic_fetch_add(&s->begun, 1);
	if (str_eq_c(w->job.body, "stays")) {
		while (work_nap(w, 1000))
			;
		atomic_fetch_add(&s->cancelled, 1);
		return err_set(why, ERR_CANCELLED, "as asked");
	}
	if (str_eq_c(w->job.body, "fails once") && w->job.attempt == 1) {
		atomic_fetch_add(&s->failures, 1);
		return err_set(why, ERR_IO, "once");
	}
	enum err e = queue_done_now(w->db, &w->job, why);
	atomic_fetch_add(&s->done, !e);
	return e;
}

static void until(atomic_int *what, int n)
{
	while (atomic_load(what) < n)
		clock_sleep_ms(2);
}

static bool unwanted(void *ctx, const struct job *job)
{
	return !str_eq_c(job->body, "stays");
}

static struct workers *open_shop(struct db *db, struct shop *s, struct worker_options o)
{
	struct workers *w;
	o.queue = o.name = "q";
	o.threads = o.threads ? o.threads : 3;
	o.retry_ms = 1;
	o.look_ms = 20;
	o.run = shop_run;
	o.ctx = s;
	CHECK_OK(workers_start(db, &o, &w, &et), &et);
	return w;
}

static void test_store_queue__workers_do_each_job_once(void)
{
	struct db *db = open_one();
	struct shop s = {0};
	for (int i = 0; i < 20; i++)
		add(db, i == 7 ? "fails once" : "x", (struct queue_options){0});
	struct workers *w = open_shop(db, &s, (struct worker_options){0});
	until(&s.done, 20);
	for (int i = 0; i < 10; i++)
		add(db, "x", (struct queue_options){0});
	workers_wake(w);
	until(&s.done, 30);
	workers_stop(w);
	CHECK_INT(atomic_load(&s.failures), 1);
	CHECK_INT(atomic_load(&s.begun), 31);
	expect_counts(db, 0, 0, 0);
	db_close(db);
}

/* Interrupted by name, found unwanted by the one who renews, and stopped: each time the job hears
 * of it and is given back. */
static void test_store_queue__what_is_in_work_can_be_called_off(void)
{
	struct db *db = open_one();
	struct shop s = {0};
	add(db, "stays", (struct queue_options){0});
	struct workers *w = open_shop(db, &s, (struct worker_options){0});
	until(&s.begun, 1);
	workers_interrupt(w, S("another"));
	CHECK_INT(atomic_load(&s.cancelled), 0);
	workers_interrupt(w, S("stays"));
	until(&s.begun, 2);
	CHECK_INT(atomic_load(&s.cancelled), 1);
	workers_stop(w);
	CHECK_INT(atomic_load(&s.cancelled), atomic_load(&s.begun));
	expect_counts(db, 1, 0, 0);
	int before = atomic_load(&s.begun);
	w = open_shop(
		db, &s, (struct worker_options){.lease_ms = 400, .wanted = unwanted, .threads = 1});
	until(&s.begun, before + 2);
	workers_stop(w);
	expect_counts(db, 1, 0, 0);
	db_close(db);
}

/* Whoever's lease is lost hears it from the keeper, and what it would store is refused. */
static void test_store_queue__a_lost_lease_ends_the_work(void)
{
	struct db *db = open_one();
	struct shop s = {0};
	add(db, "stays", (struct queue_options){0});
	struct workers *w = open_shop(db, &s, (struct worker_options){.lease_ms = 1000});
	until(&s.begun, 1);
	CHECK_OK(db_change(db, NULL, &et, "DELETE FROM job"), &et);
	until(&s.cancelled, 1);
	workers_stop(w);
	expect_counts(db, 0, 0, 0);
	db_close(db);
}

/* ---- notices ---- */

struct heard {
	pthread_mutex_t mu;
	int64_t sum, n, last, missed, own;
	bool fail_once;
};

static enum err hear(void *ctx, const struct notice *n, struct errtext *why)
{
	struct heard *h = ctx;
	int64_t v = 0;
	enum err e = OK;
	pthread_mutex_lock(&h->mu);
	if (h->fail_once) {
		h->fail_once = false;
		e = err_set(why, ERR_IO, "not now");
	} else if (!n->text.p) {
		h->missed++;
	} else if (str_i64(n->text, &v)) {
		if (v <= h->last)
			h->missed += 1000; /* out of order */
		h->last = v;
		h->sum += v;
		h->n++;
		h->own += n->own;
	}
	pthread_mutex_unlock(&h->mu);
	return e;
}

static void say(struct db *db, int64_t from, int64_t to)
{
	struct tx *tx;
	CHECK_OK(db_begin(db, TX_WRITE, &tx, &et), &et);
	for (int64_t i = from; i <= to; i++) {
		char text[24];
		snprintf(text, sizeof text, "%lld", (long long)i);
		CHECK_OK(db_notify(tx, "c", str_c(text), &et), &et);
	}
	CHECK_OK(db_commit(tx, &et), &et);
}

/* Milliseconds until n have been heard; fails after 10 s. */
static double wait_heard(struct heard *h, int64_t n)
{
	uint64_t start = clock_mono_ns();
	for (;;) {
		pthread_mutex_lock(&h->mu);
		int64_t have = h->n;
		pthread_mutex_unlock(&h->mu);
		double ms = (double)(clock_mono_ns() - start) / 1e6;
		if (have >= n)
			return ms;
		if (ms > 10000)
			FAIL("%lld of %lld notices came", (long long)have, (long long)n);
		clock_sleep_ms(1);
	}
}

static void test_store_queue__notices_reach_every_server(void)
{
	struct heard h = {.mu = PTHREAD_MUTEX_INITIALIZER};
	struct db *a = open_one(), *b = on_postgres ? open_one() : a;
	struct tx *tx;
	struct watch *w;
	int64_t seq = -1;
	say(a, 1, 5);
	CHECK_OK(db_begin(b, TX_READ, &tx, &et), &et);
	CHECK_OK(notify_seq(tx, "c", &seq, &et), &et);
	db_rollback(tx);
	CHECK_INT(seq, 5);
	say(a, 6, 7); /* between reading and watching */
	CHECK_OK(notify_watch(b, "c", seq, hear, &h, &w, &et), &et);
	wait_heard(&h, 2);
	clock_sleep_ms(50);
	double worst = 0;
	for (int i = 0; i < 20; i++) {
		say(a, 8 + i, 8 + i);
		double ms = wait_heard(&h, 3 + i);
		worst = MAX(worst, ms);
	}
	tap_note("slowest of 20 notices: %.1f ms", worst);
	CHECK(worst < 1000);
	CHECK_OK(db_begin(a, TX_WRITE, &tx, &et), &et);
	CHECK_OK(db_notify(tx, "c", S("99"), &et), &et);
	db_rollback(tx);
	pthread_mutex_lock(&h.mu);
	h.fail_once = true; /* it comes again */
	pthread_mutex_unlock(&h.mu);
	say(a, 100, 700);
	wait_heard(&h, 22 + 601);
	CHECK_INT(h.missed, 0);
	CHECK_INT(h.sum, (6 + 27) * 22 / 2 + (100 + 700) * 601 / 2);
	CHECK_INT(h.own, on_postgres ? 0 : h.n);
	notify_unwatch(w);
	say(a, 1000, 1000);
	clock_sleep_ms(50);
	CHECK_INT(h.n, 22 + 601);
	db_close(a);
	if (on_postgres)
		db_close(b);
}

static void test_store_queue__who_is_far_behind_is_told(void)
{
	struct heard h = {.mu = PTHREAD_MUTEX_INITIALIZER};
	struct db *db = open_one();
	struct watch *w;
	say(db, 1, NOTICES_KEPT + 1000);
	CHECK_OK(notify_watch(db, "c", 3, hear, &h, &w, &et), &et);
	for (int64_t last = 0; last < NOTICES_KEPT + 1000; clock_sleep_ms(5)) {
		pthread_mutex_lock(&h.mu);
		last = h.last;
		pthread_mutex_unlock(&h.mu);
	}
	CHECK_INT(h.missed, 1);
	CHECK(h.n >= NOTICES_KEPT && h.n < NOTICES_KEPT + 500);
	notify_unwatch(w);
	db_close(db);
}

#define ON_EACH(X)                                               \
	X(test_store_queue__from_adding_to_done)                 \
	X(test_store_queue__a_lease_runs_out)                    \
	X(test_store_queue__failures_wait_longer_each_time)      \
	X(test_store_queue__only_one_waits)                      \
	X(test_store_queue__each_job_to_one_worker)              \
	X(test_store_queue__a_worker_is_killed)                  \
	X(test_store_queue__the_next_life_takes_its_leases_back) \
	X(test_store_queue__workers_do_each_job_once)            \
	X(test_store_queue__what_is_in_work_can_be_called_off)   \
	X(test_store_queue__a_lost_lease_ends_the_work)          \
	X(test_store_queue__notices_reach_every_server)

#define ON_POSTGRES(name)                 \
	static void name##_postgres(void) \
	{                                 \
		on_postgres = true;       \
		name();                   \
	}
ON_EACH(ON_POSTGRES)

#define ROWS(name) , T(name), T(name##_postgres)
TESTS(T(test_store_queue__who_is_far_behind_is_told) ON_EACH(ROWS))
