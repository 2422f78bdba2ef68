/* Croft's own routes of collections. */
#include "collection/asof.h"
#include "collection/formula.h"
#include "collection/item_json.h"
#include "collection/keyword_int.h"
#include "collection/version_routes.h"
#include "base/clock.h"
#include "collection/wire.h"

#include <math.h>

enum { LIST_DEFAULT = 20, LIST_MAX = 1000 };

static struct str name_of(const struct http_request *rq)
{
	return http_param(rq, "name");
}

/* ---- collections ---- */

static void write_collection(struct jw *w, const struct collection_info *k)
{
	char t[CLOCK_TEXT];
	jw_obj(w);
	jw_kstr(w, "name", k->name);
	jw_ki64(w, "items", k->items);
	jw_ki64(w, "seq", k->seq);
	jw_kbool(w, "lazy", k->lazy);
	jw_kc(w, "backend", k->backend);
	jw_key(w, "spaces");
	jw_arr(w);
	for (size_t i = 0; i < k->n_spaces; i++) {
		const struct space *s = &k->spaces[i];
		jw_obj(w);
		jw_kstr(w, "name", s->name);
		jw_ki64(w, "size", s->dim);
		jw_kc(w, "distance", distance_word(s->distance));
		jw_kc(w, "kind", space_kind_word(s->kind));
		jw_kbool(w, "idf", s->idf);
		jw_kc(w, "model", s->model.n ? s->model.p : NULL);
		jw_kc(w, "identity", s->identity.n ? s->identity.p : NULL);
		jw_end(w);
	}
	jw_end(w);
	jw_key(w, "aliases");
	jw_arr(w);
	for (size_t i = 0; i < k->n_aliases; i++)
		jw_str(w, k->aliases[i]);
	jw_end(w);
	jw_key(w, "keyword");
	jw_raw(w, k->keyword.n ? k->keyword : S("null"));
	clock_rfc3339(k->created_ms, t);
	jw_kc(w, "created", t);
	clock_rfc3339(k->updated_ms, t);
	jw_kc(w, "updated", t);
	jw_end(w);
}

void get_collections(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct collection_info *list = NULL;
	struct buf b = {0};
	struct jw w = {.out = &b};
	size_t n = 0;
	enum err e = collection_list(c, project_of(rq), rq->arena, &list, &n, &et);
	jw_obj(&w);
	jw_key(&w, "collections");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		write_collection(&w, &list[i]);
	jw_end(&w);
	jw_end(&w);
	wire_reply(rs, e, &et, &w);
}

static void reply_collection(struct croft *c, struct http_request *rq, struct http_response *rs,
	enum err e, struct errtext *et)
{
	struct collection_info k;
	struct buf b = {0};
	struct jw w = {.out = &b};
	e = e ? e : collection_find(c, project_of(rq), name_of(rq), rq->arena, &k, et);
	if (!e)
		write_collection(&w, &k);
	wire_reply(rs, e, et, &w);
}

void get_collection(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	reply_collection(c, rq, rs, OK, &et);
}

static enum err set_words(struct croft *c, struct http_request *rq,
	const struct keyword_settings *words, struct errtext *et)
{
	struct collection *k = NULL;
	enum err e = collection_open(c, project_of(rq), name_of(rq), &k, rq->cancel, et);
	e = e ? e : collection_set_keyword(k, words, rq->cancel, et);
	collection_close(k);
	if (e && collection_delete(c, project_of(rq), name_of(rq), NULL))
		return err_wrap(et, e, "the collection is made, without an index of words");
	return e;
}

void put_collection(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct keyword_settings words;
	struct space *spaces = NULL;
	yyjson_val *o = NULL;
	size_t n = 0;
	enum err e = wire_body(rq, &o, &et);
	e = e ? e
	      : item_json_spaces(item_json_get(o, "vectors"), item_json_get(o, "sparse_vectors"),
			rq->arena, &spaces, &n, &et);
	struct str backend = S("");
	e = e ? e : json_want_str(o, "backend", &backend, &et);
	yyjson_val *keyword = item_json_get(o, "keyword");
	if (!e && keyword)
		e = keyword_settings_read(keyword, rq->arena, &words, &et);
	e = e ? e : collection_create_in(c, project_of(rq), name_of(rq), spaces, n, backend, &et);
	if (!e && keyword)
		e = set_words(c, rq, &words, &et);
	reply_collection(c, rq, rs, e, &et);
}

void move_collection(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct str backend = S("");
	yyjson_val *o = NULL;
	enum err e = wire_body(rq, &o, &et);
	e = e ? e : json_want_str(o, "backend", &backend, &et);
	e = e ? e
	      : collection_move(c, rq->who, project_of(rq), name_of(rq), backend, rq->cancel, &et);
	reply_collection(c, rq, rs, e, &et);
}

void delete_collection(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct buf b = {0};
	struct jw w = {.out = &b};
	enum err e = collection_delete(c, project_of(rq), name_of(rq), &et);
	jw_obj(&w);
	jw_kbool(&w, "deleted", true);
	jw_end(&w);
	wire_reply(rs, e, &et, &w);
}

/* ---- items ---- */

static enum err open_it(
	struct croft *c, struct http_request *rq, struct collection **out, struct errtext *et)
{
	return collection_open(c, project_of(rq), name_of(rq), out, rq->cancel, et);
}

/* NULL: a copy whose items are still those of a version. */
static enum err open_filled(
	struct croft *c, struct http_request *rq, struct collection **out, struct errtext *et)
{
	return collection_open_filled(c, project_of(rq), name_of(rq), out, rq->cancel, et);
}

void put_items(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct collection *k = NULL;
	struct collection_item *items = NULL;
	yyjson_val *o = NULL;
	int64_t seq = 0;
	size_t n = 0;
	struct buf b = {0};
	struct jw w = {.out = &b};
	enum err e = wire_body(rq, &o, &et);
	if (!e && !yyjson_is_arr(yyjson_obj_get(o, "items")))
		e = err_set(&et, ERR_INVALID, "items (a list) is missing");
	e = e ? e : item_json_items(yyjson_obj_get(o, "items"), rq->arena, &items, &n, &et);
	e = e ? e : open_it(c, rq, &k, &et);
	e = e ? e : collection_put(k, items, n, &seq, rq->cancel, &et);
	collection_close(k);
	jw_obj(&w);
	jw_ki64(&w, "seq", seq);
	jw_ki64(&w, "items", (int64_t)n);
	jw_end(&w);
	wire_reply(rs, e, &et, &w);
}

void delete_items(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct collection *k = NULL;
	struct item_id *ids = NULL;
	const struct cond *cond = NULL;
	yyjson_val *o = NULL;
	int64_t seq = 0;
	size_t n = 0, gone = 0;
	struct buf b = {0};
	struct jw w = {.out = &b};
	enum err e = wire_body(rq, &o, &et);
	yyjson_val *filter = e ? NULL : item_json_get(o, "filter");
	e = e || filter ? e : item_json_ids(yyjson_obj_get(o, "ids"), rq->arena, &ids, &n, &et);
	e = e ? e : open_it(c, rq, &k, &et);
	e = e ? e : collection_filter(k, filter, rq->arena, &cond, &et);
	if (!e && cond)
		e = collection_matching(k, cond, rq->arena, &ids, &n, &et);
	e = e ? e : collection_remove(k, ids, n, &gone, &seq, &et);
	collection_close(k);
	jw_obj(&w);
	jw_ki64(&w, "seq", seq);
	jw_ki64(&w, "deleted", (int64_t)gone);
	jw_end(&w);
	wire_reply(rs, e, &et, &w);
}

static enum err list_query(
	const struct http_request *rq, int64_t *limit, struct item_id *from, struct errtext *et)
{
	struct str n = http_query(rq, "limit"), after = http_query(rq, "from");
	*limit = LIST_DEFAULT;
	if (n.p && (!str_i64(n, limit) || *limit < 1 || *limit > LIST_MAX))
		return err_set(et, ERR_INVALID, "limit must be a number from 1 to %d", LIST_MAX);
	return after.p ? item_id_parse(after, from, et) : OK;
}

/* Everything of an item, or all but its vectors. */
static void write_items(struct jw *w, const struct collection_item *items, size_t n, bool vectors)
{
	yyjson_val yes = {.tag = YYJSON_TYPE_BOOL | YYJSON_SUBTYPE_TRUE};
	for (size_t i = 0; i < n; i++) {
		jw_obj(w);
		item_json_write(w, &items[i], &yes, vectors ? &yes : NULL);
		jw_end(w);
	}
}

void get_items(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct collection *k = NULL;
	struct collection_item *items = NULL;
	struct item_id from;
	int64_t limit;
	size_t n = 0;
	struct buf b = {0};
	struct jw w = {.out = &b};
	bool vectors = str_eq_c(http_query(rq, "vectors"), "true");
	enum err e = list_query(rq, &limit, &from, &et);
	e = e || http_query(rq, "as_of").n ? e : open_filled(c, rq, &k, &et);
	if (!e && !k) {
		items_of_version(c, rq, rs);
		return;
	}
	struct live_mark before = live_mark(k);
	e = e ? e
	      : collection_scroll(k, NULL, http_query(rq, "from").p ? &from : NULL,
			(size_t)limit + 1, (struct item_want){true, vectors}, rq->arena, &items, &n,
			&et);
	jw_obj(&w);
	jw_key(&w, "items");
	jw_arr(&w);
	write_items(&w, items, MIN(n, (size_t)limit), vectors);
	jw_end(&w);
	jw_key(&w, "next");
	if (!e && n > (size_t)limit)
		item_json_write_id(&w, &items[limit].id);
	else
		jw_null(&w);
	if (k)
		live_members(&w, k, before);
	collection_close(k);
	jw_end(&w);
	wire_reply(rs, e, &et, &w);
}

/* ---- searching ---- */

enum search_mode { BY_VECTOR, BY_WORDS, BY_BOTH };
static const char *const search_modes[] = {"vector", "keyword", "hybrid"};

/* What is looked for: a vector, a text that the space's model embeds, or an item's own vector; or a
 * text by its words. */
struct sought {
	enum search_mode mode;
	struct item_query q;
	struct str text;
	struct fusion fusion;
	struct item_id self;
	struct item_search how;
	bool cut;                      /* a beginning or a misspelt word stands for too many */
	struct hybrid_hit *sources;    /* beside the hits; NULL: there is one source */
	const struct formula *formula; /* that scores what was found; NULL: none */
	size_t k;                      /* hits of which q.k are candidates */
};

static enum err sought_text(struct croft *c, struct http_request *rq, struct collection *k,
	struct str text, struct sought *x, struct errtext *et)
{
	const struct space *s = collection_space(k, x->q.space);
	float *v = s ? arena_array_of(rq->arena, s->dim, float) : NULL;
	if (!s)
		return err_set(et, ERR_INVALID, "there are no vectors named \"%.*s\"",
			STR_FMT(str_sub(x->q.space, 0, 100)));
	if (!v)
		return err_set(et, ERR_NOMEM, "no memory for a query");
	x->q.vector = v;
	x->q.dim = s->dim;
	x->q.text = text;
	return collection_embed(k, s, &text, 1, v, rq->cancel, et);
}

static void set_sought(struct sought *x, const struct item_vector *v)
{
	x->q.vector = v->v;
	x->q.dim = v->dim;
	x->q.at = v->at;
	x->q.rows = v->rows;
}

static enum err sought_item(struct http_request *rq, struct collection *k, yyjson_val *id,
	struct sought *x, struct errtext *et)
{
	enum err e = item_json_id(id, &x->self, et);
	x->q.without = &x->self;
	x->q.n_without = 1;
	x->q.like = &x->self;
	struct item_vector v = {0};
	e = e ? e : collection_vector(k, &x->self, x->q.space, rq->arena, &v, et);
	set_sought(x, &v);
	return e;
}

static enum err parse_mode(struct http_request *rq, struct collection *k, yyjson_val *o,
	struct sought *x, struct errtext *et)
{
	struct str mode = {0};
	struct keyword_settings s;
	enum err e = json_want_str(o, "mode", &mode, et);
	size_t i = 0;
	while (mode.n && i < ARRAY_LEN(search_modes) && !str_eq_c(mode, search_modes[i]))
		i++;
	if (!e && i == ARRAY_LEN(search_modes))
		e = err_set(et, ERR_INVALID, "mode must be vector, keyword or hybrid");
	x->mode = (enum search_mode)i;
	if (e || x->mode == BY_VECTOR)
		return e;
	x->text = json_str(o, "text");
	if (!x->text.n)
		return err_set(et, ERR_INVALID, "mode %s needs a text", search_modes[i]);
	e = collection_keyword(k, rq->arena, &s, et);
	x->fusion = s.fusion;
	yyjson_val *fusion = item_json_get(o, "fusion");
	return e || !fusion ? e : fusion_read(fusion, &x->fusion, et);
}

/* Embedded are the words alone, without what they are marked with. */
static enum err plain_text(struct http_request *rq, struct sought *x, struct errtext *et)
{
	struct keyword_query words;
	enum err e = keyword_query_parse(x->text, "", rq->arena, &words, et);
	if (!e && !words.plain.n)
		e = err_set(et, ERR_INVALID,
			"the text says only what must not be: in mode hybrid something has to be "
			"looked for");
	x->text = e ? x->text : words.plain;
	return e;
}

/* A formula scores the candidates: the best of the search by themselves. */
static enum err parse_scoring(struct http_request *rq, struct collection *k, yyjson_val *o,
	struct sought *x, struct errtext *et)
{
	yyjson_val *formula = item_json_get(o, "formula");
	int64_t candidates = (int64_t)MIN(MAX(4 * x->q.k, 100), (size_t)COLLECTION_K_MAX);
	x->k = x->q.k;
	if (!formula)
		return OK;
	enum err e =
		json_want_i64(o, "candidates", (int64_t)x->k, COLLECTION_K_MAX, &candidates, et);
	x->q.k = (size_t)candidates;
	return e ? e
		 : formula_parse(
			   k, formula, item_json_get(o, "defaults"), rq->arena, &x->formula, et);
}

static enum err parse_search(struct croft *c, struct http_request *rq, struct collection *k,
	yyjson_val *o, struct sought *x, struct errtext *et)
{
	int64_t hits = 10, ef = 0;
	double worst = NAN;
	bool vectors = false;
	yyjson_val *vector = item_json_get(o, "vector"), *id = item_json_get(o, "id");
	struct str text = json_str(o, "text");
	enum err e = json_want_i64(o, "k", 1, LIST_MAX, &hits, et);
	e = e ? e : json_want_f64(o, "worst", -1e30, 1e30, &worst, et);
	e = e ? e : json_want_bool(o, "vectors", &vectors, et);
	e = e ? e : json_want_bool(o, "exact", &x->q.exact, et);
	e = e ? e : json_want_i64(o, "ef", 1, COLLECTION_K_MAX, &ef, et);
	x->q.ef = (uint32_t)ef;
	e = e ? e : json_want_str(o, "space", &x->q.space, et);
	e = e ? e : collection_filter(k, item_json_get(o, "filter"), rq->arena, &x->q.filter, et);
	x->q.k = (size_t)hits;
	x->q.worst = (float)worst;
	x->q.want = (struct item_want){true, vectors};
	x->q.cancel = rq->cancel;
	e = e ? e : parse_scoring(rq, k, o, x, et);
	e = e ? e : parse_mode(rq, k, o, x, et);
	if (e || x->mode == BY_WORDS)
		return e;
	if (x->mode == BY_BOTH && (vector || id))
		text = S("");
	if (text.n) {
		struct str whole = x->text;
		e = x->mode == BY_BOTH ? plain_text(rq, x, et) : OK;
		e = e ? e : sought_text(c, rq, k, x->mode == BY_BOTH ? x->text : text, x, et);
		x->text = whole;
		return e;
	}
	if (id)
		return sought_item(rq, k, id, x, et);
	if (vector) {
		struct item_vector v = {0};
		e = item_json_vector(vector, rq->arena, &v, et);
		set_sought(x, &v);
		return e;
	}
	return err_set(
		et, ERR_INVALID, "say what is looked for: text, vector, or the id of an item");
}

static enum err search_words(struct http_request *rq, struct collection *k, struct sought *x,
	struct item_hit **hits, size_t *n, struct errtext *et)
{
	struct keyword_search q = {x->text, x->q.k, x->q.filter, x->q.want, x->q.cancel};
	return collection_search_words(k, &q, rq->arena, hits, n, &x->cut, et);
}

static enum err search_both(struct http_request *rq, struct collection *k, struct sought *x,
	struct item_hit **hits, size_t *n, struct errtext *et)
{
	struct hybrid_query q = {x->q, x->text, x->fusion};
	q.vector.worst = NAN;
	enum err e =
		collection_search_hybrid(k, &q, rq->arena, &x->sources, n, &x->cut, &x->how, et);
	*hits = e ? NULL : arena_array_of(rq->arena, *n + 1, struct item_hit);
	if (!e && !*hits)
		e = err_set(et, ERR_NOMEM, "no memory for hits");
	for (size_t i = 0; i < *n && !e; i++)
		(*hits)[i] = x->sources[i].hit;
	return e;
}

/* The worst score that counts is one of what the hits are ordered by. */
static enum err search(struct http_request *rq, struct collection *k, struct sought *x,
	struct item_hit **hits, size_t *n, struct errtext *et)
{
	if (x->mode == BY_VECTOR)
		return collection_query(k, &x->q, rq->arena, hits, n, &x->how, et);
	enum err e = x->mode == BY_WORDS ? search_words(rq, k, x, hits, n, et)
					 : search_both(rq, k, x, hits, n, et);
	while (!e && *n && (*hits)[*n - 1].score < x->q.worst)
		--*n;
	return e;
}

/* `worst` is of the formula's scores. */
static enum err search_scored(struct http_request *rq, struct collection *k, struct sought *x,
	struct item_hit **hits, size_t *n, struct errtext *et)
{
	struct hit_list found = {.weight = 1}, scored = {0};
	float worst = x->q.worst;
	x->q.worst = NAN;
	enum err e = search(rq, k, x, &found.hits, &found.n, et);
	e = e ? e
	      : formula_rescore(
			k, x->formula, &found, 1, worst, x->k, rq->cancel, rq->arena, &scored, et);
	e = e ? e : collection_fill(k, scored.hits, &scored.n, x->q.want, rq->arena, et);
	x->sources = NULL; /* they stand beside the hits in another order */
	*hits = scored.hits;
	*n = e ? 0 : scored.n;
	return e;
}

static bool refilling(struct croft *c, struct http_request *rq)
{
	struct vlive x;
	return !version_live_now(c, project_of(rq), name_of(rq), rq->arena, &x, NULL) &&
	       refill_busy(c, x.row.number, NULL);
}

/* The live items; or a version, or that of a copy which has no items of its own yet: *about. */
static enum err open_for(struct croft *c, struct http_request *rq, yyjson_val *o,
	struct collection **k, struct artifact_version *about, struct errtext *et)
{
	struct str ref = S(""), mode = json_str(o, "mode");
	yyjson_val *v = item_json_get(o, "vector");
	/* what has an index only makes a copy live */
	bool live = (mode.n && !str_eq_c(mode, search_modes[BY_VECTOR])) || yyjson_is_obj(v) ||
		    yyjson_is_arr(yyjson_arr_get_first(v));
	enum err e = version_ref(o, "as_of", rq->arena, &ref, et);
	if (!e && !ref.n)
		e = open_filled(c, rq, k, et);
	if (!e && !ref.n && !*k && live && !refilling(c, rq))
		e = open_it(c, rq, k, et);
	if (!e && !*k)
		e = asof_open(
			c, project_of(rq), name_of(rq), ref, rq->arena, k, about, rq->cancel, et);
	return e;
}

void search_collection(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct collection *k = NULL;
	struct item_hit *hits = NULL;
	struct sought x = {0};
	yyjson_val *o = NULL;
	size_t n = 0;
	uint64_t began = clock_mono_ns();
	struct buf b = {0};
	struct jw w = {.out = &b};
	yyjson_val yes = {.tag = YYJSON_TYPE_BOOL | YYJSON_SUBTYPE_TRUE};
	enum err e = wire_body(rq, &o, &et);
	struct artifact_version about = {.version = 0};
	e = e ? e : open_for(c, rq, o, &k, &about, &et);
	struct live_mark before = live_mark(k);
	e = e ? e : parse_search(c, rq, k, o, &x, &et);
	e = e ? e : (x.formula ? search_scored : search)(rq, k, &x, &hits, &n, &et);
	if (!e)
		collection_count_hits(k, hits, n);
	jw_obj(&w);
	jw_key(&w, "hits");
	jw_arr(&w);
	for (size_t i = 0; i < n && !e; i++) {
		jw_obj(&w);
		jw_key(&w, "score");
		jw_f32(&w, hits[i].score);
		if (x.sources)
			hybrid_write_shares(&w, &x.sources[i]);
		item_json_write(&w, &hits[i].item, &yes, x.q.want.vectors ? &yes : NULL);
		jw_end(&w);
	}
	jw_end(&w);
	jw_kc(&w, "mode", search_modes[x.mode]);
	jw_kbool(&w, "cut", x.cut);
	jw_kbool(&w, "exact", !x.how.approximate);
	jw_ki64(&w, "compared", (int64_t)x.how.compared);
	jw_kf64(&w, "took_ms", (double)(clock_mono_ns() - began) / 1e6);
	if (k && k->asof)
		version_members(&w, &about);
	else if (k)
		live_members(&w, k, before);
	collection_close(k);
	jw_end(&w);
	wire_reply(rs, e, &et, &w);
}
