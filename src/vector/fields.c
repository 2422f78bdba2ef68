/* The payload index: what waits, segments, snapshots. As the keyword index (bm25.c) has it: a
 * publish makes a segment of what waits, buries what was replaced or deleted, and merges segments
 * of like size; what a reader holds never changes. */
#include "base/room.h"
#include "vector/fields_int.h"

#include <stdlib.h>

struct fields {
	struct text_paths text;
	pthread_mutex_t write; /* one writer */
	pthread_mutex_t lock;  /* guards `snap` for the moment it takes to count it */
	struct fsnap *snap;
	/* What waits; a document whose payload is NULL was replaced or deleted meanwhile. */
	struct fdoc *docs;
	size_t n_docs, cap_docs;
	struct keymap by_key, deleted;
};

/* ---- counting ---- */

static void flive_put(struct flive *l)
{
	if (!l || atomic_fetch_sub(&l->refs, 1) != 1)
		return;
	free(l->dead);
	free(l);
}

void fsnap_put(struct fsnap *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	for (size_t i = 0; i < s->n_parts; i++) {
		fseg_put(s->parts[i].seg);
		flive_put(s->parts[i].live);
	}
	free(s);
}

struct fsnap *fsnap_get(struct fields *x)
{
	pthread_mutex_lock(&x->lock);
	struct fsnap *s = x->snap;
	atomic_fetch_add(&s->refs, 1);
	pthread_mutex_unlock(&x->lock);
	return s;
}

static struct fsnap *fsnap_new(size_t room)
{
	struct fsnap *s = calloc(1, sizeof *s + room * sizeof s->parts[0]);
	if (s)
		atomic_init(&s->refs, 1);
	return s;
}

static struct flive *flive_new(const struct fseg *s, const struct flive *from)
{
	struct flive *l = calloc(1, sizeof *l);
	if (!l)
		return NULL;
	atomic_init(&l->refs, 1);
	l->n_docs = from ? from->n_docs : s->n_docs;
	if (!from)
		return l;
	l->dead = calloc(words_of(s->n_docs), sizeof *l->dead);
	if (!l->dead) {
		free(l);
		return NULL;
	}
	if (from->dead)
		memcpy(l->dead, from->dead, words_of(s->n_docs) * sizeof *l->dead);
	return l;
}

/* ---- the index ---- */

bool fields_has_text(const struct text_paths *t, struct str path)
{
	for (size_t i = 0; i < t->n; i++)
		if (str_eq(t->paths[i], path))
			return true;
	return !t->some;
}

const struct text_paths *fields_text(const struct fields *x)
{
	return &x->text;
}

static enum err set_text(struct fields *x, const struct fields_options *o, struct errtext *et)
{
	struct arena *a = arena_new(1 << 20);
	x->text.some = o->some_text;
	x->text.paths = calloc(o->n_text + 1, sizeof *x->text.paths);
	enum err e = a && x->text.paths ? OK : ERR_NOMEM;
	for (size_t i = 0; i < o->n_text && !e; i++) {
		struct str path;
		e = cond_path(o->text[i], a, &path, et);
		if (e)
			break;
		char *copy = str_dup(path);
		if (copy)
			x->text.paths[x->text.n++] = str_mk(copy, path.n);
		else
			e = ERR_NOMEM;
	}
	arena_free(a);
	return e;
}

enum err fields_new(const struct fields_options *o, struct fields **out, struct errtext *et)
{
	struct fields *x = calloc(1, sizeof *x);
	if (!x || !(x->snap = fsnap_new(0))) {
		free(x);
		return err_set(et, ERR_NOMEM, "no memory for an index of payloads");
	}
	pthread_mutex_init(&x->write, NULL);
	pthread_mutex_init(&x->lock, NULL);
	enum err e = o ? set_text(x, o, et) : OK;
	if (e) {
		fields_free(x);
		return e == ERR_NOMEM ? err_set(et, e, "no memory for an index of payloads") : e;
	}
	*out = x;
	return OK;
}

static void forget_pending(struct fields *x)
{
	for (size_t i = 0; i < x->n_docs; i++)
		free((char *)x->docs[i].payload.p);
	free(x->docs);
	x->docs = NULL;
	x->n_docs = x->cap_docs = 0;
	keymap_free(&x->by_key);
	keymap_free(&x->deleted);
}

void fields_free(struct fields *x)
{
	if (!x)
		return;
	forget_pending(x);
	fsnap_put(x->snap);
	for (size_t i = 0; i < x->text.n; i++)
		free((char *)x->text.paths[i].p);
	free(x->text.paths);
	pthread_mutex_destroy(&x->write);
	pthread_mutex_destroy(&x->lock);
	free(x);
}

static void drop_pending(struct fields *x, uint64_t at)
{
	free((char *)x->docs[at].payload.p);
	x->docs[at].payload = (struct str){0};
}

enum err fields_put(struct fields *x, uint64_t key, struct str payload, struct errtext *et)
{
	yyjson_doc *doc;
	enum err e = json_parse(payload, &doc, et);
	if (e)
		return e;
	bool object = yyjson_is_obj(yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	if (!object)
		return err_set(et, ERR_INVALID, "a payload must be a JSON object");
	char *copy = str_dup(payload);
	pthread_mutex_lock(&x->write);
	bool ok =
		copy && keymap_reserve(&x->by_key, 1) && heap_room(x->docs, x->n_docs, x->cap_docs);
	uint64_t former;
	if (ok && keymap_put(&x->by_key, key, x->n_docs, &former))
		drop_pending(x, former);
	if (ok)
		x->docs[x->n_docs++] = (struct fdoc){key, str_mk(copy, payload.n)};
	pthread_mutex_unlock(&x->write);
	if (ok)
		return OK;
	free(copy);
	return err_set(et, ERR_NOMEM, "no memory for a payload");
}

enum err fields_delete(struct fields *x, const uint64_t *keys, size_t n, struct errtext *et)
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

static bool find_key(const struct fseg *s, uint64_t key, uint32_t *doc)
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

static bool bury_keys(const struct keymap *keys, struct fpart *p)
{
	bool copied = false;
	for (size_t i = 0; i < keys->cap; i++) {
		uint32_t doc;
		if (!keys->slots[i].value || !find_key(p->seg, keys->slots[i].key, &doc) ||
			(p->live->dead && p->live->dead[doc / 64] >> doc % 64 & 1))
			continue;
		struct flive *l = copied ? p->live : flive_new(p->seg, p->live);
		if (!l)
			return false;
		if (!copied)
			flive_put(p->live);
		copied = true;
		p->live = l;
		l->dead[doc / 64] |= UINT64_C(1) << doc % 64;
		l->n_docs--;
	}
	return true;
}

/* Takes over the reference to seg (NULL: no memory), in place of `n` parts from `at`. */
static bool set_part(struct fsnap *s, size_t at, size_t n, struct fseg *seg)
{
	struct flive *l = seg ? flive_new(seg, NULL) : NULL;
	if (!l) {
		fseg_put(seg);
		return false;
	}
	for (size_t i = at; i < at + n; i++) {
		fseg_put(s->parts[i].seg);
		flive_put(s->parts[i].live);
	}
	memmove(&s->parts[at + 1], &s->parts[at + n], (s->n_parts - at - n) * sizeof s->parts[0]);
	s->n_parts += 1 - n;
	s->parts[at] = (struct fpart){seg, l};
	return true;
}

/* Parts from the first whose followers together outweigh it half become one; a part that is half
 * dead is rewritten alone. Failing leaves things unmerged, which is only slower. */
static void merge(struct fsnap *s)
{
	for (size_t i = 0; i < s->n_parts; i++)
		if (s->parts[i].live->n_docs * 2 < s->parts[i].seg->n_docs)
			set_part(s, i, 1, fseg_merge(&s->parts[i], 1));
	size_t first = s->n_parts, after = 0;
	for (size_t i = s->n_parts; i--;) {
		if (i + 1 < s->n_parts && after * 2 >= s->parts[i].live->n_docs)
			first = i;
		after += s->parts[i].live->n_docs;
	}
	if (first + 1 < s->n_parts)
		set_part(s, first, s->n_parts - first,
			fseg_merge(&s->parts[first], s->n_parts - first));
}

/* What waits, as a segment. */
static struct fseg *make_pending(struct fields *x)
{
	struct fdoc *docs = malloc((x->n_docs + 1) * sizeof *docs);
	size_t n = 0;
	for (size_t i = 0; docs && i < x->n_docs; i++)
		if (x->docs[i].payload.p)
			docs[n++] = x->docs[i];
	struct fseg *s = docs ? fseg_make(docs, n, &x->text) : NULL;
	free(docs);
	return s;
}

enum err fields_publish(struct fields *x, struct errtext *et)
{
	pthread_mutex_lock(&x->write);
	struct fsnap *old = x->snap, *s = fsnap_new(old->n_parts + 1);
	bool ok = s != NULL;
	for (size_t i = 0; ok && i < old->n_parts; i++) {
		struct fpart *p = &s->parts[s->n_parts++];
		*p = old->parts[i];
		atomic_fetch_add(&p->seg->refs, 1);
		atomic_fetch_add(&p->live->refs, 1);
		ok = bury_keys(&x->deleted, p) && bury_keys(&x->by_key, p);
	}
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
	fsnap_put(s);
	pthread_mutex_unlock(&x->write);
	return ok ? OK : err_set(et, ERR_NOMEM, "no memory to publish the index of payloads");
}

size_t fields_count(struct fields *x)
{
	struct fsnap *s = fsnap_get(x);
	size_t n = (size_t)s->n_docs;
	fsnap_put(s);
	return n;
}

size_t fields_bytes(struct fields *x)
{
	struct fsnap *s = fsnap_get(x);
	size_t n = sizeof *x + sizeof *s + s->n_parts * sizeof s->parts[0];
	for (size_t i = 0; i < s->n_parts; i++) {
		n += s->parts[i].seg->bytes + sizeof *s->parts[i].live;
		if (s->parts[i].live->dead)
			n += words_of(s->parts[i].seg->n_docs) * sizeof(uint64_t);
	}
	fsnap_put(s);
	return n;
}
