/* The record of a command, its files and its log. */
#include "run/exec_int.h"
#include "base/os.h"
#include "run/environment.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void write_files(struct jw *w, const char *key, const struct kept_files *f)
{
	jw_key(w, key);
	jw_obj(w);
	jw_kc(w, "tree", f->tree[0] ? f->tree : NULL);
	jw_key(w, "files");
	jw_arr(w);
	for (size_t i = 0; i < f->n; i++) {
		jw_obj(w);
		jw_kstr(w, "path", f->v[i].path);
		jw_kc(w, "sha256", f->v[i].sha256);
		jw_ki64(w, "bytes", f->v[i].bytes);
		jw_end(w);
	}
	jw_end(w);
	jw_end(w);
}

static void write_versions(struct jw *w, const char *key, const struct kept_versions *k)
{
	jw_key(w, key);
	jw_arr(w);
	for (size_t i = 0; i < k->n; i++) {
		const struct kept_version *v = &k->v[i];
		jw_obj(w);
		jw_kstr(w, "path", v->path);
		jw_kstr(w, "kind", v->kind);
		jw_kstr(w, "name", v->name);
		jw_ki64(w, "version", v->version);
		jw_kstr(w, "artifact", v->artifact);
		jw_kc(w, "digest", v->digest);
		if (v->asked.n)
			jw_kstr(w, "asked", v->asked);
		jw_end(w);
	}
	jw_end(w);
}

static void write_code(struct jw *w, const struct record_in *in)
{
	const struct code_state *s = &in->code;
	jw_key(w, "code");
	if (!in->has_code) {
		jw_null(w);
		return;
	}
	jw_obj(w);
	jw_kstr(w, "root", s->root);
	jw_kstr(w, "below", s->below);
	jw_kstr(w, "commit", s->commit);
	jw_kstr(w, "branch", s->branch);
	jw_kstr(w, "remote", s->remote);
	jw_ki64(w, "changed_files", (int64_t)s->n_changed);
	jw_ki64(w, "submodules", (int64_t)s->n_submodules);
	jw_end(w);
}

void exec_record_write(struct buf *out, const struct record_in *in, struct buf *note)
{
	struct jw w = {.out = out};
	jw_obj(&w);
	jw_ki64(&w, "version", RECORD_VERSION);
	jw_kc(&w, "croft", CROFT_VERSION);
	jw_key(&w, "command");
	jw_arr(&w);
	for (size_t i = 0; in->argv[i]; i++)
		jw_c(&w, in->argv[i]);
	jw_end(&w);
	jw_kstr(&w, "cwd", in->cwd);
	jw_kstr(&w, "seed", in->seed);
	jw_key(&w, "params");
	jw_obj(&w);
	for (size_t i = 0; i < in->n_params; i++) {
		jw_key_str(&w, in->params[i].name);
		jw_str(&w, in->params[i].value);
	}
	jw_end(&w);
	write_code(&w, in);
	jw_key(&w, "environment");
	environment_write(&w, in->argv, in->env, note);
	write_files(&w, "inputs", in->inputs);
	write_versions(&w, "uses", in->uses);
	write_files(&w, "outputs", in->outputs);
	write_versions(&w, "makes", in->makes);
	jw_end(&w);
	if (!jw_done(&w) && !out->err)
		out->err = ERR_INTERNAL;
}

/* ---- files ---- */

struct listing {
	struct arena *a;
	struct kept_files *files;
	size_t before; /* a walk meets nothing twice: only those of earlier walks may be the same */
	struct errtext *et;
};

bool exec_inside(struct str path, struct buf *out)
{
	struct str part;
	if (!path.n || path.p[0] == '/')
		return false;
	while (str_next(&path, '/', &part)) {
		if (str_eq_c(part, ".."))
			return false;
		if (!part.n || str_eq_c(part, "."))
			continue;
		if (out->n)
			buf_putc(out, '/');
		buf_adds(out, part);
	}
	return out->n > 0;
}

static bool is_listed(const struct listing *l, struct str path)
{
	for (size_t i = 0; i < l->before; i++)
		if (str_eq(l->files->v[i].path, path))
			return true;
	return false;
}

static enum err list_one(void *ctx, const char *path, enum err err, const char *reason)
{
	struct listing *l = ctx;
	struct buf clean = {0};
	if (err)
		return err_set(l->et, err, "%s: %s", path, reason);
	if (l->files->n == FILES_MAX)
		return err_set(
			l->et, ERR_LIMIT, "more than %d files: name an archive instead", FILES_MAX);
	if (!exec_inside(str_c(path), &clean)) {
		buf_free(&clean);
		return err_set(l->et, ERR_INVALID,
			"%s is outside the working folder: it could not be put back; link or copy "
			"it "
			"there",
			path);
	}
	struct kept_file *f = &l->files->v[l->files->n];
	*f = (struct kept_file){.path = arena_str(l->a, buf_str(&clean))};
	buf_free(&clean);
	if (!f->path.p)
		return err_set(l->et, ERR_NOMEM, "no memory for a list of files");
	l->files->n += !is_listed(l, f->path);
	return OK;
}

enum err exec_files(struct str path, struct arena *a, struct kept_files *files, struct errtext *et)
{
	char c[PATH_MAX];
	struct listing l = {a, files, files->n, et};
	snprintf(c, sizeof c, "%.*s", STR_FMT(path));
	if (!os_exists(c))
		return err_set(et, ERR_NOT_FOUND, "there is no file or folder %s", c);
	enum err e = os_walk(c, true, list_one, &l, et);
	if (e)
		files->n = l.before;
	return e;
}

enum err exec_map(const char *path, struct os_map *m, struct errtext *et)
{
	if (os_file_size(path) != 0)
		return os_map_file(path, m, et);
	*m = (struct os_map){0};
	return OK;
}

/* ---- the child and its log ---- */

static enum err store_log(struct cmd *cmd, struct str run_uri, int fd, struct errtext *et)
{
	char path[64];
	struct os_map m;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	enum err e = exec_map(path, &m, et);
	if (e)
		return e;
	e = exec_put_file(cmd, run_uri, "croft/log.txt", str_mk(m.p ? m.p : "", m.n), et);
	os_unmap(&m);
	return e;
}

enum err exec_child(struct cmd *cmd, struct str run_uri, struct child_spec *spec,
	struct child_result *r, struct errtext *et)
{
	char path[] = "/tmp/croft-log-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return err_errno(et, "a temporary file for the log");
	unlink(path);
	spec->log_fd = fd;
	spec->log_max = LOG_MAX;
	cmd_flush(cmd);
	enum err e = child_run(spec, r, et);
	if (!e)
		e = store_log(cmd, run_uri, fd, et);
	close(fd);
	return e;
}
