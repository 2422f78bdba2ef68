/* croft search: the passages, both scores, and why. */
#include "rag/rag_int.h"

#include <stdlib.h>

const struct option search_options[] = {
	{"number", 'k', "K", "How many passages (setting rag.top_k)"},
	{"method", 'm', "NAME", "hybrid, dense or bm25"},
	{"path", 0, "GLOB", "Only documents whose path or name matches"},
	{"type", 0, "TYPE", "Only documents of this type: pdf, docx, html, ..."},
	{"tag", 't', "TAG", "Only documents with this tag"},
	{"from", 0, "DATE", "Only documents of this date or later: 2026-05-03"},
	{"to", 0, "DATE", "Only documents of this date or earlier"},
	{"collection", 'c', "NAME", "The collection (default)"},
	{"rerank", 0, NULL, "Order the best anew with a cross-encoder"},
	{"rerank-model", 0, "MODEL", "Which one (setting rerank.model)"},
	{"rerank-depth", 0, "N", "How many of the best it reads (50)"},
	{"rerank-weight", 0, "X", "What it weighs beside the search's relevance, up to 1"},
	{"dense-weight", 0, "X", "How much more embeddings weigh than words in hybrid"},
	RAG_STAGE_OPTIONS,
};

static void option_member(struct cmd *cmd, struct jw *w, const char *option, const char *key)
{
	if (cmd_opt(cmd, option).n)
		jw_kstr(w, key, cmd_opt(cmd, option));
}

static enum err rerank_members(struct cmd *cmd, struct jw *w, struct errtext *et)
{
	struct str model = cmd_opt(cmd, "rerank-model"), depth = cmd_opt(cmd, "rerank-depth");
	struct str weight = cmd_opt(cmd, "rerank-weight");
	int64_t n = 0;
	double x = 0;
	if (!cmd_flag(cmd, "rerank") && !model.n && !depth.n && !weight.n)
		return OK;
	if (weight.n && !str_f64(weight, &x))
		return err_set(et, ERR_INVALID, "--rerank-weight must be a number, not \"%.*s\"",
			STR_FMT(weight));
	if (depth.n && !str_i64(depth, &n))
		return err_set(et, ERR_INVALID, "--rerank-depth must be a number, not \"%.*s\"",
			STR_FMT(depth));
	jw_key(w, "rerank");
	jw_obj(w);
	if (model.n)
		jw_kstr(w, "model", model);
	if (depth.n)
		jw_ki64(w, "depth", n);
	if (weight.n)
		jw_kf64(w, "weight", x);
	jw_end(w);
	return OK;
}

static enum err weight_members(struct cmd *cmd, struct jw *w, struct errtext *et)
{
	struct str x = cmd_opt(cmd, "dense-weight");
	double v;
	if (!x.n)
		return OK;
	if (!str_f64(x, &v))
		return err_set(et, ERR_INVALID, "--dense-weight must be a number, not \"%.*s\"",
			STR_FMT(x));
	jw_key(w, "weights");
	jw_obj(w);
	jw_kf64(w, "dense", v);
	jw_end(w);
	return OK;
}

static enum err number_member(
	struct cmd *cmd, struct jw *w, const char *option, const char *key, struct errtext *et)
{
	struct str x = cmd_opt(cmd, option);
	double v;
	if (!x.n)
		return OK;
	if (!str_f64(x, &v))
		return err_set(
			et, ERR_INVALID, "--%s must be a number, not \"%.*s\"", option, STR_FMT(x));
	jw_kf64(w, key, v);
	return OK;
}

static enum err count_member(
	struct cmd *cmd, struct jw *w, const char *option, const char *key, struct errtext *et)
{
	struct str x = cmd_opt(cmd, option);
	int64_t v;
	if (!x.n)
		return OK;
	if (!str_i64(x, &v))
		return err_set(et, ERR_INVALID, "--%s must be a whole number, not \"%.*s\"", option,
			STR_FMT(x));
	jw_ki64(w, key, v);
	return OK;
}

static enum err stage_members(struct cmd *cmd, struct jw *w, struct errtext *et)
{
	static const char *const flags[] = {"rewrite", "decompose", "hyde"};
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (cmd_flag(cmd, flags[i]))
			jw_kbool(w, flags[i], true);
	if (cmd_opt(cmd, "derive-by").n)
		jw_kstr(w, "derive_filters", cmd_opt(cmd, "derive-by"));
	else if (cmd_flag(cmd, "derive-filters"))
		jw_kbool(w, "derive_filters", true);
	option_member(cmd, w, "query-model", "query_model");
	enum err e = number_member(cmd, w, "diversity", "diversity", et);
	if (!e && cmd_opt(cmd, "half-life").n) {
		jw_key(w, "recency");
		jw_obj(w);
		e = number_member(cmd, w, "half-life", "half_life_days", et);
		jw_end(w);
	}
	if (!e && (cmd_flag(cmd, "parent") || cmd_opt(cmd, "neighbours").n)) {
		jw_key(w, "context");
		jw_obj(w);
		if (cmd_flag(cmd, "parent"))
			jw_kbool(w, "parent", true);
		e = count_member(cmd, w, "neighbours", "neighbours", et);
		jw_end(w);
	}
	return e;
}

/* What became of the question, when anything did. */
void print_trail(struct cmd *cmd, yyjson_val *reply)
{
	yyjson_val *asked = yyjson_obj_get(reply, "searched"), *v;
	const char *dim = cmd_style(cmd, "dim"), *reset = cmd_style(cmd, "reset");
	size_t i, n;
	yyjson_arr_foreach(asked, i, n, v) if (i) cmd_outf(cmd, "%s%.*s: %.*s%s\n", dim,
		STR_FMT(json_str(v, "as")), STR_FMT(json_str(v, "text")), reset);
	if (json_str(reply, "hypothetical_passage").n)
		cmd_outf(cmd, "%spassage: %.*s%s\n", dim,
			STR_FMT(json_str(reply, "hypothetical_passage")), reset);
	yyjson_arr_foreach(yyjson_obj_get(reply, "stages"), i, n, v)
	{
		if (str_eq_c(json_str(v, "stage"), "filters") && json_str(v, "note").n)
			cmd_outf(cmd, "%sfilters %.*s%s\n", dim, STR_FMT(json_str(v, "note")),
				reset);
	}
	yyjson_arr_foreach(yyjson_obj_get(reply, "notes"), i, n, v)
		cmd_outf(cmd, "note: %.*s\n", STR_FMT(json_val_str(v)));
}

enum err rag_query_members(struct cmd *cmd, struct jw *w, struct errtext *et)
{
	struct str k = cmd_opt(cmd, "number");
	int64_t n;
	if (k.p) {
		if (!str_i64(k, &n))
			return err_set(
				et, ERR_INVALID, "-k must be a number, not \"%.*s\"", STR_FMT(k));
		jw_ki64(w, "k", n);
	}
	option_member(cmd, w, "method", "method");
	option_member(cmd, w, "collection", "collection");
	enum err e = rerank_members(cmd, w, et);
	e = e ? e : weight_members(cmd, w, et);
	e = e ? e : stage_members(cmd, w, et);
	if (e)
		return e;
	jw_key(w, "filters");
	jw_obj(w);
	option_member(cmd, w, "path", "path");
	option_member(cmd, w, "type", "type");
	option_member(cmd, w, "tag", "tag");
	option_member(cmd, w, "from", "from");
	option_member(cmd, w, "to", "to");
	jw_end(w);
	return OK;
}

/* All arguments, so that quotes are not needed. */
void query_text(struct cmd *cmd, struct buf *out)
{
	for (size_t i = 0; i < cmd_n_args(cmd); i++)
		buf_addf(out, "%s%.*s", i ? " " : "", STR_FMT(cmd_arg(cmd, i)));
}

static void print_side(struct cmd *cmd, const char *name, yyjson_val *score, yyjson_val *rank)
{
	if (yyjson_is_num(score))
		cmd_outf(cmd, "  %s %.3f", name, yyjson_get_num(score));
	else
		cmd_outf(cmd, "  %s -", name);
	if (yyjson_is_int(rank))
		cmd_outf(cmd, " (#%lld)", (long long)yyjson_get_sint(rank));
}

static void print_hit(struct cmd *cmd, size_t number, yyjson_val *h)
{
	struct str text = json_str(h, "text"), heading = json_str(h, "heading_path");
	cmd_outf(cmd, "%s%zu. %.*s%s", cmd_style(cmd, "bold"), number,
		STR_FMT(json_str(h, "title")), cmd_style(cmd, "reset"));
	if (json_i64(h, "page", 0))
		cmd_outf(cmd, ", page %lld", (long long)json_i64(h, "page", 0));
	if (heading.n)
		cmd_outf(cmd, "  %s%.*s%s", cmd_style(cmd, "dim"), STR_FMT(heading),
			cmd_style(cmd, "reset"));
	cmd_outf(cmd, "\n   %.*s\n   %sscore %.4f", STR_FMT(json_str(h, "path")),
		cmd_style(cmd, "cyan"), json_f64(h, "score", 0));
	print_side(cmd, "dense", yyjson_obj_get(h, "dense"), yyjson_obj_get(h, "dense_rank"));
	print_side(cmd, "bm25", yyjson_obj_get(h, "bm25"), yyjson_obj_get(h, "bm25_rank"));
	if (yyjson_get_num(yyjson_obj_get(h, "rank_before")) > 0)
		cmd_outf(cmd, "  rerank %.3f (was #%lld)", json_f64(h, "rerank", 0),
			(long long)json_i64(h, "rank_before", 0));
	yyjson_val *why = yyjson_obj_get(h, "why"), *v;
	size_t i, n;
	if (yyjson_arr_size(why))
		cmd_outf(cmd, "\n   terms");
	yyjson_arr_foreach(why, i, n, v) cmd_outf(cmd, " %.*s %.2f%s", STR_FMT(json_str(v, "term")),
		json_f64(v, "score", 0), i + 1 < n ? "," : "");
	cmd_outf(cmd, "%s\n", cmd_style(cmd, "reset"));
	/* the first 300 bytes on one indented paragraph */
	struct str shown = str_sub(text, 0, utf8_complete_prefix(str_sub(text, 0, 300)));
	cmd_outf(cmd, "   ");
	for (size_t k = 0; k < shown.n; k++)
		cmd_outf(cmd, "%c", (unsigned char)shown.p[k] < 0x20 ? ' ' : shown.p[k]);
	cmd_outf(cmd, "%s\n\n", shown.n < text.n ? " ..." : "");
}

enum err run_search(struct cmd *cmd, struct errtext *et)
{
	struct buf text = {0}, body = {0}, reply = {0};
	yyjson_doc *doc = NULL;
	query_text(cmd, &text);
	if (!str_trim(buf_str(&text)).n)
		return err_set(
			et, ERR_INVALID, "say what to look for: croft search \"notice period\"");
	struct jw w = {.out = &body};
	jw_obj(&w);
	jw_kstr(&w, "query", buf_str(&text));
	enum err e = rag_query_members(cmd, &w, et);
	jw_end(&w);
	if (!e)
		e = cmd_call(cmd, HTTP_POST, "/api/v1/search", buf_str(&body), &reply, et);
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&reply));
	else if (!e)
		e = json_parse(buf_str(&reply), &doc, et);
	if (!e && doc) {
		size_t i, n;
		print_trail(cmd, yyjson_doc_get_root(doc));
		yyjson_val *h, *hits = yyjson_obj_get(yyjson_doc_get_root(doc), "hits");
		yyjson_arr_foreach(hits, i, n, h) print_hit(cmd, i + 1, h);
		if (!yyjson_arr_size(hits))
			cmd_outf(cmd, "nothing was found\n");
	}
	yyjson_doc_free(doc);
	buf_free(&text);
	buf_free(&body);
	buf_free(&reply);
	return e;
}
