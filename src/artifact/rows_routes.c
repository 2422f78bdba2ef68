/* GET /api/v1/trees/{digest}/rows/{other}: a file of one tree against a file of another, by rows.
 */
#include "artifact/rows.h"
#include "artifact/tree_int.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { ENTRIES_DEFAULT = 100, ENTRIES_MAX = 10000 };

struct one_file {
	struct tree *t;
	const struct tree_file *f;
	char *bytes;
	size_t n;
};

/* As much as is compared, and one byte more, so that it is known that there is more. */
static enum err load(struct croft *c, struct http_request *rq, const char *param, struct str path,
	struct one_file *out, struct errtext *et)
{
	char hex[SHA256_HEX + 1];
	enum err e = tree_named(c, rq, param, hex, et);
	if (!e)
		e = tree_load(croft_blobs(c), hex, &out->t, et);
	if (e)
		return e;
	out->f = tree_find(out->t, path);
	if (!out->f)
		return err_set(et, ERR_NOT_FOUND, "the tree %.12s has no file \"%.*s\"", hex,
			STR_FMT(str_sub(path, 0, 200)));
	out->n = (size_t)MIN(out->f->size, (uint64_t)ROWS_BYTES_MAX + 1);
	out->bytes = malloc(out->n + 1);
	if (!out->bytes)
		return err_set(et, ERR_NOMEM, "no memory to read %s", out->f->path.p);
	return tree_read(croft_blobs(c), out->f, 0, out->bytes, out->n, et);
}

static void number(struct jw *w, const char *key, bool there, double v)
{
	jw_key(w, key);
	there &&isfinite(v) ? jw_f64(w, v) : jw_null(w);
}

static void stats(struct jw *w, const char *key, const struct rows_stats *s, int64_t rows)
{
	bool any = s->numbers > 0;
	jw_key(w, key);
	jw_obj(w);
	jw_kc(w, "type", rows_type(s));
	jw_ki64(w, "values", s->values);
	jw_ki64(w, "missing", rows > s->values ? rows - s->values : 0);
	number(w, "min", any, s->min);
	number(w, "max", any, s->max);
	number(w, "mean", any, s->mean);
	number(w, "deviation", any, rows_deviation(s));
	number(w, "length", s->texts > 0, s->texts ? (double)s->length / (double)s->texts : 0);
	jw_end(w);
}

/* By how many deviations (of before) the mean has moved. */
static void shift(struct jw *w, const struct rows_column *c)
{
	const struct rows_stats *a = &c->stats[0], *b = &c->stats[1];
	double d = rows_deviation(a);
	number(w, "shift", a->numbers && b->numbers && d > 0, (b->mean - a->mean) / d);
}

static void columns(struct jw *w, const struct rows_diff *d)
{
	jw_key(w, "columns");
	jw_arr(w);
	for (size_t i = 0; i < d->n_columns; i++) {
		const struct rows_column *c = &d->columns[i];
		jw_obj(w);
		jw_kstr(w, "name", c->name);
		stats(w, "before", &c->stats[0], d->rows[0]);
		stats(w, "after", &c->stats[1], d->rows[1]);
		jw_ki64(w, "changed", c->changed);
		shift(w, c);
		jw_end(w);
	}
	jw_end(w);
}

static void members(struct jw *w, const struct rows_diff *d, enum rows_format format)
{
	static const char *const words[] = {"added", "removed", "changed"};
	jw_kc(w, "format", rows_format_word(format));
	jw_key(w, "key");
	d->key.p ? jw_str(w, d->key) : jw_null(w);
	jw_ki64(w, "before", d->rows[0]);
	jw_ki64(w, "after", d->rows[1]);
	jw_ki64(w, "same", d->same);
	jw_ki64(w, "added", d->added);
	jw_ki64(w, "removed", d->removed);
	jw_ki64(w, "changed", d->changed);
	jw_kbool(w, "cut", d->cut[0] || d->cut[1]);
	columns(w, d);
	jw_key(w, "rows");
	jw_arr(w);
	for (size_t i = 0; i < d->n_entries; i++) {
		jw_obj(w);
		jw_kc(w, "change", words[d->entries[i].change]);
		jw_kstr(w, "row", d->entries[i].row);
		jw_end(w);
	}
	jw_end(w);
}

static enum err asked(struct http_request *rq, struct str *path, struct str *other,
	enum rows_format *format, size_t *limit, struct errtext *et)
{
	struct str text = http_query(rq, "limit");
	uint64_t n = ENTRIES_DEFAULT;
	*path = http_query(rq, "path");
	*other = http_query(rq, "other_path");
	if (!other->n)
		*other = *path;
	*format = rows_format_of(*path);
	if (!path->n)
		return err_set(et, ERR_INVALID, "path: name a file of the tree");
	if (text.n && (!str_u64(text, &n) || n > ENTRIES_MAX))
		return err_set(
			et, ERR_INVALID, "limit: a number up to %d is expected", ENTRIES_MAX);
	if (*format == ROWS_NONE || rows_format_of(*other) != *format)
		return err_set(et, ERR_UNSUPPORTED,
			"rows are compared between files of one kind: .csv, .tsv, .jsonl, .ndjson");
	*limit = (size_t)n;
	return OK;
}

/* Each holds two files and their rows in memory: at most so many at once. */
enum { AT_ONCE = 2 };
static atomic_int running;

static enum err enter(struct errtext *et)
{
	if (atomic_fetch_add(&running, 1) < AT_ONCE)
		return OK;
	return err_set(et, ERR_BUSY, "rows of other files are being compared; try again");
}

void get_tree_rows(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct one_file a = {0}, b = {0};
	struct str path = {0}, other = {0};
	enum rows_format format = ROWS_NONE;
	size_t limit = 0;
	struct rows_diff d = {0};
	struct arena *arena = arena_new(512 << 20);
	struct str key = http_query(rq, "key");
	enum err e = enter(&et);
	if (!e && !arena)
		e = err_set(&et, ERR_NOMEM, "no memory to compare rows");
	if (!e)
		e = asked(rq, &path, &other, &format, &limit, &et);
	if (!e)
		e = load(c, rq, "digest", path, &a, &et);
	if (!e)
		e = load(c, rq, "other", other, &b, &et);
	if (!e)
		e = rows_diff(str_mk(a.bytes, a.n), str_mk(b.bytes, b.n), format,
			key.n ? key : (struct str){0}, limit, arena, &d, &et);
	struct buf out = {0};
	struct jw w = {.out = &out};
	jw_obj(&w);
	if (!e)
		members(&w, &d, format);
	jw_end(&w);
	e ? http_reply_error(rs, e, &et) : http_reply_json(rs, 200, &w);
	buf_free(&out);
	free(a.bytes);
	free(b.bytes);
	tree_free(a.t);
	tree_free(b.t);
	arena_free(arena);
	atomic_fetch_sub(&running, 1);
}
