/* The recall of live queries. Queries that walked a graph are kept by lot, a bounded number since
 * the last round; a thread that stands back compares them, a few in each round, with an exact
 * search, at the present effort and at those beside it. So the recall is that of what is really
 * asked, with an interval, and it is followed as items and questions change.
 *
 * The effort follows a target: up one step when the mean at the present one is below it, down one
 * step only when the lower end of the interval one step below is not. Between the two lies the
 * width of the interval, and after each step some queries are waited for: it does not swing.
 *
 * Filtered queries, and those that name an effort, go other ways and are not among them. */
#include "collection/held.h"
#include "base/clock.h"
#include "base/log.h"

#include <math.h>
#include <stdlib.h>

enum {
	KEPT = 64,       /* queries since the last round */
	WINDOW = 400,    /* the last measured ones, of each effort */
	ENOUGH = 30,     /* before a step up */
	SURE = 100,      /* before a step down */
	K_MAX = 100,     /* hits that are compared */
	PAST_MS = 60000, /* how often the past is noted */
	PAST_KEPT = 500,
	ROUND_SHARE = 20, /* a round takes at most a 20th of the time between them */
};

const uint32_t recall_steps[RECALL_STEPS] = {
	16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024};

struct measured {
	float v[WINDOW];
	size_t n, at; /* a ring */
};

struct space_recall {
	int64_t since; /* which space this is, of those that had the place */
	uint32_t dim;
	uint64_t seen, seen_now, measured; /* queries; since the last round */
	size_t n;
	float *vectors; /* KEPT of them */
	uint16_t k[KEPT];
	struct measured steps[RECALL_STEPS];
	uint64_t stepped_at; /* .measured when the effort changed */
	uint64_t lot;
	int64_t past_ms;
};

struct recall {
	pthread_mutex_t mu;
	struct space_recall *at[COLLECTION_SPACES_MAX];
};

struct recalls {
	struct croft *c;
	pthread_t thread;
	struct cancel stop;
};

static void free_space(struct space_recall *s)
{
	if (s)
		free(s->vectors);
	free(s);
}

void recall_free(struct recall *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < COLLECTION_SPACES_MAX; i++)
		free_space(r->at[i]);
	pthread_mutex_destroy(&r->mu);
	free(r);
}

/* ---- from the queries ---- */

static uint64_t draw(struct space_recall *s, uint64_t below)
{
	uint64_t z = s->lot += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (uint64_t)((unsigned __int128)(z ^ z >> 31) * below >> 64);
}

/* Made when a collection is first asked; two threads may both make one. */
static struct recall *recall_for(struct collection *k)
{
	struct recall *r = atomic_load(&k->recall), *fresh;
	if (r || !(fresh = calloc(1, sizeof *fresh)))
		return r;
	pthread_mutex_init(&fresh->mu, NULL);
	if (atomic_compare_exchange_strong(&k->recall, &r, fresh))
		return fresh;
	recall_free(fresh);
	return r;
}

/* Under r->mu. NULL: no memory. */
static struct space_recall *space_for(struct recall *r, const struct space *s)
{
	struct space_recall *x = r->at[s->place];
	if (x && x->since == s->since && x->dim == s->dim)
		return x;
	free_space(x);
	r->at[s->place] = x = calloc(1, sizeof *x);
	if (!x)
		return NULL;
	*x = (struct space_recall){.since = s->since, .dim = s->dim, .lot = (uint64_t)s->place};
	x->vectors = malloc((size_t)KEPT * s->dim * sizeof *x->vectors);
	if (!x->vectors) {
		free(x);
		r->at[s->place] = x = NULL;
	}
	return x;
}

/* Vitter's algorithm R: each of the queries since the last round is kept with the same chance. A
 * query never waits for the lock. */
void recall_offer(struct collection *k, const struct space *s, const float *vector, size_t n_k)
{
	struct recall *r = collections_of(k->c)->recalls ? recall_for(k) : NULL;
	if (!r || pthread_mutex_trylock(&r->mu))
		return;
	struct space_recall *x = space_for(r, s);
	if (x) {
		uint64_t at = x->n < KEPT ? x->n : draw(x, x->seen_now + 1);
		x->seen++;
		x->seen_now++;
		if (at < KEPT) {
			memcpy(x->vectors + at * x->dim, vector, x->dim * sizeof *vector);
			x->k[at] = (uint16_t)MIN(n_k, (size_t)K_MAX);
			x->n = MAX(x->n, at + 1);
		}
	}
	pthread_mutex_unlock(&r->mu);
}

/* ---- what was measured ---- */

static void add(struct measured *m, float v)
{
	m->v[m->at] = v;
	m->at = (m->at + 1) % WINDOW;
	m->n = MIN(m->n + 1, (size_t)WINDOW);
}

/* By the bootstrap over queries; when all are the same, that says nothing, and Wilson's interval
 * with as many trials as queries is given. */
static struct interval interval_of(const struct measured *m)
{
	double v[WINDOW];
	bool same = true;
	for (size_t i = 0; i < m->n; i++) {
		v[i] = (double)m->v[i];
		same &= m->v[i] == m->v[0];
	}
	return same ? agree_wilson(v[0], (double)m->n) : agree_bootstrap(v, m->n);
}

static size_t step_of(uint32_t ef)
{
	size_t i = 0;
	while (i + 1 < RECALL_STEPS && recall_steps[i + 1] <= ef)
		i++;
	return i;
}

/* ---- a round ---- */

/* What a round works on: copied, so that queries are not held up. */
struct round {
	struct collection *k;
	const struct space *space;
	struct vindex *index;
	size_t n;
	float *vectors;
	uint16_t ks[KEPT];
	size_t step;        /* of the present effort */
	float got[KEPT][3]; /* recall one step below, here, above; NaN: not tried */
	size_t done;
};

static bool take_sample(struct recall *r, struct round *x)
{
	pthread_mutex_lock(&r->mu);
	struct space_recall *s = r->at[x->space->place];
	bool any = s && s->n && s->since == x->space->since && s->dim == x->space->dim;
	float *fresh = any ? malloc((size_t)KEPT * s->dim * sizeof *fresh) : NULL;
	if (fresh) {
		x->n = s->n;
		x->vectors = s->vectors;
		memcpy(x->ks, s->k, sizeof x->ks);
		s->vectors = fresh;
		s->n = 0;
		s->seen_now = 0;
	}
	pthread_mutex_unlock(&r->mu);
	return fresh != NULL;
}

/* Hits that are as good as the k-th of all count: of equal scores either is right. */
static enum err compare_one(
	struct round *x, size_t q, const struct cancel *stop, struct errtext *et)
{
	struct hit exact[K_MAX], near[K_MAX];
	struct vindex_answer a = {0};
	struct vindex_query v = {.vector = x->vectors + q * x->space->dim,
		.k = x->ks[q],
		.exact = true,
		.cancel = stop};
	enum err e = vindex_search(x->index, &v, exact, &a, et);
	if (e || !a.n)
		return e;
	size_t want = a.n;
	v.exact = false;
	for (size_t side = 0; side < 3 && !e; side++) {
		size_t step = x->step + side;
		x->got[q][side] = NAN;
		if (!step || step > RECALL_STEPS)
			continue;
		v.ef = recall_steps[step - 1];
		e = vindex_search(x->index, &v, near, &a, et);
		size_t found = 0;
		for (size_t i = 0; i < a.n && !e; i++)
			found += near[i].score >= exact[want - 1].score;
		if (!e && a.how == VINDEX_GRAPH)
			x->got[q][side] = (float)MIN(found, want) / (float)want;
	}
	return e;
}

static enum err compare_all(struct round *x, uint64_t budget_ns, const struct cancel *stop)
{
	uint64_t end = clock_mono_ns() + budget_ns;
	struct errtext et;
	enum err e = OK;
	while (!e && x->done < x->n && (!x->done || clock_mono_ns() < end)) {
		e = compare_one(x, x->done, stop, &et);
		x->done += !e;
	}
	return e;
}

/* The next effort, or the same. */
static uint32_t next_ef(const struct space_recall *s, size_t step, double target)
{
	const struct measured *now = &s->steps[step];
	uint64_t since = s->measured - s->stepped_at;
	if (target <= 0 || since < ENOUGH || now->n < ENOUGH)
		return recall_steps[step];
	if (interval_of(now).mean < target)
		return recall_steps[MIN(step + 1, (size_t)RECALL_STEPS - 1)];
	if (step && since >= SURE && s->steps[step - 1].n >= SURE &&
		interval_of(&s->steps[step - 1]).low >= target)
		return recall_steps[step - 1];
	return recall_steps[step];
}

static void keep_round(struct recall *r, struct round *x, struct recall_past *past, bool *noted)
{
	int64_t now = clock_unix_ms();
	double target = (double)atomic_load(&x->k->recall_ppm) / 1e6;
	*noted = false;
	pthread_mutex_lock(&r->mu);
	struct space_recall *s = r->at[x->space->place];
	if (s && s->since == x->space->since && x->done) {
		for (size_t q = 0; q < x->done; q++)
			for (size_t side = 0; side < 3; side++)
				if (!isnan(x->got[q][side]))
					add(&s->steps[x->step + side - 1], x->got[q][side]);
		s->measured += x->done;
		uint32_t ef = next_ef(s, x->step, target);
		if (ef != recall_steps[x->step]) {
			vindex_set_ef(x->index, ef);
			s->stepped_at = s->measured;
		}
		const struct measured *m = &s->steps[x->step];
		if (m->n && (now - s->past_ms >= PAST_MS || ef != recall_steps[x->step])) {
			*past = (struct recall_past){
				now, recall_steps[x->step], ef, (int64_t)m->n, interval_of(m)};
			s->past_ms = now;
			*noted = true;
		}
	}
	pthread_mutex_unlock(&r->mu);
}

struct noting {
	int64_t collection, place;
	struct recall_past past;
};

static enum err note_in(struct tx *tx, void *ctx, struct errtext *et)
{
	struct noting *n = ctx;
	return store_recall_add(tx, n->collection, n->place, &n->past, et);
}

/* ef that another has set lies between two steps: then the lower one counts. */
static void round_of(struct recalls *all, struct collection *k, const struct layout *l, size_t s,
	uint64_t budget_ns)
{
	struct recall *r = atomic_load(&k->recall);
	struct round x = {.k = k, .space = &l->spaces[s], .index = l->index[s]};
	struct noting n = {.collection = k->number, .place = (int64_t)s};
	struct errtext et = {0};
	bool noted;
	if (!r || !x.index || !take_sample(r, &x))
		return;
	x.step = step_of(vindex_ef(x.index));
	if (vindex_ef(x.index) != recall_steps[x.step])
		vindex_set_ef(x.index, recall_steps[x.step]);
	(void)!compare_all(&x, budget_ns, &all->stop);
	keep_round(r, &x, &n.past, &noted);
	free(x.vectors);
	if (noted && db_write(croft_db(k->c), note_in, &n, &et))
		log_debug("the recall of a collection was not noted: %s", et.msg);
}

static void round_of_all(struct recalls *all, uint64_t budget_ns)
{
	struct collections *cs = collections_of(all->c);
	struct buf keys = {0};
	struct str rest, line;
	list_open(cs, &keys);
	rest = buf_str(&keys);
	while (str_next(&rest, '\n', &line) && !cancelled(&all->stop)) {
		struct collection *k = line.n ? take_pinned(cs, line) : NULL;
		if (!k)
			continue;
		const struct layout *l = layout_of(k);
		for (size_t s = 0; s < l->n && atomic_load(&k->recall); s++)
			round_of(all, k, l, s, budget_ns);
		let_go_pinned(k);
	}
	buf_free(&keys);
}

static void *work(void *arg)
{
	enum { NAP_MS = 50 };
	struct recalls *all = arg;
	int64_t every = setting_int(all->c, "collection.recall_every"), slept = 0;
	thread_stand_back();
	while (!cancelled(&all->stop)) {
		clock_sleep_ms(NAP_MS);
		slept += NAP_MS;
		if (slept < every)
			continue;
		slept = 0;
		round_of_all(all, (uint64_t)every * 1000000 / ROUND_SHARE);
	}
	return NULL;
}

enum err recall_start(struct croft *c, struct errtext *et)
{
	struct recalls *all = calloc(1, sizeof *all);
	if (!all)
		return err_set(et, ERR_NOMEM, "no memory to measure recall");
	all->c = c;
	enum err e = thread_start(&all->thread, work, all, "recall", et);
	if (e)
		free(all);
	else
		collections_of(c)->recalls = all;
	return e;
}

void recall_stop(struct croft *c)
{
	struct recalls *all = collections_of(c)->recalls;
	if (!all)
		return;
	collections_of(c)->recalls = NULL;
	cancel_set(&all->stop);
	pthread_join(all->thread, NULL);
	free(all);
}

/* ---- what it is ---- */

bool recall_of(struct collection *k, const struct space *s, struct recall_state *out)
{
	struct recall *r = atomic_load(&k->recall);
	struct vindex *index = layout_of(k)->index[s->place];
	*out = (struct recall_state){.ef = index ? vindex_ef(index) : 0};
	if (!r || !index)
		return false;
	pthread_mutex_lock(&r->mu);
	const struct space_recall *x = r->at[s->place];
	bool there = x && x->since == s->since;
	if (there) {
		out->seen = x->seen;
		out->measured = x->measured;
	}
	for (size_t i = 0; there && i < RECALL_STEPS; i++) {
		if (!x->steps[i].n)
			continue;
		struct recall_step step = {
			recall_steps[i], x->steps[i].n, interval_of(&x->steps[i])};
		out->steps[out->n_steps++] = step;
		if (step.ef == recall_steps[step_of(out->ef)])
			out->now = step;
	}
	pthread_mutex_unlock(&r->mu);
	return there;
}

static void label(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			buf_putc(out, '\\');
		buf_putc(out, s.p[i] == '\n' ? ' ' : s.p[i]);
	}
}

static void labels(struct buf *out, const char *name, const struct collection *k,
	const struct space *s, const char *more)
{
	buf_addf(out, "croft_collection_%s{project=\"", name);
	label(out, k->project);
	buf_addc(out, "\",collection=\"");
	label(out, k->name);
	buf_addc(out, "\",space=\"");
	label(out, s->name);
	buf_addf(out, "\"%s} ", more);
}

/* One family at a time, as the format wants it. */
static void metric(struct croft *c, struct buf *out, size_t family)
{
	static const char *const heads[][2] = {
		{"recall", "Recall of sampled live queries against an exact search"},
		{"effort", "Effort (ef) of searches that name none"}};
	struct collections *cs = collections_of(c);
	struct buf keys = {0};
	struct str rest, line;
	bool any = false;
	list_open(cs, &keys);
	rest = buf_str(&keys);
	while (str_next(&rest, '\n', &line)) {
		struct collection *k = line.n ? take_pinned(cs, line) : NULL;
		const struct layout *l = k ? layout_of(k) : NULL;
		for (size_t s = 0; l && s < l->n; s++) {
			struct recall_state x;
			if (!recall_of(k, &l->spaces[s], &x) || !x.now.queries)
				continue;
			if (!any)
				buf_addf(out,
					"# HELP croft_collection_%s %s\n# TYPE croft_collection_%s "
					"gauge\n",
					heads[family][0], heads[family][1], heads[family][0]);
			any = true;
			const struct interval *i = &x.now.recall;
			if (family) {
				labels(out, heads[1][0], k, &l->spaces[s], "");
				buf_addf(out, "%u\n", x.ef);
				continue;
			}
			labels(out, heads[0][0], k, &l->spaces[s], ",bound=\"mean\"");
			buf_addf(out, "%.6f\n", i->mean);
			labels(out, heads[0][0], k, &l->spaces[s], ",bound=\"low\"");
			buf_addf(out, "%.6f\n", i->low);
			labels(out, heads[0][0], k, &l->spaces[s], ",bound=\"high\"");
			buf_addf(out, "%.6f\n", i->high);
		}
		if (k)
			let_go_pinned(k);
	}
	buf_free(&keys);
}

void recall_metrics(struct croft *c, struct buf *out)
{
	metric(c, out, 0);
	metric(c, out, 1);
}

/* ---- the past ---- */

enum err recall_resume(struct collection *k, struct tx *tx, struct arena *a, struct errtext *et)
{
	const struct layout *l = layout_now(k);
	enum err e = OK;
	for (size_t s = 0; s < l->n && !e; s++) {
		struct recall_past *past;
		size_t n = 0;
		if (!l->index[s] || !atomic_load(&k->recall_ppm))
			continue;
		e = store_recall(tx, k->number, (int64_t)s, 1, a, &past, &n, et);
		if (!e && n && past[0].at_ms)
			vindex_set_ef(l->index[s], past[0].next_ef);
	}
	return e;
}

enum err store_recall_add(struct tx *tx, int64_t collection, int64_t place,
	const struct recall_past *p, struct errtext *et)
{
	uint64_t lot;
	struct row *r;
	random_bytes(&lot, sizeof lot);
	enum err e = db_exec(tx, et,
		"INSERT INTO collection_recall (collection, place, at_ms, lot, ef, next_ef, "
		"queries, mean, low, high) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		P_I64(collection), P_I64(place), P_I64(p->at_ms), P_I64((int64_t)(lot >> 1)),
		P_I64(p->ef), P_I64(p->next_ef), P_I64(p->queries), P_F64(p->recall.mean),
		P_F64(p->recall.low), P_F64(p->recall.high));
	e = e ? e
	      : db_query(tx, &r, et,
			"SELECT at_ms FROM collection_recall WHERE collection = ? AND place = ? "
			"ORDER BY at_ms DESC LIMIT 1 OFFSET ?",
			P_I64(collection), P_I64(place), P_I64(PAST_KEPT));
	if (e)
		return e;
	bool more = row_next(r, &e, et);
	int64_t before = more ? row_i64(r, 0) : 0;
	row_free(r);
	return e || !more
		       ? e
		       : db_exec(tx, et,
				 "DELETE FROM collection_recall WHERE collection = ? AND place = "
				 "? AND at_ms <= ?",
				 P_I64(collection), P_I64(place), P_I64(before));
}

enum err store_recall_clear(struct tx *tx, int64_t collection, int64_t place, struct errtext *et)
{
	return db_exec(tx, et, "DELETE FROM collection_recall WHERE collection = ? AND place = ?",
		P_I64(collection), P_I64(place));
}

enum err store_recall(struct tx *tx, int64_t collection, int64_t place, size_t max, struct arena *a,
	struct recall_past **out, size_t *n, struct errtext *et)
{
	struct recall_past *list = arena_array_of(a, max + 1, struct recall_past);
	struct row *r;
	size_t got = 0;
	if (!list)
		return err_set(et, ERR_NOMEM, "no memory for the recall of a collection");
	enum err e = db_query(tx, &r, et,
		"SELECT at_ms, ef, next_ef, queries, mean, low, high FROM collection_recall WHERE "
		"collection = ? AND place = ? ORDER BY at_ms DESC, lot LIMIT ?",
		P_I64(collection), P_I64(place), P_I64((int64_t)max));
	if (e)
		return e;
	while (got < max && row_next(r, &e, et))
		list[got++] = (struct recall_past){row_i64(r, 0), (uint32_t)row_i64(r, 1),
			(uint32_t)row_i64(r, 2), row_i64(r, 3),
			{row_f64(r, 4), row_f64(r, 5), row_f64(r, 6)}};
	row_free(r);
	if (!e) {
		*out = list;
		*n = got;
	}
	return e;
}
