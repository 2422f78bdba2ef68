/* Runs and spans as their users see them, and the module. */
#include "run/file.h"
#include "run/run_int.h"
#include "run/track_int.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/thread.h"
#include "net/trace_context.h"

#include <assert.h>
#include <stdlib.h>

const char *const run_statuses[STATUS_COUNT] = {"running", "ok", "error", "interrupted"};

enum { ATTRIBUTES_MAX = 256 };

struct attribute {
	char *key, *json;
};

struct attributes {
	struct attribute *v;
	size_t n, cap;
};

struct span {
	struct run *run;
	int64_t id, parent, start_ns;
	char *name, *kind;
	struct attributes attrs;
	struct record *waiting;      /* guarded by the queue's mutex */
	struct trace_context before; /* of the thread that began it */
	struct span *next;           /* in run->open */
};

struct run {
	struct runs *runs;
	struct id id;
	char *project, *name, *kind;
	/* Of a request with a traceparent the run is a span of that trace: its own id and its
	 * parent. Of others `own` only stands for the run where it is reported as a span. */
	bool guest;
	int64_t own, parent;
	struct trace_context before; /* of the thread that began it */
	int64_t start_ns;            /* of the wall clock */
	uint64_t start_mono_ns;
	struct record *waiting;
	pthread_mutex_t mu; /* guards what follows: spans may be used by several threads */
	struct attributes attrs;
	int64_t last_span;
	struct span *open;
};

/* ---- attributes: a small list of keys with their JSON ---- */

static void attributes_free(struct attributes *a)
{
	for (size_t i = 0; i < a->n; i++) {
		free(a->v[i].key);
		free(a->v[i].json);
	}
	free(a->v);
	*a = (struct attributes){0};
}

/* Takes json over. A key that is set again has its last value. */
static void attribute_set(struct attributes *a, const char *key, char *json)
{
	if (!json)
		return;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->v[i].key, key) == 0) {
			free(a->v[i].json);
			a->v[i].json = json;
			return;
		}
	if (a->n == a->cap) {
		size_t cap = a->cap ? a->cap * 2 : 8;
		struct attribute *v = a->n < ATTRIBUTES_MAX ? realloc(a->v, cap * sizeof *v) : NULL;
		if (!v) {
			free(json);
			return;
		}
		a->v = v;
		a->cap = cap;
	}
	char *k = str_dup(str_c(key));
	if (k)
		a->v[a->n++] = (struct attribute){k, json};
	else
		free(json);
}

static void members(const struct attributes *a, bool first, struct jw *w)
{
	static const char *const leading[] = {"input", "output"};
	for (size_t i = 0; i < a->n; i++) {
		bool leads = false;
		for (size_t k = 0; k < ARRAY_LEN(leading); k++)
			leads |= strcmp(a->v[i].key, leading[k]) == 0;
		if (leads != first)
			continue;
		jw_key(w, a->v[i].key);
		jw_raw(w, str_c(a->v[i].json));
	}
}

static char *attributes_json(const struct attributes *a)
{
	if (!a->n)
		return NULL;
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	members(a, true, &w);
	members(a, false, &w);
	jw_end(&w);
	if (jw_done(&w))
		return buf_take(&b);
	buf_free(&b);
	return NULL;
}

static void set_number(struct attributes *a, const char *key, bool is_int, int64_t i, double f)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	is_int ? jw_i64(&w, i) : jw_f64(&w, f);
	attribute_set(a, key, buf_take(&b));
}

/* Longer than the setting runs.value_max allows: the beginning is kept, and how long it was. */
static void set_text(struct attributes *a, const char *key, struct str v, size_t max)
{
	struct buf b = {0};
	size_t whole = v.n;
	if (v.n > max) {
		v.n = max;
		v.n = utf8_complete_prefix(v);
	}
	json_escape(&b, v);
	attribute_set(a, key, buf_take(&b));
	if (v.n == whole)
		return;
	buf_addf(&b, "%s_bytes", key);
	set_number(a, buf_c(&b), true, (int64_t)whole, 0);
	buf_free(&b);
}

static void set_json(struct attributes *a, const char *key, struct str json, size_t max)
{
	yyjson_doc *doc;
	if (json.n > max || json_parse(json, &doc, NULL)) {
		set_text(a, key, json, max);
		return;
	}
	yyjson_doc_free(doc);
	attribute_set(a, key, str_dup(json));
}

/* ---- records ---- */

char *run_clean_max(struct str s, size_t max)
{
	struct buf b = {0};
	s.n = MIN(s.n, max);
	s.n = utf8_complete_prefix(s);
	while (s.n) {
		uint32_t cp;
		size_t k = utf8_decode(s, &cp);
		buf_add_utf8(&b, cp ? cp : 0xFFFD);
		s = str_sub(s, k, s.n);
	}
	return buf_take(&b);
}

char *run_clean(struct str s)
{
	return run_clean_max(s, RUN_NAME_MAX);
}

static int64_t now_ns(const struct run *r)
{
	return r->start_ns + (int64_t)(clock_mono_ns() - r->start_mono_ns);
}

static char *error_of(enum err e, const struct errtext *et)
{
	return e ? run_clean(str_c(err_text(e, et))) : NULL;
}

static struct record *complete(struct record *rec)
{
	if (rec && (!rec->name || !rec->kind || !rec->project)) {
		record_free(rec);
		return NULL;
	}
	return rec;
}

static struct record *run_record(const struct run *r)
{
	struct record *rec = calloc(1, sizeof *rec);
	if (rec) {
		rec->run = r->id;
		rec->is_span = rec->guest = rec->guest_root = r->guest;
		rec->span = r->own;
		rec->parent = r->parent;
		rec->project = str_dup(str_c(r->project));
		rec->kind = str_dup(str_c(r->kind));
		rec->name = str_dup(str_c(r->name));
		rec->start_ns = r->start_ns;
		rec->attributes = attributes_json(&r->attrs);
	}
	return complete(rec);
}

static struct record *span_record(const struct span *s)
{
	struct record *rec = calloc(1, sizeof *rec);
	if (rec) {
		rec->is_span = true;
		rec->run = s->run->id;
		rec->guest = s->run->guest;
		rec->project = str_dup(str_c(s->run->project));
		rec->span = s->id;
		rec->parent = s->parent ? s->parent : s->run->guest ? s->run->own : 0;
		rec->kind = str_dup(str_c(s->kind));
		rec->name = str_dup(str_c(s->name));
		rec->start_ns = s->start_ns;
		rec->attributes = attributes_json(&s->attrs);
	}
	return complete(rec);
}

/* Others watch: live pages, an exporter. */
static void tell(struct runs *runs, const struct record *rec, const struct run *r)
{
	if (runs->watch)
		runs->watch(runs->watch_ctx, rec, r->own);
}

static void finish(struct record *rec, const struct run *r, enum err e, const struct errtext *et,
	int64_t end_ns, struct record **waiting)
{
	if (!rec) {
		log_error("a run could not be stored: out of memory");
		return;
	}
	rec->status = e ? STATUS_ERROR : STATUS_OK;
	rec->error = error_of(e, et);
	rec->end_ns = end_ns;
	tell(r->runs, rec, r);
	run_writer_close(r->runs->writer, rec, waiting);
}

/* ---- runs ---- */

static void run_free(struct run *r)
{
	attributes_free(&r->attrs);
	pthread_mutex_destroy(&r->mu);
	free(r->project);
	free(r->name);
	free(r->kind);
	free(r);
}

static int64_t random_span(void)
{
	int64_t v = 0;
	while (!v)
		random_bytes(&v, sizeof v);
	return v;
}

/* Whose trace it is part of: when the request that this thread handles says so. */
static void place(struct run *r)
{
	const struct http_request *rq = croft_request();
	struct trace_context up;
	r->own = random_span();
	r->before = trace_context_now();
	if (rq && traceparent_parse(http_header(rq, "traceparent"), &up)) {
		r->guest = true;
		r->id = up.trace;
		r->parent = up.span;
		r->last_span = random_span() >> 1; /* its spans are among others' */
	}
	trace_context_set((struct trace_context){r->id, r->own, 1});
}

struct run *run_begin(struct croft *c, struct str project, const char *kind, struct str name)
{
	struct runs *runs = croft_state(c, &run_module);
	struct run *r = runs ? calloc(1, sizeof *r) : NULL;
	if (!r)
		return NULL;
	pthread_mutex_init(&r->mu, NULL);
	r->runs = runs;
	r->id = id_new();
	r->project = str_dup(project.n ? project : S("default"));
	r->kind = run_clean(str_c(kind));
	r->name = run_clean(name);
	r->start_ns = clock_unix_ns();
	r->start_mono_ns = clock_mono_ns();
	place(r);
	struct record *rec = r->project && r->kind && r->name ? run_record(r) : NULL;
	if (!rec) {
		trace_context_set(r->before);
		run_free(r);
		return NULL;
	}
	run_metrics_begin(runs->metrics);
	tell(runs, rec, r);
	run_writer_add(runs->writer, rec, &r->waiting);
	return r;
}

struct id run_id(const struct run *r)
{
	return r ? r->id : (struct id){0};
}

void run_i64(struct run *r, const char *key, int64_t v)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->mu);
	set_number(&r->attrs, key, true, v, 0);
	pthread_mutex_unlock(&r->mu);
}

void run_f64(struct run *r, const char *key, double v)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->mu);
	set_number(&r->attrs, key, false, 0, v);
	pthread_mutex_unlock(&r->mu);
}

void run_text(struct run *r, const char *key, struct str v)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->mu);
	set_text(&r->attrs, key, v, r->runs->value_max);
	pthread_mutex_unlock(&r->mu);
}

void run_json(struct run *r, const char *key, struct str json)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->mu);
	set_json(&r->attrs, key, json, r->runs->value_max);
	pthread_mutex_unlock(&r->mu);
}

void run_end(struct run *r, enum err e, const struct errtext *et)
{
	if (!r)
		return;
	while (r->open)
		span_end(r->open, e, et);
	uint64_t ns = clock_mono_ns() - r->start_mono_ns;
	finish(run_record(r), r, e, et, r->start_ns + (int64_t)ns, &r->waiting);
	run_metrics_end(r->runs->metrics, r->kind, e ? STATUS_ERROR : STATUS_OK, ns);
	if (trace_context_now().span == r->own)
		trace_context_set(r->before);
	run_free(r);
}

enum err run_flush(struct croft *c, struct errtext *et)
{
	struct runs *runs = croft_state(c, &run_module);
	return runs ? run_writer_flush(runs->writer, et) : OK;
}

/* ---- spans ---- */

static void span_free(struct span *s)
{
	attributes_free(&s->attrs);
	free(s->name);
	free(s->kind);
	free(s);
}

struct span *span_begin(struct run *r, struct span *parent, const char *name, const char *kind)
{
	struct span *s = r ? calloc(1, sizeof *s) : NULL;
	if (!s)
		return NULL;
	s->run = r;
	s->parent = parent ? parent->id : 0;
	s->name = run_clean(str_c(name));
	s->kind = run_clean(str_c(kind));
	s->start_ns = now_ns(r);
	pthread_mutex_lock(&r->mu);
	s->id = ++r->last_span;
	pthread_mutex_unlock(&r->mu);
	struct record *rec = s->name && s->kind ? span_record(s) : NULL;
	if (!rec) {
		span_free(s);
		return NULL;
	}
	pthread_mutex_lock(&r->mu);
	s->next = r->open;
	r->open = s;
	pthread_mutex_unlock(&r->mu);
	tell(r->runs, rec, r);
	run_writer_add(r->runs->writer, rec, &s->waiting);
	s->before = trace_context_now();
	trace_context_set((struct trace_context){r->id, s->id, 1});
	return s;
}

void span_i64(struct span *s, const char *key, int64_t v)
{
	if (s)
		set_number(&s->attrs, key, true, v, 0);
}

void span_f64(struct span *s, const char *key, double v)
{
	if (s)
		set_number(&s->attrs, key, false, 0, v);
}

void span_text(struct span *s, const char *key, struct str v)
{
	if (s)
		set_text(&s->attrs, key, v, s->run->runs->value_max);
}

void span_json(struct span *s, const char *key, struct str json)
{
	if (s)
		set_json(&s->attrs, key, json, s->run->runs->value_max);
}

void span_end(struct span *s, enum err e, const struct errtext *et)
{
	if (!s)
		return;
	struct run *r = s->run;
	pthread_mutex_lock(&r->mu);
	struct span **at = &r->open;
	while (*at && *at != s)
		at = &(*at)->next;
	assert(*at == s);
	*at = s->next;
	pthread_mutex_unlock(&r->mu);
	if (trace_context_now().span == s->id) /* not when another thread ends it */
		trace_context_set(s->before);
	finish(span_record(s), r, e, et, now_ns(r), &s->waiting);
	span_free(s);
}

/* ---- the module ---- */

static enum err init(struct croft *c, struct errtext *et)
{
	int64_t n = 0;
	/* With other servers on the database, what is open may be theirs. */
	enum err e = db_alone(croft_db(c)) ? run_store_interrupt(croft_db(c), &n, et) : OK;
	if (e)
		return e;
	if (n)
		log_info("%lld runs were interrupted when Croft ended last time", (long long)n);
	struct runs *runs = calloc(1, sizeof *runs);
	if (runs) {
		runs->metrics = run_metrics_new();
		runs->cache = track_cache_new((size_t)setting_int(c, "runs.cache_max"));
	}
	if (!runs || !runs->metrics || !runs->cache) {
		if (runs)
			run_metrics_free(runs->metrics);
		free(runs);
		return err_set(et, ERR_NOMEM, "no memory for runs");
	}
	runs->value_max = (size_t)setting_int(c, "runs.value_max");
	e = run_writer_new(croft_db(c), &runs->writer, et);
	if (e) {
		track_cache_free(runs->cache);
		run_metrics_free(runs->metrics);
		free(runs);
		return e;
	}
	croft_set_state(c, &run_module, runs);
	return OK;
}

/* Old runs go while a server runs: a short command has no time for it. */
static enum err start(struct croft *c, struct errtext *et)
{
	struct runs *runs = croft_state(c, &run_module);
	run_writer_keep_days(runs->writer, setting_int(c, "runs.keep_days"));
	return OK;
}

static void stop(struct croft *c)
{
	struct runs *runs = croft_state(c, &run_module);
	if (!runs)
		return;
	croft_set_state(c, &run_module, NULL);
	run_writer_free(runs->writer);
	track_cache_free(runs->cache);
	run_metrics_free(runs->metrics);
	free(runs);
}

static void metrics(struct croft *c, struct buf *out)
{
	struct runs *runs = croft_state(c, &run_module);
	struct run_writer_stats st;
	run_metrics_print(runs->metrics, out);
	run_writer_stats(runs->writer, &st);
	buf_addf(out,
		"# HELP croft_run_records_total Rows of runs and spans written.\n"
		"# TYPE croft_run_records_total counter\ncroft_run_records_total %llu\n"
		"# HELP croft_run_records_lost_total Rows that could not be stored.\n"
		"# TYPE croft_run_records_lost_total counter\ncroft_run_records_lost_total %llu\n"
		"# HELP croft_run_records_queued Rows that wait to be stored.\n"
		"# TYPE croft_run_records_queued gauge\ncroft_run_records_queued %zu\n",
		(unsigned long long)st.stored, (unsigned long long)st.lost, st.queued);
}

static const struct setting settings[] = {
	{"runs.keep_days", SET_INT, "30", "Days for which runs are kept; 0: for ever", 0, 36500},
	{"runs.cache_max", SET_BYTES, "256m",
		"Bytes of experiments' runs that are kept in memory for searches", 1 << 20,
		1ll << 40},
	{"runs.value_max", SET_BYTES, "256k",
		"Bytes kept of one input or output in a run; what is longer is cut and says so",
		1024, 16 << 20},
};

const struct module run_module = {
	.name = "run",
	.migrations = run_migrations,
	.n_migrations = ARRAY_LEN(run_migrations),
	.routes = run_routes,
	.n_routes = ARRAY_LEN(run_routes),
	.shapes = run_shapes,
	.n_shapes = ARRAY_LEN(run_shapes),
	.commands = run_commands,
	.n_commands = ARRAY_LEN(run_commands),
	TABLE(settings),
	.init = init,
	.start = start,
	.stop = stop,
	.blobs = run_file_blobs,
	.metrics = metrics,
};
