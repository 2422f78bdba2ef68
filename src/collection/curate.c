/* Curation of collections: jobs on threads of their own, their results kept in the database.
 *
 * A job reads the items in one transaction, works, and writes its row. Nothing is written when it
 * fails or is stopped: the result that was there stays. */
#include "base/clock.h"
#include "base/log.h"
#include "base/os.h"
#include "collection/curate_int.h"
#include "collection/map_int.h"
#include "vector/layout.h"

#include <math.h>
#include <stdlib.h>

struct curate_job {
	struct croft *c;
	struct curations *all;
	pthread_t thread;
	struct cancel cancel;
	struct arena *a; /* of the options and the spaces */
	int64_t collection;
	enum curate_kind kind;
	struct space *spaces;
	size_t n_spaces;
	const struct space *space;
	struct curate_options o;
	struct str project, name;
	bool lazy;                       /* a copy that has its items only when it is opened */
	struct curate_progress progress; /* guarded by curations.mu */
	bool used, ended;                /* guarded by curations.mu; ended: may be joined */
};

/* The last ones, those that have failed too: what one says stays until its place is needed. */
enum { JOBS = 32 };
struct curations {
	pthread_mutex_t mu;
	struct curate_job job[JOBS];
};

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for the curation of a collection");
}

/* ---- keeping ---- */

/* What a page counts: of duplicates groups, which are in order. */
static size_t total_of(enum curate_kind kind, const struct curate_found *f)
{
	return kind == CURATE_DUPLICATES && f->n ? (size_t)f->cases[f->n - 1].group + 1 : f->n;
}

static void write_about(struct jw *w, const struct curate_job *j, const struct curate_rows *x,
	const struct curate_found *f, struct str summary, int64_t took_ms)
{
	jw_obj(w);
	jw_key(w, "parameters");
	curate_options_write(w, j->kind, &j->o, j->space);
	jw_key(w, "summary");
	jw_raw(w, summary);
	jw_key(w, "labels");
	jw_arr(w);
	for (size_t i = 0; i < x->n_names; i++)
		jw_raw(w, x->names[i]);
	jw_end(w);
	jw_ki64(w, "items", (int64_t)x->n);
	jw_ki64(w, "total", (int64_t)total_of(j->kind, f));
	jw_ki64(w, "took_ms", took_ms);
	jw_end(w);
}

static enum err put_in(struct tx *tx, void *ctx, struct errtext *et)
{
	const struct curate_row *r = ctx;
	struct collection_row k;
	struct arena *a = arena_new(0);
	if (!a)
		return no_memory(et);
	enum err e = store_collection_by_number(tx, r->collection, a, &k, et);
	arena_free(a);
	return e ? e : store_curation_put(tx, r, et);
}

static enum err keep(struct curate_job *j, const struct curate_rows *x,
	const struct curate_found *f, int64_t took_ms, struct errtext *et)
{
	struct buf about = {0}, cases = {0}, summary = {0};
	struct jw w = {.out = &about};
	buf_addf(&summary, "{%s}", buf_c(&f->summary));
	write_about(&w, j, x, f, buf_str(&summary), took_ms);
	curate_encode(f->cases, f->n, &cases);
	enum err e = about.err || cases.err || summary.err || f->summary.err ? no_memory(et) : OK;
	struct curate_row r = {
		j->collection, x->seq, clock_unix_ms(), j->kind, buf_str(&about), buf_str(&cases)};
	e = e ? e : db_write(croft_db(j->c), put_in, &r, et);
	buf_free(&about);
	buf_free(&cases);
	buf_free(&summary);
	return e;
}

/* ---- the work ---- */

static void tell(void *ctx, const char *what, uint64_t done, uint64_t total)
{
	struct curate_job *j = ctx;
	pthread_mutex_lock(&j->all->mu);
	snprintf(j->progress.what, sizeof j->progress.what, "%s", what);
	j->progress.done = done;
	j->progress.total = total;
	pthread_mutex_unlock(&j->all->mu);
}

static enum err fill_copy(struct curate_job *j, struct errtext *et)
{
	struct collection *k = NULL;
	enum err e = j->lazy ? collection_open(j->c, j->project, j->name, &k, &j->cancel, et) : OK;
	collection_close(k);
	return e;
}

static enum err make(struct curate_job *j, struct errtext *et)
{
	struct curate_rows x = {.a = j->a,
		.spaces = j->spaces,
		.n_spaces = j->n_spaces,
		.space = j->space,
		.o = &j->o,
		.labels = j->o.label.n > 0,
		.scores = j->o.scores.n > 0,
		.worth = j->kind == CURATE_DUPLICATES && j->o.keep != KEEP_CENTRE,
		.max_bytes = (size_t)setting_int(j->c, "collection.curate_bytes"),
		/* short rows and what is found; neighbours, the edges of their graph */
		.row_bytes = 320 + 24 * (size_t)j->o.k,
		.cancel = &j->cancel};
	struct curate_found found = {0};
	struct kern_team *team = NULL;
	uint64_t began = clock_mono_ns();
	tell(j, "reading", 0, 0);
	enum err e = fill_copy(j, et);
	e = e ? e : curate_read(j->c, j->collection, &x, et);
	if (!e && x.n < 2)
		e = err_set(et, ERR_CONFLICT,
			"curation needs at least two items with vectors; there are %zu", x.n);
	e = e ? e : kern_team_new(MAX(cpu_count() / 2, 1u), &team, et);
	struct layout_work w = {team, &j->cancel, tell, j};
	e = e ? e : curate_work(j->kind, &x, &w, &found, et);
	kern_team_free(team);
	e = e ? e : keep(j, &x, &found, (int64_t)((clock_mono_ns() - began) / 1000000), et);
	curate_found_free(&found);
	curate_rows_free(&x);
	return e;
}

static void *work(void *arg)
{
	struct curate_job *j = arg;
	struct errtext et = {0};
	enum err e = make(j, &et);
	os_return_memory();
	if (e && e != ERR_CANCELLED)
		log_warn("curation of a collection: %s", err_text(e, &et));
	pthread_mutex_lock(&j->all->mu);
	j->progress.state = e ? CURATE_FAILED : CURATE_IDLE;
	j->progress.failed = e;
	if (e)
		snprintf(j->progress.et.msg, sizeof j->progress.et.msg, "%s", err_text(e, &et));
	j->ended = true;
	pthread_mutex_unlock(&j->all->mu);
	return NULL;
}

/* ---- jobs ---- */

enum err curations_new(struct curations **out, struct errtext *et)
{
	struct curations *m = calloc(1, sizeof *m);
	if (!m)
		return no_memory(et);
	pthread_mutex_init(&m->mu, NULL);
	*out = m;
	return OK;
}

/* Waits for the thread, which has ended or was told to. */
static void clear(struct curate_job *j)
{
	if (!j->used)
		return;
	pthread_join(j->thread, NULL);
	arena_free(j->a);
	*j = (struct curate_job){0};
}

void curations_free(struct curations *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < JOBS; i++)
		cancel_set(&m->job[i].cancel);
	for (size_t i = 0; i < JOBS; i++)
		clear(&m->job[i]);
	pthread_mutex_destroy(&m->mu);
	free(m);
}

/* Under mu: a free place, or one that has ended. */
static enum err find_place(struct curations *m, const struct curate_job *fresh,
	struct curate_job **out, struct errtext *et)
{
	struct curate_job *place = NULL, *own = NULL;
	size_t running = 0;
	for (size_t i = 0; i < JOBS; i++) {
		struct curate_job *j = &m->job[i];
		bool same = j->used && j->collection == fresh->collection && j->kind == fresh->kind;
		running += j->used && !j->ended;
		if (same && !j->ended)
			return err_set(et, ERR_CONFLICT,
				"%s of this collection are being looked for already",
				curate_word(j->kind));
		if (same)
			own = j;
		else if (!j->used || (j->ended && !place))
			place = j;
	}
	if (running >= CURATE_AT_ONCE)
		return err_set(et, ERR_BUSY,
			"%zu collections are being curated at present: wait for one of them",
			running);
	*out = own ? own : place;
	return OK;
}

static bool copy_texts(struct curate_job *j)
{
	struct str *texts[] = {&j->o.label, &j->o.scores, &j->o.keep_field, &j->project, &j->name};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (texts[i]->p && !(*texts[i] = arena_str(j->a, *texts[i])).p)
			return false;
	return true;
}

static enum err prepare(struct croft *c, struct str project, struct str name,
	const struct curate_options *o, struct curate_job *j, struct errtext *et)
{
	struct collection_row k;
	enum err e = map_find(c, project, name, j->a, &k, et);
	e = e ? e : config_read(k.config, j->a, &j->spaces, &j->n_spaces, et);
	if (e)
		return e;
	j->c = c;
	j->collection = k.number;
	j->o = *o;
	j->project = project;
	j->name = name;
	j->space = space_pick(j->spaces, j->n_spaces, o->space);
	if (!j->space)
		return err_set(et, ERR_INVALID, "there are no vectors named \"%.*s\"",
			STR_FMT(str_sub(o->space, 0, 100)));
	e = space_plain(j->space, "curation", et);
	if (e)
		return e;
	if (j->kind == CURATE_DUPLICATES && isnan(j->o.threshold)) {
		if (j->space->distance == DISTANCE_L2)
			return err_set(et, ERR_INVALID,
				"threshold is missing: say how far apart near-duplicates may be");
		j->o.threshold = 0.95;
	}
	j->o.space = j->space->name;
	j->lazy = !k.next_num;
	return copy_texts(j) ? OK : no_memory(et);
}

enum err curate_start(struct croft *c, struct str project, struct str name, enum curate_kind kind,
	const struct curate_options *o, struct errtext *et)
{
	struct curations *m = collections_of(c)->curations;
	struct curate_job fresh = {.all = m, .used = true, .kind = kind, .a = arena_new(0)};
	struct curate_job *j = NULL;
	enum err e = fresh.a ? prepare(c, project, name, o, &fresh, et) : no_memory(et);
	if (!e) {
		fresh.cancel.parent = croft_stopping(c);
		fresh.progress.state = CURATE_RUNNING;
		snprintf(fresh.progress.what, sizeof fresh.progress.what, "reading");
		pthread_mutex_lock(&m->mu);
		e = find_place(m, &fresh, &j, et);
		if (!e) {
			clear(j);
			*j = fresh;
			e = thread_start(&j->thread, work, j, "curate", et);
			if (e)
				*j = (struct curate_job){0};
		}
		pthread_mutex_unlock(&m->mu);
	}
	if (e)
		arena_free(fresh.a);
	return e;
}

static struct curate_job *job_of(struct curations *m, int64_t collection, enum curate_kind kind)
{
	for (size_t i = 0; i < JOBS; i++)
		if (m->job[i].used && m->job[i].collection == collection && m->job[i].kind == kind)
			return &m->job[i];
	return NULL;
}

bool curate_stop(struct croft *c, int64_t collection, enum curate_kind kind)
{
	struct curations *m = collections_of(c)->curations;
	pthread_mutex_lock(&m->mu);
	struct curate_job *j = job_of(m, collection, kind);
	bool running = j && !j->ended;
	if (running)
		cancel_set(&j->cancel);
	pthread_mutex_unlock(&m->mu);
	return running;
}

void curate_progress(
	struct croft *c, int64_t collection, enum curate_kind kind, struct curate_progress *out)
{
	struct curations *m = collections_of(c)->curations;
	pthread_mutex_lock(&m->mu);
	const struct curate_job *j = job_of(m, collection, kind);
	*out = j ? j->progress : (struct curate_progress){0};
	pthread_mutex_unlock(&m->mu);
}
