/* Weights out of an ONNX file (onnx.h). The numbers of fields and types are those of onnx.proto. */
#include "artifact/onnx.h"

#include <stdlib.h>
#include "base/json.h"
#include "base/map.h"
#include "net/protobuf.h"

enum { ITEMS_MAX = 1 << 17, DIMS_MAX = 8, CHUNK = 1 << 20, HEADER_ALIGN = 8 };
enum { MODEL_GRAPH = 7, GRAPH_NODE = 1, GRAPH_TENSOR = 5 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_OP = 4 };
enum {
	TENSOR_DIMS = 1,
	TENSOR_TYPE = 2,
	TENSOR_FLOATS = 4,
	TENSOR_NAME = 8,
	TENSOR_RAW = 9,
	TENSOR_LOCATION = 14
};
enum { TYPE_F32 = 1, TYPE_U8 = 2, TYPE_I8 = 3, TYPE_F16 = 10, TYPE_BF16 = 16 };

struct weight {
	struct str name, data;
	uint64_t dim[DIMS_MAX];
	unsigned n_dims;
	uint64_t type;
	struct str bias; /* that names it: a product's matrix, transposed; or "" */
};

struct reader {
	const char *name;
	struct weight *weights;
	size_t n_weights, cap_weights;
	struct map by_name;  /* index + 1 of an initialiser */
	struct map products; /* the output of a product: index + 1 of its matrix */
};

static enum err corrupt(const struct reader *r, struct errtext *et)
{
	return err_set(et, ERR_CORRUPT, "%s is no ONNX file, or damaged", r->name);
}

static enum err no_memory(const struct reader *r, struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "%s: no memory for its graph", r->name);
}

static const char *dtype(uint64_t type)
{
	return type == TYPE_F32    ? "F32"
	       : type == TYPE_F16  ? "F16"
	       : type == TYPE_BF16 ? "BF16"
				   : NULL;
}

static size_t value_bytes(uint64_t type)
{
	return type == TYPE_F32 ? 4 : 2;
}

/* ---- initialisers ---- */

static bool add_dim(struct weight *w, uint64_t v)
{
	if (w->n_dims == DIMS_MAX)
		return false;
	w->dim[w->n_dims++] = v;
	return true;
}

/* Dimensions come one by one, or packed. */
static bool add_dims(struct weight *w, const struct pb_field *f)
{
	if (f->wire == PB_VARINT)
		return add_dim(w, f->v);
	const unsigned char *p = (const unsigned char *)f->s.p, *end = p + f->s.n;
	while (p < end) {
		uint64_t v = 0;
		unsigned shift = 0;
		do {
			if (p == end || shift > 56)
				return false;
			v |= (uint64_t)(*p & 0x7F) << shift;
			shift += 7;
		} while (*p++ & 0x80);
		if (!add_dim(w, v))
			return false;
	}
	return true;
}

static enum err parse_tensor(
	struct reader *r, struct str bytes, struct weight *w, bool *elsewhere, struct errtext *et)
{
	struct pb m = pb_of(bytes);
	struct pb_field f;
	while (pb_next(&m, &f)) {
		if (f.number == TENSOR_DIMS && !add_dims(w, &f))
			return corrupt(r, et);
		else if (f.number == TENSOR_TYPE && f.wire == PB_VARINT)
			w->type = f.v;
		else if (f.number == TENSOR_NAME && f.wire == PB_BYTES)
			w->name = f.s;
		else if ((f.number == TENSOR_RAW || f.number == TENSOR_FLOATS) &&
			 f.wire == PB_BYTES)
			w->data = f.s;
		else if (f.number == TENSOR_LOCATION && f.wire == PB_VARINT)
			*elsewhere = f.v != 0;
	}
	return m.bad ? corrupt(r, et) : OK;
}

/* Values must be as many as the shape says. */
static enum err check_shape(const struct reader *r, const struct weight *w, struct errtext *et)
{
	uint64_t bytes = value_bytes(w->type);
	for (unsigned i = 0; i < w->n_dims; i++)
		if (__builtin_mul_overflow(bytes, w->dim[i], &bytes))
			return corrupt(r, et);
	return bytes == w->data.n
		       ? OK
		       : err_set(et, ERR_CORRUPT, "%s: %.*s has %zu bytes, its shape needs %llu",
				 r->name, STR_FMT(str_sub(w->name, 0, 100)), w->data.n,
				 (unsigned long long)bytes);
}

/* Constants that are no weights (positions, shapes) are passed over. */
static enum err read_tensor(struct reader *r, struct str bytes, struct errtext *et)
{
	struct weight w = {0};
	bool elsewhere = false;
	enum err e = parse_tensor(r, bytes, &w, &elsewhere, et);
	if (e)
		return e;
	if (elsewhere)
		return err_set(et, ERR_UNSUPPORTED,
			"%s keeps its weights in another file, which is not read: take a file that "
			"has them, or the model's safetensors",
			r->name);
	if ((w.type == TYPE_U8 || w.type == TYPE_I8) && w.n_dims > 1)
		return err_set(et, ERR_UNSUPPORTED,
			"%s has quantised weights (%.*s): take the export in F32 or F16, or the "
			"model's GGUF or safetensors",
			r->name, STR_FMT(str_sub(w.name, 0, 100)));
	if (!dtype(w.type) || !w.n_dims || !w.name.n)
		return OK;
	e = check_shape(r, &w, et);
	if (e)
		return e;
	if (r->n_weights == r->cap_weights) {
		size_t cap = r->cap_weights ? r->cap_weights * 2 : 256;
		struct weight *grown =
			cap > ITEMS_MAX ? NULL : realloc(r->weights, cap * sizeof *grown);
		if (!grown)
			return no_memory(r, et);
		r->weights = grown;
		r->cap_weights = cap;
	}
	r->weights[r->n_weights++] = w;
	return map_put(&r->by_name, w.name, (void *)(uintptr_t)r->n_weights) ? OK
									     : no_memory(r, et);
}

/* ---- the graph ---- */

struct node {
	struct str input[2], output, op;
	unsigned n_inputs;
};

static bool read_node(struct str bytes, struct node *n)
{
	struct pb m = pb_of(bytes);
	struct pb_field f;
	*n = (struct node){0};
	while (pb_next(&m, &f)) {
		if (f.wire != PB_BYTES)
			continue;
		if (f.number == NODE_INPUT) {
			if (n->n_inputs < 2)
				n->input[n->n_inputs] = f.s;
			n->n_inputs++;
		} else if (f.number == NODE_OUTPUT) {
			n->output = f.s;
		} else if (f.number == NODE_OP) {
			n->op = f.s;
		}
	}
	return !m.bad;
}

/* x W', with a matrix of the file. */
static enum err note_product(struct reader *r, const struct node *n, struct errtext *et)
{
	uintptr_t i = (uintptr_t)map_get(&r->by_name, n->input[1]);
	if (!i || r->weights[i - 1].n_dims != 2)
		return OK;
	return map_put(&r->products, n->output, (void *)i) ? OK : no_memory(r, et);
}

/* The product and a bias, in either order. */
static void note_bias(struct reader *r, const struct node *n)
{
	for (unsigned k = 0; k < 2; k++) {
		uintptr_t i = (uintptr_t)map_get(&r->products, n->input[k]);
		struct str bias = n->input[1 - k];
		if (i && !r->weights[i - 1].bias.n && str_ends(bias, S(".bias")) &&
			map_get(&r->by_name, bias))
			r->weights[i - 1].bias = bias;
	}
}

static enum err read_nodes(struct reader *r, struct str graph, struct errtext *et)
{
	struct pb m = pb_of(graph);
	struct pb_field f;
	struct node n;
	size_t count = 0;
	enum err e = OK;
	while (!e && pb_next(&m, &f)) {
		if (f.number != GRAPH_NODE || f.wire != PB_BYTES)
			continue;
		if (!read_node(f.s, &n))
			return corrupt(r, et);
		if (++count > ITEMS_MAX)
			return err_set(
				et, ERR_TOO_LARGE, "%s: more than %d nodes", r->name, ITEMS_MAX);
		if (n.n_inputs != 2)
			continue;
		if (str_eq_c(n.op, "MatMul"))
			e = note_product(r, &n, et);
		else if (str_eq_c(n.op, "Add"))
			note_bias(r, &n);
	}
	return e ? e : m.bad ? corrupt(r, et) : OK;
}

/* Initialisers first: they stand behind the nodes that use them. */
static enum err read_graph(struct reader *r, struct str graph, struct errtext *et)
{
	struct pb m = pb_of(graph);
	struct pb_field f;
	enum err e = OK;
	while (!e && pb_next(&m, &f))
		if (f.number == GRAPH_TENSOR && f.wire == PB_BYTES)
			e = read_tensor(r, f.s, et);
	if (!e && m.bad)
		e = corrupt(r, et);
	if (!e && !r->n_weights)
		e = err_set(et, ERR_UNSUPPORTED, "%s has no weights", r->name);
	return e ? e : read_nodes(r, graph, et);
}

static enum err find_graph(
	const struct reader *r, struct str onnx, struct str *graph, struct errtext *et)
{
	struct pb m = pb_of(onnx);
	struct pb_field f;
	*graph = S("");
	while (pb_next(&m, &f))
		if (f.number == MODEL_GRAPH && f.wire == PB_BYTES)
			*graph = f.s;
	return m.bad || !graph->n ? corrupt(r, et) : OK;
}

/* ---- writing ---- */

static void put_name(struct jw *w, const struct weight *x)
{
	struct buf name = {0};
	if (x->bias.n)
		buf_addf(&name, "%.*s.weight", STR_FMT(str_sub(x->bias, 0, x->bias.n - 5)));
	else
		buf_adds(&name, x->name);
	jw_key_str(w, buf_str(&name));
	buf_free(&name);
}

static enum err check_named(const struct reader *r, struct errtext *et)
{
	for (size_t i = 0; i < r->n_weights; i++) {
		const struct weight *w = &r->weights[i];
		if (!w->bias.n && w->n_dims > 1 && str_starts(w->name, S("onnx::")))
			return err_set(et, ERR_UNSUPPORTED,
				"%s: nothing names the matrix %.*s: no bias is added to its "
				"product",
				r->name, STR_FMT(str_sub(w->name, 0, 100)));
	}
	return OK;
}

static enum err header(const struct reader *r, struct buf *out, struct errtext *et)
{
	struct jw w = {.out = out};
	uint64_t at = 0;
	buf_add(out, "\0\0\0\0\0\0\0\0", 8);
	jw_obj(&w);
	for (size_t i = 0; i < r->n_weights; i++) {
		const struct weight *x = &r->weights[i];
		put_name(&w, x);
		jw_obj(&w);
		jw_kc(&w, "dtype", dtype(x->type));
		jw_key(&w, "shape");
		jw_arr(&w);
		for (unsigned d = 0; d < x->n_dims; d++)
			jw_i64(&w, (int64_t)x->dim[x->bias.n ? x->n_dims - 1 - d : d]);
		jw_end(&w);
		jw_key(&w, "data_offsets");
		jw_arr(&w);
		jw_i64(&w, (int64_t)at);
		jw_i64(&w, (int64_t)(at += x->data.n));
		jw_end(&w);
		jw_end(&w);
	}
	jw_end(&w);
	if (!jw_done(&w))
		return no_memory(r, et);
	while (out->n % HEADER_ALIGN)
		buf_putc(out, ' ');
	uint64_t n = out->n - 8;
	if (out->err)
		return no_memory(r, et);
	for (unsigned i = 0; i < 8; i++)
		out->p[i] = (char)(n >> (8 * i));
	return OK;
}

/* rows x cols -> cols x rows, some of its rows at a time */
static enum err write_turned(
	const struct weight *w, char *chunk, onnx_write_fn write, void *ctx, struct errtext *et)
{
	size_t size = value_bytes(w->type), rows = (size_t)w->dim[0], cols = (size_t)w->dim[1],
	       step = CHUNK / size / MAX(rows, (size_t)1);
	if (!step)
		return err_set(et, ERR_TOO_LARGE, "%.*s: rows of %zu values",
			STR_FMT(str_sub(w->name, 0, 100)), rows);
	for (size_t c = 0; c < cols; c += step) {
		size_t n = MIN(step, cols - c);
		for (size_t r = 0; r < rows; r++)
			for (size_t k = 0; k < n; k++)
				memcpy(chunk + (k * rows + r) * size,
					w->data.p + (r * cols + c + k) * size, size);
		enum err e = write(ctx, str_mk(chunk, n * rows * size), et);
		if (e)
			return e;
	}
	return OK;
}

static enum err write_all(
	const struct reader *r, onnx_write_fn write, void *ctx, struct errtext *et)
{
	struct buf head = {0};
	char *chunk = malloc(CHUNK);
	enum err e = chunk ? header(r, &head, et) : no_memory(r, et);
	if (!e)
		e = write(ctx, buf_str(&head), et);
	for (size_t i = 0; i < r->n_weights && !e; i++) {
		const struct weight *w = &r->weights[i];
		if (w->bias.n)
			e = write_turned(w, chunk, write, ctx, et);
		for (size_t at = 0; at < w->data.n && !w->bias.n && !e; at += CHUNK)
			e = write(ctx, str_sub(w->data, at, MIN(at + CHUNK, w->data.n)), et);
	}
	free(chunk);
	buf_free(&head);
	return e;
}

enum err onnx_to_safetensors(
	struct str onnx, const char *name, onnx_write_fn write, void *ctx, struct errtext *et)
{
	struct reader r = {.name = name};
	struct str graph;
	enum err e = find_graph(&r, onnx, &graph, et);
	if (!e)
		e = read_graph(&r, graph, et);
	if (!e)
		e = check_named(&r, et);
	if (!e)
		e = write_all(&r, write, ctx, et);
	map_free(&r.by_name);
	map_free(&r.products);
	free(r.weights);
	return e;
}
