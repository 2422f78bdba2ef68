/* Tool calls and thoughts: in every family any text, cut anywhere, gives the same events as whole;
 * and what stayed text is, in order, within what was written. */
#include "base/json.h"
#include "engine/thinking.h"
#include "engine/toolcall.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool yes)
{
	if (!yes)
		__builtin_trap();
}

struct seen {
	struct buf all, text, args;
	bool open;
};

static void see(void *ctx, const struct toolcall_event *ev)
{
	struct seen *s = ctx;
	if (ev->kind == TOOLCALL_TEXT || ev->kind == TOOLCALL_THOUGHT)
		buf_adds(&s->text, ev->text);
	else if (ev->kind == TOOLCALL_ARGUMENTS)
		buf_adds(&s->args, ev->text);
	else
		buf_addf(&s->all, "%d %.*s|", (int)ev->kind, STR_FMT(ev->text));
	must(s->open == (ev->kind == TOOLCALL_ARGUMENTS || ev->kind == TOOLCALL_END));
	if (ev->kind == TOOLCALL_BEGIN || ev->kind == TOOLCALL_END)
		s->open = ev->kind == TOOLCALL_BEGIN;
}

static enum toolcall_value meant(void *ctx, struct str tool, struct str argument)
{
	return (enum toolcall_value)(argument.n % 3);
}

static void parse(
	const struct toolcall_family *f, struct str s, size_t piece, bool certain, struct seen *out)
{
	struct str names[] = {S("a"), S("get_weather")};
	struct toolcall_parser p = {.family = f,
		.names = names,
		.n_names = ARRAY_LEN(names),
		.on = see,
		.ctx = out,
		.meant = meant,
		.certain = certain};
	if (f->messages && s.n % 2) /* the prompt has begun it */
		toolcall_force(&p, &f->syntax[0]);
	for (size_t i = 0; i < s.n; i += piece)
		must(toolcall_add(&p, str_sub(s, i, i + piece)) == str_sub(s, i, i + piece).n);
	toolcall_end(&p);
	must(!out->open);
	toolcall_free(&p);
}

static void drop(struct seen *s)
{
	buf_free(&s->all);
	buf_free(&s->text);
	buf_free(&s->args);
}

static bool within(struct str part, struct str whole)
{
	size_t k = 0;
	for (size_t i = 0; i < whole.n && k < part.n; i++)
		k += part.p[k] == whole.p[i];
	return k == part.n;
}

static void thought(void *ctx, bool t, struct str text)
{
	struct buf *b = (struct buf *)ctx + t;
	buf_adds(b, text);
}

static void think(struct str s, size_t piece, struct buf out[2])
{
	struct thinking t = {.signs = thinking_signs(S("<think>"))};
	for (size_t i = 0; i < s.n; i += piece)
		thinking_add(&t, str_sub(s, i, i + piece), false, thought, out);
	thinking_end(&t, thought, out);
	thinking_free(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || size > 4096)
		return 0;
	size_t n;
	const struct toolcall_family *all = toolcall_families(&n);
	const struct toolcall_family *f = &all[data[0] % n];
	size_t piece = data[1] % 7 + 1;
	struct str s = str_mk(data + 2, size - 2);
	for (int certain = 0; certain < 2; certain++) {
		struct seen whole = {0}, cut = {0};
		parse(f, s, s.n + 1, certain, &whole);
		parse(f, s, piece, certain, &cut);
		must(str_eq(buf_str(&whole.all), buf_str(&cut.all)));
		must(str_eq(buf_str(&whole.text), buf_str(&cut.text)));
		must(str_eq(buf_str(&whole.args), buf_str(&cut.args)));
		must(within(buf_str(&whole.text), s));
		if (!whole.all.n && !certain && !f->messages)
			must(str_eq(buf_str(&whole.text), s)); /* nothing but text: all of it */
		drop(&whole);
		drop(&cut);
	}
	struct buf one[2] = {0}, more[2] = {0};
	think(s, s.n + 1, one);
	think(s, piece, more);
	for (int i = 0; i < 2; i++) {
		must(str_eq(buf_str(&one[i]), buf_str(&more[i])));
		buf_free(&one[i]);
		buf_free(&more[i]);
	}
	return 0;
}
