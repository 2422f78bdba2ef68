/* Items as JSON, in Qdrant's shapes, which Croft's own routes share: an id is an unsigned integer
 * or a text, a vector a list of numbers or an object of lists under names. All memory is in `a`. */
#ifndef COLLECTION_ITEM_JSON_H
#define COLLECTION_ITEM_JSON_H
#include "collection/collection.h"

yyjson_val *item_json_get(yyjson_val *o, const char *key); /* NULL when absent or null */
/* The first of the keys (ended by NULL) that is there is refused by its name. */
enum err item_json_refuse(
	yyjson_val *o, const char *const *keys, const char *where, struct errtext *et) MUST_CHECK;
enum err item_json_id(yyjson_val *v, struct item_id *out, struct errtext *et) MUST_CHECK;
enum err item_json_ids(yyjson_val *list, struct arena *a, struct item_id **out, size_t *n,
	struct errtext *et) MUST_CHECK;
enum err item_json_numbers(yyjson_val *v, struct arena *a, const float **out, size_t *n,
	struct errtext *et) MUST_CHECK;
/* A list of numbers, {indices, values} in any order, or a list of lists of numbers. */
enum err item_json_vector(
	yyjson_val *v, struct arena *a, struct item_vector *out, struct errtext *et) MUST_CHECK;
/* NULL: none */
enum err item_json_vectors(yyjson_val *v, struct arena *a, struct collection_item *item,
	struct errtext *et) MUST_CHECK;
/* {id, vector, payload} */
enum err item_json_item(yyjson_val *id, yyjson_val *vector, yyjson_val *payload, struct arena *a,
	struct collection_item *out, struct errtext *et) MUST_CHECK;
/* A list of such, perhaps with a text to embed. The error names which one. */
enum err item_json_items(yyjson_val *list, struct arena *a, struct collection_item **out, size_t *n,
	struct errtext *et) MUST_CHECK;
/* {"size", "distance"}, or an object of such under names; sparse (NULL: none): an object of
 * {"modifier"} under names. */
enum err item_json_spaces(yyjson_val *v, yyjson_val *sparse, struct arena *a, struct space **out,
	size_t *n, struct errtext *et) MUST_CHECK;

/* payload: true, a list of keys, {include} or {exclude}; vectors: true or a list of names. */
enum err item_json_want(yyjson_val *payload, yyjson_val *vectors, struct item_want *out,
	struct errtext *et) MUST_CHECK;
void item_json_write_number(struct jw *w, float v);
void item_json_write_id(struct jw *w, const struct item_id *id);
/* The members "id", "payload" and "vector", as they were asked for. */
void item_json_write(
	struct jw *w, const struct collection_item *it, yyjson_val *payload, yyjson_val *vectors);
/* The member "sparse_vectors", if there are some. */
bool item_json_write_sparse(struct jw *w, const struct space *s, size_t n);
void item_json_write_space(struct jw *w, const struct space *s);
void item_json_write_spaces(struct jw *w, const struct space *s, size_t n);

#endif
