/* A version in memory: of each item its id, its hashes and where its record lies; the records stay
 * where they are. The versions that were used last are kept, within collection.version_bytes. */
#include "collection/version_int.h"

#include <stdlib.h>

enum { LEAF_BYTES_MAX = 1 << 20, FIXED_BYTES = 4096 };

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a version of a collection");
}

static enum err damaged(const struct version *v, struct errtext *et)
{
	return err_set(et, ERR_CORRUPT,
		"the tree %.12s is no version of a collection, or it is damaged", v->digest);
}

static void free_version(struct version *v)
{
	if (!v)
		return;
	tree_free(v->tree);
	free(v->items);
	free(v->order);
	arena_free(v->arena);
	free(v);
}

size_t version_bytes(const struct version *v)
{
	return FIXED_BYTES + arena_used(v->arena) + v->n * (sizeof *v->items + sizeof *v->order) +
	       (v->tree ? arena_used(v->tree->arena) : 0);
}

/* ---- its parts ---- */

/* A file of a tree whole; free() it. */
static enum err read_file(
	struct blobs *b, const struct tree_file *f, uint64_t max, char **out, struct errtext *et)
{
	if (f->size > max)
		return err_set(
			et, ERR_CORRUPT, "%s of a version of a collection is too large", f->path.p);
	char *bytes = malloc((size_t)f->size + 1);
	enum err e = bytes ? tree_read(b, f, 0, bytes, (size_t)f->size, et) : no_memory(et);
	if (e)
		free(bytes);
	else
		*out = bytes;
	return e;
}

static enum err read_config(struct version *v, int64_t *items, struct errtext *et)
{
	const struct tree_file *f = tree_find(v->tree, S("collection.json"));
	char *bytes = NULL;
	struct buf config = {0};
	yyjson_doc *doc = NULL;
	enum err e = f ? read_file(v->blobs, f, 1 << 20, &bytes, et) : damaged(v, et);
	struct str json = str_mk(bytes, f && !e ? (size_t)f->size : 0);
	e = e ? e : json_parse(json, &doc, et);
	yyjson_val *o = e ? NULL : yyjson_doc_get_root(doc);
	*items = json_i64(o, "items", -1);
	if (!e &&
		(!str_eq_c(json_str(o, "croft"), "collection/1") || *items < 0 ||
			*items > VERSION_ITEMS_MAX || !yyjson_is_obj(yyjson_obj_get(o, "config"))))
		e = damaged(v, et);
	if (!e)
		jw_val(&(struct jw){.out = &config}, yyjson_obj_get(o, "config"));
	v->config = arena_str(v->arena, buf_str(&config));
	e = e || (v->config.p && !config.err) ? e : no_memory(et);
	e = e ? e : config_read(v->config, v->arena, &v->spaces, &v->n_spaces, et);
	yyjson_doc_free(doc);
	buf_free(&config);
	free(bytes);
	return e;
}

static bool key_of_path(struct str path, uint64_t *key)
{
	uint8_t b[8];
	if (path.n != 5 + 16 || !str_starts(path, S("data/")) ||
		!hex_decode(str_sub(path, 5, path.n), b, sizeof b))
		return false;
	*key = 0;
	for (size_t i = 0; i < sizeof b; i++)
		*key = *key << 8 | b[i];
	return true;
}

/* Paths are sorted, so keys are. */
static enum err find_packs(struct version *v, struct errtext *et)
{
	const struct tree *t = v->tree;
	v->packs = arena_array_of(v->arena, t->n_files + 1, struct vpack);
	if (!v->packs)
		return no_memory(et);
	for (size_t i = 0; i < t->n_files; i++) {
		uint64_t key;
		if (t->files[i].size <= VERSION_PACK_MAX && key_of_path(t->files[i].path, &key))
			v->packs[v->n_packs++] = (struct vpack){&t->files[i], key};
	}
	return OK;
}

static bool find_pack(const struct version *v, uint64_t key, uint32_t *out)
{
	size_t low = 0, high = v->n_packs;
	while (low < high) {
		size_t mid = (low + high) / 2;
		if (v->packs[mid].key < key)
			low = mid + 1;
		else
			high = mid;
	}
	*out = (uint32_t)low;
	return low < v->n_packs && v->packs[low].key == key;
}

struct leaf {
	struct str bytes, first; /* the first id */
};

static int by_first(const void *a, const void *b)
{
	const struct leaf *x = a, *y = b;
	return str_cmp(x->first, y->first);
}

static enum err read_leaf(
	struct version *v, const struct tree_file *f, struct leaf *out, struct errtext *et)
{
	char *bytes = NULL;
	struct vitem first;
	uint64_t key;
	enum err e = read_file(v->blobs, f, LEAF_BYTES_MAX, &bytes, et);
	out->bytes = e ? S("") : arena_str(v->arena, str_mk(bytes, (size_t)f->size));
	e = e || out->bytes.p ? e : no_memory(et);
	free(bytes);
	struct str rest = out->bytes;
	e = e ? e : vleaf_next(&rest, &first, &key, et);
	out->first = e ? S("") : first.id;
	return e;
}

/* Everything that a leaf says is looked at here; later code trusts it. */
static enum err take_leaf(struct version *v, struct str rest, size_t max, struct errtext *et)
{
	enum err e = OK;
	while (!e && rest.n) {
		struct vitem *it = &v->items[v->n];
		uint64_t key;
		if (v->n == max)
			return damaged(v, et);
		e = vleaf_next(&rest, it, &key, et);
		if (!e && (!find_pack(v, key, &it->pack) ||
				  (uint64_t)it->off + it->len > v->packs[it->pack].file->size ||
				  (v->n && str_cmp(it[-1].id, it->id) >= 0)))
			e = damaged(v, et);
		v->n += !e;
	}
	return e;
}

static enum err take_leaves(
	struct version *v, struct leaf *leaves, size_t n, size_t items, struct errtext *et)
{
	uint64_t bytes = 0;
	enum err e = OK;
	for (size_t i = 0; i < n; i++)
		bytes += leaves[i].bytes.n;
	if (items > bytes / (2 * VERSION_SUM)) /* more than there can be: not believed */
		return damaged(v, et);
	v->items = malloc((items + 1) * sizeof *v->items);
	if (!v->items)
		return no_memory(et);
	if (n)
		qsort(leaves, n, sizeof *leaves, by_first);
	for (size_t i = 0; i < n && !e; i++)
		e = take_leaf(v, leaves[i].bytes, items, et);
	return e || v->n == items ? e : damaged(v, et);
}

static enum err read_leaves(
	struct version *v, size_t items, const struct cancel *cancel, struct errtext *et)
{
	const struct tree *t = v->tree;
	struct leaf *leaves = malloc((t->n_files + 1) * sizeof *leaves);
	size_t n = 0;
	enum err e = leaves ? OK : no_memory(et);
	for (size_t i = 0; i < t->n_files && !e; i++) {
		if (cancelled(cancel))
			e = err_set(et, ERR_CANCELLED, "reading a version was cancelled");
		else if (str_starts(t->files[i].path, S("index/")))
			e = read_leaf(v, &t->files[i], &leaves[n++], et);
	}
	e = e ? e : take_leaves(v, leaves, n, items, et);
	free(leaves);
	return e;
}

static int by_place(const void *a, const void *b, void *ctx)
{
	const struct vitem *items = ctx, *x = &items[*(const uint32_t *)a],
			   *y = &items[*(const uint32_t *)b];
	if (x->pack != y->pack)
		return x->pack < y->pack ? -1 : 1;
	return x->off < y->off ? -1 : x->off > y->off;
}

/* Who reads all records reads each pack once. */
static enum err put_in_order(struct version *v, struct errtext *et)
{
	v->order = malloc((v->n + 1) * sizeof *v->order);
	if (!v->order)
		return no_memory(et);
	for (size_t i = 0; i < v->n; i++)
		v->order[i] = (uint32_t)i;
	if (v->n)
		qsort_r(v->order, v->n, sizeof *v->order, by_place, v->items);
	return OK;
}

static enum err load(struct croft *c, const char *digest, struct version **out,
	const struct cancel *cancel, struct errtext *et)
{
	struct version *v = calloc(1, sizeof *v);
	int64_t items = 0;
	if (!v || !(v->arena = arena_new(0))) {
		free(v);
		return no_memory(et);
	}
	v->blobs = croft_blobs(c);
	snprintf(v->digest, sizeof v->digest, "%s", digest);
	enum err e = digest[0] ? tree_load(v->blobs, digest, &v->tree, et) : OK;
	if (!e && v->tree) {
		e = read_config(v, &items, et);
		e = e ? e : find_packs(v, et);
		e = e ? e : read_leaves(v, (size_t)items, cancel, et);
		e = e ? e : put_in_order(v, et);
	}
	if (e)
		free_version(v);
	else
		*out = v;
	return e;
}

/* ---- the last used ones ---- */

enum err versions_new(struct versions **out, struct errtext *et)
{
	struct versions *all = calloc(1, sizeof *all);
	if (!all)
		return no_memory(et);
	pthread_mutex_init(&all->mu, NULL);
	*out = all;
	return OK;
}

void versions_free(struct versions *all)
{
	if (!all)
		return;
	for (size_t i = 0; i < all->n; i++)
		free_version(all->list[i]);
	free(all->list);
	pthread_mutex_destroy(&all->mu);
	free(all);
}

/* Under mu. */
static struct version *take(struct versions *all, const char *digest)
{
	for (size_t i = 0; i < all->n; i++)
		if (!strcmp(all->list[i]->digest, digest)) {
			all->list[i]->users++;
			all->list[i]->used = ++all->clock;
			return all->list[i];
		}
	return NULL;
}

/* Under mu: the one that nobody uses and that was used longest ago; all->n: there is none. */
static size_t oldest(const struct versions *all)
{
	size_t best = all->n;
	for (size_t i = 0; i < all->n; i++)
		if (!all->list[i]->users &&
			(best == all->n || all->list[i]->used < all->list[best]->used))
			best = i;
	return best;
}

/* Under mu. */
static void shrink(struct versions *all, size_t limit)
{
	size_t bytes = 0, gone;
	for (size_t i = 0; i < all->n; i++)
		bytes += version_bytes(all->list[i]);
	while (bytes > limit && (gone = oldest(all)) < all->n) {
		bytes -= version_bytes(all->list[gone]);
		free_version(all->list[gone]);
		all->list[gone] = all->list[--all->n];
	}
}

/* Under mu; one that was loaded twice at the same time is two. */
static bool keep(struct versions *all, struct version *v)
{
	if (all->n == all->cap) {
		size_t cap = all->cap ? 2 * all->cap : 16;
		struct version **list = realloc(all->list, cap * sizeof *list);
		if (!list)
			return false;
		all->list = list;
		all->cap = cap;
	}
	v->users = 1;
	v->used = ++all->clock;
	all->list[all->n++] = v;
	return true;
}

enum err version_load(struct croft *c, const char *digest, struct version **out,
	const struct cancel *cancel, struct errtext *et)
{
	struct versions *all = collections_of(c)->versions;
	pthread_mutex_lock(&all->mu);
	struct version *v = take(all, digest);
	pthread_mutex_unlock(&all->mu);
	if (v) {
		*out = v;
		return OK;
	}
	enum err e = load(c, digest, &v, cancel, et);
	if (e)
		return e;
	pthread_mutex_lock(&all->mu);
	bool kept = keep(all, v);
	if (kept)
		shrink(all, (size_t)setting_int(c, "collection.version_bytes"));
	pthread_mutex_unlock(&all->mu);
	if (!kept) {
		free_version(v);
		return no_memory(et);
	}
	*out = v;
	return OK;
}

void version_put(struct croft *c, struct version *v)
{
	if (!v)
		return;
	struct versions *all = collections_of(c)->versions;
	pthread_mutex_lock(&all->mu);
	v->users--;
	shrink(all, (size_t)setting_int(c, "collection.version_bytes"));
	pthread_mutex_unlock(&all->mu);
}

/* ---- items ---- */

size_t version_from(const struct version *v, struct str id)
{
	size_t low = 0, high = v->n;
	while (low < high) {
		size_t mid = (low + high) / 2;
		if (str_cmp(v->items[mid].id, id) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

const struct vitem *version_find(const struct version *v, struct str id)
{
	size_t i = version_from(v, id);
	return i < v->n && str_eq(v->items[i].id, id) ? &v->items[i] : NULL;
}

enum err vreader_get(
	struct vreader *r, const struct vitem *it, struct vrecord *out, struct errtext *et)
{
	const struct tree_file *f = r->v->packs[it->pack].file;
	size_t at = 0;
	while (at < VREADER_PACKS && r->kept[at].file != f)
		at++;
	if (at == VREADER_PACKS) {
		char *bytes = NULL;
		enum err e = read_file(r->v->blobs, f, VERSION_PACK_MAX, &bytes, et);
		if (e)
			return e;
		at = r->next++ % VREADER_PACKS;
		free(r->kept[at].bytes);
		r->kept[at].bytes = bytes;
		r->kept[at].file = f;
	}
	return vrecord_read(str_mk(r->kept[at].bytes + it->off, it->len), out, et);
}

static int by_item_place(const void *a, const void *b, void *ctx)
{
	const struct vitem *const *items = ctx, *x = items[*(const size_t *)a],
				  *y = items[*(const size_t *)b];
	if (x->pack != y->pack)
		return x->pack < y->pack ? -1 : 1;
	return x->off < y->off ? -1 : x->off > y->off;
}

enum err version_records(const struct version *v, const struct vitem *const *items, size_t n,
	vrecord_fn fn, void *ctx, const struct cancel *cancel, struct errtext *et)
{
	size_t *order = malloc((n + 1) * sizeof *order);
	struct vreader r = {.v = v};
	enum err e = order ? OK : no_memory(et);
	for (size_t i = 0; i < n && !e; i++)
		order[i] = i;
	if (!e && n)
		qsort_r(order, n, sizeof *order, by_item_place, (void *)items);
	for (size_t i = 0; i < n && !e; i++) {
		struct vrecord record;
		e = cancelled(cancel) ? err_set(et, ERR_CANCELLED, "cancelled")
				      : vreader_get(&r, items[order[i]], &record, et);
		e = e ? e : fn(ctx, order[i], &record, et);
	}
	vreader_end(&r);
	free(order);
	return e;
}

enum err vrecord_alone(const struct version *v, const struct vitem *it, char **bytes,
	struct vrecord *out, struct errtext *et)
{
	const struct tree_file *f = v->packs[it->pack].file;
	struct vitem is;
	uint64_t at = it->off;
	size_t done = 0;
	char *p = malloc(it->len + 1u);
	enum err e = p ? OK : no_memory(et);
	for (size_t i = 0; i < f->n_chunks && done < it->len && !e; i++) {
		const struct tree_chunk *c = &f->chunks[i];
		char hex[SHA256_HEX + 1];
		if (at >= c->size) {
			at -= c->size;
			continue;
		}
		size_t some = MIN(it->len - done, (size_t)(c->size - at));
		hex_encode(c->id, SHA256_BYTES, hex);
		e = blob_read(v->blobs, hex, at, p + done, some, et);
		done += some;
		at = 0;
	}
	e = e ? e : vrecord_read(str_mk(p, it->len), out, et);
	if (!e) {
		uint8_t digest[SHA256_BYTES];
		version_sums(out, &is);
		sha256_of(out->kept, digest);
		if (!version_same(&is, it) ||
			(out->kept.n && !str_eq(out->text, str_mk(digest, sizeof digest))))
			e = err_set(et, ERR_CORRUPT, "an item of the version %.12s is damaged",
				v->digest);
	}
	if (e)
		free(p);
	else
		*bytes = p;
	return e;
}

void vreader_end(struct vreader *r)
{
	for (size_t i = 0; i < VREADER_PACKS; i++)
		free(r->kept[i].bytes);
	memset(r->kept, 0, sizeof r->kept);
}
