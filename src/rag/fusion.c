/* Two ranked lists to one. */
#include "rag/rag_int.h"

#include <stdlib.h>

/* Reciprocal rank fusion (Cormack, Clarke, Büttcher 2009) with its customary k. */
enum { RRF_K = 60 };

static int by_key(const void *a, const void *b)
{
	const struct fused *x = a, *y = b;
	return (x->key > y->key) - (x->key < y->key);
}

static int by_score(const void *a, const void *b)
{
	const struct fused *x = a, *y = b;
	if (x->score != y->score)
		return x->score < y->score ? 1 : -1;
	return by_key(a, b);
}

/* Both lists by key, the two sides of one item merged. */
static size_t join(const struct fusion_input *in, struct fused *out)
{
	size_t n = 0;
	for (size_t i = 0; i < in->n_dense; i++)
		out[n++] = (struct fused){.key = in->dense[i].key,
			.dense = in->dense[i].score,
			.dense_rank = (uint32_t)i + 1};
	for (size_t i = 0; i < in->n_bm25; i++)
		out[n++] = (struct fused){.key = in->bm25[i].key,
			.bm25 = in->bm25[i].score,
			.bm25_rank = (uint32_t)i + 1};
	qsort(out, n, sizeof *out, by_key);
	size_t m = 0;
	for (size_t i = 0; i < n; i++) {
		if (m && out[m - 1].key == out[i].key) {
			struct fused *f = &out[m - 1];
			if (out[i].dense_rank)
				f->dense = out[i].dense, f->dense_rank = out[i].dense_rank;
			else
				f->bm25 = out[i].bm25, f->bm25_rank = out[i].bm25_rank;
		} else {
			out[m++] = out[i];
		}
	}
	return m;
}

size_t rag_fuse(const struct fusion_input *in, enum rag_method method, struct fused *out)
{
	size_t n = join(in, out);
	for (size_t i = 0; i < n; i++) {
		struct fused *f = &out[i];
		if (method == RAG_DENSE)
			f->score = f->dense_rank ? f->dense : -2;
		else if (method == RAG_BM25)
			f->score = f->bm25_rank ? f->bm25 : -1;
		else
			f->score = (f->dense_rank ? 1.0f / (float)(RRF_K + f->dense_rank) : 0) +
				   (f->bm25_rank ? 1.0f / (float)(RRF_K + f->bm25_rank) : 0);
	}
	qsort(out, n, sizeof *out, by_score);
	return n;
}
