/* MLflow's traces: report, read, search, tags, delete, links. */
#include "api/mlflow_trace.h"
#include "api/otlp.h"
#include "base/clock.h"
#include "run/search.h"
#include "run/track.h"

#include <stdio.h>
#include <stdlib.h>

enum { BATCH_MAX = 100, NOTES_MAX = 500, SEARCH_MAX = 500 };

#define FIELDS(...) static const struct mlflow_field fields[] = {__VA_ARGS__}

enum err mlflow_trace_id(struct str s, struct id *out, struct errtext *et)
{
	struct str hex = str_starts(s, S("tr-")) ? str_sub(s, 3, s.n) : s;
	if (hex.n == ID_HEX && id_parse(hex, out))
		return OK;
	return err_set(
		et, ERR_NOT_FOUND, "Trace with ID '%.*s' not found.", STR_FMT(str_sub(s, 0, 100)));
}

/* ---- rendering ---- */

void mlflow_write_time(struct jw *w, const char *key, int64_t ms)
{
	char text[CLOCK_TEXT];
	clock_rfc3339(ms, text);
	jw_kc(w, key, text);
}

static const char *state_of(struct str status)
{
	return str_eq_c(status, "ok")        ? "OK"
	       : str_eq_c(status, "running") ? "IN_PROGRESS"
					     : "ERROR";
}

static bool has_note(const struct trace_found *f, enum trace_note_kind kind, const char *key)
{
	return trace_note_of(f, kind, str_c(key)).p != NULL;
}

static void write_notes(struct jw *w, const struct trace_found *f, enum trace_note_kind kind)
{
	for (size_t i = 0; i < f->n_notes; i++)
		if (f->notes[i].kind == kind && !str_starts(f->notes[i].key, S("croft."))) {
			jw_key_str(w, f->notes[i].key);
			jw_str(w, f->notes[i].value);
		}
}

static void write_tags(struct jw *w, const struct trace_found *f)
{
	jw_key(w, "tags");
	jw_obj(w);
	write_notes(w, f, NOTE_TAG);
	if (!has_note(f, NOTE_TAG, "mlflow.traceName"))
		jw_kstr(w, "mlflow.traceName", f->run.name);
	if (!has_note(f, NOTE_TAG, "mlflow.trace.spansLocation"))
		jw_kc(w, "mlflow.trace.spansLocation", "TRACKING_STORE");
	jw_end(w);
}

/* What the spans say, unless the client said it. */
static void write_metadata(struct jw *w, const struct trace_found *f, yyjson_val *words)
{
	const struct run_row *r = &f->run;
	struct str session = json_str(words, "session"), user = json_str(words, "user");
	jw_key(w, "trace_metadata");
	jw_obj(w);
	write_notes(w, f, NOTE_METADATA);
	if (!has_note(f, NOTE_METADATA, "mlflow.trace_schema.version"))
		jw_kc(w, "mlflow.trace_schema.version", "3");
	if ((r->tokens_in || r->tokens_out) &&
		!has_note(f, NOTE_METADATA, "mlflow.trace.tokenUsage")) {
		jw_key(w, "mlflow.trace.tokenUsage");
		jw_fmt(w,
			"{\"input_tokens\": %lld, \"output_tokens\": %lld, \"total_tokens\": %lld}",
			(long long)r->tokens_in, (long long)r->tokens_out,
			(long long)(r->tokens_in + r->tokens_out));
	}
	if (session.n && !has_note(f, NOTE_METADATA, "mlflow.trace.session"))
		jw_kstr(w, "mlflow.trace.session", session);
	if (user.n && !has_note(f, NOTE_METADATA, "mlflow.trace.user"))
		jw_kstr(w, "mlflow.trace.user", user);
	jw_end(w);
}

static void write_info(struct jw *w, const struct trace_found *f)
{
	const struct run_row *r = &f->run;
	char hex[ID_HEX + 1];
	yyjson_doc *doc = NULL;
	if (json_parse(r->attributes.n ? r->attributes : S("{}"), &doc, NULL))
		doc = NULL;
	yyjson_val *words = yyjson_doc_get_root(doc);
	struct str client = trace_note_of(f, NOTE_METADATA, S(NOTE_CLIENT_REQUEST));
	id_hex(r->id, hex);
	jw_obj(w);
	jw_key(w, "trace_id");
	jw_fmt(w, "tr-%s", hex);
	if (client.p)
		jw_kstr(w, "client_request_id", client);
	jw_key(w, "trace_location");
	jw_obj(w);
	jw_kc(w, "type", "MLFLOW_EXPERIMENT");
	jw_key(w, "mlflow_experiment");
	jw_obj(w);
	jw_key(w, "experiment_id");
	jw_fmt(w, "%lld", (long long)MAX(f->experiment, 0));
	jw_end(w);
	jw_end(w);
	if (json_str(words, "input").p)
		jw_kstr(w, "request_preview", json_str(words, "input"));
	if (json_str(words, "output").p)
		jw_kstr(w, "response_preview", json_str(words, "output"));
	mlflow_write_time(w, "request_time", r->start_ns / 1000000);
	if (r->end_ns) {
		int64_t ms = MAX(r->end_ns / 1000000 - r->start_ns / 1000000, 0);
		jw_key(w, "execution_duration");
		jw_fmt(w, "%lld.%03llds", (long long)(ms / 1000), (long long)(ms % 1000));
	}
	jw_kc(w, "state", state_of(r->status));
	write_metadata(w, f, words);
	write_tags(w, f);
	jw_key(w, "assessments");
	jw_arr(w);
	for (size_t i = 0; i < f->n_assessments; i++)
		mlflow_write_assessment(w, r->id, &f->assessments[i]);
	jw_end(w);
	jw_end(w);
	yyjson_doc_free(doc);
}

/* ---- values as messages: an AnyValue of each kind of JSON ---- */

enum { ANY_STR = 1, ANY_BOOL, ANY_INT, ANY_DOUBLE, ANY_LIST, ANY_MAP };

static void put_any(struct buf *b, yyjson_val *v, int depth)
{
	yyjson_val *key, *item;
	size_t i, n, at, at_item;
	if (depth == OTEL_DEPTH_MAX / 2 || yyjson_is_null(v) || !v)
		return;
	if (yyjson_is_str(v)) {
		pb_put_str(b, ANY_STR, json_val_str(v));
	} else if (yyjson_is_bool(v)) {
		pb_put_varint(b, ANY_BOOL, yyjson_get_bool(v));
	} else if (yyjson_is_int(v)) {
		pb_put_varint(b, ANY_INT, (uint64_t)yyjson_get_sint(v));
	} else if (yyjson_is_real(v)) {
		pb_put_double(b, ANY_DOUBLE, yyjson_get_real(v));
	} else {
		at = pb_open(b, yyjson_is_arr(v) ? ANY_LIST : ANY_MAP);
		yyjson_arr_foreach(v, i, n, item)
		{
			at_item = pb_open(b, 1);
			put_any(b, item, depth + 1);
			pb_close(b, at_item);
		}
		yyjson_obj_foreach(v, i, n, key, item)
		{
			at_item = pb_open(b, 1);
			pb_put_str(b, 1, json_val_str(key));
			size_t at_value = pb_open(b, 2);
			put_any(b, item, depth + 1);
			pb_close(b, at_value);
			pb_close(b, at_item);
		}
		pb_close(b, at);
	}
}

static void put_json(struct buf *b, const char *key, yyjson_val *v)
{
	size_t at = pb_open(b, OTEL_SPAN_ATTRS);
	pb_put_str(b, 1, str_c(key));
	size_t at_value = pb_open(b, 2);
	put_any(b, v, 0);
	pb_close(b, at_value);
	pb_close(b, at);
}

/* A span of Croft's own runs has no message yet: it is made. */
static void own_span(struct buf *b, struct id trace, const struct span_row *s)
{
	yyjson_doc *doc = NULL;
	yyjson_val *key, *v;
	size_t i, n;
	pb_put_str(b, 1, str_mk(trace.b, sizeof trace.b));
	otel_put_span_id(b, 2, s->id);
	if (s->parent)
		otel_put_span_id(b, 4, s->parent);
	pb_put_str(b, 5, s->name);
	pb_put_varint(b, 6, 1);
	pb_put_fixed64(b, 7, (uint64_t)s->start_ns);
	pb_put_fixed64(b, 8, (uint64_t)s->end_ns);
	if (json_parse(s->attributes.n ? s->attributes : S("{}"), &doc, NULL))
		doc = NULL;
	yyjson_obj_foreach(yyjson_doc_get_root(doc), i, n, key, v)
	{
		const char *name = strcmp(yyjson_get_str(key), "input") == 0 ? "mlflow.spanInputs"
				   : strcmp(yyjson_get_str(key), "output") == 0
					   ? "mlflow.spanOutputs"
					   : yyjson_get_str(key);
		put_json(b, name, v);
	}
	yyjson_doc_free(doc);
	size_t at = pb_open(b, 15);
	if (s->error.p)
		pb_put_str(b, 2, s->error);
	pb_put_varint(b, 3, str_eq_c(s->status, "error") ? OTEL_STATUS_ERROR : OTEL_STATUS_OK);
	pb_close(b, at);
}

/* A text that is a JSON object or list stands for that value. */
static void put_value(struct buf *b, const char *key, const struct otel_value *v)
{
	struct buf text = {0};
	struct jw w = {.out = &text};
	yyjson_doc *doc = NULL;
	if (v->type == OTEL_EMPTY)
		return;
	if (v->type == OTEL_STR &&
		(!v->s.n || !strchr("{[", v->s.p[0]) || json_parse(v->s, &doc, NULL))) {
		otel_put_str(b, OTEL_SPAN_ATTRS, key, v->s);
		return;
	}
	if (v->type != OTEL_STR) {
		trace_value_json(&w, v);
		if (json_parse(buf_str(&text), &doc, NULL))
			doc = NULL;
	}
	put_json(b, key, yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	buf_free(&text);
}

static bool has_attribute(struct str raw, const char *key)
{
	struct pb m = pb_of(raw);
	struct otel_value v;
	struct str k;
	while (otel_next_attr(&m, OTEL_SPAN_ATTRS, &k, &v))
		if (str_eq_c(k, key))
			return true;
	return false;
}

static void put_count(struct buf *b, const char *key, int64_t v)
{
	size_t at = pb_open(b, 1);
	pb_put_str(b, 1, str_c(key));
	size_t at_value = pb_open(b, 2);
	pb_put_varint(b, ANY_INT, (uint64_t)v);
	pb_close(b, at_value);
	pb_close(b, at);
}

/* Spans of other conventions say their type, inputs, outputs and tokens in other words than
 * MLflow's clients look for: those are added to what the span itself has. */
static void translated(struct buf *b, struct str raw)
{
	struct otel_span s;
	struct trace_facts f;
	char type[32];
	buf_adds(b, raw);
	if (!otel_span_read(raw, &s))
		return;
	trace_facts_read(&s, &f);
	if (strcmp(f.type, "span") != 0 && !has_attribute(raw, "mlflow.spanType")) {
		size_t n = 0;
		for (; f.type[n] && n < sizeof type - 1; n++)
			type[n] = f.type[n] >= 'a' && f.type[n] <= 'z' ? (char)(f.type[n] - 32)
								       : f.type[n];
		type[n] = 0;
		put_value(b, "mlflow.spanType",
			&(struct otel_value){.type = OTEL_STR, .s = str_c(type)});
	}
	if (!has_attribute(raw, "mlflow.spanInputs"))
		put_value(b, "mlflow.spanInputs", &f.input);
	if (!has_attribute(raw, "mlflow.spanOutputs"))
		put_value(b, "mlflow.spanOutputs", &f.output);
	if ((f.tokens_in || f.tokens_out) && !has_attribute(raw, "mlflow.chat.tokenUsage")) {
		size_t at = pb_open(b, OTEL_SPAN_ATTRS);
		pb_put_str(b, 1, S("mlflow.chat.tokenUsage"));
		size_t at_value = pb_open(b, 2);
		size_t at_map = pb_open(b, ANY_MAP);
		put_count(b, "input_tokens", f.tokens_in);
		put_count(b, "output_tokens", f.tokens_out);
		put_count(b, "total_tokens", f.tokens_in + f.tokens_out);
		pb_close(b, at_map);
		pb_close(b, at_value);
		pb_close(b, at);
	}
}

static void write_trace(
	struct jw *w, const struct trace_found *f, const struct span_row *spans, size_t n)
{
	jw_obj(w);
	jw_key(w, "trace_info");
	write_info(w, f);
	jw_key(w, "spans");
	jw_arr(w);
	for (size_t i = 0; i < n; i++) {
		struct buf made = {0};
		if (spans[i].raw.p)
			translated(&made, spans[i].raw);
		else
			own_span(&made, f->run.id, &spans[i]);
		otlp_to_json(buf_str(&made), &otlp_span, OTLP_IDS_BASE64, w);
		buf_free(&made);
	}
	jw_end(w);
	jw_end(w);
}

/* ---- reporting ---- */

static void add_notes(
	yyjson_val *map, enum trace_note_kind kind, struct trace_note *notes, size_t *n)
{
	size_t i, max;
	yyjson_val *key, *v;
	yyjson_obj_foreach(map, i, max, key, v)
	{
		struct str k = json_val_str(key);
		if (*n < NOTES_MAX && yyjson_is_str(v) && k.n && k.n <= 250)
			notes[(*n)++] = (struct trace_note){kind, k, json_val_str(v)};
	}
}

static int64_t duration_ms(struct str s)
{
	double f;
	return s.n > 1 && s.p[s.n - 1] == 's' && str_f64(str_sub(s, 0, s.n - 1), &f) && f >= 0 &&
			       f < 1e12
		       ? (int64_t)(f * 1000 + 0.5)
		       : 0;
}

static unsigned status_of(struct str state)
{
	return str_eq_c(state, "OK")      ? STATUS_OK
	       : str_eq_c(state, "ERROR") ? STATUS_ERROR
					  : STATUS_RUNNING;
}

static enum err experiment_of(struct croft *c, struct http_request *rq, yyjson_val *info,
	int64_t *out, struct errtext *et)
{
	yyjson_val *where =
		yyjson_obj_get(yyjson_obj_get(info, "trace_location"), "mlflow_experiment");
	struct experiment x;
	*out = 0;
	if (mlflow_text(where, "experiment_id").n &&
		!str_i64(mlflow_text(where, "experiment_id"), out))
		return err_set(et, ERR_INVALID, "Invalid value for parameter 'experiment_id'");
	return experiment_get(c, project_of(rq), *out, rq->arena, &x, et);
}

static enum err read_report(struct croft *c, struct http_request *rq, yyjson_val *info,
	struct trace_report *r, struct trace_note *notes, struct errtext *et)
{
	int64_t at = clock_unix_ms();
	struct str time = json_str(info, "request_time");
	enum err e = mlflow_trace_id(json_str(info, "trace_id"), &r->id, et);
	if (!e)
		e = experiment_of(c, rq, info, &r->experiment, et);
	if (!e && time.n && !clock_parse_rfc3339(time, &at))
		e = err_set(et, ERR_INVALID, "Invalid value for parameter 'request_time'");
	if (e)
		return e;
	r->start_ns = at * 1000000;
	r->status = status_of(json_str(info, "state"));
	r->end_ns =
		r->status == STATUS_RUNNING
			? 0
			: r->start_ns + duration_ms(json_str(info, "execution_duration")) * 1000000;
	r->input = json_str(info, "request_preview");
	r->output = json_str(info, "response_preview");
	r->name = json_str(yyjson_obj_get(info, "tags"), "mlflow.traceName");
	r->notes = notes;
	add_notes(yyjson_obj_get(info, "tags"), NOTE_TAG, notes, &r->n_notes);
	add_notes(yyjson_obj_get(info, "trace_metadata"), NOTE_METADATA, notes, &r->n_notes);
	if (json_str(info, "client_request_id").n && r->n_notes < NOTES_MAX)
		notes[r->n_notes++] = (struct trace_note){
			NOTE_METADATA, S(NOTE_CLIENT_REQUEST), json_str(info, "client_request_id")};
	return OK;
}

/* Loads the trace and writes {"trace": {"trace_info": ...}}. */
static enum err reply_info(struct croft *c, struct http_request *rq, struct http_response *rs,
	struct id id, struct errtext *et)
{
	struct trace_found f;
	enum err e = trace_load_info(croft_db(c), project_of(rq), id, rq->arena, &f, et);
	if (e)
		return e;
	struct buf out = {0};
	struct jw w = {.out = &out};
	jw_obj(&w);
	jw_key(&w, "trace");
	jw_obj(&w);
	jw_key(&w, "trace_info");
	write_info(&w, &f);
	jw_end(&w);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&out);
	return OK;
}

void mlflow_trace_start(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	FIELDS({"trace", MLFLOW_OBJECT, true});
	struct errtext et = {0};
	yyjson_val *args;
	struct trace_report r = {0};
	struct trace_note *notes = arena_array_of(rq->arena, NOTES_MAX, struct trace_note);
	enum err e = notes ? mlflow_args(rq, fields, ARRAY_LEN(fields), &args, &et)
			   : err_set(&et, ERR_NOMEM, "no memory for a trace");
	if (!e)
		e = read_report(c, rq, yyjson_obj_get(yyjson_obj_get(args, "trace"), "trace_info"),
			&r, notes, &et);
	if (!e)
		e = trace_report(c, project_of(rq), &r, &et);
	if (!e)
		e = mlflow_assessments_of_trace(c, rq, r.id,
			yyjson_obj_get(yyjson_obj_get(yyjson_obj_get(args, "trace"), "trace_info"),
				"assessments"),
			&et);
	if (!e)
		e = reply_info(c, rq, rs, r.id, &et);
	if (e)
		mlflow_reply_error(rs, e, &et);
}

/* ---- reading ---- */

void mlflow_trace_get_info(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct id id;
	enum err e = mlflow_trace_id(http_param(rq, "trace_id"), &id, &et);
	if (!e)
		e = reply_info(c, rq, rs, id, &et);
	if (e)
		mlflow_reply_error(rs, e, &et);
}

static enum err write_whole(
	struct croft *c, struct http_request *rq, struct jw *w, struct id id, struct errtext *et)
{
	struct arena *a = arena_new(0);
	struct trace_found f;
	struct span_row *spans = NULL;
	size_t n = 0;
	enum err e = a ? trace_load(croft_db(c), project_of(rq), id, a, &f, &spans, &n, et)
		       : err_set(et, ERR_NOMEM, "no memory for a trace");
	if (!e)
		write_trace(w, &f, spans, n);
	arena_free(a);
	return e;
}

void mlflow_trace_get(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	FIELDS({"trace_id", MLFLOW_TEXT, true}, {"allow_partial", MLFLOW_BOOL, false});
	struct errtext et = {0};
	yyjson_val *args;
	struct id id;
	struct buf out = {0};
	struct jw w = {.out = &out};
	enum err e = mlflow_args(rq, fields, ARRAY_LEN(fields), &args, &et);
	if (!e)
		e = mlflow_trace_id(mlflow_text(args, "trace_id"), &id, &et);
	if (!e)
		e = run_flush(c, &et);
	jw_obj(&w);
	jw_key(&w, "trace");
	if (!e)
		e = write_whole(c, rq, &w, id, &et);
	jw_end(&w);
	if (e)
		mlflow_reply_error(rs, e, &et);
	else
		http_reply_json(rs, 200, &w);
	buf_free(&out);
}

/* The ids of a batch; those that are no ids are simply not found. */
static enum err batch_ids(struct http_request *rq, struct id *ids, size_t *n, struct errtext *et)
{
	FIELDS({"trace_ids", MLFLOW_TEXTS, true});
	yyjson_val *args, *v;
	size_t i, max;
	enum err e = mlflow_args(rq, fields, ARRAY_LEN(fields), &args, et);
	if (e)
		return e;
	yyjson_val *list = yyjson_obj_get(args, "trace_ids");
	if (yyjson_arr_size(list) > BATCH_MAX)
		return err_set(
			et, ERR_INVALID, "trace_ids: at most %d are read at once", BATCH_MAX);
	*n = 0;
	yyjson_arr_foreach(list, i, max, v)
	{
		if (!mlflow_trace_id(json_val_str(v), &ids[*n], NULL))
			++*n;
	}
	return OK;
}

static void reply_batch(
	struct croft *c, struct http_request *rq, struct http_response *rs, bool spans)
{
	struct errtext et = {0};
	struct id ids[BATCH_MAX];
	size_t n = 0;
	struct buf out = {0};
	struct jw w = {.out = &out};
	enum err e = batch_ids(rq, ids, &n, &et);
	if (!e)
		e = run_flush(c, &et);
	jw_obj(&w);
	jw_key(&w, spans ? "traces" : "trace_infos");
	jw_arr(&w);
	for (size_t i = 0; !e && i < n; i++) {
		struct trace_found f;
		e = spans ? write_whole(c, rq, &w, ids[i], &et)
			  : trace_load_info(
				    croft_db(c), project_of(rq), ids[i], rq->arena, &f, &et);
		if (!e && !spans)
			write_info(&w, &f);
		if (e == ERR_NOT_FOUND)
			e = OK;
	}
	jw_end(&w);
	jw_end(&w);
	if (e)
		mlflow_reply_error(rs, e, &et);
	else
		http_reply_json(rs, 200, &w);
	buf_free(&out);
}

void mlflow_trace_batch(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	reply_batch(c, rq, rs, true);
}

void mlflow_trace_batch_infos(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	reply_batch(c, rq, rs, false);
}

/* ---- search ---- */

static enum err read_locations(
	yyjson_val *list, struct arena *a, struct trace_query *q, struct errtext *et)
{
	size_t i, n;
	yyjson_val *v;
	int64_t *numbers = arena_array_of(a, MAX(yyjson_arr_size(list), (size_t)1), int64_t);
	if (!numbers)
		return err_set(et, ERR_NOMEM, "no memory for a search");
	yyjson_arr_foreach(list, i, n, v)
	{
		struct str s = json_str(yyjson_obj_get(v, "mlflow_experiment"), "experiment_id");
		if (q->n_experiments == TRACE_EXPERIMENTS_MAX ||
			!str_i64(s, &numbers[q->n_experiments++]))
			return err_set(et, ERR_INVALID,
				"locations: at most %d experiments with their ids are expected",
				TRACE_EXPERIMENTS_MAX);
	}
	if (!q->n_experiments)
		return err_set(et, ERR_INVALID, "locations: at least one experiment is expected");
	q->experiments = numbers;
	return OK;
}

/* Without any: newest first, as MLflow's servers do. */
static enum err read_order(
	yyjson_val *list, struct arena *a, struct trace_query *q, struct errtext *et)
{
	struct filter_order *orders = arena_array_of(a, FILTER_ORDERS_MAX, struct filter_order);
	struct str *texts;
	if (!orders)
		return err_set(et, ERR_NOMEM, "no memory for a search");
	enum err e = search_order(list, a, &texts, &q->n_orders, et);
	q->orders = orders;
	return e ? e
		 : filter_parse_orders(texts, q->n_orders, &trace_mlflow_language, a, orders, et);
}

static enum err read_search(struct http_request *rq, struct trace_query *q, struct errtext *et)
{
	FIELDS({"locations", MLFLOW_ARRAY, false}, {"filter", MLFLOW_TEXT, false},
		{"max_results", MLFLOW_INT, false}, {"order_by", MLFLOW_ARRAY, false},
		{"page_token", MLFLOW_TEXT, false});
	yyjson_val *args;
	enum err e = mlflow_args(rq, fields, ARRAY_LEN(fields), &args, et);
	if (e)
		return e;
	int64_t max = mlflow_int(args, "max_results", 100);
	*q = (struct trace_query){.project = project_of(rq), .notes = true, .limit = (size_t)max};
	if (max < 1 || max > SEARCH_MAX)
		return err_set(et, ERR_INVALID,
			"Invalid value %lld for parameter 'max_results': it must be between 1 and "
			"%d",
			(long long)max, SEARCH_MAX);
	e = read_locations(yyjson_obj_get(args, "locations"), rq->arena, q, et);
	if (!e)
		e = filter_parse(mlflow_text(args, "filter"), &trace_mlflow_language, rq->arena,
			&q->filter, et);
	if (!e)
		e = read_order(yyjson_obj_get(args, "order_by"), rq->arena, q, et);
	if (!e && !trace_place_read(mlflow_text(args, "page_token"), &q->after))
		e = err_set(et, ERR_INVALID, "Invalid page token, could not be decoded");
	return e;
}

void mlflow_trace_search(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct trace_query q;
	struct trace_page page = {0};
	enum err e = read_search(rq, &q, &et);
	if (!e)
		e = trace_find(croft_db(c), &q, rq->arena, &page, &et);
	if (e) {
		mlflow_reply_error(rs, e, &et);
		return;
	}
	struct buf out = {0};
	struct jw w = {.out = &out};
	jw_obj(&w);
	jw_key(&w, "traces");
	jw_arr(&w);
	for (size_t i = 0; i < page.n; i++)
		write_info(&w, &page.list[i]);
	jw_end(&w);
	if (page.more) {
		jw_key(&w, "next_page_token");
		trace_place_json(&w, &page.next);
	}
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&out);
}

/* ---- changes ---- */

void mlflow_trace_set_tag(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	FIELDS({"key", MLFLOW_TEXT, true}, {"value", MLFLOW_TEXT, false});
	struct errtext et = {0};
	yyjson_val *args;
	struct id id;
	enum err e = mlflow_trace_id(http_param(rq, "trace_id"), &id, &et);
	if (!e)
		e = mlflow_args(rq, fields, ARRAY_LEN(fields), &args, &et);
	if (!e) {
		struct str value = mlflow_text(args, "value");
		e = trace_tag(c, project_of(rq), id, mlflow_text(args, "key"),
			value.p ? value : S(""), &et);
	}
	mlflow_reply(rs, e, &et);
}

void mlflow_trace_delete_tag(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	FIELDS({"key", MLFLOW_TEXT, true});
	struct errtext et = {0};
	yyjson_val *args;
	struct id id;
	enum err e = mlflow_trace_id(http_param(rq, "trace_id"), &id, &et);
	if (!e)
		e = mlflow_args(rq, fields, ARRAY_LEN(fields), &args, &et);
	if (!e)
		e = trace_tag(
			c, project_of(rq), id, mlflow_text(args, "key"), (struct str){0}, &et);
	mlflow_reply(rs, e, &et);
}

static enum err delete_ids(
	struct croft *c, struct http_request *rq, yyjson_val *ids, int64_t *n, struct errtext *et)
{
	size_t i, max;
	yyjson_val *v;
	yyjson_arr_foreach(ids, i, max, v)
	{
		struct id id;
		enum err e = mlflow_trace_id(json_val_str(v), &id, et);
		if (!e)
			e = trace_delete(c, rq->who, project_of(rq), id, et);
		if (e && e != ERR_NOT_FOUND)
			return e;
		*n += !e;
	}
	return OK;
}

static enum err delete_older(struct croft *c, struct http_request *rq, int64_t experiment,
	int64_t until_ms, int64_t most, int64_t *n, struct errtext *et)
{
	struct trace_query q = {.project = project_of(rq),
		.experiments = &experiment,
		.n_experiments = 1,
		.until_ns = (until_ms + 1) * 1000000,
		.ascending = true,
		.limit = (size_t)MIN(MAX(most, (int64_t)1), (int64_t)TRACE_PAGE_MAX)};
	struct trace_page page;
	enum err e = trace_find(croft_db(c), &q, rq->arena, &page, et);
	for (size_t i = 0; !e && i < page.n; i++) {
		e = trace_delete(c, rq->who, project_of(rq), page.list[i].run.id, et);
		*n += !e;
	}
	return e;
}

void mlflow_trace_delete(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	FIELDS({"experiment_id", MLFLOW_TEXT, true}, {"max_timestamp_millis", MLFLOW_INT, false},
		{"max_traces", MLFLOW_INT, false}, {"request_ids", MLFLOW_ARRAY, false});
	struct errtext et = {0};
	yyjson_val *args;
	int64_t n = 0, experiment = 0;
	enum err e = mlflow_args(rq, fields, ARRAY_LEN(fields), &args, &et);
	if (!e && !str_i64(mlflow_text(args, "experiment_id"), &experiment))
		e = err_set(&et, ERR_INVALID, "Invalid value for parameter 'experiment_id'");
	if (!e && yyjson_arr_size(yyjson_obj_get(args, "request_ids")))
		e = delete_ids(c, rq, yyjson_obj_get(args, "request_ids"), &n, &et);
	else if (!e && mlflow_has(args, "max_timestamp_millis"))
		e = delete_older(c, rq, experiment, mlflow_int(args, "max_timestamp_millis", 0),
			mlflow_int(args, "max_traces", TRACE_PAGE_MAX), &n, &et);
	else if (!e)
		e = err_set(&et, ERR_INVALID,
			"Either `max_timestamp_millis` or `request_ids` must be specified.");
	if (e) {
		mlflow_reply_error(rs, e, &et);
		return;
	}
	struct buf out = {0};
	struct jw w = {.out = &out};
	jw_obj(&w);
	jw_ki64(&w, "traces_deleted", n);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&out);
}

void mlflow_trace_link_run(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	FIELDS({"trace_ids", MLFLOW_TEXTS, true}, {"run_id", MLFLOW_TEXT, true});
	struct errtext et = {0};
	yyjson_val *args, *v;
	size_t i, n;
	struct id run, id;
	struct tracked *t = NULL;
	enum err e = mlflow_args(rq, fields, ARRAY_LEN(fields), &args, &et);
	if (!e && !id_parse(mlflow_text(args, "run_id"), &run))
		e = err_set(&et, ERR_NOT_FOUND, "Run with id=%.*s not found",
			STR_FMT(str_sub(mlflow_text(args, "run_id"), 0, 100)));
	if (!e)
		e = track_get(c, project_of(rq), run, &t, &et);
	int64_t experiment = e ? 0 : t->experiment;
	tracked_free(t);
	if (!e)
		yyjson_arr_foreach(yyjson_obj_get(args, "trace_ids"), i, n, v)
		{
			e = mlflow_trace_id(json_val_str(v), &id, &et);
			if (!e)
				e = trace_link(c, project_of(rq), id, run, experiment, &et);
			if (e)
				break;
		}
	mlflow_reply(rs, e, &et);
}

/* The tag of a trace that lists the prompts that it used. */
static enum err add_prompts(struct croft *c, struct http_request *rq, struct id id,
	yyjson_val *prompts, struct errtext *et)
{
	struct trace_found f;
	struct buf out = {0};
	struct jw w = {.out = &out};
	yyjson_doc *was = NULL;
	yyjson_val *v;
	size_t i, n;
	enum err e = trace_load_info(croft_db(c), project_of(rq), id, rq->arena, &f, et);
	if (e)
		return e;
	struct str old = trace_note_of(&f, NOTE_TAG, S("mlflow.linkedPrompts"));
	if (old.p && json_parse(old, &was, NULL))
		was = NULL;
	jw_arr(&w);
	yyjson_arr_foreach(yyjson_doc_get_root(was), i, n, v) jw_val(&w, v);
	yyjson_arr_foreach(prompts, i, n, v)
	{
		jw_obj(&w);
		jw_kstr(&w, "name", json_str(v, "name"));
		jw_kstr(&w, "version", json_str(v, "version"));
		jw_end(&w);
	}
	jw_end(&w);
	e = trace_tag(c, project_of(rq), id, S("mlflow.linkedPrompts"), buf_str(&out), et);
	yyjson_doc_free(was);
	buf_free(&out);
	return e;
}

void mlflow_trace_link_prompts(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	FIELDS({"trace_id", MLFLOW_TEXT, true}, {"prompt_versions", MLFLOW_ARRAY, false});
	struct errtext et = {0};
	yyjson_val *args;
	struct id id;
	enum err e = mlflow_args(rq, fields, ARRAY_LEN(fields), &args, &et);
	if (!e)
		e = mlflow_trace_id(mlflow_text(args, "trace_id"), &id, &et);
	if (!e)
		e = add_prompts(c, rq, id, yyjson_obj_get(args, "prompt_versions"), &et);
	mlflow_reply(rs, e, &et);
}
