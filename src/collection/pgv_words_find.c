/* Searching by words in pgvector: what vector/bm25.h says, over postings in the database.
 *
 * A query's clauses become terms (what a beginning or a misspelt word stands for is looked up in
 * the vocabulary) and phrases. Counts give their weights; how many items have a phrase is found by
 * a first pass over the numbers of items in which all its terms occur. Then chunks of 1,024 numbers
 * come, those that may have the best items first, until no other can; each is scored by the same
 * arithmetic, in the same order, as the index in memory does. */
#include "collection/pgv_words.h"
#include "base/room.h"
#include "vector/bm25_score.h"

#include <stdlib.h>

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a search by words");
}

/* Sums are made in another order than bounds. */
static const double SLACK = 1.0001;

/* What a clause stands for. */
struct meaning {
	const struct bm25_clause *clause;
	struct post_term *terms; /* of a phrase: its terms */
	size_t n, *keys;
	bool phrase;
};

struct scorer {
	struct str term;
	size_t key;
	float times, idf;
	const struct meaning *phrase; /* NULL: a term */
};

struct find {
	const struct keyword_settings *s;
	struct tx *tx;
	struct arena *a;
	const struct post_base *base;
	const struct cancel *cancel;
	struct str *keys; /* keys[0] is "", the lengths */
	size_t n_keys, cap_keys;
	uint64_t *counts;
	struct meaning *of;
	size_t n_of;
	struct scorer *scorers; /* in byte order, then phrases */
	size_t n_scorers;
	uint64_t n_docs;
	float average[BM25_FIELDS_MAX];
	struct pgv_keep keep;
	/* the chunk at hand */
	uint32_t len[BM25_FIELDS_MAX][POST_ITEMS];
	float sum[POST_ITEMS];
	uint64_t found[POST_ITEMS / 64], allowed[POST_ITEMS / 64], bits[POST_ITEMS / 64];
	struct pgv_best best;
};

/* ---- what is looked for ---- */

static enum err add_key(struct find *f, struct str term, size_t *key, struct errtext *et)
{
	for (size_t i = 0; i < f->n_keys; i++)
		if (str_eq(f->keys[i], term)) {
			*key = i;
			return OK;
		}
	if (!arena_room(f->a, f->keys, f->n_keys, f->cap_keys))
		return no_memory(et);
	*key = f->n_keys;
	f->keys[f->n_keys++] = term;
	return OK;
}

static enum err mean(struct find *f, struct meaning *m, const struct bm25_clause *c, bool *cut,
	struct errtext *et)
{
	bool open = c->match == BM25_PREFIX || c->match == BM25_FUZZY;
	enum err e = OK;
	*m = (struct meaning){.clause = c, .phrase = c->match == BM25_PHRASE && c->n_terms > 1};
	if (c->match == BM25_PREFIX)
		e = post_beginning(f->tx, f->base, c->terms[0], BM25_EXPAND_MAX + 1, f->a,
			&m->terms, &m->n, et);
	if (c->match == BM25_FUZZY)
		e = post_misspelt(f->tx, f->base, c->terms[0], c->edits, BM25_EXPAND_MAX, cut, f->a,
			&m->terms, &m->n, et);
	if (!open) {
		m->n = c->n_terms;
		m->terms = arena_array_of(f->a, m->n, struct post_term);
		for (size_t i = 0; m->terms && i < m->n; i++)
			m->terms[i] = (struct post_term){c->terms[i], 0, 0};
	}
	if (!e && m->n > BM25_EXPAND_MAX && open) {
		*cut = true;
		m->n = BM25_EXPAND_MAX;
	}
	m->keys = arena_array_of(f->a, m->n + 1, size_t);
	if (!e && (!m->keys || (m->n && !m->terms)))
		e = no_memory(et);
	for (size_t i = 0; i < m->n && !e; i++)
		e = add_key(f, m->terms[i].term, &m->keys[i], et);
	return e;
}

static float weight_of(const struct meaning *m, size_t term)
{
	float w = m->clause->weight > 0 ? m->clause->weight : 1;
	return m->clause->match == BM25_FUZZY ? w / (1 + (float)m->terms[term].edits) : w;
}

/* In byte order, the same term once. */
static void add_term(struct find *f, struct str term, size_t key, float times)
{
	size_t at = f->n_scorers;
	while (at && str_cmp(f->scorers[at - 1].term, term) > 0)
		at--;
	if (at && str_eq(f->scorers[at - 1].term, term)) {
		f->scorers[at - 1].times += times;
		return;
	}
	memmove(&f->scorers[at + 1], &f->scorers[at], (f->n_scorers++ - at) * sizeof *f->scorers);
	f->scorers[at] = (struct scorer){term, key, times, 0, NULL};
}

static enum err add_scorers(struct find *f, struct errtext *et)
{
	size_t room = 1;
	for (size_t i = 0; i < f->n_of; i++)
		room += f->of[i].n + 1;
	f->scorers = arena_array_of(f->a, room, struct scorer);
	if (!f->scorers)
		return no_memory(et);
	for (size_t i = 0; i < f->n_of; i++) {
		const struct meaning *m = &f->of[i];
		if (m->clause->need == BM25_MUST_NOT || m->phrase)
			continue;
		for (size_t k = 0; k < m->n; k++)
			add_term(f, m->terms[k].term, m->keys[k], weight_of(m, k));
	}
	for (size_t i = 0; i < f->n_of; i++)
		if (f->of[i].clause->need != BM25_MUST_NOT && f->of[i].phrase)
			f->scorers[f->n_scorers++] = (struct scorer){
				.times = weight_of(&f->of[i], 0), .phrase = &f->of[i]};
	return OK;
}

static enum err count_all(struct find *f, struct errtext *et)
{
	static const char names[2 * BM25_FIELDS_MAX] = {
		0, 0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7};
	struct str fields[BM25_FIELDS_MAX];
	uint64_t lengths[BM25_FIELDS_MAX];
	for (size_t i = 0; i < f->s->n_fields; i++)
		fields[i] = str_mk(names + 2 * i, 2);
	f->counts = arena_array_of(f->a, f->n_keys, uint64_t);
	enum err e = f->counts
			     ? post_counts(f->tx, f->base, f->a, f->keys, f->n_keys, f->counts, et)
			     : no_memory(et);
	e = e ? e : post_counts(f->tx, f->base, f->a, fields, f->s->n_fields, lengths, et);
	if (e)
		return e;
	f->n_docs = f->counts[0];
	for (size_t i = 0; i < f->s->n_fields; i++)
		f->average[i] = f->n_docs ? (float)((double)lengths[i] / (double)f->n_docs) : 0;
	return OK;
}

/* ---- a posting ---- */

static bool read_tf(const struct find *f, struct str *post, uint32_t *tf)
{
	for (size_t i = 0; i < f->s->n_fields; i++)
		if (!post_varint_get(post, &tf[i]))
			return false;
	return true;
}

static bool read_places(struct str *post, uint32_t tf, struct bm25_places *p)
{
	uint32_t at = 0, gap;
	for (p->n = 0; p->n < tf; p->n++) {
		if (!post_varint_get(post, &gap) || !heap_room(p->at, p->n, p->cap))
			return false;
		at += gap;
		p->at[p->n] = at;
	}
	return true;
}

static enum err damaged(struct errtext *et)
{
	return err_set(et, ERR_CORRUPT,
		"the keyword index of a collection in pgvector is damaged: set its fields again "
		"(croft collections words)");
}

/* ---- phrases ---- */

/* fn of each item of the chunk that has the phrase, with how often. */
typedef void (*phrase_fn)(void *ctx, uint32_t place, const uint32_t *tf);

struct walk {
	struct post_reader *r;
	struct bm25_places *p;
	struct str *posts; /* of the item at hand */
	size_t n;
};

/* All stand at one item. */
static enum err try_item(
	struct find *f, struct walk *w, uint32_t slop, phrase_fn fn, void *ctx, struct errtext *et)
{
	uint32_t had[BM25_FIELDS_MAX], tf[BM25_FIELDS_MAX], any = 0;
	size_t n_fields = f->s->n_fields;
	uint32_t *all = malloc(w->n * n_fields * sizeof *all);
	bool ok = all != NULL;
	for (size_t i = 0; i < w->n && ok; i++) {
		w->posts[i] = w->r[i].post;
		ok = read_tf(f, &w->posts[i], had);
		memcpy(all + i * n_fields, had, n_fields * sizeof *had);
	}
	for (size_t k = 0; k < n_fields && ok; k++) {
		for (size_t i = 0; i < w->n && ok; i++)
			ok = read_places(&w->posts[i], all[i * n_fields + k], &w->p[i]);
		if (ok)
			any += tf[k] = bm25_phrase_count(w->p, w->n, slop);
	}
	if (ok && any)
		fn(ctx, w->r[0].place, tf);
	bool had_memory = all != NULL;
	free(all);
	return ok ? OK : had_memory ? damaged(et) : no_memory(et);
}

static enum err walk_phrase(struct find *f, const struct meaning *m, const struct str *posts,
	struct walk *w, phrase_fn fn, void *ctx, struct errtext *et)
{
	enum err e = OK;
	for (size_t i = 0; i < m->n; i++) {
		w->r[i] = (struct post_reader){.rest = posts[m->keys[i]]};
		w->p[i].offset = m->clause->at ? m->clause->at[i] : (uint32_t)i;
		if (!post_next(&w->r[i]))
			return OK;
	}
	while (!e) {
		uint32_t most = 0;
		bool all = true;
		for (size_t i = 0; i < m->n; i++)
			most = MAX(most, w->r[i].place);
		for (size_t i = 0; i < m->n; i++) {
			while (w->r[i].place < most)
				if (!post_next(&w->r[i]))
					return OK;
			all &= w->r[i].place == most;
		}
		if (!all)
			continue;
		e = try_item(f, w, m->clause->slop, fn, ctx, et);
		if (!e && !post_next(&w->r[0]))
			return OK;
	}
	return e;
}

static enum err each_phrase(struct find *f, const struct meaning *m, const struct str *posts,
	phrase_fn fn, void *ctx, struct errtext *et)
{
	struct walk w = {calloc(m->n, sizeof *w.r), calloc(m->n, sizeof *w.p),
		calloc(m->n, sizeof *w.posts), m->n};
	enum err e =
		w.r && w.p && w.posts ? walk_phrase(f, m, posts, &w, fn, ctx, et) : no_memory(et);
	for (size_t i = 0; w.p && i < m->n; i++)
		free(w.p[i].at);
	free(w.r);
	free(w.p);
	free(w.posts);
	return e;
}

/* How many items have it. */
struct counting {
	struct find *f;
	struct meaning here; /* its keys are those of the scan */
	uint64_t n;
};

static void count_one(void *ctx, uint32_t place, const uint32_t *tf)
{
	(void)place;
	(void)tf;
	++*(uint64_t *)ctx;
}

static enum err count_chunk(void *ctx, uint64_t chunk, double most, const struct str *posts,
	bool *enough, struct errtext *et)
{
	struct counting *x = ctx;
	(void)chunk;
	(void)most;
	(void)enough;
	return each_phrase(x->f, &x->here, posts, count_one, &x->n, et);
}

static enum err count_phrase(
	struct find *f, const struct meaning *m, uint64_t *out, struct errtext *et)
{
	struct counting x = {.f = f, .here = *m};
	struct str *keys = arena_array_of(f->a, m->n, struct str);
	double *weights = arena_array_of(f->a, m->n, double);
	size_t n = 0;
	x.here.keys = arena_array_of(f->a, m->n, size_t);
	if (!keys || !weights || !x.here.keys)
		return no_memory(et);
	for (size_t i = 0; i < m->n; i++) { /* a term may stand there twice */
		size_t k = 0;
		while (k < n && !str_eq(keys[k], m->terms[i].term))
			k++;
		keys[k] = m->terms[i].term;
		weights[k] = 1;
		x.here.keys[i] = k;
		n = MAX(n, k + 1);
	}
	struct post_scan s = {.keys = keys,
		.weights = weights,
		.n = n,
		.all = true,
		.cancel = f->cancel,
		.fn = count_chunk,
		.ctx = &x};
	enum err e = post_scan(f->tx, f->base, f->a, &s, et);
	*out = x.n;
	return e;
}

/* ---- weights ---- */

/* The bound of a phrase is that of any of its terms: the rarest. */
static size_t rarest(const struct find *f, const struct meaning *m)
{
	size_t best = m->keys[0];
	for (size_t i = 1; i < m->n; i++)
		if (f->counts[m->keys[i]] < f->counts[best])
			best = m->keys[i];
	return best;
}

static enum err weigh(struct find *f, double *weights, struct errtext *et)
{
	enum err e = OK;
	for (size_t i = 0; i < f->n_keys; i++)
		weights[i] = 0;
	for (size_t i = 0; i < f->n_scorers && !e; i++) {
		struct scorer *s = &f->scorers[i];
		uint64_t df = 0;
		if (s->phrase) {
			e = count_phrase(f, s->phrase, &df, et);
			s->key = rarest(f, s->phrase);
		} else {
			df = f->counts[s->key];
		}
		s->idf = bm25_idf_of(f->n_docs, df);
		if (df)
			weights[s->key] += (double)(s->times * s->idf);
	}
	return e;
}

/* ---- scoring a chunk ---- */

static bool read_lengths(struct find *f, struct str posts)
{
	struct post_reader r = {.rest = posts};
	while (post_next(&r)) {
		uint32_t len[BM25_FIELDS_MAX];
		if (!read_tf(f, &r.post, len))
			return false;
		for (size_t i = 0; i < f->s->n_fields; i++)
			f->len[i][r.place] = len[i];
	}
	return !r.rest.n;
}

struct scoring {
	struct find *f;
	float weight;
	bool mark; /* only who has it, in f->bits */
};

static void mark(uint64_t *bits, uint32_t place)
{
	bits[place / 64] |= UINT64_C(1) << place % 64;
}

static void score_one(void *ctx, uint32_t place, const uint32_t *tf)
{
	const struct scoring *x = ctx;
	struct find *f = x->f;
	struct bm25_field weigh[BM25_FIELDS_MAX];
	if (x->mark) {
		mark(f->bits, place);
		return;
	}
	for (size_t i = 0; i < f->s->n_fields; i++)
		weigh[i] = f->s->fields[i].weigh;
	f->sum[place] +=
		x->weight * bm25_share_of(f->s->k1, weigh, f->s->n_fields == 1 ? 0 : f->s->n_fields,
				    f->average, tf, 1, &f->len[0][place], POST_ITEMS);
	mark(f->found, place);
}

static enum err each_term(struct scoring *x, struct str posts, struct errtext *et)
{
	struct post_reader r = {.rest = posts};
	while (post_next(&r)) {
		uint32_t tf[BM25_FIELDS_MAX] = {0};
		if (!read_tf(x->f, &r.post, tf))
			return damaged(et);
		score_one(x, r.place, tf);
	}
	return r.rest.n ? damaged(et) : OK;
}

static enum err allow(struct find *f, const struct str *posts, struct errtext *et)
{
	enum err e = OK;
	struct scoring x = {.f = f, .mark = true};
	memset(f->allowed, 0xFF, sizeof f->allowed);
	for (size_t i = 0; i < f->n_of && !e; i++) {
		const struct meaning *m = &f->of[i];
		if (m->clause->need == BM25_SHOULD)
			continue;
		memset(f->bits, 0, sizeof f->bits);
		if (m->phrase)
			e = each_phrase(f, m, posts, score_one, &x, et);
		for (size_t k = 0; !m->phrase && k < m->n && !e; k++)
			e = each_term(&x, posts[m->keys[k]], et);
		for (size_t w = 0; w < ARRAY_LEN(f->bits); w++)
			f->allowed[w] &=
				m->clause->need == BM25_MUST_NOT ? ~f->bits[w] : f->bits[w];
	}
	return e;
}

static enum err score_chunk(void *ctx, uint64_t chunk, double most, const struct str *posts,
	bool *enough, struct errtext *et)
{
	struct find *f = ctx;
	enum err e = OK;
	*enough = most * SLACK < (double)pgv_best_limit(&f->best);
	if (*enough)
		return OK;
	if (!read_lengths(f, posts[0]))
		return damaged(et);
	memset(f->sum, 0, sizeof f->sum);
	memset(f->found, 0, sizeof f->found);
	for (size_t i = 0; i < f->n_scorers && !e; i++) {
		const struct scorer *s = &f->scorers[i];
		struct scoring x = {f, s->times * s->idf, false};
		e = s->phrase ? each_phrase(f, s->phrase, posts, score_one, &x, et)
			      : each_term(&x, posts[s->key], et);
	}
	e = e ? e : allow(f, posts, et);
	for (size_t w = 0; w < ARRAY_LEN(f->found); w++)
		f->found[w] &= f->allowed[w];
	return e ? e
		 : pgv_best_add(&f->best, &f->keep, chunk << POST_BITS, f->found,
			   ARRAY_LEN(f->found), f->sum, et);
}

/* ---- the search ---- */

static enum err understand(
	struct find *f, const struct keyword_query *q, bool *cut, struct errtext *et)
{
	size_t none;
	enum err e = add_key(f, S(""), &none, et);
	f->of = arena_array_of(f->a, q->n + 1, struct meaning);
	if (!e && !f->of)
		e = no_memory(et);
	for (; f->n_of < q->n && !e; f->n_of += !e)
		e = mean(f, &f->of[f->n_of], &q->clauses[f->n_of], cut, et);
	e = e ? e : add_scorers(f, et);
	return e ? e : count_all(f, et);
}

static enum err scan(struct find *f, double *weights, struct errtext *et)
{
	uint64_t *chunks = NULL;
	size_t n_chunks = 0;
	enum err e =
		f->keep.listed ? pgv_keep_chunks(&f->keep, POST_BITS, &chunks, &n_chunks, et) : OK;
	struct post_scan s = {.keys = f->keys,
		.weights = weights,
		.n = f->n_keys,
		.chunks = chunks,
		.n_chunks = n_chunks,
		.cancel = f->cancel,
		.fn = score_chunk,
		.ctx = f};
	return e ? e : post_scan(f->tx, f->base, f->a, &s, et);
}

static enum err find(struct find *f, const struct keyword_query *q, int64_t items,
	const uint64_t *among, size_t n_among, bool *cut, struct errtext *et)
{
	enum err e = understand(f, q, cut, et);
	double *weights = arena_array_of(f->a, f->n_keys + 1, double);
	if (!e && !weights)
		e = no_memory(et);
	e = e ? e : weigh(f, weights, et);
	e = e ? e : pgv_keep_begin(&f->keep, items, among, n_among, et);
	e = e ? e : scan(f, weights, et);
	pgv_keep_end(&f->keep);
	pgv_best_sort(&f->best);
	return e;
}

static enum err find_in(struct find *f, struct collection *k, const struct keyword_index *x,
	const struct keyword_query *q, const uint64_t *among, size_t n_among, bool *cut,
	struct errtext *et)
{
	struct words_state s;
	struct pgv_facts facts;
	enum err e = pgv_facts(f->tx, k->number, 0, &facts, et);
	e = e ? e : words_state(f->tx, k->number, x->config, &s, et);
	if (e == ERR_NOT_FOUND || (!e && (!s.table || s.filled != PGV_FILLED)))
		return err_set(et, ERR_BUSY,
			"the collection is being moved, or its keyword index made: try again");
	e = e ? e : pgv_plan(f->tx, PGV_AS_IT_LIKES, 1, k->pgv.version, et);
	f->base = &s.base;
	f->keep.odd = facts.state.odd;
	return e ? e : find(f, q, facts.items, among, n_among, cut, et);
}

enum err pgv_words(struct collection *k, const struct keyword_index *x,
	const struct keyword_query *q, const struct cond *filter, const uint64_t *among,
	size_t n_among, size_t max, struct hit *out, size_t *n, bool *cut,
	const struct cancel *cancel, struct errtext *et)
{
	bool was_cut = false;
	struct find *f = calloc(1, sizeof *f);
	struct arena *a = arena_new(0);
	enum err e = f && a ? OK : no_memory(et);
	if (!e) {
		f->s = &x->settings;
		f->a = a;
		f->cancel = cancel;
		f->best = (struct pgv_best){out, 0, max};
		e = db_begin(croft_db(k->c), TX_READ, &f->tx, et);
	}
	if (!e) {
		f->keep = (struct pgv_keep){.k = k, .tx = f->tx, .a = a, .filter = filter};
		e = find_in(f, k, x, q, among, n_among, &was_cut, et);
		db_rollback(f->tx);
	}
	if (!e)
		*n = f->best.n;
	if (!e && cut)
		*cut |= was_cut;
	arena_free(a);
	free(f);
	return e;
}
