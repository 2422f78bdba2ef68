/* bench_sparse FILE OUT: puts the vectors of a file (bench/sparse.py) into an index, asks its
 * queries with one thread; OUT gets a line of figures and each query's ten best. */
#include "base/os.h"
#include "vector/sparse.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { TOP = 10, AT_ONCE = 4096 };

struct set {
	uint64_t n, nnz;
	const uint64_t *ends;
	const uint32_t *at;
	const float *v;
};

static const char *read_set(const char *p, struct set *s)
{
	memcpy(&s->n, p, 8);
	memcpy(&s->nnz, p + 8, 8);
	s->ends = (const void *)(p + 16);
	s->at = (const void *)(s->ends + s->n + 1);
	s->v = (const void *)(s->at + s->nnz);
	return (const char *)(s->v + s->nnz);
}

static struct sparse_vector vector_at(const struct set *s, uint64_t i)
{
	uint64_t from = s->ends[i];
	return (struct sparse_vector){s->at + from, s->v + from, s->ends[i + 1] - from};
}

/* What this thread has worked: others may want the machine too. */
static uint64_t own_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void must(enum err e, const struct errtext *et)
{
	if (!e)
		return;
	fprintf(stderr, "bench_sparse: %s\n", err_text(e, et));
	exit(1);
}

int main(int argc, char **argv)
{
	struct errtext et = {0};
	struct buf file = {0};
	struct set docs, queries;
	struct sparse *x;
	if (argc != 3) {
		fprintf(stderr, "usage: bench_sparse FILE OUT\n");
		return 2;
	}
	must(os_read_file(argv[1], (size_t)8 << 30, &file, &et), &et);
	read_set(read_set(file.p, &docs), &queries);
	must(sparse_new(&x, &et), &et);
	uint64_t began = own_ns();
	for (uint64_t i = 0; i < docs.n; i++) {
		struct sparse_vector v = vector_at(&docs, i);
		must(sparse_put(x, i, &v, &et), &et);
		if (i % AT_ONCE == AT_ONCE - 1 || i + 1 == docs.n)
			must(sparse_publish(x, &et), &et);
	}
	double build = (double)(own_ns() - began) / 1e9;
	struct hit *hits = calloc(queries.n * TOP, sizeof *hits);
	size_t *n = calloc(queries.n, sizeof *n), rounds = 0;
	began = own_ns();
	do {
		for (uint64_t i = 0; i < queries.n; i++) {
			struct sparse_query q = {.v = vector_at(&queries, i), .k = TOP};
			must(sparse_search(x, &q, hits + i * TOP, &n[i], &et), &et);
		}
		rounds++;
	} while (own_ns() - began < UINT64_C(3000000000));
	double each = (double)(own_ns() - began) / 1e9 / (double)(rounds * queries.n);
	FILE *out = fopen(argv[2], "w");
	if (!out)
		return 1;
	fprintf(out, "qps %.1f build %.2f bytes %zu\n", 1 / each, build, sparse_bytes(x));
	for (uint64_t i = 0; i < queries.n; i++) {
		for (size_t k = 0; k < n[i]; k++)
			fprintf(out, "%s%llu", k ? " " : "",
				(unsigned long long)hits[i * TOP + k].key);
		fprintf(out, "\n");
	}
	fclose(out);
	sparse_free(x);
	buf_free(&file);
	free(hits);
	free(n);
	return 0;
}
