#include "base/str.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *word, *sentence;
	int http, code;
	bool retry;
} rows[] = {
#define X(name, word, sentence, http, code, retry) {word, sentence, http, code, retry},
	ERR_TABLE(X)
#undef X
};

static unsigned row_of(enum err e)
{
	return (unsigned)e < ERR_COUNT ? (unsigned)e : ERR_INTERNAL;
}

const char *err_word(enum err e)
{
	return rows[row_of(e)].word;
}

const char *err_sentence(enum err e)
{
	return rows[row_of(e)].sentence;
}

int err_http(enum err e)
{
	return rows[row_of(e)].http;
}

int err_exit(enum err e)
{
	return rows[row_of(e)].code;
}

bool err_retryable(enum err e)
{
	return rows[row_of(e)].retry;
}

enum err err_from_errno(int errnum)
{
	switch (errnum) {
	case ENOENT:
	case ENOTDIR:
		return ERR_NOT_FOUND;
	case EACCES:
	case EPERM:
	case EROFS:
		return ERR_FORBIDDEN;
	case EEXIST:
		return ERR_CONFLICT;
	case ENOSPC:
	case EDQUOT:
		return ERR_NO_SPACE;
	case ENOMEM:
		return ERR_NOMEM;
	case EINVAL:
	case ENAMETOOLONG:
	case EISDIR:
	case ELOOP:
		return ERR_INVALID;
	case EFBIG:
		return ERR_TOO_LARGE;
	case EAGAIN:
	case EMFILE:
	case ENFILE:
		return ERR_BUSY;
	case ETIMEDOUT:
		return ERR_TIMEOUT;
	case ECONNREFUSED:
	case ECONNRESET:
	case EHOSTUNREACH:
	case ENETUNREACH:
		return ERR_NETWORK;
	default:
		return ERR_IO;
	}
}

/* A detail is valid UTF-8 whatever was put into it: names from outside may hold any bytes, and a
 * "%.100s" may cut inside a code point. What is malformed becomes '?' byte by byte; an incomplete
 * tail, which snprintf left, goes. */
static void make_utf8(char *s)
{
	size_t n = strlen(s), i = 0;
	n = utf8_complete_prefix(str_mk(s, n));
	s[n] = 0;
	while (i < n) {
		uint32_t cp;
		size_t len = utf8_decode(str_mk(s + i, n - i), &cp);
		bool good = cp != 0xFFFD || (len == 3 && memcmp(s + i, "\xEF\xBF\xBD", 3) == 0);
		if (!good)
			memset(s + i, '?', len);
		i += len;
	}
}

enum err err_set(struct errtext *et, enum err e, const char *fmt, ...)
{
	if (et) {
		va_list ap;
		va_start(ap, fmt);
		vsnprintf(et->msg, sizeof et->msg, fmt, ap);
		va_end(ap);
		make_utf8(et->msg);
	}
	return e;
}

enum err err_errno(struct errtext *et, const char *fmt, ...)
{
	int errnum = errno;
	if (et) {
		va_list ap;
		va_start(ap, fmt);
		int n = vsnprintf(et->msg, sizeof et->msg, fmt, ap);
		va_end(ap);
		char text[128];
		const char *reason = strerror_r(errnum, text, sizeof text);
		if (n >= 0 && (size_t)n < sizeof et->msg)
			snprintf(et->msg + n, sizeof et->msg - (size_t)n, ": %s", reason);
		make_utf8(et->msg);
	}
	return err_from_errno(errnum);
}

enum err err_wrap(struct errtext *et, enum err e, const char *fmt, ...)
{
	if (et) {
		char old[sizeof et->msg];
		memcpy(old, et->msg, sizeof old);
		va_list ap;
		va_start(ap, fmt);
		int n = vsnprintf(et->msg, sizeof et->msg, fmt, ap);
		va_end(ap);
		if (n >= 0 && (size_t)n < sizeof et->msg)
			snprintf(et->msg + n, sizeof et->msg - (size_t)n, ": %s", old);
		make_utf8(et->msg);
	}
	return e;
}

const char *err_text(enum err e, const struct errtext *et)
{
	return et && et->msg[0] ? et->msg : err_sentence(e);
}
