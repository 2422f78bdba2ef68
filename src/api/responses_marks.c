/* Markers that point at passages, [1] or [2, 3], taken out of a text as it streams.
 *
 * What may become a marker is held back until it is one or cannot be any more, so the pieces that a
 * text comes in do not change what is left of it. Only numbers of passages that there are count;
 * between backticks nothing does. White space before a marker goes with it; at the head of a line,
 * that behind it. */
#include "api/responses.h"

enum { MARKER_MAX = 40 };

static void show(struct marks *m, char ch, struct buf *out)
{
	m->code ^= ch == '`';
	m->middle = ch != '\n';
	m->swallow = false;
	buf_putc(out, ch);
}

/* From byte `from` on, what was held is text. */
static void flush(struct marks *m, struct buf *out)
{
	for (size_t i = 0; i < m->n; i++)
		show(m, m->held[i], out);
	m->n = 0;
	m->inside = false;
}

/* held is "  [1, 2]". */
static bool is_marker(const struct marks *m)
{
	unsigned v = 0;
	bool digits = false;
	for (size_t i = 0; i < m->n; i++) {
		char ch = m->held[i];
		if (ch >= '0' && ch <= '9') {
			v = MIN(v * 10 + (unsigned)(ch - '0'), 1u << 20);
			digits = true;
		} else if (ch == ',' || ch == ';' || ch == ']') {
			if (!digits || !v || v > m->most)
				return false;
			v = 0;
			digits = false;
		} else if (ch == ' ' && digits) {
			return false;
		}
	}
	return true;
}

static void end_marker(struct marks *m, struct buf *out)
{
	if (!is_marker(m)) {
		flush(m, out);
		return;
	}
	m->n = 0;
	m->inside = false;
	m->swallow = !m->middle;
}

static void add(struct marks *m, char ch, struct buf *out)
{
	if (m->code) {
		show(m, ch, out);
		return;
	}
	if (m->n == MARKER_MAX)
		flush(m, out);
	bool fits = m->inside ? (ch >= '0' && ch <= '9') || strchr(",; ]", ch) != NULL
			      : ch == ' ' || ch == '[';
	if (!ch || !fits) {
		flush(m, out);
		if (ch == ' ' || ch == '[')
			m->held[m->n++] = ch, m->inside = ch == '[';
		else
			show(m, ch, out);
		return;
	}
	if (ch == ' ' && m->swallow && !m->n)
		return;
	m->held[m->n++] = ch;
	m->inside |= ch == '[';
	if (ch == ']')
		end_marker(m, out);
}

void marks_add(struct marks *m, struct str text, struct buf *out)
{
	for (size_t i = 0; i < text.n; i++)
		add(m, text.p[i], out);
}

void marks_end(struct marks *m, struct buf *out)
{
	flush(m, out);
}
