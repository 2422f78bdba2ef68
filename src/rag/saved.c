/* The vectors' indexes on disk, so that a start does not build large graphs anew.
 *
 * An index is two files in the data directory: passages/TOKEN.index, and TOKEN.keys with the ids of
 * its chunks, whose hash the index bears as its mark. Ids of chunks are never used twice and a
 * chunk never changes, so whatever happened to the documents since: what the database still has is
 * right, what it has no more is deleted, what is new is put. vector/index_dir.h says why a restored
 * database does not meet the files of another time. Files that are damaged or gone cost time only.
 */
#include "rag/rag_int.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/os.h"
#include "base/room.h"
#include "vector/index_dir.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	QUIET_MS = 5000,     /* saved when nothing has changed for so long */
	AT_MOST_MS = 300000, /* or this long after the last time */
	PATH_BYTES = 4096,
	KEYS_MAX = 1 << 30,
};

static void folder_of(const struct croft *c, char out[PATH_BYTES])
{
	snprintf(out, PATH_BYTES, "%s/passages", croft_home(c));
}

static void file_of(
	const struct croft *c, const char *token, const char *kind, char out[PATH_BYTES])
{
	snprintf(out, PATH_BYTES, "%s/passages/%s.%s", croft_home(c), token, kind);
}

static enum err know_host(struct croft *c, struct rag *r, struct errtext *et)
{
	char folder[PATH_BYTES];
	folder_of(c, folder);
	return r->host[0] ? OK : index_dir_host(folder, r->host, et);
}

static uint64_t mark_of(struct str keys)
{
	uint8_t sha[SHA256_BYTES];
	uint64_t mark;
	sha256_of(keys, sha);
	memcpy(&mark, sha, sizeof mark);
	return mark;
}

/* The files that no shelf has any more. */
static void sweep(const struct croft *c, const struct rag *r)
{
	char folder[PATH_BYTES];
	const char **tokens = malloc((r->n_shelves + 1) * sizeof *tokens);
	folder_of(c, folder);
	for (size_t i = 0; i < r->n_shelves && tokens; i++)
		tokens[i] = r->shelves[i]->token;
	if (tokens)
		index_dir_keep(folder, tokens, r->n_shelves);
	free(tokens);
}

/* ---- opening ---- */

static enum err open_one(struct croft *c, const struct rag *r, struct saved *s, const char *token,
	struct errtext *et)
{
	char path[PATH_BYTES];
	struct buf b = {0};
	uint64_t mark = 0;
	file_of(c, token, "keys", path);
	enum err e = os_read_file(path, KEYS_MAX, &b, et);
	file_of(c, token, "index", path);
	e = e ? e : vindex_open(path, NULL, true, &s->index, &mark, et);
	s->n = b.n / sizeof *s->keys;
	if (!e && (mark != mark_of(buf_str(&b)) || vindex_count(s->index) != s->n ||
			  vindex_opened(s->index)->dim != r->dim))
		e = err_set(et, ERR_CORRUPT, "it is another one's");
	s->keys = e ? NULL : malloc(s->n * sizeof *s->keys + 1);
	s->seen = e ? NULL : calloc(s->n + 1, sizeof *s->seen);
	if (!e && (!s->keys || !s->seen))
		e = err_set(et, ERR_NOMEM, "no memory");
	if (!e)
		memcpy(s->keys, b.p, s->n * sizeof *s->keys);
	buf_free(&b);
	return e;
}

static void saved_free(struct saved *s)
{
	vindex_free(s->index);
	free(s->keys);
	free(s->seen);
	*s = (struct saved){0};
}

struct opening {
	struct croft *c;
	struct rag *r;
	struct saved *list;
	size_t n, cap;
};

static enum err open_saved(void *ctx, struct str project, struct str space, struct str token)
{
	struct opening *o = ctx;
	struct errtext et = {0};
	char name[ID_HEX + 1];
	struct id id;
	if (!str_eq_c(space, o->r->space) || !id_parse(token, &id))
		return OK;
	if (!heap_room(o->list, o->n, o->cap))
		return ERR_NOMEM;
	struct saved *s = &o->list[o->n];
	*s = (struct saved){0};
	id_hex(id, name);
	enum err e = open_one(o->c, o->r, s, name, &et);
	if (e) {
		log_warn("the index of the documents of project %.*s is built anew: %s",
			STR_FMT(project), err_text(e, &et));
		saved_free(s);
		return OK;
	}
	e = index_adopt(o->r, project, s->index, name, &s->shelf);
	s->index = NULL;
	if (e)
		saved_free(s);
	else
		o->n++;
	return e;
}

enum err saved_open(struct croft *c, struct rag *r, struct tx *tx, struct saved **out, size_t *n,
	struct errtext *et)
{
	struct opening o = {.c = c, .r = r};
	enum err e = know_host(c, r, et);
	e = e ? e : store_saved_each(tx, str_c(r->host), open_saved, &o, et);
	if (e) {
		saved_release(o.list, o.n);
		return e;
	}
	sweep(c, r);
	*out = o.list;
	*n = o.n;
	return OK;
}

void saved_release(struct saved *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		saved_free(&list[i]);
	free(list);
}

bool saved_has(struct saved *list, size_t n, const struct shelf *shelf, uint64_t key)
{
	struct saved *s = list;
	while (s < list + n && s->shelf != shelf)
		s++;
	size_t low = 0, high = s < list + n ? s->n : 0;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (s->keys[mid] < key)
			low = mid + 1;
		else
			high = mid;
	}
	bool has = s < list + n && low < s->n && s->keys[low] == key;
	if (has)
		s->seen[low] = true;
	return has;
}

enum err saved_drop_unseen(struct saved *list, size_t n, struct errtext *et)
{
	enum err e = OK;
	for (size_t i = 0; i < n && !e; i++) {
		struct saved *s = &list[i];
		size_t gone = 0;
		for (size_t k = 0; k < s->n; k++)
			if (!s->seen[k])
				s->keys[gone++] = s->keys[k];
		s->n = 0;
		e = gone ? vindex_delete(s->shelf->dense, s->keys, gone, NULL, et) : OK;
		if (gone)
			s->shelf->changes++;
	}
	return e;
}

/* ---- saving ---- */

static int by_number(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

/* The shelf's chunks, ascending. */
static enum err keys_of(struct rag *r, const struct shelf *s, struct buf *out)
{
	pthread_rwlock_rdlock(&r->lock);
	for (size_t i = 0; i < r->n_chunk_slots; i++) {
		uint64_t key = r->chunk_keys[i];
		const struct index_doc *d = key && key != UINT64_MAX ? index_doc_of(r, key) : NULL;
		if (d && d->shelf == s)
			buf_adds(out, str_mk(&key, sizeof key));
	}
	pthread_rwlock_unlock(&r->lock);
	if (!out->err && out->n)
		qsort(out->p, out->n / sizeof(uint64_t), sizeof(uint64_t), by_number);
	return out->err;
}

struct note {
	struct rag *r;
	struct shelf *shelf;
	const char *token;
};

static enum err note(struct tx *tx, void *ctx, struct errtext *et)
{
	const struct note *x = ctx;
	return store_saved_put(tx, str_c(x->shelf->project), str_c(x->r->host), str_c(x->r->space),
		str_c(x->token), et);
}

static enum err save(struct croft *c, struct rag *r, struct shelf *s, struct errtext *et)
{
	char token[ID_HEX + 1], path[PATH_BYTES];
	struct buf keys = {0};
	struct note x = {r, s, token};
	uint64_t changes = s->changes;
	id_hex(id_new(), token);
	enum err e = know_host(c, r, et);
	if (!e && keys_of(r, s, &keys))
		e = err_set(et, ERR_NOMEM, "no memory");
	file_of(c, token, "keys", path);
	e = e ? e : os_write_atomic(path, buf_str(&keys), et);
	file_of(c, token, "index", path);
	e = e ? e : vindex_save(s->dense, path, mark_of(buf_str(&keys)), et);
	e = e ? e : db_write(croft_db(c), note, &x, et);
	buf_free(&keys);
	if (!e) {
		memcpy(s->token, token, sizeof s->token);
		s->saved_changes = changes;
		s->saved_ms = clock_unix_ms();
	}
	sweep(c, r);
	return e;
}

static bool worth_saving(const struct rag *r, const struct shelf *s, bool at_once)
{
	int64_t now = clock_unix_ms();
	if (s->changes == s->saved_changes || vindex_count(s->dense) < r->save_from)
		return false;
	return at_once || now - s->changed_ms > QUIET_MS || now - s->saved_ms > AT_MOST_MS;
}

void saved_keep(struct croft *c, bool at_once)
{
	struct rag *r = rag_of(c);
	if (!atomic_load(&r->ready) || pthread_mutex_trylock(&r->load_mu))
		return;
	pthread_mutex_lock(&r->write_mu);
	for (size_t i = 0; atomic_load(&r->ready) && i < r->n_shelves; i++) {
		struct shelf *s = r->shelves[i];
		struct errtext et = {0};
		enum err e = worth_saving(r, s, at_once) ? save(c, r, s, &et) : OK;
		if (e)
			log_warn("saving the index of the documents of project %s: %s", s->project,
				err_text(e, &et));
	}
	pthread_mutex_unlock(&r->write_mu);
	pthread_mutex_unlock(&r->load_mu);
}

void *saved_keeper(void *arg)
{
	enum { NAP_MS = 100, NAPS = 10 };
	struct croft *c = arg;
	for (unsigned nap = 0; !cancelled(croft_stopping(c)); nap++) {
		clock_sleep_ms(NAP_MS);
		if (nap % NAPS == NAPS - 1)
			saved_keep(c, false);
	}
	return NULL;
}
