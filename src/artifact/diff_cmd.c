/* What a command prints of two trees: files, and the rows of files of data. */
#include "artifact/rows.h"
#include "artifact/transfer.h"
#include "base/json.h"
#include "module/cmd.h"

#include <stdio.h>

enum { ROWS_FILES_MAX = 10, COLUMNS_SHOWN = 30 };

static void size_text(int64_t bytes, char out[24])
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
	double v = (double)bytes;
	size_t i = 0;
	for (; v >= 1000 && i + 1 < ARRAY_LEN(units); i++)
		v /= 1000;
	snprintf(out, 24, i && v < 100 ? "%.1f %s" : "%.0f %s", v, units[i]);
}

static const char *mark(struct cmd *cmd, struct str change, const char **style)
{
	bool gone = str_eq_c(change, "removed"), changed = str_eq_c(change, "changed");
	*style = cmd_style(cmd, gone ? "red" : changed ? "yellow" : "green");
	return gone ? "-" : changed ? "~" : "+";
}

static void print_delta(struct cmd *cmd, yyjson_val *v)
{
	char size[24], shared[24];
	const char *style;
	struct str change = json_str(v, "change");
	const char *sign = mark(cmd, change, &style);
	size_text(json_i64(v, str_eq_c(change, "removed") ? "before" : "after", 0), size);
	size_text(json_i64(v, "shared", 0), shared);
	cmd_outf(cmd, "%s%s %.*s%s  %s", style, sign, STR_FMT(json_str(v, "path")),
		cmd_style(cmd, "reset"), size);
	if (str_eq_c(change, "changed"))
		cmd_outf(cmd, ", %s as before", shared);
	cmd_outf(cmd, "\n");
}

/* ---- rows ---- */

static void print_columns(struct cmd *cmd, yyjson_val *columns)
{
	static const char *const titles[] = {
		"  column", "type", "values", "mean", "shift", "changed"};
	yyjson_val *c;
	size_t i, n, shown = 0;
	struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
	yyjson_arr_foreach(columns, i, n, c)
	{
		yyjson_val *a = yyjson_obj_get(c, "before"), *b = yyjson_obj_get(c, "after");
		struct str x = json_str(a, "type"), y = json_str(b, "type");
		double m = yyjson_get_num(yyjson_obj_get(a, "mean")),
		       k = yyjson_get_num(yyjson_obj_get(b, "mean"));
		bool numbers = yyjson_is_num(yyjson_obj_get(a, "mean")) &&
			       yyjson_is_num(yyjson_obj_get(b, "mean"));
		yyjson_val *shift = yyjson_obj_get(c, "shift");
		if (yyjson_equals(a, b) && !json_i64(c, "changed", 0))
			continue;
		if (shown++ == COLUMNS_SHOWN)
			break;
		cmd_cell(t, "  %.*s", STR_FMT(json_str(c, "name")));
		str_eq(x, y) ? cmd_cell(t, "%.*s", STR_FMT(x))
			     : cmd_cell(t, "%.*s > %.*s", STR_FMT(x), STR_FMT(y));
		cmd_cell(t, "%lld > %lld", (long long)json_i64(a, "values", 0),
			(long long)json_i64(b, "values", 0));
		numbers ? cmd_cell(t, "%.4g > %.4g", m, k) : cmd_cell(t, "%s", "");
		yyjson_is_num(shift) ? cmd_cell(t, "%+.2f", yyjson_get_num(shift))
				     : cmd_cell(t, "%s", "");
		cmd_cell(t, "%lld", (long long)json_i64(c, "changed", 0));
	}
	cmd_table_end(t);
	if (shown > COLUMNS_SHOWN)
		cmd_outf(cmd, "  more columns differ: --json lists them\n");
}

static void print_rows(struct cmd *cmd, yyjson_val *root, bool details)
{
	yyjson_val *rows = yyjson_obj_get(root, "rows"), *r;
	struct str key = json_str(root, "key");
	size_t i, n;
	int64_t all = json_i64(root, "added", 0) + json_i64(root, "removed", 0) +
		      json_i64(root, "changed", 0);
	cmd_outf(cmd, "  rows: %lld added, %lld removed, %lld changed, %lld the same",
		(long long)json_i64(root, "added", 0), (long long)json_i64(root, "removed", 0),
		(long long)json_i64(root, "changed", 0), (long long)json_i64(root, "same", 0));
	key.n ? cmd_outf(cmd, " (by %.*s)\n", STR_FMT(key)) : cmd_outf(cmd, " (no key)\n");
	if (json_bool(root, "cut", false))
		cmd_outf(cmd, "  only the beginning of the files was compared\n");
	if (!details)
		return;
	yyjson_arr_foreach(rows, i, n, r)
	{
		const char *style, *sign = mark(cmd, json_str(r, "change"), &style);
		cmd_outf(cmd, "  %s%s %.*s%s\n", style, sign, STR_FMT(json_str(r, "row")),
			cmd_style(cmd, "reset"));
	}
	if (all > (int64_t)yyjson_arr_size(rows))
		cmd_outf(cmd, "  and %lld more\n",
			(long long)(all - (int64_t)yyjson_arr_size(rows)));
	print_columns(cmd, yyjson_obj_get(root, "columns"));
}

/* A file that cannot be read as rows is no failure of the comparison: it says why. */
static enum err compare_rows(struct cmd *cmd, struct str before, struct str after, struct str path,
	const struct diff_options *o, struct errtext *et)
{
	struct buf url = {0}, body = {0};
	yyjson_doc *doc = NULL;
	bool list = str_eq_c(path, "documents.jsonl"); /* of a document set */
	buf_addf(&url, "/api/v1/trees/%.*s/rows/%.*s?path=", STR_FMT(before), STR_FMT(after));
	url_encode(&url, path);
	if (o->key.n) {
		buf_addc(&url, "&key=");
		url_encode(&url, o->key);
	}
	enum err e = cmd_call(cmd, HTTP_GET, buf_c(&url), (struct str){0}, &body, et);
	if (!e)
		e = json_parse(buf_str(&body), &doc, et);
	if (!e) {
		print_rows(cmd, yyjson_doc_get_root(doc), o->rows || list);
	} else if (e == ERR_INVALID && !o->key.n) {
		cmd_outf(cmd, "  rows: %s\n", err_text(e, et));
		e = OK;
	}
	yyjson_doc_free(doc);
	buf_free(&url);
	buf_free(&body);
	return e;
}

enum err tree_print_diff(struct cmd *cmd, struct str before, struct str after,
	const struct diff_options *o, struct errtext *et)
{
	struct buf path = {0}, body = {0};
	yyjson_doc *doc = NULL;
	yyjson_val *v;
	size_t i, n, compared = 0;
	char shared[24], fresh[24];
	if (!tree_digest_ok(before) || !tree_digest_ok(after) || str_eq(before, after))
		return OK;
	buf_addf(&path, "/api/v1/trees/%.*s/diff/%.*s", STR_FMT(before), STR_FMT(after));
	enum err e = cmd_call(cmd, HTTP_GET, buf_c(&path), (struct str){0}, &body, et);
	if (e == ERR_NOT_FOUND)
		e = OK; /* digests of something that is kept elsewhere */
	else if (!e)
		e = json_parse(buf_str(&body), &doc, et);
	yyjson_val *root = doc ? yyjson_doc_get_root(doc) : NULL;
	yyjson_arr_foreach(yyjson_obj_get(root, "files"), i, n, v)
	{
		struct str file = json_str(v, "path");
		print_delta(cmd, v);
		if (e || !str_eq_c(json_str(v, "change"), "changed") ||
			rows_format_of(file) == ROWS_NONE)
			continue;
		if (compared++ == ROWS_FILES_MAX)
			cmd_outf(cmd, "  the rows of more files are not compared\n");
		else if (compared <= ROWS_FILES_MAX)
			e = compare_rows(cmd, before, after, file, o, et);
	}
	if (root && !e) {
		size_text(json_i64(root, "shared", 0), shared);
		size_text(json_i64(root, "fresh", 0), fresh);
		int64_t same = json_i64(root, "same", 0);
		cmd_outf(cmd, "%lld file%s the same; %s shared, %s new\n", (long long)same,
			same == 1 ? " is" : "s are", shared, fresh);
	}
	yyjson_doc_free(doc);
	buf_free(&path);
	buf_free(&body);
	return e;
}
