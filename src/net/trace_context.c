/* W3C trace context: the header, and the thread's own. */
#include "net/trace_context.h"
#include "base/hash.h"

#include <stdio.h>

static _Thread_local struct trace_context now;

struct trace_context trace_context_now(void)
{
	return now;
}

void trace_context_set(struct trace_context c)
{
	now = c;
}

/* Lower case only, as the recommendation demands. */
static bool hex(struct str s, uint8_t *out, size_t n)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] >= 'A' && s.p[i] <= 'F')
			return false;
	return hex_decode(s, out, n);
}

bool traceparent_parse(struct str s, struct trace_context *out)
{
	struct trace_context c = {0};
	uint8_t version, span[8], flags;
	uint64_t v = 0;
	s = str_trim(s);
	if (s.n < TRACEPARENT || s.p[2] != '-' || s.p[35] != '-' || s.p[52] != '-' ||
		!hex(str_sub(s, 0, 2), &version, 1) || !hex(str_sub(s, 3, 35), c.trace.b, 16) ||
		!hex(str_sub(s, 36, 52), span, 8) || !hex(str_sub(s, 53, 55), &flags, 1))
		return false;
	if (version == 0xFF || (s.n > TRACEPARENT && (version == 0 || s.p[TRACEPARENT] != '-')))
		return false;
	for (size_t i = 0; i < sizeof span; i++)
		v = v << 8 | span[i];
	c.span = (int64_t)v;
	c.flags = flags;
	if (!v || id_is_zero(c.trace))
		return false;
	*out = c;
	return true;
}

void traceparent_write(const struct trace_context *c, char out[TRACEPARENT + 1])
{
	char trace[ID_HEX + 1];
	id_hex(c->trace, trace);
	snprintf(out, TRACEPARENT + 1, "00-%s-%016llx-%02x", trace, (unsigned long long)c->span,
		c->flags & 0xFF);
}
