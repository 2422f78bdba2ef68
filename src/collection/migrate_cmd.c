/* croft collections migrate, croft migration: begin one, see how far it is, decide. */
#include "collection/migrate_int.h"
#include "collection/wire.h"

enum { FAILURES_SHOWN = 10 };

const struct option collection_migrate_options[] = {
	{"to", 0, "MODEL", "The model that is to make the vectors"},
	{"space", 0, "NAME", "Which vectors, when there are several kinds"},
	{"field", 0, "NAME", "Of the payloads: the text of items that were given none"},
	{"skip-without-text", 0, NULL, "Leave out items that have no text"},
	{"shadow", 0, "SHARE", "Of the queries that are answered in both spaces (0.2)"},
	{"plan", 0, NULL, "Only say what it would take"},
};
const struct option collection_migration_options[] = {
	{"id", 0, "ID", "Another than the newest"},
	{"skip-failed", 0, NULL, "Cut over without the items that could not be embedded"},
};

/* ---- begin ---- */

static enum err begin_body(struct cmd *cmd, struct buf *b, struct errtext *et)
{
	static const char *const texts[] = {"to", "space", "field"};
	struct jw w = {.out = b};
	double shadow = 0.2;
	struct str s = cmd_opt(cmd, "shadow");
	if (!cmd_opt(cmd, "to").n)
		return err_set(et, ERR_INVALID, "say --to MODEL; `croft models` lists them");
	if (s.p && !str_f64(s, &shadow))
		return err_set(et, ERR_INVALID, "--shadow must be a number from 0 to 1");
	jw_obj(&w);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (cmd_opt(cmd, texts[i]).n)
			jw_kstr(&w, texts[i], cmd_opt(cmd, texts[i]));
	jw_kf64(&w, "shadow", shadow);
	jw_kbool(&w, "skip_without_text", cmd_flag(cmd, "skip-without-text"));
	jw_kbool(&w, "plan", cmd_flag(cmd, "plan"));
	jw_end(&w);
	return b->err ? err_set(et, b->err, "no memory for a request") : OK;
}

static void print_plan(struct cmd *cmd, yyjson_val *p)
{
	struct str from = json_str(p, "from");
	double mib = 1 << 20;
	cmd_outf(cmd, "%lld items, %lld numbers (%.*s) -> %lld numbers (%.*s)\n",
		(long long)json_i64(p, "items", 0), (long long)json_i64(p, "from_size", 0),
		from.n ? (int)from.n : 13, from.n ? from.p : "brought along",
		(long long)json_i64(p, "to_size", 0), STR_FMT(cmd_opt(cmd, "to")));
	cmd_outf(cmd, "  texts that this model has embedded before: %lld\n",
		(long long)json_i64(p, "known", 0));
	if (json_i64(p, "without_text", 0))
		cmd_outf(cmd, "  without a text: %lld (%.*s)\n",
			(long long)json_i64(p, "without_text", 0),
			STR_FMT(json_str(p, "examples")));
	cmd_outf(cmd, "  memory: %.1f MiB for the index, %.1f MiB more until one is dropped\n",
		(double)json_i64(p, "index_bytes", 0) / mib,
		(double)json_i64(p, "other_index_bytes", 0) / mib);
	cmd_outf(cmd, "  database: %.1f MiB more\n", (double)json_i64(p, "stored_bytes", 0) / mib);
}

enum err run_collections_migrate(struct cmd *cmd, struct errtext *et)
{
	struct buf body = {0}, out = {0};
	yyjson_doc *doc = NULL;
	enum err e = begin_body(cmd, &body, et);
	e = e ? e : wire_call(cmd, HTTP_POST, "/migrations", buf_str(&body), &out, &doc, et);
	if (!e && cmd_json(cmd)) {
		cmd_outf(cmd, "%s\n", buf_c(&out));
	} else if (!e) {
		print_plan(cmd, yyjson_obj_get(yyjson_doc_get_root(doc), "plan"));
		if (!cmd_flag(cmd, "plan"))
			cmd_outf(cmd, "It has begun%s: croft migration status %.*s\n",
				cmd_remote(cmd) ? "" : " (and goes on when a server is up)",
				STR_FMT(cmd_arg(cmd, 0)));
	}
	yyjson_doc_free(doc);
	buf_free(&body);
	buf_free(&out);
	return e;
}

/* ---- the state ---- */

static void print_failures(struct cmd *cmd, yyjson_val *list)
{
	yyjson_val *f;
	size_t i, n;
	yyjson_arr_foreach(list, i, n, f)
	{
		if (i == FAILURES_SHOWN) {
			cmd_outf(cmd, "    ... (--json lists more)\n");
			break;
		}
		cmd_outf(cmd, "    %.*s: %.*s\n", STR_FMT(json_str(f, "id")),
			STR_FMT(json_str(f, "reason")));
	}
}

static void print_interval(struct cmd *cmd, const char *name, yyjson_val *i)
{
	cmd_outf(cmd, "%s %.3f (%.3f to %.3f)", name, json_f64(i, "mean", 0), json_f64(i, "low", 0),
		json_f64(i, "high", 0));
}

static void print_agreement(struct cmd *cmd, yyjson_val *a)
{
	if (!yyjson_is_obj(a))
		return;
	cmd_outf(cmd, "  %lld queries were answered in both spaces:\n    ",
		(long long)json_i64(a, "queries", 0));
	print_interval(cmd, "overlap", yyjson_obj_get(a, "overlap"));
	print_interval(cmd, ", rank-biased", yyjson_obj_get(a, "rbo"));
	cmd_outf(cmd, "\n");
}

static void print_judged(struct cmd *cmd, yyjson_val *judged)
{
	yyjson_val *m;
	size_t i, n;
	if (!yyjson_is_obj(judged))
		return;
	cmd_outf(cmd, "  judged queries of %.*s (%lld):\n", STR_FMT(json_str(judged, "name")),
		(long long)json_i64(judged, "queries", 0));
	yyjson_arr_foreach(yyjson_obj_get(judged, "metrics"), i, n, m)
	{
		yyjson_val *d = yyjson_obj_get(m, "difference");
		cmd_outf(cmd, "    %-10.*s %.4f -> %.4f  %+.4f (%+.4f to %+.4f)\n",
			STR_FMT(json_str(m, "metric")),
			json_f64(yyjson_obj_get(m, "from"), "mean", 0),
			json_f64(yyjson_obj_get(m, "to"), "mean", 0), json_f64(d, "mean", 0),
			json_f64(d, "low", 0), json_f64(d, "high", 0));
	}
}

static void print_left(struct cmd *cmd, yyjson_val *m)
{
	double left = json_f64(m, "left_s", -1), rate = json_f64(m, "rate", 0);
	if (rate > 0)
		cmd_outf(cmd, ", %.0f a second", rate);
	if (left >= 0)
		cmd_outf(cmd, ", about %.0f %s left", left < 90 ? left : left / 60,
			left < 90 ? "s" : "min");
}

static void print_migration(struct cmd *cmd, yyjson_val *m)
{
	struct str from = json_str(m, "from"), space = json_str(m, "space"),
		   stalled = json_str(m, "stalled");
	int64_t lacking = json_i64(m, "failed", 0) + json_i64(m, "without_text", 0);
	cmd_outf(cmd, "%s%.*s%s  %s%.*s%.*s -> %.*s\n", cmd_style(cmd, "bold"),
		STR_FMT(json_str(m, "state")), cmd_style(cmd, "reset"), space.n ? "" : "",
		STR_FMT(space), from.n ? (int)from.n : 15, from.n ? from.p : " brought along ",
		STR_FMT(json_str(m, "to")));
	cmd_outf(cmd, "  %lld of %lld items", (long long)json_i64(m, "done", 0),
		(long long)json_i64(m, "total", 0));
	print_left(cmd, m);
	cmd_outf(cmd, "\n  %lld texts embedded, %lld were known\n",
		(long long)json_i64(m, "embedded", 0), (long long)json_i64(m, "known", 0));
	if (json_i64(m, "pending", 0))
		cmd_outf(cmd, "  %lld items that changed wait to be embedded\n",
			(long long)json_i64(m, "pending", 0));
	if (stalled.n)
		cmd_outf(cmd, "  %sit waits: %.*s%s\n", cmd_style(cmd, "yellow"), STR_FMT(stalled),
			cmd_style(cmd, "reset"));
	if (lacking)
		cmd_outf(cmd, "  %lld items have no vector in the other space:\n",
			(long long)lacking);
	print_failures(cmd, yyjson_obj_get(m, "failures"));
	print_agreement(cmd, yyjson_obj_get(m, "agreement"));
	print_judged(cmd, yyjson_obj_get(m, "judged"));
}

static enum err show(struct cmd *cmd, enum http_method method, const char *tail, struct str body,
	struct errtext *et)
{
	struct buf out = {0};
	struct str id = cmd_opt(cmd, "id");
	yyjson_doc *doc = NULL;
	yyjson_val *m;
	size_t i, n;
	enum err e = wire_call(cmd, method, tail, body, &out, &doc, et);
	yyjson_val *list = yyjson_obj_get(yyjson_doc_get_root(doc), "migrations");
	if (!e && cmd_json(cmd)) {
		cmd_outf(cmd, "%s\n", buf_c(&out));
	} else if (!e) {
		yyjson_arr_foreach(list, i, n, m) if (id.n ? str_eq(json_str(m, "id"), id) : !i)
			print_migration(cmd, m);
		if (!yyjson_arr_size(list))
			cmd_note(cmd,
				"There is none yet: croft collections migrate NAME --to MODEL");
	}
	yyjson_doc_free(doc);
	buf_free(&out);
	return e;
}

static enum err step(struct cmd *cmd, const char *tail, struct errtext *et)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	if (cmd_opt(cmd, "id").n)
		jw_kstr(&w, "id", cmd_opt(cmd, "id"));
	jw_kbool(&w, "skip_failed", cmd_flag(cmd, "skip-failed"));
	jw_end(&w);
	enum err e = show(cmd, HTTP_POST, tail, buf_str(&b), et);
	buf_free(&b);
	return e;
}

enum err run_migration_status(struct cmd *cmd, struct errtext *et)
{
	return show(cmd, HTTP_GET, "/migrations", (struct str){0}, et);
}

enum err run_migration_cutover(struct cmd *cmd, struct errtext *et)
{
	return step(cmd, "/migrations/cutover", et);
}

enum err run_migration_back(struct cmd *cmd, struct errtext *et)
{
	return step(cmd, "/migrations/back", et);
}

enum err run_migration_drop(struct cmd *cmd, struct errtext *et)
{
	return step(cmd, "/migrations/drop", et);
}

enum err run_migration_cancel(struct cmd *cmd, struct errtext *et)
{
	return step(cmd, "/migrations/cancel", et);
}
