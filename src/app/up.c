#include "app/app.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/server.h"

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

/* 127.0.0.0/8, ::1 and localhost; anything else may be reachable from outside. */
static bool is_loopback(struct str listen)
{
	size_t colon = str_rchr(listen, ':');
	struct str host = str_sub(listen, 0, colon);
	return str_starts(host, S("127.")) || str_eq_c(host, "[::1]") ||
	       str_eq_c(host, "localhost");
}

static enum err start_modules(struct croft *c, struct errtext *et)
{
	size_t n;
	const struct module *const *modules = croft_modules(c, &n);
	enum err e = OK;
	for (size_t i = 0; i < n && !e; i++)
		if (modules[i]->start)
			e = modules[i]->start(c, et);
	return e;
}

static enum err announce(const char *path, const char *address, struct errtext *et)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_kc(&w, "address", address);
	jw_ki64(&w, "pid", getpid());
	jw_end(&w);
	enum err e = os_write_atomic(path, buf_str(&b), et);
	buf_free(&b);
	return e;
}

static enum err serve(struct cmd *cmd, struct croft *c, struct errtext *et)
{
	struct str listen = setting_text(c, "listen");
	if (!is_loopback(listen) && !setting_text(c, "api.key").n)
		return err_set(et, ERR_INVALID,
			"%.*s is reachable from other machines and no API key is set: set api.key "
			"(CROFT_API_KEY), or listen on 127.0.0.1",
			STR_FMT(listen));
	char spool[PATH_MAX], note[PATH_MAX];
	snprintf(spool, sizeof spool, "%s/spool", croft_home(c));
	snprintf(note, sizeof note, "%s/server.json", croft_home(c));
	os_remove_tree(spool, NULL); /* what a crash left */
	enum err e = os_mkdirs(spool, et);
	if (!e)
		e = start_modules(c, et);
	if (e)
		return e;
	struct server_options o = {
		.listen = listen.p,
		.workers = (unsigned)setting_int(c, "http.workers"),
		.queue_max = (unsigned)setting_int(c, "http.queue_max"),
		.connections_max = (unsigned)setting_int(c, "http.connections_max"),
		.header_max = (size_t)setting_int(c, "http.header_max"),
		.body_max = (size_t)MAX(
			setting_int(c, "http.upload_max"), setting_int(c, "http.body_max")),
		.body_memory_max = 1 << 20,
		.spool_dir = spool,
		.read_timeout_ms = (uint32_t)setting_int(c, "http.read_timeout"),
		.write_timeout_ms = (uint32_t)setting_int(c, "http.write_timeout"),
		.allowed_hosts = setting_text(c, "http.allowed_hosts").p,
		.handler = croft_handle,
		.check = croft_check,
		.app = c,
	};
	struct server *server;
	e = server_start(&o, &server, et);
	if (e)
		return e;
	app_set_server(c, server);
	e = announce(note, server_address(server), et);
	if (!e) {
		log_info("croft %s serves %s on http://%s", CROFT_VERSION, croft_home(c),
			server_address(server));
		while (!cancelled(cmd_cancel(cmd)))
			clock_sleep_ms(50);
		log_info("stopping");
	}
	unlink(note);
	server_stop(server, (uint32_t)setting_int(c, "http.stop_grace"));
	app_set_server(c, NULL);
	os_remove_tree(spool, NULL);
	return e;
}

enum err up_run(struct cmd *cmd, struct errtext *et)
{
	struct croft *c;
	enum err e = cmd_croft(cmd, &c, et);
	return e ? e : serve(cmd, c, et);
}
