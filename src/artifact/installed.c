/* An installed model is a version of the artifact model/NAME: its digest is the model's, its source
 * is where it was pulled from, and a fact says that it is on this machine. Removing the files ends
 * that fact; the version stays, with its history, and pulling the same again finds it. */
#include "artifact/artifact_int.h"
#include "artifact/registry_int.h"

static struct str metadata_of(const struct model_row *m, struct buf *out)
{
	struct jw w = {.out = out};
	yyjson_doc *doc = NULL;
	yyjson_val *k, *v;
	size_t i, n;
	jw_obj(&w);
	jw_kc(&w, "purpose", purpose_word(m->purpose));
	jw_kstr(&w, "licence", m->licence);
	jw_kstr(&w, "sha256", m->sha256);
	if (!json_parse(m->info, &doc, NULL))
		yyjson_obj_foreach(yyjson_doc_get_root(doc), i, n, k, v)
		{
			jw_key_str(&w, json_val_str(k));
			jw_val(&w, v);
		}
	yyjson_doc_free(doc);
	jw_end(&w);
	return buf_str(out);
}

static enum err note_here(struct tx *tx, struct id artifact, int64_t version,
	enum model_purpose purpose, struct arena *a, struct errtext *et)
{
	struct fact f;
	bool found = false;
	enum err e = fact_now(tx, artifact, version, S("installed"), S(""), a, &f, &found, et);
	if (e || found)
		return e;
	return fact_add(tx, &registry_self,
		&(struct fact){.artifact = artifact,
			.version = version,
			.what = S("installed"),
			.value = str_c(purpose_word(purpose))},
		NULL, et);
}

/* Those of other digests under that name are no longer here. */
static enum err end_others(
	struct tx *tx, struct id artifact, int64_t but, struct arena *a, struct errtext *et)
{
	struct fact *list;
	size_t n = 0;
	enum err e = facts_now(tx, artifact, -1, S("installed"), a, &list, &n, et);
	for (size_t i = 0; i < n && !e; i++)
		if (list[i].version != but)
			e = fact_add(tx, &registry_self,
				&(struct fact){.artifact = artifact,
					.version = list[i].version,
					.what = S("installed")},
				NULL, et);
	return e;
}

/* An adapter is derived from the version of its base that is here. */
static enum err note_base(struct tx *tx, const struct model_row *m, struct id artifact,
	int64_t version, struct arena *a, struct errtext *et)
{
	struct artifact base;
	struct fact *list;
	size_t n = 0;
	enum err e = artifact_find(tx, registry_self.project, S("model"), m->base, a, &base, et);
	if (e == ERR_NOT_FOUND)
		return OK;
	if (!e)
		e = facts_now(tx, base.id, -1, S("installed"), a, &list, &n, et);
	if (!e && n)
		e = lineage_add(tx, &registry_self,
			&(struct edge){.node = node_version(a, artifact, version),
				.kind = EDGE_DERIVED,
				.source = node_version(a, base.id, list[0].version)},
			et);
	return e;
}

enum err installed_note(struct tx *tx, const struct model_row *m, struct errtext *et)
{
	struct arena *a = arena_new(8 << 20);
	struct buf metadata = {0};
	struct artifact of;
	int64_t version = 0;
	if (!a)
		return err_set(et, ERR_NOMEM, "no memory");
	struct version_new v = {.kind = S("model"),
		.name = m->name,
		.digest = m->sha256,
		.source = m->source,
		.bytes = (int64_t)m->bytes,
		.metadata = metadata_of(m, &metadata),
		.reuse = true};
	enum err e = artifact_put_version(tx, &registry_self, &v, &version, et);
	if (!e)
		e = artifact_find(tx, registry_self.project, S("model"), m->name, a, &of, et);
	if (!e)
		e = end_others(tx, of.id, version, a, et);
	if (!e)
		e = note_here(tx, of.id, version, m->purpose, a, et);
	if (!e && m->source.n && str_find(m->source, S(":")) != STR_NONE)
		e = lineage_add(tx, &registry_self,
			&(struct edge){.node = node_version(a, of.id, version),
				.kind = EDGE_DERIVED,
				.source = m->source},
			et);
	if (!e && m->base.n)
		e = note_base(tx, m, of.id, version, a, et);
	buf_free(&metadata);
	arena_free(a);
	return e;
}

enum err installed_forget(struct tx *tx, struct str name, struct errtext *et)
{
	struct arena *a = arena_new(8 << 20);
	struct artifact of;
	enum err e = a ? artifact_find(tx, registry_self.project, S("model"), name, a, &of, et)
		       : err_set(et, ERR_NOMEM, "no memory");
	if (!e)
		e = end_others(tx, of.id, 0, a, et);
	arena_free(a);
	return e == ERR_NOT_FOUND ? OK : e;
}

static enum err is_noted(
	struct db *db, const struct model_row *m, struct arena *a, bool *yes, struct errtext *et)
{
	struct tx *tx;
	struct artifact of;
	struct fact *list;
	size_t n = 0;
	*yes = false;
	enum err e = db_begin(db, TX_READ, &tx, et);
	if (e)
		return e;
	e = artifact_find(tx, registry_self.project, S("model"), m->name, a, &of, et);
	if (!e)
		e = facts_now(tx, of.id, -1, S("installed"), a, &list, &n, et);
	db_rollback(tx);
	*yes = !e && n;
	return e == ERR_NOT_FOUND ? OK : e;
}

enum err installed_note_all(struct db *db, struct errtext *et)
{
	struct arena *a = arena_new(0);
	struct model_row *rows;
	size_t n = 0;
	enum err e = a ? model_rows(db, a, &rows, &n, et) : err_set(et, ERR_NOMEM, "no memory");
	for (size_t i = 0; i < n && !e; i++) {
		bool noted;
		struct tx *tx;
		e = is_noted(db, &rows[i], a, &noted, et);
		if (e || noted)
			continue;
		e = db_begin(db, TX_WRITE, &tx, et);
		if (e)
			break;
		e = installed_note(tx, &rows[i], et);
		e = db_finish(tx, e, et);
	}
	arena_free(a);
	return e;
}
