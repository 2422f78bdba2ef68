/* What surrounds a command, and the command itself in the foreground. */
#include "run/child.h"
#include "run/environment.h"
#include "base/clock.h"
#include "base/os.h"
#include "tap.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct errtext none;

static yyjson_doc *recorded(const char *const *argv, const char *const *env, struct buf *text)
{
	struct jw w = {.out = text};
	yyjson_doc *doc;
	struct errtext et = {0};
	environment_write(&w, argv, env, NULL);
	CHECK(jw_done(&w));
	enum err e = json_parse(buf_str(text), &doc, &et);
	if (e)
		FAIL("%s", et.msg);
	return doc;
}

static void test_run_environment__secrets_are_withheld(void)
{
	static const char *const secret[][2] = {{"OPENAI_API_KEY", "sk-1"}, {"HF_TOKEN", "hf_1"},
		{"aws_secret_access", "x"}, {"DB_PASSWORD", "x"}, {"PGPASSFILE", "/x"},
		{"DATABASE_URL", "postgres://ada:s3cret@db/x"},
		{"NOTE", "see redis://x/ and http://u:p@h"}};
	static const char *const open[][2] = {{"LANG", "C"}, {"URL", "https://example.com/a@b:c"},
		{"ISSUE", "https://ada@example.com"}, {"OMP_NUM_THREADS", "2"}};
	for (size_t i = 0; i < ARRAY_LEN(secret); i++)
		if (!environment_is_secret(str_c(secret[i][0]), str_c(secret[i][1])))
			FAIL("%s=%s would be kept", secret[i][0], secret[i][1]);
	for (size_t i = 0; i < ARRAY_LEN(open); i++)
		if (environment_is_secret(str_c(open[i][0]), str_c(open[i][1])))
			FAIL("%s=%s would be withheld", open[i][0], open[i][1]);
	const char *env[] = {"SEED=7", "MY_TOKEN=abcdefgh", "B=2", NULL};
	const char *argv[] = {"true", NULL};
	struct buf text = {0};
	yyjson_doc *doc = recorded(argv, env, &text);
	CHECK(!strstr(buf_c(&text), "abcdefgh"));
	yyjson_val *o = yyjson_doc_get_root(doc);
	CHECK(str_eq_c(json_str(yyjson_obj_get(o, "variables"), "SEED"), "7"));
	CHECK(str_eq_c(json_val_str(yyjson_arr_get(yyjson_obj_get(o, "withheld"), 0)), "MY_TOKEN"));
	CHECK(yyjson_is_null(yyjson_obj_get(o, "python")));
	yyjson_val *m = yyjson_obj_get(o, "machine");
	CHECK_INT(json_i64(m, "cores", 0), sysconf(_SC_NPROCESSORS_ONLN));
	CHECK(json_str(m, "cpu").n && json_str(m, "host").n);
	yyjson_doc_free(doc);
	buf_free(&text);
}

/* The oracle is Python's own pip. */
static void test_run_environment__python_packages(void)
{
	const char *argv[] = {"nice", "python3", "train.py", NULL};
	extern char **environ;
	struct buf text = {0};
	if (system("python3 -c 'import pip' 2>/dev/null") != 0)
		SKIP("python3 has no pip");
	yyjson_doc *doc = recorded(argv, (const char *const *)environ, &text);
	yyjson_val *p = yyjson_obj_get(yyjson_doc_get_root(doc), "python");
	struct str pip = json_str(yyjson_obj_get(p, "packages"), "pip");
	char want[64] = "";
	FILE *f = popen("python3 -c 'import pip, platform; print(pip.__version__)'", "r");
	CHECK(f && fgets(want, sizeof want, f));
	pclose(f);
	want[strcspn(want, "\n")] = 0;
	CHECK_STR(pip, want);
	yyjson_doc_free(doc);
	buf_free(&text);
}

static const char *value_in(const char **env, const char *name)
{
	const char *found = NULL;
	for (size_t i = 0; env[i]; i++)
		if (strncmp(env[i], name, strlen(name)) == 0 && env[i][strlen(name)] == '=') {
			CHECK(!found); /* once only */
			found = env[i] + strlen(name) + 1;
		}
	return found;
}

static void test_run_environment__again(void)
{
	static const char record[] =
		"{\"variables\":{\"SEED\":\"7\",\"PATH\":\"/old\",\"LANG\":\"C\","
		"\"OVER\":\"a\"},\"withheld\":[\"HF_TOKEN\"]}";
	const char *now[] = {"PATH=/new", "HF_TOKEN=mine", "SEED=8", "STRAY=1", NULL};
	const char *extra[] = {"OVER=b", "MLFLOW_RUN_ID=x", NULL};
	struct arena *a = arena_new(0);
	yyjson_doc *doc;
	CHECK_OK(json_parse(str_c(record), &doc, NULL), &none);
	const char **env = environment_again(a, now, yyjson_doc_get_root(doc), extra);
	CHECK_STR(str_c(value_in(env, "PATH")), "/new");
	CHECK_STR(str_c(value_in(env, "HF_TOKEN")), "mine");
	CHECK_STR(str_c(value_in(env, "SEED")), "7");
	CHECK_STR(str_c(value_in(env, "LANG")), "C");
	CHECK_STR(str_c(value_in(env, "OVER")), "b");
	CHECK(!value_in(env, "STRAY")); /* what was not there then is not there now */
	yyjson_doc_free(doc);
	arena_free(a);
}

static void test_run_environment__diff(void)
{
	static const char a[] = "{\"python\":{\"version\":\"3.11\",\"packages\":{\"numpy\":\"1\","
				"\"old\":\"1\",\"same\":\"2\"}},\"machine\":{\"cpu\":\"x\"}}";
	static const char b[] = "{\"python\":{\"version\":\"3.12\",\"packages\":{\"numpy\":\"2\","
				"\"new\":\"1\",\"same\":\"2\"}},\"machine\":{\"cpu\":\"x\"}}";
	yyjson_doc *x, *y;
	struct buf out = {0};
	CHECK_OK(json_parse(str_c(a), &x, NULL), &none);
	CHECK_OK(json_parse(str_c(b), &y, NULL), &none);
	environment_diff(yyjson_doc_get_root(x), yyjson_doc_get_root(y), &out);
	CHECK_STR(buf_str(&out),
		"python 3.11 -> 3.12\npackage numpy 1 -> 2\npackage old 1 -> none\n"
		"package new none -> 1\n");
	yyjson_doc_free(x);
	yyjson_doc_free(y);
	buf_free(&out);
}

/* ---- the child ---- */

static struct child_result run_sh(
	const char *script, uint64_t log_max, const struct cancel *cancel, struct buf *log)
{
	char path[600];
	snprintf(path, sizeof path, "%s/log", tap_tmpdir());
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	const char *argv[] = {"sh", "-c", script, NULL};
	const char *env[] = {"PATH=/usr/bin:/bin", "X=from env", NULL};
	struct child_spec spec = {.argv = argv,
		.env = env,
		.dir = tap_tmpdir(),
		.quiet = true,
		.log_fd = fd,
		.log_max = log_max,
		.cancel = cancel};
	struct child_result r;
	struct errtext et = {0};
	enum err e = child_run(&spec, &r, &et);
	close(fd);
	if (e)
		FAIL("%s", et.msg);
	CHECK_OK(os_read_file(path, 0, log, &et), &et);
	return r;
}

static void test_run_child__log_status_and_measures(void)
{
	struct buf log = {0};
	struct child_result r =
		run_sh("echo \"$X\"; pwd; echo err >&2; exit 7", 1 << 20, NULL, &log);
	CHECK_INT(r.exit_code, 7);
	CHECK(strstr(buf_c(&log), "from env\n") && strstr(buf_c(&log), "err\n"));
	CHECK(strstr(buf_c(&log), tap_tmpdir()));
	CHECK(r.rss_max_bytes > 100000 && r.printed == log.n);
	buf_clear(&log);
	r = run_sh("kill -9 $$", 1 << 20, NULL, &log);
	CHECK_INT(r.signal, 9);
	CHECK_INT(r.exit_code, -1);
	r = run_sh("yes | head -c 300000", 1000, NULL, &log);
	CHECK_INT(log.n, 1000);
	CHECK_INT(r.printed, 300000);
	buf_clear(&log);
	uint64_t t = clock_mono_ns();
	r = run_sh("sleep 30 & echo started", 1000, NULL, &log); /* holds the pipe open */
	CHECK_INT(r.exit_code, 0);
	CHECK((clock_mono_ns() - t) / 1000000000u < 15);
	buf_free(&log);
}

static void *cancel_soon(void *arg)
{
	clock_sleep_ms(300);
	cancel_set(arg);
	return NULL;
}

static void test_run_child__cancel(void)
{
	struct cancel c = {0};
	struct buf log = {0};
	pthread_t t;
	close(STDIN_FILENO); /* no terminal: told at once */
	open("/dev/null", O_RDONLY);
	pthread_create(&t, NULL, cancel_soon, &c);
	struct child_result r = run_sh(
		"trap 'echo told; exit 3' TERM; while :; do sleep 0.05; done", 1000, &c, &log);
	pthread_join(t, NULL);
	CHECK_INT(r.exit_code, 3);
	CHECK(strstr(buf_c(&log), "told"));
	buf_free(&log);
}

static void test_run_child__cannot_start(void)
{
	const char *argv[] = {"no-such-program-at-all", NULL}, *env[] = {NULL};
	struct child_spec spec = {.argv = argv, .env = env, .log_fd = -1};
	struct child_result r = {.exit_code = 55};
	struct errtext et = {0};
	CHECK_INT(child_run(&spec, &r, &et), ERR_NOT_FOUND);
	CHECK(strstr(et.msg, "no-such-program-at-all"));
	CHECK_INT(r.exit_code, 55);
}

TESTS(T(test_run_environment__secrets_are_withheld), T(test_run_environment__python_packages),
	T(test_run_environment__again), T(test_run_environment__diff),
	T(test_run_child__log_status_and_measures), T(test_run_child__cancel),
	T(test_run_child__cannot_start))
