/* The team of threads. `left` counts the chunks of the present run that nobody has taken; taking
 * one is a compare-and-swap, after which fn, arg and n belong to the run whose chunk was taken (a
 * run ends only when all its chunks are done, so they cannot change meanwhile). A thread that comes
 * late finds nothing left and goes back to waiting: nobody waits for it.
 *
 *	run: publish fn, arg, n -> done = 0 -> left = n (release) -> wake sleepers -> take chunks
 *	     -> wait for done == n (acquire)
 *	worker: spin for left > 0 -> take (acquire) -> fn -> done + 1 (release); sleeps on `wake`
 *when it has spun long enough, after announcing itself in `sleepers` */
#include "kernels/kernels.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "base/thread.h"

enum { SPINS = 4000, SPINS_DONE = 20000 };

struct member {
	struct kern_team *team;
	pthread_t thread;
	unsigned index;
};

struct kern_team {
	_Alignas(64) atomic_size_t left;
	_Alignas(64) atomic_size_t done;
	_Alignas(64) kern_chunk_fn fn;
	void *arg;
	size_t n;
	_Alignas(64) atomic_uint sleepers;
	atomic_bool stop;
	pthread_mutex_t mu;
	pthread_cond_t wake;
	unsigned size, started;
	struct member members[];
};

static inline void pause_cpu(void)
{
#if defined __x86_64__
	__builtin_ia32_pause();
#elif defined __aarch64__
	__asm__ volatile("yield");
#endif
}

/* Takes chunks while there are any. */
static void work(struct kern_team *t, unsigned index)
{
	size_t left = atomic_load_explicit(&t->left, memory_order_acquire);
	while (left) {
		if (!atomic_compare_exchange_weak_explicit(
			    &t->left, &left, left - 1, memory_order_acq_rel, memory_order_acquire))
			continue;
		t->fn(t->arg, t->n - left, index);
		atomic_fetch_add_explicit(&t->done, 1, memory_order_release);
		left = atomic_load_explicit(&t->left, memory_order_acquire);
	}
}

static void *member_main(void *arg)
{
	struct member *m = arg;
	struct kern_team *t = m->team;
	for (;;) {
		for (unsigned i = 0;
			i < SPINS && !atomic_load_explicit(&t->left, memory_order_relaxed); i++)
			pause_cpu();
		if (!atomic_load(&t->left)) {
			pthread_mutex_lock(&t->mu);
			atomic_fetch_add(&t->sleepers, 1);
			while (!atomic_load(&t->left) && !atomic_load(&t->stop))
				pthread_cond_wait(&t->wake, &t->mu);
			atomic_fetch_sub(&t->sleepers, 1);
			pthread_mutex_unlock(&t->mu);
			if (atomic_load(&t->stop))
				return NULL;
		}
		work(t, m->index);
	}
}

enum err kern_team_new(unsigned n, struct kern_team **out, struct errtext *et)
{
	n = MAX(n, 1u);
	size_t bytes = (sizeof(struct kern_team) + n * sizeof(struct member) + 63) / 64 * 64;
	struct kern_team *t = aligned_alloc(64, bytes);
	if (!t)
		return err_set(et, ERR_NOMEM, "no memory for a team of %u threads", n);
	memset(t, 0, bytes);
	t->size = n;
	pthread_mutex_init(&t->mu, NULL);
	pthread_cond_init(&t->wake, NULL);
	for (t->started = 0; t->started < n - 1; t->started++) {
		struct member *m = &t->members[t->started];
		*m = (struct member){.team = t, .index = t->started + 1};
		enum err e = thread_start(&m->thread, member_main, m, "compute", et);
		if (e) {
			kern_team_free(t);
			return e;
		}
	}
	*out = t;
	return OK;
}

void kern_team_free(struct kern_team *t)
{
	if (!t)
		return;
	pthread_mutex_lock(&t->mu);
	atomic_store(&t->stop, true);
	pthread_cond_broadcast(&t->wake);
	pthread_mutex_unlock(&t->mu);
	for (unsigned i = 0; i < t->started; i++)
		pthread_join(t->members[i].thread, NULL);
	pthread_cond_destroy(&t->wake);
	pthread_mutex_destroy(&t->mu);
	free(t);
}

unsigned kern_team_size(const struct kern_team *t)
{
	return t ? t->size : 1;
}

void kern_team_run(struct kern_team *t, kern_chunk_fn fn, void *arg, size_t n)
{
	if (!t || t->size == 1 || n < 2) {
		for (size_t i = 0; i < n; i++)
			fn(arg, i, 0);
		return;
	}
	t->fn = fn;
	t->arg = arg;
	t->n = n;
	atomic_store_explicit(&t->done, 0, memory_order_relaxed);
	atomic_store(&t->left, n);
	if (atomic_load(&t->sleepers)) {
		pthread_mutex_lock(&t->mu);
		pthread_cond_broadcast(&t->wake);
		pthread_mutex_unlock(&t->mu);
	}
	work(t, 0);
	for (unsigned i = 0; atomic_load_explicit(&t->done, memory_order_acquire) < n; i++) {
		if (i < SPINS_DONE)
			pause_cpu();
		else
			sched_yield();
	}
}
