/* Two trees compared: which files were added, removed, changed, and how much they share. */
#include "artifact/tree_int.h"
#include "base/map.h"

static struct str id_of(const struct tree_chunk *c)
{
	return str_mk(c->id, SHA256_BYTES);
}

static bool note_chunks(struct map *m, const struct tree_file *f)
{
	for (size_t i = 0; i < f->n_chunks; i++)
		if (!map_put(m, id_of(&f->chunks[i]), m))
			return false;
	return true;
}

static uint64_t bytes_in(const struct map *m, const struct tree_file *f)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < f->n_chunks; i++)
		if (map_get(m, id_of(&f->chunks[i])))
			sum += f->chunks[i].size;
	return sum;
}

static bool same_file(const struct tree_file *a, const struct tree_file *b)
{
	return a->size == b->size && a->executable == b->executable &&
	       !strcmp(a->sha256, b->sha256);
}

static enum err changed(struct tree_diff *d, const struct tree_file *a, const struct tree_file *b)
{
	if (a && b && same_file(a, b)) {
		d->same++;
		return OK;
	}
	struct tree_delta *x = &d->deltas[d->n++];
	*x = (struct tree_delta){a && b ? TREE_CHANGED : a ? TREE_REMOVED : TREE_ADDED, a, b, 0};
	if (a && b) {
		struct map m = {0};
		bool ok = note_chunks(&m, a);
		x->shared = ok ? bytes_in(&m, b) : 0;
		map_free(&m);
		return ok ? OK : ERR_NOMEM;
	}
	return OK;
}

static enum err merge(const struct tree *a, const struct tree *b, struct tree_diff *d)
{
	size_t i = 0, k = 0;
	enum err e = OK;
	while (!e && (i < a->n_files || k < b->n_files)) {
		const struct tree_file *x = i < a->n_files ? &a->files[i] : NULL;
		const struct tree_file *y = k < b->n_files ? &b->files[k] : NULL;
		int c = !x ? 1 : !y ? -1 : str_cmp(x->path, y->path);
		e = changed(d, c <= 0 ? x : NULL, c >= 0 ? y : NULL);
		i += c <= 0;
		k += c >= 0;
	}
	return e;
}

enum err tree_diff(const struct tree *a, const struct tree *b, struct arena *arena,
	struct tree_diff *out, struct errtext *et)
{
	struct tree_diff d = {0};
	struct map all = {0};
	d.deltas = arena_array_of(arena, a->n_files + b->n_files + 1, struct tree_delta);
	enum err e = d.deltas ? merge(a, b, &d) : ERR_NOMEM;
	for (size_t i = 0; i < a->n_files && !e; i++)
		if (!note_chunks(&all, &a->files[i]))
			e = ERR_NOMEM;
	for (size_t i = 0; i < b->n_files && !e; i++)
		d.shared += bytes_in(&all, &b->files[i]);
	map_free(&all);
	if (e)
		return err_set(et, e, "no memory to compare two trees");
	d.fresh = b->bytes - d.shared;
	*out = d;
	return OK;
}
