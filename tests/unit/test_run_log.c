/* Log records: each is there once, in order, in its project alone, and goes when its time has come.
 */
#include "tap.h"
#include "access/access.h"
#include "artifact/artifact.h"
#include "run/retain_int.h"
#include "run/trace_int.h"

#include <stdio.h>

static struct errtext et;
static const struct str project = {"default", 7};
static const struct id T1 = {{1}}, T2 = {{2}};
static const int64_t DAY_NS = 86400000000000;

static struct croft *open_croft(void)
{
	static const struct module *const modules[] = {
		&access_module, &registry_module, &run_module, &trace_module};
	struct croft *c;
	struct croft_options o = {
		.modules = modules, .n_modules = ARRAY_LEN(modules), .home = tap_tmpdir()};
	CHECK_OK(croft_open(&o, &c, &et), &et);
	return c;
}

static void put_record(struct buf *b, struct id trace, int64_t span, int64_t at_ns,
	unsigned severity, const char *body)
{
	size_t record = pb_open(b, 2);
	pb_put_fixed64(b, 1, (uint64_t)at_ns);
	pb_put_varint(b, 2, severity);
	size_t value = pb_open(b, 5);
	pb_put_str(b, 1, str_c(body));
	pb_close(b, value);
	if (!id_is_zero(trace))
		pb_put_str(b, 9, str_mk((const char *)trace.b, sizeof trace.b));
	if (span)
		otel_put_span_id(b, 10, span);
	pb_close(b, record);
}

static size_t send(struct croft *c, struct str where, const struct buf *records)
{
	struct buf b = {0};
	struct trace_accepted got = {0};
	size_t rl = pb_open(&b, 1), sl = pb_open(&b, 2);
	buf_adds(&b, buf_str(records));
	pb_close(&b, sl);
	pb_close(&b, rl);
	CHECK_OK(trace_import_logs(c, where, buf_str(&b), &got, &et), &et);
	buf_free(&b);
	return got.rejected;
}

static size_t find(
	struct croft *c, struct trace_log_query q, struct arena *a, struct trace_log_page *page)
{
	if (!q.project.n)
		q.project = project;
	if (!q.limit)
		q.limit = 100;
	CHECK_OK(trace_log_find(croft_db(c), &q, a, page, &et), &et);
	return page->n;
}

static void test_run_log__once_in_order_and_by_what_is_asked(void)
{
	struct croft *c = open_croft();
	struct arena *a = arena_new(0);
	struct buf b = {0};
	struct trace_log_page page;
	put_record(&b, T1, 7, 100, 9, "first");
	put_record(&b, T1, 7, 100, 13, "second at the same time");
	put_record(&b, T1, 8, 100, 17, "Third");
	put_record(&b, T2, 7, 50, 9, "of another trace");
	put_record(&b, (struct id){{0}}, 0, 60, 1, "of none");
	CHECK_INT(send(c, project, &b), 0);
	CHECK_INT(send(c, project, &b), 0); /* again: an answer that was lost */
	CHECK_INT(find(c, (struct trace_log_query){.run = T1, .ascending = true}, a, &page), 3);
	CHECK_STR(page.list[0].log.body.s, "first");
	CHECK_STR(page.list[1].log.body.s, "second at the same time");
	CHECK_STR(page.list[2].log.body.s, "Third");
	CHECK(!page.more);
	CHECK_INT(find(c, (struct trace_log_query){0}, a, &page), 5);
	CHECK_STR(page.list[4].log.body.s, "of another trace");
	CHECK_STR(page.list[3].log.body.s, "of none");
	CHECK(id_is_zero(page.list[3].run));
	CHECK_INT(find(c, (struct trace_log_query){.run = T1, .span = 8}, a, &page), 1);
	CHECK_INT(find(c, (struct trace_log_query){.severity = 13}, a, &page), 2);
	CHECK_INT(find(c, (struct trace_log_query){.search = S("THIRD")}, a, &page), 1);
	CHECK_INT(find(c, (struct trace_log_query){.since_ns = 60, .until_ns = 100}, a, &page), 1);
	size_t n = 0;
	struct trace_log_query q = {.limit = 1};
	do {
		n += find(c, q, a, &page);
		q.after_ns = page.next_ns;
		q.after_id = page.next_id;
	} while (page.more);
	CHECK_INT(n, 5);
	CHECK_INT(find(c, (struct trace_log_query){.project = S("other")}, a, &page), 0);
	buf_clear(&b);
	put_record(&b, T1, 7, 100, 25, "a severity of the future");
	put_record(&b, T1, 7, -1, 9, "no such time");
	put_record(&b, T1, 7, 101, 9, "kept");
	CHECK_INT(send(c, project, &b), 1);
	int64_t count = 0;
	CHECK_OK(trace_log_count(croft_db(c), project, T1, 10, &count, &et), &et);
	CHECK_INT(count, 5);
	buf_free(&b);
	arena_free(a);
	croft_close(c);
}

static void test_run_log__old_ones_go_but_not_what_is_on_hold(void)
{
	struct croft *c = open_croft();
	struct arena *a = arena_new(0);
	struct buf b = {0};
	struct trace_log_page page;
	struct trace_log_place at = {0};
	struct principal ada = {.name = S("ada"), .project = project, .perms = PERMS_ALL};
	struct tx *tx;
	int64_t n, removed = 0;
	for (int i = 0; i < 25; i++)
		put_record(&b, T1, 7, DAY_NS + i, 9, "old");
	put_record(&b, T2, 7, DAY_NS, 9, "old and held");
	put_record(&b, T1, 7, 5 * DAY_NS, 9, "young");
	send(c, project, &b);
	buf_clear(&b);
	put_record(&b, T1, 7, 5 * DAY_NS, 9, "young");
	send(c, S("aaa"), &b);
	CHECK_OK(db_begin(croft_db(c), TX_WRITE, &tx, &et), &et);
	CHECK_OK(db_exec(tx, &et,
			 "INSERT INTO run (id, kind, name, status, start_ns, attributes) VALUES "
			 "(?, 'trace', 't', 'ok', 1, '{}')",
			 P_ID(T2)),
		&et);
	CHECK_OK(db_commit(tx, &et), &et);
	CHECK_OK(retain_hold(c, &ada, project, T2, S(""), &et), &et);
	CHECK_OK(trace_log_place(croft_db(c), 3 * DAY_NS, &at, &et), &et);
	CHECK_STR(str_c(at.project), "default");
	do {
		CHECK_OK(trace_log_expire(
				 croft_db(c), &at, 3 * DAY_NS, 10, "logs.keep_days=2", &n, &et),
			&et);
		removed += n;
	} while (n == 10);
	CHECK_INT(removed, 25);
	CHECK_INT(find(c, (struct trace_log_query){0}, a, &page), 2);
	CHECK_ERR(trace_log_place(croft_db(c), 3 * DAY_NS, &at, &et), ERR_NOT_FOUND);
	struct row *r;
	enum err e = OK;
	CHECK_OK(db_begin(croft_db(c), TX_READ, &tx, &et), &et);
	CHECK_OK(db_query(tx, &r, &et,
			 "SELECT subject, detail FROM audit WHERE action = 'log.expire'"),
		&et);
	CHECK(row_next(r, &e, &et));
	CHECK_STR(row_text(r, 0), "logs before 1970-01-04");
	CHECK_STR(row_text(r, 1), "{\"policy\":\"logs.keep_days=2\"}");
	CHECK(!row_next(r, &e, &et));
	row_free(r);
	db_rollback(tx);
	buf_free(&b);
	arena_free(a);
	croft_close(c);
}

/* A resource of 1 MiB with this many scopes, in one request. */
static void put_scopes(struct buf *b, unsigned scopes, unsigned member)
{
	struct buf big = {0};
	for (unsigned i = 0; i < 1 << 20; i++)
		buf_putc(&big, 'x');
	size_t of = pb_open(b, 1), resource = pb_open(b, 1), attribute = pb_open(b, 1);
	pb_put_str(b, 1, S("k"));
	size_t value = pb_open(b, 2);
	pb_put_str(b, 1, buf_str(&big));
	pb_close(b, value);
	pb_close(b, attribute);
	pb_close(b, resource);
	for (unsigned i = 0; i < scopes; i++) {
		char name[16];
		size_t held = pb_open(b, member), scope = pb_open(b, 1);
		snprintf(name, sizeof name, "s%u", i);
		pb_put_str(b, 1, str_c(name));
		pb_close(b, scope);
		pb_close(b, held);
	}
	pb_close(b, of);
	buf_free(&big);
}

/* Each scope's row holds the resource: a megabyte must not become gigabytes. */
static void test_run_log__a_resource_is_not_multiplied(void)
{
	struct buf few = {0}, many = {0};
	put_scopes(&few, 12, 2);
	put_scopes(&many, 40, 2);
	for (int i = 0; i < 2; i++) { /* spans and records have the same places for both */
		struct trace_batch spans = {.project = project};
		struct trace_log_batch logs = {.project = project};
		struct str request = buf_str(i ? &many : &few);
		enum err want = i ? ERR_TOO_LARGE : OK;
		CHECK(trace_batch_read(&spans, request, &et) == want);
		CHECK(trace_log_batch_read(&logs, request, &et) == want);
		trace_batch_clear(&spans);
		trace_log_batch_clear(&logs);
	}
	buf_free(&few);
	buf_free(&many);
}

TESTS(T(test_run_log__once_in_order_and_by_what_is_asked),
	T(test_run_log__old_ones_go_but_not_what_is_on_hold),
	T(test_run_log__a_resource_is_not_multiplied))
