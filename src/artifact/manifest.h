/* What is signed: the files of a version by their SHA-256, as the in-toto statement that the
 * OpenSSF model-signing specification (v1.0) describes. */
#ifndef ARTIFACT_MANIFEST_H
#define ARTIFACT_MANIFEST_H
#include "artifact/tree.h"

struct manifest_file {
	struct str path; /* with "/" */
	char sha256[SHA256_HEX + 1];
};

struct manifest {
	struct manifest_file *files; /* sorted, folder by folder */
	size_t n, cap;
	uint64_t bytes;
	struct arena *a; /* of the paths; the caller's */
};

enum { MANIFEST_FILES_MAX = 200000 };

/* Of the files of a folder, read and hashed now, but for those whose hash is `known` (may be NULL).
 * `ignore` (may be NULL): a name at its top. */
enum err manifest_of_folder(const char *path, const char *ignore, const struct manifest *known,
	struct manifest *out, struct errtext *et) MUST_CHECK;
enum err manifest_add(
	struct manifest *m, struct str path, const char *sha256, struct errtext *et) MUST_CHECK;
const struct manifest_file *manifest_find(const struct manifest *m, struct str path); /* or NULL */
enum err manifest_of_tree(
	const struct tree *t, struct manifest *out, struct errtext *et) MUST_CHECK;
void manifest_free(struct manifest *m); /* the list; the paths are the arena's */

void statement_write(
	const struct manifest *m, struct str name, const char *ignore, struct buf *out);
/* ERR_CORRUPT: not a statement about a model's files, or inconsistent in itself. */
enum err statement_parse(struct str json, struct manifest *out, struct errtext *et) MUST_CHECK;
/* ERR_CORRUPT names the first file that is missing, changed or not signed. */
enum err manifest_compare(
	const struct manifest *is, const struct manifest *is_signed, struct errtext *et) MUST_CHECK;

#endif
