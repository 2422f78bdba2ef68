/* The layouts of bench/map.py.
 *
 *	bench_map ROWS.fbin OUT.fbin DIMS SEED [FROM.fbin [stay]]
 *
 * Lays out the rows in DIMS (2 or 3) numbers each; FROM has a place for each row, NaN for those
 * that have none: an aligned layout, or with `stay` one that leaves them where they are. Prints
 * seconds by the clock and of all processors. */
#include "base/clock.h"
#include "base/thread.h"
#include "kernels/kernels.h"
#include "vector/layout.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void fail(const char *what)
{
	fprintf(stderr, "bench_map: %s\n", what);
	exit(1);
}

static float *read_rows(const char *path, uint32_t *n, uint32_t *dim)
{
	uint32_t head[2];
	FILE *f = fopen(path, "rb");
	if (!f || fread(head, sizeof head, 1, f) != 1)
		fail(path);
	size_t count = (size_t)head[0] * head[1];
	float *v = malloc((count + 1) * sizeof *v);
	if (!v || fread(v, sizeof *v, count, f) != count)
		fail(path);
	fclose(f);
	*n = head[0];
	*dim = head[1];
	return v;
}

static double cpu_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	struct errtext et = {0};
	struct kern_team *team = NULL;
	uint32_t n, dim, n_from, dims = argc > 3 ? (uint32_t)atoi(argv[3]) : 2, dims_from = dims;
	if (argc < 5 || (dims != 2 && dims != 3))
		fail("bench_map ROWS.fbin OUT.fbin DIMS SEED [FROM.fbin [stay]]");
	if (kern_init(&et))
		fail(et.msg);
	float *v = read_rows(argv[1], &n, &dim), *xy = NULL;
	if (argc > 5) {
		xy = read_rows(argv[5], &n_from, &dims_from);
		if (n_from != n || dims_from != dims)
			fail("FROM is of other rows");
	} else {
		xy = malloc((size_t)n * dims * sizeof *xy);
		for (size_t i = 0; xy && i < (size_t)n * dims; i++)
			xy[i] = NAN;
	}
	if (!xy || (cpu_count() > 1 && kern_team_new(cpu_count(), &team, &et)))
		fail("no memory");
	struct layout_rows rows = {v, n, dim};
	struct layout_work w = {.team = team};
	struct layout_options o = {.dims = dims,
		.seed = strtoull(argv[4], NULL, 10),
		.stay = argc > 6,
		.epochs = getenv("EPOCHS") ? (uint32_t)atoi(getenv("EPOCHS")) : 0};
	uint64_t began = clock_mono_ns();
	double cpu = cpu_seconds();
	if (layout_embed(&rows, &o, &w, xy, &et))
		fail(et.msg);
	printf("%.3f %.3f\n", (double)(clock_mono_ns() - began) / 1e9, cpu_seconds() - cpu);
	uint32_t head[2] = {n, dims};
	FILE *f = fopen(argv[2], "wb");
	if (!f || fwrite(head, sizeof head, 1, f) != 1 ||
		fwrite(xy, sizeof *xy, (size_t)n * dims, f) != (size_t)n * dims || fclose(f))
		fail(argv[2]);
	kern_team_free(team);
	free(v);
	free(xy);
	return 0;
}
