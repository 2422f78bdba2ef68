/* The circuit breaker of one provider; see the diagram in remote_int.h. */
#include "endpoint/remote_int.h"

void breaker_init(struct breaker *b)
{
	*b = (struct breaker){0};
	pthread_mutex_init(&b->mu, NULL);
}

/* With the mutex held. */
static enum breaker_state now_is(const struct breaker *b, uint64_t now_ns)
{
	return b->state == BREAKER_OPEN && now_ns >= b->open_until_ns ? BREAKER_HALF_OPEN
								      : b->state;
}

bool breaker_enter(struct breaker *b, uint64_t now_ns, uint64_t *wait_ns)
{
	pthread_mutex_lock(&b->mu);
	b->state = now_is(b, now_ns);
	bool may = b->state == BREAKER_CLOSED || (b->state == BREAKER_HALF_OPEN && !b->probing);
	if (b->state == BREAKER_HALF_OPEN && may)
		b->probing = true;
	*wait_ns = b->state == BREAKER_OPEN ? b->open_until_ns - now_ns : 0;
	pthread_mutex_unlock(&b->mu);
	return may;
}

void breaker_passed(struct breaker *b)
{
	pthread_mutex_lock(&b->mu);
	b->state = BREAKER_CLOSED;
	b->probing = false;
	b->failures = 0;
	pthread_mutex_unlock(&b->mu);
}

void breaker_failed(struct breaker *b, unsigned limit, uint64_t now_ns, uint64_t pause_ns)
{
	pthread_mutex_lock(&b->mu);
	b->failures++;
	b->probing = false;
	if (limit && (b->state == BREAKER_HALF_OPEN || b->failures >= limit)) {
		b->state = BREAKER_OPEN;
		b->open_until_ns = now_ns + pause_ns;
	}
	pthread_mutex_unlock(&b->mu);
}

void breaker_left(struct breaker *b)
{
	pthread_mutex_lock(&b->mu);
	b->probing = false;
	pthread_mutex_unlock(&b->mu);
}

enum breaker_state breaker_look(struct breaker *b, uint64_t now_ns, unsigned *failures)
{
	pthread_mutex_lock(&b->mu);
	enum breaker_state s = now_is(b, now_ns);
	*failures = b->failures;
	pthread_mutex_unlock(&b->mu);
	return s;
}

const char *breaker_word(enum breaker_state s)
{
	static const char *const words[] = {"closed", "open", "half_open"};
	return words[s];
}
