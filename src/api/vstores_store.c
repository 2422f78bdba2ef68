/* Rows of vector stores, their files, and batches of files. */
#include "access/access.h"
#include "api/vstores.h"
#include "base/clock.h"

#define DAY_MS (24 * 3600 * 1000ll)

enum { USED_EACH_MS = 60 * 1000, SWEEP_MAX = 100 };

const struct migration vstores_migrations[1] = {
	{1, "vector stores",
		"CREATE TABLE api_vstore ("
		"  id BLOB PRIMARY KEY,"
		"  project TEXT NOT NULL,"
		"  name TEXT NOT NULL,"
		"  description TEXT NOT NULL,"
		"  metadata TEXT NOT NULL,"
		"  created_ms BIGINT NOT NULL,"
		"  active_ms BIGINT NOT NULL,"
		"  expires_days BIGINT NOT NULL," /* 0: never */
		"  expired BIGINT NOT NULL);"
		"CREATE INDEX api_vstore_project ON api_vstore (project, id);"
		"CREATE TABLE api_vstore_file ("
		"  store BLOB NOT NULL,"
		"  file BLOB NOT NULL,"
		"  turn BLOB NOT NULL,"
		"  batch BLOB NOT NULL,"
		"  project TEXT NOT NULL,"
		"  name TEXT NOT NULL,"
		"  attributes TEXT NOT NULL,"
		"  status TEXT NOT NULL,"
		"  code TEXT NOT NULL,"
		"  error TEXT NOT NULL,"
		"  chunk_tokens BIGINT NOT NULL,"
		"  chunk_overlap BIGINT NOT NULL,"
		"  bytes BIGINT NOT NULL,"
		"  created_ms BIGINT NOT NULL,"
		"  PRIMARY KEY (store, file));"
		"CREATE INDEX api_vstore_file_turn ON api_vstore_file (store, turn);"
		"CREATE INDEX api_vstore_file_file ON api_vstore_file (file);"
		"CREATE TABLE api_vstore_batch ("
		"  id BLOB PRIMARY KEY,"
		"  store BLOB NOT NULL,"
		"  project TEXT NOT NULL,"
		"  created_ms BIGINT NOT NULL,"
		"  cancelled_ms BIGINT NOT NULL);"
		"CREATE INDEX api_vstore_batch_store ON api_vstore_batch (store);"},
};

/* ---- ids ---- */

static void write_id(const char *prefix, struct id id, char *out)
{
	size_t n = strlen(prefix);
	memcpy(out, prefix, n);
	id_hex(id, out + n);
}

static bool parse_id(struct str prefix, struct str text, struct id *out)
{
	return text.n == prefix.n + ID_HEX && str_starts(text, prefix) &&
	       id_parse(str_sub(text, prefix.n, text.n), out);
}

void vstore_id(struct id id, char out[VSTORE_ID + 1])
{
	write_id("vs_", id, out);
}

bool vstore_id_parse(struct str text, struct id *out)
{
	return parse_id(S("vs_"), text, out);
}

void vbatch_id(struct id id, char out[VBATCH_ID + 1])
{
	write_id("vsfb_", id, out);
}

bool vbatch_id_parse(struct str text, struct id *out)
{
	return parse_id(S("vsfb_"), text, out);
}

struct str vfile_path(struct id file, struct str name, struct arena *a)
{
	char id[FILE_ID + 1];
	file_id(file, id);
	return arena_fmt(a, "%s/%.*s", id, STR_FMT(name));
}

int64_t vstore_ends_ms(const struct vstore *v)
{
	return v->expires_days ? v->active_ms + v->expires_days * DAY_MS : 0;
}

static enum err no_store(struct id id, struct errtext *et)
{
	char text[VSTORE_ID + 1];
	vstore_id(id, text);
	return err_set(et, ERR_NOT_FOUND, "there is no vector store %s in this project", text);
}

static enum err no_file(struct id store, struct id file, struct errtext *et)
{
	char s[VSTORE_ID + 1], f[FILE_ID + 1];
	vstore_id(store, s);
	file_id(file, f);
	return err_set(et, ERR_NOT_FOUND, "there is no file %s in the vector store %s", f, s);
}

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for vector stores");
}

/* ---- reading stores ---- */

#define STORE_COLUMNS \
	"id, project, name, description, metadata, created_ms, active_ms, expires_days, expired"

static enum err read_store(struct row *r, struct arena *a, struct vstore *v, struct errtext *et)
{
	*v = (struct vstore){.id = row_id(r, 0),
		.project = arena_str(a, row_text(r, 1)),
		.name = arena_str(a, row_text(r, 2)),
		.description = arena_str(a, row_text(r, 3)),
		.metadata = arena_str(a, row_text(r, 4)),
		.created_ms = row_i64(r, 5),
		.active_ms = row_i64(r, 6),
		.expires_days = row_i64(r, 7),
		.expired = row_i64(r, 8) != 0};
	if (!v->project.p || !v->name.p || !v->description.p || !v->metadata.p)
		return no_memory(et);
	v->expired |= v->expires_days && vstore_ends_ms(v) <= clock_unix_ms();
	return OK;
}

static void add_count(struct vcounts *n, struct str status, int64_t k)
{
	int64_t *to = str_eq_c(status, "in_progress") ? &n->in_progress
		      : str_eq_c(status, "completed") ? &n->completed
		      : str_eq_c(status, "failed")    ? &n->failed
						      : &n->cancelled;
	*to += k;
}

/* Of a store, or with a batch of that. */
static enum err count(struct tx *tx, struct id store, const struct id *batch, struct vcounts *n,
	int64_t *bytes, struct errtext *et)
{
	struct row *r;
	const struct id any = {0}, *b = batch ? batch : &any;
	enum err e = db_query(tx, &r, et,
		"SELECT status, count(*), coalesce(sum(bytes), 0) FROM api_vstore_file WHERE store "
		"= ? AND (batch = ? OR ? = 1) GROUP BY status",
		P_ID(store), P_ID(*b), P_I64(!batch));
	if (e)
		return e;
	*n = (struct vcounts){0};
	*bytes = 0;
	while (row_next(r, &e, et)) {
		add_count(n, row_text(r, 0), row_i64(r, 1));
		*bytes += row_i64(r, 2);
	}
	row_free(r);
	return e;
}

static enum err get_in(struct tx *tx, struct str project, struct id id, struct arena *a,
	struct vstore *out, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT " STORE_COLUMNS " FROM api_vstore WHERE id = ? AND project = ?", P_ID(id),
		P_TEXT(project));
	if (e)
		return e;
	if (row_next(r, &e, et))
		e = read_store(r, a, out, et);
	else if (!e)
		e = no_store(id, et);
	row_free(r);
	return e ? e : count(tx, id, NULL, &out->counts, &out->bytes, et);
}

enum err vstore_get(struct croft *c, struct str project, struct id id, struct arena *a,
	struct vstore *out, struct errtext *et)
{
	struct tx *tx;
	struct vstore v;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = get_in(tx, project, id, a, &v, et);
	db_rollback(tx);
	if (!e)
		*out = v;
	return e;
}

/* ---- pages ---- */

static bool ascending(const struct vpage *p)
{
	return p->oldest_first != p->backwards;
}

static struct id edge_of(const struct vpage *p)
{
	struct id edge = p->edge;
	if (id_is_zero(edge) && !ascending(p))
		memset(&edge, 255, sizeof edge);
	return edge;
}

/* One more row than the limit was read, to know whether there are more. */
static void end_page(void *rows, size_t size, size_t *n, const struct vpage *p, bool *more)
{
	char *v = rows, swap[sizeof(struct vstore) + sizeof(struct vfile)];
	*more = *n > (size_t)p->limit;
	*n = MIN(*n, (size_t)p->limit);
	for (size_t i = 0; p->backwards && i < *n / 2; i++) {
		char *x = v + i * size, *y = v + (*n - 1 - i) * size;
		memcpy(swap, x, size);
		memcpy(x, y, size);
		memcpy(y, swap, size);
	}
}

static enum err list_in(struct tx *tx, struct str project, const struct vpage *p, struct arena *a,
	struct vstore *v, size_t *n, struct errtext *et)
{
	struct row *r;
	struct id edge = edge_of(p);
	enum err e = db_query(tx, &r, et,
		ascending(p) ? "SELECT " STORE_COLUMNS " FROM api_vstore WHERE project = ? AND id "
			       "> ? ORDER BY id LIMIT ?"
			     : "SELECT " STORE_COLUMNS " FROM api_vstore WHERE project = ? AND id "
			       "< ? ORDER BY id DESC LIMIT ?",
		P_TEXT(project), P_ID(edge), P_I64(p->limit + 1));
	if (e)
		return e;
	*n = 0;
	while (!e && *n <= (size_t)p->limit && row_next(r, &e, et))
		e = read_store(r, a, &v[(*n)++], et);
	row_free(r);
	for (size_t i = 0; i < *n && !e; i++)
		e = count(tx, v[i].id, NULL, &v[i].counts, &v[i].bytes, et);
	return e;
}

enum err vstore_list(struct croft *c, struct str project, const struct vpage *page, struct arena *a,
	struct vstore **out, size_t *n, bool *more, struct errtext *et)
{
	struct tx *tx;
	size_t k = 0;
	struct vstore *v = arena_array_of(a, (size_t)page->limit + 1, struct vstore);
	if (!v)
		return no_memory(et);
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = list_in(tx, project, page, a, v, &k, et);
	db_rollback(tx);
	if (e)
		return e;
	end_page(v, sizeof *v, &k, page, more);
	*out = v;
	*n = k;
	return OK;
}

/* ---- changing stores ---- */

/* What a worker does for a file, or for the whole store (file zero): the row says. */
static enum err add_job(struct tx *tx, struct str project, struct id store, struct id file,
	struct str name, int64_t delay_ms, struct errtext *et)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	char hex[ID_HEX + 1];
	jw_obj(&w);
	jw_kc(&w, "store", (id_hex(store, hex), hex));
	jw_kc(&w, "file", (id_hex(file, hex), hex));
	jw_kstr(&w, "project", project);
	jw_kstr(&w, "name", name);
	jw_end(&w);
	/* each crash of a server is an attempt; the worker knows when it is enough */
	enum err e = jw_done(&w) ? queue_add(tx, VSTORE_QUEUE, buf_str(&b),
					   &(struct queue_options){
						   .delay_ms = delay_ms, .attempts_max = 1000000},
					   NULL, et)
				 : no_memory(et);
	buf_free(&b);
	return e;
}

static enum err put_file(struct tx *tx, struct str project, struct id store, struct id batch,
	const struct vfile *f, struct errtext *et)
{
	enum err e = db_exec(tx, et,
		"INSERT INTO api_vstore_file (store, file, turn, batch, project, name, attributes, "
		"status, code, error, chunk_tokens, chunk_overlap, bytes, created_ms) VALUES (?, "
		"?, ?, ?, ?, ?, ?, 'in_progress', '', '', ?, ?, 0, ?) ON CONFLICT (store, file) DO "
		"UPDATE SET turn = excluded.turn, batch = excluded.batch, attributes = "
		"excluded.attributes, status = 'in_progress', code = '', error = '', chunk_tokens "
		"= excluded.chunk_tokens, chunk_overlap = excluded.chunk_overlap, bytes = 0, "
		"created_ms = excluded.created_ms",
		P_ID(store), P_ID(f->file), P_ID(f->turn), P_ID(batch), P_TEXT(project),
		P_TEXT(f->name), P_TEXT(f->attributes), P_I64(f->chunk_tokens),
		P_I64(f->chunk_overlap), P_I64(f->created_ms));
	return e ? e : add_job(tx, project, store, f->file, f->name, 0, et);
}

static enum err put_files(struct tx *tx, struct str project, struct id store, struct id batch,
	const struct vfile *files, size_t n, struct errtext *et)
{
	enum err e = OK;
	for (size_t i = 0; i < n && !e; i++)
		e = put_file(tx, project, store, batch, &files[i], et);
	return e;
}

enum err vstore_add(struct croft *c, const struct vstore *v, const struct vfile *files, size_t n,
	struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_WRITE, &tx, et);
	if (e)
		return e;
	e = db_exec(tx, et,
		"INSERT INTO api_vstore (" STORE_COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)",
		P_ID(v->id), P_TEXT(v->project), P_TEXT(v->name), P_TEXT(v->description),
		P_TEXT(v->metadata), P_I64(v->created_ms), P_I64(v->active_ms),
		P_I64(v->expires_days));
	e = e ? e : put_files(tx, v->project, v->id, (struct id){0}, files, n, et);
	return db_finish(tx, e, et);
}

enum err vstore_update(struct croft *c, const struct vstore *v, struct errtext *et)
{
	int64_t n = 0;
	enum err e = db_change(croft_db(c), &n, et,
		"UPDATE api_vstore SET name = ?, description = ?, metadata = ?, expires_days = ?, "
		"active_ms = ? WHERE id = ? AND project = ?",
		P_TEXT(v->name), P_TEXT(v->description), P_TEXT(v->metadata),
		P_I64(v->expires_days), P_I64(v->active_ms), P_ID(v->id), P_TEXT(v->project));
	return e || n ? e : no_store(v->id, et);
}

/* Exact to a minute, so that searches do not write each. */
enum err vstore_used(struct croft *c, const struct vstore *v, struct errtext *et)
{
	int64_t now = clock_unix_ms();
	if (now - v->active_ms < USED_EACH_MS)
		return OK;
	return db_change(croft_db(c), NULL, et,
		"UPDATE api_vstore SET active_ms = ? WHERE id = ? AND expired = 0", P_I64(now),
		P_ID(v->id));
}

static enum err drop_documents(
	struct croft *c, struct str project, struct id store, struct errtext *et)
{
	char id[VSTORE_ID + 1];
	vstore_id(store, id);
	return rag_remove(c, project, VSTORE_OWNER, str_c(id), S(""), et);
}

static enum err remove_in(struct tx *tx, const struct principal *who, struct str project,
	struct id id, struct errtext *et)
{
	char text[VSTORE_ID + 1];
	vstore_id(id, text);
	enum err e = db_exec(tx, et, "DELETE FROM api_vstore WHERE id = ? AND project = ?",
		P_ID(id), P_TEXT(project));
	if (!e && !db_changes(tx))
		e = no_store(id, et);
	if (!e)
		e = db_exec(tx, et, "DELETE FROM api_vstore_file WHERE store = ?", P_ID(id));
	if (!e)
		e = db_exec(tx, et, "DELETE FROM api_vstore_batch WHERE store = ?", P_ID(id));
	if (!e)
		e = add_job(tx, project, id, (struct id){0}, S(""), 0, et);
	return e ? e : audit_add(tx, who, "vector_store.delete", str_c(text), S("{}"), et);
}

enum err vstore_remove(struct croft *c, const struct principal *who, struct str project,
	struct id id, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_WRITE, &tx, et);
	if (e)
		return e;
	e = db_finish(tx, remove_in(tx, who, project, id, et), et);
	return e ? e : drop_documents(c, project, id, et);
}

/* ---- files ---- */

#define FILE_COLUMNS                                                                 \
	"store, file, turn, batch, project, name, attributes, status, code, error, " \
	"chunk_tokens, chunk_overlap, bytes, created_ms"

static enum err read_file(struct row *r, struct arena *a, struct vfile *f, struct errtext *et)
{
	*f = (struct vfile){.store = row_id(r, 0),
		.file = row_id(r, 1),
		.turn = row_id(r, 2),
		.batch = row_id(r, 3),
		.project = arena_str(a, row_text(r, 4)),
		.name = arena_str(a, row_text(r, 5)),
		.attributes = arena_str(a, row_text(r, 6)),
		.status = arena_str(a, row_text(r, 7)),
		.code = arena_str(a, row_text(r, 8)),
		.error = arena_str(a, row_text(r, 9)),
		.chunk_tokens = row_i64(r, 10),
		.chunk_overlap = row_i64(r, 11),
		.bytes = row_i64(r, 12),
		.created_ms = row_i64(r, 13)};
	return f->project.p && f->name.p && f->attributes.p && f->status.p && f->code.p &&
			       f->error.p
		       ? OK
		       : no_memory(et);
}

static enum err need_store(struct tx *tx, struct str project, struct id id, struct errtext *et)
{
	struct arena *a = arena_new(0);
	struct vstore v;
	char text[VSTORE_ID + 1];
	if (!a)
		return no_memory(et);
	enum err e = get_in(tx, project, id, a, &v, et);
	vstore_id(id, text);
	if (!e && v.expired)
		e = err_set(et, ERR_CONFLICT,
			"the vector store %s has expired: make a new one of its files", text);
	arena_free(a);
	return e;
}

enum err vfile_add(struct croft *c, struct str project, struct id store, const struct vfile *files,
	size_t n, const struct vbatch *batch, struct errtext *et)
{
	struct tx *tx;
	struct id of = batch ? batch->id : (struct id){0};
	int64_t now = clock_unix_ms();
	enum err e = db_begin(croft_db(c), TX_WRITE, &tx, et);
	if (e)
		return e;
	e = need_store(tx, project, store, et);
	if (!e && batch)
		e = db_exec(tx, et,
			"INSERT INTO api_vstore_batch (id, store, project, created_ms, "
			"cancelled_ms) VALUES (?, ?, ?, ?, 0)",
			P_ID(batch->id), P_ID(store), P_TEXT(project), P_I64(batch->created_ms));
	e = e ? e : put_files(tx, project, store, of, files, n, et);
	if (!e)
		e = db_exec(tx, et, "UPDATE api_vstore SET active_ms = ? WHERE id = ?", P_I64(now),
			P_ID(store));
	return db_finish(tx, e, et);
}

static enum err file_in(struct tx *tx, struct str project, struct id store, struct id file,
	struct arena *a, struct vfile *out, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT " FILE_COLUMNS
		" FROM api_vstore_file WHERE store = ? AND file = ? AND project = ?",
		P_ID(store), P_ID(file), P_TEXT(project));
	if (e)
		return e;
	if (row_next(r, &e, et))
		e = read_file(r, a, out, et);
	else if (!e)
		e = no_file(store, file, et);
	row_free(r);
	return e;
}

enum err vfile_get(struct croft *c, struct str project, struct id store, struct id file,
	struct arena *a, struct vfile *out, struct errtext *et)
{
	struct tx *tx;
	struct vfile f;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = file_in(tx, project, store, file, a, &f, et);
	db_rollback(tx);
	if (!e)
		*out = f;
	return e;
}

#define FILE_WHERE                                                                              \
	" FROM api_vstore_file WHERE store = ? AND project = ? AND (? = '' OR status = ?) AND " \
	"(? = 1 OR batch = ?) AND turn "

static enum err files_in(struct tx *tx, struct str project, struct id store,
	const struct vfile_query *q, struct arena *a, struct vfile *v, size_t *n,
	struct errtext *et)
{
	struct row *r;
	struct vpage page = q->page;
	struct vfile edge;
	struct str status = q->status.p ? q->status : S("");
	enum err e = OK;
	if (!id_is_zero(page.edge)) { /* a file's id; its place is its turn */
		e = file_in(tx, project, store, page.edge, a, &edge, et);
		page.edge = edge.turn;
	}
	struct id from = e ? (struct id){0} : edge_of(&page);
	if (!e)
		e = db_query(tx, &r, et,
			ascending(&page) ? "SELECT " FILE_COLUMNS FILE_WHERE
					   "> ? ORDER BY turn LIMIT ?"
					 : "SELECT " FILE_COLUMNS FILE_WHERE
					   "< ? ORDER BY turn DESC LIMIT ?",
			P_ID(store), P_TEXT(project), P_TEXT(status), P_TEXT(status),
			P_I64(id_is_zero(q->batch)), P_ID(q->batch), P_ID(from),
			P_I64(page.limit + 1));
	if (e)
		return e;
	*n = 0;
	while (!e && *n <= (size_t)page.limit && row_next(r, &e, et))
		e = read_file(r, a, &v[(*n)++], et);
	row_free(r);
	return e;
}

enum err vfile_list(struct croft *c, struct str project, struct id store,
	const struct vfile_query *q, struct arena *a, struct vfile **out, size_t *n, bool *more,
	struct errtext *et)
{
	struct tx *tx;
	size_t k = 0;
	struct vfile *v = arena_array_of(a, (size_t)q->page.limit + 1, struct vfile);
	if (!v)
		return no_memory(et);
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = files_in(tx, project, store, q, a, v, &k, et);
	db_rollback(tx);
	if (e)
		return e;
	end_page(v, sizeof *v, &k, &q->page, more);
	*out = v;
	*n = k;
	return OK;
}

enum err vfile_attributes(
	struct croft *c, const struct vfile *f, struct str json, struct errtext *et)
{
	struct arena *a = arena_new(0);
	char id[VSTORE_ID + 1];
	int64_t n = 0;
	if (!a)
		return no_memory(et);
	vstore_id(f->store, id);
	enum err e = db_change(croft_db(c), &n, et,
		"UPDATE api_vstore_file SET attributes = ? WHERE store = ? AND file = ? AND "
		"project "
		"= ?",
		P_TEXT(json), P_ID(f->store), P_ID(f->file), P_TEXT(f->project));
	if (!e && !n)
		e = no_file(f->store, f->file, et);
	if (!e) { /* the worker puts them when there is no document yet */
		e = rag_set_attributes(
			c, f->project, str_c(id), vfile_path(f->file, f->name, a), json, et);
		e = e == ERR_NOT_FOUND ? OK : e;
	}
	arena_free(a);
	return e;
}

static enum err drop_document(struct croft *c, const struct vfile *f, struct errtext *et)
{
	struct arena *a = arena_new(0);
	char id[VSTORE_ID + 1];
	struct str path = a ? vfile_path(f->file, f->name, a) : (struct str){0};
	vstore_id(f->store, id);
	enum err e = path.p ? rag_remove(c, f->project, VSTORE_OWNER, str_c(id), path, et)
			    : no_memory(et);
	arena_free(a);
	return e;
}

static enum err remove_file_in(
	struct tx *tx, const struct principal *who, const struct vfile *f, struct errtext *et)
{
	char text[FILE_ID + 1], store[VSTORE_ID + 1];
	struct buf b = {0};
	file_id(f->file, text);
	vstore_id(f->store, store);
	enum err e = db_exec(tx, et,
		"DELETE FROM api_vstore_file WHERE store = ? AND file = ? AND project = ?",
		P_ID(f->store), P_ID(f->file), P_TEXT(f->project));
	if (!e && !db_changes(tx))
		e = no_file(f->store, f->file, et);
	if (!e)
		e = add_job(tx, f->project, f->store, f->file, f->name, 0, et);
	buf_addf(&b, "{\"vector_store\":\"%s\"}", store);
	if (!e)
		e = b.err ? no_memory(et)
			  : audit_add(tx, who, "vector_store.file.delete", str_c(text), buf_str(&b),
				    et);
	buf_free(&b);
	return e;
}

enum err vfile_remove(
	struct croft *c, const struct principal *who, const struct vfile *f, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_WRITE, &tx, et);
	if (e)
		return e;
	e = db_finish(tx, remove_file_in(tx, who, f, et), et);
	return e ? e : drop_document(c, f, et);
}

static enum err one_of_file(struct croft *c, struct str project, struct id file, struct arena *a,
	struct vfile *out, bool *found, struct errtext *et)
{
	struct tx *tx;
	struct row *r;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = db_query(tx, &r, et,
		"SELECT " FILE_COLUMNS
		" FROM api_vstore_file WHERE file = ? AND project = ? LIMIT 1",
		P_ID(file), P_TEXT(project));
	if (!e) {
		*found = row_next(r, &e, et);
		if (*found)
			e = read_file(r, a, out, et);
		row_free(r);
	}
	db_rollback(tx);
	return e;
}

enum err vfile_remove_all(struct croft *c, const struct principal *who, struct str project,
	struct id file, struct errtext *et)
{
	bool found = true;
	enum err e = OK;
	while (!e && found) {
		struct arena *a = arena_new(0);
		struct vfile f;
		e = a ? one_of_file(c, project, file, a, &f, &found, et) : no_memory(et);
		if (!e && found)
			e = vfile_remove(c, who, &f, et);
		if (e == ERR_NOT_FOUND) /* somebody was quicker */
			e = OK;
		arena_free(a);
	}
	return e;
}

enum err vfile_end(struct croft *c, const struct vfile *f, const struct job *job, bool *taken,
	struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_WRITE, &tx, et);
	if (e)
		return e;
	e = db_exec(tx, et,
		"UPDATE api_vstore_file SET status = ?, code = ?, error = ?, bytes = ? WHERE store "
		"= ? AND file = ? AND turn = ? AND status = 'in_progress'",
		P_TEXT(f->status), P_TEXT(f->code), P_TEXT(f->error), P_I64(f->bytes),
		P_ID(f->store), P_ID(f->file), P_ID(f->turn));
	bool mine = !e && db_changes(tx) > 0;
	e = e ? e : queue_done(tx, job, et);
	e = db_finish(tx, e, et);
	if (!e)
		*taken = mine;
	return e;
}

/* ---- stores that end ---- */

static enum err mark_ended(struct tx *tx, struct id *ids, struct str *projects, size_t *n,
	struct arena *a, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT id, project FROM api_vstore WHERE expired = 0 AND expires_days > 0 AND "
		"active_ms + expires_days * 86400000 <= ? LIMIT ?",
		P_I64(clock_unix_ms()), P_I64(SWEEP_MAX));
	if (e)
		return e;
	*n = 0;
	while (*n < SWEEP_MAX && row_next(r, &e, et)) {
		ids[*n] = row_id(r, 0);
		projects[*n] = arena_str(a, row_text(r, 1));
		if (!projects[(*n)++].p)
			e = no_memory(et);
	}
	row_free(r);
	for (size_t i = 0; i < *n && !e; i++) {
		e = db_exec(tx, et, "UPDATE api_vstore SET expired = 1 WHERE id = ?", P_ID(ids[i]));
		if (!e) /* removes the documents */
			e = add_job(tx, projects[i], ids[i], (struct id){0}, S(""), 0, et);
	}
	return e;
}

/* A file of a store that is none any more: removed without the store (a crash between), or expired.
 */
static enum err one_lost(
	struct croft *c, struct arena *a, struct vfile *out, bool *found, struct errtext *et)
{
	struct tx *tx;
	struct row *r;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = db_query(tx, &r, et,
		"SELECT " FILE_COLUMNS
		" FROM api_vstore_file WHERE NOT EXISTS (SELECT 1 FROM api_file WHERE api_file.id "
		"= api_vstore_file.file AND (api_file.expires_ms = 0 OR api_file.expires_ms > ?)) "
		"LIMIT 1",
		P_I64(clock_unix_ms()));
	if (!e) {
		*found = row_next(r, &e, et);
		if (*found)
			e = read_file(r, a, out, et);
		row_free(r);
	}
	db_rollback(tx);
	return e;
}

static enum err sweep_lost(struct croft *c, struct errtext *et)
{
	bool found = true;
	enum err e = OK;
	for (int i = 0; i < SWEEP_MAX && found && !e; i++) {
		struct arena *a = arena_new(0);
		struct vfile f;
		e = a ? one_lost(c, a, &f, &found, et) : no_memory(et);
		const struct principal house = {
			.name = S("croft"), .project = e || !found ? S("") : f.project};
		if (!e && found)
			e = vfile_remove(c, &house, &f, et);
		if (e == ERR_NOT_FOUND) /* somebody was quicker */
			e = OK;
		arena_free(a);
	}
	return e;
}

enum err vstore_sweep(struct croft *c, struct errtext *et)
{
	struct id ids[SWEEP_MAX];
	struct str projects[SWEEP_MAX];
	struct tx *tx;
	size_t n = 0;
	struct arena *a = arena_new(0);
	enum err e = a ? db_begin(croft_db(c), TX_WRITE, &tx, et) : no_memory(et);
	if (!e)
		e = db_finish(tx, mark_ended(tx, ids, projects, &n, a, et), et);
	arena_free(a);
	return e ? e : sweep_lost(c, et);
}

/* ---- batches ---- */

enum err vbatch_get(struct croft *c, struct str project, struct id store, struct id id,
	struct vbatch *out, struct errtext *et)
{
	struct tx *tx;
	struct row *r;
	char text[VBATCH_ID + 1];
	struct vbatch b = {.id = id, .store = store};
	int64_t bytes;
	vbatch_id(id, text);
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = db_query(tx, &r, et,
		"SELECT created_ms, cancelled_ms FROM api_vstore_batch WHERE id = ? AND store = ? "
		"AND project = ?",
		P_ID(id), P_ID(store), P_TEXT(project));
	if (!e) {
		if (row_next(r, &e, et)) {
			b.created_ms = row_i64(r, 0);
			b.cancelled_ms = row_i64(r, 1);
		} else if (!e) {
			e = err_set(et, ERR_NOT_FOUND,
				"there is no batch of files %s in this vector store", text);
		}
		row_free(r);
	}
	if (!e)
		e = count(tx, store, &id, &b.counts, &bytes, et);
	db_rollback(tx);
	if (!e)
		*out = b;
	return e;
}

/* What a worker has begun ends so too: it sees that its row is cancelled. */
enum err vbatch_cancel(
	struct croft *c, struct str project, struct id store, struct id id, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_WRITE, &tx, et);
	if (e)
		return e;
	e = db_exec(tx, et,
		"UPDATE api_vstore_batch SET cancelled_ms = ? WHERE id = ? AND store = ? AND "
		"project = ? AND cancelled_ms = 0",
		P_I64(clock_unix_ms()), P_ID(id), P_ID(store), P_TEXT(project));
	if (!e)
		e = db_exec(tx, et,
			"UPDATE api_vstore_file SET status = 'cancelled' WHERE store = ? AND batch "
			"= ? AND project = ? AND status = 'in_progress'",
			P_ID(store), P_ID(id), P_TEXT(project));
	return db_finish(tx, e, et);
}
