/* The filter language: names, operators and values: one test, in both dialects. */
#include "base/clock.h"
#include "text/filter_int.h"

#include <stdlib.h>

/* PATTERNS_MAX: one may take a third of a second until it is refused. */
enum { TESTS_MAX = 1000, LIST_MAX = 10000, PATTERNS_MAX = 10, WILD_PART_MAX = 256 };

/* ---- names ---- */

static bool same(const struct parser *p, struct str given, const char *name)
{
	return p->l->strict ? str_eq_c(given, name) : str_eq_nocase(given, str_c(name));
}

bool filter_hidden(const struct parser *p, unsigned flags)
{
	return p->l->strict && (flags & FILTER_EXTENDED);
}

static void list_names(const struct parser *p, unsigned without, struct buf *b)
{
	bool more = false;
	for (size_t k = 0; k < p->l->n_groups; k++) {
		const struct filter_group *g = &p->l->groups[k];
		const char *name = g->names[1] ? g->names[1] : g->names[0];
		if (g->flags & without)
			continue;
		for (size_t i = 0; i < g->n_keys; i++) {
			if (g->keys[i].flags & without)
				continue;
			buf_addf(b, "%s%s%s%s", more ? ", " : "", k ? name : "", k ? "." : "",
				g->keys[i].names[0]);
			more = true;
		}
		if (!g->keys) {
			buf_addf(b, "%s%s.KEY", more ? ", " : "", name);
			more = true;
		}
	}
}

static enum err unknown_name(struct parser *p, struct str type, struct str key, unsigned without)
{
	struct buf b = {0};
	p->wrong = (size_t)(p->now.raw.p - p->all.p);
	buf_addf(&b, "%s%.*s%s%.*s is not known here",
		p->l->rules ? "" : "the filter: ", STR_FMT(str_sub(type, 0, 100)),
		type.n ? "." : "", STR_FMT(str_sub(key, 0, 100)));
	if (!p->l->rules)
		buf_addf(&b, " (column %zu)", p->wrong + 1);
	buf_addc(&b, "; known are ");
	list_names(p, without, &b);
	enum err e = err_set(p->et, ERR_INVALID, "%s", buf_c(&b));
	buf_free(&b);
	return e;
}

/* Whether type.key lies in the group of this name, which may have a "." in it. */
static bool in_group(
	const struct parser *p, const char *name, struct str type, struct str key, struct str *rest)
{
	struct str all = str_c(name), head;
	str_next(&all, '.', &head);
	*rest = key;
	char first[32];
	if (head.n >= sizeof first)
		return false;
	memcpy(first, head.p, head.n);
	first[head.n] = 0;
	if (!same(p, type, first))
		return false;
	if (strchr(name, '.')) {
		if (key.n <= all.n || !same(p, str_sub(key, 0, all.n), all.p) ||
			key.p[all.n] != '.')
			return false;
		*rest = str_sub(key, all.n + 1, key.n);
	}
	return true;
}

static const struct filter_group *find_group(
	const struct parser *p, struct str type, struct str *key)
{
	const struct filter_group *best = NULL;
	struct str rest, best_rest = *key;
	for (size_t i = 0; i < p->l->n_groups; i++) {
		const struct filter_group *g = &p->l->groups[i];
		for (size_t k = 0; k < ARRAY_LEN(g->names) && g->names[k]; k++)
			if (!filter_hidden(p, g->flags) &&
				in_group(p, g->names[k], type, *key, &rest) &&
				(!best || rest.n < best_rest.n)) {
				best = g;
				best_rest = rest;
			}
	}
	*key = best_rest;
	return best;
}

enum err filter_resolve(
	struct parser *p, const struct written *w, unsigned without, struct filter_name *out)
{
	struct str key = w->key;
	const struct filter_group *g = w->type.n ? find_group(p, w->type, &key) : p->l->groups;
	if (!g)
		return p->l->strict ? filter_mlflow_unknown(p, NULL, w->type, without)
				    : unknown_name(p, w->type, w->key, without);
	struct filter_name n = {.group = (unsigned)(g - p->l->groups),
		.index = NO_KEY,
		.key = key,
		.type = g->type};
	n.flags = g->flags;
	for (unsigned i = 0; i < g->n_keys && n.index == NO_KEY; i++)
		for (size_t k = 0; k < ARRAY_LEN(g->keys[i].names) && g->keys[i].names[k]; k++)
			if (same(p, key, g->keys[i].names[k]) &&
				!filter_hidden(p, g->keys[i].flags)) {
				n.index = i;
				n.type = g->keys[i].type;
				n.flags |= g->keys[i].flags;
				break;
			}
	if ((g->keys && n.index == NO_KEY) || (n.flags & without) || !key.n)
		return p->l->strict ? filter_mlflow_unknown(p, g, key, without)
				    : unknown_name(p, w->type, w->key, without);
	*out = n;
	return OK;
}

bool filter_begins_name(const struct parser *p)
{
	return p->now.kind == T_WORD || p->now.kind == T_BACKTICK || p->now.kind == T_QUOTED;
}

/* What stands behind "group.": a key, or words and "." before a key in quotes. */
static enum err key_of(struct parser *p, struct str *key)
{
	bool blank = p->rest.n && strchr(" \t\r\n", p->rest.p[0]);
	enum err e = filter_next(p, true);
	if (!e && (blank || !filter_begins_name(p)))
		e = p->l->strict ? filter_invalid_clause(p) : filter_expected(p, "a key");
	*key = p->now.text;
	if (e || p->now.kind != T_WORD || !str_ends(*key, S(".")) || !p->rest.n ||
		!strchr("`\"'", p->rest.p[0]))
		return e;
	e = filter_next(p, true);
	*key = arena_fmt(p->a, "%.*s%.*s", STR_FMT(*key), STR_FMT(p->now.text));
	return e || key->p ? e : filter_no_memory(p);
}

enum err filter_read_words(struct parser *p, struct written *w)
{
	struct token first = p->now;
	*w = (struct written){{0}, first.text, first};
	enum err e = OK;
	if (p->rest.n && p->rest.p[0] == '.') {
		p->rest = str_sub(p->rest, 1, p->rest.n);
		w->type = first.text;
		e = key_of(p, &w->key);
	}
	return e ? e : filter_next(p, false);
}

enum err filter_read_name(struct parser *p, unsigned without, struct filter_name *out)
{
	struct written w;
	if (!filter_begins_name(p))
		return filter_expected(p, "a name");
	enum err e = filter_read_words(p, &w);
	if (e)
		return e;
	struct token behind = p->now;
	p->now = w.first;
	e = filter_resolve(p, &w, without, out);
	p->now = behind;
	return e;
}

/* ---- operators ---- */

const char *const filter_op_words[] = {
	"=", "!=", "<", "<=", ">", ">=", "LIKE", "ILIKE", "RLIKE", "CONTAINS", "IN", "IS NULL"};

bool filter_ordering(enum filter_op op)
{
	return op >= FILTER_LT && op <= FILTER_GE;
}

/* Reads what stands between name and value. */
enum err filter_read_operator(struct parser *p, struct filter_test *t, bool *known)
{
	enum err e = OK;
	*known = true;
	if (filter_keyword(p, "IS")) {
		t->op = FILTER_NULL;
		e = filter_next(p, false);
		t->negated = !e && filter_keyword(p, "NOT");
		if (t->negated)
			e = filter_next(p, false);
		if (!e && !filter_keyword(p, "NULL"))
			return p->l->strict ? filter_invalid_clause(p) : filter_expected(p, "NULL");
		return e ? e : filter_next(p, false);
	}
	if (filter_keyword(p, "NOT")) {
		t->negated = true;
		e = filter_next(p, false);
	}
	for (unsigned i = 0; !e && i < FILTER_NULL; i++)
		if ((p->now.kind == T_OP || p->now.kind == T_WORD) &&
			str_eq_nocase(p->now.text, str_c(filter_op_words[i])) &&
			!(p->l->strict && i == FILTER_CONTAINS) &&
			(!t->negated || i >= (p->l->strict ? FILTER_IN : FILTER_LIKE))) {
			t->op = i;
			return filter_next(p, false);
		}
	if (!e && p->now.kind == T_OP && !p->l->strict && str_eq_c(p->now.text, "<>")) {
		t->op = FILTER_NE;
		return filter_next(p, false);
	}
	*known = false;
	return e;
}

/* ---- values ---- */

/* A number against the text of a key that may be any: its value may well be one. MLflow has that
 * for assessments, and there with < and so on only. */
static bool takes_number(const struct parser *p, const struct filter_test *t)
{
	if (t->name.type != FILTER_TEXT)
		return true;
	if (p->l->strict)
		return filter_ordering(t->op) &&
		       (filter_mlflow_ops(p, &t->name) & FILTER_OPS_ORDER);
	return t->name.index == NO_KEY && !p->l->rules && t->op != FILTER_CONTAINS &&
	       !(t->op >= FILTER_LIKE && t->op <= FILTER_RLIKE);
}

/* In MLflow's language a text behind < is read: it is the operator then that is refused. */
static bool takes_text(const struct parser *p, const struct filter_test *t)
{
	bool orders = p->l->strict && !(filter_mlflow_ops(p, &t->name) & FILTER_OPS_ORDER);
	return t->name.type == FILTER_TEXT && (orders || !filter_ordering(t->op));
}

/* One value, which p->now is. */
enum err filter_read_value(
	struct parser *p, struct filter_test *t, double *number, struct str *text)
{
	struct token *v = &p->now;
	int64_t ms;
	bool truth = filter_keyword(p, "true") || filter_keyword(p, "false");
	if (v->kind == T_NUMBER && takes_number(p, t) && str_f64(v->text, number))
		t->numeric = true;
	else if (v->kind == T_QUOTED && t->name.type == FILTER_TIME && !p->l->strict &&
		 clock_parse_rfc3339(v->text, &ms)) {
		*number = (double)ms;
		t->numeric = true;
	} else if (takes_text(p, t) && !t->numeric &&
		   (v->kind == T_QUOTED || (truth && !p->l->strict && t->name.index == NO_KEY)))
		*text = v->text;
	else if (p->l->strict && p->l->of == FILTER_OF_LOGGED && takes_text(p, t) &&
		 (v->kind == T_NUMBER || v->kind == T_WORD))
		*text = v->raw;
	else if (p->l->strict)
		return filter_mlflow_value(p, t);
	else
		return filter_expected(
			p, t->name.type == FILTER_TIME
				   ? "a time such as '2026-11-01', or a numeric value,"
			   : t->name.type == FILTER_NUMBER || t->numeric ? "a numeric value"
			   : filter_ordering(t->op) ? "a numeric value behind this operator"
						    : "a text in quotes, such as 'prod',");
	return filter_next(p, false);
}

static int by_text(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static int by_number(const void *pa, const void *pb)
{
	double a = *(const double *)pa, b = *(const double *)pb;
	return a < b ? -1 : a > b;
}

static enum err grow_list(struct parser *p, struct filter_test *t, size_t *cap)
{
	size_t more = *cap ? MIN(*cap * 2, (size_t)LIST_MAX) : 8;
	struct str *v = arena_array_of(p->a, more, struct str);
	double *d = arena_array_of(p->a, more, double);
	if (!v || !d)
		return filter_no_memory(p);
	if (t->n_list >= LIST_MAX)
		return err_set(
			p->et, ERR_INVALID, "a list in a filter has more than %d values", LIST_MAX);
	if (*cap) {
		memcpy(v, t->list, *cap * sizeof *v);
		memcpy(d, t->numbers, *cap * sizeof *d);
	}
	t->list = v;
	t->numbers = d;
	*cap = more;
	return OK;
}

static enum err bad_list(struct parser *p, const char *want)
{
	return p->l->strict ? filter_mlflow_list(p, NULL) : filter_expected(p, want);
}

enum err filter_read_list(struct parser *p, struct filter_test *t)
{
	size_t cap = 0;
	struct token open = p->now;
	enum err e = OK;
	if (p->now.kind != T_OPEN)
		return bad_list(p, "( behind IN");
	for (;;) {
		if (t->n_list == cap)
			e = grow_list(p, t, &cap);
		if (!e)
			e = filter_next(p, false);
		if (!e && p->l->strict && p->now.kind == T_CLOSE && t->n_list)
			break; /* Python's ('a',) */
		if (!e && p->l->strict && p->now.kind != T_QUOTED)
			e = filter_mlflow_list(p, &open);
		if (!e)
			e = filter_read_value(p, t, &t->numbers[t->n_list], &t->list[t->n_list]);
		if (e)
			return e;
		t->n_list++;
		if (p->now.kind == T_CLOSE)
			break;
		if (p->now.kind != T_COMMA)
			return bad_list(p, ", or )");
	}
	t->numeric ? qsort(t->numbers, t->n_list, sizeof *t->numbers, by_number)
		   : qsort(t->list, t->n_list, sizeof *t->list, by_text);
	return filter_next(p, false);
}

/* "(?i)" at the beginning: any case. */
enum err filter_read_pattern(struct parser *p, struct filter_test *t)
{
	bool any_case = str_starts(t->text, S("(?i)"));
	struct str pattern = any_case ? str_sub(t->text, 4, t->text.n) : t->text;
	if (++p->patterns > PATTERNS_MAX)
		return err_set(
			p->et, ERR_INVALID, "a filter has more than %d patterns", PATTERNS_MAX);
	struct errtext why;
	enum err e = dfa_regex(
		p->a, pattern, DFA_SEARCH | (any_case ? DFA_CASELESS : 0), &t->pattern, &why);
	if (e == ERR_NOMEM)
		return filter_no_memory(p);
	return e ? err_set(p->et, ERR_INVALID, "the pattern '%.*s': %s",
			   STR_FMT(filter_shown(t->text)), why.msg)
		 : OK;
}

/* A part between two % is looked for in linear time when there is no _ in it; else every character
 * may begin it, so that it has to be short. (Rules are written by administrators.) */
static enum err check_like(struct parser *p, const struct filter_test *t)
{
	struct str rest = t->text, part;
	while (!p->l->rules && str_next(&rest, '%', &part))
		if (part.n > WILD_PART_MAX && str_chr(part, '_') != STR_NONE)
			return err_set(p->et, ERR_INVALID,
				"a part of a LIKE with _ in it has at most %d bytes",
				WILD_PART_MAX);
	return OK;
}

/* ---- one test ---- */

static bool op_fits(const struct parser *p, const struct filter_test *t)
{
	bool text = t->name.type == FILTER_TEXT;
	if (p->l->rules &&
		(filter_ordering(t->op) || t->op == FILTER_CONTAINS || t->op == FILTER_NULL ||
			t->op == FILTER_ILIKE || t->op == FILTER_RLIKE))
		return false;
	return text || t->op < FILTER_LIKE || t->op >= FILTER_IN;
}

static enum err wrong_operator(struct parser *p, const struct filter_test *t)
{
	return filter_expected(p, p->l->rules ? "=, !=, like, in or not in"
				  : t->name.type == FILTER_TEXT
					  ? "an operator: = != < <= > >= LIKE ILIKE RLIKE CONTAINS "
					    "IN, IS NULL"
					  : "an operator: = != < <= > >= IN, IS NULL");
}

static enum err wide_test(struct parser *p, struct filter_test *t)
{
	enum err e = filter_read_name(p, FILTER_ORDER_ONLY, &t->name);
	if (e)
		return e;
	struct token op = p->now;
	bool known;
	e = filter_read_operator(p, t, &known);
	if (!e && (!known || !op_fits(p, t))) {
		p->now = op;
		return wrong_operator(p, t);
	}
	if (e || t->op == FILTER_NULL)
		return e;
	e = t->op == FILTER_IN ? filter_read_list(p, t)
			       : filter_read_value(p, t, &t->number, &t->text);
	if (!e && t->op == FILTER_RLIKE)
		e = filter_read_pattern(p, t);
	return e;
}

enum err filter_read_test(struct parser *p, struct filter_test *t)
{
	if (++p->tests > TESTS_MAX)
		return err_set(
			p->et, ERR_INVALID, "a filter has more than %d comparisons", TESTS_MAX);
	enum err e = p->l->strict ? filter_mlflow_test(p, t) : wide_test(p, t);
	if (!e && (t->op == FILTER_LIKE || t->op == FILTER_ILIKE))
		e = check_like(p, t);
	if (!e) {
		p->f->groups |= 1u << t->name.group;
		if (t->name.index < 64)
			p->f->keys[t->name.group] |= (uint64_t)1 << t->name.index;
	}
	return e;
}
