/* Trees made file by file, from streams and memory, and tree_add, which makes one from a folder:
 * both store chunks in one batch of blobs and end with the tree's own blob. */
#include "artifact/tree_int.h"

#include <stdlib.h>

struct tree_writer {
	struct blobs *b;
	struct blob_batch *batch;
	struct arena *arena;
	struct tree_file *files;
	size_t n, cap;
	uint8_t *buffer;
};

/* ---- the end of both ---- */

static enum err store_tree(struct blob_batch *g, struct tree_file *files, size_t n,
	struct tree_sum *out, struct errtext *et)
{
	struct buf json = {0};
	struct tree_sum sum = {.files = n};
	enum err e = tree_sort(files, n, et);
	if (!e)
		e = tree_render(files, n, &json, et);
	if (!e) {
		sha256_hex_of(buf_str(&json), sum.digest);
		e = blob_batch_put(g, sum.digest, buf_str(&json), et);
	}
	if (!e)
		e = blob_batch_commit(g, et);
	for (size_t i = 0; i < n; i++)
		sum.bytes += files[i].size;
	if (!e)
		*out = sum;
	buf_free(&json);
	return e;
}

static enum err put_chunk(
	void *ctx, const struct tree_chunk *c, struct str bytes, struct errtext *et)
{
	char hex[SHA256_HEX + 1];
	hex_encode(c->id, SHA256_BYTES, hex);
	return blob_batch_put(ctx, hex, bytes, et);
}

/* ---- a folder ---- */

static enum err add_inputs(struct blob_batch *g, struct tree_inputs *in,
	const struct tree_options *o, struct tree_sum *out, struct errtext *et)
{
	struct tree_sink sink = {put_chunk, g};
	enum err e = tree_build(in, &sink, o, et);
	struct tree_file *files = e ? NULL : arena_array_of(in->arena, in->n, struct tree_file);
	if (e)
		return e;
	if (!files)
		return err_set(et, ERR_NOMEM, "no memory for a tree");
	for (size_t i = 0; i < in->n; i++)
		files[i] = in->v[i].file;
	return store_tree(g, files, in->n, out, et);
}

enum err tree_add(struct blobs *b, const char *path, const struct tree_options *o,
	struct tree_sum *out, struct errtext *et)
{
	struct tree_inputs in;
	struct blob_batch *g;
	enum err e = tree_inputs_find(path, o, &in, et);
	if (e)
		return e;
	e = blob_batch_begin(b, &g, et);
	if (!e) {
		e = add_inputs(g, &in, o, out, et);
		blob_batch_end(g);
	}
	tree_inputs_release(&in);
	return e;
}

/* ---- file by file ---- */

enum err tree_writer_open(struct blobs *b, struct tree_writer **out, struct errtext *et)
{
	struct tree_writer *w = calloc(1, sizeof *w);
	if (w) {
		w->b = b;
		w->arena = arena_new(0);
		w->buffer = malloc(TREE_CHUNK_MAX);
	}
	enum err e = w && w->arena && w->buffer ? blob_batch_begin(b, &w->batch, et)
						: err_set(et, ERR_NOMEM, "no memory for a tree");
	if (e) {
		tree_writer_drop(w);
		return e;
	}
	*out = w;
	return OK;
}

void tree_writer_drop(struct tree_writer *w)
{
	if (!w)
		return;
	blob_batch_end(w->batch);
	arena_free(w->arena);
	free(w->files);
	free(w->buffer);
	free(w);
}

static struct tree_file *new_file(struct tree_writer *w, struct str path, struct errtext *et)
{
	if (tree_path_check(path, et))
		return NULL;
	if (w->n == w->cap) {
		size_t cap = w->cap ? 2 * w->cap : 64;
		struct tree_file *files = realloc(w->files, cap * sizeof *files);
		if (files) {
			w->files = files;
			w->cap = cap;
		}
	}
	struct str copy = w->n < w->cap ? arena_str(w->arena, path) : (struct str){0};
	if (!copy.p) {
		err_set(et, ERR_NOMEM, "no memory for a tree");
		return NULL;
	}
	w->files[w->n] = (struct tree_file){.path = copy};
	return &w->files[w->n];
}

struct chunks { /* of one file, growing */
	struct tree_chunk *v;
	size_t n, cap;
};

static enum err one_chunk(
	struct tree_writer *w, struct chunks *list, const uint8_t *p, size_t n, struct errtext *et)
{
	if (list->n == list->cap) {
		size_t cap = list->cap ? 2 * list->cap : 16;
		struct tree_chunk *v = realloc(list->v, cap * sizeof *v);
		if (!v)
			return err_set(et, ERR_NOMEM, "no memory for the chunks of a file");
		list->v = v;
		list->cap = cap;
	}
	struct tree_chunk *c = &list->v[list->n++];
	c->size = (uint32_t)n;
	sha256_of(str_mk(p, n), c->id);
	return put_chunk(w->batch, c, str_mk(p, n), et);
}

/* Reads on until the buffer is full or the stream ends. */
static enum err fill(struct tree_writer *w, size_t *have, bool *ended, tree_read_fn read, void *ctx,
	struct errtext *et)
{
	while (!*ended && *have < TREE_CHUNK_MAX) {
		size_t n = 0;
		enum err e = read(ctx, w->buffer + *have, TREE_CHUNK_MAX - *have, &n, et);
		if (e)
			return e;
		*ended = n == 0;
		*have += n;
	}
	return OK;
}

static enum err cut_stream(struct tree_writer *w, struct tree_file *f, struct chunks *list,
	struct sha256 *sha, tree_read_fn read, void *ctx, struct errtext *et)
{
	size_t have = 0;
	bool ended = false;
	for (;;) {
		enum err e = fill(w, &have, &ended, read, ctx, et);
		if (e || !have)
			return e;
		size_t k = tree_cut(w->buffer, have);
		sha256_add(sha, w->buffer, k);
		e = one_chunk(w, list, w->buffer, k, et);
		if (e)
			return e;
		f->size += k;
		have -= k;
		memmove(w->buffer, w->buffer + k, have);
	}
}

enum err tree_writer_file(struct tree_writer *w, struct str path, bool executable,
	tree_read_fn read, void *ctx, struct errtext *et)
{
	uint8_t digest[SHA256_BYTES];
	struct errtext why = {0};
	struct chunks list = {0};
	struct sha256 sha;
	enum err e = tree_path_check(path, et);
	struct tree_file *f = e ? NULL : new_file(w, path, &why);
	if (e)
		return e;
	if (!f || sha256_init(&sha))
		return err_set(et, ERR_NOMEM, "no memory for a tree");
	f->executable = executable;
	e = cut_stream(w, f, &list, &sha, read, ctx, et);
	sha256_end(&sha, digest);
	hex_encode(digest, sizeof digest, f->sha256);
	if (!e) {
		f->chunks = arena_array_of(w->arena, list.n + 1, struct tree_chunk);
		f->n_chunks = list.n;
		if (!f->chunks)
			e = err_set(et, ERR_NOMEM, "no memory for the chunks of a file");
		else if (list.n)
			memcpy(f->chunks, list.v, list.n * sizeof *list.v);
	}
	free(list.v);
	if (!e)
		w->n++;
	return e;
}

static enum err read_bytes(void *ctx, void *to, size_t max, size_t *n, struct errtext *et)
{
	struct str *rest = ctx;
	*n = MIN(max, rest->n);
	if (*n)
		memcpy(to, rest->p, *n);
	*rest = str_sub(*rest, *n, rest->n);
	return OK;
}

enum err tree_writer_bytes(
	struct tree_writer *w, struct str path, struct str bytes, struct errtext *et)
{
	return tree_writer_file(w, path, false, read_bytes, &bytes, et);
}

enum err tree_writer_keep(
	struct tree_writer *w, const struct tree_file *from, struct str path, struct errtext *et)
{
	path = path.n ? path : from->path;
	char hex[SHA256_HEX + 1];
	enum err e = tree_path_check(path, et);
	for (size_t i = 0; i < from->n_chunks && !e; i++) {
		hex_encode(from->chunks[i].id, SHA256_BYTES, hex);
		e = blob_renew(w->b, hex, et);
	}
	if (e)
		return e;
	struct tree_file *f = new_file(w, path, et);
	struct tree_chunk *chunks = arena_array_of(w->arena, from->n_chunks + 1, struct tree_chunk);
	if (!f || !chunks)
		return err_set(et, ERR_NOMEM, "no memory for a tree");
	struct str own = f->path;
	*f = *from;
	f->path = own;
	f->chunks = chunks;
	if (from->n_chunks)
		memcpy(chunks, from->chunks, from->n_chunks * sizeof *chunks);
	w->n++;
	return OK;
}

enum err tree_writer_finish(struct tree_writer *w, struct tree_sum *out, struct errtext *et)
{
	enum err e = store_tree(w->batch, w->files, w->n, out, et);
	tree_writer_drop(w);
	return e;
}
