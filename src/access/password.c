/* Passwords: Argon2id, few at a time, and a limit on trying.
 *
 * One hash takes 19 MiB and about 30 ms of one core. Two run at once and sixteen wait; more are
 * told to come again, so that signing in can exhaust neither memory nor the workers. */
#include "access/access_int.h"
#include "base/clock.h"

#include <sodium.h>
#include <stdlib.h>

enum { OPS = 3, MEMORY = 19 << 20, RUNNING_MAX = 2, WAITING_MAX = 16 };

_Static_assert(PASSWORD_HASH >= crypto_pwhash_STRBYTES, "room for a hash");

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t done = PTHREAD_COND_INITIALIZER;
static unsigned running, waiting;

static enum err enter(struct errtext *et)
{
	enum err e = OK;
	pthread_mutex_lock(&mu);
	if (running >= RUNNING_MAX && waiting >= WAITING_MAX) {
		e = err_set(et, ERR_BUSY, "too many are signing in: try again in a second");
	} else {
		waiting++;
		while (running >= RUNNING_MAX)
			pthread_cond_wait(&done, &mu);
		waiting--;
		running++;
	}
	pthread_mutex_unlock(&mu);
	return e;
}

static void leave(void)
{
	pthread_mutex_lock(&mu);
	running--;
	pthread_cond_signal(&done);
	pthread_mutex_unlock(&mu);
}

enum err password_check_policy(struct str password, struct errtext *et)
{
	if (password.n < PASSWORD_MIN || password.n > PASSWORD_MAX)
		return err_set(et, ERR_INVALID, "a password has from %d to %d bytes", PASSWORD_MIN,
			PASSWORD_MAX);
	for (size_t i = 1; i < password.n; i++)
		if (password.p[i] != password.p[0])
			return OK;
	return err_set(et, ERR_INVALID, "a password of one repeated character is none");
}

enum err password_hash(struct str password, char out[PASSWORD_HASH], struct errtext *et)
{
	enum err e = enter(et);
	if (e)
		return e;
	if (crypto_pwhash_str(out, password.p ? password.p : "", password.n, OPS, MEMORY))
		e = err_set(et, ERR_NOMEM, "no memory to hash a password");
	leave();
	return e;
}

/* Who has no password costs the same: a hash is computed and thrown away. */
enum err password_verify(struct str password, struct str stored, bool *ok, struct errtext *et)
{
	char hash[PASSWORD_HASH] = "";
	enum err e = enter(et);
	if (e)
		return e;
	memcpy(hash, stored.p ? stored.p : "", MIN(stored.n, sizeof hash - 1));
	if (stored.n) {
		*ok = !crypto_pwhash_str_verify(hash, password.p ? password.p : "", password.n);
	} else {
		*ok = false;
		if (crypto_pwhash_str(hash, password.p ? password.p : "", password.n, OPS, MEMORY))
			e = err_set(et, ERR_NOMEM, "no memory to hash a password");
	}
	leave();
	return e;
}

/* ---- trying ----
 *
 * Failures are counted by name (an account's, an address's) in a table of fixed size: four places
 * for each hash, of which the one that matters least makes room. */

enum { BUCKETS = 1024, PLACES = 4, WINDOW_MS = 15 * 60 * 1000 };

struct tries {
	uint64_t hash; /* 0: free */
	unsigned failed;
	int64_t first_ms, locked_until_ms;
};

struct throttle {
	pthread_mutex_t mu;
	struct tries places[BUCKETS][PLACES];
};

struct throttle *throttle_new(void)
{
	struct throttle *t = calloc(1, sizeof *t);
	if (t)
		pthread_mutex_init(&t->mu, NULL);
	return t;
}

void throttle_free(struct throttle *t)
{
	if (t)
		pthread_mutex_destroy(&t->mu);
	free(t);
}

static uint64_t hash_of(struct str name)
{
	return hash64(name) | 1;
}

static struct tries *find(struct throttle *t, uint64_t hash)
{
	struct tries *bucket = t->places[hash / 2 % BUCKETS];
	for (size_t i = 0; i < PLACES; i++)
		if (bucket[i].hash == hash)
			return &bucket[i];
	return NULL;
}

static struct tries *make_room(struct throttle *t, uint64_t hash, int64_t now_ms)
{
	struct tries *bucket = t->places[hash / 2 % BUCKETS], *least = &bucket[0];
	for (size_t i = 1; i < PLACES; i++) {
		struct tries *p = &bucket[i];
		bool locked = p->locked_until_ms > now_ms,
		     least_locked = least->locked_until_ms > now_ms;
		if (!p->hash || (least->hash && (locked < least_locked ||
							(locked == least_locked &&
								p->first_ms < least->first_ms))))
			least = p;
	}
	*least = (struct tries){.hash = hash, .first_ms = now_ms};
	return least;
}

int64_t throttle_wait_ms(struct throttle *t, struct str name, int64_t now_ms)
{
	pthread_mutex_lock(&t->mu);
	struct tries *p = find(t, hash_of(name));
	int64_t wait = p && p->locked_until_ms > now_ms ? p->locked_until_ms - now_ms : 0;
	pthread_mutex_unlock(&t->mu);
	return MIN(wait, (int64_t)WINDOW_MS); /* however the clock stepped */
}

bool throttle_fail(struct throttle *t, struct str name, int64_t now_ms, unsigned tries)
{
	pthread_mutex_lock(&t->mu);
	uint64_t hash = hash_of(name);
	struct tries *p = find(t, hash);
	if (!p)
		p = make_room(t, hash, now_ms);
	if (now_ms - p->first_ms > WINDOW_MS || p->first_ms > now_ms)
		*p = (struct tries){.hash = hash, .first_ms = now_ms};
	bool locks = ++p->failed == tries;
	if (locks) {
		p->locked_until_ms = now_ms + WINDOW_MS;
		p->failed = 0;
		p->first_ms = now_ms;
	}
	pthread_mutex_unlock(&t->mu);
	return locks;
}

void throttle_clear(struct throttle *t, struct str name)
{
	pthread_mutex_lock(&t->mu);
	struct tries *p = find(t, hash_of(name));
	if (p)
		*p = (struct tries){0};
	pthread_mutex_unlock(&t->mu);
}
