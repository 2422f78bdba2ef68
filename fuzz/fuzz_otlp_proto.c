/* OTLP requests in protobuf: any bytes are refused or read; what is read can be shown, and its JSON
 * form says the same when it is read again. */
#include "api/otlp.h"
#include "run/trace_int.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void show(const struct trace_item *it)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	struct pb events = pb_of(it->span.raw), links = events;
	struct otel_event ev;
	struct otel_link li;
	jw_arr(&w);
	trace_attributes_json(&w, it->span.raw, OTEL_SPAN_ATTRS);
	while (otel_next_event(&events, &ev))
		trace_attributes_json(&w, ev.raw, OTEL_EVENT_ATTRS);
	while (otel_next_link(&links, &li))
		trace_attributes_json(&w, li.raw, OTEL_LINK_ATTRS);
	jw_end(&w);
	if (!jw_done(&w))
		abort();
	buf_free(&b);
	char *view = trace_view_otel(&it->span, &it->facts, NULL, 0);
	if (!view)
		abort();
	free(view);
}

static void to_json(struct str message, struct buf *out)
{
	struct jw w = {.out = out};
	if (!otlp_to_json(message, &otlp_span, OTLP_IDS_HEX, &w) || !jw_done(&w))
		abort();
}

static void there_and_back(struct str span)
{
	struct buf first = {0}, again = {0}, proto = {0};
	yyjson_doc *doc;
	struct errtext et;
	to_json(span, &first);
	if (!json_parse(buf_str(&first), &doc, &et)) {
		/* an id of another length than 8 or 16 has no JSON form */
		if (!otlp_from_json(yyjson_doc_get_root(doc), &otlp_span, &proto, &et)) {
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct trace_batch b = {0};
	struct errtext et;
	if (!trace_batch_read(&b, str_mk(data, size), &et))
		for (size_t i = 0; i < b.n_order; i++) {
			show(b.order[i]);
			there_and_back(b.order[i]->span.raw);
		}
	trace_batch_clear(&b);
	return 0;
}
