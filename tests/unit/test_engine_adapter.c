/* LoRA adapters with values from a formula, on small models of every family: the adapter in either
 * format on a base in either layout is the model with scale * B A added to its weights; answers do
 * not depend on who else is in a pass; what is not computed is refused by its name.
 *
 * CROFT_TINY_OUT=folder writes the models and adapters there, for the oracle. */
#include "tap.h"
#include "tiny_model.h"

#include "base/thread.h"
#include "kernels/kernels.h"

enum { RANK = 5, DOWN_RANK = 3 };

/* ---- an adapter ---- */

struct spec {
	const char *name;
	double alpha;
	bool rslora, patterns; /* patterns: mlp.down_proj has another rank, layer 1's q an alpha */
	bool rest;             /* the mlp and the output too, not q and v alone */
};
static const struct spec specs[] = {
	{"plain", 10, false, false, false},
	{"all", 7, false, false, true},
	{"patterns", 6, true, true, true},
};

static const struct spec *merged; /* what tiny_more adds */

static bool is_q1(const struct tensor *t)
{
	return strstr(t->gguf, "blk.1.attn_q.weight") != NULL;
}

static bool has(const struct spec *s, const struct tensor *t)
{
	if (!t->rows || strstr(t->gguf, "token_embd"))
		return false;
	return s->rest || strstr(t->gguf, "attn_q") || strstr(t->gguf, "attn_v");
}

static size_t rank_of(const struct spec *s, const struct tensor *t)
{
	return s->patterns && strstr(t->gguf, "ffn_down") ? DOWN_RANK : RANK;
}

static double scale_of(const struct spec *s, const struct tensor *t)
{
	double alpha = s->patterns && is_q1(t) ? 13 : s->alpha, rank = (double)rank_of(s, t);
	return alpha / (s->rslora ? sqrt(rank) : rank);
}

/* As F16 holds it, which is what they are packed as. */
static float half(float v)
{
	return kern_f16_to_f32(kern_f32_to_f16(v));
}

/* Values of A[j][col] and, at the row of the GGUF tensor, B[row][j]. */
static float a_at(const struct spec *s, const struct tensor *t, size_t j, size_t col)
{
	char name[128];
	snprintf(name, sizeof name, "%s %s a", s->name, t->gguf);
	return half(0.3f * value(name, j * t->cols + col));
}

static float b_at(const struct spec *s, const struct tensor *t, size_t row, size_t j)
{
	char name[128];
	snprintf(name, sizeof name, "%s %s b", s->name, t->gguf);
	return half(0.3f * value(name, row * rank_of(s, t) + j));
}

static float more(const struct family *f, const struct tensor *t, size_t row, size_t col)
{
	double sum = 0;
	if (!has(merged, t))
		return 0;
	for (size_t j = 0; j < rank_of(merged, t); j++)
		sum += (double)b_at(merged, t, row, j) * (double)a_at(merged, t, j, col);
	return (float)(sum * scale_of(merged, t));
}

static void put_a(struct buf *b, const struct spec *s, const struct tensor *t)
{
	for (size_t j = 0; j < rank_of(s, t); j++)
		for (size_t c = 0; c < t->cols; c++) {
			float v = a_at(s, t, j, c);
			buf_add(b, &v, 4);
		}
}

static void put_b(struct buf *b, const struct family *f, const struct spec *s,
	const struct tensor *t, bool hf)
{
	for (size_t r = 0; r < t->rows; r++)
		for (size_t j = 0; j < rank_of(s, t); j++) {
			float v = b_at(s, t, hf ? gguf_row(f, t, r) : r, j);
			buf_add(b, &v, 4);
		}
}

/* ---- its files ---- */

static void lora_info(struct buf *b, const struct tensor *t, const char *end, uint64_t rows,
	uint64_t cols, uint64_t *at)
{
	char name[128];
	snprintf(name, sizeof name, "%s.%s", t->gguf, end);
	pstr(b, str_c(name));
	p32(b, 2);
	p64(b, cols);
	p64(b, rows);
	p32(b, KERN_F32);
	p64(b, *at);
	*at += (rows * cols * 4 + 31) / 32 * 32;
}

static void write_gguf_adapter(const struct family *f, const struct spec *s, const char *path)
{
	struct tensor t[64];
	size_t n = list(f, t), have = 0;
	struct buf meta = {0}, b = {0};
	uint64_t at = 0;
	n_keys = 0;
	key(&meta, "general.architecture", GGUF_STRING);
	pstr(&meta, str_c(f->name));
	key(&meta, "general.type", GGUF_STRING);
	pstr(&meta, S("adapter"));
	key(&meta, "adapter.type", GGUF_STRING);
	pstr(&meta, S("lora"));
	key_f32(&meta, "adapter", "lora.alpha", (float)s->alpha);
	for (size_t i = 0; i < n; i++)
		have += has(s, &t[i]);
	buf_addc(&b, "GGUF");
	p32(&b, 3);
	p64(&b, 2 * have);
	p64(&b, n_keys);
	buf_adds(&b, buf_str(&meta));
	for (size_t i = 0; i < n; i++)
		if (has(s, &t[i])) {
			lora_info(&b, &t[i], "lora_a", rank_of(s, &t[i]), t[i].cols, &at);
			lora_info(&b, &t[i], "lora_b", t[i].rows, rank_of(s, &t[i]), &at);
		}
	pad(&b);
	for (size_t i = 0; i < n; i++)
		if (has(s, &t[i])) {
			put_a(&b, s, &t[i]);
			pad(&b);
			put_b(&b, f, s, &t[i], false);
			pad(&b);
		}
	CHECK_INT(b.err, OK);
	CHECK_OK(os_write_atomic(path, buf_str(&b), &et), &et);
	buf_free(&meta);
	buf_free(&b);
}

static void st_info(
	struct jw *w, const struct tensor *t, const char *end, size_t rows, size_t cols, size_t *at)
{
	char name[192];
	snprintf(name, sizeof name, "base_model.model.%.*s.%s", (int)strlen(t->hf) - 7, t->hf, end);
	jw_key(w, name);
	jw_obj(w);
	jw_kc(w, "dtype", "F32");
	jw_key(w, "shape");
	jw_arr(w);
	jw_u64(w, rows);
	jw_u64(w, cols);
	jw_end(w);
	jw_key(w, "data_offsets");
	jw_arr(w);
	jw_u64(w, *at);
	jw_u64(w, *at += rows * cols * 4);
	jw_end(w);
	jw_end(w);
}

static void adapter_config(const struct spec *s, const char *dir, const char *more_members)
{
	struct buf b = {0};
	buf_addf(&b,
		"{\"peft_type\":\"LORA\",\"r\":%d,\"lora_alpha\":%g,\"use_rslora\":%s,"
		"\"bias\":\"none\",\"fan_in_fan_out\":false,\"modules_to_save\":null,"
		"\"base_model_name_or_path\":\"tiny\"%s%s}",
		RANK, s->alpha, s->rslora ? "true" : "false",
		s->patterns ? ",\"rank_pattern\":{\"down_proj\":3},"
			      "\"alpha_pattern\":{\"layers.1.*q_proj\":13}"
			    : "",
		more_members);
	write_file(dir, "adapter_config.json", &b);
	buf_free(&b);
}

static void write_peft(const struct family *f, const struct spec *s, const char *dir)
{
	struct tensor t[64];
	size_t n = list(f, t), at = 0;
	struct buf head = {0}, b = {0};
	struct jw w = {.out = &head};
	CHECK_OK(os_mkdirs(dir, &et), &et);
	adapter_config(s, dir, "");
	jw_obj(&w);
	for (size_t i = 0; i < n; i++)
		if (has(s, &t[i])) {
			st_info(&w, &t[i], "lora_A.weight", rank_of(s, &t[i]), t[i].cols, &at);
			st_info(&w, &t[i], "lora_B.weight", t[i].rows, rank_of(s, &t[i]), &at);
		}
	jw_end(&w);
	p64(&b, head.n);
	buf_adds(&b, buf_str(&head));
	for (size_t i = 0; i < n; i++)
		if (has(s, &t[i])) {
			put_a(&b, s, &t[i]);
			put_b(&b, f, s, &t[i], true);
		}
	write_file(dir, "adapter_model.safetensors", &b);
	buf_free(&head);
	buf_free(&b);
}

/* ---- the tests ---- */

static float *logits_with(const char *base, const char *adapter)
{
	struct model *m;
	struct adapter *a = NULL;
	int32_t ids[N_IDS];
	the_ids(ids);
	CHECK_OK(model_open(base, &(struct model_options){.threads = 2}, &m, &et), &et);
	if (adapter)
		CHECK_OK(adapter_open(adapter, m, NULL, &a, &et), &et);
	float *out = malloc(N_IDS * VOCAB * sizeof *out);
	CHECK(out != NULL);
	CHECK_OK(model_logits(m, a, ids, N_IDS, out, NULL, &et), &et);
	model_unref(m);
	adapter_unref(a);
	return out;
}

static double most_apart(const float *a, const float *b)
{
	double most = 0;
	for (size_t k = 0; k < N_IDS * VOCAB; k++)
		most = fmax(most, fabs((double)a[k] - (double)b[k]));
	return most;
}

/* golden/engine/adapters.json: {"reference": ..., "llama-plain": [[position, [logits...]], ...] */
static void beside(yyjson_val *golden, const char *name, const float *got, double at_most)
{
	yyjson_val *rows = yyjson_obj_get(golden, name), *row;
	double most = 0;
	size_t k, n;
	yyjson_arr_foreach(rows, k, n, row)
	{
		size_t at = yyjson_get_uint(yyjson_arr_get(row, 0));
		yyjson_val *want = yyjson_arr_get(row, 1);
		CHECK(at < N_IDS && yyjson_arr_size(want) == VOCAB);
		for (size_t c = 0; c < VOCAB; c++)
			most = fmax(most, fabs(yyjson_get_num(yyjson_arr_get(want, c)) -
						  (double)got[at * VOCAB + c]));
	}
	CHECK(yyjson_arr_size(rows) >= 3);
	tap_note("%s: %.2g from the reference's", name, most);
	CHECK(most < at_most);
}

static void one_family(
	const char *dir, const struct family *f, const struct spec *s, yyjson_val *golden)
{
	char base[2][4096], of[2][4096], whole[4096];
	path_of(base[0], dir, f, ".gguf");
	path_of(base[1], dir, f, "");
	snprintf(of[0], 4096, "%s/%s-%s.gguf", dir, f->name, s->name);
	snprintf(of[1], 4096, "%s/%s-%s", dir, f->name, s->name);
	snprintf(whole, 4096, "%s/%s-%s-merged.gguf", dir, f->name, s->name);
	write_gguf(f, base[0]);
	write_folder(f, base[1]);
	write_gguf_adapter(f, s, of[0]);
	write_peft(f, s, of[1]);
	merged = s;
	tiny_more = more;
	write_gguf(f, whole);
	tiny_more = NULL;
	float *want = logits_with(whole, NULL), *plain = logits_with(base[0], NULL);
	CHECK(most_apart(want, plain) > 0.2);
	for (int b = 0; b < 2; b++)
		for (int a = s->patterns ? 1 : 0; a < 2; a++) { /* GGUF has one alpha for all */
			float *got = logits_with(base[b], of[a]);
			double off = most_apart(want, got);
			tap_note("%s %s, base %s, adapter %s: %.2g apart", f->name, s->name,
				b ? "folder" : "gguf", a ? "peft" : "gguf", off);
			CHECK(off < 1e-2); /* a key or value may round to the next half */
			free(got);
		}
	char name[64];
	snprintf(name, sizeof name, "%s-%s", f->name, s->name);
	if (golden && !s->patterns)
		beside(golden, name, want, 1.5e-2);
	free(want);
	free(plain);
}

static void test_engine_adapter__is_the_merged_model(void)
{
	const char *out = getenv("CROFT_TINY_OUT"), *dir = out ? out : tap_tmpdir();
	struct buf text = {0};
	yyjson_doc *doc = NULL;
	if (!out) {
		CHECK_OK(os_read_file(
				 tap_source("tests/golden/engine/adapters.json"), 0, &text, &et),
			&et);
		CHECK_OK(json_parse(buf_str(&text), &doc, &et), &et);
	}
	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		for (size_t k = 0; k < ARRAY_LEN(specs); k++)
			one_family(dir, &families[i], &specs[k], yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	buf_free(&text);
}

/* golden/engine/peft: an adapter that PEFT has trained and written (tools/oracle/peft_adapter.py),
 * and the logits of Hugging Face's model with it. */
static void test_engine_adapter__what_peft_has_trained(void)
{
	const char *out = getenv("CROFT_TINY_OUT"), *dir = out ? out : tap_tmpdir();
	struct family f = families[0];
	char base[2][4096];
	f.llama3 = false; /* the reference is older */
	path_of(base[0], dir, &f, ".gguf");
	path_of(base[1], dir, &f, "");
	write_folder(&f, base[1]);
	if (out)
		return;
	struct buf text = {0};
	yyjson_doc *doc = NULL;
	write_gguf(&f, base[0]);
	CHECK_OK(os_read_file(tap_source("tests/golden/engine/peft/logits.json"), 0, &text, &et),
		&et);
	CHECK_OK(json_parse(buf_str(&text), &doc, &et), &et);
	for (int b = 0; b < 2; b++) {
		float *got = logits_with(base[b], tap_source("tests/golden/engine/peft"));
		beside(yyjson_doc_get_root(doc), "logits", got,
			5e-2); /* keys and values are floats there, halves here */
		free(got);
	}
	yyjson_doc_free(doc);
	buf_free(&text);
}

/* ---- many at once ---- */

enum { PROMPT = 150, TOKENS = 24, TOP = 4 };

struct ask {
	struct generator *g;
	const struct adapter *a;
	int shift; /* another prompt */
	uint32_t cached;
	int32_t ids[TOKENS];
	float logprob[TOKENS][TOP];
	struct buf text;
};

static bool note(void *ctx, const struct gen_event *ev)
{
	struct ask *k = ctx;
	if (ev->token >= 0 && ev->index < TOKENS) {
		k->ids[ev->index] = ev->token;
		for (int i = 0; i < TOP; i++)
			k->logprob[ev->index][i] = ev->top[i].logprob;
	}
	return true;
}

static void *ask(void *arg)
{
	struct ask *k = arg;
	int32_t prompt[PROMPT];
	struct errtext mine;
	struct gen_result res;
	for (int i = 0; i < PROMPT; i++)
		prompt[i] = (i * 31 + i * i * 7 + k->shift) % 256;
	struct gen_request r = {.prompt = prompt,
		.n_prompt = PROMPT,
		.max_tokens = TOKENS,
		.sampling = {.temperature = 1.5f, .top_p = 1, .repeat_penalty = 1, .seed = 7},
		.top_logprobs = TOP,
		.adapter = k->a,
		.on_token = note,
		.ctx = k};
	CHECK_OK(generator_run(k->g, &r, &res, &mine), &mine);
	k->cached = res.cached_tokens;
	k->text = res.text;
	return NULL;
}

static bool same(const struct ask *a, const struct ask *b)
{
	return !memcmp(a->ids, b->ids, sizeof a->ids) &&
	       !memcmp(a->logprob, b->logprob, sizeof a->logprob) &&
	       str_eq(buf_str(&a->text), buf_str(&b->text));
}

struct setting {
	struct model *m;
	struct adapter *a[3]; /* [2]: none */
};

static void set_up(const char *dir, unsigned threads, struct setting *s)
{
	const struct family *f = &families[0];
	char base[4096], of[4096];
	path_of(base, dir, f, ".gguf");
	write_gguf(f, base);
	*s = (struct setting){0};
	CHECK_OK(model_open(base, &(struct model_options){.threads = threads}, &s->m, &et), &et);
	for (int i = 0; i < 2; i++) {
		snprintf(of, sizeof of, "%s/%s", dir, specs[i].name);
		write_peft(f, &specs[i], of);
		CHECK_OK(adapter_open(of, s->m, NULL, &s->a[i], &et), &et);
	}
}

static void tear_down(struct setting *s)
{
	adapter_unref(s->a[0]);
	adapter_unref(s->a[1]);
	model_unref(s->m);
}

static void fresh(const struct setting *s, struct generator **g)
{
	CHECK_OK(generator_new(s->m,
			 &(struct generator_options){.context_tokens = 256, .sequences_max = 8}, g,
			 &et),
		&et);
}

/* Alone, each from a generator that knows nothing; then all at once, with 1 and with 2 threads. */
static void test_engine_adapter__answers_are_the_same_in_any_company(void)
{
	enum { N = 9 };
	static struct ask alone[N], mixed[N];
	for (unsigned threads = 1; threads <= 2; threads++) {
		struct setting s;
		struct generator *g;
		pthread_t t[N];
		set_up(tap_tmpdir(), threads, &s);
		for (int i = 0; i < N && threads == 1; i++) {
			fresh(&s, &g);
			alone[i] = (struct ask){.g = g, .a = s.a[i % 3], .shift = i / 3};
			ask(&alone[i]);
			generator_free(g);
			CHECK_INT(alone[i].cached, 0);
		}
		fresh(&s, &g);
		for (int i = 0; i < N; i++) {
			mixed[i] = (struct ask){.g = g, .a = s.a[i % 3], .shift = i / 3};
			CHECK_OK(thread_start(&t[i], ask, &mixed[i], "ask", &et), &et);
		}
		for (int i = 0; i < N; i++) {
			pthread_join(t[i], NULL);
			CHECK(same(&alone[i], &mixed[i]));
			buf_free(&mixed[i].text);
		}
		generator_free(g);
		tear_down(&s);
	}
	CHECK(!same(&alone[0], &alone[1]) && !same(&alone[0], &alone[2]));
	for (int i = 0; i < N; i++)
		buf_free(&alone[i].text);
}

static void test_engine_adapter__what_one_has_read_is_not_anothers(void)
{
	struct setting s;
	struct generator *g;
	set_up(tap_tmpdir(), 2, &s);
	fresh(&s, &g);
	struct ask first[3], again[3];
	for (int i = 0; i < 3; i++) {
		first[i] = (struct ask){.g = g, .a = s.a[i]};
		ask(&first[i]);
		CHECK_INT(first[i].cached, 0); /* the same prompt, of another adapter */
	}
	for (int i = 0; i < 3; i++) {
		again[i] = (struct ask){.g = g, .a = s.a[i]};
		ask(&again[i]);
		CHECK(again[i].cached >= 128 && same(&first[i], &again[i]));
		buf_free(&first[i].text);
		buf_free(&again[i].text);
	}
	struct setting other;
	set_up(tap_tmpdir(), 1, &other);
	struct gen_request r = {
		.prompt = &(int32_t){1}, .n_prompt = 1, .max_tokens = 1, .adapter = other.a[0]};
	struct gen_result res;
	CHECK_ERR(generator_run(g, &r, &res, &et), ERR_INVALID);
	CHECK(strstr(et.msg, "another model") != NULL);
	generator_free(g);
	tear_down(&s);
	tear_down(&other);
}

/* ---- what is refused ---- */

static void test_engine_adapter__what_is_not_computed_is_refused_by_name(void)
{
	static const struct {
		const char *members, *word;
	} rows[] = {
		{",\"use_dora\":true", "DoRA"},
		{",\"fan_in_fan_out\":true", "fan_in_fan_out"},
		{",\"modules_to_save\":[\"lm_head\"]", "modules_to_save"},
		{",\"layer_replication\":[[0,1]]", "layer_replication"},
		{",\"lora_bias\":true", "lora_bias"},
		{",\"bias\":\"all\"", "bias"},
		{",\"init_lora_weights\":\"pissa_niter_4\"", "pissa"},
		{",\"trainable_token_indices\":{\"embed_tokens\":[1]}", "trainable_token_indices"},
		{",\"alora_invocation_tokens\":[1,2]", "alora_invocation_tokens"},
		{",\"peft_type\":\"IA3\"", "IA3"},
	};
	const struct family *f = &families[0];
	const char *dir = tap_tmpdir();
	char base[4096], of[4096];
	struct model *m;
	struct adapter *a;
	path_of(base, dir, f, ".gguf");
	snprintf(of, sizeof of, "%s/adapter", dir);
	write_gguf(f, base);
	write_peft(f, &specs[0], of);
	CHECK_OK(model_open(base, &(struct model_options){.threads = 1}, &m, &et), &et);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf b = {0};
		buf_addf(&b, "{%s,\"r\":5,\"lora_alpha\":10%s}", rows[i].members + 1,
			strstr(rows[i].members, "peft_type") ? "" : ",\"peft_type\":\"LORA\"");
		write_file(of, "adapter_config.json", &b);
		buf_free(&b);
		CHECK_ERR(adapter_open(of, m, NULL, &a, &et), ERR_UNSUPPORTED);
		CHECK(strstr(et.msg, rows[i].word) != NULL);
	}
	struct buf b = {0};
	buf_addc(&b, "{\"peft_type\":\"LORA\",\"r\":8,\"lora_alpha\":10}");
	write_file(of, "adapter_config.json", &b); /* the tensors have 5 */
	buf_free(&b);
	CHECK_ERR(adapter_open(of, m, NULL, &a, &et), ERR_CORRUPT);
	CHECK(strstr(et.msg, "lora_A") && strstr(et.msg, "5") && strstr(et.msg, "8"));
	adapter_config(&specs[0], of, "");
	uint64_t need = 0;
	struct model_options tight = {.memory_max = 100, .memory_need = &need};
	CHECK_ERR(adapter_open(of, m, &tight, &a, &et), ERR_LIMIT);
	CHECK(need > 100);
	tight.memory_max = need;
	CHECK_OK(adapter_open(of, m, &tight, &a, &et), &et);
	CHECK_INT(adapter_info(a)->resident_bytes, need);
	CHECK_INT(adapter_info(a)->rank_max, RANK);
	CHECK_INT(adapter_info(a)->matrices, 2 * LAYERS);
	CHECK(!strcmp(adapter_info(a)->base, "tiny"));
	adapter_unref(a);
	model_unref(m);
}

static void test_engine_adapter__what_does_not_fit_is_named(void)
{
	const char *dir = tap_tmpdir();
	char base[4096], of[4096];
	struct model *m;
	struct adapter *a;
	struct family f = families[0];
	path_of(base, dir, &f, ".gguf");
	write_gguf(&f, base);
	CHECK_OK(model_open(base, &(struct model_options){.threads = 1}, &m, &et), &et);
	f.head_dim = 32; /* q is twice as wide */
	for (int gguf = 0; gguf < 2; gguf++) {
		snprintf(of, sizeof of, "%s/wide%s", dir, gguf ? ".gguf" : "");
		if (gguf)
			write_gguf_adapter(&f, &specs[0], of);
		else
			write_peft(&f, &specs[0], of);
		CHECK_ERR(adapter_open(of, m, NULL, &a, &et), ERR_INVALID);
		CHECK(strstr(et.msg, gguf ? "attn_q.weight.lora_b" : "q_proj.lora_B.weight"));
		CHECK(strstr(et.msg, "128 x 5") && strstr(et.msg, "64 x 5"));
	}
	f = families[1];
	snprintf(of, sizeof of, "%s/qwen.gguf", dir);
	write_gguf_adapter(&f, &specs[0], of);
	CHECK_ERR(adapter_open(of, m, NULL, &a, &et), ERR_INVALID);
	CHECK(strstr(et.msg, "qwen2") && strstr(et.msg, "llama"));
	CHECK_ERR(adapter_open(base, m, NULL, &a, &et), ERR_INVALID); /* a model */
	CHECK(strstr(et.msg, "no adapter") != NULL);
	CHECK_ERR(adapter_open(dir, m, NULL, &a, &et), ERR_INVALID); /* several GGUF files */
	snprintf(of, sizeof of, "%s/empty", dir);
	CHECK_OK(os_mkdirs(of, &et), &et);
	CHECK_ERR(adapter_open(of, m, NULL, &a, &et), ERR_NOT_FOUND);
	CHECK(strstr(et.msg, "adapter_model.safetensors") != NULL);
	struct buf b = {0};
	write_file(of, "adapter_model.bin", &b);
	CHECK_ERR(adapter_open(of, m, NULL, &a, &et), ERR_UNSUPPORTED);
	CHECK(strstr(et.msg, "pickle") != NULL);
	/* half a pair, and the embeddings: names changed in the header, which keeps its length */
	static const char *const to[][3] = {
		{"layers.1.self_attn.v_proj.lora_A", "layers.1.self_attn.v_proj.lora_X", "lora_A"},
		{"layers.1.self_attn.v_proj.lora_", "layers.7.self_attn.v_proj.lora_",
			"layers.7.self_attn.v_proj"},
		{"lora_B", "lora_C", "lora_B"},
	};
	for (size_t i = 0; i < ARRAY_LEN(to); i++) {
		snprintf(of, sizeof of, "%s/half%zu", dir, i);
		write_peft(&families[0], &specs[0], of);
		char file[4200];
		snprintf(file, sizeof file, "%s/adapter_model.safetensors", of);
		buf_clear(&b);
		CHECK_OK(os_read_file(file, 0, &b, &et), &et);
		for (size_t at; (at = str_find(buf_str(&b), str_c(to[i][0]))) != STR_NONE;)
			memcpy(b.p + at, to[i][1], strlen(to[i][1]));
		CHECK_OK(os_write_atomic(file, buf_str(&b), &et), &et);
		enum err e = adapter_open(of, m, NULL, &a, &et);
		CHECK(e == ERR_CORRUPT || e == ERR_INVALID);
		CHECK(strstr(et.msg, to[i][2]) != NULL);
	}
	buf_free(&b);
	model_unref(m);
}

TESTS(T(test_engine_adapter__is_the_merged_model), T(test_engine_adapter__what_peft_has_trained),
	T(test_engine_adapter__answers_are_the_same_in_any_company),
	T(test_engine_adapter__what_one_has_read_is_not_anothers),
	T(test_engine_adapter__what_is_not_computed_is_refused_by_name),
	T(test_engine_adapter__what_does_not_fit_is_named))
