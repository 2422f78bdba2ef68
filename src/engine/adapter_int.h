/* Inside the engine: an adapter in memory. */
#ifndef ENGINE_ADAPTER_INT_H
#define ENGINE_ADAPTER_INT_H
#include "engine/layers.h"
#include "engine/model_int.h"

/* What a adds to products with w, a matrix of m's layer or m->output; NULL: nothing. */
const struct lora *adapter_of(
	const struct adapter *a, const struct model *m, uint32_t layer, const struct kern_mat *w);
/* Unlike that of every other adapter of this process, and of NULL, which is 0: keys and values are
 * known by it. */
uint64_t adapter_id(const struct adapter *a);
/* From files that are open; takes w in any case. */
enum err adapter_from(struct weights *w, struct model *m, const struct model_options *o,
	struct adapter **out, struct errtext *et) MUST_CHECK;

#endif
