/* What a folder holds: the list of files that a tree is made from. Nothing is left out silently:
 * a link that leads out of the folder, a link to a folder, a socket or a device is an error. */
#include "artifact/transfer.h"
#include "artifact/tree_int.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct finder {
	struct tree_inputs *in;
	const struct tree_options *o;
	char root[PATH_MAX]; /* resolved */
	struct errtext *et;
};

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for the list of files");
}

static enum err add(struct finder *x, const char *from, struct str rel, const struct stat *st)
{
	struct tree_inputs *in = x->in;
	enum err e = tree_path_check(rel, x->et);
	if (e)
		return e;
	if (in->n == TREE_FILES_MAX)
		return err_set(
			x->et, ERR_TOO_LARGE, "%s has more than %d files", x->root, TREE_FILES_MAX);
	if (in->n == in->cap) {
		size_t cap = in->cap ? 2 * in->cap : 256;
		struct tree_input *v = realloc(in->v, cap * sizeof *v);
		if (!v)
			return no_memory(x->et);
		in->v = v;
		in->cap = cap;
	}
	struct tree_input *f = &in->v[in->n];
	*f = (struct tree_input){
		.from = arena_c(in->arena, str_c(from)),
		.mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
		.file = {.path = arena_str(in->arena, rel),
			.size = (uint64_t)st->st_size,
			.executable = (st->st_mode & 0111) != 0},
	};
	if (!f->from || !f->file.path.p)
		return no_memory(x->et);
	in->n++;
	in->bytes += f->file.size;
	return OK;
}

static bool beneath(const char *root, const char *path)
{
	size_t n = strlen(root);
	return !strncmp(root, path, n) && (path[n] == '/' || (n && root[n - 1] == '/'));
}

static enum err add_link(struct finder *x, const char *path, struct str rel)
{
	char target[PATH_MAX];
	struct stat st;
	if (!realpath(path, target) || stat(target, &st))
		return err_errno(x->et, "%s: a link", path);
	if (S_ISDIR(st.st_mode))
		return err_set(x->et, ERR_INVALID,
			"%s is a link to a folder; a tree holds files only: copy the folder, or "
			"remove the link",
			path);
	if (!S_ISREG(st.st_mode))
		return err_set(x->et, ERR_INVALID, "%s: a link to something that is no file", path);
	if (!beneath(x->root, target) && !(x->o && x->o->follow_links))
		return err_set(x->et, ERR_FORBIDDEN,
			"%s is a link that leads out of the folder; --follow-links stores what it "
			"leads to",
			path);
	return add(x, target, rel, &st);
}

static int no_dots(const struct dirent *d)
{
	return strcmp(d->d_name, ".") && strcmp(d->d_name, "..");
}

static enum err find_in(struct finder *x, const char *dir, struct str rel, unsigned depth);

static enum err find_one(
	struct finder *x, const char *dir, struct str rel, const char *name, unsigned depth)
{
	char path[PATH_MAX], below[PATH_MAX];
	struct stat st;
	if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, name) >= sizeof path)
		return err_set(x->et, ERR_INVALID, "%s: a path in it is too long", dir);
	snprintf(below, sizeof below, "%.*s%s%s", STR_FMT(rel), rel.n ? "/" : "", name);
	if (lstat(path, &st))
		return err_errno(x->et, "%s", path);
	if (S_ISDIR(st.st_mode))
		return find_in(x, path, str_c(below), depth + 1);
	if (S_ISREG(st.st_mode))
		return add(x, path, str_c(below), &st);
	if (S_ISLNK(st.st_mode))
		return add_link(x, path, str_c(below));
	return err_set(x->et, ERR_INVALID,
		"%s is neither a file nor a folder; a tree cannot hold it", path);
}

static enum err find_in(struct finder *x, const char *dir, struct str rel, unsigned depth)
{
	struct dirent **list;
	enum err e = OK;
	if (depth > TREE_DEPTH_MAX)
		return err_set(x->et, ERR_LIMIT, "%s: folders are nested deeper than %d", dir,
			TREE_DEPTH_MAX);
	if (x->o && cancelled(x->o->cancel))
		return err_set(x->et, ERR_CANCELLED, "cancelled");
	int n = scandir(dir, &list, no_dots, alphasort);
	if (n < 0)
		return err_errno(x->et, "%s", dir);
	for (int i = 0; i < n; i++) {
		if (!e)
			e = find_one(x, dir, rel, list[i]->d_name, depth);
		free(list[i]);
	}
	free(list);
	return e;
}

static int by_path(const void *a, const void *b)
{
	return str_cmp(((const struct tree_input *)a)->file.path,
		((const struct tree_input *)b)->file.path);
}

enum err tree_inputs_find(
	const char *path, const struct tree_options *o, struct tree_inputs *out, struct errtext *et)
{
	struct tree_inputs in = {.arena = arena_new(0)};
	struct finder x = {.in = &in, .o = o, .et = et};
	struct stat st;
	enum err e = in.arena ? OK : no_memory(et);
	if (!e && (!realpath(path, x.root) || stat(x.root, &st)))
		e = err_errno(et, "%s", path);
	if (!e && S_ISDIR(st.st_mode))
		e = find_in(&x, x.root, S(""), 0);
	else if (!e && S_ISREG(st.st_mode))
		e = add(&x, x.root, str_c(strrchr(x.root, '/') + 1), &st);
	else if (!e)
		e = err_set(et, ERR_INVALID, "%s is neither a file nor a folder", path);
	if (!e && !in.n)
		e = err_set(et, ERR_INVALID, "%s has no files in it", path);
	if (e) {
		tree_inputs_release(&in);
		return e;
	}
	qsort(in.v, in.n, sizeof *in.v, by_path);
	*out = in;
	return OK;
}

enum err tree_inputs_of(
	const struct tree_local *files, size_t n, struct tree_inputs *out, struct errtext *et)
{
	struct tree_inputs in = {.arena = arena_new(0)};
	struct finder x = {.in = &in, .et = et};
	struct stat st;
	enum err e = in.arena ? OK : no_memory(et);
	for (size_t i = 0; i < n && !e; i++) {
		if (stat(files[i].from, &st))
			e = err_errno(et, "%s", files[i].from);
		else if (!S_ISREG(st.st_mode))
			e = err_set(et, ERR_INVALID, "%s is no file", files[i].from);
		else
			e = add(&x, files[i].from, files[i].path, &st);
	}
	if (e) {
		tree_inputs_release(&in);
		return e;
	}
	if (in.n)
		qsort(in.v, in.n, sizeof *in.v, by_path);
	*out = in;
	return OK;
}

void tree_inputs_release(struct tree_inputs *in)
{
	free(in->v);
	arena_free(in->arena);
	*in = (struct tree_inputs){0};
}
