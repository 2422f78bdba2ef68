/* The state in memory: the dense and the keyword index over all chunks, and what filters need to
 * know of each document. Built from the database once; each commit is published to it. */
#include "rag/rag_int.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/room.h"
#include "kernels/kernels.h"

#include <stdlib.h>

struct rag *rag_of(struct croft *c)
{
	return croft_state(c, &rag_module);
}

enum err rag_init(struct croft *c, struct errtext *et)
{
	struct rag *r = calloc(1, sizeof *r);
	if (!r)
		return err_set(et, ERR_NOMEM, "no memory");
	pthread_mutex_init(&r->load_mu, NULL);
	pthread_mutex_init(&r->write_mu, NULL);
	pthread_rwlock_init(&r->lock, NULL);
	docset_init(r);
	r->save_from = 4096;
	croft_set_state(c, &rag_module, r);
	return OK;
}

static void free_shelf(struct shelf *s)
{
	if (!s)
		return;
	vindex_free(s->dense);
	bm25_free(s->bm25);
	free(s->project);
	free(s);
}

static void free_texts(struct index_doc *d)
{
	char **texts[] = {&d->collection, &d->path, &d->type, &d->tags, &d->language, &d->owner,
		&d->attributes};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		free(*texts[i]);
		*texts[i] = NULL;
	}
}

/* Everything in memory but the embedding model. */
static void clear(struct rag *r)
{
	for (size_t i = 0; i < r->n_shelves; i++)
		free_shelf(r->shelves[i]);
	for (size_t i = 0; i < r->n_docs; i++)
		free_texts(&r->docs[i]);
	free(r->shelves);
	free(r->docs);
	free(r->chunk_keys);
	free(r->chunk_docs);
	map_free(&r->by_path);
	map_free(&r->shelf_by_project);
	r->shelves = NULL;
	r->docs = NULL;
	r->chunk_keys = NULL;
	r->chunk_docs = NULL;
	r->by_path = r->shelf_by_project = (struct map){0};
	r->n_shelves = r->n_docs = r->cap_docs = r->free_doc = r->n_chunk_slots = r->n_chunks = 0;
}

static void *load_in_background(void *arg)
{
	struct croft *c = arg;
	struct rag *r;
	struct errtext et = {0};
	enum err e = rag_load(c, &r, croft_stopping(c), &et);
	if (e && e != ERR_CANCELLED)
		log_error("the document index is not ready: %s", err_text(e, &et));
	if (!e)
		docset_wake(r); /* for what an earlier process left without a version */
	return NULL;
}

enum err rag_start(struct croft *c, struct errtext *et)
{
	struct rag *r = rag_of(c);
	enum err e = thread_start(&r->loader, load_in_background, c, "rag-load", et);
	r->loader_started = !e;
	if (!e) {
		e = thread_start(&r->saver, saved_keeper, c, "rag-save", et);
		r->saving = !e;
	}
	return e ? e : docset_start(c, et);
}

void rag_stop(struct croft *c)
{
	struct rag *r = rag_of(c);
	if (r->loader_started)
		pthread_join(r->loader, NULL);
	docset_stop(r);
	notify_unwatch(r->watch);
	if (r->saving)
		pthread_join(r->saver, NULL);
	if (r->saving)
		saved_keep(c, true);
	endpoint_put(r->embed);
	clear(r);
	pthread_rwlock_destroy(&r->lock);
	pthread_mutex_destroy(&r->write_mu);
	pthread_mutex_destroy(&r->load_mu);
	free(r);
}

enum err rag_ready(struct croft *c, struct errtext *et)
{
	struct rag *r = rag_of(c);
	if (atomic_load(&r->ready))
		return OK;
	if (pthread_mutex_trylock(&r->load_mu))
		return err_set(et, ERR_NOT_READY, "the document index is being loaded");
	enum err e = r->load_error;
	if (e && et)
		*et = r->load_text;
	pthread_mutex_unlock(&r->load_mu);
	return e ? ERR_NOT_READY : err_set(et, ERR_NOT_READY, "the document index is being loaded");
}

/* ---- chunk id -> document, open addressing; 0 is no id, UINT64_MAX a deleted place ---- */

static size_t chunk_slot(const struct rag *r, uint64_t chunk)
{
	size_t mask = r->n_chunk_slots - 1, i = (chunk * 0x9E3779B97F4A7C15ull) >> 20 & mask;
	while (r->chunk_keys[i] && r->chunk_keys[i] != chunk)
		i = (i + 1) & mask;
	return i;
}

static enum err chunk_reserve(struct rag *r, size_t more)
{
	if ((r->n_chunks + more) * 2 <= r->n_chunk_slots)
		return OK;
	size_t cap = MAX(r->n_chunk_slots, 1024);
	while ((r->n_chunks + more) * 2 > cap)
		cap *= 2;
	uint64_t *keys = calloc(cap, sizeof *keys), *old_keys = r->chunk_keys;
	uint32_t *docs = calloc(cap, sizeof *docs), *old_docs = r->chunk_docs;
	if (!keys || !docs) {
		free(keys);
		free(docs);
		return ERR_NOMEM;
	}
	size_t old = r->n_chunk_slots;
	r->chunk_keys = keys;
	r->chunk_docs = docs;
	r->n_chunk_slots = cap;
	r->n_chunks = 0; /* the deleted places go */
	for (size_t i = 0; i < old; i++)
		if (old_keys[i] && old_keys[i] != UINT64_MAX) {
			size_t at = chunk_slot(r, old_keys[i]);
			r->chunk_keys[at] = old_keys[i];
			r->chunk_docs[at] = old_docs[i];
			r->n_chunks++;
		}
	free(old_keys);
	free(old_docs);
	return OK;
}

const struct index_doc *index_doc_of(const struct rag *r, uint64_t chunk)
{
	if (!r->n_chunk_slots)
		return NULL;
	size_t at = chunk_slot(r, chunk);
	if (r->chunk_keys[at] != chunk)
		return NULL;
	const struct index_doc *d = &r->docs[r->chunk_docs[at]];
	return d->live ? d : NULL;
}

struct shelf *index_shelf(const struct rag *r, struct str project)
{
	return map_get(&r->shelf_by_project, project);
}

enum err rag_query_terms(const struct rag *r, const struct shelf *shelf, struct str query,
	struct arena *a, struct str **out, uint32_t **word_at, size_t *n, struct errtext *et)
{
	struct language_count languages[LANGUAGES_MAX];
	size_t n_languages = 0;
	for (size_t i = 0; i < r->n_docs; i++)
		if (r->docs[i].live && r->docs[i].shelf == shelf)
			language_add(languages, &n_languages, r->docs[i].language);
	return rag_terms_in(query, languages, n_languages, a, out, word_at, n, et);
}

/* ---- publication ---- */

static struct str path_key(const struct doc_row *d, struct buf *b)
{
	buf_clear(b);
	buf_adds(b, d->project);
	buf_putc(b, 0);
	buf_adds(b, d->collection);
	buf_putc(b, 0);
	buf_adds(b, d->path);
	return buf_str(b);
}

/* Its place is the next new document's: documents that come and go leave nothing behind. */
static void release_doc(struct rag *r, size_t slot)
{
	struct index_doc *m = &r->docs[slot];
	struct buf key = {0};
	if (m->collection && m->path)
		map_del(&r->by_path, path_key(&(struct doc_row){.project = str_c(m->shelf->project),
						      .collection = str_c(m->collection),
						      .path = str_c(m->path)},
					     &key));
	buf_free(&key);
	free_texts(m);
	*m = (struct index_doc){.next_free = r->free_doc};
	r->free_doc = slot + 1;
}

/* The index of a place that is no document's. */
static enum err free_place(struct rag *r, size_t *slot)
{
	if (r->free_doc) {
		*slot = r->free_doc - 1;
		r->free_doc = r->docs[*slot].next_free;
		r->docs[*slot] = (struct index_doc){0};
		return OK;
	}
	if (r->n_docs == r->cap_docs) {
		size_t cap = r->cap_docs ? r->cap_docs * 2 : 256;
		struct index_doc *docs = realloc(r->docs, cap * sizeof *docs);
		if (!docs)
			return ERR_NOMEM;
		r->docs = docs;
		r->cap_docs = cap;
	}
	*slot = r->n_docs++;
	r->docs[*slot] = (struct index_doc){0};
	return OK;
}

static bool set_text(char **to, struct str s)
{
	char *copy = str_dup(s);
	if (!copy)
		return false;
	free(*to);
	*to = copy;
	return true;
}

/* The project's shelf, made with its first document. */
static enum err shelf_for(struct rag *r, struct str project, struct shelf **out)
{
	*out = index_shelf(r, project);
	if (*out)
		return OK;
	struct shelf *s = calloc(1, sizeof *s);
	struct shelf **list = realloc(r->shelves, (r->n_shelves + 1) * sizeof *list);
	if (list)
		r->shelves = list;
	if (s) {
		s->project = str_dup(project);
		s->saved_ms = clock_unix_ms();
	}
	struct vindex_options o = {.dim = r->dim};
	enum err e = s && list && s->project ? vindex_new(&o, &s->dense, NULL) : ERR_NOMEM;
	if (!e)
		e = bm25_new(NULL, &s->bm25);
	if (!e && !map_put(&r->shelf_by_project, project, s))
		e = ERR_NOMEM;
	if (e) {
		free_shelf(s);
		return e;
	}
	r->shelves[r->n_shelves++] = s;
	*out = s;
	return OK;
}

enum err index_adopt(
	struct rag *r, struct str project, struct vindex *x, const char *token, struct shelf **out)
{
	pthread_rwlock_wrlock(&r->lock);
	enum err e = shelf_for(r, project, out);
	if (!e) {
		vindex_free((*out)->dense);
		(*out)->dense = x;
		snprintf((*out)->token, sizeof(*out)->token, "%s", token);
	}
	pthread_rwlock_unlock(&r->lock);
	if (e)
		vindex_free(x);
	return e;
}

static enum err publish(struct rag *r, struct errtext *et)
{
	enum err e = OK;
	for (size_t i = 0; i < r->n_shelves && !e; i++) {
		struct shelf *s = r->shelves[i];
		if (s->changed)
			e = bm25_publish(s->bm25, et);
		s->changed = e != OK;
	}
	return e;
}

static enum err doc_slot(struct rag *r, const struct doc_row *d, uint32_t *slot)
{
	struct buf key = {0};
	uintptr_t at = (uintptr_t)map_get(&r->by_path, path_key(d, &key));
	enum err e = key.err;
	if (!at && !e) {
		size_t place = 0;
		e = free_place(r, &place);
		at = place + 1;
		if (!e && !map_put(&r->by_path, buf_str(&key), (void *)at)) {
			release_doc(r, place);
			e = ERR_NOMEM;
		}
	}
	buf_free(&key);
	if (e)
		return e;
	struct index_doc *m = &r->docs[at - 1];
	e = shelf_for(r, d->project, &m->shelf);
	if (e)
		return e;
	if (!set_text(&m->collection, d->collection) || !set_text(&m->path, d->path) ||
		!set_text(&m->type, d->type) || !set_text(&m->tags, d->tags) ||
		!set_text(&m->language, d->language) || !set_text(&m->owner, d->owner) ||
		!set_text(&m->attributes, d->attributes))
		return ERR_NOMEM;
	m->id = d->id;
	m->date_ms = d->created_ms ? d->created_ms : d->added_ms;
	m->live = true;
	*slot = (uint32_t)(at - 1);
	return OK;
}

/* All of a document but its vectors. */
static enum err put_locked(struct rag *r, const struct doc_row *d, const struct chunk_row *chunks,
	size_t n, struct errtext *et)
{
	uint32_t slot;
	enum err e = doc_slot(r, d, &slot);
	if (!e)
		e = chunk_reserve(r, n);
	if (e)
		return err_set(et, e, "no memory for the index");
	struct shelf *shelf = r->docs[slot].shelf;
	struct arena *a = arena_new(0);
	struct buf text = {0};
	shelf->changed = true;
	r->docs[slot].n_chunks = (uint32_t)n;
	if (!a)
		e = err_set(et, ERR_NOMEM, "no memory for the index");
	for (size_t i = 0; i < n && !e; i++) {
		struct str *terms = NULL;
		size_t n_terms = 0;
		uint64_t key = (uint64_t)chunks[i].id;
		buf_clear(&text);
		chunk_index_text(d->title, chunks[i].heading_path, chunks[i].text, 0, &text);
		e = text.err;
		if (!e)
			e = rag_terms(
				buf_str(&text), r->docs[slot].language, a, &terms, &n_terms, et);
		if (!e)
			e = bm25_put(shelf->bm25, key, terms, n_terms, et);
		size_t at = chunk_slot(r, key);
		if (!e && !r->chunk_keys[at]) {
			r->chunk_keys[at] = key;
			r->n_chunks++;
		}
		if (!e)
			r->chunk_docs[at] = slot;
	}
	buf_free(&text);
	arena_free(a);
	return e;
}

static uint64_t *keys_of(const struct chunk_row *chunks, size_t n)
{
	uint64_t *keys = malloc((n + 1) * sizeof *keys);
	for (size_t i = 0; i < n && keys; i++)
		keys[i] = (uint64_t)chunks[i].id;
	return keys;
}

static void touched(struct shelf *s)
{
	s->changes++;
	s->changed_ms = clock_unix_ms();
}

/* Vectors go into a shelf's index while others search: chunks that are not published are passed
 * over, and building a graph takes its time. The shelf is looked up again since everything may be
 * read anew meanwhile. put NULL: the keys go. */
static enum err change_vectors(struct rag *r, struct str project, const struct chunk_row *chunks,
	size_t n, const float *put, struct errtext *et)
{
	struct shelf *s;
	if (!n)
		return OK;
	pthread_rwlock_wrlock(&r->lock);
	enum err e = shelf_for(r, project, &s);
	pthread_rwlock_unlock(&r->lock);
	uint64_t *keys = keys_of(chunks, n);
	if (e || !keys) {
		free(keys);
		return err_set(et, ERR_NOMEM, "no memory for the index");
	}
	pthread_rwlock_rdlock(&r->lock);
	s = index_shelf(r, project);
	if (s && put)
		e = vindex_put(s->dense, keys, put, n, NULL, et);
	else if (s)
		e = vindex_delete(s->dense, keys, n, NULL, et);
	if (s)
		touched(s);
	else
		e = err_set(et, ERR_BUSY, "the index is being read anew");
	pthread_rwlock_unlock(&r->lock);
	free(keys);
	return e;
}

/* All of a document but its vectors. */
static enum err delete_locked(struct rag *r, const struct doc_row *d,
	const struct chunk_row *chunks, size_t n, struct errtext *et)
{
	uint64_t *keys = keys_of(chunks, n);
	if (!keys)
		return err_set(et, ERR_NOMEM, "no memory for the index");
	struct shelf *shelf = index_shelf(r, d->project);
	enum err e = shelf && n ? bm25_delete(shelf->bm25, keys, n, et) : OK;
	if (shelf)
		shelf->changed = true;
	for (size_t i = 0; i < n && r->n_chunk_slots; i++) {
		size_t at = chunk_slot(r, keys[i]);
		if (r->chunk_keys[at] == keys[i])
			r->chunk_keys[at] = UINT64_MAX;
	}
	free(keys);
	struct buf key = {0};
	uintptr_t at = (uintptr_t)map_get(&r->by_path, path_key(d, &key));
	if (at)
		release_doc(r, at - 1);
	buf_free(&key);
	return e;
}

/* The database has the change already. When memory cannot follow (it is out), the indexes are
 * marked stale, and the next use builds them anew from the database. */
enum err index_replace(struct rag *r, const struct doc_row *d, const struct chunk_row *old,
	size_t n_old, const struct chunk_row *chunks, size_t n, const float *vectors,
	struct errtext *et)
{
	enum err e = change_vectors(r, d->project, chunks, n, vectors, et);
	pthread_rwlock_wrlock(&r->lock);
	if (!e)
		e = delete_locked(r, d, old, n_old, et);
	if (!e && n)
		e = put_locked(r, d, chunks, n, et);
	if (!e)
		e = publish(r, et);
	pthread_rwlock_unlock(&r->lock);
	if (!e)
		e = change_vectors(r, d->project, old, n_old, NULL, et);
	if (e)
		atomic_store(&r->ready, false);
	return e;
}

enum err index_retag(struct rag *r, const struct doc_row *d, struct errtext *et)
{
	uint32_t slot;
	pthread_rwlock_wrlock(&r->lock);
	enum err e = doc_slot(r, d, &slot);
	pthread_rwlock_unlock(&r->lock);
	return e ? err_set(et, e, "no memory for the index") : OK;
}

/* ---- loading ---- */

struct load {
	struct croft *c;
	struct rag *r;
	struct id *ids; /* of all documents */
	size_t n, cap;
	struct saved *saved;
	size_t n_saved;
	struct kern_team *team;
	/* vectors that wait to be put together */
	struct shelf *shelf;
	uint64_t *keys;
	float *vectors;
	size_t waiting;
};

enum { PUT_AT_ONCE = 1024 };

static enum err note_id(void *ctx, const struct doc_row *d)
{
	struct load *l = ctx;
	if (!str_eq_c(d->status, "indexed"))
		return OK;
	if (!heap_room(l->ids, l->n, l->cap))
		return ERR_NOMEM;
	l->ids[l->n++] = d->id;
	return OK;
}

/* The vectors of a document's chunks in the present space; those that are missing are made. */
static enum err vectors_of(struct load *l, const struct doc_row *d, const struct chunk_row *chunks,
	size_t n, float *out, struct arena *a, const struct cancel *cancel, struct errtext *et)
{
	struct rag *r = l->r;
	struct str space = str_c(r->space), *texts = arena_array_of(a, n + 1, struct str);
	size_t *where = arena_array_of(a, n + 1, size_t), missing = 0;
	struct tx *tx;
	if (!texts || !where)
		return err_set(et, ERR_NOMEM, "no memory for the index");
	enum err e = db_begin(croft_db(l->c), TX_READ, &tx, et);
	if (e)
		return e;
	for (size_t i = 0; i < n && !e; i++) {
		e = store_vector_get(tx, space, chunks[i].sha256, out + i * r->dim, r->dim, et);
		if (e != ERR_NOT_FOUND)
			continue;
		e = OK;
		struct buf b = {0};
		chunk_index_text(
			d->title, chunks[i].heading_path, chunks[i].text, RAG_CONTEXT_MAX, &b);
		texts[missing] = arena_str(a, buf_str(&b));
		where[missing++] = i;
		buf_free(&b);
	}
	db_rollback(tx);
	if (e || !missing)
		return e;
	float *made = arena_array_of(a, missing * r->dim, float);
	size_t truncated = 0, tokens = 0;
	if (!made)
		return err_set(et, ERR_NOMEM, "no memory for the index");
	e = embed_texts_as(endpoint_model(r->embed), EMBED_DOCUMENT, texts, missing, true, made,
		&truncated, &tokens, cancel, et);
	if (!e)
		e = db_begin(croft_db(l->c), TX_WRITE, &tx, et);
	if (e)
		return e;
	for (size_t i = 0; i < missing && !e; i++) {
		memcpy(out + where[i] * r->dim, made + i * r->dim, r->dim * sizeof *made);
		e = store_vector_put(
			tx, space, chunks[where[i]].sha256, made + i * r->dim, r->dim, et);
	}
	e = db_finish(tx, e, et);
	return e;
}

static enum err put_waiting(struct load *l, struct errtext *et);

/* Those that did not come with a saved index, to wait for others. */
static enum err read_vectors(struct load *l, struct shelf *shelf, const struct doc_row *d,
	const struct chunk_row *chunks, size_t n, struct arena *a, const struct cancel *cancel,
	struct errtext *et)
{
	size_t dim = l->r->dim, n_new = 0;
	struct chunk_row *fresh = arena_array_of(a, n + 1, struct chunk_row);
	for (size_t i = 0; i < n && fresh; i++)
		if (!saved_has(l->saved, l->n_saved, shelf, (uint64_t)chunks[i].id))
			fresh[n_new++] = chunks[i];
	float *vectors = arena_array_of(a, n_new * dim + 1, float);
	if (!fresh || !vectors)
		return err_set(et, ERR_NOMEM, "no memory for the index");
	enum err e = vectors_of(l, d, fresh, n_new, vectors, a, cancel, et);
	if (!e && l->shelf != shelf)
		e = put_waiting(l, et);
	l->shelf = shelf;
	for (size_t i = 0; i < n_new && !e; i++) {
		l->keys[l->waiting] = (uint64_t)fresh[i].id;
		memcpy(l->vectors + l->waiting++ * dim, vectors + i * dim, dim * sizeof *vectors);
		if (l->waiting == PUT_AT_ONCE)
			e = put_waiting(l, et);
	}
	return e;
}

/* Under write_mu: a change of the document meanwhile would be undone. */
static enum err load_doc(
	struct load *l, struct id id, const struct cancel *cancel, struct errtext *et)
{
	struct arena *a = arena_new(0);
	struct doc_row d;
	struct chunk_row *chunks;
	struct shelf *shelf = NULL;
	size_t n = 0;
	struct tx *tx;
	if (!a)
		return err_set(et, ERR_NOMEM, "no memory for the index");
	enum err e = db_begin(croft_db(l->c), TX_READ, &tx, et);
	if (!e) {
		e = store_doc_by_id(tx, (struct str){0}, id, a, &d, et);
		if (!e)
			e = store_chunks(tx, id, a, &chunks, &n, et);
		db_rollback(tx);
	}
	if (e == ERR_NOT_FOUND) { /* deleted meanwhile */
		arena_free(a);
		return OK;
	}
	if (!e) {
		pthread_rwlock_wrlock(&l->r->lock);
		e = put_locked(l->r, &d, chunks, n, et);
		shelf = index_shelf(l->r, d.project);
		pthread_rwlock_unlock(&l->r->lock);
	}
	e = e ? e : read_vectors(l, shelf, &d, chunks, n, a, cancel, et);
	arena_free(a);
	return e;
}

static enum err put_waiting(struct load *l, struct errtext *et)
{
	enum err e = l->waiting ? vindex_put(l->shelf->dense, l->keys, l->vectors, l->waiting,
					  l->team, et)
				: OK;
	if (l->waiting)
		touched(l->shelf);
	l->waiting = 0;
	return e;
}

static enum err load_begin(struct load *l, struct errtext *et)
{
	enum { FEW = 64 };
	struct tx *tx;
	l->keys = malloc(PUT_AT_ONCE * sizeof *l->keys);
	l->vectors = malloc((size_t)PUT_AT_ONCE * l->r->dim * sizeof *l->vectors);
	if (!l->keys || !l->vectors)
		return err_set(et, ERR_NOMEM, "no memory for the index");
	enum err e = l->n > FEW && cpu_count() > 1 ? kern_team_new(cpu_count(), &l->team, et) : OK;
	e = e ? e : db_begin(croft_db(l->c), TX_READ, &tx, et);
	if (e)
		return e;
	e = saved_open(l->c, l->r, tx, &l->saved, &l->n_saved, et);
	db_rollback(tx);
	return e;
}

/* *seq: the newest notice that what is loaded holds already. */
static enum err load_all(struct croft *c, struct rag *r, int64_t *seq, const struct cancel *cancel,
	struct errtext *et)
{
	uint64_t start = clock_mono_ns();
	enum err e = endpoint_embed(c, (struct str){0}, &r->embed, et);
	if (e)
		return e;
	struct model *m = endpoint_model(r->embed);
	r->dim = model_info(m)->embedding_dim;
	const char *identity = model_identity(m);
	if (!r->dim || !identity)
		return err_set(et, ERR_UNSUPPORTED,
			"%.*s is no embedding model (setting embed.model)",
			STR_FMT(endpoint_name(r->embed)));
	strncpy(r->space, identity, sizeof r->space - 1);
	struct load l = {.c = c, .r = r};
	struct tx *tx;
	e = db_begin(croft_db(c), TX_WRITE, &tx, et);
	if (!e) {
		e = notify_seq(tx, RAG_CHANNEL, seq, et);
		if (!e)
			e = store_doc_each(tx, (struct str){0}, (struct str){0}, note_id, &l, et);
		if (!e)
			e = store_vector_prune(tx, et);
		e = db_finish(tx, e, et);
	}
	e = e ? e : load_begin(&l, et);
	for (size_t i = 0; i < l.n && !e; i++) {
		pthread_mutex_lock(&r->write_mu);
		e = cancelled(cancel) ? ERR_CANCELLED : load_doc(&l, l.ids[i], cancel, et);
		pthread_mutex_unlock(&r->write_mu);
	}
	e = e ? e : put_waiting(&l, et);
	e = e ? e : saved_drop_unseen(l.saved, l.n_saved, et);
	if (!e) {
		pthread_rwlock_wrlock(&r->lock);
		e = publish(r, et);
		pthread_rwlock_unlock(&r->lock);
	}
	if (!e) {
		log_debug("index of %zu documents loaded in %.0f ms", l.n,
			(double)(clock_mono_ns() - start) / 1e6);
	}
	saved_release(l.saved, l.n_saved);
	kern_team_free(l.team);
	free(l.keys);
	free(l.vectors);
	free(l.ids);
	return e;
}

/* ---- changes that other servers make ---- */

static size_t slot_of_id(const struct rag *r, struct id id)
{
	size_t i = 0;
	while (i < r->n_docs && !(r->docs[i].live && memcmp(&r->docs[i].id, &id, sizeof id) == 0))
		i++;
	return i;
}

static bool is_among(const struct chunk_row *chunks, size_t n, uint64_t key)
{
	for (size_t i = 0; i < n; i++)
		if ((uint64_t)chunks[i].id == key)
			return true;
	return false;
}

/* Whatever chunks memory has of this place: they need not be the database's. The vectors of kept[]
 * stay. */
static enum err empty_slot(
	struct rag *r, size_t slot, const struct chunk_row *kept, size_t n_kept, struct errtext *et)
{
	uint64_t *keys = malloc((r->n_chunks + 1) * sizeof *keys);
	size_t n = 0;
	if (!keys)
		return err_set(et, ERR_NOMEM, "no memory for the index");
	for (size_t i = 0; i < r->n_chunk_slots; i++)
		if (r->chunk_keys[i] && r->chunk_keys[i] != UINT64_MAX &&
			r->chunk_docs[i] == slot) {
			keys[n++] = r->chunk_keys[i];
			r->chunk_keys[i] = UINT64_MAX;
		}
	struct shelf *shelf = r->docs[slot].shelf;
	release_doc(r, slot);
	shelf->changed = true;
	enum err e = bm25_delete(shelf->bm25, keys, n, et);
	size_t gone = 0;
	for (size_t i = 0; i < n; i++)
		if (!is_among(kept, n_kept, keys[i]))
			keys[gone++] = keys[i];
	e = e ? e : vindex_delete(shelf->dense, keys, gone, NULL, et);
	touched(shelf);
	free(keys);
	return e;
}

/* d: as it is in the database now; NULL: gone, or nothing of it can be found. */
static enum err replace_by_id(struct rag *r, struct id id, const struct doc_row *d,
	const struct chunk_row *chunks, size_t n, const float *vectors, struct errtext *et)
{
	enum err e = d ? change_vectors(r, d->project, chunks, n, vectors, et) : OK;
	pthread_rwlock_wrlock(&r->lock);
	size_t slot = slot_of_id(r, id);
	if (!e && slot < r->n_docs)
		e = empty_slot(r, slot, chunks, n, et);
	if (!e && d) {
		struct buf key = {0};
		uintptr_t at = (uintptr_t)map_get(&r->by_path, path_key(d, &key));
		buf_free(&key);
		if (at) /* another document stood under this path */
			e = empty_slot(r, at - 1, NULL, 0, et);
		if (!e)
			e = put_locked(r, d, chunks, n, et);
	}
	if (!e)
		e = publish(r, et);
	pthread_rwlock_unlock(&r->lock);
	return e;
}

static enum err refresh(struct croft *c, struct rag *r, struct id id, struct errtext *et)
{
	struct arena *a = arena_new(0);
	struct doc_row d;
	struct chunk_row *chunks = NULL;
	size_t n = 0;
	struct tx *tx;
	enum err e = a ? db_begin(croft_db(c), TX_READ, &tx, et)
		       : err_set(et, ERR_NOMEM, "no memory for the index");
	if (!e) {
		e = store_doc_by_id(tx, (struct str){0}, id, a, &d, et);
		if (!e)
			e = store_chunks(tx, id, a, &chunks, &n, et);
		db_rollback(tx);
	}
	bool gone = e == ERR_NOT_FOUND || (!e && !str_eq_c(d.status, "indexed"));
	struct load l = {.c = c, .r = r};
	float *vectors = NULL;
	if (gone) {
		e = OK;
		n = 0;
	} else if (!e) {
		vectors = arena_array_of(a, n * r->dim + 1, float);
		e = vectors ? vectors_of(&l, &d, chunks, n, vectors, a, croft_stopping(c), et)
			    : err_set(et, ERR_NOMEM, "no memory for the index");
	}
	if (!e)
		e = replace_by_id(r, id, gone ? NULL : &d, chunks, n, vectors, et);
	arena_free(a);
	return e;
}

/* load_mu is held so that a change that comes while everything is read is not passed over. What
 * cannot be followed makes the index stale: the next use reads everything. */
static enum err follow(void *ctx, const struct notice *notice, struct errtext *et)
{
	struct croft *c = ctx;
	struct rag *r = rag_of(c);
	struct errtext why = {0};
	struct id id;
	enum err e = OK;
	if (notice->own)
		return OK;
	pthread_mutex_lock(&r->load_mu);
	pthread_mutex_lock(&r->write_mu);
	if (atomic_load(&r->ready))
		e = notice->text.p && id_parse(notice->text, &id)
			    ? refresh(c, r, id, &why)
			    : err_set(&why, ERR_LIMIT, "too many changes were missed");
	bool again = e == ERR_NETWORK || e == ERR_BUSY || e == ERR_TIMEOUT;
	if (e && !again) {
		log_info("the document index is read anew: %s", err_text(e, &why));
		atomic_store(&r->ready, false);
	}
	pthread_mutex_unlock(&r->write_mu);
	pthread_mutex_unlock(&r->load_mu);
	if (again && et)
		*et = why;
	return again ? e : OK;
}

enum err rag_load(
	struct croft *c, struct rag **out, const struct cancel *cancel, struct errtext *et)
{
	struct rag *r = rag_of(c);
	if (!atomic_load(&r->ready)) {
		enum err e = OK;
		pthread_mutex_lock(&r->load_mu);
		if (!atomic_load(&r->ready)) {
			/* what a failed attempt or a stale index left is thrown away */
			pthread_rwlock_wrlock(&r->lock);
			endpoint_put(r->embed);
			r->embed = NULL;
			clear(r);
			pthread_rwlock_unlock(&r->lock);
			struct errtext text = {0};
			int64_t seq = 0;
			e = load_all(c, r, &seq, cancel, &text);
			if (!e && !r->watch)
				e = notify_watch(
					croft_db(c), RAG_CHANNEL, seq, follow, c, &r->watch, &text);
			r->load_error = e;
			r->load_text = text;
			if (e && et)
				*et = text;
			atomic_store(&r->ready, e == OK);
		}
		pthread_mutex_unlock(&r->load_mu);
		if (e)
			return e;
	}
	*out = r;
	return OK;
}

/* ---- what others show ---- */

void rag_metrics(struct croft *c, struct buf *out)
{
	struct rag *r = rag_of(c);
	buf_addf(out,
		"# HELP croft_chunks_embedded_total Chunks embedded since the start\n"
		"# TYPE croft_chunks_embedded_total counter\ncroft_chunks_embedded_total %llu\n"
		"# HELP croft_chunks_reused_total Chunks whose vector was known\n"
		"# TYPE croft_chunks_reused_total counter\ncroft_chunks_reused_total %llu\n",
		(unsigned long long)atomic_load(&r->embedded),
		(unsigned long long)atomic_load(&r->reused));
	if (!atomic_load(&r->ready))
		return;
	pthread_rwlock_rdlock(&r->lock);
	size_t n = 0;
	for (size_t i = 0; i < r->n_shelves; i++)
		n += vindex_count(r->shelves[i]->dense);
	pthread_rwlock_unlock(&r->lock);
	buf_addf(out,
		"# HELP croft_chunks Chunks that can be found\n# TYPE croft_chunks gauge\n"
		"croft_chunks %zu\n",
		n);
}

void rag_status(struct croft *c, const struct http_request *rq, struct jw *w)
{
	struct tx *tx;
	int64_t documents = 0, chunks = 0, failed = 0;
	if (db_begin(croft_db(c), TX_READ, &tx, NULL))
		return;
	struct row *row;
	enum err e = db_query(tx, &row, NULL,
		"SELECT count(*), coalesce(sum(chunks), 0),"
		" coalesce(sum(CASE WHEN status = 'failed' THEN 1 ELSE 0 END), 0) FROM "
		"rag_document WHERE project = ? AND owner = ''",
		P_TEXT(project_of(rq)));
	if (!e && row_next(row, &e, NULL)) {
		documents = row_i64(row, 0);
		chunks = row_i64(row, 1);
		failed = row_i64(row, 2);
	}
	row_free(e ? NULL : row);
	db_rollback(tx);
	jw_ki64(w, "documents", documents);
	jw_ki64(w, "chunks", chunks);
	jw_ki64(w, "failed", failed);
}
