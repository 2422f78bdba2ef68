/* What the files behind chat.h share.
 *
 *	chat.c           a turn: prompt, answer, result, receipt
 *	chat_prompt.c    messages and tools to the tokens of a prompt
 */
#ifndef ENDPOINT_CHAT_INT_H
#define ENDPOINT_CHAT_INT_H
#include "endpoint/chat.h"

/* A span of `run` (may be NULL) tells what was rendered. Appends to out. */
enum err chat_prompt_make(struct endpoint *ep, struct run *run, const struct chat_request *r,
	struct tokens *out, struct errtext *et) MUST_CHECK;

/* The same for an endpoint of a provider (remote.h), which has no model. */
enum err endpoint_remote_chat(struct croft *c, struct endpoint *ep, struct run *run,
	const struct chat_request *r, struct chat_result *out, struct errtext *et) MUST_CHECK;

#endif
