/* Calls whose arguments stand one after the other, and their values without quotes:
 *
 *	<function=NAME> <parameter=KEY>\nVALUE\n</parameter> ... </function>
 *
 *	OPEN --sign--> NAME --'>'--> BETWEEN --<parameter=--> KEY --'>'--> VALUE --+
 *	                               ^  |                                         |
 *	              </function>: done --+ +-------------------</parameter>--------+
 *
 * They become the JSON of an object while they are read. Whether 5 is a number or a text only the
 * tool's schema knows: the parser asks `meant`. One line break at each end of a value is the
 * syntax's and not the value's. */
#include "base/json.h"
#include "engine/toolcall_int.h"

#define SIGN_FUNCTION "<function="
#define SIGN_PARAMETER "<parameter="
#define SIGN_VALUE_END "\n</parameter>"
#define SIGN_END "</function>"

static void next(struct toolcall_parser *p, unsigned state)
{
	p->walk.xml = state;
	p->json = p->pos;
	buf_clear(&p->walk.word);
}

static struct str without_space(struct str s)
{
	while (s.n && tc_space(*s.p))
		s = str_sub(s, 1, s.n);
	return s;
}

/* ---- values ---- */

static void put_escaped(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '\n')
			buf_addc(out, "\\n");
		else if (c == '\t')
			buf_addc(out, "\\t");
		else if (c < ' ')
			buf_addf(out, "\\u%04x", c);
		else if (c == '"' || c == '\\')
			buf_putc(out, '\\'), buf_putc(out, (char)c);
		else
			buf_putc(out, (char)c);
	}
}

static void put_string(struct buf *out, struct str s)
{
	buf_putc(out, '"');
	put_escaped(out, s);
	buf_putc(out, '"');
}

/* Templates write what is no string as Python does. */
static const char *as_json(struct str s)
{
	static const char *const words[][2] = {
		{"True", "true"}, {"False", "false"}, {"None", "null"}};
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_eq_c(s, words[i][0]))
			return words[i][1];
	return NULL;
}

static void put_any(struct buf *out, struct str value)
{
	struct str s = str_trim(value);
	yyjson_doc *doc = NULL;
	if (as_json(s))
		buf_addc(out, as_json(s));
	else if (s.n && *s.p != '"' && json_parse(s, &doc, NULL) == OK)
		buf_adds(out, s);
	else
		put_string(out, value);
	yyjson_doc_free(doc);
}

static void put_value(struct toolcall_parser *p, struct str value)
{
	struct str s = str_trim(value);
	bool null = str_eq_c(s, "null") || str_eq_c(s, "None");
	if (p->walk.kind == TOOLCALL_VALUE_TEXT_OR_NULL && !null)
		put_string(&p->walk.args, value);
	else
		put_any(&p->walk.args, value);
}

/* How much of it cannot belong to the sign that ends it. */
static size_t certain(struct str s)
{
	struct str end = S(SIGN_VALUE_END);
	for (size_t k = MIN(s.n, end.n); k > 0; k--) {
		struct str tail = str_sub(s, s.n - k, s.n);
		if (str_starts(end, tail) || str_starts(str_sub(end, 1, end.n), tail))
			return s.n - k;
	}
	return s.n;
}

static void text_goes_on(struct buf *word, struct buf *out)
{
	size_t n = certain(buf_str(word));
	put_escaped(out, str_sub(buf_str(word), 0, n));
	memmove(word->p, word->p + n, word->n - n);
	word->n -= n;
}

static void value_byte(struct toolcall_parser *p, char c)
{
	struct toolcall_walk *w = &p->walk;
	struct str end = S(SIGN_VALUE_END);
	bool text = w->kind == TOOLCALL_VALUE_TEXT;
	if (p->pos == p->json + 1 && c == '\n')
		return;
	buf_putc(&w->word, c);
	struct str s = buf_str(&w->word);
	if (!str_ends(s, str_sub(end, 1, end.n))) {
		if (text)
			text_goes_on(&w->word, &w->args);
		return;
	}
	s = str_sub(s, 0, s.n - (str_ends(s, end) ? end.n : end.n - 1));
	if (text) {
		put_escaped(&w->args, s);
		buf_putc(&w->args, '"');
	} else {
		put_value(p, s);
	}
	next(p, XML_BETWEEN);
}

/* ---- the rest ---- */

/* Told piece by piece, or whole now that it is known to be one: no key twice, and valid. */
static void call_ends(struct toolcall_parser *p)
{
	struct toolcall_walk *w = &p->walk;
	yyjson_doc *doc = NULL;
	yyjson_val *k, *v;
	size_t i, n;
	buf_addc(&w->args, w->any ? "}" : "{}");
	if (!p->open) {
		bool good = json_parse(buf_str(&w->args), &doc, NULL) == OK;
		yyjson_val *root = good ? yyjson_doc_get_root(doc) : NULL;
		yyjson_obj_foreach(root, i, n, k, v) good =
			good && yyjson_obj_getn(root, yyjson_get_str(k), yyjson_get_len(k)) == v;
		yyjson_doc_free(doc);
		if (!good) {
			tc_no_call(p);
			return;
		}
		tc_open_call(p, buf_str(&w->key));
	}
	tc_close_call(p);
	tc_call_done(p);
}

static void name_ends(struct toolcall_parser *p, struct str name)
{
	if (!tc_known(p, name)) {
		tc_no_call(p);
		return;
	}
	buf_clear(&p->walk.key);
	buf_adds(&p->walk.key, name);
	if (p->certain)
		tc_open_call(p, name);
	next(p, XML_BETWEEN);
}

static void key_ends(struct toolcall_parser *p, struct str key)
{
	struct toolcall_walk *w = &p->walk;
	w->kind = p->meant ? p->meant(p->ctx, buf_str(&w->key), key) : TOOLCALL_VALUE_ANY;
	buf_addc(&w->args, w->any ? ", " : "{");
	w->any = true;
	put_string(&w->args, key);
	buf_addc(&w->args, w->kind == TOOLCALL_VALUE_TEXT ? ": \"" : ": ");
	next(p, XML_VALUE);
}

static void between_byte(struct toolcall_parser *p)
{
	struct str s = without_space(tc_kept(p, p->json));
	if (str_eq_c(s, SIGN_PARAMETER))
		next(p, XML_KEY);
	else if (str_eq_c(s, SIGN_END))
		call_ends(p);
	else if (!str_starts(S(SIGN_PARAMETER), s) && !str_starts(S(SIGN_END), s))
		tc_no_call(p);
}

void tc_xml_byte(struct toolcall_parser *p, char c)
{
	struct str s = tc_kept(p, p->json);
	switch (p->walk.xml) {
	case XML_OPEN:
		s = without_space(s);
		if (str_eq_c(s, SIGN_FUNCTION))
			next(p, XML_NAME);
		else if (!str_starts(S(SIGN_FUNCTION), s))
			tc_no_call(p);
		break;
	case XML_NAME:
	case XML_KEY:
		if (c != '>' && (s.n > TC_NAME_MAX || c == '\n' || c == '<'))
			tc_no_call(p);
		else if (c == '>' && p->walk.xml == XML_NAME)
			name_ends(p, str_trim(str_sub(s, 0, s.n - 1)));
		else if (c == '>')
			key_ends(p, str_trim(str_sub(s, 0, s.n - 1)));
		break;
	case XML_BETWEEN:
		between_byte(p);
		break;
	case XML_VALUE:
		value_byte(p, c);
		break;
	}
}
