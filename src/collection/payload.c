/* Patches of payloads. A path names a member of members: "a.b"; a part in quotes may hold dots.
 * Elements of arrays have no path. */
#include "collection/collection_int.h"

#include <stdlib.h>

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a payload");
}

/* ---- what stands at a path ---- */

bool payload_values(yyjson_val *v, struct str path, payload_value_fn fn, void *ctx)
{
	size_t i, n;
	yyjson_val *e;
	struct str step;
	if (!path.n && !yyjson_is_arr(v))
		return !v || fn(ctx, v);
	if (path.n && cond_step(&path, &step) == 'k')
		return payload_values(yyjson_obj_getn(v, step.p, step.n), path, fn, ctx);
	yyjson_arr_foreach(v, i, n, e)
	{
		if (path.n ? !payload_values(e, path, fn, ctx) : !fn(ctx, e))
			return false;
	}
	return true;
}

/* ---- patches ---- */

/* The next part of a path; false at the end, or when a quote is not closed (*bad). */
static bool next_part(struct str *rest, struct str *part, bool *bad)
{
	if (!rest->n)
		return false;
	if (rest->p[0] == '"') {
		size_t end = str_chr(str_sub(*rest, 1, rest->n), '"');
		*bad = end == STR_NONE;
		if (*bad)
			return false;
		*part = str_sub(*rest, 1, end + 1);
		*rest = str_sub(*rest, end + 2, rest->n);
		if (rest->n && rest->p[0] == '.')
			*rest = str_sub(*rest, 1, rest->n);
		return true;
	}
	*bad = !str_next(rest, '.', part) || !part->n || str_chr(*part, '[') != STR_NONE;
	return !*bad;
}

static yyjson_mut_val *member(yyjson_mut_val *o, struct str key)
{
	return yyjson_mut_obj_getn(o, key.p, key.n);
}

static bool put_member(yyjson_mut_doc *d, yyjson_mut_val *o, struct str key, yyjson_mut_val *v)
{
	yyjson_mut_val *name = yyjson_mut_strncpy(d, key.p, key.n);
	yyjson_mut_obj_remove_strn(o, key.p, key.n);
	return name && v && yyjson_mut_obj_add(o, name, v);
}

/* The object at a path, made where it is absent. */
static enum err object_at(
	yyjson_mut_doc *d, struct str path, yyjson_mut_val **out, struct errtext *et)
{
	struct str part, rest = path;
	bool bad = false;
	yyjson_mut_val *o = yyjson_mut_doc_get_root(d);
	for (int depth = 0; next_part(&rest, &part, &bad); depth++) {
		yyjson_mut_val *in = member(o, part);
		if (depth > JSON_DEPTH_MAX / 2)
			bad = true;
		if (bad)
			break;
		if (!yyjson_mut_is_obj(in)) {
			in = yyjson_mut_obj(d);
			if (!put_member(d, o, part, in))
				return no_memory(et);
		}
		o = in;
	}
	if (bad)
		return err_set(et, ERR_INVALID, "%.*s is no path to a member of a payload",
			STR_FMT(str_sub(path, 0, 100)));
	*out = o;
	return OK;
}

static enum err set_members(yyjson_mut_doc *d, const struct payload_patch *p, struct errtext *et)
{
	yyjson_mut_val *to = NULL, *key, *value;
	yyjson_mut_obj_iter it;
	yyjson_doc *patch;
	enum err e = json_parse(p->object, &patch, et);
	if (e)
		return e;
	if (!yyjson_is_obj(yyjson_doc_get_root(patch)))
		e = err_set(et, ERR_INVALID, "a payload must be a JSON object");
	e = e ? e : object_at(d, p->path, &to, et);
	yyjson_mut_val *from = e ? NULL : yyjson_val_mut_copy(d, yyjson_doc_get_root(patch));
	yyjson_doc_free(patch);
	if (e)
		return e;
	if (!from)
		return no_memory(et);
	yyjson_mut_obj_iter_init(from, &it);
	while ((key = yyjson_mut_obj_iter_next(&it))) {
		value = yyjson_mut_obj_iter_get_val(key);
		struct str name = str_mk(yyjson_mut_get_str(key), yyjson_mut_get_len(key));
		if (yyjson_mut_is_null(value) && p->change == PAYLOAD_SET) {
			yyjson_mut_obj_remove_strn(to, name.p, name.n);
			continue;
		}
		yyjson_mut_val *copy = yyjson_mut_val_mut_copy(d, value);
		if (!put_member(d, to, name, copy))
			return no_memory(et);
	}
	return OK;
}

static enum err unset(yyjson_mut_doc *d, struct str path, struct errtext *et)
{
	struct str part, rest = path;
	bool bad = false;
	yyjson_mut_val *o = yyjson_mut_doc_get_root(d);
	while (yyjson_mut_is_obj(o) && next_part(&rest, &part, &bad)) {
		if (!rest.n)
			yyjson_mut_obj_remove_strn(o, part.p, part.n);
		else
			o = member(o, part);
	}
	return bad ? err_set(et, ERR_INVALID, "%.*s is no path to a member of a payload",
			     STR_FMT(str_sub(path, 0, 100)))
		   : OK;
}

static enum err write_out(yyjson_mut_doc *d, struct buf *out, struct errtext *et)
{
	size_t n;
	char *text = yyjson_mut_write(d, YYJSON_WRITE_NOFLAG, &n);
	if (!text)
		return no_memory(et);
	buf_add(out, text, n);
	free(text);
	if (out->err == ERR_TOO_LARGE)
		return err_set(et, ERR_TOO_LARGE,
			"a payload would grow to more than %zu bytes, the limit", out->max);
	return out->err ? no_memory(et) : OK;
}

enum err payload_apply(
	struct str payload, const struct payload_patch *p, struct buf *out, struct errtext *et)
{
	bool anew = p->change == PAYLOAD_OVERWRITE || p->change == PAYLOAD_CLEAR;
	yyjson_doc *old;
	enum err e = json_parse(anew ? S("{}") : payload, &old, et);
	if (e)
		return err_wrap(et, ERR_CORRUPT, "a stored payload");
	yyjson_mut_doc *d = yyjson_doc_mut_copy(old, NULL);
	yyjson_doc_free(old);
	if (!d)
		return no_memory(et);
	if (p->change == PAYLOAD_SET || p->change == PAYLOAD_OVERWRITE)
		e = set_members(d, p, et);
	for (size_t i = 0; p->change == PAYLOAD_UNSET && i < p->n_keys && !e; i++)
		e = unset(d, p->keys[i], et);
	e = e ? e : write_out(d, out, et);
	yyjson_mut_doc_free(d);
	return e;
}
