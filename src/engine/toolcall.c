/* The families' signs, and the parser.
 *
 *	TEXT --begin--> BEGUN --its first byte--> CALL --JSON is complete--> AFTER --end--> TEXT
 *	  ^                                        |                          |
 *	  +---- no call: one byte is text, and the rest is read again <-------+ (no end: only that)
 *
 * todo[mark, pos) are the bytes that could be part of a call. A new family is a new row. */
#include "engine/toolcall_int.h"

#include "base/json.h"

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

/* Qwen's models for code leave the outer sign away at times. */
#define XML_CALL(sign, next, last)                                                     \
	{                                                                              \
		.begin = sign, .after = next, .shape = TOOLCALL_XML, .between = ">\n", \
		.end = last, .again = true                                             \
	}
#define XML_CALLS(name)                                                  \
	{                                                                \
		XML_CALL("<" name ">", "\n<function=", "\n</" name ">"), \
			XML_CALL("<function=", "", "\n</" name ">")      \
	}

/* ---- answers of several messages ---- */

/* Functionary: who it is for, on a line of its own. */
static enum toolcall_channel functionary_header(struct str header, struct str *name)
{
	*name = str_trim(header);
	return str_eq_c(*name, "all") ? TOOLCALL_FOR_USER : TOOLCALL_FOR_TOOL;
}

/* Harmony: a role and a channel in any order, and to= with whom it is for. */
static enum toolcall_channel harmony_header(struct str header, struct str *name)
{
	size_t to = str_find(header, S("to="));
	if (to != STR_NONE) {
		struct str s = str_sub(header, to + 3, header.n);
		size_t n = 0;
		while (n < s.n && s.p[n] != '<' && (unsigned char)s.p[n] > ' ')
			n++;
		s = str_sub(s, 0, n);
		*name = str_starts(s, S("functions.")) ? str_sub(s, 10, s.n) : s;
		return TOOLCALL_FOR_TOOL;
	}
	if (str_find(header, S("analysis")) != STR_NONE)
		return TOOLCALL_FOR_NOBODY;
	bool known = str_find(header, S("final")) != STR_NONE ||
		     str_find(header, S("commentary")) != STR_NONE;
	return known ? TOOLCALL_FOR_USER : TOOLCALL_ODD;
}

static const char *const no_ends[] = {NULL};
static const char *const harmony_ends[] = {"<|end|>", "<|return|>", "<|call|>", NULL};

static const struct toolcall_messages functionary = {
	.opened = ">>>",
	.user = "all\n",
	.call = "",
	.after_name = "\n",
	.ends = no_ends,
	.read = functionary_header,
};

static const struct toolcall_messages harmony = {
	.opened = "<|start|>assistant",
	.user = "<|channel|>final<|message|>",
	.call = "<|channel|>commentary to=functions.",
	.after_name = " <|constrain|>json<|message|>",
	.ends = harmony_ends,
	.read = harmony_header,
};

static const struct toolcall_family families[] = {
	{"seed", {"<seed:tool_call>", "<parameter="}, XML_CALLS("seed:tool_call"), "", 0, false,
		false},
	{"xml", {"<function=", "<parameter="}, XML_CALLS("tool_call"), "", 0, false, false},
	{"harmony", {"<|channel|>", "<|message|>"},
		{{.begin = "<|start|>",
			 .shape = TOOLCALL_MESSAGE,
			 .between = "<|message|>",
			 .end = "<|call|>"},
			{.begin = "<|channel|>",
				.shape = TOOLCALL_MESSAGE,
				.between = "<|message|>",
				.end = "<|call|>"}},
		"", 0, false, true, &harmony},
	{"functionary", {">>>", "recipient"},
		{{.begin = ">>>",
			.shape = TOOLCALL_MESSAGE,
			.between = "\n",
			.end = "",
			.again = true}},
		"", 0, true, false, &functionary},
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
	{"mistral-args", {"[TOOL_CALLS]", "[ARGS]"},
		{{.begin = "[TOOL_CALLS]",
			.shape = TOOLCALL_NAMED,
			.between = "[ARGS]",
			.drop = "[CALL_ID]",
			.end = "",
			.again = true}},
		"", 9, false, false},
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
	{"nemotron", {"<TOOLCALL>", "</TOOLCALL>"},
		{{.begin = "<TOOLCALL>",
			.shape = TOOLCALL_LIST,
			.name_key = "name",
			.args_key = "arguments",
			.end = "</TOOLCALL>"}},
		"", 0, false, false},
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
	size_t i = 0;
	while (strcmp(families[i].name, "hermes") != 0)
		i++;
	return &families[i];
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
		tell(p, p->thought ? TOOLCALL_THOUGHT : TOOLCALL_TEXT, buf_str(&p->text));
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

void tc_open_call(struct toolcall_parser *p, struct str name)
{
	flush_text(p);
	tell(p, TOOLCALL_BEGIN, name);
	p->open = true;
	p->calls++;
}

void tc_close_call(struct toolcall_parser *p)
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

bool tc_known(const struct toolcall_parser *p, struct str name)
{
	for (size_t i = 0; i < p->n_names; i++)
		if (str_eq(p->names[i], name))
			return true;
	return !p->n_names && name.n;
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
		tc_open_call(p, s);
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
	if (w->in_args && !(at && tc_space(c)))
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
			tc_close_call(p);
	} else if (c == ':' && at) {
		w->value = true;
		w->in_args = str_eq_c(buf_str(&w->key), p->syntax->args_key);
	}
}

static void walk_reset(struct toolcall_parser *p)
{
	struct toolcall_walk *w = &p->walk;
	w->depth = 0;
	w->str = w->esc = w->in_args = w->value = w->told = w->any = false;
	w->xml = str_eq_c(S("<function="), p->syntax->begin) ? XML_NAME : XML_OPEN;
	buf_clear(&w->args);
	buf_clear(&w->word);
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
	return yyjson_is_str(name) && tc_known(p, json_val_str(name)) &&
	       yyjson_is_obj(yyjson_obj_get(v, s->args_key));
}

static bool is_named(const struct toolcall_parser *p)
{
	return p->syntax->shape == TOOLCALL_NAMED || p->syntax->shape == TOOLCALL_MESSAGE;
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
	if (is_named(p)) {
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
void tc_no_call(struct toolcall_parser *p)
{
	p->misread += *p->syntax->begin != 0;
	if (p->open) { /* told already, and cannot be taken back */
		tc_close_call(p);
		p->mark = p->pos - 1;
	}
	p->state = TC_TEXT;
	give_byte(p);
	p->pos = p->mark;
}

void tc_call_done(struct toolcall_parser *p)
{
	p->state = TC_AFTER;
	p->mark = p->pos;
}

struct str tc_kept(const struct toolcall_parser *p, size_t from)
{
	return str_sub(buf_str(&p->todo), from, p->pos);
}

/* The JSON from p->json to p->pos is complete. */
static void judge(struct toolcall_parser *p)
{
	struct str json = tc_kept(p, p->json);
	if (!are_calls(p, json)) {
		tc_no_call(p);
		return;
	}
	if (is_named(p)) {
		tc_open_call(p, buf_str(&p->walk.key));
		buf_adds(&p->walk.args, str_trim(json));
		tc_close_call(p);
	} else {
		walk_reset(p);
		for (size_t i = 0; i < json.n; i++)
			walk(p, json.p[i]);
	}
	tc_call_done(p);
}

/* ---- the states ---- */

static void call_begins(struct toolcall_parser *p, const struct toolcall_syntax *s)
{
	p->syntax = s;
	p->state = TC_BEGUN;
	p->json = p->pos;
	walk_reset(p);
}

static void set_thought(struct toolcall_parser *p, bool thought)
{
	if (p->thought != thought)
		flush_text(p);
	p->thought = thought;
}

/* It is the end of a message, or could be. */
static bool ends_message(struct toolcall_parser *p, struct str s)
{
	const struct toolcall_messages *m = p->family->messages;
	for (const char *const *end = m ? m->ends : NULL; end && *end; end++)
		if (str_starts(str_c(*end), s)) {
			if (str_eq_c(s, *end)) {
				p->mark = p->pos;
				set_thought(p, false);
			}
			return true;
		}
	return false;
}

/* What is kept back, without white space before it, begins a call or could. */
static bool could_begin(struct toolcall_parser *p, const struct toolcall_syntax **begun)
{
	const struct toolcall_syntax *x = p->family->syntax;
	struct str s = tc_kept(p, p->mark), close = str_c(p->family->close);
	bool bare = !*x->begin;
	while (s.n && (tc_space(*s.p) || (bare && p->calls && *s.p == ';')))
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
	if (p->calls && close.n && str_starts(close, s)) {
		if (str_eq(s, close))
			p->mark = p->pos;
		return true;
	}
	return ends_message(p, s);
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

/* A message for the user or for nobody is text up to the next. */
static bool header_is_a_calls(struct toolcall_parser *p, struct str header, struct str *name)
{
	enum toolcall_channel c = p->family->messages->read(header, name);
	if (c == TOOLCALL_FOR_TOOL)
		return true;
	if (c == TOOLCALL_ODD) {
		tc_no_call(p);
		return false;
	}
	set_thought(p, c == TOOLCALL_FOR_NOBODY);
	p->state = TC_TEXT;
	p->mark = p->pos;
	return false;
}

/* The name, or a message's header, ends where `between` begins. */
static void name_byte(struct toolcall_parser *p)
{
	const struct toolcall_syntax *s = p->syntax;
	struct str all = tc_kept(p, p->json), between = str_c(s->between);
	if (!str_ends(all, between)) {
		if (all.n > TC_NAME_MAX + between.n)
			tc_no_call(p);
		return;
	}
	bool message = s->shape == TOOLCALL_MESSAGE;
	struct str name = str_trim(str_sub(all, 0, all.n - between.n));
	if (message && !header_is_a_calls(p, name, &name))
		return;
	size_t drop = s->drop ? str_find(name, str_c(s->drop)) : STR_NONE;
	if (drop != STR_NONE)
		name = str_sub(name, 0, drop);
	if (p->none || !tc_known(p, name) || name.n > TC_NAME_MAX) {
		tc_no_call(p);
		return;
	}
	/* told with the arguments, when they must still turn out to be some */
	buf_clear(&p->walk.key);
	buf_adds(&p->walk.key, name);
	p->walk.told = true;
	if (p->certain)
		tc_open_call(p, name);
	else if (message)
		p->state = TC_BEGUN; /* here, and not at its sign, is it known to be a call */
	p->json = p->pos;
}

static void json_byte(struct toolcall_parser *p, char c)
{
	struct toolcall_walk *w = &p->walk;
	bool named = is_named(p), empty = !w->depth;
	if (empty && tc_space(c))
		return;
	if (empty && c != (p->syntax->shape == TOOLCALL_LIST ? '[' : '{')) {
		tc_no_call(p);
		return;
	}
	if (p->certain && !named)
		walk(p, c);
	else
		skim(w, c);
	if (p->certain && named) {
		if (!p->open) /* its header was written before that was certain */
			tc_open_call(p, buf_str(&w->key));
		buf_putc(&w->args, c);
	}
	if (w->depth || w->str)
		return;
	if (p->certain) {
		tc_close_call(p);
		tc_call_done(p);
		return;
	}
	judge(p);
}

/* An end may follow; what does not belong to it is text. */
static void after_byte(struct toolcall_parser *p)
{
	struct str s = tc_kept(p, p->mark), end = str_trim(str_c(p->syntax->end));
	while (s.n && tc_space(*s.p))
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
	else if (p->syntax->shape == TOOLCALL_XML)
		tc_xml_byte(p, c);
	else if (is_named(p) && !p->walk.told)
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
	if (p->state != TC_BEGUN || (p->syntax->shape == TOOLCALL_MESSAGE && !p->walk.told))
		return false;
	return *p->syntax->begin ? p->pause : p->pause_bare;
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
			tc_no_call(p);
		} else if (p->calls && !str_trim(tc_kept(p, p->mark)).n) {
			p->mark = p->pos;
		} else {
			while (p->mark < p->pos)
				give_byte(p);
		}
	}
	flush_text(p);
	tc_close_call(p);
}

void toolcall_free(struct toolcall_parser *p)
{
	buf_free(&p->todo);
	buf_free(&p->text);
	buf_free(&p->walk.word);
	buf_free(&p->walk.key);
	buf_free(&p->walk.args);
}
