/* croft collections export: all items as JSON lines or Parquet, their vectors as .npy, .fvecs or
 * .fbin. Items come in the order of their ids, a page at a time. */
#include "base/room.h"
#include "collection/collection_int.h"
#include "text/parquet.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PAGE = 1000, FIELDS_MAX = 1000, NPY_HEAD = 128 };

const struct option collection_export_options[] = {
	{"vectors", 0, NULL, "With their vectors"},
	{"as-of", 0, "VERSION", "Those of a version: a number, a tag or a time"},
	{"out", 'o', "FILE",
		"Into a file, by its end: .jsonl, .parquet; vectors alone: .npy, .fvecs, .fbin"},
	{"space", 0, "NAME", "Of vectors alone: those of this name"},
};

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for an export");
}

/* ---- pages ---- */

typedef enum err (*page_fn)(void *ctx, yyjson_val *items, struct errtext *et);

static void next_page(struct cmd *cmd, yyjson_val *next, bool vectors, struct buf *url)
{
	buf_clear(url);
	buf_addc(url, "/api/v1/collections/");
	url_encode(url, cmd_arg(cmd, 0));
	buf_addf(url, "/items?limit=%d", PAGE);
	if (vectors)
		buf_addc(url, "&vectors=true");
	if (cmd_opt(cmd, "as-of").n) {
		buf_addc(url, "&as_of=");
		url_encode(url, cmd_opt(cmd, "as-of"));
	}
	if (yyjson_is_uint(next))
		buf_addf(url, "&from=%llu", (unsigned long long)yyjson_get_uint(next));
	if (yyjson_is_str(next)) {
		buf_addc(url, "&from=");
		url_encode(url, json_val_str(next));
	}
}

static enum err each_page(struct cmd *cmd, bool vectors, page_fn fn, void *ctx, struct errtext *et)
{
	struct buf url = {0};
	bool more = true;
	enum err e = OK;
	next_page(cmd, NULL, vectors, &url);
	while (!e && more) {
		struct buf reply = {0};
		yyjson_doc *doc = NULL;
		e = cancelled(cmd_cancel(cmd))
			    ? ERR_CANCELLED
			    : cmd_call(cmd, HTTP_GET, buf_c(&url), (struct str){0}, &reply, et);
		e = e ? e : json_parse(buf_str(&reply), &doc, et);
		yyjson_val *o = yyjson_doc_get_root(doc), *next = yyjson_obj_get(o, "next");
		e = e ? e : fn(ctx, yyjson_obj_get(o, "items"), et);
		more = next && !yyjson_is_null(next);
		next_page(cmd, next, vectors, &url);
		yyjson_doc_free(doc);
		buf_free(&reply);
	}
	buf_free(&url);
	return e;
}

/* ---- a file that is there when it is whole ---- */

struct out_file {
	FILE *f;
	char *path, *part;
};

static enum err out_begin(struct out_file *o, struct str path, struct errtext *et)
{
	struct buf part = {0};
	buf_addf(&part, "%.*s.part", STR_FMT(path));
	o->path = str_dup(path);
	o->part = buf_take(&part);
	if (!o->path || !o->part)
		return no_memory(et);
	o->f = fopen(o->part, "wb");
	return o->f ? OK : err_errno(et, "%s", o->part);
}

static enum err out_put(struct out_file *o, const void *p, size_t n, struct errtext *et)
{
	return fwrite(p, 1, n, o->f) == n ? OK : err_errno(et, "%s", o->part);
}

static enum err out_end(struct out_file *o, enum err e, struct errtext *et)
{
	if (o->f && !e && (fflush(o->f) || fsync(fileno(o->f))))
		e = err_errno(et, "%s", o->part);
	if (o->f && fclose(o->f) && !e)
		e = err_errno(et, "%s", o->part);
	if (o->f && !e && rename(o->part, o->path))
		e = err_errno(et, "%s", o->path);
	if (o->f && e)
		unlink(o->part);
	free(o->path);
	free(o->part);
	return e;
}

/* ---- JSON lines ---- */

struct lines {
	struct cmd *cmd;
	struct out_file *out; /* NULL: standard output */
	uint64_t n;
};

static enum err write_lines(void *ctx, yyjson_val *items, struct errtext *et)
{
	struct lines *x = ctx;
	yyjson_val *v;
	size_t i, n;
	struct buf b = {0};
	enum err e;
	yyjson_arr_foreach(items, i, n, v)
	{
		struct jw w = {.out = &b};
		jw_val(&w, v);
		buf_putc(&b, '\n');
	}
	e = b.err ? no_memory(et) : OK;
	if (!e && x->out)
		e = out_put(x->out, b.p, b.n, et);
	else if (!e)
		cmd_out(x->cmd, buf_str(&b));
	x->n += n;
	buf_free(&b);
	return e;
}

/* ---- vectors alone ---- */

enum format { FORMAT_JSONL, FORMAT_PARQUET, FORMAT_NPY, FORMAT_FVECS, FORMAT_FBIN };

struct numbers {
	struct out_file out;
	enum format format;
	struct str space;
	uint64_t n, without;
	uint32_t dim;
	float *v;
	size_t cap;
};

static yyjson_val *vector_of(yyjson_val *item, struct str space)
{
	yyjson_val *v = yyjson_obj_get(item, "vector");
	return yyjson_is_obj(v) ? yyjson_obj_getn(v, space.p, space.n) : space.n ? NULL : v;
}

static enum err put_vector(struct numbers *x, yyjson_val *v, struct errtext *et)
{
	uint32_t dim = (uint32_t)yyjson_arr_size(v);
	yyjson_val *d;
	size_t i, n;
	if (dim > x->cap) {
		float *more = realloc(x->v, dim * sizeof *more);
		if (!more)
			return no_memory(et);
		x->v = more;
		x->cap = dim;
	}
	if (x->dim && dim != x->dim)
		return err_set(et, ERR_CORRUPT, "vectors of %u and of %u numbers", x->dim, dim);
	x->dim = dim;
	yyjson_arr_foreach(v, i, n, d) x->v[i] = (float)yyjson_get_num(d);
	x->n++;
	enum err e = x->format == FORMAT_FVECS ? out_put(&x->out, &dim, sizeof dim, et) : OK;
	return e ? e : out_put(&x->out, x->v, dim * sizeof *x->v, et);
}

static enum err put_vectors(void *ctx, yyjson_val *items, struct errtext *et)
{
	struct numbers *x = ctx;
	yyjson_val *item;
	size_t i, n;
	enum err e = OK;
	yyjson_arr_foreach(items, i, n, item)
	{
		yyjson_val *v = vector_of(item, x->space);
		if (e)
			break;
		if (yyjson_is_arr(v))
			e = put_vector(x, v, et);
		else
			x->without++;
	}
	return e;
}

/* The head of a file says how many follow, which is known at the end. */
static enum err put_head(struct numbers *x, struct errtext *et)
{
	char head[NPY_HEAD + 1];
	uint32_t two[2] = {(uint32_t)x->n, x->dim};
	uint16_t length = NPY_HEAD - 10;
	if (x->format == FORMAT_FVECS)
		return OK;
	if (fseek(x->out.f, 0, SEEK_SET))
		return err_errno(et, "%s", x->out.part);
	if (x->format == FORMAT_FBIN)
		return x->n > UINT32_MAX
			       ? err_set(et, ERR_TOO_LARGE, "too many vectors for an .fbin file")
			       : out_put(&x->out, two, sizeof two, et);
	memset(head, ' ', sizeof head);
	memcpy(head, "\x93NUMPY\x01", 7);
	head[7] = 0;
	memcpy(head + 8, &length, 2);
	int n = snprintf(head + 10, sizeof head - 10,
		"{'descr': '<f4', 'fortran_order': False, 'shape': (%llu, %u), }",
		(unsigned long long)x->n, x->dim);
	head[10 + n] = ' ';
	head[NPY_HEAD - 1] = '\n';
	return out_put(&x->out, head, NPY_HEAD, et);
}

static enum err export_numbers(struct cmd *cmd, enum format format, uint64_t *n, struct errtext *et)
{
	struct numbers x = {.format = format, .space = cmd_opt(cmd, "space")};
	enum err e = out_begin(&x.out, cmd_opt(cmd, "out"), et);
	if (!e && format != FORMAT_FVECS) {
		static const char room[NPY_HEAD];
		e = out_put(&x.out, room, format == FORMAT_NPY ? NPY_HEAD : 8, et);
	}
	e = e ? e : each_page(cmd, true, put_vectors, &x, et);
	if (!e && !x.n)
		e = err_set(et, ERR_NOT_FOUND, "no item has a vector of that name");
	e = e ? e : put_head(&x, et);
	e = out_end(&x.out, e, et);
	if (!e && x.without)
		cmd_note(cmd, "%llu items have no such vector and were left out",
			(unsigned long long)x.without);
	free(x.v);
	*n = x.n;
	return e;
}

/* ---- Parquet: the columns are found first, then written ---- */

struct field {
	struct str name;
	enum parquet_kind kind;
};

struct table {
	struct arena *a;
	struct map by_name;
	struct field *fields;
	size_t n_fields, cap;
	bool text_ids;
	struct str *spaces;
	size_t n_spaces;
	struct parquet_column *columns; /* the id, the fields, the spaces */
	size_t n_columns;
	struct parquet_writer *w;
	struct out_file out;
	uint64_t n;
};

static enum parquet_kind kind_of(yyjson_val *v)
{
	return yyjson_is_null(v)                 ? PARQUET_NULL
	       : yyjson_is_bool(v)               ? PARQUET_BOOL
	       : yyjson_is_str(v)                ? PARQUET_TEXT
	       : yyjson_is_real(v)               ? PARQUET_REAL
	       : yyjson_is_ctn(v)                ? PARQUET_JSON
	       : yyjson_is_sint(v)               ? PARQUET_INT
	       : yyjson_get_uint(v) <= INT64_MAX ? PARQUET_INT
						 : PARQUET_JSON;
}

/* What holds both. */
static enum parquet_kind wider(enum parquet_kind a, enum parquet_kind b)
{
	bool numbers =
		(a == PARQUET_INT || a == PARQUET_REAL) && (b == PARQUET_INT || b == PARQUET_REAL);
	return a == b || b == PARQUET_NULL ? a
	       : a == PARQUET_NULL         ? b
	       : numbers                   ? PARQUET_REAL
					   : PARQUET_JSON;
}

static enum err see_field(struct table *x, struct str name, yyjson_val *v, struct errtext *et)
{
	uintptr_t known = (uintptr_t)map_get(&x->by_name, name);
	if (!known) {
		if (x->n_fields == FIELDS_MAX)
			return err_set(et, ERR_LIMIT,
				"the items have more than %d different fields: export them as JSON "
				"lines",
				FIELDS_MAX);
		if (!arena_room(x->a, x->fields, x->n_fields, x->cap))
			return no_memory(et);
		x->fields[x->n_fields] = (struct field){arena_str(x->a, name), PARQUET_NULL};
		known = ++x->n_fields;
		if (!x->fields[known - 1].name.p || !map_put(&x->by_name, name, (void *)known))
			return no_memory(et);
	}
	struct field *f = &x->fields[known - 1];
	f->kind = wider(f->kind, kind_of(v));
	return OK;
}

static bool text_id(yyjson_val *id)
{
	return !yyjson_is_uint(id) || yyjson_get_uint(id) > INT64_MAX;
}

static enum err see_items(void *ctx, yyjson_val *items, struct errtext *et)
{
	struct table *x = ctx;
	yyjson_val *item, *key, *v;
	size_t i, n, j, m;
	enum err e = OK;
	yyjson_arr_foreach(items, i, n, item)
	{
		x->text_ids |= text_id(yyjson_obj_get(item, "id"));
		yyjson_obj_foreach(yyjson_obj_get(item, "payload"), j, m, key, v) if (!e) e =
			see_field(x, json_val_str(key), v, et);
	}
	return e;
}

static enum err find_spaces(struct cmd *cmd, struct table *x, struct errtext *et)
{
	struct buf url = {0}, reply = {0};
	yyjson_doc *doc = NULL;
	yyjson_val *s;
	size_t i, n;
	buf_addc(&url, "/api/v1/collections/");
	url_encode(&url, cmd_arg(cmd, 0));
	enum err e = cmd_call(cmd, HTTP_GET, buf_c(&url), (struct str){0}, &reply, et);
	e = e ? e : json_parse(buf_str(&reply), &doc, et);
	yyjson_val *list = yyjson_obj_get(yyjson_doc_get_root(doc), "spaces");
	x->spaces = arena_array_of(x->a, yyjson_arr_size(list) + 1, struct str);
	e = e || x->spaces ? e : no_memory(et);
	yyjson_arr_foreach(list, i, n, s)
	{
		if (e)
			break;
		if (!str_eq_c(json_str(s, "kind"), "dense")) {
			e = err_set(et, ERR_UNSUPPORTED,
				"the vectors \"%.*s\" are not lists of numbers: export them as "
				"JSON lines, or leave --vectors out",
				STR_FMT(json_str(s, "name")));
			break;
		}
		x->spaces[x->n_spaces] = arena_str(x->a, json_str(s, "name"));
		e = x->spaces[x->n_spaces++].p ? OK : no_memory(et);
	}
	yyjson_doc_free(doc);
	buf_free(&url);
	buf_free(&reply);
	return e;
}

/* A member of the payload whose name is a column's own is called payload.NAME. */
static struct str column_name(struct table *x, struct str name)
{
	bool own = str_eq_c(name, "id") || str_eq_c(name, "vector") ||
		   str_starts(name, S("vector_")) || str_starts(name, S("payload."));
	return own ? arena_fmt(x->a, "payload.%.*s", STR_FMT(name)) : name;
}

static enum err make_columns(struct table *x, struct errtext *et)
{
	x->columns = arena_array_of(x->a, 1 + x->n_fields + x->n_spaces, struct parquet_column);
	if (!x->columns)
		return no_memory(et);
	x->columns[x->n_columns++] =
		(struct parquet_column){S("id"), x->text_ids ? PARQUET_TEXT : PARQUET_INT, false};
	for (size_t i = 0; i < x->n_fields; i++) {
		struct field *f = &x->fields[i];
		f->kind = f->kind == PARQUET_NULL ? PARQUET_JSON : f->kind;
		x->columns[x->n_columns++] =
			(struct parquet_column){column_name(x, f->name), f->kind, false};
	}
	for (size_t i = 0; i < x->n_spaces; i++) {
		struct str name = x->spaces[i].n
					  ? arena_fmt(x->a, "vector_%.*s", STR_FMT(x->spaces[i]))
					  : S("vector");
		x->columns[x->n_columns++] = (struct parquet_column){name, PARQUET_REAL, true};
	}
	return OK;
}

static enum err changed(struct errtext *et)
{
	return err_set(et, ERR_CONFLICT, "the collection changed meanwhile: export it again");
}

static struct str json_of(struct arena *a, yyjson_val *v)
{
	struct buf b = {0};
	jw_val(&(struct jw){.out = &b}, v);
	struct str s = b.err ? (struct str){0} : arena_str(a, buf_str(&b));
	buf_free(&b);
	return s;
}

static enum err to_value(struct arena *a, enum parquet_kind kind, yyjson_val *v,
	struct parquet_value *out, struct errtext *et)
{
	*out = (struct parquet_value){0};
	if (!v || yyjson_is_null(v))
		return OK;
	out->kind = kind;
	if (kind == PARQUET_JSON)
		return (out->text = json_of(a, v)).p ? OK : no_memory(et);
	if (wider(kind, kind_of(v)) != kind)
		return changed(et);
	out->text = json_val_str(v);
	out->i = kind == PARQUET_BOOL ? yyjson_get_bool(v) : yyjson_get_sint(v);
	out->d = yyjson_get_num(v);
	return OK;
}

static enum err to_id(struct table *x, struct arena *a, yyjson_val *id, struct parquet_value *out,
	struct errtext *et)
{
	if (!x->text_ids && text_id(id))
		return changed(et);
	*out = (struct parquet_value){.kind = x->text_ids ? PARQUET_TEXT : PARQUET_INT,
		.i = (int64_t)yyjson_get_uint(id),
		.text = yyjson_is_str(id) ? json_val_str(id) : json_of(a, id)};
	return out->text.p ? OK : no_memory(et);
}

static enum err to_vector(
	struct arena *a, yyjson_val *v, struct parquet_value *out, struct errtext *et)
{
	yyjson_val *d;
	size_t i, n = yyjson_arr_size(v);
	struct parquet_value *items;
	*out = (struct parquet_value){0};
	if (!yyjson_is_arr(v))
		return OK;
	items = arena_array_of(a, n + 1, struct parquet_value);
	if (!items)
		return no_memory(et);
	yyjson_arr_foreach(v, i, n, d) items[i] =
		(struct parquet_value){.kind = PARQUET_REAL, .d = yyjson_get_num(d)};
	*out = (struct parquet_value){.kind = PARQUET_REAL, .list = true, .items = items, .n = n};
	return OK;
}

static enum err write_row(struct table *x, struct arena *a, yyjson_val *item, struct errtext *et)
{
	struct parquet_value *row = arena_array_of(a, x->n_columns, struct parquet_value);
	yyjson_val *payload = yyjson_obj_get(item, "payload");
	size_t at = 1;
	enum err e = row ? to_id(x, a, yyjson_obj_get(item, "id"), &row[0], et) : no_memory(et);
	for (size_t i = 0; i < x->n_fields && !e; i++) {
		const struct field *f = &x->fields[i];
		e = to_value(
			a, f->kind, yyjson_obj_getn(payload, f->name.p, f->name.n), &row[at++], et);
	}
	for (size_t i = 0; i < x->n_spaces && !e; i++)
		e = to_vector(a, vector_of(item, x->spaces[i]), &row[at++], et);
	x->n += !e;
	return e ? e : parquet_write(x->w, row, et);
}

static enum err write_rows(void *ctx, yyjson_val *items, struct errtext *et)
{
	struct table *x = ctx;
	struct arena *a = arena_new(0);
	yyjson_val *item;
	size_t i, n;
	enum err e = a ? OK : no_memory(et);
	yyjson_arr_foreach(items, i, n, item) if (!e) e = write_row(x, a, item, et);
	arena_free(a);
	return e;
}

static enum err put_bytes(void *ctx, struct str s, struct errtext *et)
{
	return out_put(ctx, s.p, s.n, et);
}

static enum err export_parquet(struct cmd *cmd, uint64_t *n, struct errtext *et)
{
	struct table x = {.a = arena_new(0)};
	bool vectors = cmd_flag(cmd, "vectors");
	enum err e = x.a ? OK : no_memory(et);
	if (!e && vectors)
		e = find_spaces(cmd, &x, et);
	e = e ? e : each_page(cmd, false, see_items, &x, et);
	e = e ? e : make_columns(&x, et);
	e = e ? e : out_begin(&x.out, cmd_opt(cmd, "out"), et);
	e = e ? e : parquet_writer_new(x.columns, x.n_columns, put_bytes, &x.out, &x.w, et);
	e = e ? e : each_page(cmd, vectors, write_rows, &x, et);
	if (!e)
		e = parquet_writer_finish(x.w, et);
	else
		parquet_writer_drop(x.w);
	e = out_end(&x.out, e, et);
	map_free(&x.by_name);
	arena_free(x.a);
	*n = x.n;
	return e;
}

/* ---- the command ---- */

static enum err export_lines(struct cmd *cmd, uint64_t *n, struct errtext *et)
{
	struct out_file out = {0};
	struct lines x = {.cmd = cmd, .out = &out};
	enum err e = out_begin(&out, cmd_opt(cmd, "out"), et);
	e = e ? e : each_page(cmd, cmd_flag(cmd, "vectors"), write_lines, &x, et);
	*n = x.n;
	return out_end(&out, e, et);
}

static bool format_of(struct str path, enum format *out)
{
	static const struct {
		const char *end;
		enum format format;
	} ends[] = {{".jsonl", FORMAT_JSONL}, {".ndjson", FORMAT_JSONL},
		{".parquet", FORMAT_PARQUET}, {".npy", FORMAT_NPY}, {".fvecs", FORMAT_FVECS},
		{".fbin", FORMAT_FBIN}};
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		if (str_ends_nocase(path, str_c(ends[i].end))) {
			*out = ends[i].format;
			return true;
		}
	return false;
}

enum err run_collections_export(struct cmd *cmd, struct errtext *et)
{
	struct str path = cmd_opt(cmd, "out");
	struct lines lines = {.cmd = cmd};
	enum format format = FORMAT_JSONL;
	uint64_t n = 0;
	if (!cmd_n_args(cmd))
		return err_set(
			et, ERR_INVALID, "name the collection; `croft collections` lists them");
	if (!path.n || str_eq_c(path, "-"))
		return each_page(cmd, cmd_flag(cmd, "vectors"), write_lines, &lines, et);
	if (!format_of(path, &format))
		return err_set(et, ERR_UNSUPPORTED,
			"%.*s: .jsonl, .parquet, .npy, .fvecs and .fbin can be written",
			STR_FMT(path));
	enum err e = format == FORMAT_JSONL     ? export_lines(cmd, &n, et)
		     : format == FORMAT_PARQUET ? export_parquet(cmd, &n, et)
						: export_numbers(cmd, format, &n, et);
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "{\"items\":%llu}\n", (unsigned long long)n);
	else if (!e)
		cmd_outf(cmd, "%llu items are in %.*s\n", (unsigned long long)n, STR_FMT(path));
	return e;
}
