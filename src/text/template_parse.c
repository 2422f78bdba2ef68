/* The tree. Precedence, loosest first: if-else, or, and, not, comparisons, + -, ~, * / // %, **,
 * sign, then postfix (attributes, items, calls) and filters and tests. */
#include "text/template_int.h"

struct parser {
	const struct token *t;
	struct arena *arena;
	struct str source;
	struct errtext *et;
	enum err err;
	unsigned depth, loops;
};

static struct node *fail(struct parser *p, uint32_t at, const char *fmt, ...) PRINTF_LIKE(3, 4);
static struct node *fail(struct parser *p, uint32_t at, const char *fmt, ...)
{
	if (!p->err) {
		unsigned line, column;
		template_place(p->source, at, &line, &column);
		va_list ap;
		char msg[256];
		va_start(ap, fmt);
		vsnprintf(msg, sizeof msg, fmt, ap);
		va_end(ap);
		p->err = err_set(
			p->et, ERR_INVALID, "template: line %u column %u: %s", line, column, msg);
	}
	return NULL;
}

static struct node *mk(struct parser *p, enum node_kind kind, uint32_t at)
{
	struct node *n = arena_new_of(p->arena, struct node);
	if (!n) {
		p->err = p->err ? p->err : err_set(p->et, ERR_NOMEM, "template: out of memory");
		return NULL;
	}
	n->kind = kind;
	n->at = at;
	return n;
}

/* kids grow by doubling within the arena. */
static void kid(struct parser *p, struct node *n, struct node *k)
{
	if (!n || p->err)
		return;
	if ((n->n & (n->n - 1)) == 0) {
		uint32_t cap = n->n ? n->n * 2 : 1;
		struct node **kids = arena_array_of(p->arena, cap, struct node *);
		struct str *names = arena_array_of(p->arena, cap, struct str);
		uint8_t *ops = arena_array_of(p->arena, cap, uint8_t);
		if (!kids || !names || !ops) {
			p->err = err_set(p->et, ERR_NOMEM, "template: out of memory");
			return;
		}
		if (n->n) {
			memcpy(kids, n->kids, n->n * sizeof *kids);
			memcpy(names, n->names, n->n * sizeof *names);
			memcpy(ops, n->ops, n->n);
		}
		n->kids = kids;
		n->names = names;
		n->ops = ops;
	}
	n->kids[n->n++] = k;
}

static bool is_op(const struct parser *p, const char *op)
{
	return p->t->type == T_OP && str_eq_c(p->t->s, op);
}

static bool is_word(const struct parser *p, const char *word)
{
	return p->t->type == T_NAME && str_eq_c(p->t->s, word);
}

static bool take_op(struct parser *p, const char *op)
{
	bool yes = is_op(p, op);
	p->t += yes;
	return yes;
}

static bool take_word(struct parser *p, const char *word)
{
	bool yes = is_word(p, word);
	p->t += yes;
	return yes;
}

static void want_op(struct parser *p, const char *op)
{
	if (!p->err && !take_op(p, op))
		fail(p, p->t->at, "\"%s\" is expected", op);
}

static void want_word(struct parser *p, const char *word)
{
	if (!p->err && !take_word(p, word))
		fail(p, p->t->at, "\"%s\" is expected", word);
}

static struct str want_name(struct parser *p)
{
	if (p->t->type != T_NAME) {
		fail(p, p->t->at, "a name is expected");
		return (struct str){0};
	}
	return (p->t++)->s;
}

static struct node *expression(struct parser *p);
static struct node *or_expr(struct parser *p);
static struct node *unary(struct parser *p, bool filters);

static struct node *constant(struct parser *p, uint32_t at, struct val v)
{
	struct node *n = mk(p, N_CONST, at);
	if (n)
		n->v = v;
	return n;
}

/* A list of expressions up to `end`, which is taken. */
static void items(struct parser *p, struct node *n, const char *end)
{
	while (!p->err && !take_op(p, end)) {
		kid(p, n, expression(p));
		if (!is_op(p, end))
			want_op(p, ",");
	}
}

static struct node *dict_literal(struct parser *p, uint32_t at)
{
	struct node *n = mk(p, N_DICT, at); /* kids: key, value, key, value */
	while (!p->err && !take_op(p, "}")) {
		kid(p, n, expression(p));
		want_op(p, ":");
		kid(p, n, expression(p));
		if (!is_op(p, "}"))
			want_op(p, ",");
	}
	return n;
}

static bool ends_tuple(const struct parser *p)
{
	return p->t->type == T_VAR_END || p->t->type == T_BLOCK_END || p->t->type == T_EOF ||
	       is_op(p, ")") || is_op(p, "=") || is_word(p, "in") || is_word(p, "recursive") ||
	       is_word(p, "if");
}

/* One expression, or a tuple when commas follow. cond: "a if b" may stand in it. */
static struct node *tuple(struct parser *p, bool cond, bool explicit_parens)
{
	uint32_t at = p->t->at;
	if (explicit_parens && is_op(p, ")"))
		return mk(p, N_TUPLE, at);
	struct node *first = cond ? expression(p) : or_expr(p);
	if (p->err || !is_op(p, ","))
		return first;
	struct node *n = mk(p, N_TUPLE, at);
	kid(p, n, first);
	while (!p->err && take_op(p, ",") && !ends_tuple(p))
		kid(p, n, cond ? expression(p) : or_expr(p));
	return n;
}

static struct node *name_or_constant(struct parser *p)
{
	const struct token *t = p->t++;
	if (str_eq_c(t->s, "true") || str_eq_c(t->s, "True"))
		return constant(p, t->at, val_bool(true));
	if (str_eq_c(t->s, "false") || str_eq_c(t->s, "False"))
		return constant(p, t->at, val_bool(false));
	if (str_eq_c(t->s, "none") || str_eq_c(t->s, "None"))
		return constant(p, t->at, val_none());
	struct node *n = mk(p, N_NAME, t->at);
	if (n)
		n->s = t->s;
	return n;
}

static struct node *string_literal(struct parser *p)
{
	const struct token *t = p->t++;
	struct str s = t->s;
	while (p->t->type == T_STR) {
		s = arena_fmt(p->arena, "%.*s%.*s", STR_FMT(s), STR_FMT(p->t->s));
		if (!s.p)
			return fail(p, t->at, "too long a string");
		p->t++;
	}
	return constant(p, t->at, val_str(s));
}

static struct node *primary(struct parser *p)
{
	const struct token *t = p->t;
	struct node *n;
	switch (t->type) {
	case T_NAME:
		return name_or_constant(p);
	case T_STR:
		return string_literal(p);
	case T_INT:
		p->t++;
		return constant(p, t->at, val_int(t->i));
	case T_FLOAT:
		p->t++;
		return constant(p, t->at, val_float(t->f));
	default:
		break;
	}
	if (take_op(p, "(")) {
		n = tuple(p, true, true);
		want_op(p, ")");
		return n;
	}
	if (take_op(p, "[")) {
		n = mk(p, N_LIST, t->at);
		items(p, n, "]");
		return n;
	}
	if (take_op(p, "{"))
		return dict_literal(p, t->at);
	return fail(p, t->at, "an expression is expected");
}

/* Arguments behind "(": kids, the last n_names of them by name. */
static void arguments(struct parser *p, struct node *n)
{
	while (!p->err && !take_op(p, ")")) {
		/* ops: 1 for *list, 2 for **mapping, which counts as given by name. */
		int spread = take_op(p, "**") ? 2 : take_op(p, "*") ? 1 : 0;
		bool named = !spread && p->t->type == T_NAME && p->t[1].type == T_OP &&
			     str_eq_c(p->t[1].s, "=");
		struct str name = {0};
		if (named) {
			name = p->t->s;
			p->t += 2;
		} else if (n && n->n_names && spread != 2) {
			fail(p, p->t->at, "a positional argument after one by name");
		}
		kid(p, n, expression(p));
		if (n && !p->err) {
			n->ops[n->n - 1] = (uint8_t)spread;
			n->names[n->n - 1] = name;
			n->n_names += named || spread == 2;
		}
		if (n && n->n > ARGS_MAX)
			fail(p, p->t->at, "more than %d arguments", ARGS_MAX);
		if (!is_op(p, ")"))
			want_op(p, ",");
	}
}

static struct node *subscript(struct parser *p, struct node *of, uint32_t at)
{
	/* N_ITEM: a[b]. N_SLICE: a[kids 0, 1, 2], where NULL is left out. */
	struct node *part[3] = {0};
	unsigned k = 0;
	bool slice = false;
	while (!p->err && !is_op(p, "]")) {
		if (take_op(p, ":")) {
			slice = true;
			if (++k > 2)
				return fail(p, p->t->at, "a slice has three parts");
		} else if (!part[k]) {
			part[k] = expression(p);
		} else {
			return fail(p, p->t->at, "\"]\" is expected");
		}
	}
	want_op(p, "]");
	if (!slice && !part[0])
		return fail(p, at, "an index is expected");
	struct node *n = mk(p, slice ? N_SLICE : N_ITEM, at);
	if (!n)
		return NULL;
	n->a = of;
	n->b = part[0];
	for (unsigned i = 0; i < 3 && slice; i++)
		kid(p, n, part[i]);
	return n;
}

static struct node *call(struct parser *p, struct node *of, uint32_t at)
{
	struct node *n = mk(p, N_CALL, at);
	if (n)
		n->a = of;
	arguments(p, n);
	return n;
}

static struct node *postfix(struct parser *p, struct node *n)
{
	while (!p->err) {
		const struct token *t = p->t;
		if (take_op(p, ".")) {
			struct node *m = mk(p, p->t->type == T_INT ? N_ITEM : N_ATTR, t->at);
			if (!m)
				return NULL;
			m->a = n;
			if (p->t->type == T_INT)
				m->b = constant(p, t->at, val_int((p->t++)->i));
			else
				m->s = want_name(p);
			n = m;
		} else if (take_op(p, "[")) {
			n = subscript(p, n, t->at);
		} else if (take_op(p, "(")) {
			n = call(p, n, t->at);
		} else {
			break;
		}
	}
	return n;
}

/* "| name(args)" behind the bar: a is what is filtered. */
static struct node *filter(struct parser *p, struct node *of)
{
	struct node *f = mk(p, N_FILTER, p->t->at);
	if (!f)
		return NULL;
	f->a = of;
	f->s = want_name(p);
	if (take_op(p, "("))
		arguments(p, f);
	return f;
}

static bool begins_test_argument(const struct parser *p)
{
	switch (p->t->type) {
	case T_NAME:
		return !is_word(p, "else") && !is_word(p, "or") && !is_word(p, "and") &&
		       !is_word(p, "if") && !is_word(p, "is") && !is_word(p, "in") &&
		       !is_word(p, "not");
	case T_STR:
	case T_INT:
	case T_FLOAT:
		return true;
	default:
		return is_op(p, "[") || is_op(p, "{");
	}
}

static struct node *test(struct parser *p, struct node *of)
{
	bool negated = take_word(p, "not");
	struct node *t = mk(p, N_TEST, p->t->at);
	if (!t)
		return NULL;
	t->a = of;
	t->s = want_name(p);
	if (take_op(p, "("))
		arguments(p, t);
	else if (begins_test_argument(p))
		kid(p, t, postfix(p, primary(p)));
	if (!negated)
		return t;
	struct node *n = mk(p, N_NOT, t->at);
	if (n)
		n->a = t;
	return n;
}

static struct node *filters(struct parser *p, struct node *n)
{
	while (!p->err) {
		const struct token *t = p->t;
		if (take_op(p, "|"))
			n = filter(p, n);
		else if (take_word(p, "is"))
			n = test(p, n);
		else if (take_op(p, "("))
			n = call(p, n, t->at);
		else
			break;
	}
	return n;
}

static struct node *unary(struct parser *p, bool with_filters)
{
	const struct token *t = p->t;
	struct node *n;
	if (++p->depth > PARSE_DEPTH_MAX) {
		p->depth--;
		return fail(p, t->at, "nested too deeply");
	}
	if (is_op(p, "-") || is_op(p, "+")) {
		n = mk(p, is_op(p, "-") ? N_NEG : N_POS, t->at);
		p->t++;
		struct node *of = unary(p, false);
		if (n)
			n->a = of;
	} else {
		n = primary(p);
	}
	n = postfix(p, n);
	if (with_filters)
		n = filters(p, n);
	p->depth--;
	return n;
}

static struct node *binary(
	struct parser *p, enum node_kind kind, int op, struct node *a, struct node *b, uint32_t at)
{
	struct node *n = mk(p, kind, at);
	if (!n)
		return NULL;
	n->op = (uint8_t)op;
	n->a = a;
	n->b = b;
	return n;
}

static struct node *power(struct parser *p)
{
	struct node *n = unary(p, true);
	while (!p->err && is_op(p, "**")) {
		uint32_t at = (p->t++)->at;
		n = binary(p, N_BINARY, B_POW, n, unary(p, true), at);
	}
	return n;
}

static struct node *product(struct parser *p)
{
	struct node *n = power(p);
	while (!p->err) {
		int op = is_op(p, "*")    ? B_MUL
			 : is_op(p, "/")  ? B_DIV
			 : is_op(p, "//") ? B_FLOOR
			 : is_op(p, "%")  ? B_MOD
					  : -1;
		if (op < 0)
			break;
		uint32_t at = (p->t++)->at;
		n = binary(p, N_BINARY, op, n, power(p), at);
	}
	return n;
}

static struct node *concat(struct parser *p)
{
	struct node *n = product(p);
	if (p->err || !is_op(p, "~"))
		return n;
	struct node *c = mk(p, N_CONCAT, p->t->at);
	kid(p, c, n);
	while (!p->err && take_op(p, "~"))
		kid(p, c, product(p));
	return c;
}

static struct node *sum(struct parser *p)
{
	struct node *n = concat(p);
	while (!p->err && (is_op(p, "+") || is_op(p, "-"))) {
		int op = is_op(p, "+") ? B_ADD : B_SUB;
		uint32_t at = (p->t++)->at;
		n = binary(p, N_BINARY, op, n, concat(p), at);
	}
	return n;
}

static int compare_op(struct parser *p)
{
	static const char *const ops[] = {"==", "!=", "<", "<=", ">", ">="};
	for (int i = 0; i < (int)ARRAY_LEN(ops); i++)
		if (take_op(p, ops[i]))
			return i;
	if (take_word(p, "in"))
		return C_IN;
	if (is_word(p, "not") && p->t[1].type == T_NAME && str_eq_c(p->t[1].s, "in")) {
		p->t += 2;
		return C_NOT_IN;
	}
	return -1;
}

static struct node *comparison(struct parser *p)
{
	uint32_t at = p->t->at;
	struct node *first = sum(p), *n = NULL;
	for (int op; !p->err && (op = compare_op(p)) >= 0;) {
		if (!n) {
			n = mk(p, N_COMPARE,
				at); /* kids, and between kids i and i + 1 ops[i + 1] */
			kid(p, n, first);
		}
		kid(p, n, sum(p));
		if (!p->err)
			n->ops[n->n - 1] = (uint8_t)op;
	}
	return n ? n : first;
}

static struct node *not_expr(struct parser *p)
{
	uint32_t at = p->t->at;
	unsigned nots = 0;
	while (take_word(p, "not"))
		nots++;
	struct node *n = comparison(p);
	for (nots = nots > 1 ? 2 - nots % 2 : nots; nots && !p->err; nots--)
		n = binary(p, N_NOT, 0, n, NULL, at);
	return n;
}

static struct node *and_expr(struct parser *p)
{
	struct node *n = not_expr(p);
	while (!p->err && is_word(p, "and")) {
		uint32_t at = (p->t++)->at;
		n = binary(p, N_AND, 0, n, not_expr(p), at);
	}
	return n;
}

static struct node *or_expr(struct parser *p)
{
	struct node *n = and_expr(p);
	while (!p->err && is_word(p, "or")) {
		uint32_t at = (p->t++)->at;
		n = binary(p, N_OR, 0, n, and_expr(p), at);
	}
	return n;
}

static struct node *expression(struct parser *p)
{
	if (++p->depth > PARSE_DEPTH_MAX) {
		p->depth--;
		return fail(p, p->t->at, "nested too deeply");
	}
	struct node *n = or_expr(p);
	unsigned deep = 0;
	struct node **last = &n;
	while (!p->err && is_word(p, "if")) {
		/* a if b else c: a, b the condition, c (NULL: undefined); c may be such an
		 * expression. */
		struct node *c = mk(p, N_COND, (p->t++)->at);
		if (!c)
			break;
		c->a = *last;
		c->b = or_expr(p);
		if (take_word(p, "else")) {
			if (++deep > PARSE_DEPTH_MAX)
				fail(p, c->at, "nested too deeply");
			c->c = or_expr(p);
			*last = c;
			last = &c->c;
		} else {
			*last = c;
		}
	}
	p->depth--;
	return n;
}

/* ---- statements ---- */

static struct node *body(struct parser *p, const char *const *ends);

static void end_tag(struct parser *p)
{
	if (!p->err && p->t->type != T_BLOCK_END)
		fail(p, p->t->at, "\"%%}\" is expected");
	else if (!p->err)
		p->t++;
}

/* A name, an attribute of a namespace, or several in a tuple. */
static struct node *target(struct parser *p, bool attributes)
{
	uint32_t at = p->t->at;
	struct node *n = NULL, *many = NULL;
	do {
		if (n && ends_tuple(p))
			break;
		bool paren = take_op(p, "(");
		if (paren) {
			if (++p->depth > PARSE_DEPTH_MAX)
				return fail(p, at, "nested too deeply");
			n = target(p, false);
			p->depth--;
			want_op(p, ")");
		} else {
			n = mk(p, N_NAME, p->t->at);
			struct str name = want_name(p);
			if (p->err)
				return NULL;
			n->s = name;
			if (attributes && !many && take_op(p, ".")) {
				struct node *attr = mk(p, N_ATTR, at);
				if (!attr)
					return NULL;
				attr->a = n;
				attr->s = want_name(p);
				return attr;
			}
		}
		if (is_op(p, ",") && !many)
			many = mk(p, N_TUPLE, at);
		if (many)
			kid(p, many, n);
	} while (!p->err && take_op(p, ","));
	return many ? many : n;
}

/* kids: condition, body, condition, body, ..., and with an odd number the last is the else. */
static struct node *if_tag(struct parser *p, uint32_t at)
{
	static const char *const ends[] = {"elif", "else", "endif", NULL};
	static const char *const last[] = {"endif", NULL};
	struct node *n = mk(p, N_IF, at);
	do {
		kid(p, n, tuple(p, true, false));
		end_tag(p);
		kid(p, n, body(p, ends));
	} while (!p->err && take_word(p, "elif"));
	if (take_word(p, "else")) {
		end_tag(p);
		kid(p, n, body(p, last));
	}
	want_word(p, "endif");
	end_tag(p);
	return n;
}

/* for a in b if kids[2]: kids[0] the body, kids[1] the else or NULL. */
static struct node *for_tag(struct parser *p, uint32_t at)
{
	static const char *const ends[] = {"endfor", "else", NULL}, *const last[] = {
									    "endfor", NULL};
	struct node *n = mk(p, N_FOR, at), *cond = NULL, *otherwise = NULL;
	if (!n)
		return NULL;
	n->a = target(p, false);
	want_word(p, "in");
	n->b = tuple(p, false, false);
	if (take_word(p, "if"))
		cond = expression(p);
	if (is_word(p, "recursive"))
		return fail(p, p->t->at, "recursive loops are not supported");
	end_tag(p);
	p->loops++;
	struct node *main_body = body(p, ends);
	p->loops--;
	if (take_word(p, "else")) {
		end_tag(p);
		otherwise = body(p, last);
	}
	want_word(p, "endfor");
	end_tag(p);
	kid(p, n, main_body);
	kid(p, n, otherwise);
	kid(p, n, cond);
	return n;
}

static struct node *set_tag(struct parser *p, uint32_t at)
{
	static const char *const ends[] = {"endset", NULL};
	struct node *to = target(p, true);
	if (take_op(p, "=")) {
		struct node *n = binary(p, N_SET, 0, to, tuple(p, true, false), at);
		end_tag(p);
		return n;
	}
	/* {% set x | filter %}text{% endset %}: a the target, b the body, c filters around NULL */
	struct node *n = mk(p, N_SET_BLOCK, at), *f = NULL;
	while (!p->err && take_op(p, "|"))
		f = filter(p, f);
	end_tag(p);
	if (n) {
		n->a = to;
		n->c = f;
		n->b = body(p, ends);
	}
	want_word(p, "endset");
	end_tag(p);
	return n;
}

/* s the name; kids the parameters' defaults (NULL: none), names theirs; a the body. */
static struct node *macro_tag(struct parser *p, uint32_t at)
{
	static const char *const ends[] = {"endmacro", NULL};
	struct node *n = mk(p, N_MACRO, at);
	if (!n)
		return NULL;
	n->s = want_name(p);
	want_op(p, "(");
	while (!p->err && !take_op(p, ")")) {
		struct str name = want_name(p);
		kid(p, n, take_op(p, "=") ? expression(p) : NULL);
		if (p->err)
			return NULL;
		n->names[n->n - 1] = name;
		if (n->n > ARGS_MAX)
			return fail(p, at, "more than %d parameters", ARGS_MAX);
		if (!is_op(p, ")"))
			want_op(p, ",");
	}
	end_tag(p);
	unsigned loops = p->loops;
	p->loops = 0;
	n->a = body(p, ends);
	p->loops = loops;
	want_word(p, "endmacro");
	end_tag(p);
	return n;
}

/* kids: target, value, ...; a the body. */
static struct node *with_tag(struct parser *p, uint32_t at)
{
	static const char *const ends[] = {"endwith", NULL};
	struct node *n = mk(p, N_WITH, at);
	while (!p->err && p->t->type != T_BLOCK_END) {
		if (n && n->n)
			want_op(p, ",");
		kid(p, n, target(p, false));
		want_op(p, "=");
		kid(p, n, expression(p));
	}
	end_tag(p);
	struct node *b = body(p, ends);
	if (n)
		n->a = b;
	want_word(p, "endwith");
	end_tag(p);
	return n;
}

static struct node *filter_tag(struct parser *p, uint32_t at)
{
	static const char *const ends[] = {"endfilter", NULL};
	struct node *n = mk(p, N_FILTER_BLOCK, at), *f = filter(p, NULL);
	while (!p->err && take_op(p, "|"))
		f = filter(p, f);
	end_tag(p);
	struct node *b = body(p, ends);
	if (n) {
		n->c = f;
		n->b = b;
	}
	want_word(p, "endfilter");
	end_tag(p);
	return n;
}

/* {% call macro(..) %}body{% endcall %}: a the call, b the body that caller() gives. */
static struct node *call_tag(struct parser *p, uint32_t at)
{
	static const char *const ends[] = {"endcall", NULL};
	struct node *n = mk(p, N_CALL_BLOCK, at), *m = mk(p, N_MACRO, at);
	struct node *c = expression(p);
	if (!p->err && c->kind != N_CALL)
		return fail(p, at, "a call is expected");
	end_tag(p);
	struct node *b = body(p, ends);
	want_word(p, "endcall");
	end_tag(p);
	if (!n || !m)
		return NULL;
	m->s = S("caller");
	m->a = b;
	n->a = c;
	n->b = m;
	return n;
}

static struct node *loop_word(struct parser *p, enum node_kind kind, uint32_t at)
{
	if (!p->loops)
		return fail(p, at, "break and continue belong into a loop");
	struct node *n = mk(p, kind, at);
	end_tag(p);
	return n;
}

/* The mark around what the model generated: only its content matters here. */
static struct node *generation_tag(struct parser *p)
{
	static const char *const ends[] = {"endgeneration", NULL};
	end_tag(p);
	struct node *n = body(p, ends);
	want_word(p, "endgeneration");
	end_tag(p);
	return n;
}

static struct node *statement(struct parser *p)
{
	uint32_t at = p->t->at;
	struct str word = want_name(p);
	if (p->err)
		return NULL;
	if (str_eq_c(word, "if"))
		return if_tag(p, at);
	if (str_eq_c(word, "for"))
		return for_tag(p, at);
	if (str_eq_c(word, "set"))
		return set_tag(p, at);
	if (str_eq_c(word, "macro"))
		return macro_tag(p, at);
	if (str_eq_c(word, "with"))
		return with_tag(p, at);
	if (str_eq_c(word, "filter"))
		return filter_tag(p, at);
	if (str_eq_c(word, "call"))
		return call_tag(p, at);
	if (str_eq_c(word, "break"))
		return loop_word(p, N_BREAK, at);
	if (str_eq_c(word, "continue"))
		return loop_word(p, N_CONTINUE, at);
	if (str_eq_c(word, "generation"))
		return generation_tag(p);
	return fail(p, at, "unknown tag \"%.*s\"", (int)MIN(word.n, 60u), word.p);
}

static bool at_end(const struct parser *p, const char *const *ends)
{
	if (p->t[1].type != T_NAME)
		return false;
	for (; ends && *ends; ends++)
		if (str_eq_c(p->t[1].s, *ends))
			return true;
	return false;
}

/* Until one of the words (the parser then stands on it), or the end of the template. */
static struct node *body(struct parser *p, const char *const *ends)
{
	struct node *n = mk(p, N_BODY, p->t->at);
	if (++p->depth > PARSE_DEPTH_MAX)
		fail(p, p->t->at, "nested too deeply");
	while (!p->err) {
		const struct token *t = p->t;
		if (t->type == T_EOF) {
			if (ends)
				fail(p, t->at, "the template ends where \"%s\" is expected", *ends);
			break;
		}
		if (t->type == T_BLOCK_BEGIN && at_end(p, ends)) {
			p->t++;
			break;
		}
		p->t++;
		if (t->type == T_DATA) {
			struct node *d = mk(p, N_DATA, t->at);
			if (d)
				d->s = t->s;
			kid(p, n, d);
		} else if (t->type == T_VAR_BEGIN) {
			struct node *o = mk(p, N_OUT, t->at), *e = tuple(p, true, false);
			if (o)
				o->a = e;
			kid(p, n, o);
			if (!p->err && p->t->type != T_VAR_END)
				fail(p, p->t->at, "\"}}\" is expected");
			p->t += !p->err;
		} else {
			kid(p, n, statement(p));
		}
	}
	p->depth--;
	return n;
}

enum err template_tree(struct arena *a, struct str source, const struct lexed *in,
	struct node **out, struct errtext *et)
{
	struct parser p = {.t = in->t, .arena = a, .source = source, .et = et};
	struct node *n = body(&p, NULL);
	if (p.err)
		return p.err;
	*out = n;
	return OK;
}
