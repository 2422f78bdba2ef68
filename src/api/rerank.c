/* POST /v1/rerank, /v2/rerank, /rerank: documents by how well they answer a query, as a
 * cross-encoder scores them. One reply serves the clients of Cohere, Jina and vLLM; a request that
 * says `texts` is answered as text-embeddings-inference does. Errors have each face's shape. */
#include "api/rerank_int.h"

#include <math.h>
#include <stdlib.h>
#include "module/cmd.h"

enum { DOC_TOKENS = 4096, UNIT_DOCUMENTS = 100 };

struct ranking {
	struct rerank_params p;
	struct endpoint *ep;
	struct run *run;
	float *score;
	bool *cut;
	uint32_t *order;
	size_t n_tokens, n_cut;
	struct api_error x;
};

/* ---- the request ---- */

static enum err parse_document(
	yyjson_val *v, size_t i, const char *key, struct str *out, struct api_error *x)
{
	yyjson_val *text = yyjson_is_obj(v) ? api_get(v, "text") : v;
	if (!yyjson_is_str(text))
		return api_fail(x, ERR_INVALID, "invalid_type", key, "%s[%zu] must be a string%s",
			key, i,
			str_eq_c(str_c(key), "documents") ? ", or an object with text" : "");
	*out = json_val_str(text);
	return OK;
}

static enum err parse_documents(
	yyjson_val *o, struct arena *a, struct rerank_params *p, struct api_error *x)
{
	const char *key = p->texts ? "texts" : "documents";
	yyjson_val *list = api_get(o, key), *v;
	size_t i, n = yyjson_arr_size(list);
	if (!list)
		return api_fail(
			x, ERR_INVALID, "missing_required_parameter", key, "%s is missing", key);
	if (!yyjson_is_arr(list) || !n || n > RERANK_DOCUMENTS_MAX)
		return api_fail(x, ERR_INVALID, "invalid_value", key,
			"%s must be a list of 1 to %d texts, and it has %zu", key,
			RERANK_DOCUMENTS_MAX, n);
	p->docs = arena_array_of(a, n, struct str);
	if (!p->docs)
		return api_no_memory(x);
	p->n = n;
	yyjson_arr_foreach(list, i, n, v)
	{
		enum err e = parse_document(v, i, key, &p->docs[i], x);
		if (e)
			return e;
	}
	return OK;
}

/* What would change the result, and is not there. */
static enum err refuse(yyjson_val *o, struct api_error *x)
{
	static const char *const names[] = {
		"rank_fields", "max_chunks_per_doc", "truncation_direction"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (api_get(o, names[i]) && !str_eq_c(json_str(o, names[i]), "Right"))
			return api_fail(x, ERR_INVALID, "unsupported_parameter", names[i],
				"%s is not supported: the text of a document is read from its "
				"beginning, as one piece",
				names[i]);
	return OK;
}

enum err rerank_parse(
	struct str body, struct arena *a, struct rerank_params *p, struct api_error *x)
{
	yyjson_val *o;
	*p = (struct rerank_params){.doc_tokens = DOC_TOKENS};
	enum err e = api_parse_body(body, a, &o, x);
	if (e)
		return e;
	p->texts = api_get(o, "texts") && !api_get(o, "documents");
	p->cut = !p->texts;
	e = api_parse_model(o, &p->model, x);
	e = e ? e : api_want_i64(o, "top_n", 0, INT32_MAX, &p->top_n, x);
	e = e ? e : api_want_i64(o, "max_tokens_per_doc", 1, INT32_MAX, &p->doc_tokens, x);
	e = e ? e
	      : api_want_bool(o, p->texts ? "return_text" : "return_documents", &p->documents, x);
	e = e ? e : api_want_bool(o, "raw_scores", &p->raw, x);
	e = e ? e : api_want_bool(o, "truncate", &p->cut, x);
	e = e ? e : refuse(o, x);
	e = e ? e : parse_documents(o, a, p, x);
	if (e)
		return e;
	p->query = json_val_str(api_get(o, "query"));
	if (!p->query.n)
		return api_fail(x, ERR_INVALID,
			api_get(o, "query") ? "invalid_value" : "missing_required_parameter",
			"query", "query must be a text that is not empty");
	return OK;
}

/* ---- the work ---- */

struct by_score {
	float score;
	uint32_t index;
};

static int compare(const void *a, const void *b)
{
	const struct by_score *x = a, *y = b;
	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static enum err sort(struct ranking *r, struct arena *a)
{
	struct by_score *s = arena_array_of(a, r->p.n, struct by_score);
	if (!s)
		return api_no_memory(&r->x);
	for (size_t i = 0; i < r->p.n; i++) {
		s[i] = (struct by_score){r->score[i], (uint32_t)i};
		r->n_cut += r->cut[i];
	}
	qsort(s, r->p.n, sizeof *s, compare);
	for (size_t i = 0; i < r->p.n; i++)
		r->order[i] = s[i].index;
	if (r->n_cut && !r->p.cut)
		return api_fail(&r->x, ERR_INVALID, "context_length_exceeded",
			r->p.texts ? "texts" : "documents",
			"%zu of the %zu texts are longer than what the model reads of a query and "
			"a text together (%u tokens); truncate: true cuts them",
			r->n_cut, r->p.n, model_info(endpoint_model(r->ep))->context_max);
	return OK;
}

static enum err work(struct ranking *r, struct croft *c, struct http_request *rq)
{
	const struct rerank_params *p = &r->p;
	enum err e = endpoint_rerank(c, p->model, &r->ep, &r->x.et);
	if (!e)
		e = endpoint_need_model(r->ep, "rerank", &r->x.et);
	if (e)
		return api_fail_from(&r->x, e, "model");
	run_text(r->run, "model", endpoint_name(r->ep));
	r->score = arena_array_of(rq->arena, p->n, float);
	r->cut = arena_array_of(rq->arena, p->n, bool);
	r->order = arena_array_of(rq->arena, p->n, uint32_t);
	if (!r->score || !r->cut || !r->order)
		return api_no_memory(&r->x);
	struct span *s = span_begin(r->run, NULL, "rerank", "reranker");
	span_text(s, "model", endpoint_name(r->ep));
	span_i64(s, "documents", (int64_t)p->n);
	e = rank_texts(endpoint_model(r->ep), p->query, p->docs, p->n, (uint32_t)p->doc_tokens,
		r->score, r->cut, &r->n_tokens, rq->cancel, &r->x.et);
	e = e ? api_fail_from(&r->x, e, "query") : sort(r, rq->arena);
	span_i64(s, "prompt_tokens", (int64_t)r->n_tokens);
	span_end(s, e, &r->x.et);
	return e;
}

/* ---- the reply ---- */

/* The logistic function, as the reference applies it: from 0 to 1. */
static float shown(const struct ranking *r, uint32_t i)
{
	float x = r->score[i];
	return r->p.raw ? x : (float)(1 / (1 + exp(-(double)x)));
}

static void write_result(const struct ranking *r, struct jw *w, uint32_t i)
{
	jw_obj(w);
	jw_ki64(w, "index", i);
	jw_key(w, r->p.texts ? "score" : "relevance_score");
	jw_f32(w, shown(r, i));
	if (r->p.documents && r->p.texts) {
		jw_kstr(w, "text", r->p.docs[i]);
	} else if (r->p.documents) {
		jw_key(w, "document");
		jw_obj(w);
		jw_kstr(w, "text", r->p.docs[i]);
		jw_end(w);
	}
	if (r->cut[i])
		jw_kbool(w, "truncated", true);
	jw_end(w);
}

static void write_results(const struct ranking *r, struct jw *w)
{
	size_t n = r->p.top_n ? MIN((size_t)r->p.top_n, r->p.n) : r->p.n;
	jw_arr(w);
	for (size_t i = 0; i < n; i++)
		write_result(r, w, r->order[i]);
	jw_end(w);
}

/* Cohere's. A search unit is a query with up to 100 documents. */
static void write_meta(const struct ranking *r, struct jw *w, const char *version)
{
	jw_key(w, "meta");
	jw_obj(w);
	jw_key(w, "api_version");
	jw_obj(w);
	jw_kc(w, "version", version);
	jw_end(w);
	jw_key(w, "billed_units");
	jw_obj(w);
	jw_ki64(w, "search_units", (int64_t)((r->p.n + UNIT_DOCUMENTS - 1) / UNIT_DOCUMENTS));
	jw_end(w);
	jw_key(w, "tokens");
	jw_obj(w);
	jw_ki64(w, "input_tokens", (int64_t)r->n_tokens);
	jw_end(w);
	if (r->n_cut) {
		jw_key(w, "warnings");
		jw_arr(w);
		jw_fmt(w, "%zu of %zu documents were cut: see truncated", r->n_cut, r->p.n);
		jw_end(w);
	}
	jw_end(w);
}

static bool is_v2(const struct http_request *rq)
{
	return str_ends(rq->path, S("/v2/rerank"));
}

static void reply(const struct ranking *r, const struct http_request *rq, struct str id,
	struct http_response *rs)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	if (r->p.texts) {
		write_results(r, &w);
	} else {
		jw_obj(&w);
		jw_kstr(&w, "id", id);
		jw_kc(&w, "object", "list");
		jw_kstr(&w, "model", endpoint_name(r->ep));
		jw_key(&w, "results");
		write_results(r, &w);
		jw_key(&w, "usage");
		jw_obj(&w);
		jw_ki64(&w, "prompt_tokens", (int64_t)r->n_tokens);
		jw_ki64(&w, "total_tokens", (int64_t)r->n_tokens);
		jw_end(&w);
		write_meta(r, &w, is_v2(rq) ? "2" : "1");
		jw_end(&w);
	}
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

/* Cohere's clients read `message`, the others OpenAI's object. */
static void reply_failed(const struct ranking *r, struct str id, struct http_response *rs)
{
	const struct api_error *x = &r->x;
	int status = x->status ? x->status : err_http(x->e);
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	if (r->p.texts) {
		jw_kc(&w, "error", err_text(x->e, &x->et));
		jw_kc(&w, "error_type", status < 500 ? "validation" : "backend");
	} else {
		jw_kstr(&w, "id", id);
		jw_kc(&w, "message", err_text(x->e, &x->et));
		jw_key(&w, "error");
		jw_obj(&w);
		api_error_members(&w, x);
		jw_end(&w);
	}
	jw_end(&w);
	if (status == 429 || status == 503)
		http_set_header(rs, "retry-after", S("1"));
	http_reply_json(rs, status, &w);
	buf_free(&b);
}

static void rerank(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct ranking r = {0};
	char hex[ID_HEX + 1];
	id_hex(rq->id, hex);
	enum err e = rerank_parse(rq->body, rq->arena, &r.p, &r.x);
	if (e) {
		reply_failed(&r, str_c(hex), rs);
		return;
	}
	struct buf name = {0};
	buf_addf(&name, "%zu document%s", r.p.n, r.p.n == 1 ? "" : "s");
	r.run = run_begin(c, project_of(rq), "rerank", buf_str(&name));
	if (r.run)
		id_hex(run_id(r.run), hex);
	http_set_header(rs, "x-croft-run", str_c(hex));
	e = work(&r, c, rq);
	if (e)
		reply_failed(&r, str_c(hex), rs);
	else
		reply(&r, rq, str_c(hex), rs);
	run_i64(r.run, "documents", (int64_t)r.p.n);
	run_i64(r.run, "prompt_tokens", (int64_t)r.n_tokens);
	run_end(r.run, e, &r.x.et);
	endpoint_put(r.ep);
	buf_free(&name);
}

/* ---- croft rerank ---- */

static enum err read_lines(struct cmd *cmd, struct buf *text, struct jw *w, struct errtext *et)
{
	struct str line, rest;
	size_t n = 0;
	enum err e = read_input(cmd_arg(cmd, 1), text, et);
	if (e)
		return e;
	if (!utf8_valid(buf_str(text)))
		return err_set(et, ERR_INVALID, "the documents are not UTF-8");
	rest = buf_str(text);
	while (str_next_line(&rest, &line))
		if (str_trim(line).n) {
			jw_str(w, line);
			n++;
		}
	return n ? OK : err_set(et, ERR_INVALID, "there is no document");
}

static enum err write_request(
	struct cmd *cmd, struct buf *text, struct buf *out, struct errtext *et)
{
	struct jw w = {.out = out};
	struct str top = cmd_opt(cmd, "top");
	int64_t top_n = 0;
	if (cmd_n_args(cmd) < 2)
		return err_set(et, ERR_INVALID,
			"a query, and documents: a file with one a line (-: standard input), or "
			"several texts");
	if (top.n && (!str_i64(top, &top_n) || top_n < 1))
		return err_set(et, ERR_INVALID, "--top: a number from 1 on is expected");
	jw_obj(&w);
	if (cmd_opt(cmd, "model").n)
		jw_kstr(&w, "model", cmd_opt(cmd, "model"));
	jw_kstr(&w, "query", cmd_arg(cmd, 0));
	jw_ki64(&w, "top_n", top_n);
	jw_kbool(&w, "return_documents", true);
	jw_key(&w, "documents");
	jw_arr(&w);
	enum err e = OK;
	if (cmd_n_args(cmd) == 2)
		e = read_lines(cmd, text, &w, et);
	for (size_t i = 1; cmd_n_args(cmd) > 2 && i < cmd_n_args(cmd); i++)
		jw_str(&w, cmd_arg(cmd, i));
	jw_end(&w);
	jw_end(&w);
	return e ? e : jw_done(&w) ? OK : err_set(et, ERR_NOMEM, "no memory for the request");
}

static void print_results(struct cmd *cmd, yyjson_val *reply)
{
	static const char *const titles[] = {"SCORE", "LINE", "DOCUMENT"};
	struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
	size_t i, n;
	yyjson_val *r;
	yyjson_arr_foreach(yyjson_obj_get(reply, "results"), i, n, r)
	{
		cmd_cell(t, "%.4f", json_f64(r, "relevance_score", 0));
		cmd_cell(t, "%lld", (long long)json_i64(r, "index", 0) + 1);
		cmd_cell(t, "%.*s", STR_FMT(json_str(yyjson_obj_get(r, "document"), "text")));
	}
	cmd_table_end(t);
}

static enum err run_rerank(struct cmd *cmd, struct errtext *et)
{
	struct buf text = {0}, request = {0}, body = {0};
	yyjson_doc *reply = NULL;
	enum err e = write_request(cmd, &text, &request, et);
	if (!e)
		e = cmd_call(cmd, HTTP_POST, "/v1/rerank", buf_str(&request), &body, et);
	if (!e && cmd_json(cmd)) {
		cmd_out(cmd, buf_str(&body));
		cmd_out(cmd, S("\n"));
	} else if (!e) {
		e = json_parse(buf_str(&body), &reply, et);
		if (!e)
			print_results(cmd, yyjson_doc_get_root(reply));
	}
	yyjson_doc_free(reply);
	buf_free(&text);
	buf_free(&request);
	buf_free(&body);
	return e;
}

/* ---- the module ---- */

#define REPLY                                                                             \
	"{ id, object: \"list\", model, results: { index: int, relevance_score: number, " \
	"document?: { text }, truncated?: boolean }[], usage: { prompt_tokens: int, "     \
	"total_tokens: int }, meta: object }"

static const struct route routes[] = {
	{HTTP_POST, "/v1/rerank", rerank, PERM_MODEL_USE,
		"Order documents by how well they answer a query (Cohere's, Jina's and vLLM's "
		"shape)",
		NULL, "RerankRequest", REPLY, 0},
	{HTTP_POST, "/v2/rerank", rerank, PERM_MODEL_USE,
		"The same, where Cohere's newer clients send it", NULL, "RerankRequest", REPLY, 0},
	{HTTP_POST, "/rerank", rerank, PERM_MODEL_USE,
		"The same; with texts, as text-embeddings-inference answers", NULL, "RerankRequest",
		REPLY " | { index: int, score: number, text?: string }[]", 0},
};

static const struct shape shapes[] = {
	{"RerankRequest", "{ model?, query, documents?: (string | { text })[], texts?: string[], "
			  "top_n?: int, return_documents?: boolean, return_text?: boolean, "
			  "max_tokens_per_doc?: int, raw_scores?: boolean, truncate?: boolean }"},
};

static const struct option options[] = {
	{"model", 'm', "MODEL", "An installed cross-encoder (setting rerank.model)"},
	{"top", 'k', "N", "Only the N best"},
};

static const struct command commands[] = {
	{"rerank", run_rerank, "QUERY FILE|-|TEXT...", options, ARRAY_LEN(options),
		"Order texts by how well they answer a query, with a cross-encoder",
		"A file has a text on each line, and - is standard input; two texts and more can "
		"be given\n"
		"as they are. A score is from 0 to 1.\n\n"
		"  croft rerank 'what do hens eat' notes.txt --top 5\n"
		"  croft rerank 'what do hens eat' 'Hens eat grain.' 'Ponds freeze.'"},
};

const struct module rerank_module = {
	.name = "rerank",
	TABLE(routes),
	TABLE(shapes),
	TABLE(commands),
};
