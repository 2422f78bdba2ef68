/* The table of providers in memory, the same on every server that shares the database.
 *
 *  1. A request takes its provider from memory and counts it: a row that is changed or removed
 *     meanwhile stays as it was for the requests that have it.
 *  2. Who changes the table reads it anew before the change is acknowledged; other servers do when
 *     they hear of it.
 *  3. Rows that did not change keep their object, and with it the state of their circuit. */
#include "endpoint/remote_int.h"

#include "access/secret.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/notify.h"

#include <stdlib.h>

static const uint64_t key_ns = 30 * 1000000000ull; /* how long a key is kept */

struct remotes {
	struct croft *c;
	pthread_mutex_t loading;
	pthread_rwlock_t lock; /* guards what follows */
	struct remote **list;  /* by name */
	size_t n;
	int64_t seq;
	struct watch *watch;
};

static struct remotes *state_of(struct croft *c)
{
	return croft_state(c, &remote_module);
}

/* ---- one provider ---- */

static void remote_free(struct remote *p)
{
	secret_wipe(&p->key);
	pthread_mutex_destroy(&p->key_mu);
	pthread_mutex_destroy(&p->breaker.mu);
	arena_free(p->arena);
	free(p);
}

struct remote *remote_ref(struct remote *p)
{
	atomic_fetch_add(&p->refs, 1);
	return p;
}

void remote_put(struct remote *p)
{
	if (p && atomic_fetch_sub(&p->refs, 1) == 1)
		remote_free(p);
}

static bool copy_row(struct remote *p, const struct remote_row *r)
{
	static const char *const paths[2][2] = {
		{"/chat/completions", "/embeddings"}, {"/messages", "/embeddings"}};
	struct remote_row *w = &p->row;
	struct str url = r->url;
	*w = *r;
	w->name = arena_str(p->arena, r->name);
	w->url = arena_str(p->arena, r->url);
	w->model = arena_str(p->arena, r->model);
	w->key_secret = arena_str(p->arena, r->key_secret);
	w->created_by = arena_str(p->arena, r->created_by);
	bool ok = w->name.p && w->url.p && w->model.p && w->key_secret.p && w->created_by.p;
	for (size_t i = 0; i < r->n_fallbacks; i++) {
		w->fallback[i] = arena_str(p->arena, r->fallback[i]);
		ok &= w->fallback[i].p != NULL;
	}
	while (url.n && url.p[url.n - 1] == '/')
		url.n--;
	for (size_t i = 0; i < 2; i++) {
		struct str u = arena_fmt(p->arena, "%.*s%s", STR_FMT(url), paths[r->kind][i]);
		p->endpoint_url[i] = (char *)u.p;
		ok &= u.p != NULL;
	}
	return ok;
}

struct remote *remote_new(const struct remote_row *r)
{
	struct remote *p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	p->arena = arena_new(0);
	pthread_mutex_init(&p->key_mu, NULL);
	breaker_init(&p->breaker);
	atomic_store(&p->refs, 1);
	if (p->arena && copy_row(p, r))
		return p;
	remote_free(p);
	return NULL;
}

struct str remote_name(const struct remote *p)
{
	return p->row.name;
}

struct str remote_kind_word(const struct remote *p)
{
	return p->row.kind == REMOTE_ANTHROPIC ? S("anthropic") : S("openai");
}

int64_t remote_created_ms(const struct remote *p)
{
	return p->row.created_ms;
}

enum err remote_key(struct croft *c, struct remote *p, struct buf *out, struct errtext *et)
{
	enum err e = OK;
	if (!p->row.key_secret.n)
		return OK;
	pthread_mutex_lock(&p->key_mu);
	if (!p->key.n || clock_mono_ns() >= p->key_until_ns) {
		struct buf key = {0};
		e = secret_get(c, S("default"), p->row.key_secret, &key, et);
		if (!e) {
			secret_wipe(&p->key);
			p->key = key;
			p->key_until_ns = clock_mono_ns() + key_ns;
		} else {
			secret_wipe(&key);
		}
	}
	if (!e) {
		buf_adds(out, str_trim(buf_str(&p->key)));
		e = out->err;
	}
	pthread_mutex_unlock(&p->key_mu);
	return e;
}

void remote_key_forget(struct remote *p)
{
	pthread_mutex_lock(&p->key_mu);
	p->key_until_ns = 0;
	pthread_mutex_unlock(&p->key_mu);
}

/* ---- the table ---- */

/* With the lock held. */
static struct remote *look_up(const struct remotes *s, struct str name)
{
	size_t lo = 0, hi = s->n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int d = str_cmp(name, s->list[mid]->row.name);
		if (!d)
			return s->list[mid];
		*(d < 0 ? &hi : &lo) = d < 0 ? mid : mid + 1;
	}
	return NULL;
}

struct remote *remote_find(struct croft *c, struct str name)
{
	struct remotes *s = state_of(c);
	if (!s) /* an instance without providers */
		return NULL;
	pthread_rwlock_rdlock(&s->lock);
	struct remote *p = look_up(s, name);
	if (p)
		remote_ref(p);
	pthread_rwlock_unlock(&s->lock);
	return p;
}

void remote_each(struct croft *c, bool (*fn)(void *ctx, const struct remote *p), void *ctx)
{
	struct remotes *s = state_of(c);
	if (!s)
		return;
	pthread_rwlock_rdlock(&s->lock);
	for (size_t i = 0; i < s->n && fn(ctx, s->list[i]); i++)
		;
	pthread_rwlock_unlock(&s->lock);
}

static void free_list(struct remote **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		remote_put(list[i]);
	free(list);
}

static int by_name(const void *a, const void *b)
{
	return str_cmp(
		(*(struct remote *const *)a)->row.name, (*(struct remote *const *)b)->row.name);
}

/* Only this thread changes the list (`loading` is held), so it may be read without the lock. */
static struct remote **make_list(struct remotes *s, const struct remote_row *rows, size_t n)
{
	struct remote **list = calloc(n + 1, sizeof *list);
	for (size_t i = 0; list && i < n; i++) {
		struct remote *was = look_up(s, rows[i].name);
		list[i] = was && was->row.updated_ms == rows[i].updated_ms ? remote_ref(was)
									   : remote_new(&rows[i]);
		if (!list[i]) {
			free_list(list, i);
			return NULL;
		}
	}
	if (list)
		qsort(list, n, sizeof *list, by_name); /* databases sort each in their own way */
	return list;
}

static enum err read_rows(struct remotes *s, struct arena *a, struct remote_row **rows, size_t *n,
	int64_t *seq, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(s->c), TX_READ, &tx, et);
	if (e)
		return e;
	e = notify_seq(tx, "endpoints", seq, et);
	if (!e)
		e = remote_store_list(tx, a, rows, n, et);
	db_rollback(tx);
	return e;
}

static enum err load(struct remotes *s, struct errtext *et)
{
	struct arena *a = arena_new(0);
	struct remote_row *rows = NULL;
	size_t n = 0, old_n = 0;
	int64_t seq = 0;
	struct remote **list = NULL, **old = NULL;
	pthread_mutex_lock(&s->loading);
	enum err e = a ? read_rows(s, a, &rows, &n, &seq, et)
		       : err_set(et, ERR_NOMEM, "no memory for the endpoints");
	if (!e && !(list = make_list(s, rows, n)))
		e = err_set(et, ERR_NOMEM, "no memory for the endpoints");
	if (!e) {
		pthread_rwlock_wrlock(&s->lock);
		old = s->list;
		old_n = s->n;
		s->list = list;
		s->n = n;
		s->seq = seq;
		pthread_rwlock_unlock(&s->lock);
	}
	pthread_mutex_unlock(&s->loading);
	free_list(old, old_n);
	arena_free(a);
	return e;
}

enum err remote_reload(struct croft *c, struct errtext *et)
{
	return load(state_of(c), et);
}

static enum err follow(void *ctx, const struct notice *n, struct errtext *et)
{
	return n->own ? OK : load(ctx, et);
}

/* ---- the module ---- */

static enum err init(struct croft *c, struct errtext *et)
{
	struct remotes *s = calloc(1, sizeof *s);
	if (!s)
		return err_set(et, ERR_NOMEM, "no memory");
	s->c = c;
	pthread_mutex_init(&s->loading, NULL);
	pthread_rwlock_init(&s->lock, NULL);
	croft_set_state(c, &remote_module, s);
	return load(s, et);
}

static enum err start(struct croft *c, struct errtext *et)
{
	struct remotes *s = state_of(c);
	return notify_watch(croft_db(c), "endpoints", s->seq, follow, s, &s->watch, et);
}

static void stop(struct croft *c)
{
	struct remotes *s = state_of(c);
	if (!s)
		return;
	notify_unwatch(s->watch);
	free_list(s->list, s->n);
	croft_set_state(c, &remote_module, NULL);
	pthread_rwlock_destroy(&s->lock);
	pthread_mutex_destroy(&s->loading);
	free(s);
}

struct metric {
	struct buf *out;
	int what;
};

static bool write_metric(void *ctx, const struct remote *q)
{
	struct metric *m = ctx;
	struct remote *p = (struct remote *)q;
	unsigned failures;
	struct buf *b = m->out;
	unsigned long long n = atomic_load(&p->n_attempts), bad = atomic_load(&p->n_failed),
			   us = atomic_load(&p->sum_us);
	if (m->what == 0)
		buf_addf(b, "croft_provider_circuit{endpoint=\"%.*s\"} %d\n", STR_FMT(p->row.name),
			(int)breaker_look(&p->breaker, clock_mono_ns(), &failures));
	else if (m->what == 1)
		buf_addf(b,
			"croft_provider_attempts_total{endpoint=\"%.*s\",outcome=\"ok\"} %llu\n"
			"croft_provider_attempts_total{endpoint=\"%.*s\",outcome=\"failed\"} "
			"%llu\n",
			STR_FMT(p->row.name), n - MIN(bad, n), STR_FMT(p->row.name), bad);
	else
		buf_addf(b, "croft_provider_seconds_total{endpoint=\"%.*s\"} %.6f\n",
			STR_FMT(p->row.name), (double)us / 1e6);
	return true;
}

static void metrics(struct croft *c, struct buf *out)
{
	static const char *const heads[] = {
		"# HELP croft_provider_circuit A provider's circuit: 0 closed, 1 open, 2 half "
		"open.\n# TYPE croft_provider_circuit gauge\n",
		"# HELP croft_provider_attempts_total Requests sent to a provider.\n"
		"# TYPE croft_provider_attempts_total counter\n",
		"# HELP croft_provider_seconds_total Time that they took.\n"
		"# TYPE croft_provider_seconds_total counter\n"};
	for (int i = 0; i < (int)ARRAY_LEN(heads); i++) {
		struct metric m = {out, i};
		buf_addc(out, heads[i]);
		remote_each(c, write_metric, &m);
	}
}

static const struct setting settings[] = {
	{"remote.connect_timeout", SET_DURATION, "5s", "How long connecting to a provider may take",
		1, 3600000},
	{"remote.idle_timeout", SET_DURATION, "60s",
		"Silence in a provider's stream after which it is given up", 1000, 3600000},
	{"remote.retry_pause", SET_DURATION, "250ms",
		"Before the first repetition; twice as long before each next one, half of it "
		"chance",
		1, 60000},
	{"remote.breaker_failures", SET_INT, "5",
		"Failures in a row after which a provider is left alone; 0: never", 0, 100000},
	{"remote.breaker_pause", SET_DURATION, "10s", "How long it is left alone", 10, 86400000},
	{"remote.allow_link_local", SET_BOOL, "false",
		"Let endpoints point at link-local addresses, where clouds hand out credentials", 0,
		0},
};

const struct module remote_module = {
	.name = "remote",
	TABLE(settings),
	.migrations = remote_migrations,
	.n_migrations = ARRAY_LEN(remote_migrations),
	.routes = remote_routes,
	.n_routes = N_REMOTE_ROUTES,
	.shapes = remote_shapes,
	.n_shapes = N_REMOTE_SHAPES,
	.commands = remote_commands,
	.n_commands = N_REMOTE_COMMANDS,
	.init = init,
	.start = start,
	.stop = stop,
	.metrics = metrics,
};
