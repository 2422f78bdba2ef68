/* Byte-pair merging. Short words: look at every pair, merge the first of the lowest rank, again.
 * Long ones (a whole text, where there is no splitter): a linked list and a heap, O(n log n). */
#include "engine/tokenizer_int.h"

static const struct pair *pair_get(const struct pairtab *t, int32_t left, int32_t right)
{
	if (left < 0 || right < 0)
		return NULL;
	uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
	uint64_t i = key * 0x9E3779B97F4A7C15u;
	for (i ^= i >> 29;; i++) {
		const struct pair *p = &t->slot[i & t->mask];
		if (p->key == key)
			return p;
		if (p->key == UINT64_MAX)
			return NULL;
	}
}

struct sym {
	int32_t id; /* -1: nothing merges with it */
	uint32_t from, to;
	int32_t prev, next; /* long words only */
};

/* The first symbols: bytes, or characters with their bytes where the vocabulary lacks one. */
static size_t first_symbols(const struct tokenizer *tk, const struct view *v, struct sym *s)
{
	size_t n = 0, len;
	if (tk->byte_level) {
		for (size_t i = 0; i < v->n; i++)
			s[n++] = (struct sym){
				tk->byte_id[(uint8_t)v->p[i]], (uint32_t)i, (uint32_t)i + 1, 0, 0};
		return n;
	}
	for (size_t i = 0; i < v->n; i += len) {
		uint32_t cp = cp_at(v->p, i, v->n, &len);
		int32_t id = tk_lookup(tk, str_mk(v->p + i, len));
		(void)cp;
		if (id < 0 && tk->byte_fallback && !tk->pseudo) {
			bool all = true;
			for (size_t k = 0; k < len; k++)
				all = all && tk->byte_id[(uint8_t)v->p[i + k]] >= 0;
			if (all) {
				for (size_t k = 0; k < len; k++)
					s[n++] = (struct sym){tk->byte_id[(uint8_t)v->p[i + k]],
						(uint32_t)(i + k), (uint32_t)(i + k + 1), 0, 0};
				continue;
			}
		}
		s[n++] = (struct sym){id, (uint32_t)i, (uint32_t)(i + len), 0, 0};
	}
	return n;
}

static size_t merge_short(const struct tokenizer *tk, struct sym *s, size_t n)
{
	enum { NONE = UINT32_MAX };
	uint32_t rank[64], id[64]; /* of pair (i, i + 1) */
	for (size_t i = 0; i + 1 < n; i++) {
		const struct pair *p = pair_get(&tk->pairs, s[i].id, s[i + 1].id);
		rank[i] = p ? p->rank : NONE;
		id[i] = p ? p->id : 0;
	}
	while (n > 1) {
		size_t best = 0;
		for (size_t i = 1; i + 1 < n; i++)
			if (rank[i] < rank[best])
				best = i;
		if (rank[best] == NONE)
			break;
		s[best].id = (int32_t)id[best];
		s[best].to = s[best + 1].to;
		memmove(s + best + 1, s + best + 2, (n - best - 2) * sizeof *s);
		memmove(rank + best, rank + best + 1, (n - best - 2) * sizeof *rank);
		memmove(id + best, id + best + 1, (n - best - 2) * sizeof *id);
		n--;
		for (size_t k = best ? best - 1 : 0; k <= best && k + 1 < n; k++) {
			const struct pair *p = pair_get(&tk->pairs, s[k].id, s[k + 1].id);
			rank[k] = p ? p->rank : NONE;
			id[k] = p ? p->id : 0;
		}
	}
	return n;
}

struct cand {
	uint32_t rank, at;   /* at: the left symbol */
	int32_t left, right; /* ids when it was put: stale when they differ */
	uint32_t id;
};

static bool cand_less(const struct cand *a, const struct cand *b)
{
	return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void heap_put(struct cand *h, size_t *n, struct cand c)
{
	size_t i = (*n)++;
	while (i) {
		size_t up = (i - 1) / 2;
		if (!cand_less(&c, &h[up]))
			break;
		h[i] = h[up];
		i = up;
	}
	h[i] = c;
}

static struct cand heap_get(struct cand *h, size_t *n)
{
	struct cand top = h[0], last = h[--*n];
	size_t i = 0;
	for (size_t k; (k = 2 * i + 1) < *n; i = k) {
		if (k + 1 < *n && cand_less(&h[k + 1], &h[k]))
			k++;
		if (!cand_less(&h[k], &last))
			break;
		h[i] = h[k];
	}
	h[i] = last;
	return top;
}

static void offer(
	const struct tokenizer *tk, const struct sym *s, int32_t at, struct cand *h, size_t *n)
{
	if (at < 0 || s[at].next < 0)
		return;
	const struct pair *p = pair_get(&tk->pairs, s[at].id, s[s[at].next].id);
	if (p)
		heap_put(h, n,
			(struct cand){p->rank, (uint32_t)at, s[at].id, s[s[at].next].id, p->id});
}

/* The heap holds at most one candidate per pair at the start and two per merge. */
static size_t merge_long(const struct tokenizer *tk, struct sym *s, size_t n, struct cand *heap)
{
	size_t heap_n = 0;
	for (size_t i = 0; i < n; i++) {
		s[i].prev = (int32_t)i - 1;
		s[i].next = i + 1 < n ? (int32_t)i + 1 : -1;
	}
	for (size_t i = 0; i + 1 < n; i++)
		offer(tk, s, (int32_t)i, heap, &heap_n);
	while (heap_n) {
		struct cand c = heap_get(heap, &heap_n);
		struct sym *l = &s[c.at];
		if (l->to == l->from || l->id != c.left || l->next < 0 || s[l->next].id != c.right)
			continue;
		struct sym *r = &s[l->next];
		l->id = (int32_t)c.id;
		l->to = r->to;
		l->next = r->next;
		if (r->next >= 0)
			s[r->next].prev = (int32_t)c.at;
		r->to = r->from; /* gone */
		offer(tk, s, l->prev, heap, &heap_n);
		offer(tk, s, (int32_t)c.at, heap, &heap_n);
	}
	size_t out = 0;
	for (int32_t i = 0; i >= 0; i = s[i].next)
		s[out++] = s[i];
	return out;
}

/* A character that is no piece: its bytes, else the unknown token. */
void enc_unknown(struct enc *e, const struct view *v, size_t from, size_t to)
{
	const struct tokenizer *tk = e->tk;
	bool all = tk->byte_fallback;
	for (size_t k = from; k < to && all; k++)
		all = tk->byte_id[(uint8_t)v->p[k]] >= 0;
	if (all) {
		for (size_t k = from; k < to; k++)
			enc_token(e, tk->byte_id[(uint8_t)v->p[k]], v, k, k + 1);
		return;
	}
	if (tk->unk >= 0)
		enc_token(e, tk->unk, v, from, to);
}

void enc_bpe(struct enc *e, const struct view *v)
{
	const struct tokenizer *tk = e->tk;
	struct sym small[64], *s = small;
	if (tk->whole_first) {
		int32_t id = tk_lookup(tk, str_mk(v->p, v->n));
		if (id >= 0) {
			enc_token(e, id, v, 0, v->n);
			return;
		}
	}
	size_t n;
	if (v->n <= ARRAY_LEN(small)) {
		n = first_symbols(tk, v, s);
		n = merge_short(tk, s, n);
	} else {
		size_t heap_at = v->n * sizeof *s;
		s = enc_syms(e, heap_at + 3 * v->n * sizeof(struct cand));
		if (!s)
			return;
		n = first_symbols(tk, v, s);
		n = merge_long(tk, s, n, (struct cand *)((char *)s + heap_at));
	}
	for (size_t i = 0; i < n; i++) {
		if (s[i].id >= 0 && (uint32_t)s[i].id < tk->n_ids) {
			enc_token(e, s[i].id, v, s[i].from, s[i].to);
			continue;
		}
		size_t end = i + 1;
		while (tk->fuse_unk && !tk->byte_fallback && end < n && s[end].id < 0)
			end++;
		enc_unknown(e, v, s[i].from, s[end - 1].to);
		i = end - 1;
	}
}
