/* Versions of document sets: which documents stood in a collection.
 *
 * Every change of a document counts up the collection's changes, in its own transaction. A version
 * is made of all of them together: when `croft ingest` is done, when nothing has changed for
 * QUIET_MS, and when somebody asks and the last version is older than ASK_MS. Its content is one
 * file with a line for each document (path, hash, size, type), by path; so the same documents are
 * the same version, and two versions compare row by row. The documents themselves are not part of
 * it: what is deleted is gone, and only that it was there stays.
 *
 *	document change -> docset_note in its transaction, docset_wake after it
 *	docset_settle: read the rows -> tree -> versions of the document set and of the collection
 *	               that was embedded from it -> what was counted is versioned
 *
 * A settle that another one has overtaken sees a larger number and leaves it at that. */
#include "rag/rag_int.h"

#include "artifact/registry.h"
#include "artifact/tree.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

enum { QUIET_MS = 5000, BUSY_MS = 60000, ASK_MS = 10000 };

#define MS 1000000ull
#define MANIFEST "documents.jsonl"

/* ---- names ---- */

/* A collection's name may hold what a reference may not: then a hash keeps it apart from others. */
static struct str artifact_name(struct str collection, struct arena *a)
{
	char hex[SHA256_HEX + 1];
	struct buf b = {0};
	for (size_t i = 0; i < collection.n && b.n < 200; i++) {
		unsigned char ch = (unsigned char)collection.p[i];
		buf_putc(&b, ch < 0x20 || ch == 0x7F || strchr("/:@", ch) ? '-' : (char)ch);
	}
	while (b.n && !utf8_valid(buf_str(&b)))
		b.n--;
	struct str clean = str_trim(buf_str(&b)), out;
	if (str_eq(clean, collection) && !str_eq_c(clean, ".") && !str_eq_c(clean, "..")) {
		out = arena_str(a, clean);
	} else {
		sha256_hex_of(collection, hex);
		out = arena_fmt(a, "%.*s-%.8s", STR_FMT(clean), hex);
	}
	buf_free(&b);
	return out;
}

static struct str reference(struct str collection, int64_t version, struct arena *a)
{
	struct str name = artifact_name(collection, a);
	return arena_fmt(a, "document-set/%.*s:%lld", STR_FMT(name), (long long)version);
}

/* ---- the content ---- */

struct manifest {
	struct doc_row *rows; /* path, sha256, type, bytes */
	size_t n, cap;
	struct arena *a;
	int64_t bytes, chunks;
	struct buf text;
};

static enum err take_row(void *ctx, const struct doc_row *d)
{
	struct manifest *m = ctx;
	if (!str_eq_c(d->status, "indexed"))
		return OK;
	if (m->n == m->cap) {
		size_t cap = m->cap ? 2 * m->cap : 1024;
		struct doc_row *v = realloc(m->rows, cap * sizeof *v);
		if (!v)
			return ERR_NOMEM;
		m->rows = v;
		m->cap = cap;
	}
	struct doc_row *r = &m->rows[m->n];
	*r = (struct doc_row){.path = arena_str(m->a, d->path),
		.sha256 = arena_str(m->a, d->sha256),
		.type = arena_str(m->a, d->type),
		.bytes = d->bytes};
	if (!r->path.p || !r->sha256.p || !r->type.p)
		return ERR_NOMEM;
	m->n++;
	m->bytes += d->bytes;
	m->chunks += d->chunks;
	return OK;
}

static int by_path(const void *a, const void *b)
{
	return str_cmp(((const struct doc_row *)a)->path, ((const struct doc_row *)b)->path);
}

static void write_manifest(struct manifest *m)
{
	if (m->n)
		qsort(m->rows, m->n, sizeof *m->rows, by_path);
	for (size_t i = 0; i < m->n; i++) {
		struct jw w = {.out = &m->text};
		jw_obj(&w);
		jw_kstr(&w, "path", m->rows[i].path);
		jw_kstr(&w, "sha256", m->rows[i].sha256);
		jw_ki64(&w, "bytes", m->rows[i].bytes);
		jw_kstr(&w, "type", m->rows[i].type);
		jw_end(&w);
		buf_putc(&m->text, '\n');
	}
}

/* The state of the collection and its documents as one transaction sees them. */
static enum err read_all(struct croft *c, struct str project, struct str collection,
	struct arena *a, struct set_row *set, struct manifest *m, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = store_set_get(tx, project, collection, a, set, et);
	if (!e && m && set->changes != set->versioned)
		e = store_doc_each(tx, project, collection, take_row, m, et);
	db_rollback(tx);
	return e;
}

static enum err store_content(struct croft *c, const struct principal *who,
	const struct manifest *m, struct tree_sum *sum, struct errtext *et)
{
	struct tree_writer *w;
	enum err e = tree_writer_open(croft_blobs(c), &w, et);
	if (e)
		return e;
	e = tree_writer_bytes(w, S(MANIFEST), buf_str(&m->text), et);
	if (e) {
		tree_writer_drop(w);
		return e;
	}
	e = tree_writer_finish(w, sum, et);
	return e ? e : tree_grant(c, who, sum->digest, et);
}

/* ---- the versions ---- */

struct settling {
	struct croft *c;
	struct rag *r;
	const struct principal *who;
	struct str project, collection, name;
	struct arena *a;
	struct set_row set; /* as it was read; then as it is now */
	struct manifest m;
	struct tree_sum sum;
	char key[SHA256_HEX + 1]; /* of the documents and of how they are indexed */
	struct id run;
	bool made;
};

static struct str set_metadata(struct settling *s)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_kstr(&w, "collection", s->collection);
	jw_ki64(&w, "documents", (int64_t)s->m.n);
	jw_ki64(&w, "bytes", s->m.bytes);
	jw_end(&w);
	struct str out = arena_str(s->a, buf_str(&b));
	buf_free(&b);
	return out;
}

/* What the indexes were made with: together with the documents it decides every hit. */
static void index_members(struct settling *s, struct jw *w)
{
	jw_kc(w, "documents", s->sum.digest);
	jw_kstr(w, "model", endpoint_name(s->r->embed));
	jw_kc(w, "space", s->r->space);
	jw_ki64(w, "dimensions", s->r->dim);
	jw_ki64(w, "chunk_tokens", setting_int(s->c, "rag.chunk_tokens"));
	jw_ki64(w, "chunk_overlap", setting_int(s->c, "rag.chunk_overlap"));
	jw_ki64(w, "parser", PARSER_VERSION);
}

static struct str index_metadata(struct settling *s, bool whole)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	index_members(s, &w);
	if (whole) {
		jw_kstr(&w, "document_set", reference(s->collection, s->set.version, s->a));
		jw_ki64(&w, "chunks", s->m.chunks);
	}
	jw_end(&w);
	struct str out = arena_str(s->a, buf_str(&b));
	buf_free(&b);
	return out;
}

static enum err derived(struct settling *s, struct tx *tx, struct id of, int64_t version,
	struct id from, int64_t from_version, struct errtext *et)
{
	return lineage_add(tx, s->who,
		&(struct edge){.node = node_version(s->a, of, version),
			.kind = EDGE_DERIVED,
			.source = node_version(s->a, from, from_version)},
		et);
}

static enum err put_set(struct settling *s, struct tx *tx, struct artifact *of, struct errtext *et)
{
	struct artifact_version *before;
	size_t n = 0;
	int64_t version = 0;
	enum err e = artifact_find(tx, s->project, S("document-set"), s->name, s->a, of, et);
	if (!e)
		e = version_list(tx, of, 0, 1, false, s->a, &before, &n, et);
	if (e == ERR_NOT_FOUND)
		e = OK;
	if (!e)
		e = artifact_put_version(tx, s->who,
			&(struct version_new){.kind = S("document-set"),
				.name = s->name,
				.digest = str_c(s->sum.digest),
				.metadata = set_metadata(s),
				.run = s->run,
				.bytes = (int64_t)s->sum.bytes,
				.reuse = true},
			&version, et);
	if (!e)
		e = artifact_find(tx, s->project, S("document-set"), s->name, s->a, of, et);
	if (!e && n && before[0].version != version)
		e = derived(s, tx, of->id, version, of->id, before[0].version, et);
	if (!e)
		s->set.version = version;
	return e;
}

/* The model that embedded it, where this project knows it as an artifact. */
static enum err derive_from_model(struct settling *s, struct tx *tx, struct id collection,
	int64_t version, struct errtext *et)
{
	struct artifact model;
	struct artifact_version *newest;
	size_t n = 0;
	enum err e = artifact_find(
		tx, s->project, S("model"), endpoint_name(s->r->embed), s->a, &model, et);
	if (!e)
		e = version_list(tx, &model, 0, 1, false, s->a, &newest, &n, et);
	if (!e && n)
		e = derived(s, tx, collection, version, model.id, newest[0].version, et);
	return e == ERR_NOT_FOUND ? OK : e;
}

static enum err put_collection(
	struct settling *s, struct tx *tx, const struct artifact *set, struct errtext *et)
{
	struct artifact of;
	int64_t version = 0;
	enum err e = artifact_put_version(tx, s->who,
		&(struct version_new){.kind = S("collection"),
			.name = s->name,
			.digest = str_c(s->key),
			.metadata = index_metadata(s, true),
			.run = s->run,
			.reuse = true},
		&version, et);
	if (!e)
		e = artifact_find(tx, s->project, S("collection"), s->name, s->a, &of, et);
	if (!e)
		e = derived(s, tx, of.id, version, set->id, s->set.version, et);
	return e ? e : derive_from_model(s, tx, of.id, version, et);
}

static enum err write_versions(struct settling *s, struct tx *tx, struct errtext *et)
{
	struct set_row now;
	struct artifact of;
	enum err e = store_set_get(tx, s->project, s->collection, s->a, &now, et);
	if (e)
		return e;
	if (now.versioned >= s->set.changes) { /* somebody was quicker */
		s->set = now;
		return OK;
	}
	if (!str_eq_c(s->set.digest, s->key)) {
		e = put_set(s, tx, &of, et);
		if (!e)
			e = put_collection(s, tx, &of, et);
		s->made = !e;
	}
	s->set.versioned = s->set.changes;
	s->set.digest = str_c(s->key);
	s->set.settled_ms = clock_unix_ms();
	return e ? e : store_set_settled(tx, s->project, s->collection, &s->set, et);
}

static enum err make_versions(struct settling *s, struct errtext *et)
{
	struct run *run = NULL;
	struct tx *tx;
	enum err e = store_content(s->c, s->who, &s->m, &s->sum, et);
	if (e)
		return e;
	sha256_hex_of(index_metadata(s, false), s->key);
	if (!str_eq_c(s->set.digest, s->key)) {
		run = run_begin(s->c, s->project, "ingest",
			arena_fmt(s->a, "document-set/%.*s", STR_FMT(s->name)));
		s->run = run_id(run);
	}
	e = db_begin(croft_db(s->c), TX_WRITE, &tx, et);
	if (!e) {
		e = write_versions(s, tx, et);
		e = db_finish(tx, e, et);
	}
	if (!e && s->made) {
		run_text(run, "document_set", reference(s->collection, s->set.version, s->a));
		run_i64(run, "documents", (int64_t)s->m.n);
		run_i64(run, "bytes", s->m.bytes);
	}
	run_end(run, e, et);
	return e;
}

enum err docset_settle(struct croft *c, struct rag *r, struct str project, struct str collection,
	struct str by, struct arena *a, struct docset *out, struct errtext *et)
{
	const struct principal who = {
		.name = by.n ? by : S("croft"), .project = project, .perms = PERMS_ALL};
	struct settling s = {.c = c,
		.r = r,
		.who = &who,
		.project = project,
		.collection = collection,
		.name = artifact_name(collection, a),
		.a = a,
		.m = {.a = a}};
	enum err e = s.name.p ? read_all(c, project, collection, a, &s.set, &s.m, et)
			      : err_set(et, ERR_NOMEM, "no memory for a document set");
	if (!e && s.set.changes != s.set.versioned) {
		write_manifest(&s.m);
		e = s.m.text.err ? err_set(et, ERR_NOMEM, "no memory for a document set")
				 : make_versions(&s, et);
	}
	free(s.m.rows);
	buf_free(&s.m.text);
	if (!e && out)
		*out = (struct docset){.ref = s.set.version
						      ? reference(collection, s.set.version, a)
						      : (struct str){0},
			.made = s.made,
			.counted = s.set.versioned};
	return e;
}

/* ---- what an answer stands on ---- */

enum err docset_before(struct croft *c, struct rag *r, struct str project, struct str collection,
	struct arena *a, struct docset *out, struct errtext *et)
{
	struct set_row set;
	enum err e = read_all(c, project, collection, a, &set, NULL, et);
	if (e)
		return e;
	if (set.changes != set.versioned && clock_unix_ms() - set.settled_ms >= ASK_MS)
		return docset_settle(c, r, project, collection, S(""), a, out, et);
	*out = (struct docset){.counted = set.versioned};
	if (set.version)
		out->ref = reference(collection, set.version, a);
	return OK;
}

enum err docset_after(struct croft *c, struct str project, struct str collection, struct arena *a,
	struct docset *set, struct errtext *et)
{
	struct set_row now;
	enum err e = read_all(c, project, collection, a, &now, NULL, et);
	if (!e)
		set->changes = now.changes - set->counted;
	return e;
}

void docset_members(struct jw *w, const struct docset *set)
{
	jw_key(w, "document_set");
	set->ref.p ? jw_str(w, set->ref) : jw_null(w);
	jw_ki64(w, "document_changes", set->changes);
}

void docset_span(struct run *run, const struct docset *set)
{
	if (set->ref.p)
		run_text(run, "document_set", set->ref);
	if (set->changes)
		run_i64(run, "document_changes", set->changes);
}

/* ---- when nothing happens any more ---- */

struct due {
	struct str project, collection;
};

struct dues {
	struct arena *a;
	struct due v[256];
	size_t n;
};

static enum err take_due(void *ctx, struct str project, struct str collection)
{
	struct dues *d = ctx;
	if (d->n == ARRAY_LEN(d->v))
		return OK; /* the others at the next round */
	struct due *x = &d->v[d->n];
	*x = (struct due){arena_str(d->a, project), arena_str(d->a, collection)};
	if (!x->project.p || !x->collection.p)
		return ERR_NOMEM;
	d->n++;
	return OK;
}

static enum err settle_due(struct croft *c, struct rag *r, bool *more, struct errtext *et)
{
	struct dues d = {.a = arena_new(0)};
	struct tx *tx;
	enum err e = d.a ? db_begin(croft_db(c), TX_READ, &tx, et)
			 : err_set(et, ERR_NOMEM, "no memory for document sets");
	if (!e) {
		e = store_set_due(tx, take_due, &d, et);
		db_rollback(tx);
	}
	*more = d.n == ARRAY_LEN(d.v);
	for (size_t i = 0; i < d.n && !e && !cancelled(croft_stopping(c)); i++) {
		struct arena *a = arena_new(0);
		e = a ? docset_settle(c, r, d.v[i].project, d.v[i].collection, S(""), a, NULL, et)
		      : err_set(et, ERR_NOMEM, "no memory for a document set");
		arena_free(a);
	}
	arena_free(d.a);
	return e;
}

/* Until QUIET_MS have passed since the last change, or BUSY_MS since the first. Under mu. */
static bool wait_for_quiet(struct docset_keeper *k)
{
	int64_t first = (int64_t)(clock_mono_ns() / MS);
	while (!k->stop) {
		int64_t now = (int64_t)(clock_mono_ns() / MS);
		if (now - k->changed_ms >= QUIET_MS || now - first >= BUSY_MS)
			return true;
		cond_wait_until(&k->cond, &k->mu, clock_mono_ns() + 500 * MS);
	}
	return false;
}

static void *keep_versions(void *arg)
{
	struct croft *c = arg;
	struct rag *r = rag_of(c);
	struct docset_keeper *k = &r->keeper;
	pthread_mutex_lock(&k->mu);
	while (!k->stop) {
		if (!k->due) {
			pthread_cond_wait(&k->cond, &k->mu);
			continue;
		}
		if (!wait_for_quiet(k))
			break;
		k->due = false;
		pthread_mutex_unlock(&k->mu);
		struct errtext et = {0};
		bool more = false;
		enum err e = atomic_load(&r->ready) ? settle_due(c, r, &more, &et) : OK;
		if (e && e != ERR_CANCELLED)
			log_warn("no version of a document set was made: %s", err_text(e, &et));
		pthread_mutex_lock(&k->mu);
		k->due |= more;
	}
	pthread_mutex_unlock(&k->mu);
	return NULL;
}

void docset_wake(struct rag *r)
{
	pthread_mutex_lock(&r->keeper.mu);
	r->keeper.due = true;
	r->keeper.changed_ms = (int64_t)(clock_mono_ns() / MS);
	pthread_cond_signal(&r->keeper.cond);
	pthread_mutex_unlock(&r->keeper.mu);
}

void docset_init(struct rag *r)
{
	pthread_mutex_init(&r->keeper.mu, NULL);
	cond_init(&r->keeper.cond);
}

enum err docset_start(struct croft *c, struct errtext *et)
{
	struct docset_keeper *k = &rag_of(c)->keeper;
	enum err e = thread_start(&k->thread, keep_versions, c, "rag-versions", et);
	k->started = !e;
	return e;
}

void docset_stop(struct rag *r)
{
	struct docset_keeper *k = &r->keeper;
	pthread_mutex_lock(&k->mu);
	k->stop = true;
	pthread_cond_signal(&k->cond);
	pthread_mutex_unlock(&k->mu);
	if (k->started)
		pthread_join(k->thread, NULL);
	pthread_cond_destroy(&k->cond);
	pthread_mutex_destroy(&k->mu);
}
