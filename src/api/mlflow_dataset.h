/* MLflow's evaluation datasets: records of inputs, outputs and expectations that tests of prompts
 *and agents run over, with tags, in any number of experiments.
 *
 *	mlflow_dataset.c         routes of datasets: make, search, tag, associate
 *	mlflow_dataset_record.c  routes of records: merge, read, remove
 *	mlflow_dataset_store.c   SQL
 *
 * Two records of a dataset never have the same inputs: the later is merged into the first, as in
 * MLflow. A record is kept as JSON. */
#ifndef API_MLFLOW_DATASET_H
#define API_MLFLOW_DATASET_H
#include "api/mlflow_registry.h"

enum { DATASET_UPSERT_MAX = 10000, DATASET_PAGE_MAX = 1000, DATASET_FIELDS_MAX = 1000 };

struct eval_dataset {
	struct str id;                                           /* "d-" and 32 hex digits */
	struct str name, digest, schema, created_by, updated_by; /* "": none */
	int64_t created_ms, updated_ms, records;
	struct str tags; /* a JSON object of texts */
};

struct eval_record {
	struct str id;               /* "dr-" and 32 hex digits */
	char inputs[SHA256_HEX + 1]; /* hash of them */
	struct str json;             /* without ids and times */
	int64_t created_ms, updated_ms;
};

extern const struct migration dataset_migrations[1];
extern const struct module mlflow_dataset_module, mlflow_record_module;

enum err eval_dataset_put(struct tx *tx, struct str project, const struct eval_dataset *v,
	struct errtext *et) MUST_CHECK;
/* ERR_NOT_FOUND in MLflow's words. */
enum err eval_dataset_get(struct tx *tx, struct str project, struct str id, struct arena *a,
	struct eval_dataset *out, struct errtext *et) MUST_CHECK;
enum err eval_dataset_delete(
	struct tx *tx, struct str project, struct str id, struct errtext *et) MUST_CHECK;
/* Newest first; strings are fn's while it runs. */
typedef enum err (*eval_dataset_fn)(void *ctx, const struct eval_dataset *v, struct errtext *et);
enum err eval_dataset_each(struct tx *tx, struct str project, eval_dataset_fn fn, void *ctx,
	struct errtext *et) MUST_CHECK;

enum err eval_dataset_join(struct tx *tx, struct str project, struct str id, int64_t experiment,
	bool leave, struct errtext *et) MUST_CHECK;
enum err eval_dataset_experiments(struct tx *tx, struct str project, struct str id, struct arena *a,
	int64_t **out, size_t *n, struct errtext *et) MUST_CHECK;

enum err eval_record_put(struct tx *tx, struct str project, struct str dataset,
	const struct eval_record *v, struct errtext *et) MUST_CHECK;
/* The one with these inputs. ERR_NOT_FOUND. */
enum err eval_record_same(struct tx *tx, struct str project, struct str dataset, const char *inputs,
	struct arena *a, struct eval_record *out, struct errtext *et) MUST_CHECK;
/* Oldest first, behind the one with that id ("": from the first). */
enum err eval_record_list(struct tx *tx, struct str project, struct str dataset, struct str after,
	int64_t limit, struct arena *a, struct eval_record **out, size_t *n,
	struct errtext *et) MUST_CHECK;
enum err eval_record_delete(struct tx *tx, struct str project, struct str dataset, struct str id,
	int64_t *n, struct errtext *et) MUST_CHECK;

/* {"dataset": ...} */
enum err eval_dataset_reply(struct mlreg *m, const struct eval_dataset *v) MUST_CHECK;
struct str eval_digest(struct arena *a, struct str name, int64_t ms);

extern const struct route eval_record_routes[3];
#endif
