#include "base/log.h"
#include "base/clock.h"
#include "base/json.h"

#include <stdatomic.h>
#include <unistd.h>

static const char *const names[] = {"error", "warn", "info", "debug"};
static atomic_int threshold = LOG_INFO;
static atomic_bool as_json;

void log_set_level(enum log_level level)
{
	atomic_store(&threshold, (int)level);
}

void log_set_json(bool json)
{
	atomic_store(&as_json, json);
}

bool log_level_parse(struct str name, enum log_level *out)
{
	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq_c(name, names[i])) {
			*out = (enum log_level)i;
			return true;
		}
	return false;
}

/* One write(2) a line, so that lines of several threads do not mix. */
void log_write(enum log_level level, const char *fmt, ...)
{
	if ((int)level > atomic_load(&threshold))
		return;
	struct buf msg = {0}, line = {0};
	va_list ap;
	va_start(ap, fmt);
	buf_vaddf(&msg, fmt, ap);
	va_end(ap);
	char stamp[CLOCK_TEXT];
	clock_rfc3339(clock_unix_ms(), stamp);
	if (atomic_load(&as_json)) {
		struct jw w = {.out = &line};
		jw_obj(&w);
		jw_kc(&w, "time", stamp);
		jw_kc(&w, "level", names[level]);
		jw_kstr(&w, "message", buf_str(&msg));
		jw_end(&w);
	} else {
		buf_addf(&line, "%s %-5s ", stamp, names[level]);
		for (size_t i = 0; i < msg.n; i++) /* a message cannot forge a second line */
			buf_putc(&line, (unsigned char)msg.p[i] < 0x20 ? ' ' : msg.p[i]);
	}
	buf_putc(&line, '\n');
	ssize_t done = write(STDERR_FILENO, buf_c(&line), line.n);
	(void)done;
	buf_free(&msg);
	buf_free(&line);
}
