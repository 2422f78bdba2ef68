/* Routes of vector stores, and the module. */
#include "api/vstores.h"

#include "base/clock.h"

enum { LIST_DEFAULT = 20, LIST_MAX = 100, BODY_MAX = 8 << 20 };

/* ---- what the routes share ---- */

enum err vstores_failed(struct api_error *x, enum err e, const char *param)
{
	struct errtext said = x->et;
	return api_fail(x, e, NULL, param, "%s", err_text(e, &said));
}

enum err vstores_want(
	struct croft *c, struct http_request *rq, struct vstore *out, struct api_error *x)
{
	struct id id;
	struct str text = http_param(rq, "id");
	if (!vstore_id_parse(text, &id))
		return api_fail(x, ERR_NOT_FOUND, NULL, "vector_store_id",
			"there is no vector store %.*s", STR_FMT(str_sub(text, 0, 100)));
	enum err e = vstore_get(c, project_of(rq), id, rq->arena, out, &x->et);
	return e ? vstores_failed(x, e, "vector_store_id") : OK;
}

int64_t vcounts_total(const struct vcounts *n)
{
	return n->in_progress + n->completed + n->failed + n->cancelled;
}

void vcounts_write(struct jw *w, const struct vcounts *n)
{
	jw_key(w, "file_counts");
	jw_obj(w);
	jw_ki64(w, "in_progress", n->in_progress);
	jw_ki64(w, "completed", n->completed);
	jw_ki64(w, "failed", n->failed);
	jw_ki64(w, "cancelled", n->cancelled);
	jw_ki64(w, "total", vcounts_total(n));
	jw_end(w);
}

void vstores_poll_header(struct http_response *rs)
{
	http_set_header(rs, "openai-poll-after-ms", S("200"));
}

enum err vpage_parse(const struct http_request *rq, struct vpage *out, struct api_error *x)
{
	struct str limit = http_query(rq, "limit"), order = http_query(rq, "order");
	*out = (struct vpage){.limit = LIST_DEFAULT, .oldest_first = str_eq_c(order, "asc")};
	if (limit.n && (!str_i64(limit, &out->limit) || out->limit < 1 || out->limit > LIST_MAX))
		return api_fail(x, ERR_INVALID, "invalid_value", "limit",
			"limit must be from 1 to %d", LIST_MAX);
	if (order.n && !out->oldest_first && !str_eq_c(order, "desc"))
		return api_fail(
			x, ERR_INVALID, "invalid_value", "order", "order must be asc or desc");
	if (http_query(rq, "after").n && http_query(rq, "before").n)
		return api_fail(x, ERR_INVALID, "invalid_value", "before",
			"after and before both say where the page is; one can be given");
	out->backwards = http_query(rq, "before").n > 0;
	return OK;
}

/* ---- the object ---- */

static void key_time(struct jw *w, const char *key, int64_t ms)
{
	jw_key(w, key);
	if (ms)
		jw_i64(w, ms / 1000);
	else
		jw_null(w);
}

static void write_store(struct jw *w, const struct vstore *v)
{
	char id[VSTORE_ID + 1];
	vstore_id(v->id, id);
	jw_obj(w);
	jw_kc(w, "id", id);
	jw_kc(w, "object", "vector_store");
	jw_ki64(w, "created_at", v->created_ms / 1000);
	jw_kstr(w, "name", v->name);
	jw_kstr(w, "description", v->description);
	jw_ki64(w, "usage_bytes", v->bytes);
	vcounts_write(w, &v->counts);
	jw_kc(w, "status",
		v->expired              ? "expired"
		: v->counts.in_progress ? "in_progress"
					: "completed");
	jw_key(w, "expires_after");
	if (v->expires_days) {
		jw_obj(w);
		jw_kc(w, "anchor", "last_active_at");
		jw_ki64(w, "days", v->expires_days);
		jw_end(w);
	} else {
		jw_null(w);
	}
	key_time(w, "expires_at", vstore_ends_ms(v));
	key_time(w, "last_active_at", v->active_ms);
	jw_key(w, "metadata");
	jw_raw(w, v->metadata);
	jw_end(w);
}

static void reply_store(struct http_response *rs, const struct vstore *v)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	write_store(&w, v);
	vstores_poll_header(rs);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

/* ---- create, change ---- */

static void take(const struct vstore_new *n, struct vstore *v)
{
	if (n->has_name)
		v->name = n->name;
	if (n->has_description)
		v->description = n->description;
	if (n->has_metadata)
		v->metadata = n->metadata;
	if (n->has_expiry)
		v->expires_days = n->expires_days;
}

static void create(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct vstore_new n;
	struct vfile *files = NULL;
	int64_t now = clock_unix_ms();
	struct vstore v = {.id = id_new(),
		.project = project_of(rq),
		.name = S(""),
		.description = S(""),
		.metadata = S("{}"),
		.created_ms = now,
		.active_ms = now};
	enum err e = vstore_parse(rq->body, true, rq->arena, &n, &x);
	if (!e && n.n_files)
		e = vfiles_rows(c, rq, n.files, n.n_files, &files, &x);
	if (!e) {
		take(&n, &v);
		e = vstore_add(c, &v, files, n.n_files, &x.et);
		e = e ? vstores_failed(&x, e, NULL) : OK;
	}
	if (!e) { /* with its counts */
		e = vstore_get(c, v.project, v.id, rq->arena, &v, &x.et);
		e = e ? vstores_failed(&x, e, NULL) : OK;
	}
	if (e)
		api_reply_error(rs, &x);
	else
		reply_store(rs, &v);
	vstores_wake(c);
}

static void show(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct vstore v;
	if (vstores_want(c, rq, &v, &x))
		api_reply_error(rs, &x);
	else
		reply_store(rs, &v);
}

static void update(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct vstore v;
	struct vstore_new n;
	enum err e = vstores_want(c, rq, &v, &x);
	e = e ? e : vstore_parse(rq->body, false, rq->arena, &n, &x);
	if (!e && v.expired)
		e = api_fail(&x, ERR_CONFLICT, NULL, "vector_store_id",
			"the vector store has expired: make a new one of its files");
	if (!e) {
		take(&n, &v);
		v.active_ms = clock_unix_ms();
		e = vstore_update(c, &v, &x.et);
		e = e ? vstores_failed(&x, e, "vector_store_id") : OK;
	}
	if (e)
		api_reply_error(rs, &x);
	else
		reply_store(rs, &v);
}

static void remove_store(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct vstore v;
	enum err e = vstores_want(c, rq, &v, &x);
	if (!e) {
		e = vstore_remove(c, rq->who, project_of(rq), v.id, &x.et);
		e = e ? vstores_failed(&x, e, "vector_store_id") : OK;
	}
	if (e) {
		api_reply_error(rs, &x);
		return;
	}
	struct buf b = {0};
	struct jw w = {.out = &b};
	char id[VSTORE_ID + 1];
	vstore_id(v.id, id);
	jw_obj(&w);
	jw_kc(&w, "id", id);
	jw_kc(&w, "object", "vector_store.deleted");
	jw_kbool(&w, "deleted", true);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

/* ---- list ---- */

static void list(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct vpage page;
	struct vstore *v = NULL;
	size_t n = 0;
	bool more = false;
	char first[VSTORE_ID + 1], last[VSTORE_ID + 1];
	const char *key = http_query(rq, "before").n ? "before" : "after";
	struct str edge = http_query(rq, key);
	enum err e = vpage_parse(rq, &page, &x);
	if (!e && edge.n && !vstore_id_parse(edge, &page.edge))
		e = api_fail(&x, ERR_INVALID, "invalid_value", key,
			"%s must be a vector store's id", key);
	if (!e) {
		e = vstore_list(c, project_of(rq), &page, rq->arena, &v, &n, &more, &x.et);
		e = e ? vstores_failed(&x, e, NULL) : OK;
	}
	if (e) {
		api_reply_error(rs, &x);
		return;
	}
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_kc(&w, "object", "list");
	jw_key(&w, "data");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		write_store(&w, &v[i]);
	jw_end(&w);
	if (n) {
		vstore_id(v[0].id, first);
		vstore_id(v[n - 1].id, last);
	}
	jw_kc(&w, "first_id", n ? first : NULL);
	jw_kc(&w, "last_id", n ? last : NULL);
	jw_kbool(&w, "has_more", more);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

/* ---- the module ---- */

#define STORES "/v1/vector_stores"
#define PAGE "limit?: int, order?: \"asc\" | \"desc\", after?, before?"
#define LISTED(T)                                                                              \
	"{ object: \"list\", data: " T "[], first_id: string | null, last_id: string | null, " \
	"has_more: boolean }"
#define CHUNKING "chunking_strategy?: object"
#define FILE_NEW "file_id, attributes?: object, " CHUNKING

static const struct route routes[] = {
	{HTTP_POST, STORES, create, PERM_DOCUMENT_WRITE,
		"Make a vector store, perhaps of files, which are indexed in the background", NULL,
		"{ name?, description?, file_ids?: string[], " CHUNKING
		", expires_after?: object, metadata?: object }",
		"VectorStore", BODY_MAX},
	{HTTP_GET, STORES, list, PERM_DOCUMENT_READ, "List the vector stores of the project",
		"{ " PAGE " }", NULL, LISTED("VectorStore"), 0},
	{HTTP_GET, STORES "/{id}", show, PERM_DOCUMENT_READ, "Show a vector store", NULL, NULL,
		"VectorStore", 0},
	{HTTP_POST, STORES "/{id}", update, PERM_DOCUMENT_WRITE, "Change a vector store", NULL,
		"{ name?, description?, expires_after?: object | null, metadata?: object }",
		"VectorStore", 0},
	{HTTP_DELETE, STORES "/{id}", remove_store, PERM_DOCUMENT_WRITE,
		"Remove a vector store; the files stay", NULL, NULL,
		"{ id, object: \"vector_store.deleted\", deleted: boolean }", 0},
	{HTTP_POST, STORES "/{id}/search", vstores_search, PERM_DOCUMENT_READ,
		"Find passages in a vector store", NULL,
		"{ query: string | string[], max_num_results?: int, filters?: object, "
		"ranking_options?: object, rewrite_query?: boolean }",
		"{ object: \"vector_store.search_results.page\", search_query: string[], data: { "
		"file_id, filename, score: number, attributes: object, content: { type: \"text\", "
		"text }[] }[], has_more: boolean, next_page: string | null, croft: { ranker: "
		"string | null, notes: string[] } }",
		0},
	{HTTP_POST, STORES "/{id}/files", vstore_files_add, PERM_DOCUMENT_WRITE,
		"Add a file; it is indexed in the background", NULL, "{ " FILE_NEW " }",
		"VectorStoreFile", 0},
	{HTTP_GET, STORES "/{id}/files", vstore_files_list, PERM_DOCUMENT_READ,
		"List the files of a vector store", "{ filter?, " PAGE " }", NULL,
		LISTED("VectorStoreFile"), 0},
	{HTTP_GET, STORES "/{id}/files/{file}", vstore_files_show, PERM_DOCUMENT_READ,
		"Show a file of a vector store", NULL, NULL, "VectorStoreFile", 0},
	{HTTP_POST, STORES "/{id}/files/{file}", vstore_files_update, PERM_DOCUMENT_WRITE,
		"Change the attributes of a file", NULL, "{ attributes: object | null }",
		"VectorStoreFile", 0},
	{HTTP_DELETE, STORES "/{id}/files/{file}", vstore_files_remove, PERM_DOCUMENT_WRITE,
		"Take a file out of a vector store; the file itself stays", NULL, NULL,
		"{ id, object: \"vector_store.file.deleted\", deleted: boolean }", 0},
	{HTTP_GET, STORES "/{id}/files/{file}/content", vstore_files_content, PERM_DOCUMENT_READ,
		"The text that was read from a file", NULL, NULL,
		"{ object: \"vector_store.file_content.page\", data: { type: \"text\", text }[], "
		"has_more: boolean, next_page: string | null }",
		0},
	{HTTP_POST, STORES "/{id}/file_batches", vstore_batches_add, PERM_DOCUMENT_WRITE,
		"Add many files at once", NULL,
		"{ file_ids?: string[], files?: { " FILE_NEW " }[], attributes?: object, " CHUNKING
		" }",
		"VectorStoreBatch", BODY_MAX},
	{HTTP_GET, STORES "/{id}/file_batches/{batch}", vstore_batches_show, PERM_DOCUMENT_READ,
		"Show a batch of files", NULL, NULL, "VectorStoreBatch", 0},
	{HTTP_POST, STORES "/{id}/file_batches/{batch}/cancel", vstore_batches_cancel,
		PERM_DOCUMENT_WRITE, "Leave out what of a batch is not indexed yet", NULL, NULL,
		"VectorStoreBatch", 0},
	{HTTP_GET, STORES "/{id}/file_batches/{batch}/files", vstore_batches_files,
		PERM_DOCUMENT_READ, "List the files of a batch", "{ filter?, " PAGE " }", NULL,
		LISTED("VectorStoreFile"), 0},
};

#define COUNTS                                                                                  \
	"file_counts: { in_progress: int, completed: int, failed: int, cancelled: int, total: " \
	"int }"

static const struct shape shapes[] = {
	{"VectorStore", "{ id, object: \"vector_store\", created_at: int, name, description, "
			"usage_bytes: int, " COUNTS ", status: \"expired\" | \"in_progress\" | "
			"\"completed\", expires_after: object | null, expires_at: int | null, "
			"last_active_at: int | null, metadata: object }"},
	{"VectorStoreFile",
		"{ id, object: \"vector_store.file\", usage_bytes: int, created_at: int, "
		"vector_store_id, status: \"in_progress\" | \"completed\" | \"cancelled\" | "
		"\"failed\", last_error: { code, message } | null, chunking_strategy: object, "
		"attributes: object }"},
	{"VectorStoreBatch",
		"{ id, object: \"vector_store.files_batch\", created_at: int, vector_store_id, "
		"status: \"in_progress\" | \"completed\" | \"cancelled\" | \"failed\", " COUNTS
		" }"},
};

static const struct setting settings[] = {
	{"vector_stores.workers", SET_INT, "1", "Files of vector stores that are indexed at once",
		1, 16},
};

static const struct option make_options[] = {
	{"days", 0, "N", "It ends when it was not used for N days"},
};

static const struct option add_options[] = {
	{"attribute", 'a', "KEY=VALUE",
		"An attribute of the files, to filter by; may be given again"},
	{"chunk-tokens", 0, "N", "Tokens of a chunk; rag.chunk_tokens if not given"},
	{"chunk-overlap", 0, "N", "Tokens that a chunk repeats of the one before"},
	{"no-wait", 0, NULL, "Do not wait until the files are indexed"},
};

static const struct option search_options[] = {
	{"k", 'k', "N", "How many passages; 10 if not given"},
	{"filter", 'f', "JSON",
		"Over attributes: {\"type\":\"eq\",\"key\":\"year\",\"value\":2026}"},
	{"rewrite", 0, NULL,
		"A chat model (rag.query_model) rewrites the query; both are searched"},
	{"ranker", 0, "NAME", "auto, none or an installed cross-encoder: orders what is found"},
	{"threshold", 0, "SCORE", "Only passages with this score or more, 0 to 1"},
};

static const struct command commands[] = {
	{"stores", run_stores, "", NULL, 0, "List vector stores", NULL},
	{"stores make", run_stores_make, "NAME", make_options, ARRAY_LEN(make_options),
		"Make a vector store; prints its id", NULL},
	{"stores show", run_stores_show, "STORE", NULL, 0, "Show a vector store and its files",
		"STORE is an id or a name."},
	{"stores add", run_stores_add, "STORE FILE...", add_options, ARRAY_LEN(add_options),
		"Upload files and add them to a vector store",
		"They are indexed in the background. Example:\n\n"
		"  croft stores add handbook lease.pdf rules.md -a kind=law -a year=2026"},
	{"stores search", run_stores_search, "STORE QUERY", search_options,
		ARRAY_LEN(search_options), "Find passages in a vector store",
		"Example:\n\n  croft stores search handbook notice period -k 3"},
	{"stores rm", run_stores_rm, "STORE", NULL, 0, "Remove a vector store; the files stay",
		NULL},
};

const struct module vstores_module = {
	.name = "vector_stores",
	.migrations = vstores_migrations,
	.n_migrations = ARRAY_LEN(vstores_migrations),
	TABLE(routes),
	TABLE(shapes),
	TABLE(settings),
	TABLE(commands),
	.start = vstores_start,
	.stop = vstores_stop,
};
