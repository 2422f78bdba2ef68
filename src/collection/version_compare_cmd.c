/* croft collections diff and merge. */
#include "collection/version_int.h"
#include "collection/wire.h"

#include <math.h>

enum { BAR = 30 };

const struct option collection_diff_options[] = {
	{"number", 'n', "N", "How many of the items are listed (20)"},
	{"change", 0, "WHICH", "Only added, removed, moved or changed ones (with commas: several)"},
	{"farthest", 0, NULL, "Those that moved farthest first"},
	{"payloads", 0, NULL, "With their payloads, before and after"},
};
const struct option collection_merge_options[] = {
	{"message", 'm', "TEXT", "Why"},
	{"ours", 0, NULL, "Where both have changed a field, keep what is here"},
	{"theirs", 0, NULL, "Where both have changed a field, take theirs"},
	{"take", 0, "JSON",
		"For items or fields: {\"ID\": \"ours\"} or {\"ID\": {FIELD: \"ours\"}}"},
	{"dry-run", 0, NULL, "Only say what would happen"},
	{"number", 'n', "N", "How many of the conflicts are listed (20)"},
};

static void text_of(yyjson_val *v, struct buf *out)
{
	struct jw w = {.out = out};
	if (yyjson_is_str(v))
		buf_adds(out, json_val_str(v));
	else
		jw_val(&w, v);
}

/* ---- diff ---- */

static enum err diff_tail(struct cmd *cmd, struct buf *tail, struct errtext *et)
{
	static const char *const ends[] = {"from", "to"};
	struct str n = cmd_opt(cmd, "number"), change = cmd_opt(cmd, "change");
	if (cmd_n_args(cmd) > 3)
		return err_set(et, ERR_INVALID, "name the collection and at most two versions");
	buf_addf(tail, "/diff?limit=");
	url_encode(tail, n.n ? n : S("20"));
	for (size_t i = 1; i < cmd_n_args(cmd); i++) {
		buf_addf(tail, "&%s=", ends[i - 1]);
		url_encode(tail, cmd_arg(cmd, i));
	}
	if (change.n) {
		buf_addc(tail, "&change=");
		url_encode(tail, change);
	}
	if (cmd_flag(cmd, "farthest"))
		buf_addc(tail, "&sort=distance");
	if (cmd_flag(cmd, "payloads"))
		buf_addc(tail, "&payloads=true");
	return OK;
}

static void print_histogram(struct cmd *cmd, yyjson_val *d)
{
	yyjson_val *edges = yyjson_obj_get(d, "edges"), *items = yyjson_obj_get(d, "items");
	double most = 1;
	size_t n = yyjson_arr_size(items);
	for (size_t i = 0; i < n; i++)
		most = fmax(most, yyjson_get_num(yyjson_arr_get(items, i)));
	for (size_t i = 0; i < n; i++) {
		double count = yyjson_get_num(yyjson_arr_get(items, i));
		int bar = (int)ceil(count / most * BAR);
		if (count > 0)
			cmd_outf(cmd, "  %5g to %-5g %8.0f %.*s\n",
				yyjson_get_num(yyjson_arr_get(edges, i)),
				yyjson_get_num(yyjson_arr_get(edges, i + 1)), count, bar,
				"##############################");
	}
}

static void print_summary(struct cmd *cmd, yyjson_val *o)
{
	yyjson_val *s = yyjson_obj_get(o, "summary"), *d = yyjson_obj_get(s, "distance"),
		   *from = yyjson_obj_get(o, "from"), *to = yyjson_obj_get(o, "to");
	cmd_outf(cmd, "%.*s (%lld items) to %.*s (%lld items)\n",
		STR_FMT(json_str(from, "version")), (long long)json_i64(from, "items", 0),
		STR_FMT(json_str(to, "version")), (long long)json_i64(to, "items", 0));
	cmd_outf(cmd, "  %lld added, %lld removed, %lld moved, %lld changed, %lld the same\n",
		(long long)json_i64(s, "added", 0), (long long)json_i64(s, "removed", 0),
		(long long)json_i64(s, "moved", 0), (long long)json_i64(s, "changed", 0),
		(long long)json_i64(s, "same", 0));
	if (json_i64(d, "measured", 0)) {
		cmd_outf(cmd,
			"  cosine distance: mean %.4f, median %.4f, 95 %% below %.4f, most %.4f\n",
			json_f64(d, "mean", 0), json_f64(d, "median", 0), json_f64(d, "p95", 0),
			json_f64(d, "max", 0));
		print_histogram(cmd, d);
	}
}

static void print_payload(struct cmd *cmd, yyjson_val *item, const char *key, const char *sign)
{
	struct buf b = {0};
	yyjson_val *v = yyjson_obj_get(item, key);
	if (v && !yyjson_is_null(v)) {
		text_of(v, &b);
		cmd_outf(cmd, "    %s %s\n", sign, buf_c(&b));
	}
	buf_free(&b);
}

static void print_deltas(struct cmd *cmd, yyjson_val *o)
{
	yyjson_val *items = yyjson_obj_get(o, "items"), *v, *far;
	size_t i, n;
	yyjson_arr_foreach(items, i, n, v)
	{
		struct buf id = {0};
		text_of(yyjson_obj_get(v, "id"), &id);
		far = yyjson_obj_get(v, "distance");
		cmd_outf(cmd, "%-8.*s %s", STR_FMT(json_str(v, "change")), buf_c(&id));
		if (yyjson_is_num(far))
			cmd_outf(cmd, "  by %.4f%s", yyjson_get_num(far),
				json_bool(v, "payload", false) ? ", and its payload" : "");
		cmd_outf(cmd, "\n");
		print_payload(cmd, v, "before", "-");
		print_payload(cmd, v, "after", "+");
		buf_free(&id);
	}
	far = yyjson_obj_get(o, "next");
	if (yyjson_arr_size(items) && far && !yyjson_is_null(far))
		cmd_note(cmd, "There are more: -n N lists up to 1000 of them");
}

enum err run_collections_diff(struct cmd *cmd, struct errtext *et)
{
	struct buf reply = {0}, tail = {0};
	yyjson_doc *doc = NULL;
	enum err e = diff_tail(cmd, &tail, et);
	e = e ? e : wire_call(cmd, HTTP_GET, buf_c(&tail), (struct str){0}, &reply, &doc, et);
	if (!e && cmd_json(cmd)) {
		cmd_outf(cmd, "%s\n", buf_c(&reply));
	} else if (!e) {
		print_summary(cmd, yyjson_doc_get_root(doc));
		print_deltas(cmd, yyjson_doc_get_root(doc));
	}
	yyjson_doc_free(doc);
	buf_free(&reply);
	buf_free(&tail);
	return e;
}

/* ---- merge ---- */

static enum err merge_body(struct cmd *cmd, struct buf *b, struct errtext *et)
{
	struct jw w = {.out = b};
	int64_t n = 20;
	if (cmd_n_args(cmd) != 2)
		return err_set(et, ERR_INVALID,
			"name the collection, and what is merged into it: another one, or a "
			"version (name:3)");
	if (cmd_flag(cmd, "ours") && cmd_flag(cmd, "theirs"))
		return err_set(et, ERR_INVALID, "either --ours or --theirs");
	if (cmd_opt(cmd, "number").n && !str_i64(cmd_opt(cmd, "number"), &n))
		return err_set(et, ERR_INVALID, "--number must be a number");
	jw_obj(&w);
	jw_kstr(&w, "from", cmd_arg(cmd, 1));
	if (cmd_flag(cmd, "ours") || cmd_flag(cmd, "theirs"))
		jw_kc(&w, "prefer", cmd_flag(cmd, "ours") ? "ours" : "theirs");
	if (cmd_opt(cmd, "message").n)
		jw_kstr(&w, "message", cmd_opt(cmd, "message"));
	if (cmd_opt(cmd, "take").n) {
		jw_key(&w, "resolve");
		jw_raw(&w, cmd_opt(cmd, "take"));
	}
	jw_kbool(&w, "dry_run", cmd_flag(cmd, "dry-run"));
	jw_ki64(&w, "limit", n);
	jw_end(&w);
	return OK;
}

/* What a side has there, or what it did. */
static void cell_of(struct cmd_table *t, yyjson_val *conflict, const char *side)
{
	enum { WIDE = 22 };
	yyjson_val *v = yyjson_obj_get(yyjson_obj_get(conflict, "values"), side);
	struct buf b = {0};
	if (v && !yyjson_is_null(v))
		text_of(v, &b);
	else
		buf_adds(&b, json_str(conflict, side));
	struct str s = buf_str(&b);
	size_t n = s.n <= WIDE ? s.n : utf8_complete_prefix(str_sub(s, 0, WIDE - 3));
	cmd_cell(t, "%.*s%s", (int)n, s.p, n < s.n ? "..." : "");
	buf_free(&b);
}

static void print_conflicts(struct cmd *cmd, yyjson_val *conflicts)
{
	static const char *const titles[] = {"ITEM", "FIELD", "OURS", "THEIRS"};
	yyjson_val *v;
	size_t i, n;
	struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
	yyjson_arr_foreach(yyjson_obj_get(conflicts, "items"), i, n, v)
	{
		struct buf id = {0};
		text_of(yyjson_obj_get(v, "id"), &id);
		struct str field = json_str(v, "field");
		cmd_cell(t, "%s", buf_c(&id));
		cmd_cell(t, "%.*s", STR_FMT(field.n ? field : S("(the item)")));
		cell_of(t, v, "ours");
		cell_of(t, v, "theirs");
		buf_free(&id);
	}
	cmd_table_end(t);
}

/* ERR_CONFLICT when nothing was merged because of conflicts. */
static enum err print_merge(struct cmd *cmd, yyjson_val *o, struct errtext *et)
{
	yyjson_val *conflicts = yyjson_obj_get(o, "conflicts"), *v = yyjson_obj_get(o, "version");
	long long n = (long long)json_i64(conflicts, "count", 0);
	struct str base = json_str(o, "base"), from = json_str(o, "from");
	bool merged = json_bool(o, "merged", false);
	if (json_bool(o, "nothing", false)) {
		cmd_outf(cmd, "%.*s has been merged already\n", STR_FMT(from));
		return OK;
	}
	if (json_i64(o, "kept", 0))
		cmd_outf(cmd, "what had changed is kept as version %lld\n",
			(long long)json_i64(o, "kept", 0));
	cmd_outf(cmd, "%.*s since %.*s: +%lld -%lld ~%lld, %lld conflicts resolved, %lld left\n",
		STR_FMT(from), STR_FMT(base.n ? base : S("the beginning")),
		(long long)json_i64(o, "added", 0), (long long)json_i64(o, "removed", 0),
		(long long)json_i64(o, "changed", 0), (long long)json_i64(conflicts, "resolved", 0),
		n);
	if (merged)
		cmd_outf(cmd, "version %lld: %lld items\n", (long long)json_i64(v, "version", 0),
			(long long)json_i64(v, "items", 0));
	if (n)
		print_conflicts(cmd, conflicts);
	return n && !cmd_flag(cmd, "dry-run")
		       ? err_set(et, ERR_CONFLICT,
				 "nothing was merged: say --ours, --theirs or --take for the "
				 "fields that both have changed")
		       : OK;
}

enum err run_collections_merge(struct cmd *cmd, struct errtext *et)
{
	struct buf body = {0}, reply = {0};
	yyjson_doc *doc = NULL;
	enum err e = merge_body(cmd, &body, et);
	e = e ? e : wire_call(cmd, HTTP_POST, "/merge", buf_str(&body), &reply, &doc, et);
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&reply));
	else if (!e)
		e = print_merge(cmd, yyjson_doc_get_root(doc), et);
	wire_note_filling(cmd, yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	buf_free(&body);
	buf_free(&reply);
	return e;
}
