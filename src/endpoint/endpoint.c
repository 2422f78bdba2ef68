/* Local models, opened on first use and kept. A slot per model name; who needs a model that is
 * being opened waits for it, and all get the same error when it fails. */
#include "endpoint/endpoint.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>

enum slot_state { SLOT_OPENING, SLOT_OPEN, SLOT_FAILED };

struct endpoint {
	struct endpoint *next;
	struct endpoints *all;
	char *name;
	enum model_purpose purpose;
	enum slot_state state;
	enum err error;
	struct errtext text;
	struct model *model;
	struct generator *generator;
	unsigned refs; /* users beside the list itself */
};

struct endpoints {
	pthread_mutex_t mu;
	pthread_cond_t changed;
	struct endpoint *list;
	pthread_t warmer; /* opens the defaults in the background of a server */
	bool warming, warmed;
	enum err warm_error;
	struct errtext warm_text;
};

static struct endpoints *endpoints_of(struct croft *c)
{
	return croft_state(c, &endpoint_module);
}

static enum err endpoint_init(struct croft *c, struct errtext *et)
{
	struct endpoints *all = calloc(1, sizeof *all);
	if (!all)
		return err_set(et, ERR_NOMEM, "no memory");
	pthread_mutex_init(&all->mu, NULL);
	cond_init(&all->changed);
	croft_set_state(c, &endpoint_module, all);
	return OK;
}

static void slot_free(struct endpoint *e)
{
	generator_free(e->generator);
	model_unref(e->model);
	free(e->name);
	free(e);
}

/* All users are gone by now: the server has stopped, modules above have put theirs back. */
static void endpoint_stop(struct croft *c)
{
	struct endpoints *all = endpoints_of(c);
	if (all->warming)
		pthread_join(all->warmer, NULL);
	while (all->list) {
		struct endpoint *e = all->list;
		all->list = e->next;
		slot_free(e);
	}
	pthread_cond_destroy(&all->changed);
	pthread_mutex_destroy(&all->mu);
	free(all);
}

/* Outside the mutex: it takes a while. */
static enum err open_model(
	struct croft *c, struct endpoint *e, const char *path, struct errtext *et)
{
	struct model_options mo = {.threads = (unsigned)setting_int(c, "engine.threads"),
		.memory_max = (uint64_t)setting_int(c, "engine.memory_max")};
	enum err err = model_open(path, &mo, &e->model, et);
	if (err)
		return err_wrap(et, err, "model %s", e->name);
	const struct model_info *info = model_info(e->model);
	bool decoder = info->task == MODEL_DECODER;
	if (decoder != (e->purpose == PURPOSE_CHAT))
		return err_set(et, ERR_UNSUPPORTED, "%s is %s model; it cannot %s", e->name,
			decoder ? "a language" : "an embedding",
			decoder ? "embed" : "generate text");
	if (!decoder)
		return OK;
	struct generator_options go = {
		.context_tokens = (uint32_t)setting_int(c, "chat.context_tokens"),
		.sequences_max = (uint32_t)setting_int(c, "chat.sequences_max"),
		.queue_max = (uint32_t)setting_int(c, "chat.queue_max")};
	err = generator_new(e->model, &go, &e->generator, et);
	return err ? err_wrap(et, err, "model %s", e->name) : OK;
}

static struct endpoint *find_slot(
	struct endpoints *all, struct str name, enum model_purpose purpose)
{
	for (struct endpoint *e = all->list; e; e = e->next)
		if (e->purpose == purpose && str_eq_c(name, e->name))
			return e;
	return NULL;
}

static struct endpoint *new_slot(struct endpoints *all, struct str name, enum model_purpose purpose)
{
	struct endpoint *e = calloc(1, sizeof *e);
	if (e)
		e->name = str_dup(name);
	if (!e || !e->name) {
		free(e);
		return NULL;
	}
	e->all = all;
	e->purpose = purpose;
	e->next = all->list;
	all->list = e;
	return e;
}

/* A failed slot is tried again by the next who asks (the file may have been repaired). */
static void drop_failed(struct endpoints *all, struct endpoint *failed)
{
	for (struct endpoint **p = &all->list; *p; p = &(*p)->next)
		if (*p == failed) {
			*p = failed->next;
			slot_free(failed);
			return;
		}
}

static enum err get(struct croft *c, struct str name, enum model_purpose purpose,
	struct endpoint **out, struct errtext *et)
{
	struct endpoints *all = endpoints_of(c);
	struct arena *a = arena_new(1 << 20);
	struct installed_model m;
	if (!a)
		return err_set(et, ERR_NOMEM, "no memory");
	if (str_eq_c(name, "default"))
		name = (struct str){0};
	enum err err = installed_find(c, name, purpose, a, &m, et);
	const char *path = err ? NULL : arena_c(a, m.path);
	if (!err && !path)
		err = err_set(et, ERR_NOMEM, "no memory");
	if (err) {
		arena_free(a);
		return err;
	}
	pthread_mutex_lock(&all->mu);
	struct endpoint *e = find_slot(all, m.name, purpose);
	if (e) {
		e->refs++;
		while (e->state == SLOT_OPENING)
			pthread_cond_wait(&all->changed, &all->mu);
	} else if ((e = new_slot(all, m.name, purpose)) != NULL) {
		e->refs++;
		pthread_mutex_unlock(&all->mu);
		struct errtext text = {0};
		err = open_model(c, e, path, &text);
		pthread_mutex_lock(&all->mu);
		e->error = err;
		e->text = text;
		e->state = err ? SLOT_FAILED : SLOT_OPEN;
		pthread_cond_broadcast(&all->changed);
	} else {
		err = err_set(et, ERR_NOMEM, "no memory");
	}
	if (e) {
		err = e->error;
		if (err && et)
			*et = e->text;
		if (err && --e->refs == 0)
			drop_failed(all, e);
	}
	pthread_mutex_unlock(&all->mu);
	arena_free(a);
	if (!err)
		*out = e;
	return err;
}

enum err endpoint_chat(struct croft *c, struct str name, struct endpoint **out, struct errtext *et)
{
	return get(c, name, PURPOSE_CHAT, out, et);
}

enum err endpoint_embed(struct croft *c, struct str name, struct endpoint **out, struct errtext *et)
{
	return get(c, name, PURPOSE_EMBED, out, et);
}

void endpoint_put(struct endpoint *e)
{
	if (!e)
		return;
	pthread_mutex_lock(&e->all->mu);
	e->refs--;
	pthread_mutex_unlock(&e->all->mu);
}

struct str endpoint_name(const struct endpoint *e)
{
	return str_c(e->name);
}

struct model *endpoint_model(const struct endpoint *e)
{
	return e->model;
}

struct generator *endpoint_generator(const struct endpoint *e)
{
	return e->generator;
}

bool endpoint_loaded(struct croft *c, struct str name, struct model_info *out)
{
	struct endpoints *all = endpoints_of(c);
	bool found = false;
	pthread_mutex_lock(&all->mu);
	for (struct endpoint *e = all->list; e && !found; e = e->next)
		if (str_eq_c(name, e->name) && e->state == SLOT_OPEN) {
			*out = *model_info(e->model);
			found = true;
		}
	pthread_mutex_unlock(&all->mu);
	return found;
}

/* ---- a server opens its defaults at once ---- */

static void *warm(void *arg)
{
	struct croft *c = arg;
	struct endpoints *all = endpoints_of(c);
	struct endpoint *e = NULL;
	struct errtext et = {0};
	enum err err = endpoint_chat(c, (struct str){0}, &e, &et);
	endpoint_put(err ? NULL : e);
	if (err)
		log_error("the default chat model is not ready: %s", err_text(err, &et));
	pthread_mutex_lock(&all->mu);
	all->warmed = true;
	all->warm_error = err;
	all->warm_text = et;
	pthread_mutex_unlock(&all->mu);
	return NULL;
}

static enum err endpoint_start(struct croft *c, struct errtext *et)
{
	struct endpoints *all = endpoints_of(c);
	enum err err = thread_start(&all->warmer, warm, c, "model-open", et);
	all->warming = !err;
	return err;
}

/* The embedding model is asked for by rag's own loading. */
static enum err endpoint_ready(struct croft *c, struct errtext *et)
{
	struct endpoints *all = endpoints_of(c);
	pthread_mutex_lock(&all->mu);
	enum err err = !all->warming || all->warmed ? all->warm_error : ERR_NOT_READY;
	if (err && et) {
		if (all->warmed)
			*et = all->warm_text;
		else
			err_set(et, err, "the default chat model is being opened");
	}
	pthread_mutex_unlock(&all->mu);
	return err ? ERR_NOT_READY : OK;
}

static void endpoint_metrics(struct croft *c, struct buf *out)
{
	struct endpoints *all = endpoints_of(c);
	buf_addf(out,
		"# HELP croft_model_resident_bytes Memory of an open model beside its mapped file\n"
		"# TYPE croft_model_resident_bytes gauge\n");
	pthread_mutex_lock(&all->mu);
	for (struct endpoint *e = all->list; e; e = e->next)
		if (e->state == SLOT_OPEN)
			buf_addf(out, "croft_model_resident_bytes{model=\"%s\"} %llu\n", e->name,
				(unsigned long long)model_info(e->model)->resident_bytes);
	pthread_mutex_unlock(&all->mu);
}

static const struct setting settings[] = {
	{"engine.threads", SET_INT, "0", "Compute threads per model; 0: every processor", 0, 1024},
	{"engine.memory_max", SET_BYTES, "0", "Memory of a model beside its file; 0: no limit", 0,
		INT64_MAX},
	{"chat.context_tokens", SET_INT, "0",
		"Context of a conversation; 0: the model's, at most 8192", 0, 1 << 24},
	{"chat.sequences_max", SET_INT, "8", "Answers generated together", 1, 256},
	{"chat.queue_max", SET_INT, "64", "Requests waiting for a model before 'busy'", 1, 100000},
};

const struct module endpoint_module = {.name = "endpoint",
	TABLE(settings),
	.init = endpoint_init,
	.start = endpoint_start,
	.stop = endpoint_stop,
	.ready = endpoint_ready,
	.metrics = endpoint_metrics};
