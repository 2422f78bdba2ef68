/* A collection as one file: written from a version, read and checked. */
#include "collection/bundle.h"
#include "artifact/registry.h"
#include "base/hash.h"
#include "collection/asof.h"
#include "collection/item_json.h"

enum { PAGE = 200, LISTED_MAX = 1000, LINE_MAX_BYTES = 64 << 20 };

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a snapshot of a collection");
}

/* ---- which there are ---- */

static struct bundle bundle_of(struct str collection, const struct artifact_version *v)
{
	return (struct bundle){collection, v->version, v->bytes, v->created_ms};
}

enum err bundle_make(struct croft *c, const struct http_request *rq, struct str collection,
	struct arena *a, struct bundle *out, struct errtext *et)
{
	struct vcommitted made;
	enum err e = version_commit(c,
		&(struct vcommit){.project = project_of(rq),
			.name = collection,
			.message = S("Snapshot"),
			.tag = S(""),
			.who = rq->who,
			.cancel = rq->cancel},
		a, &made, et);
	if (!e)
		*out = bundle_of(collection, &made.v);
	return e;
}

static enum err list_in(struct tx *tx, const struct http_request *rq, struct str collection,
	struct arena *a, struct bundle **out, size_t *n, struct errtext *et)
{
	struct artifact of;
	struct artifact_version *list = NULL;
	size_t all = 0, kept = 0;
	struct errtext none;
	enum err e = artifact_find(tx, project_of(rq), S(VERSION_KIND),
		version_artifact(collection, a), a, &of, &none);
	if (!e)
		e = version_list(tx, &of, 0, LISTED_MAX, false, a, &list, &all, et);
	else if (e == ERR_NOT_FOUND)
		e = OK;
	else
		*et = none;
	struct bundle *made = arena_array_of(a, all + 1, struct bundle);
	if (!e && !made)
		e = no_memory(et);
	for (size_t i = 0; i < all && !e; i++)
		if (!artifact_readable(tx, rq, of.id, of.kind, of.name, list[i].version, NULL))
			made[kept++] = bundle_of(collection, &list[i]);
	*out = made;
	*n = kept;
	return e;
}

enum err bundle_list(struct croft *c, const struct http_request *rq, struct str collection,
	struct arena *a, struct bundle **out, size_t *n, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = list_in(tx, rq, collection, a, out, n, et);
	db_rollback(tx);
	return e;
}

static enum err find_version(struct croft *c, const struct http_request *rq, struct str collection,
	int64_t version, struct arena *a, struct artifact_version *out, struct errtext *et)
{
	struct str ref = arena_fmt(a, "%lld", (long long)version);
	return ref.p ? version_named(c, project_of(rq), collection, ref, a, out, et)
		     : no_memory(et);
}

struct deleting {
	const struct http_request *rq;
	const struct artifact_version *v;
	struct arena *a;
};

static enum err delete_in(struct tx *tx, void *ctx, struct errtext *et)
{
	struct deleting *d = ctx;
	struct artifact of;
	enum err e = artifact_get(tx, project_of(d->rq), d->v->artifact, d->a, &of, et);
	return e ? e : version_delete(tx, d->rq->who, &of, d->v->version, S(""), et);
}

enum err bundle_delete(struct croft *c, const struct http_request *rq, struct str collection,
	int64_t version, struct arena *a, struct errtext *et)
{
	struct artifact_version v;
	struct deleting d = {rq, &v, a};
	enum err e = find_version(c, rq, collection, version, a, &v, et);
	e = e ? e : db_write(croft_db(c), delete_in, &d, et);
	if (!e)
		asof_forget(c, v.digest.p);
	return e;
}

/* ---- writing ---- */

struct writing {
	struct sha256 sum;
	bundle_write_fn fn;
	void *ctx;
	struct buf b;
};

static enum err put_line(struct writing *x, struct jw *w, struct errtext *et)
{
	buf_putc(&x->b, '\n');
	if (x->b.err || !jw_done(w))
		return no_memory(et);
	if (x->sum.ctx)
		sha256_add(&x->sum, x->b.p, x->b.n);
	enum err e = x->fn(x->ctx, buf_str(&x->b), et);
	buf_clear(&x->b);
	*w = (struct jw){.out = &x->b};
	return e;
}

static enum err write_head(struct writing *x, const struct version *v, struct errtext *et)
{
	struct jw w = {.out = &x->b};
	struct space named[COLLECTION_SPACES_MAX];
	size_t n = 0;
	for (size_t i = 0; i < v->n_spaces; i++)
		if (v->spaces[i].role == SPACE_NAMED)
			named[n++] = v->spaces[i];
	jw_obj(&w);
	jw_ki64(&w, "croft_collection", 1);
	jw_key(&w, "vectors");
	jw_obj(&w);
	for (size_t i = 0; i < n; i++)
		if (named[i].kind != SPACE_SPARSE) {
			jw_key_str(&w, named[i].name);
			item_json_write_space(&w, &named[i]);
		}
	jw_end(&w);
	item_json_write_sparse(&w, named, n);
	jw_key(&w, "identities");
	jw_obj(&w);
	for (size_t i = 0; i < n; i++)
		if (named[i].identity.n) {
			jw_key_str(&w, named[i].name);
			jw_str(&w, named[i].identity);
		}
	jw_end(&w);
	jw_ki64(&w, "items", (int64_t)v->n);
	jw_end(&w);
	return put_line(x, &w, et);
}

static enum err write_items(
	struct writing *x, const struct version *v, const struct cancel *cancel, struct errtext *et)
{
	static const struct item_want whole = {true, true};
	yyjson_val yes = {.tag = YYJSON_TYPE_BOOL | YYJSON_SUBTYPE_TRUE};
	struct item_id from;
	bool more = v->n > 0, begun = false;
	enum err e = OK;
	while (more && !e) {
		struct collection_item *items = NULL;
		size_t n = 0;
		struct arena *a = arena_new(0);
		e = a ? version_scroll(v, NULL, begun ? &from : NULL, PAGE + 1, whole, a, &items,
				&n, cancel, et)
		      : no_memory(et);
		more = n > PAGE;
		if (more && !e)
			from = items[PAGE].id;
		begun = true;
		for (size_t i = 0; i < MIN(n, (size_t)PAGE) && !e; i++) {
			struct jw w = {.out = &x->b};
			jw_obj(&w);
			item_json_write(&w, &items[i], &yes, &yes);
			jw_end(&w);
			e = put_line(x, &w, et);
		}
		arena_free(a);
	}
	return e;
}

static enum err write_sum(struct writing *x, struct errtext *et)
{
	uint8_t sum[SHA256_BYTES];
	char hex[SHA256_HEX + 1];
	struct jw w = {.out = &x->b};
	sha256_end(&x->sum, sum);
	x->sum.ctx = NULL;
	hex_encode(sum, sizeof sum, hex);
	jw_obj(&w);
	jw_kc(&w, "sha256", hex);
	jw_end(&w);
	return put_line(x, &w, et);
}

enum err bundle_write(struct croft *c, const struct http_request *rq, struct str collection,
	int64_t version, bundle_write_fn fn, void *ctx, struct errtext *et)
{
	struct writing x = {.fn = fn, .ctx = ctx};
	struct artifact_version about;
	struct version *v = NULL;
	struct arena *a = arena_new(0);
	enum err e = a ? find_version(c, rq, collection, version, a, &about, et) : no_memory(et);
	e = e ? e : version_load(c, about.digest.p, &v, rq->cancel, et);
	e = e ? e : sha256_init(&x.sum) ? no_memory(et) : OK;
	bool summing = !e;
	e = e ? e : write_head(&x, v, et);
	e = e ? e : write_items(&x, v, rq->cancel, et);
	e = e ? e : write_sum(&x, et);
	if (e && summing && x.sum.ctx)
		sha256_drop(&x.sum);
	version_put(c, v);
	buf_free(&x.b);
	arena_free(a);
	return e;
}

/* ---- reading ---- */

static enum err bad_line(const struct bundle_reader *r, const char *what, struct errtext *et)
{
	return err_set(et, ERR_INVALID, "line %zu of the snapshot %s", r->line, what);
}

/* The next line, which ends with a newline. */
static enum err next_line(
	struct bundle_reader *r, struct arena *a, yyjson_val **out, struct errtext *et)
{
	size_t end = str_chr(r->rest, '\n');
	yyjson_doc *doc;
	r->line++;
	if (end == STR_NONE || end > LINE_MAX_BYTES)
		return bad_line(r, "is not there, is not ended, or is too long", et);
	struct str line = str_sub(r->rest, 0, end);
	r->rest = str_sub(r->rest, end + 1, r->rest.n);
	enum err e = json_parse(line, &doc, et);
	if (e)
		return err_wrap(et, e, "line %zu of the snapshot", r->line);
	if (!arena_on_free(a, (void (*)(void *))yyjson_doc_free, doc)) {
		yyjson_doc_free(doc);
		return no_memory(et);
	}
	*out = yyjson_doc_get_root(doc);
	return yyjson_is_obj(*out) ? OK : bad_line(r, "is no JSON object", et);
}

/* The last line, whose sum is of what is before it. */
static enum err check_sum(struct str *file, struct arena *a, struct errtext *et)
{
	uint8_t sum[SHA256_BYTES];
	char hex[SHA256_HEX + 1];
	yyjson_val *last = NULL;
	size_t at = file->n;
	while (at > 1 && file->p[at - 2] != '\n')
		at--;
	at -= at > 0;
	struct bundle_reader tail = {.rest = str_sub(*file, at, file->n)};
	struct errtext none;
	struct str body = str_sub(*file, 0, at);
	if (!at || next_line(&tail, a, &last, &none) || !json_str(last, "sha256").n)
		return err_set(et, ERR_INVALID,
			"this is no snapshot of a collection, or it is not whole: its last line is "
			"{\"sha256\": ...}");
	sha256_of(body, sum);
	hex_encode(sum, sizeof sum, hex);
	if (!str_eq_c(json_str(last, "sha256"), hex))
		return err_set(et, ERR_INVALID,
			"the snapshot is damaged: its content is not what its last line says");
	*file = body;
	return OK;
}

/* What made vectors is the same model here, or they would mean something else. */
static void read_identities(struct bundle_reader *r, yyjson_val *o)
{
	for (size_t i = 0; i < r->n_spaces; i++) {
		struct space *s = &r->spaces[i];
		s->identity = json_val_str(yyjson_obj_getn(o, s->name.p, s->name.n));
	}
}

enum err bundle_open(
	struct str file, struct arena *a, struct bundle_reader *out, struct errtext *et)
{
	yyjson_val *head = NULL;
	enum err e = check_sum(&file, a, et);
	*out = (struct bundle_reader){.rest = file};
	e = e ? e : next_line(out, a, &head, et);
	if (!e && json_i64(head, "croft_collection", 0) != 1)
		e = bad_line(out, "must say croft_collection: 1", et);
	yyjson_val *vectors = e ? NULL : item_json_get(head, "vectors");
	if (vectors && !yyjson_obj_size(vectors))
		vectors = NULL;
	e = e ? e
	      : item_json_spaces(vectors, item_json_get(head, "sparse_vectors"), a, &out->spaces,
			&out->n_spaces, et);
	out->items = e ? 0 : json_i64(head, "items", -1);
	if (!e && out->items < 0)
		e = bad_line(out, "does not say how many items there are", et);
	if (!e)
		read_identities(out, item_json_get(head, "identities"));
	return e;
}

enum err bundle_next(struct bundle_reader *r, size_t max, struct arena *a,
	struct collection_item **out, size_t *n, struct errtext *et)
{
	struct collection_item *items = arena_array_of(a, max + 1, struct collection_item);
	enum err e = items ? OK : no_memory(et);
	size_t got = 0;
	for (; !e && got < max && r->rest.n; got++) {
		yyjson_val *o = NULL;
		e = next_line(r, a, &o, et);
		e = e ? e
		      : item_json_item(yyjson_obj_get(o, "id"), item_json_get(o, "vector"),
				item_json_get(o, "payload"), a, &items[got], et);
		if (e)
			e = err_wrap(et, e, "line %zu of the snapshot", r->line);
	}
	r->read += (int64_t)got;
	if (!e && r->read > r->items)
		e = bad_line(r, "is one more item than the first line says", et);
	if (!e && !got && r->read != r->items)
		e = err_set(et, ERR_INVALID,
			"the snapshot has %lld items, its first line says %lld", (long long)r->read,
			(long long)r->items);
	*out = items;
	*n = got;
	return e;
}
