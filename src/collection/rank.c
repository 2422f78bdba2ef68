/* Fusion of lists, and diversity within one. */
#include "collection/rank.h"
#include "kernels/kernels.h"
#include "vector/diverse.h"

#include <math.h>
#include <stdlib.h>

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for hits");
}

/* ---- fusion ---- */

/* An item of some of the lists. */
struct entry {
	struct item_hit hit;
	size_t order;
};

static int by_key(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	if (x->hit.key != y->hit.key)
		return x->hit.key < y->hit.key ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

static int by_score(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	if (x->hit.score != y->hit.score)
		return x->hit.score > y->hit.score ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* Entries with one key become one, with the sum of their scores. */
static enum err sum(
	struct entry *all, size_t n, struct arena *a, struct hit_list *out, struct errtext *et)
{
	size_t kept = 0;
	qsort(all, n, sizeof *all, by_key);
	for (size_t i = 0; i < n; i++)
		if (kept && all[kept - 1].hit.key == all[i].hit.key)
			all[kept - 1].hit.score += all[i].hit.score;
		else
			all[kept++] = all[i];
	qsort(all, kept, sizeof *all, by_score);
	struct item_hit *hits = arena_array_of(a, kept + 1, struct item_hit);
	if (!hits)
		return no_memory(et);
	for (size_t i = 0; i < kept; i++)
		hits[i] = all[i].hit;
	*out = (struct hit_list){hits, kept, 1};
	return OK;
}

static struct entry *entries(
	const struct hit_list *lists, size_t n_lists, struct arena *a, size_t *n)
{
	size_t all = 0;
	for (size_t i = 0; i < n_lists; i++)
		all += lists[i].n;
	struct entry *e = arena_array_of(a, all + 1, struct entry);
	*n = 0;
	for (size_t i = 0; e && i < n_lists; i++)
		for (size_t j = 0; j < lists[i].n; j++) {
			e[*n] = (struct entry){lists[i].hits[j], *n};
			++*n;
		}
	return e;
}

enum err rank_reciprocal(const struct hit_list *lists, size_t n_lists, float k, struct arena *a,
	struct hit_list *out, struct errtext *et)
{
	size_t n, at = 0;
	struct entry *all = entries(lists, n_lists, a, &n);
	if (!all)
		return no_memory(et);
	for (size_t i = 0; i < n_lists; i++)
		for (size_t j = 0; j < lists[i].n; j++, at++) {
			float w = lists[i].weight;
			all[at].hit.score = w > 0 ? 1 / ((float)(j + 1) / w + k - 1) : 0;
		}
	return sum(all, n, a, out, et);
}

/* The lowest and the highest score that are to become 0 and 1; false: all are equal. */
static bool spread(const struct hit_list *l, double *low, double *high)
{
	double mean = 0, squares = 0;
	for (size_t i = 0; i < l->n; i++)
		mean += l->hits[i].score / (double)l->n;
	for (size_t i = 0; i < l->n; i++)
		squares += pow(l->hits[i].score - mean, 2);
	double sd = l->n > 1 ? sqrt(squares / (double)(l->n - 1)) : 0;
	*low = mean - 3 * sd;
	*high = mean + 3 * sd;
	return sd > 0;
}

enum err rank_scores(const struct hit_list *lists, size_t n_lists, struct arena *a,
	struct hit_list *out, struct errtext *et)
{
	size_t n, at = 0;
	struct entry *all = entries(lists, n_lists, a, &n);
	if (!all)
		return no_memory(et);
	for (size_t i = 0; i < n_lists; i++) {
		double low, high;
		bool differ = spread(&lists[i], &low, &high);
		for (size_t j = 0; j < lists[i].n; j++, at++)
			all[at].hit.score =
				differ ? (float)((lists[i].hits[j].score - low) / (high - low))
				       : 0.5f;
	}
	return sum(all, n, a, out, et);
}

/* ---- diversity ---- */

static const float *vector_of(const struct item_hit *h, const struct space *s)
{
	for (size_t i = 0; i < h->item.n_vectors; i++)
		if (str_eq(h->item.vectors[i].space, s->name))
			return h->item.vectors[i].v;
	return NULL;
}

/* Higher is more alike. */
static float alike(const struct space *s, const float *a, const float *b)
{
	float far;
	if (s->distance == DISTANCE_DOT)
		return kern->dot(a, b, s->dim);
	if (s->distance == DISTANCE_L2) {
		kern->l2s(a, b, s->dim, 1, s->dim, &far);
		return -far;
	}
	if (s->distance == DISTANCE_L1) {
		kern->l1s(a, b, s->dim, 1, s->dim, &far);
		return -far;
	}
	float length = sqrtf(kern->dot(a, a, s->dim) * kern->dot(b, b, s->dim));
	return length > 0 ? kern->dot(a, b, s->dim) / length : 0;
}

struct pairs {
	const struct space *space;
	const float **vectors;
};

static float alike_at(void *ctx, size_t a, size_t b)
{
	const struct pairs *p = ctx;
	return alike(p->space, p->vectors[a], p->vectors[b]);
}

static enum err vectors_of(const struct space *s, const struct hit_list *list, const float *query,
	const float **vectors, float *relevance, struct errtext *et)
{
	for (size_t i = 0; i < list->n; i++) {
		vectors[i] = vector_of(&list->hits[i], s);
		if (!vectors[i])
			return err_set(et, ERR_INTERNAL, "a hit came without its vector");
		relevance[i] = alike(s, query, vectors[i]);
	}
	return OK;
}

enum err rank_diverse(const struct space *s, const float *query, float lambda, size_t max,
	struct hit_list *list, struct errtext *et)
{
	size_t n = MIN(max, list->n);
	float *relevance = malloc((list->n + 1) * sizeof *relevance);
	const float **vectors = malloc((list->n + 1) * sizeof *vectors);
	uint32_t *order = malloc((list->n + 1) * sizeof *order);
	struct item_hit *chosen = malloc((n + 1) * sizeof *chosen);
	struct pairs pairs = {s, vectors};
	enum err e = relevance && vectors && order && chosen ? OK : no_memory(et);
	e = e ? e : vectors_of(s, list, query, vectors, relevance, et);
	e = e ? e : diverse_choose(relevance, list->n, max, lambda, alike_at, &pairs, order, et);
	for (size_t i = 0; i < n && !e; i++)
		chosen[i] = list->hits[order[i]];
	if (!e) {
		memcpy(list->hits, chosen, n * sizeof *chosen);
		list->n = n;
	}
	free(relevance);
	free(vectors);
	free(order);
	free(chosen);
	return e;
}
