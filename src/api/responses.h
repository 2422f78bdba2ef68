/* OpenAI's Responses and Conversations APIs: what its official clients send and expect, over the
 * same endpoints as /v1/chat/completions.
 *
 *	responses_items.c   items: checked, given ids, made messages
 *	responses_params.c  request bodies to struct response_params
 *	responses_write.c   the response as an object, and as events while it is written
 *	responses_store.c   rows: responses, their items, their events
 *	responses_turn.c    one answer: what came before, the model, the end
 *	responses_search.c  file_search: passages before the answer, citations after it
 *	responses_marks.c   markers taken out of a text
 *	responses_run.c     threads that answer in the background, and who follows them
 *	responses.c         routes and the module
 *	responses_cmd.c     `croft responses`
 *	conversations.c     routes of conversations
 *
 *  1. A response that was told to a client as completed is stored, unless it asked for
 *     `store: false`: the row is committed before the last event, or the reply, leaves.
 *  2. Items are rows of a response or of a conversation, in order, with ids of ours: a response's
 *     input first, then its output. What a response continues is never copied: it is read along
 *     `previous`, and a response is kept as long as one that continues it.
 *  3. A response in the background is a job of the durable queue, with its seed: who takes it up
 *     after a crash writes the same answer and the same events.
 *  4. Every query has the project. */
#ifndef API_RESPONSES_H
#define API_RESPONSES_H
#include "api/vstores.h"

enum {
	ITEMS_MAX = 4096,     /* that one answer can be made from */
	OUTPUT_ROOM = 512,    /* beyond them, for what an answer adds to a conversation */
	ITEMS_ADDED_MAX = 20, /* to a conversation at once, as OpenAI has it */
	CHAIN_MAX = 1000,     /* responses that continue each other */
	PAGE_MAX = 100,       /* of items */
	RESPONSE_ID = 5 + ID_HEX,
	EVENTS_MAX = 64 << 20, /* bytes of the events of a response in the background */
};

/* ---- items ---- */

struct item {
	struct str id;        /* "msg_...", "fc_...", "fco_...", "rs_..." */
	struct str json;      /* with the id in it */
	struct str reference; /* instead: an item that is to be found under this id */
};

void item_id(const char *prefix, char out[8 + ID_HEX + 1]);
/* A text, or a list of items; `param` names it. References are not looked up. */
enum err items_parse(yyjson_val *input, const char *param, size_t max, struct arena *a,
	struct item **out, size_t *n, struct api_error *x);
/* What the model is told: instructions ("" none) first, calls with the message before them. */
enum err items_messages(const struct item *items, size_t n, struct str instructions,
	struct arena *a, struct chat_params *p, struct api_error *x);

/* ---- requests ---- */

struct response_params {
	struct chat_params chat; /* its messages come with the items */
	struct item *items;
	size_t n_items;
	struct str instructions, metadata; /* metadata: JSON */
	struct id previous, conversation;  /* zero: none */
	bool store, background, truncate;
	struct vsearch search; /* of the tool file_search, when chat.search */
	bool show_results;     /* of it */
	yyjson_val *body;      /* what is shown again as it came */
};

/* counting: for /v1/responses/input_tokens. Strings point into the document, which the arena frees.
 * What the models here cannot do (images, files, tools of the vendor, ...) is refused by name. */
enum err response_parse(struct str body, bool counting, struct arena *a,
	struct response_params *out, struct api_error *x);
/* The members of a response that do not change while it is written, as an object. */
void response_fixed(const struct response_params *p, struct str model, struct buf *out);

bool response_id_parse(struct str text, struct id *out);
void response_id(struct id id, char out[RESPONSE_ID + 1]);
bool conversation_id_parse(struct str text, struct id *out);
void conversation_id(struct id id, char out[RESPONSE_ID + 1]);

/* ---- a response ---- */

struct response {
	struct id id, run, previous, conversation, who; /* zero: none */
	struct str project, who_name, model, title;
	const char *status; /* "queued", "in_progress", "completed", "incomplete", "failed",
			       "cancelled" */
	bool stored, background, streams;
	int64_t seed, priority, dropped; /* dropped: messages, of truncation "auto" */
	int64_t created_ms, ended_ms, expires_ms;
	struct str fixed, request; /* request: its body, while it waits in the background */
	struct str error, usage;   /* JSON, or "" */
	struct str incomplete;     /* why, or "" */
};

bool response_over(const struct response *r); /* nothing changes any more */
/* The event it ends with; what was cancelled is incomplete. */
const char *response_end_type(const struct response *r);
/* The object; items is its output. */
void response_write(
	struct jw *w, const struct response *r, const struct item *items, size_t n_items);

/* Takes markers like [1] out of a text; numbers up to `most` are those of passages. Zeroed but for
 * that at first. */
struct marks {
	unsigned most;
	char held[40]; /* what may become one */
	size_t n;
	bool inside;                /* of brackets */
	bool code, middle, swallow; /* between backticks; not at the head of a line; skip spaces */
};
void marks_add(struct marks *m, struct str text, struct buf *out);
void marks_end(struct marks *m, struct buf *out);

/* An answer as it is written. Events go to `emit`, if there is one, as JSON with a type and a
 * sequence number; items are collected either way. */
struct answer {
	const struct response *r;
	struct arena *a;
	bool (*emit)(void *ctx, struct str type, struct str json); /* false: nobody listens */
	void *ctx;
	const struct tokenizer *tk; /* for log probabilities; NULL: there are none */
	int32_t top_logprobs;
	/* Of answers from passages; NULL: none. Lines, a JSON object each, of what the text that
	 * was written with its markers, and is shown without them, rests on. */
	void (*annotate)(void *ctx, struct str marked, struct str shown, struct buf *out);
	void *annotate_ctx;
	struct marks *marks;
	uint64_t sequence;
	/* the item that is being written */
	enum { PART_NONE, PART_TEXT, PART_REASONING, PART_CALL } open;
	char id[8 + ID_HEX + 1];
	struct buf text, logprobs, call_id, name, marked, annotations;
	/* those that are finished */
	struct item *items;
	size_t n_items, cap, n_before; /* those before are no answer */
	struct buf event;              /* reused */
	enum err e;                    /* the first that went wrong */
};

/* response.created and the like: the whole object. */
enum err answer_state(struct answer *w, const char *type);
enum err answer_event(struct answer *w, const struct chat_event *ev);
/* The same from a result that nobody listened to. */
enum err answer_result(struct answer *w, const struct chat_result *r);
/* The item of a search that came before, in front of everything else. results: JSON, "" null; own:
 * what is Croft's, an object. */
enum err answer_search(
	struct answer *w, const struct str *queries, size_t n, struct str results, struct str own);
/* Closes what is open; an answer always has an item. cut: it ended too early. */
enum err answer_end(struct answer *w, bool cut);
void answer_release(struct answer *w);

/* ---- rows ---- */

extern const struct migration responses_migrations[2];

struct item_page {
	struct str after; /* an item's id, "": from the beginning */
	bool newest_first;
	size_t limit;
};

/* A new response with its input; one in the background is queued too. */
enum err response_add(struct croft *c, const struct response *r, const struct item *in, size_t n_in,
	const struct item *out, size_t n_out, struct errtext *et) MUST_CHECK;
/* The end of one in the background: the job is done either way; what was cancelled stays so, and
 * what was deleted stays gone (*taken is false then, and nothing is stored). */
enum err response_end(struct croft *c, const struct response *r, const struct job *job,
	const struct item *out, size_t n_out, struct str events, bool *taken,
	struct errtext *et) MUST_CHECK;
enum err response_started(struct croft *c, struct id id, struct id run, struct str model,
	bool *go_on, struct errtext *et) MUST_CHECK;
/* project {NULL, 0}: whichever. */
enum err response_get(struct croft *c, struct str project, struct id id, struct arena *a,
	struct response *out, struct errtext *et) MUST_CHECK;
enum err response_output(struct croft *c, struct id id, struct arena *a, struct item **out,
	size_t *n, struct errtext *et) MUST_CHECK;
enum err response_input(struct croft *c, struct id id, struct arena *a, struct item **out,
	size_t *n, struct errtext *et) MUST_CHECK;
/* All that a response that continues `id` starts from; with_last: its output too. ERR_CONFLICT:
 * it is not finished, or belongs to a conversation. */
enum err response_context(struct croft *c, struct str project, struct id id, bool with_last,
	struct arena *a, struct item **out, size_t *n, struct errtext *et) MUST_CHECK;
enum err response_events(struct croft *c, struct id id, struct arena *a, struct str *out,
	struct errtext *et) MUST_CHECK;
enum err response_list(struct croft *c, struct str project, struct id before, size_t limit,
	struct arena *a, struct response **out, size_t *n, bool *more,
	struct errtext *et) MUST_CHECK;
enum err response_cancel(
	struct croft *c, struct str project, struct id id, struct errtext *et) MUST_CHECK;
enum err response_delete(struct croft *c, const struct principal *who, struct str project,
	struct id id, struct errtext *et) MUST_CHECK;
/* Removes what has expired. */
enum err response_sweep(struct croft *c, struct errtext *et) MUST_CHECK;
/* Of any response or conversation. */
enum err item_find(struct croft *c, struct str project, struct str id, struct arena *a,
	struct item *out, struct errtext *et) MUST_CHECK;

struct conversation {
	struct id id;
	struct str metadata;
	int64_t created_ms;
};
enum err conversation_add(struct croft *c, struct str project, const struct conversation *v,
	const struct item *items, size_t n, struct errtext *et) MUST_CHECK;
enum err conversation_get(struct croft *c, struct str project, struct id id, struct arena *a,
	struct conversation *out, struct errtext *et) MUST_CHECK;
enum err conversation_update(struct croft *c, struct str project, struct id id, struct str metadata,
	struct errtext *et) MUST_CHECK;
enum err conversation_delete(struct croft *c, const struct principal *who, struct str project,
	struct id id, struct errtext *et) MUST_CHECK;
enum err conversation_append(struct croft *c, struct str project, struct id id,
	const struct item *items, size_t n, struct errtext *et) MUST_CHECK;
/* ERR_NOT_FOUND: the conversation, or the item that the page begins after. */
enum err conversation_items(struct croft *c, struct str project, struct id id,
	const struct item_page *page, struct arena *a, struct item **out, size_t *n, bool *more,
	struct errtext *et) MUST_CHECK;
enum err conversation_item(struct croft *c, struct str project, struct id id, struct str item,
	struct arena *a, struct item *out, struct errtext *et) MUST_CHECK;
enum err conversation_item_delete(struct croft *c, const struct principal *who, struct str project,
	struct id id, struct str item, struct errtext *et) MUST_CHECK;

/* ---- one answer ---- */

struct turn {
	struct croft *c;
	struct arena *a;
	const struct principal *who;
	const struct cancel *cancel;
	struct response_params p;
	struct response r;
	struct item *context; /* what came before */
	size_t n_context;
	struct endpoint *ep;
	struct constraint *held; /* what the text is held to, or NULL */
	struct run *run;
	struct answer answer;
	struct turn_search *search; /* that was made; NULL: none */
	struct chat_result res;
	/* Before the first event: with the first word, or (early) before the model begins. */
	enum err (*on_begin)(struct turn *t);
	bool early, begun;
	bool (*on_busy)(struct turn *t); /* waits; false: no longer. NULL: busy is an error */
	void (*on_provider)(void *ctx, struct str provider, unsigned attempts);
	void *ctx;
	struct api_error x;
};

/* Of the arena: the text that a list of items ends with, short, for names. */
struct str items_title(const struct item *items, size_t n, struct arena *a);
/* References, and what came before. */
enum err turn_context(struct turn *t);
/* The run of it; r.run and the run's name. */
void turn_begin_run(struct turn *t);
/* Model, messages, answer: r has its status, usage and what else it ended with; nothing is stored.
 * After an error too, when it had begun: failed or cancelled, with what there was of it. */
enum err turn_answer(struct turn *t);
/* The stores that file_search names are there. */
enum err turn_stores(struct turn *t);
/* Before the model: searches, and puts passages into the messages. Then its item. */
enum err turn_search(struct turn *t);
enum err turn_tell(struct turn *t);
/* How many tokens the model would read. */
enum err turn_count(struct turn *t, size_t *tokens);
void turn_fail(struct turn *t, enum err e);
void turn_free(struct turn *t);

/* ---- in the background ---- */

enum err responses_start(struct croft *c, struct errtext *et);
void responses_stop(struct croft *c);
void responses_wake(struct croft *c);
/* What this process is writing for it ends within a token. */
void responses_interrupt(struct croft *c, struct id id);
/* Sends the events with numbers above `after` until the response ends. */
enum err responses_follow(struct croft *c, const struct http_request *rq, struct http_response *rs,
	struct id id, int64_t after);

/* ---- routes ---- */

/* The page that a list of items asks for. */
enum err item_page_parse(const struct http_request *rq, struct item_page *out, struct api_error *x);
void reply_items(struct http_response *rs, const struct item *items, size_t n, bool more);
/* What the store said; not found is 404 with the parameter's name. */
enum err store_failed(struct api_error *x, enum err e, const char *param);

struct cmd;
enum err run_responses(struct cmd *cmd, struct errtext *et);
enum err run_responses_show(struct cmd *cmd, struct errtext *et);
enum err run_responses_cancel(struct cmd *cmd, struct errtext *et);
enum err run_responses_delete(struct cmd *cmd, struct errtext *et);

extern const struct module responses_module;
extern const struct module conversations_module;

#endif
