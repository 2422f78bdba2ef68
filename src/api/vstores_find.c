/* Searching vector stores: the route, and what it shares with the tool `file_search`. */
#include "api/vstores.h"

#include "artifact/artifact.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum { RERANK_DEPTH = 50 /* unless rag.rerank_depth says so */ };

/* ---- the search ---- */

struct finding {
	struct croft *c;
	struct str project;
	const struct vsearch *q;
	const struct cancel *cancel;
	struct arena *a;
	struct vfound found; /* of all queries, each passage once */
	size_t cap, depth;
	struct errtext *et;
};

static enum err no_memory(struct finding *f)
{
	return err_set(f->et, ERR_NOMEM, "no memory to search");
}

/* Not what was removed or cancelled, or is a file that has expired, however short ago. */
static enum err has_row(struct finding *f, struct vhit *h, bool *yes)
{
	struct vfile row;
	struct file_row file;
	const struct rag_hit *hit = &h->hit;
	*yes = vstore_id_parse(hit->collection, &h->store) &&
	       file_id_parse(str_sub(hit->path, 0, FILE_ID), &h->file);
	if (!*yes)
		return OK;
	enum err e = vfile_get(f->c, f->project, h->store, h->file, f->a, &row, f->et);
	*yes = !e && !str_eq_c(row.status, "cancelled");
	h->name = row.name;
	if (*yes)
		e = files_get(f->c, f->project, h->file, f->a, &file, f->et);
	*yes &= !e;
	return e == ERR_NOT_FOUND ? OK : e;
}

static struct vhit *known(struct finding *f, int64_t chunk)
{
	for (size_t i = 0; i < f->found.n; i++)
		if (f->found.hits[i].hit.chunk == chunk)
			return &f->found.hits[i];
	return NULL;
}

/* What a cross-encoder has read is worth what that says. */
static enum err take(struct finding *f, const struct rag_hit *hit)
{
	struct vhit h = {.hit = *hit}, *before = known(f, hit->chunk);
	bool yes = false;
	if (hit->before)
		h.hit.relevance = hit->mixed;
	if ((double)h.hit.relevance < f->q->threshold || f->found.n == f->cap)
		return OK;
	if (before) {
		before->hit.relevance = MAX(before->hit.relevance, h.hit.relevance);
		return OK;
	}
	enum err e = has_row(f, &h, &yes);
	if (!e && yes)
		f->found.hits[f->found.n++] = h;
	return e;
}

static void take_trail(struct finding *f, const struct rag_trail *t)
{
	struct vfound *out = &f->found;
	for (size_t i = 0; i < t->n_asked; i++)
		out->searched[out->n_searched++] = t->asked[i].text;
	for (size_t i = 0; i < t->n_notes; i++)
		out->notes[out->n_notes++] = t->notes[i];
}

/* rag_filter.attributes. */
static bool keep(void *ctx, struct str attributes)
{
	yyjson_doc *doc = NULL;
	if (json_parse(attributes.n ? attributes : S("{}"), &doc, NULL))
		return false;
	bool kept = cond_matches(ctx, 0, yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	return kept;
}

static enum err find_one(struct finding *f, struct str text)
{
	const struct vsearch *q = f->q;
	struct rag_hit *hits;
	struct str *names = arena_array_of(f->a, q->n_stores + 1, struct str);
	size_t n = 0;
	if (!names)
		return no_memory(f);
	for (size_t i = 0; i < q->n_stores; i++) {
		char id[VSTORE_ID + 1];
		vstore_id(q->stores[i], id);
		names[i] = arena_str(f->a, str_c(id));
		if (!names[i].p)
			return no_memory(f);
	}
	struct rag_query rq = {.text = text,
		.project = f->project,
		.collections = names,
		.n_collections = q->n_stores,
		.owner = VSTORE_OWNER,
		.k = (size_t)q->most,
		.method = q->method,
		.balance = q->balance,
		.rerank = q->rerank,
		.rerank_model = q->reranker,
		.rerank_depth = f->depth,
		.rerank_weight = (float)setting_int(f->c, "rag.rerank_weight") / 100,
		.who = q->who,
		.run = q->run,
		.span = q->span,
		.trail = arena_new_of(f->a, struct rag_trail)};
	if (!rq.trail)
		return no_memory(f);
	if (q->rewrite)
		rq.stages = (struct rag_stages){.rewrite = true,
			.model = setting_text(f->c, "rag.query_model"),
			.timeout_ms = setting_int(f->c, "rag.query_timeout")};
	if (q->filter)
		rq.filter = (struct rag_filter){.attributes = keep, .ctx = (void *)q->filter};
	enum err e = rag_search(f->c, &rq, f->a, &hits, &n, f->cancel, f->et);
	for (size_t i = 0; i < n && !e; i++)
		e = take(f, &hits[i]);
	if (!e)
		take_trail(f, rq.trail);
	return e;
}

static int by_relevance(const void *a, const void *b)
{
	const struct vhit *x = a, *y = b;
	if (x->hit.relevance != y->hit.relevance)
		return x->hit.relevance < y->hit.relevance ? 1 : -1;
	return (x->hit.chunk > y->hit.chunk) - (x->hit.chunk < y->hit.chunk);
}

enum err vstores_find(struct croft *c, struct str project, const struct vsearch *q,
	const struct cancel *cancel, struct arena *a, struct vfound *out, struct errtext *et)
{
	size_t depth = (size_t)setting_int(c, "rag.rerank_depth"), n = q->n_queries;
	struct finding f = {.c = c,
		.project = project,
		.q = q,
		.cancel = cancel,
		.a = a,
		.cap = (size_t)q->most * n,
		.depth = MAX(depth ? depth : RERANK_DEPTH, (size_t)q->most),
		.et = et};
	f.found = (struct vfound){.hits = arena_array_of(a, f.cap + 1, struct vhit),
		.searched = arena_array_of(
			a, n * ARRAY_LEN(((struct rag_trail *)0)->asked), struct str),
		.notes = arena_array_of(a, n * RAG_NOTES_MAX, struct str)};
	enum err e = f.found.hits && f.found.searched && f.found.notes ? OK : no_memory(&f);
	for (size_t i = 0; i < n && !e; i++)
		e = find_one(&f, q->queries[i]);
	if (e)
		return e;
	qsort(f.found.hits, f.found.n, sizeof *f.found.hits, by_relevance);
	f.found.n = MIN(f.found.n, (size_t)q->most);
	*out = f.found;
	return OK;
}

/* ---- who orders what is found ---- */

/* "auto" is the house's cross-encoder where there is one, and the search's own order where not. */
enum err vsearch_ranker(
	struct croft *c, const char *where, struct arena *a, struct vsearch *q, struct api_error *x)
{
	struct installed_model m;
	struct errtext et = {0};
	char param[80];
	bool named = !str_eq_c(q->ranker, "auto") && !str_starts(q->ranker, S("default-"));
	bool house = !q->ranker.n && setting_int(c, "rag.rerank_depth") > 0;
	if (str_eq_c(q->ranker, "none") || (!q->ranker.n && !house))
		return OK;
	enum err e = installed_find(c, named ? q->ranker : S(""), PURPOSE_RERANK, a, &m, &et);
	if (!named && e == ERR_NOT_FOUND)
		return OK;
	snprintf(param, sizeof param, "%sranking_options.ranker", where);
	if (e == ERR_NOT_FOUND || e == ERR_INVALID)
		return api_fail(
			x, ERR_INVALID, "invalid_value", param, "%s: %s", param, err_text(e, &et));
	if (e)
		return api_fail(x, e, NULL, param, "%s", err_text(e, &et));
	q->rerank = true;
	q->reranker = m.name;
	return OK;
}

/* ---- the route ---- */

static void write_hit(struct jw *w, const struct vhit *h)
{
	char id[FILE_ID + 1];
	file_id(h->file, id);
	jw_obj(w);
	jw_kc(w, "file_id", id);
	jw_kstr(w, "filename", h->name);
	jw_key(w, "score");
	jw_f32(w, h->hit.relevance);
	jw_key(w, "attributes");
	jw_raw(w, h->hit.attributes.n ? h->hit.attributes : S("{}"));
	jw_key(w, "content");
	jw_arr(w);
	jw_obj(w);
	jw_kc(w, "type", "text");
	jw_kstr(w, "text", h->hit.text);
	jw_end(w);
	jw_end(w);
	jw_end(w);
}

/* What OpenAI's reply has no word for. */
static void write_own(struct jw *w, const struct vsearch *q, const struct vfound *f)
{
	jw_key(w, "croft");
	jw_obj(w);
	jw_key(w, "ranker");
	q->rerank ? jw_str(w, q->reranker) : jw_null(w);
	jw_key(w, "notes");
	jw_arr(w);
	for (size_t i = 0; i < f->n_notes; i++)
		jw_str(w, f->notes[i]);
	jw_end(w);
	jw_end(w);
}

static void reply_hits(struct http_response *rs, const struct vsearch *q, const struct vfound *f)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_kc(&w, "object", "vector_store.search_results.page");
	jw_key(&w, "search_query");
	jw_arr(&w);
	for (size_t i = 0; i < f->n_searched; i++)
		jw_str(&w, f->searched[i]);
	jw_end(&w);
	jw_key(&w, "data");
	jw_arr(&w);
	for (size_t i = 0; i < f->n; i++)
		write_hit(&w, &f->hits[i]);
	jw_end(&w);
	jw_kbool(&w, "has_more", false);
	jw_kc(&w, "next_page", NULL);
	write_own(&w, q, f);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

static enum err search_in(struct croft *c, struct http_request *rq, struct vstore *v,
	struct vsearch *q, struct vfound *found, struct api_error *x)
{
	if (v->expired)
		return api_fail(x, ERR_CONFLICT, NULL, "vector_store_id",
			"the vector store has expired: make a new one of its files");
	struct run *run = run_begin(c, project_of(rq), "search", q->queries[0]);
	struct span *s = span_begin(run, NULL, "retrieve", "retriever");
	span_text(s, "input", q->queries[0]);
	q->who = rq->who;
	q->run = run;
	q->span = s;
	enum err e = vstores_find(c, project_of(rq), q, rq->cancel, rq->arena, found, &x->et);
	e = e ? e : vstore_used(c, v, &x->et);
	span_i64(s, "hits", (int64_t)(e ? 0 : found->n));
	span_end(s, e, &x->et);
	run_end(run, e, &x->et);
	return e ? vstores_failed(x, e, "query") : OK;
}

void vstores_search(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct vstore v;
	struct vsearch q;
	struct vfound found = {0};
	enum err e = vstores_want(c, rq, &v, &x);
	e = e ? e : vsearch_parse(rq->body, rq->arena, &q, &x);
	e = e ? e : vsearch_ranker(c, "", rq->arena, &q, &x);
	if (!e && q.rewrite) {
		e = need(rq, PERM_MODEL_USE, &x.et);
		e = e ? api_fail_from(&x, e, "rewrite_query") : OK;
	}
	if (!e) {
		q.stores = &v.id;
		q.n_stores = 1;
		e = search_in(c, rq, &v, &q, &found, &x);
	}
	if (e)
		api_reply_error(rs, &x);
	else
		reply_hits(rs, &q, &found);
}
