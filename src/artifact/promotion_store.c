/* SQL of promotion rules. A rule that ended stays: what was demanded at a time can be looked up. */
#include "artifact/promotion.h"
#include "artifact/registry_int.h"
#include "base/clock.h"

enum err rule_put(
	struct tx *tx, struct str project, const struct promotion_rule *r, struct errtext *et)
{
	struct buf checks = {0};
	struct jw w = {.out = &checks};
	jw_arr(&w);
	for (size_t i = 0; i < r->n_checks; i++)
		jw_str(&w, r->checks[i]);
	jw_end(&w);
	enum err e = db_exec(tx, et,
		"INSERT INTO promotion_rule (id, project, kind, name, alias, checks, approvals, "
		"creator, created_ms, ended_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
		P_ID(r->id), P_TEXT(project), P_TEXT(r->kind), P_TEXT(r->name), P_TEXT(r->alias),
		P_TEXT(buf_str(&checks)), P_I64(r->approvals), P_TEXT(r->creator),
		P_I64(r->created_ms));
	buf_free(&checks);
	return e;
}

enum err rule_end(struct tx *tx, struct str project, struct id id, bool *found, struct errtext *et)
{
	enum err e = db_exec(tx, et,
		"UPDATE promotion_rule SET ended_ms = ? WHERE project = ? AND id = ? AND ended_ms "
		"= 0",
		P_I64(clock_unix_ms()), P_TEXT(project), P_ID(id));
	if (!e)
		*found = db_changes(tx) > 0;
	return e;
}

static enum err read_checks(
	struct str json, struct arena *a, struct promotion_rule *r, struct errtext *et)
{
	yyjson_doc *doc;
	yyjson_val *v;
	size_t i, n;
	enum err e = json_parse(json, &doc, et);
	if (e)
		return e;
	r->checks = arena_array_of(a, RULE_CHECKS_MAX, struct str);
	if (!r->checks)
		e = err_set(et, ERR_NOMEM, "no memory for promotion rules");
	yyjson_arr_foreach(
		yyjson_doc_get_root(doc), i, n, v) if (!e && r->n_checks < RULE_CHECKS_MAX) e =
		row_copy(a, json_val_str(v), &r->checks[r->n_checks++], et);
	yyjson_doc_free(doc);
	return e;
}

static enum err read_rule(
	struct row *r, struct arena *a, struct promotion_rule *out, struct errtext *et)
{
	*out = (struct promotion_rule){
		.id = row_id(r, 0), .approvals = row_i64(r, 5), .created_ms = row_i64(r, 7)};
	enum err e = row_copy(a, row_text(r, 1), &out->kind, et);
	if (!e)
		e = row_copy(a, row_text(r, 2), &out->name, et);
	if (!e)
		e = row_copy(a, row_text(r, 3), &out->alias, et);
	if (!e)
		e = row_copy(a, row_text(r, 6), &out->creator, et);
	return e ? e : read_checks(row_text(r, 4), a, out, et);
}

enum err rule_list(struct tx *tx, struct str project, struct arena *a, struct promotion_rule **out,
	size_t *n, struct errtext *et)
{
	struct row *r;
	size_t k = 0;
	struct promotion_rule *list = NULL;
	enum err e = db_query(tx, &r, et,
		"SELECT id, kind, name, alias, checks, approvals, creator, created_ms "
		"FROM promotion_rule WHERE project = ? AND ended_ms = 0 ORDER BY id LIMIT ?",
		P_TEXT(project), P_I64(RULES_MAX));
	if (e)
		return e;
	while (!e && row_next(r, &e, et)) {
		if (!list)
			list = arena_array_of(a, RULES_MAX, struct promotion_rule);
		if (!list)
			e = err_set(et, ERR_NOMEM, "no memory for promotion rules");
		else
			e = read_rule(r, a, &list[k++], et);
	}
	row_free(r);
	if (e)
		return e;
	*out = list;
	*n = k;
	return OK;
}
