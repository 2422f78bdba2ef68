/* The file of an index of segments: a head, a table of arrays, the arrays. */
#include "base/arena.h"
#include "base/hash.h"
#include "base/os.h"
#include "base/room.h"
#include "vector/segments.h"

#include <stdlib.h>

enum { VERSION = 1, ALIGN = 64 };
static const char magic[8] = "CROFTSG";

struct head {
	char magic[8];
	uint32_t version, tag;
	uint64_t mark, n_parts, n_arrays;
	uint32_t table_crc, crc; /* crc: of this head, taken as 0 */
};
_Static_assert(sizeof(struct head) == 48, "a head without holes");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are little-endian");

struct place {
	uint64_t at, n; /* bytes */
	uint32_t item, crc;
};

static uint64_t aligned(uint64_t n)
{
	return (n + ALIGN - 1) & ~(uint64_t)(ALIGN - 1);
}

/* ---- a map that segments share ---- */

struct segment_map {
	atomic_size_t refs;
	struct os_map file;
};

void segment_map_put(struct segment_map *m)
{
	if (!m || atomic_fetch_sub(&m->refs, 1) != 1)
		return;
	os_unmap(&m->file);
	free(m);
}

bool segment_map_has(const struct segment_map *m, const void *p)
{
	return m && (uintptr_t)p >= (uintptr_t)m->file.p &&
	       (uintptr_t)p - (uintptr_t)m->file.p <= m->file.n;
}

void segment_free(const struct segment *s, void *array)
{
	if (!segment_map_has(s->map, array))
		free(array);
}

/* ---- writing ---- */

struct segment_out {
	struct arena *copies;
	struct array {
		const void *p;
		struct place place;
	} * arrays;
	size_t n, cap;
	bool failed;
};

void segment_give(struct segment_out *o, const void *p, size_t item, size_t n)
{
	if (o->failed || !heap_room(o->arrays, o->n, o->cap)) {
		o->failed = true;
		return;
	}
	o->arrays[o->n++] = (struct array){
		p, {.n = item * n, .item = (uint32_t)item, .crc = n ? crc32c(0, p, item * n) : 0}};
}

void segment_give_copy(struct segment_out *o, const void *p, size_t n)
{
	void *copy = arena_alloc(o->copies, n + 1);
	if (copy)
		memcpy(copy, p, n);
	o->failed |= !copy;
	segment_give(o, copy, 1, n);
}

void segment_give_keys(struct segment_out *o, const struct segment *s)
{
	segment_give(o, s->keys, sizeof *s->keys, s->n_docs);
	segment_give(o, s->order, sizeof *s->order, s->order ? s->n_docs : 0);
}

static enum err write_padded(int fd, const void *p, uint64_t n, struct errtext *et)
{
	static const uint8_t zeros[ALIGN];
	enum err e = n ? os_write_all(fd, p, n, et) : OK;
	return e || aligned(n) == n ? e : os_write_all(fd, zeros, aligned(n) - n, et);
}

struct saving {
	struct segment_out *o;
	struct head *h;
};

static enum err write_all(void *ctx, int fd, struct errtext *et)
{
	const struct saving *w = ctx;
	struct segment_out *o = w->o;
	struct head *h = w->h;
	struct place *table = calloc(o->n + 1, sizeof *table);
	uint64_t size = o->n * sizeof *table, at = ALIGN + aligned(size);
	if (!table || o->failed) {
		free(table);
		return err_set(et, ERR_NOMEM, "no memory to save an index");
	}
	for (size_t i = 0; i < o->n; i++) {
		table[i] = o->arrays[i].place;
		table[i].at = at;
		at += aligned(table[i].n);
	}
	h->n_arrays = o->n;
	h->table_crc = crc32c(0, table, size);
	h->crc = crc32c(0, h, sizeof *h);
	enum err e = write_padded(fd, h, sizeof *h, et);
	e = e ? e : write_padded(fd, table, size, et);
	for (size_t i = 0; i < o->n && !e; i++)
		e = write_padded(fd, o->arrays[i].p, table[i].n, et);
	free(table);
	return e;
}

static void give_all(struct segment_out *o, const struct segments *x, const struct segment_snap *s,
	struct str label)
{
	segment_give_copy(o, label.p, label.n);
	for (size_t i = 0; i < s->n_parts; i++) {
		const struct segment_part *p = &s->parts[i];
		segment_give(o, p->live->dead, sizeof(uint64_t),
			p->live->dead ? segment_words(p->seg->n_docs) : 0);
		x->kind->write(o, p->seg);
	}
}

enum err segments_save(
	struct segments *x, const char *path, uint64_t mark, struct str label, struct errtext *et)
{
	struct segment_snap *s = segments_get(x);
	struct segment_out o = {.copies = arena_new(0)};
	struct head h = {
		.version = VERSION, .tag = x->kind->tag, .mark = mark, .n_parts = s->n_parts};
	memcpy(h.magic, magic, sizeof magic);
	enum err e = o.copies ? OK : err_set(et, ERR_NOMEM, "no memory to save an index");
	if (!e) {
		give_all(&o, x, s, label);
		e = os_write_atomic_by(path, write_all, &(struct saving){&o, &h}, et);
	}
	segments_put_back(x, s);
	free(o.arrays);
	arena_free(o.copies);
	return e;
}

/* ---- reading ---- */

struct segment_in {
	struct segment_map *map;
	const struct place *table;
	size_t n, next;
	uint64_t max_key;
	const char *why;
};

void *segment_bad(struct segment_in *in, const char *why)
{
	in->why = in->why ? in->why : why;
	return NULL;
}

bool segment_is_bad(const struct segment_in *in)
{
	return in->why != NULL;
}

const void *segment_take_all(struct segment_in *in, size_t item, size_t *n)
{
	*n = 0;
	if (in->why || in->next == in->n)
		return segment_bad(in, "an array is missing");
	const struct place *p = &in->table[in->next++];
	if (p->item != item || p->n % item)
		return segment_bad(in, "an array of another kind");
	*n = p->n / item;
	return (const char *)in->map->file.p + p->at;
}

const void *segment_take(struct segment_in *in, size_t item, size_t n)
{
	size_t got;
	const void *p = segment_take_all(in, item, &got);
	return p && got != n ? segment_bad(in, "an array of another size") : p;
}

bool segment_take_copy(struct segment_in *in, void *out, size_t n)
{
	const void *p = segment_take(in, 1, n);
	if (p)
		memcpy(out, p, n);
	return p != NULL;
}

struct segment *segment_take_bare(struct segment_in *in, size_t size, uint32_t n_docs)
{
	struct segment *s = in->why ? NULL : calloc(1, size);
	if (!s)
		return NULL;
	atomic_init(&s->refs, 1);
	s->n_docs = n_docs;
	s->bytes = size;
	s->map = in->map;
	atomic_fetch_add(&in->map->refs, 1);
	return s;
}

/* In ascending order, each once, none too high. */
static bool keys_ascend(const struct segment_in *in, const struct segment *s)
{
	uint64_t before = 0;
	for (uint32_t i = 0; i < s->n_docs; i++) {
		uint32_t doc = s->order ? s->order[i] : i;
		if (doc >= s->n_docs || s->keys[doc] > in->max_key || (i && s->keys[doc] <= before))
			return false;
		before = s->keys[doc];
	}
	return true;
}

struct segment *segment_take_keys(struct segment_in *in, size_t size)
{
	size_t n, n_order;
	const void *keys = segment_take_all(in, sizeof(uint64_t), &n);
	const void *order = segment_take_all(in, sizeof(uint32_t), &n_order);
	if (n >= INT32_MAX || (n_order && n_order != n))
		return segment_bad(in, "impossible numbers");
	struct segment *s = segment_take_bare(in, size, (uint32_t)n);
	if (!s)
		return NULL;
	s->keys = (uint64_t *)keys;
	s->order = n_order ? (uint32_t *)order : NULL;
	s->bytes += n * sizeof(uint64_t) + n_order * sizeof(uint32_t);
	if (!keys_ascend(in, s))
		segment_bad(in, "keys that do not ascend, or are too high");
	return s;
}

static enum err corrupt(const char *path, const char *what, struct errtext *et)
{
	return err_set(et, ERR_CORRUPT, "%s: a damaged index: %s", path, what);
}

/* What fills up the n bytes at `at`. */
static bool padded(const struct os_map *m, uint64_t at, uint64_t n)
{
	const uint8_t *p = m->p;
	for (uint64_t i = at + n; i < at + aligned(n); i++)
		if (i >= m->n || p[i])
			return false;
	return true;
}

/* That the arrays are what was written, and fill the file. */
static enum err check_table(const char *path, const struct os_map *m, const struct head *h,
	const struct place *table, struct errtext *et)
{
	uint64_t at = ALIGN + aligned(h->n_arrays * sizeof *table);
	for (size_t i = 0; i < h->n_arrays; i++) {
		const struct place *p = &table[i];
		if (at > m->n || p->at != at || p->n > m->n - at || !p->item)
			return corrupt(path, "it is cut, or its arrays lie wrong", et);
		if (!padded(m, at, p->n) ||
			(p->n && crc32c(0, (const char *)m->p + at, p->n) != p->crc))
			return corrupt(path, "an array of it has changed", et);
		at += aligned(p->n);
	}
	return at == m->n ? OK : corrupt(path, "it is cut, or something follows it", et);
}

static enum err read_head(const char *path, const struct segments_kind *kind,
	const struct os_map *m, struct head *h, struct errtext *et)
{
	if (m->n < ALIGN || memcmp(m->p, magic, sizeof magic) != 0)
		return corrupt(path, "it does not begin like one", et);
	memcpy(h, m->p, sizeof *h);
	uint32_t crc = h->crc;
	h->crc = 0;
	if (crc32c(0, h, sizeof *h) != crc)
		return corrupt(path, "its head", et);
	if (h->version != VERSION)
		return err_set(et, ERR_UNSUPPORTED,
			"%s: an index of version %u, this program reads %d", path, h->version,
			VERSION);
	if (h->tag != kind->tag)
		return corrupt(path, "it is an index of something else", et);
	if (h->n_arrays > (m->n - ALIGN) / sizeof(struct place) || h->n_parts > h->n_arrays)
		return corrupt(path, "impossible numbers", et);
	const struct place *table = (const void *)((const char *)m->p + ALIGN);
	if (!padded(m, 0, sizeof *h) || !padded(m, ALIGN, h->n_arrays * sizeof *table) ||
		crc32c(0, table, h->n_arrays * sizeof *table) != h->table_crc)
		return corrupt(path, "its table", et);
	return check_table(path, m, h, table, et);
}

/* No mark beyond the last document; NULL when nobody is dead. */
static const uint64_t *take_dead(struct segment_in *in, size_t *n)
{
	const uint64_t *dead = segment_take_all(in, sizeof *dead, n);
	return *n ? dead : NULL;
}

static bool read_part(struct segments *x, struct segment_in *in, struct segment_snap *s)
{
	size_t words;
	const uint64_t *dead = take_dead(in, &words);
	struct segment *seg = in->why ? NULL : x->kind->read(x, in);
	if (seg && dead && words != segment_words(seg->n_docs))
		segment_bad(in, "marks of another size");
	if (!seg || in->why) {
		segment_put(x->kind, seg);
		return false;
	}
	return segments_add_part(x->kind, s, seg, dead);
}

static bool read_parts(
	struct segments *x, struct segment_in *in, const struct head *h, struct segment_snap *s)
{
	bool ok = true;
	for (size_t i = 0; i < h->n_parts && ok; i++)
		ok = read_part(x, in, s);
	if (ok && in->next != in->n)
		segment_bad(in, "an array too many");
	for (size_t i = 0; i < s->n_parts; i++)
		s->n_docs += s->parts[i].live->n_docs;
	if (ok && !in->why && x->kind->count)
		x->kind->count(x, s);
	return ok && !in->why;
}

static enum err read_file(struct segments *x, const char *path, struct segment_map *map,
	struct str label, uint64_t max_key, uint64_t *mark, struct errtext *et)
{
	struct head h;
	enum err e = read_head(path, x->kind, &map->file, &h, et);
	if (e)
		return e;
	struct segment_in in = {.map = map,
		.table = (const void *)((const char *)map->file.p + ALIGN),
		.n = h.n_arrays,
		.max_key = max_key};
	size_t n;
	const char *has = segment_take_all(&in, 1, &n);
	if (!has || !str_eq(str_mk(has, n), label))
		return corrupt(path, "it was made for other settings", et);
	struct segment_snap *s = segments_snap_new(x->kind, h.n_parts), *former = x->snap;
	bool ok = s && read_parts(x, &in, &h, s);
	if (ok)
		segments_show(x, s);
	segments_put_back(x, ok ? former : s);
	if (ok && mark)
		*mark = h.mark;
	return ok       ? OK
	       : in.why ? corrupt(path, in.why, et)
			: err_set(et, ERR_NOMEM, "no memory to load an index");
}

enum err segments_open(struct segments *x, const char *path, struct str label, uint64_t max_key,
	uint64_t *mark, struct errtext *et)
{
	struct segment_map *map = calloc(1, sizeof *map);
	if (!map)
		return err_set(et, ERR_NOMEM, "no memory to load an index");
	atomic_init(&map->refs, 1);
	enum err e = os_map_file(path, &map->file, et);
	if (e) {
		free(map);
		return e;
	}
	pthread_mutex_lock(&x->write);
	e = read_file(x, path, map, label, max_key, mark, et);
	pthread_mutex_unlock(&x->write);
	segment_map_put(map);
	return e;
}
