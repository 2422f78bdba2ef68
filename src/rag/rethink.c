/* A question to what is searched for, by a chat model: rewritten, in parts, and as the passage that
 * would answer it (HyDE: Gao, Ma, Lin and Callan, 2022). One call for whatever is wanted, held to a
 * JSON Schema, bounded in tokens and in time. Whatever goes wrong, the question itself is searched,
 * and a note says what went wrong. */
#include "rag/stages.h"

#include "base/clock.h"
#include "endpoint/chat.h"

enum { QUESTION_MAX = 2000, TEXT_MAX = 400, PASSAGE_MAX = 900, TIMEOUT_MS = 20000 };

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

/* ---- what it is asked ---- */

static const char head[] = "You prepare a search in a collection of documents. You do not answer "
			   "the question. Write one "
			   "JSON object with:";
static const char say_rewritten[] = "\n\"rewritten\": the question as a search query that stands "
				    "by itself, with the words that a "
				    "document would use. Keep names, numbers and the language.";
static const char say_questions[] =
	"\n\"questions\": the two to four simpler questions that have to be answered first, each "
	"standing by itself, in the language of the question. One, when it is simple already.";
static const char say_passage[] =
	"\n\"passage\": two or three sentences as they might stand in a document that answers the "
	"question, in its language.";

static void write_prompt(const struct rag_stages *s, struct buf *out)
{
	buf_addc(out, head);
	if (s->rewrite)
		buf_addc(out, say_rewritten);
	if (s->decompose)
		buf_addc(out, say_questions);
	if (s->hyde)
		buf_addc(out, say_passage);
}

static void write_text(struct jw *w, const char *key, int64_t most, bool bounds)
{
	if (key)
		jw_key(w, key);
	jw_obj(w);
	jw_kc(w, "type", "string");
	if (bounds) {
		jw_ki64(w, "minLength", 1);
		jw_ki64(w, "maxLength", most);
	}
	jw_end(w);
}

/* Providers do not all know bounds; what we hold to the schema ourselves ends by them. */
static void write_schema(const struct rag_stages *s, bool bounds, struct buf *out)
{
	struct jw w = {.out = out};
	jw_obj(&w);
	jw_kc(&w, "type", "object");
	jw_key(&w, "properties");
	jw_obj(&w);
	if (s->rewrite)
		write_text(&w, "rewritten", TEXT_MAX, bounds);
	if (s->decompose) {
		jw_key(&w, "questions");
		jw_obj(&w);
		jw_kc(&w, "type", "array");
		jw_key(&w, "items");
		write_text(&w, NULL, TEXT_MAX, bounds);
		if (bounds) {
			jw_ki64(&w, "minItems", 1);
			jw_ki64(&w, "maxItems", RAG_QUESTIONS_MAX);
		}
		jw_end(&w);
	}
	if (s->hyde)
		write_text(&w, "passage", PASSAGE_MAX, bounds);
	jw_end(&w);
	jw_key(&w, "required");
	jw_arr(&w);
	if (s->rewrite)
		jw_c(&w, "rewritten");
	if (s->decompose)
		jw_c(&w, "questions");
	if (s->hyde)
		jw_c(&w, "passage");
	jw_end(&w);
	jw_kbool(&w, "additionalProperties", false);
	jw_end(&w);
}

static uint32_t tokens_for(const struct rag_stages *s)
{
	return 48 + (s->rewrite ? 128 : 0) + (s->decompose ? 320 : 0) + (s->hyde ? 320 : 0);
}

/* ---- what it says ---- */

static struct str clean(struct stage *x, struct str s, size_t most)
{
	s = str_trim(str_sub(s, 0, most));
	return s.n ? arena_str(x->a, str_sub(s, 0, utf8_complete_prefix(s))) : S("");
}

/* A text that is searched for already adds nothing. */
static void add_text(struct stage *x, const char *as, struct str text)
{
	struct rag_trail *t = x->trail;
	for (size_t i = 0; i < t->n_asked; i++)
		if (str_eq_nocase(t->asked[i].text, text))
			return;
	if (text.n && t->n_asked < ARRAY_LEN(t->asked))
		t->asked[t->n_asked++] = (struct rag_asked){as, text};
}

static enum err take(struct stage *x, struct str json)
{
	const struct rag_stages *s = &x->q->stages;
	yyjson_doc *doc;
	enum err e = json_parse(json, &doc, x->et);
	if (e)
		return e;
	yyjson_val *o = yyjson_doc_get_root(doc), *v;
	if (s->rewrite)
		add_text(x, "rewritten", clean(x, json_str(o, "rewritten"), TEXT_MAX));
	size_t i, n;
	yyjson_val *parts = yyjson_obj_get(o, "questions");
	if (s->decompose)
		yyjson_arr_foreach(parts, i, n, v)
		{
			if (i < RAG_QUESTIONS_MAX)
				add_text(x, "part", clean(x, json_val_str(v), TEXT_MAX));
		}
	if (s->hyde)
		x->trail->passage = clean(x, json_str(o, "passage"), PASSAGE_MAX);
	bool nothing = (s->hyde && !x->trail->passage.n) || !yyjson_is_obj(o);
	yyjson_doc_free(doc);
	return nothing ? err_set(x->et, ERR_INVALID, "it did not write what it was asked for") : OK;
}

static enum err call(
	struct stage *x, struct endpoint *ep, const struct cancel *cancel, struct chat_result *out)
{
	const struct rag_stages *s = &x->q->stages;
	struct buf prompt = {0}, schema = {0};
	struct str question = str_sub(x->q->text, 0, QUESTION_MAX);
	question.n = utf8_complete_prefix(question);
	write_prompt(s, &prompt);
	write_schema(s, !endpoint_remote(ep), &schema);
	struct chat_message m[] = {{.role = S("system"), .content = buf_str(&prompt)},
		{.role = S("user"), .content = question}};
	struct chat_request r = {.messages = m,
		.n_messages = ARRAY_LEN(m),
		.reasoning = REASONING_OFF,
		.sampling = SAMPLING_DEFAULT,
		.max_tokens = tokens_for(s),
		.top_logprobs = -1,
		.format = CONSTRAINT_SCHEMA,
		.format_source = buf_str(&schema),
		.format_name = S("search"),
		.who = x->q->who,
		.cancel = cancel};
	r.sampling.temperature = 0;
	enum err e = prompt.err || schema.err ? err_set(x->et, ERR_NOMEM, "no memory for a prompt")
					      : chat_run(x->c, ep, x->q->run, &r, out, x->et);
	buf_free(&prompt);
	buf_free(&schema);
	return e;
}

static enum err rethink(struct stage *x, struct step *step)
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
	e = e ? e : call(x, ep, &d.cancel, &res);
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
		e = err_set(x->et, ERR_LIMIT, "it wrote more than %u tokens",
			tokens_for(&x->q->stages));
	e = e ? e : take(x, buf_str(&res.text));
	chat_result_free(&res);
	endpoint_put(ep);
	return e;
}

enum err stage_rethink(struct stage *x)
{
	struct step step;
	struct errtext *out = x->et, et = {0};
	x->trail->asked[0] = (struct rag_asked){"question", x->q->text};
	x->trail->n_asked = 1;
	x->trail->passage = x->trail->model = S("");
	if (!rag_stages_ask(&x->q->stages))
		return OK;
	step_begin(&step, x->q, x->trail, "rewrite", "chain");
	span_text(step.span, "input", x->q->text);
	x->et = &et;
	enum err e = rethink(x, &step);
	x->et = out;
	if (e && cancelled(x->cancel)) {
		step_end(&step, e, &et);
		return err_set(out, ERR_CANCELLED, "the search was cancelled");
	}
	if (e) {
		struct str why = arena_fmt(x->a,
			"no chat model helped with the question, which was searched as it is: %s",
			err_text(e, &et));
		trail_note(x->trail, why);
		step_note(&step, why);
	}
	step_end(&step, e, &et);
	return OK;
}
