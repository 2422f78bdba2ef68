/* Anthropic's Messages API: what its official clients send and expect, over the same endpoints as
 * /v1/chat/completions.
 *
 *	anthropic_params.c    request bodies to struct chat_params
 *	anthropic_error.c     errors
 *	anthropic_messages.c  run, render whole or as events; count_tokens
 *	anthropic_models.c    /v1/models, for those who send anthropic-version */
#ifndef API_ANTHROPIC_H
#define API_ANTHROPIC_H
#include "api/api_int.h"

/* counting: max_tokens may be absent. Strings point into the document, which the arena frees.
 * What the models here cannot do (images, documents, tools of the vendor) is refused by name. */
enum err anthropic_parse(struct str body, bool counting, struct arena *a, struct chat_params *out,
	struct api_error *x);

void anthropic_error_json(const struct api_error *x, struct id request, struct buf *out);
/* request zero: it is not named. */
void anthropic_reply_error(struct http_response *rs, struct id request, const struct api_error *x);

/* Whether a request to a path that both APIs have speaks this one. */
bool anthropic_speaks(const struct http_request *rq);
void anthropic_models(struct croft *c, struct http_request *rq, struct http_response *rs);
void anthropic_model(struct croft *c, struct http_request *rq, struct http_response *rs);

#endif
