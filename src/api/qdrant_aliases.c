/* Qdrant: aliases of collections. */
#include "api/api_int.h"
#include "api/qdrant.h"
#include "collection/alias.h"

/* ---- what there is ---- */

static void list_aliases(
	struct croft *c, struct http_request *rq, struct http_response *rs, struct str of)
{
	struct qd q;
	struct alias *list = NULL;
	struct buf b = {0};
	struct jw w;
	size_t n = 0;
	enum err e = qd_begin(&q, c, rq, rs);
	e = e ? e : collection_aliases(c, project_of(rq), of, rq->arena, &list, &n, &q.et);
	if (e) {
		qd_fail(&q, e);
		return;
	}
	qd_result(&q, &w, &b);
	jw_obj(&w);
	jw_key(&w, "aliases");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++) {
		jw_obj(&w);
		jw_kstr(&w, "alias_name", list[i].name);
		jw_kstr(&w, "collection_name", list[i].collection);
		jw_end(&w);
	}
	jw_end(&w);
	jw_end(&w);
	qd_end(&q, &w);
}

void qd_aliases(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	list_aliases(c, rq, rs, S(""));
}

void qd_aliases_of(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	list_aliases(c, rq, rs, http_param(rq, "collection"));
}

/* ---- changes ---- */

static enum err want_name(
	struct qd *q, yyjson_val *o, const char *action, const char *member, struct str *out)
{
	*out = json_str(o, member);
	return out->n ? OK
		      : err_set(&q->et, ERR_INVALID, "%s.%s (a text) is missing", action, member);
}

static enum err read_action(struct qd *q, yyjson_val *o, struct alias_change *out)
{
	yyjson_val *create = item_json_get(o, "create_alias"),
		   *gone = item_json_get(o, "delete_alias"),
		   *old = item_json_get(o, "rename_alias");
	enum err e = OK;
	*out = (struct alias_change){.kind = create ? ALIAS_SET
					     : gone ? ALIAS_DROP
						    : ALIAS_RENAME,
		.missing_ok = true};
	if (create) {
		e = want_name(q, create, "create_alias", "alias_name", &out->name);
		return e ? e : want_name(q, create, "create_alias", "collection_name", &out->to);
	}
	if (gone)
		return want_name(q, gone, "delete_alias", "alias_name", &out->name);
	if (!old)
		return err_set(&q->et, ERR_INVALID,
			"an action must be one of create_alias, delete_alias, rename_alias");
	e = want_name(q, old, "rename_alias", "old_alias_name", &out->name);
	return e ? e : want_name(q, old, "rename_alias", "new_alias_name", &out->to);
}

static enum err read_actions(struct qd *q, struct alias_change **out, size_t *n)
{
	yyjson_val *list = yyjson_obj_get(q->body, "actions"), *o;
	size_t i, count = yyjson_arr_size(list), max;
	enum err e = OK;
	if (!yyjson_is_arr(list) || count > ALIAS_CHANGES_MAX)
		return err_set(&q->et, ERR_INVALID, "actions must be a list of at most %d",
			ALIAS_CHANGES_MAX);
	*out = arena_array_of(q->rq->arena, count + 1, struct alias_change);
	if (!*out)
		return err_set(&q->et, ERR_NOMEM, "no memory for a request");
	yyjson_arr_foreach(list, i, max, o)
	{
		e = read_action(q, o, &(*out)[i]);
		if (e)
			return err_wrap(&q->et, e, "actions[%zu]", i);
	}
	*n = count;
	return OK;
}

void qd_change_aliases(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct qd q;
	struct alias_change *changes = NULL;
	size_t n = 0;
	enum err e = qd_begin(&q, c, rq, rs);
	e = e ? e : read_actions(&q, &changes, &n);
	e = e ? e : collection_aliases_change(c, rq->who, project_of(rq), changes, n, &q.et);
	if (e)
		qd_fail(&q, e);
	else
		qd_true(&q);
}
