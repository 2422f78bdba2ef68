/* tokenizer.json: the file of the Hugging Face library. Each kind of component that it may name is
 * one row of a table below or refused by its name; nothing is skipped silently. */
#include "engine/tokenizer_int.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/hash.h"
#include "base/json.h"

struct load {
	struct tokenizer *tk;
	struct errtext *et;
	bool byte_level;
	yyjson_val *added;
	uint8_t *added_ids; /* by id: named in added_tokens */
	uint32_t n_added_ids;
	uint8_t *normalised; /* by index of tk->added */
};

static enum err add_stage(struct load *l, struct stage st)
{
	struct stage *s = tk_stage(l->tk, st.kind);
	if (!s)
		return err_set(l->et, ERR_LIMIT, "tokenizer.json: more than %d steps", STAGES_MAX);
	struct str *strs[] = {&st.a, &st.b};
	for (int i = 0; i < 2; i++)
		if (strs[i]->n) {
			*strs[i] = tk_own(l->tk, *strs[i]);
			if (!strs[i]->p)
				return err_set(l->et, ERR_NOMEM, "tokenizer.json: out of memory");
		}
	*s = st;
	return OK;
}

struct kind_row {
	const char *type;
	enum err (*load)(struct load *l, yyjson_val *v);
};

static enum err load_kind(
	struct load *l, yyjson_val *v, const struct kind_row *rows, const char *what)
{
	if (!v || yyjson_is_null(v))
		return OK;
	struct str type = json_str(v, "type");
	for (; rows->type; rows++)
		if (str_eq_c(type, rows->type))
			return rows->load(l, v);
	return err_set(l->et, ERR_UNSUPPORTED, "tokenizer.json: the %s \"%.*s\" is not supported",
		what, (int)MIN(type.n, 80u), type.p ? type.p : "");
}

static enum err load_list(
	struct load *l, yyjson_val *list, const struct kind_row *rows, const char *what)
{
	size_t i, n;
	yyjson_val *v;
	yyjson_arr_foreach(list, i, n, v)
	{
		enum err e = load_kind(l, v, rows, what);
		if (e)
			return e;
	}
	return OK;
}

/* {"String": ".."} or {"Regex": ".."} */
static struct str pattern_of(yyjson_val *v, bool *regex)
{
	yyjson_val *p = yyjson_obj_get(v, "pattern");
	struct str s = json_str(p, "Regex");
	*regex = s.p != NULL;
	return *regex ? s : json_str(p, "String");
}

/* ---- normalisers ---- */

static enum err norm_form(struct load *l, yyjson_val *v)
{
	static const char *const names[] = {"NFC", "NFD", "NFKC", "NFKD"};
	for (unsigned i = 0; i < 4; i++)
		if (str_eq_c(json_str(v, "type"), names[i]))
			return add_stage(l, (struct stage){.kind = ST_FORM, .arg = i});
	return ERR_INTERNAL;
}

static enum err norm_lower(struct load *l, yyjson_val *v)
{
	return add_stage(l, (struct stage){.kind = ST_LOWER});
}

static enum err norm_strip_accents(struct load *l, yyjson_val *v)
{
	return add_stage(l, (struct stage){.kind = ST_STRIP_MARKS, .arg = UC_MARK});
}

static enum err norm_strip(struct load *l, yyjson_val *v)
{
	unsigned sides = (json_bool(v, "strip_left", true) ? 1 : 0) |
			 (json_bool(v, "strip_right", true) ? 2 : 0);
	return add_stage(l, (struct stage){.kind = ST_STRIP, .arg = sides});
}

static enum err norm_bert(struct load *l, yyjson_val *v)
{
	bool lower = json_bool(v, "lowercase", true);
	unsigned how = (json_bool(v, "clean_text", true) ? BERT_CLEAN : 0u) |
		       (json_bool(v, "handle_chinese_chars", true) ? BERT_CHINESE : 0u) |
		       (json_bool(v, "strip_accents", lower) ? BERT_STRIP : 0u) |
		       (lower ? BERT_LOWER : 0u);
	return add_stage(l, (struct stage){.kind = ST_BERT, .arg = how});
}

static enum err norm_prepend(struct load *l, yyjson_val *v)
{
	return add_stage(l, (struct stage){.kind = ST_PREPEND, .a = json_str(v, "prepend")});
}

static enum err norm_replace(struct load *l, yyjson_val *v)
{
	bool regex;
	struct str p = pattern_of(v, &regex);
	if (!regex)
		return add_stage(
			l, (struct stage){.kind = ST_REPLACE, .a = p, .b = json_str(v, "content")});
	if (str_eq_c(p, " {2,}"))
		return add_stage(
			l, (struct stage){.kind = ST_SQUEEZE, .a = json_str(v, "content")});
	return err_set(l->et, ERR_UNSUPPORTED, "tokenizer.json: unknown replacement pattern %.*s",
		(int)MIN(p.n, 200u), p.p);
}

static enum err norm_precompiled(struct load *l, yyjson_val *v)
{
	struct str b64 = json_str(v, "precompiled_charsmap");
	if (!b64.p || !b64.n)
		return OK;
	struct buf *b = &l->tk->charsmap;
	uint32_t bytes = 0;
	if (b->n || !base64_decode(b, b64) || b->n < 4)
		return err_set(
			l->et, ERR_CORRUPT, "tokenizer.json: precompiled_charsmap is not valid");
	memcpy(&bytes, b->p, 4);
	if (bytes > b->n - 4 || bytes % 4)
		return err_set(
			l->et, ERR_CORRUPT, "tokenizer.json: precompiled_charsmap is cut short");
	return add_stage(l, (struct stage){.kind = ST_CHARSMAP});
}

static enum err norm_byte_level(struct load *l, yyjson_val *v)
{
	l->byte_level = true;
	return OK;
}

static enum err norm_sequence(struct load *l, yyjson_val *v);

static const struct kind_row normalisers[] = {
	{"Sequence", norm_sequence},
	{"NFC", norm_form},
	{"NFD", norm_form},
	{"NFKC", norm_form},
	{"NFKD", norm_form},
	{"Lowercase", norm_lower},
	{"StripAccents", norm_strip_accents},
	{"Strip", norm_strip},
	{"BertNormalizer", norm_bert},
	{"Prepend", norm_prepend},
	{"Replace", norm_replace},
	{"Precompiled", norm_precompiled},
	{"ByteLevel", norm_byte_level},
	{NULL, NULL},
};

static enum err norm_sequence(struct load *l, yyjson_val *v)
{
	return load_list(l, yyjson_obj_get(v, "normalizers"), normalisers, "normalizer");
}

/* ---- pre-tokenizers ---- */

static bool behaviour(yyjson_val *v, unsigned *how)
{
	static const char *const names[] = {
		"Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
	struct str s = json_str(v, "behavior");
	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq_c(s, names[i])) {
			*how = i;
			return true;
		}
	*how = HOW_ISOLATED;
	return s.p == NULL;
}

static enum err pre_split(struct load *l, yyjson_val *v)
{
	unsigned how;
	bool regex, invert = json_bool(v, "invert", false);
	struct str p = pattern_of(v, &regex);
	if (!behaviour(v, &how) || !p.p)
		return err_set(
			l->et, ERR_CORRUPT, "tokenizer.json: Split without a pattern or behavior");
	if (!regex && !invert)
		return add_stage(l, (struct stage){.kind = ST_LITERAL, .arg = how, .a = p});
	/* Removing what is between matches is the same as isolating them where the pattern matches
	 * everything, which those of the table that are used so do. */
	if (regex && ((how == HOW_ISOLATED && !invert) || (how == HOW_REMOVED && invert)))
		return tk_split_regex(l->tk, p, l->et);
	return err_set(l->et, ERR_UNSUPPORTED,
		"tokenizer.json: Split with this behavior is not supported "
		"for the pattern %.*s",
		(int)MIN(p.n, 200u), p.p);
}

static enum err pre_byte_level(struct load *l, yyjson_val *v)
{
	l->byte_level = true;
	enum err e = OK;
	if (json_bool(v, "add_prefix_space", true))
		e = add_stage(l, (struct stage){.kind = ST_PREFIX_SPACE});
	if (!e && json_bool(v, "use_regex", true)) {
		if (l->tk->n_stages == STAGES_MAX)
			return err_set(
				l->et, ERR_LIMIT, "tokenizer.json: more than %d steps", STAGES_MAX);
		tk_split_gpt2(l->tk);
	}
	return e;
}

static enum err pre_digits(struct load *l, yyjson_val *v)
{
	bool each = json_bool(v, "individual_digits", false);
	return tk_split_regex(l->tk, each ? S("\\p{N}") : S("\\p{N}+"), l->et);
}

static enum err pre_bert(struct load *l, yyjson_val *v)
{
	return add_stage(l, (struct stage){.kind = ST_BERT_SPLIT});
}

static enum err pre_words(struct load *l, yyjson_val *v)
{
	return add_stage(l, (struct stage){.kind = ST_WORDS});
}

static enum err pre_spaces(struct load *l, yyjson_val *v)
{
	return add_stage(l, (struct stage){.kind = ST_SPACES});
}

static enum err pre_punctuation(struct load *l, yyjson_val *v)
{
	unsigned how;
	if (!behaviour(v, &how) || (how != HOW_ISOLATED && how != HOW_CONTIGUOUS))
		return err_set(l->et, ERR_UNSUPPORTED,
			"tokenizer.json: Punctuation with this behavior is not "
			"supported");
	return add_stage(l, (struct stage){.kind = ST_RUN,
				    .run = {.set = 9 /* BERT's punctuation */,
					    .min = 1,
					    .max = how == HOW_ISOLATED ? 1 : 0}});
}

static enum err pre_metaspace(struct load *l, yyjson_val *v)
{
	struct str mark = json_str(v, "replacement"), scheme = json_str(v, "prepend_scheme");
	unsigned how = json_bool(v, "split", true) ? META_SPLIT : 0;
	if (scheme.p)
		how |= str_eq_c(scheme, "always")  ? META_ALWAYS
		       : str_eq_c(scheme, "first") ? META_FIRST
						   : 0;
	else if (json_bool(v, "add_prefix_space", true))
		how |= META_ALWAYS;
	return add_stage(l,
		(struct stage){
			.kind = ST_METASPACE, .arg = how, .a = mark.n ? mark : S("\xE2\x96\x81")});
}

static enum err pre_sequence(struct load *l, yyjson_val *v);

static const struct kind_row pre_tokenizers[] = {
	{"Sequence", pre_sequence},
	{"Split", pre_split},
	{"ByteLevel", pre_byte_level},
	{"Digits", pre_digits},
	{"BertPreTokenizer", pre_bert},
	{"Whitespace", pre_words},
	{"WhitespaceSplit", pre_spaces},
	{"Punctuation", pre_punctuation},
	{"Metaspace", pre_metaspace},
	{NULL, NULL},
};

static enum err pre_sequence(struct load *l, yyjson_val *v)
{
	return load_list(l, yyjson_obj_get(v, "pretokenizers"), pre_tokenizers, "pre-tokenizer");
}

/* ---- post-processors ---- */

enum affix { BEFORE, AFTER, BETWEEN };

static enum err affix(struct load *l, enum affix where, int64_t id)
{
	struct tokenizer *tk = l->tk;
	unsigned *const n[] = {&tk->n_before, &tk->n_after, &tk->n_between};
	int32_t *const list[] = {tk->before, tk->after, tk->between};
	if (id < 0 || id >= VOCAB_MAX || *n[where] == AFFIX_MAX)
		return err_set(l->et, ERR_CORRUPT, "tokenizer.json: post_processor: token id %lld",
			(long long)id);
	list[where][(*n[where])++] = (int32_t)id;
	return OK;
}

/* The ids of a special token of a template. */
static enum err affix_named(struct load *l, yyjson_val *specials, struct str name, enum affix where)
{
	yyjson_val *ids = yyjson_obj_get(
			   yyjson_obj_getn(specials, name.p ? name.p : "", name.n), "ids"),
		   *id;
	size_t k, m;
	enum err e = OK;
	if (!yyjson_is_arr(ids))
		return err_set(l->et, ERR_CORRUPT,
			"tokenizer.json: post_processor: no ids for \"%.*s\"",
			(int)MIN(name.n, 80u), name.p ? name.p : "");
	yyjson_arr_foreach(ids, k, m, id) e =
		e ? e : affix(l, where, yyjson_is_int(id) ? yyjson_get_sint(id) : -1);
	return e;
}

static enum err post_template(struct load *l, yyjson_val *v)
{
	yyjson_val *specials = yyjson_obj_get(v, "special_tokens"), *part;
	unsigned texts = 0;
	enum err e = OK;
	size_t i, n;
	yyjson_arr_foreach(yyjson_obj_get(v, "single"), i, n, part)
	{
		if (yyjson_obj_get(part, "Sequence"))
			texts++;
		else if (!e)
			e = affix_named(l, specials,
				json_str(yyjson_obj_get(part, "SpecialToken"), "id"),
				texts ? AFTER : BEFORE);
	}
	texts = 0;
	yyjson_arr_foreach(yyjson_obj_get(v, "pair"), i, n, part)
	{
		if (yyjson_obj_get(part, "Sequence"))
			texts++;
		else if (!e && texts == 1)
			e = affix_named(l, specials,
				json_str(yyjson_obj_get(part, "SpecialToken"), "id"), BETWEEN);
	}
	return e;
}

/* BERT and RoBERTa: "cls" and "sep" as [text, id]. */
static enum err post_bert(struct load *l, yyjson_val *v)
{
	yyjson_val *cls = yyjson_arr_get(yyjson_obj_get(v, "cls"), 1),
		   *sep = yyjson_arr_get(yyjson_obj_get(v, "sep"), 1);
	int64_t id = yyjson_is_int(sep) ? yyjson_get_sint(sep) : -1;
	/* RoBERTa's texts are parted by two of them */
	int between = str_eq_c(json_str(v, "type"), "RobertaProcessing") ? 2 : 1;
	enum err e = affix(l, BEFORE, yyjson_is_int(cls) ? yyjson_get_sint(cls) : -1);
	e = e ? e : affix(l, AFTER, id);
	for (int i = 0; i < between && !e; i++)
		e = affix(l, BETWEEN, id);
	return e;
}

static enum err post_nothing(struct load *l, yyjson_val *v)
{
	return OK; /* ByteLevel here only trims offsets; ours are those of the bytes */
}

static enum err post_sequence(struct load *l, yyjson_val *v);

static const struct kind_row post_processors[] = {
	{"Sequence", post_sequence},
	{"TemplateProcessing", post_template},
	{"BertProcessing", post_bert},
	{"RobertaProcessing", post_bert},
	{"ByteLevel", post_nothing},
	{NULL, NULL},
};

static enum err post_sequence(struct load *l, yyjson_val *v)
{
	return load_list(l, yyjson_obj_get(v, "processors"), post_processors, "post-processor");
}

/* ---- decoders ---- */

static enum err dec_byte_level(struct load *l, yyjson_val *v)
{
	l->byte_level = true;
	return OK;
}

static enum err dec_replace(struct load *l, yyjson_val *v)
{
	bool regex;
	struct str p = pattern_of(v, &regex);
	if (!regex && str_eq_c(p, "\xE2\x96\x81") && str_eq_c(json_str(v, "content"), " "))
		l->tk->dec_spm_space = true;
	return OK;
}

static enum err dec_strip(struct load *l, yyjson_val *v)
{
	if (json_i64(v, "start", 0) == 1 && str_eq_c(json_str(v, "content"), " "))
		l->tk->dec_strip_first = true;
	return OK;
}

static enum err dec_metaspace(struct load *l, yyjson_val *v)
{
	struct str scheme = json_str(v, "prepend_scheme");
	l->tk->dec_spm_space = true;
	l->tk->dec_strip_first =
		scheme.p ? !str_eq_c(scheme, "never") : json_bool(v, "add_prefix_space", true);
	return OK;
}

static enum err dec_wordpiece(struct load *l, yyjson_val *v)
{
	l->tk->dec_wordpiece = true;
	l->tk->dec_cleanup = json_bool(v, "cleanup", true);
	return OK;
}

static enum err dec_sequence(struct load *l, yyjson_val *v);

static const struct kind_row decoders[] = {
	{"Sequence", dec_sequence},
	{"ByteLevel", dec_byte_level},
	{"Replace", dec_replace},
	{"Strip", dec_strip},
	{"Metaspace", dec_metaspace},
	{"WordPiece", dec_wordpiece},
	{"ByteFallback", post_nothing},
	{"Fuse", post_nothing},
	{NULL, NULL},
};

static enum err dec_sequence(struct load *l, yyjson_val *v)
{
	return load_list(l, yyjson_obj_get(v, "decoders"), decoders, "decoder");
}

/* ---- vocabularies ---- */

static enum err id_of(struct load *l, yyjson_val *v, uint32_t *id)
{
	if (!yyjson_is_uint(v) || yyjson_get_uint(v) >= VOCAB_MAX)
		return err_set(l->et, ERR_CORRUPT,
			"tokenizer.json: a token id that is no number from 0 to %d", VOCAB_MAX - 1);
	*id = (uint32_t)yyjson_get_uint(v);
	return OK;
}

static bool is_added(const struct load *l, uint32_t id)
{
	return id < l->n_added_ids && l->added_ids[id];
}

/* One entry of a BPE or unigram vocabulary, spelled as the file does. */
static enum err vocab_piece(
	struct load *l, struct str text, uint32_t id, double score, struct buf *tmp)
{
	struct tokenizer *tk = l->tk;
	unsigned char byte;
	enum err e;
	if (tk->byte_fallback && tk_unspell_hex(text, &byte) && tk->byte_id[byte] < 0) {
		tk->byte_id[byte] = (int32_t)id;
		return tk_piece(tk, id, str_mk(&byte, 1), PIECE_BYTE, score, l->et);
	}
	if (l->byte_level && !is_added(l, id) && tk_unspell_bytes(text, tmp))
		text = buf_str(tmp);
	e = tk_piece(tk, id, text, PIECE_NORMAL, score, l->et);
	if (!e)
		tk->piece[id].flags |= PIECE_LOOKUP;
	return e;
}

static enum err holes(struct load *l, size_t given)
{
	if (l->tk->n > 2 * given + 4096)
		return err_set(l->et, ERR_CORRUPT, "tokenizer.json: ids up to %u for %zu tokens",
			l->tk->n - 1, given);
	return OK;
}

static enum err vocab_object(struct load *l, yyjson_val *vocab, struct buf *tmp)
{
	size_t i, n;
	yyjson_val *k, *v;
	if (!yyjson_is_obj(vocab))
		return err_set(l->et, ERR_CORRUPT, "tokenizer.json: the model has no vocabulary");
	yyjson_obj_foreach(vocab, i, n, k, v)
	{
		uint32_t id = 0;
		enum err e = id_of(l, v, &id);
		e = e ? e : vocab_piece(l, json_val_str(k), id, 0, tmp);
		if (e)
			return e;
	}
	return holes(l, n);
}

/* "left right" or ["left", "right"] */
static bool merge_parts(yyjson_val *v, struct str *left, struct str *right)
{
	if (yyjson_is_arr(v)) {
		*left = json_val_str(yyjson_arr_get(v, 0));
		*right = json_val_str(yyjson_arr_get(v, 1));
		return left->p && right->p;
	}
	struct str s = json_val_str(v);
	size_t at = s.p ? str_chr(s, ' ') : STR_NONE;
	if (at == STR_NONE)
		return false;
	*left = str_sub(s, 0, at);
	*right = str_sub(s, at + 1, s.n);
	return true;
}

static enum err load_merges(struct load *l, yyjson_val *merges)
{
	struct buf a = {0}, b = {0};
	enum err e = tk_pairs_reserve(l->tk, yyjson_arr_size(merges), l->et);
	size_t i, n;
	yyjson_val *v;
	yyjson_arr_foreach(merges, i, n, v)
	{
		struct str left, right;
		if (e)
			break;
		if (!merge_parts(v, &left, &right)) {
			e = err_set(l->et, ERR_CORRUPT,
				"tokenizer.json: merge %zu is not two pieces", i);
			break;
		}
		if (l->byte_level && tk_unspell_bytes(left, &a) && tk_unspell_bytes(right, &b)) {
			left = buf_str(&a);
			right = buf_str(&b);
		}
		e = tk_merge(l->tk, left, right, (uint32_t)i, l->et);
	}
	buf_free(&a);
	buf_free(&b);
	return e;
}

static enum err model_bpe(struct load *l, yyjson_val *m)
{
	struct tokenizer *tk = l->tk;
	tk->model = TK_BPE;
	tk->byte_level = l->byte_level;
	tk->byte_fallback = json_bool(m, "byte_fallback", false);
	tk->fuse_unk = json_bool(m, "fuse_unk", false);
	tk->whole_first = json_bool(m, "ignore_merges", false);
	if (json_str(m, "continuing_subword_prefix").n || json_str(m, "end_of_word_suffix").n)
		return err_set(l->et, ERR_UNSUPPORTED,
			"tokenizer.json: BPE with a subword prefix or a word suffix "
			"is not supported");
	struct buf tmp = {0};
	enum err e = vocab_object(l, yyjson_obj_get(m, "vocab"), &tmp);
	buf_free(&tmp);
	e = e ? e : tk_tab_build(tk, l->et);
	e = e ? e : load_merges(l, yyjson_obj_get(m, "merges"));
	if (e)
		return e;
	struct str unk = json_str(m, "unk_token");
	if (unk.n)
		tk->unk = tk_lookup(tk, unk);
	for (int b = 0; b < 256 && tk->byte_level; b++) {
		char c = (char)b;
		tk->byte_id[b] = tk_lookup(tk, str_mk(&c, 1));
	}
	return OK;
}

/* Control tokens are not among what text can become. */
static bool reachable(const struct load *l, uint32_t id)
{
	const struct piece *p = &l->tk->piece[id];
	return p->at != UINT32_MAX && p->n && p->type == PIECE_NORMAL && (int32_t)id != l->tk->unk;
}

static enum err build_tries(struct load *l)
{
	struct tokenizer *tk = l->tk;
	struct trie_entry *words = calloc(tk->n + 1u, sizeof *words),
			  *rest = calloc(tk->n + 1u, sizeof *rest);
	size_t n_words = 0, n_rest = 0;
	enum err e =
		words && rest ? OK : err_set(l->et, ERR_NOMEM, "tokenizer.json: out of memory");
	for (uint32_t id = 0; id < tk->n && !e; id++) {
		if (!reachable(l, id))
			continue;
		struct trie_entry t = {tk_text(tk, id), (int32_t)id};
		if (tk->piece[id].flags & PIECE_CONTINUES)
			rest[n_rest++] = t;
		else
			words[n_words++] = t;
	}
	e = e || !n_words ? e : trie_build(&tk->words, words, n_words, l->et);
	e = e || !n_rest ? e : trie_build(&tk->rest, rest, n_rest, l->et);
	free(words);
	free(rest);
	return e;
}

static enum err model_wordpiece(struct load *l, yyjson_val *m)
{
	struct tokenizer *tk = l->tk;
	struct str prefix = json_str(m, "continuing_subword_prefix"),
		   unk = json_str(m, "unk_token");
	if (!prefix.p)
		prefix = S("##");
	tk->model = TK_WORDPIECE;
	int64_t max = json_i64(m, "max_input_chars_per_word", 100);
	tk->word_max = max > 0 && max < 1 << 20 ? (uint32_t)max : 100;
	size_t i, n;
	yyjson_val *k, *v, *vocab = yyjson_obj_get(m, "vocab");
	if (!yyjson_is_obj(vocab))
		return err_set(l->et, ERR_CORRUPT, "tokenizer.json: the model has no vocabulary");
	yyjson_obj_foreach(vocab, i, n, k, v)
	{
		uint32_t id = 0;
		struct str s = json_val_str(k);
		enum err e = id_of(l, v, &id);
		bool rest = prefix.n && s.n > prefix.n && str_starts(s, prefix) && !is_added(l, id);
		e = e ? e
		      : tk_piece(tk, id, rest ? str_sub(s, prefix.n, s.n) : s, PIECE_NORMAL, 0,
				l->et);
		if (e)
			return e;
		tk->piece[id].flags |= rest ? PIECE_CONTINUES : 0;
		if (unk.n && str_eq(s, unk))
			tk->unk = (int32_t)id;
	}
	return holes(l, n);
}

static enum err model_unigram(struct load *l, yyjson_val *m)
{
	struct tokenizer *tk = l->tk;
	struct buf tmp = {0};
	tk->model = TK_UNIGRAM;
	tk->byte_fallback = json_bool(m, "byte_fallback", false);
	tk->fuse_unk = true;
	double least = 0;
	enum err e = OK;
	size_t i, n;
	yyjson_val *v;
	yyjson_arr_foreach(yyjson_obj_get(m, "vocab"), i, n, v)
	{
		struct str s = json_val_str(yyjson_arr_get(v, 0));
		double score = yyjson_get_num(yyjson_arr_get(v, 1));
		if (!s.p || !(score > -1e6 && score < 1e6))
			e = err_set(l->et, ERR_CORRUPT,
				"tokenizer.json: entry %zu of the vocabulary", i);
		else if (i >= VOCAB_MAX)
			e = err_set(l->et, ERR_CORRUPT, "tokenizer.json: %zu tokens are absurd", n);
		e = e ? e : vocab_piece(l, s, (uint32_t)i, score, &tmp);
		least = MIN(least, score);
		if (e)
			break;
	}
	buf_free(&tmp);
	int64_t unk = json_i64(m, "unk_id", -1);
	tk->unk = unk >= 0 && unk < tk->n ? (int32_t)unk : -1;
	tk->unk_score = least - 10;
	return e;
}

/* Older files do not name the model's type. */
static enum err load_model(struct load *l, yyjson_val *m)
{
	struct str type = json_str(m, "type");
	if (!yyjson_is_obj(m))
		return err_set(l->et, ERR_CORRUPT, "tokenizer.json: no model");
	if (str_eq_c(type, "BPE") || (!type.p && yyjson_obj_get(m, "merges")))
		return model_bpe(l, m);
	if (str_eq_c(type, "Unigram") || (!type.p && yyjson_is_arr(yyjson_obj_get(m, "vocab"))))
		return model_unigram(l, m);
	if (str_eq_c(type, "WordPiece") ||
		(!type.p && yyjson_obj_get(m, "max_input_chars_per_word")))
		return model_wordpiece(l, m);
	return err_set(l->et, ERR_UNSUPPORTED,
		"tokenizer.json: the model \"%.*s\" is not supported", (int)MIN(type.n, 80u),
		type.p ? type.p : "");
}

/* ---- added tokens ---- */

static enum err note_added(struct load *l, yyjson_val *root)
{
	l->added = yyjson_obj_get(root, "added_tokens");
	size_t i, n;
	yyjson_val *v;
	for (int pass = 0; pass < 2; pass++) {
		yyjson_arr_foreach(l->added, i, n, v)
		{
			uint32_t id = 0;
			enum err e = id_of(l, yyjson_obj_get(v, "id"), &id);
			if (e)
				return e;
			if (pass)
				l->added_ids[id] = 1;
			l->n_added_ids = MAX(l->n_added_ids, id + 1);
		}
		if (!pass && l->n_added_ids && !(l->added_ids = calloc(l->n_added_ids, 1)))
			return err_set(l->et, ERR_NOMEM, "tokenizer.json: out of memory");
	}
	l->normalised = calloc(n + 1, 1);
	return l->normalised ? OK : err_set(l->et, ERR_NOMEM, "tokenizer.json: out of memory");
}

static enum err load_added(struct load *l)
{
	struct tokenizer *tk = l->tk;
	size_t i, n;
	yyjson_val *v;
	yyjson_arr_foreach(l->added, i, n, v)
	{
		struct str s = json_str(v, "content");
		struct added a = {.special = json_bool(v, "special", false),
			.lstrip = json_bool(v, "lstrip", false),
			.rstrip = json_bool(v, "rstrip", false),
			.single_word = json_bool(v, "single_word", false)};
		uint32_t id = (uint32_t)yyjson_get_uint(yyjson_obj_get(v, "id"));
		enum err e = OK;
		if (id >= tk->n || tk->piece[id].at == UINT32_MAX)
			e = tk_piece(tk, id, s, PIECE_USER, 0, l->et);
		else if (!str_eq(tk_text(tk, id), s) && tk->piece[id].type != PIECE_BYTE)
			e = err_set(l->et, ERR_CORRUPT,
				"tokenizer.json: added token \"%.*s\" has the id %u of another",
				(int)MIN(s.n, 80u), s.p ? s.p : "", id);
		if (e)
			return e;
		tk->piece[id].type = a.special ? PIECE_CONTROL : PIECE_USER;
		if ((int32_t)id == tk->unk)
			tk->piece[id].type = PIECE_UNKNOWN;
		a.id = (int32_t)id;
		l->normalised[tk->n_added] = json_bool(v, "normalized", !a.special);
		e = tk_add_added(tk, &a, l->et);
		if (e)
			return e;
	}
	return holes(l, tk->n);
}

/* ---- tokenizer_config.json ---- */

static int32_t config_token(struct tokenizer *tk, yyjson_val *root, const char *key)
{
	yyjson_val *v = yyjson_obj_get(root, key);
	struct str s = yyjson_is_obj(v) ? json_str(v, "content") : json_val_str(v);
	for (size_t i = 0; i < tk->n_added && s.n; i++)
		if (str_eq(tk_text(tk, (uint32_t)tk->added[i].id), s))
			return tk->added[i].id;
	return s.n ? tk_lookup(tk, s) : -1;
}

static enum err load_config(struct load *l, struct str text)
{
	if (!text.p || !text.n)
		return OK;
	yyjson_doc *doc;
	enum err e = json_parse(text, &doc, l->et);
	if (e)
		return err_wrap(l->et, e, "tokenizer_config.json");
	yyjson_val *root = yyjson_doc_get_root(doc), *t = yyjson_obj_get(root, "chat_template"), *v;
	l->tk->bos = config_token(l->tk, root, "bos_token");
	l->tk->eos = config_token(l->tk, root, "eos_token");
	struct str chat = json_val_str(t);
	size_t i, n;
	yyjson_arr_foreach(t, i, n, v) if (!chat.p || str_eq_c(json_str(v, "name"), "default"))
		chat = json_str(v, "template");
	if (chat.n) {
		l->tk->chat_template = tk_own(l->tk, chat);
		if (!l->tk->chat_template.p)
			e = err_set(l->et, ERR_NOMEM, "tokenizer_config.json: out of memory");
	}
	yyjson_doc_free(doc);
	return e;
}

static void name_kind(struct tokenizer *tk)
{
	static const char *const models[] = {"bpe", "unigram", "wordpiece"};
	snprintf(tk->kind, sizeof tk->kind, "%s%s", models[tk->model],
		tk->model != TK_BPE ? ""
		: tk->byte_level    ? "/bytes"
				    : "/characters");
}

static enum err check_affix(struct load *l, const int32_t *ids, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if ((uint32_t)ids[i] >= l->tk->n)
			return err_set(l->et, ERR_CORRUPT, "tokenizer.json: post_processor: id %d",
				ids[i]);
	return OK;
}

static enum err load_all(struct load *l, yyjson_val *root, struct str config)
{
	struct tokenizer *tk = l->tk;
	enum err e = note_added(l, root);
	e = e ? e : load_kind(l, yyjson_obj_get(root, "normalizer"), normalisers, "normalizer");
	e = e ? e : add_stage(l, (struct stage){.kind = ST_ADDED});
	e = e ? e
	      : load_kind(
			l, yyjson_obj_get(root, "pre_tokenizer"), pre_tokenizers, "pre-tokenizer");
	e = e ? e : load_kind(l, yyjson_obj_get(root, "decoder"), decoders, "decoder");
	e = e ? e : load_model(l, yyjson_obj_get(root, "model"));
	e = e ? e : load_added(l);
	e = e || tk->model == TK_BPE ? e : build_tries(l);
	e = e ? e
	      : load_kind(l, yyjson_obj_get(root, "post_processor"), post_processors,
			"post-processor");
	e = e ? e : check_affix(l, tk->before, tk->n_before);
	e = e ? e : check_affix(l, tk->after, tk->n_after);
	e = e ? e : check_affix(l, tk->between, tk->n_between);
	e = e ? e : load_config(l, config);
	name_kind(tk);
	return e ? e : tk_finish(tk, l->normalised, l->et);
}

enum err tokenizer_from_json(struct str tokenizer_json, struct str config_json,
	struct tokenizer **out, struct errtext *et)
{
	yyjson_doc *doc;
	enum err e = json_parse(tokenizer_json, &doc, et);
	if (e)
		return err_wrap(et, e, "tokenizer.json");
	struct load l = {.tk = tk_new(), .et = et};
	e = l.tk ? load_all(&l, yyjson_doc_get_root(doc), config_json)
		 : err_set(et, ERR_NOMEM, "tokenizer.json: out of memory");
	free(l.added_ids);
	free(l.normalised);
	yyjson_doc_free(doc);
	if (e) {
		tokenizer_free(l.tk);
		return e;
	}
	*out = l.tk;
	return OK;
}
