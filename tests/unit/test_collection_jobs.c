/* Background jobs: one at a time of each, so many in all, stopped, forgotten, and waited for. */
#include "collection/jobs.h"
#include "base/clock.h"
#include "tap.h"

#include <string.h>
#include <time.h>

struct told {
	atomic_bool go, seen, ended;
	enum err how;
};

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static enum err until_told(const struct jobs_work *w, struct errtext *et)
{
	struct told *t = w->ctx;
	uint64_t n = 0;
	atomic_store(&t->seen, true);
	while (!atomic_load(&t->go) && !cancelled(w->cancel)) {
		jobs_tell(w->self, "waiting", ++n, 1000000);
		nap();
	}
	atomic_store(&t->ended, true);
	if (cancelled(w->cancel))
		return ERR_CANCELLED;
	return t->how ? err_set(et, t->how, "as it was told") : OK;
}

static enum err begin(struct jobs *m, int64_t collection, int number, struct told *t,
	const struct cancel *stop, struct errtext *et)
{
	struct arena *a = arena_new(0);
	enum err e = jobs_start(m,
		&(struct jobs_new_one){.collection = collection,
			.number = number,
			.arena = a,
			.ctx = t,
			.run = until_told,
			.stop = stop,
			.twice = "it runs already"},
		et);
	if (e)
		arena_free(a);
	return e;
}

static struct jobs *two_at_once(void)
{
	struct errtext et;
	struct jobs *m = NULL;
	CHECK(jobs_new(&(struct jobs_kind){.thread = "test",
			       .busy = "both are taken",
			       .what = "a test",
			       .at_once = 2},
		      &m, &et) == OK);
	return m;
}

static void ends(struct jobs *m, int64_t collection, int number, struct jobs_at *at)
{
	uint64_t end = clock_mono_ns() + 10000000000u;
	do {
		nap();
		jobs_look(m, collection, number, at);
	} while (at->state == JOB_RUNNING && clock_mono_ns() < end);
}

static void test_collection_jobs__one_of_each_and_two_in_all(void)
{
	struct jobs *m = two_at_once();
	struct told a = {0}, b = {.how = ERR_LIMIT}, c = {0};
	struct jobs_at at;
	struct errtext et;
	jobs_look(m, 1, 0, &at);
	CHECK(at.state == JOB_IDLE);
	CHECK(!jobs_stop(m, 1, 0));
	CHECK(begin(m, 1, 0, &a, NULL, &et) == OK);
	CHECK(begin(m, 1, 0, &c, NULL, &et) == ERR_CONFLICT);
	CHECK(!strcmp(et.msg, "it runs already"));
	CHECK(begin(m, 1, 1, &b, NULL, &et) == OK);
	CHECK(begin(m, 2, 0, &c, NULL, &et) == ERR_BUSY);
	CHECK(!strcmp(et.msg, "both are taken"));
	while (!atomic_load(&a.seen))
		nap();
	jobs_look(m, 1, 0, &at);
	CHECK(at.state == JOB_RUNNING);
	atomic_store(&a.go, true);
	atomic_store(&b.go, true);
	ends(m, 1, 0, &at);
	CHECK(at.state == JOB_IDLE);
	ends(m, 1, 1, &at);
	CHECK(at.state == JOB_FAILED);
	CHECK(!strcmp(at.et.msg, "as it was told"));
	CHECK(begin(m, 1, 1, &c, NULL, &et) == OK);
	atomic_store(&c.go, true);
	ends(m, 1, 1, &at);
	CHECK(at.state == JOB_IDLE);
	jobs_free(m);
}

static void test_collection_jobs__stopped_by_a_call_by_the_server_and_at_the_end(void)
{
	struct jobs *m = two_at_once();
	struct told a = {0}, b = {0}, c = {0};
	struct cancel server = {0};
	struct jobs_at at;
	struct errtext et;
	CHECK(begin(m, 1, 0, &a, &server, &et) == OK);
	CHECK(jobs_stop(m, 1, 0));
	ends(m, 1, 0, &at);
	CHECK(at.state == JOB_FAILED && at.failed == ERR_CANCELLED);
	CHECK(begin(m, 2, 0, &b, &server, &et) == OK);
	cancel_set(&server);
	ends(m, 2, 0, &at);
	CHECK(at.state == JOB_FAILED && at.failed == ERR_CANCELLED);
	CHECK(begin(m, 3, 0, &c, NULL, &et) == OK);
	jobs_free(m);
	CHECK(atomic_load(&c.ended));
	jobs_free(NULL);
}

/* More jobs than places, from several threads: what has ended gives its place up. */
struct crowd {
	struct jobs *m;
	int64_t from;
	size_t done;
};

static void *begin_many(void *arg)
{
	struct crowd *w = arg;
	struct errtext et;
	for (int64_t i = 0; i < 40;) {
		struct told t = {.go = true};
		struct jobs_at at;
		if (begin(w->m, w->from + i, 0, &t, NULL, &et)) {
			nap();
			continue;
		}
		ends(w->m, w->from + i, 0, &at);
		w->done += atomic_load(&t.ended);
		i++;
	}
	return NULL;
}

static void test_collection_jobs__more_than_places(void)
{
	struct crowd crowds[3];
	pthread_t threads[3];
	struct errtext et;
	size_t done = 0;
	struct jobs *m = two_at_once();
	for (size_t i = 0; i < 3; i++) {
		crowds[i] = (struct crowd){m, (int64_t)(1000 * (i + 1)), 0};
		CHECK(thread_start(&threads[i], begin_many, &crowds[i], "many", &et) == OK);
	}
	for (size_t i = 0; i < 3; i++) {
		pthread_join(threads[i], NULL);
		done += crowds[i].done;
	}
	CHECK(done == 120);
	jobs_free(m);
}

TESTS(T(test_collection_jobs__one_of_each_and_two_in_all),
	T(test_collection_jobs__stopped_by_a_call_by_the_server_and_at_the_end),
	T(test_collection_jobs__more_than_places))
