/* croft collections map: make a map, show its clusters, write its points. */
#include "base/hash.h"
#include "base/os.h"
#include "collection/map_int.h"
#include "collection/wire.h"

#include <stdio.h>
#include <stdlib.h>

enum { SHOWN = 30 };

const struct option collection_map_options[] = {
	{"method", 'm', "NAME", "umap (if nothing is said) or pca"},
	{"dims", 'd', "N", "2 (if nothing is said) or 3 dimensions"},
	{"mode", 0, "NAME",
		"new, align (near the places of the last map), extend (only new items)"},
	{"space", 0, "NAME", "The vectors of this name"},
	{"label-field", 0, "NAME", "The field of the payload whose texts name the clusters (text)"},
	{"neighbours", 'k', "N", "How many each point is held by (15): fewer show detail"},
	{"min-dist", 0, "NUMBER", "How near points may come (0.1)"},
	{"seed", 0, "N", "The same seed gives the same map (0)"},
	{"filter", 'f', "JSON", "Only items that match, in the words of searches"},
	{"out", 'o', "FILE",
		"Write id, x, y (z), cluster and its label as CSV; - is standard output"},
};

static enum err body_of(struct cmd *cmd, struct buf *b, struct errtext *et)
{
	static const struct {
		const char *option, *key;
		enum { TEXT, NUMBER, OBJECT } type;
	} keys[] = {{"method", "method", TEXT}, {"mode", "mode", TEXT}, {"space", "space", TEXT},
		{"label-field", "label_field", TEXT}, {"filter", "filter", OBJECT},
		{"neighbours", "neighbours", NUMBER}, {"dims", "dims", NUMBER},
		{"min-dist", "min_dist", NUMBER}, {"seed", "seed", NUMBER}};
	struct jw w = {.out = b};
	enum err e = OK;
	jw_obj(&w);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		struct str s = cmd_opt(cmd, keys[i].option);
		int64_t whole;
		double d;
		if (!s.p)
			continue;
		if (keys[i].type == TEXT)
			jw_kstr(&w, keys[i].key, s);
		else if (keys[i].type == OBJECT)
			e = e ? e : wire_json(&w, keys[i].option, keys[i].key, s, et);
		else if (str_i64(s, &whole))
			jw_ki64(&w, keys[i].key, whole);
		else if (str_f64(s, &d))
			jw_kf64(&w, keys[i].key, d);
		else
			e = err_set(et, ERR_INVALID, "--%s must be a number", keys[i].option);
	}
	jw_end(&w);
	return e;
}

static void csv_cell(struct buf *out, struct str s)
{
	buf_putc(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"')
			buf_putc(out, '"');
		buf_putc(out, s.p[i]);
	}
	buf_putc(out, '"');
}

static struct str label_of(yyjson_val *clusters, int32_t number)
{
	yyjson_val *k;
	size_t i, n;
	yyjson_arr_foreach(clusters, i, n,
		k) if (json_i64(k, "number", -1) == number) return json_str(k, "label");
	return S("");
}

static enum err csv_of(yyjson_val *map, struct buf *out, struct errtext *et)
{
	yyjson_val *data = yyjson_obj_get(map, "data"), *ids = yyjson_obj_get(data, "ids"), *id;
	struct buf xy = {0}, cluster = {0};
	size_t i, n = yyjson_arr_size(ids), m;
	enum err e = OK;
	size_t dims = json_i64(map, "dims", 2) == 3 ? 3 : 2;
	if (!base64_decode(&xy, json_str(data, "xy")) ||
		!base64_decode(&cluster, json_str(data, "cluster")) || xy.n != n * 4 * dims ||
		cluster.n != n * 4)
		e = err_set(et, ERR_CORRUPT, "the server's map is no map");
	buf_addf(out, "id,x,y,%scluster,label\n", dims == 3 ? "z," : "");
	if (!e)
		yyjson_arr_foreach(ids, i, m, id)
		{
			float at[3];
			int32_t of;
			memcpy(at, xy.p + i * dims * sizeof *at, dims * sizeof *at);
			memcpy(&of, cluster.p + i * sizeof of, sizeof of);
			if (yyjson_is_str(id))
				csv_cell(out, json_val_str(id));
			else
				buf_addf(out, "%llu", (unsigned long long)yyjson_get_uint(id));
			for (size_t d = 0; d < dims; d++)
				buf_addf(out, ",%.9g", (double)at[d]);
			buf_addf(out, ",%d,", of);
			csv_cell(out, label_of(yyjson_obj_get(map, "clusters"), of));
			buf_putc(out, '\n');
		}
	buf_free(&xy);
	buf_free(&cluster);
	return e ? e : out->err ? err_set(et, out->err, "no memory for a file") : OK;
}

static enum err write_csv(struct cmd *cmd, yyjson_val *map, struct errtext *et)
{
	struct str path = cmd_opt(cmd, "out");
	struct buf out = {0}, name = {0};
	enum err e = csv_of(map, &out, et);
	buf_adds(&name, path);
	if (!e && str_eq_c(path, "-"))
		cmd_out(cmd, buf_str(&out));
	else if (!e)
		e = os_write_atomic(buf_c(&name), buf_str(&out), et);
	buf_free(&out);
	buf_free(&name);
	return e;
}

static void print_map(struct cmd *cmd, yyjson_val *m)
{
	static const char *const titles[] = {"CLUSTER", "ITEMS", "WORDS"};
	yyjson_val *k, *clusters = yyjson_obj_get(m, "clusters");
	size_t i, n;
	cmd_outf(cmd, "%lld items in %zu clusters, %lld in none; %s, change %lld, made in %.1f s\n",
		(long long)json_i64(m, "points", 0), yyjson_arr_size(clusters),
		(long long)json_i64(m, "noise", 0), json_str(m, "method").p,
		(long long)json_i64(m, "seq", 0), (double)json_i64(m, "took_ms", 0) / 1000);
	if (!yyjson_arr_size(clusters))
		return;
	struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
	yyjson_arr_foreach(clusters, i, n, k)
	{
		if (i == SHOWN)
			break;
		cmd_cell(t, "%lld", (long long)json_i64(k, "number", 0));
		cmd_cell(t, "%lld", (long long)json_i64(k, "size", 0));
		cmd_cell(t, "%.*s", STR_FMT(json_str(k, "label")));
	}
	cmd_table_end(t);
	if (n > SHOWN)
		cmd_note(cmd, "%zu smaller clusters are not shown; --json has all", n - SHOWN);
}

static enum err show(struct cmd *cmd, const char *url, struct errtext *et)
{
	struct buf reply = {0}, ask = {0};
	yyjson_doc *doc = NULL;
	bool file = cmd_opt(cmd, "out").n > 0;
	buf_addf(&ask, "%s%s", url, file ? "" : "?data=false");
	enum err e = cmd_call(cmd, HTTP_GET, buf_c(&ask), (struct str){0}, &reply, et);
	e = e ? e : json_parse(buf_str(&reply), &doc, et);
	yyjson_val *m = yyjson_obj_get(yyjson_doc_get_root(doc), "map");
	if (!e && !yyjson_is_obj(m))
		e = err_set(et, ERR_NOT_FOUND, "the map was deleted meanwhile");
	if (!e && file)
		e = write_csv(cmd, m, et);
	if (!e && cmd_json(cmd) && !file)
		cmd_outf(cmd, "%s\n", buf_c(&reply));
	else if (!e && !str_eq_c(cmd_opt(cmd, "out"), "-"))
		print_map(cmd, m);
	yyjson_doc_free(doc);
	buf_free(&reply);
	buf_free(&ask);
	return e;
}

enum err run_collections_map(struct cmd *cmd, struct errtext *et)
{
	struct buf body = {0}, reply = {0}, url = {0};
	if (cmd_n_args(cmd) != 1)
		return err_set(
			et, ERR_INVALID, "name one collection; `croft collections` lists them");
	buf_addc(&url, "/api/v1/collections/");
	url_encode(&url, cmd_arg(cmd, 0));
	buf_addc(&url, "/map");
	enum err e = body_of(cmd, &body, et);
	e = e ? e : cmd_call(cmd, HTTP_POST, buf_c(&url), buf_str(&body), &reply, et);
	if (!e) {
		struct progress *p = progress_begin(cmd, "mapping", "", 0);
		e = wire_wait(cmd, buf_c(&url), "?data=false", p, et);
		progress_end(p, NULL);
	}
	e = e ? e : show(cmd, buf_c(&url), et);
	buf_free(&body);
	buf_free(&reply);
	buf_free(&url);
	return e;
}
