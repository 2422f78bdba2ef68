#include "base/proc.h"
#include "base/clock.h"
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- landlock: by system call, since headers of Debian 12 know only its first versions ----------
 */

enum {
	LL_EXECUTE = 1 << 0,
	LL_READ_FILE = 1 << 2,
	LL_READ_DIR = 1 << 3,
	LL_FS_V1 = (1 << 13) - 1,
	LL_REFER = 1 << 13,
	LL_TRUNCATE = 1 << 14,
	LL_IOCTL_DEV = 1 << 15,
	LL_NET_BIND = 1,
	LL_NET_CONNECT = 2,
	LL_SCOPE_ALL = 3, /* abstract sockets, signals */
	LL_RULE_PATH = 1,
	LL_VERSION = 1,
};

struct ll_ruleset {
	uint64_t fs, net, scoped;
};

struct ll_path {
	uint64_t allowed;
	int32_t fd;
} __attribute__((packed));

#ifndef __NR_landlock_create_ruleset
#define __NR_landlock_create_ruleset 444
#define __NR_landlock_add_rule 445
#define __NR_landlock_restrict_self 446
#endif

static int landlock_abi(void)
{
	long v = syscall(__NR_landlock_create_ruleset, NULL, 0, LL_VERSION);
	return v > 0 ? (int)v : 0;
}

static void landlock_allow(int rules, const char *path)
{
	struct ll_path p = {.fd = open(path, O_PATH | O_CLOEXEC)};
	if (p.fd < 0)
		return; /* nothing there, nothing to allow */
	p.allowed = LL_EXECUTE | LL_READ_FILE | (os_is_dir(path) ? LL_READ_DIR : 0);
	(void)syscall(__NR_landlock_add_rule, rules, LL_RULE_PATH, &p, 0);
	close(p.fd);
}

/* A rule set as a descriptor, or -1 when the kernel has no landlock. */
static int landlock_rules(const char *const *readable)
{
	static const char *const system_paths[] = {"/usr", "/lib", "/lib64", "/lib32", "/bin",
		"/etc/ld.so.cache", "/etc/fonts", "/dev/null", "/dev/urandom"};
	int abi = landlock_abi();
	if (!abi)
		return -1;
	struct ll_ruleset r = {.fs = LL_FS_V1};
	size_t size = sizeof r.fs;
	if (abi >= 2)
		r.fs |= LL_REFER;
	if (abi >= 3)
		r.fs |= LL_TRUNCATE;
	if (abi >= 4) {
		r.net = LL_NET_BIND | LL_NET_CONNECT;
		size = offsetof(struct ll_ruleset, scoped);
	}
	if (abi >= 5)
		r.fs |= LL_IOCTL_DEV;
	if (abi >= 6) {
		r.scoped = LL_SCOPE_ALL;
		size = sizeof r;
	}
	int fd = (int)syscall(__NR_landlock_create_ruleset, &r, size, 0);
	if (fd < 0)
		return -1;
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	for (size_t i = 0; i < ARRAY_LEN(system_paths); i++)
		landlock_allow(fd, system_paths[i]);
	for (; readable && *readable; readable++)
		landlock_allow(fd, *readable);
	return fd;
}

/* --- seccomp: all calls but these --------------------------------------------------------------
 */

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#endif

#ifdef OUR_ARCH
#define LOAD(field) \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offsetof(struct seccomp_data, field))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, (what))
#define DENY_AS(nr, error)                                         \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(nr), 0, 1), \
		RETURN(SECCOMP_RET_ERRNO | (error))
#define DENY(nr) DENY_AS(nr, EPERM)

static const struct sock_filter sandbox_filter[] = {
	LOAD(arch),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0),
	RETURN(SECCOMP_RET_KILL_PROCESS),
	LOAD(nr),
#ifdef __x86_64__
	BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1), /* x32 */
	RETURN(SECCOMP_RET_KILL_PROCESS),
	DENY(__NR_fork),
	DENY(__NR_vfork),
#endif
	/* sockets of every family, and rings that could make them */
	DENY(__NR_socket),
	DENY(__NR_socketpair),
	DENY(__NR_connect),
	DENY(__NR_bind),
	DENY(__NR_listen),
	DENY(__NR_accept),
	DENY(__NR_accept4),
	DENY(__NR_sendto),
	DENY(__NR_sendmsg),
	DENY(__NR_sendmmsg),
	DENY(__NR_recvmsg),
	DENY_AS(425 /* io_uring_setup */, ENOSYS),
	DENY_AS(426, ENOSYS),
	DENY_AS(427, ENOSYS),
	/* other processes */
	DENY(__NR_ptrace),
	DENY(__NR_process_vm_readv),
	DENY(__NR_process_vm_writev),
	DENY(__NR_kcmp),
	DENY(__NR_kill),
	DENY(__NR_tkill),
	DENY(434 /* pidfd_open */),
	DENY(438 /* pidfd_getfd */),
	DENY(424 /* pidfd_send_signal */),
	DENY(__NR_setpriority),
	/* the system */
	DENY(__NR_mount),
	DENY(__NR_umount2),
	DENY(__NR_pivot_root),
	DENY(__NR_chroot),
	DENY(__NR_unshare),
	DENY(__NR_setns),
	DENY(__NR_bpf),
	DENY(__NR_perf_event_open),
	DENY(__NR_userfaultfd),
	DENY(__NR_add_key),
	DENY(__NR_request_key),
	DENY(__NR_keyctl),
	DENY(__NR_kexec_load),
	DENY(__NR_init_module),
	DENY(__NR_finit_module),
	DENY(__NR_delete_module),
	DENY(__NR_reboot),
	DENY(__NR_swapon),
	DENY(__NR_swapoff),
	DENY(__NR_sethostname),
	DENY(__NR_setdomainname),
	DENY(__NR_settimeofday),
	DENY(__NR_clock_settime),
	DENY(__NR_quotactl),
	DENY(__NR_acct),
	DENY(__NR_syslog),
	DENY(__NR_personality),
	DENY(__NR_name_to_handle_at),
	DENY(__NR_open_by_handle_at),
	DENY(428 /* open_tree */),
	DENY(429 /* move_mount */),
	DENY(430 /* fsopen */),
	DENY(__NR_mq_open),
	DENY(__NR_shmget),
	DENY(__NR_msgget),
	DENY(__NR_semget),
	/* threads yes, processes no: clone3's flags cannot be seen from here, so libc falls back */
	DENY_AS(435 /* clone3 */, ENOSYS),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_clone, 0, 3),
	LOAD(args[0]), /* the low half: both machines are little-endian */
	BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 1, 0),
	RETURN(SECCOMP_RET_ERRNO | EPERM),
	RETURN(SECCOMP_RET_ALLOW),
};
static const struct sock_fprog sandbox_prog = {
	.len = ARRAY_LEN(sandbox_filter), .filter = (struct sock_filter *)sandbox_filter};
#endif

static bool seccomp_offered(void)
{
#ifdef OUR_ARCH
	unsigned action = SECCOMP_RET_ERRNO;
	return syscall(__NR_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
#else
	return false;
#endif
}

unsigned proc_sandbox(void)
{
	static atomic_uint known; /* bit 31: asked */
	unsigned k = atomic_load(&known);
	if (!k) {
		int abi = landlock_abi();
		k = 1u << 31 | (abi ? PROC_LANDLOCK : 0u) | (abi >= 4 ? PROC_LANDLOCK_NET : 0u) |
		    (seccomp_offered() ? PROC_SECCOMP : 0u);
		atomic_store(&known, k);
	}
	return k & ~(1u << 31);
}

void proc_sandbox_describe(struct buf *out)
{
	unsigned has = proc_sandbox();
	if (has & PROC_LANDLOCK)
		buf_addf(out, "landlock (ABI %d), ", landlock_abi());
	if (has & PROC_SECCOMP)
		buf_addc(out, "seccomp, ");
	buf_addc(out, "rlimits");
	if (!(has & PROC_LANDLOCK) || !(has & PROC_SECCOMP))
		buf_addf(out, " only: no %s%s%s", has & PROC_LANDLOCK ? "" : "landlock",
			!(has & (PROC_LANDLOCK | PROC_SECCOMP)) ? ", no " : "",
			has & PROC_SECCOMP ? "" : "seccomp");
}

/* --- the child, between fork and exec: system calls only ----------------------------------------
 */

struct child {
	const struct proc_spec *spec;
	const char *path;
	char *const *env;
	int in, out, err, report, rules;
};

static void limit(int what, rlim_t soft, rlim_t hard)
{
	setrlimit(what, &(struct rlimit){soft, hard});
}

static int enter_sandbox(const struct child *c)
{
	if (geteuid() == 0) { /* as far as the container allows */
		(void)!setgroups(0, NULL);
		(void)!setresgid(65534, 65534, 65534);
		(void)!setresuid(65534, 65534, 65534);
	}
	limit(RLIMIT_FSIZE, 0, 0);
	limit(RLIMIT_NOFILE, 64, 64);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	if (c->rules >= 0 && syscall(__NR_landlock_restrict_self, c->rules, 0))
		return -1;
#ifdef OUR_ARCH
	if ((proc_sandbox() & PROC_SECCOMP) &&
		syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, &sandbox_prog))
		return -1;
#endif
	return 0;
}

static void __attribute__((noreturn)) child_main(const struct child *c, pid_t parent)
{
	setsid();
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	limit(RLIMIT_CORE, 0, 0);
	if (c->spec->cpu_s_max)
		limit(RLIMIT_CPU, c->spec->cpu_s_max, c->spec->cpu_s_max + 1);
	if (c->spec->memory_max) {
		limit(RLIMIT_DATA, c->spec->memory_max, c->spec->memory_max);
		limit(RLIMIT_AS, c->spec->memory_max + (1ul << 30),
			c->spec->memory_max + (1ul << 30));
	}
	/* in, out and err are 3 or above, so that none overwrites another */
	if (dup2(c->in, 0) < 0 || dup2(c->out, 1) < 0 || dup2(c->err, 2) < 0)
		goto fail;
	if (syscall(436 /* close_range */, 3u, ~0u, 4u /* CLOEXEC */))
		for (int fd = 3; fd < 4096; fd++)
			fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (c->spec->sandbox && enter_sandbox(c))
		goto fail;
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* after the change of user, which clears it */
	if (getppid() != parent)
		_exit(127);
	execve(c->path, (char *const *)c->spec->argv, c->env);
fail:;
	int error = errno;
	(void)!write(c->report, &error, sizeof error);
	_exit(127);
}

/* --- the parent --------------------------------------------------------------------------------
 */

static bool find_program(const char *name, char path[PATH_MAX])
{
	if (strchr(name, '/')) {
		snprintf(path, PATH_MAX, "%s", name);
		return access(path, X_OK) == 0;
	}
	const char *list = getenv("PATH");
	struct str rest = str_c(list && *list ? list : "/usr/local/bin:/usr/bin:/bin"), dir;
	while (str_next(&rest, ':', &dir)) {
		if (!dir.n ||
			(size_t)snprintf(path, PATH_MAX, "%.*s/%s", STR_FMT(dir), name) >= PATH_MAX)
			continue;
		if (access(path, X_OK) == 0 && !os_is_dir(path))
			return true;
	}
	return false;
}

static int above_2(int fd)
{
	if (fd < 0 || fd > 2)
		return fd;
	int to = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	close(fd);
	return to;
}

static int input_file(struct str input, struct errtext *et)
{
	int fd = above_2(memfd_create("input", MFD_CLOEXEC));
	if (fd < 0)
		return err_errno(et, "a file in memory"), -1;
	if (os_write_all(fd, input.p, input.n, et) || lseek(fd, 0, SEEK_SET) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

struct tail {
	char *p;
	size_t n, cap;
};

static void tail_add(struct tail *t, const char *p, size_t n)
{
	if (n > t->cap) {
		p += n - t->cap;
		n = t->cap;
	}
	if (t->n + n > t->cap) {
		size_t drop = t->n + n - t->cap;
		memmove(t->p, t->p + drop, t->n - drop);
		t->n -= drop;
	}
	memcpy(t->p + t->n, p, n);
	t->n += n;
}

enum { SLACK = 65536 }; /* what is read at once: room that the cap must leave */

/* Reads what is there. false: the other end is closed. */
static bool drain_out(int fd, struct buf *out)
{
	char *to = buf_reserve(out, SLACK);
	if (!to)
		return true; /* out->err says why; the caller looks */
	ssize_t k = read(fd, to, SLACK);
	if (k > 0) {
		out->n += (size_t)k;
		out->p[out->n] = 0;
	}
	return k > 0 || (k < 0 && (errno == EAGAIN || errno == EINTR));
}

static bool drain_err(int fd, struct tail *t)
{
	char some[4096];
	ssize_t k = read(fd, some, sizeof some);
	if (k > 0)
		tail_add(t, some, (size_t)k);
	return k > 0 || (k < 0 && (errno == EAGAIN || errno == EINTR));
}

static enum err watch(const struct proc_spec *spec, pid_t pid, int out, int err, struct buf *text,
	struct tail *tail, int *status, struct errtext *et)
{
	uint32_t wall = spec->wall_ms_max ? spec->wall_ms_max : 60000;
	uint64_t deadline = clock_mono_ns() + (uint64_t)wall * 1000000;
	struct pollfd p[2] = {{out, POLLIN, 0}, {err, POLLIN, 0}};
	bool ended = false;
	size_t given = 0;
	for (;;) {
		if (!ended && waitpid(pid, status, WNOHANG) == pid) {
			ended = true;
			kill(-pid, SIGKILL); /* what it left behind; it holds the pipes open */
		}
		if (ended && p[0].fd < 0 && p[1].fd < 0)
			return OK;
		if (cancelled(spec->cancel))
			return err_set(et, ERR_CANCELLED, "%s: cancelled", spec->argv[0]);
		uint64_t now = clock_mono_ns();
		if (now >= deadline)
			return err_set(
				et, ERR_TIMEOUT, "%s: not done after %u ms", spec->argv[0], wall);
		uint64_t wait_ms = (deadline - now) / 1000000 + 1;
		/* the end of the child is seen by its pipes closing; then it is a matter of moments
		 */
		bool open = p[0].fd >= 0 || p[1].fd >= 0;
		int k = poll(p, 2, (int)MIN(wait_ms, open && !ended ? 50u : 1u));
		if (k < 0 && errno != EINTR)
			return err_errno(et, "poll");
		if (k == 0 && ended) { /* someone outside the group still holds them: enough */
			p[0].fd = p[1].fd = -1;
			continue;
		}
		if (k > 0 && p[0].fd >= 0 && p[0].revents && !drain_out(out, text))
			p[0].fd = -1;
		if (k > 0 && p[1].fd >= 0 && p[1].revents && !drain_err(err, tail))
			p[1].fd = -1;
		if (spec->on_output && text->n) {
			given += text->n;
			bool more = spec->on_output(spec->on_output_ctx, buf_str(text));
			buf_clear(text);
			if (!more)
				return err_set(
					et, ERR_CANCELLED, "%s: its reader stopped", spec->argv[0]);
			if (given > text->max - SLACK)
				text->err = ERR_TOO_LARGE;
		}
		if (text->err == ERR_TOO_LARGE)
			return err_set(et, ERR_TOO_LARGE, "%s: more than %zu bytes of output",
				spec->argv[0], text->max - SLACK);
		if (text->err)
			return err_set(
				et, text->err, "%s: %s", spec->argv[0], err_sentence(text->err));
	}
}

static void close_all(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

enum { IN, OUT_R, OUT_W, ERR_R, ERR_W, REP_R, REP_W, RULES, FDS };

static enum err make_pipes(int fd[FDS], struct errtext *et)
{
	for (int i = OUT_R; i <= REP_R; i += 2) {
		int p[2];
		if (pipe2(p, O_CLOEXEC))
			return err_errno(et, "pipe");
		fd[i] = above_2(p[0]);
		fd[i + 1] = above_2(p[1]);
		if (fd[i] < 0 || fd[i + 1] < 0)
			return err_errno(et, "pipe");
	}
	fcntl(fd[OUT_R], F_SETFL, O_NONBLOCK);
	fcntl(fd[ERR_R], F_SETFL, O_NONBLOCK);
	return OK;
}

enum err proc_run(const struct proc_spec *spec, struct proc_result *r, struct errtext *et)
{
	static const char *const plain_env[] = {
		"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C.UTF-8", "HOME=/nonexistent", NULL};
	char path[PATH_MAX], tail_bytes[sizeof r->err_tail - 1];
	struct tail tail = {tail_bytes, 0, sizeof tail_bytes};
	struct buf out = {.max = spec->output_max ? spec->output_max : 64u << 20};
	out.max += SLACK;
	int fd[FDS] = {-1, -1, -1, -1, -1, -1, -1, -1}, status = 0;
	uint64_t began = clock_mono_ns();
	if (!find_program(spec->argv[0], path))
		return err_set(et, ERR_NOT_FOUND, "the program %s is not installed", spec->argv[0]);
	if ((fd[IN] = input_file(spec->input, et)) < 0)
		return ERR_IO;
	enum err e = make_pipes(fd, et);
	if (!e && spec->sandbox && (proc_sandbox() & PROC_LANDLOCK)) {
		const char *more[16] = {path};
		for (size_t i = 0; spec->readable && spec->readable[i] && i < 14; i++)
			more[i + 1] = spec->readable[i];
		fd[RULES] = above_2(landlock_rules(more));
		if (fd[RULES] < 0)
			e = err_errno(et, "landlock");
	}
	if (e) {
		close_all(fd, FDS);
		return e;
	}
	struct child c = {spec, path, (char *const *)(spec->env ? spec->env : plain_env), fd[IN],
		fd[OUT_W], fd[ERR_W], fd[REP_W], fd[RULES]};
	pid_t self = getpid(), pid = fork();
	if (pid == 0)
		child_main(&c, self);
	if (pid < 0) {
		e = err_errno(et, "fork");
		close_all(fd, FDS);
		return e;
	}
	close(fd[OUT_W]), close(fd[ERR_W]), close(fd[REP_W]), close(fd[IN]);
	fd[OUT_W] = fd[ERR_W] = fd[REP_W] = fd[IN] = -1;
	int error = 0;
	ssize_t k;
	while ((k = read(fd[REP_R], &error, sizeof error)) < 0 && errno == EINTR)
		;
	bool reaped = false;
	if (k > 0) {
		errno = error;
		e = err_errno(et, "%s", path);
	} else {
		e = watch(spec, pid, fd[OUT_R], fd[ERR_R], &out, &tail, &status, et);
		reaped = !e;
	}
	if (!reaped) {
		kill(-pid, SIGKILL);
		kill(pid, SIGKILL);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	close_all(fd, FDS);
	if (!e && out.n > out.max - SLACK)
		e = err_set(et, ERR_TOO_LARGE, "%s: more than %zu bytes of output", spec->argv[0],
			out.max - SLACK);
	if (e) {
		buf_free(&out);
		return e;
	}
	*r = (struct proc_result){.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
		.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
		.out = out,
		.wall_ms = (clock_mono_ns() - began) / 1000000};
	r->out.max = 0;
	/* from a character's first byte on */
	size_t from = 0;
	while (from < tail.n && ((unsigned char)tail_bytes[from] & 0xC0) == 0x80)
		from++;
	memcpy(r->err_tail, tail_bytes + from, tail.n - from);
	for (size_t i = 0; i < tail.n - from; i++)
		if (!r->err_tail[i])
			r->err_tail[i] = ' ';
	return OK;
}

void proc_result_release(struct proc_result *r)
{
	buf_free(&r->out);
}
