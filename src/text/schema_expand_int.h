/* Facts, literals still to be applied, choices: what expanding a schema works with
 * (schema_expand.c). All lists are immutable and live in the compiler's arena, so a branch is
 * copied by assignment. */
#ifndef TEXT_SCHEMA_EXPAND_INT_H
#define TEXT_SCHEMA_EXPAND_INT_H
#include "text/schema_int.h"

struct todo { /* a literal to apply, and where it was applied from */
	const struct todo *next;
	struct lit lit;
	const struct scope *scope;
};

struct option { /* all of these hold */
	const struct option *next;
	const struct todo *lits;
	struct alt facts; /* met with what is known */
	bool has_facts;
};

struct choice {
	const struct choice *next;
	const struct option *options;
};

struct seen {
	const struct seen *next;
	struct lit lit;
};

struct branch { /* what is known, and what is still to be done */
	struct alt alt;
	const struct todo *todo;
	const struct choice *choices;
	const struct seen *seen;
};

/* Passes an error on. */
#define TRY(call)                     \
	do {                          \
		enum err e_ = (call); \
		if (e_)               \
			return e_;    \
	} while (0)

enum err schema_no_memory(struct compiler *c);
/* An arena copy of a small struct, for the immutable lists; NULL when out of memory. */
void *schema_keep(struct compiler *c, const void *p, size_t n);
#define KEEP(c, type, ...) ((type *)schema_keep((c), &(type)__VA_ARGS__, sizeof(type)))

/* ---- schema_facts.c ---- */

extern const struct alt facts_any;
struct alt facts_of(unsigned types); /* nothing but that it is of one of these types */
enum err fact_meet(struct compiler *c, struct alt *a, const struct alt *b); /* a and b hold */
enum err fact_meet_dfa(struct compiler *c, const struct dfa **known, const struct dfa *fact,
	unsigned *types, unsigned type);
enum err fact_required(struct compiler *c, struct alt *a, struct str key);
enum err fact_property(struct compiler *c, struct alt *a, struct str key, struct lit value);
enum err fact_item(struct compiler *c, struct alt *a, size_t at, struct lit value);

extern const struct lit lit_nothing;
struct lit lit_not(struct lit l);
bool lit_always(struct lit l);

enum err todo_add(
	struct compiler *c, const struct todo **list, struct lit lit, const struct scope *scope);
enum err option_add(struct compiler *c, const struct option **list, const struct todo *lits,
	const struct alt *facts);
enum err option_add_lit(
	struct compiler *c, const struct option **list, struct lit lit, const struct scope *scope);
enum err choice_add(struct compiler *c, struct branch *b, const struct option *options);

/* Keywords, with errors that say where. */
yyjson_val *kw_get(yyjson_val *schema, const char *key);
enum err kw_count(
	struct compiler *c, yyjson_val *schema, const char *key, uint32_t *out, bool *has);
enum err kw_obj(struct compiler *c, yyjson_val *schema, const char *key, yyjson_val **out);
enum err kw_list(struct compiler *c, yyjson_val *schema, const char *key, yyjson_val **out);
enum err kw_strings(struct compiler *c, yyjson_val *list, const char *key);
enum err kw_cannot(struct compiler *c, yyjson_val *at, const char *what, const char *why);

/* ---- what a schema's keywords say when it holds, and how it may fail: an option for each way ----
 */

enum err scalars_hold(struct compiler *c, yyjson_val *s,
	struct branch *b); /* type, enum, const, numbers, strings */
enum err scalars_fail(struct compiler *c, yyjson_val *s, const struct option **out);
enum err constant_holds(struct compiler *c, yyjson_val *v, struct branch *b);
enum err constant_fails(struct compiler *c, yyjson_val *v, const struct option **out);
enum err arrays_hold(
	struct compiler *c, yyjson_val *s, struct branch *b, const struct scope *scope);
enum err arrays_fail(struct compiler *c, yyjson_val *s, const struct option **out);
enum err objects_hold(
	struct compiler *c, yyjson_val *s, struct branch *b, const struct scope *scope);
enum err objects_fail(struct compiler *c, yyjson_val *s, const struct option **out);

#endif
