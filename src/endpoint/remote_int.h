/* What the files of remote providers share.
 *
 *	remote.c            the table in memory, the module, metrics
 *	remote_store.c      SQL
 *	remote_breaker.c    when a provider is left alone
 *	remote_request.c    a turn as OpenAI's chat completions
 *	remote_anthropic.c  a turn as Anthropic's messages
 *	remote_stream.c     server-sent events, and OpenAI's chunks, to events of a turn
 *	remote_blocks.c     Anthropic's events to events of a turn
 *	remote_call.c       one attempt: send, read, judge
 *	remote_chat.c       attempts, waiting, fallbacks, the receipt
 *	remote_embed.c      embeddings
 *	remote_routes.c     /api/v1/endpoints
 *	remote_cmd.c        `croft endpoint`
 */
#ifndef ENDPOINT_REMOTE_INT_H
#define ENDPOINT_REMOTE_INT_H
#include "endpoint/remote.h"
#include "net/client.h"

enum {
	REMOTES_MAX = 1000,
	REMOTE_FALLBACKS_MAX = 8,
	REMOTE_RETRIES_MAX = 10,
	REMOTE_NAME_MAX = 100,
	REMOTE_URL_MAX = 2000,
	REMOTE_TIMEOUT_MS_MIN = 100,
	REMOTE_TIMEOUT_MS_MAX = 24 * 3600 * 1000,
};

enum remote_kind { REMOTE_OPENAI, REMOTE_ANTHROPIC };

struct remote_row {
	struct str name, url, model, key_secret, created_by;
	enum remote_kind kind;
	struct str fallback[REMOTE_FALLBACKS_MAX];
	size_t n_fallbacks;
	int64_t timeout_ms, retries, created_ms, updated_ms;
};

/* ---- the store ---- */

extern const struct migration remote_migrations[1];
enum err remote_store_put(struct tx *tx, const struct remote_row *r, struct errtext *et) MUST_CHECK;
enum err remote_store_delete(struct tx *tx, struct str name, struct errtext *et) MUST_CHECK;
/* By name; at most REMOTES_MAX. */
enum err remote_store_list(struct tx *tx, struct arena *a, struct remote_row **out, size_t *n,
	struct errtext *et) MUST_CHECK;

/* ---- the breaker ---- */

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

/*
 *	closed --(failures in a row reach the limit: breaker_failed)--> open
 *	open --(the pause is over: breaker_enter)--> half-open, one request at a time
 *	half-open --breaker_passed--> closed;  --breaker_failed--> open;  --breaker_left-->
 *half-open
 */
struct breaker {
	pthread_mutex_t mu;
	enum breaker_state state;
	unsigned failures; /* in a row */
	bool probing;      /* half-open: one is on its way */
	uint64_t open_until_ns;
};

void breaker_init(struct breaker *b);
/* Whether a request may be sent now; *wait_ns: else, how long not. Each true needs one of the three
 * below. */
bool breaker_enter(struct breaker *b, uint64_t now_ns, uint64_t *wait_ns);
void breaker_passed(struct breaker *b);
/* limit 0: never opens. */
void breaker_failed(struct breaker *b, unsigned limit, uint64_t now_ns, uint64_t pause_ns);
void breaker_left(struct breaker *b); /* neither: cancelled, or the request's own fault */
enum breaker_state breaker_look(struct breaker *b, uint64_t now_ns, unsigned *failures);
const char *breaker_word(enum breaker_state s); /* "closed", "open", "half_open" */

/* ---- the table ---- */

struct remote {
	struct arena *arena; /* the row's strings */
	struct remote_row row;
	char *endpoint_url[2]; /* of chat, of embeddings */
	atomic_uint refs;
	struct breaker breaker;
	atomic_uint_fast64_t n_attempts, n_failed, n_answers, sum_us;
	pthread_mutex_t key_mu;
	struct buf key; /* read from the secrets; wiped after KEY_MS */
	uint64_t key_until_ns;
};

enum { URL_CHAT, URL_EMBED };

struct remote *remote_ref(struct remote *p);
struct remote *remote_new(const struct remote_row *r); /* NULL: no memory */
/* After a change of the table was committed here. */
enum err remote_reload(struct croft *c, struct errtext *et) MUST_CHECK;
/* Appends the key; nothing when the provider needs none. */
enum err remote_key(
	struct croft *c, struct remote *p, struct buf *out, struct errtext *et) MUST_CHECK;
void remote_key_forget(struct remote *p); /* it was refused */

/* ---- a turn on the wire ---- */

/* The body of the request. ERR_UNSUPPORTED names what the provider's protocol cannot say. */
enum err remote_openai_body(const struct remote_row *p, const struct chat_request *r, bool stream,
	struct buf *out, struct errtext *et) MUST_CHECK;
enum err remote_anthropic_body(const struct remote_row *p, const struct chat_request *r,
	bool stream, struct buf *out, struct errtext *et) MUST_CHECK;

enum { STREAM_EVENT_MAX = 4 << 20, STREAM_TEXT_MAX = 64 << 20, STREAM_CALLS_MAX = 256 };

/* A stream of a provider, read piece by piece. Whatever the bytes are, feeding them is an error or
 * events in the order that chat.h promises. */
struct remote_stream {
	enum remote_kind kind;
	bool (*on_event)(void *ctx, const struct chat_event *ev); /* NULL: none */
	void *ctx;
	struct chat_result res;
	struct buf finish; /* the provider's own word */
	bool finished;     /* it said why it ended */
	bool done;         /* and that the stream has ended */
	bool passed;       /* an event has reached on_event */
	bool refused;      /* on_event wants no more */
	/* the open call, by the provider's index */
	bool call_open;
	int64_t call_index;
	int64_t text_block; /* Anthropic: the block that is being written, or -1 */
	/* server-sent events */
	struct buf line, data;
	bool after_cr, has_data;
	size_t total;
};

void remote_stream_init(struct remote_stream *s, enum remote_kind kind,
	bool (*on_event)(void *ctx, const struct chat_event *ev), void *ctx);
/* ERR_NETWORK: not what the protocol says; ERR_BUSY, ERR_INVALID, ...: an error that the provider
 * put into its stream; ERR_CANCELLED: on_event wants no more. */
enum err remote_stream_feed(
	struct remote_stream *s, struct str bytes, struct errtext *et) MUST_CHECK;
/* The connection has ended: ERR_NETWORK when the answer has not. */
enum err remote_stream_end(struct remote_stream *s, struct errtext *et) MUST_CHECK;
/* An answer that came as one JSON object. */
enum err remote_stream_whole(
	struct remote_stream *s, struct str json, struct errtext *et) MUST_CHECK;
void remote_stream_free(struct remote_stream *s); /* res too, unless it was taken */

/* For the two readers. */
enum err stream_text(struct remote_stream *s, enum chat_event_kind kind, struct str text,
	struct errtext *et) MUST_CHECK;
enum err stream_call_begin(struct remote_stream *s, int64_t index, struct str id, struct str name,
	struct errtext *et) MUST_CHECK;
enum err stream_arguments(struct remote_stream *s, struct str json, struct errtext *et) MUST_CHECK;
enum err stream_call_end(struct remote_stream *s, struct errtext *et) MUST_CHECK;
enum err stream_failed(yyjson_val *error, struct errtext *et); /* an error object of theirs */
enum err blocks_event(struct remote_stream *s, yyjson_val *o, struct errtext *et) MUST_CHECK;
enum err blocks_whole(struct remote_stream *s, yyjson_val *o, struct errtext *et) MUST_CHECK;

/* ---- one attempt ---- */

struct remote_attempt {
	/* in */
	struct croft *c;
	struct remote *p;
	unsigned url; /* URL_CHAT, URL_EMBED */
	struct str body;
	uint64_t deadline_ns;
	const struct cancel *cancel;
	struct remote_stream *stream; /* NULL: the reply's body is kept */
	/* out */
	int status; /* 0: no answer */
	struct buf reply;
	uint64_t retry_after_ms;
	bool retry;    /* trying again may help */
	bool theirs;   /* counts against the provider */
	bool fallback; /* another provider may do better */
};

enum err remote_attempt(struct remote_attempt *a, struct errtext *et) MUST_CHECK;
/* Waits before attempt number `tries` (1: the first repetition). ERR_CANCELLED, ERR_TIMEOUT: the
 * deadline is before that. */
enum err remote_wait(const struct remote_attempt *a, unsigned tries, struct errtext *et) MUST_CHECK;

/* What was tried, for the receipt. */
struct remote_try {
	struct str provider; /* borrowed */
	enum err e;
	int status;
	double ms;
	char error[160];
};

struct remote_tries {
	struct remote_try at[(REMOTE_RETRIES_MAX + 1) * (REMOTE_FALLBACKS_MAX + 1)];
	unsigned n, sent; /* sent: those that a request was made for */
};

void remote_tries_add(struct remote_tries *t, struct str provider, enum err e, int status,
	uint64_t ns, const struct errtext *et);
/* Attempts at one provider until one succeeds or no more make sense. Fills a's outs. */
enum err remote_try_all(struct remote_attempt *a, struct run *run, struct remote_tries *t,
	struct errtext *et) MUST_CHECK;
void remote_receipt(struct buf *out, struct str provider, struct str model, struct str reason,
	const struct remote_tries *t);

/* ---- faces ---- */

enum { N_REMOTE_ROUTES = 6, N_REMOTE_SHAPES = 3, N_REMOTE_COMMANDS = 5 };
extern const struct route remote_routes[N_REMOTE_ROUTES];
extern const struct shape remote_shapes[N_REMOTE_SHAPES];
extern const struct command remote_commands[N_REMOTE_COMMANDS];

/* Whether a row may be stored; names the field. */
enum err remote_check_row(
	struct croft *c, const struct remote_row *r, struct errtext *et) MUST_CHECK;

#endif
