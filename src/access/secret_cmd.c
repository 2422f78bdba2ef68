/* `croft secret set`, `ls`, `rm`, `rotate`. A value is read from a file or standard input, never
 * from the arguments, which every user of the machine can see. */
#include "access/secret_int.h"
#include "base/os.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <termios.h>
#include <unistd.h>

static enum err read_stdin(struct buf *out, struct errtext *et)
{
	while (out->n <= SECRET_MAX + 1) {
		char *room = buf_reserve(out, 4096);
		ssize_t n = room ? read(STDIN_FILENO, room, 4096) : -1;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(et, "standard input");
		if (n == 0)
			return OK;
		out->n += (size_t)n;
	}
	return err_set(et, ERR_TOO_LARGE, "a secret has at most %d bytes", SECRET_MAX);
}

/* One line that is not shown. */
static enum err read_terminal(struct cmd *cmd, struct buf *out, struct errtext *et)
{
	struct termios was, quiet;
	char c;
	cmd_note(cmd, "type the value (it is not shown), then Enter:");
	if (tcgetattr(STDIN_FILENO, &was))
		return err_errno(et, "the terminal");
	quiet = was;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	while (out->n < SECRET_MAX && read(STDIN_FILENO, &c, 1) == 1 && c != '\n')
		buf_putc(out, c);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &was);
	return cancelled(cmd_cancel(cmd)) ? ERR_CANCELLED : OK;
}

static enum err read_value(struct cmd *cmd, struct buf *out, struct errtext *et)
{
	struct str file = cmd_arg(cmd, 1);
	buf_reserve(out, SECRET_MAX + 8192); /* no copies are left behind by growing */
	bool standard = !file.n || str_eq_c(file, "-");
	enum err e = !standard              ? os_read_file(file.p, SECRET_MAX + 1, out, et)
		     : isatty(STDIN_FILENO) ? read_terminal(cmd, out, et)
					    : read_stdin(out, et);
	/* the newline that editors and echo leave */
	if (out->n && out->p[out->n - 1] == '\n')
		out->n--;
	if (out->n && out->p[out->n - 1] == '\r')
		out->n--;
	return e;
}

static enum err path_of(struct cmd *cmd, struct buf *path, struct errtext *et)
{
	struct str name = cmd_arg(cmd, 0);
	if (!name.n)
		return err_set(et, ERR_INVALID, "name the secret");
	buf_addc(path, "/api/v1/secrets/");
	url_encode(path, name);
	return path->err;
}

static enum err secret_set_run(struct cmd *cmd, struct errtext *et)
{
	struct buf path = {0}, value = {0}, body = {0}, reply = {0};
	if (cmd_n_args(cmd) > 2)
		return err_set(et, ERR_INVALID,
			"the value is read from a file or standard input, never from the "
			"arguments");
	enum err e = path_of(cmd, &path, et);
	if (!e)
		e = read_value(cmd, &value, et);
	if (!e && !utf8_valid(buf_str(&value)))
		e = err_set(et, ERR_INVALID,
			"the value is not UTF-8 text: store binary values as base64");
	if (!e) {
		buf_reserve(&body, 6 * value.n + 64);
		struct jw w = {.out = &body};
		jw_obj(&w);
		jw_kstr(&w, "value", buf_str(&value));
		jw_end(&w);
		e = cmd_call(cmd, HTTP_PUT, buf_c(&path), buf_str(&body), &reply, et);
	}
	if (!e)
		cmd_note(cmd, "stored %.*s", STR_FMT(cmd_arg(cmd, 0)));
	secret_wipe(&value);
	secret_wipe(&body);
	buf_free(&path);
	buf_free(&reply);
	return e;
}

static enum err secret_rm_run(struct cmd *cmd, struct errtext *et)
{
	struct buf path = {0}, reply = {0};
	enum err e = path_of(cmd, &path, et);
	if (!e)
		e = cmd_call(cmd, HTTP_DELETE, buf_c(&path), (struct str){0}, &reply, et);
	buf_free(&path);
	buf_free(&reply);
	return e;
}

static void list_row(struct cmd_table *t, yyjson_val *s)
{
	struct str hint = json_str(s, "hint"), updated = json_str(s, "updated");
	cmd_cell(t, "%.*s", STR_FMT(json_str(s, "name")));
	cmd_cell(t, "%s%.*s", hint.n ? "..." : "", STR_FMT(hint));
	cmd_cell(t, "%.*s", STR_FMT(str_sub(updated, 0, 10)));
	cmd_cell(t, "%.*s", STR_FMT(json_str(s, "updated_by")));
	cmd_cell(t, "%.*s%s", STR_FMT(json_str(s, "key_id")),
		json_bool(s, "readable", false) ? "" : " (not here)");
}

static enum err secret_ls_run(struct cmd *cmd, struct errtext *et)
{
	static const char *const titles[] = {"NAME", "ENDS WITH", "SET", "BY", "MASTER KEY"};
	struct buf body = {0};
	yyjson_doc *doc = NULL;
	enum err e = cmd_call(cmd, HTTP_GET, "/api/v1/secrets", (struct str){0}, &body, et);
	if (!e && cmd_json(cmd)) {
		cmd_outf(cmd, "%s\n", buf_c(&body));
	} else if (!e && !(e = json_parse(buf_str(&body), &doc, et))) {
		struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
		yyjson_val *s;
		size_t i, n;
		yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc), "secrets"), i, n, s)
			list_row(t, s);
		cmd_table_end(t);
	}
	yyjson_doc_free(doc);
	buf_free(&body);
	return e;
}

static enum err secret_rotate_run(struct cmd *cmd, struct errtext *et)
{
	struct buf body = {0};
	yyjson_doc *doc = NULL;
	enum err e = cmd_call(cmd, HTTP_POST, "/api/v1/secrets/rotate", (struct str){0}, &body, et);
	if (!e && cmd_json(cmd)) {
		cmd_outf(cmd, "%s\n", buf_c(&body));
	} else if (!e && !(e = json_parse(buf_str(&body), &doc, et))) {
		yyjson_val *o = yyjson_doc_get_root(doc);
		long long old = json_i64(o, "old_keys", 0);
		cmd_outf(cmd, "%lld of %lld secrets sealed anew with the master key %.*s\n",
			(long long)json_i64(o, "rewrapped", 0),
			(long long)json_i64(o, "secrets", 0), STR_FMT(json_str(o, "key_id")));
		if (old)
			cmd_outf(cmd, "the older key%s (%lld) can be taken away now\n",
				old == 1 ? "" : "s", old);
	}
	yyjson_doc_free(doc);
	buf_free(&body);
	return e;
}

const struct command secret_commands[N_SECRET_COMMANDS] = {
	{"secret set", secret_set_run, "NAME [FILE]", NULL, 0, "Store a secret",
		"The value is read from FILE, from standard input, or typed without being shown; "
		"a\n"
		"last newline is not part of it. Settings refer to it as secret:NAME.\n"
		"  croft secret set openai < key.txt"},
	{"secret ls", secret_ls_run, "", NULL, 0, "List the secrets, without their values", NULL},
	{"secret rm", secret_rm_run, "NAME", NULL, 0, "Remove a secret", NULL},
	{"secret rotate", secret_rotate_run, "", NULL, 0, "Change the master key of all secrets",
		"With Croft's own key file a new key is made and the old one removed. With a key "
		"of\n"
		"yours (secret.key_file, _env, _command) put the new key in front of the old one,\n"
		"run this, and take the old one away."},
};
