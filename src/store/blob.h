/* Blobs: immutable bytes by their SHA-256, chosen by URL ("file:/path"; S3 joins behind the same
 * table). A put is acknowledged when it is on disk (written, fsynced, renamed). Any thread. */
#ifndef STORE_BLOB_H
#define STORE_BLOB_H
#include "base/hash.h"
#include "base/os.h"

struct blobs;

enum err blobs_open(const char *url, struct blobs **out, struct errtext *et) MUST_CHECK;
void blobs_close(struct blobs *b);
/* Storing what is there already costs the hash only. */
enum err blob_put(
	struct blobs *b, struct str data, char hex[SHA256_HEX + 1], struct errtext *et) MUST_CHECK;
/* The bytes, mapped; ERR_NOT_FOUND; `verify` reads them all and ERR_CORRUPT says so. */
enum err blob_get(struct blobs *b, const char *hex, bool verify, struct os_map *out,
	struct errtext *et) MUST_CHECK;
bool blob_exists(struct blobs *b, const char *hex);
enum err blob_delete(struct blobs *b, const char *hex, struct errtext *et);
/* Removes blobs for which keep() is false and that are older than an hour; counts bytes. */
enum err blobs_sweep(struct blobs *b, bool (*keep)(void *ctx, const char *hex), void *ctx,
	uint64_t *freed, struct errtext *et);

#endif
