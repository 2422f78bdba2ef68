/* Maps of collections: made by background jobs (jobs.h), kept in the database.
 *
 * A job reads the vectors of one space in one transaction, lays them out (vector/layout.h), finds
 * and names the clusters, and writes the row. Nothing is written when it fails or is stopped: the
 * map that was there stays. */
#include "base/clock.h"
#include "base/room.h"
#include "collection/jobs.h"
#include "collection/map_int.h"
#include "collection/part.h"
#include "collection/traffic.h"
#include "collection/version_int.h"
#include "kernels/kernels.h"
#include "vector/layout.h"

#include <math.h>
#include <stdlib.h>

struct map_job {
	struct croft *c;
	const struct jobs_work *w; /* while it runs */
	struct arena *a;           /* of the options and the collection */
	int64_t collection;
	struct space *spaces;
	size_t n_spaces;
	const struct space *space;
	struct map_options o;
	const struct cond *filter;
	struct str project, name;
	bool lazy; /* a copy that has its items only when it is opened */
};

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for the map of a collection");
}

/* ---- points ---- */

void map_points_free(struct map_points *p)
{
	free(p->num);
	free(p->xy);
	free(p->cluster);
	buf_free(&p->ids);
	*p = (struct map_points){0};
}

/* "CMAP", n (u32), numbers (i64), x and y (f32), clusters (i32), ids. Little-endian. "CMA3": with
 * x, y and z. */
static const char magic[4] = {'C', 'M', 'A', 'P'}, magic_3[4] = {'C', 'M', 'A', '3'};
enum { HEAD = 8 };

static size_t point_bytes(size_t dims)
{
	return 8 + 4 * dims + 4;
}

enum err map_points_encode(const struct map_points *p, struct buf *out)
{
	uint32_t n = (uint32_t)p->n;
	buf_add(out, p->dims == 3 ? magic_3 : magic, sizeof magic);
	buf_add(out, &n, sizeof n);
	buf_add(out, p->num, p->n * sizeof *p->num);
	buf_add(out, p->xy, p->n * p->dims * sizeof *p->xy);
	buf_add(out, p->cluster, p->n * sizeof *p->cluster);
	buf_adds(out, buf_str(&p->ids));
	return out->err;
}

static bool ids_fit(struct str ids, size_t n)
{
	size_t at = 0;
	for (; n && at < ids.n; n--) {
		uint8_t len = (uint8_t)ids.p[at];
		if (!len || len > ids.n - at - 1)
			return false;
		at += 1 + (size_t)len;
	}
	return !n && at == ids.n;
}

enum err map_points_decode(struct str b, struct map_points *out, struct errtext *et)
{
	struct map_points p = {0};
	uint32_t n = 0;
	bool space = b.n >= HEAD && !memcmp(b.p, magic_3, sizeof magic);
	bool fits = space || (b.n >= HEAD && !memcmp(b.p, magic, sizeof magic));
	p.dims = space ? 3 : 2;
	size_t each = point_bytes(p.dims);
	if (fits) {
		memcpy(&n, b.p + 4, sizeof n);
		fits = n <= (b.n - HEAD) / each &&
		       ids_fit(str_sub(b, HEAD + (size_t)n * each, b.n), n);
	}
	if (!fits)
		return err_set(et, ERR_CORRUPT, "the stored map is damaged: make it again");
	p.n = n;
	p.num = malloc((p.n + 1) * sizeof *p.num);
	p.xy = malloc((p.n + 1) * p.dims * sizeof *p.xy);
	p.cluster = malloc((p.n + 1) * sizeof *p.cluster);
	buf_adds(&p.ids, str_sub(b, HEAD + p.n * each, b.n));
	if (!p.num || !p.xy || !p.cluster || p.ids.err) {
		map_points_free(&p);
		return no_memory(et);
	}
	const char *at = b.p + HEAD;
	memcpy(p.num, at, p.n * sizeof *p.num);
	memcpy(p.xy, at + p.n * 8, p.n * p.dims * sizeof *p.xy);
	memcpy(p.cluster, at + p.n * (8 + 4 * p.dims), p.n * sizeof *p.cluster);
	*out = p;
	return OK;
}

/* ---- reading the items ---- */

struct fields {
	struct str names[MAP_FIELDS_MAX];
	size_t n, looked;
};

enum { FIELDS_LOOKED = 1000 };

struct reading {
	struct map_job *job;
	struct map_points p;
	size_t cap;
	float *v;
	int64_t *vec;
	size_t max_bytes;
	struct fields fields;
};

static enum err add_fields(struct reading *x, struct str payload, struct errtext *et)
{
	yyjson_doc *doc;
	yyjson_val *key, *value;
	size_t i, n;
	struct fields *f = &x->fields;
	if (f->looked++ >= FIELDS_LOOKED || !payload.n)
		return OK;
	enum err e = json_parse(payload, &doc, et);
	if (e)
		return e;
	yyjson_obj_foreach(yyjson_doc_get_root(doc), i, n, key, value)
	{
		struct str name = json_val_str(key);
		bool known = f->n == MAP_FIELDS_MAX || name.n > 200 || yyjson_is_ctn(value);
		for (size_t j = 0; j < f->n && !known; j++)
			known = str_eq(f->names[j], name);
		if (!known && (f->names[f->n] = arena_str(x->job->a, name)).p)
			f->n++;
	}
	yyjson_doc_free(doc);
	return OK;
}

static enum err make_room(struct reading *x, struct errtext *et)
{
	size_t dim = x->job->space->dim, cap = x->cap ? x->cap + x->cap / 2 : 1024;
	if (x->p.n < x->cap)
		return OK;
	/* vectors and neighbours, edges, pairs of points */
	if (cap * (dim * sizeof(float) + 1200) > x->max_bytes &&
		x->p.n * (dim * 4 + 1200) < x->max_bytes)
		cap = x->max_bytes / (dim * 4 + 1200);
	if (cap <= x->p.n || cap > LAYOUT_ROWS_MAX)
		return err_set(et, ERR_LIMIT,
			"a map of more than %zu items of %zu numbers needs more memory than "
			"collection.map_bytes (%zu) allows",
			x->p.n, dim, x->max_bytes);
	int64_t *num = realloc(x->p.num, cap * sizeof *num);
	x->p.num = num ? num : x->p.num;
	int64_t *vec = realloc(x->vec, cap * sizeof *vec);
	x->vec = vec ? vec : x->vec;
	float *v = realloc(x->v, cap * dim * sizeof *v);
	x->v = v ? v : x->v;
	if (!num || !vec || !v)
		return no_memory(et);
	x->cap = cap;
	return OK;
}

static enum err read_item(void *ctx, const struct item_row *r, struct errtext *et)
{
	struct reading *x = ctx;
	const struct map_job *j = x->job;
	struct item_vector *v;
	size_t n, dim = j->space->dim;
	bool wanted = true;
	if (cancelled(j->w->cancel))
		return ERR_CANCELLED;
	enum err e = part_has(j->filter, r->num, r->payload, &wanted, et);
	if (e || !wanted)
		return e;
	struct arena *a = arena_new(0);
	if (!a)
		return no_memory(et);
	e = item_decode(r->vectors, j->spaces, j->n_spaces, a, &v, &n, et);
	for (size_t i = 0; i < n && !e; i++) {
		if (!str_eq(v[i].space, j->space->name))
			continue;
		e = make_room(x, et);
		e = e ? e : add_fields(x, r->payload, et);
		if (e)
			break;
		float *to = x->v + x->p.n * dim;
		part_row(j->space, &v[i], to);
		if (j->space->distance == DISTANCE_COSINE)
			kern->normalize(to, to, dim);
		x->p.num[x->p.n] = r->num;
		x->vec[x->p.n++] = r->vec;
		buf_putc(&x->p.ids, (char)r->id.n);
		buf_adds(&x->p.ids, r->id);
		e = x->p.ids.err ? no_memory(et) : OK;
	}
	arena_free(a);
	return e;
}

/* The vectors, and the map that is there (n 0: none), as of one moment. */
static enum err read_all(struct reading *x, struct collection_row *k, struct map_points *old,
	struct map_row *old_row, struct errtext *et)
{
	struct map_job *j = x->job;
	struct tx *tx;
	enum err e = db_begin(croft_db(j->c), TX_READ, &tx, et);
	if (e)
		return e;
	e = store_collection_by_number(tx, j->collection, j->a, k, et);
	e = e ? e
	      : store_items_all(
			tx, j->collection, (struct item_want){true, true}, read_item, x, et);
	if (!e && j->o.mode != MAP_NEW) {
		e = store_map(tx, j->collection, true, j->a, old_row, et);
		if (e == ERR_NOT_FOUND)
			e = err_set(et, ERR_CONFLICT,
				"there is no map yet that could be aligned or extended: make a new "
				"one");
	}
	db_rollback(tx);
	e = e ? e : old_row->points.p ? map_points_decode(old_row->points, old, et) : OK;
	x->p.dims = j->o.dims ? j->o.dims : old->n ? old->dims : 2;
	if (!e && old->n && old->dims != x->p.dims)
		e = err_set(et, ERR_CONFLICT,
			"the map that is there has %zu dimensions: make a new one", old->dims);
	x->p.xy = malloc((x->p.n + 1) * x->p.dims * sizeof *x->p.xy);
	x->p.cluster = malloc((x->p.n + 1) * sizeof *x->p.cluster);
	if (!e && (!x->p.xy || !x->p.cluster))
		e = no_memory(et);
	if (!e && x->p.n < 2)
		e = err_set(et, ERR_CONFLICT,
			"a map needs at least two items with vectors; there are %zu", x->p.n);
	return e;
}

/* What is known of an old map: the same method on the same space. */
static enum err check_old(const struct map_job *j, struct str about, struct errtext *et)
{
	yyjson_doc *doc;
	enum err e = json_parse(about, &doc, et);
	if (e)
		return e;
	yyjson_val *o = yyjson_doc_get_root(doc);
	bool same = str_eq(json_str(o, "space"), j->space->name) &&
		    str_eq_c(json_str(o, "method"), "umap");
	yyjson_doc_free(doc);
	return same ? OK
		    : err_set(et, ERR_CONFLICT,
			      "the map that is there is of other vectors or of another method: "
			      "make "
			      "a new one");
}

/* Both are in the order of numbers. A vector that was replaced since has no place; `was` (the
 * places of the new points in the old map, or SIZE_MAX) tells which is which. */
static void take_places(
	struct reading *x, const struct map_points *old, int64_t old_seq, size_t *was)
{
	size_t o = 0;
	for (size_t i = 0; i < x->p.n; i++) {
		while (o < old->n && old->num[o] < x->p.num[i])
			o++;
		bool same = o < old->n && old->num[o] == x->p.num[i];
		was[i] = same ? o : SIZE_MAX;
		same = same && x->vec[i] <= old_seq;
		for (size_t d = 0; d < x->p.dims; d++)
			x->p.xy[x->p.dims * i + d] = same ? old->xy[x->p.dims * o + d] : NAN;
	}
}

/* ---- clusters ---- */

struct overlap {
	size_t n;
	int32_t was, is;
};

static int by_overlap(const void *a, const void *b)
{
	const struct overlap *x = a, *y = b;
	if (x->n != y->n)
		return x->n > y->n ? -1 : 1;
	return x->is != y->is ? (x->is < y->is ? -1 : 1) : x->was < y->was ? -1 : x->was > y->was;
}

static int by_pair(const void *a, const void *b)
{
	const struct overlap *x = a, *y = b;
	return x->is != y->is ? (x->is < y->is ? -1 : 1) : x->was < y->was ? -1 : x->was > y->was;
}

/* Clusters keep the number of that old one with which they share most; number[n] of each. */
static enum err keep_numbers(const struct map_points *p, const struct map_points *old,
	const size_t *was, int32_t *number, size_t n, struct errtext *et)
{
	struct overlap *o = malloc((p->n + 1) * sizeof *o);
	size_t n_pairs = 0, m = 0;
	int32_t next = 0;
	for (size_t i = 0; i < old->n; i++)
		next = MAX(next, old->cluster[i] + 1);
	uint8_t *taken = calloc((size_t)next + 1, 1);
	if (!o || !taken) {
		free(o);
		free(taken);
		return no_memory(et);
	}
	for (size_t i = 0; i < p->n; i++)
		if (was[i] != SIZE_MAX && p->cluster[i] >= 0 && old->cluster[was[i]] >= 0)
			o[m++] = (struct overlap){1, old->cluster[was[i]], p->cluster[i]};
	qsort(o, m, sizeof *o, by_pair);
	for (size_t i = 0; i < m; i++)
		if (n_pairs && o[n_pairs - 1].was == o[i].was && o[n_pairs - 1].is == o[i].is)
			o[n_pairs - 1].n++;
		else
			o[n_pairs++] = o[i];
	qsort(o, n_pairs, sizeof *o, by_overlap);
	for (size_t i = 0; i < n; i++)
		number[i] = -1;
	for (size_t i = 0; i < n_pairs; i++)
		if (number[o[i].is] < 0 && !taken[o[i].was]) {
			number[o[i].is] = o[i].was;
			taken[o[i].was] = 1;
		}
	for (size_t i = 0; i < n; i++)
		if (number[i] < 0)
			number[i] = next++;
	free(o);
	free(taken);
	return OK;
}

/* The clusters of the points, which from now on say their numbers. */
static void measure(struct map_points *p, const int32_t *number, struct map_cluster *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = (struct map_cluster){.number = number[i],
			.low = {INFINITY, INFINITY, INFINITY},
			.high = {-INFINITY, -INFINITY, -INFINITY}};
	for (size_t i = 0; i < p->n; i++) {
		if (p->cluster[i] < 0)
			continue;
		struct map_cluster *k = &out[p->cluster[i]];
		k->size++;
		for (size_t d = 0; d < p->dims; d++) {
			float x = p->xy[p->dims * i + d];
			k->low[d] = MIN(k->low[d], x);
			k->high[d] = MAX(k->high[d], x);
			k->middle[d] += (x - k->middle[d]) / (float)k->size;
		}
		p->cluster[i] = k->number;
	}
}

static enum err find_clusters(struct map_job *j, struct map_points *p, const struct map_points *old,
	const size_t *was, const struct layout_work *w, struct map_cluster **out, size_t *n_out,
	struct errtext *et)
{
	size_t n = 0;
	int32_t *number = NULL;
	enum err e =
		layout_clusters_in(p->xy, p->dims, p->n, j->o.cluster_min, w, p->cluster, &n, et);
	if (!e && n > MAP_CLUSTERS_MAX)
		e = err_set(et, ERR_LIMIT,
			"the map falls into %zu clusters, and %d are possible: ask for larger ones "
			"(cluster_min)",
			n, MAP_CLUSTERS_MAX);
	*out = e ? NULL : arena_array_of(j->a, n + 1, struct map_cluster);
	number = malloc((n + 1) * sizeof *number);
	if (!e && (!*out || !number))
		e = no_memory(et);
	for (size_t i = 0; i < n && !e; i++)
		number[i] = (int32_t)i;
	if (!e && old->n)
		e = keep_numbers(p, old, was, number, n, et);
	if (!e) {
		measure(p, number, *out, n);
		*n_out = n;
	}
	free(number);
	return e;
}

/* ---- keeping ---- */

struct made {
	const struct reading *x;
	const struct map_cluster *clusters;
	size_t n_clusters;
	float share[3];
	int64_t took_ms;
};

static void write_cluster(struct jw *w, const struct map_cluster *k, size_t dims)
{
	jw_obj(w);
	jw_ki64(w, "number", k->number);
	jw_ki64(w, "size", (int64_t)k->size);
	jw_kstr(w, "label", k->label);
	jw_kf64(w, "x", (double)k->middle[0]);
	jw_kf64(w, "y", (double)k->middle[1]);
	if (dims == 3)
		jw_kf64(w, "z", (double)k->middle[2]);
	jw_key(w, "bounds");
	jw_arr(w);
	for (size_t d = 0; d < dims; d++)
		jw_f32(w, k->low[d]);
	for (size_t d = 0; d < dims; d++)
		jw_f32(w, k->high[d]);
	jw_end(w);
	jw_end(w);
}

static void write_about(struct jw *w, const struct map_job *j, const struct made *m)
{
	static const char *const modes[] = {"new", "align", "extend"};
	size_t clustered = 0;
	jw_obj(w);
	jw_kc(w, "method", j->o.pca ? "pca" : "umap");
	jw_ki64(w, "dims", (int64_t)m->x->p.dims);
	jw_kstr(w, "space", j->space->name);
	jw_kc(w, "mode", modes[j->o.mode]);
	jw_ki64(w, "neighbours", j->o.neighbours);
	jw_kf64(w, "min_dist", j->o.min_dist);
	jw_ki64(w, "seed", (int64_t)j->o.seed);
	jw_ki64(w, "took_ms", m->took_ms);
	jw_key(w, "filter");
	if (j->o.filter.n)
		jw_raw(w, j->o.filter);
	else
		jw_null(w);
	jw_key(w, "share");
	if (j->o.pca) {
		jw_arr(w);
		for (size_t d = 0; d < m->x->p.dims; d++)
			jw_f32(w, m->share[d]);
		jw_end(w);
	} else {
		jw_null(w);
	}
	jw_key(w, "fields");
	jw_arr(w);
	for (size_t i = 0; i < m->x->fields.n; i++)
		jw_str(w, m->x->fields.names[i]);
	jw_end(w);
	jw_key(w, "clusters");
	jw_arr(w);
	for (size_t i = 0; i < m->n_clusters; i++) {
		write_cluster(w, &m->clusters[i], m->x->p.dims);
		clustered += m->clusters[i].size;
	}
	jw_end(w);
	jw_ki64(w, "points", (int64_t)m->x->p.n);
	jw_ki64(w, "noise", (int64_t)(m->x->p.n - clustered));
	jw_end(w);
}

static enum err put_in(struct tx *tx, void *ctx, struct errtext *et)
{
	const struct map_row *r = ctx;
	struct collection_row k;
	struct arena *a = arena_new(0);
	if (!a)
		return no_memory(et);
	enum err e = store_collection_by_number(tx, r->collection, a, &k, et);
	e = e ? e : store_traffic_trim(tx, r->collection, et);
	arena_free(a);
	return e ? e : store_map_put(tx, r, et);
}

static enum err keep(struct map_job *j, const struct made *m, int64_t seq, struct errtext *et)
{
	struct buf about = {0}, points = {0};
	struct jw w = {.out = &about};
	write_about(&w, j, m);
	enum err e = map_points_encode(&m->x->p, &points);
	if (e || about.err)
		e = no_memory(et);
	struct map_row r = {j->collection, seq, clock_unix_ms(), buf_str(&about), buf_str(&points)};
	e = e ? e : db_write(croft_db(j->c), put_in, &r, et);
	buf_free(&about);
	buf_free(&points);
	return e;
}

/* ---- the work ---- */

static enum err lay_out(struct map_job *j, struct reading *x, const struct layout_work *w,
	float *share, struct errtext *et)
{
	struct layout_rows rows = {x->v, x->p.n, j->space->dim};
	if (j->o.pca && rows.dim >= x->p.dims)
		return layout_pca(&rows, x->p.dims, j->o.seed, w, x->p.xy, share, et);
	if (j->o.pca)
		return err_set(et, ERR_INVALID, "vectors of %zu numbers have no %zu components",
			rows.dim, x->p.dims);
	return layout_embed(&rows,
		&(struct layout_options){.neighbours = j->o.neighbours,
			.min_dist = (float)j->o.min_dist,
			.seed = j->o.seed,
			.dims = (uint32_t)x->p.dims,
			.stay = j->o.mode == MAP_EXTEND},
		w, x->p.xy, et);
}

static enum err make_map(struct map_job *j, struct reading *x, struct errtext *et)
{
	struct collection_row k = {0};
	struct map_points old = {0};
	struct map_row old_row = {0};
	struct map_cluster *clusters = NULL;
	struct made m = {.x = x};
	struct kern_team *team = NULL;
	uint64_t began = clock_mono_ns();
	size_t *was = NULL;
	jobs_tell(j->w->self, "reading", 0, 0);
	enum err e = j->lazy ? version_fill(j->c, j->project, j->name, j->w->cancel, et) : OK;
	e = e ? e : read_all(x, &k, &old, &old_row, et);
	e = e || !old_row.about.p ? e : check_old(j, old_row.about, et);
	was = malloc((x->p.n + 1) * sizeof *was);
	e = e || was ? e : no_memory(et);
	e = e ? e : kern_team_new(MAX(cpu_count() / 2, 1u), &team, et);
	struct layout_work w = {team, j->w->cancel, jobs_tell, j->w->self};
	if (!e) {
		take_places(x, &old, old_row.seq, was);
		e = lay_out(j, x, &w, m.share, et);
	}
	kern_team_free(team);
	w.team = NULL;
	e = e ? e : find_clusters(j, &x->p, &old, was, &w, &clusters, &m.n_clusters, et);
	m.clusters = clusters;
	if (!e) {
		jobs_tell(j->w->self, "names", 0, 0);
		e = map_label(j->c, j->collection, j->o.field, &x->p, clusters, m.n_clusters, j->a,
			j->w->cancel, et);
	}
	m.took_ms = (int64_t)((clock_mono_ns() - began) / 1000000);
	e = e ? e : keep(j, &m, k.seq, et);
	map_points_free(&old);
	free(was);
	return e;
}

static enum err run(const struct jobs_work *w, struct errtext *et)
{
	struct map_job *j = w->ctx;
	struct reading x = {
		.job = j, .max_bytes = (size_t)setting_int(j->c, "collection.map_bytes")};
	j->w = w;
	enum err e = make_map(j, &x, et);
	map_points_free(&x.p);
	free(x.v);
	free(x.vec);
	return e;
}

/* ---- jobs ---- */

enum err maps_new(struct jobs **out, struct errtext *et)
{
	_Static_assert(MAP_AT_ONCE == 2, "the text says so");
	return jobs_new(&(struct jobs_kind){.thread = "map",
				.busy = "two maps are being made at present: wait for one of them",
				.what = "a map of a collection",
				.at_once = MAP_AT_ONCE},
		out, et);
}

enum err map_find(struct croft *c, struct str project, struct str name, struct arena *a,
	struct collection_row *out, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = store_collection_by_name(tx, project, name, a, out, et);
	db_rollback(tx);
	return e;
}

static enum err prepare(struct croft *c, struct str project, struct str name,
	const struct map_options *o, struct map_job *j, struct errtext *et)
{
	struct collection_row k;
	enum err e = map_find(c, project, name, j->a, &k, et);
	e = e ? e : config_read(k.config, j->a, &j->spaces, &j->n_spaces, et);
	if (e)
		return e;
	j->c = c;
	j->collection = k.number;
	j->o = *o;
	j->o.field = arena_str(j->a, o->field);
	j->o.filter = arena_str(j->a, o->filter);
	j->space = space_pick(j->spaces, j->n_spaces, o->space);
	if (!j->space)
		return err_set(et, ERR_INVALID, "there are no vectors named \"%.*s\"",
			STR_FMT(str_sub(o->space, 0, 100)));
	j->o.space = j->space->name;
	e = part_takes(j->space, "a map", et);
	j->lazy = !k.next_num;
	j->project = arena_str(j->a, project);
	j->name = arena_str(j->a, name);
	if (!e && (!j->o.field.p || !j->o.filter.p || !j->project.p || !j->name.p))
		e = no_memory(et);
	return e ? e : part_read(c, k.number, j->o.filter, j->a, &j->filter, et);
}

enum err map_start(struct croft *c, struct str project, struct str name,
	const struct map_options *o, struct errtext *et)
{
	struct arena *a = arena_new(0);
	struct map_job *j = a ? arena_new_of(a, struct map_job) : NULL;
	enum err e = j ? OK : no_memory(et);
	if (!e) {
		j->a = a;
		e = prepare(c, project, name, o, j, et);
	}
	e = e ? e
	      : jobs_start(collections_of(c)->maps,
			&(struct jobs_new_one){.collection = j->collection,
				.arena = a,
				.ctx = j,
				.run = run,
				.stop = croft_stopping(c),
				.twice = "a map of this collection is being made"},
			et);
	if (e)
		arena_free(a);
	return e;
}
