/* MLflow's assessments: feedback and expectations of traces. */
#include "api/mlflow_trace.h"
#include "base/clock.h"
#include "base/hash.h"

#include <stdlib.h>

/* ---- rendering ---- */

void mlflow_write_assessment(struct jw *w, struct id trace, const struct assessment *a)
{
	char hex[ID_HEX + 1];
	id_hex(trace, hex);
	jw_obj(w);
	jw_kstr(w, "assessment_id", a->id);
	jw_kstr(w, "assessment_name", a->name);
	jw_key(w, "trace_id");
	jw_fmt(w, "tr-%s", hex);
	if (a->span) {
		jw_key(w, "span_id");
		jw_fmt(w, "%016llx", (unsigned long long)a->span);
	}
	jw_key(w, "source");
	jw_obj(w);
	jw_kstr(w, "source_type", a->source_type);
	jw_kstr(w, "source_id", a->source_id);
	jw_end(w);
	mlflow_write_time(w, "create_time", a->created_ms);
	mlflow_write_time(w, "last_update_time", a->at_ms);
	jw_key(w, a->expectation ? "expectation" : "feedback");
	jw_obj(w);
	bool structured =
		a->expectation && a->value.n && (a->value.p[0] == '{' || a->value.p[0] == '[');
	if (structured) { /* as the client writes what is no plain value */
		jw_key(w, "serialized_value");
		jw_obj(w);
		jw_kc(w, "serialization_format", "JSON_FORMAT");
		jw_kstr(w, "value", a->value);
		jw_end(w);
	} else if (a->value.p) {
		jw_key(w, "value");
		jw_raw(w, a->value);
	}
	if (a->error.p && !a->expectation) {
		jw_key(w, "error");
		jw_raw(w, a->error);
	}
	jw_end(w);
	if (a->rationale.p)
		jw_kstr(w, "rationale", a->rationale);
	if (a->metadata.p) {
		jw_key(w, "metadata");
		jw_raw(w, a->metadata);
	}
	if (a->overrides.p)
		jw_kstr(w, "overrides", a->overrides);
	jw_kbool(w, "valid", a->valid);
	jw_end(w);
}

static void reply(struct http_response *rs, struct id trace, const struct assessment *a)
{
	struct buf out = {0};
	struct jw w = {.out = &out};
	jw_obj(&w);
	jw_key(&w, "assessment");
	mlflow_write_assessment(&w, trace, a);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&out);
}

/* ---- reading ---- */

static struct str json_of(yyjson_val *v, struct arena *a)
{
	size_t n;
	char *text = v && !yyjson_is_null(v) ? yyjson_val_write(v, 0, &n) : NULL;
	struct str s = text ? arena_str(a, str_mk(text, n)) : (struct str){0};
	free(text);
	return s;
}

static enum err read_span(struct str s, int64_t *out, struct errtext *et)
{
	uint8_t b[8];
	uint64_t v = 0;
	if (!s.n)
		return OK;
	if (s.n != 16 || !hex_decode(s, b, 8))
		return err_set(et, ERR_INVALID, "Invalid value for parameter 'span_id'");
	for (size_t i = 0; i < 8; i++)
		v = v << 8 | b[i];
	*out = (int64_t)v;
	return OK;
}

static enum err read_value(
	yyjson_val *x, struct arena *arena, struct assessment *a, struct errtext *et)
{
	yyjson_val *feedback = yyjson_obj_get(x, "feedback"),
		   *expectation = yyjson_obj_get(x, "expectation");
	if (yyjson_is_obj(feedback)) {
		a->expectation = false;
		a->value = json_of(yyjson_obj_get(feedback, "value"), arena);
		a->error = json_of(yyjson_obj_get(feedback, "error"), arena);
		if (!a->value.p && !a->error.p)
			a->value = S("null");
	} else if (yyjson_is_obj(expectation)) {
		yyjson_val *whole = yyjson_obj_get(expectation, "serialized_value");
		a->expectation = true;
		a->value = yyjson_is_obj(whole)
				   ? arena_str(arena, json_str(whole, "value"))
				   : json_of(yyjson_obj_get(expectation, "value"), arena);
		if (!a->value.p)
			a->value = S("null");
	} else {
		return err_set(et, ERR_INVALID,
			"An assessment needs `feedback` or `expectation`; others are not known.");
	}
	return OK;
}

static struct str maybe(yyjson_val *x, const char *key)
{
	struct str s = json_str(x, key);
	return s.n ? s : (struct str){0};
}

enum err mlflow_read_assessment(
	yyjson_val *x, struct arena *arena, struct assessment *a, struct errtext *et)
{
	yyjson_val *source = yyjson_obj_get(x, "source");
	struct str type = json_str(source, "source_type");
	*a = (struct assessment){.name = json_str(x, "assessment_name"),
		.source_type = str_eq_c(type, "AI_JUDGE") ? S("LLM_JUDGE") : type,
		.source_id = json_str(source, "source_id"),
		.rationale = maybe(x, "rationale"),
		.overrides = maybe(x, "overrides"),
		.metadata = json_of(yyjson_obj_get(x, "metadata"), arena)};
	if (!a->source_id.p)
		a->source_id = S("");
	enum err e = read_span(json_str(x, "span_id"), &a->span, et);
	return e ? e : read_value(x, arena, a, et);
}

static bool in_mask(struct str mask, const char *snake, const char *camel)
{
	struct str part;
	while (str_next(&mask, ',', &part))
		if (str_eq_c(str_trim(part), snake) || str_eq_c(str_trim(part), camel))
			return true;
	return false;
}

/* ---- those that come with a trace ---- */

static bool same_text(struct str a, struct str b)
{
	return a.n == b.n && (!a.n || str_eq(a, b));
}

static bool is_there(const struct assessment *list, size_t n, const struct assessment *a)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].span == a->span && list[i].expectation == a->expectation &&
			same_text(list[i].name, a->name) && same_text(list[i].value, a->value) &&
			same_text(list[i].source_id, a->source_id) &&
			str_eq_nocase(list[i].source_type, a->source_type))
			return true;
	return false;
}

/* A client that assesses a trace while it is being made sends both at once; and once more when it
 * did not hear the answer. */
enum err mlflow_assessments_of_trace(struct croft *c, struct http_request *rq, struct id trace,
	yyjson_val *list, struct errtext *et)
{
	struct assessment *there = NULL;
	size_t n = 0, i, max;
	yyjson_val *one;
	if (!yyjson_arr_size(list))
		return OK;
	enum err e = feedback_list(c, project_of(rq), trace, false, rq->arena, &there, &n, et);
	yyjson_arr_foreach(list, i, max, one)
	{
		struct assessment a;
		if (!e)
			e = mlflow_read_assessment(one, rq->arena, &a, et);
		if (!e && !is_there(there, n, &a))
			e = feedback_add(c, rq->who, project_of(rq), trace, &a, rq->arena, et);
		if (e)
			return e;
	}
	return e;
}

/* ---- handlers ---- */

void mlflow_assessment_create(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	static const struct mlflow_field fields[] = {{"assessment", MLFLOW_OBJECT, true}};
	struct errtext et = {0};
	yyjson_val *args;
	struct id id;
	struct assessment a;
	enum err e = mlflow_trace_id(http_param(rq, "trace_id"), &id, &et);
	if (!e)
		e = mlflow_args(rq, fields, ARRAY_LEN(fields), &args, &et);
	if (!e)
		e = mlflow_read_assessment(yyjson_obj_get(args, "assessment"), rq->arena, &a, &et);
	if (!e)
		e = run_flush(c, &et);
	if (!e)
		e = feedback_add(c, rq->who, project_of(rq), id, &a, rq->arena, &et);
	if (e)
		mlflow_reply_error(rs, e, &et);
	else
		reply(rs, id, &a);
}

void mlflow_assessment_get(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct id id;
	struct assessment a;
	enum err e = mlflow_trace_id(http_param(rq, "trace_id"), &id, &et);
	if (!e)
		e = feedback_get(
			c, project_of(rq), id, http_param(rq, "assessment_id"), rq->arena, &a, &et);
	if (e)
		mlflow_reply_error(rs, e, &et);
	else
		reply(rs, id, &a);
}

static enum err read_change(
	yyjson_val *args, struct arena *arena, struct assessment *a, struct errtext *et)
{
	yyjson_val *x = yyjson_obj_get(args, "assessment");
	struct str mask = mlflow_text(args, "update_mask");
	if (in_mask(mask, "rationale", "rationale"))
		a->rationale = maybe(x, "rationale");
	if (in_mask(mask, "metadata", "metadata"))
		a->metadata = json_of(yyjson_obj_get(x, "metadata"), arena);
	if (in_mask(mask, "assessment_name", "assessmentName"))
		a->name = json_str(x, "assessment_name");
	if (in_mask(mask, "feedback", "feedback") || in_mask(mask, "expectation", "expectation")) {
		bool was = a->expectation;
		enum err e = read_value(x, arena, a, et);
		if (e)
			return e;
		if (a->expectation != was)
			return err_set(et, ERR_INVALID,
				"Feedback cannot become an expectation, nor the other way.");
	}
	return OK;
}

void mlflow_assessment_update(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	static const struct mlflow_field fields[] = {
		{"assessment", MLFLOW_OBJECT, true}, {"update_mask", MLFLOW_TEXT, true}};
	struct errtext et = {0};
	yyjson_val *args;
	struct id id;
	struct assessment a;
	enum err e = mlflow_trace_id(http_param(rq, "trace_id"), &id, &et);
	if (!e)
		e = mlflow_args(rq, fields, ARRAY_LEN(fields), &args, &et);
	if (!e)
		e = feedback_get(
			c, project_of(rq), id, http_param(rq, "assessment_id"), rq->arena, &a, &et);
	if (!e)
		e = read_change(args, rq->arena, &a, &et);
	if (!e)
		e = feedback_change(c, rq->who, project_of(rq), id, &a, rq->arena, &et);
	if (e)
		mlflow_reply_error(rs, e, &et);
	else
		reply(rs, id, &a);
}

void mlflow_assessment_delete(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct id id;
	enum err e = mlflow_trace_id(http_param(rq, "trace_id"), &id, &et);
	if (!e)
		e = feedback_delete(
			c, rq->who, project_of(rq), id, http_param(rq, "assessment_id"), &et);
	mlflow_reply(rs, e, &et);
}
