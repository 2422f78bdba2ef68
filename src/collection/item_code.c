/* What the database holds of an item's vectors, and of a collection's spaces.
 *
 * Vectors: version 1, their number, then for each: the place of its space, its kind, how many
 * numbers it has (u32), and
 *	kind 0	the numbers
 *	kind 1	sparse: the indices (u32), the numbers
 *	kind 2	a list of vectors of so many numbers: how many (u32), their numbers
 * Little-endian, packed. */
#include "collection/collection_int.h"

enum { VERSION = 1, KIND_F32 = 0, KIND_SPARSE = 1, KIND_ROWS = 2, HEAD = 6 };

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "vectors are stored as they lie");

void item_code(const struct item_vector *v, size_t n, struct buf *out)
{
	buf_putc(out, VERSION);
	buf_putc(out, (char)n);
	for (size_t i = 0; i < n; i++) {
		uint32_t dim = (uint32_t)v[i].dim;
		uint32_t rows = (uint32_t)v[i].rows;
		buf_putc(out, (char)v[i].place);
		buf_putc(out, v[i].at ? KIND_SPARSE : rows ? KIND_ROWS : KIND_F32);
		buf_add(out, &dim, sizeof dim);
		if (v[i].at)
			buf_add(out, v[i].at, dim * sizeof *v[i].at);
		else if (rows)
			buf_add(out, &rows, sizeof rows);
		buf_add(out, v[i].v, dim * MAX(rows, 1u) * sizeof(float));
	}
}

static enum err damaged(struct errtext *et)
{
	return err_set(et, ERR_CORRUPT,
		"the stored vectors of an item are damaged: restore the database from a backup");
}

/* What a vector's head says of the bytes that follow. */
struct coded {
	uint8_t space, kind;
	uint32_t dim, rows;
	struct str at, numbers;
};

/* Takes one off the front of the bytes; false: damaged. */
static bool take_vector(struct str *bytes, struct coded *x)
{
	*x = (struct coded){.rows = 0};
	if (bytes->n < HEAD)
		return false;
	x->space = (uint8_t)bytes->p[0];
	x->kind = (uint8_t)bytes->p[1];
	memcpy(&x->dim, bytes->p + 2, sizeof x->dim);
	size_t at = HEAD,
	       most = x->kind == KIND_SPARSE ? COLLECTION_SPARSE_MAX : COLLECTION_DIM_MAX;
	if (x->space >= COLLECTION_SPACES_MAX || x->kind > KIND_ROWS || x->dim > most)
		return false;
	size_t n = x->dim * sizeof(float);
	if (x->kind == KIND_ROWS) {
		if (bytes->n - at < sizeof x->rows)
			return false;
		memcpy(&x->rows, bytes->p + at, sizeof x->rows);
		at += sizeof x->rows;
		if (!x->rows || x->rows > COLLECTION_ROWS_MAX)
			return false;
		n *= x->rows;
	}
	size_t indices = x->kind == KIND_SPARSE ? n : 0;
	if (bytes->n - at < n + indices)
		return false;
	x->at = str_sub(*bytes, at, at + indices);
	x->numbers = str_sub(*bytes, at + indices, at + indices + n);
	*bytes = str_sub(*bytes, at + indices + n, bytes->n);
	return true;
}

static bool is_of(const struct coded *x, const struct space *s)
{
	static const uint8_t kinds[] = {KIND_F32, KIND_SPARSE, KIND_ROWS};
	return x->kind == kinds[s->kind] && (x->kind == KIND_SPARSE || x->dim == s->dim);
}

/* Copies, at an address for such numbers. */
static bool copy_out(const struct coded *x, struct arena *a, struct item_vector *v)
{
	size_t n = x->numbers.n / sizeof(float);
	float *f = arena_array_of(a, n + 1, float);
	uint32_t *at = x->kind == KIND_SPARSE ? arena_array_of(a, n + 1, uint32_t) : NULL;
	if (!f || (x->kind == KIND_SPARSE && !at))
		return false;
	if (n)
		memcpy(f, x->numbers.p, x->numbers.n);
	if (n && at)
		memcpy(at, x->at.p, x->at.n);
	v->v = f;
	v->at = at;
	v->dim = x->dim;
	v->rows = x->rows;
	return true;
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
	size_t count = (uint8_t)bytes.p[1], found = 0;
	struct item_vector *list = arena_array_of(a, count + 1, struct item_vector);
	if (!list)
		return err_set(et, ERR_NOMEM, "no memory for an item's vectors");
	bytes = str_sub(bytes, 2, bytes.n);
	for (size_t i = 0; i < count; i++) {
		struct coded x;
		if (!take_vector(&bytes, &x))
			return damaged(et);
		/* else of a space that was dropped, or that came after `spaces` was read */
		bool known = x.space < n_spaces && space_lives(&spaces[x.space]);
		if (known && !is_of(&x, &spaces[x.space]))
			return damaged(et);
		if (!known)
			continue;
		list[found] = (struct item_vector){.space = spaces[x.space].name, .place = x.space};
		if (!copy_out(&x, a, &list[found++]))
			return err_set(et, ERR_NOMEM, "no memory for an item's vectors");
	}
	if (bytes.n)
		return damaged(et);
	*out = list;
	*n = found;
	return OK;
}

/* ---- the spaces ---- */

static const char *const distance_words[] = {"Cosine", "Dot", "Euclid", "Manhattan"};

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

static const char *const kind_words[] = {"dense", "sparse", "multi"};

const char *space_kind_word(enum space_kind k)
{
	return kind_words[k];
}

static bool read_kind(yyjson_val *v, struct space *s)
{
	struct str word = json_str(v, "kind");
	s->idf = json_bool(v, "idf", false);
	for (size_t i = 0; word.p && i < ARRAY_LEN(kind_words); i++)
		if (str_eq_c(word, kind_words[i])) {
			s->kind = (enum space_kind)i;
			return true;
		}
	return !word.p;
}

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
		if (spaces[i].kind)
			jw_kc(&w, "kind", kind_words[spaces[i].kind]);
		if (spaces[i].idf)
			jw_kbool(&w, "idf", true);
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
			bool ok = read_role(v, a, &s[i]) && read_kind(v, &s[i]);
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
