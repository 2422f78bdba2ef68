/* Results compared. Arrays are read here, as little-endian floats, straight from the two formats'
 * short headers; what does not parse is compared as bytes. */
#include "run/compare.h"
#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

const char *verdict_word(enum verdict v)
{
	static const char *const words[] = {"reproduced", "within_tolerance", "diverged"};
	return words[v];
}

enum verdict compare_number(double a, double b, const struct tolerance *t)
{
	if (a == b || (isnan(a) && isnan(b)))
		return REPRODUCED;
	if (isnan(a) || isnan(b) || isinf(a) || isinf(b))
		return DIVERGED;
	return fabs(a - b) <= t->absolute + t->relative * fmax(fabs(a), fabs(b)) ? WITHIN_TOLERANCE
										 : DIVERGED;
}

/* Collects verdicts over many numbers: the first divergence, else the largest difference. */
struct tally {
	const struct tolerance *t;
	enum verdict v;
	double largest;
	struct difference *d;
};

static void tally_add(struct tally *s, double a, double b, const char *what, int64_t at)
{
	enum verdict v = compare_number(a, b, s->t);
	if (v == REPRODUCED || s->v == DIVERGED)
		return;
	if (v == WITHIN_TOLERANCE && fabs(a - b) <= s->largest)
		return;
	s->v = v;
	s->largest = fabs(a - b);
	snprintf(s->d->where, sizeof s->d->where, "%s %lld: %.9g, then %.9g", what, (long long)at,
		a, b);
}

enum verdict compare_series(const struct sample *a, size_t n_a, const struct sample *b, size_t n_b,
	const struct tolerance *t, struct difference *d)
{
	struct tally s = {t, REPRODUCED, 0, d};
	d->where[0] = 0;
	size_t i = 0;
	for (; i < n_a && i < n_b && a[i].step == b[i].step; i++)
		tally_add(&s, a[i].value, b[i].value, "step", a[i].step);
	if (s.v != DIVERGED && (i < n_a || i < n_b)) {
		bool lost = i < n_a && (i == n_b || a[i].step < b[i].step);
		s.v = DIVERGED;
		snprintf(d->where, sizeof d->where, "step %lld: %s",
			(long long)(lost ? a[i].step : b[i].step),
			lost ? "a point, then none" : "no point, then one");
	}
	return s.v;
}

/* ---- arrays ---- */

enum element { F16, BF16, F32, F64 };

static double bits_to_double(uint64_t bits, int exponent_bits, int fraction_bits)
{
	uint64_t fraction = bits & ((1ull << fraction_bits) - 1);
	int all = (1 << exponent_bits) - 1;
	int exponent = (int)(bits >> fraction_bits) & all;
	double sign = bits >> (exponent_bits + fraction_bits) & 1 ? -1 : 1;
	if (exponent == all)
		return fraction ? (double)NAN : sign * (double)INFINITY;
	int bias = all >> 1;
	if (!exponent)
		return sign * ldexp((double)fraction, 1 - bias - fraction_bits);
	return sign *
	       ldexp((double)(fraction | 1ull << fraction_bits), exponent - bias - fraction_bits);
}

static double element_at(const char *p, enum element type, size_t i)
{
	uint16_t h;
	float f;
	double g;
	switch (type) {
	case F16:
		memcpy(&h, p + i * 2, 2);
		return bits_to_double(h, 5, 10);
	case BF16:
		memcpy(&h, p + i * 2, 2);
		return bits_to_double(h, 8, 7);
	case F32:
		memcpy(&f, p + i * 4, 4);
		return (double)f;
	default:
		memcpy(&g, p + i * 8, 8);
		return g;
	}
}

static void compare_elements(
	struct tally *s, struct str a, struct str b, enum element type, const char *name)
{
	static const size_t sizes[] = {2, 2, 4, 8};
	for (size_t i = 0, n = a.n / sizes[type]; i < n && s->v != DIVERGED; i++)
		tally_add(s, element_at(a.p, type, i), element_at(b.p, type, i), name, (int64_t)i);
}

/* A .npy file: its header line and the data behind; false: none. */
static bool npy(struct str f, struct str *header, struct str *data, enum element *type)
{
	if (f.n < 12 || memcmp(f.p, "\x93NUMPY", 6) != 0 || (f.p[6] != 1 && f.p[6] != 2))
		return false;
	const unsigned char *u = (const unsigned char *)f.p;
	size_t at = f.p[6] == 1 ? 10 : 12, n = u[8] | (size_t)u[9] << 8;
	if (f.p[6] == 2)
		n |= (size_t)u[10] << 16 | (size_t)u[11] << 24;
	if (n > f.n - at)
		return false;
	*header = str_sub(f, at, at + n);
	*data = str_sub(f, at + n, f.n);
	static const struct {
		struct str text;
		enum element type;
	} types[] = {{{"'<f2'", 5}, F16}, {{"'<f4'", 5}, F32}, {{"'<f8'", 5}, F64}};
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (str_find(*header, types[i].text) != STR_NONE) {
			*type = types[i].type;
			return true;
		}
	return false;
}

static bool compare_npy(struct tally *s, struct str a, struct str b)
{
	struct str ha, hb, da, db;
	enum element ta, tb;
	if (!npy(a, &ha, &da, &ta) || !npy(b, &hb, &db, &tb) || !str_eq(ha, hb) || da.n != db.n)
		return false;
	compare_elements(s, da, db, ta, "element");
	return true;
}

static bool safetensors_header(struct str f, struct str *data, yyjson_doc **doc)
{
	uint64_t n;
	if (f.n < 10 || f.p[8] != '{')
		return false;
	memcpy(&n, f.p, 8);
	if (n > f.n - 8 || json_parse(str_sub(f, 8, 8 + (size_t)n), doc, NULL))
		return false;
	*data = str_sub(f, 8 + (size_t)n, f.n);
	return true;
}

static bool float_type(struct str dtype, enum element *out)
{
	static const char *const names[] = {
		[F16] = "F16", [BF16] = "BF16", [F32] = "F32", [F64] = "F64"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq_c(dtype, names[i])) {
			*out = (enum element)i;
			return true;
		}
	return false;
}

static bool bytes_of(yyjson_val *tensor, struct str data, struct str *out)
{
	yyjson_val *at = yyjson_obj_get(tensor, "data_offsets");
	uint64_t from = yyjson_get_uint(yyjson_arr_get(at, 0)),
		 to = yyjson_get_uint(yyjson_arr_get(at, 1));
	if (yyjson_arr_size(at) != 2 || from > to || to > data.n)
		return false;
	*out = str_sub(data, (size_t)from, (size_t)to);
	return true;
}

/* One tensor of both sides; false: not comparable as numbers. */
static bool compare_tensor(struct tally *s, yyjson_val *key, yyjson_val *x, yyjson_val *y,
	struct str da, struct str db)
{
	struct str a, b;
	enum element type;
	if (!y || !str_eq(json_str(x, "dtype"), json_str(y, "dtype")) ||
		!yyjson_equals(yyjson_obj_get(x, "shape"), yyjson_obj_get(y, "shape")) ||
		!bytes_of(x, da, &a) || !bytes_of(y, db, &b) || a.n != b.n)
		return false;
	if (memcmp(a.p, b.p, a.n) == 0)
		return true;
	if (!float_type(json_str(x, "dtype"), &type))
		return false;
	char name[120];
	snprintf(name, sizeof name, "%.*s element", (int)MIN(yyjson_get_len(key), 100),
		yyjson_get_str(key));
	compare_elements(s, a, b, type, name);
	return true;
}

static bool compare_safetensors(struct tally *s, struct str a, struct str b)
{
	struct str da, db;
	yyjson_doc *x = NULL, *y = NULL;
	bool ok = safetensors_header(a, &da, &x) && safetensors_header(b, &db, &y);
	yyjson_val *ra = yyjson_doc_get_root(x), *rb = yyjson_doc_get_root(y), *key, *val;
	ok = ok && yyjson_obj_size(ra) == yyjson_obj_size(rb);
	size_t i, n;
	if (ok)
		yyjson_obj_foreach(ra, i, n, key, val)
		{
			yyjson_val *other =
				yyjson_obj_getn(rb, yyjson_get_str(key), yyjson_get_len(key));
			if (!ok || str_eq_c(json_val_str(key), "__metadata__"))
				continue;
			ok = compare_tensor(s, key, val, other, da, db);
		}
	yyjson_doc_free(x);
	yyjson_doc_free(y);
	return ok;
}

/* ---- texts ---- */

/* The next token: a number, or one character that belongs to none. */
static struct str next_token(struct str *s, double *number, bool *is_number)
{
	char *end;
	char text[64];
	unsigned char c = (unsigned char)s->p[0];
	bool may = (c >= '0' && c <= '9') || ((c == '-' || c == '+' || c == '.') && s->n > 1);
	*is_number = false;
	size_t n = 1;
	if (may) {
		size_t m = MIN(s->n, sizeof text - 1);
		memcpy(text, s->p, m);
		text[m] = 0;
		if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
			text[1] = 0; /* an id or a hash is no number */
		*number = strtod(text, &end);
		*is_number = end > text;
		n = *is_number ? (size_t)(end - text) : 1;
	}
	struct str t = str_sub(*s, 0, n);
	*s = str_sub(*s, n, s->n);
	return t;
}

static bool is_word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static void compare_text(struct tally *s, struct str a, struct str b)
{
	int64_t line = 1;
	char before = 0; /* "v2" and "a1f" hold no numbers: digits behind a letter are characters */
	while (s->v != DIVERGED && a.n && b.n) {
		double x = 0, y = 0;
		bool nx = false, ny = false, in_word = is_word_char(before);
		struct str ta = in_word ? str_sub(a, 0, 1) : next_token(&a, &x, &nx);
		struct str tb = in_word ? str_sub(b, 0, 1) : next_token(&b, &y, &ny);
		if (in_word) {
			a = str_sub(a, 1, a.n);
			b = str_sub(b, 1, b.n);
		}
		if (nx && ny && !str_eq(ta, tb)) {
			tally_add(s, x, y, "line", line);
		} else if (!str_eq(ta, tb)) {
			s->v = DIVERGED;
			snprintf(s->d->where, sizeof s->d->where, "line %lld", (long long)line);
		}
		char last = ta.p[ta.n - 1];
		line += last == '\n';
		before = in_word && last >= '0' && last <= '9' ? before : last;
	}
	if (s->v != DIVERGED && (a.n || b.n)) {
		s->v = DIVERGED;
		snprintf(s->d->where, sizeof s->d->where, "line %lld: one of them ends there",
			(long long)line);
	}
}

static bool is_text(struct str s)
{
	return !memchr(s.p, 0, s.n) && utf8_valid(s);
}

static void first_byte(struct str a, struct str b, struct difference *d)
{
	size_t i = 0;
	while (i < a.n && i < b.n && a.p[i] == b.p[i])
		i++;
	snprintf(d->where, sizeof d->where, "byte %zu (%zu bytes, then %zu)", i, a.n, b.n);
}

enum verdict compare_bytes(
	struct str a, struct str b, const struct tolerance *t, struct difference *d)
{
	d->where[0] = 0;
	if (str_eq(a, b))
		return REPRODUCED;
	struct tally s = {t, REPRODUCED, 0, d};
	if (compare_npy(&s, a, b))
		return s.v;
	s = (struct tally){t, REPRODUCED, 0, d};
	if (compare_safetensors(&s, a, b))
		/* only the metadata differs: the numbers are the same */
		return s.v;
	s = (struct tally){t, REPRODUCED, 0, d};
	d->where[0] = 0;
	if (a.n && b.n && is_text(a) && is_text(b)) {
		compare_text(&s, a, b);
		return s.v;
	}
	first_byte(a, b, d);
	return DIVERGED;
}
