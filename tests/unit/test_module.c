#include "tap.h"
#include "module/module_int.h"

#include <stdlib.h>

static const struct setting some_settings[] = {
	{"rag.top_k", SET_INT, "8", "Passages", 1, 100},
	{"rag.enabled", SET_BOOL, "true", "On", 0, 0},
	{"hub.token", SET_SECRET, "", "Token", 0, 0},
	{"net.patience", SET_DURATION, "2s", "Patience", 0, 60000},
};
static const struct module with_settings = {
	.name = "some", .settings = some_settings, .n_settings = ARRAY_LEN(some_settings)};
static const struct module *const module_list[] = {&with_settings};

static const char *env_name, *env_value;
static char *fake_env(const char *name)
{
	return env_name && strcmp(name, env_name) == 0 ? (char *)env_value : NULL;
}

static enum err load(struct settings *s, const char *yaml, const struct http_pair *flags, size_t n,
	struct errtext *et)
{
	return settings_load(s, module_list, 1, str_c(yaml), "croft.yaml", fake_env, flags, n, et);
}

static void test_module_settings__layers_and_origins(void)
{
	struct settings s;
	struct errtext et = {0};
	const char *yaml = "# mine\nlisten: 127.0.0.1:9000\nrag:\n  top_k: 5\n  enabled: no\n";
	CHECK_OK(load(&s, yaml, NULL, 0, &et), &et);
	CHECK_INT(settings_get(&s, "rag.top_k")->number, 5);
	CHECK_STR(str_c(settings_get(&s, "rag.top_k")->origin), "croft.yaml:4");
	CHECK_INT(settings_get(&s, "rag.enabled")->number, 0);
	CHECK_INT(settings_get(&s, "net.patience")->number, 2000);
	CHECK_STR(str_c(settings_get(&s, "net.patience")->origin), "default");
	settings_release(&s);
	env_name = "CROFT_RAG_TOP_K";
	env_value = "6";
	CHECK_OK(load(&s, yaml, NULL, 0, &et), &et);
	CHECK_INT(settings_get(&s, "rag.top_k")->number, 6);
	CHECK_STR(str_c(settings_get(&s, "rag.top_k")->origin), "CROFT_RAG_TOP_K");
	settings_release(&s);
	struct http_pair flag = {S("rag.top_k"), S("7")};
	CHECK_OK(load(&s, yaml, &flag, 1, &et), &et);
	CHECK_INT(settings_get(&s, "rag.top_k")->number, 7);
	CHECK_STR(str_c(settings_get(&s, "rag.top_k")->origin), "--rag-top-k");
	settings_release(&s);
}

static void test_module_settings__bad_input_names_the_place(void)
{
	static const struct {
		const char *yaml, *says;
	} cases[] = {
		{"rag:\n  topk: 5\n", "did you mean rag.top_k"},
		{"rag:\n  top_k: many\n", "croft.yaml:2"},
		{"rag:\n  top_k: 5000\n", "from 1 to 100"},
		{"- a\n- b\n", "a list"},
		{"just text", "must be a mapping"},
		{"a: &x 1\nb: *x\n", "no setting 'a'"},
		{"rag: {top_k: *x}\n", "alias"},
		{"rag: [1, 2]\n", "a list"},
		{"listen: \"x\n", "not YAML"},
		{"a: {b: {c: {d: {e: {f: {g: {h: {i: 1}}}}}}}}\n", "too deep"},
		{"hub:\n  token: \"a\\0b\"\n", "***"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct settings s;
		struct errtext et = {0};
		CHECK_ERR(load(&s, cases[i].yaml, NULL, 0, &et), ERR_INVALID);
		if (!strstr(et.msg, cases[i].says))
			FAIL("case %zu says \"%s\"", i, et.msg);
		settings_release(&s);
	}
}

static void schema_is(const char *shape, const char *want_schema, const char *want_ts)
{
	struct arena *a = arena_new(1 << 20);
	struct shape_node *n;
	struct errtext et = {0};
	CHECK_OK(shape_parse(shape, a, &n, &et), &et);
	struct buf b = {0};
	struct jw w = {.out = &b};
	shape_json_schema(n, &w);
	CHECK(jw_done(&w));
	CHECK_STR(buf_str(&b), want_schema);
	buf_clear(&b);
	shape_typescript(n, &b);
	CHECK_STR(buf_str(&b), want_ts);
	buf_free(&b);
	arena_free(a);
}

static void test_module_shape__schema_and_typescript(void)
{
	schema_is("string", "{\"type\":\"string\"}", "string");
	schema_is(
		"\"a\" | \"b\"", "{\"type\":\"string\",\"enum\":[\"a\",\"b\"]}", "(\"a\" | \"b\")");
	schema_is("{ q, k?: int /* how many */, hits: Hit[] }",
		"{\"type\":\"object\",\"properties\":{\"q\":{\"type\":\"string\"},\"k\":{\"type\":"
		"\"integer\"},"
		"\"hits\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/components/schemas/Hit\"}}},"
		"\"required\":[\"q\",\"hits\"]}",
		"{ q: string; k?: number; hits: (Hit)[] }");
	schema_is("(Hit & { n: int })[] | null",
		"{\"anyOf\":[{\"type\":\"array\",\"items\":{\"allOf\":[{\"$ref\":"
		"\"#/components/schemas/"
		"Hit\"},{\"type\":\"object\",\"properties\":{\"n\":{\"type\":"
		"\"integer\"}},\"required\":[\"n\"]}]}},{\"type\":\"null\"}]}",
		"(((Hit & { n: number }))[] | null)");
	static const char *const bad[] = {"", "{", "{a:}", "a b", "a[", "\"a", "{a b}", "|", "a |",
		"((((((((((((((((((((((((((((((((((a))))))))))))))))))))))))))))))))))"};
	struct arena *a = arena_new(1 << 20);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct shape_node *n;
		CHECK_ERR(shape_parse(bad[i], a, &n, NULL), ERR_INVALID);
	}
	arena_free(a);
}

static void nothing(struct croft *c, struct http_request *rq, struct http_response *rs)
{
}

static const struct route some_routes[] = {
	{HTTP_GET, "/a/{id}", nothing, PERM_RUN_READ, "One", NULL, NULL, NULL, 0},
	{HTTP_DELETE, "/a/{id}", nothing, PERM_RUN_WRITE, "Delete", NULL, NULL, NULL, 0},
	{HTTP_GET, "/a/fixed", nothing, PERM_RUN_READ, "Fixed", NULL, NULL, NULL, 0},
	{HTTP_GET, "/a/{id}/b", nothing, PERM_RUN_READ, "Below", NULL, NULL, NULL, 0},
	{HTTP_GET, "/m/{name...}", nothing, PERM_RUN_READ, "Rest", NULL, NULL, NULL, 0},
	{HTTP_POST, "/p", nothing, PERM_RUN_WRITE, "Post", NULL, NULL, NULL, 0},
	{HTTP_GET, "/{rest...}", nothing, PERM_PUBLIC, "Page", NULL, NULL, NULL, 0},
};
static const struct module with_routes = {
	.name = "r", .routes = some_routes, .n_routes = ARRAY_LEN(some_routes)};
static const struct module *const route_modules[] = {&with_routes};

static const struct route *find(
	enum http_method m, const char *path, struct http_request *rq, unsigned *allowed)
{
	struct croft c = {.modules = route_modules, .n_modules = 1};
	*rq = (struct http_request){.method = m, .path = str_c(path)};
	return route_find(&c, rq, allowed);
}

static void test_module_router__rows(void)
{
	struct http_request rq;
	unsigned allowed;
	CHECK(find(HTTP_GET, "/a/x1", &rq, &allowed) == &some_routes[0]);
	CHECK_STR(http_param(&rq, "id"), "x1");
	CHECK(find(HTTP_DELETE, "/a/x1", &rq, &allowed) == &some_routes[1]);
	CHECK(find(HTTP_GET, "/a/fixed", &rq, &allowed) == &some_routes[2]);
	CHECK(find(HTTP_GET, "/a/x/b", &rq, &allowed) == &some_routes[3]);
	CHECK_STR(http_param(&rq, "id"), "x");
	CHECK(find(HTTP_GET, "/m/org/name:1", &rq, &allowed) == &some_routes[4]);
	CHECK_STR(http_param(&rq, "name"), "org/name:1");
	CHECK(find(HTTP_HEAD, "/a/x1", &rq, &allowed) == &some_routes[0]);
	CHECK(!find(HTTP_PUT, "/a/x1", &rq, &allowed));
	CHECK_INT(allowed, HTTP_GET | HTTP_DELETE);
	CHECK(!find(HTTP_GET, "/p", &rq, &allowed)); /* 405, not the page */
	CHECK_INT(allowed, HTTP_POST);
	CHECK(find(HTTP_GET, "/", &rq, &allowed) == &some_routes[6]);
	CHECK(find(HTTP_GET, "/a//b", &rq, &allowed) == &some_routes[6]);
}

/* ---- /p/{project} ---- */

static void say_project(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	http_reply(rs, 200, "text/plain", project_of(rq));
}

static const struct route project_routes[] = {
	{HTTP_GET, "/api/x", say_project, PERM_RUN_READ, "X", NULL, NULL, NULL, 0},
	{HTTP_GET, "/{rest...}", say_project, PERM_PUBLIC, "Page", NULL, NULL, NULL, 0},
};
static const struct module with_project = {
	.name = "p", .routes = project_routes, .n_routes = ARRAY_LEN(project_routes)};
static const struct module *const project_modules[] = {&with_project};

struct said {
	int status;
	struct buf body;
};
static void said_head(void *ctx, int status, const struct http_pair *h, size_t n)
{
	((struct said *)ctx)->status = status;
}
static enum err said_data(void *ctx, struct str data)
{
	buf_adds(&((struct said *)ctx)->body, data);
	return OK;
}

static void test_module_router__a_project_in_front_of_any_path(void)
{
	static const struct {
		const char *path, *header;
		int status;
		const char *says;
	} cases[] = {
		{"/api/x", NULL, 200, "default"}, {"/p/alpha/api/x", NULL, 200, "alpha"},
		{"/api/x", "beta", 200, "beta"}, {"/p/alpha/api/x", "alpha", 200, "alpha"},
		{"/p/alpha/api/x", "beta", 400, NULL}, {"/p//api/x", NULL, 400, NULL},
		{"/p/alpha", NULL, 200, "default"},              /* the page: public, nobody asks */
		{"/p/alpha/p/beta/api/x", NULL, 200, "default"}, /* taken off once: no such API */
	};
	struct croft *c;
	struct errtext et = {0};
	struct croft_options o = {.modules = project_modules,
		.n_modules = 1,
		.home = tap_tmpdir(),
		.settings_only = true};
	CHECK_OK(croft_open(&o, &c, &et), &et);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct said said = {0};
		struct http_local to = {said_head, said_data, &said};
		struct http_pair header = {S("x-croft-project"), str_c(cases[i].header)};
		CHECK_OK(http_local_run(croft_handle, c, HTTP_GET, str_c(cases[i].path), &header,
				 cases[i].header ? 1 : 0, (struct str){0}, NULL, &to, &et),
			&et);
		if (said.status != cases[i].status)
			FAIL("%s: %d", cases[i].path, said.status);
		if (cases[i].says)
			CHECK_STR(buf_str(&said.body), cases[i].says);
		buf_free(&said.body);
	}
	croft_close(c);
}

TESTS(T(test_module_settings__layers_and_origins),
	T(test_module_settings__bad_input_names_the_place),
	T(test_module_shape__schema_and_typescript), T(test_module_router__rows),
	T(test_module_router__a_project_in_front_of_any_path))
