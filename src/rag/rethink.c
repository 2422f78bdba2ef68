/* A question to what is searched for, by a chat model: rewritten, in parts, and as the passage that
 * would answer it (HyDE: Gao, Ma, Lin and Callan, 2022). One call for whatever is wanted, held to a
 * JSON Schema, bounded in tokens and in time. Whatever goes wrong, the question itself is searched,
 * and a note says what went wrong. */
#include "rag/stages.h"

enum { TEXT_MAX = 400, PASSAGE_MAX = 900 };

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
static void write_schema(void *ctx, bool bounds, struct buf *out)
{
	const struct rag_stages *s = ctx;
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

static enum err take(struct stage *x, void *ctx, struct str json)
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

static enum err rethink(struct stage *x, struct step *step)
{
	struct rag_stages s = x->q->stages;
	struct buf prompt = {0};
	write_prompt(&s, &prompt);
	struct asking q = {.name = S("search"),
		.system = buf_str(&prompt),
		.max_tokens = tokens_for(&s),
		.schema = write_schema,
		.take = take,
		.ctx = &s};
	enum err e = prompt.err ? err_set(x->et, ERR_NOMEM, "no memory for a prompt")
				: stage_ask(x, step, &q);
	buf_free(&prompt);
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
