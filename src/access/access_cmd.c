/* `croft user|key|role|project|member ...`, `croft whoami`. */
#include "access/access_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

/* ---- calls ---- */

struct reply {
	struct buf body;
	yyjson_doc *doc;
	yyjson_val *root;
};

static void reply_free(struct reply *r)
{
	yyjson_doc_free(r->doc);
	buf_free(&r->body);
}

static enum err call(struct cmd *cmd, enum http_method method, const char *path, struct str json,
	struct reply *r, struct errtext *et)
{
	*r = (struct reply){0};
	enum err e = cmd_call(cmd, method, path, json, &r->body, et);
	if (!e)
		e = json_parse(buf_str(&r->body), &r->doc, et);
	if (!e)
		r->root = yyjson_doc_get_root(r->doc);
	return e;
}

/* --json prints what the API said; true when that was it. */
static bool printed_json(struct cmd *cmd, const struct reply *r)
{
	if (cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&r->body));
	return cmd_json(cmd);
}

static enum err path_of(
	struct cmd *cmd, const char *base, const char *usage, struct buf *out, struct errtext *et)
{
	if (cmd_n_args(cmd) < 1)
		return err_set(et, ERR_INVALID, "usage: %s", usage);
	buf_addc(out, base);
	url_encode(out, cmd_arg(cmd, 0));
	return OK;
}

/* Sends an object that `w` holds (still open), says `done` with the first argument. */
static enum err send(struct cmd *cmd, enum http_method method, const char *path, struct jw *w,
	const char *done, struct errtext *et)
{
	struct reply r;
	jw_end(w);
	enum err e = call(cmd, method, path, buf_str(w->out), &r, et);
	if (!e && !printed_json(cmd, &r))
		cmd_outf(cmd, "%.*s %s\n", STR_FMT(cmd_arg(cmd, 0)), done);
	reply_free(&r);
	return e;
}

static void time_cell(struct cmd_table *t, struct str time)
{
	if (time.n)
		cmd_cell(t, "%.*s", STR_FMT(str_sub(time, 0, 10)));
	else
		cmd_cell(t, "-");
}

static void text_cell(struct cmd_table *t, struct str s)
{
	if (s.n)
		cmd_cell(t, "%.*s", STR_FMT(s));
	else
		cmd_cell(t, "-");
}

/* Words between commas as a list. */
static void list_member(struct jw *w, const char *key, struct str words)
{
	struct str word;
	jw_key(w, key);
	jw_arr(w);
	while (str_next(&words, ',', &word))
		if (str_trim(word).n)
			jw_str(w, str_trim(word));
	jw_end(w);
}

static void optional(struct cmd *cmd, struct jw *w, const char *option, const char *key)
{
	struct str v = cmd_opt(cmd, option);
	if (v.p)
		jw_kstr(w, key, v);
}

/* ---- secrets from the terminal or a pipe, never from arguments ---- */

static enum err read_line(struct cmd *cmd, const char *prompt, struct buf *out, struct errtext *et)
{
	struct termios old, silent;
	bool tty = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &old) == 0;
	char *line = NULL;
	size_t cap = 0;
	cmd_flush(cmd);
	if (tty) {
		fprintf(stderr, "%s: ", prompt);
		silent = old;
		silent.c_lflag &= ~(tcflag_t)ECHO;
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
	}
	ssize_t n = getline(&line, &cap, stdin);
	if (tty) {
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
		fputc('\n', stderr);
	}
	while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
		n--;
	if (n > 0)
		buf_add(out, line, (size_t)n);
	free(line);
	return n > 0 ? OK : err_set(et, ERR_INVALID, "%s: nothing was given", prompt);
}

static enum err password_member(struct cmd *cmd, struct jw *w, struct errtext *et)
{
	struct buf one = {0}, two = {0};
	if (!cmd_flag(cmd, "password"))
		return OK;
	enum err e = read_line(cmd, "New password", &one, et);
	if (!e && isatty(STDIN_FILENO)) {
		e = read_line(cmd, "Once more", &two, et);
		if (!e && !str_eq(buf_str(&one), buf_str(&two)))
			e = err_set(et, ERR_INVALID, "the two differ: nothing was changed");
	}
	if (!e)
		jw_kstr(w, "password", buf_str(&one));
	buf_free(&one);
	buf_free(&two);
	return e;
}

/* ---- user ---- */

enum err run_user_ls(struct cmd *cmd, struct errtext *et)
{
	static const char *const titles[] = {"NAME", "KIND", "EVERYWHERE", "PROJECTS", "SIGNS IN"};
	struct reply r;
	enum err e = call(cmd, HTTP_GET, "/api/v1/users", (struct str){0}, &r, et);
	if (!e && !printed_json(cmd, &r)) {
		struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
		yyjson_val *u, *m;
		size_t i, n, k, n_m;
		yyjson_arr_foreach(yyjson_obj_get(r.root, "users"), i, n, u)
		{
			struct buf projects = {0};
			yyjson_arr_foreach(yyjson_obj_get(u, "projects"), k, n_m, m) buf_addf(
				&projects, "%s%.*s:%.*s", k ? " " : "",
				STR_FMT(json_str(m, "project")), STR_FMT(json_str(m, "role")));
			text_cell(t, json_str(u, "name"));
			text_cell(t, json_str(u, "kind"));
			text_cell(t, json_str(u, "role"));
			text_cell(t, buf_str(&projects));
			cmd_cell(t, "%s",
				json_bool(u, "disabled", false)   ? "disabled"
				: json_bool(u, "password", false) ? "password"
								  : "-");
			buf_free(&projects);
		}
		cmd_table_end(t);
	}
	reply_free(&r);
	return e;
}

enum err run_user_add(struct cmd *cmd, struct errtext *et)
{
	struct buf json = {0};
	struct jw w = {.out = &json};
	if (cmd_n_args(cmd) != 1)
		return err_set(et, ERR_INVALID, "usage: croft user add NAME [--admin]");
	jw_obj(&w);
	jw_kstr(&w, "name", cmd_arg(cmd, 0));
	optional(cmd, &w, "display", "display");
	if (cmd_flag(cmd, "service"))
		jw_kc(&w, "kind", "service");
	if (cmd_flag(cmd, "admin"))
		jw_kc(&w, "role", "admin");
	else
		optional(cmd, &w, "role", "role");
	enum err e = password_member(cmd, &w, et);
	if (!e)
		e = send(cmd, HTTP_POST, "/api/v1/users", &w, "is added", et);
	buf_free(&json);
	return e;
}

enum err run_user_set(struct cmd *cmd, struct errtext *et)
{
	struct buf json = {0}, path = {0};
	struct jw w = {.out = &json};
	struct str role = cmd_opt(cmd, "role");
	jw_obj(&w);
	optional(cmd, &w, "display", "display");
	if (cmd_flag(cmd, "disable") || cmd_flag(cmd, "enable"))
		jw_kbool(&w, "disabled", cmd_flag(cmd, "disable"));
	if (role.p) {
		jw_key(&w, "role");
		str_eq_c(role, "none") ? jw_null(&w) : jw_str(&w, role);
	}
	enum err e = path_of(cmd, "/api/v1/users/", "croft user set NAME ...", &path, et);
	if (!e)
		e = password_member(cmd, &w, et);
	if (!e)
		e = send(cmd, HTTP_PATCH, buf_c(&path), &w, "is changed", et);
	buf_free(&json);
	buf_free(&path);
	return e;
}

static enum err remove_one(
	struct cmd *cmd, const char *base, const char *usage, const char *done, struct errtext *et)
{
	struct buf path = {0};
	struct reply r = {0};
	enum err e = path_of(cmd, base, usage, &path, et);
	if (!e)
		e = call(cmd, HTTP_DELETE, buf_c(&path), (struct str){0}, &r, et);
	if (!e && !printed_json(cmd, &r))
		cmd_outf(cmd, "%.*s %s\n", STR_FMT(cmd_arg(cmd, 0)), done);
	reply_free(&r);
	buf_free(&path);
	return e;
}

enum err run_user_rm(struct cmd *cmd, struct errtext *et)
{
	return remove_one(cmd, "/api/v1/users/", "croft user rm NAME",
		"is removed, with memberships, keys and sessions", et);
}

/* ---- key ---- */

enum err run_key_ls(struct cmd *cmd, struct errtext *et)
{
	static const char *const titles[] = {
		"KEY", "NAME", "USER", "PROJECT", "EXPIRES", "LAST USED", "STATE"};
	struct buf path = {0};
	struct reply r;
	struct str user = cmd_opt(cmd, "user");
	buf_addc(&path, "/api/v1/keys");
	if (user.p) {
		buf_addc(&path, "?user=");
		url_encode(&path, user);
	}
	enum err e = call(cmd, HTTP_GET, buf_c(&path), (struct str){0}, &r, et);
	if (!e && !printed_json(cmd, &r)) {
		struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
		yyjson_val *k;
		size_t i, n;
		yyjson_arr_foreach(yyjson_obj_get(r.root, "keys"), i, n, k)
		{
			text_cell(t, json_str(k, "prefix"));
			text_cell(t, json_str(k, "name"));
			text_cell(t, json_str(k, "user"));
			text_cell(t, json_str(k, "project"));
			time_cell(t, json_str(k, "expires"));
			time_cell(t, json_str(k, "used"));
			text_cell(t, json_str(k, "state"));
		}
		cmd_table_end(t);
	}
	reply_free(&r);
	buf_free(&path);
	return e;
}

static enum err show_key(struct cmd *cmd, enum http_method method, const char *path, struct jw *w,
	struct errtext *et)
{
	struct reply r;
	jw_end(w);
	enum err e = call(cmd, method, path, buf_str(w->out), &r, et);
	if (!e && !printed_json(cmd, &r)) {
		cmd_outf(cmd, "%.*s\n", STR_FMT(json_str(r.root, "key")));
		cmd_note(cmd, "The key of %.*s is shown this once: keep it.",
			STR_FMT(json_str(r.root, "user")));
	}
	reply_free(&r);
	return e;
}

enum err run_key_add(struct cmd *cmd, struct errtext *et)
{
	struct buf json = {0};
	struct jw w = {.out = &json};
	struct str perms = cmd_opt(cmd, "permissions");
	if (cmd_n_args(cmd) > 1)
		return err_set(et, ERR_INVALID, "usage: croft key add [NAME] [--user USER]");
	jw_obj(&w);
	if (cmd_n_args(cmd))
		jw_kstr(&w, "name", cmd_arg(cmd, 0));
	optional(cmd, &w, "user", "user");
	optional(cmd, &w, "project", "project");
	optional(cmd, &w, "expires", "expires_in");
	if (perms.p)
		list_member(&w, "permissions", perms);
	enum err e = show_key(cmd, HTTP_POST, "/api/v1/keys", &w, et);
	buf_free(&json);
	return e;
}

enum err run_key_rotate(struct cmd *cmd, struct errtext *et)
{
	struct buf json = {0}, path = {0};
	struct jw w = {.out = &json};
	jw_obj(&w);
	optional(cmd, &w, "grace", "grace");
	enum err e = path_of(cmd, "/api/v1/keys/", "croft key rotate KEY", &path, et);
	buf_addc(&path, "/rotate");
	if (!e)
		e = show_key(cmd, HTTP_POST, buf_c(&path), &w, et);
	buf_free(&json);
	buf_free(&path);
	return e;
}

enum err run_key_revoke(struct cmd *cmd, struct errtext *et)
{
	return remove_one(cmd, "/api/v1/keys/", "croft key revoke KEY", "is revoked", et);
}

/* ---- role ---- */

static enum err list_permissions(struct cmd *cmd, struct errtext *et)
{
	static const char *const titles[] = {"PERMISSION", "WHAT IT GIVES", "IN"};
	struct reply r;
	enum err e = call(cmd, HTTP_GET, "/api/v1/permissions", (struct str){0}, &r, et);
	if (!e && !printed_json(cmd, &r)) {
		struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
		yyjson_val *p;
		size_t i, n;
		yyjson_arr_foreach(yyjson_obj_get(r.root, "permissions"), i, n, p)
		{
			text_cell(t, json_str(p, "name"));
			text_cell(t, json_str(p, "about"));
			cmd_cell(t, json_bool(p, "everywhere", false) ? "every project at once"
								      : "a project");
		}
		cmd_table_end(t);
	}
	reply_free(&r);
	return e;
}

static void role_lines(struct cmd *cmd, yyjson_val *role)
{
	yyjson_val *p;
	size_t i, n, column = 2;
	cmd_outf(cmd, "%s%.*s%s  %.*s\n ", cmd_style(cmd, "bold"), STR_FMT(json_str(role, "name")),
		cmd_style(cmd, "reset"), STR_FMT(json_str(role, "about")));
	yyjson_arr_foreach(yyjson_obj_get(role, "permissions"), i, n, p)
	{
		struct str word = json_val_str(p);
		if (column + word.n + 1 > 78) {
			cmd_outf(cmd, "\n ");
			column = 2;
		}
		cmd_outf(cmd, " %.*s", STR_FMT(word));
		column += word.n + 1;
	}
	cmd_outf(cmd, "\n");
	struct str rules = json_str(role, "rules"), line;
	while (rules.n && str_next_line(&rules, &line))
		cmd_outf(cmd, "  | %.*s\n", STR_FMT(line));
}

enum err run_role_ls(struct cmd *cmd, struct errtext *et)
{
	struct reply r;
	if (cmd_flag(cmd, "permissions"))
		return list_permissions(cmd, et);
	enum err e = call(cmd, HTTP_GET, "/api/v1/roles", (struct str){0}, &r, et);
	if (!e && !printed_json(cmd, &r)) {
		yyjson_val *role;
		size_t i, n;
		yyjson_arr_foreach(yyjson_obj_get(r.root, "roles"), i, n, role)
			role_lines(cmd, role);
	}
	reply_free(&r);
	return e;
}

/* --rules is the text itself, or @FILE. */
static enum err rules_member(struct cmd *cmd, struct jw *w, struct errtext *et)
{
	struct str rules = cmd_opt(cmd, "rules");
	struct buf file = {0};
	enum err e = OK;
	if (!rules.p)
		return OK;
	if (rules.n && rules.p[0] == '@') {
		e = os_read_file(rules.p + 1, RULES_TEXT_MAX, &file, et);
		rules = buf_str(&file);
	}
	if (!e)
		jw_kstr(w, "rules", rules);
	buf_free(&file);
	return e;
}

enum err run_role_set(struct cmd *cmd, struct errtext *et)
{
	struct buf json = {0}, path = {0};
	struct jw w = {.out = &json};
	jw_obj(&w);
	optional(cmd, &w, "about", "about");
	list_member(&w, "permissions", cmd_opt(cmd, "permissions"));
	enum err e = path_of(cmd, "/api/v1/roles/",
		"croft role set NAME --permissions run.read,run.write", &path, et);
	if (!e)
		e = rules_member(cmd, &w, et);
	if (!e)
		e = send(cmd, HTTP_PUT, buf_c(&path), &w, "is set", et);
	buf_free(&json);
	buf_free(&path);
	return e;
}

enum err run_role_rm(struct cmd *cmd, struct errtext *et)
{
	return remove_one(cmd, "/api/v1/roles/", "croft role rm NAME", "is removed", et);
}

/* ---- project ---- */

enum err run_project_ls(struct cmd *cmd, struct errtext *et)
{
	static const char *const titles[] = {"PROJECT", "YOUR ROLE", "STATE", "ABOUT"};
	struct reply r;
	enum err e = call(cmd, HTTP_GET, "/api/v1/projects", (struct str){0}, &r, et);
	if (!e && !printed_json(cmd, &r)) {
		struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
		yyjson_val *p;
		size_t i, n;
		yyjson_arr_foreach(yyjson_obj_get(r.root, "projects"), i, n, p)
		{
			text_cell(t, json_str(p, "name"));
			text_cell(t, json_str(p, "role"));
			cmd_cell(t, json_bool(p, "archived", false) ? "archived" : "open");
			text_cell(t, json_str(p, "about"));
		}
		cmd_table_end(t);
	}
	reply_free(&r);
	return e;
}

enum err run_project_add(struct cmd *cmd, struct errtext *et)
{
	struct buf json = {0};
	struct jw w = {.out = &json};
	if (cmd_n_args(cmd) != 1)
		return err_set(et, ERR_INVALID, "usage: croft project add NAME");
	jw_obj(&w);
	jw_kstr(&w, "name", cmd_arg(cmd, 0));
	optional(cmd, &w, "about", "about");
	enum err e = send(cmd, HTTP_POST, "/api/v1/projects", &w, "is added", et);
	buf_free(&json);
	return e;
}

enum err run_project_set(struct cmd *cmd, struct errtext *et)
{
	struct buf json = {0}, path = {0};
	struct jw w = {.out = &json};
	jw_obj(&w);
	optional(cmd, &w, "about", "about");
	if (cmd_flag(cmd, "archive") || cmd_flag(cmd, "restore"))
		jw_kbool(&w, "archived", cmd_flag(cmd, "archive"));
	enum err e = path_of(cmd, "/api/v1/projects/", "croft project set NAME ...", &path, et);
	if (!e)
		e = send(cmd, HTTP_PATCH, buf_c(&path), &w, "is changed", et);
	buf_free(&json);
	buf_free(&path);
	return e;
}

/* ---- member ---- */

enum err run_member_ls(struct cmd *cmd, struct errtext *et)
{
	static const char *const titles[] = {"USER", "KIND", "ROLE", "IN", "RULES"};
	struct reply r;
	enum err e = call(cmd, HTTP_GET, "/api/v1/members", (struct str){0}, &r, et);
	if (!e && !printed_json(cmd, &r)) {
		struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
		struct str project = json_str(r.root, "project");
		yyjson_val *m;
		size_t i, n;
		yyjson_arr_foreach(yyjson_obj_get(r.root, "members"), i, n, m)
		{
			text_cell(t, json_str(m, "user"));
			text_cell(t, json_str(m, "kind"));
			text_cell(t, json_str(m, "role"));
			text_cell(t,
				json_bool(m, "everywhere", false) ? S("every project") : project);
			text_cell(t, json_str(m, "rules"));
		}
		cmd_table_end(t);
	}
	reply_free(&r);
	return e;
}

enum err run_member_set(struct cmd *cmd, struct errtext *et)
{
	struct buf json = {0}, path = {0};
	struct jw w = {.out = &json};
	if (cmd_n_args(cmd) != 2)
		return err_set(
			et, ERR_INVALID, "usage: croft member set USER ROLE --project PROJECT");
	jw_obj(&w);
	jw_kstr(&w, "role", cmd_arg(cmd, 1));
	enum err e = rules_member(cmd, &w, et);
	buf_addc(&path, "/api/v1/members/");
	url_encode(&path, cmd_arg(cmd, 0));
	if (!e)
		e = send(cmd, HTTP_PUT, buf_c(&path), &w, "is a member", et);
	buf_free(&json);
	buf_free(&path);
	return e;
}

enum err run_member_rm(struct cmd *cmd, struct errtext *et)
{
	return remove_one(cmd, "/api/v1/members/", "croft member rm USER --project PROJECT",
		"is a member no more", et);
}

/* ---- whoami ---- */

enum err run_whoami(struct cmd *cmd, struct errtext *et)
{
	struct reply r;
	enum err e = call(cmd, HTTP_GET, "/api/v1/me", (struct str){0}, &r, et);
	if (!e && !printed_json(cmd, &r)) {
		struct str project = json_str(r.root, "project");
		yyjson_val *p;
		size_t i, n;
		cmd_outf(cmd, "%.*s (%.*s, by %.*s)\nproject %.*s\n",
			STR_FMT(json_str(r.root, "name")), STR_FMT(json_str(r.root, "kind")),
			STR_FMT(json_str(r.root, "method")), STR_FMT(project.n ? project : S("-")));
		yyjson_arr_foreach(yyjson_obj_get(r.root, "permissions"), i, n, p)
			cmd_outf(cmd, "  %.*s\n", STR_FMT(json_val_str(p)));
	}
	reply_free(&r);
	return e;
}
