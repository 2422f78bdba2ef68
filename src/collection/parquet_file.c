/* Rows of a Parquet file as items: a column is the id, lists of numbers are vectors, the others are
 * members of the payload. */
#include "base/os.h"
#include "collection/collection.h"
#include "collection/parquet_file.h"
#include "text/parquet.h"

#include <math.h>
#include <stdlib.h>

struct parquet_file {
	char *path;
	struct os_map map;
	struct parquet *p;
	const struct parquet_column *columns;
	size_t n;
	struct parquet_value *row;
	size_t id, text; /* SIZE_MAX: none */
	/* vectors: the column, and the name of the space */
	struct {
		size_t column;
		struct str space;
	} vectors[COLLECTION_SPACES_MAX];
	size_t n_vectors;
	bool *taken; /* columns that are no member of the payload */
};

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a Parquet file");
}

static size_t column_of(const struct parquet_file *x, struct str name)
{
	for (size_t i = 0; i < x->n; i++)
		if (str_eq(x->columns[i].name, name))
			return i;
	return SIZE_MAX;
}

/* ---- which columns are what ---- */

static enum err no_such(const struct parquet_file *x, struct str name, struct errtext *et)
{
	struct buf have = {0};
	for (size_t i = 0; i < x->n && have.n < 300; i++)
		buf_addf(&have, "%s%.*s", i ? ", " : "", STR_FMT(x->columns[i].name));
	err_set(et, ERR_INVALID, "%s has no column %.*s: it has %s", x->path,
		STR_FMT(str_sub(name, 0, 100)), buf_c(&have));
	buf_free(&have);
	return ERR_INVALID;
}

static bool numbers(const struct parquet_column *c)
{
	return c->list &&
	       (c->kind == PARQUET_REAL || c->kind == PARQUET_INT || c->kind == PARQUET_UINT);
}

static enum err add_vector(
	struct parquet_file *x, size_t column, struct str space, struct errtext *et)
{
	if (!numbers(&x->columns[column]))
		return err_set(et, ERR_INVALID, "%s: the column %.*s holds no lists of numbers",
			x->path, STR_FMT(x->columns[column].name));
	if (x->n_vectors == COLLECTION_SPACES_MAX)
		return err_set(et, ERR_LIMIT, "%s: more than %d columns of vectors", x->path,
			COLLECTION_SPACES_MAX);
	x->vectors[x->n_vectors].column = column;
	x->vectors[x->n_vectors++].space = space;
	x->taken[column] = true;
	return OK;
}

/* "emb", or "title=title_emb" */
static enum err asked_vector(struct parquet_file *x, struct str s, struct errtext *et)
{
	size_t column = column_of(x, s), at = str_chr(s, '=');
	struct str space = S("");
	if (column == SIZE_MAX && at != STR_NONE) {
		space = str_sub(s, 0, at);
		column = column_of(x, str_sub(s, at + 1, s.n));
	}
	return column == SIZE_MAX ? no_such(x, s, et) : add_vector(x, column, space, et);
}

static enum err choose_vectors(
	struct parquet_file *x, const struct parquet_choice *o, struct errtext *et)
{
	enum err e = OK;
	for (size_t i = 0; i < o->n_vectors && !e; i++)
		e = asked_vector(x, o->vectors[i], et);
	for (size_t i = 0; i < x->n && !o->n_vectors && !e; i++) {
		struct str name = x->columns[i].name;
		if (!numbers(&x->columns[i]))
			continue;
		if (str_eq_c(name, "vector"))
			e = add_vector(x, i, S(""), et);
		else if (str_starts(name, S("vector_")))
			e = add_vector(x, i, str_sub(name, 7, name.n), et);
	}
	return e;
}

static enum err choose_one(struct parquet_file *x, struct str asked, const char *usual, size_t *out,
	struct errtext *et)
{
	*out = column_of(x, asked.n ? asked : str_c(usual));
	if (*out == SIZE_MAX && asked.n)
		return no_such(x, asked, et);
	if (*out != SIZE_MAX && x->columns[*out].list)
		return err_set(et, ERR_INVALID, "%s: the column %.*s holds lists", x->path,
			STR_FMT(x->columns[*out].name));
	return OK;
}

static enum err leave_out(
	struct parquet_file *x, const struct parquet_choice *o, struct errtext *et)
{
	for (size_t i = 0; i < o->n_without; i++) {
		size_t column = column_of(x, o->without[i]);
		if (column == SIZE_MAX)
			return no_such(x, o->without[i], et);
		parquet_leave_out(x->p, column);
		x->taken[column] = true;
	}
	return OK;
}

enum err parquet_file_open(const char *path, const struct parquet_choice *o,
	struct parquet_file **out, struct errtext *et)
{
	struct parquet_file *x = calloc(1, sizeof *x);
	if (!x || !(x->path = str_dup(str_c(path)))) {
		parquet_file_close(x);
		return no_memory(et);
	}
	enum err e = os_map_file(path, &x->map, et);
	if (!e && (e = parquet_open(str_mk(x->map.p, x->map.n), &x->p, et)))
		err_wrap(et, e, "%s", path);
	if (!e) {
		x->n = parquet_columns(x->p, &x->columns);
		x->row = calloc(x->n + 1, sizeof *x->row);
		x->taken = calloc(x->n + 1, sizeof *x->taken);
		e = x->row && x->taken ? OK : no_memory(et);
	}
	e = e ? e : choose_one(x, o->id, "id", &x->id, et);
	e = e ? e : choose_vectors(x, o, et);
	e = e ? e : leave_out(x, o, et);
	if (!e) /* a text that is there is embedded when no vector is */
		e = x->n_vectors && !o->text.n ? (x->text = SIZE_MAX, OK)
					       : choose_one(x, o->text, "text", &x->text, et);
	if (!e && x->id != SIZE_MAX)
		x->taken[x->id] = true;
	if (e)
		parquet_file_close(x);
	else
		*out = x;
	return e;
}

void parquet_file_close(struct parquet_file *x)
{
	if (!x)
		return;
	parquet_free(x->p);
	os_unmap(&x->map);
	free(x->path);
	free(x->row);
	free(x->taken);
	free(x);
}

uint64_t parquet_file_rows(const struct parquet_file *x)
{
	return parquet_rows(x->p);
}

/* ---- an item ---- */

static enum err write_value(struct jw *w, const struct parquet_column *c,
	const struct parquet_value *v, struct errtext *et)
{
	yyjson_doc *doc = NULL;
	enum err e = OK;
	if (v->list && v->kind != PARQUET_NULL) {
		jw_arr(w);
		for (size_t i = 0; i < v->n && !e; i++)
			e = write_value(w, c, &v->items[i], et);
		jw_end(w);
		return e;
	}
	switch (v->kind) {
	case PARQUET_NULL:
		jw_null(w);
		break;
	case PARQUET_BOOL:
		jw_bool(w, v->i != 0);
		break;
	case PARQUET_INT:
		jw_i64(w, v->i);
		break;
	case PARQUET_UINT:
		jw_u64(w, (uint64_t)v->i);
		break;
	case PARQUET_REAL:
		jw_f64(w, v->d);
		break;
	case PARQUET_TEXT:
		jw_str(w, v->text);
		break;
	case PARQUET_JSON:
		e = json_parse(v->text, &doc, et);
		if (e)
			return err_wrap(et, ERR_INVALID, "the column %.*s", STR_FMT(c->name));
		jw_val(w, yyjson_doc_get_root(doc));
		yyjson_doc_free(doc);
		break;
	case PARQUET_BYTES:
		if (!utf8_valid(v->text))
			return err_set(et, ERR_UNSUPPORTED,
				"the column %.*s holds bytes that are no text: leave it out of the "
				"file",
				STR_FMT(c->name));
		jw_str(w, v->text);
	}
	return e;
}

static enum err write_id(struct parquet_file *x, uint64_t number, struct jw *w, struct errtext *et)
{
	const struct parquet_value *v = x->id == SIZE_MAX ? NULL : &x->row[x->id];
	jw_key(w, "id");
	if (!v) {
		jw_u64(w, number);
		return OK;
	}
	if (v->kind == PARQUET_INT && v->i >= 0)
		jw_i64(w, v->i);
	else if (v->kind == PARQUET_UINT)
		jw_u64(w, (uint64_t)v->i);
	else if ((v->kind == PARQUET_TEXT || v->kind == PARQUET_BYTES) && utf8_valid(v->text))
		jw_str(w, v->text);
	else
		return err_set(et, ERR_INVALID,
			"an id in the column %.*s is absent, negative or no text",
			STR_FMT(x->columns[x->id].name));
	return OK;
}

static void write_vector(struct jw *w, const struct parquet_value *v)
{
	jw_arr(w);
	for (size_t i = 0; i < v->n; i++) {
		const struct parquet_value *n = &v->items[i];
		if (n->kind == PARQUET_REAL)
			jw_f32(w, (float)n->d);
		else if (n->kind == PARQUET_NULL)
			jw_null(w); /* which is refused as no number */
		else
			jw_f64(w, (double)n->i);
	}
	jw_end(w);
}

/* One without a name is the vector; those with names are members. */
static void write_vectors(struct parquet_file *x, struct jw *w)
{
	bool named = x->n_vectors > 1 || (x->n_vectors && x->vectors[0].space.n);
	if (!x->n_vectors || (!named && x->row[x->vectors[0].column].kind == PARQUET_NULL))
		return;
	jw_key(w, "vector");
	if (!named) {
		write_vector(w, &x->row[x->vectors[0].column]);
		return;
	}
	jw_obj(w);
	for (size_t i = 0; i < x->n_vectors; i++)
		if (x->row[x->vectors[i].column].kind != PARQUET_NULL) {
			jw_key_str(w, x->vectors[i].space);
			write_vector(w, &x->row[x->vectors[i].column]);
		}
	jw_end(w);
}

static enum err write_payload(struct parquet_file *x, struct jw *w, struct errtext *et)
{
	enum err e = OK;
	jw_key(w, "payload");
	jw_obj(w);
	for (size_t i = 0; i < x->n && !e; i++) {
		struct str name = x->columns[i].name;
		if (x->taken[i] || x->row[i].kind == PARQUET_NULL)
			continue;
		/* what an export calls payload.id is the payload's own */
		jw_key_str(w, str_starts(name, S("payload.")) ? str_sub(name, 8, name.n) : name);
		e = write_value(w, &x->columns[i], &x->row[i], et);
	}
	jw_end(w);
	return e;
}

enum err parquet_file_item(
	struct parquet_file *x, uint64_t number, struct buf *out, bool *end, struct errtext *et)
{
	struct jw w = {.out = out};
	enum err e = parquet_next(x->p, x->row, end, et);
	if (e || *end)
		return e ? err_wrap(et, e, "%s", x->path) : OK;
	jw_obj(&w);
	e = write_id(x, number, &w, et);
	write_vectors(x, &w);
	if (x->text != SIZE_MAX && x->row[x->text].kind == PARQUET_TEXT)
		jw_kstr(&w, "text", x->row[x->text].text);
	e = e ? e : write_payload(x, &w, et);
	jw_end(&w);
	return e ? err_wrap(et, e, "%s", x->path) : out->err ? no_memory(et) : OK;
}
