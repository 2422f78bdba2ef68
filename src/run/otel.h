/* OpenTelemetry's messages (opentelemetry-proto 1.11: trace/v1, logs/v1, common/v1), read in place.
 *
 * A span is kept as the bytes of its Span message, whatever way it came: nothing is lost, and what
 * is shown is read from them. Everything here is a view into those bytes. */
#ifndef RUN_OTEL_H
#define RUN_OTEL_H
#include "base/id.h"
#include "net/protobuf.h"

enum { OTEL_DEPTH_MAX = 32 }; /* of lists and maps in an attribute */

enum otel_type {
	OTEL_EMPTY,
	OTEL_STR,
	OTEL_BOOL,
	OTEL_INT,
	OTEL_DOUBLE,
	OTEL_LIST,
	OTEL_MAP,
	OTEL_BYTES
};

struct otel_value {
	enum otel_type type;
	int64_t i; /* OTEL_BOOL, OTEL_INT */
	double f;
	struct str s; /* OTEL_STR, OTEL_BYTES; of lists and maps the encoded message */
};

/* Field numbers of attributes in the messages that have them. */
enum {
	OTEL_RESOURCE_ATTRS = 1,
	OTEL_SCOPE_ATTRS = 3,
	OTEL_SPAN_ATTRS = 9,
	OTEL_EVENT_ATTRS = 3,
	OTEL_LINK_ATTRS = 4,
	OTEL_LOG_ATTRS = 6,
	OTEL_MAP_ATTRS = 1
};

enum { OTEL_STATUS_UNSET, OTEL_STATUS_OK, OTEL_STATUS_ERROR };

struct otel_span {
	struct str raw;
	struct id trace;
	int64_t id, parent; /* the eight bytes, most significant first; parent 0: none */
	struct str trace_state, name, status_message;
	uint64_t kind, status, flags;
	int64_t start_ns, end_ns; /* end_ns 0: still running */
	uint64_t dropped_attributes, dropped_events, dropped_links;
	uint32_t n_events, n_links;
};

struct otel_event {
	int64_t time_ns;
	struct str name, raw;
	uint64_t dropped;
};

struct otel_link {
	struct str trace_id, span_id, trace_state, raw;
	uint64_t dropped, flags;
};

struct otel_log {
	struct str raw;
	struct id trace;              /* zero: none */
	int64_t span;                 /* 0: none */
	int64_t time_ns, observed_ns; /* 0: not said */
	uint64_t severity, flags;     /* severity 1 .. 24; 0: not said */
	struct str severity_text, event;
	struct otel_value body;
	uint64_t dropped_attributes;
};

/* Reads and checks a whole LogRecord message. False: it is not one. Ids of a wrong length are none.
 * The event's name is also found in the attribute in which older SDKs put it. */
bool otel_log_read(struct str raw, struct otel_log *out);

/* Reads and checks a whole Span message, attributes, events and links included. False: it is not
 * one. Ids that are missing or of a wrong length are zero: otel_span_problem says why it cannot be
 * kept (NULL: it can). */
bool otel_span_read(struct str raw, struct otel_span *out);
const char *otel_span_problem(const struct otel_span *s);
/* A Resource or InstrumentationScope: is it well-formed? */
bool otel_holder_valid(struct str raw, uint32_t attributes_number);

/* The next attribute with this field number; false at the end. */
bool otel_next_attr(struct pb *m, uint32_t number, struct str *key, struct otel_value *v);
bool otel_next_item(struct pb *list, struct otel_value *v); /* of an OTEL_LIST's bytes */
bool otel_next_event(struct pb *span, struct otel_event *out);
bool otel_next_link(struct pb *span, struct otel_link *out);

/* Writers of the same messages, for our own runs and for JSON requests. */
void otel_put_str(struct buf *out, uint32_t number, const char *key, struct str v);
void otel_put_i64(struct buf *out, uint32_t number, const char *key, int64_t v);
void otel_put_f64(struct buf *out, uint32_t number, const char *key, double v);
void otel_put_bool(struct buf *out, uint32_t number, const char *key, bool v);
void otel_put_span_id(struct buf *out, uint32_t number, int64_t id);

#endif
