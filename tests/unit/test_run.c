#include "tap.h"
#include "access/access.h"
#include "base/clock.h"
#include "base/thread.h"
#include "net/http.h"
#include "run/run_int.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static struct errtext et;
static const struct module *const modules[] = {&access_module, &run_module};

static struct croft *open_croft(void)
{
	struct croft *c;
	struct croft_options o = {
		.modules = modules, .n_modules = ARRAY_LEN(modules), .home = tap_tmpdir()};
	CHECK_OK(croft_open(&o, &c, &et), &et);
	return c;
}

struct got {
	struct arena *a;
	struct run_row run;
	struct span_row *spans;
	size_t n;
};

static enum err get(struct croft *c, struct id id, struct got *g)
{
	if (!g->a)
		g->a = arena_new(0);
	return run_store_get(croft_db(c), S("default"), id, g->a, &g->run, &g->spans, &g->n, &et);
}

static void test_run__a_tree_of_spans_is_stored(void)
{
	struct croft *c = open_croft();
	struct run *r = run_begin(c, S("default"), "ask", S("What is \"this\"?"));
	struct id id = run_id(r);
	struct span *a = span_begin(r, NULL, "retrieve", "retriever");
	struct span *b = span_begin(r, a, "embed", "embedding");
	span_i64(b, "tokens", 12);
	span_end(b, OK, NULL);
	span_i64(a, "hits", 8);
	span_text(a, "later", S("x"));
	span_json(a, "output", S("[1,2]"));
	span_text(a, "input", S("the \xFF question"));
	span_i64(a, "hits", 9);
	span_end(a, err_set(&et, ERR_TIMEOUT, "too slow"), &et);
	run_f64(r, "cost", 0.5);
	run_json(r, "broken", S("{\"a\":"));
	run_end(r, OK, NULL);
	CHECK_OK(run_flush(c, &et), &et);
	struct got g = {0};
	CHECK_OK(get(c, id, &g), &et);
	CHECK_STR(g.run.name, "What is \"this\"?");
	CHECK_STR(g.run.status, "ok");
	CHECK(g.run.end_ns >= g.run.start_ns && g.run.start_ns > 0);
	CHECK_STR(g.run.attributes, "{\"cost\":0.5,\"broken\":\"{\\\"a\\\":\"}");
	CHECK_INT(g.n, 2);
	CHECK_STR(g.spans[0].name, "retrieve");
	CHECK_STR(g.spans[0].status, "error");
	CHECK_STR(g.spans[0].error, "too slow");
	CHECK_STR(g.spans[0].attributes, "{\"output\":[1,2],\"input\":\"the \xEF\xBF\xBD "
					 "question\",\"hits\":9,\"later\":\"x\"}");
	CHECK_INT(g.spans[1].parent, g.spans[0].id);
	CHECK(g.spans[1].start_ns >= g.spans[0].start_ns && g.spans[1].end_ns <= g.spans[0].end_ns);
	arena_free(g.a);
	croft_close(c);
}

static void test_run__it_is_visible_while_it_happens(void)
{
	struct croft *c = open_croft();
	struct got g = {0};
	struct run *r = run_begin(c, S("default"), "ask", S("now"));
	struct span *s = span_begin(r, NULL, "first", "step");
	clock_sleep_ms(300);
	CHECK_OK(get(c, run_id(r), &g), &et);
	CHECK_STR(g.run.status, "running");
	CHECK_INT(g.run.end_ns, 0);
	CHECK_INT(g.n, 1);
	CHECK_STR(g.spans[0].status, "running");
	struct id id = run_id(r);
	span_end(s, OK, NULL);
	span_begin(r, NULL, "left open", "step");
	run_end(r, err_set(&et, ERR_CANCELLED, "gone"), &et);
	CHECK_OK(run_flush(c, &et), &et);
	CHECK_OK(get(c, id, &g), &et);
	CHECK_STR(g.run.status, "error");
	CHECK_STR(g.run.error, "gone");
	CHECK_INT(g.n, 2);
	CHECK_STR(g.spans[0].status, "ok");
	CHECK_STR(g.spans[1].status, "error");
	arena_free(g.a);
	croft_close(c);
}

static void test_run__null_runs_do_nothing(void)
{
	struct croft *c = open_croft();
	run_i64(NULL, "a", 1);
	struct span *s = span_begin(NULL, NULL, "x", "y");
	CHECK(!s);
	span_text(s, "a", S("b"));
	span_end(s, OK, NULL);
	run_end(NULL, OK, NULL);
	CHECK(id_is_zero(run_id(NULL)));
	CHECK_OK(run_flush(c, &et), &et);
	croft_close(c);
}

static void test_run__long_values_are_cut_and_say_so(void)
{
	struct croft *c = open_croft();
	struct got g = {0};
	struct buf big = {0};
	for (int i = 0; i < 200000; i++)
		buf_addc(&big, "\xE2\x82\xAC");
	struct run *r = run_begin(c, S("default"), "ask", buf_str(&big));
	struct id id = run_id(r);
	run_text(r, "input", buf_str(&big));
	run_end(r, OK, NULL);
	CHECK_OK(run_flush(c, &et), &et);
	CHECK_OK(get(c, id, &g), &et);
	CHECK(g.run.name.n <= 1000 && utf8_valid(g.run.name));
	CHECK(g.run.attributes.n < 300000 && utf8_valid(g.run.attributes));
	CHECK(str_ends(g.run.attributes, S(",\"input_bytes\":600000}")));
	buf_free(&big);
	arena_free(g.a);
	croft_close(c);
}

static void test_run__open_runs_are_interrupted_after_a_kill(void)
{
	int fd[2];
	CHECK(pipe(fd) == 0);
	tap_tmpdir();
	pid_t pid = fork();
	if (pid == 0) {
		struct croft *c = open_croft();
		struct run *r = run_begin(c, S("default"), "ingest", S("a long one"));
		struct id id = run_id(r);
		span_begin(r, NULL, "parse", "step");
		run_end(run_begin(c, S("default"), "ask", S("a finished one")), OK, NULL);
		CHECK_OK(run_flush(c, &et), &et);
		CHECK(write(fd[1], &id, sizeof id) == sizeof id);
		for (;;)
			pause();
	}
	struct id id;
	CHECK(read(fd[0], &id, sizeof id) == sizeof id);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	struct croft *c = open_croft();
	struct got g = {0};
	CHECK_OK(get(c, id, &g), &et);
	CHECK_STR(g.run.status, "interrupted");
	CHECK_STR(g.spans[0].status, "interrupted");
	struct run_row *rows;
	size_t n;
	struct run_filter f = {.project = S("default"), .status = S("ok"), .limit = 10};
	CHECK_OK(run_store_list(croft_db(c), &f, g.a, &rows, &n, &et), &et);
	CHECK_INT(n, 1);
	CHECK_STR(rows[0].name, "a finished one");
	arena_free(g.a);
	croft_close(c);
}

static void test_run__lists_are_newest_first_in_pages(void)
{
	struct croft *c = open_croft();
	struct arena *a = arena_new(0);
	for (int i = 0; i < 25; i++) {
		char name[16];
		snprintf(name, sizeof name, "%d", i);
		run_end(run_begin(c, S("default"), i % 2 ? "ask" : "chat", str_c(name)), OK, NULL);
	}
	CHECK_OK(run_flush(c, &et), &et);
	struct run_filter f = {.project = S("default"), .kind = S("ask"), .limit = 5};
	int want = 23, seen = 0;
	for (;;) {
		struct run_row *rows;
		size_t n;
		CHECK_OK(run_store_list(croft_db(c), &f, a, &rows, &n, &et), &et);
		for (size_t i = 0; i < n; i++, want -= 2, seen++) {
			int64_t got;
			CHECK(str_i64(rows[i].name, &got));
			CHECK_INT(got, want);
		}
		if (n < 5)
			break;
		f.after = rows[n - 1].id;
	}
	CHECK_INT(seen, 12);
	arena_free(a);
	croft_close(c);
}

static void test_run__old_runs_go(void)
{
	struct croft *c = open_croft();
	for (int i = 0; i < 10; i++) {
		struct run *r = run_begin(c, S("default"), "ask", S("old"));
		span_end(span_begin(r, NULL, "s", "k"), OK, NULL);
		run_end(r, OK, NULL);
	}
	CHECK_OK(run_flush(c, &et), &et);
	int64_t n;
	CHECK_OK(run_store_prune(croft_db(c), clock_unix_ns() - 86400000000000, 4,
			 "runs.keep_days=1", &n, &et),
		&et);
	CHECK_INT(n, 0);
	CHECK_OK(
		run_store_prune(croft_db(c), clock_unix_ns(), 4, "runs.keep_days=1", &n, &et), &et);
	CHECK_INT(n, 4);
	CHECK_OK(run_store_prune(croft_db(c), clock_unix_ns(), 100, "runs.keep_days=1", &n, &et),
		&et);
	CHECK_INT(n, 6);
	struct tx *tx;
	struct row *r;
	enum err e = OK;
	CHECK_OK(db_begin(croft_db(c), TX_READ, &tx, &et), &et);
	CHECK_OK(db_query(tx, &r, &et, "SELECT COUNT(*) FROM span"), &et);
	CHECK(row_next(r, &e, &et) && row_i64(r, 0) == 0);
	row_free(r);
	CHECK_OK(db_query(tx, &r, &et,
			 "SELECT detail FROM audit WHERE action = 'run.expire' ORDER BY seq"),
		&et);
	CHECK(row_next(r, &e, &et));
	CHECK_STR(row_text(r, 0), "{\"policy\":\"runs.keep_days=1\",\"runs\":4}");
	row_free(r);
	db_rollback(tx);
	croft_close(c);
}

/* ---- the routes ---- */

struct answer {
	int status;
	struct buf body;
};

static void on_head(void *ctx, int status, const struct http_pair *headers, size_t n)
{
	((struct answer *)ctx)->status = status;
}

static enum err on_data(void *ctx, struct str data)
{
	buf_adds(&((struct answer *)ctx)->body, data);
	return OK;
}

static yyjson_doc *call(struct croft *c, const char *target, int status)
{
	struct answer got = {0};
	struct http_local to = {on_head, on_data, &got};
	yyjson_doc *doc;
	CHECK_OK(http_local_run(croft_handle, c, HTTP_GET, str_c(target), NULL, 0, (struct str){0},
			 NULL, &to, &et),
		&et);
	if (got.status != status)
		FAIL("%s: %d: %s", target, got.status, buf_c(&got.body));
	CHECK_OK(json_parse(buf_str(&got.body), &doc, &et), &et);
	buf_free(&got.body);
	return doc;
}

static void test_run__routes(void)
{
	struct croft *c = open_croft();
	char target[100], hex[ID_HEX + 1];
	for (int i = 0; i < 3; i++) {
		struct run *r = run_begin(c, S("default"), "ask", S("why?"));
		id_hex(run_id(r), hex);
		struct span *parent = span_begin(r, NULL, "retrieve", "retriever");
		struct span *child = span_begin(r, parent, "embed", "embedding");
		span_json(child, "output", S("{\"dim\":384}"));
		span_end(child, OK, NULL);
		span_end(parent, OK, NULL);
		run_i64(r, "tokens", 5);
		run_end(r, i == 2 ? err_set(&et, ERR_TIMEOUT, "late") : OK, &et);
	}
	/* at once: a reader never misses what has been done */
	yyjson_doc *d = call(c, "/api/v1/runs?kind=ask&limit=2", 200);
	yyjson_val *root = yyjson_doc_get_root(d), *runs = yyjson_obj_get(root, "runs");
	CHECK_INT(yyjson_arr_size(runs), 2);
	yyjson_val *run = yyjson_arr_get_first(runs);
	CHECK_STR(json_str(run, "id"), hex);
	CHECK_STR(json_str(run, "status"), "error");
	CHECK_STR(json_str(run, "error"), "late");
	CHECK(json_f64(run, "duration_ms", -1) >= 0);
	CHECK_INT(json_i64(yyjson_obj_get(run, "attributes"), "tokens", 0), 5);
	snprintf(target, sizeof target, "/api/v1/runs?after=%.*s", STR_FMT(json_str(root, "next")));
	yyjson_doc_free(d);
	d = call(c, target, 200);
	root = yyjson_doc_get_root(d);
	CHECK_INT(yyjson_arr_size(yyjson_obj_get(root, "runs")), 1);
	CHECK(yyjson_is_null(yyjson_obj_get(root, "next")));
	yyjson_doc_free(d);
	snprintf(target, sizeof target, "/api/v1/runs/%s", hex);
	d = call(c, target, 200);
	yyjson_val *spans = yyjson_obj_get(yyjson_doc_get_root(d), "spans");
	CHECK_INT(yyjson_arr_size(spans), 2);
	yyjson_val *one = yyjson_arr_get(spans, 0), *two = yyjson_arr_get(spans, 1);
	CHECK(yyjson_is_null(yyjson_obj_get(one, "parent")));
	CHECK(str_eq(json_str(two, "parent"), json_str(one, "id")));
	CHECK_INT(json_i64(yyjson_obj_get(yyjson_obj_get(two, "attributes"), "output"), "dim", 0),
		384);
	CHECK(json_f64(two, "start_ms", -1) >= json_f64(one, "start_ms", -1));
	yyjson_doc_free(d);
	static const char *const bad[] = {"/api/v1/runs?limit=0", "/api/v1/runs?limit=x",
		"/api/v1/runs?limit=1001", "/api/v1/runs?status=fine", "/api/v1/runs?after=1",
		"/api/v1/runs/xyz"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		yyjson_doc_free(call(c, bad[i], 400));
	yyjson_doc_free(call(c, "/api/v1/runs/00000000000000000000000000000000", 404));
	yyjson_doc_free(call(c, "/api/v1/runs?kind=%27%20OR%201=1--", 200));
	croft_close(c);
}

/* ---- many threads, and a queue that fills ---- */

static struct croft *shared;

static void *many_runs(void *arg)
{
	for (int i = 0; i < 300; i++) {
		struct run *r = run_begin(shared, S("default"), "load", S("x"));
		for (int k = 0; k < 10; k++) {
			struct span *s = span_begin(r, NULL, "s", "k");
			span_i64(s, "i", k);
			span_end(s, OK, NULL);
		}
		run_end(r, OK, NULL);
	}
	return NULL;
}

static void test_run__many_threads(void)
{
	pthread_t t[4];
	shared = open_croft();
	uint64_t begin = clock_mono_ns();
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		CHECK_OK(thread_start(&t[i], many_runs, NULL, "load", &et), &et);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		pthread_join(t[i], NULL);
	CHECK_OK(run_flush(shared, &et), &et);
	double s = (double)(clock_mono_ns() - begin) / 1e9;
	struct tx *tx;
	struct row *r;
	enum err e = OK;
	CHECK_OK(db_begin(croft_db(shared), TX_READ, &tx, &et), &et);
	CHECK_OK(db_query(tx, &r, &et,
			 "SELECT COUNT(*), COUNT(end_ns) FROM span WHERE status = 'ok'"),
		&et);
	CHECK(row_next(r, &e, &et));
	CHECK_INT(row_i64(r, 0), 12000);
	CHECK_INT(row_i64(r, 1), 12000);
	row_free(r);
	db_rollback(tx);
	struct buf m = {0};
	run_module.metrics(shared, &m);
	CHECK(str_find(buf_str(&m), S("croft_runs_total{kind=\"load\",status=\"ok\"} 1200\n")) !=
		STR_NONE);
	CHECK(str_find(buf_str(&m),
		      S("croft_run_duration_seconds_bucket{kind=\"load\",le=\"+Inf\"} 1200\n")) !=
		STR_NONE);
	CHECK(str_find(buf_str(&m), S("croft_runs_open 0\n")) != STR_NONE);
	buf_free(&m);
	tap_note("1,200 runs of 10 spans from 4 threads: %.2f s", s);
	croft_close(shared);
}

static void test_run__a_record_that_cannot_be_stored_is_lost_alone(void)
{
	struct croft *c = open_croft();
	struct runs *runs = croft_state(c, &run_module);
	struct run *r = run_begin(c, S("default"), "ask", S("good"));
	struct record *orphan = calloc(1, sizeof *orphan); /* a span of no run */
	orphan->is_span = true;
	orphan->run = id_new();
	orphan->span = 1;
	orphan->kind = str_dup(S("k"));
	orphan->name = str_dup(S("n"));
	run_writer_add(runs->writer, orphan, NULL);
	struct id id = run_id(r);
	run_end(r, OK, NULL);
	CHECK_ERR(run_flush(c, &et), ERR_CONFLICT);
	CHECK_OK(run_flush(c, &et), &et);
	struct got g = {0};
	CHECK_OK(get(c, id, &g), &et);
	CHECK_STR(g.run.status, "ok");
	struct run_writer_stats st;
	run_writer_stats(runs->writer, &st);
	CHECK_INT(st.lost, 1);
	arena_free(g.a);
	croft_close(c);
}

TESTS(T(test_run__a_tree_of_spans_is_stored), T(test_run__it_is_visible_while_it_happens),
	T(test_run__null_runs_do_nothing), T(test_run__long_values_are_cut_and_say_so),
	T(test_run__open_runs_are_interrupted_after_a_kill),
	T(test_run__lists_are_newest_first_in_pages), T(test_run__old_runs_go), T(test_run__routes),
	T(test_run__many_threads), T(test_run__a_record_that_cannot_be_stored_is_lost_alone))
