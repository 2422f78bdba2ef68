/* croft collections set, recall, plan: what a collection is held to, what it reaches and takes. */
#include "collection/held.h"
#include "collection/wire.h"

const struct option collection_set_options[] = {
	{"recall-target", 0, "SHARE",
		"Recall that searches are to reach (0: as they are; default: "
		"the setting's)"},
	{"memory", 0, "BYTES", "Memory of its indexes: 512M, 2G (0: no limit; default)"},
};
const struct option collection_plan_options[] = {
	{"items", 'n', "N", "Items of an index, or more items of the collection that is named"},
	{"dim", 'd', "N", "Numbers of a vector"},
	{"distance", 0, "NAME", "Cosine (if nothing is said), Dot, Euclid or Manhattan"},
};

static void print_bytes(struct cmd *cmd, int64_t n)
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
	double v = (double)n;
	size_t u = 0;
	for (; v >= 1024 && u + 1 < ARRAY_LEN(units); u++)
		v /= 1024;
	cmd_outf(cmd, u ? "%.1f %s" : "%.0f %s", v, units[u]);
}

/* ---- set ---- */

/* "512M" */
static bool parse_bytes(struct str s, int64_t *out)
{
	static const char letters[] = "KMGT";
	int shift = 0;
	if (s.n && strchr(letters, s.p[s.n - 1] & ~0x20)) {
		shift = 10 * (int)(strchr(letters, s.p[s.n - 1] & ~0x20) - letters + 1);
		s.n--;
	}
	return str_i64(s, out) && *out >= 0 && *out < (int64_t)1 << (46 - shift) &&
	       (*out <<= shift, true);
}

static enum err set_body(struct cmd *cmd, struct buf *b, struct errtext *et)
{
	struct jw w = {.out = b};
	struct str recall = cmd_opt(cmd, "recall-target"), memory = cmd_opt(cmd, "memory");
	double target;
	int64_t bytes;
	jw_obj(&w);
	if (recall.p && str_eq_c(recall, "default")) {
		jw_key(&w, "recall_target");
		jw_null(&w);
	} else if (recall.p) {
		if (!str_f64(recall, &target))
			return err_set(et, ERR_INVALID, "--recall-target: 0.95, for instance");
		jw_kf64(&w, "recall_target", target);
	}
	if (memory.p && str_eq_c(memory, "default")) {
		jw_key(&w, "memory_bytes");
		jw_null(&w);
	} else if (memory.p) {
		if (!parse_bytes(memory, &bytes))
			return err_set(et, ERR_INVALID, "--memory: 512M or 2G, for instance");
		jw_ki64(&w, "memory_bytes", bytes);
	}
	jw_end(&w);
	return OK;
}

static void print_limits(struct cmd *cmd, yyjson_val *o)
{
	double target = json_f64(o, "recall_target", 0);
	int64_t bytes = json_i64(o, "memory_bytes", 0);
	cmd_outf(cmd, "  recall target ");
	if (target > 0)
		cmd_outf(cmd, "%g", target);
	else
		cmd_outf(cmd, "none");
	if (yyjson_obj_get(o, "memory_bytes")) {
		cmd_outf(cmd, ", memory ");
		if (bytes)
			print_bytes(cmd, bytes);
		else
			cmd_outf(cmd, "not limited");
	}
	cmd_outf(cmd, "\n");
}

enum err run_collections_set(struct cmd *cmd, struct errtext *et)
{
	struct buf body = {0}, out = {0};
	yyjson_doc *doc = NULL;
	enum err e = set_body(cmd, &body, et);
	e = e ? e : wire_call(cmd, HTTP_PATCH, "", buf_str(&body), &out, &doc, et);
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&out));
	else if (!e)
		print_limits(cmd, yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	buf_free(&body);
	buf_free(&out);
	return e;
}

/* ---- recall ---- */

/* What was measured: at the present effort, and at the steps beside it. */
static void print_measured(struct cmd *cmd, yyjson_val *of, const char *in)
{
	yyjson_val *now = yyjson_obj_get(of, "now"), *r = yyjson_obj_get(now, "recall"), *step;
	size_t i, n;
	cmd_outf(cmd, "effort %lld", (long long)json_i64(of, "ef", 0));
	if (!yyjson_is_obj(now)) {
		cmd_outf(cmd, ", nothing measured yet (%lld queries)\n",
			(long long)json_i64(of, "seen", 0));
		return;
	}
	cmd_outf(cmd, ", recall %s%.4f%s (%.4f to %.4f, %lld of %lld queries)\n",
		cmd_style(cmd, "bold"), json_f64(r, "mean", 0), cmd_style(cmd, "reset"),
		json_f64(r, "low", 0), json_f64(r, "high", 0),
		(long long)json_i64(now, "queries", 0), (long long)json_i64(of, "seen", 0));
	yyjson_arr_foreach(yyjson_obj_get(of, "steps"), i, n, step)
	{
		r = yyjson_obj_get(step, "recall");
		cmd_outf(cmd, "%seffort %-5lld %.4f (%.4f to %.4f)\n", in,
			(long long)json_i64(step, "ef", 0), json_f64(r, "mean", 0),
			json_f64(r, "low", 0), json_f64(r, "high", 0));
	}
}

static void print_recall(struct cmd *cmd, yyjson_val *s)
{
	yyjson_val *of;
	size_t i, n;
	struct str name = json_str(s, "name");
	cmd_outf(cmd, "  %s%.*s%s", name.n ? "" : "vectors", STR_FMT(name), name.n ? ": " : " ");
	if (str_eq_c(json_str(s, "graph"), "building")) {
		cmd_outf(cmd, "every search is exact; the graph is being made, %.0f %%\n",
			100 * yyjson_get_num(yyjson_obj_get(s, "graph_done")));
	} else if (json_bool(s, "exact", false)) {
		cmd_outf(cmd, "few items: every search is exact\n");
		return;
	}
	print_measured(cmd, s, "    ");
	yyjson_arr_foreach(yyjson_obj_get(s, "filtered"), i, n, of)
	{
		if (!json_i64(of, "seen", 0))
			continue;
		cmd_outf(cmd, "    with filters that %.0f to %.0f %% match:\n      ",
			100 * json_f64(of, "share_min", 0), 100 * json_f64(of, "share_max", 1));
		print_measured(cmd, of, "      ");
	}
}

enum err run_collections_recall(struct cmd *cmd, struct errtext *et)
{
	struct buf out = {0};
	yyjson_doc *doc = NULL;
	yyjson_val *s;
	size_t i, n;
	enum err e = wire_call(cmd, HTTP_GET, "/recall", (struct str){0}, &out, &doc, et);
	if (!e && cmd_json(cmd)) {
		cmd_outf(cmd, "%s\n", buf_c(&out));
	} else if (!e) {
		yyjson_val *o = yyjson_doc_get_root(doc);
		print_limits(cmd, o);
		yyjson_arr_foreach(yyjson_obj_get(o, "spaces"), i, n, s) print_recall(cmd, s);
	}
	yyjson_doc_free(doc);
	buf_free(&out);
	return e;
}

/* ---- plan ---- */

static void print_part(struct cmd *cmd, const char *what, yyjson_val *o, const char *key)
{
	int64_t n = json_i64(o, key, 0);
	cmd_outf(cmd, "    %-12s %15lld bytes, ", what, (long long)n);
	print_bytes(cmd, n);
	cmd_outf(cmd, "\n");
}

static void print_index(struct cmd *cmd, yyjson_val *o)
{
	print_part(cmd, "vectors", o, "vectors");
	print_part(cmd, "graph", o, "graph");
	print_part(cmd, "other", o, "other");
	print_part(cmd, "each search", o, "per_search");
}

static void print_fits(
	struct cmd *cmd, const char *of, int64_t total, int64_t limit, int64_t machine)
{
	cmd_outf(cmd, "  %s %lld bytes, ", of, (long long)total);
	print_bytes(cmd, total);
	cmd_outf(cmd, "; ");
	if (limit) {
		cmd_outf(cmd, "the limit is ");
		print_bytes(cmd, limit);
		cmd_outf(cmd, total > limit ? ": it does not fit" : ": it fits");
	} else {
		cmd_outf(cmd, "the machine has ");
		print_bytes(cmd, machine);
	}
	cmd_outf(cmd, "\n");
}

static enum err plan_one(struct cmd *cmd, struct buf *out, yyjson_doc **doc, struct errtext *et)
{
	struct buf url = {0};
	struct str n = cmd_opt(cmd, "items"), dim = cmd_opt(cmd, "dim"),
		   distance = cmd_opt(cmd, "distance");
	if (!n.n || !dim.n)
		return err_set(et, ERR_INVALID, "say --items N and --dim N, or name a collection");
	buf_addc(&url, "/api/v1/collection-plan?items=");
	url_encode(&url, n);
	buf_addc(&url, "&dim=");
	url_encode(&url, dim);
	buf_addc(&url, "&distance=");
	url_encode(&url, distance.n ? distance : S("Cosine"));
	enum err e = cmd_call(cmd, HTTP_GET, buf_c(&url), (struct str){0}, out, et);
	buf_free(&url);
	return e ? e : json_parse(buf_str(out), doc, et);
}

static void print_memory(struct cmd *cmd, yyjson_val *o)
{
	yyjson_val *s;
	size_t i, n;
	yyjson_arr_foreach(yyjson_obj_get(o, "spaces"), i, n, s)
	{
		struct str name = json_str(s, "name");
		cmd_outf(cmd, "  vectors %.*s\n", STR_FMT(name));
		print_index(cmd, s);
	}
	print_part(cmd, "payloads", o, "payloads");
	print_part(cmd, "ids", o, "ids");
	print_part(cmd, "words", o, "words");
	print_part(cmd, "other kinds", o, "other_vectors");
	print_fits(cmd, cmd_opt(cmd, "items").n ? "with that many more:" : "in all",
		json_i64(o, "total_with_more", 0), json_i64(o, "limit", 0),
		json_i64(o, "machine", 0));
}

enum err run_collections_plan(struct cmd *cmd, struct errtext *et)
{
	struct buf out = {0}, tail = {0};
	yyjson_doc *doc = NULL;
	bool named = cmd_n_args(cmd) > 0;
	buf_addc(&tail, "/memory?more=");
	url_encode(&tail, cmd_opt(cmd, "items").n ? cmd_opt(cmd, "items") : S("0"));
	enum err e = named ? wire_call(cmd, HTTP_GET, buf_c(&tail), (struct str){0}, &out, &doc, et)
			   : plan_one(cmd, &out, &doc, et);
	yyjson_val *o = yyjson_doc_get_root(doc);
	if (!e && cmd_json(cmd)) {
		cmd_outf(cmd, "%s\n", buf_c(&out));
	} else if (!e && named) {
		print_memory(cmd, o);
	} else if (!e) {
		print_index(cmd, o);
		print_fits(cmd, "in all", json_i64(o, "total", 0), json_i64(o, "limit", 0),
			json_i64(o, "machine", 0));
		cmd_outf(cmd, "  beside it ");
		print_bytes(cmd, json_i64(o, "stored", 0));
		cmd_outf(cmd, " in the database, and the payloads with their index\n");
	}
	yyjson_doc_free(doc);
	buf_free(&out);
	buf_free(&tail);
	return e;
}
