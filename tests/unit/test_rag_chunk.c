#include "tap.h"
#include "base/os.h"
#include "rag/rag_int.h"

static struct tokenizer *tokenizer(void)
{
	struct buf b = {0};
	struct errtext et = {0};
	struct tokenizer *tk;
	CHECK_OK(os_read_file(tap_model("minilm/tokenizer.json"), 0, &b, &et), &et);
	CHECK_OK(tokenizer_from_json(buf_str(&b), (struct str){0}, &tk, &et), &et);
	buf_free(&b);
	return tk;
}

struct setup {
	struct tokenizer *tk;
	struct doc *d;
	struct arena *a;
	struct chunk *chunks;
	size_t n;
};

static struct setup cut(struct str text, const char *name, uint32_t max, uint32_t overlap)
{
	struct setup s = {.tk = tokenizer(), .a = arena_new(0)};
	struct errtext et = {0};
	CHECK_OK(doc_parse(text, name, &(struct doc_limits){0}, &s.d, &et), &et);
	CHECK_OK(chunk_doc(s.d, s.tk, &(struct chunk_options){max, overlap}, s.a, &s.chunks, &s.n,
			 &et),
		&et);
	return s;
}

static void done(struct setup *s)
{
	tokenizer_free(s->tk);
	doc_free(s->d);
	arena_free(s->a);
}

static size_t count_tokens(const struct setup *s, uint32_t from, uint32_t to)
{
	struct tokens t = {0};
	CHECK_OK(tokenizer_encode(s->tk, str_sub(s->d->text, from, to), 0, &t, NULL), NULL);
	size_t n = t.n;
	tokens_free(&t);
	return n;
}

/* What must hold for every document. */
static void check_invariants(const struct setup *s, uint32_t max, uint32_t overlap)
{
	static char covered[1 << 21];
	CHECK(s->d->text.n < sizeof covered);
	memset(covered, 0, s->d->text.n);
	for (size_t i = 0; i < s->n; i++) {
		const struct chunk *c = &s->chunks[i];
		CHECK(c->from < c->to && c->to <= s->d->text.n);
		CHECK(utf8_valid(str_sub(s->d->text, c->from, c->to)));
		CHECK(c->tokens <= max);
		size_t real = count_tokens(s, c->from, c->to);
		if (real > max + max / 10 + 2) /* cutting inside a word may cost a few */
			FAIL("chunk %zu has %zu tokens", i, real);
		if (i) {
			CHECK(c->from > s->chunks[i - 1].from && c->to > s->chunks[i - 1].to);
			if (c->from < s->chunks[i - 1].to)
				CHECK(count_tokens(s, c->from, s->chunks[i - 1].to) <= overlap + 2);
		}
		memset(covered + c->from, 1, c->to - c->from);
	}
	for (size_t b = 0; b < s->d->n_blocks; b++)
		for (uint32_t i = s->d->blocks[b].from; i < s->d->blocks[b].to; i++)
			if (!covered[i] && !strchr(" \t\n\r", s->d->text.p[i]))
				FAIL("byte %u of block %zu is in no chunk", i, b);
}

static void test_rag_chunk__sections_and_paths(void)
{
	struct buf b = {0};
	buf_addc(&b, "# Handbook\n\nWelcome to the handbook of the company.\n\n## Leave\n\n");
	for (int i = 0; i < 30; i++)
		buf_addf(&b,
			"Rule %d says that every person has some days of paid leave in each year. ",
			i);
	buf_addc(&b, "\n\n## Notice\n\nThe notice period is three months.\n");
	for (int i = 0; i < 30; i++)
		buf_addf(&b,
			"Clause %d of the contract describes an exception to the period named "
			"above. ",
			i);
	struct setup s = cut(buf_str(&b), "handbook.md", 120, 25);
	check_invariants(&s, 120, 25);
	CHECK(s.n >= 6);
	unsigned leave = 0, notice = 0, overlaps = 0;
	for (size_t i = 0; i < s.n; i++) {
		struct str text = str_sub(s.d->text, s.chunks[i].from, s.chunks[i].to);
		bool in_notice = str_ends(s.chunks[i].heading_path, S("Notice"));
		leave += str_ends(s.chunks[i].heading_path, S("Leave"));
		notice += in_notice;
		CHECK(!in_notice ||
			str_find(text, S("Rule ")) == STR_NONE); /* no chunk across the heading */
		overlaps += i && s.chunks[i].from < s.chunks[i - 1].to;
	}
	CHECK(leave >= 2 && notice >= 2 && overlaps >= 2);
	done(&s);
	buf_free(&b);
}

static void test_rag_chunk__one_endless_word_is_cut_between_code_points(void)
{
	struct buf b = {0};
	for (int i = 0; i < 3000; i++)
		buf_addc(&b, i % 3 ? "é" : "界");
	struct setup s = cut(buf_str(&b), "word.txt", 100, 20);
	check_invariants(&s, 100, 20);
	CHECK(s.n >= 3);
	done(&s);
	buf_free(&b);
}

static void test_rag_chunk__real_documents(void)
{
	static const char *const files[] = {
		"README.md", "docs/architecture.md", "CONTRIBUTING.md", "src/rag/ingest.c"};
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		struct buf b = {0};
		CHECK_OK(os_read_file(tap_source(files[i]), 0, &b, NULL), NULL);
		struct setup s = cut(buf_str(&b), i == 3 ? "ingest.txt" : files[i], 200, 30);
		check_invariants(&s, 200, 30);
		CHECK(s.n > 1);
		done(&s);
		buf_free(&b);
	}
}

static void test_rag_chunk__context(void)
{
	struct buf b = {0};
	chunk_index_text(S("Handbook"), S("Leave > Days"), S("Text."), 0, &b);
	CHECK_STR(buf_str(&b), "Handbook > Leave > Days\nText.");
	buf_clear(&b);
	chunk_index_text(S("Handbook"), S("Handbook > Leave"), S("Text."), 0, &b);
	CHECK_STR(buf_str(&b), "Handbook > Leave\nText.");
	buf_clear(&b);
	chunk_index_text(S(""), S(""), S("Text."), 0, &b);
	CHECK_STR(buf_str(&b), "Text.");
	buf_clear(&b);
	chunk_index_text(S("ééé"), S(""), S("Text."), 3, &b); /* cut between code points */
	CHECK_STR(buf_str(&b), "é\nText.");
	buf_free(&b);
}

TESTS(T(test_rag_chunk__sections_and_paths),
	T(test_rag_chunk__one_endless_word_is_cut_between_code_points),
	T(test_rag_chunk__real_documents), T(test_rag_chunk__context))
