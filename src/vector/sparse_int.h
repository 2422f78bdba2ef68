/* What the files of the sparse index share: sparse.c (items, what waits), sparse_seg.c (a segment
 * and how it is made), sparse_search.c. */
#ifndef VECTOR_SPARSE_INT_H
#define VECTOR_SPARSE_INT_H
#include "vector/pack.h"
#include "vector/segments.h"
#include "vector/sparse.h"

/* Postings of an index in blocks of PACK_N items, the last one shorter: a byte for the bits of a
 * distance, the distances packed (of a shorter block only the rows that it has), then the values.
 */
struct sblock {
	uint32_t last; /* item */
	float lo, hi;  /* of the values */
	uint64_t at;   /* into data */
};

struct sterm {
	uint32_t index, n;
	uint64_t first; /* block */
};

/* Items in ascending order of keys. */
struct sseg {
	struct segment base;
	uint32_t n_terms;
	struct sterm *terms; /* ascending */
	struct sblock *blocks;
	uint8_t *data; /* and room to read a block behind its end */
	size_t n_blocks, n_data;
};

static inline const struct sseg *sseg_of(const struct segment_part *p)
{
	return (const struct sseg *)(const void *)p->seg;
}

struct sdoc {
	uint64_t key;
	uint32_t *at; /* and n floats behind; NULL: replaced or deleted meanwhile */
	uint32_t n;
};

static inline const float *sdoc_values(const struct sdoc *d)
{
	return (const float *)(d->at + d->n);
}
static inline uint32_t sblocks_of(const struct sterm *t)
{
	return (t->n + PACK_N - 1) / PACK_N;
}

/* Decodes; returns how many. */
uint32_t sseg_read(const struct sseg *s, const struct sterm *t, uint32_t block,
	uint32_t docs[PACK_N], float values[PACK_N]);
const struct sterm *sseg_find(const struct sseg *s, uint32_t index); /* NULL: none */
/* NULL: no memory. Documents in any order, keys different. */
struct sseg *sseg_make(struct sdoc *docs, size_t n);
struct sseg *sseg_merge(const struct segment_part *parts, size_t n);
extern const struct segments_kind sparse_kind;

/* What waits, of sparse.c. */
struct segments *sparse_segments(struct sparse *x);
struct sseg *sparse_waiting(struct segments *x); /* as a segment; NULL: no memory */
void sparse_drop(struct segments *x, uint64_t place);
void sparse_forget(struct segments *x);

#endif
