/* Items, ids and spaces as requests bring them: refused, or such that they can be written and read
 * again. */
#include "base/arena.h"
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
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
		for (size_t i = 0; i < n; i++)
			again(&items[i]);
	if (!item_json_ids(root, a, &ids, &n, NULL))
		must(n == yyjson_arr_size(root));
	if (!item_json_spaces(item_json_get(root, "vectors"), item_json_get(root, "sparse_vectors"),
		    a, &spaces, &n, NULL) ||
		!item_json_spaces(root, root, a, &spaces, &n, NULL))
		must(n <= COLLECTION_SPACES_MAX);
	(void)!item_json_want(root, root, &want, NULL);
	yyjson_doc_free(doc);
	arena_free(a);
	return 0;
}
