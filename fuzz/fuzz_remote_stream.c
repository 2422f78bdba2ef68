/* What a provider sends: the first byte says which protocol and how it is cut. Whatever follows is
 * an error or events in the order that chat.h promises, and the same however it is cut. */
#include "endpoint/remote_int.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	struct buf text;
	unsigned calls;
	bool open;
};

static bool on_event(void *ctx, const struct chat_event *ev)
{
	struct seen *s = ctx;
	bool call = ev->kind != CHAT_TEXT && ev->kind != CHAT_REASONING;
	if (ev->kind == CHAT_CALL ? s->open || ev->call != s->calls
				  : call && (!s->open || ev->call + 1 != s->calls))
		__builtin_trap();
	if ((!call && s->open) || !utf8_valid(ev->text))
		__builtin_trap();
	if (ev->kind == CHAT_CALL)
		s->calls++;
	if (call)
		s->open = ev->kind != CHAT_CALL_END;
	buf_addf(&s->text, "%d:%.*s;", (int)ev->kind, STR_FMT(ev->text));
	return true;
}

static enum err run(enum remote_kind kind, struct str in, size_t step, struct seen *seen)
{
	struct remote_stream s;
	enum err e = OK;
	remote_stream_init(&s, kind, on_event, seen);
	for (size_t i = 0; i < in.n && !e; i += step)
		e = remote_stream_feed(&s, str_sub(in, i, i + step), NULL);
	if (!e)
		e = remote_stream_end(&s, NULL);
	if (!e && seen->open)
		__builtin_trap();
	remote_stream_free(&s);
	return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	enum remote_kind kind = data[0] & 1 ? REMOTE_ANTHROPIC : REMOTE_OPENAI;
	struct str in = str_mk(data + 1, size - 1);
	struct seen a = {0}, b = {0}, c = {0};
	struct remote_stream whole;
	enum err e = run(kind, in, in.n ? in.n : 1, &a), f = run(kind, in, 1 + data[0] / 16, &b);
	if (e != f || !str_eq(buf_str(&a.text), buf_str(&b.text)))
		__builtin_trap();
	remote_stream_init(&whole, kind, on_event, &c);
	(void)!remote_stream_whole(&whole, in, NULL);
	remote_stream_free(&whole);
	buf_free(&a.text);
	buf_free(&b.text);
	buf_free(&c.text);
	return 0;
}
