/* MLflow's histories of metrics: pages of one series, samples of a series of many runs. */
#include "api/mlflow_int.h"

#include <stdio.h>
#include <stdlib.h>

enum { PAGE_MAX = 1000000, RUNS_MAX = 100, BULK_MAX = 25000, SAMPLE_MAX = 2500 };

#define ARGS(...)                                                  \
	static const struct mlflow_field fields[] = {__VA_ARGS__}; \
	struct errtext et = {0};                                   \
	yyjson_val *args = NULL;                                   \
	enum err e = mlflow_args(rq, fields, ARRAY_LEN(fields), &args, &et)

static enum err page_of(yyjson_val *args, int64_t *offset, struct errtext *et)
{
	struct str token = mlflow_text(args, "page_token");
	*offset = 0;
	if (!token.n)
		return OK;
	if (token.p[0] == 'p' && str_i64(str_sub(token, 1, token.n), offset) && *offset > 0)
		return OK;
	return err_set(
		et, ERR_INVALID, "Invalid page token: '%.*s'", STR_FMT(str_sub(token, 0, 100)));
}

/* What was rolled up is said in a header and in a member that MLflow's clients pass over: of these
 * points only the last of each bucket is in the answer. */
static void say_rolled(struct http_response *rs, struct buf *b, const struct rolled_up *r)
{
	char text[100];
	if (!r->points)
		return;
	snprintf(text, sizeof text, "%llu points as the last of %llu buckets",
		(unsigned long long)r->points, (unsigned long long)r->buckets);
	http_set_header(rs, "croft-rolled-up", str_c(text));
	if (b)
		buf_addf(b, "\"croft_rolled_up\":{\"points\":%llu,\"buckets\":%llu},",
			(unsigned long long)r->points, (unsigned long long)r->buckets);
}

/* Without max_results all of it, as MLflow has it: sent piece by piece, so that memory stays
 * bounded. The status line is sent with the first piece; an error behind it cuts the answer. */
struct streaming {
	struct croft *c;
	struct http_request *rq;
	struct http_response *rs;
	struct id id;
	struct str key;
	struct buf b;
};

static void write_points(struct buf *b, struct str key, const struct point *p, size_t n, bool first)
{
	struct jw w = {.out = b};
	struct buf escaped = {0};
	json_escape(&escaped, key);
	for (size_t i = 0; i < n; i++) {
		if (!first || i)
			buf_putc(b, ',');
		w = (struct jw){.out = b};
		jw_obj(&w);
		jw_key(&w, "key");
		jw_raw(&w, buf_str(&escaped));
		jw_key(&w, "value");
		mlflow_write_float(&w, p[i].value);
		jw_ki64(&w, "timestamp", p[i].ms);
		jw_ki64(&w, "step", p[i].step);
		jw_end(&w);
	}
	buf_free(&escaped);
}

static void stream_all(struct streaming *s)
{
	enum { PIECE = 32768 };
	struct errtext et = {0};
	bool more = true;
	int64_t offset = 0;
	enum err e = OK;
	while (!e && more) {
		struct point *p = NULL;
		size_t n = 0;
		struct rolled_up rolled;
		e = track_history(s->c, project_of(s->rq), s->id, s->key, offset, PIECE, &p, &n,
			&more, &rolled, &et);
		if (e && !offset) {
			mlflow_reply_error(s->rs, e, &et);
			return;
		}
		if (!e && !offset && !more) { /* all there is: an answer with a length */
			buf_addc(&s->b, "{");
			say_rolled(s->rs, &s->b, &rolled);
			buf_addc(&s->b, n ? "\"metrics\":[" : "");
			write_points(&s->b, s->key, p, n, true);
			buf_addc(&s->b, n ? "]}" : "}");
			http_reply(s->rs, 200, "application/json", buf_str(&s->b));
			free(p);
			return;
		}
		buf_clear(&s->b);
		if (!e && !offset) {
			buf_addc(&s->b, "{");
			say_rolled(s->rs, &s->b, &rolled);
			e = http_stream_begin(s->rs, 200, "application/json");
		}
		if (!e) {
			buf_addc(&s->b, offset ? "" : "\"metrics\":[");
			write_points(&s->b, s->key, p, n, !offset);
			buf_addc(&s->b, more ? "" : "]}");
			e = http_stream_write(s->rs, buf_str(&s->b));
		}
		offset += (int64_t)n;
		free(p);
	}
}

void mlflow_history(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	ARGS({"run_id", MLFLOW_TEXT, false}, {"run_uuid", MLFLOW_TEXT, false},
		{"metric_key", MLFLOW_TEXT, true}, {"max_results", MLFLOW_INT, false},
		{"page_token", MLFLOW_TEXT, false});
	struct streaming s = {.c = c, .rq = rq, .rs = rs};
	struct point *p = NULL;
	size_t n = 0;
	int64_t offset = 0, limit = 0;
	bool more = false;
	struct rolled_up rolled = {0};
	if (!e)
		e = mlflow_run_id(args, "run_id", &s.id, &et);
	if (!e) {
		s.key = mlflow_text(args, "metric_key");
		limit = mlflow_int(args, "max_results", 0);
		if (mlflow_has(args, "max_results") && limit <= 0)
			e = err_set(&et, ERR_INVALID,
				"Invalid value %lld for parameter 'max_results' supplied. It must "
				"be "
				"a positive integer.",
				(long long)limit);
	}
	if (!e)
		e = page_of(args, &offset, &et);
	if (!e && !limit && !offset) {
		stream_all(&s);
		buf_free(&s.b);
		return;
	}
	limit = limit ? MIN(limit, PAGE_MAX) : PAGE_MAX;
	if (!e)
		e = track_history(
			c, project_of(rq), s.id, s.key, offset, limit, &p, &n, &more, &rolled, &et);
	if (e) {
		mlflow_reply_error(rs, e, &et);
		return;
	}
	buf_addc(&s.b, "{");
	if (n)
		say_rolled(rs, &s.b, &rolled);
	if (n) {
		buf_addc(&s.b, "\"metrics\":[");
		write_points(&s.b, s.key, p, n, true);
		buf_addc(&s.b, "]");
	}
	if (more)
		buf_addf(&s.b, "%s\"next_page_token\":\"p%lld\"", n ? "," : "",
			(long long)(offset + (int64_t)n));
	buf_addc(&s.b, "}");
	if (s.b.err)
		mlflow_reply_error(rs, s.b.err, NULL);
	else
		http_reply(rs, 200, "application/json", buf_str(&s.b));
	buf_free(&s.b);
	free(p);
}

/* ---- several runs ---- */

struct many {
	struct id ids[RUNS_MAX];
	size_t n;
};

static enum err runs_of(yyjson_val *list, const char *name, struct many *out, struct errtext *et)
{
	yyjson_arr_iter it;
	yyjson_val *item;
	size_t n = yyjson_is_arr(list) ? yyjson_arr_size(list) : 0;
	if (!n)
		return err_set(et, ERR_INVALID, "Missing value for required parameter '%s'.", name);
	if (n > RUNS_MAX)
		return err_set(et, ERR_INVALID,
			"GetMetricHistoryBulkInterval request must specify at most %d run_ids. "
			"Received %zu run_ids.",
			RUNS_MAX, n);
	yyjson_arr_iter_init(list, &it);
	while ((item = yyjson_arr_iter_next(&it)))
		if (!id_parse(json_val_str(item), &out->ids[out->n++]))
			return err_set(et, ERR_NOT_FOUND, "Run with id=%.*s not found",
				STR_FMT(str_sub(json_val_str(item), 0, 100)));
	return OK;
}

static void write_with_run(struct jw *w, struct id run, struct str key, const struct point *p)
{
	char hex[ID_HEX + 1];
	id_hex(run, hex);
	jw_obj(w);
	jw_kc(w, "run_id", hex);
	jw_kstr(w, "key", key);
	jw_key(w, "value");
	mlflow_write_float(w, p->value);
	jw_ki64(w, "timestamp", p->ms);
	jw_ki64(w, "step", p->step);
	jw_end(w);
}

static int by_step(const void *a, const void *b)
{
	const struct point *x = a, *y = b;
	if (x->step != y->step)
		return x->step < y->step ? -1 : 1;
	return x->ms < y->ms ? -1 : x->ms > y->ms;
}

struct sampling {
	int64_t from, to, max;
	bool has_range;
};

/* At most `max` steps of a series, evenly over those that it has, the last always among them: the
 * very ones that MLflow 3.17 takes. */
static size_t sample(struct point *p, size_t n, const struct sampling *s)
{
	size_t k = 0, steps = 0;
	if (n)
		qsort(p, n, sizeof *p, by_step);
	for (size_t i = 0; i < n; i++)
		if (!s->has_range || (p[i].step >= s->from && p[i].step <= s->to))
			p[k++] = p[i];
	n = k;
	for (size_t i = 0; i < n; i++)
		steps += !i || p[i].step != p[i - 1].step;
	if (steps <= (size_t)s->max)
		return n;
	size_t at = 0, max = (size_t)s->max, want = max > 1 ? 0 : steps - 1;
	k = 0;
	bool take = false;
	for (size_t i = 0, step = 0; i < n; i++) {
		if (!i || p[i].step != p[i - 1].step) {
			size_t index = step++;
			take = index == want;
			if (take)
				want = ++at < max - 1 ? (at * steps + max - 1) / max : steps - 1;
		}
		struct point kept = p[i];
		if (take)
			p[k++] = kept;
	}
	return k;
}

static enum err read_sampling(yyjson_val *args, struct sampling *s, struct errtext *et)
{
	bool from = mlflow_has(args, "start_step"), to = mlflow_has(args, "end_step");
	s->max = mlflow_int(args, "max_results", SAMPLE_MAX);
	s->from = mlflow_int(args, "start_step", 0);
	s->to = mlflow_int(args, "end_step", 0);
	s->has_range = from;
	if (from != to)
		return err_set(et, ERR_INVALID,
			"If either start step or end step are specified, both must be specified.");
	if (from && s->from > s->to)
		return err_set(et, ERR_INVALID,
			"end_step must be greater than start_step. Found start_step=%lld and "
			"end_step=%lld.",
			(long long)s->from, (long long)s->to);
	if (s->max < 1 || s->max > SAMPLE_MAX)
		return err_set(
			et, ERR_INVALID, "max_results must be between 1 and %d.", SAMPLE_MAX);
	return OK;
}

void mlflow_history_interval(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	ARGS({"run_ids", MLFLOW_TEXTS, true}, {"metric_key", MLFLOW_TEXT, true},
		{"start_step", MLFLOW_INT, false}, {"end_step", MLFLOW_INT, false},
		{"max_results", MLFLOW_INT, false});
	struct many m = {.n = 0};
	struct sampling s = {.max = SAMPLE_MAX};
	if (!e)
		e = read_sampling(args, &s, &et);
	if (!e)
		e = runs_of(yyjson_obj_get(args, "run_ids"), "run_ids", &m, &et);
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_key(&w, "metrics");
	jw_arr(&w);
	for (size_t i = 0; i < m.n && !e; i++) {
		struct point *p = NULL;
		size_t n = 0;
		bool more;
		struct rolled_up rolled = {0};
		struct str key = mlflow_text(args, "metric_key");
		e = track_history(c, project_of(rq), m.ids[i], key, 0, INT64_MAX / 2, &p, &n, &more,
			&rolled, &et);
		say_rolled(rs, NULL, &rolled);
		n = e || !n ? 0 : sample(p, n, &s);
		for (size_t k = 0; k < n; k++)
			write_with_run(&w, m.ids[i], key, &p[k]);
		free(p);
	}
	jw_end(&w);
	jw_end(&w);
	e ? mlflow_reply_error(rs, e, &et) : http_reply_json(rs, 200, &w);
	buf_free(&b);
}

static enum err check_bulk(yyjson_val *args, struct errtext *et)
{
	size_t n = yyjson_arr_size(yyjson_obj_get(args, "run_id"));
	if (!n)
		return err_set(et, ERR_INVALID,
			"GetMetricHistoryBulk request must specify at least one run_id.");
	if (n > RUNS_MAX)
		return err_set(et, ERR_INVALID,
			"GetMetricHistoryBulk request cannot specify more than %d run_ids. "
			"Received %zu run_ids.",
			RUNS_MAX, n);
	if (!mlflow_text(args, "metric_key").n)
		return err_set(
			et, ERR_INVALID, "GetMetricHistoryBulk request must specify a metric_key.");
	return OK;
}

/* The older form, which MLflow's page used: `run_id` repeated, everything up to max_results. */
void mlflow_history_bulk(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	ARGS({"run_id", MLFLOW_TEXTS, false}, {"metric_key", MLFLOW_TEXT, false},
		{"max_results", MLFLOW_INT, false});
	struct many m = {.n = 0};
	int64_t left = 0;
	if (!e)
		e = check_bulk(args, &et);
	if (!e)
		e = runs_of(yyjson_obj_get(args, "run_id"), "run_id", &m, &et);
	if (!e) {
		left = mlflow_int(args, "max_results", BULK_MAX);
		left = left < 1 ? 1 : MIN(left, BULK_MAX);
	}
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_key(&w, "metrics");
	jw_arr(&w);
	for (size_t i = 0; i < m.n && !e && left > 0; i++) {
		struct point *p = NULL;
		size_t n = 0;
		bool more;
		struct rolled_up rolled = {0};
		struct str key = mlflow_text(args, "metric_key");
		e = track_history(
			c, project_of(rq), m.ids[i], key, 0, left, &p, &n, &more, &rolled, &et);
		say_rolled(rs, NULL, &rolled);
		for (size_t k = 0; k < n && !e; k++)
			write_with_run(&w, m.ids[i], key, &p[k]);
		left -= (int64_t)n;
		free(p);
	}
	jw_end(&w);
	jw_end(&w);
	e ? mlflow_reply_error(rs, e, &et) : http_reply_json(rs, 200, &w);
	buf_free(&b);
}
