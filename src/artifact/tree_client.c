/* The client's side of a push and a pull through a server.
 *
 * A push reads and hashes with the same team of threads that stores locally (tree_build); its sink
 * collects chunks into groups. The thread that fills a group asks which of its chunks the server
 * lacks, sends those, and goes on; the others fill the next group meanwhile. What was sent stays,
 * so a push that was cut off asks again and sends the rest. At the end the tree is committed. */
#include "artifact/transfer.h"
#include "artifact/tree_int.h"
#include "base/json.h"
#include "base/map.h"
#include "module/cmd.h"

#include <stdlib.h>
#include <unistd.h>

enum { GROUP_BYTES = 8 << 20, GROUP_CHUNKS = 1024, COMMIT_TRIES = 3 };

struct group {
	struct tree_chunk chunks[GROUP_CHUNKS];
	size_t at[GROUP_CHUNKS]; /* offsets in bytes */
	size_t n;
	struct buf bytes;
};

struct pushing {
	struct cmd *cmd;
	pthread_mutex_t mu;
	struct map seen;
	struct group *filling;
	atomic_ullong sent;
};

/* ---- requests ---- */

static enum err post_json(
	struct cmd *cmd, const char *path, struct str body, struct buf *out, struct errtext *et)
{
	return cmd_call(cmd, HTTP_POST, path, body, out, et);
}

/* tree: which one the chunks are of; NULL: not said */
static void ids_body(struct buf *out, const struct tree_chunk *c, size_t n, const char *tree)
{
	char hex[SHA256_HEX + 1];
	struct jw w = {.out = out};
	jw_obj(&w);
	if (tree)
		jw_kc(&w, "tree", tree);
	jw_key(&w, "ids");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++) {
		hex_encode(c[i].id, SHA256_BYTES, hex);
		jw_c(&w, hex);
	}
	jw_end(&w);
	jw_end(&w);
}

static enum err ask_missing(
	struct cmd *cmd, const struct group *g, struct map *missing, struct errtext *et)
{
	struct buf body = {0}, answer = {0};
	yyjson_doc *doc = NULL;
	yyjson_val *v;
	size_t i, n;
	ids_body(&body, g->chunks, g->n, NULL);
	enum err e = body.err ? ERR_NOMEM
			      : post_json(cmd, "/api/v1/trees/chunks/missing", buf_str(&body),
					&answer, et);
	if (!e)
		e = json_parse(buf_str(&answer), &doc, et);
	if (!e) {
		yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc), "missing"), i, n,
			v) if (!map_put(missing, json_val_str(v), missing)) e = ERR_NOMEM;
	}
	yyjson_doc_free(doc);
	buf_free(&body);
	buf_free(&answer);
	return e == ERR_NOMEM ? err_set(et, e, "no memory for a list of chunks") : e;
}

static enum err send_chunks(
	struct pushing *p, const struct group *g, const struct map *missing, struct errtext *et)
{
	static const struct http_pair headers[] = {
		{{"content-type", 12}, {"application/octet-stream", 24}}};
	struct buf body = {0}, answer = {0};
	uint8_t head[TREE_FRAME_HEAD];
	char hex[SHA256_HEX + 1];
	uint64_t sent = 0;
	for (size_t i = 0; i < g->n; i++) {
		hex_encode(g->chunks[i].id, SHA256_BYTES, hex);
		if (!map_get(missing, str_c(hex)))
			continue;
		tree_frame_head(&g->chunks[i], head);
		buf_add(&body, head, sizeof head);
		buf_add(&body, g->bytes.p + g->at[i], g->chunks[i].size);
		sent += g->chunks[i].size;
	}
	enum err e = body.err ? err_set(et, ERR_NOMEM, "no memory for an upload") : OK;
	if (!e && body.n)
		e = cmd_send(p->cmd, HTTP_POST, "/api/v1/trees/chunks", headers, 1, buf_str(&body),
			&answer, et);
	if (!e)
		atomic_fetch_add(&p->sent, sent);
	buf_free(&body);
	buf_free(&answer);
	return e;
}

static enum err send_group(struct pushing *p, struct group *g, struct errtext *et)
{
	struct map missing = {0};
	enum err e = g->n ? ask_missing(p->cmd, g, &missing, et) : OK;
	if (!e && missing.n)
		e = send_chunks(p, g, &missing, et);
	map_free(&missing);
	return e;
}

static void group_free(struct group *g)
{
	if (g)
		buf_free(&g->bytes);
	free(g);
}

/* ---- the sink ---- */

/* Adds to the group that is being filled; *full takes it when it has enough. */
static enum err add_chunk(struct pushing *p, const struct tree_chunk *c, struct str bytes,
	struct group **full, struct errtext *et)
{
	struct str id = str_mk(c->id, SHA256_BYTES);
	if (map_get(&p->seen, id))
		return OK;
	if (!p->filling)
		p->filling = calloc(1, sizeof *p->filling);
	struct group *g = p->filling;
	if (!g || !map_put(&p->seen, id, p))
		return err_set(et, ERR_NOMEM, "no memory for an upload");
	g->at[g->n] = g->bytes.n;
	g->chunks[g->n++] = *c;
	buf_adds(&g->bytes, bytes);
	if (g->bytes.err)
		return err_set(et, ERR_NOMEM, "no memory for an upload");
	if (g->n == GROUP_CHUNKS || g->bytes.n >= GROUP_BYTES) {
		*full = g;
		p->filling = NULL;
	}
	return OK;
}

static enum err push_chunk(
	void *ctx, const struct tree_chunk *c, struct str bytes, struct errtext *et)
{
	struct pushing *p = ctx;
	struct group *full = NULL;
	pthread_mutex_lock(&p->mu);
	enum err e = add_chunk(p, c, bytes, &full, et);
	pthread_mutex_unlock(&p->mu);
	if (!e && full)
		e = send_group(p, full, et);
	group_free(full);
	return e;
}

static enum err render_inputs(struct tree_inputs *in, struct buf *json, struct errtext *et)
{
	struct tree_file *files = arena_array_of(in->arena, in->n, struct tree_file);
	if (!files)
		return err_set(et, ERR_NOMEM, "no memory for a tree");
	for (size_t i = 0; i < in->n; i++)
		files[i] = in->v[i].file;
	enum err e = tree_sort(files, in->n, et);
	return e ? e : tree_render(files, in->n, json, et);
}

static enum err commit(
	struct pushing *p, struct tree_inputs *in, struct tree_pushed *out, struct errtext *et)
{
	struct buf json = {0}, answer = {0};
	enum err e = render_inputs(in, &json, et);
	if (!e)
		e = post_json(p->cmd, "/api/v1/trees", buf_str(&json), &answer, et);
	if (!e) {
		*out = (struct tree_pushed){
			.files = in->n, .bytes = in->bytes, .sent = atomic_load(&p->sent)};
		sha256_hex_of(buf_str(&json), out->digest);
	}
	buf_free(&json);
	buf_free(&answer);
	return e;
}

static enum err push_once(struct cmd *cmd, struct tree_inputs *in, const struct tree_options *o,
	struct tree_pushed *out, struct errtext *et)
{
	struct pushing p = {.cmd = cmd};
	struct tree_sink sink = {push_chunk, &p};
	pthread_mutex_init(&p.mu, NULL);
	enum err e = tree_build(in, &sink, o, et);
	if (!e && p.filling)
		e = send_group(&p, p.filling, et);
	if (!e)
		e = commit(&p, in, out, et);
	group_free(p.filling);
	map_free(&p.seen);
	pthread_mutex_destroy(&p.mu);
	return e;
}

/* A chunk that the server had when it was asked may be collected before the commit: then once more.
 */
static enum err push_inputs(struct cmd *cmd, struct tree_inputs *in, const struct tree_options *o,
	struct tree_pushed *out, struct errtext *et)
{
	enum err e = ERR_CONFLICT;
	for (int i = 0; i < COMMIT_TRIES && e == ERR_CONFLICT; i++)
		e = push_once(cmd, in, o, out, et);
	return e;
}

enum err tree_push(struct cmd *cmd, const char *path, const struct tree_options *o,
	struct tree_pushed *out, struct errtext *et)
{
	struct tree_inputs in;
	enum err e = tree_inputs_find(path, o, &in, et);
	if (e)
		return e;
	e = push_inputs(cmd, &in, o, out, et);
	tree_inputs_release(&in);
	return e;
}

static int local_by_path(const void *a, const void *b)
{
	return str_cmp(((const struct tree_local *)a)->path, ((const struct tree_local *)b)->path);
}

enum err tree_push_files(struct cmd *cmd, struct tree_local *files, size_t n,
	const struct tree_options *o, struct tree_pushed *out, struct errtext *et)
{
	struct tree_inputs in;
	qsort(files, n, sizeof *files, local_by_path); /* as the inputs are */
	enum err e = tree_inputs_of(files, n, &in, et);
	if (e)
		return e;
	e = push_inputs(cmd, &in, o, out, et);
	for (size_t i = 0; i < n && !e; i++) {
		files[i].size = in.v[i].file.size;
		memcpy(files[i].sha256, in.v[i].file.sha256, sizeof files[i].sha256);
	}
	tree_inputs_release(&in);
	return e;
}

static enum err drop_chunk(
	void *ctx, const struct tree_chunk *c, struct str bytes, struct errtext *et)
{
	return OK;
}

enum err tree_digest_of(
	const char *path, const struct tree_options *o, struct tree_sum *out, struct errtext *et)
{
	struct tree_inputs in;
	const struct tree_sink sink = {drop_chunk, NULL};
	struct buf json = {0};
	enum err e = tree_inputs_find(path, o, &in, et);
	if (e)
		return e;
	e = tree_build(&in, &sink, o, et);
	if (!e)
		e = render_inputs(&in, &json, et);
	if (!e) {
		*out = (struct tree_sum){.files = in.n, .bytes = in.bytes};
		sha256_hex_of(buf_str(&json), out->digest);
	}
	buf_free(&json);
	tree_inputs_release(&in);
	return e;
}

/* ---- pull ---- */

struct pulling {
	struct cmd *cmd;
	const char *tree;
};

static enum err get_chunks(
	void *ctx, const struct tree_chunk *c, size_t n, uint8_t *to, struct errtext *et)
{
	const struct pulling *p = ctx;
	struct buf body = {0}, answer = {0};
	size_t want = 0;
	for (size_t i = 0; i < n; i++)
		want += c[i].size;
	ids_body(&body, c, n, p->tree);
	enum err e = body.err ? err_set(et, ERR_NOMEM, "no memory for a request")
			      : post_json(p->cmd, "/api/v1/trees/chunks/read", buf_str(&body),
					&answer, et);
	if (!e && answer.n != want)
		e = err_set(et, ERR_CORRUPT, "the server sent %zu bytes of chunks, not %zu",
			answer.n, want);
	if (!e)
		memcpy(to, answer.p, want);
	buf_free(&body);
	buf_free(&answer);
	return e;
}

enum err tree_fetch(struct cmd *cmd, struct str digest, struct tree **out, struct errtext *et)
{
	struct buf path = {0}, json = {0};
	struct tree *t = NULL;
	buf_addf(&path, "/api/v1/trees/%.*s", STR_FMT(digest));
	enum err e = cmd_call(cmd, HTTP_GET, buf_c(&path), (struct str){0}, &json, et);
	if (!e)
		e = tree_parse(buf_str(&json), &t, et);
	if (!e && !str_eq_c(digest, t->digest))
		e = err_set(
			et, ERR_CORRUPT, "the server's tree does not have the digest asked for");
	if (e)
		tree_free(t);
	else
		*out = t;
	buf_free(&path);
	buf_free(&json);
	return e;
}

enum err tree_pull(struct cmd *cmd, struct str digest, const char *dir,
	const struct tree_options *o, struct tree_sum *out, struct errtext *et)
{
	struct tree *t = NULL;
	enum err e = tree_fetch(cmd, digest, &t, et);
	if (!e) {
		struct pulling p = {cmd, t->digest};
		struct tree_source s = {get_chunks, &p, GROUP_BYTES};
		e = tree_extract_from(&s, t, dir, o, et);
	}
	if (!e) {
		*out = (struct tree_sum){.files = t->n_files, .bytes = t->bytes};
		memcpy(out->digest, t->digest, sizeof t->digest);
	}
	tree_free(t);
	return e;
}
