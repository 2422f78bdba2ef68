/* The tokenizer in a GGUF file's metadata: tokenizer.ggml.model is "gpt2" (byte-level BPE), "llama"
 * (SentencePiece BPE: merges are implied by the pieces and their scores), "t5" (unigram) or "bert"
 * (WordPiece, with U+2581 before the pieces that begin a word). */
#include "engine/tokenizer_int.h"

#include <stdio.h>
#include <stdlib.h>
#include "engine/gguf.h"

#define KEY(name) "tokenizer.ggml." name
#define MARK "\xE2\x96\x81"

struct gload {
	const struct gguf *g;
	struct tokenizer *tk;
	struct errtext *et;
	struct gguf_array tokens, scores, types;
};

/* Types in the file: 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte. */
static enum piece_type type_of(const struct gload *l, size_t i)
{
	static const enum piece_type types[] = {PIECE_NORMAL, PIECE_NORMAL, PIECE_UNKNOWN,
		PIECE_CONTROL, PIECE_USER, PIECE_UNUSED, PIECE_BYTE};
	int64_t t = i < l->types.n ? gguf_at_i64(&l->types, i) : 1;
	return t >= 0 && t < (int64_t)ARRAY_LEN(types) ? types[t] : PIECE_NORMAL;
}

static enum err one_piece(struct gload *l, uint32_t i, struct buf *tmp)
{
	struct tokenizer *tk = l->tk;
	struct str s = l->tokens.strs[i];
	enum piece_type type = type_of(l, i);
	double score = i < l->scores.n ? gguf_at_f64(&l->scores, i) : 0;
	unsigned char byte = 0;
	unsigned flags = 0;
	if (!(score > -1e30 && score < 1e30))
		return err_set(
			l->et, ERR_CORRUPT, "GGUF: the score of token %u is not a number", i);
	if (type == PIECE_BYTE && tk_unspell_hex(s, &byte)) {
		tk->byte_id[byte] = tk->byte_id[byte] < 0 ? (int32_t)i : tk->byte_id[byte];
		tk->byte_fallback = true;
		s = str_mk(&byte, 1);
	} else if (type == PIECE_NORMAL && tk->byte_level) {
		flags = PIECE_LOOKUP;
		if (tk_unspell_bytes(s, tmp))
			s = buf_str(tmp);
	} else if (type == PIECE_NORMAL && tk->model == TK_WORDPIECE) {
		if (str_starts(s, S(MARK)))
			s = str_sub(s, 3, s.n);
		else
			flags = PIECE_CONTINUES;
	} else if (type == PIECE_NORMAL) {
		flags = PIECE_LOOKUP;
	}
	enum err e = tk_piece(tk, i, s, type, score, l->et);
	if (!e)
		tk->piece[i].flags = (uint8_t)flags;
	return e;
}

static enum err all_pieces(struct gload *l)
{
	struct buf tmp = {0};
	enum err e = OK;
	if (l->tokens.n > VOCAB_MAX)
		return err_set(l->et, ERR_CORRUPT, "GGUF: a vocabulary of %zu tokens", l->tokens.n);
	for (uint32_t i = 0; i < l->tokens.n && !e; i++)
		e = one_piece(l, i, &tmp);
	buf_free(&tmp);
	return e;
}

static int32_t id_key(const struct gload *l, const char *key, int64_t otherwise)
{
	int64_t id = gguf_i64(l->g, key, otherwise);
	return id >= 0 && id < (int64_t)l->tokens.n ? (int32_t)id : -1;
}

/* ---- byte-level BPE ---- */

static enum err bpe_merges(struct gload *l)
{
	struct gguf_array m;
	if (!gguf_array(l->g, KEY("merges"), &m) || m.type != GGUF_STRING)
		return err_set(l->et, ERR_CORRUPT, "GGUF: no tokenizer.ggml.merges");
	struct buf a = {0}, b = {0};
	enum err e = tk_pairs_reserve(l->tk, m.n, l->et);
	for (size_t i = 0; i < m.n && !e; i++) {
		/* A piece may be a space itself in odd vocabularies: the first space after a byte
		 * parts. */
		struct str s = m.strs[i];
		size_t at = s.n > 1 ? str_chr(str_sub(s, 1, s.n), ' ') : STR_NONE;
		if (at == STR_NONE) {
			e = err_set(l->et, ERR_CORRUPT, "GGUF: merge %zu is not two pieces", i);
			break;
		}
		struct str left = str_sub(s, 0, at + 1), right = str_sub(s, at + 2, s.n);
		if (tk_unspell_bytes(left, &a) && tk_unspell_bytes(right, &b)) {
			left = buf_str(&a);
			right = buf_str(&b);
		}
		e = tk_merge(l->tk, left, right, (uint32_t)i, l->et);
	}
	buf_free(&a);
	buf_free(&b);
	return e;
}

static enum err load_bpe(struct gload *l)
{
	struct tokenizer *tk = l->tk;
	struct str pre = gguf_str(l->g, KEY("pre"));
	if (!pre.n)
		pre = S("default");
	tk->model = TK_BPE;
	tk->byte_level = true;
	/* Where whole words that are pieces come before merging. */
	tk->whole_first = str_eq_c(pre, "llama-bpe") || str_eq_c(pre, "llama3") ||
			  str_eq_c(pre, "llama-v3") || str_eq_c(pre, "falcon3") ||
			  str_eq_c(pre, "falcon-h1") || str_eq_c(pre, "pixtral") ||
			  str_eq_c(pre, "midm-2.0") || str_eq_c(pre, "lfm2") ||
			  str_eq_c(pre, "tekken") || str_eq_c(pre, "youtu");
	if (gguf_bool(l->g, KEY("add_space_prefix"), false))
		tk_stage(tk, ST_PREFIX_SPACE);
	enum err e = tk_split_gguf(tk, pre, l->et);
	e = e ? e : all_pieces(l);
	e = e ? e : tk_tab_build(tk, l->et);
	e = e ? e : bpe_merges(l);
	for (int b = 0; b < 256 && !e; b++) {
		char c = (char)b;
		tk->byte_id[b] = tk_lookup(tk, str_mk(&c, 1));
	}
	snprintf(tk->kind, sizeof tk->kind, "bpe/%.*s", (int)MIN(pre.n, 40u), pre.p);
	return e;
}

/* ---- SentencePiece ---- */

/* Characters that only longer pieces know become ids of our own, so that they can merge. */
static enum err spm_characters(struct gload *l)
{
	struct tokenizer *tk = l->tk;
	uint32_t n = tk->n;
	tk->n_ids = n;
	enum err e = tk_tab_build(tk, l->et);
	for (uint32_t id = 0; id < n && !e; id++) {
		if (!(tk->piece[id].flags & PIECE_LOOKUP))
			continue;
		for (size_t i = 0, len; i < tk->piece[id].n && !e; i += len) {
			struct str s = tk_text(tk, id);
			cp_at(s.p, i, s.n, &len);
			char c[4];
			memcpy(c, s.p + i, len); /* tk_piece may move the text */
			if (len == s.n || tk_lookup(tk, str_mk(c, len)) >= 0)
				continue;
			e = tk_piece(tk, tk->n, str_mk(c, len), PIECE_UNUSED, 0, l->et);
			if (e)
				break;
			tk->piece[tk->n - 1].flags = PIECE_LOOKUP;
			tk->pseudo = true;
			e = tk_tab_build(tk, l->et);
			if (tk->n - n > 65536)
				e = err_set(l->et, ERR_CORRUPT,
					"GGUF: too many characters that are no tokens");
		}
	}
	return e;
}

struct by_score {
	double score;
	uint32_t id;
};

static int by_score_cmp(const void *a, const void *b)
{
	const struct by_score *x = a, *y = b;
	return (x->score < y->score) - (x->score > y->score);
}

static enum err spm_merges(struct gload *l)
{
	struct tokenizer *tk = l->tk;
	struct by_score *order = calloc(tk->n, sizeof *order);
	uint32_t *rank = calloc(tk->n, sizeof *rank);
	enum err e = OK;
	if (!order || !rank) {
		e = err_set(l->et, ERR_NOMEM, "GGUF: out of memory");
	} else {
		for (uint32_t i = 0; i < tk->n; i++)
			order[i] = (struct by_score){tk->piece[i].score, i};
		qsort(order, tk->n, sizeof *order, by_score_cmp);
		for (uint32_t i = 0; i < tk->n; i++) {
			bool same = i && !(order[i].score < order[i - 1].score);
			rank[order[i].id] = same ? rank[order[i - 1].id] : i;
		}
		e = tk_merges_from_vocab(tk, rank, l->et);
	}
	free(order);
	free(rank);
	return e;
}

static enum err load_spm(struct gload *l)
{
	struct tokenizer *tk = l->tk;
	tk->model = TK_BPE;
	tk->dec_spm_space = true;
	if (gguf_bool(l->g, KEY("add_space_prefix"), true)) {
		tk_stage(tk, ST_PREPEND)->a = S(" ");
		tk->dec_strip_first = true;
	}
	struct stage *s = tk_stage(tk, ST_REPLACE);
	s->a = S(" ");
	s->b = S(MARK);
	enum err e = all_pieces(l);
	e = e ? e : spm_characters(l);
	e = e ? e : spm_merges(l);
	tk->unk = id_key(l, KEY("unknown_token_id"), 0);
	snprintf(tk->kind, sizeof tk->kind, "spm");
	return e;
}

/* ---- tries ---- */

static enum err build_tries(struct gload *l)
{
	struct tokenizer *tk = l->tk;
	struct trie_entry *words = calloc(tk->n + 1u, sizeof *words),
			  *rest = calloc(tk->n + 1u, sizeof *rest);
	size_t n_words = 0, n_rest = 0;
	enum err e = words && rest ? OK : err_set(l->et, ERR_NOMEM, "GGUF: out of memory");
	for (uint32_t id = 0; id < tk->n && !e; id++) {
		struct trie_entry t = {tk_text(tk, id), (int32_t)id};
		if (tk->piece[id].type != PIECE_NORMAL || !t.s.n)
			continue;
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

static enum err load_unigram(struct gload *l)
{
	struct tokenizer *tk = l->tk;
	struct gguf_array map;
	tk->model = TK_UNIGRAM;
	tk->dec_spm_space = tk->fuse_unk = true;
	if (gguf_array(l->g, KEY("precompiled_charsmap"), &map) && map.n) {
		uint32_t bytes = 0;
		for (size_t i = 0; i < map.n && !tk->charsmap.err && map.n < 1 << 24; i++)
			buf_putc(&tk->charsmap, (char)gguf_at_i64(&map, i));
		if (tk->charsmap.n >= 4)
			memcpy(&bytes, tk->charsmap.p, 4);
		if (tk->charsmap.n != map.n || map.n < 4 || bytes > map.n - 4 || bytes % 4)
			return err_set(l->et, ERR_CORRUPT,
				"GGUF: tokenizer.ggml.precompiled_charsmap is damaged");
		tk_stage(tk, ST_CHARSMAP);
	}
	if (gguf_bool(l->g, KEY("remove_extra_whitespaces"), true))
		tk_stage(tk, ST_SPM_SPACES);
	if (gguf_bool(l->g, KEY("add_space_prefix"), true)) {
		tk_stage(tk, ST_PREPEND)->a = S(" ");
		tk->dec_strip_first = true;
	}
	struct stage *s = tk_stage(tk, ST_METASPACE);
	s->a = S(MARK);
	s->arg = META_SPLIT;
	enum err e = all_pieces(l);
	tk->unk = id_key(l, KEY("unknown_token_id"), 2);
	double least = 0;
	for (uint32_t i = 0; i < tk->n; i++)
		least = tk->piece[i].type == PIECE_NORMAL ? MIN(least, tk->piece[i].score) : least;
	tk->unk_score = least - 10;
	snprintf(tk->kind, sizeof tk->kind, "unigram");
	return e ? e : build_tries(l);
}

static enum err load_wordpiece(struct gload *l)
{
	struct tokenizer *tk = l->tk;
	tk->model = TK_WORDPIECE;
	tk->word_max = 100;
	tk->dec_wordpiece = tk->dec_cleanup = true;
	tk_stage(tk, ST_BERT)->arg = BERT_CLEAN | BERT_CHINESE | BERT_STRIP | BERT_LOWER;
	tk_stage(tk, ST_BERT_SPLIT);
	enum err e = all_pieces(l);
	tk->unk = id_key(l, KEY("unknown_token_id"), 100);
	snprintf(tk->kind, sizeof tk->kind, "wordpiece");
	return e ? e : build_tries(l);
}

/* ---- all ---- */

/* Phi-3's control tokens swallow the white space after them; its file does not say so. */
static bool name_has(const struct gguf *g, const char *what)
{
	return str_find_nocase(gguf_str(g, "general.name"), str_c(what)) != STR_NONE;
}

static enum err specials(struct gload *l)
{
	struct tokenizer *tk = l->tk;
	bool phi3 = name_has(l->g, "phi-3") || name_has(l->g, "phi3");
	for (uint32_t i = 0; i < l->tokens.n; i++) {
		enum piece_type t = tk->piece[i].type;
		if ((t != PIECE_CONTROL && t != PIECE_USER && t != PIECE_UNKNOWN) ||
			!tk->piece[i].n)
			continue;
		struct str s = tk_text(tk, i);
		struct added a = {.id = (int32_t)i,
			.special = t != PIECE_USER,
			.rstrip = phi3 && t == PIECE_CONTROL && !str_eq_c(s, "<s>") &&
				  !str_eq_c(s, "<|endoftext|>")};
		enum err e = tk_add_added(tk, &a, l->et);
		if (e)
			return e;
	}
	return OK;
}

static void affixes(struct gload *l)
{
	struct tokenizer *tk = l->tk;
	bool bert = tk->model == TK_WORDPIECE, spm = str_eq_c(str_c(tk->kind), "spm");
	bool bos = bert || spm ||
		   (tk->model == TK_BPE &&
			   tk->whole_first); /* what the file means when it does not say */
	bool eos = bert || tk->model == TK_UNIGRAM;
	tk->bos = id_key(l, KEY("bos_token_id"), bert ? 101 : spm ? 1 : -1);
	tk->eos = id_key(l, KEY("eos_token_id"),
		bert                      ? 102
		: spm                     ? 2
		: tk->model == TK_UNIGRAM ? 1
					  : -1);
	if (bert) {
		tk->bos = id_key(l, KEY("cls_token_id"), tk->bos);
		tk->eos = id_key(l, KEY("seperator_token_id"),
			id_key(l, KEY("separator_token_id"), tk->eos));
	}
	if (tk->bos >= 0 && gguf_bool(l->g, KEY("add_bos_token"), bos))
		tk->before[tk->n_before++] = tk->bos;
	if (tk->eos >= 0 && gguf_bool(l->g, KEY("add_eos_token"), eos))
		tk->after[tk->n_after++] = tk->eos;
	/* two texts as one: XLM-RoBERTa's are parted by two of them */
	if (tk->n_after && tk->model == TK_UNIGRAM)
		tk->between[0] = tk->between[1] = tk->eos, tk->n_between = 2;
}

static enum err load_all(struct gload *l)
{
	static const struct {
		const char *name;
		enum err (*load)(struct gload *l);
	} models[] = {
		{"gpt2", load_bpe},
		{"llama", load_spm},
		{"t5", load_unigram},
		{"bert", load_wordpiece},
	};
	struct str model = gguf_str(l->g, KEY("model"));
	if (!gguf_array(l->g, KEY("tokens"), &l->tokens) || l->tokens.type != GGUF_STRING ||
		!l->tokens.n)
		return err_set(l->et, ERR_CORRUPT, "GGUF: no tokenizer.ggml.tokens");
	gguf_array(l->g, KEY("scores"), &l->scores);
	gguf_array(l->g, KEY("token_type"), &l->types);
	enum err e = err_set(l->et, ERR_UNSUPPORTED,
		"GGUF: the tokenizer model \"%.*s\" is not supported", (int)MIN(model.n, 80u),
		model.p ? model.p : "");
	for (size_t i = 0; i < ARRAY_LEN(models); i++)
		if (str_eq_c(model, models[i].name))
			e = models[i].load(l);
	e = e ? e : specials(l);
	if (e)
		return e;
	affixes(l);
	struct str chat = gguf_str(l->g, "tokenizer.chat_template");
	if (chat.n && !(l->tk->chat_template = tk_own(l->tk, chat)).p)
		return err_set(l->et, ERR_NOMEM, "GGUF: out of memory");
	e = tk_finish(l->tk, NULL, l->et);
	static const char *const ends[] = {KEY("eot_token_id"), KEY("eom_token_id")};
	for (size_t i = 0; i < ARRAY_LEN(ends) && !e; i++)
		if (id_key(l, ends[i], -1) >= 0)
			l->tk->is_end[id_key(l, ends[i], -1)] = 1;
	return e;
}

enum err tokenizer_from_gguf(const struct gguf *g, struct tokenizer **out, struct errtext *et)
{
	struct gload l = {.g = g, .tk = tk_new(), .et = et};
	enum err e = l.tk ? load_all(&l) : err_set(et, ERR_NOMEM, "GGUF: out of memory");
	if (e) {
		tokenizer_free(l.tk);
		return e;
	}
	*out = l.tk;
	return OK;
}
