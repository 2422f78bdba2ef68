/* Queries of clauses. Each clause becomes terms of the vocabulary or a phrase's postings; what
 * counts goes into one query for bm25_search.c, and what must or must not be becomes a bit for each
 * document that may be a hit. */
#include "vector/bm25_int.h"

#include <stdlib.h>

enum { PHRASE_MAX = 256, SLOP_MAX = 1 << 16 };

/* What a clause stands for. */
struct meaning {
	const struct bm25_clause *clause;
	struct expansion *terms;
	size_t n;
	struct seg **made; /* of a phrase: [part] */
};

struct plan {
	const struct model *model;
	const struct snap *snap;
	struct meaning *of;
	size_t n;
	bool cut;
	struct errtext *et;
};

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a query of clauses");
}

static enum err check_clause(
	const struct bm25_clause *c, bool positions, size_t i, struct errtext *et)
{
	bool phrase = c->match == BM25_PHRASE;
	if (!c->n_terms || (!phrase && c->n_terms > 1))
		return err_set(et, ERR_INVALID, "clause %zu: %zu terms", i, c->n_terms);
	if (phrase && c->n_terms > PHRASE_MAX)
		return err_set(et, ERR_TOO_LARGE, "clause %zu: a phrase of more than %d terms", i,
			PHRASE_MAX);
	if (phrase && !positions)
		return err_set(et, ERR_UNSUPPORTED,
			"clause %zu: a phrase, and this index keeps no positions", i);
	if (c->slop > SLOP_MAX || !(c->weight >= 0 && c->weight < 1e6f))
		return err_set(et, ERR_INVALID, "clause %zu: slop or weight out of range", i);
	if (c->match == BM25_FUZZY && (c->edits < 1 || c->edits > 2))
		return err_set(et, ERR_INVALID, "clause %zu: edits must be 1 or 2", i);
	for (size_t k = 1; phrase && c->at && k < c->n_terms; k++)
		if (c->at[k] < c->at[k - 1] || c->at[k] >= BM25_TERMS_MAX)
			return err_set(et, ERR_INVALID, "clause %zu: positions must ascend", i);
	return OK;
}

enum err bm25_clauses_check(
	const struct bm25_clause *clauses, size_t n, bool positions, struct errtext *et)
{
	enum err e = OK;
	if (n > BM25_CLAUSES_MAX)
		return err_set(
			et, ERR_TOO_LARGE, "a query of more than %d clauses", BM25_CLAUSES_MAX);
	for (size_t i = 0; i < n && !e; i++)
		e = check_clause(&clauses[i], positions, i, et);
	return e;
}

/* ---- meanings ---- */

static enum err mean_phrase(struct plan *p, struct meaning *m)
{
	const struct bm25_clause *c = m->clause;
	struct phrase phrase = {c->terms, c->at, c->n_terms, c->slop};
	m->made = calloc(p->snap->base.n_parts + 1, sizeof *m->made);
	enum err e = m->made ? OK : ERR_NOMEM;
	for (size_t i = 0; !e && i < p->snap->base.n_parts; i++)
		e = bm25_phrase_find(
			&phrase, seg_of(&p->snap->base.parts[i]), p->model, &m->made[i]);
	return e ? no_memory(p->et) : OK;
}

static enum err mean(struct plan *p, struct meaning *m, size_t i)
{
	const struct bm25_clause *c = m->clause;
	if (c->match == BM25_PHRASE && c->n_terms > 1)
		return mean_phrase(p, m);
	if (c->match == BM25_TERM || c->match == BM25_PHRASE) {
		m->terms = malloc(sizeof *m->terms);
		if (!m->terms)
			return no_memory(p->et);
		m->terms[0] = (struct expansion){c->terms[0], 0, 0};
		m->n = 1;
		return OK;
	}
	enum err e = bm25_expand(
		p->snap, c->terms[0], c->match == BM25_PREFIX, c->edits, &m->terms, &m->n, &p->cut);
	if (e == ERR_TOO_LARGE)
		return err_set(p->et, e, "clause %zu: a misspelt term of more than %d characters",
			i, BM25_FUZZY_MAX);
	return e ? no_memory(p->et) : OK;
}

static void plan_free(struct plan *p)
{
	for (size_t i = 0; p->of && i < p->n; i++) {
		free(p->of[i].terms);
		for (size_t k = 0; p->of[i].made && k < p->snap->base.n_parts; k++)
			bm25_seg_put(p->of[i].made[k]);
		free(p->of[i].made);
	}
	free(p->of);
}

/* ---- what counts ---- */

static float weight_of(const struct meaning *m, size_t term)
{
	float w = m->clause->weight > 0 ? m->clause->weight : 1;
	return m->clause->match == BM25_FUZZY ? w / (1 + (float)m->terms[term].edits) : w;
}

/* In byte order, the same term once. */
static void add_term(struct query *q, struct str term, float times)
{
	size_t at = q->n;
	while (at && str_cmp(q->terms[at - 1].term, term) > 0)
		at--;
	if (at && str_eq(q->terms[at - 1].term, term)) {
		q->terms[at - 1].times += times;
		return;
	}
	memmove(&q->terms[at + 1], &q->terms[at], (q->n++ - at) * sizeof *q->terms);
	q->terms[at] = (struct query_term){.term = term, .times = times};
}

static uint32_t living(const struct segment_part *p, const struct seg *made)
{
	struct reader *r = malloc(sizeof *r);
	uint32_t n = 0;
	if (!r)
		return made->terms[0].n;
	for (bm25_reader_start(r, made, 0); bm25_reader_more(r); r->i++)
		n += !segment_dead(p->live, r->docs[r->i]);
	free(r);
	return n;
}

/* Takes the phrase's postings over from the plan. */
static void add_phrase(struct query *q, struct meaning *m)
{
	struct query_term *t = &q->terms[q->n];
	*t = (struct query_term){.times = weight_of(m, 0), .phrase = true};
	for (size_t p = 0; p < q->snap->base.n_parts; p++) {
		if (m->made[p])
			t->df += living(&q->snap->base.parts[p], m->made[p]);
	}
	bm25_query_idf(q->snap, t);
	q->n++;
}

static bool counts(const struct meaning *m)
{
	return m->clause->need != BM25_MUST_NOT;
}

static enum err make_query(struct plan *p, struct query *q)
{
	size_t room = 1, n_parts = p->snap->base.n_parts, phrase;
	*q = (struct query){.model = p->model, .snap = p->snap};
	for (size_t i = 0; i < p->n; i++)
		room += p->of[i].n + 1;
	q->terms = malloc(room * sizeof *q->terms);
	q->ids = malloc((room * n_parts + 1) * sizeof *q->ids);
	q->made = calloc(room * n_parts + 1, sizeof *q->made);
	if (!q->terms || !q->ids || !q->made)
		return no_memory(p->et);
	for (size_t i = 0; i < p->n; i++)
		for (size_t k = 0; counts(&p->of[i]) && k < p->of[i].n; k++)
			add_term(q, p->of[i].terms[k].term, weight_of(&p->of[i], k));
	phrase = q->n;
	for (size_t i = 0; i < p->n; i++)
		if (counts(&p->of[i]) && p->of[i].made)
			add_phrase(q, &p->of[i]);
	for (size_t t = 0; t < phrase; t++)
		bm25_query_weigh(p->snap, &q->terms[t], q->ids + t, q->n);
	for (size_t i = 0; i < p->n; i++) {
		if (!counts(&p->of[i]) || !p->of[i].made)
			continue;
		for (size_t k = 0; k < n_parts; k++) {
			struct seg *made = p->of[i].made[k];
			q->ids[k * q->n + phrase] = made ? 0 : NO_TERM;
			q->made[k * q->n + phrase] = made;
			if (made)
				atomic_fetch_add(&made->base.refs, 1);
		}
		phrase++;
	}
	return OK;
}

/* ---- what must and must not be ---- */

static void mark(const struct seg *s, uint32_t term, struct reader *r, uint64_t *bits)
{
	for (bm25_reader_start(r, s, term), r->pos = NULL; bm25_reader_more(r); r->i++)
		bits[r->docs[r->i] / 64] |= UINT64_C(1) << r->docs[r->i] % 64;
}

static void mark_meaning(const struct plan *p, const struct meaning *m, size_t part,
	struct reader *r, uint64_t *bits)
{
	const struct seg *s = seg_of(&p->snap->base.parts[part]);
	for (size_t k = 0; k < m->n; k++) {
		uint32_t id;
		if (bm25_seg_find(s, m->terms[k].term, &id))
			mark(s, id, r, bits);
	}
	if (m->made && m->made[part])
		mark(m->made[part], 0, r, bits);
}

static enum err allow_part(const struct plan *p, size_t part, struct query *q)
{
	size_t words = p->snap->base.parts[part].seg->n_docs / 64 + 1;
	uint64_t *allowed = malloc(words * sizeof *allowed), *one = malloc(words * sizeof *one);
	struct reader *r = malloc(sizeof *r);
	q->allowed[part] = allowed;
	if (allowed)
		memset(allowed, 0xFF, words * sizeof *allowed);
	for (size_t i = 0; allowed && one && r && i < p->n; i++) {
		if (p->of[i].clause->need == BM25_SHOULD)
			continue;
		memset(one, 0, words * sizeof *one);
		mark_meaning(p, &p->of[i], part, r, one);
		bool not = p->of[i].clause->need == BM25_MUST_NOT;
		for (size_t w = 0; w < words; w++)
			allowed[w] &= not ? ~one[w] : one[w];
	}
	bool ok = allowed && one && r;
	free(one);
	free(r);
	return ok ? OK : no_memory(p->et);
}

static enum err allow(const struct plan *p, struct query *q)
{
	bool any = false;
	enum err e = OK;
	for (size_t i = 0; i < p->n; i++)
		any |= p->of[i].clause->need != BM25_SHOULD;
	if (!any)
		return OK;
	q->allowed = calloc(p->snap->base.n_parts + 1, sizeof *q->allowed);
	if (!q->allowed)
		return no_memory(p->et);
	for (size_t part = 0; part < p->snap->base.n_parts && !e; part++)
		e = allow_part(p, part, q);
	return e;
}

enum err bm25_query(struct bm25 *x, const struct bm25_clause *clauses, size_t n_clauses, size_t k,
	vector_keep_fn keep, void *ctx, struct hit *out, size_t *n, bool *cut,
	const struct cancel *cancel, struct errtext *et)
{
	enum err e = bm25_clauses_check(clauses, n_clauses, bm25_positions(x), et);
	if (e)
		return e;
	struct snap *s = bm25_snap_get(x);
	struct query q = {0};
	struct plan p = {
		bm25_model(x), s, calloc(n_clauses + 1, sizeof *p.of), n_clauses, false, et};
	e = p.of ? OK : no_memory(et);
	for (size_t i = 0; i < n_clauses && !e; i++) {
		p.of[i].clause = &clauses[i];
		e = mean(&p, &p.of[i], i);
	}
	if (!e)
		e = make_query(&p, &q);
	if (!e)
		e = allow(&p, &q);
	if (!e)
		e = bm25_query_run(&q, k, keep, ctx, out, n, cancel, et);
	if (!e && cut)
		*cut = p.cut;
	bm25_query_free(&q);
	plan_free(&p);
	bm25_snap_put(x, s);
	return e;
}
