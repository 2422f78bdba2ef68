/* `croft run`: a command as a run that can be run again. */
#include "run/exec_int.h"
#include "base/os.h"

#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

extern char **environ;

struct job {
	struct cmd *cmd;
	struct arena *a;
	const char **argv;
	struct record_in rec;
	struct kept_files inputs, outputs; /* that are no version */
	struct kept_versions *uses, *makes;
	struct str *but; /* paths of inputs and outputs: no part of the code */
	size_t n_but;
	struct buf run, uri, url, key;
	struct exec_host *host;
};

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory to run a command");
}

/* ---- what was asked for ---- */

static enum err take_command(struct job *j, struct errtext *et)
{
	size_t n = cmd_n_args(j->cmd);
	if (!n)
		return err_set(et, ERR_INVALID,
			"say what to run: croft run [OPTIONS] COMMAND [ARGUMENT...]");
	j->argv = arena_array_of(j->a, n + 1, const char *);
	for (size_t i = 0; j->argv && i < n; i++)
		if (!(j->argv[i] = arena_c(j->a, cmd_arg(j->cmd, i))))
			return no_memory(et);
	return j->argv ? OK : no_memory(et);
}

static size_t count(struct job *j, const char *option)
{
	size_t n = 0;
	while (cmd_opt_at(j->cmd, option, n).p)
		n++;
	return n;
}

/* Their paths; what is content of its own is not kept as a part of the code too. */
static enum err take_paths(struct job *j, struct errtext *et)
{
	static const char *const options[] = {"input", "input-as", "output"};
	struct str text, path, ref;
	size_t n = 0;
	for (size_t o = 0; o < ARRAY_LEN(options); o++)
		n += count(j, options[o]);
	if (n > VERSIONS_MAX)
		return err_set(et, ERR_LIMIT, "at most %d inputs and outputs", VERSIONS_MAX);
	j->but = arena_array_of(j->a, n + 1, struct str);
	for (size_t o = 0; o < ARRAY_LEN(options); o++)
		for (size_t i = 0; j->but && (text = cmd_opt_at(j->cmd, options[o], i)).p; i++) {
			struct buf clean = {0};
			if (exec_inside(exec_ref(text, &path, &ref) ? path : text, &clean))
				j->but[j->n_but++] = arena_str(j->a, buf_str(&clean));
			buf_free(&clean);
		}
	return j->but ? OK : no_memory(et);
}

static enum err take_inputs(struct job *j, struct errtext *et)
{
	j->inputs.v = arena_array_of(j->a, FILES_MAX, struct kept_file);
	j->outputs.v = arena_array_of(j->a, FILES_MAX, struct kept_file);
	j->uses = arena_array_of(j->a, 1, struct kept_versions);
	j->makes = arena_array_of(j->a, 1, struct kept_versions);
	if (!j->inputs.v || !j->outputs.v || !j->uses || !j->makes)
		return no_memory(et);
	struct str text, path, ref;
	enum err e = take_paths(j, et);
	for (size_t i = 0; !e && (text = cmd_opt_at(j->cmd, "input", i)).p; i++)
		if (!exec_ref(text, &path, &ref))
			e = exec_files(text, j->a, &j->inputs, et);
	for (size_t i = 0; !e && (text = cmd_opt_at(j->cmd, "input-as", i)).p; i++)
		if (!exec_ref(text, &path, &ref))
			e = err_set(et, ERR_INVALID,
				"--input-as %.*s: PATH=KIND/NAME is expected, as in "
				"data=dataset/faq",
				STR_FMT(text));
	return e;
}

/* Versions that are asked for stand in the working folder before the run begins; what is to become
 * one is stored. */
static enum err find_versions(struct job *j, struct errtext *et)
{
	struct str text, path, ref;
	enum err e = OK;
	for (size_t i = 0; !e && (text = cmd_opt_at(j->cmd, "input", i)).p; i++) {
		if (!exec_ref(text, &path, &ref))
			continue;
		struct kept_version *v = &j->uses->v[j->uses->n++];
		e = exec_find(j->cmd, path, ref, j->a, v, et);
		if (!e)
			e = exec_place(j->cmd, v, "", et);
	}
	for (size_t i = 0; !e && (text = cmd_opt_at(j->cmd, "input-as", i)).p; i++)
		if (exec_ref(text, &path, &ref))
			e = exec_make(j->cmd, path, ref, (struct str){0}, j->a,
				&j->uses->v[j->uses->n++], et);
	return e;
}

static enum err take_seed(struct job *j, struct errtext *et)
{
	uint64_t n;
	struct str seed = cmd_opt(j->cmd, "seed");
	j->rec.seed = seed.p ? seed : S("0");
	if (!str_u64(j->rec.seed, &n) || n > UINT32_MAX)
		return err_set(
			et, ERR_INVALID, "--seed: a number from 0 to %u is expected", UINT32_MAX);
	return OK;
}

/* Code that is in no repository is a run all the same; it cannot be reproduced, which is said. */
static enum err take_code(struct job *j, struct errtext *et)
{
	char cwd[PATH_MAX];
	if (!getcwd(cwd, sizeof cwd))
		return err_errno(et, "the working folder");
	j->rec.cwd = arena_str(j->a, str_c(cwd));
	enum err e = code_state_read(".", PATCH_MAX, j->but, j->n_but, j->a, &j->rec.code, et);
	j->rec.has_code = e == OK;
	if (e == ERR_NOT_FOUND) {
		cmd_note(j->cmd,
			"%s is in no git repository: the code is not recorded, and this run "
			"cannot be reproduced",
			cwd);
		return OK;
	}
	if (!e && j->rec.code.n_submodules)
		cmd_note(j->cmd, "changes inside git submodules are not recorded");
	return e;
}

static enum err key_values(
	struct job *j, const char *option, struct http_pair *out, size_t *n, struct errtext *et)
{
	struct str v;
	for (size_t i = 0; (v = cmd_opt_at(j->cmd, option, i)).p; i++) {
		size_t eq = str_chr(v, '=');
		if (eq == STR_NONE || eq == 0)
			return err_set(et, ERR_INVALID, "--%s %.*s: NAME=VALUE is expected", option,
				STR_FMT(v));
		out[(*n)++] = (struct http_pair){str_sub(v, 0, eq), str_sub(v, eq + 1, v.n)};
	}
	return OK;
}

/* ---- the run ---- */

static struct str command_line(struct job *j)
{
	struct buf b = {0};
	for (size_t i = 0; j->argv[i]; i++)
		buf_addf(&b, "%s%s", i ? " " : "", j->argv[i]);
	struct str s = arena_str(j->a, str_sub(buf_str(&b), 0, 5000));
	buf_free(&b);
	return s;
}

static enum err open_run(struct job *j, struct errtext *et)
{
	struct http_pair tags[80], *params = arena_array_of(j->a, 64, struct http_pair);
	size_t n = 0, n_params = 0;
	if (!params)
		return no_memory(et);
	struct passwd *pw = getpwuid(getuid());
	struct str experiment = cmd_opt(j->cmd, "experiment"), name = cmd_opt(j->cmd, "name");
	tags[n++] = (struct http_pair){S("mlflow.source.name"), command_line(j)};
	tags[n++] = (struct http_pair){S("mlflow.source.type"), S("LOCAL")};
	tags[n++] = (struct http_pair){S("mlflow.user"), str_c(pw ? pw->pw_name : "unknown")};
	if (j->rec.has_code && j->rec.code.commit.n)
		tags[n++] = (struct http_pair){S("mlflow.source.git.commit"), j->rec.code.commit};
	if (j->rec.has_code && j->rec.code.branch.n)
		tags[n++] = (struct http_pair){S("mlflow.source.git.branch"), j->rec.code.branch};
	enum err e = key_values(j, "tag", tags, &n, et);
	if (!e)
		e = key_values(j, "param", params, &n_params, et);
	j->rec.params = params;
	j->rec.n_params = n_params;
	if (!e)
		e = exec_create(j->cmd, experiment.p ? experiment : S("Default"),
			name.p ? name : str_c(j->argv[0]), tags, n, &j->run, et);
	if (!e && n_params)
		e = exec_log(j->cmd, buf_str(&j->run), params, n_params, NULL, 0, NULL, 0, et);
	yyjson_doc *doc = NULL;
	if (!e)
		e = exec_get(j->cmd, buf_str(&j->run), &doc, et);
	if (!e)
		buf_adds(&j->uri,
			json_str(yyjson_obj_get(
					 yyjson_obj_get(yyjson_doc_get_root(doc), "run"), "info"),
				"artifact_uri"));
	yyjson_doc_free(doc);
	return e;
}

static enum err store_record(struct job *j, struct buf *note, struct errtext *et)
{
	struct buf b = {0};
	j->rec.inputs = &j->inputs;
	j->rec.outputs = &j->outputs;
	j->rec.uses = j->uses;
	j->rec.makes = j->makes;
	exec_record_write(&b, &j->rec, note);
	enum err e = b.err ? no_memory(et)
			   : exec_put_file(j->cmd, buf_str(&j->uri), "croft/record.json",
				     buf_str(&b), et);
	buf_free(&b);
	return e;
}

static enum err store_begin(struct job *j, struct errtext *et)
{
	struct buf note = {0};
	enum err e = exec_store(j->cmd, "", &j->inputs, j->a, et);
	if (!e)
		e = exec_used(j->cmd, buf_str(&j->run), j->uses, &j->inputs, et);
	if (!e && j->rec.has_code && j->rec.code.patch.n)
		e = exec_put_file(
			j->cmd, buf_str(&j->uri), "croft/code.patch", j->rec.code.patch, et);
	if (!e)
		e = store_record(j, &note, et);
	if (!e && note.n)
		cmd_note(j->cmd, "%s", buf_c(&note));
	buf_free(&note);
	return e;
}

static enum err store_measures(struct job *j, const struct child_result *r, struct errtext *et)
{
	const struct http_pair metrics[] = {
		{S("system/wall_seconds"), arena_fmt(j->a, "%.3f", (double)r->wall_ms / 1000)},
		{S("system/cpu_seconds"), arena_fmt(j->a, "%.3f", (double)r->cpu_ms / 1000)},
		{S("system/memory_max_bytes"),
			arena_fmt(j->a, "%llu", (unsigned long long)r->rss_max_bytes)},
	};
	const struct http_pair tags[] = {
		{S("croft.exit"), r->signal ? arena_fmt(j->a, "signal %d", r->signal)
					    : arena_fmt(j->a, "%d", r->exit_code)},
	};
	if (r->printed > LOG_MAX)
		cmd_note(j->cmd, "the log is cut after %d MiB; %llu bytes were printed",
			LOG_MAX >> 20, (unsigned long long)r->printed);
	return exec_log(j->cmd, buf_str(&j->run), NULL, 0, metrics, ARRAY_LEN(metrics), tags,
		ARRAY_LEN(tags), et);
}

/* A failed command need not have made it, and what it has made is kept, but is no version. */
static enum err store_output(struct job *j, struct str text, bool ok, struct errtext *et)
{
	struct str path = text, ref;
	bool named = exec_ref(text, &path, &ref);
	if (named && ok)
		return exec_make(
			j->cmd, path, ref, buf_str(&j->run), j->a, &j->makes->v[j->makes->n++], et);
	enum err e = exec_files(path, j->a, &j->outputs, et);
	if (!e && named)
		cmd_note(j->cmd, "%.*s: no version is made of it, because the command failed",
			STR_FMT(ref));
	return e == ERR_NOT_FOUND && !ok ? OK : e;
}

static enum err store_end(struct job *j, const struct child_result *r, struct errtext *et)
{
	struct str text;
	enum err e = OK;
	bool ok = !r->exit_code && !r->signal;
	for (size_t i = 0; !e && (text = cmd_opt_at(j->cmd, "output", i)).p; i++)
		e = store_output(j, text, ok, et);
	if (!e)
		e = exec_store(j->cmd, "", &j->outputs, j->a, et);
	if (!e)
		e = exec_produced(j->cmd, buf_str(&j->run), j->makes, &j->outputs, et);
	if (!e && (j->outputs.n || j->makes->n))
		e = store_record(j, NULL, et);
	if (!e)
		e = store_measures(j, r, et);
	return e;
}

static enum err run_child(struct job *j, struct child_result *r, struct errtext *et)
{
	const char **extra = exec_variables(
		j->a, buf_str(&j->url), buf_str(&j->key), buf_str(&j->run), j->rec.seed);
	size_t n = 0, k = 0;
	while (environ[n])
		n++;
	const char **env = arena_array_of(j->a, n + 16, const char *);
	if (!extra || !env)
		return no_memory(et);
	for (size_t i = 0; extra[i]; i++)
		env[k++] = extra[i];
	for (size_t i = 0; i < n;
		i++) { /* what the user has set stays, but for what names the run */
		bool ours = false;
		for (size_t x = 0; extra[x] && !ours; x++) {
			size_t len = strcspn(extra[x], "=") + 1;
			ours = strncmp(environ[i], extra[x], len) == 0;
		}
		if (!ours)
			env[k++] = environ[i];
	}
	struct child_spec spec = {.argv = j->argv,
		.env = env,
		.cancel = cmd_cancel(j->cmd),
		.quiet = cmd_json(j->cmd)};
	return exec_child(j->cmd, buf_str(&j->uri), &spec, r, et);
}

static void report(struct job *j, const struct child_result *r)
{
	if (cmd_json(j->cmd)) {
		struct buf b = {0};
		struct jw w = {.out = &b};
		jw_obj(&w);
		jw_kstr(&w, "run", buf_str(&j->run));
		jw_ki64(&w, "exit_code", r->exit_code);
		jw_ki64(&w, "signal", r->signal);
		jw_ki64(&w, "wall_ms", (int64_t)r->wall_ms);
		jw_key(&w, "versions");
		jw_arr(&w);
		for (size_t i = 0; i < j->makes->n; i++)
			jw_fmt(&w, "%.*s/%.*s:%lld", STR_FMT(j->makes->v[i].kind),
				STR_FMT(j->makes->v[i].name), (long long)j->makes->v[i].version);
		jw_end(&w);
		jw_end(&w);
		cmd_outf(j->cmd, "%s\n", buf_c(&b));
		buf_free(&b);
		return;
	}
	for (size_t i = 0; i < j->makes->n; i++) {
		const struct kept_version *v = &j->makes->v[i];
		cmd_note(j->cmd, "made %.*s/%.*s:%lld from %.*s", STR_FMT(v->kind),
			STR_FMT(v->name), (long long)v->version, STR_FMT(v->path));
	}
	cmd_note(j->cmd, "run %s: %s", buf_c(&j->run),
		r->signal      ? "ended by a signal"
		: r->exit_code ? "failed"
			       : "done");
	if (j->rec.has_code && !r->exit_code && !r->signal)
		cmd_note(j->cmd, "again: croft reproduce %s", buf_c(&j->run));
}

static enum err run_job(struct job *j, struct errtext *et)
{
	struct child_result r = {0};
	enum err e = take_seed(j, et);
	if (!e)
		e = take_inputs(j, et);
	if (!e)
		e = take_code(j, et);
	if (!e)
		e = exec_host_open(j->cmd, &j->host, &j->url, &j->key, et);
	if (!e)
		e = find_versions(j, et);
	if (!e)
		e = open_run(j, et);
	if (e)
		return e;
	e = store_begin(j, et);
	if (!e)
		e = run_child(j, &r, et);
	bool ok = !e && !r.exit_code && !r.signal;
	if (!e)
		e = store_end(j, &r, et);
	struct errtext ignored;
	enum err ended = exec_end(j->cmd, buf_str(&j->run), ok && !e, e ? &ignored : et);
	if (e || ended)
		return e ? e : ended;
	report(j, &r);
	if (ok)
		return OK;
	return r.signal ? err_set(et, ERR_INTERNAL, "%s was ended by signal %d", j->argv[0],
				  r.signal)
			: err_set(et, ERR_INVALID, "%s ended with status %d", j->argv[0],
				  r.exit_code);
}

static enum err exec_run(struct cmd *cmd, struct errtext *et)
{
	struct job j = {.cmd = cmd, .a = arena_new(0)};
	if (!j.a)
		return no_memory(et);
	j.rec.env = (const char *const *)environ;
	enum err e = take_command(&j, et);
	j.rec.argv = j.argv;
	if (!e)
		e = run_job(&j, et);
	exec_host_close(j.host);
	buf_free(&j.run);
	buf_free(&j.uri);
	buf_free(&j.url);
	buf_free(&j.key);
	arena_free(j.a);
	return e;
}

static const struct option run_options[] = {
	{"experiment", 'e', "NAME", "Its experiment (Default); made if there is none"},
	{"name", 'n', "NAME", "Name of the run (the command's)"},
	{"param", 'p', "NAME=VALUE", "A parameter of the run; repeatable"},
	{"tag", 't', "NAME=VALUE", "A tag of the run; repeatable"},
	{"input", 'i', "PATH[=REF]",
		"File or folder that it reads, kept; with REF (dataset/faq@prod) that version is "
		"put there first; repeatable"},
	{"input-as", 0, "PATH=KIND/NAME",
		"File or folder that it reads, kept as a version of an artifact; repeatable"},
	{"output", 'o', "PATH[=KIND/NAME]",
		"File or folder that it makes, kept; with KIND/NAME as a new version; repeatable"},
	{"seed", 0, "N", "Its CROFT_SEED and PYTHONHASHSEED (0)"},
};

static const struct command commands[] = {
	{"run", exec_run, "COMMAND [ARGUMENT...]", run_options, ARRAY_LEN(run_options),
		"Run a command as a run that can be run again",
		"Records the git commit and what differs from it, the command, the environment "
		"(but no "
		"secrets), Python's packages, the machine, seeds, declared inputs and outputs, and "
		"what "
		"it prints. The command finds its run by itself: MLflow's client logs to it, "
		"OpenTelemetry "
		"exporters send to this Croft; without a running server one runs while the command "
		"does.\n\n"
		"Examples:\n"
		"  croft run python train.py --epochs 3\n"
		"  croft run -e digits -i data -o model.npy --seed 7 python train.py\n"
		"  croft run -i data=dataset/digits@prod -o out=model/digits python train.py",
		.verbatim = true},
	{"reproduce", exec_reproduce, "RUN", reproduce_options, ARRAY_LEN(reproduce_options),
		"Run a recorded command again and compare",
		"Restores code, inputs and environment variables of a run that `croft run` "
		"recorded into a "
		"new folder, runs its command there as a new run, and compares parameters, metric "
		"series "
		"and outputs: reproduced, within tolerance, or diverged and where first. Packages "
		"are not "
		"installed: what differs is listed. Exit status 0 unless something diverged.\n\n"
		"Example:\n  croft reproduce 0193e7c2a5b07d1c8f3f0a4b5c6d7e8f --relative 1e-4"},
};

const struct module exec_module = {.name = "exec", TABLE(commands)};
