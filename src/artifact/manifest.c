/* Manifests of files, and the statement about them. */
#include "artifact/manifest.h"
#include "base/json.h"
#include "base/room.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define STATEMENT_TYPE "https://in-toto.io/Statement/v1"
#define PREDICATE_TYPE "https://model_signing/signature/v1.0"

enum err manifest_add(struct manifest *m, struct str path, const char *sha256, struct errtext *et)
{
	if (m->n == MANIFEST_FILES_MAX)
		return err_set(et, ERR_TOO_LARGE, "there are more than %d files to sign",
			MANIFEST_FILES_MAX);
	if (!heap_room(m->files, m->n, m->cap))
		return err_set(et, ERR_NOMEM, "no memory for a list of files");
	struct manifest_file *f = &m->files[m->n];
	f->path = arena_str(m->a, path);
	if (!f->path.p)
		return err_set(et, ERR_NOMEM, "no memory for a list of files");
	memcpy(f->sha256, sha256, SHA256_HEX);
	f->sha256[SHA256_HEX] = 0;
	m->n++;
	return OK;
}

/* Folder by folder: '/' comes before every other byte. */
static int cmp_paths(const void *x, const void *y)
{
	struct str a = ((const struct manifest_file *)x)->path,
		   b = ((const struct manifest_file *)y)->path;
	for (size_t i = 0; i < a.n && i < b.n; i++) {
		int p = a.p[i] == '/' ? 0 : (unsigned char)a.p[i];
		int q = b.p[i] == '/' ? 0 : (unsigned char)b.p[i];
		if (p != q)
			return p - q;
	}
	return (a.n > b.n) - (a.n < b.n);
}

static void sort(struct manifest *m)
{
	if (m->n)
		qsort(m->files, m->n, sizeof *m->files, cmp_paths);
}

void manifest_free(struct manifest *m)
{
	free(m->files);
	m->files = NULL;
	m->n = m->cap = 0;
}

const struct manifest_file *manifest_find(const struct manifest *m, struct str path)
{
	for (size_t i = 0; i < m->n; i++)
		if (str_eq(m->files[i].path, path))
			return &m->files[i];
	return NULL;
}

/* ---- from files ---- */

struct walk {
	struct manifest *m;
	const char *ignore;
	const struct manifest *known;
	size_t root; /* bytes of the folder's path and the slash after it */
	struct errtext *et;
};

static enum err hash_file(
	const char *path, char hex[SHA256_HEX + 1], uint64_t *bytes, struct errtext *et)
{
	enum { PIECE = 1 << 20 };
	struct sha256 h;
	uint8_t sum[SHA256_BYTES];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_errno(et, "%s", path);
	char *piece = malloc(PIECE);
	enum err e = piece ? sha256_init(&h) : err_set(et, ERR_NOMEM, "no memory");
	if (e) {
		free(piece);
		close(fd);
		return e;
	}
	ssize_t n;
	while ((n = read(fd, piece, PIECE)) > 0) {
		sha256_add(&h, piece, (size_t)n);
		*bytes += (uint64_t)n;
	}
	if (n < 0)
		e = err_errno(et, "%s", path);
	sha256_end(&h, sum);
	hex_encode(sum, sizeof sum, hex);
	free(piece);
	close(fd);
	return e;
}

static enum err on_file(void *ctx, const char *path, enum err err, const char *reason)
{
	struct walk *w = ctx;
	char hex[SHA256_HEX + 1];
	struct str rel = str_c(path + w->root);
	if (err)
		return err_set(w->et, err, "%s: %s", path, reason);
	if (w->ignore && str_eq_c(rel, w->ignore))
		return OK;
	const struct manifest_file *known = w->known ? manifest_find(w->known, rel) : NULL;
	if (known)
		return manifest_add(w->m, rel, known->sha256, w->et);
	enum err e = hash_file(path, hex, &w->m->bytes, w->et);
	return e ? e : manifest_add(w->m, rel, hex, w->et);
}

enum err manifest_of_folder(const char *path, const char *ignore, const struct manifest *known,
	struct manifest *out, struct errtext *et)
{
	size_t n = strlen(path);
	struct walk w = {out, ignore, known, path[n - 1] == '/' ? n : n + 1, et};
	enum err e = os_is_dir(path) ? os_walk(path, true, on_file, &w, et)
				     : err_set(et, ERR_NOT_FOUND, "%s: a folder is expected", path);
	if (!e && !out->n)
		e = err_set(et, ERR_NOT_FOUND, "%s: there is no file in it", path);
	if (!e)
		sort(out);
	return e;
}

enum err manifest_of_tree(const struct tree *t, struct manifest *out, struct errtext *et)
{
	enum err e = OK;
	for (size_t i = 0; i < t->n_files && !e; i++)
		e = manifest_add(out, t->files[i].path, t->files[i].sha256, et);
	out->bytes = t->bytes;
	if (!e)
		sort(out);
	return e;
}

/* ---- the statement ---- */

/* Over the files' digests in their order: one number for the whole. */
static enum err root_digest(const struct manifest *m, char hex[SHA256_HEX + 1], struct errtext *et)
{
	struct sha256 h;
	uint8_t sum[SHA256_BYTES];
	enum err e = sha256_init(&h);
	if (e)
		return err_set(et, e, "no memory");
	for (size_t i = 0; i < m->n; i++) {
		hex_decode(str_mk(m->files[i].sha256, SHA256_HEX), sum, sizeof sum);
		sha256_add(&h, sum, sizeof sum);
	}
	sha256_end(&h, sum);
	hex_encode(sum, sizeof sum, hex);
	return OK;
}

static void write_predicate(struct jw *w, const struct manifest *m, const char *ignore)
{
	jw_key(w, "predicate");
	jw_obj(w);
	jw_key(w, "resources");
	jw_arr(w);
	for (size_t i = 0; i < m->n; i++) {
		jw_obj(w);
		jw_kc(w, "algorithm", "sha256");
		jw_kc(w, "digest", m->files[i].sha256);
		jw_kstr(w, "name", m->files[i].path);
		jw_end(w);
	}
	jw_end(w);
	jw_key(w, "serialization");
	jw_obj(w);
	jw_kc(w, "method", "files");
	jw_kc(w, "hash_type", "sha256");
	jw_kbool(w, "allow_symlinks", false);
	jw_key(w, "ignore_paths");
	jw_arr(w);
	if (ignore)
		jw_c(w, ignore);
	jw_end(w);
	jw_end(w);
	jw_end(w);
}

void statement_write(const struct manifest *m, struct str name, const char *ignore, struct buf *out)
{
	char hex[SHA256_HEX + 1];
	struct jw w = {.out = out};
	if (root_digest(m, hex, NULL)) {
		out->err = ERR_NOMEM;
		return;
	}
	jw_obj(&w);
	jw_kc(&w, "_type", STATEMENT_TYPE);
	jw_key(&w, "subject");
	jw_arr(&w);
	jw_obj(&w);
	jw_kstr(&w, "name", name);
	jw_key(&w, "digest");
	jw_obj(&w);
	jw_kc(&w, "sha256", hex);
	jw_end(&w);
	jw_end(&w);
	jw_end(&w);
	jw_kc(&w, "predicateType", PREDICATE_TYPE);
	write_predicate(&w, m, ignore);
	jw_end(&w);
}

static enum err bad(struct errtext *et, const char *why)
{
	return err_set(et, ERR_CORRUPT, "the signed statement: %s", why);
}

static enum err parse_resources(yyjson_val *list, struct manifest *out, struct errtext *et)
{
	yyjson_val *v;
	size_t i, n;
	uint8_t sum[SHA256_BYTES];
	if (!yyjson_arr_size(list))
		return bad(et, "it lists no files");
	yyjson_arr_foreach(list, i, n, v)
	{
		struct str name = json_str(v, "name"), digest = json_str(v, "digest");
		if (!str_eq_c(json_str(v, "algorithm"), "sha256") || digest.n != SHA256_HEX ||
			!hex_decode(digest, sum, sizeof sum))
			return bad(et, "files must be listed with their plain SHA-256");
		if (tree_path_check(name, NULL))
			return bad(et, "it lists a path that leads elsewhere");
		char lower[SHA256_HEX + 1];
		hex_encode(sum, sizeof sum, lower);
		enum err e = manifest_add(out, name, lower, et);
		if (e)
			return e;
	}
	return OK;
}

static enum err parse_root(yyjson_val *root, struct manifest *out, struct errtext *et)
{
	yyjson_val *subjects = yyjson_obj_get(root, "subject"),
		   *predicate = yyjson_obj_get(root, "predicate"),
		   *how = yyjson_obj_get(predicate, "serialization");
	char hex[SHA256_HEX + 1];
	if (!str_eq_c(json_str(root, "_type"), STATEMENT_TYPE) ||
		!str_eq_c(json_str(root, "predicateType"), PREDICATE_TYPE) ||
		yyjson_arr_size(subjects) != 1)
		return bad(et, "it is not about a model's files");
	if (!str_eq_c(json_str(how, "method"), "files") ||
		!str_eq_c(json_str(how, "hash_type"), "sha256"))
		return bad(et, "only the method files with sha256 is read");
	enum err e = parse_resources(yyjson_obj_get(predicate, "resources"), out, et);
	if (!e)
		e = root_digest(out, hex, et);
	struct str want =
		json_str(yyjson_obj_get(yyjson_arr_get_first(subjects), "digest"), "sha256");
	if (!e && !str_eq_c(want, hex))
		e = bad(et, "its own digest does not fit its files");
	return e;
}

enum err statement_parse(struct str json, struct manifest *out, struct errtext *et)
{
	yyjson_doc *doc;
	if (json_parse(json, &doc, et))
		return err_wrap(et, ERR_CORRUPT, "the signed statement");
	enum err e = parse_root(yyjson_doc_get_root(doc), out, et);
	yyjson_doc_free(doc);
	if (!e)
		sort(out);
	return e;
}

enum err manifest_compare(
	const struct manifest *is, const struct manifest *is_signed, struct errtext *et)
{
	size_t i = 0, j = 0;
	while (i < is->n || j < is_signed->n) {
		int c = i == is->n          ? 1
			: j == is_signed->n ? -1
					    : cmp_paths(&is->files[i], &is_signed->files[j]);
		if (c < 0)
			return err_set(et, ERR_CORRUPT, "%.*s is not among the signed files",
				STR_FMT(str_sub(is->files[i].path, 0, 200)));
		if (c > 0)
			return err_set(et, ERR_CORRUPT, "%.*s was signed and is missing",
				STR_FMT(str_sub(is_signed->files[j].path, 0, 200)));
		if (strcmp(is->files[i].sha256, is_signed->files[j].sha256) != 0)
			return err_set(et, ERR_CORRUPT, "%.*s is not what was signed",
				STR_FMT(str_sub(is->files[i].path, 0, 200)));
		i++, j++;
	}
	return OK;
}
