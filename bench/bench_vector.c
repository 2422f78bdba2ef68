/* bench_vector BASE.fbin QUERIES.fbin: reads commands from standard input and answers each with one
 * line of JSON; bench/vector.py gives them, in turns with its peers. Searches are timed by the CPU
 * time of their thread, so that another program on the machine costs less of the truth.
 *
 *	build METRIC TYPE DEGREE BUILD_EF THREADS     an index of all of BASE
 *	search EF                                     recall@10 and searches a second
 *	exact | exact_many                            scans: one by one, all together
 *	filter PER_10000 EF                           with a random share of the items
 *	churn THREADS ROUNDS                          replaces everything while a thread searches
 *	save PATH */
#include "base/clock.h"
#include "kernels/kernels.h"
#include "vector/index.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { K = 10 };

static struct set {
	uint32_t n, dim;
	float *v;
} base, queries;

static struct vindex *x;
static struct hit (*exact)[K];
static uint64_t *keys, *bits;

static struct set load(const char *path)
{
	FILE *f = fopen(path, "rb");
	struct set s = {0};
	uint32_t head[2];
	if (!f || fread(head, 4, 2, f) != 2)
		exit((perror(path), 1));
	s.n = head[0];
	s.dim = head[1];
	s.v = malloc((size_t)s.n * s.dim * 4);
	if (!s.v || fread(s.v, 4 * s.dim, s.n, f) != s.n)
		exit((perror(path), 1));
	fclose(f);
	return s;
}

static double seconds(clockid_t which)
{
	struct timespec t;
	clock_gettime(which, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void must(enum err e, const struct errtext *et)
{
	if (e)
		exit((fprintf(stderr, "%s\n", err_text(e, et)), 1));
}

static void put_all(unsigned threads, uint32_t step)
{
	struct errtext et = {0};
	struct kern_team *team;
	must(kern_team_new(threads, &team, &et), &et);
	for (uint32_t i = 0; i < base.n; i += step)
		must(vindex_put(x, keys + i, base.v + (size_t)i * base.dim, MIN(step, base.n - i),
			     team, &et),
			&et);
	kern_team_free(team);
}

static void build(const unsigned a[5])
{
	struct errtext et = {0};
	vindex_free(x);
	must(vindex_new(&(struct vindex_options){.dim = base.dim,
				.metric = a[0],
				.type = a[1],
				.degree = a[2],
				.build_ef = a[3]},
		     &x, &et),
		&et);
	double t = seconds(CLOCK_MONOTONIC), c = seconds(CLOCK_PROCESS_CPUTIME_ID);
	put_all(a[4], base.n);
	t = seconds(CLOCK_MONOTONIC) - t;
	c = seconds(CLOCK_PROCESS_CPUTIME_ID) - c;
	struct vindex_bytes b;
	vindex_size(x, &b);
	printf("{\"seconds\": %.3f, \"cpu\": %.3f, \"vectors\": %llu, \"graph\": %llu, "
	       "\"other\": %llu, \"per_search\": %llu}\n",
		t, c, (unsigned long long)b.vectors, (unsigned long long)b.graph,
		(unsigned long long)b.other, (unsigned long long)b.per_search);
}

static double good_of(const struct hit *h, size_t n, const struct hit *best, size_t n_best)
{
	double good = 0;
	for (size_t j = 0; j < n; j++)
		good += h[j].score >= best[n_best - 1].score;
	return n_best ? good / (double)n_best : 1;
}

/* All queries, as `ask` says: the answers' recall against `best`, searches a second. */
static void search_all(struct vindex_query ask, struct hit (*best)[K], const size_t *n_best)
{
	struct errtext et = {0};
	double good = 0, compared = 0, fastest = 1e9;
	size_t graph = 0;
	for (int round = 0; round < 2; round++) {
		good = compared = 0;
		graph = 0;
		double t = seconds(CLOCK_THREAD_CPUTIME_ID);
		for (uint32_t i = 0; i < queries.n; i++) {
			struct hit h[K];
			struct vindex_answer a;
			ask.vector = queries.v + (size_t)i * queries.dim;
			must(vindex_search(x, &ask, h, &a, &et), &et);
			good += good_of(h, a.n, best[i], n_best ? n_best[i] : K);
			compared += (double)a.compared;
			graph += a.how == VINDEX_GRAPH;
		}
		fastest = MIN(fastest, seconds(CLOCK_THREAD_CPUTIME_ID) - t);
	}
	printf("{\"recall\": %.5f, \"qps\": %.1f, \"compared\": %.1f, \"graph\": %zu}\n",
		good / queries.n, queries.n / fastest, compared / queries.n, graph);
}

static void scan_all(bool many)
{
	struct errtext et = {0};
	double t = seconds(CLOCK_THREAD_CPUTIME_ID);
	size_t *n = malloc(queries.n * sizeof *n);
	struct vindex_answer a;
	if (many)
		must(vindex_scan_many(x, queries.v, queries.n, K, exact[0], n, NULL, &et), &et);
	for (uint32_t i = 0; !many && i < queries.n; i++)
		must(vindex_search(x,
			     &(struct vindex_query){.vector = queries.v + (size_t)i * queries.dim,
				     .k = K,
				     .exact = true},
			     exact[i], &a, &et),
			&et);
	t = seconds(CLOCK_THREAD_CPUTIME_ID) - t;
	free(n);
	double read = (double)base.n * base.dim * queries.n / t;
	printf("{\"qps\": %.2f, \"read\": %.0f, \"ids\": [", queries.n / t, read);
	for (uint32_t i = 0; i < queries.n; i++)
		for (int j = 0; j < K; j++)
			printf("%s%llu", i + j ? "," : "", (unsigned long long)exact[i][j].key);
	printf("]}\n");
}

static void filtered(unsigned share, unsigned ef)
{
	struct errtext et = {0};
	uint64_t count = 0, seed = 88172645463325252u;
	memset(bits, 0, (base.n / 64 + 1) * sizeof *bits);
	for (uint32_t i = 0; i < base.n; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		if (seed % 10000 < share) {
			bits[i / 64] |= UINT64_C(1) << i % 64;
			count++;
		}
	}
	struct vindex_filter f = {.bits = bits, .n_bits = base.n, .count = count};
	struct vindex_query ask = {.k = K, .ef = ef, .exact = true, .filter = &f};
	struct hit(*best)[K] = malloc(queries.n * sizeof *best);
	size_t *n_best = malloc(queries.n * sizeof *n_best);
	for (uint32_t i = 0; i < queries.n; i++) {
		struct vindex_answer a;
		ask.vector = queries.v + (size_t)i * queries.dim;
		must(vindex_search(x, &ask, best[i], &a, &et), &et);
		n_best[i] = a.n;
	}
	ask.exact = false;
	search_all(ask, best, n_best);
	free(best);
	free(n_best);
}

/* ---- changes with a search beside them ---- */

static atomic_bool stop;
static double searched, search_cpu;

static void *searcher(void *arg)
{
	struct errtext et = {0};
	double t = seconds(CLOCK_MONOTONIC);
	size_t n = 0;
	for (; !atomic_load(&stop); n++) {
		struct hit h[K];
		struct vindex_answer a;
		must(vindex_search(x,
			     &(struct vindex_query){
				     .vector = queries.v + n % queries.n * queries.dim, .k = K},
			     h, &a, &et),
			&et);
	}
	searched = (double)n / (seconds(CLOCK_MONOTONIC) - t);
	search_cpu = seconds(CLOCK_THREAD_CPUTIME_ID);
	return NULL;
}

static void churn(unsigned threads, unsigned rounds)
{
	struct errtext et = {0};
	pthread_t t;
	atomic_store(&stop, false);
	must(thread_start(&t, searcher, NULL, "search", &et), &et);
	double w = seconds(CLOCK_MONOTONIC), c = seconds(CLOCK_PROCESS_CPUTIME_ID);
	for (unsigned i = 0; i < rounds; i++) {
		/* the items change places: each key gets the vector of another */
		for (uint32_t j = 0; j < base.n; j++)
			keys[j] = (keys[j] + base.n / 3) % base.n;
		put_all(threads, 500);
	}
	w = seconds(CLOCK_MONOTONIC) - w;
	atomic_store(&stop, true);
	pthread_join(t, NULL);
	c = seconds(CLOCK_PROCESS_CPUTIME_ID) - c - search_cpu; /* what the puts took */
	struct vindex_bytes b;
	vindex_size(x, &b);
	printf("{\"puts\": %.0f, \"puts_cpu\": %.0f, \"searches\": %.0f, \"total\": %llu}\n",
		(double)base.n * rounds / w, (double)base.n * rounds / c, searched,
		(unsigned long long)b.total);
}

int main(int argc, char **argv)
{
	struct errtext et = {0};
	char line[1024], path[1000];
	unsigned a[5];
	if (argc != 3)
		return 2;
	must(kern_init(&et), &et);
	base = load(argv[1]);
	queries = load(argv[2]);
	exact = malloc(queries.n * sizeof *exact);
	keys = malloc(base.n * sizeof *keys);
	bits = malloc((base.n / 64 + 1) * sizeof *bits);
	for (uint32_t i = 0; i < base.n; i++)
		keys[i] = i;
	while (fgets(line, sizeof line, stdin)) {
		if (sscanf(line, "build %u %u %u %u %u", &a[0], &a[1], &a[2], &a[3], &a[4]) == 5)
			build(a);
		else if (sscanf(line, "search %u", &a[0]) == 1)
			search_all((struct vindex_query){.k = K, .ef = a[0]}, exact, NULL);
		else if (!strncmp(line, "exact", 5))
			scan_all(line[5] == '_');
		else if (sscanf(line, "filter %u %u", &a[0], &a[1]) == 2)
			filtered(a[0], a[1]);
		else if (sscanf(line, "churn %u %u", &a[0], &a[1]) == 2)
			churn(a[0], a[1]);
		else if (sscanf(line, "save %999s", path) == 1)
			must(vindex_save(x, path, 0, &et), (puts("{}"), &et));
		fflush(stdout);
	}
	vindex_free(x);
	return 0;
}
