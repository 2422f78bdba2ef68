/* The items of a collection as rows for curation: vectors of one space, and what is asked of the
 * payloads. */
#include "collection/curate_int.h"
#include "collection/part.h"
#include "vector/layout.h"

#include <math.h>
#include <stdlib.h>

enum { LABEL_BYTES = 200, SCORES_MAX = 10000 };

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for the curation of a collection");
}

/* ---- fields ---- */

bool curate_label_of(yyjson_val *payload, struct str field, struct buf *out)
{
	yyjson_val *v = yyjson_obj_getn(payload, field.p, field.n);
	if (yyjson_is_arr(v))
		v = yyjson_arr_get_first(v);
	buf_clear(out);
	if ((yyjson_is_str(v) && yyjson_get_len(v)) || yyjson_is_bool(v) || yyjson_is_num(v))
		jw_val(&(struct jw){.out = out}, v);
	return out->n > 0;
}

static enum err read_label(
	struct curate_rows *x, yyjson_val *payload, int32_t *out, struct errtext *et)
{
	struct buf b = {0};
	*out = -1;
	if (curate_label_of(payload, x->o->label, &b)) {
		struct str text = buf_str(&b);
		uintptr_t known = (uintptr_t)map_get(&x->by_name, text);
		if (!known && (x->n_names == CURATE_LABELS_MAX || text.n > LABEL_BYTES)) {
			buf_free(&b);
			return err_set(et, ERR_LIMIT,
				"%.*s is no class: it has more than %d different values, or one of "
				"more than %d bytes",
				STR_FMT(str_sub(x->o->label, 0, 100)), CURATE_LABELS_MAX,
				LABEL_BYTES);
		}
		if (!known) {
			x->names[x->n_names] = arena_str(x->a, text);
			known = ++x->n_names;
			if (!x->names[known - 1].p || !map_put(&x->by_name, text, (void *)known))
				b.err = ERR_NOMEM;
		}
		*out = (int32_t)(known - 1);
	}
	enum err e = b.err ? no_memory(et) : OK;
	buf_free(&b);
	return e;
}

/* One minus the distance between the two highest of the probabilities: 1 when the model cannot tell
 * them apart, 0 when it is sure. A single number is a probability of yes. */
static float doubt_of(yyjson_val *v)
{
	double first = -INFINITY, second = -INFINITY, sum = 0, d;
	size_t i, n;
	yyjson_val *key, *value;
	if (yyjson_is_num(v)) {
		d = yyjson_get_num(v);
		return d >= 0 && d <= 1 ? (float)(1 - fabs(2 * d - 1)) : NAN;
	}
	if (!yyjson_is_ctn(v) || unsafe_yyjson_get_len(v) < 2 ||
		unsafe_yyjson_get_len(v) > SCORES_MAX)
		return NAN;
	yyjson_val *list[2] = {yyjson_is_arr(v) ? v : NULL, yyjson_is_obj(v) ? v : NULL};
#define SEE(value)                                                     \
	do {                                                           \
		d = yyjson_is_num(value) ? yyjson_get_num(value) : -1; \
		if (!(d >= 0) || isinf(d))                             \
			return NAN;                                    \
		sum += d;                                              \
		second = MAX(second, MIN(first, d));                   \
		first = MAX(first, d);                                 \
	} while (0)
	yyjson_arr_foreach(list[0], i, n, value) SEE(value);
	yyjson_obj_foreach(list[1], i, n, key, value) SEE(value);
#undef SEE
	return sum > 0 ? (float)(1 - (first - second) / sum) : NAN;
}

/* How much an item is worth being kept. */
static double worth_of(const struct curate_rows *x, yyjson_val *payload, int64_t num)
{
	yyjson_val *v = yyjson_obj_getn(payload, x->o->keep_field.p, x->o->keep_field.n);
	switch (x->o->keep) {
	case KEEP_LAST:
		return (double)num;
	case KEEP_LONGEST:
		return yyjson_is_str(v) ? (double)yyjson_get_len(v) : -1;
	case KEEP_HIGHEST:
		return yyjson_is_num(v) ? yyjson_get_num(v) : -INFINITY;
	default:
		return -(double)num;
	}
}

/* ---- rows ---- */

static enum err grow(struct curate_rows *x, struct errtext *et)
{
	size_t each = x->space->dim * sizeof(float) + x->row_bytes, most = x->max_bytes / each;
	size_t cap = x->cap ? x->cap + x->cap / 2 : 1024;
	if (x->n < x->cap)
		return OK;
	cap = MIN(cap, MIN(most, (size_t)LAYOUT_ROWS_MAX));
	if (cap <= x->n)
		return err_set(et, ERR_LIMIT,
			"curation of more than %zu items of %u numbers needs more memory than "
			"collection.curate_bytes (%zu) allows",
			x->n, x->space->dim, x->max_bytes);
	void *v = realloc(x->v, cap * x->space->dim * sizeof *x->v);
	x->v = v ? v : x->v;
	void *num = realloc(x->num, cap * sizeof *x->num);
	x->num = num ? num : x->num;
	void *label = realloc(x->label, cap * sizeof *x->label);
	x->label = label ? label : x->label;
	void *worthy = realloc(x->worthy, cap * sizeof *x->worthy);
	x->worthy = worthy ? worthy : x->worthy;
	void *doubt = realloc(x->doubt, cap * sizeof *x->doubt);
	x->doubt = doubt ? doubt : x->doubt;
	void *checked = realloc(x->checked, cap * sizeof *x->checked);
	x->checked = checked ? checked : x->checked;
	if (!v || !num || !label || !worthy || !doubt || !checked)
		return no_memory(et);
	x->cap = cap;
	return OK;
}

/* "<label>_checked" holds the label that a person has confirmed. */
static bool is_checked(const struct curate_rows *x, yyjson_val *payload, int32_t label)
{
	char key[300];
	struct buf b = {0};
	int n = snprintf(key, sizeof key, "%.*s_checked", STR_FMT(x->o->label));
	bool yes = label >= 0 && n > 0 && (size_t)n < sizeof key &&
		   curate_label_of(payload, str_c(key), &b) && str_eq(buf_str(&b), x->names[label]);
	buf_free(&b);
	return yes;
}

static enum err read_payload(
	struct curate_rows *x, const struct item_row *r, size_t i, struct errtext *et)
{
	yyjson_doc *doc = NULL;
	if (!x->labels && !x->worth && !x->scores)
		return OK;
	enum err e = json_parse(r->payload.n ? r->payload : S("{}"), &doc, et);
	if (e)
		return err_wrap(et, ERR_CORRUPT, "a stored payload");
	yyjson_val *o = yyjson_doc_get_root(doc);
	if (x->labels) {
		e = read_label(x, o, &x->label[i], et);
		x->checked[i] = !e && is_checked(x, o, x->label[i]);
	}
	if (x->worth)
		x->worthy[i] = worth_of(x, o, r->num);
	if (x->scores)
		x->doubt[i] = doubt_of(yyjson_obj_getn(o, x->o->scores.p, x->o->scores.n));
	yyjson_doc_free(doc);
	return e;
}

static enum err read_item(void *ctx, const struct item_row *r, struct errtext *et)
{
	struct curate_rows *x = ctx;
	struct item_vector *v;
	size_t n = 0, dim = x->space->dim;
	bool wanted = true;
	if (cancelled(x->cancel))
		return ERR_CANCELLED;
	enum err e = part_has(x->filter, r->num, r->payload, &wanted, et);
	if (e || !wanted)
		return e;
	struct arena *a = arena_new(0);
	e = a ? item_decode(r->vectors, x->spaces, x->n_spaces, a, &v, &n, et) : no_memory(et);
	for (size_t i = 0; !e && i < n; i++) {
		if (!str_eq(v[i].space, x->space->name))
			continue;
		e = grow(x, et);
		if (e)
			break;
		float *to = x->v + x->n * dim;
		part_row(x->space, &v[i], to);
		if (x->space->distance != DISTANCE_L2)
			kern->normalize(to, to, dim);
		x->num[x->n] = r->num;
		x->label[x->n] = -1;
		x->checked[x->n] = false;
		e = read_payload(x, r, x->n, et);
		x->n += !e;
	}
	arena_free(a);
	return e;
}

enum err curate_read(struct croft *c, int64_t collection, struct curate_rows *x, struct errtext *et)
{
	struct collection_row k;
	struct tx *tx;
	x->names = arena_array_of(x->a, CURATE_LABELS_MAX, struct str);
	if (!x->names)
		return no_memory(et);
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = store_collection_by_number(tx, collection, x->a, &k, et);
	e = e ? e
	      : store_items_all(tx, collection,
			(struct item_want){x->labels || x->worth || x->scores || x->filter, true},
			read_item, x, et);
	db_rollback(tx);
	if (!e)
		x->seq = k.seq;
	return e;
}

void curate_rows_free(struct curate_rows *x)
{
	free(x->v);
	free(x->num);
	free(x->label);
	free(x->worthy);
	free(x->doubt);
	free(x->checked);
	map_free(&x->by_name);
}
