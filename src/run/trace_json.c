/* OpenTelemetry's values and spans as JSON: plain, for people and pages. */
#include "run/trace_int.h"
#include "base/hash.h"
#include "base/json.h"

static void bytes_json(struct jw *w, struct str s)
{
	struct buf b = {0};
	base64_encode(&b, s);
	jw_str(w, buf_str(&b));
	buf_free(&b);
}

void trace_value_json(struct jw *w, const struct otel_value *v)
{
	struct pb m = pb_of(v->s);
	struct otel_value inner;
	switch (v->type) {
	case OTEL_EMPTY:
		jw_null(w);
		return;
	case OTEL_STR:
		jw_str(w, v->s);
		return;
	case OTEL_BOOL:
		jw_bool(w, v->i != 0);
		return;
	case OTEL_INT:
		jw_i64(w, v->i);
		return;
	case OTEL_DOUBLE:
		jw_f64(w, v->f);
		return;
	case OTEL_BYTES:
		bytes_json(w, v->s);
		return;
	case OTEL_LIST: /* the reader checked how deep it is */
		jw_arr(w);
		while (otel_next_item(&m, &inner))
			trace_value_json(w, &inner);
		jw_end(w);
		return;
	case OTEL_MAP:
		trace_attributes_json(w, v->s, OTEL_MAP_ATTRS);
		return;
	}
}

void trace_attributes_json(struct jw *w, struct str message, uint32_t number)
{
	struct pb m = pb_of(message);
	struct str key;
	struct otel_value v;
	jw_obj(w);
	while (otel_next_attr(&m, number, &key, &v)) {
		jw_key_str(w, key);
		trace_value_json(w, &v);
	}
	jw_end(w);
}
