/* Indexes on disk, so that opening a large collection does not build its graphs anew.
 *
 * A snapshot is a file for each space, in the data directory: collections/NUMBER/TOKEN.PLACE. They
 * hold what the change `mark` had made of the collection; opening reads the later changes from the
 * database. A row says which token is this data directory's present one: a database that was
 * restored from a backup names an older token, whose files are gone, and so never meets an index of
 * changes that it does not know. A file that is damaged or gone only costs time. */
#include "collection/collection_int.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/os.h"
#include "vector/index_dir.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	WORTH_ITEMS = 4096,  /* below, there is no graph */
	QUIET_MS = 5000,     /* saved when nothing has changed for so long */
	AT_MOST_MS = 300000, /* or this long after the last time */
	PATH_BYTES = 4096
};

enum { TOKEN_HEX = ID_HEX };

static void folder_of(const struct croft *c, int64_t number, char out[PATH_BYTES])
{
	snprintf(out, PATH_BYTES, "%s/collections/%lld", croft_home(c), (long long)number);
}

static void file_of(
	const struct collection *k, const char *token, size_t space, char out[PATH_BYTES])
{
	char folder[PATH_BYTES - 64];
	snprintf(folder, sizeof folder, "%s/collections/%lld", croft_home(k->c),
		(long long)k->number);
	snprintf(out, PATH_BYTES, "%s/%s.%zu", folder, token, space);
}

/* ---- which data directory this is ---- */

/* Read or made when it is first needed: most commands need no collection. */
static enum err know_host(struct croft *c, struct errtext *et)
{
	struct collections *all = collections_of(c);
	char path[PATH_BYTES];
	enum err e = OK;
	snprintf(path, sizeof path, "%s/collections", croft_home(c));
	pthread_mutex_lock(&all->mu);
	if (!all->host[0])
		e = index_dir_host(path, all->host, et);
	pthread_mutex_unlock(&all->mu);
	return e;
}

/* ---- files ---- */

static void remove_others(const struct collection *k, const char *token)
{
	char folder[PATH_BYTES];
	folder_of(k->c, k->number, folder);
	index_dir_keep(folder, &token, 1);
}

/* ---- loading ---- */

static bool fits(const struct layout *l, size_t s)
{
	return vindex_opened(l->index[s])->dim == l->spaces[s].dim &&
	       vindex_opened(l->index[s])->metric == shelf_metric(&l->spaces[s]);
}

bool snapshot_load(struct collection *k, struct tx *tx, const struct collection_row *row)
{
	char token[TOKEN_HEX + 1], path[PATH_BYTES];
	struct errtext et = {0};
	int64_t mark = 0;
	uint64_t found;
	if (know_host(k->c, &et) ||
		store_snapshot(tx, k->number, collections_of(k->c)->host, token, &mark, &et) ||
		mark > row->seq || mark < row->graves_seq)
		return false;
	struct layout *l = atomic_load(&k->layout);
	layout_clear(k);
	for (size_t s = 0; s < l->n; s++) {
		if (!space_lives(&l->spaces[s]) || l->spaces[s].since > mark || l->spaces[s].kind)
			continue; /* what is younger than the snapshot begins empty */
		file_of(k, token, s, path);
		if (vindex_open(path, NULL, true, &l->index[s], &found, &et) ||
			found != (uint64_t)mark || !fits(l, s)) {
			log_warn("the index of the collection %.*s is built anew: %s",
				STR_FMT(k->name), et.msg[0] ? et.msg : "it is another one's");
			layout_clear(k);
			return false;
		}
	}
	if (layout_indexes(l, &et)) {
		layout_clear(k);
		return false;
	}
	k->seq = k->saved_seq = mark;
	memcpy(k->token, token, sizeof token);
	remove_others(k, token);
	return true;
}

/* ---- saving ---- */

struct saved {
	struct collection *k;
	const char *token;
};

static enum err note(struct tx *tx, void *ctx, struct errtext *et)
{
	const struct saved *s = ctx;
	return store_snapshot_put(
		tx, s->k->number, collections_of(s->k->c)->host, s->token, s->k->seq, et);
}

/* Under k->write. */
static enum err save(struct collection *k, struct errtext *et)
{
	char token[TOKEN_HEX + 1], path[PATH_BYTES];
	struct saved s = {k, token};
	id_hex(id_new(), token);
	folder_of(k->c, k->number, path);
	enum err e = know_host(k->c, et);
	e = e ? e : os_mkdirs(path, et);
	const struct layout *l = layout_now(k);
	for (size_t i = 0; i < l->n && !e; i++) {
		file_of(k, token, i, path);
		e = l->index[i] ? vindex_save(l->index[i], path, (uint64_t)k->seq, et) : OK;
	}
	e = e ? e : db_write(croft_db(k->c), note, &s, et);
	remove_others(k, e ? k->token : token);
	if (e)
		return e;
	memcpy(k->token, token, sizeof token);
	k->saved_seq = k->seq;
	k->saved_ms = clock_unix_ms();
	return OK;
}

static bool worth_saving(struct collection *k, bool at_once)
{
	int64_t now = clock_unix_ms();
	if (k->backend->open || k->dropped || k->state != LOADED || k->seq == k->saved_seq ||
		collection_count(k) < WORTH_ITEMS)
		return false;
	return at_once || now - k->changed_ms > QUIET_MS || now - k->saved_ms > AT_MOST_MS;
}

void snapshot_keep(struct collection *k, bool at_once)
{
	struct errtext et = {0};
	pthread_mutex_lock(&k->write);
	if (worth_saving(k, at_once) && save(k, &et))
		log_warn("saving the index of the collection %.*s: %s", STR_FMT(k->name), et.msg);
	pthread_mutex_unlock(&k->write);
}

bool snapshot_is_kept(struct collection *k)
{
	return k->saved_seq == k->seq || collection_count(k) < WORTH_ITEMS;
}

void snapshot_forget(struct croft *c, int64_t number)
{
	char path[PATH_BYTES];
	folder_of(c, number, path);
	if (os_is_dir(path))
		(void)os_remove_tree(path, NULL);
}
