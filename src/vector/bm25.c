/* Keyword search: BM25 over immutable segments.
 *
 * Items that are put gather in `pending`; a publish turns them into a new segment, buries what was
 * deleted or replaced, and shows the result as one snapshot. Segments of like size are then merged,
 * so that n items lie in about log2(n) segments and each is rewritten about log2(n) times.
 * Invariants:
 *
 *	1. A segment never changes. Which of its items live, and how many of those contain each
 *	   term, stands beside it in a `live`, copied before it changes.
 *	2. A key is alive in at most one segment of a snapshot.
 *	3. N, df and the average lengths count living items only, and a score is summed in the
 *	   order of the query's terms: it is the same bits however the items are laid out.
 *	4. Snapshots, segments and lives are counted; a search holds the snapshot that it began
 *	   with. */
#include "vector/bm25_int.h"

#include <math.h>
#include <stdlib.h>

struct bm25 {
	struct model model;
	bool positions;
	pthread_mutex_t write; /* one writer */
	pthread_mutex_t lock;  /* guards `snap` for the moment it takes to count it */
	struct snap *snap;
	/* The writer's: what the next publish does. */
	struct pending pending;
	struct keymap deleted;
};

/* ---- counting ---- */

static void live_put(struct live *l)
{
	if (!l || atomic_fetch_sub(&l->refs, 1) != 1)
		return;
	free(l->dead);
	free(l->df);
	free(l);
}

void bm25_snap_put(struct snap *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	for (size_t i = 0; i < s->n_parts; i++) {
		bm25_seg_put(s->parts[i].seg);
		live_put(s->parts[i].live);
	}
	free(s);
}

struct snap *bm25_snap_get(struct bm25 *x)
{
	pthread_mutex_lock(&x->lock);
	struct snap *s = x->snap;
	atomic_fetch_add(&s->refs, 1);
	pthread_mutex_unlock(&x->lock);
	return s;
}

const struct model *bm25_model(const struct bm25 *x)
{
	return &x->model;
}

bool bm25_positions(const struct bm25 *x)
{
	return x->positions;
}

static struct snap *snap_new(size_t room)
{
	struct snap *s = calloc(1, sizeof *s + room * sizeof s->parts[0]);
	if (s)
		atomic_init(&s->refs, 1);
	return s;
}

/* All of a segment's items live, or as `from` has it: then with arrays of its own. */
static struct live *live_new(const struct seg *s, const struct live *from)
{
	struct live *l = calloc(1, sizeof *l);
	if (!l)
		return NULL;
	atomic_init(&l->refs, 1);
	if (!from) {
		l->n_docs = s->n_docs;
		for (uint32_t f = 0; f < s->n_fields; f++)
			for (uint32_t d = 0; d < s->n_docs; d++)
				l->len[f] += s->len[(size_t)f * s->n_docs + d];
		return l;
	}
	size_t words = s->n_docs / 64 + 1;
	l->n_docs = from->n_docs;
	memcpy(l->len, from->len, sizeof l->len);
	l->dead = calloc(words, sizeof *l->dead);
	l->df = malloc(((size_t)s->n_terms + 1) * sizeof *l->df);
	if (!l->dead || !l->df) {
		live_put(l);
		return NULL;
	}
	if (from->dead)
		memcpy(l->dead, from->dead, words * sizeof *l->dead);
	for (uint32_t t = 0; t < s->n_terms; t++)
		l->df[t] = live_df(s, from, t);
	return l;
}

static void bury(const struct seg *s, struct live *l, uint32_t doc)
{
	l->dead[doc / 64] |= UINT64_C(1) << doc % 64;
	l->n_docs--;
	for (uint32_t f = 0; f < s->n_fields; f++)
		l->len[f] -= s->len[(size_t)f * s->n_docs + doc];
	const uint8_t *p = s->fwd + s->fwd_at[doc], *end = s->fwd + s->fwd_at[doc + 1];
	for (uint32_t gap, next = 0; p < end;) {
		p = varint_get(p, &gap);
		next += gap;
		l->df[next - 1]--;
	}
}

/* ---- the index ---- */

static bool model_make(struct model *m, const struct bm25_options *o)
{
	bool given = o && (o->k1 != 0 || o->b != 0);
	*m = (struct model){.k1 = given ? o->k1 : 0.9f,
		.classic = !o || !o->fields,
		.n_fields = 1,
		.fields = {{1, given ? o->b : 0.4f}}};
	if (m->classic)
		return true;
	if (!o->n_fields || o->n_fields > BM25_FIELDS_MAX)
		return false;
	m->n_fields = (uint32_t)o->n_fields;
	for (size_t f = 0; f < o->n_fields; f++) {
		m->fields[f] = o->fields[f];
		if (!(o->fields[f].weight > 0 && o->fields[f].weight < 1e6f &&
			    o->fields[f].b >= 0 && o->fields[f].b <= 1))
			return false;
	}
	return true;
}

enum err bm25_new(const struct bm25_options *o, struct bm25 **out)
{
	struct model model;
	if (!model_make(&model, o))
		return ERR_INVALID;
	struct bm25 *x = calloc(1, sizeof *x);
	if (!x || !(x->snap = snap_new(0))) {
		free(x);
		return ERR_NOMEM;
	}
	x->model = model;
	x->positions = o && o->positions;
	pthread_mutex_init(&x->write, NULL);
	pthread_mutex_init(&x->lock, NULL);
	*out = x;
	return OK;
}

void bm25_free(struct bm25 *x)
{
	if (!x)
		return;
	bm25_pending_free(&x->pending);
	keymap_free(&x->deleted);
	bm25_snap_put(x->snap);
	pthread_mutex_destroy(&x->write);
	pthread_mutex_destroy(&x->lock);
	free(x);
}

enum err bm25_put_fields(
	struct bm25 *x, uint64_t key, const struct bm25_text *texts, struct errtext *et)
{
	for (uint32_t f = 0; f < x->model.n_fields; f++) {
		const struct bm25_text *t = &texts[f];
		if (t->n > BM25_TERMS_MAX)
			return err_set(et, ERR_TOO_LARGE, "a field of %zu terms", t->n);
		for (size_t i = 0; t->at && i < t->n; i++)
			if (t->at[i] >= BM25_TERMS_MAX || (i && t->at[i] < t->at[i - 1]))
				return err_set(et, ERR_INVALID, "positions of terms must ascend");
	}
	pthread_mutex_lock(&x->write);
	bool ok = bm25_pending_add(&x->pending, &x->model, x->positions, key, texts);
	pthread_mutex_unlock(&x->write);
	return ok ? OK : err_set(et, ERR_NOMEM, "no memory for an item's terms");
}

enum err bm25_put(
	struct bm25 *x, uint64_t key, const struct str *terms, size_t n, struct errtext *et)
{
	struct bm25_text texts[BM25_FIELDS_MAX] = {{terms, NULL, n}};
	return bm25_put_fields(x, key, texts, et);
}

enum err bm25_delete(struct bm25 *x, const uint64_t *keys, size_t n, struct errtext *et)
{
	pthread_mutex_lock(&x->write);
	bool ok = keymap_reserve(&x->deleted, n);
	for (size_t i = 0; ok && i < n; i++) {
		keymap_put(&x->deleted, keys[i], 0, NULL);
		bm25_pending_drop(&x->pending, keys[i]);
	}
	pthread_mutex_unlock(&x->write);
	return ok ? OK : err_set(et, ERR_NOMEM, "no memory to delete %zu items", n);
}

static bool bury_keys(const struct keymap *keys, struct part *p)
{
	bool copied = false;
	for (size_t i = 0; i < keys->cap; i++) {
		uint64_t doc;
		if (!keys->slots[i].value || !keymap_get(&p->seg->docs, keys->slots[i].key, &doc) ||
			is_dead(p->live, (uint32_t)doc))
			continue;
		if (!copied) {
			struct live *l = live_new(p->seg, p->live);
			if (!l)
				return false;
			live_put(p->live);
			p->live = l;
			copied = true;
		}
		bury(p->seg, p->live, (uint32_t)doc);
	}
	return true;
}

/* Takes over the reference to seg (NULL: out of memory). */
static bool add_part(struct snap *s, struct seg *seg)
{
	struct live *l = seg ? live_new(seg, NULL) : NULL;
	if (l)
		s->parts[s->n_parts++] = (struct part){seg, l};
	else
		bm25_seg_put(seg);
	return l != NULL;
}

static void drop_part(struct snap *s, size_t i)
{
	bm25_seg_put(s->parts[i].seg);
	live_put(s->parts[i].live);
	memmove(&s->parts[i], &s->parts[i + 1], (--s->n_parts - i) * sizeof s->parts[0]);
}

static bool merge_parts(struct snap *s, size_t first, size_t n, const struct model *m)
{
	struct seg *made = bm25_seg_merge(&s->parts[first], n, m, &s->avg);
	struct live *l = made ? live_new(made, NULL) : NULL;
	if (!l) {
		bm25_seg_put(made);
		return false;
	}
	while (n-- > 1)
		drop_part(s, first + n);
	bm25_seg_put(s->parts[first].seg);
	live_put(s->parts[first].live);
	s->parts[first] = (struct part){made, l};
	return true;
}

/* Parts from the first whose followers together outweigh it half become one; a part that is half
 * dead is rewritten alone. Failing leaves things unmerged, which is only slower. */
static void merge(struct snap *s, const struct model *m)
{
	for (size_t i = s->n_parts; i--;) {
		const struct part *p = &s->parts[i];
		if (!p->live->n_docs) {
			drop_part(s, i);
		} else if (p->live->n_docs * 2 < p->seg->n_docs) {
			if (!merge_parts(s, i, 1, m))
				return;
		}
	}
	size_t first = s->n_parts, after = 0;
	for (size_t i = s->n_parts; i--;) {
		if (i + 1 < s->n_parts && after * 2 >= s->parts[i].live->n_docs)
			first = i;
		after += s->parts[i].live->n_docs;
	}
	if (first + 1 < s->n_parts)
		merge_parts(s, first, s->n_parts - first, m);
}

/* Of the parts and of what is pending. */
static void count(struct snap *s, const struct bm25 *x)
{
	const struct pending *p = &x->pending;
	uint32_t n_fields = x->model.n_fields;
	s->n_docs = p->by_key.n;
	for (size_t i = 0; i < s->n_parts; i++) {
		s->n_docs += s->parts[i].live->n_docs;
		for (uint32_t f = 0; f < n_fields; f++)
			s->len[f] += s->parts[i].live->len[f];
	}
	const uint32_t *len = (const void *)p->len.p;
	for (size_t d = 0; d < p->n; d++)
		for (uint32_t f = 0; f < n_fields && !p->docs[d].dropped; f++)
			s->len[f] += len[d * n_fields + f];
	for (uint32_t f = 0; f < n_fields && s->n_docs; f++)
		s->avg.len[f] = (float)((double)s->len[f] / (double)s->n_docs);
}

enum err bm25_publish(struct bm25 *x, struct errtext *et)
{
	pthread_mutex_lock(&x->write);
	const struct snap *old = x->snap;
	struct snap *s = snap_new(old->n_parts + 1);
	bool ok = s != NULL;
	for (size_t i = 0; ok && i < old->n_parts; i++) {
		struct part *p = &s->parts[s->n_parts++];
		*p = old->parts[i];
		atomic_fetch_add(&p->seg->refs, 1);
		atomic_fetch_add(&p->live->refs, 1);
		ok = bury_keys(&x->deleted, p) && bury_keys(&x->pending.by_key, p);
	}
	if (ok) {
		count(s, x);
		if (x->pending.by_key.n)
			ok = add_part(s, bm25_seg_from_pending(
						 &x->pending, &x->model, &s->avg, x->positions));
	}
	if (ok) {
		merge(s, &x->model);
		pthread_mutex_lock(&x->lock);
		x->snap = s;
		pthread_mutex_unlock(&x->lock);
		s = (struct snap *)old;
		bm25_pending_free(&x->pending);
		keymap_free(&x->deleted);
	}
	bm25_snap_put(s);
	pthread_mutex_unlock(&x->write);
	return ok ? OK : err_set(et, ERR_NOMEM, "no memory to publish the keyword index");
}

size_t bm25_count(struct bm25 *x)
{
	struct snap *s = bm25_snap_get(x);
	size_t n = s->n_docs;
	bm25_snap_put(s);
	return n;
}

size_t bm25_bytes(struct bm25 *x)
{
	struct snap *s = bm25_snap_get(x);
	size_t n = sizeof *x + sizeof *s + s->n_parts * sizeof s->parts[0];
	for (size_t i = 0; i < s->n_parts; i++) {
		const struct seg *g = s->parts[i].seg;
		const struct live *l = s->parts[i].live;
		n += g->bytes + sizeof *l;
		if (l->dead)
			n += ((size_t)g->n_docs / 64 + 1) * sizeof *l->dead +
			     (size_t)g->n_terms * sizeof *l->df;
	}
	bm25_snap_put(s);
	return n;
}
