/* Log records in protobuf, and in JSON when the first byte is a brace: any bytes are refused or
 * read; what is read can be shown, also as messages of a span, and its JSON form says the same
 * again. */
#include "api/otlp.h"
#include "run/trace_int.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void show(const struct otel_log *l)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	struct trace_log_row row = {.log = *l};
	struct trace_facts f = {.type = "llm", .calls_model = true};
	struct otel_span span = {.raw = {"", 0}};
	jw_arr(&w);
	trace_value_json(&w, &l->body);
	trace_attributes_json(&w, l->raw, OTEL_LOG_ATTRS);
	jw_end(&w);
	if (!jw_done(&w))
		abort();
	buf_free(&b);
	char *view = trace_view_otel(&span, &f, &row, 1);
	if (!view)
		abort();
	free(view);
}

static void to_json(struct str message, struct buf *out)
{
	struct jw w = {.out = out};
	if (!otlp_to_json(message, &otlp_log_record, OTLP_IDS_HEX, &w) || !jw_done(&w))
		abort();
}

static void there_and_back(struct str record)
{
	struct buf first = {0}, again = {0}, proto = {0};
	yyjson_doc *doc;
	struct errtext et;
	to_json(record, &first);
	if (!json_parse(buf_str(&first), &doc, &et)) {
		/* an id of another length than 8 or 16 has no JSON form */
		if (!otlp_from_json(yyjson_doc_get_root(doc), &otlp_log_record, &proto, &et)) {
			to_json(buf_str(&proto), &again);
			if (!str_eq(buf_str(&first), buf_str(&again)))
				abort();
		}
		yyjson_doc_free(doc);
	}
	buf_free(&first);
	buf_free(&again);
	buf_free(&proto);
}

static void read_request(struct str request, bool made)
{
	struct trace_log_batch b = {0};
	struct errtext et;
	enum err e = trace_log_batch_read(&b, request, &et);
	if (!e)
		for (size_t i = 0; i < b.n; i++) {
			show(&b.items[i].log);
			there_and_back(b.items[i].log.raw);
		}
	else if (made && e != ERR_TOO_LARGE && !strstr(et.msg, "valid"))
		abort();
	trace_log_batch_clear(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf out = {.max = 1 << 24};
	yyjson_doc *doc;
	struct errtext et;
	if (!size || data[0] != '{') {
		read_request(str_mk(data, size), false);
		return 0;
	}
	if (json_parse(str_mk(data, size), &doc, &et))
		return 0;
	if (!otlp_from_json(yyjson_doc_get_root(doc), &otlp_logs_request, &out, &et))
		read_request(buf_str(&out), true);
	buf_free(&out);
	yyjson_doc_free(doc);
	return 0;
}
