/* Errors: one enum, one row each.
 *
 * A fallible function returns enum err and takes, last, a struct errtext * for the detail (NULL is
 * allowed). The detail names the thing that is wrong and, where there is one, the remedy, in a
 * sentence that a user can act on; it never names addresses, keys or other users' data. On failure
 * out-parameters are untouched. Libraries neither exit nor log: the request or command that
 * started the work does, once.
 *
 *	enum err e = os_mkdirs(path, et);
 *	if (e)
 *		return e;
 *	if (n > max)
 *		return err_set(et, ERR_TOO_LARGE, "%s: %zu bytes, the limit is %zu", path, n, max);
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* name, word (stable, machine-readable), sentence, HTTP status, exit code, worth retrying */
#define ERR_TABLE(X)                                                                        \
	X(OK, "ok", "success", 200, 0, false)                                               \
	X(ERR_INVALID, "invalid", "the input is not valid", 400, 2, false)                  \
	X(ERR_UNAUTHENTICATED, "unauthenticated", "no valid credentials", 401, 3, false)    \
	X(ERR_FORBIDDEN, "forbidden", "not allowed", 403, 3, false)                         \
	X(ERR_NOT_FOUND, "not_found", "not found", 404, 4, false)                           \
	X(ERR_METHOD, "method_not_allowed", "method not allowed", 405, 2, false)            \
	X(ERR_CONFLICT, "conflict", "conflicts with the present state", 409, 5, false)      \
	X(ERR_TOO_LARGE, "too_large", "larger than a limit allows", 413, 6, false)          \
	X(ERR_UNSUPPORTED, "unsupported", "of a kind that is not supported", 415, 7, false) \
	X(ERR_CORRUPT, "corrupt", "damaged or malformed", 422, 8, false)                    \
	X(ERR_LIMIT, "limit", "a limit was reached", 422, 6, false)                         \
	X(ERR_BUSY, "busy", "too busy, try again later", 429, 9, true)                      \
	X(ERR_CANCELLED, "cancelled", "cancelled", 499, 130, false)                         \
	X(ERR_INTERNAL, "internal", "a defect in Croft", 500, 70, false)                    \
	X(ERR_IO, "io", "reading or writing failed", 500, 74, true)                         \
	X(ERR_NETWORK, "network", "another server could not be reached", 502, 10, true)     \
	X(ERR_NOT_READY, "not_ready", "not ready yet", 503, 9, true)                        \
	X(ERR_NOMEM, "out_of_memory", "out of memory", 503, 71, true)                       \
	X(ERR_TIMEOUT, "timeout", "took too long", 504, 11, true)                           \
	X(ERR_NO_SPACE, "no_space", "no space left", 507, 12, true)

enum err {
#define X(name, word, sentence, http, code, retry) name,
	ERR_TABLE(X)
#undef X
		ERR_COUNT
};

struct errtext {
	char msg[512];
};

const char *err_word(enum err e);     /* "not_found" */
const char *err_sentence(enum err e); /* "not found" */
int err_http(enum err e);
int err_exit(enum err e);
bool err_retryable(enum err e);
enum err err_from_errno(int errnum); /* ENOENT -> ERR_NOT_FOUND, ENOSPC -> ERR_NO_SPACE, ... */

/* Writes the detail (cut to fit; always valid UTF-8, '?' for bytes that are none) and returns e, so
 * that it can be returned. */
enum err err_set(struct errtext *et, enum err e, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The same for the present errno: "<what>: <strerror>". */
enum err err_errno(struct errtext *et, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Puts "<context>: " before the detail that is already there; returns e. */
enum err err_wrap(struct errtext *et, enum err e, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The detail, or the error's sentence when there is none. */
const char *err_text(enum err e, const struct errtext *et);

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

#endif
