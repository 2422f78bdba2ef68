/* The code that a run ran: the commit of its git working tree and what differs from it, as a patch
 * that holds new and binary files too; and the way back, into a fresh folder.
 *
 *	struct code_state s;
 *	enum err e = code_state_read(".", 10 << 20, NULL, 0, arena, &s, et);   // ERR_NOT_FOUND: no
 *repository
 *	...
 *	e = code_restore(&s, "/tmp/again", et);                      // the same bytes, and a .git
 *
 * Ignored files are not part of it. Strings are in the arena. Any thread. */
#ifndef RUN_CODE_H
#define RUN_CODE_H
#include "base/arena.h"

enum { CODE_OID_HEX = 40 };

struct code_state {
	struct str root;     /* of the working tree, absolute, no slash at its end */
	struct str below;    /* where the path that was asked for is in it; "" the root itself */
	struct str commit;   /* 40 hex digits; "": the repository has no commit yet */
	struct str branch;   /* "": detached */
	struct str remote;   /* of origin, without user and password; "": none */
	struct str patch;    /* "": nothing differs */
	size_t n_changed;    /* files that differ */
	size_t n_submodules; /* not part of the patch, not restored */
};

/* Files that git does not know at or below the paths `but` (n_but of them, relative to `path`) are
 * left out: they are kept elsewhere. ERR_NOT_FOUND: `path` is in no working tree. ERR_TOO_LARGE:
 * what differs has more than patch_max bytes; says so, and that committing or ignoring the large
 * files is the remedy. */
enum err code_state_read(const char *path, size_t patch_max, const struct str *but, size_t n_but,
	struct arena *a, struct code_state *out, struct errtext *et) MUST_CHECK;

/* Makes the folder `to` (which must not exist yet) with the commit checked out and the patch
 * applied: cloned from s->root when the commit is still there, else from s->remote with the git
 * command. On failure nothing is left. ERR_NOT_FOUND: neither has the commit. ERR_UNSUPPORTED: a
 * state without a commit. */
enum err code_restore(const struct code_state *s, const char *to, struct errtext *et) MUST_CHECK;

/* What differs from a to b, as a patch, computed in the repository at a->root. */
enum err code_diff(const struct code_state *a, const struct code_state *b, size_t patch_max,
	struct buf *out, struct errtext *et) MUST_CHECK;

#endif
