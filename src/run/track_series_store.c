/* Series in the database.
 *
 * Points stand in blocks of 4,096, sorted by time, step and value over all blocks; every block but
 * the last is full. Above them is a pyramid: a node of level 1 sums up 256 points, a node of level
 * L + 1 a page of 256 nodes of level L; a page is a row. The top level has one page.
 *
 *	level 0, n    block n: points 4096 n ...
 *	level L, n    page n: nodes 256 n ... of level L
 *	level -1, 0   how many points there are and the last of them
 *
 * Appending decodes the last block that is not full (or, for points that belong before the end,
 * from the block in which they belong), and writes anew from there.
 *
 * A series that was rolled up to level R has lost the rows of level 0 .. R - 1 for good, or is
 * losing them: from the commit that wrote R into its head row on nobody reads below R, and
 * series_thin removes what is there in small pieces. What is appended later becomes a second part
 * of the series, with rows of its own LATER levels up; that part is never rolled up. Charts and
 * histories show both. */
#include "run/track_int.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

enum { TOP = -1, LATER = 16, ROLLED_NODES_MIN = 16 };

struct series {
	struct tx *tx;
	struct id run;
	struct str key;
	int64_t base; /* of its rows' levels: 0 or LATER */
	uint64_t n;
	struct point last;
	uint64_t rolled; /* the lowest level that is read; 0: points are there */
};

struct top {
	uint64_t n;
	struct point last;
	uint64_t rolled; /* only stored when it is not 0 */
};

/* ---- rows ---- */

/* ERR_NOT_FOUND without a message when there is no such row; the data is appended to out. */
static enum err get_row(
	const struct series *s, int64_t level, uint64_t at, struct buf *out, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(s->tx, &r, et,
		"SELECT data FROM run_series WHERE run = ? AND name = ? AND level = ? AND n = ?",
		P_ID(s->run), P_TEXT(s->key), P_I64(s->base + level), P_I64((int64_t)at));
	if (e)
		return e;
	if (row_next(r, &e, et))
		buf_adds(out, row_blob(r, 0));
	else if (!e)
		e = ERR_NOT_FOUND;
	row_free(r);
	return e ? e : out->err;
}

static enum err put_row(
	const struct series *s, int64_t level, uint64_t at, struct str data, struct errtext *et)
{
	return db_exec(s->tx, et,
		"INSERT INTO run_series (run, name, level, n, data) VALUES (?, ?, ?, ?, ?) "
		"ON CONFLICT (run, name, level, n) DO UPDATE SET data = excluded.data",
		P_ID(s->run), P_TEXT(s->key), P_I64(s->base + level), P_I64((int64_t)at),
		P_BLOB(data));
}

static enum err missing(struct errtext *et)
{
	return err_set(et, ERR_CORRUPT, "a part of a series of points is missing");
}

static enum err open_part(struct tx *tx, struct id run, struct str key, int64_t base,
	struct series *out, struct errtext *et)
{
	struct buf b = {0};
	struct top t = {0};
	*out = (struct series){.tx = tx, .run = run, .key = key, .base = base};
	enum err e = get_row(out, TOP, 0, &b, et);
	if (e == ERR_NOT_FOUND) {
		buf_free(&b);
		return OK;
	}
	if (!e && b.n != sizeof t && b.n != offsetof(struct top, rolled))
		e = missing(et);
	if (!e) {
		memcpy(&t, b.p, b.n);
		out->n = t.n;
		out->last = t.last;
		out->rolled = t.rolled;
	}
	if (!e && t.rolled >= LEVELS_MAX)
		e = missing(et);
	buf_free(&b);
	return e;
}

/* The part that takes points, and the one before it that was rolled up (n 0: there is none). */
static enum err open_series(struct tx *tx, struct id run, struct str key, struct series *out,
	struct series *rolled, struct errtext *et)
{
	struct series first;
	*rolled = (struct series){0};
	enum err e = open_part(tx, run, key, 0, &first, et);
	if (!e && !first.rolled)
		*out = first;
	else if (!e)
		e = open_part(tx, run, key, LATER, out, et);
	if (!e && first.rolled)
		*rolled = first;
	return e;
}

static enum err put_top(const struct series *s, struct errtext *et)
{
	struct top t = {s->n, s->last, s->rolled};
	return put_row(s, TOP, 0,
		str_mk((char *)&t, s->rolled ? sizeof t : offsetof(struct top, rolled)), et);
}

static enum err get_block(
	const struct series *s, uint64_t at, struct point *p, size_t *n, struct errtext *et)
{
	struct buf b = {0};
	enum err e = get_row(s, 0, at, &b, et);
	if (e == ERR_NOT_FOUND)
		e = missing(et);
	if (!e)
		e = block_decode(buf_str(&b), p, n, et);
	buf_free(&b);
	return e;
}

static enum err get_page(const struct series *s, int level, uint64_t at, struct node *v, size_t *n,
	struct errtext *et)
{
	struct buf b = {0};
	enum err e = get_row(s, level, at, &b, et);
	if (e == ERR_NOT_FOUND)
		e = missing(et);
	if (!e)
		e = page_decode(buf_str(&b), v, n, et);
	buf_free(&b);
	return e;
}

static uint64_t over(uint64_t a, uint64_t b)
{
	return (a + b - 1) / b;
}

/* Nodes of a level in a series of n points. */
static uint64_t level_nodes(uint64_t n, int level)
{
	uint64_t k = over(n, GROUP_POINTS);
	while (--level > 0)
		k = over(k, PAGE_NODES);
	return k;
}

static int top_level(uint64_t n)
{
	int level = 1;
	while (level_nodes(n, level) > PAGE_NODES)
		level++;
	return level;
}

/* ---- appending ---- */

struct nodes {
	struct node *v;
	size_t n;
	uint64_t first; /* the number of v[0] in its level: the first of a page */
};

/* The page that holds node number `from`. A level that is new with this append has one page below
 * it so far, whose node is made here. */
static enum err page_or_first(const struct series *s, int level, uint64_t page, struct node *v,
	size_t *n, struct errtext *et)
{
	struct buf b = {0};
	enum err e = get_row(s, level, page, &b, et);
	if (!e) {
		e = page_decode(buf_str(&b), v, n, et);
	} else if (e == ERR_NOT_FOUND && level > 1 && !page) {
		e = get_page(s, level - 1, 0, v, n, et);
		if (!e)
			node_of_nodes(&v[0], v, *n);
		*n = 1;
	} else if (e == ERR_NOT_FOUND) {
		e = missing(et);
	}
	buf_free(&b);
	return e;
}

/* Makes room for `more` nodes from number `from` on, behind those of the same page that stay. */
static enum err nodes_open(const struct series *s, int level, uint64_t from, size_t more,
	struct nodes *out, struct errtext *et)
{
	uint64_t page = from / PAGE_NODES;
	size_t stay = from % PAGE_NODES, had = 0;
	out->v = malloc((PAGE_NODES + more) * sizeof *out->v);
	if (!out->v)
		return err_set(et, ERR_NOMEM, "no memory for the pyramid of a series");
	out->first = page * PAGE_NODES;
	out->n = stay;
	if (!stay)
		return OK;
	enum err e = page_or_first(s, level, page, out->v, &had, et);
	return e ? e : had < stay ? missing(et) : OK;
}

static enum err nodes_write(
	const struct series *s, int level, const struct nodes *nd, struct errtext *et)
{
	struct buf b = {0};
	enum err e = OK;
	for (size_t i = 0; i < nd->n && !e; i += PAGE_NODES) {
		buf_clear(&b);
		page_encode(&b, nd->v + i, MIN(nd->n - i, (size_t)PAGE_NODES));
		e = b.err ? err_set(et, b.err, "no memory for the pyramid of a series")
			  : put_row(s, level, (nd->first + i) / PAGE_NODES, buf_str(&b), et);
	}
	buf_free(&b);
	return e;
}

/* Levels 2 and up over `below`, of level 1, whose pages from below->first on were written. */
static enum err write_levels(const struct series *s, struct nodes *below, struct errtext *et)
{
	enum err e = OK;
	for (int level = 2; !e && below->first + below->n > PAGE_NODES; level++) {
		struct nodes up = {0};
		size_t pages = over(below->n, PAGE_NODES);
		e = nodes_open(s, level, below->first / PAGE_NODES, pages, &up, et);
		for (size_t i = 0; !e && i < below->n; i += PAGE_NODES)
			node_of_nodes(
				&up.v[up.n++], below->v + i, MIN(below->n - i, (size_t)PAGE_NODES));
		if (!e)
			e = nodes_write(s, level, &up, et);
		free(below->v);
		*below = up;
	}
	return e;
}

/* Writes all points from block `from` on. */
static enum err write_from(
	struct series *s, uint64_t from, const struct points *p, struct errtext *et)
{
	struct buf b = {0};
	struct nodes nd = {0};
	enum err e = OK;
	for (size_t i = 0; i < p->n && !e; i += BLOCK_POINTS) {
		buf_clear(&b);
		block_encode(&b, p->v + i, MIN(p->n - i, (size_t)BLOCK_POINTS));
		e = b.err ? err_set(et, b.err, "no memory for a block of points")
			  : put_row(s, 0, from + i / BLOCK_POINTS, buf_str(&b), et);
	}
	buf_free(&b);
	if (!e)
		e = nodes_open(s, 1, from * (BLOCK_POINTS / GROUP_POINTS), over(p->n, GROUP_POINTS),
			&nd, et);
	for (size_t i = 0; i < p->n && !e; i += GROUP_POINTS)
		node_of_points(&nd.v[nd.n++], p->v + i, MIN(p->n - i, (size_t)GROUP_POINTS));
	if (!e)
		e = nodes_write(s, 1, &nd, et);
	if (!e)
		e = write_levels(s, &nd, et);
	free(nd.v);
	if (e || !p->n)
		return e;
	s->n = from * BLOCK_POINTS + p->n;
	s->last = p->v[p->n - 1];
	return put_top(s, et);
}

/* Two sorted lists as one, what is in both once. */
static enum err merge(const struct points *a, const struct points *b, struct points *out)
{
	size_t i = 0, k = 0;
	out->v = malloc((a->n + b->n) * sizeof *out->v + 1);
	if (!out->v)
		return ERR_NOMEM;
	out->cap = a->n + b->n;
	while (i < a->n || k < b->n) {
		int c = i == a->n ? 1 : k == b->n ? -1 : point_cmp(&a->v[i], &b->v[k]);
		out->v[out->n++] = c <= 0 ? a->v[i] : b->v[k];
		i += c <= 0;
		k += c >= 0;
	}
	return OK;
}

/* The points from the block on into which `p` belong (*from), merged with p. Reads from the end:
 * what comes late mostly belongs near it. */
static enum err suffix(const struct series *s, const struct points *p, uint64_t *from,
	struct points *out, struct errtext *et)
{
	uint64_t blocks = over(s->n, BLOCK_POINTS), at = blocks;
	bool behind = !s->n || point_cmp(&s->last, &p->v[0]) < 0;
	struct point *blk = malloc(BLOCK_POINTS * sizeof *blk);
	struct points old = {0};
	enum err e = blk ? OK : err_set(et, ERR_NOMEM, "no memory for a block of points");
	if (!e && behind && s->n % BLOCK_POINTS == 0) {
		*from = blocks;
		free(blk);
		return points_add(out, p->v, p->n);
	}
	while (!e && at) {
		size_t n = 0;
		e = get_block(s, --at, blk, &n, et);
		if (e)
			break;
		/* blocks come from last to first: room is made before what is there */
		struct points bigger = {0};
		e = points_add(&bigger, blk, n);
		if (!e)
			e = points_add(&bigger, old.v, old.n);
		free(old.v);
		old = bigger;
		if (behind || !n || point_cmp(&blk[0], &p->v[0]) < 0)
			break;
	}
	if (!e)
		e = merge(&old, p, out);
	if (e == ERR_NOMEM)
		err_set(et, e, "no memory for a block of points");
	free(old.v);
	free(blk);
	if (!e)
		*from = at;
	return e;
}

enum err series_append(
	struct tx *tx, struct id run, struct str key, const struct points *p, struct errtext *et)
{
	struct series s, rolled;
	struct points all = {0};
	uint64_t from = 0;
	if (!p->n)
		return OK;
	enum err e = open_series(tx, run, key, &s, &rolled, et);
	if (!e)
		e = suffix(&s, p, &from, &all, et);
	if (!e)
		e = write_from(&s, from, &all, et);
	free(all.v);
	return e;
}

/* ---- reading ---- */

/* What the series is, tail included: blocks 0 .. *from - 1 and then `rest`. */
static enum err split(const struct series *s, const struct points *tail, uint64_t *from,
	struct points *rest, struct errtext *et)
{
	if (tail->n)
		return suffix(s, tail, from, rest, et);
	*from = over(s->n, BLOCK_POINTS);
	return OK;
}

/* What is left of points [at, end) of a part that was rolled up, counted in nodes: the last point
 * of each, with its exact value. */
static enum err read_rolled(
	const struct series *s, uint64_t at, uint64_t end, struct points *out, struct errtext *et)
{
	struct node *v = malloc(PAGE_NODES * sizeof *v);
	enum err e = v ? OK : err_set(et, ERR_NOMEM, "no memory for a page of a series");
	while (!e && at < end) {
		size_t n = 0, skip = at % PAGE_NODES;
		e = get_page(s, (int)s->rolled, at / PAGE_NODES, v, &n, et);
		if (!e && n <= skip)
			e = missing(et);
		for (size_t i = skip; !e && i < n && at < end; i++, at++) {
			struct point p = {v[i].last, v[i].ms1, v[i].step1};
			e = points_add(out, &p, 1);
		}
	}
	free(v);
	return e;
}

/* Points [at, end) of blocks 0 ... */
static enum err read_blocks(
	const struct series *s, uint64_t at, uint64_t end, struct points *out, struct errtext *et)
{
	struct point *blk = malloc(BLOCK_POINTS * sizeof *blk);
	enum err e = blk ? OK : err_set(et, ERR_NOMEM, "no memory for a block of points");
	while (!e && at < end) {
		size_t n = 0, skip = at % BLOCK_POINTS;
		e = get_block(s, at / BLOCK_POINTS, blk, &n, et);
		if (!e && n <= skip)
			e = missing(et);
		if (e)
			break;
		size_t k = MIN(n - skip, (size_t)(end - at));
		e = points_add(out, blk + skip, k);
		at += k;
	}
	free(blk);
	return e;
}

enum err series_read(struct tx *tx, struct id run, struct str key, const struct points *tail,
	int64_t offset, int64_t limit, struct points *out, bool *more, struct rolled_up *rolled,
	struct errtext *et)
{
	struct series s, r;
	struct points rest = {0};
	uint64_t from = 0, at = (uint64_t)offset, end = at + (uint64_t)limit;
	enum err e = open_series(tx, run, key, &s, &r, et);
	if (!e)
		e = split(&s, tail, &from, &rest, et);
	uint64_t nodes = e || !r.rolled ? 0 : level_nodes(r.n, (int)r.rolled);
	uint64_t in_blocks = e ? 0 : MIN(from * BLOCK_POINTS, rest.n ? UINT64_MAX : s.n);
	uint64_t total = nodes + in_blocks + rest.n;
	if (!e && at < nodes) {
		e = read_rolled(&r, at, MIN(end, nodes), out, et);
		at = MIN(end, nodes);
	}
	if (!e && at < end && at < nodes + in_blocks) {
		e = read_blocks(&s, at - nodes, MIN(end - nodes, in_blocks), out, et);
		at = MIN(end, nodes + in_blocks);
	}
	if (!e && at < end && at < total)
		e = points_add(
			out, rest.v + (at - nodes - in_blocks), (size_t)(MIN(end, total) - at));
	if (e == ERR_NOMEM)
		err_set(et, e, "no memory for the points of a series");
	if (!e) {
		*more = end < total;
		*rolled = (struct rolled_up){r.n, nodes};
	}
	free(rest.v);
	return e;
}

/* ---- charts ----
 *
 * From the top page down: a node outside the range is skipped, a node that is no wider than a
 * bucket goes into one as a whole, any other is opened; at level 1 that means its 256 points. So a
 * bucket may begin a node late, but each says which points are in it, and none is counted twice. */

struct charting {
	const struct series *s;
	const struct chart *ch;
	uint64_t whole; /* points in the blocks that count */
	int64_t from, to;
	double width;
	struct bucket *v;
	int lowest; /* nodes of this level are not opened, but taken whole; 0: all are */
	struct point *blk;
	uint64_t blk_at; /* which block is in blk; UINT64_MAX: none */
	size_t blk_n;
	struct errtext *et;
};

static int64_t x_of(const struct chart *ch, const struct point *p)
{
	return ch->by_time ? p->ms : p->step;
}

static struct bucket *bucket_at(struct charting *c, int64_t x)
{
	double i = ((double)x - (double)c->from) / c->width;
	size_t at = i <= 0 ? 0 : (size_t)i;
	return &c->v[MIN(at, (size_t)c->ch->points - 1)];
}

static void bucket_add(struct bucket *b, const struct node *d, int64_t x0, int64_t x1)
{
	if (!b->n) {
		*b = (struct bucket){
			.x0 = x0, .x1 = x1, .min = INFINITY, .max = -INFINITY, .last = d->last};
	}
	if (x1 >= b->x1)
		b->last = d->last;
	b->x0 = MIN(b->x0, x0);
	b->x1 = MAX(b->x1, x1);
	b->n += d->n;
	b->n_nan += d->n_nan;
	b->min = MIN(b->min, d->min);
	b->max = MAX(b->max, d->max);
	b->sum += d->sum;
}

static void chart_points(struct charting *c, const struct point *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int64_t x = x_of(c->ch, &p[i]);
		struct node d;
		if (x < c->from || x > c->to)
			continue;
		node_of_points(&d, &p[i], 1);
		bucket_add(bucket_at(c, x), &d, x, x);
	}
}

static enum err chart_group(struct charting *c, uint64_t group)
{
	uint64_t block = group / (BLOCK_POINTS / GROUP_POINTS);
	size_t at = (size_t)(group % (BLOCK_POINTS / GROUP_POINTS)) * GROUP_POINTS;
	if (c->blk_at != block) {
		enum err e = get_block(c->s, block, c->blk, &c->blk_n, c->et);
		if (e)
			return e;
		c->blk_at = block;
	}
	if (at < c->blk_n)
		chart_points(c, c->blk + at, MIN(c->blk_n - at, (size_t)GROUP_POINTS));
	return OK;
}

/* Points that the nodes before this one and this one stand for: nodes over the limit are of blocks
 * that the tail's points reach into, and read from there instead. */
static uint64_t node_span(int level)
{
	uint64_t k = GROUP_POINTS;
	while (--level > 0)
		k *= PAGE_NODES;
	return k;
}

static enum err chart_page(struct charting *c, int level, uint64_t page)
{
	struct node *v = malloc(PAGE_NODES * sizeof *v);
	size_t n = 0;
	uint64_t span = node_span(level);
	enum err e = v ? get_page(c->s, level, page, v, &n, c->et)
		       : err_set(c->et, ERR_NOMEM, "no memory for a chart");
	for (size_t i = 0; i < n && !e; i++) {
		uint64_t at = page * PAGE_NODES + i;
		int64_t x0 = c->ch->by_time ? v[i].ms0 : v[i].step0;
		int64_t x1 = c->ch->by_time ? v[i].ms1 : v[i].step1;
		if (at * span >= c->whole)
			break;
		if (x1 < c->from || x0 > c->to)
			continue;
		bool inside = x0 >= c->from && x1 <= c->to && (at + 1) * span <= c->whole;
		if (at * span + v[i].n <= c->whole && x0 >= c->from && x1 <= c->to)
			inside = true;
		if (level == c->lowest || (inside && (double)x1 - (double)x0 <= c->width))
			bucket_add(bucket_at(c, x0), &v[i], x0, x1);
		else
			e = level == 1 ? chart_group(c, at) : chart_page(c, level - 1, at);
	}
	free(v);
	return e;
}

static void range_add(struct node *all, const struct node *r)
{
	*all = (struct node){.ms0 = MIN(all->ms0, r->ms0),
		.ms1 = MAX(all->ms1, r->ms1),
		.step0 = MIN(all->step0, r->step0),
		.step1 = MAX(all->step1, r->step1)};
}

/* Adds the range of x over the blocks of a part. */
static enum err part_range(const struct series *s, struct node *all, struct errtext *et)
{
	struct node r, *v = malloc(PAGE_NODES * sizeof *v);
	size_t n = 0;
	enum err e = v ? get_page(s, top_level(s->n), 0, v, &n, et)
		       : err_set(et, ERR_NOMEM, "no memory for a chart");
	if (!e) {
		node_of_nodes(&r, v, n);
		range_add(all, &r);
	}
	free(v);
	return e;
}

static enum err whole_range(
	struct charting *c, const struct series *rolled, const struct points *rest)
{
	struct node all;
	enum err e = OK;
	node_of_points(&all, rest->v, rest->n);
	if (c->whole)
		e = part_range(c->s, &all, c->et);
	if (!e && rolled->n)
		e = part_range(rolled, &all, c->et);
	c->from = c->ch->by_time ? all.ms0 : all.step0;
	c->to = c->ch->by_time ? all.ms1 : all.step1;
	return e;
}

static enum err draw_rolled(struct charting *c, const struct series *rolled)
{
	struct charting r = *c;
	r.s = rolled;
	r.whole = rolled->n;
	r.lowest = (int)rolled->rolled;
	return chart_page(&r, top_level(rolled->n), 0);
}

static enum err draw(struct charting *c, const struct series *rolled, const struct points *rest)
{
	enum err e = OK;
	if (c->ch->has_range) {
		c->from = c->ch->from;
		c->to = c->ch->to;
	} else {
		e = whole_range(c, rolled, rest);
	}
	c->width = ((double)c->to - (double)c->from + 1) / c->ch->points;
	if (!e && rolled->n)
		e = draw_rolled(c, rolled);
	if (!e && c->whole)
		e = chart_page(c, top_level(c->s->n), 0);
	if (!e)
		chart_points(c, rest->v, rest->n);
	return e;
}

enum err series_chart(struct tx *tx, struct id run, struct str key, const struct points *tail,
	const struct chart *ch, struct charted *out, struct errtext *et)
{
	struct series s, rolled = {0};
	struct points rest = {0};
	uint64_t from = 0;
	struct charting c = {.s = &s, .ch = ch, .blk_at = UINT64_MAX, .et = et};
	c.blk = malloc(BLOCK_POINTS * sizeof *c.blk);
	c.v = calloc(ch->points, sizeof *c.v);
	enum err e = c.blk && c.v ? open_series(tx, run, key, &s, &rolled, et)
				  : err_set(et, ERR_NOMEM, "no memory for a chart");
	if (!e)
		e = split(&s, tail, &from, &rest, et);
	if (!e) {
		c.whole = MIN(from * BLOCK_POINTS, s.n);
		if (c.whole + rest.n + rolled.n)
			e = draw(&c, &rolled, &rest);
	}
	if (!e) {
		size_t k = 0;
		for (size_t i = 0; i < ch->points; i++)
			if (c.v[i].n)
				c.v[k++] = c.v[i];
		*out = (struct charted){.v = c.v,
			.n = k,
			.total = c.whole + rest.n + rolled.n,
			.rolled = {rolled.n,
				rolled.n ? level_nodes(rolled.n, (int)rolled.rolled) : 0}};
		c.v = NULL;
	}
	free(rest.v);
	free(c.blk);
	free(c.v);
	return e;
}

/* ---- rolling up ---- */

enum err series_next(
	struct tx *tx, struct id run, struct str after, struct buf *name, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT name FROM run_series WHERE run = ? AND name > ? ORDER BY name LIMIT 1",
		P_ID(run), P_TEXT(after));
	if (e)
		return e;
	if (row_next(r, &e, et)) {
		buf_clear(name);
		buf_adds(name, row_text(r, 0));
		if (name->err)
			e = err_set(et, name->err, "no memory for the name of a metric");
	} else if (!e) {
		e = ERR_NOT_FOUND;
	}
	row_free(r);
	return e;
}

/* The highest level up to `level` that still has enough nodes to show anything. */
static int rolled_level(uint64_t n, int level)
{
	level = MIN(level, top_level(n));
	while (level && level_nodes(n, level) < ROLLED_NODES_MIN)
		level--;
	return level;
}

enum err series_roll_up(struct tx *tx, struct id run, struct str key, int level, bool dry,
	struct rolled_up *out, struct errtext *et)
{
	struct series s;
	*out = (struct rolled_up){0};
	enum err e = open_part(tx, run, key, 0, &s, et);
	int to = e || s.rolled ? 0 : rolled_level(s.n, level);
	if (e || !to)
		return e;
	s.rolled = (uint64_t)to;
	*out = (struct rolled_up){s.n, level_nodes(s.n, to)};
	return dry ? OK : put_top(&s, et);
}

enum err series_thin(struct tx *tx, struct id run, struct str key, int64_t limit, int64_t *left,
	struct errtext *et)
{
	struct series s;
	enum err e = open_part(tx, run, key, 0, &s, et);
	*left = limit;
	if (e || !s.rolled)
		return e;
	e = db_exec(tx, et,
		"DELETE FROM run_series WHERE run = ? AND name = ? AND level >= 0 AND level < ? "
		"AND "
		"(level, n) IN (SELECT level, n FROM run_series WHERE run = ? AND name = ? AND "
		"level >= 0 AND level < ? LIMIT ?)",
		P_ID(run), P_TEXT(key), P_I64((int64_t)s.rolled), P_ID(run), P_TEXT(key),
		P_I64((int64_t)s.rolled), P_I64(limit));
	if (!e)
		*left = limit - db_changes(tx);
	return e;
}
