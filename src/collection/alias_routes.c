/* Routes of aliases. */
#include "base/clock.h"
#include "collection/alias.h"
#include "collection/collection_int.h"
#include "collection/wire.h"

/* All of the project, or of one collection, after a change that went well. */
static void reply_aliases(struct croft *c, struct http_request *rq, struct http_response *rs,
	struct str of, enum err e, struct errtext *et)
{
	char t[CLOCK_TEXT];
	struct alias *list = NULL;
	size_t n = 0;
	struct buf b = {0};
	struct jw w = {.out = &b};
	e = e ? e : collection_aliases(c, project_of(rq), of, rq->arena, &list, &n, et);
	jw_obj(&w);
	jw_key(&w, "aliases");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++) {
		jw_obj(&w);
		jw_kstr(&w, "name", list[i].name);
		jw_kstr(&w, "collection", list[i].collection);
		clock_rfc3339(list[i].moved_ms, t);
		jw_kc(&w, "moved", t);
		jw_end(&w);
	}
	jw_end(&w);
	jw_end(&w);
	wire_reply(rs, e, et, &w);
}

static void change(struct croft *c, struct http_request *rq, struct http_response *rs,
	const struct alias_change *changes, size_t n, enum err e, struct errtext *et)
{
	e = e ? e : collection_aliases_change(c, rq->who, project_of(rq), changes, n, et);
	reply_aliases(c, rq, rs, S(""), e, et);
}

void get_aliases(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	reply_aliases(c, rq, rs, http_query(rq, "collection"), OK, &et);
}

void put_alias(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct alias_change k = {.kind = ALIAS_SET, .name = http_param(rq, "alias"), .to = S("")};
	yyjson_val *o = NULL;
	enum err e = wire_body(rq, &o, &et);
	e = e ? e : json_want_str(o, "collection", &k.to, &et);
	if (!e && !k.to.n)
		e = err_set(&et, ERR_INVALID, "say what it is an alias of: collection");
	change(c, rq, rs, &k, 1, e, &et);
}

void delete_alias(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct alias_change k = {.kind = ALIAS_DROP, .name = http_param(rq, "alias")};
	change(c, rq, rs, &k, 1, OK, &et);
}

/* {set, collection}, {delete} or {rename, to} */
static enum err read_change(yyjson_val *o, struct alias_change *out, struct errtext *et)
{
	struct str set = S(""), collection = S(""), gone = S(""), old = S(""), to = S("");
	enum err e = json_want_str(o, "set", &set, et);
	e = e ? e : json_want_str(o, "collection", &collection, et);
	e = e ? e : json_want_str(o, "delete", &gone, et);
	e = e ? e : json_want_str(o, "rename", &old, et);
	e = e ? e : json_want_str(o, "to", &to, et);
	if (!e && (set.n > 0) + (gone.n > 0) + (old.n > 0) != 1)
		e = err_set(
			et, ERR_INVALID, "a change is {set, collection}, {delete} or {rename, to}");
	if (!e && set.n && !collection.n)
		e = err_set(et, ERR_INVALID, "collection is missing");
	if (!e && old.n && !to.n)
		e = err_set(et, ERR_INVALID, "to is missing: the new name");
	*out = set.n    ? (struct alias_change){.kind = ALIAS_SET, .name = set, .to = collection}
	       : gone.n ? (struct alias_change){.kind = ALIAS_DROP, .name = gone}
			: (struct alias_change){.kind = ALIAS_RENAME, .name = old, .to = to};
	return e;
}

void post_aliases(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	yyjson_val *o = NULL, *list, *v;
	size_t i, max, n = 0;
	enum err e = wire_body(rq, &o, &et);
	list = e ? NULL : yyjson_obj_get(o, "changes");
	if (!e && (!yyjson_is_arr(list) || yyjson_arr_size(list) > ALIAS_CHANGES_MAX))
		e = err_set(&et, ERR_INVALID, "changes must be a list of at most %d",
			ALIAS_CHANGES_MAX);
	struct alias_change *changes =
		e ? NULL
		  : arena_array_of(rq->arena, yyjson_arr_size(list) + 1, struct alias_change);
	if (!e && !changes)
		e = err_set(&et, ERR_NOMEM, "no memory for a request");
	yyjson_arr_foreach(list, i, max, v)
	{
		if (e)
			break;
		e = read_change(v, &changes[n++], &et);
		if (e)
			e = err_wrap(&et, e, "change %zu", i);
	}
	change(c, rq, rs, changes, n, e, &et);
}
