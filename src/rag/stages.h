/* The stages of a search, inside: each is one function over the list of hits, and records what it
 * did. search.c puts them in their order.
 *
 *	rethink   the question -> what is searched for, by a chat model   rethink.c
 *	derive    filters from the question, by a chat model or by rules
 *	          derive_model.c, derive.c, derive_dates.c
 *	age       older documents count less                              order.c
 *	diversify maximal marginal relevance                              order.c
 *	widen     passages -> their surroundings, each text once          widen.c */
#ifndef RAG_STAGES_H
#define RAG_STAGES_H
#include "rag/rag_int.h"

/* ---- the record ---- */

struct step {
	struct rag_trail *trail;
	struct rag_step *s, spare;
	struct span *span;
	uint64_t start_ns;
};

void step_begin(struct step *x, const struct rag_query *q, struct rag_trail *t, const char *name,
	const char *kind);
void step_note(struct step *x, struct str note); /* in the arena of the search */
void step_fused(struct step *x, struct rag *r, const struct fused *f, size_t n, struct arena *a);
void step_hits(struct step *x, const struct rag_hit *hits, size_t n, struct arena *a,
	float (*score)(const struct rag_hit *h));
void step_end(struct step *x, enum err e, const struct errtext *et);
void trail_note(struct rag_trail *t, struct str note);

/* ---- what a stage works with ---- */

struct stage {
	struct croft *c;
	struct rag *r;
	const struct rag_query *q;
	struct rag_trail *trail;
	struct arena *a;
	const struct cancel *cancel;
	struct errtext *et;
};

/* ---- asking a chat model (asking.c) ---- */

struct asking {
	struct str name, system; /* of the schema; the message before the question */
	uint32_t max_tokens;
	/* Providers do not all know bounds; what we hold to the schema ourselves ends by them. */
	void (*schema)(void *ctx, bool bounds, struct buf *out);
	enum err (*take)(struct stage *x, void *ctx, struct str json);
	void *ctx;
};
enum err stage_ask(struct stage *x, struct step *step, const struct asking *q) MUST_CHECK;

/* ---- the stages ---- */

/* Fills trail->asked behind the question, and trail->passage. A model that fails or takes too long
 * is no error: a note says so. */
enum err stage_rethink(struct stage *x) MUST_CHECK;

/* What the question says of documents, as far as documents of the collections have it, to
 * trail->derived. Under the lock of the index; `in` says which documents are looked at. */
enum err stage_derive(
	struct stage *x, bool (*in)(void *ctx, const struct index_doc *d), void *ctx) MUST_CHECK;
/* The same by a chat model: what documents have, read under the lock; then the model, without it.
 */
struct inventory;
enum err inventory_read(struct stage *x, bool (*in)(void *ctx, const struct index_doc *d),
	void *ctx, struct inventory **out) MUST_CHECK;
enum err stage_derive_model(
	struct stage *x, struct step *step, const struct inventory *inv) MUST_CHECK;
/* The dates that documents are asked by, from and to in ms since 1970, 0: open; and the words. */
bool derive_dates(
	struct str question, int64_t now_ms, int64_t *from_ms, int64_t *to_ms, struct str *words);
bool derived_keeps(const struct rag_derived *f, const struct index_doc *d);

/* hits[i].age, and the order by score times age. */
enum err stage_age(struct stage *x, struct rag_hit *hits, size_t n) MUST_CHECK;
/* The best `max` of the hits, each unlike those before it. */
enum err stage_diversify(struct stage *x, struct rag_hit *hits, size_t *n, size_t max) MUST_CHECK;
/* Goes down the list until there are k texts of documents; none overlaps another. */
enum err stage_widen(struct stage *x, struct rag_hit *hits, size_t *n, size_t k) MUST_CHECK;

/* The score that the present order of a hit stands for. */
float hit_score(const struct rag_hit *h);

/* ---- wire JSON ---- */

enum err stages_parse(
	struct croft *c, yyjson_val *o, struct rag_stages *s, struct errtext *et) MUST_CHECK;
void derived_members(struct jw *w, const struct rag_derived *d); /* those that ask for something */
void trail_members(struct jw *w, const struct rag_trail *t);     /* an open object's members */

#endif
