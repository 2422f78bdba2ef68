/* `croft endpoint add`, `ls`, `show`, `test`, `rm`. */
#include "endpoint/remote_int.h"

#include "module/cmd.h"

static enum err path_of(struct cmd *cmd, const char *more, struct buf *path, struct errtext *et)
{
	struct str name = cmd_arg(cmd, 0);
	if (!name.n)
		return err_set(et, ERR_INVALID, "name the endpoint");
	buf_addc(path, "/api/v1/endpoints/");
	url_encode(path, name);
	buf_addc(path, more);
	return path->err;
}

static enum err k_int(struct cmd *cmd, struct jw *w, const char *option, const char *key,
	bool duration, struct errtext *et)
{
	struct str text = cmd_opt(cmd, option);
	uint64_t n;
	if (!text.p)
		return OK;
	if (duration ? !str_duration_ms(text, &n) : !str_u64(text, &n))
		return err_set(et, ERR_INVALID, "--%s: %s", option,
			duration ? "a duration such as 30s" : "a number");
	jw_ki64(w, key, (int64_t)MIN(n, INT64_MAX));
	return OK;
}

static void k_opt(struct cmd *cmd, struct jw *w, const char *option, const char *key)
{
	struct str text = cmd_opt(cmd, option);
	if (text.p)
		jw_kstr(w, key, text);
}

static enum err write_body(struct cmd *cmd, struct jw *w, bool named, struct errtext *et)
{
	struct str rest = cmd_opt(cmd, "fallback"), part;
	jw_obj(w);
	if (named)
		jw_kstr(w, "name", cmd_arg(cmd, 0));
	k_opt(cmd, w, "url", "url");
	k_opt(cmd, w, "model", "model");
	k_opt(cmd, w, "kind", "kind");
	k_opt(cmd, w, "key-secret", "key_secret");
	if (rest.p) {
		jw_key(w, "fallbacks");
		jw_arr(w);
		while (str_next(&rest, ',', &part))
			if (str_trim(part).n)
				jw_str(w, str_trim(part));
		jw_end(w);
	}
	enum err e = k_int(cmd, w, "timeout", "timeout_ms", true, et);
	if (!e)
		e = k_int(cmd, w, "retries", "retries", false, et);
	jw_end(w);
	return e;
}

static enum err add_run(struct cmd *cmd, struct errtext *et)
{
	struct buf path = {0}, body = {0}, reply = {0};
	struct jw w = {.out = &body};
	bool replace = cmd_flag(cmd, "replace");
	enum err e = path_of(cmd, "", &path, et);
	if (!e && (!cmd_opt(cmd, "url").n || !cmd_opt(cmd, "model").n))
		e = err_set(et, ERR_INVALID, "--url and --model are needed");
	if (!e)
		e = write_body(cmd, &w, !replace, et);
	if (!e)
		e = cmd_call(cmd, replace ? HTTP_PUT : HTTP_POST,
			replace ? buf_c(&path) : "/api/v1/endpoints", buf_str(&body), &reply, et);
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&reply));
	else if (!e)
		cmd_note(cmd, "%.*s is there: `croft endpoint test %.*s` asks it something",
			STR_FMT(cmd_arg(cmd, 0)), STR_FMT(cmd_arg(cmd, 0)));
	buf_free(&path);
	buf_free(&body);
	buf_free(&reply);
	return e;
}

static void list_row(struct cmd_table *t, yyjson_val *o)
{
	yyjson_val *state = yyjson_obj_get(o, "state");
	cmd_cell(t, "%.*s", STR_FMT(json_str(o, "name")));
	cmd_cell(t, "%.*s", STR_FMT(json_str(o, "kind")));
	cmd_cell(t, "%.*s", STR_FMT(json_str(o, "model")));
	cmd_cell(t, "%.*s", STR_FMT(json_str(o, "url")));
	cmd_cell(t, "%.*s", STR_FMT(json_str(state, "circuit")));
	cmd_cell(t, "%lld/%lld", (long long)json_i64(state, "failed", 0),
		(long long)json_i64(state, "attempts", 0));
}

static enum err ls_run(struct cmd *cmd, struct errtext *et)
{
	static const char *const titles[] = {"NAME", "KIND", "MODEL", "URL", "CIRCUIT", "FAILED"};
	struct buf body = {0};
	yyjson_doc *doc = NULL;
	enum err e = cmd_call(cmd, HTTP_GET, "/api/v1/endpoints", (struct str){0}, &body, et);
	if (!e && cmd_json(cmd)) {
		cmd_outf(cmd, "%s\n", buf_c(&body));
	} else if (!e && !(e = json_parse(buf_str(&body), &doc, et))) {
		struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
		yyjson_val *o;
		size_t i, n;
		yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc), "endpoints"), i, n, o)
			list_row(t, o);
		cmd_table_end(t);
	}
	yyjson_doc_free(doc);
	buf_free(&body);
	return e;
}

static void show_line(struct cmd *cmd, yyjson_val *o, const char *key)
{
	struct str v = json_str(o, key);
	if (v.n)
		cmd_outf(cmd, "%-12s %.*s\n", key, STR_FMT(v));
}

static void show(struct cmd *cmd, yyjson_val *o)
{
	static const char *const keys[] = {
		"name", "kind", "url", "model", "key_secret", "created", "updated", "created_by"};
	yyjson_val *state = yyjson_obj_get(o, "state"), *v;
	size_t i, n;
	for (i = 0; i < ARRAY_LEN(keys); i++)
		show_line(cmd, o, keys[i]);
	cmd_outf(cmd, "%-12s %.1f s\n", "time-out", (double)json_i64(o, "timeout_ms", 0) / 1000);
	cmd_outf(cmd, "%-12s %lld\n", "retries", (long long)json_i64(o, "retries", 0));
	yyjson_arr_foreach(yyjson_obj_get(o, "fallbacks"), i, n, v)
		cmd_outf(cmd, "%-12s %s\n", i ? "" : "fallbacks", yyjson_get_str(v));
	show_line(cmd, state, "circuit");
	cmd_outf(cmd, "%-12s %lld, %lld failed\n", "attempts",
		(long long)json_i64(state, "attempts", 0), (long long)json_i64(state, "failed", 0));
}

static enum err show_run(struct cmd *cmd, struct errtext *et)
{
	struct buf path = {0}, body = {0};
	yyjson_doc *doc = NULL;
	enum err e = path_of(cmd, "", &path, et);
	if (!e)
		e = cmd_call(cmd, HTTP_GET, buf_c(&path), (struct str){0}, &body, et);
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&body));
	else if (!e && !(e = json_parse(buf_str(&body), &doc, et)))
		show(cmd, yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	buf_free(&path);
	buf_free(&body);
	return e;
}

static enum err test_run(struct cmd *cmd, struct errtext *et)
{
	struct buf path = {0}, body = {0};
	yyjson_doc *doc = NULL;
	bool embed = cmd_flag(cmd, "embed");
	enum err e = path_of(cmd, embed ? "/test?what=embed" : "/test", &path, et);
	if (!e)
		e = cmd_call(cmd, HTTP_POST, buf_c(&path), (struct str){0}, &body, et);
	if (!e && cmd_json(cmd)) {
		cmd_outf(cmd, "%s\n", buf_c(&body));
	} else if (!e && !(e = json_parse(buf_str(&body), &doc, et))) {
		yyjson_val *o = yyjson_doc_get_root(doc);
		if (embed)
			cmd_outf(cmd, "a vector of %lld numbers",
				(long long)json_i64(o, "dimensions", 0));
		else
			cmd_outf(cmd, "%.*s", STR_FMT(str_trim(json_str(o, "text"))));
		cmd_outf(cmd, "\n%s%.1f ms%s\n", cmd_style(cmd, "dim"), json_f64(o, "ms", 0),
			cmd_style(cmd, "reset"));
	}
	yyjson_doc_free(doc);
	buf_free(&path);
	buf_free(&body);
	return e;
}

static enum err rm_run(struct cmd *cmd, struct errtext *et)
{
	struct buf path = {0}, reply = {0};
	enum err e = path_of(cmd, "", &path, et);
	if (!e)
		e = cmd_call(cmd, HTTP_DELETE, buf_c(&path), (struct str){0}, &reply, et);
	buf_free(&path);
	buf_free(&reply);
	return e;
}

static const struct option add_options[] = {
	{"url", 0, "URL", "Where its API begins: https://host/v1"},
	{"model", 0, "NAME", "The model's name there"},
	{"kind", 0, "KIND", "openai (if not given) or anthropic: what it speaks"},
	{"key-secret", 0, "NAME", "The secret of the project default with its key"},
	{"fallback", 0, "NAMES", "Who is asked when it fails: endpoints or models, by commas"},
	{"timeout", 0, "TIME", "For an answer, repetitions included; 10m if not given"},
	{"retries", 0, "N", "Repetitions after a failure on the way; 2 if not given"},
	{"replace", 0, NULL, "It may exist: replace all that is said of it"},
};

static const struct option test_options[] = {
	{"embed", 0, NULL, "Ask for an embedding instead of an answer"}};

const struct command remote_commands[N_REMOTE_COMMANDS] = {
	{"endpoint add", add_run, "NAME", add_options, ARRAY_LEN(add_options),
		"Put a remote provider behind a name",
		"Clients then ask for the model NAME. The key is kept as a secret before:\n"
		"  croft secret set openai < key.txt\n"
		"  croft endpoint add gpt --url https://api.openai.com/v1 --model gpt-4o \\\n"
		"    --key-secret openai --fallback smollm2-135m-instruct"},
	{"endpoint ls", ls_run, "", NULL, 0, "List the remote providers and how they are", NULL},
	{"endpoint show", show_run, "NAME", NULL, 0, "Show a remote provider", NULL},
	{"endpoint test", test_run, "NAME", test_options, ARRAY_LEN(test_options),
		"Ask a remote provider something: one attempt, no fallback", NULL},
	{"endpoint rm", rm_run, "NAME", NULL, 0, "Remove a remote provider", NULL},
};
