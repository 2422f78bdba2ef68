/* Words, sentences, normal forms and terms, by ICU.
 *
 * ICU's break iterators are neither cheap to open nor safe to share, so each thread keeps one of
 * each kind, with its scratch memory (struct local). A callback may call back into this file: the
 * iterator in use is marked busy, and the inner call works on a clone. */
#include "text/unicode_int.h"

#include <pthread.h>
#include <stdlib.h>
#include <unicode/ubrk.h>
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/uscript.h>
#include <unicode/ustring.h>
#include <unicode/utext.h>

struct iterator {
	UBreakIterator *bi;
	bool busy;
};

static pthread_key_t local_key;
static pthread_once_t local_once = PTHREAD_ONCE_INIT;
static bool local_ok;

struct local {
	struct iterator word, sentence;
};

static void local_free(void *p)
{
	struct local *l = p;
	if (l->word.bi)
		ubrk_close(l->word.bi);
	if (l->sentence.bi)
		ubrk_close(l->sentence.bi);
	free(l);
}

static void local_start(void)
{
	local_ok = pthread_key_create(&local_key, local_free) == 0;
}

static struct local *local_get(void)
{
	pthread_once(&local_once, local_start);
	if (!local_ok)
		return NULL;
	struct local *l = pthread_getspecific(local_key);
	if (!l) {
		l = calloc(1, sizeof *l);
		if (l && pthread_setspecific(local_key, l)) {
			free(l);
			l = NULL;
		}
	}
	return l;
}

/* An iterator set to s: the thread's own, or a clone when that one is at work further up. */
struct use {
	struct iterator *own; /* NULL: a clone */
	UBreakIterator *bi;
	UText text;
};

static enum err use_begin(struct use *u, UBreakIteratorType type, struct str s)
{
	*u = (struct use){.text = UTEXT_INITIALIZER};
	struct local *l = local_get();
	if (!l)
		return ERR_NOMEM;
	if (s.n > INT32_MAX)
		return ERR_TOO_LARGE;
	struct iterator *it = type == UBRK_WORD ? &l->word : &l->sentence;
	UErrorCode ue = U_ZERO_ERROR;
	if (!it->bi)
		it->bi = ubrk_open(type, "", NULL, 0, &ue);
	if (U_FAILURE(ue)) {
		it->bi = NULL;
		return ue == U_MEMORY_ALLOCATION_ERROR ? ERR_NOMEM : ERR_INTERNAL;
	}
	if (it->busy) {
		u->bi = ubrk_clone(it->bi, &ue);
	} else {
		u->bi = it->bi;
		u->own = it;
		it->busy = true;
	}
	utext_openUTF8(&u->text, s.p ? s.p : "", (int64_t)s.n, &ue);
	if (U_SUCCESS(ue))
		ubrk_setUText(u->bi, &u->text, &ue);
	return U_SUCCESS(ue) ? OK : ERR_NOMEM;
}

static void use_end(struct use *u)
{
	if (u->own) {
		/* let go of the caller's bytes */
		UErrorCode ue = U_ZERO_ERROR;
		ubrk_setText(u->bi, u"", 0, &ue);
		u->own->busy = false;
	} else if (u->bi) {
		ubrk_close(u->bi);
	}
	utext_close(&u->text);
}

bool str_is_ascii(struct str s)
{
	size_t i = 0;
	uint64_t w;
	for (; i + 8 <= s.n; i += 8) {
		memcpy(&w, s.p + i, 8);
		if (w & 0x8080808080808080u)
			return false;
	}
	for (; i < s.n; i++)
		if ((unsigned char)s.p[i] & 0x80)
			return false;
	return true;
}

static enum err normalize(const UNormalizer2 *norm, struct str s, struct buf *out)
{
	enum { SMALL = 512 };
	UChar small[2][SMALL], *src = small[0], *dst = small[1], *big = NULL;
	enum err e = OK;
	/* in pieces, cut before a space: no normal form joins a space to what stands before it */
	while (s.n && !e) {
		size_t piece = s.n;
		if (piece > 1 << 20)
			for (piece = 1 << 20; piece < s.n && (unsigned char)s.p[piece] > ' ';)
				piece++;
		if (piece > 128 << 20)
			return free(big), ERR_TOO_LARGE;
		size_t room = piece + 1, dst_room = 0;
		if (room > SMALL) {
			dst_room = room * 2 + 64;
			UChar *p = realloc(big, (room + dst_room) * sizeof *p);
			if (!p) {
				e = ERR_NOMEM;
				break;
			}
			big = p;
			src = big;
			dst = big + room;
		} else {
			src = small[0];
			dst = small[1];
			dst_room = SMALL;
		}
		UErrorCode ue = U_ZERO_ERROR;
		int32_t n16 = 0;
		u_strFromUTF8WithSub(
			src, (int32_t)room, &n16, s.p, (int32_t)piece, 0xFFFD, NULL, &ue);
		int32_t m = U_FAILURE(ue)
				    ? 0
				    : unorm2_normalize(norm, src, n16, dst, (int32_t)dst_room, &ue);
		UChar *more = NULL;
		if (ue == U_BUFFER_OVERFLOW_ERROR) { /* a few code points grow 18-fold */
			ue = U_ZERO_ERROR;
			more = malloc(((size_t)m + 1) * sizeof *more);
			if (!more) {
				e = ERR_NOMEM;
				break;
			}
			m = unorm2_normalize(norm, src, n16, more, m + 1, &ue);
			dst = more;
		}
		char *to = U_FAILURE(ue) ? NULL : buf_reserve(out, (size_t)m * 3 + 1);
		int32_t n8 = 0;
		if (to)
			u_strToUTF8WithSub(to, m * 3 + 1, &n8, dst, m, 0xFFFD, NULL, &ue);
		free(more);
		if (U_FAILURE(ue))
			e = ERR_INTERNAL;
		else if (!to)
			e = out->err;
		else
			out->n += (size_t)n8;
		if (to)
			out->p[out->n] = 0;
		s = str_sub(s, piece, s.n);
	}
	free(big);
	return e;
}

enum err unicode_nfkc(struct str s, struct buf *out)
{
	if (str_is_ascii(s)) {
		buf_adds(out, s);
		return out->err;
	}
	UErrorCode ue = U_ZERO_ERROR;
	const UNormalizer2 *norm = unorm2_getNFKCInstance(&ue);
	return U_FAILURE(ue) ? ERR_INTERNAL : normalize(norm, s, out);
}

enum err unicode_nfc(struct str s, struct buf *out)
{
	if (str_is_ascii(s)) {
		buf_adds(out, s);
		return out->err;
	}
	UErrorCode ue = U_ZERO_ERROR;
	const UNormalizer2 *norm = unorm2_getNFCInstance(&ue);
	return U_FAILURE(ue) ? ERR_INTERNAL : normalize(norm, s, out);
}

enum err unicode_nfkc_casefold(struct str s, struct buf *out)
{
	if (str_is_ascii(s)) {
		char *to = buf_reserve(out, s.n + 1);
		if (!to)
			return out->err;
		for (size_t i = 0; i < s.n; i++)
			to[i] = s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] | 32) : s.p[i];
		out->n += s.n;
		out->p[out->n] = 0;
		return OK;
	}
	UErrorCode ue = U_ZERO_ERROR;
	const UNormalizer2 *norm = unorm2_getNFKCCasefoldInstance(&ue);
	return U_FAILURE(ue) ? ERR_INTERNAL : normalize(norm, s, out);
}

enum err unicode_repair(struct str s, struct buf *out, size_t *n_bad)
{
	size_t bad = 0, good = 0;
	if (n_bad)
		*n_bad = 0;
	if (!s.n)
		return out->err;
	if (!utf8_valid(s)) {
		for (size_t i = 0; i < s.n;) {
			uint32_t cp;
			size_t k = utf8_decode(str_sub(s, i, s.n), &cp);
			if (cp == 0xFFFD && !(k == 3 && !memcmp(s.p + i, "\xEF\xBF\xBD", 3))) {
				buf_add(out, s.p + good, i - good);
				buf_addc(out, "\xEF\xBF\xBD");
				good = i + k;
				bad++;
			}
			i += k;
		}
	}
	buf_add(out, s.p + good, s.n - good);
	if (n_bad)
		*n_bad = bad;
	return out->err;
}

size_t unicode_columns(struct str s)
{
	size_t columns = 0;
	for (size_t i = 0; i < s.n;) {
		unsigned char c = (unsigned char)s.p[i];
		if (c < 0x80) {
			columns += c >= ' ' && c != 0x7F;
			i++;
			continue;
		}
		uint32_t cp;
		i += utf8_decode(str_sub(s, i, s.n), &cp);
		int8_t type = u_charType((UChar32)cp);
		if (type == U_NON_SPACING_MARK || type == U_ENCLOSING_MARK ||
			type == U_FORMAT_CHAR || type == U_CONTROL_CHAR)
			continue;
		int32_t width = u_getIntPropertyValue((UChar32)cp, UCHAR_EAST_ASIAN_WIDTH);
		columns += width == U_EA_WIDE || width == U_EA_FULLWIDTH ? 2 : 1;
	}
	return columns;
}

/* --- words ---------------------------------------------------------------------------------- */

/* UAX #29 for ASCII, without ICU (about ten times as fast; the test holds it against ICU's).
 * Letters, digits and '_' go together; '.' and '\'' join letters to letters and digits to digits,
 * ',' and ';' digits to digits. A run of '_' alone is no word. */
enum { A_OTHER, A_LETTER, A_DIGIT, A_JOIN, A_MID_BOTH, A_MID_NUM };

static const unsigned char ascii_class[128] = {
	['0' ... '9'] = A_DIGIT,
	['A' ... 'Z'] = A_LETTER,
	['a' ... 'z'] = A_LETTER,
	['_'] = A_JOIN,
	['.'] = A_MID_BOTH,
	['\''] = A_MID_BOTH,
	[','] = A_MID_NUM,
	[';'] = A_MID_NUM,
};

bool ascii_next_word(struct str s, size_t *pos, uint32_t *from, uint32_t *to, bool *letters)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t i = *pos, n = s.n;
	for (;;) {
		while (i < n && (ascii_class[p[i]] == A_OTHER || ascii_class[p[i]] >= A_MID_BOTH))
			i++;
		if (i >= n) {
			*pos = n;
			return false;
		}
		size_t start = i;
		bool any = false, letter = false;
		while (i < n) {
			unsigned char k = ascii_class[p[i]];
			if (k == A_LETTER || k == A_DIGIT) {
				any = true;
				letter |= k == A_LETTER;
			} else if (k == A_JOIN) {
			} else if (k != A_OTHER && i > start && i + 1 < n) {
				unsigned char before = ascii_class[p[i - 1]],
					      after = ascii_class[p[i + 1]];
				if (before != after ||
					(before != A_DIGIT &&
						(before != A_LETTER || k == A_MID_NUM)))
					break;
			} else {
				break;
			}
			i++;
		}
		*pos = i;
		if (!any)
			continue;
		*from = (uint32_t)start;
		*to = (uint32_t)i;
		*letters = letter;
		return true;
	}
}

/* kind: ICU's status of the word (UBRK_WORD_...). */
typedef bool (*word_fn)(void *ctx, uint32_t from, uint32_t to, int32_t kind);

/* ICU's releases differ in whether '@' and ':' join letters. Here they never do. */
static bool icu_word(struct str s, uint32_t from, uint32_t to, int32_t kind, word_fn fn, void *ctx)
{
	bool joined = s.p[from] == '_';
	for (uint32_t i = from; i < to && !joined; i++)
		joined = s.p[i] == '@' || s.p[i] == ':';
	if (!joined)
		return fn(ctx, from, to, kind);
	for (uint32_t i = from; i < to;) {
		uint32_t end = i;
		bool any = false, letter = false;
		while (end < to && s.p[end] != '@' && s.p[end] != ':') {
			unsigned char c = (unsigned char)s.p[end++];
			letter |= c >= 0x80 || ascii_class[c] == A_LETTER;
			any |= c >= 0x80 || ascii_class[c] == A_LETTER || ascii_class[c] == A_DIGIT;
		}
		uint32_t a = i, b = end;
		i = end + 1;
		while (a < b && (unsigned char)s.p[a] < 0x80 &&
			ascii_class[(unsigned char)s.p[a]] >= A_MID_BOTH)
			a++;
		while (a < b && (unsigned char)s.p[b - 1] < 0x80 &&
			ascii_class[(unsigned char)s.p[b - 1]] >= A_MID_BOTH)
			b--;
		if (any && !fn(ctx, a, b, letter ? UBRK_WORD_LETTER : UBRK_WORD_NUMBER))
			return false;
	}
	return true;
}

static enum err each_word(struct str s, bool ascii, word_fn fn, void *ctx)
{
	if (ascii) {
		uint32_t from, to;
		bool letters;
		if (s.n > INT32_MAX)
			return ERR_TOO_LARGE;
		for (size_t pos = 0; ascii_next_word(s, &pos, &from, &to, &letters);)
			if (!fn(ctx, from, to, letters ? UBRK_WORD_LETTER : UBRK_WORD_NUMBER))
				break;
		return OK;
	}
	struct use u;
	enum err e = use_begin(&u, UBRK_WORD, s);
	if (!e) {
		int32_t from = ubrk_first(u.bi);
		for (int32_t to; (to = ubrk_next(u.bi)) != UBRK_DONE; from = to) {
			int32_t kind = ubrk_getRuleStatus(u.bi);
			if (kind >= UBRK_WORD_NUMBER &&
				!icu_word(s, (uint32_t)from, (uint32_t)to, kind, fn, ctx))
				break;
		}
	}
	use_end(&u);
	return e;
}

struct span_call {
	unicode_span_fn fn;
	void *ctx;
};

static bool span_word(void *ctx, uint32_t from, uint32_t to, int32_t kind)
{
	struct span_call *c = ctx;
	return c->fn(c->ctx, from, to);
}

enum err unicode_words(struct str s, unicode_span_fn fn, void *ctx)
{
	struct span_call c = {fn, ctx};
	return each_word(s, str_is_ascii(s), span_word, &c);
}

enum err unicode_words_icu(struct str s, unicode_span_fn fn, void *ctx)
{
	struct span_call c = {fn, ctx};
	return each_word(s, false, span_word, &c);
}

/* --- sentences ------------------------------------------------------------------------------ */

/* UAX #29 ends a sentence after every line end and after every "Dr."; text that people wrote and
 * programs wrapped needs both mended. A piece is held back while it may still grow: when its last
 * word is an abbreviation or an initial, or when only a line end closed it and the next line goes
 * on (starts with a small letter, or follows a long line). */
static bool ends_in_abbreviation(struct str t, bool number)
{
	static const char *const known[] = {"dr", "mr", "mrs", "ms", "prof", "st", "vs", "cf",
		"e.g", "i.e", "al", "approx", "resp", "gen", "col", "lt", "sgt", "rev", "hon",
		"dept", "univ", "bzw", "z.b", "d.h", "vgl", "sog", "mme", "mlle", "p.ex", "sra",
		"ee.uu", "viz"};
	static const char *const before_number[] = {"no", "nos", "nr", "fig", "figs", "eq", "eqs",
		"sec", "ch", "vol", "p", "pp", "art", "abs", "ref", "refs", "ca", "abb", "tab"};
	if (!t.n || t.p[t.n - 1] != '.')
		return false;
	size_t i = t.n - 1;
	while (i && (unsigned char)t.p[i - 1] > ' ' && t.p[i - 1] != '(' && t.p[i - 1] != '[')
		i--;
	struct str word = str_sub(t, i, t.n - 1);
	if (word.n == 1 && word.p[0] >= 'A' && word.p[0] <= 'Z')
		return i > 0; /* an initial; a sentence that is one letter ends here */
	for (size_t k = 0; number && k < ARRAY_LEN(before_number); k++)
		if (str_eq_nocase(word, str_c(before_number[k])))
			return true;
	for (size_t k = 0; k < ARRAY_LEN(known); k++)
		if (str_eq_nocase(word, str_c(known[k])))
			return true;
	return false;
}

bool unicode_same_row(struct str line, struct str next)
{
	size_t colon = str_find(line, S(": "));
	return colon != STR_NONE && colon < 60 && str_starts(next, str_sub(line, 0, colon + 2));
}

static bool goes_on(struct str s, size_t from, size_t end, size_t next)
{
	struct str t = str_trim(str_sub(s, from, end));
	struct str gap = str_sub(s, from + (size_t)(t.p - (s.p + from)) + t.n, next);
	size_t ends = 0;
	for (size_t i = 0; i < gap.n; i++)
		ends += gap.p[i] == '\n';
	if (ends > 1 || !t.n || next >= s.n)
		return ends <= 1 && !t.n;
	uint32_t cp;
	struct str after = str_sub(s, next, s.n);
	while (after.n && (after.p[0] == ' ' || after.p[0] == '\t'))
		after = str_sub(after, 1, after.n);
	if (!after.n || after.p[0] == '\n')
		return false;
	utf8_decode(after, &cp);
	if (ends_in_abbreviation(t, u_isdigit((UChar32)cp)))
		return true;
	if (!ends)
		return false;
	char last = t.p[t.n - 1];
	if (last == '.' || last == '!' || last == '?' || last == ':' || last == ';')
		return false;
	size_t nl = str_rchr(t, '\n');
	struct str line = str_sub(t, nl == STR_NONE ? 0 : nl + 1, t.n);
	if (unicode_same_row(line, after))
		return false;
	return u_islower((UChar32)cp) || (u_isalnum((UChar32)cp) && line.n >= 60);
}

enum err unicode_sentences(struct str s, unicode_span_fn fn, void *ctx)
{
	struct use u;
	enum err e = use_begin(&u, UBRK_SENTENCE, s);
	if (!e) {
		size_t from = (size_t)ubrk_first(u.bi);
		for (int32_t to; (to = ubrk_next(u.bi)) != UBRK_DONE;) {
			if ((size_t)to < s.n && goes_on(s, from, (size_t)to, (size_t)to))
				continue;
			struct str t = str_trim(str_sub(s, from, (size_t)to));
			size_t at = (size_t)(t.p - s.p);
			from = (size_t)to;
			if (t.n && !fn(ctx, (uint32_t)at, (uint32_t)(at + t.n)))
				break;
		}
	}
	use_end(&u);
	return e;
}

/* --- terms ---------------------------------------------------------------------------------- */

struct terms {
	struct str s;
	unicode_term_fn fn;
	void *ctx;
	struct lang *lang;
	struct buf folded, stemmed;
	uint32_t last_from,
		last_to; /* the code point before, when it was of a script without spaces */
	enum err e;
};

enum { TERM_MAX = 128 }; /* bytes; a longer word (a key, a hash, base64) is indexed by its start */

/* Han, kana, Hangul: words are short, and where they end is a matter of opinion. */
static bool without_spaces(uint32_t cp)
{
	if (cp < 0x1100)
		return false;
	if (cp < 0x1200 || (cp >= 0x3040 && cp <= 0x30FF) || (cp >= 0x31F0 && cp <= 0x31FF) ||
		(cp >= 0x3400 && cp <= 0x9FFF) || (cp >= 0xAC00 && cp <= 0xD7A3) ||
		(cp >= 0xF900 && cp <= 0xFAFF) || (cp >= 0xFF66 && cp <= 0xFF9D) ||
		(cp >= 0x20000 && cp <= 0x3FFFF))
		return true;
	return cp == 0x3005 || cp == 0x3007;
}

static bool give(struct terms *t, struct str term, uint32_t from, uint32_t to)
{
	return t->fn(t->ctx, term, from, to);
}

static struct str fold(struct terms *t, struct str word)
{
	buf_clear(&t->folded);
	t->e = unicode_nfkc_casefold(word, &t->folded);
	return buf_str(&t->folded);
}

/* The word, then each pair of neighbouring characters that is not itself the word. */
static bool give_pairs(struct terms *t, uint32_t from, uint32_t to)
{
	struct str word = fold(t, str_sub(t->s, from, to));
	if (t->e)
		return false;
	if (word.n && !give(t, word, from, to))
		return false;
	bool have = t->last_to == from && t->last_to > t->last_from;
	uint32_t before = t->last_from;
	for (uint32_t i = from; i < to;) {
		uint32_t cp;
		uint32_t k = (uint32_t)utf8_decode(str_sub(t->s, i, to), &cp);
		if (have && !(before == from && i + k == to)) {
			struct str pair = fold(t, str_sub(t->s, before, i + k));
			if (t->e || !give(t, pair, before, i + k))
				return false;
		}
		before = i;
		have = true;
		i += k;
	}
	t->last_from = before;
	t->last_to = to;
	return true;
}

static bool term_word(void *ctx, uint32_t from, uint32_t to, int32_t kind)
{
	struct terms *t = ctx;
	struct str word = str_sub(t->s, from, to);
	if ((unsigned char)word.p[0] >= 0xE1) {
		uint32_t cp;
		utf8_decode(word, &cp);
		if (without_spaces(cp))
			return give_pairs(t, from, to);
	}
	if (word.n > TERM_MAX)
		word = str_sub(word, 0, utf8_complete_prefix(str_sub(word, 0, TERM_MAX)));
	word = fold(t, word);
	if (t->e)
		return false;
	if (!word.n)
		return true;
	if (t->lang && kind >= UBRK_WORD_LETTER) {
		/* one apostrophe, so that stop words and stems see it */
		for (size_t i; (i = str_find(word, S("\xE2\x80\x99"))) != STR_NONE;) {
			char *p = t->folded.p + i;
			*p = '\'';
			memmove(p + 1, p + 3, word.n - i - 3);
			word.n -= 2;
		}
		if (lang_is_stop(t->lang, word))
			return true;
		word = lang_stem(t->lang, word, &t->stemmed);
	}
	return give(t, word, from, to);
}

enum err unicode_terms(struct str s, const char *language, unicode_term_fn fn, void *ctx)
{
	struct terms t = {.s = s, .fn = fn, .ctx = ctx, .lang = lang_get(language)};
	enum err e = each_word(s, str_is_ascii(s), term_word, &t);
	buf_free(&t.folded);
	buf_free(&t.stemmed);
	return e ? e : t.e;
}

enum err unicode_tokens(struct str s, unicode_term_fn fn, void *ctx)
{
	struct buf term = {0};
	size_t at = 0, from = 0;
	bool more = true;
	while (more && at < s.n) {
		uint32_t cp;
		size_t n = utf8_decode(str_sub(s, at, s.n), &cp);
		bool in = U_GET_GC_MASK((UChar32)cp) & (U_GC_L_MASK | U_GC_N_MASK);
		if (in && !term.n)
			from = at;
		if (in)
			buf_add_utf8(&term, (uint32_t)u_tolower((UChar32)cp));
		at += n;
		if (term.n && !term.err && (!in || at == s.n)) {
			more = fn(
				ctx, buf_str(&term), (uint32_t)from, (uint32_t)(in ? at : at - n));
			buf_clear(&term);
		}
	}
	enum err e = term.err;
	buf_free(&term);
	return e;
}
