/* The memory of a collection: what its indexes take, to the byte, what more items would make of it,
 * and the limit that a change is held to before it is made. A collection that nobody uses goes back
 * to its files, and is mapped from them when it is wanted again. */
#include "collection/held.h"
#include "collection/keyword_int.h"
#include "base/clock.h"

#include <stdlib.h>

/* ---- bytes ---- */

/* What is coming. */
struct more {
	uint64_t items;
	int place;            /* that they have vectors in; < 0: in each */
	const uint64_t *rows; /* by place: vectors of lists; NULL: as many as those there have */
};

static void add_space(
	struct vindex *x, const struct space *s, uint64_t more, struct memory_state *out)
{
	struct memory_space *m = &out->spaces[out->n_spaces++];
	m->space = s;
	m->items = vindex_count(x);
	vindex_size(x, &m->now);
	m->then = m->now;
	if (more)
		vindex_grown(x, more, &m->then);
	out->now += m->now.total;
	out->then += m->then.total;
}

static uint64_t ids_bytes(struct collection *k)
{
	pthread_rwlock_rdlock(&k->lock);
	uint64_t n = k->n_nums * sizeof *k->id_at + k->id_bytes.cap;
	pthread_rwlock_unlock(&k->lock);
	return n;
}

/* As those there have on average. */
static uint64_t in_proportion(uint64_t n, uint64_t items, uint64_t more)
{
	return items ? (uint64_t)((double)n / (double)items * (double)more) : 0;
}

static uint64_t rows_to_come(
	const struct vindex *x, size_t place, uint64_t items, const struct more *more)
{
	return more->rows ? more->rows[place]
			  : in_proportion(vindex_count((struct vindex *)x), items, more->items);
}

static void measure(struct collection *k, const struct layout *l, const struct more *more,
	struct memory_state *out)
{
	uint64_t items = collection_count(k);
	*out = (struct memory_state){.limit = (uint64_t)atomic_load(&k->memory_bytes)};
	for (size_t s = 0; s < l->n; s++)
		if (l->index[s])
			add_space(l->index[s], &l->spaces[s],
				more->place < 0 || (size_t)more->place == s ? more->items : 0, out);
		else if (kinds_vectors(k, s))
			add_space(kinds_vectors(k, s), &l->spaces[s],
				more->place < 0 ? rows_to_come(kinds_vectors(k, s), s, items, more)
						: 0,
				out);
	out->fields = k->fields ? fields_bytes(k->fields) : 0;
	out->ids = ids_bytes(k);
	struct keyword_index *words = keyword_get(k);
	out->keyword = words ? bm25_bytes(words->bm25) : 0;
	keyword_put_back(words);
	out->kinds = kinds_bytes(k);
	uint64_t beside = out->fields + out->ids + out->keyword + out->kinds;
	out->now += beside;
	out->then += beside;
	if (more->place < 0) /* else no item is new */
		out->then += in_proportion(beside, items, more->items);
}

void memory_of(
	struct collection *k, const struct layout *l, uint64_t more, struct memory_state *out)
{
	measure(k, l, &(struct more){more, -1, NULL}, out);
}

static enum err room(
	struct collection *k, const struct layout *l, const struct more *more, struct errtext *et)
{
	struct memory_state m;
	measure(k, l, more, &m);
	if (m.then <= m.limit)
		return OK;
	return err_set(et, ERR_LIMIT,
		"%llu more items would make the indexes of %.*s %llu bytes (now %llu: %llu of them "
		"for payloads, %llu for words, %llu for sparse vectors, %llu for ids); its limit "
		"is %llu: raise it (croft collections set %.*s --memory), or delete items",
		(unsigned long long)more->items, STR_FMT(k->name), (unsigned long long)m.then,
		(unsigned long long)m.now, (unsigned long long)m.fields,
		(unsigned long long)m.keyword, (unsigned long long)m.kinds,
		(unsigned long long)m.ids, (unsigned long long)m.limit, STR_FMT(k->name));
}

enum err memory_room(struct collection *k, const struct layout *l,
	const struct collection_item *items, size_t n, struct errtext *et)
{
	uint64_t rows[COLLECTION_SPACES_MAX] = {0};
	if (!atomic_load(&k->memory_bytes))
		return OK;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < items[i].n_vectors; j++)
			rows[items[i].vectors[j].place] += items[i].vectors[j].rows;
	return room(k, l, &(struct more){n, -1, rows}, et);
}

enum err memory_room_in(
	struct collection *k, const struct layout *l, uint64_t n, int place, struct errtext *et)
{
	return atomic_load(&k->memory_bytes) ? room(k, l, &(struct more){n, place, NULL}, et) : OK;
}

/* ---- what nobody uses ---- */

/* Under collections.mu, for one who uses it: nobody else does, and for how long. */
static bool idle(const struct collection *k, int64_t for_ms)
{
	return k->users == 1 && !k->dropped && k->state == LOADED && !k->stale &&
	       clock_unix_ms() - k->used_ms >= for_ms;
}

void memory_evict(struct collection *k)
{
	struct collections *all = collections_of(k->c);
	int64_t after = setting_int(k->c, "collection.idle");
	pthread_mutex_lock(&all->mu);
	bool now = after && idle(k, after);
	pthread_mutex_unlock(&all->mu);
	if (!now)
		return;
	snapshot_keep(k, true);
	pthread_mutex_lock(&k->write);
	bool kept = snapshot_is_kept(k);
	pthread_mutex_lock(&all->mu);
	if (kept && idle(k, after))
		collections_forget_open(k);
	pthread_mutex_unlock(&all->mu);
	pthread_mutex_unlock(&k->write);
}
