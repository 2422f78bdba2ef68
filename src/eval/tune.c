/* A search among settings. Half of the queries, drawn by the seed, choose; the other half, which no
 * choice has seen, say how good the choice is.
 *
 * From the configuration's setting on, one thing after another is tried in all its values and the
 * best is kept (coordinate search), until a round changes nothing or the trials are spent. What was
 * tried once is not tried again. The same seed gives the same trials. */
#include "eval/tune.h"

enum { TRIALS = 24, TRIALS_MAX = 500, CHOICES_MAX = 16 };

/* The first of each is what the configuration has. */
struct space {
	struct rag_query configured;
	int64_t chunks[CHOICES_MAX], depths[CHOICES_MAX];
	double diversities[CHOICES_MAX], half_lives[CHOICES_MAX], mixes[CHOICES_MAX];
	struct str models[CHOICES_MAX];
	size_t n_chunks, n_depths, n_diversities, n_half_lives, n_mixes, n_models;
	bool rewrite, decompose, hyde, filters; /* those to try */
	struct str collection, query_model;
};

/* A point: indexes into the space; the last four say whether a stage is not as it is configured. */
enum {
	P_METHOD,
	P_WEIGHT,
	P_CHUNKS,
	P_RERANK, /* as configured; then each model with each depth */
	P_MIX,
	P_DIVERSITY,
	P_HALF_LIFE,
	P_REWRITE,
	P_DECOMPOSE,
	P_HYDE,
	P_FILTERS,
	POINT
};
struct point_tried {
	size_t at[POINT];
	double score;
	struct setting_result r;
};

struct search {
	struct evaluation *v;
	struct space space;
	struct point_tried *tried;
	size_t n, most;
	uint32_t *train, *test;
	size_t n_train, n_test;
	struct errtext *et;
};

static const float weights[] = {0.25f, 0.5f, 0.75f, 1, 1.5f, 2, 4};
enum { WEIGHT_1 = 3 };

static enum err read_numbers(yyjson_val *list, const char *key, int64_t min, int64_t max,
	int64_t *out, size_t *n, struct errtext *et)
{
	size_t i, m;
	yyjson_val *v;
	if (!list || yyjson_is_null(list))
		return OK;
	if (!yyjson_is_arr(list) || yyjson_arr_size(list) > CHOICES_MAX - 1)
		return err_set(
			et, ERR_INVALID, "'%s' must be a list of at most %d", key, CHOICES_MAX - 1);
	yyjson_arr_foreach(list, i, m, v)
	{
		if (!yyjson_is_int(v) || yyjson_get_sint(v) < min || yyjson_get_sint(v) > max)
			return err_set(et, ERR_INVALID, "'%s': whole numbers from %lld to %lld",
				key, (long long)min, (long long)max);
		out[(*n)++] = yyjson_get_sint(v);
	}
	return OK;
}

static enum err read_reals(
	yyjson_val *list, const char *key, double max, double *out, size_t *n, struct errtext *et)
{
	size_t i, m;
	yyjson_val *v;
	if (!list || yyjson_is_null(list))
		return OK;
	if (!yyjson_is_arr(list) || yyjson_arr_size(list) > CHOICES_MAX - 1)
		return err_set(
			et, ERR_INVALID, "'%s' must be a list of at most %d", key, CHOICES_MAX - 1);
	yyjson_arr_foreach(list, i, m, v)
	{
		double x = yyjson_get_num(v);
		if (!yyjson_is_num(v) || !(x > 0) || x > max)
			return err_set(
				et, ERR_INVALID, "'%s': numbers above 0 and up to %g", key, max);
		out[(*n)++] = x;
	}
	return OK;
}

/* `model`, or several `models`; "" is the default one. */
static enum err read_models(struct space *p, yyjson_val *o, struct errtext *et)
{
	yyjson_val *list = yyjson_obj_get(o, "models"), *v;
	size_t i, n;
	struct str one = {0};
	enum err e = json_want_str(o, "model", &one, et);
	if (e || !list || yyjson_is_null(list)) {
		p->models[p->n_models++] = one;
		return e;
	}
	if (!yyjson_is_arr(list) || !yyjson_arr_size(list) || yyjson_arr_size(list) > CHOICES_MAX)
		return err_set(
			et, ERR_INVALID, "'rerank': models must be a list of 1 to %d", CHOICES_MAX);
	yyjson_arr_foreach(list, i, n, v)
	{
		if (!yyjson_is_str(v))
			return err_set(et, ERR_INVALID, "'rerank': models must be names");
		p->models[p->n_models++] = json_val_str(v);
	}
	return OK;
}

static enum err read_stages(struct space *p, yyjson_val *list, struct errtext *et)
{
	struct {
		const char *name;
		bool *flag;
	} known[] = {{"rewrite", &p->rewrite}, {"decompose", &p->decompose}, {"hyde", &p->hyde},
		{"derive_filters", &p->filters}};
	size_t i, n;
	yyjson_val *v;
	yyjson_arr_foreach(list, i, n, v)
	{
		size_t k = 0;
		while (k < ARRAY_LEN(known) && !str_eq_c(json_val_str(v), known[k].name))
			k++;
		if (k == ARRAY_LEN(known))
			return err_set(et, ERR_INVALID,
				"'stages': rewrite, decompose, hyde and derive_filters can be "
				"tried");
		*known[k].flag = true;
	}
	return OK;
}

static enum err parse(struct search *s, yyjson_val *o)
{
	struct space *p = &s->space;
	int64_t trials = TRIALS;
	yyjson_val *rerank = yyjson_obj_get(o, "rerank");
	enum err e = json_want_i64(o, "trials", 1, TRIALS_MAX, &trials, s->et);
	e = e ? e : json_want_str(o, "collection", &p->collection, s->et);
	e = e ? e
	      : read_numbers(yyjson_obj_get(o, "chunk_tokens"), "chunk_tokens", 0, 8192, p->chunks,
			&p->n_chunks, s->et);
	e = e ? e : read_models(p, rerank, s->et);
	e = e ? e : rag_query_parse(s->v->c, NULL, &p->configured, s->et);
	p->mixes[p->n_mixes++] = (double)p->configured.rerank_weight;
	p->diversities[p->n_diversities++] = (double)p->configured.stages.diversity;
	p->half_lives[p->n_half_lives++] = p->configured.stages.half_life_days;
	e = e ? e
	      : read_numbers(yyjson_obj_get(rerank, "depths"), "depths", 1, 1000, p->depths,
			&p->n_depths, s->et);
	e = e ? e
	      : read_reals(yyjson_obj_get(rerank, "weights"), "weights", 1, p->mixes, &p->n_mixes,
			s->et);
	e = e ? e
	      : read_reals(yyjson_obj_get(o, "diversity"), "diversity", 1, p->diversities,
			&p->n_diversities, s->et);
	e = e ? e
	      : read_reals(yyjson_obj_get(o, "half_life_days"), "half_life_days", 1e6,
			p->half_lives, &p->n_half_lives, s->et);
	e = e ? e : json_want_str(o, "query_model", &p->query_model, s->et);
	e = e ? e : read_stages(p, yyjson_obj_get(o, "stages"), s->et);
	if (!e && (p->rewrite || p->decompose || p->hyde))
		e = need(s->v->rq, PERM_MODEL_USE, s->et);
	if (!p->n_chunks || p->collection.n) {
		p->n_chunks = 1;
		p->chunks[0] = 0;
	}
	s->most = (size_t)trials;
	return e;
}

/* A shuffle; the first half trains. */
static enum err split(struct search *s)
{
	size_t n = s->v->set.n;
	uint64_t seed = (uint64_t)s->v->seed;
	uint32_t *all = arena_array_of(s->v->rq->arena, n, uint32_t);
	if (!all)
		return err_set(s->et, ERR_NOMEM, "no memory to tune");
	if (n < 4)
		return err_set(s->et, ERR_INVALID, "tuning needs at least 4 queries, not %zu", n);
	for (size_t i = 0; i < n; i++)
		all[i] = (uint32_t)i;
	for (size_t i = n - 1; i; i--) {
		size_t k = (size_t)eval_random(&seed, i + 1);
		uint32_t t = all[i];
		all[i] = all[k];
		all[k] = t;
	}
	s->train = all;
	s->n_train = n / 2;
	s->test = all + s->n_train;
	s->n_test = n - s->n_train;
	return OK;
}

/* Weights say nothing when one side is asked alone, or nothing is reranked: such points are one. */
static void canonical(const struct space *sp, struct point_tried *p)
{
	if (p->at[P_METHOD] != RAG_HYBRID)
		p->at[P_WEIGHT] = WEIGHT_1;
	if (!p->at[P_RERANK] && !sp->configured.rerank)
		p->at[P_MIX] = 0;
}

static void set_rerank(const struct space *sp, const struct point_tried *p, struct rag_query *q)
{
	size_t at = p->at[P_RERANK];
	q->rerank = at || sp->configured.rerank;
	q->rerank_depth = sp->configured.rerank_depth;
	if (at) {
		q->rerank_depth = (size_t)sp->depths[(at - 1) % sp->n_depths];
		q->rerank_model = sp->models[(at - 1) / sp->n_depths];
	}
	q->rerank_weight = (float)sp->mixes[p->at[P_MIX]];
}

static struct setting_result setting_of(const struct search *s, const struct point_tried *p)
{
	struct setting_result r = {.trial = true};
	r.query.method = (enum rag_method)p->at[P_METHOD];
	r.query.balance = weights[p->at[P_WEIGHT]];
	r.query.collection = s->space.collection;
	set_rerank(&s->space, p, &r.query);
	const struct space *sp = &s->space;
	struct rag_stages *on = &r.query.stages;
	*on = sp->configured.stages;
	on->rewrite ^= p->at[P_REWRITE] > 0;
	on->decompose ^= p->at[P_DECOMPOSE] > 0;
	on->hyde ^= p->at[P_HYDE] > 0;
	on->derive_filters ^= p->at[P_FILTERS] > 0;
	if (sp->query_model.n)
		on->model = sp->query_model;
	on->diversity = (float)sp->diversities[p->at[P_DIVERSITY]];
	on->half_life_days = sp->half_lives[p->at[P_HALF_LIFE]];
	r.corpus.chunk_tokens = s->space.chunks[p->at[P_CHUNKS]];
	return r;
}

/* Who waits for the end sees what the best is by now. */
static enum err tell_best(struct search *s)
{
	const struct point_tried *best = &s->tried[0];
	for (size_t i = 1; i < s->n; i++)
		if (s->tried[i].score > best->score)
			best = &s->tried[i];
	s->v->best = arena_fmt(s->v->rq->arena, "%.4f %.*s", best->score, STR_FMT(best->r.label));
	return s->v->best.p ? OK : err_set(s->et, ERR_NOMEM, "no memory to tune");
}

/* Its mean nDCG@10 on the training half. NULL in *out: no trial is left. */
static enum err try_point(struct search *s, struct point_tried p, struct point_tried **out)
{
	*out = NULL;
	canonical(&s->space, &p);
	for (size_t i = 0; i < s->n; i++)
		if (!memcmp(s->tried[i].at, p.at, sizeof p.at)) {
			*out = &s->tried[i];
			return OK;
		}
	if (s->n == s->most)
		return OK;
	p.r = setting_of(s, &p);
	p.r.label = setting_label(&p.r, s->v->rq->arena);
	s->v->trial = s->n + 1;
	s->v->told_ms = 0; /* each is told, however short it is */
	enum err e = setting_prepare(s->v, &p.r, s->et);
	e = e ? e : evaluate(s->v, &p.r, s->train, s->n_train, s->v->rq->arena, s->et);
	e = e ? e : summarise(s->v, &p.r, NULL, s->train, s->n_train, s->et);
	if (!e && s->v->experiment.n)
		e = record(s->v, &p.r, s->train, s->n_train, s->et);
	if (e)
		return e;
	p.score = p.r.metrics[EVAL_NDCG10].mean;
	s->tried[s->n] = p;
	*out = &s->tried[s->n++];
	return tell_best(s);
}

static enum err climb(struct search *s, struct point_tried **best)
{
	const struct space *sp = &s->space;
	const size_t sizes[POINT] = {3, ARRAY_LEN(weights), sp->n_chunks,
		1 + sp->n_depths * sp->n_models, sp->n_mixes, sp->n_diversities, sp->n_half_lives,
		1 + sp->rewrite, 1 + sp->decompose, 1 + sp->hyde, 1 + sp->filters};
	bool changed = true;
	while (changed && s->n < s->most) {
		changed = false;
		for (size_t d = 0; d < ARRAY_LEN(sizes); d++)
			for (size_t k = 0; k < sizes[d]; k++) {
				struct point_tried p = **best, *got;
				p.at[d] = k;
				enum err e = try_point(s, p, &got);
				if (e)
					return e;
				if (got && got->score > (*best)->score + 1e-9) {
					*best = got;
					changed = true;
				}
			}
	}
	return OK;
}

/* The whole tuning half's choice and the start, on the half that was held out. */
static enum err hold_out(
	struct search *s, struct setting_result *start, struct setting_result *best)
{
	struct evaluation *v = s->v;
	start->trial = best->trial = false;
	enum err e = evaluate(v, start, s->test, s->n_test, v->rq->arena, s->et);
	e = e ? e : summarise(v, start, NULL, s->test, s->n_test, s->et);
	if (!e && v->experiment.n)
		e = record(v, start, s->test, s->n_test, s->et);
	if (e || best == start)
		return e;
	e = evaluate(v, best, s->test, s->n_test, v->rq->arena, s->et);
	e = e ? e : summarise(v, best, start, s->test, s->n_test, s->et);
	if (!e && v->experiment.n)
		e = record(v, best, s->test, s->n_test, s->et);
	return e;
}

static void write_trials(struct jw *w, const struct search *s)
{
	jw_key(w, "trials");
	jw_arr(w);
	for (size_t i = 0; i < s->n; i++) {
		jw_obj(w);
		write_setting(w, s->v, &s->tried[i].r);
		jw_kf64(w, "ndcg_at_10", s->tried[i].score);
		jw_end(w);
	}
	jw_end(w);
}

/* What is to be other than it is configured. */
static void advise_stages(struct jw *w, const struct rag_stages *was, const struct rag_stages *s)
{
	const struct {
		const char *setting;
		bool was, on;
	} flags[] = {{"rag.rewrite", was->rewrite, s->rewrite},
		{"rag.decompose", was->decompose, s->decompose}, {"rag.hyde", was->hyde, s->hyde},
		{"rag.derive_filters", was->derive_filters, s->derive_filters}};
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (flags[i].on != flags[i].was)
			jw_kbool(w, flags[i].setting, flags[i].on);
	if (rag_stages_ask(s) && !str_eq(s->model, was->model))
		jw_kstr(w, "rag.query_model", s->model);
	if (s->diversity != was->diversity)
		jw_ki64(w, "rag.diversity", (int64_t)((double)s->diversity * 100 + 0.5));
	if (s->half_life_days != was->half_life_days)
		jw_ki64(w, "rag.half_life_days", (int64_t)(s->half_life_days + 0.5));
}

/* The model stands behind `query`: its setting is not one of rag's. */
static void advise_rerank(struct jw *w, const struct rag_query *was, const struct rag_query *q)
{
	if (!q->rerank)
		return;
	if (!was->rerank || q->rerank_depth != was->rerank_depth)
		jw_ki64(w, "rag.rerank_depth", (int64_t)q->rerank_depth);
	if (q->rerank_weight != was->rerank_weight)
		jw_ki64(w, "rag.rerank_weight", (int64_t)((double)q->rerank_weight * 100 + 0.5));
}

static void write_advice(struct jw *w, const struct search *s, const struct setting_result *best)
{
	const struct croft *c = s->v->c;
	jw_key(w, "configuration");
	jw_obj(w);
	if (best->query.method == RAG_HYBRID)
		jw_ki64(w, "rag.dense_weight", (int64_t)(setting_weight(c, best) * 100 + 0.5));
	if (best->corpus.chunk_tokens) {
		jw_ki64(w, "rag.chunk_tokens", best->corpus.chunk_tokens);
		jw_ki64(w, "rag.chunk_overlap",
			setting_int(c, "rag.chunk_overlap") * best->corpus.chunk_tokens /
				MAX(setting_int(c, "rag.chunk_tokens"), 1));
	}
	advise_rerank(w, &s->space.configured, &best->query);
	advise_stages(w, &s->space.configured.stages, &best->query.stages);
	jw_end(w);
	jw_key(w, "query");
	jw_obj(w);
	jw_kc(w, "method", setting_method(best));
	if (best->query.rerank) {
		jw_key(w, "rerank");
		jw_obj(w);
		jw_kstr(w, "model", best->query.rerank_model);
		jw_ki64(w, "depth", (int64_t)best->query.rerank_depth);
		jw_key(w, "weight");
		jw_f32(w, best->query.rerank_weight);
		jw_end(w);
	}
	rag_stages_write(w, &best->query.stages);
	jw_end(w);
}

enum err tune(struct evaluation *v, yyjson_val *o, struct jw *w, struct errtext *et)
{
	struct search s = {.v = v, .et = et};
	struct point_tried begin = {.at = {RAG_HYBRID, WEIGHT_1}}, *best;
	enum err e = parse(&s, o);
	e = e ? e : split(&s);
	if (e)
		return e;
	s.tried = arena_array_of(v->rq->arena, s.most + 1, struct point_tried);
	if (!s.tried)
		return err_set(et, ERR_NOMEM, "no memory to tune");
	v->total = s.most * s.n_train + 2 * s.n_test;
	v->trials = s.most;
	v->best = S("");
	e = try_point(&s, begin, &best);
	struct point_tried *start = best;
	e = e ? e : climb(&s, &best);
	struct setting_result first = {0}, last = {0}, *chosen = &last;
	if (!e) {
		first = start->r;
		last = best->r;
		v->trials = 0;
		v->total = v->done + (best == start ? 1 : 2) * s.n_test;
		chosen = best == start ? &first : &last;
		e = hold_out(&s, &first, chosen);
	}
	if (e)
		return e;
	jw_obj(w);
	write_head(w, v, s.n_test);
	jw_ki64(w, "queries_to_tune", (int64_t)s.n_train);
	write_trials(w, &s);
	jw_key(w, "settings");
	jw_arr(w);
	write_result(w, v, &first, &first, s.test, s.n_test);
	if (chosen != &first)
		write_result(w, v, &first, chosen, s.test, s.n_test);
	jw_end(w);
	write_advice(w, &s, chosen);
	jw_end(w);
	return jw_done(w) ? OK : err_set(et, ERR_NOMEM, "no memory for the reply");
}
