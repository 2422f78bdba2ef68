#include "tap.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/os.h"
#include "engine/engine.h"
#include "engine/gguf.h"
#include "engine/tokenizer_int.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct tokenizer *from_file(const char *json, const char *config)
{
	struct errtext et = {0};
	struct buf j = {0}, c = {0};
	struct tokenizer *tk;
	CHECK_OK(os_read_file(json, 0, &j, &et), &et);
	if (config)
		CHECK_OK(os_read_file(config, 0, &c, &et), &et);
	CHECK_OK(tokenizer_from_json(buf_str(&j), buf_str(&c), &tk, &et), &et);
	buf_free(&j);
	buf_free(&c);
	return tk;
}

static struct tokenizer *from_text(const char *json)
{
	struct errtext et = {0};
	struct tokenizer *tk;
	CHECK_OK(tokenizer_from_json(str_c(json), (struct str){0}, &tk, &et), &et);
	return tk;
}

/* The ids as "1 2 3". */
static const char *ids(const struct tokenizer *tk, struct str text, unsigned flags)
{
	static struct buf out;
	struct errtext et = {0};
	struct tokens t = {0};
	CHECK_OK(tokenizer_encode(tk, text, flags, &t, &et), &et);
	buf_clear(&out);
	for (size_t i = 0; i < t.n; i++)
		buf_addf(&out, "%s%d", i ? " " : "", t.id[i]);
	tokens_free(&t);
	return buf_c(&out);
}

static void test_engine_tokenizer__minilm(void)
{
	const char *path = tap_model("minilm/tokenizer.json");
	struct tokenizer *tk = from_file(path, tap_model("minilm/tokenizer_config.json"));
	CHECK_STR(str_c(tokenizer_kind(tk)), "wordpiece");
	CHECK_INT(tokenizer_vocab_size(tk), 30522);
	CHECK_STR(str_c(ids(tk, S("Hello, world! caf\xC3\xA9s"), TOKENIZE_ADD_SPECIAL)),
		"101 7592 1010 2088 999 23812 102");
	CHECK_STR(str_c(ids(tk, S("a [SEP] b"), TOKENIZE_SPECIAL)), "1037 102 1038");
	CHECK(strstr(ids(tk, S("a [SEP] b"), 0), "102") == NULL);
	struct tokens t = {0};
	struct errtext et = {0};
	CHECK_OK(tokenizer_encode(tk, S("  Na\xC3\xAFvet\xC3\xA9!"), TOKENIZE_OFFSETS, &t, &et),
		&et);
	CHECK(t.n >= 2 && t.from[0] == 2 && t.to[t.n - 2] == 11 && t.from[t.n - 1] == 11 &&
		t.to[t.n - 1] == 12);
	tokens_free(&t);
	tokenizer_free(tk);
}

static void test_engine_tokenizer__smollm2(void)
{
	struct errtext et = {0};
	struct gguf *g;
	struct tokenizer *tk;
	CHECK_OK(gguf_open(tap_model("smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"), NULL, &g, &et),
		&et);
	CHECK_OK(tokenizer_from_gguf(g, &tk, &et), &et);
	CHECK_STR(str_c(tokenizer_kind(tk)), "bpe/smollm");
	CHECK_INT(tokenizer_vocab_size(tk), 49152);
	CHECK(tokenizer_is_end(tk, tokenizer_eos(tk)));
	CHECK(tokenizer_chat_template(tk).n > 0);
	CHECK_INT(tokenizer_find(tk, S("<|im_end|>")), tokenizer_eos(tk));
	struct str text = S("<|im_start|>user\nHow many \xE2\x82\xAC in 2024?<|im_end|>\n");
	struct tokens t = {0};
	CHECK_OK(tokenizer_encode(tk, text, TOKENIZE_SPECIAL, &t, &et), &et);
	CHECK_INT(t.id[0], 1);
	struct buf back = {0};
	CHECK_OK(tokenizer_decode(tk, t.id, t.n, true, &back), NULL);
	CHECK(str_eq(buf_str(&back), text));
	buf_clear(&back);
	struct detok d = {.tk = tk};
	for (size_t i = 0; i < t.n; i++)
		buf_adds(&back, detok_add(&d, t.id[i]));
	buf_adds(&back, detok_end(&d));
	CHECK_STR(buf_str(&back), "user\nHow many \xE2\x82\xAC in 2024?\n");
	detok_free(&d);
	tokens_free(&t);
	buf_free(&back);
	tokenizer_free(tk);
	gguf_free(g);
}

static void test_engine_tokenizer__hostile_vocabularies(void)
{
	static const struct {
		const char *json;
		enum err want;
	} rows[] = {
		{"", ERR_INVALID},
		{"[]", ERR_CORRUPT},
		{"{}", ERR_CORRUPT},
		{"{\"model\":{\"type\":\"Nonsense\"}}", ERR_UNSUPPORTED},
		{"{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}}", ERR_CORRUPT},
		{"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}}",
			ERR_CORRUPT},
		{"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":4000000},\"merges\":[]}}",
			ERR_CORRUPT},
		{"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":-1},\"merges\":[]}}",
			ERR_CORRUPT},
		{"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1},\"merges\":[\"a b\"]}}",
			ERR_CORRUPT},
		{"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"ab\":1},\"merges\":[\"a c\"]}}",
			ERR_CORRUPT},
		{"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"\":1},\"merges\":[[\"a\",\"\"]]"
		 "}}",
			ERR_CORRUPT},
		{"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[7]}}", ERR_CORRUPT},
		{"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]},\"pre_"
		 "tokenizer\":{\"type\":"
		 "\"Split\",\"pattern\":{\"Regex\":\"(a+)+$\"},\"behavior\":\"Isolated\","
		 "\"invert\":false}}",
			ERR_UNSUPPORTED},
		{"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",1e300]]}}", ERR_CORRUPT},
		{"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]},\"added_tokens\":"
		 "[{\"id\":0,"
		 "\"content\":\"b\"}]}",
			ERR_CORRUPT},
		{"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]},\"post_"
		 "processor\":{\"type\":"
		 "\"BertProcessing\",\"cls\":[\"x\",99],\"sep\":[\"y\",0]}}",
			ERR_CORRUPT},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct errtext et = {0};
		struct tokenizer *tk = NULL;
		enum err e = tokenizer_from_json(str_c(rows[i].json), (struct str){0}, &tk, &et);
		if (e != rows[i].want || !et.msg[0] || tk)
			FAIL("row %zu: %s: %s", i, err_word(e), et.msg);
	}
}

/* a b c with merges: the rank decides, not the place; and the long way agrees with the short. */
static void test_engine_tokenizer__merges(void)
{
	struct tokenizer *tk =
		from_text("{\"model\":{\"type\":\"BPE\",\"unk_token\":\"?\",\"fuse_unk\":true,"
			  "\"vocab\":{\"?\":0,\"a\":1,\"b\":2,\"c\":3,\"bc\":4,\"ab\":5,\"aa\":6,"
			  "\"aaaa\":7},\"merges\":[\"b c\",\"a b\",[\"a\",\"a\"],\"aa aa\"]}}");
	CHECK_STR(str_c(ids(tk, S("abc"), 0)), "1 4");
	CHECK_STR(str_c(ids(tk, S("ab"), 0)), "5");
	CHECK_STR(str_c(ids(tk, S("aaaaa"), 0)), "7 1");
	CHECK_STR(str_c(ids(tk, S("aXYb"), 0)), "1 0 2");
	CHECK_STR(str_c(ids(tk, S(""), TOKENIZE_ADD_SPECIAL)), "");
	char big[100001];
	memset(big, 'a', sizeof big - 1);
	big[sizeof big - 1] = 0;
	struct errtext et = {0};
	struct tokens t = {0};
	CHECK_OK(tokenizer_encode(tk, str_mk(big, 100000), TOKENIZE_OFFSETS, &t, &et), &et);
	CHECK_INT(t.n, 25000);
	CHECK_INT(t.from[24999], 99996);
	tokens_free(&t);
	tokenizer_free(tk);
}

static void test_engine_tokenizer__chat_prompt(void)
{
	struct chat_vars plain = {.add_generation_prompt = true};
	struct chat_vars tools = {.add_generation_prompt = true, .tools_json = S("[{\"n\":41}]")};
	struct errtext et = {0};
	struct gguf *g;
	struct tokenizer *tk;
	bool own = true;
	CHECK_OK(gguf_open(tap_model("smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"), NULL, &g, &et),
		&et);
	CHECK_OK(tokenizer_from_gguf(g, &tk, &et), &et);
	struct chat_message msgs[] = {{.role = S("system"), .content = S("Be brief.")},
		{.role = S("user"), .content = S("Hi \"you\"\n")}};
	struct buf out = {0};
	CHECK_OK(chat_prompt(tk, msgs, 2, &plain, &out, &own, &et), &et);
	CHECK(!own);
	CHECK_STR(buf_str(&out),
		"<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi \"you\"\n"
		"<|im_end|>\n<|im_start|>assistant\n");
	tokenizer_free(tk);
	gguf_free(g);
	/* Without a template: ChatML, and it says so. */
	tk = from_text("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}}");
	buf_clear(&out);
	CHECK_OK(chat_prompt(tk, msgs + 1, 1, &plain, &out, &own, &et), &et);
	CHECK(own);
	CHECK_STR(
		buf_str(&out), "<|im_start|>user\nHi \"you\"\n<|im_end|>\n<|im_start|>assistant\n");
	msgs[0].tool_calls_json = S("[{");
	buf_clear(&out);
	CHECK_ERR(chat_prompt(tk, msgs, 2, &plain, &out, &own, &et), ERR_INVALID);
	CHECK(strstr(et.msg, "messages[0].tool_calls") != NULL);
	tokenizer_free(tk);
	/* Arguments come as JSON in a string and reach the template as an object. */
	CHECK_OK(tokenizer_from_json(
			 S("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}}"),
			 S("{\"chat_template\":\"{{ messages[0].tool_calls[0].function.arguments.x "
			   "+ tools[0].n }}\"}"),
			 &tk, &et),
		&et);
	msgs[0].tool_calls_json =
		S("[{\"id\":\"1\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"x\\\":1}\"}}]");
	CHECK_OK(chat_prompt(tk, msgs, 2, &tools, &out, &own, &et), &et);
	CHECK_STR(buf_str(&out), "42");
	tokenizer_free(tk);
	buf_free(&out);
}

/* ---- shared/data/tokenizers/golden ---- */

static yyjson_doc *shared_json(const char *rel)
{
	struct errtext et = {0};
	yyjson_doc *doc;
	struct str s = tap_unxz(tap_shared(rel));
	CHECK_OK(json_parse(s, &doc, &et), &et);
	free((char *)s.p);
	return doc;
}

/* "! 0 IQ== Ig==": the pieces from rank 0 on, in base 64. */
static struct tokenizer *from_tiktoken(const char *rel)
{
	struct errtext et = {0};
	yyjson_doc *doc = shared_json(rel);
	yyjson_val *root = yyjson_doc_get_root(doc);
	struct str lines = json_str(root, "bpe_ranks"), line, word;
	struct buf bytes = {0};
	struct str *pieces = calloc(1 << 18, sizeof *pieces);
	size_t *ends = calloc(1 << 18, sizeof *ends), n = 0;
	while (str_next_line(&lines, &line)) {
		int64_t first;
		CHECK(str_next(&line, ' ', &word) && str_next(&line, ' ', &word) &&
			str_i64(word, &first));
		for (n = (size_t)first; str_next(&line, ' ', &word); n++) {
			CHECK(n + 1 < 1 << 18);
			size_t at = bytes.n;
			CHECK(base64_decode(&bytes, word));
			ends[n] = at;
			pieces[n].n = bytes.n - at;
		}
	}
	for (size_t i = 0; i < n; i++)
		pieces[i].p = bytes.p + ends[i];
	struct tokenizer *tk;
	CHECK_OK(tk_from_ranks(pieces, n, json_str(root, "pat_str"), &tk, &et), &et);
	free(pieces);
	free(ends);
	buf_free(&bytes);
	yyjson_doc_free(doc);
	return tk;
}

static struct tokenizer *from_shared(const char *rel)
{
	struct errtext et = {0};
	struct tokenizer *tk;
	struct str s = tap_unxz(tap_shared(rel));
	CHECK_OK(tokenizer_from_json(s, (struct str){0}, &tk, &et), &et);
	free((char *)s.p);
	return tk;
}

static void golden_ids(struct tokenizer *tk, const char *rel, unsigned flags)
{
	struct errtext et = {0};
	struct str texts = tap_unxz(tap_shared("tokenizers/golden/texts.jsonl.xz")), text_line;
	struct str golden = tap_unxz(tap_shared(rel)), golden_line;
	struct str rest = texts, more = golden;
	struct tokens t = {0};
	struct buf back = {0};
	size_t n = 0;
	for (; str_next_line(&rest, &text_line) && str_next_line(&more, &golden_line); n++) {
		yyjson_doc *a, *b;
		CHECK_OK(json_parse(text_line, &a, &et), &et);
		CHECK_OK(json_parse(golden_line, &b, &et), &et);
		struct str text = json_str(yyjson_doc_get_root(a), "text");
		yyjson_val *want = yyjson_obj_get(yyjson_doc_get_root(b), "ids"), *v;
		t.n = 0;
		CHECK_OK(tokenizer_encode(tk, text, flags, &t, &et), &et);
		size_t i, m;
		if (t.n != yyjson_arr_size(want))
			FAIL("%s: text %zu: %zu tokens, not %zu", rel, n, t.n,
				yyjson_arr_size(want));
		yyjson_arr_foreach(want, i, m, v) if (t.id[i] != yyjson_get_int(v))
			FAIL("%s: text %zu: token %zu is %d", rel, n, i, t.id[i]);
		buf_clear(&back);
		CHECK_OK(tokenizer_decode(tk, t.id, t.n, true, &back), &et);
		if (!strstr(rel, "hfjson") && !str_eq(buf_str(&back), text))
			FAIL("%s: text %zu does not come back", rel, n);
		yyjson_doc_free(a);
		yyjson_doc_free(b);
	}
	tap_note("%s: %zu texts", rel, n);
	CHECK(n > 900);
	free((char *)texts.p);
	free((char *)golden.p);
	buf_free(&back);
	tokens_free(&t);
	tokenizer_free(tk);
}

static void test_engine_tokenizer__tiktoken_gpt2(void)
{
	golden_ids(from_tiktoken("tokenizers/gpt2.tiktoken.json.xz"),
		"tokenizers/golden/tiktoken.gpt2.jsonl.xz", 0);
}

static void test_engine_tokenizer__tiktoken_cl100k(void)
{
	golden_ids(from_tiktoken("tokenizers/cl100k_base.tiktoken.json.xz"),
		"tokenizers/golden/tiktoken.cl100k_base.jsonl.xz", 0);
}

static void test_engine_tokenizer__tiktoken_o200k(void)
{
	golden_ids(from_tiktoken("tokenizers/o200k_base.tiktoken.json.xz"),
		"tokenizers/golden/tiktoken.o200k_base.jsonl.xz", 0);
}

static void test_engine_tokenizer__qwen3(void)
{
	golden_ids(from_shared("tokenizers/qwen3/tokenizer.json.xz"),
		"tokenizers/golden/hfjson.qwen3.jsonl.xz", TOKENIZE_SPECIAL);
}

static void test_engine_tokenizer__yi(void)
{
	golden_ids(from_shared("tokenizers/yi/tokenizer.json.xz"),
		"tokenizers/golden/hfjson.yi.jsonl.xz", TOKENIZE_SPECIAL);
}

/* ---- tests/golden/tokenizers: the reference library over whole collections ---- */

struct collect {
	const struct tokenizer *tk;
	struct buf digests, text;
	size_t documents, tokens;
};

static void add_document(struct collect *c, struct str text)
{
	struct errtext et = {0};
	struct tokens t = {0};
	uint8_t sha[SHA256_BYTES];
	char hex[9];
	CHECK_OK(tokenizer_encode(c->tk, text, TOKENIZE_SPECIAL, &t, &et), &et);
	sha256_of(str_mk(t.id, t.n * sizeof *t.id), sha); /* little-endian, as all that we run on */
	hex_encode(sha, 4, hex);
	buf_addc(&c->digests, hex);
	c->documents++;
	c->tokens += t.n;
	tokens_free(&t);
}

static void add_corpus(struct collect *c, const char *name)
{
	char rel[128], packed[160];
	struct errtext et = {0};
	struct buf b = {0};
	struct str rest, line, unpacked = {0};
	snprintf(rel, sizeof rel, "rag/%s", name);
	snprintf(packed, sizeof packed, "%s/corpus.jsonl", tap_shared(rel));
	if (access(packed, R_OK) == 0) {
		CHECK_OK(os_read_file(packed, 0, &b, &et), &et);
		rest = buf_str(&b);
	} else {
		snprintf(packed, sizeof packed, "%s/corpus.jsonl.xz", tap_shared(rel));
		rest = unpacked = tap_unxz(packed);
	}
	while (str_next_line(&rest, &line)) {
		yyjson_doc *doc;
		CHECK_OK(json_parse(line, &doc, &et), &et);
		buf_clear(&c->text);
		buf_adds(&c->text, json_str(yyjson_doc_get_root(doc), "title"));
		buf_putc(&c->text, '\n');
		buf_adds(&c->text, json_str(yyjson_doc_get_root(doc), "text"));
		add_document(c, buf_str(&c->text));
		yyjson_doc_free(doc);
	}
	free((char *)unpacked.p);
	buf_free(&b);
}

/* The files of a tar archive in memory; malformed UTF-8 as U+FFFD. */
static void add_tar(struct collect *c, const char *rel)
{
	struct str tar = tap_unxz(tap_shared(rel));
	for (size_t at = 0; at + 512 <= tar.n && tar.p[at];) {
		size_t size = strtoul(tar.p + at + 124, NULL, 8);
		char kind = tar.p[at + 156];
		struct str file = str_sub(tar, at + 512, at + 512 + size);
		if (kind == '0' || kind == 0) {
			buf_clear(&c->text);
			for (size_t i = 0, len; i < file.n; i += len) {
				uint32_t cp;
				len = utf8_decode(str_sub(file, i, file.n), &cp);
				buf_add_utf8(&c->text, cp);
			}
			add_document(c, buf_str(&c->text));
		}
		at += 512 + (size + 511) / 512 * 512;
	}
	free((char *)tar.p);
}

static void golden_texts(const struct tokenizer *tk, yyjson_val *texts)
{
	size_t i, n, k, m;
	yyjson_val *t, *id;
	struct buf want = {0};
	yyjson_arr_foreach(texts, i, n, t)
	{
		buf_clear(&want);
		yyjson_arr_foreach(yyjson_obj_get(t, "ids"), k, m, id)
			buf_addf(&want, "%s%d", k ? " " : "", yyjson_get_int(id));
		struct str text = json_str(t, "text");
		const char *got = ids(tk, text, TOKENIZE_SPECIAL);
		if (strcmp(got, buf_c(&want)) != 0)
			FAIL("\"%.*s\": %s, not %s", STR_FMT(text), got, buf_c(&want));
	}
	buf_free(&want);
}

static void golden_collections(struct tokenizer *tk, const char *rel)
{
	struct errtext et = {0};
	struct buf b = {0};
	yyjson_doc *doc;
	size_t i, n;
	yyjson_val *v;
	CHECK_OK(os_read_file(tap_source(rel), 0, &b, &et), &et);
	CHECK_OK(json_parse(buf_str(&b), &doc, &et), &et);
	golden_texts(tk, yyjson_obj_get(yyjson_doc_get_root(doc), "texts"));
	yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc), "collections"), i, n, v)
	{
		struct collect c = {.tk = tk};
		struct str name = json_str(v, "name"), want = json_str(v, "digests");
		if (str_eq_c(name, "rfc-std"))
			add_tar(&c, "docs/rfc-std.tar.xz");
		else
			add_corpus(&c, name.p);
		tap_note("%s: %s: %zu documents, %zu tokens", rel, name.p, c.documents, c.tokens);
		CHECK_INT(c.documents, json_i64(v, "documents", -1));
		for (size_t k = 0; k < c.documents; k++)
			if (!str_eq(str_sub(want, k * 8, k * 8 + 8),
				    str_sub(buf_str(&c.digests), k * 8, k * 8 + 8)))
				FAIL("%s: %s: document %zu differs", rel, name.p, k);
		CHECK_INT(c.tokens, json_i64(v, "tokens", -1));
		buf_free(&c.digests);
		buf_free(&c.text);
	}
	yyjson_doc_free(doc);
	buf_free(&b);
	tokenizer_free(tk);
}

static void test_engine_tokenizer__collections_minilm(void)
{
	golden_collections(from_file(tap_model("minilm/tokenizer.json"), NULL),
		"tests/golden/tokenizers/minilm.json");
}

static void test_engine_tokenizer__collections_qwen3(void)
{
	golden_collections(from_shared("tokenizers/qwen3/tokenizer.json.xz"),
		"tests/golden/tokenizers/qwen3.json");
}

static void test_engine_tokenizer__collections_yi(void)
{
	golden_collections(
		from_shared("tokenizers/yi/tokenizer.json.xz"), "tests/golden/tokenizers/yi.json");
}

static void test_engine_tokenizer__collections_smollm2(void)
{
	struct errtext et = {0};
	struct gguf *g;
	struct tokenizer *tk;
	CHECK_OK(gguf_open(tap_model("smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"), NULL, &g, &et),
		&et);
	CHECK_OK(tokenizer_from_gguf(g, &tk, &et), &et);
	golden_collections(tk, "tests/golden/tokenizers/smollm2.json");
	gguf_free(g);
}

/* tests/golden/tokenizers/small-*.json: each with a tokenizer of its own. */
static void small_tokenizer(const char *path)
{
	struct errtext et = {0};
	struct buf b = {0}, json = {0};
	struct jw w = {.out = &json};
	yyjson_doc *doc;
	struct tokenizer *tk;
	size_t i, n, k, m;
	yyjson_val *c, *id;
	CHECK_OK(os_read_file(path, 0, &b, &et), &et);
	CHECK_OK(json_parse(buf_str(&b), &doc, &et), &et);
	jw_val(&w, yyjson_obj_get(yyjson_doc_get_root(doc), "tokenizer"));
	CHECK_OK(tokenizer_from_json(buf_str(&json), (struct str){0}, &tk, &et), &et);
	yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc), "cases"), i, n, c)
	{
		struct str text = json_str(c, "text");
		buf_clear(&json);
		yyjson_arr_foreach(yyjson_obj_get(c, "ids"), k, m, id)
			buf_addf(&json, "%s%d", k ? " " : "", yyjson_get_int(id));
		const char *got = ids(tk, text, TOKENIZE_SPECIAL | TOKENIZE_ADD_SPECIAL);
		if (strcmp(got, buf_c(&json)) != 0)
			FAIL("%s: text %zu \"%.*s\": %s, not %s", path, i, STR_FMT(text), got,
				buf_c(&json));
	}
	tokenizer_free(tk);
	yyjson_doc_free(doc);
	buf_free(&b);
	buf_free(&json);
}

static void test_engine_tokenizer__small(void)
{
	char dir[512], path[1024];
	size_t n = 0;
	snprintf(dir, sizeof dir, "%s", tap_source("tests/golden/tokenizers"));
	DIR *d = opendir(dir);
	CHECK(d != NULL);
	for (struct dirent *e; (e = readdir(d));) {
		if (!str_starts(str_c(e->d_name), S("small-")))
			continue;
		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		small_tokenizer(path);
		n++;
	}
	closedir(d);
	CHECK(n >= 10);
}

TESTS(T(test_engine_tokenizer__small), T(test_engine_tokenizer__collections_minilm),
	T(test_engine_tokenizer__collections_qwen3), T(test_engine_tokenizer__collections_yi),
	T(test_engine_tokenizer__collections_smollm2), T(test_engine_tokenizer__tiktoken_gpt2),
	T(test_engine_tokenizer__tiktoken_cl100k), T(test_engine_tokenizer__tiktoken_o200k),
	T(test_engine_tokenizer__qwen3), T(test_engine_tokenizer__yi),
	T(test_engine_tokenizer__chat_prompt), T(test_engine_tokenizer__minilm),
	T(test_engine_tokenizer__smollm2), T(test_engine_tokenizer__hostile_vocabularies),
	T(test_engine_tokenizer__merges))
