/* Traces: what a request of OpenTelemetry spans leaves in the store. */
#include "tap.h"
#include "access/access.h"
#include "base/hash.h"
#include "run/usage_int.h"

#include <stdio.h>
#include <stdlib.h>

static struct errtext et;
static const struct module *const modules[] = {&access_module, &run_module, &trace_module};

static struct croft *open_croft(void)
{
	struct croft *c;
	struct croft_options o = {
		.modules = modules, .n_modules = ARRAY_LEN(modules), .home = tap_tmpdir()};
	CHECK_OK(croft_open(&o, &c, &et), &et);
	return c;
}

/* ---- making requests ---- */

struct make {
	const char *trace; /* hex */
	int64_t id, parent;
	const char *name;
	int64_t start, end;
	const char *error;       /* NULL: unset */
	const char *key, *value; /* one text attribute */
	int64_t tokens_in, tokens_out;
	double cost;
};

static void put_span(struct buf *b, const struct make *m)
{
	uint8_t trace[16];
	size_t at = pb_open(b, 2);
	if (hex_decode(str_c(m->trace), trace, strlen(m->trace) / 2))
		pb_put_str(b, 1, str_mk(trace, strlen(m->trace) / 2));
	otel_put_span_id(b, 2, m->id);
	if (m->parent)
		otel_put_span_id(b, 4, m->parent);
	pb_put_str(b, 5, str_c(m->name));
	pb_put_fixed64(b, 7, (uint64_t)m->start);
	if (m->end)
		pb_put_fixed64(b, 8, (uint64_t)m->end);
	if (m->key)
		otel_put_str(b, OTEL_SPAN_ATTRS, m->key, str_c(m->value));
	if (m->tokens_in) {
		otel_put_str(b, OTEL_SPAN_ATTRS, "gen_ai.operation.name", S("chat"));
		otel_put_i64(b, OTEL_SPAN_ATTRS, "gen_ai.usage.input_tokens", m->tokens_in);
		otel_put_i64(b, OTEL_SPAN_ATTRS, "gen_ai.usage.output_tokens", m->tokens_out);
		otel_put_f64(b, OTEL_SPAN_ATTRS, "gen_ai.usage.cost", m->cost);
	}
	if (m->error) {
		size_t status = pb_open(b, 15);
		pb_put_str(b, 2, str_c(m->error));
		pb_put_varint(b, 3, OTEL_STATUS_ERROR);
		pb_close(b, status);
	}
	pb_close(b, at);
}

static void make_request(struct buf *b, const struct make *m, size_t n)
{
	size_t rs = pb_open(b, 1);
	size_t resource = pb_open(b, 1);
	otel_put_str(b, OTEL_RESOURCE_ATTRS, "service.name", S("shop"));
	pb_close(b, resource);
	size_t ss = pb_open(b, 2);
	size_t scope = pb_open(b, 1);
	pb_put_str(b, 1, S("lib"));
	pb_close(b, scope);
	for (size_t i = 0; i < n; i++)
		put_span(b, &m[i]);
	pb_close(b, ss);
	pb_close(b, rs);
}

static struct trace_accepted got;

static enum err send_to(struct croft *c, const char *project, const struct make *m, size_t n)
{
	struct buf b = {0};
	make_request(&b, m, n);
	enum err e = trace_import(c, str_c(project), -1, buf_str(&b), &got, &et);
	buf_free(&b);
	return e;
}

#define SEND(c, ...)                                                                        \
	CHECK_OK(send_to(c, "default", (const struct make[]){__VA_ARGS__},                  \
			 sizeof((const struct make[]){__VA_ARGS__}) / sizeof(struct make)), \
		&et)

static const char T1[] = "0102030405060708090a0b0c0d0e0f10";
static const char T2[] = "1102030405060708090a0b0c0d0e0f10";

struct seen {
	struct arena *a;
	struct run_row run;
	struct span_row *spans;
	size_t n;
};

static enum err look_in(struct croft *c, struct str project, const char *hex, struct seen *s)
{
	struct id id;
	if (!s->a)
		s->a = arena_new(0);
	CHECK(id_parse(str_c(hex), &id));
	return run_store_get(croft_db(c), project, id, s->a, &s->run, &s->spans, &s->n, &et);
}

static enum err look(struct croft *c, const char *hex, struct seen *s)
{
	return look_in(c, S("default"), hex, s);
}

/* ---- tests ---- */

static void test_run_trace__children_first_then_the_root(void)
{
	struct croft *c = open_croft();
	struct seen s = {0};
	SEND(c, {T1, 3, 2, "leaf", 30, 40, .tokens_in = 10, .tokens_out = 4, .cost = 0.25});
	CHECK_OK(look(c, T1, &s), &et);
	CHECK_STR(s.run.status, "running");
	CHECK_STR(s.run.name, "leaf");
	CHECK_INT(s.run.end_ns, 0);
	SEND(c, {T1, 2, 1, "middle", 20, 50, .error = "broken"});
	CHECK_OK(look(c, T1, &s), &et);
	CHECK_STR(s.run.name, "middle");
	CHECK_STR(s.run.status, "running");
	SEND(c, {T1, 1, 0, "root", 10, 60, .key = "input.value", .value = "why?"});
	CHECK_OK(look(c, T1, &s), &et);
	CHECK_STR(s.run.name, "root");
	CHECK_STR(s.run.status, "ok");
	CHECK_INT(s.run.start_ns, 10);
	CHECK_INT(s.run.end_ns, 60);
	CHECK_INT(s.run.spans, 3);
	CHECK_INT(s.run.errors, 1);
	CHECK_INT(s.run.tokens_in, 10);
	CHECK_INT(s.run.tokens_out, 4);
	CHECK(s.run.cost == 0.25);
	CHECK_STR(s.run.attributes, "{\"service\":\"shop\",\"input\":\"why?\"}");
	CHECK_INT(s.n, 3);
	CHECK_STR(s.spans[0].name, "root");
	CHECK_STR(s.spans[1].error, "broken");
	CHECK_STR(s.spans[2].kind, "llm");
	CHECK_INT(s.spans[2].parent, 2);
	/* later than its root: counted, and the run is as long as its longest span */
	SEND(c, {T1, 4, 1, "late", 55, 70});
	CHECK_OK(look(c, T1, &s), &et);
	CHECK_STR(s.run.name, "root");
	CHECK_INT(s.run.end_ns, 70);
	CHECK_INT(s.run.spans, 4);
	arena_free(s.a);
	croft_close(c);
}

static void test_run_trace__the_same_span_again_changes_nothing(void)
{
	struct croft *c = open_croft();
	struct seen s = {0};
	for (int i = 0; i < 3; i++)
		SEND(c, {T1, 1, 0, "root", 10, 60, .tokens_in = 7, .tokens_out = 1, .cost = 1},
			{T1, 2, 1, "child", 10, 60, .error = "x"},
			{T1, 2, 1, "child", 10, 60, .error = "x"});
	CHECK_OK(look(c, T1, &s), &et);
	CHECK_INT(s.run.spans, 2);
	CHECK_INT(s.run.errors, 1);
	CHECK_INT(s.run.tokens_in, 7);
	CHECK(s.run.cost == 1);
	CHECK_INT(s.n, 2);
	arena_free(s.a);
	croft_close(c);
}

static void test_run_trace__a_running_span_is_replaced_by_its_end(void)
{
	struct croft *c = open_croft();
	struct seen s = {0};
	SEND(c, {T1, 1, 0, "root", 10, 0, .tokens_in = 7, .tokens_out = 1});
	CHECK_OK(look(c, T1, &s), &et);
	CHECK_STR(s.run.status, "running");
	CHECK_STR(s.spans[0].status, "running");
	SEND(c, {T1, 1, 0, "root", 10, 90, .tokens_in = 9, .tokens_out = 2, .error = "no"});
	CHECK_OK(look(c, T1, &s), &et);
	CHECK_STR(s.run.status, "error");
	CHECK_STR(s.run.error, "no");
	CHECK_INT(s.run.tokens_in, 9);
	CHECK_INT(s.run.errors, 1);
	CHECK_INT(s.run.spans, 1);
	/* the report of its start, late: what has ended stays so */
	SEND(c, {T1, 1, 0, "root", 10, 0, .tokens_in = 7, .tokens_out = 1});
	CHECK_OK(look(c, T1, &s), &et);
	CHECK_STR(s.run.status, "error");
	CHECK_INT(s.run.tokens_in, 9);
	arena_free(s.a);
	croft_close(c);
}

static void test_run_trace__what_cannot_be_kept_is_said(void)
{
	struct croft *c = open_croft();
	struct seen s = {0};
	SEND(c, {T1, 1, 0, "good", 10, 60}, {"0102", 1, 0, "short trace id", 10, 60},
		{T1, 0, 0, "no span id", 10, 60}, {T1, 5, 5, "own parent", 10, 60});
	CHECK_INT(got.spans, 1);
	CHECK_INT(got.rejected, 3);
	CHECK(strstr(got.why.msg, "trace id"));
	CHECK_OK(look(c, T1, &s), &et);
	CHECK_INT(s.n, 1);
	arena_free(s.a);
	croft_close(c);
}

static void test_run_trace__another_projects_trace_is_not_touched(void)
{
	struct croft *c = open_croft();
	struct seen s = {0};
	SEND(c, {T1, 1, 0, "mine", 10, 60});
	const struct make theirs[] = {{T1, 2, 1, "theirs", 10, 99}, {T2, 1, 0, "other", 10, 99}};
	CHECK_OK(send_to(c, "other", theirs, 2), &et);
	CHECK_INT(got.spans, 1);
	CHECK_INT(got.rejected, 1);
	CHECK_OK(look(c, T1, &s), &et);
	CHECK_INT(s.n, 1);
	CHECK_INT(s.run.end_ns, 60);
	CHECK_ERR(look(c, T2, &s), ERR_NOT_FOUND);
	CHECK_OK(look_in(c, S("other"), T2, &s), &et);
	arena_free(s.a);
	croft_close(c);
}

static void test_run_trace__malformed_bytes_leave_nothing(void)
{
	struct croft *c = open_croft();
	struct seen s = {0};
	struct buf b = {0};
	make_request(&b,
		(const struct make[]){{T1, 1, 0, "a", 1, 2}, {T1, 2, 1, "b", 1, 2, .error = "e"}},
		2);
	struct str whole = buf_str(&b);
	for (size_t n = 1; n < whole.n; n++)
		CHECK(trace_import(c, S("default"), -1, str_sub(whole, 0, n), &got, &et) ==
			ERR_INVALID);
	CHECK(look(c, T1, &s) == ERR_NOT_FOUND);
	CHECK_OK(trace_import(c, S("default"), -1, S(""), &got, &et), &et);
	CHECK_INT(got.spans + got.rejected, 0);
	buf_free(&b);
	arena_free(s.a);
	croft_close(c);
}

static void test_run_trace__names_that_no_database_takes(void)
{
	struct croft *c = open_croft();
	struct seen s = {0};
	SEND(c, {T1, 1, 0, "bad \xFF name", 10, 60, .error = "bad \xC3", .key = "input.value",
			.value = "\xF0\x9F"});
	CHECK_OK(look(c, T1, &s), &et);
	CHECK_STR(s.run.name, "bad \xEF\xBF\xBD name");
	CHECK(utf8_valid(s.run.attributes));
	arena_free(s.a);
	croft_close(c);
}

static void test_run_trace__a_quiet_trace_without_a_root_ends(void)
{
	struct croft *c = open_croft();
	struct seen s = {0};
	int64_t n = 0;
	SEND(c, {T1, 2, 1, "orphan", 10, 60, .error = "x"});
	CHECK_OK(trace_store_settle(croft_db(c), 1, 10, &n, &et), &et);
	CHECK_INT(n, 0);
	CHECK_OK(trace_store_settle(croft_db(c), INT64_MAX, 10, &n, &et), &et);
	CHECK_INT(n, 1);
	CHECK_OK(look(c, T1, &s), &et);
	CHECK_STR(s.run.status, "error");
	CHECK_INT(s.run.end_ns, 60);
	arena_free(s.a);
	croft_close(c);
}

static void test_run_trace__too_much_waiting_is_busy(void)
{
	struct croft *c = open_croft();
	struct traces *t = croft_state(c, &trace_module);
	atomic_store(&t->pending, (size_t)64 << 20);
	CHECK_ERR(trace_admit(c, 100, &et), ERR_BUSY);
	CHECK_INT(atomic_load(&t->requests), 0);
	atomic_store(&t->pending, 0);
	CHECK_OK(trace_admit(c, (size_t)1 << 40, &et), &et); /* alone */
	CHECK_ERR(trace_admit(c, 100, &et), ERR_BUSY);
	trace_leave(c, (size_t)1 << 40);
	for (int i = 0; i < 64; i++)
		CHECK_OK(trace_admit(c, 100, &et), &et);
	CHECK_ERR(trace_admit(c, 100, &et), ERR_BUSY); /* half of the workers */
	CHECK_INT(atomic_load(&t->pending), 6400);
	croft_close(c);
}

static struct record own_record(const char *project, bool root, int64_t span)
{
	struct record r = {.is_span = true,
		.guest = true,
		.guest_root = root,
		.span = span,
		.project = (char *)project,
		.kind = (char *)"ask",
		.name = (char *)"what?",
		.status = STATUS_OK,
		.start_ns = 20,
		.end_ns = 40};
	CHECK(id_parse(str_c(T1), &r.run));
	return r;
}

static enum err put_own(struct croft *c, const struct record *r)
{
	struct tx *tx;
	CHECK_OK(db_begin(croft_db(c), TX_WRITE, &tx, &et), &et);
	enum err e = run_store_put(tx, r, &et);
	if (!e)
		return db_commit(tx, &et);
	db_rollback(tx);
	return e;
}

static void test_run_trace__a_guest_makes_its_trace_and_others_join(void)
{
	struct croft *c = open_croft();
	struct seen s = {0};
	struct record root = own_record("default", true, 77),
		      below = own_record("default", false, 78);
	below.parent = 77;
	CHECK_OK(put_own(c, &root), &et);
	CHECK_OK(put_own(c, &below), &et);
	CHECK_OK(look(c, T1, &s), &et);
	CHECK_STR(s.run.kind, "trace");
	CHECK_STR(s.run.status, "ok");
	CHECK_INT(s.n, 2);
	SEND(c, {T1, 5, 0, "caller", 10, 60, .error = "no"});
	CHECK_OK(look(c, T1, &s), &et);
	CHECK_STR(s.run.name, "caller");
	CHECK_STR(s.run.status, "error");
	CHECK_INT(s.n, 3);
	arena_free(s.a);
	croft_close(c);
}

static void test_run_trace__a_guest_that_never_ended_was_interrupted(void)
{
	struct croft *c = open_croft();
	struct seen s = {0};
	int64_t n = 0;
	struct record root = own_record("default", true, 77);
	root.status = STATUS_RUNNING;
	root.end_ns = 0;
	CHECK_OK(put_own(c, &root), &et);
	SEND(c, {T1, 5, 1, "theirs", 10, 0});
	CHECK_OK(run_store_interrupt(croft_db(c), &n, &et), &et);
	CHECK_OK(look(c, T1, &s), &et);
	CHECK_STR(s.run.status, "running");
	CHECK_STR(s.spans[0].status, "running");
	CHECK_STR(s.spans[1].status, "interrupted");
	arena_free(s.a);
	croft_close(c);
}

static void test_run_trace__a_guest_of_another_project_is_turned_away(void)
{
	struct croft *c = open_croft();
	struct seen s = {0};
	SEND(c, {T1, 1, 0, "mine", 10, 60});
	struct record root = own_record("other", true, 77), below = own_record("other", false, 78);
	CHECK_ERR(put_own(c, &root), ERR_CONFLICT);
	CHECK_ERR(put_own(c, &below), ERR_CONFLICT);
	CHECK_OK(look(c, T1, &s), &et);
	CHECK_INT(s.n, 1);
	CHECK_INT(s.run.end_ns, 60);
	arena_free(s.a);
	croft_close(c);
}

static void test_run_trace__old_ones_go_and_leave_their_sums(void)
{
	struct croft *c = open_croft();
	struct seen s = {0};
	struct id ids[8];
	size_t n = 0, i = 0, rounds = 0;
	for (int64_t k = 1; k <= 25; k++)
		SEND(c, {T1, k, k - 1, "old", 10, 1000010, .tokens_in = 2, .tokens_out = 1});
	SEND(c, {T2, 1, 0, "young", 5000, 6000});
	CHECK_OK(trace_store_old(croft_db(c), 1000, ids, 8, &n, &et), &et);
	CHECK_INT(n, 1);
	for (; i < n; rounds++)
		CHECK_OK(trace_store_remove(croft_db(c), ids, n, 10, "traces.keep_days=1", &i, &et),
			&et);
	CHECK_INT(rounds, 3);
	CHECK(look(c, T1, &s) == ERR_NOT_FOUND);
	CHECK_OK(look(c, T2, &s), &et);
	struct tx *tx;
	struct row *r;
	CHECK_OK(db_begin(croft_db(c), TX_READ, &tx, &et), &et);
	CHECK_OK(db_query(tx, &r, &et,
			 "SELECT service, traces, spans, tokens_in, duration_ms FROM trace_day"),
		&et);
	enum err e = OK;
	CHECK(row_next(r, &e, &et));
	CHECK_STR(row_text(r, 0), "shop");
	CHECK_INT(row_i64(r, 1), 1);
	CHECK_INT(row_i64(r, 2), 25);
	CHECK_INT(row_i64(r, 3), 50);
	CHECK_INT(row_i64(r, 4), 1);
	row_free(r);
	CHECK_OK(db_query(tx, &r, &et,
			 "SELECT subject, detail FROM audit WHERE action = 'trace.expire'"),
		&et);
	CHECK(row_next(r, &e, &et));
	CHECK_STR(row_text(r, 0), "traces of 1970-01-01");
	CHECK_STR(row_text(r, 1), "{\"policy\":\"traces.keep_days=1\"}");
	row_free(r);
	db_rollback(tx);
	arena_free(s.a);
	croft_close(c);
}

/* ---- usage ---- */

static struct usage_line **usage_of(struct croft *c, const char *where, struct arena *a, size_t *n)
{
	struct usage_line **lines;
	bool more;
	struct usage_query q = {.project = str_c(where), .until = 1000, .max = 100};
	CHECK_OK(usage_find(croft_db(c), &q, a, &lines, n, &more, &et), &et);
	CHECK(!more);
	return lines;
}

#define CALL(id, at, took, model, ...)                                               \
	{                                                                            \
		T1, id, 1, "chat", at, (at) + (took), .key = "gen_ai.request.model", \
						      .value = model, __VA_ARGS__    \
	}

static void test_run_trace__usage_of_models_by_day(void)
{
	enum { CALLS = 400 };
	static const int64_t day = 86400000000000, ms = 1000000;
	struct croft *c = open_croft();
	struct arena *a = arena_new(0);
	size_t n;
	for (int twice = 0; twice < 2; twice++) { /* what is sent again counts once */
		for (int64_t i = 1; i <= CALLS; i++)
			SEND(c, CALL(i + 1, 3 * day + i, i * ms, "m-1", .tokens_in = 10,
					.tokens_out = 2, .cost = 0.25,
					.error = i % 100 ? NULL : "x"));
		SEND(c, {T1, 1, 0, "root", 3 * day, 3 * day + 500 * ms});
		SEND(c, CALL(5000, 4 * day, ms, "m-2", .tokens_in = 7));
	}
	struct usage_line **l = usage_of(c, "default", a, &n);
	CHECK_INT(n, 4);
	CHECK_INT(l[0]->day, 4);
	CHECK_INT(l[0]->calls, 0); /* no trace began on that day */
	CHECK_INT(l[0]->tokens_in, 7);
	CHECK_STR(str_c(l[1]->model), "m-2");
	CHECK_INT(l[2]->day, 3);
	CHECK_STR(str_c(l[2]->model), "");
	CHECK_INT(l[2]->calls, 1);
	CHECK_INT(l[2]->tokens_in, CALLS * 10);
	CHECK_STR(str_c(l[3]->model), "m-1");
	CHECK_INT(l[3]->calls, CALLS);
	CHECK_INT(l[3]->errors, CALLS / 100);
	CHECK_INT(l[3]->tokens_out, CALLS * 2);
	CHECK(l[3]->cost == CALLS * 0.25);
	static const double parts[] = {0.5, 0.95, 0.99};
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		double is = usage_percentile_ms(l[3], parts[i]), want = CALLS * parts[i];
		CHECK(is > want * 0.94 && is < want * 1.06);
	}
	usage_of(c, "other", a, &n);
	CHECK_INT(n, 0);
	/* a span that is replaced counts as what it is now; one that runs does not yet */
	SEND(c, CALL(2, 3 * day + 1, 7000 * ms, "m-3", .tokens_in = 1));
	SEND(c, {T2, 1, 0, "open", 3 * day, 0});
	l = usage_of(c, "default", a, &n);
	CHECK_INT(n, 5);
	CHECK_INT(l[2]->calls, 1);
	CHECK_INT(l[2]->tokens_in, CALLS * 10 - 9);
	CHECK_INT(l[3]->calls, CALLS - 1);
	CHECK_STR(str_c(l[4]->model), "m-3");
	CHECK(usage_percentile_ms(l[4], 0.5) > 6600);
	/* the sums stay when the trace goes */
	struct id ids[2];
	size_t found, i = 0;
	CHECK_OK(trace_store_old(croft_db(c), 100 * day, ids, 2, &found, &et), &et);
	while (i < found)
		CHECK_OK(trace_store_remove(croft_db(c), ids, found, 100, "p", &i, &et), &et);
	usage_of(c, "default", a, &n);
	CHECK_INT(n, 5);
	arena_free(a);
	croft_close(c);
}

/* ---- facts ---- */

static struct trace_facts facts_of(const char *key, const char *value, uint64_t kind)
{
	static struct buf b;
	struct otel_span s;
	struct trace_facts f;
	buf_clear(&b);
	pb_put_varint(&b, 6, kind);
	otel_put_str(&b, OTEL_SPAN_ATTRS, key, str_c(value));
	CHECK(otel_span_read(buf_str(&b), &s));
	trace_facts_read(&s, &f);
	return f;
}

static void test_run_trace__types_of_all_conventions(void)
{
	static const struct {
		const char *key, *value, *type;
	} cases[] = {{"openinference.span.kind", "RETRIEVER", "retriever"},
		{"openinference.span.kind", "LLM", "llm"},
		{"gen_ai.operation.name", "generate_content", "llm"},
		{"gen_ai.operation.name", "invoke_agent", "agent"},
		{"gen_ai.operation.name", "execute_tool", "tool"},
		{"langfuse.observation.type", "generation", "llm"},
		{"mlflow.spanType", "\"CHAT_MODEL\"", "llm"},
		{"traceloop.span.kind", "workflow", "chain"},
		{"mcp.method.name", "tools/call", "tool"}, {"gen_ai.request.model", "m", "llm"},
		{"x", "y", "server"}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		CHECK_STR(str_c(facts_of(cases[i].key, cases[i].value, 2).type), cases[i].type);
	struct trace_facts f = facts_of("langfuse.observation.usage_details",
		"{\"input\":12,\"output\":3,\"total\":15}", 1);
	CHECK_INT(f.tokens_in, 12);
	CHECK_INT(f.tokens_out, 3);
	f = facts_of("mlflow.llm.cost", "{\"input_cost\":1,\"total_cost\":1.5}", 1);
	CHECK(f.cost == 1.5);
}

TESTS(T(test_run_trace__a_guest_makes_its_trace_and_others_join),
	T(test_run_trace__a_guest_that_never_ended_was_interrupted),
	T(test_run_trace__a_guest_of_another_project_is_turned_away),
	T(test_run_trace__old_ones_go_and_leave_their_sums),
	T(test_run_trace__usage_of_models_by_day), T(test_run_trace__children_first_then_the_root),
	T(test_run_trace__the_same_span_again_changes_nothing),
	T(test_run_trace__a_running_span_is_replaced_by_its_end),
	T(test_run_trace__what_cannot_be_kept_is_said),
	T(test_run_trace__another_projects_trace_is_not_touched),
	T(test_run_trace__malformed_bytes_leave_nothing),
	T(test_run_trace__names_that_no_database_takes),
	T(test_run_trace__a_quiet_trace_without_a_root_ends),
	T(test_run_trace__too_much_waiting_is_busy), T(test_run_trace__types_of_all_conventions))
