/* MLflow's filter language and its order_by: any text parses or is refused, and what parses matches
 * without reading past its ends. */
#include "api/mlflow_filter.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct errtext et;
	struct arena *a = arena_new(1 << 20);
	struct filter_clause *c;
	struct filter_order o;
	size_t k = 0;
	struct str text = str_mk(data, n);
	if (!a)
		return 0;
	if (!filter_parse(text, a, &c, &k, &et))
		for (size_t i = 0; i < k; i++) {
			filter_match_text(&c[i], c[i].key);
			filter_match_text(&c[i], text);
			filter_match_number(&c[i], c[i].number);
		}
	if (!filter_order_parse(text, a, &o, &et))
		filter_match_text(&(struct filter_clause){.text = o.key}, text);
	arena_free(a);
	return 0;
}
