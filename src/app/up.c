/* `croft up`: the life of the server, from its settings to its end. */
#include "access/access.h"
#include "app/app.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/server.h"
#include "net/tls.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	RELOAD_MS = 2000, /* between looks at the certificate's files */
	EXPIRES_SOON_DAYS = 14,
	FILES_BESIDE = 256, /* descriptors that are no connections */
};

static atomic_bool hung_up; /* SIGHUP: read the certificate again */

static void on_hangup(int sig)
{
	atomic_store(&hung_up, true);
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

/* Tells commands on the same data directory where the server is, what lets them in as its owner,
 * and by which key to know it: its certificate need not name the address that they use. */
static enum err announce(
	struct croft *c, const char *path, const char *address, struct tls *tls, struct errtext *et)
{
	struct buf b = {0}, pin = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_kc(&w, "address", address);
	jw_ki64(&w, "pid", getpid());
	jw_kc(&w, "key", access_local_key(c));
	if (tls) {
		tls_pin(tls, &pin);
		jw_kbool(&w, "tls", true);
		jw_kc(&w, "pin", buf_c(&pin));
	}
	jw_end(&w);
	enum err e = os_write_atomic(path, buf_str(&b), et);
	buf_free(&b);
	buf_free(&pin);
	return e;
}

/* ---- TLS ---- */

static void tell_certificate(struct tls *tls, const char *what)
{
	struct buf about = {0};
	int64_t days = tls_valid_days(tls);
	tls_describe(tls, &about);
	log_info("%s: %s", what, buf_c(&about));
	if (days < 0)
		log_warn("the certificate in tls.cert has expired: clients will refuse it");
	else if (days < EXPIRES_SOON_DAYS)
		log_warn("the certificate in tls.cert expires in %lld days", (long long)days);
	buf_free(&about);
}

static enum err open_tls(struct croft *c, struct tls **out, struct errtext *et)
{
	struct tls_options o = {.cert = setting_text(c, "tls.cert").p,
		.key = setting_text(c, "tls.key").p,
		.client_ca = setting_text(c, "tls.client_ca").p};
	*out = NULL;
	if (!setting_text(c, "tls.cert").n) {
		static const char *const idle[] = {
			"tls.key", "tls.client_ca", "tls.redirect_listen"};
		for (size_t i = 0; i < ARRAY_LEN(idle); i++)
			if (setting_text(c, idle[i]).n)
				return err_set(et, ERR_INVALID,
					"%s is set but tls.cert is not: nothing would be "
					"encrypted; "
					"set tls.cert too",
					idle[i]);
		return OK;
	}
	enum err e = tls_open(&o, out, et);
	if (!e)
		tell_certificate(*out, "serving over TLS");
	return e;
}

/* A new certificate is used for new connections; one that is no good is told and not used. */
static void reload_tls(struct croft *c, struct tls *tls, const char *note, const char *address)
{
	struct errtext et = {0};
	bool changed = false;
	enum err e = tls_reload(tls, atomic_exchange(&hung_up, false), &changed, &et);
	if (!e && changed) {
		tell_certificate(tls, "the certificate was read again");
		e = announce(c, note, address, tls, &et);
	}
	if (e)
		log_error("the certificate stays what it was: %s", err_text(e, &et));
}

static void run_until(struct croft *c, const struct cancel *end, struct tls *tls, const char *note,
	const char *address)
{
	uint64_t looked = clock_mono_ns();
	while (!cancelled(end)) {
		clock_sleep_ms(50);
		if (!tls || (!atomic_load(&hung_up) &&
				    clock_mono_ns() - looked < (uint64_t)RELOAD_MS * 1000000))
			continue;
		looked = clock_mono_ns();
		reload_tls(c, tls, note, address);
	}
}

/* As many descriptors as connections may come. */
static void allow_files(unsigned connections)
{
	struct rlimit lim;
	rlim_t want = (rlim_t)connections + FILES_BESIDE;
	if (getrlimit(RLIMIT_NOFILE, &lim) || lim.rlim_cur >= want)
		return;
	lim.rlim_cur = MIN(want, lim.rlim_max);
	if (setrlimit(RLIMIT_NOFILE, &lim) || lim.rlim_cur < want)
		log_warn("this process may open %llu files, too few for http.connections_max = %u: "
			 "raise the limit (ulimit -n)",
			(unsigned long long)lim.rlim_cur, connections);
}

static enum err check_listen(struct croft *c, struct errtext *et)
{
	struct str listen = setting_text(c, "listen");
	if (access_listens_on_loopback(c))
		return OK;
	if (!access_has_credentials(c))
		return err_set(et, ERR_INVALID,
			"%.*s is reachable from other machines and nobody needs credentials: add a "
			"user (croft user add NAME --admin --password) or set api.key "
			"(CROFT_API_KEY), or listen on 127.0.0.1",
			STR_FMT(listen));
	if (!setting_text(c, "tls.cert").n)
		log_warn(
			"%.*s is reachable from other machines WITHOUT TLS: keys, documents and "
			"answers cross the network readable; set tls.cert and tls.key, or let only "
			"a proxy with TLS reach it",
			STR_FMT(listen));
	return OK;
}

static void note_redirect(const struct server *server)
{
	if (*server_redirect_address(server))
		log_info("http://%s redirects to https", server_redirect_address(server));
}

static enum err listen_and_run(
	struct cmd *cmd, struct croft *c, struct tls *tls, struct errtext *et)
{
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
		.listen = setting_text(c, "listen").p,
		.tls = tls,
		.redirect_listen = setting_text(c, "tls.redirect_listen").p,
		.workers = (unsigned)setting_int(c, "http.workers"),
		.waiting_max = (unsigned)setting_int(c, "http.waiting_max"),
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
	allow_files(o.connections_max);
	e = server_start(&o, &server, et);
	if (e)
		return e;
	app_set_server(c, server);
	e = announce(c, note, server_address(server), tls, et);
	if (!e) {
		log_info("croft %s serves %s on http%s://%s", CROFT_VERSION, croft_home(c),
			tls ? "s" : "", server_address(server));
		note_redirect(server);
		signal(SIGHUP, on_hangup);
		run_until(c, cmd_cancel(cmd), tls, note, server_address(server));
		log_info("stopping");
	}
	unlink(note);
	server_stop(server, (uint32_t)setting_int(c, "http.stop_grace"));
	app_set_server(c, NULL);
	os_remove_tree(spool, NULL);
	return e;
}

static enum err serve(struct cmd *cmd, struct croft *c, struct errtext *et)
{
	struct tls *tls = NULL;
	enum err e = check_listen(c, et);
	if (!e)
		e = open_tls(c, &tls, et);
	if (!e)
		e = listen_and_run(cmd, c, tls, et);
	tls_close(tls);
	return e;
}

enum err up_run(struct cmd *cmd, struct errtext *et)
{
	struct croft *c;
	enum err e = cmd_croft(cmd, &c, et);
	return e ? e : serve(cmd, c, et);
}
