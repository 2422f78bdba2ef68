/* Filtering, ordering and paging of runs and experiments. */
#include "run/search.h"
#include "run/run_int.h"
#include "run/track_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { ORDER_MAX = 16 };

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

static const struct filter_attribute run_attributes[] = {
	[RUN_ID] = {.names = {"run_id"}, .list = true},
	[RUN_NAME] = {.names = {"run_name", "run name", "Run name", "Run Name"}},
	[RUN_STATUS] = {.names = {"status"}},
	[RUN_ARTIFACT_URI] = {.names = {"artifact_uri"}},
	[RUN_USER] = {.names = {"user_id"}},
	[RUN_START] = {.names = {"start_time", "created", "Created"}, .number = true, .time = true},
	[RUN_END] = {.names = {"end_time"}, .number = true, .time = true},
	[RUN_TEXT] = {.names = {"text"}, .extended = true},
	[RUN_EXPERIMENT] = {.names = {"experiment_id"}, .number = true, .extended = true},
	[RUN_DURATION] = {.names = {"duration"}, .number = true, .extended = true},
};

static const char *const status_words[TRACK_STATUSES] = {
	"RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"};

/* What a run is while it is filtered: with room for texts that are made. */
struct subject {
	const struct tracked *t;
	struct str location;
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

static bool dataset_text(
	const struct tracked *t, const struct filter_name *n, size_t at, struct str *out)
{
	if (at >= t->n_inputs)
		return false;
	const struct track_input *in = &t->inputs[at];
	*out = str_eq_c(n->key, "name")     ? in->name
	       : str_eq_c(n->key, "digest") ? in->digest
					    : in->context;
	return true;
}

static bool text_of_run(
	const void *subject, const struct filter_name *n, size_t at, struct str *out)
{
	struct subject *s = (struct subject *)(uintptr_t)subject;
	const struct tracked *t = s->t;
	if (n->kind == FILTER_DATASET)
		return dataset_text(t, n, at, out);
	if (n->kind == FILTER_ATTRIBUTE && n->attribute == RUN_TEXT)
		return any_text(t, at, out);
	if (at)
		return false;
	if (n->kind == FILTER_PARAM || n->kind == FILTER_TAG) {
		*out = n->kind == FILTER_PARAM ? tracked_param(t, n->key) : tracked_tag(t, n->key);
		return out->p != NULL;
	}
	switch (n->attribute) {
	case RUN_ID:
		id_hex(t->id, s->hex);
		*out = str_c(s->hex);
		return true;
	case RUN_NAME:
		*out = t->name;
		return true;
	case RUN_STATUS:
		*out = str_c(status_words[t->status]);
		return true;
	case RUN_ARTIFACT_URI:
		id_hex(t->id, s->hex);
		snprintf(s->uri, sizeof s->uri, "%.*s/%s/artifacts",
			STR_FMT(str_sub(s->location, 0, 2048)), s->hex);
		*out = str_c(s->uri);
		return true;
	case RUN_USER:
		*out = t->user;
		return true;
	}
	return false;
}

static bool number_of_run(const void *subject, const struct filter_name *n, double *out)
{
	const struct tracked *t = ((const struct subject *)subject)->t;
	if (n->kind == FILTER_METRIC) {
		const struct track_metric *m = tracked_metric(t, n->key);
		if (m)
			*out = m->point.value;
		return m != NULL;
	}
	switch (n->attribute) {
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

static const struct filter_subject run_subject = {text_of_run, number_of_run};

/* ---- order ---- */

struct order {
	struct filter_name name;
	bool descending;
};

struct key {
	/* 0: a value, 1: NaN, 2: none. Those come last, whatever the direction. */
	unsigned rank;
	double number;
	struct str text;
};

struct sortable {
	const void *subject;
	const struct key *keys;
};

struct sorting {
	const struct order *order;
	size_t n;
	int (*otherwise)(const void *a, const void *b);
};

static int compare(const void *pa, const void *pb, void *ctx)
{
	const struct sortable *a = pa, *b = pb;
	const struct sorting *s = ctx;
	for (size_t i = 0; i < s->n; i++) {
		const struct key *x = &a->keys[i], *y = &b->keys[i];
		int c;
		if (x->rank != y->rank)
			return x->rank < y->rank ? -1 : 1;
		if (x->rank)
			continue;
		if (s->order[i].name.number)
			c = x->number < y->number ? -1 : x->number > y->number;
		else
			c = str_cmp(x->text, y->text);
		if (c)
			return s->order[i].descending ? -c : c;
	}
	return s->otherwise(a->subject, b->subject);
}

static enum err make_key(const struct filter_subject *how, const void *subject,
	const struct filter_name *n, struct arena *a, struct key *out)
{
	struct key k = {0};
	if (n->number) {
		if (!how->number(subject, n, &k.number))
			k.rank = 2;
		else if (isnan(k.number))
			k.rank = 1;
	} else if (!how->text(subject, n, 0, &k.text)) {
		k.rank = 2;
	} else if (n->kind == FILTER_ATTRIBUTE) { /* some are made for the moment only */
		k.text = arena_str(a, k.text);
		if (!k.text.p)
			return ERR_NOMEM;
	}
	*out = k;
	return OK;
}

static enum err parse_orders(const struct str *texts, size_t n, const struct filter_words *words,
	struct arena *a, struct order *out, struct errtext *et)
{
	if (n > ORDER_MAX)
		return err_set(
			et, ERR_INVALID, "order_by: at most %d keys are possible", ORDER_MAX);
	for (size_t i = 0; i < n; i++) {
		enum err e = run_filter_parse_order(
			texts[i], words, a, &out[i].name, &out[i].descending, et);
		if (e)
			return e;
	}
	return OK;
}

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
	struct str location;
	struct tracked **v;
	size_t n, cap;
	struct subject s;
};

static enum err match_run(void *ctx, struct tracked *t)
{
	struct matching *m = ctx;
	if (m->view != VIEW_ALL && (t->deleted_ms != 0) != (m->view == VIEW_DELETED))
		return OK;
	m->s.t = t;
	m->s.location = m->location;
	if (!run_filter_match(m->filter, &run_subject, &m->s))
		return OK;
	if (m->n == m->cap) {
		size_t cap = m->cap ? m->cap * 2 : 256;
		struct tracked **v = realloc(m->v, cap * sizeof(struct tracked *));
		if (!v)
			return ERR_NOMEM;
		m->v = v;
		m->cap = cap;
	}
	atomic_fetch_add(&t->refs, 1);
	m->v[m->n++] = t;
	return OK;
}

static int newest_first(const void *pa, const void *pb)
{
	const struct tracked *a = ((const struct tracked *const *)pa)[0];
	const struct tracked *b = ((const struct tracked *const *)pb)[0];
	if (a->start_ms != b->start_ms)
		return a->start_ms > b->start_ms ? -1 : 1;
	return memcmp(a->id.b, b->id.b, sizeof a->id.b);
}

static enum err sort_runs(struct matching *m, const struct order *order, size_t n, struct arena *a)
{
	struct sortable *v = arena_array_of(a, m->n + 1, struct sortable);
	struct key *keys = arena_array_of(a, m->n * n + 1, struct key);
	struct sorting s = {order, n, newest_first};
	struct tracked **sorted = arena_array_of(a, m->n + 1, struct tracked *);
	if (!v || !keys || !sorted)
		return ERR_NOMEM;
	if (!m->n)
		return OK;
	for (size_t i = 0; i < m->n; i++) {
		v[i] = (struct sortable){&m->v[i], &keys[i * n]};
		m->s.t = m->v[i];
		for (size_t k = 0; k < n; k++) {
			enum err e =
				make_key(&run_subject, &m->s, &order[k].name, a, &keys[i * n + k]);
			if (e)
				return e;
		}
	}
	qsort_r(v, m->n, sizeof *v, compare, &s);
	for (size_t i = 0; i < m->n; i++)
		sorted[i] = ((struct tracked *const *)v[i].subject)[0];
	memcpy(m->v, sorted, m->n * sizeof(struct tracked *));
	return OK;
}

static enum err match_experiment(struct croft *c, struct str project, int64_t number,
	struct arena *a, struct matching *m, struct errtext *et)
{
	struct experiment x;
	enum err e = experiment_get(c, project, number, a, &x, et);
	if (e == ERR_NOT_FOUND)
		return OK; /* nothing of it is found, as in MLflow */
	m->location = x.location;
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
	struct filter_words words = {run_attributes, ARRAY_LEN(run_attributes), 0x1F, q->strict};
	struct order order[ORDER_MAX];
	struct matching m = {.view = q->view};
	int64_t start;
	enum err e = run_filter_parse(q->filter, &words, a, &m.filter, et);
	if (!e)
		e = parse_orders(q->order, q->n_order, &words, a, order, et);
	if (!e)
		e = page_start(q->page_token, &start, et);
	for (size_t i = 0; i < q->n_experiments && !e; i++)
		e = match_experiment(c, project, q->experiments[i], a, &m, et);
	if (!e)
		e = sort_runs(&m, order, q->n_order, a);
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

enum experiment_attribute { EXP_NAME, EXP_CREATED, EXP_UPDATED, EXP_ID };

static const struct filter_attribute experiment_attributes[] = {
	[EXP_NAME] = {.names = {"name"}},
	[EXP_CREATED] = {.names = {"creation_time"}, .number = true, .time = true},
	[EXP_UPDATED] = {.names = {"last_update_time"}, .number = true, .time = true},
	[EXP_ID] = {.names = {"experiment_id"}},
};

struct experiment_subject {
	const struct experiment *x;
	char id[24];
};

static bool experiment_text(
	const void *subject, const struct filter_name *n, size_t at, struct str *out)
{
	struct experiment_subject *s = (struct experiment_subject *)(uintptr_t)subject;
	if (at)
		return false;
	if (n->kind == FILTER_TAG) {
		for (size_t i = 0; i < s->x->n_tags; i++)
			if (str_eq(s->x->tags[i].key, n->key)) {
				*out = s->x->tags[i].value;
				return true;
			}
		return false;
	}
	if (n->attribute == EXP_NAME) {
		*out = s->x->name;
	} else {
		snprintf(s->id, sizeof s->id, "%lld", (long long)s->x->number);
		*out = str_c(s->id);
	}
	return true;
}

static bool experiment_number(const void *subject, const struct filter_name *n, double *out)
{
	const struct experiment *x = ((const struct experiment_subject *)subject)->x;
	*out = (double)(n->attribute == EXP_CREATED ? x->created_ms : x->updated_ms);
	return true;
}

static const struct filter_subject experiment_subject = {experiment_text, experiment_number};

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
	struct filter_words words = {experiment_attributes, ARRAY_LEN(experiment_attributes),
		1u << FILTER_ATTRIBUTE | 1u << FILTER_TAG, q->strict};
	struct order order[ORDER_MAX];
	struct sorting s = {order, q->n_order, newest_experiment_first};
	const struct filter *f = NULL;
	struct experiment *list = NULL;
	size_t total = 0, n = 0;
	int64_t start = 0;
	enum err e = run_filter_parse(q->filter, &words, a, &f, et);
	if (!e)
		e = parse_orders(q->order, q->n_order, &words, a, order, et);
	if (!e)
		e = page_start(q->page_token, &start, et);
	if (!e)
		e = experiment_list(c, project, q->view, a, &list, &total, et);
	struct sortable *v = e ? NULL : arena_array_of(a, total + 1, struct sortable);
	struct key *keys = e ? NULL : arena_array_of(a, total * q->n_order + 1, struct key);
	struct experiment **found = e ? NULL : arena_array_of(a, total + 1, struct experiment *);
	if (!e && (!v || !keys || !found))
		e = ERR_NOMEM;
	for (size_t i = 0; i < total && !e; i++) {
		struct experiment_subject sub = {.x = &list[i]};
		if (!run_filter_match(f, &experiment_subject, &sub))
			continue;
		v[n] = (struct sortable){&list[i], &keys[n * q->n_order]};
		for (size_t k = 0; k < q->n_order && !e; k++)
			e = make_key(&experiment_subject, &sub, &order[k].name, a,
				&keys[n * q->n_order + k]);
		n++;
	}
	if (e == ERR_NOMEM)
		err_set(et, e, "no memory for a search");
	if (e)
		return e;
	qsort_r(v, n, sizeof *v, compare, &s);
	size_t from = MIN((size_t)start, n), k = MIN((size_t)q->max_results, n - from);
	for (size_t i = 0; i < k; i++)
		found[i] = (struct experiment *)(uintptr_t)v[from + i].subject;
	*out = (struct experiment_found){found, k, page_next(a, (int64_t)from, (int64_t)k, n)};
	return OK;
}
