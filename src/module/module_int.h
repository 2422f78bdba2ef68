/* What the files of this folder share; not for others. */
#ifndef MODULE_INT_H
#define MODULE_INT_H
#include "module/module.h"

struct value {
	const struct setting *row;
	struct str text; /* owned by the arena */
	int64_t number;
	const char *origin; /* owned by the arena */
};

struct settings {
	struct arena *arena;
	struct value *values;
	size_t n;
};

/* Reads every layer. `yaml` is the text of croft.yaml or {NULL,0}; `getenv_fn` is getenv or a
 * test's own. Errors name the file and line, the variable or the flag, and what is wrong. */
enum err settings_load(struct settings *s, const struct module *const *modules, size_t n_modules,
	struct str yaml, const char *yaml_path, char *(*getenv_fn)(const char *),
	const struct http_pair *flags, size_t n_flags, struct errtext *et) MUST_CHECK;
void settings_release(struct settings *s);
const struct value *settings_get(const struct settings *s, const char *name);
/* "rag.top_k" -> "CROFT_RAG_TOP_K" */
void settings_env_name(const char *name, struct buf *out);

struct croft {
	struct settings settings;
	char *home;
	char *config; /* the file that was read, or NULL */
	int lock_fd;
	struct db *db;
	struct blobs *blobs;
	struct cancel stopping;
	const struct module *const *modules;
	size_t n_modules;
	void **states;
	size_t n_inited;
	uint64_t opened_ns;
	authenticate_fn authenticate;
	struct route_metrics *route_metrics;
	secret_fn secrets; /* how secret:NAME is read; NULL: not yet */
};

/* The settings of the house itself: listen, stores, limits, log. */
extern const struct setting house_settings[];
extern const size_t n_house_settings;

/* ---- shapes: the type notation of route rows ---- */

enum shape_kind { SHAPE_NAME, SHAPE_LITERAL, SHAPE_OBJECT, SHAPE_ARRAY, SHAPE_UNION, SHAPE_BOTH };

struct shape_node {
	enum shape_kind kind;
	struct str name;              /* NAME: "string", "Hit"; LITERAL: the text without quotes */
	struct shape_member *members; /* OBJECT */
	size_t n_members;
	struct shape_node **parts; /* ARRAY: one; UNION, BOTH */
	size_t n_parts;
};

struct shape_member {
	struct str name;
	bool optional;
	struct shape_node *type;
};

enum err shape_parse(
	const char *text, struct arena *a, struct shape_node **out, struct errtext *et) MUST_CHECK;
void shape_json_schema(const struct shape_node *s, struct jw *w);
void shape_typescript(const struct shape_node *s, struct buf *out);

/* ---- counts of routes ---- */

struct route_metrics *route_metrics_new(const struct module *const *modules, size_t n);
void route_metrics_free(struct route_metrics *m); /* accepts NULL */
void route_metrics_add(struct croft *c, const struct route *r, int status, uint64_t ns);

/* ---- router ---- */

/* The row for a path; *allowed gets the methods that the path knows, when none fits. Fills
 * rq->params. */
const struct route *route_find(const struct croft *c, struct http_request *rq, unsigned *allowed);

#endif
