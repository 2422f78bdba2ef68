/* `croft responses`, `show`, `cancel`, `delete`: what the Responses API keeps. */
#include "api/responses.h"

#include "base/clock.h"
#include "module/cmd.h"

static enum err fetch(
	struct cmd *cmd, const char *path, struct buf *body, yyjson_doc **doc, struct errtext *et)
{
	enum err e = cmd_call(cmd, HTTP_GET, path, (struct str){0}, body, et);
	return e ? e : json_parse(buf_str(body), doc, et);
}

static enum err path_of(
	struct cmd *cmd, size_t i, const char *more, struct buf *path, struct errtext *et)
{
	struct str id = cmd_arg(cmd, i);
	if (!id.n)
		return err_set(et, ERR_INVALID, "name a response: `croft responses` lists them");
	buf_addc(path, "/v1/responses/");
	url_encode(path, id);
	buf_addc(path, more);
	return path->err;
}

/* ---- the list ---- */

static void list_row(struct cmd_table *t, yyjson_val *o)
{
	char when[CLOCK_TEXT], now[CLOCK_TEXT];
	clock_rfc3339(json_i64(o, "created_ms", 0), when);
	clock_rfc3339(clock_unix_ms(), now);
	bool today = str_eq(str_sub(str_c(when), 0, 10), str_sub(str_c(now), 0, 10));
	cmd_cell(t, "%.*s", STR_FMT(json_str(o, "id")));
	/* the time of today's, the day of others, so that there is room for what was asked */
	cmd_cell(t, "%.*s", STR_FMT(str_sub(str_c(when), today ? 11 : 0, today ? 19 : 10)));
	cmd_cell(t, "%.*s", STR_FMT(json_str(o, "status")));
	cmd_cell(t, "%.*s", STR_FMT(json_str(o, "title")));
}

enum err run_responses(struct cmd *cmd, struct errtext *et)
{
	static const char *const titles[] = {"ID", "UTC", "STATUS", "ASKED"};
	struct str limit = cmd_opt(cmd, "limit"), before = cmd_opt(cmd, "before");
	struct buf path = {0}, body = {0};
	yyjson_doc *doc = NULL;
	buf_addc(&path, "/api/v1/responses?limit=");
	url_encode(&path, limit.n ? limit : S("20"));
	if (before.n) {
		buf_addc(&path, "&before=");
		url_encode(&path, before);
	}
	enum err e = fetch(cmd, buf_c(&path), &body, &doc, et);
	if (!e && cmd_json(cmd)) {
		cmd_outf(cmd, "%s\n", buf_c(&body));
	} else if (!e) {
		yyjson_val *root = yyjson_doc_get_root(doc), *o;
		struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
		size_t i, n;
		yyjson_arr_foreach(yyjson_obj_get(root, "responses"), i, n, o) list_row(t, o);
		cmd_table_end(t);
		if (json_bool(root, "more", false))
			cmd_note(cmd, "there are older ones: --before ID");
	}
	yyjson_doc_free(doc);
	buf_free(&path);
	buf_free(&body);
	return e;
}

/* ---- one ---- */

static void print_text(struct cmd *cmd, const char *who, struct str text)
{
	cmd_outf(cmd, "\n%s%s%s\n%.*s\n", cmd_style(cmd, "bold"), who, cmd_style(cmd, "reset"),
		STR_FMT(text));
}

static void print_parts(struct cmd *cmd, const char *who, yyjson_val *v)
{
	yyjson_val *part;
	size_t i, n;
	if (yyjson_is_str(v))
		print_text(cmd, who, json_val_str(v));
	yyjson_arr_foreach(v, i, n, part)
	{
		struct str text = json_str(part, "text");
		print_text(cmd, who, text.p ? text : json_str(part, "refusal"));
	}
}

static void print_item(struct cmd *cmd, yyjson_val *o)
{
	struct str type = json_str(o, "type");
	if (str_eq_c(type, "message")) {
		print_parts(cmd, yyjson_get_str(yyjson_obj_get(o, "role")),
			yyjson_obj_get(o, "content"));
	} else if (str_eq_c(type, "reasoning")) {
		print_parts(cmd, "thoughts", yyjson_obj_get(o, "content"));
	} else if (str_eq_c(type, "function_call")) {
		cmd_outf(cmd, "\n%scalls %.*s%s\n%.*s\n", cmd_style(cmd, "bold"),
			STR_FMT(json_str(o, "name")), cmd_style(cmd, "reset"),
			STR_FMT(json_str(o, "arguments")));
	} else if (str_eq_c(type, "file_search_call")) {
		yyjson_val *q;
		size_t i, n;
		yyjson_arr_foreach(yyjson_obj_get(o, "queries"), i, n, q)
			print_text(cmd, "searches files", json_val_str(q));
	} else if (str_eq_c(type, "function_call_output")) {
		print_parts(cmd, "result", yyjson_obj_get(o, "output"));
	}
}

static void print_items(struct cmd *cmd, yyjson_val *list)
{
	yyjson_val *o;
	size_t i, n;
	yyjson_arr_foreach(list, i, n, o) print_item(cmd, o);
}

static void print_line(struct cmd *cmd, const char *key, struct str value)
{
	if (value.n)
		cmd_outf(cmd, "%-14s %.*s\n", key, STR_FMT(value));
}

static void print_head(struct cmd *cmd, yyjson_val *o)
{
	yyjson_val *usage = yyjson_obj_get(o, "usage");
	char when[CLOCK_TEXT];
	clock_rfc3339(json_i64(o, "created_at", 0) * 1000, when);
	print_line(cmd, "response", json_str(o, "id"));
	print_line(cmd, "run", json_str(yyjson_obj_get(o, "croft"), "run"));
	print_line(cmd, "created", str_sub(str_c(when), 0, 19));
	print_line(cmd, "model", json_str(o, "model"));
	print_line(cmd, "status", json_str(o, "status"));
	print_line(cmd, "cut off by", json_str(yyjson_obj_get(o, "incomplete_details"), "reason"));
	print_line(cmd, "error", json_str(yyjson_obj_get(o, "error"), "message"));
	print_line(cmd, "continues", json_str(o, "previous_response_id"));
	print_line(cmd, "conversation", json_str(yyjson_obj_get(o, "conversation"), "id"));
	if (yyjson_is_obj(usage))
		cmd_outf(cmd, "%-14s %lld in, %lld out\n", "tokens",
			(long long)json_i64(usage, "input_tokens", 0),
			(long long)json_i64(usage, "output_tokens", 0));
	print_line(cmd, "instructions", json_str(o, "instructions"));
}

static enum err show_whole(struct cmd *cmd, yyjson_val *o, struct errtext *et)
{
	struct buf path = {0}, body = {0};
	yyjson_doc *doc = NULL;
	enum err e = path_of(cmd, 0, "/input_items?order=asc&limit=100", &path, et);
	e = e ? e : fetch(cmd, buf_c(&path), &body, &doc, et);
	if (!e) {
		yyjson_val *input = yyjson_doc_get_root(doc);
		print_head(cmd, o);
		print_items(cmd, yyjson_obj_get(input, "data"));
		if (json_bool(input, "has_more", false))
			cmd_note(cmd, "it was asked with more: the first 100 items are shown");
		print_items(cmd, yyjson_obj_get(o, "output"));
	}
	yyjson_doc_free(doc);
	buf_free(&path);
	buf_free(&body);
	return e;
}

enum err run_responses_show(struct cmd *cmd, struct errtext *et)
{
	struct buf path = {0}, body = {0};
	yyjson_doc *doc = NULL;
	enum err e = path_of(cmd, 0, "", &path, et);
	e = e ? e : fetch(cmd, buf_c(&path), &body, &doc, et);
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&body));
	else if (!e)
		e = show_whole(cmd, yyjson_doc_get_root(doc), et);
	yyjson_doc_free(doc);
	buf_free(&path);
	buf_free(&body);
	return e;
}

/* ---- changes ---- */

static enum err each(struct cmd *cmd, enum http_method method, const char *more, const char *done,
	struct errtext *et)
{
	enum err e = cmd_n_args(cmd) ? OK
				     : err_set(et, ERR_INVALID,
					       "name a response: `croft responses` lists them");
	for (size_t i = 0; i < cmd_n_args(cmd) && !e; i++) {
		struct buf path = {0}, body = {0};
		e = path_of(cmd, i, more, &path, et);
		e = e ? e : cmd_call(cmd, method, buf_c(&path), (struct str){0}, &body, et);
		if (!e && cmd_json(cmd))
			cmd_outf(cmd, "%s\n", buf_c(&body));
		else if (!e)
			cmd_note(cmd, "%.*s %s", STR_FMT(cmd_arg(cmd, i)), done);
		buf_free(&path);
		buf_free(&body);
	}
	return e;
}

enum err run_responses_cancel(struct cmd *cmd, struct errtext *et)
{
	return each(cmd, HTTP_POST, "/cancel", "is cancelled, if it was not finished", et);
}

enum err run_responses_delete(struct cmd *cmd, struct errtext *et)
{
	return each(cmd, HTTP_DELETE, "", "is deleted", et);
}
