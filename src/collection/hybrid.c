/* Hits of vectors and of words in one list, each with what either side added. */
#include "collection/asof.h"
#include "collection/keyword_int.h"

#include <math.h>
#include <stdlib.h>

enum { DEPTH_TIMES = 4, DEPTH_LEAST = 100 };

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a hybrid search");
}

/* One side's hits, best first, as its shares. */
static void share_out(
	const struct fusion *f, float weight, bool lower_is_better, struct hit_share *s, size_t n)
{
	float best = n ? s[0].score : 0, worst = n ? s[n - 1].score : 0;
	float sign = lower_is_better ? -1.0f : 1.0f, width = sign * (best - worst);
	for (size_t i = 0; i < n; i++) {
		s[i].rank = (uint32_t)i + 1;
		if (f->method == FUSE_RANKS)
			s[i].share = weight / (f->k + (float)s[i].rank);
		else
			s[i].share =
				width > 0 ? weight * sign * (s[i].score - worst) / width : weight;
	}
}

static int by_key(const void *a, const void *b)
{
	const struct hybrid_hit *x = a, *y = b;
	return (x->hit.key > y->hit.key) - (x->hit.key < y->hit.key);
}

static int by_score(const void *a, const void *b)
{
	const struct hybrid_hit *x = a, *y = b;
	if (x->hit.score != y->hit.score)
		return x->hit.score > y->hit.score ? -1 : 1;
	return by_key(a, b);
}

/* Both sides of one item become one. */
static size_t together(struct hybrid_hit *all, size_t n)
{
	size_t kept = 0;
	qsort(all, n, sizeof *all, by_key);
	for (size_t i = 0; i < n; i++) {
		if (kept && all[kept - 1].hit.key == all[i].hit.key) {
			struct hybrid_hit *h = &all[kept - 1];
			h->vector = all[i].vector.rank ? all[i].vector : h->vector;
			h->keyword = all[i].keyword.rank ? all[i].keyword : h->keyword;
		} else {
			all[kept++] = all[i];
		}
	}
	for (size_t i = 0; i < kept; i++)
		all[i].hit.score = all[i].vector.share + all[i].keyword.share;
	qsort(all, kept, sizeof *all, by_score);
	return kept;
}

struct sides {
	struct item_hit *near; /* by vectors */
	struct hit *words;
	size_t n_near, n_words, depth;
};

static enum err find_both(struct collection *k, struct keyword_index *x,
	const struct hybrid_query *q, struct arena *a, struct sides *s, bool *cut,
	struct item_search *how, struct errtext *et)
{
	struct item_query v = q->vector;
	struct keyword_query words;
	v.k = s->depth;
	v.want = (struct item_want){false};
	s->words = arena_array_of(a, s->depth, struct hit);
	enum err e = s->words ? keyword_query_parse(q->text, x->settings.language.p, a, &words, et)
			      : no_memory(et);
	if (!e && q->fusion.vector > 0)
		e = collection_query(k, &v, a, &s->near, &s->n_near, how, et);
	e = e ? e : keyword_demand(k, x, &words, s->near, &s->n_near, v.cancel, et);
	if (!e && q->fusion.keyword > 0)
		e = keyword_find(
			k, x, &words, v.filter, s->depth, s->words, &s->n_words, cut, v.cancel, et);
	return e;
}

static enum err fuse(struct collection *k, const struct hybrid_query *q, const struct sides *s,
	struct arena *a, struct hybrid_hit **out, size_t *n, struct errtext *et)
{
	const struct space *space = collection_space(k, q->vector.space);
	size_t n_all = s->n_near + s->n_words;
	struct hybrid_hit *all = arena_array_of(a, n_all + 1, struct hybrid_hit);
	struct hit_share *near = arena_array_of(a, s->n_near + 1, struct hit_share);
	struct hit_share *words = arena_array_of(a, s->n_words + 1, struct hit_share);
	if (!all || !near || !words)
		return no_memory(et);
	for (size_t i = 0; i < s->n_near; i++)
		near[i].score = s->near[i].score;
	for (size_t i = 0; i < s->n_words; i++)
		words[i].score = s->words[i].score;
	share_out(&q->fusion, q->fusion.vector, space && distance_is_far(space->distance), near,
		s->n_near);
	share_out(&q->fusion, q->fusion.keyword, false, words, s->n_words);
	for (size_t i = 0; i < s->n_near; i++)
		all[i] = (struct hybrid_hit){.hit.key = s->near[i].key, .vector = near[i]};
	for (size_t i = 0; i < s->n_words; i++)
		all[s->n_near + i] =
			(struct hybrid_hit){.hit.key = s->words[i].key, .keyword = words[i]};
	*n = MIN(together(all, n_all), q->vector.k);
	*out = all;
	return OK;
}

/* Those that have gone meanwhile are taken out. */
static enum err fill(struct collection *k, const struct hybrid_query *q, struct hybrid_hit *hits,
	size_t *n, struct arena *a, struct errtext *et)
{
	struct item_hit *list = arena_array_of(a, *n + 1, struct item_hit);
	size_t there = *n, kept = 0;
	if (!list)
		return no_memory(et);
	for (size_t i = 0; i < *n; i++)
		list[i] = hits[i].hit;
	enum err e = collection_fill(k, list, &there, q->vector.want, a, et);
	for (size_t i = 0; i < *n && kept < there && !e; i++)
		if (hits[i].hit.key == list[kept].key) {
			hits[kept] = hits[i];
			hits[kept].hit = list[kept];
			kept++;
		}
	*n = e ? *n : kept;
	return e;
}

enum err collection_search_hybrid(struct collection *k, const struct hybrid_query *q,
	struct arena *a, struct hybrid_hit **out, size_t *n, bool *cut, struct item_search *how,
	struct errtext *et)
{
	size_t want = q->vector.k;
	if (!want || want > COLLECTION_K_MAX)
		return err_set(et, ERR_INVALID, "%d hits at most can be asked for, and not none",
			COLLECTION_K_MAX);
	struct sides s = {.depth = q->fusion.depth ? q->fusion.depth
						   : MAX(DEPTH_TIMES * want, (size_t)DEPTH_LEAST)};
	s.depth = MIN(MAX(s.depth, want), (size_t)COLLECTION_K_MAX);
	struct keyword_index *x = keyword_get(k);
	struct hybrid_hit *hits = NULL;
	size_t found = 0;
	enum err e = x ? asof_need(k, ASOF_WORDS, et) : keyword_none(k, et);
	e = e ? e : find_both(k, x, q, a, &s, cut, how, et);
	keyword_put_back(x);
	e = e ? e : fuse(k, q, &s, a, &hits, &found, et);
	e = e ? e : fill(k, q, hits, &found, a, et);
	if (!e) {
		*out = hits;
		*n = found;
	}
	return e;
}
