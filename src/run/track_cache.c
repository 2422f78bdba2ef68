/* Runs of experiments in memory, for searches.
 *
 *  1. Before each use an experiment's runs are brought up to date: those whose version is above the
 *     highest one seen are read anew. Versions grow in the order of commits (track_store.c), so
 *     that nothing is missed, whichever server wrote it.
 *  2. Removing runs for good does not show in versions: experiment.purged counts it, and when it
 *     has changed, everything is read again.
 *  3. An experiment's runs are guarded by its lock; a run that somebody holds a reference of stays
 *     when it is replaced here.
 *  4. Beyond runs.cache_bytes the experiments that were not used for longest are forgotten. */
#include "run/run_int.h"
#include "run/track_int.h"

#include <stdlib.h>

struct cached {
	char *project;
	int64_t experiment, version, purged;
	struct tracked **v;
	size_t n, cap;
	uint32_t *slots; /* 1 + index, by id; n_slots is a power of two */
	size_t n_slots, bytes;
	uint64_t used;
	unsigned users; /* guarded by the cache's lock; not forgotten meanwhile */
	pthread_mutex_t mu;
	struct cached *next;
};

struct track_cache {
	pthread_mutex_t mu;
	struct cached *first;
	size_t bytes_max;
	uint64_t tick;
};

struct track_cache *track_cache_new(size_t bytes_max)
{
	struct track_cache *tc = calloc(1, sizeof *tc);
	if (tc) {
		pthread_mutex_init(&tc->mu, NULL);
		tc->bytes_max = bytes_max;
	}
	return tc;
}

static void empty(struct cached *x)
{
	for (size_t i = 0; i < x->n; i++)
		tracked_free(x->v[i]);
	free(x->v);
	free(x->slots);
	x->v = NULL;
	x->slots = NULL;
	x->n = x->cap = x->n_slots = x->bytes = 0;
	x->version = 0;
}

static void cached_free(struct cached *x)
{
	empty(x);
	pthread_mutex_destroy(&x->mu);
	free(x->project);
	free(x);
}

void track_cache_free(struct track_cache *tc)
{
	if (!tc)
		return;
	while (tc->first) {
		struct cached *x = tc->first;
		tc->first = x->next;
		cached_free(x);
	}
	pthread_mutex_destroy(&tc->mu);
	free(tc);
}

/* ---- one experiment ---- */

static size_t slot_of(const struct cached *x, struct id id)
{
	uint64_t h;
	memcpy(&h, id.b + 8, sizeof h); /* the random part */
	size_t at = (h * 0x9E3779B97F4A7C15ull >> 20) & (x->n_slots - 1);
	while (x->slots[at] && memcmp(x->v[x->slots[at] - 1]->id.b, id.b, 16) != 0)
		at = (at + 1) & (x->n_slots - 1);
	return at;
}

static bool grow(struct cached *x)
{
	size_t cap = x->cap ? x->cap * 2 : 64;
	struct tracked **v = realloc(x->v, cap * sizeof(struct tracked *));
	if (!v)
		return false;
	x->v = v;
	uint32_t *slots = calloc(cap * 2, sizeof *slots);
	if (!slots)
		return false;
	free(x->slots);
	x->slots = slots;
	x->n_slots = cap * 2;
	x->cap = cap;
	for (size_t i = 0; i < x->n; i++)
		x->slots[slot_of(x, x->v[i]->id)] = (uint32_t)i + 1;
	return true;
}

static enum err put(void *ctx, struct tracked *t)
{
	struct cached *x = ctx;
	if (x->n == x->cap && !grow(x)) {
		tracked_free(t);
		return ERR_NOMEM;
	}
	size_t at = slot_of(x, t->id);
	if (x->slots[at]) {
		struct tracked **old = &x->v[x->slots[at] - 1];
		x->bytes -= (*old)->bytes;
		tracked_free(*old);
		*old = t;
	} else {
		x->v[x->n++] = t;
		x->slots[at] = (uint32_t)x->n;
	}
	x->bytes += t->bytes;
	x->version = MAX(x->version, t->version);
	return OK;
}

static enum err refresh(struct croft *c, struct cached *x, struct errtext *et)
{
	struct tx *tx;
	struct row *r;
	int64_t purged = 0;
	struct str project = str_c(x->project);
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = db_query(tx, &r, et, "SELECT purged FROM experiment WHERE project = ? AND number = ?",
		P_TEXT(project), P_I64(x->experiment));
	if (!e) {
		if (row_next(r, &e, et))
			purged = row_i64(r, 0);
		row_free(r);
	}
	if (!e && purged != x->purged) {
		empty(x);
		x->purged = purged;
	}
	if (!e)
		e = track_store_changed(tx, project, x->experiment, x->version, put, x, et);
	db_rollback(tx);
	if (e) /* part of it may be there: versions came in order, so the rest comes next time */
		err_wrap(et, e, "experiment %lld", (long long)x->experiment);
	return e;
}

/* ---- all of them ---- */

static struct cached *use(struct track_cache *tc, struct str project, int64_t experiment)
{
	pthread_mutex_lock(&tc->mu);
	struct cached *x = tc->first;
	while (x && !(x->experiment == experiment && str_eq_c(project, x->project)))
		x = x->next;
	if (!x) {
		x = calloc(1, sizeof *x);
		if (x && !(x->project = str_dup(project))) {
			free(x);
			x = NULL;
		}
		if (x) {
			x->experiment = experiment;
			pthread_mutex_init(&x->mu, NULL);
			x->next = tc->first;
			tc->first = x;
		}
	}
	if (x) {
		x->users++;
		x->used = ++tc->tick;
	}
	pthread_mutex_unlock(&tc->mu);
	return x;
}

static void forget_oldest(struct track_cache *tc)
{
	for (;;) {
		struct cached **oldest = NULL;
		size_t bytes = 0;
		for (struct cached **at = &tc->first; *at; at = &(*at)->next) {
			if ((*at)->users)
				continue; /* its bytes may be changing */
			bytes += (*at)->bytes;
			if (!oldest || (*at)->used < (*oldest)->used)
				oldest = at;
		}
		if (!oldest || bytes <= tc->bytes_max)
			return;
		struct cached *x = *oldest;
		*oldest = x->next;
		cached_free(x);
	}
}

static void unuse(struct track_cache *tc, struct cached *x)
{
	pthread_mutex_lock(&tc->mu);
	x->users--;
	forget_oldest(tc);
	pthread_mutex_unlock(&tc->mu);
}

enum err track_cache_each(struct croft *c, struct str project, int64_t experiment, tracked_fn fn,
	void *ctx, struct errtext *et)
{
	struct runs *runs = croft_state(c, &run_module);
	struct cached *x = use(runs->cache, project, experiment);
	if (!x)
		return err_set(et, ERR_NOMEM, "no memory for an experiment's runs");
	pthread_mutex_lock(&x->mu);
	enum err e = refresh(c, x, et);
	for (size_t i = 0; i < x->n && !e; i++)
		e = fn(ctx, x->v[i]);
	pthread_mutex_unlock(&x->mu);
	unuse(runs->cache, x);
	return e;
}
