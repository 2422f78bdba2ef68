/* How a command reaches the API. With the setting `url` (CROFT_URL) it is the server there. Else,
 * when another process has the data directory open, it is a server and home/server.json says where;
 * otherwise this process opens the directory and runs the very same handlers. */
#include "cli/cli_int.h"

#include "base/clock.h"
#include "net/client.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum { LOCK_WAIT_MS = 10000 };

static enum err open_here(
	struct cmd *cmd, bool settings_only, struct croft **out, struct errtext *et)
{
	struct str home = cmd_opt(cmd, "home"), config = cmd_opt(cmd, "config");
	struct croft_options o = {.modules = cmd->modules,
		.n_modules = cmd->n_modules,
		.home = home.p,
		.config = config.p,
		.flags = cmd->flags,
		.n_flags = cmd->n_flags,
		.settings_only = settings_only};
	return croft_open(&o, out, et);
}

/* The address of a server that runs on this data directory, if one does. */
static bool find_server(struct cmd *cmd, const char *home)
{
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s/server.json", home);
	struct buf b = {0};
	yyjson_doc *doc = NULL;
	bool found = false;
	if (!os_read_file(path, 1 << 16, &b, NULL) && !json_parse(buf_str(&b), &doc, NULL)) {
		yyjson_val *note = yyjson_doc_get_root(doc);
		struct str address = json_str(note, "address"), pin = json_str(note, "pin");
		struct buf url = {0};
		buf_addf(&url, "http%s://%.*s", json_bool(note, "tls", false) ? "s" : "",
			STR_FMT(address));
		if (address.n) {
			cmd->base_url = buf_take(&url);
			cmd->pin = str_dup(pin.n ? pin : S(""));
			cmd->api_key = str_dup(json_str(note, "key"));
		}
		found = cmd->base_url != NULL;
	}
	yyjson_doc_free(doc);
	buf_free(&b);
	return found;
}

static void take_settings(struct cmd *cmd, const struct croft *settings)
{
	struct str key = setting_text(settings, "key");
	if (!key.n)
		key = setting_text(settings, "api.key");
	if (!cmd->api_key || key.n) {
		free(cmd->api_key);
		cmd->api_key = str_dup(key);
	}
	cmd->ca = str_dup(setting_text(settings, "tls.ca"));
	cmd->client_cert = str_dup(setting_text(settings, "tls.client_cert"));
	cmd->client_key = str_dup(setting_text(settings, "tls.client_key"));
}

/* The setting `url`: a server anywhere; else the one of `croft login`, unless a data directory is
 * named. */
static enum err find_named(struct cmd *cmd, struct errtext *et)
{
	struct croft *settings;
	struct buf login_url = {0};
	const char *home = getenv("CROFT_HOME");
	enum err e = open_here(cmd, true, &settings, et);
	if (e)
		return e;
	struct str url = setting_text(settings, "url");
	if (!url.n && !cmd_opt(cmd, "home").p && !(home && *home)) {
		login_current(&login_url);
		url = buf_str(&login_url);
	}
	while (str_ends(url, S("/")))
		url.n--;
	if (url.n && !str_starts(url, S("https://")) && !str_starts(url, S("http://")))
		e = err_set(et, ERR_INVALID, "url: \"%.*s\" must begin with https:// (or http://)",
			STR_FMT(url));
	else if (url.n)
		cmd->base_url = str_dup(url);
	if (!e && url.n) {
		cmd->api_key = login_key(url);
		take_settings(cmd, settings);
	}
	croft_close(settings);
	buf_free(&login_url);
	return e;
}

static enum err connect_api(struct cmd *cmd, struct errtext *et)
{
	if (cmd->croft || cmd->base_url)
		return OK;
	enum err named = find_named(cmd, et);
	if (named || cmd->base_url)
		return named;
	uint64_t end = clock_mono_ns() + (uint64_t)LOCK_WAIT_MS * 1000000;
	for (;;) {
		enum err e = open_here(cmd, false, &cmd->croft, et);
		if (e != ERR_BUSY)
			return e;
		struct croft *settings;
		e = open_here(cmd, true, &settings, et);
		if (e)
			return e;
		bool found = find_server(cmd, croft_home(settings));
		if (found)
			take_settings(cmd, settings);
		char home[PATH_MAX];
		snprintf(home, sizeof home, "%s", croft_home(settings));
		croft_close(settings);
		if (found)
			return OK;
		/* another command, not a server: it will soon be done */
		if (clock_mono_ns() > end || cancelled(&cmd->cancel))
			return err_set(et, ERR_BUSY,
				"the data directory %s is in use by another croft command; try "
				"again when it is done",
				home);
		clock_sleep_ms(100);
	}
}

enum err cmd_croft(struct cmd *cmd, struct croft **out, struct errtext *et)
{
	if (!cmd->croft) {
		enum err e = open_here(cmd, false, &cmd->croft, et);
		if (e)
			return e;
	}
	*out = cmd->croft;
	return OK;
}

bool cmd_remote(struct cmd *cmd)
{
	return !connect_api(cmd, NULL) && cmd->base_url;
}

void cmd_server(struct cmd *cmd, struct str *url, struct str *key)
{
	*url = str_c(cmd->base_url);
	*key = cmd->api_key ? str_c(cmd->api_key) : S("");
}

void transport_close(struct cmd *cmd)
{
	croft_close(cmd->croft);
	char **const owned[] = {&cmd->base_url, &cmd->api_key, &cmd->pin, &cmd->ca,
		&cmd->client_cert, &cmd->client_key};
	for (size_t i = 0; i < ARRAY_LEN(owned); i++) {
		free(*owned[i]);
		*owned[i] = NULL;
	}
	cmd->croft = NULL;
}

/* One exchange, either way. */
struct exchange {
	int status;
	struct buf *body; /* the whole answer, or an error's body */
	struct sse_reader *events;
	enum err (*sink)(void *ctx, struct str data); /* for a download */
	void *sink_ctx;
	struct errtext *et;
};

static enum err got_data(void *ctx, struct str data)
{
	struct exchange *x = ctx;
	if (x->events && x->status < 400)
		return sse_feed(x->events, data, x->et);
	if (x->sink && x->status < 400)
		return x->sink(x->sink_ctx, data);
	buf_adds(x->body, data);
	return x->body->err;
}

static void got_head_local(void *ctx, int status, const struct http_pair *headers, size_t n)
{
	((struct exchange *)ctx)->status = status;
}

static enum err got_head_remote(void *ctx, int status, const struct http_pair *headers, size_t n)
{
	((struct exchange *)ctx)->status = status;
	return OK;
}

static enum err run_remote(struct cmd *cmd, enum http_method method, const char *path,
	const struct http_pair *headers, size_t n, struct str body, struct exchange *x,
	struct errtext *et)
{
	struct buf url = {0}, auth = {0};
	struct http_pair all[16];
	size_t k = 0;
	for (; k < n && k < 14; k++)
		all[k] = headers[k];
	if (cmd->api_key && *cmd->api_key) {
		buf_addf(&auth, "Bearer %s", cmd->api_key);
		all[k++] = (struct http_pair){S("authorization"), buf_str(&auth)};
	}
	buf_addf(&url, "%s%s", cmd->base_url, path);
	struct client_request rq = {.method = method,
		.url = buf_c(&url),
		.pin = cmd->pin,
		.ca = cmd->ca,
		.cert = cmd->client_cert,
		.key = cmd->client_key,
		.headers = all,
		.n_headers = k,
		.body = body,
		.idle_ms = 600000,
		.reply_max = x->sink ? SIZE_MAX : (size_t)1 << 30,
		.cancel = &cmd->cancel,
		.keep = true,
		.on_head = got_head_remote,
		.on_data = got_data,
		.ctx = x};
	struct client_reply reply = {0};
	enum err e = client_run(&rq, &reply, et);
	client_reply_free(&reply);
	buf_free(&url);
	buf_free(&auth);
	return e;
}

static enum err status_error(int status)
{
	for (unsigned e = 1; e < ERR_COUNT; e++)
		if (err_http((enum err)e) == status)
			return (enum err)e;
	return status >= 500 ? ERR_INTERNAL : ERR_INVALID;
}

/* {"error":{"code","message"}} back to what it was. */
static enum err answer_error(int status, struct str body, struct errtext *et)
{
	yyjson_doc *doc = NULL;
	enum err e = status_error(status);
	if (json_parse(body, &doc, NULL))
		return err_set(et, e, "the server answered %d", status);
	yyjson_val *root = yyjson_doc_get_root(doc), *error = yyjson_obj_get(root, "error");
	struct str code = json_str(error, "code"), message = json_str(error, "message");
	if (!error) /* the shape of MLflow's routes */
		message = json_str(root, "message");
	for (unsigned i = 1; i < ERR_COUNT; i++)
		if (str_eq_c(code, err_word((enum err)i)))
			e = (enum err)i;
	err_set(et, e, "%.*s", STR_FMT(message));
	yyjson_doc_free(doc);
	return e;
}

static struct str asked_project(const struct cmd *cmd)
{
	struct str option = cmd_opt(cmd, "project");
	return option.p ? option : str_c(getenv("CROFT_PROJECT"));
}

static enum err run_exchange(struct cmd *cmd, enum http_method method, const char *path,
	const struct http_pair *more, size_t n, struct str body, struct exchange *x,
	struct errtext *et)
{
	struct http_pair headers[14];
	enum err e = connect_api(cmd, et);
	if (e)
		return e;
	n = MIN(n, ARRAY_LEN(headers) - 1);
	if (n)
		memcpy(headers, more, n * sizeof *headers);
	if (asked_project(cmd).n)
		headers[n++] = (struct http_pair){S("x-croft-project"), asked_project(cmd)};
	x->et = et;
	if (cmd->base_url) {
		e = run_remote(cmd, method, path, headers, n, body, x, et);
	} else {
		struct http_local to = {got_head_local, got_data, x};
		e = http_local_run(croft_handle, cmd->croft, method, str_c(path), headers, n, body,
			&cmd->cancel, &to, et);
	}
	if (!e && x->status >= 400)
		e = answer_error(x->status, buf_str(x->body), et);
	return e;
}

enum err cmd_send(struct cmd *cmd, enum http_method method, const char *path,
	const struct http_pair *headers, size_t n, struct str body, struct buf *out,
	struct errtext *et)
{
	struct exchange x = {.body = out};
	return run_exchange(cmd, method, path, headers, n, body, &x, et);
}

static const struct http_pair json_headers[] = {
	{{"content-type", 12}, {"application/json", 16}},
};

enum err cmd_call(struct cmd *cmd, enum http_method method, const char *path, struct str json,
	struct buf *out, struct errtext *et)
{
	return cmd_send(cmd, method, path, json_headers, json.n ? 1 : 0, json, out, et);
}

enum err cmd_stream(struct cmd *cmd, enum http_method method, const char *path, struct str json,
	cmd_event_fn fn, void *ctx, struct errtext *et)
{
	struct buf body = {0};
	struct sse_reader reader = {.fn = fn, .ctx = ctx};
	struct exchange x = {.body = &body, .events = &reader};
	enum err e = run_exchange(cmd, method, path, json_headers, json.n ? 1 : 0, json, &x, et);
	sse_free(&reader);
	buf_free(&body);
	return e;
}

enum err cmd_download(struct cmd *cmd, const char *path, enum err (*fn)(void *ctx, struct str data),
	void *ctx, struct errtext *et)
{
	struct buf body = {0};
	struct exchange x = {.body = &body, .sink = fn, .sink_ctx = ctx};
	enum err e = run_exchange(cmd, HTTP_GET, path, NULL, 0, (struct str){0}, &x, et);
	buf_free(&body);
	return e;
}

enum err cmd_settings(struct cmd *cmd, struct croft **out, struct errtext *et)
{
	return open_here(cmd, true, out, et);
}

/* ---- server-sent events ---- */

static enum err sse_line(struct sse_reader *r, struct str line)
{
	if (!line.n) { /* the end of an event */
		enum err e = OK;
		if (r->have_data)
			e = r->fn(r->ctx, buf_str(&r->event), buf_str(&r->data));
		buf_clear(&r->event);
		buf_clear(&r->data);
		r->have_data = false;
		return e;
	}
	size_t colon = str_chr(line, ':');
	if (colon == 0)
		return OK; /* a comment */
	struct str name = str_sub(line, 0, colon), value = {"", 0};
	if (colon != STR_NONE)
		value = str_sub(line, colon + 1, line.n);
	if (value.n && value.p[0] == ' ')
		value = str_sub(value, 1, value.n);
	if (str_eq_c(name, "event")) {
		buf_clear(&r->event);
		buf_adds(&r->event, value);
	} else if (str_eq_c(name, "data")) {
		if (r->have_data)
			buf_putc(&r->data, '\n');
		buf_adds(&r->data, value);
		r->have_data = true;
	}
	return r->data.err;
}

enum err sse_feed(struct sse_reader *r, struct str bytes, struct errtext *et)
{
	r->line.max = r->data.max = 64u << 20;
	while (bytes.n) {
		size_t end = str_chr(bytes, '\n');
		buf_adds(&r->line, str_sub(bytes, 0, end));
		if (r->line.err)
			return err_set(et, r->line.err, "an event of the server is too large");
		if (end == STR_NONE)
			break;
		bytes = str_sub(bytes, end + 1, bytes.n);
		struct str line = buf_str(&r->line);
		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		enum err e = sse_line(r, line);
		buf_clear(&r->line);
		if (e)
			return e;
	}
	return OK;
}

void sse_free(struct sse_reader *r)
{
	buf_free(&r->line);
	buf_free(&r->event);
	buf_free(&r->data);
}
