/* Retention: a pass over all experiments, and the keeper that makes one now and then.
 *
 *  1. Candidates are read a few at a time along an index, and each is looked at again in the small
 *     write transaction that changes it: whether its time has (still) come, and whether anything
 *     keeps it. So several servers, a person and the keeper can do no harm to each other.
 *  2. A roll-up of a run has two steps. First its series' head rows say the level and the audit log
 *     how many points it was, up to SERIES_AT_ONCE series in a transaction; from then on nobody
 *     reads the points. Then their rows go, a few in each transaction; run.rolled says that this is
 *     going on, and whoever makes the next pass goes on with it.
 *  3. On PostgreSQL the keepers of all servers have one lease between them. It keeps them from
 * doing the same work, no more: (1) keeps them right when it runs out. */
#include "access/access.h"
#include "base/clock.h"
#include "base/log.h"
#include "run/experiment.h"
#include "run/retain_int.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	SERIES_AT_ONCE = 200,
	ROWS_AT_ONCE = 500,
	PAUSE_MS = 2,
	DAY_MS = 86400 * 1000,
	LEASE_MS = 120 * 1000,
	FIRST_MS = 5000
};

void retain_settings(const struct croft *c, struct retain_policy *out)
{
	static const char *const names[RETAIN_FIELDS] = {"experiments.delete_days",
		"experiments.purge_days", "experiments.rollup_days", "experiments.rollup_level"};
	for (int i = 0; i < RETAIN_FIELDS; i++) {
		out->v[i] = setting_int(c, names[i]);
		out->from[i] = RETAIN_OF_SETTINGS;
	}
}

/* ---- one run ---- */

struct step {
	struct retain_pass *p;
	struct retain_item it;
	int64_t before_ms;
	int level;
	struct principal who;
	struct buf after, next; /* the series up to which a roll-up is done */
	bool finished, due;
};

static enum err audit_roll_up(
	struct tx *tx, const struct step *s, size_t series, struct errtext *et)
{
	char subject[48], hex[ID_HEX + 1];
	struct buf b = {0};
	struct jw w = {.out = &b};
	id_hex(s->it.run->id, hex);
	snprintf(subject, sizeof subject, "run %s", hex);
	jw_obj(&w);
	jw_kc(&w, "policy", s->it.policy);
	jw_ki64(&w, "series", (int64_t)series);
	jw_ki64(&w, "points", (int64_t)s->it.rolled.points);
	jw_ki64(&w, "buckets", (int64_t)s->it.rolled.buckets);
	jw_end(&w);
	enum err e = audit_add(tx, &s->who, "run.roll_up", str_c(subject), buf_str(&b), et);
	buf_free(&b);
	return e;
}

/* The next SERIES_AT_ONCE series. */
static enum err roll_up_some(struct tx *tx, struct step *s, struct errtext *et)
{
	struct id run = s->it.run->id;
	struct rolled_up one;
	size_t series = 0;
	enum err e = OK;
	s->it.rolled = (struct rolled_up){0};
	s->finished = false;
	buf_clear(&s->next);
	buf_adds(&s->next, buf_str(&s->after));
	if (!s->after.n && !s->p->dry)
		e = track_settle(tx, s->it.project, run, et);
	for (size_t i = 0; !e && i < SERIES_AT_ONCE; i++) {
		e = series_next(tx, run, buf_str(&s->next), &s->next, et);
		if (e)
			break;
		e = series_roll_up(tx, run, buf_str(&s->next), s->level, s->p->dry, &one, et);
		s->it.rolled.points += one.points;
		s->it.rolled.buckets += one.buckets;
		series += !e && one.points;
	}
	if (e == ERR_NOT_FOUND) {
		s->finished = true;
		e = s->p->dry ? OK : retain_store_rolled(tx, run, 1, et);
	}
	return !e && series && !s->p->dry ? audit_roll_up(tx, s, series, et) : e;
}

static enum err delete_one(struct tx *tx, const struct step *s, struct errtext *et)
{
	char subject[48], hex[ID_HEX + 1];
	struct buf b = {0};
	struct jw w = {.out = &b};
	id_hex(s->it.run->id, hex);
	snprintf(subject, sizeof subject, "run %s", hex);
	jw_obj(&w);
	jw_kc(&w, "policy", s->it.policy);
	jw_end(&w);
	enum err e = track_store_mark(
		tx, s->it.project, s->it.experiment, s->it.run->id, s->p->now_ms, et);
	if (!e)
		e = audit_add(tx, &s->who, "run.delete", str_c(subject), buf_str(&b), et);
	buf_free(&b);
	return e;
}

static enum err step_in(struct tx *tx, void *ctx, struct errtext *et)
{
	struct step *s = ctx;
	struct retain_item *it = &s->it;
	s->due = false;
	s->finished = true;
	enum err e = retain_store_due(tx, it->project, it->experiment, it->action, s->before_ms,
		it->run->id, &s->due, et);
	if (!e && s->due)
		e = retain_kept(tx, it->project, it->run->id, &it->kept, et);
	if (e || !s->due || it->kept)
		return e;
	if (it->action == RETAIN_ROLL_UP)
		return roll_up_some(tx, s, et);
	if (s->p->dry)
		return OK;
	return it->action == RETAIN_DELETE
		       ? delete_one(tx, s, et)
		       : purge_run_in(tx, &s->who, it->project, it->experiment, it->run->id,
				 s->p->purge_ms ? NULL : it->policy, et);
}

static enum err dry_step(struct step *s, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(s->p->c), TX_READ, &tx, et);
	if (e)
		return e;
	e = step_in(tx, s, et);
	db_rollback(tx);
	return e;
}

static void count(struct retain_pass *p, const struct retain_item *it, struct rolled_up all)
{
	struct retain_item said = *it;
	said.rolled = all;
	p->counts.kept += it->kept != NULL;
	if (!it->kept && (it->action != RETAIN_ROLL_UP || all.points))
		p->counts.runs[it->action]++;
	if (!it->kept) {
		p->counts.points += all.points;
		p->counts.buckets += all.buckets;
	}
	if (p->seen && (it->kept || it->action != RETAIN_ROLL_UP || all.points))
		p->seen(p->ctx, &said);
}

static enum err one_run(struct step *s, struct errtext *et)
{
	struct rolled_up all = {0};
	enum err e = OK;
	buf_clear(&s->after);
	do {
		e = s->p->dry ? dry_step(s, et) : db_write(croft_db(s->p->c), step_in, s, et);
		all.points += e ? 0 : s->it.rolled.points;
		all.buckets += e ? 0 : s->it.rolled.buckets;
		buf_clear(&s->after);
		buf_adds(&s->after, buf_str(&s->next));
	} while (!e && !s->finished);
	if (!e && s->due)
		count(s->p, &s->it, all);
	return e;
}

/* ---- one experiment ---- */

static bool halted(struct retain_pass *p)
{
	return (p->stop && p->stop(p->ctx)) || p->more;
}

static size_t looked_at(const struct retain_pass *p)
{
	const struct retain_counts *n = &p->counts;
	return n->runs[0] + n->runs[1] + n->runs[2] + n->kept;
}

static enum err candidates(const struct step *s, struct retain_cursor *at,
	struct retain_run out[RETAIN_BATCH], size_t *n, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(s->p->c), TX_READ, &tx, et);
	if (e)
		return e;
	e = retain_store_next(
		tx, s->it.project, s->it.experiment, s->it.action, s->before_ms, at, out, n, et);
	db_rollback(tx);
	return e;
}

static enum err one_action(struct step *s, struct errtext *et)
{
	struct retain_run v[RETAIN_BATCH];
	struct retain_cursor at = {0};
	size_t n = 1;
	enum err e = OK;
	while (!e && n && !halted(s->p)) {
		e = candidates(s, &at, v, &n, et);
		for (size_t i = 0; !e && i < n && !halted(s->p); i++) {
			s->it.run = &v[i];
			s->it.kept = NULL;
			s->it.rolled = (struct rolled_up){0};
			e = one_run(s, et);
			if (s->p->dry && looked_at(s->p) >= s->p->max)
				s->p->more = true;
		}
		if (!s->p->dry)
			clock_sleep_ms(PAUSE_MS);
	}
	return e;
}

struct thinning {
	struct str project;
	int64_t experiment;
	struct id run, next_run;
	struct buf after, next; /* series of that run that are done: before, and with this piece */
	bool any;
};

/* A few useless rows of a run that was rolled up. */
static enum err thin_some(struct tx *tx, void *ctx, struct errtext *et)
{
	struct thinning *t = ctx;
	struct buf name = {0};
	int64_t left = ROWS_AT_ONCE;
	enum err e =
		retain_store_unthinned(tx, t->project, t->experiment, &t->next_run, &t->any, et);
	if (e || !t->any)
		return e;
	if (memcmp(&t->run, &t->next_run, sizeof t->run) == 0)
		buf_adds(&name, buf_str(&t->after));
	buf_clear(&t->next);
	buf_adds(&t->next, buf_str(&name));
	while (!e && left > 0) {
		e = series_next(tx, t->next_run, buf_str(&name), &name, et);
		if (!e)
			e = series_thin(tx, t->next_run, buf_str(&name), left, &left, et);
		if (!e && left > 0) { /* nothing useless is left of this one */
			left--;
			buf_clear(&t->next);
			buf_adds(&t->next, buf_str(&name));
		}
	}
	buf_free(&name);
	return e == ERR_NOT_FOUND ? retain_store_rolled(tx, t->next_run, 2, et) : e;
}

static enum err thin(
	struct retain_pass *p, struct str project, int64_t experiment, struct errtext *et)
{
	struct thinning t = {.project = project, .experiment = experiment, .any = true};
	enum err e = OK;
	while (!e && t.any && !halted(p)) {
		e = db_write(croft_db(p->c), thin_some, &t, et);
		t.run = t.next_run;
		buf_clear(&t.after);
		buf_adds(&t.after, buf_str(&t.next));
		if (!e && t.any)
			clock_sleep_ms(PAUSE_MS);
	}
	buf_free(&t.after);
	buf_free(&t.next);
	return e;
}

static enum err policy_of(struct retain_pass *p, const struct retain_place *at,
	struct retain_policy *out, struct errtext *et)
{
	struct tx *tx;
	struct str project = str_c(at->project);
	retain_settings(p->c, out);
	enum err e = db_begin(croft_db(p->c), TX_READ, &tx, et);
	if (e)
		return e;
	e = retain_store_apply(tx, project, -1, out, et);
	if (!e)
		e = retain_store_apply(tx, project, at->experiment, out, et);
	db_rollback(tx);
	return e;
}

static void name_policy(
	char out[120], const struct retain_policy *p, int field, const struct retain_place *at)
{
	char of[64] = "the settings";
	if (p->from[field] == RETAIN_OF_PROJECT)
		snprintf(of, sizeof of, "the project");
	else if (p->from[field] == RETAIN_OF_EXPERIMENT)
		snprintf(of, sizeof of, "experiment %lld", (long long)at->experiment);
	snprintf(out, 120, "%s=%lld of %s", retain_fields[field], (long long)p->v[field], of);
}

static enum err one_place(struct retain_pass *p, const struct retain_place *at, struct errtext *et)
{
	struct retain_policy policy;
	char text[120];
	struct step s = {
		.p = p, .it = {.project = str_c(at->project), .experiment = at->experiment}};
	enum err e = policy_of(p, at, &policy, et);
	s.who = p->who ? *p->who : (struct principal){.name = S("croft")};
	s.who.project = s.it.project;
	s.level = (int)policy.v[RETAIN_LEVEL];
	for (int action = 0; !e && action < RETAIN_LEVEL; action++) {
		s.before_ms = p->now_ms - policy.v[action] * DAY_MS;
		if (p->purge_ms && action == RETAIN_PURGE)
			s.before_ms = p->purge_ms;
		else if (p->purge_ms || !policy.v[action])
			continue;
		name_policy(text, &policy, action, at);
		s.it.action = action;
		s.it.policy = text;
		e = one_action(&s, et);
	}
	if (!e && !p->dry && !p->purge_ms)
		e = thin(p, s.it.project, at->experiment, et);
	buf_free(&s.after);
	buf_free(&s.next);
	return e;
}

/* Deleted experiments go with the purge_days of their project. */
static enum err empty_experiments(struct retain_pass *p, const char *project, struct errtext *et)
{
	struct retain_place at = {.experiment = -1};
	struct retain_policy policy;
	size_t n = 0;
	struct principal who = p->who ? *p->who : (struct principal){.name = S("croft")};
	who.project = str_c(project);
	snprintf(at.project, sizeof at.project, "%s", project);
	enum err e = policy_of(p, &at, &policy, et);
	int64_t before = p->purge_ms ? p->purge_ms : p->now_ms - policy.v[RETAIN_PURGE] * DAY_MS;
	if (!e && (p->purge_ms || policy.v[RETAIN_PURGE]))
		e = purge_experiments_of(croft_db(p->c), &who, str_c(project), before, &n, et);
	p->counts.experiments += n;
	return e;
}

/* ---- everything ---- */

static enum err next_place(struct retain_pass *p, struct retain_place *at, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(p->c), TX_READ, &tx, et);
	if (e)
		return e;
	e = retain_store_place(tx, p->project, at, et);
	db_rollback(tx);
	return e;
}

enum err retain_run_pass(struct retain_pass *p, struct errtext *et)
{
	struct retain_place at = {.experiment = -1}, was = {.experiment = -1};
	enum err e = OK;
	while (!e && !halted(p)) {
		was = at;
		e = next_place(p, &at, et);
		bool moved =
			*was.project && (e == ERR_NOT_FOUND || strcmp(was.project, at.project));
		if (moved && !p->dry) {
			enum err f = empty_experiments(p, was.project, et);
			e = f ? f : e;
		}
		if (!e)
			e = one_place(p, &at, et);
	}
	if (e == ERR_NOT_FOUND)
		e = OK;
	if (!e && !p->dry)
		e = purge_sweep(croft_db(p->c), p->stop, p->ctx, et);
	return e;
}

enum err track_purge(struct croft *c, const struct principal *who, struct str project,
	int64_t older_ms, size_t *runs, size_t *experiments, size_t *kept, struct errtext *et)
{
	struct retain_pass p = {.c = c, .who = who, .project = project, .now_ms = clock_unix_ms()};
	p.purge_ms = p.now_ms - older_ms;
	enum err e = retain_run_pass(&p, et);
	*runs = p.counts.runs[RETAIN_PURGE];
	*experiments = p.counts.experiments;
	*kept = p.counts.kept;
	return e;
}

/* ---- the keeper ---- */

struct keeper {
	struct croft *c;
	struct id me;
	pthread_t thread;
	pthread_mutex_t mu;
	pthread_cond_t wake;
	bool stop, alone, mine;
	int64_t every_ms;
	uint64_t leased_ns;
};

static bool keeper_stops(void *ctx)
{
	struct keeper *k = ctx;
	struct errtext et = {0};
	pthread_mutex_lock(&k->mu);
	bool stop = k->stop;
	pthread_mutex_unlock(&k->mu);
	if (!stop && clock_mono_ns() - k->leased_ns > LEASE_MS / 4 * 1000000ull) {
		k->leased_ns = clock_mono_ns();
		stop = retain_lease(croft_db(k->c), "experiments", k->me, clock_unix_ms(), LEASE_MS,
			       false, &k->mine, &et) ||
		       !k->mine;
	}
	return stop;
}

static void say(const struct retain_counts *n)
{
	if (n->runs[0] + n->runs[1] + n->runs[2] + n->experiments)
		log_info("retention: %zu runs deleted, %zu runs and %zu experiments removed, %zu "
			 "runs rolled up (%llu points)",
			n->runs[RETAIN_DELETE], n->runs[RETAIN_PURGE], n->experiments,
			n->runs[RETAIN_ROLL_UP], (unsigned long long)n->points);
}

static enum err keeper_pass(struct keeper *k, struct errtext *et)
{
	struct retain_pass p = {
		.c = k->c, .now_ms = clock_unix_ms(), .stop = keeper_stops, .ctx = k};
	k->leased_ns = clock_mono_ns();
	enum err e = retain_lease(
		croft_db(k->c), "experiments", k->me, p.now_ms, LEASE_MS, k->alone, &k->mine, et);
	k->alone = false;
	if (e || !k->mine)
		return e;
	e = retain_run_pass(&p, et);
	say(&p.counts);
	return e;
}

static void *keeper_main(void *arg)
{
	struct keeper *k = arg;
	uint64_t wait = MIN(k->every_ms, (int64_t)FIRST_MS);
	for (bool stop = false; !stop;) {
		uint64_t until = clock_mono_ns() + wait * 1000000ull;
		pthread_mutex_lock(&k->mu);
		while (!k->stop && cond_wait_until(&k->wake, &k->mu, until))
			;
		stop = k->stop;
		pthread_mutex_unlock(&k->mu);
		struct errtext et = {0};
		enum err e = stop ? OK : keeper_pass(k, &et);
		if (e && e != ERR_CANCELLED)
			log_warn("experiments could not be looked after: %s", err_text(e, &et));
		wait = (uint64_t)k->every_ms;
	}
	return NULL;
}

/* Only while a server runs: a short command has no time for it. */
static enum err start(struct croft *c, struct errtext *et)
{
	struct keeper *k = calloc(1, sizeof *k);
	if (!k)
		return err_set(et, ERR_NOMEM, "no memory for the keeper of experiments");
	*k = (struct keeper){.c = c,
		.me = id_new(),
		.alone = db_alone(croft_db(c)),
		.every_ms = setting_int(c, "experiments.retention_every")};
	pthread_mutex_init(&k->mu, NULL);
	cond_init(&k->wake);
	enum err e = thread_start(&k->thread, keeper_main, k, "retention", et);
	if (e) {
		pthread_mutex_destroy(&k->mu);
		free(k);
		return e;
	}
	croft_set_state(c, &retention_module, k);
	return OK;
}

static void stop(struct croft *c)
{
	struct keeper *k = croft_state(c, &retention_module);
	struct errtext et = {0};
	if (!k)
		return;
	croft_set_state(c, &retention_module, NULL);
	pthread_mutex_lock(&k->mu);
	k->stop = true;
	pthread_cond_signal(&k->wake);
	pthread_mutex_unlock(&k->mu);
	pthread_join(k->thread, NULL);
	if (k->mine && retain_unlease(croft_db(c), "experiments", k->me, &et))
		log_debug("the lease of retention stays until it ends");
	pthread_mutex_destroy(&k->mu);
	free(k);
}

static const struct setting settings[] = {
	{"experiments.delete_days", SET_INT, "0",
		"Days after which ended runs of experiments are deleted; 0: never", 0, 36500},
	{"experiments.purge_days", SET_INT, "0",
		"Days after which deleted runs and experiments are removed for good; 0: never", 0,
		36500},
	{"experiments.rollup_days", SET_INT, "0",
		"Days after which series of ended runs keep only their summaries; 0: never", 0,
		36500},
	{"experiments.rollup_level", SET_INT, "1",
		"What one summary stands for: 1: 256 points; 2: 65,536; 3: 16,777,216", 1, 3},
	{"experiments.retention_every", SET_DURATION, "1h",
		"How often the policies of experiments are carried out", 1000, 7ll * 86400 * 1000},
};

const struct module retention_module = {
	.name = "retention",
	.routes = retain_routes,
	.n_routes = ARRAY_LEN(retain_routes),
	.shapes = retain_shapes,
	.n_shapes = ARRAY_LEN(retain_shapes),
	.commands = retain_commands,
	.n_commands = ARRAY_LEN(retain_commands),
	TABLE(settings),
	.start = start,
	.stop = stop,
};
