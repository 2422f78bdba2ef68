/* Background jobs of one sort: a table of places, a thread for each that runs. */
#include "collection/jobs.h"
#include "base/log.h"
#include "base/os.h"

#include <stdio.h>
#include <stdlib.h>

enum { PLACES = 32 };

struct job_place {
	struct jobs *of;
	pthread_t thread;
	struct cancel cancel;
	struct jobs_new_one is;
	struct jobs_at at; /* guarded by mu, as the next two */
	bool used, ended;  /* ended: the thread may be joined */
};

struct jobs {
	pthread_mutex_t mu;
	struct jobs_kind kind;
	struct job_place place[PLACES];
};

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a job");
}

enum err jobs_new(const struct jobs_kind *kind, struct jobs **out, struct errtext *et)
{
	struct jobs *m = calloc(1, sizeof *m);
	if (!m)
		return no_memory(et);
	pthread_mutex_init(&m->mu, NULL);
	m->kind = *kind;
	*out = m;
	return OK;
}

/* Waits for the thread, which has ended or was told to. */
static void clear(struct job_place *j)
{
	if (!j->used)
		return;
	pthread_join(j->thread, NULL);
	arena_free(j->is.arena);
	*j = (struct job_place){0};
}

void jobs_free(struct jobs *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < PLACES; i++)
		cancel_set(&m->place[i].cancel);
	for (size_t i = 0; i < PLACES; i++)
		clear(&m->place[i]);
	pthread_mutex_destroy(&m->mu);
	free(m);
}

/* ---- one of them ---- */

void jobs_tell(void *self, const char *what, uint64_t done, uint64_t total)
{
	struct job_place *j = self;
	pthread_mutex_lock(&j->of->mu);
	snprintf(j->at.what, sizeof j->at.what, "%s", what);
	j->at.done = done;
	j->at.total = total;
	pthread_mutex_unlock(&j->of->mu);
}

static void *work(void *arg)
{
	struct job_place *j = arg;
	struct errtext et = {0};
	enum err e = j->is.run(&(struct jobs_work){j->is.ctx, &j->cancel, j}, &et);
	os_return_memory();
	if (e && e != ERR_CANCELLED)
		log_warn("%s: %s", j->of->kind.what, err_text(e, &et));
	pthread_mutex_lock(&j->of->mu);
	j->at.state = e ? JOB_FAILED : JOB_IDLE;
	j->at.failed = e;
	if (e)
		snprintf(j->at.et.msg, sizeof j->at.et.msg, "%s", err_text(e, &et));
	j->ended = true;
	pthread_mutex_unlock(&j->of->mu);
	return NULL;
}

/* ---- places: under mu ---- */

static struct job_place *place_of(struct jobs *m, int64_t collection, int number)
{
	for (size_t i = 0; i < PLACES; i++) {
		struct job_place *j = &m->place[i];
		if (j->used && j->is.collection == collection && j->is.number == number)
			return j;
	}
	return NULL;
}

/* The one that this job had before, a free one, or one whose job has ended. */
static enum err find_place(
	struct jobs *m, const struct jobs_new_one *one, struct job_place **out, struct errtext *et)
{
	struct job_place *place = place_of(m, one->collection, one->number);
	size_t running = 0;
	if (place && !place->ended)
		return err_set(et, ERR_CONFLICT, "%s", one->twice);
	for (size_t i = 0; i < PLACES; i++) {
		struct job_place *j = &m->place[i];
		running += j->used && !j->ended;
		if (!place && !j->used)
			place = j;
	}
	for (size_t i = 0; i < PLACES && !place; i++)
		if (m->place[i].ended)
			place = &m->place[i];
	if (running >= m->kind.at_once || !place)
		return err_set(et, ERR_BUSY, "%s", m->kind.busy);
	*out = place;
	return OK;
}

enum err jobs_start(struct jobs *m, const struct jobs_new_one *one, struct errtext *et)
{
	struct job_place *j = NULL;
	pthread_mutex_lock(&m->mu);
	enum err e = find_place(m, one, &j, et);
	if (!e) {
		clear(j);
		*j = (struct job_place){.of = m, .is = *one, .used = true};
		j->cancel.parent = one->stop;
		j->at.state = JOB_RUNNING;
		snprintf(j->at.what, sizeof j->at.what, "reading");
		e = thread_start(&j->thread, work, j, m->kind.thread, et);
		if (e)
			*j = (struct job_place){0};
	}
	pthread_mutex_unlock(&m->mu);
	return e;
}

bool jobs_stop(struct jobs *m, int64_t collection, int number)
{
	pthread_mutex_lock(&m->mu);
	struct job_place *j = place_of(m, collection, number);
	bool running = j && !j->ended;
	if (running)
		cancel_set(&j->cancel);
	pthread_mutex_unlock(&m->mu);
	return running;
}

void jobs_look(struct jobs *m, int64_t collection, int number, struct jobs_at *out)
{
	pthread_mutex_lock(&m->mu);
	const struct job_place *j = place_of(m, collection, number);
	*out = j ? j->at : (struct jobs_at){0};
	pthread_mutex_unlock(&m->mu);
}
