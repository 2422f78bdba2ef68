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

/* Text that may be kept among the secrets: a setting that says secret:NAME gives that secret of the
 * project "default", any other its own text. Appends to out, which the caller wipes. The module of
 * the secrets says at init how they are read; before, secret:NAME is ERR_NOT_READY. */
enum err setting_secret(
	struct croft *c, const char *name, struct buf *out, struct errtext *et) MUST_CHECK;
typedef enum err (*secret_fn)(
	struct croft *c, struct str project, struct str name, struct buf *out, struct errtext *et);
void croft_set_secrets(struct croft *c, secret_fn fn);

/* ---- routes ---- */

/* Permissions: what roles are made of. A route without one fails the table check. To add one: its
 * row, at the end (roles keep words, so the order is free; a mask holds at most 64). */
#define PERM_TABLE(X)                                                                       \
	X(PERM_SYSTEM_READ, "system.read", "see status, metrics and settings")              \
	X(PERM_SYSTEM_MANAGE, "system.manage", "back up, restore, change the system")       \
	X(PERM_ACCESS_MANAGE, "access.manage", "manage users, keys, roles and projects")    \
	X(PERM_AUDIT_READ, "audit.read", "read the audit log")                              \
	X(PERM_SECRET_MANAGE, "secret.manage", "store and remove secrets")                  \
	X(PERM_MODEL_READ, "model.read", "see which models there are")                      \
	X(PERM_MODEL_USE, "model.use", "chat, complete and embed")                          \
	X(PERM_MODEL_MANAGE, "model.manage", "pull and remove models")                      \
	X(PERM_DOCUMENT_READ, "document.read", "see, search and ask documents")             \
	X(PERM_DOCUMENT_WRITE, "document.write", "add, change and remove documents")        \
	X(PERM_RUN_READ, "run.read", "see experiments, runs and traces")                    \
	X(PERM_RUN_WRITE, "run.write", "record experiments, runs and traces")               \
	X(PERM_RUN_ASSESS, "run.assess", "give feedback on runs")                           \
	X(PERM_RUN_DELETE, "run.delete", "delete experiments, runs and traces")             \
	X(PERM_ARTIFACT_READ, "artifact.read", "see and fetch artifacts")                   \
	X(PERM_ARTIFACT_WRITE, "artifact.write", "add artifacts, versions, tags and cards") \
	X(PERM_ARTIFACT_ALIAS, "artifact.alias", "move aliases of artifacts")               \
	X(PERM_ARTIFACT_APPROVE, "artifact.approve", "approve promotions")                  \
	X(PERM_ARTIFACT_DELETE, "artifact.delete", "delete artifacts and versions")         \
	X(PERM_ARTIFACT_RULE, "artifact.rule", "set what a promotion needs")                \
	X(PERM_ARTIFACT_BREAK, "artifact.break_glass", "promote past the rules, recorded")  \
	X(PERM_MEMBER_MANAGE, "member.manage", "manage members and keys of a project")

/* PERM_PUBLIC: anybody. PERM_SIGNED_IN: whoever has valid credentials, whatever the role. */
enum perm {
	PERM_NONE,
	PERM_PUBLIC,
	PERM_SIGNED_IN,
#define X(name, word, about) name,
	PERM_TABLE(X)
#undef X
		PERM_COUNT
};

const char *perm_word(enum perm p); /* "run.write" */
const char *perm_about(enum perm p);
bool perm_parse(struct str word, enum perm *out);

/* Who makes a request, and in which project. Strings live as long as the request. */
struct principal {
	struct id id;       /* zero: the user of the data directory, or the holder of api.key */
	struct str name;    /* "ada", "local" */
	struct str project; /* what this request sees and changes: "default" */
	uint64_t perms;     /* 1 << enum perm, in that project */
	uint64_t house; /* the same for what no project owns: users, the system, every project */
	const void *access; /* of the access module: user, key, rules; NULL: bound by none */
};

#define PERMS_ALL (~0ull)
bool may(const struct http_request *rq, enum perm p);
bool may_house(const struct http_request *rq, enum perm p); /* beyond the project */
/* The same as an error that names the permission: ERR_FORBIDDEN. */
enum err need(const struct http_request *rq, enum perm p, struct errtext *et) MUST_CHECK;
/* The project of a request, never empty. */
struct str project_of(const struct http_request *rq);

/* Says who a request comes from: ERR_UNAUTHENTICATED when the credentials are missing or wrong.
 * Called before one byte of the body is read, and once more before the handler. Without one (the
 * access module sets it at init), api.key alone decides and its holder may do everything. */
typedef enum err (*authenticate_fn)(
	struct croft *c, const struct http_request *rq, struct principal *out, struct errtext *et);
void croft_set_authenticate(struct croft *c, authenticate_fn fn);
/* The key in x-api-key (Anthropic's clients) or api-key (Qdrant's); {NULL,0}: none was sent. */
struct str header_key(const struct http_request *rq);
/* The rule of api.key: a request that is local or carries it, or any when none is set. */
bool api_key_ok(const struct croft *c, const struct http_request *rq);

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
	bool at_once;    /* answered by the thread that reads, when all workers are taken too */
};

/* A part of the path space that speaks another's protocol: what the router itself refuses there (no
 * credentials, no such path, a body too large) has that protocol's shape. The first row of all
 * modules whose prefix fits counts. */
struct face {
	const char *prefix;  /* "/api/2.0/mlflow" */
	const char *read_as; /* "/ajax-api/" is read as "/api/"; NULL: as it is */
	void (*error)(struct http_response *rs, enum err e, const struct errtext *et);
	/* What is said of a path that no row has; NULL: an error like others. */
	void (*no_path)(struct http_response *rs, enum err e, const struct errtext *et);
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
	bool verbatim;       /* what follows the first argument is no option of ours */
};

/* ---- the module ---- */

struct module {
	const char *name;
	const struct migration *migrations;
	size_t n_migrations;
	const struct route *routes;
	size_t n_routes;
	const struct face *faces;
	size_t n_faces;
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
	/* The blobs that the module's rows need: need(ctx, hex) for each, also the digests of
	 * trees. Collections and backups ask: a module that puts blobs without this would lose
	 * them. NULL: it puts none. */
	enum err (*blobs)(struct croft *c, struct tx *tx,
		enum err (*need)(void *ctx, struct str hex), void *ctx, struct errtext *et);
	/* Appends Prometheus text lines for /metrics: from memory, also while the database stalls.
	 */
	void (*metrics)(struct croft *c, struct buf *out);
	/* Appends members to the object of GET /api/v1/status: "documents": 12, of what the
	 * request's project holds. */
	void (*status)(struct croft *c, const struct http_request *rq, struct jw *w);
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
/* The URLs of the stores, as the settings say; they may hold passwords. */
void croft_db_url(const struct croft *c, struct buf *out);
void croft_blobs_url(const struct croft *c, struct buf *out);
struct db *croft_db(const struct croft *c);
struct blobs *croft_blobs(const struct croft *c);
const struct cancel *croft_stopping(const struct croft *c); /* set when the instance is to end */
void croft_set_state(struct croft *c, const struct module *m, void *state);
void *croft_state(const struct croft *c, const struct module *m);
const struct module *const *croft_modules(const struct croft *c, size_t *n);

/* The request that this thread is handling, for what is made on its behalf (runs); NULL: none. */
const struct http_request *croft_request(void);

/* Finds the route, checks the permission, runs it: the one http_handler of the house. Any path may
 * stand behind /p/{project}: it is taken off and kept in rq->project. */
void croft_handle(void *croft, struct http_request *rq, struct http_response *rs);
/* Before the body is read: route, method, credentials, permission, size. For
 * server_options.check. */
bool croft_check(void *croft, struct http_request *rq, struct http_response *rs);

/* Appends Prometheus lines: answers and durations of each route that was used. */
void croft_route_metrics(const struct croft *c, struct buf *out);

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
