/* Items, ids and spaces as requests bring them: refused, or such that they can be written and read
 * again. */
#include "base/arena.h"
#include "collection/collection_int.h"
#include "collection/item_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool yes)
{
	if (!yes)
		__builtin_trap();
}

static void again(const struct collection_item *it)
{
	yyjson_val yes = {.tag = YYJSON_TYPE_BOOL | YYJSON_SUBTYPE_TRUE};
	struct buf b = {0};
	struct jw w = {.out = &b};
	struct item_id id;
	yyjson_doc *doc = NULL;
	jw_obj(&w);
	item_json_write(&w, it, &yes, &yes);
	jw_end(&w);
	must(jw_done(&w) && !json_parse(buf_str(&b), &doc, NULL));
	yyjson_val *o = yyjson_doc_get_root(doc);
	must(!item_json_id(yyjson_obj_get(o, "id"), &id, NULL));
	must(str_eq(item_id_bytes(&id), item_id_bytes(&it->id)));
	must(yyjson_is_obj(yyjson_obj_get(o, "payload")));
	yyjson_doc_free(doc);
	buf_free(&b);
}

static const struct space of_all_kinds[] = {
	{.name = S("plain"), .dim = 2, .place = 0},
	{.name = S("sparse"), .dim = 1, .place = 1, .kind = SPACE_SPARSE},
	{.name = S("lists"), .dim = 2, .place = 2, .kind = SPACE_MULTI},
};

/* What the database might have: vectors as they should be, or damaged. */
static void stored(struct str bytes)
{
	struct item_vector *v;
	struct buf b = {0};
	size_t n;
	struct arena *a = arena_new(64 << 20);
	if (a && !item_decode(bytes, of_all_kinds, ARRAY_LEN(of_all_kinds), a, &v, &n, NULL) &&
		bytes.n) {
		item_code(v, n, &b);
		must(b.n <= bytes.n); /* spaces that are not known are left out */
	}
	buf_free(&b);
	arena_free(a);
}

/* A vector comes back from the database as it went there. */
static void coded(const struct collection_item *it)
{
	struct arena *a = arena_new(64 << 20);
	for (size_t i = 0; a && i < it->n_vectors; i++) {
		struct item_vector v = it->vectors[i], *back;
		struct buf b = {0};
		size_t n;
		v.place = v.at ? 1 : v.rows ? 2 : 0;
		if (v.at || v.dim == 2) {
			item_code(&v, 1, &b);
			must(!item_decode(buf_str(&b), of_all_kinds, ARRAY_LEN(of_all_kinds), a,
				     &back, &n, NULL) &&
				n == 1);
			must(back->dim == v.dim && back->rows == v.rows && !back->at == !v.at);
			must(!v.dim ||
				!memcmp(back->v, v.v, v.dim * (v.rows ? v.rows : 1) * sizeof *v.v));
			must(!v.at || !v.dim || !memcmp(back->at, v.at, v.dim * sizeof *v.at));
		}
		buf_free(&b);
	}
	arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	stored(str_mk(data, size));
	struct arena *a = arena_new(64 << 20);
	struct collection_item *items = NULL;
	struct item_id *ids = NULL;
	struct space *spaces = NULL;
	struct item_want want;
	yyjson_doc *doc = NULL;
	size_t n = 0;
	if (!a || json_parse(str_mk(data, size), &doc, NULL)) {
		arena_free(a);
		return 0;
	}
	yyjson_val *root = yyjson_doc_get_root(doc);
	if (yyjson_is_arr(root) && !item_json_items(root, a, &items, &n, NULL))
		for (size_t i = 0; i < n; i++) {
			again(&items[i]);
			coded(&items[i]);
		}
	if (!item_json_ids(root, a, &ids, &n, NULL))
		must(n == yyjson_arr_size(root));
	if (!item_json_spaces(root, NULL, a, &spaces, &n, NULL) ||
		!item_json_spaces(NULL, root, a, &spaces, &n, NULL) ||
		!item_json_spaces(yyjson_obj_get(root, "vectors"),
			yyjson_obj_get(root, "sparse_vectors"), a, &spaces, &n, NULL))
		must(n <= COLLECTION_SPACES_MAX);
	(void)!item_json_want(root, root, &want, NULL);
	yyjson_doc_free(doc);
	arena_free(a);
	return 0;
}
