/* The grammar of trace filters, and a value against one clause. */
#include "run/trace_filter.h"

enum { CLAUSES_MAX = 32, LIST_MAX = 200, TEXT_MAX = 16384 };

struct parser {
	struct str in;
	size_t at;
	struct arena *a;
	struct errtext *et;
};

enum token_kind { TOK_END, TOK_WORD, TOK_QUOTED, TOK_NUMBER, TOK_SIGN };

struct token {
	enum token_kind kind;
	struct str s;
	char quote;
};

static const struct {
	const char *name;
	enum trace_field field;
	bool number;
} fields[] = {
	{"status", TF_STATUS, false},
	{"state", TF_STATUS, false},
	{"name", TF_NAME, false},
	{"kind", TF_KIND, false},
	{"id", TF_ID, false},
	{"trace_id", TF_ID, false},
	{"request_id", TF_ID, false},
	{"run_id", TF_RUN, false},
	{"timestamp_ms", TF_TIME, true},
	{"timestamp", TF_TIME, true},
	{"start_time", TF_TIME, true},
	{"request_time", TF_TIME, true},
	{"end_time_ms", TF_END, true},
	{"end_time", TF_END, true},
	{"client_request_id", TF_CLIENT_REQUEST, false},
	{"prompt", TF_PROMPT, false},
	{"duration_ms", TF_DURATION, true},
	{"execution_time_ms", TF_DURATION, true},
	{"execution_time", TF_DURATION, true},
	{"execution_duration", TF_DURATION, true},
	{"latency", TF_DURATION, true},
	{"tokens", TF_TOKENS, true},
	{"tokens_in", TF_TOKENS_IN, true},
	{"tokens_out", TF_TOKENS_OUT, true},
	{"cost", TF_COST, true},
	{"spans", TF_SPANS, true},
	{"errors", TF_ERRORS, true},
	{"model", TF_WORD, false},
	{"service", TF_WORD, false},
	{"session", TF_WORD, false},
	{"user", TF_WORD, false},
	{"input", TF_WORD, false},
	{"output", TF_WORD, false},
	{"text", TF_TEXT, false},
};

static const struct {
	const char *name;
	enum trace_field field;
	bool number;
} span_fields[] = {
	{"name", TF_SPAN_NAME, false},
	{"type", TF_SPAN_TYPE, false},
	{"kind", TF_SPAN_TYPE, false},
	{"status", TF_SPAN_STATUS, false},
	{"model", TF_SPAN_MODEL, false},
	{"content", TF_SPAN_CONTENT, false},
	{"duration_ms", TF_SPAN_DURATION, true},
};

/* ---- tokens ---- */

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-' || c == '/' || (unsigned char)c >= 0x80;
}

static enum err expected(struct parser *p, const char *what)
{
	struct str rest = str_sub(p->in, p->at, MIN(p->at + 30, p->in.n));
	return rest.n ? err_set(p->et, ERR_INVALID, "the filter: %s is expected at \"%.*s\"", what,
				STR_FMT(rest))
		      : err_set(p->et, ERR_INVALID, "the filter: %s is expected at its end", what);
}

static enum err quoted(struct parser *p, char quote, struct token *t)
{
	size_t from = ++p->at, n = 0;
	char *out = arena_alloc(p->a, p->in.n - from + 1);
	if (!out)
		return err_set(p->et, ERR_NOMEM, "no memory for a filter");
	for (; p->at < p->in.n; p->at++) {
		char c = p->in.p[p->at];
		if (c == '\\' && p->at + 1 < p->in.n && p->in.p[p->at + 1] == quote)
			c = p->in.p[++p->at];
		else if (c == quote && p->at + 1 < p->in.n && p->in.p[p->at + 1] == quote)
			p->at++; /* '' is one quote */
		else if (c == quote)
			break;
		out[n++] = c;
	}
	if (p->at >= p->in.n) {
		p->at = from - 1;
		return expected(p, "the end of a quoted text");
	}
	p->at++;
	*t = (struct token){TOK_QUOTED, str_mk(out, n), quote};
	return OK;
}

static enum err next(struct parser *p, struct token *t)
{
	while (p->at < p->in.n && strchr(" \t\r\n", p->in.p[p->at]))
		p->at++;
	*t = (struct token){.kind = TOK_END};
	if (p->at == p->in.n)
		return OK;
	char c = p->in.p[p->at];
	if (c == '\'' || c == '"' || c == '`')
		return quoted(p, c, t);
	size_t from = p->at;
	bool sign = (c == '-' || c == '+' || c == '.') && p->at + 1 < p->in.n &&
		    p->in.p[p->at + 1] >= '0' && p->in.p[p->at + 1] <= '9';
	if ((c >= '0' && c <= '9') || sign) {
		p->at++;
		while (p->at < p->in.n &&
			(is_word(p->in.p[p->at]) || p->in.p[p->at] == '.' || p->in.p[p->at] == '+'))
			p->at++;
		t->kind = TOK_NUMBER;
	} else if (is_word(c)) {
		while (p->at < p->in.n && is_word(p->in.p[p->at]))
			p->at++;
		t->kind = TOK_WORD;
	} else {
		p->at++;
		if ((c == '!' || c == '<' || c == '>') && p->at < p->in.n && p->in.p[p->at] == '=')
			p->at++;
		t->kind = TOK_SIGN;
	}
	t->s = str_sub(p->in, from, p->at);
	return OK;
}

static bool word_is(const struct token *t, const char *word)
{
	return t->kind == TOK_WORD && str_eq_nocase(t->s, str_c(word));
}

/* Takes the next token when it is this word or sign. */
static bool take(struct parser *p, const char *what)
{
	size_t was = p->at;
	struct token t;
	if (!next(p, &t) && ((t.kind == TOK_SIGN && str_eq_c(t.s, what)) || word_is(&t, what)))
		return true;
	p->at = was;
	return false;
}

/* ---- a field ---- */

static enum err key_of(struct parser *p, struct str *out)
{
	struct token t;
	struct buf b = {0};
	enum err e = next(p, &t);
	if (!e && t.kind == TOK_QUOTED && t.quote != '\'') {
		*out = t.s;
		return OK;
	}
	if (!e && t.kind != TOK_WORD && t.kind != TOK_NUMBER)
		return expected(p, "a key");
	buf_adds(&b, t.s);
	while (!e && p->at < p->in.n && p->in.p[p->at] == '.') { /* a.b.c is one key */
		p->at++;
		e = next(p, &t);
		buf_putc(&b, '.');
		buf_adds(&b, t.s);
	}
	*out = arena_str(p->a, buf_str(&b));
	buf_free(&b);
	return e ? e : out->p ? OK : err_set(p->et, ERR_NOMEM, "no memory for a filter");
}

static enum err plain_field(struct parser *p, struct str name, struct trace_clause *c)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (str_eq_nocase(name, str_c(fields[i].name))) {
			c->field = fields[i].field;
			c->key = str_c(fields[i].name);
			c->is_number = fields[i].number;
			return OK;
		}
	return err_set(p->et, ERR_INVALID,
		"the filter: %.*s is not known; known are status, name, timestamp_ms, duration_ms, "
		"tokens, cost, model, service, session, user, text, tag.KEY, metadata.KEY, "
		"span.NAME, feedback.NAME and others (docs/traces.md)",
		STR_FMT(str_sub(name, 0, 60)));
}

static enum err span_field(struct parser *p, struct trace_clause *c)
{
	struct token t;
	enum err e = next(p, &t);
	if (e)
		return e;
	if (word_is(&t, "attributes") || word_is(&t, "attribute")) {
		if (!take(p, "."))
			return expected(p, "\".\" and the name of an attribute");
		c->field = TF_SPAN_ATTRIBUTE;
		return key_of(p, &c->key);
	}
	for (size_t i = 0; i < ARRAY_LEN(span_fields); i++)
		if (word_is(&t, span_fields[i].name)) {
			c->field = span_fields[i].field;
			c->is_number = span_fields[i].number;
			return OK;
		}
	return err_set(p->et, ERR_INVALID,
		"the filter: span.%.*s is not known; known are span.name, span.type, span.status, "
		"span.model, span.content, span.duration_ms and span.attributes.KEY",
		STR_FMT(str_sub(t.s, 0, 60)));
}

static enum err field_of(struct parser *p, struct trace_clause *c)
{
	static const struct {
		const char *word;
		enum trace_field field;
	} groups[] = {{"tag", TF_TAG}, {"tags", TF_TAG}, {"metadata", TF_METADATA},
		{"request_metadata", TF_METADATA}, {"trace_metadata", TF_METADATA},
		{"feedback", TF_FEEDBACK}, {"expectation", TF_EXPECTATION}};
	struct token t;
	enum err e = next(p, &t);
	if (e)
		return e;
	if (t.kind != TOK_WORD && !(t.kind == TOK_QUOTED && t.quote != '\''))
		return expected(p, "the name of a field");
	if (!take(p, "."))
		return plain_field(p, t.s, c);
	if (word_is(&t, "span"))
		return span_field(p, c);
	for (size_t i = 0; i < ARRAY_LEN(groups); i++)
		if (word_is(&t, groups[i].word)) {
			c->field = groups[i].field;
			return key_of(p, &c->key);
		}
	if (!word_is(&t, "trace") && !word_is(&t, "attributes") && !word_is(&t, "attribute") &&
		!word_is(&t, "attr"))
		return err_set(p->et, ERR_INVALID,
			"the filter: %.*s. is not known; known are trace., tag., metadata., span., "
			"feedback. and expectation.",
			STR_FMT(str_sub(t.s, 0, 60)));
	struct str name;
	e = key_of(p, &name);
	return e ? e : plain_field(p, name, c);
}

/* ---- operators and values ---- */

static enum err operator_of(struct parser *p, struct trace_clause *c)
{
	static const struct {
		const char *sign;
		enum trace_op op;
	} signs[] = {{"=", OP_EQ}, {"!=", OP_NE}, {"<=", OP_LE}, {">=", OP_GE}, {"<", OP_LT},
		{">", OP_GT}, {"LIKE", OP_LIKE}, {"ILIKE", OP_ILIKE}, {"IN", OP_IN}};
	for (size_t i = 0; i < ARRAY_LEN(signs); i++)
		if (take(p, signs[i].sign)) {
			c->op = signs[i].op;
			return OK;
		}
	if (take(p, "IS")) {
		c->op = take(p, "NOT") ? OP_NOT_NULL : OP_NULL;
		return take(p, "NULL") ? OK : expected(p, "NULL");
	}
	if (take(p, "NOT")) {
		c->op = OP_NOT_IN;
		return take(p, "IN") ? OK : expected(p, "IN");
	}
	return expected(p, "an operator: = != < <= > >= LIKE ILIKE IN, NOT IN, IS NULL");
}

static enum err list_of(struct parser *p, struct trace_clause *c)
{
	struct token t;
	c->texts = arena_array_of(p->a, LIST_MAX, struct str);
	if (!c->texts)
		return err_set(p->et, ERR_NOMEM, "no memory for a filter");
	if (!take(p, "("))
		return expected(p, "a list in parentheses");
	do {
		enum err e = next(p, &t);
		if (e)
			return e;
		if (t.kind != TOK_QUOTED && t.kind != TOK_NUMBER)
			return expected(p, "a quoted text");
		if (c->n_texts == LIST_MAX)
			return err_set(
				p->et, ERR_INVALID, "the filter: a list has at most %d", LIST_MAX);
		c->texts[c->n_texts++] = t.s;
	} while (take(p, ","));
	return take(p, ")") ? OK : expected(p, "\")\"");
}

static enum err value_of(struct parser *p, struct trace_clause *c)
{
	struct token t;
	if (c->op == OP_NULL || c->op == OP_NOT_NULL)
		return OK;
	if (c->op == OP_IN || c->op == OP_NOT_IN)
		return list_of(p, c);
	enum err e = next(p, &t);
	if (e)
		return e;
	bool number = t.kind == TOK_NUMBER && str_f64(t.s, &c->number);
	if (c->is_number && !number)
		return expected(p, "a number");
	bool truth = word_is(&t, "true") || word_is(&t, "false");
	if (!number && t.kind != TOK_QUOTED && !truth)
		return expected(p, "a value: a number, or a text in quotes");
	if (!number && c->op >= OP_LT && c->op <= OP_GE)
		return expected(p, "a number after this operator");
	c->is_number = number;
	c->texts = arena_new_of(p->a, struct str);
	if (!c->texts)
		return err_set(p->et, ERR_NOMEM, "no memory for a filter");
	*c->texts = t.s;
	c->n_texts = 1;
	return OK;
}

enum err trace_filter_parse(
	struct str text, struct arena *a, struct trace_filter *out, struct errtext *et)
{
	struct parser p = {.in = str_trim(text), .a = a, .et = et};
	struct trace_filter f = {0};
	enum err e = OK;
	if (p.in.n > TEXT_MAX)
		return err_set(et, ERR_INVALID, "the filter is longer than %d bytes", TEXT_MAX);
	f.clauses = arena_array_of(a, CLAUSES_MAX, struct trace_clause);
	if (!f.clauses)
		return err_set(et, ERR_NOMEM, "no memory for a filter");
	while (!e && p.at < p.in.n) {
		if (f.n == CLAUSES_MAX)
			return err_set(et, ERR_INVALID, "the filter has more than %d clauses",
				CLAUSES_MAX);
		struct trace_clause *c = &f.clauses[f.n++];
		e = field_of(&p, c);
		if (!e)
			e = operator_of(&p, c);
		if (!e)
			e = value_of(&p, c);
		f.needs_notes |= c->field >= TF_CLIENT_REQUEST && c->field <= TF_EXPECTATION;
		f.needs_notes |= c->field == TF_RUN;
		f.needs_spans |= c->field >= TF_SPAN_NAME || c->field == TF_TEXT;
		if (e || p.at == p.in.n)
			break;
		if (!take(&p, "AND"))
			e = expected(&p, "AND");
		else if (p.at == p.in.n)
			e = expected(&p, "a clause");
	}
	if (!e)
		*out = f;
	return e;
}

/* ---- matching ---- */

static char folded(char c, bool fold)
{
	return fold && c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* Greedy, with one point to come back to: linear in practice, never exponential. */
bool trace_like(struct str pat, struct str s, bool any_case)
{
	size_t p = 0, i = 0, star = STR_NONE, mark = 0;
	while (i < s.n) {
		if (p < pat.n && pat.p[p] == '%') {
			star = p++;
			mark = i;
		} else if (p < pat.n && (pat.p[p] == '_' || folded(pat.p[p], any_case) ==
								    folded(s.p[i], any_case))) {
			p++;
			i++;
		} else if (star != STR_NONE) {
			p = star + 1;
			i = ++mark;
		} else {
			return false;
		}
	}
	while (p < pat.n && pat.p[p] == '%')
		p++;
	return p == pat.n;
}

static bool in_list(const struct trace_clause *c, struct str value)
{
	for (size_t i = 0; i < c->n_texts; i++)
		if (str_eq(c->texts[i], value))
			return true;
	return false;
}

bool trace_match_text(const struct trace_clause *c, struct str value)
{
	if (!value.p)
		return c->op == OP_NULL;
	switch (c->op) {
	case OP_EQ:
		return str_eq(value, c->texts[0]);
	case OP_NE:
		return !str_eq(value, c->texts[0]);
	case OP_LIKE:
	case OP_ILIKE:
		return trace_like(c->texts[0], value, c->op == OP_ILIKE);
	case OP_CONTAINS:
		return str_find_nocase(value, c->texts[0]) != STR_NONE;
	case OP_IN:
		return in_list(c, value);
	case OP_NOT_IN:
		return !in_list(c, value);
	case OP_NOT_NULL:
		return true;
	default:
		return false;
	}
}

bool trace_match_number(const struct trace_clause *c, double v)
{
	switch (c->op) {
	case OP_EQ:
		return v == c->number;
	case OP_NE:
		return v != c->number;
	case OP_LT:
		return v < c->number;
	case OP_LE:
		return v <= c->number;
	case OP_GT:
		return v > c->number;
	case OP_GE:
		return v >= c->number;
	case OP_NOT_NULL:
		return true;
	default:
		return false;
	}
}

bool trace_match_any(const struct trace_clause *c, struct str value)
{
	double v;
	if (c->is_number && value.p)
		return str_f64(value, &v) && trace_match_number(c, v);
	return trace_match_text(c, value);
}
