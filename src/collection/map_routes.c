/* Routes of maps: begin one, see how far it is, fetch it, colour it by a field, stop or drop it. */
#include "base/clock.h"
#include "base/hash.h"
#include "collection/item_json.h"
#include "collection/map_int.h"
#include "collection/part.h"
#include "collection/traffic.h"
#include "collection/wire.h"

#include <math.h>
#include <stdlib.h>

enum { SEED_MAX = 1 << 30, PAGE = 1000, DISTINCT_MAX = 10000, FEW_NUMBERS = 12 };

static struct str name_of(const struct http_request *rq)
{
	return http_param(rq, "name");
}

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a map");
}

/* ---- the map as it is ---- */

static void write_base64(struct jw *w, const char *key, const void *p, size_t n)
{
	struct buf b = {0};
	base64_encode(&b, str_mk(p, n));
	jw_kstr(w, key, b.err ? (struct str){0} : buf_str(&b));
	if (b.err)
		w->out->err = b.err;
	buf_free(&b);
}

static void write_points(struct jw *w, const struct map_points *p)
{
	size_t at = 0;
	jw_obj(w);
	jw_key(w, "ids");
	jw_arr(w);
	for (size_t i = 0; i < p->n; i++) {
		struct item_id id = {.n = (uint8_t)p->ids.p[at]};
		memcpy(id.b, p->ids.p + at + 1, id.n);
		item_json_write_id(w, &id);
		at += 1 + (size_t)id.n;
	}
	jw_end(w);
	write_base64(w, "xy", p->xy, p->n * p->dims * sizeof *p->xy);
	write_base64(w, "cluster", p->cluster, p->n * sizeof *p->cluster);
	jw_end(w);
}

static enum err write_map(struct jw *w, const struct map_row *r, int64_t seq, struct errtext *et)
{
	char t[CLOCK_TEXT];
	yyjson_val *key, *value;
	size_t i, n;
	yyjson_doc *doc;
	struct map_points p = {0};
	enum err e = json_parse(r->about, &doc, et);
	if (e)
		return e;
	if (r->points.p && (e = map_points_decode(r->points, &p, et))) {
		yyjson_doc_free(doc);
		return e;
	}
	jw_obj(w);
	yyjson_obj_foreach(yyjson_doc_get_root(doc), i, n, key, value)
	{
		jw_key_str(w, json_val_str(key));
		jw_val(w, value);
	}
	if (!yyjson_obj_get(yyjson_doc_get_root(doc), "dims")) /* of before there were 3 */
		jw_ki64(w, "dims", 2);
	jw_ki64(w, "seq", r->seq);
	jw_ki64(w, "behind", seq - r->seq);
	clock_rfc3339(r->made_ms, t);
	jw_kc(w, "made", t);
	jw_key(w, "data");
	if (r->points.p)
		write_points(w, &p);
	else
		jw_null(w);
	jw_end(w);
	map_points_free(&p);
	yyjson_doc_free(doc);
	return OK;
}

static enum err read_map(struct croft *c, struct http_request *rq, bool points,
	struct collection_row *k, struct map_row *r, bool *there, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = store_collection_by_name(tx, project_of(rq), name_of(rq), rq->arena, k, et);
	e = e ? e : store_map(tx, k->number, points, rq->arena, r, et);
	*there = !e;
	db_rollback(tx);
	return e == ERR_NOT_FOUND && k->number ? OK : e;
}

static void reply_map(struct croft *c, struct http_request *rq, struct http_response *rs,
	bool points, enum err e, struct errtext *et)
{
	struct collection_row k = {0};
	struct map_row r = {0};
	struct jobs_at at;
	bool there = false;
	struct buf b = {0};
	struct jw w = {.out = &b};
	/* how far it is first: who hears that it is made gets what was made */
	e = e ? e : map_find(c, project_of(rq), name_of(rq), rq->arena, &k, et);
	if (!e)
		jobs_look(collections_of(c)->maps, k.number, 0, &at);
	e = e ? e : read_map(c, rq, points, &k, &r, &there, et);
	if (!e) {
		jw_obj(&w);
		wire_job(&w, &at);
		jw_key(&w, "map");
		if (there)
			e = write_map(&w, &r, k.seq, et);
		else
			jw_null(&w);
		jw_end(&w);
	}
	wire_reply(rs, e, et, &w);
}

void get_map(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	reply_map(c, rq, rs, !str_eq_c(http_query(rq, "data"), "false"), OK, &et);
}

/* ---- making and dropping ---- */

static enum err parse_word(yyjson_val *o, const char *key, const char *const *words, size_t n,
	size_t *out, struct errtext *et)
{
	struct str s = {0};
	enum err e = json_want_str(o, key, &s, et);
	for (size_t i = 0; i < n && !e && s.n; i++)
		if (str_eq_c(s, words[i])) {
			*out = i;
			return OK;
		}
	return e || !s.n ? e
			 : err_set(et, ERR_INVALID,
				   "%s cannot be \"%.*s\": say %s, or another of "
				   "those in the documentation",
				   key, STR_FMT(str_sub(s, 0, 40)), words[0]);
}

static enum err parse_options(
	yyjson_val *o, struct arena *a, struct map_options *out, struct errtext *et)
{
	static const char *const methods[] = {"umap", "pca"}, *const modes[] = {
								      "new", "align", "extend"};
	size_t method = 0, mode = 0;
	int64_t neighbours = 15, seed = 0, cluster_min = 0, dims = 0;
	double min_dist = 0.1;
	out->field = S("text");
	enum err e = parse_word(o, "method", methods, ARRAY_LEN(methods), &method, et);
	e = e ? e : parse_word(o, "mode", modes, ARRAY_LEN(modes), &mode, et);
	e = e ? e : part_of_body(o, a, &out->filter, et);
	e = e ? e : json_want_str(o, "space", &out->space, et);
	e = e ? e : json_want_str(o, "label_field", &out->field, et);
	e = e ? e : json_want_i64(o, "neighbours", 2, 200, &neighbours, et);
	e = e ? e : json_want_i64(o, "dims", 2, 3, &dims, et);
	e = e ? e : json_want_i64(o, "seed", 0, SEED_MAX, &seed, et);
	e = e ? e : json_want_i64(o, "cluster_min", 2, 1 << 24, &cluster_min, et);
	e = e ? e : json_want_f64(o, "min_dist", 0.001, 3, &min_dist, et);
	if (!e && method == 1 && mode)
		e = err_set(et, ERR_INVALID,
			"principal components are the same each time: align and extend are of "
			"umap");
	out->pca = method == 1;
	out->dims = (uint32_t)dims;
	out->mode = (enum map_mode)mode;
	out->neighbours = (uint32_t)neighbours;
	out->seed = (uint64_t)seed;
	out->cluster_min = (size_t)cluster_min;
	out->min_dist = min_dist;
	return e;
}

void post_map(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct map_options o = {0};
	yyjson_doc *doc = NULL;
	enum err e = json_parse(rq->body.n ? rq->body : S("{}"), &doc, &et);
	yyjson_val *root = yyjson_doc_get_root(doc);
	if (!e && !yyjson_is_obj(root))
		e = err_set(&et, ERR_INVALID, "the body must be a JSON object");
	e = e ? e : parse_options(root, rq->arena, &o, &et);
	e = e ? e : map_start(c, project_of(rq), name_of(rq), &o, &et);
	yyjson_doc_free(doc);
	reply_map(c, rq, rs, false, e, &et);
}

static enum err drop_in(struct tx *tx, void *ctx, struct errtext *et)
{
	return store_map_drop(tx, *(const int64_t *)ctx, et);
}

/* One that is being made is stopped, and what is there stays; else what is there goes. */
void delete_map(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct collection_row k;
	struct buf b = {0};
	struct jw w = {.out = &b};
	bool stopped = false;
	enum err e = map_find(c, project_of(rq), name_of(rq), rq->arena, &k, &et);
	if (!e) {
		stopped = jobs_stop(collections_of(c)->maps, k.number, 0);
		e = stopped ? OK : db_write(croft_db(c), drop_in, &k.number, &et);
	}
	jw_obj(&w);
	jw_kbool(&w, "stopped", stopped);
	jw_kbool(&w, "deleted", !stopped);
	jw_end(&w);
	wire_reply(rs, e, &et, &w);
}

/* ---- a field of the payload, for colours ---- */

struct category {
	struct str text;
	size_t n;
	int32_t code;
};

struct colouring {
	const struct map_points *p;
	struct str field;
	struct arena *a;
	float *number; /* NaN: none */
	int32_t *code; /* -1: none, -2: one of too many */
	struct map by_text;
	struct category **list;
	size_t n_list, n_numbers, n_others;
	struct item_id last;
	size_t n_page;
};

static size_t point_of(const struct map_points *p, int64_t num)
{
	size_t low = 0, high = p->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (p->num[mid] < num)
			low = mid + 1;
		else
			high = mid;
	}
	return low < p->n && p->num[low] == num ? low : SIZE_MAX;
}

static enum err add_category(
	struct colouring *x, struct str text, int32_t *code, struct errtext *et)
{
	struct category *k = map_get(&x->by_text, text);
	if (!k && x->n_list == DISTINCT_MAX) {
		*code = -2;
		return OK;
	}
	if (!k) {
		k = arena_new_of(x->a, struct category);
		if (!k)
			return no_memory(et);
		*k = (struct category){arena_str(x->a, text), 0, (int32_t)x->n_list};
		if (!k->text.p || !map_put(&x->by_text, text, k))
			return no_memory(et);
		x->list[x->n_list++] = k;
	}
	k->n++;
	*code = k->code;
	return OK;
}

/* Texts, numbers and truth values; of a list its first. */
static enum err add_value(struct colouring *x, size_t at, yyjson_val *v, struct errtext *et)
{
	char t[32];
	struct str text;
	if (yyjson_is_arr(v))
		v = yyjson_arr_get_first(v);
	if (yyjson_is_num(v)) {
		double d = yyjson_get_num(v);
		x->number[at] = (float)d;
		x->n_numbers++;
		snprintf(t, sizeof t, "%.9g", d);
		text = str_c(t);
	} else if (yyjson_is_str(v)) {
		text = str_sub(json_val_str(v), 0, 100);
		text.n = utf8_complete_prefix(text);
	} else if (yyjson_is_bool(v)) {
		text = str_c(yyjson_get_bool(v) ? "true" : "false");
	} else {
		return OK;
	}
	x->n_others += !yyjson_is_num(v);
	return add_category(x, text, &x->code[at], et);
}

static enum err see_item(void *ctx, const struct item_row *r, struct errtext *et)
{
	struct colouring *x = ctx;
	yyjson_doc *doc = NULL;
	size_t at = point_of(x->p, r->num);
	bool again = x->last.n && str_eq(r->id, item_id_bytes(&x->last));
	x->n_page++;
	if (r->id.n > sizeof x->last.b)
		return err_set(et, ERR_CORRUPT, "the stored id of an item is damaged");
	x->last.n = (uint8_t)r->id.n;
	memcpy(x->last.b, r->id.p, r->id.n);
	if (again || at == SIZE_MAX || !r->payload.n)
		return OK;
	enum err e = json_parse(r->payload, &doc, et);
	if (!e)
		e = add_value(x, at,
			yyjson_obj_getn(yyjson_doc_get_root(doc), x->field.p, x->field.n), et);
	yyjson_doc_free(doc);
	return e;
}

/* By pages, so that no transaction lasts; the last item of a page is the first of the next. */
static enum err see_all(struct croft *c, const struct http_request *rq, int64_t collection,
	struct colouring *x, struct errtext *et)
{
	enum err e = OK;
	bool more = true;
	while (!e && more) {
		struct item_id from = x->last;
		struct tx *tx;
		x->n_page = 0;
		if (cancelled(rq->cancel))
			return ERR_CANCELLED;
		e = db_begin(croft_db(c), TX_READ, &tx, et);
		if (e)
			return e;
		e = store_items_from(tx, collection, item_id_bytes(&from), PAGE,
			(struct item_want){true, false}, see_item, x, et);
		db_rollback(tx);
		more = x->n_page == PAGE;
	}
	return e;
}

static int by_count(const void *a, const void *b)
{
	const struct category *x = *(struct category *const *)a, *y = *(struct category *const *)b;
	return x->n > y->n ? -1 : x->n < y->n ? 1 : str_cmp(x->text, y->text);
}

static enum err write_categories(struct jw *w, struct colouring *x, struct errtext *et)
{
	int32_t *rank = arena_array_of(x->a, x->n_list + 1, int32_t);
	if (!rank)
		return no_memory(et);
	if (x->n_list)
		qsort(x->list, x->n_list, sizeof(struct category *), by_count);
	for (size_t i = 0; i < x->n_list; i++)
		rank[x->list[i]->code] = i < MAP_CATEGORIES_MAX ? (int32_t)i : -2;
	for (size_t i = 0; i < x->p->n; i++)
		if (x->code[i] >= 0)
			x->code[i] = rank[x->code[i]];
	jw_kc(w, "kind", "category");
	jw_key(w, "categories");
	jw_arr(w);
	for (size_t i = 0; i < MIN(x->n_list, (size_t)MAP_CATEGORIES_MAX); i++) {
		jw_obj(w);
		jw_kstr(w, "value", x->list[i]->text);
		jw_ki64(w, "items", (int64_t)x->list[i]->n);
		jw_end(w);
	}
	jw_end(w);
	write_base64(w, "values", x->code, x->p->n * sizeof *x->code);
	return OK;
}

static enum err write_colouring(struct jw *w, struct colouring *x, struct errtext *et)
{
	enum err e = OK;
	jw_obj(w);
	if (x->n_others || x->n_list <= FEW_NUMBERS) {
		e = write_categories(w, x, et);
	} else {
		jw_kc(w, "kind", "number");
		jw_key(w, "categories");
		jw_arr(w);
		jw_end(w);
		write_base64(w, "values", x->number, x->p->n * sizeof *x->number);
	}
	jw_end(w);
	return e;
}

void get_map_field(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct collection_row k = {0};
	struct map_row r = {0};
	struct map_points p = {0};
	bool there = false;
	struct buf b = {0};
	struct jw w = {.out = &b};
	struct colouring x = {.p = &p, .a = rq->arena, .field = http_query(rq, "name")};
	enum err e = x.field.n ? read_map(c, rq, true, &k, &r, &there, &et)
			       : err_set(&et, ERR_INVALID, "name (of a field) is missing");
	if (!e && !there)
		e = err_set(&et, ERR_NOT_FOUND, "this collection has no map yet");
	e = e ? e : map_points_decode(r.points, &p, &et);
	x.number = malloc((p.n + 1) * sizeof *x.number);
	x.code = malloc((p.n + 1) * sizeof *x.code);
	x.list = arena_array_of(rq->arena, DISTINCT_MAX, struct category *);
	if (!e && (!x.number || !x.code || !x.list))
		e = no_memory(&et);
	for (size_t i = 0; i < p.n && !e; i++) {
		x.number[i] = NAN;
		x.code[i] = -1;
	}
	e = e ? e : see_all(c, rq, k.number, &x, &et);
	e = e ? e : write_colouring(&w, &x, &et);
	map_free(&x.by_text);
	map_points_free(&p);
	free(x.number);
	free(x.code);
	wire_reply(rs, e, &et, &w);
}

/* ---- how often items were hits ---- */

struct counting {
	const struct map_points *p;
	float *hits;
	int64_t total, items, most;
};

static enum err see_hits(void *ctx, int64_t num, int64_t hits, struct errtext *et)
{
	struct counting *x = ctx;
	size_t at = point_of(x->p, num);
	if (at == SIZE_MAX)
		return OK;
	x->hits[at] = (float)hits;
	x->total += hits;
	x->items++;
	x->most = MAX(x->most, hits);
	return OK;
}

static enum err read_hits(
	struct croft *c, int64_t collection, struct counting *x, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = store_traffic(tx, collection, see_hits, x, et);
	db_rollback(tx);
	return e;
}

void get_map_traffic(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct collection_row k = {0};
	struct map_row r = {0};
	struct map_points p = {0};
	struct buf b = {0};
	struct jw w = {.out = &b};
	struct counting x = {.p = &p};
	bool there = false;
	traffic_write(c, true); /* who looks sees what this server has counted */
	enum err e = read_map(c, rq, true, &k, &r, &there, &et);
	if (!e && !there)
		e = err_set(&et, ERR_NOT_FOUND, "this collection has no map yet");
	e = e ? e : map_points_decode(r.points, &p, &et);
	x.hits = calloc(p.n + 1, sizeof *x.hits);
	e = e || x.hits ? e : no_memory(&et);
	e = e ? e : read_hits(c, k.number, &x, &et);
	if (!e) {
		jw_obj(&w);
		write_base64(&w, "values", x.hits, p.n * sizeof *x.hits);
		jw_ki64(&w, "total", x.total);
		jw_ki64(&w, "items", x.items);
		jw_ki64(&w, "most", x.most);
		jw_end(&w);
	}
	map_points_free(&p);
	free(x.hits);
	wire_reply(rs, e, &et, &w);
}
