/* Anthropic's Messages API: what its official clients send and expect, over the same endpoints as
 * /v1/chat/completions.
 *
 *	anthropic_params.c    request bodies to struct chat_params
 *	anthropic_messages.c  run, render whole or as events; count_tokens */
#ifndef API_ANTHROPIC_H
#define API_ANTHROPIC_H
#include "api/api_int.h"

/* counting: max_tokens may be absent. Strings point into the document, which the arena frees.
 * What the models here cannot do (images, documents, tools of the vendor) is refused by name. */
enum err anthropic_parse(struct str body, bool counting, struct arena *a, struct chat_params *out,
	struct api_error *x);

#endif
