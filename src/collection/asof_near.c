/* Plain vectors of a version.
 *
 * Most of a version's items have the vectors that the live ones have: the lists of hashes say
 *which, without reading a vector. Those are found by the live index, which passes over all others
 *by a bitmap; the rest (items that have changed since, or have gone) are in a small index of the
 * version's own. Only where there is no live index of the same vectors (another model, a copy that
 * nobody has opened, a collection in pgvector) that one has all items.
 *
 *	near_make    lists side by side -> same/here/live; the others' records -> own
 *	steady       looks at the live change before and after; what others have changed meanwhile
 *	             goes to `own` first (near_sync), then it is done again */
#include "collection/asof_int.h"
#include "base/clock.h"
#include "base/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	AT_ONCE = 2048,
	QUICK_ITEMS = 8192, /* so many are taken in while somebody waits */
	FILE_ITEMS = 4096,  /* below, there is no graph to be saved */
	TRIES = 4,
	REFUSED_MS = 60000,
	PATH_BYTES = 4096,
};

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for the index of a version");
}

/* ---- its life ---- */

void near_init(struct near *x)
{
	pthread_mutex_init(&x->build, NULL);
	pthread_rwlock_init(&x->lock, NULL);
}

static void forget_live(struct near *x)
{
	free(x->same);
	free(x->here);
	free(x->live);
	x->same = NULL;
	x->here = x->live = NULL;
	x->n_bits = x->n_same = 0;
	x->number = 0;
}

void near_clear(struct near *x)
{
	forget_live(x);
	vindex_free(x->own);
	bitmap_free(&x->has);
	pthread_mutex_destroy(&x->build);
	pthread_rwlock_destroy(&x->lock);
}

uint64_t near_bytes(struct near *x)
{
	struct vindex_bytes own = {.total = 0};
	pthread_rwlock_rdlock(&x->lock);
	if (x->own)
		vindex_size(x->own, &own);
	uint64_t n = own.total + x->n_bits / 8 + x->n_bits * sizeof *x->here +
		     x->n_live * sizeof *x->live + bitmap_bytes(&x->has);
	pthread_rwlock_unlock(&x->lock);
	return n;
}

/* ---- files ---- */

static void folder_of(struct croft *c, char out[PATH_BYTES])
{
	snprintf(out, PATH_BYTES, "%s/collections/versions", croft_home(c));
}

static void file_of(const struct asof *x, const struct space *s, char out[PATH_BYTES])
{
	snprintf(out, PATH_BYTES, "%s/collections/versions/%s.%u", croft_home(x->k.c), x->v->digest,
		s->place);
}

static void load_file(struct asof *x, const struct space *s)
{
	struct near *n = &x->near[s->place];
	char path[PATH_BYTES];
	uint64_t mark = 0;
	struct errtext et;
	struct vindex *own = NULL;
	file_of(x, s, path);
	if (access(path, R_OK) || vindex_open(path, NULL, true, &own, &mark, &et))
		return;
	if (mark != x->v->n || vindex_opened(own)->dim != s->dim ||
		vindex_opened(own)->metric != shelf_metric(s)) {
		vindex_free(own);
		return;
	}
	(void)!utimensat(AT_FDCWD, path, NULL, 0); /* used just now */
	n->own = own;
}

static void save_file(struct asof *x, const struct space *s)
{
	char path[PATH_BYTES];
	struct errtext et;
	folder_of(x->k.c, path);
	enum err e = os_mkdirs(path, &et);
	file_of(x, s, path);
	e = e ? e : vindex_save(x->near[s->place].own, path, x->v->n, &et);
	if (e)
		log_warn("saving the index of a version of %.*s: %s", STR_FMT(x->k.name), et.msg);
	else
		asof_files_trim(x->k.c);
}

struct saved {
	char name[SHA256_HEX + 16];
	int64_t used_s, bytes;
};

static int longest_ago(const void *a, const void *b)
{
	const struct saved *x = a, *y = b;
	return x->used_s < y->used_s ? -1 : x->used_s > y->used_s;
}

static size_t list_files(const char *folder, struct saved *list, size_t max)
{
	DIR *d = opendir(folder);
	size_t n = 0;
	for (struct dirent *x; d && n < max && (x = readdir(d));) {
		char path[PATH_BYTES];
		struct stat st;
		if (x->d_name[0] == '.' || strlen(x->d_name) >= sizeof list->name)
			continue;
		snprintf(path, sizeof path, "%.2000s/%.255s", folder, x->d_name);
		if (stat(path, &st))
			continue;
		list[n] = (struct saved){.used_s = st.st_mtime, .bytes = st.st_size};
		snprintf(list[n++].name, sizeof list->name, "%.79s", x->d_name);
	}
	if (d)
		closedir(d);
	return n;
}

static void remove_files(struct croft *c, const char *beginning, int64_t limit)
{
	enum { FILES = 4096 };
	char folder[PATH_BYTES], path[PATH_BYTES + 256];
	struct saved *list = malloc(FILES * sizeof *list);
	int64_t bytes = 0;
	folder_of(c, folder);
	size_t n = list ? list_files(folder, list, FILES) : 0;
	if (n)
		qsort(list, n, sizeof *list, longest_ago);
	for (size_t i = 0; i < n; i++)
		bytes += list[i].bytes;
	for (size_t i = 0; i < n && bytes > limit; i++) {
		if (strncmp(list[i].name, beginning, strlen(beginning)))
			continue;
		snprintf(path, sizeof path, "%s/%s", folder, list[i].name);
		if (!unlink(path))
			bytes -= list[i].bytes;
	}
	free(list);
}

void asof_files_trim(struct croft *c)
{
	remove_files(c, "", setting_int(c, "collection.version_files"));
}

void asof_forget(struct croft *c, const char *digest)
{
	remove_files(c, digest, -1);
}

/* ---- which live vectors are the same ---- */

struct laying {
	struct asof *x;
	const struct version *head;
	int64_t head_seq;
	struct near *to;
	struct errtext *et;
};

static enum err lay_one(void *ctx, int64_t num, int64_t vec, struct str id, struct errtext *et)
{
	const struct laying *l = ctx;
	const struct version *v = l->x->v;
	struct near *n = l->to;
	const struct vitem *was = vec <= l->head_seq ? version_find(l->head, id) : NULL;
	const struct vitem *it = was ? version_find(v, id) : NULL;
	if (!it || memcmp(was->vectors, it->vectors, VERSION_SUM) || num < 0 ||
		(uint64_t)num >= n->n_bits)
		return OK;
	uint32_t at = (uint32_t)(it - v->items) + 1;
	n->same[num / 64] |= 1ull << num % 64;
	n->here[num] = at;
	n->live[at] = (uint32_t)num;
	n->n_same++;
	return OK;
}

static bool same_space(const struct space *a, const struct space *b)
{
	return a && a->role == SPACE_NAMED && !a->kind && !b->kind && a->place == b->place &&
	       a->dim == b->dim && a->distance == b->distance && str_eq(a->identity, b->identity);
}

static enum err lay_rows(struct asof *x, struct tx *tx, const struct vlive *live,
	const struct cancel *cancel, struct near *to, struct errtext *et)
{
	struct version *head = NULL;
	struct laying l = {.x = x, .head_seq = live->head.seq, .to = to};
	to->n_bits = ((uint64_t)live->row.next_num + 64) / 64 * 64;
	to->n_live = x->v->n + 1;
	to->same = calloc(to->n_bits / 64, sizeof *to->same);
	to->here = calloc(to->n_bits, sizeof *to->here);
	to->live = calloc(to->n_live, sizeof *to->live);
	if (!to->same || !to->here || !to->live)
		return no_memory(et);
	enum err e = version_load(x->k.c, live->head.digest.p, &head, cancel, et);
	l.head = head;
	e = e ? e : store_nums_since(tx, live->row.number, -1, lay_one, &l, et);
	version_put(x->k.c, head);
	to->number = live->row.number;
	to->synced = live->row.seq;
	return e;
}

/* Into `to`, as far as there is anything live that can be used. */
static enum err lay_over(struct asof *x, const struct space *s, struct near *to,
	const struct cancel *cancel, struct errtext *et)
{
	struct collection *live = NULL;
	struct vlive row;
	struct tx *tx = NULL;
	struct arena *a = arena_new(0);
	enum err e =
		!a ? no_memory(et)
		   : collection_open_filled(x->k.c, x->k.project, x->k.name, &live, cancel, et);
	const struct space *t = live ? collection_space(live, s->name) : NULL;
	if (!e && same_space(t, s) && !live->backend->open) {
		to->live_since = t->since;
		e = db_begin(croft_db(x->k.c), TX_READ, &tx, et);
		e = e ? e : version_live(tx, x->k.project, x->k.name, a, &row, et);
		if (!e && row.head.digest.n && row.row.number == live->number &&
			row.row.next_num < UINT32_MAX)
			e = lay_rows(x, tx, &row, cancel, to, et);
		db_rollback(tx);
	}
	collection_close(live);
	arena_free(a);
	return e == ERR_NOT_FOUND ? OK : e;
}

/* ---- an index of its own ---- */

struct taking {
	struct asof *x;
	const struct space *s;
	struct near *n;
	float *rows;
	uint64_t *keys;
	size_t got;
};

static enum err flush(struct taking *t, struct errtext *et)
{
	struct collections *all = collections_of(t->x->k.c);
	struct kern_team *team = t->got > 64 && all->team && !pthread_mutex_trylock(&all->team_mu)
					 ? all->team
					 : NULL;
	enum err e = t->got ? vindex_put(t->n->own, t->keys, t->rows, t->got, team, et) : OK;
	if (team)
		pthread_mutex_unlock(&all->team_mu);
	t->got = 0;
	return e;
}

static enum err take_record(
	struct taking *t, uint64_t num, const struct vrecord *r, struct errtext *et)
{
	const struct version *v = t->x->v;
	struct item_vector *list;
	size_t n;
	struct arena *a = arena_new(0);
	enum err e = a ? item_decode(r->vectors, v->spaces, v->n_spaces, a, &list, &n, et)
		       : no_memory(et);
	for (size_t i = 0; !e && i < n; i++)
		if (list[i].place == t->s->place) {
			memcpy(t->rows + t->got * t->s->dim, list[i].v,
				t->s->dim * sizeof *t->rows);
			t->keys[t->got++] = num;
		}
	arena_free(a);
	return e || t->got < AT_ONCE ? e : flush(t, et);
}

/* The records of those that `want` names, each pack read once. */
static enum err take_all(struct taking *t, const struct bitmap *want, const struct cancel *cancel,
	struct errtext *et)
{
	const struct version *v = t->x->v;
	struct vreader r = {.v = v};
	t->rows = malloc((size_t)AT_ONCE * t->s->dim * sizeof *t->rows);
	t->keys = malloc(AT_ONCE * sizeof *t->keys);
	enum err e = t->rows && t->keys ? OK : no_memory(et);
	for (size_t i = 0; i < v->n && want->count && !e; i++) {
		struct vrecord record;
		uint32_t at = v->order[i];
		if (!bitmap_has(want, at + 1ull))
			continue;
		e = cancelled(cancel) ? err_set(et, ERR_CANCELLED,
						"making the index of a version was cancelled")
				      : vreader_get(&r, &v->items[at], &record, et);
		e = e ? e : take_record(t, at + 1ull, &record, et);
	}
	vreader_end(&r);
	e = e ? e : flush(t, et);
	free(t->rows);
	free(t->keys);
	return e;
}

static enum err new_own(struct near *n, const struct space *s, struct errtext *et)
{
	struct vindex_options o = {.dim = s->dim, .metric = shelf_metric(s)};
	return n->own ? OK : vindex_new(&o, &n->own, et);
}

/* Puts them there, under n->build; who searches sees more of them than he needs. */
static enum err widen(struct asof *x, const struct space *s, const struct bitmap *want,
	const struct cancel *cancel, struct errtext *et)
{
	struct near *n = &x->near[s->place];
	struct taking t = {.x = x, .s = s, .n = n};
	enum { KEYS = 1024 };
	uint64_t keys[KEYS], from = 0;
	size_t got;
	enum err e = take_all(&t, want, cancel, et);
	pthread_rwlock_wrlock(&n->lock);
	while (!e && (got = bitmap_keys(want, from, keys, KEYS))) {
		for (size_t i = 0; i < got; i++)
			bitmap_add(&n->has, keys[i]);
		from = keys[got - 1] + 1;
	}
	if (!e && n->has.err)
		e = no_memory(et);
	pthread_rwlock_unlock(&n->lock);
	return e;
}

/* Of those that are wanted the ones that a saved index has already. */
static enum err note_saved(
	struct asof *x, const struct space *s, struct bitmap *want, struct errtext *et)
{
	struct near *n = &x->near[s->place];
	uint64_t *keys = malloc(AT_ONCE * sizeof *keys), from = 0;
	float *scores = malloc(AT_ONCE * sizeof *scores), *any = calloc(s->dim, sizeof *any);
	struct bitmap lacking = {0};
	size_t got;
	enum err e = keys && scores && any ? OK : no_memory(et);
	if (!e)
		any[0] = 1;
	while (!e && (got = bitmap_keys(want, from, keys, AT_ONCE))) {
		e = vindex_scores(n->own, any, keys, got, scores, et);
		for (size_t i = 0; i < got && !e; i++)
			bitmap_add(isnan(scores[i]) ? &lacking : &n->has, keys[i]);
		from = keys[got - 1] + 1;
	}
	if (!e && (lacking.err || n->has.err))
		e = no_memory(et);
	bitmap_free(want);
	*want = lacking;
	free(keys);
	free(scores);
	free(any);
	return e;
}

static enum err lacking(struct asof *x, struct near *n, const struct near *laid, struct bitmap *out,
	struct errtext *et)
{
	for (uint64_t num = 1; num <= x->v->n; num++)
		if ((!laid->live || !laid->live[num]) && !bitmap_has(&n->has, num))
			bitmap_add(out, num);
	return out->err ? no_memory(et) : OK;
}

/* From now on it is searched so. */
static void show(struct near *n, struct near *laid)
{
	pthread_rwlock_wrlock(&n->lock);
	forget_live(n);
	n->same = laid->same;
	n->here = laid->here;
	n->live = laid->live;
	n->n_bits = laid->n_bits;
	n->n_live = laid->n_live;
	n->n_same = laid->n_same;
	n->number = laid->n_same ? laid->number : 0;
	n->synced = laid->synced;
	n->live_since = laid->live_since;
	pthread_rwlock_unlock(&n->lock);
	laid->same = NULL;
	laid->here = laid->live = NULL;
	atomic_store(&n->state, NEAR_READY);
}

static uint64_t bytes_for(const struct space *s, uint64_t n)
{
	struct vindex_options o = {.dim = s->dim, .metric = shelf_metric(s)};
	struct vindex_bytes b = {.total = 0};
	return vindex_plan(&o, n, &b, NULL) ? UINT64_MAX / 2 : b.total;
}

/* Under n->build. *later: it would take a while. */
static enum err make(struct asof *x, const struct space *s, struct near *laid, bool *later,
	const struct cancel *cancel, struct errtext *et)
{
	struct near *n = &x->near[s->place];
	struct bitmap want = {0};
	enum err e = lay_over(x, s, laid, cancel, et);
	e = e ? e : lacking(x, n, laid, &want, et);
	if (!e && !n->own && want.count >= FILE_ITEMS) {
		load_file(x, s);
		e = n->own ? note_saved(x, s, &want, et) : OK;
	}
	size_t added = want.count;
	bool stop = !e && *later && added > QUICK_ITEMS;
	*later = stop;
	if (!e && !stop && !asof_room(x, added ? bytes_for(s, added) : 0)) {
		atomic_store(&n->refused_ms, clock_unix_ms());
		e = err_set(et, ERR_LIMIT,
			"an index for %zu vectors of a version of %.*s would pass the memory of "
			"versions: raise collection.version_bytes, or the collection's own limit",
			added, STR_FMT(x->k.name));
	}
	e = e || stop ? e : new_own(n, s, et);
	e = e || stop ? e : widen(x, s, &want, cancel, et);
	bitmap_free(&want);
	if (!e && !stop) {
		show(n, laid);
		if (added >= FILE_ITEMS)
			save_file(x, s);
	}
	return e;
}

static enum err make_now(struct asof *x, const struct space *s, bool *later,
	const struct cancel *cancel, struct errtext *et)
{
	struct near laid = {.number = 0}, *n = &x->near[s->place];
	pthread_mutex_lock(&n->build);
	enum err e = OK;
	if (atomic_load(&n->state) != NEAR_READY) {
		e = make(x, s, &laid, later, cancel, et);
		forget_live(&laid);
	} else {
		*later = false;
	}
	int wanted = NEAR_WANTED;
	if (e)
		atomic_compare_exchange_strong(&n->state, &wanted, NEAR_NONE);
	pthread_mutex_unlock(&n->build);
	return e;
}

enum err near_make(
	struct asof *x, const struct space *s, const struct cancel *cancel, struct errtext *et)
{
	bool later = false;
	return make_now(x, s, &later, cancel, et);
}

enum err asof_indexed(
	struct collection *k, const struct space *s, bool must, bool *yes, struct errtext *et)
{
	struct asof *x = k->asof;
	struct near *n = &x->near[s->place];
	const struct http_request *rq = croft_request();
	const struct cancel *cancel = rq ? rq->cancel : NULL;
	bool later = !must;
	*yes = atomic_load(&n->state) == NEAR_READY;
	if (*yes)
		return OK;
	unsigned before = atomic_fetch_add(&n->searches, 1);
	if (!must && (!before || refill_busy(k->c, x->live, NULL) ||
			     atomic_load(&n->state) == NEAR_WANTED ||
			     clock_unix_ms() - atomic_load(&n->refused_ms) < REFUSED_MS))
		return OK;
	enum err e = make_now(x, s, &later, cancel, et);
	*yes = !e && !later;
	int none = NEAR_NONE;
	if (!e && later)
		atomic_compare_exchange_strong(&n->state, &none, NEAR_WANTED);
	return e == ERR_LIMIT && !must ? OK : e;
}

/* ---- when live items change ---- */

struct syncing {
	struct near *n;
	struct bitmap moved; /* numbers here */
	uint64_t *nums;      /* live ones */
	size_t count, cap;
};

static enum err moved(struct syncing *y, int64_t num, struct errtext *et)
{
	const struct near *n = y->n;
	if (num < 0 || (uint64_t)num >= n->n_bits || !(n->same[num / 64] >> num % 64 & 1))
		return OK;
	if (y->count == y->cap) {
		size_t cap = y->cap ? 2 * y->cap : 64;
		uint64_t *more = realloc(y->nums, cap * sizeof *more);
		if (!more)
			return no_memory(et);
		y->nums = more;
		y->cap = cap;
	}
	y->nums[y->count++] = (uint64_t)num;
	if (!bitmap_has(&n->has, n->here[num]))
		bitmap_add(&y->moved, n->here[num]);
	return y->moved.err ? no_memory(et) : OK;
}

static enum err row_moved(void *ctx, int64_t num, int64_t vec, struct str id, struct errtext *et)
{
	struct syncing *y = ctx;
	(void)id;
	return vec > y->n->synced ? moved(y, num, et) : OK;
}

static enum err grave_moved(void *ctx, int64_t num, struct errtext *et)
{
	return moved(ctx, num, et);
}

/* Under n->build. *far: so much has changed that it is made anew. */
static enum err sync_rows(
	struct asof *x, struct syncing *y, int64_t *seq, bool *far, struct errtext *et)
{
	struct near *n = y->n;
	struct collection_row row;
	struct tx *tx = NULL;
	struct arena *a = arena_new(0);
	enum err e = a ? db_begin(croft_db(x->k.c), TX_READ, &tx, et) : no_memory(et);
	e = e ? e : store_collection_by_number(tx, n->number, a, &row, et);
	*far = e == ERR_NOT_FOUND || (!e && row.graves_seq > n->synced);
	e = e == ERR_NOT_FOUND ? OK : e;
	e = e || *far ? e : store_nums_since(tx, n->number, n->synced, row_moved, y, et);
	e = e || *far ? e : store_graves_since(tx, n->number, n->synced, grave_moved, y, et);
	db_rollback(tx);
	*seq = e || *far ? 0 : row.seq;
	*far |= y->moved.count > QUICK_ITEMS;
	arena_free(a);
	return e;
}

static enum err near_sync(struct asof *x, const struct space *s, bool *far, struct errtext *et)
{
	struct near *n = &x->near[s->place];
	struct syncing y = {.n = n};
	int64_t seq = 0;
	pthread_mutex_lock(&n->build);
	enum err e = sync_rows(x, &y, &seq, far, et);
	e = e || *far ? e : widen(x, s, &y.moved, NULL, et);
	if (!e && !*far) {
		pthread_rwlock_wrlock(&n->lock);
		for (size_t i = 0; i < y.count; i++) {
			uint64_t num = y.nums[i];
			if (!(n->same[num / 64] >> num % 64 & 1))
				continue;
			n->same[num / 64] &= ~(1ull << num % 64);
			n->live[n->here[num]] = 0;
			n->n_same--;
		}
		n->synced = seq;
		pthread_rwlock_unlock(&n->lock);
	} else if (*far) {
		atomic_store(&n->state, NEAR_WANTED);
	}
	pthread_mutex_unlock(&n->build);
	bitmap_free(&y.moved);
	free(y.nums);
	return e;
}

/* ---- searching while live items may change ---- */

typedef enum err (*near_fn)(void *ctx, struct near *n, struct vindex *live, struct errtext *et);

struct attempt {
	struct asof *x;
	const struct space *s;
	near_fn fn;
	void *ctx;
	bool hold; /* nobody writes meanwhile */
	bool done, gone;
};

static struct vindex *live_index(
	const struct near *n, const struct space *s, const struct collection *live)
{
	const struct layout *l = layout_of(live);
	const struct space *t = s->place < l->n ? &l->spaces[s->place] : NULL;
	return same_space(t, s) && str_eq(t->name, s->name) && t->since == n->live_since
		       ? l->index[s->place]
		       : NULL;
}

static void turn(const struct collection *live, uint64_t *turn, int64_t *seq)
{
	*turn = atomic_load(&live->turn);
	*seq = atomic_load(&live->shown);
}

static enum err attempt_on(struct attempt *t, struct collection *live, struct errtext *et)
{
	struct near *n = &t->x->near[t->s->place];
	struct vindex *index = live_index(n, t->s, live);
	uint64_t before, after;
	int64_t seq, then;
	enum err e = OK;
	if (!index) {
		t->gone = true;
		return OK;
	}
	turn(live, &before, &seq);
	if (before & 1 && !t->hold) {
		clock_sleep_ms(1);
		return OK;
	}
	if (seq > n->synced)
		e = near_sync(t->x, t->s, &t->gone, et);
	if (e || t->gone)
		return e;
	if (atomic_load(&live->shown) < n->synced) { /* another server wrote */
		if (!t->hold)
			pthread_mutex_lock(&live->write);
		e = shelf_follow(live, et);
		if (!t->hold)
			pthread_mutex_unlock(&live->write);
		return e;
	}
	pthread_rwlock_rdlock(&n->lock);
	turn(live, &before, &seq);
	bool fits = seq == n->synced && (!(before & 1) || t->hold);
	e = fits ? t->fn(t->ctx, n, index, et) : OK;
	pthread_rwlock_unlock(&n->lock);
	turn(live, &after, &then);
	t->done = !e && fits && before == after && then == seq;
	return e;
}

static enum err alone(struct attempt *t, struct near *n, struct errtext *et)
{
	pthread_rwlock_rdlock(&n->lock);
	enum err e = t->fn(t->ctx, n, NULL, et);
	pthread_rwlock_unlock(&n->lock);
	t->done = !e;
	return e;
}

/* Writers wait for the last attempts, if changes came during the others. */
static enum err steady(struct attempt *t, struct errtext *et)
{
	struct near *n = &t->x->near[t->s->place];
	char number[24];
	enum err e = OK;
	for (int i = 0; i < 2 * TRIES && !e && !t->done && !t->gone; i++) {
		pthread_rwlock_rdlock(&n->lock);
		int64_t of = n->number;
		pthread_rwlock_unlock(&n->lock);
		if (!of)
			return alone(t, n, et);
		snprintf(number, sizeof number, "%lld", (long long)of);
		struct collection *live = take_pinned(collections_of(t->x->k.c), str_c(number));
		if (!live) {
			t->gone = true;
			break;
		}
		t->hold = i >= TRIES;
		if (t->hold)
			pthread_mutex_lock(&live->write);
		e = attempt_on(t, live, et);
		if (t->hold)
			pthread_mutex_unlock(&live->write);
		let_go_pinned(live);
	}
	t->gone |= !e && !t->done;
	int ready = NEAR_READY;
	if (t->gone) /* made anew when it is searched again */
		atomic_compare_exchange_strong(&n->state, &ready, NEAR_NONE);
	return e;
}

struct near_search {
	const struct vindex_query *q;
	struct hit *out;
	struct vindex_answer *a;
};

/* What the filter lets through and is the same, by live numbers; free(out->bits). */
static enum err live_filter(const struct near *n, const struct vindex_filter *f,
	struct vindex_filter *out, struct errtext *et)
{
	uint64_t *bits = calloc(n->n_bits / 64, sizeof *bits), count = 0;
	if (!bits)
		return no_memory(et);
	for (uint64_t w = 0; w < (f->n_bits + 63) / 64; w++)
		for (uint64_t left = f->bits[w]; left; left &= left - 1) {
			uint64_t num = w * 64 + (uint64_t)__builtin_ctzll(left);
			uint32_t at = num < n->n_live ? n->live[num] : 0;
			if (at) {
				bits[at / 64] |= 1ull << at % 64;
				count++;
			}
		}
	*out = (struct vindex_filter){.bits = bits, .n_bits = n->n_bits, .count = count};
	return OK;
}

static enum err search_live(struct near_search *x, const struct near *n, struct vindex *live,
	struct hit *out, struct vindex_answer *a, struct errtext *et)
{
	struct vindex_query q = *x->q;
	struct vindex_filter f = {.bits = n->same, .n_bits = n->n_bits, .count = n->n_same};
	enum err e = q.filter ? live_filter(n, q.filter, &f, et) : OK;
	q.filter = &f;
	if (!e && f.count)
		e = vindex_search(live, &q, out, a, et);
	for (size_t i = 0; i < a->n && !e; i++)
		out[i].key = n->here[out[i].key];
	if (x->q->filter)
		free((void *)f.bits);
	return e;
}

static int best_first(const void *a, const void *b)
{
	const struct hit *x = a, *y = b;
	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return (x->key > y->key) - (x->key < y->key);
}

/* An item can be in both. */
static size_t best_of(struct hit *all, size_t n, struct hit *out, size_t max)
{
	size_t kept = 0;
	if (n)
		qsort(all, n, sizeof *all, best_first);
	for (size_t i = 0; i < n && kept < max; i++) {
		bool twice = false;
		for (size_t j = kept; j && out[j - 1].score == all[i].score; j--)
			twice |= out[j - 1].key == all[i].key;
		if (!twice)
			out[kept++] = all[i];
	}
	return kept;
}

static enum err search_both(void *ctx, struct near *n, struct vindex *live, struct errtext *et)
{
	struct near_search *x = ctx;
	struct vindex_answer of[2] = {{0}};
	size_t max = x->q->k;
	struct hit *all = malloc((2 * max + 1) * sizeof *all);
	enum err e = all ? OK : no_memory(et);
	if (!e && live)
		e = search_live(x, n, live, all, &of[0], et);
	if (!e && vindex_count(n->own))
		e = vindex_search(n->own, x->q, all + of[0].n, &of[1], et);
	if (!e) {
		bool walked = of[0].how == VINDEX_GRAPH || of[1].how == VINDEX_GRAPH;
		*x->a = (struct vindex_answer){.n = best_of(all, of[0].n + of[1].n, x->out, max),
			.how = walked ? VINDEX_GRAPH : VINDEX_SCAN,
			.ef = MAX(of[0].ef, of[1].ef),
			.compared = of[0].compared + of[1].compared};
	}
	free(all);
	return e;
}

enum err asof_search(struct collection *k, const struct space *s, const struct vindex_query *q,
	struct hit *out, struct vindex_answer *a, bool *gone, struct errtext *et)
{
	struct near_search x = {q, out, a};
	struct attempt t = {.x = k->asof, .s = s, .fn = search_both, .ctx = &x};
	enum err e = steady(&t, et);
	*gone = t.gone;
	return e;
}

/* ---- scores ---- */

struct near_scores {
	const float *query;
	const uint64_t *nums;
	size_t n;
	float *out;
};

static enum err scores_in(struct vindex *index, const float *query, const uint64_t *keys,
	const size_t *at, size_t n, float *room, float *out, struct errtext *et)
{
	enum err e = n ? vindex_scores(index, query, keys, n, room, et) : OK;
	for (size_t i = 0; i < n && !e; i++)
		out[at[i]] = room[i];
	return e;
}

static enum err score_both(void *ctx, struct near *n, struct vindex *live, struct errtext *et)
{
	const struct near_scores *x = ctx;
	uint64_t *keys = malloc((x->n + 1) * sizeof *keys), *own = malloc((x->n + 1) * sizeof *own);
	size_t *at = malloc((x->n + 1) * sizeof *at), *own_at = malloc((x->n + 1) * sizeof *own_at);
	float *room = malloc((x->n + 1) * sizeof *room);
	size_t n_live = 0, n_own = 0;
	enum err e = keys && own && at && own_at && room ? OK : no_memory(et);
	for (size_t i = 0; i < x->n && !e; i++) {
		uint32_t num = live && x->nums[i] < n->n_live ? n->live[x->nums[i]] : 0;
		if (num) {
			keys[n_live] = num;
			at[n_live++] = i;
		} else {
			own[n_own] = x->nums[i];
			own_at[n_own++] = i;
		}
	}
	e = e ? e : scores_in(live, x->query, keys, at, n_live, room, x->out, et);
	e = e ? e : scores_in(n->own, x->query, own, own_at, n_own, room, x->out, et);
	free(keys);
	free(own);
	free(at);
	free(own_at);
	free(room);
	return e;
}

enum err asof_scores(struct collection *k, const struct space *s, const float *query,
	const uint64_t *nums, size_t n, float *out, struct errtext *et)
{
	struct near_scores x = {query, nums, n, out};
	enum err e = OK;
	for (int i = 0; i < TRIES; i++) {
		struct attempt t = {.x = k->asof, .s = s, .fn = score_both, .ctx = &x};
		bool yes = false;
		e = asof_indexed(k, s, true, &yes, et);
		e = e ? e : steady(&t, et);
		if (e || t.done)
			return e;
	}
	return err_set(
		et, ERR_BUSY, "%.*s is written to all the time: try again", STR_FMT(k->name));
}
