/* Queries while a space moves, a sample of them answered in the other space too: how much the two
 * answers agree says what a cut-over will change. The query itself does not wait for it: it goes on
 * a list, which a thread that stands back takes from. Is the list full, the query is passed over
 * and counted. What was asked is not kept, only how far the lists agreed. */
#include "collection/agree.h"
#include "collection/migrate_int.h"
#include "base/clock.h"
#include "base/log.h"

#include <math.h>
#include <stdlib.h>

enum { WAITING_MAX = 64, KEPT = 2000, RECENT = 60, PRUNE_EVERY = 100 };

struct ask {
	int64_t collection, since;
	uint8_t other; /* the place of the space that did not answer */
	struct str text;
	struct item_id like; /* an item instead of a text; .n 0: none */
	size_t k, n;
	uint64_t keys[AGREE_DEPTH_MAX];
	struct vindex_filter filter;
	bool filtered;
};

struct shadows {
	struct croft *c;
	pthread_t thread;
	pthread_mutex_t mu;
	pthread_cond_t more;
	struct cancel stop;
	struct ask *waiting[WAITING_MAX];
	size_t first, n;
	uint64_t seen, passed_over, compared;
};

static void free_ask(struct ask *q)
{
	if (!q)
		return;
	free((void *)q->filter.bits);
	free((void *)q->text.p);
	free(q);
}

/* ---- from the queries ---- */

/* By lot, so that no rhythm of the queries decides which are taken. */
static bool drawn(struct shadows *s, double share)
{
	uint64_t z = ++s->seen * 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 29) * 0xbf58476d1ce4e5b9u;
	return (double)(z >> 11) < share * 0x1p53;
}

static struct ask *make_ask(const struct collection *k, const struct space *other,
	const struct item_query *q, const struct item_hit *hits, size_t n)
{
	struct ask *a = calloc(1, sizeof *a);
	char *text = malloc(q->text.n + 1);
	if (!a || !text) {
		free(a);
		free(text);
		return NULL;
	}
	memcpy(text, q->text.n ? q->text.p : "", q->text.n);
	a->collection = k->number;
	a->since = other->since;
	a->other = other->place;
	a->text = str_mk(text, q->text.n);
	if (q->like)
		a->like = *q->like;
	a->k = MIN(q->k, (size_t)AGREE_DEPTH_MAX);
	a->n = MIN(n, a->k);
	for (size_t i = 0; i < a->n; i++)
		a->keys[i] = hits[i].key;
	return a;
}

/* Queries whose other answer would be another question: thresholds, some hits of another query,
 * examples, a vector of which nobody knows what it is of. */
static bool comparable(const struct item_query *q)
{
	return isnan(q->worst) && !q->among &&
	       (q->text.n ? !q->n_without : q->like && q->n_without == 1);
}

void shadow_offer(struct collection *k, const struct item_query *q, struct vindex_filter *filter,
	bool filtered, const struct item_hit *hits, size_t n)
{
	struct shadows *s = collections_of(k->c)->shadows;
	const struct layout *l = layout_of(k);
	const struct space *own = collection_space(k, q->space);
	if (!s || !own || own->twin == own->place || space_follows(own) || !comparable(q))
		return;
	const struct space *other = &l->spaces[own->twin];
	pthread_mutex_lock(&s->mu);
	bool take = other->shadow > 0 && drawn(s, other->shadow), room = s->n < WAITING_MAX;
	s->passed_over += take && !room;
	pthread_mutex_unlock(&s->mu);
	struct ask *a = take && room ? make_ask(k, other, q, hits, n) : NULL;
	if (!a)
		return;
	a->filtered = filtered;
	if (filtered) {
		a->filter = *filter;
		filter->bits = NULL;
	}
	pthread_mutex_lock(&s->mu);
	room = s->n < WAITING_MAX;
	if (room)
		s->waiting[(s->first + s->n++) % WAITING_MAX] = a;
	s->passed_over += !room;
	pthread_cond_signal(&s->more);
	pthread_mutex_unlock(&s->mu);
	if (!room)
		free_ask(a);
}

/* ---- the other answer ---- */

/* The vector that the query would have had; ERR_NOT_FOUND: the item has none there. */
static enum err other_vector(struct collection *k, const struct ask *q, const struct space *s,
	struct arena *a, const float **out, const struct cancel *cancel, struct errtext *et)
{
	struct item_vector v;
	if (q->text.n) {
		float *f = arena_array_of(a, s->dim, float);
		*out = f;
		return f ? collection_embed(k, s, &q->text, 1, f, cancel, et) : ERR_NOMEM;
	}
	enum err e = collection_vector(k, &q->like, s->name, a, &v, et);
	*out = e ? NULL : v.v;
	return e;
}

struct compared {
	struct str migration;
	double overlap, rbo;
	int64_t k;
	bool prune;
	struct arena *a;
	int64_t collection;
	uint8_t other;
};

static enum err keep_in(struct tx *tx, void *ctx, struct errtext *et)
{
	struct compared *x = ctx;
	struct migration_row *list;
	size_t n, i = 0;
	enum err e = store_migrations(tx, x->collection, 20, x->a, &list, &n, et);
	while (!e && i < n &&
		(list[i].state >= MIGRATION_DROPPED ||
			(list[i].to_place != x->other && list[i].from_place != x->other)))
		i++;
	if (e || i == n)
		return e;
	e = store_shadow_add(tx, list[i].id, x->k, x->overlap, x->rbo, et);
	return e || !x->prune ? e : store_shadow_prune(tx, list[i].id, KEPT, et);
}

static enum err compare(struct shadows *s, struct collection *k, const struct ask *q,
	struct arena *a, struct errtext *et)
{
	const struct layout *l = layout_of(k);
	if (q->other >= l->n || l->spaces[q->other].since != q->since || !l->index[q->other])
		return OK;
	const float *vector;
	struct hit found[AGREE_DEPTH_MAX + 1];
	uint64_t keys[AGREE_DEPTH_MAX + 1];
	struct vindex_answer answer = {0};
	enum err e = other_vector(k, q, &l->spaces[q->other], a, &vector, &s->stop, et);
	if (e)
		return e == ERR_NOT_FOUND ? OK : e;
	struct vindex_query v = {.vector = vector,
		.k = q->k + (q->like.n > 0),
		.filter = q->filtered ? &q->filter : NULL,
		.cancel = &s->stop};
	e = vindex_search(l->index[q->other], &v, found, &answer, et);
	size_t n = 0;
	for (size_t i = 0; i < answer.n && n < q->k && !e; i++) {
		struct str id = q->like.n ? shelf_id(k, found[i].key, a) : S("");
		if (!q->like.n || !str_eq(id, item_id_bytes(&q->like)))
			keys[n++] = found[i].key;
	}
	struct compared x = {.overlap = agree_overlap(q->keys, q->n, keys, n),
		.rbo = agree_rbo(q->keys, q->n, keys, n),
		.k = (int64_t)q->k,
		.prune = s->compared++ % PRUNE_EVERY == 0,
		.a = a,
		.collection = k->number,
		.other = q->other};
	return e ? e : db_write(croft_db(k->c), keep_in, &x, et);
}

static void answer_too(struct shadows *s, const struct ask *q)
{
	struct errtext et = {0};
	struct collection *k = NULL;
	struct arena *a = arena_new(0);
	enum err e = a ? collection_open_number(s->c, q->collection, &k, &s->stop, &et) : ERR_NOMEM;
	e = e ? e : compare(s, k, q, a, &et);
	collection_close(k);
	arena_free(a);
	if (e && e != ERR_CANCELLED && e != ERR_NOT_FOUND)
		log_debug("a query was not answered in the other space: %s", err_text(e, &et));
}

static void *work(void *arg)
{
	struct shadows *s = arg;
	thread_stand_back();
	pthread_mutex_lock(&s->mu);
	while (!cancelled(&s->stop)) {
		if (!s->n) {
			pthread_cond_wait(&s->more, &s->mu);
			continue;
		}
		struct ask *q = s->waiting[s->first];
		s->first = (s->first + 1) % WAITING_MAX;
		s->n--;
		pthread_mutex_unlock(&s->mu);
		answer_too(s, q);
		free_ask(q);
		pthread_mutex_lock(&s->mu);
	}
	pthread_mutex_unlock(&s->mu);
	return NULL;
}

/* ---- life ---- */

enum err shadow_start(struct croft *c, struct errtext *et)
{
	struct shadows *s = calloc(1, sizeof *s);
	if (!s)
		return err_set(et, ERR_NOMEM, "no memory for queries in two spaces");
	s->c = c;
	pthread_mutex_init(&s->mu, NULL);
	pthread_cond_init(&s->more, NULL);
	enum err e = thread_start(&s->thread, work, s, "shadow", et);
	if (e) {
		free(s);
		return e;
	}
	collections_of(c)->shadows = s;
	return OK;
}

void shadow_stop(struct croft *c)
{
	struct shadows *s = collections_of(c)->shadows;
	if (!s)
		return;
	collections_of(c)->shadows = NULL;
	cancel_set(&s->stop);
	pthread_mutex_lock(&s->mu);
	pthread_cond_broadcast(&s->more);
	pthread_mutex_unlock(&s->mu);
	pthread_join(s->thread, NULL);
	while (s->n--)
		free_ask(s->waiting[(s->first + s->n) % WAITING_MAX]);
	pthread_cond_destroy(&s->more);
	pthread_mutex_destroy(&s->mu);
	free(s);
}

uint64_t shadow_passed_over(struct croft *c)
{
	struct shadows *s = collections_of(c)->shadows;
	if (!s)
		return 0;
	pthread_mutex_lock(&s->mu);
	uint64_t n = s->passed_over;
	pthread_mutex_unlock(&s->mu);
	return n;
}

/* ---- as JSON ---- */

static void write_interval(struct jw *w, const char *key, const struct interval *i)
{
	jw_key(w, key);
	jw_obj(w);
	jw_kf64(w, "mean", i->mean);
	jw_kf64(w, "low", i->low);
	jw_kf64(w, "high", i->high);
	jw_end(w);
}

enum err shadow_write(struct croft *c, struct tx *tx, struct str migration, struct arena *a,
	struct jw *w, struct errtext *et)
{
	double *overlap = arena_array_of(a, 2 * KEPT, double), *rbo = overlap + KEPT;
	double k = 0;
	size_t n = 0;
	enum err e = overlap ? store_shadow(tx, migration, KEPT, overlap, rbo, &k, &n, et)
			     : err_set(et, ERR_NOMEM, "no memory for a migration");
	if (e)
		return e;
	jw_key(w, "agreement");
	if (!n) {
		jw_null(w);
		return OK;
	}
	struct interval o = agree_bootstrap(overlap, n), r = agree_bootstrap(rbo, n);
	jw_obj(w);
	jw_ki64(w, "queries", (int64_t)n);
	jw_kf64(w, "k", k);
	write_interval(w, "overlap", &o);
	write_interval(w, "rbo", &r);
	jw_key(w, "recent");
	jw_arr(w);
	for (size_t i = MIN(n, (size_t)RECENT); i-- > 0;)
		jw_f64(w, overlap[i]);
	jw_end(w);
	jw_ki64(w, "passed_over", (int64_t)shadow_passed_over(c));
	jw_end(w);
	return OK;
}
