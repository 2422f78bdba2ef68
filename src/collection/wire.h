/* What the routes and the commands of this folder begin and end with. */
#ifndef COLLECTION_WIRE_H
#define COLLECTION_WIRE_H
#include "base/json.h"
#include "collection/jobs.h"
#include "module/cmd.h"
#include "net/http.h"

/* An object; {} when there is no body. It lives as long as the request. */
enum err wire_body(struct http_request *rq, yyjson_val **out, struct errtext *et) MUST_CHECK;
/* Answers with w, or with the error; frees w's buffer. */
void wire_reply(struct http_response *rs, enum err e, struct errtext *et, struct jw *w);
/* A call on the collection that the first argument names; doc (may be NULL): the reply. */
enum err wire_call(struct cmd *cmd, enum http_method method, const char *tail, struct str body,
	struct buf *reply, yyjson_doc **doc, struct errtext *et) MUST_CHECK;
/* What an option holds as a member: ERR_INVALID names the option when it is no JSON. */
enum err wire_json(struct jw *w, const char *option, const char *key, struct str json,
	struct errtext *et) MUST_CHECK;
/* The members "state", "error" and "progress" of a job. */
void wire_job(struct jw *w, const struct jobs_at *at);
/* Asks url + query until the job there has ended: ERR_CONFLICT with its reason when it failed. A
 * cancelled wait stops the job. */
enum err wire_wait(struct cmd *cmd, const char *url, const char *query, struct progress *p,
	struct errtext *et) MUST_CHECK;

/* Says of a restore or merge that its rows come afterwards. */
void wire_note_filling(struct cmd *cmd, yyjson_val *reply);

#endif
