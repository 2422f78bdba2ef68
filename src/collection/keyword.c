/* The keyword index of a collection: settings, what it takes of payloads, searching it.
 *
 * k->keyword is changed under k->write and k->lock; who searches counts it. What goes into it goes
 * under k->write. */
#include "collection/asof.h"
#include "collection/keyword_int.h"
#include "base/clock.h"
#include "base/log.h"
#include "text/unicode.h"

#include <math.h>
#include <stdlib.h>

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a keyword index");
}

/* ---- settings ---- */

static const struct fusion usual_fusion = {FUSE_RANKS, 60, 1, 1, 0};
static const char *const methods[] = {"rrf", "score"};

static enum err number_of(
	yyjson_val *o, const char *key, double least, double most, float *out, struct errtext *et)
{
	double v = *out;
	enum err e = json_want_f64(o, key, least, most, &v, et);
	*out = (float)v;
	return e;
}

enum err fusion_read(yyjson_val *o, struct fusion *out, struct errtext *et)
{
	struct str method = {0};
	int64_t depth = (int64_t)out->depth;
	enum err e = json_want_str(o, "method", &method, et);
	if (!e && o && !yyjson_is_obj(o))
		e = err_set(et, ERR_INVALID,
			"fusion must be an object: {method, k, vector, keyword, depth}");
	if (!e && method.n && !str_eq_c(method, "rrf") && !str_eq_c(method, "score"))
		e = err_set(et, ERR_INVALID, "fusion.method must be rrf or score");
	if (method.n)
		out->method = str_eq_c(method, "score") ? FUSE_SCORES : FUSE_RANKS;
	e = e ? e : number_of(o, "k", 0, 1e6, &out->k, et);
	e = e ? e : number_of(o, "vector", 0, 1e6, &out->vector, et);
	e = e ? e : number_of(o, "keyword", 0, 1e6, &out->keyword, et);
	e = e ? e : json_want_i64(o, "depth", 0, COLLECTION_K_MAX, &depth, et);
	out->depth = (size_t)depth;
	if (!e && out->vector <= 0 && out->keyword <= 0)
		e = err_set(et, ERR_INVALID,
			"fusion: the weights of vector and keyword are both 0: nothing would "
			"count");
	return e ? err_wrap(et, e, "fusion") : OK;
}

static enum err read_field(struct str name, yyjson_val *v, struct arena *a,
	struct keyword_field *out, struct errtext *et)
{
	struct str path;
	enum err e = cond_path(name, a, &path, et);
	*out = (struct keyword_field){arena_str(a, name), {1, 0.75f}};
	if (!e && fields_has_place(path))
		e = err_set(et, ERR_UNSUPPORTED, "a place in an array is no field here");
	if (!e && yyjson_is_num(v))
		out->weigh.weight = (float)yyjson_get_num(v);
	else if (!e && yyjson_is_obj(v))
		e = number_of(v, "weight", 0, 1e6, &out->weigh.weight, et);
	else if (!e)
		e = err_set(et, ERR_INVALID, "a weight, or {weight, b}, is missing");
	e = e ? e : number_of(v, "b", 0, 1, &out->weigh.b, et);
	if (!e && !(out->weigh.weight > 0 && out->weigh.weight <= 1e6f))
		e = err_set(et, ERR_INVALID, "the weight must be above 0");
	if (!e && !out->name.p)
		e = no_memory(et);
	return e ? err_wrap(et, e, "fields.%.*s", STR_FMT(str_sub(name, 0, 100))) : OK;
}

static enum err read_fields(
	yyjson_val *fields, struct arena *a, struct keyword_settings *out, struct errtext *et)
{
	yyjson_val *key, *value;
	size_t i, n;
	enum err e = OK;
	if (!yyjson_is_obj(fields) || !yyjson_obj_size(fields) ||
		yyjson_obj_size(fields) > BM25_FIELDS_MAX)
		return err_set(et, ERR_INVALID,
			"fields must name 1 to %d fields of the payloads with their weights: "
			"{\"title\": 2, \"text\": 1}",
			BM25_FIELDS_MAX);
	yyjson_obj_foreach(fields, i, n, key, value)
	{
		struct str name = json_val_str(key);
		for (size_t j = 0; j < out->n_fields && !e; j++)
			if (str_eq(out->fields[j].name, name))
				e = err_set(et, ERR_INVALID, "fields: %.*s stands there twice",
					STR_FMT(str_sub(name, 0, 100)));
		e = e ? e : read_field(name, value, a, &out->fields[out->n_fields], et);
		out->n_fields += !e;
	}
	return e;
}

enum err keyword_settings_read(
	yyjson_val *o, struct arena *a, struct keyword_settings *out, struct errtext *et)
{
	struct str language = S("");
	yyjson_val *fusion = yyjson_obj_get(o, "fusion");
	*out = (struct keyword_settings){.k1 = 1.2f, .fusion = usual_fusion};
	enum err e = read_fields(yyjson_obj_get(o, "fields"), a, out, et);
	e = e ? e : json_want_str(o, "language", &language, et);
	if (!e && language.n && !unicode_stems(language))
		e = err_set(et, ERR_INVALID,
			"language: there are no stems for \"%.*s\"; en, de, fr, es, it, ... are "
			"there, \"\" is none",
			STR_FMT(str_sub(language, 0, 20)));
	e = e ? e : number_of(o, "k1", 0.001, 100, &out->k1, et);
	if (!e && fusion && !yyjson_is_null(fusion))
		e = fusion_read(fusion, &out->fusion, et);
	out->language = arena_str(a, language);
	return e || out->language.p ? e : no_memory(et);
}

void keyword_settings_write(struct jw *w, const struct keyword_settings *s)
{
	jw_obj(w);
	jw_key(w, "fields");
	jw_obj(w);
	for (size_t i = 0; i < s->n_fields; i++) {
		jw_key_str(w, s->fields[i].name);
		jw_obj(w);
		jw_key(w, "weight");
		jw_f32(w, s->fields[i].weigh.weight);
		jw_key(w, "b");
		jw_f32(w, s->fields[i].weigh.b);
		jw_end(w);
	}
	jw_end(w);
	jw_kstr(w, "language", s->language);
	jw_key(w, "k1");
	jw_f32(w, s->k1);
	jw_key(w, "fusion");
	jw_obj(w);
	jw_kc(w, "method", methods[s->fusion.method]);
	jw_key(w, "k");
	jw_f32(w, s->fusion.k);
	jw_key(w, "vector");
	jw_f32(w, s->fusion.vector);
	jw_key(w, "keyword");
	jw_f32(w, s->fusion.keyword);
	jw_ki64(w, "depth", (int64_t)s->fusion.depth);
	jw_end(w);
	jw_end(w);
}

/* ---- an index ---- */

void keyword_put_back(struct keyword_index *x)
{
	if (!x || atomic_fetch_sub(&x->refs, 1) != 1)
		return;
	bm25_free(x->bm25);
	arena_free(x->a);
	free(x);
}

static enum err settle(struct keyword_index *x, struct str config, struct errtext *et)
{
	struct bm25_field weigh[BM25_FIELDS_MAX];
	yyjson_doc *doc;
	enum err e = json_parse(config, &doc, et);
	if (e)
		return err_wrap(et, ERR_CORRUPT, "the settings of a keyword index");
	e = keyword_settings_read(yyjson_doc_get_root(doc), x->a, &x->settings, et);
	yyjson_doc_free(doc);
	const struct keyword_settings *s = &x->settings;
	for (size_t i = 0; i < s->n_fields && !e; i++) {
		e = cond_path(s->fields[i].name, x->a, &x->paths[i], et);
		weigh[i] = s->fields[i].weigh;
	}
	bool classic = s->n_fields == 1;
	struct bm25_options o = {.k1 = s->k1,
		.b = weigh[0].b,
		.fields = classic ? NULL : weigh,
		.n_fields = classic ? 0 : s->n_fields,
		.positions = true};
	x->config = arena_str(x->a, config);
	if (!e && !x->config.p)
		e = no_memory(et);
	if (!e && bm25_new(&o, &x->bm25))
		e = no_memory(et);
	return e;
}

enum err keyword_settled(struct str config, struct keyword_index **out, struct errtext *et)
{
	struct keyword_index *x = calloc(1, sizeof *x);
	if (!x || !(x->a = arena_new(0))) {
		free(x);
		return no_memory(et);
	}
	atomic_init(&x->refs, 1);
	enum err e = settle(x, config, et);
	if (e)
		keyword_put_back(x);
	else
		*out = x;
	return e;
}

struct keyword_index *keyword_get(struct collection *k)
{
	pthread_rwlock_rdlock(&k->lock);
	struct keyword_index *x = k->keyword;
	if (x)
		atomic_fetch_add(&x->refs, 1);
	pthread_rwlock_unlock(&k->lock);
	return x;
}

static void show(struct collection *k, struct keyword_index *x)
{
	pthread_rwlock_wrlock(&k->lock);
	struct keyword_index *former = k->keyword;
	k->keyword = x;
	pthread_rwlock_unlock(&k->lock);
	keyword_put_back(former);
}

void keyword_clear(struct collection *k)
{
	show(k, NULL);
}

enum err keyword_make(struct collection *k, struct str config, struct errtext *et)
{
	struct keyword_index *x = NULL;
	enum err e = keyword_settled(config, &x, et);
	if (!e)
		show(k, x);
	return e;
}

/* ---- what goes into it ---- */

struct field_terms {
	struct term_list list;
	const char *language;
};

static bool take_text(void *ctx, yyjson_val *v)
{
	struct field_terms *f = ctx;
	return !yyjson_is_str(v) || !keyword_terms(&f->list, json_val_str(v), f->language);
}

enum err keyword_texts(const struct keyword_index *x, struct str payload, struct arena *a,
	struct bm25_text *texts, struct errtext *et)
{
	yyjson_doc *doc;
	enum err e = json_parse(payload, &doc, et);
	if (e)
		return e;
	for (size_t i = 0; i < x->settings.n_fields && !e; i++) {
		struct field_terms f = {.list = {.a = a}, .language = x->settings.language.p};
		if (!payload_values(yyjson_doc_get_root(doc), x->paths[i], take_text, &f))
			e = err_set(et, f.list.e ? f.list.e : ERR_NOMEM,
				"no memory for the terms of an item");
		texts[i] = (struct bm25_text){f.list.terms, f.list.at, f.list.n};
	}
	yyjson_doc_free(doc);
	return e;
}

static enum err put_in(
	struct keyword_index *x, uint64_t num, struct str payload, struct errtext *et)
{
	struct bm25_text texts[BM25_FIELDS_MAX];
	struct arena *a = arena_new(0);
	enum err e = a ? keyword_texts(x, payload, a, texts, et) : no_memory(et);
	e = e ? e : bm25_put_fields(x->bm25, num, texts, et);
	arena_free(a);
	return e;
}

enum err keyword_put(struct collection *k, uint64_t num, struct str payload, struct errtext *et)
{
	return k->keyword ? put_in(k->keyword, num, payload, et) : OK;
}

enum err keyword_delete(struct collection *k, const uint64_t *nums, size_t n, struct errtext *et)
{
	return k->keyword && n ? bm25_delete(k->keyword->bm25, nums, n, et) : OK;
}

enum err keyword_publish(struct collection *k, struct errtext *et)
{
	return k->keyword ? bm25_publish(k->keyword->bm25, et) : OK;
}

/* ---- files: snapshot.c ---- */

enum err keyword_save(
	struct collection *k, const char *path, int64_t mark, bool *none, struct errtext *et)
{
	struct keyword_index *x = keyword_get(k);
	*none = !x;
	enum err e = x ? bm25_save(x->bm25, path, (uint64_t)mark, x->config, et) : OK;
	keyword_put_back(x);
	return e;
}

enum err keyword_open(
	struct collection *k, const char *path, uint64_t max_num, int64_t mark, struct errtext *et)
{
	struct keyword_index *x = k->keyword, *made;
	uint64_t found;
	enum err e = bm25_open(x->bm25, path, x->config, max_num, &found, et);
	if (e || found == (uint64_t)mark)
		return e;
	e = keyword_settled(x->config, &made, et);
	if (e)
		return e;
	show(k, made);
	return err_set(et, ERR_CORRUPT, "%s: of another time", path);
}

/* ---- from the database ---- */

enum { PUBLISH_ITEMS = 8192 };

struct filling {
	struct keyword_index *x;
	const struct cancel *cancel;
	size_t n;
};

static enum err fill_one(void *ctx, const struct item_row *r, struct errtext *et)
{
	struct filling *f = ctx;
	if (cancelled(f->cancel))
		return err_set(et, ERR_CANCELLED, "building a keyword index was cancelled");
	enum err e = put_in(f->x, (uint64_t)r->num, r->payload, et);
	if (!e && ++f->n % PUBLISH_ITEMS == 0)
		e = bm25_publish(f->x->bm25, et);
	return e;
}

static enum err fill(struct collection *k, struct tx *tx, struct keyword_index *x,
	const struct cancel *cancel, struct errtext *et)
{
	struct filling f = {.x = x, .cancel = cancel};
	enum err e = store_items_all(
		tx, k->number, (struct item_want){.payload = true}, fill_one, &f, et);
	return e ? e : bm25_publish(x->bm25, et);
}

enum err keyword_follow(struct collection *k, struct tx *tx, bool filled,
	const struct cancel *cancel, struct errtext *et)
{
	struct arena *a = arena_new(0);
	struct keyword_index *x = NULL;
	struct str config = S("");
	enum err e = a ? store_keyword(tx, k->number, a, &config, et) : no_memory(et);
	struct str now = k->keyword ? k->keyword->config : S("");
	bool changed = !e && !str_eq(config, now), here = !k->backend->words;
	if (changed && config.n)
		e = keyword_settled(config, &x, et);
	if (changed && config.n && filled && here && !e)
		e = fill(k, tx, x, cancel, et);
	arena_free(a);
	if (e)
		keyword_put_back(x);
	else if (changed)
		show(k, x);
	return e;
}

/* ---- changing the settings ---- */

struct resetting {
	struct collection *k;
	struct str config;
	struct collection_row row;
	int64_t before;
};

/* Others learn of it like of any change. */
static enum err set_in(struct resetting *s, struct tx *tx, struct arena *a, struct errtext *et)
{
	const struct backend *b = s->k->backend;
	char number[24];
	enum err e = store_collection_by_number(tx, s->k->number, a, &s->row, et);
	if (e)
		return e;
	s->before = s->row.seq++;
	s->row.updated_ms = clock_unix_ms();
	e = store_keyword_put(tx, s->k->number, s->config, et);
	e = e ? e : store_collection_at(tx, &s->row, et);
	if (!e && b->changed)
		e = b->changed(tx, &s->row, et);
	if (!e && s->config.n && b->words_settle)
		e = b->words_settle(tx, &s->row, s->config, et);
	snprintf(number, sizeof number, "%lld", (long long)s->k->number);
	return e ? e : db_notify(tx, COLLECTION_CHANNEL, str_c(number), et);
}

/* Under k->write, after the commit. */
static enum err show_setting(struct resetting *s, const struct cancel *cancel, struct errtext *et)
{
	struct tx *tx;
	if (s->k->seq != s->before)
		return shelf_follow(s->k, et);
	enum err e = db_begin(croft_db(s->k->c), TX_READ, &tx, et);
	if (e)
		return e;
	e = keyword_follow(s->k, tx, true, cancel, et);
	db_rollback(tx);
	if (!e)
		shelf_at(s->k, s->row.seq);
	return e;
}

/* Where words are searched elsewhere: an index by these settings, but for its last step. */
static enum err make_elsewhere(
	struct resetting *s, struct arena *a, const struct cancel *cancel, struct errtext *et)
{
	struct tx *tx;
	if (!s->config.n || !s->k->backend->words_fill)
		return OK;
	enum err e = db_begin(croft_db(s->k->c), TX_READ, &tx, et);
	if (e)
		return e;
	e = store_collection_by_number(tx, s->k->number, a, &s->row, et);
	db_rollback(tx);
	return e ? e : s->k->backend->words_fill(s->k->c, &s->row, s->config, cancel, et);
}

static void tidy_elsewhere(struct collection *k)
{
	struct errtext et = {0};
	if (k->backend->words_tidy && k->backend->words_tidy(k->c, k->number, &et))
		log_warn("the former keyword index of %.*s: %s", STR_FMT(k->name), et.msg);
}

enum err collection_set_keyword(struct collection *k, const struct keyword_settings *s,
	const struct cancel *cancel, struct errtext *et)
{
	struct buf config = {0};
	struct tx *tx;
	if (k->asof)
		return err_set(et, ERR_CONFLICT,
			"a version is searched by words as its collection is: change that one's");
	struct arena *a = arena_new(0);
	if (s)
		keyword_settings_write(&(struct jw){.out = &config}, s);
	struct resetting x = {.k = k, .config = buf_str(&config)};
	if (!a || config.err) {
		arena_free(a);
		buf_free(&config);
		return no_memory(et);
	}
	enum err e = make_elsewhere(&x, a, cancel, et);
	pthread_mutex_lock(&k->write);
	e = e ? e : db_begin(croft_db(k->c), TX_WRITE, &tx, et);
	if (!e)
		e = db_finish(tx, set_in(&x, tx, a, et), et);
	e = e ? e : show_setting(&x, cancel, et);
	pthread_mutex_unlock(&k->write);
	tidy_elsewhere(k);
	buf_free(&config);
	arena_free(a);
	return e;
}

enum err keyword_none(const struct collection *k, struct errtext *et)
{
	return err_set(et, ERR_INVALID,
		"the collection %.*s has no keyword index: croft collections words %.*s --fields "
		"NAME makes one",
		STR_FMT(k->name), STR_FMT(k->name));
}

enum err collection_keyword(
	struct collection *k, struct arena *a, struct keyword_settings *out, struct errtext *et)
{
	struct keyword_index *x = keyword_get(k);
	if (!x)
		return keyword_none(k, et);
	*out = x->settings;
	bool ok = (out->language = arena_str(a, out->language)).p != NULL;
	for (size_t i = 0; i < out->n_fields && ok; i++)
		ok = (out->fields[i].name = arena_str(a, out->fields[i].name)).p != NULL;
	keyword_put_back(x);
	return ok ? OK : no_memory(et);
}

/* ---- searching ---- */

static bool plain_terms(const struct keyword_query *q)
{
	for (size_t i = 0; i < q->n; i++)
		if (q->clauses[i].match != BM25_TERM || q->clauses[i].need != BM25_SHOULD)
			return false;
	return true;
}

/* Any number of words, where clauses have a limit. */
static enum err find_terms(struct keyword_index *x, const struct keyword_query *q,
	const struct bitmap *among, size_t max, struct hit *out, size_t *n,
	const struct cancel *cancel, struct errtext *et)
{
	struct str *terms = malloc((q->n + 1) * sizeof *terms);
	if (!terms)
		return no_memory(et);
	for (size_t i = 0; i < q->n; i++)
		terms[i] = q->clauses[i].terms[0];
	enum err e = bm25_search(x->bm25, terms, q->n, max, among ? bitmap_keep : NULL,
		(void *)among, out, n, cancel, et);
	free(terms);
	return e;
}

enum err keyword_find(struct collection *k, struct keyword_index *x, const struct keyword_query *q,
	const struct cond *filter, size_t max, struct hit *out, size_t *n, bool *cut,
	const struct cancel *cancel, struct errtext *et)
{
	struct bitmap among = {0};
	bool was_cut = false;
	*n = 0;
	if (!q->n)
		return OK;
	if (k->backend->words) {
		enum err e = plain_terms(q) ? OK : bm25_clauses_check(q->clauses, q->n, true, et);
		return e ? e
			 : k->backend->words(
				   k, x, q, filter, NULL, 0, max, out, n, cut, cancel, et);
	}
	enum err e = filter ? filter_select(k, filter, &among, et) : OK;
	const struct bitmap *some = filter ? &among : NULL;
	if (!e && plain_terms(q))
		e = find_terms(x, q, some, max, out, n, cancel, et);
	else if (!e)
		e = bm25_query(x->bm25, q->clauses, q->n, max, some ? bitmap_keep : NULL,
			(void *)some, out, n, &was_cut, cancel, et);
	bitmap_free(&among);
	if (!e && cut)
		*cut |= was_cut;
	return e;
}

/* Which of the hits have what one clause says. */
static enum err mark_having(struct collection *k, struct keyword_index *x,
	const struct bm25_clause *c, const struct bitmap *among, const uint64_t *nums, size_t n,
	struct bitmap *out, const struct cancel *cancel, struct errtext *et)
{
	struct bm25_clause has = *c;
	struct hit *found = malloc((n + 1) * sizeof *found);
	size_t got = 0;
	has.need = BM25_SHOULD;
	struct keyword_query one = {.clauses = &has, .n = 1};
	enum err e = bm25_clauses_check(&has, 1, true, et);
	if (!e && !found)
		e = no_memory(et);
	if (!e && k->backend->words)
		e = k->backend->words(k, x, &one, NULL, nums, n, n, found, &got, NULL, cancel, et);
	else if (!e)
		e = bm25_query(x->bm25, &has, 1, n, bitmap_keep, (void *)among, found, &got, NULL,
			cancel, et);
	for (size_t i = 0; i < got && !e; i++)
		bitmap_add(out, found[i].key);
	free(found);
	return !e && out->err ? no_memory(et) : e;
}

enum err keyword_demand(struct collection *k, struct keyword_index *x,
	const struct keyword_query *q, struct item_hit *hits, size_t *n,
	const struct cancel *cancel, struct errtext *et)
{
	struct bitmap among = {0};
	uint64_t *nums = malloc((*n + 1) * sizeof *nums);
	enum err e = nums ? OK : no_memory(et);
	for (size_t i = 0; i < *n && nums; i++)
		bitmap_add(&among, hits[i].key);
	for (size_t c = 0; c < q->n && *n && !e; c++) {
		struct bitmap having = {0};
		size_t kept = 0;
		if (q->clauses[c].need == BM25_SHOULD)
			continue;
		for (size_t i = 0; i < *n; i++)
			nums[i] = hits[i].key;
		e = mark_having(k, x, &q->clauses[c], &among, nums, *n, &having, cancel, et);
		for (size_t i = 0; i < *n && !e; i++)
			if (bitmap_has(&having, hits[i].key) == (q->clauses[c].need == BM25_MUST))
				hits[kept++] = hits[i];
		*n = e ? *n : kept;
		bitmap_free(&having);
	}
	bitmap_free(&among);
	free(nums);
	return e;
}

enum err collection_search_words(struct collection *k, const struct keyword_search *q,
	struct arena *a, struct item_hit **out, size_t *n, bool *cut, struct errtext *et)
{
	struct keyword_query query;
	if (!q->k || q->k > COLLECTION_K_MAX)
		return err_set(et, ERR_INVALID, "%d hits at most can be asked for, and not none",
			COLLECTION_K_MAX);
	struct keyword_index *x = keyword_get(k);
	struct hit *found = arena_array_of(a, q->k, struct hit);
	struct item_hit *hits = arena_array_of(a, q->k, struct item_hit);
	enum err e = !x ? keyword_none(k, et) : found && hits ? OK : no_memory(et);
	e = e ? e : asof_need(k, ASOF_WORDS, et);
	e = e ? e : keyword_query_parse(q->text, x->settings.language.p, a, &query, et);
	size_t got = 0;
	e = e ? e : keyword_find(k, x, &query, q->filter, q->k, found, &got, cut, q->cancel, et);
	keyword_put_back(x);
	for (size_t i = 0; i < got && !e; i++)
		hits[i] = (struct item_hit){.key = found[i].key, .score = found[i].score};
	e = e ? e : collection_fill(k, hits, &got, q->want, a, et);
	if (!e) {
		*out = hits;
		*n = got;
	}
	return e;
}
