/* What curation found, or what is left without it, as a version of a dataset: data.jsonl with an
 * item on each line, as an import reads it, and curation.json, which says how it came about. The
 * same items and parameters give the same bytes, and so the same version. */
#include "artifact/artifact.h"
#include "artifact/tree.h"
#include "collection/curate_int.h"
#include "collection/item_json.h"
#include "collection/part.h"
#include "collection/version_int.h"

enum { PAGE = 200 };

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a dataset");
}

/* ---- lines ---- */

struct lines {
	const struct curate_result *r;
	const struct curate_dataset *what;
	const struct space *spaces;
	size_t n_spaces;
	const struct cond *filter; /* of what was looked at: nothing else is written */
	int64_t collection;
	struct tx *tx;
	struct str field;
	const struct curate_case **cases; /* by the item's number */
	struct item_id last;
	size_t n_page;
	struct arena *page;
	struct buf text;
	size_t taken; /* of text */
	bool ended;
	int64_t rows, seq; /* seq: the change up to which they are read */
};

static int by_num(const void *a, const void *b)
{
	const struct curate_case *x = *(const struct curate_case *const *)a;
	const struct curate_case *y = *(const struct curate_case *const *)b;
	return x->num < y->num ? -1 : x->num > y->num;
}

static const struct curate_case *case_of(const struct lines *x, int64_t num)
{
	struct curate_case key = {.num = num};
	const struct curate_case *p = &key;
	const struct curate_case **found =
		x->r->n ? bsearch(&p, x->cases, x->r->n, sizeof *x->cases, by_num) : NULL;
	return found && curate_tags(x->r->row.kind, *found) ? *found : NULL;
}

static bool wanted(const struct lines *x, const struct curate_case *c)
{
	return x->what->items == DATASET_ALL || (x->what->items == DATASET_FOUND) == (c != NULL);
}

static enum err tagged(struct lines *x, const struct curate_case *c, struct str payload,
	struct buf *out, struct errtext *et)
{
	struct buf object = {0};
	struct jw w = {.out = &object};
	struct item_row other = {0};
	enum err e = c->other ? store_item_by_num(x->tx, x->collection, c->other,
					(struct item_want){false}, x->page, &other, et)
			      : OK;
	if (e && e != ERR_NOT_FOUND)
		return e;
	jw_obj(&w);
	jw_key_str(&w, x->field);
	curate_write_value(&w, x->r, c, other.id);
	jw_end(&w);
	struct payload_patch p = {.change = PAYLOAD_SET, .object = buf_str(&object)};
	e = object.err ? no_memory(et) : payload_apply(payload, &p, out, et);
	buf_free(&object);
	return e;
}

static enum err write_line(
	struct lines *x, const struct item_row *r, struct str payload, struct errtext *et)
{
	yyjson_val yes = {.tag = YYJSON_TYPE_BOOL | YYJSON_SUBTYPE_TRUE};
	struct collection_item it = {.payload = payload};
	struct jw w = {.out = &x->text};
	it.id = x->last;
	enum err e = x->what->vectors ? item_decode(r->vectors, x->spaces, x->n_spaces, x->page,
						&it.vectors, &it.n_vectors, et)
				      : OK;
	if (e)
		return e;
	it.n_vectors = space_shown(x->spaces, it.vectors, it.n_vectors);
	jw_obj(&w);
	item_json_write(&w, &it, &yes, x->what->vectors ? &yes : NULL);
	jw_end(&w);
	buf_putc(&x->text, '\n');
	x->rows++;
	return x->text.err ? no_memory(et) : OK;
}

static enum err see_item(void *ctx, const struct item_row *r, struct errtext *et)
{
	struct lines *x = ctx;
	struct buf patched = {.max = COLLECTION_PAYLOAD_MAX};
	bool again = x->last.n && str_eq(r->id, item_id_bytes(&x->last));
	x->n_page++;
	if (r->id.n > sizeof x->last.b)
		return err_set(et, ERR_CORRUPT, "the stored id of an item is damaged");
	x->last.n = (uint8_t)r->id.n;
	memcpy(x->last.b, r->id.p, r->id.n);
	const struct curate_case *c = case_of(x, r->num);
	if (again || !wanted(x, c))
		return OK;
	struct str payload = r->payload.n ? r->payload : S("{}");
	bool part = true;
	/* what was found belongs to the part, whatever became of it since */
	enum err e = c ? OK : part_has(x->filter, r->num, payload, &part, et);
	if (e || !part)
		return e;
	e = c && x->r->row.kind != CURATE_KINDS ? tagged(x, c, payload, &patched, et) : OK;
	e = e ? e : write_line(x, r, patched.n ? buf_str(&patched) : payload, et);
	buf_free(&patched);
	return e;
}

/* The next page; the last item of a page is the first of the next. */
static enum err next_page(struct lines *x, struct errtext *et)
{
	struct item_id from = x->last;
	buf_clear(&x->text);
	x->taken = x->n_page = 0;
	arena_free(x->page);
	x->page = arena_new(0);
	if (!x->page)
		return no_memory(et);
	if (cancelled(x->what->cancel))
		return ERR_CANCELLED;
	enum err e = store_items_from(x->tx, x->collection, item_id_bytes(&from), PAGE,
		(struct item_want){true, x->what->vectors}, see_item, x, et);
	x->ended = x->n_page < PAGE;
	return e;
}

static enum err read_lines(void *ctx, void *to, size_t max, size_t *n, struct errtext *et)
{
	struct lines *x = ctx;
	enum err e = OK;
	while (!e && x->taken == x->text.n && !x->ended)
		e = next_page(x, et);
	*n = MIN(max, x->text.n - x->taken);
	if (!e && *n)
		memcpy(to, x->text.p + x->taken, *n);
	x->taken += *n;
	return e;
}

/* ---- what it is made of ---- */

static const char *const item_words[] = {"rest", "found", "all"};

static void write_about(struct jw *w, const struct collection_row *k, const struct lines *x)
{
	jw_obj(w);
	jw_kstr(w, "collection", k->name);
	jw_ki64(w, "seq", k->seq);
	jw_kc(w, "kind",
		x->r->row.kind == CURATE_KINDS ? "selection" : curate_word(x->r->row.kind));
	jw_ki64(w, "found_at", x->r->row.seq);
	jw_kc(w, "items", item_words[x->what->items]);
	jw_ki64(w, "rows", x->rows);
	if (x->what->items != DATASET_REST && x->r->row.kind != CURATE_KINDS)
		jw_kstr(w, "field", x->field);
	jw_key(w, "parameters");
	jw_val(w, yyjson_obj_get(x->r->about, "parameters"));
	jw_key(w, "summary");
	jw_val(w, yyjson_obj_get(x->r->about, "summary"));
	jw_end(w);
}

static enum err write_files(
	struct lines *x, struct tree_writer *t, struct buf *about, struct errtext *et)
{
	struct collection_row k;
	struct jw w = {.out = about};
	enum err e = store_collection_by_number(x->tx, x->collection, x->page, &k, et);
	if (e)
		return e;
	x->seq = k.seq;
	struct collection_row kept = k;
	struct buf name = {0};
	buf_adds(&name, k.name); /* the pages' arena goes */
	e = tree_writer_file(t, S("data.jsonl"), false, read_lines, x, et);
	kept.name = buf_str(&name);
	write_about(&w, &kept, x);
	e = e ? e : about->err || name.err ? (e ? e : no_memory(et)) : OK;
	e = e ? e : tree_writer_bytes(t, S("curation.json"), buf_str(about), et);
	buf_free(&name);
	return e;
}

static enum err write_tree(struct croft *c, const struct principal *who, struct lines *x,
	struct buf *about, struct tree_sum *sum, struct errtext *et)
{
	struct tree_writer *t;
	enum err e = tree_writer_open(croft_blobs(c), &t, et);
	if (e)
		return e;
	e = db_begin(croft_db(c), TX_READ, &x->tx, et);
	if (!e) {
		e = write_files(x, t, about, et);
		db_rollback(x->tx);
	}
	if (e) {
		tree_writer_drop(t);
		return e;
	}
	e = tree_writer_finish(t, sum, et);
	return e ? e : tree_grant(c, who, sum->digest, et);
}

/* ---- the version ---- */

struct adding {
	const struct principal *who;
	const struct curate_dataset *what;
	const struct tree_sum *sum;
	struct str name; /* of the collection */
	int64_t collection, seq;
	struct str about, source;
	struct arena *a;
	struct curate_made made;
};

/* The collection's version, when that is what was read; else the collection by its name, whose
 * change stands in the detail. */
static enum err find_source(struct tx *tx, struct adding *x, struct errtext *et)
{
	struct head_row head;
	bool found = false;
	enum err e = store_head(tx, x->collection, x->a, &head, &found, et);
	if (e)
		return e;
	x->source = found && head.version && head.seq == x->seq
			    ? node_version(x->a, head.artifact, head.version)
			    : arena_fmt(x->a, "urn:croft:collection:%.*s", STR_FMT(x->name));
	return x->source.p ? OK : no_memory(et);
}

static enum err add_version(struct tx *tx, struct adding *x, struct errtext *et)
{
	struct artifact of;
	struct version_new v = {.kind = S("dataset"),
		.name = x->what->name,
		.digest = str_c(x->sum->digest),
		.description = x->what->description,
		.metadata = x->about,
		.bytes = (int64_t)x->sum->bytes,
		.reuse = true};
	enum err e = artifact_put_version(tx, x->who, &v, &x->made.version, et);
	e = e ? e : find_source(tx, x, et);
	e = e ? e : artifact_find(tx, x->who->project, v.kind, v.name, x->a, &of, et);
	if (e)
		return e;
	struct edge edge = {.node = node_version(x->a, of.id, x->made.version),
		.kind = EDGE_DERIVED,
		.source = x->source,
		.detail = x->about};
	e = edge.node.p ? lineage_add(tx, x->who, &edge, et) : no_memory(et);
	return e || !x->what->also ? e : x->what->also(x->what->ctx, tx, &x->made, et);
}

static enum err put_version(struct croft *c, struct adding *x, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_WRITE, &tx, et);
	return e ? e : db_finish(tx, add_version(tx, x, et), et);
}

static enum err read_filter(struct croft *c, struct lines *x, struct arena *a, struct errtext *et)
{
	struct str json;
	enum err e = part_of_body(yyjson_obj_get(x->r->about, "parameters"), a, &json, et);
	return e ? e : part_read(c, x->collection, json, a, &x->filter, et);
}

enum err curate_dataset_make(struct croft *c, const struct principal *who,
	const struct collection_row *k, const struct curate_result *r,
	const struct curate_dataset *what, struct curate_made *out, struct arena *a,
	struct errtext *et)
{
	struct lines x = {.r = r,
		.what = what,
		.collection = k->number,
		.page = arena_new(0),
		.field = what->field.n ? what->field : str_c(curate_default_field(r->row.kind)),
		.cases = arena_array_of(a, r->n + 1, const struct curate_case *)};
	struct space *spaces = NULL;
	struct buf about = {0};
	struct tree_sum sum;
	if (r->row.kind == CURATE_BALANCE)
		return err_set(et, ERR_INVALID, "balance names classes and no items");
	enum err e = x.cases && x.page ? OK : no_memory(et);
	e = e ? e : config_read(k->config, a, &spaces, &x.n_spaces, et);
	x.spaces = spaces;
	e = e ? e : read_filter(c, &x, a, et);
	for (size_t i = 0; i < r->n && !e; i++)
		x.cases[i] = &r->cases[i];
	if (!e && r->n)
		qsort(x.cases, r->n, sizeof *x.cases, by_num);
	e = e ? e : write_tree(c, who, &x, &about, &sum, et);
	if (!e) {
		struct adding v = {.who = who,
			.what = what,
			.sum = &sum,
			.about = buf_str(&about),
			.name = k->name,
			.collection = k->number,
			.seq = x.seq,
			.a = a,
			.made.rows = x.rows};
		snprintf(v.made.digest, sizeof v.made.digest, "%s", sum.digest);
		e = put_version(c, &v, et);
		if (!e)
			*out = v.made;
	}
	arena_free(x.page);
	buf_free(&x.text);
	buf_free(&about);
	return e;
}
