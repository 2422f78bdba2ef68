/* From alternatives to what the matcher walks: which values an item or a property may have, which
 * names are left; and which of all that has a value at all. */
#include "text/schema_int.h"

enum {
	PATTERNS_MAX = 6,
	PREFIX_MAX = 1024,
	LITS_MAX = 256,
	FINITE_MAX = 64,
	UNEVALUATED_MAX = 16,
	PICKS_MAX = 256
};

#define TRY(call)                     \
	do {                          \
		enum err e_ = (call); \
		if (e_)               \
			return e_;    \
	} while (0)

static enum err no_memory(struct compiler *c)
{
	return err_set(c->et, ERR_NOMEM, "the schema needs too much memory");
}

/* A set of literals being gathered. */
struct bag {
	struct lit lit[LITS_MAX];
	size_t n;
	bool full, empty; /* empty: no value can be in all of them */
};

static void bag_add(struct bag *b, struct lit l)
{
	bool never = l.value && !l.constant && yyjson_is_bool(l.value) &&
		     yyjson_is_true(l.value) == l.denied;
	b->empty |= never || (!l.value && l.denied);
	if (!l.value && !l.denied)
		return;
	if (b->n == LITS_MAX)
		b->full = true;
	else
		b->lit[b->n++] = l;
}

static enum err bag_node(struct compiler *c, const struct bag *b, struct node **out)
{
	if (b->full)
		return err_set(
			c->et, ERR_TOO_LARGE, "more than %d schemas apply to one value", LITS_MAX);
	return schema_node(c, b->lit, b->n, out);
}

static bool scope_within(const struct scope *s, const struct scope *outer)
{
	while (s && s != outer)
		s = s->up;
	return s != NULL;
}

/* ---- scalars ---- */

static enum err join_dfa(struct compiler *c, const struct dfa **known, const struct dfa *d)
{
	if (*known)
		return dfa_or(c->a, *known, d, known, c->et);
	*known = d;
	return OK;
}

/* A model gets no more digits than a double has, where the schema leaves it any number of them: it
 * might never end. */
static enum err add_num(struct compiler *c, struct node *n, const struct alt *a)
{
	const struct dfa *d = a->num ? a->num : c->number, *brief = NULL;
	if (!c->o->lenient)
		TRY(dfa_and(c->a, d, c->brief, &brief, c->et));
	return join_dfa(c, &n->num, brief ? brief : d);
}

/* The strings of an alternative as one automaton; NULL: none. */
static enum err string_dfa(struct compiler *c, const struct alt *a, const struct dfa **out)
{
	const struct dfa *d = a->str ? a->str : c->any;
	if (a->str_min || a->str_max != UNBOUNDED)
		TRY(dfa_length(c->a, d, a->str_min, a->str_max, &d, c->et));
	*out = d;
	return OK;
}

static enum err add_str(struct compiler *c, struct node *n, const struct alt *a)
{
	struct str_atom atom = {c->any, a->str_min, a->str_max};
	if (a->str) {
		atom = (struct str_atom){.max = UNBOUNDED};
		TRY(string_dfa(c, a, &atom.dfa));
		if (!atom.dfa)
			return OK;
	}
	for (uint32_t i = 0; i < n->n_strs; i++) {
		struct str_atom *s = &n->strs[i];
		if (a->str && s->dfa != c->any)
			return join_dfa(c, &s->dfa, atom.dfa);
		if (!a->str && s->dfa == c->any && atom.min <= s->max && s->min <= atom.max) {
			s->min = MIN(s->min, atom.min);
			s->max = MAX(s->max, atom.max);
			return OK;
		}
	}
	struct str_atom *p = arena_array_of(c->a, n->n_strs + 1, struct str_atom);
	if (!p)
		return no_memory(c);
	if (n->n_strs)
		memcpy(p, n->strs, n->n_strs * sizeof *p);
	p[n->n_strs++] = atom;
	n->strs = p;
	return OK;
}

/* ---- arrays ---- */

static void item_lits(const struct alt *a, size_t i, struct bag *b)
{
	for (const struct arr_part *p = a->arr; p; p = p->next) {
		if (i < p->n_prefix)
			bag_add(b, p->prefix[i]);
		else if (p->has_rest)
			bag_add(b, p->rest);
	}
	for (const struct uneval *u = a->arr_uneval; u; u = u->next) {
		bool seen = false;
		for (const struct arr_part *p = a->arr; p; p = p->next)
			seen |= scope_within(p->scope, u->scope) &&
				(i < p->n_prefix || p->has_rest);
		if (!seen)
			bag_add(b, u->lit);
	}
}

/* Only scalars are compared by the matcher, so items must be. That is a narrowing when other values
 * were allowed too; when only others were, it cannot be done. */
static enum err check_unique(struct compiler *c, const struct bag *b)
{
	struct node probe = {.lits = b->lit, .n_lits = b->n};
	const struct alt *alts;
	size_t n;
	unsigned types = 0;
	TRY(schema_expand(c, &probe, &alts, &n));
	for (size_t i = 0; i < n; i++)
		types |= alts[i].types;
	if ((types & (T_ARR | T_OBJ)) && !(types & ~(unsigned)(T_ARR | T_OBJ)))
		return err_set(c->et, ERR_UNSUPPORTED,
			"uniqueItems cannot be enforced over arrays or objects, only over scalars");
	return OK;
}

static enum err item_node(struct compiler *c, const struct alt *a,
	const struct contains_part *const *k, const struct arr_atom *atom, size_t i,
	unsigned variant, struct node **out)
{
	struct bag b = {0};
	item_lits(a, i, &b);
	for (uint32_t j = 0; j < atom->n_contains; j++) {
		struct lit l = k[j]->lit;
		bool counts = variant >> j & 1;
		l.denied ^= !counts;
		if (counts || k[j]->max != UNBOUNDED)
			bag_add(&b, l);
	}
	if (atom->unique) {
		if (!variant && !b.full)
			TRY(check_unique(c, &b));
		bag_add(&b, schema_lit(c->scalar, false));
	}
	return bag_node(c, &b, out);
}

static enum err add_arr(struct compiler *c, struct node *n, struct alt a)
{
	struct arr_atom atom = {
		.min = a.arr_min, .max = a.arr_max, .unique = a.unique && a.arr_max > 1};
	const struct contains_part *k[CONTAINS_MAX];
	size_t n_prefix = 0;
	struct arr_part none_of = {.has_rest = true};
	for (const struct contains_part *p = a.contains; p; p = p->next) {
		if (p->min > p->max)
			return OK;
		if (!p->min && p->max == UNBOUNDED)
			continue;
		if (p->max == 0) { /* no item may be so */
			struct arr_part *x = arena_new_of(c->a, struct arr_part);
			if (!x)
				return no_memory(c);
			*x = none_of;
			x->rest = p->lit;
			x->rest.denied ^= 1;
			x->next = a.arr;
			a.arr = x;
			continue;
		}
		if (atom.n_contains == CONTAINS_MAX)
			return err_set(c->et, ERR_UNSUPPORTED,
				"more than %d contains that meet in one array cannot be enforced",
				CONTAINS_MAX);
		atom.contains_min[atom.n_contains] = p->min;
		atom.contains_max[atom.n_contains] = p->max;
		k[atom.n_contains++] = p;
	}
	for (const struct arr_part *p = a.arr; p; p = p->next)
		n_prefix = MAX(n_prefix, p->n_prefix);
	n_prefix = MIN(n_prefix, (size_t)atom.max);
	if (n_prefix > PREFIX_MAX)
		return err_set(c->et, ERR_TOO_LARGE, "more than %d prefixItems", PREFIX_MAX);
	atom.n_prefix = (uint32_t)n_prefix;
	atom.items = arena_array_of(c->a, (n_prefix + 1) << atom.n_contains, struct node *);
	if (!atom.items)
		return no_memory(c);
	for (size_t i = 0; i <= n_prefix && i < atom.max; i++)
		for (unsigned v = 0; v < 1u << atom.n_contains; v++)
			TRY(item_node(
				c, &a, k, &atom, i, v, &atom.items[(i << atom.n_contains) + v]));
	struct arr_atom *p = arena_array_of(c->a, n->n_arrs + 1, struct arr_atom);
	if (!p)
		return no_memory(c);
	if (n->n_arrs)
		memcpy(p, n->arrs, n->n_arrs * sizeof *p);
	p[n->n_arrs++] = atom;
	n->arrs = p;
	return OK;
}

/* ---- objects ---- */

struct naming { /* what an object's names are, while it is built */
	const struct alt *alt;
	struct str pattern[PATTERNS_MAX];
	const struct dfa *regex[PATTERNS_MAX];
	size_t n_patterns;
	const struct dfa *allowed; /* by propertyNames; NULL: none */
	struct obj_atom atom;
	uint32_t cap;
	struct map index; /* name -> key + 1 */
};

static bool matches(const struct dfa *d, struct str s)
{
	uint32_t at = dfa_start(d);
	for (size_t i = 0; i < s.n && at != DFA_DEAD; i++)
		at = dfa_step(d, at, (uint8_t)s.p[i]);
	return at != DFA_DEAD && dfa_accept(d, at);
}

static size_t pattern_at(const struct naming *x, struct str pattern)
{
	size_t i = 0;
	while (i < x->n_patterns && !str_eq(x->pattern[i], pattern))
		i++;
	return i;
}

static enum err gather_patterns(struct compiler *c, struct naming *x)
{
	for (const struct obj_part *p = x->alt->obj; p; p = p->next) {
		size_t i, n;
		yyjson_val *key, *v;
		yyjson_obj_foreach(p->patterns, i, n, key, v)
		{
			struct str pattern = json_val_str(key);
			if (pattern_at(x, pattern) < x->n_patterns)
				continue;
			if (x->n_patterns == PATTERNS_MAX)
				return schema_complain(c, ERR_UNSUPPORTED, p->patterns,
					"more than %d patternProperties that meet in one object "
					"cannot be enforced",
					PATTERNS_MAX);
			TRY(schema_regex(c, key, pattern, &x->regex[x->n_patterns]));
			x->pattern[x->n_patterns++] = pattern;
		}
	}
	return OK;
}

/* The schemas for a name (or, name.p NULL, for names that no "properties" has) which matches the
 * patterns in `mask`. */
static void property_lits(const struct naming *x, struct str name, unsigned mask, struct bag *b)
{
	const struct uneval *u = x->alt->obj_uneval;
	bool seen[UNEVALUATED_MAX] = {0};
	for (const struct obj_part *p = x->alt->obj; p; p = p->next) {
		if (p->key.p) {
			if (name.p && str_eq(p->key, name))
				bag_add(b, p->value);
			continue;
		}
		size_t i, n;
		yyjson_val *key,
			*v = name.p ? yyjson_obj_getn(p->properties, name.p, name.n) : NULL;
		bool matched = v != NULL;
		if (v)
			bag_add(b, schema_lit(v, false));
		yyjson_obj_foreach(p->patterns, i, n, key, v)
		{
			if (!(mask >> pattern_at(x, json_val_str(key)) & 1))
				continue;
			matched = true;
			bag_add(b, schema_lit(v, false));
		}
		if (!matched && p->has_rest)
			bag_add(b, p->rest);
		size_t k = 0;
		for (const struct uneval *q = u; q; q = q->next, k++)
			seen[k] |= scope_within(p->scope, q->scope) && (matched || p->has_rest);
	}
	for (size_t k = 0; u; u = u->next, k++) {
		for (const struct uneval *q = x->alt->obj_uneval; q; q = q->next)
			seen[k] |= q != u && scope_within(q->scope, u->scope);
		if (!seen[k])
			bag_add(b, u->lit);
	}
}

static enum err add_key(struct compiler *c, struct naming *x, struct str name, struct node *value)
{
	struct obj_atom *o = &x->atom;
	if (o->n_keys == KEYS_MAX)
		return err_set(
			c->et, ERR_TOO_LARGE, "an object has more than %d properties", KEYS_MAX);
	if (o->n_keys == x->cap) {
		x->cap = x->cap ? x->cap * 2 : 8;
		struct obj_key *p = arena_array_of(c->a, x->cap, struct obj_key);
		if (!p)
			return no_memory(c);
		if (o->n_keys)
			memcpy(p, o->keys, o->n_keys * sizeof *p);
		o->keys = p;
	}
	o->keys[o->n_keys++] = (struct obj_key){.name = name, .value = value};
	return map_put(&x->index, name, (void *)(uintptr_t)o->n_keys) ? OK
								      : no_memory(c); /* NOLINT */
}

static enum err name_key(struct compiler *c, struct naming *x, struct str name)
{
	unsigned mask = 0;
	struct bag b = {0};
	struct node *value;
	if (map_get(&x->index, name))
		return OK;
	for (size_t i = 0; i < x->n_patterns; i++)
		mask |= (unsigned)matches(x->regex[i], name) << i;
	property_lits(x, name, mask, &b);
	if (!x->allowed || !matches(x->allowed, name))
		bag_add(&b, (struct lit){.denied = true});
	TRY(bag_node(c, &b, &value));
	return add_key(c, x, name, value);
}

static enum err name_keys(struct compiler *c, struct naming *x)
{
	const struct obj_part *parts[LITS_MAX];
	size_t n_parts = 0, i, n;
	for (const struct obj_part *p = x->alt->obj; p; p = p->next) {
		if (n_parts == LITS_MAX)
			return err_set(c->et, ERR_TOO_LARGE,
				"more than %d schemas apply to one object", LITS_MAX);
		parts[n_parts++] = p;
	}
	while (n_parts-- > 0) { /* in the schema's order */
		const struct obj_part *p = parts[n_parts];
		yyjson_val *key, *v;
		if (p->key.p)
			TRY(name_key(c, x, p->key));
		yyjson_obj_foreach(p->properties, i, n, key, v)
			TRY(name_key(c, x, json_val_str(key)));
	}
	for (const struct key_list *r = x->alt->required; r; r = r->next) {
		TRY(name_key(c, x, r->key));
		uintptr_t at = (uintptr_t)map_get(&x->index, r->key);
		x->atom.keys[at - 1].required = true;
	}
	return OK;
}

/* The names that match just these patterns and are no key's. Few of them become keys. */
static enum err name_class(
	struct compiler *c, struct naming *x, const struct dfa *others, unsigned mask)
{
	const struct dfa *d = others;
	struct bag b = {0};
	struct node *value;
	property_lits(x, (struct str){0}, mask, &b);
	for (size_t i = 0; i < x->n_patterns && d; i++) {
		const struct dfa *p = x->regex[i];
		if (!(mask >> i & 1))
			TRY(dfa_not(c->a, p, &p, c->et));
		TRY(dfa_and(c->a, d, p, &d, c->et));
	}
	if (!d || b.empty)
		return OK;
	TRY(bag_node(c, &b, &value));
	struct str *names;
	size_t n;
	TRY(dfa_list(c->a, d, FINITE_MAX, &names, &n, c->et));
	if (n != SIZE_MAX) {
		for (size_t i = 0; i < n; i++)
			TRY(add_key(c, x, names[i], value));
		return OK;
	}
	x->atom.classes[x->atom.n_classes++] = (struct obj_class){d, value};
	return OK;
}

static enum err name_classes(struct compiler *c, struct naming *x)
{
	const struct dfa *others = x->allowed, *known;
	struct obj_atom *o = &x->atom;
	struct str *names = arena_array_of(c->a, o->n_keys + 1, struct str);
	o->classes = arena_array_of(c->a, (size_t)1 << x->n_patterns, struct obj_class);
	if (!names || !o->classes)
		return no_memory(c);
	bool closed = true; /* no class has a value: nothing to compute */
	for (unsigned mask = 0; mask < 1u << x->n_patterns; mask++) {
		struct bag b = {0};
		property_lits(x, (struct str){0}, mask, &b);
		closed &= b.empty;
	}
	if (closed || !others)
		return OK;
	for (uint32_t i = 0; i < o->n_keys; i++)
		names[i] = o->keys[i].name;
	if (o->n_keys) {
		TRY(dfa_texts(c->a, names, o->n_keys, &known, c->et));
		TRY(dfa_not(c->a, known, &known, c->et));
		TRY(dfa_and(c->a, others, known, &others, c->et));
	}
	for (unsigned mask = 0; others && mask < 1u << x->n_patterns; mask++)
		TRY(name_class(c, x, others, mask));
	return OK;
}

/* The strings that every schema in propertyNames allows. */
static enum err allowed_names(struct compiler *c, const struct alt *a, const struct dfa **out)
{
	struct bag b = {0};
	const struct alt *alts;
	size_t n;
	const struct dfa *all = NULL;
	*out = c->any;
	if (!a->names)
		return OK;
	for (const struct lits *l = a->names; l; l = l->next)
		bag_add(&b, l->lit);
	if (b.full)
		return err_set(c->et, ERR_TOO_LARGE, "too many propertyNames");
	struct node probe = {.lits = b.lit, .n_lits = b.n};
	TRY(schema_expand(c, &probe, &alts, &n));
	for (size_t i = 0; i < n; i++) {
		const struct dfa *d = NULL;
		if (alts[i].types & T_STR)
			TRY(string_dfa(c, &alts[i], &d));
		if (d)
			TRY(join_dfa(c, &all, d));
	}
	*out = all;
	return OK;
}

static enum err add_obj(struct compiler *c, struct node *n, const struct alt *a)
{
	struct naming x = {.alt = a,
		.atom = {.min = a->obj_min, .max = a->obj_max, .any_order = c->o->lenient}};
	size_t n_uneval = 0;
	for (const struct uneval *u = a->obj_uneval; u; u = u->next)
		n_uneval++;
	if (n_uneval > UNEVALUATED_MAX)
		return err_set(c->et, ERR_TOO_LARGE,
			"more than %d unevaluatedProperties meet in one object", UNEVALUATED_MAX);
	enum err e = allowed_names(c, a, &x.allowed);
	if (!e)
		e = gather_patterns(c, &x);
	if (!e)
		e = name_keys(c, &x);
	if (!e)
		e = name_classes(c, &x);
	map_free(&x.index);
	if (e)
		return e;
	struct obj_atom *p = arena_array_of(c->a, n->n_objs + 1, struct obj_atom);
	if (!p)
		return no_memory(c);
	if (n->n_objs)
		memcpy(p, n->objs, n->n_objs * sizeof *p);
	p[n->n_objs++] = x.atom;
	n->objs = p;
	return OK;
}

/* ---- nodes ---- */

static enum err build(struct compiler *c, struct node *n)
{
	const struct alt *alts;
	size_t n_alts;
	TRY(schema_expand(c, n, &alts, &n_alts));
	for (size_t i = 0; i < n_alts; i++) {
		const struct alt *a = &alts[i];
		n->scalars |= a->types & (T_NULL | T_FALSE | T_TRUE);
		if (a->types & T_NUM)
			TRY(add_num(c, n, a));
		if (a->types & T_STR)
			TRY(add_str(c, n, a));
		if (a->types & T_ARR)
			TRY(add_arr(c, n, *a));
		if (a->types & T_OBJ)
			TRY(add_obj(c, n, a));
	}
	return OK;
}

enum err schema_build(struct compiler *c, struct node *n)
{
	enum err e = build(c, n);
	if (e == ERR_UNSUPPORTED && c->loose) {
		n->scalars |= T_NULL; /* as if it had a value */
		e = OK;
	}
	n->expanded = true;
	return e;
}

/* How many values a node has, if it is finite and all are scalars; else SIZE_MAX. */
static size_t scalar_count(const struct node *n)
{
	size_t count = (size_t)__builtin_popcount(n->scalars);
	if (n->n_arrs || n->n_objs)
		return SIZE_MAX;
	if (n->num)
		count += dfa_count(n->num, PICKS_MAX + 1);
	for (uint32_t i = 0; i < n->n_strs; i++)
		count += n->strs[i].max == UNBOUNDED ? dfa_count(n->strs[i].dfa, PICKS_MAX + 1)
						     : (n->strs[i].max ? PICKS_MAX + 1 : 1);
	return count <= PICKS_MAX ? count : SIZE_MAX;
}

static const struct node *item_at(const struct arr_atom *a, size_t i, unsigned variant)
{
	return a->items[(MIN(i, (size_t)a->n_prefix) << a->n_contains) + variant];
}

/* Bits of variants that item i can have; bit v for variant v. */
static unsigned variants_at(const struct arr_atom *a, size_t i)
{
	unsigned out = 0;
	for (unsigned v = 0; v < 1u << a->n_contains; v++) {
		const struct node *n = item_at(a, i, v);
		out |= (unsigned)(n && n->productive) << v;
	}
	return out;
}

/* The variants that do not count (or that do) for contains k. */
static unsigned variants_of(unsigned k, bool counts)
{
	static const unsigned with[2] = {0xa, 0xc};
	return counts ? with[k] : ~with[k] & 0xf;
}

/* At most how many items, as far as is known; false: not even the least. */
static bool arr_reach(const struct arr_atom *a, uint32_t *max)
{
	uint32_t forced[CONTAINS_MAX] = {0}, can[CONTAINS_MAX] = {0};
	*max = a->max;
	for (uint32_t i = 0; i <= a->n_prefix && i < *max; i++) {
		unsigned v = variants_at(a, i);
		uint32_t here = i < a->n_prefix ? 1 : *max - i; /* the rest are alike */
		if (!v)
			*max = i;
		for (uint32_t k = 0; k < a->n_contains && v; k++) {
			if (v & variants_of(k, true))
				can[k] = here > UNBOUNDED - can[k] ? UNBOUNDED : can[k] + here;
			if (v & variants_of(k, false))
				continue;
			uint32_t left = a->contains_max[k] == UNBOUNDED
						? UNBOUNDED
						: a->contains_max[k] - forced[k];
			if (here > left)
				*max = (uint32_t)MIN((uint64_t)*max, (uint64_t)i + left);
			forced[k] += MIN(here, left);
		}
	}
	if (a->unique && !a->n_prefix && !a->n_contains && *max) {
		size_t n = scalar_count(a->items[0]);
		*max = (uint32_t)MIN((size_t)*max, n);
	}
	for (uint32_t k = 0; k < a->n_contains; k++)
		if (MIN(can[k], *max) < a->contains_min[k])
			return false;
	return a->min <= *max;
}

static bool obj_possible(const struct obj_atom *o)
{
	uint32_t possible = 0, required = 0;
	bool open = false;
	for (uint32_t i = 0; i < o->n_keys; i++) {
		if (o->keys[i].required && !o->keys[i].value->productive)
			return false;
		required += o->keys[i].required;
		possible += o->keys[i].value->productive;
	}
	for (uint32_t i = 0; i < o->n_classes; i++)
		open |= o->classes[i].value->productive;
	return required <= o->max && (open || o->min <= possible);
}

bool schema_improve(struct node *n)
{
	if (n->productive)
		return false;
	bool yes = n->scalars || n->num || n->n_strs;
	for (uint32_t i = 0; i < n->n_arrs && !yes; i++) {
		uint32_t max;
		yes = arr_reach(&n->arrs[i], &max);
	}
	for (uint32_t i = 0; i < n->n_objs && !yes; i++)
		yes = obj_possible(&n->objs[i]);
	n->productive = yes;
	return yes;
}

/* ---- finishing: what has no value goes, and tables are made ---- */

/* reach[state][words]: the tags that can be reached from a state of a finite set's automaton, which
 * has no circles: children first. */
static enum err make_reach(
	struct compiler *c, const struct dfa *d, uint32_t n_words, uint64_t **out)
{
	uint32_t n = dfa_states(d), depth = 0;
	uint64_t *r = arena_array_of(c->a, (size_t)n * n_words, uint64_t);
	uint8_t *met = arena_array_of(c->a, n, uint8_t);
	struct {
		uint32_t state, byte;
	} *stack = arena_array(c->a, n + 1, sizeof *stack);
	if (!r || !met || !stack)
		return no_memory(c);
	stack[depth++].state = dfa_start(d);
	met[dfa_start(d)] = 1;
	while (depth) {
		uint32_t s = stack[depth - 1].state, to = DFA_DEAD;
		while (stack[depth - 1].byte < 256 && (to == DFA_DEAD || met[to]))
			to = dfa_step(d, s, (uint8_t)stack[depth - 1].byte++);
		if (to != DFA_DEAD && !met[to]) {
			met[to] = 1;
			stack[depth].state = to;
			stack[depth++].byte = 0;
			continue;
		}
		uint32_t tag = dfa_accept(d, s);
		if (tag)
			r[(size_t)s * n_words + (tag - 1) / 64] |= 1ull << (tag - 1) % 64;
		for (unsigned byte = 0; byte < 256; byte++) {
			to = dfa_step(d, s, (uint8_t)byte);
			for (uint32_t w = 0; to != DFA_DEAD && w < n_words; w++)
				r[(size_t)s * n_words + w] |= r[(size_t)to * n_words + w];
		}
		depth--;
	}
	*out = r;
	return OK;
}

static enum err finish_obj(struct compiler *c, struct obj_atom *o)
{
	uint32_t n = 0, m = 0;
	const struct dfa **sets = arena_array_of(c->a, o->n_classes + 1, const struct dfa *);
	struct str *names = arena_array_of(c->a, o->n_keys + 1, struct str);
	if (!sets || !names)
		return no_memory(c);
	for (uint32_t i = 0; i < o->n_keys; i++)
		if (o->keys[i].value->productive) {
			names[n] = o->keys[i].name;
			o->n_required += o->keys[i].required;
			o->keys[n++] = o->keys[i];
		}
	for (uint32_t i = 0; i < o->n_classes; i++)
		if (o->classes[i].value->productive) {
			sets[m] = o->classes[i].names;
			o->classes[m++] = o->classes[i];
		}
	o->n_keys = n;
	o->n_classes = m;
	o->n_words = (n + 63) / 64;
	o->hashed = m && o->min > 1 && o->min > o->n_required;
	o->required = arena_array_of(c->a, o->n_words + 1, uint64_t);
	if (!o->required)
		return no_memory(c);
	for (uint32_t i = 0; i < n; i++)
		o->required[i / 64] |= (uint64_t)o->keys[i].required << i % 64;
	if (m)
		TRY(dfa_tagged(c->a, sets, m, &o->open, c->et));
	if (!n)
		return OK;
	TRY(dfa_texts(c->a, names, n, &o->exact, c->et));
	return make_reach(c, o->exact, o->n_words, &o->reach);
}

static enum err add_texts(
	struct compiler *c, const struct dfa *d, bool quoted, struct str *out, size_t *n)
{
	struct str *list;
	size_t m;
	TRY(dfa_list(c->a, d, PICKS_MAX, &list, &m, c->et));
	for (size_t i = 0; i < m; i++) {
		struct buf b = {0};
		if (quoted)
			json_escape(&b, list[i]);
		else
			buf_adds(&b, list[i]);
		out[*n] = arena_str(c->a, buf_str(&b));
		bool ok = !b.err && out[*n].p;
		buf_free(&b);
		if (!ok)
			return no_memory(c);
		++*n;
	}
	return OK;
}

static enum err finish_picks(struct compiler *c, struct arr_atom *a)
{
	static const char *const words[] = {"null", "false", "true"};
	const struct node *item = a->items[0];
	struct str *texts = arena_array_of(c->a, PICKS_MAX + 1, struct str);
	size_t n = 0;
	if (!texts)
		return no_memory(c);
	for (unsigned i = 0; i < 3; i++)
		if (item->scalars >> i & 1)
			texts[n++] = str_c(words[i]);
	if (item->num)
		TRY(add_texts(c, item->num, false, texts, &n));
	for (uint32_t i = 0; i < item->n_strs; i++)
		TRY(add_texts(c, item->strs[i].dfa, true, texts, &n));
	a->n_picks = (uint32_t)n;
	TRY(dfa_texts(c->a, texts, n, &a->picks, c->et));
	return make_reach(c, a->picks, (a->n_picks + 63) / 64, &a->pick_reach);
}

static enum err finish_arr(struct compiler *c, struct arr_atom *a, bool *keep)
{
	uint32_t max;
	*keep = arr_reach(a, &max);
	a->max = max;
	if (!*keep || !a->unique || max < 2)
		return OK;
	bool finite = false;
	for (size_t i = 0; i < (size_t)(a->n_prefix + 1) << a->n_contains; i++)
		finite |= a->items[i] && scalar_count(a->items[i]) != SIZE_MAX;
	if (!finite)
		return OK;
	if (a->n_prefix || a->n_contains)
		return err_set(c->et, ERR_UNSUPPORTED,
			"uniqueItems cannot be enforced with prefixItems or contains over few "
			"values");
	return finish_picks(c, a);
}

enum err schema_finish(struct compiler *c, struct node *n)
{
	uint32_t m = 0;
	for (uint32_t i = 0; i < n->n_arrs; i++) {
		bool keep;
		TRY(finish_arr(c, &n->arrs[i], &keep));
		if (keep)
			n->arrs[m++] = n->arrs[i];
	}
	n->n_arrs = m;
	m = 0;
	for (uint32_t i = 0; i < n->n_objs; i++)
		if (obj_possible(&n->objs[i])) {
			TRY(finish_obj(c, &n->objs[i]));
			n->objs[m++] = n->objs[i];
		}
	n->n_objs = m;
	return OK;
}
