/* The search language: tokens, a recursive parser, and matching. */
#include "run/filter.h"
#include "base/clock.h"

#include <math.h>

enum { DEPTH_MAX = 32, TESTS_MAX = 200, LIST_MAX = 10000 };

enum token_kind {
	T_END,
	T_WORD,
	T_QUOTED,
	T_BACKTICK,
	T_NUMBER,
	T_OP,
	T_OPEN,
	T_CLOSE,
	T_COMMA,
	T_DOT
};

struct token {
	enum token_kind kind;
	struct str text; /* without quotes */
	struct str raw;
};

enum node_kind { NODE_TEST, NODE_AND, NODE_OR, NODE_NOT };

struct filter {
	enum node_kind kind;
	struct filter *left, *right; /* NOT: left */
	struct filter_name name;
	enum filter_op op;
	double number;
	struct str text, *list;
	double *numbers;
	size_t n_list;
};

struct parser {
	struct str all, rest;
	struct token now;
	const struct filter_words *words;
	struct arena *a;
	struct errtext *et;
	unsigned depth, tests;
};

/* ---- tokens ---- */

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
	       (unsigned char)c >= 0x80;
}

static enum err fail(struct parser *p, struct str at, const char *what)
{
	size_t column = (size_t)(at.p - p->all.p) + 1;
	struct str shown = str_sub(at, 0, 120);
	shown.n = utf8_complete_prefix(shown);
	return err_set(p->et, ERR_INVALID, "%s: '%.*s' (column %zu)", what, STR_FMT(shown), column);
}

static size_t number_length(struct str s)
{
	size_t i = 0, digits = 0;
	if (i < s.n && (s.p[i] == '-' || s.p[i] == '+'))
		i++;
	for (; i < s.n && (is_digit(s.p[i]) || s.p[i] == '.'); i++)
		digits += is_digit(s.p[i]);
	if (!digits)
		return 0;
	if (i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
		size_t k = i + 1;
		if (k < s.n && (s.p[k] == '-' || s.p[k] == '+'))
			k++;
		if (k < s.n && is_digit(s.p[k])) {
			while (k < s.n && is_digit(s.p[k]))
				k++;
			i = k;
		}
	}
	return i;
}

static enum err quoted(struct parser *p, char quote)
{
	struct str s = p->rest;
	size_t end = str_chr(str_sub(s, 1, s.n), quote);
	/* '' inside a text is a quote character: but MLflow takes both as they stand */
	while (quote == '\'' && end != STR_NONE && end + 2 < s.n && s.p[end + 2] == '\'') {
		size_t more = str_chr(str_sub(s, end + 3, s.n), quote);
		end = more == STR_NONE ? STR_NONE : end + 2 + more;
	}
	if (end == STR_NONE)
		return fail(p, s, "Invalid filter: a quote is not closed");
	p->now = (struct token){quote == '`' ? T_BACKTICK : T_QUOTED, str_sub(s, 1, end + 1),
		str_sub(s, 0, end + 2)};
	p->rest = str_sub(s, end + 2, s.n);
	return OK;
}

static enum err take(struct parser *p, enum token_kind kind, size_t n)
{
	p->now = (struct token){kind, str_sub(p->rest, 0, n), str_sub(p->rest, 0, n)};
	p->rest = str_sub(p->rest, n, p->rest.n);
	return OK;
}

/* after_dot: a key follows, in which more characters are allowed than in a word. */
static enum err next(struct parser *p, bool key)
{
	while (p->rest.n && is_space(p->rest.p[0]))
		p->rest = str_sub(p->rest, 1, p->rest.n);
	struct str s = p->rest;
	if (!s.n)
		return take(p, T_END, 0);
	char c = s.p[0], d = s.n > 1 ? s.p[1] : 0;
	if (c == '\'' || c == '"' || c == '`')
		return quoted(p, c);
	if (c == '(' || c == ')' || c == ',')
		return take(p, c == '(' ? T_OPEN : c == ')' ? T_CLOSE : T_COMMA, 1);
	if ((c == '<' || c == '>' || c == '!') && d == '=')
		return take(p, T_OP, 2);
	if (c == '<' || c == '>' || c == '=')
		return take(p, T_OP, 1);
	size_t n = 0;
	if (key) {
		while (n < s.n && (is_word(s.p[n]) || strchr("./:-", s.p[n])))
			n++;
		if (n)
			return take(p, T_WORD, n);
	}
	n = number_length(s);
	if (n)
		return take(p, T_NUMBER, n);
	if (c == '.')
		return take(p, T_DOT, 1);
	while (n < s.n && is_word(s.p[n]))
		n++;
	return n ? take(p, T_WORD, n) : fail(p, s, "Invalid clause(s) in filter string");
}

static bool is_keyword(const struct parser *p, const char *word)
{
	return p->now.kind == T_WORD && str_eq_nocase(p->now.text, str_c(word));
}

/* ---- names ---- */

static const struct {
	const char *word;
	enum filter_kind kind;
} types[] = {{"metric", FILTER_METRIC}, {"metrics", FILTER_METRIC}, {"param", FILTER_PARAM},
	{"params", FILTER_PARAM}, {"parameter", FILTER_PARAM}, {"parameters", FILTER_PARAM},
	{"tag", FILTER_TAG}, {"tags", FILTER_TAG}, {"attribute", FILTER_ATTRIBUTE},
	{"attributes", FILTER_ATTRIBUTE}, {"attr", FILTER_ATTRIBUTE}, {"run", FILTER_ATTRIBUTE},
	{"dataset", FILTER_DATASET}, {"datasets", FILTER_DATASET}};

static const char *const kind_words[] = {"attribute", "metric", "parameter", "tag", "dataset"};

static enum err unknown_attribute(struct parser *p, struct str key)
{
	struct buf b = {0};
	for (size_t i = 0; i < p->words->n_attributes; i++)
		if (!p->words->attributes[i].extended || !p->words->strict)
			buf_addf(&b, "%s'%s'", b.n ? ", " : "", p->words->attributes[i].names[0]);
	enum err e = err_set(p->et, ERR_INVALID,
		"Invalid attribute key '%.*s' specified. Valid keys are %s",
		STR_FMT(str_sub(key, 0, 100)), buf_c(&b));
	buf_free(&b);
	return e;
}

static enum err find_attribute(struct parser *p, struct str key, struct filter_name *out)
{
	const struct filter_words *w = p->words;
	for (unsigned i = 0; i < w->n_attributes; i++)
		for (size_t k = 0; k < 4 && w->attributes[i].names[k]; k++) {
			if (!str_eq_c(key, w->attributes[i].names[k]) ||
				(w->strict && w->attributes[i].extended))
				continue;
			*out = (struct filter_name){FILTER_ATTRIBUTE,
				str_c(w->attributes[i].names[0]), i, w->attributes[i].number};
			return OK;
		}
	return unknown_attribute(p, key);
}

static enum err resolve(struct parser *p, struct str type, struct str key, struct filter_name *out)
{
	size_t i = 0;
	if (!type.p)
		return find_attribute(p, key, out);
	while (i < ARRAY_LEN(types) &&
		!(str_eq_c(type, types[i].word) && (p->words->kinds >> types[i].kind & 1)))
		i++;
	if (i == ARRAY_LEN(types)) {
		struct buf b = {0};
		for (size_t k = 0; k < ARRAY_LEN(kind_words); k++)
			if (p->words->kinds >> k & 1)
				buf_addf(&b, "%s'%s'", b.n ? ", " : "", kind_words[k]);
		enum err e = err_set(p->et, ERR_INVALID,
			"Invalid entity type '%.*s'. Valid values are [%s]",
			STR_FMT(str_sub(type, 0, 100)), buf_c(&b));
		buf_free(&b);
		return e;
	}
	if (types[i].kind == FILTER_ATTRIBUTE)
		return find_attribute(p, key, out);
	if (types[i].kind == FILTER_DATASET && !str_eq_c(key, "name") && !str_eq_c(key, "digest") &&
		!str_eq_c(key, "context"))
		return err_set(p->et, ERR_INVALID,
			"Invalid dataset key '%.*s' specified. Valid keys are 'name', 'digest', "
			"'context'",
			STR_FMT(str_sub(key, 0, 100)));
	*out = (struct filter_name){types[i].kind, key, 0, types[i].kind == FILTER_METRIC};
	return OK;
}

/* The first token of a name is p->now; leaves the token behind the name there. */
static enum err name(struct parser *p, struct filter_name *out)
{
	struct token first = p->now;
	struct str type = {0}, key = first.text;
	if (first.kind != T_WORD && first.kind != T_BACKTICK && first.kind != T_QUOTED)
		return fail(p, first.raw.n ? first.raw : p->rest,
			"Invalid comparison clause. Expected an identifier");
	enum err e = OK;
	if (first.kind == T_WORD && p->rest.n && p->rest.p[0] == '.') {
		p->rest = str_sub(p->rest, 1, p->rest.n);
		e = next(p, true);
		if (!e && p->now.kind != T_WORD && p->now.kind != T_QUOTED &&
			p->now.kind != T_BACKTICK)
			e = fail(p, first.raw, "Invalid comparison clause. Expected a key after");
		type = first.text;
		key = p->now.text;
	}
	if (!e)
		e = resolve(p, type, key, out);
	return e ? e : next(p, false);
}

/* ---- values ---- */

static bool is_time(const struct parser *p, const struct filter_name *n)
{
	return !p->words->strict && n->kind == FILTER_ATTRIBUTE &&
	       p->words->attributes[n->attribute].time;
}

static enum err value(
	struct parser *p, const struct filter_name *n, double *number, struct str *text)
{
	struct token t = p->now;
	int64_t ms;
	if (t.kind == T_END)
		return err_set(p->et, ERR_INVALID,
			"Invalid comparison clause: a %s is expected behind %.*s",
			n->number ? "numeric value" : "quoted value",
			STR_FMT(str_sub(p->all, 0, 200)));
	if (n->number) {
		if (t.kind == T_QUOTED && is_time(p, n) && clock_parse_rfc3339(t.text, &ms))
			*number = (double)ms;
		else if (t.kind != T_NUMBER || !str_f64(t.text, number))
			return err_set(p->et, ERR_INVALID,
				"Expected numeric value type for %s. Found %.*s",
				n->kind == FILTER_METRIC ? "metric" : "numeric attribute",
				STR_FMT(str_sub(t.raw, 0, 100)));
	} else {
		if (t.kind != T_QUOTED)
			return err_set(p->et, ERR_INVALID,
				"Expected a quoted string value for %s (e.g. 'my-value'). Got "
				"value "
				"%.*s",
				kind_words[n->kind], STR_FMT(str_sub(t.raw, 0, 100)));
		*text = t.text;
	}
	return next(p, false);
}

static enum err list(struct parser *p, struct filter *t)
{
	size_t cap = 0;
	if (p->words->strict && t->name.kind != FILTER_DATASET &&
		!(t->name.kind == FILTER_ATTRIBUTE && p->words->attributes[t->name.attribute].list))
		return err_set(p->et, ERR_INVALID,
			"%s '%.*s' cannot be compared with a list: only run_id and dataset "
			"attributes "
			"can",
			kind_words[t->name.kind], STR_FMT(str_sub(t->name.key, 0, 100)));
	enum err e = next(p, false);
	if (!e && p->now.kind != T_OPEN)
		e = fail(p, p->now.raw, "Invalid list: '(' is expected");
	while (!e) {
		if (t->n_list == cap) {
			size_t more = cap ? cap * 2 : 8;
			struct str *v = arena_array_of(p->a, more, struct str);
			double *d = arena_array_of(p->a, more, double);
			if (!v || !d || more > LIST_MAX)
				return err_set(p->et, v && d ? ERR_INVALID : ERR_NOMEM,
					"a list in a filter has too many values");
			if (cap) {
				memcpy(v, t->list, cap * sizeof *v);
				memcpy(d, t->numbers, cap * sizeof *d);
			}
			t->list = v;
			t->numbers = d;
			cap = more;
		}
		e = next(p, false);
		if (!e)
			e = value(p, &t->name, &t->numbers[t->n_list], &t->list[t->n_list]);
		t->n_list++;
		if (!e && p->now.kind == T_CLOSE)
			return next(p, false);
		if (!e && p->now.kind != T_COMMA)
			e = fail(p, p->now.raw, "Invalid list: ',' or ')' is expected");
	}
	return e;
}

static enum err null_test(struct parser *p, struct filter *t)
{
	t->op = FILTER_NULL;
	enum err e = next(p, false);
	if (!e && is_keyword(p, "NOT")) {
		t->op = FILTER_NOT_NULL;
		e = next(p, false);
	}
	if (!e && !is_keyword(p, "NULL"))
		e = fail(p, p->now.raw, "Invalid clause(s) in filter string: NULL is expected");
	if (!e && p->words->strict && t->name.kind != FILTER_PARAM && t->name.kind != FILTER_TAG)
		e = err_set(p->et, ERR_INVALID,
			"IS NULL / IS NOT NULL is only supported for tags and params, not for '%s' "
			"'%.*s'",
			kind_words[t->name.kind], STR_FMT(str_sub(t->name.key, 0, 100)));
	return e ? e : next(p, false);
}

static bool op_of(const struct parser *p, enum filter_op *op)
{
	static const struct {
		const char *word;
		enum filter_op op;
	} ops[] = {{"=", FILTER_EQ}, {"!=", FILTER_NE}, {"<", FILTER_LT}, {"<=", FILTER_LE},
		{">", FILTER_GT}, {">=", FILTER_GE}, {"LIKE", FILTER_LIKE}, {"ILIKE", FILTER_ILIKE},
		{"CONTAINS", FILTER_CONTAINS}};
	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		if ((p->now.kind == T_OP || p->now.kind == T_WORD) &&
			str_eq_nocase(p->now.text, str_c(ops[i].word)) &&
			(ops[i].op != FILTER_CONTAINS || !p->words->strict)) {
			*op = ops[i].op;
			return true;
		}
	return false;
}

static bool op_fits(const struct filter *t)
{
	bool order = t->op >= FILTER_LT && t->op <= FILTER_GE;
	bool match = t->op >= FILTER_LIKE && t->op <= FILTER_CONTAINS;
	return t->name.number ? !match : !order;
}

static enum err test(struct parser *p, struct filter **out)
{
	struct filter *t = arena_new_of(p->a, struct filter);
	struct str start = p->now.raw;
	if (!t)
		return err_set(p->et, ERR_NOMEM, "no memory for a filter");
	if (++p->tests > TESTS_MAX)
		return err_set(
			p->et, ERR_INVALID, "a filter has more than %d comparisons", TESTS_MAX);
	enum err e = name(p, &t->name);
	if (e)
		return e;
	*out = t;
	if (is_keyword(p, "IS"))
		return null_test(p, t);
	if (is_keyword(p, "IN")) {
		t->op = FILTER_IN;
		return list(p, t);
	}
	if (is_keyword(p, "NOT")) {
		t->op = FILTER_NOT_IN;
		e = next(p, false);
		if (!e && !is_keyword(p, "IN"))
			e = fail(p, p->now.raw,
				"Invalid clause(s) in filter string: IN is expected");
		return e ? e : list(p, t);
	}
	if (!op_of(p, &t->op))
		return fail(p, start,
			p->now.kind == T_END ? "Invalid clause(s) in filter string"
					     : "Invalid comparison operator behind");
	struct str op = p->now.raw;
	e = next(p, false);
	if (!e)
		e = value(p, &t->name, &t->number, &t->text);
	if (!e && !op_fits(t))
		e = err_set(p->et, ERR_INVALID, "%s '%.*s' cannot be compared with '%.*s'",
			kind_words[t->name.kind], STR_FMT(str_sub(t->name.key, 0, 100)),
			STR_FMT(op));
	return e;
}

/* ---- the tree ---- */

static enum err either(struct parser *p, struct filter **out);

static enum err join(struct parser *p, enum node_kind kind, struct filter *left,
	struct filter *right, struct filter **out)
{
	struct filter *f = arena_new_of(p->a, struct filter);
	if (!f)
		return err_set(p->et, ERR_NOMEM, "no memory for a filter");
	f->kind = kind;
	f->left = left;
	f->right = right;
	*out = f;
	return OK;
}

static enum err term(struct parser *p, struct filter **out)
{
	enum err e;
	bool inverse = is_keyword(p, "NOT");
	if (p->words->strict && (inverse || p->now.kind == T_OPEN))
		return fail(p, p->now.raw, "Invalid clause(s) in filter string");
	if (!inverse && p->now.kind != T_OPEN)
		return test(p, out);
	if (++p->depth > DEPTH_MAX)
		return err_set(p->et, ERR_INVALID, "a filter is nested deeper than %d", DEPTH_MAX);
	e = next(p, false);
	if (!e && inverse) {
		struct filter *f = NULL;
		e = term(p, &f);
		if (!e)
			e = join(p, NODE_NOT, f, NULL, out);
	} else if (!e) {
		e = either(p, out);
		if (!e && p->now.kind != T_CLOSE)
			e = fail(p, p->now.raw, "Invalid filter: ')' is expected");
		if (!e)
			e = next(p, false);
	}
	p->depth--;
	return e;
}

static enum err both(struct parser *p, struct filter **out)
{
	enum err e = term(p, out);
	while (!e && is_keyword(p, "AND")) {
		struct filter *right = NULL;
		e = next(p, false);
		if (!e && p->words->strict && p->now.kind == T_END)
			return OK; /* MLflow lets a last AND stand */
		if (!e)
			e = term(p, &right);
		if (!e)
			e = join(p, NODE_AND, *out, right, out);
	}
	return e;
}

static enum err either(struct parser *p, struct filter **out)
{
	enum err e = both(p, out);
	while (!e && !p->words->strict && is_keyword(p, "OR")) {
		struct filter *right = NULL;
		e = next(p, false);
		if (!e)
			e = both(p, &right);
		if (!e)
			e = join(p, NODE_OR, *out, right, out);
	}
	return e;
}

enum err run_filter_parse(struct str text, const struct filter_words *words, struct arena *a,
	const struct filter **out, struct errtext *et)
{
	struct parser p = {.all = text, .rest = text, .words = words, .a = a, .et = et};
	struct filter *f = NULL;
	if (!text.n || !str_trim(text).n) {
		*out = NULL;
		return OK;
	}
	enum err e = next(&p, false);
	if (!e)
		e = either(&p, &f);
	if (!e && p.now.kind != T_END)
		e = fail(&p, p.now.raw, "Invalid clause(s) in filter string");
	if (!e)
		*out = f;
	return e;
}

enum err run_filter_parse_order(struct str text, const struct filter_words *words, struct arena *a,
	struct filter_name *out, bool *descending, struct errtext *et)
{
	struct parser p = {.all = text, .rest = text, .words = words, .a = a, .et = et};
	bool desc = false;
	struct filter_name n;
	enum err e = next(&p, false);
	if (!e)
		e = name(&p, &n);
	if (!e && p.now.kind == T_WORD) {
		desc = is_keyword(&p, "DESC");
		if (!desc && !is_keyword(&p, "ASC"))
			return err_set(et, ERR_INVALID,
				"Invalid ordering key in order_by clause '%.*s'.",
				STR_FMT(str_sub(text, 0, 200)));
		e = next(&p, false);
	}
	if (!e && p.now.kind != T_END)
		e = err_set(et, ERR_INVALID, "Invalid order_by clause '%.*s'. Could not be parsed.",
			STR_FMT(str_sub(text, 0, 200)));
	if (!e && n.kind == FILTER_DATASET)
		e = err_set(et, ERR_INVALID, "runs cannot be ordered by datasets");
	if (e)
		return e;
	*out = n;
	*descending = desc;
	return OK;
}

/* ---- matching ---- */

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* SQL's LIKE: % is any text, _ one character. Goes back to the last % only. */
static bool like(struct str s, struct str pattern, bool nocase)
{
	size_t i = 0, k = 0, star = STR_NONE, mark = 0;
	while (i < s.n) {
		if (k < pattern.n && pattern.p[k] == '%') {
			star = k++;
			mark = i;
		} else if (k < pattern.n && pattern.p[k] == '_') {
			uint32_t cp;
			i += utf8_decode(str_sub(s, i, s.n), &cp);
			k++;
		} else if (k < pattern.n && (nocase ? lower(s.p[i]) == lower(pattern.p[k])
						    : s.p[i] == pattern.p[k])) {
			i++, k++;
		} else if (star != STR_NONE) {
			k = star + 1;
			i = ++mark;
		} else {
			return false;
		}
	}
	while (k < pattern.n && pattern.p[k] == '%')
		k++;
	return k == pattern.n;
}

static bool text_test(const struct filter *t, struct str s)
{
	bool in = false;
	switch (t->op) {
	case FILTER_EQ:
		return str_eq(s, t->text);
	case FILTER_NE:
		return !str_eq(s, t->text);
	case FILTER_LIKE:
	case FILTER_ILIKE:
		return like(s, t->text, t->op == FILTER_ILIKE);
	case FILTER_CONTAINS:
		return !t->text.n || str_find_nocase(s, t->text) != STR_NONE;
	case FILTER_IN:
	case FILTER_NOT_IN:
		for (size_t i = 0; i < t->n_list && !in; i++)
			in = str_eq(s, t->list[i]);
		return in == (t->op == FILTER_IN);
	default:
		return false;
	}
}

static bool number_test(const struct filter *t, double v)
{
	bool in = false;
	switch (t->op) {
	case FILTER_EQ:
		return v == t->number;
	case FILTER_NE:
		return v != t->number;
	case FILTER_LT:
		return v < t->number;
	case FILTER_LE:
		return v <= t->number;
	case FILTER_GT:
		return v > t->number;
	case FILTER_GE:
		return v >= t->number;
	case FILTER_IN:
	case FILTER_NOT_IN:
		for (size_t i = 0; i < t->n_list && !in; i++)
			in = v == t->numbers[i];
		return in == (t->op == FILTER_IN);
	default:
		return false;
	}
}

static bool test_match(const struct filter *t, const struct filter_subject *s, const void *subject)
{
	struct str text;
	double v;
	if (t->op == FILTER_NULL || t->op == FILTER_NOT_NULL) {
		bool has = t->name.number ? s->number(subject, &t->name, &v)
					  : s->text(subject, &t->name, 0, &text);
		return has == (t->op == FILTER_NOT_NULL);
	}
	if (t->name.number)
		return s->number(subject, &t->name, &v) && number_test(t, v);
	for (size_t at = 0; s->text(subject, &t->name, at, &text); at++)
		if (text_test(t, text))
			return true;
	return false;
}

bool run_filter_match(const struct filter *f, const struct filter_subject *s, const void *subject)
{
	if (!f)
		return true;
	switch (f->kind) {
	case NODE_AND:
		return run_filter_match(f->left, s, subject) &&
		       run_filter_match(f->right, s, subject);
	case NODE_OR:
		return run_filter_match(f->left, s, subject) ||
		       run_filter_match(f->right, s, subject);
	case NODE_NOT:
		return !run_filter_match(f->left, s, subject);
	case NODE_TEST:
		break;
	}
	return test_match(f, s, subject);
}
