/* Sigstore bundles and the statements in them: what anybody may attach to a version. */
#include "artifact/dsse.h"
#include "artifact/manifest.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct errtext et;
	char hint[SHA256_HEX + 1];
	struct buf payload = {0};
	struct arena *a = arena_new(8 << 20);
	struct manifest m = {.a = a}, direct = {.a = a};
	if (!a)
		return 0;
	if (!dsse_peek(str_mk(data, n), &payload, hint, &et) &&
		!statement_parse(buf_str(&payload), &m, &et) && manifest_compare(&m, &m, &et))
		__builtin_trap(); /* it is what it is */
	if (!statement_parse(str_mk(data, n), &direct, &et) && !direct.n)
		__builtin_trap();
	buf_free(&payload);
	manifest_free(&m);
	manifest_free(&direct);
	arena_free(a);
	return 0;
}
