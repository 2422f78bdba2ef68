/* Which items are meant, and each of them as one row of numbers. */
#include "collection/part.h"
#include "kernels/kernels.h"

#include <math.h>

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a filter");
}

/* ---- filters ---- */

enum err part_read(struct croft *c, int64_t collection, struct str json, struct arena *a,
	const struct cond **out, struct errtext *et)
{
	yyjson_doc *doc = NULL;
	*out = NULL;
	if (!json.n)
		return OK;
	enum err e = json_parse(json, &doc, et);
	if (e)
		return e;
	if (!arena_on_free(a, (void (*)(void *))yyjson_doc_free, doc)) {
		yyjson_doc_free(doc);
		return no_memory(et);
	}
	return filter_read(c, collection, yyjson_doc_get_root(doc), a, out, et);
}

enum err part_of_body(yyjson_val *body, struct arena *a, struct str *out, struct errtext *et)
{
	yyjson_val *v = yyjson_obj_get(body, "filter");
	struct buf b = {.max = PART_FILTER_MAX};
	*out = (struct str){0};
	if (!v || yyjson_is_null(v) || (yyjson_is_obj(v) && !yyjson_obj_size(v)))
		return OK;
	if (!yyjson_is_obj(v))
		return err_set(et, ERR_INVALID, "filter must be an object");
	jw_val(&(struct jw){.out = &b}, v);
	*out = b.err ? (struct str){0} : arena_str(a, buf_str(&b));
	enum err e = out->p ? OK
		     : b.err == ERR_TOO_LARGE
			     ? err_set(et, ERR_TOO_LARGE, "filter has more than %d bytes",
				       PART_FILTER_MAX)
			     : no_memory(et);
	buf_free(&b);
	return e;
}

enum err part_has(
	const struct cond *filter, int64_t num, struct str payload, bool *out, struct errtext *et)
{
	yyjson_doc *doc = NULL;
	*out = true;
	if (!filter)
		return OK;
	enum err e = json_parse(payload.n ? payload : S("{}"), &doc, et);
	if (e)
		return err_wrap(et, ERR_CORRUPT, "a stored payload");
	*out = cond_matches(filter, (uint64_t)num, yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	return OK;
}

/* ---- rows ---- */

enum err part_takes(const struct space *s, const char *doing, struct errtext *et)
{
	return s->kind == SPACE_MULTI ? OK : space_plain(s, doing, et);
}

void part_row(const struct space *s, const struct item_vector *v, float *out)
{
	size_t rows = s->kind == SPACE_MULTI ? v->rows : 1, dim = s->dim;
	if (s->kind != SPACE_MULTI) {
		memcpy(out, v->v, dim * sizeof *out);
		return;
	}
	memset(out, 0, dim * sizeof *out);
	for (size_t i = 0; i < rows; i++) {
		const float *from = v->v + i * dim;
		float length = s->distance == DISTANCE_L2 ? 1 : sqrtf(kern->dot(from, from, dim));
		if (length > 0)
			kern->axpy(out, 1 / (length * (float)rows), from, dim);
	}
}
