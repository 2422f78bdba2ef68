/* Code states through libgit2. The patch goes from the commit's tree to the working tree (staged or
 * not makes no difference), with untracked files as new ones and binary files in full, so that
 * applied to that tree it gives the same bytes again. */
#include "run/code.h"
#include "base/os.h"
#include "base/proc.h"

#include <git2.h>
#include <git2/sys/mempack.h>
#include <git2/sys/odb_backend.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static enum err git_failed(struct errtext *et, int rc, const char *doing)
{
	const git_error *why = git_error_last();
	enum err e = rc == GIT_ENOTFOUND ? ERR_NOT_FOUND : rc == GIT_EUSER ? ERR_TOO_LARGE : ERR_IO;
	return err_set(et, e, "%s: %s", doing, why && why->message ? why->message : "git failed");
}

/* ---- reading ---- */

static struct str keep(struct arena *a, struct str s, enum err *e)
{
	struct str c = arena_str(a, s);
	if (!c.p)
		*e = ERR_NOMEM;
	return c;
}

static struct str without_slash(const char *path)
{
	struct str s = str_c(path);
	while (s.n > 1 && s.p[s.n - 1] == '/')
		s.n--;
	return s;
}

/* "https://user:secret@host/x" -> "https://host/x"; "git@host:x" stays: it names no secret. */
static void add_remote(struct buf *out, struct str url)
{
	size_t scheme = str_find(url, S("://"));
	if (scheme == STR_NONE) {
		buf_adds(out, url);
		return;
	}
	struct str rest = str_sub(url, scheme + 3, url.n);
	size_t slash = str_chr(rest, '/');
	size_t at = str_rchr(str_sub(rest, 0, slash == STR_NONE ? rest.n : slash), '@');
	buf_adds(out, str_sub(url, 0, scheme + 3));
	buf_adds(out, at == STR_NONE ? rest : str_sub(rest, at + 1, rest.n));
}

static enum err read_remote(
	git_repository *repo, struct arena *a, struct code_state *s, struct errtext *et)
{
	git_remote *origin;
	s->remote = S("");
	if (git_remote_lookup(&origin, repo, "origin"))
		return OK;
	struct buf url = {0};
	enum err e = OK;
	add_remote(&url, str_c(git_remote_url(origin)));
	s->remote = keep(a, buf_str(&url), &e);
	buf_free(&url);
	git_remote_free(origin);
	return e ? err_set(et, e, "no memory for the state of the code") : OK;
}

static enum err read_head(git_repository *repo, git_tree **tree, struct arena *a,
	struct code_state *s, struct errtext *et)
{
	git_reference *head;
	git_commit *commit;
	enum err e = OK;
	s->commit = s->branch = S("");
	*tree = NULL;
	int rc = git_repository_head(&head, repo);
	if (rc == GIT_EUNBORNBRANCH || rc == GIT_ENOTFOUND)
		return OK; /* no commit yet: everything is new */
	if (rc)
		return git_failed(et, rc, "reading HEAD");
	if (git_reference_is_branch(head))
		s->branch = keep(a, str_c(git_reference_shorthand(head)), &e);
	git_object *o = NULL;
	rc = git_reference_peel(&o, head, GIT_OBJECT_COMMIT);
	git_reference_free(head);
	if (rc)
		return git_failed(et, rc, "reading HEAD");
	commit = (git_commit *)o;
	char hex[CODE_OID_HEX + 1];
	git_oid_tostr(hex, sizeof hex, git_commit_id(commit));
	s->commit = keep(a, str_c(hex), &e);
	rc = git_commit_tree(tree, commit);
	git_commit_free(commit);
	if (rc)
		return git_failed(et, rc, "reading the commit");
	return e ? err_set(et, e, "no memory for the state of the code") : OK;
}

/* Names are quoted as git quotes them, and those with a space as well: libgit2 reads an unquoted
 * name up to the first space only. */
static void add_name(struct buf *out, const char *side, const char *path)
{
	bool plain = true;
	for (const char *p = path; *p; p++)
		plain &= *p > ' ' && *p != '"' && *p != '\\' && *p != 127;
	buf_addf(out, plain ? "%s" : "\"%s", side);
	for (const char *p = path; *p; p++)
		if (*p == '"' || *p == '\\')
			buf_addf(out, "\\%c", *p);
		else if ((unsigned char)*p < ' ' || *p == 127)
			buf_addf(out, "\\%03o", (unsigned char)*p);
		else
			buf_putc(out, *p);
	if (!plain)
		buf_putc(out, '"');
}

static bool is_new(const git_diff_delta *d)
{
	return d->status == GIT_DELTA_ADDED || d->status == GIT_DELTA_UNTRACKED;
}

static void add_header(struct buf *out, const git_diff_delta *d, struct str given)
{
	char from[CODE_OID_HEX + 1], to[CODE_OID_HEX + 1];
	bool gone = d->status == GIT_DELTA_DELETED;
	git_oid_tostr(from, sizeof from, &d->old_file.id);
	git_oid_tostr(to, sizeof to, &d->new_file.id);
	buf_addc(out, "diff --git ");
	add_name(out, "a/", d->old_file.path);
	buf_putc(out, ' ');
	add_name(out, "b/", d->new_file.path);
	buf_putc(out, '\n');
	if (is_new(d))
		buf_addf(out, "new file mode %o\n", d->new_file.mode);
	else if (gone)
		buf_addf(out, "deleted file mode %o\n", d->old_file.mode);
	else if (d->old_file.mode != d->new_file.mode)
		buf_addf(out, "old mode %o\nnew mode %o\n", d->old_file.mode, d->new_file.mode);
	if (strcmp(from, to) != 0) {
		buf_addf(out, "index %s..%s", from, to);
		if (d->old_file.mode == d->new_file.mode)
			buf_addf(out, " %o", d->new_file.mode);
		buf_putc(out, '\n');
	}
	if (str_find(given, S("\n--- ")) == STR_NONE)
		return; /* binary, or empty */
	buf_addc(out, "--- ");
	is_new(d) ? buf_addc(out, "/dev/null") : add_name(out, "a/", d->old_file.path);
	buf_addc(out, "\n+++ ");
	gone ? buf_addc(out, "/dev/null") : add_name(out, "b/", d->new_file.path);
	buf_putc(out, '\n');
}

static int add_line(
	const git_diff_delta *d, const git_diff_hunk *h, const git_diff_line *l, void *ctx)
{
	struct buf *out = ctx;
	if (l->origin == GIT_DIFF_LINE_FILE_HDR) {
		add_header(out, d, str_mk(l->content, l->content_len));
	} else {
		if (l->origin == GIT_DIFF_LINE_CONTEXT || l->origin == GIT_DIFF_LINE_ADDITION ||
			l->origin == GIT_DIFF_LINE_DELETION)
			buf_putc(out, l->origin);
		buf_add(out, l->content, l->content_len);
	}
	return out->err ? GIT_EUSER : 0;
}

static enum err print_patch(git_diff *diff, size_t max, struct buf *out, struct errtext *et)
{
	out->max = max;
	int rc = git_diff_print(diff, GIT_DIFF_FORMAT_PATCH, add_line, out);
	if (out->err == ERR_TOO_LARGE)
		return err_set(et, ERR_TOO_LARGE,
			"what differs from the last commit has more than %zu bytes: commit or "
			"ignore the large files",
			max);
	if (out->err)
		return err_set(et, out->err, "no memory for a patch");
	return rc ? git_failed(et, rc, "making a patch") : OK;
}

static void all_of_it(git_diff_options *o)
{
	git_diff_options_init(o, GIT_DIFF_OPTIONS_VERSION);
	o->flags = GIT_DIFF_INCLUDE_UNTRACKED | GIT_DIFF_RECURSE_UNTRACKED_DIRS |
		   GIT_DIFF_SHOW_UNTRACKED_CONTENT | GIT_DIFF_SHOW_BINARY;
	o->ignore_submodules = GIT_SUBMODULE_IGNORE_ALL;
	o->id_abbrev = CODE_OID_HEX; /* a binary patch is applied by its full ids only */
	o->max_size = -1;            /* no file is "too large to be text" */
}

struct leave_out {
	const struct str *but;
	size_t n;
	struct str below;
};

/* Whether a file of the working tree is at or below one of the paths. */
static bool is_left_out(const struct leave_out *l, struct str path)
{
	if (l->below.n) {
		if (!str_starts(path, l->below) || path.n <= l->below.n ||
			path.p[l->below.n] != '/')
			return false;
		path = str_sub(path, l->below.n + 1, path.n);
	}
	for (size_t i = 0; i < l->n; i++)
		if (str_starts(path, l->but[i]) &&
			(path.n == l->but[i].n || path.p[l->but[i].n] == '/'))
			return true;
	return false;
}

static int skip_kept(const git_diff *so_far, const git_diff_delta *d, const char *spec, void *ctx)
{
	return d->status == GIT_DELTA_UNTRACKED && is_left_out(ctx, str_c(d->new_file.path));
}

static enum err read_patch(git_repository *repo, git_tree *tree, size_t max,
	const struct leave_out *but, struct arena *a, struct code_state *s, struct errtext *et)
{
	git_diff_options o;
	git_diff *diff;
	struct leave_out l = *but;
	all_of_it(&o);
	l.below = s->below;
	o.notify_cb = skip_kept;
	o.payload = &l;
	int rc = git_diff_tree_to_workdir_with_index(&diff, repo, tree, &o);
	if (rc)
		return git_failed(et, rc, "comparing the working tree with its commit");
	struct buf patch = {0};
	enum err e = print_patch(diff, max, &patch, et);
	s->n_changed = git_diff_num_deltas(diff);
	git_diff_free(diff);
	if (!e)
		s->patch = keep(a, buf_str(&patch), &e);
	if (e == ERR_NOMEM)
		err_set(et, e, "no memory for a patch");
	buf_free(&patch);
	return e;
}

static int count_submodule(git_submodule *sm, const char *name, void *ctx)
{
	++*(size_t *)ctx;
	return 0;
}

static enum err read_place(git_repository *repo, const char *path, struct arena *a,
	struct code_state *s, struct errtext *et)
{
	const char *dir = git_repository_workdir(repo);
	if (!dir)
		return err_set(et, ERR_NOT_FOUND, "%s is a bare repository: it has no files", path);
	char real[PATH_MAX], root[PATH_MAX];
	if (!realpath(path, real) || !realpath(dir, root))
		return err_errno(et, "%s", path);
	enum err e = OK;
	struct str at = without_slash(real), top = without_slash(root);
	s->root = keep(a, top, &e);
	s->below = keep(a, at.n > top.n ? str_sub(at, top.n + 1, at.n) : S(""), &e);
	return e ? err_set(et, e, "no memory for the state of the code") : OK;
}

enum err code_state_read(const char *path, size_t patch_max, const struct str *but, size_t n_but,
	struct arena *a, struct code_state *out, struct errtext *et)
{
	const struct leave_out left = {but, n_but, {0}};
	struct code_state s = {0};
	git_repository *repo;
	git_tree *tree = NULL;
	git_libgit2_init();
	int rc = git_repository_open_ext(&repo, path, 0, NULL);
	if (rc) {
		enum err e = rc == GIT_ENOTFOUND ? err_set(et, ERR_NOT_FOUND,
							   "%s is in no git repository", path)
						 : git_failed(et, rc, path);
		git_libgit2_shutdown();
		return e;
	}
	enum err e = read_place(repo, path, a, &s, et);
	if (!e)
		e = read_head(repo, &tree, a, &s, et);
	if (!e)
		e = read_remote(repo, a, &s, et);
	if (!e)
		e = read_patch(repo, tree, patch_max, &left, a, &s, et);
	if (!e)
		git_submodule_foreach(repo, count_submodule, &s.n_submodules);
	git_tree_free(tree);
	git_repository_free(repo);
	git_libgit2_shutdown();
	if (!e)
		*out = s;
	return e;
}

/* ---- the way back ---- */

static bool has_commit(const char *root, git_oid *id)
{
	git_repository *repo;
	git_commit *c;
	bool has = false;
	if (git_repository_open(&repo, root))
		return false;
	if (!git_commit_lookup(&c, repo, id)) {
		has = true;
		git_commit_free(c);
	}
	git_repository_free(repo);
	return has;
}

static enum err clone_from(const struct code_state *s, git_oid *id, const char *to,
	git_repository **out, struct errtext *et)
{
	char root[PATH_MAX];
	snprintf(root, sizeof root, "%.*s", STR_FMT(s->root));
	if (has_commit(root, id)) {
		git_clone_options o;
		git_clone_options_init(&o, GIT_CLONE_OPTIONS_VERSION);
		o.checkout_opts.checkout_strategy = GIT_CHECKOUT_NONE;
		o.local = GIT_CLONE_LOCAL_NO_LINKS; /* it may outlive or be changed beside it */
		int rc = git_clone(out, root, to, &o);
		return rc ? git_failed(et, rc, "cloning the repository") : OK;
	}
	if (!s->remote.n)
		return err_set(et, ERR_NOT_FOUND,
			"%s has no commit %.*s any more, and it had no remote to ask", root,
			STR_FMT(s->commit));
	char url[2048];
	snprintf(url, sizeof url, "%.*s", STR_FMT(s->remote));
	const char *argv[] = {"git", "clone", "--quiet", "--no-checkout", "--", url, to, NULL};
	struct proc_result r;
	struct proc_spec spec = {.argv = argv,
		.env = (const char *const[]){"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8",
			"GIT_TERMINAL_PROMPT=0", NULL},
		.wall_ms_max = 600000};
	enum err e = proc_run(&spec, &r, et);
	if (e)
		return e;
	if (r.exit_code != 0)
		e = err_set(et, ERR_NOT_FOUND,
			"%s has no commit %.*s any more, and git clone %s: %s", root,
			STR_FMT(s->commit), url, r.err_tail);
	proc_result_release(&r);
	if (e)
		return e;
	int rc = git_repository_open(out, to);
	return rc ? git_failed(et, rc, "opening the clone") : OK;
}

static enum err parse_commit(struct str hex, git_oid *id, struct errtext *et)
{
	if (!hex.n)
		return err_set(et, ERR_UNSUPPORTED,
			"the code was in a repository without a commit: commit it first");
	if (hex.n != CODE_OID_HEX || git_oid_fromstrn(id, hex.p, hex.n))
		return err_set(et, ERR_INVALID, "\"%.*s\" is not the id of a commit", STR_FMT(hex));
	return OK;
}

/* The tree of a state, as an object of `repo`: its commit's with its patch applied. */
static enum err tree_of(
	git_repository *repo, const struct code_state *s, git_tree **out, struct errtext *et)
{
	git_oid id;
	git_commit *c;
	enum err e = parse_commit(s->commit, &id, et);
	if (e)
		return e;
	int rc = git_commit_lookup(&c, repo, &id);
	if (rc)
		return err_set(et, ERR_NOT_FOUND, "%.*s has no commit %.*s any more",
			STR_FMT(s->root), STR_FMT(s->commit));
	git_tree *tree = NULL;
	rc = git_commit_tree(&tree, c);
	git_commit_free(c);
	if (rc || !s->patch.n) {
		*out = tree;
		return rc ? git_failed(et, rc, "reading the commit") : OK;
	}
	git_diff *diff = NULL;
	git_index *index = NULL;
	rc = git_diff_from_buffer(&diff, s->patch.p, s->patch.n);
	if (!rc)
		rc = git_apply_to_tree(&index, repo, tree, diff, NULL);
	git_oid written;
	if (!rc)
		rc = git_index_write_tree_to(&written, index, repo);
	git_tree_free(tree);
	git_diff_free(diff);
	git_index_free(index);
	if (!rc)
		rc = git_tree_lookup(out, repo, &written);
	return rc ? git_failed(et, rc, "applying the patch") : OK;
}

/* The state's files go into the folder and its commit into HEAD and the index, so that git shows
 * there what it showed then. (git_apply on a working tree would follow symbolic links.) */
static enum err check_out(git_repository *repo, const struct code_state *s, struct errtext *et)
{
	git_checkout_options o;
	git_tree *tree;
	git_object *commit = NULL;
	git_oid id;
	enum err e = tree_of(repo, s, &tree, et);
	if (e)
		return e;
	git_checkout_options_init(&o, GIT_CHECKOUT_OPTIONS_VERSION);
	o.checkout_strategy = GIT_CHECKOUT_FORCE;
	int rc = git_oid_fromstrn(&id, s->commit.p, s->commit.n);
	if (!rc)
		rc = git_repository_set_head_detached(repo, &id);
	if (!rc)
		rc = git_checkout_tree(repo, (git_object *)tree, &o);
	if (!rc)
		rc = git_object_lookup(&commit, repo, &id, GIT_OBJECT_COMMIT);
	if (!rc)
		rc = git_reset(repo, commit, GIT_RESET_MIXED, NULL);
	git_object_free(commit);
	git_tree_free(tree);
	return rc ? git_failed(et, rc, "checking out the code") : OK;
}

enum err code_restore(const struct code_state *s, const char *to, struct errtext *et)
{
	git_oid id;
	git_repository *repo = NULL;
	if (os_exists(to))
		return err_set(et, ERR_CONFLICT, "%s exists already: name a new folder", to);
	git_libgit2_init();
	enum err e = parse_commit(s->commit, &id, et);
	if (!e)
		e = clone_from(s, &id, to, &repo, et);
	if (!e)
		e = check_out(repo, s, et);
	git_repository_free(repo);
	git_libgit2_shutdown();
	if (e)
		os_remove_tree(to, NULL);
	return e;
}

/* ---- from one state to another ---- */

enum err code_diff(const struct code_state *a, const struct code_state *b, size_t patch_max,
	struct buf *out, struct errtext *et)
{
	char root[PATH_MAX];
	git_repository *repo;
	git_tree *ta = NULL, *tb = NULL;
	git_diff *diff = NULL;
	snprintf(root, sizeof root, "%.*s", STR_FMT(a->root));
	git_libgit2_init();
	int rc = git_repository_open(&repo, root);
	enum err e = rc ? git_failed(et, rc, root) : OK;
	/* objects that applying a patch makes stay in memory */
	git_odb *odb = NULL;
	git_odb_backend *memory = NULL;
	if (!e && (git_repository_odb(&odb, repo) || git_mempack_new(&memory) ||
			  git_odb_add_backend(odb, memory, 999)))
		e = git_failed(et, -1, root);
	if (!e)
		e = tree_of(repo, a, &ta, et);
	if (!e)
		e = tree_of(repo, b, &tb, et);
	git_diff_options o;
	all_of_it(&o);
	if (!e && (rc = git_diff_tree_to_tree(&diff, repo, ta, tb, &o)) != 0)
		e = git_failed(et, rc, "comparing");
	if (!e)
		e = print_patch(diff, patch_max, out, et);
	git_diff_free(diff);
	git_tree_free(ta);
	git_tree_free(tb);
	git_odb_free(odb);
	git_repository_free(repo);
	git_libgit2_shutdown();
	return e;
}
