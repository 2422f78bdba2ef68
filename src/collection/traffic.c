/* How often items were hits: counted by searches that somebody asked for, kept in a small table in
 * memory, and written each few seconds. A server that dies forgets the last seconds; what does not
 * fit between two writes is not counted. Of one search the best hits count, not thousands. */
#include "collection/traffic.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>

enum { SLOTS = 1 << 16, FULL = SLOTS / 4 * 3, COUNTED = 100, EACH_MS = 5000, AT_ONCE = 1000 };

struct traffic {
	pthread_mutex_t mu;
	struct traffic_row *slots; /* [SLOTS]; num 0: free; NULL until something is counted */
	size_t n;
	int64_t written_ms;
};

enum err traffic_new(struct traffic **out, struct errtext *et)
{
	struct traffic *t = calloc(1, sizeof *t);
	if (!t)
		return err_set(et, ERR_NOMEM, "no memory for counting hits");
	pthread_mutex_init(&t->mu, NULL);
	*out = t;
	return OK;
}

void traffic_free(struct traffic *t)
{
	if (!t)
		return;
	pthread_mutex_destroy(&t->mu);
	free(t->slots);
	free(t);
}

static void count(struct traffic *t, int64_t collection, int64_t num)
{
	uint64_t h =
		((uint64_t)collection ^ (uint64_t)num * 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u;
	for (size_t i = h >> 48;; i = (i + 1) % SLOTS) {
		struct traffic_row *r = &t->slots[i];
		if (r->num && (r->num != num || r->collection != collection))
			continue;
		if (!r->num && t->n == FULL)
			return;
		t->n += !r->num;
		r->collection = collection;
		r->num = num;
		r->hits++;
		return;
	}
}

void collection_count_hits(struct collection *k, const struct item_hit *hits, size_t n)
{
	struct traffic *t = collections_of(k->c)->traffic;
	if (k->asof)
		return;
	pthread_mutex_lock(&t->mu);
	if (!t->slots)
		t->slots = calloc(SLOTS, sizeof *t->slots);
	for (size_t i = 0; t->slots && i < MIN(n, (size_t)COUNTED); i++)
		count(t, k->number, (int64_t)hits[i].key);
	pthread_mutex_unlock(&t->mu);
}

/* ---- writing ---- */

struct part {
	const struct traffic_row *rows;
	size_t n;
	int64_t now_ms;
};

static enum err write_in(struct tx *tx, void *ctx, struct errtext *et)
{
	const struct part *p = ctx;
	enum err e = OK;
	for (size_t i = 0; i < p->n && !e; i++)
		e = store_traffic_add(tx, &p->rows[i], p->now_ms, et);
	return e;
}

void traffic_write(struct croft *c, bool at_once)
{
	struct traffic *t = collections_of(c)->traffic;
	struct errtext et = {0};
	struct traffic_row *rows = NULL;
	int64_t now = clock_unix_ms();
	size_t n = 0;
	pthread_mutex_lock(&t->mu);
	if (t->n && (at_once || now - t->written_ms >= EACH_MS || t->n > FULL / 2)) {
		rows = t->slots;
		t->slots = NULL;
		t->n = 0;
		t->written_ms = now;
	}
	pthread_mutex_unlock(&t->mu);
	for (size_t i = 0; rows && i < SLOTS; i++)
		if (rows[i].num)
			rows[n++] = rows[i];
	for (size_t at = 0; at < n; at += AT_ONCE) {
		struct part p = {rows + at, MIN(n - at, (size_t)AT_ONCE), now};
		if (db_write(croft_db(c), write_in, &p, &et)) {
			log_warn("counts of hits were not written: %s", et.msg);
			break;
		}
	}
	free(rows);
}
