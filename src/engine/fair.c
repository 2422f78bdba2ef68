/* Who goes next: the lowest priority number; among equals what goes on with an answer; then the
 * client that the machine has done least for; of one client's the oldest.
 *
 * What was done for a client is counted in prompt tokens read, a written token as WRITTEN of them
 * (schedule.c). Somebody who comes after a while starts from the least that was done for those who
 * are there: being away gives no credit, and a crowd of requests from one client delays another's
 * by one at most. (The virtual token counter of Sheng et al., Fairness in Serving Large Language
 * Models, OSDI 2024.) */
#include "engine/generator_int.h"

#include <stdlib.h>

static uint64_t least_service(const struct fair *q)
{
	uint64_t least = UINT64_MAX;
	for (const struct client *c = q->clients; c; c = c->next)
		if (c->inside)
			least = MIN(least, c->service);
	return least;
}

/* Those who left, and whose past no longer tells them from somebody new. */
static void forget_clients(struct fair *q, uint64_t least)
{
	for (struct client **at = &q->clients; *at;) {
		struct client *c = *at;
		if (c->inside || c->service > least) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		free(c);
	}
}

struct client *client_enter(struct fair *q, uint64_t id)
{
	uint64_t least = least_service(q);
	forget_clients(q, least);
	struct client *c = q->clients;
	while (c && c->id != id)
		c = c->next;
	if (!c) {
		c = calloc(1, sizeof *c);
		if (!c)
			return NULL;
		c->id = id;
		c->service = least == UINT64_MAX ? 0 : least;
		c->next = q->clients;
		q->clients = c;
	}
	c->inside++;
	return c;
}

void client_leave(struct fair *q, struct client *c)
{
	c->inside--;
	forget_clients(q, least_service(q));
}

void fair_add(struct fair *q, struct job *j)
{
	j->next = q->first;
	q->first = j;
	q->n++;
}

void fair_remove(struct fair *q, struct job *j)
{
	struct job **at = &q->first;
	while (*at != j)
		at = &(*at)->next;
	*at = j->next;
	q->n--;
}

static bool goes_before(const struct job *a, const struct job *b)
{
	if (a->r->priority != b->r->priority)
		return a->r->priority < b->r->priority;
	if (a->r->goes_on != b->r->goes_on)
		return a->r->goes_on;
	if (a->client->service != b->client->service)
		return a->client->service < b->client->service;
	return a->submitted_ns < b->submitted_ns;
}

struct job *fair_best(const struct fair *q)
{
	struct job *best = q->first;
	for (struct job *j = best; j; j = j->next)
		if (goes_before(j, best))
			best = j;
	return best;
}

bool job_before(const struct job *a, const struct job *b)
{
	if (a->r->priority != b->r->priority)
		return a->r->priority < b->r->priority;
	return a->submitted_ns < b->submitted_ns;
}

void fair_free(struct fair *q)
{
	for (struct client *c = q->clients, *next; c; c = next) {
		next = c->next;
		free(c);
	}
}
