/* What a run used and produced, and what of it differs between two runs: versions of artifacts and
 * content by their edges of lineage, files by their trees, code and environment by the records of
 * `croft run`. */
#include "artifact/registry.h"
#include "artifact/tree.h"
#include "base/json.h"
#include "run/environment.h"
#include "run/experiment.h"
#include "run/file.h"
#include "run/track.h"

#include <stdlib.h>

enum { ITEMS_MAX = 1000, FILES_SHOWN = 500, RECORD_MAX = 16 << 20 };

/* One end of an edge, from the run's side. */
struct item {
	struct str path; /* under which the run had it; .p NULL: not known */
	struct str node; /* "version:...", "urn:croft:tree:...", a URI */
	bool is_version, is_content;
	struct str
		dataset; /* MLflow's digest of a dataset, whose name is the path; .p NULL: none */
	struct artifact_version v;
	char tree[SHA256_HEX + 1]; /* "": its files are not here */
};

struct items {
	struct item *v;
	size_t n;
};

/* ---- reading ---- */

static struct str path_of(const struct edge *edge, struct arena *a)
{
	yyjson_doc *doc;
	if (edge->detail.n <= 2 || json_parse(edge->detail, &doc, NULL))
		return (struct str){0};
	struct str path = json_str(yyjson_doc_get_root(doc), "path");
	struct str kept = path.n ? arena_str(a, path) : (struct str){0};
	yyjson_doc_free(doc);
	return kept;
}

static enum err read_item(struct tx *tx, struct str project, const struct edge *edge,
	struct arena *a, struct item *out, struct errtext *et)
{
	struct str node = edge->kind == EDGE_USED ? edge->source : edge->node;
	struct item x = {.path = path_of(edge, a), .node = node};
	struct str digest = node_tree_digest(node);
	enum err e = node_find_version(tx, project, node, a, &x.v, NULL);
	x.is_version = !e;
	if (e && e != ERR_NOT_FOUND)
		return err_set(et, e, "what a run used cannot be read");
	if (x.is_version && tree_digest_ok(x.v.digest))
		digest = x.v.digest;
	else
		x.is_content = digest.p != NULL;
	if (digest.p)
		memcpy(x.tree, digest.p, SHA256_HEX);
	*out = x;
	return OK;
}

static enum err read_items(struct tx *tx, struct str project, struct id run, enum edge_kind kind,
	struct arena *a, struct items *out, struct errtext *et)
{
	struct edge *edges;
	size_t n = 0;
	enum err e = lineage_of_run(tx, project, run, kind, a, &edges, &n, et);
	out->n = 0;
	out->v = arena_array_of(a, ITEMS_MAX, struct item);
	if (!e && !out->v)
		e = err_set(et, ERR_NOMEM, "no memory for what a run used");
	for (size_t i = 0; i < n && !e && out->n < ITEMS_MAX; i++)
		e = read_item(tx, project, &edges[i], a, &out->v[out->n++], et);
	return e;
}

/* What MLflow's client said of datasets: their names and digests, also where their source is a URI
 * that stays the same while its content changes. */
static enum err add_datasets(
	struct items *used, const struct tracked *t, struct arena *a, struct errtext *et)
{
	for (size_t i = 0; i < t->n_inputs && used->n < ITEMS_MAX; i++) {
		const struct track_input *in = &t->inputs[i];
		struct item x = {.path = arena_str(a, in->name),
			.dataset = arena_str(a, in->digest),
			.node = arena_fmt(a, "urn:mlflow-dataset:%.*s:%.*s", STR_FMT(in->name),
				STR_FMT(in->digest))};
		if (!x.path.p || !x.dataset.p || !x.node.p)
			return err_set(et, ERR_NOMEM, "no memory for what a run used");
		size_t at = 0; /* its edge says less */
		while (at < used->n && !str_eq(used->v[at].node, x.node))
			at++;
		used->v[at] = x;
		used->n += at == used->n;
	}
	return OK;
}

/* ---- writing ---- */

static void write_item(struct jw *w, const struct item *x)
{
	jw_obj(w);
	jw_kc(w, "type",
		x->is_version   ? "version"
		: x->is_content ? "content"
		: x->dataset.p  ? "dataset"
				: "uri");
	jw_kstr(w, "node", x->node);
	jw_key(w, "path");
	x->path.n ? jw_str(w, x->path) : jw_null(w);
	jw_key(w, "label");
	if (x->is_version)
		jw_fmt(w, "%.*s/%.*s:%lld", STR_FMT(x->v.kind), STR_FMT(x->v.name),
			(long long)x->v.version);
	else if (x->is_content)
		jw_fmt(w, "content %.12s", x->tree);
	else if (x->dataset.p)
		jw_fmt(w, "%.*s %.*s", STR_FMT(x->path), STR_FMT(x->dataset));
	else
		jw_str(w, x->node);
	jw_kc(w, "tree", x->tree[0] ? x->tree : NULL);
	if (x->is_version) {
		jw_kstr(w, "kind", x->v.kind);
		jw_kstr(w, "name", x->v.name);
		jw_ki64(w, "version", x->v.version);
		jw_ki64(w, "bytes", x->v.bytes);
		jw_kbool(w, "deleted", x->v.deleted);
	}
	jw_end(w);
}

static void write_items(struct jw *w, const char *key, const struct items *list)
{
	jw_key(w, key);
	jw_arr(w);
	for (size_t i = 0; i < list->n; i++)
		write_item(w, &list->v[i]);
	jw_end(w);
}

/* ---- one run ---- */

struct call {
	struct croft *c;
	struct http_request *rq;
	struct jw w;
	struct buf out;
	struct errtext et;
};

static enum err want_run(struct call *k, const char *param, struct id *out)
{
	struct str text = http_param(k->rq, param);
	return id_parse(text, out) ? OK
				   : err_set(&k->et, ERR_NOT_FOUND, "there is no run %.*s",
					     STR_FMT(str_sub(text, 0, 80)));
}

static enum err both_kinds(struct call *k, struct id run, struct items *used, struct items *made)
{
	struct tx *tx;
	struct arena *a = k->rq->arena;
	enum err e = db_begin(croft_db(k->c), TX_READ, &tx, &k->et);
	if (e)
		return e;
	e = read_items(tx, project_of(k->rq), run, EDGE_USED, a, used, &k->et);
	if (!e)
		e = read_items(tx, project_of(k->rq), run, EDGE_PRODUCED, a, made, &k->et);
	db_rollback(tx);
	return e;
}

static void reply(struct call *k, struct http_response *rs, enum err e)
{
	e ? http_reply_error(rs, e, &k->et) : http_reply_json(rs, 200, &k->w);
	buf_free(&k->out);
}

static void get_lineage(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct call k = {.c = c, .rq = rq};
	struct items used = {0}, made = {0};
	struct id run;
	k.w.out = &k.out;
	enum err e = want_run(&k, "id", &run);
	if (!e)
		e = both_kinds(&k, run, &used, &made);
	jw_obj(&k.w);
	write_items(&k.w, "inputs", &used);
	write_items(&k.w, "outputs", &made);
	jw_end(&k.w);
	reply(&k, rs, e);
}

/* ---- two runs: data ---- */

static bool same_artifact(const struct item *a, const struct item *b)
{
	return a->is_version && b->is_version &&
	       memcmp(&a->v.artifact, &b->v.artifact, sizeof(struct id)) == 0;
}

/* What stands for the same in the other run: under the same path, of the same artifact, or, for
 * files that are no version, simply these. */
static bool corresponds(const struct item *a, const struct item *b, int how)
{
	switch (how) {
	case 0:
		return a->path.n && str_eq(a->path, b->path);
	case 1:
		return same_artifact(a, b);
	case 2:
		return a->is_content && b->is_content && !a->path.n && !b->path.n;
	default:
		return str_eq(a->node, b->node);
	}
}

/* pair[i]: which of b belongs to a[i], + 1. */
static enum err match(const struct items *a, const struct items *b, struct arena *arena,
	size_t **out, bool **taken)
{
	size_t *pair = arena_array_of(arena, a->n + 1, size_t);
	bool *used = arena_array_of(arena, b->n + 1, bool);
	if (!pair || !used)
		return ERR_NOMEM;
	for (int how = 0; how < 4; how++)
		for (size_t i = 0; i < a->n; i++)
			for (size_t j = 0; j < b->n && !pair[i]; j++)
				if (!used[j] && corresponds(&a->v[i], &b->v[j], how)) {
					pair[i] = j + 1;
					used[j] = true;
				}
	*out = pair;
	*taken = used;
	return OK;
}

static bool readable(struct call *k, const char *digest)
{
	struct tx *tx;
	if (tree_granted(k->c, project_of(k->rq), digest, NULL) ||
		db_begin(croft_db(k->c), TX_READ, &tx, NULL))
		return false;
	enum err e = tree_readable(tx, k->rq, str_c(digest), NULL);
	db_rollback(tx);
	return !e;
}

static void write_files(struct jw *w, const struct tree_diff *d)
{
	static const char *const words[] = {"added", "removed", "changed"};
	jw_key(w, "files");
	jw_arr(w);
	for (size_t i = 0; i < MIN(d->n, (size_t)FILES_SHOWN); i++) {
		const struct tree_delta *x = &d->deltas[i];
		jw_obj(w);
		jw_kstr(w, "path", (x->after ? x->after : x->before)->path);
		jw_kc(w, "change", words[x->change]);
		jw_key(w, "before");
		x->before ? jw_u64(w, x->before->size) : jw_null(w);
		jw_key(w, "after");
		x->after ? jw_u64(w, x->after->size) : jw_null(w);
		jw_ki64(w, "shared", (int64_t)x->shared);
		jw_end(w);
	}
	jw_end(w);
	jw_ki64(w, "files_changed", (int64_t)d->n);
	jw_ki64(w, "files_same", (int64_t)d->same);
	jw_ki64(w, "shared", (int64_t)d->shared);
	jw_ki64(w, "fresh", (int64_t)d->fresh);
}

/* Their files, where both are here and may be read; else nothing is said of files. */
static enum err compare_files(struct call *k, const struct item *a, const struct item *b)
{
	struct tree *x = NULL, *y = NULL;
	struct tree_diff d;
	if (!a->tree[0] || !b->tree[0] || !may(k->rq, PERM_ARTIFACT_READ) ||
		!readable(k, a->tree) || !readable(k, b->tree))
		return OK;
	struct arena *arena = arena_new(0);
	enum err e = arena ? tree_load(croft_blobs(k->c), a->tree, &x, &k->et)
			   : err_set(&k->et, ERR_NOMEM, "no memory to compare files");
	if (!e)
		e = tree_load(croft_blobs(k->c), b->tree, &y, &k->et);
	if (!e)
		e = tree_diff(x, y, arena, &d, &k->et);
	if (!e)
		write_files(&k->w, &d);
	tree_free(x);
	tree_free(y);
	arena_free(arena);
	return e;
}

static bool same_item(const struct item *a, const struct item *b)
{
	return a->tree[0] ? !strcmp(a->tree, b->tree) : str_eq(a->node, b->node);
}

static enum err write_pair(struct call *k, const struct item *a, const struct item *b)
{
	enum err e = OK;
	const struct item *one = a ? a : b;
	bool same = a && b && same_item(a, b);
	jw_obj(&k->w);
	jw_key(&k->w, "name");
	if (one->path.n)
		jw_str(&k->w, one->path);
	else if (one->is_version)
		jw_fmt(&k->w, "%.*s/%.*s", STR_FMT(one->v.kind), STR_FMT(one->v.name));
	else
		jw_str(&k->w, one->is_content ? S("files") : one->node);
	jw_kc(&k->w, "change", same ? "same" : !a ? "added" : !b ? "removed" : "changed");
	jw_key(&k->w, "before");
	a ? write_item(&k->w, a) : jw_null(&k->w);
	jw_key(&k->w, "after");
	b ? write_item(&k->w, b) : jw_null(&k->w);
	if (a && b && !same)
		e = compare_files(k, a, b);
	jw_end(&k->w);
	return e;
}

static enum err compare_items(
	struct call *k, const char *key, const struct items *a, const struct items *b)
{
	size_t *pair = NULL;
	bool *taken = NULL;
	enum err e = match(a, b, k->rq->arena, &pair, &taken);
	if (e)
		return err_set(&k->et, e, "no memory to compare runs");
	jw_key(&k->w, key);
	jw_arr(&k->w);
	for (size_t i = 0; i < a->n && !e; i++)
		e = write_pair(k, &a->v[i], pair[i] ? &b->v[pair[i] - 1] : NULL);
	for (size_t j = 0; j < b->n && !e; j++)
		if (!taken[j])
			e = write_pair(k, NULL, &b->v[j]);
	jw_end(&k->w);
	return e;
}

/* ---- two runs: code and environment ---- */

struct recorded {
	yyjson_doc *doc; /* NULL: `croft run` did not record it */
	char patch[SHA256_HEX + 1];
};

static enum err read_record(struct call *k, struct id run, struct items *used, struct recorded *out)
{
	struct tracked *t;
	struct run_file f;
	struct os_map m = {0};
	char hex[ID_HEX + 1];
	*out = (struct recorded){0};
	id_hex(run, hex);
	enum err e = track_get(k->c, project_of(k->rq), run, &t, NULL);
	if (e == ERR_NOT_FOUND)
		return OK; /* a run of another kind */
	if (e)
		return err_set(&k->et, e, "the run %s cannot be read", hex);
	struct str base =
		arena_fmt(k->rq->arena, "%lld/%s/artifacts/croft", (long long)t->experiment, hex);
	struct str record = arena_fmt(k->rq->arena, "%.*s/record.json", STR_FMT(base));
	struct str patch = arena_fmt(k->rq->arena, "%.*s/code.patch", STR_FMT(base));
	e = add_datasets(used, t, k->rq->arena, &k->et);
	tracked_free(t);
	if (e)
		return e;
	if (!run_file_get(k->c, project_of(k->rq), patch, &f, NULL))
		memcpy(out->patch, f.blob, sizeof out->patch);
	if (run_file_get(k->c, project_of(k->rq), record, &f, NULL) || f.size > RECORD_MAX)
		return OK;
	e = blob_get(croft_blobs(k->c), f.blob, false, &m, &k->et);
	if (!e && json_parse(str_mk(m.p ? m.p : "", m.n), &out->doc, NULL))
		out->doc = NULL;
	os_unmap(&m);
	return e;
}

static void write_command(struct jw *w, yyjson_val *list)
{
	struct buf b = {0};
	yyjson_val *v;
	size_t i, n;
	yyjson_arr_foreach(list, i, n, v)
	{
		if (i)
			buf_putc(&b, ' ');
		buf_adds(&b, json_val_str(v));
	}
	jw_kstr(w, "command", buf_str(&b));
	buf_free(&b);
}

static void write_code(struct jw *w, const char *key, const struct recorded *r)
{
	yyjson_val *root = r->doc ? yyjson_doc_get_root(r->doc) : NULL,
		   *code = yyjson_obj_get(root, "code");
	jw_key(w, key);
	if (!root) {
		jw_null(w);
		return;
	}
	jw_obj(w);
	write_command(w, yyjson_obj_get(root, "command"));
	jw_kstr(w, "seed", json_str(root, "seed"));
	jw_kstr(w, "commit", json_str(code, "commit"));
	jw_kstr(w, "branch", json_str(code, "branch"));
	jw_ki64(w, "changed_files", json_i64(code, "changed_files", 0));
	jw_kc(w, "patch", r->patch[0] ? r->patch : NULL);
	jw_end(w);
}

static void write_environment(struct jw *w, const struct recorded *a, const struct recorded *b)
{
	struct buf text = {0};
	if (a->doc && b->doc)
		environment_diff(yyjson_obj_get(yyjson_doc_get_root(a->doc), "environment"),
			yyjson_obj_get(yyjson_doc_get_root(b->doc), "environment"), &text);
	struct str lines = buf_str(&text), line;
	jw_key(w, "environment");
	jw_arr(w);
	while (str_next_line(&lines, &line))
		if (line.n)
			jw_str(w, line);
	jw_end(w);
	buf_free(&text);
}

static void get_diff(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct call k = {.c = c, .rq = rq};
	struct items used[2] = {0}, made[2] = {0};
	struct recorded r[2] = {0};
	static const char *const params[] = {"id", "other"};
	struct id run;
	enum err e = OK;
	k.w.out = &k.out;
	for (int i = 0; i < 2 && !e; i++) {
		e = want_run(&k, params[i], &run);
		if (!e)
			e = both_kinds(&k, run, &used[i], &made[i]);
		if (!e)
			e = read_record(&k, run, &used[i], &r[i]);
	}
	jw_obj(&k.w);
	jw_key(&k.w, "code");
	jw_obj(&k.w);
	write_code(&k.w, "before", &r[0]);
	write_code(&k.w, "after", &r[1]);
	jw_end(&k.w);
	write_environment(&k.w, &r[0], &r[1]);
	if (!e)
		e = compare_items(&k, "inputs", &used[0], &used[1]);
	if (!e)
		e = compare_items(&k, "outputs", &made[0], &made[1]);
	jw_end(&k.w);
	yyjson_doc_free(r[0].doc);
	yyjson_doc_free(r[1].doc);
	reply(&k, rs, e);
}

/* ---- rows ---- */

static const struct shape shapes[] = {
	{"RunData",
		"{ type: \"version\" | \"content\" | \"dataset\" | \"uri\", node: string, path: "
		"string | null, "
		"label: string, tree: string | null, kind?: string, name?: string, version?: int, "
		"bytes?: int, deleted?: boolean }"},
	{"RunDataDelta",
		"{ name: string, change: \"same\" | \"added\" | \"removed\" | \"changed\", before: "
		"RunData | null, after: RunData | null, files?: TreeDelta[], files_changed?: int, "
		"files_same?: int, shared?: int, fresh?: int }"},
	{"RunCode", "{ command: string, seed: string, commit: string, branch: string, "
		    "changed_files: int, patch: string | null }"},
};

static const struct route routes[] = {
	{HTTP_GET, "/api/v1/runs/{id}/lineage", get_lineage, PERM_RUN_READ,
		"What a run used and produced: versions of artifacts, content, URIs", NULL, NULL,
		"{ inputs: RunData[], outputs: RunData[] }", 0},
	{HTTP_GET, "/api/v1/runs/{id}/diff/{other}", get_diff, PERM_RUN_READ,
		"What differs between two runs: code, environment, and by version and file what "
		"they used and produced; at most 500 files of each are listed",
		NULL, NULL,
		"{ code: { before: RunCode | null, after: RunCode | null }, environment: string[], "
		"inputs: RunDataDelta[], outputs: RunDataDelta[] }",
		0},
};

const struct module run_data_module = {.name = "run_data", TABLE(routes), TABLE(shapes)};
