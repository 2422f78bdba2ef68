/* Qdrant: indexes of payload fields. All fields are indexed always; what was asked for is noted and
 * shown. */
#include "api/api_int.h"
#include "api/qdrant.h"
#include "collection/noted.h"

static struct str type_of(yyjson_val *schema)
{
	return yyjson_is_str(schema) ? json_val_str(schema) : json_str(schema, "type");
}

static enum err check_schema(struct qd *q, yyjson_val *schema)
{
	static const char *const types[] = {
		"keyword", "integer", "float", "geo", "text", "bool", "datetime", "uuid"};
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (str_eq_c(type_of(schema), types[i]))
			return OK;
	return err_set(&q->et, ERR_INVALID,
		"field_schema must be keyword, integer, float, geo, text, bool, datetime or uuid, "
		"or an object with such a type");
}

/* Without a schema the type is guessed in Qdrant; here it has no effect. */
void qd_index(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct qd q;
	struct buf b = {0};
	struct jw w = {.out = &b};
	int64_t seq = 0;
	enum err e = qd_begin(&q, c, rq, rs);
	yyjson_val *schema = item_json_get(q.body, "field_schema");
	struct noted_index x = {.field = json_str(q.body, "field_name")};
	if (!e && !x.field.n)
		e = err_set(&q.et, ERR_INVALID, "field_name (a text) is missing");
	if (!e && x.field.n > COLLECTION_NAME_MAX)
		e = err_set(&q.et, ERR_INVALID, "field_name has more than %d bytes",
			COLLECTION_NAME_MAX);
	e = e || !schema ? e : check_schema(&q, schema);
	schema ? jw_val(&w, schema) : jw_c(&w, "keyword");
	x.schema = buf_str(&b);
	if (!e && b.err)
		e = err_set(&q.et, ERR_NOMEM, "no memory for an index");
	e = e ? e
	      : noted_index_put(c, project_of(rq), http_param(rq, "collection"), &x, &seq, &q.et);
	qd_changed(&q, e, seq);
	buf_free(&b);
}

void qd_index_drop(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct qd q;
	int64_t seq = 0;
	enum err e = qd_begin(&q, c, rq, rs);
	e = e ? e
	      : noted_index_drop(c, project_of(rq), http_param(rq, "collection"),
			http_param(rq, "field"), &seq, &q.et);
	qd_changed(&q, e, seq);
}

/* Items that have something there. */
static enum err count_of(struct qd *q, struct collection *k, struct str field, size_t *n)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	yyjson_doc *doc = NULL;
	const struct cond *c = NULL;
	jw_obj(&w);
	jw_key(&w, "must_not");
	jw_obj(&w);
	jw_key(&w, "is_empty");
	jw_obj(&w);
	jw_kstr(&w, "key", field);
	jw_end(&w);
	jw_end(&w);
	jw_end(&w);
	*n = 0;
	enum err e = b.err ? ERR_NOMEM : json_parse(buf_str(&b), &doc, &q->et);
	e = e ? e : collection_filter(k, yyjson_doc_get_root(doc), q->rq->arena, &c, &q->et);
	if (!e)
		e = collection_count_matching(k, c, n, &q->et);
	else if (e == ERR_INVALID || e == ERR_UNSUPPORTED) /* a field that no payload can have */
		e = OK;
	yyjson_doc_free(doc);
	buf_free(&b);
	return e;
}

static enum err write_index(
	struct qd *q, struct collection *k, const struct noted_index *x, struct jw *w)
{
	size_t n;
	yyjson_doc *doc = NULL;
	enum err e = json_parse(x->schema, &doc, &q->et);
	e = e ? e : count_of(q, k, x->field, &n);
	if (!e) {
		yyjson_val *schema = yyjson_doc_get_root(doc);
		const char *name = arena_str(q->rq->arena, x->field).p;
		jw_key(w, name ? name : "");
		jw_obj(w);
		jw_kstr(w, "data_type", type_of(schema));
		if (yyjson_is_obj(schema)) {
			jw_key(w, "params");
			jw_val(w, schema);
		}
		jw_ki64(w, "points", (int64_t)n);
		jw_end(w);
	}
	yyjson_doc_free(doc);
	return e;
}

enum err qd_write_indexes(struct qd *q, struct str collection, struct jw *w)
{
	struct noted_index *list = NULL;
	struct collection *k = NULL;
	size_t n = 0;
	enum err e =
		noted_indexes(q->c, project_of(q->rq), collection, q->rq->arena, &list, &n, &q->et);
	if (!e && n)
		e = collection_open(q->c, project_of(q->rq), collection, &k, q->rq->cancel, &q->et);
	jw_key(w, "payload_schema");
	jw_obj(w);
	for (size_t i = 0; i < n && !e; i++)
		e = write_index(q, k, &list[i], w);
	jw_end(w);
	collection_close(k);
	return e;
}
