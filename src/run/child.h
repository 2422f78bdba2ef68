/* A command run in the foreground for a run: it has the terminal's input, what it prints goes to
 * the terminal at once and to a log, and its time and memory are measured.
 *
 * When `cancel` is set the child gets SIGTERM (on a terminal it has had the user's SIGINT already
 * and is given ten seconds first), five seconds later SIGKILL. child_run returns when it has ended
 * and its output is read; what it left running behind it may go on, its output is no longer read.
 */
#ifndef RUN_CHILD_H
#define RUN_CHILD_H
#include "base/str.h"
#include "base/thread.h"

struct child_spec {
	const char *const *argv; /* argv[0] is looked up in PATH; NULL at the end */
	const char *const *env;  /* NULL at the end */
	const char *dir;         /* NULL: here */
	bool quiet;              /* to the log only */
	int log_fd;              /* both outputs, in the order in which they came */
	uint64_t log_max;        /* bytes; what is more is counted and not logged */
	const struct cancel *cancel;
};

struct child_result {
	int exit_code; /* -1 when a signal ended it */
	int signal;
	uint64_t wall_ms, cpu_ms, rss_max_bytes;
	uint64_t printed; /* bytes in all; more than log_max: the log is cut there */
};

/* ERR_NOT_FOUND: there is no such program. ERR_IO: the log cannot be written. A command that ran
 * and failed is no error here. */
enum err child_run(
	const struct child_spec *spec, struct child_result *r, struct errtext *et) MUST_CHECK;

#endif
