/* Names of clusters: class-based TF-IDF (Grootendorst 2022, arXiv:2203.05794). A cluster is one
 * document; a word counts by the root of the share of the cluster's texts that have it (the root
 * holds back what is in all texts), and less the more clusters have it too. Texts are drawn evenly
 * from each cluster, words are joined by their stem and shown as they stand in the texts. */
#include "collection/map_int.h"
#include "base/room.h"
#include "text/unicode.h"

#include <math.h>
#include <stdlib.h>

enum {
	TEXTS_MAX = 20000, /* of all clusters */
	TEXTS_OF_ONE = 200,
	TEXT_BYTES = 2000,
	SAMPLE_BYTES = 8000, /* from which the language is guessed */
	WORDS = 4,
	WORD_BYTES = 40,
};

struct word {
	struct str shown;
	double rates; /* sum over the clusters of the share of texts that have it */
	size_t in;    /* texts of the present cluster */
	size_t text;  /* the last text that had it, + 1 */
};

struct use { /* of a word in a cluster */
	struct word *word;
	size_t n;
};

struct bag {
	struct use *uses;
	size_t n_uses, cap, n_texts;
	double rates;
};

struct labelling {
	struct arena *a; /* of words and bags */
	struct map words;
	struct bag *bag; /* the present one */
	struct str text;
	size_t n_texts; /* so far */
	enum err e;
};

static bool is_name(struct str s)
{
	bool letter = false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		letter |= c >= 0x80 || (c | 32u) - 'a' < 26u;
	}
	return letter && s.n > 1 && s.n <= WORD_BYTES;
}

static struct word *word_of(struct labelling *l, struct str term, struct str shown)
{
	struct word *w = map_get(&l->words, term);
	if (w)
		return w;
	w = arena_new_of(l->a, struct word);
	if (!w)
		return NULL;
	*w = (struct word){.shown = arena_str(l->a, shown)};
	return w->shown.p && map_put(&l->words, term, w) ? w : NULL;
}

static bool take_term(void *ctx, struct str term, uint32_t from, uint32_t to)
{
	struct labelling *l = ctx;
	struct str shown = str_sub(l->text, from, to);
	if (!is_name(shown))
		return true;
	struct word *w = word_of(l, term, shown);
	if (!w) {
		l->e = ERR_NOMEM;
		return false;
	}
	if (w->text == l->n_texts)
		return true;
	w->text = l->n_texts;
	/* "How" only as long as "how" was not seen */
	if ((unsigned char)(w->shown.p[0] - 'A') < 26 && (unsigned char)(shown.p[0] - 'A') >= 26) {
		w->shown = arena_str(l->a, shown);
		if (!w->shown.p)
			l->e = ERR_NOMEM;
	}
	if (!w->in++) {
		struct bag *b = l->bag;
		if (!arena_room(l->a, b->uses, b->n_uses, b->cap)) {
			l->e = ERR_NOMEM;
			return false;
		}
		b->uses[b->n_uses++].word = w;
	}
	return !l->e;
}

/* The text of an item's payload; {NULL, 0}: it has none. */
static struct str text_of(yyjson_doc *doc, struct str field)
{
	struct str s = json_val_str(yyjson_obj_getn(yyjson_doc_get_root(doc), field.p, field.n));
	return s.n > TEXT_BYTES ? str_sub(s, 0, utf8_complete_prefix(str_sub(s, 0, TEXT_BYTES)))
				: s;
}

struct texts {
	struct str *s;
	size_t n, cap;
};

static enum err read_texts(struct tx *tx, int64_t collection, struct str field,
	const struct map_points *p, int32_t number, size_t size, size_t max, struct arena *a,
	struct texts *out, struct errtext *et)
{
	size_t step = MAX(size / MAX(max, 1u), 1u), seen = 0;
	for (size_t i = 0; i < p->n && out->n < max; i++) {
		struct item_row r;
		yyjson_doc *doc = NULL;
		if (p->cluster[i] != number || seen++ % step)
			continue;
		enum err e = store_item_by_num(
			tx, collection, p->num[i], (struct item_want){true, false}, a, &r, et);
		if (e == ERR_NOT_FOUND)
			continue;
		e = e ? e : json_parse(r.payload, &doc, et);
		if (e)
			return e;
		struct str s = text_of(doc, field);
		if (s.n && arena_room(a, out->s, out->n, out->cap))
			out->s[out->n++] = arena_str(a, s);
		yyjson_doc_free(doc);
	}
	return OK;
}

static const char *language_of(const struct texts *t)
{
	struct buf b = {0};
	for (size_t i = 0; i < t->n && b.n < SAMPLE_BYTES; i++) {
		buf_adds(&b, t->s[i]);
		buf_putc(&b, '\n');
	}
	const char *language = b.err ? "" : unicode_guess_language(buf_str(&b));
	buf_free(&b);
	return language;
}

static enum err fill_bag(struct labelling *l, struct bag *b, const struct texts *t)
{
	const char *language = language_of(t);
	l->bag = b;
	for (size_t i = 0; i < t->n && !l->e; i++) {
		l->text = t->s[i];
		l->n_texts++;
		enum err e = unicode_terms(l->text, language, take_term, l);
		l->e = l->e ? l->e : e;
	}
	b->n_texts = t->n;
	for (size_t i = 0; i < b->n_uses; i++) {
		struct use *u = &b->uses[i];
		double rate = (double)(u->n = u->word->in) / (double)t->n;
		u->word->in = 0;
		u->word->rates += rate;
		b->rates += rate;
	}
	return l->e;
}

struct scored {
	double score;
	struct str shown;
};

static int by_score(const void *a, const void *b)
{
	const struct scored *x = a, *y = b;
	return x->score > y->score ? -1 : x->score < y->score ? 1 : str_cmp(x->shown, y->shown);
}

/* The best words, which are in more than one text where there are several. */
static struct str label_of(const struct bag *b, double mean, struct arena *a, enum err *e)
{
	struct scored *s = malloc((b->n_uses + 1) * sizeof *s);
	struct buf out = {0};
	size_t n = 0;
	for (size_t i = 0; s && i < b->n_uses; i++) {
		const struct use *u = &b->uses[i];
		if (u->n < 2 && b->n_texts > 4)
			continue;
		s[n++] = (struct scored){
			sqrt((double)u->n / (double)b->n_texts) * log(1 + mean / u->word->rates),
			u->word->shown};
	}
	if (n)
		qsort(s, n, sizeof *s, by_score);
	for (size_t i = 0; i < MIN(n, (size_t)WORDS); i++) {
		buf_addc(&out, i ? ", " : "");
		buf_adds(&out, s[i].shown);
	}
	struct str label = s && !out.err ? arena_str(a, buf_str(&out)) : (struct str){0};
	*e = label.p ? OK : ERR_NOMEM;
	free(s);
	buf_free(&out);
	return label;
}

static enum err fill_bags(struct croft *c, struct labelling *l, int64_t collection,
	struct str field, const struct map_points *p, const struct map_cluster *clusters, size_t n,
	struct bag *bags, const struct cancel *cancel, struct errtext *et)
{
	size_t max = MAX(MIN((size_t)TEXTS_OF_ONE, TEXTS_MAX / n), 4u);
	enum err e = OK;
	for (size_t i = 0; i < n && !e; i++) {
		struct texts t = {0};
		struct tx *tx;
		struct arena *a = arena_new(0);
		e = cancelled(cancel) ? ERR_CANCELLED
		    : a               ? db_begin(croft_db(c), TX_READ, &tx, et)
				      : err_set(et, ERR_NOMEM, "no memory for labels");
		if (!e) {
			e = read_texts(tx, collection, field, p, clusters[i].number,
				clusters[i].size, max, a, &t, et);
			db_rollback(tx);
		}
		e = e ? e : fill_bag(l, &bags[i], &t);
		arena_free(a);
	}
	return e;
}

enum err map_label(struct croft *c, int64_t collection, struct str field,
	const struct map_points *p, struct map_cluster *clusters, size_t n, struct arena *a,
	const struct cancel *cancel, struct errtext *et)
{
	struct labelling l = {.a = arena_new(0)};
	struct bag *bags = l.a ? arena_array_of(l.a, n + 1, struct bag) : NULL;
	double mean = 0;
	enum err e = bags ? OK : err_set(et, ERR_NOMEM, "no memory for labels");
	if (!e) {
		memset(bags, 0, (n + 1) * sizeof *bags);
		e = n ? fill_bags(c, &l, collection, field, p, clusters, n, bags, cancel, et) : OK;
	}
	for (size_t i = 0; i < n && !e; i++)
		mean += bags[i].rates / (double)n;
	for (size_t i = 0; i < n && !e; i++)
		clusters[i].label = label_of(&bags[i], mean, a, &e);
	if (e == ERR_NOMEM)
		err_set(et, e, "no memory for the labels of a map");
	map_free(&l.words);
	arena_free(l.a);
	return e;
}
