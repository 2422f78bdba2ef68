/* `croft runs`, `croft runs show`. */
#include "run/run_int.h"
#include "base/clock.h"
#include "module/cmd.h"

#include <stdio.h>
#include <stdlib.h>

static void duration_text(double ms, char out[16])
{
	if (ms < 10)
		snprintf(out, 16, "%.1f ms", ms);
	else if (ms < 1000)
		snprintf(out, 16, "%.0f ms", ms);
	else if (ms < 60000)
		snprintf(out, 16, "%.2f s", ms / 1000);
	else
		snprintf(out, 16, "%.0f min %02.0f", ms / 60000,
			(double)((int64_t)(ms / 1000) % 60));
}

static const char *status_style(struct str status)
{
	return str_eq_c(status, "ok")        ? "green"
	       : str_eq_c(status, "error")   ? "red"
	       : str_eq_c(status, "running") ? "cyan"
					     : "yellow";
}

static enum err fetch(
	struct cmd *cmd, const char *path, struct buf *body, yyjson_doc **doc, struct errtext *et)
{
	enum err e = cmd_call(cmd, HTTP_GET, path, (struct str){0}, body, et);
	return e ? e : json_parse(buf_str(body), doc, et);
}

/* ---- runs ---- */

static enum err runs_list(struct cmd *cmd, struct errtext *et)
{
	static const char *const titles[] = {"ID", "UTC", "KIND", "STATUS", "TIME", "NAME"};
	static const char *const passed[] = {"kind", "status", "limit"};
	struct buf path = {0}, body = {0};
	buf_addc(&path, "/api/v1/runs");
	const char *sep = "?";
	for (size_t i = 0; i < ARRAY_LEN(passed); i++) {
		struct str v = cmd_opt(cmd, passed[i]);
		if (!v.p)
			continue;
		buf_addf(&path, "%s%s=", sep, passed[i]);
		url_encode(&path, v);
		sep = "&";
	}
	yyjson_doc *doc = NULL;
	enum err e = fetch(cmd, buf_c(&path), &body, &doc, et);
	if (!e && cmd_json(cmd)) {
		cmd_outf(cmd, "%s\n", buf_c(&body));
	} else if (!e) {
		yyjson_val *runs = yyjson_obj_get(yyjson_doc_get_root(doc), "runs"), *r;
		size_t i, n;
		char now[CLOCK_TEXT];
		clock_rfc3339(clock_unix_ms(), now);
		struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
		yyjson_arr_foreach(runs, i, n, r)
		{
			char took[16] = "";
			double ms = json_f64(r, "duration_ms", -1);
			if (ms >= 0)
				duration_text(ms, took);
			cmd_cell(t, "%.*s", STR_FMT(json_str(r, "id")));
			/* the time of today's, the day of others, so that an id fits beside it */
			struct str at = json_str(r, "started");
			bool today = str_eq(str_sub(at, 0, 10), str_sub(str_c(now), 0, 10));
			cmd_cell(t, "%.*s",
				STR_FMT(today ? str_sub(at, 11, 19) : str_sub(at, 0, 10)));
			cmd_cell(t, "%.*s", STR_FMT(json_str(r, "kind")));
			cmd_cell(t, "%.*s", STR_FMT(json_str(r, "status")));
			cmd_cell(t, "%s", took);
			cmd_cell(t, "%.*s", STR_FMT(json_str(r, "name")));
		}
		cmd_table_end(t);
	}
	yyjson_doc_free(doc);
	buf_free(&path);
	buf_free(&body);
	return e;
}

/* ---- runs show: the span tree as a waterfall ----
 *
 *	ask  What is ...?                                              ok    812 ms
 *	  retrieve                 [==                              ]        61 ms
 *	    embed                  [=                               ]        22 ms
 *	  generate                 [  ==============================]       740 ms
 */

enum { NAME_COLUMNS = 28, TIME_COLUMNS = 10, DEPTH_MAX = 12, SPANS_MAX = 10000 };

static void print_clean(struct cmd *cmd, struct str s, size_t max)
{
	size_t columns = 0;
	while (s.n && columns < max) {
		uint32_t cp;
		size_t k = utf8_decode(s, &cp);
		cmd_out(cmd, cp < 0x20 || cp == 0x7F ? S(" ") : str_sub(s, 0, k));
		s = str_sub(s, k, s.n);
		columns++;
	}
}

static size_t count_columns(struct str s)
{
	size_t columns = 0;
	for (size_t i = 0; i < s.n; i++)
		columns += ((unsigned char)s.p[i] & 0xC0) != 0x80;
	return columns;
}

static void bar(
	struct cmd *cmd, double from, double to, double total, size_t width, struct str status)
{
	size_t a = total > 0 ? (size_t)(from / total * (double)width) : 0;
	size_t b = total > 0 ? (size_t)(to / total * (double)width + .999) : 0;
	a = MIN(a, width - 1);
	b = MIN(MAX(b, a + 1), width);
	cmd_outf(cmd, "%s", cmd_style(cmd, "dim"));
	for (size_t i = 0; i < a; i++)
		cmd_out(cmd, S("\xC2\xB7"));
	cmd_outf(cmd, "%s%s", cmd_style(cmd, "reset"), cmd_style(cmd, status_style(status)));
	for (size_t i = a; i < b; i++)
		cmd_out(cmd, S("\xE2\x96\x88"));
	cmd_outf(cmd, "%s%s", cmd_style(cmd, "reset"), cmd_style(cmd, "dim"));
	for (size_t i = b; i < width; i++)
		cmd_out(cmd, S("\xC2\xB7"));
	cmd_outf(cmd, "%s", cmd_style(cmd, "reset"));
}

static void span_line(struct cmd *cmd, yyjson_val *s, unsigned depth, double total)
{
	struct str name = json_str(s, "name"), status = json_str(s, "status");
	size_t width = (size_t)MAX(term_columns(), 60) - NAME_COLUMNS - TIME_COLUMNS - 1;
	double from = json_f64(s, "start_ms", 0), ms = json_f64(s, "duration_ms", -1);
	char took[16] = "...";
	size_t indent = 2 * (size_t)MIN(depth, DEPTH_MAX);
	size_t room = NAME_COLUMNS - 1 - MIN(indent, (size_t)NAME_COLUMNS - 5);
	indent = NAME_COLUMNS - 1 - room;
	if (ms >= 0)
		duration_text(ms, took);
	cmd_outf(cmd, "%*s", (int)indent, "");
	print_clean(cmd, name, room);
	cmd_outf(cmd, "%*s", (int)(room - MIN(count_columns(name), room) + 1), "");
	bar(cmd, from, ms >= 0 ? from + ms : total, total, width, status);
	cmd_outf(cmd, " %*s\n", TIME_COLUMNS, took);
	struct str error = json_str(s, "error");
	if (error.n) {
		cmd_outf(cmd, "%*s%s", (int)indent + 2, "", cmd_style(cmd, "red"));
		print_clean(cmd, error, term_columns() - indent - 3);
		cmd_outf(cmd, "%s\n", cmd_style(cmd, "reset"));
	}
}

static void children(
	struct cmd *cmd, yyjson_val *spans, struct str parent, unsigned depth, double total)
{
	size_t i, n;
	yyjson_val *s;
	if (depth > 64)
		return;
	yyjson_arr_foreach(spans, i, n, s)
	{
		if (!str_eq(json_str(s, "parent"), parent))
			continue;
		span_line(cmd, s, depth, total);
		children(cmd, spans, json_str(s, "id"), depth + 1, total);
	}
}

static double last_end(yyjson_val *run, yyjson_val *spans)
{
	double end = json_f64(run, "duration_ms", 0);
	size_t i, n;
	yyjson_val *s;
	yyjson_arr_foreach(spans, i, n, s)
	{
		double at = json_f64(s, "start_ms", 0) + json_f64(s, "duration_ms", 0);
		end = MAX(end, at);
	}
	return end;
}

static void attribute_lines(struct cmd *cmd, yyjson_val *attributes)
{
	size_t i, n;
	yyjson_val *k, *v;
	yyjson_obj_foreach(attributes, i, n, k, v)
	{
		struct buf b = {0};
		struct jw w = {.out = &b};
		struct str text = json_val_str(v);
		if (!text.p) {
			jw_val(&w, v);
			text = buf_str(&b);
		}
		cmd_outf(cmd, "%s%-18.*s%s ", cmd_style(cmd, "dim"), STR_FMT(json_val_str(k)),
			cmd_style(cmd, "reset"));
		print_clean(cmd, text, MAX(term_columns(), 40) - 20);
		cmd_out(cmd, S("\n"));
		buf_free(&b);
	}
}

static void show(struct cmd *cmd, yyjson_val *run, yyjson_val *spans)
{
	struct str status = json_str(run, "status"), error = json_str(run, "error");
	char took[16] = "...";
	double ms = json_f64(run, "duration_ms", -1);
	if (ms >= 0)
		duration_text(ms, took);
	cmd_outf(cmd, "%s%.*s%s  ", cmd_style(cmd, "bold"), STR_FMT(json_str(run, "kind")),
		cmd_style(cmd, "reset"));
	print_clean(cmd, json_str(run, "name"), MAX(term_columns(), 60) - 35);
	cmd_outf(cmd, "  %s%.*s%s  %s\n", cmd_style(cmd, status_style(status)), STR_FMT(status),
		cmd_style(cmd, "reset"), took);
	cmd_outf(cmd, "%s%.*s  %.*s%s\n", cmd_style(cmd, "dim"), STR_FMT(json_str(run, "id")),
		STR_FMT(json_str(run, "started")), cmd_style(cmd, "reset"));
	if (error.n) {
		cmd_outf(cmd, "%s", cmd_style(cmd, "red"));
		print_clean(cmd, error, 1000);
		cmd_outf(cmd, "%s\n", cmd_style(cmd, "reset"));
	}
	attribute_lines(cmd, yyjson_obj_get(run, "attributes"));
	if (yyjson_arr_size(spans))
		cmd_out(cmd, S("\n"));
	if (yyjson_arr_size(spans) > SPANS_MAX)
		cmd_outf(cmd, "%zu spans: see --json\n", yyjson_arr_size(spans));
	else
		children(cmd, spans, (struct str){0}, 0, last_end(run, spans));
}

/* "last": the newest run's id. */
static enum err newest(struct cmd *cmd, struct buf *id, struct errtext *et)
{
	struct buf body = {0};
	yyjson_doc *doc = NULL;
	enum err e = fetch(cmd, "/api/v1/runs?limit=1", &body, &doc, et);
	if (!e) {
		yyjson_val *runs = yyjson_obj_get(yyjson_doc_get_root(doc), "runs");
		struct str s = json_str(yyjson_arr_get_first(runs), "id");
		if (s.n)
			buf_adds(id, s);
		else
			e = err_set(et, ERR_NOT_FOUND, "there are no runs yet");
	}
	yyjson_doc_free(doc);
	buf_free(&body);
	return e;
}

static enum err runs_show(struct cmd *cmd, struct errtext *et)
{
	if (cmd_n_args(cmd) != 1)
		return err_set(et, ERR_INVALID, "name one run: croft runs show ID (or: last)");
	struct buf id = {0}, path = {0}, body = {0};
	yyjson_doc *doc = NULL;
	enum err e = OK;
	if (str_eq_c(cmd_arg(cmd, 0), "last"))
		e = newest(cmd, &id, et);
	else
		buf_adds(&id, cmd_arg(cmd, 0));
	buf_addc(&path, "/api/v1/runs/");
	url_encode(&path, buf_str(&id));
	if (!e)
		e = fetch(cmd, buf_c(&path), &body, &doc, et);
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&body));
	else if (!e)
		show(cmd, yyjson_obj_get(yyjson_doc_get_root(doc), "run"),
			yyjson_obj_get(yyjson_doc_get_root(doc), "spans"));
	yyjson_doc_free(doc);
	buf_free(&id);
	buf_free(&path);
	buf_free(&body);
	return e;
}

static const struct option list_options[] = {
	{"kind", 'k', "KIND", "Only runs of this kind (ask, chat, ingest, ...)"},
	{"status", 's', "STATUS", "Only running, ok, error or interrupted ones"},
	{"limit", 'n', "N", "At most so many (50)"},
};

const struct command run_commands[2] = {
	{"runs", runs_list, "", list_options, ARRAY_LEN(list_options), "List what has run", NULL},
	{"runs show", runs_show, "ID", NULL, 0, "Show a run's spans as a waterfall",
		"ID is the run's id, or \"last\".\n\nExample:\n  croft runs show last"},
};
