/* A GGUF file of any bytes gives tensors that lie inside it, or an error. */
#include "engine/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned sink;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gguf *g;
	struct errtext et = {0};
	if (gguf_parse(data, size, "f", &g, &et)) {
		if (!et.msg[0])
			__builtin_trap();
		return 0;
	}
	unsigned sum = 0;
	for (size_t i = 0; i < gguf_n_tensors(g); i++) {
		const struct gguf_tensor *t = gguf_tensor(g, i);
		const unsigned char *p = t->data;
		for (size_t j = 0; j < t->bytes; j++)
			sum += p[j];
	}
	for (size_t i = 0; i < gguf_n_keys(g); i++) {
		enum gguf_type type;
		char key[256];
		struct str k = gguf_key(g, i, &type);
		if (k.n >= sizeof key)
			continue;
		memcpy(key, k.p, k.n);
		key[k.n] = 0;
		struct gguf_array a;
		struct str s = gguf_str(g, key);
		for (size_t j = 0; j < s.n; j++)
			sum += (unsigned char)s.p[j];
		sum += (unsigned)gguf_i64(g, key, 0) + gguf_bool(g, key, false) +
		       (gguf_f64(g, key, 0) > 0);
		if (gguf_array(g, key, &a))
			for (size_t j = 0; j < a.n; j++) {
				sum += (unsigned)gguf_at_i64(&a, j) + (gguf_at_f64(&a, j) > 0);
				if (a.strs && a.strs[j].n)
					sum += (unsigned char)a.strs[j].p[a.strs[j].n - 1];
			}
	}
	sink = sum;
	gguf_free(g);
	return 0;
}
