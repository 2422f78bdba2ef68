/* bench_curate BASE.fbin COSINE THREADS OUT: near-duplicates of all rows, made of length 1 first;
 * prints the seconds, those of the processors (of all threads) and what was found as JSON, and
 * writes each row's group (u32). */
#include "base/clock.h"
#include "kernels/kernels.h"
#include "vector/curate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void must(enum err e, const struct errtext *et)
{
	if (e)
		exit((fprintf(stderr, "%s\n", err_text(e, et)), 1));
}

static double cpu_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static struct layout_rows load(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint32_t head[2];
	if (!f || fread(head, 4, 2, f) != 2)
		exit((perror(path), 1));
	size_t n = head[0], dim = head[1];
	float *v = malloc(n * dim * sizeof *v);
	if (!v || fread(v, 4 * dim, n, f) != n)
		exit((perror(path), 1));
	fclose(f);
	for (size_t i = 0; i < n; i++)
		kern->normalize(v + i * dim, v + i * dim, dim);
	return (struct layout_rows){v, n, dim};
}

int main(int argc, char **argv)
{
	struct errtext et = {0};
	struct kern_team *team;
	struct curate_twins found;
	if (argc != 5)
		return fprintf(stderr, "usage: bench_curate BASE.fbin COSINE THREADS OUT\n"), 2;
	must(kern_init(&et), &et);
	must(kern_team_new((unsigned)atoi(argv[3]), &team, &et), &et);
	struct layout_rows x = load(argv[1]);
	struct layout_work w = {.team = team};
	float within = sqrtf(2 - 2 * (float)atof(argv[2]));
	uint32_t *group = malloc(x.n * sizeof *group), *keeper = malloc(x.n * sizeof *keeper);
	float *distance = malloc(x.n * sizeof *distance);
	double cpu = cpu_seconds();
	uint64_t began = clock_mono_ns();
	must(curate_twins(&x, within, LAYOUT_AUTO, &w, group, &found, &et), &et);
	must(curate_keepers(&x, group, found.n_groups, within, NULL, &w, keeper, distance, &et),
		&et);
	double took = (double)(clock_mono_ns() - began) / 1e9;
	cpu = cpu_seconds() - cpu;
	printf("{\"seconds\":%.3f,\"cpu\":%.3f,\"groups\":%zu,\"rows\":%zu,\"exact\":%s,"
	       "\"measured\":%llu}\n",
		took, cpu, found.n_groups, found.n_rows, found.exact ? "true" : "false",
		(unsigned long long)found.measured);
	FILE *f = fopen(argv[4], "wb");
	if (!f || fwrite(group, 4, x.n, f) != x.n || fclose(f))
		return perror(argv[4]), 1;
	return 0;
}
