/* The worker of migrations: embeds what was there when one began, page by page in the order of the
 * items' numbers, then what was left over since; and takes the vectors of a space that was dropped
 * out of the items. Each page is one transaction that also says how far it got, so a worker that
 * is killed goes on from there, and what it embedded is not embedded again. */
#include "collection/migrate_int.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/worker.h"

#include <stdlib.h>

enum { PAGE = 64, THREADS = 2, RETRY_MS = 5000, SWEEP_PAGE = 500 };

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a migration");
}

/* What one page of items needs and becomes. */
struct page {
	struct croft *c;
	struct collection *k;
	const struct layout *l;
	const struct space *to;
	struct migration_row *m;
	int64_t place;
	struct arena *a;
	bool first_pass;
	struct item_row rows[PAGE];
	bool has[PAGE]; /* a vector of the place */
	size_t n;
	struct str texts[PAGE]; /* of those that are to be embedded */
	struct fill fills[PAGE];
	size_t n_fills;
	struct str reasons[PAGE]; /* of rows that get none; .p NULL: nothing is known */
	size_t made, known, n_reasons;
	size_t *at_once; /* texts that the model takes in one request, as far as is known */
	bool place_gone, ready;
};

/* ---- reading ---- */

static enum err take_row(void *ctx, const struct item_row *r, struct errtext *et)
{
	struct page *p = ctx;
	struct item_row *to = &p->rows[p->n];
	struct item_vector *v;
	size_t n;
	*to = (struct item_row){.num = r->num,
		.seq = r->seq,
		.payload = arena_str(p->a, r->payload),
		.text = arena_str(p->a, r->text)};
	if (!to->payload.p || !to->text.p)
		return no_memory(et);
	enum err e = item_decode(r->vectors, p->l->spaces, p->l->n, p->a, &v, &n, et);
	for (size_t i = 0; i < n && !e; i++)
		p->has[p->n] |= v[i].place == p->place;
	p->n += !e;
	return e;
}

static enum err read_page(struct page *p, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(p->c), TX_READ, &tx, et);
	if (e)
		return e;
	if (p->first_pass)
		e = store_items_after(
			tx, p->k->number, p->m->reached, p->m->last, PAGE, take_row, p, et);
	if (!e && !p->n) {
		p->first_pass = false;
		e = store_items_pending(tx, p->k->number, p->place, PAGE, take_row, p, et);
	}
	for (size_t i = 0; i < p->n && !e; i++) {
		struct str text;
		if (p->has[i])
			continue;
		e = text_of_item(tx, &p->rows[i], p->to->field, p->a, &text, et);
		if (e || !text.n) {
			p->reasons[i] = S(NO_TEXT);
			continue;
		}
		p->texts[p->n_fills] = text;
		p->fills[p->n_fills++] =
			(struct fill){.num = p->rows[i].num, .seq = p->rows[i].seq};
	}
	db_rollback(tx);
	return e;
}

/* ---- embedding ---- */

/* What is the text's fault, and not the model's or the provider's. */
static bool texts_fault(enum err e)
{
	return e == ERR_TOO_LARGE || e == ERR_INVALID || e == ERR_UNSUPPORTED || e == ERR_LIMIT;
}

static size_t row_of(const struct page *p, int64_t num)
{
	size_t i = 0;
	while (p->rows[i].num != num)
		i++;
	return i;
}

static enum err embed_some(
	struct page *p, size_t from, size_t n, const struct cancel *cancel, struct errtext *et);

/* Of a request that was refused. When each half is embedded as a whole, it was not a text that was
 * refused but their number, and no more are sent together from then on. */
static enum err embed_halves(
	struct page *p, size_t from, size_t n, const struct cancel *cancel, struct errtext *et)
{
	size_t before = p->n_reasons;
	enum err e = embed_some(p, from, n / 2, cancel, et);
	e = e ? e : embed_some(p, from + n / 2, n - n / 2, cancel, et);
	if (!e && p->n_reasons == before)
		*p->at_once = MIN(*p->at_once, n - n / 2);
	return e;
}

/* Texts from..from+n. When one of them cannot be embedded, halves find out which. */
static enum err embed_some(
	struct page *p, size_t from, size_t n, const struct cancel *cancel, struct errtext *et)
{
	float *out;
	size_t made;
	struct errtext why = {0};
	enum err e = embed_once(p->k, p->to, p->texts + from, n, p->a, &out, &made, cancel, &why);
	if (!e) {
		for (size_t i = 0; i < n; i++)
			p->fills[from + i].v = out + i * p->to->dim;
		p->made += made;
		p->known += n - made;
		return OK;
	}
	if (!texts_fault(e)) {
		*et = why;
		return e;
	}
	if (n > 1)
		return embed_halves(p, from, n, cancel, et);
	p->n_reasons++;
	struct str *reason = &p->reasons[row_of(p, p->fills[from].num)];
	*reason = arena_str(p->a, str_c(why.msg[0] ? why.msg : err_sentence(e)));
	return reason->p ? OK : no_memory(et);
}

static enum err embed_page(struct page *p, const struct cancel *cancel, struct errtext *et)
{
	enum err e = OK;
	for (size_t from = 0, n; from < p->n_fills && !e; from += n) {
		n = MIN(p->n_fills - from, *p->at_once);
		e = embed_some(p, from, n, cancel, et);
	}
	return e;
}

/* Those that got a vector, beside each other. */
static void keep_embedded(struct page *p)
{
	size_t kept = 0;
	for (size_t i = 0; i < p->n_fills; i++)
		if (p->fills[i].v)
			p->fills[kept++] = p->fills[i];
	p->n_fills = kept;
}

/* ---- writing ---- */

static void measure(struct migration_row *m, size_t n)
{
	int64_t now = clock_unix_ms(), took = MAX(now - m->batch_ms, 1);
	double rate = 1000.0 * (double)n / (double)took;
	m->rate = m->rate > 0 ? 0.8 * m->rate + 0.2 * rate : rate;
	m->batch_ms = now;
}

static bool was_made(const struct page *p, int64_t num)
{
	for (size_t i = 0; i < p->n_fills; i++)
		if (p->fills[i].num == num)
			return p->fills[i].state == FILL_MADE;
	return false;
}

/* Whether the row of an item has a vector of the place now. */
static enum err has_now(struct page *p, const struct item_row *r, bool *out, struct errtext *et)
{
	struct item_vector *v;
	size_t n;
	enum err e = item_decode(r->vectors, p->l->spaces, p->l->n, p->a, &v, &n, et);
	*out = false;
	for (size_t i = 0; i < n && !e; i++)
		*out |= v[i].place == p->place;
	return e;
}

/* What is known of an item after the page. One that changed after it was read is looked at again,
 * unless the change has given it a vector. */
static enum err note_row(struct page *p, struct tx *tx, size_t i, struct errtext *et)
{
	const struct item_row *was = &p->rows[i];
	struct item_row now;
	struct str reason = p->reasons[i].p ? p->reasons[i] : S("");
	bool has = p->has[i];
	enum err e = store_item_by_num(
		tx, p->k->number, was->num, (struct item_want){.vectors = true}, p->a, &now, et);
	if (e == ERR_NOT_FOUND || (!e && was_made(p, was->num)))
		return store_lacking_del(tx, p->k->number, p->place, was->num, et);
	if (!e && now.seq != was->seq) {
		e = has_now(p, &now, &has, et);
		reason = S("");
	}
	return e     ? e
	       : has ? store_lacking_del(tx, p->k->number, p->place, was->num, et)
		     : store_lacking_put(tx, p->k->number, p->place, was->num, reason, et);
}

/* After the vectors, in their transaction: what has none and why, and how far this is. */
static enum err note_page(void *ctx, struct tx *tx, struct errtext *et)
{
	struct page *p = ctx;
	struct migration_row m;
	enum err e = store_migration(tx, p->m->id, p->a, &m, et);
	for (size_t i = 0; i < p->n && !e; i++)
		e = note_row(p, tx, i, et);
	if (e)
		return e;
	m.made += (int64_t)p->made;
	m.known += (int64_t)p->known;
	m.stalled = S("");
	if (p->first_pass) {
		m.reached = p->rows[p->n - 1].num;
		m.done += (int64_t)p->n;
		measure(&m, p->n);
	}
	return store_migration_set(tx, &m, et);
}

/* ---- one page ---- */

static enum err do_page(struct page *p, const struct cancel *cancel, struct errtext *et)
{
	p->l = layout_of(p->k);
	if ((size_t)p->place >= p->l->n || !space_lives(&p->l->spaces[p->place])) {
		p->place_gone = true;
		return OK;
	}
	p->to = &p->l->spaces[p->place];
	p->first_pass = p->place == p->m->to_place && p->m->reached < p->m->last;
	enum err e = read_page(p, et);
	e = e ? e : embed_page(p, cancel, et);
	if (e || !p->n)
		return e;
	keep_embedded(p);
	return items_fill(p->k, (uint8_t)p->place, p->to->since, p->fills, p->n_fills, note_page, p,
		&p->place_gone, et);
}

struct finishing {
	struct work *w;
	struct str id;
	int64_t place;
	bool more;
};

/* Nothing is left: it is ready, and the job is done, unless an item changed just now. */
static enum err finish_in(struct tx *tx, void *ctx, struct errtext *et)
{
	struct finishing *f = ctx;
	struct lacking l = {0};
	struct migration_row m;
	enum err e = store_migration(tx, f->id, f->w->a, &m, et);
	f->more = false;
	if (e == ERR_NOT_FOUND)
		return queue_done(tx, &f->w->job, et);
	e = e ? e : store_lacking_count(tx, m.collection, f->place, &l, et);
	f->more = !e && l.pending > 0;
	if (e || f->more)
		return e;
	if (m.state == MIGRATION_PREPARING) {
		m.state = MIGRATION_READY;
		m.ready_ms = clock_unix_ms();
		m.reached = m.last;
		m.done = m.total;
	}
	m.stalled = S("");
	e = store_migration_set(tx, &m, et);
	return e ? e : queue_done(tx, &f->w->job, et);
}

struct stalling {
	struct str id, why;
	struct arena *a;
};

static enum err stall_in(struct tx *tx, void *ctx, struct errtext *et)
{
	struct stalling *s = ctx;
	struct migration_row m;
	enum err e = store_migration(tx, s->id, s->a, &m, et);
	m.stalled = s->why;
	m.batch_ms = clock_unix_ms();
	return e ? e : store_migration_set(tx, &m, et);
}

/* It goes on by itself when the model or the provider is there again: the queue gives it back. */
static enum err stall(struct work *w, struct str id, enum err why, struct errtext *et)
{
	struct stalling s = {id, str_c(err_text(why, et)), w->a};
	struct errtext own;
	enum err e = db_write(w->db, stall_in, &s, &own);
	if (e == ERR_NOT_FOUND)
		return queue_done_now(w->db, &w->job, et);
	/* a conflict would say that the job is another's */
	return why == ERR_CONFLICT ? ERR_NOT_READY : why;
}

static enum err read_migration(
	struct work *w, struct str id, struct arena *a, struct migration_row *m, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(w->db, TX_READ, &tx, et);
	if (e)
		return e;
	e = store_migration(tx, id, a, m, et);
	db_rollback(tx);
	return e;
}

/* *left: there is more to do here. */
static enum err next_page(struct work *w, int64_t collection, int64_t place, struct str id,
	size_t *at_once, bool *left, bool *over, struct errtext *et)
{
	struct migration_row m;
	struct arena *a = arena_new(0);
	struct page *p = a ? arena_new_of(a, struct page) : NULL;
	enum err e = p ? read_migration(w, id, a, &m, et) : no_memory(et);
	if (!e && m.state >= MIGRATION_DROPPED)
		*over = true;
	if (!e && !*over) {
		*p = (struct page){
			.c = w->ctx, .m = &m, .place = place, .a = a, .at_once = at_once};
		e = collection_open_number(p->c, collection, &p->k, w->cancel, et);
		e = e ? e : do_page(p, w->cancel, et);
		collection_close(p->k);
		*left = !e && p->n > 0;
		*over = !e && p->place_gone;
	}
	arena_free(a);
	return e;
}

static enum err fill_place(
	struct work *w, int64_t collection, int64_t place, struct str id, struct errtext *et)
{
	size_t at_once = PAGE;
	for (;;) {
		bool left = false, over = false;
		enum err e = cancelled(w->cancel) ? ERR_CANCELLED
						  : next_page(w, collection, place, id, &at_once,
							    &left, &over, et);
		if (over)
			return queue_done_now(w->db, &w->job, et);
		if (e)
			return e == ERR_CANCELLED ? e : stall(w, id, e, et);
		if (left)
			continue;
		struct finishing f = {w, id, place, false};
		e = db_write(w->db, finish_in, &f, et);
		if (e || !f.more)
			return e;
	}
}

/* ---- sweeping ---- */

struct sweeping {
	int64_t collection, place, after;
	const struct space *spaces;
	size_t n_spaces, n;
	struct arena *a;
	struct item_row rows[SWEEP_PAGE];
};

static enum err take_vectors(void *ctx, const struct item_row *r, struct errtext *et)
{
	struct sweeping *s = ctx;
	struct item_row *to = &s->rows[s->n++];
	to->num = r->num;
	to->vectors = arena_str(s->a, r->vectors);
	return to->vectors.p ? OK : no_memory(et);
}

/* Their vectors without those of spaces that are gone. */
static enum err rewrite(struct tx *tx, struct sweeping *s, size_t i, struct errtext *et)
{
	struct item_vector *v;
	struct buf b = {0};
	size_t n;
	enum err e = item_decode(s->rows[i].vectors, s->spaces, s->n_spaces, s->a, &v, &n, et);
	if (e || s->rows[i].vectors.n < 2 || n == (uint8_t)s->rows[i].vectors.p[1])
		return e;
	item_code(v, n, &b);
	e = b.err ? no_memory(et)
		  : store_vectors_put(tx, s->collection, s->rows[i].num, buf_str(&b), et);
	buf_free(&b);
	return e;
}

static enum err sweep_in(struct tx *tx, void *ctx, struct errtext *et)
{
	struct sweeping *s = ctx;
	struct collection_row row;
	struct space *spaces;
	s->n = 0;
	enum err e = store_collection_by_number(tx, s->collection, s->a, &row, et);
	e = e ? e : config_read(row.config, s->a, &spaces, &s->n_spaces, et);
	if (e)
		return e;
	s->spaces = spaces;
	if ((size_t)s->place >= s->n_spaces || spaces[s->place].role != SPACE_GONE)
		return ERR_NOT_FOUND;
	e = store_items_after(
		tx, s->collection, s->after, INT64_MAX, SWEEP_PAGE, take_vectors, s, et);
	for (size_t i = 0; i < s->n && !e; i++)
		e = rewrite(tx, s, i, et);
	return e;
}

static enum err free_in(void *ctx, struct tx *tx, const struct collection_row *row,
	struct space *spaces, size_t *n, struct errtext *et)
{
	const struct sweeping *s = ctx;
	(void)tx;
	(void)row;
	(void)et;
	if ((size_t)s->place < *n && spaces[s->place].role == SPACE_GONE)
		spaces[s->place].role = SPACE_FREE;
	return OK;
}

static enum err sweep_place(struct work *w, int64_t collection, int64_t place, struct errtext *et)
{
	struct sweeping *s = calloc(1, sizeof *s);
	struct collection *k = NULL;
	enum err e = s ? OK : no_memory(et);
	bool more = true;
	while (!e && more && !cancelled(w->cancel)) {
		int64_t after = s->after;
		*s = (struct sweeping){.collection = collection, .place = place, .after = after};
		s->a = arena_new(0);
		e = s->a ? db_write(w->db, sweep_in, s, et) : no_memory(et);
		arena_free(s->a);
		more = !e && s->n == SWEEP_PAGE;
		if (more)
			s->after = s->rows[s->n - 1].num;
	}
	if (!e && cancelled(w->cancel))
		e = ERR_CANCELLED;
	e = e ? e : collection_open_number(w->ctx, collection, &k, w->cancel, et);
	e = e ? e : layout_change(k, free_in, s, et);
	collection_close(k);
	free(s);
	return e == ERR_NOT_FOUND || !e ? queue_done_now(w->db, &w->job, et) : e;
}

/* ---- the queue ---- */

static enum err run(struct work *w, struct errtext *et)
{
	struct str rest = w->job.body, word;
	int64_t collection = 0, place = 0;
	bool ok = str_next(&rest, ' ', &word) && str_i64(word, &collection) &&
		  str_next(&rest, ' ', &word) && str_i64(word, &place) && place >= 0 &&
		  place < COLLECTION_SPACES_MAX;
	thread_stand_back();
	if (!ok)
		return queue_done_now(w->db, &w->job, et);
	return rest.n ? fill_place(w, collection, place, rest, et)
		      : sweep_place(w, collection, place, et);
}

enum err migrate_start(struct croft *c, struct errtext *et)
{
	return workers_start(croft_db(c),
		&(struct worker_options){.queue = MIGRATE_QUEUE,
			.name = "migration",
			.threads = THREADS,
			.retry_ms = RETRY_MS,
			.run = run,
			.ctx = c},
		&collections_of(c)->migrating, et);
}

void migrate_stop(struct croft *c)
{
	workers_stop(collections_of(c)->migrating);
	collections_of(c)->migrating = NULL;
}

void migrate_wake(struct croft *c)
{
	workers_wake(collections_of(c)->migrating);
}
