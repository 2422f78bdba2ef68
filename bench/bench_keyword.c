/* bench_keyword DOCUMENTS QUERIES OUT K1 B: the keyword index over a file of documents, one a line,
 * terms between spaces; each query of the other file is asked for its 10 best, in one thread, over
 * and over for about two seconds. Prints queries a second, seconds to build, bytes; writes each
 * query's hits to OUT as "number:score ...". */
#include "base/os.h"
#include "vector/bm25.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { TOP = 10 };

struct lines {
	struct buf text;
	struct str *terms; /* of all lines */
	size_t *from;      /* [n + 1] */
	size_t n;
};

static void must(enum err e, struct errtext *et)
{
	if (!e)
		return;
	fprintf(stderr, "bench_keyword: %s\n", err_text(e, et));
	exit(1);
}

static void read_lines(const char *path, struct lines *l)
{
	struct errtext et = {0};
	must(os_read_file(path, (size_t)4 << 30, &l->text, &et), &et);
	size_t words = 1, lines = 2;
	for (size_t i = 0; i < l->text.n; i++) {
		words += l->text.p[i] == ' ' || l->text.p[i] == '\n';
		lines += l->text.p[i] == '\n';
	}
	l->terms = malloc(words * sizeof *l->terms);
	l->from = malloc(lines * sizeof *l->from);
	if (!l->terms || !l->from)
		must(ERR_NOMEM, &et);
	struct str rest = buf_str(&l->text), line, word;
	size_t n = 0;
	while (str_next_line(&rest, &line)) {
		l->from[l->n++] = n;
		while (str_next(&line, ' ', &word))
			if (word.n)
				l->terms[n++] = word;
	}
	l->from[l->n] = n;
}

static uint64_t own_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void ask(struct bm25 *x, const struct lines *q, size_t i, struct hit *hits, size_t *n)
{
	struct errtext et = {0};
	*n = 0;
	must(bm25_search(x, q->terms + q->from[i], q->from[i + 1] - q->from[i], TOP, NULL, NULL,
		     hits, n, NULL, &et),
		&et);
}

int main(int argc, char **argv)
{
	struct errtext et = {0};
	struct lines docs = {0}, queries = {0};
	struct bm25_options o = {0};
	struct bm25 *x;
	if (argc != 6) {
		fprintf(stderr, "usage: bench_keyword DOCUMENTS QUERIES OUT K1 B\n");
		return 2;
	}
	o.k1 = strtof(argv[4], NULL);
	o.b = strtof(argv[5], NULL);
	read_lines(argv[1], &docs);
	read_lines(argv[2], &queries);
	must(bm25_new(&o, &x), &et);
	uint64_t start = own_ns();
	for (size_t i = 0; i < docs.n; i++)
		must(bm25_put(
			     x, i, docs.terms + docs.from[i], docs.from[i + 1] - docs.from[i], &et),
			&et);
	must(bm25_publish(x, &et), &et);
	double build = (double)(own_ns() - start) / 1e9;
	FILE *out = fopen(argv[3], "w");
	struct hit hits[TOP];
	size_t n, asked = 0;
	for (size_t i = 0; out && i < queries.n; i++) {
		ask(x, &queries, i, hits, &n);
		for (size_t h = 0; h < n; h++)
			fprintf(out, "%s%zu:%.9g", h ? " " : "", (size_t)hits[h].key,
				(double)hits[h].score);
		fputc('\n', out);
	}
	if (!out || fclose(out))
		must(err_errno(&et, "%s", argv[3]), &et);
	start = own_ns();
	while (own_ns() - start < 2000000000u)
		for (size_t i = 0; i < queries.n; i++, asked++)
			ask(x, &queries, i, hits, &n);
	printf("%.1f %.2f %zu\n", (double)asked / ((double)(own_ns() - start) / 1e9), build,
		bm25_bytes(x));
	bm25_free(x);
	return 0;
}
