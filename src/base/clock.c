#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

static uint64_t read_clock(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int64_t clock_unix_ns(void)
{
	return (int64_t)read_clock(CLOCK_REALTIME);
}

int64_t clock_unix_ms(void)
{
	return clock_unix_ns() / 1000000;
}

uint64_t clock_mono_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_thread_ns(void)
{
	return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

void clock_rfc3339(int64_t unix_ms, char out[CLOCK_TEXT])
{
	int64_t s = unix_ms / 1000, ms = unix_ms % 1000;
	if (ms < 0)
		s--, ms += 1000;
	time_t t = (time_t)s;
	struct tm tm;
	if (!gmtime_r(&t, &tm) || tm.tm_year > 8099 || tm.tm_year < -1900) {
		snprintf(out, CLOCK_TEXT, "0000-00-00T00:00:00.000Z");
		return;
	}
	size_t n = strftime(out, CLOCK_TEXT, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + n, CLOCK_TEXT - n, ".%03dZ", (int)ms);
}

static bool digits(const char *p, int n, int *out)
{
	*out = 0;
	for (int i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		*out = *out * 10 + (p[i] - '0');
	}
	return true;
}

bool clock_parse_rfc3339(struct str s, int64_t *unix_ms)
{
	char t[40] = {0};
	if (s.n < 10 || s.n >= sizeof t)
		return false;
	memcpy(t, s.p, s.n);
	int year, month, day, hour = 0, minute = 0, second = 0, ms = 0, offset_min = 0;
	if (!digits(t, 4, &year) || t[4] != '-' || !digits(t + 5, 2, &month) || t[7] != '-' ||
		!digits(t + 8, 2, &day))
		return false;
	const char *p = t + 10;
	if (*p == 'T' || *p == 't' || *p == ' ') {
		if (!digits(p + 1, 2, &hour) || p[3] != ':' || !digits(p + 4, 2, &minute))
			return false;
		p += 6;
		if (*p == ':') {
			if (!digits(p + 1, 2, &second))
				return false;
			p += 3;
		}
		if (*p == '.') {
			int scale = 100;
			for (p++; *p >= '0' && *p <= '9'; p++, scale /= 10)
				ms += (*p - '0') * scale;
		}
		if (*p == '+' || *p == '-') {
			int oh, om;
			if (!digits(p + 1, 2, &oh) || p[3] != ':' || !digits(p + 4, 2, &om))
				return false;
			offset_min = (*p == '-' ? -1 : 1) * (oh * 60 + om);
			p += 6;
		} else if (*p == 'Z' || *p == 'z') {
			p++;
		}
	}
	if (*p || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 ||
		second > 60)
		return false;
	struct tm tm = {.tm_year = year - 1900,
		.tm_mon = month - 1,
		.tm_mday = day,
		.tm_hour = hour,
		.tm_min = minute,
		.tm_sec = second};
	int64_t when = (int64_t)timegm(&tm);
	if (tm.tm_mday != day) /* 31 February was moved on by timegm */
		return false;
	*unix_ms = (when - offset_min * 60) * 1000 + ms;
	return true;
}

void clock_sleep_ms(uint64_t ms)
{
	struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &t) == EINTR)
		;
}
