/* Changes of tracked runs, and reading them: the transactions around documents and series. */
#include "run/retain_int.h"
#include "access/access.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/room.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	FOLD_ROWS = 64,            /* tail rows behind the document before it is stored anew */
	COMPACT_BYTES = 256 << 10, /* of tail, before its points go to the series ... */
	COMPACT_SERIES = 4 << 10,  /* ... and for each series, so that each gets enough of them */
};

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a change of a run");
}

/* ---- making runs ---- */

struct creation {
	struct str project, creator;
	const struct track_new *n;
	struct id id;
	struct str events;
};

static enum err experiment_is_active(
	struct tx *tx, struct str project, int64_t number, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT deleted_ms FROM experiment WHERE project = ? AND number = ?",
		P_TEXT(project), P_I64(number));
	if (e)
		return e;
	if (!row_next(r, &e, et))
		e = e ? e
		      : err_set(et, ERR_NOT_FOUND, "No Experiment with id=%lld exists",
				(long long)number);
	else if (row_i64(r, 0))
		e = err_set(et, ERR_INVALID,
			"The experiment %lld must be in the 'active' state. Current state is "
			"deleted.",
			(long long)number);
	row_free(r);
	return e;
}

static enum err create_in(struct tx *tx, void *ctx, struct errtext *et)
{
	struct creation *cr = ctx;
	enum err e = experiment_is_active(tx, cr->project, cr->n->experiment, et);
	return e ? e
		 : track_store_insert(tx, cr->project, cr->n, cr->id, cr->creator, cr->events, et);
}

enum err track_create(struct croft *c, const struct principal *who, struct str project,
	const struct track_new *n, struct id *id, struct errtext *et)
{
	struct buf b = {0};
	struct creation cr = {
		.project = project, .creator = who ? who->name : S(""), .n = n, .id = id_new()};
	if (n->start_ms < 0 || n->start_ms > INT64_MAX / 1000000)
		return err_set(et, ERR_INVALID, "start_time: milliseconds since 1970 are expected");
	events_begin(&b);
	for (size_t i = 0; i < n->n_tags; i++)
		event_tag(&b, n->tags[i].key, n->tags[i].value);
	events_end(&b);
	cr.events = buf_str(&b);
	struct experiment first;
	struct arena *a = n->experiment ? NULL : arena_new(0);
	enum err e = b.err ? no_memory(et) : OK;
	if (!e && !n->experiment) /* makes it where it is missing */
		e = a ? experiment_get(c, project, 0, a, &first, et) : no_memory(et);
	if (!e)
		e = db_write(croft_db(c), create_in, &cr, et);
	arena_free(a);
	buf_free(&b);
	if (!e)
		*id = cr.id;
	return e;
}

/* ---- changing runs ---- */

struct change {
	struct str project;
	struct id run;
	const struct track_change *ch;
	struct str metrics, rest, name; /* encoded; the new name, .p NULL: none */
};

static enum err must_be_active(const struct head *h, struct errtext *et)
{
	char hex[ID_HEX + 1];
	if (!h->t.deleted_ms)
		return OK;
	id_hex(h->t.id, hex);
	return err_set(et, ERR_INVALID,
		"The run %s must be in the 'active' state. Current state is deleted.", hex);
}

/* A parameter is set once; to set it to the same value again is nothing. */
static enum err put_params(
	const struct change *cg, const struct tracked *t, struct buf *out, struct errtext *et)
{
	char hex[ID_HEX + 1];
	for (size_t i = 0; i < cg->ch->n_params; i++) {
		const struct track_pair *p = &cg->ch->params[i];
		struct str had = tracked_param(t, p->key);
		if (!had.p) {
			event_param(out, p->key, p->value);
			continue;
		}
		if (str_eq(had, p->value))
			continue;
		id_hex(cg->run, hex);
		return err_set(et, ERR_INVALID,
			"Changing param values is not allowed. Param with key='%.*s' was already "
			"logged with value='%.*s' for run ID='%s'. Attempted logging new value "
			"'%.*s'.",
			STR_FMT(str_sub(p->key, 0, 100)), STR_FMT(str_sub(had, 0, 100)), hex,
			STR_FMT(str_sub(p->value, 0, 100)));
	}
	return OK;
}

static enum err check_untag(const struct change *cg, const struct tracked *t, struct errtext *et)
{
	char hex[ID_HEX + 1];
	if (tracked_tag(t, cg->ch->untag).p)
		return OK;
	id_hex(cg->run, hex);
	return err_set(et, ERR_NOT_FOUND, "No tag with name: %.*s in run with id %s",
		STR_FMT(str_sub(cg->ch->untag, 0, 250)), hex);
}

/* ---- points move from the tail to their series ---- */

struct one_series {
	char *key;
	size_t key_n;
	struct points points;
};

struct all_series {
	struct one_series *v;
	size_t n, cap;
	size_t *slots; /* 1 + index; n_slots is a power of two */
	size_t n_slots;
};

static bool more_slots(struct all_series *all)
{
	size_t n = all->n_slots ? all->n_slots * 2 : 64;
	size_t *slots = calloc(n, sizeof *slots);
	if (!slots)
		return false;
	for (size_t i = 0; i < all->n; i++) {
		size_t at = hash64(str_mk(all->v[i].key, all->v[i].key_n)) & (n - 1);
		while (slots[at])
			at = (at + 1) & (n - 1);
		slots[at] = i + 1;
	}
	free(all->slots);
	all->slots = slots;
	all->n_slots = n;
	return true;
}

static struct one_series *series_of(struct all_series *all, struct str key)
{
	if (all->n * 2 >= all->n_slots && !more_slots(all))
		return NULL;
	size_t at = hash64(key) & (all->n_slots - 1);
	for (; all->slots[at]; at = (at + 1) & (all->n_slots - 1)) {
		struct one_series *s = &all->v[all->slots[at] - 1];
		if (str_eq(str_mk(s->key, s->key_n), key))
			return s;
	}
	if (!heap_room(all->v, all->n, all->cap))
		return NULL;
	char *copy = str_dup(key);
	if (!copy)
		return NULL;
	all->v[all->n] = (struct one_series){.key = copy, .key_n = key.n};
	all->slots[at] = all->n + 1;
	return &all->v[all->n++];
}

static enum err collect(void *ctx, struct str key, const struct point *p, size_t n)
{
	struct one_series *s = series_of(ctx, key);
	return s ? points_add(&s->points, p, n) : ERR_NOMEM;
}

static void all_series_free(struct all_series *all)
{
	for (size_t i = 0; i < all->n; i++) {
		free(all->v[i].key);
		free(all->v[i].points.v);
	}
	free(all->v);
	free(all->slots);
}

static enum err compact(struct tx *tx, struct id run, struct errtext *et)
{
	struct all_series all = {0};
	enum err e = track_store_tail_points(tx, run, (struct str){0}, collect, &all, et);
	for (size_t i = 0; i < all.n && !e; i++) {
		points_sort(&all.v[i].points);
		e = series_append(
			tx, run, str_mk(all.v[i].key, all.v[i].key_n), &all.v[i].points, et);
	}
	if (!e)
		e = track_store_drop_tail(tx, run, et);
	all_series_free(&all);
	return e;
}

enum err track_settle(struct tx *tx, struct str project, struct id run, struct errtext *et)
{
	struct head h;
	struct tracked *t = NULL;
	struct arena *a = arena_new(0);
	enum err e = a ? track_store_head(tx, project, run, a, &h, et) : no_memory(et);
	if (!e && h.tail > h.folded) {
		e = track_store_load(tx, &h, &t, et);
		if (!e)
			e = track_store_fold(tx, t, h.tail, et);
		tracked_free(t);
	}
	if (!e && h.tail_bytes)
		e = compact(tx, run, et);
	arena_free(a);
	return e;
}

/* After a change: the document is stored anew when the tail behind it is long or the run has
 * ended, and points go to their series when there are enough. */
static enum err tidy(
	struct tx *tx, const struct change *cg, int64_t bytes_before, struct errtext *et)
{
	struct head h;
	struct tracked *t;
	struct arena *a = arena_new(0);
	enum err e = a ? track_store_head(tx, cg->project, cg->run, a, &h, et) : no_memory(et);
	bool ended = cg->ch->set_status && cg->ch->status >= TRACK_FINISHED;
	bool crossed = h.tail_bytes / COMPACT_BYTES != bytes_before / COMPACT_BYTES;
	bool fold = !e && h.tail > h.folded && (ended || crossed || h.tail - h.folded >= FOLD_ROWS);
	if (fold) {
		e = track_store_load(tx, &h, &t, et);
		if (!e) {
			size_t enough = COMPACT_BYTES + t->n_metrics * COMPACT_SERIES;
			e = track_store_fold(tx, t, h.tail, et);
			if (!e && (size_t)h.tail_bytes > enough)
				e = compact(tx, cg->run, et);
			tracked_free(t);
		}
	}
	arena_free(a);
	return e;
}

static enum err change_in(struct tx *tx, void *ctx, struct errtext *et)
{
	const struct change *cg = ctx;
	const struct track_change *ch = cg->ch;
	struct head h;
	struct tracked *t = NULL;
	struct buf b = {0};
	enum err e = track_store_head(tx, cg->project, cg->run, NULL, &h, et);
	if (!e)
		e = must_be_active(&h, et);
	if (!e && (ch->n_params || ch->untag.p))
		e = track_store_load(tx, &h, &t, et);
	if (e)
		return e;
	events_begin(&b);
	if (ch->n_params)
		e = put_params(cg, t, &b, et);
	if (!e && ch->untag.p)
		e = check_untag(cg, t, et);
	tracked_free(t);
	buf_adds(&b, cg->rest);
	buf_adds(&b, cg->metrics);
	events_end(&b);
	if (!e && b.err)
		e = no_memory(et);
	if (!e)
		e = track_store_append(tx, cg->project, &h, cg->run, buf_str(&b), et);
	if (!e)
		e = track_store_update(tx, cg->run, cg->name, ch->set_status ? (int)ch->status : -1,
			ch->end_ms, et);
	int64_t bytes = h.tail_bytes + (int64_t)b.n;
	buf_free(&b);
	bool ended = ch->set_status && ch->status >= TRACK_FINISHED;
	if (!e && (ended || h.tail + 1 - h.folded >= FOLD_ROWS ||
			  bytes / COMPACT_BYTES != h.tail_bytes / COMPACT_BYTES))
		e = tidy(tx, cg, h.tail_bytes, et);
	return e;
}

static void put_rest(struct buf *b, const struct track_change *ch, struct str *name)
{
	for (size_t i = 0; i < ch->n_tags; i++) {
		event_tag(b, ch->tags[i].key, ch->tags[i].value);
		if (str_eq_c(ch->tags[i].key, "mlflow.runName"))
			*name = ch->tags[i].value;
	}
	if (ch->untag.p)
		event_untag(b, ch->untag);
	for (size_t i = 0; i < ch->n_inputs; i++)
		event_input(b, &ch->inputs[i]);
	for (size_t i = 0; i < ch->n_models_in; i++)
		event_model(b, false, ch->models_in[i].model, ch->models_in[i].step);
	for (size_t i = 0; i < ch->n_models_out; i++)
		event_model(b, true, ch->models_out[i].model, ch->models_out[i].step);
}

enum err track_change(struct croft *c, struct str project, struct id run,
	const struct track_change *ch, struct errtext *et)
{
	struct buf metrics = {0}, rest = {0};
	struct change cg = {.project = project, .run = run, .ch = ch};
	if (ch->end_ms < 0 || ch->end_ms > INT64_MAX / 1000000)
		return err_set(et, ERR_INVALID, "end_time: milliseconds since 1970 are expected");
	enum err e = ch->n_metrics ? events_metrics(&metrics, ch->metrics, ch->n_metrics) : OK;
	put_rest(&rest, ch, &cg.name);
	if (e || metrics.err || rest.err)
		e = no_memory(et);
	cg.metrics = buf_str(&metrics);
	cg.rest = buf_str(&rest);
	if (!e)
		e = db_write(croft_db(c), change_in, &cg, et);
	buf_free(&metrics);
	buf_free(&rest);
	return e;
}

/* ---- deleting ---- */

struct deletion {
	const struct principal *who;
	struct str project;
	struct id run;
	bool restore;
	int64_t now_ms;
};

static enum err delete_in(struct tx *tx, void *ctx, struct errtext *et)
{
	const struct deletion *d = ctx;
	struct head h;
	char hex[ID_HEX + 1], subject[64];
	enum err e = track_store_head(tx, d->project, d->run, NULL, &h, et);
	if (e || (h.t.deleted_ms == 0) == d->restore)
		return e; /* as it should be already */
	e = d->restore ? OK : retain_not_held(tx, d->run, et);
	if (e)
		return e;
	e = track_store_mark(
		tx, d->project, h.t.experiment, d->run, d->restore ? 0 : d->now_ms, et);
	id_hex(d->run, hex);
	snprintf(subject, sizeof subject, "run %s", hex);
	return e ? e
		 : audit_add(tx, d->who, d->restore ? "run.restore" : "run.delete", str_c(subject),
			   (struct str){0}, et);
}

enum err track_delete(struct croft *c, const struct principal *who, struct str project,
	struct id run, bool restore, struct errtext *et)
{
	struct deletion d = {who, project, run, restore, clock_unix_ms()};
	return db_write(croft_db(c), delete_in, &d, et);
}

/* ---- reading ---- */

enum err track_get(struct croft *c, struct str project, struct id run, struct tracked **out,
	struct errtext *et)
{
	struct tx *tx;
	struct head h;
	struct arena *a = arena_new(0);
	enum err e = a ? db_begin(croft_db(c), TX_READ, &tx, et) : no_memory(et);
	if (!e) {
		e = track_store_head(tx, project, run, a, &h, et);
		if (!e)
			e = track_store_load(tx, &h, out, et);
		db_rollback(tx);
	}
	arena_free(a);
	return e;
}

static enum err add_points(void *ctx, struct str key, const struct point *p, size_t n)
{
	return points_add(ctx, p, n);
}

/* A read transaction with the tail's points of a series, sorted; the caller ends it. */
static enum err open_series(struct croft *c, struct str project, struct id run, struct str key,
	struct tx **tx, struct points *tail, struct errtext *et)
{
	struct head h;
	enum err e = db_begin(croft_db(c), TX_READ, tx, et);
	if (e)
		return e;
	e = track_store_head(*tx, project, run, NULL, &h, et);
	if (!e && h.tail_bytes)
		e = track_store_tail_points(*tx, run, key, add_points, tail, et);
	if (e) {
		db_rollback(*tx);
		return e;
	}
	points_sort(tail);
	return OK;
}

enum err track_history(struct croft *c, struct str project, struct id run, struct str key,
	int64_t offset, int64_t limit, struct point **points, size_t *n, bool *more,
	struct rolled_up *rolled, struct errtext *et)
{
	struct tx *tx;
	struct points tail = {0}, out = {0};
	enum err e = open_series(c, project, run, key, &tx, &tail, et);
	if (!e) {
		e = series_read(tx, run, key, &tail, offset, limit, &out, more, rolled, et);
		db_rollback(tx);
	}
	free(tail.v);
	if (e) {
		free(out.v);
		return e;
	}
	*points = out.v;
	*n = out.n;
	return OK;
}

enum err track_chart(struct croft *c, struct str project, struct id run, struct str key,
	const struct chart *ch, struct charted *out, struct errtext *et)
{
	struct tx *tx;
	struct points tail = {0};
	enum err e = open_series(c, project, run, key, &tx, &tail, et);
	if (!e) {
		e = series_chart(tx, run, key, &tail, ch, out, et);
		db_rollback(tx);
	}
	free(tail.v);
	return e;
}
