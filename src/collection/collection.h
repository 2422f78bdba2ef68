/* Collections: items with vectors and a payload, searched by nearness and by what the payload says.
 *
 * An item has an id (a number, a UUID or any text), a JSON object as its payload, and at most one
 * vector for each of the collection's named spaces. What was acknowledged is in the database; the
 * indexes in memory are built from there when a collection is first used, and each change is
 * published to them before the caller hears of it, so that what was written is found and what was
 * deleted is not. Servers that share a database follow each other's changes.
 *
 * Changes are numbered: `seq` of a collection grows by one with each call that changed something.
 * A struct collection is counted; any thread may use it. Strings that come out are in the arena. */
#ifndef COLLECTION_COLLECTION_H
#define COLLECTION_COLLECTION_H
#include "module/module.h"
#include "vector/cond.h"

extern const struct module collection_module;
extern const struct module collection_version_module;

enum {
	COLLECTION_NAME_MAX = 255,        /* bytes */
	COLLECTION_SPACES_MAX = 16,       /* named vectors */
	COLLECTION_DIM_MAX = 4096,        /* numbers of a vector */
	COLLECTION_ID_MAX = 255,          /* bytes of an item's id as text */
	COLLECTION_PAYLOAD_MAX = 1 << 20, /* bytes of one payload */
	COLLECTION_BATCH_MAX = 10000,     /* items of one call */
	COLLECTION_K_MAX = 10000,         /* hits of one query */
	COLLECTION_SPARSE_MAX = 65536,    /* numbers of a sparse vector */
	COLLECTION_ROWS_MAX = 4096,       /* vectors of a list of vectors */
};

enum distance { DISTANCE_COSINE, DISTANCE_DOT, DISTANCE_L2, DISTANCE_L1 };

const char *distance_word(enum distance d); /* "Cosine", "Dot", "Euclid", "Manhattan" */
bool distance_parse(struct str word, enum distance *out);
/* Its scores are distances: lower is nearer. */
static inline bool distance_is_far(enum distance d)
{
	return d == DISTANCE_L2 || d == DISTANCE_L1;
}
/* The score of an index (index.h) as it is shown, and back. */
float distance_shown(enum distance d, float score);
float distance_score(enum distance d, float shown);

/* What a vector of a space is: a list of numbers; numbers under indices, all others 0; a list of
 * vectors, say one for each word (late interaction). */
enum space_kind { SPACE_DENSE, SPACE_SPARSE, SPACE_MULTI };
const char *space_kind_word(enum space_kind k); /* "dense", "sparse", "multi" */

enum space_role {
	SPACE_NAMED,  /* asked for by its name */
	SPACE_NEXT,   /* being filled, or filled: a cut-over gives it the name */
	SPACE_FORMER, /* had the name before a cut-over, and may have it back */
	SPACE_GONE,   /* dropped: items may still have vectors of it */
	SPACE_FREE,   /* nothing is left of it */
};

/* Where vectors of one kind lie. name "": the only one, or the one that is meant without a name.
 * A space with a model is that model's: texts are embedded with it, and identity (model_identity of
 * a local one, its address and name of a provider's) says what its vectors can be compared with. */
struct space {
	struct str name;
	uint32_t dim;
	enum distance distance;
	struct str model, identity; /* "" "": vectors are brought along */
	/* While a space moves to another model (migrate.h) there are two of it: the one that bears
	 * the name, and the other, "NAME:next" or "NAME:former". */
	enum space_role role;
	uint8_t place, twin; /* of this one and of the other: in collection_spaces */
	int64_t since;       /* the change that made it */
	double shadow;       /* share of the queries that it answers too, while it follows */
	struct str field; /* of the payload: has the text of items that were given none; "": none */
	enum space_kind kind; /* of sparse vectors dim is 1 and means nothing, the distance Dot */
	bool idf;             /* sparse: a query's numbers count more where few items have one */
};

struct collection_info {
	struct str name;
	struct space *spaces;
	size_t n_spaces;
	int64_t items, seq, created_ms, updated_ms;
	bool lazy;           /* a copy whose items are still those of a version */
	const char *backend; /* "embedded", "pgvector" */
	struct str *aliases; /* its other names (alias.h) */
	size_t n_aliases;
	struct str keyword; /* settings of its keyword index (keyword.h) as JSON; "": none */
};

/* ---- ids ---- */

/* An id in bytes that sort as ids do: numbers, then UUIDs, then texts. */
struct item_id {
	uint8_t n;
	uint8_t b[COLLECTION_ID_MAX];
};

/* "42" is a number, "5c56c793-69f3-4fbf-87e6-c4bf54c28c26" (or 32 hex digits) a UUID, other text
 * itself. ERR_INVALID: empty, too long, not UTF-8. */
enum err item_id_parse(struct str text, struct item_id *out, struct errtext *et) MUST_CHECK;
void item_id_number(uint64_t number, struct item_id *out);
bool item_id_is_number(struct str bytes, uint64_t *number);
void item_id_text(struct str bytes, struct buf *out); /* what item_id_parse reads */
static inline struct str item_id_bytes(const struct item_id *id)
{
	return str_mk(id->b, id->n);
}

/* ---- collections ---- */

struct collection;

/* ERR_CONFLICT: it is there. A space with a model gets its dim (0: the model's) and identity. */
enum err collection_create(struct croft *c, struct str project, struct str name,
	const struct space *spaces, size_t n, struct errtext *et) MUST_CHECK;
/* The same where the vectors are searched: "embedded" (in this server's memory) or "pgvector"; "":
 * as the setting collection.backend says, which is what collection_create does. */
enum err collection_create_in(struct croft *c, struct str project, struct str name,
	const struct space *spaces, size_t n, struct str backend, struct errtext *et) MUST_CHECK;
/* To another backend, as a whole or not at all; it can be used meanwhile. */
enum err collection_move(struct croft *c, const struct principal *who, struct str project,
	struct str name, struct str backend, const struct cancel *cancel,
	struct errtext *et) MUST_CHECK;
/* ERR_CONFLICT: the name is an alias, which is not what is deleted so. */
enum err collection_delete(
	struct croft *c, struct str project, struct str name, struct errtext *et) MUST_CHECK;
enum err collection_list(struct croft *c, struct str project, struct arena *a,
	struct collection_info **out, size_t *n, struct errtext *et) MUST_CHECK; /* by name */
enum err collection_find(struct croft *c, struct str project, struct str name, struct arena *a,
	struct collection_info *out, struct errtext *et) MUST_CHECK; /* ERR_NOT_FOUND */
/* As collection_open; "faq:3", "faq:reviewed" is a version, which is read only: changes of it are
 * ERR_CONFLICT. */
enum err collection_open_any(struct croft *c, struct str project, struct str name,
	struct collection **out, const struct cancel *cancel, struct errtext *et) MUST_CHECK;
/* Builds its indexes if that was not done yet (others wait for it). */
enum err collection_open(struct croft *c, struct str project, struct str name,
	struct collection **out, const struct cancel *cancel, struct errtext *et) MUST_CHECK;
/* By the thread that opened it: meanwhile it sees the spaces named as they were at the opening, so
 * that nothing it answers is of two models. Accepts NULL. */
void collection_close(struct collection *k);
/* All of them, those that have no name of their own and those that are gone too. */
size_t collection_spaces(const struct collection *k, const struct space **out);
/* NULL: it has none of that name. */
const struct space *collection_space(const struct collection *k, struct str name);

/* ---- items ---- */

struct item_vector {
	struct str space;   /* its name */
	const float *v;     /* dim; of a list of vectors rows * dim */
	size_t dim;         /* of a sparse one: how many numbers it has */
	uint8_t place;      /* of its space; of what is put it does not count */
	const uint32_t *at; /* of a sparse one: the indices of the numbers, ascending */
	size_t rows;        /* of a list of vectors; else 0 */
};

/* Is it one of that space? ERR_INVALID says what is wrong, without saying whose it is. */
enum err collection_vector_fits(const struct collection *k, const struct space *s,
	const struct item_vector *v, struct errtext *et) MUST_CHECK;

struct collection_item {
	struct item_id id;
	uint64_t key;       /* of one that was read: its number within the collection */
	struct str payload; /* a JSON object, or "" for {} */
	struct str text;    /* .n: embedded in each space that has a model and no vector here */
	struct item_vector *vectors;
	size_t n_vectors;
};

/* Inserts, or replaces as a whole. ERR_INVALID names the item. The last of two with one id counts.
 * *seq (may be NULL): the number of the change. */
enum err collection_put(struct collection *k, const struct collection_item *items, size_t n,
	int64_t *seq, const struct cancel *cancel, struct errtext *et) MUST_CHECK;
/* n queries to out[n][dim], in the space's model. ERR_INVALID: the space has none; ERR_CONFLICT:
 * the model of that name is another one by now; ERR_TOO_LARGE: a text is longer than it reads. */
enum err collection_embed(struct collection *k, const struct space *s, const struct str *texts,
	size_t n, float *out, const struct cancel *cancel, struct errtext *et) MUST_CHECK;
/* A filter in Qdrant's words (vector/cond.h); *out NULL: none was given. ERR_INVALID and
 * ERR_UNSUPPORTED name the place. */
enum err collection_filter(struct collection *k, yyjson_val *json, struct arena *a,
	const struct cond **out, struct errtext *et) MUST_CHECK;
/* Both have to hold; either may be NULL. */
enum err collection_both(const struct cond *x, const struct cond *y, struct arena *a,
	const struct cond **out, struct errtext *et) MUST_CHECK;
/* The ids of all items that match, in order. */
enum err collection_matching(struct collection *k, const struct cond *c, struct arena *a,
	struct item_id **out, size_t *n, struct errtext *et) MUST_CHECK;
/* Those that are there are deleted; *gone: how many. */
enum err collection_remove(struct collection *k, const struct item_id *ids, size_t n, size_t *gone,
	int64_t *seq, struct errtext *et) MUST_CHECK;
/* Vectors of items that are there, the other vectors and the payload stay. ERR_NOT_FOUND names the
 * first that is not there; then nothing has changed. */
enum err collection_put_vectors(struct collection *k, const struct collection_item *items, size_t n,
	int64_t *seq, struct errtext *et) MUST_CHECK;
enum err collection_remove_vectors(struct collection *k, const struct item_id *ids, size_t n,
	const struct str *spaces, size_t n_spaces, int64_t *seq, struct errtext *et) MUST_CHECK;

enum payload_change {
	PAYLOAD_SET,       /* the members of the patch; one that is null goes */
	PAYLOAD_OVERWRITE, /* the patch and nothing else */
	PAYLOAD_UNSET,     /* without the keys */
	PAYLOAD_CLEAR
};
struct payload_patch {
	enum payload_change change;
	struct str object; /* set, overwrite: JSON */
	struct str path;   /* set: into this member ("a.b"), made when absent; "": the payload */
	const struct str *keys; /* unset: members, or paths to them */
	size_t n_keys;
};
/* ERR_NOT_FOUND names the first item that is not there; then nothing has changed. */
enum err collection_patch(struct collection *k, const struct item_id *ids, size_t n,
	const struct payload_patch *patch, int64_t *seq, struct errtext *et) MUST_CHECK;

/* ---- reading ---- */

struct item_want {
	bool payload, vectors;
};

/* Those that are there, in the order asked for. */
enum err collection_get(struct collection *k, const struct item_id *ids, size_t n,
	struct item_want want, struct arena *a, struct collection_item **out, size_t *n_out,
	struct errtext *et) MUST_CHECK;
/* The vector of an item in a space, in `a`. ERR_NOT_FOUND: there is no such item, or it has none.
 */
enum err collection_vector(struct collection *k, const struct item_id *id, struct str space,
	struct arena *a, struct item_vector *out, struct errtext *et) MUST_CHECK;
/* In the order of their ids, from `from` on (NULL: the first). At most max; filter NULL: all. */
enum err collection_scroll(struct collection *k, const struct cond *filter,
	const struct item_id *from, size_t max, struct item_want want, struct arena *a,
	struct collection_item **out, size_t *n, struct errtext *et) MUST_CHECK;
size_t collection_count(struct collection *k);
enum err collection_count_matching(
	struct collection *k, const struct cond *c, size_t *n, struct errtext *et) MUST_CHECK;

struct item_query {
	struct str space;
	const float *vector;
	size_t dim;
	const uint32_t *at; /* as in struct item_vector */
	size_t rows;
	size_t k;              /* 1..COLLECTION_K_MAX */
	uint32_t ef;           /* effort of the walk, when there is one; 0: the index's own */
	bool exact;            /* compare all */
	float worst;           /* scores that are worse are left out; NaN: none is */
	const uint64_t *among; /* .key of the hits of another query: only these; NULL: all */
	size_t n_among;
	const struct cond *filter;     /* only items that match; NULL: all */
	const struct item_id *without; /* never these: examples are not their own neighbours */
	size_t n_without;
	struct item_want want;
	const struct cancel *cancel;
	/* What the vector is of, if that is known, so that a space that follows can be asked the
	 * same: a text, or an item. */
	struct str text;
	const struct item_id *like;
};

struct item_hit {
	uint64_t key; /* of the item within its collection */
	struct collection_item item;
	float score; /* cosine and dot: higher is nearer; L2, L1: the distance */
};

struct item_search {
	bool approximate; /* a graph was walked; else every item was compared */
	uint32_t ef;
	uint64_t compared;
};

/* Best first; how may be NULL. ERR_INVALID when the vector does not fit the space. */
enum err collection_query(struct collection *k, const struct item_query *q, struct arena *a,
	struct item_hit **out, size_t *n, struct item_search *how, struct errtext *et) MUST_CHECK;
/* These hits were what somebody asked for: how often each item was is what maps show. Any thread;
 * costs a lock and some tens of nanoseconds for each hit. */
void collection_count_hits(struct collection *k, const struct item_hit *hits, size_t n);
/* Reads what is wanted of hits that were found without it; those that have gone are taken out. */
enum err collection_fill(struct collection *k, struct item_hit *hits, size_t *n,
	struct item_want want, struct arena *a, struct errtext *et) MUST_CHECK;

#endif
