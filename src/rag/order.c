/* Stages that put hits in another order: age, and diversity. */
#include "rag/stages.h"

#include "base/clock.h"
#include "kernels/kernels.h"
#include "vector/diverse.h"

#include <math.h>
#include <stdlib.h>

float hit_score(const struct rag_hit *h)
{
	return (h->before ? h->mixed : h->relevance) * (h->age > 0 ? h->age : 1);
}

/* ---- age ---- */

/* A date, or seconds (or, beyond the year 5138, milliseconds) since 1970. 0: none. */
static int64_t attribute_ms(struct str json, struct str key)
{
	yyjson_doc *doc = NULL;
	int64_t ms = 0;
	if (!json.n || json_parse(json, &doc, NULL))
		return 0;
	yyjson_val *v = yyjson_obj_getn(yyjson_doc_get_root(doc), key.p, key.n);
	double number = yyjson_get_num(v);
	if (yyjson_is_num(v) && fabs(number) < 1e15)
		ms = (int64_t)(fabs(number) < 1e11 ? number * 1000 : number);
	else if (!clock_parse_rfc3339(json_val_str(v), &ms))
		ms = 0;
	yyjson_doc_free(doc);
	return ms;
}

static int64_t date_of(const struct rag_hit *h, struct str field)
{
	int64_t ms = 0;
	if (str_eq_c(field, "added"))
		return h->added_ms;
	if (str_eq_c(field, "updated"))
		return h->updated_ms;
	if (field.n)
		ms = attribute_ms(h->attributes, field);
	return ms ? ms : h->date_ms;
}

struct placed {
	struct rag_hit hit;
	size_t at;
	float score;
};

static int by_score(const void *a, const void *b)
{
	const struct placed *x = a, *y = b;
	if (x->score != y->score)
		return x->score < y->score ? 1 : -1;
	return (x->at > y->at) - (x->at < y->at);
}

/* Equal ones stay in their order. */
static enum err sort_hits(struct rag_hit *hits, size_t n, struct errtext *et)
{
	struct placed *p = malloc((n + 1) * sizeof *p);
	if (!p)
		return err_set(et, ERR_NOMEM, "no memory to order hits");
	for (size_t i = 0; i < n; i++)
		p[i] = (struct placed){hits[i], i, hit_score(&hits[i])};
	qsort(p, n, sizeof *p, by_score);
	for (size_t i = 0; i < n; i++)
		hits[i] = p[i].hit;
	free(p);
	return OK;
}

enum err stage_age(struct stage *x, struct rag_hit *hits, size_t n)
{
	const struct rag_stages *s = &x->q->stages;
	struct step step;
	int64_t now = clock_unix_ms();
	double weight = s->recency_weight > 0 ? (double)s->recency_weight : 0.5;
	step_begin(&step, x->q, x->trail, "recency", "chain");
	for (size_t i = 0; i < n; i++) {
		double days = (double)MAX(now - date_of(&hits[i], s->date_field), 0) / 86400000;
		hits[i].age = (float)(1 - weight + weight * exp2(-days / s->half_life_days));
		hits[i].age = MAX(hits[i].age, 1e-6f);
	}
	enum err e = sort_hits(hits, n, x->et);
	step_hits(&step, hits, n, x->a, hit_score);
	step_end(&step, e, x->et);
	return e;
}

/* ---- diversity ---- */

struct pairs {
	const float *vectors;
	const bool *there;
	size_t dim;
};

static float alike(void *ctx, size_t a, size_t b)
{
	const struct pairs *p = ctx;
	if (!p->there[a] || !p->there[b])
		return 0;
	return kern->dot(p->vectors + a * p->dim, p->vectors + b * p->dim, p->dim);
}

static enum err read_vectors(
	struct stage *x, const struct rag_hit *hits, size_t n, float *vectors, bool *there)
{
	size_t dim = x->r->dim;
	struct tx *tx;
	enum err e = db_begin(croft_db(x->c), TX_READ, &tx, x->et);
	if (e)
		return e;
	for (size_t i = 0; i < n && !e; i++) {
		float *v = vectors + i * dim;
		e = store_vector_get(tx, str_c(x->r->space), hits[i].sha256, v, dim, x->et);
		there[i] = !e;
		if (there[i])
			kern->normalize(v, v, dim);
		e = e == ERR_NOT_FOUND ? OK : e;
	}
	db_rollback(tx);
	return e;
}

/* Relevance on the scale of cosines: of the best it is 1. */
static enum err choose(struct stage *x, struct rag_hit *hits, size_t *n, size_t max)
{
	size_t dim = x->r->dim, kept = MIN(*n, max);
	float *vectors = malloc((*n * dim + 1) * sizeof *vectors);
	float *relevance = malloc((*n + 1) * sizeof *relevance), best = 1e-6f;
	bool *there = malloc(*n + 1);
	uint32_t *order = malloc((*n + 1) * sizeof *order);
	struct rag_hit *chosen = malloc((kept + 1) * sizeof *chosen);
	struct pairs pairs = {vectors, there, dim};
	enum err e = vectors && relevance && there && order && chosen
			     ? read_vectors(x, hits, *n, vectors, there)
			     : err_set(x->et, ERR_NOMEM, "no memory to choose among hits");
	for (size_t i = 0; i < *n && !e; i++)
		best = MAX(best, hit_score(&hits[i]));
	for (size_t i = 0; i < *n && !e; i++)
		relevance[i] = hit_score(&hits[i]) / best;
	e = e ? e
	      : diverse_choose(relevance, *n, max, 1 - x->q->stages.diversity, alike, &pairs, order,
			x->et);
	for (size_t i = 0; i < kept && !e; i++)
		chosen[i] = hits[order[i]];
	if (!e) {
		memcpy(hits, chosen, kept * sizeof *chosen);
		*n = kept;
	}
	free(vectors);
	free(relevance);
	free(there);
	free(order);
	free(chosen);
	return e;
}

enum err stage_diversify(struct stage *x, struct rag_hit *hits, size_t *n, size_t max)
{
	struct step step;
	step_begin(&step, x->q, x->trail, "diversity", "chain");
	span_f64(step.span, "diversity", (double)x->q->stages.diversity);
	enum err e = choose(x, hits, n, max);
	step_hits(&step, hits, *n, x->a, hit_score);
	step_end(&step, e, x->et);
	return e;
}
