/* The module of OpenID Connect: its file, the thread that keeps keys, tokens as credentials. */
#include "access/oidc_int.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>

enum { KEEP_MS = 10 * 60 * 1000, LOOK_MS = 1000, RETRY_MS = 5000, FILE_MAX = 256 << 10 };

struct oidc *oidc_of(struct croft *c)
{
	return croft_state(c, &oidc_module);
}

struct oidc_provider *oidc_find(struct croft *c, struct str name)
{
	struct oidc *o = oidc_of(c);
	for (size_t i = 0; i < o->config.n; i++)
		if (str_eq(o->config.providers[i].name, name))
			return &o->config.providers[i];
	return NULL;
}

/* ---- tokens as credentials ---- */

static struct oidc_provider *issued_by(struct oidc *o, struct str token)
{
	struct buf iss = {0};
	struct oidc_provider *found = NULL;
	bool good = jwt_issuer(token, &iss);
	for (size_t i = 0; good && i < o->config.n; i++) {
		struct oidc_provider *p = &o->config.providers[i];
		if (p->n_subjects && str_eq(p->issuer, buf_str(&iss)))
			found = p;
	}
	buf_free(&iss);
	return found;
}

static enum err verify_bearer(const struct http_request *rq, struct oidc_provider *p,
	struct str token, struct str *user, struct errtext *et)
{
	yyjson_doc *doc = NULL;
	bool unknown = false;
	struct oidc_meta *m = oidc_meta_now(p);
	if (!m) {
		atomic_store(&p->wanted, true);
		return err_set(et, ERR_NOT_READY, "the keys of %.*s are not here yet: try again",
			STR_FMT(p->title));
	}
	enum err e = jwt_verify(token, m->keys, &doc, &unknown, et);
	if (unknown)
		atomic_store(&p->wanted, true);
	oidc_meta_unref(m);
	if (e)
		return e;
	struct jwt_expect x = {.issuer = p->issuer,
		.audience = p->audience,
		.now_s = clock_unix_ms() / 1000,
		.leeway_s = 60};
	yyjson_val *claims = yyjson_doc_get_root(doc);
	e = jwt_check(claims, &x, et);
	struct str found = {0};
	for (size_t i = 0; i < p->n_subjects && !e && !found.p; i++)
		if (str_eq(p->subjects[i].subject, json_str(claims, "sub")))
			found = p->subjects[i].user;
	if (!e && !found.p)
		e = err_set(et, ERR_UNAUTHENTICATED,
			"the token's subject stands for no account here (service_accounts in "
			"oidc.file)");
	if (!e)
		*user = found;
	yyjson_doc_free(doc);
	return e;
}

enum err oidc_bearer(struct croft *c, const struct http_request *rq, struct str token, bool *known,
	struct str *user, struct errtext *et)
{
	struct oidc *o = oidc_of(c);
	struct oidc_provider *p = o ? issued_by(o, token) : NULL;
	*known = p != NULL;
	return p ? verify_bearer(rq, p, token, user, et) : OK;
}

/* ---- the thread: for whom tokens are credentials, keys must be here before they are needed ----
 */

static void keep(struct oidc_provider *p, uint64_t *tried_ns)
{
	struct errtext et = {0};
	struct oidc_meta *m = oidc_meta_now(p);
	uint64_t now = clock_mono_ns(), age = m ? now - m->fetched_ns : UINT64_MAX;
	oidc_meta_unref(m);
	bool wanted = atomic_load(&p->wanted) || age > (uint64_t)KEEP_MS * 1000000;
	if (!wanted || now - *tried_ns < (uint64_t)RETRY_MS * 1000000)
		return;
	*tried_ns = now;
	atomic_store(&p->wanted, false);
	enum err e = oidc_meta_get(p, RETRY_MS, NULL, &m, &et);
	if (e)
		log_warn("keys of %s: %s", p->name.p, err_text(e, &et));
	else
		oidc_meta_unref(m);
}

static void *keeper(void *arg)
{
	struct oidc *o = arg;
	uint64_t tried[PROVIDERS_MAX] = {0};
	pthread_mutex_lock(&o->mu);
	while (!o->ending) {
		pthread_mutex_unlock(&o->mu);
		for (size_t i = 0; i < o->config.n; i++)
			if (o->config.providers[i].n_subjects)
				keep(&o->config.providers[i], &tried[i]);
		pthread_mutex_lock(&o->mu);
		uint64_t until = clock_mono_ns() + (uint64_t)LOOK_MS * 1000000;
		while (!o->ending && cond_wait_until(&o->wake, &o->mu, until))
			;
	}
	pthread_mutex_unlock(&o->mu);
	return NULL;
}

/* ---- life ---- */

static enum err read_file(struct croft *c, struct oidc *o, struct errtext *et)
{
	struct str path = setting_text(c, "oidc.file");
	struct buf text = {0};
	if (!path.n)
		return OK;
	enum err e = os_read_file(path.p, FILE_MAX, &text, et);
	if (e)
		err_wrap(et, e, "oidc.file");
	else
		e = oidc_config_parse(buf_str(&text), path.p, &o->config, et);
	buf_free(&text);
	return e;
}

static enum err oidc_init(struct croft *c, struct errtext *et)
{
	struct oidc *o = calloc(1, sizeof *o);
	if (!o)
		return err_set(et, ERR_NOMEM, "no memory");
	enum err e = read_file(c, o, et);
	if (e) {
		free(o);
		return e;
	}
	pthread_mutex_init(&o->mu, NULL);
	cond_init(&o->wake);
	croft_set_state(c, &oidc_module, o);
	return OK;
}

static enum err oidc_start(struct croft *c, struct errtext *et)
{
	struct oidc *o = oidc_of(c);
	bool needed = false;
	for (size_t i = 0; i < o->config.n; i++)
		needed |= o->config.providers[i].n_subjects > 0;
	enum err e = needed ? thread_start(&o->thread, keeper, o, "oidc", et) : OK;
	o->threaded = needed && !e;
	return e;
}

static void oidc_stop(struct croft *c)
{
	struct oidc *o = oidc_of(c);
	if (!o)
		return;
	if (o->threaded) {
		pthread_mutex_lock(&o->mu);
		o->ending = true;
		pthread_cond_broadcast(&o->wake);
		pthread_mutex_unlock(&o->mu);
		pthread_join(o->thread, NULL);
	}
	croft_set_state(c, &oidc_module, NULL);
	oidc_config_free(&o->config);
	pthread_cond_destroy(&o->wake);
	pthread_mutex_destroy(&o->mu);
	free(o);
}

static const struct setting settings[] = {
	{"oidc.file", SET_TEXT, "", "YAML file of the providers that people sign in with", 0, 0},
};

const struct module oidc_module = {
	.name = "oidc",
	.migrations = oidc_migrations,
	.n_migrations = N_OIDC_MIGRATIONS,
	.routes = oidc_routes,
	.n_routes = N_OIDC_ROUTES,
	.shapes = oidc_shapes,
	.n_shapes = N_OIDC_SHAPES,
	TABLE(settings),
	.init = oidc_init,
	.start = oidc_start,
	.stop = oidc_stop,
};
