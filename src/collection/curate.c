/* Curation of collections: background jobs (jobs.h), their results kept in the database.
 *
 * A job reads the items in one transaction, works, and writes its row. Nothing is written when it
 * fails or is stopped: the result that was there stays. */
#include "base/clock.h"
#include "collection/curate_int.h"
#include "collection/jobs.h"
#include "collection/map_int.h"
#include "collection/part.h"
#include "vector/layout.h"

#include <math.h>
#include <stdlib.h>

struct curate_job {
	struct croft *c;
	const struct jobs_work *w; /* while it runs */
	struct arena *a;           /* of the options and the spaces */
	int64_t collection;
	enum curate_kind kind;
	struct space *spaces;
	size_t n_spaces;
	const struct space *space;
	struct curate_options o;
	const struct cond *filter;
	struct str project, name;
	bool lazy; /* a copy that has its items only when it is opened */
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

static enum err fill_copy(struct curate_job *j, struct errtext *et)
{
	struct collection *k = NULL;
	enum err e =
		j->lazy ? collection_open(j->c, j->project, j->name, &k, j->w->cancel, et) : OK;
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
		.filter = j->filter,
		.labels = j->o.label.n > 0,
		.scores = j->o.scores.n > 0,
		.worth = j->kind == CURATE_DUPLICATES && j->o.keep != KEEP_CENTRE,
		.max_bytes = (size_t)setting_int(j->c, "collection.curate_bytes"),
		/* short rows and what is found; neighbours, the edges of their graph; where they
		 * come from the index, its halves of the numbers and its links */
		.row_bytes = 320 + 24 * (size_t)j->o.k + 2 * (size_t)j->space->dim + 200,
		.cancel = j->w->cancel};
	struct curate_found found = {0};
	struct kern_team *team = NULL;
	uint64_t began = clock_mono_ns();
	jobs_tell(j->w->self, "reading", 0, 0);
	enum err e = fill_copy(j, et);
	e = e ? e : curate_read(j->c, j->collection, &x, et);
	if (!e && x.n < 2)
		e = err_set(et, ERR_CONFLICT,
			"curation needs at least two items with vectors; there are %zu", x.n);
	e = e ? e : kern_team_new(MAX(cpu_count() / 2, 1u), &team, et);
	struct layout_work w = {team, j->w->cancel, jobs_tell, j->w->self};
	e = e ? e : curate_work(j->kind, &x, &w, &found, et);
	kern_team_free(team);
	e = e ? e : keep(j, &x, &found, (int64_t)((clock_mono_ns() - began) / 1000000), et);
	curate_found_free(&found);
	curate_rows_free(&x);
	return e;
}

static enum err run(const struct jobs_work *w, struct errtext *et)
{
	struct curate_job *j = w->ctx;
	j->w = w;
	return make(j, et);
}

/* ---- jobs ---- */

enum err curations_new(struct jobs **out, struct errtext *et)
{
	_Static_assert(CURATE_AT_ONCE == 2, "the text says so");
	return jobs_new(
		&(struct jobs_kind){.thread = "curate",
			.busy = "two collections are being curated at present: wait for one of "
				"them",
			.what = "curation of a collection",
			.at_once = CURATE_AT_ONCE},
		out, et);
}

static bool copy_texts(struct curate_job *j)
{
	struct str *texts[] = {
		&j->o.label, &j->o.scores, &j->o.keep_field, &j->o.filter, &j->project, &j->name};
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
	e = part_takes(j->space, "curation", et);
	if (!e && j->space->distance == DISTANCE_L1)
		e = err_set(et, ERR_UNSUPPORTED,
			"curation compares by Cosine or Euclid: not for Manhattan");
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
	if (!copy_texts(j))
		return no_memory(et);
	return part_read(c, k.number, j->o.filter, j->a, &j->filter, et);
}

enum err curate_start(struct croft *c, struct str project, struct str name, enum curate_kind kind,
	const struct curate_options *o, struct errtext *et)
{
	struct arena *a = arena_new(0);
	struct curate_job *j = a ? arena_new_of(a, struct curate_job) : NULL;
	struct str twice = a ? arena_fmt(a, "%s of this collection are being looked for already",
				       curate_word(kind))
			     : (struct str){0};
	enum err e = j && twice.p ? OK : no_memory(et);
	if (!e) {
		j->a = a;
		j->kind = kind;
		e = prepare(c, project, name, o, j, et);
	}
	e = e ? e
	      : jobs_start(collections_of(c)->curations,
			&(struct jobs_new_one){.collection = j->collection,
				.number = (int)kind,
				.arena = a,
				.ctx = j,
				.run = run,
				.stop = croft_stopping(c),
				.twice = twice.p},
			et);
	if (e)
		arena_free(a);
	return e;
}
