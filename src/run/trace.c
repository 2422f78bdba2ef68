/* The module of traces: what other programs report, and how all runs with spans are read. */
#include "run/trace_int.h"

#include <stdio.h>
#include <stdlib.h>

/* Tables `run`, `span` and `span_holder` are the run module's. */
static const struct migration migrations[] = {
	{1, "tags and feedback of traces",
		"CREATE INDEX run_by_time ON run (project, start_ns, id);"
		"CREATE TABLE trace_note ("
		"  run BLOB NOT NULL REFERENCES run (id) ON DELETE CASCADE,"
		"  metadata BIGINT NOT NULL,"
		"  name TEXT NOT NULL,"
		"  value TEXT NOT NULL,"
		"  PRIMARY KEY (run, metadata, name));"
		"CREATE TABLE assessment ("
		"  run BLOB NOT NULL REFERENCES run (id) ON DELETE CASCADE,"
		"  seq BIGINT NOT NULL,"
		"  id TEXT NOT NULL,"
		"  version BIGINT NOT NULL,"
		"  span BIGINT,"
		"  name TEXT NOT NULL,"
		"  expectation BIGINT NOT NULL,"
		"  value TEXT,"
		"  error TEXT,"
		"  rationale TEXT,"
		"  source_type TEXT NOT NULL,"
		"  source_id TEXT NOT NULL,"
		"  metadata TEXT,"
		"  overrides TEXT,"
		"  author TEXT NOT NULL,"
		"  at_ms BIGINT NOT NULL,"
		"  deleted BIGINT NOT NULL,"
		"  PRIMARY KEY (run, seq));"},
	/* run: zeros when the record is of no trace. No reference: it may come before its trace. */
	{2, "log records",
		"CREATE TABLE trace_log ("
		"  project TEXT NOT NULL,"
		"  run BLOB NOT NULL,"
		"  at_ns BIGINT NOT NULL,"
		"  id BIGINT NOT NULL,"
		"  span BIGINT NOT NULL,"
		"  severity BIGINT NOT NULL,"
		"  holder BLOB NOT NULL,"
		"  raw BLOB NOT NULL,"
		"  PRIMARY KEY (project, run, at_ns, id));"
		"CREATE INDEX trace_log_by_time ON trace_log (project, at_ns, id);"},
};

static const struct setting settings[] = {
	{"traces.keep_days", SET_INT, "30",
		"Days for which received traces are kept; sums of each day stay; 0: for ever", 0,
		36500},
	{"logs.keep_days", SET_INT, "30",
		"Days for which received log records are kept; 0: for ever", 0, 36500},
	{"traces.quiet", SET_DURATION, "10m",
		"A trace whose root span never came is taken for ended after so long without news",
		1000, 30ll * 86400 * 1000},
	{"otlp.export_url", SET_TEXT, "",
		"Where Croft's own runs are sent to as OpenTelemetry spans (OTLP/HTTP); empty: "
		"nowhere",
		0, 0},
	{"otlp.export_headers", SET_SECRET, "",
		"Headers of these requests, by commas: authorization=Bearer x", 0, 0},
	{"traces.pending_max", SET_BYTES, "64m",
		"Bytes of received spans that may wait for the store; beyond it clients are told "
		"to come back",
		1 << 20, 1ll << 40},
};

/* Called by runs as they begin and end. */
static void watch(void *ctx, const struct record *rec, int64_t own)
{
	struct traces *t = ctx;
	if (trace_live_watched(t->live)) {
		struct trace_event ev = {.trace = rec->run,
			.span = rec->is_span ? rec->span : own,
			.parent = rec->parent,
			.start_ns = rec->start_ns,
			.end_ns = rec->end_ns};
		struct str name = str_sub(str_c(rec->name), 0, sizeof ev.name - 1);
		name.n = utf8_complete_prefix(name);
		memcpy(ev.name, name.p, name.n);
		snprintf(ev.project, sizeof ev.project, "%s", rec->project);
		snprintf(ev.kind, sizeof ev.kind, "%s", rec->kind);
		snprintf(ev.status, sizeof ev.status, "%s", run_statuses[rec->status]);
		trace_live_put(t->live, &ev);
	}
	if (t->export && rec->end_ns)
		trace_export_put(t->export, rec, own);
}

static enum err init(struct croft *c, struct errtext *et)
{
	struct traces *t = calloc(1, sizeof *t);
	if (!t)
		return err_set(et, ERR_NOMEM, "no memory for traces");
	enum err e = trace_live_new(&t->live, et);
	if (e) {
		free(t);
		return e;
	}
	if (setting_text(c, "otlp.export_url").n)
		e = trace_export_start(setting_text(c, "otlp.export_url"),
			setting_text(c, "otlp.export_headers"), &t->export, et);
	if (e) {
		trace_live_free(t->live);
		free(t);
		return e;
	}
	struct runs *runs = croft_state(c, &run_module);
	runs->watch = watch;
	runs->watch_ctx = t;
	croft_set_state(c, &trace_module, t);
	return OK;
}

/* Old traces go while a server runs: a short command has no time for it. */
static enum err start(struct croft *c, struct errtext *et)
{
	struct traces *t = croft_state(c, &trace_module);
	return trace_keeper_start(croft_db(c), setting_int(c, "traces.keep_days"),
		setting_int(c, "logs.keep_days"), setting_int(c, "traces.quiet"), &t->keeper, et);
}

static void stop(struct croft *c)
{
	struct traces *t = croft_state(c, &trace_module);
	if (!t)
		return;
	croft_set_state(c, &trace_module, NULL);
	struct runs *runs = croft_state(c, &run_module);
	if (runs)
		runs->watch = NULL;
	trace_keeper_stop(t->keeper);
	trace_export_stop(t->export);
	trace_live_free(t->live);
	free(t);
}

static void metrics(struct croft *c, struct buf *out)
{
	struct traces *t = croft_state(c, &trace_module);
	buf_addf(out,
		"# HELP croft_trace_spans_total Spans of traces received and stored.\n"
		"# TYPE croft_trace_spans_total counter\ncroft_trace_spans_total %llu\n"
		"# HELP croft_log_records_total Log records received and stored.\n"
		"# TYPE croft_log_records_total counter\ncroft_log_records_total %llu\n"
		"# HELP croft_trace_pending_bytes Bytes of traces that wait for the store.\n"
		"# TYPE croft_trace_pending_bytes gauge\ncroft_trace_pending_bytes %zu\n"
		"# HELP croft_trace_busy_total Requests with traces told to come back.\n"
		"# TYPE croft_trace_busy_total counter\ncroft_trace_busy_total %llu\n",
		(unsigned long long)atomic_load(&t->spans),
		(unsigned long long)atomic_load(&t->logs), atomic_load(&t->pending),
		(unsigned long long)atomic_load(&t->busy));
	if (!t->export)
		return;
	struct trace_export_stats st;
	trace_export_stats(t->export, &st);
	buf_addf(out,
		"# HELP croft_trace_exported_total Spans of own runs sent to otlp.export_url.\n"
		"# TYPE croft_trace_exported_total counter\ncroft_trace_exported_total %llu\n"
		"# HELP croft_trace_export_dropped_total Spans that could not be sent.\n"
		"# TYPE croft_trace_export_dropped_total counter\n"
		"croft_trace_export_dropped_total %llu\n",
		(unsigned long long)st.sent, (unsigned long long)st.dropped);
}

const struct module log_module = {
	.name = "log",
	.routes = log_routes,
	.n_routes = LOG_ROUTES,
	.shapes = log_shapes,
	.n_shapes = LOG_SHAPES,
	.commands = log_commands,
	.n_commands = LOG_COMMANDS,
};

const struct module trace_module = {
	.name = "trace",
	TABLE(migrations),
	.routes = trace_routes,
	.n_routes = TRACE_ROUTES,
	.shapes = trace_shapes,
	.n_shapes = TRACE_SHAPES,
	.commands = trace_commands,
	.n_commands = TRACE_COMMANDS,
	TABLE(settings),
	.init = init,
	.start = start,
	.stop = stop,
	.metrics = metrics,
};
