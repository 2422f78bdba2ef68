/* Unicode classes and the normalising stages. */
#include "engine/tokenizer_int.h"

#include <pthread.h>
#include <stdlib.h>
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/ustring.h>

uint16_t uc_bmp[65536];

static const UNormalizer2 *forms[4]; /* by the argument of ST_FORM */

static uint16_t uc_compute(uint32_t cp)
{
	UChar32 c = (UChar32)cp;
	uint32_t gc = U_GET_GC_MASK(c);
	unsigned m = 0;
	m |= gc & U_GC_L_MASK ? UC_LETTER : 0;
	m |= gc & U_GC_N_MASK ? UC_NUMBER : 0;
	m |= u_isUWhiteSpace(c) ? UC_SPACE : 0;
	m |= gc & U_GC_P_MASK ? UC_PUNCT : 0;
	m |= gc & U_GC_S_MASK ? UC_SYMBOL : 0;
	m |= gc & U_GC_M_MASK ? UC_MARK : 0;
	m |= gc & (U_GC_LU_MASK | U_GC_LT_MASK) ? UC_UPPER : 0;
	m |= gc & U_GC_LL_MASK ? UC_LOWER : 0;
	m |= gc & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK) ||
			     u_hasBinaryProperty(c, UCHAR_ALPHABETIC) ||
			     u_hasBinaryProperty(c, UCHAR_JOIN_CONTROL)
		     ? UC_WORD
		     : 0;
	m |= gc & U_GC_C_MASK ? UC_OTHER : 0;
	m |= gc & U_GC_MN_MASK ? UC_MN : 0;
	if (u_getCombiningClass(c) == 0) {
		static const UProperty check[4] = {UCHAR_NFC_QUICK_CHECK, UCHAR_NFD_QUICK_CHECK,
			UCHAR_NFKC_QUICK_CHECK, UCHAR_NFKD_QUICK_CHECK};
		for (unsigned f = 0; f < 4; f++)
			m |= u_getIntPropertyValue(c, check[f]) == UNORM_YES ? (unsigned)UC_NFC << f
									     : 0u;
	}
	m |= u_hasBinaryProperty(c, UCHAR_CHANGES_WHEN_LOWERCASED) ? UC_LOWERS : 0;
	return (uint16_t)m;
}

static void uc_fill(void)
{
	UErrorCode err = U_ZERO_ERROR;
	forms[0] = unorm2_getNFCInstance(&err);
	forms[1] = unorm2_getNFDInstance(&err);
	forms[2] = unorm2_getNFKCInstance(&err);
	forms[3] = unorm2_getNFKDInstance(&err);
	/* Two thirds of the plane are blocks of one class: ideographs, Hangul syllables, surrogates
	 * and private use. */
	static const uint32_t block[][2] = {{0x3400, 0x4DBF}, {0x4E00, 0x9FFF}, {0xAC00, 0xD7A3},
		{0xD800, 0xDFFF}, {0xE000, 0xF8FF}};
	size_t next = 0;
	for (uint32_t c = 0; c < 65536; c++) {
		uc_bmp[c] = uc_compute(c);
		if (next < ARRAY_LEN(block) && c == block[next][0]) {
			for (; c < block[next][1]; c++)
				uc_bmp[c + 1] = uc_bmp[c];
			next++;
		}
	}
}

void uc_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, uc_fill);
}

uint16_t uc_astral(uint32_t cp)
{
	/* Ideographs are most of what is met up there. */
	static uint16_t han;
	if (cp >= 0x20000 && cp <= 0x2A6D6) {
		uint16_t m = __atomic_load_n(&han, __ATOMIC_RELAXED);
		if (!m) {
			m = uc_compute(0x20000);
			__atomic_store_n(&han, m, __ATOMIC_RELAXED);
		}
		return m;
	}
	return uc_compute(cp);
}

/* ---- scratch ---- */

void sc_begin(struct enc *e, struct scratch *s)
{
	s->n = 0;
	if (!s->p)
		sc_add(e, s, "", 0, NULL, 0, 0);
}

static bool sc_reserve(struct enc *e, struct scratch *s, size_t n)
{
	if (s->p && s->n + n <= s->cap)
		return true;
	size_t cap = MAX(MAX(s->cap * 2, s->n + n), 256);
	if (cap > 4u * (size_t)TEXT_MAX) {
		e->err = ERR_TOO_LARGE;
		return false;
	}
	char *p = realloc(s->p, cap);
	if (!p) {
		e->err = ERR_NOMEM;
		return false;
	}
	s->p = p;
	if (e->flags & TOKENIZE_OFFSETS) {
		struct span *map = realloc(s->map, cap * sizeof *map);
		if (!map) {
			e->err = ERR_NOMEM;
			return false;
		}
		s->map = map;
	}
	s->cap = cap;
	return true;
}

void sc_add(struct enc *e, struct scratch *s, const char *p, size_t n, const struct view *v,
	size_t from, size_t to)
{
	if (e->err || !sc_reserve(e, s, n))
		return;
	if (n == 0)
		return;
	memcpy(s->p + s->n, p, n);
	if (e->flags & TOKENIZE_OFFSETS) {
		struct span at = {
			view_from(v, from), from < to ? view_to(v, to) : view_from(v, from)};
		for (size_t i = 0; i < n; i++)
			s->map[s->n + i] = at;
	}
	s->n += n;
}

void sc_copy(struct enc *e, struct scratch *s, const struct view *v, size_t from, size_t to)
{
	size_t n = to - from;
	if (e->err || n == 0 || !sc_reserve(e, s, n))
		return;
	memcpy(s->p + s->n, v->p + from, n);
	if (e->flags & TOKENIZE_OFFSETS)
		for (size_t i = 0; i < n; i++)
			s->map[s->n + i] =
				(struct span){view_from(v, from + i), view_to(v, from + i + 1)};
	s->n += n;
}

struct view sc_view(const struct scratch *s, const struct view *v)
{
	/* Without offsets nobody looks at the map. */
	return (struct view){s->p, s->n, s->map, v->base, v->first};
}

/* ---- normal forms ---- */

/* The normal form of bytes from..to, which begin at a boundary and end before one. */
static void form_piece(struct enc *e, struct scratch *s, unsigned form, const struct view *v,
	size_t from, size_t to)
{
	/* The longest expansion of one code point is 18; a run of marks can be of any length. */
	UChar small_in[64], small_out[1024], *in = small_in, *out = small_out;
	size_t cap_in = ARRAY_LEN(small_in), cap_out = ARRAY_LEN(small_out);
	size_t n = to - from;
	if (n > cap_in) {
		cap_in = n;
		cap_out = n * 18;
		in = malloc(cap_in * sizeof *in);
		out = malloc(cap_out * sizeof *out);
	}
	if (!in || !out) {
		e->err = ERR_NOMEM;
	} else {
		int32_t n_in = 0;
		for (size_t i = from, len; i < to; i += len) {
			uint32_t cp = cp_at(v->p, i, to, &len);
			U16_APPEND_UNSAFE(in, n_in, (UChar32)cp);
		}
		UErrorCode err = U_ZERO_ERROR;
		int32_t n_out = unorm2_normalize(
			forms[form], in, n_in, out, (int32_t)MIN(cap_out, INT32_MAX), &err);
		for (int32_t i = 0; U_SUCCESS(err) && i < n_out;) {
			UChar32 c;
			U16_NEXT(out, i, n_out, c);
			char t[4];
			sc_add(e, s, t, utf8_encode((uint32_t)c, t), v, from, to);
		}
		if (U_FAILURE(err))
			e->err = ERR_INTERNAL;
	}
	if (in != small_in) {
		free(in);
		free(out);
	}
}

static bool malformed(const char *p, uint32_t cp, size_t len)
{
	return cp == 0xFFFD && !(len == 3 && memcmp(p, "\xEF\xBF\xBD", 3) == 0);
}

/* The first byte at or after i of a code point that the form may change or join; malformed bytes
 * stay as they are. */
static size_t form_next(const struct view *v, size_t i, unsigned bit, size_t *before)
{
	*before = i;
	while (i < v->n) {
		size_t len;
		uint32_t cp = cp_at(v->p, i, v->n, &len);
		if (cp >= 0x80 && !(uc(cp) & bit) && !malformed(v->p + i, cp, len))
			return i;
		*before = i;
		i += len;
	}
	return i;
}

static void form_stage(struct enc *e, struct scratch *s, unsigned form, struct view *v)
{
	unsigned bit = (unsigned)UC_NFC << form;
	size_t start, at = form_next(v, 0, bit, &start);
	if (at == v->n)
		return;
	sc_begin(e, s);
	size_t done = 0;
	while (at < v->n && !e->err) {
		/* From the code point before (it may join with what follows) to the next plain one.
		 */
		size_t end = at, len;
		while (end < v->n) {
			uint32_t cp = cp_at(v->p, end, v->n, &len);
			if (cp < 0x80 || (uc(cp) & bit) || malformed(v->p + end, cp, len))
				break;
			end += len;
		}
		uint32_t before = cp_at(v->p, start, v->n, &len);
		if (malformed(v->p + start, before, len))
			start = at;
		start = MAX(start, done);
		sc_copy(e, s, v, done, start);
		form_piece(e, s, form, v, start, end);
		done = end;
		at = form_next(v, end, bit, &start);
	}
	sc_copy(e, s, v, done, v->n);
	*v = sc_view(s, v);
}

/* ---- letters ---- */

static void add_lower(
	struct enc *e, struct scratch *s, uint32_t cp, const struct view *v, size_t from, size_t to)
{
	char t[4];
	if (cp == 0x130) /* the one code point that becomes two */
		sc_add(e, s, "i\xCC\x87", 3, v, from, to);
	else
		sc_add(e, s, t, utf8_encode((uint32_t)u_tolower((UChar32)cp), t), v, from, to);
}

static void lower_stage(struct enc *e, struct scratch *s, struct view *v)
{
	size_t i = 0, len;
	while (i < v->n && !(uc(cp_at(v->p, i, v->n, &len)) & UC_LOWERS))
		i += len;
	if (i == v->n)
		return;
	sc_begin(e, s);
	sc_copy(e, s, v, 0, i);
	for (size_t from = i; i < v->n; i += len) {
		uint32_t cp = cp_at(v->p, i, v->n, &len);
		if (uc(cp) & UC_LOWERS) {
			sc_copy(e, s, v, from, i);
			add_lower(e, s, cp, v, i, i + len);
			from = i + len;
		}
		if (i + len == v->n)
			sc_copy(e, s, v, from, v->n);
	}
	*v = sc_view(s, v);
}

static void strip_marks_stage(struct enc *e, struct scratch *s, unsigned mask, struct view *v)
{
	sc_begin(e, s);
	size_t from = 0;
	for (size_t i = 0, len; i < v->n; i += len)
		if (uc(cp_at(v->p, i, v->n, &len)) & mask) {
			sc_copy(e, s, v, from, i);
			from = i + len;
		}
	if (from) {
		sc_copy(e, s, v, from, v->n);
		*v = sc_view(s, v);
	} else if (s->n) {
		*v = sc_view(s, v);
	}
}

static void strip_stage(unsigned sides, struct view *v)
{
	size_t from = 0, to = v->n, len;
	while (sides & 1 && from < to && uc(cp_at(v->p, from, to, &len)) & UC_SPACE)
		from += len;
	while (sides & 2 && to > from) {
		size_t i = to - 1;
		while (i > from && ((unsigned char)v->p[i] & 0xC0) == 0x80)
			i--;
		if (!(uc(cp_at(v->p, i, to, &len)) & UC_SPACE) || i + len != to)
			break;
		to = i;
	}
	*v = view_sub(v, from, to);
}

bool uc_bert_knows(uint32_t cp)
{
	UVersionInfo age;
	u_charAge((UChar32)cp, age);
	return age[0] <= 8;
}

static bool bert_mark(uint32_t cp)
{
	/* Their categories have changed since. */
	if (cp == 0x1734 || cp == 0x111C9 || cp == 0x1885 || cp == 0x1886 || cp == 0xA9BD)
		return cp == 0x1734;
	return uc(cp) & UC_MN && uc_bert_knows(cp);
}

static bool is_chinese(uint32_t c)
{
	return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
	       (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
	       (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
	       (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

/* One code point through BERT's steps; accents by canonical decomposition. Marks that change their
 * order when several follow each other do not matter, as they are dropped; without BERT_STRIP there
 * is no decomposition. */
static void bert_cp(struct enc *e, struct scratch *s, unsigned how, uint32_t cp,
	const struct view *v, size_t from, size_t to)
{
	char t[4];
	UChar dec[32];
	int32_t n = -1;
	UErrorCode err = U_ZERO_ERROR;
	if (how & BERT_STRIP && cp >= 0x80 && !(uc(cp) & UC_NFD))
		n = unorm2_getDecomposition(forms[1], (UChar32)cp, dec, ARRAY_LEN(dec), &err);
	if (n < 0 || U_FAILURE(err)) {
		if (how & BERT_STRIP && bert_mark(cp))
			return;
		if (how & BERT_LOWER && uc(cp) & UC_LOWERS)
			add_lower(e, s, cp, v, from, to);
		else
			sc_add(e, s, t, utf8_encode(cp, t), v, from, to);
		return;
	}
	for (int32_t i = 0; i < n;) {
		UChar32 c;
		U16_NEXT(dec, i, n, c);
		if (bert_mark((uint32_t)c))
			continue;
		if (how & BERT_LOWER && uc((uint32_t)c) & UC_LOWERS)
			add_lower(e, s, (uint32_t)c, v, from, to);
		else
			sc_add(e, s, t, utf8_encode((uint32_t)c, t), v, from, to);
	}
}

static void bert_stage(struct enc *e, struct scratch *s, unsigned how, struct view *v)
{
	sc_begin(e, s);
	for (size_t i = 0, len; i < v->n && !e->err; i += len) {
		unsigned char a = (unsigned char)v->p[i];
		len = 1;
		if (a < 0x80) {
			char c = (char)a;
			if (how & BERT_CLEAN) {
				if ((a < 0x20 && a != '\t' && a != '\n' && a != '\r') || a == 0x7F)
					continue;
				c = a <= 0x20 ? ' ' : c;
			}
			if (how & BERT_LOWER && c >= 'A' && c <= 'Z')
				c = (char)(c + 32);
			if (s->n < s->cap) {
				s->p[s->n] = c;
				if (e->flags & TOKENIZE_OFFSETS)
					s->map[s->n] =
						(struct span){view_from(v, i), view_to(v, i + 1)};
				s->n++;
			} else {
				sc_add(e, s, &c, 1, v, i, i + 1);
			}
			continue;
		}
		uint32_t cp = cp_at(v->p, i, v->n, &len);
		unsigned m = uc(cp);
		if (how & BERT_CLEAN) {
			/* Unassigned code points are kept. */
			if (cp == 0xFFFD ||
				(m & UC_OTHER && u_charType((UChar32)cp) != U_UNASSIGNED &&
					uc_bert_knows(cp)))
				continue;
			if (m & UC_SPACE) {
				sc_add(e, s, " ", 1, v, i, i + len);
				continue;
			}
		}
		if (how & BERT_CHINESE && is_chinese(cp)) {
			sc_add(e, s, " ", 1, v, i, i + len);
			bert_cp(e, s, how, cp, v, i, i + len);
			sc_add(e, s, " ", 1, v, i, i + len);
		} else {
			bert_cp(e, s, how, cp, v, i, i + len);
		}
	}
	*v = sc_view(s, v);
}

/* ---- strings ---- */

static void replace_stage(struct enc *e, struct scratch *s, const struct stage *st, struct view *v)
{
	if (st->a.n == 0)
		return;
	size_t at = str_find(str_mk(v->p, v->n), st->a), from = 0;
	if (at == STR_NONE)
		return;
	sc_begin(e, s);
	while (at != STR_NONE && !e->err) {
		sc_copy(e, s, v, from, at);
		sc_add(e, s, st->b.p, st->b.n, v, at, at + st->a.n);
		from = at + st->a.n;
		at = str_find(str_mk(v->p + from, v->n - from), st->a);
		at = at == STR_NONE ? at : at + from;
	}
	sc_copy(e, s, v, from, v->n);
	*v = sc_view(s, v);
}

static void squeeze_stage(struct enc *e, struct scratch *s, const struct stage *st, struct view *v)
{
	if (str_find(str_mk(v->p, v->n), S("  ")) == STR_NONE)
		return;
	sc_begin(e, s);
	for (size_t i = 0; i < v->n;) {
		size_t end = i;
		while (end < v->n && v->p[end] == ' ')
			end++;
		if (end - i >= 2) {
			sc_add(e, s, st->a.p, st->a.n, v, i, end);
			i = end;
			continue;
		}
		while (end < v->n && !(v->p[end] == ' ' && end + 1 < v->n && v->p[end + 1] == ' '))
			end++;
		sc_copy(e, s, v, i, end);
		i = end;
	}
	*v = sc_view(s, v);
}

static void spm_spaces_stage(struct enc *e, struct scratch *s, struct view *v)
{
	sc_begin(e, s);
	for (size_t i = 0; i < v->n;) {
		size_t end = i;
		while (end < v->n && v->p[end] == ' ')
			end++;
		if (end > i && s->n && end < v->n)
			sc_add(e, s, " ", 1, v, i, end);
		i = end;
		while (end < v->n && v->p[end] != ' ')
			end++;
		sc_copy(e, s, v, i, end);
		i = end;
	}
	*v = sc_view(s, v);
}

static void prepend_stage(struct enc *e, struct scratch *s, struct str a, struct view *v)
{
	sc_begin(e, s);
	sc_add(e, s, a.p, a.n, v, 0, 0);
	sc_copy(e, s, v, 0, v->n);
	*v = sc_view(s, v);
}

/* ---- SentencePiece's precompiled map: a double array, then replacements ended by NUL ---- */

static uint32_t unit_at(const struct buf *b, size_t i)
{
	uint32_t u;
	memcpy(&u, b->p + 4 + i * 4, 4);
	return u;
}

/* The longest key that p begins with; its length, and where its replacement stands. */
static size_t charsmap_match(const struct buf *b, const char *p, size_t n, struct str *out)
{
	uint32_t bytes;
	memcpy(&bytes, b->p, 4);
	size_t units = bytes / 4, node, best = 0;
	struct str texts = {b->p + 4 + bytes, b->n - 4 - bytes};
	if (units == 0)
		return 0;
	uint32_t u = unit_at(b, 0);
	node = 0 ^ ((u >> 10) << ((u & 1u << 9) >> 6));
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];
		node ^= c;
		if (c == 0 || node >= units)
			break;
		u = unit_at(b, node);
		if ((u & (1u << 31 | 0xFF)) != c)
			break;
		bool leaf = u >> 8 & 1;
		node ^= (u >> 10) << ((u & 1u << 9) >> 6);
		if (leaf && node < units) {
			uint32_t at = unit_at(b, node) & 0x7FFFFFFF;
			if (at < texts.n) {
				best = i + 1;
				*out = str_sub(texts, at, at + strnlen(texts.p + at, texts.n - at));
			}
		}
	}
	return best;
}

static void charsmap_stage(struct enc *e, struct scratch *s, struct view *v)
{
	const struct buf *map = &e->tk->charsmap;
	sc_begin(e, s);
	for (size_t i = 0, len; i < v->n && !e->err; i += len) {
		struct str to;
		len = charsmap_match(map, v->p + i, v->n - i, &to);
		if (len) {
			sc_add(e, s, to.p, to.n, v, i, i + len);
		} else {
			cp_at(v->p, i, v->n, &len);
			sc_copy(e, s, v, i, i + len);
		}
	}
	*v = sc_view(s, v);
}

bool enc_normalise(struct enc *e, unsigned stage, struct view *v)
{
	const struct stage *st = &e->tk->stage[stage];
	struct scratch *s = &e->sc[stage];
	switch (st->kind) {
	case ST_FORM:
		form_stage(e, s, st->arg, v);
		return true;
	case ST_LOWER:
		lower_stage(e, s, v);
		return true;
	case ST_STRIP_MARKS:
		strip_marks_stage(e, s, st->arg, v);
		return true;
	case ST_STRIP:
		strip_stage(st->arg, v);
		return true;
	case ST_PREPEND:
		if (v->n)
			prepend_stage(e, s, st->a, v);
		return true;
	case ST_PREFIX_SPACE:
		if (v->n && v->p[0] != ' ')
			prepend_stage(e, s, S(" "), v);
		return true;
	case ST_REPLACE:
		replace_stage(e, s, st, v);
		return true;
	case ST_SQUEEZE:
		squeeze_stage(e, s, st, v);
		return true;
	case ST_BERT:
		bert_stage(e, s, st->arg, v);
		return true;
	case ST_CHARSMAP:
		charsmap_stage(e, s, v);
		return true;
	case ST_SPM_SPACES:
		spm_spaces_stage(e, s, v);
		return true;
	default:
		return false;
	}
}
