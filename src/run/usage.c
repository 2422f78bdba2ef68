/* Sums of each day, project and model. */
#include "run/usage_int.h"
#include "base/json.h"
#include "run/track_int.h"

#include <math.h>
#include <stdlib.h>

static const int64_t DAY_NS = 86400000000000;

/* ---- times ---- */

static size_t bucket_of(int64_t ns)
{
	double us = (double)ns / 1000;
	double i = us < 1 ? 0 : 1 + log2(us) * 8;
	return MIN((size_t)i, (size_t)USAGE_BUCKETS - 1);
}

double usage_percentile_ms(const struct usage_line *l, double part)
{
	int64_t all = 0, seen = 0;
	for (size_t i = 0; i < USAGE_BUCKETS; i++)
		all += l->times[i];
	int64_t rank = (int64_t)ceil((double)all * part);
	for (size_t i = 0; all && i < USAGE_BUCKETS; i++) {
		seen += l->times[i];
		if (seen >= rank && l->times[i])
			return i ? exp2(((double)i - 0.5) / 8) / 1000 : 0.0005;
	}
	return -1;
}

/* Pairs of varints: how many buckets further, and the count. */
static void times_put(struct buf *b, const int64_t times[USAGE_BUCKETS])
{
	size_t last = 0;
	for (size_t i = 0; i < USAGE_BUCKETS; i++)
		if (times[i] > 0) {
			put_varint(b, i - last);
			put_varint(b, (uint64_t)times[i]);
			last = i;
		}
}

static enum err times_add(struct str s, int64_t times[USAGE_BUCKETS], struct errtext *et)
{
	uint64_t step, n, at = 0;
	while (s.n) {
		if (!get_varint(&s, &step) || !get_varint(&s, &n) || step >= USAGE_BUCKETS ||
			(at += step) >= USAGE_BUCKETS)
			return err_set(et, ERR_CORRUPT, "the stored times of a day are damaged");
		times[at] += (int64_t)n;
	}
	return OK;
}

/* ---- counting ---- */

static struct usage_line *line_of(struct usage *u, int64_t day, const char *model)
{
	static const char rest[] = "(others)";
	for (size_t i = 0; i < u->n; i++)
		if (u->lines[i]->day == day && strcmp(u->lines[i]->model, model) == 0)
			return u->lines[i];
	if (u->n >= USAGE_MODELS_MAX && *model && strcmp(model, rest) != 0)
		return line_of(u, day, rest);
	if (u->n == u->cap) {
		size_t cap = u->cap ? u->cap * 2 : 8;
		struct usage_line **v = realloc(u->lines, cap * sizeof *v);
		if (!v) {
			u->no_memory = true;
			return NULL;
		}
		u->lines = v;
		u->cap = cap;
	}
	struct usage_line *l = calloc(1, sizeof *l);
	if (!l) {
		u->no_memory = true;
		return NULL;
	}
	l->day = day;
	memcpy(l->model, model, strlen(model));
	u->lines[u->n++] = l;
	return l;
}

struct counted {
	int64_t start_ns, end_ns;
	bool error, whole, call; /* whole: a trace or run; call: of a model */
	struct str model;
	int64_t tokens_in, tokens_out;
	double cost;
};

static void count_one(struct usage_line *l, const struct counted *c, int sign)
{
	l->calls += sign;
	l->errors += sign * c->error;
	l->times[bucket_of(MAX(c->end_ns - c->start_ns, (int64_t)0))] += sign;
}

static void count_tokens(struct usage_line *l, const struct counted *c, int sign)
{
	l->tokens_in += sign * c->tokens_in;
	l->tokens_out += sign * c->tokens_out;
	l->cost += sign * c->cost;
}

static void count(struct usage *u, const struct counted *c, int sign)
{
	int64_t day = c->start_ns / DAY_NS;
	if (!c->whole && !c->call)
		return;
	struct usage_line *all = line_of(u, day, ""), *one = NULL;
	if (all && c->whole)
		count_one(all, c, sign);
	if (!c->call)
		return;
	char *clean = run_clean_max(c->model.n ? c->model : S("(unknown)"), USAGE_MODEL_MAX);
	if (clean && strlen(clean) <= USAGE_MODEL_MAX)
		one = line_of(u, day, clean);
	else
		u->no_memory |= !clean;
	free(clean);
	if (all)
		count_tokens(all, c, sign);
	if (one) {
		count_one(one, c, sign);
		count_tokens(one, c, sign);
	}
}

void usage_count(struct usage *u, const struct trace_item *it, int sign)
{
	const struct trace_facts *f = &it->facts;
	struct counted c = {.start_ns = it->span.start_ns,
		.end_ns = it->span.end_ns,
		.error = it->span.status == OTEL_STATUS_ERROR,
		.whole = !it->span.parent,
		.call = f->calls_model,
		.model = f->model,
		.tokens_in = f->tokens_in,
		.tokens_out = f->tokens_out,
		.cost = f->cost};
	if (c.end_ns)
		count(u, &c, sign);
}

void usage_count_own(struct usage *u, const struct record *rec)
{
	struct trace_facts f;
	yyjson_doc *doc = NULL;
	if (!rec->end_ns)
		return;
	if (rec->is_span && rec->attributes && json_parse(str_c(rec->attributes), &doc, NULL))
		doc = NULL;
	trace_facts_own(str_c(rec->kind), yyjson_doc_get_root(doc), &f);
	struct counted c = {.start_ns = rec->start_ns,
		.end_ns = rec->end_ns,
		.error = rec->status == STATUS_ERROR,
		.whole = !rec->is_span,
		.call = rec->is_span && !rec->guest && f.calls_model, /* a guest's host counts */
		.model = f.model,
		.tokens_in = f.tokens_in,
		.tokens_out = f.tokens_out};
	count(u, &c, 1);
	yyjson_doc_free(doc);
}

void usage_clear(struct usage *u)
{
	for (size_t i = 0; i < u->n; i++)
		free(u->lines[i]);
	free(u->lines);
	*u = (struct usage){0};
}

/* ---- SQL ---- */

static enum err add_stored(
	struct tx *tx, struct str project, struct usage_line *l, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT times FROM trace_usage WHERE project = ? AND day = ? AND model = ?",
		P_TEXT(project), P_I64(l->day), P_TEXT(str_c(l->model)));
	if (e)
		return e;
	if (row_next(r, &e, et))
		e = times_add(row_blob(r, 0), l->times, et);
	row_free(r);
	return e;
}

static enum err store_line(
	struct tx *tx, struct str project, const struct usage_line *new, struct errtext *et)
{
	struct usage_line *l = malloc(sizeof *l);
	struct buf b = {0};
	if (!l)
		return err_set(et, ERR_NOMEM, "no memory for the sums of a day");
	*l = *new; /* the transaction may be tried again */
	enum err e = add_stored(tx, project, l, et);
	times_put(&b, l->times);
	if (!e && b.err)
		e = err_set(et, b.err, "no memory for the sums of a day");
	if (!e)
		e = db_exec(tx, et,
			"INSERT INTO trace_usage (project, day, model, calls, errors, tokens_in, "
			"tokens_out, cost, times) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
			"ON CONFLICT (project, day, model) DO UPDATE SET "
			"calls = trace_usage.calls + excluded.calls, "
			"errors = trace_usage.errors + excluded.errors, "
			"tokens_in = trace_usage.tokens_in + excluded.tokens_in, "
			"tokens_out = trace_usage.tokens_out + excluded.tokens_out, "
			"cost = trace_usage.cost + excluded.cost, times = excluded.times",
			P_TEXT(project), P_I64(l->day), P_TEXT(str_c(l->model)), P_I64(l->calls),
			P_I64(l->errors), P_I64(l->tokens_in), P_I64(l->tokens_out), P_F64(l->cost),
			P_BLOB(b.n ? buf_str(&b) : S("")));
	buf_free(&b);
	free(l);
	return e;
}

enum err usage_store(struct tx *tx, struct str project, const struct usage *u, struct errtext *et)
{
	enum err e = u->no_memory ? err_set(et, ERR_NOMEM, "no memory for the sums of a day") : OK;
	for (size_t i = 0; !e && i < u->n; i++)
		e = store_line(tx, project, u->lines[i], et);
	return e;
}

static enum err read_line(
	struct row *r, struct arena *a, struct usage_line **out, struct errtext *et)
{
	struct usage_line *l = arena_array_of(a, 1, struct usage_line);
	if (!l)
		return err_set(et, ERR_NOMEM, "no memory for the sums of days");
	*l = (struct usage_line){.day = row_i64(r, 0),
		.calls = row_i64(r, 2),
		.errors = row_i64(r, 3),
		.tokens_in = row_i64(r, 4),
		.tokens_out = row_i64(r, 5),
		.cost = row_f64(r, 6)};
	struct str model = row_text(r, 1);
	memcpy(l->model, model.p, MIN(model.n, (size_t)USAGE_MODEL_MAX));
	*out = l;
	return times_add(row_blob(r, 7), l->times, et);
}

enum err usage_find(struct db *db, const struct usage_query *q, struct arena *a,
	struct usage_line ***lines, size_t *n, bool *more, struct errtext *et)
{
	struct tx *tx;
	struct row *r = NULL;
	size_t k = 0;
	struct usage_line **v = arena_array_of(a, q->max + 1, struct usage_line *);
	enum err e = v ? db_begin(db, TX_READ, &tx, et)
		       : err_set(et, ERR_NOMEM, "no memory for the sums of days");
	if (e)
		return e;
	e = db_query(tx, &r, et,
		"SELECT day, model, calls, errors, tokens_in, tokens_out, cost, times FROM "
		"trace_usage WHERE project = ? AND day >= ? AND day < ? AND (? = 0 OR model = ?) "
		"ORDER BY day DESC, model LIMIT ?",
		P_TEXT(q->project), P_I64(q->since), P_I64(q->until), P_I64(q->model.p != NULL),
		P_TEXT(q->model.p ? q->model : S("")), P_I64((int64_t)q->max + 1));
	while (!e && k <= q->max && row_next(r, &e, et))
		e = read_line(r, a, &v[k++], et);
	row_free(r);
	db_rollback(tx);
	*more = k > q->max;
	*n = MIN(k, q->max);
	*lines = v;
	return e;
}
