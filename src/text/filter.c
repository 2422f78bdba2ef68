/* The filter language: a recursive parser to a tree, the conditions on parts, orders. */
#include "text/filter_int.h"

enum { DEPTH_MAX = 32 };

/* ---- the tree ---- */

static struct node *node_new(struct parser *p, enum node_kind kind, struct node *first)
{
	struct node *n = arena_new_of(p->a, struct node);
	if (n) {
		n->kind = kind;
		n->first = first;
	}
	return n;
}

static enum err either(struct parser *p, struct node **out);

static enum err term(struct parser *p, struct node **out)
{
	bool inverse = filter_keyword(p, "NOT");
	enum err e;
	if (p->l->strict && (inverse || p->now.kind == T_OPEN))
		return filter_invalid_clause(p);
	if (!inverse && p->now.kind != T_OPEN) {
		*out = node_new(p, NODE_TEST, NULL);
		return *out ? filter_read_test(p, &(*out)->test) : filter_no_memory(p);
	}
	if (++p->depth > DEPTH_MAX)
		return err_set(p->et, ERR_INVALID, "a filter is nested deeper than %d", DEPTH_MAX);
	e = filter_next(p, false);
	if (!e && inverse) {
		struct node *below = NULL;
		e = term(p, &below);
		*out = e ? NULL : node_new(p, NODE_NOT, below);
		if (!e && !*out)
			e = filter_no_memory(p);
	} else if (!e) {
		e = either(p, out);
		if (!e && p->now.kind != T_CLOSE)
			e = filter_expected(p, ")");
		if (!e)
			e = filter_next(p, false);
	}
	p->depth--;
	return e;
}

/* A list of what `one` reads with a word between; a node of its own when it is more than one. */
static enum err joined(struct parser *p, const char *word, enum node_kind kind,
	enum err (*one)(struct parser *, struct node **), struct node **out)
{
	struct node *last = NULL;
	enum err e = one(p, out);
	while (!e && filter_keyword(p, word)) {
		struct node *n = NULL;
		do
			e = filter_next(p, false);
		while (!e && p->l->strict && filter_keyword(p, word));
		if (!e && p->l->strict && p->now.kind == T_END)
			return OK; /* MLflow lets a last AND stand */
		if (!e)
			e = one(p, &n);
		if (e)
			return e;
		if (!last) {
			struct node *list = node_new(p, kind, *out);
			if (!list)
				return filter_no_memory(p);
			last = *out;
			*out = list;
		}
		last = last->next = n;
	}
	return e;
}

static enum err both(struct parser *p, struct node **out)
{
	return joined(p, "AND", NODE_AND, term, out);
}

static enum err either(struct parser *p, struct node **out)
{
	return p->l->strict ? both(p, out) : joined(p, "OR", NODE_OR, both, out);
}

/* ---- parts ---- */

static bool of_parts(const struct node *n)
{
	if (n->kind == NODE_TEST)
		return n->test.name.flags & FILTER_PARTS;
	if (n->kind == NODE_NOT)
		return false;
	for (const struct node *c = n->first; c; c = c->next)
		if (!of_parts(c))
			return false;
	return true;
}

static enum err number_part(struct parser *p, struct node *n)
{
	if (p->f->n_parts == FILTER_PARTS_MAX)
		return err_set(p->et, ERR_INVALID, "a filter has more than %d conditions on parts",
			FILTER_PARTS_MAX);
	n->part = p->f->n_parts;
	p->f->parts[p->f->n_parts++] = n;
	return OK;
}

/* Puts a PART above what is only about parts; within AND and OR, above all such children. */
static enum err place_parts(struct parser *p, struct node **at)
{
	struct node *n = *at, *alike = NULL, *others = NULL, **a = &alike, **o = &others;
	enum err e = OK;
	if (of_parts(n)) {
		struct node *part = node_new(p, NODE_PART, n);
		if (!part)
			return filter_no_memory(p);
		part->next = n->next;
		n->next = NULL;
		*at = part;
		return number_part(p, part);
	}
	if (n->kind == NODE_TEST)
		return n->test.name.flags & FILTER_IN_PARTS ? number_part(p, n) : OK;
	if (n->kind == NODE_NOT)
		return place_parts(p, &n->first);
	for (struct node *c = n->first, *next; c; c = next) {
		struct node ***end = of_parts(c) ? &a : &o;
		next = c->next;
		c->next = NULL;
		**end = c;
		*end = &c->next;
	}
	if (alike && alike->next) {
		alike = node_new(p, n->kind, alike);
		if (!alike)
			return filter_no_memory(p);
	}
	*o = alike;
	n->first = others;
	for (struct node **c = &n->first; *c && !e; c = &(*c)->next)
		e = place_parts(p, c);
	return e;
}

static bool has_parts(const struct filter_language *l)
{
	for (size_t i = 0; i < l->n_groups; i++)
		if (l->groups[i].flags & FILTER_PARTS)
			return true;
	return false;
}

/* ---- the whole ---- */

static enum err check_text(struct parser *p)
{
	if (p->all.n > FILTER_TEXT_MAX)
		return err_set(
			p->et, ERR_INVALID, "a filter has at most %d bytes", FILTER_TEXT_MAX);
	if (!utf8_valid(p->all) || memchr(p->all.p ? p->all.p : "", 0, p->all.n))
		return err_set(p->et, ERR_INVALID, "a filter must be UTF-8 text");
	return OK;
}

/* What stands behind the filter. */
static enum err check_end(struct parser *p)
{
	if (p->now.kind == T_END)
		return OK;
	if (!p->l->strict)
		return filter_expected(p, p->l->rules ? "the end of the rule (a new line or ;)"
						      : "AND, OR or the end");
	if (p->now.raw.p[0] != ';' || !str_trim(p->rest).n)
		return filter_invalid_clause(p);
	return err_set(p->et, ERR_INVALID,
		"Search filter contained multiple expression '%.*s'. Provide AND-ed expression "
		"list.",
		STR_FMT(filter_shown(p->all)));
}

static enum err parse(struct parser *p)
{
	enum err e = check_text(p);
	p->f = arena_new_of(p->a, struct filter);
	if (!e && !p->f)
		e = filter_no_memory(p);
	if (e)
		return e;
	p->f->rules = p->l->rules;
	e = filter_next(p, false);
	while (!e && p->l->strict && filter_keyword(p, "AND")) {
		e = filter_next(p, false);
		if (!e && p->now.kind == T_END) { /* MLflow lets them stand alone */
			p->f = NULL;
			return OK;
		}
	}
	if (!e)
		e = either(p, &p->f->root);
	if (!e)
		e = check_end(p);
	if (!e && has_parts(p->l))
		e = place_parts(p, &p->f->root);
	return e;
}

enum err filter_parse(struct str text, const struct filter_language *l, struct arena *a,
	const struct filter **out, struct errtext *et)
{
	struct errtext mine;
	struct parser p = {.all = text, .rest = text, .l = l, .a = a, .et = et ? et : &mine};
	bool blank = !str_trim(text).n;
	if (blank && text.n && l->strict)
		return err_set(p.et, ERR_INVALID, "Invalid filter '%.*s'. Could not be parsed.",
			STR_FMT(filter_shown(text)));
	enum err e = blank ? OK : parse(&p);
	if (!e)
		*out = p.f;
	return e;
}

enum err filter_parse_at(struct str text, size_t *at, const struct filter_language *l,
	struct arena *a, const struct filter **out, struct errtext *et)
{
	struct parser p = {
		.all = text, .rest = str_sub(text, *at, text.n), .l = l, .a = a, .et = et};
	enum err e = parse(&p);
	*at = e ? p.wrong : text.n - p.rest.n;
	if (!e)
		*out = p.f;
	return e;
}

enum err filter_add(const struct filter **f, const char *named, enum filter_op op, struct str text,
	const struct filter_language *l, struct arena *a, struct errtext *et)
{
	struct str all = str_c(named);
	struct parser p = {.all = all, .rest = all, .l = l, .a = a, .et = et};
	struct node *n = node_new(&p, NODE_TEST, NULL);
	p.f = arena_new_of(a, struct filter);
	if (!n || !p.f)
		return filter_no_memory(&p);
	p.f->rules = l->rules;
	if (*f)
		*p.f = **f;
	n->test.op = op;
	n->test.text = text;
	enum err e = filter_next(&p, false);
	if (!e)
		e = filter_read_name(&p, 0, &n->test.name);
	if (!e && (n->test.name.flags & FILTER_IN_PARTS))
		e = number_part(&p, n);
	if (e)
		return e;
	struct node *old = p.f->root;
	n->next = old && old->kind == NODE_AND ? old->first : old;
	p.f->groups |= 1u << n->test.name.group;
	if (n->test.name.index < 64)
		p.f->keys[n->test.name.group] |= (uint64_t)1 << n->test.name.index;
	p.f->root = old ? node_new(&p, NODE_AND, n) : n;
	if (!p.f->root)
		return filter_no_memory(&p);
	*f = p.f;
	return OK;
}

/* ---- order ---- */

static enum err parse_order(struct parser *p, struct filter_order *out)
{
	enum err e = filter_next(p, false);
	if (!e && p->now.kind == T_END)
		e = err_set(p->et, ERR_INVALID,
			"Invalid order_by clause '%.*s'. Could not be parsed.",
			STR_FMT(filter_shown(p->all)));
	if (!e)
		e = filter_read_name(p, FILTER_UNORDERED, &out->name);
	if (!e && p->now.kind == T_WORD) {
		out->descending = filter_keyword(p, "DESC");
		if (!out->descending && !filter_keyword(p, "ASC"))
			return err_set(p->et, ERR_INVALID,
				"Invalid ordering key in order_by clause '%.*s'.",
				STR_FMT(filter_shown(p->all)));
		e = filter_next(p, false);
	}
	if (!e && p->now.kind != T_END)
		e = err_set(p->et, ERR_INVALID,
			"Invalid order_by clause '%.*s'. Could not be parsed.",
			STR_FMT(filter_shown(p->all)));
	return e;
}

/* As Python writes the list. */
static enum err duplicate(const struct str *texts, size_t n, struct errtext *et)
{
	struct buf b = {0};
	for (size_t i = 0; i < n; i++)
		buf_addf(&b, "%s'%.*s'", i ? ", " : "", STR_FMT(str_sub(texts[i], 0, 60)));
	enum err e =
		err_set(et, ERR_INVALID, "`order_by` contains duplicate fields: [%s]", buf_c(&b));
	buf_free(&b);
	return e;
}

enum err filter_parse_orders(const struct str *texts, size_t n, const struct filter_language *l,
	struct arena *a, struct filter_order *out, struct errtext *et)
{
	if (n > FILTER_ORDERS_MAX)
		return err_set(et, ERR_INVALID, "order_by: at most %d keys are possible",
			FILTER_ORDERS_MAX);
	for (size_t i = 0; i < n; i++) {
		struct parser p = {.all = texts[i], .rest = texts[i], .l = l, .a = a, .et = et};
		out[i] = (struct filter_order){0};
		enum err e = check_text(&p);
		if (!e)
			e = parse_order(&p, &out[i]);
		if (e)
			return e;
		for (size_t k = 0; k < i; k++)
			if (out[k].name.group == out[i].name.group &&
				out[k].name.index == out[i].name.index &&
				(out[i].name.index != NO_KEY ||
					str_eq(out[k].name.key, out[i].name.key)))
				return duplicate(texts, n, et);
	}
	return OK;
}

/* ---- what a store can look up ---- */

const struct filter_test *filter_required(const struct filter *f, size_t i)
{
	const struct node *n = f ? f->root : NULL;
	if (n && n->kind == NODE_AND)
		n = n->first;
	for (; n; n = f->root->kind == NODE_AND ? n->next : NULL) {
		/* a node that filter_add made has the older root within */
		if (n->kind == NODE_TEST && !i--)
			return &n->test;
	}
	return NULL;
}

bool filter_asks(const struct filter *f, unsigned group)
{
	return f && (f->groups >> group & 1);
}

bool filter_asks_key(const struct filter *f, unsigned group, unsigned index)
{
	return f && index < 64 && (f->keys[group] >> index & 1);
}
