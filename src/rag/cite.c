#include "rag/cite.h"

#include "base/room.h"
#include "text/unicode.h"

#include <ctype.h>
#include <stdlib.h>

enum {
	SENTENCES_MAX = 400, /* of all passages */
	EMBED_MAX = 32,      /* candidates that a question embeds */
	WINDOW_MAX = 6,      /* sentences of passages that an answer's sentence is compared with */
	MARKS_MAX = 8,       /* markers of one sentence */
	VERBATIM_WORDS = 3,  /* fewer words in a row prove nothing */
};

/* A sentence is supported when so many of its content words stand near one passage sentence and
 * the two embeddings are so close; without embeddings, words must do more. */
static const float OVERLAP_MIN = 0.5f, COSINE_MIN = 0.5f, SCORE_MIN = 0.6f,
		   OVERLAP_ALONE_MIN = 0.75f;

struct words {
	struct str *w;
	size_t n, cap;
};

struct sentence {
	struct str text;
	uint32_t hit, from, to; /* from, to: of the document's text */
	struct words terms;
	float *vector; /* NULL: not embedded yet */
	float score;
};

struct passage {
	const char *language;
	struct words terms;
	struct buf plain; /* " word word word " */
	size_t first, n;  /* sentences */
};

struct cite {
	struct cite_input in;
	struct arena *a;
	struct passage *passages;
	struct sentence *sentences;
	size_t n;
};

const char *cite_status_name(enum cite_status s)
{
	static const char *const names[] = {"verbatim", "supported", "unsupported"};
	return names[s];
}

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory to check an answer");
}

/* ---- words ---- */

struct word_sink {
	struct arena *a;
	struct words *out;
	bool once;
};

static bool has_word(const struct words *l, struct str w)
{
	for (size_t i = 0; i < l->n; i++)
		if (str_eq(l->w[i], w))
			return true;
	return false;
}

static bool add_word(void *ctx, struct str term, uint32_t from, uint32_t to)
{
	struct word_sink *s = ctx;
	struct words *l = s->out;
	if (s->once && has_word(l, term))
		return true;
	if (!arena_room(s->a, l->w, l->n, l->cap))
		return false;
	struct str copy = arena_str(s->a, term);
	if (copy.p)
		l->w[l->n++] = copy;
	return copy.p != NULL;
}

static enum err terms_of(struct arena *a, struct str text, const char *language, struct words *out)
{
	struct word_sink s = {a, out, true};
	return unicode_terms(text, language, add_word, &s);
}

struct plain_sink {
	struct str text;
	struct buf *out;
};

static bool add_plain(void *ctx, uint32_t from, uint32_t to)
{
	struct plain_sink *s = ctx;
	buf_adds(s->out, str_sub(s->text, from, to));
	buf_putc(s->out, ' ');
	return true;
}

/* " the words of a text , case folded " without the punctuation, to look for runs of words. */
static enum err plain_words(struct str text, struct buf *out)
{
	struct buf folded = {0};
	enum err e = unicode_nfkc_casefold(text, &folded);
	struct plain_sink s = {buf_str(&folded), out};
	buf_putc(out, ' ');
	if (!e)
		e = unicode_words(s.text, add_plain, &s);
	buf_free(&folded);
	return e ? e : out->err;
}

static bool says(const struct buf *plain, struct str word)
{
	for (struct str rest = buf_str(plain);;) {
		size_t at = str_find(rest, word);
		if (at == STR_NONE)
			return false;
		if (at && rest.p[at - 1] == ' ' && at + word.n < rest.n &&
			rest.p[at + word.n] == ' ')
			return true;
		rest = str_sub(rest, at + 1, rest.n);
	}
}

static float overlap(const struct words *of, const struct words *with)
{
	size_t n = 0;
	for (size_t i = 0; i < of->n; i++)
		n += has_word(with, of->w[i]);
	return of->n ? (float)n / (float)of->n : 0;
}

/* ---- sentences of the passages ---- */

struct split {
	struct cite *c;
	uint32_t hit;
	struct str text; /* as it stands in the document */
};

static bool add_sentence(void *ctx, uint32_t from, uint32_t to)
{
	struct split *s = ctx;
	struct cite *c = s->c;
	struct str t = str_sub(s->text, from, to), trimmed = str_trim(t);
	if (trimmed.n < 2)
		return true;
	uint32_t at = c->in.hits[s->hit].from + from + (uint32_t)(trimmed.p - t.p);
	c->sentences[c->n++] = (struct sentence){
		.text = trimmed, .hit = s->hit, .from = at, .to = at + (uint32_t)trimmed.n};
	return c->n < SENTENCES_MAX;
}

/* A line that goes on in the next one is no end of a sentence: such line feeds become spaces. */
static char *unwrap(struct arena *a, struct str s)
{
	char *out = arena_c(a, s);
	size_t line = 0;
	for (size_t i = 0; out && i + 1 < s.n; i++) {
		if (out[i] != '\n')
			continue;
		bool goes_on = (out[i + 1] >= 'a' && out[i + 1] <= 'z') || out[i + 1] == '(' ||
			       (i && (out[i - 1] == ',' || out[i - 1] == ';'));
		if (i - line > 40 && goes_on &&
			!unicode_same_row(str_sub(s, line, i), str_sub(s, i + 1, s.n)))
			out[i] = ' ';
		line = i + 1;
	}
	return out;
}

static enum err add_passage(struct cite *c, uint32_t i)
{
	const struct rag_hit *h = &c->in.hits[i];
	struct passage *p = &c->passages[i];
	p->language = unicode_guess_language(h->text);
	p->first = c->n;
	char *text = unwrap(c->a, h->text);
	if (!text)
		return ERR_NOMEM;
	struct split s = {c, i, h->text};
	enum err e = plain_words(h->text, &p->plain);
	if (!e)
		e = terms_of(c->a, h->text, p->language, &p->terms);
	if (!e && c->n < SENTENCES_MAX)
		e = unicode_sentences(str_mk(text, h->text.n), add_sentence, &s);
	p->n = c->n - p->first;
	for (size_t j = p->first; j < c->n && !e; j++)
		e = terms_of(c->a, c->sentences[j].text, p->language, &c->sentences[j].terms);
	return e;
}

static void free_plain(void *arg)
{
	buf_free(arg);
}

enum err cite_new(
	const struct cite_input *in, struct arena *a, struct cite **out, struct errtext *et)
{
	struct cite *c = arena_new_of(a, struct cite);
	if (!c)
		return no_memory(et);
	*c = (struct cite){.in = *in, .a = a};
	c->passages = arena_array_of(a, in->n_hits + 1, struct passage);
	c->sentences = arena_array_of(a, SENTENCES_MAX + 1, struct sentence);
	if (!c->passages || !c->sentences)
		return no_memory(et);
	for (uint32_t i = 0; i < in->n_hits; i++) {
		if (!arena_on_free(a, free_plain, &c->passages[i].plain))
			return no_memory(et);
		enum err e = add_passage(c, i);
		if (e)
			return err_set(et, e, "a passage could not be read");
	}
	*out = c;
	return OK;
}

/* Embeds those of n sentences that are not yet. */
static enum err embed(struct cite *c, struct sentence *const *which, size_t n, struct errtext *et)
{
	struct str texts[SENTENCES_MAX];
	struct sentence *todo[SENTENCES_MAX];
	size_t k = 0;
	for (size_t i = 0; i < n; i++)
		if (!which[i]->vector && c->in.embed) {
			size_t seen = 0;
			while (seen < k && todo[seen] != which[i])
				seen++;
			if (seen == k && k < SENTENCES_MAX) {
				texts[k] = which[i]->text;
				todo[k++] = which[i];
			}
		}
	if (!k)
		return OK;
	float *v = arena_array_of(c->a, k * c->in.dim, float);
	if (!v)
		return no_memory(et);
	enum err e = c->in.embed(c->in.ctx, texts, k, v, et);
	for (size_t i = 0; i < k && !e; i++)
		todo[i]->vector = v + i * c->in.dim;
	return e;
}

static float cosine(const struct cite *c, const float *a, const float *b)
{
	float sum = 0;
	for (uint32_t i = 0; a && b && i < c->in.dim; i++)
		sum += a[i] * b[i];
	return sum;
}

/* ---- the best sentences ---- */

static int by_score(const void *a, const void *b)
{
	const struct sentence *x = *(struct sentence *const *)a, *y = *(struct sentence *const *)b;
	if (x->score != y->score)
		return x->score < y->score ? 1 : -1;
	return (x > y) - (x < y);
}

static bool overlaps(const struct cite *c, const struct sentence *a, const struct sentence *b)
{
	const struct rag_hit *x = &c->in.hits[a->hit], *y = &c->in.hits[b->hit];
	bool same = !memcmp(&x->document, &y->document, sizeof x->document);
	return (same && a->from < b->to && b->from < a->to) || str_eq(a->text, b->text);
}

/* The passage speaks for its sentences with a part of its own score. */
static const float PASSAGE_SHARE = 0.3f;

static float word_score(
	const struct cite *c, const struct sentence *s, const struct cite_question *q)
{
	float sum = 0;
	for (size_t i = 0; i < q->n_terms; i++)
		if (has_word(&s->terms, q->terms[i]))
			sum += q->weights[i];
	return q->info.keyword * sum +
	       PASSAGE_SHARE * (c->in.hits[s->hit].score - c->in.hits[0].score);
}

/* Whether it can support anything: headings, questions and scraps do not. */
static bool states(const struct cite *c, const struct sentence *s)
{
	const struct rag_hit *h = &c->in.hits[s->hit];
	char last = s->text.p[s->text.n - 1];
	bool closed = !strchr("?:", last) &&
		      (ispunct((unsigned char)last) || (unsigned char)last >= 0x80);
	if (s->terms.n < 2 || last == '?' || str_find(h->heading_path, s->text) != STR_NONE ||
		str_eq(h->title, s->text))
		return false;
	return closed || s->terms.n >= 8;
}

enum err cite_best(struct cite *c, const struct cite_question *q, size_t k,
	struct best_sentence **out, size_t *n, struct errtext *et)
{
	struct sentence *order[SENTENCES_MAX];
	struct best_sentence *best = arena_array_of(c->a, k + 1, struct best_sentence);
	if (!best)
		return no_memory(et);
	for (size_t i = 0; i < c->n; i++) {
		order[i] = &c->sentences[i];
		order[i]->score = word_score(c, order[i], q) - (states(c, order[i]) ? 0 : 2);
	}
	qsort(order, c->n, sizeof *order, by_score);
	size_t some = MIN(c->n, (size_t)EMBED_MAX);
	enum err e = q->vector ? embed(c, order, some, et) : OK;
	if (e)
		return e;
	for (size_t i = 0; i < some && q->vector; i++)
		order[i]->score += q->info.weight * cosine(c, q->vector, order[i]->vector);
	qsort(order, some, sizeof *order, by_score);
	size_t got = 0;
	const struct sentence *taken[64];
	for (size_t i = 0; i < some && got < MIN(k, ARRAY_LEN(taken)); i++) {
		size_t j = 0;
		while (j < got && !overlaps(c, taken[j], order[i]))
			j++;
		if (j < got)
			continue;
		taken[got] = order[i];
		best[got++] = (struct best_sentence){order[i]->hit + 1, order[i]->text,
			order[i]->score, order[i]->from, order[i]->to};
	}
	*out = best;
	*n = got;
	return OK;
}

/* ---- an answer's sentences and markers ---- */

struct claim {
	struct str text; /* of the answer, markers and all */
	uint32_t marks[MARKS_MAX];
	size_t n_marks;
	struct buf bare; /* without markers */
};

struct claims {
	struct str answer;
	struct claim *claims;
	size_t n, cap;
};

/* "[3]" or "[1, 2]" at the start of s: its length and numbers; 0: none. */
static size_t marker(struct str s, uint32_t *marks, size_t *n)
{
	size_t i = 1, k = *n;
	if (!s.n || s.p[0] != '[')
		return 0;
	while (i < s.n) {
		uint32_t v = 0;
		size_t digits = 0;
		while (i < s.n && s.p[i] == ' ')
			i++;
		for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9' && digits < 4; i++, digits++)
			v = v * 10 + (uint32_t)(s.p[i] - '0');
		if (!digits || i == s.n)
			return 0;
		if (k < MARKS_MAX)
			marks[k++] = v;
		if (s.p[i] == ']') {
			*n = k;
			return i + 1;
		}
		if (s.p[i++] != ',')
			return 0;
	}
	return 0;
}

/* Markers at the start of s, and the white space around them: how far they go. */
static size_t leading_markers(struct str s)
{
	uint32_t marks[MARKS_MAX];
	size_t at = 0, end = 0;
	for (;;) {
		size_t n = 0;
		while (at < s.n && (s.p[at] == ' ' || s.p[at] == '.'))
			at++;
		size_t k = marker(str_sub(s, at, s.n), marks, &n);
		if (!k)
			return end;
		at += k;
		end = at;
	}
}

static bool add_claim(void *ctx, uint32_t from, uint32_t to)
{
	struct claims *l = ctx;
	struct str s = str_sub(l->answer, from, to);
	/* "... end. [1] Next": the marker belongs to what it follows. */
	size_t lead = l->n ? leading_markers(s) : 0;
	if (lead)
		l->claims[l->n - 1].text.n = (size_t)(s.p + lead - l->claims[l->n - 1].text.p);
	s = str_sub(s, lead, s.n);
	if (str_trim(s).n && l->n < l->cap)
		l->claims[l->n++] = (struct claim){.text = str_trim(s)};
	return true;
}

static void bare_text(struct claim *c)
{
	for (size_t i = 0; i < c->text.n;) {
		size_t k = marker(str_sub(c->text, i, c->text.n), c->marks, &c->n_marks);
		if (k && c->bare.n && c->bare.p[c->bare.n - 1] == ' ')
			c->bare.n--;
		if (!k)
			buf_putc(&c->bare, c->text.p[i]);
		i += k ? k : 1;
	}
}

/* ---- does a passage say it? ---- */

struct finding {
	enum cite_status status;
	const struct sentence *near;
	float score;
	const char *reason;
};

static bool has_digit(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] >= '0' && s.p[i] <= '9')
			return true;
	return false;
}

static bool capital(struct str s)
{
	uint32_t cp = 0;
	if (s.n)
		utf8_decode(s, &cp);
	return (cp >= 'A' && cp <= 'Z') || (cp >= 0xC0 && cp <= 0xDE && cp != 0xD7) ||
	       (cp >= 0x391 && cp <= 0x3A9) || (cp >= 0x410 && cp <= 0x42F);
}

struct facts {
	struct str text;
	const struct passage *p;
	const struct buf *question;
	struct buf folded;
	bool number_missing, name_missing;
	size_t words;
};

static bool look_at_word(void *ctx, uint32_t from, uint32_t to)
{
	struct facts *f = ctx;
	struct str w = str_sub(f->text, from, to);
	bool first = !f->words++;
	bool number = has_digit(w), name = !first && capital(w) && strcmp(f->p->language, "de");
	if (!number && !name)
		return true;
	buf_clear(&f->folded);
	if (unicode_nfkc_casefold(w, &f->folded))
		return true;
	struct str folded = buf_str(&f->folded);
	if (str_ends(folded, S("'s")))
		folded.n -= 2;
	if (says(&f->p->plain, folded) || (name && says(f->question, folded)))
		return true;
	if (number)
		f->number_missing = true;
	else
		f->name_missing = true;
	return true;
}

/* Words that turn a sentence into its opposite, in the languages that are stemmed most. */
static bool negated(struct str s)
{
	static const char *const words[] = {" not ", " no ", " never ", " cannot ", " without ",
		" neither ", " nor ", " none ", " nicht ", " kein ", " keine ", " keinen ", " nie ",
		" ohne ", " nunca ", " sin ", " ne ", " pas ", " jamais ", " sans "};
	struct buf plain = {0};
	bool found = false;
	if (!plain_words(s, &plain))
		for (size_t i = 0; i < ARRAY_LEN(words) && !found; i++)
			found = str_find(buf_str(&plain), str_c(words[i])) != STR_NONE;
	found |= str_find_nocase(s, S("n't")) != STR_NONE ||
		 str_find_nocase(s, S("n\xE2\x80\x99t")) != STR_NONE;
	buf_free(&plain);
	return found;
}

/* What the sentence and its neighbours say, as terms. */
static float window_overlap(
	const struct cite *c, const struct words *terms, const struct sentence *s)
{
	const struct passage *p = &c->passages[s->hit];
	size_t i = (size_t)(s - c->sentences), n = 0;
	size_t lo = i > p->first ? i - 1 : i, hi = MIN(i + 1, p->first + p->n - 1);
	for (size_t t = 0; t < terms->n; t++) {
		bool found = false;
		for (size_t j = lo; j <= hi && !found; j++)
			found = has_word(&c->sentences[j].terms, terms->w[t]);
		n += found;
	}
	return terms->n ? (float)n / (float)terms->n : 0;
}

/* One claim against one passage; its vector may be NULL. */
static enum err look_up(struct cite *c, uint32_t hit, const struct claim *claim,
	const struct buf *question, const float *vector, struct finding *out, struct errtext *et)
{
	struct passage *p = &c->passages[hit];
	struct words terms = {0};
	struct buf plain = {0};
	struct facts f = {.text = buf_str(&claim->bare), .p = p, .question = question};
	enum err e = terms_of(c->a, f.text, p->language, &terms);
	if (!e)
		e = plain_words(f.text, &plain);
	if (!e)
		e = unicode_words(f.text, look_at_word, &f);
	*out = (struct finding){.status = CITE_UNSUPPORTED};
	struct sentence *order[SENTENCES_MAX];
	for (size_t i = 0; i < p->n; i++) {
		order[i] = &c->sentences[p->first + i];
		order[i]->score = overlap(&terms, &order[i]->terms);
	}
	qsort(order, p->n, sizeof *order, by_score);
	size_t some = MIN(p->n, (size_t)WINDOW_MAX);
	if (!e && vector)
		e = embed(c, order, some, et);
	bool verbatim = !e && f.words && str_find(buf_str(&p->plain), buf_str(&plain)) != STR_NONE;
	float best_overlap = 0, best_cosine = 0;
	for (size_t i = 0; i < some && !e; i++) {
		float o = window_overlap(c, &terms, order[i]);
		float cos = vector ? cosine(c, vector, order[i]->vector) : o;
		float score = (o + order[i]->score + 2 * MAX(cos, 0)) / 4;
		if (!out->near || score > out->score) {
			out->near = order[i];
			out->score = score;
			best_overlap = o;
			best_cosine = cos;
		}
	}
	if (verbatim && f.words >= VERBATIM_WORDS) {
		out->status = CITE_VERBATIM;
		out->score = 1;
	} else if (!out->near) {
		out->reason = "the passage has no sentence";
	} else if (f.number_missing) {
		out->reason = "a number is not in the passage";
	} else if (f.name_missing) {
		out->reason = "a name is not in the passage";
	} else if (verbatim) {
		out->status = CITE_SUPPORTED;
	} else if (negated(f.text) != negated(out->near->text)) {
		out->reason = "one says 'not', the other does not";
	} else if (vector ? best_overlap >= OVERLAP_MIN && best_cosine >= COSINE_MIN &&
				    (best_overlap + best_cosine) / 2 >= SCORE_MIN
			  : best_overlap >= OVERLAP_ALONE_MIN) {
		out->status = CITE_SUPPORTED;
	} else {
		out->reason = "the passage does not say it";
	}
	buf_free(&plain);
	buf_free(&f.folded);
	return e;
}

/* ---- checking ---- */

static bool declines(struct str bare)
{
	struct buf plain = {0};
	static const char *const ways[] = {" documents do not say ", " passages do not say ",
		" passages do not answer ", " passages do not mention ", " not mentioned in the ",
		" passages do not provide ", " documents do not mention ",
		" not provided in the passages "};
	bool yes = false;
	if (!plain_words(bare, &plain))
		for (size_t i = 0; i < ARRAY_LEN(ways) && !yes; i++)
			yes = str_find(buf_str(&plain), str_c(ways[i])) != STR_NONE;
	buf_free(&plain);
	return yes;
}

struct checking {
	struct cite *c;
	struct checked *out;
	size_t cap;
	struct buf question;
};

static void cite_add(struct checking *k, uint32_t n, const struct finding *f, uint32_t hit,
	bool by_check, const char *reason)
{
	if (k->out->n == k->cap)
		return;
	const struct sentence *s = f->near;
	k->out->citations[k->out->n++] = (struct citation){.n = n,
		.status = f->status,
		.by_check = by_check,
		.reason = f->status == CITE_UNSUPPORTED ? reason ? reason : f->reason : NULL,
		.nearest = hit + 1,
		.quote = s ? s->text : (struct str){"", 0},
		.from = s ? s->from : 0,
		.to = s ? s->to : 0,
		.score = f->score};
}

static bool better(const struct finding *a, const struct finding *b)
{
	return a->status != b->status ? a->status < b->status : a->score > b->score;
}

static enum err check_claim(struct checking *k, struct claim *claim, struct errtext *et)
{
	struct cite *c = k->c;
	struct str bare = buf_str(&claim->bare);
	struct words content = {0};
	size_t first = k->out->n;
	uint32_t from = (uint32_t)k->out->answer.n;
	enum err e = terms_of(c->a, bare, "", &content);
	bool declined = declines(bare), empty = !content.n || declined;
	k->out->declined |= declined;
	buf_adds(&k->out->answer, claim->text);
	if (e || (empty && !claim->n_marks) || !c->in.n_hits)
		return e;
	float *vector = NULL;
	if (c->in.embed && !empty) {
		if (!(vector = arena_array_of(c->a, c->in.dim, float)))
			return no_memory(et);
		e = c->in.embed(c->in.ctx, &bare, 1, vector, et);
	}
	struct finding *all = arena_array_of(c->a, c->in.n_hits, struct finding);
	if (!e && !all)
		e = no_memory(et);
	uint32_t best = 0;
	for (uint32_t h = 0; h < c->in.n_hits && !e; h++) {
		e = look_up(c, h, claim, &k->question, vector, &all[h], et);
		if (!e && better(&all[h], &all[best]))
			best = h;
	}
	if (e)
		return e;
	bool cited_well = false;
	for (size_t i = 0; i < claim->n_marks; i++) {
		uint32_t n = claim->marks[i];
		if (!n || n > c->in.n_hits) {
			struct finding none = all[best];
			none.status = CITE_UNSUPPORTED;
			cite_add(k, n, &none, best, false, "there is no passage of this number");
			continue;
		}
		cite_add(k, n, &all[n - 1], n - 1, false, NULL);
		cited_well |= all[n - 1].status != CITE_UNSUPPORTED;
	}
	bool supported = all[best].status != CITE_UNSUPPORTED;
	if (!empty) {
		k->out->sentences++;
		k->out->supported += supported;
	}
	if (!empty && !cited_well && supported) {
		buf_addf(&k->out->answer, " [%u]", best + 1);
		cite_add(k, best + 1, &all[best], best, true, NULL);
	} else if (!empty && !supported && !claim->n_marks) {
		cite_add(k, 0, &all[best], best, true, NULL);
	}
	for (size_t i = first; i < k->out->n; i++) {
		k->out->citations[i].answer_from = from;
		k->out->citations[i].answer_to = (uint32_t)k->out->answer.n;
	}
	return OK;
}

enum err cite_check(struct cite *c, struct str question, struct str answer, struct checked *out,
	struct errtext *et)
{
	struct claims l = {.answer = answer, .cap = 1 + answer.n / 2};
	struct checked got = {0};
	l.claims = arena_array_of(c->a, l.cap, struct claim);
	if (!l.claims)
		return no_memory(et);
	enum err e = unicode_sentences(answer, add_claim, &l);
	struct checking k = {.c = c, .out = &got, .cap = l.n * (MARKS_MAX + 1)};
	for (size_t i = 0; i < l.n; i++)
		bare_text(&l.claims[i]);
	got.citations = arena_array_of(c->a, k.cap + 1, struct citation);
	if (!e)
		e = got.citations ? plain_words(question, &k.question) : no_memory(et);
	const char *end = answer.p;
	for (size_t i = 0; i < l.n && !e; i++) {
		struct str t = l.claims[i].text;
		buf_add(&got.answer, end, (size_t)(t.p - end)); /* white space between */
		e = check_claim(&k, &l.claims[i], et);
		end = t.p + t.n;
	}
	for (size_t i = 0; i < l.n; i++)
		buf_free(&l.claims[i].bare);
	buf_free(&k.question);
	if (!e)
		e = got.answer.err;
	if (e)
		buf_free(&got.answer);
	else
		*out = got;
	return e;
}
