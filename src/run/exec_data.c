/* Inputs and outputs of a command: versions of artifacts put where the command wants them, files
 * stored as content, and the edges of lineage that say so. */
#include "run/exec_int.h"
#include "artifact/registry.h"
#include "artifact/transfer.h"
#include "base/os.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for the inputs and outputs of a command");
}

static bool is_kind(struct str kind)
{
	for (size_t i = 0; i < n_artifact_kinds; i++)
		if (str_eq_c(kind, artifact_kinds[i].name))
			return true;
	return false;
}

bool exec_ref(struct str text, struct str *path, struct str *ref)
{
	size_t eq = str_chr(text, '=');
	if (eq == STR_NONE || !eq || str_starts(text, S("./")))
		return false;
	struct str of = str_sub(text, eq + 1, text.n);
	size_t slash = str_chr(of, '/');
	if (slash == STR_NONE || !is_kind(str_sub(of, 0, slash)))
		return false;
	*path = str_sub(text, 0, eq);
	*ref = of;
	return true;
}

static enum err clean_path(struct str path, struct arena *a, struct str *out, struct errtext *et)
{
	struct buf b = {0};
	bool inside = exec_inside(path, &b);
	struct str kept = inside ? arena_str(a, buf_str(&b)) : (struct str){0};
	buf_free(&b);
	if (!inside)
		return err_set(et, ERR_INVALID,
			"%.*s is outside the working folder: it could not be put back",
			STR_FMT(path));
	if (!kept.p)
		return no_memory(et);
	*out = kept;
	return OK;
}

static enum err call_json(struct cmd *cmd, enum http_method method, const char *path,
	struct str body, yyjson_doc **doc, struct errtext *et)
{
	struct buf reply = {0};
	enum err e = cmd_call(cmd, method, path, body, &reply, et);
	if (!e)
		e = json_parse(buf_str(&reply), doc, et);
	buf_free(&reply);
	return e;
}

/* A version as the API gives it. */
static enum err read_version(
	yyjson_val *o, struct arena *a, struct kept_version *out, struct errtext *et)
{
	struct str digest = json_str(o, "digest");
	struct kept_version v = {.path = out->path,
		.asked = out->asked,
		.kind = arena_str(a, json_str(o, "kind")),
		.name = arena_str(a, json_str(o, "name")),
		.artifact = arena_str(a, json_str(o, "artifact")),
		.version = json_i64(o, "version", 0)};
	if (!v.kind.p || !v.name.p || !v.artifact.p)
		return no_memory(et);
	if (!tree_digest_ok(digest))
		return err_set(et, ERR_NOT_FOUND,
			"%.*s/%.*s:%lld has no files here: it is kept at %.*s", STR_FMT(v.kind),
			STR_FMT(v.name), (long long)v.version,
			STR_FMT(str_sub(json_str(o, "source"), 0, 200)));
	snprintf(v.digest, sizeof v.digest, "%.*s", STR_FMT(digest));
	*out = v;
	return OK;
}

enum err exec_find(struct cmd *cmd, struct str path, struct str ref, struct arena *a,
	struct kept_version *out, struct errtext *et)
{
	struct buf url = {0};
	yyjson_doc *doc = NULL;
	struct kept_version v = {.asked = ref};
	enum err e = clean_path(path, a, &v.path, et);
	buf_addc(&url, "/api/v1/artifacts/resolve?ref=");
	url_encode(&url, ref);
	if (!e)
		e = call_json(cmd, HTTP_GET, buf_c(&url), (struct str){0}, &doc, et);
	if (!e)
		e = read_version(yyjson_doc_get_root(doc), a, &v, et);
	yyjson_doc_free(doc);
	buf_free(&url);
	if (!e)
		*out = v;
	return e;
}

/* ---- a version into the working folder ---- */

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* Into a folder beside it first, so that the file appears at once and whole. */
static enum err place_file(
	struct cmd *cmd, const struct kept_version *v, const char *to, struct errtext *et)
{
	char dir[PATH_MAX + 16], from[2 * PATH_MAX];
	struct tree_sum sum;
	snprintf(dir, sizeof dir, "%.*s.croft-XXXXXX", (int)(last_part(to) - to), to);
	if (!mkdtemp(dir))
		return err_errno(et, "a folder beside %s", to);
	enum err e = tree_pull(cmd, str_c(v->digest), dir, NULL, &sum, et);
	snprintf(from, sizeof from, "%s/%s", dir, last_part(to));
	if (!e && rename(from, to))
		e = err_errno(et, "%s", to);
	os_remove_tree(dir, NULL);
	return e;
}

static enum err make_parent(char *path, struct errtext *et)
{
	char *slash = strrchr(path, '/');
	if (!slash || slash == path)
		return OK;
	*slash = 0;
	enum err e = os_mkdirs(path, et);
	*slash = '/';
	return e;
}

/* *there: the very same stands at `to` already. */
static enum err look_at(
	const struct kept_version *v, const char *to, bool *there, struct errtext *et)
{
	struct tree_sum now;
	struct stat st;
	*there = false;
	if (lstat(to, &st))
		return errno == ENOENT || errno == ENOTDIR ? OK : err_errno(et, "%s", to);
	bool read = !tree_digest_of(to, NULL, &now, NULL);
	if (!read && S_ISDIR(st.st_mode))
		return OK; /* tree_pull takes an empty one */
	*there = read && str_eq_c(str_c(now.digest), v->digest);
	return *there ? OK
		      : err_set(et, ERR_CONFLICT,
				"%s is there already and is not %.*s/%.*s:%lld: move it away, or "
				"name another path",
				to, STR_FMT(v->kind), STR_FMT(v->name), (long long)v->version);
}

enum err exec_place(
	struct cmd *cmd, const struct kept_version *v, const char *dir, struct errtext *et)
{
	char to[PATH_MAX];
	struct tree *t = NULL;
	struct tree_sum sum;
	bool there = false;
	int n = snprintf(to, sizeof to, "%s%s%.*s", dir, *dir ? "/" : "", STR_FMT(v->path));
	if (n >= (int)sizeof to)
		return err_set(et, ERR_TOO_LARGE, "the path of an input is too long");
	enum err e = look_at(v, to, &there, et);
	if (e || there)
		return e;
	e = tree_fetch(cmd, str_c(v->digest), &t, et);
	if (!e)
		e = make_parent(to, et);
	if (!e && t->n_files == 1 && str_eq_c(t->files[0].path, last_part(to)))
		e = place_file(cmd, v, to, et);
	else if (!e)
		e = tree_pull(cmd, str_c(v->digest), to, NULL, &sum, et);
	tree_free(t);
	if (e)
		err_wrap(et, e, "%.*s", STR_FMT(v->path));
	return e;
}

/* ---- what is here into Croft ---- */

static void version_body(const struct tree_pushed *sum, struct str run, struct buf *out)
{
	struct jw w = {.out = out};
	jw_obj(&w);
	jw_kc(&w, "digest", sum->digest);
	jw_ki64(&w, "bytes", (int64_t)sum->bytes);
	jw_kbool(&w, "reuse", true);
	if (run.n)
		jw_kstr(&w, "run", run);
	jw_end(&w);
}

enum err exec_make(struct cmd *cmd, struct str path, struct str ref, struct str run,
	struct arena *a, struct kept_version *out, struct errtext *et)
{
	struct ref r;
	struct tree_pushed sum = {0};
	struct kept_version v = {0};
	struct buf url = {0}, body = {0};
	yyjson_doc *doc = NULL;
	enum err e = ref_parse(ref, &r, et);
	if (!e && (r.version || r.alias.n))
		e = err_set(et, ERR_INVALID,
			"%.*s: a new version is made: name the artifact only, as in dataset/NAME",
			STR_FMT(ref));
	if (!e)
		e = clean_path(path, a, &v.path, et);
	const char *at = e ? NULL : arena_c(a, v.path);
	if (!e)
		e = at ? tree_push(cmd, at, NULL, &sum, et) : no_memory(et);
	buf_addf(&url, "/api/v1/artifacts/%.*s/", STR_FMT(r.kind));
	url_encode(&url, r.name);
	buf_addc(&url, "/versions");
	version_body(&sum, run, &body);
	if (!e)
		e = call_json(cmd, HTTP_POST, buf_c(&url), buf_str(&body), &doc, et);
	if (!e)
		e = read_version(yyjson_doc_get_root(doc), a, &v, et);
	yyjson_doc_free(doc);
	buf_free(&url);
	buf_free(&body);
	if (!e)
		*out = v;
	return e;
}

enum err exec_store(struct cmd *cmd, const char *dir, struct kept_files *files, struct arena *a,
	struct errtext *et)
{
	struct tree_pushed sum = {0};
	struct tree_local *list = arena_array_of(a, files->n + 1, struct tree_local);
	if (!files->n)
		return OK;
	if (!list)
		return no_memory(et);
	for (size_t i = 0; i < files->n; i++) {
		struct str path = files->v[i].path;
		struct str from = arena_fmt(a, "%s%s%.*s", dir, *dir ? "/" : "", STR_FMT(path));
		if (!from.p)
			return no_memory(et);
		list[i] = (struct tree_local){.from = from.p, .path = path};
	}
	enum err e = tree_push_files(cmd, list, files->n, NULL, &sum, et);
	if (e)
		return e;
	for (size_t i = 0; i < files->n; i++) {
		files->v[i] =
			(struct kept_file){.path = list[i].path, .bytes = (int64_t)list[i].size};
		memcpy(files->v[i].sha256, list[i].sha256, sizeof files->v[i].sha256);
	}
	memcpy(files->tree, sum.digest, sizeof files->tree);
	return OK;
}

/* ---- lineage ---- */

static enum err put_edge(struct cmd *cmd, const char *kind, struct str run, const char *other,
	struct str path, struct errtext *et)
{
	struct buf body = {0}, reply = {0}, node = {0};
	struct jw w = {.out = &body};
	bool used = !strcmp(kind, "used");
	buf_addf(&node, "run:%.*s", STR_FMT(run));
	jw_obj(&w);
	jw_kc(&w, "kind", kind);
	jw_kc(&w, "node", used ? buf_c(&node) : other);
	jw_kc(&w, "source", used ? other : buf_c(&node));
	jw_key(&w, "detail");
	jw_obj(&w);
	if (path.n)
		jw_kstr(&w, "path", path);
	else
		jw_kbool(&w, "files", true);
	jw_end(&w);
	jw_end(&w);
	enum err e = jw_done(&w) ? cmd_call(cmd, HTTP_POST, "/api/v1/lineage/edges", buf_str(&body),
					   &reply, et)
				 : no_memory(et);
	buf_free(&body);
	buf_free(&reply);
	buf_free(&node);
	return e;
}

static enum err put_edges(struct cmd *cmd, const char *kind, struct str run,
	const struct kept_versions *v, const struct kept_files *f, struct errtext *et)
{
	char other[128];
	enum err e = OK;
	for (size_t i = 0; i < v->n && !e; i++) {
		snprintf(other, sizeof other, "version:%.*s:%lld", STR_FMT(v->v[i].artifact),
			(long long)v->v[i].version);
		e = put_edge(cmd, kind, run, other, v->v[i].path, et);
	}
	if (!e && f->tree[0]) {
		snprintf(other, sizeof other, TREE_URN "%s", f->tree);
		e = put_edge(cmd, kind, run, other, (struct str){0}, et);
	}
	return e;
}

enum err exec_used(struct cmd *cmd, struct str run, const struct kept_versions *v,
	const struct kept_files *f, struct errtext *et)
{
	return put_edges(cmd, "used", run, v, f, et);
}

enum err exec_produced(struct cmd *cmd, struct str run, const struct kept_versions *v,
	const struct kept_files *f, struct errtext *et)
{
	return put_edges(cmd, "produced", run, v, f, et);
}
