/* The OpenAPI 3.1 document and the TypeScript types, both derived from the route rows. */
#include "module/module_int.h"

#include <stdlib.h>

static void schema_of(const char *shape, struct arena *a, struct jw *w)
{
	struct shape_node *s;
	if (shape && !shape_parse(shape, a, &s, NULL)) {
		shape_json_schema(s, w);
	} else {
		jw_obj(w);
		jw_end(w);
	}
}

static void parameter(
	struct jw *w, struct str name, const char *in, bool required, const struct shape_node *type)
{
	jw_obj(w);
	jw_kstr(w, "name", name);
	jw_kc(w, "in", in);
	jw_kbool(w, "required", required);
	jw_key(w, "schema");
	if (type) {
		shape_json_schema(type, w);
	} else {
		jw_obj(w);
		jw_kc(w, "type", "string");
		jw_end(w);
	}
	jw_end(w);
}

static void parameters(const struct route *r, struct arena *a, struct jw *w)
{
	jw_key(w, "parameters");
	jw_arr(w);
	for (const char *p = strchr(r->path, '{'); p; p = strchr(p + 1, '{')) {
		struct str name = str_mk(p + 1, strcspn(p + 1, "}."));
		parameter(w, name, "path", true, NULL);
	}
	struct shape_node *s;
	if (r->query && !shape_parse(r->query, a, &s, NULL))
		for (size_t i = 0; i < s->n_members; i++)
			parameter(w, s->members[i].name, "query", !s->members[i].optional,
				s->members[i].type);
	jw_end(w);
}

static void content(struct jw *w, const char *type, const char *shape, struct arena *a)
{
	jw_key(w, "content");
	jw_obj(w);
	jw_key(w, type);
	jw_obj(w);
	jw_key(w, "schema");
	schema_of(shape, a, w);
	jw_end(w);
	jw_end(w);
}

/* A body shape with a `file` member is a form. */
static const char *body_type(const char *shape)
{
	return strstr(shape, ": file") ? "multipart/form-data" : "application/json";
}

static void operation(const struct route *r, struct arena *a, struct jw *w)
{
	char method[8] = {0};
	const char *name = http_method_name(r->method);
	for (size_t i = 0; name[i] && i < 7; i++)
		method[i] = (char)(name[i] + 32);
	jw_key(w, method);
	jw_obj(w);
	jw_kc(w, "summary", r->summary);
	parameters(r, a, w);
	if (r->body) {
		jw_key(w, "requestBody");
		jw_obj(w);
		jw_kbool(w, "required", true);
		content(w, body_type(r->body), r->body, a);
		jw_end(w);
	}
	jw_key(w, "responses");
	jw_obj(w);
	jw_key(w, "200");
	jw_obj(w);
	jw_kc(w, "description", "Success");
	if (r->reply)
		content(w, "application/json", r->reply, a);
	jw_end(w);
	jw_key(w, "default");
	jw_obj(w);
	jw_kc(w, "description", "An error");
	content(w, "application/json", "Error", a);
	jw_end(w);
	jw_end(w);
	if (r->perm == PERM_PUBLIC) {
		jw_key(w, "security");
		jw_arr(w);
		jw_end(w);
	}
	jw_end(w);
}

static bool page_route(const struct route *r)
{
	return strcmp(r->path, "/{rest...}") == 0;
}

/* "{rest...}" is written "{rest}" in OpenAPI. */
static void key_path(struct jw *w, const char *path)
{
	struct buf b = {0};
	const char *dots = strstr(path, "...}");
	buf_add(&b, path, dots ? (size_t)(dots - path) : strlen(path));
	if (dots)
		buf_addc(&b, dots + 3);
	jw_key_str(w, buf_str(&b));
	buf_free(&b);
}

static void paths(const struct croft *c, struct arena *a, struct jw *w)
{
	for (size_t m = 0; m < c->n_modules; m++)
		for (size_t i = 0; i < c->modules[m]->n_routes; i++) {
			const struct route *r = &c->modules[m]->routes[i];
			bool first = !page_route(r);
			for (size_t k = 0; k < i && first; k++)
				first = strcmp(c->modules[m]->routes[k].path, r->path) != 0;
			if (!first)
				continue;
			key_path(w, r->path);
			jw_obj(w);
			for (size_t k = i; k < c->modules[m]->n_routes; k++)
				if (strcmp(c->modules[m]->routes[k].path, r->path) == 0)
					operation(&c->modules[m]->routes[k], a, w);
			jw_end(w);
		}
}

void croft_openapi(const struct croft *c, struct buf *out)
{
	struct arena *a = arena_new(16 << 20);
	if (!a)
		return;
	struct jw w = {.out = out};
	jw_obj(&w);
	jw_kc(&w, "openapi", "3.1.0");
	jw_key(&w, "info");
	jw_obj(&w);
	jw_kc(&w, "title", "Croft");
	jw_kc(&w, "version", CROFT_VERSION);
	jw_kc(&w, "description",
		"The API of one Croft server. Routes below /v1 follow the OpenAI API.");
	jw_key(&w, "license");
	jw_obj(&w);
	jw_kc(&w, "name", "Apache-2.0");
	jw_kc(&w, "identifier", "Apache-2.0");
	jw_end(&w);
	jw_end(&w);
	jw_key(&w, "security");
	jw_raw(&w, S("[{\"key\":[]},{}]"));
	jw_key(&w, "paths");
	jw_obj(&w);
	paths(c, a, &w);
	jw_end(&w);
	jw_key(&w, "components");
	jw_obj(&w);
	jw_key(&w, "securitySchemes");
	jw_raw(&w, S("{\"key\":{\"type\":\"http\",\"scheme\":\"bearer\"}}"));
	jw_key(&w, "schemas");
	jw_obj(&w);
	jw_key(&w, "Error");
	schema_of(
		"{ error: { code: string, message: string, type: string, param: string | null } }",
		a, &w);
	for (size_t m = 0; m < c->n_modules; m++)
		for (size_t i = 0; i < c->modules[m]->n_shapes; i++) {
			jw_key(&w, c->modules[m]->shapes[i].name);
			schema_of(c->modules[m]->shapes[i].type, a, &w);
		}
	jw_end(&w);
	jw_end(&w);
	jw_end(&w);
	if (!jw_done(&w))
		out->err = ERR_INTERNAL;
	arena_free(a);
}

static void ts_type(struct buf *out, const char *shape, struct arena *a)
{
	struct shape_node *s;
	if (shape && !shape_parse(shape, a, &s, NULL))
		shape_typescript(s, out);
	else
		buf_addc(out, "undefined");
}

void croft_typescript(const struct croft *c, struct buf *out)
{
	struct arena *a = arena_new(16 << 20);
	if (!a)
		return;
	buf_addc(out,
		"// Generated from the route tables by `croft api typescript`; do not edit.\n\n");
	for (size_t m = 0; m < c->n_modules; m++)
		for (size_t i = 0; i < c->modules[m]->n_shapes; i++) {
			buf_addf(out, "export type %s = ", c->modules[m]->shapes[i].name);
			ts_type(out, c->modules[m]->shapes[i].type, a);
			buf_addc(out, ";\n");
		}
	buf_addc(out, "\nexport interface Routes {\n");
	for (size_t m = 0; m < c->n_modules; m++)
		for (size_t i = 0; i < c->modules[m]->n_routes; i++) {
			const struct route *r = &c->modules[m]->routes[i];
			if (page_route(r))
				continue;
			buf_addf(out, "  /** %s. */\n  \"%s %s\": { query: ", r->summary,
				http_method_name(r->method), r->path);
			ts_type(out, r->query, a);
			buf_addc(out, "; body: ");
			ts_type(out, r->body, a);
			buf_addc(out, "; reply: ");
			ts_type(out, r->reply, a);
			buf_addc(out, " };\n");
		}
	buf_addc(out, "}\n");
	arena_free(a);
}
