/* A request to a batch of spans, and the batch into the store.
 *
 *  1. The whole request is read and checked before anything is stored: a malformed one leaves no
 *     trace. Single spans that cannot be kept are left out and said.
 *  2. The batch points into the request; only the transaction copies.
 *  3. Admission: `pending` counts the bytes of all requests from before they are decoded until
 * their commit. When the store stalls it reaches its limit and the next request is told to come
 * back: what waits is bounded, whatever the clients do. */
#include "run/trace_int.h"
#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	HOLDERS_MAX = 10000,
	REQUEST_RESOURCE_SPANS = 1,
	RS_RESOURCE = 1,
	RS_SCOPE_SPANS = 2,
	RS_URL = 3,
	SS_SCOPE = 1,
	SS_SPAN = 2,
	SS_URL = 3
};

/* ---- reading ---- */

struct reader {
	struct trace_batch *b;
	struct errtext *et;
	size_t cap, cap_holders;
	size_t left; /* for trace_holder_begin */
};

static enum err malformed(struct reader *r)
{
	return err_set(r->et, ERR_INVALID, "the request is no valid ExportTraceServiceRequest");
}

static void reject(struct trace_batch *b, const char *why)
{
	if (!b->accepted.rejected++)
		err_set(&b->accepted.why, OK, "%s", why);
}

static enum err grow(struct reader *r, void **list, size_t n, size_t *cap, size_t size, size_t max,
	const char *what)
{
	if (n < *cap)
		return OK;
	if (n == max)
		return err_set(r->et, ERR_TOO_LARGE,
			"the request has more than %zu %s: send smaller batches", max, what);
	size_t more = MIN(MAX(*cap * 2, (size_t)64), max);
	void *p = realloc(*list, more * size);
	if (!p)
		return err_set(r->et, ERR_NOMEM, "no memory for a request's spans");
	*list = p;
	*cap = more;
	return OK;
}

static enum err add_span(struct reader *r, struct str raw, uint32_t holder)
{
	struct trace_batch *b = r->b;
	enum err e = grow(
		r, (void **)&b->items, b->n, &r->cap, sizeof *b->items, TRACE_SPANS_MAX, "spans");
	if (e)
		return e;
	struct trace_item *it = &b->items[b->n];
	if (!otel_span_read(raw, &it->span))
		return malformed(r);
	const char *problem = otel_span_problem(&it->span);
	if (problem) {
		reject(b, problem);
		return OK;
	}
	trace_facts_read(&it->span, &it->facts);
	it->holder = holder;
	b->n++;
	return OK;
}

static void hash_part(struct sha256 *h, struct str s)
{
	uint64_t n = s.n;
	sha256_add(h, &n, sizeof n);
	sha256_add(h, s.p, s.n);
}

static struct str service_name(struct str resource)
{
	struct pb m = pb_of(resource);
	struct str key;
	struct otel_value v;
	while (otel_next_attr(&m, OTEL_RESOURCE_ATTRS, &key, &v))
		if (str_eq(key, S("service.name")) && v.type == OTEL_STR)
			return v.s;
	return (struct str){"", 0};
}

enum err trace_holder_begin(const struct trace_holder *h, size_t *left, struct errtext *et)
{
	size_t n = h->resource.n + h->resource_url.n;
	if (n > *left)
		return err_set(et, ERR_TOO_LARGE,
			"the resources of the request, kept with each scope that they have, take "
			"too much room: send smaller resources or fewer scopes");
	*left -= n;
	return OK;
}

enum err trace_holder_finish(struct trace_holder *h, struct errtext *et)
{
	struct sha256 sha;
	uint8_t sum[SHA256_BYTES];
	if (!otel_holder_valid(h->resource, OTEL_RESOURCE_ATTRS) ||
		!otel_holder_valid(h->scope, OTEL_SCOPE_ATTRS))
		return err_set(et, ERR_INVALID, "the request has no valid resources and scopes");
	if (sha256_init(&sha))
		return err_set(et, ERR_NOMEM, "no memory for a hash");
	hash_part(&sha, h->resource);
	hash_part(&sha, h->resource_url);
	hash_part(&sha, h->scope);
	hash_part(&sha, h->scope_url);
	sha256_end(&sha, sum);
	memcpy(h->key, sum, sizeof h->key);
	h->service = service_name(h->resource);
	return OK;
}

static enum err read_scope_spans(struct reader *r, struct str raw, const struct trace_holder *of)
{
	struct trace_batch *b = r->b;
	struct pb m = pb_of(raw);
	struct pb_field f;
	struct trace_holder h = *of;
	enum err e = trace_holder_begin(of, &r->left, r->et);
	if (!e)
		e = grow(r, (void **)&b->holders, b->n_holders, &r->cap_holders, sizeof *b->holders,
			HOLDERS_MAX, "scopes");
	uint32_t at = (uint32_t)b->n_holders;
	while (!e && pb_next(&m, &f)) {
		if (f.wire != PB_BYTES)
			continue;
		if (f.number == SS_SCOPE)
			h.scope = f.s;
		else if (f.number == SS_URL)
			h.scope_url = f.s;
		else if (f.number == SS_SPAN)
			e = add_span(r, f.s, at);
	}
	if (!e && m.bad)
		e = malformed(r);
	if (!e)
		e = trace_holder_finish(&h, r->et);
	if (!e)
		b->holders[b->n_holders++] = h;
	return e;
}

/* Twice over it: the resource may stand behind the spans that it is of. */
static enum err read_resource_spans(struct reader *r, struct str raw)
{
	struct str none = {"", 0};
	struct trace_holder h = {none, none, none, none, none, {0}};
	struct pb m = pb_of(raw), again = m;
	struct pb_field f;
	while (pb_next(&m, &f)) {
		if (f.wire == PB_BYTES && f.number == RS_RESOURCE)
			h.resource = f.s;
		else if (f.wire == PB_BYTES && f.number == RS_URL)
			h.resource_url = f.s;
	}
	if (m.bad)
		return malformed(r);
	enum err e = OK;
	while (!e && pb_next(&again, &f))
		if (f.wire == PB_BYTES && f.number == RS_SCOPE_SPANS)
			e = read_scope_spans(r, f.s, &h);
	return e;
}

static enum err read_request(struct reader *r, struct str request)
{
	struct pb m = pb_of(request);
	struct pb_field f;
	enum err e = OK;
	while (!e && pb_next(&m, &f))
		if (f.number == REQUEST_RESOURCE_SPANS && f.wire == PB_BYTES)
			e = read_resource_spans(r, f.s);
	return !e && m.bad ? malformed(r) : e;
}

/* ---- sorting: the spans of a trace together, each once ---- */

static int by_trace(const void *pa, const void *pb)
{
	const struct trace_item *a = *(struct trace_item *const *)pa;
	const struct trace_item *b = *(struct trace_item *const *)pb;
	int d = memcmp(a->span.trace.b, b->span.trace.b, sizeof a->span.trace.b);
	if (d)
		return d;
	if (a->span.id != b->span.id)
		return (uint64_t)a->span.id < (uint64_t)b->span.id ? -1 : 1;
	return a < b ? -1 : a > b;
}

/* Of one that came twice the ended one is kept, else the later. */
static bool same_span(const struct trace_item *a, const struct trace_item *b)
{
	return a->span.id == b->span.id &&
	       memcmp(a->span.trace.b, b->span.trace.b, sizeof a->span.trace.b) == 0;
}

static enum err sort_items(struct trace_batch *b, struct errtext *et)
{
	b->order = malloc(MAX(b->n, (size_t)1) * sizeof *b->order);
	if (!b->order)
		return err_set(et, ERR_NOMEM, "no memory for a request's spans");
	for (size_t i = 0; i < b->n; i++)
		b->order[i] = &b->items[i];
	qsort(b->order, b->n, sizeof *b->order, by_trace);
	size_t k = 0;
	for (size_t i = 0; i < b->n; i++) {
		struct trace_item *it = b->order[i];
		if (k && same_span(b->order[k - 1], it)) {
			if (it->span.end_ns || !b->order[k - 1]->span.end_ns)
				b->order[k - 1] = it;
		} else {
			b->order[k++] = it;
		}
	}
	b->n_order = k;
	return OK;
}

/* ---- storing ---- */

static enum err store(struct tx *tx, void *ctx, struct errtext *et)
{
	return trace_store_batch(tx, ctx, et);
}

enum err trace_batch_read(struct trace_batch *b, struct str request, struct errtext *et)
{
	struct reader r = {.b = b, .et = et, .left = request.n + TRACE_REPEATED_MAX};
	enum err e = read_request(&r, request);
	return e ? e : sort_items(b, et);
}

void trace_batch_clear(struct trace_batch *b)
{
	free(b->items);
	free(b->order);
	free(b->holders);
}

static enum err import(struct croft *c, struct trace_batch *b, struct str request,
	struct trace_accepted *out, struct errtext *et)
{
	enum err e = trace_batch_read(b, request, et);
	if (!e && b->n_order)
		e = db_write(croft_db(c), store, b, et);
	if (e)
		return e;
	if (b->refused) {
		b->accepted.rejected += b->refused;
		err_set(&b->accepted.why, OK,
			"%zu spans are of traces whose ids are in use elsewhere", b->refused);
	}
	*out = b->accepted;
	out->spans = b->n - b->refused;
	return OK;
}

/* At most `pending_max` bytes and half of the server's workers: the rest of it goes on when the
 * store does not. A request that is larger than the limit is let in alone. */
enum err trace_admit(struct croft *c, size_t bytes, struct errtext *et)
{
	struct traces *t = croft_state(c, &trace_module);
	size_t before = atomic_fetch_add(&t->pending, bytes);
	unsigned others = atomic_fetch_add(&t->requests, 1);
	enum err e = OK;
	if (before && before + bytes > (size_t)setting_int(c, "traces.pending_max"))
		e = err_set(et, ERR_BUSY,
			"%zu bytes of spans wait to be stored already: try again in a second",
			before);
	else if (others && others >= (unsigned)setting_int(c, "http.workers") / 2)
		e = err_set(et, ERR_BUSY,
			"%u requests with spans wait to be stored already: try again in a second",
			others);
	if (e) {
		trace_leave(c, bytes);
		atomic_fetch_add(&t->busy, 1);
	}
	return e;
}

void trace_leave(struct croft *c, size_t bytes)
{
	struct traces *t = croft_state(c, &trace_module);
	atomic_fetch_sub(&t->pending, bytes);
	atomic_fetch_sub(&t->requests, 1);
}

static void tell(struct trace_live *live, const struct trace_batch *b)
{
	for (size_t i = 0; i < b->n_order; i++) {
		const struct otel_span *s = &b->order[i]->span;
		struct trace_event ev = {.trace = s->trace,
			.span = s->id,
			.parent = s->parent,
			.start_ns = s->start_ns,
			.end_ns = s->end_ns};
		unsigned status = !s->end_ns                       ? STATUS_RUNNING
				  : s->status == OTEL_STATUS_ERROR ? STATUS_ERROR
								   : STATUS_OK;
		struct str name = str_sub(s->name, 0, sizeof ev.name - 1);
		name.n = utf8_complete_prefix(name);
		snprintf(ev.project, sizeof ev.project, "%.*s", STR_FMT(b->project));
		memcpy(ev.name, name.p, name.n);
		snprintf(ev.kind, sizeof ev.kind, "%s", b->order[i]->facts.type);
		snprintf(ev.status, sizeof ev.status, "%s", run_statuses[status]);
		trace_live_put(live, &ev);
	}
}

enum err trace_import(struct croft *c, struct str project, int64_t experiment, struct str request,
	struct trace_accepted *out, struct errtext *et)
{
	struct traces *t = croft_state(c, &trace_module);
	struct trace_batch b = {.project = project, .experiment = experiment};
	enum err e = import(c, &b, request, out, et);
	if (!e)
		atomic_fetch_add(&t->spans, out->spans);
	if (!e && trace_live_watched(t->live))
		tell(t->live, &b);
	trace_batch_clear(&b);
	return e;
}
