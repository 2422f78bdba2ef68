#include "tap.h"
#include "kernels/kernels.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

struct job {
	unsigned char *seen; /* plain memory: the team itself must order the accesses */
	unsigned size;
	atomic_size_t calls;
};

static void mark(void *arg, size_t chunk, unsigned thread)
{
	struct job *j = arg;
	if (thread >= j->size)
		abort();
	j->seen[chunk]++;
	atomic_fetch_add(&j->calls, 1);
}

static void test_kernels_team__each_chunk_once(void)
{
	for (unsigned size = 1; size <= 4; size++) {
		struct kern_team *t;
		struct errtext et;
		CHECK_OK(kern_team_new(size, &t, &et), &et);
		CHECK_INT(kern_team_size(t), size);
		for (size_t n = 0; n < 300; n++) {
			struct job j = {.seen = calloc(n + 1, 1), .size = size};
			kern_team_run(t, mark, &j, n);
			for (size_t i = 0; i < n; i++)
				CHECK_INT(j.seen[i], 1);
			CHECK_INT(j.calls, n);
			free(j.seen);
			if (n % 100 == 99) /* long enough that the others fall asleep */
				nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
		}
		kern_team_free(t);
	}
}

static void test_kernels_team__none_is_one(void)
{
	struct job j = {.seen = calloc(9, 1), .size = 1};
	kern_team_run(NULL, mark, &j, 9);
	CHECK_INT(j.calls, 9);
	CHECK_INT(kern_team_size(NULL), 1);
	kern_team_free(NULL);
	free(j.seen);
}

static void test_kernels_team__made_and_freed_often(void)
{
	for (int i = 0; i < 50; i++) {
		struct kern_team *t;
		CHECK_OK(kern_team_new(3, &t, NULL), NULL);
		unsigned char seen[8] = {0};
		struct job j = {.seen = seen, .size = 3};
		if (i % 2)
			kern_team_run(t, mark, &j, 8);
		kern_team_free(t);
	}
}

TESTS(T(test_kernels_team__each_chunk_once), T(test_kernels_team__none_is_one),
	T(test_kernels_team__made_and_freed_often))
