/* What a person types to clauses: words, "phrases", begin*, mispelt~, +must, -not. What is not one
 * of these is a word; a quote that is not closed stands for itself. */
#include "collection/keyword_int.h"
#include "base/room.h"
#include "text/unicode.h"

/* BETWEEN_TEXTS: places, so that no phrase goes from one value of a field into the next. */
enum {
	BETWEEN_TEXTS = 2 * 1000 + 1,
	TEXT_MAX = 64 << 10,
	TERMS_MAX = 4096,
	SLOP_MAX = 1000,
	LONG_WORD = 6,
	SHORT_WORD = 3
};

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a query");
}

/* ---- terms ---- */

/* How many words a piece of text between two terms has: stop words, which are no terms, still take
 * a place each, so that "state of the art" is no phrase in "state, art". */
static uint32_t words_between(struct str s)
{
	uint32_t n = 0;
	bool in = false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		bool word = c >= 0x80 || (c >= '0' && c <= '9') ||
			    ((c | 32) >= 'a' && (c | 32) <= 'z') || (c == '\'' && in);
		n += word && !in;
		in = word;
	}
	return n;
}

static bool add_term(void *ctx, struct str term, uint32_t from, uint32_t to)
{
	struct term_list *l = ctx;
	size_t cap = l->cap;
	if (!arena_room(l->a, l->terms, l->n, cap) || !arena_room(l->a, l->at, l->n, l->cap)) {
		l->e = ERR_NOMEM;
		return false;
	}
	struct str copy = arena_str(l->a, term);
	if (!copy.p || l->place >= BM25_TERMS_MAX - 1) {
		l->e = copy.p ? ERR_TOO_LARGE : ERR_NOMEM;
		return false;
	}
	if (l->begun && from >= l->last_to)
		l->place += 1 + words_between(str_sub(l->text, l->last_to, from));
	l->begun = true;
	l->last_to = to;
	l->at[l->n] = l->place;
	l->terms[l->n++] = copy;
	return true;
}

enum err keyword_terms(struct term_list *l, struct str text, const char *language)
{
	l->text = text;
	l->last_to = 0;
	enum err e = unicode_terms(text, language, add_term, l);
	l->place += BETWEEN_TEXTS;
	l->begun = false;
	return e ? e : l->e;
}

/* ---- clauses ---- */

struct parsing {
	struct arena *a;
	const char *language;
	struct bm25_clause *clauses;
	size_t n, cap, n_terms;
	struct buf plain;
	struct errtext *et;
};

static enum err add_clause(struct parsing *p, struct bm25_clause c)
{
	p->n_terms += c.n_terms;
	if (p->n_terms > TERMS_MAX)
		return err_set(p->et, ERR_TOO_LARGE, "a query of more than %d words", TERMS_MAX);
	if (!arena_room(p->a, p->clauses, p->n, p->cap))
		return no_memory(p->et);
	p->clauses[p->n++] = c;
	return OK;
}

static void add_plain(struct parsing *p, struct str text, enum bm25_need need)
{
	if (need == BM25_MUST_NOT || !text.n)
		return;
	if (p->plain.n)
		buf_putc(&p->plain, ' ');
	buf_adds(&p->plain, text);
}

static enum err terms_of(
	struct parsing *p, struct str text, const char *language, struct term_list *l)
{
	*l = (struct term_list){.a = p->a};
	enum err e = keyword_terms(l, text, language);
	return e ? err_set(p->et, e, "a query with too many words, or no memory for it") : OK;
}

/* "e-mail" is two words: both, or, of what must not be, one after the other. */
static enum err add_word(struct parsing *p, struct str word, enum bm25_need need)
{
	struct term_list l;
	enum err e = terms_of(p, word, p->language, &l);
	if (!e && need == BM25_MUST_NOT && l.n > 1)
		return add_clause(p, (struct bm25_clause){.match = BM25_PHRASE,
					     .need = need,
					     .terms = l.terms,
					     .n_terms = l.n,
					     .at = l.at});
	for (size_t i = 0; i < l.n && !e; i++)
		e = add_clause(
			p, (struct bm25_clause){.need = need, .terms = &l.terms[i], .n_terms = 1});
	return e;
}

static enum err add_phrase(struct parsing *p, struct str text, enum bm25_need need, uint32_t slop)
{
	struct term_list l;
	enum err e = terms_of(p, text, p->language, &l);
	if (e || !l.n)
		return e;
	return add_clause(p, (struct bm25_clause){.match = BM25_PHRASE,
				     .need = need,
				     .terms = l.terms,
				     .n_terms = l.n,
				     .at = l.at,
				     .slop = slop});
}

static size_t letters_of(struct str s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
	return n;
}

/* The words before the last one are themselves. A beginning is looked for as it stands, without
 * making it a stem. */
static enum err add_open(struct parsing *p, struct str word, enum bm25_need need,
	enum bm25_match match, unsigned edits)
{
	struct term_list l;
	enum err e = terms_of(p, word, match == BM25_PREFIX ? "" : p->language, &l);
	for (size_t i = 0; i < l.n && !e; i++) {
		size_t letters = letters_of(l.terms[i]);
		bool last = i + 1 == l.n;
		bool open = last && (match == BM25_PREFIX || letters >= SHORT_WORD) &&
			    letters <= BM25_FUZZY_MAX;
		e = add_clause(p, (struct bm25_clause){.match = open ? match : BM25_TERM,
					  .need = need,
					  .terms = &l.terms[i],
					  .n_terms = 1,
					  .edits = edits                 ? edits
						   : letters < LONG_WORD ? 1
									 : 2});
	}
	return e;
}

/* ---- reading ---- */

static bool space_at(struct str s, size_t i)
{
	return i >= s.n || (unsigned char)s.p[i] <= ' ';
}

/* The number after a ~ at `at`, which goes past it; `otherwise` when there is none. */
static uint32_t tilde_number(struct str s, size_t *at, uint32_t otherwise)
{
	uint32_t v = 0;
	size_t i = *at + 1;
	for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++)
		v = MIN(v * 10 + (uint32_t)(s.p[i] - '0'), (uint32_t)SLOP_MAX);
	otherwise = i > *at + 1 ? v : otherwise;
	*at = i;
	return otherwise;
}

static enum err read_word(struct parsing *p, struct str word, enum bm25_need need)
{
	size_t tilde = word.n;
	while (tilde && word.p[tilde - 1] != '~')
		tilde--;
	struct str edits = str_sub(word, tilde, word.n);
	bool fuzzy =
		tilde > 1 && edits.n <= 1 && (!edits.n || edits.p[0] == '1' || edits.p[0] == '2');
	bool prefix = !fuzzy && word.n > 1 && word.p[word.n - 1] == '*';
	struct str bare = fuzzy    ? str_sub(word, 0, tilde - 1)
			  : prefix ? str_sub(word, 0, word.n - 1)
				   : word;
	add_plain(p, bare, need);
	if (fuzzy)
		return add_open(
			p, bare, need, BM25_FUZZY, edits.n ? (unsigned)(edits.p[0] - '0') : 0);
	return prefix ? add_open(p, bare, need, BM25_PREFIX, 1) : add_word(p, bare, need);
}

/* From `at`, which is no space, to what follows. */
static enum err read_one(struct parsing *p, struct str s, size_t *at)
{
	enum bm25_need need = BM25_SHOULD;
	if ((s.p[*at] == '+' || s.p[*at] == '-') && !space_at(s, *at + 1))
		need = s.p[(*at)++] == '+' ? BM25_MUST : BM25_MUST_NOT;
	size_t close = s.p[*at] == '"' ? str_chr(str_sub(s, *at + 1, s.n), '"') : STR_NONE;
	if (close != STR_NONE) {
		struct str phrase = str_sub(s, *at + 1, *at + 1 + close);
		uint32_t slop = 0;
		*at += close + 2;
		if (*at < s.n && s.p[*at] == '~')
			slop = tilde_number(s, at, 0);
		add_plain(p, phrase, need);
		return add_phrase(p, phrase, need, slop);
	}
	size_t end = *at;
	while (!space_at(s, end))
		end++;
	struct str word = str_sub(s, *at, end);
	*at = end;
	return read_word(p, word, need);
}

enum err keyword_query_parse(struct str text, const char *language, struct arena *a,
	struct keyword_query *out, struct errtext *et)
{
	struct parsing p = {.a = a, .language = language, .et = et};
	enum err e = OK;
	if (text.n > TEXT_MAX)
		return err_set(et, ERR_TOO_LARGE, "a query of %zu bytes; the limit is %d", text.n,
			TEXT_MAX);
	for (size_t at = 0; at < text.n && !e;) {
		if (space_at(text, at))
			at++;
		else
			e = read_one(&p, text, &at);
	}
	*out = (struct keyword_query){p.clauses, p.n, arena_str(a, buf_str(&p.plain))};
	bool failed = p.plain.err || !out->plain.p;
	buf_free(&p.plain);
	return e ? e : failed ? no_memory(et) : OK;
}
