/* Files that come in parts, as OpenAI's uploads: begin, any parts in any order, complete with the
 * list of those that are the file. Parts are blobs, and durable when they are acknowledged; the
 * file is there when the upload is complete, and never before. What is not complete after an hour
 * has expired.
 *
 *	struct upload_new n = {.name = S("a.jsonl"), .purpose = S("batch"), .bytes = 3000};
 *	e = uploads_begin(c, project, &n, a, &u, et);
 *	e = uploads_part(c, project, u.id, bytes, &part, et);
 *	e = uploads_complete(c, project, u.id, &(struct upload_parts){&part.id, 1}, cancel, a, &u,
 *		et);
 *
 * ERR_NOT_FOUND: no such upload in the project; ERR_INVALID: it is not pending any more, or the
 * parts are not what was announced. Completing again gives the same file: an answer may have been
 * lost. Any thread. */
#ifndef API_UPLOADS_H
#define API_UPLOADS_H
#include "api/files.h"

enum {
	UPLOAD_ID = 7 + ID_HEX,
	UPLOAD_PART_ID = 5 + ID_HEX,
	UPLOADS_PARTS_MAX = 10000,
	UPLOAD_PART_MAX = 64 << 20,
	UPLOAD_LIVES_MS = 3600 * 1000
};
#define UPLOAD_BYTES_MAX (8ll << 30)

struct upload_new {
	struct str name, purpose;
	int64_t bytes, lives_ms; /* of the file; lives_ms 0: for ever */
};

struct upload_row {
	struct id id, file; /* file: zero until it is complete */
	struct str name, purpose;
	const char *status; /* "pending", "completed", "cancelled", "expired" */
	int64_t bytes, lives_ms, created_ms, expires_ms;
};

struct upload_part_row {
	struct id id;
	int64_t created_ms;
};

struct upload_parts {
	const struct id *id;
	size_t n;
	struct str md5; /* 32 hex digits that the whole must have, or "" */
};

void upload_id(struct id id, char out[UPLOAD_ID + 1]);
bool upload_id_parse(struct str text, struct id *out);

enum err uploads_begin(struct croft *c, struct str project, const struct upload_new *n,
	struct arena *a, struct upload_row *out, struct errtext *et) MUST_CHECK;
enum err uploads_part(struct croft *c, struct str project, struct id upload, struct str data,
	struct upload_part_row *out, struct errtext *et) MUST_CHECK;
enum err uploads_complete(struct croft *c, struct str project, struct id upload,
	const struct upload_parts *parts, const struct cancel *cancel, struct arena *a,
	struct upload_row *out, struct errtext *et) MUST_CHECK;
enum err uploads_cancel(struct croft *c, struct str project, struct id upload, struct arena *a,
	struct upload_row *out, struct errtext *et) MUST_CHECK;
enum err uploads_blobs(struct croft *c, struct tx *tx, enum err (*fn)(void *ctx, struct str hex),
	void *ctx, struct errtext *et);

extern const struct migration uploads_migrations[1];
extern const struct module uploads_module;

/* Bodies of requests: to begin, and to complete. Texts and ids are the arena's. */
struct api_error;
enum err uploads_parse_begin(
	struct str body, struct arena *a, struct upload_new *out, struct api_error *x) MUST_CHECK;
enum err uploads_parse_parts(
	struct str body, struct arena *a, struct upload_parts *out, struct api_error *x) MUST_CHECK;

#endif
