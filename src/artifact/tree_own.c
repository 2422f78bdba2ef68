/* Whose a tree is: uploads, commits, grants.
 *
 * A chunk belongs to a project when the project has uploaded its bytes (row of tree_chunk): then it
 * may name it in a tree, is told that it need not upload it again, and may read it. That somebody
 * else has uploaded the same bytes changes none of these answers.
 *
 * An upload and a collection of the same blob, perhaps by two servers:
 *
 *  1. A collection works in numbered batches: in one transaction it removes the rows that nobody
 *     needs and notes the ids with the batch's number (`dying`); then it removes the blobs; then it
 *     says that the batch has ended.
 *  2. An upload asks which batch was the last to end (s0), puts the blobs, and then, in one
 *     transaction, looks for its ids among the dying: one of a batch later than s0 may have been
 *     removed after the put. Then it waits for the end of that batch and puts again. Otherwise it
 *     inserts its rows.
 *  3. Notes of dying ids stay for an hour, which is longer than a put takes.
 *
 * So when rows are inserted, the blobs are there, and no batch that could remove them can begin
 * without seeing the rows, which are new. */
#include "access/access.h"
#include "artifact/tree_int.h"
#include "base/clock.h"

#include <stdlib.h>

enum { GC_WAIT_MS = 30000, PUT_TRIES = 20, RENEW_MS = 30 * 60 * 1000 };

/* ---- frames ---- */

void tree_frame_head(const struct tree_chunk *c, uint8_t out[TREE_FRAME_HEAD])
{
	memcpy(out, c->id, SHA256_BYTES);
	for (int i = 0; i < 4; i++)
		out[SHA256_BYTES + i] = (uint8_t)(c->size >> 8 * i);
}

enum err tree_frame_next(
	struct str *rest, struct tree_chunk *c, struct str *bytes, struct errtext *et)
{
	uint32_t size = 0;
	if (rest->n < TREE_FRAME_HEAD)
		return err_set(et, ERR_INVALID, "the body ends within the head of a chunk");
	const uint8_t *p = (const uint8_t *)rest->p;
	for (int i = 0; i < 4; i++)
		size |= (uint32_t)p[SHA256_BYTES + i] << 8 * i;
	if (!size || size > TREE_CHUNK_MAX)
		return err_set(et, ERR_INVALID, "a chunk has %u bytes; 1 to %d are allowed", size,
			TREE_CHUNK_MAX);
	if (rest->n - TREE_FRAME_HEAD < size)
		return err_set(et, ERR_INVALID, "the body ends within a chunk");
	memcpy(c->id, p, SHA256_BYTES);
	c->size = size;
	*bytes = str_sub(*rest, TREE_FRAME_HEAD, TREE_FRAME_HEAD + size);
	*rest = str_sub(*rest, TREE_FRAME_HEAD + size, rest->n);
	return OK;
}

/* ---- upload ---- */

static enum err last_ended(struct db *db, int64_t *out, struct errtext *et)
{
	struct tx *tx;
	struct tree_gc_state s;
	enum err e = db_begin(db, TX_READ, &tx, et);
	if (e)
		return e;
	e = tree_gc_state(tx, &s, et);
	db_rollback(tx);
	if (!e)
		*out = s.ended;
	return e;
}

/* A server that died within a batch does not end it: after a while its removals are over. */
static enum err wait_for_batch(struct db *db, int64_t batch, struct errtext *et)
{
	uint64_t end = clock_mono_ns() + (uint64_t)GC_WAIT_MS * 1000000;
	int64_t ended = 0;
	enum err e = OK;
	while (!e && ended < batch && clock_mono_ns() < end) {
		e = last_ended(db, &ended, et);
		if (!e && ended < batch)
			clock_sleep_ms(50);
	}
	return e;
}

struct owning {
	struct str project;
	struct str uploader; /* to be noted with each chunk; .p NULL: not needed */
	const struct tree_chunk *chunks;
	size_t n;
	int64_t seen; /* batches up to this one have nothing to do with it */
	int64_t clash;
	bool stored; /* already, at a time that is not known: put only after a clash */
};

static enum err own_chunks(struct tx *tx, void *ctx, struct errtext *et)
{
	struct owning *o = ctx;
	enum err e = tree_dying(tx, o->chunks, o->n, &o->clash, et);
	if (e || o->clash > o->seen)
		return e;
	o->clash = 0;
	e = tree_chunks_put(tx, o->project, o->chunks, o->n, clock_unix_ms(), et);
	return e || !o->uploader.p
		       ? e
		       : tree_uploads_put(tx, o->project, o->uploader, o->chunks, o->n, et);
}

static enum err verify_chunk(const struct tree_chunk *c, struct str bytes, struct errtext *et)
{
	uint8_t now[SHA256_BYTES];
	char hex[SHA256_HEX + 1];
	sha256_of(bytes, now);
	if (bytes.n == c->size && memcmp(now, c->id, sizeof now) == 0)
		return OK;
	hex_encode(c->id, SHA256_BYTES, hex);
	return err_set(et, ERR_CORRUPT,
		"chunk %.16s was changed on its way: its bytes do not have "
		"its hash",
		hex);
}

static enum err put_blobs(struct blobs *b, const struct tree_upload *u, struct errtext *et)
{
	struct blob_batch *g;
	char hex[SHA256_HEX + 1];
	enum err e = blob_batch_begin(b, &g, et);
	if (e)
		return e;
	for (size_t i = 0; i < u->n && !e; i++) {
		hex_encode(u->chunks[i].id, SHA256_BYTES, hex);
		e = blob_batch_put(g, hex, u->bytes[i], et);
	}
	if (!e)
		e = blob_batch_commit(g, et);
	blob_batch_end(g);
	return e;
}

/* put(ctx) stores the blobs, or renews them; it is called until no collection was in its way. */
static enum err put_and_own(struct croft *c, struct owning *o,
	enum err (*put)(void *ctx, struct errtext *et), void *ctx, struct errtext *et)
{
	struct db *db = croft_db(c);
	for (int i = 0; i < PUT_TRIES; i++) {
		enum err e = o->clash ? wait_for_batch(db, o->clash, et) : OK;
		if (!e && o->clash)
			o->seen = o->clash;
		else if (!e && !o->stored)
			e = last_ended(db, &o->seen, et);
		if (!e && (o->clash || !o->stored))
			e = put(ctx, et);
		if (!e)
			e = db_write(db, own_chunks, o, et);
		if (e || !o->clash)
			return e;
	}
	return err_set(et, ERR_BUSY, "blobs are being collected; try again");
}

struct putting {
	struct blobs *b;
	const struct tree_upload *u;
};

static enum err put_upload(void *ctx, struct errtext *et)
{
	struct putting *p = ctx;
	return put_blobs(p->b, p->u, et);
}

/* .p NULL: no rule says what it may read. */
static struct str ruled_name(const struct principal *who)
{
	const struct http_request as = {.who = who};
	return access_ruled(&as, PERM_ARTIFACT_READ) ? who->name : (struct str){0};
}

enum err tree_upload(struct croft *c, const struct principal *who, const struct tree_upload *u,
	struct errtext *et)
{
	enum err e = OK;
	for (size_t i = 0; i < u->n && !e; i++)
		e = verify_chunk(&u->chunks[i], u->bytes[i], et);
	if (e)
		return e;
	struct putting p = {croft_blobs(c), u};
	struct owning o = {.project = who->project,
		.uploader = ruled_name(who),
		.chunks = u->chunks,
		.n = u->n};
	return put_and_own(c, &o, put_upload, &p, et);
}

/* ---- commit, grant ---- */

/* Every chunk of a tree, one after the other, the tree's own blob last. */
static struct tree_chunk *all_chunks(const struct tree *t, size_t json_n, size_t *n)
{
	size_t sum = 1, k = 0;
	for (size_t i = 0; i < t->n_files; i++)
		sum += t->files[i].n_chunks;
	struct tree_chunk *c = calloc(sum, sizeof *c);
	for (size_t i = 0; c && i < t->n_files; i++)
		for (size_t m = 0; m < t->files[i].n_chunks; m++)
			c[k++] = t->files[i].chunks[m];
	if (c) {
		hex_decode(str_c(t->digest), c[k].id, SHA256_BYTES);
		c[k].size = (uint32_t)json_n;
		*n = k + 1;
	}
	return c;
}

struct committing {
	struct str project, who;
	const struct tree *t;
	const struct tree_chunk *chunks;
	size_t n, missing;
	struct str uploader; /* all chunks must be its own; .p NULL: the project's */
	bool *lack;          /* room for n, with an uploader */
};

/* Whoever may not read everything names only what it has sent itself: else the hash of somebody's
 * file would be enough to get the file. */
static enum err find_foreign(struct tx *tx, struct committing *k, struct errtext *et)
{
	enum err e = tree_uploads_lack(tx, k->project, k->uploader, k->chunks, k->n, k->lack, et);
	for (size_t i = 0; i < k->n && !e && k->missing == k->n; i++)
		if (k->lack[i])
			k->missing = i;
	return e;
}

static enum err put_row(struct tx *tx, const struct committing *k, struct errtext *et)
{
	struct tree_row row = {str_c(k->t->digest), k->who, (int64_t)k->t->n_files,
		(int64_t)k->t->bytes, clock_unix_ms()};
	return tree_row_put(tx, k->project, &row, et);
}

static enum err commit_rows(struct tx *tx, void *ctx, struct errtext *et)
{
	struct committing *k = ctx;
	int64_t now = clock_unix_ms();
	enum err e = tree_chunks_renew(
		tx, k->project, k->chunks, k->n, now - RENEW_MS, now, &k->missing, et);
	if (!e && k->missing == k->n && k->uploader.p)
		e = find_foreign(tx, k, et);
	return e || k->missing < k->n ? e : put_row(tx, k, et);
}

struct putting_json {
	struct blobs *b;
	struct str json;
};

static enum err put_json(void *ctx, struct errtext *et)
{
	struct putting_json *p = ctx;
	char hex[SHA256_HEX + 1];
	return blob_put(p->b, p->json, hex, et);
}

enum err tree_commit(struct croft *c, const struct principal *who, struct str json,
	struct tree_sum *out, struct errtext *et)
{
	struct tree *t;
	char hex[SHA256_HEX + 1];
	size_t n = 0;
	enum err e = tree_parse(json, &t, et);
	if (e)
		return e;
	struct tree_chunk *chunks = all_chunks(t, json.n, &n);
	struct committing k = {.project = who->project,
		.who = who->name,
		.t = t,
		.chunks = chunks,
		.n = n - 1,
		.uploader = ruled_name(who)};
	struct putting_json put = {croft_blobs(c), json};
	struct owning own = {.project = who->project, .chunks = chunks + n - 1, .n = 1};
	k.lack = k.uploader.p ? calloc(n, sizeof *k.lack) : NULL;
	if (!chunks || (k.uploader.p && !k.lack))
		e = err_set(et, ERR_NOMEM, "no memory for a tree");
	if (!e)
		e = put_and_own(c, &own, put_json, &put, et);
	if (!e)
		e = db_write(croft_db(c), commit_rows, &k, et);
	if (!e && k.missing < k.n) {
		hex_encode(chunks[k.missing].id, SHA256_BYTES, hex);
		e = err_set(et, ERR_CONFLICT,
			"chunk %.16s was not uploaded%s: push again, only what is missing is sent",
			hex, k.uploader.p ? " by you" : " to this project");
	}
	if (!e) {
		*out = (struct tree_sum){.files = t->n_files, .bytes = t->bytes};
		memcpy(out->digest, t->digest, sizeof t->digest);
	}
	free(k.lack);
	free(chunks);
	tree_free(t);
	return e;
}

struct renewing {
	struct blobs *b;
	const struct tree_chunk *chunks;
	size_t n;
};

static enum err renew_all(void *ctx, struct errtext *et)
{
	struct renewing *r = ctx;
	char hex[SHA256_HEX + 1];
	enum err e = OK;
	for (size_t i = 0; i < r->n && !e; i++) {
		hex_encode(r->chunks[i].id, SHA256_BYTES, hex);
		e = blob_renew(r->b, hex, et);
	}
	return e;
}

static enum err grant_rows(struct tx *tx, void *ctx, struct errtext *et)
{
	return put_row(tx, ctx, et);
}

enum err tree_grant(
	struct croft *c, const struct principal *who, const char *digest, struct errtext *et)
{
	struct tree *t;
	struct blob_info info;
	size_t n = 0;
	enum err e = blob_stat(croft_blobs(c), digest, &info, et);
	if (!e)
		e = tree_load(croft_blobs(c), digest, &t, et);
	if (e)
		return e;
	struct tree_chunk *chunks = all_chunks(t, (size_t)info.size, &n);
	struct committing k = {
		.project = who->project, .who = who->name, .t = t, .chunks = chunks, .n = n};
	struct renewing renew = {croft_blobs(c), chunks, n};
	struct owning own = {.project = who->project, .chunks = chunks, .n = n, .stored = true};
	e = chunks ? put_and_own(c, &own, renew_all, &renew, et)
		   : err_set(et, ERR_NOMEM, "no memory for a tree");
	if (!e)
		e = db_write(croft_db(c), grant_rows, &k, et);
	free(chunks);
	tree_free(t);
	return e;
}

enum err tree_granted(struct croft *c, struct str project, const char *digest, struct errtext *et)
{
	struct tx *tx;
	bool found = false;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = tree_row_find(tx, project, str_c(digest), &found, et);
	db_rollback(tx);
	if (!e && !found)
		e = err_set(et, ERR_NOT_FOUND, "there is no tree %.16s in this project", digest);
	return e;
}
