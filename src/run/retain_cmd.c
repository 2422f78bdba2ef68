/* `croft retention` and holds of runs. */
#include "base/json.h"
#include "module/cmd.h"
#include "run/retain_int.h"

static enum err call(struct cmd *cmd, enum http_method method, const char *path, struct str json,
	struct buf *body, yyjson_doc **doc, struct errtext *et)
{
	enum err e = cmd_call(cmd, method, path, json, body, et);
	return e ? e : json_parse(buf_str(body), doc, et);
}

static void number_cell(struct cmd_table *t, yyjson_val *policy, int field)
{
	yyjson_val *v = yyjson_obj_get(policy, retain_fields[field]);
	if (!yyjson_is_int(v))
		cmd_cell(t, "-");
	else if (field != RETAIN_LEVEL && !yyjson_get_sint(v))
		cmd_cell(t, "never");
	else
		cmd_cell(t, "%lld", (long long)yyjson_get_sint(v));
}

static void policy_cells(struct cmd_table *t, const char *of, yyjson_val *policy)
{
	cmd_cell(t, "%s", of);
	for (int i = 0; i < RETAIN_FIELDS; i++)
		number_cell(t, policy, i);
}

static enum err retention_show(struct cmd *cmd, struct errtext *et)
{
	static const char *const titles[] = {
		"OF", "DELETE AFTER", "PURGE AFTER", "ROLL UP AFTER", "LEVEL"};
	struct buf body = {0};
	yyjson_doc *doc = NULL;
	enum err e = call(cmd, HTTP_GET, "/api/v1/retention", (struct str){0}, &body, &doc, et);
	if (!e && cmd_json(cmd)) {
		cmd_outf(cmd, "%s\n", buf_c(&body));
	} else if (!e) {
		yyjson_val *root = yyjson_doc_get_root(doc), *x,
			   *list = yyjson_obj_get(root, "experiments");
		size_t i, n;
		struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
		policy_cells(t, "settings", yyjson_obj_get(root, "settings"));
		policy_cells(
			t, "project", yyjson_obj_get(yyjson_obj_get(root, "project"), "policy"));
		yyjson_arr_foreach(list, i, n, x)
		{
			struct buf of = {0};
			buf_addf(&of, "experiment %.*s", STR_FMT(json_str(x, "experiment")));
			policy_cells(t, buf_c(&of), yyjson_obj_get(x, "policy"));
			buf_free(&of);
		}
		cmd_table_end(t);
		cmd_note(cmd, "days; - means: as the row above it, experiments as the project");
	}
	yyjson_doc_free(doc);
	buf_free(&body);
	return e;
}

static enum err retention_set(struct cmd *cmd, struct errtext *et)
{
	static const char *const options[RETAIN_FIELDS] = {
		"delete-days", "purge-days", "rollup-days", "rollup-level"};
	struct buf json = {0}, body = {0};
	struct jw w = {.out = &json};
	enum err e = OK;
	bool any = false;
	jw_obj(&w);
	if (cmd_opt(cmd, "experiment").p)
		jw_kstr(&w, "experiment", cmd_opt(cmd, "experiment"));
	for (int i = 0; !e && i < RETAIN_FIELDS; i++) {
		struct str v = cmd_opt(cmd, options[i]);
		int64_t n;
		if (!v.p)
			continue;
		any = true;
		jw_key(&w, retain_fields[i]);
		if (str_eq_c(v, "inherit"))
			jw_null(&w);
		else if (str_eq_c(v, "never") && i != RETAIN_LEVEL)
			jw_i64(&w, 0);
		else if (str_i64(v, &n))
			jw_i64(&w, n);
		else
			e = err_set(et, ERR_INVALID, "--%s: a number, never or inherit is expected",
				options[i]);
	}
	jw_end(&w);
	if (!e && !any)
		e = err_set(et, ERR_INVALID, "say what to set: croft retention set --help");
	if (!e)
		e = cmd_call(cmd, HTTP_PUT, "/api/v1/retention", buf_str(&json), &body, et);
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&body));
	buf_free(&json);
	buf_free(&body);
	return e;
}

static void print_counts(struct cmd *cmd, yyjson_val *root, const char *would)
{
	yyjson_val *n = yyjson_obj_get(root, "counts");
	cmd_outf(cmd,
		"%sdeleted %lld, removed for good %lld, rolled up %lld (%lld points to %lld "
		"buckets)\n",
		would, (long long)json_i64(n, "delete", 0), (long long)json_i64(n, "purge", 0),
		(long long)json_i64(n, "roll_up", 0), (long long)json_i64(n, "points", 0),
		(long long)json_i64(n, "buckets", 0));
	if (json_i64(n, "kept", 0))
		cmd_outf(cmd, "%lld stay: on hold, or artifacts or lineage name them\n",
			(long long)json_i64(n, "kept", 0));
}

static void print_plan(struct cmd *cmd, yyjson_val *root)
{
	static const char *const titles[] = {"RUN", "ACTION", "SINCE", "POINTS", "NAME"};
	yyjson_val *runs = yyjson_obj_get(root, "runs"), *x;
	size_t i, n;
	struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
	yyjson_arr_foreach(runs, i, n, x)
	{
		bool kept = yyjson_is_str(yyjson_obj_get(x, "kept"));
		cmd_cell(t, "%.*s", STR_FMT(json_str(x, "id")));
		cmd_cell(t, "%s%.*s", kept ? "stays: " : "",
			STR_FMT(json_str(x, kept ? "kept" : "action")));
		cmd_cell(t, "%.*s", STR_FMT(str_sub(json_str(x, "since"), 0, 10)));
		cmd_cell(t, "%lld", (long long)json_i64(x, "points", 0));
		cmd_cell(t, "%.*s", STR_FMT(json_str(x, "name")));
	}
	cmd_table_end(t);
	print_counts(cmd, root, "would be: ");
	if (json_bool(root, "more", false))
		cmd_note(cmd, "there is more: only so many runs are looked at for a plan");
}

static enum err retention_plan(struct cmd *cmd, struct errtext *et)
{
	struct buf path = {0}, body = {0};
	yyjson_doc *doc = NULL;
	buf_addc(&path, "/api/v1/retention/plan");
	if (cmd_opt(cmd, "at").p) {
		buf_addc(&path, "?at=");
		url_encode(&path, cmd_opt(cmd, "at"));
	}
	enum err e = call(cmd, HTTP_GET, buf_c(&path), (struct str){0}, &body, &doc, et);
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&body));
	else if (!e)
		print_plan(cmd, yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	buf_free(&path);
	buf_free(&body);
	return e;
}

static enum err retention_run(struct cmd *cmd, struct errtext *et)
{
	struct buf body = {0};
	yyjson_doc *doc = NULL;
	enum err e = call(cmd, HTTP_POST, "/api/v1/retention/run", S("{}"), &body, &doc, et);
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&body));
	else if (!e)
		print_counts(cmd, yyjson_doc_get_root(doc), "");
	yyjson_doc_free(doc);
	buf_free(&body);
	return e;
}

/* ---- holds ---- */

static enum err hold_path(struct cmd *cmd, struct buf *path, struct errtext *et)
{
	if (cmd_n_args(cmd) != 1)
		return err_set(et, ERR_INVALID, "give the id of one run");
	buf_addc(path, "/api/v1/runs/");
	url_encode(path, cmd_arg(cmd, 0));
	buf_addc(path, "/hold");
	return OK;
}

static enum err runs_hold(struct cmd *cmd, struct errtext *et)
{
	struct buf path = {0}, json = {0}, body = {0};
	struct jw w = {.out = &json};
	enum err e = hold_path(cmd, &path, et);
	jw_obj(&w);
	if (cmd_opt(cmd, "reason").p)
		jw_kstr(&w, "reason", cmd_opt(cmd, "reason"));
	jw_end(&w);
	if (!e)
		e = cmd_call(cmd, HTTP_PUT, buf_c(&path), buf_str(&json), &body, et);
	if (!e)
		cmd_outf(cmd, cmd_json(cmd) ? "{\"held\":true}\n" : "on hold\n");
	buf_free(&path);
	buf_free(&json);
	buf_free(&body);
	return e;
}

static enum err runs_release(struct cmd *cmd, struct errtext *et)
{
	struct buf path = {0}, body = {0};
	enum err e = hold_path(cmd, &path, et);
	if (!e)
		e = cmd_call(cmd, HTTP_DELETE, buf_c(&path), (struct str){0}, &body, et);
	if (!e)
		cmd_outf(cmd, cmd_json(cmd) ? "{\"held\":false}\n" : "released\n");
	buf_free(&path);
	buf_free(&body);
	return e;
}

static enum err runs_holds(struct cmd *cmd, struct errtext *et)
{
	static const char *const titles[] = {"RUN", "SINCE", "WHO", "REASON"};
	struct buf body = {0};
	yyjson_doc *doc = NULL;
	enum err e =
		call(cmd, HTTP_GET, "/api/v1/retention/holds", (struct str){0}, &body, &doc, et);
	if (!e && cmd_json(cmd)) {
		cmd_outf(cmd, "%s\n", buf_c(&body));
	} else if (!e) {
		yyjson_val *list = yyjson_obj_get(yyjson_doc_get_root(doc), "holds"), *x;
		size_t i, n;
		struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
		yyjson_arr_foreach(list, i, n, x)
		{
			cmd_cell(t, "%.*s", STR_FMT(json_str(x, "run")));
			cmd_cell(t, "%.*s", STR_FMT(str_sub(json_str(x, "since"), 0, 10)));
			cmd_cell(t, "%.*s", STR_FMT(json_str(x, "who")));
			cmd_cell(t, "%.*s", STR_FMT(json_str(x, "reason")));
		}
		cmd_table_end(t);
	}
	yyjson_doc_free(doc);
	buf_free(&body);
	return e;
}

/* ---- the table ---- */

static const struct option set_options[] = {
	{"experiment", 'x', "NUMBER", "Of one experiment; without: of the project"},
	{"delete-days", 0, "N", "Delete ended runs after so many days; never; inherit"},
	{"purge-days", 0, "N", "Remove deleted runs for good after so many days; never; inherit"},
	{"rollup-days", 0, "N", "Roll up series of ended runs after so many days; never; inherit"},
	{"rollup-level", 0, "L", "1: 256 points in a bucket; 2: 65,536; 3: 16,777,216; inherit"},
};
static const struct option plan_options[] = {{"at", 0, "TIME", "As it would be at this time"}};
static const struct option hold_options[] = {{"reason", 0, "TEXT", "Why it must stay"}};

const struct command retain_commands[7] = {
	{"retention", retention_show, "", NULL, 0, "How long runs of experiments are kept", NULL},
	{"retention set", retention_set, "", set_options, ARRAY_LEN(set_options),
		"Set how long runs of experiments are kept", NULL},
	{"retention plan", retention_plan, "", plan_options, ARRAY_LEN(plan_options),
		"What the policies would do; changes nothing", NULL},
	{"retention run", retention_run, "", NULL, 0, "Carry the policies out now", NULL},
	{"runs hold", runs_hold, "RUN", hold_options, ARRAY_LEN(hold_options),
		"Put a run on hold: nothing removes it", NULL},
	{"runs release", runs_release, "RUN", NULL, 0, "Release a run from hold", NULL},
	{"runs holds", runs_holds, "", NULL, 0, "Runs that are on hold", NULL},
};
