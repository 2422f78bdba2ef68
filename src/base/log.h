/* Log lines to stderr: time, level, message, one line each. Libraries stay at LOG_DEBUG; the
 * request, job or command that started the work logs its failure once. Never log secrets or users'
 * content above debug. */
#ifndef BASE_LOG_H
#define BASE_LOG_H
#include "base/str.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level); /* LOG_INFO at start */
void log_set_json(bool json);             /* one JSON object a line instead of text */
bool log_level_parse(struct str name, enum log_level *out);
void log_write(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)

#endif
