/* `croft login` and `croft logout`: servers elsewhere and the keys for them, in one file of the
 * user's configuration: {"current": URL, "servers": {URL: KEY, ...}}. */
#include "cli/cli_int.h"

#include "base/os.h"
#include "net/client.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

enum { FILE_MAX = 1 << 16 };

static bool login_path(char out[PATH_MAX], bool make)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	char dir[PATH_MAX - 16];
	if (config && *config)
		snprintf(dir, sizeof dir, "%s/croft", config);
	else if (home && *home)
		snprintf(dir, sizeof dir, "%s/.config/croft", home);
	else
		return false;
	if (make && os_mkdirs(dir, NULL))
		return false;
	snprintf(out, PATH_MAX, "%s/login.json", dir);
	return true;
}

/* NULL: there is none, or it is no JSON. */
static yyjson_doc *read_file(void)
{
	char path[PATH_MAX];
	struct buf b = {0};
	yyjson_doc *doc = NULL;
	if (login_path(path, false) && !os_read_file(path, FILE_MAX, &b, NULL) &&
		json_parse(buf_str(&b), &doc, NULL))
		doc = NULL;
	buf_free(&b);
	return doc;
}

void login_current(struct buf *url)
{
	yyjson_doc *doc = read_file();
	buf_adds(url, json_str(yyjson_doc_get_root(doc), "current"));
	yyjson_doc_free(doc);
}

char *login_key(struct str url)
{
	yyjson_doc *doc = read_file();
	yyjson_val *servers = yyjson_obj_get(yyjson_doc_get_root(doc), "servers");
	yyjson_val *key = yyjson_obj_getn(servers, url.p, url.n);
	char *copy = yyjson_is_str(key) ? str_dup(json_val_str(key)) : NULL;
	yyjson_doc_free(doc);
	return copy;
}

/* The file with url's key set, or without url when key is {NULL,0}. */
static enum err write_file(struct str url, struct str key, struct errtext *et)
{
	char path[PATH_MAX];
	yyjson_doc *doc = read_file();
	yyjson_val *root = yyjson_doc_get_root(doc), *k, *v;
	struct str current = json_str(root, "current");
	struct buf b = {0};
	struct jw w = {.out = &b};
	size_t i, n;
	jw_obj(&w);
	jw_kstr(&w, "current", key.p ? url : str_eq(current, url) ? S("") : current);
	jw_key(&w, "servers");
	jw_obj(&w);
	yyjson_obj_foreach(yyjson_obj_get(root, "servers"), i, n, k, v)
	{
		if (str_eq(json_val_str(k), url))
			continue;
		jw_key_str(&w, json_val_str(k));
		jw_val(&w, v);
	}
	if (key.p) {
		jw_key_str(&w, url);
		jw_str(&w, key);
	}
	jw_end(&w);
	jw_end(&w);
	enum err e = !login_path(path, true)
			     ? err_set(et, ERR_IO, "there is no folder for the key: set HOME")
			     : os_write_atomic(path, buf_str(&b), et); /* mode 0600 */
	yyjson_doc_free(doc);
	buf_free(&b);
	return e;
}

static enum err read_key(struct buf *out, struct errtext *et)
{
	struct termios old, silent;
	bool tty = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &old) == 0;
	char *line = NULL;
	size_t cap = 0;
	if (tty) {
		fprintf(stderr, "Key: ");
		silent = old;
		silent.c_lflag &= ~(tcflag_t)ECHO;
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
	}
	ssize_t n = getline(&line, &cap, stdin);
	if (tty) {
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
		fputc('\n', stderr);
	}
	if (n > 0)
		buf_adds(out, str_trim(str_mk(line, (size_t)n)));
	free(line);
	return out->n ? OK : err_set(et, ERR_INVALID, "no key was given");
}

/* Asks the server whose key it is: a key that does not work is not kept. */
static enum err check(
	struct cmd *cmd, struct str url, struct str key, struct buf *name, struct errtext *et)
{
	struct buf target = {0}, auth = {0};
	struct client_reply reply = {0};
	yyjson_doc *doc = NULL;
	buf_addf(&target, "%.*s/api/v1/me", STR_FMT(url));
	buf_addf(&auth, "Bearer %.*s", STR_FMT(key));
	struct http_pair header = {S("authorization"), buf_str(&auth)};
	struct str ca = cmd_opt(cmd, "ca");
	struct client_request rq = {.method = HTTP_GET,
		.url = buf_c(&target),
		.ca = ca.p,
		.headers = &header,
		.n_headers = 1,
		.reply_max = 1 << 20,
		.cancel = &cmd->cancel};
	enum err e = client_run(&rq, &reply, et);
	if (!e && reply.status != 200)
		e = err_set(et, reply.status == 401 ? ERR_UNAUTHENTICATED : ERR_NETWORK,
			reply.status == 401 ? "%.*s does not take this key"
					    : "%.*s does not answer as a Croft server does",
			STR_FMT(url));
	if (!e)
		e = json_parse(buf_str(&reply.body), &doc, et);
	if (!e)
		buf_adds(name, json_str(yyjson_doc_get_root(doc), "name"));
	yyjson_doc_free(doc);
	client_reply_free(&reply);
	buf_free(&target);
	buf_free(&auth);
	return e;
}

const struct option login_options[1] = {
	{"ca", 0, "FILE", "PEM file of authorities to trust"},
};

enum err run_login(struct cmd *cmd, struct errtext *et)
{
	struct buf key = {0}, name = {0};
	struct str url = cmd_arg(cmd, 0);
	while (str_ends(url, S("/")))
		url.n--;
	if (cmd_n_args(cmd) != 1 ||
		(!str_starts(url, S("https://")) && !str_starts(url, S("http://"))))
		return err_set(et, ERR_INVALID, "usage: croft login https://SERVER");
	enum err e = read_key(&key, et);
	if (!e)
		e = check(cmd, url, buf_str(&key), &name, et);
	if (!e)
		e = write_file(url, buf_str(&key), et);
	if (!e)
		cmd_outf(cmd, "Commands now talk to %.*s, as %s.\n", STR_FMT(url), buf_c(&name));
	buf_free(&key);
	buf_free(&name);
	return e;
}

enum err run_logout(struct cmd *cmd, struct errtext *et)
{
	struct buf current = {0};
	struct str url = cmd_arg(cmd, 0);
	if (!url.n) {
		login_current(&current);
		url = buf_str(&current);
	}
	while (str_ends(url, S("/")))
		url.n--;
	char *key = url.n ? login_key(url) : NULL;
	enum err e = key ? write_file(url, (struct str){0}, et)
			 : err_set(et, ERR_NOT_FOUND, "no key is kept for %.*s",
				   STR_FMT(url.n ? url : S("any server")));
	if (!e)
		cmd_outf(cmd, "The key for %.*s is forgotten.\n", STR_FMT(url));
	free(key);
	buf_free(&current);
	return e;
}
