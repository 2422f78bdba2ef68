/* Templates: the walk over the tree. */
#include "text/template_int.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"

/* ---- the state of one rendering ---- */

struct val run_fail(struct run *r, enum err e, const char *fmt, ...)
{
	struct val none = {.type = V_UNDEF};
	if (r->err)
		return none;
	char msg[400];
	unsigned line, column;
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(msg, sizeof msg, fmt, ap);
	va_end(ap);
	template_place(r->source, r->at, &line, &column);
	r->err = err_set(r->et, e, "template: line %u: %s", line, msg);
	return none;
}

bool run_step(struct run *r, uint64_t n)
{
	r->steps += n;
	if (r->steps > r->steps_max)
		run_fail(r, ERR_LIMIT, "more than %llu steps", (unsigned long long)r->steps_max);
	return !r->err;
}

void *run_alloc(struct run *r, size_t n)
{
	void *p = r->err ? NULL : arena_alloc(r->arena, n);
	if (!p)
		run_fail(r, ERR_LIMIT, "more than %d MiB of values", MEMORY_MAX >> 20);
	return p;
}

struct str run_str(struct run *r, struct str s)
{
	char *p = run_alloc(r, s.n + 1);
	if (!p)
		return (struct str){"", 0};
	if (s.n)
		memcpy(p, s.p, s.n);
	return str_mk(p, s.n);
}

struct str run_buf(struct run *r, struct buf *b)
{
	if (b->err)
		run_fail(r, b->err == ERR_NOMEM ? ERR_NOMEM : ERR_LIMIT,
			"a text of more than %zu bytes", b->max);
	struct str s = run_str(r, buf_str(b));
	buf_free(b);
	return s;
}

/* ---- names ---- */

static struct scope *scope_push(struct run *r, struct scope *up)
{
	struct scope *s = run_alloc(r, sizeof *s);
	if (!s)
		return up;
	s->up = up;
	return s;
}

static void scope_set(struct run *r, struct scope *s, struct str name, struct val v)
{
	for (size_t i = 0; i < s->n; i++)
		if (str_eq(s->var[i].name, name)) {
			s->var[i].v = v;
			return;
		}
	if (s->n == s->cap) {
		size_t cap = MAX(s->cap * 2, 4);
		struct var *grown = run_alloc(r, cap * sizeof *grown);
		if (!grown)
			return;
		if (s->n)
			memcpy(grown, s->var, s->n * sizeof *grown);
		s->var = grown;
		s->cap = cap;
	}
	s->var[s->n++] = (struct var){name, v};
}

static struct val scope_get(struct run *r, struct str name)
{
	for (const struct scope *s = r->scope; s; s = s->up) {
		run_step(r, 1 + s->n / 8);
		for (size_t i = 0; i < s->n; i++)
			if (str_eq(s->var[i].name, name))
				return s->var[i].v;
	}
	return find_global(name);
}

/* ---- expressions ---- */

static struct val eval(struct run *r, const struct node *n);

static void add_arg(struct run *r, struct args *a, struct str name, struct val v)
{
	if (a->n == ARGS_MAX) {
		run_fail(r, ERR_LIMIT, "more than %d arguments", ARGS_MAX);
		return;
	}
	a->name[a->n] = name;
	a->v[a->n++] = v;
	a->n_pos += name.p == NULL;
}

static void spread_arg(struct run *r, struct args *a, struct val v, bool mapping)
{
	if (mapping && v.type != V_DICT) {
		run_fail(r, ERR_INVALID, "argument after ** must be a mapping, not %s",
			val_type_name(v));
		return;
	}
	const struct list *l = mapping ? NULL : val_items(r, v);
	for (size_t i = 0; l && i < l->n && !r->err; i++)
		add_arg(r, a, (struct str){0}, l->v[i]);
	for (size_t i = 0; mapping && i < v.d->n && !r->err; i++) {
		if (v.d->e[i].k.type != V_STR)
			run_fail(r, ERR_INVALID, "keywords must be strings");
		else
			add_arg(r, a, v.d->e[i].k.s, v.d->e[i].v);
	}
}

static void eval_args(struct run *r, const struct node *n, struct args *a)
{
	for (uint32_t i = 0; i < n->n && !r->err; i++) {
		struct val v = eval(r, n->kids[i]);
		if (!r->err && n->ops[i])
			spread_arg(r, a, v, n->ops[i] == 2);
		else if (!r->err)
			add_arg(r, a, i < n->n - n->n_names ? (struct str){0} : n->names[i], v);
	}
}

static void exec(struct run *r, const struct node *n);

/* Runs a body with its output kept apart. */
static struct val captured(struct run *r, const struct node *body)
{
	struct buf text = {.max = r->out->max}, *out = r->out;
	r->out = &text;
	exec(r, body);
	r->out = out;
	return val_str(run_buf(r, &text));
}

struct val call_macro(
	struct run *r, struct val macro, const struct args *a, const struct val *caller)
{
	const struct node *m = macro.macro;
	struct scope *scope = r->scope, *own = scope_push(r, macro.scope);
	if (a->n_pos > m->n)
		return run_fail(r, ERR_INVALID, "macro '%.*s' takes not more than %u argument(s)",
			STR_FMT(m->s), (unsigned)m->n);
	r->scope = own;
	for (unsigned i = 0; i < m->n && !r->err; i++) {
		struct val v = val_undef(m->names[i]);
		bool given = i < a->n_pos;
		if (given)
			v = a->v[i];
		for (unsigned k = a->n_pos; k < a->n && !given; k++)
			if (str_eq(a->name[k], m->names[i])) {
				v = a->v[k];
				given = true;
			}
		if (!given && m->kids[i])
			v = eval(r, m->kids[i]);
		scope_set(r, own, m->names[i], v);
	}
	for (unsigned k = a->n_pos; k < a->n && !r->err; k++) {
		bool known = false;
		for (unsigned i = 0; i < m->n; i++)
			known = known || str_eq(a->name[k], m->names[i]);
		if (!known)
			run_fail(r, ERR_INVALID, "macro '%.*s' takes no keyword argument '%.*s'",
				STR_FMT(m->s), STR_FMT(a->name[k]));
	}
	if (caller)
		scope_set(r, own, S("caller"), *caller);
	struct val out = r->err ? val_none() : captured(r, m->a);
	r->scope = scope;
	return out;
}

static struct val call_value(
	struct run *r, struct val f, const struct args *a, const struct val *caller)
{
	switch (f.type) {
	case V_MACRO:
		return call_macro(r, f, a, caller);
	case V_FUNC:
		return call_function(r, f, a);
	case V_METHOD:
		return call_method(r, f.m, a);
	case V_UNDEF:
		return run_fail(r, ERR_INVALID, "'%.*s' is undefined", STR_FMT(f.s));
	default:
		return run_fail(r, ERR_INVALID, "'%s' object is not callable", val_type_name(f));
	}
}

static struct val eval_call(struct run *r, const struct node *n, const struct val *caller)
{
	struct args a = {0};
	struct val f = eval(r, n->a);
	eval_args(r, n, &a);
	r->at = n->at;
	return r->err ? val_none() : call_value(r, f, &a, caller);
}

static struct val eval_filter(struct run *r, const struct node *n, struct val v)
{
	struct args a = {0};
	eval_args(r, n, &a);
	r->at = n->at;
	return r->err ? val_none() : call_filter(r, n->s, v, &a);
}

static bool compare(struct run *r, enum compare op, struct val a, struct val b)
{
	switch (op) {
	case C_EQ:
		return val_equal(r, a, b, 0);
	case C_NE:
		return !val_equal(r, a, b, 0);
	case C_LT:
		return val_order(r, a, b, 0) < 0;
	case C_LE:
		return val_order(r, a, b, 0) <= 0;
	case C_GT:
		return val_order(r, a, b, 0) > 0;
	case C_GE:
		return val_order(r, a, b, 0) >= 0;
	case C_IN:
		return val_in(r, a, b);
	case C_NOT_IN:
		return !val_in(r, a, b);
	}
	return false;
}

static struct val eval_compare(struct run *r, const struct node *n)
{
	struct val left = eval(r, n->kids[0]);
	for (uint32_t i = 1; i < n->n && !r->err; i++) {
		struct val right = eval(r, n->kids[i]);
		r->at = n->at;
		if (r->err || !compare(r, (enum compare)n->ops[i], left, right))
			return val_bool(false);
		left = right;
	}
	return val_bool(true);
}

static struct val negate(struct run *r, struct val v)
{
	if (v.type == V_FLOAT)
		return val_float(-v.f);
	if (!is_number(v))
		return run_fail(
			r, ERR_INVALID, "bad operand type for unary -: '%s'", val_type_name(v));
	return val_binary(r, B_SUB, val_int(0), v);
}

static struct val eval_list(struct run *r, const struct node *n)
{
	struct val l = list_new(r, n->kind == N_TUPLE ? LIST_TUPLE : LIST_LIST);
	for (uint32_t i = 0; i < n->n && !r->err; i++)
		list_add(r, l.l, eval(r, n->kids[i]));
	return l;
}

static struct val eval_dict(struct run *r, const struct node *n)
{
	struct val d = dict_new(r);
	for (uint32_t i = 0; i + 1 < n->n && !r->err; i += 2) {
		struct val k = eval(r, n->kids[i]), v = eval(r, n->kids[i + 1]);
		dict_set(r, d.d, k, v);
	}
	return d;
}

static struct val eval_inner(struct run *r, const struct node *n)
{
	struct val a, b, part[3];
	struct args args = {0};
	switch (n->kind) {
	case N_CONST:
		return n->v;
	case N_NAME:
		return scope_get(r, n->s);
	case N_LIST:
	case N_TUPLE:
		return eval_list(r, n);
	case N_DICT:
		return eval_dict(r, n);
	case N_ATTR:
		a = eval(r, n->a);
		r->at = n->at;
		return r->err ? a : val_attr(r, a, n->s);
	case N_ITEM:
		a = eval(r, n->a);
		b = eval(r, n->b);
		r->at = n->at;
		return r->err ? a : val_item(r, a, b);
	case N_SLICE:
		a = eval(r, n->a);
		for (int i = 0; i < 3; i++)
			part[i] = n->kids[i] ? eval(r, n->kids[i]) : val_none();
		r->at = n->at;
		return r->err ? a : val_slice(r, a, part[0], part[1], part[2]);
	case N_CALL:
		return eval_call(r, n, NULL);
	case N_FILTER:
		a = eval(r, n->a);
		return r->err ? a : eval_filter(r, n, a);
	case N_TEST:
		a = eval(r, n->a);
		eval_args(r, n, &args);
		r->at = n->at;
		return r->err ? a : val_bool(call_test(r, n->s, a, &args));
	case N_NOT:
		return val_bool(!val_true(eval(r, n->a)));
	case N_NEG:
		return negate(r, eval(r, n->a));
	case N_POS:
		return eval(r, n->a);
	case N_AND:
		a = eval(r, n->a);
		return val_true(a) ? eval(r, n->b) : a;
	case N_OR:
		a = eval(r, n->a);
		return val_true(a) ? a : eval(r, n->b);
	case N_BINARY:
		a = eval(r, n->a);
		b = eval(r, n->b);
		r->at = n->at;
		return r->err ? a : val_binary(r, (enum binary)n->op, a, b);
	case N_CONCAT: {
		struct buf t = {.max = MEMORY_MAX};
		for (uint32_t i = 0; i < n->n && !r->err; i++)
			val_print(r, eval(r, n->kids[i]), &t);
		return val_str(run_buf(r, &t));
	}
	case N_COMPARE:
		return eval_compare(r, n);
	case N_COND:
		if (val_true(eval(r, n->b)))
			return eval(r, n->a);
		return n->c ? eval(r, n->c) : val_undef(S("the inline if-expression without else"));
	default:
		return run_fail(r, ERR_INTERNAL, "not an expression");
	}
}

static struct val eval(struct run *r, const struct node *n)
{
	if (!run_step(r, 1))
		return val_none();
	if (++r->depth > RUN_DEPTH_MAX) {
		r->depth--;
		return run_fail(r, ERR_LIMIT, "nested too deeply");
	}
	r->at = n->at;
	struct val v = eval_inner(r, n);
	r->depth--;
	return v;
}

/* ---- statements ---- */

static void assign(struct run *r, const struct node *to, struct val v)
{
	if (to->kind == N_NAME) {
		scope_set(r, r->scope, to->s, v);
		return;
	}
	r->at = to->at;
	if (to->kind == N_ATTR) {
		struct val space = scope_get(r, to->a->s);
		if (space.type != V_SPACE)
			run_fail(r, ERR_INVALID, "cannot assign attribute on non-namespace object");
		else
			dict_set(r, space.d, val_str(to->s), v);
		return;
	}
	const struct list *l = val_items(r, v);
	if (!l)
		return;
	if (l->n != to->n) {
		run_fail(r, ERR_INVALID, "%zu values to unpack into %u names", l->n,
			(unsigned)to->n);
		return;
	}
	for (uint32_t i = 0; i < to->n && !r->err; i++)
		assign(r, to->kids[i], l->v[i]);
}

static void exec_if(struct run *r, const struct node *n)
{
	for (uint32_t i = 0; i < n->n && !r->err; i += 2) {
		bool last = i + 1 == n->n;
		if (last || val_true(eval(r, n->kids[i]))) {
			if (!r->err)
				exec(r, n->kids[last ? i : i + 1]);
			return;
		}
	}
}

/* The items that the loop's own "if" keeps. */
static const struct list *kept(struct run *r, const struct node *n, const struct list *in)
{
	struct scope *scope = r->scope;
	struct val out = list_new(r, LIST_LIST);
	for (size_t i = 0; i < in->n && !r->err; i++) {
		r->scope = scope_push(r, scope);
		assign(r, n->a, in->v[i]);
		if (!r->err && val_true(eval(r, n->kids[2])))
			list_add(r, out.l, in->v[i]);
	}
	r->scope = scope;
	return out.l;
}

static void exec_for(struct run *r, const struct node *n)
{
	struct val v = eval(r, n->b);
	const struct list *items = r->err ? NULL : val_items(r, v);
	struct scope *scope = r->scope;
	if (items && n->kids[2])
		items = kept(r, n, items);
	struct loop *loop = run_alloc(r, sizeof *loop);
	if (!items || !loop)
		return;
	/* A copy of the header: the list may not change, as nothing can change lists. */
	loop->items = items;
	loop->depth0 = 0; /* there are no recursive loops */
	loop->changed = val_undef(S("changed"));
	for (size_t i = 0; i < items->n && run_step(r, 1); i++) {
		loop->at = i;
		r->scope = scope_push(r, scope);
		scope_set(r, r->scope, S("loop"), (struct val){.type = V_LOOP, .loop = loop});
		assign(r, n->a, items->v[i]);
		if (r->err)
			break;
		exec(r, n->kids[0]);
		enum flow flow = r->flow;
		r->flow = FLOW_ON;
		if (flow == FLOW_BREAK)
			break;
	}
	r->scope = scope;
	if (items->n == 0 && n->kids[1] && !r->err) {
		r->scope = scope_push(r, scope);
		exec(r, n->kids[1]);
		r->scope = scope;
	}
}

static struct val filtered(struct run *r, const struct node *f, struct val v)
{
	if (!f)
		return v;
	v = filtered(r, f->a, v);
	return r->err ? v : eval_filter(r, f, v);
}

/* A block's body has names of its own. */
static struct val block_text(struct run *r, const struct node *body, const struct node *filters)
{
	struct scope *scope = r->scope;
	r->scope = scope_push(r, scope);
	struct val v = captured(r, body);
	r->scope = scope;
	return r->err ? v : filtered(r, filters, v);
}

static void exec_with(struct run *r, const struct node *n)
{
	struct scope *scope = r->scope, *own = scope_push(r, scope);
	for (uint32_t i = 0; i + 1 < n->n && !r->err; i += 2) {
		struct val v = eval(r, n->kids[i + 1]);
		r->scope = own;
		assign(r, n->kids[i], v);
		r->scope = scope;
	}
	r->scope = own;
	if (!r->err)
		exec(r, n->a);
	r->scope = scope;
}

static void exec_body(struct run *r, const struct node *n)
{
	for (uint32_t i = 0; i < n->n && !r->err && r->flow == FLOW_ON; i++)
		exec(r, n->kids[i]);
}

static void exec_inner(struct run *r, const struct node *n)
{
	struct val v;
	switch (n->kind) {
	case N_BODY:
		exec_body(r, n);
		return;
	case N_DATA:
		buf_adds(r->out, n->s);
		return;
	case N_OUT:
		v = eval(r, n->a);
		if (!r->err)
			val_print(r, v, r->out);
		return;
	case N_IF:
		exec_if(r, n);
		return;
	case N_FOR:
		exec_for(r, n);
		return;
	case N_SET:
		v = eval(r, n->b);
		if (!r->err)
			assign(r, n->a, v);
		return;
	case N_SET_BLOCK:
		v = block_text(r, n->b, n->c);
		if (!r->err)
			assign(r, n->a, v);
		return;
	case N_FILTER_BLOCK:
		v = block_text(r, n->b, n->c);
		if (!r->err)
			val_print(r, v, r->out);
		return;
	case N_MACRO:
		scope_set(r, r->scope, n->s,
			(struct val){.type = V_MACRO, .macro = n, .scope = r->scope});
		return;
	case N_CALL_BLOCK: {
		struct val caller = {.type = V_MACRO, .macro = n->b, .scope = r->scope};
		v = eval_call(r, n->a, &caller);
		if (!r->err)
			val_print(r, v, r->out);
		return;
	}
	case N_WITH:
		exec_with(r, n);
		return;
	case N_BREAK:
		r->flow = FLOW_BREAK;
		return;
	case N_CONTINUE:
		r->flow = FLOW_CONTINUE;
		return;
	default:
		run_fail(r, ERR_INTERNAL, "not a statement");
	}
}

static void exec(struct run *r, const struct node *n)
{
	if (!run_step(r, 1))
		return;
	if (++r->depth > RUN_DEPTH_MAX) {
		run_fail(r, ERR_LIMIT, "nested too deeply");
	} else {
		r->at = n->at;
		exec_inner(r, n);
		if (r->out->err == ERR_TOO_LARGE)
			run_fail(r, ERR_LIMIT, "the output is larger than %zu bytes", r->out->max);
		else if (r->out->err)
			run_fail(r, r->out->err, "out of memory");
	}
	r->depth--;
}

/* ---- the public face ---- */

/* CRLF and CR become LF; one line end at the very end goes, as Jinja's default is. */
static struct str normal_source(struct arena *a, struct str s)
{
	char *p = arena_alloc(a, s.n + 1);
	size_t n = 0;
	if (!p)
		return (struct str){0};
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\r') {
			p[n++] = '\n';
			i += i + 1 < s.n && s.p[i + 1] == '\n';
		} else {
			p[n++] = s.p[i];
		}
	}
	if (n && p[n - 1] == '\n')
		n--;
	return str_mk(p, n);
}

enum err template_parse(struct str source, struct template **out, struct errtext *et)
{
	if (source.n > SOURCE_MAX)
		return err_set(et, ERR_TOO_LARGE, "template: %zu bytes, the limit is %d", source.n,
			SOURCE_MAX);
	if (!utf8_valid(source))
		return err_set(et, ERR_INVALID, "template: not valid UTF-8");
	struct arena *a = arena_new(MEMORY_MAX);
	struct template *t = a ? arena_new_of(a, struct template) : NULL;
	struct str s = t ? normal_source(a, source) : (struct str){0};
	if (!s.p) {
		arena_free(a);
		return err_set(et, ERR_NOMEM, "template: out of memory");
	}
	struct lexed tokens;
	*t = (struct template){.arena = a, .source = s};
	enum err e = template_lex(a, s, &tokens, et);
	e = e ? e : template_tree(a, s, &tokens, &t->body, et);
	if (e) {
		arena_free(a);
		return e;
	}
	*out = t;
	return OK;
}

void template_free(struct template *t)
{
	if (t)
		arena_free(t->arena);
}

enum err template_render(const struct template *t, yyjson_val *vars,
	const struct template_limits *limits, struct buf *out, struct errtext *et)
{
	struct errtext own = {0};
	struct buf text = {.max = limits && limits->output_max ? limits->output_max : 64u << 20};
	struct run r = {.arena = arena_new(MEMORY_MAX),
		.out = &text,
		.et = et ? et : &own,
		.source = t->source,
		.steps_max = limits && limits->steps_max ? limits->steps_max : 10000000,
		.now_ms = limits && limits->now_unix_ms ? limits->now_unix_ms : clock_unix_ms()};
	if (!r.arena)
		return err_set(et, ERR_NOMEM, "template: out of memory");
	r.scope = scope_push(&r, NULL);
	size_t i, n;
	yyjson_val *k, *v;
	if (yyjson_is_obj(vars))
		yyjson_obj_foreach(vars, i, n, k, v)
		{
			if (!r.err)
				scope_set(&r, r.scope, json_val_str(k), val_from_json(&r, v, 0));
		}
	if (!r.err) {
		r.scope = scope_push(&r, r.scope);
		exec(&r, t->body);
	}
	if (!r.err)
		buf_adds(out, buf_str(&text));
	buf_free(&text);
	arena_free(r.arena);
	return r.err ? r.err : out->err;
}
