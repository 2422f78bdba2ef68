/* What the files of this folder share.
 *
 *	access.c        the module: rows, state
 *	audit.c         the hash chain: encoding, checking, lines of an export
 *	audit_store.c   SQL of the audit log
 *	audit_routes.c  wire JSON; audit_cmd.c commands */
#ifndef ACCESS_ACCESS_INT_H
#define ACCESS_ACCESS_INT_H
#include "access/access.h"
#include "base/hash.h"
#include "base/os.h"
#include "module/cmd.h"

/* ---- the audit log ---- */

struct audit_record {
	int64_t seq, time_ms; /* seq from 1, without gaps */
	struct id actor_id;   /* zero: none */
	struct str actor, project, action, subject, detail;
	uint8_t prev[SHA256_BYTES], hash[SHA256_BYTES]; /* prev of the first: zeros */
};

/* SHA-256 of the canonical encoding of everything but `hash`:
 *
 *	"croft audit 1\n", seq, time_ms (8 bytes each, big endian), actor_id (16 bytes),
 *	actor, project, action, subject, detail (each: 8 bytes of length, big endian, then the
 *	bytes), prev (32 bytes)
 */
void audit_hash(const struct audit_record *r, uint8_t out[SHA256_BYTES]);

/* Checks records one after the other. Start with {0}; `seq` and `head` are those of the last good
 * record. When first_seq is not 1, the first record's prev is taken as it is. */
struct audit_chain {
	int64_t first_seq, seq, n;
	uint8_t head[SHA256_BYTES];
};
/* ERR_CORRUPT says which record is bad and why; the chain then stays as it was. */
enum err audit_chain_next(
	struct audit_chain *c, const struct audit_record *r, struct errtext *et) MUST_CHECK;

/* Export: one JSON object per line, detail as a string (its exact bytes); the last line is
 * {"head":{"seq","hash","exported"}}. */
void audit_line(struct buf *out, const struct audit_record *r);
void audit_head_line(struct buf *out, int64_t seq, const uint8_t hash[SHA256_BYTES]);
struct audit_line {
	bool is_head;
	struct audit_record record; /* is_head: only seq and hash */
};
/* Strings are in `a`. ERR_INVALID, ERR_CORRUPT. */
enum err audit_line_parse(
	struct str line, struct arena *a, struct audit_line *out, struct errtext *et) MUST_CHECK;
/* A whole exported file: every record, the chain, the head. The chain tells how far it is good. */
enum err audit_verify_file(const char *path, struct audit_chain *c, struct errtext *et) MUST_CHECK;

extern const struct migration audit_migrations_sql; /* the first migration of the module */

struct audit_filter {
	struct str actor, action, subject, project; /* .n 0: any; a last '*': what begins so */
	int64_t from_ms, to_ms;                     /* 0: open; to is exclusive */
	int64_t before;                             /* seq; 0: from the newest */
	int64_t limit;
};
/* Newest first; strings are in `a`. */
enum err audit_list(struct tx *tx, const struct audit_filter *f, struct arena *a,
	struct audit_record **out, size_t *n, struct errtext *et) MUST_CHECK;
/* At most `limit` records after `after`, oldest first. */
enum err audit_after(struct tx *tx, int64_t after, int64_t limit, struct arena *a,
	struct audit_record **out, size_t *n, struct errtext *et) MUST_CHECK;

extern const struct route audit_routes[];
extern const struct shape audit_shapes[1];
extern const struct command audit_commands[];
enum { N_AUDIT_ROUTES = 3, N_AUDIT_COMMANDS = 3 };

#endif
