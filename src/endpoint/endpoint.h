/* Endpoints: names that answer: local models, opened on first use (or at start) and kept, and
 * remote providers (remote.h). */
#ifndef ENDPOINT_ENDPOINT_H
#define ENDPOINT_ENDPOINT_H
#include "artifact/artifact.h"
#include "engine/engine.h"
#include "text/constraint.h"

extern const struct module endpoint_module;

struct remote;
struct endpoint; /* counted; put it back with endpoint_put */

/* name "" is the default. Opens the model if needed (others wait for it). */
enum err endpoint_chat(
	struct croft *c, struct str name, struct endpoint **out, struct errtext *et) MUST_CHECK;
enum err endpoint_embed(
	struct croft *c, struct str name, struct endpoint **out, struct errtext *et) MUST_CHECK;
enum err endpoint_rerank(
	struct croft *c, struct str name, struct endpoint **out, struct errtext *et) MUST_CHECK;
enum err endpoint_open(struct croft *c, struct str name, enum model_purpose purpose,
	struct endpoint **out, struct errtext *et) MUST_CHECK;
void endpoint_put(struct endpoint *e); /* accepts NULL */
struct str endpoint_name(const struct endpoint *e);
struct model *endpoint_model(const struct endpoint *e);         /* NULL: a provider (remote.h) */
struct generator *endpoint_generator(const struct endpoint *e); /* NULL for embedders */
struct remote *endpoint_remote(const struct endpoint *e);       /* NULL: a local model */
/* Of an endpoint that is an adapter; its model and generator are the base's. Else NULL. */
const struct adapter *endpoint_adapter(const struct endpoint *e);
struct str endpoint_base(const struct endpoint *e);        /* the base's name, or "" */
struct str endpoint_base_sha256(const struct endpoint *e); /* of its files, or "" */
/* For what only a local model can do; `what` is named: "completions". ERR_UNSUPPORTED. */
enum err endpoint_need_model(
	const struct endpoint *e, const char *what, struct errtext *et) MUST_CHECK;
/* With which adapter, and whose share of the model a request takes: of who asks (NULL: the house),
 * known to what else the project asks and to nobody else. */
void endpoint_share(const struct endpoint *e, struct gen_request *g, const struct principal *who,
	struct str project);
/* Of the model's files, in hex, as its entry in the registry has it; "" when there is none. */
struct str endpoint_sha256(const struct endpoint *e);

/* Opens and closes a model on request. Opening makes room below engine.memory_bytes by closing what
 * nobody uses: ERR_LIMIT with the numbers when it can never fit, ERR_BUSY when models in use are in
 * the way. Closing: ERR_NOT_FOUND when it is not open, ERR_BUSY when somebody uses it. */
enum err endpoint_load(struct croft *c, struct str name, struct errtext *et) MUST_CHECK;
enum err endpoint_unload(struct croft *c, struct str name, struct errtext *et) MUST_CHECK;

/* What an installed model would take, from its file's header alone; with the settings, or what is
 * asked instead of some of them (0, NULL: the setting). ERR_UNSUPPORTED for an adapter. */
struct endpoint_plan_ask {
	uint32_t context_tokens, sequences;
	uint64_t kv_tokens;
	const bool *kv_q8;
};
enum plan_fits {
	PLAN_NOW,
	PLAN_AFTER_CLOSING, /* what nobody uses */
	PLAN_NOT_NOW,       /* models in use are in the way */
	PLAN_NEVER,
};
struct endpoint_plan {
	char name[256];
	enum model_purpose purpose;
	struct memory_plan plan;
	uint64_t limit_bytes, used_bytes, busy_bytes; /* limit_bytes 0: none */
	bool open;                                    /* it is open already, and counted in used */
	enum plan_fits fits;
};
enum err endpoint_plan(struct croft *c, struct str name, const struct endpoint_plan_ask *ask,
	struct endpoint_plan *out, struct errtext *et) MUST_CHECK;

/* What an open model does and takes. bytes: weights, keys and values, workspace; beside its file */
struct endpoint_live {
	struct str name, base; /* base: what an adapter is for, or "" */
	enum model_purpose purpose;
	bool open; /* false: it is being opened */
	unsigned users;
	uint64_t bytes, weight_bytes, open_ns, idle_ns;
	struct generator_stats generator; /* zero for embedders */
};
/* Calls fn for each, under the lock of the table; returns the bytes of all. */
uint64_t endpoint_each_live(
	struct croft *c, void (*fn)(void *ctx, const struct endpoint_live *l), void *ctx);

/* Compiled constraints, kept for all requests of the process; see text/constraint.h. */
enum err endpoint_constraint_get(struct croft *c, enum constraint_kind kind, struct str source,
	struct constraint **out, struct errtext *et) MUST_CHECK;
void endpoint_constraint_put(struct croft *c, struct constraint *k); /* accepts NULL */

#endif
