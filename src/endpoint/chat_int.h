/* What the files behind chat.h share.
 *
 *	chat.c           a turn: prompt, answer, result, receipt
 *	chat_answer.c    the answer: runs of the generator, and what their text means
 *	chat_prompt.c    messages and tools to the tokens of a prompt
 *	chat_tools.c     what a call must look like, as a constraint
 *	chat_xml.c       the same where arguments stand one after the other
 */
#ifndef ENDPOINT_CHAT_INT_H
#define ENDPOINT_CHAT_INT_H
#include "base/arena.h"
#include "base/json.h"
#include "endpoint/chat.h"
#include "engine/stopper.h"
#include "engine/thinking.h"
#include "engine/toolcall.h"

enum { CHAT_CALLS_MAX = 64, CHAT_TOOLS_MAX = 256 };

/* How this model is talked to, by its template. */
struct chat_manner {
	const struct toolcall_family *family;
	bool renders_tools; /* otherwise we explain them, and write calls and results as text */
	const struct thinking_signs *thinks;
};
struct chat_manner chat_manner_of(const struct endpoint *ep);

/* A span of `run` (may be NULL) tells what was rendered. Appends to *out; *text is the prompt, to
 * free, or NULL if nobody wants it. */
enum err chat_prompt_make(struct endpoint *ep, struct run *run, const struct chat_request *r,
	struct tokens *out, struct buf *text, struct errtext *et) MUST_CHECK;

/* ---- tools ---- */

/* Names and schemas of the tools; ERR_INVALID names the one that is wrong. */
enum err chat_tools_check(const struct chat_request *r, struct errtext *et) MUST_CHECK;
/* What follows a call's beginning in this syntax: the JSON of a call or of a list of them. `only`
 * SIZE_MAX: of any tool. `free[i]`: tool i takes any object. */
enum err chat_tools_calls(struct croft *c, const struct chat_request *r,
	const struct toolcall_syntax *s, const bool *free, struct constraint **out,
	struct errtext *et) MUST_CHECK;
/* The arguments alone, and the names. */
enum err chat_tools_arguments(struct croft *c, const struct chat_request *r, size_t tool, bool free,
	struct constraint **out, struct errtext *et) MUST_CHECK;
enum err chat_tools_names(struct croft *c, const struct chat_request *r, struct constraint **out,
	struct errtext *et) MUST_CHECK;
/* May this one be called? */
bool chat_tool_wanted(const struct chat_request *r, size_t tool);
/* Tools whose schema cannot be enforced: an error when they must be, free[i] otherwise. */
enum err chat_tools_compile(struct croft *c, const struct chat_request *r,
	const struct toolcall_syntax *s, bool *free, struct errtext *et) MUST_CHECK;

/* ---- arguments one after the other (TOOLCALL_XML) ---- */

struct chat_xml { /* a tool's arguments, those that are still to come */
	yyjson_doc *doc;
	yyjson_val *root;
	yyjson_obj_iter iter;
	size_t n;
};
/* How this argument of this tool is meant when it is read; `held`: while it is held. */
enum toolcall_value chat_xml_meant(
	const struct chat_request *r, struct str tool, struct str argument, bool held);
/* ERR_UNSUPPORTED names what of the tool's schema cannot be enforced. */
enum err chat_xml_check(
	struct croft *c, const struct chat_request *r, size_t tool, struct errtext *et) MUST_CHECK;
enum err chat_xml_open(const struct chat_request *r, size_t tool, struct chat_xml *x,
	struct errtext *et) MUST_CHECK;
void chat_xml_free(struct chat_xml *x);
/* What may be written next: so many texts, as a JSON list; *only is the first. */
size_t chat_xml_choices(const struct chat_xml *x, struct buf *list, struct buf *only);
/* One of them was chosen: what its value is held to. *ends: that includes the sign after it. */
enum err chat_xml_value(struct croft *c, struct chat_xml *x, struct str chosen,
	struct constraint **out, bool *ends, struct errtext *et) MUST_CHECK;

/* ---- the answer ---- */

struct chat_turn {
	struct croft *c;
	struct endpoint *ep;
	const struct chat_request *r;
	struct chat_manner manner;
	struct tokens ids; /* the prompt, and what was written since */
	struct str prompt; /* as text */
	unsigned misread;  /* what began like a call and was none */
	struct chat_result res;
};
enum err chat_answer(struct chat_turn *t, struct errtext *et) MUST_CHECK;

/* The same for an endpoint of a provider (remote.h), which has no model. */
enum err endpoint_remote_chat(struct croft *c, struct endpoint *ep, struct run *run,
	const struct chat_request *r, struct chat_result *out, struct errtext *et) MUST_CHECK;

#endif
