/* Items to a tree. Records that the base has stay where they are; others go into packs, which are
 * written when they are full; at the end packs of the base of which less than half is needed are
 * written anew, then the leaves, of which those that the base has too cost nothing. */
#include "collection/version_int.h"

#include <stdlib.h>

/* A pack of the tree that is being made. */
struct out_pack {
	uint64_t key, live;
	const struct tree_file *kept; /* of the base; NULL: it was written */
};

struct vwriter {
	struct croft *c;
	const struct version *base;
	struct tree_writer *tree;
	struct arena *arena; /* ids */
	struct vitem *items; /* .pack: into packs, once its own is closed */
	size_t n, cap;
	struct out_pack *packs; /* first those of the base */
	size_t n_packs, cap_packs;
	bool tight;
	struct map by_key;        /* to index + 1 */
	struct buf open, waiting; /* the open pack; indexes of the items in it */
};

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a version of a collection");
}

static enum err new_pack(struct vwriter *w, struct out_pack p, uint32_t *index, struct errtext *et)
{
	if (w->n_packs == w->cap_packs) {
		size_t cap = w->cap_packs ? 2 * w->cap_packs : 64;
		struct out_pack *packs = realloc(w->packs, cap * sizeof *packs);
		if (!packs)
			return no_memory(et);
		w->packs = packs;
		w->cap_packs = cap;
	}
	uintptr_t value = w->n_packs + 1;
	if (!map_put(&w->by_key, str_mk(&p.key, sizeof p.key), (void *)value))
		return no_memory(et);
	*index = (uint32_t)w->n_packs;
	w->packs[w->n_packs++] = p;
	return OK;
}

static bool find_key(const struct vwriter *w, uint64_t key, uint32_t *index)
{
	uintptr_t value = (uintptr_t)map_get(&w->by_key, str_mk(&key, sizeof key));
	*index = (uint32_t)(value - 1);
	return value != 0;
}

enum err vwriter_open(
	struct croft *c, const struct version *base, struct vwriter **out, struct errtext *et)
{
	struct vwriter *w = calloc(1, sizeof *w);
	size_t n = base ? base->n_packs : 0;
	if (w) {
		w->c = c;
		w->base = base;
		w->arena = arena_new(0);
	}
	enum err e = w && w->arena ? tree_writer_open(croft_blobs(c), &w->tree, et) : no_memory(et);
	for (size_t i = 0; i < n && !e; i++) {
		uint32_t index;
		e = new_pack(w, (struct out_pack){base->packs[i].key, 0, base->packs[i].file},
			&index, et);
	}
	if (e)
		vwriter_drop(w);
	else
		*out = w;
	return e;
}

void vwriter_drop(struct vwriter *w)
{
	if (!w)
		return;
	tree_writer_drop(w->tree);
	arena_free(w->arena);
	free(w->items);
	free(w->packs);
	map_free(&w->by_key);
	buf_free(&w->open);
	buf_free(&w->waiting);
	free(w);
}

/* ---- items ---- */

static struct vitem *new_item(struct vwriter *w, const struct vitem *from, struct errtext *et)
{
	if (w->n == w->cap) {
		size_t cap = w->cap ? w->cap + w->cap / 2 : 1024;
		struct vitem *items = realloc(w->items, cap * sizeof *items);
		if (items) {
			w->items = items;
			w->cap = cap;
		}
	}
	struct str id = w->n < w->cap ? arena_str(w->arena, from->id) : (struct str){0};
	if (!id.p || w->n >= VERSION_ITEMS_MAX) {
		no_memory(et);
		return NULL;
	}
	w->items[w->n] = *from;
	w->items[w->n].id = id;
	return &w->items[w->n++];
}

/* The name of a pack is the beginning of its hash: equal packs are one file. */
static enum err close_pack(struct vwriter *w, struct errtext *et)
{
	uint8_t digest[SHA256_BYTES];
	char path[32];
	uint64_t key = 0;
	uint32_t index = 0, at;
	enum err e = w->open.err || w->waiting.err ? no_memory(et) : OK;
	if (e || !w->open.n)
		return e;
	sha256_of(buf_str(&w->open), digest);
	for (size_t i = 0; i < 8; i++)
		key = key << 8 | digest[i];
	if (!find_key(w, key, &index)) {
		snprintf(path, sizeof path, "data/%016llx", (unsigned long long)key);
		e = tree_writer_bytes(w->tree, str_c(path), buf_str(&w->open), et);
		e = e ? e : new_pack(w, (struct out_pack){.key = key}, &index, et);
	}
	for (size_t i = 0; i < w->waiting.n && !e; i += sizeof at) {
		memcpy(&at, w->waiting.p + i, sizeof at);
		w->items[at].pack = index;
		w->packs[index].live += w->items[at].len;
	}
	buf_clear(&w->waiting);
	buf_clear(&w->open);
	return e;
}

static enum err append(
	struct vwriter *w, struct vitem *it, const struct vrecord *r, struct errtext *et)
{
	uint32_t at = (uint32_t)(it - w->items);
	buf_add(&w->waiting, &at, sizeof at);
	it->off = (uint32_t)w->open.n;
	vrecord_write(r, &w->open);
	it->len = (uint32_t)(w->open.n - it->off);
	return w->open.n < VERSION_PACK_BYTES ? OK : close_pack(w, et);
}

enum err vwriter_add(
	struct vwriter *w, const struct vitem *from, const struct vrecord *r, struct errtext *et)
{
	struct vitem *it = new_item(w, from, et);
	return it ? append(w, it, r, et) : ERR_NOMEM;
}

/* The pack of another version becomes one of this tree when it is first needed. */
static enum err adopt(struct vwriter *w, const struct version *from, uint32_t pack, uint32_t *out,
	struct errtext *et)
{
	const struct vpack *p = &from->packs[pack];
	if (from == w->base) {
		*out = pack;
		return OK;
	}
	if (find_key(w, p->key, out))
		return OK;
	return new_pack(w, (struct out_pack){p->key, 0, p->file}, out, et);
}

enum err vwriter_keep(
	struct vwriter *w, const struct version *from, const struct vitem *src, struct errtext *et)
{
	uint32_t pack = 0;
	enum err e = adopt(w, from, src->pack, &pack, et);
	struct vitem *it = e ? NULL : new_item(w, src, et);
	if (!it)
		return e ? e : ERR_NOMEM;
	it->pack = pack;
	w->packs[pack].live += it->len;
	return OK;
}

/* ---- packs that have become mostly waste ---- */

static bool wasteful(const struct vwriter *w, const struct out_pack *p)
{
	return p->kept && p->live && p->live < (w->tight ? p->kept->size : p->kept->size / 2);
}

void vwriter_tight(struct vwriter *w)
{
	w->tight = true;
}

static enum err read_old(
	const struct vwriter *w, const struct tree_file *f, char **out, struct errtext *et)
{
	char *bytes = malloc((size_t)f->size + 1);
	enum err e = bytes ? tree_read(croft_blobs(w->c), f, 0, bytes, (size_t)f->size, et)
			   : no_memory(et);
	if (e)
		free(bytes);
	else
		*out = bytes;
	return e;
}

/* An item whose record moves. */
struct moving {
	uint32_t pack, at;
};

static int by_pack(const void *a, const void *b)
{
	const struct moving *x = a, *y = b;
	return x->pack != y->pack ? (x->pack < y->pack ? -1 : 1) : x->at < y->at ? -1 : 1;
}

static enum err move_all(struct vwriter *w, const struct moving *m, size_t n, struct errtext *et)
{
	char *bytes = NULL;
	enum err e = OK;
	for (size_t i = 0; i < n && !e; i++) {
		struct vitem *it = &w->items[m[i].at];
		struct vrecord r;
		if (!i || m[i].pack != m[i - 1].pack) {
			free(bytes);
			bytes = NULL;
			e = read_old(w, w->packs[m[i].pack].kept, &bytes, et);
		}
		e = e ? e : vrecord_read(str_mk(bytes + it->off, it->len), &r, et);
		w->packs[m[i].pack].live -= it->len;
		e = e ? e : append(w, it, &r, et);
	}
	free(bytes);
	return e;
}

static enum err compact(struct vwriter *w, struct errtext *et)
{
	struct buf list = {0};
	for (size_t i = 0; i < w->n; i++) {
		struct moving m = {w->items[i].pack, (uint32_t)i};
		if (wasteful(w, &w->packs[m.pack]))
			buf_add(&list, &m, sizeof m);
	}
	size_t n = list.n / sizeof(struct moving);
	enum err e = list.err ? no_memory(et) : OK;
	if (!e && n) {
		qsort(list.p, n, sizeof(struct moving), by_pack);
		e = move_all(w, (const struct moving *)list.p, n, et);
	}
	buf_free(&list);
	return e ? e : close_pack(w, et);
}

/* ---- leaves ---- */

static enum err write_leaf(
	struct vwriter *w, const struct vitem *first, const struct buf *leaf, struct errtext *et)
{
	char path[48], name[SHA256_HEX + 1], sum[SHA256_HEX + 1];
	sha256_hex_of(first->id, name);
	snprintf(path, sizeof path, "index/%.32s", name);
	const struct tree_file *old =
		w->base && w->base->tree ? tree_find(w->base->tree, str_c(path)) : NULL;
	if (leaf->err)
		return no_memory(et);
	sha256_hex_of(buf_str(leaf), sum);
	return old && !strcmp(old->sha256, sum)
		       ? tree_writer_keep(w->tree, old, S(""), et)
		       : tree_writer_bytes(w->tree, str_c(path), buf_str(leaf), et);
}

static enum err write_leaves(struct vwriter *w, struct errtext *et)
{
	struct buf leaf = {0};
	size_t first = 0;
	enum err e = OK;
	for (size_t i = 0; i < w->n && !e; i++) {
		const struct vitem *it = &w->items[i];
		vleaf_add(&leaf, it, w->packs[it->pack].key);
		if (i + 1 < w->n && !vleaf_ends(it->id) && i - first + 1 < VERSION_LEAF_ITEMS)
			continue;
		e = write_leaf(w, &w->items[first], &leaf, et);
		buf_clear(&leaf);
		first = i + 1;
	}
	buf_free(&leaf);
	return e;
}

static enum err write_config(struct vwriter *w, struct str config, struct errtext *et)
{
	struct buf b = {0};
	buf_addf(&b, "{\"croft\":\"collection/1\",\"items\":%zu,\"config\":", w->n);
	buf_adds(&b, config);
	buf_putc(&b, '}');
	enum err e = b.err ? no_memory(et)
			   : tree_writer_bytes(w->tree, S("collection.json"), buf_str(&b), et);
	buf_free(&b);
	return e;
}

enum err vwriter_finish(
	struct vwriter *w, struct str config, struct tree_sum *out, struct errtext *et)
{
	enum err e = close_pack(w, et);
	e = e ? e : compact(w, et);
	for (size_t i = 0; i < w->n_packs && !e; i++)
		if (w->packs[i].kept && w->packs[i].live)
			e = tree_writer_keep(w->tree, w->packs[i].kept, S(""), et);
	e = e ? e : write_leaves(w, et);
	e = e ? e : write_config(w, config, et);
	if (!e) {
		e = tree_writer_finish(w->tree, out, et);
		w->tree = NULL;
	}
	vwriter_drop(w);
	return e;
}
