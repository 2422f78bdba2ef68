/* /v1/conversations: what was said, kept under a name of its own, for responses to go on with. */
#include "api/responses.h"

#include "base/clock.h"

static enum err parse_body(const struct http_request *rq, yyjson_val **o, struct api_error *x)
{
	return api_parse_body(rq->body.n ? rq->body : S("{}"), rq->arena, o, x);
}

static enum err parse_items(yyjson_val *o, bool needed, struct arena *a, struct item **items,
	size_t *n, struct api_error *x)
{
	yyjson_val *v = api_get(o, "items");
	if (!v && needed)
		return api_fail(
			x, ERR_INVALID, "missing_required_parameter", "items", "items is missing");
	if (v && !yyjson_is_arr(v))
		return api_fail(x, ERR_INVALID, "invalid_type", "items", "items must be a list");
	enum err e = v ? items_parse(v, "items", ITEMS_ADDED_MAX, a, items, n, x) : OK;
	for (size_t i = 0; i < *n && !e; i++)
		if ((*items)[i].reference.n)
			e = api_fail(x, ERR_INVALID, "unsupported_value", "items",
				"items[%zu]: an item_reference is nothing to keep: send the item",
				i);
	return e;
}

static enum err find_id(const struct http_request *rq, struct id *out, struct api_error *x)
{
	struct str text = http_param(rq, "id");
	if (conversation_id_parse(text, out))
		return OK;
	return api_fail(x, ERR_NOT_FOUND, "not_found", "conversation_id",
		"Conversation with id '%.*s' not found.", STR_FMT(str_sub(text, 0, 64)));
}

/* ---- replies ---- */

static void reply_conversation(struct http_response *rs, const struct conversation *v)
{
	char id[RESPONSE_ID + 1];
	struct buf b = {0};
	struct jw w = {.out = &b};
	conversation_id(v->id, id);
	jw_obj(&w);
	jw_kc(&w, "id", id);
	jw_kc(&w, "object", "conversation");
	jw_ki64(&w, "created_at", v->created_ms / 1000);
	jw_key(&w, "metadata"), jw_raw(&w, v->metadata);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

static void finish(struct http_response *rs, enum err e, const struct conversation *v,
	const struct api_error *x)
{
	if (e)
		api_reply_error(rs, x);
	else
		reply_conversation(rs, v);
}

/* ---- conversations ---- */

static void create(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct conversation v = {.id = id_new(), .created_ms = clock_unix_ms()};
	struct item *items = NULL;
	size_t n = 0;
	yyjson_val *o;
	enum err e = parse_body(rq, &o, &x);
	e = e ? e : api_parse_metadata(o, S("{}"), rq->arena, &v.metadata, &x);
	e = e ? e : parse_items(o, false, rq->arena, &items, &n, &x);
	if (!e) {
		e = conversation_add(c, project_of(rq), &v, items, n, &x.et);
		e = e ? store_failed(&x, e, NULL) : OK;
	}
	finish(rs, e, &v, &x);
}

static enum err get(struct croft *c, const struct http_request *rq, struct conversation *out,
	struct api_error *x)
{
	struct id id;
	enum err e = find_id(rq, &id, x);
	if (e)
		return e;
	e = conversation_get(c, project_of(rq), id, rq->arena, out, &x->et);
	return e ? store_failed(x, e, "conversation_id") : OK;
}

static void show(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct conversation v;
	enum err e = get(c, rq, &v, &x);
	finish(rs, e, &v, &x);
}

static void update(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct conversation v;
	yyjson_val *o;
	enum err e = get(c, rq, &v, &x);
	e = e ? e : parse_body(rq, &o, &x);
	e = e ? e : api_parse_metadata(o, S("{}"), rq->arena, &v.metadata, &x);
	if (!e) {
		e = conversation_update(c, project_of(rq), v.id, v.metadata, &x.et);
		e = e ? store_failed(&x, e, "conversation_id") : OK;
	}
	finish(rs, e, &v, &x);
}

static void delete (struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct id id;
	char text[RESPONSE_ID + 1];
	enum err e = find_id(rq, &id, &x);
	if (!e) {
		e = conversation_delete(c, rq->who, project_of(rq), id, &x.et);
		e = e ? store_failed(&x, e, "conversation_id") : OK;
	}
	if (e) {
		api_reply_error(rs, &x);
		return;
	}
	struct buf b = {0};
	struct jw w = {.out = &b};
	conversation_id(id, text);
	jw_obj(&w);
	jw_kc(&w, "id", text);
	jw_kc(&w, "object", "conversation.deleted");
	jw_kbool(&w, "deleted", true);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

/* ---- items ---- */

static void add(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct id id;
	struct item *items = NULL;
	size_t n = 0;
	yyjson_val *o;
	enum err e = find_id(rq, &id, &x);
	e = e ? e : parse_body(rq, &o, &x);
	e = e ? e : parse_items(o, true, rq->arena, &items, &n, &x);
	if (!e) {
		e = conversation_append(c, project_of(rq), id, items, n, &x.et);
		e = e ? store_failed(&x, e, "conversation_id") : OK;
	}
	if (e)
		api_reply_error(rs, &x);
	else
		reply_items(rs, items, n, false);
}

static void list(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct id id;
	struct item_page page;
	struct item *items = NULL;
	size_t n = 0;
	bool more = false;
	enum err e = find_id(rq, &id, &x);
	e = e ? e : item_page_parse(rq, &page, &x);
	if (!e) {
		e = conversation_items(
			c, project_of(rq), id, &page, rq->arena, &items, &n, &more, &x.et);
		e = e ? store_failed(&x, e, NULL) : OK;
	}
	if (e)
		api_reply_error(rs, &x);
	else
		reply_items(rs, items, n, more);
}

static void show_item(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct id id;
	struct item it;
	enum err e = find_id(rq, &id, &x);
	if (!e) {
		e = conversation_item(
			c, project_of(rq), id, http_param(rq, "item"), rq->arena, &it, &x.et);
		e = e ? store_failed(&x, e, "item_id") : OK;
	}
	if (e)
		api_reply_error(rs, &x);
	else
		http_reply(rs, 200, "application/json", it.json);
}

/* Answers with the conversation, as OpenAI's clients read it. */
static void delete_item(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct conversation v;
	enum err e = get(c, rq, &v, &x);
	if (!e) {
		e = conversation_item_delete(
			c, rq->who, project_of(rq), v.id, http_param(rq, "item"), &x.et);
		e = e ? store_failed(&x, e, "item_id") : OK;
	}
	finish(rs, e, &v, &x);
}

static const struct route routes[] = {
	{HTTP_POST, "/v1/conversations", create, PERM_MODEL_USE, "Begin a conversation", NULL,
		"{ metadata?: object, items?: object[] }", "OpenAIConversation", 0},
	{HTTP_GET, "/v1/conversations/{id}", show, PERM_RUN_READ, "Show a conversation", NULL, NULL,
		"OpenAIConversation", 0},
	{HTTP_POST, "/v1/conversations/{id}", update, PERM_MODEL_USE,
		"Give a conversation other metadata", NULL, "{ metadata: object }",
		"OpenAIConversation", 0},
	{HTTP_DELETE, "/v1/conversations/{id}", delete, PERM_RUN_WRITE, "Remove a conversation",
		NULL, NULL, "{ id, object: \"conversation.deleted\", deleted: boolean }", 0},
	{HTTP_POST, "/v1/conversations/{id}/items", add, PERM_MODEL_USE,
		"Add items to a conversation", NULL, "{ items: object[] }", "OpenAIItems", 0},
	{HTTP_GET, "/v1/conversations/{id}/items", list, PERM_RUN_READ,
		"List the items of a conversation",
		"{ limit?: int, order?: \"asc\" | \"desc\", after?, include? }", NULL,
		"OpenAIItems", 0},
	{HTTP_GET, "/v1/conversations/{id}/items/{item}", show_item, PERM_RUN_READ,
		"Show an item of a conversation", NULL, NULL, "object", 0},
	{HTTP_DELETE, "/v1/conversations/{id}/items/{item}", delete_item, PERM_RUN_WRITE,
		"Remove an item of a conversation", NULL, NULL, "OpenAIConversation", 0},
};

static const struct shape shapes[] = {
	{"OpenAIConversation",
		"{ id, object: \"conversation\", created_at: int, metadata: object }"},
};

const struct module conversations_module = {
	.name = "conversations",
	TABLE(routes),
	TABLE(shapes),
};
