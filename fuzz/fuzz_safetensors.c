/* A safetensors file of any bytes gives tensors that lie inside it, or an error. */
#include "engine/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned sink;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct safetensors *s;
	struct errtext et = {0};
	if (safetensors_parse(data, size, "f", &s, &et)) {
		if (!et.msg[0])
			__builtin_trap();
		return 0;
	}
	unsigned sum = 0;
	for (size_t i = 0; i < safetensors_n(s); i++) {
		const struct safetensor *t = safetensors_at(s, i);
		if (safetensors_find(s, t->name) != t)
			__builtin_trap();
		for (size_t j = 0; j < t->bytes; j++)
			sum += ((const unsigned char *)t->data)[j];
	}
	sink = sum;
	safetensors_free(s);
	return 0;
}
