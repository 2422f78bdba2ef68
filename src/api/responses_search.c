/* The tool `file_search` of a response: vector stores are searched with the user's question before
 * the model begins, whatever the model is; the passages go into its prompt as far as there is room;
 * what it writes is checked against them, and what they support is annotated.
 *
 *	turn_stores    the stores that were named are there
 *	turn_search    the search, and the passages into the messages
 *	turn_tell      the item of the search, with its events
 *	annotate       a text that was written -> file citations */
#include "api/responses.h"

#include "rag/cite.h"

enum { QUERY_MAX = 2000, BEFORE_MAX = 500, PASSAGE_EXTRA = 12 /* tokens of its number and such */ };

struct turn_search {
	struct str queries[2];
	size_t n_queries;
	struct vhit *hits;
	struct rag_hit *passages; /* those in the prompt */
	size_t n, used;
	struct str ranker; /* the cross-encoder that ordered them; "" */
	struct marks marks;
};

/* ---- before ---- */

enum err turn_stores(struct turn *t)
{
	struct vsearch *q = &t->p.search;
	for (size_t i = 0; i < q->n_stores; i++) {
		struct vstore v;
		enum err e = vstore_get(t->c, t->r.project, q->stores[i], t->a, &v, &t->x.et);
		if (!e && v.expired)
			return api_fail(&t->x, ERR_INVALID, "vector_store_expired", "tools",
				"a vector store of file_search has expired: make a new one of its "
				"files");
		e = e ? e : vstore_used(t->c, &v, &t->x.et);
		if (e)
			return store_failed(&t->x, e, "tools");
	}
	return q->n_stores ? vsearch_ranker(t->c, "file_search.", t->a, q, &t->x) : OK;
}

/* ---- the search ---- */

static struct str head(struct str s, size_t most)
{
	s = str_trim(str_sub(s, 0, most));
	return str_sub(s, 0, utf8_complete_prefix(s));
}

static struct chat_message *last_user(struct turn *t, size_t skip)
{
	for (size_t i = t->p.chat.n_messages; i--;) {
		struct chat_message *m = &t->p.chat.messages[i];
		if (str_eq_c(m->role, "user") && !skip--)
			return m;
	}
	return NULL;
}

/* The question; and with the one before it, for "and in winter?" says little by itself. */
static enum err make_queries(struct turn *t, struct turn_search *s)
{
	const struct chat_message *m = last_user(t, 0), *before = last_user(t, 1);
	struct str text = m ? head(m->content, QUERY_MAX) : S("");
	if (!text.n)
		return OK;
	s->queries[s->n_queries++] = text;
	if (!before || !str_trim(before->content).n)
		return OK;
	struct str more = head(before->content, BEFORE_MAX);
	s->queries[1] = arena_fmt(t->a, "%.*s\n%.*s", STR_FMT(more), STR_FMT(text));
	s->n_queries++;
	return s->queries[1].p ? OK : api_no_memory(&t->x);
}

static enum err find(struct turn *t, struct turn_search *s, struct span *span)
{
	struct vsearch q = t->p.search;
	struct vfound found = {0};
	q.queries = s->queries;
	q.n_queries = s->n_queries;
	q.who = t->who;
	q.run = t->run;
	q.span = span;
	span_text(span, "input", s->queries[0]);
	enum err e = vstores_find(t->c, t->r.project, &q, t->cancel, t->a, &found, &t->x.et);
	s->hits = found.hits;
	s->n = found.n;
	s->ranker = q.reranker;
	span_i64(span, "hits", (int64_t)s->n);
	return e ? api_fail_from(&t->x, e, "tools") : OK;
}

/* ---- the prompt ---- */

static const char explain[] =
	"Numbered passages from the user's files stand before the question. Answer from them where "
	"they "
	"tell, and say so when they do not. After each sentence that rests on a passage write its "
	"number in square brackets, like [1].";
static const char explain_held[] = "Passages from the user's files stand before the question. "
				   "Answer from them where they tell.";

static void write_passage(const struct vhit *h, size_t number, struct buf *out)
{
	buf_addf(out, "[%zu] %.*s", number, STR_FMT(h->name));
	if (h->hit.heading_path.n)
		buf_addf(out, " > %.*s", STR_FMT(h->hit.heading_path));
	buf_addf(out, "\n%.*s\n\n", STR_FMT(h->hit.text));
}

/* Of a remote provider's model nobody here knows the tokens: four bytes are one. */
static enum err tokens_of(struct turn *t, struct str text, size_t *n)
{
	struct model *m = endpoint_model(t->ep);
	struct tokens ids = {0};
	*n = text.n / 4 + PASSAGE_EXTRA;
	if (!m)
		return OK;
	enum err e = tokenizer_encode(model_tokenizer(m), text, 0, &ids, &t->x.et);
	*n = ids.n + PASSAGE_EXTRA;
	tokens_free(&ids);
	return e ? api_fail_from(&t->x, e, "tools") : OK;
}

/* What the setting allows, and the model's context beside the conversation and an answer. */
static enum err room_for(struct turn *t, size_t *room)
{
	*room = (size_t)setting_int(t->c, "file_search.prompt_tokens");
	if (!endpoint_generator(t->ep))
		return OK;
	size_t context = generator_context(endpoint_generator(t->ep)), answer = context / 8;
	if (t->p.chat.gen.max_tokens)
		answer = MIN(t->p.chat.gen.max_tokens, context / 2);
	if (t->p.truncate) { /* the conversation gives way */
		*room = MIN(*room, (context - answer) / 2);
		return OK;
	}
	struct tokens ids = {0};
	struct chat_request r = api_chat_request(&t->p.chat, t->who, t->cancel);
	enum err e = chat_prompt_tokens(t->c, t->ep, &r, &ids, &t->x.et);
	if (e)
		return api_fail_from(&t->x, e, "input");
	size_t taken = ids.n + answer + 2 * sizeof explain / 4;
	*room = MIN(*room, context > taken ? context - taken : 0);
	tokens_free(&ids);
	return OK;
}

static enum err choose_passages(struct turn *t, struct turn_search *s, struct buf *out)
{
	size_t room = 0;
	enum err e = s->n ? room_for(t, &room) : OK;
	for (size_t i = 0; i < s->n && !e; i++) {
		struct buf b = {0};
		size_t n = 0;
		write_passage(&s->hits[i], i + 1, &b);
		e = b.err ? api_no_memory(&t->x) : tokens_of(t, buf_str(&b), &n);
		bool fits = !e && n <= room;
		if (fits) {
			buf_adds(out, buf_str(&b));
			room -= n;
			s->used++;
		}
		buf_free(&b);
		if (!fits)
			break;
	}
	return e;
}

static enum err explain_it(struct turn *t)
{
	struct chat_params *p = &t->p.chat;
	const char *how = p->gen.format.kind ? explain_held : explain;
	struct chat_message *first = &p->messages[0];
	if (str_eq_c(first->role, "system")) {
		first->content = arena_fmt(t->a, "%.*s\n\n%s", STR_FMT(first->content), how);
		return first->content.p ? OK : api_no_memory(&t->x);
	}
	struct chat_message *all = arena_array_of(t->a, p->n_messages + 1, struct chat_message);
	if (!all)
		return api_no_memory(&t->x);
	all[0] = (struct chat_message){.role = S("system"), .content = str_c(how)};
	memcpy(all + 1, p->messages, p->n_messages * sizeof *all);
	p->messages = all;
	p->n_messages++;
	return OK;
}

static enum err put_passages(struct turn *t, struct str passages)
{
	struct chat_message *m = last_user(t, 0);
	m->content = arena_fmt(t->a, "%.*s%s%.*s", STR_FMT(passages),
		t->p.chat.gen.format.kind ? "" : "Question: ", STR_FMT(m->content));
	return m->content.p ? explain_it(t) : api_no_memory(&t->x);
}

static enum err assemble(struct turn *t, struct turn_search *s, struct span *span)
{
	struct buf b = {0};
	enum err e = choose_passages(t, s, &b);
	if (!e && s->used)
		e = b.err ? api_no_memory(&t->x) : put_passages(t, buf_str(&b));
	buf_free(&b);
	span_i64(span, "passages", (int64_t)s->used);
	if (!e && s->used < s->n) {
		span_i64(span, "passages_left_out", (int64_t)(s->n - s->used));
		span_text(span, "warning",
			S("not all passages are in the prompt: the model's context or the setting "
			  "file_search.prompt_tokens has no room for more"));
	}
	return e;
}

/* ---- what was written ---- */

static size_t code_points(struct str s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
	return n;
}

/* Where the shown text stands at byte `to` of the checked one. */
static size_t place(const struct turn_search *s, struct str checked, uint32_t to, size_t most)
{
	struct marks m = {.most = s->marks.most};
	struct buf b = {0};
	marks_add(&m, str_sub(checked, 0, to), &b);
	marks_end(&m, &b);
	struct str text = buf_str(&b);
	while (text.n && strchr(" \t\r\n", text.p[text.n - 1]))
		text.n--;
	size_t n = code_points(text);
	buf_free(&b);
	return MIN(n, most);
}

static void write_citation(const struct vhit *h, size_t index, struct buf *out)
{
	char id[FILE_ID + 1];
	struct buf line = {0};
	struct jw w = {.out = &line};
	file_id(h->file, id);
	jw_obj(&w);
	jw_kc(&w, "type", "file_citation");
	jw_ki64(&w, "index", (int64_t)index);
	jw_kc(&w, "file_id", id);
	jw_kstr(&w, "filename", h->name);
	jw_end(&w);
	/* two passages of one file are one citation */
	if (str_find(buf_str(out), buf_str(&line)) == STR_NONE) {
		buf_adds(out, buf_str(&line));
		buf_putc(out, '\n');
	}
	buf_free(&line);
}

static enum err check(struct turn *t, struct turn_search *s, struct str marked, struct checked *out,
	struct errtext *et)
{
	struct cite *cite;
	enum err e = rag_cite(t->c, s->passages, s->used, t->cancel, t->a, &cite, et);
	return e ? e : cite_check(cite, s->queries[0], marked, out, et);
}

/* answer.annotate: a check that fails leaves the answer as it is, without citations. */
static void annotate(void *ctx, struct str marked, struct str shown, struct buf *out)
{
	struct turn *t = ctx;
	struct turn_search *s = t->search;
	struct errtext et = {0};
	struct checked got = {0};
	struct span *span = span_begin(t->run, NULL, "check", "check");
	enum err e = check(t, s, marked, &got, &et);
	size_t most = code_points(shown);
	for (size_t i = 0; i < got.n && !e; i++) {
		const struct citation *k = &got.citations[i];
		if (k->status == CITE_UNSUPPORTED || !k->n || k->n > s->used)
			continue;
		write_citation(&s->hits[k->n - 1],
			place(s, buf_str(&got.answer), k->answer_to, most), out);
	}
	span_i64(span, "sentences", (int64_t)got.sentences);
	span_i64(span, "supported", (int64_t)got.supported);
	span_end(span, e, &et);
	buf_free(&got.answer);
}

static enum err watch_answer(struct turn *t, struct turn_search *s)
{
	if (!s->used || t->p.chat.gen.format.kind)
		return OK;
	s->passages = arena_array_of(t->a, s->used, struct rag_hit);
	if (!s->passages)
		return api_no_memory(&t->x);
	for (size_t i = 0; i < s->used; i++)
		s->passages[i] = s->hits[i].hit;
	s->marks.most = (unsigned)s->used;
	t->answer.marks = &s->marks;
	t->answer.annotate = annotate;
	t->answer.annotate_ctx = t;
	return OK;
}

enum err turn_search(struct turn *t)
{
	if (!t->p.chat.search)
		return OK;
	struct turn_search *s = arena_array_of(t->a, 1, struct turn_search);
	if (!s)
		return api_no_memory(&t->x);
	enum err e = make_queries(t, s);
	if (e || !s->n_queries)
		return e;
	struct span *span = span_begin(t->run, NULL, "file_search", "retriever");
	e = find(t, s, span);
	e = e ? e : assemble(t, s, span);
	span_end(span, e, &t->x.et);
	e = e ? e : watch_answer(t, s);
	if (!e)
		t->search = s;
	return e;
}

/* ---- the item ---- */

static void write_result(struct jw *w, const struct vhit *h)
{
	char id[FILE_ID + 1], store[VSTORE_ID + 1];
	file_id(h->file, id);
	vstore_id(h->store, store);
	jw_obj(w);
	jw_kstr(w, "text", h->hit.text);
	jw_kc(w, "file_id", id);
	jw_kstr(w, "filename", h->name);
	jw_key(w, "score"), jw_f32(w, h->hit.relevance);
	jw_key(w, "attributes");
	jw_raw(w, h->hit.attributes.n ? h->hit.attributes : S("{}"));
	jw_kc(w, "vector_store_id", store);
	jw_end(w);
}

enum err turn_tell(struct turn *t)
{
	const struct turn_search *s = t->search;
	struct buf b = {0}, own = {0};
	struct jw w = {.out = &b}, o = {.out = &own};
	if (!s)
		return OK;
	jw_arr(&w);
	for (size_t i = 0; i < s->n; i++)
		write_result(&w, &s->hits[i]);
	jw_end(&w);
	jw_obj(&o);
	jw_ki64(&o, "found", (int64_t)s->n);
	jw_ki64(&o, "in_prompt", (int64_t)s->used);
	if (s->ranker.n)
		jw_kstr(&o, "ranker", s->ranker);
	jw_end(&o);
	enum err e = b.err || own.err
			     ? ERR_NOMEM
			     : answer_search(&t->answer, s->queries, s->n_queries,
				       t->p.show_results ? buf_str(&b) : S(""), buf_str(&own));
	buf_free(&b);
	buf_free(&own);
	return e ? api_fail(&t->x, e, NULL, NULL, "%s",
			   e == ERR_CANCELLED ? "the client went away" : "no memory for the answer")
		 : OK;
}
