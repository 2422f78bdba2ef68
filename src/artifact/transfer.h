/* Content to and from Croft, for commands: files of this machine become a tree, a tree becomes a
 * folder. It all goes through the API (cmd_call), to a running server or in this process; only
 * chunks that are not there yet are sent. */
#ifndef ARTIFACT_TRANSFER_H
#define ARTIFACT_TRANSFER_H
#include "artifact/tree.h"

struct cmd;

struct tree_pushed {
	char digest[SHA256_HEX + 1];
	uint64_t files, bytes, sent;
};

/* A file or folder; o may be NULL. */
enum err tree_push(struct cmd *cmd, const char *path, const struct tree_options *o,
	struct tree_pushed *out, struct errtext *et) MUST_CHECK;
/* Single files (one at least), each under the path that it has in the tree; sorts them by it, and
 * fills size and sha256. */
struct tree_local {
	const char *from;
	struct str path;
	uint64_t size;
	char sha256[SHA256_HEX + 1];
};
enum err tree_push_files(struct cmd *cmd, struct tree_local *files, size_t n,
	const struct tree_options *o, struct tree_pushed *out, struct errtext *et) MUST_CHECK;
/* What a push of it would be named; nothing is sent. */
enum err tree_digest_of(const char *path, const struct tree_options *o, struct tree_sum *out,
	struct errtext *et) MUST_CHECK;
/* Into the folder `dir`, as tree_extract: it must not exist or be empty. */
enum err tree_pull(struct cmd *cmd, struct str digest, const char *dir,
	const struct tree_options *o, struct tree_sum *out, struct errtext *et) MUST_CHECK;
/* The tree itself, its digest verified. */
enum err tree_fetch(
	struct cmd *cmd, struct str digest, struct tree **out, struct errtext *et) MUST_CHECK;

/* Prints what becomes of a tree in another one: files, and of CSV and JSON lines their rows.
 * Nothing when one of them is not here, or both are the same. */
struct diff_options {
	bool rows;      /* which rows, and the columns' figures */
	struct str key; /* .p NULL: found */
};
enum err tree_print_diff(struct cmd *cmd, struct str before, struct str after,
	const struct diff_options *o, struct errtext *et) MUST_CHECK;

#endif
