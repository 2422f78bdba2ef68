#include "tap.h"
#include "base/clock.h"
#include "base/os.h"
#include "base/proc.h"

#include <fcntl.h>
#include <stdio.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static enum err run(struct proc_spec spec, struct proc_result *r, const char *const *argv)
{
	spec.argv = argv;
	struct errtext et = {0};
	enum err e = proc_run(&spec, r, &et);
	if (e)
		tap_note("%s: %s", err_word(e), et.msg);
	return e;
}

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_base_proc__bytes_in_bytes_out(void)
{
	struct proc_result r;
	struct buf in = {0};
	for (int i = 0; i < 300000; i++)
		buf_addf(&in, "%d\n", i);
	struct proc_spec spec = {.input = buf_str(&in)};
	CHECK_INT(run(spec, &r, (const char *const[]){"cat", NULL}), OK);
	CHECK(str_eq(buf_str(&r.out), buf_str(&in)));
	CHECK_INT(r.exit_code, 0);
	CHECK_STR(str_c(r.err_tail), "");
	proc_result_release(&r);
	buf_free(&in);
	CHECK_INT(
		run((struct proc_spec){0}, &r, ARGS("sh", "-c", "echo out; echo oops >&2; exit 3")),
		OK);
	CHECK_STR(buf_str(&r.out), "out\n");
	CHECK_STR(str_c(r.err_tail), "oops\n");
	CHECK_INT(r.exit_code, 3);
	proc_result_release(&r);
	CHECK_INT(run((struct proc_spec){0}, &r, ARGS("sh", "-c", "kill -9 $$")), OK);
	CHECK_INT(r.exit_code, -1);
	CHECK_INT(r.signal, 9);
	proc_result_release(&r);
	CHECK_INT(run((struct proc_spec){0}, &r,
			  ARGS("sh", "-c",
				  "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done "
				  ">&2")),
		OK);
	CHECK(str_ends(str_c(r.err_tail), S("line 2999\n")));
	CHECK(strlen(r.err_tail) < sizeof r.err_tail);
	proc_result_release(&r);
}

static void test_base_proc__not_installed(void)
{
	struct proc_result r;
	CHECK_ERR(run((struct proc_spec){0}, &r, ARGS("no-such-program-here")), ERR_NOT_FOUND);
	CHECK_ERR(run((struct proc_spec){0}, &r, ARGS("/nonexistent/x")), ERR_NOT_FOUND);
}

static void test_base_proc__time_limits(void)
{
	struct proc_result r;
	uint64_t t = clock_mono_ns();
	CHECK_ERR(
		run((struct proc_spec){.wall_ms_max = 200}, &r, ARGS("sleep", "30")), ERR_TIMEOUT);
	CHECK((clock_mono_ns() - t) / 1000000 < 3000);
	/* grandchildren go too, and do not keep the call waiting */
	t = clock_mono_ns();
	CHECK_ERR(run((struct proc_spec){.wall_ms_max = 200}, &r,
			  ARGS("sh", "-c", "sleep 31 & sleep 31")),
		ERR_TIMEOUT);
	CHECK_INT(run((struct proc_spec){.wall_ms_max = 20000}, &r,
			  ARGS("sh", "-c", "sleep 31 & exit 0")),
		OK);
	proc_result_release(&r);
	CHECK((clock_mono_ns() - t) / 1000000 < 5000);
	CHECK_INT(run((struct proc_spec){.cpu_s_max = 1, .wall_ms_max = 20000}, &r,
			  ARGS("sh", "-c", "while :; do :; done")),
		OK);
	CHECK(r.signal == SIGXCPU || r.signal == SIGKILL);
	proc_result_release(&r);
}

static void *cancel_soon(void *arg)
{
	clock_sleep_ms(100);
	cancel_set(arg);
	return NULL;
}

static void test_base_proc__cancelled(void)
{
	struct proc_result r;
	struct cancel c = {0};
	pthread_t t;
	CHECK(!pthread_create(&t, NULL, cancel_soon, &c));
	CHECK_ERR(run((struct proc_spec){.cancel = &c}, &r, ARGS("sleep", "30")), ERR_CANCELLED);
	pthread_join(t, NULL);
}

static void test_base_proc__output_cap(void)
{
	struct proc_result r;
	CHECK_ERR(run((struct proc_spec){.output_max = 100000}, &r, ARGS("yes")), ERR_TOO_LARGE);
	CHECK_ERR(run((struct proc_spec){.output_max = 10}, &r, ARGS("echo", "twelve bytes")),
		ERR_TOO_LARGE);
	CHECK_INT(run((struct proc_spec){.output_max = 13}, &r, ARGS("echo", "twelve bytes")), OK);
	proc_result_release(&r);
}

static void test_base_proc__inherits_nothing(void)
{
	struct proc_result r;
	int fd = open("/etc/passwd", O_RDONLY); /* without O_CLOEXEC */
	CHECK(fd >= 0);
	setenv("SECRET_OF_PARENT", "x", 1);
	CHECK_INT(run((struct proc_spec){0}, &r, ARGS("sh", "-c", "ls /proc/self/fd | wc -l; env")),
		OK);
	CHECK(str_starts(buf_str(&r.out), S("4\n"))); /* 0, 1, 2 and the folder itself */
	CHECK(str_find(buf_str(&r.out), S("SECRET")) == STR_NONE);
	proc_result_release(&r);
	close(fd);
}

static void test_base_proc__sandbox(void)
{
	struct proc_result r;
	struct buf b = {0};
	proc_sandbox_describe(&b);
	tap_note("%s", buf_c(&b));
	CHECK(b.n > 0);
	buf_free(&b);
	CHECK_INT(
		run((struct proc_spec){.sandbox = true, .input = {"hi", 2}}, &r, ARGS("cat")), OK);
	CHECK_STR(buf_str(&r.out), "hi");
	proc_result_release(&r);
	if (proc_sandbox() & PROC_LANDLOCK) {
		const char *path = tap_tmpdir();
		char file[512];
		snprintf(file, sizeof file, "%s/secret", path);
		struct errtext et;
		CHECK_OK(os_write_atomic(file, S("secret"), &et), &et);
		CHECK_INT(run((struct proc_spec){.sandbox = true}, &r, ARGS("cat", "/etc/passwd")),
			OK);
		CHECK(r.exit_code != 0 && r.out.n == 0);
		proc_result_release(&r);
		CHECK_INT(run((struct proc_spec){.sandbox = true}, &r, ARGS("cat", file)), OK);
		CHECK(r.exit_code != 0 && r.out.n == 0);
		proc_result_release(&r);
		CHECK_INT(run((struct proc_spec){.sandbox = true}, &r,
				  ARGS("touch", "/tmp/croft-must-not-be-here")),
			OK);
		CHECK(r.exit_code != 0 && !os_exists("/tmp/croft-must-not-be-here"));
		proc_result_release(&r);
	}
	if (proc_sandbox() & PROC_SECCOMP) {
		CHECK_INT(run((struct proc_spec){.sandbox = true}, &r,
				  ARGS("sh", "-c", "/bin/true; echo $?")),
			OK);
		CHECK(str_find(buf_str(&r.out), S("0")) == STR_NONE); /* no processes */
		proc_result_release(&r);
		CHECK_INT(run((struct proc_spec){.sandbox = true}, &r,
				  ARGS("/usr/bin/python3", "-c",
					  "import socket\n"
					  "for f in (socket.AF_INET, socket.AF_UNIX, "
					  "socket.AF_NETLINK):\n"
					  " try:\n  socket.socket(f); print('made')\n"
					  " except PermissionError: print('refused')\n")),
			OK);
		if (r.exit_code == 0)
			CHECK_STR(buf_str(&r.out), "refused\nrefused\nrefused\n");
		else
			tap_note("no python3: %s", r.err_tail);
		proc_result_release(&r);
	}
	if (geteuid() == 0) {
		CHECK_INT(run((struct proc_spec){.sandbox = true}, &r, ARGS("id", "-u")), OK);
		tap_note("runs as %s", buf_c(&r.out));
		proc_result_release(&r);
	}
}

static void test_base_proc__memory_limit(void)
{
	struct proc_result r;
	CHECK_INT(
		run((struct proc_spec){.memory_max = 64 << 20}, &r,
			ARGS("/usr/bin/python3", "-c", "x = bytearray(200 << 20); print(len(x))")),
		OK);
	CHECK(r.exit_code != 0 && r.out.n == 0);
	proc_result_release(&r);
}

static void *many(void *arg)
{
	for (int i = 0; i < 20; i++) {
		struct proc_result r;
		struct proc_spec spec = {.input = S("x"), .sandbox = true};
		if (run(spec, &r, (const char *const[]){"cat", NULL}) ||
			!str_eq_c(buf_str(&r.out), "x"))
			return (void *)1;
		proc_result_release(&r);
	}
	return NULL;
}

static void test_base_proc__threads(void)
{
	pthread_t t[4];
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		CHECK(!pthread_create(&t[i], NULL, many, NULL));
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		void *bad;
		pthread_join(t[i], &bad);
		CHECK(!bad);
	}
	/* no descriptor leaked */
	int fd = open("/dev/null", O_RDONLY);
	CHECK(fd < 16);
	close(fd);
}

TESTS(T(test_base_proc__bytes_in_bytes_out), T(test_base_proc__not_installed),
	T(test_base_proc__time_limits), T(test_base_proc__cancelled), T(test_base_proc__output_cap),
	T(test_base_proc__inherits_nothing), T(test_base_proc__sandbox),
	T(test_base_proc__memory_limit), T(test_base_proc__threads))
