/* Versions that are searched: found by what they are of, filled part by part, given up when memory
 * is short. See asof.h. */
#include "collection/asof_int.h"
#include "collection/held.h"
#include "collection/keyword_int.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>

enum { PUBLISH_ITEMS = 8192 };

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for the index of a version");
}

static struct asofs *asofs_of(struct croft *c)
{
	return collections_of(c)->asofs;
}

const struct version *asof_version(const struct collection *k)
{
	return k->asof ? k->asof->v : NULL;
}

/* ---- rows ---- */

static enum err row_of(const struct asof *x, size_t at, struct item_want read, struct arena *a,
	struct item_row *out, struct errtext *et)
{
	const struct vitem *it = &x->v->items[at];
	struct vrecord r;
	char *bytes = NULL;
	*out = (struct item_row){.num = (int64_t)at + 1,
		.id = it->id,
		.payload = S(""),
		.vectors = S(""),
		.text = S("")};
	if (!read.payload && !read.vectors)
		return OK;
	enum err e = vrecord_alone(x->v, it, &bytes, &r, et);
	if (e)
		return e;
	if (read.payload)
		out->payload = arena_str(a, r.payload);
	if (read.vectors)
		out->vectors = arena_str(a, r.vectors);
	free(bytes);
	return out->payload.p && out->vectors.p ? OK : no_memory(et);
}

enum err row_by_id(struct collection *k, struct tx *tx, struct str id, struct item_want read,
	struct arena *a, struct item_row *out, struct errtext *et)
{
	if (!k->asof)
		return store_item(tx, k->number, id, read, a, out, et);
	const struct vitem *it = version_find(k->asof->v, id);
	return it ? row_of(k->asof, (size_t)(it - k->asof->v->items), read, a, out, et)
		  : ERR_NOT_FOUND;
}

enum err row_by_num(struct collection *k, struct tx *tx, int64_t num, struct item_want read,
	struct arena *a, struct item_row *out, struct errtext *et)
{
	if (!k->asof)
		return store_item_by_num(tx, k->number, num, read, a, out, et);
	return num > 0 && (size_t)num <= k->asof->v->n
		       ? row_of(k->asof, (size_t)num - 1, read, a, out, et)
		       : ERR_NOT_FOUND;
}

/* ---- parts ---- */

struct filling {
	struct asof *x;
	unsigned parts;
	const struct cancel *cancel;
};

static enum err publish(struct filling *f, struct errtext *et)
{
	struct collection *k = &f->x->k;
	enum err e = f->parts & ASOF_FIELDS ? fields_publish(k->fields, et) : OK;
	e = e || !(f->parts & ASOF_WORDS) ? e : keyword_publish(k, et);
	return e || !(f->parts & ASOF_KINDS) ? e : kinds_publish(k, et);
}

static enum err put_kinds(
	struct filling *f, uint64_t num, const struct vrecord *r, struct errtext *et)
{
	const struct version *v = f->x->v;
	struct item_vector *list;
	size_t n;
	struct arena *a = arena_new(0);
	enum err e = a ? item_decode(r->vectors, v->spaces, v->n_spaces, a, &list, &n, et)
		       : no_memory(et);
	for (size_t i = 0; !e && i < n; i++)
		e = kinds_put(&f->x->k, list[i].place, num, &list[i], et);
	arena_free(a);
	return e;
}

static enum err put_item(
	struct filling *f, uint64_t num, const struct vrecord *r, struct errtext *et)
{
	struct collection *k = &f->x->k;
	struct str payload = r->payload.n ? r->payload : S("{}");
	enum err e = f->parts & ASOF_FIELDS ? fields_put(k->fields, num, payload, et) : OK;
	e = e || !(f->parts & ASOF_WORDS) ? e : keyword_put(k, num, payload, et);
	return e || !(f->parts & ASOF_KINDS) ? e : put_kinds(f, num, r, et);
}

/* Under k->write: all records, each pack read once. */
static enum err fill(struct filling *f, struct errtext *et)
{
	const struct version *v = f->x->v;
	struct vreader r = {.v = v};
	enum err e = OK;
	for (size_t i = 0; i < v->n && !e; i++) {
		struct vrecord record;
		uint32_t at = v->order[i];
		e = cancelled(f->cancel) ? err_set(et, ERR_CANCELLED,
						   "making the index of a version was cancelled")
					 : vreader_get(&r, &v->items[at], &record, et);
		e = e ? e : put_item(f, at + 1ull, &record, et);
		if (!e && (i + 1) % PUBLISH_ITEMS == 0)
			e = publish(f, et);
	}
	vreader_end(&r);
	return e ? e : publish(f, et);
}

/* What an attempt that failed has left would be there twice. */
static enum err begin(struct asof *x, unsigned parts, struct errtext *et)
{
	struct collection *k = &x->k;
	if (parts & ASOF_FIELDS) {
		fields_free(k->fields);
		k->fields = NULL;
	}
	if (parts & ASOF_KINDS)
		kinds_clear(k);
	enum err e = parts & ASOF_FIELDS ? fields_new(NULL, &k->fields, et) : OK;
	return e || !(parts & ASOF_KINDS) ? e : kinds_new(k, et);
}

enum err asof_need(struct collection *k, unsigned parts, struct errtext *et)
{
	struct asof *x = k->asof;
	const struct http_request *rq = croft_request();
	if (!x || (atomic_load_explicit(&x->parts, memory_order_acquire) & parts) == parts)
		return OK;
	pthread_mutex_lock(&k->write);
	struct filling f = {.x = x,
		.parts = parts & ~atomic_load(&x->parts),
		.cancel = rq ? rq->cancel : croft_stopping(k->c)};
	enum err e = f.parts ? begin(x, f.parts, et) : OK;
	e = e || !f.parts ? e : fill(&f, et);
	if (!e)
		atomic_fetch_or_explicit(&x->parts, f.parts, memory_order_release);
	pthread_mutex_unlock(&k->write);
	return e;
}

/* ---- memory ---- */

static uint64_t bytes_of(struct asof *x)
{
	struct collection *k = &x->k;
	unsigned parts = atomic_load_explicit(&x->parts, memory_order_acquire);
	uint64_t n =
		sizeof *x + version_bytes(x->v) + k->n_nums * sizeof *k->id_at + k->id_bytes.cap;
	struct keyword_index *words = parts & ASOF_WORDS ? keyword_get(k) : NULL;
	n += parts & ASOF_FIELDS ? fields_bytes(k->fields) : 0;
	n += words ? bm25_bytes(words->bm25) : 0;
	n += parts & ASOF_KINDS ? kinds_bytes(k) : 0;
	keyword_put_back(words);
	for (size_t s = 0; s < COLLECTION_SPACES_MAX; s++)
		n += near_bytes(&x->near[s]);
	return n;
}

static bool is_of(const struct asof *x, struct str project, struct str name)
{
	return str_eq(x->k.project, project) && str_eq(x->k.name, name);
}

/* Under collections.mu. */
static void drop_at(struct asofs *all, size_t i)
{
	struct asof *x = all->list[i];
	all->list[i] = all->list[--all->n];
	collections_end(&x->k);
}

/* Under collections.mu: until all take no more than `limit`, or those of one collection (project .p
 * NULL: of all) no more. What somebody uses stays. */
static uint64_t shrink(struct asofs *all, struct str project, struct str name, uint64_t limit)
{
	uint64_t bytes = 0;
	for (size_t i = 0; i < all->n; i++)
		if (!project.p || is_of(all->list[i], project, name))
			bytes += bytes_of(all->list[i]);
	while (bytes > limit) {
		size_t best = all->n;
		for (size_t i = 0; i < all->n; i++)
			if (!all->list[i]->k.users &&
				(!project.p || is_of(all->list[i], project, name)) &&
				(best == all->n || all->list[i]->used < all->list[best]->used))
				best = i;
		if (best == all->n)
			break;
		bytes -= MIN(bytes, bytes_of(all->list[best]));
		drop_at(all, best);
	}
	return bytes;
}

static uint64_t limit_of(const struct asofs *all)
{
	return (uint64_t)setting_int(all->c, "collection.version_bytes");
}

uint64_t asof_bytes_of(struct croft *c, struct str project, struct str name)
{
	struct asofs *all = asofs_of(c);
	uint64_t bytes = 0;
	pthread_mutex_lock(&collections_of(c)->mu);
	for (size_t i = 0; i < all->n; i++)
		if (is_of(all->list[i], project, name))
			bytes += bytes_of(all->list[i]);
	pthread_mutex_unlock(&collections_of(c)->mu);
	return bytes;
}

/* What the collection's limit leaves for its versions beside the live indexes. */
static uint64_t left_by_live(struct asof *x)
{
	struct memory_state m;
	struct collection_limits own = {0};
	struct arena *a = arena_new(0);
	uint64_t left = UINT64_MAX, used = 0;
	enum err e = a ? limits_read(x->k.c, x->k.project, x->k.name, a, &own, NULL) : ERR_NOMEM;
	struct collection_limits l = limits_in_force(x->k.c, own);
	char number[24];
	snprintf(number, sizeof number, "%lld", (long long)x->live);
	struct collection *live =
		!e && l.bytes ? take_pinned(collections_of(x->k.c), str_c(number)) : NULL;
	if (live) {
		memory_of(live, layout_of(live), 0, &m);
		used = m.now;
		let_go_pinned(live);
	}
	if (!e && l.bytes)
		left = used < (uint64_t)l.bytes ? (uint64_t)l.bytes - used : 0;
	arena_free(a);
	return left;
}

bool asof_room(struct asof *x, uint64_t more)
{
	struct asofs *all = asofs_of(x->k.c);
	uint64_t limit = limit_of(all), left = left_by_live(x);
	if (more > limit || more > left)
		return false;
	pthread_mutex_lock(&collections_of(x->k.c)->mu);
	bool room = shrink(all, (struct str){0}, S(""), limit - more) <= limit - more;
	if (room && left != UINT64_MAX)
		room = shrink(all, x->k.project, x->k.name, left - more) <= left - more;
	pthread_mutex_unlock(&collections_of(x->k.c)->mu);
	return room;
}

/* ---- making one ---- */

void asof_end(struct collection *k)
{
	struct asof *x = k->asof;
	for (size_t s = 0; s < COLLECTION_SPACES_MAX; s++)
		near_clear(&x->near[s]);
	version_put(k->c, x->v);
	free(x->key);
}

static enum err fill_ids(struct collection *k, const struct version *v, struct errtext *et)
{
	k->id_at = calloc(v->n + 1, sizeof *k->id_at);
	for (size_t i = 0; k->id_at && i < v->n; i++) {
		k->id_at[i + 1] = k->id_bytes.n + 1;
		buf_putc(&k->id_bytes, (char)v->items[i].id.n);
		buf_adds(&k->id_bytes, v->items[i].id);
	}
	k->n_nums = v->n + 1;
	k->live = v->n;
	return k->id_at && !k->id_bytes.err ? OK : no_memory(et);
}

/* What it is made of. */
struct wanted {
	struct croft *c;
	struct str project, name, words; /* words: the settings of the keyword index; "": none */
	int64_t live;                    /* number of the collection; 0: it is gone */
	struct version *v;
	struct buf key;
};

static enum err make(const struct wanted *w, struct asof **out, struct errtext *et)
{
	struct asof *x = calloc(1, sizeof *x);
	if (!x)
		return no_memory(et);
	struct collection *k = &x->k;
	for (size_t s = 0; s < COLLECTION_SPACES_MAX; s++)
		near_init(&x->near[s]);
	k->asof = x;
	enum err e = collections_begin(w->c, k, w->project, w->name, w->v->config, et);
	x->v = w->v;
	x->live = w->live;
	x->key = strndup(w->key.p, w->key.n);
	k->state = LOADED;
	e = e || x->key ? e : no_memory(et);
	e = e ? e : fill_ids(k, w->v, et);
	e = e || !w->words.n ? e : keyword_make(k, w->words, et);
	if (e) {
		x->v = NULL; /* the caller's still */
		collections_end(k);
	} else {
		*out = x;
	}
	return e;
}

/* Under collections.mu. */
static struct asof *find(struct asofs *all, struct str key)
{
	for (size_t i = 0; i < all->n; i++)
		if (str_eq_c(key, all->list[i]->key))
			return all->list[i];
	return NULL;
}

static enum err keep(struct asofs *all, struct asof *x, struct errtext *et)
{
	if (all->n == all->cap) {
		size_t cap = all->cap ? 2 * all->cap : 16;
		struct asof **list = realloc(all->list, cap * sizeof *list);
		if (!list)
			return no_memory(et);
		all->list = list;
		all->cap = cap;
	}
	all->list[all->n++] = x;
	return OK;
}

/* Takes w->v over, whatever comes. */
static enum err take(struct wanted *w, struct collection **out, struct errtext *et)
{
	struct asofs *all = asofs_of(w->c);
	struct collections *cs = collections_of(w->c);
	struct asof *fresh = NULL;
	pthread_mutex_lock(&cs->mu);
	struct asof *x = find(all, buf_str(&w->key));
	pthread_mutex_unlock(&cs->mu);
	enum err e = x ? OK : make(w, &fresh, et);
	bool used = fresh != NULL;
	pthread_mutex_lock(&cs->mu);
	x = e ? NULL : find(all, buf_str(&w->key));
	if (!e && !x && fresh) {
		e = keep(all, fresh, et);
		x = e ? NULL : fresh;
		fresh = e ? fresh : NULL;
	}
	if (!e && !x) /* it went in between */
		e = err_set(et, ERR_BUSY, "memory for versions is short: try again");
	if (!e) {
		x->k.users++;
		x->used = ++all->clock;
		shrink(all, (struct str){0}, S(""), limit_of(all));
		e = layout_pin(&x->k, et);
		x->k.users -= e != OK;
	}
	if (fresh)
		collections_end(&fresh->k);
	pthread_mutex_unlock(&cs->mu);
	if (!used)
		version_put(w->c, w->v);
	if (!e)
		*out = &x->k;
	return e;
}

/* The own name of what an alias stands for. */
static enum err own_name(struct wanted *w, struct arena *a, struct errtext *et)
{
	struct collection_row row;
	struct tx *tx;
	enum err e = db_begin(croft_db(w->c), TX_READ, &tx, et);
	if (e)
		return e;
	e = store_collection_by_name(tx, w->project, w->name, a, &row, et);
	db_rollback(tx);
	if (!e)
		w->name = row.name;
	return e == ERR_NOT_FOUND ? OK : e;
}

/* Which version, and what the live collection says of searching by words. */
static enum err look_up(struct wanted *w, struct str ref, struct arena *a,
	struct artifact_version *about, const struct cancel *cancel, struct errtext *et)
{
	struct vlive live = {.headed = false};
	struct tx *tx;
	size_t colon = str_chr(ref, ':');
	int64_t ms;
	bool other = colon != STR_NONE && !clock_parse_rfc3339(ref, &ms);
	enum err e = own_name(w, a, et);
	e = e || !ref.n ? e : version_named(w->c, w->project, w->name, ref, a, about, et);
	w->words = S("");
	if (other) /* it is searched as its own collection is */
		w->name = str_sub(ref, 0, colon);
	e = e ? e : db_begin(croft_db(w->c), TX_READ, &tx, et);
	if (e)
		return e;
	e = version_live(tx, w->project, w->name, a, &live, et);
	if (!e) {
		w->live = live.row.number;
		e = store_keyword(tx, w->live, a, &w->words, et);
	} else if (e == ERR_NOT_FOUND && ref.n) {
		e = OK;
	}
	if (!e && !ref.n && live.head.version)
		e = artifact_get_version(tx, live.head.artifact, live.head.version, a, about, et);
	db_rollback(tx);
	const char *digest = ref.n ? about->digest.p : live.head.digest.p;
	return e ? e : version_load(w->c, digest, &w->v, cancel, et);
}

enum err asof_open(struct croft *c, struct str project, struct str name, struct str ref,
	struct arena *a, struct collection **out, struct artifact_version *about,
	const struct cancel *cancel, struct errtext *et)
{
	struct wanted w = {.c = c, .project = project, .name = name};
	struct artifact_version v = {.version = 0};
	enum err e = look_up(&w, ref, a, &v, cancel, et);
	if (e)
		return e;
	buf_addf(&w.key, "%.*s\n%.*s\n%s\n%.*s", STR_FMT(w.project), STR_FMT(w.name), w.v->digest,
		STR_FMT(w.words));
	if (w.key.err) {
		version_put(c, w.v);
		e = no_memory(et);
	} else {
		e = take(&w, out, et);
	}
	buf_free(&w.key);
	if (!e && about)
		*about = v;
	return e;
}

enum err collection_open_any(struct croft *c, struct str project, struct str name,
	struct collection **out, const struct cancel *cancel, struct errtext *et)
{
	size_t colon = str_chr(name, ':'); /* no collection has one in its name */
	if (colon == STR_NONE)
		return collection_open(c, project, name, out, cancel, et);
	struct arena *a = arena_new(0);
	enum err e = a ? asof_open(c, project, str_sub(name, 0, colon),
				 str_sub(name, colon + 1, name.n), a, out, NULL, cancel, et)
		       : no_memory(et);
	arena_free(a);
	return e;
}

/* ---- their life ---- */

enum err asofs_new(struct croft *c, struct asofs **out, struct errtext *et)
{
	struct asofs *all = calloc(1, sizeof *all);
	if (!all)
		return no_memory(et);
	all->c = c;
	*out = all;
	return OK;
}

/* One that somebody waits for, pinned; NULL: none. */
static struct asof *take_waiting(struct asofs *all, size_t *space)
{
	struct collections *cs = collections_of(all->c);
	struct asof *found = NULL;
	pthread_mutex_lock(&cs->mu);
	for (size_t i = 0; i < all->n && !found; i++)
		for (size_t s = 0; s < all->list[i]->v->n_spaces && !found; s++)
			if (atomic_load(&all->list[i]->near[s].state) == NEAR_WANTED) {
				found = all->list[i];
				*space = s;
			}
	if (found)
		found->k.users++;
	pthread_mutex_unlock(&cs->mu);
	return found;
}

static void make_waiting(struct asofs *all)
{
	struct errtext et = {0};
	size_t s = 0;
	struct asof *x = take_waiting(all, &s);
	if (!x)
		return;
	enum err e = near_make(x, &x->v->spaces[s], &all->stop, &et);
	if (e && e != ERR_CANCELLED && e != ERR_LIMIT)
		log_warn("the index of a version of %.*s: %s", STR_FMT(x->k.name), et.msg);
	let_go(&x->k);
}

static void *build_all(void *arg)
{
	enum { NAP_MS = 50, NAPS = 20, TRIM_S = 600 };
	struct asofs *all = arg;
	thread_stand_back();
	for (unsigned nap = 0; !cancelled(&all->stop); nap++) {
		make_waiting(all);
		if (nap % NAPS == 0) {
			pthread_mutex_lock(&collections_of(all->c)->mu);
			shrink(all, (struct str){0}, S(""), limit_of(all));
			pthread_mutex_unlock(&collections_of(all->c)->mu);
		}
		if (nap % (NAPS * TRIM_S) == 0)
			asof_files_trim(all->c);
		clock_sleep_ms(NAP_MS);
	}
	return NULL;
}

enum err asofs_start(struct asofs *all, struct errtext *et)
{
	all->stop.parent = croft_stopping(all->c);
	enum err e = thread_start(&all->builder, build_all, all, "versions", et);
	all->building = !e;
	return e;
}

void asofs_stop(struct asofs *all)
{
	if (!all || !all->building)
		return;
	cancel_set(&all->stop);
	pthread_join(all->builder, NULL);
	all->building = false;
}

void asofs_free(struct asofs *all)
{
	if (!all)
		return;
	while (all->n)
		drop_at(all, all->n - 1);
	free(all->list);
	free(all);
}
