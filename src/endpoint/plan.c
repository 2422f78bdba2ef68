/* What a model would take before it is opened: GET /api/v1/models/{name}/plan, `croft models plan`.
 */
#include "endpoint/endpoint.h"
#include "endpoint/live_int.h"
#include "module/cmd.h"

static const char *fits_word(enum plan_fits f)
{
	static const char *const words[] = {"now", "after_closing", "not_now", "never"};
	return words[f];
}

static void write_plan(struct jw *w, const struct endpoint_plan *e, bool q8)
{
	const struct memory_plan *p = &e->plan;
	jw_obj(w);
	jw_kc(w, "name", e->name);
	jw_kc(w, "purpose", purpose_word(e->purpose));
	jw_kc(w, "architecture", p->architecture);
	jw_kc(w, "weights", p->weights);
	jw_ki64(w, "parameters", (int64_t)p->parameters);
	jw_ki64(w, "file_bytes", (int64_t)p->file_bytes);
	jw_ki64(w, "mapped_bytes", (int64_t)p->mapped_bytes);
	jw_ki64(w, "weight_bytes", (int64_t)p->weight_bytes);
	jw_ki64(w, "pass_bytes", (int64_t)p->pass_bytes);
	jw_ki64(w, "threads", p->threads);
	jw_ki64(w, "thread_bytes", (int64_t)p->thread_bytes);
	jw_ki64(w, "context_tokens", p->context_tokens);
	jw_ki64(w, "context_tokens_max", p->context_max);
	jw_ki64(w, "sequences", p->sequences);
	jw_kc(w, "kv_type", q8 ? "q8" : "f16");
	jw_ki64(w, "kv_token_bytes", (int64_t)p->kv_token_bytes);
	jw_ki64(w, "kv_tokens", (int64_t)p->kv_tokens);
	jw_ki64(w, "kv_bytes", (int64_t)p->kv_bytes);
	jw_ki64(w, "drafting_bytes", (int64_t)p->drafting_bytes);
	jw_ki64(w, "total_bytes", (int64_t)p->total_bytes);
	jw_ki64(w, "least_bytes", (int64_t)p->least_bytes);
	jw_ki64(w, "memory_bytes", (int64_t)e->limit_bytes);
	jw_ki64(w, "used_bytes", (int64_t)e->used_bytes);
	jw_kbool(w, "open", e->open);
	jw_kc(w, "fits", fits_word(e->fits));
	jw_end(w);
}

static enum err number(
	struct http_request *rq, const char *name, int64_t max, int64_t *out, struct errtext *et)
{
	struct str s = http_query(rq, name);
	if (s.n && (!str_i64(s, out) || *out < 1 || *out > max))
		return err_set(et, ERR_INVALID, "%s: a number from 1 to %lld is expected", name,
			(long long)max);
	return OK;
}

void get_plan(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct endpoint_plan plan;
	int64_t context = 0, sequences = 0, tokens = 0;
	struct str type = http_query(rq, "kv_type");
	bool q8 = str_eq_c(type, "q8");
	enum err e = number(rq, "context_tokens", 1 << 20, &context, &et);
	e = e ? e : number(rq, "sequences", 256, &sequences, &et);
	e = e ? e : number(rq, "kv_tokens", 1 << 24, &tokens, &et);
	if (!e && type.n && !q8 && !str_eq_c(type, "f16"))
		e = err_set(&et, ERR_INVALID, "kv_type: f16 or q8 is expected");
	struct endpoint_plan_ask ask = {.context_tokens = (uint32_t)context,
		.sequences = (uint32_t)sequences,
		.kv_tokens = (uint64_t)tokens,
		.kv_q8 = type.n ? &q8 : NULL};
	e = e ? e : endpoint_plan(c, http_param(rq, "name"), &ask, &plan, &et);
	if (e) {
		http_reply_error(rs, e, &et);
		return;
	}
	struct buf out = {0};
	struct jw w = {.out = &out};
	if (!type.n)
		q8 = str_eq_c(setting_text(c, "chat.kv_type"), "q8");
	write_plan(&w, &plan, q8);
	http_reply_json(rs, 200, &w);
	buf_free(&out);
}

/* ---- the command ---- */

const struct option plan_options[N_PLAN_OPTIONS] = {
	{"context", 0, "N", "Tokens of a prompt and its answer (setting chat.context_tokens)"},
	{"sequences", 0, "N", "Answers at the same time (setting chat.sequences_max)"},
	{"kv-tokens", 0, "N", "Tokens whose keys and values are held (setting chat.kv_tokens)"},
	{"kv-type", 0, "TYPE", "f16 or q8 (setting chat.kv_type)"},
};

static void add_query(struct cmd *cmd, struct buf *path, const char *option, const char *key)
{
	struct str s = cmd_opt(cmd, option);
	if (!s.p)
		return;
	buf_addf(path, "%c%s=", str_chr(buf_str(path), '?') == STR_NONE ? '?' : '&', key);
	url_encode(path, s);
}

static void line(struct cmd *cmd, const char *what, int64_t bytes, const char *more)
{
	cmd_outf(cmd, "  %-26s %15lld  %s\n", what, (long long)bytes, more);
}

static void show_fits(struct cmd *cmd, yyjson_val *o)
{
	struct str fits = json_str(o, "fits");
	long long limit = (long long)json_i64(o, "memory_bytes", 0);
	if (!limit)
		cmd_outf(cmd, "It may: engine.memory_bytes sets no limit.\n");
	else if (json_bool(o, "open", false))
		cmd_outf(cmd, "It is open, below engine.memory_bytes (%lld).\n", limit);
	else if (str_eq_c(fits, "never"))
		cmd_outf(cmd,
			"It never fits: engine.memory_bytes is %lld, and it needs %lld at least.\n",
			limit, (long long)json_i64(o, "least_bytes", 0));
	else
		cmd_outf(cmd,
			"It fits %s: engine.memory_bytes is %lld, of which %lld are in use.\n",
			str_eq_c(fits, "now")             ? "now"
			: str_eq_c(fits, "after_closing") ? "when an unused model has been closed"
							  : "when models in use have been closed",
			limit, (long long)json_i64(o, "used_bytes", 0));
}

static void show(struct cmd *cmd, yyjson_val *o)
{
	char more[96];
	cmd_outf(cmd, "%.*s (%.*s, %.*s, %.0f M), beside its file, in bytes:\n",
		STR_FMT(json_str(o, "name")), STR_FMT(json_str(o, "architecture")),
		STR_FMT(json_str(o, "weights")), json_f64(o, "parameters", 0) / 1e6);
	line(cmd, "weights", json_i64(o, "weight_bytes", 0), "packed for products");
	snprintf(more, sizeof more, "of it %lld for each of %lld threads",
		(long long)json_i64(o, "thread_bytes", 0), (long long)json_i64(o, "threads", 0));
	line(cmd, "a pass", json_i64(o, "pass_bytes", 0), more);
	if (json_i64(o, "kv_bytes", 0)) {
		snprintf(more, sizeof more, "%lld tokens, %lld each (%.*s)",
			(long long)json_i64(o, "kv_tokens", 0),
			(long long)json_i64(o, "kv_token_bytes", 0),
			STR_FMT(json_str(o, "kv_type")));
		line(cmd, "keys and values", json_i64(o, "kv_bytes", 0), more);
	}
	if (json_i64(o, "drafting_bytes", 0))
		line(cmd, "the model for drafts", json_i64(o, "drafting_bytes", 0), "at most");
	line(cmd, "all", json_i64(o, "total_bytes", 0), "at most");
	if (json_i64(o, "kv_bytes", 0)) {
		snprintf(more, sizeof more, "with one context of %lld tokens",
			(long long)json_i64(o, "context_tokens", 0));
		line(cmd, "at least", json_i64(o, "least_bytes", 0), more);
	}
	line(cmd, "the file", json_i64(o, "file_bytes", 0), "read once, and mapped");
	show_fits(cmd, o);
}

enum err run_plan(struct cmd *cmd, struct errtext *et)
{
	struct buf path = {0}, reply = {0};
	yyjson_doc *doc = NULL;
	buf_addc(&path, "/api/v1/models/");
	url_encode(&path, cmd_n_args(cmd) ? cmd_arg(cmd, 0) : S("default"));
	buf_addc(&path, "/plan");
	add_query(cmd, &path, "context", "context_tokens");
	add_query(cmd, &path, "sequences", "sequences");
	add_query(cmd, &path, "kv-tokens", "kv_tokens");
	add_query(cmd, &path, "kv-type", "kv_type");
	enum err e = cmd_call(cmd, HTTP_GET, buf_c(&path), (struct str){0}, &reply, et);
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&reply));
	else if (!e)
		e = json_parse(buf_str(&reply), &doc, et);
	if (doc)
		show(cmd, yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	buf_free(&path);
	buf_free(&reply);
	return e;
}
