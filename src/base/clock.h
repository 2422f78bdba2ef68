/* Time. Wall-clock time is milliseconds since 1970 in UTC (int64_t ..._ms); durations and
 * deadlines are nanoseconds of the monotonic clock (uint64_t ..._ns), which never runs backwards.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H
#include "base/str.h"

enum { CLOCK_TEXT = 32 };

int64_t clock_unix_ms(void);
int64_t clock_unix_ns(void); /* for spans: wall time with nanoseconds */
uint64_t clock_mono_ns(void);
uint64_t clock_thread_ns(void);                            /* that this thread has computed */
void clock_rfc3339(int64_t unix_ms, char out[CLOCK_TEXT]); /* 2026-11-24T01:02:03.456Z */
bool clock_parse_rfc3339(struct str s, int64_t *unix_ms);  /* also a bare date: midnight UTC */
void clock_sleep_ms(uint64_t ms);

#endif
