/* The footer of a Parquet file: what columns there are, and where their pages lie. */
#include "text/parquet_int.h"

#include <inttypes.h>

enum { NODES_MAX = 20000, GROUPS_MAX = 1 << 20, PATH_MAX_BYTES = 1000, DEPTH_MAX = 16 };
enum repetition { REQUIRED = 0, OPTIONAL = 1, REPEATED = 2 };

struct node {
	struct str name;
	int64_t type, width, repetition, children, converted, scale;
	enum meaning meaning;
	bool list; /* the group says that it is one */
};

static enum err damaged(const char *what, struct errtext *et)
{
	return err_set(et, ERR_CORRUPT, "the Parquet file is damaged: %s", what);
}

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a Parquet file");
}

/* ---- the schema ---- */

static enum meaning of_converted(int64_t c)
{
	static const struct {
		int64_t converted;
		enum meaning meaning;
	} list[] = {{0, AS_TEXT}, {4, AS_TEXT}, {5, AS_DECIMAL}, {6, AS_DATE}, {9, AS_MILLIS},
		{10, AS_MICROS}, {11, AS_UNSIGNED}, {12, AS_UNSIGNED}, {13, AS_UNSIGNED},
		{14, AS_UNSIGNED}, {19, AS_JSON}};
	for (size_t i = 0; i < ARRAY_LEN(list); i++)
		if (list[i].converted == c)
			return list[i].meaning;
	return AS_IT_IS;
}

static void read_unit(struct thrift *t, enum meaning *out)
{
	int id = 0;
	enum thrift_type type;
	while (thrift_field(t, &id, &type)) {
		*out = id == 1 ? AS_MILLIS : id == 2 ? AS_MICROS : AS_NANOS;
		thrift_skip(t, type);
	}
}

/* TIMESTAMP {1: UTC?, 2: unit}, INTEGER {1: bits, 2: signed}, DECIMAL {1: scale, 2: precision} */
static void read_parameters(struct thrift *t, int kind, struct node *n)
{
	int id = 0;
	enum thrift_type type;
	n->meaning = kind == 5 ? AS_DECIMAL : n->meaning;
	while (thrift_field(t, &id, &type)) {
		if (kind == 8 && id == 2 && type == T_STRUCT)
			read_unit(t, &n->meaning);
		else if (kind == 5 && id == 1 && type == T_I32)
			n->scale = thrift_int(t);
		else if (kind == 10 && id == 2)
			n->meaning = type == T_FALSE ? AS_UNSIGNED : n->meaning;
		else
			thrift_skip(t, type);
	}
}

/* A union: the field that is there says what is meant. */
static void read_logical(struct thrift *t, struct node *n)
{
	int id = 0;
	enum thrift_type type;
	while (thrift_field(t, &id, &type)) {
		switch (id) {
		case 1:
		case 4:
			n->meaning = AS_TEXT;
			break;
		case 3:
			n->list = true;
			break;
		case 6:
			n->meaning = AS_DATE;
			break;
		case 12:
			n->meaning = AS_JSON;
			break;
		case 15:
			n->meaning = AS_HALF;
			break;
		default:
			break;
		}
		if ((id == 5 || id == 8 || id == 10) && type == T_STRUCT)
			read_parameters(t, id, n);
		else
			thrift_skip(t, type);
	}
}

static void read_node(struct thrift *t, struct node *n)
{
	int id = 0;
	enum thrift_type type;
	*n = (struct node){.type = -1, .converted = -1};
	while (thrift_field(t, &id, &type)) {
		if (id == 4 && type == T_BINARY)
			n->name = thrift_binary(t);
		else if (id == 10 && type == T_STRUCT)
			read_logical(t, n);
		else if (type != T_I32)
			thrift_skip(t, type);
		else if (id == 1)
			n->type = thrift_int(t);
		else if (id == 2)
			n->width = thrift_int(t);
		else if (id == 3)
			n->repetition = thrift_int(t);
		else if (id == 5)
			n->children = thrift_int(t);
		else if (id == 6)
			n->converted = thrift_int(t);
		else if (id == 7)
			n->scale = thrift_int(t);
		else
			thrift_skip(t, type);
	}
	n->list |= n->converted == 3;
	if (n->meaning == AS_IT_IS)
		n->meaning = of_converted(n->converted);
}

/* Where the walk over the tree stands. */
struct walk {
	const struct node *nodes;
	size_t n, at;
	struct arena *a;
	struct leaf *leaves;
	size_t n_leaves;
};

struct above {
	struct str name; /* of the column, as far as it is known */
	uint8_t def, rep, def_list;
	bool in_list; /* names below are the list's own, and say nothing */
};

static enum parquet_kind kind_of(const struct leaf *l)
{
	switch (l->meaning) {
	case AS_TEXT:
	case AS_DATE:
	case AS_MILLIS:
	case AS_MICROS:
	case AS_NANOS:
	case AS_TIME96:
		return PARQUET_TEXT;
	case AS_JSON:
		return PARQUET_JSON;
	case AS_UNSIGNED:
		return PARQUET_UINT;
	case AS_DECIMAL:
	case AS_HALF:
		return PARQUET_REAL;
	default:
		return l->type == BOOLEAN                      ? PARQUET_BOOL
		       : l->type == INT32 || l->type == INT64  ? PARQUET_INT
		       : l->type == FLOAT || l->type == DOUBLE ? PARQUET_REAL
							       : PARQUET_BYTES;
	}
}

/* Does what is meant fit the bytes? */
static bool fits(const struct leaf *l)
{
	bool integer = l->type == INT32 || l->type == INT64;
	switch (l->meaning) {
	case AS_TEXT:
	case AS_JSON:
		return l->type == BYTE_ARRAY || l->type == FIXED;
	case AS_DATE:
		return l->type == INT32;
	case AS_UNSIGNED:
		return integer;
	case AS_MILLIS:
	case AS_MICROS:
	case AS_NANOS:
		return l->type == INT64;
	case AS_DECIMAL:
		return integer && l->scale >= 0 && l->scale <= 18;
	case AS_HALF:
		return l->type == FIXED && l->width == 2;
	case AS_TIME96:
		return l->type == INT96;
	default:
		return l->type != INT96;
	}
}

static enum err add_leaf(
	struct walk *w, const struct node *n, const struct above *up, struct errtext *et)
{
	struct leaf *l = &w->leaves[w->n_leaves];
	if (n->type < BOOLEAN || n->type > FIXED || n->width < 0 || n->width > PARQUET_PAGE_MAX ||
		(n->type == FIXED && !n->width))
		return damaged("a column has no valid type", et);
	if (w->n_leaves == PARQUET_COLUMNS_MAX)
		return err_set(et, ERR_LIMIT, "a Parquet file of more than %d columns",
			PARQUET_COLUMNS_MAX);
	*l = (struct leaf){.type = (enum physical)n->type,
		.meaning = n->meaning,
		.width = (int32_t)n->width,
		.scale = (int32_t)n->scale,
		.def_max = up->def,
		.rep_max = up->rep,
		.def_list = up->def_list};
	if (l->type == INT96 && l->meaning == AS_IT_IS)
		l->meaning = AS_TIME96;
	if (up->rep > 1)
		l->unread = "holds lists of lists";
	else if (!fits(l))
		l->unread = "is of a type that is not read";
	l->column = (struct parquet_column){up->name, kind_of(l), up->rep > 0};
	w->n_leaves++;
	return OK;
}

static enum err walk_node(struct walk *w, struct above up, unsigned depth, struct errtext *et)
{
	if (w->at >= w->n || depth > DEPTH_MAX)
		return damaged("its schema is cut off or too deep", et);
	const struct node *n = &w->nodes[w->at++];
	if (n->repetition < REQUIRED || n->repetition > REPEATED)
		return damaged("its schema is not valid", et);
	if (depth && !up.in_list) {
		up.name = up.name.n
				  ? arena_fmt(w->a, "%.*s.%.*s", STR_FMT(up.name), STR_FMT(n->name))
				  : arena_str(w->a, n->name);
		if (!up.name.p)
			return no_memory(et);
		if (up.name.n > PATH_MAX_BYTES || !utf8_valid(up.name))
			return damaged("the name of a column is too long, or no text", et);
	}
	up.def = (uint8_t)(up.def + (depth && n->repetition != REQUIRED));
	if (depth && n->repetition == REPEATED) {
		up.rep++;
		up.def_list = up.def;
	}
	if (n->type >= 0 && !n->children)
		return add_leaf(w, n, &up, et);
	if (n->children < 0 || n->children > NODES_MAX)
		return damaged("its schema is not valid", et);
	/* a list's repeated group has one child, its element: both without a name of their own */
	up.in_list |= n->list && n->children == 1;
	if (up.in_list && up.rep && n->children > 1)
		up.in_list = false;
	enum err e = OK;
	for (int64_t i = 0; i < n->children && !e; i++)
		e = walk_node(w, up, depth + 1, et);
	return e;
}

static enum err read_schema(struct thrift *t, struct arena *a, struct meta *m, struct errtext *et)
{
	size_t n = thrift_list(t, T_STRUCT);
	if (!n || n > NODES_MAX)
		return damaged("its schema is empty or too large", et);
	struct node *nodes = arena_array_of(a, n, struct node);
	struct walk w = {.nodes = nodes, .n = n, .a = a};
	w.leaves = arena_array_of(a, MIN(n, (size_t)PARQUET_COLUMNS_MAX), struct leaf);
	if (!nodes || !w.leaves)
		return no_memory(et);
	for (size_t i = 0; i < n && !t->bad; i++)
		read_node(t, &nodes[i]);
	if (t->bad)
		return damaged("its schema cannot be read", et);
	enum err e = walk_node(&w, (struct above){.name = S("")}, 0, et);
	if (!e && w.at != n)
		e = damaged("its schema has more than one root", et);
	m->leaves = w.leaves;
	m->n_leaves = w.n_leaves;
	return e;
}

/* ---- row groups ---- */

static void read_column(struct thrift *t, struct chunk *c)
{
	int id = 0, inner = 0;
	enum thrift_type type;
	int64_t data = -1, dictionary = -1;
	while (thrift_field(t, &id, &type)) {
		if (id != 3 || type != T_STRUCT) {
			thrift_skip(t, type);
			continue;
		}
		inner = 0;
		while (thrift_field(t, &inner, &type)) {
			bool number = type == T_I32 || type == T_I64;
			if (number && inner == 4)
				c->codec = thrift_int(t);
			else if (number && inner == 5)
				c->values = thrift_int(t);
			else if (number && inner == 7)
				c->size = thrift_int(t);
			else if (number && inner == 9)
				data = thrift_int(t);
			else if (number && inner == 11)
				dictionary = thrift_int(t);
			else
				thrift_skip(t, type);
		}
	}
	c->begin = dictionary > 0 && dictionary < data ? dictionary : data;
}

static enum err read_group(
	struct thrift *t, struct arena *a, size_t n_leaves, struct row_group *g, struct errtext *et)
{
	int id = 0;
	enum thrift_type type;
	while (thrift_field(t, &id, &type)) {
		if (id == 1 && type == T_LIST) {
			size_t n = thrift_list(t, T_STRUCT);
			if (n != n_leaves)
				return damaged("a row group has not all columns", et);
			g->chunks = arena_array_of(a, n + 1, struct chunk);
			if (!g->chunks)
				return no_memory(et);
			for (size_t i = 0; i < n && !t->bad; i++)
				read_column(t, &g->chunks[i]);
		} else if (id == 3 && type == T_I64) {
			g->rows = thrift_int(t);
		} else {
			thrift_skip(t, type);
		}
	}
	return t->bad || !g->chunks || g->rows < 0 ? damaged("a row group cannot be read", et) : OK;
}

static enum err read_groups(struct thrift *t, struct arena *a, struct meta *m, struct errtext *et)
{
	size_t n = thrift_list(t, T_STRUCT);
	if (n > GROUPS_MAX)
		return damaged("it has too many row groups", et);
	m->groups = arena_array_of(a, n + 1, struct row_group);
	enum err e = m->groups ? OK : no_memory(et);
	for (size_t i = 0; i < n && !e; i++) {
		e = read_group(t, a, m->n_leaves, &m->groups[i], et);
		m->rows += e ? 0 : (uint64_t)m->groups[i].rows;
	}
	m->n_groups = n;
	return e;
}

static enum err check_chunks(const struct meta *m, struct str file, struct errtext *et)
{
	for (size_t g = 0; g < m->n_groups; g++)
		for (size_t i = 0; i < m->n_leaves; i++) {
			const struct chunk *c = &m->groups[g].chunks[i];
			if (c->begin < 4 || c->size < 0 || c->values < 0 ||
				(uint64_t)c->begin > file.n ||
				(uint64_t)c->size > file.n - (uint64_t)c->begin)
				return damaged("a column lies outside the file", et);
		}
	return OK;
}

enum err parquet_read_meta(struct str file, struct arena *a, struct meta *out, struct errtext *et)
{
	struct meta m = {0};
	uint32_t n = 0;
	int id = 0;
	enum thrift_type type;
	enum err e = OK;
	if (file.n < 12 || memcmp(file.p, "PAR1", 4) || memcmp(file.p + file.n - 4, "PAR1", 4))
		return err_set(et, ERR_CORRUPT,
			"it is no Parquet file, or was not written to the end (encrypted ones are "
			"not read)");
	memcpy(&n, file.p + file.n - 8, sizeof n);
	if (n > file.n - 12)
		return damaged("its footer is larger than the file", et);
	struct thrift t = {.in = str_mk(file.p + file.n - 8 - n, n)};
	while (!e && thrift_field(&t, &id, &type)) {
		if (id == 2 && type == T_LIST && !m.leaves)
			e = read_schema(&t, a, &m, et);
		else if (id == 4 && type == T_LIST && m.leaves && !m.groups)
			e = read_groups(&t, a, &m, et);
		else
			thrift_skip(&t, type);
	}
	if (!e && (t.bad || !m.leaves || !m.groups))
		e = damaged("its footer cannot be read", et);
	e = e ? e : check_chunks(&m, file, et);
	if (!e)
		*out = m;
	return e;
}
