/* OpenTelemetry's messages, read in place. */
#include "run/otel.h"

/* Field numbers (opentelemetry/proto: trace/v1/trace.proto, logs/v1/logs.proto,
 * common/v1/common.proto). */
enum {
	SPAN_TRACE_ID = 1,
	SPAN_ID = 2,
	SPAN_TRACE_STATE = 3,
	SPAN_PARENT = 4,
	SPAN_NAME = 5,
	SPAN_KIND = 6,
	SPAN_START = 7,
	SPAN_END = 8,
	SPAN_DROPPED_ATTRS = 10,
	SPAN_EVENT = 11,
	SPAN_DROPPED_EVENTS = 12,
	SPAN_LINK = 13,
	SPAN_DROPPED_LINKS = 14,
	SPAN_STATUS = 15,
	SPAN_FLAGS = 16,
	EVENT_TIME = 1,
	EVENT_NAME = 2,
	EVENT_DROPPED = 4,
	LINK_TRACE = 1,
	LINK_SPAN = 2,
	LINK_STATE = 3,
	LINK_DROPPED = 5,
	LINK_FLAGS = 6,
	STATUS_MESSAGE = 2,
	STATUS_CODE = 3,
	LOG_TIME = 1,
	LOG_SEVERITY = 2,
	LOG_SEVERITY_TEXT = 3,
	LOG_BODY = 5,
	LOG_DROPPED_ATTRS = 7,
	LOG_FLAGS = 8,
	LOG_TRACE_ID = 9,
	LOG_SPAN_ID = 10,
	LOG_OBSERVED = 11,
	LOG_EVENT = 12,
	KEY = 1,
	VALUE = 2
};

/* ---- values ---- */

static bool read_value(struct str raw, struct otel_value *v)
{
	struct pb m = pb_of(raw);
	struct pb_field f;
	*v = (struct otel_value){.s = {"", 0}};
	while (pb_next(&m, &f)) { /* a oneof: the last one counts */
		struct otel_value got = {.s = f.s};
		if (f.number == 1 && f.wire == PB_BYTES)
			got.type = OTEL_STR;
		else if (f.number == 2 && f.wire == PB_VARINT)
			got.type = OTEL_BOOL, got.i = f.v != 0;
		else if (f.number == 3 && f.wire == PB_VARINT)
			got.type = OTEL_INT, got.i = (int64_t)f.v;
		else if (f.number == 4 && f.wire == PB_FIXED64)
			got.type = OTEL_DOUBLE, got.f = pb_double(&f);
		else if (f.number == 5 && f.wire == PB_BYTES)
			got.type = OTEL_LIST;
		else if (f.number == 6 && f.wire == PB_BYTES)
			got.type = OTEL_MAP;
		else if (f.number == 7 && f.wire == PB_BYTES)
			got.type = OTEL_BYTES;
		else
			continue;
		*v = got;
	}
	return !m.bad;
}

static bool read_pair(struct str raw, struct str *key, struct otel_value *v)
{
	struct pb m = pb_of(raw);
	struct pb_field f;
	*key = (struct str){"", 0};
	*v = (struct otel_value){.s = {"", 0}};
	while (pb_next(&m, &f)) {
		if (f.number == KEY && f.wire == PB_BYTES)
			*key = f.s;
		else if (f.number == VALUE && f.wire == PB_BYTES && !read_value(f.s, v))
			return false;
	}
	return !m.bad;
}

bool otel_next_attr(struct pb *m, uint32_t number, struct str *key, struct otel_value *v)
{
	struct pb_field f;
	while (pb_next(m, &f))
		if (f.number == number && f.wire == PB_BYTES) {
			if (read_pair(f.s, key, v))
				return true;
			m->bad = true;
			return false;
		}
	return false;
}

bool otel_next_item(struct pb *list, struct otel_value *v)
{
	struct pb_field f;
	while (pb_next(list, &f))
		if (f.number == 1 && f.wire == PB_BYTES) {
			if (read_value(f.s, v))
				return true;
			list->bad = true;
			return false;
		}
	return false;
}

static bool value_valid(const struct otel_value *v, unsigned depth)
{
	if (v->type != OTEL_LIST && v->type != OTEL_MAP)
		return true;
	if (depth == OTEL_DEPTH_MAX)
		return false;
	struct pb m = pb_of(v->s);
	struct otel_value inner;
	struct str key;
	while (v->type == OTEL_LIST ? otel_next_item(&m, &inner)
				    : otel_next_attr(&m, OTEL_MAP_ATTRS, &key, &inner))
		if (!value_valid(&inner, depth + 1))
			return false;
	return !m.bad;
}

static bool pair_valid(struct str raw)
{
	struct str key;
	struct otel_value v;
	return read_pair(raw, &key, &v) && value_valid(&v, 0);
}

bool otel_holder_valid(struct str raw, uint32_t attributes_number)
{
	struct pb m = pb_of(raw);
	struct pb_field f;
	while (pb_next(&m, &f))
		if (f.number == attributes_number && f.wire == PB_BYTES && !pair_valid(f.s))
			return false;
	return !m.bad;
}

/* ---- spans ---- */

static int64_t id_of(struct str s)
{
	uint64_t v = 0;
	if (s.n != 8)
		return 0;
	for (size_t i = 0; i < 8; i++)
		v = v << 8 | (uint8_t)s.p[i];
	return (int64_t)v;
}

static bool read_status(struct str raw, struct otel_span *s)
{
	struct pb m = pb_of(raw);
	struct pb_field f;
	while (pb_next(&m, &f)) {
		if (f.number == STATUS_MESSAGE && f.wire == PB_BYTES)
			s->status_message = f.s;
		else if (f.number == STATUS_CODE && f.wire == PB_VARINT)
			s->status = f.v;
	}
	return !m.bad;
}

static bool read_bytes(struct otel_span *s, const struct pb_field *f)
{
	switch (f->number) {
	case SPAN_TRACE_ID:
		s->trace = (struct id){0};
		if (f->s.n == sizeof s->trace.b)
			memcpy(s->trace.b, f->s.p, sizeof s->trace.b);
		return true;
	case SPAN_ID:
		s->id = id_of(f->s);
		return true;
	case SPAN_PARENT:
		s->parent = id_of(f->s);
		return true;
	case SPAN_TRACE_STATE:
		s->trace_state = f->s;
		return true;
	case SPAN_NAME:
		s->name = f->s;
		return true;
	case OTEL_SPAN_ATTRS:
		return pair_valid(f->s);
	case SPAN_EVENT:
		s->n_events++;
		return otel_holder_valid(f->s, OTEL_EVENT_ATTRS);
	case SPAN_LINK:
		s->n_links++;
		return otel_holder_valid(f->s, OTEL_LINK_ATTRS);
	case SPAN_STATUS:
		return read_status(f->s, s);
	default:
		return true;
	}
}

static void read_number(struct otel_span *s, const struct pb_field *f)
{
	if (f->number == SPAN_START && f->wire == PB_FIXED64)
		s->start_ns = (int64_t)f->v;
	else if (f->number == SPAN_END && f->wire == PB_FIXED64)
		s->end_ns = (int64_t)f->v;
	else if (f->number == SPAN_FLAGS && f->wire == PB_FIXED32)
		s->flags = f->v;
	else if (f->wire != PB_VARINT)
		return;
	else if (f->number == SPAN_KIND)
		s->kind = f->v;
	else if (f->number == SPAN_DROPPED_ATTRS)
		s->dropped_attributes = f->v;
	else if (f->number == SPAN_DROPPED_EVENTS)
		s->dropped_events = f->v;
	else if (f->number == SPAN_DROPPED_LINKS)
		s->dropped_links = f->v;
}

bool otel_span_read(struct str raw, struct otel_span *out)
{
	struct pb m = pb_of(raw);
	struct pb_field f;
	struct str none = {"", 0};
	struct otel_span s = {
		.raw = raw, .trace_state = none, .name = none, .status_message = none};
	while (pb_next(&m, &f)) {
		if (f.wire != PB_BYTES)
			read_number(&s, &f);
		else if (!read_bytes(&s, &f))
			return false;
	}
	if (m.bad)
		return false;
	*out = s;
	return true;
}

const char *otel_span_problem(const struct otel_span *s)
{
	if (id_is_zero(s->trace))
		return "the trace id is not 16 bytes, or all zero";
	if (!s->id)
		return "the span id is not 8 bytes, or all zero";
	if (s->start_ns < 0 || s->end_ns < 0)
		return "a time is beyond the year 2262";
	if (s->parent == s->id)
		return "the span is its own parent";
	return NULL;
}

/* ---- log records ---- */

static bool read_log_bytes(struct otel_log *l, const struct pb_field *f)
{
	switch (f->number) {
	case LOG_SEVERITY_TEXT:
		l->severity_text = f->s;
		return true;
	case LOG_BODY:
		return read_value(f->s, &l->body) && value_valid(&l->body, 0);
	case OTEL_LOG_ATTRS:
		return pair_valid(f->s);
	case LOG_TRACE_ID:
		l->trace = (struct id){0};
		if (f->s.n == sizeof l->trace.b)
			memcpy(l->trace.b, f->s.p, sizeof l->trace.b);
		return true;
	case LOG_SPAN_ID:
		l->span = id_of(f->s);
		return true;
	case LOG_EVENT:
		l->event = f->s;
		return true;
	default:
		return true;
	}
}

static void read_log_number(struct otel_log *l, const struct pb_field *f)
{
	if (f->number == LOG_TIME && f->wire == PB_FIXED64)
		l->time_ns = (int64_t)f->v;
	else if (f->number == LOG_OBSERVED && f->wire == PB_FIXED64)
		l->observed_ns = (int64_t)f->v;
	else if (f->number == LOG_FLAGS && f->wire == PB_FIXED32)
		l->flags = f->v;
	else if (f->number == LOG_SEVERITY && f->wire == PB_VARINT)
		l->severity = f->v;
	else if (f->number == LOG_DROPPED_ATTRS && f->wire == PB_VARINT)
		l->dropped_attributes = f->v;
}

static void find_event_name(struct otel_log *l)
{
	struct pb m = pb_of(l->raw);
	struct str key;
	struct otel_value v;
	while (otel_next_attr(&m, OTEL_LOG_ATTRS, &key, &v))
		if (str_eq(key, S("event.name")) && v.type == OTEL_STR)
			l->event = v.s;
}

bool otel_log_read(struct str raw, struct otel_log *out)
{
	struct pb m = pb_of(raw);
	struct pb_field f;
	struct str none = {"", 0};
	struct otel_log l = {.raw = raw, .severity_text = none, .event = none, .body.s = none};
	while (pb_next(&m, &f)) {
		if (f.wire != PB_BYTES)
			read_log_number(&l, &f);
		else if (!read_log_bytes(&l, &f))
			return false;
	}
	if (m.bad)
		return false;
	if (!l.event.n)
		find_event_name(&l);
	*out = l;
	return true;
}

bool otel_next_event(struct pb *span, struct otel_event *out)
{
	struct pb_field f, g;
	while (pb_next(span, &f)) {
		if (f.number != SPAN_EVENT || f.wire != PB_BYTES)
			continue;
		struct pb m = pb_of(f.s);
		*out = (struct otel_event){.raw = f.s, .name = {"", 0}};
		while (pb_next(&m, &g)) {
			if (g.number == EVENT_TIME && g.wire == PB_FIXED64)
				out->time_ns = (int64_t)g.v;
			else if (g.number == EVENT_NAME && g.wire == PB_BYTES)
				out->name = g.s;
			else if (g.number == EVENT_DROPPED && g.wire == PB_VARINT)
				out->dropped = g.v;
		}
		return true;
	}
	return false;
}

bool otel_next_link(struct pb *span, struct otel_link *out)
{
	struct pb_field f, g;
	while (pb_next(span, &f)) {
		if (f.number != SPAN_LINK || f.wire != PB_BYTES)
			continue;
		struct pb m = pb_of(f.s);
		struct str none = {"", 0};
		*out = (struct otel_link){none, none, none, f.s, 0, 0};
		while (pb_next(&m, &g)) {
			if (g.wire == PB_BYTES && g.number == LINK_TRACE)
				out->trace_id = g.s;
			else if (g.wire == PB_BYTES && g.number == LINK_SPAN)
				out->span_id = g.s;
			else if (g.wire == PB_BYTES && g.number == LINK_STATE)
				out->trace_state = g.s;
			else if (g.wire == PB_VARINT && g.number == LINK_DROPPED)
				out->dropped = g.v;
			else if (g.wire == PB_FIXED32 && g.number == LINK_FLAGS)
				out->flags = g.v;
		}
		return true;
	}
	return false;
}

/* ---- writing ---- */

static size_t open_pair(struct buf *out, uint32_t number, const char *key, size_t *value)
{
	size_t at = pb_open(out, number);
	pb_put_str(out, KEY, str_c(key));
	*value = pb_open(out, VALUE);
	return at;
}

static void close_pair(struct buf *out, size_t at, size_t value)
{
	pb_close(out, value);
	pb_close(out, at);
}

void otel_put_str(struct buf *out, uint32_t number, const char *key, struct str v)
{
	size_t value, at = open_pair(out, number, key, &value);
	pb_put_str(out, 1, v);
	close_pair(out, at, value);
}

void otel_put_bool(struct buf *out, uint32_t number, const char *key, bool v)
{
	size_t value, at = open_pair(out, number, key, &value);
	pb_put_varint(out, 2, v);
	close_pair(out, at, value);
}

void otel_put_i64(struct buf *out, uint32_t number, const char *key, int64_t v)
{
	size_t value, at = open_pair(out, number, key, &value);
	pb_put_varint(out, 3, (uint64_t)v);
	close_pair(out, at, value);
}

void otel_put_f64(struct buf *out, uint32_t number, const char *key, double v)
{
	size_t value, at = open_pair(out, number, key, &value);
	pb_put_double(out, 4, v);
	close_pair(out, at, value);
}

void otel_put_span_id(struct buf *out, uint32_t number, int64_t id)
{
	char b[8];
	for (size_t i = 0; i < 8; i++)
		b[i] = (char)((uint64_t)id >> (56 - 8 * i));
	pb_put_str(out, number, str_mk(b, 8));
}
