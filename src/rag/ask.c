#include "rag/ask.h"

#include "base/clock.h"

#include <math.h>
#include <stdlib.h>

enum { BEST = 3, JUDGED = 3 /* hits that the decision looks at */ };

struct asking {
	struct croft *c;
	const struct ask_request *rq;
	struct run *run;
	struct arena *a;
	const struct ask_events *ev;
	struct ask_result *r;
	const struct cancel *cancel;
	struct errtext *et;
	struct cite *cite;
	float *weights; /* of the query's terms */
	struct endpoint *chat;
	struct tokens prompt;
	struct buf written; /* as it streams */
	size_t sentence;    /* where its last sentence begins */
	enum err sink;      /* the listener's own failure */
	bool repeats;
};

static double ms_since(uint64_t start_ns)
{
	return (double)((clock_mono_ns() - start_ns) / 1000) / 1000;
}

static enum err no_memory(struct asking *k)
{
	return err_set(k->et, ERR_NOMEM, "no memory to answer");
}

static void say_why(struct asking *k, const char *why)
{
	k->r->reason = str_c(why);
}

/* ---- retrieve ---- */

static enum err embed_sentences(
	void *ctx, const struct str *texts, size_t n, float *out, struct errtext *et)
{
	struct asking *k = ctx;
	size_t truncated, tokens;
	return embed_texts(endpoint_model(rag_of(k->c)->embed), texts, n, true, out, &truncated,
		&tokens, k->cancel, et);
}

/* How likely it is that a hit holds the answer: a logistic function of how much of the question's
 * keyword weight it contains, of the cosine, and of how well the embedding model knows the words.
 * Fitted on answerable questions and on the same questions put to other collections. */
static float support_of(const struct asking *k, const struct rag_hit *h)
{
	const struct retrieved *g = &k->r->got;
	struct rag *r = rag_of(k->c);
	struct bm25_term_score why[64];
	const struct index_doc *d = index_doc_of(r, (uint64_t)h->chunk);
	size_t n = d ? bm25_explain(d->shelf->bm25, g->terms, g->n_terms, (uint64_t)h->chunk, why,
			       ARRAY_LEN(why))
		     : 0;
	float all = 0, there = 0;
	for (size_t i = 0; i < g->n_terms; i++) {
		all += k->weights[i];
		bool found = false;
		for (size_t t = 0; t < n && !found; t++)
			for (size_t j = 0; j < g->n_terms && !found; j++)
				found = g->word_at[j] == g->word_at[i] &&
					str_eq(why[t].term, g->terms[j]);
		there += found ? k->weights[i] : 0;
	}
	float coverage = all > 0 ? there / all : 0;
	float x = g->vector ? 6.7f * coverage + 12 * h->dense - 2.8f * g->info.fit - 6.0f
			    : 9.5f * coverage - 4.5f;
	return 1 / (1 + expf(-x));
}

static void judge(struct asking *k)
{
	struct rag *r = rag_of(k->c);
	struct ask_result *out = k->r;
	pthread_rwlock_rdlock(&r->lock);
	struct str project = k->rq->query.project;
	struct shelf *shelf = index_shelf(r, project.n ? project : S("default"));
	if (shelf)
		rag_word_weights(shelf->bm25, out->got.terms, out->got.word_at, out->got.n_terms,
			k->weights);
	for (size_t i = 0; i < out->got.n && i < JUDGED; i++)
		out->support = MAX(out->support, support_of(k, &out->got.hits[i]));
	bool empty = !shelf || !bm25_count(shelf->bm25);
	pthread_rwlock_unlock(&r->lock);
	float least = (float)setting_int(k->c, "rag.answer_support") / 100;
	out->grounded = out->got.n && out->support >= least;
	if (!out->got.n)
		say_why(k, empty ? "no document is indexed yet" : "no passage was found");
	else if (!out->grounded)
		say_why(k, "no passage that was found seems to hold the answer");
}

static enum err retrieve(struct asking *k)
{
	uint64_t start = clock_mono_ns();
	struct ask_result *r = k->r;
	struct span *s = span_begin(k->run, NULL, "retrieve", "retriever");
	span_text(s, "input", k->rq->query.text);
	struct rag_query q = k->rq->query;
	q.run = k->run;
	q.span = s;
	enum err e = rag_retrieve(k->c, &q, k->a, &r->got, k->cancel, k->et);
	if (!e && !(k->weights = arena_array_of(k->a, r->got.n_terms + 1, float)))
		e = no_memory(k);
	if (!e)
		judge(k);
	r->retrieve_ms = ms_since(start);
	if (!e && k->ev->on_passages)
		e = k->ev->on_passages(k->ev->ctx, r);
	struct cite_input in = {.hits = r->got.hits,
		.n_hits = r->got.n,
		.embed = r->got.vector ? embed_sentences : NULL,
		.ctx = k,
		.dim = rag_of(k->c)->dim};
	struct cite_question cq = {.text = k->rq->query.text,
		.terms = r->got.terms,
		.weights = k->weights,
		.n_terms = r->got.n_terms,
		.vector = r->got.vector,
		.info = r->got.info};
	if (!e)
		e = cite_new(&in, k->a, &k->cite, k->et);
	if (!e)
		e = cite_best(k->cite, &cq, BEST, &r->best, &r->n_best, k->et);
	if (!e) {
		span_retrieved(s, &r->got);
		span_f64(s, "support", r->support);
		span_i64(s, "best_sentences", (int64_t)r->n_best);
	}
	span_end(s, e, k->et);
	if (!e && k->ev->on_best)
		e = k->ev->on_best(k->ev->ctx, r);
	return e;
}

/* ---- assemble ---- */

static const char instructions[] =
	"Answer the question from the numbered passages only, in one to three short sentences, in "
	"the "
	"language of the question. After each sentence write the number of its passage in square "
	"brackets, like [1]. If the passages do not tell, write: The documents do not say.";

/* Text from documents and users must not become the model's control tokens: a space breaks what
 * the tokenizer would take for one. */
static enum err add_defused(
	struct asking *k, const struct tokenizer *tk, struct str s, struct buf *out)
{
	struct tokens t = {0};
	enum err e = tokenizer_encode(tk, s, TOKENIZE_SPECIAL | TOKENIZE_OFFSETS, &t, k->et);
	size_t from = 0;
	for (size_t i = 0; i < t.n && !e; i++)
		if (tokenizer_is_control(tk, t.id[i]) && t.to[i] > t.from[i] + 1) {
			buf_adds(out, str_sub(s, from, t.from[i] + 1));
			buf_putc(out, ' ');
			from = t.from[i] + 1;
		}
	buf_adds(out, str_sub(s, from, s.n));
	tokens_free(&t);
	return e;
}

static enum err render(struct asking *k, size_t n_passages, struct buf *text)
{
	const struct model *m = endpoint_model(k->chat);
	const struct tokenizer *tk = model_tokenizer(m);
	struct buf user = {0};
	enum err e = OK;
	for (size_t i = 0; i < n_passages && !e; i++) {
		const struct rag_hit *h = &k->r->got.hits[i];
		buf_addf(&user, "[%zu] ", i + 1);
		e = add_defused(k, tk, h->heading_path.n ? h->heading_path : h->title, &user);
		buf_putc(&user, '\n');
		if (!e)
			e = add_defused(k, tk, h->text, &user);
		buf_addc(&user, "\n\n");
	}
	buf_addc(&user, "Question: ");
	if (!e)
		e = add_defused(k, tk, k->rq->query.text, &user);
	struct chat_message msgs[] = {{.role = S("system"), .content = str_c(instructions)},
		{.role = S("user"), .content = buf_str(&user)}};
	bool used_default;
	buf_clear(text);
	if (!e)
		e = user.err ? no_memory(k)
			     : model_chat_prompt(m, msgs, ARRAY_LEN(msgs), (struct str){0}, true,
				       text, &used_default, k->et);
	k->prompt.n = 0;
	if (!e)
		e = tokenizer_encode(tk, buf_str(text), TOKENIZE_SPECIAL, &k->prompt, k->et);
	buf_free(&user);
	return e;
}

/* The last passages are left out until the prompt fits; with one it must. */
static enum err assemble(struct asking *k, int64_t max_tokens)
{
	struct buf text = {0};
	struct span *s = span_begin(k->run, NULL, "assemble", "template");
	int64_t context = generator_context(endpoint_generator(k->chat));
	int64_t room = MIN(context - max_tokens, setting_int(k->c, "rag.prompt_tokens"));
	size_t n = k->r->got.n;
	enum err e = render(k, n, &text);
	while (!e && n > 1 && (int64_t)k->prompt.n > room)
		e = render(k, --n, &text);
	k->r->used = n;
	span_text(s, "output", buf_str(&text));
	span_i64(s, "tokens", (int64_t)k->prompt.n);
	span_i64(s, "passages", (int64_t)n);
	if (n < k->r->got.n) {
		struct str why = arena_fmt(k->a,
			"%zu of %zu passages are not in the prompt: it has room for %lld tokens",
			k->r->got.n - n, k->r->got.n, (long long)room);
		span_text(s, "warning", why);
		span_i64(s, "passages_left_out", (int64_t)(k->r->got.n - n));
	}
	span_end(s, e, k->et);
	buf_free(&text);
	return e;
}

/* ---- generate ---- */

/* Against the loops of small models; it hardly touches a short answer of a large one. */
static const float FREQUENCY_PENALTY = 0.3f;

/* Small models fall into repeating a sentence; the first repetition ends the answer. */
static bool repeats(struct asking *k)
{
	struct str all = buf_str(&k->written);
	size_t end = all.n;
	if (!end || !strchr(".!?\n", all.p[end - 1]))
		return false;
	struct str last = str_trim(str_sub(all, k->sentence, end));
	bool before = last.n > 20 && str_find(str_sub(all, 0, k->sentence), last) != STR_NONE;
	if (before)
		k->written.n = k->sentence;
	else
		k->sentence = end;
	return before;
}

/* ... and into repeating a phrase without end: the same 8 to 160 bytes three times in a row. Two of
 * the three go. */
static bool loops(struct asking *k)
{
	enum { SHORTEST = 8, LONGEST = 160, TIMES = 3 };
	struct str all = buf_str(&k->written);
	for (size_t n = SHORTEST; n <= LONGEST && n * TIMES <= all.n; n++) {
		const char *end = all.p + all.n;
		if (memcmp(end - n, end - 2 * n, n) == 0 && memcmp(end - n, end - 3 * n, n) == 0) {
			size_t keep = all.n - (TIMES - 1) * n;
			k->written.n = utf8_complete_prefix(str_sub(all, 0, keep));
			return true;
		}
	}
	return false;
}

static bool on_token(void *ctx, const struct gen_event *ev)
{
	struct asking *k = ctx;
	buf_adds(&k->written, ev->text);
	if (k->ev->on_token && ev->text.n)
		k->sink = k->ev->on_token(k->ev->ctx, ev->text);
	k->repeats = ev->text.n && (repeats(k) || loops(k));
	return !k->sink && !k->repeats;
}

static enum err generate(struct asking *k, int64_t max_tokens)
{
	struct span *s = span_begin(k->run, NULL, "generate", "llm");
	struct gen_request g = {.prompt = k->prompt.id,
		.n_prompt = k->prompt.n,
		.max_tokens = (uint32_t)max_tokens,
		.sampling = SAMPLING_DEFAULT,
		.top_logprobs = -1,
		.cancel = k->cancel,
		.on_token = on_token,
		.ctx = k};
	endpoint_share(k->chat, &g, NULL, k->rq->query.project);
	g.sampling.temperature = (float)k->rq->temperature;
	g.sampling.frequency_penalty = FREQUENCY_PENALTY;
	g.sampling.seed = (uint64_t)k->rq->seed;
	struct gen_result res = {0};
	span_text(s, "model", endpoint_name(k->chat));
	enum err e = generator_run(endpoint_generator(k->chat), &g, &res, k->et);
	if (!e && k->sink)
		e = err_set(k->et, k->sink, "the client went away");
	if (!e && res.finish == GEN_CANCELLED && !k->repeats)
		e = err_set(k->et, ERR_CANCELLED, "the answer was cancelled");
	if (!e) {
		k->r->prompt_tokens = res.prompt_tokens;
		k->r->completion_tokens = res.completion_tokens;
		k->r->prompt_ms = (double)(res.prompt_ns / 1000) / 1000;
		k->r->decode_ms = (double)(res.decode_ns / 1000) / 1000;
		span_text(s, "output", buf_str(&k->written));
		span_i64(s, "tokens.prompt", res.prompt_tokens);
		span_i64(s, "tokens.completion", res.completion_tokens);
		span_text(s, "finish",
			k->repeats                 ? S("repetition")
			: res.finish == GEN_LENGTH ? S("length")
						   : S("stop"));
	}
	buf_free(&res.text);
	span_end(s, e, k->et);
	return e;
}

/* ---- check ---- */

static void checked_free(void *arg)
{
	struct checked *c = arg;
	buf_free(&c->answer);
}

/* A small model words badly what it read; its answer is led by the best sentence, verbatim. */
static bool leads(const struct asking *k)
{
	uint64_t millions = model_info(endpoint_model(k->chat))->parameters / 1000000;
	return k->r->n_best && (int64_t)millions < setting_int(k->c, "rag.lead_below");
}

/* One line, as a sentence stands in an answer. */
static struct str lead_text(struct asking *k)
{
	char *s = arena_c(k->a, k->r->best[0].text);
	for (char *p = s; p && *p; p++)
		if (*p == '\n')
			*p = ' ';
	return str_c(s);
}

/* The answer becomes the best sentence. */
static enum err set_lead(struct asking *k)
{
	struct checked lead = {0};
	enum err e = cite_check(k->cite, k->rq->query.text, lead_text(k), &lead, k->et);
	if (e)
		return e;
	buf_free(&k->r->checked.answer);
	k->r->checked = lead;
	k->r->lead_to = lead.answer.n;
	return OK;
}

/* Puts what was checked behind the lead. */
static enum err append(struct asking *k, const struct checked *more)
{
	struct checked *to = &k->r->checked;
	struct citation *all = arena_array_of(k->a, to->n + more->n + 1, struct citation);
	if (!all)
		return no_memory(k);
	if (to->n)
		memcpy(all, to->citations, to->n * sizeof *all);
	buf_addc(&to->answer, "\n\n");
	for (size_t i = 0; i < more->n; i++) {
		struct citation *t = &all[to->n + i];
		*t = more->citations[i];
		t->answer_from += (uint32_t)to->answer.n;
		t->answer_to += (uint32_t)to->answer.n;
	}
	buf_adds(&to->answer, buf_str(&more->answer));
	to->citations = all;
	to->n += more->n;
	to->sentences += more->sentences;
	to->supported += more->supported;
	return to->answer.err;
}

static enum err check(struct asking *k)
{
	uint64_t start = clock_mono_ns();
	struct ask_result *r = k->r;
	struct checked got = {0};
	struct span *s = span_begin(k->run, NULL, "check", "check");
	struct str written = str_trim(buf_str(&k->written));
	enum err e = cite_check(k->cite, k->rq->query.text, written, &got, k->et);
	span_i64(s, "sentences", (int64_t)got.sentences);
	span_i64(s, "supported", (int64_t)got.supported);
	span_i64(s, "citations", (int64_t)got.n);
	/* A small model must earn its place behind the lead: most of what it wrote is supported. */
	bool drop = !got.supported || (r->lead_to && got.supported * 2 <= got.sentences);
	if (!e && r->n_best && drop) {
		/* Also when the model declines: the decision before found a passage likely. */
		r->generated = arena_str(k->a, written);
		say_why(k, got.declined
				   ? "the model found no answer in the passages; this is their "
				     "best sentence"
			   : got.supported
				   ? "the passages support too little of what the model wrote; "
				     "this is their best sentence"
				   : "no passage supports what the model wrote; this is the best "
				     "sentence of the passages");
		if (!r->lead_to)
			e = set_lead(k);
	} else if (!e && r->lead_to) {
		e = append(k, &got);
	} else if (!e) {
		buf_free(&r->checked.answer);
		r->checked = got;
		got.answer = (struct buf){0};
	}
	buf_free(&got.answer);
	r->check_ms = ms_since(start);
	if (!e)
		span_text(s, "output", buf_str(&r->checked.answer));
	span_end(s, e, k->et);
	return e;
}

/* ---- the whole ---- */

static enum err answer(struct asking *k)
{
	struct ask_result *r = k->r;
	int64_t max_tokens =
		k->rq->max_tokens ? k->rq->max_tokens : setting_int(k->c, "rag.answer_tokens");
	if (!r->grounded) {
		buf_addc(&r->checked.answer, "The documents do not say.");
		return r->checked.answer.err;
	}
	enum err e = endpoint_chat(k->c, k->rq->model, &k->chat, k->et);
	if (e == ERR_NOT_FOUND && !k->rq->model.n && r->n_best) {
		say_why(k, "no chat model is installed; this is the best sentence of the passages");
		return set_lead(k);
	}
	if (!e)
		e = endpoint_need_model(k->chat, "ask", k->et);
	if (e)
		return e;
	r->model = arena_str(k->a, endpoint_name(k->chat));
	if (leads(k)) {
		e = set_lead(k);
		if (!e && k->ev->on_token)
			e = k->ev->on_token(k->ev->ctx, buf_str(&r->checked.answer));
		if (!e && k->ev->on_token)
			e = k->ev->on_token(k->ev->ctx, S("\n\n"));
	}
	if (!e)
		e = assemble(k, max_tokens);
	if (!e)
		e = generate(k, max_tokens);
	return e ? e : check(k);
}

enum err rag_ask(struct croft *c, const struct ask_request *rq, struct run *run, struct arena *a,
	const struct ask_events *ev, struct ask_result *out, const struct cancel *cancel,
	struct errtext *et)
{
	uint64_t start = clock_mono_ns();
	*out = (struct ask_result){0};
	struct asking k = {.c = c,
		.rq = rq,
		.run = run,
		.a = a,
		.ev = ev,
		.r = out,
		.cancel = cancel,
		.et = et};
	if (!arena_on_free(a, checked_free, &out->checked))
		return no_memory(&k);
	enum err e = retrieve(&k);
	if (!e)
		e = answer(&k);
	out->total_ms = ms_since(start);
	endpoint_put(k.chat);
	tokens_free(&k.prompt);
	buf_free(&k.written);
	return e;
}
