#include "net/client.h"
#include "base/clock.h"
#include "net/trace_context.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

enum { REDIRECTS_MAX = 10, REPLY_HEADERS_MAX = 200 };
enum { CONNECT_MS = 10000, IDLE_MS = 60000 };
static const size_t reply_max_default = (size_t)64 << 20;

/* One request on the wire; redirects are followed by hand, so that it is certain which headers go
 * to which host. */
struct transfer {
	const struct client_request *rq;
	CURL *curl;
	struct arena *arena;
	struct http_pair *headers;
	size_t n_headers;
	int status;
	bool headed;      /* on_head was called */
	bool redirecting; /* the body of this answer is not wanted */
	bool may_follow;
	bool has_location;
	bool blocked; /* the address was not allowed */
	bool silent;  /* for longer than it may be */
	curl_off_t moved;
	uint64_t moved_ns;
	size_t received;
	struct buf *body;
	enum err err; /* of a callback */
	struct errtext *et;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void global_init(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* Handles with their open connections, of requests that asked for it (`keep`), the longest unused
 * first. One that was used for the same place last is taken again, the newest of them: its
 * connection is the least likely to have been closed, and old ones fall out. Nothing is held during
 * a transfer. */
enum { KEPT_MAX = 256 };
struct kept {
	CURL *curl;
	uint64_t place;
};
static pthread_mutex_t kept_mu = PTHREAD_MUTEX_INITIALIZER;
static struct kept kept[KEPT_MAX];
static unsigned n_kept;

/* Of scheme, host and port, and of what decides which addresses may be connected to. */
static uint64_t place_of(const struct client_request *rq)
{
	struct str url = str_c(rq->url);
	size_t from = str_find(url, S("://"));
	from = from == STR_NONE ? 0 : from + 3;
	size_t slash = str_chr(str_sub(url, from, url.n), '/');
	url = str_sub(url, 0, slash == STR_NONE ? url.n : from + slash);
	uint64_t h = 0xcbf29ce484222325u ^ rq->no_link_local; /* FNV-1a */
	for (size_t i = 0; i < url.n; i++)
		h = (h ^ (unsigned char)url.p[i]) * 0x100000001b3u;
	return h;
}

static CURL *handle_get(const struct client_request *rq)
{
	CURL *curl = NULL;
	if (rq->keep) {
		uint64_t place = place_of(rq);
		pthread_mutex_lock(&kept_mu);
		for (unsigned i = n_kept; i-- && !curl;)
			if (kept[i].place == place) {
				curl = kept[i].curl;
				memmove(&kept[i], &kept[i + 1], (n_kept - i - 1) * sizeof *kept);
				n_kept--;
			}
		pthread_mutex_unlock(&kept_mu);
	}
	return curl ? curl : curl_easy_init();
}

static void handle_put(CURL *curl, const struct client_request *rq, bool keep)
{
	if (curl && keep) {
		curl_easy_reset(curl); /* forgets everything but its connections */
		CURL *oldest = NULL;
		struct kept k = {curl, place_of(rq)};
		pthread_mutex_lock(&kept_mu);
		if (n_kept == KEPT_MAX) {
			oldest = kept[0].curl;
			memmove(kept, kept + 1, --n_kept * sizeof *kept);
		}
		kept[n_kept++] = k;
		pthread_mutex_unlock(&kept_mu);
		curl = oldest;
	}
	if (curl)
		curl_easy_cleanup(curl);
}

static bool is_redirect(int status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Called at the end of an answer's headers. */
static bool headed(struct transfer *t)
{
	if (t->status >= 100 && t->status < 200)
		return true; /* an interim answer */
	t->redirecting = is_redirect(t->status) && t->may_follow && t->has_location;
	if (t->redirecting || t->headed)
		return true;
	t->headed = true;
	if (t->rq->on_head)
		t->err = t->rq->on_head(t->rq->ctx, t->status, t->headers, t->n_headers);
	return !t->err;
}

static size_t got_header(char *p, size_t size, size_t count, void *arg)
{
	struct transfer *t = arg;
	struct str line = str_mk(p, size * count);
	if (str_starts(line, S("HTTP/"))) {
		size_t sp = str_chr(line, ' ');
		int64_t status = 0;
		str_i64(str_sub(line, sp + 1, sp + 4), &status);
		t->status = (int)status;
		t->n_headers = 0;
		t->has_location = false;
		return size * count;
	}
	size_t colon = str_chr(line, ':');
	if (!str_trim(line).n)
		return headed(t) ? size * count : 0;
	if (t->headed || colon == STR_NONE || t->n_headers == REPLY_HEADERS_MAX)
		return size * count;
	struct http_pair *h = &t->headers[t->n_headers];
	h->name = arena_str(t->arena, str_trim(str_sub(line, 0, colon)));
	h->value = arena_str(t->arena, str_trim(str_sub(line, colon + 1, line.n)));
	if (!h->name.p || !h->value.p) {
		t->err = err_set(t->et, ERR_NOMEM, "no memory for an answer's headers");
		return 0;
	}
	t->has_location |= str_eq_nocase(h->name, S("location"));
	t->n_headers++;
	return size * count;
}

static size_t got_data(char *p, size_t size, size_t count, void *arg)
{
	struct transfer *t = arg;
	size_t n = size * count, max = t->rq->reply_max ? t->rq->reply_max : reply_max_default;
	if (t->redirecting)
		return n;
	if (n > max - t->received) {
		t->err = err_set(t->et, ERR_TOO_LARGE,
			"the answer has more than the %zu bytes allowed", max);
		return 0;
	}
	t->received += n;
	if (t->rq->on_data) {
		t->err = t->rq->on_data(t->rq->ctx, str_mk(p, n));
	} else {
		buf_add(t->body, p, n);
		t->err = t->body->err;
	}
	return t->err ? 0 : n;
}

static uint64_t idle_ms(const struct client_request *rq)
{
	return rq->idle_ms ? rq->idle_ms : IDLE_MS;
}

/* Called when something moves, and once a second. curl's own measure of silence is a mean of
 * several seconds. */
static int progress(void *arg, curl_off_t a, curl_off_t down, curl_off_t b, curl_off_t up)
{
	struct transfer *t = arg;
	uint64_t now = clock_mono_ns();
	if (down + up != t->moved || !t->moved_ns) {
		t->moved = down + up;
		t->moved_ns = now;
	}
	t->silent = now - t->moved_ns > idle_ms(t->rq) * 1000000;
	return cancelled(t->rq->cancel) || t->silent;
}

/* For messages: without the query, which may hold a secret. */
static struct str url_shown(const char *url)
{
	struct str s = str_c(url);
	return str_sub(s, 0, MIN(str_chr(s, '?'), 200));
}

static enum err outcome(struct transfer *t, CURLcode rc, const char *detail, struct errtext *et)
{
	if (t->err)
		return t->err;
	if (rc == CURLE_OK)
		return OK;
	if (cancelled(t->rq->cancel))
		return err_set(et, ERR_CANCELLED, "cancelled");
	if (t->blocked)
		return err_set(et, ERR_FORBIDDEN, "%.*s: its address is %s, so nothing was sent",
			STR_FMT(url_shown(t->rq->url)),
			t->rq->public_only ? "not public" : "link-local or of a metadata service");
	if (t->silent)
		return err_set(et, ERR_TIMEOUT, "%.*s: silent for more than %llu ms",
			STR_FMT(url_shown(t->rq->url)), (unsigned long long)idle_ms(t->rq));
	const char *text = *detail ? detail : curl_easy_strerror(rc);
	enum err e = rc == CURLE_OPERATION_TIMEDOUT                                  ? ERR_TIMEOUT
		     : rc == CURLE_OUT_OF_MEMORY                                     ? ERR_NOMEM
		     : rc == CURLE_URL_MALFORMAT || rc == CURLE_UNSUPPORTED_PROTOCOL ? ERR_INVALID
										     : ERR_NETWORK;
	return err_set(et, e, "%.*s: %s", STR_FMT(url_shown(t->rq->url)), text);
}

/* Headers that say who is asking: only for the host that they were given for. */
static bool is_credential(struct str name)
{
	static const char *const names[] = {"authorization", "proxy-authorization", "cookie",
		"x-api-key", "api-key", "x-goog-api-key", "x-auth-token"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq_nocase(name, str_c(names[i])))
			return true;
	return false;
}

static enum err add_headers(
	struct transfer *t, bool same_host, struct curl_slist **out, struct errtext *et)
{
	struct buf line = {0};
	enum err e = OK;
	bool has_type = false, has_parent = false;
	struct trace_context trace = trace_context_now();
	for (size_t i = 0; i <= t->rq->n_headers + 1 && !e; i++) {
		buf_clear(&line);
		if (i < t->rq->n_headers) {
			const struct http_pair *h = &t->rq->headers[i];
			if (!same_host && is_credential(h->name))
				continue;
			has_type |= str_eq_nocase(h->name, S("content-type"));
			has_parent |= str_eq_nocase(h->name, S("traceparent"));
			if (str_chr(h->value, '\n') != STR_NONE ||
				str_chr(h->value, '\r') != STR_NONE)
				e = err_set(et, ERR_INVALID, "the header %.*s has a line end in it",
					STR_FMT(h->name));
			buf_addf(&line, "%.*s: %.*s", STR_FMT(h->name), STR_FMT(h->value));
		} else if (i == t->rq->n_headers) {
			if (has_type)
				continue;
			buf_addc(&line, "Content-Type:"); /* not curl's own guess */
		} else {
			char parent[TRACEPARENT + 1];
			if (has_parent || id_is_zero(trace.trace))
				break;
			traceparent_write(&trace, parent);
			buf_addf(&line, "traceparent: %s", parent);
		}
		struct curl_slist *more = e ? NULL : curl_slist_append(*out, buf_c(&line));
		if (more)
			*out = more;
		else if (!e)
			e = err_set(et, ERR_NOMEM, "no memory for a request");
	}
	buf_free(&line);
	return e;
}

static bool is_local_host(CURLU *u)
{
	char *host = NULL;
	if (curl_url_get(u, CURLUPART_HOST, &host, 0))
		return false;
	bool local =
		!strcmp(host, "localhost") || !strncmp(host, "127.", 4) || !strcmp(host, "[::1]");
	curl_free(host);
	return local;
}

static bool same_part(CURLU *a, CURLU *b, CURLUPart part)
{
	char *x = NULL, *y = NULL;
	bool same = !curl_url_get(a, part, &x, CURLU_DEFAULT_PORT) &&
		    !curl_url_get(b, part, &y, CURLU_DEFAULT_PORT) &&
		    str_eq_nocase(str_c(x), str_c(y));
	curl_free(x);
	curl_free(y);
	return same;
}

static bool is_https(CURLU *u)
{
	char *scheme = NULL;
	bool yes = !curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) && !strcmp(scheme, "https");
	curl_free(scheme);
	return yes;
}

static void set_body(CURL *curl, const struct client_request *rq)
{
	if (rq->method == HTTP_HEAD) {
		curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
		return;
	}
	if (rq->body.n || rq->method == HTTP_POST || rq->method == HTTP_PUT ||
		rq->method == HTTP_PATCH) {
		curl_easy_setopt(curl, CURLOPT_POST, 1L);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)rq->body.n);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, rq->body.n ? rq->body.p : "");
	}
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, http_method_name(rq->method));
}

static void set_limits(CURL *curl, const struct client_request *rq)
{
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
		(long)(rq->connect_ms ? rq->connect_ms : CONNECT_MS));
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)rq->total_ms);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
}

static bool given(const char *s)
{
	return s && *s;
}

/* The trust store may be named by the environment, as the curl command has it. */
static void set_trust(CURL *curl, const struct client_request *rq)
{
	const char *ca = given(rq->ca) ? rq->ca : getenv("CURL_CA_BUNDLE");
	if (given(rq->pin)) {
		curl_easy_setopt(curl, CURLOPT_PINNEDPUBLICKEY, rq->pin);
		curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (given(rq->cert))
		curl_easy_setopt(curl, CURLOPT_SSLCERT, rq->cert);
	if (given(rq->cert))
		curl_easy_setopt(curl, CURLOPT_SSLKEY, given(rq->key) ? rq->key : rq->cert);
	if (!ca || !*ca)
		ca = getenv("SSL_CERT_FILE");
	if (ca && *ca)
		curl_easy_setopt(curl, CURLOPT_CAINFO, ca);
}

/* Asked for each address that the name stands for, with the very one that is connected to. */
static curl_socket_t open_allowed(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct transfer *t = ctx;
	if (t->rq->public_only ? !client_address_public(&address->addr)
			       : client_address_link_local(&address->addr)) {
		t->blocked = true;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static enum err run_once(struct transfer *t, CURLU *url, bool same_host, struct errtext *et)
{
	char detail[CURL_ERROR_SIZE] = "";
	struct curl_slist *headers = NULL;
	enum err e = add_headers(t, same_host, &headers, et);
	CURL *curl = t->curl;
	if (!e) {
		curl_easy_reset(curl);
		curl_easy_setopt(curl, CURLOPT_CURLU, url);
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
		curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
		curl_easy_setopt(curl, CURLOPT_USERAGENT, "croft/" CROFT_VERSION);
		curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, got_header);
		curl_easy_setopt(curl, CURLOPT_HEADERDATA, t);
		curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, got_data);
		curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
		curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
		curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, progress);
		curl_easy_setopt(curl, CURLOPT_XFERINFODATA, t);
		if (t->rq->unix_socket)
			curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, t->rq->unix_socket);
		if (is_local_host(url))
			curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* never through a proxy */
		if (t->rq->public_only || t->rq->no_link_local) {
			curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_allowed);
			curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, t);
		}
		if (t->rq->public_only) {
			curl_easy_setopt(curl, CURLOPT_PROXY, "");
			curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
		}
		set_trust(curl, t->rq);
		set_limits(curl, t->rq);
		set_body(curl, t->rq);
		t->status = 0;
		t->moved_ns = 0;
		t->redirecting = false;
		e = outcome(t, curl_easy_perform(curl), detail, et);
	}
	curl_slist_free_all(headers);
	return e;
}

static enum err follow(struct transfer *t, CURLU *url, CURLU *first, struct errtext *et)
{
	for (unsigned hop = 0;; hop++) {
		bool same = same_part(url, first, CURLUPART_HOST) &&
			    same_part(url, first, CURLUPART_PORT) &&
			    same_part(url, first, CURLUPART_SCHEME);
		enum err e = run_once(t, url, same, et);
		if (e || !t->redirecting)
			return e;
		char *next = NULL;
		bool was_https = is_https(url);
		curl_easy_getinfo(t->curl, CURLINFO_REDIRECT_URL, &next);
		if (!next || curl_url_set(url, CURLUPART_URL, next, 0))
			return err_set(
				et, ERR_NETWORK, "%s: redirected to no valid address", t->rq->url);
		if (hop == REDIRECTS_MAX)
			return err_set(et, ERR_NETWORK, "%s: more than %d redirects", t->rq->url,
				REDIRECTS_MAX);
		if (was_https && !is_https(url))
			return err_set(
				et, ERR_NETWORK, "%s: redirected from https to http", t->rq->url);
	}
}

enum err client_run(const struct client_request *rq, struct client_reply *out, struct errtext *et)
{
	pthread_once(&once, global_init);
	struct client_reply reply = {0};
	struct transfer t = {.rq = rq,
		.curl = handle_get(rq),
		.arena = arena_new(4 << 20),
		.body = &reply.body,
		.may_follow =
			!rq->no_redirects && (rq->method == HTTP_GET || rq->method == HTTP_HEAD),
		.et = et};
	CURLU *url = curl_url(), *first = curl_url();
	enum err e = OK;
	if (t.arena)
		t.headers = arena_array_of(t.arena, REPLY_HEADERS_MAX, struct http_pair);
	if (!t.curl || !t.headers || !url || !first)
		e = err_set(et, ERR_NOMEM, "no memory for a request");
	else if (curl_url_set(url, CURLUPART_URL, rq->url, 0) ||
		 curl_url_set(first, CURLUPART_URL, rq->url, 0))
		e = err_set(et, ERR_INVALID, "%s is not a URL", rq->url);
	else
		e = follow(&t, url, first, et);
	if (!e) {
		char *last = NULL;
		reply.status = t.status;
		if (!curl_url_get(url, CURLUPART_URL, &last, 0))
			buf_addc(&reply.final_url, last);
		curl_free(last);
		*out = reply;
	} else {
		client_reply_free(&reply);
	}
	curl_url_cleanup(url);
	curl_url_cleanup(first);
	handle_put(t.curl, rq, rq->keep && e != ERR_CANCELLED);
	arena_free(t.arena);
	return e;
}

void client_reply_free(struct client_reply *r)
{
	buf_free(&r->body);
	buf_free(&r->final_url);
}
