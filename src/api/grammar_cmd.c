/* `croft grammar accept`, `croft regex accept`: what the matcher of structured output makes of a
 * text, without a model. */
#include <stdlib.h>
#include "api/api_int.h"
#include "base/os.h"
#include "module/cmd.h"
#include "text/grammar.h"

enum { FILE_MAX = 64 << 20 };

enum err read_input(struct str path, struct buf *out, struct errtext *et)
{
	enum err e = os_read_file(str_eq_c(path, "-") ? "/dev/stdin" : path.p, FILE_MAX, out, et);
	if (e == ERR_NOT_FOUND)
		e = err_set(et, e, "there is no file '%.100s'; - is standard input", path.p);
	return e;
}

/* How many bytes the matcher takes, and whether the text may end there. */
static enum err follow(
	const struct language *l, struct str text, size_t *taken, bool *whole, struct errtext *et)
{
	struct matcher *m;
	enum err e = matcher_new(l, &m, et);
	if (e)
		return e;
	*taken = 0;
	while (*taken < text.n && matcher_take(m, text.p + *taken, 1))
		++*taken;
	*whole = *taken == text.n && matcher_may_end(m);
	e = *whole ? OK : matcher_status(m, et);
	matcher_free(m);
	return e;
}

static enum err refused(struct str text, size_t at, struct errtext *et)
{
	if (at == text.n)
		return err_set(
			et, ERR_INVALID, "refused: the text ends too early, after %zu bytes", at);
	struct str before = str_sub(text, at > 40 ? at - 40 : 0, at);
	while (before.n && (before.p[0] & 0xc0) == 0x80)
		before = str_sub(before, 1, before.n);
	return err_set(et, ERR_INVALID, "refused: byte %zu of the text, after \"%s%.*s\"", at + 1,
		at > 40 ? "..." : "", STR_FMT(before));
}

enum err accept_text(struct cmd *cmd, const struct language *l, struct errtext *et)
{
	struct buf input = {0};
	size_t at;
	bool whole;
	enum err e = read_input(cmd_arg(cmd, 1), &input, et);
	struct str text = buf_str(&input);
	if (!cmd_flag(cmd, "exact") && str_ends(text, S("\n")))
		text.n -= str_ends(text, S("\r\n")) ? 2 : 1;
	if (!e)
		e = follow(l, text, &at, &whole, et);
	if (!e && whole)
		cmd_outf(cmd,
			cmd_json(cmd) ? "{\"accepted\":true,\"bytes\":%zu}\n"
				      : "accepted, %zu bytes\n",
			at);
	else if (!e)
		e = refused(text, at, et);
	buf_free(&input);
	return e;
}

static enum err accept_grammar(struct cmd *cmd, struct grammar *g, struct errtext *et)
{
	enum err e = accept_text(cmd, grammar_language(g), et);
	grammar_free(g);
	return e;
}

enum err run_grammar_accept(struct cmd *cmd, struct errtext *et)
{
	struct grammar *g;
	struct buf source = {0};
	if (cmd_n_args(cmd) != 2)
		return err_set(et, ERR_INVALID, "two files: croft grammar accept GRAMMAR FILE");
	enum err e = read_input(cmd_arg(cmd, 0), &source, et);
	if (!e)
		e = grammar_gbnf(buf_str(&source), &g, et);
	buf_free(&source);
	return e ? e : accept_grammar(cmd, g, et);
}

enum err run_regex_accept(struct cmd *cmd, struct errtext *et)
{
	struct grammar *g;
	if (cmd_n_args(cmd) != 2)
		return err_set(et, ERR_INVALID,
			"an expression and a file: croft regex accept PATTERN FILE");
	enum err e = grammar_regex(cmd_arg(cmd, 0), &g, et);
	return e ? e : accept_grammar(cmd, g, et);
}
