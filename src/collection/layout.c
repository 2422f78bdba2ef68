/* The spaces of a collection as they are named at a time. A place among them is for ever one
 * model's (until it was dropped and swept); names move: a cut-over gives the name that everybody
 * asks for to the other place. Each such change is a new struct layout, so who works with one sees
 * no change.
 *
 * A thread that has a collection open sees it as it was named when it was opened: all it asks for
 * in between, texts embedded, vectors looked up, searches, are of one model. */
#include "collection/collection_int.h"

#include <assert.h>
#include <stdlib.h>

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for the spaces of a collection");
}

/* ---- what this thread has open ---- */

struct pin {
	struct pin *next;
	const struct collection *k;
	struct layout *l;
	unsigned depth;
};
static _Thread_local struct pin *pins;

static struct pin **pin_of(const struct collection *k)
{
	struct pin **p = &pins;
	while (*p && (*p)->k != k)
		p = &(*p)->next;
	return p;
}

const struct layout *layout_now(const struct collection *k)
{
	return atomic_load_explicit(&k->layout, memory_order_acquire);
}

const struct layout *layout_of(const struct collection *k)
{
	const struct pin *p = *pin_of(k);
	return p ? p->l : layout_now(k);
}

enum err layout_pin(struct collection *k, struct errtext *et)
{
	struct pin *p = *pin_of(k);
	if (!p && !(p = malloc(sizeof *p)))
		return no_memory(et);
	if (*pin_of(k) == p) {
		p->depth++;
		return OK;
	}
	*p = (struct pin){pins, k, atomic_load(&k->layout), 1};
	p->l->users++;
	pins = p;
	return OK;
}

void layout_unpin(struct collection *k)
{
	struct pin **at = pin_of(k), *p = *at;
	assert(p && "a collection is closed by the thread that opened it");
	if (!p || --p->depth)
		return;
	*at = p->next;
	p->l->users--;
	free(p);
	layout_tidy(k);
}

/* ---- spaces ---- */

bool space_lives(const struct space *s)
{
	return s->role <= SPACE_FORMER;
}

bool space_follows(const struct space *s)
{
	return s->role == SPACE_NEXT || s->role == SPACE_FORMER;
}

const struct space *space_pick(const struct space *spaces, size_t n, struct str name)
{
	for (size_t i = 0; i < n; i++)
		if (name.p ? space_lives(&spaces[i]) && str_eq(spaces[i].name, name)
			   : spaces[i].role == SPACE_NAMED)
			return &spaces[i];
	return NULL;
}

size_t space_shown(const struct space *spaces, struct item_vector *v, size_t n)
{
	size_t kept = 0;
	for (size_t i = 0; i < n; i++)
		if (spaces[v[i].place].role == SPACE_NAMED)
			v[kept++] = v[i];
	return kept;
}

const char *space_mismatch(
	const struct collection *k, const struct space *s, size_t dim, char out[SPACE_WHY])
{
	const struct layout *l = layout_of(k);
	const struct space *twin = s->twin < l->n ? &l->spaces[s->twin] : s;
	if (twin == s || !space_lives(twin) || twin->dim != dim)
		snprintf(out, SPACE_WHY, "it was made by another model, or for another collection");
	else if (twin->role == SPACE_NEXT)
		snprintf(out, SPACE_WHY,
			"the collection is moving from %.*s to %.*s, which makes vectors of %zu, "
			"and answers by the former until the cut-over; vectors of the latter are "
			"\"%.*s\" until then",
			s->model.n ? (int)s->model.n : 8, s->model.n ? s->model.p : "your own",
			STR_FMT(twin->model), dim, STR_FMT(twin->name));
	else
		snprintf(out, SPACE_WHY,
			"the collection has moved from %.*s, which makes vectors of %zu, to %.*s; "
			"what was there before is \"%.*s\" until it is dropped",
			twin->model.n ? (int)twin->model.n : 18,
			twin->model.n ? twin->model.p : "vectors brought by you", dim,
			STR_FMT(s->model), STR_FMT(twin->name));
	return out;
}

/* ---- one after the other ---- */

static bool has_index(const struct layout *l, const struct vindex *x)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->index[i] == x)
			return true;
	return false;
}

/* Indexes of places that were dropped go when nobody has a layout any more that names them. */
void layout_tidy(struct collection *k)
{
	struct layout *now = atomic_load(&k->layout);
	for (const struct layout *l = now->older; l; l = l->older)
		if (l->users)
			return;
	for (struct layout *l = now->older; l; l = l->older)
		for (size_t i = 0; i < l->n; i++) {
			struct vindex *x = l->index[i];
			if (!x || has_index(now, x))
				continue;
			for (struct layout *o = l; o; o = o->older)
				for (size_t j = 0; j < o->n; j++)
					o->index[j] = o->index[j] == x ? NULL : o->index[j];
			vindex_free(x);
		}
	now->older = NULL;
}

static enum err read_layout(
	struct collection *k, struct str config, struct layout **out, struct errtext *et)
{
	struct space *spaces;
	struct layout *l = arena_new_of(k->arena, struct layout);
	if (!l || !(l->config = arena_str(k->arena, config)).p)
		return no_memory(et);
	enum err e = config_read(config, k->arena, &spaces, &l->n, et);
	if (!e)
		memcpy(l->spaces, spaces, l->n * sizeof *spaces);
	*out = l;
	return e;
}

enum err layout_first(struct collection *k, struct str config, struct errtext *et)
{
	struct layout *l;
	enum err e = read_layout(k, config, &l, et);
	if (!e)
		atomic_store_explicit(&k->layout, l, memory_order_release);
	return e;
}

enum err layout_indexes(struct layout *l, struct errtext *et)
{
	enum err e = OK;
	for (size_t s = 0; s < l->n && !e; s++) {
		struct vindex_options o = {
			.dim = l->spaces[s].dim, .metric = shelf_metric(&l->spaces[s])};
		if (space_lives(&l->spaces[s]) && !l->spaces[s].kind && !l->index[s])
			e = vindex_new(&o, &l->index[s], et);
	}
	return e;
}

/* A place that was dropped and taken again since is another one. */
static bool same_space(const struct layout *a, const struct layout *b, size_t s)
{
	return s < a->n && s < b->n && a->spaces[s].since == b->spaces[s].since;
}

enum err layout_adopt(struct collection *k, struct str config, struct errtext *et)
{
	struct collections *all = collections_of(k->c);
	struct layout *now = atomic_load(&k->layout), *l = NULL;
	if (str_eq(config, now->config))
		return OK;
	enum err e = read_layout(k, config, &l, et);
	for (size_t s = 0; !e && s < l->n; s++)
		if (same_space(l, now, s) && space_lives(&l->spaces[s]))
			l->index[s] = now->index[s];
	e = e ? e : layout_indexes(l, et);
	for (size_t s = 0; e && l && s < l->n; s++)
		if (!has_index(now, l->index[s]))
			vindex_free(l->index[s]);
	if (e)
		return e;
	pthread_mutex_lock(&all->mu);
	l->older = now;
	atomic_store_explicit(&k->layout, l, memory_order_release);
	layout_tidy(k);
	pthread_mutex_unlock(&all->mu);
	return OK;
}

void layout_clear(struct collection *k)
{
	struct layout *now = atomic_load(&k->layout);
	if (!now)
		return;
	for (struct layout *l = now->older; l; l = l->older)
		l->users = 0;
	layout_tidy(k);
	for (size_t s = 0; s < now->n; s++) {
		vindex_free(now->index[s]);
		now->index[s] = NULL;
	}
}
