/* `croft tokenize`: the tokens of a text, one a line, or the text of tokens. */
#include "api/api_int.h"
#include "module/cmd.h"

/* All arguments, so that quotes are not needed; a single - is standard input. */
static enum err read_text(struct cmd *cmd, struct buf *out, struct errtext *et)
{
	if (!cmd_n_args(cmd))
		return err_set(et, ERR_INVALID, "a text, or - for standard input");
	if (cmd_n_args(cmd) == 1 && str_eq_c(cmd_arg(cmd, 0), "-"))
		return read_input(cmd_arg(cmd, 0), out, et);
	for (size_t i = 0; i < cmd_n_args(cmd); i++)
		buf_addf(out, "%s%.*s", i ? " " : "", STR_FMT(cmd_arg(cmd, i)));
	return OK;
}

/* Numbers between spaces, commas and brackets, as lists of them are printed. */
static enum err write_ids(struct jw *w, struct str text, struct errtext *et)
{
	int64_t id;
	jw_arr(w);
	for (size_t i = 0, from; i < text.n;) {
		for (from = i; i < text.n && !memchr(" \t\r\n,[]", text.p[i], 8);)
			i++;
		struct str word = str_sub(text, from, i);
		i += !word.n;
		if (!word.n)
			continue;
		if (!str_i64(word, &id) || id < 0 || id > INT32_MAX)
			return err_set(et, ERR_INVALID, "a token's id is a number, not \"%.*s\"",
				(int)(word.n > 40 ? 40 : word.n), word.p);
		jw_i64(w, id);
	}
	jw_end(w);
	return OK;
}

static enum err write_request(
	struct cmd *cmd, struct str text, bool ids, struct buf *out, struct errtext *et)
{
	struct jw w = {.out = out};
	enum err e = OK;
	jw_obj(&w);
	if (cmd_opt(cmd, "model").n)
		jw_kstr(&w, "model", cmd_opt(cmd, "model"));
	if (ids) {
		jw_key(&w, "tokens");
		e = write_ids(&w, text, et);
	} else {
		jw_kstr(&w, "prompt", text);
		jw_kbool(&w, "add_special_tokens", cmd_flag(cmd, "special"));
		jw_kbool(&w, "return_token_strs", !cmd_flag(cmd, "count"));
	}
	if (e)
		return e;
	jw_end(&w);
	return jw_done(&w) ? OK : err_set(et, ERR_NOMEM, "no memory for the request");
}

static void print_tokens(struct cmd *cmd, yyjson_val *reply)
{
	yyjson_val *ids = yyjson_obj_get(reply, "tokens"), *id;
	struct buf piece = {0};
	size_t i, n;
	yyjson_arr_foreach(ids, i, n, id)
	{
		buf_clear(&piece);
		json_escape(&piece,
			json_val_str(yyjson_arr_get(yyjson_obj_get(reply, "token_strs"), i)));
		cmd_outf(cmd, "%7lld  %s\n", (long long)yyjson_get_sint(id), buf_c(&piece));
	}
	buf_free(&piece);
}

static void print_reply(struct cmd *cmd, yyjson_val *reply, bool ids)
{
	if (ids) {
		cmd_out(cmd, json_str(reply, "prompt"));
		cmd_out(cmd, term_is_tty() ? S("\n") : S(""));
	} else if (cmd_flag(cmd, "count")) {
		cmd_outf(cmd, "%lld\n", (long long)json_i64(reply, "count", 0));
	} else {
		print_tokens(cmd, reply);
	}
}

enum err run_tokenize(struct cmd *cmd, struct errtext *et)
{
	struct buf text = {0}, request = {0}, body = {0};
	yyjson_doc *reply = NULL;
	bool ids = cmd_flag(cmd, "ids");
	enum err e = read_text(cmd, &text, et);
	if (!e && !utf8_valid(buf_str(&text)))
		e = err_set(et, ERR_INVALID, "the text is not UTF-8");
	if (!e)
		e = write_request(cmd, buf_str(&text), ids, &request, et);
	if (!e)
		e = cmd_call(cmd, HTTP_POST, ids ? "/detokenize" : "/tokenize", buf_str(&request),
			&body, et);
	if (!e && cmd_json(cmd)) {
		cmd_out(cmd, buf_str(&body));
		cmd_out(cmd, S("\n"));
	} else if (!e) {
		e = json_parse(buf_str(&body), &reply, et);
		if (!e)
			print_reply(cmd, yyjson_doc_get_root(reply), ids);
	}
	yyjson_doc_free(reply);
	buf_free(&text);
	buf_free(&request);
	buf_free(&body);
	return e;
}
