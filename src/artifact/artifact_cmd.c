/* `croft models`, `croft models rm`, `croft pull`. */
#include "artifact/artifact_int.h"
#include "module/cmd.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static void size_text(int64_t bytes, char out[16])
{
	if (bytes >= 1000000000)
		snprintf(out, 16, "%.1f GB", (double)bytes / 1e9);
	else
		snprintf(out, 16, "%.0f MB", (double)bytes / 1e6);
}

static enum err models_list(struct cmd *cmd, struct errtext *et)
{
	static const char *const titles[] = {
		"NAME", "PURPOSE", "SIZE", "STATE", "LICENCE", "ABOUT"};
	struct buf body = {0};
	yyjson_doc *doc = NULL;
	enum err e = cmd_call(cmd, HTTP_GET, "/api/v1/models", (struct str){0}, &body, et);
	if (!e)
		e = json_parse(buf_str(&body), &doc, et);
	if (!e && cmd_json(cmd)) {
		cmd_outf(cmd, "%s\n", buf_c(&body));
	} else if (!e) {
		yyjson_val *m;
		size_t i, n;
		struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
		yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc), "models"), i, n, m)
		{
			char size[16];
			size_text(json_i64(m, "bytes", 0), size);
			bool installed = json_bool(m, "installed", false);
			cmd_cell(t, "%.*s", STR_FMT(json_str(m, "name")));
			cmd_cell(t, "%.*s", STR_FMT(json_str(m, "purpose")));
			cmd_cell(t, "%s%s", installed ? "" : "~", size);
			cmd_cell(t, "%s%s",
				json_bool(m, "loaded", false) ? "loaded"
				: installed                   ? "installed"
							      : "-",
				json_bool(m, "is_default", false) ? ", default" : "");
			cmd_cell(t, "%.*s", STR_FMT(json_str(m, "licence")));
			struct str base = json_str(m, "base");
			if (base.n)
				cmd_cell(t, "LoRA of %.*s", STR_FMT(base));
			else
				cmd_cell(t, "%.*s", STR_FMT(json_str(m, "about")));
		}
		cmd_table_end(t);
	}
	yyjson_doc_free(doc);
	buf_free(&body);
	return e;
}

static enum err models_rm(struct cmd *cmd, struct errtext *et)
{
	if (!cmd_n_args(cmd))
		return err_set(
			et, ERR_INVALID, "name the models to remove: croft models rm NAME...");
	enum err e = OK;
	for (size_t i = 0; i < cmd_n_args(cmd) && !e; i++) {
		struct buf path = {0}, body = {0};
		buf_addc(&path, "/api/v1/models/");
		url_encode(&path, cmd_arg(cmd, i));
		e = cmd_call(cmd, HTTP_DELETE, buf_c(&path), (struct str){0}, &body, et);
		if (!e && cmd_json(cmd))
			cmd_outf(cmd, "%s\n", buf_c(&body));
		else if (!e)
			cmd_outf(cmd, "removed %.*s\n", STR_FMT(cmd_arg(cmd, i)));
		buf_free(&path);
		buf_free(&body);
	}
	return e;
}

/* ---- pull ---- */

struct pulling {
	struct progress *progress;
	struct buf name;
	enum err e;
	struct errtext et;
};

static enum err from_word(struct str word)
{
	for (int e = 1; e < ERR_COUNT; e++)
		if (str_eq_c(word, err_word((enum err)e)))
			return (enum err)e;
	return ERR_INTERNAL;
}

static enum err on_event(void *ctx, struct str event, struct str data)
{
	struct pulling *p = ctx;
	yyjson_doc *doc;
	if (json_parse(data, &doc, NULL))
		return OK;
	yyjson_val *root = yyjson_doc_get_root(doc);
	if (str_eq_c(event, "progress")) {
		char what[128];
		snprintf(what, sizeof what, "%.*s",
			STR_FMT(str_sub(json_str(root, "what"), 0, 100)));
		progress_at(p->progress, (uint64_t)json_i64(root, "done", 0),
			(uint64_t)json_i64(root, "total", 0), what);
	} else if (str_eq_c(event, "done")) {
		buf_adds(&p->name, json_str(root, "name"));
	} else if (str_eq_c(event, "error")) {
		yyjson_val *error = yyjson_obj_get(root, "error");
		p->e = err_set(&p->et, from_word(json_str(error, "code")), "%.*s",
			STR_FMT(json_str(error, "message")));
	}
	yyjson_doc_free(doc);
	return OK;
}

/* The server may stand in another folder: a path that exists here goes to it whole. */
static bool is_path(struct str what)
{
	return str_starts(what, S("/")) || str_starts(what, S("./")) ||
	       str_starts(what, S("../")) || str_eq_c(what, ".") ||
	       (!catalogue_find(what) && !str_starts(what, S("hf:")) &&
		       str_find(what, S("://")) == STR_NONE && os_exists(what.p));
}

static enum err whole_path(struct str what, char out[PATH_MAX], struct errtext *et)
{
	char *c = str_dup(what);
	if (!c)
		return err_set(et, ERR_NOMEM, "no memory");
	char *found = realpath(c, out);
	free(c);
	return found ? OK : err_errno(et, "%.*s", STR_FMT(what));
}

static enum err pull_one(struct cmd *cmd, struct str what, struct str as_name, struct errtext *et)
{
	char path[PATH_MAX];
	struct str base = cmd_opt(cmd, "base");
	if (is_path(what)) {
		enum err e = whole_path(what, path, et);
		if (e)
			return e;
		what = str_c(path);
	}
	struct buf body = {0}, label = {0};
	struct jw w = {.out = &body};
	jw_obj(&w);
	jw_kstr(&w, "model", what);
	if (as_name.n)
		jw_kstr(&w, "name", as_name);
	if (base.n)
		jw_kstr(&w, "base", base);
	jw_end(&w);
	buf_addf(&label, "%.*s", STR_FMT(as_name.n ? as_name : what));
	struct pulling p = {.progress = progress_begin(cmd, buf_c(&label), "B", 0)};
	enum err e =
		cmd_stream(cmd, HTTP_POST, "/api/v1/models/pull", buf_str(&body), on_event, &p, et);
	progress_end(p.progress, NULL);
	if (!e && p.e) {
		e = p.e;
		*et = p.et;
	}
	if (!e && !p.name.n)
		e = err_set(et, ERR_NETWORK, "the server ended the pull without an answer");
	if (!e && cmd_json(cmd)) {
		buf_clear(&body);
		struct jw out = {.out = &body};
		jw_obj(&out);
		jw_kstr(&out, "name", buf_str(&p.name));
		jw_end(&out);
		cmd_outf(cmd, "%s\n", buf_c(&body));
	} else if (!e) {
		cmd_outf(cmd, "%s is installed\n", buf_c(&p.name));
	}
	buf_free(&p.name);
	buf_free(&label);
	buf_free(&body);
	return e;
}

static enum err pull_run(struct cmd *cmd, struct errtext *et)
{
	static const char *const defaults[] = {"all-minilm-l6-v2", "smollm2-135m-instruct"};
	size_t n = cmd_n_args(cmd);
	struct str as_name = cmd_opt(cmd, "name");
	if (as_name.n && n != 1)
		return err_set(et, ERR_INVALID, "--name goes with one model");
	if (cmd_opt(cmd, "base").n && !n)
		return err_set(et, ERR_INVALID, "--base goes with the adapter to fetch");
	enum err e = OK;
	for (size_t i = 0; !e && i < (n ? n : ARRAY_LEN(defaults)); i++)
		e = pull_one(cmd, n ? cmd_arg(cmd, i) : str_c(defaults[i]), as_name, et);
	return e;
}

static const struct option pull_options[] = {
	{"name", 0, "NAME", "Install it under this name"},
	{"base", 0, "MODEL", "It is a LoRA adapter of this installed model"},
};

const struct command artifact_commands[3] = {
	{"models", models_list, "", NULL, 0, "List models: installed ones and the catalogue", NULL},
	{"models rm", models_rm, "NAME...", NULL, 0, "Remove installed models", NULL},
	{"pull", pull_run, "[MODEL...]", pull_options, ARRAY_LEN(pull_options),
		"Fetch models; without names the two defaults",
		"MODEL is a name of the catalogue (croft models), hf:ORG/REPO or "
		"hf:ORG/REPO/FILE.gguf of\n"
		"the model hub, the https URL of a .gguf file (with #sha256=HEX it is verified), "
		"or a\n"
		"local file or folder. A download that was cut off goes on where it ended.\n"
		"With --base it is a LoRA adapter: a folder of PEFT or a GGUF file.\n\n"
		"Examples:\n"
		"  croft pull\n"
		"  croft pull qwen2.5-0.5b-instruct\n"
		"  croft pull hf:BAAI/bge-small-en-v1.5\n"
		"  croft pull ~/models/my.gguf --name mine\n"
		"  croft pull ~/adapters/sql --base smollm2-135m-instruct --name sql"},
};
