/* The recall of live queries. Queries that walked a graph are kept by lot, a bounded number since
 * the last round; a thread that stands back compares them, a few in each round, with an exact
 * search, at the present effort and at those beside it. So the recall is that of what is really
 * asked, with an interval, and it is followed as items and questions change.
 *
 * The effort follows a target: up one step when the mean at the present one is below it, down one
 * step only when the lower end of the interval one step below is not. Between the two lies the
 * width of the interval, and after each step some queries are waited for: it does not swing.
 *
 * A filtered query walks the graph otherwise, and the fewer items match, the harder it is: such
 * queries are measured, and have an effort, by themselves, in three bands of the share that
 * matches. Where so few match that all of them are compared, there is nothing to measure.
 *
 * Queries that name an effort, and those with a threshold, go other ways and are not among them. Of
 * a collection that is searched elsewhere (pgvector) those without a filter are measured; an exact
 * search takes long there, so that a round is followed by a rest of 20 times its length. */
#include "collection/recall_int.h"
#include "base/clock.h"
#include "base/log.h"

#include <math.h>
#include <stdlib.h>

enum {
	ENOUGH = 30,            /* before a step up */
	SURE = 100,             /* before a step down */
	PAST_MS = 60000,        /* how often the past is noted */
	ROUND_SHARE = 20,       /* a round takes at most a 20th of the time between them */
	FILTER_BYTES = 8 << 20, /* of the filters that a band keeps */
};

const uint32_t recall_steps[RECALL_STEPS] = {
	16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024};
/* From a third on a walk goes over all items and leaves out those that do not match (search.c of
 * the index); below, over matching ones. */
const double recall_shares[RECALL_BANDS] = {1, 1.0 / 3, 0.1, 0};

struct recalls {
	struct croft *c;
	pthread_t thread;
	struct cancel stop;
};

static void forget_queries(struct recall_band *b)
{
	for (size_t i = 0; i < RECALL_KEPT; i++) {
		free((void *)b->filters[i].bits);
		b->filters[i] = (struct vindex_filter){0};
	}
}

static void free_space(struct space_recall *s)
{
	for (size_t i = 0; s && i < RECALL_BANDS; i++) {
		forget_queries(&s->bands[i]);
		free(s->bands[i].vectors);
	}
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

static uint64_t draw(struct recall_band *b, uint64_t below)
{
	uint64_t z = b->lot += 0x9e3779b97f4a7c15u;
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
	if (x)
		for (size_t b = 0; b < RECALL_BANDS; b++)
			atomic_store(&r->ef[s->place][b], 0);
	free_space(x);
	r->at[s->place] = x = calloc(1, sizeof *x);
	if (!x)
		return NULL;
	*x = (struct space_recall){.since = s->since, .dim = s->dim};
	for (size_t b = 0; b < RECALL_BANDS; b++)
		x->bands[b].lot = (uint64_t)s->place * RECALL_BANDS + b;
	return x;
}

static size_t band_of(struct vindex *index, const struct vindex_filter *f)
{
	double share = f ? (double)f->count / (double)MAX(vindex_count(index), (size_t)1) : 1;
	size_t b = 1;
	if (!f)
		return 0;
	while (b + 1 < RECALL_BANDS && share < recall_shares[b])
		b++;
	return b;
}

static size_t filter_bytes(const struct vindex_filter *f)
{
	return (f->n_bits + 63) / 64 * sizeof *f->bits;
}

/* As the at-th of its band. Large filters are kept only as many as FILTER_BYTES hold. */
static void keep_query(struct recall_band *b, size_t at, uint32_t dim, const float *vector,
	size_t n_k, const struct vindex_filter *f)
{
	uint64_t *bits = NULL;
	if (!b->vectors)
		b->vectors = malloc((size_t)RECALL_KEPT * dim * sizeof *b->vectors);
	if (!b->vectors || (f && !(bits = malloc(filter_bytes(f) + 1))))
		return;
	if (f)
		memcpy(bits, f->bits, filter_bytes(f));
	free((void *)b->filters[at].bits);
	b->filters[at] =
		f ? (struct vindex_filter){.bits = bits, .n_bits = f->n_bits, .count = f->count}
		  : (struct vindex_filter){0};
	memcpy(b->vectors + at * dim, vector, dim * sizeof *vector);
	b->k[at] = (uint16_t)MIN(n_k, (size_t)RECALL_K_MAX);
	b->n = MAX(b->n, at + 1);
}

/* Vitter's algorithm R: each of the queries since the last round is kept with the same chance. A
 * query never waits for the lock. */
void recall_offer(struct collection *k, const struct space *s, const float *vector, size_t n_k,
	const struct vindex_filter *filter)
{
	struct recall *r = collections_of(k->c)->recalls ? recall_for(k) : NULL;
	struct vindex *index = layout_of(k)->index[s->place];
	if (!r || !(index || k->backend->effort) || (filter && !filter->bits) ||
		pthread_mutex_trylock(&r->mu))
		return;
	struct space_recall *x = space_for(r, s);
	if (x) {
		struct recall_band *b = &x->bands[band_of(index, filter)];
		size_t room = RECALL_KEPT;
		if (filter && filter->n_bits)
			room = MIN(room, FILTER_BYTES / filter_bytes(filter) + 1);
		uint64_t at = b->n < room ? b->n : draw(b, b->seen_now + 1);
		b->seen++;
		b->seen_now++;
		if (at < room)
			keep_query(b, (size_t)at, x->dim, vector, n_k, filter);
	}
	pthread_mutex_unlock(&r->mu);
}

uint32_t recall_effort(
	struct collection *k, const struct space *s, const struct vindex_filter *filter)
{
	struct recall *r = atomic_load(&k->recall);
	struct vindex *index = layout_of(k)->index[s->place];
	return r && index && filter ? atomic_load(&r->ef[s->place][band_of(index, filter)]) : 0;
}

uint32_t recall_ef(struct collection *k, const struct layout *l, size_t place, size_t band)
{
	struct recall *r = atomic_load(&k->recall);
	bool here = l->index[place] != NULL;
	uint32_t own = r && (band || !here) ? atomic_load(&r->ef[place][band]) : 0;
	bool elsewhere = !band && l->spaces[place].kind == SPACE_DENSE;
	return own ? own : here ? vindex_ef(l->index[place]) : elsewhere * k->backend->effort;
}

/* ---- what was measured ---- */

static void add(struct measured *m, float v)
{
	m->v[m->at] = v;
	m->at = (m->at + 1) % RECALL_WINDOW;
	m->n = MIN(m->n + 1, (size_t)RECALL_WINDOW);
}

/* By the bootstrap over queries; when all are the same, that says nothing, and Wilson's interval
 * with as many trials as queries is given. */
struct interval recall_interval(const struct measured *m)
{
	double v[RECALL_WINDOW];
	bool same = true;
	for (size_t i = 0; i < m->n; i++) {
		v[i] = (double)m->v[i];
		same &= m->v[i] == m->v[0];
	}
	return same ? agree_wilson(v[0], (double)m->n) : agree_bootstrap(v, m->n);
}

size_t recall_step_of(uint32_t ef)
{
	size_t i = 0;
	while (i + 1 < RECALL_STEPS && recall_steps[i + 1] <= ef)
		i++;
	return i;
}

/* ---- a round ---- */

/* What a round works on: taken, so that queries are not held up. */
struct round {
	struct collection *k;
	const struct layout *l;
	const struct space *space;
	struct vindex *index;
	size_t band, n;
	float *vectors;
	uint16_t ks[RECALL_KEPT];
	struct vindex_filter filters[RECALL_KEPT];
	size_t step;               /* of the present effort */
	float got[RECALL_KEPT][3]; /* recall one step below, here, above; NaN: not tried */
	size_t done;
};

static bool take_sample(struct recall *r, struct round *x)
{
	pthread_mutex_lock(&r->mu);
	struct space_recall *s = r->at[x->space->place];
	struct recall_band *b = s ? &s->bands[x->band] : NULL;
	bool any = b && b->n && s->since == x->space->since && s->dim == x->space->dim;
	if (any) {
		x->n = b->n;
		x->vectors = b->vectors;
		memcpy(x->ks, b->k, sizeof x->ks);
		memcpy(x->filters, b->filters, sizeof x->filters);
		memset(b->filters, 0, sizeof b->filters);
		b->vectors = NULL;
		b->n = 0;
		b->seen_now = 0;
	}
	pthread_mutex_unlock(&r->mu);
	return any;
}

static void drop_sample(struct round *x)
{
	for (size_t i = 0; i < RECALL_KEPT; i++)
		free((void *)x->filters[i].bits);
	free(x->vectors);
}

static enum err search(struct round *x, const struct vindex_query *v, struct hit *out,
	struct vindex_answer *a, struct errtext *et)
{
	struct item_query q = {.space = x->space->name,
		.vector = v->vector,
		.dim = x->space->dim,
		.k = v->k,
		.ef = v->exact ? 0 : v->ef,
		.exact = v->exact,
		.worst = NAN,
		.cancel = v->cancel};
	struct item_hit *hits;
	struct item_search how = {0};
	if (x->index)
		return vindex_search(x->index, v, out, a, et);
	struct arena *arena = arena_new(0);
	enum err e = arena ? x->k->backend->query(x->k, &q, arena, &hits, &a->n, &how, et)
			   : err_set(et, ERR_NOMEM, "no memory to measure recall");
	for (size_t i = 0; i < a->n && !e; i++)
		out[i] = (struct hit){hits[i].key,
			distance_is_far(x->space->distance) ? -hits[i].score : hits[i].score};
	a->how = how.approximate ? VINDEX_GRAPH : VINDEX_SCAN;
	arena_free(arena);
	return e;
}

/* Hits that are as good as the k-th of all count: of equal scores either is right. With a filter a
 * greater effort may compare all that match: then nothing is missed. */
static enum err compare_one(
	struct round *x, size_t q, const struct cancel *stop, struct errtext *et)
{
	struct hit exact[RECALL_K_MAX], near[RECALL_K_MAX];
	struct vindex_answer a = {0};
	struct vindex_query v = {.vector = x->vectors + q * x->space->dim,
		.k = x->ks[q],
		.exact = true,
		.filter = x->band ? &x->filters[q] : NULL,
		.cancel = stop};
	enum err e = search(x, &v, exact, &a, et);
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
		e = search(x, &v, near, &a, et);
		size_t found = 0;
		for (size_t i = 0; i < a.n && !e; i++)
			found += near[i].score >= exact[want - 1].score;
		if (!e && (a.how == VINDEX_GRAPH || x->band))
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
static uint32_t next_ef(const struct recall_band *s, size_t step, double target)
{
	const struct measured *now = &s->steps[step];
	uint64_t since = s->measured - s->stepped_at;
	if (target <= 0 || since < ENOUGH || now->n < ENOUGH)
		return recall_steps[step];
	if (recall_interval(now).mean < target)
		return recall_steps[MIN(step + 1, (size_t)RECALL_STEPS - 1)];
	if (step && since >= SURE && s->steps[step - 1].n >= SURE &&
		recall_interval(&s->steps[step - 1]).low >= target)
		return recall_steps[step - 1];
	return recall_steps[step];
}

static void set_ef(struct recall *r, const struct round *x, uint32_t ef)
{
	if (x->band || !x->index)
		atomic_store(&r->ef[x->space->place][x->band], ef);
	else
		vindex_set_ef(x->index, ef);
}

/* What the round found, and the effort from now on. */
static void add_round(struct recall *r, const struct round *x, struct recall_band *b,
	struct recall_past *past, bool *noted)
{
	int64_t now = clock_unix_ms();
	double target = (double)atomic_load(&x->k->recall_ppm) / 1e6;
	for (size_t q = 0; q < x->done; q++)
		for (size_t side = 0; side < 3; side++)
			if (!isnan(x->got[q][side]))
				add(&b->steps[x->step + side - 1], x->got[q][side]);
	b->measured += x->done;
	uint32_t ef = next_ef(b, x->step, target);
	bool changed = ef != recall_steps[x->step];
	if (changed || (target > 0 && (x->band || !x->index)))
		set_ef(r, x, ef); /* a band's does not follow the index's any more */
	if (changed)
		b->stepped_at = b->measured;
	const struct measured *m = &b->steps[x->step];
	if (m->n && (now - b->past_ms >= PAST_MS || changed)) {
		*past = (struct recall_past){now, recall_steps[x->step], ef, (int64_t)m->n,
			recall_interval(m), (int64_t)x->band};
		b->past_ms = now;
		*noted = true;
	}
}

static void keep_round(struct recall *r, struct round *x, struct recall_past *past, bool *noted)
{
	*noted = false;
	pthread_mutex_lock(&r->mu);
	struct space_recall *s = r->at[x->space->place];
	if (s && s->since == x->space->since && x->done)
		add_round(r, x, &s->bands[x->band], past, noted);
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
	size_t band, uint64_t budget_ns)
{
	struct recall *r = atomic_load(&k->recall);
	struct round *x = calloc(1, sizeof *x);
	struct noting n = {.collection = k->number, .place = (int64_t)s};
	struct errtext et = {0};
	bool noted = false;
	if (x && r && (l->index[s] || k->backend->effort)) {
		*x = (struct round){
			.k = k, .l = l, .space = &l->spaces[s], .index = l->index[s], .band = band};
		if (take_sample(r, x)) {
			uint32_t ef = recall_ef(k, l, s, band);
			x->step = recall_step_of(ef);
			if (!band && ef != recall_steps[x->step])
				set_ef(r, x, recall_steps[x->step]);
			(void)!compare_all(x, budget_ns, &all->stop);
			keep_round(r, x, &n.past, &noted);
			drop_sample(x);
		}
	}
	free(x);
	if (noted && db_write(croft_db(k->c), note_in, &n, &et))
		log_debug("the recall of a collection was not noted: %s", et.msg);
}

/* Queries of the bands share a space's time. */
static void round_of_space(struct recalls *all, struct collection *k, const struct layout *l,
	size_t s, uint64_t budget_ns)
{
	struct recall *r = atomic_load(&k->recall);
	bool any[RECALL_BANDS] = {false};
	unsigned n = 0;
	uint64_t began = clock_mono_ns();
	pthread_mutex_lock(&r->mu);
	bool rests = r->at[s] && r->at[s]->rest_ns > began;
	for (size_t b = 0; r->at[s] && !rests && b < RECALL_BANDS; b++)
		n += any[b] = r->at[s]->bands[b].n > 0;
	pthread_mutex_unlock(&r->mu);
	for (size_t b = 0; b < RECALL_BANDS; b++)
		if (any[b])
			round_of(all, k, l, s, b, budget_ns / n);
	pthread_mutex_lock(&r->mu);
	if (r->at[s] && n && !l->index[s])
		r->at[s]->rest_ns = began + ROUND_SHARE * (clock_mono_ns() - began);
	pthread_mutex_unlock(&r->mu);
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
			round_of_space(all, k, l, s, budget_ns);
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

/* ---- the past ---- */

enum err recall_resume(struct collection *k, struct tx *tx, struct arena *a, struct errtext *et)
{
	const struct layout *l = layout_now(k);
	enum err e = OK;
	for (size_t s = 0; s < l->n * RECALL_BANDS && !e; s++) {
		struct recall_past *past;
		struct recall *r;
		size_t n = 0, place = s / RECALL_BANDS, band = s % RECALL_BANDS;
		bool here = l->index[place] != NULL;
		if ((!here && (band || !k->backend->effort)) || !atomic_load(&k->recall_ppm))
			continue;
		e = store_recall(tx, k->number, (int64_t)place, (int64_t)band, 1, a, &past, &n, et);
		if (e || !n || !past[0].at_ms)
			continue;
		if (!band && here)
			vindex_set_ef(l->index[place], past[0].next_ef);
		else if ((r = recall_for(k)))
			atomic_store(&r->ef[place][band], past[0].next_ef);
	}
	return e;
}
