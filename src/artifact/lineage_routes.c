/* /api/v1/lineage/graph and /api/v1/lineage/edges: what depends on something, where it comes from.
 */
#include "artifact/lineage_int.h"

enum { DETAIL_MAX = 64 << 10 };

/* ---- the graph ---- */

static void version_members(struct jw *w, const struct artifact_version *v)
{
	jw_kc(w, "type", "version");
	jw_key(w, "label");
	jw_fmt(w, "%.*s/%.*s:%lld", STR_FMT(v->kind), STR_FMT(v->name), (long long)v->version);
	jw_kstr(w, "kind", v->kind);
	jw_kstr(w, "name", v->name);
	jw_ki64(w, "version", v->version);
	jw_kbool(w, "deleted", v->deleted);
}

/* A run is called like its job, when an edge says so. */
static void run_label(struct reg_call *k, const struct graph *g, struct str run)
{
	for (size_t i = 0; i < g->n_edges; i++) {
		yyjson_doc *doc;
		const struct edge *edge = &g->edges[i];
		if ((!str_eq(edge->node, run) && !str_eq(edge->source, run)) ||
			json_parse(edge->detail, &doc, NULL))
			continue;
		struct str job = json_str(yyjson_doc_get_root(doc), "job");
		if (job.n)
			jw_kstr(&k->w, "label", job);
		yyjson_doc_free(doc);
		if (job.n)
			return;
	}
	jw_kstr(&k->w, "label", run);
}

static void uri_label(struct jw *w, struct str uri)
{
	struct str digest = node_tree_digest(uri);
	jw_key(w, "label");
	digest.p ? jw_fmt(w, "content %.12s", digest.p) : jw_str(w, uri);
}

static enum err node_object(struct reg_call *k, const struct graph *g, const struct node *node)
{
	struct artifact_version v;
	struct jw *w = &k->w;
	jw_obj(w);
	jw_kstr(w, "id", node->id);
	jw_ki64(w, "depth", node->depth);
	enum err e = node_find_version(k->tx, k->project, node->id, k->rq->arena, &v, NULL);
	if (!e) {
		version_members(w, &v);
	} else if (e == ERR_NOT_FOUND) {
		bool run = str_starts(node->id, S("run:"));
		e = OK;
		jw_kc(w, "type", run ? "run" : "uri");
		run ? run_label(k, g, node->id) : uri_label(w, node->id);
	}
	jw_end(w);
	return e;
}

static void edge_object(struct jw *w, const struct edge *edge)
{
	jw_obj(w);
	jw_kstr(w, "node", edge->node);
	jw_kc(w, "kind", edge_word(edge->kind));
	jw_kstr(w, "source", edge->source);
	jw_key(w, "detail");
	jw_raw(w, edge->detail);
	jw_end(w);
}

static enum err small_number(struct reg_call *k, const char *name, int64_t max, int64_t *out)
{
	struct str text = http_query(k->rq, name);
	if (text.n && (!str_i64(text, out) || *out < 1 || *out > max))
		return err_set(&k->et, ERR_INVALID, "%s: a number from 1 to %lld is expected", name,
			(long long)max);
	return OK;
}

enum err lineage_asked(struct reg_call *k, struct graph *out)
{
	struct str of = http_query(k->rq, "of"), way = http_query(k->rq, "direction"), start;
	int64_t depth = 20, nodes = 500;
	bool down = str_eq_c(way, "down");
	enum err e = small_number(k, "depth", GRAPH_DEPTH_MAX, &depth);
	if (!e)
		e = small_number(k, "nodes", GRAPH_NODES_MAX, &nodes);
	if (!e && way.n && !down && !str_eq_c(way, "up"))
		e = err_set(&k->et, ERR_INVALID,
			"direction: up (where it comes from) or down (what depends on it)");
	if (!e)
		e = lineage_node(
			k->tx, k->project, of.p ? of : S(""), k->rq->arena, &start, &k->et);
	if (!e)
		e = lineage_walk(k->tx, k->project, start, down, (unsigned)depth, (size_t)nodes,
			k->rq->arena, out, &k->et);
	return e;
}

static void get_graph(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct reg_call k;
	struct graph g = {0};
	enum err e = reg_begin(&k, c, rq, rs, TX_READ);
	if (!e)
		e = lineage_asked(&k, &g);
	jw_obj(&k.w);
	jw_key(&k.w, "nodes");
	jw_arr(&k.w);
	for (size_t i = 0; i < g.n_nodes && !e; i++)
		e = node_object(&k, &g, &g.nodes[i]);
	jw_end(&k.w);
	jw_key(&k.w, "edges");
	jw_arr(&k.w);
	for (size_t i = 0; i < g.n_edges && !e; i++)
		edge_object(&k.w, &g.edges[i]);
	jw_end(&k.w);
	jw_kbool(&k.w, "cut", g.cut);
	jw_end(&k.w);
	reg_end(&k, e, 200);
}

static void get_export(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct reg_call k;
	struct graph g = {0};
	struct str format = http_query(rq, "format");
	bool prov = str_eq_c(format, "prov");
	enum err e = reg_begin(&k, c, rq, rs, TX_READ);
	if (!e && !prov && !str_eq_c(format, "openlineage"))
		e = err_set(&k.et, ERR_INVALID, "format: prov or openlineage");
	if (!e)
		e = lineage_asked(&k, &g);
	if (!e && g.cut)
		http_set_header(rs, "x-croft-cut", S("true"));
	if (!e)
		e = prov ? lineage_prov(&k, &g) : lineage_openlineage(&k, &g);
	reg_end(&k, e, 200);
}

/* ---- adding ---- */

static enum err want_node(struct reg_call *k, const char *key, struct str *out)
{
	struct str text = {0};
	enum err e = json_want_str(k->body, key, &text, &k->et);
	if (!e && !text.n)
		e = err_set(
			&k->et, ERR_INVALID, "%s: a reference, a run or a URI is expected", key);
	return e ? e : lineage_node(k->tx, k->project, text, k->rq->arena, out, &k->et);
}

static bool is_run(struct str node)
{
	return str_starts(node, S("run:"));
}

/* What each kind of edge may join. */
static enum err edge_fits(const struct edge *edge, struct errtext *et)
{
	if (edge->kind == EDGE_USED && !is_run(edge->node))
		return err_set(et, ERR_INVALID, "used: a run uses something: node is to be run:ID");
	if (edge->kind == EDGE_PRODUCED && !is_run(edge->source))
		return err_set(et, ERR_INVALID,
			"produced: something is produced by a run: source is to be run:ID");
	if (edge->kind == EDGE_DERIVED && (is_run(edge->node) || is_run(edge->source)))
		return err_set(et, ERR_INVALID, "derived_from: both ends are versions or URIs");
	return OK;
}

/* "detail": what else is known of it, such as the path under which a run had it. */
static enum err want_detail(struct reg_call *k, struct str *out)
{
	yyjson_val *detail = yyjson_obj_get(k->body, "detail");
	struct buf text = {0};
	struct jw w = {.out = &text};
	if (!detail)
		return OK;
	if (!yyjson_is_obj(detail))
		return err_set(&k->et, ERR_INVALID, "detail: an object is expected");
	jw_val(&w, detail);
	enum err e = text.n > DETAIL_MAX ? err_set(&k->et, ERR_TOO_LARGE,
						   "detail: at most %d bytes", DETAIL_MAX)
					 : row_copy(k->rq->arena, buf_str(&text), out, &k->et);
	buf_free(&text);
	return e;
}

static void post_edge(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct reg_call k;
	struct str kind = {0};
	struct edge edge = {.detail = S("{}")};
	enum err e = reg_begin(&k, c, rq, rs, TX_WRITE);
	if (!e)
		e = json_want_str(k.body, "kind", &kind, &k.et);
	if (!e && !edge_parse(kind, &edge.kind))
		e = err_set(&k.et, ERR_INVALID, "kind: used, produced or derived_from");
	if (!e)
		e = want_node(&k, "node", &edge.node);
	if (!e)
		e = want_node(&k, "source", &edge.source);
	if (!e)
		e = want_detail(&k, &edge.detail);
	if (!e)
		e = edge_fits(&edge, &k.et);
	if (!e)
		e = lineage_add(k.tx, rq->who, &edge, &k.et);
	if (!e)
		edge_object(&k.w, &edge);
	reg_end(&k, e, 201);
}

static const struct shape shapes[] = {
	{"LineageNode",
		"{ id: string, type: \"version\" | \"run\" | \"uri\", label: string, depth: int, "
		"kind?: string, name?: string, version?: int, deleted?: boolean }"},
	{"LineageEdge",
		"{ node: string, kind: \"used\" | \"produced\" | \"derived_from\", source: string, "
		"detail: object }"},
};

static const struct route routes[] = {
	{HTTP_GET, "/api/v1/lineage/graph", get_graph, PERM_ARTIFACT_READ,
		"Where something comes from (up), or what depends on it (down)",
		"{ of: string, direction?: \"up\" | \"down\", depth?: int, nodes?: int }", NULL,
		"{ nodes: LineageNode[], edges: LineageEdge[], cut: boolean }", 0},
	{HTTP_GET, "/api/v1/lineage/export", get_export, PERM_ARTIFACT_READ,
		"The same graph as W3C PROV-JSON or as OpenLineage events",
		"{ of: string, format: \"prov\" | \"openlineage\", direction?: \"up\" | \"down\", "
		"depth?: int, nodes?: int }",
		NULL, "any", 0},
	{HTTP_POST, "/api/v1/lineage", openlineage_post, PERM_ARTIFACT_WRITE,
		"Take an OpenLineage event", NULL, "object", "object", 0},
	{HTTP_POST, "/api/v1/lineage/edges", post_edge, PERM_ARTIFACT_WRITE,
		"Record that a run used or produced something, or that one thing is derived from "
		"another",
		NULL, "{ node: string, kind: string, source: string, detail?: object }",
		"LineageEdge", 0},
};

const struct module lineage_module = {.name = "lineage", TABLE(routes), TABLE(shapes)};
