/* The input file of a batch: a JSON object a line, {custom_id, method, url, body}. */
#include "api/batch_int.h"

#include <stdlib.h>

struct reader {
	struct str endpoint;
	struct jw w;
	unsigned problems;
};

static void problem(
	struct reader *r, size_t line, const char *code, const char *param, const char *message)
{
	if (r->problems++ >= BATCH_ERRORS_MAX)
		return;
	jw_obj(&r->w);
	jw_kc(&r->w, "code", code);
	jw_kc(&r->w, "message", message);
	jw_kc(&r->w, "param", param);
	jw_ki64(&r->w, "line", (int64_t)line + 1);
	jw_end(&r->w);
}

static void check(struct reader *r, size_t line, yyjson_val *o)
{
	yyjson_val *body = yyjson_obj_get(o, "body");
	if (!json_str(o, "custom_id").n)
		problem(r, line, "missing_required_parameter", "custom_id",
			"custom_id must be a text");
	if (!str_eq_c(json_str(o, "method"), "POST"))
		problem(r, line, "invalid_method", "method", "method must be POST");
	if (!str_eq(json_str(o, "url"), r->endpoint))
		problem(r, line, "invalid_url", "url", "url must be the batch's endpoint");
	if (!yyjson_is_obj(body))
		problem(r, line, "missing_required_parameter", "body", "body must be an object");
	else if (yyjson_get_bool(yyjson_obj_get(body, "stream")))
		problem(r, line, "unsupported_parameter", "body.stream",
			"an answer of a batch is no stream");
}

static int by_custom_id(const void *a, const void *b)
{
	return str_cmp((*(const struct batch_line *const *)a)->custom_id,
		(*(const struct batch_line *const *)b)->custom_id);
}

static enum err check_unique(struct reader *r, struct batch_line *v, size_t n, struct errtext *et)
{
	struct batch_line **sorted = calloc(n + 1, sizeof *sorted);
	if (!sorted)
		return err_set(et, ERR_NOMEM, "no memory for a batch");
	for (size_t i = 0; i < n; i++)
		sorted[i] = &v[i];
	qsort(sorted, n, sizeof *sorted, by_custom_id);
	for (size_t i = 1; i < n; i++)
		if (str_eq(sorted[i]->custom_id, sorted[i - 1]->custom_id))
			problem(r, (size_t)(MAX(sorted[i], sorted[i - 1]) - v),
				"duplicate_custom_id", "custom_id",
				"custom_id is another line's too");
	free(sorted);
	return OK;
}

static enum err read_lines(struct reader *r, struct str text, struct arena *a, struct batch_line *v,
	size_t *n, struct errtext *et)
{
	struct str rest = text, line;
	size_t k = 0;
	for (size_t number = 0; str_next_line(&rest, &line); number++) {
		yyjson_doc *doc;
		if (!str_trim(line).n)
			continue;
		if (k == BATCH_LINES_MAX) {
			problem(r, number, "too_many_lines", NULL,
				"a batch has at most 50,000 requests");
			break;
		}
		if (json_parse(line, &doc, NULL)) {
			problem(r, number, "invalid_json_line", NULL, "the line is no JSON");
			continue;
		}
		yyjson_val *o = yyjson_doc_get_root(doc);
		check(r, number, o);
		v[k] = (struct batch_line){.custom_id = arena_str(a, json_str(o, "custom_id")),
			.at = (size_t)(line.p - text.p),
			.n = line.n};
		yyjson_doc_free(doc);
		if (!v[k++].custom_id.p)
			return err_set(et, ERR_NOMEM, "no memory for a batch");
	}
	if (!k && !r->problems)
		problem(r, 0, "empty_file", NULL, "the file has no requests");
	*n = k;
	return r->problems ? OK : check_unique(r, v, k, et);
}

enum err batch_input(struct str text, struct str endpoint, struct arena *a, struct batch_line **out,
	size_t *n, struct buf *problems, struct errtext *et)
{
	struct reader r = {.endpoint = endpoint, .w = {.out = problems}};
	struct batch_line *v = arena_array_of(a, BATCH_LINES_MAX, struct batch_line);
	size_t k = 0;
	if (!v)
		return err_set(et, ERR_NOMEM, "no memory for a batch");
	jw_arr(&r.w);
	enum err e = read_lines(&r, text, a, v, &k, et);
	jw_end(&r.w);
	if (e)
		return e;
	*out = v;
	*n = r.problems ? 0 : k;
	return OK;
}
