/* The verdict: the stages in their order, each asked whether it still had the answer.
 *
 *	ingested? parsed? whole in a chunk? -> the search itself, whose trail says the rank of the
 *	answer's chunks after each stage -> in the prompt? -> said? -> said on the passages' ground?
 *
 * The search is the one that a user would get, with all that settings and request say; ranks beside
 * it are those of a plain search, deep and exact. */
#include "eval/autopsy.h"

#include <stdlib.h>

enum { DEPTH = RAG_RANKS_MAX, QUOTE_AROUND = 70, RERANK_DEPTH = 50 };

static const struct {
	const char *word, *remedy;
} stages[] = {
#define X(name, word, remedy) {word, remedy},
	AUTOPSY_STAGES(X)
#undef X
};

const char *lost_word(enum lost l)
{
	return stages[l].word;
}

const char *lost_remedy(enum lost l)
{
	return stages[l].remedy;
}

struct post {
	struct autopsy *x;
	const struct known *k;
	struct arena *a;
	struct verdict *v;
	struct rag_query q;
	struct rag_trail trail;
	int64_t *chunks; /* that hold the answer */
	size_t n_chunks;
	struct rag_hit *hits;
	size_t n_hits;
	struct rag_answer answer;
	struct str derived; /* the filter that the question made, in words; "" */
};

static enum err no_memory(struct post *p)
{
	return err_set(p->x->et, ERR_NOMEM, "no memory for an autopsy");
}

static enum err say(struct post *p, enum lost lost, struct str why)
{
	p->v->lost = lost;
	p->v->why = why;
	return why.p ? OK : no_memory(p);
}

static const struct text_of *document(const struct post *p, size_t i)
{
	return &p->x->texts->docs[i];
}

/* ---- before the search ---- */

/* A range of text with what stands around it, in one line. */
static struct str quote(struct post *p, const struct place *at)
{
	struct str t = document(p, at->document)->text;
	size_t from = at->from > QUOTE_AROUND ? at->from - QUOTE_AROUND : 0;
	size_t to = MIN(t.n, (size_t)at->to + QUOTE_AROUND);
	to = MIN(to, from + 6 * QUOTE_AROUND);
	while (from && ((unsigned char)t.p[from] & 0xC0) == 0x80)
		from--;
	to = from + utf8_complete_prefix(str_sub(t, from, to));
	struct str s = arena_str(p->a, str_sub(t, from, to));
	char *c = (char *)(uintptr_t)s.p;
	for (size_t i = 0; s.p && i < s.n; i++)
		if ((unsigned char)c[i] < ' ')
			c[i] = ' ';
	return s;
}

static uint32_t page_of(const struct text_of *d, const struct place *at)
{
	uint32_t page = 0;
	for (size_t i = 0; i < d->n_chunks; i++)
		if (d->chunks[i].from <= at->from)
			page = d->chunks[i].page;
	return page;
}

static bool has(enum known_by by, const struct rag_span *c, const struct place *at)
{
	if (by == KNOWN_WORDS)
		return c->from <= at->from && c->to >= at->to;
	uint32_t from = MAX(c->from, at->from), to = MIN(c->to, at->to);
	uint32_t least = MIN(c->to - c->from, at->to - at->from) / 2;
	return to > from && to - from > least;
}

/* The chunks that hold the answer, each once. */
static enum err find_chunks(struct post *p)
{
	const struct found_in *f = &p->v->found;
	size_t most = 0;
	for (size_t i = 0; i < f->n; i++)
		most += document(p, f->places[i].document)->n_chunks;
	if (f->by == KNOWN_DOCUMENT)
		most = document(p, f->document)->n_chunks;
	p->chunks = arena_array_of(p->a, most + 1, int64_t);
	if (!p->chunks)
		return no_memory(p);
	if (f->by == KNOWN_DOCUMENT) {
		for (size_t i = 0; i < most; i++)
			p->chunks[p->n_chunks++] = document(p, f->document)->chunks[i].chunk;
		return OK;
	}
	for (size_t i = 0; i < f->n; i++) {
		const struct text_of *d = document(p, f->places[i].document);
		for (size_t j = 0; j < d->n_chunks; j++) {
			size_t k = 0;
			while (k < p->n_chunks && p->chunks[k] != d->chunks[j].chunk)
				k++;
			if (k == p->n_chunks && has(f->by, &d->chunks[j], &f->places[i]))
				p->chunks[p->n_chunks++] = d->chunks[j].chunk;
		}
	}
	return OK;
}

static enum err where(struct post *p)
{
	struct verdict *v = p->v;
	const struct found_in *f = &v->found;
	v->document = v->quote = S("");
	if (f->n) {
		const struct text_of *d = document(p, f->places[0].document);
		v->document = d->path;
		v->page = page_of(d, &f->places[0]);
		v->quote = quote(p, &f->places[0]);
	} else if (f->document != SIZE_MAX) {
		v->document = document(p, f->document)->path;
	}
	return v->quote.p ? OK : no_memory(p);
}

/* True when the answer never got as far as the search. */
static enum err before_search(struct post *p, bool *lost)
{
	const struct found_in *f = &p->v->found;
	struct str name = p->k->document;
	*lost = true;
	if (name.n && !f->named)
		return say(p, LOST_NOT_INGESTED,
			arena_fmt(p->a, "there is no document %.*s in the collection",
				STR_FMT(name)));
	const struct text_of *d = f->document == SIZE_MAX ? NULL : document(p, f->document);
	if (name.n && !f->n && str_eq_c(d->status, "failed"))
		return say(p, LOST_NOT_INGESTED,
			arena_fmt(p->a, "%.*s was refused: %.*s", STR_FMT(d->path),
				STR_FMT(d->error)));
	if (f->by == KNOWN_NOWHERE)
		return say(p, LOST_NOT_INGESTED, S("no document of the collection has the answer"));
	if (f->by == KNOWN_SOURCE)
		return say(p, LOST_MISPARSED,
			arena_fmt(p->a,
				"the file of %.*s has the answer, its extracted text has not",
				STR_FMT(d->path)));
	if (f->by == KNOWN_BROKEN)
		return say(p, LOST_MISPARSED,
			arena_fmt(p->a,
				"in the extracted text of %.*s the words of the answer are torn or "
				"run together",
				STR_FMT(d->path)));
	*lost = false;
	return OK;
}

/* ---- the search ---- */

static bool is_chunk(const struct post *p, int64_t chunk)
{
	for (size_t i = 0; i < p->n_chunks; i++)
		if (p->chunks[i] == chunk)
			return true;
	return false;
}

static bool hit_has(const struct post *p, const struct rag_hit *h)
{
	const struct found_in *f = &p->v->found;
	struct rag_span span = {h->chunk, h->from, h->to, h->page};
	if (is_chunk(p, h->chunk))
		return true;
	for (size_t i = 0; i < f->n; i++)
		if (!memcmp(&document(p, f->places[i].document)->id, &h->document,
			    sizeof h->document) &&
			has(f->by, &span, &f->places[i]))
			return true;
	return false;
}

/* What filters the question itself made; it stands before the other notes. */
static enum err note_derived(struct post *p)
{
	struct verdict *v = p->v;
	struct buf b = {0};
	if (!p->trail.derived.any)
		return OK;
	rag_derived_text(&p->trail.derived, &b);
	p->derived = arena_str(p->a, buf_str(&b));
	buf_free(&b);
	struct str note = arena_fmt(p->a, "filters from the question %.*s", STR_FMT(p->derived));
	if (!p->derived.p || !note.p)
		return no_memory(p);
	v->n_notes = MIN(v->n_notes + 1, ARRAY_LEN(v->notes));
	memmove(v->notes + 1, v->notes, (v->n_notes - 1) * sizeof *v->notes);
	v->notes[0] = note;
	return OK;
}

static enum err search(struct post *p)
{
	struct autopsy *x = p->x;
	p->q = x->query;
	p->q.text = p->k->question;
	p->q.trail = &p->trail;
	enum err e =
		x->answer ? rag_answer(x->c, &p->q, x->model, p->a, &p->answer, x->cancel, x->et)
			  : rag_search(x->c, &p->q, p->a, &p->hits, &p->n_hits, x->cancel, x->et);
	if (e)
		return e;
	if (x->answer) {
		p->hits = p->answer.hits;
		p->n_hits = p->answer.n_hits;
	}
	struct verdict *v = p->v;
	v->passages = p->n_hits;
	for (size_t i = 0; i < p->n_hits && !v->rank; i++)
		if (hit_has(p, &p->hits[i]))
			v->rank = (uint32_t)i + 1;
	memcpy(v->notes, p->trail.notes, sizeof v->notes);
	v->n_notes = p->trail.n_notes;
	return note_derived(p);
}

static uint32_t rank_after(const struct post *p, const struct rag_step *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (is_chunk(p, s->at[i].chunk))
			return (uint32_t)i + 1;
	return 0;
}

/* What each stage left of the chunks that hold it. Surroundings are texts and not chunks: there the
 * final rank counts. */
static void follow(struct post *p)
{
	for (size_t i = 0; i < p->trail.n; i++) {
		const struct rag_step *s = &p->trail.steps[i];
		bool last = str_eq_c(str_c(s->name), "context");
		if ((s->at && p->n_chunks) || last)
			p->v->steps[p->v->n_steps++] = (struct autopsy_step){
				s->name, last ? p->v->rank : rank_after(p, s)};
	}
}

static enum err rank_deeply(struct post *p)
{
	struct autopsy *x = p->x;
	struct arena *scratch = arena_new(0);
	if (!scratch)
		return no_memory(p);
	enum err e = rag_ranks_of(x->c, &p->q, p->chunks, p->n_chunks, DEPTH, scratch, &p->v->ranks,
		x->cancel, x->et);
	arena_free(scratch);
	p->v->ranked = !e;
	return e;
}

/* ---- lost in the search ---- */

static size_t wanted(const struct post *p)
{
	return p->q.k ? p->q.k : (size_t)setting_int(p->x->c, "rag.top_k");
}

static const struct autopsy_step *step_named(const struct verdict *v, const char *name)
{
	for (size_t i = v->n_steps; i--;)
		if (!strcmp(v->steps[i].stage, name))
			return &v->steps[i];
	return NULL;
}

static struct str rank_text(struct post *p, uint32_t rank)
{
	return rank ? arena_fmt(p->a, "number %u", rank) : S("nowhere");
}

/* Would it be found without the filters? */
static enum err is_filtered(struct post *p, bool *filtered)
{
	const struct rag_filter *f = &p->q.filter;
	const struct rag_derived *d = &p->trail.derived;
	bool given = f->path_glob.n || f->type.n || f->tag.n || f->from_ms || f->to_ms;
	struct rag_ranks now = p->v->ranks;
	*filtered = false;
	if (given && !now.fused) {
		struct rag_filter kept = p->q.filter;
		p->q.filter = (struct rag_filter){0};
		enum err e = rank_deeply(p);
		p->q.filter = kept;
		if (e)
			return e;
		*filtered = p->v->ranks.fused > 0;
		if (*filtered)
			p->v->why = S("a filter of the request keeps its document out");
	} else if (d->any && !d->dropped) {
		/* a plain search has it in its first places, and this one did not see it */
		const struct rag_step *s = NULL;
		for (size_t i = 0; i < p->trail.n && !s; i++)
			if (!strcmp(p->trail.steps[i].name, "search"))
				s = &p->trail.steps[i];
		*filtered = s && now.fused && (now.fused <= s->n || now.fused <= wanted(p));
		p->v->why = arena_fmt(p->a,
			"the filter that was derived from the question keeps its document out; it "
			"was read "
			"%.*s",
			STR_FMT(p->derived));
		if (!p->v->why.p)
			return no_memory(p);
	}
	return OK;
}

/* What the ranks say of what to do. */
static struct str remedy_of_ranks(struct post *p)
{
	const struct rag_ranks *r = &p->v->ranks;
	size_t k = wanted(p);
	bool words = r->keyword && r->keyword <= k, meaning = r->dense && r->dense <= k;
	if (p->q.method != RAG_HYBRID)
		return S("One side alone was asked: method hybrid asks both.");
	if (meaning && !words)
		return S(
			"Its meaning is near and its words are not: raise rag.dense_weight, or let "
			"the question be rewritten (rag.rewrite).");
	if (words && !meaning)
		return S("It has the words and its meaning is far: lower rag.dense_weight, or try "
			 "rag.hyde.");
	if (r->fused && r->fused <= RERANK_DEPTH)
		return S("It is among the first 50: raise rag.top_k, or rerank (rerank.model).");
	return S("Neither words nor meaning lead to it: try rag.rewrite, rag.hyde and "
		 "rag.decompose, or another embedding model (embed.model).");
}

static enum err not_retrieved(struct post *p)
{
	struct verdict *v = p->v;
	bool filtered;
	enum err e = is_filtered(p, &filtered);
	if (e || filtered)
		return e ? e : say(p, LOST_FILTERED, v->why);
	v->remedy = remedy_of_ranks(p);
	return say(p, LOST_NOT_RETRIEVED,
		arena_fmt(p->a,
			"it is %.*s by words, %.*s by meaning and %.*s by both; %zu %s given",
			STR_FMT(rank_text(p, v->ranks.keyword)),
			STR_FMT(rank_text(p, v->ranks.dense)),
			STR_FMT(rank_text(p, v->ranks.fused)), wanted(p),
			wanted(p) == 1 ? "is" : "are"));
}

/* The stage after which it was no more among those that are given; of several the last. */
static enum err lost_in_search(struct post *p)
{
	static const struct {
		const char *step;
		enum lost lost;
	} blame[] = {{"recency", LOST_AGED_OUT}, {"rerank", LOST_RERANKED_OUT},
		{"diversity", LOST_DIVERSIFIED_OUT}};
	struct verdict *v = p->v;
	size_t k = wanted(p), depth = p->q.rerank_depth ? p->q.rerank_depth : RERANK_DEPTH;
	const struct autopsy_step *before = step_named(v, "merge");
	before = before ? before : step_named(v, "search");
	enum lost lost = LOST_COUNT;
	uint32_t was = before ? before->rank : 0, from = 0, to = 0;
	for (size_t i = 0; was && i < ARRAY_LEN(blame); i++) {
		const struct autopsy_step *s = step_named(v, blame[i].step);
		if (!s)
			continue;
		bool read = blame[i].lost == LOST_RERANKED_OUT && was <= depth;
		if ((was <= k || read) && (!s->rank || s->rank > k)) {
			lost = blame[i].lost;
			from = was;
			to = s->rank;
		} else if (s->rank && s->rank <= k) {
			lost = LOST_COUNT; /* it came back */
		}
		was = s->rank;
	}
	if (lost == LOST_COUNT)
		return not_retrieved(p);
	return say(p, lost,
		to ? arena_fmt(p->a, "it was number %u before and %u after, of which %zu are given",
			     from, to, k)
		   : arena_fmt(p->a, "it was number %u before, and was left out", from));
}

/* ---- lost in the answer ---- */

static bool says_any(struct str text, const struct known *k)
{
	for (size_t i = 0; i < k->n_answers; i++)
		if (text_says(text, k->answers[i]))
			return true;
	return false;
}

/* The sentence that says it, one with support before others; NULL: none of those that were looked
 * at does. */
static const struct rag_sentence *saying(const struct known *k, const struct rag_answer *r)
{
	const struct rag_sentence *bad = NULL;
	for (size_t i = 0; i < r->n_sentences; i++) {
		const struct rag_sentence *s = &r->sentences[i];
		if (!says_any(str_sub(r->text, s->from, s->to), k))
			continue;
		if (s->supported)
			return s;
		bad = s;
	}
	return bad;
}

static bool asserts_else(const struct rag_answer *r)
{
	for (size_t i = 0; i < r->n_sentences; i++)
		if (!r->sentences[i].supported)
			return true;
	return r->generated.n > 0;
}

enum lost autopsy_judge(const struct known *k, const struct rag_answer *r)
{
	const struct rag_sentence *s = saying(k, r);
	if (!r->grounded)
		return LOST_IGNORED;
	if (says_any(r->text, k))
		return s && !s->supported ? LOST_UNSUPPORTED : LOST_NOTHING;
	return asserts_else(r) ? LOST_UNSUPPORTED : LOST_IGNORED;
}

static enum err judge_answer(struct post *p)
{
	const struct rag_answer *r = &p->answer;
	enum lost lost = autopsy_judge(p->k, r);
	const char *why = lost == LOST_NOTHING   ? "and the answer says it"
			  : lost == LOST_IGNORED ? "and the answer does not say it"
			  : says_any(r->text, p->k)
				  ? "and the answer says it in a sentence that none supports"
			  : r->generated.n
				  ? "and none supports what the model wrote; the answer is a "
				    "sentence of the passages instead"
				  : "and the answer says something else, which none supports";
	if (!r->grounded) {
		p->v->remedy =
			S("A passage holds it and no model was asked: lower "
			  "rag.answer_support, or put the question as the documents put it.");
		return say(p, lost,
			arena_fmt(p->a, "passage %u holds it, and no answer was written: %.*s",
				p->v->rank, STR_FMT(r->reason)));
	}
	return say(p, lost, arena_fmt(p->a, "passage %u holds it, %s", p->v->rank, why));
}

static enum err after_search(struct post *p)
{
	struct verdict *v = p->v;
	if (!p->x->answer)
		return say(p, LOST_NOTHING,
			arena_fmt(p->a, "passage %u of %zu holds it", v->rank, v->passages));
	v->answer = p->answer.text;
	v->generated = p->answer.generated.n ? p->answer.generated : S("");
	v->used = p->answer.model.n ? p->answer.used : v->passages;
	if (p->answer.grounded && v->rank > v->used)
		return say(p, LOST_CUT,
			arena_fmt(p->a,
				"passage %u holds it, and the prompt has the first %zu of %zu",
				v->rank, v->used, v->passages));
	if (!p->k->n_answers)
		return say(
			p, LOST_NOTHING, arena_fmt(p->a, "passage %u is of its document", v->rank));
	return judge_answer(p);
}

enum err autopsy_one(struct autopsy *x, const struct known *k, struct arena *a, struct verdict *out)
{
	struct post p = {.x = x, .k = k, .a = a, .v = out};
	bool lost = false;
	*out = (struct verdict){
		.lost = LOST_NOTHING, .answer = S(""), .generated = S(""), .why = S("")};
	enum err e = texts_find(x->texts, k, &out->found);
	e = e ? e : where(&p);
	e = e ? e : before_search(&p, &lost);
	if (e || lost)
		return e;
	e = find_chunks(&p);
	e = e ? e : search(&p);
	if (e)
		return e;
	follow(&p);
	if (p.n_chunks)
		e = rank_deeply(&p);
	if (e)
		return e;
	if (out->rank)
		return after_search(&p);
	if (!p.n_chunks)
		return say(&p, LOST_SPLIT,
			S("it lies across two chunks, and neither holds all of it"));
	return lost_in_search(&p);
}
