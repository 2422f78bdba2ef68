/* Migrations of spaces: begin, cut over, go back, drop. Which space has the name changes in the
 * same transaction as the state of the migration. */
#include "collection/held.h"
#include "collection/migrate_int.h"
#include "access/access.h"
#include "base/clock.h"
#include "base/hash.h"
#include "store/queue.h"

#include <stdlib.h>

enum { NAMED_MAX = 10, MIGRATIONS_LISTED = 20, FAILURES_LISTED = 100 };

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a migration");
}

/* ---- what follows ---- */

static bool any_follows(const struct layout *l)
{
	for (size_t s = 0; s < l->n; s++)
		if (space_follows(&l->spaces[s]))
			return true;
	return false;
}

static bool has_vector(const struct collection_item *it, size_t place)
{
	for (size_t i = 0; i < it->n_vectors; i++)
		if (it->vectors[i].place == place)
			return true;
	return false;
}

enum err migrate_queue(
	struct tx *tx, int64_t collection, struct str id, int64_t place, struct errtext *et)
{
	char body[96];
	snprintf(body, sizeof body, "%lld %lld %.*s", (long long)collection, (long long)place,
		STR_FMT(id));
	return queue_add(tx, MIGRATE_QUEUE, str_c(body),
		&(struct queue_options){.attempts_max = 1 << 20, .only_one = str_c(body)}, NULL,
		et);
}

/* The migration that fills a place: the newest that has to do with it. */
static enum err queue_place(struct tx *tx, int64_t collection, int64_t place, struct errtext *et)
{
	struct migration_row *list;
	size_t n, i = 0;
	struct arena *a = arena_new(0);
	enum err e = a ? store_migrations(tx, collection, MIGRATIONS_LISTED, a, &list, &n, et)
		       : no_memory(et);
	while (!e && i < n && list[i].to_place != place && list[i].from_place != place)
		i++;
	/* One that is preparing has its job, which does not end before all is done. */
	if (!e && i < n && list[i].state != MIGRATION_PREPARING)
		e = migrate_queue(tx, collection, list[i].id, place, et);
	arena_free(a);
	return e;
}

static bool has_text(const struct space *s, const struct collection_item *it)
{
	if (it->text.n || !s->field.n)
		return it->text.n > 0;
	struct arena *a = arena_new(0);
	struct str t = a ? text_in_field(it->payload, s->field, a) : S("");
	bool has = t.n > 0;
	arena_free(a);
	return has;
}

enum err lacking_note(struct tx *tx, const struct layout *l, int64_t collection, int64_t num,
	const struct collection_item *it, uint32_t *places, struct errtext *et)
{
	enum err e = OK;
	for (size_t p = 0; p < l->n && !e; p++) {
		const struct space *s = &l->spaces[p];
		if (!space_follows(s))
			continue;
		if (has_vector(it, p)) {
			e = store_lacking_del(tx, collection, (int64_t)p, num, et);
			continue;
		}
		bool makes = s->model.n && has_text(s, it);
		e = store_lacking_put(
			tx, collection, (int64_t)p, num, makes ? S("") : S(NO_TEXT), et);
		*places |= makes ? 1u << p : 0;
	}
	return e;
}

enum err lacking_tell(struct tx *tx, int64_t collection, uint32_t makes, struct errtext *et)
{
	enum err e = OK;
	for (int64_t p = 0; p < COLLECTION_SPACES_MAX && !e; p++)
		if (makes >> p & 1)
			e = queue_place(tx, collection, p, et);
	return e;
}

enum err lacking_forget(
	struct tx *tx, const struct layout *l, int64_t collection, int64_t num, struct errtext *et)
{
	return any_follows(l) ? store_lacking_clear(tx, collection, num, 0, et) : OK;
}

/* ---- what it would be ---- */

struct counting {
	struct arena *a;
	struct item_row *rows;
	size_t n;
};

static enum err take_row(void *ctx, const struct item_row *r, struct errtext *et)
{
	struct counting *x = ctx;
	struct item_row *to = &x->rows[x->n++];
	*to = (struct item_row){.num = r->num,
		.id = arena_str(x->a, r->id),
		.payload = arena_str(x->a, r->payload),
		.text = arena_str(x->a, r->text)};
	return to->id.p && to->payload.p && to->text.p ? OK : no_memory(et);
}

static void name_item(struct str id, int64_t nth, struct buf *names)
{
	if (nth > NAMED_MAX)
		return;
	buf_addc(names, nth == NAMED_MAX ? ", ..." : nth ? ", " : "");
	if (nth < NAMED_MAX)
		item_id_text(id, names);
}

/* One page of items: which have no text, whose text this model knows. */
static enum err count_page(struct tx *tx, int64_t collection, const struct space *to, size_t max,
	int64_t *after, struct migration_plan *p, struct buf *names, bool *more, struct errtext *et)
{
	struct counting x = {arena_new(0), NULL, 0};
	float *v = malloc(to->dim * sizeof *v);
	x.rows = x.a ? arena_array_of(x.a, max, struct item_row) : NULL;
	enum err e = x.rows && v ? store_items_after(
					   tx, collection, *after, INT64_MAX, max, take_row, &x, et)
				 : no_memory(et);
	for (size_t i = 0; i < x.n && !e; i++) {
		struct str text;
		uint8_t digest[SHA256_BYTES];
		*after = x.rows[i].num;
		e = text_of_item(tx, &x.rows[i], to->field, x.a, &text, et);
		if (e)
			break;
		p->items++;
		if (!text.n) {
			name_item(x.rows[i].id, p->without++, names);
			continue;
		}
		sha256_of(text, digest);
		e = store_embedding(
			tx, to->identity, str_mk(digest, sizeof digest), v, to->dim, et);
		p->known += !e;
		e = e == ERR_NOT_FOUND ? OK : e;
	}
	*more = x.n == max;
	arena_free(x.a);
	free(v);
	return e;
}

static enum err count_texts(struct croft *c, int64_t collection, const struct space *to,
	struct migration_plan *p, struct buf *names, const struct cancel *cancel,
	struct errtext *et)
{
	enum { PAGE = 512 };
	int64_t after = 0;
	bool more = true;
	enum err e = OK;
	while (!e && more) {
		struct tx *tx;
		e = cancelled(cancel) ? err_set(et, ERR_CANCELLED, "the count was cancelled")
				      : db_begin(croft_db(c), TX_READ, &tx, et);
		if (e)
			break;
		e = count_page(tx, collection, to, PAGE, &after, p, names, &more, et);
		db_rollback(tx);
	}
	return e;
}

static enum err plan_bytes(const struct space *s, int64_t items, uint64_t *out, struct errtext *et)
{
	struct vindex_bytes b;
	struct vindex_options o = {.dim = s->dim, .metric = shelf_metric(s)};
	enum err e = vindex_plan(&o, (uint64_t)items, &b, et);
	*out = e ? 0 : b.total;
	return e;
}

static enum err make_plan(struct croft *c, struct collection *k, const struct space *from,
	const struct space *to, struct arena *a, struct migration_plan *p,
	const struct cancel *cancel, struct errtext *et)
{
	struct buf names = {0};
	*p = (struct migration_plan){
		.from_dim = from->dim, .to_dim = to->dim, .from_model = from->model};
	enum err e = count_texts(c, k->number, to, p, &names, cancel, et);
	e = e ? e : plan_bytes(from, p->items, &p->from_bytes, et);
	e = e ? e : plan_bytes(to, p->items, &p->to_bytes, et);
	p->stored_bytes = (uint64_t)(p->items - p->without) * to->dim * sizeof(float);
	p->examples = arena_str(a, buf_str(&names));
	buf_free(&names);
	return e || p->examples.p ? e : no_memory(et);
}

/* ---- begin ---- */

struct beginning {
	struct croft *c;
	const struct http_request *rq;
	const struct migration_options *o;
	const struct space *from;
	struct space to;
	const struct migration_plan *plan;
	struct str project, id;
	char name[COLLECTION_NAME_MAX + 16], gone[COLLECTION_SPACES_MAX][16];
};

static enum err note_audit(struct tx *tx, const struct http_request *rq, const char *action,
	struct str collection, const struct migration_row *m, struct errtext *et)
{
	struct buf b = {0}, subject = {0};
	struct jw w = {.out = &b};
	buf_addf(&subject, "collection/%.*s", STR_FMT(collection));
	jw_obj(&w);
	jw_kstr(&w, "migration", m->id);
	jw_kstr(&w, "from", m->from_model);
	jw_kstr(&w, "to", m->to_model);
	jw_end(&w);
	enum err e = b.err || subject.err ? no_memory(et)
					  : audit_add(tx, rq ? rq->who : NULL, action,
						    buf_str(&subject), buf_str(&b), et);
	buf_free(&b);
	buf_free(&subject);
	return e;
}

static enum err find_place(const struct space *spaces, size_t n, size_t *out, struct errtext *et)
{
	for (size_t i = 0; i < n; i++)
		if (spaces[i].role == SPACE_FREE) {
			*out = i;
			return OK;
		}
	*out = n;
	return n < COLLECTION_SPACES_MAX
		       ? OK
		       : err_set(et, ERR_LIMIT,
				 "the collection has %d kinds of vectors, those that are being "
				 "swept counted: no other can be added now",
				 COLLECTION_SPACES_MAX);
}

static enum err begin_in(void *ctx, struct tx *tx, const struct collection_row *row,
	struct space *spaces, size_t *n, struct errtext *et)
{
	struct beginning *b = ctx;
	struct space *from = &spaces[b->from->place];
	size_t at;
	if (from->role != SPACE_NAMED || from->twin != from->place ||
		!str_eq(from->name, b->from->name))
		return err_set(et, ERR_CONFLICT,
			"the vectors \"%.*s\" of %.*s are moving to another model already: see "
			"croft migration status",
			STR_FMT(b->from->name), STR_FMT(row->name));
	enum err e = space_plain(from, "moving to another model", et);
	e = e ? e : find_place(spaces, *n, &at, et);
	if (e)
		return e;
	*n = MAX(*n, at + 1);
	from->twin = (uint8_t)at;
	from = &spaces[b->from->place];
	snprintf(b->name, sizeof b->name, "%.*s:next", STR_FMT(from->name));
	spaces[at] = (struct space){.name = str_c(b->name),
		.dim = b->to.dim,
		.distance = from->distance,
		.model = b->to.model,
		.identity = b->to.identity,
		.role = SPACE_NEXT,
		.place = (uint8_t)at,
		.twin = from->place,
		.since = row->seq,
		.shadow = b->o->shadow,
		.field = b->to.field};
	struct migration_row m = {.id = b->id,
		.project = b->project,
		.collection = row->number,
		.space = from->name,
		.from_model = from->model,
		.to_model = b->to.model,
		.field = b->to.field,
		.from_place = from->place,
		.to_place = (int64_t)at,
		.from_dim = from->dim,
		.to_dim = b->to.dim,
		.state = MIGRATION_PREPARING,
		.total = row->items,
		.last = row->next_num - 1,
		.skip = b->o->skip_without_text,
		.shadow = b->o->shadow,
		.stalled = S(""),
		.judged = S(""),
		.begun_ms = clock_unix_ms(),
		.batch_ms = clock_unix_ms()};
	e = store_migration_add(tx, &m, et);
	e = e ? e : store_lacking_clear(tx, row->number, 0, (int64_t)at, et);
	e = e ? e : migrate_queue(tx, row->number, b->id, (int64_t)at, et);
	return e ? e : note_audit(tx, b->rq, "collection.migrate", row->name, &m, et);
}

static enum err check_begin(struct collection *k, const struct space *s, struct space *to,
	struct str name, struct errtext *et)
{
	if (!s || s->role != SPACE_NAMED)
		return err_set(et, ERR_INVALID, "%.*s has no vectors named \"%.*s\"",
			STR_FMT(k->name), STR_FMT(str_sub(name, 0, 100)));
	if (s->twin != s->place)
		return err_set(et, ERR_CONFLICT,
			"the vectors \"%.*s\" of %.*s are moving to another model already: see "
			"croft migration status",
			STR_FMT(s->name), STR_FMT(k->name));
	(void)to;
	return backend_in_memory(k, "moving to another model", et);
}

static enum err check_texts(const struct migration_plan *p, struct str field, struct errtext *et)
{
	if (p->items && p->without == p->items)
		return err_set(et, ERR_CONFLICT,
			"none of the %lld items has a text that could be embedded%s",
			(long long)p->items,
			field.n ? "" : ": name the field of the payloads that has one (field)");
	return err_set(et, ERR_CONFLICT,
		"%lld of %lld items have no text and cannot be embedded (%.*s): give them one, "
		"name "
		"the field of the payloads that has it (field), or leave them out "
		"(skip_without_text): then they are not found after the cut-over",
		(long long)p->without, (long long)p->items, STR_FMT(p->examples));
}

/* Until one is dropped there are two indexes. */
static enum err room_for_both(
	struct collection *k, const struct migration_plan *p, struct errtext *et)
{
	struct memory_state m;
	memory_of(k, layout_of(k), 0, &m);
	if (!m.limit || m.now + p->to_bytes <= m.limit)
		return OK;
	return err_set(et, ERR_LIMIT,
		"the indexes of %.*s take %llu bytes; the other beside them would make it %llu, "
		"the limit is %llu: raise it (croft collections set %.*s --memory)",
		STR_FMT(k->name), (unsigned long long)m.now,
		(unsigned long long)(m.now + p->to_bytes), (unsigned long long)m.limit,
		STR_FMT(k->name));
}

static enum err begin(struct croft *c, const struct http_request *rq, struct collection *k,
	const struct migration_options *o, struct arena *a, struct str *id,
	struct migration_plan *plan, struct errtext *et)
{
	struct beginning b = {.c = c, .rq = rq, .o = o, .plan = plan, .project = k->project};
	b.from = collection_space(k, o->space);
	b.to = (struct space){
		.name = S("vectors"), .model = o->model, .identity = S(""), .field = o->field};
	enum err e = check_begin(k, b.from, &b.to, o->space, et);
	e = e ? e : space_settle(c, &b.to, a, et);
	if (!e && (!b.to.dim || b.to.dim > COLLECTION_DIM_MAX))
		e = err_set(et, ERR_UNSUPPORTED,
			"%.*s makes vectors of %u numbers: 1 to %d are possible", STR_FMT(o->model),
			b.to.dim, COLLECTION_DIM_MAX);
	if (!e && str_eq(b.to.identity, b.from->identity))
		e = err_set(et, ERR_CONFLICT, "%.*s is what the vectors are made with now",
			STR_FMT(o->model));
	b.to.distance = e ? 0 : b.from->distance;
	e = e ? e : make_plan(c, k, b.from, &b.to, a, plan, rq->cancel, et);
	if (!e && !o->plan && plan->without && !o->skip_without_text)
		e = check_texts(plan, o->field, et);
	if (!e && !o->plan)
		e = room_for_both(k, plan, et);
	if (!e && !o->plan) {
		char hex[ID_HEX + 1];
		id_hex(id_new(), hex);
		b.id = arena_str(a, str_c(hex));
		e = b.id.p ? layout_change(k, begin_in, &b, et) : no_memory(et);
	}
	if (!e)
		*id = o->plan ? S("") : b.id;
	return e;
}

enum err migrate_begin(struct croft *c, const struct http_request *rq, struct str name,
	const struct migration_options *o, struct arena *a, struct str *id,
	struct migration_plan *plan, struct errtext *et)
{
	struct collection *k = NULL;
	enum err e = collection_open(c, project_of(rq), name, &k, rq->cancel, et);
	e = e ? e : begin(c, rq, k, o, a, id, plan, et);
	collection_close(k);
	if (!e)
		migrate_wake(c);
	return e;
}

/* ---- the steps ---- */

struct stepping {
	const struct http_request *rq;
	struct str id;
	enum migration_step step;
	bool skip_failed;
	struct arena *a;
	char named[COLLECTION_NAME_MAX + 16], other[COLLECTION_NAME_MAX + 16];
};

static enum err not_now(
	const struct migration_row *m, const char *what, const char *needs, struct errtext *et)
{
	return err_set(et, ERR_CONFLICT,
		"the migration to %.*s is %s: %s is possible when it is %s", STR_FMT(m->to_model),
		migration_word(m->state), what, needs);
}

static enum err check_step(
	const struct migration_row *m, enum migration_step step, struct errtext *et)
{
	enum migration_state s = m->state;
	switch (step) {
	case STEP_CUT:
		if (s == MIGRATION_PREPARING)
			return err_set(et, ERR_CONFLICT,
				"the migration to %.*s is preparing: %lld of %lld items are done; "
				"a cut-over is possible when it is ready",
				STR_FMT(m->to_model), (long long)m->done, (long long)m->total);
		return s == MIGRATION_READY || s == MIGRATION_ROLLED_BACK
			       ? OK
			       : not_now(m, "a cut-over", "ready or rolled_back", et);
	case STEP_BACK:
		return s == MIGRATION_CUT_OVER ? OK : not_now(m, "going back", "cut_over", et);
	case STEP_DROP:
		return s == MIGRATION_CUT_OVER || s == MIGRATION_ROLLED_BACK
			       ? OK
			       : not_now(m, "dropping the other space",
					 "cut_over or rolled_back (before: cancel)", et);
	case STEP_CANCEL:
		return s == MIGRATION_PREPARING || s == MIGRATION_READY ||
				       s == MIGRATION_ROLLED_BACK
			       ? OK
			       : not_now(m, "cancelling", "preparing, ready or rolled_back", et);
	}
	return OK;
}

/* Nobody is to find less after a cut-over than before without having said so. */
static enum err check_lacking(
	struct stepping *x, struct tx *tx, const struct migration_row *m, struct errtext *et)
{
	struct lacking l;
	struct lacking_item *list;
	struct buf names = {0};
	size_t n = 0;
	enum err e = store_lacking_count(tx, m->collection, m->to_place, &l, et);
	if (!e && l.pending)
		return err_set(et, ERR_CONFLICT,
			"%lld items that changed a moment ago are still to be embedded: try again",
			(long long)l.pending);
	if (e || x->skip_failed || (!l.failed && (m->skip || !l.without)))
		return e;
	e = store_lacking_list(tx, m->collection, m->to_place, NAMED_MAX + 1, x->a, &list, &n, et);
	for (size_t i = 0; i < n && !e; i++)
		name_item(list[i].id, (int64_t)i, &names);
	if (!e)
		e = err_set(et, ERR_CONFLICT,
			"%lld items would not be found after the cut-over (%s), the first because: "
			"%.*s; change them, or accept it (skip_failed)",
			(long long)(l.failed + l.without), buf_c(&names),
			n ? (int)MIN(list[0].reason.n, 120u) : 0, n ? list[0].reason.p : "");
	buf_free(&names);
	return e;
}

static void rename_space(
	struct space *s, enum space_role role, char *buf, size_t n, struct str base)
{
	static const char *const tails[] = {"", ":next", ":former"};
	snprintf(buf, n, "%.*s%s", STR_FMT(base), role <= SPACE_FORMER ? tails[role] : "");
	s->name = str_c(buf);
	s->role = role;
}

/* The one that is to be gone is `other`; the one that stays has the name. */
static void drop_space(struct stepping *x, struct space *stays, struct space *other)
{
	snprintf(x->other, sizeof x->other, ":gone%u", other->place);
	other->name = str_c(x->other);
	other->role = SPACE_GONE;
	other->twin = other->place;
	stays->twin = stays->place;
}

static enum err step_in(void *ctx, struct tx *tx, const struct collection_row *row,
	struct space *spaces, size_t *n, struct errtext *et)
{
	static const char *const actions[] = {"collection.migration.cutover",
		"collection.migration.back", "collection.migration.drop",
		"collection.migration.cancel"};
	struct stepping *x = ctx;
	struct migration_row m;
	int64_t now = clock_unix_ms();
	enum err e = store_migration(tx, x->id, x->a, &m, et);
	e = e ? e : check_step(&m, x->step, et);
	if (!e && ((size_t)m.from_place >= *n || (size_t)m.to_place >= *n))
		e = err_set(et, ERR_CORRUPT, "the spaces of a migration are not there");
	if (!e && x->step == STEP_CUT)
		e = check_lacking(x, tx, &m, et);
	if (e)
		return e;
	struct space *from = &spaces[m.from_place], *to = &spaces[m.to_place];
	bool moved = m.state == MIGRATION_CUT_OVER;
	m.ended_ms = x->step >= STEP_DROP ? now : 0;
	from->shadow = to->shadow = m.shadow;
	if (x->step == STEP_CUT) {
		rename_space(to, SPACE_NAMED, x->named, sizeof x->named, m.space);
		rename_space(from, SPACE_FORMER, x->other, sizeof x->other, m.space);
		m.cut_ms = now;
		m.state = MIGRATION_CUT_OVER;
	} else if (x->step == STEP_BACK) {
		rename_space(from, SPACE_NAMED, x->named, sizeof x->named, m.space);
		rename_space(to, SPACE_NEXT, x->other, sizeof x->other, m.space);
		m.state = MIGRATION_ROLLED_BACK;
	} else {
		drop_space(x, moved ? to : from, moved ? from : to);
		m.state = x->step == STEP_DROP ? MIGRATION_DROPPED : MIGRATION_CANCELLED;
		int64_t gone = moved ? m.from_place : m.to_place;
		e = store_lacking_clear(tx, row->number, 0, gone, et);
		e = e ? e : store_recall_clear(tx, row->number, gone, et);
		e = e ? e : migrate_queue(tx, row->number, S(""), gone, et);
	}
	e = e ? e : store_migration_set(tx, &m, et);
	return e ? e : note_audit(tx, x->rq, actions[x->step], row->name, &m, et);
}

/* The newest, when none is named. */
static enum err find_migration(struct croft *c, int64_t collection, struct str id, struct arena *a,
	struct str *out, struct errtext *et)
{
	struct migration_row *list = NULL;
	struct tx *tx;
	size_t n = 0;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = store_migrations(tx, collection, MIGRATIONS_LISTED, a, &list, &n, et);
	db_rollback(tx);
	for (size_t i = 0; i < n && !e; i++)
		if (!id.n || str_eq(list[i].id, id)) {
			*out = list[i].id;
			return OK;
		}
	return e ? e
		 : err_set(et, ERR_NOT_FOUND,
			   "the collection has no %s: croft collections migrate NAME --to MODEL "
			   "begins one",
			   id.n ? "migration of this id" : "migration");
}

enum err migrate_advance(struct croft *c, const struct http_request *rq, struct str name,
	struct str id, enum migration_step step, bool skip_failed, struct errtext *et)
{
	struct stepping x = {.rq = rq, .step = step, .skip_failed = skip_failed, .a = arena_new(0)};
	struct collection *k = NULL;
	enum err e =
		x.a ? collection_open(c, project_of(rq), name, &k, rq->cancel, et) : no_memory(et);
	e = e ? e : find_migration(c, k->number, id, x.a, &x.id, et);
	e = e ? e : layout_change(k, step_in, &x, et);
	collection_close(k);
	arena_free(x.a);
	if (!e)
		migrate_wake(c);
	return e;
}

/* ---- judged queries ---- */

struct judging {
	int64_t collection;
	uint8_t from, to;
	struct str json;
	struct arena *a;
};

static enum err judged_in(struct tx *tx, void *ctx, struct errtext *et)
{
	struct judging *j = ctx;
	struct migration_row *list;
	size_t n, i = 0;
	enum err e = store_migrations(tx, j->collection, MIGRATIONS_LISTED, j->a, &list, &n, et);
	while (!e && i < n && (list[i].from_place != j->from || list[i].to_place != j->to))
		i++;
	return e || i == n ? e : store_migration_judged(tx, list[i].id, j->json, et);
}

enum err migrate_judged(
	struct collection *k, uint8_t from, uint8_t to, struct str json, struct errtext *et)
{
	struct judging j = {k->number, from, to, json, arena_new(0)};
	enum err e = j.a ? db_write(croft_db(k->c), judged_in, &j, et) : no_memory(et);
	arena_free(j.a);
	return e;
}

/* ---- as JSON ---- */

static void write_time(struct jw *w, const char *key, int64_t ms)
{
	char t[CLOCK_TEXT];
	if (ms)
		clock_rfc3339(ms, t);
	jw_kc(w, key, ms ? t : NULL);
}

static void write_failures(struct jw *w, const struct lacking_item *list, size_t n)
{
	jw_key(w, "failures");
	jw_arr(w);
	for (size_t i = 0; i < n; i++) {
		struct buf id = {0};
		item_id_text(list[i].id, &id);
		jw_obj(w);
		jw_kstr(w, "id", buf_str(&id));
		jw_kstr(w, "reason", list[i].reason);
		jw_end(w);
		buf_free(&id);
	}
	jw_end(w);
}

static void write_progress(struct jw *w, const struct migration_row *m, const struct lacking *l)
{
	bool running = m->state == MIGRATION_PREPARING && m->rate > 0;
	jw_ki64(w, "total", m->total);
	jw_ki64(w, "done", MIN(m->done, m->total));
	jw_ki64(w, "embedded", m->made);
	jw_ki64(w, "known", m->known);
	jw_ki64(w, "pending", l->pending);
	jw_ki64(w, "without_text", l->without);
	jw_ki64(w, "failed", l->failed);
	jw_kf64(w, "rate", m->state == MIGRATION_PREPARING ? m->rate : 0);
	jw_key(w, "left_s");
	if (running)
		jw_f64(w, (double)MAX(m->total - m->done, 0) / m->rate);
	else
		jw_null(w);
	jw_kc(w, "stalled", m->stalled.n ? m->stalled.p : NULL);
}

static enum err write_migration(struct croft *c, struct tx *tx, const struct migration_row *m,
	struct arena *a, struct jw *w, struct errtext *et)
{
	struct lacking l = {0};
	struct lacking_item *list = NULL;
	size_t n = 0;
	bool ended = m->state >= MIGRATION_DROPPED;
	int64_t other = m->state == MIGRATION_CUT_OVER ? m->from_place : m->to_place;
	enum err e = ended ? OK : store_lacking_count(tx, m->collection, other, &l, et);
	if (!e && !ended)
		e = store_lacking_list(tx, m->collection, other, FAILURES_LISTED, a, &list, &n, et);
	if (e)
		return e;
	jw_obj(w);
	jw_kstr(w, "id", m->id);
	jw_kc(w, "state", migration_word(m->state));
	jw_kstr(w, "space", m->space);
	jw_kc(w, "from", m->from_model.n ? m->from_model.p : NULL);
	jw_ki64(w, "from_size", m->from_dim);
	jw_kstr(w, "to", m->to_model);
	jw_ki64(w, "to_size", m->to_dim);
	jw_kbool(w, "skip_without_text", m->skip != 0);
	jw_kf64(w, "shadow", m->shadow);
	write_progress(w, m, &l);
	write_failures(w, list, n);
	e = shadow_write(c, tx, m->id, a, w, et);
	jw_key(w, "judged");
	if (m->judged.n)
		jw_raw(w, m->judged);
	else
		jw_null(w);
	write_time(w, "begun", m->begun_ms);
	write_time(w, "ready", m->ready_ms);
	write_time(w, "cut_over", m->cut_ms);
	write_time(w, "ended", m->ended_ms);
	jw_end(w);
	return e;
}

enum err migrate_list(struct croft *c, struct str project, struct str name, struct arena *a,
	struct jw *w, struct errtext *et)
{
	struct collection_row k;
	struct migration_row *list = NULL;
	struct tx *tx;
	size_t n = 0;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = store_collection_by_name(tx, project, name, a, &k, et);
	e = e ? e : store_migrations(tx, k.number, MIGRATIONS_LISTED, a, &list, &n, et);
	jw_obj(w);
	jw_key(w, "migrations");
	jw_arr(w);
	for (size_t i = 0; i < n && !e; i++)
		e = write_migration(c, tx, &list[i], a, w, et);
	jw_end(w);
	jw_end(w);
	db_rollback(tx);
	return e;
}
