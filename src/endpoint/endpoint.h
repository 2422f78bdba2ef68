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
void endpoint_put(struct endpoint *e); /* accepts NULL */
struct str endpoint_name(const struct endpoint *e);
struct model *endpoint_model(const struct endpoint *e);         /* NULL: a provider (remote.h) */
struct generator *endpoint_generator(const struct endpoint *e); /* NULL for embedders */
struct remote *endpoint_remote(const struct endpoint *e);       /* NULL: a local model */
/* For what only a local model can do; `what` is named: "completions". ERR_UNSUPPORTED. */
enum err endpoint_need_model(
	const struct endpoint *e, const char *what, struct errtext *et) MUST_CHECK;
/* Of the model's files, in hex, as its entry in the registry has it; "" when there is none. */
struct str endpoint_sha256(const struct endpoint *e);

/* Compiled constraints, kept for all requests of the process; see text/constraint.h. */
enum err endpoint_constraint_get(struct croft *c, enum constraint_kind kind, struct str source,
	struct constraint **out, struct errtext *et) MUST_CHECK;
void endpoint_constraint_put(struct croft *c, struct constraint *k); /* accepts NULL */

#endif
