/* `croft bench`: a table of how fast a local model reads and writes at 1, 2, 4, ... streams. */
#include "endpoint/live_int.h"
#include "module/cmd.h"

const struct option bench_options[N_BENCH_OPTIONS] = {
	{"model", 'm', "NAME", "The model (setting chat.model)"},
	{"prompt", 'p', "N", "Tokens of each prompt; 512"},
	{"tokens", 'n', "N", "Tokens of each answer; 128"},
	{"streams", 0, "N", "Up to so many at once (setting chat.sequences_max)"},
};

static enum err member(
	struct cmd *cmd, struct jw *w, const char *option, const char *key, struct errtext *et)
{
	int64_t n;
	struct str s = cmd_opt(cmd, option);
	if (!s.p)
		return OK;
	if (!str_i64(s, &n) || n < 1)
		return err_set(et, ERR_INVALID, "--%s wants a number above 0", option);
	jw_ki64(w, key, n);
	return OK;
}

/* One measurement; *out is the reply's JSON. */
static enum err one(struct cmd *cmd, int64_t streams, struct buf *out, struct errtext *et)
{
	struct buf path = {0}, body = {0};
	struct jw w = {.out = &body};
	struct str model = cmd_opt(cmd, "model");
	buf_addc(&path, "/api/v1/models/");
	url_encode(&path, model.n ? model : S("default"));
	buf_addc(&path, "/bench");
	jw_obj(&w);
	jw_ki64(&w, "streams", streams);
	enum err e = member(cmd, &w, "prompt", "prompt_tokens", et);
	e = e ? e : member(cmd, &w, "tokens", "tokens", et);
	jw_end(&w);
	if (!e)
		e = cmd_call(cmd, HTTP_POST, buf_c(&path), buf_str(&body), out, et);
	buf_free(&path);
	buf_free(&body);
	return e;
}

static void row(struct cmd_table *t, yyjson_val *o)
{
	int64_t streams = json_i64(o, "streams", 1);
	double written = json_f64(o, "written_tokens_per_s", 0);
	cmd_cell(t, "%lld", (long long)streams);
	cmd_cell(t, "%.0f", json_f64(o, "read_tokens_per_s", 0));
	cmd_cell(t, "%.1f", written);
	cmd_cell(t, "%.1f", written / (double)MAX(streams, 1));
	cmd_cell(t, "%.0f", json_f64(o, "first_token_ms", 0));
}

static void heading(struct cmd *cmd, yyjson_val *o)
{
	cmd_outf(cmd, "%.*s (%.*s, %.0f M): prompts of %lld tokens, answers of %lld\n",
		STR_FMT(json_str(o, "model")), STR_FMT(json_str(o, "weights")),
		json_f64(o, "parameters", 0) / 1e6, (long long)json_i64(o, "prompt_tokens", 0),
		(long long)json_i64(o, "tokens", 0));
}

enum err run_bench(struct cmd *cmd, struct errtext *et)
{
	static const char *const titles[] = {
		"STREAMS", "READ tok/s", "WRITE tok/s", "EACH tok/s", "LAST FIRST TOKEN ms"};
	struct cmd_table *t = NULL;
	int64_t most = 0;
	struct str want = cmd_opt(cmd, "streams");
	enum err e = OK;
	if (want.p && (!str_i64(want, &most) || most < 1))
		return err_set(et, ERR_INVALID, "--streams wants a number above 0");
	for (int64_t n = 1; !e; n = n * 2 > most && n < most ? most : n * 2) {
		struct buf reply = {0};
		yyjson_doc *doc = NULL;
		e = one(cmd, n, &reply, et);
		if (!e)
			e = json_parse(buf_str(&reply), &doc, et);
		yyjson_val *o = doc ? yyjson_doc_get_root(doc) : NULL;
		if (!e && !most)
			most = json_i64(o, "streams_max", 1);
		if (!e && cmd_json(cmd)) {
			cmd_outf(cmd, "%s\n", buf_c(&reply));
			cmd_flush(cmd);
		} else if (!e) {
			if (!t) {
				heading(cmd, o);
				t = cmd_table(cmd, titles, ARRAY_LEN(titles));
			}
			row(t, o);
		}
		yyjson_doc_free(doc);
		buf_free(&reply);
		if (n >= most)
			break;
	}
	if (t)
		cmd_table_end(t);
	return e;
}
