/* What MLflow's runs used and made, as edges of lineage. A logged model is the node
 * "urn:mlflow-model:m-...": a run produced it, others used it, registered versions are derived from
 * it. A dataset is the place that its source names, else "urn:mlflow-dataset:NAME:DIGEST". Edges
 * are written when a run reports them, so it does not matter whether a version was registered
 * before or after; adding one again changes nothing. */
#include "api/mlflow_lineage.h"
#include "artifact/logged.h"
#include "artifact/registry.h"

struct str mlflow_model_node(struct arena *a, struct str model)
{
	return arena_fmt(a, "urn:mlflow-model:%.*s", STR_FMT(model));
}

/* Where the dataset is kept, when MLflow's source says so in a URI; else its name and digest. */
static struct str dataset_node(struct arena *a, const struct track_input *in)
{
	yyjson_doc *doc = NULL, *source = NULL;
	struct str node = {0}, uri;
	if (!json_parse(in->json, &doc, NULL)) {
		struct str text =
			json_str(yyjson_obj_get(yyjson_doc_get_root(doc), "dataset"), "source");
		if (text.n && !json_parse(text, &source, NULL)) {
			yyjson_val *root = yyjson_doc_get_root(source);
			uri = json_str(root, "uri");
			if (!uri.n)
				uri = json_str(root, "url");
			if (str_find(uri, S("://")) != STR_NONE && uri.n < 2000)
				node = arena_str(a, uri);
		}
	}
	yyjson_doc_free(source);
	yyjson_doc_free(doc);
	if (!node.p)
		node = arena_fmt(
			a, "urn:mlflow-dataset:%.*s:%.*s", STR_FMT(in->name), STR_FMT(in->digest));
	return node;
}

static enum err add(struct tx *tx, const struct principal *who, struct str node,
	enum edge_kind kind, struct str source, struct errtext *et)
{
	if (!node.p || !source.p)
		return err_set(et, ERR_NOMEM, "no memory for lineage");
	return lineage_add(
		tx, who, &(struct edge){.node = node, .kind = kind, .source = source}, et);
}

/* The versions that a logged model was registered as: its tag says it. */
static enum err used_versions(struct tx *tx, const struct http_request *rq, struct str run,
	struct str model, struct errtext *et)
{
	struct logged_pair *pairs = NULL;
	size_t n = 0, i, count;
	yyjson_doc *doc = NULL;
	yyjson_val *one;
	struct artifact of;
	struct str project = project_of(rq);
	enum err e = logged_pairs(tx, project, model, rq->arena, &pairs, &n, et);
	for (size_t k = 0; k < n && !e; k++)
		if (!pairs[k].param && str_eq_c(pairs[k].key, "mlflow.modelVersions") &&
			json_parse(pairs[k].value, &doc, NULL))
			doc = NULL;
	yyjson_arr_foreach(yyjson_doc_get_root(doc), i, count, one)
	{
		int64_t version;
		if (e || !mlflow_as_int(yyjson_obj_get(one, "version"), &version) ||
			artifact_find(tx, project, S("model"), json_str(one, "name"), rq->arena,
				&of, NULL))
			continue;
		e = add(tx, rq->who, run, EDGE_USED, node_version(rq->arena, of.id, version), et);
	}
	yyjson_doc_free(doc);
	return e;
}

enum err mlflow_lineage_inputs(struct croft *c, const struct http_request *rq, struct id run_id,
	const struct track_change *ch, struct errtext *et)
{
	struct tx *tx;
	struct str run = node_run(rq->arena, run_id);
	if (!ch->n_inputs && !ch->n_models_in)
		return OK;
	enum err e = db_begin(croft_db(c), TX_WRITE, &tx, et);
	if (e)
		return e;
	for (size_t i = 0; i < ch->n_inputs && !e; i++)
		e = add(tx, rq->who, run, EDGE_USED, dataset_node(rq->arena, &ch->inputs[i]), et);
	for (size_t i = 0; i < ch->n_models_in && !e; i++) {
		struct str model = ch->models_in[i].model;
		e = add(tx, rq->who, run, EDGE_USED, mlflow_model_node(rq->arena, model), et);
		if (!e)
			e = used_versions(tx, rq, run, model, et);
	}
	if (!e)
		return db_commit(tx, et);
	db_rollback(tx);
	return e;
}

enum err mlflow_lineage_outputs(struct croft *c, const struct http_request *rq, struct id run,
	const struct track_change *ch, struct errtext *et)
{
	struct tx *tx;
	if (!ch->n_models_out)
		return OK;
	enum err e = db_begin(croft_db(c), TX_WRITE, &tx, et);
	if (e)
		return e;
	for (size_t i = 0; i < ch->n_models_out && !e; i++)
		e = mlflow_lineage_logged(tx, rq, ch->models_out[i].model, run, et);
	if (!e)
		return db_commit(tx, et);
	db_rollback(tx);
	return e;
}

enum err mlflow_lineage_logged(struct tx *tx, const struct http_request *rq, struct str model,
	struct id run, struct errtext *et)
{
	if (id_is_zero(run))
		return OK;
	return add(tx, rq->who, mlflow_model_node(rq->arena, model), EDGE_PRODUCED,
		node_run(rq->arena, run), et);
}

/* Runs that used the logged model before it was registered used this version of it. */
enum err mlflow_lineage_registered(struct tx *tx, const struct http_request *rq, struct str model,
	struct id artifact, int64_t version, struct errtext *et)
{
	enum { USERS_MAX = 1000 };
	struct graph g = {0};
	struct str node = node_version(rq->arena, artifact, version);
	struct str from = mlflow_model_node(rq->arena, model);
	enum err e = add(tx, rq->who, node, EDGE_DERIVED, from, et);
	if (!e)
		e = lineage_walk(tx, project_of(rq), from, true, 1, USERS_MAX, rq->arena, &g, et);
	for (size_t i = 0; i < g.n_edges && !e; i++)
		if (g.edges[i].kind == EDGE_USED && str_eq(g.edges[i].source, from) &&
			str_starts(g.edges[i].node, S("run:")))
			e = add(tx, rq->who, g.edges[i].node, EDGE_USED, node, et);
	return e;
}
