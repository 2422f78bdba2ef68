/* Bodies of the routes of vector stores to structs. What could change what is found is read or
 * refused by name; null is the same as absent. */
#include "api/vstores.h"

#include <math.h>
#include <stdio.h>

enum { NAME_MAX_ = 256, TEXT_MAX = 512, DAYS_MAX = 365, RESULTS_DEFAULT = 10 };

static enum err bad(struct api_error *x, const char *where, const char *want)
{
	return api_fail(x, ERR_INVALID, "invalid_value", where, "%s must be %s", where, want);
}

/* ---- a store ---- */

static enum err want_text(
	yyjson_val *o, const char *key, size_t max, bool *has, struct str *out, struct api_error *x)
{
	yyjson_val *v = api_get(o, key);
	if (!v)
		return OK;
	*out = json_val_str(v);
	if (!yyjson_is_str(v) || out->n > max || memchr(out->p, 0, out->n))
		return api_fail(x, ERR_INVALID, "invalid_value", key,
			"%s must be a text of at most %zu bytes", key, max);
	*has = true;
	return OK;
}

/* null takes it away. */
static enum err parse_expiry(yyjson_val *o, struct vstore_new *out, struct api_error *x)
{
	yyjson_val *v = yyjson_obj_get(o, "expires_after");
	out->has_expiry = v != NULL;
	if (!v || yyjson_is_null(v))
		return OK;
	if (!yyjson_is_obj(v))
		return bad(x, "expires_after", "an object with anchor and days");
	if (!str_eq_c(json_str(v, "anchor"), "last_active_at"))
		return bad(x, "expires_after.anchor", "\"last_active_at\"");
	yyjson_val *days = api_get(v, "days");
	out->expires_days = yyjson_is_int(days) ? yyjson_get_sint(days) : 0;
	if (out->expires_days < 1 || out->expires_days > DAYS_MAX)
		return bad(x, "expires_after.days", "from 1 to 365");
	return OK;
}

/* ---- files ---- */

static enum err parse_chunking(
	yyjson_val *o, const char *where, struct vfile_new *out, struct api_error *x)
{
	yyjson_val *v = api_get(o, "chunking_strategy"), *s = api_get(v, "static");
	char param[80];
	int64_t size, overlap;
	snprintf(param, sizeof param, "%schunking_strategy", where);
	if (!v || str_eq_c(json_str(v, "type"), "auto"))
		return OK;
	if (!str_eq_c(json_str(v, "type"), "static"))
		return bad(x, param, "an object with the type \"auto\" or \"static\"");
	size = json_i64(s, "max_chunk_size_tokens", -1);
	overlap = json_i64(s, "chunk_overlap_tokens", -1);
	snprintf(param, sizeof param, "%schunking_strategy.static.max_chunk_size_tokens", where);
	if (size < CHUNK_TOKENS_MIN || size > CHUNK_TOKENS_MAX)
		return bad(x, param, "from 100 to 4096");
	snprintf(param, sizeof param, "%schunking_strategy.static.chunk_overlap_tokens", where);
	if (overlap < 0 || overlap > size / 2)
		return bad(x, param, "from 0 to half of max_chunk_size_tokens");
	out->chunk_tokens = size;
	out->chunk_overlap = overlap;
	return OK;
}

static bool good_value(yyjson_val *v)
{
	if (yyjson_is_str(v))
		return yyjson_get_len(v) <= TEXT_MAX &&
		       !memchr(yyjson_get_str(v), 0, yyjson_get_len(v));
	return yyjson_is_num(v) || yyjson_is_bool(v);
}

enum err vfile_attributes_parse(
	yyjson_val *o, const char *where, struct arena *a, struct str *out, struct api_error *x)
{
	enum { PAIRS_MAX = 16, KEY_MAX = 64 };
	yyjson_val *m = api_get(o, "attributes"), *k, *v;
	size_t i, n;
	char param[80];
	*out = S("{}");
	if (!m)
		return OK;
	snprintf(param, sizeof param, "%sattributes", where);
	bool good = yyjson_is_obj(m) && yyjson_obj_size(m) <= PAIRS_MAX;
	yyjson_obj_foreach(m, i, n, k, v)
	{
		struct str key = json_val_str(k);
		good &= key.n && key.n <= KEY_MAX && !memchr(key.p, 0, key.n) && good_value(v);
	}
	if (!good)
		return bad(x, param,
			"at most 16 texts of 512 bytes, numbers or booleans, with keys of 1 to 64 "
			"bytes");
	return api_json_of(m, a, out, x);
}

static enum err want_file(struct str text, const char *param, struct id *out, struct api_error *x)
{
	if (file_id_parse(text, out))
		return OK;
	return text.n ? api_fail(x, ERR_NOT_FOUND, NULL, param, "%s: there is no file %.*s", param,
				STR_FMT(str_sub(text, 0, 64)))
		      : bad(x, param, "a file's id");
}

static enum err parse_file(yyjson_val *o, const char *where, struct arena *a, struct vfile_new *out,
	struct api_error *x)
{
	char param[64];
	*out = (struct vfile_new){.attributes = S("{}")};
	snprintf(param, sizeof param, "%sfile_id", where);
	enum err e = want_file(json_str(o, "file_id"), param, &out->file, x);
	e = e ? e : vfile_attributes_parse(o, where, a, &out->attributes, x);
	return e ? e : parse_chunking(o, where, out, x);
}

enum err vfile_parse(struct str body, struct arena *a, struct vfile_new *out, struct api_error *x)
{
	yyjson_val *o;
	enum err e = api_parse_body(body, a, &o, x);
	return e ? e : parse_file(o, "", a, out, x);
}

/* file_ids, each with what the body says for all. */
static enum err parse_ids(
	yyjson_val *o, struct arena *a, struct vfile_new **out, size_t *n_out, struct api_error *x)
{
	yyjson_val *list = api_get(o, "file_ids"), *v;
	size_t i, n = yyjson_arr_size(list);
	struct vfile_new all = {.attributes = S("{}")};
	if (list && (!yyjson_is_arr(list) || n > VSTORE_FILES_MAX))
		return bad(x, "file_ids", "a list of at most 2000 files' ids");
	enum err e = parse_chunking(o, "", &all, x);
	e = e ? e : vfile_attributes_parse(o, "", a, &all.attributes, x);
	if (e || !n)
		return e;
	struct vfile_new *files = arena_array_of(a, n, struct vfile_new);
	if (!files)
		return api_no_memory(x);
	yyjson_arr_foreach(list, i, n, v)
	{
		char param[48];
		snprintf(param, sizeof param, "file_ids[%zu]", i);
		files[i] = all;
		e = e ? e : want_file(json_val_str(v), param, &files[i].file, x);
	}
	*out = files;
	*n_out = n;
	return e;
}

enum err vstore_parse(
	struct str body, bool is_new, struct arena *a, struct vstore_new *out, struct api_error *x)
{
	yyjson_val *o;
	struct vstore_new v = {.name = S(""), .description = S("")};
	enum err e = api_parse_body(body.n ? body : S("{}"), a, &o, x);
	e = e ? e : want_text(o, "name", NAME_MAX_, &v.has_name, &v.name, x);
	e = e ? e : want_text(o, "description", TEXT_MAX, &v.has_description, &v.description, x);
	e = e ? e : api_parse_metadata(o, S("{}"), a, &v.metadata, x);
	v.has_metadata = !e && yyjson_obj_get(o, "metadata");
	e = e ? e : parse_expiry(o, &v, x);
	if (!e && is_new)
		e = parse_ids(o, a, &v.files, &v.n_files, x);
	if (!e)
		*out = v;
	return e;
}

enum err vbatch_parse(struct str body, struct arena *a, struct vfile_new **out, size_t *n_out,
	struct api_error *x)
{
	yyjson_val *o, *list, *v;
	size_t i, n;
	struct vfile_new *files = NULL;
	*n_out = 0;
	enum err e = api_parse_body(body, a, &o, x);
	if (e)
		return e;
	list = api_get(o, "files");
	if (list && api_get(o, "file_ids"))
		return api_fail(x, ERR_INVALID, "mutually_exclusive_parameters", "files",
			"file_ids and files both say which files; one can be given");
	if (!list) {
		e = parse_ids(o, a, out, n_out, x);
		return e || *n_out ? e : bad(x, "file_ids", "a list of files' ids");
	}
	n = yyjson_arr_size(list);
	if (!n || n > VSTORE_FILES_MAX)
		return bad(x, "files", "a list of 1 to 2000 objects with a file_id");
	files = arena_array_of(a, n, struct vfile_new);
	if (!files)
		return api_no_memory(x);
	yyjson_arr_foreach(list, i, n, v)
	{
		char where[32];
		snprintf(where, sizeof where, "files[%zu].", i);
		e = e ? e : parse_file(v, where, a, &files[i], x);
	}
	*out = files;
	*n_out = e ? 0 : n;
	return e;
}

/* ---- searches ---- */

static bool want_weight(yyjson_val *o, const char *key, double *out)
{
	yyjson_val *v = api_get(o, key);
	*out = yyjson_get_num(v);
	return yyjson_is_num(v) && *out >= 0 && *out <= 1e6;
}

/* A side that weighs nothing is not asked. */
static enum err parse_hybrid(
	yyjson_val *o, const char *where, struct vsearch *out, struct api_error *x)
{
	yyjson_val *h = api_get(o, "hybrid_search");
	double dense, words;
	char param[80];
	if (!h)
		return OK;
	snprintf(param, sizeof param, "%sranking_options.hybrid_search", where);
	if (!want_weight(h, "embedding_weight", &dense) || !want_weight(h, "text_weight", &words) ||
		(dense <= 0 && words <= 0))
		return bad(x, param,
			"embedding_weight and text_weight, both from 0 on, one of them greater");
	out->method = words <= 0 ? RAG_DENSE : dense <= 0 ? RAG_BM25 : RAG_HYBRID;
	out->balance = out->method == RAG_HYBRID ? (float)(dense / words) : 1;
	return OK;
}

static enum err parse_ranking(
	yyjson_val *o, const char *where, struct vsearch *out, struct api_error *x)
{
	yyjson_val *r = api_get(o, "ranking_options"), *t;
	char param[80];
	if (!r)
		return OK;
	snprintf(param, sizeof param, "%sranking_options", where);
	if (!yyjson_is_obj(r))
		return bad(x, param, "an object");
	snprintf(param, sizeof param, "%sranking_options.ranker", where);
	out->ranker = json_str(r, "ranker");
	if (api_get(r, "ranker") && (!out->ranker.n || out->ranker.n > NAME_MAX_))
		return bad(x, param,
			"\"auto\", \"none\", \"default-2024-11-15\" or an installed "
			"cross-encoder's name");
	snprintf(param, sizeof param, "%sranking_options.score_threshold", where);
	t = api_get(r, "score_threshold");
	out->threshold = yyjson_get_num(t);
	if (t && (!yyjson_is_num(t) || !(out->threshold >= 0 && out->threshold <= 1)))
		return bad(x, param, "from 0 to 1");
	return parse_hybrid(r, where, out, x);
}

/* What is said of a filter begins with the place, "filter.filters[1].value: ". */
static enum err parse_filter(
	yyjson_val *v, const char *where, struct arena *a, struct vsearch *out, struct api_error *x)
{
	struct errtext et = {0};
	char param[120];
	enum err e = cond_parse_openai(v, a, &out->filter, &et);
	if (!e)
		return OK;
	struct str said = str_c(err_text(e, &et));
	size_t at = str_find(said, S(": "));
	bool placed = at != STR_NONE && str_starts(said, S("filter"));
	struct str place = placed ? str_sub(said, 6, at) : S("");
	if (placed)
		said = str_sub(said, at + 2, said.n);
	snprintf(param, sizeof param, "%s%.*s", where, STR_FMT(str_sub(place, 0, 80)));
	return api_fail(x, e == ERR_NOMEM ? e : ERR_INVALID, "invalid_value", param, "%s: %.*s",
		param, STR_FMT(said));
}

enum err vsearch_options(
	yyjson_val *o, const char *where, struct arena *a, struct vsearch *out, struct api_error *x)
{
	yyjson_val *n = api_get(o, "max_num_results"), *f = api_get(o, "filters");
	char param[80];
	snprintf(param, sizeof param, "%smax_num_results", where);
	if (n && (!yyjson_is_int(n) || yyjson_get_sint(n) < 1 ||
			 yyjson_get_sint(n) > VSTORE_RESULTS_MAX))
		return bad(x, param, "from 1 to 50");
	if (n)
		out->most = yyjson_get_sint(n);
	snprintf(param, sizeof param, "%sfilters", where);
	enum err e = f ? parse_filter(f, param, a, out, x) : OK;
	return e ? e : parse_ranking(o, where, out, x);
}

static enum err parse_queries(
	yyjson_val *o, struct arena *a, struct vsearch *out, struct api_error *x)
{
	yyjson_val *q = api_get(o, "query"), *v;
	size_t i, n = yyjson_is_arr(q) ? yyjson_arr_size(q) : 1;
	if (!q)
		return api_fail(
			x, ERR_INVALID, "missing_required_parameter", "query", "query is missing");
	if (!n || n > VSTORE_QUERIES_MAX || (!yyjson_is_arr(q) && !yyjson_is_str(q)))
		return bad(x, "query", "a text, or a list of 1 to 16 texts");
	out->queries = arena_array_of(a, n, struct str);
	if (!out->queries)
		return api_no_memory(x);
	out->n_queries = n;
	out->queries[0] = json_val_str(q);
	yyjson_arr_foreach(q, i, n, v) out->queries[i] = json_val_str(v);
	for (i = 0; i < out->n_queries; i++) {
		char param[32] = "query";
		if (yyjson_is_arr(q))
			snprintf(param, sizeof param, "query[%zu]", i);
		if (!str_trim(out->queries[i]).n)
			return bad(x, param, "a text that says what is looked for");
	}
	return OK;
}

enum err vsearch_parse(struct str body, struct arena *a, struct vsearch *out, struct api_error *x)
{
	yyjson_val *o;
	struct vsearch q = {.most = RESULTS_DEFAULT, .balance = 1};
	enum err e = api_parse_body(body, a, &o, x);
	e = e ? e : parse_queries(o, a, &q, x);
	e = e ? e : vsearch_options(o, "", a, &q, x);
	e = e ? e : api_want_bool(o, "rewrite_query", &q.rewrite, x);
	if (!e)
		*out = q;
	return e;
}
