/* A turn that a provider answers, or one of its fallbacks, which may be a local model. */
#include "endpoint/remote_int.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

struct remote_turn {
	struct croft *c;
	struct run *run;
	const struct chat_request *r;
	struct remote_tries *tries;
	uint64_t from_ns, first_ns;
	struct str name; /* of who is being asked */
	bool told, passed;
	bool fallback; /* after a failure: somebody else may be asked */
	struct chat_result res;
	struct str model;                               /* of who answered */
	struct remote *asked[REMOTE_FALLBACKS_MAX + 1]; /* kept: the receipt has their names */
	struct buf own_receipt;                         /* of a local model */
};

/* Who answers is said before the first event, since it goes into an answer's headers. */
static void tell(struct remote_turn *t)
{
	if (!t->told && t->r->on_provider)
		t->r->on_provider(t->r->ctx, t->name, t->tries->sent);
	t->told = true;
}

static bool pass_event(void *ctx, const struct chat_event *ev)
{
	struct remote_turn *t = ctx;
	tell(t);
	if (!t->first_ns)
		t->first_ns = clock_mono_ns();
	t->passed = true;
	return t->r->on_event(t->r->ctx, ev);
}

static void take(struct remote_turn *t, struct remote_stream *s)
{
	t->res = s->res;
	s->res = (struct chat_result){0};
}

static enum err ask_provider(struct remote_turn *t, struct remote *p, struct errtext *et)
{
	struct buf body = {0};
	struct remote_stream s;
	bool stream = t->r->on_event != NULL;
	struct remote_attempt a = {.c = t->c,
		.p = p,
		.url = URL_CHAT,
		.deadline_ns = clock_mono_ns() + (uint64_t)p->row.timeout_ms * 1000000,
		.cancel = t->r->cancel,
		.stream = &s};
	remote_stream_init(&s, p->row.kind, stream ? pass_event : NULL, t);
	enum err e = (p->row.kind == REMOTE_ANTHROPIC ? remote_anthropic_body : remote_openai_body)(
		&p->row, t->r, stream, &body, et);
	a.body = buf_str(&body);
	if (!e)
		e = remote_try_all(&a, t->run, t->tries, et);
	if (!e)
		take(t, &s);
	t->fallback = a.fallback;
	t->model = p->row.model;
	remote_stream_free(&s);
	buf_free(&a.reply);
	buf_free(&body);
	return e;
}

static enum err ask_local(struct remote_turn *t, struct errtext *et)
{
	struct endpoint *ep = NULL;
	struct chat_request r = *t->r;
	uint64_t from = clock_mono_ns();
	r.on_provider = NULL;
	r.ctx = t;
	r.on_event = t->r->on_event ? pass_event : NULL;
	enum err e = endpoint_chat(t->c, t->name, &ep, et);
	if (!e) {
		t->tries->sent++;
		e = chat_run(t->c, ep, t->run, &r, &t->res, et);
	}
	if (!e) {
		t->own_receipt = t->res.receipt;
		t->res.receipt = (struct buf){0};
	}
	remote_tries_add(t->tries, t->name, e, 0, clock_mono_ns() - from, et);
	t->fallback = e && e != ERR_CANCELLED && e != ERR_INVALID;
	t->model = t->name;
	endpoint_put(ep);
	return e;
}

static enum err ask(struct remote_turn *t, struct remote *first, size_t i, struct errtext *et)
{
	struct remote *p = i ? remote_find(t->c, first->row.fallback[i - 1]) : remote_ref(first);
	t->name = i ? first->row.fallback[i - 1] : first->row.name;
	t->asked[i] = p;
	enum err e = p ? ask_provider(t, p, et) : ask_local(t, et);
	if (e && e != ERR_CANCELLED)
		e = err_wrap(et, e, "the endpoint %.*s", STR_FMT(t->name));
	return e;
}

static void account(struct remote_turn *t, size_t i, struct chat_result *out)
{
	uint64_t end = clock_mono_ns();
	struct buf receipt = {0};
	if (!t->own_receipt.n) /* a local model has measured it */
		t->res.first_token_ns = (t->first_ns ? t->first_ns : end) - t->from_ns;
	if (!t->own_receipt.n && t->first_ns)
		t->res.decode_ns = end - t->first_ns;
	remote_receipt(&receipt, t->name, t->model,
		i                    ? S("fallback")
		: t->tries->sent > 1 ? S("retry")
				     : S("first"),
		t->tries);
	if (t->own_receipt.n && !receipt.err) { /* its own, inside */
		receipt.n--;
		buf_addc(&receipt, ",\"local\":");
		buf_adds(&receipt, buf_str(&t->own_receipt));
		buf_putc(&receipt, '}');
	}
	if (!receipt.err)
		run_json(t->run, "receipt", buf_str(&receipt));
	run_text(t->run, "provider", t->name);
	run_i64(t->run, "attempts", t->tries->sent);
	buf_free(&t->res.receipt);
	t->res.receipt = receipt;
	*out = t->res;
}

enum err remote_chat(struct croft *c, struct remote *p, struct run *run,
	const struct chat_request *r, struct chat_result *out, struct errtext *et)
{
	struct remote_turn t = {.c = c,
		.run = run,
		.r = r,
		.tries = malloc(sizeof *t.tries),
		.from_ns = clock_mono_ns()};
	enum err e = OK;
	size_t i = 0;
	if (!t.tries)
		return err_set(et, ERR_NOMEM, "no memory for a request");
	t.tries->n = t.tries->sent = 0;
	for (;; i++) {
		e = ask(&t, p, i, et);
		if (!e || !t.fallback || t.passed || i == p->row.n_fallbacks)
			break;
	}
	if (!e) {
		tell(&t);
		account(&t, i, out);
	} else {
		struct buf receipt = {0};
		remote_receipt(&receipt, S(""), S(""), S("failed"), t.tries);
		if (!receipt.err)
			run_json(run, "receipt", buf_str(&receipt));
		buf_free(&receipt);
		chat_result_free(&t.res);
	}
	for (size_t k = 0; k < ARRAY_LEN(t.asked); k++)
		remote_put(t.asked[k]);
	buf_free(&t.own_receipt);
	free(t.tries);
	return e;
}
