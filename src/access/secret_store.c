/* SQL of the secrets. What is stored is sealed; nothing here can open it. */
#include "access/secret_int.h"

const struct migration secret_migrations[] = {
	{1, "secrets",
		"CREATE TABLE secret ("
		" project TEXT NOT NULL, name TEXT NOT NULL, key_id TEXT NOT NULL,"
		" wrapped BLOB NOT NULL, sealed BLOB NOT NULL, created_ms BIGINT NOT NULL,"
		" updated_ms BIGINT NOT NULL, updated_by TEXT NOT NULL,"
		" PRIMARY KEY (project, name))"},
};

#define COLUMNS "project, name, key_id, wrapped, sealed, created_ms, updated_ms, updated_by"

enum err secret_put_row(struct tx *tx, const struct secret_row *r, struct errtext *et)
{
	struct row *row;
	int64_t n = 0;
	enum err e = db_query(tx, &row, et,
		"SELECT count(*) FROM secret WHERE project = ? AND name <> ?", P_TEXT(r->project),
		P_TEXT(r->name));
	if (e)
		return e;
	if (row_next(row, &e, et))
		n = row_i64(row, 0);
	row_free(row);
	if (!e && n >= SECRETS_PER_PROJECT_MAX)
		e = err_set(
			et, ERR_LIMIT, "a project has at most %d secrets", SECRETS_PER_PROJECT_MAX);
	return e ? e
		 : db_exec(tx, et,
			   "INSERT INTO secret (" COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
			   " ON CONFLICT (project, name) DO UPDATE SET key_id = excluded.key_id,"
			   " wrapped = excluded.wrapped, sealed = excluded.sealed,"
			   " updated_ms = excluded.updated_ms, updated_by = excluded.updated_by",
			   P_TEXT(r->project), P_TEXT(r->name), P_TEXT(r->key_id),
			   P_BLOB(r->wrapped), P_BLOB(r->sealed), P_I64(r->created_ms),
			   P_I64(r->updated_ms), P_TEXT(r->updated_by));
}

static bool copy_row(struct row *r, struct arena *a, struct secret_row *out)
{
	*out = (struct secret_row){.project = arena_str(a, row_text(r, 0)),
		.name = arena_str(a, row_text(r, 1)),
		.key_id = arena_str(a, row_text(r, 2)),
		.wrapped = arena_str(a, row_blob(r, 3)),
		.sealed = arena_str(a, row_blob(r, 4)),
		.created_ms = row_i64(r, 5),
		.updated_ms = row_i64(r, 6),
		.updated_by = arena_str(a, row_text(r, 7))};
	return out->project.p && out->name.p && out->key_id.p && out->wrapped.p && out->sealed.p &&
	       out->updated_by.p;
}

enum err secret_get_row(struct tx *tx, struct str project, struct str name, struct arena *a,
	struct secret_row *out, struct errtext *et)
{
	struct row *r;
	struct secret_row found;
	enum err e = db_query(tx, &r, et,
		"SELECT " COLUMNS " FROM secret WHERE project = ? AND name = ?", P_TEXT(project),
		P_TEXT(name));
	if (e)
		return e;
	if (row_next(r, &e, et))
		e = copy_row(r, a, &found) ? OK : err_set(et, ERR_NOMEM, "no memory for a secret");
	else if (!e)
		e = err_set(et, ERR_NOT_FOUND,
			"there is no secret %.*s in project %.*s: croft secret set %.*s",
			STR_FMT(str_sub(name, 0, 100)), STR_FMT(project),
			STR_FMT(str_sub(name, 0, 100)));
	row_free(r);
	if (!e)
		*out = found;
	return e;
}

enum err secret_list_rows(struct tx *tx, struct str project, struct arena *a,
	struct secret_row **out, size_t *n, struct errtext *et)
{
	struct row *r;
	struct secret_row *list = NULL;
	size_t k = 0, cap = 0;
	enum err e = project.p ? db_query(tx, &r, et,
					 "SELECT " COLUMNS " FROM secret WHERE project = ?"
					 " ORDER BY name",
					 P_TEXT(project))
			       : db_query(tx, &r, et,
					 "SELECT " COLUMNS " FROM secret ORDER BY project, name");
	if (e)
		return e;
	while (!e && row_next(r, &e, et)) {
		if (k == cap) {
			cap = cap ? 2 * cap : 32;
			struct secret_row *more = arena_array_of(a, cap, struct secret_row);
			if (more && k)
				memcpy(more, list, k * sizeof *list);
			list = more;
		}
		if (!list || !copy_row(r, a, &list[k]))
			e = err_set(et, ERR_NOMEM, "no memory for the secrets");
		else
			k++;
	}
	row_free(r);
	if (!e) {
		*out = list;
		*n = k;
	}
	return e;
}

enum err secret_rewrap_row(struct tx *tx, const struct secret_row *r, struct errtext *et)
{
	return db_exec(tx, et,
		"UPDATE secret SET key_id = ?, wrapped = ? WHERE project = ? AND name = ?",
		P_TEXT(r->key_id), P_BLOB(r->wrapped), P_TEXT(r->project), P_TEXT(r->name));
}

enum err secret_delete_row(struct tx *tx, struct str project, struct str name, struct errtext *et)
{
	enum err e = db_exec(tx, et, "DELETE FROM secret WHERE project = ? AND name = ?",
		P_TEXT(project), P_TEXT(name));
	if (!e && !db_changes(tx))
		e = err_set(et, ERR_NOT_FOUND, "there is no secret %.*s in project %.*s",
			STR_FMT(str_sub(name, 0, 100)), STR_FMT(project));
	return e;
}
