/* `croft experiments`, `croft runs compare`, `croft runs delete`. */
#include "run/experiment.h"
#include "artifact/transfer.h"
#include "module/cmd.h"

#include <stdio.h>
#include <stdlib.h>

static enum err fetch(
	struct cmd *cmd, const char *path, struct buf *body, yyjson_doc **doc, struct errtext *et)
{
	enum err e = cmd_call(cmd, HTTP_GET, path, (struct str){0}, body, et);
	return e ? e : json_parse(buf_str(body), doc, et);
}

static void passed(struct cmd *cmd, struct buf *path, const char *option, const char *name)
{
	struct str v = cmd_opt(cmd, option);
	if (!v.p)
		return;
	buf_addf(path, "%c%s=", strchr(buf_c(path), '?') ? '&' : '?', name);
	url_encode(path, v);
}

static void time_cell(struct cmd_table *t, struct str at)
{
	cmd_cell(t, "%.*s %.*s", STR_FMT(str_sub(at, 0, 10)), STR_FMT(str_sub(at, 11, 16)));
}

/* ---- experiments ---- */

static enum err experiments_list(struct cmd *cmd, struct errtext *et)
{
	static const char *const titles[] = {"ID", "UPDATED (UTC)", "NAME"};
	struct buf path = {0}, body = {0};
	yyjson_doc *doc = NULL;
	buf_addc(&path, "/api/v1/experiments");
	passed(cmd, &path, "filter", "filter");
	passed(cmd, &path, "limit", "limit");
	if (cmd_flag(cmd, "deleted"))
		buf_addf(&path, "%cview=deleted", strchr(buf_c(&path), '?') ? '&' : '?');
	enum err e = fetch(cmd, buf_c(&path), &body, &doc, et);
	if (!e && cmd_json(cmd)) {
		cmd_outf(cmd, "%s\n", buf_c(&body));
	} else if (!e) {
		yyjson_val *list = yyjson_obj_get(yyjson_doc_get_root(doc), "experiments"), *x;
		size_t i, n;
		struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
		yyjson_arr_foreach(list, i, n, x)
		{
			cmd_cell(t, "%.*s", STR_FMT(json_str(x, "id")));
			time_cell(t, json_str(x, "updated"));
			cmd_cell(t, "%.*s", STR_FMT(json_str(x, "name")));
		}
		cmd_table_end(t);
	}
	yyjson_doc_free(doc);
	buf_free(&path);
	buf_free(&body);
	return e;
}

/* The number of an experiment that is named by its number or its name. */
static enum err experiment_of(struct cmd *cmd, struct str which, int64_t *out, struct errtext *et)
{
	struct buf path = {0}, body = {0};
	yyjson_doc *doc = NULL;
	if (str_i64(which, out))
		return OK;
	if (str_chr(which, '\'') != STR_NONE)
		return err_set(et, ERR_INVALID, "name the experiment by its number");
	buf_addc(&path, "/api/v1/experiments?view=all&filter=");
	struct buf filter = {0};
	buf_addf(&filter, "name = '%.*s'", STR_FMT(which));
	url_encode(&path, buf_str(&filter));
	enum err e = fetch(cmd, buf_c(&path), &body, &doc, et);
	yyjson_val *list = e ? NULL : yyjson_obj_get(yyjson_doc_get_root(doc), "experiments");
	if (!e && (!yyjson_arr_size(list) ||
			  !str_i64(json_str(yyjson_arr_get_first(list), "id"), out)))
		e = err_set(et, ERR_NOT_FOUND,
			"there is no experiment '%.*s'; croft experiments lists them",
			STR_FMT(str_sub(which, 0, 200)));
	yyjson_doc_free(doc);
	buf_free(&filter);
	buf_free(&path);
	buf_free(&body);
	return e;
}

static void number_cell(struct cmd_table *t, yyjson_val *metric)
{
	yyjson_val *v = yyjson_obj_get(metric, "value");
	if (yyjson_is_num(v))
		cmd_cell(t, "%.6g", yyjson_get_num(v));
	else
		cmd_cell(t, "%s", metric ? "NaN" : "");
}

/* Columns: id, start, status, name, and those that were asked for. */
static void print_runs(struct cmd *cmd, yyjson_val *runs)
{
	enum { COLUMNS_MAX = 12 };
	const char *titles[4 + COLUMNS_MAX] = {"ID", "STARTED (UTC)", "STATUS", "NAME"};
	char *names[COLUMNS_MAX];
	size_t n_names = 0, i, n;
	struct str rest = cmd_opt(cmd, "columns"), part;
	yyjson_val *r;
	while (rest.n && n_names < COLUMNS_MAX && str_next(&rest, ',', &part)) {
		names[n_names] = str_dup(str_trim(part));
		if (names[n_names])
			titles[4 + n_names] = names[n_names], n_names++;
	}
	struct cmd_table *t = cmd_table(cmd, titles, 4 + n_names);
	yyjson_arr_foreach(runs, i, n, r)
	{
		cmd_cell(t, "%.*s", STR_FMT(json_str(r, "id")));
		time_cell(t, json_str(r, "started"));
		cmd_cell(t, "%.*s", STR_FMT(json_str(r, "status")));
		cmd_cell(t, "%.*s", STR_FMT(json_str(r, "name")));
		for (size_t k = 0; k < n_names; k++) {
			struct str key = str_c(names[k]);
			const char *dot = strchr(names[k], '.');
			bool param = str_starts(key, S("params.")),
			     tag = str_starts(key, S("tags."));
			if (param || tag)
				cmd_cell(t, "%.*s",
					STR_FMT(json_str(
						yyjson_obj_get(r, param ? "params" : "tags"),
						dot + 1)));
			else
				number_cell(t, yyjson_obj_get(yyjson_obj_get(r, "metrics"),
						       str_starts(key, S("metrics.")) ? dot + 1
										      : names[k]));
		}
	}
	cmd_table_end(t);
	for (size_t k = 0; k < n_names; k++)
		free(names[k]);
}

static enum err experiments_runs(struct cmd *cmd, struct errtext *et)
{
	struct buf path = {0}, body = {0};
	yyjson_doc *doc = NULL;
	int64_t number = 0;
	if (cmd_n_args(cmd) != 1)
		return err_set(et, ERR_INVALID, "give the experiment's number or name");
	enum err e = experiment_of(cmd, cmd_arg(cmd, 0), &number, et);
	buf_addf(&path, "/api/v1/experiments/%lld/runs", (long long)number);
	passed(cmd, &path, "filter", "filter");
	passed(cmd, &path, "order-by", "order_by");
	passed(cmd, &path, "limit", "limit");
	if (!e)
		e = fetch(cmd, buf_c(&path), &body, &doc, et);
	if (!e && cmd_json(cmd)) {
		cmd_outf(cmd, "%s\n", buf_c(&body));
	} else if (!e) {
		yyjson_val *root = yyjson_doc_get_root(doc), *runs = yyjson_obj_get(root, "runs");
		print_runs(cmd, runs);
		if (json_str(root, "next").p)
			cmd_note(cmd, "%zu of %lld runs; --limit shows more", yyjson_arr_size(runs),
				(long long)json_i64(root, "total", 0));
	}
	yyjson_doc_free(doc);
	buf_free(&path);
	buf_free(&body);
	return e;
}

static enum err experiments_delete(struct cmd *cmd, struct errtext *et)
{
	struct buf path = {0}, body = {0};
	int64_t number = 0;
	if (cmd_n_args(cmd) != 1)
		return err_set(et, ERR_INVALID, "give the experiment's number or name");
	enum err e = experiment_of(cmd, cmd_arg(cmd, 0), &number, et);
	buf_addf(&path, "/api/v1/experiments/%lld%s", (long long)number,
		cmd_flag(cmd, "restore") ? "?restore=true" : "");
	if (!e)
		e = cmd_call(cmd, HTTP_DELETE, buf_c(&path), (struct str){0}, &body, et);
	buf_free(&path);
	buf_free(&body);
	return e;
}

static enum err experiments_purge(struct cmd *cmd, struct errtext *et)
{
	struct buf json = {0}, body = {0};
	yyjson_doc *doc = NULL;
	int64_t days = 30;
	struct str given = cmd_opt(cmd, "days");
	if (given.p && !str_i64(given, &days))
		return err_set(et, ERR_INVALID, "--days: a number is expected");
	buf_addf(&json, "{\"days\":%lld}", (long long)days);
	enum err e =
		cmd_call(cmd, HTTP_POST, "/api/v1/experiments/purge", buf_str(&json), &body, et);
	if (!e)
		e = json_parse(buf_str(&body), &doc, et);
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&body));
	else if (!e)
		cmd_outf(cmd, "%lld runs and %lld experiments removed\n",
			(long long)json_i64(yyjson_doc_get_root(doc), "runs", 0),
			(long long)json_i64(yyjson_doc_get_root(doc), "experiments", 0));
	int64_t kept = e ? 0 : json_i64(yyjson_doc_get_root(doc), "kept", 0);
	if (kept)
		cmd_note(cmd, "%lld runs stay: on hold, or artifacts or lineage name them",
			(long long)kept);
	yyjson_doc_free(doc);
	buf_free(&json);
	buf_free(&body);
	return e;
}

/* ---- runs ---- */

static void print_section(struct cmd *cmd, yyjson_val *root, const char *name, size_t n_runs)
{
	yyjson_val *rows = yyjson_obj_get(root, name), *row;
	size_t i, n;
	if (!yyjson_arr_size(rows))
		return;
	const char *titles[12] = {name};
	char numbers[11][8];
	size_t shown = MIN(n_runs, (size_t)11);
	for (size_t k = 0; k < shown; k++) {
		snprintf(numbers[k], sizeof numbers[k], "(%zu)", k + 1);
		titles[k + 1] = numbers[k];
	}
	cmd_outf(cmd, "\n");
	struct cmd_table *t = cmd_table(cmd, titles, shown + 1);
	yyjson_arr_foreach(rows, i, n, row)
	{
		yyjson_val *values = yyjson_obj_get(row, "values");
		cmd_cell(t, "%.*s", STR_FMT(json_str(row, "key")));
		for (size_t k = 0; k < shown; k++) {
			yyjson_val *v = yyjson_arr_get(values, k);
			if (yyjson_is_num(v))
				cmd_cell(t, "%.6g", yyjson_get_num(v));
			else
				cmd_cell(t, "%.*s", STR_FMT(json_val_str(v)));
		}
	}
	cmd_table_end(t);
}

/* ---- two runs: code, environment, data ---- */

static void print_change(struct cmd *cmd, const char *what, struct str a, struct str b)
{
	if (str_eq(a, b))
		return;
	cmd_outf(cmd, "%s\n  %s- %.*s%s\n  %s+ %.*s%s\n", what, cmd_style(cmd, "red"), STR_FMT(a),
		cmd_style(cmd, "reset"), cmd_style(cmd, "green"), STR_FMT(b),
		cmd_style(cmd, "reset"));
}

static void print_code(struct cmd *cmd, yyjson_val *root)
{
	static const char *const names[] = {"command", "seed", "commit", "branch"};
	yyjson_val *code = yyjson_obj_get(root, "code"), *a = yyjson_obj_get(code, "before"),
		   *b = yyjson_obj_get(code, "after"), *line;
	size_t i, n;
	if (yyjson_is_obj(a) && yyjson_is_obj(b)) {
		cmd_outf(cmd, "\n");
		for (i = 0; i < ARRAY_LEN(names); i++)
			print_change(cmd, names[i], json_str(a, names[i]), json_str(b, names[i]));
		struct str x = json_str(a, "patch"), y = json_str(b, "patch");
		if (!str_eq(x, y))
			cmd_outf(cmd, "what was not committed differs (croft/code.patch)\n");
	}
	yyjson_arr_foreach(yyjson_obj_get(root, "environment"), i, n, line)
	{
		if (!i)
			cmd_outf(cmd, "environment\n");
		cmd_outf(cmd, "  %.*s\n", STR_FMT(json_val_str(line)));
	}
}

static void print_side(struct cmd *cmd, const char *sign, yyjson_val *item)
{
	if (!yyjson_is_obj(item))
		return;
	cmd_outf(cmd, " %s %.*s%s", sign, STR_FMT(json_str(item, "label")),
		json_bool(item, "deleted", false) ? " (deleted)" : "");
}

static enum err print_data(struct cmd *cmd, yyjson_val *root, const char *key, bool all,
	const struct diff_options *o, struct errtext *et)
{
	yyjson_val *x;
	size_t i, n, shown = 0;
	enum err e = OK;
	yyjson_arr_foreach(yyjson_obj_get(root, key), i, n, x)
	{
		struct str change = json_str(x, "change");
		yyjson_val *a = yyjson_obj_get(x, "before"), *b = yyjson_obj_get(x, "after");
		bool same = str_eq_c(change, "same");
		if (e || (same && !all))
			continue;
		if (!shown++)
			cmd_outf(cmd, "\n%s\n", key);
		cmd_outf(cmd, "%s%.*s%s  %.*s:", cmd_style(cmd, "bold"),
			STR_FMT(json_str(x, "name")), cmd_style(cmd, "reset"), STR_FMT(change));
		print_side(cmd, same ? "" : "-", a);
		if (!same)
			print_side(cmd, "+", b);
		cmd_outf(cmd, "\n");
		if (str_eq_c(change, "changed") && yyjson_obj_get(x, "files"))
			e = tree_print_diff(cmd, json_str(a, "tree"), json_str(b, "tree"), o, et);
	}
	return e;
}

static enum err fetch_diff(struct cmd *cmd, struct buf *body, yyjson_doc **doc, struct errtext *et)
{
	struct buf path = {0};
	buf_addc(&path, "/api/v1/runs/");
	url_encode(&path, cmd_arg(cmd, 0));
	buf_addc(&path, "/diff/");
	url_encode(&path, cmd_arg(cmd, 1));
	enum err e = fetch(cmd, buf_c(&path), body, doc, et);
	buf_free(&path);
	return e;
}

/* What was asked for, and of two runs their difference as its member "diff". */
static enum err compare_json(struct cmd *cmd, struct str compared, struct errtext *et)
{
	struct buf body = {0};
	yyjson_doc *doc = NULL;
	compared = str_trim(compared);
	enum err e = cmd_n_args(cmd) == 2 ? fetch_diff(cmd, &body, &doc, et) : OK;
	if (!e && body.n)
		cmd_outf(cmd, "%.*s,\"diff\":%s}\n", (int)compared.n - 1, compared.p, buf_c(&body));
	else if (!e)
		cmd_outf(cmd, "%.*s\n", STR_FMT(compared));
	yyjson_doc_free(doc);
	buf_free(&body);
	return e;
}

static enum err compare_two(struct cmd *cmd, struct errtext *et)
{
	struct buf body = {0};
	yyjson_doc *doc = NULL;
	const struct diff_options o = {cmd_flag(cmd, "rows"), cmd_opt(cmd, "key")};
	enum err e = fetch_diff(cmd, &body, &doc, et);
	yyjson_val *root = e ? NULL : yyjson_doc_get_root(doc);
	bool all = cmd_flag(cmd, "all");
	if (!e)
		print_code(cmd, root);
	if (!e)
		e = print_data(cmd, root, "inputs", all, &o, et);
	if (!e)
		e = print_data(cmd, root, "outputs", all, &o, et);
	yyjson_doc_free(doc);
	buf_free(&body);
	return e;
}

static enum err runs_compare(struct cmd *cmd, struct errtext *et)
{
	struct buf path = {0}, body = {0};
	yyjson_doc *doc = NULL;
	if (cmd_n_args(cmd) < 2)
		return err_set(et, ERR_INVALID, "give the ids of two runs or more");
	buf_addc(&path, "/api/v1/runs/compare?ids=");
	for (size_t i = 0; i < cmd_n_args(cmd); i++) {
		if (i)
			buf_putc(&path, ',');
		url_encode(&path, cmd_arg(cmd, i));
	}
	if (!cmd_flag(cmd, "all"))
		buf_addc(&path, "&differing=true");
	enum err e = fetch(cmd, buf_c(&path), &body, &doc, et);
	if (!e && cmd_json(cmd)) {
		e = compare_json(cmd, buf_str(&body), et);
	} else if (!e) {
		yyjson_val *root = yyjson_doc_get_root(doc), *runs = yyjson_obj_get(root, "runs"),
			   *r;
		size_t i, n;
		yyjson_arr_foreach(runs, i, n, r) cmd_outf(cmd, "(%zu) %.*s  %.*s\n", i + 1,
			STR_FMT(json_str(r, "id")), STR_FMT(json_str(r, "name")));
		print_section(cmd, root, "params", n);
		print_section(cmd, root, "metrics", n);
		print_section(cmd, root, "tags", n);
		if (n == 2)
			e = compare_two(cmd, et);
		if (!e && n == 2 && cmd_flag(cmd, "code"))
			e = runs_code_diff(cmd, cmd_arg(cmd, 0), cmd_arg(cmd, 1), et);
	}
	yyjson_doc_free(doc);
	buf_free(&path);
	buf_free(&body);
	return e;
}

static enum err runs_delete(struct cmd *cmd, struct errtext *et)
{
	enum err e = OK;
	if (!cmd_n_args(cmd))
		return err_set(et, ERR_INVALID, "give the id of a run");
	for (size_t i = 0; i < cmd_n_args(cmd) && !e; i++) {
		struct buf path = {0}, body = {0};
		buf_addc(&path, "/api/v1/runs/");
		url_encode(&path, cmd_arg(cmd, i));
		buf_addc(&path, cmd_flag(cmd, "restore") ? "?restore=true" : "");
		e = cmd_call(cmd, HTTP_DELETE, buf_c(&path), (struct str){0}, &body, et);
		buf_free(&path);
		buf_free(&body);
	}
	return e;
}

static enum err runs_chart(struct cmd *cmd, struct errtext *et)
{
	static const char *const titles[] = {"FROM", "TO", "POINTS", "MIN", "MAX", "MEAN", "LAST"};
	struct buf path = {0}, body = {0};
	yyjson_doc *doc = NULL;
	if (cmd_n_args(cmd) != 2)
		return err_set(et, ERR_INVALID, "give the id of a run and the name of a metric");
	buf_addc(&path, "/api/v1/runs/");
	url_encode(&path, cmd_arg(cmd, 0));
	buf_addc(&path, "/metrics/");
	url_encode(&path, cmd_arg(cmd, 1));
	buf_addf(&path, "?x=%s", cmd_flag(cmd, "time") ? "time" : "step");
	struct str points = cmd_opt(cmd, "points");
	buf_addf(&path, "&points=%.*s", points.p ? (int)points.n : 2, points.p ? points.p : "20");
	enum err e = fetch(cmd, buf_c(&path), &body, &doc, et);
	if (!e && cmd_json(cmd)) {
		cmd_outf(cmd, "%s\n", buf_c(&body));
	} else if (!e) {
		yyjson_val *list = yyjson_obj_get(yyjson_doc_get_root(doc), "buckets"), *row;
		size_t i, n;
		struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
		yyjson_arr_foreach(list, i, n, row) for (size_t k = 0; k < ARRAY_LEN(titles); k++)
		{
			yyjson_val *v = yyjson_arr_get(row, k);
			if (!yyjson_is_num(v))
				cmd_cell(t, "NaN");
			else if (k < 3)
				cmd_cell(t, "%.0f", yyjson_get_num(v));
			else
				cmd_cell(t, "%.6g", yyjson_get_num(v));
		}
		cmd_table_end(t);
		int64_t rolled = json_i64(yyjson_doc_get_root(doc), "rolled_up", 0);
		if (rolled)
			cmd_note(cmd, "%lld points are rolled up: buckets are as fine as they get",
				(long long)rolled);
	}
	yyjson_doc_free(doc);
	buf_free(&path);
	buf_free(&body);
	return e;
}

/* ---- rows ---- */

static const struct option list_options[] = {
	{"filter", 'f', "FILTER", "for instance: name LIKE 'churn%' AND tags.team = 'a'"},
	{"limit", 'n', "N", "how many (100)"}, {"deleted", 0, NULL, "those that were deleted"}};
static const struct option runs_options[] = {
	{"filter", 'f', "FILTER", "for instance: metrics.loss < 0.2 OR params.lr = '0.1'"},
	{"order-by", 'o', "KEY", "for instance: 'metrics.loss DESC'"},
	{"columns", 'c', "KEYS", "metrics, params.x, tags.x, separated by commas"},
	{"limit", 'n', "N", "how many (100)"}};
static const struct option restore_options[] = {
	{"restore", 0, NULL, "bring back what was deleted"}};
static const struct option purge_options[] = {
	{"days", 0, "N", "what was deleted so many days ago or longer (30)"}};
static const struct option compare_options[] = {{"all", 'a', NULL, "also what is equal"},
	{"code", 0, NULL, "of two runs: the code as a patch, from the repository that it ran in"},
	{"rows", 0, NULL, "of two runs' data: which rows, and the figures of columns"},
	{"key", 'k', "COLUMN", "the column that names a row"}};
static const struct option chart_options[] = {{"points", 'n', "N", "at most so many rows (20)"},
	{"time", 't', NULL, "by time, not step"}};

const struct command experiment_commands[7] = {
	{"experiments", experiments_list, "", list_options, ARRAY_LEN(list_options),
		"List experiments", NULL},
	{"experiments runs", experiments_runs, "EXPERIMENT", runs_options, ARRAY_LEN(runs_options),
		"Search the runs of an experiment",
		"  croft experiments runs churn -f \"metrics.auc > 0.8\" -o 'metrics.auc DESC' \\\n"
		"      -c auc,params.depth"},
	{"experiments delete", experiments_delete, "EXPERIMENT", restore_options,
		ARRAY_LEN(restore_options), "Delete an experiment with its runs, or restore it",
		NULL},
	{"experiments purge", experiments_purge, "", purge_options, ARRAY_LEN(purge_options),
		"Remove for good what was deleted, with its files", NULL},
	{"runs compare", runs_compare, "RUN RUN...", compare_options, ARRAY_LEN(compare_options),
		"Compare runs of experiments: what differs",
		"Parameters, metrics and tags; of two runs also code, environment and data: which "
		"versions and files they used and produced, and of CSV and JSON lines how many "
		"rows "
		"differ.\n\n"
		"Example:\n  croft runs compare 0193e7c2a5b07d1c8f3f0a4b5c6d7e8f "
		"0193e7c9b6c17d2c9f4f1b5c6d7e8f90 --rows"},
	{"runs chart", runs_chart, "RUN METRIC", chart_options, ARRAY_LEN(chart_options),
		"A metric in buckets: smallest, largest, mean, last", NULL},
	{"runs delete", runs_delete, "RUN...", restore_options, ARRAY_LEN(restore_options),
		"Delete runs of experiments, or restore them", NULL},
};
