/* Filtering, ordering and paging of runs and experiments. */
#include "run/search.h"
#include "base/room.h"
#include "run/run_int.h"
#include "run/track_int.h"

#include <stdio.h>
#include <stdlib.h>

enum run_group { RUN_ATTRIBUTE, RUN_METRIC, RUN_PARAM, RUN_TAG, RUN_DATASET };

enum run_attribute {
	RUN_ID,
	RUN_NAME,
	RUN_STATUS,
	RUN_ARTIFACT_URI,
	RUN_USER,
	RUN_START,
	RUN_END,
	RUN_TEXT,
	RUN_EXPERIMENT,
	RUN_DURATION,
};

static const struct filter_key run_attributes[] = {
	[RUN_ID] = {.names = {"run_id"}, .ops = FILTER_OPS_TEXT | FILTER_OP_IN},
	[RUN_NAME] = {.names = {"run_name", "run name", "Run name", "Run Name"}},
	[RUN_STATUS] = {.names = {"status"}},
	[RUN_ARTIFACT_URI] = {.names = {"artifact_uri"}},
	[RUN_USER] = {.names = {"user_id"}},
	[RUN_START] = {.names = {"start_time", "created", "Created"}, .type = FILTER_TIME},
	[RUN_END] = {.names = {"end_time"}, .type = FILTER_TIME},
	[RUN_TEXT] = {.names = {"text"}, .flags = FILTER_EXTENDED | FILTER_UNORDERED},
	[RUN_EXPERIMENT] = {.names = {"experiment_id"},
		.type = FILTER_NUMBER,
		.flags = FILTER_EXTENDED},
	[RUN_DURATION] = {.names = {"duration"}, .type = FILTER_NUMBER, .flags = FILTER_EXTENDED},
};

enum dataset_key { DATASET_NAME, DATASET_DIGEST, DATASET_CONTEXT };

static const struct filter_key dataset_keys[] = {[DATASET_NAME] = {.names = {"name"}},
	[DATASET_DIGEST] = {.names = {"digest"}},
	[DATASET_CONTEXT] = {.names = {"context"}}};

static const struct filter_group run_groups[] = {
	[RUN_ATTRIBUTE] = {.names = {"attribute", "attributes", "attr", "run"},
		.keys = run_attributes,
		.n_keys = ARRAY_LEN(run_attributes),
		.ops = FILTER_OPS_TEXT},
	[RUN_METRIC] = {.names = {"metric", "metrics"},
		.ops = FILTER_OPS_NUMBER,
		.type = FILTER_NUMBER},
	[RUN_PARAM] = {.names = {"parameter", "params", "param", "parameters"},
		.ops = FILTER_OPS_TEXT | FILTER_OP_NULL},
	[RUN_TAG] = {.names = {"tag", "tags"}, .ops = FILTER_OPS_TEXT | FILTER_OP_NULL},
	[RUN_DATASET] = {.names = {"dataset", "datasets"},
		.keys = dataset_keys,
		.n_keys = ARRAY_LEN(dataset_keys),
		.flags = FILTER_UNORDERED,
		.ops = FILTER_OPS_TEXT | FILTER_OP_IN},
};

static const struct filter_language run_language = {
	.groups = run_groups, .n_groups = ARRAY_LEN(run_groups), .of = FILTER_OF_RUNS};

static const char *const status_words[TRACK_STATUSES] = {
	"RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"};

/* Room for texts of a run that are made while it is looked at. */
struct made {
	struct str location; /* of the experiment */
	char hex[ID_HEX + 1];
	char uri[2200];
};

static bool any_text(const struct tracked *t, size_t at, struct str *out)
{
	if (!at) {
		*out = t->name;
		return true;
	}
	if (--at < t->n_params * 2) {
		*out = at % 2 ? t->params[at / 2].value : t->params[at / 2].key;
		return true;
	}
	at -= t->n_params * 2;
	if (at >= t->n_tags * 2)
		return false;
	*out = at % 2 ? t->tags[at / 2].value : t->tags[at / 2].key;
	return true;
}

static bool dataset_text(const struct tracked *t, unsigned key, size_t at, struct str *out)
{
	if (at >= t->n_inputs)
		return false;
	const struct track_input *in = &t->inputs[at];
	*out = key == DATASET_NAME ? in->name : key == DATASET_DIGEST ? in->digest : in->context;
	return true;
}

static bool attribute_text(
	struct made *m, const struct tracked *t, unsigned attribute, struct str *out)
{
	switch (attribute) {
	case RUN_ID:
		id_hex(t->id, m->hex);
		*out = str_c(m->hex);
		return true;
	case RUN_NAME:
		*out = t->name;
		return true;
	case RUN_STATUS:
		*out = str_c(status_words[t->status]);
		return true;
	case RUN_ARTIFACT_URI:
		id_hex(t->id, m->hex);
		snprintf(m->uri, sizeof m->uri, "%.*s/%s/artifacts",
			STR_FMT(str_sub(m->location, 0, 2048)), m->hex);
		*out = str_c(m->uri);
		return true;
	case RUN_USER:
		*out = t->user;
		return true;
	}
	return false;
}

static bool number_of_run(const struct tracked *t, unsigned attribute, double *out)
{
	switch (attribute) {
	case RUN_START:
		*out = (double)t->start_ms;
		return true;
	case RUN_END:
		*out = (double)t->end_ms;
		return t->end_ms != 0;
	case RUN_EXPERIMENT:
		*out = (double)t->experiment;
		return true;
	case RUN_DURATION: /* in seconds */
		*out = (double)(t->end_ms - t->start_ms) / 1000;
		return t->end_ms != 0;
	}
	return false;
}

static bool value_of_run(void *ctx, const void *item, const struct filter_name *n, size_t at,
	struct filter_value *out)
{
	const struct tracked *t = item;
	const struct track_metric *m;
	if (n->group == RUN_DATASET)
		return dataset_text(t, n->index, at, &out->text);
	if (n->group == RUN_ATTRIBUTE && n->index == RUN_TEXT)
		return any_text(t, at, &out->text);
	if (at)
		return false;
	switch (n->group) {
	case RUN_METRIC:
		m = tracked_metric(t, n->key);
		out->is_number = true;
		if (m)
			out->number = m->point.value;
		return m != NULL;
	case RUN_PARAM:
		out->text = tracked_param(t, n->key);
		return out->text.p != NULL;
	case RUN_TAG:
		out->text = tracked_tag(t, n->key);
		return out->text.p != NULL;
	}
	out->is_number = n->type != FILTER_TEXT;
	return out->is_number ? number_of_run(t, n->index, &out->number)
			      : attribute_text(ctx, t, n->index, &out->text);
}

/* ---- order ---- */

enum err search_order(
	yyjson_val *texts, struct arena *a, struct str **out, size_t *n, struct errtext *et)
{
	size_t count = yyjson_is_arr(texts) ? yyjson_arr_size(texts) : 0, k = 0;
	struct str *v = arena_array_of(a, MAX(count, (size_t)1), struct str);
	if (!v)
		return err_set(et, ERR_NOMEM, "no memory for a search");
	yyjson_arr_iter it;
	yyjson_val *item;
	yyjson_arr_iter_init(texts, &it);
	while (count && (item = yyjson_arr_iter_next(&it)))
		v[k++] = json_val_str(item);
	*out = v;
	*n = k;
	return OK;
}

enum err search_query_orders(
	struct http_request *rq, struct str **out, size_t *n, struct errtext *et)
{
	struct str *v = arena_array_of(rq->arena, rq->n_query + 1, struct str);
	size_t k = 0;
	if (!v)
		return err_set(et, ERR_NOMEM, "no memory for a search");
	for (size_t i = 0; i < rq->n_query; i++)
		if (str_eq_c(rq->query[i].name, "order_by") && rq->query[i].value.n)
			v[k++] = rq->query[i].value;
	*out = v;
	*n = k;
	return OK;
}

/* ---- pages: a token is how many come before ---- */

static enum err page_start(struct str token, int64_t *start, struct errtext *et)
{
	*start = 0;
	if (!token.n)
		return OK;
	if (token.p[0] == 'p' && str_i64(str_sub(token, 1, token.n), start) && *start > 0)
		return OK;
	return err_set(
		et, ERR_INVALID, "Invalid page token: '%.*s'", STR_FMT(str_sub(token, 0, 100)));
}

static struct str page_next(struct arena *a, int64_t start, int64_t n, size_t total)
{
	return (size_t)(start + n) < total ? arena_fmt(a, "p%lld", (long long)(start + n))
					   : (struct str){0};
}

/* ---- runs ---- */

struct matching {
	const struct filter *filter;
	enum track_view view;
	struct tracked **v;
	size_t n, cap;
	struct made made;
};

static enum err match_run(void *ctx, struct tracked *t)
{
	struct matching *m = ctx;
	if (m->view != VIEW_ALL && (t->deleted_ms != 0) != (m->view == VIEW_DELETED))
		return OK;
	if (!filter_match(m->filter, &(struct filter_subject){value_of_run, &m->made}, t))
		return OK;
	if (!heap_room(m->v, m->n, m->cap))
		return ERR_NOMEM;
	atomic_fetch_add(&t->refs, 1);
	m->v[m->n++] = t;
	return OK;
}

static int newest_first(const void *pa, const void *pb)
{
	const struct tracked *a = pa, *b = pb;
	if (a->start_ms != b->start_ms)
		return a->start_ms > b->start_ms ? -1 : 1;
	return memcmp(a->id.b, b->id.b, sizeof a->id.b);
}

static enum err match_experiment(struct croft *c, struct str project, int64_t number,
	struct arena *a, struct matching *m, struct errtext *et)
{
	struct experiment x;
	enum err e = experiment_get(c, project, number, a, &x, et);
	if (e == ERR_NOT_FOUND)
		return OK; /* nothing of it is found, as in MLflow */
	m->made.location = x.location;
	return e ? e : track_cache_each(c, project, number, match_run, m, et);
}

void run_found_free(struct run_found *f)
{
	for (size_t i = 0; i < f->n; i++)
		tracked_free(f->v[i]);
	free(f->v);
	*f = (struct run_found){0};
}

enum err search_runs(struct croft *c, struct str project, const struct run_query *q,
	struct arena *a, struct run_found *out, struct errtext *et)
{
	struct filter_language l = run_language;
	struct filter_order order[FILTER_ORDERS_MAX];
	struct matching m = {.view = q->view};
	int64_t start;
	l.strict = q->strict;
	enum err e = filter_parse(q->filter, &l, a, &m.filter, et);
	if (!e)
		e = filter_parse_orders(q->order, q->n_order, &l, a, order, et);
	if (!e)
		e = page_start(q->page_token, &start, et);
	for (size_t i = 0; i < q->n_experiments && !e; i++)
		e = match_experiment(c, project, q->experiments[i], a, &m, et);
	if (!e)
		e = filter_sort(order, q->n_order, &(struct filter_subject){value_of_run, &m.made},
			(void **)m.v, m.n, newest_first, a, et);
	if (e == ERR_NOMEM)
		err_set(et, e, "no memory for a search");
	size_t from = e ? m.n : MIN((size_t)start, m.n);
	size_t n = e ? 0 : MIN((size_t)q->max_results, m.n - from);
	for (size_t i = 0; i < m.n; i++)
		if (i < from || i >= from + n)
			tracked_free(m.v[i]);
	if (e) {
		free(m.v);
		return e;
	}
	if (n)
		memmove(m.v, m.v + from, n * sizeof(struct tracked *));
	*out = (struct run_found){m.v, n, m.n, page_next(a, (int64_t)from, (int64_t)n, m.n)};
	return OK;
}

/* ---- experiments ---- */

enum experiment_attribute { EXP_ID, EXP_NAME, EXP_CREATED, EXP_UPDATED };

static const struct filter_key experiment_attributes[] = {
	[EXP_ID] = {.names = {"experiment_id"}, .ops = FILTER_OPS_TEXT | FILTER_OP_IN},
	[EXP_NAME] = {.names = {"name"}},
	[EXP_CREATED] = {.names = {"creation_time"}, .type = FILTER_TIME},
	[EXP_UPDATED] = {.names = {"last_update_time"}, .type = FILTER_TIME},
};

static const struct filter_group experiment_groups[] = {
	{.names = {"attribute"},
		.keys = experiment_attributes,
		.n_keys = ARRAY_LEN(experiment_attributes),
		.ops = FILTER_OPS_TEXT},
	{.names = {"tag", "tags"}, .ops = FILTER_OPS_TEXT | FILTER_OP_NULL},
};

static const struct filter_language experiment_language = {.groups = experiment_groups,
	.n_groups = ARRAY_LEN(experiment_groups),
	.of = FILTER_OF_EXPERIMENTS};

static bool value_of_experiment(void *ctx, const void *item, const struct filter_name *n, size_t at,
	struct filter_value *out)
{
	const struct experiment *x = item;
	char *hex = ctx;
	if (at)
		return false;
	if (n->group) {
		for (size_t i = 0; i < x->n_tags && !out->text.p; i++)
			if (str_eq(x->tags[i].key, n->key))
				out->text = x->tags[i].value;
		return out->text.p != NULL;
	}
	switch (n->index) {
	case EXP_ID:
		snprintf(hex, 24, "%lld", (long long)x->number);
		out->text = str_c(hex);
		return true;
	case EXP_NAME:
		out->text = x->name;
		return true;
	}
	out->is_number = true;
	out->number = (double)(n->index == EXP_CREATED ? x->created_ms : x->updated_ms);
	return true;
}

static int newest_experiment_first(const void *pa, const void *pb)
{
	const struct experiment *a = pa, *b = pb;
	if (a->created_ms != b->created_ms)
		return a->created_ms > b->created_ms ? -1 : 1;
	return a->number > b->number ? -1 : 1;
}

enum err search_experiments(struct croft *c, struct str project, const struct experiment_query *q,
	struct arena *a, struct experiment_found *out, struct errtext *et)
{
	struct filter_language l = experiment_language;
	struct filter_order order[FILTER_ORDERS_MAX];
	char hex[24];
	struct filter_subject s = {value_of_experiment, hex};
	const struct filter *f = NULL;
	struct experiment *list = NULL;
	size_t total = 0, n = 0;
	int64_t start = 0;
	l.strict = q->strict;
	enum err e = filter_parse(q->filter, &l, a, &f, et);
	if (!e)
		e = filter_parse_orders(q->order, q->n_order, &l, a, order, et);
	if (!e)
		e = page_start(q->page_token, &start, et);
	if (!e)
		e = experiment_list(c, project, q->view, a, &list, &total, et);
	struct experiment **v = e ? NULL : arena_array_of(a, total + 1, struct experiment *);
	if (!e && !v)
		e = err_set(et, ERR_NOMEM, "no memory for a search");
	for (size_t i = 0; i < total && !e; i++)
		if (filter_match(f, &s, &list[i]))
			v[n++] = &list[i];
	if (!e)
		e = filter_sort(
			order, q->n_order, &s, (void **)v, n, newest_experiment_first, a, et);
	if (e)
		return e;
	size_t from = MIN((size_t)start, n), k = MIN((size_t)q->max_results, n - from);
	*out = (struct experiment_found){v + from, k, page_next(a, (int64_t)from, (int64_t)k, n)};
	return OK;
}
