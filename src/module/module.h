/* A capability is a struct of tables. Each folder of core and capabilities exports one
 * `const struct module foo_module`; app/modules.c lists them in floor order; nothing else names
 * a feature. Router, permission check, OpenAPI document, TypeScript types, command help,
 * completion and the settings page are derived from the rows.
 *
 * To add a route, command, setting or migration: one row. To add a module: its folder, one line
 * in app/modules.c.
 *
 * The instance is `struct croft`: made by croft_open (data directory, settings, stores, then each
 * module's init in order), ended by croft_close (reverse order). */
#ifndef MODULE_MODULE_H
#define MODULE_MODULE_H
#include "base/thread.h"
#include "net/http.h"
#include "store/blob.h"
#include "store/db.h"

struct croft;
struct cmd;

/* ---- settings: default < croft.yaml < environment < flags ---- */

enum setting_type { SET_TEXT, SET_INT, SET_BYTES, SET_DURATION, SET_BOOL, SET_SECRET };

struct setting {
	const char *name; /* "rag.top_k": croft.yaml key path; CROFT_RAG_TOP_K; --rag-top-k */
	enum setting_type type;
	const char *value; /* the default, as text */
	const char *help;
	int64_t min, max; /* SET_INT, SET_BYTES, SET_DURATION (ms); both 0: no bounds */
};

struct str setting_text(const struct croft *c, const char *name);
int64_t setting_int(const struct croft *c, const char *name); /* INT, BYTES, DURATION (ms), BOOL */
static inline bool setting_bool(const struct croft *c, const char *name)
{
	return setting_int(c, name) != 0;
}

/* ---- routes ---- */

/* Permissions; a route without one does not compile into the table check. PERM_PUBLIC: anybody. */
enum perm { PERM_NONE, PERM_PUBLIC, PERM_READ, PERM_WRITE, PERM_ADMIN };

typedef void (*route_fn)(struct croft *c, struct http_request *rq, struct http_response *rs);

struct route {
	enum http_method method;
	const char *path; /* "/api/v1/documents/{id}" */
	route_fn fn;
	enum perm perm;
	const char *summary; /* a sentence, for the OpenAPI document */
	/* Shapes, in TypeScript's type notation: "{ query: string, k?: integer, filters?: Filter
	 * }". Named types come from the module's `shapes`. NULL: none. */
	const char *query, *body, *reply;
	size_t body_max; /* bytes; 0: the setting http.body_max */
};

struct shape {
	const char *name, *type; /* "Citation", "{ n: integer, document: string, ... }" */
};

/* ---- commands ---- */

struct option {
	const char *name;  /* "json" -> --json */
	char letter;       /* 0: none */
	const char *value; /* "N"; NULL: a flag */
	const char *help;
};

typedef enum err (*command_fn)(struct cmd *cmd, struct errtext *et);

struct command {
	const char *name; /* "ingest", "models" or two words: "config show" */
	command_fn run;
	const char *args; /* "PATH...", shown in help; "" none */
	const struct option *options;
	size_t n_options;
	const char *help;    /* one line */
	const char *details; /* paragraphs and an example; may be NULL */
};

/* ---- the module ---- */

struct module {
	const char *name;
	const struct migration *migrations;
	size_t n_migrations;
	const struct route *routes;
	size_t n_routes;
	const struct shape *shapes;
	size_t n_shapes;
	const struct command *commands;
	size_t n_commands;
	const struct setting *settings;
	size_t n_settings;
	/* State of one instance: init makes it (croft_set_state), stop frees it. start is called
	 * when a server is about to listen, or not at all. All may be NULL. */
	enum err (*init)(struct croft *c, struct errtext *et);
	enum err (*start)(struct croft *c, struct errtext *et);
	void (*stop)(struct croft *c);
	/* Not ready yet: ERR_NOT_READY and why; asked by /readyz. NULL: always ready. */
	enum err (*ready)(struct croft *c, struct errtext *et);
	/* Appends Prometheus text lines for /metrics. */
	void (*metrics)(struct croft *c, struct buf *out);
	/* Appends members to the object of GET /api/v1/status: "documents": 12. */
	void (*status)(struct croft *c, struct jw *w);
};

#define TABLE(t) .t = t, .n_##t = ARRAY_LEN(t)

/* ---- the instance ---- */

struct croft_options {
	const struct module *const *modules;
	size_t n_modules;
	const char *home;   /* NULL: CROFT_HOME, else ~/.local/share/croft */
	const char *config; /* NULL: CROFT_CONFIG, else ./croft.yaml, else home/croft.yaml */
	const struct http_pair *flags; /* setting name, value */
	size_t n_flags;
	bool settings_only; /* do not open the stores */
};

/* ERR_BUSY when another process has the data directory open (a running server: use its API). */
enum err croft_open(
	const struct croft_options *o, struct croft **out, struct errtext *et) MUST_CHECK;
void croft_close(struct croft *c);

const char *croft_home(const struct croft *c);
const char *croft_config_file(const struct croft *c); /* NULL: none was read */
struct db *croft_db(const struct croft *c);
struct blobs *croft_blobs(const struct croft *c);
const struct cancel *croft_stopping(const struct croft *c); /* set when the instance is to end */
void croft_set_state(struct croft *c, const struct module *m, void *state);
void *croft_state(const struct croft *c, const struct module *m);
const struct module *const *croft_modules(const struct croft *c, size_t *n);

/* Finds the route, checks the permission, runs it: the one http_handler of the house. */
void croft_handle(void *croft, struct http_request *rq, struct http_response *rs);
/* Before the body is read: route, method, key, size. For server_options.check. */
bool croft_check(void *croft, struct http_request *rq, struct http_response *rs);

void croft_openapi(const struct croft *c, struct buf *out);    /* OpenAPI 3.1, JSON */
void croft_typescript(const struct croft *c, struct buf *out); /* types and route names */

struct setting_shown {
	const struct setting *row;
	struct str value;   /* "***" for a secret that is set */
	const char *origin; /* "default", "/path/croft.yaml:12", "CROFT_LISTEN", "--listen" */
};
void croft_each_setting(
	const struct croft *c, void (*fn)(void *ctx, const struct setting_shown *s), void *ctx);

#endif
