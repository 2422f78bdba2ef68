/* Bytes to a searchable document.
 *
 *	known and unchanged? -> parse -> chunk -> embed what is new -> keep the original ->
 *	one transaction (row, text, chunks, vectors) -> publish
 *
 * Everything before the transaction may be interrupted at any point and leaves nothing but a blob
 * that a sweep removes. A bad file becomes a row that says why. */
#include "rag/rag_int.h"

#include "base/clock.h"
#include "base/log.h"

struct work {
	struct croft *c;
	struct rag *r;
	const struct ingest_request *rq;
	struct arena *a;
	struct ingest_result *out;
	const struct cancel *cancel;
	struct errtext *et;
	struct run *run;
	struct doc *doc;
	struct doc_row row;
	bool known; /* row is that of an earlier version */
	struct chunk_row *chunks;
	size_t n;
	float *vectors;
	bool *fresh; /* vectors[i] was made now */
	char sha256[SHA256_HEX + 1];
};

static enum err no_memory(struct work *w)
{
	return err_set(w->et, ERR_NOMEM, "no memory to index the document");
}

static enum err find_known(struct work *w)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(w->c), TX_READ, &tx, w->et);
	if (e)
		return e;
	e = store_doc_by_path(
		tx, w->rq->project, w->rq->collection, w->rq->path, w->a, &w->row, w->et);
	db_rollback(tx);
	w->known = !e;
	return e == ERR_NOT_FOUND ? OK : e;
}

static bool is_unchanged(const struct work *w)
{
	return w->known && str_eq_c(w->row.sha256, w->sha256) && w->row.parser == PARSER_VERSION &&
	       w->row.chunk_tokens == w->rq->chunk_tokens &&
	       w->row.chunk_overlap == w->rq->chunk_overlap &&
	       (str_eq_c(w->row.status, "failed") || str_eq_c(w->row.space, w->r->space));
}

static enum err announce(struct tx *tx, struct id document, struct errtext *et)
{
	char hex[ID_HEX + 1];
	id_hex(document, hex);
	return db_notify(tx, RAG_CHANNEL, str_c(hex), et);
}

static enum err touch(struct croft *c, const struct doc_row *d, bool tell, struct errtext *et)
{
	struct tx *tx = NULL;
	enum err e = db_begin(croft_db(c), TX_WRITE, &tx, et);
	if (!e)
		e = store_doc_touch(tx, d, et);
	if (!e && tell)
		e = announce(tx, d->id, et);
	return db_finish(tx, e, et);
}

enum err ingest_retag(struct croft *c, struct rag *r, const struct doc_row *d, struct errtext *et)
{
	enum err e = touch(c, d, true, et);
	return e || !str_eq_c(d->status, "indexed") ? e : index_retag(r, d, et);
}

/* The same bytes again: only the stat and the tags may be new. */
static enum err keep_known(struct work *w)
{
	w->out->outcome = str_eq_c(w->row.status, "failed") ? INGEST_FAILED : INGEST_UNCHANGED;
	bool tags = w->rq->tags.p && !str_eq(w->rq->tags, w->row.tags);
	if (tags)
		w->row.tags = w->rq->tags;
	if (w->rq->attributes.p && !str_eq(w->rq->attributes, w->row.attributes)) {
		w->row.attributes = w->rq->attributes;
		tags = true;
	}
	enum err e = OK;
	bool stat = w->row.mtime_ms != w->rq->mtime_ms;
	w->row.mtime_ms = w->rq->mtime_ms;
	if (tags)
		e = ingest_retag(w->c, w->r, &w->row, w->et);
	else if (stat)
		e = touch(w->c, &w->row, false, w->et);
	w->out->doc = w->row;
	return e;
}

static void new_version(struct work *w)
{
	struct doc_row *d = &w->row;
	int64_t now = clock_unix_ms();
	if (!w->known)
		*d = (struct doc_row){.id = id_new(), .added_ms = now, .owner = w->rq->owner};
	if (w->rq->attributes.p)
		d->attributes = w->rq->attributes;
	d->chunk_tokens = w->rq->chunk_tokens;
	d->chunk_overlap = w->rq->chunk_overlap;
	d->version++;
	d->project = w->rq->project;
	d->collection = w->rq->collection;
	d->path = w->rq->path;
	if (w->rq->tags.p || !w->known)
		d->tags = w->rq->tags;
	d->sha256 = arena_str(w->a, str_c(w->sha256));
	d->bytes = (int64_t)w->rq->bytes.n;
	d->mtime_ms = w->rq->mtime_ms;
	d->updated_ms = now;
	d->parser = PARSER_VERSION;
	d->status = S("indexed");
	d->error_code = d->error = (struct str){0};
	d->chunks = 0;
	d->space = str_c(w->r->space);
}

static const char *file_name(struct work *w)
{
	size_t slash = str_rchr(w->rq->path, '/');
	return arena_c(w->a,
		slash == STR_NONE ? w->rq->path : str_sub(w->rq->path, slash + 1, w->rq->path.n));
}

static enum err parse(struct work *w)
{
	struct span *s = span_begin(w->run, NULL, "parse", "parser");
	const char *name = file_name(w);
	struct doc_limits limits = {.input_max = (size_t)setting_int(w->c, "http.upload_max")};
	enum err e = name ? doc_parse(w->rq->bytes, name, &limits, &w->doc, w->et) : no_memory(w);
	if (!e) {
		struct doc_row *d = &w->row;
		d->type = str_c(doc_type_name(w->doc->type));
		d->title = w->doc->title;
		d->language = w->doc->language;
		d->author = w->doc->author;
		d->warnings = w->doc->warnings;
		d->created_ms = w->doc->created_ms;
		d->pages = w->doc->n_pages;
		span_i64(s, "blocks", (int64_t)w->doc->n_blocks);
		span_i64(s, "text_bytes", (int64_t)w->doc->text.n);
		span_text(s, "type", d->type);
	}
	span_end(s, e, w->et);
	return e;
}

/* Vectors are kept by the hash of their text. Other projects' hashes begin with their name, so that
 * "reused" never tells that another project has the same text. */
static void vector_scope(struct str project, struct buf *out)
{
	if (str_eq_c(project, "default"))
		return;
	buf_adds(out, project);
	buf_putc(out, 0);
}

/* Chunks may be asked for that are longer than the embedding model reads. */
static enum err say_long(struct work *w, struct span *s)
{
	uint32_t most = model_info(endpoint_model(w->r->embed))->context_max;
	int64_t n = 0;
	for (size_t i = 0; i < w->n; i++)
		n += most && w->chunks[i].tokens + 2 > most;
	if (!n)
		return OK;
	struct str before = w->row.warnings;
	w->row.warnings = arena_fmt(w->a,
		"%.*s%s%lld of %zu chunks are longer than the %u tokens that the embedding model "
		"reads: what is beyond is found by its words only",
		STR_FMT(before), before.n ? "\n" : "", (long long)n, w->n, most);
	span_i64(s, "longer_than_the_model_reads", n);
	return w->row.warnings.p ? OK : no_memory(w);
}

static enum err chunk(struct work *w)
{
	struct span *s = span_begin(w->run, NULL, "chunk", "chunker");
	struct chunk_options o = {(uint32_t)setting_int(w->c, "rag.chunk_tokens"),
		(uint32_t)setting_int(w->c, "rag.chunk_overlap")};
	if (w->rq->chunk_tokens)
		o = (struct chunk_options){w->rq->chunk_tokens, w->rq->chunk_overlap};
	struct chunk *list;
	enum err e = chunk_doc(w->doc, model_tokenizer(endpoint_model(w->r->embed)), &o, w->a,
		&list, &w->n, w->et);
	if (!e && !w->n)
		e = err_set(w->et, ERR_INVALID, "there is no text in the document");
	if (!e) {
		w->chunks = arena_array_of(w->a, w->n, struct chunk_row);
		e = w->chunks ? OK : no_memory(w);
	}
	struct buf text = {0};
	for (size_t i = 0; i < w->n && !e; i++) {
		struct chunk_row *c = &w->chunks[i];
		*c = (struct chunk_row){.document = w->row.id,
			.ordinal = (uint32_t)i,
			.from = list[i].from,
			.to = list[i].to,
			.page = list[i].page,
			.tokens = list[i].tokens,
			.heading_path = list[i].heading_path,
			.text = str_sub(w->doc->text, list[i].from, list[i].to)};
		buf_clear(&text);
		vector_scope(w->row.project, &text);
		chunk_index_text(w->row.title, c->heading_path, c->text, RAG_CONTEXT_MAX, &text);
		sha256_of(buf_str(&text), c->sha256);
		e = text.err ? no_memory(w) : OK;
	}
	buf_free(&text);
	if (!e)
		e = say_long(w, s);
	span_i64(s, "chunks", (int64_t)w->n);
	span_end(s, e, w->et);
	return e;
}

/* Vectors known for the same text in the same space are reused, the others made now. */
static enum err known_vectors(struct work *w)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(w->c), TX_READ, &tx, w->et);
	if (e)
		return e;
	for (size_t i = 0; i < w->n && !e; i++) {
		e = store_vector_get(tx, str_c(w->r->space), w->chunks[i].sha256,
			w->vectors + i * w->r->dim, w->r->dim, w->et);
		w->fresh[i] = e == ERR_NOT_FOUND;
		if (w->fresh[i])
			e = OK;
	}
	db_rollback(tx);
	return e;
}

static enum err embed(struct work *w)
{
	enum { BATCH = 32 };
	struct span *s = span_begin(w->run, NULL, "embed", "embedding");
	span_text(s, "model", endpoint_name(w->r->embed));
	w->vectors = arena_array_of(w->a, w->n * w->r->dim, float);
	w->fresh = arena_array_of(w->a, w->n, bool);
	float *made = arena_array_of(w->a, (size_t)BATCH * w->r->dim, float);
	enum err e = w->vectors && w->fresh && made ? known_vectors(w) : no_memory(w);
	size_t tokens = 0, truncated = 0;
	for (size_t i = 0; i < w->n && !e;) {
		struct str texts[BATCH];
		struct buf bufs[BATCH] = {0};
		size_t where[BATCH], k = 0, t = 0, cut = 0;
		for (; i < w->n && k < BATCH; i++)
			if (w->fresh[i]) {
				chunk_index_text(w->row.title, w->chunks[i].heading_path,
					w->chunks[i].text, RAG_CONTEXT_MAX, &bufs[k]);
				texts[k] = buf_str(&bufs[k]);
				where[k++] = i;
			}
		if (k)
			e = embed_texts_as(endpoint_model(w->r->embed), EMBED_DOCUMENT, texts, k,
				true, made, &cut, &t, w->cancel, w->et);
		for (size_t j = 0; j < k; j++) {
			memcpy(w->vectors + where[j] * w->r->dim, made + j * w->r->dim,
				w->r->dim * sizeof *made);
			buf_free(&bufs[j]);
		}
		tokens += t;
		truncated += cut;
		w->out->embedded += k;
	}
	w->out->reused = w->n - w->out->embedded;
	span_i64(s, "embedded", (int64_t)w->out->embedded);
	span_i64(s, "reused", (int64_t)w->out->reused);
	span_i64(s, "tokens", (int64_t)tokens);
	if (truncated)
		span_i64(s, "truncated", (int64_t)truncated);
	span_end(s, e, w->et);
	return e;
}

static const char *const block_names[] = {[BLOCK_TITLE] = "title",
	[BLOCK_HEADING] = "heading",
	[BLOCK_PARAGRAPH] = "paragraph",
	[BLOCK_LIST_ITEM] = "list_item",
	[BLOCK_TABLE_ROW] = "table_row",
	[BLOCK_CODE] = "code",
	[BLOCK_QUOTE] = "quote",
	[BLOCK_CAPTION] = "caption"};

static enum err blocks_json(const struct doc *d, struct buf *out)
{
	struct jw w = {.out = out};
	jw_arr(&w);
	for (size_t i = 0; i < d->n_blocks; i++) {
		const struct doc_block *b = &d->blocks[i];
		jw_obj(&w);
		jw_kc(&w, "kind", block_names[b->kind]);
		jw_ki64(&w, "from", b->from);
		jw_ki64(&w, "to", b->to);
		jw_ki64(&w, "page", b->page);
		jw_ki64(&w, "level", b->level);
		jw_end(&w);
	}
	jw_end(&w);
	return jw_done(&w) ? OK : ERR_NOMEM;
}

/* Under write_mu: another upload of the same path may have won meanwhile; its id is kept. */
static enum err adopt_id(struct work *w, struct tx *tx, struct chunk_row **old, size_t *n_old)
{
	struct doc_row now;
	enum err e = store_doc_by_path(
		tx, w->row.project, w->row.collection, w->row.path, w->a, &now, w->et);
	if (e == ERR_NOT_FOUND)
		return OK;
	if (e)
		return e;
	w->row.id = now.id;
	w->row.added_ms = now.added_ms;
	w->row.version = now.version + 1;
	return store_chunks(tx, now.id, w->a, old, n_old, w->et);
}

static enum err write_all(
	struct work *w, struct tx *tx, struct str blocks, struct chunk_row **old, size_t *n_old)
{
	int64_t newest = 0;
	enum err e = adopt_id(w, tx, old, n_old);
	if (!e)
		e = store_chunk_max(tx, &newest, w->et);
	for (size_t i = 0; i < w->n; i++) {
		w->chunks[i].document = w->row.id;
		w->chunks[i].id = newest + 1 + (int64_t)i;
	}
	w->row.chunks = (int64_t)w->n;
	struct str text = w->doc && w->n ? w->doc->text : (struct str){0};
	if (!e)
		e = store_doc_put(tx, &w->row, text, blocks, w->chunks, w->n, w->et);
	for (size_t i = 0; i < w->n && !e; i++)
		if (w->fresh[i])
			e = store_vector_put(tx, str_c(w->r->space), w->chunks[i].sha256,
				w->vectors + i * w->r->dim, w->r->dim, w->et);
	if (!e && !w->row.owner.n)
		e = store_set_note(tx, w->row.project, w->row.collection, w->et);
	return e ? e : announce(tx, w->row.id, w->et);
}

/* The transaction and its publication. */
static enum err commit(struct work *w)
{
	struct rag *r = w->r;
	struct span *s = span_begin(w->run, NULL, "store", "store");
	struct buf blocks = {0};
	struct chunk_row *old = NULL;
	size_t n_old = 0;
	struct tx *tx = NULL;
	enum err e = w->doc ? blocks_json(w->doc, &blocks) : OK;
	if (e)
		e = no_memory(w);
	pthread_mutex_lock(&r->write_mu);
	if (!e)
		e = db_begin(croft_db(w->c), TX_WRITE, &tx, w->et);
	if (!e)
		e = write_all(w, tx, buf_str(&blocks), &old, &n_old);
	if (e)
		db_rollback(tx);
	else
		e = db_commit(tx, w->et);
	if (!e) {
		e = index_replace(r, &w->row, old, n_old, w->chunks, w->n, w->vectors, w->et);
	}
	pthread_mutex_unlock(&r->write_mu);
	if (!e)
		docset_wake(r);
	buf_free(&blocks);
	span_end(s, e, w->et);
	return e;
}

/* A file that cannot be indexed: recorded with its reason, nothing of it is findable. */
static enum err record_failure(struct work *w, enum err why)
{
	w->row.status = S("failed");
	w->row.error_code = str_c(err_word(why));
	w->row.error = arena_str(w->a, str_c(err_text(why, w->et)));
	if (!w->row.type.p) {
		const char *name = file_name(w);
		w->row.type = str_c(doc_type_name(doc_sniff(w->rq->bytes, name ? name : "")));
	}
	w->out->outcome = INGEST_FAILED;
	w->n = 0;
	if (w->doc) {
		doc_free(w->doc);
		w->doc = NULL;
		w->row.title = w->row.language = w->row.author = w->row.warnings = (struct str){0};
	}
	return commit(w);
}

/* Errors that are about the file, not about us. */
static bool about_the_file(enum err e)
{
	return e == ERR_INVALID || e == ERR_CORRUPT || e == ERR_UNSUPPORTED || e == ERR_TOO_LARGE ||
	       e == ERR_LIMIT || e == ERR_TIMEOUT || e == ERR_FORBIDDEN;
}

static void copy_out(struct work *w)
{
	struct doc_row *d = &w->row;
	struct str *texts[] = {&d->title, &d->language, &d->author, &d->warnings, &d->tags,
		&d->project, &d->collection, &d->path, &d->space, &d->owner, &d->attributes};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		*texts[i] = arena_str(w->a, *texts[i]);
	w->out->doc = *d;
}

enum err ingest_bytes(struct croft *c, const struct ingest_request *rq, struct arena *a,
	struct ingest_result *out, const struct cancel *cancel, struct errtext *et)
{
	struct errtext own = {0};
	*out = (struct ingest_result){0};
	struct work w = {
		.c = c, .rq = rq, .a = a, .out = out, .cancel = cancel, .et = et ? et : &own};
	enum err e = rag_load(c, &w.r, cancel, w.et);
	if (e)
		return e;
	sha256_hex_of(rq->bytes, w.sha256);
	e = find_known(&w);
	if (!e && w.known && !str_eq(w.row.owner, rq->owner))
		return err_set(w.et, ERR_CONFLICT, "%.*s is kept by another part of Croft",
			STR_FMT(rq->path));
	if (!e && is_unchanged(&w))
		return keep_known(&w);
	if (e)
		return e;
	w.run = run_begin(c, rq->project, "ingest", rq->path);
	run_i64(w.run, "bytes", (int64_t)rq->bytes.n);
	new_version(&w);
	e = parse(&w);
	if (!e)
		e = chunk(&w);
	if (!e)
		e = embed(&w);
	char hex[SHA256_HEX + 1];
	if (!e)
		e = blob_put(croft_blobs(c), rq->bytes, hex, w.et);
	enum err outcome = e;
	struct errtext why = *w.et;
	if (!e) {
		out->outcome = INGEST_INDEXED;
		e = commit(&w);
		outcome = e;
		why = *w.et;
	} else if (about_the_file(e)) {
		e = record_failure(&w, e);
	}
	if (!e) {
		atomic_fetch_add(&w.r->embedded, out->embedded);
		atomic_fetch_add(&w.r->reused, out->reused);
		run_text(w.run, "document", str_c((id_hex(w.row.id, hex), hex)));
		run_i64(w.run, "chunks", w.row.chunks);
		copy_out(&w);
	}
	run_end(w.run, outcome, &why);
	doc_free(w.doc);
	return e;
}

enum err ingest_delete(struct croft *c, struct str project, struct str owner, const struct id *ids,
	size_t n, struct errtext *et)
{
	struct rag *r;
	enum err e = rag_load(c, &r, NULL, et);
	if (e)
		return e;
	struct arena *a = arena_new(0);
	struct doc_row *docs = a ? arena_array_of(a, n + 1, struct doc_row) : NULL;
	struct chunk_row **chunks = a ? arena_array_of(a, n + 1, struct chunk_row *) : NULL;
	size_t *counts = a ? arena_array_of(a, n + 1, size_t) : NULL;
	if (!docs || !chunks || !counts) {
		arena_free(a);
		return err_set(et, ERR_NOMEM, "no memory");
	}
	struct tx *tx = NULL;
	pthread_mutex_lock(&r->write_mu);
	e = db_begin(croft_db(c), TX_WRITE, &tx, et);
	for (size_t i = 0; i < n && !e; i++) {
		e = store_doc_by_id(tx, project, ids[i], a, &docs[i], et);
		if (!e && !str_eq(docs[i].owner, owner))
			e = err_set(et, ERR_CONFLICT, "%.*s belongs to %.*s: remove it there",
				STR_FMT(docs[i].path), STR_FMT(docs[i].collection));
		if (!e)
			e = store_chunks(tx, ids[i], a, &chunks[i], &counts[i], et);
		if (!e)
			e = store_doc_delete(tx, ids[i], et);
		if (!e && !owner.n)
			e = store_set_note(tx, project, docs[i].collection, et);
		if (!e)
			e = announce(tx, ids[i], et);
	}
	e = db_finish(tx, e, et);
	for (size_t i = 0; i < n && !e; i++)
		e = index_replace(r, &docs[i], chunks[i], counts[i], NULL, 0, NULL, et);
	pthread_mutex_unlock(&r->write_mu);
	if (!e)
		docset_wake(r);
	arena_free(a);
	return e;
}
