/* Any bytes are an ONNX file whose weights come out as a safetensors file, or an error. */
#include "artifact/onnx.h"
#include "engine/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err keep(void *ctx, struct str bytes, struct errtext *et)
{
	(void)et;
	buf_adds(ctx, bytes);
	return OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf out = {0};
	struct errtext et = {0};
	struct safetensors *s;
	if (onnx_to_safetensors(str_mk(data, size), "f", keep, &out, &et)) {
		if (!et.msg[0])
			__builtin_trap();
	} else if (!out.err && !safetensors_parse(out.p, out.n, "f", &s, &et)) {
		safetensors_free(s); /* else two weights have one name */
	}
	buf_free(&out);
	return 0;
}
