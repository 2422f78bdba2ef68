/* The folder where an owner of indexes (vindex_save) keeps their files.
 *
 * A file is TOKEN.NAME: each save has a new token, and a row of the owner's database says which one
 * is this data directory's present one. A database that was restored from a backup names an older
 * token, whose files are gone, and so never meets an index of changes that it does not know. */
#ifndef VECTOR_INDEX_DIR_H
#define VECTOR_INDEX_DIR_H
#include "base/id.h"

/* What tells this data directory from others that share the database: read from folder/host, or
 * made; ID_HEX + 1 bytes. One thread at a time. */
enum err index_dir_host(const char *folder, char *host, struct errtext *et) MUST_CHECK;
/* Removes all files but those of these tokens: what a save that was killed left, or one that was
 * replaced. Names that begin with a dot, and the host, stay. */
void index_dir_keep(const char *folder, const char *const *tokens, size_t n);

#endif
