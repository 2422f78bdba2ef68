/* bench_fields -: lines of a filter, a tab, a payload; for each, 1 or 0, as the index and the
 * condition have it. bench_fields [ITEMS]: the index over payloads. Items have a keyword of few
 * values, one of many, an integer, a time and a text of a few words; prints how long it takes to
 * build, bytes per item, and for filters of several selectivities how long the index takes beside
 * deciding each payload.
 */
#include "base/clock.h"
#include "base/os.h"
#include "vector/fields.h"

#include <stdio.h>
#include <stdlib.h>

static void must(enum err e, struct errtext *et)
{
	if (!e)
		return;
	fprintf(stderr, "bench_fields: %s\n", err_text(e, et));
	exit(1);
}

static uint64_t rnd(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

static void payload(struct buf *b, uint64_t i, uint64_t *seed)
{
	static const char *const langs[] = {"en", "en", "en", "de", "fr", "es", "it", "zh"};
	char when[CLOCK_TEXT];
	clock_rfc3339(1700000000000 + (int64_t)(rnd(seed) % 60000000) * 1000, when);
	buf_clear(b);
	buf_addf(b, "{\"lang\":\"%s\",\"owner\":\"user-%u\",\"meta\":{\"n\":%u,\"when\":\"%s\"},",
		langs[rnd(seed) % ARRAY_LEN(langs)], (unsigned)(rnd(seed) % 5000),
		(unsigned)(rnd(seed) % 100000), when);
	buf_addf(b, "\"title\":\"part %u of book %u\",\"tags\":[\"t%u\",\"t%u\"]}",
		(unsigned)(rnd(seed) % 40), (unsigned)(rnd(seed) % 900), (unsigned)(rnd(seed) % 50),
		(unsigned)(rnd(seed) % 50));
}

static void measure(
	struct fields *x, yyjson_doc *const *items, size_t n, const char *name, const char *text)
{
	struct errtext et = {0};
	struct arena *a = arena_new(1 << 20);
	yyjson_doc *doc;
	const struct cond *c;
	struct fields_estimate about;
	uint64_t found = 0, start, index_ns = UINT64_MAX;
	size_t agree = 0;
	must(json_parse(str_c(text), &doc, &et), &et);
	must(cond_parse_qdrant(yyjson_doc_get_root(doc), NULL, NULL, a, &c, &et), &et);
	for (int i = 0; i < 9; i++) {
		struct bitmap b = {0};
		bool exact;
		start = clock_thread_ns();
		must(fields_select(x, c, &b, &exact, &et), &et);
		index_ns = MIN(index_ns, clock_thread_ns() - start);
		found = b.count;
		bitmap_free(&b);
	}
	fields_estimate(x, c, &about);
	start = clock_thread_ns();
	for (size_t i = 0; i < n; i++)
		agree += cond_matches(c, i, yyjson_doc_get_root(items[i]));
	uint64_t each_ns = clock_thread_ns() - start;
	printf("%-22s %9llu %9llu %8.3f %% %10.1f %12.1f  %s\n", name, (unsigned long long)found,
		(unsigned long long)about.likely, 100.0 * (double)found / (double)n,
		(double)index_ns / 1e3, (double)each_ns / 1e3, agree == found ? "same" : "DIFFERS");
	yyjson_doc_free(doc);
	arena_free(a);
}

static bool decide(struct str filter, struct str text)
{
	struct errtext et = {0};
	struct arena *a = arena_new(16 << 20);
	struct fields *x;
	struct bitmap b = {0};
	yyjson_doc *f, *p;
	const struct cond *c;
	bool exact;
	must(json_parse(filter, &f, &et), &et);
	must(json_parse(text, &p, &et), &et);
	must(cond_parse_qdrant(yyjson_doc_get_root(f), NULL, NULL, a, &c, &et), &et);
	must(fields_new(NULL, &x, &et), &et);
	must(fields_put(x, 7, text, &et), &et);
	must(fields_publish(x, &et), &et);
	must(fields_select(x, c, &b, &exact, &et), &et);
	bool yes = cond_matches(c, 7, yyjson_doc_get_root(p));
	if (exact ? b.count != yes : b.count < yes) {
		printf("index and condition differ: %.*s\n", STR_FMT(filter));
		exit(1);
	}
	bitmap_free(&b);
	fields_free(x);
	yyjson_doc_free(f);
	yyjson_doc_free(p);
	arena_free(a);
	return yes;
}

static int decide_lines(void)
{
	struct errtext et = {0};
	struct buf in = {0};
	struct str rest, line, filter;
	must(os_read_file("/dev/stdin", (size_t)1 << 30, &in, &et), &et);
	rest = buf_str(&in);
	while (str_next_line(&rest, &line))
		if (str_next(&line, '\t', &filter))
			printf("%d\n", decide(filter, line));
	buf_free(&in);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "-"))
		return decide_lines();
	struct errtext et = {0};
	size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 200000;
	struct fields *x;
	struct buf b = {0};
	yyjson_doc **items = calloc(n + 1, sizeof *items);
	uint64_t seed = 42, json = 0;
	must(fields_new(NULL, &x, &et), &et);
	uint64_t start = clock_thread_ns();
	for (size_t i = 0; i < n; i++) {
		payload(&b, i, &seed);
		json += b.n;
		must(fields_put(x, i, buf_str(&b), &et), &et);
	}
	must(fields_publish(x, &et), &et);
	printf("%zu items: built in %.2f s, %.0f bytes an item; the payloads themselves have "
	       "%.0f\n",
		n, (double)(clock_thread_ns() - start) / 1e9, (double)fields_bytes(x) / (double)n,
		(double)json / (double)n);
	seed = 42;
	for (size_t i = 0; items && i < n; i++) {
		payload(&b, i, &seed);
		must(json_parse(buf_str(&b), &items[i], &et), &et);
	}
	printf("%-22s %9s %9s %10s %10s %12s\n", "filter", "items", "estimate", "", "index, us",
		"one by one, us");
	measure(x, items, n, "owner",
		"{\"must\":[{\"key\":\"owner\",\"match\":{\"value\":\"user-7\"}}]}");
	measure(x, items, n, "number, 0.1 %",
		"{\"must\":[{\"key\":\"meta.n\",\"range\":{\"lt\":100}}]}");
	measure(x, items, n, "number, 10 %",
		"{\"must\":[{\"key\":\"meta.n\",\"range\":{\"lt\":10000}}]}");
	measure(x, items, n, "language",
		"{\"must\":[{\"key\":\"lang\",\"match\":{\"value\":\"en\"}}]}");
	measure(x, items, n, "time and not language",
		"{\"must\":[{\"key\":\"meta.when\",\"range\":{\"gte\":\"2024-10-01\"}}],"
		"\"must_not\":[{\"key\":\"lang\",\"match\":{\"value\":\"en\"}}]}");
	measure(x, items, n, "tags or words",
		"{\"should\":[{\"key\":\"tags\",\"match\":{\"any\":[\"t1\",\"t2\"]}},"
		"{\"key\":\"title\",\"match\":{\"text\":\"book 17\"}}]}");
	for (size_t i = 0; i < n; i++)
		yyjson_doc_free(items[i]);
	free(items);
	buf_free(&b);
	fields_free(x);
	return 0;
}
