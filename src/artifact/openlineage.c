/* POST /api/v1/lineage: OpenLineage events as its clients send them, into edges.
 *
 * Inputs are used by the run, outputs are produced by it. A run that failed produced nothing. A
 * JobEvent has no run: its outputs are derived from its inputs. A dataset of the namespace
 * croft://PROJECT is a version of this project; any other is the URI NAMESPACE/NAME. */
#include "artifact/lineage_int.h"

enum { DATASETS_MAX = 1000 };

static struct str dataset_uri(struct arena *a, struct str namespace, struct str name)
{
	bool uri = str_find(namespace, S("://")) != STR_NONE;
	while (namespace.n && namespace.p[namespace.n - 1] == '/')
	namespace.n--;
	while (name.n && name.p[0] == '/')
		name = str_sub(name, 1, name.n);
	return arena_fmt(
		a, "%s%.*s/%.*s", uri ? "" : "openlineage://", STR_FMT(namespace), STR_FMT(name));
}

static enum err dataset_node(struct reg_call *k, yyjson_val *d, struct str *out)
{
	struct str namespace = json_str(d, "namespace"), name = json_str(d, "name");
	if (!namespace.n || !name.n)
		return err_set(&k->et, ERR_INVALID, "a dataset has a namespace and a name");
	if (str_starts(namespace, S("croft://")) &&
		str_eq(str_sub(namespace, 8, namespace.n), k->project))
		return lineage_node(k->tx, k->project, name, k->rq->arena, out, &k->et);
	*out = dataset_uri(k->rq->arena, namespace, name);
	return out->p ? OK : err_set(&k->et, ERR_NOMEM, "no memory");
}

static enum err check_lists(struct reg_call *k)
{
	static const char *const keys[] = {"inputs", "outputs"};
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		yyjson_val *list = yyjson_obj_get(k->body, keys[i]);
		if (list && !yyjson_is_null(list) && !yyjson_is_arr(list))
			return err_set(&k->et, ERR_INVALID, "%s: a list is expected", keys[i]);
		if (yyjson_arr_size(list) > DATASETS_MAX)
			return err_set(
				&k->et, ERR_TOO_LARGE, "%s: at most %d", keys[i], DATASETS_MAX);
	}
	return OK;
}

static enum err each_dataset(struct reg_call *k, const char *key,
	enum err (*fn)(struct reg_call *k, struct str node, void *ctx), void *ctx)
{
	yyjson_val *list = yyjson_obj_get(k->body, key), *d;
	size_t i, n;
	yyjson_arr_foreach(list, i, n, d)
	{
		struct str node;
		enum err e = dataset_node(k, d, &node);
		if (!e)
			e = fn(k, node, ctx);
		if (e)
			return e;
	}
	return OK;
}

/* ---- a run's ---- */

struct event {
	struct str run, detail;
	struct str output; /* of a job */
};

static enum err used(struct reg_call *k, struct str node, void *ctx)
{
	struct event *ev = ctx;
	return lineage_add(
		k->tx, k->rq->who, &(struct edge){ev->run, node, EDGE_USED, ev->detail}, &k->et);
}

static enum err produced(struct reg_call *k, struct str node, void *ctx)
{
	struct event *ev = ctx;
	return lineage_add(k->tx, k->rq->who,
		&(struct edge){node, ev->run, EDGE_PRODUCED, ev->detail}, &k->et);
}

static enum err run_event(struct reg_call *k, struct event *ev)
{
	struct id run;
	struct str type = json_str(k->body, "eventType");
	struct str id = json_str(yyjson_obj_get(k->body, "run"), "runId");
	if (!id_parse(id, &run))
		return err_set(&k->et, ERR_INVALID, "run.runId: a UUID is expected");
	ev->run = node_run(k->rq->arena, run);
	enum err e = each_dataset(k, "inputs", used, ev);
	bool failed = str_eq_c(type, "FAIL") || str_eq_c(type, "ABORT");
	return e || failed ? e : each_dataset(k, "outputs", produced, ev);
}

/* ---- a job's ---- */

static enum err derived(struct reg_call *k, struct str node, void *ctx)
{
	struct event *ev = ctx;
	if (str_eq(node, ev->output))
		return OK;
	return lineage_add(k->tx, k->rq->who,
		&(struct edge){ev->output, node, EDGE_DERIVED, ev->detail}, &k->et);
}

static enum err output(struct reg_call *k, struct str node, void *ctx)
{
	struct event *ev = ctx;
	ev->output = node;
	return each_dataset(k, "inputs", derived, ev);
}

static struct str detail_of(struct reg_call *k)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	yyjson_val *job = yyjson_obj_get(k->body, "job");
	jw_obj(&w);
	jw_kc(&w, "from", "openlineage");
	jw_kstr(&w, "namespace", json_str(job, "namespace"));
	jw_kstr(&w, "job", json_str(job, "name"));
	jw_kstr(&w, "time", json_str(k->body, "eventTime"));
	jw_end(&w);
	struct str s = arena_str(k->rq->arena, buf_str(&b));
	buf_free(&b);
	return s;
}

void openlineage_post(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct reg_call k;
	struct event ev = {0};
	enum err e = reg_begin(&k, c, rq, rs, TX_WRITE);
	yyjson_val *job = e ? NULL : yyjson_obj_get(k.body, "job");
	bool is_run = !e && yyjson_obj_get(k.body, "run");
	if (!e && !k.body)
		e = err_set(&k.et, ERR_INVALID, "the body: an OpenLineage event is expected");
	if (!e && !json_str(k.body, "eventTime").n)
		e = err_set(&k.et, ERR_INVALID, "eventTime: the time of the event is missing");
	if (!e && !yyjson_obj_get(k.body, "dataset") &&
		(!json_str(job, "namespace").n || !json_str(job, "name").n))
		e = err_set(&k.et, ERR_INVALID, "job: a namespace and a name are expected");
	if (!e)
		e = check_lists(&k);
	if (!e) {
		ev.detail = detail_of(&k);
		e = is_run ? run_event(&k, &ev) : each_dataset(&k, "outputs", output, &ev);
	}
	jw_obj(&k.w);
	jw_end(&k.w);
	reg_end(&k, e, 201);
}
