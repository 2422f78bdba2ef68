/* Postings in PostgreSQL: SQL for PostgreSQL alone, what changes. */
#include "collection/pgv_post.h"
#include "base/room.h"

#include <stdlib.h>

enum {
	AT_ONCE = 2000,         /* rows of one statement */
	FULL_BYTES = 24 << 20,  /* of a batch */
	KEPT_BYTES = 512 << 20, /* of its arena */
};

/* A change of one posting. */
struct op {
	struct str key, post; /* post .p NULL: it goes */
	uint64_t chunk;
	uint32_t place;
	float hi, lo;
};

struct count {
	struct str key;
	int64_t n;
};

struct forward {
	uint64_t num;
	struct str keys; /* "": the item is gone */
};

struct post_batch {
	struct post_base base;
	struct arena *a;
	struct op *ops;
	struct count *counts;
	struct forward *items;
	size_t n_ops, cap_ops, n_counts, cap_counts, n_items, cap_items, bytes;
};

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for postings");
}

static enum err damaged(struct errtext *et)
{
	return err_set(et, ERR_CORRUPT,
		"the postings of a collection in pgvector are damaged: croft collections move it "
		"to embedded and back makes them anew");
}

/* ---- numbers ---- */

void post_varint(struct buf *out, uint32_t v)
{
	while (v >= 128) {
		buf_putc(out, (char)(v & 127));
		v >>= 7;
	}
	buf_putc(out, (char)(v | 128));
}

bool post_varint_get(struct str *rest, uint32_t *v)
{
	uint64_t out = 0;
	for (unsigned i = 0; i < 5 && i < rest->n; i++) {
		unsigned char c = (unsigned char)rest->p[i];
		out |= (uint64_t)(c & 127) << 7 * i;
		if (c & 128) {
			*v = (uint32_t)out;
			*rest = str_sub(*rest, i + 1, rest->n);
			return out <= UINT32_MAX;
		}
	}
	return false;
}

static bool bytes_get(struct str *rest, struct str *out)
{
	uint32_t n;
	if (!post_varint_get(rest, &n) || n > rest->n)
		return false;
	*out = str_sub(*rest, 0, n);
	*rest = str_sub(*rest, n, rest->n);
	return true;
}

static void bytes_put(struct buf *out, struct str s)
{
	post_varint(out, (uint32_t)s.n);
	buf_adds(out, s);
}

bool post_next(struct post_reader *r)
{
	uint32_t gap;
	if (!r->rest.n || !post_varint_get(&r->rest, &gap) || !bytes_get(&r->rest, &r->post))
		return false;
	r->place += gap;
	return r->place < POST_ITEMS;
}

/* ---- arrays as PostgreSQL reads them ---- */

static void array_begin(struct buf *b)
{
	buf_clear(b);
	buf_putc(b, '{');
}

static void array_next(struct buf *b)
{
	if (b->n > 1)
		buf_putc(b, ',');
}

static void array_bytes(struct buf *b, struct str s)
{
	static const char digits[] = "0123456789abcdef";
	array_next(b);
	buf_addc(b, "\"\\\\x");
	char *at = buf_reserve(b, 2 * s.n);
	for (size_t i = 0; at && i < s.n; i++) {
		*at++ = digits[(unsigned char)s.p[i] >> 4];
		*at++ = digits[(unsigned char)s.p[i] & 15];
	}
	b->n += at ? 2 * s.n : 0;
	buf_putc(b, '"');
}

static void array_i64(struct buf *b, int64_t v)
{
	array_next(b);
	buf_addf(b, "%lld", (long long)v);
}

static void array_real(struct buf *b, float v)
{
	array_next(b);
	buf_addf(b, "%.9g", (double)v);
}

static struct param array_end(struct buf *b)
{
	buf_putc(b, '}');
	return P_TEXT(buf_str(b));
}

/* ---- tables ---- */

enum err post_make(struct tx *tx, const struct post_base *b, struct errtext *et)
{
	static const char *const tables[] = {
		("CREATE TABLE %s_p (term BYTEA NOT NULL, chunk BIGINT NOT NULL, hi REAL NOT NULL, "
		 "lo REAL NOT NULL, post BYTEA NOT NULL, PRIMARY KEY (term, chunk) INCLUDE (hi, "
		 "lo)) WITH (toast_tuple_target = 8160)"),
		("ALTER TABLE %s_p ALTER COLUMN post SET STORAGE EXTERNAL"),
		("CREATE TABLE %s_t (term BYTEA PRIMARY KEY, n BIGINT NOT NULL, letters INT NOT "
		 "NULL)"),
		("CREATE TABLE %s_f (num BIGINT PRIMARY KEY, keys BYTEA NOT NULL)"),
	};
	struct buf sql = {0};
	enum err e = OK;
	for (size_t i = 0; i < ARRAY_LEN(tables) && !e; i++) {
		buf_clear(&sql);
		for (const char *at = tables[i]; *at; at++)
			if (at[0] == '%' && at[1] == 's') {
				buf_addc(&sql, b->name);
				at++;
			} else {
				buf_putc(&sql, *at);
			}
		e = sql.err ? no_memory(et) : db_exec(tx, et, buf_c(&sql));
	}
	buf_free(&sql);
	return e;
}

/* ---- a batch ---- */

enum err post_batch_new(const struct post_base *b, struct post_batch **out, struct errtext *et)
{
	struct post_batch *x = calloc(1, sizeof *x);
	if (!x || !(x->a = arena_new(KEPT_BYTES))) {
		free(x);
		return no_memory(et);
	}
	x->base = *b;
	*out = x;
	return OK;
}

void post_batch_free(struct post_batch *x)
{
	if (!x)
		return;
	arena_free(x->a);
	free(x->ops);
	free(x->counts);
	free(x->items);
	free(x);
}

bool post_full(const struct post_batch *x)
{
	return x->bytes > FULL_BYTES;
}

static enum err add_op(struct post_batch *x, struct op op, struct errtext *et)
{
	if (!heap_room(x->ops, x->n_ops, x->cap_ops))
		return no_memory(et);
	x->ops[x->n_ops++] = op;
	return OK;
}

static enum err add_count(struct post_batch *x, struct str key, int64_t n, struct errtext *et)
{
	if (!heap_room(x->counts, x->n_counts, x->cap_counts))
		return no_memory(et);
	x->counts[x->n_counts++] = (struct count){key, n};
	return OK;
}

static enum err put_entry(
	struct post_batch *x, uint64_t num, const struct post_entry *e, struct errtext *et)
{
	struct str key = arena_str(x->a, e->key), post = {0};
	if (!key.p || (e->post.p && !(post = arena_str(x->a, e->post)).p))
		return no_memory(et);
	x->bytes += key.n + post.n + sizeof(struct op) + sizeof(struct count);
	enum err err = add_count(x, key, e->count, et);
	return err || !post.p ? err
			      : add_op(x,
					(struct op){key, post, num >> POST_BITS,
						(uint32_t)(num & (POST_ITEMS - 1)), e->hi, e->lo},
					et);
}

/* Each key, its count, and whether there is a posting. */
static void forward_write(struct buf *out, const struct post_entry *entries, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bytes_put(out, entries[i].key);
		post_varint(out, entries[i].count);
		buf_putc(out, entries[i].post.p ? 1 : 0);
	}
}

enum err post_put(struct post_batch *x, uint64_t num, const struct post_entry *entries, size_t n,
	struct errtext *et)
{
	struct buf keys = {0};
	forward_write(&keys, entries, n);
	struct forward f = {num, arena_str(x->a, buf_str(&keys))};
	enum err e = keys.err || !f.keys.p || !heap_room(x->items, x->n_items, x->cap_items)
			     ? no_memory(et)
			     : OK;
	buf_free(&keys);
	if (e)
		return e;
	x->items[x->n_items++] = f;
	x->bytes += f.keys.n + sizeof f;
	for (size_t i = 0; i < n && !e; i++)
		e = put_entry(x, num, &entries[i], et);
	return e;
}

/* ---- what items had ---- */

static enum err take_out(struct post_batch *x, uint64_t num, struct str keys, struct errtext *et)
{
	struct str rest = arena_str(x->a, keys), key;
	uint32_t count;
	enum err e = rest.p ? OK : no_memory(et);
	while (!e && rest.n) {
		if (!bytes_get(&rest, &key) || !post_varint_get(&rest, &count) || !rest.n)
			return damaged(et);
		bool has = rest.p[0] != 0;
		rest = str_sub(rest, 1, rest.n);
		e = add_count(x, key, -(int64_t)count, et);
		if (!e && has)
			e = add_op(x,
				(struct op){.key = key,
					.chunk = num >> POST_BITS,
					.place = (uint32_t)(num & (POST_ITEMS - 1))},
				et);
	}
	return e;
}

static enum err take_out_some(struct post_batch *x, struct tx *tx, struct buf *nums,
	const struct forward *items, size_t n, struct errtext *et)
{
	char sql[160];
	struct row *r;
	array_begin(nums);
	for (size_t i = 0; i < n; i++)
		array_i64(nums, (int64_t)items[i].num);
	snprintf(sql, sizeof sql,
		"DELETE FROM %s_f WHERE num = ANY (CAST(? AS bigint[])) RETURNING num, keys",
		x->base.name);
	struct param p = array_end(nums);
	enum err e = nums->err ? no_memory(et) : db_query_n(tx, &r, et, sql, &p, 1);
	if (e)
		return e;
	while (!e && row_next(r, &e, et))
		e = take_out(x, (uint64_t)row_i64(r, 0), row_blob(r, 1), et);
	row_free(r);
	return e;
}

static enum err forward_some(struct post_batch *x, struct tx *tx, const struct forward *items,
	size_t n, struct errtext *et)
{
	struct buf nums = {0}, keys = {0};
	char sql[200];
	array_begin(&nums);
	array_begin(&keys);
	for (size_t i = 0; i < n; i++)
		if (items[i].keys.n) {
			array_i64(&nums, (int64_t)items[i].num);
			array_bytes(&keys, items[i].keys);
		}
	snprintf(sql, sizeof sql,
		"INSERT INTO %s_f (num, keys) SELECT * FROM unnest(CAST(? AS bigint[]), CAST(? AS "
		"bytea[]))",
		x->base.name);
	struct param p[] = {array_end(&nums), array_end(&keys)};
	enum err e = nums.err || keys.err ? no_memory(et) : db_exec_n(tx, et, sql, p, ARRAY_LEN(p));
	buf_free(&nums);
	buf_free(&keys);
	return e;
}

static enum err forwards(struct post_batch *x, struct tx *tx, struct errtext *et)
{
	struct buf nums = {0};
	enum err e = OK;
	for (size_t i = 0; i < x->n_items && !e; i += AT_ONCE)
		e = take_out_some(
			x, tx, &nums, x->items + i, MIN(x->n_items - i, (size_t)AT_ONCE), et);
	for (size_t i = 0; i < x->n_items && !e; i += AT_ONCE)
		e = forward_some(x, tx, x->items + i, MIN(x->n_items - i, (size_t)AT_ONCE), et);
	buf_free(&nums);
	return e;
}

/* ---- counts ---- */

static int by_key(const void *a, const void *b)
{
	return str_cmp(((const struct count *)a)->key, ((const struct count *)b)->key);
}

static int64_t letters_of(struct str s)
{
	int64_t n = 0;
	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
	return n;
}

/* Keys in order, so that those who change the same ones wait for each other and never in a ring. */
static enum err count_some(struct post_batch *x, struct tx *tx, const struct count *counts,
	size_t n, struct errtext *et)
{
	struct buf keys = {0}, by = {0}, letters = {0}, less = {0};
	char sql[320];
	array_begin(&keys);
	array_begin(&by);
	array_begin(&letters);
	array_begin(&less);
	for (size_t i = 0; i < n; i++) {
		array_bytes(&keys, counts[i].key);
		array_i64(&by, counts[i].n);
		array_i64(&letters, letters_of(counts[i].key));
		if (counts[i].n < 0)
			array_bytes(&less, counts[i].key);
	}
	bool any_less = less.n > 1;
	snprintf(sql, sizeof sql,
		"INSERT INTO %s_t AS t (term, n, letters) SELECT * FROM unnest(CAST(? AS bytea[]), "
		"CAST(? AS bigint[]), CAST(? AS int[])) ON CONFLICT (term) DO UPDATE SET n = t.n + "
		"excluded.n",
		x->base.name);
	struct param p[] = {array_end(&keys), array_end(&by), array_end(&letters)},
		     gone = array_end(&less);
	enum err e = keys.err || by.err || letters.err || less.err
			     ? no_memory(et)
			     : db_exec_n(tx, et, sql, p, ARRAY_LEN(p));
	snprintf(sql, sizeof sql,
		"DELETE FROM %s_t WHERE term = ANY (CAST(? AS bytea[])) AND n <= 0", x->base.name);
	if (!e && any_less)
		e = db_exec_n(tx, et, sql, &gone, 1);
	buf_free(&keys);
	buf_free(&by);
	buf_free(&letters);
	buf_free(&less);
	return e;
}

static enum err counts(struct post_batch *x, struct tx *tx, struct errtext *et)
{
	size_t n = 0, kept = 0;
	enum err e = OK;
	if (x->n_counts)
		qsort(x->counts, x->n_counts, sizeof *x->counts, by_key);
	for (size_t i = 0; i < x->n_counts; i++)
		if (n && str_eq(x->counts[n - 1].key, x->counts[i].key))
			x->counts[n - 1].n += x->counts[i].n;
		else
			x->counts[n++] = x->counts[i];
	for (size_t i = 0; i < n; i++)
		if (x->counts[i].n)
			x->counts[kept++] = x->counts[i];
	for (size_t i = 0; i < kept && !e; i += AT_ONCE)
		e = count_some(x, tx, x->counts + i, MIN(kept - i, (size_t)AT_ONCE), et);
	return e;
}

/* ---- postings ---- */

static int by_place(const void *a, const void *b)
{
	const struct op *x = a, *y = b;
	int by_name = str_cmp(x->key, y->key);
	if (by_name)
		return by_name;
	if (x->chunk != y->chunk)
		return x->chunk < y->chunk ? -1 : 1;
	if (x->place != y->place)
		return x->place < y->place ? -1 : 1;
	return (x->post.p != NULL) - (y->post.p != NULL); /* what goes before what comes */
}

/* The changes of one row. */
struct group {
	const struct op *ops;
	size_t n;
	bool there;
	float hi, lo;
	struct buf post;
};

struct row_writer {
	struct buf *out;
	uint32_t last;
	bool any;
};

static void write_posting(struct row_writer *w, uint32_t place, struct str post)
{
	post_varint(w->out, w->any ? place - w->last : place);
	bytes_put(w->out, post);
	w->last = place;
	w->any = true;
}

/* What the row has, with the changes. A posting that is replaced has two: one goes, one comes. */
static enum err merge(struct group *g, struct str was, struct errtext *et)
{
	struct post_reader r = {.rest = was};
	struct row_writer w = {.out = &g->post};
	bool more = was.n && post_next(&r), stays = false;
	for (size_t i = 0; i < g->n || more;) {
		if (i == g->n || (more && r.place < g->ops[i].place)) {
			write_posting(&w, r.place, r.post);
			stays = true;
			more = post_next(&r);
			continue;
		}
		const struct op *op = &g->ops[i++];
		if (more && r.place == op->place)
			more = post_next(&r);
		if (op->post.p)
			write_posting(&w, op->place, op->post);
	}
	if (r.rest.n)
		return damaged(et);
	bool first = !stays;
	for (size_t i = 0; i < g->n; i++) {
		if (!g->ops[i].post.p)
			continue;
		g->hi = first ? g->ops[i].hi : MAX(g->hi, g->ops[i].hi);
		g->lo = first ? g->ops[i].lo : MIN(g->lo, g->ops[i].lo);
		first = false;
	}
	return g->post.err ? no_memory(et) : OK;
}

static void name_groups(struct group *g, size_t n, struct buf *terms, struct buf *chunks)
{
	array_begin(terms);
	array_begin(chunks);
	for (size_t i = 0; i < n; i++) {
		array_bytes(terms, g[i].ops->key);
		array_i64(chunks, (int64_t)g[i].ops->chunk);
	}
}

/* The rows as they are, merged. */
static enum err merge_rows(struct post_batch *x, struct tx *tx, struct group *g, size_t n,
	struct buf *terms, struct buf *chunks, struct errtext *et)
{
	char sql[320];
	struct row *r;
	name_groups(g, n, terms, chunks);
	struct param p[] = {array_end(terms), array_end(chunks)};
	snprintf(sql, sizeof sql,
		"SELECT u.i, p.hi, p.lo, p.post FROM unnest(CAST(? AS bytea[]), CAST(? AS "
		"bigint[])) WITH ORDINALITY AS u (term, chunk, i) JOIN %s_p p ON p.term = u.term "
		"AND p.chunk = u.chunk",
		x->base.name);
	enum err e = terms->err || chunks->err ? no_memory(et)
					       : db_query_n(tx, &r, et, sql, p, ARRAY_LEN(p));
	if (e)
		return e;
	while (!e && row_next(r, &e, et)) {
		struct group *at = &g[row_i64(r, 0) - 1];
		at->there = true;
		at->hi = (float)row_f64(r, 1);
		at->lo = (float)row_f64(r, 2);
		e = merge(at, row_blob(r, 3), et);
	}
	row_free(r);
	for (size_t i = 0; i < n && !e; i++)
		if (!g[i].there)
			e = merge(&g[i], S(""), et);
	return e;
}

static enum err write_rows(struct post_batch *x, struct tx *tx, const struct group *g, size_t n,
	struct buf *terms, struct buf *chunks, struct errtext *et)
{
	struct buf hi = {0}, lo = {0}, posts = {0};
	char sql[480];
	array_begin(terms);
	array_begin(chunks);
	array_begin(&hi);
	array_begin(&lo);
	array_begin(&posts);
	for (size_t i = 0; i < n; i++)
		if (g[i].post.n) {
			array_bytes(terms, g[i].ops->key);
			array_i64(chunks, (int64_t)g[i].ops->chunk);
			array_real(&hi, g[i].hi);
			array_real(&lo, g[i].lo);
			array_bytes(&posts, buf_str(&g[i].post));
		}
	snprintf(sql, sizeof sql,
		"INSERT INTO %s_p (term, chunk, hi, lo, post) SELECT * FROM unnest(CAST(? AS "
		"bytea[]), CAST(? AS bigint[]), CAST(? AS real[]), CAST(? AS real[]), CAST(? AS "
		"bytea[])) ON CONFLICT (term, chunk) DO UPDATE SET hi = excluded.hi, lo = "
		"excluded.lo, post = excluded.post",
		x->base.name);
	struct param p[] = {array_end(terms), array_end(chunks), array_end(&hi), array_end(&lo),
		array_end(&posts)};
	enum err e = terms->err || chunks->err || hi.err || lo.err || posts.err
			     ? no_memory(et)
			     : db_exec_n(tx, et, sql, p, ARRAY_LEN(p));
	buf_free(&hi);
	buf_free(&lo);
	buf_free(&posts);
	return e;
}

static enum err drop_rows(struct post_batch *x, struct tx *tx, const struct group *g, size_t n,
	struct buf *terms, struct buf *chunks, struct errtext *et)
{
	char sql[240];
	array_begin(terms);
	array_begin(chunks);
	for (size_t i = 0; i < n; i++)
		if (g[i].there && !g[i].post.n) {
			array_bytes(terms, g[i].ops->key);
			array_i64(chunks, (int64_t)g[i].ops->chunk);
		}
	if (terms->n == 1)
		return OK;
	snprintf(sql, sizeof sql,
		"DELETE FROM %s_p p USING unnest(CAST(? AS bytea[]), CAST(? AS bigint[])) AS u "
		"(term, chunk) WHERE p.term = u.term AND p.chunk = u.chunk",
		x->base.name);
	struct param p[] = {array_end(terms), array_end(chunks)};
	return terms->err || chunks->err ? no_memory(et) : db_exec_n(tx, et, sql, p, ARRAY_LEN(p));
}

static enum err change_rows(
	struct post_batch *x, struct tx *tx, struct group *g, size_t n, struct errtext *et)
{
	struct buf terms = {0}, chunks = {0};
	enum err e = merge_rows(x, tx, g, n, &terms, &chunks, et);
	e = e ? e : write_rows(x, tx, g, n, &terms, &chunks, et);
	e = e ? e : drop_rows(x, tx, g, n, &terms, &chunks, et);
	buf_free(&terms);
	buf_free(&chunks);
	for (size_t i = 0; i < n; i++)
		buf_free(&g[i].post);
	return e;
}

static enum err postings(struct post_batch *x, struct tx *tx, struct errtext *et)
{
	struct group *g = malloc(AT_ONCE * sizeof *g);
	size_t n = 0;
	enum err e = g ? OK : no_memory(et);
	if (x->n_ops)
		qsort(x->ops, x->n_ops, sizeof *x->ops, by_place);
	for (size_t i = 0; i < x->n_ops && !e;) {
		size_t end = i + 1;
		while (end < x->n_ops && x->ops[end].chunk == x->ops[i].chunk &&
			str_eq(x->ops[end].key, x->ops[i].key))
			end++;
		g[n++] = (struct group){.ops = &x->ops[i], .n = end - i};
		i = end;
		if (n == AT_ONCE || i == x->n_ops) {
			e = change_rows(x, tx, g, n, et);
			n = 0;
		}
	}
	free(g);
	return e;
}

enum err post_flush(struct post_batch *x, struct tx *tx, struct errtext *et)
{
	enum err e = x->n_items ? forwards(x, tx, et) : OK;
	e = e ? e : postings(x, tx, et);
	e = e ? e : counts(x, tx, et);
	arena_free(x->a);
	x->a = arena_new(KEPT_BYTES);
	x->n_ops = x->n_counts = x->n_items = x->bytes = 0;
	return e || x->a ? e : no_memory(et);
}

enum err post_lost(struct tx *tx, const struct post_base *b, int64_t collection, struct errtext *et)
{
	struct post_batch *x = NULL;
	struct row *r = NULL;
	char sql[240];
	snprintf(sql, sizeof sql,
		"SELECT f.num FROM %s_f f WHERE NOT EXISTS (SELECT 1 FROM collection_item i WHERE "
		"i.collection = ? AND i.num = f.num)",
		b->name);
	enum err e = post_batch_new(b, &x, et);
	e = e ? e : db_query(tx, &r, et, sql, P_I64(collection));
	while (!e && row_next(r, &e, et))
		e = post_put(x, (uint64_t)row_i64(r, 0), NULL, 0, et);
	row_free(r);
	e = e ? e : post_flush(x, tx, et);
	post_batch_free(x);
	return e;
}
