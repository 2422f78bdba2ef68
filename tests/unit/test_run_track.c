/* Tracked runs against a plain model of what they must do: a list of points in memory. */
#include "tap.h"
#include "access/access.h"
#include "artifact/artifact.h"
#include "base/clock.h"
#include "run/file.h"
#include "run/run_int.h"
#include "run/search.h"
#include "run/track_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static struct errtext et;
static struct rolled_up rolled;
static const struct module *const modules[] = {&access_module, &registry_module, &run_module};
static const struct str project = {"default", 7};

static struct croft *open_at(const char *home)
{
	struct croft *c;
	struct croft_options o = {
		.modules = modules, .n_modules = ARRAY_LEN(modules), .home = home};
	CHECK_OK(croft_open(&o, &c, &et), &et);
	return c;
}

static struct id new_run(struct croft *c, const char *name)
{
	struct id id;
	struct track_new n = {.name = str_c(name), .user = S("ada"), .start_ms = 1000};
	CHECK_OK(track_create(c, NULL, project, &n, &id, &et), &et);
	return id;
}

static struct tracked *get(struct croft *c, struct id id)
{
	struct tracked *t;
	CHECK_OK(track_get(c, project, id, &t, &et), &et);
	return t;
}

static enum err log_points(struct croft *c, struct id id, const struct track_metric *m, size_t n)
{
	struct track_change ch = {.metrics = m, .n_metrics = n};
	return track_change(c, project, id, &ch, &et);
}

/* xorshift: the same numbers in each run of the test */
static uint64_t seed = 88172645463325252ull;
static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* ---- blocks ---- */

static void test_run_track__blocks_come_back_bit_by_bit(void)
{
	static struct point in[BLOCK_POINTS], out[BLOCK_POINTS];
	for (int round = 0; round < 60; round++) {
		size_t n = round < 4 ? (size_t)round : rnd() % BLOCK_POINTS + 1, got;
		for (size_t i = 0; i < n; i++) {
			uint64_t bits = rnd();
			in[i].ms = round % 3 ? (int64_t)i * 1000 : (int64_t)rnd();
			in[i].step = round % 4 ? (int64_t)i : (int64_t)rnd();
			if (round % 2)
				memcpy(&in[i].value, &bits, 8); /* NaN payloads too */
			else
				in[i].value = round % 5 ? sin((double)i) : 0.5;
		}
		struct buf b = {0};
		block_encode(&b, in, n);
		CHECK_OK(block_decode(buf_str(&b), out, &got, &et), &et);
		CHECK_INT(got, n);
		CHECK(memcmp(in, out, n * sizeof *in) == 0);
		/* any flipped bit is seen */
		size_t at = rnd() % b.n;
		b.p[at] = (char)(b.p[at] ^ (1 << (rnd() & 7)));
		CHECK_ERR(block_decode(buf_str(&b), out, &got, &et), ERR_CORRUPT);
		buf_free(&b);
	}
}

static void test_run_track__a_regular_series_is_small(void)
{
	static struct point in[BLOCK_POINTS];
	for (size_t i = 0; i < BLOCK_POINTS; i++)
		in[i] = (struct point){
			1.0 / (double)(i + 1), 1700000000000 + (int64_t)i * 250, (int64_t)i};
	struct buf b = {0};
	block_encode(&b, in, BLOCK_POINTS);
	tap_note("%.2f bytes a point", (double)b.n / BLOCK_POINTS);
	CHECK(b.n < 9 * BLOCK_POINTS);
	buf_free(&b);
}

/* ---- series: an oracle in memory ---- */

static int oracle_cmp(const void *a, const void *b)
{
	return point_cmp(a, b);
}

static size_t oracle_sort(struct point *v, size_t n)
{
	size_t k = 0;
	qsort(v, n, sizeof *v, oracle_cmp);
	for (size_t i = 0; i < n; i++)
		if (!k || point_cmp(&v[k - 1], &v[i]))
			v[k++] = v[i];
	return k;
}

static void check_history(
	struct croft *c, struct id id, const char *key, const struct point *want, size_t n)
{
	size_t at = 0;
	bool more = true;
	while (more) {
		struct point *p;
		size_t k, limit = rnd() % 9000 + 1;
		CHECK_OK(track_history(c, project, id, str_c(key), (int64_t)at, (int64_t)limit, &p,
				 &k, &more, &rolled, &et),
			&et);
		CHECK(at + k <= n);
		CHECK(k == limit || !more);
		for (size_t i = 0; i < k; i++)
			CHECK(point_cmp(&p[i], &want[at + i]) == 0);
		at += k;
		free(p);
	}
	CHECK_INT(at, n);
}

/* Every point is in exactly one bucket, and the sums say so. */
static void check_chart(struct croft *c, struct id id, const char *key, const struct point *want,
	size_t n, const struct chart *ch)
{
	struct bucket *b;
	size_t k;
	uint64_t total, count = 0, nan = 0, in = 0, in_nan = 0;
	double min = INFINITY, max = -INFINITY, sum = 0, in_sum = 0, size = 0;
	struct charted made;
	CHECK_OK(track_chart(c, project, id, str_c(key), ch, &made, &et), &et);
	b = made.v;
	k = made.n;
	total = made.total;
	CHECK_INT(total, n);
	CHECK(k <= ch->points);
	for (size_t i = 0; i < k; i++) {
		count += b[i].n;
		nan += b[i].n_nan;
		sum += b[i].sum;
		min = MIN(min, b[i].min);
		max = MAX(max, b[i].max);
		CHECK(b[i].x0 <= b[i].x1);
		CHECK(!ch->has_range || (b[i].x0 >= ch->from && b[i].x1 <= ch->to));
	}
	double want_min = INFINITY, want_max = -INFINITY;
	for (size_t i = 0; i < n; i++) {
		int64_t x = ch->by_time ? want[i].ms : want[i].step;
		if (ch->has_range && (x < ch->from || x > ch->to))
			continue;
		in++;
		if (isnan(want[i].value)) {
			in_nan++;
			continue;
		}
		in_sum += want[i].value;
		size += fabs(want[i].value);
		want_min = MIN(want_min, want[i].value);
		want_max = MAX(want_max, want[i].value);
	}
	CHECK_INT(count, in);
	CHECK_INT(nan, in_nan);
	CHECK(min == want_min && max == want_max);
	CHECK_NEAR(sum, in_sum, size * 1e-12 + 1e-9);
	free(b);
}

static void check_charts(
	struct croft *c, struct id id, const char *key, const struct point *want, size_t n)
{
	for (int i = 0; i < 12; i++) {
		struct chart ch = {.by_time = i & 1, .points = (unsigned)(rnd() % 700 + 1)};
		if (i > 3) {
			int64_t a = ch.by_time ? want[rnd() % n].ms : want[rnd() % n].step;
			int64_t b = ch.by_time ? want[rnd() % n].ms : want[rnd() % n].step;
			ch.has_range = true;
			ch.from = MIN(a, b);
			ch.to = MAX(a, b);
		}
		check_chart(c, id, key, want, n, &ch);
	}
}

enum order { IN_ORDER, JITTER, BACKWARDS, SHUFFLED, SAME_TIME };

static void series_of(enum order order, size_t n)
{
	struct croft *c = open_at(tap_tmpdir());
	struct id id = new_run(c, "series");
	struct track_metric *m = calloc(1000, sizeof *m);
	struct point *want = calloc(n, sizeof *want);
	for (size_t at = 0; at < n;) {
		size_t k = (size_t)(rnd() % 1000 + 1);
		k = MIN(n - at, k);
		for (size_t i = 0; i < k; i++) {
			int64_t x = (int64_t)(at + i);
			struct point p = {sin((double)x / 500), 5000000 + x * 10, x};
			if (order == JITTER)
				p.ms += (int64_t)(rnd() % 100000) - 50000;
			if (order == BACKWARDS)
				p.ms = 50000000 - p.ms, p.step = -x;
			if (order == SHUFFLED)
				p.ms = (int64_t)(rnd() % n), p.step = (int64_t)(rnd() % n);
			if (order == SAME_TIME)
				p.ms = 7, p.step = x / 3;
			if (rnd() % 50 == 0)
				p.value = NAN;
			if (rnd() % 50 == 0 && at + i)
				p = want[rnd() % (at + i)]; /* the same once more */
			want[at + i] = p;
			m[i] = (struct track_metric){S("a/b loss"), p};
		}
		CHECK_OK(log_points(c, id, m, k), &et);
		at += k;
	}
	struct point newest = want[0];
	for (size_t i = 1; i < n; i++)
		if (point_newer(&want[i], &newest))
			newest = want[i];
	size_t distinct = oracle_sort(want, n);
	check_history(c, id, "a/b loss", want, distinct);
	check_charts(c, id, "a/b loss", want, distinct);
	struct tracked *t = get(c, id);
	CHECK_INT(t->n_metrics, 1);
	CHECK(t->metrics[0].point.step == newest.step && t->metrics[0].point.ms == newest.ms);
	tracked_free(t);
	free(want);
	free(m);
	croft_close(c);
}

static void test_run_track__series_in_order(void)
{
	series_of(IN_ORDER, 150000);
}

static void test_run_track__series_with_jitter(void)
{
	series_of(JITTER, 120000);
}

static void test_run_track__series_backwards(void)
{
	series_of(BACKWARDS, 60000);
}

static void test_run_track__series_in_no_order(void)
{
	series_of(SHUFFLED, 60000);
}

static void test_run_track__series_at_one_time(void)
{
	series_of(SAME_TIME, 50000);
}

/* Two levels of the pyramid and more than one page of the second. */
static void test_run_track__a_long_series_has_a_pyramid(void)
{
	enum { N = 1200000, BATCH = 20000 };
	struct croft *c = open_at(tap_tmpdir());
	struct id id = new_run(c, "long");
	struct track_metric *m = calloc(BATCH, sizeof *m);
	struct point *want = calloc(N, sizeof *want);
	for (size_t at = 0; at < N; at += BATCH) {
		for (size_t i = 0; i < BATCH; i++) {
			int64_t x = (int64_t)(at + i);
			want[x] = (struct point){cos((double)x / 1e5), 1000 + x * 3, x * 2};
			m[i] = (struct track_metric){S("m"), want[x]};
		}
		CHECK_OK(log_points(c, id, m, BATCH), &et);
	}
	check_charts(c, id, "m", want, N);
	struct chart ch = {.points = 2000};
	struct charted made;
	uint64_t t0 = clock_mono_ns();
	CHECK_OK(track_chart(c, project, id, S("m"), &ch, &made, &et), &et);
	tap_note("2,000 buckets of %d points in %.2f ms", N, (double)(clock_mono_ns() - t0) / 1e6);
	CHECK(made.n > 1500);
	free(made.v);
	check_history(c, id, "m", want, N);
	free(want);
	free(m);
	croft_close(c);
}

/* ---- documents ---- */

static void test_run_track__many_series_at_once(void)
{
	enum { SERIES = 300, ROUNDS = 400 };
	struct croft *c = open_at(tap_tmpdir());
	struct id id = new_run(c, "wide");
	static char names[SERIES][16];
	struct track_metric m[SERIES];
	for (int i = 0; i < SERIES; i++)
		snprintf(names[i], sizeof names[i], "m%d", i);
	for (int r = 0; r < ROUNDS; r++) {
		for (int i = 0; i < SERIES; i++)
			m[i] = (struct track_metric){str_c(names[i]), {r * 1000.0 + i, 10 + r, r}};
		CHECK_OK(log_points(c, id, m, SERIES), &et);
	}
	struct point *p;
	size_t n;
	bool more;
	CHECK_OK(
		track_history(c, project, id, S("m7"), 0, 10000, &p, &n, &more, &rolled, &et), &et);
	CHECK_INT(n, ROUNDS);
	for (int i = 0; i < ROUNDS; i++)
		CHECK(p[i].step == i && p[i].value == i * 1000.0 + 7);
	free(p);
	struct tracked *t = get(c, id);
	CHECK_INT(t->n_metrics, SERIES);
	CHECK(tracked_metric(t, S("m299"))->point.value == 399299.0);
	CHECK(!tracked_metric(t, S("m300")));
	tracked_free(t);
	croft_close(c);
}

static void test_run_track__parameters_are_set_once(void)
{
	struct croft *c = open_at(tap_tmpdir());
	struct id id = new_run(c, "params");
	struct track_pair p[] = {{S("lr"), S("0.1")}, {S("depth"), S("")}};
	struct track_change ch = {.params = p, .n_params = 2};
	CHECK_OK(track_change(c, project, id, &ch, &et), &et);
	CHECK_OK(track_change(c, project, id, &ch, &et), &et);
	p[1].value = S("3");
	CHECK_ERR(track_change(c, project, id, &ch, &et), ERR_INVALID);
	CHECK(strstr(et.msg, "Changing param values is not allowed"));
	struct tracked *t = get(c, id);
	CHECK_INT(t->n_params, 2);
	CHECK_STR(tracked_param(t, S("depth")), "");
	tracked_free(t);
	croft_close(c);
}

static void test_run_track__tags_names_and_states(void)
{
	const char *home = tap_tmpdir();
	struct croft *c = open_at(home);
	struct id id = new_run(c, "before");
	struct track_pair tags[] = {
		{S("a"), S("1")}, {S("a"), S("2")}, {S("mlflow.runName"), S("after")}};
	struct track_change ch = {.tags = tags, .n_tags = 3};
	CHECK_OK(track_change(c, project, id, &ch, &et), &et);
	struct track_change untag = {.untag = S("zz")};
	CHECK_ERR(track_change(c, project, id, &untag, &et), ERR_NOT_FOUND);
	struct track_change end = {.set_status = true, .status = TRACK_FAILED, .end_ms = 5000};
	CHECK_OK(track_change(c, project, id, &end, &et), &et);
	croft_close(c);
	c = open_at(home); /* and after a restart */
	struct tracked *t = get(c, id);
	CHECK_STR(t->name, "after");
	CHECK_STR(tracked_tag(t, S("a")), "2");
	CHECK_INT(t->status, TRACK_FAILED);
	CHECK_INT(t->end_ms, 5000);
	CHECK_STR(t->user, "ada");
	tracked_free(t);
	untag.untag = S("a");
	CHECK_OK(track_change(c, project, id, &untag, &et), &et);
	t = get(c, id);
	CHECK(!tracked_tag(t, S("a")).p);
	tracked_free(t);
	CHECK_OK(track_delete(c, NULL, project, id, false, &et), &et);
	CHECK_ERR(track_change(c, project, id, &ch, &et), ERR_INVALID);
	CHECK_OK(track_delete(c, NULL, project, id, true, &et), &et);
	CHECK_OK(track_change(c, project, id, &ch, &et), &et);
	croft_close(c);
}

/* A run of a server that ended goes on: it belongs to its client. */
static void test_run_track__a_restart_does_not_interrupt(void)
{
	const char *home = tap_tmpdir();
	struct croft *c = open_at(home);
	struct id id = new_run(c, "long training");
	croft_close(c);
	c = open_at(home);
	struct tracked *t = get(c, id);
	CHECK_INT(t->status, TRACK_RUNNING);
	tracked_free(t);
	croft_close(c);
}

static void test_run_track__another_project_sees_nothing(void)
{
	struct croft *c = open_at(tap_tmpdir());
	struct id id = new_run(c, "mine");
	struct tracked *t;
	struct point *p;
	size_t n;
	bool more;
	struct track_change ch = {.untag = S("x")};
	struct str other = S("other");
	CHECK_ERR(track_get(c, other, id, &t, &et), ERR_NOT_FOUND);
	CHECK_ERR(track_change(c, other, id, &ch, &et), ERR_NOT_FOUND);
	CHECK_ERR(track_delete(c, NULL, other, id, false, &et), ERR_NOT_FOUND);
	CHECK_ERR(track_history(c, other, id, S("m"), 0, 10, &p, &n, &more, &rolled, &et),
		ERR_NOT_FOUND);
	struct arena *a = arena_new(0);
	int64_t zero = 0;
	struct run_query q = {.experiments = &zero, .n_experiments = 1, .max_results = 10};
	struct run_found f;
	CHECK_OK(search_runs(c, other, &q, a, &f, &et), &et);
	CHECK_INT(f.n, 0);
	run_found_free(&f);
	CHECK_OK(search_runs(c, project, &q, a, &f, &et), &et);
	CHECK_INT(f.n, 1);
	run_found_free(&f);
	arena_free(a);
	croft_close(c);
}

/* ---- search ---- */

static struct croft *with_runs(size_t n)
{
	struct croft *c = open_at(tap_tmpdir());
	for (size_t i = 0; i < n; i++) {
		char name[32], value[16];
		snprintf(name, sizeof name, "run-%zu", i);
		snprintf(value, sizeof value, "v%zu", i % 7);
		struct id id = new_run(c, name);
		struct track_metric m[] = {{S("loss"), {(double)i, 1, 1}}, {S("nan"), {NAN, 1, 1}}};
		struct track_pair p = {S("p"), str_c(value)}, t = {S("odd tag"), S("yes")};
		struct track_change ch = {.metrics = m,
			.n_metrics = 2,
			.params = &p,
			.n_params = 1,
			.tags = &t,
			.n_tags = i % 2};
		CHECK_OK(track_change(c, project, id, &ch, &et), &et);
	}
	return c;
}

static size_t found(struct croft *c, const char *filter, const char *order, bool strict,
	char first[32], enum err *e)
{
	struct arena *a = arena_new(0);
	int64_t zero = 0;
	struct str by = str_c(order);
	struct run_query q = {.experiments = &zero,
		.n_experiments = 1,
		.filter = str_c(filter),
		.strict = strict,
		.order = &by,
		.n_order = order ? 1 : 0,
		.max_results = 1000};
	struct run_found f = {0};
	*e = search_runs(c, project, &q, a, &f, &et);
	size_t n = f.n;
	if (n)
		snprintf(first, 32, "%.*s", STR_FMT(f.v[0]->name));
	run_found_free(&f);
	arena_free(a);
	return n;
}

static void test_run_track__search_filters_and_orders(void)
{
	static const struct {
		const char *filter, *order;
		bool strict;
		int n; /* -1: refused */
		const char *first;
	} rows[] = {
		{"", NULL, true, 50, NULL},
		{"metrics.loss < 10", "metrics.loss DESC", true, 10, "run-9"},
		{"metric.loss >= 10 AND params.p = 'v3'", "metrics.loss", true, 6, "run-10"},
		{"metrics.nan > 0", NULL, true, 0, NULL},
		{"metrics.none != 0", NULL, true, 0, NULL},
		{"param.p != 'v1'", NULL, true, 43, NULL},
		{"parameters.p LIKE 'v%' and tags.`odd tag` = \"yes\"", NULL, true, 25, NULL},
		{"tag.\"odd tag\" ILIKE 'Y_S'", NULL, true, 25, NULL},
		{"tags.'odd tag' LIKE 'Y%'", NULL, true, 0, NULL},
		{"tags.`odd tag` IS NULL", NULL, true, 25, NULL},
		{"tags.`odd tag` is not null", NULL, true, 25, NULL},
		{"attributes.run_name = 'run-7'", NULL, true, 1, "run-7"},
		{"`Run name` LIKE 'run-1_'", NULL, true, 10, NULL},
		{"run.status = 'RUNNING' AND", NULL, true, 50, NULL},
		{"start_time = 1000 and created <= 1e3", NULL, true, 50, NULL},
		{"end_time > 0", NULL, true, 0, NULL},
		{"user_id = 'ada'", NULL, true, 50, NULL},
		{"artifact_uri LIKE 'mlflow-artifacts:/0/%/artifacts'", NULL, true, 50, NULL},
		{"dataset.name = 'x'", NULL, true, 0, NULL},
		{"", "params.p DESC", true, 50, NULL},
		/* refused by MLflow, so refused in its language */
		{"metrics.loss < 1 OR metrics.loss > 2", NULL, true, -1, "OR"},
		{"(metrics.loss < 1)", NULL, true, -1, "("},
		{"NOT metrics.loss < 1", NULL, true, -1, "NOT"},
		{"params.p = 5", NULL, true, -1, "Expected a quoted string value"},
		{"metrics.loss = 'x'", NULL, true, -1, "Expected numeric value type for metric"},
		{"foo.bar = 'x'", NULL, true, -1, "Invalid entity type 'foo'"},
		{"attributes.zzz = 'a'", NULL, true, -1, "Invalid attribute key 'zzz'"},
		{"status IN ('a')", NULL, true, -1, "run_id"},
		{"metrics.loss IS NULL", NULL, true, -1, "only supported for tags and params"},
		{"metrics.loss > 1; DROP", NULL, true, -1, ";"},
		{"metrics.loss", NULL, true, -1, "Invalid clause(s)"},
		{"text CONTAINS 'v3'", NULL, true, -1, "text"},
		{"params.p = 'v1' params.p = 'v2'", NULL, true, -1, "Invalid clause(s)"},
		{"params.p = 'v1", NULL, true, -1, "Invalid clause(s)"},
		{"", "metrics.loss sideways", true, -1, "ordering key"},
		{"", "metrics.loss, params.p", true, -1, "order_by"},
		/* beyond it */
		{"metrics.loss < 1 OR metrics.loss > 48", "metrics.loss", false, 2, "run-0"},
		{"NOT (metrics.loss < 10 OR params.p IN ('v1', 'v2'))", NULL, false, 30, NULL},
		{"metrics.loss IN (1, 2.0, 99)", NULL, false, 2, NULL},
		{"params.p NOT IN ('v0')", NULL, false, 42, NULL},
		{"text CONTAINS 'RUN-4'", NULL, false, 11, NULL},
		{"start_time < '2026-01-01' AND duration IS NULL", NULL, false, 50, NULL},
		{"start_time > '2026-01-01T00:00:00Z'", NULL, false, 0, NULL},
		{"((((((((((((((((((((((((((((((((((((((((1", NULL, false, -1, "nested"},
	};
	struct croft *c = with_runs(50);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char first[32] = "";
		enum err e;
		size_t n = found(c, rows[i].filter, rows[i].order, rows[i].strict, first, &e);
		tap_note("%s", rows[i].filter);
		if (rows[i].n < 0) {
			CHECK_ERR(e, ERR_INVALID);
			if (!strstr(et.msg, rows[i].first))
				FAIL("%s does not say \"%s\"", et.msg, rows[i].first);
			continue;
		}
		CHECK_OK(e, &et);
		CHECK_INT(n, rows[i].n);
		if (rows[i].first)
			CHECK_STR(str_c(first), rows[i].first);
	}
	croft_close(c);
}

static void test_run_track__search_sees_what_just_happened(void)
{
	struct croft *c = with_runs(3);
	char first[32];
	enum err e;
	CHECK_INT(found(c, "metrics.late > 1", NULL, true, first, &e), 0);
	struct id id = new_run(c, "fresh");
	CHECK_INT(found(c, "", NULL, true, first, &e), 4);
	struct track_metric m = {S("late"), {2, 1, 1}};
	CHECK_OK(log_points(c, id, &m, 1), &et);
	CHECK_INT(found(c, "metrics.late > 1", NULL, true, first, &e), 1);
	m.point = (struct point){0, 2, 2};
	CHECK_OK(log_points(c, id, &m, 1), &et);
	CHECK_INT(found(c, "metrics.late > 1", NULL, true, first, &e), 0);
	CHECK_OK(track_delete(c, NULL, project, id, false, &et), &et);
	CHECK_INT(found(c, "", NULL, true, first, &e), 3);
	croft_close(c);
}

static void test_run_track__pages_are_whole(void)
{
	struct croft *c = with_runs(23);
	struct arena *a = arena_new(0);
	int64_t zero = 0;
	struct str by = S("metrics.loss");
	struct run_query q = {.experiments = &zero,
		.n_experiments = 1,
		.order = &by,
		.n_order = 1,
		.max_results = 5};
	struct run_found f;
	size_t seen = 0;
	do {
		CHECK_OK(search_runs(c, project, &q, a, &f, &et), &et);
		CHECK_INT(f.total, 23);
		for (size_t i = 0; i < f.n; i++)
			CHECK(tracked_metric(f.v[i], S("loss"))->point.value == (double)seen++);
		q.page_token = f.next;
		run_found_free(&f);
	} while (q.page_token.n);
	CHECK_INT(seen, 23);
	q.page_token = S("nonsense");
	CHECK_ERR(search_runs(c, project, &q, a, &f, &et), ERR_INVALID);
	arena_free(a);
	croft_close(c);
}

static void test_run_track__purged_runs_are_gone(void)
{
	struct croft *c = open_at(tap_tmpdir());
	struct experiment_new x = {.name = S("short-lived")};
	int64_t number;
	char path[100], hex[ID_HEX + 1], first[32];
	enum err e;
	size_t runs, experiments, kept;
	struct run_file f;
	struct tracked *t;
	struct id id = new_run(c, "goes"), stays = new_run(c, "stays");
	CHECK_OK(experiment_create(c, project, &x, &number, &et), &et);
	id_hex(id, hex);
	snprintf(path, sizeof path, "0/%s/artifacts/deep/a.txt", hex);
	CHECK_OK(run_file_put(c, project, str_c(path), S("x"), &et), &et);
	CHECK_INT(found(c, "", NULL, true, first, &e), 2);
	CHECK_OK(track_delete(c, NULL, project, id, false, &et), &et);
	CHECK_OK(experiment_delete(c, NULL, project, number, false, &et), &et);
	CHECK_OK(track_purge(c, NULL, project, 3600 * 1000, &runs, &experiments, &kept, &et), &et);
	CHECK_INT(runs + experiments, 0); /* too young */
	CHECK_OK(track_purge(c, NULL, S("other"), 0, &runs, &experiments, &kept, &et), &et);
	CHECK_INT(runs + experiments, 0); /* another's */
	CHECK_OK(track_purge(c, NULL, project, 0, &runs, &experiments, &kept, &et), &et);
	CHECK_INT(runs, 1);
	CHECK_INT(experiments, 1);
	CHECK_ERR(track_get(c, project, id, &t, &et), ERR_NOT_FOUND);
	CHECK_ERR(run_file_get(c, project, str_c(path), &f, &et), ERR_NOT_FOUND);
	CHECK_INT(found(c, "", NULL, true, first, &e), 1);
	CHECK_STR(str_c(first), "stays");
	CHECK_OK(track_get(c, project, stays, &t, &et), &et);
	tracked_free(t);
	/* a version that a purged run had is given again, and still seen */
	new_run(c, "fresh");
	CHECK_INT(found(c, "", NULL, true, first, &e), 2);
	croft_close(c);
}

/* ---- threads: writers of one run, searchers, readers of charts, all at once ---- */

struct crowd {
	struct croft *c;
	struct id id;
	int number;
	atomic_int *failed;
};

static void *crowd_write(void *arg)
{
	struct crowd *me = arg;
	struct errtext mine = {0};
	for (int i = 0; i < 150; i++) {
		struct track_metric m[40];
		for (int k = 0; k < 40; k++)
			m[k] = (struct track_metric){
				S("m"), {me->number, 1000 + i * 40 + k, i * 40 + k}};
		struct track_change ch = {.metrics = m, .n_metrics = 40};
		if (track_change(me->c, project, me->id, &ch, &mine))
			atomic_fetch_add(me->failed, 1);
	}
	return NULL;
}

static void *crowd_read(void *arg)
{
	struct crowd *me = arg;
	struct errtext mine = {0};
	int64_t zero = 0;
	double seen = 0;
	for (int i = 0; i < 60; i++) {
		struct arena *a = arena_new(0);
		struct run_query q = {.experiments = &zero, .n_experiments = 1, .max_results = 100};
		struct run_found f = {0};
		struct chart ch = {.points = 50};
		struct charted made = {0};
		if (search_runs(me->c, project, &q, a, &f, &mine) || f.n != 1)
			atomic_fetch_add(me->failed, 1);
		else if (f.v[0]->n_metrics) { /* what was seen once is never unseen */
			if ((double)f.v[0]->metrics[0].point.step < seen)
				atomic_fetch_add(me->failed, 1);
			seen = (double)f.v[0]->metrics[0].point.step;
		}
		run_found_free(&f);
		if (track_chart(me->c, project, me->id, S("m"), &ch, &made, &mine))
			atomic_fetch_add(me->failed, 1);
		free(made.v);
		arena_free(a);
	}
	return NULL;
}

static void test_run_track__threads(void)
{
	enum { WRITERS = 4, READERS = 3 };
	struct croft *c = open_at(tap_tmpdir());
	atomic_int failed = 0;
	struct crowd crowd[WRITERS + READERS];
	pthread_t t[WRITERS + READERS];
	struct id id = new_run(c, "crowd");
	for (int i = 0; i < WRITERS + READERS; i++) {
		crowd[i] = (struct crowd){c, id, i, &failed};
		CHECK_OK(thread_start(&t[i], i < WRITERS ? crowd_write : crowd_read, &crowd[i],
				 "crowd", &et),
			&et);
	}
	for (int i = 0; i < WRITERS + READERS; i++)
		pthread_join(t[i], NULL);
	CHECK_INT(failed, 0);
	struct point *p;
	size_t n;
	bool more;
	CHECK_OK(
		track_history(c, project, id, S("m"), 0, 100000, &p, &n, &more, &rolled, &et), &et);
	CHECK_INT(n, WRITERS * 150 * 40);
	free(p);
	croft_close(c);
}

TESTS(T(test_run_track__threads), T(test_run_track__purged_runs_are_gone),
	T(test_run_track__blocks_come_back_bit_by_bit),
	T(test_run_track__a_regular_series_is_small), T(test_run_track__series_in_order),
	T(test_run_track__series_with_jitter), T(test_run_track__series_backwards),
	T(test_run_track__series_in_no_order), T(test_run_track__series_at_one_time),
	T(test_run_track__a_long_series_has_a_pyramid), T(test_run_track__many_series_at_once),
	T(test_run_track__parameters_are_set_once), T(test_run_track__tags_names_and_states),
	T(test_run_track__a_restart_does_not_interrupt),
	T(test_run_track__another_project_sees_nothing),
	T(test_run_track__search_filters_and_orders),
	T(test_run_track__search_sees_what_just_happened), T(test_run_track__pages_are_whole))
