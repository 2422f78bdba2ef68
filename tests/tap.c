#include "tap.h"
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RC_PASS = 0, RC_FAIL = 1, RC_SKIP = 77 };

static char tmpdir[256];
static const struct tap_test *running;

void tap_fail(const char *file, int line, const char *fmt, ...)
{
	struct buf b = {0};
	va_list ap;
	va_start(ap, fmt);
	buf_vaddf(&b, fmt, ap);
	va_end(ap);
	printf("# %s:%d: %s\n", file, line, buf_c(&b));
	if (tmpdir[0])
		printf("# its files are kept in %s\n", tmpdir);
	fflush(stdout);
	_exit(RC_FAIL);
}

void tap_skip(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	printf("# skipped: ");
	vprintf(fmt, ap);
	printf("\n");
	va_end(ap);
	fflush(stdout);
	if (tmpdir[0])
		os_remove_tree(tmpdir, NULL);
	_exit(RC_SKIP);
}

void tap_note(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	printf("# ");
	vprintf(fmt, ap);
	printf("\n");
	va_end(ap);
	fflush(stdout);
}

const char *tap_tmpdir(void)
{
	if (!tmpdir[0]) {
		const char *base = getenv("TMPDIR");
		snprintf(tmpdir, sizeof tmpdir, "%s/croft-test-XXXXXX", base ? base : "/tmp");
		if (!mkdtemp(tmpdir))
			tap_fail(__FILE__, __LINE__, "mkdtemp: %s", strerror(errno));
	}
	return tmpdir;
}

static const char *path_in(const char *root, const char *rel)
{
	static char paths[8][1024];
	static unsigned next;
	char *p = paths[next++ % 8];
	snprintf(p, sizeof paths[0], "%s/%s", root, rel);
	return p;
}

const char *tap_source(const char *rel)
{
	const char *root = getenv("CROFT_SOURCE_ROOT");
	return path_in(root ? root : CROFT_SOURCE_ROOT, rel);
}

const char *tap_shared(const char *rel)
{
	const char *root = getenv("CROFT_SHARED_DATA");
	const char *p = path_in(root ? root : tap_source("../shared/data"), rel);
	if (!os_exists(p))
		tap_skip("%s is not here (CROFT_SHARED_DATA names the folder)", rel);
	return p;
}

const char *tap_model(const char *rel)
{
	const char *root = getenv("CROFT_TEST_MODELS");
	const char *p = path_in(root ? root : tap_source("build/models"), rel);
	if (!os_exists(p))
		tap_skip("model %s is not here (make models; CROFT_TEST_MODELS names the folder)",
			rel);
	return p;
}

/* A schema's name is new in each process and call; Croft makes it when it is not there. */
static const char *schema_url(const char *server)
{
	static char url[1024];
	static unsigned n;
	snprintf(url, sizeof url, "%s%coptions=-csearch_path%%3Dt%d_%u_%llx", server,
		strchr(server, '?') ? '&' : '?', (int)getpid(), n++,
		(unsigned long long)time(NULL));
	return url;
}

const char *tap_pg_url(void)
{
	const char *server = getenv("CROFT_TEST_PG_URL");
	if (!server || !*server)
		tap_skip("no PostgreSQL server for tests (tests/pg.py starts one)");
	return schema_url(server);
}

struct str tap_unxz(const char *path)
{
	struct buf cmd = {0}, out = {0};
	buf_addf(&cmd, "xz -dc '%s'", path);
	FILE *f = popen(buf_c(&cmd), "r");
	buf_free(&cmd);
	char *to;
	size_t k;
	while (f && (to = buf_reserve(&out, 1 << 16)) && (k = fread(to, 1, 1 << 16, f)) > 0) {
		out.n += k;
		out.p[out.n] = 0;
	}
	if (!f || pclose(f))
		tap_fail(__FILE__, __LINE__, "xz -dc %s failed", path);
	return buf_str(&out);
}

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void run_child(const struct tap_test *t)
{
	running = t;
	setpgid(0, 0);
	const char *server = getenv("CROFT_TEST_DB_URL");
	if (server && *server) /* every instance that this test opens is on PostgreSQL */
		setenv("CROFT_DB_URL", schema_url(server), 1);
	t->fn();
	if (tmpdir[0])
		os_remove_tree(tmpdir, NULL);
	fflush(stdout);
	/* exit, not _exit: the leak checker runs at exit */
	exit(RC_PASS);
}

/* Waits with a limit; kills the whole group of a test that is over it. */
static int wait_for(pid_t pid, unsigned timeout_s, const char **why)
{
	double end = seconds() + timeout_s;
	int status;
	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (seconds() > end) {
			kill(-pid, SIGKILL);
			waitpid(pid, &status, 0);
			*why = "timed out";
			return RC_FAIL;
		}
		usleep(2000);
	}
	kill(-pid, SIGKILL); /* what it left behind */
	if (WIFSIGNALED(status)) {
		*why = strsignal(WTERMSIG(status));
		return RC_FAIL;
	}
	return WEXITSTATUS(status);
}

int tap_main(const struct tap_test *tests, size_t n, int argc, char **argv)
{
	const char *filter = argc > 1 ? argv[1] : getenv("CROFT_TEST_FILTER");
	double scale =
		getenv("CROFT_TEST_TIMEOUT_SCALE") ? atof(getenv("CROFT_TEST_TIMEOUT_SCALE")) : 1;
	signal(SIGPIPE, SIG_IGN);
	unsigned number = 0, failed = 0;
	for (size_t i = 0; i < n; i++) {
		const struct tap_test *t = &tests[i];
		if (filter && *filter && !strstr(t->name, filter))
			continue;
		fflush(stdout);
		double start = seconds();
		pid_t pid = fork();
		if (pid == 0)
			run_child(t);
		const char *why = NULL;
		unsigned limit = (unsigned)((t->timeout_s ? t->timeout_s : 60) * scale);
		int rc = pid < 0 ? RC_FAIL : wait_for(pid, limit, &why);
		if (why)
			printf("# %s: %s\n", t->name, why);
		bool pass = rc == RC_PASS || rc == RC_SKIP;
		failed += !pass;
		printf("%s %u - %s%s # %.0f ms\n", pass ? "ok" : "not ok", ++number, t->name,
			rc == RC_SKIP ? " # SKIP" : "", (seconds() - start) * 1000);
	}
	printf("1..%u\n", number);
	fflush(stdout);
	return failed ? 1 : 0;
}
