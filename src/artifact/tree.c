/* Trees: the rule for paths, the canonical JSON, loading, finding, reading, walking. */
#include "artifact/tree_int.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/map.h"

#include <stdlib.h>

static const char format[] = "tree/1";

/* ---- paths ---- */

enum err tree_path_check(struct str path, struct errtext *et)
{
	struct str rest = path, part, shown = str_sub(path, 0, 200);
	unsigned depth = 0;
	if (!path.n)
		return err_set(et, ERR_INVALID, "a path in a tree is empty");
	if (path.n > TREE_PATH_MAX)
		return err_set(et, ERR_INVALID, "a path has %zu bytes; a tree takes %d", path.n,
			TREE_PATH_MAX);
	if (!utf8_valid(path))
		return err_set(et, ERR_INVALID, "a path is not UTF-8; rename the file");
	for (size_t i = 0; i < path.n; i++)
		if ((unsigned char)path.p[i] < 0x20 || path.p[i] == 0x7f)
			return err_set(et, ERR_INVALID,
				"a path has a control character in it; rename the file");
	if (path.p[0] == '/' || path.p[path.n - 1] == '/')
		return err_set(et, ERR_INVALID, "\"%.*s\": a path begins or ends with a slash",
			STR_FMT(shown));
	while (str_next(&rest, '/', &part)) {
		if (!part.n || str_eq_c(part, ".") || str_eq_c(part, ".."))
			return err_set(et, ERR_INVALID,
				"\"%.*s\": a path has an empty, \".\" or \"..\" part",
				STR_FMT(shown));
		if (part.n > 255)
			return err_set(et, ERR_INVALID, "a name in a path has more than 255 bytes");
		if (++depth > TREE_DEPTH_MAX)
			return err_set(
				et, ERR_INVALID, "a path is nested deeper than %d", TREE_DEPTH_MAX);
	}
	return OK;
}

bool tree_digest_ok(struct str d)
{
	for (size_t i = 0; i < d.n; i++)
		if (!((d.p[i] >= '0' && d.p[i] <= '9') || (d.p[i] >= 'a' && d.p[i] <= 'f')))
			return false;
	return d.n == SHA256_HEX;
}

/* ---- the list of files ---- */

static int by_path(const void *a, const void *b)
{
	return str_cmp(((const struct tree_file *)a)->path, ((const struct tree_file *)b)->path);
}

/* A file cannot be a folder as well. */
static enum err no_file_below_a_file(
	const struct map *paths, const struct tree_file *f, struct errtext *et)
{
	for (size_t i = 1; i < f->path.n; i++)
		if (f->path.p[i] == '/' && map_get(paths, str_sub(f->path, 0, i)))
			return err_set(et, ERR_INVALID, "\"%.*s\" is a file and a folder",
				(int)MIN(i, 200), f->path.p);
	return OK;
}

enum err tree_sort(struct tree_file *files, size_t n, struct errtext *et)
{
	if (n > TREE_FILES_MAX)
		return err_set(et, ERR_TOO_LARGE, "a tree takes at most %d files", TREE_FILES_MAX);
	if (n)
		qsort(files, n, sizeof *files, by_path);
	struct map paths = {0};
	enum err e = OK;
	for (size_t i = 0; i < n && !e; i++) {
		e = tree_path_check(files[i].path, et);
		if (!e && i && str_eq(files[i].path, files[i - 1].path))
			e = err_set(et, ERR_INVALID, "\"%.*s\" is there twice",
				STR_FMT(str_sub(files[i].path, 0, 200)));
		if (!e && !map_put(&paths, files[i].path, &files[i]))
			e = err_set(et, ERR_NOMEM, "no memory for a tree");
	}
	for (size_t i = 0; i < n && !e; i++)
		e = no_file_below_a_file(&paths, &files[i], et);
	map_free(&paths);
	return e;
}

/* ---- JSON ---- */

/* One chunk is the file itself, so that it needs no list. */
static bool is_single(const struct tree_file *f)
{
	return f->n_chunks <= 1;
}

static void render_file(struct jw *w, const struct tree_file *f)
{
	char hex[SHA256_HEX + 1];
	jw_obj(w);
	if (!is_single(f)) {
		jw_key(w, "chunks");
		jw_arr(w);
		for (size_t i = 0; i < f->n_chunks; i++) {
			hex_encode(f->chunks[i].id, SHA256_BYTES, hex);
			jw_obj(w);
			jw_kc(w, "id", hex);
			jw_ki64(w, "size", f->chunks[i].size);
			jw_end(w);
		}
		jw_end(w);
	}
	if (f->executable)
		jw_kbool(w, "executable", true);
	jw_kstr(w, "path", f->path);
	jw_kc(w, "sha256", f->sha256);
	jw_ki64(w, "size", (int64_t)f->size);
	jw_end(w);
}

enum err tree_render(const struct tree_file *files, size_t n, struct buf *out, struct errtext *et)
{
	struct jw w = {.out = out};
	out->max = TREE_JSON_MAX;
	jw_obj(&w);
	jw_kc(&w, "croft", format);
	jw_key(&w, "files");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		render_file(&w, &files[i]);
	jw_end(&w);
	jw_end(&w);
	if (jw_done(&w))
		return OK;
	if (out->err == ERR_TOO_LARGE)
		return err_set(et, ERR_TOO_LARGE,
			"the list of files and chunks is larger than %zu MiB", TREE_JSON_MAX >> 20);
	return err_set(et, ERR_NOMEM, "no memory for a tree");
}

static enum err bad(struct errtext *et, const char *what)
{
	return err_set(et, ERR_CORRUPT, "this is no tree: %s", what);
}

static bool parse_size(yyjson_val *v, uint64_t max, uint64_t *out)
{
	if (!yyjson_is_uint(v) || yyjson_get_uint(v) > max)
		return false;
	*out = yyjson_get_uint(v);
	return true;
}

static enum err parse_chunks(
	yyjson_val *list, struct tree_file *f, struct arena *a, struct errtext *et)
{
	yyjson_val *c;
	size_t i, n;
	uint64_t sum = 0, size;
	if (yyjson_arr_size(list) < 2)
		return bad(et, "a list of chunks has fewer than two");
	f->chunks = arena_array_of(a, yyjson_arr_size(list), struct tree_chunk);
	if (!f->chunks)
		return err_set(et, ERR_NOMEM, "no memory for a tree");
	yyjson_arr_foreach(list, i, n, c)
	{
		struct str id = json_str(c, "id");
		if (!tree_digest_ok(id) || !hex_decode(id, f->chunks[i].id, SHA256_BYTES))
			return bad(et, "a chunk's id is no SHA-256");
		if (!parse_size(yyjson_obj_get(c, "size"), TREE_CHUNK_MAX, &size) || !size)
			return bad(et, "a chunk's size is out of bounds");
		f->chunks[i].size = (uint32_t)size;
		sum += size;
	}
	f->n_chunks = yyjson_arr_size(list);
	return sum == f->size ? OK : bad(et, "the chunks of a file do not add up to its size");
}

static enum err single_chunk(struct tree_file *f, struct arena *a, struct errtext *et)
{
	if (!f->size)
		return OK;
	if (f->size > TREE_CHUNK_MAX)
		return bad(et, "a large file has no chunks");
	f->chunks = arena_new_of(a, struct tree_chunk);
	if (!f->chunks)
		return err_set(et, ERR_NOMEM, "no memory for a tree");
	f->n_chunks = 1;
	f->chunks[0].size = (uint32_t)f->size;
	hex_decode(str_c(f->sha256), f->chunks[0].id, SHA256_BYTES);
	return OK;
}

static enum err parse_file(yyjson_val *v, struct tree_file *f, struct arena *a, struct errtext *et)
{
	struct str sha = json_str(v, "sha256");
	yyjson_val *chunks = yyjson_obj_get(v, "chunks");
	if (!parse_size(yyjson_obj_get(v, "size"), INT64_MAX, &f->size))
		return bad(et, "a file's size is missing");
	if (!tree_digest_ok(sha))
		return bad(et, "a file's sha256 is missing");
	memcpy(f->sha256, sha.p, SHA256_HEX);
	f->executable = json_bool(v, "executable", false);
	f->path = arena_str(a, json_str(v, "path"));
	if (!f->path.p)
		return err_set(et, ERR_NOMEM, "no memory for a tree");
	return yyjson_is_arr(chunks) ? parse_chunks(chunks, f, a, et) : single_chunk(f, a, et);
}

static enum err parse_root(yyjson_val *root, struct tree *t, struct errtext *et)
{
	yyjson_val *list = yyjson_obj_get(root, "files"), *v;
	size_t i, n;
	enum err e = OK;
	if (!str_eq_c(json_str(root, "croft"), format) || !yyjson_is_arr(list))
		return bad(et, "it does not begin like one");
	if (yyjson_arr_size(list) > TREE_FILES_MAX)
		return err_set(et, ERR_TOO_LARGE, "a tree takes at most %d files", TREE_FILES_MAX);
	t->files = arena_array_of(t->arena, yyjson_arr_size(list) + 1, struct tree_file);
	if (!t->files)
		return err_set(et, ERR_NOMEM, "no memory for a tree");
	yyjson_arr_foreach(list, i, n, v)
	{
		e = parse_file(v, &t->files[i], t->arena, et);
		if (e)
			return e;
		if (t->files[i].size > INT64_MAX - t->bytes)
			return bad(et, "its files are larger than any disk");
		t->bytes += t->files[i].size;
	}
	t->n_files = yyjson_arr_size(list);
	return OK;
}

/* Canonical is what we would have written: the same bytes. That also excludes unknown members,
 * other orders and other spellings, so that one content has one digest. */
static enum err check_canonical(struct tree *t, struct str json, struct errtext *et)
{
	struct buf again = {0};
	enum err e = tree_sort(t->files, t->n_files, et);
	if (!e)
		e = tree_render(t->files, t->n_files, &again, et);
	if (!e && !str_eq(buf_str(&again), json))
		e = bad(et, "it is not in canonical form");
	buf_free(&again);
	return e;
}

enum err tree_parse(struct str json, struct tree **out, struct errtext *et)
{
	if (json.n > TREE_JSON_MAX)
		return err_set(et, ERR_TOO_LARGE,
			"the list of files and chunks is larger than %zu MiB", TREE_JSON_MAX >> 20);
	yyjson_doc *doc = NULL;
	enum err e = json_parse(json, &doc, et);
	if (e)
		return e;
	struct arena *a = arena_new(0);
	struct tree *t = a ? arena_new_of(a, struct tree) : NULL;
	if (t) {
		t->arena = a;
		e = parse_root(yyjson_doc_get_root(doc), t, et);
	} else {
		e = err_set(et, ERR_NOMEM, "no memory for a tree");
	}
	yyjson_doc_free(doc);
	if (!e)
		e = check_canonical(t, json, et);
	if (e) {
		arena_free(a);
		return e;
	}
	sha256_hex_of(json, t->digest);
	*out = t;
	return OK;
}

void tree_free(struct tree *t)
{
	if (t)
		arena_free(t->arena);
}

/* ---- reading ---- */

enum err tree_load(struct blobs *b, const char *digest, struct tree **out, struct errtext *et)
{
	struct os_map m;
	struct blob_info info;
	enum err e = blob_stat(b, digest, &info, et);
	if (e)
		return e;
	if (info.size > TREE_JSON_MAX)
		return err_set(et, ERR_CORRUPT, "%.16s is no tree: it is too large", digest);
	e = blob_get(b, digest, true, &m, et);
	if (e)
		return e;
	e = tree_parse(str_mk(m.p ? m.p : "", m.n), out, et);
	os_unmap(&m);
	return e == ERR_INVALID ? ERR_CORRUPT : e;
}

const struct tree_file *tree_find(const struct tree *t, struct str path)
{
	size_t lo = 0, hi = t->n_files;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = str_cmp(t->files[mid].path, path);
		if (!c)
			return &t->files[mid];
		c < 0 ? (lo = mid + 1) : (hi = mid);
	}
	return NULL;
}

static enum err read_chunk(struct blobs *b, const struct tree_file *f, const struct tree_chunk *c,
	uint64_t skip, void *to, size_t n, struct errtext *et)
{
	char hex[SHA256_HEX + 1];
	struct os_map m;
	hex_encode(c->id, SHA256_BYTES, hex);
	enum err e = blob_get(b, hex, true, &m, et);
	if (e)
		return err_wrap(et, e, "%.*s", STR_FMT(str_sub(f->path, 0, 200)));
	if (m.n != c->size)
		e = err_set(et, ERR_CORRUPT, "%.*s: a chunk has another size than its tree says",
			STR_FMT(str_sub(f->path, 0, 200)));
	else
		memcpy(to, (const char *)m.p + skip, n);
	os_unmap(&m);
	return e;
}

enum err tree_read(struct blobs *b, const struct tree_file *f, uint64_t offset, void *to, size_t n,
	struct errtext *et)
{
	char *at = to;
	if (offset > f->size || n > f->size - offset)
		return err_set(et, ERR_INVALID, "%.*s has %llu bytes: the range ends behind them",
			STR_FMT(str_sub(f->path, 0, 200)), (unsigned long long)f->size);
	for (size_t i = 0; i < f->n_chunks && n; i++) {
		const struct tree_chunk *c = &f->chunks[i];
		if (offset >= c->size) {
			offset -= c->size;
			continue;
		}
		size_t k = MIN(n, (size_t)(c->size - offset));
		enum err e = read_chunk(b, f, c, offset, at, k, et);
		if (e)
			return e;
		at += k;
		n -= k;
		offset = 0;
	}
	return OK;
}

enum err tree_walk(
	struct blobs *b, const char *digest, tree_blob_fn fn, void *ctx, struct errtext *et)
{
	struct tree *t;
	struct blob_info info;
	uint8_t id[SHA256_BYTES];
	enum err e = tree_load(b, digest, &t, et);
	if (e)
		return e;
	hex_decode(str_c(digest), id, sizeof id);
	e = blob_stat(b, digest, &info, et);
	if (!e)
		e = fn(ctx, id, info.size);
	for (size_t i = 0; i < t->n_files && !e; i++)
		for (size_t k = 0; k < t->files[i].n_chunks && !e; k++)
			e = fn(ctx, t->files[i].chunks[k].id, t->files[i].chunks[k].size);
	tree_free(t);
	return e;
}

/* ---- for those who work with several threads ---- */

unsigned tree_threads(const struct tree_options *o)
{
	unsigned n = o && o->threads ? o->threads : cpu_count();
	return MIN(n, 32u);
}

void tree_meter_add(struct tree_meter *m, uint64_t bytes, const char *what)
{
	if (!m->o || !m->o->progress)
		return;
	pthread_mutex_lock(&m->mu);
	m->done += bytes;
	uint64_t now = clock_mono_ns();
	if (now - m->said_ns > 100000000u || m->done == m->total) {
		m->said_ns = now;
		m->o->progress(m->o->ctx, m->done, m->total, what);
	}
	pthread_mutex_unlock(&m->mu);
}
