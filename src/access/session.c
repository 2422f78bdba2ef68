/* Sessions: what a browser holds after signing in.
 *
 * The cookie is 32 random bytes and a tag over them; the database has the SHA-256 of the random
 * bytes. The tag's key is the instance's: a made-up cookie is refused without asking the database,
 * and who reads the database can make no cookie. Sessions that were seen are kept in memory until
 * any user, role, key or session changes; then they are read again. */
#include "access/access_int.h"
#include "base/clock.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

enum { SECRET = 32, TAG = 16, COOKIE_TEXT = 2 * (SECRET + TAG), CACHED_MAX = 8192 };
enum { SEEN_STEP_MS = 60000, AGENT_MAX = 200 };

/* ---- the cookie ---- */

static void tag_of(const struct access *a, const uint8_t secret[SECRET], uint8_t out[TAG])
{
	uint8_t mac[crypto_auth_BYTES];
	crypto_auth(mac, secret, SECRET, a->session_key);
	memcpy(out, mac, TAG);
}

static struct str cookie_value(const struct http_request *rq)
{
	struct str rest = http_header(rq, "cookie"), part;
	while (str_next(&rest, ';', &part)) {
		part = str_trim(part);
		if (str_starts(part, S("croft_session=")))
			return str_sub(part, 14, part.n);
	}
	return (struct str){0};
}

static bool read_cookie(
	const struct access *a, const struct http_request *rq, uint8_t hash[SHA256_BYTES])
{
	uint8_t bytes[SECRET + TAG], tag[TAG];
	struct str text = cookie_value(rq);
	if (text.n != COOKIE_TEXT || !hex_decode(text, bytes, sizeof bytes))
		return false;
	tag_of(a, bytes, tag);
	if (sodium_memcmp(tag, bytes + SECRET, TAG))
		return false;
	sha256_of(str_mk(bytes, SECRET), hash);
	return true;
}

static void set_cookie(struct croft *c, const struct http_request *rq, struct http_response *rs,
	const char *value, int64_t max_age_s)
{
	char text[300];
	bool secure = rq->tls || setting_bool(c, "session.secure");
	snprintf(text, sizeof text,
		"croft_session=%s; Path=/; HttpOnly; SameSite=Strict; Max-Age=%lld%s", value,
		(long long)max_age_s, secure ? "; Secure" : "");
	http_set_header(rs, "set-cookie", str_c(text));
}

void session_forget(struct croft *c, const struct http_request *rq, struct http_response *rs)
{
	set_cookie(c, rq, rs, "", 0);
}

/* ---- opening ---- */

struct opening {
	struct session_row row;
	const struct principal *who;
	const char *method;
};

static enum err write_session(struct tx *tx, struct opening *o, struct errtext *et)
{
	struct buf detail = {0};
	struct jw w = {.out = &detail};
	jw_obj(&w);
	jw_kc(&w, "method", o->method);
	jw_kstr(&w, "address", o->row.address);
	jw_end(&w);
	enum err e = store_session_put(tx, &o->row, et);
	if (!e)
		e = store_sessions_limit(tx, o->row.user, SESSIONS_MAX, et);
	if (!e)
		e = audit_in(tx, o->who, S(""), "session.open", o->who->name, buf_str(&detail), et);
	buf_free(&detail);
	return e;
}

/* Text of a header that may be stored: UTF-8, not too long. */
static struct str header_text(const struct http_request *rq, const char *name)
{
	struct str s = str_sub(http_header(rq, name), 0, AGENT_MAX);
	s.n = utf8_complete_prefix(s);
	return s.n && utf8_valid(s) && !memchr(s.p, 0, s.n) ? s : S("");
}

static struct str address_of(const struct http_request *rq)
{
	size_t colon = str_rchr(rq->peer, ':');
	return colon == STR_NONE ? rq->peer : str_sub(rq->peer, 0, colon);
}

enum err session_open(struct croft *c, const struct http_request *rq, struct http_response *rs,
	struct id user, const char *method, struct errtext *et)
{
	struct access *a = access_of(c);
	struct directory *d = access_directory(c);
	const struct dir_user *u = directory_user_by_id(d, user);
	uint8_t cookie[SECRET + TAG];
	char hex[COOKIE_TEXT + 1];
	int64_t now = clock_unix_ms(), max_ms = setting_int(c, "session.max");
	struct tx *tx;
	enum err e = !u            ? err_set(et, ERR_NOT_FOUND, "there is no such user")
		     : u->disabled ? err_set(et, ERR_FORBIDDEN, "the account %.*s is disabled",
					     STR_FMT(u->name))
				   : db_begin(croft_db(c), TX_WRITE, &tx, et);
	if (e) {
		directory_unref(d);
		return e;
	}
	struct principal who = {.id = u->id, .name = u->name};
	struct opening o = {.who = &who,
		.method = method,
		.row = {.user = user,
			.created_ms = now,
			.seen_ms = now,
			.expires_ms = now + max_ms,
			.method = str_c(method),
			.address = address_of(rq),
			.agent = header_text(rq, "user-agent")}};
	random_bytes(cookie, SECRET);
	tag_of(a, cookie, cookie + SECRET);
	sha256_of(str_mk(cookie, SECRET), o.row.hash);
	e = write_session(tx, &o, et);
	e = db_finish(tx, e, et);
	directory_unref(d);
	if (e)
		return e;
	hex_encode(cookie, sizeof cookie, hex);
	set_cookie(c, rq, rs, hex, max_ms / 1000);
	return OK;
}

/* ---- finding ---- */

static struct session *cached(struct access *a, const uint8_t hash[SHA256_BYTES])
{
	struct session *s = map_get(&a->sessions, str_mk(hash, SHA256_BYTES));
	return s && s->epoch == a->session_epoch ? s : NULL;
}

static bool is_live(const struct croft *c, const struct session_row *s, int64_t now)
{
	return now < s->expires_ms && now - s->seen_ms < setting_int(c, "session.idle");
}

/* Under session_mu. What does not fit is not kept, and read again the next time. */
static void cache(struct access *a, const struct session_row *row)
{
	struct session *s = map_get(&a->sessions, str_mk(row->hash, SHA256_BYTES));
	if (!s && (a->sessions.n >= CACHED_MAX || !(s = calloc(1, sizeof *s))))
		return;
	int64_t seen = s->row.seen_ms, stored = s->stored_seen_ms;
	*s = (struct session){.row = *row, .stored_seen_ms = stored, .epoch = a->session_epoch};
	s->row.method = s->row.address = s->row.agent = (struct str){0};
	s->row.seen_ms = MAX(seen, row->seen_ms);
	if (!map_put(&a->sessions, str_mk(row->hash, SHA256_BYTES), s))
		free(s);
}

static bool read_session(struct croft *c, const uint8_t hash[SHA256_BYTES], struct session_row *out)
{
	struct tx *tx;
	if (db_begin(croft_db(c), TX_READ, &tx, NULL))
		return false;
	enum err e = store_session_get(tx, hash, NULL, out, NULL);
	db_rollback(tx);
	return e == OK;
}

bool session_find(struct croft *c, const struct http_request *rq, struct session_row *out)
{
	struct access *a = access_of(c);
	uint8_t hash[SHA256_BYTES];
	int64_t now = clock_unix_ms();
	if (!read_cookie(a, rq, hash))
		return false;
	pthread_mutex_lock(&a->session_mu);
	struct session *s = cached(a, hash);
	bool found = s && is_live(c, &s->row, now);
	if (found) {
		s->row.seen_ms = MAX(now, s->row.seen_ms);
		*out = s->row;
	}
	struct session *stale = map_get(&a->sessions, str_mk(hash, SHA256_BYTES));
	int64_t seen_ms = stale ? stale->row.seen_ms : 0;
	uint64_t epoch = a->session_epoch;
	pthread_mutex_unlock(&a->session_mu);
	if (found)
		return true;
	/* also when it seems idle: another server may have seen it */
	if (!read_session(c, hash, out))
		return false;
	out->seen_ms = MAX(out->seen_ms, seen_ms);
	if (!is_live(c, out, now))
		return false;
	out->seen_ms = MAX(out->seen_ms, now);
	pthread_mutex_lock(&a->session_mu);
	if (epoch == a->session_epoch)
		cache(a, out);
	pthread_mutex_unlock(&a->session_mu);
	return true;
}

void session_drop(struct croft *c, const uint8_t hash[SHA256_BYTES])
{
	struct access *a = access_of(c);
	pthread_mutex_lock(&a->session_mu);
	free(map_del(&a->sessions, str_mk(hash, SHA256_BYTES)));
	pthread_mutex_unlock(&a->session_mu);
}

/* ---- writing what is due ---- */

enum { DUE_MAX = 512 };
#define ENDED_KEYS_MS (90ll * 24 * 3600 * 1000) /* so long ended keys are still listed */

struct due {
	uint8_t hash[SHA256_BYTES];
	int64_t seen_ms;
};

static size_t due_sessions(struct access *a, struct due *due)
{
	size_t n = 0, i = 0;
	struct str key;
	void *value;
	pthread_mutex_lock(&a->session_mu);
	while (n < DUE_MAX && map_next(&a->sessions, &i, &key, &value)) {
		struct session *s = value;
		if (s->row.seen_ms - s->stored_seen_ms < SEEN_STEP_MS)
			continue;
		memcpy(due[n].hash, s->row.hash, SHA256_BYTES);
		due[n++].seen_ms = s->stored_seen_ms = s->row.seen_ms;
	}
	pthread_mutex_unlock(&a->session_mu);
	return n;
}

static enum err write_keys(struct tx *tx, struct directory *d)
{
	enum err e = OK;
	for (size_t i = 0; i < d->n_keys && !e; i++) {
		struct dir_key *k = &d->keys[i];
		int64_t used = atomic_load(&k->used_ms);
		if (used <= k->stored_used_ms)
			continue;
		e = store_key_used(tx, k->id, used, NULL);
		k->stored_used_ms = used; /* only this thread looks at it */
	}
	return e;
}

/* A failure costs nothing but the times of last use. */
void access_write_uses(struct croft *c)
{
	struct access *a = access_of(c);
	struct due *due = calloc(DUE_MAX, sizeof *due);
	struct directory *d = access_directory(c);
	struct tx *tx = NULL;
	if (due && !db_begin(croft_db(c), TX_WRITE, &tx, NULL)) {
		size_t n = due_sessions(a, due);
		enum err e = write_keys(tx, d);
		for (size_t i = 0; i < n && !e; i++)
			e = store_session_seen(tx, due[i].hash, due[i].seen_ms, NULL);
		if (!e)
			e = store_sessions_prune(
				tx, clock_unix_ms(), setting_int(c, "session.idle"), NULL);
		if (!e)
			e = store_keys_prune(tx, clock_unix_ms() - ENDED_KEYS_MS, NULL);
		if (e)
			db_rollback(tx);
		else if (db_commit(tx, NULL))
			e = ERR_IO;
	}
	directory_unref(d);
	free(due);
}
