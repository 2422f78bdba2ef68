/* Open models.
 *
 *  1. An endpoint is in the table from the moment somebody begins to open it; who comes meanwhile
 *     waits for that one opening and gets its endpoint or its error.
 *  2. It is counted: one for the table, one for each user. Out of the table (its model was removed
 *     or replaced) it lives until its last user puts it back.
 *  3. With a budget (engine.memory_bytes) models are opened one after the other: used_bytes is
 *     what all open ones take, those too that are out of the table and still have users. Room is
 *     made by closing what nobody uses, the one unused for longest first.
 *  4. An adapter is an endpoint that holds a count of its base's and has no model of its own. So a
 *     base is not closed before its adapters; as long as nobody uses these, it counts as unused.
 *  5. While a server runs, one thread opens the default models, and looks again while they are not
 *     installed yet; the server is ready once they are open. */
#include "endpoint/endpoint.h"
#include "endpoint/chat_int.h"
#include "endpoint/live_int.h"
#include "endpoint/remote.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

enum { LOOK_AGAIN_MS = 2000, CONSTRAINTS_KEPT = 64 };
enum state { OPENING, OPEN, FAILED };

struct endpoint {
	struct endpoints *owner;
	char *name, *path, *sha256;
	enum model_purpose purpose;
	struct model *model;
	struct generator *generator;
	struct endpoint *base; /* an adapter's; then it has no model and no generator */
	struct adapter *adapter;
	struct remote *remote; /* instead of a model; then it is in no table */
	uint64_t open_ns;
	/* guarded by owner->mu */
	enum state state;
	unsigned refs;
	uint64_t bytes;   /* counted in owner->used_bytes */
	uint64_t used_ns; /* when somebody last took it or put it back */
	enum err e;       /* FAILED */
	struct errtext et;
	struct endpoint *next; /* in owner->list */
};

struct endpoints {
	struct croft *c;
	pthread_mutex_t mu;
	pthread_cond_t changed;
	struct endpoint *list;
	uint64_t used_bytes;
	pthread_mutex_t opening; /* taken before mu */
	struct constraints *constraints;
	/* the opener */
	pthread_t opener;
	bool started, stop, all_open;
	enum err why; /* not ready */
	struct errtext why_text;
};

static struct endpoints *state_of(struct croft *c)
{
	return croft_state(c, &endpoint_module);
}

/* ---- one endpoint ---- */

static void endpoint_free(struct endpoint *ep)
{
	remote_put(ep->remote);
	generator_free(ep->generator);
	adapter_unref(ep->adapter);
	model_unref(ep->model);
	endpoint_put(ep->base);
	if (ep->bytes) {
		pthread_mutex_lock(&ep->owner->mu);
		ep->owner->used_bytes -= ep->bytes;
		pthread_mutex_unlock(&ep->owner->mu);
	}
	free(ep->name);
	free(ep->path);
	free(ep->sha256);
	free(ep);
}

void endpoint_put(struct endpoint *ep)
{
	if (!ep)
		return;
	if (ep->remote) { /* its user's own */
		endpoint_free(ep);
		return;
	}
	struct endpoints *s = ep->owner;
	pthread_mutex_lock(&s->mu);
	bool last = --ep->refs == 0;
	ep->used_ns = clock_mono_ns();
	pthread_mutex_unlock(&s->mu);
	if (last)
		endpoint_free(ep);
}

static struct endpoint *endpoint_new(struct endpoints *s, const struct installed_model *m)
{
	struct endpoint *ep = calloc(1, sizeof *ep);
	if (!ep)
		return NULL;
	ep->owner = s;
	ep->purpose = m->purpose;
	ep->name = str_dup(m->name);
	ep->path = str_dup(m->path);
	ep->sha256 = str_dup(m->sha256);
	ep->refs = 2; /* the table's and the opener's */
	if (ep->name && ep->path && ep->sha256)
		return ep;
	endpoint_free(ep);
	return NULL;
}

void endpoint_share(const struct endpoint *e, struct gen_request *g, const struct principal *who,
	struct str project)
{
	char name[ID_HEX + 1 + 256];
	g->adapter = e->adapter;
	g->realm = hash64(project);
	g->client = 0;
	if (who) { /* keys of one user are one */
		id_hex(who->id, name);
		snprintf(name + ID_HEX, sizeof name - ID_HEX, "/%.*s",
			STR_FMT(str_sub(who->name, 0, 200)));
		g->client = hash64(str_c(name));
	}
}

/* Opens a model, or an adapter of one, as the policy of signatures allows: *m or *adapter. */
static enum err open_trusted(struct croft *c, struct str name, const char *path,
	struct model_options *o, struct model *base, struct model **m, struct adapter **adapter,
	struct errtext *et)
{
	struct trust *trust = NULL;
	struct errtext ignored;
	struct model *model = NULL;
	struct adapter *opened = NULL;
	enum err e = trust_begin(c, name, &trust, et);
	o->check = (struct file_check){trust ? trust_file : NULL, trust};
	if (!e)
		e = base ? adapter_open(path, base, o, &opened, et)
			 : model_open(path, o, &model, et);
	enum err trusted = trust_end(trust, e ? &ignored : et);
	e = e ? e : trusted;
	if (e) {
		model_unref(model);
		adapter_unref(opened);
		return e;
	}
	if (base)
		*adapter = opened;
	else
		*m = model;
	return OK;
}

/* The small model that writes drafts for the endpoint's, or NULL: one that cannot is no reason not
 * to answer. */
static struct model *open_drafting(const struct endpoint *ep)
{
	struct croft *c = ep->owner->c;
	struct str name = setting_text(c, "chat.draft_model");
	struct installed_model found;
	struct errtext et = {0};
	struct model *m = NULL;
	if (!name.n || str_eq_c(name, ep->name) || !setting_bool(c, "chat.speculation"))
		return NULL;
	struct model_options o = {.threads = (unsigned)setting_int(c, "engine.threads")};
	struct arena *a = arena_new(1 << 20);
	enum err e = a ? installed_find(c, name, PURPOSE_CHAT, a, &found, &et) : ERR_NOMEM;
	char *path = e ? NULL : str_dup(found.path);
	if (!e)
		e = path ? open_trusted(c, found.name, path, &o, NULL, &m, NULL, &et) : ERR_NOMEM;
	free(path);
	if (e) {
		log_warn("%s is answered without drafts of %.*s: %s", ep->name, STR_FMT(name),
			err_text(e, &et));
	}
	arena_free(a);
	return m;
}

/* ---- the plan of its memory ---- */

/* What the settings ask for; the drafting model is not in it. */
static enum err generator_settings(
	struct croft *c, struct generator_options *out, struct errtext *et)
{
	struct str type = setting_text(c, "chat.kv_type");
	if (!str_eq_c(type, "f16") && !str_eq_c(type, "q8"))
		return err_set(et, ERR_INVALID, "chat.kv_type is \"%.*s\"; it must be f16 or q8",
			STR_FMT(type));
	*out = (struct generator_options){
		.context_tokens = (uint32_t)setting_int(c, "chat.context_tokens"),
		.context_at_most = true,
		.sequences_max = (uint32_t)setting_int(c, "chat.sequences_max"),
		.queue_max = (uint32_t)setting_int(c, "chat.queue_max"),
		.kv_tokens = (uint64_t)setting_int(c, "chat.kv_tokens"),
		.kv_q8 = str_eq_c(type, "q8"),
		.no_drafts = !setting_bool(c, "chat.speculation")};
	return OK;
}

/* Of the model that will write drafts for this one; false: none will. */
static bool plan_drafting(struct croft *c, struct str name, struct memory_plan *out)
{
	struct str draft = setting_text(c, "chat.draft_model");
	struct installed_model found;
	struct errtext et;
	/* its sizes, of which generators count keys and values for each token */
	struct generator_options g = {.context_at_most = true};
	struct model_options o = {
		.threads = (unsigned)setting_int(c, "engine.threads"), .generator = &g};
	if (!draft.n || str_eq(draft, name) || !setting_bool(c, "chat.speculation"))
		return false;
	struct arena *a = arena_new(1 << 20);
	enum err e = a ? installed_find(c, draft, PURPOSE_CHAT, a, &found, &et) : ERR_NOMEM;
	char *path = e ? NULL : str_dup(found.path);
	if (!e)
		e = path ? memory_plan_of(path, &o, out, &et) : ERR_NOMEM;
	free(path);
	arena_free(a);
	return !e;
}

/* One opening: its options, and what the engine has told of it. */
struct opening {
	struct model_options o;
	struct generator_options g;
	struct memory_plan drafting, plan;
	bool planned;
};

static enum err model_settings(struct croft *c, struct str name, enum model_purpose purpose,
	struct opening *x, struct errtext *et)
{
	x->o = (struct model_options){.threads = (unsigned)setting_int(c, "engine.threads"),
		.bf16 = str_eq_c(setting_text(c, "embed.precision"), "bf16")};
	if (purpose != PURPOSE_CHAT)
		return OK;
	x->o.generator = &x->g;
	enum err e = generator_settings(c, &x->g, et);
	if (!e && plan_drafting(c, name, &x->drafting))
		x->g.drafting_plan = &x->drafting;
	return e;
}

static void planned(void *ctx, const struct memory_plan *p)
{
	struct opening *x = ctx;
	x->plan = *p;
	x->planned = true;
	if (x->o.memory_max && p->least_bytes > x->o.memory_max)
		return;
	if (!p->kv_bytes) {
		log_info("memory: %llu bytes at most beside the file: weights %llu, a pass %llu",
			(unsigned long long)p->total_bytes, (unsigned long long)p->weight_bytes,
			(unsigned long long)p->pass_bytes);
		return;
	}
	log_info("memory: %llu bytes at most beside the file: weights %llu, keys and values of "
		 "%llu tokens %llu, a pass %llu, drafts %llu",
		(unsigned long long)p->total_bytes, (unsigned long long)p->weight_bytes,
		(unsigned long long)p->kv_tokens, (unsigned long long)p->kv_bytes,
		(unsigned long long)p->pass_bytes, (unsigned long long)p->drafting_bytes);
}

/* ---- opening one ---- */

static enum err open_generator(struct endpoint *ep, struct opening *x, struct errtext *et)
{
	struct generator_options o = x->g;
	o.drafting_plan = NULL;
	o.drafting = open_drafting(ep);
	enum err e = generator_new(ep->model, &o, &ep->generator, et);
	if (e == ERR_INVALID && o.drafting) { /* its vocabulary is another */
		log_warn("%s is answered without drafts: %s", ep->name, et->msg);
		model_unref(o.drafting);
		o.drafting = NULL;
		e = generator_new(ep->model, &o, &ep->generator, et);
	}
	model_unref(o.drafting);
	return e;
}

/* memory_max 0: any; x->plan and *need (of an adapter: that alone) tell what is needed when that is
 * more. */
static enum err open_model(struct endpoint *ep, uint64_t memory_max, struct opening *x,
	uint64_t *need, struct errtext *et)
{
	struct croft *c = ep->owner->c;
	uint64_t begin = clock_mono_ns();
	enum err e = model_settings(c, str_c(ep->name), ep->purpose, x, et);
	x->planned = false;
	x->o.memory_max = memory_max;
	x->o.memory_need = need;
	x->o.planned = planned;
	x->o.planned_ctx = x;
	e = e ? e
	      : open_trusted(c, str_c(ep->name), ep->path, &x->o, ep->base ? ep->base->model : NULL,
			&ep->model, &ep->adapter, et);
	if (!e && !ep->base && ep->purpose == PURPOSE_CHAT) {
		e = open_generator(ep, x, et);
		if (e) {
			model_unref(ep->model);
			ep->model = NULL;
		}
	}
	ep->open_ns = clock_mono_ns() - begin;
	return e ? err_wrap(et, e, "the model %s cannot be opened", ep->name) : OK;
}

static uint64_t bytes_of(const struct endpoint *ep)
{
	struct generator_stats g = {0};
	if (ep->adapter)
		return adapter_info(ep->adapter)->resident_bytes;
	if (ep->generator)
		generator_stats(ep->generator, &g);
	return model_info(ep->model)->resident_bytes + g.kv_bytes + g.work_bytes + g.drafting_bytes;
}

/* ---- the budget of memory ---- */

/* Out of the table; called with the mutex held. Returns it when nobody has it any more. */
static struct endpoint *detach(struct endpoints *s, struct endpoint *ep)
{
	struct endpoint **at = &s->list;
	while (*at && *at != ep)
		at = &(*at)->next;
	if (!*at)
		return NULL;
	*at = ep->next;
	ep->next = NULL;
	return --ep->refs == 0 ? ep : NULL;
}

/* With the mutex: open, and nobody but the table has it. */
static bool is_idle(const struct endpoint *ep)
{
	return ep->state == OPEN && ep->refs == 1;
}

/* With the mutex: adapters of it in the table; all, or those that are idle. */
static unsigned adapters_of(const struct endpoints *s, const struct endpoint *ep, bool idle)
{
	unsigned n = 0;
	for (const struct endpoint *a = s->list; a; a = a->next)
		n += a->base == ep && (!idle || is_idle(a));
	return n;
}

/* With the mutex: open, and only adapters have it that nobody but the table has. */
static bool is_unused(const struct endpoints *s, const struct endpoint *ep)
{
	return ep->state == OPEN && ep->refs == 1 + adapters_of(s, ep, true);
}

static struct endpoint *idlest(struct endpoints *s)
{
	struct endpoint *best = NULL;
	for (struct endpoint *ep = s->list; ep; ep = ep->next)
		if (is_idle(ep) && (!best || ep->used_ns < best->used_ns))
			best = ep;
	return best;
}

/* What all open models take, and of that what somebody uses. */
static void count(struct endpoints *s, uint64_t *used, uint64_t *busy)
{
	pthread_mutex_lock(&s->mu);
	*used = *busy = s->used_bytes;
	for (struct endpoint *ep = s->list; ep; ep = ep->next)
		*busy -= is_unused(s, ep) ? ep->bytes : 0;
	pthread_mutex_unlock(&s->mu);
}

static bool close_idlest(struct endpoints *s)
{
	pthread_mutex_lock(&s->mu);
	struct endpoint *ep = idlest(s), *dead = ep ? detach(s, ep) : NULL;
	pthread_mutex_unlock(&s->mu);
	if (!dead)
		return false;
	log_info("%s is closed: its %llu bytes are needed for another model", dead->name,
		(unsigned long long)dead->bytes);
	endpoint_free(dead);
	return true;
}

/* What an opening needs at least, for people. */
static void say_need(const struct opening *x, uint64_t need, char *out, size_t size)
{
	const struct memory_plan *p = &x->plan;
	uint64_t kv = p->least_bytes - p->weight_bytes - p->pass_bytes;
	if (!x->planned)
		snprintf(out, size, "its weights need %llu bytes", (unsigned long long)need);
	else if (!p->kv_bytes)
		snprintf(out, size, "its weights (%llu bytes) and a pass (%llu) need %llu bytes",
			(unsigned long long)p->weight_bytes, (unsigned long long)p->pass_bytes,
			(unsigned long long)p->least_bytes);
	else
		snprintf(out, size,
			"its weights (%llu bytes), a pass (%llu) and %s of one context of %u "
			"tokens (%llu) need %llu bytes",
			(unsigned long long)p->weight_bytes, (unsigned long long)p->pass_bytes,
			p->drafting_bytes ? "drafts and keys and values" : "keys and values",
			p->context_tokens, (unsigned long long)kv,
			(unsigned long long)p->least_bytes);
}

static enum err too_large(const struct endpoint *ep, uint64_t budget, uint64_t busy, uint64_t need,
	const struct opening *x, const struct errtext *why, struct errtext *et)
{
	struct errtext detail = *why;
	if (need)
		say_need(x, need, detail.msg, sizeof detail.msg);
	/* the base of an adapter is in use by its opening: waiting would not help */
	uint64_t own = ep->base ? MIN(busy, ep->base->bytes) : 0;
	return err_set(et, busy > own ? ERR_BUSY : ERR_LIMIT,
		"the model %s does not fit: %s; engine.memory_bytes is %llu, of which models in "
		"use take %llu",
		ep->name, detail.msg, (unsigned long long)budget, (unsigned long long)busy);
}

static enum err open_within(struct endpoint *ep, uint64_t budget, struct errtext *et)
{
	struct endpoints *s = ep->owner;
	for (;;) {
		uint64_t used, busy, need = 0;
		struct opening x = {0};
		struct errtext why = {.msg = "no memory is left"};
		count(s, &used, &busy);
		enum err e =
			used < budget ? open_model(ep, budget - used, &x, &need, &why) : ERR_LIMIT;
		if (e != ERR_LIMIT) {
			if (e && et)
				*et = why;
			return e;
		}
		if (need > budget - MIN(busy, budget))
			return too_large(ep, budget, busy, need, &x, &why, et);
		if (close_idlest(s))
			continue;
		count(s, &used, &busy);
		if (busy || !used) /* else what somebody took meanwhile is idle again */
			return too_large(ep, budget, busy, need, &x, &why, et);
	}
}

static enum err open_counted(struct endpoint *ep, struct errtext *et)
{
	struct endpoints *s = ep->owner;
	uint64_t budget = (uint64_t)setting_int(s->c, "engine.memory_bytes");
	if (budget)
		pthread_mutex_lock(&s->opening);
	struct opening x = {0};
	enum err e = budget ? open_within(ep, budget, et) : open_model(ep, 0, &x, NULL, et);
	if (!e) {
		uint64_t bytes = bytes_of(ep);
		pthread_mutex_lock(&s->mu);
		ep->bytes = bytes;
		s->used_bytes += bytes;
		pthread_mutex_unlock(&s->mu);
	}
	if (budget)
		pthread_mutex_unlock(&s->opening);
	return e;
}

/* ---- the table ---- */

static struct endpoint *find(struct endpoints *s, struct str name)
{
	for (struct endpoint *ep = s->list; ep; ep = ep->next)
		if (str_eq_c(name, ep->name))
			return ep;
	return NULL;
}

/* The entry is ours to open: does it and tells who waits. The caller's count stays on success. */
static enum err open_entry(struct endpoints *s, struct endpoint *ep, struct errtext *et)
{
	struct errtext mine = {0};
	enum err e = open_counted(ep, &mine);
	pthread_mutex_lock(&s->mu);
	ep->state = e ? FAILED : OPEN;
	ep->used_ns = clock_mono_ns();
	ep->e = e;
	ep->et = mine;
	if (e)
		detach(s, ep); /* the next caller tries again; our own count keeps it */
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->mu);
	if (!e)
		return OK;
	if (et)
		*et = mine;
	endpoint_put(ep);
	return e;
}

/* Waits until it is open; called with the mutex held and a count of ours, returns without the
 * mutex. */
static enum err wait_open(struct endpoints *s, struct endpoint *ep, struct errtext *et)
{
	while (ep->state == OPENING)
		pthread_cond_wait(&s->changed, &s->mu);
	enum err e = ep->state == FAILED ? ep->e : OK;
	if (e && et)
		*et = ep->et;
	pthread_mutex_unlock(&s->mu);
	if (e)
		endpoint_put(ep);
	return e;
}

/* base: NULL, or a count of what m is an adapter of, which is taken in any case. */
static enum err get_with(struct endpoints *s, const struct installed_model *m,
	struct endpoint *base, struct endpoint **out, struct errtext *et)
{
	struct endpoint *dead = NULL, *ep;
	enum err e = OK;
	pthread_mutex_lock(&s->mu);
	ep = find(s, m->name);
	if (ep && (!str_eq_c(m->sha256, ep->sha256) || ep->base != base)) {
		dead = detach(s, ep); /* another model has taken the name, or the base's */
		ep = NULL;
	}
	if (ep) {
		ep->refs++;
		ep->used_ns = clock_mono_ns();
		e = wait_open(s, ep, et);
		endpoint_put(base);
	} else {
		ep = endpoint_new(s, m);
		if (ep) {
			ep->base = base;
			ep->next = s->list;
			s->list = ep;
		}
		pthread_mutex_unlock(&s->mu);
		if (!ep)
			endpoint_put(base);
		e = ep ? open_entry(s, ep, et) : err_set(et, ERR_NOMEM, "no memory");
	}
	if (dead)
		endpoint_free(dead);
	if (!e)
		*out = ep;
	return e;
}

static enum err get_installed(struct endpoints *s, const struct installed_model *m,
	struct endpoint **out, struct errtext *et)
{
	if (!m->base.n)
		return get_with(s, m, NULL, out, et);
	struct arena *a = arena_new(0);
	struct installed_model of;
	struct endpoint *base = NULL;
	enum err e = a ? installed_find(s->c, m->base, PURPOSE_CHAT, a, &of, et)
		       : err_set(et, ERR_NOMEM, "no memory");
	if (!e && of.base.n)
		e = err_set(et, ERR_INVALID, "%.*s, the base of the adapter %.*s, is one itself",
			STR_FMT(of.name), STR_FMT(m->name));
	if (!e)
		e = get_with(s, &of, NULL, &base, et);
	arena_free(a);
	return e ? e : get_with(s, m, base, out, et);
}

static void forget(struct endpoints *s, struct str name)
{
	struct endpoint *dead = NULL;
	pthread_mutex_lock(&s->mu);
	struct endpoint *ep = find(s, name);
	if (ep && ep->state == OPEN)
		dead = detach(s, ep);
	pthread_mutex_unlock(&s->mu);
	if (dead)
		endpoint_free(dead);
}

static enum err get_remote(struct remote *p, struct endpoint **out, struct errtext *et)
{
	struct endpoint *ep = calloc(1, sizeof *ep);
	if (!ep) {
		remote_put(p);
		return err_set(et, ERR_NOMEM, "no memory");
	}
	ep->remote = p;
	*out = ep;
	return OK;
}

enum err endpoint_open(struct croft *c, struct str name, enum model_purpose purpose,
	struct endpoint **out, struct errtext *et)
{
	struct endpoints *s = state_of(c);
	struct remote *remote = name.n ? remote_find(c, name) : NULL;
	if (remote)
		return get_remote(remote, out, et);
	struct arena *a = arena_new(0);
	struct installed_model m;
	enum err e = a ? installed_find(c, name, purpose, a, &m, et)
		       : err_set(et, ERR_NOMEM, "no memory");
	if (e == ERR_NOT_FOUND)
		forget(s, name);
	if (!e)
		e = get_installed(s, &m, out, et);
	arena_free(a);
	return e;
}

enum err endpoint_chat(struct croft *c, struct str name, struct endpoint **out, struct errtext *et)
{
	return endpoint_open(c, name, PURPOSE_CHAT, out, et);
}

enum err endpoint_embed(struct croft *c, struct str name, struct endpoint **out, struct errtext *et)
{
	return endpoint_open(c, name, PURPOSE_EMBED, out, et);
}

enum err endpoint_rerank(
	struct croft *c, struct str name, struct endpoint **out, struct errtext *et)
{
	return endpoint_open(c, name, PURPOSE_RERANK, out, et);
}

/* ---- opening and closing on request ---- */

static enum err find_any(struct croft *c, struct str name, struct arena *a,
	struct installed_model *m, struct errtext *et)
{
	static const enum model_purpose purposes[] = {PURPOSE_CHAT, PURPOSE_EMBED, PURPOSE_RERANK};
	enum err e = ERR_INVALID; /* it is not for that */
	for (size_t i = 0; i < ARRAY_LEN(purposes) && e == ERR_INVALID; i++)
		e = installed_find(c, name, purposes[i], a, m, et);
	return e;
}

enum err endpoint_load(struct croft *c, struct str name, struct errtext *et)
{
	struct arena *a = arena_new(0);
	struct installed_model m;
	struct endpoint *ep = NULL;
	enum err e = a ? find_any(c, name, a, &m, et) : err_set(et, ERR_NOMEM, "no memory");
	if (!e)
		e = get_installed(state_of(c), &m, &ep, et);
	arena_free(a);
	if (!e)
		endpoint_put(ep);
	return e;
}

/* Out of the table with its adapters, which nobody uses. */
static void close_adapters(struct endpoints *s, const struct endpoint *base)
{
	for (struct endpoint *dead = NULL;; dead = NULL) {
		pthread_mutex_lock(&s->mu);
		for (struct endpoint *ep = s->list; ep && !dead; ep = ep->next)
			if (ep->base == base && is_idle(ep))
				dead = ep;
		if (dead)
			dead = detach(s, dead);
		pthread_mutex_unlock(&s->mu);
		if (!dead)
			return;
		endpoint_free(dead);
	}
}

enum err endpoint_unload(struct croft *c, struct str name, struct errtext *et)
{
	struct endpoints *s = state_of(c);
	struct endpoint *dead = NULL;
	enum err e = OK;
	pthread_mutex_lock(&s->mu);
	struct endpoint *ep = find(s, name);
	if (ep && is_unused(s, ep)) {
		ep->refs++;
		pthread_mutex_unlock(&s->mu);
		close_adapters(s, ep);
		endpoint_put(ep);
		pthread_mutex_lock(&s->mu);
		ep = find(s, name);
	}
	if (!ep)
		e = err_set(et, ERR_NOT_FOUND, "the model %.*s is not loaded",
			STR_FMT(str_sub(name, 0, 200)));
	else if (!is_idle(ep))
		e = err_set(et, ERR_BUSY, "the model %s is in use by %u requests", ep->name,
			ep->refs - 1);
	else
		dead = detach(s, ep);
	pthread_mutex_unlock(&s->mu);
	if (dead)
		endpoint_free(dead);
	return e;
}

static void live_of(const struct endpoints *s, const struct endpoint *ep, uint64_t now,
	struct endpoint_live *out)
{
	*out = (struct endpoint_live){.name = str_c(ep->name),
		.base = endpoint_base(ep),
		.purpose = ep->purpose,
		.open = ep->state == OPEN,
		.users = ep->refs - 1 - adapters_of(s, ep, false),
		.bytes = ep->bytes,
		.open_ns = ep->open_ns,
		.idle_ns = is_unused(s, ep) ? now - MIN(ep->used_ns, now) : 0};
	if (ep->state != OPEN)
		return;
	out->weight_bytes = ep->adapter ? ep->bytes : model_info(ep->model)->resident_bytes;
	if (ep->generator)
		generator_stats(ep->generator, &out->generator);
}

uint64_t endpoint_each_live(
	struct croft *c, void (*fn)(void *ctx, const struct endpoint_live *l), void *ctx)
{
	struct endpoints *s = state_of(c);
	uint64_t now = clock_mono_ns();
	pthread_mutex_lock(&s->mu);
	for (struct endpoint *ep = s->list; ep; ep = ep->next) {
		struct endpoint_live l;
		live_of(s, ep, now, &l);
		fn(ctx, &l);
	}
	uint64_t used = s->used_bytes;
	pthread_mutex_unlock(&s->mu);
	return used;
}

struct str endpoint_name(const struct endpoint *e)
{
	return e->remote ? remote_name(e->remote) : str_c(e->name);
}

struct remote *endpoint_remote(const struct endpoint *e)
{
	return e->remote;
}

enum err endpoint_need_model(const struct endpoint *e, const char *what, struct errtext *et)
{
	return endpoint_model(e)
		       ? OK
		       : err_set(et, ERR_UNSUPPORTED,
				 "%s: the endpoint %.*s is a remote provider, and this needs a "
				 "local model",
				 what, STR_FMT(endpoint_name(e)));
}

enum err endpoint_remote_chat(struct croft *c, struct endpoint *ep, struct run *run,
	const struct chat_request *r, struct chat_result *out, struct errtext *et)
{
	return remote_chat(c, ep->remote, run, r, out, et);
}

struct model *endpoint_model(const struct endpoint *e)
{
	return e->base ? e->base->model : e->model;
}

struct generator *endpoint_generator(const struct endpoint *e)
{
	return e->base ? e->base->generator : e->generator;
}

const struct adapter *endpoint_adapter(const struct endpoint *e)
{
	return e->adapter;
}

struct str endpoint_base(const struct endpoint *e)
{
	return e->base ? str_c(e->base->name) : S("");
}

struct str endpoint_base_sha256(const struct endpoint *e)
{
	return e->base ? str_c(e->base->sha256) : S("");
}

struct str endpoint_sha256(const struct endpoint *e)
{
	return str_c(e->sha256);
}

enum err endpoint_constraint_get(struct croft *c, enum constraint_kind kind, struct str source,
	struct constraint **out, struct errtext *et)
{
	return constraint_get(state_of(c)->constraints, kind, source, out, et);
}

void endpoint_constraint_put(struct croft *c, struct constraint *k)
{
	constraint_put(state_of(c)->constraints, k);
}

static bool is_loaded(struct croft *c, struct str name)
{
	struct endpoints *s = state_of(c);
	pthread_mutex_lock(&s->mu);
	struct endpoint *ep = find(s, name);
	bool loaded = ep && ep->state == OPEN;
	pthread_mutex_unlock(&s->mu);
	return loaded;
}

/* ---- what it would take ---- */

static enum plan_fits fit(const struct memory_plan *p, uint64_t limit, uint64_t used, uint64_t busy)
{
	if (!limit || (used < limit && p->least_bytes <= limit - used))
		return PLAN_NOW;
	if (busy < limit && p->least_bytes <= limit - busy)
		return PLAN_AFTER_CLOSING;
	return p->least_bytes <= limit ? PLAN_NOT_NOW : PLAN_NEVER;
}

enum err endpoint_plan(struct croft *c, struct str name, const struct endpoint_plan_ask *ask,
	struct endpoint_plan *out, struct errtext *et)
{
	struct arena *a = arena_new(0);
	struct installed_model m;
	struct opening x = {0};
	struct endpoint_plan r = {.limit_bytes = (uint64_t)setting_int(c, "engine.memory_bytes")};
	enum err e = a ? find_any(c, name, a, &m, et) : err_set(et, ERR_NOMEM, "no memory");
	if (!e && m.base.n)
		e = err_set(et, ERR_UNSUPPORTED,
			"%.*s is an adapter, which takes about the size of its file; plan its "
			"base, %.*s",
			STR_FMT(m.name), STR_FMT(m.base));
	char *path = e ? NULL : str_dup(m.path);
	if (!e && !path)
		e = err_set(et, ERR_NOMEM, "no memory");
	e = e ? e : model_settings(c, m.name, m.purpose, &x, et);
	if (!e && x.o.generator) {
		x.g.context_tokens = ask->context_tokens ? ask->context_tokens : x.g.context_tokens;
		x.g.context_at_most = !ask->context_tokens;
		x.g.sequences_max = ask->sequences ? ask->sequences : x.g.sequences_max;
		x.g.kv_tokens = ask->kv_tokens ? ask->kv_tokens : x.g.kv_tokens;
		x.g.kv_q8 = ask->kv_q8 ? *ask->kv_q8 : x.g.kv_q8;
	}
	count(state_of(c), &r.used_bytes, &r.busy_bytes);
	if (r.limit_bytes > r.busy_bytes)
		x.o.memory_max = r.limit_bytes - r.busy_bytes;
	e = e ? e : memory_plan_of(path, &x.o, &r.plan, et);
	if (!e) {
		r.purpose = m.purpose;
		r.open = is_loaded(c, m.name);
		r.fits = fit(&r.plan, r.limit_bytes, r.used_bytes, r.busy_bytes);
		snprintf(r.name, sizeof r.name, "%.*s", STR_FMT(m.name));
		*out = r;
	}
	free(path);
	arena_free(a);
	return e;
}

/* ---- the opener ---- */

/* A model that failed for good is not tried again until another one has its place. */
struct attempt {
	enum model_purpose purpose;
	char failed_sha256[65];
	bool open;
};

static enum err attempt_open(struct croft *c, struct attempt *t, struct errtext *et)
{
	struct arena *a = arena_new(0);
	struct installed_model m;
	enum err e = a ? installed_find(c, S(""), t->purpose, a, &m, et)
		       : err_set(et, ERR_NOMEM, "no memory");
	if (!e && str_eq_c(m.sha256, t->failed_sha256)) {
		arena_free(a);
		return ERR_NOT_READY; /* the reason is known */
	}
	struct endpoint *ep;
	if (!e)
		e = get_installed(state_of(c), &m, &ep, et);
	if (!e) {
		log_info("%s is open for %s (%.2f s)", ep->name,
			t->purpose == PURPOSE_EMBED ? "embedding" : "chat",
			(double)ep->open_ns / 1e9);
		endpoint_put(ep);
		t->open = true;
	} else if (e != ERR_NOT_FOUND && !err_retryable(e)) {
		size_t n = MIN(m.sha256.n, sizeof t->failed_sha256 - 1);
		memcpy(t->failed_sha256, m.sha256.p, n);
		t->failed_sha256[n] = 0;
	}
	arena_free(a);
	return e;
}

static void note(struct endpoints *s, enum err e, const struct errtext *et, bool *logged)
{
	if (!*logged)
		log_warn("not ready: %s", err_text(e, et));
	*logged = true;
	pthread_mutex_lock(&s->mu);
	s->why = e;
	s->why_text = *et;
	pthread_mutex_unlock(&s->mu);
}

static void *opener_main(void *arg)
{
	struct endpoints *s = arg;
	struct attempt tries[] = {{.purpose = PURPOSE_EMBED}, {.purpose = PURPOSE_CHAT}};
	bool logged[ARRAY_LEN(tries)] = {0}, stop = false;
	while (!stop) {
		bool all = true;
		for (size_t i = 0; i < ARRAY_LEN(tries); i++) {
			struct errtext et = {0};
			enum err e = tries[i].open ? OK : attempt_open(s->c, &tries[i], &et);
			if (e && e != ERR_NOT_READY)
				note(s, e, &et, &logged[i]);
			all &= !e;
		}
		pthread_mutex_lock(&s->mu);
		s->all_open = all;
		uint64_t deadline = clock_mono_ns() + LOOK_AGAIN_MS * 1000000ull;
		while (!all && !s->stop && cond_wait_until(&s->changed, &s->mu, deadline))
			;
		stop = all || s->stop;
		pthread_mutex_unlock(&s->mu);
	}
	return NULL;
}

/* ---- the module ---- */

static enum err init(struct croft *c, struct errtext *et)
{
	struct endpoints *s = calloc(1, sizeof *s);
	if (!s)
		return err_set(et, ERR_NOMEM, "no memory");
	s->constraints = constraints_new(CONSTRAINTS_KEPT);
	if (!s->constraints) {
		free(s);
		return err_set(et, ERR_NOMEM, "no memory");
	}
	struct str precision = setting_text(c, "embed.precision");
	if (!str_eq_c(precision, "f32") && !str_eq_c(precision, "bf16")) {
		free(s);
		return err_set(et, ERR_INVALID, "embed.precision: f32 or bf16 is expected");
	}
	s->c = c;
	pthread_mutex_init(&s->mu, NULL);
	pthread_mutex_init(&s->opening, NULL);
	cond_init(&s->changed);
	s->why = ERR_NOT_READY;
	croft_set_state(c, &endpoint_module, s);
	artifact_set_loaded_fn(c, is_loaded);
	return OK;
}

static enum err start(struct croft *c, struct errtext *et)
{
	struct endpoints *s = state_of(c);
	enum err e = thread_start(&s->opener, opener_main, s, "opener", et);
	s->started = !e;
	return e;
}

static void stop(struct croft *c)
{
	struct endpoints *s = state_of(c);
	if (!s)
		return;
	artifact_set_loaded_fn(c, NULL);
	pthread_mutex_lock(&s->mu);
	s->stop = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->mu);
	if (s->started)
		pthread_join(s->opener, NULL);
	while (s->list) { /* a base that its adapters still hold goes with the last of them */
		pthread_mutex_lock(&s->mu);
		struct endpoint *dead = detach(s, s->list);
		pthread_mutex_unlock(&s->mu);
		if (dead)
			endpoint_free(dead);
	}
	croft_set_state(c, &endpoint_module, NULL);
	constraints_free(s->constraints);
	pthread_mutex_destroy(&s->mu);
	pthread_mutex_destroy(&s->opening);
	pthread_cond_destroy(&s->changed);
	free(s);
}

static enum err ready(struct croft *c, struct errtext *et)
{
	struct endpoints *s = state_of(c);
	pthread_mutex_lock(&s->mu);
	enum err e = OK;
	if (s->started && !s->all_open)
		e = err_set(et, ERR_NOT_READY, "%s",
			s->why_text.msg[0] ? s->why_text.msg : "the models are being opened");
	pthread_mutex_unlock(&s->mu);
	return e;
}

/* ---- metrics: the words are those that vLLM's dashboards look for, with our prefix ---- */

struct metric {
	const char *name, *type, *help;
	uint64_t (*value)(const struct generator_stats *g);
};

#define VALUE(field)                                                   \
	static uint64_t value_##field(const struct generator_stats *g) \
	{                                                              \
		return g->field;                                       \
	}
VALUE(running)
VALUE(queued)
VALUE(prompt_tokens)
VALUE(cached_tokens)
VALUE(generated_tokens)
VALUE(requests)
VALUE(preemptions)
VALUE(kv_tokens)
VALUE(kv_used)
VALUE(kv_room)
#undef VALUE

static const struct metric live_metrics[] = {
	{"croft_num_requests_running", "gauge", "Answers that a model reads or writes.",
		value_running},
	{"croft_num_requests_waiting", "gauge", "Answers that wait for their turn.", value_queued},
	{"croft_prompt_tokens_total", "counter", "Prompt tokens read, cached ones not counted.",
		value_prompt_tokens},
	{"croft_prefix_cache_hits_total", "counter", "Prompt tokens known from earlier requests.",
		value_cached_tokens},
	{"croft_generation_tokens_total", "counter", "Tokens written.", value_generated_tokens},
	{"croft_request_finished_total", "counter", "Answers that ended, however.", value_requests},
	{"croft_num_preemptions_total", "counter",
		"Times that an answer gave way to another and went on later.", value_preemptions},
	{"croft_kv_cache_tokens_in_use", "gauge", "Positions of the answers that run.",
		value_kv_used},
	{"croft_kv_cache_tokens", "gauge", "Positions whose keys and values are held.",
		value_kv_tokens},
	{"croft_kv_cache_tokens_max", "gauge", "Positions that there is room for.", value_kv_room},
};

/* With the mutex. */
static void generator_metrics(struct endpoints *s, struct buf *out)
{
	for (size_t i = 0; i < ARRAY_LEN(live_metrics); i++) {
		const struct metric *m = &live_metrics[i];
		buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name, m->type);
		for (struct endpoint *ep = s->list; ep; ep = ep->next) {
			struct generator_stats g;
			if (ep->state != OPEN || !ep->generator)
				continue;
			generator_stats(ep->generator, &g);
			buf_addf(out, "%s{model=\"%s\"} %llu\n", m->name, ep->name,
				(unsigned long long)m->value(&g));
		}
	}
}

static void metrics(struct croft *c, struct buf *out)
{
	struct endpoints *s = state_of(c);
	buf_addc(out, "# HELP croft_model_open Whether a model is open.\n"
		      "# TYPE croft_model_open gauge\n");
	pthread_mutex_lock(&s->mu);
	for (struct endpoint *ep = s->list; ep; ep = ep->next)
		buf_addf(out, "croft_model_open{model=\"%s\",purpose=\"%s\"} %d\n", ep->name,
			purpose_word(ep->purpose), ep->state == OPEN);
	buf_addc(out, "# HELP croft_model_resident_bytes Memory of an open model beside its file.\n"
		      "# TYPE croft_model_resident_bytes gauge\n");
	for (struct endpoint *ep = s->list; ep; ep = ep->next)
		if (ep->state == OPEN)
			buf_addf(out, "croft_model_resident_bytes{model=\"%s\"} %llu\n", ep->name,
				(unsigned long long)(ep->adapter ? ep->bytes
								 : model_info(ep->model)
									   ->resident_bytes));
	generator_metrics(s, out);
	pthread_mutex_unlock(&s->mu);
}

static const struct setting settings[] = {
	{"engine.memory_bytes", SET_BYTES, "0",
		"What all open models may take beside their files; the one unused for longest is "
		"closed to make room; 0: no limit",
		0, INT64_MAX},
	{"engine.threads", SET_INT, "0", "Threads that compute, of each model; 0: all processors",
		0, 1024},
	{"embed.precision", SET_TEXT, "f32",
		"How embedding models multiply: f32, or bf16 (half the time where the processor "
		"has AVX512-BF16; another embedding space)"},
	{"chat.context_tokens", SET_INT, "4096",
		"Tokens of prompt and answer together, at most; 0: the model's own limit", 0,
		1 << 20},
	{"chat.sequences_max", SET_INT, "16", "Answers that a model writes at the same time", 1,
		256},
	{"chat.kv_tokens", SET_INT, "0",
		"Tokens whose keys and values a model holds, of what it answers and of what it has "
		"answered; 0: four contexts. When all are in use the last answer gives way and "
		"goes on later",
		0, 1 << 24},
	{"chat.kv_type", SET_TEXT, "f16",
		"Keys and values as f16, or as q8: a byte each, half the memory, and not quite the "
		"same answers"},
	{"chat.speculation", SET_BOOL, "true",
		"Guess tokens from what followed the same words before, and verify them together; "
		"never changes an answer"},
	{"chat.draft_model", SET_TEXT, "",
		"An installed model that guesses what follows, for larger ones with the same "
		"vocabulary; never changes an answer"},
	{"chat.queue_max", SET_INT, "64", "Answers that wait for their turn before 429", 1, 100000},
};

static const struct command commands[] = {
	{"models plan", run_plan, "[MODEL]", plan_options, N_PLAN_OPTIONS,
		"What a model would take of memory, from its file's header alone", NULL},
	{"bench", run_bench, "", bench_options, N_BENCH_OPTIONS,
		"How fast a local model reads and writes, at 1, 2, 4, ... streams",
		"Random prompts of which nothing is known already are read (READ), and answers to "
		"short prompts\n"
		"written (WRITE, of all streams together). On a server that others use the numbers "
		"are lower.\n\n"
		"  croft bench --prompt 256 --tokens 64 --streams 4"},
};

const struct module endpoint_module = {
	.name = "endpoint",
	TABLE(commands),
	.routes = live_routes,
	.n_routes = N_LIVE_ROUTES,
	.shapes = live_shapes,
	.n_shapes = N_LIVE_SHAPES,
	TABLE(settings),
	.init = init,
	.start = start,
	.stop = stop,
	.ready = ready,
	.metrics = metrics,
};
