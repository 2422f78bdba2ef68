/* Scores that a cross-encoder gave to pairs of a question and a passage, kept from one search to
 * the next: settings that are compared find the same passages again and again, and reading them is
 * what takes the time.
 *
 * A table of buckets of WAYS entries; a key is the beginning of the SHA-256 of model, question and
 * passage, so that two pairs are never taken for one. A full bucket forgets what was put there
 * first. A score does not depend on what else was read with it (docs/rerank.md), so that what is
 * kept is what would be computed. */
#include "rag/rag_int.h"

#include <stdlib.h>

enum { WAYS = 8, KEY = 16 };

struct bucket {
	uint8_t key[WAYS][KEY];
	float score[WAYS];
	uint8_t used, next;
};

struct rag_pairs {
	pthread_mutex_t mu;
	size_t n_buckets; /* a power of two */
	uint64_t read, kept;
	struct bucket buckets[];
};

enum err rag_pairs_new(size_t most, struct rag_pairs **out, struct errtext *et)
{
	size_t n = 1;
	while (n * WAYS < most)
		n *= 2;
	struct rag_pairs *p = calloc(1, sizeof *p + n * sizeof p->buckets[0]);
	if (!p)
		return err_set(et, ERR_NOMEM, "no memory to keep %zu scores", most);
	p->n_buckets = n;
	pthread_mutex_init(&p->mu, NULL);
	*out = p;
	return OK;
}

void rag_pairs_free(struct rag_pairs *p)
{
	if (!p)
		return;
	pthread_mutex_destroy(&p->mu);
	free(p);
}

struct rag_pairs_count rag_pairs_count(struct rag_pairs *p)
{
	struct rag_pairs_count n = {0};
	if (!p)
		return n;
	pthread_mutex_lock(&p->mu);
	n = (struct rag_pairs_count){.read = p->read, .kept = p->kept};
	pthread_mutex_unlock(&p->mu);
	return n;
}

/* ---- one pair ---- */

static enum err key_of(
	struct str model, struct str question, struct str passage, uint8_t out[SHA256_BYTES])
{
	const struct str parts[] = {model, question, passage};
	struct sha256 h;
	enum err e = sha256_init(&h);
	for (size_t i = 0; i < ARRAY_LEN(parts) && !e; i++) {
		uint64_t n = parts[i].n;
		sha256_add(&h, &n, sizeof n);
		sha256_add(&h, parts[i].p, parts[i].n);
	}
	if (!e)
		sha256_end(&h, out);
	return e;
}

static struct bucket *bucket_of(struct rag_pairs *p, const uint8_t *key)
{
	uint64_t at;
	memcpy(&at, key + KEY, sizeof at);
	return &p->buckets[at & (p->n_buckets - 1)];
}

static bool find(struct rag_pairs *p, const uint8_t *key, float *score)
{
	const struct bucket *b = bucket_of(p, key);
	for (size_t i = 0; i < b->used; i++)
		if (!memcmp(b->key[i], key, KEY)) {
			*score = b->score[i];
			return true;
		}
	return false;
}

static void put(struct rag_pairs *p, const uint8_t *key, float score)
{
	struct bucket *b = bucket_of(p, key);
	size_t at = b->used < WAYS ? b->used++ : b->next++ % WAYS;
	memcpy(b->key[at], key, KEY);
	b->score[at] = score;
}

/* ---- a list ---- */

struct list {
	uint8_t (*key)[SHA256_BYTES];
	struct str *unread;
	float *score;
	uint32_t *at; /* of the unread ones */
	size_t n;
};

static void list_free(struct list *l)
{
	free(l->key);
	free(l->unread);
	free(l->score);
	free(l->at);
}

static enum err list_new(struct list *l, size_t n, struct errtext *et)
{
	*l = (struct list){.key = malloc((n + 1) * sizeof *l->key),
		.unread = malloc((n + 1) * sizeof *l->unread),
		.score = malloc((n + 1) * sizeof *l->score),
		.at = malloc((n + 1) * sizeof *l->at)};
	if (l->key && l->unread && l->score && l->at)
		return OK;
	return err_set(et, ERR_NOMEM, "no memory for scores");
}

static enum err look_up(struct rag_pairs *p, struct list *l, const struct pairs_ask *q,
	float *scores, struct errtext *et)
{
	enum err e = OK;
	for (size_t i = 0; i < q->n && !e; i++)
		e = key_of(q->model_sha256, q->question, q->passages[i], l->key[i]);
	if (e)
		return err_set(et, e, "no memory for scores");
	pthread_mutex_lock(&p->mu);
	for (size_t i = 0; i < q->n; i++) {
		if (find(p, l->key[i], &scores[i]))
			continue;
		l->at[l->n] = (uint32_t)i;
		l->unread[l->n++] = q->passages[i];
	}
	p->read += l->n;
	p->kept += q->n - l->n;
	pthread_mutex_unlock(&p->mu);
	return OK;
}

static void keep_all(struct rag_pairs *p, const struct list *l, float *scores)
{
	pthread_mutex_lock(&p->mu);
	for (size_t i = 0; i < l->n; i++) {
		scores[l->at[i]] = l->score[i];
		put(p, l->key[l->at[i]], l->score[i]);
	}
	pthread_mutex_unlock(&p->mu);
}

enum err pairs_score(
	struct rag_pairs *p, const struct pairs_ask *q, float *scores, struct errtext *et)
{
	struct list l;
	if (!p)
		return q->read(q->ctx, q->passages, q->n, scores, et);
	enum err e = list_new(&l, q->n, et);
	e = e ? e : look_up(p, &l, q, scores, et);
	if (!e && l.n)
		e = q->read(q->ctx, l.unread, l.n, l.score, et);
	if (!e)
		keep_all(p, &l, scores);
	list_free(&l);
	return e;
}
