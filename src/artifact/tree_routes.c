/* /api/v1/trees: chunks up and down, trees committed and read, and the collection of what nobody
 * needs. Two routes take a path of this machine: they are for the program itself only (rq->local),
 * so that a command without a server stores and extracts without sending bytes to itself. */
#include "access/access.h"
#include "artifact/registry.h"
#include "artifact/tree_int.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/map.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define ONE "/api/v1/trees/{digest}"

/* ---- chunks ---- */

/* "ids": hex; chunks without a size. "tree": may be missing. */
static enum err parse_ids(struct http_request *rq, struct tree_chunk **out, size_t *n_out,
	struct str *tree, struct errtext *et)
{
	yyjson_doc *doc;
	yyjson_val *v;
	size_t i, n;
	enum err e = json_parse(rq->body, &doc, et);
	if (e)
		return e;
	yyjson_val *ids = yyjson_obj_get(yyjson_doc_get_root(doc), "ids");
	size_t count = yyjson_arr_size(ids);
	struct tree_chunk *list = arena_array_of(rq->arena, count + 1, struct tree_chunk);
	if (!yyjson_is_arr(ids) || count > TREE_IDS_MAX)
		e = err_set(et, ERR_INVALID, "ids: a list of at most %d chunks is expected",
			TREE_IDS_MAX);
	else if (!list)
		e = err_set(et, ERR_NOMEM, "no memory for a list of chunks");
	if (!e) {
		yyjson_arr_foreach(ids, i, n, v)
		{
			if (!tree_digest_ok(json_val_str(v)))
				e = err_set(et, ERR_INVALID, "ids: an id is a SHA-256 in hex");
			else
				hex_decode(json_val_str(v), list[i].id, SHA256_BYTES);
		}
	}
	if (!e && tree) {
		*tree = arena_str(rq->arena, json_str(yyjson_doc_get_root(doc), "tree"));
		if (!tree->p)
			e = err_set(et, ERR_NOMEM, "no memory for a list of chunks");
	}
	yyjson_doc_free(doc);
	if (!e) {
		*out = list;
		*n_out = count;
	}
	return e;
}

/* The project has it, and no rule keeps it from who asks. */
static enum err readable(
	struct croft *c, struct http_request *rq, const char *digest, struct errtext *et)
{
	struct tx *tx;
	enum err e = tree_granted(c, project_of(rq), digest, et);
	if (e || !access_ruled(rq, PERM_ARTIFACT_READ))
		return e;
	e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = tree_readable(tx, rq, str_c(digest), et);
	db_rollback(tx);
	return e;
}

/* Whoever is bound by rules names the tree that it reads chunks of. */
static enum err lacking_in_tree(struct croft *c, struct http_request *rq, struct str digest,
	const struct tree_chunk *ids, size_t n, bool *lack, struct errtext *et)
{
	char hex[SHA256_HEX + 1];
	struct tree *t = NULL;
	struct map in_it = {0};
	if (!tree_digest_ok(digest))
		return err_set(et, ERR_INVALID, "tree: name the tree that the chunks are of");
	snprintf(hex, sizeof hex, "%.*s", STR_FMT(digest));
	enum err e = readable(c, rq, hex, et);
	if (!e)
		e = tree_load(croft_blobs(c), hex, &t, et);
	for (size_t i = 0; !e && i < t->n_files; i++)
		for (size_t k = 0; !e && k < t->files[i].n_chunks; k++)
			if (!map_put(&in_it, str_mk(t->files[i].chunks[k].id, SHA256_BYTES), t))
				e = err_set(et, ERR_NOMEM, "no memory for a list of chunks");
	for (size_t i = 0; i < n && !e; i++)
		lack[i] = !map_get(&in_it, str_mk(ids[i].id, SHA256_BYTES));
	map_free(&in_it);
	tree_free(t);
	return e;
}

static enum err find_lacking(struct croft *c, struct http_request *rq, const struct tree_chunk *ids,
	size_t n, bool *lack, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	if (access_ruled(rq, PERM_ARTIFACT_READ))
		e = tree_uploads_lack(tx, project_of(rq), rq->who->name, ids, n, lack, et);
	else
		e = tree_chunks_lack(tx, project_of(rq), ids, n, lack, et);
	db_rollback(tx);
	return e;
}

/* Answers from what the project itself has uploaded: nobody learns what others have. */
static void post_missing(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct tree_chunk *ids = NULL;
	size_t n = 0;
	char hex[SHA256_HEX + 1];
	enum err e = parse_ids(rq, &ids, &n, NULL, &et);
	bool *lack = e ? NULL : arena_array_of(rq->arena, n + 1, bool);
	if (!e)
		e = lack ? find_lacking(c, rq, ids, n, lack, &et) : ERR_NOMEM;
	if (e) {
		http_reply_error(rs, e, &et);
		return;
	}
	struct buf out = {0};
	struct jw w = {.out = &out};
	jw_obj(&w);
	jw_key(&w, "missing");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++) {
		hex_encode(ids[i].id, SHA256_BYTES, hex);
		if (lack[i])
			jw_c(&w, hex);
	}
	jw_end(&w);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&out);
}

static enum err parse_frames(struct http_request *rq, struct tree_upload *u, struct errtext *et)
{
	struct str rest = rq->body;
	u->chunks = arena_array_of(rq->arena, TREE_IDS_MAX, struct tree_chunk);
	u->bytes = arena_array_of(rq->arena, TREE_IDS_MAX, struct str);
	if (!u->chunks || !u->bytes)
		return err_set(et, ERR_NOMEM, "no memory for a list of chunks");
	while (rest.n) {
		if (u->n == TREE_IDS_MAX)
			return err_set(et, ERR_INVALID, "at most %d chunks are sent at once",
				TREE_IDS_MAX);
		enum err e = tree_frame_next(&rest, &u->chunks[u->n], &u->bytes[u->n], et);
		if (e)
			return e;
		u->n++;
	}
	return u->n ? OK : err_set(et, ERR_INVALID, "the body has no chunks");
}

static void post_chunks(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct tree_upload u = {0};
	enum err e = parse_frames(rq, &u, &et);
	if (!e)
		e = tree_upload(c, rq->who, &u, &et);
	if (e) {
		http_reply_error(rs, e, &et);
		return;
	}
	char text[64];
	snprintf(text, sizeof text, "{\"stored\":%zu}", u.n);
	http_reply(rs, 200, "application/json", str_c(text));
}

/* The bytes of the chunks that are asked for, one after the other. */
static enum err read_chunks(struct croft *c, const struct tree_chunk *ids, size_t n,
	struct buf *out, struct errtext *et)
{
	char hex[SHA256_HEX + 1];
	enum err e = OK;
	out->max = TREE_REQUEST_MAX;
	for (size_t i = 0; i < n && !e; i++) {
		struct os_map m;
		hex_encode(ids[i].id, SHA256_BYTES, hex);
		e = blob_get(croft_blobs(c), hex, false, &m, et);
		if (e)
			return e;
		buf_add(out, m.p ? m.p : "", m.n);
		os_unmap(&m);
		if (out->err == ERR_TOO_LARGE)
			e = err_set(et, ERR_TOO_LARGE, "more than %d MiB at once: ask for fewer",
				TREE_REQUEST_MAX >> 20);
		else if (out->err)
			e = err_set(et, ERR_NOMEM, "no memory for chunks");
	}
	return e;
}

static void post_read(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct tree_chunk *ids = NULL;
	size_t n = 0;
	struct buf out = {0};
	char hex[SHA256_HEX + 1];
	struct str tree = {0};
	enum err e = parse_ids(rq, &ids, &n, &tree, &et);
	bool *lack = e ? NULL : arena_array_of(rq->arena, n + 1, bool);
	if (!e && !lack)
		e = ERR_NOMEM;
	else if (!e && access_ruled(rq, PERM_ARTIFACT_READ))
		e = lacking_in_tree(c, rq, tree, ids, n, lack, &et);
	else if (!e)
		e = find_lacking(c, rq, ids, n, lack, &et);
	for (size_t i = 0; i < n && !e; i++) {
		hex_encode(ids[i].id, SHA256_BYTES, hex);
		if (lack[i])
			e = err_set(
				&et, ERR_NOT_FOUND, "there is no chunk %.16s in this project", hex);
	}
	if (!e)
		e = read_chunks(c, ids, n, &out, &et);
	if (e)
		http_reply_error(rs, e, &et);
	else
		http_reply(rs, 200, "application/octet-stream", buf_str(&out));
	buf_free(&out);
}

/* ---- trees ---- */

static void sum_members(struct jw *w, const struct tree_sum *sum)
{
	jw_kc(w, "digest", sum->digest);
	jw_ki64(w, "files", (int64_t)sum->files);
	jw_ki64(w, "bytes", (int64_t)sum->bytes);
}

static void post_tree(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct tree_sum sum;
	enum err e = tree_commit(c, rq->who, rq->body, &sum, &et);
	if (e) {
		http_reply_error(rs, e, &et);
		return;
	}
	struct buf out = {0};
	struct jw w = {.out = &out};
	jw_obj(&w);
	sum_members(&w, &sum);
	jw_end(&w);
	http_reply_json(rs, 201, &w);
	buf_free(&out);
}

enum err tree_named(struct croft *c, struct http_request *rq, const char *param,
	char hex[SHA256_HEX + 1], struct errtext *et)
{
	struct str digest = http_param(rq, param);
	if (!tree_digest_ok(digest))
		return err_set(et, ERR_INVALID, "a tree is named by its SHA-256 in hex");
	snprintf(hex, SHA256_HEX + 1, "%.*s", STR_FMT(digest));
	return readable(c, rq, hex, et);
}

static void get_tree(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct os_map m = {0};
	char hex[SHA256_HEX + 1];
	enum err e = tree_named(c, rq, "digest", hex, &et);
	if (!e)
		e = blob_get(croft_blobs(c), hex, true, &m, &et);
	if (e) {
		http_reply_error(rs, e, &et);
		return;
	}
	http_reply(rs, 200, "application/json", str_mk(m.p, m.n));
	os_unmap(&m);
}

enum { DIFF_MAX = 10000 };

static const char *const change_words[] = {
	[TREE_ADDED] = "added", [TREE_REMOVED] = "removed", [TREE_CHANGED] = "changed"};

static void size_or_null(struct jw *w, const char *key, const struct tree_file *f)
{
	jw_key(w, key);
	f ? jw_u64(w, f->size) : jw_null(w);
}

static void diff_members(struct jw *w, const struct tree_diff *d)
{
	jw_key(w, "files");
	jw_arr(w);
	for (size_t i = 0; i < MIN(d->n, (size_t)DIFF_MAX); i++) {
		const struct tree_delta *x = &d->deltas[i];
		jw_obj(w);
		jw_kstr(w, "path", (x->after ? x->after : x->before)->path);
		jw_kc(w, "change", change_words[x->change]);
		size_or_null(w, "before", x->before);
		size_or_null(w, "after", x->after);
		jw_ki64(w, "shared", (int64_t)x->shared);
		jw_end(w);
	}
	jw_end(w);
	jw_ki64(w, "changed", (int64_t)d->n);
	jw_ki64(w, "same", (int64_t)d->same);
	jw_ki64(w, "shared", (int64_t)d->shared);
	jw_ki64(w, "fresh", (int64_t)d->fresh);
}

static void get_diff(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct tree *a = NULL, *b = NULL;
	struct tree_diff d = {0};
	char hex[SHA256_HEX + 1], other[SHA256_HEX + 1];
	enum err e = tree_named(c, rq, "digest", hex, &et);
	if (!e)
		e = tree_named(c, rq, "other", other, &et);
	if (!e)
		e = tree_load(croft_blobs(c), hex, &a, &et);
	if (!e)
		e = tree_load(croft_blobs(c), other, &b, &et);
	struct arena *arena = e ? NULL : arena_new(0);
	if (!e)
		e = arena ? tree_diff(a, b, arena, &d, &et) : ERR_NOMEM;
	if (e) {
		http_reply_error(rs, e, &et);
	} else {
		struct buf out = {0};
		struct jw w = {.out = &out};
		jw_obj(&w);
		diff_members(&w, &d);
		jw_end(&w);
		http_reply_json(rs, 200, &w);
		buf_free(&out);
	}
	arena_free(arena);
	tree_free(a);
	tree_free(b);
}

static enum err want_u64(
	struct http_request *rq, const char *name, uint64_t *out, struct errtext *et)
{
	struct str v = http_query(rq, name);
	if (!v.p || str_u64(v, out))
		return OK;
	return err_set(et, ERR_INVALID, "%s: a number of bytes is expected", name);
}

static void send_file(struct croft *c, struct http_response *rs, const struct tree_file *f,
	uint64_t from, uint64_t n)
{
	size_t step = MIN(n, (uint64_t)TREE_CHUNK_MAX);
	uint8_t *buffer = malloc(step ? step : 1);
	struct errtext et = {0};
	if (!buffer) {
		http_reply_error(rs, ERR_NOMEM, NULL);
		return;
	}
	/* The first piece is read before the head is sent, so that a failure still has a status. */
	size_t k = (size_t)MIN(n, (uint64_t)step);
	enum err e = tree_read(croft_blobs(c), f, from, buffer, k, &et);
	if (e)
		http_reply_error(rs, e, &et);
	else if (k == n)
		http_reply(rs, 200, "application/octet-stream", str_mk(buffer, k));
	else
		e = http_stream_begin(rs, 200, "application/octet-stream");
	while (!e && k < n) {
		e = http_stream_write(rs, str_mk(buffer, k));
		from += k;
		n -= k;
		k = (size_t)MIN(n, (uint64_t)step);
		if (!e)
			e = tree_read(croft_blobs(c), f, from, buffer, k, &et);
		if (!e && k == n)
			e = http_stream_write(rs, str_mk(buffer, k));
	}
	free(buffer);
}

static void get_file(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct tree *t = NULL;
	const struct tree_file *f = NULL;
	uint64_t from = 0, n = UINT64_MAX;
	char hex[SHA256_HEX + 1];
	enum err e = tree_named(c, rq, "digest", hex, &et);
	if (!e)
		e = want_u64(rq, "offset", &from, &et);
	if (!e)
		e = want_u64(rq, "length", &n, &et);
	if (!e)
		e = tree_load(croft_blobs(c), hex, &t, &et);
	if (!e) {
		f = tree_find(t, http_param(rq, "path"));
		if (!f)
			e = err_set(&et, ERR_NOT_FOUND, "the tree has no file \"%.*s\"",
				STR_FMT(str_sub(http_param(rq, "path"), 0, 200)));
	}
	if (!e && from > f->size)
		e = err_set(&et, ERR_INVALID, "offset: the file has %llu bytes",
			(unsigned long long)f->size);
	if (e) {
		http_reply_error(rs, e, &et);
	} else {
		http_set_header(rs, "content-disposition", S("attachment"));
		http_set_header(rs, "x-content-type-options", S("nosniff"));
		send_file(c, rs, f, from, MIN(n, f->size - from));
	}
	tree_free(t);
}

/* ---- with a path of this machine ---- */

struct stream {
	struct http_response *rs;
	struct cancel cancel; /* the client's, the server's, or a failed write */
};

static void event(struct stream *s, const char *name, struct buf *data)
{
	if (http_sse_event(s->rs, name, buf_str(data)))
		cancel_set(&s->cancel);
	buf_free(data);
}

static void on_progress(void *ctx, uint64_t done, uint64_t total, const char *what)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_kc(&w, "what", what);
	jw_ki64(&w, "done", (int64_t)done);
	jw_ki64(&w, "total", (int64_t)total);
	jw_end(&w);
	event(ctx, "progress", &b);
}

static void end_stream(
	struct stream *s, enum err e, const struct tree_sum *sum, const struct errtext *et)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	if (e) {
		jw_key(&w, "error");
		jw_obj(&w);
		jw_kc(&w, "code", err_word(e));
		jw_kc(&w, "message", err_text(e, et));
		jw_kc(&w, "type", err_http(e) >= 500 ? "server_error" : "invalid_request_error");
		jw_kc(&w, "param", NULL);
		jw_end(&w);
	} else {
		sum_members(&w, sum);
	}
	jw_end(&w);
	event(s, e ? "error" : "done", &b);
}

struct local_call {
	yyjson_doc *doc;
	char path[PATH_MAX];
	struct tree_options options;
};

static enum err local_begin(
	struct http_request *rq, const char *member, struct local_call *k, struct errtext *et)
{
	struct str path = {0};
	if (!rq->local)
		return err_set(et, ERR_FORBIDDEN,
			"paths of the server's machine are for commands that run without a server");
	enum err e = json_parse(rq->body, &k->doc, et);
	yyjson_val *root = e ? NULL : yyjson_doc_get_root(k->doc);
	if (!e)
		e = json_want_str(root, member, &path, et);
	if (!e)
		e = json_want_bool(root, "follow_links", &k->options.follow_links, et);
	if (!e && (!path.n || path.p[0] != '/' || path.n >= sizeof k->path ||
			  memchr(path.p, 0, path.n)))
		e = err_set(et, ERR_INVALID, "%s: an absolute path is expected", member);
	if (!e) {
		memcpy(k->path, path.p, path.n);
		k->path[path.n] = 0;
	}
	return e;
}

static bool local_stream(struct http_request *rq, struct http_response *rs, enum err e,
	struct local_call *k, struct stream *s, const struct errtext *et)
{
	if (e) {
		http_reply_error(rs, e, et);
		return false;
	}
	*s = (struct stream){.rs = rs, .cancel = {.parent = rq->cancel}};
	k->options.progress = on_progress;
	k->options.ctx = s;
	k->options.cancel = &s->cancel;
	return http_sse_begin(rs) == OK;
}

static void post_add(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct local_call k = {0};
	struct stream s;
	struct tree_sum sum = {0};
	enum err e = local_begin(rq, "path", &k, &et);
	if (local_stream(rq, rs, e, &k, &s, &et)) {
		e = tree_add(croft_blobs(c), k.path, &k.options, &sum, &et);
		if (!e)
			e = tree_grant(c, rq->who, sum.digest, &et);
		end_stream(&s, e, &sum, &et);
	}
	yyjson_doc_free(k.doc);
}

static void post_extract(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct local_call k = {0};
	struct stream s;
	struct tree *t = NULL;
	struct tree_sum sum = {0};
	enum err e = local_begin(rq, "dir", &k, &et);
	if (!e)
		e = tree_named(c, rq, "digest", sum.digest, &et);
	if (!e)
		e = tree_load(croft_blobs(c), sum.digest, &t, &et);
	if (local_stream(rq, rs, e, &k, &s, &et)) {
		sum.files = t->n_files;
		sum.bytes = t->bytes;
		e = tree_extract(croft_blobs(c), t, k.path, &k.options, &et);
		end_stream(&s, e, &sum, &et);
	}
	tree_free(t);
	yyjson_doc_free(k.doc);
}

/* ---- collection ---- */

enum { GRACE_MIN_MS = 3600 * 1000 };

static void post_gc(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	yyjson_doc *doc = NULL;
	bool dry_run = false;
	struct str text = {0};
	uint64_t grace = (uint64_t)setting_int(c, "artifact.gc_grace");
	struct tree_collected sum = {0};
	enum err e = rq->body.n ? json_parse(rq->body, &doc, &et) : OK;
	yyjson_val *root = doc ? yyjson_doc_get_root(doc) : NULL;
	if (!e)
		e = json_want_bool(root, "dry_run", &dry_run, &et);
	if (!e)
		e = json_want_str(root, "grace", &text, &et);
	if (!e && text.n && !str_duration_ms(text, &grace))
		e = err_set(&et, ERR_INVALID, "grace: a duration is expected, as in 24h or 7d");
	if (!e && grace < GRACE_MIN_MS)
		e = err_set(&et, ERR_INVALID,
			"grace: at least 1h, so that an upload is not collected under way");
	if (!e)
		e = tree_gc(c, (int64_t)MIN(grace, (uint64_t)INT64_MAX / 4), dry_run, rq->cancel,
			&sum, &et);
	yyjson_doc_free(doc);
	if (e) {
		http_reply_error(rs, e, &et);
		return;
	}
	struct buf out = {0};
	struct jw w = {.out = &out};
	jw_obj(&w);
	jw_ki64(&w, "trees", sum.trees);
	jw_ki64(&w, "blobs", sum.blobs);
	jw_ki64(&w, "bytes", sum.bytes);
	jw_ki64(&w, "kept", sum.kept);
	jw_kbool(&w, "dry_run", dry_run);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&out);
}

const struct shape tree_shapes[N_TREE_SHAPES] = {
	{"TreeDelta",
		"{ path: string, change: \"added\" | \"removed\" | \"changed\", before: int | "
		"null, after: int | null, shared: int }"},
	{"RowsStats",
		"{ type: \"number\" | \"boolean\" | \"text\" | \"json\" | \"mixed\" | "
		"\"empty\", values: int, missing: int, min: number | null, max: number | "
		"null, mean: number | null, deviation: number | null, length: number | null }"},
	{"RowsColumn", "{ name: string, before: RowsStats, after: RowsStats, changed: int, shift: "
		       "number | null }"},
	{"RowsDiff", "{ format: \"csv\" | \"tsv\" | \"jsonl\", key: string | null, before: int, "
		     "after: int, same: int, added: int, removed: int, changed: int, cut: boolean, "
		     "columns: RowsColumn[], rows: { change: \"added\" | \"removed\" | "
		     "\"changed\", row: string }[] }"},
	{"TreeSum", "{ digest: string, files: int, bytes: int }"},
	{"TreeFile", "{ path: string, sha256: string, size: int, executable?: boolean, "
		     "chunks?: { id: string, size: int }[] }"},
};

const struct route tree_routes[N_TREE_ROUTES] = {
	{HTTP_POST, "/api/v1/trees/chunks/missing", post_missing, PERM_ARTIFACT_WRITE,
		"Which of these chunks has the project not uploaded yet?", NULL,
		"{ ids: string[] }", "{ missing: string[] }", 0},
	{HTTP_POST, "/api/v1/trees/chunks", post_chunks, PERM_ARTIFACT_WRITE,
		"Upload chunks: each as its SHA-256 (32 bytes), its size (4, least first), its "
		"bytes",
		NULL, NULL, "{ stored: int }", TREE_REQUEST_MAX},
	{HTTP_POST, "/api/v1/trees/chunks/read", post_read, PERM_ARTIFACT_READ,
		"The bytes of chunks of this project, one after the other; tree: which one they "
		"are of, for whom rules bind",
		NULL, "{ ids: string[], tree?: string }", NULL, 0},
	{HTTP_POST, "/api/v1/trees/add", post_add, PERM_ARTIFACT_WRITE,
		"Store a folder of this machine; server-sent events: progress, then done or error. "
		"Only without a server",
		NULL, "{ path: string, follow_links?: boolean }", "TreeSum", 0},
	{HTTP_POST, "/api/v1/trees/gc", post_gc, PERM_SYSTEM_MANAGE,
		"Remove blobs that nothing needs and that are older than the grace", NULL,
		"{ grace?: string, dry_run?: boolean }",
		"{ trees: int, blobs: int, bytes: int, kept: int, dry_run: boolean }", 0},
	{HTTP_POST, "/api/v1/trees", post_tree, PERM_ARTIFACT_WRITE,
		"Commit a tree whose chunks the project has uploaded; the body is its canonical "
		"JSON",
		NULL, "{ croft: string, files: TreeFile[] }", "TreeSum", TREE_JSON_MAX},
	{HTTP_GET, ONE, get_tree, PERM_ARTIFACT_READ, "A tree: its files and their chunks", NULL,
		NULL, "{ croft: string, files: TreeFile[] }", 0},
	{HTTP_POST, ONE "/extract", post_extract, PERM_ARTIFACT_READ,
		"Write a tree into a new folder of this machine; server-sent events. Only without "
		"a "
		"server",
		NULL, "{ dir: string }", "TreeSum", 0},
	{HTTP_GET, ONE "/diff/{other}", get_diff, PERM_ARTIFACT_READ,
		"What becomes of a tree when it turns into another: files, and bytes in chunks "
		"that "
		"both have; at most 10,000 files are listed",
		NULL, NULL,
		"{ files: TreeDelta[], changed: int, same: int, shared: int, fresh: int }", 0},
	{HTTP_GET, ONE "/rows/{other}", get_tree_rows, PERM_ARTIFACT_READ,
		"What becomes of the rows of a CSV, TSV or JSON lines file of a tree in another "
		"tree: rows by a key, columns, figures of each; at most 64 MiB and 1,000,000 rows "
		"of each file are read",
		"{ path: string, other_path?: string, key?: string, limit?: int }", NULL,
		"RowsDiff", 0},
	{HTTP_GET, ONE "/files/{path...}", get_file, PERM_ARTIFACT_READ,
		"A file of a tree, or a part of it", "{ offset?: int, length?: int }", NULL, NULL,
		0},
};
