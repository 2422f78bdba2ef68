/* The JSON form of OpenTelemetry's messages, to protobuf and back: one table of fields for
 * each message (opentelemetry-proto 1.11). To add a field: its row. */
#include "api/otlp.h"
#include "base/hash.h"
#include "net/protobuf.h"

#include <math.h>

enum kind {
	K_STR,
	K_HEX, /* bytes, written as hex digits: ids */
	K_BYTES,
	K_BOOL,
	K_U32, /* counts and enums */
	K_I64,
	K_FIXED32,
	K_FIXED64,
	K_DOUBLE,
	K_MESSAGE
};

struct field {
	const char *name;
	uint32_t number;
	enum kind kind;
	bool repeated;
	const struct otlp_message *message;
};

struct otlp_message {
	const struct field *fields;
	size_t n;
	bool oneof; /* a member that is there is written even when it is zero */
};

#define MESSAGE(fields)                          \
	{                                        \
		fields, ARRAY_LEN(fields), false \
	}

static const struct otlp_message any_value, array_value, map_value;

static const struct field pair_fields[] = {
	{"key", 1, K_STR, false, NULL},
	{"value", 2, K_MESSAGE, false, &any_value},
};
static const struct otlp_message pair = MESSAGE(pair_fields);

static const struct field array_fields[] = {{"values", 1, K_MESSAGE, true, &any_value}};
static const struct otlp_message array_value = MESSAGE(array_fields);
static const struct field map_fields[] = {{"values", 1, K_MESSAGE, true, &pair}};
static const struct otlp_message map_value = MESSAGE(map_fields);

static const struct field any_fields[] = {
	{"stringValue", 1, K_STR, false, NULL},
	{"boolValue", 2, K_BOOL, false, NULL},
	{"intValue", 3, K_I64, false, NULL},
	{"doubleValue", 4, K_DOUBLE, false, NULL},
	{"arrayValue", 5, K_MESSAGE, false, &array_value},
	{"kvlistValue", 6, K_MESSAGE, false, &map_value},
	{"bytesValue", 7, K_BYTES, false, NULL},
};
static const struct otlp_message any_value = {any_fields, ARRAY_LEN(any_fields), true};

static const struct field resource_fields[] = {
	{"attributes", 1, K_MESSAGE, true, &pair},
	{"droppedAttributesCount", 2, K_U32, false, NULL},
};
const struct otlp_message otlp_resource = MESSAGE(resource_fields);

static const struct field scope_fields[] = {
	{"name", 1, K_STR, false, NULL},
	{"version", 2, K_STR, false, NULL},
	{"attributes", 3, K_MESSAGE, true, &pair},
	{"droppedAttributesCount", 4, K_U32, false, NULL},
};
const struct otlp_message otlp_scope = MESSAGE(scope_fields);

static const struct field event_fields[] = {
	{"timeUnixNano", 1, K_FIXED64, false, NULL},
	{"name", 2, K_STR, false, NULL},
	{"attributes", 3, K_MESSAGE, true, &pair},
	{"droppedAttributesCount", 4, K_U32, false, NULL},
};
static const struct otlp_message event = MESSAGE(event_fields);

static const struct field link_fields[] = {
	{"traceId", 1, K_HEX, false, NULL},
	{"spanId", 2, K_HEX, false, NULL},
	{"traceState", 3, K_STR, false, NULL},
	{"attributes", 4, K_MESSAGE, true, &pair},
	{"droppedAttributesCount", 5, K_U32, false, NULL},
	{"flags", 6, K_FIXED32, false, NULL},
};
static const struct otlp_message link = MESSAGE(link_fields);

static const struct field status_fields[] = {
	{"message", 2, K_STR, false, NULL},
	{"code", 3, K_U32, false, NULL},
};
static const struct otlp_message status = MESSAGE(status_fields);

static const struct field span_fields[] = {
	{"traceId", 1, K_HEX, false, NULL},
	{"spanId", 2, K_HEX, false, NULL},
	{"traceState", 3, K_STR, false, NULL},
	{"parentSpanId", 4, K_HEX, false, NULL},
	{"flags", 16, K_FIXED32, false, NULL},
	{"name", 5, K_STR, false, NULL},
	{"kind", 6, K_U32, false, NULL},
	{"startTimeUnixNano", 7, K_FIXED64, false, NULL},
	{"endTimeUnixNano", 8, K_FIXED64, false, NULL},
	{"attributes", 9, K_MESSAGE, true, &pair},
	{"droppedAttributesCount", 10, K_U32, false, NULL},
	{"events", 11, K_MESSAGE, true, &event},
	{"droppedEventsCount", 12, K_U32, false, NULL},
	{"links", 13, K_MESSAGE, true, &link},
	{"droppedLinksCount", 14, K_U32, false, NULL},
	{"status", 15, K_MESSAGE, false, &status},
};
const struct otlp_message otlp_span = MESSAGE(span_fields);

static const struct field scope_spans_fields[] = {
	{"scope", 1, K_MESSAGE, false, &otlp_scope},
	{"spans", 2, K_MESSAGE, true, &otlp_span},
	{"schemaUrl", 3, K_STR, false, NULL},
};
static const struct otlp_message scope_spans = MESSAGE(scope_spans_fields);

static const struct field resource_spans_fields[] = {
	{"resource", 1, K_MESSAGE, false, &otlp_resource},
	{"scopeSpans", 2, K_MESSAGE, true, &scope_spans},
	{"schemaUrl", 3, K_STR, false, NULL},
};
static const struct otlp_message resource_spans = MESSAGE(resource_spans_fields);

static const struct field request_fields[] = {
	{"resourceSpans", 1, K_MESSAGE, true, &resource_spans},
};
const struct otlp_message otlp_trace_request = MESSAGE(request_fields);

static const struct field record_fields[] = {
	{"timeUnixNano", 1, K_FIXED64, false, NULL},
	{"observedTimeUnixNano", 11, K_FIXED64, false, NULL},
	{"severityNumber", 2, K_U32, false, NULL},
	{"severityText", 3, K_STR, false, NULL},
	{"eventName", 12, K_STR, false, NULL},
	{"body", 5, K_MESSAGE, false, &any_value},
	{"attributes", 6, K_MESSAGE, true, &pair},
	{"droppedAttributesCount", 7, K_U32, false, NULL},
	{"flags", 8, K_FIXED32, false, NULL},
	{"traceId", 9, K_HEX, false, NULL},
	{"spanId", 10, K_HEX, false, NULL},
};
const struct otlp_message otlp_log_record = MESSAGE(record_fields);

static const struct field scope_logs_fields[] = {
	{"scope", 1, K_MESSAGE, false, &otlp_scope},
	{"logRecords", 2, K_MESSAGE, true, &otlp_log_record},
	{"schemaUrl", 3, K_STR, false, NULL},
};
static const struct otlp_message scope_logs = MESSAGE(scope_logs_fields);

static const struct field resource_logs_fields[] = {
	{"resource", 1, K_MESSAGE, false, &otlp_resource},
	{"scopeLogs", 2, K_MESSAGE, true, &scope_logs},
	{"schemaUrl", 3, K_STR, false, NULL},
};
static const struct otlp_message resource_logs = MESSAGE(resource_logs_fields);

static const struct field logs_request_fields[] = {
	{"resourceLogs", 1, K_MESSAGE, true, &resource_logs},
};
const struct otlp_message otlp_logs_request = MESSAGE(logs_request_fields);

/* ---- from JSON ---- */

static enum err wrong(const struct field *f, const char *wanted, struct errtext *et)
{
	return err_set(et, ERR_INVALID, "%s: %s is expected", f->name, wanted);
}

/* A number, or a string with one. */
static bool integer(yyjson_val *v, uint64_t *out)
{
	int64_t i;
	double f = yyjson_get_real(v);
	if (yyjson_is_uint(v))
		*out = yyjson_get_uint(v);
	else if (yyjson_is_sint(v))
		*out = (uint64_t)yyjson_get_sint(v);
	else if (yyjson_is_real(v) && f == floor(f) && fabs(f) < 9007199254740992.0)
		*out = (uint64_t)(int64_t)f;
	else if (yyjson_is_str(v) && str_u64(json_val_str(v), out))
		return true;
	else if (yyjson_is_str(v) && str_i64(json_val_str(v), &i))
		*out = (uint64_t)i;
	else
		return false;
	return true;
}

static bool real(yyjson_val *v, double *out)
{
	struct str s = json_val_str(v);
	if (yyjson_is_num(v))
		*out = yyjson_get_num(v);
	else if (str_eq_c(s, "NaN"))
		*out = NAN;
	else if (str_eq_c(s, "Infinity"))
		*out = INFINITY;
	else if (str_eq_c(s, "-Infinity"))
		*out = -INFINITY;
	else
		return s.n && str_f64(s, out);
	return true;
}

static enum err put_hex(yyjson_val *v, const struct field *f, struct buf *out, struct errtext *et)
{
	struct str s = json_val_str(v);
	uint8_t id[16];
	if (!yyjson_is_str(v) || s.n > 32 || s.n % 2 || !hex_decode(s, id, s.n / 2))
		return wrong(f, "an id in hex digits", et);
	pb_put_str(out, f->number, str_mk(id, s.n / 2));
	return OK;
}

static enum err put_base64(
	yyjson_val *v, const struct field *f, struct buf *out, struct errtext *et)
{
	struct buf b = {0};
	enum err e = OK;
	if (!yyjson_is_str(v) || !base64_decode(&b, json_val_str(v)))
		e = wrong(f, "base64", et);
	else
		pb_put_str(out, f->number, buf_str(&b));
	buf_free(&b);
	return e;
}

static enum err put_one(yyjson_val *v, const struct field *f, struct buf *out, struct errtext *et)
{
	uint64_t u = 0;
	double d = 0;
	switch (f->kind) {
	case K_STR:
		if (!yyjson_is_str(v))
			return wrong(f, "text", et);
		pb_put_str(out, f->number, json_val_str(v));
		return OK;
	case K_HEX:
		return put_hex(v, f, out, et);
	case K_BYTES:
		return put_base64(v, f, out, et);
	case K_BOOL:
		if (!yyjson_is_bool(v))
			return wrong(f, "true or false", et);
		pb_put_varint(out, f->number, yyjson_get_bool(v));
		return OK;
	case K_DOUBLE:
		if (!real(v, &d))
			return wrong(f, "a number", et);
		pb_put_double(out, f->number, d);
		return OK;
	case K_MESSAGE:
		if (!yyjson_is_obj(v))
			return wrong(f, "an object", et);
		size_t at = pb_open(out, f->number);
		enum err e = otlp_from_json(v, f->message, out, et);
		pb_close(out, at);
		return e;
	default:
		break;
	}
	if (!integer(v, &u))
		return wrong(f, "a whole number", et);
	if (f->kind == K_FIXED64)
		pb_put_fixed64(out, f->number, u);
	else if (f->kind == K_FIXED32)
		pb_put_fixed32(out, f->number, (uint32_t)u);
	else
		pb_put_varint(out, f->number, f->kind == K_U32 ? (uint32_t)u : u);
	return OK;
}

static enum err put_field(yyjson_val *v, const struct field *f, struct buf *out, struct errtext *et)
{
	if (!f->repeated)
		return put_one(v, f, out, et);
	if (!yyjson_is_arr(v))
		return wrong(f, "a list", et);
	size_t i, n;
	yyjson_val *item;
	enum err e = OK;
	yyjson_arr_foreach(v, i, n, item)
	{
		e = put_one(item, f, out, et);
		if (e)
			break;
	}
	return e;
}

enum err otlp_from_json(
	yyjson_val *v, const struct otlp_message *m, struct buf *out, struct errtext *et)
{
	size_t i, n;
	yyjson_val *key, *member;
	if (!yyjson_is_obj(v))
		return err_set(et, ERR_INVALID, "an object is expected");
	yyjson_obj_foreach(v, i, n, key, member)
	{
		if (yyjson_is_null(member))
			continue;
		struct str name = json_val_str(key);
		for (size_t k = 0; k < m->n; k++)
			if (str_eq_c(name, m->fields[k].name)) {
				enum err e = put_field(member, &m->fields[k], out, et);
				if (e)
					return e;
				break;
			}
	}
	return out->err ? err_set(et, out->err, "no room for the request") : OK;
}

/* ---- to JSON ---- */

static void write_key(struct jw *w, const char *name, enum otlp_ids ids)
{
	char snake[80];
	size_t n = 0;
	if (ids != OTLP_IDS_BASE64) {
		jw_key(w, name);
		return;
	}
	for (; *name && n < sizeof snake - 2; name++) {
		bool upper = *name >= 'A' && *name <= 'Z';
		if (upper)
			snake[n++] = '_';
		snake[n++] = upper ? (char)(*name - 'A' + 'a') : *name;
	}
	jw_key_str(w, str_mk(snake, n));
}

static bool write_one(
	const struct pb_field *p, const struct field *f, enum otlp_ids ids, struct jw *w)
{
	char hex[65];
	struct buf b = {0};
	double d = pb_double(p);
	switch (f->kind) {
	case K_STR:
		jw_str(w, p->s);
		return true;
	case K_HEX:
		if (ids == OTLP_IDS_BASE64) {
			base64_encode(&b, p->s);
			jw_str(w, buf_str(&b));
			buf_free(&b);
			return true;
		}
		hex_encode((const uint8_t *)p->s.p, MIN(p->s.n, (size_t)32), hex);
		jw_c(w, hex);
		return true;
	case K_BYTES:
		base64_encode(&b, p->s);
		jw_str(w, buf_str(&b));
		buf_free(&b);
		return true;
	case K_BOOL:
		jw_bool(w, p->v != 0);
		return true;
	case K_U32:
	case K_FIXED32:
		jw_u64(w, (uint32_t)p->v);
		return true;
	case K_I64:
		if (ids == OTLP_IDS_BASE64)
			jw_i64(w, (int64_t)p->v);
		else
			jw_fmt(w, "%lld", (long long)p->v);
		return true;
	case K_FIXED64:
		if (ids == OTLP_IDS_BASE64)
			jw_u64(w, p->v);
		else
			jw_fmt(w, "%llu", (unsigned long long)p->v);
		return true;
	case K_DOUBLE:
		if (isfinite(d))
			jw_f64(w, d);
		else
			jw_c(w, isnan(d) ? "NaN" : d > 0 ? "Infinity" : "-Infinity");
		return true;
	case K_MESSAGE:
		return otlp_to_json(p->s, f->message, ids, w);
	}
	return false;
}

static bool fits(const struct pb_field *p, const struct field *f)
{
	static const enum pb_wire wires[] = {[K_STR] = PB_BYTES,
		[K_HEX] = PB_BYTES,
		[K_BYTES] = PB_BYTES,
		[K_BOOL] = PB_VARINT,
		[K_U32] = PB_VARINT,
		[K_I64] = PB_VARINT,
		[K_FIXED32] = PB_FIXED32,
		[K_FIXED64] = PB_FIXED64,
		[K_DOUBLE] = PB_FIXED64,
		[K_MESSAGE] = PB_BYTES};
	return p->number == f->number && p->wire == wires[f->kind];
}

/* In the order of the table: repeated fields become one list, of others the last one counts. */
static bool write_field(struct str message, const struct field *f, enum otlp_ids ids, struct jw *w)
{
	struct pb m = pb_of(message);
	struct pb_field p, last = {0};
	size_t n = 0;
	bool good = true;
	while (good && pb_next(&m, &p)) {
		if (!fits(&p, f))
			continue;
		last = p;
		if (!n++) {
			write_key(w, f->name, ids);
			if (f->repeated)
				jw_arr(w);
		}
		if (f->repeated)
			good = write_one(&p, f, ids, w);
	}
	if (n && f->repeated)
		jw_end(w);
	else if (n)
		good = write_one(&last, f, ids, w);
	return good && !m.bad;
}

/* Of a oneof only the last member counts. */
static bool write_oneof(
	struct str message, const struct otlp_message *m, enum otlp_ids ids, struct jw *w)
{
	struct pb r = pb_of(message);
	struct pb_field p, last = {0};
	const struct field *of = NULL;
	while (pb_next(&r, &p))
		for (size_t i = 0; i < m->n; i++)
			if (fits(&p, &m->fields[i])) {
				of = &m->fields[i];
				last = p;
			}
	if (of) {
		write_key(w, of->name, ids);
		return write_one(&last, of, ids, w) && !r.bad;
	}
	return !r.bad;
}

bool otlp_to_json(struct str message, const struct otlp_message *m, enum otlp_ids ids, struct jw *w)
{
	bool good = true;
	jw_obj(w);
	if (m->oneof)
		good = write_oneof(message, m, ids, w);
	for (size_t i = 0; good && !m->oneof && i < m->n; i++)
		good = write_field(message, &m->fields[i], ids, w);
	jw_end(w);
	return good;
}
