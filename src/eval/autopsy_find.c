/* Where an answer stands: in the texts of the documents, or in a file whose text lacks it.
 *
 * Texts and answers are compared as words: runs of letters and digits in lower case, with one space
 * between them. An answer in a script without spaces may begin and end within a run. Where that
 * fails, they are compared without any spaces, which tells that words were torn or run together. */
#include "eval/autopsy.h"

#include "base/room.h"
#include "text/raw.h"
#include "text/unicode.h"

#include <stdlib.h>

enum {
	TEXTS_BYTES_MAX = 256 << 20,
	SOURCE_MAX = 64 << 20, /* of what a file's strings may be */
	SQUEEZED_MIN = 8,
};

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory to look for answers");
}

/* ---- words ---- */

static bool add_word(void *ctx, struct str term, uint32_t from, uint32_t to)
{
	struct buf *b = ctx;
	buf_adds(b, term);
	buf_putc(b, ' ');
	return !b->err;
}

/* " like this " */
static enum err words_of(struct str text, struct buf *out)
{
	buf_putc(out, ' ');
	enum err e = unicode_tokens(text, add_word, out);
	return e ? e : out->err;
}

/* Of a script that has spaces between words: there an answer is whole words. */
static bool spaced(struct str s)
{
	uint32_t cp;
	return !utf8_decode(s, &cp) || cp < 0x2E80;
}

static struct str last_char(struct str s)
{
	size_t at = s.n;
	while (at && ((unsigned char)s.p[--at] & 0xC0) == 0x80)
		;
	return str_sub(s, at, s.n);
}

/* The words of an answer as they are looked for, in `b`. */
static struct str needle_of(struct str answer, struct buf *b)
{
	buf_clear(b);
	if (words_of(answer, b) || b->n < 3)
		return S("");
	struct str w = buf_str(b), core = str_sub(w, 1, w.n - 1);
	return str_sub(w, spaced(core) ? 0 : 1, spaced(last_char(core)) ? w.n : w.n - 1);
}

bool text_says(struct str text, struct str answer)
{
	struct buf words = {0}, b = {0};
	struct str needle = needle_of(answer, &b);
	bool says = needle.n && !words_of(text, &words) &&
		    str_find(buf_str(&words), needle) != STR_NONE;
	buf_free(&words);
	buf_free(&b);
	return says;
}

static void squeeze(struct str words, struct buf *out)
{
	for (size_t i = 0; i < words.n; i++)
		if (words.p[i] != ' ')
			buf_putc(out, words.p[i]);
}

/* Without any spaces; only answers that are long enough to mean something so. */
static bool says_squeezed(struct str words, struct str answer)
{
	struct buf text = {0}, want = {0}, b = {0};
	enum err e = words_of(answer, &b);
	squeeze(buf_str(&b), &want);
	bool says = false;
	if (!e && want.n >= SQUEEZED_MIN) {
		squeeze(words, &text);
		says = !text.err && str_find(buf_str(&text), buf_str(&want)) != STR_NONE;
	}
	buf_free(&text);
	buf_free(&want);
	buf_free(&b);
	return says;
}

/* ---- from words back to the text ---- */

struct back {
	size_t first, last; /* words, by their number */
	size_t into,
		beyond; /* bytes: of the first word before the answer, of the last one after it */
	size_t at;
	uint32_t from, to;
};

static bool count_word(void *ctx, struct str term, uint32_t from, uint32_t to)
{
	struct back *b = ctx;
	bool same = term.n == to - from; /* else the lower case has other lengths */
	if (b->at == b->first)
		b->from = from + (same ? (uint32_t)b->into : 0);
	if (b->at == b->last)
		b->to = to - (same ? (uint32_t)b->beyond : 0);
	return b->at++ < b->last;
}

static size_t spaces_in(struct str s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == ' ';
	return n;
}

/* words[from..to) as a range of the text. */
static struct place place_at(struct str text, struct str words, size_t from, size_t to)
{
	while (from < to && words.p[from] == ' ')
		from++;
	while (to > from && words.p[to - 1] == ' ')
		to--;
	size_t begin = from, end = to;
	while (begin && words.p[begin - 1] != ' ')
		begin--;
	while (end < words.n && words.p[end] != ' ')
		end++;
	struct back b = {.first = spaces_in(str_sub(words, 0, begin)) - 1,
		.into = from - begin,
		.beyond = end - to};
	b.last = b.first + spaces_in(str_sub(words, from, to));
	(void)!unicode_tokens(text, count_word, &b);
	return (struct place){.from = b.from, .to = b.to};
}

/* ---- loading ---- */

static enum err take_document(void *ctx, const struct rag_document *d)
{
	struct texts *t = ctx;
	struct buf words = {0};
	if (!arena_room(t->a, t->docs, t->n, t->cap))
		return no_memory(t->et);
	enum err e = words_of(d->text, &words);
	t->bytes += d->text.n + words.n;
	if (!e && t->bytes > TEXTS_BYTES_MAX) {
		buf_free(&words);
		return err_set(t->et, ERR_TOO_LARGE,
			"the collection has more than %d MB of text: look into a smaller one",
			TEXTS_BYTES_MAX >> 21);
	}
	struct text_of x = {.id = d->id,
		.path = arena_str(t->a, d->path),
		.status = arena_str(t->a, d->status),
		.error = arena_str(t->a, d->error),
		.text = arena_str(t->a, d->text),
		.sha256 = arena_str(t->a, d->sha256),
		.words = arena_str(t->a, buf_str(&words)),
		.chunks = arena_array_of(t->a, d->n_chunks + 1, struct rag_span),
		.n_chunks = d->n_chunks};
	buf_free(&words);
	if (e || !x.path.p || !x.status.p || !x.error.p || !x.text.p || !x.sha256.p || !x.words.p ||
		!x.chunks)
		return no_memory(t->et);
	memcpy(x.chunks, d->chunks, d->n_chunks * sizeof *x.chunks);
	t->docs[t->n++] = x;
	return OK;
}

enum err texts_load(struct texts *t, struct str project, struct str collection, struct str owner)
{
	return rag_documents_each(t->c, project, collection, owner, take_document, t, t->et);
}

/* ---- finding ---- */

/* By path, by its last part, by that without its extension, or by id. */
static bool is_named(const struct text_of *d, struct str name)
{
	char hex[ID_HEX + 1];
	size_t slash = str_rchr(d->path, '/');
	struct str last = slash == STR_NONE ? d->path : str_sub(d->path, slash + 1, d->path.n);
	size_t dot = str_rchr(last, '.');
	id_hex(d->id, hex);
	return str_eq(d->path, name) || str_eq(last, name) ||
	       (dot != STR_NONE && str_eq(str_sub(last, 0, dot), name)) || str_eq_c(name, hex);
}

/* Every place of the needle in a document; within: only in that range of its text (to 0: all). */
static void find_all(struct texts *t, size_t document, struct str needle,
	const struct place *within, struct found_in *out)
{
	const struct text_of *d = &t->docs[document];
	size_t at = 0;
	while (needle.n && out->n < PLACES_MAX) {
		size_t hit = str_find(str_sub(d->words, at, d->words.n), needle);
		if (hit == STR_NONE)
			return;
		at += hit;
		struct place p = place_at(d->text, d->words, at, at + needle.n);
		p.document = document;
		bool inside =
			!within || !within->to || (p.from >= within->from && p.to <= within->to);
		if (inside && p.to > p.from)
			out->places[out->n++] = p;
		at++;
	}
}

static enum err find_in(
	struct texts *t, const struct known *k, size_t document, struct found_in *out)
{
	struct buf b = {0};
	struct found_in passage = {0};
	if (k->passage.n) {
		find_all(t, document, needle_of(k->passage, &b), NULL, &passage);
		if (!passage.n) {
			buf_free(&b);
			return b.err;
		}
	}
	size_t before = out->n;
	const struct place *within = passage.n ? &passage.places[0] : NULL;
	for (size_t i = 0; i < k->n_answers; i++)
		find_all(t, document, needle_of(k->answers[i], &b), within, out);
	/* a long one may have been cut within a word */
	for (size_t i = 0; i < k->n_answers && out->n == before; i++) {
		struct str core = str_trim(needle_of(k->answers[i], &b));
		if (core.n >= SQUEEZED_MIN)
			find_all(t, document, core, within, out);
	}
	if (out->n > before)
		out->by = KNOWN_WORDS;
	else if (passage.n && out->n < PLACES_MAX && out->by != KNOWN_WORDS) {
		out->by = KNOWN_PASSAGE;
		out->places[out->n++] = passage.places[0];
	}
	buf_free(&b);
	return OK;
}

/* The words of the file's own strings, kept for the next question; none where there is no room. */
static enum err read_source(struct texts *t, struct text_of *d)
{
	struct os_map file;
	struct buf raw = {0}, words = {0};
	enum err e = OK;
	if (d->source.p)
		return OK;
	d->source = S("");
	if (t->bytes > TEXTS_BYTES_MAX ||
		blob_get(croft_blobs(t->c), arena_c(t->a, d->sha256), false, &file, NULL))
		return OK;
	struct str bytes = str_mk(file.p, file.n);
	d->source_plain = raw_kind_of(bytes) != RAW_PDF;
	e = raw_text(bytes, SOURCE_MAX, &raw);
	e = e ? e : words_of(buf_str(&raw), &words);
	if (!e)
		d->source = arena_str(t->a, buf_str(&words));
	t->bytes += words.n;
	buf_free(&raw);
	buf_free(&words);
	os_unmap(&file);
	return e || !d->source.p ? no_memory(t->et) : OK;
}

/* Torn or run together in the text, or in the file and not in the text. */
static enum err look_harder(
	struct texts *t, const struct known *k, size_t document, struct found_in *out)
{
	struct text_of *d = &t->docs[document];
	struct buf b = {0};
	for (size_t i = 0; i < k->n_answers && d->words.n; i++)
		if (says_squeezed(d->words, k->answers[i])) {
			out->by = KNOWN_BROKEN;
			out->document = document;
			return OK;
		}
	enum err e = read_source(t, d);
	for (size_t i = 0; i < k->n_answers && !e && d->source.n; i++) {
		struct str needle = needle_of(k->answers[i], &b);
		bool there = needle.n && str_find(d->source, needle) != STR_NONE;
		/* a number may be anything in a page description */
		there &= d->source_plain || needle.n > SQUEEZED_MIN;
		if (there || says_squeezed(d->source, k->answers[i])) {
			out->by = KNOWN_SOURCE;
			out->document = document;
			break;
		}
	}
	buf_free(&b);
	return e;
}

enum err texts_find(struct texts *t, const struct known *k, struct found_in *out)
{
	*out = (struct found_in){.document = SIZE_MAX};
	enum err e = OK;
	for (size_t i = 0; i < t->n && !e; i++) {
		if (k->document.n && !is_named(&t->docs[i], k->document))
			continue;
		if (k->document.n) {
			out->named = true;
			out->document = i;
		}
		e = find_in(t, k, i, out);
	}
	if (e)
		return no_memory(t->et);
	if (out->n)
		return OK;
	for (size_t i = 0; i < t->n && !e && out->by == KNOWN_NOWHERE; i++)
		if (!k->document.n || is_named(&t->docs[i], k->document))
			e = look_harder(t, k, i, out);
	if (!e && out->by == KNOWN_NOWHERE && out->named)
		out->by = KNOWN_DOCUMENT;
	return e;
}
