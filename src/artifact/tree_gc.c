/* A collection: blobs that nothing needs any more are removed.
 *
 *   begin()        one collection at a time, in all servers
 *   find_roots()   what the modules' rows need (module.blobs)
 *   expire()       trees that no version names and nobody else needs lose their row
 *   mark()         the chunks of all trees that are left, by project
 *   drop_rows()    a project's chunks that none of its trees has lose their row
 *   sweep()        blobs that no row needs and that are older than the grace go, in batches
 *
 * Only what is older than the grace is touched: an upload that was interrupted can go on for as
 * long. tree_own.c says how uploads and batches keep out of each other's way; each step asks again
 * in its own transaction. When a tree cannot be read, nothing is removed: it may need anything. */
#include "artifact/tree_int.h"
#include "base/clock.h"
#include "base/map.h"

#include <stdlib.h>

enum { BATCH = 500, DEAD_MS = 10 * 60 * 1000, NOTE_MS = 3600 * 1000 };

struct pair {
	struct str project, id; /* id: a digest in hex, or 32 bytes */
};

struct pairs {
	struct pair *v;
	size_t n, cap;
};

struct gc {
	struct croft *c;
	struct db *db;
	struct blobs *blobs;
	const struct cancel *cancel;
	int64_t before_ms, batch;
	bool dry_run;
	struct arena *arena;
	struct map roots;  /* hex */
	struct map marked; /* project, NUL, id */
	struct map kept;   /* id: of any project */
	struct pairs trees, rows;
	uint8_t (*dying)[SHA256_BYTES];
	size_t n_dying;
	struct tree_collected sum;
	struct errtext *et;
};

static enum err no_memory(struct gc *g)
{
	return err_set(g->et, ERR_NOMEM, "no memory for a collection");
}

static enum err add_pair(struct gc *g, struct pairs *p, struct str project, struct str id)
{
	if (p->n == p->cap) {
		size_t cap = p->cap ? 2 * p->cap : 256;
		struct pair *v = realloc(p->v, cap * sizeof *v);
		if (!v)
			return no_memory(g);
		p->v = v;
		p->cap = cap;
	}
	struct pair x = {arena_str(g->arena, project), arena_str(g->arena, id)};
	if (!x.project.p || !x.id.p)
		return no_memory(g);
	p->v[p->n++] = x;
	return OK;
}

static enum err in_read(struct gc *g, enum err (*fn)(struct gc *g, struct tx *tx))
{
	struct tx *tx;
	enum err e = db_begin(g->db, TX_READ, &tx, g->et);
	if (e)
		return e;
	e = fn(g, tx);
	db_rollback(tx);
	return e;
}

static enum err in_write(struct gc *g, enum err (*fn)(struct gc *g, struct tx *tx))
{
	struct tx *tx;
	enum err e = cancelled(g->cancel) ? err_set(g->et, ERR_CANCELLED, "cancelled")
					  : db_begin(g->db, TX_WRITE, &tx, g->et);
	if (e)
		return e;
	e = fn(g, tx);
	if (!e)
		return db_commit(tx, g->et);
	db_rollback(tx);
	return e;
}

/* ---- begin, end ---- */

static enum err begin(struct gc *g, struct tx *tx)
{
	struct tree_gc_state s;
	int64_t now = clock_unix_ms();
	enum err e = tree_gc_state(tx, &s, g->et);
	if (!e && s.running_ms && now - s.running_ms < DEAD_MS && now >= s.running_ms)
		e = err_set(g->et, ERR_BUSY, "a collection is running already");
	if (!e)
		e = tree_dying_clear(tx, now - NOTE_MS, g->et);
	s.running_ms = now;
	s.ended = s.begun; /* a batch of a server that died */
	g->batch = s.begun;
	return e ? e : tree_gc_state_put(tx, &s, g->et);
}

static enum err finish(struct gc *g, struct tx *tx)
{
	struct tree_gc_state s = {g->batch, g->batch, 0};
	return tree_gc_state_put(tx, &s, g->et);
}

/* ---- roots ---- */

static enum err need_root(void *ctx, struct str hex)
{
	struct gc *g = ctx;
	return map_put(&g->roots, hex, g) ? OK : no_memory(g);
}

static enum err find_roots(struct gc *g, struct tx *tx)
{
	size_t n;
	const struct module *const *m = croft_modules(g->c, &n);
	enum err e = OK;
	for (size_t i = 0; i < n && !e; i++)
		if (m[i]->blobs)
			e = m[i]->blobs(g->c, tx, need_root, g, g->et);
	return e;
}

/* ---- trees ---- */

static enum err note_tree(void *ctx, struct str project, struct str digest)
{
	struct gc *g = ctx;
	return add_pair(g, &g->trees, project, digest);
}

static enum err find_unused(struct gc *g, struct tx *tx)
{
	return tree_rows_unused(tx, g->before_ms, note_tree, g, g->et);
}

static enum err expire_rows(struct gc *g, struct tx *tx)
{
	enum err e = OK;
	for (size_t i = 0; i < g->trees.n && !e; i++) {
		bool gone = true;
		if (map_get(&g->roots, g->trees.v[i].id))
			continue;
		if (!g->dry_run)
			e = tree_row_expire(tx, g->trees.v[i].project, g->trees.v[i].id,
				g->before_ms, &gone, g->et);
		g->sum.trees += gone;
	}
	return e;
}

static enum err list_trees(struct gc *g, struct tx *tx)
{
	return tree_rows_each(tx, note_tree, g, g->et);
}

static bool mark_one(struct gc *g, struct str project, const uint8_t id[SHA256_BYTES])
{
	struct buf key = {0};
	buf_adds(&key, project);
	buf_putc(&key, 0);
	buf_add(&key, id, SHA256_BYTES);
	bool ok = !key.err && map_put(&g->marked, buf_str(&key), g);
	buf_free(&key);
	return ok;
}

static bool is_marked(struct gc *g, struct str project, struct str id)
{
	struct buf key = {0};
	buf_adds(&key, project);
	buf_putc(&key, 0);
	buf_adds(&key, id);
	bool yes = key.err || map_get(&g->marked, buf_str(&key));
	buf_free(&key);
	return yes;
}

static enum err mark_tree(struct gc *g, const struct pair *p)
{
	struct tree *t;
	uint8_t id[SHA256_BYTES];
	enum err e = tree_load(g->blobs, p->id.p, &t, g->et);
	if (e)
		return err_wrap(g->et, e, "nothing is collected while a tree cannot be read");
	hex_decode(p->id, id, sizeof id);
	bool ok = mark_one(g, p->project, id);
	for (size_t i = 0; i < t->n_files && ok; i++)
		for (size_t k = 0; k < t->files[i].n_chunks && ok; k++)
			ok = mark_one(g, p->project, t->files[i].chunks[k].id);
	tree_free(t);
	return ok ? OK : no_memory(g);
}

static bool is_expired(struct gc *g, const struct pairs *unused, const struct pair *p)
{
	if (!g->dry_run || map_get(&g->roots, p->id))
		return false;
	for (size_t i = 0; i < unused->n; i++)
		if (str_eq(unused->v[i].project, p->project) && str_eq(unused->v[i].id, p->id))
			return true;
	return false;
}

static enum err mark(struct gc *g)
{
	struct pairs unused = g->trees;
	g->trees = (struct pairs){0};
	enum err e = in_read(g, list_trees);
	for (size_t i = 0; i < g->trees.n && !e; i++) {
		if (cancelled(g->cancel))
			e = err_set(g->et, ERR_CANCELLED, "cancelled");
		else if (!is_expired(g, &unused, &g->trees.v[i]))
			e = mark_tree(g, &g->trees.v[i]);
	}
	free(unused.v);
	return e;
}

/* ---- rows of chunks ---- */

static enum err sort_row(void *ctx, struct str project, struct str id, int64_t added_ms)
{
	struct gc *g = ctx;
	if (added_ms < g->before_ms && !is_marked(g, project, id))
		return add_pair(g, &g->rows, project, id);
	return map_put(&g->kept, id, g) ? OK : no_memory(g);
}

static enum err sort_rows(struct gc *g, struct tx *tx)
{
	return tree_chunks_each(tx, sort_row, g, g->et);
}

static enum err drop_some(struct gc *g, struct tx *tx)
{
	enum err e = OK;
	for (int i = 0; i < BATCH && g->rows.n && !e; i++) {
		const struct pair *p = &g->rows.v[--g->rows.n];
		e = tree_chunk_delete(tx, p->project, p->id, g->before_ms, g->et);
	}
	return e;
}

static enum err drop_rows(struct gc *g)
{
	enum err e = in_read(g, sort_rows);
	while (!e && g->rows.n && !g->dry_run)
		e = in_write(g, drop_some);
	return e;
}

/* ---- blobs ---- */

static enum err begin_batch(struct gc *g, struct tx *tx)
{
	int64_t now = clock_unix_ms();
	size_t left = 0;
	enum err e = OK;
	for (size_t i = 0; i < g->n_dying && !e; i++) {
		bool needed = false;
		e = tree_blob_needed(tx, g->dying[i], &needed, g->et);
		if (e || needed)
			continue;
		memmove(g->dying[left++], g->dying[i], SHA256_BYTES);
		e = tree_dying_put(tx, g->dying[left - 1], g->batch + 1, now, g->et);
	}
	struct tree_gc_state s = {g->batch + 1, g->batch, now};
	if (!e)
		e = tree_gc_state_put(tx, &s, g->et);
	g->n_dying = left;
	return e;
}

static enum err end_batch(struct gc *g, struct tx *tx)
{
	struct tree_gc_state s = {g->batch, g->batch, clock_unix_ms()};
	return tree_gc_state_put(tx, &s, g->et);
}

static enum err remove_batch(struct gc *g)
{
	char hex[SHA256_HEX + 1];
	enum err e = in_write(g, begin_batch);
	if (e)
		return e;
	g->batch++;
	for (size_t i = 0; i < g->n_dying && !e; i++) {
		uint64_t freed = 0;
		hex_encode(g->dying[i], SHA256_BYTES, hex);
		e = blob_delete_older(g->blobs, hex, g->before_ms, &freed, g->et);
		if (e == ERR_NOT_FOUND) {
			e = OK;
		} else if (!e) {
			g->sum.blobs++;
			g->sum.bytes += (int64_t)freed;
		}
	}
	g->n_dying = 0;
	enum err ended = in_write(g, end_batch);
	return e ? e : ended;
}

static enum err sweep_one(void *ctx, const char *hex, const struct blob_info *info)
{
	struct gc *g = ctx;
	uint8_t id[SHA256_BYTES];
	hex_decode(str_c(hex), id, sizeof id);
	if (info->modified_ms >= g->before_ms || map_get(&g->roots, str_c(hex)) ||
		map_get(&g->kept, str_mk(id, sizeof id))) {
		g->sum.kept++;
		return OK;
	}
	if (g->dry_run) {
		g->sum.blobs++;
		g->sum.bytes += (int64_t)info->size;
		return OK;
	}
	memcpy(g->dying[g->n_dying++], id, sizeof id);
	return g->n_dying == BATCH ? remove_batch(g) : OK;
}

static enum err sweep(struct gc *g)
{
	uint64_t stale = 0;
	g->dying = malloc(BATCH * sizeof *g->dying);
	if (!g->dying)
		return no_memory(g);
	enum err e = blobs_each(g->blobs, sweep_one, g, g->et);
	if (!e && g->n_dying)
		e = remove_batch(g);
	if (!e && !g->dry_run)
		e = blobs_sweep_stale(g->blobs, g->before_ms, &stale, g->et);
	g->sum.bytes += (int64_t)stale;
	return e;
}

/* ---- all ---- */

static enum err collect(struct gc *g)
{
	enum err e = in_read(g, find_roots);
	if (!e)
		e = in_read(g, find_unused);
	if (!e)
		e = in_write(g, expire_rows);
	if (!e)
		e = mark(g);
	if (!e)
		e = drop_rows(g);
	return e ? e : sweep(g);
}

enum err tree_gc(struct croft *c, int64_t grace_ms, bool dry_run, const struct cancel *cancel,
	struct tree_collected *out, struct errtext *et)
{
	struct gc g = {.c = c,
		.db = croft_db(c),
		.blobs = croft_blobs(c),
		.cancel = cancel,
		.before_ms = clock_unix_ms() - grace_ms,
		.dry_run = dry_run,
		.arena = arena_new(0),
		.et = et};
	enum err e = g.arena ? in_write(&g, begin) : no_memory(&g);
	if (!e) {
		e = collect(&g);
		struct errtext why = {0};
		g.cancel = NULL;
		g.et = &why;
		enum err ended = in_write(&g, finish);
		if (!e && ended && et)
			*et = why;
		e = e ? e : ended;
	}
	map_free(&g.roots);
	map_free(&g.marked);
	map_free(&g.kept);
	free(g.trees.v);
	free(g.rows.v);
	free(g.dying);
	arena_free(g.arena);
	if (!e)
		*out = g.sum;
	return e;
}
