/* Bodies of the Messages API: each is refused with a reason, or a conversation whose every part is
 * there. */
#include "api/anthropic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool yes)
{
	if (!yes)
		__builtin_trap();
}

static void parse(struct str body, bool counting)
{
	struct arena *a = arena_new(0);
	struct chat_params p;
	struct api_error x = {0};
	if (!a)
		return;
	if (anthropic_parse(body, counting, a, &p, &x)) {
		must(x.e && x.et.msg[0]);
		arena_free(a);
		return;
	}
	must(p.n_messages && (counting || p.gen.max_tokens));
	size_t bytes = 0;
	for (size_t i = 0; i < p.n_messages; i++) {
		const struct chat_message *m = &p.messages[i];
		must(m->role.n && m->content.p);
		must(!str_eq_c(m->role, "tool") || m->tool_call_id.n);
		bytes += m->content.n + m->tool_calls_json.n;
	}
	for (size_t i = 0; i < p.n_tools; i++)
		must(p.tools[i].name.n && p.tools[i].parameters.n);
	must(p.tool_choice != TOOLS_NAMED || p.tool_name.n);
	must(bytes <= 64 * body.n + 64);
	arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str body = str_mk((const char *)data, size);
	parse(body, false);
	parse(body, true);
	return 0;
}
