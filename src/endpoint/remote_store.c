/* Providers in the database. The fallbacks are a JSON list of names. */
#include "endpoint/remote_int.h"

const struct migration remote_migrations[1] = {
	{1, "providers",
		"CREATE TABLE remote_endpoint(name TEXT NOT NULL PRIMARY KEY, kind TEXT NOT NULL, "
		"url TEXT NOT NULL, model TEXT NOT NULL, key_secret TEXT NOT NULL, "
		"fallbacks TEXT NOT NULL, timeout_ms BIGINT NOT NULL, retries BIGINT NOT NULL, "
		"created_ms BIGINT NOT NULL, updated_ms BIGINT NOT NULL, created_by TEXT NOT "
		"NULL);"},
};

static const char *kind_word(enum remote_kind k)
{
	return k == REMOTE_ANTHROPIC ? "anthropic" : "openai";
}

enum err remote_store_put(struct tx *tx, const struct remote_row *r, struct errtext *et)
{
	struct buf list = {0};
	struct jw w = {.out = &list};
	jw_arr(&w);
	for (size_t i = 0; i < r->n_fallbacks; i++)
		jw_str(&w, r->fallback[i]);
	jw_end(&w);
	enum err e = !jw_done(&w)
			     ? err_set(et, ERR_NOMEM, "no memory")
			     : db_exec(tx, et,
				       "INSERT INTO remote_endpoint(name, kind, url, model, "
				       "key_secret, fallbacks, timeout_ms, retries, created_ms, "
				       "updated_ms, created_by) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, "
				       "?, ?) ON CONFLICT (name) DO UPDATE SET kind = "
				       "excluded.kind, url = excluded.url, model = excluded.model, "
				       "key_secret = excluded.key_secret, fallbacks = "
				       "excluded.fallbacks, timeout_ms = excluded.timeout_ms, "
				       "retries = excluded.retries, updated_ms = "
				       "excluded.updated_ms",
				       P_TEXT(r->name), P_TEXT(str_c(kind_word(r->kind))),
				       P_TEXT(r->url), P_TEXT(r->model), P_TEXT(r->key_secret),
				       P_TEXT(buf_str(&list)), P_I64(r->timeout_ms),
				       P_I64(r->retries), P_I64(r->created_ms),
				       P_I64(r->updated_ms), P_TEXT(r->created_by));
	buf_free(&list);
	return e;
}

enum err remote_store_delete(struct tx *tx, struct str name, struct errtext *et)
{
	enum err e = db_exec(tx, et, "DELETE FROM remote_endpoint WHERE name = ?", P_TEXT(name));
	if (!e && !db_changes(tx))
		e = err_set(et, ERR_NOT_FOUND, "there is no endpoint %.*s: see `croft endpoint ls`",
			STR_FMT(name));
	return e;
}

static enum err read_fallbacks(
	struct str json, struct arena *a, struct remote_row *out, struct errtext *et)
{
	yyjson_doc *doc;
	enum err e = json_parse(json, &doc, et);
	if (e)
		return err_wrap(et, ERR_CORRUPT, "the fallbacks of %.*s", STR_FMT(out->name));
	size_t i, n;
	yyjson_val *v;
	yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n, v)
	{
		if (out->n_fallbacks == REMOTE_FALLBACKS_MAX)
			break;
		struct str name = arena_str(a, json_val_str(v));
		if (!name.p)
			e = err_set(et, ERR_NOMEM, "no memory");
		else
			out->fallback[out->n_fallbacks++] = name;
	}
	yyjson_doc_free(doc);
	return e;
}

static enum err read_row(struct row *r, struct arena *a, struct remote_row *out, struct errtext *et)
{
	*out = (struct remote_row){.name = arena_str(a, row_text(r, 0)),
		.kind = str_eq_c(row_text(r, 1), "anthropic") ? REMOTE_ANTHROPIC : REMOTE_OPENAI,
		.url = arena_str(a, row_text(r, 2)),
		.model = arena_str(a, row_text(r, 3)),
		.key_secret = arena_str(a, row_text(r, 4)),
		.timeout_ms = row_i64(r, 6),
		.retries = row_i64(r, 7),
		.created_ms = row_i64(r, 8),
		.updated_ms = row_i64(r, 9),
		.created_by = arena_str(a, row_text(r, 10))};
	if (!out->name.p || !out->url.p || !out->model.p || !out->key_secret.p ||
		!out->created_by.p)
		return err_set(et, ERR_NOMEM, "no memory for the endpoints");
	return read_fallbacks(row_text(r, 5), a, out, et);
}

enum err remote_store_list(
	struct tx *tx, struct arena *a, struct remote_row **out, size_t *n, struct errtext *et)
{
	struct remote_row *rows = arena_array_of(a, REMOTES_MAX, struct remote_row);
	struct row *r = NULL;
	size_t k = 0;
	enum err e = rows ? db_query(tx, &r, et,
				    "SELECT name, kind, url, model, key_secret, fallbacks, "
				    "timeout_ms, retries, created_ms, updated_ms, created_by FROM "
				    "remote_endpoint ORDER BY name LIMIT ?",
				    P_I64(REMOTES_MAX))
			  : err_set(et, ERR_NOMEM, "no memory for the endpoints");
	while (!e && row_next(r, &e, et)) {
		e = read_row(r, a, &rows[k], et);
		k++;
	}
	row_free(r);
	if (!e) {
		*out = rows;
		*n = k;
	}
	return e;
}
