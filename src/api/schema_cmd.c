/* `croft schema accept`, `croft schema sample`: what the matcher of structured output makes of a
 * schema, without a model. */
#include <stdlib.h>
#include "api/api_int.h"
#include "base/json.h"
#include "module/cmd.h"
#include "text/schema.h"

enum { SAMPLE_MAX = 1 << 20, LONG = 400 };

static enum err compile(struct cmd *cmd, struct schema **out, struct errtext *et)
{
	struct buf text = {0};
	struct schema_options o = {
		.lenient = !cmd_flag(cmd, "strict"), .loose_types = cmd_flag(cmd, "loose-types")};
	enum err e = read_input(cmd_arg(cmd, 0), &text, et);
	if (!e)
		e = schema_compile(buf_str(&text), &o, out, et);
	buf_free(&text);
	return e;
}

enum err run_schema_accept(struct cmd *cmd, struct errtext *et)
{
	struct schema *s;
	if (cmd_n_args(cmd) != 2)
		return err_set(et, ERR_INVALID, "two files: croft schema accept SCHEMA INSTANCE");
	enum err e = compile(cmd, &s, et);
	if (e)
		return e;
	e = accept_text(cmd, schema_language(s), et);
	schema_free(s);
	return e;
}

/* ---- samples ---- */

/* xorshift64*: the same samples on every machine. */
static uint64_t draw(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545F4914F6CDD1Dull;
}

/* Letters and digits most of the time; what closes something more and more often as it gets long,
 * and in the end whatever ends it soonest. */
static uint8_t propose(uint64_t *state, size_t n, int tries)
{
	static const char closing[] = "\"}]:,0e", soonest[] = "]}\"0,:elsunrtf1[{",
			  common[] = "abcdefghijklmnopqrstuvwxyz0123456789 {[\"tfn-.";
	uint64_t r = draw(state);
	if (n > LONG && tries < (int)sizeof soonest - 1)
		return (uint8_t)soonest[tries];
	if (r % 1024 < MIN(200 + n * 4, 1000))
		return (uint8_t)closing[(r >> 16) % (sizeof closing - 1)];
	if ((r >> 10) % 16)
		return (uint8_t)common[(r >> 16) % (sizeof common - 1)];
	return (uint8_t)(r >> 24);
}

static enum err sample(const struct schema *s, uint64_t seed, struct buf *out, struct errtext *et)
{
	struct matcher *m;
	uint64_t state = (seed + 1) * 0x9E3779B97F4A7C15ull;
	enum err e = matcher_new(schema_language(s), &m, et);
	if (e)
		return e;
	while (!matcher_must_end(m) && out->n < SAMPLE_MAX) {
		char byte;
		int tries = 0;
		if (matcher_may_end(m) && draw(&state) % 8 == 0)
			break;
		do {
			byte = tries < 512 ? (char)propose(&state, out->n, tries)
					   : (char)(tries - 512);
		} while (!matcher_take(m, &byte, 1) && ++tries < 768);
		if (tries == 768)
			break;
		buf_putc(out, byte);
	}
	e = matcher_status(m, et);
	if (!e && out->n >= SAMPLE_MAX)
		e = err_set(et, ERR_TOO_LARGE, "the sample has not ended after %zu bytes", out->n);
	else if (!e && !matcher_may_end(m))
		e = err_set(et, ERR_INTERNAL,
			"the sample cannot be completed after %zu bytes: %.100s", out->n,
			buf_c(out));
	matcher_free(m);
	return e;
}

enum err run_schema_sample(struct cmd *cmd, struct errtext *et)
{
	struct schema *s;
	int64_t n = 1, seed = 0;
	struct str count = cmd_opt(cmd, "count"), from = cmd_opt(cmd, "seed");
	if (cmd_n_args(cmd) != 1)
		return err_set(et, ERR_INVALID, "one file: croft schema sample SCHEMA");
	if ((count.p && (!str_i64(count, &n) || n < 1 || n > 1000000)) ||
		(from.p && !str_i64(from, &seed)))
		return err_set(
			et, ERR_INVALID, "--count is a number from 1 to 1000000, --seed a number");
	enum err e = compile(cmd, &s, et);
	if (e)
		return e;
	for (int64_t i = 0; i < n && !e; i++) {
		struct buf text = {0};
		e = sample(s, (uint64_t)(seed + i), &text, et);
		if (!e) {
			/* on one line, numbers as they were written */
			yyjson_doc *doc = yyjson_read(text.p, text.n, YYJSON_READ_NUMBER_AS_RAW);
			char *line = doc ? yyjson_write(doc, 0, NULL) : NULL;
			if (line)
				cmd_outf(cmd, "%s\n", line);
			else
				e = err_set(et, ERR_INTERNAL, "the sample is no JSON: %.100s",
					buf_c(&text));
			free(line);
			yyjson_doc_free(doc);
		}
		buf_free(&text);
	}
	schema_free(s);
	return e;
}
