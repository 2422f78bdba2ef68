/* MLflow's scorers: what their routes and their SQL share. */
#ifndef API_MLFLOW_SCORER_H
#define API_MLFLOW_SCORER_H
#include "api/mlflow_registry.h"

enum { SCORER_NAME_MAX = 256, SCORER_EXPERIMENTS_MAX = 1000, SCORERS_MAX = 1000 };

struct scorer {
	int64_t experiment, version;
	struct str id, name, text;
	int64_t created_ms;
};

extern const struct migration scorer_migrations[1];
extern const struct module mlflow_scorer_module;

/* The next version; fills version and id. */
enum err scorer_put(struct tx *tx, struct str project, struct scorer *v, struct arena *a,
	struct errtext *et) MUST_CHECK;
/* The newest of each name, by experiment and name; experiments NULL: of all. At most SCORERS_MAX.
 */
enum err scorer_list(struct tx *tx, struct str project, const int64_t *experiments, size_t n_of,
	struct arena *a, struct scorer **out, size_t *n, struct errtext *et) MUST_CHECK;
/* Oldest first; ERR_NOT_FOUND when there is none. */
enum err scorer_versions(struct tx *tx, struct str project, int64_t experiment, struct str name,
	struct arena *a, struct scorer **out, size_t *n, struct errtext *et) MUST_CHECK;
/* version 0: all of them. */
enum err scorer_delete(struct tx *tx, struct str project, int64_t experiment, struct str name,
	int64_t version, struct errtext *et) MUST_CHECK;

#endif
