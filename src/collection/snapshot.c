/* Indexes on disk, so that opening a large collection does not make them anew.
 *
 * A snapshot is a set of files in the data directory: collections/NUMBER/TOKEN.WHAT, where WHAT is
 * the place of a space (plain vectors, sparse ones, lists), `words`, `payloads` or `ids`. Changes
 * go on while they are written: each file has all changes up to `mark`, and perhaps some of the
 * later ones. Opening puts all later ones in once more from the database, which leaves the same as
 * putting them in once. A row says which token is this data directory's present one: a database
 * that was restored from a backup names an older token, whose files are gone, and so never meets an
 * index of changes that it does not know. A file that is damaged or gone only costs the time to
 * read what it had from the rows. */
#include "collection/collection_int.h"
#include "collection/ids_file.h"
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

static void file_named(
	const struct collection *k, const char *token, const char *what, char out[PATH_BYTES])
{
	char folder[PATH_BYTES - 64];
	snprintf(folder, sizeof folder, "%s/collections/%lld", croft_home(k->c),
		(long long)k->number);
	snprintf(out, PATH_BYTES, "%s/%s.%s", folder, token, what);
}

static void file_of(
	const struct collection *k, const char *token, size_t space, char out[PATH_BYTES])
{
	char what[24];
	snprintf(what, sizeof what, "%zu", space);
	file_named(k, token, what, out);
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

/* The spaces of plain vectors. */
static bool load_plain(struct collection *k, struct layout *l, const char *token, int64_t mark)
{
	char path[PATH_BYTES];
	struct errtext et = {0};
	uint64_t found;
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
	if (!layout_indexes(l, &et))
		return true;
	layout_clear(k);
	return false;
}

static void tell_lack(const struct collection *k, const char *what, const struct errtext *et)
{
	log_warn("%s of the collection %.*s: read from its items: %s", what, STR_FMT(k->name),
		et->msg[0] ? et->msg : "another one's file");
}

/* What stands beside the plain vectors, each by itself. */
struct beside {
	struct collection *k;
	const char *token;
	int64_t mark;
	uint64_t max_num;
	struct ids_file ids;
	struct snapshot_lacks *lacks;
};

static void load_ids(struct beside *x)
{
	char path[PATH_BYTES];
	struct errtext et = {0};
	struct buf b = {0};
	file_named(x->k, x->token, "ids", path);
	enum err e = os_read_file(path, SIZE_MAX / 2, &b, &et);
	e = e ? e : ids_file_read(buf_str(&b), x->max_num, &x->ids, &et);
	buf_free(&b);
	if (!e && x->ids.mark == (uint64_t)x->mark) {
		shelf_ids_take(x->k, &x->ids);
		return;
	}
	ids_file_free(&x->ids);
	x->lacks->ids = true;
	tell_lack(x->k, "the ids", &et);
}

static void load_payloads(struct beside *x)
{
	char path[PATH_BYTES];
	struct errtext et = {0};
	uint64_t found = 0;
	file_named(x->k, x->token, "payloads", path);
	if (!fields_open(x->k->fields, path, S(""), x->max_num, &found, &et) &&
		found == (uint64_t)x->mark)
		return;
	x->lacks->payloads = true;
	tell_lack(x->k, "the index of payloads", &et);
}

static void load_words(struct beside *x)
{
	char path[PATH_BYTES];
	struct errtext et = {0};
	file_named(x->k, x->token, "words", path);
	if (!x->k->keyword || !keyword_open(x->k, path, x->max_num, x->mark, &et))
		return;
	x->lacks->words = true;
	tell_lack(x->k, "the index of words", &et);
}

static void load_kinds(struct beside *x, const struct layout *l)
{
	char path[PATH_BYTES];
	for (size_t s = 0; s < l->n; s++) {
		struct errtext et = {0};
		if (!x->k->kinds[s] || l->spaces[s].since > x->mark)
			continue;
		file_of(x->k, x->token, s, path);
		if (kinds_open(x->k, s, path, x->max_num, &x->ids.lists[s], x->mark, &et)) {
			x->lacks->kinds |= UINT32_C(1) << s;
			tell_lack(x->k, "sparse vectors or lists", &et);
		}
	}
}

bool snapshot_load(struct collection *k, struct tx *tx, const struct collection_row *row,
	struct snapshot_lacks *lacks)
{
	char token[TOKEN_HEX + 1];
	struct errtext et = {0};
	int64_t mark = 0;
	*lacks = (struct snapshot_lacks){0};
	if (know_host(k->c, &et) ||
		store_snapshot(tx, k->number, collections_of(k->c)->host, token, &mark, &et) ||
		mark > row->seq || mark < row->graves_seq)
		return false;
	struct layout *l = atomic_load(&k->layout);
	struct beside x = {.k = k,
		.token = token,
		.mark = mark,
		.max_num = (uint64_t)row->next_num - 1,
		.lacks = lacks};
	/* What a loading that failed has left is not to mix with it. */
	fields_free(k->fields);
	k->fields = NULL;
	kinds_clear(k);
	if (!load_plain(k, l, token, mark))
		return false;
	if (fields_new(NULL, &k->fields, &et) || kinds_new(k, &et)) {
		layout_clear(k);
		return false;
	}
	load_ids(&x);
	load_payloads(&x);
	load_words(&x);
	load_kinds(&x, l);
	ids_file_free(&x.ids);
	bool whole = !lacks->ids && !lacks->payloads && !lacks->words && !lacks->kinds;
	k->seq = mark;
	k->saved_seq = whole ? mark : -1; /* to be saved again */
	memcpy(k->token, token, sizeof token);
	remove_others(k, token);
	return true;
}

/* ---- saving ---- */

struct saving {
	struct collection *k;
	const struct layout *l; /* pinned */
	int64_t mark;
	char token[TOKEN_HEX + 1];
};

static enum err note(struct tx *tx, void *ctx, struct errtext *et)
{
	const struct saving *s = ctx;
	return store_snapshot_put(
		tx, s->k->number, collections_of(s->k->c)->host, s->token, s->mark, et);
}

static enum err save_spaces(const struct saving *s, struct errtext *et)
{
	char path[PATH_BYTES];
	enum err e = OK;
	for (size_t i = 0; i < s->l->n && !e; i++) {
		file_of(s->k, s->token, i, path);
		if (s->l->index[i])
			e = vindex_save(s->l->index[i], path, (uint64_t)s->mark, et);
		else if (s->k->kinds[i])
			e = kinds_save(s->k, i, path, s->mark, et);
	}
	return e;
}

/* The ids come last: with the counts of lists whose vectors are in their file already. */
static enum err save_beside(const struct saving *s, struct errtext *et)
{
	char path[PATH_BYTES];
	struct buf ids = {0};
	bool none;
	file_named(s->k, s->token, "payloads", path);
	enum err e = fields_save(s->k->fields, path, (uint64_t)s->mark, S(""), et);
	file_named(s->k, s->token, "words", path);
	e = e ? e : keyword_save(s->k, path, s->mark, &none, et);
	e = e ? e : shelf_ids_write(s->k, s->mark, &ids, et);
	file_named(s->k, s->token, "ids", path);
	e = e ? e : os_write_atomic(path, buf_str(&ids), et);
	buf_free(&ids);
	return e;
}

static bool worth_keeping(struct collection *k)
{
	return collection_count(k) + kinds_rows(k) >= WORTH_ITEMS;
}

static bool worth_saving(struct collection *k, bool at_once)
{
	int64_t now = clock_unix_ms();
	if (k->backend->open || k->dropped || k->state != LOADED || k->seq == k->saved_seq ||
		!worth_keeping(k))
		return false;
	return at_once || now - k->changed_ms > QUIET_MS || now - k->saved_ms > AT_MOST_MS;
}

/* Fixes what is to be saved: from here on changes go on. */
static bool begin(struct saving *s, bool at_once)
{
	struct collection *k = s->k;
	struct collections *all = collections_of(k->c);
	pthread_mutex_lock(&k->write);
	bool yes = worth_saving(k, at_once);
	if (yes) {
		s->mark = k->seq;
		k->saved_ms = clock_unix_ms();
		pthread_mutex_lock(&all->mu);
		yes = !layout_pin(k, NULL);
		pthread_mutex_unlock(&all->mu);
	}
	pthread_mutex_unlock(&k->write);
	s->l = yes ? layout_of(k) : NULL;
	return yes;
}

static void end(const struct saving *s, bool saved)
{
	struct collection *k = s->k;
	struct collections *all = collections_of(k->c);
	pthread_mutex_lock(&k->write);
	if (saved) {
		memcpy(k->token, s->token, sizeof k->token);
		k->saved_seq = s->mark;
	}
	pthread_mutex_lock(&all->mu);
	layout_unpin(k);
	bool dropped = k->dropped;
	pthread_mutex_unlock(&all->mu);
	remove_others(k, k->token);
	pthread_mutex_unlock(&k->write);
	if (dropped) /* perhaps after its folder was removed */
		snapshot_forget(k->c, k->number);
}

/* One thread at a time saves: the keeper, or whoever ends the instance after it. */
void snapshot_keep(struct collection *k, bool at_once)
{
	struct saving s = {.k = k};
	struct errtext et = {0};
	char path[PATH_BYTES];
	if (!begin(&s, at_once))
		return;
	id_hex(id_new(), s.token);
	folder_of(k->c, k->number, path);
	enum err e = know_host(k->c, &et);
	e = e ? e : os_mkdirs(path, &et);
	e = e ? e : save_spaces(&s, &et);
	e = e ? e : save_beside(&s, &et);
	e = e ? e : db_write(croft_db(k->c), note, &s, &et);
	end(&s, !e);
	if (e)
		log_warn("saving the index of the collection %.*s: %s", STR_FMT(k->name), et.msg);
}

bool snapshot_is_kept(struct collection *k)
{
	return k->saved_seq == k->seq || !worth_keeping(k);
}

void snapshot_forget(struct croft *c, int64_t number)
{
	char path[PATH_BYTES];
	folder_of(c, number, path);
	if (os_is_dir(path))
		(void)os_remove_tree(path, NULL);
}
