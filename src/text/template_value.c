/* Values: making, comparing, printing, taking apart. */
#include "text/template_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unicode/uchar.h>

/* ---- making ---- */

struct val list_new(struct run *r, enum list_kind kind)
{
	struct list *l = run_alloc(r, sizeof *l);
	static struct list none;
	if (l)
		l->kind = kind;
	return (struct val){.type = V_LIST, .l = l ? l : &none};
}

void list_add(struct run *r, struct list *l, struct val v)
{
	if (r->err)
		return;
	if (l->n == l->cap) {
		size_t cap = MAX(l->cap * 2, 4);
		struct val *grown = run_alloc(r, cap * sizeof *grown);
		if (!grown)
			return;
		if (l->n)
			memcpy(grown, l->v, l->n * sizeof *grown);
		l->v = grown;
		l->cap = cap;
	}
	l->v[l->n++] = v;
}

struct val dict_new(struct run *r)
{
	struct dict *d = run_alloc(r, sizeof *d);
	static struct dict none;
	return (struct val){.type = V_DICT, .d = d ? d : &none};
}

static size_t dict_find(struct run *r, const struct dict *d, struct val k)
{
	run_step(r, d->n / 8);
	for (size_t i = 0; i < d->n; i++)
		if (k.type == V_STR ? d->e[i].k.type == V_STR && str_eq(d->e[i].k.s, k.s)
				    : val_equal(r, d->e[i].k, k, 0))
			return i;
	return SIZE_MAX;
}

void dict_set(struct run *r, struct dict *d, struct val k, struct val v)
{
	size_t at = dict_find(r, d, k);
	if (r->err)
		return;
	if (k.type == V_LIST && k.l->kind != LIST_TUPLE) {
		run_fail(r, ERR_INVALID, "unhashable type: 'list'");
		return;
	}
	if (at != SIZE_MAX) {
		d->e[at].v = v;
		return;
	}
	if (d->n == d->cap) {
		size_t cap = MAX(d->cap * 2, 4);
		struct entry *grown = run_alloc(r, cap * sizeof *grown);
		if (!grown)
			return;
		if (d->n)
			memcpy(grown, d->e, d->n * sizeof *grown);
		d->e = grown;
		d->cap = cap;
	}
	d->e[d->n++] = (struct entry){k, v};
}

const struct val *dict_get(struct run *r, const struct dict *d, struct val k)
{
	size_t at = dict_find(r, d, k);
	return at == SIZE_MAX ? NULL : &d->e[at].v;
}

/* Strings are borrowed from the JSON, which outlives the rendering. Objects do not repeat a key in
 * what we make; from outside the last one wins, as in Python. */
struct val val_from_json(struct run *r, yyjson_val *j, unsigned depth)
{
	if (depth > JSON_DEPTH_MAX)
		return run_fail(r, ERR_LIMIT, "the variables are nested deeper than %d levels",
			JSON_DEPTH_MAX);
	switch (yyjson_get_type(j)) {
	case YYJSON_TYPE_BOOL:
		return val_bool(yyjson_get_bool(j));
	case YYJSON_TYPE_NUM:
		if (yyjson_is_real(j))
			return val_float(yyjson_get_real(j));
		if (yyjson_is_uint(j) && yyjson_get_uint(j) > INT64_MAX)
			return val_float((double)yyjson_get_uint(j));
		return val_int(yyjson_get_sint(j));
	case YYJSON_TYPE_STR:
		return val_str(json_val_str(j));
	case YYJSON_TYPE_ARR: {
		struct val l = list_new(r, LIST_LIST);
		size_t i, n;
		yyjson_val *v;
		yyjson_arr_foreach(j, i, n, v) list_add(r, l.l, val_from_json(r, v, depth + 1));
		return l;
	}
	case YYJSON_TYPE_OBJ: {
		struct val d = dict_new(r);
		size_t i, n;
		yyjson_val *k, *v;
		yyjson_obj_foreach(j, i, n, k, v)
		{
			if (r->err)
				break;
			dict_set(r, d.d, val_str(json_val_str(k)), val_from_json(r, v, depth + 1));
		}
		return d;
	}
	default:
		return val_none();
	}
}

/* ---- asking ---- */

const char *val_type_name(struct val v)
{
	switch (v.type) {
	case V_UNDEF:
		return "Undefined";
	case V_NONE:
		return "NoneType";
	case V_BOOL:
		return "bool";
	case V_INT:
		return "int";
	case V_FLOAT:
		return "float";
	case V_STR:
		return "str";
	case V_LIST:
		return v.l->kind == LIST_TUPLE  ? "tuple"
		       : v.l->kind == LIST_LAZY ? "generator"
						: "list";
	case V_DICT:
		return "dict";
	case V_SPACE:
		return "Namespace";
	case V_LOOP:
		return "LoopContext";
	case V_MACRO:
		return "Macro";
	case V_FUNC:
	case V_METHOD:
		return "function";
	}
	return "object";
}

bool val_true(struct val v)
{
	switch (v.type) {
	case V_UNDEF:
	case V_NONE:
		return false;
	case V_BOOL:
		return v.b;
	case V_INT:
		return v.i != 0;
	case V_FLOAT:
		return v.f != 0;
	case V_STR:
		return v.s.n != 0;
	case V_LIST:
		return v.l->n != 0 || v.l->kind == LIST_LAZY;
	case V_DICT:
		return v.d->n != 0;
	default:
		return true;
	}
}

bool val_equal(struct run *r, struct val a, struct val b, unsigned depth)
{
	if (!run_step(r, 1))
		return false;
	if (depth > VALUE_DEPTH_MAX) {
		run_fail(r, ERR_LIMIT, "values nested too deeply");
		return false;
	}
	if (is_number(a) && is_number(b)) {
		if (a.type != V_FLOAT && b.type != V_FLOAT)
			return as_int(a) == as_int(b);
		return as_float(a) == as_float(b);
	}
	if (a.type != b.type)
		return false;
	switch (a.type) {
	case V_UNDEF:
	case V_NONE:
		return true;
	case V_STR:
		return str_eq(a.s, b.s);
	case V_LIST: {
		if (a.l == b.l)
			return true;
		bool same = a.l->n == b.l->n &&
			    (a.l->kind == LIST_TUPLE) == (b.l->kind == LIST_TUPLE) &&
			    a.l->kind != LIST_LAZY && b.l->kind != LIST_LAZY;
		for (size_t i = 0; same && i < a.l->n; i++)
			same = val_equal(r, a.l->v[i], b.l->v[i], depth + 1);
		return same;
	}
	case V_DICT: {
		bool same = a.d->n == b.d->n;
		for (size_t i = 0; same && i < a.d->n && a.d != b.d; i++) {
			const struct val *o = dict_get(r, b.d, a.d->e[i].k);
			same = o && val_equal(r, a.d->e[i].v, *o, depth + 1);
		}
		return same;
	}
	case V_SPACE:
		return a.d == b.d;
	case V_MACRO:
		return a.macro == b.macro;
	case V_FUNC:
		return str_eq(a.s, b.s);
	default:
		return false;
	}
}

int val_order(struct run *r, struct val a, struct val b, unsigned depth)
{
	if (!run_step(r, 1) || depth > VALUE_DEPTH_MAX)
		return 0;
	if (is_number(a) && is_number(b)) {
		if (a.type != V_FLOAT && b.type != V_FLOAT)
			return (as_int(a) > as_int(b)) - (as_int(a) < as_int(b));
		return (as_float(a) > as_float(b)) - (as_float(a) < as_float(b));
	}
	if (a.type == V_STR && b.type == V_STR)
		return str_cmp(a.s, b.s);
	if (a.type == V_LIST && b.type == V_LIST) {
		for (size_t i = 0; i < a.l->n && i < b.l->n; i++)
			if (!val_equal(r, a.l->v[i], b.l->v[i], depth + 1))
				return val_order(r, a.l->v[i], b.l->v[i], depth + 1);
		return (a.l->n > b.l->n) - (a.l->n < b.l->n);
	}
	if (a.type == V_UNDEF || b.type == V_UNDEF) {
		struct str s = a.type == V_UNDEF ? a.s : b.s;
		run_fail(r, ERR_INVALID, "'%.*s' is undefined", STR_FMT(s));
	} else {
		run_fail(r, ERR_INVALID, "'%s' and '%s' have no order", val_type_name(a),
			val_type_name(b));
	}
	return 0;
}

bool val_in(struct run *r, struct val item, struct val box)
{
	if (box.type == V_STR) {
		if (item.type != V_STR) {
			run_fail(r, ERR_INVALID,
				"'in <string>' requires string as left operand, not %s",
				val_type_name(item));
			return false;
		}
		run_step(r, box.s.n / 64);
		return str_find(box.s, item.s) != STR_NONE;
	}
	if (box.type == V_DICT)
		return dict_get(r, box.d, item) != NULL;
	const struct list *l = val_items(r, box);
	for (size_t i = 0; l && i < l->n && !r->err; i++)
		if (val_equal(r, l->v[i], item, 0))
			return true;
	return false;
}

const struct list *val_items(struct run *r, struct val v)
{
	struct val out;
	switch (v.type) {
	case V_LIST:
		return v.l;
	case V_UNDEF:
		return list_new(r, LIST_LIST).l;
	case V_STR:
		out = list_new(r, LIST_LIST);
		for (size_t i = 0, len; i < v.s.n && run_step(r, 1); i += len) {
			uint32_t cp;
			len = utf8_decode(str_sub(v.s, i, v.s.n), &cp);
			list_add(r, out.l, val_str(str_sub(v.s, i, i + len)));
		}
		return out.l;
	case V_DICT:
		out = list_new(r, LIST_LIST);
		for (size_t i = 0; i < v.d->n && run_step(r, 1); i++)
			list_add(r, out.l, v.d->e[i].k);
		return out.l;
	default:
		run_fail(r, ERR_INVALID, "'%s' object is not iterable", val_type_name(v));
		return NULL;
	}
}

int64_t val_length(struct run *r, struct val v)
{
	if (v.type == V_STR) {
		run_step(r, v.s.n / 64);
		return (int64_t)text_length(v.s);
	}
	if (v.type == V_LIST && v.l->kind != LIST_LAZY)
		return (int64_t)v.l->n;
	if (v.type == V_DICT)
		return (int64_t)v.d->n;
	if (v.type == V_UNDEF)
		return 0;
	run_fail(r, ERR_INVALID, "object of type '%s' has no len()", val_type_name(v));
	return -1;
}

/* ---- printing ---- */

static void str_repr(struct str s, struct buf *out)
{
	char quote = str_chr(s, '\'') != STR_NONE && str_chr(s, '"') == STR_NONE ? '"' : '\'';
	buf_putc(out, quote);
	for (size_t i = 0, len; i < s.n; i += len) {
		uint32_t cp;
		len = utf8_decode(str_sub(s, i, s.n), &cp);
		if (cp == (uint32_t)quote || cp == '\\')
			buf_addf(out, "\\%c", (char)cp);
		else if (cp == '\n' || cp == '\r' || cp == '\t')
			buf_addc(out, cp == '\n' ? "\\n" : cp == '\r' ? "\\r" : "\\t");
		else if (cp < 0x20 || cp == 0x7F)
			buf_addf(out, "\\x%02x", cp);
		else if (cp < 0x7F)
			buf_putc(out, (char)cp);
		else if (!u_isprint((UChar32)cp) || u_isUWhiteSpace((UChar32)cp))
			buf_addf(out,
				cp < 0x100     ? "\\x%02x"
				: cp < 0x10000 ? "\\u%04x"
					       : "\\U%08x",
				cp);
		else
			buf_add(out, s.p + i, len);
	}
	buf_putc(out, quote);
}

static void repr_entries(struct run *r, const struct dict *d, struct buf *out, unsigned depth)
{
	buf_putc(out, '{');
	for (size_t i = 0; i < d->n && !r->err; i++) {
		if (i)
			buf_addc(out, ", ");
		val_repr(r, d->e[i].k, out, depth + 1);
		buf_addc(out, ": ");
		val_repr(r, d->e[i].v, out, depth + 1);
	}
	buf_putc(out, '}');
}

void val_repr(struct run *r, struct val v, struct buf *out, unsigned depth)
{
	if (!run_step(r, 1) || out->err)
		return;
	if (depth > VALUE_DEPTH_MAX) {
		run_fail(r, ERR_LIMIT, "values nested too deeply");
		return;
	}
	switch (v.type) {
	case V_UNDEF:
		if (depth)
			buf_addc(out, "Undefined");
		return;
	case V_NONE:
		buf_addc(out, "None");
		return;
	case V_BOOL:
		buf_addc(out, v.b ? "True" : "False");
		return;
	case V_INT:
		buf_addf(out, "%lld", (long long)v.i);
		return;
	case V_FLOAT:
		text_float(v.f, out);
		return;
	case V_STR:
		run_step(r, v.s.n / 16);
		str_repr(v.s, out);
		return;
	case V_LIST: {
		static const char *const open[] = {"[", "(", "<generator", "dict_items(["},
					 *const close[] = {"]", ")", ">", "])"};
		if (v.l->kind == LIST_LAZY) {
			buf_addc(out, "<generator object>");
			return;
		}
		buf_addc(out, open[v.l->kind]);
		for (size_t i = 0; i < v.l->n && !r->err; i++) {
			if (i)
				buf_addc(out, ", ");
			val_repr(r, v.l->v[i], out, depth + 1);
		}
		if (v.l->kind == LIST_TUPLE && v.l->n == 1)
			buf_putc(out, ',');
		buf_addc(out, close[v.l->kind]);
		return;
	}
	case V_DICT:
		repr_entries(r, v.d, out, depth);
		return;
	case V_SPACE:
		buf_addc(out, "<Namespace ");
		repr_entries(r, v.d, out, depth);
		buf_putc(out, '>');
		return;
	default:
		buf_addf(out, "<%s>", val_type_name(v));
	}
}

void val_print(struct run *r, struct val v, struct buf *out)
{
	if (v.type == V_STR) {
		run_step(r, v.s.n / 64);
		buf_adds(out, v.s);
	} else {
		val_repr(r, v, out, 0);
	}
}

struct str val_text(struct run *r, struct val v)
{
	if (v.type == V_STR)
		return v.s;
	struct buf b = {.max = MEMORY_MAX};
	val_print(r, v, &b);
	return run_buf(r, &b);
}

/* ---- JSON, as Python's json.dumps writes it ---- */

static void json_text(struct str s, bool ascii, struct buf *out)
{
	buf_putc(out, '"');
	for (size_t i = 0, len; i < s.n; i += len) {
		uint32_t cp;
		len = utf8_decode(str_sub(s, i, s.n), &cp);
		static const char from[] = "\"\\\n\r\t\f\b", to[] = "\"\\nrtfb";
		const char *at = cp && cp < 0x80 ? strchr(from, (int)cp) : NULL;
		if (at)
			buf_addf(out, "\\%c", to[at - from]);
		else if (cp < 0x20 || (ascii && cp >= 0x7F && cp < 0x10000 && cp != 0x7F))
			buf_addf(out, "\\u%04x", cp);
		else if (ascii && cp >= 0x10000)
			buf_addf(out, "\\u%04x\\u%04x", 0xD7C0 + (cp >> 10), 0xDC00 + (cp & 0x3FF));
		else
			buf_add(out, s.p + i, len);
	}
	buf_putc(out, '"');
}

static void json_break(const struct json_style *st, struct buf *out, unsigned depth)
{
	if (st->indent < 0)
		return;
	buf_putc(out, '\n');
	for (unsigned i = 0; i < depth && !out->err; i++)
		if (st->indent_text.p)
			buf_adds(out, st->indent_text);
		else
			for (int k = 0; k < st->indent; k++)
				buf_putc(out, ' ');
}

static void json_key(struct run *r, struct val k, const struct json_style *st, struct buf *out)
{
	struct buf b = {0};
	if (k.type == V_STR)
		json_text(k.s, st->ascii, out);
	else if (k.type == V_NONE || is_number(k)) {
		val_json(r, k, st, &b, 0);
		json_text(buf_str(&b), st->ascii, out);
	} else
		run_fail(r, ERR_INVALID, "keys must be str, int, float, bool or None, not %s",
			val_type_name(k));
	buf_free(&b);
}

static int key_order(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	return x->k.type == V_STR && y->k.type == V_STR ? str_cmp(x->k.s, y->k.s) : 0;
}

static void json_dict(struct run *r, const struct dict *d, const struct json_style *st,
	struct buf *out, unsigned depth)
{
	struct entry *e = d->e;
	if (st->sort && d->n) {
		e = run_alloc(r, d->n * sizeof *e);
		if (!e)
			return;
		memcpy(e, d->e, d->n * sizeof *e);
		qsort(e, d->n, sizeof *e, key_order);
	}
	buf_putc(out, '{');
	for (size_t i = 0; i < d->n && !r->err; i++) {
		if (i)
			buf_adds(out, st->item);
		json_break(st, out, depth + 1);
		json_key(r, e[i].k, st, out);
		buf_adds(out, st->key);
		val_json(r, e[i].v, st, out, depth + 1);
	}
	if (d->n)
		json_break(st, out, depth);
	buf_putc(out, '}');
}

void val_json(
	struct run *r, struct val v, const struct json_style *st, struct buf *out, unsigned depth)
{
	if (!run_step(r, 1) || out->err)
		return;
	if (depth > VALUE_DEPTH_MAX) {
		run_fail(r, ERR_LIMIT, "values nested too deeply");
		return;
	}
	switch (v.type) {
	case V_NONE:
		buf_addc(out, "null");
		return;
	case V_BOOL:
		buf_addc(out, v.b ? "true" : "false");
		return;
	case V_INT:
		buf_addf(out, "%lld", (long long)v.i);
		return;
	case V_FLOAT:
		if (isnan(v.f) || isinf(v.f))
			buf_addc(out, isnan(v.f) ? "NaN" : v.f < 0 ? "-Infinity" : "Infinity");
		else
			text_float(v.f, out);
		return;
	case V_STR:
		run_step(r, v.s.n / 16);
		json_text(v.s, st->ascii, out);
		return;
	case V_LIST:
		if (v.l->kind == LIST_LAZY || v.l->kind == LIST_VIEW)
			break;
		buf_putc(out, '[');
		for (size_t i = 0; i < v.l->n && !r->err; i++) {
			if (i)
				buf_adds(out, st->item);
			json_break(st, out, depth + 1);
			val_json(r, v.l->v[i], st, out, depth + 1);
		}
		if (v.l->n)
			json_break(st, out, depth);
		buf_putc(out, ']');
		return;
	case V_DICT:
		json_dict(r, v.d, st, out, depth);
		return;
	default:
		break;
	}
	run_fail(r, ERR_INVALID, "Object of type %s is not JSON serializable", val_type_name(v));
}

/* ---- taking apart ---- */

static struct val loop_attr(struct run *r, const struct loop *l, struct str name)
{
	size_t n = l->items->n, i = l->at;
	if (str_eq_c(name, "index"))
		return val_int((int64_t)i + 1);
	if (str_eq_c(name, "index0"))
		return val_int((int64_t)i);
	if (str_eq_c(name, "first"))
		return val_bool(i == 0);
	if (str_eq_c(name, "last"))
		return val_bool(i + 1 == n);
	if (str_eq_c(name, "length"))
		return val_int((int64_t)n);
	if (str_eq_c(name, "revindex"))
		return val_int((int64_t)(n - i));
	if (str_eq_c(name, "revindex0"))
		return val_int((int64_t)(n - i - 1));
	if (str_eq_c(name, "depth"))
		return val_int((int64_t)l->depth0 + 1);
	if (str_eq_c(name, "depth0"))
		return val_int((int64_t)l->depth0);
	if (str_eq_c(name, "previtem"))
		return i ? l->items->v[i - 1] : val_undef(S("there is no previous item"));
	if (str_eq_c(name, "nextitem"))
		return i + 1 < n ? l->items->v[i + 1] : val_undef(S("there is no next item"));
	return val_undef(name);
}

static struct val method(struct run *r, struct val v, struct str name)
{
	struct method *m = run_alloc(r, sizeof *m);
	if (!m)
		return val_undef(name);
	*m = (struct method){v, name};
	return (struct val){.type = V_METHOD, .m = m};
}

struct val val_attr(struct run *r, struct val v, struct str name)
{
	const struct val *found;
	switch (v.type) {
	case V_UNDEF:
		return run_fail(r, ERR_INVALID, "'%.*s' is undefined", STR_FMT(v.s));
	case V_LOOP:
		if (val_has_method(v, name))
			return method(r, v, name);
		return loop_attr(r, v.loop, name);
	case V_SPACE:
		found = dict_get(r, v.d, val_str(name));
		return found ? *found : val_undef(name);
	case V_DICT:
		if (val_has_method(v, name))
			return method(r, v, name);
		found = dict_get(r, v.d, val_str(name));
		return found ? *found : val_undef(name);
	default:
		return val_has_method(v, name) ? method(r, v, name) : val_undef(name);
	}
}

struct val val_item(struct run *r, struct val v, struct val key)
{
	if (v.type == V_UNDEF)
		return run_fail(r, ERR_INVALID, "'%.*s' is undefined", STR_FMT(v.s));
	if (v.type == V_DICT) {
		const struct val *found = dict_get(r, v.d, key);
		if (found)
			return *found;
	} else if ((v.type == V_LIST && v.l->kind <= LIST_TUPLE) || v.type == V_STR) {
		if (key.type == V_INT || key.type == V_BOOL) {
			int64_t n = val_length(r, v), i = as_int(key);
			i = i < 0 ? i + n : i;
			if (i < 0 || i >= n)
				return val_undef(S("index out of range"));
			if (v.type == V_LIST)
				return v.l->v[i];
			size_t from = text_offset(v.s, (size_t)i);
			uint32_t cp;
			return val_str(str_sub(
				v.s, from, from + utf8_decode(str_sub(v.s, from, v.s.n), &cp)));
		}
	}
	return key.type == V_STR ? val_attr(r, v, key.s) : val_undef(S("item"));
}

/* Python's rules for one end of a slice. */
static bool slice_end(
	struct run *r, struct val v, int64_t n, int64_t step, bool is_stop, int64_t *out)
{
	if (v.type == V_NONE) {
		*out = step > 0 ? (is_stop ? n : 0) : (is_stop ? -1 : n - 1);
		return true;
	}
	if (v.type != V_INT && v.type != V_BOOL) {
		run_fail(r, ERR_INVALID, "slice indices must be integers or None");
		return false;
	}
	int64_t i = as_int(v);
	if (i < 0)
		i = MAX(i + n, step > 0 ? 0 : -1);
	*out = MIN(i, step > 0 ? n : n - 1);
	return true;
}

struct val val_slice(struct run *r, struct val v, struct val from, struct val to, struct val step)
{
	if (v.type == V_UNDEF)
		return run_fail(r, ERR_INVALID, "'%.*s' is undefined", STR_FMT(v.s));
	if (v.type != V_STR && !(v.type == V_LIST && v.l->kind <= LIST_TUPLE))
		return val_undef(S("slice"));
	int64_t n = val_length(r, v), k = step.type == V_NONE ? 1 : as_int(step), a, b;
	if ((step.type != V_NONE && step.type != V_INT) || k == 0)
		return run_fail(r, ERR_INVALID, "slice step must be an integer and not zero");
	if (!slice_end(r, from, n, k, false, &a) || !slice_end(r, to, n, k, true, &b))
		return val_undef(S("slice"));
	if (v.type == V_STR && k == 1) {
		size_t i = text_offset(v.s, (size_t)a), e = text_offset(v.s, (size_t)MAX(a, b));
		return val_str(str_sub(v.s, i, e));
	}
	const struct list *l = val_items(r, v);
	struct val out = list_new(r, v.type == V_LIST ? v.l->kind : LIST_LIST);
	/* k may be as large as an int64: stop before the sum overflows. */
	for (int64_t i = a; l && (k > 0 ? i < b : i > b) && run_step(r, 1);) {
		list_add(r, out.l, l->v[i]);
		if (__builtin_add_overflow(i, k, &i))
			break;
	}
	if (v.type == V_LIST)
		return out;
	struct buf t = {.max = MEMORY_MAX};
	for (size_t i = 0; i < out.l->n; i++)
		buf_adds(&t, out.l->v[i].s);
	return val_str(run_buf(r, &t));
}

/* ---- arithmetic ---- */

static struct val overflow(struct run *r)
{
	return run_fail(r, ERR_INVALID, "a number beyond 64 bits");
}

static struct val int_power(struct run *r, int64_t base, int64_t e)
{
	int64_t v = 1;
	if (e < 0)
		return val_float(pow((double)base, (double)e));
	for (; e && run_step(r, 1); e--) {
		if (__builtin_mul_overflow(v, base, &v))
			return overflow(r);
		if (v == 0 || v == 1)
			break;
		if (v == -1 && base == -1)
			return val_int(e % 2 ? -1 : 1);
	}
	return val_int(v);
}

static struct val int_op(struct run *r, enum binary op, int64_t a, int64_t b)
{
	int64_t v = 0;
	if ((op == B_DIV || op == B_FLOOR || op == B_MOD) && b == 0)
		return run_fail(r, ERR_INVALID, "division by zero");
	switch (op) {
	case B_ADD:
		return __builtin_add_overflow(a, b, &v) ? overflow(r) : val_int(v);
	case B_SUB:
		return __builtin_sub_overflow(a, b, &v) ? overflow(r) : val_int(v);
	case B_MUL:
		return __builtin_mul_overflow(a, b, &v) ? overflow(r) : val_int(v);
	case B_DIV:
		return val_float((double)a / (double)b);
	case B_FLOOR:
		if (a == INT64_MIN && b == -1)
			return overflow(r);
		return val_int(a / b - (a % b != 0 && (a % b < 0) != (b < 0)));
	case B_MOD:
		if (b == -1)
			return val_int(0);
		v = a % b;
		return val_int(v != 0 && (v < 0) != (b < 0) ? v + b : v);
	case B_POW:
		return int_power(r, a, b);
	}
	return val_none();
}

static struct val float_op(struct run *r, enum binary op, double a, double b)
{
	if ((op == B_DIV || op == B_FLOOR || op == B_MOD) && b == 0)
		return run_fail(r, ERR_INVALID, "division by zero");
	switch (op) {
	case B_ADD:
		return val_float(a + b);
	case B_SUB:
		return val_float(a - b);
	case B_MUL:
		return val_float(a * b);
	case B_DIV:
		return val_float(a / b);
	case B_FLOOR:
		return val_float(floor(a / b));
	case B_MOD: {
		double m = fmod(a, b);
		return val_float(m != 0 && (m < 0) != (b < 0) ? m + b : m);
	}
	case B_POW:
		return val_float(pow(a, b));
	}
	return val_none();
}

static struct val repeat(struct run *r, struct val v, int64_t times)
{
	times = MAX(times, 0);
	size_t n = v.type == V_STR ? v.s.n : v.l->n;
	if (n && (uint64_t)times > MEMORY_MAX / n)
		return run_fail(r, ERR_LIMIT, "a repetition beyond %d bytes", MEMORY_MAX);
	run_step(r, n * (uint64_t)times / 16);
	if (v.type == V_STR) {
		struct buf b = {.max = MEMORY_MAX};
		for (int64_t i = 0; i < times && n; i++)
			buf_adds(&b, v.s);
		return val_str(run_buf(r, &b));
	}
	struct val out = list_new(r, v.l->kind);
	for (int64_t i = 0; i < times && n && !r->err; i++)
		for (size_t k = 0; k < n && run_step(r, 1); k++)
			list_add(r, out.l, v.l->v[k]);
	return out;
}

struct val val_binary(struct run *r, enum binary op, struct val a, struct val b)
{
	if (is_number(a) && is_number(b))
		return a.type == V_FLOAT || b.type == V_FLOAT
			       ? float_op(r, op, as_float(a), as_float(b))
			       : int_op(r, op, as_int(a), as_int(b));
	if (a.type == V_UNDEF || b.type == V_UNDEF) {
		struct str s = a.type == V_UNDEF ? a.s : b.s;
		return run_fail(r, ERR_INVALID, "'%.*s' is undefined", STR_FMT(s));
	}
	if (op == B_ADD && a.type == V_STR && b.type == V_STR) {
		struct buf t = {.max = MEMORY_MAX};
		run_step(r, (a.s.n + b.s.n) / 64);
		buf_adds(&t, a.s);
		buf_adds(&t, b.s);
		return val_str(run_buf(r, &t));
	}
	bool seq_a = a.type == V_LIST && a.l->kind <= LIST_TUPLE,
	     seq_b = b.type == V_LIST && b.l->kind <= LIST_TUPLE;
	if (op == B_ADD && seq_a && seq_b && a.l->kind == b.l->kind) {
		struct val out = list_new(r, a.l->kind);
		for (size_t i = 0; i < a.l->n && run_step(r, 1); i++)
			list_add(r, out.l, a.l->v[i]);
		for (size_t i = 0; i < b.l->n && run_step(r, 1); i++)
			list_add(r, out.l, b.l->v[i]);
		return out;
	}
	if (op == B_MUL && (a.type == V_STR || seq_a) && (b.type == V_INT || b.type == V_BOOL))
		return repeat(r, a, as_int(b));
	if (op == B_MUL && (b.type == V_STR || seq_b) && (a.type == V_INT || a.type == V_BOOL))
		return repeat(r, b, as_int(a));
	static const char *const signs[] = {"+", "-", "*", "/", "//", "%", "**"};
	return run_fail(r, ERR_INVALID, "unsupported operand type(s) for %s: '%s' and '%s'",
		signs[op], val_type_name(a), val_type_name(b));
}
