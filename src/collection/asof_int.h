/* What asof.c and asof_near.c share. */
#ifndef COLLECTION_ASOF_INT_H
#define COLLECTION_ASOF_INT_H
#include "collection/asof.h"

/* The plain vectors of one space. Numbers of live items are their keys in the live index. */
struct near {
	atomic_int state;       /* enum near_state */
	atomic_uint searches;   /* that came before there was an index */
	pthread_mutex_t build;  /* who makes or widens it */
	pthread_rwlock_t lock;  /* guards what follows */
	struct vindex *own;     /* of items whose vectors are not the live ones; NULL: none yet */
	struct bitmap has;      /* what was put there, or has no such vector */
	int64_t live_since;     /* of the live space */
	int64_t number;         /* of the live collection; 0: everything is in `own` */
	_Atomic int64_t synced; /* live changes up to this one are in what follows */
	uint64_t *same;         /* a bit for each live number: its vector is the version's */
	uint64_t n_bits, n_same;
	uint32_t *here, *live; /* by live number, the number here; by number here, the live one */
	uint64_t n_live;
	_Atomic int64_t refused_ms; /* when there was no room */
};
enum near_state { NEAR_NONE, NEAR_WANTED, NEAR_READY };

struct asof {
	struct collection k; /* first */
	struct version *v;
	char *key;
	int64_t live;      /* number of the live collection; 0: it is gone */
	uint64_t used;     /* guarded by collections.mu */
	atomic_uint parts; /* that are ready */
	struct near near[COLLECTION_SPACES_MAX];
};

struct asofs {
	struct croft *c;
	struct asof **list; /* guarded by collections.mu, as all of an asof's uses */
	size_t n, cap;
	uint64_t clock;
	pthread_t builder;
	bool building;
	struct cancel stop;
};

void near_init(struct near *x);
void near_clear(struct near *x);
uint64_t near_bytes(struct near *x);
/* Makes it, or takes in what it lacks. ERR_LIMIT: there is no room. */
enum err near_make(struct asof *x, const struct space *s, const struct cancel *cancel,
	struct errtext *et) MUST_CHECK;
/* Is there room for so many bytes more, when others have gone? */
bool asof_room(struct asof *x, uint64_t more);
void asof_files_trim(struct croft *c);

/* num and vec of rows that were changed after seq; all of them with seq -1. */
typedef enum err (*num_fn)(void *ctx, int64_t num, int64_t vec, struct str id, struct errtext *et);
enum err store_nums_since(struct tx *tx, int64_t collection, int64_t seq, num_fn fn, void *ctx,
	struct errtext *et) MUST_CHECK;

#endif
