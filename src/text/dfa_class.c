/* Sets of code points: \d \w \s, properties and case by ICU. */
#include "text/dfa_regex_int.h"

#include <pthread.h>
#include <stdlib.h>
#include <unicode/uchar.h>
#include <unicode/uscript.h>
#include <unicode/uset.h>

/* ---- spans ---- */

static void add_letters(struct cset *s, uint32_t lo, uint32_t hi)
{
	if (lo > hi)
		return;
	if (!dfa_grow(&s->v, &s->cap, (size_t)s->n + 1, sizeof *s->v)) {
		s->failed = true;
		return;
	}
	s->v[s->n++] = (struct span){lo, hi};
	s->sorted = false;
}

void cset_add(struct cset *s, uint32_t lo, uint32_t hi)
{
	uint32_t after = SURROGATE_FIRST + SURROGATES;
	if (lo < SURROGATE_FIRST)
		add_letters(s, lo, MIN(hi, SURROGATE_FIRST - 1));
	if (hi >= after)
		add_letters(s, letter_of(MAX(lo, after)), letter_of(hi));
}

static int by_lo(const void *a, const void *b)
{
	const struct span *x = a, *y = b;
	return (x->lo > y->lo) - (x->lo < y->lo);
}

void cset_sort(struct cset *s)
{
	uint32_t n = 0;
	if (s->sorted)
		return;
	if (s->n)
		qsort(s->v, s->n, sizeof *s->v, by_lo);
	for (uint32_t i = 0; i < s->n; i++)
		if (n && s->v[i].lo <= s->v[n - 1].hi + 1)
			s->v[n - 1].hi = MAX(s->v[n - 1].hi, s->v[i].hi);
		else
			s->v[n++] = s->v[i];
	s->n = n;
	s->sorted = true;
}

void cset_add_set(struct cset *s, const struct cset *more)
{
	s->failed |= more->failed;
	for (uint32_t i = 0; i < more->n; i++)
		add_letters(s, more->v[i].lo, more->v[i].hi);
}

void cset_add_not(struct cset *s, const struct cset *less)
{
	uint32_t at = 0;
	s->failed |= less->failed;
	for (uint32_t i = 0; i < less->n; i++) {
		if (less->v[i].lo > at)
			add_letters(s, at, less->v[i].lo - 1);
		at = less->v[i].hi + 1;
	}
	add_letters(s, at, LETTER_MAX);
}

bool cset_equal(const struct cset *x, const struct cset *y)
{
	return x->n == y->n && (!x->n || !memcmp(x->v, y->v, x->n * sizeof *x->v));
}

void cset_free(struct cset *s)
{
	free(s->v);
	*s = (struct cset){0};
}

void cset_add_digits(struct cset *s)
{
	cset_add(s, '0', '9');
}

void cset_add_line_ends(struct cset *s)
{
	cset_add(s, '\n', '\n');
	cset_add(s, '\r', '\r');
	cset_add(s, 0x2028, 0x2029);
}

/* WhiteSpace and LineTerminator of ECMA-262. */
void cset_add_space(struct cset *s)
{
	cset_add(s, '\t', '\r');
	cset_add(s, 0xFEFF, 0xFEFF);
	cset_add_line_ends(s);
	cset_add_property(s, S("Zs"), (struct str){0});
}

/* Without regard to case two more letters fold to ASCII: long s and the kelvin sign. */
void cset_add_word(struct cset *s, bool caseless)
{
	cset_add(s, '0', '9');
	cset_add(s, 'A', 'Z');
	cset_add(s, '_', '_');
	cset_add(s, 'a', 'z');
	if (caseless) {
		cset_add(s, 0x17F, 0x17F);
		cset_add(s, 0x212A, 0x212A);
	}
}

bool cset_is_id_start(uint32_t cp)
{
	return cp == '$' || cp == '_' || u_hasBinaryProperty((UChar32)cp, UCHAR_ID_START);
}

bool cset_is_id_part(uint32_t cp)
{
	return cp == '$' || cp == 0x200C || cp == 0x200D ||
	       u_hasBinaryProperty((UChar32)cp, UCHAR_ID_CONTINUE);
}

/* ---- case ---- */

/* All code points that fold to another, with it, by the folded one. Made when first needed, and
 * again when memory was short then. */
static struct fold {
	uint32_t folded, cp;
} * folds;
static size_t n_folds;
static pthread_mutex_t folds_lock = PTHREAD_MUTEX_INITIALIZER;

static int by_folded(const void *a, const void *b)
{
	const struct fold *x = a, *y = b;
	return x->folded != y->folded ? (x->folded < y->folded ? -1 : 1)
				      : (x->cp > y->cp) - (x->cp < y->cp);
}

static bool make_folds(void)
{
	struct fold *all = NULL;
	size_t cap = 0, n = 0;
	for (UChar32 c = 0; c <= 0x10FFFF; c++) {
		UChar32 f = u_foldCase(c, U_FOLD_CASE_DEFAULT);
		if (f == c)
			continue;
		if (!dfa_grow(&all, &cap, n + 1, sizeof *all)) {
			free(all);
			return false;
		}
		all[n++] = (struct fold){(uint32_t)f, (uint32_t)c};
	}
	qsort(all, n, sizeof *all, by_folded);
	folds = all;
	n_folds = n;
	return true;
}

static bool have_folds(void)
{
	pthread_mutex_lock(&folds_lock);
	bool ok = folds || make_folds();
	pthread_mutex_unlock(&folds_lock);
	return ok;
}

static size_t first_fold(uint32_t folded)
{
	size_t lo = 0, hi = n_folds;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (folds[mid].folded < folded)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Everything that folds to this, and it. */
static void add_folding_to(struct cset *s, uint32_t folded)
{
	cset_add(s, folded, folded);
	for (size_t i = first_fold(folded); i < n_folds && folds[i].folded == folded; i++)
		cset_add(s, folds[i].cp, folds[i].cp);
}

static bool has_cp(const struct span *v, uint32_t n, uint32_t cp)
{
	uint32_t letter = letter_of(cp), lo = 0, hi = n;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (v[mid].hi < letter)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < n && v[lo].lo <= letter;
}

static void close_large(struct cset *s)
{
	struct cset before = {0};
	cset_add_set(&before, s);
	cset_sort(&before);
	for (size_t i = 0, end; i < n_folds; i = end) {
		uint32_t folded = folds[i].folded;
		bool any = has_cp(before.v, before.n, folded);
		for (end = i; end < n_folds && folds[end].folded == folded; end++)
			any = any || has_cp(before.v, before.n, folds[end].cp);
		if (any)
			add_folding_to(s, folded);
	}
	s->failed |= before.failed;
	cset_free(&before);
}

size_t cset_close_case(struct cset *s)
{
	if (!have_folds()) {
		s->failed = true;
		return 0;
	}
	cset_sort(s);
	uint32_t n = s->n, n_letters = 0;
	for (uint32_t i = 0; i < n && n_letters < 64; i++)
		n_letters += MIN(s->v[i].hi - s->v[i].lo + 1, 64);
	if (n_letters >= 64) {
		close_large(s);
	} else {
		for (uint32_t i = 0; i < n; i++)
			for (uint32_t l = s->v[i].lo, hi = s->v[i].hi; l <= hi; l++)
				add_folding_to(s, (uint32_t)u_foldCase((UChar32)letter_cp(l),
							  U_FOLD_CASE_DEFAULT));
	}
	cset_sort(s);
	return n_letters < 64 ? n_letters : n + n_folds;
}

/* ---- properties ---- */

/* The binary properties that ECMA-262 lists; the general categories and scripts are ICU's. */
static const UProperty binary[] = {UCHAR_ALPHABETIC, UCHAR_ASCII_HEX_DIGIT, UCHAR_BIDI_CONTROL,
	UCHAR_BIDI_MIRRORED, UCHAR_CASE_IGNORABLE, UCHAR_CASED, UCHAR_CHANGES_WHEN_CASEFOLDED,
	UCHAR_CHANGES_WHEN_CASEMAPPED, UCHAR_CHANGES_WHEN_LOWERCASED,
	UCHAR_CHANGES_WHEN_NFKC_CASEFOLDED, UCHAR_CHANGES_WHEN_TITLECASED,
	UCHAR_CHANGES_WHEN_UPPERCASED, UCHAR_DASH, UCHAR_DEFAULT_IGNORABLE_CODE_POINT,
	UCHAR_DEPRECATED, UCHAR_DIACRITIC, UCHAR_EMOJI, UCHAR_EMOJI_COMPONENT, UCHAR_EMOJI_MODIFIER,
	UCHAR_EMOJI_MODIFIER_BASE, UCHAR_EMOJI_PRESENTATION, UCHAR_EXTENDED_PICTOGRAPHIC,
	UCHAR_EXTENDER, UCHAR_GRAPHEME_BASE, UCHAR_GRAPHEME_EXTEND, UCHAR_HEX_DIGIT,
	UCHAR_IDS_BINARY_OPERATOR, UCHAR_IDS_TRINARY_OPERATOR, UCHAR_ID_CONTINUE, UCHAR_ID_START,
	UCHAR_IDEOGRAPHIC, UCHAR_JOIN_CONTROL, UCHAR_LOGICAL_ORDER_EXCEPTION, UCHAR_LOWERCASE,
	UCHAR_MATH, UCHAR_NONCHARACTER_CODE_POINT, UCHAR_PATTERN_SYNTAX, UCHAR_PATTERN_WHITE_SPACE,
	UCHAR_QUOTATION_MARK, UCHAR_RADICAL, UCHAR_REGIONAL_INDICATOR, UCHAR_S_TERM,
	UCHAR_SOFT_DOTTED, UCHAR_TERMINAL_PUNCTUATION, UCHAR_UNIFIED_IDEOGRAPH, UCHAR_UPPERCASE,
	UCHAR_VARIATION_SELECTOR, UCHAR_WHITE_SPACE, UCHAR_XID_CONTINUE, UCHAR_XID_START};

static void add_icu(struct cset *s, UProperty property, int32_t value)
{
	UErrorCode status = U_ZERO_ERROR;
	USet *set = uset_openEmpty();
	if (!set) {
		s->failed = true;
		return;
	}
	uset_applyIntPropertyValue(set, property, value, &status);
	s->failed |= U_FAILURE(status);
	for (int32_t i = 0, n = uset_getItemCount(set); i < n; i++) {
		UChar32 lo, hi;
		status = U_ZERO_ERROR;
		if (uset_getItem(set, i, &lo, &hi, NULL, 0, &status) == 0)
			cset_add(s, (uint32_t)lo, (uint32_t)hi);
	}
	uset_close(set);
}

/* ICU finds names loosely ("greek"); ECMA-262 wants one of the names as they are written. */
static bool is_value_name(UProperty property, int32_t value, const char *name)
{
	for (int i = 0;; i++) {
		const char *known = u_getPropertyValueName(property, value, (UPropertyNameChoice)i);
		if (known && !strcmp(known, name))
			return true;
		if (!known && i > U_LONG_PROPERTY_NAME)
			return false;
	}
}

static bool is_property_name(UProperty property, const char *name)
{
	for (int i = 0;; i++) {
		const char *known = u_getPropertyName(property, (UPropertyNameChoice)i);
		if (known && !strcmp(known, name))
			return true;
		if (!known && i > U_LONG_PROPERTY_NAME)
			return false;
	}
}

static bool add_value(struct cset *s, UProperty property, const char *name)
{
	/* ICU gives the values of Script_Extensions no names of their own */
	UProperty names = property == UCHAR_SCRIPT_EXTENSIONS ? UCHAR_SCRIPT : property;
	int32_t value = u_getPropertyValueEnum(names, name);
	if (value == UCHAR_INVALID_CODE || !is_value_name(names, value, name))
		return false;
	add_icu(s, property, value);
	return true;
}

static bool add_binary(struct cset *s, const char *name)
{
	if (!strcmp(name, "Any")) {
		cset_add(s, 0, 0x10FFFF);
	} else if (!strcmp(name, "ASCII")) {
		cset_add(s, 0, 0x7F);
	} else if (!strcmp(name, "Assigned")) {
		struct cset unassigned = {0};
		add_icu(&unassigned, UCHAR_GENERAL_CATEGORY_MASK, U_GC_CN_MASK);
		cset_sort(&unassigned);
		cset_add_not(s, &unassigned);
		cset_free(&unassigned);
	} else {
		UProperty property = u_getPropertyEnum(name);
		size_t i = 0;
		while (i < ARRAY_LEN(binary) && binary[i] != property)
			i++;
		if (i == ARRAY_LEN(binary) || !is_property_name(property, name))
			return false;
		add_icu(s, property, 1);
	}
	return true;
}

bool cset_add_property(struct cset *s, struct str name, struct str value)
{
	char n[64], v[64];
	if (name.n >= sizeof n || value.n >= sizeof v)
		return false;
	memcpy(n, name.p, name.n);
	n[name.n] = 0;
	if (!value.p)
		return add_value(s, UCHAR_GENERAL_CATEGORY_MASK, n) || add_binary(s, n);
	memcpy(v, value.p, value.n);
	v[value.n] = 0;
	if (!strcmp(n, "gc") || !strcmp(n, "General_Category"))
		return add_value(s, UCHAR_GENERAL_CATEGORY_MASK, v);
	if (!strcmp(n, "sc") || !strcmp(n, "Script"))
		return add_value(s, UCHAR_SCRIPT, v);
	if (!strcmp(n, "scx") || !strcmp(n, "Script_Extensions"))
		return add_value(s, UCHAR_SCRIPT_EXTENSIONS, v);
	return false;
}
