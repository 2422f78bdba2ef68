/* What the files of the sparse index share: sparse.c (items, snapshots), sparse_seg.c (a segment
 * and how it is made), sparse_search.c. */
#ifndef VECTOR_SPARSE_INT_H
#define VECTOR_SPARSE_INT_H
#include "vector/pack.h"
#include "vector/sparse.h"
#include "vector/vector_int.h"

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

/* Items in ascending order of keys. Never changes. */
struct sseg {
	atomic_size_t refs;
	uint32_t n_docs, n_terms;
	uint64_t *keys;
	struct sterm *terms; /* ascending */
	struct sblock *blocks;
	uint8_t *data; /* and room to read a block behind its end */
	size_t n_blocks, bytes;
};

struct slive {
	atomic_size_t refs;
	uint32_t n_docs;
	uint64_t *dead; /* NULL: none */
};

struct spart {
	struct sseg *seg;
	struct slive *live;
};

struct ssnap {
	atomic_size_t refs;
	size_t n_parts;
	uint64_t n_docs;
	struct spart parts[];
};

struct sdoc {
	uint64_t key;
	uint32_t *at; /* and n floats behind; NULL: replaced or deleted meanwhile */
	uint32_t n;
};

static inline const float *sdoc_values(const struct sdoc *d)
{
	return (const float *)(d->at + d->n);
}
static inline size_t swords(uint32_t n)
{
	return (size_t)n / 64 + 1;
}
static inline bool sdead(const struct slive *l, uint32_t doc)
{
	return l->dead && (l->dead[doc / 64] >> doc % 64 & 1);
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
struct sseg *sseg_merge(const struct spart *parts, size_t n);
void sseg_put(struct sseg *s); /* accepts NULL */
bool sseg_doc(const struct sseg *s, uint64_t key, uint32_t *doc);

struct ssnap *ssnap_get(struct sparse *x);
void ssnap_put(struct ssnap *s);

#endif
