/* Vector stores without a model: what bodies become, markers taken out of
 * an answer, and rows. */
#include "access/access.h"
#include "api/responses.h"
#include "base/clock.h"
#include "tap.h"

#include <stdio.h>
#include <stdlib.h>

static struct errtext et;

/* ---- bodies ---- */

#define FILE1 "file-00000000000000000000000000000001"
#define STATIC(size, overlap)                                              \
	"{\"type\":\"static\",\"static\":{\"max_chunk_size_tokens\":" size \
	",\"chunk_overlap_tokens\":" overlap "}}"

static void test_api_vstores__chunking(void)
{
	static const struct {
		const char *strategy;
		int64_t size, overlap; /* size -1: refused */
	} rows[] = {
		{"null", 0, 0},
		{"{\"type\":\"auto\"}", 0, 0},
		{STATIC("100", "0"), 100, 0},
		{STATIC("100", "50"), 100, 50},
		{STATIC("4096", "2048"), 4096, 2048},
		{STATIC("800", "400"), 800, 400},
		{STATIC("99", "0"), -1, 0},
		{STATIC("4097", "0"), -1, 0},
		{STATIC("101", "51"), -1, 0},
		{STATIC("200", "-1"), -1, 0},
		{STATIC("\"200\"", "0"), -1, 0},
		{"{\"type\":\"static\"}", -1, 0},
		{"{\"type\":\"dynamic\"}", -1, 0},
		{"7", -1, 0},
	};
	struct arena *a = arena_new(0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char body[512];
		struct vfile_new f;
		struct api_error x = {0};
		snprintf(body, sizeof body, "{\"file_id\":\"" FILE1 "\",\"chunking_strategy\":%s}",
			rows[i].strategy);
		enum err e = vfile_parse(str_c(body), a, &f, &x);
		if ((rows[i].size < 0) != (e != OK))
			FAIL("%s: %s", body, x.et.msg);
		if (e) {
			CHECK(str_starts(str_c(x.param), S("chunking_strategy")));
			continue;
		}
		CHECK_INT(f.chunk_tokens, rows[i].size);
		CHECK_INT(f.chunk_overlap, rows[i].overlap);
	}
	arena_free(a);
}

static void test_api_vstores__batches(void)
{
	struct arena *a = arena_new(0);
	struct api_error x = {0};
	struct vfile_new *f;
	size_t n = 0;
	CHECK_OK(vbatch_parse(S("{\"file_ids\":[\"" FILE1 "\",\"" FILE1
				"\"],\"attributes\":{\"a\":1},\"chunking_strategy\":" STATIC(
					"300", "20") "}"),
			 a, &f, &n, &x),
		&x.et);
	CHECK_INT(n, 2);
	CHECK_STR(f[1].attributes, "{\"a\":1}");
	CHECK_INT(f[1].chunk_tokens, 300);
	CHECK_OK(vbatch_parse(S("{\"attributes\":{\"a\":1},\"files\":[{\"file_id\":\"" FILE1
				"\"},{\"file_id\":\"" FILE1 "\",\"attributes\":{\"b\":true}}]}"),
			 a, &f, &n, &x),
		&x.et);
	CHECK_STR(f[0].attributes, "{}"); /* each file says its own */
	CHECK_STR(f[1].attributes, "{\"b\":true}");
	arena_free(a);
}

static void test_api_vstores__searches(void)
{
	struct arena *a = arena_new(0);
	struct api_error x = {0};
	struct vsearch q;
	CHECK_OK(vsearch_parse(S("{\"query\":\"a\"}"), a, &q, &x), &x.et);
	CHECK(q.n_queries == 1 && q.most == 10 && q.method == RAG_HYBRID && !q.filter);
	CHECK_OK(
		vsearch_parse(S("{\"query\":[\"a\",\"b\"],\"max_num_results\":50,"
				"\"ranking_options\":{\"ranker\":\"none\",\"score_threshold\":0.5,"
				"\"hybrid_search\":{\"embedding_weight\":3,\"text_weight\":1.5}}}"),
			a, &q, &x),
		&x.et);
	CHECK(q.n_queries == 2 && q.most == 50 && q.threshold == 0.5 && q.balance == 2);
	CHECK(!q.rewrite && str_eq_c(q.ranker, "none"));
	CHECK_OK(vsearch_parse(S("{\"query\":\"a\",\"rewrite_query\":true,\"ranking_options\":{"
				 "\"ranker\":\"my-reranker\"}}"),
			 a, &q, &x),
		&x.et);
	CHECK(q.rewrite && str_eq_c(q.ranker, "my-reranker") && !q.rerank);
	CHECK_ERR(
		vsearch_parse(S("{\"query\":\"a\",\"ranking_options\":{\"ranker\":7}}"), a, &q, &x),
		ERR_INVALID);
	CHECK_STR(str_c(x.param), "ranking_options.ranker");
	CHECK_OK(vsearch_parse(S("{\"query\":\"a\",\"ranking_options\":{\"hybrid_search\":{"
				 "\"embedding_weight\":0,\"text_weight\":1}}}"),
			 a, &q, &x),
		&x.et);
	CHECK(q.method == RAG_BM25);
	arena_free(a);
}

/* cond.h decides filters; here it is said where in the body they are wrong. */
static void test_api_vstores__filters(void)
{
	static const struct {
		const char *filter, *param; /* param NULL: taken */
	} rows[] = {
		{"{\"type\":\"eq\",\"key\":\"a.b\",\"value\":1}", NULL},
		{"{\"type\":\"and\",\"filters\":[{\"type\":\"in\",\"key\":\"a\",\"value\":[1,\"x\"]"
		 "}]}",
			NULL},
		{"7", "filters"},
		{"{\"type\":\"like\",\"key\":\"a\",\"value\":1}", "filters"},
		{"{\"type\":\"gt\",\"key\":\"a\",\"value\":true}", "filters.value"},
		{"{\"type\":\"or\",\"filters\":[{\"type\":\"eq\",\"key\":\"a\",\"value\":1},"
		 "{\"type\":\"eq\",\"key\":\"a\",\"value\":{}}]}",
			"filters.filters[1].value"},
	};
	struct arena *a = arena_new(0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct api_error x = {0};
		struct vsearch q;
		char body[512];
		snprintf(body, sizeof body, "{\"query\":\"a\",\"filters\":%s}", rows[i].filter);
		enum err e = vsearch_parse(str_c(body), a, &q, &x);
		if (!rows[i].param != !e)
			FAIL("%s: %s", body, x.et.msg);
		if (e)
			CHECK_STR(str_c(x.param), rows[i].param);
		else
			CHECK(q.filter != NULL);
	}
	arena_free(a);
}

/* ---- the tool ---- */

static void test_api_vstores__tool(void)
{
#define TOOL                                                                                       \
	"{\"type\":\"file_search\",\"vector_store_ids\":[\"vs_00000000000000000000000000000001\"]" \
	"}"
#define FUNCTION "{\"type\":\"function\",\"name\":\"f\"}"
	static const struct {
		const char *tools, *choice;
		bool search;
		enum tool_choice functions;
	} rows[] = {
		{TOOL, "\"auto\"", true, TOOLS_NONE},
		{TOOL, "\"required\"", true, TOOLS_NONE},
		{TOOL, "{\"type\":\"file_search\"}", true, TOOLS_NONE},
		{TOOL, "\"none\"", false, TOOLS_NONE},
		{FUNCTION "," TOOL, "\"auto\"", true, TOOLS_AUTO},
		{TOOL "," FUNCTION, "\"required\"", true, TOOLS_AUTO},
		{TOOL "," FUNCTION, "{\"type\":\"function\",\"name\":\"f\"}", false, TOOLS_NAMED},
		{TOOL "," FUNCTION,
			"{\"type\":\"allowed_tools\",\"mode\":\"auto\",\"tools\":[" FUNCTION "]}",
			false, TOOLS_AUTO},
		{TOOL "," FUNCTION,
			"{\"type\":\"allowed_tools\",\"mode\":\"auto\",\"tools\":[{\"type\":"
			"\"file_search\"}]}",
			true, TOOLS_NONE},
		{FUNCTION, "\"required\"", false, TOOLS_REQUIRED},
	};
	struct arena *a = arena_new(0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char body[1024];
		struct response_params p;
		struct api_error x = {0};
		snprintf(body, sizeof body, "{\"input\":\"x\",\"tools\":[%s],\"tool_choice\":%s}",
			rows[i].tools, rows[i].choice);
		if (response_parse(str_c(body), false, a, &p, &x))
			FAIL("%s: %s", body, x.et.msg);
		if (p.chat.search != rows[i].search || p.chat.tool_choice != rows[i].functions)
			FAIL("%s: search %d, functions %d", body, p.chat.search,
				(int)p.chat.tool_choice);
	}
	arena_free(a);
}

/* ---- markers ---- */

static void strip(struct str text, unsigned most, size_t piece, struct buf *out)
{
	struct marks m = {.most = most};
	for (size_t at = 0; at < text.n; at += piece)
		marks_add(&m, str_sub(text, at, at + piece), out);
	marks_end(&m, out);
}

static void test_api_vstores__markers(void)
{
	static const char *const rows[][2] = {
		{"Three months [1].", "Three months."},
		{"Three months. [1] Next [2][3].", "Three months. Next."},
		{"[1] First", "First"},
		{"a\n[2]  b", "a\nb"},
		{"a [1, 2] b [1;3].", "a b."},
		{"a [4] b", "a [4] b"},
		{"a [0] b [] c [,] d [1 2]", "a [0] b [] c [,] d [1 2]"},
		{"see [x] and [12", "see [x] and [12"},
		{"`v[1]` and ``` a[2] ``` x[1]", "`v[1]` and ``` a[2] ``` x"},
		{"gaps   stay  here ", "gaps   stay  here "},
		{"[[1]]", "[]"},
		{"", ""},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t piece = 1; piece < 8; piece++) {
			struct buf b = {0};
			strip(str_c(rows[i][0]), 3, piece, &b);
			if (!str_eq_c(buf_str(&b), rows[i][1]))
				FAIL("%s: \"%s\" in pieces of %zu", rows[i][0], buf_c(&b), piece);
			buf_free(&b);
		}
}

/* ---- rows ---- */

static const struct module *const modules[] = {&access_module, &files_module, &vstores_module};

static void test_api_vstores__pages(void)
{
	struct croft *c;
	struct croft_options o = {
		.modules = modules, .n_modules = ARRAY_LEN(modules), .home = tap_tmpdir()};
	struct arena *a = arena_new(0);
	struct vstore v = {.project = S("p"),
		.name = S("n"),
		.description = S(""),
		.metadata = S("{}"),
		.created_ms = 1,
		.active_ms = clock_unix_ms()};
	struct id ids[5];
	struct vstore *got;
	size_t n;
	bool more;
	CHECK_OK(croft_open(&o, &c, &et), &et);
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		v.id = ids[i] = id_new();
		CHECK_OK(vstore_add(c, &v, NULL, 0, &et), &et);
	}
	struct vpage page = {.limit = 2};
	CHECK_OK(vstore_list(c, S("p"), &page, a, &got, &n, &more, &et), &et);
	CHECK(n == 2 && more && !memcmp(&got[0].id, &ids[4], 16));
	page.edge = ids[1];
	CHECK_OK(vstore_list(c, S("p"), &page, a, &got, &n, &more, &et), &et);
	CHECK(n == 1 && !more && !memcmp(&got[0].id, &ids[0], 16));
	page.backwards = true; /* those just before it, in the same order */
	CHECK_OK(vstore_list(c, S("p"), &page, a, &got, &n, &more, &et), &et);
	CHECK(n == 2 && more && !memcmp(&got[0].id, &ids[3], 16) &&
		!memcmp(&got[1].id, &ids[2], 16));
	CHECK_OK(vstore_list(c, S("q"), &page, a, &got, &n, &more, &et), &et);
	CHECK(!n && !more);
	CHECK_ERR(vstore_get(c, S("q"), ids[0], a, &v, &et), ERR_NOT_FOUND);
	croft_close(c);
	arena_free(a);
}

TESTS(T(test_api_vstores__chunking), T(test_api_vstores__batches), T(test_api_vstores__searches),
	T(test_api_vstores__filters), T(test_api_vstores__tool), T(test_api_vstores__markers),
	T(test_api_vstores__pages))
