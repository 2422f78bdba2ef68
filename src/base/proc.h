/* Child processes: another program, given bytes, gives bytes back, under limits.
 *
 * The input is a file in memory that the child may seek in; its output is captured up to a cap, of
 * its error output the end is kept. proc_run returns when the child has ended; a child that passes
 * a limit is killed, with whatever it started. A child that ran and failed is no error here: look
 * at exit_code and signal.
 *
 *	struct proc_result r;
 *	const char *argv[] = {"pdftotext", "-", "-", NULL};
 *	struct proc_spec spec = {.argv = argv, .input = pdf, .sandbox = true, .wall_ms_max = 10000};
 *	enum err e = proc_run(&spec, &r, et);
 *	... r.out ...
 *	proc_result_release(&r);
 *
 * In the sandbox a child can read and execute what lies in the system's folders of programs and
 * libraries (/usr, /lib...) and what `readable` adds, and write nothing; it cannot make sockets,
 * start processes, trace others, or gain rights; a root parent's child runs as nobody. That is
 * landlock + seccomp + rlimits + no_new_privs. What the kernel does not offer is left out:
 * proc_sandbox() says what there is. Any thread; the child inherits no other descriptors. */
#ifndef BASE_PROC_H
#define BASE_PROC_H
#include "base/str.h"
#include "base/thread.h"

struct proc_spec {
	const char *const *argv; /* argv[0]: a path, or a name looked up in PATH; NULL at the end */
	const char *const
		*env; /* "NAME=value"..., NULL at the end; NULL: PATH and a UTF-8 locale */
	struct str input;
	size_t output_max;    /* bytes; 0: 64 MiB */
	uint32_t wall_ms_max; /* 0: 60,000 */
	uint32_t cpu_s_max;   /* 0: no limit */
	size_t memory_max;    /* bytes of data; 0: no limit */
	bool sandbox;
	const char *const *readable; /* NULL, or paths; NULL at the end */
	const struct cancel *cancel;
	/* Takes the output as it comes, instead of r->out; false ends the child (ERR_CANCELLED). */
	bool (*on_output)(void *ctx, struct str bytes);
	void *on_output_ctx;
};

struct proc_result {
	int exit_code; /* -1 when a signal ended it */
	int signal;    /* 0: none */
	struct buf out;
	char err_tail[2048]; /* the end of the error output, UTF-8 */
	uint64_t wall_ms;
};

/* ERR_NOT_FOUND: there is no such program; ERR_TIMEOUT, ERR_TOO_LARGE (output), ERR_CANCELLED: it
 * was killed. On an error there is nothing to release. */
enum err proc_run(
	const struct proc_spec *spec, struct proc_result *r, struct errtext *et) MUST_CHECK;
void proc_result_release(struct proc_result *r);

enum { PROC_LANDLOCK = 1, PROC_LANDLOCK_NET = 2, PROC_SECCOMP = 4 };
unsigned proc_sandbox(void); /* what this kernel offers; asked once */
/* "landlock (ABI 7), seccomp, rlimits" or "rlimits only: no landlock, no seccomp" */
void proc_sandbox_describe(struct buf *out);

#endif
