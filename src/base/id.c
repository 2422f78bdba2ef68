#include "base/id.h"
#include "base/clock.h"
#include "base/hash.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

void random_bytes(void *out, size_t n)
{
	char *p = out;
	while (n) {
		ssize_t k = getrandom(p, n, 0);
		if (k < 0) {
			if (errno == EINTR)
				continue;
			abort(); /* no entropy source: nothing that needs one may go on */
		}
		p += k;
		n -= (size_t)k;
	}
}

/* 48 bits of milliseconds, 12 bits of a counter within the millisecond, 62 random bits. When the
 * counter is full, or the clock steps back, the last time is kept and moved on by one. */
struct id id_new(void)
{
	static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
	static uint64_t last_ms;
	static unsigned counter;
	struct id id;
	random_bytes(&id, sizeof id);
	uint64_t ms = (uint64_t)clock_unix_ms();
	pthread_mutex_lock(&mu);
	if (ms > last_ms) {
		last_ms = ms;
		counter = id.b[6] & 0x07; /* start low, random */
	} else if (++counter > 0xFFF) {
		last_ms++;
		counter = 0;
	}
	ms = last_ms;
	unsigned count = counter;
	pthread_mutex_unlock(&mu);
	for (int i = 0; i < 6; i++)
		id.b[i] = (uint8_t)(ms >> (40 - 8 * i));
	id.b[6] = (uint8_t)(0x70 | count >> 8);
	id.b[7] = (uint8_t)count;
	id.b[8] = (uint8_t)(0x80 | (id.b[8] & 0x3F));
	return id;
}

bool id_is_zero(struct id id)
{
	static const struct id zero;
	return memcmp(&id, &zero, sizeof id) == 0;
}

void id_hex(struct id id, char out[ID_HEX + 1])
{
	hex_encode(id.b, sizeof id.b, out);
}

bool id_parse(struct str s, struct id *out)
{
	char t[ID_HEX];
	if (s.n == 36) {
		size_t n = 0;
		for (size_t i = 0; i < 36; i++) {
			bool dash = i == 8 || i == 13 || i == 18 || i == 23;
			if (dash != (s.p[i] == '-'))
				return false;
			if (!dash)
				t[n++] = s.p[i];
		}
		s = str_mk(t, ID_HEX);
	}
	struct id id;
	if (s.n != ID_HEX || !hex_decode(s, id.b, sizeof id.b))
		return false;
	*out = id;
	return true;
}

int64_t id_unix_ms(struct id id)
{
	uint64_t ms = 0;
	for (int i = 0; i < 6; i++)
		ms = ms << 8 | id.b[i];
	return (int64_t)ms;
}
