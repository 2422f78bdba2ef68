/* A version as it was: its items listed, counted and searched. Nothing is built for it: lists go
 * through the index, and a search compares every item, pack by pack, in the memory of one pack. */
#include "collection/version_int.h"

#include <math.h>
#include <stdlib.h>

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for the items of a version");
}

const struct space *version_space(const struct version *v, struct str name)
{
	for (size_t i = 0; i < v->n_spaces; i++)
		if (str_eq(v->spaces[i].name, name))
			return &v->spaces[i];
	return NULL;
}

/* ---- filters: a key is an item's place, and 1 ---- */

static bool key_of_id(void *ctx, yyjson_val *id, uint64_t *key)
{
	const struct version *v = ctx;
	struct item_id wanted;
	if (yyjson_is_uint(id))
		item_id_number(yyjson_get_uint(id), &wanted);
	else if (item_id_parse(json_val_str(id), &wanted, NULL))
		return false;
	const struct vitem *it = version_find(v, item_id_bytes(&wanted));
	if (it)
		*key = (uint64_t)(it - v->items) + 1;
	return it != NULL;
}

enum err version_filter(const struct version *v, yyjson_val *json, struct arena *a,
	const struct cond **out, struct errtext *et)
{
	*out = NULL;
	return !json || yyjson_is_null(json)
		       ? OK
		       : cond_parse_qdrant(json, key_of_id, (void *)v, a, out, et);
}

static enum err matches(
	const struct cond *c, size_t at, struct str payload, bool *yes, struct errtext *et)
{
	yyjson_doc *doc;
	*yes = true;
	if (!c)
		return OK;
	enum err e = json_parse(payload.n ? payload : S("{}"), &doc, et);
	if (e)
		return err_wrap(et, ERR_CORRUPT, "the payload of an item of a version");
	*yes = cond_matches(c, at + 1, yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	return OK;
}

/* ---- items ---- */

static enum err to_item(const struct version *v, const struct vitem *it, const struct vrecord *r,
	struct item_want want, struct arena *a, struct collection_item *out, struct errtext *et)
{
	*out = (struct collection_item){.payload = S("")};
	out->id.n = (uint8_t)it->id.n;
	memcpy(out->id.b, it->id.p, it->id.n);
	if (want.payload && !(out->payload = arena_str(a, r->payload)).p)
		return no_memory(et);
	enum err e = want.vectors ? item_decode(r->vectors, v->spaces, v->n_spaces, a,
					    &out->vectors, &out->n_vectors, et)
				  : OK;
	if (!e)
		out->n_vectors = space_shown(v->spaces, out->vectors, out->n_vectors);
	return e;
}

/* Some items in the order of their ids, read in the order of their records. */
struct page {
	const struct version *v;
	const struct cond *filter;
	struct item_want want;
	struct arena *a;
	size_t first;
	struct collection_item *items;
	bool *yes;
};

static enum err read_one(void *ctx, size_t i, const struct vrecord *r, struct errtext *et)
{
	struct page *p = ctx;
	const struct vitem *it = &p->v->items[p->first + i];
	enum err e = matches(p->filter, p->first + i, r->payload, &p->yes[i], et);
	return e || !p->yes[i] ? e : to_item(p->v, it, r, p->want, p->a, &p->items[i], et);
}

static enum err read_page(struct page *p, size_t n, const struct cancel *cancel, struct errtext *et)
{
	const struct vitem **list = arena_array_of(p->a, n + 1, const struct vitem *);
	p->items = arena_array_of(p->a, n + 1, struct collection_item);
	p->yes = arena_array_of(p->a, n + 1, bool);
	if (!list || !p->items || !p->yes)
		return no_memory(et);
	for (size_t i = 0; i < n; i++)
		list[i] = &p->v->items[p->first + i];
	return version_records(p->v, list, n, read_one, p, cancel, et);
}

enum err version_scroll(const struct version *v, const struct cond *filter,
	const struct item_id *from, size_t max, struct item_want want, struct arena *a,
	struct collection_item **out, size_t *n, const struct cancel *cancel, struct errtext *et)
{
	enum { SCAN = 1024 };
	struct collection_item *list =
		arena_array_of(a, MIN(max, v->n) + 1, struct collection_item);
	size_t got = 0, at = from ? version_from(v, item_id_bytes(from)) : 0;
	enum err e = list ? OK : no_memory(et);
	while (!e && at < v->n && got < max) {
		struct page p = {.v = v, .filter = filter, .want = want, .a = a, .first = at};
		size_t some = MIN(v->n - at, filter ? (size_t)SCAN : max - got);
		e = read_page(&p, some, cancel, et);
		for (size_t i = 0; i < some && got < max && !e; i++)
			if (p.yes[i])
				list[got++] = p.items[i];
		at += some;
	}
	if (!e) {
		*out = list;
		*n = got;
	}
	return e;
}

enum err version_count_items(const struct version *v, const struct cond *filter, size_t *n,
	const struct cancel *cancel, struct errtext *et)
{
	struct vreader r = {.v = v};
	size_t found = 0;
	enum err e = OK;
	for (size_t i = 0; filter && i < v->n && !e; i++) {
		struct vrecord record;
		bool yes = false;
		size_t at = v->order[i];
		if (cancelled(cancel))
			e = err_set(et, ERR_CANCELLED, "cancelled");
		e = e ? e : vreader_get(&r, &v->items[at], &record, et);
		e = e ? e : matches(filter, at, record.payload, &yes, et);
		found += yes;
	}
	vreader_end(&r);
	if (!e)
		*n = filter ? found : v->n;
	return e;
}

/* The vector of a space among an item's; NULL: it has none. */
static const struct item_vector *in_space(
	const struct item_vector *list, size_t n, struct str space)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(list[i].space, space))
			return &list[i];
	return NULL;
}

enum err version_vector(const struct version *v, const struct item_id *id, struct str space,
	struct arena *a, const float **out, size_t *dim, struct errtext *et)
{
	const struct vitem *it = version_find(v, item_id_bytes(id));
	const struct item_vector *found = NULL;
	struct vreader r = {.v = v};
	struct vrecord record;
	struct item_vector *list;
	size_t n = 0;
	enum err e = it ? vreader_get(&r, it, &record, et) : OK;
	if (it && !e)
		e = item_decode(record.vectors, v->spaces, v->n_spaces, a, &list, &n, et);
	vreader_end(&r);
	if (!e && it)
		found = in_space(list, n, space);
	if (!e && (!found || found->at || found->rows))
		return err_set(et, ERR_NOT_FOUND,
			"the item that the query names is not in that version, or has no such "
			"vector");
	if (!e) {
		*out = found->v;
		*dim = found->dim;
	}
	return e;
}

/* ---- nearest ---- */

struct candidate {
	float good; /* higher is nearer */
	uint32_t at;
};

struct scan {
	const struct version *v;
	const struct item_query *q;
	const struct space *space;
	float length;           /* of the query */
	struct candidate *best; /* a heap, the worst on top */
	size_t n;
	uint64_t compared;
};

static bool worse(struct candidate a, struct candidate b)
{
	return a.good != b.good ? a.good < b.good : a.at > b.at;
}

static void sift_down(struct scan *s, size_t i)
{
	for (;;) {
		size_t low = i, l = 2 * i + 1;
		for (size_t j = l; j < l + 2 && j < s->n; j++)
			low = worse(s->best[j], s->best[low]) ? j : low;
		if (low == i)
			return;
		struct candidate t = s->best[i];
		s->best[i] = s->best[low];
		s->best[low] = t;
		i = low;
	}
}

static void offer(struct scan *s, struct candidate x)
{
	if (s->n < s->q->k) {
		size_t i = s->n++;
		s->best[i] = x;
		while (i && worse(s->best[i], s->best[(i - 1) / 2])) {
			struct candidate t = s->best[i];
			s->best[i] = s->best[(i - 1) / 2];
			s->best[i = (i - 1) / 2] = t;
		}
	} else if (worse(s->best[0], x)) {
		s->best[0] = x;
		sift_down(s, 0);
	}
}

static float score_of(const struct scan *s, const float *x)
{
	size_t dim = s->q->dim;
	if (distance_is_far(s->space->distance)) {
		float d;
		(s->space->distance == DISTANCE_L2 ? kern->l2s : kern->l1s)(
			s->q->vector, x, dim, 1, dim, &d);
		return -d;
	}
	float dot = kern->dot(s->q->vector, x, dim);
	if (s->space->distance == DISTANCE_DOT)
		return dot;
	float length = s->length * sqrtf(kern->dot(x, x, dim));
	return length > 0 ? dot / length : 0;
}

static bool good_enough(const struct scan *s, float good)
{
	return isnan(s->q->worst) || good >= distance_score(s->space->distance, s->q->worst);
}

static enum err compare(
	struct scan *s, size_t at, const struct vrecord *r, struct arena *a, struct errtext *et)
{
	struct item_vector *list;
	size_t n;
	bool yes = false;
	enum err e = item_decode(r->vectors, s->v->spaces, s->v->n_spaces, a, &list, &n, et);
	const struct item_vector *x = e ? NULL : in_space(list, n, s->space->name);
	if (!x)
		return e;
	e = matches(s->q->filter, at, r->payload, &yes, et);
	if (e || !yes)
		return e;
	for (size_t i = 0; i < s->q->n_without; i++)
		if (str_eq(item_id_bytes(&s->q->without[i]), s->v->items[at].id))
			return OK;
	struct candidate c = {score_of(s, x->v), (uint32_t)at};
	s->compared++;
	if (good_enough(s, c.good))
		offer(s, c);
	return OK;
}

static enum err scan_all(struct scan *s, struct errtext *et)
{
	enum { AT_ONCE = 512 };
	const struct version *v = s->v;
	struct vreader r = {.v = v};
	enum err e = OK;
	for (size_t i = 0; i < v->n && !e; i += AT_ONCE) {
		struct arena *a = arena_new(0);
		e = !a ? no_memory(et)
		    : cancelled(s->q->cancel)
			    ? err_set(et, ERR_CANCELLED, "the search was cancelled")
			    : OK;
		for (size_t j = i; j < MIN(i + AT_ONCE, v->n) && !e; j++) {
			struct vrecord record;
			e = vreader_get(&r, &v->items[v->order[j]], &record, et);
			e = e ? e : compare(s, v->order[j], &record, a, et);
		}
		arena_free(a);
	}
	vreader_end(&r);
	return e;
}

static int nearest_first(const void *a, const void *b)
{
	return worse(*(const struct candidate *)a, *(const struct candidate *)b) ? 1 : -1;
}

static enum err to_hits(struct scan *s, struct arena *a, struct item_hit *hits, struct errtext *et)
{
	struct vreader r = {.v = s->v};
	enum err e = OK;
	if (s->n > 1)
		qsort(s->best, s->n, sizeof *s->best, nearest_first);
	for (size_t i = 0; i < s->n && !e; i++) {
		const struct vitem *it = &s->v->items[s->best[i].at];
		struct vrecord record;
		float good = s->best[i].good;
		hits[i].key = s->best[i].at + 1;
		hits[i].score = distance_shown(s->space->distance, good);
		e = vreader_get(&r, it, &record, et);
		e = e ? e : to_item(s->v, it, &record, s->q->want, a, &hits[i].item, et);
	}
	vreader_end(&r);
	return e;
}

static enum err check_query(const struct version *v, const struct item_query *q, struct errtext *et)
{
	const struct space *s = version_space(v, q->space);
	if (!s)
		return err_set(et, ERR_INVALID, "the version has no vectors named \"%.*s\"",
			STR_FMT(str_sub(q->space, 0, 100)));
	enum err e = space_plain(s, "searching a version", et);
	if (e)
		return e;
	if (s->kind != SPACE_DENSE)
		return err_set(et, ERR_UNSUPPORTED,
			"vectors \"%.*s\" are sparse, or lists of vectors: a version is searched "
			"by "
			"plain ones only",
			STR_FMT(s->name));
	if (q->dim != s->dim)
		return err_set(et, ERR_INVALID,
			"the query is a vector of %zu numbers, \"%.*s\" of that version takes %u: "
			"it was made by another model",
			q->dim, STR_FMT(s->name), s->dim);
	for (size_t i = 0; i < q->dim; i++)
		if (!isfinite(q->vector[i]))
			return err_set(et, ERR_INVALID, "number %zu of the query is not finite", i);
	return q->k && q->k <= COLLECTION_K_MAX + 1
		       ? OK
		       : err_set(et, ERR_INVALID, "%d hits at most can be asked for, and not none",
				 COLLECTION_K_MAX);
}

enum err version_search(const struct version *v, const struct item_query *q, struct arena *a,
	struct item_hit **out, size_t *n, struct item_search *how, struct errtext *et)
{
	enum err e = check_query(v, q, et);
	if (e)
		return e;
	struct scan s = {.v = v,
		.q = q,
		.space = version_space(v, q->space),
		.length = sqrtf(kern->dot(q->vector, q->vector, q->dim)),
		.best = arena_array_of(a, q->k, struct candidate)};
	struct item_hit *hits = arena_array_of(a, q->k, struct item_hit);
	e = s.best && hits ? scan_all(&s, et) : no_memory(et);
	e = e ? e : to_hits(&s, a, hits, et);
	if (e)
		return e;
	*out = hits;
	*n = s.n;
	if (how)
		*how = (struct item_search){.compared = s.compared};
	return OK;
}
