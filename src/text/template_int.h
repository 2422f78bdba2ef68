/* Inside templates: source -> tokens (template_lex.c) -> tree (template_parse.c), which template.c
 * walks. Values are Python's as far as templates can tell: that is what the templates were written
 * for. The tree lives in the template's arena, the values of one rendering in the rendering's. */
#ifndef TEXT_TEMPLATE_INT_H
#define TEXT_TEMPLATE_INT_H
#include "base/arena.h"
#include "text/template.h"

enum {
	PARSE_DEPTH_MAX = 150,
	RUN_DEPTH_MAX = 400,   /* nested statements, expressions and macro calls */
	VALUE_DEPTH_MAX = 150, /* nested lists when printed or compared */
	ARGS_MAX = 16,
	RANGE_MAX = 100000,
	SOURCE_MAX = 1 << 20,
	MEMORY_MAX = 256 << 20,
};

/* ---- values ---- */

enum val_type {
	V_UNDEF,
	V_NONE,
	V_BOOL,
	V_INT,
	V_FLOAT,
	V_STR,
	V_LIST,
	V_DICT,
	V_SPACE,
	V_LOOP,
	V_MACRO,
	V_FUNC,
	V_METHOD
};

struct val {
	enum val_type type;
	union {
		bool b;
		int64_t i;
		double f;
		struct str s; /* V_UNDEF: what was looked for */
		struct list *l;
		struct dict *d; /* V_DICT, V_SPACE */
		struct loop *loop;
		const struct node *macro;
		struct method *m;
	};
	struct scope *scope; /* V_MACRO: where it was defined */
};

enum list_kind { LIST_LIST, LIST_TUPLE, LIST_LAZY, LIST_VIEW };

struct list {
	struct val *v;
	size_t n, cap;
	enum list_kind kind; /* lazy: what Python gives as a generator: always true, no length */
};

struct entry {
	struct val k, v;
};

struct dict {
	struct entry *e;
	size_t n, cap;
};

struct loop {
	const struct list *items;
	size_t at, depth0;
	struct val changed;
};

struct method {
	struct val self;
	struct str name;
};

/* ---- tokens ---- */

enum tok {
	T_EOF,
	T_DATA,
	T_VAR_BEGIN,
	T_VAR_END,
	T_BLOCK_BEGIN,
	T_BLOCK_END,
	T_NAME,
	T_STR,
	T_INT,
	T_FLOAT,
	T_OP
};

struct token {
	enum tok type;
	struct str s; /* the name, the text, the operator */
	int64_t i;
	double f;
	uint32_t at; /* in the source */
};

/* ---- tree ---- */

enum node_kind {
	/* statements */
	N_DATA,
	N_OUT,
	N_IF,
	N_FOR,
	N_SET,
	N_SET_BLOCK,
	N_MACRO,
	N_WITH,
	N_FILTER_BLOCK,
	N_BREAK,
	N_CONTINUE,
	N_BODY,
	N_CALL_BLOCK,
	/* expressions */
	N_CONST,
	N_NAME,
	N_LIST,
	N_TUPLE,
	N_DICT,
	N_ATTR,
	N_ITEM,
	N_SLICE,
	N_CALL,
	N_FILTER,
	N_TEST,
	N_NOT,
	N_NEG,
	N_POS,
	N_AND,
	N_OR,
	N_BINARY,
	N_CONCAT,
	N_COMPARE,
	N_COND,
};

enum binary { B_ADD, B_SUB, B_MUL, B_DIV, B_FLOOR, B_MOD, B_POW };
enum compare { C_EQ, C_NE, C_LT, C_LE, C_GT, C_GE, C_IN, C_NOT_IN };

/* What a, b, c and kids mean is said where the parser makes each kind. */
struct node {
	enum node_kind kind;
	uint8_t op;
	uint32_t at;
	struct str s;
	struct val v;
	struct node *a, *b, *c;
	struct node **kids;
	struct str *names; /* of the last n_names kids: keyword arguments, defaults */
	uint8_t *ops;
	uint32_t n, n_names;
};

struct template
{
	struct arena *arena;
	struct str source;
	struct node *body;
};

struct lexed {
	struct token *t;
	size_t n;
};
enum err template_lex(struct arena *a, struct str source, struct lexed *out, struct errtext *et);
enum err template_tree(struct arena *a, struct str source, const struct lexed *in,
	struct node **out, struct errtext *et);
void template_place(struct str source, uint32_t at, unsigned *line, unsigned *column);

/* ---- running ---- */

struct var {
	struct str name;
	struct val v;
};

struct scope {
	struct scope *up;
	struct var *var;
	size_t n, cap;
};

enum flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE };

struct run {
	struct arena *arena;
	struct buf *out;
	struct scope *scope;
	struct errtext *et;
	enum err err;
	uint64_t steps, steps_max;
	unsigned depth;
	enum flow flow;
	int64_t now_ms;
	uint32_t at; /* the node being run, for errors */
	struct str source;
};

struct args {
	struct val v[ARGS_MAX];
	struct str name[ARGS_MAX]; /* {NULL, 0}: positional; those come first */
	unsigned n, n_pos;
};

/* Sets the error with the place in the template; the first one stays. Returns undefined. */
struct val run_fail(struct run *r, enum err e, const char *fmt, ...) PRINTF_LIKE(3, 4);
bool run_step(struct run *r, uint64_t n); /* false: stopped */
void *run_alloc(struct run *r, size_t n);
struct str run_str(struct run *r, struct str s);  /* copy */
struct str run_buf(struct run *r, struct buf *b); /* takes b's content, frees b */

static inline struct val val_none(void)
{
	return (struct val){.type = V_NONE};
}
static inline struct val val_bool(bool b)
{
	return (struct val){.type = V_BOOL, .b = b};
}
static inline struct val val_int(int64_t i)
{
	return (struct val){.type = V_INT, .i = i};
}
static inline struct val val_float(double f)
{
	return (struct val){.type = V_FLOAT, .f = f};
}
static inline struct val val_str(struct str s)
{
	return (struct val){.type = V_STR, .s = s};
}
static inline struct val val_undef(struct str what)
{
	return (struct val){.type = V_UNDEF, .s = what};
}
static inline bool is_number(struct val v)
{
	return v.type == V_INT || v.type == V_FLOAT || v.type == V_BOOL;
}
static inline int64_t as_int(struct val v) /* of V_INT, V_BOOL */
{
	return v.type == V_BOOL ? v.b : v.i;
}
static inline double as_float(struct val v)
{
	return v.type == V_FLOAT ? v.f : (double)as_int(v);
}

struct val list_new(struct run *r, enum list_kind kind);
void list_add(struct run *r, struct list *l, struct val v);
struct val dict_new(struct run *r);
void dict_set(struct run *r, struct dict *d, struct val k, struct val v);
const struct val *dict_get(struct run *r, const struct dict *d, struct val k);
struct val val_from_json(struct run *r, yyjson_val *j, unsigned depth);

const char *val_type_name(struct val v); /* Python's */
bool val_true(struct val v);
bool val_equal(struct run *r, struct val a, struct val b, unsigned depth);
int val_order(struct run *r, struct val a, struct val b, unsigned depth); /* <0, 0, >0; may fail */
bool val_in(struct run *r, struct val item, struct val box);
void val_print(struct run *r, struct val v, struct buf *out);                /* str() */
void val_repr(struct run *r, struct val v, struct buf *out, unsigned depth); /* repr() */
struct str val_text(struct run *r, struct val v);
/* What a loop goes over; NULL and an error for what has no items. */
const struct list *val_items(struct run *r, struct val v);
int64_t val_length(struct run *r, struct val v); /* -1 and an error */
struct json_style {
	bool ascii, sort;
	int indent; /* -1: one line */
	struct str item, key;
	struct str indent_text;
};
void val_json(
	struct run *r, struct val v, const struct json_style *st, struct buf *out, unsigned depth);

struct val val_attr(struct run *r, struct val v, struct str name);
struct val val_item(struct run *r, struct val v, struct val key);
struct val val_slice(struct run *r, struct val v, struct val from, struct val to, struct val step);
struct val val_binary(struct run *r, enum binary op, struct val a, struct val b);

/* template_call.c */
bool val_has_method(struct val v, struct str name);
struct val call_function(struct run *r, struct val f, const struct args *a);
struct val call_method(struct run *r, const struct method *m, const struct args *a);
struct val call_filter(struct run *r, struct str name, struct val v, const struct args *a);
bool call_test(struct run *r, struct str name, struct val v, const struct args *a);
struct val find_global(struct str name); /* V_UNDEF: there is none */
struct val call_macro(
	struct run *r, struct val macro, const struct args *a, const struct val *caller);

/* template_text.c: Python's string methods, by code points */
size_t text_length(struct str s);
size_t text_offset(struct str s, size_t cp); /* of the cp-th code point, at most s.n */
bool text_is_space(uint32_t cp);
struct str text_strip(
	struct str s, struct str chars, int sides); /* 1 left, 2 right; chars NULL: space */
enum text_case { TEXT_UPPER, TEXT_LOWER, TEXT_TITLE, TEXT_CAPITALIZE };
struct str text_case(struct run *r, struct str s, enum text_case c);
void text_float(double f, struct buf *out); /* repr of a float */

#endif
