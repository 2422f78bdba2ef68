/* Options and results of curation as JSON. */
#include "collection/curate_int.h"
#include "collection/part.h"

#include <math.h>

enum { SEED_MAX = 1 << 30, COUNT_MAX = 1 << 24 };

/* ---- options ---- */

struct word {
	const char *word;
	int value;
};

static enum err parse_word(
	yyjson_val *o, const char *key, const struct word *words, int *out, struct errtext *et)
{
	struct str s = {0};
	struct buf have = {0};
	enum err e = json_want_str(o, key, &s, et);
	if (e || !s.p)
		return e;
	for (const struct word *w = words; w->word; w++) {
		if (str_eq_c(s, w->word)) {
			*out = w->value;
			buf_free(&have);
			return OK;
		}
		buf_addf(&have, "%s%s", w == words ? "" : ", ", w->word);
	}
	e = err_set(et, ERR_INVALID, "%s cannot be \"%.*s\": say one of %s", key,
		STR_FMT(str_sub(s, 0, 40)), buf_c(&have));
	buf_free(&have);
	return e;
}

static const struct word keeps[] = {{"first", KEEP_FIRST}, {"last", KEEP_LAST},
	{"centre", KEEP_CENTRE}, {"longest", KEEP_LONGEST}, {"highest", KEEP_HIGHEST}, {0}};
static const struct word outlier_methods[] = {
	{"lof", METHOD_LOF}, {"distance", METHOD_DISTANCE}, {0}};
static const struct word sample_methods[] = {
	{"centre", METHOD_CENTRE}, {"uncertain", METHOD_UNCERTAIN}, {0}};
static const struct word label_methods[] = {
	{"joint", METHOD_JOINT}, {"noise_rate", METHOD_NOISE_RATE}, {0}};
static const struct word no_words[] = {{0}};

static const struct word *methods_of(enum curate_kind k)
{
	return k == CURATE_OUTLIERS      ? outlier_methods
	       : k == CURATE_SAMPLE      ? sample_methods
	       : k == CURATE_MISLABELLED ? label_methods
					 : no_words;
}

static const char *word_of(const struct word *words, int value)
{
	while (words->word && words->value != value)
		words++;
	return words->word;
}

/* What stands when nothing is said. */
static struct curate_options defaults(enum curate_kind kind)
{
	struct curate_options o = {.threshold = NAN,
		.share = 0.01,
		.alpha = 0.8,
		.holdout = 0.2,
		.k = kind == CURATE_OUTLIERS ? 20 : 10,
		.count = 100,
		.method = kind == CURATE_SAMPLE        ? METHOD_CENTRE
			  : kind == CURATE_MISLABELLED ? METHOD_JOINT
						       : METHOD_LOF};
	return o;
}

static enum err check_fields(
	enum curate_kind kind, const struct curate_options *o, struct errtext *et)
{
	bool needs =
		kind == CURATE_PROPAGATE || kind == CURATE_MISLABELLED || kind == CURATE_BALANCE;
	if (needs && !o->label.n)
		return err_set(et, ERR_INVALID,
			"label is missing: name the field of the payload that holds an item's "
			"class");
	if (kind == CURATE_SAMPLE && o->method == METHOD_UNCERTAIN && !o->label.n && !o->scores.n)
		return err_set(et, ERR_INVALID,
			"say scores (a field with a model's probabilities) or label (a field with "
			"classes): without one nothing is uncertain");
	if (o->label.n > 200 || o->scores.n > 200 || o->keep_field.n > 200)
		return err_set(et, ERR_INVALID, "the name of a field has at most 200 bytes");
	return OK;
}

enum err curate_options_read(enum curate_kind kind, yyjson_val *body, struct arena *a,
	struct curate_options *out, struct errtext *et)
{
	struct curate_options o = defaults(kind);
	int64_t k = o.k, count = (int64_t)o.count, seed = 0;
	int keep = KEEP_FIRST, method = (int)o.method;
	enum err e = parse_word(body, "keep", keeps, &keep, et);
	e = e ? e : parse_word(body, "method", methods_of(kind), &method, et);
	if (kind == CURATE_DUPLICATES)
		e = e ? e : json_want_bool(body, "exact", &o.exact, et);
	e = e ? e : part_of_body(body, a, &o.filter, et);
	e = e ? e : json_want_str(body, "space", &o.space, et);
	e = e ? e : json_want_str(body, "label", &o.label, et);
	e = e ? e : json_want_str(body, "scores", &o.scores, et);
	e = e ? e : json_want_str(body, "keep_field", &o.keep_field, et);
	e = e ? e : json_want_f64(body, "threshold", -1, 1e30, &o.threshold, et);
	e = e ? e : json_want_f64(body, "share", 0, 1, &o.share, et);
	e = e ? e : json_want_f64(body, "alpha", 0.01, 0.999, &o.alpha, et);
	e = e ? e : json_want_f64(body, "holdout", 0, 0.9, &o.holdout, et);
	e = e ? e : json_want_i64(body, "neighbours", 1, 200, &k, et);
	e = e ? e : json_want_i64(body, "count", 1, COUNT_MAX, &count, et);
	e = e ? e : json_want_i64(body, "seed", 0, SEED_MAX, &seed, et);
	e = e ? e : json_want_bool(body, "diverse", &o.diverse, et);
	o.k = (uint32_t)k;
	o.count = (size_t)count;
	o.seed = (uint64_t)seed;
	o.keep = (enum curate_keep)keep;
	o.method = (enum curate_method)method;
	if (!o.keep_field.n)
		o.keep_field = S("text");
	e = e ? e : check_fields(kind, &o, et);
	if (!e)
		*out = o;
	return e;
}

/* Those that the kind looks at. */
void curate_options_write(
	struct jw *w, enum curate_kind kind, const struct curate_options *o, const struct space *s)
{
	jw_obj(w);
	jw_kstr(w, "space", s->name);
	jw_kc(w, "distance", distance_word(s->distance));
	if (kind == CURATE_DUPLICATES) {
		jw_kf64(w, "threshold", o->threshold);
		jw_kc(w, "keep", word_of(keeps, (int)o->keep));
		jw_kbool(w, "exact", o->exact);
		if (o->keep == KEEP_LONGEST || o->keep == KEEP_HIGHEST)
			jw_kstr(w, "keep_field", o->keep_field);
	} else if (methods_of(kind)->word) {
		jw_kc(w, "method", word_of(methods_of(kind), (int)o->method));
	}
	if (o->label.n)
		jw_kstr(w, "label", o->label);
	if (o->scores.n)
		jw_kstr(w, "scores", o->scores);
	if (kind != CURATE_DUPLICATES && !(kind == CURATE_SAMPLE && o->method == METHOD_CENTRE))
		jw_ki64(w, "neighbours", o->k);
	if (kind == CURATE_OUTLIERS && isnan(o->threshold))
		jw_kf64(w, "share", o->share);
	if (kind == CURATE_OUTLIERS && !isnan(o->threshold))
		jw_kf64(w, "threshold", o->threshold);
	if (kind == CURATE_SAMPLE) {
		jw_ki64(w, "count", (int64_t)o->count);
		jw_kbool(w, "diverse", o->diverse);
	}
	if (kind == CURATE_PROPAGATE) {
		jw_kf64(w, "alpha", o->alpha);
		jw_kf64(w, "holdout", o->holdout);
		if (!isnan(o->threshold))
			jw_kf64(w, "threshold", o->threshold);
	}
	if (kind == CURATE_SAMPLE || kind == CURATE_PROPAGATE)
		jw_ki64(w, "seed", (int64_t)o->seed);
	if (o->filter.n) {
		jw_key(w, "filter");
		jw_raw(w, o->filter);
	}
	jw_end(w);
}

/* ---- results ---- */

enum err curate_result_read(struct tx *tx, int64_t collection, enum curate_kind kind, bool cases,
	struct arena *a, struct curate_result *out, struct errtext *et)
{
	struct curate_result r = {0};
	yyjson_doc *doc = NULL;
	enum err e = store_curation(tx, collection, kind, cases, a, &r.row, et);
	if (e)
		return e;
	e = json_parse(r.row.about, &doc, et);
	if (e)
		return err_wrap(et, ERR_CORRUPT, "a stored result of curation");
	if (!arena_on_free(a, (void (*)(void *))yyjson_doc_free, doc)) {
		yyjson_doc_free(doc);
		return err_set(et, ERR_NOMEM, "no memory for a result of curation");
	}
	r.about = yyjson_doc_get_root(doc);
	struct str word = json_str(yyjson_obj_get(r.about, "parameters"), "distance");
	if (!distance_parse(word, &r.distance))
		return err_set(et, ERR_CORRUPT, "a stored result of curation is damaged");
	e = cases ? curate_decode(r.row.cases, a, &r.cases, &r.n, et) : OK;
	if (!e)
		*out = r;
	return e;
}

void curate_write_label(struct jw *w, const struct curate_result *r, int32_t label)
{
	yyjson_val *list = yyjson_obj_get(r->about, "labels");
	yyjson_val *v = label < 0 ? NULL : yyjson_arr_get(list, (size_t)label);
	if (v)
		jw_val(w, v);
	else
		jw_null(w);
}
