/* Wire JSON of documents. */
#include "rag/rag_int.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum { LIST_DEFAULT = 100, LIST_MAX = 1000, PLAN_FILES_MAX = 1000000 };

static void fail(struct http_response *rs, enum err e, const struct errtext *et)
{
	http_reply_error(rs, e, et);
}

static void jw_time(struct jw *w, const char *key, int64_t ms)
{
	char t[CLOCK_TEXT];
	jw_key(w, key);
	if (!ms) {
		jw_null(w);
		return;
	}
	clock_rfc3339(ms, t);
	jw_c(w, t);
}

static void jw_list(struct jw *w, const char *key, struct str text, char separator)
{
	struct str part;
	jw_key(w, key);
	jw_arr(w);
	while (text.n && str_next(&text, separator, &part))
		if (str_trim(part).n)
			jw_str(w, str_trim(part));
	jw_end(w);
}

void write_doc(struct jw *w, const struct doc_row *d)
{
	char id[ID_HEX + 1];
	id_hex(d->id, id);
	jw_kc(w, "id", id);
	jw_kstr(w, "path", d->path);
	jw_kstr(w, "title", d->title);
	jw_kstr(w, "type", d->type);
	jw_kstr(w, "collection", d->collection);
	jw_kstr(w, "status", d->status);
	jw_key(w, "error");
	if (d->error.n) {
		jw_obj(w);
		jw_kstr(w, "code", d->error_code);
		jw_kstr(w, "message", d->error);
		jw_end(w);
	} else {
		jw_null(w);
	}
	jw_list(w, "warnings", d->warnings, '\n');
	jw_ki64(w, "bytes", d->bytes);
	jw_ki64(w, "pages", d->pages);
	jw_ki64(w, "chunks", d->chunks);
	jw_kstr(w, "language", d->language);
	jw_kstr(w, "author", d->author);
	jw_list(w, "tags", d->tags, ',');
	jw_kstr(w, "sha256", d->sha256);
	jw_ki64(w, "version", d->version);
	jw_time(w, "created", d->created_ms);
	jw_time(w, "added", d->added_ms);
	jw_time(w, "updated", d->updated_ms);
}

static enum err want_id(struct http_request *rq, const char *what, struct str text, struct id *id,
	struct errtext *et)
{
	if (id_parse(text, id))
		return OK;
	return err_set(
		et, ERR_NOT_FOUND, "there is no %s %.*s", what, STR_FMT(str_sub(text, 0, 80)));
}

static enum err want_document(
	struct croft *c, struct http_request *rq, struct doc_row *d, struct errtext *et)
{
	struct id id;
	enum err e = want_id(rq, "document", http_param(rq, "id"), &id, et);
	struct tx *tx;
	if (!e)
		e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = store_doc_by_id(tx, project_of(rq), id, rq->arena, d, et);
	db_rollback(tx);
	return e;
}

void get_documents(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct doc_filter f = {.project = project_of(rq),
		.collection = http_query(rq, "collection"),
		.status = http_query(rq, "status"),
		.type = http_query(rq, "type"),
		.like = http_query(rq, "q"),
		.limit = LIST_DEFAULT};
	struct str limit = http_query(rq, "limit"), after = http_query(rq, "after");
	uint64_t n_limit;
	enum err e = OK;
	if (limit.p && (!str_u64(limit, &n_limit) || !n_limit || n_limit > LIST_MAX))
		e = err_set(&et, ERR_INVALID, "limit must be a number from 1 to %d", LIST_MAX);
	else if (limit.p)
		f.limit = (size_t)n_limit;
	if (!e && after.n && !id_parse(after, &f.after))
		e = err_set(&et, ERR_INVALID, "after must be the id of a document");
	struct doc_row *docs;
	size_t n = 0;
	int64_t total = 0, failed = 0;
	struct tx *tx;
	if (!e)
		e = db_begin(croft_db(c), TX_READ, &tx, &et);
	if (!e) {
		e = store_doc_list(tx, &f, rq->arena, &docs, &n, &total, &failed, &et);
		db_rollback(tx);
	}
	if (e) {
		fail(rs, e, &et);
		return;
	}
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_key(&w, "documents");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++) {
		jw_obj(&w);
		write_doc(&w, &docs[i]);
		jw_end(&w);
	}
	jw_end(&w);
	jw_ki64(&w, "total", total);
	jw_ki64(&w, "failed", failed);
	char last[ID_HEX + 1];
	if (n == f.limit)
		id_hex(docs[n - 1].id, last);
	jw_kc(&w, "next", n == f.limit ? last : NULL);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

static void write_outcome(struct jw *w, const struct ingest_result *r)
{
	static const char *const names[] = {"indexed", "unchanged", "failed"};
	jw_obj(w);
	write_doc(w, &r->doc);
	jw_kc(w, "outcome", names[r->outcome]);
	jw_ki64(w, "embedded", (int64_t)r->embedded);
	jw_ki64(w, "reused", (int64_t)r->reused);
	jw_end(w);
}

static struct str collection_of(struct str s)
{
	return s.n ? s : S("default");
}

static enum err check_name(struct str name, const char *what, struct errtext *et)
{
	if (!name.n || name.n > 4000 || !utf8_valid(name) || memchr(name.p, 0, name.n))
		return err_set(et, ERR_INVALID, "%s must be UTF-8 text of 1 to 4000 bytes", what);
	return OK;
}

/* Each file has an arena of its own, so that a large upload does not add up. */
static enum err ingest_part(struct croft *c, const struct ingest_request *in,
	struct http_request *rq, struct jw *w, struct errtext *et)
{
	struct arena *a = arena_new(0);
	if (!a)
		return err_set(et, ERR_NOMEM, "no memory");
	struct ingest_result r;
	enum err e = check_name(in->path, "the file's name", et);
	if (!e)
		e = check_name(in->collection, "collection", et);
	if (!e)
		e = ingest_bytes(c, in, a, &r, rq->cancel, et);
	if (!e)
		write_outcome(w, &r);
	arena_free(a);
	return e;
}

void post_documents(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct http_part *parts;
	size_t n = 0, files = 0;
	struct ingest_request in = {.project = project_of(rq)};
	enum err e = http_multipart(rq, &parts, &n, &et);
	for (size_t i = 0; i < n && !e; i++) {
		if (str_eq_c(parts[i].name, "collection") && !parts[i].filename.p)
			in.collection = parts[i].data;
		else if (str_eq_c(parts[i].name, "tags") && !parts[i].filename.p)
			in.tags = parts[i].data;
		else if (parts[i].filename.n)
			files++;
	}
	if (!e && !files)
		e = err_set(&et, ERR_INVALID,
			"send files as parts of multipart/form-data, each with a filename");
	in.collection = collection_of(in.collection);
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_key(&w, "documents");
	jw_arr(&w);
	for (size_t i = 0; i < n && !e; i++) {
		if (!parts[i].filename.n)
			continue;
		in.path = parts[i].filename;
		in.bytes = parts[i].data;
		e = ingest_part(c, &in, rq, &w, &et);
	}
	jw_end(&w);
	jw_end(&w);
	if (e)
		fail(rs, e, &et);
	else
		http_reply_json(rs, 200, &w);
	buf_free(&b);
}

void put_document(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct str mtime = http_query(rq, "mtime_ms");
	struct ingest_request in = {.project = project_of(rq),
		.path = http_query(rq, "path"),
		.collection = collection_of(http_query(rq, "collection")),
		.tags = http_query(rq, "tags"),
		.bytes = rq->body};
	enum err e = OK;
	if (mtime.n && !str_i64(mtime, &in.mtime_ms))
		e = err_set(&et, ERR_INVALID, "mtime_ms must be a whole number");
	struct buf b = {0};
	struct jw w = {.out = &b};
	if (!e)
		e = ingest_part(c, &in, rq, &w, &et);
	if (e)
		fail(rs, e, &et);
	else
		http_reply_json(rs, 200, &w);
	buf_free(&b);
}

/* ---- the plan: what of a tree must be sent, hashed, removed ---- */

struct plan_file {
	struct str path, sha256;
	int64_t bytes, mtime_ms;
	bool seen;
};

struct plan {
	struct rag *r;
	struct arena *a;
	struct map by_path;
	struct plan_file *files;
	size_t n;
	struct str *roots;
	size_t n_roots;
	bool prune;
	struct id *remove;
	struct str *removed;
	size_t n_remove, cap_remove;
	struct jw *failed;
	int64_t unchanged;
	bool *hash;
	bool *known;
};

static bool below_root(const struct plan *p, struct str path)
{
	for (size_t i = 0; i < p->n_roots; i++)
		if (str_starts(path, p->roots[i]))
			return true;
	return false;
}

static enum err plan_remove(struct plan *p, const struct doc_row *d)
{
	if (p->n_remove == p->cap_remove) {
		size_t cap = p->cap_remove ? p->cap_remove * 2 : 64;
		struct id *ids = arena_array_of(p->a, cap, struct id);
		struct str *paths = arena_array_of(p->a, cap, struct str);
		if (!ids || !paths)
			return ERR_NOMEM;
		if (p->n_remove) {
			memcpy(ids, p->remove, p->n_remove * sizeof *ids);
			memcpy(paths, p->removed, p->n_remove * sizeof *paths);
		}
		p->remove = ids;
		p->removed = paths;
		p->cap_remove = cap;
	}
	p->removed[p->n_remove] = arena_str(p->a, d->path);
	p->remove[p->n_remove++] = d->id;
	return OK;
}

static enum err plan_doc(void *ctx, const struct doc_row *d)
{
	struct plan *p = ctx;
	struct plan_file *f = map_get(&p->by_path, d->path);
	if (!f)
		return p->prune && below_root(p, d->path) ? plan_remove(p, d) : OK;
	size_t i = (size_t)(f - p->files);
	p->known[i] = true;
	bool failed = str_eq_c(d->status, "failed");
	bool current = d->parser == PARSER_VERSION && (failed || str_eq_c(d->space, p->r->space));
	bool same_stat = f->bytes == d->bytes && f->mtime_ms == d->mtime_ms && f->mtime_ms;
	bool same = current && (f->sha256.n ? str_eq(f->sha256, d->sha256) : same_stat);
	if (!same && current && !f->sha256.n && f->bytes == d->bytes) {
		p->hash[i] = true;
		return OK;
	}
	if (!same) {
		p->known[i] = false;
		return OK;
	}
	p->unchanged++;
	if (failed) {
		jw_obj(p->failed);
		jw_kstr(p->failed, "path", d->path);
		jw_kstr(p->failed, "code", d->error_code);
		jw_kstr(p->failed, "message", d->error);
		jw_end(p->failed);
	}
	return OK;
}

static enum err read_plan(struct plan *p, yyjson_val *o, struct errtext *et)
{
	yyjson_val *files = yyjson_obj_get(o, "files"), *roots = yyjson_obj_get(o, "roots"), *v;
	size_t i, max;
	if (!yyjson_is_arr(files) || (roots && !yyjson_is_arr(roots)))
		return err_set(et, ERR_INVALID, "'files' and 'roots' must be arrays");
	p->n = yyjson_arr_size(files);
	if (p->n > PLAN_FILES_MAX)
		return err_set(et, ERR_TOO_LARGE, "%zu files in one plan; at most %d", p->n,
			PLAN_FILES_MAX);
	p->prune = true;
	enum err e = json_want_bool(o, "prune", &p->prune, et);
	p->files = arena_array_of(p->a, p->n + 1, struct plan_file);
	p->roots = arena_array_of(p->a, yyjson_arr_size(roots) + 1, struct str);
	p->hash = arena_array_of(p->a, p->n + 1, bool);
	p->known = arena_array_of(p->a, p->n + 1, bool);
	if (!p->files || !p->roots || !p->hash || !p->known)
		return err_set(et, ERR_NOMEM, "no memory for the plan");
	yyjson_arr_foreach(roots, i, max, v)
	{
		if (!yyjson_is_str(v))
			return err_set(et, ERR_INVALID, "'roots' must hold strings");
		p->roots[p->n_roots++] = json_val_str(v);
	}
	yyjson_arr_foreach(files, i, max, v)
	{
		struct plan_file *f = &p->files[i];
		if (!e)
			e = json_want_str(v, "path", &f->path, et);
		if (!e)
			e = json_want_str(v, "sha256", &f->sha256, et);
		if (!e)
			e = json_want_i64(v, "bytes", 0, INT64_MAX, &f->bytes, et);
		if (!e)
			e = json_want_i64(v, "mtime_ms", INT64_MIN, INT64_MAX, &f->mtime_ms, et);
		if (!e)
			e = check_name(f->path, "path", et);
		if (!e && !map_put(&p->by_path, f->path, f))
			e = err_set(et, ERR_NOMEM, "no memory for the plan");
	}
	return e;
}

static void write_plan(struct plan *p, struct buf *failed, struct http_response *rs)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_key(&w, "upload");
	jw_arr(&w);
	for (size_t i = 0; i < p->n; i++)
		if (!p->known[i] && map_get(&p->by_path, p->files[i].path) == &p->files[i])
			jw_str(&w, p->files[i].path);
	jw_end(&w);
	jw_key(&w, "hash");
	jw_arr(&w);
	for (size_t i = 0; i < p->n; i++)
		if (p->hash[i])
			jw_str(&w, p->files[i].path);
	jw_end(&w);
	jw_ki64(&w, "unchanged", p->unchanged);
	jw_key(&w, "failed");
	jw_raw(&w, buf_str(failed));
	jw_key(&w, "removed");
	jw_arr(&w);
	for (size_t i = 0; i < p->n_remove; i++)
		jw_str(&w, p->removed[i]);
	jw_end(&w);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

void post_plan(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	yyjson_doc *doc = NULL;
	struct buf failed = {0};
	struct jw fw = {.out = &failed};
	struct plan p = {.a = rq->arena, .failed = &fw};
	struct str collection = {0};
	struct tx *tx;
	jw_arr(&fw);
	enum err e = json_parse(rq->body, &doc, &et);
	yyjson_val *o = e ? NULL : yyjson_doc_get_root(doc);
	if (!e)
		e = json_want_str(o, "collection", &collection, &et);
	if (!e)
		e = read_plan(&p, o, &et);
	if (!e)
		e = rag_load(c, &p.r, rq->cancel, &et);
	if (!e)
		e = db_begin(croft_db(c), TX_READ, &tx, &et);
	if (!e) {
		e = store_doc_each(
			tx, project_of(rq), collection_of(collection), plan_doc, &p, &et);
		db_rollback(tx);
	}
	if (!e && p.n_remove)
		e = ingest_delete(c, project_of(rq), S(""), p.remove, p.n_remove, &et);
	jw_end(&fw);
	if (e)
		fail(rs, e, &et);
	else
		write_plan(&p, &failed, rs);
	map_free(&p.by_path);
	buf_free(&failed);
	yyjson_doc_free(doc);
}

void post_ingest_commit(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	yyjson_doc *doc = NULL;
	struct str collection = {0};
	struct docset set = {0};
	struct rag *r;
	enum err e = rq->body.n ? json_parse(rq->body, &doc, &et) : OK;
	if (!e && doc)
		e = json_want_str(yyjson_doc_get_root(doc), "collection", &collection, &et);
	if (!e)
		e = rag_load(c, &r, rq->cancel, &et);
	if (!e)
		e = docset_settle(c, r, project_of(rq), collection_of(collection), rq->who->name,
			rq->arena, &set, &et);
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_key(&w, "document_set");
	set.ref.p ? jw_str(&w, set.ref) : jw_null(&w);
	jw_kbool(&w, "made", set.made);
	jw_end(&w);
	if (e)
		fail(rs, e, &et);
	else
		http_reply_json(rs, 200, &w);
	buf_free(&b);
	yyjson_doc_free(doc);
}

/* ---- one document ---- */

void get_document(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct doc_row d;
	enum err e = want_document(c, rq, &d, &et);
	if (e) {
		fail(rs, e, &et);
		return;
	}
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	write_doc(&w, &d);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

void get_text(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct doc_row d;
	struct str text, blocks;
	struct tx *tx;
	enum err e = want_document(c, rq, &d, &et);
	if (!e)
		e = db_begin(croft_db(c), TX_READ, &tx, &et);
	if (!e) {
		e = store_doc_text(tx, d.id, rq->arena, &text, &blocks, &et);
		db_rollback(tx);
	}
	if (e) {
		fail(rs, e, &et);
		return;
	}
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_key(&w, "document");
	jw_obj(&w);
	write_doc(&w, &d);
	jw_end(&w);
	jw_kstr(&w, "text", text);
	jw_key(&w, "blocks");
	jw_raw(&w, blocks);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

void get_chunks(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct doc_row d;
	struct chunk_row *chunks;
	size_t n = 0;
	struct tx *tx;
	enum err e = want_document(c, rq, &d, &et);
	if (!e)
		e = db_begin(croft_db(c), TX_READ, &tx, &et);
	if (!e) {
		e = store_chunks(tx, d.id, rq->arena, &chunks, &n, &et);
		db_rollback(tx);
	}
	if (e) {
		fail(rs, e, &et);
		return;
	}
	struct buf b = {0};
	struct jw w = {.out = &b};
	char id[ID_HEX + 1];
	id_hex(d.id, id);
	jw_obj(&w);
	jw_key(&w, "chunks");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++) {
		jw_obj(&w);
		jw_ki64(&w, "id", chunks[i].id);
		jw_kc(&w, "document", id);
		jw_ki64(&w, "from", chunks[i].from);
		jw_ki64(&w, "to", chunks[i].to);
		jw_ki64(&w, "page", chunks[i].page);
		jw_kstr(&w, "heading_path", chunks[i].heading_path);
		jw_ki64(&w, "tokens", chunks[i].tokens);
		jw_kstr(&w, "text", chunks[i].text);
		jw_end(&w);
	}
	jw_end(&w);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

/* The original. It is always a download, never a page of ours: it may be hostile HTML. */
void get_content(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct doc_row d;
	struct os_map m = {0};
	enum err e = want_document(c, rq, &d, &et);
	char *hex = e ? NULL : arena_c(rq->arena, d.sha256);
	if (!e)
		e = hex ? blob_get(croft_blobs(c), hex, false, &m, &et) : ERR_NOMEM;
	if (e) {
		fail(rs, e, &et);
		return;
	}
	size_t slash = str_rchr(d.path, '/');
	struct buf b = {0};
	buf_addc(&b, "attachment; filename*=UTF-8''");
	url_encode(&b, slash == STR_NONE ? d.path : str_sub(d.path, slash + 1, d.path.n));
	http_set_header(rs, "content-disposition", buf_str(&b));
	enum doc_type type = doc_type_from_name(d.type);
	http_reply(rs, 200, type == DOC_UNKNOWN ? "application/octet-stream" : doc_media_type(type),
		str_mk(m.p, m.n));
	buf_free(&b);
	os_unmap(&m);
}

void delete_document(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct id id;
	enum err e = want_id(rq, "document", http_param(rq, "id"), &id, &et);
	if (!e)
		e = ingest_delete(c, project_of(rq), S(""), &id, 1, &et);
	if (e)
		fail(rs, e, &et);
	else
		http_reply(rs, 200, "application/json", S("{\"deleted\":true}"));
}
