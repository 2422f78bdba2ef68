/* Corpora that evaluation keeps: each is a collection named after the digest of its text and the
 * length of its chunks, so that a changed corpus is another one. Vectors are kept by the text they
 * are of: what did not change is not embedded again. */
#include "eval/eval_int.h"

#include "base/clock.h"

enum { DOCUMENTS_MAX = 1000, DIGEST_SHOWN = 16 };

static bool is_digest(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!strchr("0123456789abcdef", s.p[i]))
			return false;
	return s.n == 64;
}

static enum err find(struct croft *c, struct str project, struct str digest, int64_t chunk_tokens,
	struct arena *a, struct corpus *out, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = corpus_get(tx, project, digest, chunk_tokens, a, out, et);
	db_rollback(tx);
	return e;
}

static enum err save(
	struct croft *c, struct str project, const struct corpus *k, struct errtext *et)
{
	struct tx *tx = NULL;
	enum err e = db_begin(croft_db(c), TX_WRITE, &tx, et);
	if (!e)
		e = corpus_put(tx, project, k, et);
	return db_finish(tx, e, et);
}

enum err corpus_collection(struct croft *c, struct str project, struct str digest,
	int64_t chunk_tokens, struct arena *a, struct corpus *out, struct errtext *et)
{
	struct corpus k;
	enum err e = find(c, project, digest, chunk_tokens, a, &k, et);
	if (e == ERR_NOT_FOUND || (!e && !k.ready))
		e = err_set(et, ERR_NOT_READY,
			"the corpus %.16s with chunks of %lld tokens is not filled yet: send its "
			"documents to /api/v1/eval/corpora first",
			digest.p, (long long)chunk_tokens);
	if (!e)
		*out = k;
	return e;
}

/* ---- filling ---- */

static void escaped(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		switch (s.p[i]) {
		case '<':
			buf_addc(out, "&lt;");
			break;
		case '&':
			buf_addc(out, "&amp;");
			break;
		case '\n':
			buf_addc(out, i + 1 < s.n && s.p[i + 1] == '\n' ? "</p>\n<p>" : "\n");
			break;
		default:
			buf_putc(out, s.p[i]);
		}
}

/* As a page, which has a place for the title; no text can mean anything else there. */
static void page(struct str title, struct str text, struct buf *out)
{
	buf_addc(out, "<!DOCTYPE html><html><head><meta charset=\"utf-8\"><title>");
	escaped(out, title);
	buf_addc(out, "</title></head><body><p>");
	escaped(out, text);
	buf_addc(out, "</p></body></html>\n");
}

/* The setting's overlap, in proportion. */
static uint32_t overlap_of(const struct croft *c, int64_t chunk_tokens)
{
	int64_t tokens = setting_int(c, "rag.chunk_tokens");
	return (uint32_t)(setting_int(c, "rag.chunk_overlap") * chunk_tokens / MAX(tokens, 1));
}

static enum err put_one(struct croft *c, struct http_request *rq, struct corpus *k, yyjson_val *o,
	struct arena *a, struct errtext *et)
{
	struct str id = json_str(o, "id");
	struct buf path = {0}, html = {0};
	struct rag_made made;
	if (!id.n || id.n > 500)
		return err_set(et, ERR_INVALID, "a document's id must be 1 to 500 bytes");
	buf_addf(&path, "%.*s.html", STR_FMT(id));
	page(json_str(o, "title"), json_str(o, "text"), &html);
	struct rag_new d = {.project = project_of(rq),
		.collection = k->collection,
		.path = buf_str(&path),
		.bytes = buf_str(&html),
		.owner = S(EVAL_OWNER),
		.attributes = S(""),
		.chunk_tokens = (uint32_t)k->chunk_tokens,
		.chunk_overlap = overlap_of(c, k->chunk_tokens)};
	enum err e = html.err || path.err ? err_set(et, ERR_NOMEM, "no memory for a document")
					  : rag_put(c, &d, a, &made, rq->cancel, et);
	if (!e) {
		k->documents++;
		k->failed += made.failed;
	}
	buf_free(&path);
	buf_free(&html);
	return e;
}

static enum err put_all(struct croft *c, struct http_request *rq, struct corpus *k,
	yyjson_val *list, struct errtext *et)
{
	size_t i, n;
	yyjson_val *o;
	enum err e = OK;
	yyjson_arr_foreach(list, i, n, o)
	{
		struct arena *a = arena_new(0);
		e = a ? put_one(c, rq, k, o, a, et) : err_set(et, ERR_NOMEM, "no memory");
		arena_free(a);
		if (e)
			break;
	}
	return e;
}

/* ---- routes ---- */

static void write_corpus(struct jw *w, const struct corpus *k)
{
	char when[CLOCK_TEXT];
	jw_obj(w);
	jw_kstr(w, "digest", k->digest);
	jw_kstr(w, "name", k->name);
	jw_kstr(w, "collection", k->collection);
	jw_ki64(w, "chunk_tokens", k->chunk_tokens);
	jw_ki64(w, "documents", k->documents);
	jw_ki64(w, "failed", k->failed);
	jw_kbool(w, "ready", k->ready);
	clock_rfc3339(k->updated_ms, when);
	jw_kc(w, "updated", when);
	jw_end(w);
}

static void reply_corpus(struct http_response *rs, const struct corpus *k)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	write_corpus(&w, k);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

static enum err list_now(struct croft *c, struct http_request *rq, struct str digest,
	struct corpus **list, size_t *n, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = corpus_list(tx, project_of(rq), digest, rq->arena, list, n, et);
	db_rollback(tx);
	return e;
}

void get_corpora(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct corpus *list = NULL;
	size_t n = 0;
	enum err e = list_now(c, rq, (struct str){0}, &list, &n, &et);
	if (e) {
		http_reply_error(rs, e, &et);
		return;
	}
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_key(&w, "corpora");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		write_corpus(&w, &list[i]);
	jw_end(&w);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

void get_corpus(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct corpus k;
	int64_t tokens = 0;
	struct str asked = http_query(rq, "chunk_tokens");
	enum err e = OK;
	if (asked.n && !str_i64(asked, &tokens))
		e = err_set(&et, ERR_INVALID, "chunk_tokens must be a number");
	e = e ? e : find(c, project_of(rq), http_param(rq, "digest"), tokens, rq->arena, &k, &et);
	if (e)
		http_reply_error(rs, e, &et);
	else
		reply_corpus(rs, &k);
}

static enum err parse_corpus(struct http_request *rq, yyjson_val *o, struct corpus *k,
	yyjson_val **documents, bool *done, struct errtext *et)
{
	k->digest = http_param(rq, "digest");
	enum err e = is_digest(k->digest)
			     ? OK
			     : err_set(et, ERR_INVALID, "the digest must be 64 hexadecimal digits");
	e = e ? e : json_want_str(o, "name", &k->name, et);
	e = e ? e : json_want_i64(o, "chunk_tokens", 0, 8192, &k->chunk_tokens, et);
	e = e ? e : json_want_bool(o, "done", done, et);
	*documents = yyjson_obj_get(o, "documents");
	if (!e && k->chunk_tokens && k->chunk_tokens < 16)
		e = err_set(et, ERR_INVALID, "chunk_tokens must be at least 16");
	if (!e && yyjson_arr_size(*documents) > DOCUMENTS_MAX)
		e = err_set(et, ERR_TOO_LARGE, "at most %d documents can be sent at a time",
			DOCUMENTS_MAX);
	return e;
}

/* What a stopped fill left is written again: the same bytes cost a comparison. The row says how
 * many were put, so the first piece begins the count anew. */
static enum err fill(struct croft *c, struct http_request *rq, struct corpus *k,
	yyjson_val *documents, bool first, bool done, struct errtext *et)
{
	struct corpus before;
	enum err e = find(c, project_of(rq), k->digest, k->chunk_tokens, rq->arena, &before, et);
	if (e && e != ERR_NOT_FOUND)
		return e;
	if (!e && !first) {
		k->documents = before.documents;
		k->failed = before.failed;
	}
	if (!k->name.n)
		k->name = e ? S("corpus") : before.name;
	k->collection = arena_fmt(
		rq->arena, "eval-%.*s-%lld", DIGEST_SHOWN, k->digest.p, (long long)k->chunk_tokens);
	k->updated_ms = clock_unix_ms();
	e = save(c, project_of(rq), k, et); /* --forget finds it also when this is cut short */
	e = e ? e : put_all(c, rq, k, documents, et);
	k->ready = done;
	k->updated_ms = clock_unix_ms();
	return e ? e : save(c, project_of(rq), k, et);
}

void post_corpus(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	yyjson_doc *doc = NULL;
	yyjson_val *documents = NULL;
	struct corpus k = {0};
	bool done = false, first = false;
	enum err e = json_parse(rq->body, &doc, &et);
	yyjson_val *o = e ? NULL : yyjson_doc_get_root(doc);
	e = e ? e : parse_corpus(rq, o, &k, &documents, &done, &et);
	e = e ? e : json_want_bool(o, "first", &first, &et);
	e = e ? e : fill(c, rq, &k, documents, first, done, &et);
	if (e)
		http_reply_error(rs, e, &et);
	else
		reply_corpus(rs, &k);
	yyjson_doc_free(doc);
}

static enum err forget(
	struct croft *c, struct str project, struct str collection, struct errtext *et)
{
	struct tx *tx = NULL;
	enum err e = rag_remove(c, project, S(EVAL_OWNER), collection, S(""), et);
	if (e)
		return e;
	e = db_begin(croft_db(c), TX_WRITE, &tx, et);
	if (!e)
		e = corpus_delete(tx, project, collection, et);
	return db_finish(tx, e, et);
}

void delete_corpus(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct corpus *list = NULL;
	size_t n = 0;
	int64_t documents = 0;
	enum err e = list_now(c, rq, http_param(rq, "digest"), &list, &n, &et);
	if (!e && !n)
		e = err_set(&et, ERR_NOT_FOUND, "no such corpus is kept");
	for (size_t i = 0; i < n && !e; i++) {
		documents += list[i].documents;
		e = forget(c, project_of(rq), list[i].collection, &et);
	}
	if (e) {
		http_reply_error(rs, e, &et);
		return;
	}
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_ki64(&w, "collections", (int64_t)n);
	jw_ki64(&w, "documents", documents);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}
