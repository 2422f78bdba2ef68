/* What belongs to no other module: health, status, settings, metrics, the pages. */
#include "app/app.h"
#include "api/qdrant.h"
#include "app/pages.h"
#include "base/clock.h"
#include "net/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

struct app_state {
	struct server *server; /* NULL outside `croft up` */
	uint64_t started_ns;
};

static enum err app_init(struct croft *c, struct errtext *et)
{
	struct app_state *s = calloc(1, sizeof *s);
	if (!s)
		return err_set(et, ERR_NOMEM, "no memory");
	s->started_ns = clock_mono_ns();
	croft_set_state(c, &app_module, s);
	return OK;
}

static void app_stop(struct croft *c)
{
	free(croft_state(c, &app_module));
}

void app_set_server(struct croft *c, struct server *server)
{
	struct app_state *s = croft_state(c, &app_module);
	s->server = server;
}

static enum err not_ready(struct croft *c, struct errtext *et)
{
	size_t n;
	const struct module *const *modules = croft_modules(c, &n);
	for (size_t i = 0; i < n; i++)
		if (modules[i]->ready) {
			enum err e = modules[i]->ready(c, et);
			if (e)
				return e;
		}
	return OK;
}

static void get_healthz(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	http_reply(rs, 200, "text/plain; charset=utf-8", S("ok\n"));
}

static void get_readyz(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	enum err e = not_ready(c, &et);
	if (e)
		http_reply_error(rs, ERR_NOT_READY, &et);
	else
		http_reply(rs, 200, "text/plain; charset=utf-8", S("ready\n"));
}

static void get_status(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct app_state *s = croft_state(c, &app_module);
	struct errtext et = {0};
	enum err e = not_ready(c, &et);
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_kc(&w, "version", CROFT_VERSION);
	jw_ki64(&w, "uptime_ms", (int64_t)((clock_mono_ns() - s->started_ns) / 1000000));
	jw_kbool(&w, "ready", e == OK);
	jw_kc(&w, "reason", e ? err_text(e, &et) : NULL);
	jw_kc(&w, "home", may(rq, PERM_SYSTEM_READ) ? croft_home(c) : NULL);
	size_t n;
	const struct module *const *modules = croft_modules(c, &n);
	for (size_t i = 0; i < n; i++)
		if (modules[i]->status)
			modules[i]->status(c, rq, &w);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

static const char *const type_names[] = {[SET_TEXT] = "text",
	[SET_INT] = "int",
	[SET_BYTES] = "bytes",
	[SET_DURATION] = "duration",
	[SET_BOOL] = "bool",
	[SET_SECRET] = "secret"};

static void write_setting(void *ctx, const struct setting_shown *s)
{
	struct jw *w = ctx;
	jw_obj(w);
	jw_kc(w, "name", s->row->name);
	jw_kstr(w, "value", s->value);
	jw_kc(w, "origin", s->origin);
	jw_kc(w, "type", type_names[s->row->type]);
	jw_kc(w, "help", s->row->help);
	jw_end(w);
}

static void settings_json(struct croft *c, struct jw *w)
{
	jw_obj(w);
	jw_kc(w, "home", croft_home(c));
	jw_kc(w, "config", croft_config_file(c));
	jw_key(w, "settings");
	jw_arr(w);
	croft_each_setting(c, write_setting, w);
	jw_end(w);
	jw_end(w);
}

static void get_settings(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	settings_json(c, &w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

static void get_openapi(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct buf b = {0};
	croft_openapi(c, &b);
	if (b.err)
		http_reply_error(rs, b.err, NULL);
	else
		http_reply(rs, 200, "application/json", buf_str(&b));
	buf_free(&b);
}

static uint64_t resident_bytes(void)
{
	unsigned long size = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "re");
	if (f) {
		if (fscanf(f, "%lu %lu", &size, &resident) != 2)
			resident = 0;
		fclose(f);
	}
	return (uint64_t)resident * 4096;
}

static void metric(struct buf *b, const char *name, const char *type, const char *help, double v)
{
	buf_addf(b, "# HELP %s %s\n# TYPE %s %s\n%s %.17g\n", name, help, name, type, name, v);
}

static void app_metrics(struct croft *c, struct buf *b)
{
	struct app_state *s = croft_state(c, &app_module);
	struct rusage ru;
	getrusage(RUSAGE_SELF, &ru);
	buf_addf(b,
		"# HELP croft_build_info Version of the program\n# TYPE croft_build_info gauge\n"
		"croft_build_info{version=\"%s\"} 1\n",
		CROFT_VERSION);
	metric(b, "process_cpu_seconds_total", "counter", "CPU time of the process",
		(double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
			(double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6);
	metric(b, "process_resident_memory_bytes", "gauge", "Resident memory",
		(double)resident_bytes());
	metric(b, "croft_uptime_seconds", "gauge", "Since the instance was opened",
		(double)(clock_mono_ns() - s->started_ns) / 1e9);
	if (!s->server)
		return;
	struct server_stats st;
	server_stats(s->server, &st);
	metric(b, "croft_http_requests_total", "counter", "Requests received", (double)st.requests);
	metric(b, "croft_http_refused_total", "counter", "Requests refused before a handler",
		(double)st.refused);
	metric(b, "croft_http_received_bytes_total", "counter", "Bytes of bodies received",
		(double)st.bytes_in);
	metric(b, "croft_http_sent_bytes_total", "counter", "Bytes of bodies sent",
		(double)st.bytes_out);
	metric(b, "croft_tls_handshakes_total", "counter", "TLS handshakes completed",
		(double)st.tls_handshakes);
	metric(b, "croft_tls_resumed_total", "counter", "of these, sessions that went on",
		(double)st.tls_resumed);
	metric(b, "croft_tls_failed_total", "counter", "TLS handshakes that failed",
		(double)st.tls_failed);
	metric(b, "croft_http_connections", "gauge", "Open connections", st.connections);
	metric(b, "croft_http_workers_busy", "gauge", "Workers in a handler", st.busy_workers);
	metric(b, "croft_http_queued", "gauge", "Requests waiting for a worker", st.queued);
}

/* Prometheus' older format as OpenMetrics: a counter's family has no _total, and there is an end.
 */
static void to_openmetrics(struct str text, struct buf *out)
{
	struct str line;
	while (str_next_line(&text, &line)) {
		struct str name = str_sub(line, 7, line.n);
		name = str_sub(name, 0, str_chr(name, ' '));
		bool about = str_starts(line, S("# HELP ")) || str_starts(line, S("# TYPE "));
		if (about && str_ends(name, S("_total"))) {
			buf_adds(out, str_sub(line, 0, 7 + name.n - 6));
			line = str_sub(line, 7 + name.n, line.n);
		}
		buf_adds(out, line);
		buf_putc(out, '\n');
	}
	buf_addc(out, "# EOF\n");
}

static void get_metrics(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct buf b = {0}, open = {0};
	size_t n;
	const struct module *const *modules = croft_modules(c, &n);
	for (size_t i = 0; i < n; i++)
		if (modules[i]->metrics)
			modules[i]->metrics(c, &b);
	croft_route_metrics(c, &b);
	if (str_find(http_header(rq, "accept"), S("application/openmetrics-text")) == STR_NONE) {
		http_reply(rs, 200, "text/plain; version=0.0.4; charset=utf-8", buf_str(&b));
	} else {
		to_openmetrics(buf_str(&b), &open);
		http_reply(rs, 200, "application/openmetrics-text; version=1.0.0; charset=utf-8",
			buf_str(&open));
	}
	buf_free(&b);
	buf_free(&open);
}

static void get_page(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	if (str_eq_c(rq->path, "/") && pages_wants_facts(http_header(rq, "accept")))
		qdrant_about(rs);
	else
		pages_handle(rq, rs);
}

static const struct route routes[] = {
	{HTTP_GET, "/healthz", get_healthz, PERM_PUBLIC, "The process is alive", NULL, NULL, NULL,
		0, true},
	{HTTP_GET, "/readyz", get_readyz, PERM_PUBLIC, "Models and indexes are usable", NULL, NULL,
		NULL, 0},
	{HTTP_GET, "/metrics", get_metrics, PERM_SYSTEM_READ, "Metrics in Prometheus' text format",
		NULL, NULL, NULL, 0},
	{HTTP_GET, "/api/v1/status", get_status, PERM_SIGNED_IN, "What the project holds", NULL,
		NULL, "Status", 0},
	{HTTP_GET, "/api/v1/backup", get_backup, PERM_SYSTEM_MANAGE,
		"Everything as one tar file, with a manifest: what `croft backup` stores", NULL,
		NULL, NULL, 0},
	{HTTP_GET, "/api/v1/settings", get_settings, PERM_SYSTEM_READ,
		"Each setting and its origin", NULL, NULL,
		"{ home, config: string | null, settings: Setting[] }", 0},
	{HTTP_GET, "/api/v1/openapi.json", get_openapi, PERM_PUBLIC, "This API as OpenAPI 3.1",
		NULL, NULL, "object", 0},
	{HTTP_GET, "/{rest...}", get_page, PERM_PUBLIC, "The web page", NULL, NULL, NULL, 0},
};

static const struct shape shapes[] = {
	{"Status", "{ version, uptime_ms: int, ready: boolean, reason: string | null, "
		   "home: string | null, "
		   "documents: int, "
		   "chunks: int, failed: int, models: int, chat_model: string | null, "
		   "embed_model: string | null }"},
	{"Setting", "{ name, value, origin, type: \"text\" | \"int\" | \"bytes\" | \"duration\" | "
		    "\"bool\" | "
		    "\"secret\", help }"},
};

/* ---- commands ---- */

static enum err run_version(struct cmd *cmd, struct errtext *et)
{
	if (cmd_json(cmd))
		cmd_outf(cmd, "{\"version\":\"%s\"}\n", CROFT_VERSION);
	else
		cmd_outf(cmd, "croft %s\n", CROFT_VERSION);
	return OK;
}

static enum err print_reply(struct cmd *cmd, const char *path, yyjson_doc **doc, struct errtext *et)
{
	struct buf b = {0};
	enum err e = cmd_call(cmd, HTTP_GET, path, (struct str){0}, &b, et);
	if (!e && cmd_json(cmd)) {
		cmd_out(cmd, buf_str(&b));
		cmd_out(cmd, S("\n"));
	} else if (!e) {
		e = json_parse(buf_str(&b), doc, et);
	}
	buf_free(&b);
	return e;
}

static enum err run_status(struct cmd *cmd, struct errtext *et)
{
	yyjson_doc *doc = NULL;
	enum err e = print_reply(cmd, "/api/v1/status", &doc, et);
	if (e || !doc)
		return e;
	yyjson_val *o = yyjson_doc_get_root(doc);
	struct str reason = json_str(o, "reason"), chat = json_str(o, "chat_model"),
		   embed = json_str(o, "embed_model");
	cmd_outf(cmd, "croft %.*s, %s\n", STR_FMT(json_str(o, "version")),
		cmd_remote(cmd) ? "served by a running server" : "no server is running");
	if (cmd_remote(cmd))
		cmd_outf(cmd, "  ready       %s%s%.*s\n",
			json_bool(o, "ready", false) ? "yes" : "no", reason.n ? ": " : "",
			STR_FMT(reason));
	cmd_outf(cmd, "  data        %.*s\n", STR_FMT(json_str(o, "home")));
	cmd_outf(cmd, "  documents   %lld (%lld chunks, %lld failed)\n",
		(long long)json_i64(o, "documents", 0), (long long)json_i64(o, "chunks", 0),
		(long long)json_i64(o, "failed", 0));
	cmd_outf(cmd, "  chat model  %.*s\n", chat.n ? (int)chat.n : 4, chat.n ? chat.p : "none");
	cmd_outf(cmd, "  embeddings  %.*s\n", embed.n ? (int)embed.n : 4,
		embed.n ? embed.p : "none");
	yyjson_doc_free(doc);
	return OK;
}

static enum err run_config(struct cmd *cmd, struct errtext *et)
{
	yyjson_doc *doc = NULL;
	enum err e = print_reply(cmd, "/api/v1/settings", &doc, et);
	if (e || !doc)
		return e;
	static const char *const titles[] = {"SETTING", "VALUE", "FROM"};
	struct str config = json_str(yyjson_doc_get_root(doc), "config");
	cmd_outf(cmd, "data directory      %.*s\nconfiguration file  %.*s\n\n",
		STR_FMT(json_str(yyjson_doc_get_root(doc), "home")), config.n ? (int)config.n : 4,
		config.n ? config.p : "none");
	struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
	size_t i, n;
	yyjson_val *s;
	yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc), "settings"), i, n, s)
	{
		cmd_cell(t, "%.*s", STR_FMT(json_str(s, "name")));
		cmd_cell(t, "%.*s", STR_FMT(json_str(s, "value")));
		cmd_cell(t, "%.*s", STR_FMT(json_str(s, "origin")));
	}
	cmd_table_end(t);
	yyjson_doc_free(doc);
	return OK;
}

/* One row as a property of the JSON Schema of croft.yaml; "a.b" stands in the object "a". */
static void schema_property(void *ctx, const struct setting_shown *s)
{
	static const char *const json_types[] = {[SET_TEXT] = "string",
		[SET_INT] = "integer",
		[SET_BYTES] = "string",
		[SET_DURATION] = "string",
		[SET_BOOL] = "boolean",
		[SET_SECRET] = "string"};
	struct jw *w = ctx;
	const char *dot = strrchr(s->row->name, '.');
	jw_key(w, dot ? dot + 1 : s->row->name);
	jw_obj(w);
	jw_kc(w, "type", json_types[s->row->type]);
	jw_kc(w, "description", s->row->help);
	jw_kc(w, "default", s->row->value);
	if (s->row->type == SET_INT && (s->row->min || s->row->max)) {
		jw_ki64(w, "minimum", s->row->min);
		jw_ki64(w, "maximum", s->row->max);
	}
	jw_end(w);
}

struct schema_group {
	struct jw *w;
	struct str name; /* "" for settings without a dot */
};

static struct str group_of(const struct setting *row)
{
	const char *dot = strrchr(row->name, '.');
	return str_mk(row->name, dot ? (size_t)(dot - row->name) : 0);
}

static void schema_group_member(void *ctx, const struct setting_shown *s)
{
	struct schema_group *g = ctx;
	if (str_eq(group_of(s->row), g->name))
		schema_property(g->w, s);
}

struct group_names {
	struct str name[64];
	size_t n;
};

static void collect_group(void *ctx, const struct setting_shown *s)
{
	struct group_names *g = ctx;
	struct str name = group_of(s->row);
	for (size_t i = 0; i < g->n; i++)
		if (str_eq(g->name[i], name))
			return;
	if (name.n && g->n < ARRAY_LEN(g->name))
		g->name[g->n++] = name;
}

/* JSON Schema of croft.yaml, for editors. */
static enum err run_config_schema(struct cmd *cmd, struct errtext *et)
{
	struct croft_options o = {
		.modules = app_modules, .n_modules = app_n_modules, .settings_only = true};
	struct croft *c;
	enum err e = croft_open(&o, &c, et);
	if (e)
		return e;
	struct group_names groups = {0};
	croft_each_setting(c, collect_group, &groups);
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_kc(&w, "$schema", "https://json-schema.org/draft/2020-12/schema");
	jw_kc(&w, "title", "croft.yaml");
	jw_kc(&w, "type", "object");
	jw_kbool(&w, "additionalProperties", false);
	jw_key(&w, "properties");
	jw_obj(&w);
	croft_each_setting(c, schema_group_member, &(struct schema_group){&w, {0}});
	for (size_t i = 0; i < groups.n; i++) {
		jw_key_str(&w, groups.name[i]);
		jw_obj(&w);
		jw_kc(&w, "type", "object");
		jw_kbool(&w, "additionalProperties", false);
		jw_key(&w, "properties");
		jw_obj(&w);
		croft_each_setting(
			c, schema_group_member, &(struct schema_group){&w, groups.name[i]});
		jw_end(&w);
		jw_end(&w);
	}
	jw_end(&w);
	jw_end(&w);
	if (!jw_done(&w))
		e = err_set(et, ERR_INTERNAL, "the schema could not be made");
	cmd_outf(cmd, "%s\n", buf_c(&b));
	buf_free(&b);
	croft_close(c);
	return e;
}

static enum err run_api(struct cmd *cmd, struct errtext *et)
{
	struct croft_options o = {
		.modules = app_modules, .n_modules = app_n_modules, .settings_only = true};
	struct croft *c;
	enum err e = croft_open(&o, &c, et);
	if (e)
		return e;
	struct buf b = {0};
	struct str what = cmd_arg(cmd, 0);
	if (str_eq_c(what, "openapi"))
		croft_openapi(c, &b);
	else if (str_eq_c(what, "typescript"))
		croft_typescript(c, &b);
	else
		e = err_set(et, ERR_INVALID, "say which: openapi or typescript");
	if (!e && b.err)
		e = err_set(et, b.err, "the document could not be made");
	if (!e) {
		cmd_out(cmd, buf_str(&b));
		if (b.n && b.p[b.n - 1] != '\n')
			cmd_out(cmd, S("\n"));
	}
	buf_free(&b);
	croft_close(c);
	return e;
}

static const struct command commands[] = {
	{"up", up_run, "", NULL, 0, "Serve the API and the page",
		"Listens on the setting `listen` (127.0.0.1:7117) until interrupted. To listen "
		"beyond\n"
		"loopback set an API key first:  CROFT_API_KEY=... croft up --listen 0.0.0.0:7117"},
	{"status", run_status, "", NULL, 0, "Show what this instance holds", NULL},
	{"backup", run_backup, "FILE", NULL, 0, "Store everything in one file, while all goes on",
		"Metadata and blobs, with a manifest of SHA-256 sums; models and configuration are "
		"not in it.\n"
		"FILE appears when it is complete and verified. Example:\n\n"
		"  croft backup /mnt/backup/croft-2026-11-27.tar"},
	{"restore", run_restore, "FILE", NULL, 0, "Fill an empty data directory from a backup",
		"No server may run on it. The file is verified first; the database is filled in "
		"one\n"
		"transaction. Example:\n\n"
		"  CROFT_HOME=/var/lib/croft croft restore /mnt/backup/croft-2026-11-27.tar"},
	{"migrate", run_migrate, "", migrate_options, ARRAY_LEN(migrate_options),
		"Copy the database to another one",
		"Every table is compared afterwards. Servers on the source cannot write meanwhile: "
		"stop them,\n"
		"and start them on the target. Blobs stay where they are. Example:\n\n"
		"  croft migrate --from sqlite:/var/lib/croft/croft.db "
		"--to postgres://croft@db/croft"},
	{"config", run_config, "", NULL, 0, "Show each setting, its value and where it comes from",
		"Settings come from croft.yaml, then the environment (rag.top_k is "
		"CROFT_RAG_TOP_K), then\n"
		"options (--rag-top-k)."},
	{"config schema", run_config_schema, "", NULL, 0, "Print the JSON Schema of croft.yaml",
		"For an editor that completes and checks YAML:\n"
		"  croft config schema > croft.schema.json"},
	{"api", run_api, "openapi|typescript", NULL, 0, "Print the API's description", NULL},
	{"version", run_version, "", NULL, 0, "Print the version", NULL},
};

const struct module app_module = {.name = "app",
	TABLE(routes),
	TABLE(shapes),
	TABLE(commands),
	.init = app_init,
	.stop = app_stop,
	.metrics = app_metrics};
