/* JSON as text: "key.path: value" pairs. A value whose pairs are short together is one block; a
 * larger one is split among its members, so that a list of records gives a block each. */
#include "text/doc_int.h"
#include "base/json.h"

enum { BLOCK_BYTES = 1500, PATH_MAX_BYTES = 1024 };

static void scalar(struct buf *b, yyjson_val *v)
{
	if (yyjson_is_str(v)) {
		buf_adds(b, json_val_str(v));
		return;
	}
	struct jw w = {.out = b};
	jw_val(&w, v);
}

/* All pairs below v, until b is full. */
static bool pairs(struct buf *b, yyjson_val *v, struct buf *path, size_t limit)
{
	size_t keep = path->n, i, n;
	yyjson_val *key, *member;
	if (b->n > limit)
		return false;
	if (yyjson_is_obj(v)) {
		yyjson_obj_foreach(v, i, n, key, member)
		{
			if (path->n)
				buf_putc(path, '.');
			buf_adds(path, json_val_str(key));
			bool ok = path->n < PATH_MAX_BYTES && pairs(b, member, path, limit);
			path->n = keep;
			if (!ok)
				return false;
		}
		return true;
	}
	if (yyjson_is_arr(v)) {
		bool flat = true;
		yyjson_arr_foreach(v, i, n, member) flat = flat && !yyjson_is_ctn(member);
		if (flat) { /* a list of values is one value */
			if (!n)
				return true;
			if (b->n)
				buf_addc(b, "; ");
			buf_adds(b, buf_str(path));
			if (path->n)
				buf_addc(b, ": ");
			yyjson_arr_foreach(v, i, n, member)
			{
				if (i)
					buf_addc(b, ", ");
				scalar(b, member);
				if (b->n > limit)
					return false;
			}
			return true;
		}
		yyjson_arr_foreach(v, i, n, member)
		{
			buf_addf(path, "[%zu]", i);
			bool ok = pairs(b, member, path, limit);
			path->n = keep;
			if (!ok)
				return false;
		}
		return true;
	}
	if (yyjson_is_null(v))
		return true;
	if (b->n)
		buf_addc(b, "; ");
	buf_adds(b, buf_str(path));
	if (path->n)
		buf_addc(b, ": ");
	scalar(b, v);
	return true;
}

static void emit(struct out *o, yyjson_val *v, struct buf *path, bool always)
{
	if (out_stop(o))
		return;
	struct buf b = {0};
	/* a list of records is always split */
	bool records = yyjson_is_arr(v) && yyjson_is_ctn(yyjson_arr_get_first(v));
	size_t limit = always || !yyjson_is_ctn(v) ? SIZE_MAX : BLOCK_BYTES;
	if (!(records && !always) && pairs(&b, v, path, limit) && b.n <= limit) {
		if (b.err)
			out_fail(o, b.err, "out of memory");
		else if (b.n)
			out_block(o, BLOCK_TABLE_ROW, 0, buf_str(&b));
		buf_free(&b);
		return;
	}
	buf_free(&b);
	size_t keep = path->n, i, n;
	yyjson_val *key, *member;
	if (yyjson_is_obj(v)) {
		yyjson_obj_foreach(v, i, n, key, member)
		{
			if (path->n)
				buf_putc(path, '.');
			buf_adds(path, str_sub(json_val_str(key), 0, PATH_MAX_BYTES));
			if (path->n < 8 * PATH_MAX_BYTES)
				emit(o, member, path, false);
			else
				out_fail(o, ERR_LIMIT, "its keys are too long");
			path->n = keep;
		}
	} else if (yyjson_is_arr(v)) {
		yyjson_arr_foreach(v, i, n, member)
		{
			if (records && !keep) {
				emit(o, member, path, false);
			} else {
				buf_addf(path, "[%zu]", i);
				emit(o, member, path, false);
			}
			path->n = keep;
		}
	}
}

/* The fields that say what a record is about. */
static void metadata(struct out *o, yyjson_val *root)
{
	if (!yyjson_is_obj(root))
		return;
	out_title(o, json_str(root, "title"));
	out_author(o, json_str(root, "author"));
}

void parse_json(struct out *o, struct str utf8)
{
	yyjson_doc *doc;
	struct errtext et = {0};
	enum err e = json_parse(utf8, &doc, &et);
	if (e) {
		out_fail(o, e == ERR_INVALID ? ERR_CORRUPT : e, "not valid JSON: %s",
			err_text(e, &et));
		return;
	}
	struct buf path = {0};
	metadata(o, yyjson_doc_get_root(doc));
	emit(o, yyjson_doc_get_root(doc), &path, false);
	buf_free(&path);
	yyjson_doc_free(doc);
}

void parse_jsonl(struct out *o, struct str utf8)
{
	struct str rest = utf8, line;
	struct buf path = {0};
	size_t number = 0, bad = 0, good = 0;
	struct errtext first = {0};
	while (str_next_line(&rest, &line) && !out_stop(o)) {
		number++;
		line = str_trim(line);
		if (!line.n)
			continue;
		yyjson_doc *doc;
		struct errtext et = {0};
		enum err e = json_parse(line, &doc, &et);
		if (e) {
			if (!bad++)
				err_set(&first, e, "line %zu: %s", number, err_text(e, &et));
			continue;
		}
		good++;
		emit(o, yyjson_doc_get_root(doc), &path, true);
		path.n = 0;
		yyjson_doc_free(doc);
	}
	if (!good && bad)
		out_fail(o, ERR_CORRUPT, "no line of it is valid JSON: %s", first.msg);
	else if (bad)
		out_warn(o, "%zu lines are not valid JSON and were left out; the first: %s", bad,
			first.msg);
	buf_free(&path);
}
