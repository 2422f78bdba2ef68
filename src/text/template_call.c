/* What templates may call: global functions, filters, tests, methods. Each is one row of a table at
 * the end of its section; there is nothing else to reach. */
#include "text/template_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unicode/uchar.h>

/* Argument i, or the one called name, or NULL. */
static const struct val *arg(const struct args *a, unsigned i, const char *name)
{
	if (i < a->n_pos)
		return &a->v[i];
	for (unsigned k = a->n_pos; k < a->n && name; k++)
		if (str_eq_c(a->name[k], name))
			return &a->v[k];
	return NULL;
}

static bool arg_bool(const struct args *a, unsigned i, const char *name, bool otherwise)
{
	const struct val *v = arg(a, i, name);
	return v ? val_true(*v) : otherwise;
}

static int64_t arg_int(
	struct run *r, const struct args *a, unsigned i, const char *name, int64_t otherwise)
{
	const struct val *v = arg(a, i, name);
	if (!v || v->type == V_NONE)
		return otherwise;
	if (v->type != V_INT && v->type != V_BOOL) {
		run_fail(
			r, ERR_INVALID, "%s must be an integer, not '%s'", name, val_type_name(*v));
		return otherwise;
	}
	return as_int(*v);
}

/* {NULL, 0} when it is not given or none. */
static struct str arg_str(struct run *r, const struct args *a, unsigned i, const char *name)
{
	const struct val *v = arg(a, i, name);
	if (!v || v->type == V_NONE)
		return (struct str){0};
	struct str s = val_text(r, *v);
	return s.p ? s : S("");
}

static struct val pair(struct run *r, struct val a, struct val b)
{
	struct val t = list_new(r, LIST_TUPLE);
	list_add(r, t.l, a);
	list_add(r, t.l, b);
	return t;
}

/* ---- functions ---- */

static struct val fn_range(struct run *r, const struct args *a)
{
	int64_t from = 0, to, step = 1;
	if (a->n_pos < 2) {
		to = arg_int(r, a, 0, "stop", 0);
	} else {
		from = arg_int(r, a, 0, "start", 0);
		to = arg_int(r, a, 1, "stop", 0);
		step = arg_int(r, a, 2, "step", 1);
	}
	if (!a->n_pos || step == 0)
		return run_fail(
			r, ERR_INVALID, "range() wants one to three numbers, the step not zero");
	struct val l = list_new(r, LIST_LIST);
	for (int64_t i = from; (step > 0 ? i < to : i > to) && run_step(r, 1);) {
		if (l.l->n >= RANGE_MAX)
			return run_fail(
				r, ERR_LIMIT, "Range too big. The maximum size is %d", RANGE_MAX);
		list_add(r, l.l, val_int(i));
		if (__builtin_add_overflow(i, step, &i))
			break;
	}
	return l;
}

static void fill_dict(struct run *r, struct dict *d, const struct args *a)
{
	if (a->n_pos && a->v[0].type == V_DICT) {
		for (size_t i = 0; i < a->v[0].d->n && run_step(r, 1); i++)
			dict_set(r, d, a->v[0].d->e[i].k, a->v[0].d->e[i].v);
	} else if (a->n_pos) {
		const struct list *l = val_items(r, a->v[0]);
		for (size_t i = 0; l && i < l->n && run_step(r, 1); i++) {
			if (l->v[i].type != V_LIST || l->v[i].l->n != 2) {
				run_fail(r, ERR_INVALID, "dict() wants pairs");
				return;
			}
			dict_set(r, d, l->v[i].l->v[0], l->v[i].l->v[1]);
		}
	}
	for (unsigned i = a->n_pos; i < a->n; i++)
		dict_set(r, d, val_str(a->name[i]), a->v[i]);
}

static struct val fn_dict(struct run *r, const struct args *a)
{
	struct val d = dict_new(r);
	fill_dict(r, d.d, a);
	return d;
}

static struct val fn_namespace(struct run *r, const struct args *a)
{
	struct val d = fn_dict(r, a);
	d.type = V_SPACE;
	return d;
}

static struct val fn_raise(struct run *r, const struct args *a)
{
	struct str s = arg_str(r, a, 0, "message");
	if (!r->err)
		r->err = err_set(r->et, ERR_INVALID, "%.*s", (int)MIN(s.n, 500u), s.p ? s.p : "");
	return val_none();
}

static struct val fn_strftime_now(struct run *r, const struct args *a)
{
	struct str f = arg_str(r, a, 0, "format");
	char fmt[256], out[1024];
	if (f.n >= sizeof fmt)
		return run_fail(r, ERR_INVALID, "strftime_now: too long a format");
	if (f.n)
		memcpy(fmt, f.p, f.n);
	fmt[f.n] = 0;
	time_t t = (time_t)(r->now_ms / 1000);
	struct tm tm;
	localtime_r(&t, &tm);
	return val_str(run_str(r, str_mk(out, f.n ? strftime(out, sizeof out, fmt, &tm) : 0)));
}

typedef struct val (*fn)(struct run *r, const struct args *a);
static const struct {
	const char *name;
	fn call;
} functions[] = {
	{"range", fn_range},
	{"dict", fn_dict},
	{"namespace", fn_namespace},
	{"raise_exception", fn_raise},
	{"strftime_now", fn_strftime_now},
};

struct val find_global(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(functions); i++)
		if (str_eq_c(name, functions[i].name))
			return (struct val){.type = V_FUNC, .s = name};
	return val_undef(name);
}

struct val call_function(struct run *r, struct val f, const struct args *a)
{
	for (size_t i = 0; i < ARRAY_LEN(functions); i++)
		if (str_eq_c(f.s, functions[i].name))
			return functions[i].call(r, a);
	return run_fail(r, ERR_INTERNAL, "no such function");
}

/* ---- filters ---- */

static struct val f_trim(struct run *r, struct val v, const struct args *a)
{
	return val_str(text_strip(val_text(r, v), arg_str(r, a, 0, "chars"), 3));
}

static struct val f_tojson(struct run *r, struct val v, const struct args *a)
{
	const struct val *indent = arg(a, 1, "indent"), *sep = arg(a, 2, "separators");
	struct json_style st = {.ascii = arg_bool(a, 0, "ensure_ascii", false),
		.indent = -1,
		.sort = arg_bool(a, 3, "sort_keys", false),
		.item = S(", "),
		.key = S(": ")};
	/* The first positional argument of Jinja's own filter is the indent; templates that pass
	 * one mean that. */
	if (a->n_pos == 1 && a->v[0].type == V_INT) {
		indent = &a->v[0];
		st.ascii = false;
	}
	if (indent && (indent->type == V_INT || indent->type == V_BOOL)) {
		st.indent = (int)MAX(MIN(as_int(*indent), 1000), 0);
		st.item = S(",");
	} else if (indent && indent->type == V_STR) {
		st.indent = 0;
		st.indent_text = indent->s;
		st.item = S(",");
	}
	if (sep && sep->type == V_LIST && sep->l->n == 2) {
		st.item = val_text(r, sep->l->v[0]);
		st.key = val_text(r, sep->l->v[1]);
	}
	struct buf b = {.max = MEMORY_MAX};
	val_json(r, v, &st, &b, 0);
	return val_str(run_buf(r, &b));
}

static struct val f_length(struct run *r, struct val v, const struct args *a)
{
	return val_int(val_length(r, v));
}

/* "a.b.0" of v. */
static struct val attribute(struct run *r, struct val v, struct val path)
{
	if (path.type == V_INT)
		return val_item(r, v, path);
	struct str rest = val_text(r, path), part;
	while (!r->err && str_next(&rest, '.', &part)) {
		int64_t i;
		v = str_i64(part, &i) ? val_item(r, v, val_int(i)) : val_item(r, v, val_str(part));
	}
	return v;
}

static struct val f_join(struct run *r, struct val v, const struct args *a)
{
	const struct list *l = val_items(r, v);
	struct str d = arg_str(r, a, 0, "d");
	const struct val *attr = arg(a, 1, "attribute");
	struct buf b = {.max = MEMORY_MAX};
	for (size_t i = 0; l && i < l->n && run_step(r, 1); i++) {
		if (i)
			buf_add(&b, d.p, d.n);
		val_print(r, attr ? attribute(r, l->v[i], *attr) : l->v[i], &b);
	}
	return val_str(run_buf(r, &b));
}

static struct val f_default(struct run *r, struct val v, const struct args *a)
{
	const struct val *d = arg(a, 0, "default_value");
	bool use = v.type == V_UNDEF || (arg_bool(a, 1, "boolean", false) && !val_true(v));
	return !use ? v : d ? *d : val_str(S(""));
}

/* Whether v passes the test named by arguments from `at` on; without one, whether it is true. */
static bool passes(struct run *r, struct val v, const struct args *a, unsigned at)
{
	if (a->n_pos <= at)
		return val_true(v);
	struct args rest = {.n_pos = a->n_pos - at - 1, .n = a->n_pos - at - 1};
	for (unsigned i = 0; i < rest.n; i++)
		rest.v[i] = a->v[at + 1 + i];
	return call_test(r, val_text(r, a->v[at]), v, &rest);
}

static struct val select_some(
	struct run *r, struct val v, const struct args *a, bool attr, bool keep)
{
	const struct list *l = val_items(r, v);
	struct val out = list_new(r, LIST_LAZY);
	if (attr && !a->n_pos)
		return run_fail(r, ERR_INVALID, "Missing parameter for attribute name");
	for (size_t i = 0; l && i < l->n && run_step(r, 1); i++) {
		struct val x = attr ? attribute(r, l->v[i], a->v[0]) : l->v[i];
		if (!r->err && passes(r, x, a, attr ? 1 : 0) == keep)
			list_add(r, out.l, l->v[i]);
	}
	return out;
}

static struct val f_select(struct run *r, struct val v, const struct args *a)
{
	return select_some(r, v, a, false, true);
}

static struct val f_reject(struct run *r, struct val v, const struct args *a)
{
	return select_some(r, v, a, false, false);
}

static struct val f_selectattr(struct run *r, struct val v, const struct args *a)
{
	return select_some(r, v, a, true, true);
}

static struct val f_rejectattr(struct run *r, struct val v, const struct args *a)
{
	return select_some(r, v, a, true, false);
}

static struct val f_map(struct run *r, struct val v, const struct args *a)
{
	const struct list *l = val_items(r, v);
	const struct val *attr = arg(a, ARGS_MAX, "attribute"), *d = arg(a, ARGS_MAX, "default");
	struct val out = list_new(r, LIST_LAZY);
	struct args rest = {0};
	if (!attr && !a->n_pos)
		return run_fail(r, ERR_INVALID, "map requires a filter argument");
	for (unsigned i = 1; i < a->n_pos && !attr; i++) {
		rest.v[i - 1] = a->v[i];
		rest.n = rest.n_pos = i;
	}
	for (unsigned i = a->n_pos; i < a->n && !attr; i++) {
		rest.name[rest.n] = a->name[i];
		rest.v[rest.n++] = a->v[i];
	}
	struct str filter = attr ? (struct str){0} : val_text(r, a->v[0]);
	for (size_t i = 0; l && i < l->n && run_step(r, 1); i++) {
		struct val x = attr ? attribute(r, l->v[i], *attr)
				    : call_filter(r, filter, l->v[i], &rest);
		list_add(r, out.l, x.type == V_UNDEF && d ? *d : x);
	}
	return out;
}

static struct val copy_list(struct run *r, struct val v, enum list_kind kind)
{
	const struct list *l = val_items(r, v);
	struct val out = list_new(r, kind);
	for (size_t i = 0; l && i < l->n && run_step(r, 1); i++)
		list_add(r, out.l, l->v[i]);
	return out;
}

static struct val f_list(struct run *r, struct val v, const struct args *a)
{
	return copy_list(r, v, LIST_LIST);
}

static struct val f_first(struct run *r, struct val v, const struct args *a)
{
	const struct list *l = val_items(r, v);
	return l && l->n ? l->v[0] : val_undef(S("No first item, sequence was empty."));
}

static struct val f_last(struct run *r, struct val v, const struct args *a)
{
	const struct list *l = val_items(r, v);
	return l && l->n ? l->v[l->n - 1] : val_undef(S("No last item, sequence was empty."));
}

static struct val f_upper(struct run *r, struct val v, const struct args *a)
{
	return val_str(text_case(r, val_text(r, v), TEXT_UPPER));
}

static struct val f_lower(struct run *r, struct val v, const struct args *a)
{
	return val_str(text_case(r, val_text(r, v), TEXT_LOWER));
}

static struct val f_capitalize(struct run *r, struct val v, const struct args *a)
{
	return val_str(text_case(r, val_text(r, v), TEXT_CAPITALIZE));
}

/* Jinja's own: words begin after white space and ( { [ < -. */
static struct val f_title(struct run *r, struct val v, const struct args *a)
{
	struct str s = val_text(r, v);
	struct buf b = {.max = MEMORY_MAX};
	for (size_t i = 0; i < s.n;) {
		size_t end = i;
		uint32_t cp;
		size_t len = 0;
		while (end < s.n) {
			len = utf8_decode(str_sub(s, end, s.n), &cp);
			if (text_is_space(cp) || (cp < 0x80 && cp && strchr("-({[<", (int)cp)))
				break;
			end += len;
		}
		if (end == i) {
			buf_add(&b, s.p + i, len);
			i += len;
			continue;
		}
		size_t first = utf8_decode(str_sub(s, i, s.n), &cp);
		buf_adds(&b, text_case(r, str_sub(s, i, i + first), TEXT_UPPER));
		buf_adds(&b, text_case(r, str_sub(s, i + first, end), TEXT_LOWER));
		i = end;
	}
	return val_str(run_buf(r, &b));
}

static struct val replaced(
	struct run *r, struct str s, struct str from, struct str to, int64_t count)
{
	struct buf b = {.max = MEMORY_MAX};
	size_t i = 0;
	run_step(r, s.n / 16);
	while (count != 0 && i <= s.n && !b.err && run_step(r, 1)) {
		size_t at = str_find(str_sub(s, i, s.n), from);
		if (at == STR_NONE)
			break;
		buf_add(&b, s.p + i, at);
		buf_adds(&b, to);
		i += at + from.n;
		if (from.n == 0) {
			uint32_t cp;
			if (i == s.n) {
				i++;
				break;
			}
			size_t len = utf8_decode(str_sub(s, i, s.n), &cp);
			buf_add(&b, s.p + i, len);
			i += len;
		}
		count -= count > 0;
	}
	buf_adds(&b, str_sub(s, i, s.n));
	return val_str(run_buf(r, &b));
}

static struct val f_replace(struct run *r, struct val v, const struct args *a)
{
	return replaced(r, val_text(r, v), arg_str(r, a, 0, "old"), arg_str(r, a, 1, "new"),
		arg_int(r, a, 2, "count", -1));
}

static struct val f_string(struct run *r, struct val v, const struct args *a)
{
	return val_str(val_text(r, v));
}

static struct val f_int(struct run *r, struct val v, const struct args *a)
{
	const struct val *d = arg(a, 0, "default");
	int64_t i, base = arg_int(r, a, 1, "base", 10);
	double f;
	if (v.type == V_INT || v.type == V_BOOL)
		return val_int(as_int(v));
	if (v.type == V_FLOAT && v.f > -9e18 && v.f < 9e18)
		return val_int((int64_t)v.f);
	if (v.type == V_STR) {
		struct str s = text_strip(v.s, (struct str){0}, 3);
		if (base == 10 && str_i64(s, &i))
			return val_int(i);
		if (base != 10 && base >= 2 && base <= 36 && s.n && s.n < 60) {
			char t[64], *end;
			memcpy(t, s.p, s.n);
			t[s.n] = 0;
			long long x = strtoll(t, &end, (int)base);
			if (!*end)
				return val_int(x);
		}
		if (str_f64(s, &f) && f > -9e18 && f < 9e18)
			return val_int((int64_t)f);
	}
	return d ? *d : val_int(0);
}

static struct val f_float(struct run *r, struct val v, const struct args *a)
{
	const struct val *d = arg(a, 0, "default");
	double f;
	if (is_number(v))
		return val_float(as_float(v));
	if (v.type == V_STR && str_f64(text_strip(v.s, (struct str){0}, 3), &f))
		return val_float(f);
	return d ? *d : val_float(0);
}

static struct val dict_items(struct run *r, const struct dict *d, enum list_kind kind)
{
	struct val out = list_new(r, kind);
	for (size_t i = 0; i < d->n && run_step(r, 1); i++)
		list_add(r, out.l, pair(r, d->e[i].k, d->e[i].v));
	return out;
}

static struct val f_items(struct run *r, struct val v, const struct args *a)
{
	if (v.type == V_UNDEF)
		return list_new(r, LIST_LAZY);
	if (v.type != V_DICT)
		return run_fail(r, ERR_INVALID, "Can only get item pairs from a mapping.");
	return dict_items(r, v.d, LIST_LAZY);
}

/* Sorting: stable, by keys made before; an error in comparing leaves some order and stops. */
struct keyed {
	struct val key, v;
};

static void merge_sort(struct run *r, struct keyed *k, struct keyed *tmp, size_t n, bool reverse)
{
	for (size_t w = 1; w < n && !r->err; w *= 2) {
		for (size_t lo = 0; lo < n; lo += 2 * w) {
			size_t mid = MIN(lo + w, n), hi = MIN(lo + 2 * w, n), i = lo, j = mid;
			for (size_t o = lo; o < hi; o++) {
				bool left = i < mid;
				if (left && j < hi) {
					int c = val_order(r, k[j].key, k[i].key, 0);
					left = reverse ? c <= 0 : c >= 0;
				}
				tmp[o] = left ? k[i++] : k[j++];
			}
		}
		memcpy(k, tmp, n * sizeof *k);
	}
}

static struct val fold(struct run *r, struct val v, bool case_sensitive)
{
	return v.type == V_STR && !case_sensitive ? val_str(text_case(r, v.s, TEXT_LOWER)) : v;
}

static struct val sorted(
	struct run *r, const struct list *l, const struct val *attr, bool cased, bool reverse)
{
	struct val out = list_new(r, LIST_LIST);
	if (!l || !l->n)
		return out;
	struct keyed *k = run_alloc(r, l->n * sizeof *k), *tmp = run_alloc(r, l->n * sizeof *tmp);
	for (size_t i = 0; i < l->n && tmp && run_step(r, 1); i++)
		k[i] = (struct keyed){
			fold(r, attr ? attribute(r, l->v[i], *attr) : l->v[i], cased), l->v[i]};
	if (!r->err)
		merge_sort(r, k, tmp, l->n, reverse);
	for (size_t i = 0; i < l->n && !r->err; i++)
		list_add(r, out.l, k[i].v);
	return out;
}

static struct val f_sort(struct run *r, struct val v, const struct args *a)
{
	return sorted(r, val_items(r, v), arg(a, 2, "attribute"),
		arg_bool(a, 1, "case_sensitive", false), arg_bool(a, 0, "reverse", false));
}

static struct val f_dictsort(struct run *r, struct val v, const struct args *a)
{
	if (v.type != V_DICT)
		return run_fail(r, ERR_INVALID, "dictsort wants a mapping");
	struct str by = arg_str(r, a, 1, "by");
	struct val key = val_int(str_eq_c(by, "value") ? 1 : 0),
		   items = dict_items(r, v.d, LIST_LIST);
	return sorted(r, items.l, &key, arg_bool(a, 0, "case_sensitive", false),
		arg_bool(a, 2, "reverse", false));
}

static struct val f_unique(struct run *r, struct val v, const struct args *a)
{
	const struct list *l = val_items(r, v);
	const struct val *attr = arg(a, 1, "attribute");
	struct val out = list_new(r, LIST_LAZY), seen = list_new(r, LIST_LIST);
	bool cased = arg_bool(a, 0, "case_sensitive", false);
	for (size_t i = 0; l && i < l->n && run_step(r, 1); i++) {
		struct val k = fold(r, attr ? attribute(r, l->v[i], *attr) : l->v[i], cased);
		if (!val_in(r, k, seen)) {
			list_add(r, seen.l, k);
			list_add(r, out.l, l->v[i]);
		}
	}
	return out;
}

static struct val f_reverse(struct run *r, struct val v, const struct args *a)
{
	const struct list *l = val_items(r, v);
	struct val out = list_new(r, LIST_LAZY);
	for (size_t i = l ? l->n : 0; i > 0 && run_step(r, 1); i--)
		list_add(r, out.l, l->v[i - 1]);
	if (v.type != V_STR)
		return out;
	struct buf b = {.max = MEMORY_MAX};
	for (size_t i = 0; i < out.l->n; i++)
		buf_adds(&b, out.l->v[i].s);
	return val_str(run_buf(r, &b));
}

static struct val f_round(struct run *r, struct val v, const struct args *a)
{
	int64_t precision = arg_int(r, a, 0, "precision", 0);
	struct str how = arg_str(r, a, 1, "method");
	if (!is_number(v))
		return run_fail(r, ERR_INVALID, "type %s doesn't define __round__ method",
			val_type_name(v));
	double scale = pow(10, (double)MAX(MIN(precision, 300), -300)), f = as_float(v);
	if (str_eq_c(how, "ceil"))
		return val_float(ceil(f * scale) / scale);
	if (str_eq_c(how, "floor"))
		return val_float(floor(f * scale) / scale);
	if (v.type != V_FLOAT)
		return precision >= 0 ? val_int(as_int(v))
				      : val_float(nearbyint(f * scale) / scale);
	if (precision >= 0 && precision < 100) {
		/* By decimal digits, as Python does. */
		char t[512];
		snprintf(t, sizeof t, "%.*f", (int)precision, f);
		return val_float(strtod(t, NULL));
	}
	return val_float(precision < 0 ? nearbyint(f * scale) / scale : f);
}

static struct val f_abs(struct run *r, struct val v, const struct args *a)
{
	if (v.type == V_FLOAT)
		return val_float(fabs(v.f));
	if (!is_number(v))
		return run_fail(
			r, ERR_INVALID, "bad operand type for abs(): '%s'", val_type_name(v));
	return as_int(v) < 0 ? val_binary(r, B_SUB, val_int(0), v) : val_int(as_int(v));
}

static struct val f_safe(struct run *r, struct val v, const struct args *a)
{
	return val_str(val_text(r, v));
}

static struct val f_escape(struct run *r, struct val v, const struct args *a)
{
	struct str s = val_text(r, v);
	struct buf b = {.max = MEMORY_MAX};
	run_step(r, s.n / 16);
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		const char *e = c == '&'    ? "&amp;"
				: c == '<'  ? "&lt;"
				: c == '>'  ? "&gt;"
				: c == '"'  ? "&#34;"
				: c == '\'' ? "&#39;"
					    : NULL;
		if (e)
			buf_addc(&b, e);
		else
			buf_putc(&b, c);
	}
	return val_str(run_buf(r, &b));
}

static struct val f_indent(struct run *r, struct val v, const struct args *a)
{
	struct str rest = val_text(r, v), line;
	const struct val *width = arg(a, 0, "width");
	bool first = arg_bool(a, 1, "first", false), blank = arg_bool(a, 2, "blank", false);
	struct buf b = {.max = MEMORY_MAX};
	struct str by = width && width->type == V_STR ? width->s : (struct str){0};
	int64_t n = by.p ? 0 : arg_int(r, a, 0, "width", 4);
	if (n > 1000)
		return run_fail(r, ERR_LIMIT, "indent by more than 1000");
	for (bool at_first = true;
		!r->err && str_next(&rest, '\n', &line) && run_step(r, 1 + line.n / 16);
		at_first = false) {
		if (!at_first)
			buf_putc(&b, '\n');
		if (at_first ? first : blank || line.n) {
			buf_add(&b, by.p, by.n);
			for (int64_t i = 0; i < n; i++)
				buf_putc(&b, ' ');
		}
		buf_adds(&b, line);
	}
	return val_str(run_buf(r, &b));
}

static struct val f_batch(struct run *r, struct val v, const struct args *a)
{
	const struct list *l = val_items(r, v);
	const struct val *fill = arg(a, 1, "fill_with");
	int64_t n = arg_int(r, a, 0, "linecount", 0);
	struct val out = list_new(r, LIST_LAZY), row = {0};
	if (n < 1 || n > RANGE_MAX)
		return run_fail(r, ERR_INVALID, "batch by %lld", (long long)n);
	for (size_t i = 0; l && i < l->n && run_step(r, 1); i++) {
		if (i % (size_t)n == 0) {
			row = list_new(r, LIST_LIST);
			list_add(r, out.l, row);
		}
		list_add(r, row.l, l->v[i]);
	}
	while (fill && fill->type != V_NONE && out.l->n && row.l->n < (size_t)n && run_step(r, 1))
		list_add(r, row.l, *fill);
	return out;
}

static struct val f_sum(struct run *r, struct val v, const struct args *a)
{
	const struct list *l = val_items(r, v);
	const struct val *attr = arg(a, 0, "attribute"), *start = arg(a, 1, "start");
	struct val out = start ? *start : val_int(0);
	for (size_t i = 0; l && i < l->n && run_step(r, 1); i++)
		out = val_binary(r, B_ADD, out,
			attr && attr->type != V_NONE ? attribute(r, l->v[i], *attr) : l->v[i]);
	return out;
}

static struct val extreme(struct run *r, struct val v, const struct args *a, int sign)
{
	const struct list *l = val_items(r, v);
	const struct val *attr = arg(a, 1, "attribute");
	bool cased = arg_bool(a, 0, "case_sensitive", false);
	struct val best = val_undef(S("No aggregated item, sequence was empty.")), key = best;
	for (size_t i = 0; l && i < l->n && run_step(r, 1); i++) {
		struct val k = fold(r, attr ? attribute(r, l->v[i], *attr) : l->v[i], cased);
		if (i == 0 || val_order(r, k, key, 0) * sign > 0) {
			best = l->v[i];
			key = k;
		}
	}
	return best;
}

static struct val f_max(struct run *r, struct val v, const struct args *a)
{
	return extreme(r, v, a, 1);
}

static struct val f_min(struct run *r, struct val v, const struct args *a)
{
	return extreme(r, v, a, -1);
}

static struct val f_attr(struct run *r, struct val v, const struct args *a)
{
	struct str name = arg_str(r, a, 0, "name");
	if (v.type == V_SPACE || v.type == V_LOOP)
		return val_attr(r, v, name);
	return val_undef(name); /* attributes only: a mapping's items are none */
}

static struct val f_groupby(struct run *r, struct val v, const struct args *a)
{
	const struct val *attr = arg(a, 0, "attribute");
	struct val out = list_new(r, LIST_LIST), group = {0};
	if (!attr)
		return run_fail(r, ERR_INVALID, "groupby wants an attribute");
	bool cased = arg_bool(a, 2, "case_sensitive", false);
	struct val in = sorted(r, val_items(r, v), attr, cased, false), last = {0};
	for (size_t i = 0; i < in.l->n && run_step(r, 1); i++) {
		struct val k = attribute(r, in.l->v[i], *attr), f = fold(r, k, cased);
		if (i == 0 || !val_equal(r, f, last, 0)) {
			group = list_new(r, LIST_LIST);
			list_add(r, out.l, pair(r, k, group));
			last = f;
		}
		list_add(r, group.l, in.l->v[i]);
	}
	return out;
}

static struct val f_wordcount(struct run *r, struct val v, const struct args *a)
{
	struct str s = val_text(r, v);
	int64_t n = 0;
	bool in_word = false;
	for (size_t i = 0, len; i < s.n; i += len) {
		uint32_t cp;
		len = utf8_decode(str_sub(s, i, s.n), &cp);
		bool word = cp == '_' || u_isalnum((UChar32)cp);
		n += word && !in_word;
		in_word = word;
	}
	return val_int(n);
}

typedef struct val (*filter_fn)(struct run *r, struct val v, const struct args *a);
static const struct {
	const char *name;
	filter_fn call;
} filter_rows[] = {
	{"abs", f_abs},
	{"attr", f_attr},
	{"batch", f_batch},
	{"capitalize", f_capitalize},
	{"count", f_length},
	{"d", f_default},
	{"default", f_default},
	{"dictsort", f_dictsort},
	{"e", f_escape},
	{"escape", f_escape},
	{"first", f_first},
	{"float", f_float},
	{"groupby", f_groupby},
	{"indent", f_indent},
	{"int", f_int},
	{"items", f_items},
	{"join", f_join},
	{"last", f_last},
	{"length", f_length},
	{"list", f_list},
	{"lower", f_lower},
	{"map", f_map},
	{"max", f_max},
	{"min", f_min},
	{"reject", f_reject},
	{"rejectattr", f_rejectattr},
	{"replace", f_replace},
	{"reverse", f_reverse},
	{"round", f_round},
	{"safe", f_safe},
	{"select", f_select},
	{"selectattr", f_selectattr},
	{"sort", f_sort},
	{"string", f_string},
	{"sum", f_sum},
	{"title", f_title},
	{"tojson", f_tojson},
	{"trim", f_trim},
	{"unique", f_unique},
	{"upper", f_upper},
	{"wordcount", f_wordcount},
};

struct val call_filter(struct run *r, struct str name, struct val v, const struct args *a)
{
	for (size_t i = 0; i < ARRAY_LEN(filter_rows); i++)
		if (str_eq_c(name, filter_rows[i].name))
			return filter_rows[i].call(r, v, a);
	return run_fail(r, ERR_INVALID, "No filter named '%.*s'", (int)MIN(name.n, 60u), name.p);
}

/* ---- tests ---- */

static bool is_case(struct str s, bool upper)
{
	bool some = false;
	for (size_t i = 0, len; i < s.n; i += len) {
		uint32_t cp;
		len = utf8_decode(str_sub(s, i, s.n), &cp);
		if (upper ? u_isULowercase((UChar32)cp) || u_istitle((UChar32)cp)
			  : u_isUUppercase((UChar32)cp) || u_istitle((UChar32)cp))
			return false;
		some = some || (upper ? u_isUUppercase((UChar32)cp) : u_isULowercase((UChar32)cp));
	}
	return some;
}

static bool same_thing(struct run *r, struct val a, struct val b)
{
	if (a.type != b.type)
		return false;
	if (a.type == V_LIST)
		return a.l == b.l;
	if (a.type == V_DICT)
		return a.d == b.d;
	return val_equal(r, a, b, 0);
}

enum test {
	IS_DEFINED,
	IS_UNDEFINED,
	IS_NONE,
	IS_STRING,
	IS_MAPPING,
	IS_ITERABLE,
	IS_SEQUENCE,
	IS_NUMBER,
	IS_INTEGER,
	IS_FLOAT,
	IS_BOOLEAN,
	IS_TRUE,
	IS_FALSE,
	IS_EQ,
	IS_NE,
	IS_LT,
	IS_LE,
	IS_GT,
	IS_GE,
	IS_IN,
	IS_EVEN,
	IS_ODD,
	IS_DIVISIBLE,
	IS_LOWER,
	IS_UPPER,
	IS_SAME,
	IS_CALLABLE,
	IS_FILTER,
	IS_TEST,
	IS_ESCAPED
};

static const struct {
	const char *name;
	enum test test;
} test_rows[] = {
	{"!=", IS_NE},
	{"<", IS_LT},
	{"<=", IS_LE},
	{"==", IS_EQ},
	{">", IS_GT},
	{">=", IS_GE},
	{"boolean", IS_BOOLEAN},
	{"callable", IS_CALLABLE},
	{"defined", IS_DEFINED},
	{"divisibleby", IS_DIVISIBLE},
	{"eq", IS_EQ},
	{"equalto", IS_EQ},
	{"escaped", IS_ESCAPED},
	{"even", IS_EVEN},
	{"false", IS_FALSE},
	{"filter", IS_FILTER},
	{"float", IS_FLOAT},
	{"ge", IS_GE},
	{"greaterthan", IS_GT},
	{"gt", IS_GT},
	{"in", IS_IN},
	{"integer", IS_INTEGER},
	{"iterable", IS_ITERABLE},
	{"le", IS_LE},
	{"lessthan", IS_LT},
	{"lower", IS_LOWER},
	{"lt", IS_LT},
	{"mapping", IS_MAPPING},
	{"ne", IS_NE},
	{"none", IS_NONE},
	{"number", IS_NUMBER},
	{"odd", IS_ODD},
	{"sameas", IS_SAME},
	{"sequence", IS_SEQUENCE},
	{"string", IS_STRING},
	{"test", IS_TEST},
	{"true", IS_TRUE},
	{"undefined", IS_UNDEFINED},
	{"upper", IS_UPPER},
};

static bool known(struct str name, bool filter)
{
	for (size_t i = 0; filter && i < ARRAY_LEN(filter_rows); i++)
		if (str_eq_c(name, filter_rows[i].name))
			return true;
	for (size_t i = 0; !filter && i < ARRAY_LEN(test_rows); i++)
		if (str_eq_c(name, test_rows[i].name))
			return true;
	return false;
}

static bool divides(struct run *r, struct val v, int64_t by, int64_t rest)
{
	struct val m = val_binary(r, B_MOD, v, val_int(by));
	return !r->err && val_equal(r, m, val_int(rest), 0);
}

static bool run_test(struct run *r, enum test t, struct val v, struct val o)
{
	switch (t) {
	case IS_DEFINED:
		return v.type != V_UNDEF;
	case IS_UNDEFINED:
		return v.type == V_UNDEF;
	case IS_NONE:
		return v.type == V_NONE;
	case IS_STRING:
		return v.type == V_STR;
	case IS_MAPPING:
		return v.type == V_DICT;
	case IS_ITERABLE:
		return v.type == V_STR || v.type == V_LIST || v.type == V_DICT ||
		       v.type == V_UNDEF || v.type == V_LOOP;
	case IS_SEQUENCE:
		return v.type == V_STR || v.type == V_DICT || v.type == V_UNDEF ||
		       (v.type == V_LIST && v.l->kind <= LIST_TUPLE);
	case IS_NUMBER:
		return is_number(v);
	case IS_INTEGER:
		return v.type == V_INT;
	case IS_FLOAT:
		return v.type == V_FLOAT;
	case IS_BOOLEAN:
		return v.type == V_BOOL;
	case IS_TRUE:
		return v.type == V_BOOL && v.b;
	case IS_FALSE:
		return v.type == V_BOOL && !v.b;
	case IS_EQ:
		return val_equal(r, v, o, 0);
	case IS_NE:
		return !val_equal(r, v, o, 0);
	case IS_LT:
		return val_order(r, v, o, 0) < 0;
	case IS_LE:
		return val_order(r, v, o, 0) <= 0;
	case IS_GT:
		return val_order(r, v, o, 0) > 0;
	case IS_GE:
		return val_order(r, v, o, 0) >= 0;
	case IS_IN:
		return val_in(r, v, o);
	case IS_EVEN:
		return divides(r, v, 2, 0);
	case IS_ODD:
		return divides(r, v, 2, 1);
	case IS_DIVISIBLE:
		if (o.type == V_INT)
			return divides(r, v, o.i, 0);
		run_fail(r, ERR_INVALID, "divisibleby wants an integer");
		return false;
	case IS_LOWER:
		return is_case(val_text(r, v), false);
	case IS_UPPER:
		return is_case(val_text(r, v), true);
	case IS_SAME:
		return same_thing(r, v, o);
	case IS_CALLABLE:
		return v.type == V_MACRO || v.type == V_FUNC || v.type == V_METHOD;
	case IS_FILTER:
		return known(val_text(r, v), true);
	case IS_TEST:
		return known(val_text(r, v), false);
	case IS_ESCAPED:
		return false;
	}
	return false;
}

bool call_test(struct run *r, struct str name, struct val v, const struct args *a)
{
	for (size_t i = 0; i < ARRAY_LEN(test_rows); i++) {
		if (!str_eq_c(name, test_rows[i].name))
			continue;
		enum test t = test_rows[i].test;
		bool wants = (t >= IS_EQ && t <= IS_IN) || t == IS_DIVISIBLE || t == IS_SAME;
		if (wants && !a->n) {
			run_fail(
				r, ERR_INVALID, "the test '%.*s' wants an argument", STR_FMT(name));
			return false;
		}
		return run_test(r, t, v, a->n ? a->v[0] : val_none());
	}
	run_fail(r, ERR_INVALID, "No test named '%.*s'", (int)MIN(name.n, 60u), name.p);
	return false;
}

/* ---- methods ---- */

static struct str want_str(struct run *r, const struct args *a, unsigned i, const char *what)
{
	if (i < a->n && a->v[i].type == V_STR)
		return a->v[i].s;
	run_fail(r, ERR_INVALID, "%s wants a string", what);
	return S("");
}

static struct val m_strip(struct run *r, struct str s, const struct args *a, int sides)
{
	struct str chars = {0};
	if (a->n && a->v[0].type != V_NONE)
		chars = want_str(r, a, 0, "strip()");
	return val_str(text_strip(s, chars, sides));
}

/* Words between white space. */
static struct val split_space(struct run *r, struct str s, int64_t max, bool from_right)
{
	struct val out = list_new(r, LIST_LIST);
	struct str none = {0};
	if (from_right)
		s = text_strip(s, none, 2);
	while (run_step(r, 1)) {
		s = text_strip(s, none, from_right ? 2 : 1);
		if (!s.n)
			break;
		size_t i = from_right ? s.n : 0;
		uint32_t cp;
		if (max == 0) {
			list_add(r, out.l, val_str(from_right ? text_strip(s, none, 2) : s));
			break;
		}
		if (!from_right) {
			for (size_t len; i < s.n; i += len) {
				len = utf8_decode(str_sub(s, i, s.n), &cp);
				if (text_is_space(cp))
					break;
			}
			list_add(r, out.l, val_str(str_sub(s, 0, i)));
			s = str_sub(s, i, s.n);
		} else {
			while (i) {
				size_t k = i - 1;
				while (k && ((unsigned char)s.p[k] & 0xC0) == 0x80)
					k--;
				utf8_decode(str_sub(s, k, s.n), &cp);
				if (text_is_space(cp))
					break;
				i = k;
			}
			list_add(r, out.l, val_str(str_sub(s, i, s.n)));
			s = str_sub(s, 0, i);
		}
		max -= max > 0;
	}
	return out;
}

static size_t find_last(struct str s, struct str what)
{
	for (size_t i = s.n >= what.n ? s.n - what.n + 1 : 0; i > 0; i--)
		if (memcmp(s.p + i - 1, what.p, what.n) == 0)
			return i - 1;
	return STR_NONE;
}

static struct val m_split(struct run *r, struct str s, const struct args *a, bool from_right)
{
	const struct val *sep = arg(a, 0, "sep");
	int64_t max = arg_int(r, a, 1, "maxsplit", -1);
	struct val out;
	if (!sep || sep->type == V_NONE) {
		out = split_space(r, s, max, from_right);
	} else {
		if (sep->type != V_STR || !sep->s.n)
			return run_fail(
				r, ERR_INVALID, "split() wants a separator that is not empty");
		out = list_new(r, LIST_LIST);
		run_step(r, s.n / 16);
		for (size_t at; max != 0 && run_step(r, 1); max -= max > 0) {
			at = from_right ? find_last(s, sep->s) : str_find(s, sep->s);
			if (at == STR_NONE)
				break;
			if (from_right) {
				list_add(r, out.l, val_str(str_sub(s, at + sep->s.n, s.n)));
				s = str_sub(s, 0, at);
			} else {
				list_add(r, out.l, val_str(str_sub(s, 0, at)));
				s = str_sub(s, at + sep->s.n, s.n);
			}
		}
		list_add(r, out.l, val_str(s));
	}
	for (size_t i = 0; from_right && i < out.l->n / 2; i++) {
		struct val t = out.l->v[i];
		out.l->v[i] = out.l->v[out.l->n - 1 - i];
		out.l->v[out.l->n - 1 - i] = t;
	}
	return out;
}

static struct val m_splitlines(struct run *r, struct str s, const struct args *a)
{
	bool keep = arg_bool(a, 0, "keepends", false);
	struct val out = list_new(r, LIST_LIST);
	for (size_t i = 0, from = 0; i < s.n && run_step(r, 1);) {
		uint32_t cp;
		size_t len = utf8_decode(str_sub(s, i, s.n), &cp), end = i;
		bool line = (cp >= 10 && cp <= 13) || (cp >= 0x1C && cp <= 0x1E) || cp == 0x85 ||
			    cp == 0x2028 || cp == 0x2029;
		i += len;
		if (cp == '\r' && i < s.n && s.p[i] == '\n')
			i++;
		if (line) {
			list_add(r, out.l, val_str(str_sub(s, from, keep ? i : end)));
			from = i;
		} else if (i == s.n) {
			list_add(r, out.l, val_str(str_sub(s, from, s.n)));
		}
	}
	return out;
}

static bool affixed(struct run *r, struct str s, struct val what, bool end)
{
	if (what.type == V_STR)
		return end ? str_ends(s, what.s) : str_starts(s, what.s);
	if (what.type == V_LIST && what.l->kind == LIST_TUPLE) {
		for (size_t i = 0; i < what.l->n; i++)
			if (what.l->v[i].type == V_STR && affixed(r, s, what.l->v[i], end))
				return true;
		return false;
	}
	run_fail(r, ERR_INVALID, "%s first arg must be str or a tuple of str, not %s",
		end ? "endswith" : "startswith", val_type_name(what));
	return false;
}

static struct val m_find(struct run *r, struct str s, const struct args *a, bool last, bool must)
{
	struct str what = want_str(r, a, 0, "find()");
	int64_t from = arg_int(r, a, 1, "start", 0), n = (int64_t)text_length(s),
		to = arg_int(r, a, 2, "end", n);
	from = MIN(from < 0 ? MAX(from + n, 0) : from, n + 1);
	to = MAX(MIN(to < 0 ? to + n : to, n), 0);
	run_step(r, s.n / 16);
	size_t at = STR_NONE, skip = text_offset(s, (size_t)MIN(from, n));
	if (from <= n && from <= to) {
		struct str part = str_sub(s, skip, text_offset(s, (size_t)to));
		at = last ? find_last(part, what) : str_find(part, what);
	}
	if (at == STR_NONE && must)
		return run_fail(r, ERR_INVALID, "substring not found");
	return val_int(at == STR_NONE ? -1 : (int64_t)text_length(str_sub(s, 0, skip + at)));
}

static struct val m_count(struct run *r, struct str s, const struct args *a)
{
	struct str what = want_str(r, a, 0, "count()");
	int64_t n = 0;
	if (!what.n)
		return val_int((int64_t)text_length(s) + 1);
	for (size_t at; run_step(r, 1) && (at = str_find(s, what)) != STR_NONE; n++)
		s = str_sub(s, at + what.n, s.n);
	return val_int(n);
}

enum char_test { ARE_DIGITS, ARE_LETTERS, ARE_ALNUM, ARE_SPACE };

static struct val m_all(struct str s, enum char_test t)
{
	for (size_t i = 0, len; i < s.n; i += len) {
		uint32_t cp;
		len = utf8_decode(str_sub(s, i, s.n), &cp);
		UChar32 c = (UChar32)cp;
		bool letter = U_GET_GC_MASK(c) & U_GC_L_MASK, digit = u_isdigit(c);
		if (!(t == ARE_DIGITS          ? digit
			    : t == ARE_LETTERS ? letter
			    : t == ARE_ALNUM   ? letter || digit
					       : text_is_space(cp)))
			return val_bool(false);
	}
	return val_bool(s.n != 0);
}

static struct val m_partition(struct run *r, struct str s, const struct args *a, bool last)
{
	struct str sep = want_str(r, a, 0, "partition()");
	struct val t = list_new(r, LIST_TUPLE);
	if (!sep.n)
		return run_fail(r, ERR_INVALID, "empty separator");
	size_t at = last ? find_last(s, sep) : str_find(s, sep);
	bool none = at == STR_NONE;
	list_add(r, t.l, val_str(none ? (last ? S("") : s) : str_sub(s, 0, at)));
	list_add(r, t.l, val_str(none ? S("") : sep));
	list_add(r, t.l, val_str(none ? (last ? s : S("")) : str_sub(s, at + sep.n, s.n)));
	return t;
}

enum str_method {
	SM_STRIP,
	SM_LSTRIP,
	SM_RSTRIP,
	SM_SPLIT,
	SM_RSPLIT,
	SM_SPLITLINES,
	SM_STARTSWITH,
	SM_ENDSWITH,
	SM_REPLACE,
	SM_UPPER,
	SM_LOWER,
	SM_TITLE,
	SM_CAPITALIZE,
	SM_FIND,
	SM_RFIND,
	SM_INDEX,
	SM_RINDEX,
	SM_COUNT,
	SM_JOIN,
	SM_ISDIGIT,
	SM_ISALPHA,
	SM_ISALNUM,
	SM_ISSPACE,
	SM_ISUPPER,
	SM_ISLOWER,
	SM_REMOVEPREFIX,
	SM_REMOVESUFFIX,
	SM_PARTITION,
	SM_RPARTITION
};

static const char *const str_methods[] = {"strip", "lstrip", "rstrip", "split", "rsplit",
	"splitlines", "startswith", "endswith", "replace", "upper", "lower", "title", "capitalize",
	"find", "rfind", "index", "rindex", "count", "join", "isdigit", "isalpha", "isalnum",
	"isspace", "isupper", "islower", "removeprefix", "removesuffix", "partition", "rpartition"};

static struct val str_call(struct run *r, enum str_method m, struct str s, const struct args *a)
{
	struct val first = a->n ? a->v[0] : val_none();
	switch (m) {
	case SM_STRIP:
		return m_strip(r, s, a, 3);
	case SM_LSTRIP:
		return m_strip(r, s, a, 1);
	case SM_RSTRIP:
		return m_strip(r, s, a, 2);
	case SM_SPLIT:
		return m_split(r, s, a, false);
	case SM_RSPLIT:
		return m_split(r, s, a, true);
	case SM_SPLITLINES:
		return m_splitlines(r, s, a);
	case SM_STARTSWITH:
		return val_bool(affixed(r, s, first, false));
	case SM_ENDSWITH:
		return val_bool(affixed(r, s, first, true));
	case SM_REPLACE: {
		struct str from = want_str(r, a, 0, "replace()"),
			   to = want_str(r, a, 1, "replace()");
		return replaced(r, s, from, to, arg_int(r, a, 2, "count", -1));
	}
	case SM_UPPER:
		return val_str(text_case(r, s, TEXT_UPPER));
	case SM_LOWER:
		return val_str(text_case(r, s, TEXT_LOWER));
	case SM_TITLE:
		return val_str(text_case(r, s, TEXT_TITLE));
	case SM_CAPITALIZE:
		return val_str(text_case(r, s, TEXT_CAPITALIZE));
	case SM_FIND:
		return m_find(r, s, a, false, false);
	case SM_RFIND:
		return m_find(r, s, a, true, false);
	case SM_INDEX:
		return m_find(r, s, a, false, true);
	case SM_RINDEX:
		return m_find(r, s, a, true, true);
	case SM_COUNT:
		return m_count(r, s, a);
	case SM_JOIN: {
		struct args by = {.v = {val_str(s)}, .n = 1, .n_pos = 1};
		return f_join(r, first, &by);
	}
	case SM_ISDIGIT:
		return m_all(s, ARE_DIGITS);
	case SM_ISALPHA:
		return m_all(s, ARE_LETTERS);
	case SM_ISALNUM:
		return m_all(s, ARE_ALNUM);
	case SM_ISSPACE:
		return m_all(s, ARE_SPACE);
	case SM_ISUPPER:
		return val_bool(is_case(s, true));
	case SM_ISLOWER:
		return val_bool(is_case(s, false));
	case SM_REMOVEPREFIX: {
		struct str x = want_str(r, a, 0, "removeprefix()");
		return val_str(str_starts(s, x) ? str_sub(s, x.n, s.n) : s);
	}
	case SM_REMOVESUFFIX: {
		struct str x = want_str(r, a, 0, "removesuffix()");
		return val_str(str_ends(s, x) ? str_sub(s, 0, s.n - x.n) : s);
	}
	case SM_PARTITION:
		return m_partition(r, s, a, false);
	case SM_RPARTITION:
		return m_partition(r, s, a, true);
	}
	return val_none();
}

enum dict_method { DM_GET, DM_ITEMS, DM_KEYS, DM_VALUES, DM_COPY, DM_CHANGE };

/* What would change a mapping or a list exists, so that it can be refused by name. */
static const struct {
	const char *name;
	enum dict_method m;
} dict_methods[] = {
	{"get", DM_GET},
	{"items", DM_ITEMS},
	{"keys", DM_KEYS},
	{"values", DM_VALUES},
	{"copy", DM_COPY},
	{"clear", DM_CHANGE},
	{"pop", DM_CHANGE},
	{"popitem", DM_CHANGE},
	{"setdefault", DM_CHANGE},
	{"update", DM_CHANGE},
};
static const char *const list_changes[] = {
	"append", "extend", "insert", "pop", "remove", "clear", "sort", "reverse"};

static struct val dict_call(struct run *r, enum dict_method m, struct str name,
	const struct dict *d, const struct args *a)
{
	struct val out;
	const struct val *found;
	switch (m) {
	case DM_GET:
		if (!a->n)
			return run_fail(r, ERR_INVALID, "get() wants a key");
		found = dict_get(r, d, a->v[0]);
		return found ? *found : a->n > 1 ? a->v[1] : val_none();
	case DM_ITEMS:
		return dict_items(r, d, LIST_VIEW);
	case DM_KEYS:
	case DM_VALUES:
		out = list_new(r, LIST_VIEW);
		for (size_t i = 0; i < d->n && run_step(r, 1); i++)
			list_add(r, out.l, m == DM_KEYS ? d->e[i].k : d->e[i].v);
		return out;
	case DM_COPY:
		out = dict_new(r);
		for (size_t i = 0; i < d->n && run_step(r, 1); i++)
			dict_set(r, out.d, d->e[i].k, d->e[i].v);
		return out;
	case DM_CHANGE:
		break;
	}
	return run_fail(r, ERR_INVALID, "access to attribute '%.*s' of 'dict' object is unsafe.",
		STR_FMT(name));
}

static struct val list_call(struct run *r, struct str name, struct list *l, const struct args *a)
{
	if (str_eq_c(name, "index") || str_eq_c(name, "count")) {
		int64_t n = 0;
		for (size_t i = 0; i < l->n && a->n && !r->err; i++) {
			if (!val_equal(r, l->v[i], a->v[0], 0))
				continue;
			if (str_eq_c(name, "index"))
				return val_int((int64_t)i);
			n++;
		}
		return str_eq_c(name, "index")
			       ? run_fail(r, ERR_INVALID, "the value is not in the list")
			       : val_int(n);
	}
	if (str_eq_c(name, "copy"))
		return copy_list(r, (struct val){.type = V_LIST, .l = l}, LIST_LIST);
	return run_fail(r, ERR_INVALID, "access to attribute '%.*s' of 'list' object is unsafe.",
		STR_FMT(name));
}

static struct val loop_call(struct run *r, struct str name, struct loop *l, const struct args *a)
{
	if (str_eq_c(name, "cycle")) {
		if (!a->n_pos)
			return run_fail(r, ERR_INVALID, "no items for cycling given");
		return a->v[l->at % a->n_pos];
	}
	struct val now = list_new(r, LIST_TUPLE);
	for (unsigned i = 0; i < a->n_pos; i++)
		list_add(r, now.l, a->v[i]);
	bool changed = l->changed.type == V_UNDEF || !val_equal(r, l->changed, now, 0);
	l->changed = now;
	return val_bool(changed);
}

bool val_has_method(struct val v, struct str name)
{
	if (v.type == V_STR) {
		for (size_t i = 0; i < ARRAY_LEN(str_methods); i++)
			if (str_eq_c(name, str_methods[i]))
				return true;
	} else if (v.type == V_DICT) {
		for (size_t i = 0; i < ARRAY_LEN(dict_methods); i++)
			if (str_eq_c(name, dict_methods[i].name))
				return true;
	} else if (v.type == V_LIST && v.l->kind <= LIST_TUPLE) {
		if (str_eq_c(name, "index") || str_eq_c(name, "count"))
			return true;
		for (size_t i = 0; i < ARRAY_LEN(list_changes) && v.l->kind == LIST_LIST; i++)
			if (str_eq_c(name, list_changes[i]) || str_eq_c(name, "copy"))
				return true;
	} else if (v.type == V_LOOP) {
		return str_eq_c(name, "cycle") || str_eq_c(name, "changed");
	}
	return false;
}

struct val call_method(struct run *r, const struct method *m, const struct args *a)
{
	switch (m->self.type) {
	case V_STR:
		for (size_t i = 0; i < ARRAY_LEN(str_methods); i++)
			if (str_eq_c(m->name, str_methods[i]))
				return str_call(r, (enum str_method)i, m->self.s, a);
		break;
	case V_DICT:
		for (size_t i = 0; i < ARRAY_LEN(dict_methods); i++)
			if (str_eq_c(m->name, dict_methods[i].name))
				return dict_call(r, dict_methods[i].m, m->name, m->self.d, a);
		break;
	case V_LIST:
		return list_call(r, m->name, m->self.l, a);
	case V_LOOP:
		return loop_call(r, m->name, m->self.loop, a);
	default:
		break;
	}
	return run_fail(r, ERR_INTERNAL, "no such method");
}
