/* The file of a vector index: one page that says what is in it, then each array, page by page, as
 * it lies in memory, so that it can be mapped back. Every byte is under a checksum. */
#include "base/hash.h"
#include "base/os.h"
#include "vector/index_int.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, PARTS = 6 + LAYERS, VERSION = 2 };
static const char magic[8] = "CROFTVX";

struct head {
	char magic[8];
	uint32_t version, dim, metric, type, degree, build_ef, exact_below, ef;
	uint32_t used, live, graph, unused;
	uint64_t mark;
	struct {
		uint64_t at, n; /* bytes, whole pages */
		uint32_t crc, item;
	} parts[PARTS];
	struct {
		uint64_t n_offered;
		uint32_t n, slots[ENTRIES];
	} entries[LAYERS];
	uint32_t crc; /* of this page, taken as 0 */
};
_Static_assert(sizeof(struct head) <= PAGE, "the head fits a page");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are little-endian");

static void parts_of(struct vindex *x, struct region *out[PARTS])
{
	struct region *all[] = {
		&x->rows.hi, &x->rows.low, &x->rows.scale, &x->rows.norm, &x->keys, &x->dead};
	memcpy(out, all, sizeof all);
	for (unsigned i = 0; i < LAYERS; i++)
		out[PARTS - LAYERS + i] = &x->layers[i].links;
}

/* Places that `used` slots take of a part. */
static uint64_t part_places(int part, uint32_t used, bool graph)
{
	if (part == PARTS - LAYERS - 1) /* marks of the dead */
		return ((uint64_t)used + 63) / 64;
	if (part < PARTS - LAYERS)
		return used;
	return graph ? layer_places((unsigned)(part - (PARTS - LAYERS)), used) : 0;
}

static uint64_t part_bytes(struct vindex *x, int part, uint32_t used, bool graph)
{
	struct region *parts[PARTS];
	parts_of(x, parts);
	return part_places(part, used, graph) * parts[part]->item;
}

static uint64_t pages(uint64_t n)
{
	return (n + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

/* ---- writing ---- */

static enum err write_part(int fd, const uint8_t *p, uint64_t n, uint32_t *crc, struct errtext *et)
{
	static const uint8_t zeros[PAGE];
	*crc = crc32c(crc32c(0, p, n), zeros, pages(n) - n);
	enum err e = os_write_all(fd, p, n, et);
	return e ? e : os_write_all(fd, zeros, pages(n) - n, et);
}

static enum err write_all(struct vindex *x, int fd, uint64_t mark, struct errtext *et)
{
	union {
		struct head h;
		uint8_t page[PAGE];
	} u = {0};
	struct head *h = &u.h;
	struct region *parts[PARTS];
	uint32_t used = atomic_load(&x->used);
	bool graph = atomic_load(&x->graph);
	memcpy(h->magic, magic, sizeof magic);
	h->version = VERSION;
	h->dim = x->o.dim;
	h->metric = x->o.metric;
	h->type = x->o.type;
	h->degree = x->o.degree;
	h->build_ef = x->o.build_ef;
	h->exact_below = x->o.exact_below;
	h->ef = atomic_load(&x->ef);
	h->used = used;
	h->live = (uint32_t)atomic_load(&x->live);
	h->graph = graph;
	h->mark = mark;
	for (unsigned i = 0; i < LAYERS; i++) {
		struct layer *l = &x->layers[i];
		h->entries[i].n_offered = l->n_offered;
		h->entries[i].n = atomic_load(&l->n_entries);
		for (uint32_t j = 0; j < h->entries[i].n; j++)
			h->entries[i].slots[j] = atomic_load(&l->entry[j]);
	}
	uint64_t at = PAGE;
	enum err e = lseek(fd, PAGE, SEEK_SET) < 0 ? err_errno(et, "seek") : OK;
	parts_of(x, parts);
	for (int i = 0; !e && i < PARTS; i++) {
		uint64_t n = part_bytes(x, i, used, graph);
		h->parts[i].at = at;
		h->parts[i].n = pages(n);
		h->parts[i].item = (uint32_t)parts[i]->item;
		e = write_part(fd, parts[i]->p, n, &h->parts[i].crc, et);
		at += pages(n);
	}
	h->crc = crc32c(0, &u, PAGE);
	if (!e && lseek(fd, 0, SEEK_SET) < 0)
		e = err_errno(et, "seek");
	return e ? e : os_write_all(fd, &u, PAGE, et);
}

struct saving {
	struct vindex *x;
	uint64_t mark;
};

static enum err save_locked(void *ctx, int fd, struct errtext *et)
{
	const struct saving *s = ctx;
	pthread_mutex_lock(&s->x->write);
	enum err e = write_all(s->x, fd, s->mark, et);
	pthread_mutex_unlock(&s->x->write);
	return e;
}

enum err vindex_save(struct vindex *x, const char *path, uint64_t mark, struct errtext *et)
{
	return os_write_atomic_by(path, save_locked, &(struct saving){x, mark}, et);
}

/* ---- reading ---- */

static enum err corrupt(const char *path, const char *what, struct errtext *et)
{
	return err_set(et, ERR_CORRUPT, "%s: a damaged vector index: %s", path, what);
}

static enum err read_head(
	const char *path, const struct os_map *m, struct head *h, struct errtext *et)
{
	uint8_t page[PAGE];
	if (m->n < PAGE || memcmp(m->p, magic, sizeof magic) != 0)
		return corrupt(path, "it does not begin like one", et);
	memcpy(page, m->p, PAGE);
	memcpy(h, page, sizeof *h);
	memset(page + offsetof(struct head, crc), 0, sizeof h->crc);
	if (crc32c(0, page, PAGE) != h->crc)
		return corrupt(path, "its first page", et);
	if (h->version != VERSION)
		return err_set(et, ERR_UNSUPPORTED,
			"%s: a vector index of version %u, this program reads %u", path, h->version,
			VERSION);
	if (h->metric > VINDEX_L1 || h->type > VINDEX_BIT ||
		(h->metric == VINDEX_L1 && h->type == VINDEX_BIT) || h->graph > 1 ||
		h->live > h->used || h->used >= SLOTS_MAX)
		return corrupt(path, "impossible numbers", et);
	return OK;
}

/* Where the parts lie, and that they are what was written. */
static enum err check_parts(const char *path, const struct os_map *m, const struct head *h,
	struct vindex *x, struct errtext *et)
{
	struct region *parts[PARTS];
	uint64_t at = PAGE;
	parts_of(x, parts);
	for (int i = 0; i < PARTS; i++) {
		uint64_t n = pages(part_bytes(x, i, h->used, h->graph));
		if (h->parts[i].at != at || h->parts[i].n != n ||
			h->parts[i].item != parts[i]->item || n > m->n - at)
			return corrupt(path, "it is cut, or its parts lie wrong", et);
		if (crc32c(0, (const uint8_t *)m->p + at, n) != h->parts[i].crc)
			return corrupt(path, "a part of it has changed", et);
		at += n;
	}
	return at == m->n ? OK : corrupt(path, "something follows it", et);
}

static enum err place(int fd, const struct os_map *m, const struct head *h, struct vindex *x,
	bool mapped, struct errtext *et)
{
	struct region *parts[PARTS];
	parts_of(x, parts);
	for (int i = 0; i < PARTS; i++) {
		struct region *r = parts[i];
		size_t n = h->parts[i].n;
		/* The low bytes are read once a hit, not once a step: they may stay in the file. */
		if (n && (mapped || r == &x->rows.low)) {
			if (n > r->reserved ||
				mmap(r->p, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd,
					(off_t)h->parts[i].at) == MAP_FAILED)
				return err_set(et, ERR_NOMEM, "no memory to map a vector index");
			r->ready = n;
		} else if (n) {
			if (!region_grow(r, part_places(i, h->used, h->graph)))
				return err_set(et, ERR_NOMEM, "no memory to load a vector index");
			memcpy(r->p, (const uint8_t *)m->p + h->parts[i].at, MIN(n, r->ready));
		}
	}
	/* A search asks for marks of a whole word. */
	return region_grow(&x->dead, h->used / 64 + 1) && region_grow(&x->runs, h->used / 64 + 1) &&
			       (!h->graph || layers_grow(x, h->used))
		       ? OK
		       : err_set(et, ERR_NOMEM, "no memory to load a vector index");
}

static bool list_valid(const struct layer *l, unsigned layer, uint32_t slot, uint32_t used)
{
	const _Atomic uint32_t *links = links_of(l, slot);
	bool ended = false;
	for (uint32_t i = 0; i < l->degree; i++) {
		uint32_t s = links[i];
		if (s != NONE && (ended || s >= used || !layer_has(layer, s)))
			return false;
		ended |= s == NONE;
	}
	return true;
}

static bool links_valid(const struct vindex *x, unsigned layer, uint32_t used)
{
	for (uint32_t i = 0; i < layer_places(layer, used); i++) {
		uint32_t slot = layer_slot(layer, i);
		if (slot < used && !list_valid(&x->layers[layer], layer, slot, used))
			return false;
	}
	return true;
}

static enum err revive_layer(const char *path, const struct head *h, struct vindex *x,
	unsigned layer, struct errtext *et)
{
	struct layer *l = &x->layers[layer];
	uint32_t n = h->entries[layer].n;
	if (h->graph && !links_valid(x, layer, h->used))
		return corrupt(path, "impossible contents", et);
	if (n > ENTRIES)
		return corrupt(path, "impossible numbers", et);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t slot = h->entries[layer].slots[i];
		if (slot >= h->used || !layer_has(layer, slot))
			return corrupt(path, "impossible entries", et);
		atomic_store(&l->entry[i], slot);
	}
	l->n_offered = h->entries[layer].n_offered;
	atomic_store(&l->n_entries, n);
	return OK;
}

static bool numbers_valid(const struct vindex *x, uint32_t used)
{
	const float *scale = (const float *)(const void *)x->rows.scale.p;
	const float *norm = (const float *)(const void *)x->rows.norm.p;
	for (uint32_t i = 0; i < used; i++)
		if (!(scale[i] >= 0 && scale[i] < 1e19f) ||
			(x->rows.norm.item && !(norm[i] >= 0 && norm[i] < 1e38f)))
			return false;
	return true;
}

/* Arrays in place; the rest from them. A checksum is no proof: everything is looked at. */
static enum err revive(const char *path, const struct head *h, struct vindex *x, struct errtext *et)
{
	if (!numbers_valid(x, h->used))
		return corrupt(path, "impossible contents", et);
	for (unsigned i = 0; i < LAYERS; i++) {
		enum err e = revive_layer(path, h, x, i, et);
		if (e)
			return e;
	}
	for (uint32_t slot = 63; slot < h->used; slot += 64)
		run_check(x, slot);
	x->dying.p = malloc((h->used - h->live + 1) * sizeof(uint32_t));
	if (!x->dying.p || !table_reserve(x, h->live))
		return err_set(et, ERR_NOMEM, "no memory to load a vector index");
	x->dying.cap = h->used - h->live + 1;
	size_t live = 0;
	for (uint32_t slot = 0; slot < h->used; slot++) {
		bool dead = slot_dead(x, slot);
		if (dead ? x->dying.n == h->used - h->live
			 : live == h->live || table_put(x, key_of(x, slot), slot) != NONE)
			return corrupt(path, "a key that is there twice", et);
		if (dead)
			x->dying.p[x->dying.n++] = slot;
		live += !dead;
	}
	atomic_store(&x->live, live);
	atomic_store(&x->used, h->used);
	atomic_store(&x->graph, h->graph);
	atomic_store(&x->ef, h->ef ? h->ef : 64);
	return OK;
}

static enum err open_map(const char *path, int fd, const struct os_map *m,
	const struct vindex_options *limits, bool mapped, struct vindex **out, uint64_t *mark,
	struct errtext *et)
{
	struct head h = {0};
	enum err e = read_head(path, m, &h, et);
	if (e)
		return e;
	struct vindex_options o = {h.dim, h.metric, h.type, h.degree, h.build_ef, h.exact_below,
		limits ? limits->max_items : 0, limits ? limits->max_bytes : 0};
	struct vindex_bytes b;
	struct vindex *x = NULL;
	if (vindex_plan(&o, h.used, &b, NULL))
		return corrupt(path, "impossible options", et);
	if (o.max_bytes && b.total > o.max_bytes)
		return err_set(et, ERR_LIMIT, "%s: an index of %llu bytes, the limit is %llu", path,
			(unsigned long long)b.total, (unsigned long long)o.max_bytes);
	if (!o.max_items && h.used > SLOTS_MAX / 256)
		o.max_items = MIN((uint64_t)h.used * 2, SLOTS_MAX);
	e = vindex_new(&o, &x, et);
	if (e)
		return e;
	if (x->o.degree != h.degree || x->o.build_ef != h.build_ef)
		e = corrupt(path, "impossible options", et);
	else if (h.used > x->o.max_items)
		e = err_set(et, ERR_LIMIT, "%s: an index of %u items, the limit is %llu", path,
			h.used, (unsigned long long)x->o.max_items);
	e = e ? e : check_parts(path, m, &h, x, et);
	e = e ? e : place(fd, m, &h, x, mapped, et);
	e = e ? e : revive(path, &h, x, et);
	if (e) {
		vindex_free(x);
		return e;
	}
	*out = x;
	if (mark)
		*mark = h.mark;
	return OK;
}

enum err vindex_open(const char *path, const struct vindex_options *o, bool mapped,
	struct vindex **out, uint64_t *mark, struct errtext *et)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(et, "%s", path);
	struct os_map m = {0};
	enum err e = os_map_file(path, &m, et);
	if (!e && lseek(fd, 0, SEEK_END) != (off_t)m.n)
		e = err_set(et, ERR_CONFLICT, "%s: replaced while it was opened", path);
	if (!e)
		e = open_map(path, fd, &m, o, mapped, out, mark, et);
	if (m.p)
		os_unmap(&m);
	close(fd);
	return e;
}
