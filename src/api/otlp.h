/* OTLP/HTTP: what its files share.
 *
 *	otlp_http.c  POST /v1/traces, /v1/logs, /v1/metrics
 *	otlp_json.c  the JSON form of the messages, to protobuf and back
 */
#ifndef API_OTLP_H
#define API_OTLP_H
#include "module/module.h"

/* A message whose JSON form is known. */
struct otlp_message;
extern const struct otlp_message otlp_trace_request, otlp_span, otlp_resource, otlp_scope;
extern const struct otlp_message otlp_logs_request, otlp_log_record;

/* Appends the protobuf form of a JSON value: lowerCamelCase names, ids in hex, enums as numbers,
 * 64-bit integers as numbers or strings, bytes in base64; unknown members are ignored. ERR_INVALID
 * names the member. */
enum err otlp_from_json(yyjson_val *v, const struct otlp_message *m, struct buf *out,
	struct errtext *et) MUST_CHECK;
/* The other way; false when the bytes are malformed. OTLP writes ids in hex; protobuf's own JSON,
 * which MLflow's client reads, has them in base64 as all bytes; there names are written as in the
 * message's definition (snake_case) and 64-bit numbers as numbers, as MLflow's server writes them.
 */
enum otlp_ids { OTLP_IDS_HEX, OTLP_IDS_BASE64 };
bool otlp_to_json(
	struct str message, const struct otlp_message *m, enum otlp_ids ids, struct jw *w);

void otlp_traces(struct croft *c, struct http_request *rq, struct http_response *rs);
void otlp_logs(struct croft *c, struct http_request *rq, struct http_response *rs);
/* Refuses: no exporter tries again. */
void otlp_metrics(struct croft *c, struct http_request *rq, struct http_response *rs);

#endif
