/* The families' signs, and the parser.
 *
 *	TEXT --begin--> BEGUN --its first byte--> CALL --JSON is complete--> AFTER --end--> TEXT
 *	  ^                                        |                          |
 *	  +---- no call: one byte is text, and the rest is read again <-------+ (no end: only that)
 *
 * todo[mark, pos) are the bytes that could be part of a call. A new family is a new row. */
#include "engine/toolcall.h"

#include "base/json.h"

enum { CALL_NAME_MAX = 128 };

/* DeepSeek's signs have a wide bar and a low block: <|tool_call_begin|> */
#define DS(word) "<\xEF\xBD\x9Ctool\xE2\x96\x81" word "\xEF\xBD\x9C>"
#define DS_CALLS               \
	DS("calls\xE2\x96\x81" \
	   "begin")
#define DS_ALL_END             \
	DS("calls\xE2\x96\x81" \
	   "end")
#define DS_CALL               \
	DS("call\xE2\x96\x81" \
	   "begin")
#define DS_END                \
	DS("call\xE2\x96\x81" \
	   "end")
#define DS_SEP DS("sep")

#define HERMES                                                                          \
	{                                                                               \
		{                                                                       \
			.begin = "<tool_call>", .after = "\n", .name_key = "name",      \
			.args_key = "arguments", .end = "\n</tool_call>", .again = true \
		}                                                                       \
	}

static const struct toolcall_family families[] = {
	{"hermes", {"<tool_call>", "{\"name"}, HERMES, "", 0, false, false},
	{"deepseek", {DS_CALLS, "```json"},
		{{.begin = DS_CALLS DS_CALL "function" DS_SEP,
			 .shape = TOOLCALL_NAMED,
			 .between = "\n```json\n",
			 .end = "\n```" DS_END,
			 .again = true},
			{.begin = DS_CALL "function" DS_SEP,
				.shape = TOOLCALL_NAMED,
				.between = "\n```json\n",
				.end = "\n```" DS_END,
				.again = true}},
		DS_ALL_END, 0, true, false},
	{"mistral", {"[TOOL_CALLS]", "[AVAILABLE_TOOLS]"},
		{{.begin = "[TOOL_CALLS]",
			.shape = TOOLCALL_LIST,
			.name_key = "name",
			.args_key = "arguments",
			.end = ""}},
		"", 9, false, false},
	{"llama-function", {"<function=", "</function>"},
		{{.begin = "<function=",
			.shape = TOOLCALL_NAMED,
			.between = ">",
			.end = "</function>",
			.again = true}},
		"", 0, false, false},
	{"llama", {"ipython", "\"parameters\""},
		{{.begin = "", .name_key = "name", .args_key = "parameters", .end = ""},
			{.begin = "<|python_tag|>",
				.name_key = "name",
				.args_key = "parameters",
				.end = ""}},
		"", 0, false, true},
	{"command-r", {"<|START_ACTION|>", "tool_name"},
		{{.begin = "<|START_ACTION|>",
			.shape = TOOLCALL_LIST,
			.name_key = "tool_name",
			.args_key = "parameters",
			.end = "<|END_ACTION|>"}},
		"", 0, false, false},
	{"phi", {"<|tool_call|>", "<|/tool_call|>"},
		{{.begin = "<|tool_call|>",
			.shape = TOOLCALL_LIST,
			.name_key = "name",
			.args_key = "arguments",
			.end = "<|/tool_call|>"}},
		"", 0, false, false},
	{"granite", {"<|tool_call|>", "tools"},
		{{.begin = "<|tool_call|>",
			.shape = TOOLCALL_LIST,
			.name_key = "name",
			.args_key = "arguments",
			.end = ""}},
		"", 0, false, false},
};

const struct toolcall_family *toolcall_generic(void)
{
	return &families[0];
}

const struct toolcall_family *toolcall_families(size_t *n)
{
	*n = ARRAY_LEN(families);
	return families;
}

const struct toolcall_family *toolcall_family(struct str template)
{
	if (str_find(template, S("tools")) == STR_NONE)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		bool all = true;
		for (size_t k = 0; k < ARRAY_LEN(families[i].signs); k++)
			all &= str_find(template, str_c(families[i].signs[k])) != STR_NONE;
		if (all)
			return &families[i];
	}
	return NULL;
}

/* ---- telling ---- */

static void tell(struct toolcall_parser *p, enum toolcall_kind kind, struct str text)
{
	p->on(p->ctx, &(struct toolcall_event){kind, text});
}

static void flush_text(struct toolcall_parser *p)
{
	if (p->text.n)
		tell(p, TOOLCALL_TEXT, buf_str(&p->text));
	buf_clear(&p->text);
}

static void flush_args(struct toolcall_parser *p)
{
	struct buf *b = &p->walk.args;
	if (b->n && p->open)
		tell(p, TOOLCALL_ARGUMENTS, buf_str(b));
	if (p->open)
		buf_clear(b);
}

static void open_call(struct toolcall_parser *p, struct str name)
{
	flush_text(p);
	tell(p, TOOLCALL_BEGIN, name);
	p->open = true;
	p->calls++;
}

static void close_call(struct toolcall_parser *p)
{
	flush_args(p);
	if (p->open)
		tell(p, TOOLCALL_END, S(""));
	p->open = false;
	buf_clear(&p->walk.args);
}

/* The first byte that is kept back is text. */
static void give_byte(struct toolcall_parser *p)
{
	buf_putc(&p->text, p->todo.p[p->mark++]);
	p->wrote = true;
}

static bool known(const struct toolcall_parser *p, struct str name)
{
	for (size_t i = 0; i < p->n_names; i++)
		if (str_eq(p->names[i], name))
			return true;
	return !p->n_names && name.n;
}

static bool space(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* ---- through valid JSON ---- */

/* A string of the call's own object has ended: a key, or the name. */
static void word_ends(struct toolcall_parser *p)
{
	struct toolcall_walk *w = &p->walk;
	yyjson_doc *doc;
	if (json_parse(buf_str(&w->word), &doc, NULL))
		return;
	struct str s = json_val_str(yyjson_doc_get_root(doc));
	if (!w->value) {
		buf_clear(&w->key);
		buf_adds(&w->key, s);
	} else if (str_eq_c(buf_str(&w->key), p->syntax->name_key) && !w->told) {
		w->told = true;
		open_call(p, s);
	}
	yyjson_doc_free(doc);
}

static void walk_string(struct toolcall_parser *p, char c, bool own)
{
	struct toolcall_walk *w = &p->walk;
	if (w->in_args)
		buf_putc(&w->args, c);
	else if (own)
		buf_putc(&w->word, c);
	if (w->esc) {
		w->esc = false;
	} else if (c == '\\') {
		w->esc = true;
	} else if (c == '"') {
		w->str = false;
		if (own && !w->in_args)
			word_ends(p);
	}
}

/* `own` is the depth of a call's members: 2 in a list, else 1. */
static void walk(struct toolcall_parser *p, char c)
{
	struct toolcall_walk *w = &p->walk;
	unsigned own = p->syntax->shape == TOOLCALL_LIST ? 2 : 1;
	bool at = w->depth == own;
	if (w->str) {
		walk_string(p, c, at);
		return;
	}
	if (at && (c == ',' || c == '}')) /* of a member; also the end of the object */
		w->in_args = w->value = false;
	if (w->in_args && !(at && space(c)))
		buf_putc(&w->args, c);
	if (c == '"') {
		w->str = true;
		if (!w->in_args) {
			buf_clear(&w->word);
			buf_putc(&w->word, c);
		}
	} else if (c == '{' || c == '[') {
		if (++w->depth == own)
			w->told = w->value = w->in_args = false;
	} else if (c == '}' || c == ']') {
		if (w->depth-- == own)
			close_call(p);
	} else if (c == ':' && at) {
		w->value = true;
		w->in_args = str_eq_c(buf_str(&w->key), p->syntax->args_key);
	}
}

static void walk_reset(struct toolcall_parser *p)
{
	struct toolcall_walk *w = &p->walk;
	w->depth = 0;
	w->str = w->esc = w->in_args = w->value = w->told = false;
	buf_clear(&w->args);
}

/* One byte of JSON whose only use is to find its end. */
static void skim(struct toolcall_walk *w, char c)
{
	if (w->str) {
		bool escaped = w->esc;
		w->esc = !escaped && c == '\\';
		w->str = escaped || c != '"';
	} else if (c == '"') {
		w->str = true;
	} else if (c == '{' || c == '[') {
		w->depth++;
	} else if ((c == '}' || c == ']') && w->depth) {
		w->depth--;
	}
}

/* ---- is it a call? ---- */

static bool is_call(const struct toolcall_parser *p, yyjson_val *v)
{
	const struct toolcall_syntax *s = p->syntax;
	yyjson_val *name = yyjson_obj_get(v, s->name_key);
	return yyjson_is_str(name) && known(p, json_val_str(name)) &&
	       yyjson_is_obj(yyjson_obj_get(v, s->args_key));
}

static bool are_calls(const struct toolcall_parser *p, struct str json)
{
	yyjson_doc *doc;
	yyjson_val *v;
	size_t i, n;
	if (json_parse(json, &doc, NULL))
		return false;
	yyjson_val *root = yyjson_doc_get_root(doc);
	bool good = true;
	if (p->syntax->shape == TOOLCALL_NAMED) {
		good = yyjson_is_obj(root);
	} else if (p->syntax->shape == TOOLCALL_ONE) {
		good = is_call(p, root);
	} else {
		good = yyjson_arr_size(root) > 0;
		yyjson_arr_foreach(root, i, n, v) good = good && is_call(p, v);
	}
	yyjson_doc_free(doc);
	return good;
}

/* What was kept back is no call: its first byte is text, the rest is read again. */
static void no_call(struct toolcall_parser *p)
{
	if (p->open) { /* told already, and cannot be taken back */
		close_call(p);
		p->mark = p->pos - 1;
	}
	p->state = TC_TEXT;
	give_byte(p);
	p->pos = p->mark;
}

static void call_done(struct toolcall_parser *p)
{
	p->state = TC_AFTER;
	p->mark = p->pos;
}

static struct str kept(const struct toolcall_parser *p, size_t from)
{
	return str_sub(buf_str(&p->todo), from, p->pos);
}

/* The JSON from p->json to p->pos is complete. */
static void judge(struct toolcall_parser *p)
{
	struct str json = kept(p, p->json);
	if (!are_calls(p, json)) {
		no_call(p);
		return;
	}
	if (p->syntax->shape == TOOLCALL_NAMED) {
		open_call(p, buf_str(&p->walk.key));
		buf_adds(&p->walk.args, str_trim(json));
		close_call(p);
	} else {
		walk_reset(p);
		for (size_t i = 0; i < json.n; i++)
			walk(p, json.p[i]);
	}
	call_done(p);
}

/* ---- the states ---- */

static void call_begins(struct toolcall_parser *p, const struct toolcall_syntax *s)
{
	p->syntax = s;
	p->state = TC_BEGUN;
	p->json = p->pos;
	walk_reset(p);
}

/* What is kept back, without white space before it, begins a call or could. */
static bool could_begin(struct toolcall_parser *p, const struct toolcall_syntax **begun)
{
	const struct toolcall_syntax *x = p->family->syntax;
	struct str s = kept(p, p->mark), close = str_c(p->family->close);
	bool bare = !*x->begin;
	while (s.n && (space(*s.p) || (bare && p->calls && *s.p == ';')))
		s = str_sub(s, 1, s.n);
	if (!s.n)
		return true;
	if (bare && !p->wrote && *s.p == '{') {
		*begun = x;
		return true;
	}
	for (size_t i = bare; i < ARRAY_LEN(p->family->syntax) && x[i].begin; i++)
		if (str_starts(str_c(x[i].begin), s)) {
			if (str_eq_c(s, x[i].begin))
				*begun = &x[i];
			return true;
		}
	if (!p->calls || !close.n || !str_starts(close, s))
		return false;
	if (str_eq(s, close))
		p->mark = p->pos;
	return true;
}

static void text_byte(struct toolcall_parser *p)
{
	const struct toolcall_syntax *begun = NULL;
	p->pos++;
	while (p->mark < p->pos && !could_begin(p, &begun))
		give_byte(p);
	if (!begun)
		return;
	call_begins(p, begun);
	if (!*begun->begin)
		p->json = --p->pos; /* the brace is the JSON's */
}

/* The name ends where `between` begins. */
static void name_byte(struct toolcall_parser *p)
{
	struct str all = kept(p, p->json), between = str_c(p->syntax->between);
	if (!str_ends(all, between)) {
		if (all.n > CALL_NAME_MAX + between.n)
			no_call(p);
		return;
	}
	struct str name = str_trim(str_sub(all, 0, all.n - between.n));
	if (!known(p, name) || name.n > CALL_NAME_MAX) {
		no_call(p);
		return;
	}
	/* told with the arguments, when they must still turn out to be some */
	buf_clear(&p->walk.key);
	buf_adds(&p->walk.key, name);
	p->walk.told = true;
	if (p->certain)
		open_call(p, name);
	p->json = p->pos;
}

static void json_byte(struct toolcall_parser *p, char c)
{
	struct toolcall_walk *w = &p->walk;
	bool named = p->syntax->shape == TOOLCALL_NAMED, empty = !w->depth;
	if (empty && space(c))
		return;
	if (empty && c != (p->syntax->shape == TOOLCALL_LIST ? '[' : '{')) {
		no_call(p);
		return;
	}
	if (p->certain && !named)
		walk(p, c);
	else
		skim(w, c);
	if (p->certain && named)
		buf_putc(&w->args, c);
	if (w->depth || w->str)
		return;
	if (p->certain) {
		close_call(p);
		call_done(p);
		return;
	}
	judge(p);
}

/* An end may follow; what does not belong to it is text. */
static void after_byte(struct toolcall_parser *p)
{
	struct str s = kept(p, p->mark), end = str_trim(str_c(p->syntax->end));
	while (s.n && space(*s.p))
		s = str_sub(s, 1, s.n);
	if (end.n && s.n < end.n && str_starts(end, s))
		return;
	p->state = TC_TEXT;
	if (end.n && str_eq(s, end))
		p->mark = p->pos;
	else
		p->pos = p->mark;
}

static void step(struct toolcall_parser *p)
{
	char c = p->todo.p[p->pos];
	if (p->state == TC_TEXT) {
		text_byte(p);
		return;
	}
	p->pos++;
	if (p->state == TC_BEGUN)
		p->state = TC_CALL;
	if (p->state == TC_AFTER)
		after_byte(p);
	else if (p->syntax->shape == TOOLCALL_NAMED && !p->walk.told)
		name_byte(p);
	else
		json_byte(p, c);
}

static void compact(struct toolcall_parser *p)
{
	size_t gone = p->mark;
	if (!gone)
		return;
	memmove(p->todo.p, p->todo.p + gone, p->todo.n - gone);
	p->todo.n -= gone;
	p->mark -= gone;
	p->pos -= gone;
	p->json -= MIN(gone, p->json);
}

bool toolcall_paused(const struct toolcall_parser *p)
{
	return p->state == TC_BEGUN && (*p->syntax->begin ? p->pause : p->pause_bare);
}

size_t toolcall_add(struct toolcall_parser *p, struct str bytes)
{
	size_t left = 0;
	bool fresh = false; /* it paused in this call */
	buf_adds(&p->todo, bytes);
	while (p->pos < p->todo.n && !fresh && !p->todo.err) {
		bool before = p->state == TC_BEGUN;
		step(p);
		fresh = !before && !p->certain && toolcall_paused(p);
	}
	if (fresh) {
		left = p->todo.n - p->pos;
		p->todo.n = p->pos;
	}
	flush_text(p);
	flush_args(p);
	compact(p);
	return bytes.n - MIN(left, bytes.n);
}

void toolcall_force(struct toolcall_parser *p, const struct toolcall_syntax *s)
{
	while (p->mark < p->pos)
		give_byte(p);
	call_begins(p, s);
}

void toolcall_end(struct toolcall_parser *p)
{
	while (p->mark < p->todo.n && !p->todo.err) {
		while (p->pos < p->todo.n)
			step(p);
		if (p->open) {
			p->mark = p->pos;
		} else if (p->state == TC_AFTER) {
			p->state = TC_TEXT;
			p->pos = p->mark;
		} else if (p->state != TC_TEXT) {
			no_call(p);
		} else if (p->calls && !str_trim(kept(p, p->mark)).n) {
			p->mark = p->pos;
		} else {
			while (p->mark < p->pos)
				give_byte(p);
		}
	}
	flush_text(p);
	close_call(p);
}

void toolcall_free(struct toolcall_parser *p)
{
	buf_free(&p->todo);
	buf_free(&p->text);
	buf_free(&p->walk.word);
	buf_free(&p->walk.key);
	buf_free(&p->walk.args);
}
