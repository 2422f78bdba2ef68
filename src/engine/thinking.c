/* Thoughts and answer told apart while they are written. */
#include "engine/thinking.h"

typedef void told(void *ctx, bool thought, struct str text);

static const struct thinking_signs all[] = {
	{"<think>", "</think>", "\n\n"},
	{"<|START_THINKING|>", "<|END_THINKING|>", "\n\n"},
	{"[THINK]", "[/THINK]", "\n\n"},
	{"<|channel|>analysis<|message|>", "<|end|>", "", true},
};

const struct thinking_signs *thinking_signs(struct str template)
{
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (str_find(template, str_c(all[i].open)) != STR_NONE ||
			(!all[i].shared && str_find(template, str_c(all[i].close)) != STR_NONE))
			return &all[i];
	return NULL;
}

bool thinking_is_open(const struct thinking_signs *s, struct str prompt)
{
	return s && str_ends(str_trim(prompt), str_c(s->open));
}

static bool space(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static void drop(struct buf *b, size_t n)
{
	if (n)
		memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
}

/* White space at a beginning goes: of the thought, and of the answer after one. */
static void give(struct thinking *t, size_t n, told *on, void *ctx)
{
	if (n)
		on(ctx, t->inside, str_sub(buf_str(&t->held), 0, n));
	t->spoke |= n > 0;
	drop(&t->held, n);
}

static size_t spaces(struct str s)
{
	size_t n = 0;
	while (n < s.n && space(s.p[n]))
		n++;
	return n;
}

/* Before anything: does a thought begin? False: more must be read to know. */
static bool decide(struct thinking *t, told *on, void *ctx)
{
	struct str s = buf_str(&t->held), open = str_c(t->signs->open);
	size_t n = spaces(s);
	s = str_sub(s, n, s.n);
	if (s.n < open.n && str_starts(open, s))
		return false;
	if (str_starts(s, open)) {
		drop(&t->held, n + open.n);
		t->inside = t->thought = true;
	} else {
		t->decided = true;
		give(t, t->held.n, on, ctx);
	}
	return true;
}

/* How much of the thought is certain: not the white space and the part of a sign at its end. */
static size_t certain(struct str s, struct str close)
{
	size_t n = s.n;
	for (size_t k = MIN(s.n, close.n - 1); k > 0; k--)
		if (str_starts(close, str_sub(s, s.n - k, s.n))) {
			n = s.n - k;
			break;
		}
	while (n && space(s.p[n - 1]))
		n--;
	return n;
}

/* True when the thought has ended. */
static bool think(struct thinking *t, told *on, void *ctx)
{
	struct str close = str_c(t->signs->close);
	if (!t->spoke)
		drop(&t->held, spaces(buf_str(&t->held)));
	struct str s = buf_str(&t->held);
	size_t at = str_find(s, close);
	if (at == STR_NONE) {
		give(t, certain(s, close), on, ctx);
		return false;
	}
	size_t end = at;
	while (end && space(s.p[end - 1]))
		end--;
	size_t gone = at + close.n - end;
	give(t, end, on, ctx);
	drop(&t->held, gone);
	t->inside = t->spoke = false;
	t->decided = true;
	return true;
}

size_t thinking_add(struct thinking *t, struct str bytes, bool pause, told *on, void *ctx)
{
	if (!t->signs || (t->decided && t->spoke)) {
		if (bytes.n)
			on(ctx, false, bytes);
		return bytes.n;
	}
	buf_adds(&t->held, bytes);
	if (!t->decided && !t->inside && !decide(t, on, ctx))
		return bytes.n;
	if (t->inside && !think(t, on, ctx))
		return bytes.n;
	if (pause && !t->spoke) { /* just ended */
		size_t left = MIN(t->held.n, bytes.n);
		t->held.n = 0;
		return bytes.n - left;
	}
	drop(&t->held, spaces(buf_str(&t->held)));
	give(t, t->held.n, on, ctx);
	return bytes.n;
}

void thinking_end(struct thinking *t, told *on, void *ctx)
{
	struct str s = buf_str(&t->held);
	if (!t->inside && !t->decided)
		give(t, s.n, on, ctx);
	else if (t->inside) /* cut off; part of a sign may be thought */
		give(t, str_trim(s).n ? s.n : 0, on, ctx);
	t->held.n = 0;
}

void thinking_free(struct thinking *t)
{
	buf_free(&t->held);
}
