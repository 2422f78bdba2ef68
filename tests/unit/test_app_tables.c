/* Walks every row of every module: what the tables promise must hold for all of them. */
#include "tap.h"
#include "app/app.h"
#include "module/module_int.h"

#include <ctype.h>
#include <stdlib.h>

static bool known_name(struct str name)
{
	static const char *const builtin[] = {"string", "int", "number", "boolean", "null",
		"object", "any", "id", "file", "Error"};
	for (size_t i = 0; i < ARRAY_LEN(builtin); i++)
		if (str_eq_c(name, builtin[i]))
			return true;
	for (size_t m = 0; m < app_n_modules; m++)
		for (size_t i = 0; i < app_modules[m]->n_shapes; i++)
			if (str_eq_c(name, app_modules[m]->shapes[i].name))
				return true;
	return false;
}

static void names_resolve(const struct shape_node *n, const char *where)
{
	if (n->kind == SHAPE_NAME && !known_name(n->name))
		FAIL("%s: there is no shape %.*s", where, STR_FMT(n->name));
	for (size_t i = 0; i < n->n_parts; i++)
		names_resolve(n->parts[i], where);
	for (size_t i = 0; i < n->n_members; i++)
		names_resolve(n->members[i].type, where);
}

static void shape_is_good(const char *shape, const char *where)
{
	if (!shape)
		return;
	struct arena *a = arena_new(1 << 20);
	struct errtext et;
	struct shape_node *n;
	if (shape_parse(shape, a, &n, &et))
		FAIL("%s: %s", where, et.msg);
	names_resolve(n, where);
	arena_free(a);
}

static void test_app_tables__routes(void)
{
	unsigned seen = 0;
	for (size_t m = 0; m < app_n_modules; m++) {
		const struct module *mod = app_modules[m];
		for (size_t i = 0; i < mod->n_shapes; i++)
			shape_is_good(mod->shapes[i].type, mod->shapes[i].name);
		for (size_t i = 0; i < mod->n_routes; i++, seen++) {
			const struct route *r = &mod->routes[i];
			if (r->perm == PERM_NONE || !r->fn || r->path[0] != '/' || !r->summary[0])
				FAIL("%s %s: the row is incomplete", mod->name, r->path);
			if (r->summary[strlen(r->summary) - 1] == '.')
				FAIL("%s: summaries have no full stop", r->path);
			shape_is_good(r->query, r->path);
			shape_is_good(r->body, r->path);
			shape_is_good(r->reply, r->path);
			/* signing in is the one thing that nobody has credentials for */
			if (r->method != HTTP_GET && r->perm == PERM_PUBLIC &&
				strcmp(r->path, "/api/v1/session") != 0)
				FAIL("%s: changes state and is public", r->path);
			for (size_t o = 0; o < app_n_modules; o++)
				for (size_t k = 0; k < app_modules[o]->n_routes; k++) {
					const struct route *other = &app_modules[o]->routes[k];
					if (other != r && other->method == r->method &&
						strcmp(other->path, r->path) == 0)
						FAIL("%s has two rows", r->path);
				}
		}
	}
	CHECK(seen >= 15);
}

static void test_app_tables__commands(void)
{
	for (size_t m = 0; m < app_n_modules; m++)
		for (size_t i = 0; i < app_modules[m]->n_commands; i++) {
			const struct command *c = &app_modules[m]->commands[i];
			if (!c->run || !c->help || !c->help[0] || !c->args || !isupper(c->help[0]))
				FAIL("%s: the row is incomplete", c->name);
			for (size_t o = 0; o < c->n_options; o++)
				if (!c->options[o].name || !c->options[o].help ||
					strcmp(c->options[o].name, "json") == 0)
					FAIL("%s: option %zu", c->name, o);
		}
}

static void test_app_tables__settings_and_documents(void)
{
	struct croft *c;
	struct errtext et = {0};
	struct croft_options o = {.modules = app_modules,
		.n_modules = app_n_modules,
		.home = tap_tmpdir(),
		.settings_only = true};
	CHECK_OK(croft_open(&o, &c, &et), &et); /* every default fits its own type and bounds */
	struct buf b = {0};
	croft_openapi(c, &b);
	CHECK_INT(b.err, OK);
	yyjson_doc *doc;
	CHECK_OK(json_parse(buf_str(&b), &doc, &et), &et);
	CHECK_STR(json_str(yyjson_doc_get_root(doc), "openapi"), "3.1.0");
	CHECK(yyjson_obj_size(yyjson_obj_get(yyjson_doc_get_root(doc), "paths")) >= 10);
	yyjson_doc_free(doc);
	buf_free(&b);
	croft_close(c);
}

/* The page's types are the tables' types. */
static void test_app_tables__typescript_is_current(void)
{
	const char *path = tap_source("web/src/types.gen.ts");
	struct croft *c;
	struct errtext et = {0};
	struct croft_options o = {.modules = app_modules,
		.n_modules = app_n_modules,
		.home = tap_tmpdir(),
		.settings_only = true};
	CHECK_OK(croft_open(&o, &c, &et), &et);
	struct buf want = {0}, have = {0};
	croft_typescript(c, &want);
	CHECK_OK(os_read_file(path, 0, &have, &et), &et);
	if (!str_eq(buf_str(&want), buf_str(&have)))
		FAIL("web/src/types.gen.ts is not current: croft api typescript > "
		     "web/src/types.gen.ts");
	buf_free(&want);
	buf_free(&have);
	croft_close(c);
}

TESTS(T(test_app_tables__routes), T(test_app_tables__commands),
	T(test_app_tables__settings_and_documents), T(test_app_tables__typescript_is_current))
