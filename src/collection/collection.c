/* Collections by name: made, listed, opened once for all who use them, deleted. */
#include "collection/alias.h"
#include "collection/asof.h"
#include "collection/bulk.h"
#include "collection/jobs.h"
#include "collection/traffic.h"
#include "collection/map_int.h"
#include "collection/version_int.h"
#include "collection/held.h"
#include "collection/migrate_int.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>

enum { SWEEP_ITEMS = 2000 }; /* of one transaction */

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a collection");
}

struct collections *collections_of(struct croft *c)
{
	return croft_state(c, &collection_module);
}

size_t collection_spaces(const struct collection *k, const struct space **out)
{
	const struct layout *l = layout_of(k);
	*out = l->spaces;
	return l->n;
}

const struct space *collection_space(const struct collection *k, struct str name)
{
	const struct layout *l = layout_of(k);
	for (size_t i = 0; i < l->n; i++)
		if (str_eq(l->spaces[i].name, name) && space_lives(&l->spaces[i]))
			return &l->spaces[i];
	return NULL;
}

/* ---- making ---- */

static enum err check_name(struct str name, const char *of, struct errtext *et)
{
	bool bad = name.n > COLLECTION_NAME_MAX || !utf8_valid(name);
	for (size_t i = 0; i < name.n; i++)
		bad |= (unsigned char)name.p[i] < 0x20 || strchr("/\\:*?\"<>|", name.p[i]);
	return bad ? err_set(et, ERR_INVALID,
			     "a name of %s has 1 to %d bytes of UTF-8 and none of / \\ : * ? \" < "
			     "> |",
			     of, COLLECTION_NAME_MAX)
		   : OK;
}

static enum err check_spaces(const struct space *s, size_t n, struct errtext *et)
{
	if (!n || n > COLLECTION_SPACES_MAX)
		return err_set(et, ERR_INVALID, "a collection has 1 to %d kinds of vectors",
			COLLECTION_SPACES_MAX);
	for (size_t i = 0; i < n; i++) {
		enum err e = check_name(s[i].name, "a kind of vectors", et);
		if (e)
			return e;
		if (!s[i].dim || s[i].dim > COLLECTION_DIM_MAX)
			return err_set(et, ERR_INVALID,
				"vectors \"%.*s\": a size of %u; 1 to %d are possible",
				STR_FMT(s[i].name), s[i].dim, COLLECTION_DIM_MAX);
		for (size_t j = 0; j < i; j++)
			if (str_eq(s[i].name, s[j].name))
				return err_set(et, ERR_INVALID, "two kinds of vectors \"%.*s\"",
					STR_FMT(s[i].name));
	}
	return OK;
}

int64_t collection_number(void)
{
	uint64_t v;
	random_bytes(&v, sizeof v);
	return (int64_t)(v >> 14) + 1; /* 50 bits: exact in JSON and short in an index */
}

struct creating {
	struct croft *c;
	struct collection_row row;
	const struct backend *backend;
	const struct space *spaces;
	size_t n;
};

static enum err add_in(struct tx *tx, void *ctx, struct errtext *et)
{
	const struct creating *x = ctx;
	enum err e = store_collection_add(tx, &x->row, et);
	return e || !x->backend->make ? e
				      : x->backend->make(x->c, tx, &x->row, x->spaces, x->n, et);
}

enum err collection_name_check(struct str name, struct errtext *et)
{
	return name.n ? check_name(name, "a collection", et)
		      : err_set(et, ERR_INVALID, "a collection needs a name");
}

enum err collection_create(struct croft *c, struct str project, struct str name,
	const struct space *spaces, size_t n, struct errtext *et)
{
	return collection_create_in(c, project, name, spaces, n, S(""), et);
}

enum err collection_create_in(struct croft *c, struct str project, struct str name,
	const struct space *spaces, size_t n, struct str backend, struct errtext *et)
{
	const struct backend *be = NULL;
	struct buf config = {0};
	struct arena *a = arena_new(0);
	struct space *settled = a ? arena_array_of(a, n + 1, struct space) : NULL;
	enum err e = !settled ? no_memory(et) : collection_name_check(name, et);
	for (size_t i = 0; i < n && !e; i++) {
		settled[i] = spaces[i];
		settled[i].place = settled[i].twin = (uint8_t)i;
		settled[i].role = SPACE_NAMED;
		settled[i].since = 0;
		settled[i].field = S("");
		e = spaces[i].model.n ? space_settle(c, &settled[i], a, et) : OK;
	}
	e = e ? e : check_spaces(settled, n, et);
	e = e ? e : backend_choose(c, backend, &be, et);
	if (!e)
		config_write(settled, n, &config);
	int64_t now = clock_unix_ms();
	struct creating x = {.c = c,
		.row = {.number = collection_number(),
			.project = project,
			.name = name,
			.config = buf_str(&config),
			.backend = be == &backend_embedded || !be ? S("") : str_c(be->name),
			.next_num = 1,
			.created_ms = now,
			.updated_ms = now},
		.backend = be,
		.spaces = settled,
		.n = n};
	e = e ? e : config.err ? no_memory(et) : db_write(croft_db(c), add_in, &x, et);
	buf_free(&config);
	arena_free(a);
	return e;
}

/* ---- listing ---- */

static enum err backend_of(
	const struct collection_row *r, const struct backend **out, struct errtext *et)
{
	*out = backend_find(r->backend);
	return *out ? OK
		    : err_set(et, ERR_CORRUPT,
			      "the collection %.*s is kept in %.*s, which this version does not "
			      "know",
			      STR_FMT(r->name), STR_FMT(r->backend));
}

static enum err to_info(struct tx *tx, const struct collection_row *r, struct arena *a,
	struct collection_info *out, struct errtext *et)
{
	const struct backend *b;
	enum err e = backend_of(r, &b, et);
	if (e)
		return e;
	*out = (struct collection_info){.name = r->name,
		.items = r->items,
		.seq = r->seq,
		.created_ms = r->created_ms,
		.updated_ms = r->updated_ms,
		.backend = b->name,
		.lazy = !r->next_num};
	size_t n = 0, kept = 0;
	e = config_read(r->config, a, &out->spaces, &n, et);
	for (size_t i = 0; i < n && !e; i++)
		if (out->spaces[i].role == SPACE_NAMED)
			out->spaces[kept++] = out->spaces[i];
	out->n_spaces = kept;
	e = e ? e : store_aliases_of(tx, r->number, a, &out->aliases, &out->n_aliases, et);
	return e ? e : store_keyword(tx, r->number, a, &out->keyword, et);
}

static int by_name(const void *a, const void *b)
{
	const struct collection_row *x = a, *y = b;
	return str_cmp(x->name, y->name);
}

enum err collection_list(struct croft *c, struct str project, struct arena *a,
	struct collection_info **out, size_t *n, struct errtext *et)
{
	struct tx *tx;
	struct collection_row *rows = NULL;
	size_t k = 0;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = store_collections(tx, project, a, &rows, &k, et);
	struct collection_info *list = arena_array_of(a, k + 1, struct collection_info);
	if (!e && !list)
		e = no_memory(et);
	if (!e && k)
		qsort(rows, k, sizeof *rows, by_name);
	for (size_t i = 0; i < k && !e; i++)
		e = to_info(tx, &rows[i], a, &list[i], et);
	db_rollback(tx);
	if (!e) {
		*out = list;
		*n = k;
	}
	return e;
}

static enum err find_row(struct croft *c, struct str project, struct str name, struct arena *a,
	struct collection_row *out, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = store_collection_by_name(tx, project, name, a, out, et);
	db_rollback(tx);
	return e;
}

enum err collection_find(struct croft *c, struct str project, struct str name, struct arena *a,
	struct collection_info *out, struct errtext *et)
{
	struct collection_row r;
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = store_collection_by_name(tx, project, name, a, &r, et);
	e = e ? e : to_info(tx, &r, a, out, et);
	db_rollback(tx);
	return e;
}

/* ---- deleting ---- */

struct dropping {
	struct str project, name;
	struct arena *a;
	int64_t number;
};

static enum err drop_in(struct tx *tx, void *ctx, struct errtext *et)
{
	struct dropping *d = ctx;
	struct collection_row r;
	char text[24];
	enum err e = store_collection_by_name(tx, d->project, d->name, d->a, &r, et);
	if (e)
		return e;
	if (!str_eq(r.name, d->name))
		return err_set(et, ERR_CONFLICT,
			"%.*s is an alias of the collection %.*s: delete the alias, or the "
			"collection by its own name",
			STR_FMT(d->name), STR_FMT(r.name));
	d->number = r.number;
	e = store_collection_drop(tx, r.number, et);
	snprintf(text, sizeof text, "%lld", (long long)r.number);
	return e ? e : db_notify(tx, COLLECTION_CHANNEL, str_c(text), et);
}

struct sweeping {
	int64_t number;
	bool more;
};

static enum err sweep_in(struct tx *tx, void *ctx, struct errtext *et)
{
	struct sweeping *s = ctx;
	return store_collection_sweep(tx, s->number, SWEEP_ITEMS, &s->more, et);
}

enum err collections_sweep(struct croft *c, int64_t number, struct errtext *et)
{
	struct sweeping s = {number, true};
	enum err e = backend_pgvector.forget(c, number, et);
	while (!e && s.more && !cancelled(croft_stopping(c)))
		e = db_write(croft_db(c), sweep_in, &s, et);
	return e;
}

void collection_gone(struct croft *c, int64_t number)
{
	struct errtext swept;
	collections_forget(c, number);
	snapshot_forget(c, number);
	if (collections_sweep(c, number, &swept))
		log_warn("sweeping a deleted collection: %s", swept.msg);
}

/* It is gone with the first transaction; what is left of its rows is nobody's, and if sweeping is
 * interrupted the next start goes on with it. */
enum err collection_delete(struct croft *c, struct str project, struct str name, struct errtext *et)
{
	struct dropping d = {project, name, arena_new(0), 0};
	enum err e = d.a ? db_write(croft_db(c), drop_in, &d, et) : no_memory(et);
	arena_free(d.a);
	if (!e)
		collection_gone(c, d.number);
	return e;
}

static void *sweep_left(void *arg)
{
	struct croft *c = arg;
	struct arena *a = arena_new(0);
	struct errtext et = {0};
	struct tx *tx;
	int64_t *numbers = NULL;
	size_t n = 0;
	enum err e = a ? db_begin(croft_db(c), TX_READ, &tx, &et) : ERR_NOMEM;
	if (!e) {
		e = store_collections_dropped(tx, a, &numbers, &n, &et);
		db_rollback(tx);
	}
	for (size_t i = 0; i < n && !e; i++)
		e = collections_sweep(c, numbers[i], &et);
	if (e)
		log_warn("sweeping deleted collections: %s", err_text(e, &et));
	arena_free(a);
	return NULL;
}

/* ---- the open ones ---- */

static void free_collection(struct collection *k)
{
	if (!k)
		return;
	if (k->asof)
		asof_end(k);
	shelf_clear(k);
	recall_free(atomic_load(&k->recall));
	pthread_mutex_destroy(&k->write);
	pthread_rwlock_destroy(&k->lock);
	arena_free(k->arena);
	free(k);
}

static void key_of(int64_t number, char out[24])
{
	snprintf(out, 24, "%lld", (long long)number);
}

/* Under mu. */
static void unuse(struct collection *k)
{
	if (!--k->users && k->dropped)
		free_collection(k);
}

void collection_close(struct collection *k)
{
	if (!k)
		return;
	struct collections *all = collections_of(k->c);
	pthread_mutex_lock(&all->mu);
	layout_unpin(k);
	k->used_ms = clock_unix_ms();
	unuse(k);
	pthread_mutex_unlock(&all->mu);
}

/* What take_open gave. */
void let_go(struct collection *k)
{
	struct collections *all = collections_of(k->c);
	pthread_mutex_lock(&all->mu);
	unuse(k);
	pthread_mutex_unlock(&all->mu);
}

void collections_forget_open(struct collection *k)
{
	char key[24];
	key_of(k->number, key);
	map_del(&collections_of(k->c)->by_number, str_c(key));
	k->dropped = true;
}

/* Under mu; it is not in the map any more. */
static void drop(struct collection *k)
{
	k->dropped = true;
	k->users++;
	unuse(k);
}

void collections_forget(struct croft *c, int64_t number)
{
	struct collections *all = collections_of(c);
	char key[24];
	key_of(number, key);
	pthread_mutex_lock(&all->mu);
	struct collection *k = map_del(&all->by_number, str_c(key));
	if (k)
		drop(k);
	pthread_mutex_unlock(&all->mu);
}

void collections_end(struct collection *k)
{
	free_collection(k);
}

enum err collections_begin(struct croft *c, struct collection *k, struct str project,
	struct str name, struct str config, struct errtext *et)
{
	k->c = c;
	k->backend = &backend_embedded;
	pthread_mutex_init(&k->write, NULL);
	pthread_rwlock_init(&k->lock, NULL);
	k->arena = arena_new(0);
	if (!k->arena)
		return no_memory(et);
	k->project = arena_str(k->arena, project);
	k->name = arena_str(k->arena, name);
	return k->project.p && k->name.p ? layout_first(k, config, et) : no_memory(et);
}

static enum err make(struct croft *c, const struct collection_row *r, struct collection **out,
	struct errtext *et)
{
	struct collection *k = calloc(1, sizeof *k);
	if (!k)
		return no_memory(et);
	k->number = r->number;
	k->state = LOADING;
	enum err e = collections_begin(c, k, r->project, r->name, r->config, et);
	e = e ? e : backend_of(r, &k->backend, et);
	if (e)
		free_collection(k);
	else
		*out = k;
	return e;
}

/* What another server changes while it is loaded may be missing in what was read: stale. */
static enum err load_whole(struct collections *all, struct collection *k,
	const struct cancel *cancel, struct errtext *et)
{
	enum err e = shelf_load(k, cancel, et);
	pthread_mutex_lock(&all->mu);
	while (!e && k->stale) {
		k->stale = false;
		pthread_mutex_unlock(&all->mu);
		e = shelf_follow(k, et);
		pthread_mutex_lock(&all->mu);
	}
	k->state = e ? FAILED : LOADED;
	pthread_cond_broadcast(&all->loaded);
	pthread_mutex_unlock(&all->mu);
	return e;
}

/* Loads it for all who wait. Under mu, which is let go meanwhile. */
static enum err load(struct collections *all, struct collection *k, const struct cancel *cancel,
	struct errtext *et)
{
	pthread_mutex_unlock(&all->mu);
	pthread_mutex_lock(&k->write);
	enum err e = load_whole(all, k, cancel, et);
	pthread_mutex_unlock(&k->write);
	pthread_mutex_lock(&all->mu);
	return e;
}

/* Who finds that loading has failed (it was cancelled, memory was out) tries again. */
static enum err await_loaded(struct collections *all, struct collection *k,
	const struct cancel *cancel, struct errtext *et)
{
	while (k->state == LOADING)
		pthread_cond_wait(&all->loaded, &all->mu);
	if (k->state == LOADED)
		return OK;
	k->state = LOADING;
	return load(all, k, cancel, et);
}

static enum err open_row(struct croft *c, const struct collection_row *r, struct collection **out,
	const struct cancel *cancel, struct errtext *et)
{
	struct collections *all = collections_of(c);
	char key[24];
	key_of(r->number, key);
	enum err e = OK;
	pthread_mutex_lock(&all->mu);
	struct collection *k = map_get(&all->by_number, str_c(key));
	if (k && k->backend != backend_find(r->backend)) { /* it was moved */
		map_del(&all->by_number, str_c(key));
		drop(k);
		k = NULL;
	}
	bool fresh = !k;
	if (fresh) {
		e = make(c, r, &k, et);
		if (!e && !map_put(&all->by_number, str_c(key), k)) {
			free_collection(k);
			e = no_memory(et);
		}
	}
	if (!e) {
		k->users++;
		e = fresh ? load(all, k, cancel, et) : await_loaded(all, k, cancel, et);
		e = e ? e : layout_pin(k, et);
		k->used_ms = clock_unix_ms();
		if (e)
			unuse(k);
	}
	pthread_mutex_unlock(&all->mu);
	if (!e)
		*out = k;
	return e;
}

/* While its index is made it is read from its version, as long as it is that. */
static bool still_version(struct croft *c, const struct collection_row *r, struct arena *a)
{
	struct vlive x;
	return refill_busy(c, r->number, NULL) &&
	       !version_live_now(c, r->project, r->name, a, &x, NULL) &&
	       x.row.number == r->number && vlive_clean(&x);
}

enum err collection_open_filled(struct croft *c, struct str project, struct str name,
	struct collection **out, const struct cancel *cancel, struct errtext *et)
{
	struct collection_row r;
	struct arena *a = arena_new(0);
	enum err e = a ? find_row(c, project, name, a, &r, et) : no_memory(et);
	if (!e && (!r.next_num || still_version(c, &r, a)))
		*out = NULL;
	else if (!e)
		e = open_row(c, &r, out, cancel, et);
	arena_free(a);
	return e;
}

enum err collection_open(struct croft *c, struct str project, struct str name,
	struct collection **out, const struct cancel *cancel, struct errtext *et)
{
	struct collection *k = NULL;
	enum err e = collection_open_filled(c, project, name, &k, cancel, et);
	if (!e && !k) {
		e = version_fill(c, project, name, cancel, et);
		e = e ? e : collection_open_filled(c, project, name, &k, cancel, et);
		if (!e && !k) /* it was deleted, and another copy has its name */
			e = err_set(
				et, ERR_BUSY, "the collection has just been replaced: try again");
	}
	if (!e)
		*out = k;
	return e;
}

enum err collection_open_number(struct croft *c, int64_t number, struct collection **out,
	const struct cancel *cancel, struct errtext *et)
{
	struct collection_row r;
	struct tx *tx = NULL;
	struct arena *a = arena_new(0);
	enum err e = a ? db_begin(croft_db(c), TX_READ, &tx, et) : no_memory(et);
	e = e ? e : store_collection_by_number(tx, number, a, &r, et);
	db_rollback(tx);
	e = e ? e : open_row(c, &r, out, cancel, et);
	arena_free(a);
	return e;
}

/* ---- following other servers ---- */

struct collection *take_open(struct collections *all, struct str number)
{
	pthread_mutex_lock(&all->mu);
	struct collection *k = map_get(&all->by_number, number);
	bool ready = k && k->state == LOADED;
	if (ready)
		k->users++;
	else if (k)
		k->stale = true;
	pthread_mutex_unlock(&all->mu);
	return ready ? k : NULL;
}

void let_go_pinned(struct collection *k)
{
	struct collections *all = collections_of(k->c);
	pthread_mutex_lock(&all->mu);
	layout_unpin(k);
	unuse(k);
	pthread_mutex_unlock(&all->mu);
}

struct collection *take_pinned(struct collections *all, struct str number)
{
	struct collection *k = take_open(all, number);
	if (!k)
		return NULL;
	pthread_mutex_lock(&all->mu);
	enum err e = layout_pin(k, NULL);
	if (e)
		unuse(k);
	pthread_mutex_unlock(&all->mu);
	return e ? NULL : k;
}

static enum err follow_one(struct croft *c, struct str number, struct errtext *et)
{
	struct collection *k = take_open(collections_of(c), number);
	if (!k)
		return OK;
	pthread_mutex_lock(&k->write);
	enum err e = shelf_follow(k, et);
	pthread_mutex_unlock(&k->write);
	if (e == ERR_NOT_FOUND || k->moved) {
		collections_forget(c, k->number);
		e = OK;
	}
	let_go(k);
	return e;
}

/* Their numbers, each in a line. */
void list_open(struct collections *all, struct buf *keys)
{
	struct str key;
	void *value;
	pthread_mutex_lock(&all->mu);
	for (size_t i = 0; map_next(&all->by_number, &i, &key, &value);) {
		buf_adds(keys, key);
		buf_putc(keys, '\n');
	}
	pthread_mutex_unlock(&all->mu);
}

/* All that are open: some notices were missed. */
static enum err follow_all(struct croft *c, struct errtext *et)
{
	struct buf keys = {0};
	list_open(collections_of(c), &keys);
	struct str rest = buf_str(&keys), line;
	enum err e = keys.err;
	while (!e && str_next(&rest, '\n', &line))
		e = follow_one(c, line, et);
	buf_free(&keys);
	return e;
}

static enum err follow(void *ctx, const struct notice *n, struct errtext *et)
{
	struct croft *c = ctx;
	if (n->own)
		return OK;
	return n->text.p ? follow_one(c, n->text, et) : follow_all(c, et);
}

/* ---- saving what is open ---- */

void collections_each(struct croft *c, void (*fn)(struct collection *k))
{
	struct collections *all = collections_of(c);
	struct buf keys = {0};
	struct str rest, line;
	list_open(all, &keys);
	rest = buf_str(&keys);
	while (str_next(&rest, '\n', &line) && !cancelled(croft_stopping(c))) {
		struct collection *k = line.n ? take_open(all, line) : NULL;
		if (k) {
			fn(k);
			let_go(k);
		}
	}
	buf_free(&keys);
}

static void keep_one(struct collection *k)
{
	snapshot_keep(k, false);
	memory_evict(k);
}

static void tend_one(struct collection *k)
{
	if (k->backend->tend)
		k->backend->tend(k);
}

/* fn for all that are open, each second; the keeper also keeps what was counted. */
static void each_second(struct croft *c, void (*fn)(struct collection *k), bool keeper)
{
	enum { NAP_MS = 100, NAPS = 10 };
	for (unsigned nap = 0; !cancelled(croft_stopping(c)); nap++) {
		clock_sleep_ms(NAP_MS);
		if (nap % NAPS == NAPS - 1)
			collections_each(c, fn);
		if (keeper && nap % NAPS == 0)
			traffic_write(c, false);
	}
}

static void *tend_all(void *arg)
{
	each_second(arg, tend_one, false);
	return NULL;
}

static void *keep_saved(void *arg)
{
	each_second(arg, keep_one, true);
	return NULL;
}

/* ---- the module's life ---- */

enum err collections_init(struct croft *c, struct errtext *et)
{
	struct collections *all = calloc(1, sizeof *all);
	if (!all)
		return no_memory(et);
	pthread_mutex_init(&all->mu, NULL);
	pthread_mutex_init(&all->team_mu, NULL);
	pthread_cond_init(&all->loaded, NULL);
	croft_set_state(c, &collection_module, all);
	enum err e = maps_new(&all->maps, et);
	e = e ? e : traffic_new(&all->traffic, et);
	e = e ? e : versions_new(&all->versions, et);
	e = e ? e : asofs_new(c, &all->asofs, et);
	e = e ? e : refills_new(c, &all->refills, et);
	return e ? e : curations_new(&all->curations, et);
}

enum err collections_start(struct croft *c, struct errtext *et)
{
	struct collections *all = collections_of(c);
	struct tx *tx;
	int64_t seq = 0;
	enum err e = cpu_count() > 1 ? kern_team_new(cpu_count(), &all->team, et) : OK;
	e = e ? e : db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = notify_seq(tx, COLLECTION_CHANNEL, &seq, et);
	db_rollback(tx);
	if (!e)
		e = notify_watch(croft_db(c), COLLECTION_CHANNEL, seq, follow, c, &all->watch, et);
	if (!e && db_alone(croft_db(c))) {
		e = thread_start(&all->sweeper, sweep_left, c, "sweep", et);
		all->sweeping = !e;
	}
	e = e ? e : migrate_start(c, et);
	e = e ? e : bulk_start(c, et);
	e = e ? e : shadow_start(c, et);
	e = e ? e : recall_start(c, et);
	e = e ? e : asofs_start(all->asofs, et);
	e = e ? e : refills_start(all->refills, et);
	if (!e) {
		e = thread_start(&all->keeper, keep_saved, c, "collections", et);
		all->keeping = !e;
	}
	if (!e && db_is(croft_db(c), "postgres")) {
		e = thread_start(&all->tender, tend_all, c, "collections", et);
		all->tending = !e;
	}
	return e;
}

void collections_stop(struct croft *c)
{
	struct collections *all = collections_of(c);
	struct str key;
	void *value;
	refills_stop(all->refills);
	asofs_stop(all->asofs);
	jobs_free(all->maps);
	traffic_write(c, true);
	traffic_free(all->traffic);
	jobs_free(all->curations);
	bulk_stop(c);
	migrate_stop(c);
	shadow_stop(c);
	recall_stop(c);
	notify_unwatch(all->watch);
	if (all->sweeping)
		pthread_join(all->sweeper, NULL);
	if (all->keeping)
		pthread_join(all->keeper, NULL);
	if (all->tending)
		pthread_join(all->tender, NULL);
	for (size_t i = 0; map_next(&all->by_number, &i, &key, &value);) {
		snapshot_keep(value, true);
		free_collection(value);
	}
	map_free(&all->by_number);
	asofs_free(all->asofs);
	refills_free(all->refills);
	versions_free(all->versions);
	kern_team_free(all->team);
	pthread_mutex_destroy(&all->team_mu);
	pthread_cond_destroy(&all->loaded);
	pthread_mutex_destroy(&all->mu);
	free(all);
}
