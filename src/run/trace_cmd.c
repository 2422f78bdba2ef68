/* `croft traces`: ls, show, tail. */
#include "run/trace_int.h"
#include "base/clock.h"
#include "module/cmd.h"

#include <stdio.h>
#include <stdlib.h>

static void took(double ms, char out[16])
{
	if (ms < 0)
		snprintf(out, 16, "-");
	else if (ms < 1000)
		snprintf(out, 16, ms < 10 ? "%.1f ms" : "%.0f ms", ms);
	else if (ms < 60000)
		snprintf(out, 16, "%.2f s", ms / 1000);
	else
		snprintf(out, 16, "%.0f min", ms / 60000);
}

static const char *status_style(struct str status)
{
	return str_eq_c(status, "ok")        ? "green"
	       : str_eq_c(status, "error")   ? "red"
	       : str_eq_c(status, "running") ? "cyan"
					     : "yellow";
}

/* ---- ls ---- */

static void list_row(struct cmd_table *t, yyjson_val *r)
{
	char time[16];
	struct str at = json_str(r, "started");
	took(json_f64(r, "duration_ms", -1), time);
	cmd_cell(t, "%.*s", STR_FMT(json_str(r, "id")));
	cmd_cell(t, "%.*s", STR_FMT(str_sub(at, 11, 19)));
	cmd_cell(t, "%.*s", STR_FMT(json_str(r, "status")));
	cmd_cell(t, "%s", time);
	cmd_cell(t, "%lld", (long long)json_i64(r, "spans", 0));
	cmd_cell(
		t, "%lld", (long long)(json_i64(r, "tokens_in", 0) + json_i64(r, "tokens_out", 0)));
	cmd_cell(t, "%.*s", STR_FMT(json_str(r, "name")));
}

static enum err traces_ls(struct cmd *cmd, struct errtext *et)
{
	static const char *const titles[] = {
		"ID", "TIME", "STATUS", "TOOK", "SPANS", "TOKENS", "NAME"};
	static const char *const passed[][2] = {{"filter", "filter"}, {"order-by", "order_by"},
		{"status", "status"}, {"since", "since"}, {"until", "until"}, {"limit", "limit"}};
	struct buf path = {0}, body = {0};
	yyjson_doc *doc = NULL;
	buf_addc(&path, "/api/v1/traces?q=");
	url_encode(&path, cmd_n_args(cmd) ? cmd_arg(cmd, 0) : S(""));
	for (size_t i = 0; i < ARRAY_LEN(passed); i++)
		if (cmd_opt(cmd, passed[i][0]).p) {
			buf_addf(&path, "&%s=", passed[i][1]);
			url_encode(&path, cmd_opt(cmd, passed[i][0]));
		}
	enum err e = cmd_call(cmd, HTTP_GET, buf_c(&path), (struct str){0}, &body, et);
	if (!e && cmd_json(cmd)) {
		cmd_outf(cmd, "%s\n", buf_c(&body));
	} else if (!e && !(e = json_parse(buf_str(&body), &doc, et))) {
		yyjson_val *list = yyjson_obj_get(yyjson_doc_get_root(doc), "traces"), *r;
		size_t i, n;
		struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
		yyjson_arr_foreach(list, i, n, r) list_row(t, r);
		cmd_table_end(t);
		if (json_str(yyjson_doc_get_root(doc), "next").n)
			cmd_note(cmd, "there are more: --until narrows, --limit shows more");
	}
	yyjson_doc_free(doc);
	buf_free(&path);
	buf_free(&body);
	return e;
}

/* ---- show ---- */

enum { DEPTH_MAX = 30, SHOWN_MAX = 10000 };

struct tree {
	struct cmd *cmd;
	yyjson_val **spans;
	size_t n;
	unsigned char *done;
};

static void print_line(struct tree *t, yyjson_val *s, unsigned depth)
{
	char time[16];
	struct str status = json_str(s, "status");
	int64_t in = json_i64(s, "tokens_in", 0), out = json_i64(s, "tokens_out", 0);
	took(json_f64(s, "duration_ms", -1), time);
	cmd_outf(t->cmd, "%*s%s%.*s%s  %s%.*s%s", (int)depth * 2, "", cmd_style(t->cmd, "bold"),
		STR_FMT(json_str(s, "name")), cmd_style(t->cmd, "reset"), cmd_style(t->cmd, "dim"),
		STR_FMT(json_str(s, "kind")), cmd_style(t->cmd, "reset"));
	cmd_outf(t->cmd, "  %s%.*s%s  %s", cmd_style(t->cmd, status_style(status)), STR_FMT(status),
		cmd_style(t->cmd, "reset"), time);
	if (in || out)
		cmd_outf(t->cmd, "  %lld+%lld tokens", (long long)in, (long long)out);
	cmd_outf(t->cmd, "  %s%.*s%s\n", cmd_style(t->cmd, "dim"), STR_FMT(json_str(s, "id")),
		cmd_style(t->cmd, "reset"));
	if (json_str(s, "error").n)
		cmd_outf(t->cmd, "%*s%s%.*s%s\n", (int)depth * 2 + 2, "", cmd_style(t->cmd, "red"),
			STR_FMT(json_str(s, "error")), cmd_style(t->cmd, "reset"));
}

static void print_below(struct tree *t, struct str parent, unsigned depth)
{
	for (size_t i = 0; depth < DEPTH_MAX && i < t->n; i++)
		if (!t->done[i] && str_eq(json_str(t->spans[i], "parent"), parent)) {
			t->done[i] = 1;
			print_line(t, t->spans[i], depth);
			print_below(t, json_str(t->spans[i], "id"), depth + 1);
		}
}

static enum err print_tree(struct cmd *cmd, yyjson_val *root, struct errtext *et)
{
	yyjson_val *trace = yyjson_obj_get(root, "trace"), *list = yyjson_obj_get(root, "spans"),
		   *s;
	size_t i, n;
	char time[16];
	struct tree t = {.cmd = cmd, .n = MIN(yyjson_arr_size(list), (size_t)SHOWN_MAX)};
	t.spans = calloc(t.n + 1, sizeof *t.spans);
	t.done = calloc(t.n + 1, 1);
	if (!t.spans || !t.done) {
		free(t.spans);
		free(t.done);
		return err_set(et, ERR_NOMEM, "no memory for a trace");
	}
	took(json_f64(trace, "duration_ms", -1), time);
	cmd_outf(cmd, "%.*s  %.*s  %s  %zu spans  %lld+%lld tokens\n",
		STR_FMT(json_str(trace, "name")), STR_FMT(json_str(trace, "status")), time,
		yyjson_arr_size(list), (long long)json_i64(trace, "tokens_in", 0),
		(long long)json_i64(trace, "tokens_out", 0));
	yyjson_arr_foreach(list, i, n, s) if (i < t.n) t.spans[i] = s;
	print_below(&t, (struct str){0}, 0);
	for (i = 0; i < t.n; i++) /* their parents have not come */
		if (!t.done[i]) {
			t.done[i] = 1;
			print_line(&t, t.spans[i], 0);
			print_below(&t, json_str(t.spans[i], "id"), 1);
		}
	if (yyjson_arr_size(list) > t.n)
		cmd_note(cmd, "%zu more spans are not shown: use --json",
			yyjson_arr_size(list) - t.n);
	free(t.spans);
	free(t.done);
	return OK;
}

static enum err traces_show(struct cmd *cmd, struct errtext *et)
{
	if (cmd_n_args(cmd) < 1 || cmd_n_args(cmd) > 2)
		return err_set(et, ERR_INVALID, "name a trace: croft traces show ID [SPAN]");
	struct buf path = {0}, body = {0};
	yyjson_doc *doc = NULL;
	bool span = cmd_n_args(cmd) == 2;
	buf_addc(&path, "/api/v1/traces/");
	url_encode(&path, cmd_arg(cmd, 0));
	if (span) {
		buf_addc(&path, "/spans/");
		url_encode(&path, cmd_arg(cmd, 1));
	}
	enum err e = cmd_call(cmd, HTTP_GET, buf_c(&path), (struct str){0}, &body, et);
	if (!e && cmd_json(cmd)) {
		cmd_outf(cmd, "%s\n", buf_c(&body));
	} else if (!e && !(e = json_parse(buf_str(&body), &doc, et))) {
		if (span) {
			char *text = yyjson_write(doc, YYJSON_WRITE_PRETTY_TWO_SPACES, NULL);
			cmd_outf(cmd, "%s\n", text ? text : buf_c(&body));
			free(text);
		} else {
			e = print_tree(cmd, yyjson_doc_get_root(doc), et);
		}
	}
	yyjson_doc_free(doc);
	buf_free(&path);
	buf_free(&body);
	return e;
}

/* ---- tail ---- */

static enum err on_event(void *ctx, struct str event, struct str data)
{
	struct cmd *cmd = ctx;
	yyjson_doc *doc;
	char time[16];
	if (str_eq_c(event, "ready"))
		return OK;
	if (cmd_json(cmd)) {
		cmd_outf(cmd, "%.*s\n", STR_FMT(data));
		cmd_flush(cmd);
		return OK;
	}
	if (json_parse(data, &doc, NULL))
		return OK;
	yyjson_val *r = yyjson_doc_get_root(doc);
	struct str status = json_str(r, "status");
	if (str_eq_c(event, "lost")) {
		cmd_note(cmd, "%lld spans were too fast to be shown",
			(long long)json_i64(r, "lost", 0));
	} else {
		took(json_f64(r, "duration_ms", -1), time);
		cmd_outf(cmd, "%.*s  %.*s  %s%-7.*s%s %9s  %-9.*s %.*s\n",
			STR_FMT(str_sub(json_str(r, "started"), 11, 23)),
			STR_FMT(str_sub(json_str(r, "trace"), 0, 8)),
			cmd_style(cmd, status_style(status)), STR_FMT(status),
			cmd_style(cmd, "reset"), time, STR_FMT(json_str(r, "kind")),
			STR_FMT(json_str(r, "name")));
		cmd_flush(cmd);
	}
	yyjson_doc_free(doc);
	return OK;
}

static enum err traces_tail(struct cmd *cmd, struct errtext *et)
{
	if (!cmd_remote(cmd))
		return err_set(et, ERR_NOT_READY,
			"no server runs on this data directory: start one with croft up");
	enum err e = cmd_stream(
		cmd, HTTP_GET, "/api/v1/traces/live", (struct str){0}, on_event, cmd, et);
	return e == ERR_CANCELLED ? OK : e; /* how one ends it */
}

static const struct option ls_options[] = {
	{"filter", 'f', "FILTER", "Only what the filter matches"},
	{"order-by", 'o', "KEY", "for instance: 'duration_ms DESC'; newest first without"},
	{"status", 's', "STATUS", "Only running, ok, error or interrupted ones"},
	{"since", 0, "TIME", "Only from this time on"},
	{"until", 0, "TIME", "Only before this time"},
	{"limit", 'n', "N", "At most so many (50)"},
};

static const struct option usage_options[] = {
	{"since", 0, "DAY", "From this day on (30 days)"},
	{"until", 0, "DAY", "Before this day"},
	{"model", 'm', "NAME", "Only of this model"},
};

const struct command trace_commands[TRACE_COMMANDS] = {
	{"traces ls", traces_ls, "[TEXT]", ls_options, ARRAY_LEN(ls_options),
		"List traces; TEXT is looked for in everything that their spans hold",
		"Example:\n  croft traces ls --filter \"duration_ms > 500 AND span.type = "
		"'tool'\""},
	{"traces show", traces_show, "ID [SPAN]", NULL, 0,
		"Show a trace as a tree, or one span with all it holds", NULL},
	{"traces usage", traces_usage, "", usage_options, ARRAY_LEN(usage_options),
		"What models cost: calls, tokens, cost and times by day", NULL},
	{"traces tail", traces_tail, "", NULL, 0, "Show spans as they open and close", NULL},
};
