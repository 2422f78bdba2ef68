/* Retention: what a roll-up keeps exactly, whose time has come, what stays whatever the policy
 * says, and that a pass which stops anywhere is finished by the next. */
#include "tap.h"
#include "access/access.h"
#include "artifact/artifact.h"
#include "run/experiment.h"
#include "run/file.h"
#include "run/retain_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static struct errtext et;
static const struct str project = {"default", 7};
static const int64_t DAY = 86400 * 1000, NOW = 1000ll * 86400 * 1000;

static struct croft *open_at(const char *home)
{
	static const struct module *const modules[] = {
		&access_module, &registry_module, &run_module, &retention_module};
	static const struct http_pair flags[] = {{{"experiments.purge_days", 22}, {"30", 2}}};
	struct croft *c;
	struct croft_options o = {.modules = modules,
		.n_modules = ARRAY_LEN(modules),
		.home = home,
		.flags = flags,
		.n_flags = 1};
	CHECK_OK(croft_open(&o, &c, &et), &et);
	return c;
}

/* Ended so many days before NOW. */
static struct id ended_run(struct croft *c, int64_t experiment, int64_t days)
{
	struct id id;
	struct track_new n = {.experiment = experiment,
		.name = S("r"),
		.user = S("ada"),
		.start_ms = NOW - days * DAY - 1000};
	CHECK_OK(track_create(c, NULL, project, &n, &id, &et), &et);
	struct track_change ch = {
		.set_status = true, .status = TRACK_FINISHED, .end_ms = NOW - days * DAY};
	CHECK_OK(track_change(c, project, id, &ch, &et), &et);
	return id;
}

static void log_points(struct croft *c, struct id id, const char *key, size_t from, size_t n)
{
	enum { BATCH = 20000 };
	struct track_metric *m = calloc(BATCH, sizeof *m);
	for (size_t at = 0; at < n; at += BATCH) {
		size_t k = MIN(n - at, (size_t)BATCH);
		for (size_t i = 0; i < k; i++) {
			int64_t x = (int64_t)(from + at + i);
			m[i] = (struct track_metric){
				str_c(key), {sin((double)x / 1000), 1000 + x, x}};
		}
		struct track_change ch = {.metrics = m, .n_metrics = k};
		CHECK_OK(track_change(c, project, id, &ch, &et), &et);
	}
	free(m);
}

static int64_t sql_i64(struct croft *c, const char *sql)
{
	struct tx *tx;
	struct row *r;
	enum err e = OK;
	int64_t v = -1;
	CHECK_OK(db_begin(croft_db(c), TX_READ, &tx, &et), &et);
	CHECK_OK(db_query(tx, &r, &et, sql), &et);
	if (row_next(r, &e, &et))
		v = row_i64(r, 0);
	row_free(r);
	db_rollback(tx);
	return v;
}

static void sql(struct croft *c, const char *text)
{
	struct tx *tx;
	CHECK_OK(db_begin(croft_db(c), TX_WRITE, &tx, &et), &et);
	CHECK_OK(db_exec(tx, &et, text), &et);
	CHECK_OK(db_commit(tx, &et), &et);
}

static struct charted chart(struct croft *c, struct id id, const char *key, unsigned points)
{
	struct chart ch = {.points = points};
	struct charted made;
	CHECK_OK(track_chart(c, project, id, str_c(key), &ch, &made, &et), &et);
	return made;
}

static void set_policy(struct croft *c, int64_t experiment, int field, int64_t v)
{
	struct tx *tx;
	struct retain_policy p;
	CHECK_OK(db_begin(croft_db(c), TX_WRITE, &tx, &et), &et);
	CHECK_OK(retain_store_row(tx, project, experiment, &p, &et), &et);
	p.v[field] = v;
	CHECK_OK(retain_store_set(tx, project, experiment, &p, S("ada"), 1, &et), &et);
	CHECK_OK(db_commit(tx, &et), &et);
}

static struct retain_counts pass(struct croft *c, int64_t now_ms, bool dry)
{
	struct retain_pass p = {.c = c, .now_ms = now_ms, .dry = dry, .max = 1000};
	CHECK_OK(retain_run_pass(&p, &et), &et);
	return p.counts;
}

/* All points in exactly one bucket, and what they add up to. */
static void check_sums(struct croft *c, struct id id, const char *key, size_t n)
{
	struct charted made = chart(c, id, key, 100);
	double sum = 0, want = 0, min = INFINITY, max = -INFINITY, want_min = 1, want_max = -1;
	uint64_t count = 0;
	for (size_t i = 0; i < made.n; i++) {
		count += made.v[i].n;
		sum += made.v[i].sum;
		min = MIN(min, made.v[i].min);
		max = MAX(max, made.v[i].max);
	}
	for (size_t i = 0; i < n; i++) {
		double v = sin((double)i / 1000);
		want += v;
		want_min = MIN(want_min, v);
		want_max = MAX(want_max, v);
	}
	CHECK_INT(made.total, n);
	CHECK_INT(count, n);
	CHECK(min == want_min && max == want_max);
	CHECK(fabs(sum - want) < 1e-6);
	CHECK(made.n && made.v[made.n - 1].last == sin((double)(n - 1) / 1000));
	free(made.v);
}

static void test_run_retain__a_roll_up_keeps_sums_extremes_and_the_last(void)
{
	enum { N = 300000, MORE = 70000, SHORT = 3000 };
	struct croft *c = open_at(tap_tmpdir());
	struct id id = ended_run(c, 0, 400);
	log_points(c, id, "long", 0, N);
	log_points(c, id, "short", 0, SHORT);
	set_policy(c, -1, RETAIN_ROLL_UP, 90);
	check_sums(c, id, "long", N);
	int64_t rows = sql_i64(c, "SELECT COUNT(*) FROM run_series WHERE level = 0");
	struct retain_counts n = pass(c, NOW, true);
	CHECK_INT(n.runs[RETAIN_ROLL_UP], 1);
	CHECK(n.points > N / 2 && n.points <= N); /* without what no block holds yet */
	CHECK_INT(sql_i64(c, "SELECT COUNT(*) FROM run_series WHERE level = 0"), rows);
	n = pass(c, NOW, false);
	CHECK_INT(n.runs[RETAIN_ROLL_UP], 1);
	CHECK_INT(n.points, N);
	CHECK_INT(n.buckets, (N + 255) / 256);
	CHECK_INT(
		sql_i64(c, "SELECT COUNT(*) FROM run_series WHERE level = 0 AND name = 'long'"), 0);
	CHECK_INT(sql_i64(c, "SELECT COUNT(*) FROM audit WHERE action = 'run.roll_up'"), 1);
	CHECK_INT(sql_i64(c, "SELECT rolled FROM run WHERE version > 0"), 2);
	check_sums(c, id, "long", N);
	check_sums(c, id, "short", SHORT);
	/* a history says what it is */
	struct point *p;
	size_t k;
	bool more;
	struct rolled_up r;
	CHECK_OK(track_history(c, project, id, S("long"), 0, 1000, &p, &k, &more, &r, &et), &et);
	CHECK_INT(k, 1000);
	CHECK(more && r.points == N && r.buckets == (N + 255) / 256);
	CHECK_INT(p[0].step, 255);
	CHECK(p[0].value == sin(255 / 1000.0));
	free(p);
	CHECK_OK(track_history(c, project, id, S("long"), 1000, 1000, &p, &k, &more, &r, &et), &et);
	CHECK_INT(k, (N + 255) / 256 - 1000);
	CHECK(!more && p[k - 1].value == sin((N - 1) / 1000.0) && p[k - 1].step == N - 1);
	free(p);
	CHECK_OK(track_history(c, project, id, S("short"), 0, 5000, &p, &k, &more, &r, &et), &et);
	CHECK(k == SHORT && !r.points);
	free(p);
	/* points that come later are points */
	log_points(c, id, "long", N, MORE);
	check_sums(c, id, "long", N + MORE);
	CHECK_OK(track_history(
			 c, project, id, S("long"), (N + 255) / 256, 5, &p, &k, &more, &r, &et),
		&et);
	CHECK(k == 5 && more && p[0].step == N && p[4].value == sin((N + 4) / 1000.0));
	free(p);
	n = pass(c, NOW, false);
	CHECK_INT(n.points, 0);
	check_sums(c, id, "long", N + MORE);
	croft_close(c);
}

/* What a chart draws from nodes is the same before and after, when its buckets are wide enough. */
static void test_run_retain__wide_charts_do_not_change(void)
{
	enum { N = 200 * 4096 };
	struct croft *c = open_at(tap_tmpdir());
	struct id id = ended_run(c, 0, 10);
	log_points(c, id, "m", 0, N);
	struct charted was = chart(c, id, "m", 50);
	set_policy(c, 0, RETAIN_ROLL_UP, 1);
	CHECK_INT(pass(c, NOW, false).points, N);
	struct charted is = chart(c, id, "m", 50);
	CHECK_INT(is.n, was.n);
	uint64_t moved = 0;
	for (size_t i = 0; i < is.n; i++)
		moved += is.v[i].n > was.v[i].n ? is.v[i].n - was.v[i].n : 0;
	CHECK(moved <= 50 * 256); /* at most a node at each edge */
	CHECK_INT(is.rolled.points, N);
	free(was.v);
	free(is.v);
	croft_close(c);
}

/* A stop after each number of steps; what is there is right at each time, and the end the same. */
static bool stop_after(void *ctx)
{
	int *left = ctx;
	return (*left)-- <= 0;
}

static void test_run_retain__a_pass_that_stops_is_finished_by_the_next(void)
{
	enum { N = 60 * 4096 };
	const char *home = tap_tmpdir();
	struct croft *c = open_at(home);
	struct id id = ended_run(c, 0, 400), dead = ended_run(c, 0, 400);
	log_points(c, id, "m", 0, N);
	log_points(c, dead, "m", 0, N);
	set_policy(c, -1, RETAIN_ROLL_UP, 90);
	CHECK_OK(track_delete(c, NULL, project, dead, false, &et), &et);
	sql(c, "UPDATE run SET deleted_ms = 1 WHERE deleted_ms > 0");
	for (int steps = 0; steps < 12; steps++) {
		int left = steps;
		struct retain_pass p = {.c = c, .now_ms = NOW, .stop = stop_after, .ctx = &left};
		CHECK_OK(retain_run_pass(&p, &et), &et);
		croft_close(c);
		c = open_at(home);
		check_sums(c, id, "m", N);
	}
	pass(c, NOW, false);
	CHECK_INT(sql_i64(c, "SELECT COUNT(*) FROM run_series WHERE level = 0"), 0);
	CHECK_INT(sql_i64(c, "SELECT COUNT(*) FROM run"), 1);
	CHECK_INT(sql_i64(c, "SELECT COUNT(*) FROM audit WHERE action = 'run.purge'"), 1);
	CHECK_INT(sql_i64(c, "SELECT COUNT(*) FROM audit WHERE action = 'run.roll_up'"), 1);
	check_sums(c, id, "m", N);
	croft_close(c);
}

static void test_run_retain__what_is_needed_stays(void)
{
	struct croft *c = open_at(tap_tmpdir());
	struct id plain = ended_run(c, 0, 400), held = ended_run(c, 0, 400),
		  registered = ended_run(c, 0, 400), used = ended_run(c, 0, 400);
	struct principal ada = {.name = S("ada"), .project = project, .perms = PERMS_ALL};
	struct tx *tx;
	struct arena *a = arena_new(0);
	int64_t n;
	struct tracked *t;
	CHECK_OK(retain_hold(c, &ada, project, held, S("case 12"), &et), &et);
	CHECK_OK(db_begin(croft_db(c), TX_WRITE, &tx, &et), &et);
	struct version_new v = {
		.kind = S("model"), .name = S("churn"), .source = S("s3://x"), .run = registered};
	CHECK_OK(artifact_put_version(tx, &ada, &v, &n, &et), &et);
	struct edge edge = {.node = node_run(a, used),
		.kind = EDGE_USED,
		.source = S("uri:https://example.org/data")};
	CHECK_OK(lineage_add(tx, &ada, &edge, &et), &et); /* keeps nothing: no version */
	edge.node = node_run(a, plain);
	edge.source = node_tree(a, S("f00d"));
	CHECK_OK(lineage_add(tx, &ada, &edge, &et), &et);
	edge.node = node_run(a, used);
	edge.source = node_version(a, (struct id){{1}}, 1);
	CHECK_OK(lineage_add(tx, &ada, &edge, &et), &et);
	CHECK_OK(db_commit(tx, &et), &et);
	arena_free(a);
	set_policy(c, -1, RETAIN_DELETE, 365);
	struct retain_counts k = pass(c, NOW, true);
	CHECK_INT(k.runs[RETAIN_DELETE], 1);
	CHECK_INT(k.kept, 3);
	CHECK_INT(sql_i64(c, "SELECT COUNT(*) FROM run WHERE deleted_ms > 0"), 0);
	k = pass(c, NOW, false);
	CHECK_INT(k.runs[RETAIN_DELETE], 1);
	/* deleted by hand, they still stay for good */
	CHECK_OK(track_delete(c, &ada, project, registered, false, &et), &et);
	CHECK_OK(track_delete(c, &ada, project, used, false, &et), &et);
	CHECK_ERR(track_delete(c, &ada, project, held, false, &et), ERR_CONFLICT);
	CHECK_ERR(experiment_delete(c, &ada, project, 0, false, &et), ERR_CONFLICT);
	sql(c, "UPDATE run SET deleted_ms = 1 WHERE deleted_ms > 0");
	k = pass(c, 20 * DAY, false);
	CHECK_INT(k.runs[RETAIN_PURGE], 0); /* purge_days=30 of the settings */
	k = pass(c, 31 * DAY, false);
	CHECK_INT(k.runs[RETAIN_PURGE], 1);
	CHECK_INT(k.kept, 2);
	CHECK_ERR(track_get(c, project, plain, &t, &et), ERR_NOT_FOUND);
	CHECK_INT(sql_i64(c, "SELECT COUNT(*) FROM lineage_edge WHERE source LIKE 'urn:%'"), 0);
	CHECK_INT(sql_i64(c, "SELECT COUNT(*) FROM lineage_edge"), 3);
	size_t runs, experiments, kept;
	CHECK_OK(track_purge(c, &ada, project, 0, &runs, &experiments, &kept, &et), &et);
	CHECK_INT(runs, 0);
	CHECK_INT(kept, 2);
	CHECK_INT(sql_i64(c, "SELECT COUNT(*) FROM run"), 3);
	CHECK_OK(retain_release(c, &ada, project, held, &et), &et);
	CHECK_ERR(retain_release(c, &ada, project, held, &et), ERR_NOT_FOUND);
	CHECK_ERR(retain_hold(c, &ada, S("other"), held, S(""), &et), ERR_NOT_FOUND);
	CHECK_INT(pass(c, NOW, false).runs[RETAIN_DELETE], 1);
	CHECK_INT(sql_i64(c, "SELECT COUNT(*) FROM audit WHERE action = 'run.hold'"), 1);
	croft_close(c);
}

static void test_run_retain__an_experiment_goes_before_its_project(void)
{
	struct croft *c = open_at(tap_tmpdir());
	struct experiment_new x = {.name = S("kept"), .location = S("")};
	int64_t kept;
	CHECK_OK(experiment_create(c, project, &x, &kept, &et), &et);
	ended_run(c, 0, 40);
	ended_run(c, kept, 40);
	struct id young = ended_run(c, 0, 5);
	struct track_new open = {.name = S("open"), .user = S("ada"), .start_ms = 1000};
	struct id id;
	CHECK_OK(track_create(c, NULL, project, &open, &id, &et), &et);
	set_policy(c, -1, RETAIN_DELETE, 30);
	set_policy(c, kept, RETAIN_DELETE, 0);
	CHECK_INT(pass(c, NOW, false).runs[RETAIN_DELETE], 1);
	CHECK_INT(sql_i64(c, "SELECT COUNT(*) FROM run WHERE deleted_ms > 0"), 1);
	set_policy(c, kept, RETAIN_DELETE, -1); /* inherits again */
	CHECK_INT(sql_i64(c, "SELECT COUNT(*) FROM retention_policy"), 1);
	CHECK_INT(pass(c, NOW, false).runs[RETAIN_DELETE], 1);
	struct tracked *t;
	CHECK_OK(track_get(c, project, young, &t, &et), &et);
	CHECK(!t->deleted_ms);
	tracked_free(t);
	croft_close(c);
}

static void test_run_retain__one_server_has_the_lease(void)
{
	struct croft *c = open_at(tap_tmpdir());
	struct id a = id_new(), b = id_new();
	bool mine;
	CHECK_OK(retain_lease(croft_db(c), "x", a, 1000, 500, false, &mine, &et), &et);
	CHECK(mine);
	CHECK_OK(retain_lease(croft_db(c), "x", b, 1400, 500, false, &mine, &et), &et);
	CHECK(!mine);
	CHECK_OK(retain_lease(croft_db(c), "x", a, 1400, 500, false, &mine, &et), &et);
	CHECK(mine);
	CHECK_OK(retain_lease(croft_db(c), "x", b, 1600, 500, false, &mine, &et), &et);
	CHECK(!mine);
	CHECK_OK(retain_lease(croft_db(c), "x", b, 2000, 500, false, &mine, &et), &et);
	CHECK(mine);
	CHECK_OK(retain_unlease(croft_db(c), "x", a, &et), &et); /* not his any more */
	CHECK_OK(retain_lease(croft_db(c), "x", a, 2100, 500, false, &mine, &et), &et);
	CHECK(!mine);
	CHECK_OK(retain_lease(croft_db(c), "x", a, 2100, 500, true, &mine, &et), &et);
	CHECK(mine);
	croft_close(c);
}

TESTS(T(test_run_retain__a_roll_up_keeps_sums_extremes_and_the_last),
	T(test_run_retain__wide_charts_do_not_change),
	T(test_run_retain__a_pass_that_stops_is_finished_by_the_next),
	T(test_run_retain__what_is_needed_stays),
	T(test_run_retain__an_experiment_goes_before_its_project),
	T(test_run_retain__one_server_has_the_lease))
