/* Collections and their items in the database.
 *
 * A collection's rows stand under its number, which is drawn by chance and never used again: what a
 * dropped collection leaves is nobody's, and is swept in small transactions afterwards. A deleted
 * item leaves a grave, from which other servers learn of it; old graves go, and graves_seq says up
 * to which change (who has seen less than that builds its indexes anew). */
#include "collection/alias.h"
#include "collection/bulk.h"
#include "collection/migrate_int.h"

const struct migration collection_migrations[] = {
	{1, "collections",
		"CREATE TABLE collection ("
		"  number BIGINT PRIMARY KEY,"
		"  project TEXT NOT NULL,"
		"  name TEXT NOT NULL,"
		"  config TEXT NOT NULL,"
		"  seq BIGINT NOT NULL,"
		"  next_num BIGINT NOT NULL,"
		"  items BIGINT NOT NULL,"
		"  graves_seq BIGINT NOT NULL,"
		"  created_ms BIGINT NOT NULL,"
		"  updated_ms BIGINT NOT NULL,"
		"  UNIQUE (project, name));"
		"CREATE TABLE collection_dropped (number BIGINT PRIMARY KEY);"
		"CREATE TABLE collection_item ("
		"  collection BIGINT NOT NULL,"
		"  num BIGINT NOT NULL,"
		"  id BLOB NOT NULL,"
		"  seq BIGINT NOT NULL,"
		"  vec BIGINT NOT NULL,"
		"  payload TEXT NOT NULL,"
		"  text BLOB NOT NULL,"
		"  PRIMARY KEY (collection, num));"
		"CREATE INDEX collection_item_text ON collection_item (text);"
		"CREATE UNIQUE INDEX collection_item_id ON collection_item (collection, id);"
		"CREATE INDEX collection_item_seq ON collection_item (collection, seq);"
		"CREATE TABLE collection_vector ("
		"  collection BIGINT NOT NULL,"
		"  num BIGINT NOT NULL,"
		"  data BLOB NOT NULL,"
		"  PRIMARY KEY (collection, num));"
		"CREATE TABLE collection_embedding ("
		"  identity TEXT NOT NULL,"
		"  sha256 BLOB NOT NULL,"
		"  data BLOB NOT NULL,"
		"  PRIMARY KEY (sha256, identity));"
		"CREATE TABLE collection_grave ("
		"  collection BIGINT NOT NULL,"
		"  seq BIGINT NOT NULL,"
		"  num BIGINT NOT NULL,"
		"  PRIMARY KEY (collection, seq, num));"},
	{2, "snapshots of indexes",
		"CREATE TABLE collection_snapshot ("
		"  collection BIGINT NOT NULL,"
		"  host TEXT NOT NULL,"
		"  token TEXT NOT NULL,"
		"  mark BIGINT NOT NULL,"
		"  PRIMARY KEY (collection, host));"},
	{3, "maps of collections",
		"CREATE TABLE collection_map ("
		"  collection BIGINT PRIMARY KEY,"
		"  seq BIGINT NOT NULL,"
		"  made_ms BIGINT NOT NULL,"
		"  about TEXT NOT NULL,"
		"  points BLOB NOT NULL);"},
	{4, "curation of collections",
		"CREATE TABLE collection_curation ("
		"  collection BIGINT NOT NULL,"
		"  kind TEXT NOT NULL,"
		"  seq BIGINT NOT NULL,"
		"  made_ms BIGINT NOT NULL,"
		"  about TEXT NOT NULL,"
		"  cases BLOB NOT NULL,"
		"  PRIMARY KEY (collection, kind));"},
	{5, "versions of collections",
		"CREATE TABLE collection_head ("
		"  collection BIGINT PRIMARY KEY,"
		"  artifact BLOB NOT NULL,"
		"  version BIGINT NOT NULL,"
		"  seq BIGINT NOT NULL,"
		"  digest TEXT NOT NULL,"
		"  origin TEXT NOT NULL,"
		"  done BLOB NOT NULL);"},
	{6, "migrations to other models",
		"CREATE TABLE collection_text ("
		"  sha256 BLOB PRIMARY KEY,"
		"  data BLOB NOT NULL);"
		"CREATE TABLE collection_lacking ("
		"  collection BIGINT NOT NULL,"
		"  place BIGINT NOT NULL,"
		"  num BIGINT NOT NULL,"
		"  reason TEXT NOT NULL,"
		"  PRIMARY KEY (collection, place, num));"
		"CREATE INDEX collection_lacking_reason ON collection_lacking (collection, place, "
		"reason);"
		"CREATE TABLE collection_migration ("
		"  id TEXT PRIMARY KEY,"
		"  project TEXT NOT NULL,"
		"  collection BIGINT NOT NULL,"
		"  space TEXT NOT NULL,"
		"  from_model TEXT NOT NULL,"
		"  to_model TEXT NOT NULL,"
		"  field TEXT NOT NULL,"
		"  from_place BIGINT NOT NULL,"
		"  to_place BIGINT NOT NULL,"
		"  from_dim BIGINT NOT NULL,"
		"  to_dim BIGINT NOT NULL,"
		"  state TEXT NOT NULL,"
		"  total BIGINT NOT NULL,"
		"  last_num BIGINT NOT NULL,"
		"  reached BIGINT NOT NULL,"
		"  done BIGINT NOT NULL,"
		"  made BIGINT NOT NULL,"
		"  known BIGINT NOT NULL,"
		"  skip BIGINT NOT NULL,"
		"  shadow DOUBLE PRECISION NOT NULL,"
		"  rate DOUBLE PRECISION NOT NULL,"
		"  stalled TEXT NOT NULL,"
		"  judged TEXT NOT NULL,"
		"  begun_ms BIGINT NOT NULL,"
		"  ready_ms BIGINT NOT NULL,"
		"  cut_ms BIGINT NOT NULL,"
		"  ended_ms BIGINT NOT NULL,"
		"  batch_ms BIGINT NOT NULL);"
		"CREATE INDEX collection_migration_of ON collection_migration (collection, "
		"begun_ms);"
		"CREATE TABLE collection_shadow ("
		"  migration TEXT NOT NULL,"
		"  at_ms BIGINT NOT NULL,"
		"  lot BIGINT NOT NULL,"
		"  k BIGINT NOT NULL,"
		"  overlap DOUBLE PRECISION NOT NULL,"
		"  rbo DOUBLE PRECISION NOT NULL,"
		"  PRIMARY KEY (migration, at_ms, lot));"},
	{7, "collections in pgvector",
		"ALTER TABLE collection ADD COLUMN backend TEXT NOT NULL DEFAULT '';"
		"CREATE TABLE collection_pgv ("
		"  collection BIGINT PRIMARY KEY,"
		"  mark BIGINT NOT NULL,"
		"  filled BIGINT NOT NULL,"
		"  odd BIGINT NOT NULL);"},
	{8, "keyword indexes of collections",
		"CREATE TABLE collection_keyword ("
		"  collection BIGINT PRIMARY KEY,"
		"  config TEXT NOT NULL);"},
	{9, "limits and recall of collections",
		"CREATE TABLE collection_limit ("
		"  collection BIGINT PRIMARY KEY,"
		"  recall DOUBLE PRECISION,"
		"  bytes BIGINT NOT NULL);"
		"CREATE TABLE collection_recall ("
		"  collection BIGINT NOT NULL,"
		"  place BIGINT NOT NULL,"
		"  at_ms BIGINT NOT NULL,"
		"  lot BIGINT NOT NULL,"
		"  ef BIGINT NOT NULL,"
		"  next_ef BIGINT NOT NULL,"
		"  queries BIGINT NOT NULL,"
		"  mean DOUBLE PRECISION NOT NULL,"
		"  low DOUBLE PRECISION NOT NULL,"
		"  high DOUBLE PRECISION NOT NULL,"
		"  PRIMARY KEY (collection, place, at_ms, lot));"},
	{10, "hits of items",
		"CREATE TABLE collection_traffic ("
		"  collection BIGINT NOT NULL,"
		"  num BIGINT NOT NULL,"
		"  hits BIGINT NOT NULL,"
		"  last_ms BIGINT NOT NULL,"
		"  PRIMARY KEY (collection, num));"},
	{11, "other names of collections",
		"CREATE TABLE collection_alias ("
		"  project TEXT NOT NULL,"
		"  name TEXT NOT NULL,"
		"  collection BIGINT NOT NULL,"
		"  moved_ms BIGINT NOT NULL,"
		"  PRIMARY KEY (project, name));"
		"CREATE INDEX collection_alias_of ON collection_alias (collection);"},
	{12, "words in pgvector",
		/* config: settings of a keyword index that is there, up to the change `mark`;
		 * filled: as in collection_pgv */
		"CREATE TABLE collection_pgv_words (collection BIGINT NOT NULL, generation BIGINT "
		"NOT NULL, config TEXT NOT NULL, mark BIGINT NOT NULL, filled BIGINT NOT NULL, "
		"PRIMARY KEY (collection, generation));"},
	{13, "recall of filtered queries",
		"ALTER TABLE collection_recall ADD COLUMN band BIGINT NOT NULL DEFAULT 0;"},
	{14, "changes of vectors that are no migration's",
		"ALTER TABLE collection_item ADD COLUMN own BIGINT NOT NULL DEFAULT -1;"},
	{15, "jobs on many items",
		"CREATE TABLE collection_bulk ("
		"  id TEXT PRIMARY KEY,"
		"  project TEXT NOT NULL,"
		"  collection BIGINT NOT NULL,"
		"  who_id TEXT NOT NULL,"
		"  who TEXT NOT NULL,"
		"  what TEXT NOT NULL,"
		"  kind TEXT NOT NULL,"
		"  options TEXT NOT NULL,"
		"  about TEXT NOT NULL,"
		"  cases BLOB NOT NULL,"
		"  state TEXT NOT NULL,"
		"  error TEXT NOT NULL,"
		"  outcome TEXT NOT NULL,"
		"  found_at BIGINT NOT NULL,"
		"  reached BIGINT NOT NULL,"
		"  total BIGINT NOT NULL,"
		"  items BIGINT NOT NULL,"
		"  gone BIGINT NOT NULL,"
		"  seq BIGINT NOT NULL,"
		"  begun_ms BIGINT NOT NULL,"
		"  ended_ms BIGINT NOT NULL);"
		"CREATE INDEX collection_bulk_of ON collection_bulk (collection, id);"},
	{16, "indexes that were asked for",
		"CREATE TABLE collection_noted ("
		"  collection BIGINT NOT NULL,"
		"  field TEXT NOT NULL,"
		"  about TEXT NOT NULL,"
		"  PRIMARY KEY (collection, field));"},
};
const size_t n_collection_migrations = ARRAY_LEN(collection_migrations);

/* ---- collections ---- */

#define COLLECTION_COLUMNS                                                              \
	"number, project, name, config, seq, next_num, items, graves_seq, created_ms, " \
	"updated_ms, backend"

/* A name is a collection's or an alias, never both. */
static enum err not_an_alias(struct tx *tx, struct str project, struct str name, struct errtext *et)
{
	int64_t number = 0;
	enum err e = store_alias(tx, project, name, &number, et);
	return e || !number
		       ? e
		       : err_set(et, ERR_CONFLICT,
				 "%.*s is an alias of a collection: delete the alias first, or "
				 "take another name",
				 STR_FMT(name));
}

enum err store_collection_add(struct tx *tx, const struct collection_row *r, struct errtext *et)
{
	enum err e = not_an_alias(tx, r->project, r->name, et);
	if (e)
		return e;
	e = db_exec(tx, et,
		"INSERT INTO collection (" COLLECTION_COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, "
		"?, ?, ?) ON CONFLICT (project, name) DO NOTHING",
		P_I64(r->number), P_TEXT(r->project), P_TEXT(r->name), P_TEXT(r->config),
		P_I64(r->seq), P_I64(r->next_num), P_I64(r->items), P_I64(r->graves_seq),
		P_I64(r->created_ms), P_I64(r->updated_ms),
		P_TEXT(r->backend.n ? r->backend : S("")));
	return e || db_changes(tx) ? e
				   : err_set(et, ERR_CONFLICT,
					     "a collection named %.*s exists already: delete it "
					     "first, or take another name",
					     STR_FMT(r->name));
}

static enum err read_collection(
	struct row *r, struct arena *a, struct collection_row *out, struct errtext *et)
{
	*out = (struct collection_row){.number = row_i64(r, 0),
		.project = arena_str(a, row_text(r, 1)),
		.name = arena_str(a, row_text(r, 2)),
		.config = arena_str(a, row_text(r, 3)),
		.seq = row_i64(r, 4),
		.next_num = row_i64(r, 5),
		.items = row_i64(r, 6),
		.graves_seq = row_i64(r, 7),
		.created_ms = row_i64(r, 8),
		.updated_ms = row_i64(r, 9),
		.backend = arena_str(a, row_text(r, 10))};
	return out->project.p && out->name.p && out->config.p && out->backend.p
		       ? OK
		       : err_set(et, ERR_NOMEM, "no memory for a collection");
}

static enum err by_alias(struct tx *tx, struct str project, struct str name, struct arena *a,
	struct collection_row *out, struct errtext *et)
{
	int64_t number = 0;
	enum err e = store_alias(tx, project, name, &number, et);
	if (!e && number)
		return store_collection_by_number(tx, number, a, out, et);
	return e ? e
		 : err_set(et, ERR_NOT_FOUND, "there is no collection %.*s",
			   STR_FMT(str_sub(name, 0, COLLECTION_NAME_MAX)));
}

enum err store_collection_by_name(struct tx *tx, struct str project, struct str name,
	struct arena *a, struct collection_row *out, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT " COLLECTION_COLUMNS " FROM collection WHERE project = ? AND name = ?",
		P_TEXT(project), P_TEXT(name));
	if (e)
		return e;
	bool found = row_next(r, &e, et);
	if (found)
		e = read_collection(r, a, out, et);
	row_free(r);
	return e || found ? e : by_alias(tx, project, name, a, out, et);
}

enum err store_collection_by_number(struct tx *tx, int64_t number, struct arena *a,
	struct collection_row *out, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT " COLLECTION_COLUMNS " FROM collection WHERE number = ?", P_I64(number));
	if (e)
		return e;
	bool found = row_next(r, &e, et);
	if (found)
		e = read_collection(r, a, out, et);
	row_free(r);
	return e || found ? e : err_set(et, ERR_NOT_FOUND, "the collection was deleted");
}

static enum err read_collections(
	struct row *r, struct arena *a, struct collection_row **out, size_t *n, struct errtext *et)
{
	struct collection_row *rows = NULL;
	size_t n_rows = 0, cap = 0;
	enum err e = OK;
	while (!e && row_next(r, &e, et)) {
		if (n_rows == cap) {
			cap = cap ? 2 * cap : 16;
			struct collection_row *more = arena_array_of(a, cap, struct collection_row);
			if (!more) {
				e = err_set(et, ERR_NOMEM, "no memory for a list of collections");
				break;
			}
			if (n_rows)
				memcpy(more, rows, n_rows * sizeof *rows);
			rows = more;
		}
		e = read_collection(r, a, &rows[n_rows], et);
		n_rows += !e;
	}
	row_free(r);
	if (!e) {
		*out = rows;
		*n = n_rows;
	}
	return e;
}

enum err store_collections(struct tx *tx, struct str project, struct arena *a,
	struct collection_row **out, size_t *n, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT " COLLECTION_COLUMNS " FROM collection WHERE project = ?", P_TEXT(project));
	return e ? e : read_collections(r, a, out, n, et);
}

enum err store_collections_staged(struct tx *tx, int64_t before_ms, struct arena *a,
	struct collection_row **out, size_t *n, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT " COLLECTION_COLUMNS " FROM collection WHERE project >= ? AND project < ? "
		"AND created_ms < ?",
		P_TEXT(S(STAGED_PREFIX)), P_TEXT(S("recover;")), P_I64(before_ms));
	return e ? e : read_collections(r, a, out, n, et);
}

enum err store_collection_rename(
	struct tx *tx, int64_t number, struct str project, struct str name, struct errtext *et)
{
	return db_exec(tx, et, "UPDATE collection SET project = ?, name = ? WHERE number = ?",
		P_TEXT(project), P_TEXT(name), P_I64(number));
}

/* Whoever changed items comes here last, so here the backend takes the change over. */
enum err store_collection_at(struct tx *tx, const struct collection_row *r, struct errtext *et)
{
	const struct backend *b = backend_find(r->backend);
	enum err e = b && b->changed ? b->changed(tx, r, et) : OK;
	return e ? e
		 : db_exec(tx, et,
			   "UPDATE collection SET seq = ?, next_num = ?, items = ?, graves_seq = "
			   "?, "
			   "updated_ms = ? WHERE number = ?",
			   P_I64(r->seq), P_I64(r->next_num), P_I64(r->items), P_I64(r->graves_seq),
			   P_I64(r->updated_ms), P_I64(r->number));
}

enum err store_collection_backend(
	struct tx *tx, int64_t number, struct str backend, struct errtext *et)
{
	return db_exec(tx, et, "UPDATE collection SET backend = ? WHERE number = ?",
		P_TEXT(backend), P_I64(number));
}

/* ---- what a dropped one leaves ---- */

enum err store_collection_drop(struct tx *tx, int64_t number, struct errtext *et)
{
	enum err e = db_exec(tx, et, "DELETE FROM collection WHERE number = ?", P_I64(number));
	e = e ? e
	      : db_exec(tx, et, "DELETE FROM collection_head WHERE collection = ?", P_I64(number));
	e = e ? e
	      : db_exec(tx, et, "DELETE FROM collection_alias WHERE collection = ?", P_I64(number));
	return e ? e
		 : db_exec(tx, et, "INSERT INTO collection_dropped (number) VALUES (?)",
			   P_I64(number));
}

enum err store_collection_sweep(
	struct tx *tx, int64_t number, int max, bool *more, struct errtext *et)
{
	static const char *const slices[] = {
		"DELETE FROM collection_item WHERE collection = ? AND num IN (SELECT num FROM "
		"collection_item WHERE collection = ? ORDER BY num LIMIT ?)",
		"DELETE FROM collection_vector WHERE collection = ? AND num IN (SELECT num FROM "
		"collection_vector WHERE collection = ? ORDER BY num LIMIT ?)"};
	int64_t gone = 0;
	enum err e = OK;
	for (size_t i = 0; i < ARRAY_LEN(slices) && !e; i++) {
		e = db_exec(tx, et, slices[i], P_I64(number), P_I64(number), P_I64(max));
		gone += e ? 0 : db_changes(tx);
	}
	*more = gone > 0;
	if (e || gone)
		return e;
	static const char *const of_migrations[] = {
		"DELETE FROM collection_noted WHERE collection = ?",
		"DELETE FROM collection_limit WHERE collection = ?",
		"DELETE FROM collection_recall WHERE collection = ?",
		"DELETE FROM collection_lacking WHERE collection = ?",
		("DELETE FROM collection_shadow WHERE migration IN (SELECT id FROM "
		 "collection_migration WHERE collection = ?)"),
		"DELETE FROM collection_migration WHERE collection = ?"};
	e = store_embedding_prune(tx, S(""), et);
	for (size_t i = 0; i < ARRAY_LEN(of_migrations) && !e; i++)
		e = db_exec(tx, et, of_migrations[i], P_I64(number));
	e = e ? e
	      : db_exec(tx, et, "DELETE FROM collection_snapshot WHERE collection = ?",
			P_I64(number));
	e = e ? e
	      : db_exec(tx, et, "DELETE FROM collection_map WHERE collection = ?", P_I64(number));
	e = e ? e
	      : db_exec(tx, et, "DELETE FROM collection_traffic WHERE collection = ?",
			P_I64(number));
	e = e ? e
	      : db_exec(tx, et, "DELETE FROM collection_curation WHERE collection = ?",
			P_I64(number));
	e = e ? e
	      : db_exec(tx, et, "DELETE FROM collection_keyword WHERE collection = ?",
			P_I64(number));
	e = e ? e
	      : db_exec(tx, et, "DELETE FROM collection_grave WHERE collection = ?", P_I64(number));
	e = e ? e : store_bulk_drop(tx, number, et);
	return e ? e
		 : db_exec(tx, et, "DELETE FROM collection_dropped WHERE number = ?",
			   P_I64(number));
}

enum err store_collections_dropped(
	struct tx *tx, struct arena *a, int64_t **numbers, size_t *n, struct errtext *et)
{
	enum { MAX_AT_ONCE = 1000 };
	int64_t *list = arena_array_of(a, MAX_AT_ONCE, int64_t);
	struct row *r;
	size_t k = 0;
	if (!list)
		return err_set(et, ERR_NOMEM, "no memory for a list of collections");
	enum err e = db_query(
		tx, &r, et, "SELECT number FROM collection_dropped LIMIT ?", P_I64(MAX_AT_ONCE));
	if (e)
		return e;
	while (k < MAX_AT_ONCE && row_next(r, &e, et))
		list[k++] = row_i64(r, 0);
	row_free(r);
	*numbers = list;
	*n = k;
	return e;
}

/* ---- items ---- */

enum err store_item_add(
	struct tx *tx, int64_t collection, const struct item_row *r, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO collection_item (collection, num, id, seq, vec, own, payload, "
		"text) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		P_I64(collection), P_I64(r->num), P_BLOB(r->id), P_I64(r->seq), P_I64(r->vec),
		P_I64(r->own), P_TEXT(r->payload), P_BLOB(r->text));
}

enum err store_item_change(
	struct tx *tx, int64_t collection, const struct item_row *r, struct errtext *et)
{
	if (!r->payload.p)
		return db_exec(tx, et,
			"UPDATE collection_item SET seq = ?, vec = ?, own = ? "
			"WHERE collection = ? AND num = ?",
			P_I64(r->seq), P_I64(r->vec), P_I64(r->own), P_I64(collection),
			P_I64(r->num));
	return db_exec(tx, et,
		"UPDATE collection_item SET seq = ?, vec = ?, own = ?, payload = ?, text = ? "
		"WHERE collection = ? AND num = ?",
		P_I64(r->seq), P_I64(r->vec), P_I64(r->own), P_TEXT(r->payload), P_BLOB(r->text),
		P_I64(collection), P_I64(r->num));
}

enum err store_vectors_put(
	struct tx *tx, int64_t collection, int64_t num, struct str vectors, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO collection_vector (collection, num, data) VALUES (?, ?, ?) "
		"ON CONFLICT (collection, num) DO UPDATE SET data = excluded.data",
		P_I64(collection), P_I64(num), P_BLOB(vectors));
}

enum err store_item_drop(
	struct tx *tx, int64_t collection, int64_t num, int64_t seq, struct errtext *et)
{
	enum err e = db_exec(tx, et, "DELETE FROM collection_item WHERE collection = ? AND num = ?",
		P_I64(collection), P_I64(num));
	if (!e)
		e = db_exec(tx, et,
			"DELETE FROM collection_vector WHERE collection = ? AND num = ?",
			P_I64(collection), P_I64(num));
	return e ? e
		 : db_exec(tx, et,
			   "INSERT INTO collection_grave (collection, seq, num) VALUES (?, ?, ?)",
			   P_I64(collection), P_I64(seq), P_I64(num));
}

enum err store_graves_trim(
	struct tx *tx, struct collection_row *r, int64_t kept, struct errtext *et)
{
	if (r->seq - r->graves_seq < 2 * kept)
		return OK;
	r->graves_seq = r->seq - kept;
	return db_exec(tx, et, "DELETE FROM collection_grave WHERE collection = ? AND seq <= ?",
		P_I64(r->number), P_I64(r->graves_seq));
}

/* ---- vectors of texts ---- */

enum err store_embedding(struct tx *tx, struct str identity, struct str sha256, float *out,
	size_t dim, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT data FROM collection_embedding WHERE sha256 = ? AND identity = ?",
		P_BLOB(sha256), P_TEXT(identity));
	if (e)
		return e;
	bool found = row_next(r, &e, et) && row_blob(r, 0).n == dim * sizeof *out;
	if (found)
		memcpy(out, row_blob(r, 0).p, dim * sizeof *out);
	row_free(r);
	return e || found ? e : ERR_NOT_FOUND;
}

enum err store_embedding_put(struct tx *tx, struct str identity, struct str sha256, const float *v,
	size_t dim, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO collection_embedding (identity, sha256, data) VALUES (?, ?, ?) "
		"ON CONFLICT (sha256, identity) DO UPDATE SET data = excluded.data",
		P_TEXT(identity), P_BLOB(sha256), P_BLOB(str_mk(v, dim * sizeof *v)));
}

static const char *const pruned[][2] = {
	{"DELETE FROM collection_embedding WHERE NOT EXISTS (SELECT 1 FROM collection_item WHERE "
	 "text = sha256)",
		"DELETE FROM collection_embedding WHERE sha256 = ? AND NOT EXISTS "
		"(SELECT 1 FROM collection_item WHERE text = ?)"},
	{"DELETE FROM collection_text WHERE NOT EXISTS (SELECT 1 FROM collection_item WHERE text = "
	 "sha256)",
		"DELETE FROM collection_text WHERE sha256 = ? AND NOT EXISTS "
		"(SELECT 1 FROM collection_item WHERE text = ?)"}};

enum err store_embedding_prune(struct tx *tx, struct str sha256, struct errtext *et)
{
	enum err e = OK;
	for (size_t i = 0; i < ARRAY_LEN(pruned) && !e; i++)
		e = sha256.n ? db_exec(tx, et, pruned[i][1], P_BLOB(sha256), P_BLOB(sha256))
			     : db_exec(tx, et, pruned[i][0]);
	return e;
}

enum err store_text(
	struct tx *tx, struct str sha256, struct arena *a, struct str *out, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(
		tx, &r, et, "SELECT data FROM collection_text WHERE sha256 = ?", P_BLOB(sha256));
	if (e)
		return e;
	bool found = row_next(r, &e, et);
	*out = found ? arena_str(a, row_blob(r, 0)) : S("");
	row_free(r);
	return e || out->p ? e : err_set(et, ERR_NOMEM, "no memory for a text");
}

enum err store_text_put(struct tx *tx, struct str sha256, struct str text, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO collection_text (sha256, data) VALUES (?, ?) "
		"ON CONFLICT (sha256) DO NOTHING",
		P_BLOB(sha256), P_BLOB(text));
}

/* ---- reading items ---- */

/* num, id, seq, vec, text, own, then payload and vectors when they are read. */
static const char *const item_selects[4] = {
	"SELECT i.num, i.id, i.seq, i.vec, i.text, i.own FROM collection_item i ",
	"SELECT i.num, i.id, i.seq, i.vec, i.text, i.own, i.payload FROM collection_item i ",
	"SELECT i.num, i.id, i.seq, i.vec, i.text, i.own, v.data FROM collection_item i "
	"LEFT JOIN collection_vector v ON v.collection = i.collection AND v.num = i.num ",
	"SELECT i.num, i.id, i.seq, i.vec, i.text, i.own, i.payload, v.data FROM collection_item i "
	"LEFT JOIN collection_vector v ON v.collection = i.collection AND v.num = i.num ",
};

enum { SQL_MAX = 768 };

static void item_sql(char out[SQL_MAX], struct item_want read, const char *rest)
{
	int at = snprintf(out, SQL_MAX, "%s", item_selects[read.payload + 2 * read.vectors]);
	snprintf(out + at, (size_t)(SQL_MAX - at), "%s", rest);
}

static struct item_row item_of(struct row *r, struct item_want read)
{
	struct item_row x = {.num = row_i64(r, 0),
		.id = row_blob(r, 1),
		.seq = row_i64(r, 2),
		.vec = row_i64(r, 3),
		.text = row_blob(r, 4),
		.own = row_i64(r, 5) < 0 ? row_i64(r, 3) : row_i64(r, 5),
		.payload = S(""),
		.vectors = S("")};
	if (read.payload)
		x.payload = row_text(r, 6);
	if (read.vectors && !row_null(r, 6 + read.payload))
		x.vectors = row_blob(r, 6 + read.payload);
	return x;
}

static enum err first_item(struct row *r, struct item_want read, struct arena *a,
	struct item_row *out, struct errtext *et)
{
	enum err e = OK;
	bool found = row_next(r, &e, et);
	if (found) {
		*out = item_of(r, read);
		out->id = arena_str(a, out->id);
		out->payload = arena_str(a, out->payload);
		out->vectors = arena_str(a, out->vectors);
		out->text = arena_str(a, out->text);
		if (!out->id.p || !out->payload.p || !out->vectors.p || !out->text.p)
			e = err_set(et, ERR_NOMEM, "no memory for an item");
	}
	row_free(r);
	return e || found ? e : ERR_NOT_FOUND;
}

enum err store_item(struct tx *tx, int64_t collection, struct str id, struct item_want read,
	struct arena *a, struct item_row *out, struct errtext *et)
{
	char sql[SQL_MAX];
	struct row *r;
	item_sql(sql, read, "WHERE i.collection = ? AND i.id = ?");
	enum err e = db_query(tx, &r, et, sql, P_I64(collection), P_BLOB(id));
	return e ? e : first_item(r, read, a, out, et);
}

enum err store_item_by_num(struct tx *tx, int64_t collection, int64_t num, struct item_want read,
	struct arena *a, struct item_row *out, struct errtext *et)
{
	char sql[SQL_MAX];
	struct row *r;
	item_sql(sql, read, "WHERE i.collection = ? AND i.num = ?");
	enum err e = db_query(tx, &r, et, sql, P_I64(collection), P_I64(num));
	return e ? e : first_item(r, read, a, out, et);
}

static enum err each_item(
	struct row *r, struct item_want read, item_row_fn fn, void *ctx, struct errtext *et)
{
	enum err e = OK;
	while (!e && row_next(r, &e, et)) {
		struct item_row x = item_of(r, read);
		e = fn(ctx, &x, et);
	}
	row_free(r);
	return e;
}

enum err store_items_from(struct tx *tx, int64_t collection, struct str from, size_t max,
	struct item_want read, item_row_fn fn, void *ctx, struct errtext *et)
{
	char sql[SQL_MAX];
	struct row *r;
	item_sql(sql, read, "WHERE i.collection = ? AND i.id >= ? ORDER BY i.id LIMIT ?");
	enum err e =
		db_query(tx, &r, et, sql, P_I64(collection), P_BLOB(from), P_I64((int64_t)max));
	return e ? e : each_item(r, read, fn, ctx, et);
}

enum err store_items_since(struct tx *tx, int64_t collection, int64_t seq, item_row_fn fn,
	void *ctx, struct errtext *et)
{
	char sql[SQL_MAX];
	struct row *r;
	struct item_want read = {true, true};
	item_sql(sql, read, "WHERE i.collection = ? AND i.seq > ? ORDER BY i.seq, i.num");
	enum err e = db_query(tx, &r, et, sql, P_I64(collection), P_I64(seq));
	return e ? e : each_item(r, read, fn, ctx, et);
}

enum err store_items_part(struct tx *tx, int64_t collection, int64_t num, size_t max,
	struct item_want read, item_row_fn fn, void *ctx, struct errtext *et)
{
	char sql[SQL_MAX];
	struct row *r;
	item_sql(sql, read, "WHERE i.collection = ? AND i.num > ? ORDER BY i.num LIMIT ?");
	enum err e = db_query(tx, &r, et, sql, P_I64(collection), P_I64(num), P_I64((int64_t)max));
	return e ? e : each_item(r, read, fn, ctx, et);
}

enum err store_items_all(struct tx *tx, int64_t collection, struct item_want read, item_row_fn fn,
	void *ctx, struct errtext *et)
{
	char sql[SQL_MAX];
	struct row *r;
	item_sql(sql, read, "WHERE i.collection = ? ORDER BY i.num");
	enum err e = db_query(tx, &r, et, sql, P_I64(collection));
	return e ? e : each_item(r, read, fn, ctx, et);
}

enum err store_graves_since(struct tx *tx, int64_t collection, int64_t seq,
	enum err (*fn)(void *ctx, int64_t num, struct errtext *et), void *ctx, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT num FROM collection_grave WHERE collection = ? AND seq > ? ORDER BY seq",
		P_I64(collection), P_I64(seq));
	if (e)
		return e;
	while (!e && row_next(r, &e, et))
		e = fn(ctx, row_i64(r, 0), et);
	row_free(r);
	return e;
}

/* ---- settings of keyword indexes ---- */

enum err store_keyword(
	struct tx *tx, int64_t collection, struct arena *a, struct str *config, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT config FROM collection_keyword WHERE collection = ?", P_I64(collection));
	if (e)
		return e;
	bool found = row_next(r, &e, et);
	*config = found ? arena_str(a, row_text(r, 0)) : S("");
	row_free(r);
	return e || config->p ? e : err_set(et, ERR_NOMEM, "no memory for a collection");
}

enum err store_keyword_put(struct tx *tx, int64_t collection, struct str config, struct errtext *et)
{
	if (!config.n)
		return db_exec(tx, et, "DELETE FROM collection_keyword WHERE collection = ?",
			P_I64(collection));
	return db_exec(tx, et,
		"INSERT INTO collection_keyword (collection, config) VALUES (?, ?) "
		"ON CONFLICT (collection) DO UPDATE SET config = excluded.config",
		P_I64(collection), P_TEXT(config));
}

/* ---- snapshots ---- */

enum err store_snapshot(struct tx *tx, int64_t collection, const char *host, char token[ID_HEX + 1],
	int64_t *mark, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT token, mark FROM collection_snapshot WHERE collection = ? AND host = ?",
		P_I64(collection), P_TEXT(str_c(host)));
	if (e)
		return e;
	bool found = row_next(r, &e, et);
	if (found) {
		snprintf(token, ID_HEX + 1, "%.*s", STR_FMT(row_text(r, 0)));
		*mark = row_i64(r, 1);
	}
	row_free(r);
	return e || found ? e : ERR_NOT_FOUND;
}

enum err store_snapshot_put(struct tx *tx, int64_t collection, const char *host, const char *token,
	int64_t mark, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO collection_snapshot (collection, host, token, mark) VALUES (?, ?, ?, "
		"?) "
		"ON CONFLICT (collection, host) DO UPDATE SET token = excluded.token, "
		"mark = excluded.mark",
		P_I64(collection), P_TEXT(str_c(host)), P_TEXT(str_c(token)), P_I64(mark));
}

/* ---- for the worker of migrations ---- */

enum err store_items_after(struct tx *tx, int64_t collection, int64_t num, int64_t last, size_t max,
	item_row_fn fn, void *ctx, struct errtext *et)
{
	char sql[SQL_MAX];
	struct row *r;
	struct item_want read = {true, true};
	item_sql(sql, read,
		"WHERE i.collection = ? AND i.num > ? AND i.num <= ? ORDER BY i.num LIMIT ?");
	enum err e = db_query(
		tx, &r, et, sql, P_I64(collection), P_I64(num), P_I64(last), P_I64((int64_t)max));
	return e ? e : each_item(r, read, fn, ctx, et);
}

enum err store_items_pending(struct tx *tx, int64_t collection, int64_t place, size_t max,
	item_row_fn fn, void *ctx, struct errtext *et)
{
	char sql[SQL_MAX];
	struct row *r;
	struct item_want read = {true, true};
	item_sql(sql, read,
		"JOIN collection_lacking l ON l.collection = i.collection AND l.num = i.num WHERE "
		"l.collection = ? AND l.place = ? AND l.reason = '' ORDER BY l.num LIMIT ?");
	enum err e =
		db_query(tx, &r, et, sql, P_I64(collection), P_I64(place), P_I64((int64_t)max));
	return e ? e : each_item(r, read, fn, ctx, et);
}

enum err store_collection_config(
	struct tx *tx, int64_t number, struct str config, struct errtext *et)
{
	return db_exec(tx, et, "UPDATE collection SET config = ? WHERE number = ?", P_TEXT(config),
		P_I64(number));
}
