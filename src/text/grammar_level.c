/* Which states can be asked in place of others: those that read the same texts of up to
 * MACHINE_TOKEN_MAX bytes, end and call alike on the way. [a-z]{0,200} has 201 states, but a token
 * cannot tell the first 152 apart.
 *
 * Moore's refinement, stopped after as many rounds: what k rounds do not tell apart, no text of k
 * bytes does. All states can be completed, so whether one is accepting matters only where it ends a
 * part. */
#include <stdlib.h>
#include "base/hash.h"
#include "text/grammar_int.h"

enum { TABLE_MAX = 100 * 1000 }; /* larger ones are not worth the time */

struct leveller {
	const struct net *net;
	uint32_t *class, *fresh; /* of each state, before and after a round */
	uint32_t *first;         /* the first state of a new class */
	uint32_t *table, n_table;
	uint32_t *sign[2]; /* scratch */
};

/* What tells a state from others, given the classes so far: `out` has room. Returns its length. */
static size_t sign(const struct leveller *l, uint32_t s, uint32_t *out)
{
	const struct net *net = l->net;
	size_t n = 0;
	out[n++] = l->class[s];
	for (uint32_t c = 0; c < net->n_classes; c++) {
		uint32_t next = net->next[s * net->n_classes + c];
		out[n++] = next == NO_STATE ? NO_STATE : l->class[next];
	}
	for (uint32_t i = net->first_call[s]; i < net->first_call[s + 1]; i++) {
		out[n++] = net->calls[i].start;
		out[n++] = l->class[net->calls[i].target];
	}
	return n;
}

/* One round; returns how many classes there are. */
static uint32_t refine(struct leveller *l)
{
	uint32_t n_classes = 0, mask = l->n_table - 1;
	memset(l->table, 0, l->n_table * sizeof *l->table);
	for (uint32_t s = 0; s < l->net->n_states; s++) {
		size_t n = sign(l, s, l->sign[0]), bytes = n * sizeof(uint32_t);
		uint32_t at = (uint32_t)hash64(str_mk(l->sign[0], bytes)) & mask;
		for (; l->table[at]; at = (at + 1) & mask)
			if (sign(l, l->first[l->table[at] - 1], l->sign[1]) == n &&
				!memcmp(l->sign[0], l->sign[1], bytes))
				break;
		if (!l->table[at]) {
			l->first[n_classes] = s;
			l->table[at] = ++n_classes;
		}
		l->fresh[s] = l->table[at] - 1;
	}
	memcpy(l->class, l->fresh, l->net->n_states * sizeof *l->class);
	return n_classes;
}

static void level(struct leveller *l, uint32_t *out)
{
	uint32_t n = 0, before = 1;
	for (uint32_t s = 0; s < l->net->n_states; s++)
		l->class[s] = l->net->flags[s];
	for (unsigned round = 0; round < MACHINE_TOKEN_MAX; round++, before = n) {
		n = refine(l);
		if (n == before || n == l->net->n_states)
			break;
	}
	for (uint32_t s = 0; s < l->net->n_states; s++)
		out[s] = l->first[l->class[s]];
}

uint32_t *net_level(const struct net *net, struct arena *a)
{
	uint32_t n = net->n_states, most = 0;
	for (uint32_t s = 0; s < n; s++)
		most = MAX(most, net->first_call[s + 1] - net->first_call[s]);
	if ((uint64_t)n * net->n_classes > TABLE_MAX)
		return NULL;
	struct leveller l = {.net = net, .n_table = 16};
	while (l.n_table < 2 * n)
		l.n_table *= 2;
	size_t width = 1 + net->n_classes + 2 * (size_t)most;
	uint32_t *out = arena_array_of(a, n, uint32_t);
	l.class = calloc(n, sizeof *l.class);
	l.fresh = calloc(n, sizeof *l.fresh);
	l.first = calloc(n, sizeof *l.first);
	l.table = calloc(l.n_table, sizeof *l.table);
	l.sign[0] = calloc(width, sizeof *l.sign[0]);
	l.sign[1] = calloc(width, sizeof *l.sign[1]);
	if (out && l.class && l.fresh && l.first && l.table && l.sign[0] && l.sign[1])
		level(&l, out);
	else
		out = NULL;
	free(l.class);
	free(l.fresh);
	free(l.first);
	free(l.table);
	free(l.sign[0]);
	free(l.sign[1]);
	return out;
}
