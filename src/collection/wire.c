/* Bodies, answers and calls. */
#include "collection/wire.h"

enum err wire_body(struct http_request *rq, yyjson_val **out, struct errtext *et)
{
	yyjson_doc *doc;
	enum err e = json_parse(rq->body.n ? rq->body : S("{}"), &doc, et);
	if (e)
		return e;
	if (!arena_on_free(rq->arena, (void (*)(void *))yyjson_doc_free, doc)) {
		yyjson_doc_free(doc);
		return err_set(et, ERR_NOMEM, "no memory for a request");
	}
	*out = yyjson_doc_get_root(doc);
	return yyjson_is_obj(*out) ? OK
				   : err_set(et, ERR_INVALID, "the body must be a JSON object");
}

void wire_reply(struct http_response *rs, enum err e, struct errtext *et, struct jw *w)
{
	if (e)
		http_reply_error(rs, e, et);
	else
		http_reply_json(rs, 200, w);
	buf_free(w->out);
}

enum err wire_call(struct cmd *cmd, enum http_method method, const char *tail, struct str body,
	struct buf *reply, yyjson_doc **doc, struct errtext *et)
{
	struct buf url = {0};
	if (!cmd_n_args(cmd))
		return err_set(
			et, ERR_INVALID, "name the collection; `croft collections` lists them");
	buf_addc(&url, "/api/v1/collections/");
	url_encode(&url, cmd_arg(cmd, 0));
	buf_addc(&url, tail);
	enum err e = cmd_call(cmd, method, buf_c(&url), body, reply, et);
	if (!e && doc)
		e = json_parse(buf_str(reply), doc, et);
	buf_free(&url);
	return e;
}
