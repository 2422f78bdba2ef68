/* Logged models: what a run logged as a model, before (or without) it being registered under a
 * name. They have no versions; a registered version points at one. MLflow's clients make them. */
#ifndef ARTIFACT_LOGGED_H
#define ARTIFACT_LOGGED_H
#include "module/module.h"

enum logged_status { LOGGED_UNSPECIFIED, LOGGED_PENDING, LOGGED_READY, LOGGED_FAILED };

struct logged_model {
	struct str id;         /* "m-" and 32 hex digits */
	struct str experiment; /* as MLflow names it: "3" */
	struct str name, type, creator;
	struct str location; /* of its files */
	enum logged_status status;
	struct id run; /* zero: none */
	int64_t created_ms, updated_ms;
	bool deleted;
};

struct logged_pair {
	struct str key, value;
	bool param; /* else a tag */
};

enum err logged_put(struct tx *tx, struct str project, const struct logged_model *m,
	struct errtext *et) MUST_CHECK;
/* ERR_NOT_FOUND; deleted ones only with `dead`. */
enum err logged_get(struct tx *tx, struct str project, struct str id, bool dead, struct arena *a,
	struct logged_model *out, struct errtext *et) MUST_CHECK;
enum err logged_pairs(struct tx *tx, struct str project, struct str id, struct arena *a,
	struct logged_pair **out, size_t *n, struct errtext *et) MUST_CHECK;
enum err logged_set_pair(struct tx *tx, struct str project, struct str id,
	const struct logged_pair *p, struct errtext *et) MUST_CHECK;
enum err logged_drop_tag(struct tx *tx, struct str project, struct str id, struct str key,
	bool *found, struct errtext *et) MUST_CHECK;
enum err logged_set_status(struct tx *tx, struct str project, struct str id,
	enum logged_status status, struct errtext *et) MUST_CHECK;
enum err logged_delete(
	struct tx *tx, struct str project, struct str id, struct errtext *et) MUST_CHECK;
/* What was measured of a model, in which run and on which dataset. */
struct logged_metric {
	struct str name, dataset, digest; /* dataset, digest "": not said */
	double value;
	int64_t ms, step;
	struct id run;
};
/* The same point of the same run again changes nothing. */
enum err logged_add_metric(struct tx *tx, struct str project, struct str id,
	const struct logged_metric *m, struct errtext *et) MUST_CHECK;
/* Newest first: by time, step; at most LOGGED_METRICS_MAX of them. name "": all. */
enum { LOGGED_METRICS_MAX = 10000 };
enum err logged_metrics(struct tx *tx, struct str project, struct str id, struct str name,
	struct arena *a, struct logged_metric **out, size_t *n, struct errtext *et) MUST_CHECK;
extern const struct migration logged_migrations[1];

/* Live ones of an experiment; strings are fn's while it runs. */
typedef enum err (*logged_fn)(void *ctx, const struct logged_model *m, struct errtext *et);
enum err logged_each(struct tx *tx, struct str project, struct str experiment, logged_fn fn,
	void *ctx, struct errtext *et) MUST_CHECK;

#endif
