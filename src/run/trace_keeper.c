/* What happens to traces while nobody looks: those whose root never came are taken for ended, old
 * ones go and leave a line a day behind. Small transactions with pauses: what is being received
 * waits at most for one of them. */
#include "run/trace_int.h"
#include "base/clock.h"
#include "base/log.h"
#include "run/retain_int.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	EVERY_MS = 30000,
	SETTLE_BATCH = 200,
	OLD_BATCH = 200,
	SPANS_BATCH = 1000,
	LOGS_BATCH = 1000,
	PAUSE_MS = 5,
	LEASE_MS = 120 * 1000
};

struct trace_keeper {
	struct db *db;
	pthread_t thread;
	pthread_mutex_t mu;
	pthread_cond_t wake;
	bool stop;
	int64_t keep_days, log_days, quiet_ms;
	struct id me; /* one server at a time removes: the holder of the lease */
	bool alone, mine;
};

static bool stopping(struct trace_keeper *k)
{
	pthread_mutex_lock(&k->mu);
	bool stop = k->stop;
	pthread_mutex_unlock(&k->mu);
	return stop;
}

static enum err settle(struct trace_keeper *k, struct errtext *et)
{
	int64_t n = SETTLE_BATCH;
	enum err e = OK;
	while (!e && n == SETTLE_BATCH && !stopping(k)) {
		e = trace_store_settle(k->db, clock_unix_ms() - k->quiet_ms, SETTLE_BATCH, &n, et);
		clock_sleep_ms(PAUSE_MS);
	}
	return e;
}

static enum err lease(struct trace_keeper *k, struct errtext *et)
{
	enum err e = retain_lease(
		k->db, "traces", k->me, clock_unix_ms(), LEASE_MS, k->alone, &k->mine, et);
	k->alone = false;
	return e;
}

/* What another server removes at the same time, when the lease runs out, is just not there. */
static enum err remove_old(struct trace_keeper *k, struct errtext *et)
{
	int64_t before = clock_unix_ns() - k->keep_days * 86400 * 1000000000ll;
	char policy[48];
	struct id ids[OLD_BATCH];
	size_t n = OLD_BATCH;
	enum err e = OK;
	snprintf(policy, sizeof policy, "traces.keep_days=%lld", (long long)k->keep_days);
	while (!e && n == OLD_BATCH && !stopping(k)) {
		e = trace_store_old(k->db, before, ids, OLD_BATCH, &n, et);
		if (!e && n)
			e = lease(k, et);
		if (!e && n && !k->mine)
			break;
		for (size_t i = 0; !e && i < n && !stopping(k);) {
			e = trace_store_remove(k->db, ids, n, SPANS_BATCH, policy, &i, et);
			clock_sleep_ms(PAUSE_MS);
		}
	}
	return e;
}

/* Whole days, so that each leaves one record in the audit log. */
static enum err remove_old_logs(struct trace_keeper *k, struct errtext *et)
{
	int64_t before = (clock_unix_ms() / 86400000 - k->log_days) * 86400000000000;
	struct trace_log_place at = {0};
	char policy[48];
	snprintf(policy, sizeof policy, "logs.keep_days=%lld", (long long)k->log_days);
	enum err e = OK;
	while (!e && !stopping(k)) {
		e = trace_log_place(k->db, before, &at, et);
		if (!e)
			e = lease(k, et);
		if (!e && !k->mine)
			break;
		for (int64_t n = LOGS_BATCH; !e && n == LOGS_BATCH && !stopping(k);) {
			e = trace_log_expire(k->db, &at, before, LOGS_BATCH, policy, &n, et);
			clock_sleep_ms(PAUSE_MS);
		}
	}
	return e == ERR_NOT_FOUND ? OK : e;
}

static void *keeper_main(void *arg)
{
	struct trace_keeper *k = arg;
	while (!stopping(k)) {
		struct errtext et = {0};
		enum err e = settle(k, &et);
		if (!e && k->keep_days)
			e = remove_old(k, &et);
		if (!e && k->log_days)
			e = remove_old_logs(k, &et);
		if (e)
			log_warn("old traces could not be looked after: %s", err_text(e, &et));
		uint64_t until = clock_mono_ns() + EVERY_MS * 1000000ull;
		pthread_mutex_lock(&k->mu);
		while (!k->stop && cond_wait_until(&k->wake, &k->mu, until))
			;
		pthread_mutex_unlock(&k->mu);
	}
	return NULL;
}

enum err trace_keeper_start(struct db *db, int64_t keep_days, int64_t log_days, int64_t quiet_ms,
	struct trace_keeper **out, struct errtext *et)
{
	struct trace_keeper *k = calloc(1, sizeof *k);
	if (!k)
		return err_set(et, ERR_NOMEM, "no memory for the keeper of traces");
	*k = (struct trace_keeper){.db = db,
		.keep_days = keep_days,
		.log_days = log_days,
		.quiet_ms = quiet_ms,
		.me = id_new(),
		.alone = db_alone(db)};
	pthread_mutex_init(&k->mu, NULL);
	cond_init(&k->wake);
	enum err e = thread_start(&k->thread, keeper_main, k, "trace-keeper", et);
	if (e) {
		free(k);
		return e;
	}
	*out = k;
	return OK;
}

void trace_keeper_stop(struct trace_keeper *k)
{
	if (!k)
		return;
	pthread_mutex_lock(&k->mu);
	k->stop = true;
	pthread_cond_signal(&k->wake);
	pthread_mutex_unlock(&k->mu);
	pthread_join(k->thread, NULL);
	struct errtext et = {0};
	if (k->mine && retain_unlease(k->db, "traces", k->me, &et))
		log_debug("the lease of retention stays until it ends");
	pthread_mutex_destroy(&k->mu);
	pthread_cond_destroy(&k->wake);
	free(k);
}
