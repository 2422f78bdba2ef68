/* Webhooks of MLflow's registry: others are told, by a POST to an address of theirs, what happened
 * to models and prompts.
 *
 *	mlflow_webhook.c        routes, and what is said of a change
 *	mlflow_webhook_store.c  SQL
 *	mlflow_webhook_send.c   sending
 *
 *  1. A delivery is a job of the durable queue, added in the transaction of the change: a change
 *     that is kept is told, one that is rolled back is not.
 *  2. A job is sent at least once, with the same id each time (X-MLflow-Delivery-Id), until an
 *     answer below 500 other than 429 came or TRIES are over; between tries it waits longer each
 *     time.
 *  3. Connections go to public addresses only, and redirects are not followed, unless the setting
 *     webhooks.private_addresses allows this network. */
#ifndef API_MLFLOW_WEBHOOK_H
#define API_MLFLOW_WEBHOOK_H
#include "api/mlflow_registry.h"

enum {
	WEBHOOKS_MAX = 1000,
	WEBHOOK_EVENTS_MAX = 32,
	WEBHOOK_TRIES = 8,
	WEBHOOK_DATA_MAX = 256 << 10, /* of a delivery; what is longer is cut to names */
};

struct webhook {
	struct id id;
	struct str project, name, url, description;
	struct str events; /* "model_version.created prompt.created" */
	bool active, secret;
	int64_t created_ms, updated_ms;
};

/* ---- store ---- */

extern const struct migration webhook_migrations[1];
enum err webhook_put(struct tx *tx, const struct webhook *v, struct errtext *et) MUST_CHECK;
/* ERR_NOT_FOUND in MLflow's words. */
enum err webhook_get(struct tx *tx, struct str project, struct id id, struct arena *a,
	struct webhook *out, struct errtext *et) MUST_CHECK;
/* Newest first, from the offset-th on. */
enum err webhook_list(struct tx *tx, struct str project, int64_t offset, int64_t limit,
	struct arena *a, struct webhook **out, size_t *n, struct errtext *et) MUST_CHECK;
enum err webhook_count(
	struct tx *tx, struct str project, int64_t *n, struct errtext *et) MUST_CHECK;
enum err webhook_delete(
	struct tx *tx, struct str project, struct id id, struct errtext *et) MUST_CHECK;

/* ---- what is said ---- */

enum hook {
	HOOK_CREATED,
	HOOK_VERSION_CREATED,
	HOOK_TAG_SET,
	HOOK_TAG_DELETED,
	HOOK_VERSION_TAG_SET,
	HOOK_VERSION_TAG_DELETED,
	HOOK_ALIAS_CREATED,
	HOOK_ALIAS_DELETED,
	HOOK_COUNT
};
/* Adds a delivery to each active webhook that asked for it. version 0: none. What it says beyond
 * comes from the arguments of the call. */
enum err webhook_announce(
	struct mlreg *m, const struct artifact *of, enum hook hook, int64_t version) MUST_CHECK;

/* ---- sending ---- */

extern const struct module mlflow_webhook_module;
void webhook_wake(struct croft *c); /* a delivery was committed */

struct webhook_answer {
	int status;
	struct buf body;
};
/* Signs and sends once. OK means that an answer came. */
enum err webhook_send(struct croft *c, const struct webhook *v, struct str delivery,
	struct str payload, struct webhook_answer *out, struct errtext *et) MUST_CHECK;
/* {"entity", "action", "timestamp", "data": the JSON given}. event: "model_version.created". */
void webhook_payload(struct buf *out, struct str event, struct str data);
enum err webhook_check_url(struct croft *c, struct str url, struct errtext *et) MUST_CHECK;
void webhook_secret_name(struct id id, char out[64]);

extern const struct route webhook_routes[6];
#endif
