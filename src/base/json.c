#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* yyjson parses iteratively, but whoever walks the tree recurses: refuse depth here, by one scan
 * over the text before anything is allocated. */
static bool depth_ok(struct str s)
{
	unsigned depth = 0;
	bool in_string = false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			if (++depth > JSON_DEPTH_MAX)
				return false;
		} else if ((c == '}' || c == ']') && depth) {
			depth--;
		}
	}
	return true;
}

enum err json_parse(struct str text, yyjson_doc **out, struct errtext *et)
{
	if (str_trim(text).n == 0)
		return err_set(et, ERR_INVALID, "JSON: the text is empty");
	if (!depth_ok(text))
		return err_set(
			et, ERR_INVALID, "JSON: nested deeper than %d levels", JSON_DEPTH_MAX);
	yyjson_read_err ye = {0};
	yyjson_doc *doc = yyjson_read_opts((char *)text.p, text.n, 0, NULL, &ye);
	if (!doc) {
		if (ye.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
			return err_set(et, ERR_NOMEM, "JSON: out of memory");
		size_t line = 1, column = 1;
		for (size_t i = 0; i < ye.pos && i < text.n; i++) {
			column++;
			if (text.p[i] == '\n')
				line++, column = 1;
		}
		return err_set(
			et, ERR_INVALID, "JSON: line %zu column %zu: %s", line, column, ye.msg);
	}
	*out = doc;
	return OK;
}

struct str json_str(yyjson_val *obj, const char *key)
{
	return json_val_str(yyjson_obj_get(obj, key));
}

int64_t json_i64(yyjson_val *obj, const char *key, int64_t otherwise)
{
	yyjson_val *v = yyjson_obj_get(obj, key);
	if (yyjson_is_uint(v) && yyjson_get_uint(v) > INT64_MAX)
		return otherwise;
	return yyjson_is_int(v) ? yyjson_get_sint(v) : otherwise;
}

double json_f64(yyjson_val *obj, const char *key, double otherwise)
{
	yyjson_val *v = yyjson_obj_get(obj, key);
	return yyjson_is_num(v) ? yyjson_get_num(v) : otherwise;
}

bool json_bool(yyjson_val *obj, const char *key, bool otherwise)
{
	yyjson_val *v = yyjson_obj_get(obj, key);
	return yyjson_is_bool(v) ? yyjson_get_bool(v) : otherwise;
}

static yyjson_val *present(yyjson_val *obj, const char *key)
{
	yyjson_val *v = yyjson_obj_get(obj, key);
	return yyjson_is_null(v) ? NULL : v;
}

enum err json_want_str(yyjson_val *obj, const char *key, struct str *out, struct errtext *et)
{
	yyjson_val *v = present(obj, key);
	if (!v)
		return OK;
	if (!yyjson_is_str(v))
		return err_set(et, ERR_INVALID, "'%s' must be a string, not %s", key,
			yyjson_get_type_desc(v));
	*out = json_val_str(v);
	return OK;
}

enum err json_want_i64(yyjson_val *obj, const char *key, int64_t min, int64_t max, int64_t *out,
	struct errtext *et)
{
	yyjson_val *v = present(obj, key);
	if (!v)
		return OK;
	double d = yyjson_is_num(v) ? yyjson_get_num(v) : NAN;
	if (!yyjson_is_int(v) && !(yyjson_is_real(v) && d == floor(d)))
		return err_set(et, ERR_INVALID, "'%s' must be a whole number, not %s", key,
			yyjson_get_type_desc(v));
	if (yyjson_is_int(v) ? (yyjson_is_uint(v) && yyjson_get_uint(v) > INT64_MAX)
			     : fabs(d) > 9e18)
		return err_set(et, ERR_INVALID, "'%s' is too large", key);
	int64_t i = yyjson_is_int(v) ? yyjson_get_sint(v) : (int64_t)d;
	if (i < min || i > max)
		return err_set(et, ERR_INVALID, "'%s' is %lld, it must be from %lld to %lld", key,
			(long long)i, (long long)min, (long long)max);
	*out = i;
	return OK;
}

enum err json_want_f64(
	yyjson_val *obj, const char *key, double min, double max, double *out, struct errtext *et)
{
	yyjson_val *v = present(obj, key);
	if (!v)
		return OK;
	if (!yyjson_is_num(v))
		return err_set(et, ERR_INVALID, "'%s' must be a number, not %s", key,
			yyjson_get_type_desc(v));
	double d = yyjson_get_num(v);
	if (!(d >= min && d <= max))
		return err_set(
			et, ERR_INVALID, "'%s' is %g, it must be from %g to %g", key, d, min, max);
	*out = d;
	return OK;
}

enum err json_want_bool(yyjson_val *obj, const char *key, bool *out, struct errtext *et)
{
	yyjson_val *v = present(obj, key);
	if (!v)
		return OK;
	if (!yyjson_is_bool(v))
		return err_set(et, ERR_INVALID, "'%s' must be true or false, not %s", key,
			yyjson_get_type_desc(v));
	*out = yyjson_get_bool(v);
	return OK;
}

void json_escape(struct buf *out, struct str s)
{
	static const char hex[] = "0123456789abcdef";
	buf_putc(out, '"');
	size_t from = 0, i = 0;
	while (i < s.n) {
		unsigned char c = (unsigned char)s.p[i];
		if (c >= 0x20 && c != '"' && c != '\\' && c < 0x80) {
			i++;
			continue;
		}
		if (c >= 0x80) {
			uint32_t cp;
			size_t k = utf8_decode(str_sub(s, i, s.n), &cp);
			bool good =
				cp != 0xFFFD || (k == 3 && memcmp(s.p + i, "\xEF\xBF\xBD", 3) == 0);
			if (!good) {
				buf_add(out, s.p + from, i - from);
				buf_addc(out, "\xEF\xBF\xBD");
				from = i + k;
			}
			i += k;
			continue;
		}
		buf_add(out, s.p + from, i - from);
		switch (c) {
		case '"':
			buf_addc(out, "\\\"");
			break;
		case '\\':
			buf_addc(out, "\\\\");
			break;
		case '\n':
			buf_addc(out, "\\n");
			break;
		case '\r':
			buf_addc(out, "\\r");
			break;
		case '\t':
			buf_addc(out, "\\t");
			break;
		default:
			buf_addc(out, "\\u00");
			buf_putc(out, hex[c >> 4]);
			buf_putc(out, hex[c & 15]);
		}
		from = ++i;
	}
	buf_add(out, s.p + from, s.n - from);
	buf_putc(out, '"');
}

/* Called before each value: separators, and a value in an object needs its key first. */
static void before_value(struct jw *w)
{
	if (w->depth && w->kind[w->depth - 1] == '{') {
		if (!w->after_key)
			w->bad = true;
	} else if (w->need_comma) {
		if (!w->depth)
			w->bad = true; /* two values at the top */
		buf_putc(w->out, ',');
	}
	w->after_key = false;
	w->need_comma = true;
}

static void open_level(struct jw *w, char kind)
{
	before_value(w);
	if (w->depth == JSON_DEPTH_MAX) {
		w->bad = true;
		return;
	}
	w->kind[w->depth++] = (unsigned char)kind;
	w->need_comma = false;
	buf_putc(w->out, kind);
}

void jw_obj(struct jw *w)
{
	open_level(w, '{');
}

void jw_arr(struct jw *w)
{
	open_level(w, '[');
}

void jw_end(struct jw *w)
{
	if (!w->depth || w->after_key) {
		w->bad = true;
		return;
	}
	buf_putc(w->out, w->kind[--w->depth] == '{' ? '}' : ']');
	w->need_comma = true;
}

void jw_key_str(struct jw *w, struct str key)
{
	if (!w->depth || w->kind[w->depth - 1] != '{' || w->after_key)
		w->bad = true;
	if (w->need_comma)
		buf_putc(w->out, ',');
	json_escape(w->out, key);
	buf_putc(w->out, ':');
	w->after_key = true;
	w->need_comma = false;
}

void jw_key(struct jw *w, const char *key)
{
	jw_key_str(w, str_c(key));
}

void jw_str(struct jw *w, struct str s)
{
	before_value(w);
	json_escape(w->out, s);
}

void jw_c(struct jw *w, const char *s)
{
	if (s)
		jw_str(w, str_c(s));
	else
		jw_null(w);
}

void jw_fmt(struct jw *w, const char *fmt, ...)
{
	struct buf t = {0};
	va_list ap;
	va_start(ap, fmt);
	buf_vaddf(&t, fmt, ap);
	va_end(ap);
	if (t.err)
		w->bad = true;
	jw_str(w, buf_str(&t));
	buf_free(&t);
}

static void add_u64(struct buf *b, uint64_t v)
{
	char t[20];
	size_t at = sizeof t;
	do
		t[--at] = (char)('0' + v % 10);
	while (v /= 10);
	buf_add(b, t + at, sizeof t - at);
}

void jw_i64(struct jw *w, int64_t v)
{
	before_value(w);
	if (v < 0)
		buf_putc(w->out, '-');
	add_u64(w->out, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void jw_u64(struct jw *w, uint64_t v)
{
	before_value(w);
	add_u64(w->out, v);
}

static void number(struct jw *w, double v, int digits_short, int digits_exact, bool single)
{
	if (!isfinite(v)) {
		jw_null(w);
		return;
	}
	before_value(w);
	char t[40];
	for (int digits = digits_short; digits <= digits_exact; digits++) {
		snprintf(t, sizeof t, "%.*g", digits, v);
		if (single ? strtof(t, NULL) == (float)v : strtod(t, NULL) == v)
			break;
	}
	buf_addc(w->out, t);
}

/* Series are written by the million: whole numbers as such, others by yyjson, which finds the
 * shortest text ten times as fast as trying; its own fallback is trying. */
void jw_f64(struct jw *w, double v)
{
	char room[256];
	yyjson_alc alc;
	size_t n = 0;
	if (fabs(v) < 1e15 && v == floor(v) && !(v == 0 && signbit(v))) {
		jw_i64(w, (int64_t)v);
		return;
	}
	yyjson_val val = {.tag = YYJSON_TYPE_NUM | YYJSON_SUBTYPE_REAL, .uni.f64 = v};
	char *t = isfinite(v) && yyjson_alc_pool_init(&alc, room, sizeof room)
			  ? yyjson_val_write_opts(&val, 0, &alc, &n, NULL)
			  : NULL;
	if (!t) {
		number(w, v, 15, 17, false);
		return;
	}
	before_value(w);
	buf_add(w->out, t, n);
}

void jw_f32(struct jw *w, float v)
{
	number(w, (double)v, 6, 9, true);
}

void jw_bool(struct jw *w, bool v)
{
	before_value(w);
	buf_addc(w->out, v ? "true" : "false");
}

void jw_null(struct jw *w)
{
	before_value(w);
	buf_addc(w->out, "null");
}

void jw_raw(struct jw *w, struct str json)
{
	before_value(w);
	if (json.n == 0)
		w->bad = true;
	buf_adds(w->out, json);
}

void jw_val(struct jw *w, yyjson_val *v)
{
	size_t n = 0;
	char *t = v ? yyjson_val_write(v, 0, &n) : NULL;
	if (t)
		jw_raw(w, str_mk(t, n));
	else
		jw_null(w);
	free(t);
}

bool jw_done(const struct jw *w)
{
	return !w->bad && !w->depth && w->need_comma && !w->out->err;
}

void jw_kstr(struct jw *w, const char *key, struct str s)
{
	jw_key(w, key);
	jw_str(w, s);
}

void jw_kc(struct jw *w, const char *key, const char *s)
{
	jw_key(w, key);
	jw_c(w, s);
}

void jw_ki64(struct jw *w, const char *key, int64_t v)
{
	jw_key(w, key);
	jw_i64(w, v);
}

void jw_kf64(struct jw *w, const char *key, double v)
{
	jw_key(w, key);
	jw_f64(w, v);
}

void jw_kbool(struct jw *w, const char *key, bool v)
{
	jw_key(w, key);
	jw_bool(w, v);
}
