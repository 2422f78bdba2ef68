/* Payloads as JSONB, and conditions as SQL over them with the meaning of vector/cond.h.
 *
 * A condition becomes a jsonpath in strict mode, where nothing is unwrapped by itself; each step of
 * a path is guarded, so that evaluation never fails: ` ? (exists(@."a"))."a"` goes into a member,
 * ` ? (@.type() == "array")[*]` into elements. What JSONB would take to be the same is kept apart
 * when the payload is written:
 *
 *	5.0, 1e3    {"\x01r": 5}: in ranges, but equal to no integer
 *	a time      {"\x01s": "2026-01-02", "\x01t": microseconds}
 *	U+0000      "\x01z" and U+0001 "\x01\x01" in all texts, which JSONB cannot hold otherwise
 *
 * Numbers are written from what they are in memory (an integer of 64 bits or a double, 17 digits),
 * on both sides, so that PostgreSQL's decimals are ordered as those are. */
#include "collection/pgv_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	VALUES_MAX = 1024, /* of one match: more are decided in C */
	PATH_MAX_BYTES = 1 << 18,
};

/* ---- a statement ---- */

static bool room(struct pgv_sql *q)
{
	if (q->n < q->cap)
		return true;
	size_t cap = q->cap ? 2 * q->cap : 16;
	struct param *more = arena_array_of(q->a, cap, struct param);
	if (!more) {
		q->err = ERR_NOMEM;
		return false;
	}
	if (q->n)
		memcpy(more, q->params, q->n * sizeof *more);
	q->params = more;
	q->cap = cap;
	return true;
}

void pgv_bind(struct pgv_sql *q, struct param p)
{
	if (room(q))
		q->params[q->n++] = p;
}

void pgv_bind_text(struct pgv_sql *q, struct str text)
{
	struct str copy = arena_str(q->a, text);
	if (!copy.p)
		q->err = ERR_NOMEM;
	pgv_bind(q, P_TEXT(copy));
}

void pgv_bind_nums(struct pgv_sql *q, const uint64_t *nums, size_t n)
{
	struct buf b = {0};
	buf_putc(&b, '{');
	for (size_t i = 0; i < n; i++)
		buf_addf(&b, "%s%lld", i ? "," : "", (long long)nums[i]);
	buf_putc(&b, '}');
	if (b.err)
		q->err = ERR_NOMEM;
	else
		pgv_bind_text(q, buf_str(&b));
	buf_free(&b);
}

/* ---- texts and numbers ---- */

/* In quotes, as JSON and as jsonpath. */
static void put_text(struct buf *out, struct str s)
{
	struct buf plain = {0};
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] > 1)
			buf_putc(&plain, s.p[i]);
		else
			buf_addc(&plain, s.p[i] ? "\x01\x01" : "\x01z");
	json_escape(out, buf_str(&plain));
	if (plain.err)
		out->err = plain.err;
	buf_free(&plain);
}

static bool whole(double d)
{
	return d == trunc(d);
}

static void put_double(struct buf *out, double d)
{
	char text[400];
	if (d == 0)
		d = 0; /* no sign */
	snprintf(text, sizeof text, whole(d) ? "%.0f" : "%.17g", d);
	buf_addc(out, text);
}

static void put_number(struct buf *out, struct cond_number n)
{
	if (n.integral)
		buf_addf(out, "%lld", (long long)n.i);
	else
		put_double(out, n.d);
}

/* ---- payloads ---- */

static int by_text(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static bool named_twice(yyjson_val *o, struct buf *out)
{
	size_t n = yyjson_obj_size(o), i, max;
	struct str few[16], *names = n <= ARRAY_LEN(few) ? few : malloc(n * sizeof *names);
	yyjson_val *name, *v;
	bool twice = false;
	if (!names) {
		out->err = ERR_NOMEM;
		return false;
	}
	yyjson_obj_foreach(o, i, max, name, v) names[i] = json_val_str(name);
	if (n)
		qsort(names, n, sizeof *names, by_text);
	for (i = 1; i < n; i++)
		twice |= str_eq(names[i - 1], names[i]);
	if (names != few)
		free(names);
	return twice;
}

static void put_real(struct buf *out, double d)
{
	if (!whole(d)) {
		put_double(out, d);
		return;
	}
	buf_addc(out, "{\"\\u0001r\":");
	put_double(out, d);
	buf_putc(out, '}');
}

static void put_string(struct buf *out, struct str s)
{
	int64_t us;
	if (!cond_time_of(s, &us)) {
		put_text(out, s);
		return;
	}
	buf_addc(out, "{\"\\u0001s\":");
	put_text(out, s);
	buf_addf(out, ",\"\\u0001t\":%lld}", (long long)us);
}

/* As deep as json_parse lets it be. */
static void put_value(struct buf *out, yyjson_val *v, bool *odd)
{
	size_t i, n;
	yyjson_val *name, *e;
	if (yyjson_is_obj(v)) {
		*odd |= named_twice(v, out);
		buf_putc(out, '{');
		yyjson_obj_foreach(v, i, n, name, e)
		{
			if (i)
				buf_putc(out, ',');
			put_text(out, json_val_str(name));
			buf_putc(out, ':');
			put_value(out, e, odd);
		}
		buf_putc(out, '}');
	} else if (yyjson_is_arr(v)) {
		buf_putc(out, '[');
		yyjson_arr_foreach(v, i, n, e)
		{
			if (i)
				buf_putc(out, ',');
			put_value(out, e, odd);
		}
		buf_putc(out, ']');
	} else if (yyjson_is_str(v)) {
		put_string(out, json_val_str(v));
	} else if (yyjson_is_num(v)) {
		struct cond_number number = cond_number_of(v);
		if (number.integral)
			put_number(out, number);
		else
			put_real(out, number.d);
	} else {
		buf_addc(out, yyjson_is_bool(v) ? yyjson_get_bool(v) ? "true" : "false" : "null");
	}
}

enum err pgv_payload(struct str payload, struct buf *out, bool *odd, struct errtext *et)
{
	yyjson_doc *doc;
	enum err e = json_parse(payload.n ? payload : S("{}"), &doc, et);
	*odd = false;
	if (e)
		return e;
	put_value(out, yyjson_doc_get_root(doc), odd);
	yyjson_doc_free(doc);
	return out->err ? err_set(et, out->err, "no memory for a payload") : OK;
}

/* ---- conditions as predicates of jsonpath ---- */

/* Each appends a predicate that is true or false, never unknown. false: it cannot be said. */
static bool predicate(struct buf *out, const struct cond *c, const char *root);

static void steps(struct buf *out, struct str path)
{
	struct str name;
	uint64_t place;
	while (path.n)
		switch (cond_step(&path, &name)) {
		case 'k':
			buf_addc(out, " ? (exists(@.");
			put_text(out, name);
			buf_addc(out, ")).");
			put_text(out, name);
			break;
		case 'w':
			buf_addc(out, " ? (@.type() == \"array\")[*]");
			break;
		default:
			if (!str_u64(name, &place) || place > 1000000000)
				buf_addc(out, " ? (1 == 2)");
			else
				buf_addf(out, " ? (@.type() == \"array\" && @.size() > %llu)[%llu]",
					(unsigned long long)place, (unsigned long long)place);
		}
}

static void equals(struct buf *out, const struct cond_value *v)
{
	int64_t us;
	switch (v->type) {
	case COND_STRING:
		buf_addc(out, cond_time_of(v->s, &us) ? "@.\"\\u0001s\" == " : "@ == ");
		put_text(out, v->s);
		break;
	case COND_NUMBER:
		buf_addc(out, "@ == ");
		put_number(out, v->n);
		break;
	case COND_BOOL:
		buf_addf(out, "@ == %s", v->b ? "true" : "false");
	}
}

/* `what` lies in the range. */
static void in_range(struct buf *out, const char *what, const struct cond_range *r)
{
	buf_putc(out, '(');
	if (r->above) {
		buf_addf(out, "%s %s ", what, r->open_above ? ">" : ">=");
		put_number(out, r->from);
	}
	if (r->below) {
		buf_addf(out, "%s%s %s ", r->above ? " && " : "", what, r->open_below ? "<" : "<=");
		put_number(out, r->to);
	}
	if (!r->above && !r->below)
		buf_addf(out, "%s == %s", what, what);
	buf_putc(out, ')');
}

/* Of one value that is no array's whole. */
static void of_value(struct buf *out, const struct cond *c)
{
	if (c->kind == COND_EXCEPT)
		buf_addc(out, "@.type() != \"null\"");
	for (size_t i = 0; i < c->n_values; i++) {
		if (c->kind == COND_EXCEPT) {
			buf_addc(out, " && (!(");
			equals(out, &c->values[i]);
			buf_addc(out, ") || (");
			equals(out, &c->values[i]);
			buf_addc(out, ") is unknown)");
		} else {
			buf_addc(out, i ? " || " : "");
			equals(out, &c->values[i]);
		}
	}
	if (c->kind == COND_RANGE) {
		buf_addc(out, "(@.type() == \"number\" && ");
		in_range(out, "@", &c->range);
		buf_addc(out, ") || ");
		in_range(out, "@.\"\\u0001r\"", &c->range);
	} else if (c->kind == COND_TIMES) {
		in_range(out, "@.\"\\u0001t\"", &c->range);
	} else if (c->kind == COND_IN && !c->n_values) {
		buf_addc(out, "1 == 2");
	}
}

static void any_value(struct buf *out, const struct cond *c, const char *root)
{
	struct buf p = {0};
	of_value(&p, c);
	buf_addf(out, "exists(%s", root);
	steps(out, c->path);
	buf_addf(out,
		" ? ((@.type() != \"array\" && (%s)) || (@.type() == \"array\" && exists(@[*] ? "
		"(%s)))))",
		buf_c(&p), buf_c(&p));
	if (p.err)
		out->err = p.err;
	buf_free(&p);
}

static void count(struct buf *out, const struct cond *c, const char *root)
{
	buf_addf(out, "(exists(%s", root);
	steps(out, c->path);
	buf_addc(out, " ? ((@.type() == \"array\" && ");
	in_range(out, "@.size()", &c->range);
	buf_putc(out, ')');
	if (cond_in_range(&c->range, (struct cond_number){true, 1, 0}))
		buf_addc(out, " || (@.type() != \"array\" && @.type() != \"null\")");
	if (cond_in_range(&c->range, (struct cond_number){true, 0, 0})) {
		buf_addf(out, " || @.type() == \"null\")) || !(exists(%s", root);
		steps(out, c->path);
		buf_addc(out, ")))");
	} else {
		buf_addc(out, ")))");
	}
}

static bool nested(struct buf *out, const struct cond *c, const char *root)
{
	buf_addf(out, "exists(%s", root);
	steps(out, c->path);
	buf_addc(out, " ? (@.type() == \"array\")[*] ? (@.type() == \"object\" && "
		      "(exists(@.\"\\u0001r\")) is unknown && (exists(@.\"\\u0001s\")) is unknown "
		      "&& ");
	bool said = predicate(out, c->of[0], "@");
	buf_addc(out, "))");
	return said;
}

static bool joined(struct buf *out, const struct cond *c, const char *root, const char *by)
{
	buf_putc(out, '(');
	for (size_t i = 0; i < c->n_of; i++) {
		buf_addc(out, i ? by : "");
		if (!predicate(out, c->of[i], root))
			return false;
	}
	buf_putc(out, ')');
	return true;
}

static bool predicate(struct buf *out, const struct cond *c, const char *root)
{
	if (c->n_values > VALUES_MAX || out->n > PATH_MAX_BYTES)
		return false;
	switch (c->kind) {
	case COND_ALL:
		if (c->n_of)
			return joined(out, c, root, " && ");
		buf_addc(out, "(1 == 1)");
		return true;
	case COND_AT_LEAST:
		if (c->at_least == 1 && c->n_of)
			return joined(out, c, root, " || ");
		if (c->at_least == c->n_of && c->n_of)
			return joined(out, c, root, " && ");
		if (c->at_least && c->at_least <= c->n_of)
			return false; /* jsonpath does not count */
		buf_addc(out, c->at_least ? "(1 == 2)" : "(1 == 1)");
		return true;
	case COND_NOT:
		buf_addc(out, "!(");
		if (!predicate(out, c->of[0], root))
			return false;
		buf_putc(out, ')');
		return true;
	case COND_IN:
	case COND_EXCEPT:
	case COND_RANGE:
	case COND_TIMES:
		any_value(out, c, root);
		return true;
	case COND_COUNT:
		count(out, c, root);
		return true;
	case COND_EMPTY:
		buf_addf(out, "!(exists(%s", root);
		steps(out, c->path);
		buf_addc(out, " ? (@.type() != \"null\" && (@.type() != \"array\" || @.size() > "
			      "0))))");
		return true;
	case COND_NULL:
		buf_addf(out, "exists(%s", root);
		steps(out, c->path);
		buf_addc(out, " ? (@ == null || (@.type() == \"array\" && exists(@[*] ? (@ == "
			      "null)))))");
		return true;
	case COND_NESTED:
		return nested(out, c, root);
	case COND_TEXT:
	case COND_TEXT_ANY:
	case COND_ID:
		return false;
	}
	return false;
}

/* ---- conditions as SQL ---- */

/* Where it cannot be said: true when more may match than should, false when fewer may. */
static void cannot(struct pgv_sql *q, bool over, bool *exact)
{
	*exact = false;
	buf_addc(&q->text, over ? "TRUE" : "FALSE");
}

static void leaf(struct pgv_sql *q, const struct cond *c, bool over, bool *exact)
{
	struct buf path = {0};
	buf_addc(&path, "strict $ ? (");
	bool said = predicate(&path, c, "@");
	buf_putc(&path, ')');
	if (path.err) {
		q->err = ERR_NOMEM;
	} else if (said) {
		buf_addc(&q->text, "t.f @? CAST(? AS jsonpath)");
		pgv_bind_text(q, buf_str(&path));
	} else {
		cannot(q, over, exact);
	}
	buf_free(&path);
}

static void write_cond(struct pgv_sql *q, const struct cond *c, bool over, bool *exact)
{
	bool all = c->kind == COND_ALL || (c->n_of && c->at_least == c->n_of);
	switch (c->kind) {
	case COND_ALL:
	case COND_AT_LEAST:
		if (!c->n_of || !(all || c->at_least)) {
			buf_addc(&q->text, all || !c->at_least ? "TRUE" : "FALSE");
			return;
		}
		bool counted = !all && c->at_least != 1;
		buf_putc(&q->text, '(');
		for (size_t i = 0; i < c->n_of; i++) {
			buf_addc(&q->text, !i ? "" : counted ? " + " : all ? " AND " : " OR ");
			buf_addc(&q->text, counted ? "CASE WHEN " : "");
			write_cond(q, c->of[i], over, exact);
			buf_addc(&q->text, counted ? " THEN 1 ELSE 0 END" : "");
		}
		if (counted)
			buf_addf(&q->text, " >= %zu", c->at_least);
		buf_putc(&q->text, ')');
		return;
	case COND_NOT:
		buf_addc(&q->text, "(NOT (");
		write_cond(q, c->of[0], !over, exact);
		buf_addc(&q->text, ") IS TRUE)");
		return;
	case COND_ID:
		buf_addc(&q->text, "t.num = ANY (CAST(? AS bigint[]))");
		pgv_bind_nums(q, c->ids, c->n_ids);
		return;
	default:
		leaf(q, c, over, exact);
	}
}

void pgv_cond(struct pgv_sql *q, const struct cond *c, bool *exact)
{
	*exact = true;
	write_cond(q, c, true, exact);
	if (q->text.err)
		q->err = q->text.err;
}
