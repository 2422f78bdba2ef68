/* MLflow's own filter language: what it takes and refuses, and its words for it. The order of the
 * checks is its too: shape, name, value, operator. tests/e2e/mlflow_filter.py compares. */
#include "text/filter_int.h"

static const struct dialect {
	const char *entities, *quoted;
	bool bare;  /* "Invalid clause(s)" without quotes around them */
	bool mixed; /* an attribute's value is read first, whatever the attribute's type */
} dialects[] = {
	[FILTER_OF_RUNS] = {"Valid values are ['metric', 'parameter', 'tag', 'attribute', "
			    "'dataset']",
		"Expected a quoted string value for attributes", false, false},
	[FILTER_OF_EXPERIMENTS] = {"Valid entity types are ('attribute', 'tag', 'tags')",
		"Expected a quoted string value for attributes", true, false},
	[FILTER_OF_MODELS] = {"Valid entity types are ('attribute', 'tag', 'tags')",
		"Expected a quoted string value or a list of quoted string values for attributes",
		true, false},
	[FILTER_OF_VERSIONS] = {"Valid entity types are ('attribute', 'tag', 'tags')",
		"Expected a quoted string value or a list of quoted string values for attributes",
		true, true},
	[FILTER_OF_TRACES] = {"Valid values are {'tag', 'request_metadata', 'attribute', 'span', "
			      "'feedback', 'expectation', 'tags', 'attributes', 'trace', "
			      "'metadata'}",
		"Expected a quoted string value or a list of quoted string values for attributes",
		false, true},
	[FILTER_OF_LOGGED] = {"Expected one of ['attributes', 'metrics', 'params', 'tags'].",
		"Expected a quoted string value for attributes", true, false},
};

static const struct dialect *dialect(const struct parser *p)
{
	return &dialects[p->l->of];
}

/* A parenthesis as far as the one that closes it; any other token as it stands. */
static struct str whole(const struct parser *p)
{
	size_t from = (size_t)(p->now.raw.p - p->all.p), depth = 0;
	if (p->now.kind != T_OPEN)
		return filter_shown(p->now.raw);
	for (size_t i = from; i < p->all.n; i++) {
		depth += p->all.p[i] == '(';
		if (p->all.p[i] == ')' && --depth == 0)
			return filter_shown(str_sub(p->all, from, i + 1));
	}
	return filter_shown(str_sub(p->all, from, p->all.n));
}

static enum err invalid_clauses(struct parser *p, const struct str *v, size_t n)
{
	const char *quote = dialect(p)->bare ? "" : "'";
	struct buf b = {0};
	for (size_t i = 0; i < n; i++)
		if (v[i].n)
			buf_addf(&b, "%s%s%.*s%s", b.n ? ", " : "", quote,
				STR_FMT(filter_shown(v[i])), quote);
	enum err e =
		err_set(p->et, ERR_INVALID, "Invalid clause(s) in filter string: %s", buf_c(&b));
	buf_free(&b);
	return e;
}

enum err filter_invalid_clause(struct parser *p)
{
	struct str now = whole(p);
	return invalid_clauses(p, &now, 1);
}

/* ---- names ---- */

/* {'run_id', 'status'} as Python writes a set; in no order there, in the table's here. */
static void list_keys(
	const struct parser *p, const struct filter_group *g, unsigned without, struct buf *b)
{
	size_t n = 0;
	buf_addc(b, "{");
	for (size_t i = 0; i < g->n_keys; i++)
		if (!filter_hidden(p, g->keys[i].flags) && !(g->keys[i].flags & without))
			buf_addf(b, "%s'%s'", n++ ? ", " : "", g->keys[i].names[0]);
	buf_addc(b, "}");
}

enum err filter_mlflow_unknown(
	struct parser *p, const struct filter_group *g, struct str word, unsigned without)
{
	struct buf b = {0};
	word = str_sub(word, 0, 100);
	if (!g)
		return err_set(p->et, ERR_INVALID, "Invalid entity type '%.*s'. %s", STR_FMT(word),
			dialect(p)->entities);
	if (g->flags & FILTER_PARTS)
		return err_set(p->et, ERR_INVALID,
			"Invalid span attribute '%.*s'. Supported attributes: name, status, type, "
			"attributes.<attribute_name>.",
			STR_FMT(word));
	list_keys(p, g, without, &b);
	enum err e =
		err_set(p->et, ERR_INVALID, "Invalid %s key '%.*s' specified. Valid keys are '%s'",
			g->names[0], STR_FMT(word), buf_c(&b));
	buf_free(&b);
	return e;
}

/* ---- operators ---- */

unsigned filter_mlflow_ops(const struct parser *p, const struct filter_name *n)
{
	const struct filter_group *g = &p->l->groups[n->group];
	if (n->index != NO_KEY && g->keys[n->index].ops)
		return g->keys[n->index].ops;
	return n->type != FILTER_TEXT ? FILTER_OPS_NUMBER : g->ops;
}

static enum err invalid_comparator(struct parser *p, const struct filter_test *t)
{
	unsigned ops = filter_mlflow_ops(p, &t->name);
	struct buf b = {0};
	for (unsigned i = 0; i <= FILTER_NULL; i++)
		if (ops >> i & 1) {
			buf_addf(&b, "%s'%s'", b.n ? ", " : "{", filter_op_words[i]);
			if (i == FILTER_IN)
				buf_addc(&b, ", 'NOT IN'");
			if (i == FILTER_NULL)
				buf_addc(&b, ", 'IS NOT NULL'");
		}
	const char *word = filter_op_words[t->op];
	if (t->negated)
		word = t->op == FILTER_NULL ? "IS NOT NULL" : "NOT IN";
	const struct filter_group *g = &p->l->groups[t->name.group];
	struct str key = str_sub(t->name.key, 0, 100);
	enum err e;
	if (t->name.flags & (FILTER_PARTS | FILTER_IN_PARTS)) /* text is what spans hold */
		e = err_set(p->et, ERR_INVALID, "%s.%.*s comparator '%s' not one of '%s}'",
			g->flags & FILTER_PARTS ? g->names[0] : "span",
			STR_FMT(g->flags & FILTER_PARTS ? key : S("content")), word, buf_c(&b));
	else
		e = err_set(p->et, ERR_INVALID, "Invalid comparator '%s' not one of '%s}'", word,
			buf_c(&b));
	buf_free(&b);
	return e;
}

static enum err invalid_null(struct parser *p, const struct filter_test *t)
{
	struct str key = str_sub(t->name.key, 0, 100);
	switch (p->l->of) {
	case FILTER_OF_RUNS:
		return err_set(p->et, ERR_INVALID,
			"IS NULL / IS NOT NULL is only supported for tags and params, not for '%s' "
			"'%.*s'",
			p->l->groups[t->name.group].names[0], STR_FMT(key));
	case FILTER_OF_EXPERIMENTS:
		return err_set(p->et, ERR_INVALID,
			"IS NULL / IS NOT NULL is only supported for tags, not for attribute "
			"'%.*s'",
			STR_FMT(key));
	case FILTER_OF_TRACES:
		return invalid_comparator(p, t);
	default:
		return err_set(
			p->et, ERR_INVALID, "Invalid comparison clause. Expected 3 tokens found 2");
	}
}

/* ---- values ---- */

static bool op_fits(const struct parser *p, const struct filter_test *t)
{
	return filter_mlflow_ops(p, &t->name) >> t->op & 1;
}

static enum err not_quoted(struct parser *p)
{
	return err_set(p->et, ERR_INVALID,
		"Parameter value is either not quoted or unidentified quote types used for string "
		"value %.*s. Use either single or double quotes.",
		STR_FMT(whole(p)));
}

/* One rule for attributes of both types. */
static enum err mixed_value(struct parser *p, const struct filter_test *t)
{
	const struct filter_group *g = p->l->groups;
	struct buf b = {0};
	if (p->now.kind == T_WORD || p->now.kind == T_BACKTICK)
		return not_quoted(p);
	if (t->name.type != FILTER_TEXT)
		return op_fits(p, t) ? err_set(p->et, ERR_INVALID,
					       "Expected numeric value type for numeric attribute: "
					       "%.*s. Found %.*s",
					       STR_FMT(t->name.key), STR_FMT(whole(p)))
				     : invalid_comparator(p, t);
	for (size_t i = 0; i < g->n_keys; i++)
		if (g->keys[i].type != FILTER_TEXT && !filter_hidden(p, g->keys[i].flags))
			buf_addf(&b, "%s'%s'", b.n ? ", " : "", g->keys[i].names[0]);
	enum err e = err_set(p->et, ERR_INVALID,
		"Only the '{%s}' attributes support comparison with numeric values.", buf_c(&b));
	buf_free(&b);
	return e;
}

static enum err numeric_value(struct parser *p, const struct filter_test *t)
{
	struct str raw = whole(p);
	if (t->name.index == NO_KEY)
		return err_set(p->et, ERR_INVALID, "Expected numeric value type for %s. Found %.*s",
			p->l->groups[t->name.group].names[0], STR_FMT(raw));
	return err_set(p->et, ERR_INVALID,
		"Expected numeric value type for numeric attribute: %.*s. Found %.*s",
		STR_FMT(t->name.key), STR_FMT(raw));
}

enum err filter_mlflow_value(struct parser *p, const struct filter_test *t)
{
	const struct filter_group *g = &p->l->groups[t->name.group];
	struct str raw = whole(p);
	bool list = p->now.kind == T_OPEN;
	if (!t->name.group && dialect(p)->mixed && !list)
		return mixed_value(p, t);
	if (t->name.type != FILTER_TEXT)
		return numeric_value(p, t);
	if (filter_ordering(t->op) && (g->ops & FILTER_OPS_ORDER))
		return err_set(p->et, ERR_INVALID,
			"Expected a numeric value for %s when using comparator '%s'. Got value "
			"%.*s",
			g->names[0], filter_op_words[t->op], STR_FMT(raw));
	if (p->now.kind == T_WORD || p->now.kind == T_BACKTICK)
		return not_quoted(p);
	if (!t->name.group)
		return err_set(
			p->et, ERR_INVALID, "%s. Got value %.*s", dialect(p)->quoted, STR_FMT(raw));
	if (g->keys && !(g->flags & FILTER_PARTS))
		return err_set(p->et, ERR_INVALID,
			"Expected a quoted string value for %s attributes. Got value %.*s",
			g->names[0], STR_FMT(raw));
	return err_set(p->et, ERR_INVALID,
		"Expected a quoted string value for %s (e.g. 'my-value'). Got value %.*s",
		g->flags & FILTER_PARTS ? "span" : g->names[0], STR_FMT(raw));
}

/* open: what is within its parenthesis is no text; NULL: the list has another fault. */
enum err filter_mlflow_list(struct parser *p, const struct token *open)
{
	enum token_kind kind = p->now.kind;
	if (open && kind == T_CLOSE)
		return err_set(p->et, ERR_INVALID,
			"While parsing a list in the query, expected a non-empty list of string "
			"values, but got empty list");
	if (open && kind == T_NUMBER) {
		p->now = *open;
		return err_set(p->et, ERR_INVALID,
			"While parsing a list in the query, expected string value, punctuation, or "
			"whitespace, but got different type in list: %.*s",
			STR_FMT(whole(p)));
	}
	return err_set(p->et, ERR_INVALID,
		"While parsing a list in the query, expected a non-empty list of string values, "
		"but got ill-formed list.");
}

/* No list is said before the operator is looked at. */
static enum err check_list(struct parser *p, const struct filter_test *t)
{
	const struct filter_group *g = &p->l->groups[t->name.group];
	struct buf b = {0};
	bool tags = p->l->of == FILTER_OF_TRACES && str_eq_c(str_c(g->names[0]), "tag");
	if ((filter_mlflow_ops(p, &t->name) & FILTER_OP_IN) ||
		(t->name.group && (tags || (g->ops & FILTER_OP_IN))))
		return OK;
	if (t->name.group || (t->name.type != FILTER_TEXT && !dialect(p)->mixed))
		return filter_mlflow_value(p, t);
	for (size_t i = 0; i < g->n_keys; i++)
		if ((g->keys[i].ops & FILTER_OP_IN) && !filter_hidden(p, g->keys[i].flags))
			buf_addf(&b, "%s'%s'", b.n ? ", " : "", g->keys[i].names[0]);
	enum err e = err_set(p->et, ERR_INVALID,
		p->l->of == FILTER_OF_TRACES
			? "Only attributes in {%s} supports comparison with a list of quoted "
			  "string values."
			: "Only [%s] attributes support comparison with a list of quoted string "
			  "values.",
		buf_c(&b));
	buf_free(&b);
	return e;
}

/* What has the shape of a test: a name, an operator and a value, of which IN wants a list. */
static enum err check_shape(
	struct parser *p, const struct filter_test *t, bool known, struct str all, struct token op)
{
	struct str words[4] = {all, op.raw, {0}, whole(p)};
	if (!known) {
		p->now = op;
		words[1] = whole(p);
		return invalid_clauses(p, words, 2);
	}
	if (t->op == FILTER_NULL || (t->op != FILTER_IN && p->now.kind != T_END) ||
		(t->op == FILTER_IN && p->now.kind == T_OPEN))
		return OK;
	if (t->negated) { /* NOT and IN, as they stand */
		struct str rest = str_sub(p->all, (size_t)(op.raw.p - p->all.p) + 3, p->all.n);
		words[2] = str_sub(str_trim(rest), 0, 2);
	}
	return invalid_clauses(p, words, ARRAY_LEN(words));
}

static enum err read_value(struct parser *p, struct filter_test *t)
{
	if (p->now.kind != T_OPEN)
		return filter_read_value(p, t, &t->number, &t->text);
	enum err e = check_list(p, t);
	return e ? e : filter_read_list(p, t);
}

enum err filter_mlflow_test(struct parser *p, struct filter_test *t)
{
	struct written w;
	bool known;
	if (p->now.kind == T_NUMBER)
		return err_set(p->et, ERR_INVALID,
			"Invalid comparison clause. Expected 'Identifier' found '%.*s'",
			STR_FMT(filter_shown(p->now.raw)));
	if (!filter_begins_name(p))
		return filter_invalid_clause(p);
	enum err e = filter_read_words(p, &w);
	if (e)
		return e;
	struct token op = p->now;
	struct str all = str_trim(
		str_sub(p->all, (size_t)(w.first.raw.p - p->all.p), (size_t)(op.raw.p - p->all.p)));
	e = filter_read_operator(p, t, &known);
	if (!e)
		e = check_shape(p, t, known, all, op);
	if (!e)
		e = filter_resolve(p, &w, FILTER_ORDER_ONLY, &t->name);
	if (!e && t->op == FILTER_NULL)
		return op_fits(p, t) ? OK : invalid_null(p, t);
	if (!e)
		e = read_value(p, t);
	if (!e && (!op_fits(p, t) || (t->op != FILTER_IN && t->n_list)))
		e = invalid_comparator(p, t);
	if (!e && t->op == FILTER_RLIKE)
		e = filter_read_pattern(p, t);
	return e;
}
