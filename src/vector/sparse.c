/* The sparse index: what waits, segments, snapshots. As the payload index (fields.c) has it: a
 * publish makes a segment of what waits, buries what was replaced or deleted, and merges segments
 * of like size; what a reader holds never changes. */
#include "vector/sparse_int.h"
#include "base/room.h"

#include <math.h>
#include <stdlib.h>

struct sparse {
	pthread_mutex_t write; /* one writer */
	pthread_mutex_t lock;  /* guards `snap` for the moment it takes to count it */
	struct ssnap *snap;
	struct sdoc *docs; /* that wait */
	size_t n_docs, cap_docs;
	struct keymap by_key, deleted;
};

/* ---- counting ---- */

static void slive_put(struct slive *l)
{
	if (!l || atomic_fetch_sub(&l->refs, 1) != 1)
		return;
	free(l->dead);
	free(l);
}

void ssnap_put(struct ssnap *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	for (size_t i = 0; i < s->n_parts; i++) {
		sseg_put(s->parts[i].seg);
		slive_put(s->parts[i].live);
	}
	free(s);
}

struct ssnap *ssnap_get(struct sparse *x)
{
	pthread_mutex_lock(&x->lock);
	struct ssnap *s = x->snap;
	atomic_fetch_add(&s->refs, 1);
	pthread_mutex_unlock(&x->lock);
	return s;
}

static struct ssnap *ssnap_new(size_t room)
{
	struct ssnap *s = calloc(1, sizeof *s + room * sizeof s->parts[0]);
	if (s)
		atomic_init(&s->refs, 1);
	return s;
}

static struct slive *slive_new(const struct sseg *s, const struct slive *from)
{
	struct slive *l = calloc(1, sizeof *l);
	if (!l)
		return NULL;
	atomic_init(&l->refs, 1);
	l->n_docs = from ? from->n_docs : s->n_docs;
	if (!from)
		return l;
	l->dead = calloc(swords(s->n_docs), sizeof *l->dead);
	if (!l->dead) {
		free(l);
		return NULL;
	}
	if (from->dead)
		memcpy(l->dead, from->dead, swords(s->n_docs) * sizeof *l->dead);
	return l;
}

/* ---- the index ---- */

enum err sparse_new(struct sparse **out, struct errtext *et)
{
	struct sparse *x = calloc(1, sizeof *x);
	if (!x || !(x->snap = ssnap_new(0))) {
		free(x);
		return err_set(et, ERR_NOMEM, "no memory for an index of sparse vectors");
	}
	pthread_mutex_init(&x->write, NULL);
	pthread_mutex_init(&x->lock, NULL);
	*out = x;
	return OK;
}

static void forget_pending(struct sparse *x)
{
	for (size_t i = 0; i < x->n_docs; i++)
		free(x->docs[i].at);
	free(x->docs);
	x->docs = NULL;
	x->n_docs = x->cap_docs = 0;
	keymap_free(&x->by_key);
	keymap_free(&x->deleted);
}

void sparse_free(struct sparse *x)
{
	if (!x)
		return;
	forget_pending(x);
	ssnap_put(x->snap);
	pthread_mutex_destroy(&x->write);
	pthread_mutex_destroy(&x->lock);
	free(x);
}

static void drop_pending(struct sparse *x, uint64_t at)
{
	free(x->docs[at].at);
	x->docs[at].at = NULL;
}

static enum err check(const struct sparse_vector *v, struct errtext *et)
{
	if (v->n > SPARSE_MAX)
		return err_set(et, ERR_TOO_LARGE, "a sparse vector of %zu numbers; the limit is %d",
			v->n, SPARSE_MAX);
	for (size_t i = 0; i < v->n; i++)
		if (!isfinite(v->v[i]) || (i && v->at[i] <= v->at[i - 1]))
			return err_set(et, ERR_INVALID,
				"number %zu of a sparse vector is not finite, or its indices do "
				"not "
				"ascend",
				i);
	return OK;
}

enum err sparse_put(
	struct sparse *x, uint64_t key, const struct sparse_vector *v, struct errtext *et)
{
	uint64_t former;
	enum err e = check(v, et);
	if (e)
		return e;
	uint32_t *copy = malloc(v->n * 2 * sizeof *copy + 1);
	if (copy && v->n) {
		memcpy(copy, v->at, v->n * sizeof *copy);
		memcpy(copy + v->n, v->v, v->n * sizeof *v->v);
	}
	pthread_mutex_lock(&x->write);
	bool ok =
		copy && keymap_reserve(&x->by_key, 1) && heap_room(x->docs, x->n_docs, x->cap_docs);
	if (ok && keymap_put(&x->by_key, key, x->n_docs, &former))
		drop_pending(x, former);
	if (ok)
		x->docs[x->n_docs++] = (struct sdoc){key, copy, (uint32_t)v->n};
	pthread_mutex_unlock(&x->write);
	if (ok)
		return OK;
	free(copy);
	return err_set(et, ERR_NOMEM, "no memory for a sparse vector");
}

enum err sparse_delete(struct sparse *x, const uint64_t *keys, size_t n, struct errtext *et)
{
	pthread_mutex_lock(&x->write);
	bool ok = keymap_reserve(&x->deleted, n);
	for (size_t i = 0; ok && i < n; i++) {
		uint64_t at;
		keymap_put(&x->deleted, keys[i], 0, NULL);
		if (keymap_get(&x->by_key, keys[i], &at)) {
			drop_pending(x, at);
			keymap_del(&x->by_key, keys[i]);
		}
	}
	pthread_mutex_unlock(&x->write);
	return ok ? OK : err_set(et, ERR_NOMEM, "no memory to delete %zu items", n);
}

/* ---- publishing ---- */

bool sseg_doc(const struct sseg *s, uint64_t key, uint32_t *doc)
{
	uint32_t lo = 0, hi = s->n_docs;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (s->keys[mid] < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	*doc = lo;
	return lo < s->n_docs && s->keys[lo] == key;
}

static bool bury_keys(const struct keymap *keys, struct spart *p)
{
	bool copied = false;
	for (size_t i = 0; i < keys->cap; i++) {
		uint32_t doc;
		if (!keys->slots[i].value || !sseg_doc(p->seg, keys->slots[i].key, &doc) ||
			sdead(p->live, doc))
			continue;
		struct slive *l = copied ? p->live : slive_new(p->seg, p->live);
		if (!l)
			return false;
		if (!copied)
			slive_put(p->live);
		copied = true;
		p->live = l;
		l->dead[doc / 64] |= UINT64_C(1) << doc % 64;
		l->n_docs--;
	}
	return true;
}

/* Takes over the reference to seg (NULL: no memory), in place of `n` parts from `at`. */
static bool set_part(struct ssnap *s, size_t at, size_t n, struct sseg *seg)
{
	struct slive *l = seg ? slive_new(seg, NULL) : NULL;
	if (!l) {
		sseg_put(seg);
		return false;
	}
	for (size_t i = at; i < at + n; i++) {
		sseg_put(s->parts[i].seg);
		slive_put(s->parts[i].live);
	}
	memmove(&s->parts[at + 1], &s->parts[at + n], (s->n_parts - at - n) * sizeof s->parts[0]);
	s->n_parts += 1 - n;
	s->parts[at] = (struct spart){seg, l};
	return true;
}

/* Parts from the first whose followers together outweigh it half become one; a part that is half
 * dead is rewritten alone. Failing leaves things unmerged, which is only slower. */
static void merge(struct ssnap *s)
{
	for (size_t i = 0; i < s->n_parts; i++)
		if (s->parts[i].live->n_docs * 2 < s->parts[i].seg->n_docs)
			set_part(s, i, 1, sseg_merge(&s->parts[i], 1));
	size_t first = s->n_parts, after = 0;
	for (size_t i = s->n_parts; i--;) {
		if (i + 1 < s->n_parts && after * 2 >= s->parts[i].live->n_docs)
			first = i;
		after += s->parts[i].live->n_docs;
	}
	if (first + 1 < s->n_parts)
		set_part(s, first, s->n_parts - first,
			sseg_merge(&s->parts[first], s->n_parts - first));
}

/* What waits, as a segment. */
static struct sseg *make_pending(struct sparse *x)
{
	struct sdoc *docs = malloc((x->n_docs + 1) * sizeof *docs);
	size_t n = 0;
	for (size_t i = 0; docs && i < x->n_docs; i++)
		if (x->docs[i].at)
			docs[n++] = x->docs[i];
	struct sseg *s = docs ? sseg_make(docs, n) : NULL;
	free(docs);
	return s;
}

static bool copy_parts(struct sparse *x, struct ssnap *s)
{
	bool ok = true;
	for (size_t i = 0; ok && i < x->snap->n_parts; i++) {
		struct spart *p = &s->parts[s->n_parts++];
		*p = x->snap->parts[i];
		atomic_fetch_add(&p->seg->refs, 1);
		atomic_fetch_add(&p->live->refs, 1);
		ok = bury_keys(&x->deleted, p) && bury_keys(&x->by_key, p);
	}
	return ok;
}

enum err sparse_publish(struct sparse *x, struct errtext *et)
{
	pthread_mutex_lock(&x->write);
	if (!x->by_key.n && !x->deleted.n) {
		forget_pending(x);
		pthread_mutex_unlock(&x->write);
		return OK;
	}
	struct ssnap *old = x->snap, *s = ssnap_new(old->n_parts + 1);
	bool ok = s && copy_parts(x, s);
	if (ok && x->by_key.n)
		ok = set_part(s, s->n_parts, 0, make_pending(x));
	if (ok) {
		merge(s);
		for (size_t i = 0; i < s->n_parts; i++)
			s->n_docs += s->parts[i].live->n_docs;
		pthread_mutex_lock(&x->lock);
		x->snap = s;
		pthread_mutex_unlock(&x->lock);
		s = old;
		forget_pending(x);
	}
	ssnap_put(s);
	pthread_mutex_unlock(&x->write);
	return ok ? OK : err_set(et, ERR_NOMEM, "no memory to publish an index of sparse vectors");
}

size_t sparse_count(struct sparse *x)
{
	struct ssnap *s = ssnap_get(x);
	size_t n = (size_t)s->n_docs;
	ssnap_put(s);
	return n;
}

size_t sparse_bytes(struct sparse *x)
{
	struct ssnap *s = ssnap_get(x);
	size_t n = sizeof *x + sizeof *s + s->n_parts * sizeof s->parts[0];
	for (size_t i = 0; i < s->n_parts; i++) {
		n += s->parts[i].seg->bytes + sizeof *s->parts[i].live;
		if (s->parts[i].live->dead)
			n += swords(s->parts[i].seg->n_docs) * sizeof(uint64_t);
	}
	ssnap_put(s);
	return n;
}
