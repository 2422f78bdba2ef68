/* One question of a search to a chat model: held to a JSON Schema, bounded in tokens and in time,
 * and written into the span of the step that asks. */
#include "rag/stages.h"

#include "base/clock.h"
#include "endpoint/chat.h"

enum { QUESTION_MAX = 2000, TIMEOUT_MS = 20000 };

/* ---- a call that takes too long is cancelled ---- */

struct deadline {
	struct cancel cancel;
	pthread_mutex_t mu;
	pthread_cond_t cond;
	pthread_t thread;
	uint64_t at_ns;
	bool started, done, passed;
};

static void *wait_for_it(void *arg)
{
	struct deadline *d = arg;
	pthread_mutex_lock(&d->mu);
	while (!d->done && cond_wait_until(&d->cond, &d->mu, d->at_ns))
		;
	d->passed = !d->done;
	if (d->passed)
		cancel_set(&d->cancel);
	pthread_mutex_unlock(&d->mu);
	return NULL;
}

static enum err deadline_begin(
	struct deadline *d, int64_t ms, const struct cancel *parent, struct errtext *et)
{
	*d = (struct deadline){
		.cancel.parent = parent, .at_ns = clock_mono_ns() + (uint64_t)ms * 1000000};
	pthread_mutex_init(&d->mu, NULL);
	cond_init(&d->cond);
	enum err e = thread_start(&d->thread, wait_for_it, d, "rag-deadline", et);
	d->started = !e;
	return e;
}

/* True when it had passed. */
static bool deadline_end(struct deadline *d)
{
	pthread_mutex_lock(&d->mu);
	d->done = true;
	pthread_cond_signal(&d->cond);
	pthread_mutex_unlock(&d->mu);
	if (d->started)
		pthread_join(d->thread, NULL);
	pthread_cond_destroy(&d->cond);
	pthread_mutex_destroy(&d->mu);
	return d->passed;
}

/* ---- the call ---- */

static enum err call(struct stage *x, struct endpoint *ep, const struct asking *q,
	const struct cancel *cancel, struct chat_result *out)
{
	struct buf schema = {0};
	struct str question = str_sub(x->q->text, 0, QUESTION_MAX);
	question.n = utf8_complete_prefix(question);
	q->schema(q->ctx, !endpoint_remote(ep), &schema);
	struct chat_message m[] = {{.role = S("system"), .content = q->system},
		{.role = S("user"), .content = question}};
	struct chat_request r = {.messages = m,
		.n_messages = ARRAY_LEN(m),
		.reasoning = REASONING_OFF,
		.sampling = SAMPLING_DEFAULT,
		.max_tokens = q->max_tokens,
		.top_logprobs = -1,
		.format = CONSTRAINT_SCHEMA,
		.format_source = buf_str(&schema),
		.format_name = q->name,
		.who = x->q->who,
		.cancel = cancel};
	r.sampling.temperature = 0;
	enum err e = schema.err ? err_set(x->et, ERR_NOMEM, "no memory for a schema")
				: chat_run(x->c, ep, x->q->run, &r, out, x->et);
	buf_free(&schema);
	return e;
}

enum err stage_ask(struct stage *x, struct step *step, const struct asking *q)
{
	struct endpoint *ep;
	struct deadline d;
	struct chat_result res = {0};
	int64_t ms = x->q->stages.timeout_ms ? x->q->stages.timeout_ms : TIMEOUT_MS;
	enum err e = endpoint_chat(x->c, x->q->stages.model, &ep, x->et);
	if (e)
		return e;
	x->trail->model = arena_str(x->a, endpoint_name(ep));
	span_text(step->span, "model", endpoint_name(ep));
	e = deadline_begin(&d, ms, x->cancel, x->et);
	e = e ? e : call(x, ep, q, &d.cancel, &res);
	bool late = deadline_end(&d);
	if (late && e && !cancelled(x->cancel))
		e = err_set(x->et, ERR_TIMEOUT, "it took longer than %lld ms (rag.query_timeout)",
			(long long)ms);
	if (!e) {
		span_text(step->span, "output", buf_str(&res.text));
		span_i64(step->span, "tokens.prompt", res.prompt_tokens);
		span_i64(step->span, "tokens.completion", res.completion_tokens);
	}
	if (!e && res.finish == CHAT_LENGTH)
		e = err_set(x->et, ERR_LIMIT, "it wrote more than %u tokens", q->max_tokens);
	e = e ? e : q->take(x, q->ctx, buf_str(&res.text));
	chat_result_free(&res);
	endpoint_put(ep);
	return e;
}
