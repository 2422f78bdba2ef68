/* Sends what happened in the registry to webhooks: jobs of the durable queue, each delivery signed
 * as MLflow's are (and as standardwebhooks.com has it). */
#include "access/secret.h"
#include "api/mlflow_webhook.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/client.h"
#include "store/worker.h"

#include <arpa/inet.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { THREADS = 2, TOTAL_MS = 15000, ANSWER_MAX = 64 << 10 };

static bool private_allowed(const struct croft *c)
{
	return setting_bool(c, "webhooks.private_addresses");
}

/* ---- addresses ---- */

/* The host of "scheme://host[:port]/..."; {NULL,0}: none, or with a user, which is refused. */
static struct str host_of(struct str rest)
{
	size_t end = 0;
	while (end < rest.n && !strchr("/?#", rest.p[end]))
		end++;
	struct str authority = str_sub(rest, 0, end);
	if (str_chr(authority, '@') != STR_NONE)
		return (struct str){0};
	if (str_starts(authority, S("["))) {
		size_t close = str_chr(authority, ']');
		return close == STR_NONE ? (struct str){0} : str_sub(authority, 1, close);
	}
	return str_sub(authority, 0, str_chr(authority, ':'));
}

/* Whether a host is a literal address, or looks like one, that is not public. Names are looked up
 * when something is sent, and checked then. */
static bool host_is_inside(struct str host)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	char text[80];
	bool digits = true;
	if (host.n >= sizeof text)
		return false;
	memcpy(text, host.p, host.n);
	text[host.n] = 0;
	for (size_t i = 0; i < host.n; i++)
		digits &= (host.p[i] >= '0' && host.p[i] <= '9') || host.p[i] == '.';
	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		return !client_address_public((void *)&v4);
	if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
		return !client_address_public((void *)&v6);
	return digits || str_starts(host, S("0x")) || str_eq_nocase(host, S("localhost")) ||
	       (host.n > 10 && str_eq_nocase(str_sub(host, host.n - 10, host.n), S(".localhost")));
}

enum err webhook_check_url(struct croft *c, struct str url, struct errtext *et)
{
	bool inside = private_allowed(c);
	size_t colon = str_find(url, S("://"));
	if (!str_trim(url).n)
		return err_set(et, ERR_INVALID,
			"Webhook URL cannot be empty or just whitespace: '%.*s'",
			STR_FMT(str_sub(url, 0, 60)));
	struct str scheme = str_sub(url, 0, colon == STR_NONE ? 0 : colon);
	bool ok = str_eq_nocase(scheme, S("https")) || (inside && str_eq_nocase(scheme, S("http")));
	if (!ok)
		return err_set(et, ERR_INVALID,
			"Invalid webhook URL scheme: '%.*s'. Allowed schemes are: %s.",
			STR_FMT(str_sub(scheme, 0, 60)), inside ? "https, http" : "https");
	for (size_t i = 0; i < url.n; i++)
		ok &= (unsigned char)url.p[i] > ' ' && url.p[i] != 0x7f && url.p[i] != '\\';
	struct str host = host_of(str_sub(url, colon + 3, url.n));
	if (!ok || url.n > 500 || !host.n)
		return err_set(et, ERR_INVALID,
			"Invalid webhook URL: a host without user and password is expected, and "
			"at most 500 bytes without spaces");
	if (!inside && host_is_inside(host))
		return err_set(et, ERR_INVALID,
			"Webhook URL must not resolve to a non-public IP address: '%.*s' "
			"(the setting webhooks.private_addresses allows it)",
			STR_FMT(str_sub(host, 0, 100)));
	return OK;
}

/* ---- one delivery ---- */

void webhook_payload(struct buf *out, struct str event, struct str data)
{
	char now[CLOCK_TEXT];
	size_t dot = str_chr(event, '.');
	clock_rfc3339(clock_unix_ms(), now);
	buf_addf(out,
		"{\"entity\": \"%.*s\", \"action\": \"%.*s\", \"timestamp\": \"%s\", \"data\": "
		"%.*s}",
		STR_FMT(str_sub(event, 0, dot)), STR_FMT(str_sub(event, dot + 1, event.n)), now,
		STR_FMT(data));
}

void webhook_secret_name(struct id id, char out[64])
{
	char hex[ID_HEX + 1];
	id_hex(id, hex);
	snprintf(out, 64, "mlflow-webhook-%s", hex);
}

/* "v1,<base64 of HMAC-SHA256 of id.timestamp.payload>"; nothing when it has no secret. */
static enum err sign(struct croft *c, const struct webhook *v, struct str delivery,
	const char *when, struct str payload, struct buf *out, struct errtext *et)
{
	struct buf key = {0}, said = {0};
	uint8_t mac[32];
	unsigned n = 0;
	char name[64];
	if (!v->secret)
		return OK;
	webhook_secret_name(v->id, name);
	enum err e = secret_get(c, v->project, str_c(name), &key, et);
	if (!e) {
		buf_addf(&said, "%.*s.%s.%.*s", STR_FMT(delivery), when, STR_FMT(payload));
		if (said.err || !HMAC(EVP_sha256(), key.p, (int)key.n, (const uint8_t *)said.p,
					said.n, mac, &n))
			e = err_set(et, ERR_NOMEM, "no memory for a webhook");
	}
	if (!e) {
		buf_addc(out, "v1,");
		base64_encode(out, str_mk(mac, n));
		e = out->err;
	}
	secret_wipe(&key);
	buf_free(&said);
	return e;
}

enum err webhook_send(struct croft *c, const struct webhook *v, struct str delivery,
	struct str payload, struct webhook_answer *out, struct errtext *et)
{
	struct buf signature = {0}, url = {0};
	struct client_reply reply = {0};
	struct http_pair headers[4];
	size_t n = 0;
	char when[24];
	snprintf(when, sizeof when, "%lld", (long long)(clock_unix_ms() / 1000));
	enum err e = webhook_check_url(c, v->url, et);
	if (!e)
		e = sign(c, v, delivery, when, payload, &signature, et);
	buf_adds(&url, v->url);
	buf_add(&url, "", 1);
	if (!e && url.err)
		e = err_set(et, ERR_NOMEM, "no memory for a webhook");
	headers[n++] = (struct http_pair){S("content-type"), S("application/json")};
	headers[n++] = (struct http_pair){S("X-MLflow-Delivery-Id"), delivery};
	headers[n++] = (struct http_pair){S("X-MLflow-Timestamp"), str_c(when)};
	if (signature.n)
		headers[n++] = (struct http_pair){S("X-MLflow-Signature"), buf_str(&signature)};
	if (!e)
		e = client_run(&(struct client_request){.method = HTTP_POST,
				       .url = url.p,
				       .headers = headers,
				       .n_headers = n,
				       .body = payload,
				       .no_redirects = true,
				       .public_only = !private_allowed(c),
				       .total_ms = TOTAL_MS,
				       .reply_max = ANSWER_MAX,
				       .cancel = croft_stopping(c)},
			&reply, et);
	if (!e) {
		out->status = reply.status;
		buf_adds(&out->body, buf_str(&reply.body));
	}
	client_reply_free(&reply);
	buf_free(&signature);
	buf_free(&url);
	return e;
}

/* ---- the queue ---- */

/* OK: it is done with, delivered or not worth another try. */
static enum err deliver(struct croft *c, const struct work *k, struct errtext *et)
{
	yyjson_doc *doc = NULL;
	struct webhook v;
	struct webhook_answer answer = {0};
	struct tx *tx;
	struct id id;
	enum err e = json_parse(k->job.body, &doc, et);
	yyjson_val *root = yyjson_doc_get_root(doc);
	if (!e && !id_parse(json_str(root, "webhook"), &id))
		e = err_set(et, ERR_CORRUPT, "a delivery without its webhook");
	if (!e)
		e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (!e) {
		e = webhook_get(tx, json_str(root, "project"), id, k->a, &v, et);
		db_rollback(tx);
		if (e == ERR_NOT_FOUND ||
			(!e && !v.active)) { /* removed or switched off meanwhile */
			yyjson_doc_free(doc);
			return OK;
		}
	}
	if (!e)
		e = webhook_send(
			c, &v, json_str(root, "delivery"), json_str(root, "payload"), &answer, et);
	if (!e && (answer.status == 429 || answer.status >= 500))
		e = err_set(et, ERR_NETWORK, "the answer was %d", answer.status);
	else if (!e && answer.status >= 300)
		log_warn("webhook %.*s: the answer was %d; it is not tried again", STR_FMT(v.name),
			answer.status);
	else if (e == ERR_FORBIDDEN || e == ERR_INVALID) {
		log_warn("webhook %.*s: %s", STR_FMT(v.name), err_text(e, et));
		e = OK;
	}
	buf_free(&answer.body);
	yyjson_doc_free(doc);
	return e;
}

static enum err run(struct work *k, struct errtext *et)
{
	enum err e = deliver(k->ctx, k, et);
	return e ? e : queue_done_now(k->db, &k->job, et);
}

void webhook_wake(struct croft *c)
{
	workers_wake(croft_state(c, &mlflow_webhook_module));
}

/* ---- the module ---- */

static enum err webhook_start(struct croft *c, struct errtext *et)
{
	struct workers *s;
	enum err e = workers_start(croft_db(c),
		&(struct worker_options){.queue = "mlflow_webhook",
			.name = "webhooks",
			.threads = THREADS,
			.look_ms = 2000,
			.arena_max = 64 << 20, /* above all that WEBHOOK_DATA_MAX allows */
			.run = run,
			.ctx = c},
		&s, et);
	if (!e)
		croft_set_state(c, &mlflow_webhook_module, s);
	return e;
}

static void webhook_stop(struct croft *c)
{
	workers_stop(croft_state(c, &mlflow_webhook_module));
	croft_set_state(c, &mlflow_webhook_module, NULL);
}

static const struct setting settings[] = {
	{"webhooks.private_addresses", SET_BOOL, "false",
		"Let webhooks reach this machine and private networks, and plain http", 0, 0},
};

const struct module mlflow_webhook_module = {
	.name = "mlflow_webhook",
	.migrations = webhook_migrations,
	.n_migrations = ARRAY_LEN(webhook_migrations),
	.routes = webhook_routes,
	.n_routes = ARRAY_LEN(webhook_routes),
	TABLE(settings),
	.start = webhook_start,
	.stop = webhook_stop,
};
