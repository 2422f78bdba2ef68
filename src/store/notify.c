/* Notices: rows of one table, and a thread that reads what is new and calls the watchers.
 *
 *  1. A number is given inside a write transaction, and those are exclusive across servers, so
 *     numbers are in the order of commits and have no holes.
 *  2. The thread reads after every wake, and it is woken after every commit that holds a notice:
 *     here by an eventfd, elsewhere by the backend's `wait`. After a (re)connection `wait` returns
 *     at once, so that nothing falls between reading and listening. */
#include "store/notify.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "store/db_int.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { TEXT_MAX = 4000, READ_AT_ONCE = 256, POLL_MS = 3000, TRIM_EVERY = 256 };

struct watch {
	struct notifier *n;
	char *channel;
	int64_t seen;
	enum err (*fn)(void *ctx, const struct notice *n, struct errtext *et);
	void *ctx;
	struct watch *next;
};

struct notifier {
	struct db *db;
	pthread_mutex_t mu; /* the list; held while watchers are called */
	struct watch *watches;
	pthread_t thread;
	bool started;
	atomic_bool stop;
	int wake_fd;
};

struct notifier *notifier_new(struct db *db)
{
	struct notifier *n = calloc(1, sizeof *n);
	if (!n)
		return NULL;
	n->db = db;
	n->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (n->wake_fd < 0) {
		free(n);
		return NULL;
	}
	pthread_mutex_init(&n->mu, NULL);
	return n;
}

void notifier_wake(struct notifier *n)
{
	uint64_t one = 1;
	ssize_t written = write(n->wake_fd, &one, sizeof one);
	(void)written; /* full: it will wake */
}

void notifier_free(struct notifier *n)
{
	if (!n)
		return;
	atomic_store(&n->stop, true);
	notifier_wake(n);
	if (n->started)
		pthread_join(n->thread, NULL);
	while (n->watches) {
		struct watch *w = n->watches;
		n->watches = w->next;
		free(w->channel);
		free(w);
	}
	close(n->wake_fd);
	pthread_mutex_destroy(&n->mu);
	free(n);
}

/* ---- writing ---- */

enum err notify_seq(struct tx *tx, const char *channel, int64_t *seq, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et, "SELECT MAX(seq) FROM notice WHERE channel = ?",
		P_TEXT(str_c(channel)));
	if (e)
		return e;
	int64_t newest = row_next(r, &e, et) ? row_i64(r, 0) : 0;
	row_free(r);
	if (!e)
		*seq = newest;
	return e;
}

enum err db_notify(struct tx *tx, const char *channel, struct str text, struct errtext *et)
{
	int64_t seq = 0;
	if (text.n > TEXT_MAX)
		return err_set(et, ERR_TOO_LARGE, "a notice of %zu bytes, the limit is %d", text.n,
			TEXT_MAX);
	enum err e = notify_seq(tx, channel, &seq, et);
	if (!e)
		e = db_exec(tx, et,
			"INSERT INTO notice (channel, seq, origin, body) VALUES (?, ?, ?, ?)",
			P_TEXT(str_c(channel)), P_I64(++seq), P_TEXT(tx_origin(tx)),
			P_TEXT(text.p ? text : S("")));
	if (!e && seq % TRIM_EVERY == 0)
		e = db_exec(tx, et, "DELETE FROM notice WHERE channel = ? AND seq <= ?",
			P_TEXT(str_c(channel)), P_I64(seq - NOTICES_KEPT));
	if (!e)
		e = tx_announce(tx, et);
	return e;
}

/* ---- reading ---- */

struct batch {
	struct notice list[READ_AT_ONCE];
	size_t n;
};

static enum err read_new(
	struct db *db, const struct watch *w, struct arena *a, struct batch *b, struct errtext *et)
{
	struct tx *tx;
	struct row *r;
	b->n = 0;
	enum err e = db_begin(db, TX_READ, &tx, et);
	if (e)
		return e;
	e = db_query(tx, &r, et,
		"SELECT seq, body, origin FROM notice WHERE channel = ? AND seq > ? ORDER BY seq "
		"LIMIT ?",
		P_TEXT(str_c(w->channel)), P_I64(w->seen), P_I64(READ_AT_ONCE));
	if (e) {
		db_rollback(tx);
		return e;
	}
	struct str own = tx_origin(tx);
	while (b->n < READ_AT_ONCE && row_next(r, &e, et)) {
		struct notice *one = &b->list[b->n++];
		*one = (struct notice){.seq = row_i64(r, 0),
			.text = arena_str(a, row_text(r, 1)),
			.own = str_eq(row_text(r, 2), own)};
		if (!one->text.p)
			e = err_set(et, ERR_NOMEM, "no memory for a notice");
	}
	row_free(r);
	db_rollback(tx);
	return e;
}

static enum err hand_out(struct watch *w, const struct batch *b, struct errtext *et)
{
	for (size_t i = 0; i < b->n; i++) {
		struct notice missed = {.seq = b->list[i].seq - 1};
		enum err e = OK;
		if (b->list[i].seq > w->seen + 1)
			e = w->fn(w->ctx, &missed, et);
		if (!e)
			e = w->fn(w->ctx, &b->list[i], et);
		if (e)
			return e;
		w->seen = b->list[i].seq;
	}
	return OK;
}

static enum err follow(struct db *db, struct watch *w, struct errtext *et)
{
	struct batch b;
	enum err e;
	do {
		struct arena *a = arena_new(0);
		if (!a)
			return err_set(et, ERR_NOMEM, "no memory for notices");
		e = read_new(db, w, a, &b, et);
		if (!e)
			e = hand_out(w, &b, et);
		arena_free(a);
	} while (!e && b.n == READ_AT_ONCE);
	return e;
}

static void wait_here(int wake_fd)
{
	struct pollfd p = {wake_fd, POLLIN, 0};
	poll(&p, 1, POLL_MS);
}

static void *watch_thread(void *arg)
{
	struct notifier *n = arg;
	bool complained = false;
	while (!atomic_load(&n->stop)) {
		uint64_t count;
		ssize_t got = read(n->wake_fd, &count, sizeof count);
		(void)got; /* nothing to read: it was the time */
		struct errtext et = {0};
		enum err e = OK;
		pthread_mutex_lock(&n->mu);
		for (struct watch *w = n->watches; w; w = w->next) {
			enum err mine = follow(n->db, w, &et);
			e = e ? e : mine;
		}
		pthread_mutex_unlock(&n->mu);
		if (e && !complained)
			log_warn("changes of other servers cannot be followed for now: %s",
				err_text(e, &et));
		complained = e != OK;
		if (!db_wait_notice(n->db, n->wake_fd, POLL_MS))
			wait_here(n->wake_fd);
	}
	return NULL;
}

enum err notify_watch(struct db *db, const char *channel, int64_t after,
	enum err (*fn)(void *ctx, const struct notice *n, struct errtext *et), void *ctx,
	struct watch **out, struct errtext *et)
{
	struct notifier *n = db_notifier(db);
	struct watch *w = calloc(1, sizeof *w);
	if (w)
		w->channel = str_dup(str_c(channel));
	if (!w || !w->channel) {
		free(w);
		return err_set(et, ERR_NOMEM, "no memory to follow changes");
	}
	w->n = n;
	w->seen = after;
	w->fn = fn;
	w->ctx = ctx;
	enum err e = OK;
	pthread_mutex_lock(&n->mu);
	if (!n->started) {
		e = thread_start(&n->thread, watch_thread, n, "db-notices", et);
		n->started = !e;
	}
	if (!e) {
		w->next = n->watches;
		n->watches = w;
	}
	pthread_mutex_unlock(&n->mu);
	if (e) {
		free(w->channel);
		free(w);
		return e;
	}
	notifier_wake(n);
	*out = w;
	return OK;
}

void notify_unwatch(struct watch *w)
{
	if (!w)
		return;
	struct notifier *n = w->n;
	pthread_mutex_lock(&n->mu);
	for (struct watch **at = &n->watches; *at; at = &(*at)->next)
		if (*at == w) {
			*at = w->next;
			break;
		}
	pthread_mutex_unlock(&n->mu);
	free(w->channel);
	free(w);
}
