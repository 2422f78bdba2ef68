/* What surrounds a command when a run starts it: variables, the Python that it uses with its
 * packages, the machine. As JSON, so that a run can keep it, show it and compare it later.
 *
 * Variables whose name or value looks like a secret are withheld: only their names are kept. */
#ifndef RUN_ENVIRONMENT_H
#define RUN_ENVIRONMENT_H
#include "base/arena.h"
#include "base/json.h"

/* Writes one object:
 *   {"variables": {NAME: value}, "withheld": [NAME],
 *    "python": {"executable", "version", "packages": {name: version}} | null,
 *    "machine": {"host", "system", "kernel", "cpu", "cores", "memory_bytes"}}
 * argv is the command that is to run; env is like environ. A Python that does not answer is null,
 * and `note` (may be NULL) says why. */
void environment_write(
	struct jw *w, const char *const *argv, const char *const *env, struct buf *note);

/* Whether the variable's name, or a user and password in a URL that is its value, says that it must
 * not be kept. */
bool environment_is_secret(struct str name, struct str value);

/* For a command that is to run again: the variables of `now` that belong to the machine and the
 * session (PATH, HOME, TERM, ...), the recorded ones for all others, and `extra` ("NAME=value")
 * above both. NULL at the end; in `a`. NULL: no memory. */
const char **environment_again(
	struct arena *a, const char *const *now, yyjson_val *recorded, const char *const *extra);

/* What differs between two records, a line each: "python numpy 1.26.4 -> 2.1.0". */
void environment_diff(yyjson_val *then, yyjson_val *now, struct buf *out);

#endif
