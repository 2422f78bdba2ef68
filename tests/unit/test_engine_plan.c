/* The plan of memory, from the header alone, beside what is allocated and what is resident then.
 *
 * Allocations are as planned to the byte. What is resident stays below the plan and TOLERANCE,
 * which is for what the plan leaves out: the tokenizer, the table of blocks, stacks, a request. */
#include "engine/engine.h"
#include "tap.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/os.h"
#include "engine/gguf.h"
#include "kernels/kernels.h"

enum { WIDTH = 512, FFN = 1536, LAYERS = 6, HEADS = 8, KV_HEADS = 4, HEAD = 64, VOCAB = 2048 };
enum { CONTEXT = 512 };
#define TOLERANCE (6ull << 20)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static struct errtext et;

/* ---- a file of zeros with a header ---- */

static unsigned n_keys;

static void p32(struct buf *b, uint32_t v)
{
	buf_add(b, &v, 4);
}

static void p64(struct buf *b, uint64_t v)
{
	buf_add(b, &v, 8);
}

static void pstr(struct buf *b, const char *s)
{
	p64(b, strlen(s));
	buf_addc(b, s);
}

static void key(struct buf *b, const char *name, enum gguf_type type)
{
	n_keys++;
	pstr(b, name);
	p32(b, type);
}

static void number(struct buf *b, const char *name, uint32_t v)
{
	key(b, name, GGUF_U32);
	p32(b, v);
}

static void metadata(struct buf *b)
{
	float eps = 1e-6f;
	char piece[16];
	key(b, "general.architecture", GGUF_STRING), pstr(b, "llama");
	number(b, "llama.block_count", LAYERS);
	number(b, "llama.context_length", 4096);
	number(b, "llama.embedding_length", WIDTH);
	number(b, "llama.feed_forward_length", FFN);
	number(b, "llama.attention.head_count", HEADS);
	number(b, "llama.attention.head_count_kv", KV_HEADS);
	number(b, "llama.rope.dimension_count", HEAD);
	key(b, "llama.attention.layer_norm_rms_epsilon", GGUF_F32), buf_add(b, &eps, 4);
	key(b, "tokenizer.ggml.model", GGUF_STRING), pstr(b, "llama");
	key(b, "tokenizer.ggml.tokens", GGUF_ARRAY), p32(b, GGUF_STRING), p64(b, VOCAB);
	for (unsigned i = 0; i < VOCAB; i++) {
		snprintf(piece, sizeof piece, i < 256 ? "<0x%02X>" : "t%u", i);
		pstr(b, piece);
	}
	key(b, "tokenizer.ggml.scores", GGUF_ARRAY), p32(b, GGUF_F32), p64(b, VOCAB);
	for (unsigned i = 0; i < VOCAB; i++)
		p32(b, 0);
	key(b, "tokenizer.ggml.token_type", GGUF_ARRAY), p32(b, GGUF_I32), p64(b, VOCAB);
	for (unsigned i = 0; i < VOCAB; i++)
		p32(b, i < 256 ? 6 : 1);
}

static unsigned n_tensors;

static void tensor(
	struct buf *b, const char *name, unsigned type, uint64_t rows, uint64_t cols, uint64_t *at)
{
	n_tensors++;
	pstr(b, name);
	p32(b, rows ? 2 : 1);
	p64(b, cols);
	if (rows)
		p64(b, rows);
	p32(b, rows ? type : KERN_F32);
	p64(b, *at);
	uint64_t bytes = rows ? rows * kern_row_bytes(type, cols) : cols * 4;
	*at += (bytes + 31) / 32 * 32;
}

static void write_model(const char *path, unsigned type)
{
	static const struct {
		const char *name;
		uint64_t rows, cols;
	} each[] = {{"attn_norm", 0, WIDTH}, {"attn_q", HEADS * HEAD, WIDTH},
		{"attn_k", KV_HEADS * HEAD, WIDTH}, {"attn_v", KV_HEADS * HEAD, WIDTH},
		{"attn_output", WIDTH, HEADS * HEAD}, {"ffn_norm", 0, WIDTH},
		{"ffn_gate", FFN, WIDTH}, {"ffn_up", FFN, WIDTH}, {"ffn_down", WIDTH, FFN}};
	struct buf meta = {0}, list = {0}, head = {0};
	uint64_t at = 0;
	char name[64];
	n_keys = n_tensors = 0;
	metadata(&meta);
	tensor(&list, "token_embd.weight", type, VOCAB, WIDTH, &at);
	tensor(&list, "output_norm.weight", type, 0, WIDTH, &at);
	for (unsigned l = 0; l < LAYERS; l++)
		for (size_t i = 0; i < ARRAY_LEN(each); i++) {
			snprintf(name, sizeof name, "blk.%u.%s.weight", l, each[i].name);
			tensor(&list, name, type, each[i].rows, each[i].cols, &at);
		}
	buf_addc(&head, "GGUF");
	p32(&head, 3);
	p64(&head, n_tensors);
	p64(&head, n_keys);
	buf_adds(&head, buf_str(&meta));
	buf_adds(&head, buf_str(&list));
	while (head.n % 32)
		buf_putc(&head, 0);
	CHECK_OK(os_write_atomic(path, buf_str(&head), &et), &et);
	CHECK(truncate(path, (off_t)(head.n + at)) == 0);
	buf_free(&meta);
	buf_free(&list);
	buf_free(&head);
}

/* ---- what is resident ---- */

static uint64_t resident(void)
{
	char line[256];
	unsigned long kb = 0;
	FILE *f = fopen("/proc/self/status", "r");
	CHECK(f != NULL);
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "RssAnon: %lu kB", &kb) == 1)
			break;
	fclose(f);
	return (uint64_t)kb << 10;
}

static void keep(void *ctx, const struct memory_plan *p)
{
	*(struct memory_plan *)ctx = *p;
}

/* Reads a whole context, so that every page that a pass and keys and values have is touched. */
static void fill(struct generator *g)
{
	int32_t ids[CONTEXT - 4];
	struct gen_result res = {0};
	for (int i = 0; i < CONTEXT - 4; i++)
		ids[i] = 256 + i;
	struct gen_request r = {.prompt = ids,
		.n_prompt = ARRAY_LEN(ids),
		.max_tokens = 3,
		.sampling = SAMPLING_DEFAULT,
		.top_logprobs = -1};
	CHECK_OK(generator_run(g, &r, &res, &et), &et);
	buf_free(&res.text);
}

static void compare(const char *path, const char *type, bool q8)
{
	struct generator_options go = {
		.context_tokens = CONTEXT, .kv_tokens = CONTEXT, .kv_q8 = q8};
	struct memory_plan before, told = {0};
	struct model_options o = {
		.threads = 2, .generator = &go, .planned = keep, .planned_ctx = &told};
	struct model *m;
	struct generator *g;
	struct generator_stats s;
	uint64_t at_first = resident();
	CHECK_OK(memory_plan_of(path, &o, &before, &et), &et);
	CHECK(SANITIZED || resident() - at_first < (1 << 20)); /* no weight was read */
	CHECK_OK(model_open(path, &o, &m, &et), &et);
	CHECK_OK(generator_new(m, &go, &g, &et), &et);
	generator_stats(g, &s);
	CHECK_STR(str_c(before.weights), type);
	CHECK_INT(told.total_bytes, before.total_bytes);
	CHECK_INT(before.weight_bytes, model_info(m)->resident_bytes);
	CHECK_INT(before.kv_bytes, s.kv_bytes);
	CHECK_INT(before.kv_tokens, s.kv_room);
	CHECK_INT(before.pass_bytes, s.work_bytes);
	CHECK_INT(before.kv_token_bytes, LAYERS * 2 * KV_HEADS * (q8 ? HEAD + 4 : 2 * HEAD));
	CHECK_INT(before.total_bytes, before.weight_bytes + s.kv_bytes + s.work_bytes);
	CHECK_INT(before.least_bytes, before.total_bytes); /* one context is held */
	fill(g);
	uint64_t after = resident() - at_first;
	printf("# %s: planned %.1f MB, resident %.1f MB\n", type, (double)before.total_bytes / 1e6,
		(double)after / 1e6);
	CHECK(SANITIZED || after <= before.total_bytes + TOLERANCE);
	CHECK(SANITIZED || after + TOLERANCE > before.weight_bytes + before.kv_bytes);
	generator_free(g);
	model_unref(m);
}

static void test_engine_plan__is_what_is_allocated(void)
{
	static const unsigned types[] = {KERN_F32, KERN_F16, KERN_BF16, KERN_Q8_0, KERN_Q6_K,
		KERN_Q5_K, KERN_Q5_1, KERN_Q5_0, KERN_Q4_K, KERN_Q4_1, KERN_Q4_0};
	char path[600];
	snprintf(path, sizeof path, "%s/plan.gguf", tap_tmpdir());
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		write_model(path, types[i]);
		compare(path, kern_type_info(types[i])->name, i % 2);
	}
}

/* Refused before the weights are read, with the numbers; and fewer keys and values when there is
 * room for one context only. */
static void test_engine_plan__what_does_not_fit(void)
{
	char path[600], number_text[32];
	struct generator_options go = {.context_tokens = CONTEXT, .sequences_max = 16};
	struct memory_plan all, tight, told = {0};
	struct model_options o = {.threads = 1, .generator = &go};
	struct model *m;
	uint64_t need = 0;
	snprintf(path, sizeof path, "%s/limit.gguf", tap_tmpdir());
	write_model(path, KERN_F32);
	CHECK_OK(memory_plan_of(path, &o, &all, &et), &et);
	CHECK_INT(all.kv_tokens, 4 * CONTEXT);
	CHECK_INT(all.total_bytes - all.least_bytes, 3 * CONTEXT * all.kv_token_bytes);
	o.memory_max = all.least_bytes - 1;
	o.memory_need = &need;
	o.planned = keep;
	o.planned_ctx = &told;
	uint64_t before = resident();
	CHECK_ERR(model_open(path, &o, &m, &et), ERR_LIMIT);
	CHECK(SANITIZED || resident() - before < (1 << 20));
	CHECK_INT(need, all.least_bytes);
	CHECK_INT(told.weight_bytes, all.weight_bytes);
	for (int i = 0; i < 3; i++) {
		uint64_t n[] = {all.weight_bytes, all.least_bytes, o.memory_max};
		snprintf(number_text, sizeof number_text, "%llu", (unsigned long long)n[i]);
		CHECK(strstr(et.msg, number_text));
	}
	o.memory_max = all.least_bytes + CONTEXT * all.kv_token_bytes;
	CHECK_OK(memory_plan_of(path, &o, &tight, &et), &et);
	CHECK_INT(tight.kv_tokens, 2 * CONTEXT);
	CHECK_OK(model_open(path, &o, &m, &et), &et);
	struct generator *g;
	struct generator_stats s;
	CHECK_OK(generator_new(m, &go, &g, &et), &et);
	generator_stats(g, &s);
	CHECK_INT(s.kv_room, 2 * CONTEXT);
	generator_free(g);
	model_unref(m);
}

/* A model that writes drafts, before it is open: what is planned is not less than what it takes. */
static void test_engine_plan__of_drafts(void)
{
	char path[600];
	struct memory_plan small, both;
	struct generator_options gd = {.context_at_most = true};
	struct generator_options go = {.context_tokens = CONTEXT, .drafting_plan = &small};
	struct model *m, *d;
	struct generator *g;
	struct generator_stats s;
	snprintf(path, sizeof path, "%s/drafts.gguf", tap_tmpdir());
	write_model(path, KERN_Q4_0);
	struct model_options o = {.threads = 1, .generator = &gd};
	CHECK_OK(memory_plan_of(path, &o, &small, &et), &et);
	CHECK_INT(small.context_tokens, 4096); /* the model's own */
	o.generator = &go;
	CHECK_OK(memory_plan_of(path, &o, &both, &et), &et);
	CHECK_OK(model_open(path, &o, &m, &et), &et);
	CHECK_OK(model_open(path, &o, &d, &et), &et);
	go.drafting = d;
	CHECK_OK(generator_new(m, &go, &g, &et), &et);
	generator_stats(g, &s);
	CHECK(s.drafting_bytes > 0 && s.drafting_bytes <= both.drafting_bytes);
	CHECK(both.drafting_bytes - s.drafting_bytes < 2 * both.pass_bytes);
	generator_free(g);
	model_unref(m);
	model_unref(d);
}

static void test_engine_plan__of_an_encoder(void)
{
	const char *path = tap_model("minilm");
	struct model_options o = {.threads = 2};
	struct memory_plan p;
	struct model *m;
	float out[384];
	uint64_t before = resident();
	CHECK_OK(memory_plan_of(path, &o, &p, &et), &et);
	CHECK_OK(model_open(path, &o, &m, &et), &et);
	CHECK_INT(p.total_bytes, model_info(m)->resident_bytes);
	CHECK_INT(p.total_bytes, p.weight_bytes + p.pass_bytes);
	CHECK_INT(p.kv_bytes, 0);
	CHECK_INT(p.context_max, model_info(m)->context_max);
	struct str text = S("What fits?");
	CHECK_OK(embed_texts(m, &text, 1, false, out, NULL, NULL, NULL, &et), &et);
	CHECK(SANITIZED || resident() - before <= p.total_bytes + 2 * TOLERANCE); /* its words */
	model_unref(m);
}

static void test_engine_plan__of_what_is_no_model(void)
{
	struct memory_plan p;
	CHECK(memory_plan_of("/nowhere", NULL, &p, &et) != OK);
	CHECK_ERR(memory_plan_of(tap_model("minilm"),
			  &(struct model_options){.generator = &(struct generator_options){0}}, &p,
			  &et),
		OK); /* an encoder has no generator, whatever is asked */
}

TESTS(T_LONG(test_engine_plan__is_what_is_allocated, 120), T(test_engine_plan__what_does_not_fit),
	T(test_engine_plan__of_drafts), T(test_engine_plan__of_an_encoder),
	T(test_engine_plan__of_what_is_no_model))
