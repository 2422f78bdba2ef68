/* Spans as they come, to those who watch: one ring for all. Who reads keeps only a number. */
#include "run/trace_int.h"
#include "base/clock.h"

#include <stdlib.h>

enum { RING = 4096, READERS_MAX = 256 };

struct trace_live {
	pthread_mutex_t mu;
	pthread_cond_t more;
	atomic_uint readers;
	uint64_t next; /* number of the next event; it stands at next % RING */
	struct trace_event ring[RING];
};

enum err trace_live_new(struct trace_live **out, struct errtext *et)
{
	struct trace_live *l = calloc(1, sizeof *l);
	if (!l)
		return err_set(et, ERR_NOMEM, "no memory for live traces");
	pthread_mutex_init(&l->mu, NULL);
	cond_init(&l->more);
	*out = l;
	return OK;
}

void trace_live_free(struct trace_live *l)
{
	if (!l)
		return;
	pthread_mutex_destroy(&l->mu);
	pthread_cond_destroy(&l->more);
	free(l);
}

bool trace_live_watched(struct trace_live *l)
{
	return atomic_load(&l->readers) > 0;
}

void trace_live_put(struct trace_live *l, const struct trace_event *ev)
{
	pthread_mutex_lock(&l->mu);
	l->ring[l->next++ % RING] = *ev;
	pthread_cond_broadcast(&l->more);
	pthread_mutex_unlock(&l->mu);
}

enum err trace_live_join(struct trace_live *l, uint64_t *at, struct errtext *et)
{
	if (atomic_fetch_add(&l->readers, 1) >= READERS_MAX) {
		atomic_fetch_sub(&l->readers, 1);
		return err_set(et, ERR_BUSY, "%d clients watch live traces already", READERS_MAX);
	}
	pthread_mutex_lock(&l->mu);
	*at = l->next;
	pthread_mutex_unlock(&l->mu);
	return OK;
}

void trace_live_leave(struct trace_live *l)
{
	atomic_fetch_sub(&l->readers, 1);
}

size_t trace_live_read(struct trace_live *l, uint64_t *at, struct trace_event *out, size_t n,
	uint64_t *lost, uint32_t wait_ms)
{
	uint64_t deadline = clock_mono_ns() + wait_ms * 1000000ull;
	size_t k = 0;
	pthread_mutex_lock(&l->mu);
	while (*at == l->next && cond_wait_until(&l->more, &l->mu, deadline))
		;
	*lost = l->next - *at > RING ? l->next - *at - RING : 0;
	*at += *lost;
	for (; k < n && *at < l->next; k++)
		out[k] = l->ring[(*at)++ % RING];
	pthread_mutex_unlock(&l->mu);
	return k;
}
