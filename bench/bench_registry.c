/* Speed of the registry with many versions: one artifact with VERSIONS versions (100,000), each
 *with a tag, and 1,000 moves of one alias. Prints the median and the 99th percentile of what a
 *request does inside its transaction.
 *
 *	build/bench/bench_registry [VERSIONS] */
#include "access/access.h"
#include "artifact/registry.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ROUNDS = 2000, BATCH = 1000 };

static struct errtext et;

static void must(enum err e, const char *what)
{
	if (!e)
		return;
	fprintf(stderr, "%s: %s\n", what, err_text(e, &et));
	exit(1);
}

static int cmp_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static struct croft *open_in(const char *home)
{
	static const struct module *const modules[] = {&access_module, &registry_module};
	struct croft *c;
	struct croft_options o = {
		.modules = modules, .n_modules = ARRAY_LEN(modules), .home = home};
	must(croft_open(&o, &c, &et), "open");
	return c;
}

static const struct principal who = {
	.name = {"bench", 5}, .project = {"default", 7}, .perms = PERMS_ALL};

static void add_batch(struct croft *c, int64_t n)
{
	struct tx *tx;
	must(db_begin(croft_db(c), TX_WRITE, &tx, &et), "begin");
	for (int64_t i = 0; i < n; i++) {
		int64_t version;
		struct version_new v = {
			.kind = S("model"), .name = S("m"), .source = S("s3://bucket/m")};
		must(artifact_put_version(tx, &who, &v, &version, &et), "put");
	}
	must(db_commit(tx, &et), "commit");
}

static void move_alias(struct croft *c, int64_t versions)
{
	for (int i = 0; i < 1000; i++) {
		struct tx *tx;
		struct alias_move m = {.kind = S("model"),
			.name = S("m"),
			.alias = S("prod"),
			.version = 1 + (int64_t)i * 97 % versions};
		must(db_begin(croft_db(c), TX_WRITE, &tx, &et), "begin");
		must(artifact_alias_set(tx, &who, &m, &et), "move");
		must(db_commit(tx, &et), "commit");
	}
}

typedef void (*step_fn)(struct tx *tx, struct arena *a, int64_t round, int64_t versions);

static void step_alias(struct tx *tx, struct arena *a, int64_t round, int64_t versions)
{
	struct artifact_version v;
	must(artifact_resolve(
		     tx, S("default"), S("model/m@prod"), (struct artifact_time){0}, a, &v, &et),
		"alias");
}

static void step_version(struct tx *tx, struct arena *a, int64_t round, int64_t versions)
{
	struct artifact_version v;
	struct str ref = arena_fmt(a, "model/m:%lld", (long long)(1 + round * 7919 % versions));
	must(artifact_resolve(tx, S("default"), ref, (struct artifact_time){0}, a, &v, &et),
		"version");
}

static void step_as_of(struct tx *tx, struct arena *a, int64_t round, int64_t versions)
{
	struct artifact_version v;
	int64_t now = clock_unix_ms();
	must(artifact_resolve(tx, S("default"), S("model/m@prod"), (struct artifact_time){now, now},
		     a, &v, &et),
		"as of");
}

static void step_list(struct tx *tx, struct arena *a, int64_t round, int64_t versions)
{
	struct artifact of;
	struct artifact_version *list;
	size_t n;
	must(artifact_find(tx, S("default"), S("model"), S("m"), a, &of, &et), "find");
	must(version_list(tx, &of, 1 + round * 7919 % versions + 20, 20, false, a, &list, &n, &et),
		"list");
}

static void measure(struct croft *c, const char *what, step_fn fn, int64_t versions)
{
	static uint64_t ns[ROUNDS];
	for (int i = 0; i < ROUNDS; i++) {
		struct tx *tx;
		struct arena *a = arena_new(0);
		uint64_t begin = clock_mono_ns();
		must(db_begin(croft_db(c), TX_READ, &tx, &et), "begin");
		fn(tx, a, i, versions);
		db_rollback(tx);
		ns[i] = clock_mono_ns() - begin;
		arena_free(a);
	}
	qsort(ns, ROUNDS, sizeof *ns, cmp_u64);
	printf("%-32s %8.1f us  (99 %%: %.1f us)\n", what, (double)ns[ROUNDS / 2] / 1e3,
		(double)ns[ROUNDS * 99 / 100] / 1e3);
}

int main(int argc, char **argv)
{
	int64_t versions = argc > 1 ? atoll(argv[1]) : 100000;
	char home[] = "/tmp/croft-bench-XXXXXX";
	if (versions < 1 || !mkdtemp(home))
		return 2;
	struct croft *c = open_in(home);
	uint64_t begin = clock_mono_ns();
	for (int64_t n = 0; n < versions; n += BATCH)
		add_batch(c, MIN(versions - n, BATCH));
	double took = (double)(clock_mono_ns() - begin) / 1e9;
	printf("%lld versions added, %d a transaction: %.0f a second\n", (long long)versions, BATCH,
		(double)versions / took);
	begin = clock_mono_ns();
	move_alias(c, versions);
	printf("%-32s %8.1f us each, durable\n", "1,000 moves of an alias",
		(double)(clock_mono_ns() - begin) / 1e6);
	measure(c, "resolve an alias", step_alias, versions);
	measure(c, "resolve a version", step_version, versions);
	measure(c, "resolve an alias as of a time", step_as_of, versions);
	measure(c, "list 20 versions", step_list, versions);
	croft_close(c);
	os_remove_tree(home, NULL);
	return 0;
}
