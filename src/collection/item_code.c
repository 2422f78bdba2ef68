/* What the database holds of an item's vectors, and of a collection's spaces.
 *
 * Vectors: version 1, their number, then for each: the place of its space, its kind (0: f32), how
 * many numbers it has (u32), the numbers. Little-endian, packed. */
#include "collection/collection_int.h"

enum { VERSION = 1, KIND_F32 = 0, HEAD = 6 };

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "vectors are stored as they lie");

void item_code(const struct item_vector *v, size_t n, struct buf *out)
{
	buf_putc(out, VERSION);
	buf_putc(out, (char)n);
	for (size_t i = 0; i < n; i++) {
		uint32_t dim = (uint32_t)v[i].dim;
		buf_putc(out, (char)v[i].place);
		buf_putc(out, KIND_F32);
		buf_add(out, &dim, sizeof dim);
		buf_add(out, v[i].v, dim * sizeof(float));
	}
}

static enum err damaged(struct errtext *et)
{
	return err_set(et, ERR_CORRUPT,
		"the stored vectors of an item are damaged: restore the database from a backup");
}

enum err item_decode(struct str bytes, const struct space *spaces, size_t n_spaces, struct arena *a,
	struct item_vector **out, size_t *n, struct errtext *et)
{
	*out = NULL;
	*n = 0;
	if (!bytes.n)
		return OK;
	if (bytes.n < 2 || bytes.p[0] != VERSION || (uint8_t)bytes.p[1] > COLLECTION_SPACES_MAX)
		return damaged(et);
	size_t count = (uint8_t)bytes.p[1], at = 2, found = 0;
	struct item_vector *list = arena_array_of(a, count + 1, struct item_vector);
	if (!list)
		return err_set(et, ERR_NOMEM, "no memory for an item's vectors");
	for (size_t i = 0; i < count; i++) {
		if (bytes.n - at < HEAD)
			return damaged(et);
		uint8_t space = (uint8_t)bytes.p[at], kind = (uint8_t)bytes.p[at + 1];
		uint32_t dim;
		memcpy(&dim, bytes.p + at + 2, sizeof dim);
		at += HEAD;
		bool known = space < n_spaces && space_lives(&spaces[space]);
		if (space >= COLLECTION_SPACES_MAX || kind != KIND_F32 ||
			dim > COLLECTION_DIM_MAX || (known && dim != spaces[space].dim) ||
			bytes.n - at < dim * sizeof(float))
			return damaged(et);
		if (!known) { /* of a space that was dropped, or that came after `spaces` was read
			       */
			at += dim * sizeof(float);
			continue;
		}
		float *v = arena_array_of(a, dim, float);
		if (!v)
			return err_set(et, ERR_NOMEM, "no memory for an item's vectors");
		memcpy(v, bytes.p + at, dim * sizeof(float));
		at += dim * sizeof(float);
		list[found++] = (struct item_vector){spaces[space].name, v, dim, space};
	}
	if (at != bytes.n)
		return damaged(et);
	*out = list;
	*n = found;
	return OK;
}

/* ---- the spaces ---- */

static const char *const distance_words[] = {"Cosine", "Dot", "Euclid"};

const char *distance_word(enum distance d)
{
	return distance_words[d];
}

bool distance_parse(struct str word, enum distance *out)
{
	for (size_t i = 0; i < ARRAY_LEN(distance_words); i++)
		if (str_eq_nocase(word, str_c(distance_words[i]))) {
			*out = (enum distance)i;
			return true;
		}
	return false;
}

static const char *const role_words[] = {"named", "next", "former", "gone", "free"};

static bool read_role(yyjson_val *v, struct arena *a, struct space *s)
{
	struct str word = json_str(v, "role");
	s->twin = (uint8_t)json_i64(v, "twin", s->place);
	s->field = arena_str(a, json_str(v, "field"));
	s->shadow = json_f64(v, "shadow", 0);
	s->since = json_i64(v, "since", 0);
	if (!word.p)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(role_words); i++)
		if (str_eq_c(word, role_words[i])) {
			s->role = (enum space_role)i;
			return s->twin < COLLECTION_SPACES_MAX;
		}
	return false;
}

void config_write(const struct space *spaces, size_t n, struct buf *out)
{
	struct jw w = {.out = out};
	jw_obj(&w);
	jw_key(&w, "spaces");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++) {
		jw_obj(&w);
		jw_kstr(&w, "name", spaces[i].name);
		jw_ki64(&w, "dim", spaces[i].dim);
		jw_kc(&w, "distance", distance_word(spaces[i].distance));
		if (spaces[i].model.n) {
			jw_kstr(&w, "model", spaces[i].model);
			jw_kstr(&w, "identity", spaces[i].identity);
		}
		if (spaces[i].role || spaces[i].since || spaces[i].twin != i) {
			jw_kc(&w, "role", role_words[spaces[i].role]);
			jw_ki64(&w, "twin", spaces[i].twin);
			jw_ki64(&w, "since", spaces[i].since);
			if (spaces[i].shadow > 0)
				jw_kf64(&w, "shadow", spaces[i].shadow);
			if (spaces[i].field.n)
				jw_kstr(&w, "field", spaces[i].field);
		}
		jw_end(&w);
	}
	jw_end(&w);
	jw_end(&w);
}

enum err config_read(
	struct str json, struct arena *a, struct space **out, size_t *n, struct errtext *et)
{
	yyjson_doc *doc;
	enum err e = json_parse(json, &doc, et);
	if (e)
		return err_wrap(et, ERR_CORRUPT, "the settings of a collection");
	yyjson_val *list = yyjson_obj_get(yyjson_doc_get_root(doc), "spaces"), *v;
	size_t i, count = yyjson_arr_size(list), max;
	struct space *s = arena_array_of(a, count + 1, struct space);
	if (!s)
		e = err_set(et, ERR_NOMEM, "no memory for a collection");
	else if (count > COLLECTION_SPACES_MAX)
		e = err_set(et, ERR_CORRUPT, "a collection has %zu spaces", count);
	if (!e) {
		yyjson_arr_foreach(list, i, max, v)
		{
			s[i].name = arena_str(a, json_str(v, "name"));
			s[i].dim = (uint32_t)json_i64(v, "dim", 0);
			s[i].model = arena_str(a, json_str(v, "model"));
			s[i].identity = arena_str(a, json_str(v, "identity"));
			s[i].place = (uint8_t)i;
			bool ok = read_role(v, a, &s[i]);
			if (!s[i].name.p || !s[i].model.p || !s[i].identity.p)
				e = err_set(et, ERR_NOMEM, "no memory for a collection");
			else if (!ok || !s[i].dim || s[i].dim > COLLECTION_DIM_MAX ||
				 !distance_parse(json_str(v, "distance"), &s[i].distance))
				e = err_set(
					et, ERR_CORRUPT, "a space of a collection is not valid");
		}
	}
	yyjson_doc_free(doc);
	if (!e) {
		*out = s;
		*n = count;
	}
	return e;
}

enum err config_settled(struct str json, struct arena *a, struct str *out, struct errtext *et)
{
	struct space *s;
	struct buf b = {0};
	size_t n;
	enum err e = config_read(json, a, &s, &n, et);
	if (e)
		return e;
	for (size_t i = 0; i < n; i++) {
		s[i].since = 0;
		s[i].twin = (uint8_t)i;
		if (s[i].role == SPACE_NAMED)
			continue;
		s[i].role = SPACE_GONE;
		s[i].name = arena_fmt(a, ":gone%zu", i);
	}
	config_write(s, n, &b);
	*out = arena_str(a, buf_str(&b));
	e = b.err || !out->p ? err_set(et, ERR_NOMEM, "no memory for a collection") : OK;
	buf_free(&b);
	return e;
}
