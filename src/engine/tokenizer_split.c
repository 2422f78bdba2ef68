/* Splitters: how a text falls into words before the model sees it.
 *
 * The patterns in the wild are of few kinds. Those that descend from GPT-2's are one function with
 * parameters (struct gpt_rule); the others are runs of a class. A pattern of tokenizer.json and a
 * name of tokenizer.ggml.pre are rows at the end of this file: to add one, add its row. */
#include "engine/tokenizer_int.h"

#include <stdio.h>
#include <stdlib.h>

struct text {
	const char *p;
	size_t n;
};

static inline unsigned class_at(const struct text *t, size_t i, size_t *len)
{
	unsigned char a = (unsigned char)t->p[i];
	*len = 1;
	if (a < 0x80)
		return uc_bmp[a];
	return uc(cp_at(t->p, i, t->n, len));
}

/* The end of the longest run of classes in mask from i on, of at most max code points (0: any). */
static inline size_t run_of(const struct text *t, size_t i, unsigned mask, size_t max)
{
	size_t len;
	for (size_t k = 0; i < t->n && (max == 0 || k < max); k++, i += len)
		if (!(class_at(t, i, &len) & mask))
			break;
	return i;
}

static char ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* 's 't 're 've 'm 'll 'd at i: the end, or i. The long s folds to s. */
static size_t contraction(const struct text *t, size_t i, bool any_case)
{
	if (i + 1 >= t->n || t->p[i] != '\'')
		return i;
	char a = t->p[i + 1], b = i + 2 < t->n ? t->p[i + 2] : 0;
	if (any_case) {
		if ((unsigned char)a == 0xC5 && (unsigned char)b == 0xBF)
			return i + 3;
		a = ascii_lower(a);
		b = ascii_lower(b);
	}
	if (a == 's' || a == 't' || a == 'm' || a == 'd')
		return i + 2;
	if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l'))
		return i + 3;
	return i;
}

enum { CASE_UP = UC_UPPER, CASE_LOW = UC_LOWER };

/* Lm, Lo and marks count as both. */
static bool is_up(unsigned m)
{
	return m & UC_MARK || (m & UC_LETTER && !(m & UC_LOWER));
}

static bool is_low(unsigned m)
{
	return m & UC_MARK || (m & UC_LETTER && !(m & UC_UPPER));
}

/* Upper* lower+ from j on: the end, or j. Where the run of Upper is not followed by a lower-case
 * letter, the last one of it that may be lower ends the match. */
static size_t word_lower(const struct text *t, size_t j)
{
	size_t len, k = j, last = j;
	while (k < t->n) {
		unsigned m = class_at(t, k, &len);
		if (!is_up(m))
			break;
		k += len;
		if (is_low(m))
			last = k;
	}
	size_t end = k;
	while (end < t->n && is_low(class_at(t, end, &len)))
		end += len;
	return end > k ? end : last;
}

static size_t word_upper(const struct text *t, size_t j)
{
	size_t len, k = j;
	while (k < t->n && is_up(class_at(t, k, &len)))
		k += len;
	if (k == j)
		return j;
	while (k < t->n && is_low(class_at(t, k, &len)))
		k += len;
	return k;
}

static size_t cased_word(const struct text *t, size_t i, size_t lead, bool suffix)
{
	size_t end = i;
	if (lead > i && (end = word_lower(t, lead)) == lead)
		end = i;
	if (end == i)
		end = word_lower(t, i);
	if (end == i && lead > i && (end = word_upper(t, lead)) == lead)
		end = i;
	if (end == i)
		end = word_upper(t, i);
	return end > i && suffix ? contraction(t, end, true) : end;
}

static bool is_line_end(char c)
{
	return c == '\n' || c == '\r';
}

/* White space from i on (there is some): to its last line end, else all at the text's end, else
 * all but the last code point, else that one. */
static size_t white(const struct text *t, size_t i, bool lines)
{
	size_t len, end = i, last = i, line = i;
	while (end < t->n && class_at(t, end, &len) & UC_SPACE) {
		last = end;
		end += len;
		if (len == 1 && is_line_end(t->p[last]))
			line = end;
	}
	if (lines && line > i)
		return line;
	return end == t->n || last == i ? end : last;
}

/* The end of the piece that begins at i, or i: no alternative matches there. */
static size_t gpt_match(const struct gpt_rule *r, const struct text *t, size_t i)
{
	size_t len, end;
	if (t->p[i] == '\'' && (r->contraction == 1 || r->contraction == 2)) {
		end = contraction(t, i, r->contraction == 2);
		if (end > i)
			return end;
	}
	unsigned m = class_at(t, i, &len);
	if (r->punct_word && len == 1 && m & (UC_PUNCT | UC_SYMBOL)) {
		for (end = i + 1; end < t->n && ascii_lower(t->p[end]) >= 'a' &&
				  ascii_lower(t->p[end]) <= 'z';)
			end++;
		if (end > i + 1)
			return end;
	}
	/* words */
	bool may_lead = r->lead ? !(m & r->lead_not) && !(len == 1 && is_line_end(t->p[i]))
				: t->p[i] == ' ';
	if (r->cased) {
		end = cased_word(t, i, may_lead ? i + len : i, r->contraction == 3);
		if (end > i)
			return end;
	} else {
		if (may_lead) {
			end = run_of(t, i + len, r->letters, 0);
			if (end > i + len)
				return end;
		}
		if (m & r->letters)
			return run_of(t, i + len, r->letters, 0);
	}
	/* numbers */
	if (r->digits == 255) {
		size_t from = t->p[i] == ' ' ? i + 1 : i;
		end = run_of(t, from, UC_NUMBER, 0);
		if (end > from)
			return end;
	} else if (r->digits && m & UC_NUMBER) {
		return run_of(t, i, UC_NUMBER, r->digits);
	}
	/* marks */
	size_t from = t->p[i] == ' ' ? i + 1 : i;
	for (end = from; end < t->n; end += len) {
		unsigned k = class_at(t, end, &len);
		if (r->marks ? !(k & r->marks) : k & (UC_SPACE | UC_LETTER | UC_NUMBER))
			break;
	}
	if (end > from) {
		while (r->tail && end < t->n &&
			(is_line_end(t->p[end]) || (r->tail == 2 && t->p[end] == '/')))
			end++;
		return end;
	}
	return m & UC_SPACE ? white(t, i, r->lines) : i;
}

static void sub(struct enc *e, unsigned stage, const struct view *v, size_t from, size_t to)
{
	if (from < to && !e->err)
		enc_run(e, stage + 1, view_sub(v, from, to));
}

static void split_gpt(struct enc *e, unsigned stage, const struct view *v)
{
	const struct gpt_rule *r = e->tk->stage[stage].gpt;
	struct text t = {v->p, v->n};
	size_t gap = 0, i = 0, len;
	while (i < v->n && !e->err) {
		size_t end = gpt_match(r, &t, i);
		if (end == i) {
			class_at(&t, i, &len);
			i += len;
			continue;
		}
		sub(e, stage, v, gap, i);
		sub(e, stage, v, i, end);
		gap = i = end;
	}
	sub(e, stage, v, gap, v->n);
}

/* ---- runs ---- */

enum run_set {
	SET_CLASS,
	SET_ASCII_DIGIT,
	SET_LINE_END,
	SET_FALCON,
	SET_BLOOM,
	SET_CASED,
	SET_DS_PUNCT,
	SET_CJK_DS,
	SET_CJK_DS3,
	SET_BERT_PUNCT
};

static bool in_set(const struct run_rule *r, uint32_t cp)
{
	switch ((enum run_set)r->set) {
	case SET_CLASS:
		return uc(cp) & r->mask;
	case SET_ASCII_DIGIT:
		return cp >= '0' && cp <= '9';
	case SET_LINE_END:
		return cp == '\n' || cp == '\r';
	case SET_FALCON: /* [\p{P}\$\+<=>\^~\|`] */
		return uc(cp) & UC_PUNCT || (cp < 0x80 && cp && strchr("$+<=>^~|`", (int)cp));
	case SET_BLOOM: /* [^(\s|.,!?...)] and their full-width, Arabic and Indic brothers */
		return !(uc(cp) & UC_SPACE) && !(cp < 0x80 && cp && strchr("(|.,!?)", (int)cp)) &&
		       cp != 0x2026 && cp != 0x3002 && cp != 0xFF0C && cp != 0x3001 &&
		       cp != 0x964 && cp != 0x6D4 && cp != 0x60C;
	case SET_CASED:
		return uc(cp) & (UC_UPPER | UC_LOWER);
	case SET_DS_PUNCT:
		return (cp >= '!' && cp <= '/') || (cp >= ':' && cp <= '~') ||
		       (cp >= 0xFF01 && cp <= 0xFF0F) || (cp >= 0xFF1A && cp <= 0xFF5E) ||
		       (cp >= 0x2018 && cp <= 0x201F) || (cp >= 0x3000 && cp <= 0x3002);
	case SET_CJK_DS:
		return (cp >= 0x800 && cp <= 0x9FA5) || (cp >= 0xAC00 && cp <= 0xD7FF);
	case SET_CJK_DS3:
		return (cp >= 0x4E00 && cp <= 0x9FA5) || (cp >= 0x3040 && cp <= 0x30FF);
	case SET_BERT_PUNCT:
		if (cp < 0x80)
			return uc(cp) & (UC_PUNCT | UC_SYMBOL);
		return cp == 0x166D || cp == 0x111C9 || (uc(cp) & UC_PUNCT && uc_bert_knows(cp));
	}
	return false;
}

static size_t run_match(const struct run_rule *r, const struct text *t, size_t i)
{
	size_t len, from = i, k = 0;
	uint32_t cp = cp_at(t->p, i, t->n, &len);
	if (r->lead && (r->lead == 1 ? cp == ' ' : (uc(cp) & UC_SPACE) != 0))
		from = i + len;
	for (int with_lead = from > i; with_lead >= 0; with_lead--) {
		size_t end = with_lead ? from : i;
		for (k = 0; end < t->n && (r->max == 0 || k < r->max); k++, end += len)
			if (!in_set(r, cp_at(t->p, end, t->n, &len)))
				break;
		if (k >= r->min)
			return end;
	}
	return i;
}

static void split_run(struct enc *e, unsigned stage, const struct view *v)
{
	const struct run_rule *r = &e->tk->stage[stage].run;
	struct text t = {v->p, v->n};
	size_t gap = 0, i = 0, len;
	while (i < v->n && !e->err) {
		size_t end = run_match(r, &t, i);
		if (end == i) {
			cp_at(v->p, i, v->n, &len);
			i += len;
			continue;
		}
		sub(e, stage, v, gap, i);
		sub(e, stage, v, i, end);
		gap = i = end;
	}
	sub(e, stage, v, gap, v->n);
}

static void split_tail_space(struct enc *e, unsigned stage, const struct view *v)
{
	struct text t = {v->p, v->n};
	size_t start = v->n, len;
	for (size_t i = 0; i < v->n; i += len) {
		bool space = class_at(&t, i, &len) & UC_SPACE;
		if (space && start == v->n)
			start = i;
		else if (!space)
			start = v->n;
	}
	sub(e, stage, v, 0, start);
	sub(e, stage, v, start, v->n);
}

/* Runs of ASCII digits, cut into threes from the right. */
static void split_thousands(struct enc *e, unsigned stage, const struct view *v)
{
	size_t i = 0;
	while (i < v->n) {
		size_t end = i;
		while (end < v->n && v->p[end] >= '0' && v->p[end] <= '9')
			end++;
		if (end == i) {
			while (end < v->n && !(v->p[end] >= '0' && v->p[end] <= '9'))
				end++;
			sub(e, stage, v, i, end);
		} else {
			for (size_t k = i, head = (end - i) % 3; k < end;) {
				size_t to = k == i && head ? k + head : k + 3;
				sub(e, stage, v, k, to);
				k = to;
			}
		}
		i = end;
	}
}

static void split_literal(struct enc *e, unsigned stage, const struct view *v)
{
	struct str a = e->tk->stage[stage].a;
	enum split_how how = (enum split_how)e->tk->stage[stage].arg;
	size_t from = 0, look = 0;
	while (look < v->n && a.n && !e->err) {
		size_t at = str_find(str_mk(v->p + look, v->n - look), a);
		if (at == STR_NONE)
			break;
		at += look;
		size_t end = at + a.n;
		while (how == HOW_CONTIGUOUS && str_starts(str_mk(v->p + end, v->n - end), a))
			end += a.n;
		if (how == HOW_PREVIOUS) {
			sub(e, stage, v, from, end);
			from = end;
		} else if (how == HOW_NEXT) {
			sub(e, stage, v, from, at);
			from = at;
		} else {
			sub(e, stage, v, from, at);
			if (how != HOW_REMOVED)
				sub(e, stage, v, at, end);
			from = end;
		}
		look = end;
	}
	sub(e, stage, v, from, v->n);
}

static void split_bert(struct enc *e, unsigned stage, const struct view *v)
{
	static const struct run_rule punct = {.set = SET_BERT_PUNCT};
	struct text t = {v->p, v->n};
	size_t from = 0, len;
	for (size_t i = 0; i < v->n && !e->err; i += len) {
		unsigned m = class_at(&t, i, &len);
		bool space = m & UC_SPACE;
		if (!space && !(m & (UC_PUNCT | UC_SYMBOL | UC_MARK)))
			continue;
		if (!space && !in_set(&punct, cp_at(v->p, i, v->n, &len)))
			continue;
		sub(e, stage, v, from, i);
		if (!space)
			sub(e, stage, v, i, i + len);
		from = i + len;
	}
	sub(e, stage, v, from, v->n);
}

static void split_words(struct enc *e, unsigned stage, const struct view *v, bool only_spaces)
{
	struct text t = {v->p, v->n};
	size_t i = 0, len;
	while (i < v->n && !e->err) {
		unsigned m = class_at(&t, i, &len);
		if (m & UC_SPACE) {
			i += len;
			continue;
		}
		size_t end = i;
		while (end < v->n) {
			unsigned k = class_at(&t, end, &len);
			if (k & UC_SPACE || (!only_spaces && (k ^ m) & UC_WORD))
				break;
			end += len;
		}
		sub(e, stage, v, i, end);
		i = end;
	}
}

static void split_metaspace(struct enc *e, unsigned stage, const struct view *v)
{
	const struct stage *st = &e->tk->stage[stage];
	struct scratch *s = &e->sc[stage];
	struct view w = *v;
	bool has = str_find(str_mk(v->p, v->n), S(" ")) != STR_NONE;
	bool prepend = (st->arg & META_ALWAYS || (st->arg & META_FIRST && v->first)) && v->n &&
		       v->p[0] != ' ' && !str_starts(str_mk(v->p, v->n), st->a);
	if (has || prepend) {
		sc_begin(e, s);
		if (prepend)
			sc_add(e, s, st->a.p, st->a.n, v, 0, 0);
		for (size_t i = 0; i < v->n;) {
			const char *sp = memchr(v->p + i, ' ', v->n - i);
			size_t end = sp ? (size_t)(sp - v->p) : v->n;
			sc_copy(e, s, v, i, end);
			if (sp)
				sc_add(e, s, st->a.p, st->a.n, v, end, end + 1);
			i = end + (sp != NULL);
		}
		w = sc_view(s, v);
	}
	if (!(st->arg & META_SPLIT)) {
		sub(e, stage, &w, 0, w.n);
		return;
	}
	size_t from = 0;
	while (from < w.n && !e->err) {
		size_t skip = MIN(w.n - from, st->a.n);
		if (!str_starts(str_mk(w.p + from, w.n - from), st->a))
			skip = 0;
		size_t at = str_find(str_mk(w.p + from + skip, w.n - from - skip), st->a);
		size_t to = at == STR_NONE ? w.n : from + skip + at;
		sub(e, stage, &w, from, to);
		from = to;
	}
}

static void split_marks(struct enc *e, unsigned stage, const struct view *v)
{
	size_t from = 0;
	for (size_t i = 1; i + 2 < v->n; i++) {
		const char *at = memchr(v->p + i, '\xE2', v->n - i - 2);
		if (!at)
			break;
		i = (size_t)(at - v->p);
		if (memcmp(at, "\xE2\x96\x81", 3) != 0 ||
			(i >= 3 && memcmp(at - 3, "\xE2\x96\x81", 3) == 0))
			continue;
		sub(e, stage, v, from, i);
		from = i;
	}
	sub(e, stage, v, from, v->n);
}

void enc_split(struct enc *e, unsigned stage, const struct view *v)
{
	switch (e->tk->stage[stage].kind) {
	case ST_GPT:
		split_gpt(e, stage, v);
		return;
	case ST_RUN:
		split_run(e, stage, v);
		return;
	case ST_TAIL_SPACE:
		split_tail_space(e, stage, v);
		return;
	case ST_THOUSANDS:
		split_thousands(e, stage, v);
		return;
	case ST_LITERAL:
		split_literal(e, stage, v);
		return;
	case ST_BERT_SPLIT:
		split_bert(e, stage, v);
		return;
	case ST_WORDS:
		split_words(e, stage, v, false);
		return;
	case ST_SPACES:
		split_words(e, stage, v, true);
		return;
	case ST_MARKS:
		split_marks(e, stage, v);
		return;
	case ST_METASPACE:
		split_metaspace(e, stage, v);
		return;
	default:
		e->err = ERR_INTERNAL;
	}
}

/* ---- rows ---- */

#define LN (UC_LETTER | UC_NUMBER)
static const struct gpt_rule rule_gpt2 = {.contraction = 1, .letters = UC_LETTER, .digits = 255};
static const struct gpt_rule rule_llama3 = {.contraction = 2,
	.lead = 1,
	.lead_not = LN,
	.letters = UC_LETTER,
	.digits = 3,
	.tail = 1,
	.lines = 1};
static const struct gpt_rule rule_qwen2 = {.contraction = 2,
	.lead = 1,
	.lead_not = LN,
	.letters = UC_LETTER,
	.digits = 1,
	.tail = 1,
	.lines = 1};
static const struct gpt_rule rule_qwen35 = {.contraction = 2,
	.lead = 1,
	.lead_not = LN,
	.letters = UC_LETTER | UC_MARK,
	.digits = 1,
	.tail = 1,
	.lines = 1,
	.marks = UC_PUNCT | UC_SYMBOL | UC_OTHER};
static const struct gpt_rule rule_o200k = {.contraction = 3,
	.cased = 1,
	.lead = 1,
	.lead_not = LN,
	.digits = 3,
	.tail = 2,
	.lines = 1};
static const struct gpt_rule rule_tekken = {
	.cased = 1, .lead = 1, .lead_not = LN, .digits = 1, .tail = 2, .lines = 1};
static const struct gpt_rule rule_deepseek3 = {.lead = 1,
	.lead_not = UC_LETTER | UC_PUNCT | UC_SYMBOL,
	.letters = UC_LETTER | UC_MARK,
	.marks = UC_PUNCT | UC_SYMBOL,
	.tail = 1,
	.lines = 1,
	.punct_word = 1};

#define GPT(r)                              \
	{                                   \
		.kind = ST_GPT, .gpt = &(r) \
	}
#define RUN(s, l, lo, hi)                                                                   \
	{                                                                                   \
		.kind = ST_RUN, .run = {.set = (s), .lead = (l), .min = (lo), .max = (hi) } \
	}
#define CLASS(m, l, lo, hi)                                                                  \
	{                                                                                    \
		.kind = ST_RUN, .run = {.mask = (m), .lead = (l), .min = (lo), .max = (hi) } \
	}
enum { ROW_STAGES = 6 };
typedef const struct stage row[ROW_STAGES]; /* ended by the first of kind ST_FORM, which is 0 */

static row row_gpt2 = {GPT(rule_gpt2)};
static row row_llama3 = {GPT(rule_llama3)};
static row row_qwen2 = {GPT(rule_qwen2)};
static row row_qwen35 = {GPT(rule_qwen35)};
static row row_o200k = {GPT(rule_o200k)};
static row row_tekken = {GPT(rule_tekken)};
static row row_digit_gpt2 = {CLASS(UC_NUMBER, 0, 1, 1), GPT(rule_gpt2)};
static row row_falcon = {RUN(SET_FALCON, 0, 1, 0), GPT(rule_gpt2), RUN(SET_ASCII_DIGIT, 0, 3, 3)};
static row row_default = {RUN(SET_FALCON, 0, 1, 0), GPT(rule_gpt2), CLASS(UC_NUMBER, 0, 1, 0),
	RUN(SET_ASCII_DIGIT, 0, 3, 3)};
static row row_bloom = {RUN(SET_BLOOM, 1, 1, 0)};
static row row_viking = {RUN(SET_BLOOM, 1, 1, 0), CLASS(UC_NUMBER, 0, 1, 1)};
static row row_deepseek_llm = {RUN(SET_LINE_END, 0, 1, 1), RUN(SET_CASED, 2, 1, 0),
	RUN(SET_DS_PUNCT, 2, 1, 0), {.kind = ST_TAIL_SPACE}, RUN(SET_CJK_DS, 0, 1, 0),
	CLASS(UC_NUMBER, 0, 1, 0)};
static row row_deepseek_coder = {RUN(SET_LINE_END, 0, 1, 1), CLASS(UC_LETTER, 2, 1, 0),
	CLASS(UC_PUNCT, 2, 1, 0), RUN(SET_CJK_DS, 0, 1, 0), CLASS(UC_NUMBER, 0, 1, 1)};
static row row_deepseek3 = {
	CLASS(UC_NUMBER, 0, 1, 3), RUN(SET_CJK_DS3, 0, 1, 0), GPT(rule_deepseek3)};
static row row_deepseek3_main = {GPT(rule_deepseek3)};
static row row_superbpe = {CLASS(UC_NUMBER, 0, 1, 0), {.kind = ST_THOUSANDS}};
static row row_number1 = {CLASS(UC_NUMBER, 0, 1, 1)};
static row row_number3 = {CLASS(UC_NUMBER, 0, 1, 3)};
static row row_numbers = {CLASS(UC_NUMBER, 0, 1, 0)};
static row row_ascii3 = {RUN(SET_ASCII_DIGIT, 0, 3, 3)};
static row row_falcon_punct = {RUN(SET_FALCON, 0, 1, 0)};
static row row_line = {RUN(SET_LINE_END, 0, 1, 1)};
static row row_cjk3 = {RUN(SET_CJK_DS3, 0, 1, 0)};
static row row_cjk = {RUN(SET_CJK_DS, 0, 1, 0)};
static row row_ds_punct = {RUN(SET_DS_PUNCT, 2, 1, 0)};
static row row_space_letters = {CLASS(UC_LETTER, 2, 1, 0)};
static row row_space_punct = {CLASS(UC_PUNCT, 2, 1, 0)};
static row row_tail = {{.kind = ST_TAIL_SPACE}};
static row row_thousands = {{.kind = ST_THOUSANDS}};

static enum err add_row(struct tokenizer *tk, const struct stage *r, struct errtext *et)
{
	for (unsigned i = 0; i < ROW_STAGES && (r[i].kind != ST_FORM); i++) {
		struct stage *s = tk_stage(tk, r[i].kind);
		if (!s)
			return err_set(et, ERR_LIMIT, "tokenizer: more than %d steps", STAGES_MAX);
		*s = r[i];
	}
	return OK;
}

void tk_split_gpt2(struct tokenizer *tk)
{
	(void)add_row(tk, row_gpt2, NULL);
}

#define TAIL3 "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define CONTR "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define CONTR2 "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
#define CONTR3 "'(?i:[sdmt]|ll|ve|re)"
#define CONTR4 "(?i:[sdmt]|ll|ve|re)"
#define WORD "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define WORDP "|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+"
#define MARKS "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
#define MARKSP "| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*"
#define UPLOW                                                                                      \
	"[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]" \
	"+"
#define UPLOW2                                                                                     \
	"[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]" \
	"*"
#define MARKS2 "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*"

static const struct {
	const char *pattern;
	const struct stage *stages;
} patterns[] = {
	{"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
		row_gpt2},
	{"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)", row_gpt2},
	{"'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
		row_gpt2},
	{"'(?:[sdmt]|ll|ve|re)| ?\\p{L}++| ?\\p{N}++| ?[^\\s\\p{L}\\p{N}]++|\\s++$|\\s+(?!\\S)|\\s",
		row_gpt2},
	{CONTR WORD "|\\p{N}{1,3}" MARKS TAIL3, row_llama3},
	{CONTR2 WORD "|\\p{N}{1,3}" MARKS TAIL3, row_llama3},
	{CONTR3 WORDP "|\\p{N}{1,3}" MARKSP "|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+", row_llama3},
	{CONTR3 WORDP "|\\p{N}{1,3}+" MARKSP "|\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s", row_llama3},
	{CONTR3 WORD "|\\p{N}{1,3}" MARKS TAIL3, row_llama3},
	{CONTR WORD "|\\p{N}" MARKS TAIL3, row_qwen2},
	{CONTR2 WORD "|\\p{N}" MARKS TAIL3, row_qwen2},
	{CONTR WORDP "|\\p{N}" MARKS TAIL3, row_qwen2},
	{"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| "
	 "?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" TAIL3,
		row_qwen35},
	{UPLOW "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|" UPLOW2
	       "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}" MARKS2 TAIL3,
		row_o200k},
	{UPLOW "|" UPLOW2 "|\\p{N}" MARKS2 TAIL3, row_tekken},
	{"[!\"#$%&'()*+,\\-./"
	 ":;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "
	 "?[\\p{P}\\p{S}]+[\\r\\n]*" TAIL3,
		row_deepseek3_main},
	{"[!\"#$%&'()*+,\\-./"
	 ":;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "
	 "?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
		row_deepseek3_main},
	{" ?[^(\\s|.,!?"
	 "\xE2\x80\xA6\xE3\x80\x82\xEF\xBC\x8C\xE3\x80\x81\xE0\xA5\xA4\xDB\x94\xD8\x8C)]+",
		row_bloom},
	{" ?[^(\\s|[.,!?"
	 "\xE2\x80\xA6\xE3\x80\x82\xEF\xBC\x8C\xE3\x80\x81\xE0\xA5\xA4\xDB\x94\xD8\x8C])]+",
		row_bloom},
	{"\\p{N}{1,3}", row_number3},
	{"\\p{N}", row_number1},
	{"\\p{N}+", row_numbers},
	{"\\d{3}", row_ascii3},
	{"[0-9][0-9][0-9]", row_ascii3},
	{"(?=(\\d{3})+(?!\\d))", row_thousands},
	{"[\\p{P}\\$\\+<=>\\^~\\|`]+", row_falcon_punct},
	{"[\\r\\n]", row_line},
	{"[\r\n]", row_line},
	{"[\xE4\xB8\x80-\xE9\xBE\xA5\xE3\x81\x80-\xE3\x82\x9F\xE3\x82\xA0-\xE3\x83\xBF]+",
		row_cjk3},
	{"[\xE4\xB8\x80-\xE9\xBE\xA5\xE0\xA0\x80-\xE4\xB8\x80\xEA\xB0\x80-\xED\x9F\xBF]+", row_cjk},
	{"\\s?[!-/"
	 ":-~\xEF\xBC\x81-\xEF\xBC\x8F\xEF\xBC\x9A-\xEF\xBD\x9E\xE2\x80\x98-"
	 "\xE2\x80\x9F\xE3\x80\x80-"
	 "\xE3\x80\x82]+",
		row_ds_punct},
	{"\\s?\\p{L}+", row_space_letters},
	{"\\s?\\p{P}+", row_space_punct},
	{"\\s+$", row_tail},
};

enum err tk_split_regex(struct tokenizer *tk, struct str pattern, struct errtext *et)
{
	for (size_t i = 0; i < ARRAY_LEN(patterns); i++)
		if (str_eq_c(pattern, patterns[i].pattern))
			return add_row(tk, patterns[i].stages, et);
	/* DeepSeek's list of cased letters is a page long; it begins like this. */
	if (str_starts(pattern, S("\\s?[A-Za-z\xC2\xB5\xC3\x80-\xC3\x96\xC3\x98-\xC3\xB6")))
		return add_row(tk, (row){RUN(SET_CASED, 2, 1, 0)}, et);
	return err_set(et, ERR_UNSUPPORTED, "tokenizer.json: unknown splitting pattern %.*s",
		(int)MIN(pattern.n, 300u), pattern.p);
}

static const struct {
	const char *name;
	const struct stage *stages;
} pres[] = {
	{"default", row_default},
	{"llama3", row_llama3},
	{"llama-v3", row_llama3},
	{"llama-bpe", row_llama3},
	{"falcon3", row_llama3},
	{"falcon-h1", row_llama3},
	{"pixtral", row_llama3},
	{"midm-2.0", row_llama3},
	{"lfm2", row_llama3},
	{"dbrx", row_llama3},
	{"smaug-bpe", row_llama3},
	{"chatglm-bpe", row_llama3},
	{"glm4", row_llama3},
	{"grok-2", row_llama3},
	{"jina-v2-en", row_gpt2},
	{"jina-v2-es", row_gpt2},
	{"jina-v2-de", row_gpt2},
	{"jina-v2-code", row_gpt2},
	{"deepseek-llm", row_deepseek_llm},
	{"deepseek-coder", row_deepseek_coder},
	{"deepseek-v3", row_deepseek3},
	{"deepseek-r1-qwen", row_qwen2},
	{"youtu", row_deepseek3},
	{"falcon", row_falcon},
	{"mpt", row_gpt2},
	{"starcoder", row_digit_gpt2},
	{"gpt-2", row_gpt2},
	{"phi-2", row_gpt2},
	{"roberta-bpe", row_gpt2},
	{"gigachat", row_gpt2},
	{"a.x-4.0", row_gpt2},
	{"mellum", row_gpt2},
	{"modern-bert", row_gpt2},
	{"granite-docling", row_gpt2},
	{"exaone4", row_gpt2},
	{"refact", row_digit_gpt2},
	{"command-r", row_digit_gpt2},
	{"qwen2", row_qwen2},
	{"qwen35", row_qwen35},
	{"stablelm2", row_qwen2},
	{"hunyuan", row_qwen2},
	{"megrez", row_qwen2},
	{"olmo", row_gpt2},
	{"poro-chat", row_bloom},
	{"bloom", row_bloom},
	{"gpt3-finnish", row_bloom},
	{"viking", row_viking},
	{"jais", row_gpt2},
	{"trillion", row_gpt2},
	{"smollm", row_digit_gpt2},
	{"codeshell", row_digit_gpt2},
	{"exaone", row_digit_gpt2},
	{"minerva-7b", row_digit_gpt2},
	{"tekken", row_tekken},
	{"gpt-4o", row_o200k},
	{"llama4", row_o200k},
	{"kanana2", row_o200k},
	{"minimax-m2", row_o200k},
	{"superbpe", row_superbpe},
	{"seed-coder", row_qwen2},
	{"bailingmoe", row_qwen2},
	{"bailingmoe2", row_qwen2},
	{"llada-moe", row_qwen2},
};

enum err tk_split_gguf(struct tokenizer *tk, struct str pre, struct errtext *et)
{
	for (size_t i = 0; i < ARRAY_LEN(pres); i++)
		if (str_eq_c(pre, pres[i].name))
			return add_row(tk, pres[i].stages, et);
	return err_set(et, ERR_UNSUPPORTED, "GGUF: unknown tokenizer.ggml.pre \"%.*s\"",
		(int)MIN(pre.n, 80u), pre.p);
}
