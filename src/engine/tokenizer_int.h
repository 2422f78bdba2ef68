/* Inside the tokenizers.
 *
 * A text goes through a chain of stages, which are data (struct stage, filled by the loaders):
 *
 *	normalisers -> added tokens -> splitters -> the model (BPE, unigram, WordPiece)
 *
 * A stage gets a view of the text, hands on one changed view (normalisers) or several smaller ones
 * (splitters). A view knows for each of its bytes which bytes of the input it came from; where
 * nothing was changed this is a plain shift and costs nothing.
 *
 * Pieces are kept as the raw bytes that they stand for: the visible letters of byte-level
 * vocabularies and <0xNN> are undone at load, a WordPiece continuation loses its mark. Models then
 * work on bytes and the length of a piece is the length of its text. */
#ifndef ENGINE_TOKENIZER_INT_H
#define ENGINE_TOKENIZER_INT_H
#include "engine/tokenizer.h"

enum {
	VOCAB_MAX = 1 << 22, /* ids */
	PIECE_MAX = 1 << 16, /* bytes of one piece */
	MERGES_MAX = 1 << 23,
	TEXT_MAX = 1 << 30, /* bytes of one input */
	STAGES_MAX = 24,
	AFFIX_MAX = 8, /* special tokens before or after a text */
};

/* ---- Unicode classes ---- */

enum {
	UC_LETTER = 1,
	UC_NUMBER = 2,
	UC_SPACE = 4, /* White_Space */
	UC_PUNCT = 8,
	UC_SYMBOL = 16,
	UC_MARK = 32,
	UC_UPPER = 64, /* Lu, Lt */
	UC_LOWER = 128,
	UC_WORD = 256,  /* \w */
	UC_OTHER = 512, /* C*: control, format, unassigned, private */
	UC_MN = 1024,   /* Mn */
	UC_NFC = 2048,
	UC_NFD = 4096,
	UC_NFKC = 8192,
	UC_NFKD = 16384,   /* no normal form changes it, or
				joins it to its left */
	UC_LOWERS = 32768, /* its lower case is another */
};

extern uint16_t uc_bmp[65536];
void uc_init(void); /* before any of these; idempotent */
uint16_t uc_astral(uint32_t cp);
/* The reference's BERT steps know Unicode 8: marks, controls and punctuation that came later are
 * letters to it. */
bool uc_bert_knows(uint32_t cp);

static inline uint16_t uc(uint32_t cp)
{
	return cp < 65536 ? uc_bmp[cp] : uc_astral(cp);
}

/* The code point at p[i] (i < n) and its length. */
static inline uint32_t cp_at(const char *p, size_t i, size_t n, size_t *len)
{
	uint32_t cp = (unsigned char)p[i];
	*len = 1;
	if (cp >= 0x80)
		*len = utf8_decode(str_mk(p + i, n - i), &cp);
	return cp;
}

/* ---- tables ---- */

/* From the bytes of a piece to its id. */
struct ptab {
	uint32_t *slot; /* id + 1; 0: free */
	uint32_t mask;
};

/* From two ids to the id that they merge into. */
struct pair {
	uint64_t key; /* left << 32 | right; UINT64_MAX: free */
	uint32_t rank, id;
};
struct pairtab {
	struct pair *slot;
	uint64_t mask;
	size_t n;
};

/* A trie with the children of a node side by side, ordered by byte. */
struct trie_node {
	uint32_t first;
	int32_t value; /* -1: no entry ends here */
	uint16_t n;
	uint8_t byte;
};
struct trie {
	struct trie_node *node;
	uint32_t n;
	uint32_t root[256]; /* child of the root by byte; 0: none */
};
struct trie_entry {
	struct str s;
	int32_t value;
};
enum err trie_build(
	struct trie *t, struct trie_entry *e, size_t n, struct errtext *et); /* sorts e */
void trie_free(struct trie *t);
/* The child of `at` (0: the root) by byte, or 0. */
static inline uint32_t trie_step(const struct trie *t, uint32_t at, unsigned char byte)
{
	if (at == 0)
		return t->root[byte];
	const struct trie_node *nd = &t->node[at], *c = &t->node[nd->first];
	uint32_t lo = 0, hi = nd->n;
	while (hi - lo > 4) {
		uint32_t mid = (lo + hi) / 2;
		if (c[mid].byte <= byte)
			lo = mid;
		else
			hi = mid;
	}
	for (; lo < hi; lo++)
		if (c[lo].byte == byte)
			return nd->first + lo;
	return 0;
}

/* ---- the tokenizer ---- */

enum piece_type {
	PIECE_NORMAL,
	PIECE_CONTROL,
	PIECE_USER,
	PIECE_UNKNOWN,
	PIECE_BYTE,
	PIECE_UNUSED
};
enum { PIECE_CONTINUES = 1, PIECE_LOOKUP = 2 /* in the model's table */, PIECE_SPELLED = 4 };

struct piece {
	uint32_t at, n; /* in tk->text */
	double score;
	uint8_t type, flags;
};

enum model_kind { TK_BPE, TK_UNIGRAM, TK_WORDPIECE };

enum stage_kind {
	/* normalisers */
	ST_FORM, /* arg: 0 NFC, 1 NFD, 2 NFKC, 3 NFKD */
	ST_LOWER,
	ST_STRIP_MARKS, /* arg: mask of classes to remove */
	ST_STRIP,       /* arg: 1 left, 2 right */
	ST_PREPEND,     /* a: the text; nothing before nothing */
	ST_REPLACE,     /* a by b */
	ST_SQUEEZE,     /* runs of two or more spaces by a */
	ST_BERT,        /* arg: BERT_* */
	ST_CHARSMAP,
	ST_SPM_SPACES,   /* runs of spaces to one, none at the ends */
	ST_PREFIX_SPACE, /* unless it starts with one */
	/* added tokens that are looked for in the normalised text */
	ST_ADDED,
	/* splitters */
	ST_GPT,        /* rule */
	ST_RUN,        /* runs of a class: rule */
	ST_TAIL_SPACE, /* white space at the end */
	ST_THOUSANDS,  /* digits in threes from the right */
	ST_LITERAL,    /* a; arg: enum split_how */
	ST_BERT_SPLIT,
	ST_WORDS,     /* \w+|[^\w\s]+ */
	ST_SPACES,    /* white space, removed */
	ST_MARKS,     /* before U+2581 that follows something else */
	ST_METASPACE, /* arg: META_* ; a: the mark */
};
enum { BERT_CLEAN = 1, BERT_CHINESE = 2, BERT_STRIP = 4, BERT_LOWER = 8 };
enum { META_SPLIT = 1, META_ALWAYS = 2, META_FIRST = 4 };
enum split_how { HOW_ISOLATED, HOW_REMOVED, HOW_PREVIOUS, HOW_NEXT, HOW_CONTIGUOUS };

/* The family of patterns that began with GPT-2. Each alternative in order:
 *	contraction | ascii punctuation + ASCII letters | lead? letters | digits | ' '? marks tail*
 *| white space up to its last line end | white space but its last before a word | white space */
struct gpt_rule {
	uint8_t contraction; /* 0 none, 1 lower case only, 2 any case, 3 any case and after a word
			      */
	uint8_t cased;       /* words are Upper* lower+ or Upper+ lower* */
	uint8_t lead;        /* 0: a space may begin a word; 1: anything but CR, LF, lead_not */
	uint16_t lead_not;
	uint16_t letters;
	uint8_t digits;     /* at most so many; 255: any number, with a leading space; 0: none */
	uint16_t marks;     /* 0: all but space, letters, numbers */
	uint8_t tail;       /* 0 none, 1 CR LF, 2 also '/' */
	uint8_t lines;      /* the line end alternative */
	uint8_t punct_word; /* the ASCII punctuation alternative */
};

struct run_rule {
	uint16_t mask;     /* classes, or */
	uint8_t set;       /* one of the fixed sets of tokenizer_split.c */
	uint8_t lead;      /* 0 none, 1 a space, 2 any white space */
	uint16_t min, max; /* 0: no limit */
};

struct stage {
	enum stage_kind kind;
	unsigned arg;
	struct str a, b; /* borrowed from tk->strings or static */
	const struct gpt_rule *gpt;
	struct run_rule run;
};

struct added {
	int32_t id;
	bool lstrip, rstrip, single_word, special;
};

struct tokenizer {
	enum model_kind model;
	char kind[48];
	uint32_t n; /* ids */
	struct piece *piece;
	struct buf text;
	struct ptab tab;
	struct pairtab pairs;
	struct trie words, rest; /* WordPiece: beginnings, continuations. Unigram: all in words */
	int32_t byte_id[256];
	int32_t *char_id; /* unused unless BPE starts from characters */
	int32_t unk;
	double unk_score;
	bool byte_level; /* BPE starts from bytes; decoding joins bytes */
	bool byte_fallback, fuse_unk,
		whole_first; /* whole_first: a whole word that is a piece is it */
	bool pseudo;         /* ids >= n_ids stand for characters that only merges know */
	uint32_t n_ids;      /* ids that callers see; <= n */
	uint32_t word_max;   /* WordPiece: longer words are unknown */
	uint32_t serial;     /* for the word cache */
	struct stage stage[STAGES_MAX];
	unsigned n_stages;
	struct added *added; /* by trie value */
	size_t n_added;
	struct trie added_raw, added_norm;
	uint8_t added_first[256]; /* 1: begins one of added_raw, 2: of added_norm */
	int32_t before[AFFIX_MAX], after[AFFIX_MAX];
	unsigned n_before, n_after;
	int32_t between[AFFIX_MAX]; /* of two texts that are read as one; none: as after */
	unsigned n_between;
	int32_t bos, eos;
	uint8_t *is_end; /* by id */
	/* decoding */
	bool dec_spm_space;   /* U+2581 to a space */
	bool dec_strip_first; /* one space at the very beginning is removed */
	bool dec_wordpiece, dec_cleanup;
	struct buf charsmap;
	struct str *strings; /* owned copies */
	size_t n_strings;
	struct str chat_template;
};

/* ---- building (tokenizer_vocab.c) ---- */

struct tokenizer *tk_new(void);
/* Sets id's text and type; ids in any order. ERR_CORRUPT when taken or absurd. */
enum err tk_piece(struct tokenizer *tk, uint32_t id, struct str text, enum piece_type type,
	double score, struct errtext *et);
struct str tk_text(const struct tokenizer *tk, uint32_t id);
struct str tk_own(struct tokenizer *tk, struct str s); /* a copy with the tokenizer's life */
enum err tk_tab_build(struct tokenizer *tk, struct errtext *et); /* pieces with PIECE_LOOKUP */
int32_t tk_lookup(const struct tokenizer *tk, struct str s);
enum err tk_pairs_reserve(struct tokenizer *tk, size_t n, struct errtext *et);
enum err tk_merge(
	struct tokenizer *tk, struct str left, struct str right, uint32_t rank, struct errtext *et);
/* Merges that the vocabulary itself implies: any two pieces that make a third, in the order of
 * `rank` of the third (equal ranks: the leftmost first). */
enum err tk_merges_from_vocab(struct tokenizer *tk, const uint32_t *rank, struct errtext *et);
enum err tk_add_added(struct tokenizer *tk, const struct added *a, struct errtext *et);
enum err tk_finish(struct tokenizer *tk, const uint8_t *normalised, struct errtext *et);
/* The bytes that a piece of a byte-level vocabulary stands for; false: not made of its letters. */
bool tk_unspell_bytes(struct str spelled, struct buf *out);
bool tk_unspell_hex(struct str s, unsigned char *byte); /* <0x0A> */

static inline struct stage *tk_stage(struct tokenizer *tk, enum stage_kind kind)
{
	if (tk->n_stages == STAGES_MAX)
		return NULL;
	struct stage *s = &tk->stage[tk->n_stages++];
	*s = (struct stage){.kind = kind};
	return s;
}

/* Adds the stages of a pattern of tokenizer.json, or of a tokenizer.ggml.pre; ERR_UNSUPPORTED names
 * an unknown one. */
enum err tk_split_regex(struct tokenizer *tk, struct str pattern, struct errtext *et);
enum err tk_split_gguf(struct tokenizer *tk, struct str pre, struct errtext *et);
void tk_split_gpt2(struct tokenizer *tk);

/* Test-only door: a BPE from tiktoken's ranks (piece by rank) and its pattern. */
enum err tk_from_ranks(const struct str *pieces, size_t n, struct str pattern,
	struct tokenizer **out, struct errtext *et);

/* chat.c: model_chat_render for a tokenizer alone. */
struct chat_message;
struct chat_vars;
enum err chat_prompt(const struct tokenizer *tk, const struct chat_message *msgs, size_t n,
	const struct chat_vars *v, struct buf *out, bool *used_default, struct errtext *et);

/* ---- running ---- */

struct span {
	uint32_t from, to;
};

struct view {
	const char *p;
	size_t n;
	const struct span *map; /* per byte; NULL: byte i is input byte base + i */
	uint32_t base;
	bool first; /* the text's own beginning is its beginning */
};

static inline uint32_t view_from(const struct view *v, size_t i)
{
	if (!v->map)
		return v->base + (uint32_t)i;
	return i < v->n ? v->map[i].from : v->n ? v->map[v->n - 1].to : v->base;
}

static inline uint32_t view_to(const struct view *v, size_t i) /* i: one past the last byte */
{
	if (!v->map || i == 0)
		return v->map && v->n ? v->map[0].from : v->base + (uint32_t)i;
	return v->map[i - 1].to;
}

static inline struct view view_sub(const struct view *v, size_t from, size_t to)
{
	return (struct view){v->p + from, to - from, v->map ? v->map + from : NULL,
		v->map ? v->base : v->base + (uint32_t)from, v->first && from == 0};
}

struct scratch {
	char *p;
	struct span *map;
	size_t n, cap;
};

struct word_cache;

struct enc {
	const struct tokenizer *tk;
	unsigned flags;
	struct tokens *out;
	enum err err;
	struct scratch sc[STAGES_MAX];
	void *syms; /* the model's working memory */
	size_t syms_cap;
	struct word_cache *cache;
};

void enc_token(struct enc *e, int32_t id, const struct view *v, size_t from, size_t to);
void enc_run(struct enc *e, unsigned stage, struct view v);
void *enc_syms(struct enc *e, size_t bytes);         /* NULL: e->err is set */
void enc_model(struct enc *e, const struct view *v); /* through the cache */
void enc_bpe(struct enc *e, const struct view *v);
void enc_unigram(struct enc *e, const struct view *v);
void enc_wordpiece(struct enc *e, const struct view *v);
void enc_unknown(struct enc *e, const struct view *v, size_t from, size_t to);

/* A normaliser's output. */
void sc_begin(struct enc *e, struct scratch *s);
void sc_add(struct enc *e, struct scratch *s, const char *p, size_t n, const struct view *v,
	size_t from, size_t to);
/* Bytes from..to unchanged. */
void sc_copy(struct enc *e, struct scratch *s, const struct view *v, size_t from, size_t to);
struct view sc_view(const struct scratch *s, const struct view *v);

bool enc_normalise(struct enc *e, unsigned stage, struct view *v); /* false: not a normaliser */
void enc_split(struct enc *e, unsigned stage, const struct view *v);

#endif
