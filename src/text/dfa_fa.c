/* Automata over an ordered alphabet: building, interning, the complement, minimising. */
#include "text/dfa_int.h"

#include <stdlib.h>

bool dfa_grow(void *array, size_t *cap, size_t need, size_t size)
{
	if (need <= *cap)
		return true;
	size_t to = MAX(MAX(need, *cap * 2), 16), bytes;
	void *old, *p;
	memcpy(&old, array, sizeof old);
	if (__builtin_mul_overflow(to, size, &bytes) || !(p = realloc(old, bytes)))
		return false;
	memcpy(array, &p, sizeof p);
	*cap = to;
	return true;
}

/* ---- building ---- */

void fa_arc(struct fa *f, uint32_t lo, uint32_t hi, uint32_t to)
{
	uint32_t begin = f->n ? f->first[f->n] : 0;
	if (f->err || to == DFA_DEAD)
		return;
	if (f->n_arcs > begin) {
		struct arc *last = &f->arcs[f->n_arcs - 1];
		if (last->to == to && last->hi + 1 == lo) {
			last->hi = hi;
			return;
		}
	}
	if (f->n_arcs >= DFA_ARCS_MAX)
		f->err = ERR_TOO_LARGE;
	else if (!dfa_grow(&f->arcs, &f->arcs_cap, f->n_arcs + 1, sizeof *f->arcs))
		f->err = ERR_NOMEM;
	else
		f->arcs[f->n_arcs++] = (struct arc){lo, hi, to};
}

void fa_end(struct fa *f, uint32_t tag)
{
	if (f->err)
		return;
	if (f->n >= DFA_STATES_MAX + 1) { /* one more: the sink of a complement is often dropped */
		f->err = ERR_TOO_LARGE;
	} else if (!dfa_grow(&f->first, &f->first_cap, f->n + 2, sizeof *f->first) ||
		   !dfa_grow(&f->tags, &f->tags_cap, f->n + 1, sizeof *f->tags)) {
		f->err = ERR_NOMEM;
	} else {
		f->first[0] = 0;
		f->tags[f->n++] = tag;
		f->first[f->n] = f->n_arcs;
	}
}

void fa_free(struct fa *f)
{
	free(f->first);
	free(f->tags);
	free(f->arcs);
	*f = (struct fa){.err = f->err};
}

uint32_t fa_step(const struct fa *f, uint32_t s, uint32_t letter)
{
	uint32_t lo = f->first[s], hi = f->first[s + 1];
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (f->arcs[mid].hi < letter)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < f->first[s + 1] && f->arcs[lo].lo <= letter ? f->arcs[lo].to : DFA_DEAD;
}

void fa_complement(const struct fa *f, uint32_t last, struct fa *out)
{
	uint32_t sink = f->n;
	for (uint32_t s = 0; s < f->n; s++) {
		uint32_t at = 0;
		for (uint32_t i = f->first[s]; i < f->first[s + 1]; i++) {
			const struct arc *arc = &f->arcs[i];
			if (arc->lo > at)
				fa_arc(out, at, arc->lo - 1, sink);
			fa_arc(out, arc->lo, arc->hi, arc->to);
			at = arc->hi + 1;
		}
		if (at <= last)
			fa_arc(out, at, last, sink);
		fa_end(out, !f->tags[s]);
	}
	fa_arc(out, 0, last, sink);
	fa_end(out, 1);
}

/* ---- sequences ---- */

static uint64_t words_hash(const uint32_t *w, size_t n)
{
	uint64_t h = n;
	for (size_t i = 0; i < n; i++)
		h = dfa_mix(h, w[i]);
	return dfa_mix(h, 0);
}

static size_t seqs_slot(const struct seqs *t, const uint32_t *words, size_t n)
{
	size_t mask = t->n_slots - 1, i = words_hash(words, n) & mask;
	for (; t->slots[i] != UINT32_MAX; i = (i + 1) & mask) {
		size_t have;
		const uint32_t *w = seqs_get(t, t->slots[i], &have);
		if (have == n && (!n || !memcmp(w, words, n * sizeof *words)))
			break;
	}
	return i;
}

static bool seqs_rehash(struct seqs *t)
{
	size_t n_slots = MAX(t->n_slots * 2, 64);
	uint32_t *slots = malloc(n_slots * sizeof *slots);
	if (!slots)
		return false;
	memset(slots, 0xFF, n_slots * sizeof *slots);
	free(t->slots);
	t->slots = slots;
	t->n_slots = n_slots;
	for (uint32_t id = 0; id < t->n; id++) {
		size_t n, mask = n_slots - 1;
		const uint32_t *w = seqs_get(t, id, &n);
		size_t i = words_hash(w, n) & mask;
		while (slots[i] != UINT32_MAX)
			i = (i + 1) & mask;
		slots[i] = id;
	}
	return true;
}

uint32_t seqs_put(struct seqs *t, const uint32_t *words, size_t n, enum err *err)
{
	if (t->n * 2 >= t->n_slots && !seqs_rehash(t))
		return *err = ERR_NOMEM, UINT32_MAX;
	size_t slot = seqs_slot(t, words, n);
	if (t->slots[slot] != UINT32_MAX)
		return t->slots[slot];
	if (t->n_words + n > DFA_WORDS_MAX)
		return *err = ERR_TOO_LARGE, UINT32_MAX;
	if (!dfa_grow(&t->words, &t->words_cap, t->n_words + MAX(n, 1), sizeof *t->words) ||
		!dfa_grow(&t->at, &t->at_cap, (size_t)t->n + 2, sizeof *t->at))
		return *err = ERR_NOMEM, UINT32_MAX;
	if (n)
		memcpy(t->words + t->n_words, words, n * sizeof *words);
	t->at[0] = 0;
	t->n_words += n;
	t->at[t->n + 1] = t->n_words;
	t->slots[slot] = t->n;
	return t->n++;
}

void seqs_free(struct seqs *t)
{
	free(t->words);
	free(t->at);
	free(t->slots);
	*t = (struct seqs){0};
}
