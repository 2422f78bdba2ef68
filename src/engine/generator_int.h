/* Inside the generator: requests that wait, requests that run, and what one pass reads.
 *
 *	fair.c      who goes next: priorities, fair shares
 *	schedule.c   the scheduler's thread: admit, reserve, plan, pass, publish
 *	draft.c      what may follow an answer's newest token
 *	generator.c  making one; a request on its caller's thread
 *
 * Invariants
 *  1. A job lives on its caller's stack. The scheduler touches it only between submit and the
 *     moment it sets job->done under the lock; then never again.
 *  2. tokens[0..n_tokens) and what belongs to them are written by the scheduler before n_tokens is
 *     raised under the lock, and not changed after. The caller reads them without the lock.
 *  3. The keys and values of position i depend on ids[0..i] only: not on the batch, the cut into
 *     passes, or who computed them. So a block may come from another request, and a job may lose
 *     its blocks and read its text again: the answer is the same bits (kvcache.h).
 *  4. A pass may read, after the newest token of an answer, a draft of those that could follow
 *     (draft.c). Its rows are sampled in order, each as if it stood alone, until one differs; the
 *     rest is forgotten. As a row's logits and draw depend on neither, the answer is the same as
 *     without, sooner.
 *  5. The pool of blocks holds one whole context at least, and a job gives way only to those
 *     before it, so the first of all always gets on.
 *  6. Strings are the callers' business: a slow on_token delays only its own caller. The room for
 *     its tokens was allocated when it came. */
#ifndef ENGINE_GENERATOR_INT_H
#define ENGINE_GENERATOR_INT_H
#include "engine/mask.h"
#include "engine/model_int.h"
#include "engine/sampler.h"

enum {
	PROMPT_BATCH = 512, /* prompt tokens of a pass when nobody writes */
	PROMPT_SHARE = 128, /* and when somebody does, so that no answer stalls for long */
	DRAFT_MAX = 8,      /* tokens of a draft */
	DRAFT_ROWS = 16,    /* of all drafts of a pass */
};

/* Who asks, and what the machine has done for them: see fair.c. */
struct client {
	struct client *next;
	uint64_t id, service;
	uint32_t inside, running; /* jobs; running: not in the queue */
};

struct job {
	const struct gen_request *r;
	struct job *next; /* in the queue */
	struct client *client;
	struct sampler *sampler;
	struct mask *mask; /* NULL: any text */
	uint32_t max_tokens;
	uint64_t submitted_ns, admitted_ns, first_ns, last_ns;

	/* scheduler's */
	int32_t *ids;                /* the prompt, the answer, room for a draft */
	struct kvseq seq, draft_seq; /* draft_seq: of the drafting model */
	uint32_t cached, preempted;
	bool active;
	bool over;                    /* the language allows nothing but the end */
	uint32_t n_draft, draft_room; /* of the next pass: tokens behind the text; that may be */
	/* how long the next draft may be, how long to wait until then, and the last such wait */
	uint32_t reach, wait, pause, drafted, accepted;
	enum err e;
	struct errtext et; /* why it could not go on */

	/* shared, see 2. */
	int32_t *tokens; /* the answer in ids */
	float *logprob;
	struct token_logprob *top; /* [max_tokens][n_top] */
	uint32_t n_top;
	uint32_t n_tokens;
	enum gen_finish finish;
	bool done;
	atomic_bool quit; /* the caller wants no more */
	pthread_cond_t changed;
};

/* Prompt and answer so far. */
static inline uint32_t job_length(const struct job *j)
{
	return (uint32_t)j->r->n_prompt + j->n_tokens;
}

/* Its newest token alone is to be read. */
static inline bool job_writes(const struct job *j)
{
	return j->n_tokens && j->seq.n + 1 == job_length(j);
}

/* ---- who goes next (fair.c), all with the lock ---- */

struct fair {
	struct job *first;
	uint32_t n;
	struct client *clients;
};
/* NULL: no memory. Every job is inside as its client's from submit to done. */
struct client *client_enter(struct fair *q, uint64_t id);
void client_leave(struct fair *q, struct client *c);
void fair_add(struct fair *q, struct job *j);
void fair_remove(struct fair *q, struct job *j);
struct job *fair_best(const struct fair *q); /* NULL: empty */
void fair_free(struct fair *q);
/* Whether a comes before b where one must give way to the other. */
bool job_before(const struct job *a, const struct job *b);

/* An answer's part of a pass: its rows of logits, and how many gave a token. */
struct turn {
	struct job *job;
	uint32_t first, n, picked;
};

struct generator {
	struct model *m;
	uint32_t context, sequences, queue_max;
	bool drafts;
	struct kv kv;
	struct kvcache *cache;
	struct decoder *d;
	struct drafter *drafter; /* NULL: drafts are from the text alone */
	struct job **running;    /* [sequences], in the order of job_before */
	uint32_t n_running;
	pthread_t thread;

	/* the scheduler's own, one pass */
	struct span *spans;    /* [sequences] */
	struct job **span_job; /* [sequences] */
	uint32_t *rows;        /* [sequences + DRAFT_ROWS] */
	struct turn *turns;    /* [sequences] */
	int32_t *ids;          /* [batch] */
	float *logits;         /* [sequences + DRAFT_ROWS][vocab] */
	uint32_t n_spans, n_rows, n_ids, n_turns;
	uint64_t step;

	pthread_mutex_t masker_mu;
	struct masker *masker; /* made for the first request with a language */

	pthread_mutex_t mu;
	pthread_cond_t work, left;
	struct fair queue;
	uint32_t inside;
	bool stop;
	/* for generator_stats */
	uint64_t prompt_tokens, cached_tokens, generated_tokens, requests, preemptions;
};

/* ---- drafts (draft.c) ---- */

struct drafter;
/* A model that writes drafts: ERR_INVALID when its tokens are not the other's. */
enum err drafter_new(struct model *m, const struct model *of, uint32_t sequences, uint32_t n_blocks,
	struct drafter **out, struct errtext *et) MUST_CHECK;
void drafter_free(struct drafter *d); /* accepts NULL */
uint64_t drafter_bytes(const struct drafter *d);
/* Before a pass: with the lock, from the text; then without it, from the model. */
void draft_begin(struct generator *g);
void draft_more(struct generator *g);
/* How it came out: a draft that was right so far may be longer next time; all wrong: not so soon
 * again. Then, when the job's text is longer, and when it leaves. */
void draft_judge(struct job *j, uint32_t drafted, uint32_t right);
void draft_settle(struct generator *g, struct job *j);
void draft_leave(struct generator *g, struct job *j);

void *generator_schedule(void *generator); /* the scheduler's thread, until g->stop */

#endif
