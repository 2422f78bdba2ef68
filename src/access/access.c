/* The state of an instance, changes of it, and the thread that follows other servers. */
#include "access/access_int.h"
#include "base/clock.h"
#include "base/log.h"

#include <sodium.h>
#include <stdlib.h>

enum { FOLLOW_MS = 500, WRITE_USES_MS = 30000 };

struct access *access_of(struct croft *c)
{
	return croft_state(c, &access_module);
}

struct directory *access_directory(struct croft *c)
{
	struct access *a = access_of(c);
	pthread_mutex_lock(&a->mu);
	struct directory *d = a->dir;
	atomic_fetch_add(&d->refs, 1);
	pthread_mutex_unlock(&a->mu);
	return d;
}

/* ---- loading ---- */

/* Times of use that are not yet written move on to the new directory. */
static void keep_uses(const struct directory *from, struct directory *to)
{
	for (size_t i = 0; from && i < to->n_keys; i++) {
		struct dir_key *k = &to->keys[i], *old = directory_key_by_id(from, k->id);
		long long used = old ? atomic_load(&old->used_ms) : 0;
		if (used > atomic_load(&k->used_ms))
			atomic_store(&k->used_ms, used);
	}
}

/* An older one never replaces a newer one, whoever is last to get here. */
static void publish(struct access *a, struct directory *d)
{
	pthread_mutex_lock(&a->mu);
	struct directory *old = a->dir;
	if (old && old->version > d->version) {
		old = d;
	} else {
		keep_uses(old, d);
		a->dir = d;
	}
	pthread_mutex_unlock(&a->mu);
	directory_unref(old);
	pthread_mutex_lock(&a->session_mu);
	a->session_epoch++;
	pthread_mutex_unlock(&a->session_mu);
}

enum err access_reload(struct croft *c, struct errtext *et)
{
	struct access *a = access_of(c);
	struct directory *d;
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	uint64_t now = clock_mono_ns();
	e = directory_load(tx, &d, et);
	db_rollback(tx);
	if (e)
		return e;
	publish(a, d);
	atomic_store(&a->followed_ns, now);
	return OK;
}

enum err access_change(struct croft *c, access_change_fn fn, void *ctx, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_WRITE, &tx, et);
	if (e)
		return e;
	e = fn(tx, ctx, et);
	if (!e)
		e = store_version_raise(tx, et);
	e = db_finish(tx, e, et);
	return e ? e : access_reload(c, et);
}

/* ---- what others may do within a change ---- */

enum err access_user_add(
	struct tx *tx, struct str name, struct str display, struct id *out, struct errtext *et)
{
	struct user_row u = {
		.id = id_new(), .name = name, .display = display, .created_ms = clock_unix_ms()};
	bool taken;
	if (!name_ok(name))
		return err_set(et, ERR_INVALID, "\"%.*s\" is no name for a user: " NAME_RULE,
			STR_FMT(str_sub(name, 0, NAME_MAX_BYTES)));
	enum err e = store_user_named(tx, name, &taken, et);
	if (!e && taken)
		e = err_set(et, ERR_CONFLICT, "there is a user %.*s already", STR_FMT(name));
	if (!e)
		e = store_user_put(tx, &u, et);
	if (!e)
		*out = u.id;
	return e;
}

enum err access_member_set(
	struct tx *tx, struct id user, struct str project, struct str role, struct errtext *et)
{
	return store_member_put(tx, user, project, role, S(""), et);
}

bool access_user_find(struct croft *c, struct str name, struct id *out, bool *disabled)
{
	struct directory *d = access_directory(c);
	const struct dir_user *u = directory_user(d, name);
	if (u) {
		*out = u->id;
		*disabled = u->disabled;
	}
	directory_unref(d);
	return u != NULL;
}

/* ---- open or not ---- */

bool access_listens_on_loopback(const struct croft *c)
{
	struct str listen = setting_text(c, "listen");
	struct str host = str_sub(listen, 0, str_rchr(listen, ':'));
	return str_starts(host, S("127.")) || str_eq_c(host, "[::1]") ||
	       str_eq_c(host, "localhost");
}

bool access_is_open(struct croft *c, const struct directory *d)
{
	return !d->n_users && !setting_text(c, "api.key").n && access_listens_on_loopback(c);
}

bool access_has_credentials(struct croft *c)
{
	struct directory *d = access_directory(c);
	bool has = d->n_users || setting_text(c, "api.key").n;
	directory_unref(d);
	return has;
}

const char *access_local_key(struct croft *c)
{
	return access_of(c)->local_key;
}

/* ---- following what other servers change ---- */

static bool is_current(struct croft *c)
{
	struct access *a = access_of(c);
	struct directory *d = access_directory(c);
	int64_t here = d->version, there;
	struct tx *tx;
	uint64_t now = clock_mono_ns();
	directory_unref(d);
	if (db_begin(croft_db(c), TX_READ, &tx, NULL))
		return true; /* not known: followed_ns grows old */
	enum err e = store_version(tx, &there, NULL);
	db_rollback(tx);
	if (e || here < there)
		return e != OK;
	atomic_store(&a->followed_ns, now);
	return true;
}

static void *follow(void *arg)
{
	struct croft *c = arg;
	struct access *a = access_of(c);
	uint64_t write_at = clock_mono_ns() + (uint64_t)WRITE_USES_MS * 1000000;
	struct errtext et;
	pthread_mutex_lock(&a->mu);
	while (!a->ending) {
		uint64_t until = clock_mono_ns() + (uint64_t)FOLLOW_MS * 1000000;
		while (!a->ending && cond_wait_until(&a->wake, &a->mu, until))
			;
		pthread_mutex_unlock(&a->mu);
		if (!is_current(c) && access_reload(c, &et))
			log_warn("users and keys could not be read again: %s", et.msg);
		if (clock_mono_ns() > write_at) {
			access_write_uses(c);
			write_at = clock_mono_ns() + (uint64_t)WRITE_USES_MS * 1000000;
		}
		pthread_mutex_lock(&a->mu);
	}
	pthread_mutex_unlock(&a->mu);
	access_write_uses(c);
	return NULL;
}

/* ---- life ---- */

/* The key of sessions' tags is made by whoever comes first. */
static enum err load_session_key(struct tx *tx, struct access *a, struct errtext *et)
{
	bool found;
	enum err e = store_secret(tx, "session", a->session_key, &found, et);
	if (e || found)
		return e;
	random_bytes(a->session_key, sizeof a->session_key);
	return store_secret_put(tx, "session", a->session_key, et);
}

static enum err load(struct croft *c, struct access *a, struct errtext *et)
{
	struct tx *tx;
	bool found;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = store_secret(tx, "session", a->session_key, &found, et);
	db_rollback(tx);
	if (!e && !found) {
		e = db_begin(croft_db(c), TX_WRITE, &tx, et);
		if (e)
			return e;
		e = load_session_key(tx, a, et);
		e = db_finish(tx, e, et);
	}
	return e ? e : access_reload(c, et);
}

enum err access_init(struct croft *c, struct errtext *et)
{
	struct access *a = calloc(1, sizeof *a);
	uint8_t random[SHA256_BYTES];
	if (!a || sodium_init() < 0 || !(a->throttle = throttle_new())) {
		free(a);
		return err_set(et, ERR_NOMEM, "no memory");
	}
	pthread_mutex_init(&a->mu, NULL);
	pthread_mutex_init(&a->session_mu, NULL);
	cond_init(&a->wake);
	random_bytes(random, sizeof random);
	hex_encode(random, sizeof random, a->local_key);
	a->shared =
		!str_starts(setting_text(c, "db.url"), S("sqlite:")) && setting_text(c, "db.url").n;
	croft_set_state(c, &access_module, a);
	croft_set_authenticate(c, access_authenticate);
	enum err e = load(c, a, et);
	if (e) /* stop runs only for modules whose init succeeded */
		access_stop(c);
	return e;
}

enum err access_start(struct croft *c, struct errtext *et)
{
	struct access *a = access_of(c);
	atomic_store(&a->followed_ns, clock_mono_ns());
	enum err e = thread_start(&a->follower, follow, c, "access", et);
	a->following = e == OK;
	return e;
}

void access_stop(struct croft *c)
{
	struct access *a = access_of(c);
	struct str key;
	void *value;
	if (a->following) {
		pthread_mutex_lock(&a->mu);
		a->ending = true;
		pthread_cond_broadcast(&a->wake);
		pthread_mutex_unlock(&a->mu);
		pthread_join(a->follower, NULL);
	}
	croft_set_authenticate(c, NULL);
	directory_unref(a->dir);
	for (size_t i = 0; map_next(&a->sessions, &i, &key, &value);)
		free(value);
	map_free(&a->sessions);
	throttle_free(a->throttle);
	pthread_cond_destroy(&a->wake);
	pthread_mutex_destroy(&a->mu);
	pthread_mutex_destroy(&a->session_mu);
	sodium_memzero(a, sizeof *a);
	free(a);
	croft_set_state(c, &access_module, NULL);
}

void access_metrics(struct croft *c, struct buf *out)
{
	struct directory *d = access_directory(c);
	buf_addf(out,
		"# HELP croft_users Users and service accounts\n# TYPE croft_users gauge\n"
		"croft_users %zu\n"
		"# HELP croft_keys Keys, also ended ones\n# TYPE croft_keys gauge\ncroft_keys "
		"%zu\n",
		d->n_users, d->n_keys);
	directory_unref(d);
}
