#include "tap.h"
#include "access/access.h"
#include "base/thread.h"
#include "endpoint/endpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct errtext et;
static const struct module *const modules[] = {
	&access_module, &registry_module, &artifact_module, &endpoint_module};
static struct croft *shared;

static struct croft *open_croft(void)
{
	struct croft *c;
	struct croft_options o = {
		.modules = modules, .n_modules = ARRAY_LEN(modules), .home = tap_tmpdir()};
	CHECK_OK(croft_open(&o, &c, &et), &et);
	return c;
}

static void pull(struct croft *c, const char *path, const char *name)
{
	struct buf b = {0};
	CHECK_OK(model_pull(c, str_c(path), str_c(name), NULL, NULL, NULL, &b, &et), &et);
	buf_free(&b);
}

static void pull_defaults(struct croft *c)
{
	pull(c, tap_model("smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"), "smollm2-135m-instruct");
	pull(c, tap_model("minilm"), "all-minilm-l6-v2");
}

static void *open_it(void *arg)
{
	struct endpoint *e;
	if (!endpoint_embed(shared, S(""), &e, NULL))
		*(struct endpoint **)arg = e;
	return NULL;
}

static void test_endpoint__one_opening_for_all_who_wait(void)
{
	shared = open_croft();
	pull_defaults(shared);
	struct endpoint *got[8] = {0};
	pthread_t t[8];
	for (size_t i = 0; i < 8; i++)
		CHECK_OK(thread_start(&t[i], open_it, &got[i], "open", &et), &et);
	for (size_t i = 0; i < 8; i++)
		pthread_join(t[i], NULL);
	for (size_t i = 0; i < 8; i++)
		CHECK(got[i] && got[i] == got[0]);
	CHECK_STR(endpoint_name(got[0]), "all-minilm-l6-v2");
	CHECK(!endpoint_generator(got[0]));
	float v[384];
	struct str text = S("hello");
	CHECK_INT(model_info(endpoint_model(got[0]))->embedding_dim, 384);
	CHECK_OK(embed_texts(endpoint_model(got[0]), &text, 1, false, v, NULL, NULL, NULL, &et),
		&et);
	for (size_t i = 0; i < 8; i++)
		endpoint_put(got[i]);
	croft_close(shared);
}

static void test_endpoint__chat_by_name_and_default(void)
{
	struct croft *c = open_croft();
	struct endpoint *a, *b, *x;
	pull_defaults(c);
	CHECK_OK(endpoint_chat(c, S(""), &a, &et), &et);
	CHECK_OK(endpoint_chat(c, S("SmolLM2-135M-Instruct"), &b, &et), &et);
	CHECK(a == b && endpoint_generator(a));
	CHECK_ERR(endpoint_chat(c, S("all-minilm-l6-v2"), &x, &et), ERR_INVALID);
	CHECK_ERR(endpoint_chat(c, S("gpt-4o"), &x, &et), ERR_NOT_FOUND);
	CHECK_ERR(endpoint_chat(c, S("qwen3-0.6b"), &x, &et), ERR_NOT_FOUND);
	CHECK(strstr(et.msg, "croft pull qwen3-0.6b"));
	endpoint_put(b);
	/* removed, it stays usable for who has it, and nobody else gets it */
	CHECK_OK(installed_remove(c, S("smollm2-135m-instruct"), &et), &et);
	CHECK_ERR(endpoint_chat(c, S("smollm2-135m-instruct"), &x, &et), ERR_NOT_FOUND);
	CHECK(model_info(endpoint_model(a))->layers > 0);
	endpoint_put(a);
	croft_close(c);
}

static void test_endpoint__ready_once_the_defaults_are_open(void)
{
	struct croft *c = open_croft();
	CHECK_OK(endpoint_module.ready(c, &et), &et); /* no server: models are opened when needed */
	CHECK_OK(endpoint_module.start(c, &et), &et);
	CHECK_ERR(endpoint_module.ready(c, &et), ERR_NOT_READY);
	for (int i = 0; i < 200 && !strstr(et.msg, "croft pull"); i++) {
		usleep(10000);
		CHECK_ERR(endpoint_module.ready(c, &et), ERR_NOT_READY);
	}
	CHECK(strstr(et.msg, "croft pull")); /* says what is missing */
	pull_defaults(c);
	enum err e = ERR_NOT_READY;
	for (int i = 0; i < 1500 && e; i++) {
		usleep(10000);
		e = endpoint_module.ready(c, &et);
	}
	CHECK_OK(e, &et);
	struct buf b = {0};
	endpoint_module.metrics(c, &b);
	CHECK(str_find(buf_str(&b),
		      S("croft_model_open{model=\"all-minilm-l6-v2\",purpose=\"embed\"} 1")) !=
		STR_NONE);
	buf_free(&b);
	croft_close(c);
}

static void test_endpoint__a_model_that_fails_to_open(void)
{
	struct croft *c = open_croft();
	struct endpoint *x;
	char path[600];
	pull(c, tap_model("minilm"), "all-minilm-l6-v2");
	snprintf(path, sizeof path, "%s/models/all-minilm-l6-v2/model.safetensors", tap_tmpdir());
	CHECK(truncate(path, 100000) == 0);
	for (int i = 0; i < 3; i++) {
		CHECK(endpoint_embed(c, S(""), &x, &et) != OK);
		CHECK(strstr(et.msg, "all-minilm-l6-v2"));
	}
	croft_close(c);
}

/* ---- the budget of memory ---- */

static struct croft *open_with_budget(const char *bytes)
{
	struct http_pair flags[] = {
		{S("engine.memory_bytes"), str_c(bytes)}, {S("chat.context_tokens"), S("256")}};
	struct croft_options o = {.modules = modules,
		.n_modules = ARRAY_LEN(modules),
		.home = tap_tmpdir(),
		.flags = flags,
		.n_flags = ARRAY_LEN(flags)};
	struct croft *c;
	CHECK_OK(croft_open(&o, &c, &et), &et);
	return c;
}

static void names(void *ctx, const struct endpoint_live *l)
{
	buf_addf(ctx, "%.*s:%d ", STR_FMT(l->name), (int)l->users);
}

static void nothing(void *ctx, const struct endpoint_live *l)
{
	(void)ctx;
	(void)l;
}

static const char *open_now(struct croft *c)
{
	static struct buf b;
	buf_clear(&b);
	endpoint_each_live(c, names, &b);
	return buf_c(&b);
}

static void *use_twin(void *arg)
{
	struct croft *c = arg;
	struct endpoint *e;
	struct errtext why;
	for (int i = 0; i < 6; i++) {
		enum err got = endpoint_chat(c, i % 2 ? S("one") : S("two"), &e, &why);
		if (!got) {
			if (!model_info(endpoint_model(e))->layers)
				FAIL("a model was freed under its user");
			usleep(1000);
			endpoint_put(e);
		} else if (got != ERR_BUSY) {
			FAIL("%s", why.msg);
		}
	}
	return NULL;
}

static void test_endpoint__a_budget_closes_what_nobody_uses(void)
{
	struct endpoint *one, *x;
	char budget[32];
	struct croft *c = open_with_budget("0");
	pull(c, tap_model("smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"), "one");
	pull(c, tap_model("smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"), "two");
	CHECK_OK(endpoint_load(c, S("one"), &et), &et);
	uint64_t each = endpoint_each_live(c, nothing, NULL);
	CHECK(each > 50000000);
	CHECK_OK(endpoint_load(c, S("two"), &et), &et);
	CHECK_STR(str_c(open_now(c)), "two:0 one:0 "); /* no limit */
	CHECK_OK(endpoint_unload(c, S("two"), &et), &et);
	CHECK_ERR(endpoint_unload(c, S("two"), &et), ERR_NOT_FOUND);
	CHECK_ERR(endpoint_load(c, S("three"), &et), ERR_NOT_FOUND);
	CHECK_INT(endpoint_each_live(c, nothing, NULL), each);
	croft_close(c);

	snprintf(budget, sizeof budget, "%llu", (unsigned long long)(each + each / 2));
	c = open_with_budget(budget);
	CHECK_OK(endpoint_chat(c, S("one"), &one, &et), &et);
	CHECK_ERR(endpoint_chat(c, S("two"), &x, &et), ERR_BUSY); /* one is in use */
	CHECK(strstr(et.msg, budget) && strstr(et.msg, "two"));
	CHECK_ERR(endpoint_unload(c, S("one"), &et), ERR_BUSY);
	CHECK_STR(str_c(open_now(c)), "one:1 ");
	endpoint_put(one);
	CHECK_OK(endpoint_load(c, S("two"), &et), &et);
	CHECK_STR(str_c(open_now(c)), "two:0 ");
	pthread_t t[4];
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		CHECK_OK(thread_start(&t[i], use_twin, c, "use", &et), &et);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		pthread_join(t[i], NULL);
	CHECK(endpoint_each_live(c, nothing, NULL) <= each);
	croft_close(c);

	c = open_with_budget("1000000");
	CHECK_ERR(endpoint_load(c, S("one"), &et), ERR_LIMIT);
	CHECK(strstr(et.msg, "1000000") && strstr(et.msg, "bytes"));
	tap_note("%s", et.msg);
	CHECK_INT(endpoint_each_live(c, nothing, NULL), 0);
	croft_close(c);
}

static enum plan_fits plan(struct croft *c, const char *name, struct endpoint_plan *out)
{
	CHECK_OK(endpoint_plan(c, str_c(name), &(struct endpoint_plan_ask){0}, out, &et), &et);
	return out->fits;
}

/* What is planned is what opening then takes, and whether it may is known before. */
static void test_endpoint__a_plan_tells_what_opening_takes(void)
{
	struct endpoint *one;
	struct endpoint_plan p, q;
	char budget[32];
	struct croft *c = open_with_budget("0");
	pull(c, tap_model("smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"), "one");
	pull(c, tap_model("smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"), "two");
	pull(c, tap_model("minilm"), "mini");
	CHECK_INT(plan(c, "one", &p), PLAN_NOW);
	CHECK(!p.open && !p.limit_bytes && !p.used_bytes);
	CHECK_INT(p.plan.context_tokens, 256);
	CHECK_OK(endpoint_load(c, S("one"), &et), &et);
	CHECK_INT(endpoint_each_live(c, nothing, NULL), p.plan.total_bytes);
	CHECK_INT(plan(c, "mini", &q), PLAN_NOW);
	CHECK_INT(q.used_bytes, p.plan.total_bytes);
	CHECK_OK(endpoint_load(c, S("mini"), &et), &et);
	CHECK_INT(endpoint_each_live(c, nothing, NULL), p.plan.total_bytes + q.plan.total_bytes);
	bool q8 = true;
	struct endpoint_plan_ask ask = {.context_tokens = 512, .sequences = 2, .kv_q8 = &q8};
	CHECK_OK(endpoint_plan(c, S("one"), &ask, &q, &et), &et);
	CHECK_INT(q.plan.kv_tokens, 1024); /* two contexts, of two answers */
	CHECK(q.open && q.plan.kv_token_bytes < p.plan.kv_token_bytes);
	ask.context_tokens = 100000;
	CHECK_ERR(endpoint_plan(c, S("one"), &ask, &q, &et), ERR_INVALID);
	CHECK(strstr(et.msg, "8192"));
	CHECK_ERR(endpoint_plan(c, S("three"), &ask, &q, &et), ERR_NOT_FOUND);
	croft_close(c);

	snprintf(budget, sizeof budget, "%llu", (unsigned long long)p.plan.total_bytes);
	c = open_with_budget(budget);
	CHECK_OK(endpoint_chat(c, S("one"), &one, &et), &et);
	CHECK_INT(plan(c, "two", &q), PLAN_NOT_NOW);
	CHECK_INT(q.busy_bytes, p.plan.total_bytes);
	endpoint_put(one);
	CHECK_INT(plan(c, "two", &q), PLAN_AFTER_CLOSING);
	CHECK_INT(q.plan.total_bytes, p.plan.total_bytes);
	croft_close(c);
	c = open_with_budget("1000000");
	CHECK_INT(plan(c, "two", &q), PLAN_NEVER);
	croft_close(c);
}

/* ---- adapters ---- */

/* An adapter of layer `layer`'s v, of rank 2 and zeros, as PEFT has it. */
static void write_adapter(const char *dir, unsigned layer)
{
	enum { RANK = 2, WIDTH = 576, KV = 192, BYTES = 4 * RANK * (WIDTH + KV) };
	char path[4096];
	struct buf head = {0}, b = {0};
	static const char zeros[BYTES];
	CHECK_OK(os_mkdirs(dir, &et), &et);
	buf_addc(&b, "{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":4}");
	snprintf(path, sizeof path, "%s/adapter_config.json", dir);
	CHECK_OK(os_write_atomic(path, buf_str(&b), &et), &et);
	buf_clear(&b);
	for (int i = 0; i < 2; i++)
		buf_addf(&head,
			"%s\"base_model.model.model.layers.%u.self_attn.v_proj.lora_%c.weight\":"
			"{\"dtype\":\"F32\",\"shape\":[%d,%d],\"data_offsets\":[%d,%d]}",
			i ? "," : "{", layer, i ? 'B' : 'A', i ? KV : RANK, i ? RANK : WIDTH,
			i ? 4 * RANK * WIDTH : 0, i ? BYTES : 4 * RANK * WIDTH);
	buf_addc(&head, "}");
	buf_add(&b, &(uint64_t){head.n}, 8);
	buf_adds(&b, buf_str(&head));
	buf_add(&b, zeros, BYTES);
	snprintf(path, sizeof path, "%s/adapter_model.safetensors", dir);
	CHECK_OK(os_write_atomic(path, buf_str(&b), &et), &et);
	buf_free(&head);
	buf_free(&b);
}

static void pull_adapter(struct croft *c, const char *name, unsigned layer)
{
	char dir[4096];
	snprintf(dir, sizeof dir, "%s/of-%s", tap_tmpdir(), name);
	write_adapter(dir, layer);
	CHECK_OK(adapter_pull(c, str_c(dir), S("one"), str_c(name), NULL, NULL, NULL, NULL, &et),
		&et);
}

static void test_endpoint__adapters_stand_on_one_base(void)
{
	struct endpoint *a, *b, *x;
	struct croft *c = open_with_budget("0");
	char budget[32], dir[4096];
	pull(c, tap_model("smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"), "one");
	pull(c, tap_model("smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"), "two");
	pull_adapter(c, "first", 0);
	pull_adapter(c, "second", 29);
	snprintf(dir, sizeof dir, "%s/of-none", tap_tmpdir());
	write_adapter(dir, 30); /* the model has 30: 0 to 29 */
	CHECK_ERR(adapter_pull(c, str_c(dir), S("one"), S("none"), NULL, NULL, NULL, NULL, &et),
		ERR_INVALID);
	CHECK(strstr(et.msg, "layers.30") != NULL);
	CHECK_ERR(adapter_pull(c, str_c(dir), S("first"), S("none"), NULL, NULL, NULL, NULL, &et),
		ERR_INVALID); /* on an adapter */
	CHECK_OK(endpoint_chat(c, S("first"), &a, &et), &et);
	uint64_t with = endpoint_each_live(c, nothing, NULL);
	CHECK_OK(endpoint_chat(c, S("second"), &b, &et), &et);
	CHECK(a != b && endpoint_model(a) == endpoint_model(b));
	CHECK(endpoint_generator(a) && endpoint_generator(a) == endpoint_generator(b));
	CHECK(endpoint_adapter(a) != endpoint_adapter(b));
	CHECK_STR(endpoint_base(a), "one");
	CHECK(!str_eq(endpoint_sha256(a), endpoint_base_sha256(a)));
	CHECK_STR(str_c(open_now(c)), "second:1 first:1 one:0 ");
	CHECK(endpoint_each_live(c, nothing, NULL) < with + 100000);
	CHECK_ERR(endpoint_unload(c, S("one"), &et), ERR_BUSY);
	endpoint_put(b);
	CHECK_ERR(endpoint_unload(c, S("one"), &et), ERR_BUSY); /* a is in use */
	endpoint_put(a);
	CHECK_OK(endpoint_unload(c, S("one"), &et), &et);
	CHECK_INT(endpoint_each_live(c, nothing, NULL), 0);
	CHECK_ERR(installed_remove(c, S("one"), &et), ERR_CONFLICT);
	CHECK_OK(endpoint_load(c, S("one"), &et), &et);
	uint64_t alone = endpoint_each_live(c, nothing, NULL);
	croft_close(c);

	snprintf(budget, sizeof budget, "%llu", (unsigned long long)(alone + 1000));
	c = open_with_budget(budget);
	CHECK_ERR(endpoint_load(c, S("first"), &et), ERR_LIMIT); /* never, beside its base */
	CHECK(strstr(et.msg, budget) && strstr(et.msg, "first"));
	CHECK_STR(str_c(open_now(c)), "one:0 ");
	croft_close(c);

	snprintf(budget, sizeof budget, "%llu", (unsigned long long)(with + with / 2));
	c = open_with_budget(budget);
	CHECK_OK(endpoint_chat(c, S("first"), &a, &et), &et);
	CHECK_ERR(endpoint_chat(c, S("two"), &x, &et), ERR_BUSY);
	endpoint_put(a);
	CHECK_OK(endpoint_load(c, S("two"), &et), &et); /* the adapter goes, then its base */
	CHECK_STR(str_c(open_now(c)), "two:0 ");
	CHECK_OK(endpoint_load(c, S("second"), &et), &et);
	CHECK_STR(str_c(open_now(c)), "second:0 one:0 ");
	CHECK_OK(installed_remove(c, S("second"), &et), &et);
	CHECK_ERR(endpoint_chat(c, S("second"), &x, &et), ERR_NOT_FOUND);
	CHECK_STR(str_c(open_now(c)), "one:0 ");
	croft_close(c);
}

TESTS(T(test_endpoint__one_opening_for_all_who_wait), T(test_endpoint__chat_by_name_and_default),
	T(test_endpoint__ready_once_the_defaults_are_open),
	T(test_endpoint__a_model_that_fails_to_open),
	T(test_endpoint__a_plan_tells_what_opening_takes),
	{"test_endpoint__a_budget_closes_what_nobody_uses",
		test_endpoint__a_budget_closes_what_nobody_uses, 120},
	{"test_endpoint__adapters_stand_on_one_base", test_endpoint__adapters_stand_on_one_base,
		120})
