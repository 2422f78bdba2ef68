/* Responses in the background: who answers them, and who follows their events.
 *
 * A job of the queue "response" is answered as a request would be; with each renewal of its lease
 * its row is looked at, as another server may have cancelled it. While a
 * response that streams is in work its events stand in a feed of this process. They are stored with
 * its end, in one transaction; the last event is shown after that.
 *
 * A worker that dies, or stops with its server, gives the job back: the next one begins anew with
 * the same seed, and so writes the same events again under the same numbers. A remote provider's
 * answer would be another one: where somebody may have seen events of the first, it fails. */
#include "api/responses.h"

#include "base/clock.h"
#include "store/worker.h"

#include <stdlib.h>

enum { ATTEMPTS_MAX = 5, LEASE_MS = 10000, RETRY_MS = 2000, BUSY_MS = 300, PEEK_MS = 200 };

struct feed {
	struct id id;
	unsigned refs;
	struct buf lines; /* an event each */
	size_t shown;     /* bytes of them */
	bool over;
	struct feed *next;
};

struct responder {
	struct croft *c;
	struct workers *workers;
	pthread_mutex_t mu;
	pthread_cond_t news;
	struct feed *feeds;
};

/* ---- feeds ---- */

static struct feed *feed_open(struct responder *s, struct id id)
{
	struct feed *f = calloc(1, sizeof *f);
	if (!f)
		return NULL;
	f->id = id;
	f->refs = 1;
	f->lines.max = EVENTS_MAX;
	pthread_mutex_lock(&s->mu);
	f->next = s->feeds;
	s->feeds = f;
	pthread_mutex_unlock(&s->mu);
	return f;
}

static struct feed *feed_get(struct responder *s, struct id id)
{
	pthread_mutex_lock(&s->mu);
	struct feed *f = s->feeds;
	while (f && memcmp(&f->id, &id, sizeof id))
		f = f->next;
	if (f)
		f->refs++;
	pthread_mutex_unlock(&s->mu);
	return f;
}

static void feed_put(struct responder *s, struct feed *f)
{
	if (!f)
		return;
	pthread_mutex_lock(&s->mu);
	bool last = !--f->refs;
	pthread_mutex_unlock(&s->mu);
	if (!last)
		return;
	buf_free(&f->lines);
	free(f);
}

/* Shows all of it (or what was shown before is all there will be), and takes it off the list. */
static void feed_close(struct responder *s, struct feed *f, bool whole)
{
	if (!f)
		return;
	pthread_mutex_lock(&s->mu);
	if (whole)
		f->shown = f->lines.n;
	f->over = true;
	for (struct feed **p = &s->feeds; *p; p = &(*p)->next)
		if (*p == f) {
			*p = f->next;
			break;
		}
	pthread_cond_broadcast(&s->news);
	pthread_mutex_unlock(&s->mu);
	feed_put(s, f);
}

/* ---- one answer ---- */

struct task {
	struct work *k;
	struct responder *of;
	struct turn t;
	struct feed *feed; /* NULL: it does not stream */
	size_t before_end; /* bytes of the feed before its last event */
	bool ending;
};

static bool to_feed(void *ctx, struct str type, struct str json)
{
	struct task *w = ctx;
	struct responder *s = w->of;
	pthread_mutex_lock(&s->mu);
	buf_adds(&w->feed->lines, json);
	buf_putc(&w->feed->lines, '\n');
	bool good = !w->feed->lines.err;
	if (good && !w->ending) {
		w->feed->shown = w->feed->lines.n;
		pthread_cond_broadcast(&s->news);
	}
	pthread_mutex_unlock(&s->mu);
	return good;
}

static bool on_busy(struct turn *t)
{
	struct task *w = t->ctx;
	return work_nap(w->k, BUSY_MS);
}

static enum err on_begin(struct turn *t)
{
	struct task *w = t->ctx;
	bool go_on = false;
	if (w->feed && w->k->job.attempt > 1 && !endpoint_model(t->ep))
		return api_fail(&t->x, ERR_INTERNAL, NULL, NULL,
			"the server was stopped in the middle of the answer of a remote provider");
	enum err e = response_started(t->c, t->r.id, t->r.run, t->r.model, &go_on, &t->x.et);
	if (e)
		return e;
	if (!go_on)
		return api_fail(&t->x, ERR_CANCELLED, NULL, NULL, "cancelled");
	/* as who asked for it was told */
	struct id run = t->r.run;
	t->r.status = "queued";
	t->r.run = (struct id){0};
	e = answer_state(&t->answer, "response.created");
	e = e ? e : answer_state(&t->answer, "response.queued");
	t->r.status = "in_progress";
	t->r.run = run;
	return e ? e : answer_state(&t->answer, "response.in_progress");
}

/* The last event, not shown yet. */
static void write_end(struct task *w)
{
	if (!w->feed)
		return;
	if (!w->ending)
		w->before_end = w->feed->lines.n;
	w->ending = true;
	pthread_mutex_lock(&w->of->mu);
	w->feed->lines.n = w->before_end;
	w->feed->lines.err = OK;
	w->feed->lines.max = 0;
	pthread_mutex_unlock(&w->of->mu);
	w->t.answer.emit = to_feed;
	w->t.answer.e = OK;
	(void)answer_state(&w->t.answer, response_end_type(&w->t.r));
}

/* Stored, and shown. What was cancelled meanwhile ends so. */
static enum err end(struct task *w, struct errtext *et)
{
	struct turn *t = &w->t;
	bool taken = false;
	uint64_t sequence = t->answer.sequence;
	write_end(w);
	enum err e = response_end(t->c, &t->r, &w->k->job, t->answer.items, t->answer.n_items,
		w->feed ? buf_str(&w->feed->lines) : S(""), &taken, et);
	if (!e && !taken) {
		t->r.status = "cancelled";
		t->answer.sequence = sequence;
		write_end(w);
	}
	return e;
}

static enum err begin(struct task *w, struct response *row, struct str project)
{
	struct turn *t = &w->t;
	struct response_params *p = &t->p;
	enum err e = response_parse(row->request, false, t->a, p, &t->x);
	if (e)
		return e;
	p->chat.gen.sampling.seed = (uint64_t)row->seed;
	p->chat.gen.priority = (int)row->priority; /* as far as who asked was allowed it */
	e = response_input(t->c, row->id, t->a, &p->items, &p->n_items, &t->x.et);
	return e ? store_failed(&t->x, e, NULL) : turn_context(t);
}

static enum err answer(struct work *k, struct response *row, struct errtext *et)
{
	struct responder *s = k->ctx;
	struct arena *a = k->a;
	struct principal who = {.id = row->who, .name = row->who_name, .project = row->project};
	struct task w = {.k = k,
		.of = s,
		.t = {.c = s->c,
			.a = a,
			.who = &who,
			.cancel = k->cancel,
			.r = *row,
			.early = true,
			.on_begin = on_begin,
			.on_busy = on_busy}};
	struct turn *t = &w.t;
	t->ctx = &w;
	t->answer = (struct answer){.r = &t->r, .a = a};
	if (row->streams && !(w.feed = feed_open(s, row->id)))
		return err_set(et, ERR_NOMEM, "no memory for events");
	if (w.feed) {
		t->answer.emit = to_feed;
		t->answer.ctx = &w;
	}
	turn_begin_run(t);
	enum err e = begin(&w, row, row->project);
	if (!e && k->job.attempt > ATTEMPTS_MAX)
		e = api_fail(&t->x, ERR_INTERNAL, NULL, NULL,
			"the server was stopped %d times in the middle of it", ATTEMPTS_MAX);
	if (e)
		turn_fail(t, e);
	else
		e = turn_answer(t);
	if (w.feed && w.feed->lines.err == ERR_TOO_LARGE) {
		e = api_fail(&t->x, ERR_LIMIT, NULL, NULL, "its events take more than %d MiB",
			EVENTS_MAX >> 20);
		turn_fail(t, e);
	}
	run_end(t->run, e, &t->x.et);
	/* cancelled from outside, or this server's matter? The row knows. */
	struct response now;
	bool given_back = false;
	if (e == ERR_CANCELLED && !response_get(s->c, row->project, row->id, a, &now, et))
		given_back = !response_over(&now);
	e = given_back ? err_set(et, ERR_CANCELLED, "the server stops") : end(&w, et);
	feed_close(s, w.feed, !e);
	turn_free(t);
	return e;
}

/* ---- the queue ---- */

static enum err run(struct work *k, struct errtext *et)
{
	struct croft *c = ((struct responder *)k->ctx)->c;
	struct response row;
	struct id id;
	if (!id_parse(k->job.body, &id))
		return queue_done_now(k->db, &k->job, et);
	enum err e = response_get(c, (struct str){0}, id, k->a, &row, et);
	if (e == ERR_NOT_FOUND || (!e && response_over(&row)))
		return queue_done_now(k->db, &k->job, et);
	return e ? e : answer(k, &row, et);
}

/* Not when it was cancelled or deleted, perhaps on another server. */
static bool wanted(void *ctx, const struct job *job)
{
	struct responder *s = ctx;
	struct response row;
	struct id id;
	struct arena *a = arena_new(0);
	enum err e = a && id_parse(job->body, &id)
			     ? response_get(s->c, (struct str){0}, id, a, &row, NULL)
			     : ERR_NOMEM;
	bool over = e == ERR_NOT_FOUND || (!e && response_over(&row));
	arena_free(a);
	return !over;
}

static enum err sweep(void *ctx, struct errtext *et)
{
	return response_sweep(((struct responder *)ctx)->c, et);
}

void responses_wake(struct croft *c)
{
	struct responder *s = croft_state(c, &responses_module);
	if (s)
		workers_wake(s->workers);
}

void responses_interrupt(struct croft *c, struct id id)
{
	struct responder *s = croft_state(c, &responses_module);
	char hex[ID_HEX + 1];
	id_hex(id, hex);
	if (s)
		workers_interrupt(s->workers, str_c(hex));
}

static void responder_free(struct responder *s)
{
	pthread_mutex_destroy(&s->mu);
	pthread_cond_destroy(&s->news);
	free(s);
}

enum err responses_start(struct croft *c, struct errtext *et)
{
	struct responder *s = calloc(1, sizeof *s);
	if (!s)
		return err_set(et, ERR_NOMEM, "no memory for responses");
	s->c = c;
	pthread_mutex_init(&s->mu, NULL);
	cond_init(&s->news);
	enum err e = workers_start(croft_db(c),
		&(struct worker_options){.queue = "response",
			.name = "response",
			.threads = (unsigned)setting_int(c, "responses.workers"),
			.lease_ms = LEASE_MS,
			.retry_ms = RETRY_MS,
			.run = run,
			.wanted = wanted,
			.hourly = sweep,
			.ctx = s},
		&s->workers, et);
	if (e)
		responder_free(s);
	else
		croft_set_state(c, &responses_module, s);
	return e;
}

void responses_stop(struct croft *c)
{
	struct responder *s = croft_state(c, &responses_module);
	if (!s)
		return;
	workers_stop(s->workers);
	croft_set_state(c, &responses_module, NULL);
	responder_free(s);
}

/* ---- following ---- */

struct follower {
	struct http_response *rs;
	const struct cancel *cancel;
	int64_t after; /* the last number that was sent, or asked to be left out */
	int64_t next;  /* the number of the next line */
};

/* {"type":"response....": the event's name is in its text. */
static struct str type_in(struct str line)
{
	static const char head[] = "{\"type\":\"";
	struct str rest = str_sub(line, sizeof head - 1, line.n);
	size_t end = str_chr(rest, '"');
	return end == STR_NONE ? S("message") : str_sub(rest, 0, end);
}

static enum err send_lines(struct follower *f, struct str lines)
{
	struct str line;
	char type[64];
	enum err e = OK;
	while (!e && str_next(&lines, '\n', &line)) {
		if (!line.n)
			continue;
		struct str name = type_in(line);
		size_t n = MIN(name.n, sizeof type - 1);
		memcpy(type, name.p, n);
		type[n] = 0;
		if (f->next > f->after) {
			e = http_sse_event(f->rs, type, line);
			f->after = f->next;
		}
		f->next++;
	}
	return e;
}

/* Until the feed is over, with or without a last event. */
static enum err follow_feed(struct responder *s, struct follower *f, struct feed *feed)
{
	size_t at = 0;
	enum err e = OK;
	bool over = false;
	while (!e && !over) {
		struct buf copy = {0};
		pthread_mutex_lock(&s->mu);
		if (feed->shown == at && !feed->over)
			cond_wait_until(&s->news, &s->mu, clock_mono_ns() + PEEK_MS * 1000000ull);
		buf_add(&copy, buf_str(&feed->lines).p + at, feed->shown - at);
		at = feed->shown;
		over = feed->over;
		pthread_mutex_unlock(&s->mu);
		e = copy.err ? copy.err : send_lines(f, buf_str(&copy));
		if (!e && cancelled(f->cancel))
			e = ERR_CANCELLED;
		buf_free(&copy);
	}
	return e;
}

/* Of a response that has ended: what is kept of its events, or that it has ended. */
static enum err follow_stored(struct croft *c, struct follower *f, struct response *row,
	struct arena *a, struct errtext *et)
{
	struct str lines;
	struct item *items = NULL;
	size_t n = 0;
	enum err e = response_events(c, row->id, a, &lines, et);
	if (e)
		return e;
	f->next = 0;
	if (lines.n)
		return send_lines(f, lines);
	e = response_output(c, row->id, a, &items, &n, et);
	if (e)
		return e;
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_kc(&w, "type", response_end_type(row));
	jw_ki64(&w, "sequence_number", f->after + 1);
	jw_key(&w, "response");
	response_write(&w, row, items, n);
	jw_end(&w);
	e = jw_done(&w) ? http_sse_event(f->rs, response_end_type(row), buf_str(&b)) : ERR_NOMEM;
	buf_free(&b);
	return e;
}

enum err responses_follow(struct croft *c, const struct http_request *rq, struct http_response *rs,
	struct id id, int64_t after)
{
	struct responder *s = croft_state(c, &responses_module);
	struct follower f = {.rs = rs, .cancel = rq->cancel, .after = after};
	struct errtext et = {0};
	enum err e = OK;
	while (!e && !cancelled(rq->cancel)) {
		struct response row;
		struct arena *a = arena_new(0);
		struct feed *feed = s ? feed_get(s, id) : NULL;
		if (feed) {
			f.next = 0;
			e = follow_feed(s, &f, feed);
			feed_put(s, feed);
		}
		e = e ? e : !a ? ERR_NOMEM : response_get(c, project_of(rq), id, a, &row, &et);
		bool over = !e && response_over(&row);
		if (over && !feed)
			e = follow_stored(c, &f, &row, a, &et);
		if (over) {
			arena_free(a);
			return e;
		}
		arena_free(a);
		if (!e && (!s || !workers_nap(s->workers, PEEK_MS)))
			e = ERR_CANCELLED;
	}
	return e ? e : ERR_CANCELLED;
}
