/* What the files of the secrets share.
 *
 *	secret.c         the module; setting, reading, rotating
 *	secret_crypt.c   sealing bytes with a key
 *	secret_key.c     where master keys come from
 *	secret_store.c   SQL
 *	secret_routes.c  wire JSON; secret_cmd.c commands */
#ifndef ACCESS_SECRET_INT_H
#define ACCESS_SECRET_INT_H
#include "access/access.h"
#include "access/secret.h"
#include "base/hash.h"
#include "module/cmd.h"

enum { KEY_BYTES = 32, KEY_ID_HEX = 16, MASTERS_MAX = 8, SECRETS_PER_PROJECT_MAX = 1000 };

/* ---- sealing: nonce (12 bytes), ciphertext, tag (16 bytes) ---- */

/* `about` is authenticated and not kept: who opens must say the same. Appends to out. */
enum err seal(const uint8_t key[KEY_BYTES], struct str about, struct str plain, struct buf *out,
	struct errtext *et) MUST_CHECK;
/* ERR_CORRUPT: another key, another `about`, or changed bytes. */
enum err unseal(const uint8_t key[KEY_BYTES], struct str about, struct str sealed, struct buf *out,
	struct errtext *et) MUST_CHECK;

/* ---- master keys ---- */

struct master {
	uint8_t key[KEY_BYTES];
	char id[KEY_ID_HEX + 1]; /* of its SHA-256: tells keys apart, says nothing of them */
};

/* The first seals; all open. */
struct masters {
	struct master k[MASTERS_MAX];
	size_t n;
	bool own; /* from the file that Croft makes itself */
	char source[600];
};

/* With `create` the file of its own is made when nothing is configured and it is not there;
 * without, that is ERR_NOT_READY. Wipe what was loaded. */
enum err masters_load(
	struct croft *c, bool create, struct masters *out, struct errtext *et) MUST_CHECK;
/* A new key in front of the others, in the own file; then nothing but the first one. */
enum err masters_renew(struct croft *c, struct masters *m, struct errtext *et) MUST_CHECK;
enum err masters_retire(struct croft *c, struct masters *m, struct errtext *et) MUST_CHECK;
const struct master *masters_find(const struct masters *m, struct str id);
void masters_wipe(struct masters *m);
/* One or more keys of 64 hex digits or 44 base64 characters, between white space or commas. */
enum err masters_parse(
	struct str text, const char *source, struct masters *out, struct errtext *et) MUST_CHECK;

/* ---- what is kept ---- */

struct secret_row {
	struct str project, name, key_id, wrapped, sealed, updated_by;
	int64_t created_ms, updated_ms;
};

extern const struct migration secret_migrations[];
enum { N_SECRET_MIGRATIONS = 1 };

enum err secret_put_row(struct tx *tx, const struct secret_row *r, struct errtext *et) MUST_CHECK;
enum err secret_get_row(struct tx *tx, struct str project, struct str name, struct arena *a,
	struct secret_row *out, struct errtext *et) MUST_CHECK;
/* project {NULL,0}: of all. */
enum err secret_list_rows(struct tx *tx, struct str project, struct arena *a,
	struct secret_row **out, size_t *n, struct errtext *et) MUST_CHECK;
enum err secret_rewrap_row(
	struct tx *tx, const struct secret_row *r, struct errtext *et) MUST_CHECK;
enum err secret_delete_row(
	struct tx *tx, struct str project, struct str name, struct errtext *et) MUST_CHECK;

/* ---- what is done ---- */

struct rotated {
	size_t secrets, rewrapped, keys_left; /* older keys that nothing needs any more */
	char key_id[KEY_ID_HEX + 1];
};
enum err secret_rotate(struct croft *c, const struct principal *who, struct rotated *out,
	struct errtext *et) MUST_CHECK;
/* The value of a row. Appends to out. */
enum err secret_open(const struct masters *m, const struct secret_row *r, struct buf *out,
	struct errtext *et) MUST_CHECK;

extern const struct route secret_routes[];
extern const struct shape secret_shapes[];
extern const struct command secret_commands[];
enum { N_SECRET_ROUTES = 4, N_SECRET_SHAPES = 1, N_SECRET_COMMANDS = 4 };

#endif
