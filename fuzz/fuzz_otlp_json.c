/* OTLP requests in JSON: what is accepted becomes protobuf that the reader of protobuf accepts. */
#include "api/otlp.h"
#include "run/trace_int.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	yyjson_doc *doc;
	struct errtext et;
	struct buf out = {.max = 1 << 24};
	struct trace_batch b = {0};
	if (json_parse(str_mk(data, size), &doc, &et))
		return 0;
	if (!otlp_from_json(yyjson_doc_get_root(doc), &otlp_trace_request, &out, &et)) {
		enum err e = trace_batch_read(&b, buf_str(&out), &et);
		if (e && e != ERR_TOO_LARGE && !strstr(et.msg, "valid"))
			abort();
		trace_batch_clear(&b);
	}
	buf_free(&out);
	yyjson_doc_free(doc);
	return 0;
}
