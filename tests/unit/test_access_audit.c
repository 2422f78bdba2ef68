/* The audit log: a chain that shows every edit, in the database and in an exported file. */
#include "tap.h"
#include "access/access_int.h"
#include "base/thread.h"

#include <stdio.h>
#include <stdlib.h>

static struct errtext et;
static const struct module *const modules[] = {&access_module};

static struct croft *open_croft(void)
{
	struct croft *c;
	struct croft_options o = {
		.modules = modules, .n_modules = ARRAY_LEN(modules), .home = tap_tmpdir()};
	CHECK_OK(croft_open(&o, &c, &et), &et);
	return c;
}

static void add(struct croft *c, const char *action, const char *subject, const char *detail)
{
	struct tx *tx;
	struct id id = id_new();
	struct principal who = {.id = id, .name = S("ada"), .project = S("alpha")};
	CHECK_OK(db_begin(croft_db(c), TX_WRITE, &tx, &et), &et);
	CHECK_OK(audit_add(tx, &who, action, str_c(subject), str_c(detail), &et), &et);
	CHECK_OK(db_commit(tx, &et), &et);
}

static void sql(struct croft *c, const char *text)
{
	struct tx *tx;
	CHECK_OK(db_begin(croft_db(c), TX_WRITE, &tx, &et), &et);
	CHECK_OK(db_exec(tx, &et, text), &et);
	CHECK_OK(db_commit(tx, &et), &et);
}

/* ---- requests, as the command line makes them ---- */

struct answer {
	int status;
	struct buf body;
	yyjson_doc *doc;
};

static struct answer *kept[64]; /* until end() */
static size_t n_kept;

static void end(struct croft *c)
{
	while (n_kept > 0) {
		struct answer *a = kept[--n_kept];
		yyjson_doc_free(a->doc);
		buf_free(&a->body);
		free(a);
	}
	croft_close(c);
}

static void on_head(void *ctx, int status, const struct http_pair *headers, size_t n)
{
	((struct answer *)ctx)->status = status;
}

static enum err on_data(void *ctx, struct str data)
{
	buf_adds(&((struct answer *)ctx)->body, data);
	return OK;
}

static struct answer *get(struct croft *c, const char *target)
{
	CHECK(n_kept < ARRAY_LEN(kept));
	struct answer *a = kept[n_kept++] = calloc(1, sizeof *a);
	struct http_local to = {on_head, on_data, a};
	CHECK_OK(http_local_run(croft_handle, c, HTTP_GET, str_c(target), NULL, 0, (struct str){0},
			 NULL, &to, &et),
		&et);
	return a;
}

static yyjson_val *get_json(struct croft *c, const char *target)
{
	struct answer *a = get(c, target);
	CHECK_INT(a->status, 200);
	CHECK_OK(json_parse(buf_str(&a->body), &a->doc, &et), &et);
	return yyjson_doc_get_root(a->doc);
}

static void three(struct croft *c)
{
	add(c, "artifact.alias", "model/churn@prod", "{\"from\":1,\"to\":2}");
	add(c, "key.revoke", "k1", "");
	add(c, "artifact.delete", "model/churn:1", "{\"why\":\"\\\"old\\\"\"}");
}

static void problem_is(struct croft *c, const char *says)
{
	yyjson_val *v = get_json(c, "/api/v1/audit/verify");
	CHECK(!json_bool(v, "ok", true));
	if (str_find(json_str(v, "problem"), str_c(says)) == STR_NONE)
		FAIL("it says %.*s", STR_FMT(json_str(v, "problem")));
}

static void test_access_audit__an_unbroken_chain(void)
{
	struct croft *c = open_croft();
	CHECK(json_bool(get_json(c, "/api/v1/audit/verify"), "ok", false));
	three(c);
	yyjson_val *v = get_json(c, "/api/v1/audit/verify");
	CHECK(json_bool(v, "ok", false));
	CHECK_INT(json_i64(v, "records", 0), 3);
	char path[200];
	snprintf(path, sizeof path, "/api/v1/audit/verify?seq=3&hash=%s", json_str(v, "head").p);
	CHECK(json_bool(get_json(c, path), "ok", false));
	snprintf(path, sizeof path, "/api/v1/audit/verify?seq=2&hash=%s", json_str(v, "head").p);
	CHECK(!json_bool(get_json(c, path), "ok", true));
	snprintf(path, sizeof path, "/api/v1/audit/verify?seq=4&hash=%s", json_str(v, "head").p);
	CHECK(!json_bool(get_json(c, path), "ok", true));
	end(c);
}

static void test_access_audit__every_edit_of_a_row_shows(void)
{
	static const struct {
		const char *sql, *says;
	} edits[] = {
		{"UPDATE audit SET actor = 'eve' WHERE seq = 2", "record 2: its content"},
		{"UPDATE audit SET actor_id = prev WHERE seq = 2", "record 2: its content"},
		{"UPDATE audit SET time_ms = time_ms + 1 WHERE seq = 1", "record 1: its content"},
		{"UPDATE audit SET project = 'b' WHERE seq = 3", "record 3: its content"},
		{"UPDATE audit SET action = 'x' WHERE seq = 3", "record 3: its content"},
		{"UPDATE audit SET subject = 'k2' WHERE seq = 2", "record 2: its content"},
		{"UPDATE audit SET detail = '{}' WHERE seq = 3", "record 3: its content"},
		/* moving the boundary between two fields */
		{"UPDATE audit SET actor = 'adaa', project = 'lpha' WHERE seq = 2", "record 2"},
		{"UPDATE audit SET hash = prev WHERE seq = 2", "record 2: its content"},
		{"UPDATE audit SET prev = hash WHERE seq = 2", "record 2: it does not follow"},
		{"DELETE FROM audit WHERE seq = 2", "records are missing"},
		{"DELETE FROM audit WHERE seq = 1", "those before are gone"},
		{"UPDATE audit SET seq = 9 WHERE seq = 3", "records are missing"},
	};
	for (size_t i = 0; i < ARRAY_LEN(edits); i++) {
		struct croft *c = open_croft();
		sql(c, "DELETE FROM audit");
		three(c);
		sql(c, edits[i].sql);
		problem_is(c, edits[i].says);
		end(c);
	}
}

static void test_access_audit__lists_by_filter(void)
{
	struct croft *c = open_croft();
	three(c);
	static const struct {
		const char *query;
		size_t n;
	} cases[] = {{"", 3}, {"?action=artifact.*", 2}, {"?action=key.revoke", 1},
		{"?actor=ada", 3}, {"?actor=eve", 0}, {"?subject=model/churn*", 2},
		{"?subject=model/churn%25", 0}, {"?subject=%27%20OR%201=1%20--", 0},
		{"?from=2999-01-01", 0}, {"?to=2999-01-01", 3}, {"?before=3", 2}, {"?limit=1", 1},
		{"?project=alpha", 3}, {"?project=beta", 0}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char target[200];
		snprintf(target, sizeof target, "/api/v1/audit%s", cases[i].query);
		size_t n = yyjson_arr_size(yyjson_obj_get(get_json(c, target), "records"));
		if (n != cases[i].n)
			FAIL("%s gives %zu, not %zu", target, n, cases[i].n);
	}
	yyjson_val *first = yyjson_arr_get_first(
		yyjson_obj_get(get_json(c, "/api/v1/audit?limit=1"), "records"));
	CHECK_INT(json_i64(first, "seq", 0), 3);
	CHECK_STR(json_str(yyjson_obj_get(first, "detail"), "why"), "\"old\"");
	CHECK_INT(get(c, "/api/v1/audit?limit=0")->status, 400);
	CHECK_INT(get(c, "/api/v1/audit?from=soon")->status, 400);
	end(c);
}

static void test_access_audit__refuses_what_is_no_record(void)
{
	struct croft *c = open_croft();
	struct tx *tx;
	CHECK_OK(db_begin(croft_db(c), TX_WRITE, &tx, &et), &et);
	CHECK_ERR(audit_add(tx, NULL, "Bad Action", S("x"), (struct str){0}, &et), ERR_INVALID);
	CHECK_ERR(audit_add(tx, NULL, "x.y", S("x"), S("{not json"), &et), ERR_INVALID);
	CHECK_ERR(audit_add(tx, NULL, "x.y", S("\xFF"), (struct str){0}, &et), ERR_INVALID);
	char *big = calloc(1, AUDIT_SUBJECT_MAX + 1);
	memset(big, 'a', AUDIT_SUBJECT_MAX + 1);
	CHECK_ERR(audit_add(tx, NULL, "x.y", str_mk(big, AUDIT_SUBJECT_MAX + 1), (struct str){0},
			  &et),
		ERR_TOO_LARGE);
	free(big);
	CHECK_OK(audit_add(tx, NULL, "x.y", S("fine"), (struct str){0}, &et), &et);
	db_rollback(tx); /* and with the change it is gone */
	CHECK_INT(json_i64(get_json(c, "/api/v1/audit/verify"), "records", 9), 0);
	end(c);
}

/* ---- exported files ---- */

static const char *write_file(struct str text)
{
	static char path[300];
	snprintf(path, sizeof path, "%s/export.jsonl", tap_tmpdir());
	CHECK_OK(os_write_atomic(path, text, &et), &et);
	return path;
}

static enum err verify(struct str text)
{
	struct audit_chain chain = {0};
	return audit_verify_file(write_file(text), &chain, &et);
}

static void test_access_audit__an_export_proves_itself_offline(void)
{
	struct croft *c = open_croft();
	three(c);
	struct answer *a = get(c, "/api/v1/audit/export");
	struct str all = buf_str(&a->body);
	struct audit_chain chain = {0};
	CHECK_OK(audit_verify_file(write_file(all), &chain, &et), &et);
	CHECK_INT(chain.n, 3);
	/* any one byte of any line changed, to another printable one, shows */
	char *copy = str_dup(all);
	for (size_t i = 0; i < all.n; i++) {
		size_t exported = str_find(all, S("\"exported\""));
		if (i >= exported)
			break;
		copy[i] = copy[i] == '1' ? '2' : '1';
		if (!verify(str_c(copy)))
			FAIL("changing byte %zu goes unnoticed: %.40s", i, copy + i);
		copy[i] = all.p[i];
	}
	/* so does every cut at the end, at every byte */
	for (size_t n = 0; n < all.n; n++)
		if (!verify(str_sub(all, 0, n)))
			FAIL("cut to %zu of %zu bytes it still passes", n, all.n);
	/* and a line taken out or doubled */
	struct str rest = all, line;
	struct buf without = {0}, twice = {0};
	for (int skip = 0; skip < 4; skip++) {
		int k = 0;
		buf_clear(&without), buf_clear(&twice);
		for (rest = all; str_next_line(&rest, &line); k++)
			for (int times = 0; times < 3; times++)
				if (times < 2 && (times == 0 || k == skip)) {
					buf_adds(&twice, line), buf_putc(&twice, '\n');
					if (k != skip)
						buf_adds(&without, line), buf_putc(&without, '\n');
				}
		/* without its first lines it is a shorter chain, which the caller is told */
		if (skip > 0)
			CHECK_ERR(verify(buf_str(&without)), ERR_CORRUPT);
		CHECK_ERR(verify(buf_str(&twice)), ERR_CORRUPT);
	}
	free(copy);
	buf_free(&without);
	buf_free(&twice);
	end(c);
}

static void test_access_audit__exports_in_parts(void)
{
	struct croft *c = open_croft();
	for (int i = 0; i < 1203; i++)
		add(c, "x.y", "s", "");
	struct answer *a = get(c, "/api/v1/audit/export?limit=1000");
	struct answer *b = get(c, "/api/v1/audit/export?after=1000&limit=1000");
	CHECK(str_find(buf_str(&a->body), S("{\"head\"")) == STR_NONE);
	buf_adds(&a->body, buf_str(&b->body));
	struct audit_chain chain = {0};
	CHECK_OK(audit_verify_file(write_file(buf_str(&a->body)), &chain, &et), &et);
	CHECK_INT(chain.n, 1203);
	/* when the last part is full, one that only has the head follows */
	struct answer *d = get(c, "/api/v1/audit/export?after=1203&limit=1000");
	struct audit_line l;
	struct arena *arena = arena_new(0);
	CHECK_OK(audit_line_parse(str_sub(buf_str(&d->body), 0, d->body.n - 1), arena, &l, &et),
		&et);
	CHECK(l.is_head && l.record.seq == 1203);
	CHECK(memcmp(l.record.hash, chain.head, SHA256_BYTES) == 0);
	arena_free(arena);
	end(c);
}

/* ---- many at once: one chain ---- */

static void *adder(void *arg)
{
	for (int i = 0; i < 50; i++)
		add(arg, "x.y", "parallel", "");
	return NULL;
}

static void test_access_audit__no_forks_under_contention(void)
{
	struct croft *c = open_croft();
	pthread_t t[4];
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		CHECK_OK(thread_start(&t[i], adder, c, "adder", &et), &et);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		pthread_join(t[i], NULL);
	yyjson_val *v = get_json(c, "/api/v1/audit/verify");
	CHECK(json_bool(v, "ok", false));
	CHECK_INT(json_i64(v, "records", 0), 200);
	end(c);
}

/* The encoding is written down; this value was computed from that text by tests' own Python. */
static void test_access_audit__the_encoding_is_fixed(void)
{
	struct audit_record r = {.seq = 7,
		.time_ms = 1770000000123,
		.actor = S("ada"),
		.project = S("alpha"),
		.action = S("key.add"),
		.subject = S("k\xC3\xA9y"),
		.detail = S("{}")};
	uint8_t hash[SHA256_BYTES];
	char hex[SHA256_HEX + 1];
	for (unsigned i = 0; i < 16; i++)
		r.actor_id.b[i] = (uint8_t)i;
	memset(r.prev, 0xAB, sizeof r.prev);
	audit_hash(&r, hash);
	hex_encode(hash, SHA256_BYTES, hex);
	CHECK_STR(str_c(hex), "045fb44b71be09cf93c31c6660ba66cd97d9151acc8c16d1882f902fd93cbeec");
}

TESTS(T(test_access_audit__an_unbroken_chain), T(test_access_audit__every_edit_of_a_row_shows),
	T(test_access_audit__lists_by_filter), T(test_access_audit__refuses_what_is_no_record),
	T(test_access_audit__an_export_proves_itself_offline),
	T(test_access_audit__exports_in_parts), T(test_access_audit__no_forks_under_contention),
	T(test_access_audit__the_encoding_is_fixed))
