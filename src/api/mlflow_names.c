/* What MLflow demands of names, lengths and ids, in its own sentences. */
#include "api/mlflow_int.h"

#include <stdio.h>

/* ---- keys ---- */

static bool key_byte(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       strchr("_/.- :", c) || c >= 0x80;
}

/* The path that `key` stands for when it is read as a file's, as Python's normpath has it. */
static void normal_path(struct str key, struct buf *out)
{
	struct str rest = key, part;
	bool absolute = str_starts(key, S("/"));
	size_t root;
	if (absolute)
		buf_addc(out, str_starts(key, S("//")) && !str_starts(key, S("///")) ? "//" : "/");
	root = out->n;
	while (str_next(&rest, '/', &part)) {
		if (!part.n || str_eq_c(part, "."))
			continue;
		struct str made = str_sub(buf_str(out), root, out->n);
		size_t slash = str_rchr(made, '/');
		struct str last = slash == STR_NONE ? made : str_sub(made, slash + 1, made.n);
		if (str_eq_c(part, "..") && !made.n && absolute)
			continue;
		if (str_eq_c(part, "..") && made.n && !str_eq_c(last, "..")) {
			out->n = root + (slash == STR_NONE ? 0 : slash);
			continue;
		}
		if (made.n)
			buf_putc(out, '/');
		buf_adds(out, part);
	}
	if (!out->n)
		buf_putc(out, '.');
}

static enum err invalid_text(
	struct errtext *et, const char *path, struct str value, const char *fmt, const char *arg)
{
	struct buf b = {0};
	char why[280];
	snprintf(why, sizeof why, fmt, arg);
	json_escape(&b, str_sub(value, 0, 120));
	err_set(et, ERR_INVALID, "Invalid value %s for parameter '%s' supplied: %s", buf_c(&b),
		path, why);
	buf_free(&b);
	return ERR_INVALID;
}

enum err mlflow_check_key(struct str key, const char *path, const char *what, struct errtext *et)
{
	for (size_t i = 0; i < key.n; i++)
		if (!key_byte((unsigned char)key.p[i]))
			return invalid_text(et, path, key,
				"Names may only contain alphanumerics, underscores (_), dashes "
				"(-), "
				"periods (.), spaces ( ), colon(:) and slashes (/).%s",
				"");
	struct buf norm = {0};
	normal_path(key, &norm);
	struct str n = buf_str(&norm);
	enum err e = OK;
	if (!str_eq(n, key) || str_eq_c(n, ".") || str_starts(n, S("..")) || str_starts(n, S("/")))
		e = invalid_text(et, path, key,
			"Names may be treated as files in certain cases, and must not resolve to "
			"other names when treated as such. This name would resolve to '%.100s'",
			buf_c(&norm));
	buf_free(&norm);
	return e ? e : mlflow_check_length(key, MLFLOW_KEY_MAX, what, et);
}

bool mlflow_plain_key(struct str key)
{
	for (size_t i = 0; i < key.n; i++) {
		char c = key.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    c == '_' || c == '-'))
			return false;
	}
	return key.n && key.n <= MLFLOW_KEY_MAX;
}

enum err mlflow_check_length(struct str value, size_t max, const char *what, struct errtext *et)
{
	if (value.n <= max)
		return OK;
	size_t n = 0; /* characters */
	for (size_t i = 0; i < value.n; i++)
		n += ((unsigned char)value.p[i] & 0xC0) != 0x80;
	return n <= max ? OK
			: err_set(et, ERR_INVALID,
				  "'%s' exceeds the maximum length of %zu characters", what, max);
}

/* ---- ids ---- */

enum err mlflow_run_id(yyjson_val *args, const char *key, struct id *out, struct errtext *et)
{
	struct str s = mlflow_text(args, key);
	if (!s.n)
		s = mlflow_text(args, "run_uuid");
	if (id_parse(s, out))
		return OK;
	return err_set(
		et, ERR_NOT_FOUND, "Run with id=%.*s not found", STR_FMT(str_sub(s, 0, 100)));
}

enum err mlflow_experiment_id(struct str text, int64_t *out, struct errtext *et)
{
	if (str_i64(text, out))
		return *out >= 0 ? OK
				 : err_set(et, ERR_NOT_FOUND, "No Experiment with id=%lld exists",
					   (long long)*out);
	return err_set(et, ERR_INVALID,
		"Invalid experiment ID '%.*s'. Experiment ID must be a valid integer.",
		STR_FMT(str_sub(text, 0, 100)));
}

enum err mlflow_view(yyjson_val *args, const char *key, enum track_view *out, struct errtext *et)
{
	static const char *const words[] = {"ACTIVE_ONLY", "DELETED_ONLY", "ALL"};
	yyjson_val *v = yyjson_obj_get(args, key);
	int64_t i = -1;
	if (!v || yyjson_is_null(v))
		return OK;
	for (unsigned k = 0; k < ARRAY_LEN(words); k++)
		if (yyjson_equals_str(v, words[k]) || (mlflow_as_int(v, &i) && i == k + 1)) {
			*out = (enum track_view)k;
			return OK;
		}
	return mlflow_invalid(et, key, v, "ACTIVE_ONLY, DELETED_ONLY or ALL is expected");
}

/* ---- lists of pairs ---- */

enum err mlflow_pairs(yyjson_val *args, const char *member, size_t value_max, struct arena *a,
	struct track_pair **out, size_t *n, struct errtext *et)
{
	static const struct mlflow_field fields[] = {
		{"key", MLFLOW_TEXT, true}, {"value", MLFLOW_TEXT, false}};
	yyjson_val *list = yyjson_obj_get(args, member), *item;
	size_t k = 0, count = yyjson_is_arr(list) ? yyjson_arr_size(list) : 0;
	struct track_pair *v = arena_array_of(a, MAX(count, (size_t)1), struct track_pair);
	if (!v)
		return err_set(et, ERR_NOMEM, "no memory for a request");
	yyjson_arr_iter it;
	yyjson_arr_iter_init(list, &it);
	while (count && (item = yyjson_arr_iter_next(&it))) {
		char path[64];
		snprintf(path, sizeof path, "%s[%zu]", member, k);
		enum err e = mlflow_check(item, path, fields, ARRAY_LEN(fields), et);
		struct str value = mlflow_text(item, "value");
		v[k] = (struct track_pair){mlflow_text(item, "key"), value.p ? value : S("")};
		snprintf(path, sizeof path, "%s[%zu].key", member, k);
		if (!e)
			e = mlflow_check_key(v[k].key, path, path, et);
		snprintf(path, sizeof path, "%s[%zu].value", member, k);
		if (!e)
			e = mlflow_check_length(v[k].value, value_max, path, et);
		if (e)
			return e;
		k++;
	}
	*out = v;
	*n = k;
	return OK;
}

/* ---- names for runs without one ---- */

struct str mlflow_random_name(struct arena *a)
{
	static const char *const first[] = {"brave", "calm", "clever", "quiet", "bold", "gentle",
		"swift", "bright", "early", "late", "mellow", "nimble", "patient", "proud",
		"rustic", "silver", "spry", "steady", "sunny", "tidy", "true", "wild", "windy",
		"wise", "amber", "crisp", "dewy", "fair", "golden", "green", "hardy", "keen"};
	static const char *const second[] = {"otter", "barley", "clover", "heron", "lamb", "linnet",
		"meadow", "oat", "orchard", "pony", "robin", "rye", "sparrow", "spade", "stile",
		"swallow", "thistle", "trout", "wheat", "wren", "acorn", "badger", "beech", "birch",
		"brook", "byre", "finch", "furrow", "hare", "hedge", "kestrel", "plough"};
	uint16_t r[3];
	random_bytes(r, sizeof r);
	return arena_fmt(a, "%s-%s-%u", first[r[0] % ARRAY_LEN(first)],
		second[r[1] % ARRAY_LEN(second)], r[2] % 1000u);
}
