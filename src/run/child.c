/* One child in the foreground: two pipes and a descriptor of the process itself in one poll loop.
 */
#include "run/child.h"
#include "base/clock.h"
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TTY_GRACE_MS = 10000, TERM_GRACE_MS = 5000, DRAIN_MS = 2000, TICK_MS = 100 };

struct watched {
	const struct child_spec *spec;
	pid_t pid;
	int out[2];  /* ends to read: of standard output and of standard error; -1: at its end */
	int process; /* readable when the child has ended; -1: it has */
	uint64_t printed;
	uint64_t cancelled_ns, ended_ns; /* 0: not yet */
	bool terminated;
};

static enum err start(struct watched *c, int in[2], struct errtext *et)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	sigset_t none, all;
	posix_spawn_file_actions_init(&fa);
	posix_spawnattr_init(&attr);
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawn_file_actions_adddup2(&fa, in[0], STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&fa, in[1], STDERR_FILENO);
	if (c->spec->dir)
		posix_spawn_file_actions_addchdir_np(&fa, c->spec->dir);
	int rc = posix_spawnp(&c->pid, c->spec->argv[0], &fa, &attr, (char *const *)c->spec->argv,
		(char *const *)c->spec->env);
	posix_spawn_file_actions_destroy(&fa);
	posix_spawnattr_destroy(&attr);
	if (rc == ENOENT)
		return err_set(et, ERR_NOT_FOUND, "there is no program \"%s\"%s%s",
			c->spec->argv[0], c->spec->dir ? ", or no folder " : "",
			c->spec->dir ? c->spec->dir : "");
	errno = rc;
	return rc ? err_errno(et, "starting %s", c->spec->argv[0]) : OK;
}

/* To the terminal and the log. A terminal that has gone away does not end the run. */
static enum err pass_on(struct watched *c, int which, struct str s, struct errtext *et)
{
	const struct child_spec *spec = c->spec;
	uint64_t room = c->printed < spec->log_max ? spec->log_max - c->printed : 0;
	c->printed += s.n;
	if (!spec->quiet && os_write_all(which ? STDERR_FILENO : STDOUT_FILENO, s.p, s.n, NULL)) {
		/* nothing to be done about it */
	}
	return os_write_all(spec->log_fd, s.p, MIN(s.n, room), et);
}

static enum err read_one(struct watched *c, int which, struct errtext *et)
{
	char buf[65536];
	ssize_t n = read(c->out[which], buf, sizeof buf);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return OK;
	if (n > 0)
		return pass_on(c, which, str_mk(buf, (size_t)n), et);
	close(c->out[which]);
	c->out[which] = -1;
	return OK;
}

static void end_if_cancelled(struct watched *c)
{
	uint64_t now = clock_mono_ns();
	if (c->process < 0 || !cancelled(c->spec->cancel))
		return;
	if (!c->cancelled_ns)
		c->cancelled_ns = now;
	uint64_t waited_ms = (now - c->cancelled_ns) / 1000000;
	uint64_t grace = isatty(STDIN_FILENO) ? TTY_GRACE_MS : 0;
	if (waited_ms >= grace && !c->terminated) {
		kill(c->pid, SIGTERM);
		c->terminated = true;
	}
	if (waited_ms >= grace + TERM_GRACE_MS)
		kill(c->pid, SIGKILL);
}

static bool over(const struct watched *c)
{
	if (c->process >= 0)
		return false;
	bool open = c->out[0] >= 0 || c->out[1] >= 0;
	return !open || clock_mono_ns() - c->ended_ns > DRAIN_MS * 1000000ull;
}

static enum err watch(struct watched *c, struct errtext *et)
{
	enum err e = OK;
	while (!e && !over(c)) {
		struct pollfd p[3] = {
			{c->out[0], POLLIN, 0}, {c->out[1], POLLIN, 0}, {c->process, POLLIN, 0}};
		if (poll(p, 3, TICK_MS) < 0 && errno != EINTR)
			return err_errno(et, "waiting for %s", c->spec->argv[0]);
		for (int i = 0; i < 2 && !e; i++)
			if (c->out[i] >= 0 && p[i].revents)
				e = read_one(c, i, et);
		if (c->process >= 0 && p[2].revents) {
			close(c->process);
			c->process = -1;
			c->ended_ns = clock_mono_ns();
		}
		end_if_cancelled(c);
	}
	return e;
}

static void reap(struct watched *c, uint64_t began_ns, struct child_result *r)
{
	struct rusage ru = {0};
	int status = 0;
	while (wait4(c->pid, &status, 0, &ru) < 0 && errno == EINTR)
		;
	*r = (struct child_result){
		.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
		.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
		.wall_ms = ((c->ended_ns ? c->ended_ns : clock_mono_ns()) - began_ns) / 1000000,
		.cpu_ms = (uint64_t)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000 +
			  (uint64_t)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1000,
		.rss_max_bytes = (uint64_t)ru.ru_maxrss * 1024,
		.printed = c->printed,
	};
}

enum err child_run(const struct child_spec *spec, struct child_result *r, struct errtext *et)
{
	int a[2], b[2];
	if (pipe2(a, O_CLOEXEC))
		return err_errno(et, "a pipe");
	if (pipe2(b, O_CLOEXEC)) {
		close(a[0]);
		close(a[1]);
		return err_errno(et, "a pipe");
	}
	struct watched c = {.spec = spec, .out = {a[0], b[0]}, .process = -1};
	uint64_t began_ns = clock_mono_ns();
	enum err e = start(&c, (int[2]){a[1], b[1]}, et);
	close(a[1]);
	close(b[1]);
	if (!e) {
		c.process = (int)syscall(SYS_pidfd_open, c.pid, 0);
		if (c.process < 0)
			e = err_errno(et, "watching %s", spec->argv[0]);
		if (!e)
			e = watch(&c, et);
		if (e)
			kill(c.pid, SIGKILL);
		struct child_result mine;
		reap(&c, began_ns, &mine);
		if (!e)
			*r = mine;
	}
	for (int i = 0; i < 2; i++)
		if (c.out[i] >= 0)
			close(c.out[i]);
	if (c.process >= 0)
		close(c.process);
	return e;
}
