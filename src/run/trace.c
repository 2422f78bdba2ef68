/* The module of traces: what other programs report, and how all runs with spans are read. */
#include "run/trace_int.h"

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
};

static const struct setting settings[] = {
	{"traces.keep_days", SET_INT, "30",
		"Days for which received traces are kept; sums of each day stay; 0: for ever", 0,
		36500},
	{"traces.quiet", SET_DURATION, "10m",
		"A trace whose root span never came is taken for ended after so long without news",
		1000, 30ll * 86400 * 1000},
	{"traces.pending_max", SET_BYTES, "64m",
		"Bytes of received spans that may wait for the store; beyond it clients are told "
		"to come back",
		1 << 20, 1ll << 40},
};

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
	croft_set_state(c, &trace_module, t);
	return OK;
}

/* Old traces go while a server runs: a short command has no time for it. */
static enum err start(struct croft *c, struct errtext *et)
{
	struct traces *t = croft_state(c, &trace_module);
	return trace_keeper_start(croft_db(c), setting_int(c, "traces.keep_days"),
		setting_int(c, "traces.quiet"), &t->keeper, et);
}

static void stop(struct croft *c)
{
	struct traces *t = croft_state(c, &trace_module);
	if (!t)
		return;
	croft_set_state(c, &trace_module, NULL);
	trace_keeper_stop(t->keeper);
	trace_live_free(t->live);
	free(t);
}

static void metrics(struct croft *c, struct buf *out)
{
	struct traces *t = croft_state(c, &trace_module);
	buf_addf(out,
		"# HELP croft_trace_spans_total Spans of traces received and stored.\n"
		"# TYPE croft_trace_spans_total counter\ncroft_trace_spans_total %llu\n"
		"# HELP croft_trace_pending_bytes Bytes of traces that wait for the store.\n"
		"# TYPE croft_trace_pending_bytes gauge\ncroft_trace_pending_bytes %zu\n"
		"# HELP croft_trace_busy_total Requests with traces told to come back.\n"
		"# TYPE croft_trace_busy_total counter\ncroft_trace_busy_total %llu\n",
		(unsigned long long)atomic_load(&t->spans), atomic_load(&t->pending),
		(unsigned long long)atomic_load(&t->busy));
}

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
