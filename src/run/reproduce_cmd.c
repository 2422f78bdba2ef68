/* `croft reproduce`: a recorded command run again in a restored folder, and its results beside
 * those of the first time. */
#include "run/exec_int.h"
#include "artifact/transfer.h"
#include "base/hash.h"
#include "base/os.h"
#include "base/room.h"
#include "run/environment.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

extern char **environ;
const struct option reproduce_options[5] = {
	{"dir", 'd', "DIR", "Restore into this new folder, and keep it"},
	{"relative", 0, "X", "Relative tolerance of numbers (1e-5)"},
	{"absolute", 0, "X", "Absolute tolerance of numbers (1e-8)"},
	{"ignore", 0, "PATTERN", "Results not to compare (system/*); repeatable"},
	{"quiet", 'q', NULL, "Do not show what the command prints"},
};

struct row {
	const char *kind; /* "metric", "param", "output", "exit" */
	struct str name;
	enum verdict verdict;
	struct difference d;
};

struct again {
	struct cmd *cmd;
	struct arena *a;
	struct tolerance tol;
	struct str old_id, old_uri;
	yyjson_doc *old_run, *record;
	int64_t version; /* of the record */
	struct code_state code;
	struct buf patch, run, uri, url, key, differs;
	struct exec_host *host;
	char dir[PATH_MAX], cwd[PATH_MAX]; /* the restored tree; where the command runs in it */
	bool keep_dir;
	struct kept_versions *uses;
	struct kept_files inputs, outputs; /* inputs: only the tree; outputs: made this time */
	struct row *rows;
	size_t n_rows, cap_rows;
};

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory to reproduce a run");
}

/* ---- the first run ---- */

static enum err read_tolerance(struct cmd *cmd, struct tolerance *t, struct errtext *et)
{
	struct str r = cmd_opt(cmd, "relative"), a = cmd_opt(cmd, "absolute");
	*t = (struct tolerance){1e-5, 1e-8};
	if (r.p && (!str_f64(r, &t->relative) || t->relative < 0))
		return err_set(
			et, ERR_INVALID, "--relative: a number that is not negative is expected");
	if (a.p && (!str_f64(a, &t->absolute) || t->absolute < 0))
		return err_set(
			et, ERR_INVALID, "--absolute: a number that is not negative is expected");
	return OK;
}

static yyjson_val *run_of(yyjson_doc *doc)
{
	return yyjson_obj_get(yyjson_doc_get_root(doc), "run");
}

static enum err read_record(struct again *g, struct errtext *et)
{
	struct buf b = {0};
	enum err e = exec_get(g->cmd, g->old_id, &g->old_run, et);
	if (e)
		return e;
	g->old_uri = json_str(yyjson_obj_get(run_of(g->old_run), "info"), "artifact_uri");
	e = exec_get_file(g->cmd, g->old_uri, "croft/record.json", &b, et);
	if (e == ERR_NOT_FOUND)
		err_set(et, e,
			"run %.*s has no record to run again from: it was not started by `croft "
			"run`",
			STR_FMT(g->old_id));
	if (!e)
		e = json_parse(buf_str(&b), &g->record, et);
	buf_free(&b);
	g->version = json_i64(yyjson_doc_get_root(g->record), "version", 0);
	if (!e && (g->version < 1 || g->version > RECORD_VERSION))
		e = err_set(et, ERR_UNSUPPORTED, "the record is of another version of Croft");
	return e;
}

static enum err read_code(struct again *g, struct errtext *et)
{
	yyjson_val *code = yyjson_obj_get(yyjson_doc_get_root(g->record), "code");
	if (!yyjson_is_obj(code))
		return err_set(et, ERR_UNSUPPORTED,
			"the run's code was in no git repository: nothing says what it was");
	g->code = (struct code_state){.root = json_str(code, "root"),
		.below = json_str(code, "below"),
		.commit = json_str(code, "commit"),
		.remote = json_str(code, "remote"),
		.n_submodules = (size_t)json_i64(code, "submodules", 0)};
	if (json_i64(code, "changed_files", 0) == 0)
		return OK;
	enum err e = exec_get_file(g->cmd, g->old_uri, "croft/code.patch", &g->patch, et);
	g->code.patch = buf_str(&g->patch);
	return e;
}

/* ---- restoring ---- */

static enum err restore_code(struct again *g, struct errtext *et)
{
	struct str dir = cmd_opt(g->cmd, "dir");
	char real[PATH_MAX];
	g->keep_dir = dir.p != NULL;
	if (dir.p) {
		snprintf(g->dir, sizeof g->dir, "%.*s", STR_FMT(dir));
	} else {
		char base[] = "/tmp/croft-reproduce-XXXXXX";
		if (!mkdtemp(base))
			return err_errno(et, "a temporary folder");
		snprintf(g->dir, sizeof g->dir, "%s/code", base);
	}
	enum err e = code_restore(&g->code, g->dir, et);
	if (e)
		return e;
	if (!realpath(g->dir, real))
		return err_errno(et, "%s", g->dir);
	int n = snprintf(g->cwd, sizeof g->cwd, "%s%s%.*s", real, g->code.below.n ? "/" : "",
		STR_FMT(g->code.below));
	if (n >= (int)sizeof g->cwd)
		return err_set(et, ERR_TOO_LARGE, "the path of the restored folder is too long");
	e = os_mkdirs(g->cwd, et); /* an ignored folder is not in the commit */
	if (!e && g->code.n_submodules)
		cmd_note(g->cmd, "git submodules are not restored");
	return e;
}

/* No record may write outside its folder, whoever wrote it. */
static bool path_is_inside(struct str path)
{
	struct str part;
	if (!path.n || path.p[0] == '/' || memchr(path.p, 0, path.n))
		return false;
	while (str_next(&path, '/', &part))
		if (!part.n || str_eq_c(part, "..") || str_eq_c(part, "."))
			return false;
	return true;
}

/* The folder of a file that is to be restored; a link in the code must not lead out of it. */
static enum err make_folder(struct again *g, char *to, struct errtext *et)
{
	char real[PATH_MAX], top[PATH_MAX];
	char *slash = strrchr(to, '/');
	*slash = 0;
	enum err e = os_mkdirs(to, et);
	if (!e && (!realpath(to, real) || !realpath(g->dir, top)))
		e = err_errno(et, "%s", to);
	size_t n = e ? 0 : strlen(top);
	if (!e && (strncmp(real, top, n) || (real[n] && real[n] != '/')))
		e = err_set(et, ERR_FORBIDDEN, "%s leads out of the restored folder", to);
	*slash = '/';
	return e;
}

/* Of a record of version 1: a file of the run. */
static enum err restore_input(
	struct again *g, struct str path, struct str sha256, struct errtext *et)
{
	char name[PATH_MAX], to[PATH_MAX], hex[SHA256_HEX + 1];
	struct buf b = {0};
	if (!path_is_inside(path))
		return err_set(et, ERR_INVALID,
			"the record names an input outside its folder: %.*s", STR_FMT(path));
	snprintf(name, sizeof name, "croft/inputs/%.*s", STR_FMT(path));
	int n = snprintf(to, sizeof to, "%s/%.*s", g->cwd, STR_FMT(path));
	if (n >= (int)sizeof to)
		return err_set(et, ERR_TOO_LARGE, "the path of an input is too long");
	enum err e = exec_get_file(g->cmd, g->old_uri, name, &b, et);
	if (!e) {
		sha256_hex_of(buf_str(&b), hex);
		if (!str_eq_c(sha256, hex))
			e = err_set(et, ERR_CORRUPT, "the kept input %.*s is not what it was",
				STR_FMT(path));
	}
	if (!e)
		e = make_folder(g, to, et);
	if (!e)
		e = os_write_atomic(to, buf_str(&b), et);
	buf_free(&b);
	return e;
}

static enum err restore_run_files(struct again *g, yyjson_val *list, struct errtext *et)
{
	yyjson_val *f;
	size_t i, n;
	enum err e = OK;
	yyjson_arr_foreach(list, i, n, f)
	{
		if (!e)
			e = restore_input(g, json_str(f, "path"), json_str(f, "sha256"), et);
	}
	return e;
}

static enum err move_files(
	struct again *g, const struct tree *t, const char *from, struct errtext *et)
{
	char a[2 * PATH_MAX], b[2 * PATH_MAX];
	enum err e = OK;
	for (size_t i = 0; i < t->n_files && !e; i++) {
		snprintf(a, sizeof a, "%s/%s", from, t->files[i].path.p);
		int n = snprintf(b, sizeof b, "%s/%s", g->cwd, t->files[i].path.p);
		if (n >= PATH_MAX)
			return err_set(et, ERR_TOO_LARGE, "the path of an input is too long");
		e = make_folder(g, b, et);
		if (!e && rename(a, b))
			e = err_errno(et, "%s", b);
	}
	return e;
}

/* The files that are no version, verified beside the code and then moved into it. */
static enum err restore_tree(struct again *g, struct str digest, struct errtext *et)
{
	char dir[PATH_MAX + 32];
	struct tree *t = NULL;
	struct tree_sum sum;
	if (!digest.n)
		return OK;
	snprintf(g->inputs.tree, sizeof g->inputs.tree, "%.*s", STR_FMT(digest));
	snprintf(dir, sizeof dir, "%s/.croft-inputs-XXXXXX", g->cwd);
	if (!mkdtemp(dir))
		return err_errno(et, "a folder in %s", g->cwd);
	enum err e = tree_fetch(g->cmd, digest, &t, et);
	if (!e)
		e = tree_pull(g->cmd, digest, dir, NULL, &sum, et);
	if (e)
		err_wrap(et, e, "the inputs of the run");
	else
		e = move_files(g, t, dir, et);
	tree_free(t);
	os_remove_tree(dir, NULL);
	return e;
}

static enum err is_deleted(
	struct again *g, const struct kept_version *v, bool *deleted, struct errtext *et)
{
	struct buf path = {0}, reply = {0};
	yyjson_doc *doc = NULL;
	buf_addf(&path, "/api/v1/lineage/graph?depth=1&nodes=1&of=version:%.*s:%lld",
		STR_FMT(v->artifact), (long long)v->version);
	enum err e = cmd_call(g->cmd, HTTP_GET, buf_c(&path), (struct str){0}, &reply, et);
	if (!e)
		e = json_parse(buf_str(&reply), &doc, et);
	yyjson_val *nodes = doc ? yyjson_obj_get(yyjson_doc_get_root(doc), "nodes") : NULL;
	*deleted = json_bool(yyjson_arr_get_first(nodes), "deleted", false);
	yyjson_doc_free(doc);
	buf_free(&path);
	buf_free(&reply);
	return e;
}

/* Exactly the version that was used, wherever its aliases point by now. */
static enum err restore_version(struct again *g, yyjson_val *o, struct errtext *et)
{
	if (g->uses->n == VERSIONS_MAX)
		return err_set(
			et, ERR_LIMIT, "the record names more than %d versions", VERSIONS_MAX);
	struct kept_version *v = &g->uses->v[g->uses->n++];
	char to[2 * PATH_MAX];
	bool deleted = false;
	*v = (struct kept_version){.path = json_str(o, "path"),
		.kind = json_str(o, "kind"),
		.name = json_str(o, "name"),
		.artifact = json_str(o, "artifact"),
		.version = json_i64(o, "version", 0)};
	snprintf(v->digest, sizeof v->digest, "%.*s", STR_FMT(json_str(o, "digest")));
	if (!path_is_inside(v->path))
		return err_set(et, ERR_INVALID,
			"the record names an input outside its folder: %.*s", STR_FMT(v->path));
	enum err e = is_deleted(g, v, &deleted, et);
	snprintf(to, sizeof to, "%s/%.*s", g->cwd, STR_FMT(v->path));
	if (!e)
		e = make_folder(g, to, et);
	if (!e)
		e = exec_place(g->cmd, v, g->cwd, et);
	if (e == ERR_NOT_FOUND && deleted)
		return err_set(et, e,
			"%.*s/%.*s:%lld, which the run used as %.*s, was deleted and its content "
			"is gone",
			STR_FMT(v->kind), STR_FMT(v->name), (long long)v->version,
			STR_FMT(v->path));
	if (!e && deleted)
		buf_addf(&g->differs,
			"%.*s/%.*s:%lld was deleted since; its content was still there\n",
			STR_FMT(v->kind), STR_FMT(v->name), (long long)v->version);
	return e;
}

static enum err restore_inputs(struct again *g, struct errtext *et)
{
	yyjson_val *root = yyjson_doc_get_root(g->record), *inputs = yyjson_obj_get(root, "inputs");
	yyjson_val *v;
	size_t i, n;
	g->uses = arena_array_of(g->a, 1, struct kept_versions);
	if (!g->uses)
		return no_memory(et);
	if (g->version == 1)
		return restore_run_files(g, inputs, et);
	enum err e = restore_tree(g, json_str(inputs, "tree"), et);
	yyjson_arr_foreach(yyjson_obj_get(root, "uses"), i, n, v)
	{
		if (!e)
			e = restore_version(g, v, et);
	}
	return e;
}

/* ---- running ---- */

static const char **recorded_command(struct again *g)
{
	yyjson_val *list = yyjson_obj_get(yyjson_doc_get_root(g->record), "command"), *v;
	size_t i, n;
	const char **argv = arena_array_of(g->a, yyjson_arr_size(list) + 1, const char *);
	if (!argv)
		return NULL;
	yyjson_arr_foreach(list, i, n, v)
	{
		if (!(argv[i] = arena_c(g->a, json_val_str(v))))
			return NULL;
	}
	return argv[0] ? argv : NULL;
}

static enum err give_params(struct again *g, struct errtext *et)
{
	yyjson_val *o = yyjson_obj_get(yyjson_doc_get_root(g->record), "params"), *k, *v;
	struct http_pair *params = arena_array_of(g->a, yyjson_obj_size(o) + 1, struct http_pair);
	size_t i, n;
	if (!params)
		return no_memory(et);
	yyjson_obj_foreach(o, i, n, k, v)
	{
		params[i] = (struct http_pair){json_val_str(k), json_val_str(v)};
	}
	n = yyjson_obj_size(o);
	return n ? exec_log(g->cmd, buf_str(&g->run), params, n, NULL, 0, NULL, 0, et) : OK;
}

static enum err open_run(struct again *g, struct errtext *et)
{
	yyjson_val *info = yyjson_obj_get(run_of(g->old_run), "info");
	struct str name = arena_fmt(g->a, "reproduces %.*s", STR_FMT(json_str(info, "run_name")));
	struct http_pair tags[] = {{S("croft.reproduces"), g->old_id},
		{S("mlflow.source.git.commit"), g->code.commit}};
	struct buf path = {0}, reply = {0};
	yyjson_doc *doc = NULL;
	buf_addc(&path, "/api/2.0/mlflow/experiments/get?experiment_id=");
	url_encode(&path, json_str(info, "experiment_id"));
	enum err e = cmd_call(g->cmd, HTTP_GET, buf_c(&path), (struct str){0}, &reply, et);
	if (!e)
		e = json_parse(buf_str(&reply), &doc, et);
	if (!e)
		e = exec_create(g->cmd,
			json_str(yyjson_obj_get(yyjson_doc_get_root(doc), "experiment"), "name"),
			name, tags, ARRAY_LEN(tags), &g->run, et);
	yyjson_doc_free(doc);
	buf_free(&path);
	buf_free(&reply);
	doc = NULL;
	if (!e)
		e = give_params(g, et);
	if (!e)
		e = exec_used(g->cmd, buf_str(&g->run), g->uses, &g->inputs, et);
	if (!e)
		e = exec_get(g->cmd, buf_str(&g->run), &doc, et);
	if (!e)
		buf_adds(&g->uri, json_str(yyjson_obj_get(run_of(doc), "info"), "artifact_uri"));
	yyjson_doc_free(doc);
	return e;
}

/* What is different around it this time; a new record is not written: it would be the old one. */
static void compare_environment(struct again *g, const char *const *argv)
{
	struct buf b = {0}, note = {0};
	struct jw w = {.out = &b};
	yyjson_doc *now = NULL;
	environment_write(&w, argv, (const char *const *)environ, &note);
	if (jw_done(&w) && !json_parse(buf_str(&b), &now, NULL))
		environment_diff(yyjson_obj_get(yyjson_doc_get_root(g->record), "environment"),
			yyjson_doc_get_root(now), &g->differs);
	if (note.n)
		buf_addf(&g->differs, "%s\n", buf_c(&note));
	yyjson_doc_free(now);
	buf_free(&b);
	buf_free(&note);
}

static enum err run_again(struct again *g, struct child_result *r, struct errtext *et)
{
	yyjson_val *rec = yyjson_doc_get_root(g->record);
	const char **argv = recorded_command(g);
	const char **extra = exec_variables(
		g->a, buf_str(&g->url), buf_str(&g->key), buf_str(&g->run), json_str(rec, "seed"));
	const char **env = extra ? environment_again(g->a, (const char *const *)environ,
					   yyjson_obj_get(rec, "environment"), extra)
				 : NULL;
	if (!argv || !env)
		return no_memory(et);
	compare_environment(g, argv);
	struct child_spec spec = {.argv = argv,
		.env = env,
		.dir = g->cwd,
		.cancel = cmd_cancel(g->cmd),
		.quiet = cmd_json(g->cmd) || cmd_flag(g->cmd, "quiet")};
	return exec_child(g->cmd, buf_str(&g->uri), &spec, r, et);
}

/* ---- comparing ---- */

static struct row *add_row(struct again *g, const char *kind, struct str name)
{
	if (!heap_room(g->rows, g->n_rows, g->cap_rows))
		return NULL;
	struct row *r = &g->rows[g->n_rows++];
	*r = (struct row){.kind = kind, .name = arena_str(g->a, name)};
	return r;
}

static bool ignored(struct again *g, struct str name)
{
	char c[512];
	struct str pattern;
	snprintf(c, sizeof c, "%.*s", STR_FMT(name));
	if (fnmatch("system/*", c, 0) == 0)
		return true;
	for (size_t i = 0; (pattern = cmd_opt_at(g->cmd, "ignore", i)).p; i++)
		if (fnmatch(pattern.p, c, 0) == 0)
			return true;
	return false;
}

static struct str value_of(yyjson_val *list, struct str key)
{
	yyjson_val *p;
	size_t i, n;
	yyjson_arr_foreach(list, i, n, p)
	{
		if (str_eq(json_str(p, "key"), key))
			return json_str(p, "value");
	}
	return (struct str){0};
}

/* Every key of both lists, once: those of `a`, then those that only `b` has. */
typedef enum err (*each_key)(struct again *g, struct str key, struct errtext *et);
static enum err for_keys(
	struct again *g, yyjson_val *a, yyjson_val *b, each_key fn, struct errtext *et)
{
	yyjson_val *lists[] = {a, b}, *p, *q;
	enum err e = OK;
	for (int l = 0; l < 2 && !e; l++) {
		size_t i, n, k, m;
		yyjson_arr_foreach(lists[l], i, n, p)
		{
			struct str key = json_str(p, "key");
			bool seen = false;
			if (l)
				yyjson_arr_foreach(a, k, m, q)
				{
					seen |= str_eq(json_str(q, "key"), key);
				}
			if (!e && !seen && !ignored(g, key))
				e = fn(g, key, et);
		}
	}
	return e;
}

static yyjson_val *data_of(yyjson_doc *run, const char *what)
{
	return yyjson_obj_get(yyjson_obj_get(run_of(run), "data"), what);
}

static enum err compare_metric(struct again *g, struct str key, struct errtext *et)
{
	struct sample *a = NULL, *b = NULL;
	size_t n_a = 0, n_b = 0;
	struct row *r = add_row(g, "metric", key);
	enum err e = r ? exec_series(g->cmd, g->old_id, key, &a, &n_a, et) : no_memory(et);
	if (!e)
		e = exec_series(g->cmd, buf_str(&g->run), key, &b, &n_b, et);
	if (!e)
		r->verdict = compare_series(a, n_a, b, n_b, &g->tol, &r->d);
	free(a);
	free(b);
	return e;
}

static enum err compare_params(struct again *g, yyjson_doc *now, struct errtext *et)
{
	yyjson_val *a = data_of(g->old_run, "params"), *b = data_of(now, "params"), *p;
	size_t i, n;
	yyjson_arr_foreach(a, i, n, p)
	{
		struct str key = json_str(p, "key"), x = json_str(p, "value"), y = value_of(b, key);
		struct row *r = add_row(g, "param", key);
		if (!r)
			return no_memory(et);
		r->verdict = y.p && str_eq(x, y) ? REPRODUCED : DIVERGED;
		if (r->verdict)
			snprintf(r->d.where, sizeof r->d.where, "%.*s, then %.*s",
				(int)MIN(x.n, 80), x.p, y.p ? (int)MIN(y.n, 80) : 4,
				y.p ? y.p : "none");
	}
	return OK;
}

/* What the first run made: a file of a tree, or (version 1) of the run. */
struct old_output {
	struct str path, sha256;
	const char *tree, *inner;
};

static enum err get_old(
	struct again *g, const struct old_output *o, struct buf *out, struct errtext *et)
{
	char name[PATH_MAX];
	struct buf url = {0};
	struct str rest, part;
	if (!o->tree) {
		snprintf(name, sizeof name, "croft/outputs/%.*s", STR_FMT(o->path));
		return exec_get_file(g->cmd, g->old_uri, name, out, et);
	}
	buf_addf(&url, "/api/v1/trees/%s/files", o->tree);
	for (rest = str_c(o->inner); str_next(&rest, '/', &part);) {
		buf_putc(&url, '/');
		url_encode(&url, part);
	}
	enum err e = cmd_call(g->cmd, HTTP_GET, buf_c(&url), (struct str){0}, out, et);
	buf_free(&url);
	return e;
}

static enum err compare_output(struct again *g, const struct old_output *o, struct errtext *et)
{
	char name[2 * PATH_MAX], hex[SHA256_HEX + 1];
	struct buf old = {0};
	struct os_map m;
	if (!path_is_inside(o->path))
		return err_set(et, ERR_INVALID, "the record names an output outside its folder");
	struct row *r = add_row(g, "output", o->path);
	if (!r)
		return no_memory(et);
	snprintf(name, sizeof name, "%s/%.*s", g->cwd, STR_FMT(o->path));
	enum err e = exec_map(name, &m, et);
	if (e == ERR_NOT_FOUND) {
		r->verdict = DIVERGED;
		snprintf(r->d.where, sizeof r->d.where, "it was not made this time");
		return OK;
	}
	if (e)
		return e;
	struct str now = str_mk(m.p ? m.p : "", m.n);
	sha256_hex_of(now, hex);
	if (!str_eq_c(o->sha256, hex)) {
		e = get_old(g, o, &old, et);
		if (!e)
			r->verdict = compare_bytes(buf_str(&old), now, &g->tol, &r->d);
	}
	os_unmap(&m);
	buf_free(&old);
	if (!e && g->outputs.n < FILES_MAX)
		g->outputs.v[g->outputs.n++] = (struct kept_file){.path = arena_str(g->a, o->path)};
	return e;
}

static enum err compare_one(struct again *g, const struct old_output *o, struct errtext *et)
{
	return ignored(g, o->path) ? OK : compare_output(g, o, et);
}

/* The files of a tree that stood at `path` (a version), or at their own paths. */
static enum err compare_tree(
	struct again *g, struct str digest, struct str path, struct errtext *et)
{
	struct tree *t = NULL;
	if (!digest.n)
		return OK;
	enum err e = tree_fetch(g->cmd, digest, &t, et);
	if (e)
		return err_wrap(et, e, "the outputs of the run");
	struct str last = path;
	size_t slash = str_rchr(path, '/');
	if (slash != STR_NONE)
		last = str_sub(path, slash + 1, path.n);
	bool one = path.n && t->n_files == 1 && str_eq(t->files[0].path, last);
	for (size_t i = 0; i < t->n_files && !e; i++) {
		const struct tree_file *f = &t->files[i];
		struct old_output o = {
			.path = f->path, .sha256 = str_c(f->sha256), t->digest, f->path.p};
		if (path.n)
			o.path =
				one ? path
				    : arena_fmt(g->a, "%.*s/%.*s", STR_FMT(path), STR_FMT(f->path));
		e = o.path.p ? compare_one(g, &o, et) : no_memory(et);
	}
	tree_free(t);
	return e;
}

static enum err compare_outputs(struct again *g, struct errtext *et)
{
	yyjson_val *root = yyjson_doc_get_root(g->record),
		   *outputs = yyjson_obj_get(root, "outputs"), *f;
	size_t i, n;
	enum err e = OK;
	g->outputs.v = arena_array_of(g->a, FILES_MAX, struct kept_file);
	if (!g->outputs.v)
		return no_memory(et);
	if (yyjson_is_arr(outputs))
		yyjson_arr_foreach(outputs, i, n, f)
		{
			struct old_output o = {
				.path = json_str(f, "path"), .sha256 = json_str(f, "sha256")};
			if (!e)
				e = compare_one(g, &o, et);
		}
	else
		e = compare_tree(g, json_str(outputs, "tree"), (struct str){0}, et);
	yyjson_arr_foreach(yyjson_obj_get(root, "makes"), i, n, f)
	{
		if (!e)
			e = compare_tree(g, json_str(f, "digest"), json_str(f, "path"), et);
	}
	if (!e)
		e = exec_store(g->cmd, g->cwd, &g->outputs, g->a, et);
	static const struct kept_versions none;
	return e ? e : exec_produced(g->cmd, buf_str(&g->run), &none, &g->outputs, et);
}

static enum err compare_exit(struct again *g, const struct child_result *r, struct errtext *et)
{
	yyjson_val *tags = data_of(g->old_run, "tags");
	struct str then = value_of(tags, S("croft.exit"));
	struct str now = r->signal ? arena_fmt(g->a, "signal %d", r->signal)
				   : arena_fmt(g->a, "%d", r->exit_code);
	struct row *row = add_row(g, "exit", S("status"));
	if (!row)
		return no_memory(et);
	row->verdict = str_eq(then, now) ? REPRODUCED : DIVERGED;
	if (row->verdict)
		snprintf(row->d.where, sizeof row->d.where, "%.*s, then %.*s", STR_FMT(then),
			STR_FMT(now));
	return OK;
}

static enum err compare_all(struct again *g, const struct child_result *r, struct errtext *et)
{
	yyjson_doc *now = NULL;
	enum err e = exec_get(g->cmd, buf_str(&g->run), &now, et);
	if (!e)
		e = compare_exit(g, r, et);
	if (!e)
		e = compare_params(g, now, et);
	if (!e)
		e = for_keys(g, data_of(g->old_run, "metrics"), data_of(now, "metrics"),
			compare_metric, et);
	if (!e)
		e = compare_outputs(g, et);
	yyjson_doc_free(now);
	return e;
}

/* ---- the answer ---- */

static enum verdict overall(const struct again *g)
{
	enum verdict v = REPRODUCED;
	for (size_t i = 0; i < g->n_rows; i++)
		v = MAX(v, g->rows[i].verdict);
	return v;
}

static void write_report(struct again *g, struct buf *out)
{
	struct jw w = {.out = out};
	struct str lines = buf_str(&g->differs), line;
	jw_obj(&w);
	jw_kc(&w, "verdict", verdict_word(overall(g)));
	jw_kstr(&w, "reproduces", g->old_id);
	jw_kstr(&w, "run", buf_str(&g->run));
	jw_key(&w, "tolerance");
	jw_obj(&w);
	jw_kf64(&w, "relative", g->tol.relative);
	jw_kf64(&w, "absolute", g->tol.absolute);
	jw_end(&w);
	jw_key(&w, "environment");
	jw_arr(&w);
	while (str_next_line(&lines, &line))
		if (line.n)
			jw_str(&w, line);
	jw_end(&w);
	jw_key(&w, "results");
	jw_arr(&w);
	for (size_t i = 0; i < g->n_rows; i++) {
		jw_obj(&w);
		jw_kc(&w, "kind", g->rows[i].kind);
		jw_kstr(&w, "name", g->rows[i].name);
		jw_kc(&w, "verdict", verdict_word(g->rows[i].verdict));
		jw_kc(&w, "where", g->rows[i].d.where[0] ? g->rows[i].d.where : NULL);
		jw_end(&w);
	}
	jw_end(&w);
	jw_end(&w);
}

static void print_report(struct again *g)
{
	static const char *const titles[] = {"", "NAME", "RESULT", "WHERE"};
	static const char *const says[] = {"reproduced", "within tolerance", "diverged"};
	if (g->differs.n)
		cmd_outf(g->cmd, "\nDifferent around it this time:\n%s", buf_c(&g->differs));
	cmd_out(g->cmd, S("\n"));
	struct cmd_table *t = cmd_table(g->cmd, titles, ARRAY_LEN(titles));
	for (size_t i = 0; i < g->n_rows; i++) {
		const struct row *r = &g->rows[i];
		cmd_cell(t, "%s", r->kind);
		cmd_cell(t, "%.*s", STR_FMT(r->name));
		cmd_cell(t, "%s", says[r->verdict]);
		cmd_cell(t, "%s", r->d.where);
	}
	cmd_table_end(t);
	cmd_outf(g->cmd, "\n%s%s%s  (relative %g, absolute %g)\n", cmd_style(g->cmd, "bold"),
		says[overall(g)], cmd_style(g->cmd, "reset"), g->tol.relative, g->tol.absolute);
	cmd_outf(g->cmd, "run %s\n", buf_c(&g->run));
	if (g->keep_dir)
		cmd_outf(g->cmd, "restored in %s\n", g->dir);
}

static enum err store_report(struct again *g, struct errtext *et)
{
	struct buf b = {0};
	const struct http_pair tag = {S("croft.reproduction"), str_c(verdict_word(overall(g)))};
	write_report(g, &b);
	enum err e = b.err ? no_memory(et)
			   : exec_put_file(g->cmd, buf_str(&g->uri), "croft/reproduction.json",
				     buf_str(&b), et);
	if (!e)
		e = exec_log(g->cmd, buf_str(&g->run), NULL, 0, NULL, 0, &tag, 1, et);
	if (!e && cmd_json(g->cmd))
		cmd_outf(g->cmd, "%s\n", buf_c(&b));
	else if (!e)
		print_report(g);
	buf_free(&b);
	return e;
}

static enum err reproduce(struct again *g, struct errtext *et)
{
	struct child_result r = {0};
	enum err e = read_record(g, et);
	if (!e)
		e = read_code(g, et);
	if (!e)
		e = restore_code(g, et);
	if (!e)
		e = restore_inputs(g, et);
	if (!e)
		e = exec_host_open(g->cmd, &g->host, &g->url, &g->key, et);
	if (!e)
		e = open_run(g, et);
	if (e)
		return e;
	e = run_again(g, &r, et);
	if (!e)
		e = compare_all(g, &r, et);
	if (!e)
		e = store_report(g, et);
	struct errtext ignored_text;
	enum err ended = exec_end(
		g->cmd, buf_str(&g->run), !e && !r.exit_code && !r.signal, e ? &ignored_text : et);
	if (e || ended)
		return e ? e : ended;
	return overall(g) == DIVERGED ? err_set(et, ERR_CONFLICT, "run %.*s was not reproduced",
						STR_FMT(g->old_id))
				      : OK;
}

static void remove_temporary(struct again *g)
{
	char *slash = strrchr(g->dir, '/');
	if (g->keep_dir || !slash)
		return;
	*slash = 0; /* the folder around "code" */
	os_remove_tree(g->dir, NULL);
}

enum err exec_reproduce(struct cmd *cmd, struct errtext *et)
{
	struct again g = {.cmd = cmd, .a = arena_new(0), .old_id = cmd_arg(cmd, 0)};
	enum err e = cmd_n_args(cmd) == 1
			     ? g.a ? OK : no_memory(et)
			     : err_set(et, ERR_INVALID, "name one run: croft reproduce RUN");
	if (!e)
		e = read_tolerance(cmd, &g.tol, et);
	if (!e)
		e = reproduce(&g, et);
	exec_host_close(g.host);
	remove_temporary(&g);
	yyjson_doc_free(g.old_run);
	yyjson_doc_free(g.record);
	struct buf *bufs[] = {&g.patch, &g.run, &g.uri, &g.url, &g.key, &g.differs};
	for (size_t i = 0; i < ARRAY_LEN(bufs); i++)
		buf_free(bufs[i]);
	free(g.rows);
	arena_free(g.a);
	return e;
}
