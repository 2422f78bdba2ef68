/* Spaces whose vectors are no lists of numbers: sparse vectors, with an inverted index; and lists
 * of vectors, scored by the sum over the query's vectors of the most alike of the item's (MaxSim,
 * Khattab and Zaharia, SIGIR 2020).
 *
 * Of a list each vector is in a vector index, under the item's number and its place in the list. A
 * search looks for the neighbours of each of the query's vectors; the items that they belong to are
 * candidates, and are scored with all their vectors. It looks for more until no other item can be
 * better. Few items are all candidates.
 *
 * An index is made when the collection is loaded and lives as long as that. */
#include "collection/collection_int.h"
#include "collection/ids_file.h"
#include "vector/sparse.h"

#include <math.h>
#include <stdlib.h>

enum { ROW_BITS = 12, EXACT_ROWS = 20000, FEW_ITEMS = 200, CHUNK_ROWS = 4096 };
_Static_assert(COLLECTION_ROWS_MAX <= 1 << ROW_BITS, "a place in a list has so many bits");

struct kind_index {
	struct sparse *sparse;
	struct vindex *rows; /* of lists: a key is num << ROW_BITS | place */
	/* By num: how many vectors its list has; 0: none. Changed under k->write and k->lock. */
	uint16_t *n_rows;
	size_t n_nums;
	uint32_t most; /* vectors that a list ever had */
	/* After loading: the file of the vectors may have been written later than that of n_rows,
	 * and so have so many of an item. */
	uint32_t perhaps;
};

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for sparse vectors or lists of vectors");
}

/* ---- what fits ---- */

static const char *const kinds_of[] = {
	"a list of numbers", "a sparse vector ({indices, values})", "a list of vectors"};

static enum err fits_sparse(const struct item_vector *v, struct errtext *et)
{
	if (v->dim > COLLECTION_SPARSE_MAX)
		return err_set(et, ERR_TOO_LARGE,
			"a sparse vector of %zu numbers; at most %d are possible", v->dim,
			COLLECTION_SPARSE_MAX);
	for (size_t i = 1; i < v->dim; i++)
		if (v->at[i] <= v->at[i - 1])
			return err_set(et, ERR_INVALID,
				"the index %u stands twice in a sparse vector, or they do not "
				"ascend",
				v->at[i]);
	return OK;
}

static enum err fits_rows(const struct item_vector *v, struct errtext *et)
{
	return v->rows <= COLLECTION_ROWS_MAX
		       ? OK
		       : err_set(et, ERR_TOO_LARGE,
				 "a list of %zu vectors; at most %d are possible", v->rows,
				 COLLECTION_ROWS_MAX);
}

enum err collection_vector_fits(const struct collection *k, const struct space *s,
	const struct item_vector *v, struct errtext *et)
{
	char why[SPACE_WHY];
	enum space_kind is = v->at ? SPACE_SPARSE : v->rows ? SPACE_MULTI : SPACE_DENSE;
	if (is != s->kind)
		return err_set(et, ERR_INVALID, "%s, and \"%.*s\" takes %s", kinds_of[is],
			STR_FMT(s->name), kinds_of[s->kind]);
	if (is != SPACE_SPARSE && v->dim != s->dim)
		return err_set(et, ERR_INVALID, "a vector of %zu numbers, \"%.*s\" takes %u: %s",
			v->dim, STR_FMT(s->name), s->dim, space_mismatch(k, s, v->dim, why));
	enum err e = is == SPACE_SPARSE  ? fits_sparse(v, et)
		     : is == SPACE_MULTI ? fits_rows(v, et)
					 : OK;
	size_t n = v->dim * (is == SPACE_MULTI ? v->rows : 1);
	for (size_t i = 0; i < n && !e; i++)
		if (!isfinite(v->v[i]))
			e = err_set(et, ERR_INVALID, "number %zu of the vector is not finite", i);
	return e;
}

enum err space_plain(const struct space *s, const char *doing, struct errtext *et)
{
	return s->kind == SPACE_DENSE ? OK
				      : err_set(et, ERR_UNSUPPORTED,
						"%s: \"%.*s\" takes %s, which is not supported",
						doing, STR_FMT(s->name), kinds_of[s->kind]);
}

/* ---- making ---- */

static void kind_free(struct kind_index *x)
{
	if (!x)
		return;
	sparse_free(x->sparse);
	vindex_free(x->rows);
	free(x->n_rows);
	free(x);
}

static enum err kind_new(const struct space *s, struct kind_index **out, struct errtext *et)
{
	struct kind_index *x = calloc(1, sizeof *x);
	struct vindex_options o = {.dim = s->dim, .metric = shelf_metric(s)};
	if (!x)
		return no_memory(et);
	enum err e =
		s->kind == SPACE_SPARSE ? sparse_new(&x->sparse, et) : vindex_new(&o, &x->rows, et);
	if (e)
		kind_free(x);
	else
		*out = x;
	return e;
}

enum err kinds_new(struct collection *k, struct errtext *et)
{
	const struct layout *l = layout_now(k);
	enum err e = OK;
	for (size_t s = 0; s < l->n && !e; s++)
		if (l->spaces[s].kind && !k->kinds[s])
			e = kind_new(&l->spaces[s], &k->kinds[s], et);
	return e;
}

bool kinds_any(const struct collection *k)
{
	for (size_t s = 0; s < COLLECTION_SPACES_MAX; s++)
		if (k->kinds[s])
			return true;
	return false;
}

struct vindex *kinds_vectors(struct collection *k, size_t place)
{
	return k->kinds[place] ? k->kinds[place]->rows : NULL;
}

uint64_t kinds_bytes(struct collection *k)
{
	uint64_t n = 0;
	for (size_t s = 0; s < COLLECTION_SPACES_MAX; s++) {
		const struct kind_index *x = k->kinds[s];
		if (x && x->sparse)
			n += sparse_bytes(x->sparse);
		pthread_rwlock_rdlock(&k->lock);
		n += x ? x->n_nums * sizeof *x->n_rows : 0;
		pthread_rwlock_unlock(&k->lock);
	}
	return n;
}

/* ---- files: snapshot.c ---- */

enum err kinds_save(
	struct collection *k, size_t place, const char *path, int64_t mark, struct errtext *et)
{
	struct kind_index *x = k->kinds[place];
	return x->sparse ? sparse_save(x->sparse, path, (uint64_t)mark, S(""), et)
			 : vindex_save(x->rows, path, (uint64_t)mark, et);
}

/* Lists: what is there is replaced only when all of it fits together. */
static enum err open_lists(struct kind_index *x, const struct space *s, const char *path,
	struct ids_lists *lists, uint64_t *mark, struct errtext *et)
{
	struct vindex *rows;
	if (!lists->there)
		return err_set(et, ERR_CORRUPT, "the lists of vectors are not in the file of ids");
	enum err e = vindex_open(path, NULL, true, &rows, mark, et);
	if (e)
		return e;
	const struct vindex_options *o = vindex_opened(rows);
	if (o->dim != s->dim || o->metric != shelf_metric(s)) {
		vindex_free(rows);
		return err_set(et, ERR_CORRUPT, "%s: it is another one's", path);
	}
	vindex_free(x->rows);
	free(x->n_rows);
	x->rows = rows;
	x->n_rows = lists->n_rows;
	x->n_nums = lists->n;
	x->most = x->perhaps = lists->most;
	lists->n_rows = NULL;
	return OK;
}

enum err kinds_open(struct collection *k, size_t place, const char *path, uint64_t max_num,
	struct ids_lists *lists, int64_t mark, struct errtext *et)
{
	struct kind_index *x = k->kinds[place], fresh;
	const struct space *s = &layout_now(k)->spaces[place];
	uint64_t found = 0;
	enum err e = x->sparse ? sparse_open(x->sparse, path, S(""), max_num, &found, et)
			       : open_lists(x, s, path, lists, &found, et);
	if (e || found == (uint64_t)mark)
		return e;
	/* Of another time: a fresh one takes its place. */
	struct kind_index *made;
	if (kind_new(s, &made, et))
		return ERR_NOMEM;
	fresh = *x;
	*x = *made;
	*made = fresh;
	kind_free(made);
	return err_set(et, ERR_CORRUPT, "%s: of another time", path);
}

/* What an item's list has now, for the file of ids. Under k->lock. */
struct ids_lists kinds_lists(const struct collection *k, size_t place)
{
	const struct kind_index *x = k->kinds[place];
	return x && x->rows ? (struct ids_lists){true, x->most, x->n_rows, x->n_nums}
			    : (struct ids_lists){0};
}

void kinds_caught_up(struct collection *k)
{
	for (size_t s = 0; s < COLLECTION_SPACES_MAX; s++)
		if (k->kinds[s])
			k->kinds[s]->perhaps = 0;
}

size_t kinds_rows(struct collection *k)
{
	size_t n = 0;
	for (size_t s = 0; s < COLLECTION_SPACES_MAX; s++)
		if (k->kinds[s] && k->kinds[s]->rows)
			n += vindex_count(k->kinds[s]->rows);
	return n;
}

void kinds_clear(struct collection *k)
{
	for (size_t s = 0; s < COLLECTION_SPACES_MAX; s++) {
		kind_free(k->kinds[s]);
		k->kinds[s] = NULL;
	}
}

/* ---- changes ---- */

static size_t rows_of(const struct kind_index *x, uint64_t num)
{
	return num < x->n_nums ? x->n_rows[num] : 0;
}

static enum err set_rows(
	struct collection *k, struct kind_index *x, uint64_t num, size_t n, struct errtext *et)
{
	enum err e = OK;
	pthread_rwlock_wrlock(&k->lock);
	if (num >= x->n_nums) {
		size_t cap = MAX((size_t)num + 1, x->n_nums + x->n_nums / 2 + 64);
		uint16_t *more = realloc(x->n_rows, cap * sizeof *more);
		if (more) {
			memset(more + x->n_nums, 0, (cap - x->n_nums) * sizeof *more);
			x->n_rows = more;
			x->n_nums = cap;
		} else {
			e = no_memory(et);
		}
	}
	if (!e)
		x->n_rows[num] = (uint16_t)n;
	x->most = MAX(x->most, (uint32_t)n);
	pthread_rwlock_unlock(&k->lock);
	return e;
}

static enum err put_rows(struct collection *k, struct kind_index *x, uint64_t num,
	const struct item_vector *v, struct errtext *et)
{
	uint64_t keys[COLLECTION_ROWS_MAX];
	size_t before = MAX(rows_of(x, num), x->perhaps), n = v ? v->rows : 0;
	for (size_t i = 0; i < MAX(before, n); i++)
		keys[i] = num << ROW_BITS | i;
	enum err e = n ? vindex_put(x->rows, keys, v->v, n, NULL, et) : OK;
	if (n != rows_of(x, num))
		e = e ? e : set_rows(k, x, num, n, et);
	return e || before <= n ? e : vindex_delete(x->rows, keys + n, before - n, NULL, et);
}

enum err kinds_put(struct collection *k, size_t place, uint64_t num, const struct item_vector *v,
	struct errtext *et)
{
	struct kind_index *x = k->kinds[place];
	if (!x)
		return OK;
	if (x->rows)
		return put_rows(k, x, num, v, et);
	return v ? sparse_put(x->sparse, num, &(struct sparse_vector){v->at, v->v, v->dim}, et)
		 : sparse_delete(x->sparse, &num, 1, et);
}

enum err kinds_remove(struct collection *k, const uint64_t *nums, size_t n, struct errtext *et)
{
	enum err e = OK;
	for (size_t s = 0; s < COLLECTION_SPACES_MAX; s++)
		for (size_t i = 0; k->kinds[s] && i < n && !e; i++)
			e = kinds_put(k, s, nums[i], NULL, et);
	return e;
}

enum err kinds_publish(struct collection *k, struct errtext *et)
{
	enum err e = OK;
	for (size_t s = 0; s < COLLECTION_SPACES_MAX && !e; s++)
		if (k->kinds[s] && k->kinds[s]->sparse)
			e = sparse_publish(k->kinds[s]->sparse, et);
	return e;
}

/* ---- searching sparse vectors ---- */

static enum err query_sparse(const struct space *s, struct kind_index *x,
	const struct item_query *q, const struct bitmap *among, size_t max, struct hit *out,
	struct vindex_answer *a, struct errtext *et)
{
	struct sparse_query sq = {.v = {q->at, q->vector, q->dim},
		.idf = s->idf,
		.k = max,
		.keep = among ? bitmap_keep : NULL,
		.ctx = (void *)among,
		.within = !isnan(q->worst),
		.min_score = q->worst,
		.cancel = q->cancel};
	a->how = VINDEX_SCAN;
	a->compared = among ? among->count : sparse_count(x->sparse);
	return sparse_search(x->sparse, &sq, out, &a->n, et);
}

/* ---- searching lists of vectors ---- */

struct late {
	struct collection *k;
	struct kind_index *x;
	const struct item_query *q;
	const struct bitmap *among;
	struct bitmap candidates, seen; /* to be scored; that were */
	uint64_t scored;                /* vectors */
	struct hit *hits;
	size_t n, max;
	struct errtext *et;
};

static bool keep_row(void *ctx, uint64_t key)
{
	return bitmap_has(ctx, key >> ROW_BITS);
}

/* All that match and have a list. */
static enum err all_candidates(struct late *l)
{
	pthread_rwlock_rdlock(&l->k->lock);
	for (uint64_t num = 0; num < l->x->n_nums; num++)
		if (l->x->n_rows[num] && (!l->among || bitmap_has(l->among, num)) &&
			!bitmap_has(&l->seen, num))
			bitmap_add(&l->candidates, num);
	pthread_rwlock_unlock(&l->k->lock);
	return l->candidates.err ? no_memory(l->et) : OK;
}

/* The items of the `each` nearest vectors of each of the query's. *bound: no other item can have a
 * higher score, if the graph has found the nearest. */
static enum err near_candidates(struct late *l, size_t each, double *bound, struct vindex_answer *a)
{
	const struct item_query *q = l->q;
	struct hit *near = malloc(each * sizeof *near);
	struct vindex_filter f = {.keep = keep_row,
		.ctx = (void *)l->among,
		.count = l->among ? l->among->count * (vindex_count(l->x->rows) + 1) /
					    (collection_count(l->k) + 1)
				  : 0};
	enum err e = near ? OK : no_memory(l->et);
	*bound = 0;
	for (size_t i = 0; i < q->rows && !e; i++) {
		struct vindex_answer one = {0};
		struct vindex_query v = {.vector = q->vector + i * q->dim,
			.k = each,
			.ef = (uint32_t)each,
			.filter = l->among ? &f : NULL,
			.cancel = q->cancel};
		e = vindex_search(l->x->rows, &v, near, &one, l->et);
		for (size_t j = 0; j < one.n && !e; j++)
			if (!bitmap_has(&l->seen, near[j].key >> ROW_BITS))
				bitmap_add(&l->candidates, near[j].key >> ROW_BITS);
		*bound += one.n == each ? (double)near[each - 1].score : -INFINITY;
		a->ef = one.ef;
		a->compared += one.compared;
		a->how = one.how == VINDEX_GRAPH ? VINDEX_GRAPH : a->how;
	}
	free(near);
	return !e && l->candidates.err ? no_memory(l->et) : e;
}

/* Rows of some items, beside each other. */
struct chunk {
	uint64_t keys[CHUNK_ROWS];
	float scores[CHUNK_ROWS];
	size_t n;
	uint64_t nums[CHUNK_ROWS];
	uint32_t first[CHUNK_ROWS + 1]; /* of an item's rows */
	double sums[CHUNK_ROWS];
	size_t n_items;
};

static void add_best(struct chunk *c, size_t item)
{
	float best = -INFINITY;
	for (uint32_t i = c->first[item]; i < c->first[item + 1]; i++)
		if (c->scores[i] > best) /* NaN: the row has gone meanwhile */
			best = c->scores[i];
	c->sums[item] += (double)best;
}

static enum err score_chunk(struct late *l, struct chunk *c)
{
	const struct item_query *q = l->q;
	enum err e = OK;
	c->first[c->n_items] = (uint32_t)c->n;
	memset(c->sums, 0, c->n_items * sizeof *c->sums);
	for (size_t r = 0; r < q->rows && c->n && !e; r++) {
		if (cancelled(q->cancel))
			return err_set(l->et, ERR_CANCELLED, "a search was cancelled");
		e = vindex_scores(
			l->x->rows, q->vector + r * q->dim, c->keys, c->n, c->scores, l->et);
		for (size_t i = 0; i < c->n_items && !e; i++)
			add_best(c, i);
	}
	for (size_t i = 0; i < c->n_items && !e; i++)
		if (isfinite(c->sums[i]))
			l->hits[l->n++] = (struct hit){c->nums[i], (float)c->sums[i]};
	l->scored += c->n * q->rows;
	c->n = c->n_items = 0;
	return e;
}

static enum err score_all(struct late *l)
{
	enum { AT_ONCE = 256 };
	struct chunk *c = calloc(1, sizeof *c);
	uint64_t nums[AT_ONCE], from = 0;
	size_t got;
	struct hit *hits = realloc(l->hits, (l->n + l->candidates.count + 1) * sizeof *hits);
	l->hits = hits ? hits : l->hits;
	enum err e = c && hits ? OK : no_memory(l->et);
	while (!e && (got = bitmap_keys(&l->candidates, from, nums, AT_ONCE))) {
		for (size_t i = 0; i < got && !e; i++) {
			bitmap_add(&l->seen, nums[i]);
			pthread_rwlock_rdlock(&l->k->lock);
			size_t n = rows_of(l->x, nums[i]);
			pthread_rwlock_unlock(&l->k->lock);
			if (c->n + n > CHUNK_ROWS)
				e = score_chunk(l, c);
			if (!n)
				continue;
			c->first[c->n_items] = (uint32_t)c->n;
			c->nums[c->n_items] = nums[i];
			c->n_items++;
			for (size_t r = 0; r < n; r++)
				c->keys[c->n++] = nums[i] << ROW_BITS | r;
		}
		from = nums[got - 1] + 1;
	}
	e = e ? e : score_chunk(l, c);
	free(c);
	bitmap_free(&l->candidates);
	return !e && l->seen.err ? no_memory(l->et) : e;
}

static int best_first(const void *a, const void *b)
{
	const struct hit *x = a, *y = b;
	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return (x->key > y->key) - (x->key < y->key);
}

/* The lowest score of a hit; worst is one as it is asked for: of L2 a distance, whose square is
 * minus the sum. */
static float least_score(const struct space *s, const struct item_query *q)
{
	return isnan(q->worst)              ? -INFINITY
	       : s->distance == DISTANCE_L2 ? -q->worst * q->worst
					    : q->worst;
}

/* What an item must be better than to be a hit. */
static double bar(struct late *l, float least)
{
	if (l->n)
		qsort(l->hits, l->n, sizeof *l->hits, best_first);
	return l->n < l->max ? (double)least : (double)MAX(l->hits[l->max - 1].score, least);
}

/* Twice as many neighbours until no item that was not scored can be a hit (the threshold algorithm
 * of Fagin, Lotem and Naor, PODS 2001), unless the effort is given. When it would be a good part of
 * all vectors, all items are scored. */
static enum err score_near(struct late *l, float least, struct vindex_answer *a)
{
	enum { EACH_MAX = 4096, PART = 8 };
	const struct item_query *q = l->q;
	size_t rows = vindex_count(l->x->rows);
	size_t each = MAX((size_t)q->ef, MIN(MAX(4 * l->max, (size_t)64), (size_t)EACH_MAX));
	for (;; each *= 2) {
		double bound;
		enum err e = near_candidates(l, each, &bound, a);
		e = e ? e : score_all(l);
		if (e || q->ef || bound <= bar(l, least))
			return e;
		if (each * 2 * PART > rows) {
			a->how = VINDEX_SCAN;
			e = all_candidates(l);
			return e ? e : score_all(l);
		}
		if (each * 2 > EACH_MAX)
			return OK;
	}
}

static enum err query_rows(struct collection *k, const struct space *s, struct kind_index *x,
	const struct item_query *q, const struct bitmap *among, size_t max, struct hit *out,
	struct vindex_answer *a, struct errtext *et)
{
	struct late l = {.k = k, .x = x, .q = q, .among = among, .max = max, .et = et};
	bool all = q->exact || vindex_count(x->rows) < EXACT_ROWS ||
		   (among && among->count <= FEW_ITEMS + 4 * max);
	float least = least_score(s, q);
	a->how = VINDEX_SCAN;
	enum err e = all ? all_candidates(&l) : score_near(&l, least, a);
	e = e || !all ? e : score_all(&l);
	if (!e && l.n)
		qsort(l.hits, l.n, sizeof *l.hits, best_first);
	for (size_t i = 0; i < l.n && a->n < max && !e; i++)
		if (l.hits[i].score >= least)
			out[a->n++] = l.hits[i];
	a->compared += l.scored;
	bitmap_free(&l.candidates);
	bitmap_free(&l.seen);
	free(l.hits);
	return e;
}

static enum err scores_of_rows(struct collection *k, struct kind_index *x,
	const struct item_vector *v, const uint64_t *nums, size_t n, float *out,
	const struct cancel *cancel, struct errtext *et)
{
	struct item_query q = {.vector = v->v, .dim = v->dim, .rows = v->rows, .cancel = cancel};
	struct late l = {.k = k, .x = x, .q = &q, .et = et};
	for (size_t i = 0; i < n; i++)
		bitmap_add(&l.candidates, nums[i]);
	enum err e = l.candidates.err ? no_memory(et) : score_all(&l);
	for (size_t i = 0, at = 0; i < n && !e; i++) /* in the order of their numbers */
		out[i] = at < l.n && l.hits[at].key == nums[i] ? l.hits[at++].score : NAN;
	bitmap_free(&l.candidates);
	bitmap_free(&l.seen);
	free(l.hits);
	return e;
}

enum err kinds_scores(struct collection *k, const struct space *s, const struct item_vector *v,
	const uint64_t *nums, size_t n, float *out, const struct cancel *cancel, struct errtext *et)
{
	struct kind_index *x = k->kinds[s->place];
	struct sparse_query q = {.v = {v->at, v->v, v->dim}, .idf = s->idf};
	return x->sparse ? sparse_scores(x->sparse, &q, nums, n, out, et)
			 : scores_of_rows(k, x, v, nums, n, out, cancel, et);
}

enum err kinds_query(struct collection *k, const struct space *s, const struct item_query *q,
	const struct bitmap *among, size_t max, struct hit *out, struct vindex_answer *a,
	struct errtext *et)
{
	struct kind_index *x = k->kinds[s->place];
	*a = (struct vindex_answer){0};
	return x->sparse ? query_sparse(s, x, q, among, max, out, a, et)
			 : query_rows(k, s, x, q, among, max, out, a, et);
}
