/* The inside of backups: tar.c knows the archive, backup.c writes it, restore.c reads it, copy.c
 * goes from database to database without one. */
#ifndef STORE_BACKUP_INT_H
#define STORE_BACKUP_INT_H
#include "store/schema.h"

#define BACKUP_FORMAT "croft-backup-1"
#define BACKUP_HEAD "croft-backup.json"
#define BACKUP_MANIFEST "manifest.json"

enum { TAR_BLOCK = 512, TAR_NAME_MAX = 100 };

/* A regular file's header; names are at most 100 bytes. */
void tar_header(const char *name, uint64_t size, int64_t mtime_s, char out[TAR_BLOCK]);
/* false: not a header of a regular file, or its sum is wrong. A block of zeros: *end. */
bool tar_parse(const char block[TAR_BLOCK], char name[TAR_NAME_MAX + 1], uint64_t *size, bool *end);

/* One after the other over a file; the manifest's part is checked against what it says. */
struct tar_entry {
	char name[TAR_NAME_MAX + 1];
	uint64_t size, offset; /* of its bytes in the file */
};
/* fn gets each; it returns an error to stop. ERR_CORRUPT when the archive does not end well. */
enum err tar_each(int fd, const char *path,
	enum err (*fn)(void *ctx, int fd, const struct tar_entry *t, struct errtext *et), void *ctx,
	struct errtext *et) MUST_CHECK;
/* Reads exactly n bytes at offset. */
enum err read_at(int fd, const char *path, uint64_t offset, void *to, size_t n,
	struct errtext *et) MUST_CHECK;

#endif
