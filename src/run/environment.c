/* The surroundings of a command. Python is asked itself, in one short-lived process, because only
 * it knows which of its folders count. */
#include "run/environment.h"
#include "base/os.h"
#include "base/proc.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { VALUE_MAX = 8192, PYTHON_MS_MAX = 30000 };

/* ---- variables ---- */

static bool has_word(struct str name, const char *word)
{
	return str_find_nocase(name, str_c(word)) != STR_NONE;
}

/* "scheme://user:password@host" anywhere in the value. */
static bool has_credentials(struct str v)
{
	for (size_t at; (at = str_find(v, S("://"))) != STR_NONE;) {
		v = str_sub(v, at + 3, v.n);
		size_t end = 0;
		while (end < v.n && !strchr("/ \t\n?#", v.p[end]))
			end++;
		struct str authority = str_sub(v, 0, end);
		size_t user = str_chr(authority, '@');
		if (user != STR_NONE && str_chr(str_sub(authority, 0, user), ':') != STR_NONE)
			return true;
	}
	return false;
}

bool environment_is_secret(struct str name, struct str value)
{
	static const char *const words[] = {"KEY", "TOKEN", "SECRET", "PASS", "CREDENTIAL", "AUTH",
		"COOKIE", "PRIVATE", "SIGNATURE", "SESSION", "DSN", "CERT"};
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (has_word(name, words[i]))
			return true;
	return has_credentials(value);
}

/* What belongs to the machine or the login and not to the work. */
static bool is_local(struct str name)
{
	static const char *const names[] = {"PATH", "HOME", "PWD", "OLDPWD", "USER", "LOGNAME",
		"SHELL", "TERM", "COLORTERM", "DISPLAY", "WAYLAND_DISPLAY", "HOSTNAME", "TMPDIR",
		"MAIL", "EDITOR", "PAGER", "LS_COLORS", "SHLVL", "_", "COLUMNS", "LINES",
		"VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT", "PS1", "LD_PRELOAD"};
	static const char *const prefixes[] = {"SSH_", "XDG_", "DBUS_", "CROFT_", "MLFLOW_",
		"SUDO_", "GPG_", "TMUX", "BASH_FUNC_", "LESS", "MAKE"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq_c(name, names[i]))
			return true;
	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
		if (str_starts(name, str_c(prefixes[i])))
			return true;
	return false;
}

static bool split(const char *entry, struct str *name, struct str *value)
{
	struct str s = str_c(entry);
	size_t eq = str_chr(s, '=');
	if (eq == STR_NONE || eq == 0)
		return false;
	*name = str_sub(s, 0, eq);
	*value = str_sub(s, eq + 1, s.n);
	return true;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void write_variables(struct jw *w, const char *const *env)
{
	size_t n = 0;
	struct str name, value;
	while (env[n])
		n++;
	const char **sorted = malloc((n + 1) * sizeof *sorted);
	if (sorted) {
		memcpy(sorted, env, n * sizeof *sorted);
		qsort(sorted, n, sizeof *sorted, by_name);
	} else {
		n = 0;
		w->out->err = ERR_NOMEM;
	}
	jw_key(w, "variables");
	jw_obj(w);
	for (size_t i = 0; i < n; i++)
		if (split(sorted[i], &name, &value) && value.n <= VALUE_MAX &&
			!environment_is_secret(name, value)) {
			jw_key_str(w, name);
			jw_str(w, value);
		}
	jw_end(w);
	jw_key(w, "withheld");
	jw_arr(w);
	for (size_t i = 0; i < n; i++)
		if (split(sorted[i], &name, &value) &&
			(value.n > VALUE_MAX || environment_is_secret(name, value)))
			jw_str(w, name);
	jw_end(w);
	free(sorted);
}

/* ---- Python ---- */

static struct str base_name(struct str path)
{
	size_t slash = str_rchr(path, '/');
	return slash == STR_NONE ? path : str_sub(path, slash + 1, path.n);
}

/* The interpreter on the first line of a script ("#!/usr/bin/env python3"); false: none, or no
 * script. */
static bool shebang_python(const char *path, char out[256])
{
	char line[256];
	FILE *f = fopen(path, "re");
	if (!f)
		return false;
	bool has = fgets(line, sizeof line, f) && line[0] == '#' && line[1] == '!';
	fclose(f);
	if (!has)
		return false;
	struct str rest = str_trim(str_c(line + 2)), word;
	while (str_next(&rest, ' ', &word))
		if (str_starts(base_name(word), S("python"))) {
			snprintf(out, 256, "%.*s", STR_FMT(word));
			return true;
		}
	return false;
}

static bool find_in_path(const char *name, char out[4096])
{
	if (strchr(name, '/')) {
		snprintf(out, 4096, "%s", name);
		return access(out, X_OK) == 0;
	}
	const char *path = getenv("PATH");
	struct str rest = str_c(path ? path : "/usr/local/bin:/usr/bin:/bin"), dir;
	while (str_next(&rest, ':', &dir)) {
		int n = snprintf(out, 4096, "%.*s/%s", STR_FMT(dir), name);
		if (n > 0 && n < 4096 && access(out, X_OK) == 0)
			return true;
	}
	return false;
}

/* Which Python a command means: the command itself, its script's first line, or a word that names
 * one ("nice python train.py"). */
static bool which_python(const char *const *argv, char out[256])
{
	char path[4096];
	for (size_t i = 0; argv[i] && i < 4; i++)
		if (str_starts(base_name(str_c(argv[i])), S("python"))) {
			snprintf(out, 256, "%s", argv[i]);
			return true;
		}
	return argv[0] && find_in_path(argv[0], path) && shebang_python(path, out);
}

static const char python_asks[] =
	"import json, sys, platform\n"
	"from importlib import metadata\n"
	"p = {}\n"
	"for d in metadata.distributions():\n"
	"    n = d.metadata['Name']\n"
	"    if n: p.setdefault(n, d.version)\n"
	"json.dump({'executable': sys.executable, 'version': platform.python_version(),\n"
	"           'packages': dict(sorted(p.items()))}, sys.stdout)\n";

static void write_python(
	struct jw *w, const char *const *argv, const char *const *env, struct buf *note)
{
	char python[256];
	jw_key(w, "python");
	if (!which_python(argv, python)) {
		jw_null(w);
		return;
	}
	const char *ask[] = {python, "-c", python_asks, NULL};
	struct proc_spec spec = {
		.argv = ask, .env = env, .output_max = 4 << 20, .wall_ms_max = PYTHON_MS_MAX};
	struct proc_result r;
	struct errtext et = {0};
	yyjson_doc *doc = NULL;
	enum err e = proc_run(&spec, &r, &et);
	if (!e && r.exit_code == 0 && !json_parse(buf_str(&r.out), &doc, NULL)) {
		jw_val(w, yyjson_doc_get_root(doc));
	} else {
		jw_null(w);
		if (note)
			buf_addf(note, "the packages of %s are not known: %s", python,
				e ? err_text(e, &et) : r.err_tail);
	}
	yyjson_doc_free(doc);
	if (!e)
		proc_result_release(&r);
}

/* ---- the machine ---- */

/* The value after the first line that begins with `key`, without quotes. */
static struct str value_of(struct str text, const char *key)
{
	struct str line;
	while (str_next_line(&text, &line)) {
		if (!str_starts(line, str_c(key)))
			continue;
		size_t at = strcspn(line.p, ":=");
		struct str v = str_trim(str_sub(line, at + 1, line.n));
		if (v.n >= 2 && v.p[0] == '"' && v.p[v.n - 1] == '"')
			v = str_sub(v, 1, v.n - 1);
		return v;
	}
	return S("");
}

static void write_machine(struct jw *w)
{
	struct utsname u;
	struct buf cpu = {0}, os = {0};
	os_read_file("/proc/cpuinfo", 1 << 20, &cpu, NULL);
	os_read_file("/etc/os-release", 1 << 16, &os, NULL);
	memset(&u, 0, sizeof u);
	uname(&u);
	jw_key(w, "machine");
	jw_obj(w);
	jw_kc(w, "host", u.nodename);
	jw_kstr(w, "system", value_of(buf_str(&os), "PRETTY_NAME"));
	jw_key(w, "kernel");
	jw_fmt(w, "%s %s %s", u.sysname, u.release, u.machine);
	jw_kstr(w, "cpu", value_of(buf_str(&cpu), "model name"));
	jw_ki64(w, "cores", sysconf(_SC_NPROCESSORS_ONLN));
	jw_ki64(w, "memory_bytes",
		(int64_t)sysconf(_SC_PHYS_PAGES) * (int64_t)sysconf(_SC_PAGE_SIZE));
	jw_end(w);
	buf_free(&cpu);
	buf_free(&os);
}

void environment_write(
	struct jw *w, const char *const *argv, const char *const *env, struct buf *note)
{
	jw_obj(w);
	write_variables(w, env);
	write_python(w, argv, env, note);
	write_machine(w);
	jw_end(w);
}

/* ---- again ---- */

static bool named_in(const char *const *list, struct str name)
{
	struct str n, v;
	for (; list && *list; list++)
		if (split(*list, &n, &v) && str_eq(n, name))
			return true;
	return false;
}

static bool add(struct arena *a, const char **out, size_t *k, struct str name, struct str value)
{
	struct str s = arena_fmt(a, "%.*s=%.*s", STR_FMT(name), STR_FMT(value));
	out[(*k)++] = s.p;
	return s.p != NULL;
}

const char **environment_again(
	struct arena *a, const char *const *now, yyjson_val *recorded, const char *const *extra)
{
	yyjson_val *vars = yyjson_obj_get(recorded, "variables"), *key, *val;
	size_t n = yyjson_obj_size(vars) + 1, k = 0, i, max;
	for (size_t j = 0; now[j]; j++)
		n++;
	for (size_t j = 0; extra && extra[j]; j++)
		n++;
	const char **out = arena_array_of(a, n, const char *);
	struct str name, value;
	bool ok = out != NULL;
	for (size_t j = 0; ok && now[j]; j++)
		/* a secret is never in the record: it comes from whoever runs it again */
		if (split(now[j], &name, &value) &&
			(is_local(name) || environment_is_secret(name, value)) &&
			!named_in(extra, name))
			ok = add(a, out, &k, name, value);
	if (ok)
		yyjson_obj_foreach(vars, i, max, key, val)
		{
			name = json_val_str(key);
			if (ok && !is_local(name) && !named_in(extra, name))
				ok = add(a, out, &k, name, json_val_str(val));
		}
	for (size_t j = 0; ok && extra && extra[j]; j++)
		out[k++] = extra[j];
	return ok ? out : NULL;
}

/* ---- compared ---- */

static void diff_texts(yyjson_val *then, yyjson_val *now, const char *what, struct buf *out)
{
	yyjson_val *key, *val, *other;
	size_t i, n;
	yyjson_obj_foreach(then, i, n, key, val)
	{
		other = yyjson_obj_getn(now, yyjson_get_str(key), yyjson_get_len(key));
		struct str a = json_val_str(val), b = json_val_str(other);
		if (!other)
			buf_addf(
				out, "%s %s %.*s -> none\n", what, yyjson_get_str(key), STR_FMT(a));
		else if (!str_eq(a, b))
			buf_addf(out, "%s %s %.*s -> %.*s\n", what, yyjson_get_str(key), STR_FMT(a),
				STR_FMT(b));
	}
	yyjson_obj_foreach(now, i, n, key, val)
	{
		if (!yyjson_obj_getn(then, yyjson_get_str(key), yyjson_get_len(key)))
			buf_addf(out, "%s %s none -> %.*s\n", what, yyjson_get_str(key),
				STR_FMT(json_val_str(val)));
	}
}

void environment_diff(yyjson_val *then, yyjson_val *now, struct buf *out)
{
	static const char *const machine[] = {"system", "kernel", "cpu"};
	yyjson_val *p = yyjson_obj_get(then, "python"), *q = yyjson_obj_get(now, "python");
	struct str a = json_str(p, "version"), b = json_str(q, "version");
	if (!str_eq(a, b))
		buf_addf(out, "python %.*s -> %.*s\n", STR_FMT(a), STR_FMT(b));
	diff_texts(yyjson_obj_get(p, "packages"), yyjson_obj_get(q, "packages"), "package", out);
	p = yyjson_obj_get(then, "machine");
	q = yyjson_obj_get(now, "machine");
	for (size_t i = 0; i < ARRAY_LEN(machine); i++) {
		a = json_str(p, machine[i]);
		b = json_str(q, machine[i]);
		if (!str_eq(a, b))
			buf_addf(out, "%s %.*s -> %.*s\n", machine[i], STR_FMT(a), STR_FMT(b));
	}
}
