/* Experiments and their runs: parameters, tags, series of metric points, inputs and outputs.
 *
 * An experiment belongs to a project and has a number in it; "Default" is number 0 of every
 * project. Its runs are rows of the same table as Croft's own runs (run.h), with a document (what
 * MLflow calls data) and series of points. How both are stored: docs/internals/runs.md.
 *
 * A `struct tracked` is one state of one run: immutable, counted, shared by threads. Changes go
 * through track_change, which returns when they are durable; calls of several threads share a
 * commit.
 *
 *	struct track_new n = {.experiment = 0, .name = S("first"), .start_ms = clock_unix_ms()};
 *	struct id id;
 *	enum err e = track_create(c, project, &n, &id, et);
 *	struct track_change ch = {.metrics = m, .n_metrics = 2};
 *	e = track_change(c, project, id, &ch, et);
 *	struct tracked *t;
 *	e = track_get(c, project, id, &t, et);
 *	... t->metrics[0].point.value ...
 *	tracked_free(t);
 */
#ifndef RUN_TRACK_H
#define RUN_TRACK_H
#include "run/run.h"

/* ---- experiments ---- */

struct track_pair {
	struct str key, value;
};

struct experiment {
	int64_t number;
	struct str name, location; /* location: "mlflow-artifacts:/3" or what its maker said */
	int64_t created_ms, updated_ms, deleted_ms; /* deleted_ms 0: active */
	struct track_pair *tags;                    /* by key */
	size_t n_tags;
};

enum track_view { VIEW_ACTIVE, VIEW_DELETED, VIEW_ALL };

struct experiment_new {
	struct str name, location; /* location "": the artifact proxy */
	const struct track_pair *tags;
	size_t n_tags;
};

enum err experiment_create(struct croft *c, struct str project, const struct experiment_new *n,
	int64_t *number, struct errtext *et) MUST_CHECK;
enum err experiment_get(struct croft *c, struct str project, int64_t number, struct arena *a,
	struct experiment *out, struct errtext *et) MUST_CHECK;
enum err experiment_by_name(struct croft *c, struct str project, struct str name, struct arena *a,
	struct experiment *out, struct errtext *et) MUST_CHECK;
/* All of a project that the view shows, oldest first. */
enum err experiment_list(struct croft *c, struct str project, enum track_view view, struct arena *a,
	struct experiment **list, size_t *n, struct errtext *et) MUST_CHECK;
enum err experiment_rename(struct croft *c, struct str project, int64_t number, struct str name,
	struct errtext *et) MUST_CHECK;
/* Deletes or restores the experiment with its runs. */
enum err experiment_delete(struct croft *c, const struct principal *who, struct str project,
	int64_t number, bool restore, struct errtext *et) MUST_CHECK;
/* value.p NULL removes the tag (ERR_NOT_FOUND). */
enum err experiment_tag(struct croft *c, struct str project, int64_t number, struct str key,
	struct str value, struct errtext *et) MUST_CHECK;

/* ---- runs ---- */

enum track_status {
	TRACK_RUNNING,
	TRACK_SCHEDULED,
	TRACK_FINISHED,
	TRACK_FAILED,
	TRACK_KILLED,
	TRACK_STATUSES
};
extern const char *const track_status_words[TRACK_STATUSES]; /* as stored: "ok", "error" */

struct point {
	double value;
	int64_t ms, step;
};

struct track_metric {
	struct str key;
	struct point point;
};

struct track_input {
	struct str name, digest, context; /* context: of its tag mlflow.data.context, or "" */
	struct str json;                  /* MLflow's DatasetInput */
};

struct track_output {
	struct str model;
	int64_t step;
};

struct tracked {
	struct id id;
	int64_t experiment, version;
	struct str name, user; /* user: as the client said */
	enum track_status status;
	int64_t start_ms, end_ms, deleted_ms; /* 0: none */
	struct track_pair *params, *tags;     /* by key */
	struct track_metric *metrics;         /* by key: the newest point of each */
	struct track_input *inputs;
	struct track_output *models_in, *models_out;
	size_t n_params, n_tags, n_metrics, n_inputs, n_models_in, n_models_out;
	size_t bytes; /* of all this */
	atomic_uint refs;
};

void tracked_free(struct tracked *t); /* gives up one reference; accepts NULL */
struct str tracked_param(const struct tracked *t, struct str key); /* {NULL,0}: none */
struct str tracked_tag(const struct tracked *t, struct str key);
const struct track_metric *tracked_metric(const struct tracked *t, struct str key);

struct track_new {
	int64_t experiment;
	struct str name, user;
	int64_t start_ms;
	const struct track_pair *tags; /* a later one of the same key counts */
	size_t n_tags;
};

/* ERR_NOT_FOUND: no such experiment; ERR_INVALID: it is deleted. */
enum err track_create(struct croft *c, const struct principal *who, struct str project,
	const struct track_new *n, struct id *id, struct errtext *et) MUST_CHECK;

struct track_change {
	const struct track_metric *metrics;
	size_t n_metrics;
	const struct track_pair *params; /* a key that has another value: ERR_INVALID */
	size_t n_params;
	const struct track_pair *tags; /* the tag mlflow.runName renames the run */
	size_t n_tags;
	struct str untag; /* .p NULL: none; ERR_NOT_FOUND when the run has no such tag */
	const struct track_input *inputs; /* added unless name and digest are there */
	size_t n_inputs;
	const struct track_output *models_in, *models_out;
	size_t n_models_in, n_models_out;
	bool set_status;
	enum track_status status;
	int64_t end_ms; /* 0: as it is */
};

/* All of it or nothing. ERR_NOT_FOUND; ERR_INVALID when the run is deleted. */
enum err track_change(struct croft *c, struct str project, struct id run,
	const struct track_change *ch, struct errtext *et) MUST_CHECK;
enum err track_delete(struct croft *c, const struct principal *who, struct str project,
	struct id run, bool restore, struct errtext *et) MUST_CHECK;
enum err track_get(struct croft *c, struct str project, struct id run, struct tracked **out,
	struct errtext *et) MUST_CHECK;

/* Removes for good what was deleted `older_ms` ago or longer, with its files; counts. *kept: runs
 * that are on hold, or that artifacts or lineage name. */
enum err track_purge(struct croft *c, const struct principal *who, struct str project,
	int64_t older_ms, size_t *runs, size_t *experiments, size_t *kept,
	struct errtext *et) MUST_CHECK;

/* ---- series ---- */

/* Points of a series that a policy (retain_int.h) rolled up: of them only smallest, largest, mean,
 * count and last of each bucket are there. points 0: none. */
struct rolled_up {
	uint64_t points, buckets;
};

/* Points of one series by time, step, value, from the offset-th on; exact duplicates once. *more
 * says whether there are others behind. The points are malloc'ed. Those that were rolled up come
 * first, as the last point of each bucket. ERR_NOT_FOUND: no such run. */
enum err track_history(struct croft *c, struct str project, struct id run, struct str key,
	int64_t offset, int64_t limit, struct point **points, size_t *n, bool *more,
	struct rolled_up *rolled, struct errtext *et) MUST_CHECK;

struct bucket {
	int64_t x0, x1; /* of the points in it: steps or milliseconds */
	uint64_t n, n_nan;
	double min, max, sum, last; /* of what is not NaN; last by x, NaN included */
};

struct chart {
	bool by_time;   /* else by step */
	bool has_range; /* [from, to]; else all */
	int64_t from, to;
	unsigned points; /* at most so many buckets */
};

struct charted {
	struct bucket *v; /* malloc'ed */
	size_t n;
	uint64_t total; /* points, of which: */
	struct rolled_up rolled;
};

/* The series in at most `points` buckets (a single point is a bucket with n 1), from the pyramid:
 * the time depends on `points` and hardly on the length. */
enum err track_chart(struct croft *c, struct str project, struct id run, struct str key,
	const struct chart *ch, struct charted *out, struct errtext *et) MUST_CHECK;

#endif
