/* Aliases in the database. */
#include "collection/alias.h"
#include "collection/collection_int.h"

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for aliases");
}

enum err store_alias(
	struct tx *tx, struct str project, struct str name, int64_t *number, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT collection FROM collection_alias WHERE project = ? AND name = ?",
		P_TEXT(project), P_TEXT(name));
	if (e)
		return e;
	*number = row_next(r, &e, et) ? row_i64(r, 0) : 0;
	row_free(r);
	return e;
}

enum err store_aliases_of(struct tx *tx, int64_t collection, struct arena *a, struct str **out,
	size_t *n, struct errtext *et)
{
	struct row *r;
	struct str *list = NULL;
	size_t n_list = 0;
	enum err e = db_query(tx, &r, et,
		"SELECT name FROM collection_alias WHERE collection = ? ORDER BY name LIMIT ?",
		P_I64(collection), P_I64(ALIASES_MAX));
	if (e)
		return e;
	while (!e && row_next(r, &e, et)) {
		list = list ? list : arena_array_of(a, ALIASES_MAX, struct str);
		if (!list || !(list[n_list++] = arena_str(a, row_text(r, 0))).p)
			e = no_memory(et);
	}
	row_free(r);
	if (!e) {
		*out = list;
		*n = n_list;
	}
	return e;
}

enum err store_aliases(struct tx *tx, struct str project, struct arena *a, struct alias **out,
	size_t *n, struct errtext *et)
{
	struct row *r;
	size_t n_list = 0;
	struct alias *list = arena_array_of(a, ALIASES_MAX, struct alias);
	if (!list)
		return no_memory(et);
	enum err e = db_query(tx, &r, et,
		"SELECT x.name, k.name, x.moved_ms FROM collection_alias x JOIN collection k ON "
		"k.number = x.collection WHERE x.project = ? ORDER BY x.name LIMIT ?",
		P_TEXT(project), P_I64(ALIASES_MAX));
	if (e)
		return e;
	while (!e && row_next(r, &e, et)) {
		struct alias *x = &list[n_list++];
		*x = (struct alias){
			arena_str(a, row_text(r, 0)), arena_str(a, row_text(r, 1)), row_i64(r, 2)};
		if (!x->name.p || !x->collection.p)
			e = no_memory(et);
	}
	row_free(r);
	if (!e) {
		*out = list;
		*n = n_list;
	}
	return e;
}

enum err store_alias_put(struct tx *tx, struct str project, struct str name, int64_t collection,
	int64_t now_ms, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO collection_alias (project, name, collection, moved_ms) VALUES (?, ?, "
		"?, ?) ON CONFLICT (project, name) DO UPDATE SET collection = excluded.collection, "
		"moved_ms = excluded.moved_ms",
		P_TEXT(project), P_TEXT(name), P_I64(collection), P_I64(now_ms));
}

enum err store_alias_drop(struct tx *tx, struct str project, struct str name, struct errtext *et)
{
	return db_exec(tx, et, "DELETE FROM collection_alias WHERE project = ? AND name = ?",
		P_TEXT(project), P_TEXT(name));
}

enum err store_alias_count(struct tx *tx, struct str project, int64_t *n, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et, "SELECT COUNT(*) FROM collection_alias WHERE project = ?",
		P_TEXT(project));
	if (e)
		return e;
	*n = row_next(r, &e, et) ? row_i64(r, 0) : 0;
	row_free(r);
	return e;
}

enum err store_aliases_move(struct tx *tx, int64_t from, int64_t to, struct errtext *et)
{
	static const char *const moves[] = {
		"UPDATE collection_alias SET collection = ? WHERE collection = ?",
		"UPDATE collection_noted SET collection = ? WHERE collection = ?",
		"UPDATE collection_limit SET collection = ? WHERE collection = ?"};
	enum err e = OK;
	for (size_t i = 0; i < ARRAY_LEN(moves) && !e; i++)
		e = db_exec(tx, et, moves[i], P_I64(to), P_I64(from));
	return e;
}
