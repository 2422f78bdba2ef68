/* Blocks of points, and summaries of them, as bytes.
 *
 * A block is a CRC-32C, the number of points, and three columns: times and steps as the change of
 * the change (a run of zeros is a zero and its length, so a regular series costs a few bytes), and
 * values as the exclusive or with the value before, without its leading and trailing zero bytes.
 * A page is a CRC-32C and nodes of fixed size. */
#include "run/track_int.h"
#include "base/hash.h"

#include <math.h>

static enum err damaged(struct errtext *et)
{
	return err_set(et, ERR_CORRUPT, "a stored block of points is damaged");
}

static void seal(struct buf *out, size_t from)
{
	if (out->err)
		return;
	uint32_t crc = crc32c(0, out->p + from + 4, out->n - from - 4);
	memcpy(out->p + from, &crc, 4);
}

static bool unseal(struct str *s)
{
	uint32_t crc;
	if (s->n < 4)
		return false;
	memcpy(&crc, s->p, 4);
	*s = str_mk(s->p + 4, s->n - 4);
	return crc == crc32c(0, s->p, s->n);
}

/* ---- a column of whole numbers ---- */

struct ints {
	int64_t last, change;
	uint64_t zeros; /* writing: not written yet; reading: still to be given */
};

static void ints_flush(struct ints *c, struct buf *b)
{
	if (!c->zeros)
		return;
	put_varint(b, 0);
	put_varint(b, c->zeros);
	c->zeros = 0;
}

static void ints_put(struct ints *c, struct buf *b, int64_t v)
{
	uint64_t change = (uint64_t)v - (uint64_t)c->last;
	int64_t turn = (int64_t)(change - (uint64_t)c->change);
	c->last = v;
	c->change = (int64_t)change;
	if (!turn) {
		c->zeros++;
		return;
	}
	ints_flush(c, b);
	put_zigzag(b, turn);
}

static bool ints_get(struct ints *c, struct str *s, int64_t *v)
{
	int64_t turn = 0;
	if (c->zeros) {
		c->zeros--;
	} else {
		if (!get_zigzag(s, &turn))
			return false;
		if (!turn) {
			if (!get_varint(s, &c->zeros) || !c->zeros)
				return false;
			c->zeros--;
		}
	}
	c->change = (int64_t)((uint64_t)c->change + (uint64_t)turn);
	c->last = *v = (int64_t)((uint64_t)c->last + (uint64_t)c->change);
	return true;
}

/* ---- the column of values ---- */

static void values_put(struct buf *b, const struct point *p, size_t n)
{
	uint64_t before = 0, v;
	for (size_t i = 0; i < n; i++) {
		memcpy(&v, &p[i].value, 8);
		uint64_t x = v ^ before;
		unsigned lead = x ? (unsigned)__builtin_clzll(x) / 8 : 8;
		unsigned trail = x ? (unsigned)__builtin_ctzll(x) / 8 : 0;
		unsigned char t[9];
		t[0] = (unsigned char)(lead << 4 | trail);
		x >>= 8 * trail;
		unsigned k = 8 - lead - trail;
		memcpy(t + 1, &x, 8);
		buf_add(b, t, 1 + k);
		before = v;
	}
}

static bool values_get(struct str *s, struct point *p, size_t n)
{
	uint64_t before = 0;
	for (size_t i = 0; i < n; i++) {
		if (!s->n)
			return false;
		unsigned c = (unsigned char)s->p[0], lead = c >> 4, trail = c & 15;
		if (lead + trail > 8 || s->n < 1 + (8 - lead - trail))
			return false;
		unsigned k = 8 - lead - trail;
		uint64_t x = 0;
		memcpy(&x, s->p + 1, k);
		before ^= trail < 8 ? x << (8 * trail) : 0;
		memcpy(&p[i].value, &before, 8);
		*s = str_mk(s->p + 1 + k, s->n - 1 - k);
	}
	return true;
}

/* ---- blocks ---- */

void block_encode(struct buf *out, const struct point *p, size_t n)
{
	size_t from = out->n;
	struct ints ms = {0}, step = {0};
	buf_add(out, "\0\0\0\0", 4);
	put_varint(out, n);
	for (size_t i = 0; i < n; i++)
		ints_put(&ms, out, p[i].ms);
	ints_flush(&ms, out);
	for (size_t i = 0; i < n; i++)
		ints_put(&step, out, p[i].step);
	ints_flush(&step, out);
	values_put(out, p, n);
	seal(out, from);
}

enum err block_decode(struct str data, struct point *p, size_t *n, struct errtext *et)
{
	struct ints ms = {0}, step = {0};
	uint64_t k;
	if (!unseal(&data) || !get_varint(&data, &k) || k > BLOCK_POINTS)
		return damaged(et);
	for (size_t i = 0; i < k; i++)
		if (!ints_get(&ms, &data, &p[i].ms))
			return damaged(et);
	for (size_t i = 0; i < k; i++)
		if (!ints_get(&step, &data, &p[i].step))
			return damaged(et);
	if (!values_get(&data, p, k) || data.n)
		return damaged(et);
	*n = k;
	return OK;
}

/* ---- nodes ---- */

static void node_empty(struct node *out)
{
	*out = (struct node){.min = INFINITY,
		.max = -INFINITY,
		.ms0 = INT64_MAX,
		.ms1 = INT64_MIN,
		.step0 = INT64_MAX,
		.step1 = INT64_MIN};
}

void node_of_points(struct node *out, const struct point *p, size_t n)
{
	struct node d;
	node_empty(&d);
	for (size_t i = 0; i < n; i++) {
		d.ms0 = MIN(d.ms0, p[i].ms);
		d.ms1 = MAX(d.ms1, p[i].ms);
		d.step0 = MIN(d.step0, p[i].step);
		d.step1 = MAX(d.step1, p[i].step);
		d.last = p[i].value;
		if (isnan(p[i].value)) {
			d.n_nan++;
			continue;
		}
		d.min = MIN(d.min, p[i].value);
		d.max = MAX(d.max, p[i].value);
		d.sum += p[i].value;
	}
	d.n = n;
	*out = d;
}

void node_of_nodes(struct node *out, const struct node *v, size_t n)
{
	struct node d;
	node_empty(&d);
	for (size_t i = 0; i < n; i++) {
		d.n += v[i].n;
		d.n_nan += v[i].n_nan;
		d.ms0 = MIN(d.ms0, v[i].ms0);
		d.ms1 = MAX(d.ms1, v[i].ms1);
		d.step0 = MIN(d.step0, v[i].step0);
		d.step1 = MAX(d.step1, v[i].step1);
		d.min = MIN(d.min, v[i].min);
		d.max = MAX(d.max, v[i].max);
		d.sum += v[i].sum;
		d.last = v[i].last;
	}
	*out = d;
}

/* Nodes are little endian, as every machine that Croft runs on. */
void page_encode(struct buf *out, const struct node *v, size_t n)
{
	size_t from = out->n;
	buf_add(out, "\0\0\0\0", 4);
	buf_add(out, v, n * sizeof *v);
	seal(out, from);
}

enum err page_decode(struct str data, struct node *v, size_t *n, struct errtext *et)
{
	if (!unseal(&data) || data.n % sizeof *v || data.n / sizeof *v > PAGE_NODES)
		return damaged(et);
	memcpy(v, data.p, data.n);
	*n = data.n / sizeof *v;
	return OK;
}
