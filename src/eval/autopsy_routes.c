/* POST /api/v1/eval/autopsy: for each question the stage that lost its answer, and how many each
 * stage lost. Events progress, result. */
#include "eval/autopsy.h"

#include "base/clock.h"

#include <stdlib.h>

enum { QUESTIONS_MAX = 5000, EXAMPLES = 5, TELL_MS = 500 };

struct examination {
	struct croft *c;
	struct http_request *rq;
	struct http_response *rs;
	struct autopsy x;
	struct texts texts;
	struct known *known;
	struct verdict *verdicts;
	size_t n;
	struct str digest;
	struct corpus corpus;
	uint64_t told_ms;
};

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for an autopsy");
}

/* ---- the request ---- */

static enum err add_answer(struct known *k, yyjson_val *v, struct errtext *et)
{
	struct str s = yyjson_is_obj(v) ? json_str(v, "text") : json_val_str(v);
	if (!str_trim(s).n)
		return err_set(et, ERR_INVALID, "an answer must be a text, or an object with one");
	if (k->n_answers < ANSWERS_MAX)
		k->answers[k->n_answers++] = s;
	return OK;
}

static enum err parse_known(yyjson_val *o, struct known *k, struct errtext *et)
{
	yyjson_val *list = yyjson_obj_get(o, "answers"), *one = yyjson_obj_get(o, "answer"), *v;
	size_t i, n;
	if (!yyjson_is_obj(o))
		return err_set(et, ERR_INVALID, "a question must be an object");
	enum err e = json_want_str(o, "id", &k->id, et);
	e = e ? e : json_want_str(o, "question", &k->question, et);
	e = e ? e : json_want_str(o, "document", &k->document, et);
	e = e ? e : json_want_str(o, "passage", &k->passage, et);
	if (!e && one && !yyjson_is_null(one))
		e = add_answer(k, one, et);
	if (!e && list && !yyjson_is_null(list) && !yyjson_is_arr(list))
		e = err_set(et, ERR_INVALID, "'answers' must be a list");
	yyjson_arr_foreach(list, i, n, v) e = e ? e : add_answer(k, v, et);
	if (!e && !str_trim(k->question).n)
		e = err_set(et, ERR_INVALID, "'question' is empty");
	if (!e && !k->n_answers && !k->document.n && !k->passage.n)
		e = err_set(
			et, ERR_INVALID, "say what is known: an answer, a passage or a document");
	return e;
}

static enum err parse_questions(struct examination *z, yyjson_val *o, struct errtext *et)
{
	yyjson_val *list = yyjson_obj_get(o, "questions"), *v;
	struct arena *a = z->rq->arena;
	size_t i, n = yyjson_arr_size(list);
	if (!n || n > QUESTIONS_MAX)
		return err_set(
			et, ERR_INVALID, "'questions' must be a list of 1 to %d", QUESTIONS_MAX);
	z->known = arena_array_of(a, n, struct known);
	z->verdicts = arena_array_of(a, n, struct verdict);
	if (!z->known || !z->verdicts)
		return no_memory(et);
	yyjson_arr_foreach(list, i, n, v)
	{
		struct known *k = &z->known[i];
		enum err e = parse_known(v, k, et);
		if (e)
			return err_wrap(et, e, "question %zu", i + 1);
		if (!k->id.n)
			k->id = arena_fmt(a, "%zu", i + 1);
	}
	z->n = n;
	return OK;
}

static enum err parse(struct examination *z, yyjson_val *o, struct errtext *et)
{
	struct autopsy *x = &z->x;
	struct rag_query *q = &x->query;
	q->project = project_of(z->rq);
	q->who = z->rq->who;
	enum err e = rag_query_parse(z->c, o, q, et);
	e = e ? e : json_want_bool(o, "generate", &x->answer, et);
	e = e ? e : json_want_str(o, "model", &x->model, et);
	e = e ? e : json_want_str(o, "digest", &z->digest, et);
	e = e ? e : parse_questions(z, o, et);
	if (!e && (x->answer || rag_stages_wanted(o, &q->stages)))
		e = need(z->rq, PERM_MODEL_USE, et);
	if (e || !z->digest.n)
		return e;
	e = corpus_collection(z->c, project_of(z->rq), z->digest, 0, z->rq->arena, &z->corpus, et);
	q->collection = z->corpus.collection;
	q->owner = S(EVAL_OWNER);
	return e;
}

/* ---- the reply ---- */

static void rank_member(struct jw *w, const char *key, uint32_t rank)
{
	jw_key(w, key);
	rank ? jw_i64(w, rank) : jw_null(w);
}

static void write_ranks(struct jw *w, const struct verdict *v)
{
	jw_key(w, "ranks");
	if (!v->ranked) {
		jw_null(w);
		return;
	}
	jw_obj(w);
	rank_member(w, "keyword", v->ranks.keyword);
	rank_member(w, "dense", v->ranks.dense);
	rank_member(w, "fused", v->ranks.fused);
	jw_end(w);
}

static void write_path(struct jw *w, const struct verdict *v)
{
	jw_key(w, "path");
	jw_arr(w);
	for (size_t i = 0; i < v->n_steps; i++) {
		jw_obj(w);
		jw_kc(w, "stage", v->steps[i].stage);
		rank_member(w, "rank", v->steps[i].rank);
		jw_end(w);
	}
	jw_end(w);
}

static void write_case(struct jw *w, const struct known *k, const struct verdict *v)
{
	jw_obj(w);
	jw_kstr(w, "id", k->id);
	jw_kstr(w, "question", k->question);
	jw_kc(w, "stage", lost_word(v->lost));
	jw_kstr(w, "why", v->why);
	jw_kstr(w, "remedy", v->remedy.p ? v->remedy : str_c(lost_remedy(v->lost)));
	jw_key(w, "document");
	v->document.n ? jw_str(w, v->document) : jw_null(w);
	jw_ki64(w, "page", v->page);
	jw_key(w, "quote");
	v->quote.n ? jw_str(w, v->quote) : jw_null(w);
	jw_ki64(w, "places", (int64_t)v->found.n);
	write_ranks(w, v);
	write_path(w, v);
	rank_member(w, "rank", v->rank);
	jw_ki64(w, "passages", (int64_t)v->passages);
	jw_key(w, "answer");
	v->answer.n ? jw_str(w, v->answer) : jw_null(w);
	jw_key(w, "generated");
	v->generated.n ? jw_str(w, v->generated) : jw_null(w);
	jw_key(w, "notes");
	jw_arr(w);
	for (size_t i = 0; i < v->n_notes; i++)
		jw_str(w, v->notes[i]);
	jw_end(w);
	jw_end(w);
}

static void write_stages(struct jw *w, const struct examination *z)
{
	jw_key(w, "stages");
	jw_arr(w);
	for (int l = 0; l < LOST_COUNT; l++) {
		size_t count = 0;
		for (size_t i = 0; i < z->n; i++)
			count += z->verdicts[i].lost == (enum lost)l;
		jw_obj(w);
		jw_kc(w, "stage", lost_word((enum lost)l));
		jw_ki64(w, "questions", (int64_t)count);
		jw_kc(w, "remedy", lost_remedy((enum lost)l));
		jw_key(w, "examples");
		jw_arr(w);
		for (size_t i = 0, shown = 0; i < z->n && shown < EXAMPLES; i++)
			if (z->verdicts[i].lost == (enum lost)l) {
				jw_str(w, z->known[i].id);
				shown++;
			}
		jw_end(w);
		jw_end(w);
	}
	jw_end(w);
}

static void write_result(struct jw *w, const struct examination *z, struct run *run, double ms)
{
	char id[ID_HEX + 1];
	id_hex(run_id(run), id);
	jw_obj(w);
	jw_ki64(w, "questions", (int64_t)z->n);
	jw_ki64(w, "documents", (int64_t)z->texts.n);
	jw_kbool(w, "generated", z->x.answer);
	write_stages(w, z);
	jw_key(w, "cases");
	jw_arr(w);
	for (size_t i = 0; i < z->n; i++)
		write_case(w, &z->known[i], &z->verdicts[i]);
	jw_end(w);
	jw_kc(w, "run", id);
	jw_kf64(w, "took_ms", ms);
	jw_end(w);
}

/* ---- one after the other ---- */

static enum err tell(struct examination *z, size_t done)
{
	uint64_t now = clock_mono_ns() / 1000000;
	struct buf b = {0};
	struct jw w = {.out = &b};
	if (now - z->told_ms < TELL_MS)
		return OK;
	z->told_ms = now;
	jw_obj(&w);
	jw_ki64(&w, "done", (int64_t)done);
	jw_ki64(&w, "total", (int64_t)z->n);
	jw_end(&w);
	enum err e = http_sse_event(z->rs, "progress", buf_str(&b));
	buf_free(&b);
	return e;
}

/* What a verdict says outlives the arena of its search. */
static bool keep(struct verdict *v, struct arena *a)
{
	struct str *texts[] = {&v->why, &v->document, &v->quote, &v->answer};
	bool ok = true;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		ok &= (*texts[i] = arena_str(a, *texts[i])).p != NULL;
	for (size_t i = 0; i < v->n_notes; i++)
		ok &= (v->notes[i] = arena_str(a, v->notes[i])).p != NULL;
	return ok;
}

static enum err examine(struct examination *z, size_t i, struct errtext *et)
{
	struct arena *scratch = arena_new(0);
	if (!scratch)
		return no_memory(et);
	enum err e = autopsy_one(&z->x, &z->known[i], scratch, &z->verdicts[i]);
	if (!e && !keep(&z->verdicts[i], z->rq->arena))
		e = no_memory(et);
	arena_free(scratch);
	if (!e && tell(z, i + 1))
		e = err_set(et, ERR_CANCELLED, "nobody waits for the result");
	if (!e && cancelled(z->rq->cancel))
		e = err_set(et, ERR_CANCELLED, "the autopsy was stopped");
	return e ? err_wrap(et, e, "question %.*s", STR_FMT(str_sub(z->known[i].id, 0, 80))) : OK;
}

static enum err examine_all(struct examination *z, struct run *run, struct errtext *et)
{
	struct rag_query *q = &z->x.query;
	enum err e = texts_load(
		&z->texts, q->project, q->collection.n ? q->collection : S("default"), q->owner);
	for (size_t i = 0; i < z->n && !e; i++)
		e = examine(z, i, et);
	run_i64(run, "questions", (int64_t)z->n);
	for (int l = 0; l < LOST_COUNT && !e; l++) {
		char key[64];
		size_t count = 0;
		for (size_t i = 0; i < z->n; i++)
			count += z->verdicts[i].lost == (enum lost)l;
		snprintf(key, sizeof key, "lost.%s", lost_word((enum lost)l));
		if (count)
			run_i64(run, key, (int64_t)count);
	}
	return e;
}

void post_autopsy(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	uint64_t start = clock_mono_ns();
	struct errtext et = {0};
	yyjson_doc *doc = NULL;
	struct buf b = {0};
	struct jw w = {.out = &b};
	struct examination z = {.c = c, .rq = rq, .rs = rs};
	struct run *run = NULL;
	z.texts = (struct texts){.c = c, .a = arena_new(0), .et = &et};
	z.x = (struct autopsy){.c = c, .texts = &z.texts, .cancel = rq->cancel, .et = &et};
	enum err e = z.texts.a ? json_parse(rq->body, &doc, &et) : no_memory(&et);
	e = e ? e : parse(&z, yyjson_doc_get_root(doc), &et);
	if (!e)
		run = run_begin(c, project_of(rq), "autopsy", z.known[0].question);
	e = e ? e : http_sse_begin(rs);
	e = e ? e : examine_all(&z, run, &et);
	if (!e) {
		write_result(&w, &z, run, (double)((clock_mono_ns() - start) / 1000) / 1000);
		e = jw_done(&w) ? http_sse_event(rs, "result", buf_str(&b)) : no_memory(&et);
	}
	if (e && http_replied(rs))
		send_error(rs, e, &et);
	else if (e)
		http_reply_error(rs, e, &et);
	run_end(run, e, &et);
	arena_free(z.texts.a);
	buf_free(&b);
	yyjson_doc_free(doc);
}
