/* A backup is one file: a tar archive that any tool can list.
 *
 *	croft-backup.json      what it is: version, migrations, tables with their columns
 *	blobs/<sha256>         every blob
 *	tables/<name>/<n>      rows of a table, JSON lines, in parts
 *	manifest.json          the last: size and SHA-256 of each part before it
 *
 * The tables are one state of the database, read while others go on writing. Blobs are read before
 * and again after them, so that every blob that this state refers to is there: a blob is put before
 * the row that names it, and a sweep leaves what is younger than an hour. A file without a manifest
 * that fits is no backup: it was cut off or damaged. A backup does not depend on the backend. */
#ifndef STORE_BACKUP_H
#define STORE_BACKUP_H
#include "base/thread.h"
#include "store/blob.h"
#include "store/db.h"

/* A module's migrations, in the order in which modules migrate. The store adds its own. */
struct schema_part {
	const char *module;
	const struct migration *migrations;
	size_t n;
};

struct backup_info {
	char version[32]; /* of the Croft that made it */
	int64_t made_ms;
	uint64_t tables, rows, blobs, bytes;
};

/* Streams it to write(), which returns an error to stop. out may be NULL. */
enum err backup_make(struct db *db, struct blobs *blobs,
	enum err (*write)(void *ctx, struct str bytes), void *ctx, struct backup_info *out,
	const struct cancel *cancel, struct errtext *et) MUST_CHECK;
/* Reads all of a file and compares with its manifest: ERR_CORRUPT. */
enum err backup_verify(const char *path, struct backup_info *out, const struct cancel *cancel,
	struct errtext *et) MUST_CHECK;
/* Verifies, then fills an empty database, in one transaction, and the blobs. ERR_CONFLICT when
 * there are tables already, or when the backup knows migrations that this build does not. */
enum err backup_restore(const char *path, struct db *db, struct blobs *blobs,
	const struct schema_part *parts, size_t n, struct backup_info *out,
	const struct cancel *cancel, struct errtext *et) MUST_CHECK;

/* Copies all tables into an empty database; writers of the source wait meanwhile. Each table is
 * read back and compared, number and SHA-256 of its rows, before the copy is committed. */
struct copied {
	const char *table;
	uint64_t rows;
	char sha256[SHA256_HEX + 1];
};
enum err db_copy(struct db *from, struct db *to, const struct schema_part *parts, size_t n,
	void (*done)(void *ctx, const struct copied *t), void *ctx, const struct cancel *cancel,
	struct errtext *et) MUST_CHECK;

#endif
