/* Atoms: the classes of letters that no set of an expression tells apart.
 *
 * The sets' ends cut the letters into intervals; each set then splits the atoms that it has a part
 * of. An atom is a number, its intervals are where atom_of says so. When the expression asks for
 * words, the atoms of word letters have the lower numbers. */
#include "text/dfa_regex_int.h"

#include <stdlib.h>

struct split {
	struct atoms *a;
	uint32_t *size;     /* intervals per atom */
	uint32_t *seen;     /* how many of them the present set has */
	uint32_t *moved_to; /* the part's own number */
	uint32_t *touched, n_touched;
};

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static bool add_cuts(struct atoms *a, const struct program *p, const bool *used)
{
	size_t n = 1, cap = 0;
	for (uint32_t i = 0; i < p->n_sets; i++)
		n += used[i] ? (size_t)p->sets[i].n * 2 : 0;
	if (!dfa_grow(&a->cuts, &cap, n + 1, sizeof *a->cuts))
		return false;
	uint32_t k = 0;
	a->cuts[k++] = 0;
	for (uint32_t i = 0; i < p->n_sets; i++)
		for (uint32_t j = 0; used[i] && j < p->sets[i].n; j++) {
			a->cuts[k++] = p->sets[i].v[j].lo;
			if (p->sets[i].v[j].hi < LETTER_MAX)
				a->cuts[k++] = p->sets[i].v[j].hi + 1;
		}
	qsort(a->cuts, k, sizeof *a->cuts, by_number);
	a->n_cuts = 0;
	for (uint32_t i = 0; i < k; i++)
		if (!i || a->cuts[i] != a->cuts[i - 1])
			a->cuts[a->n_cuts++] = a->cuts[i];
	a->cuts[a->n_cuts] = LETTER_MAX + 1;
	return true;
}

/* The interval that begins at this letter. */
static uint32_t cut_at(const struct atoms *a, uint32_t letter)
{
	uint32_t lo = 0, hi = a->n_cuts;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (a->cuts[mid] < letter)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool next_interval(
	const struct atoms *a, const struct cset *s, uint32_t *span, uint32_t *cut)
{
	if (*span >= s->n)
		return false;
	if (*cut == UINT32_MAX) {
		*cut = cut_at(a, s->v[*span].lo);
		return true;
	}
	if (a->cuts[++*cut] <= s->v[*span].hi)
		return true;
	if (++*span >= s->n)
		return false;
	*cut = cut_at(a, s->v[*span].lo);
	return true;
}

#define EACH_INTERVAL(a, set, cut) \
	for (uint32_t span_ = 0, cut = UINT32_MAX; next_interval((a), (set), &span_, &cut);)

static bool split_by(struct split *t, const struct cset *set, uint32_t *work)
{
	struct atoms *a = t->a;
	t->n_touched = 0;
	EACH_INTERVAL(a, set, cut)
	{
		uint32_t atom = a->atom_of[cut];
		if (++*work > DFA_WORK_MAX)
			return false;
		if (!t->seen[atom]++)
			t->touched[t->n_touched++] = atom;
	}
	uint32_t n_before = a->n;
	for (uint32_t i = 0; i < t->n_touched; i++) {
		uint32_t atom = t->touched[i];
		t->moved_to[atom] = t->seen[atom] < t->size[atom] ? a->n++ : atom;
		if (t->moved_to[atom] != atom) {
			t->size[t->moved_to[atom]] = t->seen[atom];
			t->size[atom] -= t->seen[atom];
		}
		t->seen[atom] = 0;
	}
	if (a->n > n_before)
		EACH_INTERVAL(a, set, cut)
	a->atom_of[cut] = t->moved_to[a->atom_of[cut]];
	return true;
}

/* Numbers the atoms in the order of their first letters, those of `words` before the others. */
static void renumber(struct split *t, const struct cset *words)
{
	struct atoms *a = t->a;
	uint32_t n = 0;
	memset(t->moved_to, 0xFF, (size_t)a->n * sizeof *t->moved_to);
	if (words)
		EACH_INTERVAL(a, words, cut)
	if (t->moved_to[a->atom_of[cut]] == UINT32_MAX)
		t->moved_to[a->atom_of[cut]] = n++;
	a->n_words = n;
	for (uint32_t cut = 0; cut < a->n_cuts; cut++) {
		if (t->moved_to[a->atom_of[cut]] == UINT32_MAX)
			t->moved_to[a->atom_of[cut]] = n++;
		a->atom_of[cut] = t->moved_to[a->atom_of[cut]];
	}
}

/* Each set as a list of atoms. */
static enum err list_sets(struct split *t, const struct program *p, const bool *used)
{
	struct atoms *a = t->a;
	size_t cap = 0, n = 0;
	a->first = calloc((size_t)p->n_sets + 1, sizeof *a->first);
	if (!a->first)
		return ERR_NOMEM;
	memset(t->seen, 0xFF, ((size_t)a->n_cuts + 1) * sizeof *t->seen);
	for (uint32_t i = 0; i < p->n_sets; i++) {
		if (used[i])
			EACH_INTERVAL(a, &p->sets[i], cut)
			{
				uint32_t atom = a->atom_of[cut];
				if (t->seen[atom] == i)
					continue;
				t->seen[atom] = i;
				if (!dfa_grow(&a->list, &cap, n + 1, sizeof *a->list))
					return ERR_NOMEM;
				a->list[n++] = atom;
			}
		a->first[i + 1] = n;
	}
	return OK;
}

static enum err split_all(struct split *t, const struct program *p, const bool *used)
{
	struct atoms *a = t->a;
	uint32_t work = 0;
	a->n = 1;
	t->size[0] = a->n_cuts;
	for (uint32_t i = 0; i < p->n_sets; i++)
		if (used[i] && !split_by(t, &p->sets[i], &work))
			return ERR_TOO_LARGE;
	renumber(t, p->uses_words ? &p->sets[0] : NULL);
	return list_sets(t, p, used);
}

enum err atoms_make(const struct program *p, struct atoms *a)
{
	struct split t = {.a = a};
	bool *used = calloc((size_t)p->n_sets + 1, sizeof *used);
	if (!used)
		return ERR_NOMEM;
	used[0] = p->uses_words;
	for (uint32_t i = 0; i < p->n_insts; i++)
		if (p->insts[i].op == OP_SET)
			used[p->insts[i].x] = true;
	enum err e = add_cuts(a, p, used) ? OK : ERR_NOMEM;
	size_t n = (size_t)a->n_cuts + 1;
	uint32_t *words = e ? NULL : calloc(n * 4, sizeof *words);
	a->atom_of = calloc(n, sizeof *a->atom_of);
	if (!words || !a->atom_of) {
		e = ERR_NOMEM;
	} else {
		t.size = words;
		t.seen = words + n;
		t.moved_to = words + 2 * n;
		t.touched = words + 3 * n;
		e = split_all(&t, p, used);
	}
	free(words);
	free(used);
	return e;
}

void atoms_free(struct atoms *a)
{
	free(a->cuts);
	free(a->atom_of);
	free(a->first);
	free(a->list);
	*a = (struct atoms){0};
}

void atoms_expand(const struct atoms *a, const struct fa *f, struct fa *out)
{
	uint32_t *to = malloc(((size_t)a->n + 1) * sizeof *to);
	if (!to || f->err)
		out->err = f->err ? f->err : ERR_NOMEM;
	if (!out->err && (uint64_t)f->n * a->n_cuts > DFA_WORK_MAX)
		out->err = ERR_TOO_LARGE;
	for (uint32_t s = 0; s < f->n && !out->err; s++) {
		memset(to, 0xFF, (size_t)a->n * sizeof *to);
		for (uint32_t i = f->first[s]; i < f->first[s + 1]; i++)
			for (uint32_t atom = f->arcs[i].lo; atom <= f->arcs[i].hi; atom++)
				to[atom] = f->arcs[i].to;
		for (uint32_t cut = 0; cut < a->n_cuts; cut++)
			fa_arc(out, a->cuts[cut], a->cuts[cut + 1] - 1, to[a->atom_of[cut]]);
		fa_end(out, f->tags[s]);
	}
	free(to);
}
