/* Lineage: edges between versions, runs and URIs, and walks over them that end: each node is seen
 * once, so cycles do no harm, and both depth and the number of nodes have a limit. */
#include "artifact/registry_int.h"
#include "artifact/tree.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/room.h"

#include <stdio.h>

static const char *const edge_words[EDGE_COUNT] = {"used", "produced", "derived_from"};

const char *edge_word(enum edge_kind k)
{
	return edge_words[k];
}

bool edge_parse(struct str word, enum edge_kind *out)
{
	for (int i = 0; i < EDGE_COUNT; i++)
		if (str_eq_c(word, edge_words[i])) {
			*out = (enum edge_kind)i;
			return true;
		}
	return false;
}

struct str node_version(struct arena *a, struct id artifact, int64_t version)
{
	char hex[ID_HEX + 1];
	id_hex(artifact, hex);
	return arena_fmt(a, "version:%s:%lld", hex, (long long)version);
}

struct str node_run(struct arena *a, struct id run)
{
	char hex[ID_HEX + 1];
	id_hex(run, hex);
	return arena_fmt(a, "run:%s", hex);
}

struct str node_tree(struct arena *a, struct str digest)
{
	return arena_fmt(a, "%s%.*s", TREE_URN, STR_FMT(digest));
}

struct str node_tree_digest(struct str node)
{
	struct str urn = S(TREE_URN), digest = str_sub(node, urn.n, node.n);
	return str_starts(node, urn) && tree_digest_ok(digest) ? digest : (struct str){0};
}

enum err lineage_add(
	struct tx *tx, const struct principal *who, const struct edge *edge, struct errtext *et)
{
	if (!edge->node.n || !edge->source.n || edge->node.n > 4000 || edge->source.n > 4000)
		return err_set(et, ERR_INVALID,
			"lineage: both ends of an edge are expected, 4000 bytes at most");
	if (str_eq(edge->node, edge->source))
		return err_set(et, ERR_INVALID, "lineage: '%.*s' cannot come from itself",
			STR_FMT(str_sub(edge->node, 0, 200)));
	return db_exec(tx, et,
		"INSERT INTO lineage_edge (project, node, kind, source, detail, who, recorded_ms) "
		"VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (project, node, kind, source) "
		"DO UPDATE SET detail = excluded.detail WHERE lineage_edge.detail = '{}'",
		P_TEXT(who->project), P_TEXT(edge->node), P_TEXT(str_c(edge_word(edge->kind))),
		P_TEXT(edge->source), P_TEXT(edge->detail.n ? edge->detail : S("{}")),
		P_TEXT(who->name.n ? who->name : S("local")), P_I64(clock_unix_ms()));
}

enum err lineage_forget_run(struct tx *tx, struct str project, struct id run, struct errtext *et)
{
	char hex[ID_HEX + 1], node[ID_HEX + 8];
	id_hex(run, hex);
	snprintf(node, sizeof node, "run:%s", hex);
	enum err e = db_exec(tx, et, "DELETE FROM lineage_edge WHERE project = ? AND node = ?",
		P_TEXT(project), P_TEXT(str_c(node)));
	return e ? e
		 : db_exec(tx, et, "DELETE FROM lineage_edge WHERE project = ? AND source = ?",
			   P_TEXT(project), P_TEXT(str_c(node)));
}

enum err lineage_of_run(struct tx *tx, struct str project, struct id run, enum edge_kind kind,
	struct arena *a, struct edge **out, size_t *n, struct errtext *et)
{
	struct row *r;
	struct str node = node_run(a, run);
	struct edge *v = arena_array_of(a, RUN_EDGES_MAX, struct edge);
	size_t k = 0;
	if (!node.p || !v)
		return err_set(et, ERR_NOMEM, "no memory for lineage");
	enum err e = db_query(tx, &r, et,
		kind == EDGE_PRODUCED
			? "SELECT node, source, detail FROM lineage_edge WHERE project = ? AND "
			  "source = ? AND kind = ? ORDER BY recorded_ms, node LIMIT ?"
			: "SELECT node, source, detail FROM lineage_edge WHERE project = ? AND "
			  "node = ? AND kind = ? ORDER BY recorded_ms, source LIMIT ?",
		P_TEXT(project), P_TEXT(node), P_TEXT(str_c(edge_word(kind))),
		P_I64(RUN_EDGES_MAX));
	if (e)
		return e;
	while (!e && row_next(r, &e, et)) {
		struct edge *x = &v[k++];
		*x = (struct edge){.kind = kind};
		e = row_copy(a, row_text(r, 0), &x->node, et);
		if (!e)
			e = row_copy(a, row_text(r, 1), &x->source, et);
		if (!e)
			e = row_copy(a, row_text(r, 2), &x->detail, et);
	}
	row_free(r);
	if (e)
		return e;
	*out = v;
	*n = k;
	return OK;
}

/* ---- walks ---- */

struct walk {
	struct tx *tx;
	struct str project;
	struct arena *a;
	struct map seen; /* node id -> anything */
	struct graph g;
	size_t nodes_max, edges_cap;
};

static enum err see(struct walk *w, struct str id, unsigned depth, struct errtext *et)
{
	if (map_get(&w->seen, id))
		return OK;
	if (w->g.n_nodes == w->nodes_max) {
		w->g.cut = true;
		return OK;
	}
	if (!map_put(&w->seen, id, w))
		return err_set(et, ERR_NOMEM, "no memory for lineage");
	w->g.nodes[w->g.n_nodes++] = (struct node){id, depth};
	return OK;
}

static enum err keep_edge(struct walk *w, const struct edge *edge, struct errtext *et)
{
	if (!arena_room(w->a, w->g.edges, w->g.n_edges, w->edges_cap))
		return err_set(et, ERR_NOMEM, "no memory for lineage");
	w->g.edges[w->g.n_edges++] = *edge;
	return OK;
}

static enum err step(struct walk *w, struct node at, bool down, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(w->tx, &r, et,
		down ? "SELECT node, kind, source, detail FROM lineage_edge WHERE project = ? AND "
		       "source = ? ORDER BY node, kind"
		     : "SELECT node, kind, source, detail FROM lineage_edge WHERE project = ? AND "
		       "node = ? ORDER BY source, kind",
		P_TEXT(w->project), P_TEXT(at.id));
	if (e)
		return e;
	while (!e && row_next(r, &e, et)) {
		struct edge edge = {0};
		if (!edge_parse(row_text(r, 1), &edge.kind))
			continue;
		e = row_copy(w->a, row_text(r, 0), &edge.node, et);
		if (!e)
			e = row_copy(w->a, row_text(r, 2), &edge.source, et);
		if (!e)
			e = row_copy(w->a, row_text(r, 3), &edge.detail, et);
		struct str other = down ? edge.node : edge.source;
		if (!e)
			e = see(w, other, at.depth + 1, et);
		if (!e && map_get(&w->seen, other))
			e = keep_edge(w, &edge, et);
	}
	row_free(r);
	return e;
}

enum err lineage_walk(struct tx *tx, struct str project, struct str start, bool down,
	unsigned depth, size_t nodes_max, struct arena *a, struct graph *out, struct errtext *et)
{
	struct walk w = {.tx = tx, .project = project, .a = a, .nodes_max = nodes_max};
	w.g.nodes = arena_array_of(a, nodes_max, struct node);
	enum err e = w.g.nodes ? see(&w, start, 0, et) : err_set(et, ERR_NOMEM, "no memory");
	for (size_t i = 0; i < w.g.n_nodes && !e; i++) {
		if (w.g.nodes[i].depth < depth) {
			e = step(&w, w.g.nodes[i], down, et);
			continue;
		}
		/* at the rim no node is added, but edges back into the picture belong to it */
		w.nodes_max = w.g.n_nodes;
		e = step(&w, w.g.nodes[i], down, et);
		w.nodes_max = nodes_max;
	}
	map_free(&w.seen);
	if (!e)
		*out = w.g;
	return e;
}

/* ---- what a node is ---- */

enum err node_find_version(struct tx *tx, struct str project, struct str node, struct arena *a,
	struct artifact_version *out, struct errtext *et)
{
	struct str rest = node, head, hex;
	struct id id;
	int64_t version;
	struct artifact of;
	if (!str_next(&rest, ':', &head) || !str_eq_c(head, "version") ||
		!str_next(&rest, ':', &hex) || !id_parse(hex, &id) || !str_i64(rest, &version))
		return err_set(
			et, ERR_NOT_FOUND, "'%.*s' is no version", STR_FMT(str_sub(node, 0, 200)));
	enum err e = artifact_get(tx, project, id, a, &of, et);
	return e ? e : artifact_get_version(tx, id, version, a, out, et);
}

enum err lineage_node(struct tx *tx, struct str project, struct str text, struct arena *a,
	struct str *out, struct errtext *et)
{
	struct artifact_version v;
	struct id run;
	if (str_starts(text, S("run:"))) {
		if (!id_parse(str_sub(text, 4, text.n), &run))
			return err_set(et, ERR_INVALID, "run: an id of 32 hex digits is expected");
		*out = node_run(a, run);
		return out->p ? OK : err_set(et, ERR_NOMEM, "no memory");
	}
	if (str_find(text, S("://")) != STR_NONE || str_starts(text, S("urn:")))
		return row_copy(a, text, out, et);
	enum err e =
		str_starts(text, S("version:"))
			? node_find_version(tx, project, text, a, &v, et)
			: artifact_resolve(tx, project, text, (struct artifact_time){0}, a, &v, et);
	if (e)
		return e;
	*out = node_version(a, v.artifact, v.version);
	return out->p ? OK : err_set(et, ERR_NOMEM, "no memory");
}
