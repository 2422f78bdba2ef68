/* Who may do what, over a socket: every row of every module's routes, with every built-in role, a
 * role of one's own, and every kind of credentials that do not count. A request announces a body
 * that it never sends: an answer shows that the decision was made before it. */
#include "tap.h"
#include "access/access_int.h"
#include "app/app.h"
#include "base/clock.h"
#include "net/server.h"
#include "run/run.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct errtext et;
static struct croft *c;
static struct server *server;

/* ---- an instance with a server ---- */

static void start_with(const struct http_pair *flags, size_t n)
{
	struct croft_options o = {.modules = app_modules,
		.n_modules = app_n_modules,
		.home = tap_tmpdir(),
		.flags = flags,
		.n_flags = n};
	CHECK_OK(croft_open(&o, &c, &et), &et);
	CHECK_OK(access_module.start(c, &et), &et);
	struct server_options so = {.listen = "127.0.0.1:0",
		.workers = 8,
		.queue_max = 64,
		.connections_max = 256,
		.header_max = 32768,
		.body_max = 1 << 20,
		.body_memory_max = 65536,
		.spool_dir = tap_tmpdir(),
		.read_timeout_ms = 10000,
		.write_timeout_ms = 10000,
		.handler = croft_handle,
		.check = croft_check,
		.app = c};
	CHECK_OK(server_start(&so, &server, &et), &et);
}

static void start(void)
{
	start_with(NULL, 0);
}

static struct buf last_body;

static void end(void)
{
	buf_free(&last_body);
	server_stop(server, 1000);
	croft_close(c);
}

/* ---- raw requests ---- */

struct answer {
	int status;
	char head[4096];
	struct buf body;
};

static int connect_to_server(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(strrchr(server_address(server), ':') + 1)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval limit = {.tv_sec = 20};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
	return fd;
}

/* The first status line: 100 means that the body is wanted. */
static int admitted(const char *method, const char *path, const char *headers)
{
	struct buf b = {0};
	char got[64] = "";
	size_t n = 0;
	int fd = connect_to_server();
	buf_addf(&b,
		"%s %s HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: 10\r\n"
		"Expect: 100-continue\r\n\r\n",
		method, path, headers);
	CHECK_OK(os_write_all(fd, b.p, b.n, &et), &et);
	while (n < 12) {
		ssize_t k = read(fd, got + n, sizeof got - 1 - n);
		if (k <= 0)
			break;
		n += (size_t)k;
	}
	close(fd);
	buf_free(&b);
	return strncmp(got, "HTTP/1.1 ", 9) == 0 ? atoi(got + 9) : 0;
}

static bool shorten_reads(int fd)
{
	struct timeval limit = {.tv_usec = 300000};
	return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0;
}

static struct answer ask(
	const char *method, const char *path, const char *headers, const char *body)
{
	struct answer a = {0};
	struct buf b = {0}, all = {0};
	char part[8192];
	int fd = connect_to_server();
	ssize_t k;
	buf_free(&last_body);
	buf_addf(&b,
		"%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%sContent-Length: "
		"%zu\r\n\r\n%s",
		method, path, headers, strlen(body), body);
	CHECK_OK(os_write_all(fd, b.p, b.n, &et), &et);
	uint64_t began = clock_mono_ns();
	while ((k = read(fd, part, sizeof part)) > 0) {
		buf_add(&all, part, (size_t)k);
		/* what is told as it happens never ends: its beginning is enough */
		if (str_find(buf_str(&all), S("text/event-stream")) != STR_NONE &&
			shorten_reads(fd) && clock_mono_ns() - began > 300000000)
			break;
	}
	close(fd);
	size_t head = str_find(buf_str(&all), S("\r\n\r\n"));
	CHECK(head != STR_NONE);
	a.status = atoi(all.p + 9);
	snprintf(a.head, sizeof a.head, "%.*s", (int)head, all.p);
	buf_adds(&last_body, str_sub(buf_str(&all), head + 4, all.n));
	a.body = last_body; /* until the next one */
	buf_free(&b);
	buf_free(&all);
	return a;
}

static struct answer ask_ok(
	const char *method, const char *path, const char *headers, const char *body)
{
	struct answer a = ask(method, path, headers, body);
	if (a.status / 100 != 2)
		FAIL("%s %s %s: %d %s", method, path, body, a.status, buf_c(&a.body));
	return a;
}

static struct str body_text(const struct answer *a, const char *key)
{
	static char texts[8][512];
	static unsigned next;
	yyjson_doc *doc;
	CHECK_OK(json_parse(buf_str(&a->body), &doc, &et), &et);
	char *out = texts[next++ % 8];
	snprintf(out, sizeof texts[0], "%.*s", STR_FMT(json_str(yyjson_doc_get_root(doc), key)));
	yyjson_doc_free(doc);
	return str_c(out);
}

/* ---- credentials ---- */

struct login {
	const char *what, *role, *project;
	char headers[256];
	uint64_t perms;
	bool valid;
};

static char root[128];

static void make_root(void)
{
	snprintf(root, sizeof root, "Authorization: Bearer %s\r\n", access_local_key(c));
}

static void add_user(const char *name, const char *project, const char *role)
{
	char body[300], path[100], headers[300];
	snprintf(body, sizeof body, "{\"name\":\"%s\",\"kind\":\"service\"}", name);
	ask_ok("POST", "/api/v1/users", root, body);
	snprintf(body, sizeof body, "{\"role\":\"%s\"}", role);
	if (strcmp(project, "*") == 0) {
		snprintf(path, sizeof path, "/api/v1/users/%s", name);
		ask_ok("PATCH", path, root, body);
		return;
	}
	snprintf(path, sizeof path, "/api/v1/members/%s", name);
	snprintf(headers, sizeof headers, "%sx-croft-project: %s\r\n", root, project);
	ask_ok("PUT", path, headers, body);
}

static struct str add_key(const char *user, const char *more)
{
	char body[300];
	snprintf(body, sizeof body, "{\"user\":\"%s\"%s}", user, more);
	struct answer a = ask_ok("POST", "/api/v1/keys", root, body);
	return body_text(&a, "key");
}

static void bearer(struct login *l, struct str key, const char *project)
{
	snprintf(l->headers, sizeof l->headers, "Authorization: Bearer %.*s\r\n%s%s%s",
		STR_FMT(key), *project ? "x-croft-project: " : "", project, *project ? "\r\n" : "");
}

static void sql(const char *text)
{
	struct tx *tx;
	CHECK_OK(db_begin(croft_db(c), TX_WRITE, &tx, &et), &et);
	CHECK_OK(db_exec(tx, &et, text), &et);
	CHECK_OK(db_commit(tx, &et), &et);
}

static uint64_t mask_of(const char *role)
{
	struct directory *d = access_directory(c);
	uint64_t mask = directory_role(d, str_c(role))->mask;
	directory_unref(d);
	return mask;
}

/* ---- the walk ---- */

/* Parameters that name no thing but a part of one. */
static const char *sample_of(const char *name, const char *value)
{
	static const struct {
		const char *name, *value;
	} parts[] = {{"{kind}", "model"}, {"{version}", "1"}, {"{alias}", "dev"}, {"{seq}", "1"},
		{"{key}", "team"}};
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (strncmp(name, parts[i].name, strlen(parts[i].name)) == 0)
			return parts[i].value;
	return value;
}

static const char *sample_path(const char *pattern, const char *value, char out[300])
{
	size_t n = 0;
	for (const char *p = pattern; *p; p++) {
		if (*p != '{') {
			out[n++] = *p;
			continue;
		}
		n += (size_t)snprintf(out + n, 300 - n, "%s", sample_of(p, value));
		p = strchr(p, '}');
	}
	out[n] = 0;
	return out;
}

static int expected(const struct route *r, const struct login *l)
{
	int yes = r->at_once ? 200 : 100;
	if (r->perm == PERM_PUBLIC)
		return yes;
	if (!l->valid)
		return 401;
	return r->perm == PERM_SIGNED_IN || (l->perms & PERM_BIT(r->perm)) ? yes : 403;
}

static unsigned walk(const struct login *l)
{
	unsigned n = 0;
	for (size_t m = 0; m < app_n_modules; m++)
		for (size_t i = 0; i < app_modules[m]->n_routes; i++, n++) {
			const struct route *r = &app_modules[m]->routes[i];
			char path[300];
			sample_path(r->path, "x", path);
			int got = admitted(http_method_name(r->method), path, l->headers),
			    want = expected(r, l);
			if (got != want)
				FAIL("%s %s as %s: %d, not %d", http_method_name(r->method), path,
					l->what, got, want);
		}
	return n;
}

static void test_app_access__every_route_with_every_role(void)
{
	static struct login logins[] = {
		{.what = "viewer", .role = "viewer", .project = "alpha"},
		{.what = "editor", .role = "editor", .project = "alpha"},
		{.what = "maintainer", .role = "maintainer", .project = "alpha"},
		{.what = "project admin", .role = "admin", .project = "alpha"},
		{.what = "custom", .role = "mover", .project = "alpha"},
		{.what = "house-viewer", .role = "viewer", .project = "*"},
		{.what = "house-admin", .role = "admin", .project = "*"},
	};
	start();
	make_root();
	ask_ok("POST", "/api/v1/projects", root, "{\"name\":\"alpha\"}");
	ask_ok("POST", "/api/v1/projects", root, "{\"name\":\"beta\"}");
	ask_ok("PUT", "/api/v1/roles/mover", root,
		"{\"permissions\":[\"artifact.read\",\"artifact.alias\",\"system.manage\"]}");
	for (size_t i = 0; i < ARRAY_LEN(logins); i++) {
		struct login *l = &logins[i];
		char name[20];
		snprintf(name, sizeof name, "user%zu", i);
		add_user(name, l->project, l->role);
		l->valid = true;
		/* a role in one project gives nothing of the whole instance */
		l->perms = mask_of(l->role) & (*l->project == '*' ? PERMS_ALL : ~perms_house());
		bearer(l, add_key(name, ""), *l->project == '*' ? "" : l->project);
		CHECK(walk(l) > 30);
	}
	/* a key of an admin's, bound to a project and two permissions */
	struct login few = {.what = "restricted key",
		.valid = true,
		.perms = PERM_BIT(PERM_RUN_READ) | PERM_BIT(PERM_RUN_WRITE)};
	bearer(&few,
		add_key("user6", ",\"project\":\"alpha\",\"permissions\":[\"run.read\","
				 "\"run.write\",\"system.manage\"]"),
		"");
	walk(&few);
	struct login all = {.what = "local key", .valid = true, .perms = PERMS_ALL};
	snprintf(all.headers, sizeof all.headers, "%s", root);
	walk(&all);
	end();
}

static void test_app_access__what_does_not_count(void)
{
	struct login l = {0};
	char text[300];
	start();
	make_root();
	ask_ok("POST", "/api/v1/projects", root, "{\"name\":\"alpha\"}");
	add_user("ada", "*", "admin");
	l.what = "nobody";
	walk(&l);
	l.what = "a wrong key";
	char other[KEY_TEXT + 1];
	key_make(other);
	bearer(&l, str_c(other), "");
	walk(&l);
	l.what = "a revoked key";
	struct str key = add_key("ada", "");
	bearer(&l, key, "");
	CHECK_INT(admitted("GET", "/api/v1/users", l.headers), 100);
	snprintf(text, sizeof text, "/api/v1/keys/%.*s", KEY_PREFIX, key.p);
	ask_ok("DELETE", text, root, "");
	walk(&l);
	l.what = "an expired key";
	bearer(&l, add_key("ada", ",\"expires_in\":\"1h\""), "");
	CHECK_INT(admitted("GET", "/api/v1/users", l.headers), 100);
	sql("UPDATE access_key SET expires_ms = 1 WHERE expires_ms > 0");
	sql("UPDATE access_version SET value = value + 1");
	CHECK_OK(access_reload(c, &et), &et);
	walk(&l);
	l.what = "a disabled user's key";
	bearer(&l, add_key("ada", ""), "");
	ask_ok("PATCH", "/api/v1/users/ada", root, "{\"disabled\":true}");
	walk(&l);
	ask_ok("PATCH", "/api/v1/users/ada", root, "{\"disabled\":false}");
	CHECK_INT(admitted("GET", "/api/v1/users", l.headers), 100);
	l.what = "a removed user's key";
	ask_ok("DELETE", "/api/v1/users/ada", root, "");
	/* nobody is left: the loopback address is open again, as at the beginning */
	CHECK_INT(admitted("GET", "/api/v1/users", ""), 100);
	add_user("eve", "*", "viewer");
	walk(&l);
	end();
}

/* Another project's key: no route admits it there, be the project real or not, and the answers do
 * not tell the difference. */
static void test_app_access__another_projects_key(void)
{
	struct login l = {0};
	start();
	make_root();
	ask_ok("POST", "/api/v1/projects", root, "{\"name\":\"alpha\"}");
	ask_ok("POST", "/api/v1/projects", root, "{\"name\":\"beta\"}");
	add_user("bob", "beta", "admin");
	struct str key = add_key("bob", "");
	for (size_t m = 0; m < app_n_modules; m++)
		for (size_t i = 0; i < app_modules[m]->n_routes; i++) {
			const struct route *r = &app_modules[m]->routes[i];
			char path[300], in[340];
			if (r->perm == PERM_PUBLIC)
				continue;
			sample_path(r->path, "x", path);
			bearer(&l, key, "alpha");
			CHECK_INT(admitted(http_method_name(r->method), path, l.headers), 404);
			bearer(&l, key, "");
			snprintf(in, sizeof in, "/p/alpha%s", path);
			CHECK_INT(admitted(http_method_name(r->method), in, l.headers), 404);
		}
	struct buf there = {0};
	bearer(&l, key, "");
	struct answer a = ask("GET", "/p/alpha/api/v1/me", l.headers, "");
	buf_adds(&there, buf_str(&a.body));
	struct answer not_there = ask("GET", "/p/omega/api/v1/me", l.headers, "");
	size_t at = str_find(buf_str(&there), S("alpha"));
	CHECK(at != STR_NONE);
	memcpy(there.p + at, "omega", 5);
	CHECK(str_eq(buf_str(&there), buf_str(&not_there.body)));
	CHECK_INT(ask("GET", "/p/beta/api/v1/me", l.headers, "").status, 200);
	/* archived: gone for everybody, and back */
	ask_ok("PATCH", "/api/v1/projects/beta", root, "{\"archived\":true}");
	CHECK_INT(ask("GET", "/p/beta/api/v1/me", l.headers, "").status, 404);
	ask_ok("PATCH", "/api/v1/projects/beta", root, "{\"archived\":false}");
	CHECK_INT(ask("GET", "/p/beta/api/v1/me", l.headers, "").status, 200);
	buf_free(&there);
	end();
}

/* ---- two tenants ---- */

static void replace_all(struct buf *out, struct str s, struct str what)
{
	size_t at;
	while ((at = str_find(s, what)) != STR_NONE) {
		buf_adds(out, str_sub(s, 0, at));
		buf_putc(out, '#');
		s = str_sub(s, at + what.n, s.n);
	}
	buf_adds(out, s);
}

/* What a path says of another project's id is, word for word, what it says of one that nobody has.
 */
static void same_as_missing(
	const struct route *r, const char *headers, const char *id, const char *missing)
{
	const char *ids[2] = {id, missing};
	const char *body = r->method == HTTP_GET || r->method == HTTP_DELETE ? "" : "{}";
	struct buf said[2] = {0};
	char path[400];
	for (int i = 0; i < 2; i++) {
		sample_path(r->path, ids[i], path);
		struct answer a = ask(http_method_name(r->method), path, headers, body);
		buf_addf(&said[i], "%d ", a.status);
		/* both in both: an id may be a number that stands in a text anyway */
		struct buf half = {0};
		replace_all(&half, buf_str(&a.body), str_c(missing));
		replace_all(&said[i], buf_str(&half), str_c(id));
		buf_free(&half);
	}
	if (!str_eq(buf_str(&said[0]), buf_str(&said[1])))
		FAIL("%s %s tells that it is there: %s, and where there is nothing: %s",
			http_method_name(r->method), r->path, buf_c(&said[0]), buf_c(&said[1]));
	buf_free(&said[0]);
	buf_free(&said[1]);
}

static bool has_models(void)
{
	char from[500], to[500], cmd[1200];
	const char *models = getenv("CROFT_TEST_MODELS");
	snprintf(from, sizeof from, "%s/minilm", models ? models : "build/models");
	snprintf(to, sizeof to, "%s/models/all-minilm-l6-v2", tap_tmpdir());
	snprintf(cmd, sizeof cmd, "mkdir -p %s/models && cp -rL %s %s 2>/dev/null", tap_tmpdir(),
		from, to);
	return os_is_dir(from) && system(cmd) == 0;
}

/* One of everything that has an id, in project alpha, with a word in it that beta must not see. */
static size_t make_things(const struct login *l, bool documents, char ids[16][80])
{
	static const char *const things[][3] = {
		{"POST", "/api/2.0/mlflow/experiments/create", "{\"name\":\"xyzzy\"}"},
		{"POST", "/api/2.0/mlflow/registered-models/create", "{\"name\":\"xyzzy\"}"},
		{"POST", "/api/2.0/mlflow/model-versions/create",
			"{\"name\":\"xyzzy\",\"source\":\"s3://xyzzy/1\"}"},
		{"POST", "/api/v1/artifacts/model", "{\"name\":\"xyzzy-2\"}"},
		{"POST", "/api/v1/artifacts/model/xyzzy-2/versions",
			"{\"source\":\"s3://xyzzy/2\"}"},
		{"PUT", "/api/v1/artifacts/model/xyzzy-2/aliases/dev", "{\"version\":1}"},
		{"PUT", "/api/v1/secrets/xyzzy", "{\"value\":\"xyzzy\"}"},
		{"POST", "/api/v1/keys", "{\"name\":\"xyzzy\"}"},
	};
	size_t n = 0;
	struct answer a;
	if (documents) {
		a = ask_ok("PUT", "/api/v1/documents/by-path?path=xyzzy.txt", l->headers,
			"The password of the vault is xyzzy, says the keeper of the vault.");
		snprintf(ids[n++], 80, "%s", body_text(&a, "id").p);
		a = ask_ok("POST", "/api/v1/search", l->headers, "{\"query\":\"vault password\"}");
		CHECK(strstr(buf_c(&a.body), "xyzzy"));
		snprintf(ids[n++], 80, "%s", body_text(&a, "run").p);
	}
	for (size_t i = 0; i < ARRAY_LEN(things); i++) {
		/* not every build has every face */
		a = ask(things[i][0], things[i][1], l->headers, things[i][2]);
		static const char *const keys[] = {"id", "experiment_id", "run_id"};
		for (size_t k = 0; a.status / 100 == 2 && a.body.n && k < ARRAY_LEN(keys); k++)
			if (body_text(&a, keys[k]).n)
				snprintf(ids[n++], 80, "%s", body_text(&a, keys[k]).p);
	}
	struct run *run = run_begin(c, S("alpha"), "ask", S("xyzzy"));
	struct id id = run_id(run);
	char hex[ID_HEX + 1];
	run_end(run, OK, NULL);
	CHECK_OK(run_flush(c, &et), &et);
	id_hex(id, hex);
	snprintf(ids[n++], 80, "%s", hex);
	a = ask("POST", "/api/2.0/mlflow/runs/create", l->headers, "{\"experiment_id\":\"0\"}");
	const char *run_id = strstr(buf_c(&a.body), "\"run_id\":\"");
	if (a.status == 200 && run_id)
		snprintf(ids[n++], 80, "%.32s", run_id + 10);
	snprintf(ids[n++], 80, "xyzzy-2");
	snprintf(ids[n++], 80, "xyzzy");
	return n;
}

/* Clients that put ids into the query or the body: every name of an id at once. Only the status
 * can be compared, and what the answer holds of the other project's. */
static void same_as_missing_elsewhere(
	const struct route *r, const char *headers, const char *id, const char *missing)
{
	static const char *const names[] = {"id", "run_id", "run_uuid", "experiment_id", "name",
		"model_id", "artifact", "from", "to", "document", "trace_id", "request_id",
		"source_run_id", "run", "subject"};
	static const char *const lists[] = {
		"run_ids", "experiment_ids", "trace_ids", "inputs", "ids", "model_ids"};
	const char *ids[2] = {id, missing};
	int status[2];
	char path[300];
	for (int i = 0; i < 2; i++) {
		struct buf query = {0}, body = {0};
		struct jw w = {.out = &body};
		buf_addf(&query, "%s?x=1", sample_path(r->path, ids[i], path));
		jw_obj(&w);
		for (size_t k = 0; k < ARRAY_LEN(names); k++) {
			buf_addf(&query, "&%s=%s", names[k], ids[i]);
			jw_kc(&w, names[k], ids[i]);
		}
		for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
			jw_key(&w, lists[k]);
			jw_arr(&w);
			jw_c(&w, ids[i]);
			jw_end(&w);
		}
		jw_kc(&w, "version", "1");
		jw_kc(&w, "key", "xplugh");
		jw_kc(&w, "value", "1");
		jw_end(&w);
		struct answer a = ask(http_method_name(r->method), buf_c(&query), headers,
			r->method == HTTP_GET ? "" : buf_c(&body));
		status[i] = a.status;
		if (strstr(buf_c(&a.body), "s3://xyzzy"))
			FAIL("%s %s tells what is another project's: %s",
				http_method_name(r->method), r->path, buf_c(&a.body));
		buf_free(&query);
		buf_free(&body);
	}
	if (r->method == HTTP_GET && status[0] != status[1])
		FAIL("%s %s?id=%s: %d, and %d where there is nothing", http_method_name(r->method),
			r->path, id, status[0], status[1]);
}

/* What a project has, as its members see it. */
static void picture_of(const struct login *l, struct buf *out)
{
	static const char *const lists[][3] = {{"GET", "/api/v1/runs", ""},
		{"GET", "/api/v1/documents", ""}, {"GET", "/api/v1/artifacts", ""},
		{"GET", "/api/v1/artifacts/model/xyzzy-2", ""},
		{"GET", "/api/v1/artifacts/model/xyzzy-2/history", ""},
		{"GET", "/api/v1/secrets", ""}, {"GET", "/api/v1/members", ""},
		{"GET", "/api/2.0/mlflow/registered-models/get?name=xyzzy", ""},
		{"GET", "/api/2.0/mlflow/model-versions/get?name=xyzzy&version=1", ""},
		{"POST", "/api/2.0/mlflow/experiments/search", "{\"max_results\":100}"},
		{"POST", "/api/2.0/mlflow/runs/search", "{\"experiment_ids\":[\"0\"]}"}};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		struct answer a = ask(lists[i][0], lists[i][1], l->headers, lists[i][2]);
		buf_addf(out, "%s %d ", lists[i][1], a.status);
		buf_adds(out, buf_str(&a.body));
		buf_putc(out, '\n');
	}
}

/* An id of the same form that nobody has: another one for each. */
static const char *nobodys(const char *id)
{
	static char out[100];
	if (strlen(id) == ID_HEX)
		snprintf(out, sizeof out, "ffff%s", id + 4);
	else
		snprintf(out, sizeof out, "%s%s", id[0] == 'x' ? "plugh" : "9876",
			id + (id[0] == 'x' ? 5 : 0));
	return out;
}

static void test_app_access__two_tenants(void)
{
	bool documents = has_models();
	struct login alpha = {0}, beta = {0};
	char ids[16][80];
	start();
	make_root();
	ask_ok("POST", "/api/v1/projects", root, "{\"name\":\"alpha\"}");
	ask_ok("POST", "/api/v1/projects", root, "{\"name\":\"beta\"}");
	add_user("ann", "alpha", "admin");
	add_user("bob", "beta", "admin");
	bearer(&alpha, add_key("ann", ""), "");
	bearer(&beta, add_key("bob", ""), "");
	size_t n = make_things(&alpha, documents, ids);
	struct buf before = {0}, after = {0};
	picture_of(&alpha, &before);
	struct answer a;
	for (size_t m = 0; m < app_n_modules; m++)
		for (size_t i = 0; i < app_modules[m]->n_routes; i++) {
			const struct route *r = &app_modules[m]->routes[i];
			if (r->perm == PERM_PUBLIC)
				continue;
			for (size_t k = 0; k < n && strchr(r->path, '{'); k++)
				same_as_missing(r, beta.headers, ids[k], nobodys(ids[k]));
			/* lists have nothing of it */
			if (r->method != HTTP_GET || strchr(r->path, '{'))
				continue;
			a = ask("GET", r->path, beta.headers, "");
			if (strstr(buf_c(&a.body), "xyzzy"))
				FAIL("%s tells what is another project's", r->path);
		}
	/* those that change something last: they make things of the same names in beta */
	for (int changing = 0; changing < 2; changing++)
		for (size_t m = 0; m < app_n_modules; m++)
			for (size_t i = 0; i < app_modules[m]->n_routes; i++) {
				const struct route *r = &app_modules[m]->routes[i];
				if (r->perm == PERM_PUBLIC || (r->method != HTTP_GET) != changing)
					continue;
				for (size_t k = 0; k < n; k++)
					same_as_missing_elsewhere(
						r, beta.headers, ids[k], nobodys(ids[k]));
			}
	if (documents) {
		a = ask_ok("POST", "/api/v1/search", beta.headers,
			"{\"query\":\"password of the vault\"}");
		CHECK(!strstr(buf_c(&a.body), "xyzzy") && strstr(buf_c(&a.body), "\"hits\":[]"));
		/* the same text is read anew: nothing tells that it was known */
		a = ask_ok("PUT", "/api/v1/documents/by-path?path=b.txt", beta.headers,
			"The password of the vault is xyzzy, says the keeper of the vault.");
		CHECK(strstr(buf_c(&a.body), "\"embedded\":1,\"reused\":0"));
	}
	/* alpha has what it had, and nothing more */
	picture_of(&alpha, &after);
	if (!str_eq(buf_str(&before), buf_str(&after)))
		FAIL("another project's requests changed something: %s\nnow: %s", buf_c(&before),
			buf_c(&after));
	CHECK(strstr(buf_c(&after), "s3://xyzzy/2"));
	buf_free(&before);
	buf_free(&after);
	if (documents) {
		a = ask_ok("POST", "/api/v1/search", alpha.headers,
			"{\"query\":\"password of the vault\"}");
		CHECK(strstr(buf_c(&a.body), "xyzzy"));
	}
	end();
}

/* ---- the ways to send a key ---- */

static void test_app_access__ways_to_send_a_key(void)
{
	char h[400];
	struct buf basic = {0};
	start();
	make_root();
	add_user("ada", "*", "viewer");
	struct str key = add_key("ada", "");
	snprintf(h, sizeof h, "x-api-key: %s\r\n", key.p);
	CHECK_INT(ask("GET", "/api/v1/me", h, "").status, 200);
	static const char *const forms[] = {"%s:%s", ":%s", "anybody:%s", "%s:", "%s"};
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		char pair[200];
		snprintf(pair, sizeof pair, i == 0 ? "ada:%s" : forms[i], key.p);
		buf_clear(&basic);
		base64_encode(&basic, str_c(pair));
		snprintf(h, sizeof h, "Authorization: Basic %s\r\n", buf_c(&basic));
		CHECK_INT(ask("GET", "/api/v1/me", h, "").status, 200);
	}
	snprintf(h, sizeof h, "Authorization: bearer   %s  \r\n", key.p);
	CHECK_INT(ask("GET", "/api/v1/me", h, "").status, 200);
	/* a wrong one is not saved by a right one beside it */
	snprintf(h, sizeof h, "Authorization: Bearer no\r\nx-api-key: %s\r\n", key.p);
	CHECK_INT(ask("GET", "/api/v1/me", h, "").status, 401);
	static const char *const bad[] = {"Authorization: Bearer\r\n", "Authorization:\r\n",
		"Authorization: Basic !!!\r\n", "Authorization: Basic\r\n",
		"Authorization: Digest x\r\n", "x-api-key:\r\n", "x-api-key: croft_\r\n",
		"Cookie: croft_session=\r\n", "Cookie: croft_session=zz; a=b\r\n"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (ask("GET", "/api/v1/me", bad[i], "").status != 401)
			FAIL("%s", bad[i]);
	/* a key with a character wrong is told so; one that is whole but unknown is not */
	char wrong[KEY_TEXT + 1];
	snprintf(wrong, sizeof wrong, "%s", key.p);
	wrong[20] = wrong[20] == 'a' ? 'b' : 'a';
	snprintf(h, sizeof h, "x-api-key: %s\r\n", wrong);
	struct answer a = ask("GET", "/api/v1/me", h, "");
	CHECK(a.status == 401 && strstr(buf_c(&a.body), "no whole key"));
	buf_free(&basic);
	end();
}

static void test_app_access__attack_lists(void)
{
	struct buf list = {0};
	struct str rest, line;
	unsigned n = 0;
	yyjson_doc *doc;
	char cmd[700];
	snprintf(cmd, sizeof cmd, "tar xJf %s -C %s lists", tap_shared("badinput/badinput.tar.xz"),
		tap_tmpdir());
	CHECK(system(cmd) == 0);
	start();
	make_root();
	add_user("ada", "*", "admin");
	snprintf(cmd, sizeof cmd, "%s/lists/auth_headers.jsonl", tap_tmpdir());
	CHECK_OK(os_read_file(cmd, 0, &list, &et), &et);
	for (rest = buf_str(&list); str_next_line(&rest, &line); n++) {
		struct buf h = {0};
		if (!line.n || json_parse(line, &doc, NULL))
			continue;
		struct str value = json_val_str(yyjson_doc_get_root(doc));
		buf_addf(&h, "Authorization: %.*s\r\n", STR_FMT(value));
		int status = admitted("GET", "/api/v1/users", buf_c(&h));
		if (status == 100 || status / 100 == 2 || status >= 500)
			FAIL("%.*s: %d", STR_FMT(str_sub(line, 0, 80)), status);
		yyjson_doc_free(doc);
		buf_free(&h);
	}
	CHECK(n >= 10);
	/* as filters and names they are text like any other */
	snprintf(cmd, sizeof cmd, "%s/lists/sql_filters.jsonl", tap_tmpdir());
	buf_clear(&list);
	CHECK_OK(os_read_file(cmd, 0, &list, &et), &et);
	static const char *const targets[] = {"/api/v1/audit?actor=", "/api/v1/audit?action=",
		"/api/v1/audit?subject=", "/api/v1/keys?user=", "/api/v1/members/"};
	for (rest = buf_str(&list); str_next_line(&rest, &line);) {
		if (!line.n || json_parse(line, &doc, NULL))
			continue;
		struct str value = str_sub(json_val_str(yyjson_doc_get_root(doc)), 0, 2000);
		for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
			struct buf path = {0};
			buf_addc(&path, targets[i]);
			url_encode(&path, value);
			struct answer a = ask(i == 4 ? "DELETE" : "GET", buf_c(&path), root, "");
			if (a.status >= 500 || (i == 4 && a.status != 404))
				FAIL("%s: %d", buf_c(&path), a.status);
			buf_free(&path);
		}
		yyjson_doc_free(doc);
	}
	struct answer a = ask_ok("GET", "/api/v1/audit/verify", root, "");
	CHECK(strstr(buf_c(&a.body), "\"ok\":true"));
	buf_free(&list);
	end();
}

/* ---- nobody gives more than they have ---- */

static void test_app_access__no_way_up(void)
{
	struct login admin = {0}, lead = {0}, bound = {0}, narrow = {0};
	start();
	make_root();
	ask_ok("POST", "/api/v1/projects", root, "{\"name\":\"alpha\"}");
	ask_ok("PUT", "/api/v1/roles/keeper", root,
		"{\"permissions\":[\"access.manage\",\"run.read\"]}");
	ask_ok("PUT", "/api/v1/roles/lead", root,
		"{\"permissions\":[\"member.manage\",\"run.read\"]}");
	add_user("boss", "*", "admin");
	add_user("keep", "*", "keeper");
	add_user("lena", "alpha", "lead");
	add_user("carl", "alpha", "viewer");
	add_user("adam", "alpha", "admin");
	bearer(&admin, add_key("keep", ""), "");
	static const struct {
		const char *method, *path, *body;
	} up[] = {
		{"PATCH", "/api/v1/users/keep", "{\"role\":\"admin\"}"},
		{"POST", "/api/v1/users", "{\"name\":\"mine\",\"role\":\"admin\"}"},
		{"PATCH", "/api/v1/users/boss", "{\"password\":\"long enough 1\"}"},
		{"PATCH", "/api/v1/users/boss", "{\"disabled\":true}"},
		{"DELETE", "/api/v1/users/boss", ""},
		{"POST", "/api/v1/keys", "{\"user\":\"boss\"}"},
		{"PUT", "/api/v1/roles/keeper", "{\"permissions\":[\"system.manage\"]}"},
		{"PUT", "/api/v1/roles/new", "{\"permissions\":[\"run.delete\"]}"},
	};
	for (size_t i = 0; i < ARRAY_LEN(up); i++) {
		struct answer a = ask(up[i].method, up[i].path, admin.headers, up[i].body);
		if (a.status != 403)
			FAIL("%s %s: %d %s", up[i].method, up[i].path, a.status, buf_c(&a.body));
	}
	/* within a project */
	bearer(&lead, add_key("lena", ""), "alpha");
	CHECK_INT(ask("PUT", "/api/v1/members/lena", lead.headers, "{\"role\":\"admin\"}").status,
		403);
	CHECK_INT(ask("PUT", "/api/v1/members/keep", lead.headers, "{\"role\":\"editor\"}").status,
		403);
	CHECK_INT(ask("DELETE", "/api/v1/members/adam", lead.headers, "").status, 403);
	CHECK_INT(ask("PUT", "/api/v1/members/keep", lead.headers, "{\"role\":\"lead\"}").status,
		200);
	/* who is bound by rules cannot give the role without them */
	char path[200];
	snprintf(path, sizeof path, "%sx-croft-project: alpha\r\n", root);
	ask_ok("PUT", "/api/v1/members/lena", path,
		"{\"role\":\"lead\",\"rules\":\"deny artifact.alias where alias = 'prod'\"}");
	CHECK_INT(ask("PUT", "/api/v1/members/keep", lead.headers, "{\"role\":\"lead\"}").status,
		403);
	/* a key makes no key that is wider than itself */
	bearer(&bound, add_key("boss", ",\"project\":\"alpha\",\"expires_in\":\"1h\""), "");
	CHECK_INT(ask("POST", "/api/v1/keys", bound.headers, "{\"project\":\"default\"}").status,
		403);
	struct answer a = ask_ok("POST", "/api/v1/keys", bound.headers, "{}");
	CHECK_STR(body_text(&a, "project"), "alpha");
	CHECK(body_text(&a, "expires").n > 0);
	bearer(&narrow, add_key("boss", ",\"permissions\":[\"run.read\"]"), "");
	CHECK_INT(ask("POST", "/api/v1/keys", narrow.headers, "{\"permissions\":[\"run.write\"]}")
			  .status,
		403);
	a = ask_ok("POST", "/api/v1/keys", narrow.headers, "{}");
	CHECK(strstr(buf_c(&a.body), "\"permissions\":[\"run.read\"]"));
	struct str made = body_text(&a, "key");
	struct login again = {0};
	bearer(&again, made, "");
	CHECK_INT(admitted("GET", "/api/v1/users", again.headers), 403);
	/* another's key is not there for who may not see it */
	struct login carl = {0};
	bearer(&carl, add_key("carl", ""), "alpha");
	snprintf(path, sizeof path, "/api/v1/keys/%.*s", KEY_PREFIX, made.p);
	CHECK_INT(ask("DELETE", path, carl.headers, "").status, 404);
	CHECK_INT(ask("DELETE", path, root, "").status, 200);
	end();
}

/* ---- rotation ---- */

static void test_app_access__rotation_and_grace(void)
{
	char path[100];
	struct login old = {0}, fresh = {0}, third = {0};
	start();
	make_root();
	add_user("ci", "*", "viewer");
	struct str key = add_key("ci", ",\"name\":\"nightly\",\"expires_in\":\"90d\"");
	bearer(&old, key, "");
	snprintf(path, sizeof path, "/api/v1/keys/%.*s/rotate", KEY_PREFIX, key.p);
	struct answer a = ask_ok("POST", path, root, "{\"grace\":\"1h\"}");
	CHECK_STR(body_text(&a, "name"), "nightly");
	bearer(&fresh, body_text(&a, "key"), "");
	CHECK_INT(ask("GET", "/api/v1/me", old.headers, "").status, 200);
	CHECK_INT(ask("GET", "/api/v1/me", fresh.headers, "").status, 200);
	snprintf(path, sizeof path, "/api/v1/keys/%.*s/rotate", KEY_PREFIX,
		fresh.headers + strlen("Authorization: Bearer "));
	a = ask_ok("POST", path, root, "{\"grace\":\"0\"}");
	bearer(&third, body_text(&a, "key"), "");
	CHECK_INT(ask("GET", "/api/v1/me", fresh.headers, "").status, 401);
	CHECK_INT(ask("GET", "/api/v1/me", third.headers, "").status, 200);
	CHECK_INT(ask("POST", path, root, "{}").status, 409); /* it has ended */
	CHECK_INT(ask("POST", path, root, "{\"grace\":\"2000d\"}").status, 400);
	/* the secret is nowhere but in that answer */
	a = ask_ok("GET", "/api/v1/keys", root, "");
	CHECK(!strstr(buf_c(&a.body), third.headers + strlen("Authorization: Bearer ") + 20));
	char grep[300];
	snprintf(grep, sizeof grep, "! grep -q -r %.30s %s", key.p, tap_tmpdir());
	CHECK(system(grep) == 0);
	end();
}

/* ---- sessions ---- */

static bool cookie_of(const struct answer *a, char out[300])
{
	const char *set = strstr(a->head, "set-cookie: ");
	if (!set)
		return false;
	snprintf(out, 300, "Cookie: %.*s\r\n", (int)strcspn(set + 12, ";"), set + 12);
	return true;
}

static struct answer sign_in(const char *name, const char *password)
{
	char body[400];
	snprintf(body, sizeof body, "{\"name\":\"%s\",\"password\":\"%s\"}", name, password);
	return ask("POST", "/api/v1/session", "Origin: http://localhost\r\n", body);
}

static void test_app_access__a_session(void)
{
	char cookie[300], other[300], with[400];
	start();
	make_root();
	ask_ok("POST", "/api/v1/users", root,
		"{\"name\":\"ada\",\"role\":\"admin\",\"password\":\"correct horse\"}");
	CHECK_INT(ask("POST", "/api/v1/users", root, "{\"name\":\"x\",\"password\":\"short\"}")
			  .status,
		400);
	struct answer a = sign_in("ada", "correct horse");
	CHECK_INT(a.status, 200);
	CHECK(strstr(a.head, "; HttpOnly; SameSite=Strict") && !strstr(a.head, "Secure"));
	CHECK(cookie_of(&a, cookie));
	a = ask("GET", "/api/v1/me", cookie, "");
	CHECK_INT(a.status, 200);
	CHECK_STR(body_text(&a, "method"), "session");
	/* one byte of the cookie changed */
	snprintf(other, sizeof other, "%s", cookie);
	other[30] = other[30] == '0' ? '1' : '0';
	CHECK_INT(ask("GET", "/api/v1/me", other, "").status, 401);
	/* a change must come from the page */
	CHECK_INT(ask("POST", "/api/v1/projects", cookie, "{\"name\":\"p1\"}").status, 403);
	snprintf(with, sizeof with, "%sOrigin: http://evil.example\r\n", cookie);
	CHECK_INT(ask("POST", "/api/v1/projects", with, "{\"name\":\"p1\"}").status, 403);
	snprintf(with, sizeof with, "%sOrigin: http://localhost\r\n", cookie);
	CHECK_INT(ask("POST", "/api/v1/projects", with, "{\"name\":\"p1\"}").status, 200);
	snprintf(with, sizeof with, "%sSec-Fetch-Site: same-origin\r\n", cookie);
	CHECK_INT(ask("POST", "/api/v1/projects", with, "{\"name\":\"p2\"}").status, 200);
	snprintf(with, sizeof with, "%sSec-Fetch-Site: cross-site\r\n", cookie);
	CHECK_INT(ask("POST", "/api/v1/projects", with, "{\"name\":\"p3\"}").status, 403);
	/* a new password ends the others, not this one */
	a = sign_in("ada", "correct horse");
	CHECK(cookie_of(&a, other));
	snprintf(with, sizeof with, "%sOrigin: http://localhost\r\n", cookie);
	CHECK_INT(ask("PUT", "/api/v1/me/password", with,
			  "{\"old\":\"wrong horse\",\"new\":\"battery staple\"}")
			  .status,
		403);
	CHECK_INT(ask("PUT", "/api/v1/me/password", with,
			  "{\"old\":\"correct horse\",\"new\":\"battery staple\"}")
			  .status,
		200);
	CHECK_INT(ask("GET", "/api/v1/me", other, "").status, 401);
	CHECK_INT(ask("GET", "/api/v1/me", cookie, "").status, 200);
	CHECK_INT(sign_in("ada", "correct horse").status, 401);
	/* out */
	a = ask("DELETE", "/api/v1/session", with, "");
	CHECK(a.status == 200 && strstr(a.head, "Max-Age=0"));
	CHECK_INT(ask("GET", "/api/v1/me", cookie, "").status, 401);
	/* the database has neither passwords nor cookies */
	snprintf(with, sizeof with, "! grep -q -a -r -e 'battery staple' -e %.40s %s",
		cookie + strlen("Cookie: croft_session="), tap_tmpdir());
	CHECK(system(with) == 0);
	end();
}

static void test_app_access__sessions_end(void)
{
	static const struct http_pair flags[] = {
		{S("session.idle"), S("1m")}, {S("session.max"), S("2m")}};
	char cookie[300];
	start_with(flags, 2);
	make_root();
	ask_ok("POST", "/api/v1/users", root,
		"{\"name\":\"ada\",\"role\":\"viewer\",\"password\":\"correct horse\"}");
	struct answer a = sign_in("ada", "correct horse");
	CHECK(cookie_of(&a, cookie));
	sql("UPDATE access_session SET seen_ms = seen_ms - 61000");
	CHECK_INT(ask("GET", "/api/v1/me", cookie, "").status, 401);
	sql("UPDATE access_session SET seen_ms = seen_ms + 61000");
	CHECK_INT(ask("GET", "/api/v1/me", cookie, "").status, 200);
	/* what this server has seen itself counts, too */
	sql("UPDATE access_session SET seen_ms = seen_ms - 61000");
	CHECK_OK(access_reload(c, &et), &et);
	CHECK_INT(ask("GET", "/api/v1/me", cookie, "").status, 200);
	sql("UPDATE access_session SET expires_ms = expires_ms - 121000");
	CHECK_OK(access_reload(c, &et), &et);
	CHECK_INT(ask("GET", "/api/v1/me", cookie, "").status, 401);
	/* another server ends it: this one hears of it by the version */
	a = sign_in("ada", "correct horse");
	CHECK(cookie_of(&a, cookie));
	CHECK_INT(ask("GET", "/api/v1/me", cookie, "").status, 200);
	sql("DELETE FROM access_session");
	sql("UPDATE access_version SET value = value + 1");
	uint64_t began = clock_mono_ns();
	while (ask("GET", "/api/v1/me", cookie, "").status != 401)
		CHECK(clock_mono_ns() - began < 5000000000ull);
	tap_note("heard of another server's change after %.0f ms",
		(double)(clock_mono_ns() - began) / 1e6);
	end();
}

static void test_app_access__trying_is_limited(void)
{
	start();
	make_root();
	ask_ok("POST", "/api/v1/users", root,
		"{\"name\":\"ada\",\"role\":\"viewer\",\"password\":\"correct horse\"}");
	for (int i = 0; i < 10; i++)
		CHECK_INT(sign_in("ada", "wrong horse 1").status, 401);
	struct answer a = sign_in("ada", "correct horse");
	CHECK_INT(a.status, 429);
	CHECK(strstr(a.head, "retry-after: 9") || strstr(a.head, "retry-after: 8"));
	/* also for a name that does not exist: nothing tells that it does not */
	for (int i = 0; i < 10; i++)
		CHECK_INT(sign_in("nobody", "wrong horse 1").status, 401);
	CHECK_INT(sign_in("nobody", "wrong horse 1").status, 429);
	a = ask_ok("GET", "/api/v1/audit?action=session.*", root, "");
	CHECK(strstr(buf_c(&a.body), "session.lock") && strstr(buf_c(&a.body), "\"ada\""));
	CHECK(!strstr(buf_c(&a.body), "nobody"));
	/* and for an address that tries many names */
	int i, status = 401;
	for (i = 0; i < 60 && status == 401; i++) {
		char name[20];
		snprintf(name, sizeof name, "name%d", i);
		status = sign_in(name, "wrong horse 1").status;
	}
	CHECK_INT(status, 429);
	CHECK_INT(i, 50 - 20 + 1);
	end();
}

static double cpu_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* CPU time, and the least of a few: what a busy machine adds is left out. */
static double least_ms(const char *name)
{
	double least = 1e9;
	for (int i = 0; i < 6; i++) {
		double began = cpu_ms();
		CHECK_INT(sign_in(name, "wrong horse 1").status, 401);
		least = MIN(least, cpu_ms() - began);
	}
	return least;
}

static void test_app_access__an_unknown_name_takes_as_long(void)
{
	start();
	make_root();
	ask_ok("POST", "/api/v1/users", root,
		"{\"name\":\"ada\",\"role\":\"viewer\",\"password\":\"correct horse\"}");
	ask_ok("POST", "/api/v1/users", root, "{\"name\":\"bob\",\"role\":\"viewer\"}");
	double known = least_ms("ada"), unknown = least_ms("nobody"), without = least_ms("bob");
	tap_note("a wrong password: %.1f ms; an unknown name: %.1f ms; an account without one: "
		 "%.1f ms",
		known, unknown, without);
	CHECK(unknown > known / 3 && without > known / 3);
	end();
}

/* ---- who is in no project, and what is bounded ---- */

static void test_app_access__without_a_project(void)
{
	struct login l = {0}, keyed = {0};
	start();
	make_root();
	ask_ok("POST", "/api/v1/projects", root, "{\"name\":\"alpha\"}");
	ask_ok("POST", "/api/v1/users", root, "{\"name\":\"new\",\"kind\":\"service\"}");
	struct tx *tx;
	struct id id = id_new();
	CHECK_OK(db_begin(croft_db(c), TX_WRITE, &tx, &et), &et);
	CHECK_OK(db_exec(tx, &et,
			 "INSERT INTO rag_document (id, collection, path, title, type, status, "
			 "warnings, language, author, tags, sha256, space, bytes, pages, chunks, "
			 "version, created_ms, added_ms, updated_ms, mtime_ms, parser, project) "
			 "VALUES (?, 'default', 'p', '', 'text', 'indexed', '', '', '', '', '', "
			 "'', 1, 1, 1, 1, 0, 0, 0, 0, 1, 'default')",
			 P_ID(id)),
		&et);
	CHECK_OK(db_commit(tx, &et), &et);
	bearer(&l, add_key("new", ""), "");
	struct answer a = ask_ok("GET", "/api/v1/me", l.headers, "");
	CHECK(strstr(buf_c(&a.body), "\"project\":null,\"permissions\":[]"));
	a = ask_ok("GET", "/api/v1/status", l.headers, "");
	CHECK(strstr(buf_c(&a.body), "\"documents\":0") && strstr(buf_c(&a.body), "\"home\":null"));
	a = ask_ok("GET", "/api/v1/status", root, "");
	CHECK(strstr(buf_c(&a.body), "\"documents\":1"));
	CHECK_INT(ask("GET", "/p/-/api/v1/me", l.headers, "").status, 404);
	CHECK_INT(ask("GET", "/p/*/api/v1/me", l.headers, "").status, 404);
	CHECK_INT(ask("GET", "/p/-/api/v1/me", root, "").status, 404);
	/* an admin's key in a project that is archived gives nothing */
	add_user("boss", "*", "admin");
	bearer(&keyed, add_key("boss", ",\"project\":\"alpha\""), "");
	CHECK_INT(admitted("GET", "/api/v1/documents", keyed.headers), 100);
	ask_ok("PATCH", "/api/v1/projects/alpha", root, "{\"archived\":true}");
	CHECK_INT(admitted("GET", "/api/v1/documents", keyed.headers), 403);
	CHECK_INT(admitted("GET", "/api/v1/users", keyed.headers), 403);
	end();
}

static void fill(size_t keys, size_t sessions)
{
	struct tx *tx;
	struct id ada;
	bool disabled;
	CHECK(access_user_find(c, S("ada"), &ada, &disabled));
	CHECK_OK(db_begin(croft_db(c), TX_WRITE, &tx, &et), &et);
	for (size_t i = 0; i < keys; i++) {
		struct key_row k = {.id = id_new(), .user = ada, .created_ms = 1};
		random_bytes(k.hash, sizeof k.hash);
		CHECK_OK(store_key_put(tx, &k, &et), &et);
	}
	for (size_t i = 0; i < sessions; i++) {
		int64_t now = clock_unix_ms();
		struct session_row s = {
			.user = ada, .created_ms = 2, .seen_ms = now, .expires_ms = now + 1000000};
		random_bytes(s.hash, sizeof s.hash);
		CHECK_OK(store_session_put(tx, &s, &et), &et);
	}
	CHECK_OK(db_commit(tx, &et), &et);
	CHECK_OK(access_reload(c, &et), &et);
}

static void test_app_access__keys_and_sessions_are_bounded(void)
{
	char cookie[300];
	start();
	make_root();
	ask_ok("POST", "/api/v1/users", root,
		"{\"name\":\"ada\",\"role\":\"viewer\",\"password\":\"correct horse\"}");
	fill(KEYS_MAX - 1, 0);
	add_key("ada", "");
	struct answer a = ask("POST", "/api/v1/keys", root, "{\"user\":\"ada\"}");
	CHECK_INT(a.status, 422);
	CHECK(strstr(buf_c(&a.body), "ada has 1000 keys"));
	/* those that ended long ago make room */
	sql("UPDATE access_key SET revoked_ms = 1 WHERE prefix = ''");
	access_write_uses(c);
	CHECK_OK(access_reload(c, &et), &et);
	add_key("ada", "");
	/* the oldest session gives way */
	a = sign_in("ada", "correct horse");
	CHECK(cookie_of(&a, cookie));
	sql("UPDATE access_session SET created_ms = 1");
	fill(0, SESSIONS_MAX - 1);
	CHECK_INT(ask("GET", "/api/v1/me", cookie, "").status, 200);
	CHECK_INT(sign_in("ada", "correct horse").status, 200);
	CHECK_OK(access_reload(c, &et), &et);
	CHECK_INT(ask("GET", "/api/v1/me", cookie, "").status, 401);
	end();
}

/* ---- rules, at the call that others make ---- */

static void test_app_access__rules_of_role_and_membership(void)
{
	struct login l = {0};
	start();
	make_root();
	ask_ok("POST", "/api/v1/projects", root, "{\"name\":\"alpha\"}");
	ask_ok("PUT", "/api/v1/roles/mover", root,
		"{\"permissions\":[\"artifact.read\",\"artifact.alias\"],"
		"\"rules\":\"deny artifact.alias where alias = 'prod'\"}");
	add_user("mia", "alpha", "mover");
	bearer(&l, add_key("mia", ""), "alpha");
	char key[100];
	snprintf(key, sizeof key, "%.*s", KEY_TEXT, l.headers + strlen("Authorization: Bearer "));
	struct http_pair h = {S("x-api-key"), str_c(key)};
	struct http_request rq = {.method = HTTP_POST,
		.path = S("/x"),
		.headers = &h,
		.n_headers = 1,
		.project = S("alpha"),
		.arena = arena_new(1 << 20)};
	struct principal who;
	CHECK_OK(access_authenticate(c, &rq, &who, &et), &et);
	rq.who = &who;
	struct rule_subject prod = {.kind = S("model"), .name = S("churn"), .alias = S("prod")},
			    dev = {.kind = S("model"), .name = S("churn"), .alias = S("dev")};
	CHECK_OK(access_rule(&rq, PERM_ARTIFACT_ALIAS, &dev, &et), &et);
	CHECK_ERR(access_rule(&rq, PERM_ARTIFACT_ALIAS, &prod, &et), ERR_FORBIDDEN);
	CHECK(strstr(et.msg, "deny artifact.alias where alias = 'prod'"));
	CHECK(strstr(et.msg, "model churn@prod"));
	CHECK_ERR(access_rule(&rq, PERM_ARTIFACT_DELETE, &dev, &et), ERR_FORBIDDEN);
	arena_free(rq.arena);
	/* a role in every project that has no such rule lets it pass */
	ask_ok("PATCH", "/api/v1/users/mia", root, "{\"role\":\"editor\"}");
	rq.arena = arena_new(1 << 20);
	CHECK_OK(access_authenticate(c, &rq, &who, &et), &et);
	CHECK_OK(access_rule(&rq, PERM_ARTIFACT_ALIAS, &prod, &et), &et);
	arena_free(rq.arena);
	end();
}

/* ---- how long deciding takes ---- */

static void test_app_access__a_decision_is_quick(void)
{
	enum { N = 20000 };
	start();
	make_root();
	add_user("ada", "*", "viewer");
	struct str key = add_key("ada", "");
	struct http_pair h = {S("x-api-key"), key};
	uint64_t began = clock_mono_ns();
	for (int i = 0; i < N; i++) {
		struct http_request rq = {
			.headers = &h, .n_headers = 1, .arena = arena_new(1 << 16)};
		struct principal who;
		CHECK_OK(access_authenticate(c, &rq, &who, &et), &et);
		arena_free(rq.arena);
	}
	double us = (double)(clock_mono_ns() - began) / 1e3 / N;
	tap_note("%.2f us for a request with a key", us);
	CHECK(us < 1000 || getenv("CROFT_TEST_SANITIZED"));
	end();
}

TESTS(T(test_app_access__every_route_with_every_role), T(test_app_access__what_does_not_count),
	T(test_app_access__another_projects_key), T_LONG(test_app_access__two_tenants, 120),
	T(test_app_access__ways_to_send_a_key), T(test_app_access__attack_lists),
	T(test_app_access__no_way_up), T(test_app_access__rotation_and_grace),
	T(test_app_access__a_session), T(test_app_access__sessions_end),
	T(test_app_access__trying_is_limited), T(test_app_access__an_unknown_name_takes_as_long),
	T(test_app_access__without_a_project), T(test_app_access__keys_and_sessions_are_bounded),
	T(test_app_access__rules_of_role_and_membership), T(test_app_access__a_decision_is_quick))
