/* Lineage in other people's words: W3C PROV-JSON and OpenLineage events, from one graph. */
#include "artifact/lineage_int.h"
#include "base/clock.h"

#include <stdio.h>

/* ---- what a node is called outside ---- */

static bool is_run(struct str node)
{
	return str_starts(node, S("run:"));
}

static enum err version_of(
	struct reg_call *k, struct str node, struct artifact_version *v, bool *is_version)
{
	enum err e = node_find_version(k->tx, k->project, node, k->rq->arena, v, NULL);
	*is_version = !e;
	return e == ERR_NOT_FOUND ? OK : e;
}

/* ---- PROV-JSON (W3C submission 2013) ----
 *
 * Versions and URIs are entities, runs are activities, people are agents. A name is croft: and the
 * node's id, in which only letters, digits and '-' stay; a URI is named by its hash. */

static struct str prov_name(struct arena *a, struct str node)
{
	char hex[SHA256_HEX + 1];
	struct buf b = {0};
	buf_addc(&b, "croft:");
	if (!is_run(node) && !str_starts(node, S("version:"))) {
		sha256_hex_of(node, hex);
		buf_addf(&b, "uri-%.24s", hex);
	} else {
		for (size_t i = 0; i < node.n; i++)
			buf_putc(&b, node.p[i] == ':' ? '-' : node.p[i]);
	}
	struct str s = arena_str(a, buf_str(&b));
	buf_free(&b);
	return s;
}

static void prov_agent_name(struct buf *out, struct str who)
{
	char hex[SHA256_HEX + 1];
	sha256_hex_of(who, hex);
	buf_addf(out, "croft:agent-%.16s", hex);
}

static enum err prov_entity(struct reg_call *k, struct str node)
{
	struct artifact_version v;
	bool is_version;
	struct jw *w = &k->w;
	enum err e = version_of(k, node, &v, &is_version);
	if (e)
		return e;
	jw_key_str(w, prov_name(k->rq->arena, node));
	jw_obj(w);
	if (!is_version) {
		jw_kstr(w, "prov:label", node);
		jw_kstr(w, "croft:uri", node);
		jw_end(w);
		return OK;
	}
	jw_key(w, "prov:label");
	jw_fmt(w, "%.*s/%.*s:%lld", STR_FMT(v.kind), STR_FMT(v.name), (long long)v.version);
	jw_kstr(w, "croft:kind", v.kind);
	jw_kstr(w, "croft:name", v.name);
	jw_ki64(w, "croft:version", v.version);
	if (v.digest.n)
		jw_kstr(w, "croft:digest", v.digest);
	if (v.source.n)
		jw_kstr(w, "croft:source", v.source);
	jw_end(w);
	return OK;
}

static enum err prov_entities(struct reg_call *k, const struct graph *g)
{
	enum err e = OK;
	jw_key(&k->w, "entity");
	jw_obj(&k->w);
	for (size_t i = 0; i < g->n_nodes && !e; i++)
		if (!is_run(g->nodes[i].id))
			e = prov_entity(k, g->nodes[i].id);
	jw_end(&k->w);
	jw_key(&k->w, "activity");
	jw_obj(&k->w);
	for (size_t i = 0; i < g->n_nodes; i++) {
		if (!is_run(g->nodes[i].id))
			continue;
		jw_key_str(&k->w, prov_name(k->rq->arena, g->nodes[i].id));
		jw_obj(&k->w);
		jw_kstr(&k->w, "prov:label", g->nodes[i].id);
		jw_end(&k->w);
	}
	jw_end(&k->w);
	return e;
}

static void prov_relation(struct reg_call *k, const struct graph *g, enum edge_kind kind,
	const char *name, const char *node, const char *source)
{
	char id[32];
	jw_key(&k->w, name);
	jw_obj(&k->w);
	for (size_t i = 0; i < g->n_edges; i++) {
		if (g->edges[i].kind != kind)
			continue;
		snprintf(id, sizeof id, "_:e%zu", i);
		jw_key(&k->w, id);
		jw_obj(&k->w);
		jw_kstr(&k->w, node, prov_name(k->rq->arena, g->edges[i].node));
		jw_kstr(&k->w, source, prov_name(k->rq->arena, g->edges[i].source));
		jw_end(&k->w);
	}
	jw_end(&k->w);
}

/* Who made which version. */
static enum err prov_agents(struct reg_call *k, const struct graph *g, bool relations)
{
	char id[32];
	struct map seen = {0};
	enum err e = OK;
	jw_key(&k->w, relations ? "wasAttributedTo" : "agent");
	jw_obj(&k->w);
	for (size_t i = 0; i < g->n_nodes && !e; i++) {
		struct artifact_version v;
		bool is_version;
		struct buf name = {0};
		e = version_of(k, g->nodes[i].id, &v, &is_version);
		if (e || !is_version)
			continue;
		prov_agent_name(&name, v.creator);
		if (relations) {
			snprintf(id, sizeof id, "_:a%zu", i);
			jw_key(&k->w, id);
			jw_obj(&k->w);
			jw_kstr(&k->w, "prov:entity", prov_name(k->rq->arena, g->nodes[i].id));
			jw_kstr(&k->w, "prov:agent", buf_str(&name));
			jw_end(&k->w);
		} else if (!map_get(&seen, v.creator) && map_put(&seen, v.creator, k)) {
			jw_key_str(&k->w, buf_str(&name));
			jw_obj(&k->w);
			jw_kstr(&k->w, "prov:label", v.creator);
			jw_end(&k->w);
		}
		buf_free(&name);
	}
	jw_end(&k->w);
	map_free(&seen);
	return e;
}

enum err lineage_prov(struct reg_call *k, const struct graph *g)
{
	jw_obj(&k->w);
	jw_key(&k->w, "prefix");
	jw_obj(&k->w);
	jw_kc(&k->w, "croft", "urn:croft:");
	jw_end(&k->w);
	enum err e = prov_entities(k, g);
	if (!e)
		e = prov_agents(k, g, false);
	prov_relation(k, g, EDGE_USED, "used", "prov:activity", "prov:entity");
	prov_relation(k, g, EDGE_PRODUCED, "wasGeneratedBy", "prov:entity", "prov:activity");
	prov_relation(
		k, g, EDGE_DERIVED, "wasDerivedFrom", "prov:generatedEntity", "prov:usedEntity");
	if (!e)
		e = prov_agents(k, g, true);
	jw_end(&k->w);
	return e;
}

/* ---- OpenLineage (2-0-2) ----
 *
 * A run is a RunEvent with what it used and produced; what was derived without a run is a JobEvent
 * of the job "derive". A version is the dataset NAME of the namespace croft://PROJECT. */

#define PRODUCER "urn:croft:" CROFT_VERSION
#define SCHEMA "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/"

static void uuid_text(struct str hex, char out[37])
{
	snprintf(out, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex.p, hex.p + 8, hex.p + 12, hex.p + 16,
		hex.p + 20);
}

/* namespace and name of a URI: "s3://bucket" and "path". */
static void uri_members(struct jw *w, struct str uri)
{
	size_t scheme = str_find(uri, S("://"));
	size_t from = scheme == STR_NONE ? 0 : scheme + 3;
	size_t slash = str_chr(str_sub(uri, from, uri.n), '/');
	if (str_starts(uri, S("openlineage://")))
		jw_kstr(w, "namespace", str_sub(uri, 14, slash == STR_NONE ? uri.n : from + slash));
	else if (scheme == STR_NONE)
		jw_kc(w, "namespace", "uri");
	else
		jw_kstr(w, "namespace", str_sub(uri, 0, slash == STR_NONE ? uri.n : from + slash));
	jw_kstr(w, "name",
		scheme == STR_NONE  ? uri
		: slash == STR_NONE ? S("/")
				    : str_sub(uri, from + slash + 1, uri.n));
}

static enum err dataset(struct reg_call *k, struct str node)
{
	struct artifact_version v;
	bool is_version;
	struct jw *w = &k->w;
	enum err e = version_of(k, node, &v, &is_version);
	if (e)
		return e;
	jw_obj(w);
	if (!is_version) {
		uri_members(w, node);
	} else {
		jw_key(w, "namespace");
		jw_fmt(w, "croft://%.*s", STR_FMT(k->project));
		jw_key(w, "name");
		jw_fmt(w, "%.*s/%.*s:%lld", STR_FMT(v.kind), STR_FMT(v.name), (long long)v.version);
		jw_key(w, "facets");
		jw_obj(w);
		jw_key(w, "version");
		jw_obj(w);
		jw_kc(w, "_producer", PRODUCER);
		jw_kc(w, "_schemaURL",
			"https://openlineage.io/spec/facets/1-0-1/"
			"DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet");
		jw_key(w, "datasetVersion");
		jw_fmt(w, "%lld", (long long)v.version);
		jw_end(w);
		jw_end(w);
	}
	jw_end(w);
	return OK;
}

/* The other ends of a node's edges of one kind. */
static enum err datasets(struct reg_call *k, const struct graph *g, const char *key,
	enum edge_kind kind, struct str node, bool node_is_source)
{
	enum err e = OK;
	jw_key(&k->w, key);
	jw_arr(&k->w);
	for (size_t i = 0; i < g->n_edges && !e; i++) {
		const struct edge *edge = &g->edges[i];
		if (edge->kind == kind && str_eq(node_is_source ? edge->source : edge->node, node))
			e = dataset(k, node_is_source ? edge->node : edge->source);
	}
	jw_end(&k->w);
	return e;
}

/* What the edges say of the job, when an OpenLineage client said it. */
static struct str job_of(struct reg_call *k, const struct graph *g, struct str run, const char *key)
{
	for (size_t i = 0; i < g->n_edges; i++) {
		yyjson_doc *doc;
		const struct edge *edge = &g->edges[i];
		if ((!str_eq(edge->node, run) && !str_eq(edge->source, run)) ||
			json_parse(edge->detail, &doc, NULL))
			continue;
		struct str found = json_str(yyjson_doc_get_root(doc), key);
		if (found.p)
			found = arena_str(k->rq->arena, found);
		yyjson_doc_free(doc);
		if (found.p)
			return found;
	}
	return (struct str){0};
}

static void job(struct reg_call *k, struct str namespace, struct str name)
{
	jw_key(&k->w, "job");
	jw_obj(&k->w);
	jw_key(&k->w, "namespace");
	namespace.p ? jw_str(&k->w, namespace) : jw_fmt(&k->w, "croft://%.*s", STR_FMT(k->project));
	jw_kstr(&k->w, "name", name);
	jw_end(&k->w);
}

static void event_tail(struct reg_call *k, const char *type)
{
	char now[CLOCK_TEXT];
	clock_rfc3339(clock_unix_ms(), now);
	jw_kc(&k->w, "eventTime", now);
	jw_kc(&k->w, "producer", PRODUCER);
	jw_key(&k->w, "schemaURL");
	jw_fmt(&k->w, SCHEMA "%s", type);
}

static enum err run_event(struct reg_call *k, const struct graph *g, struct str run)
{
	char uuid[37];
	struct str name = job_of(k, g, run, "job");
	uuid_text(str_sub(run, 4, run.n), uuid);
	jw_obj(&k->w);
	jw_kc(&k->w, "eventType", "COMPLETE");
	event_tail(k, "RunEvent");
	jw_key(&k->w, "run");
	jw_obj(&k->w);
	jw_kc(&k->w, "runId", uuid);
	jw_end(&k->w);
	job(k, job_of(k, g, run, "namespace"), name.p ? name : S("run"));
	enum err e = datasets(k, g, "inputs", EDGE_USED, run, false);
	if (!e)
		e = datasets(k, g, "outputs", EDGE_PRODUCED, run, true);
	jw_end(&k->w);
	return e;
}

static enum err derive_event(struct reg_call *k, const struct graph *g, struct str node)
{
	bool any = false;
	for (size_t i = 0; i < g->n_edges; i++)
		any |= g->edges[i].kind == EDGE_DERIVED && str_eq(g->edges[i].node, node);
	if (!any)
		return OK;
	jw_obj(&k->w);
	event_tail(k, "JobEvent");
	job(k, (struct str){0}, S("derive"));
	enum err e = datasets(k, g, "inputs", EDGE_DERIVED, node, false);
	jw_key(&k->w, "outputs");
	jw_arr(&k->w);
	if (!e)
		e = dataset(k, node);
	jw_end(&k->w);
	jw_end(&k->w);
	return e;
}

enum err lineage_openlineage(struct reg_call *k, const struct graph *g)
{
	enum err e = OK;
	jw_arr(&k->w);
	for (size_t i = 0; i < g->n_nodes && !e; i++)
		e = is_run(g->nodes[i].id) ? run_event(k, g, g->nodes[i].id)
					   : derive_event(k, g, g->nodes[i].id);
	jw_end(&k->w);
	return e;
}
