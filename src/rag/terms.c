/* Texts and queries as the keyword index has them. */
#include "rag/rag_int.h"

#include "base/room.h"
#include "text/unicode.h"

struct term_list {
	struct arena *a;
	struct str *terms;
	uint32_t *at; /* of the word in the text */
	size_t n, cap;
	enum err e;
};

static bool add_term(void *ctx, struct str term, uint32_t from, uint32_t to)
{
	struct term_list *l = ctx;
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 128;
		struct str *terms = arena_array_of(l->a, cap, struct str);
		uint32_t *at = arena_array_of(l->a, cap, uint32_t);
		if (!terms || !at) {
			l->e = ERR_NOMEM;
			return false;
		}
		if (l->n) {
			memcpy(terms, l->terms, l->n * sizeof *terms);
			memcpy(at, l->at, l->n * sizeof *at);
		}
		l->terms = terms;
		l->at = at;
		l->cap = cap;
	}
	struct str copy = arena_str(l->a, term);
	if (!copy.p) {
		l->e = ERR_NOMEM;
		return false;
	}
	l->at[l->n] = from;
	l->terms[l->n++] = copy;
	return true;
}

static bool add_new_term(void *ctx, struct str term, uint32_t from, uint32_t to)
{
	struct term_list *l = ctx;
	for (size_t i = 0; i < l->n; i++)
		if (str_eq(l->terms[i], term))
			return true;
	return add_term(ctx, term, from, to);
}

enum err rag_terms(struct str text, const char *language, struct arena *a, struct str **out,
	size_t *n, struct errtext *et)
{
	struct term_list l = {.a = a};
	enum err e = unicode_terms(text, language, add_term, &l);
	if (e || l.e)
		return err_set(et, e ? e : l.e, "no memory for the terms");
	*out = l.terms;
	*n = l.n;
	return OK;
}

void language_add(struct language_count *languages, size_t *n, const char *language)
{
	size_t i = 0;
	while (i < *n && strcmp(languages[i].language, language))
		i++;
	if (i == *n && *n < LANGUAGES_MAX)
		languages[(*n)++] = (struct language_count){language, 0};
	if (i < *n)
		languages[i].n++;
}

/* A query's terms are those of one main language and, for the same words, what the other languages
 * make of them. A word that the main language leaves out (a stop word) stays out: a document whose
 * language was guessed wrongly has "what" and "the" as rare words, and would win every query. */
struct main_terms {
	struct term_list list;
	struct span {
		uint32_t from, to;
	} * spans; /* of the words that the main language keeps */
	size_t n, cap;
	bool main;
};

static bool add_query_term(void *ctx, struct str term, uint32_t from, uint32_t to)
{
	struct main_terms *m = ctx;
	if (m->main) {
		if (!arena_room(m->list.a, m->spans, m->n, m->cap)) {
			m->list.e = ERR_NOMEM;
			return false;
		}
		m->spans[m->n++] = (struct span){from, to};
		return add_term(&m->list, term, from, to);
	}
	size_t i = 0;
	while (i < m->n && (m->spans[i].to <= from || m->spans[i].from >= to))
		i++;
	return i == m->n || add_new_term(&m->list, term, from, to);
}

enum err rag_terms_in(struct str query, const struct language_count *languages, size_t n_languages,
	struct arena *a, struct str **out, uint32_t **word_at, size_t *n, struct errtext *et)
{
	struct main_terms m = {.list = {.a = a}, .main = true};
	const char *guess = unicode_guess_language(query), *best = "";
	size_t most = 0;
	for (size_t i = 0; i < n_languages; i++) {
		const char *l = languages[i].language;
		size_t weight = !*l ? 0 : !strcmp(l, guess) ? SIZE_MAX : languages[i].n;
		if (weight > most) {
			best = l;
			most = weight;
		}
	}
	enum err e = unicode_terms(query, best, add_query_term, &m);
	m.main = false;
	for (size_t i = 0; i < n_languages && !e && !m.list.e; i++)
		if (strcmp(languages[i].language, best))
			e = unicode_terms(query, languages[i].language, add_query_term, &m);
	if (e || m.list.e)
		return err_set(et, e ? e : m.list.e, "no memory for the terms");
	*out = m.list.terms;
	*word_at = m.list.at;
	*n = m.list.n;
	return OK;
}
