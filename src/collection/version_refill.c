/* Rows for a collection that a large restore or merge has let begin anew.
 *
 * Such a change is one short transaction: the collection gets another number, under which it has no
 * rows but a head, as a copy has (version_apply.c). From then on it is read from its version, and
 * the thread here gives it rows, a thousand in a transaction, and an index. Until that is done
 * changes are ERR_NOT_READY, then the former rows are swept. A process that ends in between leaves
 * a copy that has begun to fill; the next start goes on with it. */
#include "collection/version_int.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>

struct refill {
	struct refill *next;
	char *project, *name;
	int64_t number, former; /* former: whose rows are to be swept; 0: nobody's */
	struct vprogress at;
};

struct refills {
	struct croft *c;
	pthread_mutex_t mu;
	struct refill *first;
	pthread_t thread;
	bool running, joinable;
	struct cancel stop;
};

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory to fill a collection");
}

enum err refills_new(struct croft *c, struct refills **out, struct errtext *et)
{
	struct refills *all = calloc(1, sizeof *all);
	if (!all)
		return no_memory(et);
	all->c = c;
	all->stop.parent = croft_stopping(c);
	pthread_mutex_init(&all->mu, NULL);
	*out = all;
	return OK;
}

static void free_refill(struct refill *x)
{
	free(x->project);
	free(x->name);
	free(x);
}

void refills_stop(struct refills *all)
{
	cancel_set(&all->stop);
	if (all->joinable)
		pthread_join(all->thread, NULL);
	all->joinable = false;
}

void refills_free(struct refills *all)
{
	if (!all)
		return;
	for (struct refill *x = all->first, *next; x; x = next) {
		next = x->next;
		free_refill(x);
	}
	pthread_mutex_destroy(&all->mu);
	free(all);
}

/* ---- one ---- */

static void fill_and_open(struct refills *all, struct refill *x)
{
	enum { TRIES = 5, NAP_MS = 500 };
	struct errtext et = {0};
	struct collection *k = NULL;
	enum err e = OK;
	for (int i = 0; i < TRIES && !cancelled(&all->stop); i++) {
		e = version_fill_rows(all->c, str_c(x->project), str_c(x->name), x->number, &x->at,
			&all->stop, &et);
		if (!e || e == ERR_NOT_FOUND || e == ERR_CANCELLED)
			break;
		clock_sleep_ms(NAP_MS);
	}
	e = e ? e : collection_open_number(all->c, x->number, &k, &all->stop, &et);
	collection_close(k);
	if (e && e != ERR_NOT_FOUND && e != ERR_CANCELLED)
		log_warn("giving %s its items: %s", x->name, et.msg);
}

static struct refill *begin_next(struct refills *all)
{
	pthread_mutex_lock(&all->mu);
	struct refill *x = all->first;
	if (!x)
		all->running = false;
	pthread_mutex_unlock(&all->mu);
	return x;
}

static void end_first(struct refills *all)
{
	pthread_mutex_lock(&all->mu);
	struct refill *x = all->first;
	all->first = x->next;
	pthread_mutex_unlock(&all->mu);
	free_refill(x);
}

static void *work(void *arg)
{
	struct refills *all = arg;
	struct refill *x;
	struct errtext et;
	while (!cancelled(&all->stop) && (x = begin_next(all))) {
		int64_t former = x->former;
		fill_and_open(all, x);
		if (cancelled(&all->stop))
			break;
		end_first(all);
		if (former && collections_sweep(all->c, former, &et))
			log_warn("sweeping what a collection had before: %s", et.msg);
	}
	return NULL;
}

/* Under mu. */
static void start(struct refills *all)
{
	if (all->running || cancelled(&all->stop))
		return;
	if (all->joinable)
		pthread_join(all->thread, NULL);
	struct errtext et;
	all->joinable = all->running = !thread_start(&all->thread, work, all, "refill", &et);
}

void refill_add(struct croft *c, struct str project, struct str name, int64_t number,
	int64_t former, size_t items)
{
	struct refills *all = collections_of(c)->refills;
	struct refill *x = calloc(1, sizeof *x), **at = &all->first;
	if (x) {
		*x = (struct refill){.project = strndup(project.p, project.n),
			.name = strndup(name.p, name.n),
			.number = number,
			.former = former};
		atomic_store(&x->at.total, items);
	}
	if (!x || !x->project || !x->name) { /* whoever writes to it fills it */
		if (x)
			free_refill(x);
		return;
	}
	pthread_mutex_lock(&all->mu);
	while (*at)
		at = &(*at)->next;
	*at = x;
	start(all);
	pthread_mutex_unlock(&all->mu);
}

bool refill_busy(struct croft *c, int64_t number, unsigned *percent)
{
	struct refills *all = collections_of(c)->refills;
	pthread_mutex_lock(&all->mu);
	const struct refill *x = all->first;
	while (x && x->number != number)
		x = x->next;
	if (x && percent) {
		size_t total = atomic_load(&x->at.total);
		*percent = total ? (unsigned)(100 * atomic_load(&x->at.done) / total) : 100;
	}
	pthread_mutex_unlock(&all->mu);
	return x != NULL;
}

/* ---- after a start ---- */

static enum err take_up(void *ctx, struct str project, struct str name, int64_t number,
	int64_t items, struct errtext *et)
{
	(void)et;
	refill_add(ctx, project, name, number, 0, (size_t)items);
	return OK;
}

enum err refills_start(struct refills *all, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(all->c), TX_READ, &tx, et);
	if (e)
		return e;
	e = store_half_filled(tx, take_up, all->c, et);
	db_rollback(tx);
	return e;
}
