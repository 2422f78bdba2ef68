/* The API for a child while its parent runs: the running server's, or one on a free port of the
 * loopback that this process serves from the data directory it has open. That one answers only to a
 * random key, which the child gets; whoever holds it acts as the user of the data directory. */
#include "run/exec_int.h"
#include "base/hash.h"
#include "base/os.h"
#include "net/server.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

struct exec_host {
	struct croft *c;
	struct server *server;
	char spool[PATH_MAX];
	char key[65];
};

static bool has_key(const struct exec_host *h, const struct http_request *rq)
{
	struct str sent = http_header(rq, "authorization");
	if (sent.n != 7 + strlen(h->key) || !str_eq_nocase(str_sub(sent, 0, 7), S("bearer ")))
		return false;
	return CRYPTO_memcmp(sent.p + 7, h->key, strlen(h->key)) == 0;
}

static bool admit(struct exec_host *h, struct http_request *rq, struct http_response *rs)
{
	if (has_key(h, rq)) {
		rq->local = true;
		return true;
	}
	struct errtext et;
	err_set(&et, ERR_UNAUTHENTICATED,
		"this server belongs to one `croft run`: it answers to its command only");
	http_reply_error(rs, ERR_UNAUTHENTICATED, &et);
	return false;
}

static bool host_check(void *app, struct http_request *rq, struct http_response *rs)
{
	struct exec_host *h = app;
	return admit(h, rq, rs) && croft_check(h->c, rq, rs);
}

static void host_handle(void *app, struct http_request *rq, struct http_response *rs)
{
	struct exec_host *h = app;
	if (admit(h, rq, rs))
		croft_handle(h->c, rq, rs);
}

static enum err serve(struct cmd *cmd, struct exec_host *h, struct errtext *et)
{
	uint8_t random[32];
	enum err e = cmd_croft(cmd, &h->c, et);
	if (e)
		return e;
	random_bytes(random, sizeof random);
	hex_encode(random, sizeof random, h->key);
	snprintf(h->spool, sizeof h->spool, "%s/spool", croft_home(h->c));
	e = os_mkdirs(h->spool, et);
	struct server_options o = {
		.listen = "127.0.0.1:0",
		.workers = (unsigned)setting_int(h->c, "http.workers"),
		.queue_max = (unsigned)setting_int(h->c, "http.queue_max"),
		.connections_max = (unsigned)setting_int(h->c, "http.connections_max"),
		.header_max = (size_t)setting_int(h->c, "http.header_max"),
		.body_max = (size_t)MAX(
			setting_int(h->c, "http.upload_max"), setting_int(h->c, "http.body_max")),
		.body_memory_max = 1 << 20,
		.spool_dir = h->spool,
		.read_timeout_ms = (uint32_t)setting_int(h->c, "http.read_timeout"),
		.write_timeout_ms = (uint32_t)setting_int(h->c, "http.write_timeout"),
		.handler = host_handle,
		.check = host_check,
		.app = h,
	};
	return e ? e : server_start(&o, &h->server, et);
}

enum err exec_host_open(struct cmd *cmd, struct exec_host **out, struct buf *url, struct buf *key,
	struct errtext *et)
{
	struct str at, sent;
	if (cmd_remote(cmd)) {
		cmd_server(cmd, &at, &sent);
		buf_adds(url, at);
		buf_adds(key, sent);
		*out = NULL;
		return OK;
	}
	struct exec_host *h = calloc(1, sizeof *h);
	if (!h)
		return err_set(et, ERR_NOMEM, "no memory for a server");
	enum err e = serve(cmd, h, et);
	if (e) {
		free(h);
		return e;
	}
	buf_addf(url, "http://%s", server_address(h->server));
	buf_addc(key, h->key);
	*out = h;
	return OK;
}

void exec_host_close(struct exec_host *h)
{
	if (!h)
		return;
	server_stop(h->server, 1000);
	OPENSSL_cleanse(h->key, sizeof h->key);
	free(h);
}

const char **exec_variables(
	struct arena *a, struct str url, struct str key, struct str run, struct str seed)
{
	struct str v[] = {
		arena_fmt(a, "MLFLOW_TRACKING_URI=%.*s", STR_FMT(url)),
		arena_fmt(a, "MLFLOW_RUN_ID=%.*s", STR_FMT(run)),
		arena_fmt(a, "CROFT_URL=%.*s", STR_FMT(url)),
		arena_fmt(a, "CROFT_RUN_ID=%.*s", STR_FMT(run)),
		arena_fmt(a, "CROFT_SEED=%.*s", STR_FMT(seed)),
		arena_fmt(a, "PYTHONHASHSEED=%.*s", STR_FMT(seed)),
		arena_fmt(a, "OTEL_EXPORTER_OTLP_ENDPOINT=%.*s", STR_FMT(url)),
		arena_fmt(a, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"),
		arena_fmt(a, "MLFLOW_TRACKING_TOKEN=%.*s", STR_FMT(key)),
		arena_fmt(a, "CROFT_KEY=%.*s", STR_FMT(key)),
		arena_fmt(
			a, "OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%%20%.*s", STR_FMT(key)),
	};
	size_t n = key.n ? ARRAY_LEN(v) : ARRAY_LEN(v) - 3;
	const char **list = arena_array_of(a, ARRAY_LEN(v) + 1, const char *);
	for (size_t i = 0; list && i < n; i++) {
		if (!v[i].p)
			return NULL;
		list[i] = v[i].p;
	}
	return list;
}
