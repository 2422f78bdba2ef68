/* Keyword search: BM25 over immutable segments.
 *
 * Items that are put gather in `pending`; a publish turns them into a new segment, buries what was
 * deleted or replaced, and shows the result as one snapshot. Segments of like size are then merged,
 * so that n items lie in about log2(n) segments and each is rewritten about log2(n) times.
 *Invariants:
 *
 *	1. A segment never changes. Which of its items live, and how many of those contain each
 *term, stands beside it in a `live`, copied before it changes.
 *	2. A key is alive in at most one segment of a snapshot.
 *	3. N, df and the average length count living items only, and a score is summed in the order
 *of the query's terms: it is the same bits however the items are laid out.
 *	4. Snapshots, segments and lives are counted; a search holds the snapshot that it began
 *with.
 *
 * A search goes document by document through the postings of all terms (MaxScore): terms whose
 * greatest possible scores together cannot reach the k-th best are only looked up for documents
 * that others found. The bound of a term in a segment is that of its largest tf in its shortest
 * item. */
#include "base/hash.h"
#include "vector/vector_int.h"

#include <math.h>
#include <stdlib.h>

struct term {
	uint64_t name_at, post_at; /* into names, post_* */
	uint32_t name_n, post_n;
	uint32_t max_tf, min_len;
};

struct seg {
	atomic_size_t refs;
	uint32_t n_docs, n_terms;
	uint64_t *keys;
	uint32_t *len;      /* terms of an item, duplicates counted */
	struct keymap docs; /* key to document */
	/* Items to their terms: [fwd_at[d], fwd_at[d + 1]). */
	uint64_t *fwd_at;
	uint32_t *fwd_term, *fwd_tf;
	/* Terms to their items, ascending. */
	struct term *terms;
	char *names;
	uint32_t *post_doc, *post_tf;
	uint32_t *slots; /* names to terms: number + 1 */
	size_t n_slots;
};

struct live {
	atomic_size_t refs;
	uint32_t n_docs;
	uint64_t len;   /* of the living, together */
	uint64_t *dead; /* a bit for each item */
	uint32_t *df;   /* of the living, for each term */
};

struct part {
	struct seg *seg;
	struct live *live;
};

struct snap {
	atomic_size_t refs;
	size_t n_parts;
	uint64_t n_docs, len;
	struct part parts[];
};

struct pending {
	uint64_t key;
	size_t first, n; /* of pend_terms */
	bool dropped;    /* replaced or deleted before it was published */
};

struct bm25 {
	float k1, b;
	pthread_mutex_t write; /* one writer */
	pthread_mutex_t lock;  /* guards `snap` for the moment it takes to count it */
	struct snap *snap;
	/* The writer's: what the next publish does. */
	struct buf pend_docs, pend_terms, pend_bytes; /* struct pending, struct span, names */
	struct keymap pend_at;                        /* key to the index of its pending */
	struct keymap deleted;
};

struct span {
	size_t at, n;
};

/* ---- counting ---- */

static void seg_put(struct seg *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	void *owned[] = {s->keys, s->len, s->fwd_at, s->fwd_term, s->fwd_tf, s->terms, s->names,
		s->post_doc, s->post_tf, s->slots};
	for (size_t i = 0; i < ARRAY_LEN(owned); i++)
		free(owned[i]);
	keymap_free(&s->docs);
	free(s);
}

static void live_put(struct live *l)
{
	if (!l || atomic_fetch_sub(&l->refs, 1) != 1)
		return;
	free(l->dead);
	free(l->df);
	free(l);
}

static void snap_put(struct snap *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	for (size_t i = 0; i < s->n_parts; i++) {
		seg_put(s->parts[i].seg);
		live_put(s->parts[i].live);
	}
	free(s);
}

static struct snap *snap_get(struct bm25 *x)
{
	pthread_mutex_lock(&x->lock);
	struct snap *s = x->snap;
	atomic_fetch_add(&s->refs, 1);
	pthread_mutex_unlock(&x->lock);
	return s;
}

static struct snap *snap_new(size_t room)
{
	struct snap *s = calloc(1, sizeof *s + room * sizeof s->parts[0]);
	if (s)
		atomic_init(&s->refs, 1);
	return s;
}

static bool is_dead(const struct live *l, uint32_t doc)
{
	return l->dead[doc / 64] >> doc % 64 & 1;
}

static struct live *live_new(const struct seg *s, const struct live *from)
{
	struct live *l = calloc(1, sizeof *l);
	if (!l)
		return NULL;
	atomic_init(&l->refs, 1);
	size_t words = s->n_docs / 64 + 1;
	l->dead = calloc(words, sizeof *l->dead);
	l->df = malloc((s->n_terms + 1) * sizeof *l->df);
	if (!l->dead || !l->df) {
		live_put(l);
		return NULL;
	}
	if (from) {
		l->n_docs = from->n_docs;
		l->len = from->len;
		memcpy(l->dead, from->dead, words * sizeof *l->dead);
		memcpy(l->df, from->df, s->n_terms * sizeof *l->df);
		return l;
	}
	l->n_docs = s->n_docs;
	for (uint32_t d = 0; d < s->n_docs; d++)
		l->len += s->len[d];
	for (uint32_t t = 0; t < s->n_terms; t++)
		l->df[t] = s->terms[t].post_n;
	return l;
}

static void bury(const struct seg *s, struct live *l, uint32_t doc)
{
	l->dead[doc / 64] |= UINT64_C(1) << doc % 64;
	l->n_docs--;
	l->len -= s->len[doc];
	for (uint64_t i = s->fwd_at[doc]; i < s->fwd_at[doc + 1]; i++)
		l->df[s->fwd_term[i]]--;
}

/* ---- building a segment ---- */

/* Slot of a name: that of its term, or a free one. */
static size_t seg_slot(const struct seg *s, struct str name)
{
	size_t i = hash64(name) & (s->n_slots - 1);
	for (; s->slots[i]; i = (i + 1) & (s->n_slots - 1)) {
		const struct term *t = &s->terms[s->slots[i] - 1];
		if (str_eq(str_mk(s->names + t->name_at, t->name_n), name))
			break;
	}
	return i;
}

static bool seg_term(const struct seg *s, struct str name, uint32_t *term)
{
	if (!s->n_terms)
		return false;
	uint32_t t = s->slots[seg_slot(s, name)];
	*term = t - 1;
	return t != 0;
}

static struct str term_name(const struct seg *s, uint32_t t)
{
	return str_mk(s->names + s->terms[t].name_at, s->terms[t].name_n);
}

/* A segment with room for so many of each; the counts start at 0. */
static struct seg *seg_new(size_t docs, size_t terms, size_t posts, size_t bytes)
{
	struct seg *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	atomic_init(&s->refs, 1);
	s->n_slots = 16;
	while (s->n_slots < terms * 2)
		s->n_slots *= 2;
	s->keys = malloc((docs + 1) * sizeof *s->keys);
	s->len = malloc((docs + 1) * sizeof *s->len);
	s->fwd_at = calloc(docs + 2, sizeof *s->fwd_at);
	s->fwd_term = malloc((posts + 1) * sizeof *s->fwd_term);
	s->fwd_tf = malloc((posts + 1) * sizeof *s->fwd_tf);
	s->terms = calloc(terms + 1, sizeof *s->terms);
	s->names = malloc(bytes + 1);
	s->post_doc = malloc((posts + 1) * sizeof *s->post_doc);
	s->post_tf = malloc((posts + 1) * sizeof *s->post_tf);
	s->slots = calloc(s->n_slots, sizeof *s->slots);
	if (!s->keys || !s->len || !s->fwd_at || !s->fwd_term || !s->fwd_tf || !s->terms ||
		!s->names || !s->post_doc || !s->post_tf || !s->slots ||
		!keymap_reserve(&s->docs, docs)) {
		seg_put(s);
		return NULL;
	}
	return s;
}

static uint32_t seg_intern(struct seg *s, struct str name, size_t *names_n)
{
	size_t i = seg_slot(s, name);
	if (!s->slots[i]) {
		struct term *t = &s->terms[s->n_terms];
		t->name_at = *names_n;
		t->name_n = (uint32_t)name.n;
		t->min_len = UINT32_MAX;
		memcpy(s->names + *names_n, name.p, name.n);
		*names_n += name.n;
		s->slots[i] = ++s->n_terms;
	}
	return s->slots[i] - 1;
}

/* fwd_* of one more document are written; finishes it. */
static void seg_add_doc(struct seg *s, uint64_t key, uint32_t len, uint64_t fwd_end)
{
	uint32_t d = s->n_docs++;
	s->keys[d] = key;
	s->len[d] = len;
	keymap_put(&s->docs, key, d, NULL);
	for (uint64_t i = s->fwd_at[d]; i < fwd_end; i++) {
		struct term *t = &s->terms[s->fwd_term[i]];
		t->post_n++;
		t->max_tf = MAX(t->max_tf, s->fwd_tf[i]);
		t->min_len = MIN(t->min_len, len);
	}
	s->fwd_at[d + 1] = fwd_end;
}

/* All documents are there: the postings, by counting. */
static void seg_finish(struct seg *s)
{
	uint64_t at = 0;
	for (uint32_t t = 0; t < s->n_terms; t++) {
		s->terms[t].post_at = at;
		at += s->terms[t].post_n;
		s->terms[t].post_n = 0;
	}
	for (uint32_t d = 0; d < s->n_docs; d++)
		for (uint64_t i = s->fwd_at[d]; i < s->fwd_at[d + 1]; i++) {
			struct term *t = &s->terms[s->fwd_term[i]];
			uint64_t p = t->post_at + t->post_n++;
			s->post_doc[p] = d;
			s->post_tf[p] = s->fwd_tf[i];
		}
}

static struct seg *seg_from_pending(const struct bm25 *x)
{
	const struct pending *docs = (const void *)x->pend_docs.p;
	size_t n = x->pend_docs.n / sizeof *docs;
	const struct span *spans = (const void *)x->pend_terms.p;
	size_t terms = x->pend_terms.n / sizeof *spans;
	struct seg *s = seg_new(n, terms, terms, x->pend_bytes.n);
	uint64_t *seen = malloc((terms + 1) * sizeof *seen); /* term to its place in fwd_*, + 1 */
	if (!s || !seen) {
		seg_put(s);
		free(seen);
		return NULL;
	}
	memset(seen, 0, (terms + 1) * sizeof *seen);
	size_t names_n = 0;
	uint64_t end = 0;
	for (size_t d = 0; d < n; d++) {
		if (docs[d].dropped)
			continue;
		uint64_t first = end;
		for (size_t i = 0; i < docs[d].n; i++) {
			struct span sp = spans[docs[d].first + i];
			uint32_t t = seg_intern(s, str_mk(x->pend_bytes.p + sp.at, sp.n), &names_n);
			if (seen[t] <= first) {
				s->fwd_term[end] = t;
				s->fwd_tf[end] = 0;
				seen[t] = ++end;
			}
			s->fwd_tf[seen[t] - 1]++;
		}
		seg_add_doc(s, docs[d].key, (uint32_t)docs[d].n, end);
	}
	free(seen);
	seg_finish(s);
	return s;
}

/* The living of some parts, as one segment. */
static struct seg *seg_merge(const struct part *parts, size_t n)
{
	size_t docs = 0, terms = 0, posts = 0, bytes = 0, most_terms = 0;
	for (size_t i = 0; i < n; i++) {
		const struct seg *s = parts[i].seg;
		docs += parts[i].live->n_docs;
		most_terms = MAX(most_terms, s->n_terms);
		for (uint32_t t = 0; t < s->n_terms; t++)
			if (parts[i].live->df[t]) {
				terms++;
				posts += parts[i].live->df[t];
				bytes += s->terms[t].name_n;
			}
	}
	struct seg *m = seg_new(docs, terms, posts, bytes);
	uint32_t *to = malloc((most_terms + 1) * sizeof *to);
	if (!m || !to) {
		seg_put(m);
		free(to);
		return NULL;
	}
	size_t names_n = 0;
	uint64_t end = 0;
	for (size_t i = 0; i < n; i++) {
		const struct seg *s = parts[i].seg;
		for (uint32_t t = 0; t < s->n_terms; t++)
			if (parts[i].live->df[t])
				to[t] = seg_intern(m, term_name(s, t), &names_n);
		for (uint32_t d = 0; d < s->n_docs; d++) {
			if (is_dead(parts[i].live, d))
				continue;
			for (uint64_t j = s->fwd_at[d]; j < s->fwd_at[d + 1]; j++, end++) {
				m->fwd_term[end] = to[s->fwd_term[j]];
				m->fwd_tf[end] = s->fwd_tf[j];
			}
			seg_add_doc(m, s->keys[d], s->len[d], end);
		}
	}
	free(to);
	seg_finish(m);
	return m;
}

/* ---- the index ---- */

enum err bm25_new(const struct bm25_options *o, struct bm25 **out)
{
	struct bm25 *x = calloc(1, sizeof *x);
	if (!x || !(x->snap = snap_new(0))) {
		free(x);
		return ERR_NOMEM;
	}
	bool given = o && (o->k1 != 0 || o->b != 0);
	x->k1 = given ? o->k1 : 0.9f;
	x->b = given ? o->b : 0.4f;
	pthread_mutex_init(&x->write, NULL);
	pthread_mutex_init(&x->lock, NULL);
	*out = x;
	return OK;
}

static void pending_clear(struct bm25 *x)
{
	buf_clear(&x->pend_docs);
	buf_clear(&x->pend_terms);
	buf_clear(&x->pend_bytes);
	keymap_free(&x->pend_at);
	keymap_free(&x->deleted);
}

void bm25_free(struct bm25 *x)
{
	if (!x)
		return;
	pending_clear(x);
	buf_free(&x->pend_docs);
	buf_free(&x->pend_terms);
	buf_free(&x->pend_bytes);
	snap_put(x->snap);
	pthread_mutex_destroy(&x->write);
	pthread_mutex_destroy(&x->lock);
	free(x);
}

static struct pending *pending_at(struct bm25 *x, uint64_t i)
{
	return (struct pending *)(void *)x->pend_docs.p + i;
}

enum err bm25_put(
	struct bm25 *x, uint64_t key, const struct str *terms, size_t n, struct errtext *et)
{
	if (n > UINT32_MAX)
		return err_set(et, ERR_TOO_LARGE, "an item of %zu terms", n);
	size_t bytes = 0;
	for (size_t i = 0; i < n; i++)
		bytes += terms[i].n;
	pthread_mutex_lock(&x->write);
	bool ok = keymap_reserve(&x->pend_at, 1) &&
		  buf_reserve(&x->pend_docs, sizeof(struct pending)) &&
		  buf_reserve(&x->pend_terms, n * sizeof(struct span) + 1) &&
		  buf_reserve(&x->pend_bytes, bytes + 1);
	if (ok) { /* nothing can fail from here */
		struct pending p = {key, x->pend_terms.n / sizeof(struct span), n, false};
		uint64_t former;
		if (keymap_put(&x->pend_at, key, x->pend_docs.n / sizeof p, &former))
			pending_at(x, former)->dropped = true;
		buf_add(&x->pend_docs, &p, sizeof p);
		for (size_t i = 0; i < n; i++) {
			struct span sp = {x->pend_bytes.n, terms[i].n};
			buf_add(&x->pend_terms, &sp, sizeof sp);
			buf_adds(&x->pend_bytes, terms[i]);
		}
	} else {
		x->pend_docs.err = x->pend_terms.err = x->pend_bytes.err = OK;
	}
	pthread_mutex_unlock(&x->write);
	return ok ? OK : err_set(et, ERR_NOMEM, "no memory for an item of %zu terms", n);
}

enum err bm25_delete(struct bm25 *x, const uint64_t *keys, size_t n, struct errtext *et)
{
	pthread_mutex_lock(&x->write);
	bool ok = keymap_reserve(&x->deleted, n);
	for (size_t i = 0; ok && i < n; i++) {
		uint64_t at;
		keymap_put(&x->deleted, keys[i], 0, NULL);
		if (keymap_get(&x->pend_at, keys[i], &at)) {
			pending_at(x, at)->dropped = true;
			keymap_del(&x->pend_at, keys[i]);
		}
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
		seg_put(seg);
	return l != NULL;
}

static void drop_part(struct snap *s, size_t i)
{
	seg_put(s->parts[i].seg);
	live_put(s->parts[i].live);
	memmove(&s->parts[i], &s->parts[i + 1], (--s->n_parts - i) * sizeof s->parts[0]);
}

/* Parts from the first whose followers together outweigh it half become one; a part that is half
 * dead is rewritten alone. Failing leaves things unmerged, which is only slower. */
static void merge(struct snap *s)
{
	for (size_t i = s->n_parts; i--;) {
		const struct part *p = &s->parts[i];
		if (!p->live->n_docs) {
			drop_part(s, i);
		} else if (p->live->n_docs * 2 < p->seg->n_docs) {
			struct seg *m = seg_merge(p, 1);
			struct live *l = m ? live_new(m, NULL) : NULL;
			if (!l) {
				seg_put(m);
				return;
			}
			seg_put(p->seg);
			live_put(p->live);
			s->parts[i] = (struct part){m, l};
		}
	}
	size_t first = s->n_parts, after = 0;
	for (size_t i = s->n_parts; i--;) {
		if (i + 1 < s->n_parts && after * 2 >= s->parts[i].live->n_docs)
			first = i;
		after += s->parts[i].live->n_docs;
	}
	if (first + 1 >= s->n_parts)
		return;
	struct seg *m = seg_merge(&s->parts[first], s->n_parts - first);
	struct live *l = m ? live_new(m, NULL) : NULL;
	if (!l) {
		seg_put(m);
		return;
	}
	while (s->n_parts > first)
		drop_part(s, s->n_parts - 1);
	s->parts[s->n_parts++] = (struct part){m, l};
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
		ok = bury_keys(&x->deleted, p) && bury_keys(&x->pend_at, p);
	}
	if (ok && x->pend_at.n)
		ok = add_part(s, seg_from_pending(x));
	if (ok) {
		merge(s);
		for (size_t i = 0; i < s->n_parts; i++) {
			s->n_docs += s->parts[i].live->n_docs;
			s->len += s->parts[i].live->len;
		}
		pthread_mutex_lock(&x->lock);
		x->snap = s;
		pthread_mutex_unlock(&x->lock);
		s = (struct snap *)old;
		pending_clear(x);
	}
	snap_put(s);
	pthread_mutex_unlock(&x->write);
	return ok ? OK : err_set(et, ERR_NOMEM, "no memory to publish the keyword index");
}

size_t bm25_count(struct bm25 *x)
{
	struct snap *s = snap_get(x);
	size_t n = s->n_docs;
	snap_put(s);
	return n;
}

/* ---- searching ---- */

struct query {
	size_t n; /* different terms */
	struct query_term {
		struct str term;
		uint32_t count, df; /* in the query; living items that contain it */
		float idf;
	} * terms;
	float k1, b, len_avg;
};

static int by_term(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* Terms in byte order, once each. */
static bool query_make(struct query *q, const struct bm25 *x, const struct snap *s,
	const struct str *terms, size_t n)
{
	struct str *sorted = malloc((n + 1) * sizeof *sorted);
	*q = (struct query){.terms = calloc(n + 1, sizeof *q->terms), .k1 = x->k1, .b = x->b};
	if (!sorted || !q->terms) {
		free(sorted);
		free(q->terms);
		return false;
	}
	q->len_avg = s->n_docs ? (float)((double)s->len / (double)s->n_docs) : 0;
	if (n)
		memcpy(sorted, terms, n * sizeof *sorted);
	qsort(sorted, n, sizeof *sorted, by_term);
	for (size_t i = 0; i < n; i++) {
		if (q->n && str_eq(q->terms[q->n - 1].term, sorted[i])) {
			q->terms[q->n - 1].count++;
			continue;
		}
		struct query_term *t = &q->terms[q->n++];
		*t = (struct query_term){.term = sorted[i], .count = 1};
		for (size_t p = 0; p < s->n_parts; p++) {
			uint32_t id;
			if (seg_term(s->parts[p].seg, t->term, &id))
				t->df += s->parts[p].live->df[id];
		}
		t->idf = (float)log(1 + ((double)s->n_docs - t->df + 0.5) / (t->df + 0.5));
	}
	free(sorted);
	return true;
}

static float part_score(
	const struct query *q, const struct query_term *t, uint32_t tf, uint32_t len)
{
	float norm = q->k1 * (1 - q->b + q->b * ((float)len / q->len_avg));
	return (float)t->count * t->idf * ((float)tf / ((float)tf + norm));
}

struct cursor {
	const struct query_term *t;
	const uint32_t *doc, *tf;
	size_t at, n;
	float bound;
	float score; /* for the document at hand */
};

static int by_bound(const void *pa, const void *pb)
{
	const struct cursor *a = pa, *b = pb;
	if (a->bound != b->bound)
		return a->bound < b->bound ? -1 : 1;
	return str_cmp(a->t->term, b->t->term);
}

/* Moves to the first posting at or after doc; true when it is doc. */
static bool seek(struct cursor *c, uint32_t doc)
{
	size_t step = 1, lo = c->at;
	while (lo + step < c->n && c->doc[lo + step] < doc) {
		lo += step;
		step *= 2;
	}
	size_t hi = MIN(lo + step, c->n);
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (c->doc[mid] < doc)
			lo = mid + 1;
		else
			hi = mid;
	}
	c->at = lo;
	return lo < c->n && c->doc[lo] == doc;
}

/* The sum in the order of the query's terms, which is that of addresses in q->terms. */
static float ordered_sum(const struct cursor *c, size_t n, float *scratch, const struct query *q)
{
	memset(scratch, 0, q->n * sizeof *scratch);
	for (size_t i = 0; i < n; i++)
		scratch[c[i].t - q->terms] = c[i].score;
	float sum = 0;
	for (size_t i = 0; i < q->n; i++)
		sum += scratch[i];
	return sum;
}

static void search_part(const struct query *q, const struct part *p, struct cursor *c,
	float *scratch, vector_keep_fn keep, void *ctx, struct topk *top)
{
	const struct seg *s = p->seg;
	size_t n = 0;
	for (size_t i = 0; i < q->n; i++) {
		uint32_t id;
		if (!seg_term(s, q->terms[i].term, &id) || !p->live->df[id])
			continue;
		const struct term *t = &s->terms[id];
		c[n++] = (struct cursor){.t = &q->terms[i],
			.doc = s->post_doc + t->post_at,
			.tf = s->post_tf + t->post_at,
			.n = t->post_n,
			.bound = part_score(q, &q->terms[i], t->max_tf, t->min_len) * 1.0001f};
	}
	qsort(c, n, sizeof *c, by_bound);
	size_t needed = 0; /* c[0..needed) cannot make a hit alone */
	float below = 0;   /* their bounds together */
	for (;;) {
		while (top->n == top->k && needed < n &&
			(below + c[needed].bound) * 1.0001f < top->hits[0].score)
			below += c[needed++].bound;
		uint32_t doc = UINT32_MAX;
		for (size_t i = needed; i < n; i++)
			if (c[i].at < c[i].n && c[i].doc[c[i].at] < doc)
				doc = c[i].doc[c[i].at];
		if (doc == UINT32_MAX)
			return;
		float so_far = 0, possible = below;
		for (size_t i = needed; i < n; i++) {
			c[i].score = 0;
			if (c[i].at < c[i].n && c[i].doc[c[i].at] == doc)
				so_far += c[i].score =
					part_score(q, c[i].t, c[i].tf[c[i].at++], s->len[doc]);
		}
		bool full = top->n == top->k;
		float worst = full ? top->hits[0].score : 0;
		bool hopeless = is_dead(p->live, doc);
		for (size_t i = needed; i-- > 0;) {
			c[i].score = 0;
			if (hopeless || (full && (so_far + possible) * 1.0001f < worst)) {
				hopeless = true;
				continue;
			}
			possible -= c[i].bound;
			if (seek(&c[i], doc))
				so_far += c[i].score =
					part_score(q, c[i].t, c[i].tf[c[i].at], s->len[doc]);
		}
		if (hopeless)
			continue;
		struct hit h = {s->keys[doc], ordered_sum(c, n, scratch, q)};
		if (!topk_wants(top, h) || (keep && !keep(ctx, h.key)))
			continue;
		topk_add(top, h);
	}
}

enum err bm25_search(struct bm25 *x, const struct str *terms, size_t n_terms, size_t k,
	vector_keep_fn keep, void *ctx, struct hit *out, size_t *n, const struct cancel *cancel,
	struct errtext *et)
{
	struct snap *s = snap_get(x);
	struct query q;
	struct topk top = {out, 0, k};
	enum err e = OK;
	if (!query_make(&q, x, s, terms, n_terms)) {
		snap_put(s);
		return err_set(et, ERR_NOMEM, "no memory for a search of %zu terms", n_terms);
	}
	struct cursor *c = calloc(q.n + 1, sizeof *c);
	float *scratch = calloc(q.n + 1, sizeof *scratch);
	if (!c || !scratch)
		e = err_set(et, ERR_NOMEM, "no memory for a search of %zu terms", n_terms);
	for (size_t i = 0; !e && k && i < s->n_parts; i++) {
		search_part(&q, &s->parts[i], c, scratch, keep, ctx, &top);
		if (cancelled(cancel))
			e = err_set(et, ERR_CANCELLED, "the search was cancelled");
	}
	free(c);
	free(scratch);
	free(q.terms);
	snap_put(s);
	if (e)
		return e;
	topk_sort(&top);
	*n = top.n;
	return OK;
}

/* The living item of a key; NULL: none. */
static const struct part *find_doc(const struct snap *s, uint64_t key, uint32_t *doc)
{
	for (size_t p = 0; p < s->n_parts; p++) {
		uint64_t d;
		if (keymap_get(&s->parts[p].seg->docs, key, &d) &&
			!is_dead(s->parts[p].live, (uint32_t)d)) {
			*doc = (uint32_t)d;
			return &s->parts[p];
		}
	}
	return NULL;
}

static uint32_t tf_of(const struct seg *s, uint32_t doc, struct str term)
{
	uint32_t id;
	if (!seg_term(s, term, &id))
		return 0;
	const struct term *t = &s->terms[id];
	struct cursor c = {.doc = s->post_doc + t->post_at, .n = t->post_n};
	return seek(&c, doc) ? s->post_tf[t->post_at + c.at] : 0;
}

void bm25_scores(struct bm25 *x, const struct str *terms, size_t n_terms, const uint64_t *keys,
	size_t n, float *out)
{
	struct snap *s = snap_get(x);
	struct query q;
	memset(out, 0, n * sizeof *out);
	if (query_make(&q, x, s, terms, n_terms)) {
		for (size_t i = 0; i < n; i++) {
			uint32_t doc, tf;
			const struct part *p = find_doc(s, keys[i], &doc);
			for (size_t t = 0; p && t < q.n; t++)
				if ((tf = tf_of(p->seg, doc, q.terms[t].term)))
					out[i] += part_score(&q, &q.terms[t], tf, p->seg->len[doc]);
		}
		free(q.terms);
	}
	snap_put(s);
}

size_t bm25_explain(struct bm25 *x, const struct str *terms, size_t n_terms, uint64_t key,
	struct bm25_term_score *out, size_t max)
{
	struct snap *s = snap_get(x);
	struct query q;
	size_t n = 0;
	uint32_t doc;
	const struct part *p = find_doc(s, key, &doc);
	if (p && query_make(&q, x, s, terms, n_terms)) {
		for (size_t t = 0; t < q.n && n < max; t++) {
			uint32_t tf = tf_of(p->seg, doc, q.terms[t].term);
			if (tf)
				out[n++] = (struct bm25_term_score){q.terms[t].term,
					part_score(&q, &q.terms[t], tf, p->seg->len[doc]), tf,
					q.terms[t].df};
		}
		free(q.terms);
	}
	snap_put(s);
	return n;
}

void bm25_idf(struct bm25 *x, const struct str *terms, size_t n_terms, float *idf, uint32_t *df)
{
	struct snap *s = snap_get(x);
	for (size_t i = 0; i < n_terms; i++) {
		struct query q;
		idf[i] = 0;
		if (df)
			df[i] = 0;
		if (!query_make(&q, x, s, &terms[i], 1))
			continue;
		idf[i] = q.terms[0].idf;
		if (df)
			df[i] = q.terms[0].df;
		free(q.terms);
	}
	snap_put(s);
}
