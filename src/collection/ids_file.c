/* Ids and counts of lists in a file:
 *
 *	head    magic, version, checksum of what follows, mark, items, lists
 *	items   by number: its distance from the one before (varint), a length, the id
 *	lists   place, most, numbers; then 16 bits for each number */
#include "collection/ids_file.h"
#include "base/hash.h"
#include "vector/pack.h"

#include <stdlib.h>

enum { VERSION = 1 };
static const char magic[8] = "CROFTID";

struct head {
	char magic[8];
	uint32_t version, crc;
	uint64_t mark, n_items;
	uint64_t n_lists;
};
struct list_head {
	uint32_t place, most;
	uint64_t n;
};

/* ---- writing ---- */

static void write_items(const struct ids_file *f, struct buf *out)
{
	size_t before = 0;
	for (size_t num = 0; num < f->n_nums; num++) {
		if (!f->id_at[num])
			continue;
		uint8_t gap[5];
		const char *id = f->bytes.p + f->id_at[num] - 1;
		uint8_t *end = varint_put(gap, (uint32_t)(num - before));
		buf_add(out, gap, (size_t)(end - gap));
		buf_add(out, id, 1 + (size_t)(uint8_t)*id);
		before = num;
	}
}

void ids_file_write(const struct ids_file *f, struct buf *out)
{
	size_t start = out->n;
	struct head h = {.version = VERSION, .mark = f->mark, .n_items = f->live};
	memcpy(h.magic, magic, sizeof magic);
	for (size_t s = 0; s < COLLECTION_SPACES_MAX; s++)
		h.n_lists += f->lists[s].there;
	if (f->n_nums > UINT32_MAX)
		out->err = out->err ? out->err : ERR_LIMIT;
	buf_add(out, &h, sizeof h);
	write_items(f, out);
	for (uint32_t s = 0; s < COLLECTION_SPACES_MAX; s++) {
		const struct ids_lists *l = &f->lists[s];
		struct list_head of = {s, l->most, l->n};
		if (!l->there)
			continue;
		buf_add(out, &of, sizeof of);
		buf_add(out, l->n_rows, l->n * sizeof *l->n_rows);
	}
	if (out->err)
		return;
	enum { FROM = offsetof(struct head, mark) };
	h.crc = crc32c(0, out->p + start + FROM, out->n - start - FROM);
	memcpy(out->p + start, &h, sizeof h);
}

/* ---- reading ---- */

static enum err corrupt(const char *what, struct errtext *et)
{
	return err_set(et, ERR_CORRUPT, "a damaged file of ids: %s", what);
}

void ids_file_free(struct ids_file *f)
{
	free(f->id_at);
	buf_free(&f->bytes);
	for (size_t s = 0; s < COLLECTION_SPACES_MAX; s++)
		free(f->lists[s].n_rows);
	*f = (struct ids_file){0};
}

static bool take(struct str *rest, void *to, size_t n)
{
	if (rest->n < n)
		return false;
	memcpy(to, rest->p, n);
	*rest = str_sub(*rest, n, SIZE_MAX);
	return true;
}

/* How many numbers there are up to the last item's. */
static bool measure(struct str items, uint64_t n, uint64_t max_num, struct str *rest, size_t *nums)
{
	const uint8_t *p = (const uint8_t *)items.p, *end = p + items.n;
	uint64_t num = 0;
	for (uint64_t i = 0; i < n; i++) {
		uint32_t gap;
		if (!varint_check(p, end))
			return false;
		p = varint_get(p, &gap);
		num += gap;
		if ((i && !gap) || num > max_num || p == end || *p > end - p - 1)
			return false;
		p += 1 + *p;
	}
	*nums = n ? (size_t)num + 1 : 0;
	*rest = str_mk(p, (size_t)(end - p));
	return true;
}

static enum err read_items(
	struct str *rest, uint64_t n, uint64_t max_num, struct ids_file *out, struct errtext *et)
{
	struct str items = *rest;
	if (!measure(items, n, max_num, rest, &out->n_nums))
		return corrupt("its items", et);
	out->id_at = calloc(out->n_nums + 1, sizeof *out->id_at);
	buf_reserve(&out->bytes, items.n - rest->n + 1);
	if (!out->id_at || out->bytes.err)
		return err_set(et, ERR_NOMEM, "no memory for the ids of a collection");
	const uint8_t *p = (const uint8_t *)items.p;
	uint64_t num = 0;
	for (uint64_t i = 0; i < n; i++) {
		uint32_t gap;
		p = varint_get(p, &gap);
		num += gap;
		out->id_at[num] = out->bytes.n + 1;
		buf_add(&out->bytes, p, 1 + (size_t)*p);
		p += 1 + *p;
	}
	out->live = (size_t)n;
	return OK;
}

static enum err read_list(
	struct str *rest, uint64_t max_num, struct ids_file *out, struct errtext *et)
{
	struct list_head h;
	if (!take(rest, &h, sizeof h) || h.place >= COLLECTION_SPACES_MAX ||
		out->lists[h.place].there || h.n > rest->n / sizeof(uint16_t) ||
		h.most > COLLECTION_ROWS_MAX)
		return corrupt("its lists", et);
	struct ids_lists *l = &out->lists[h.place];
	l->n_rows = malloc(h.n * sizeof *l->n_rows + 1);
	if (!l->n_rows)
		return err_set(et, ERR_NOMEM, "no memory for lists of vectors");
	l->there = true;
	l->most = h.most;
	l->n = h.n;
	if (h.n && !take(rest, l->n_rows, h.n * sizeof *l->n_rows))
		return corrupt("its lists", et);
	for (size_t i = 0; i < h.n; i++)
		if (l->n_rows[i] > h.most || (i > max_num && l->n_rows[i]))
			return corrupt("its lists", et);
	return OK;
}

enum err ids_file_read(struct str bytes, uint64_t max_num, struct ids_file *out, struct errtext *et)
{
	struct head h;
	struct str rest = bytes;
	struct ids_file f = {0};
	if (!take(&rest, &h, sizeof h) || memcmp(h.magic, magic, sizeof magic) != 0)
		return corrupt("it does not begin like one", et);
	if (h.version != VERSION)
		return err_set(et, ERR_UNSUPPORTED,
			"a file of ids of version %u, this program reads %d", h.version, VERSION);
	struct str under = str_sub(bytes, offsetof(struct head, mark), SIZE_MAX);
	if (crc32c(0, under.p, under.n) != h.crc)
		return corrupt("its checksum", et);
	f.mark = h.mark;
	enum err e = read_items(&rest, h.n_items, max_num, &f, et);
	for (uint64_t i = 0; i < h.n_lists && !e; i++)
		e = read_list(&rest, max_num, &f, et);
	if (!e && rest.n)
		e = corrupt("something follows it", et);
	if (e)
		ids_file_free(&f);
	else
		*out = f;
	return e;
}
