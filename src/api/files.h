/* Files of a project as OpenAI's API has them: a name, a purpose and a blob. The bytes are durable
 * before the row is, and a file never changes. An expired one is as if it were not there.
 *
 *	struct file_new f = {.name = S("in.jsonl"), .purpose = S("batch"), .data = bytes};
 *	e = files_add(c, project, &f, a, &file, et);
 *	e = files_get(c, project, id, a, &file, et);   // ERR_NOT_FOUND, another project's too
 *
 * Texts of a struct file_row are in the arena that was given. Any thread. */
#ifndef API_FILES_H
#define API_FILES_H
#include "module/module.h"

enum {
	FILE_BYTES_MAX = 512 << 20, /* in one request; more comes in parts: uploads.h */
	FILES_LIST_MAX = 10000,
	FILE_NAME_MAX = 512,
	FILE_LIVES_MIN_S = 3600,
	FILE_LIVES_MAX_S = 30 * 24 * 3600,
	FILE_ID = 5 + ID_HEX
};

struct file_row {
	struct id id;
	struct str name, purpose;
	char blob[SHA256_HEX + 1];
	int64_t bytes, created_ms, expires_ms; /* expires_ms 0: never */
};

struct file_new {
	struct str name, purpose, data;
	int64_t lives_ms; /* 0: for ever */
};

struct file_query {
	struct str purpose; /* "": all */
	bool oldest_first;
	struct id after; /* zero: from the beginning */
	int64_t limit;   /* 1..FILES_LIST_MAX */
};

void file_json(struct jw *w, const struct file_row *f); /* the API's object */
bool file_purpose(struct str word);                     /* one that a client may give */
void file_id(struct id id, char out[FILE_ID + 1]);
bool file_id_parse(struct str text, struct id *out);

enum err files_add(struct croft *c, struct str project, const struct file_new *f, struct arena *a,
	struct file_row *out, struct errtext *et) MUST_CHECK;
/* The row of a blob that is stored already, inside the transaction that goes with it. */
enum err files_insert(
	struct tx *tx, struct str project, const struct file_row *f, struct errtext *et) MUST_CHECK;
enum err files_get(struct croft *c, struct str project, struct id id, struct arena *a,
	struct file_row *out, struct errtext *et) MUST_CHECK;
enum err files_list(struct croft *c, struct str project, const struct file_query *q,
	struct arena *a, struct file_row **out, size_t *n, bool *more,
	struct errtext *et) MUST_CHECK;
enum err files_remove(struct croft *c, const struct principal *who, struct str project,
	struct id id, struct errtext *et) MUST_CHECK;
enum err files_blobs(struct croft *c, struct tx *tx, enum err (*fn)(void *ctx, struct str hex),
	void *ctx, struct errtext *et);

extern const struct migration files_migrations[1];
extern const struct module files_module;

#endif
