/* GET /api/v1/models/live, POST /api/v1/models/{name}/load and /unload: what open models do and
 * take, from memory alone, so that a page may ask every second or two. */
#include "endpoint/live_int.h"
#include "base/clock.h"
#include "endpoint/endpoint.h"

static void write_live(void *ctx, const struct endpoint_live *l)
{
	struct jw *w = ctx;
	const struct generator_stats *g = &l->generator;
	jw_obj(w);
	jw_kstr(w, "name", l->name);
	if (l->base.n)
		jw_kstr(w, "base", l->base);
	jw_kc(w, "purpose", purpose_word(l->purpose));
	jw_kc(w, "state", l->open ? "open" : "opening");
	jw_ki64(w, "users", l->users);
	jw_ki64(w, "bytes", (int64_t)l->bytes);
	jw_ki64(w, "weight_bytes", (int64_t)l->weight_bytes);
	jw_ki64(w, "kv_bytes", (int64_t)g->kv_bytes);
	jw_ki64(w, "work_bytes", (int64_t)g->work_bytes);
	jw_ki64(w, "kv_tokens", (int64_t)g->kv_tokens);
	jw_ki64(w, "kv_tokens_used", (int64_t)g->kv_used);
	jw_ki64(w, "kv_tokens_max", (int64_t)g->kv_room);
	jw_ki64(w, "running", g->running);
	jw_ki64(w, "running_max", g->sequences_max);
	jw_ki64(w, "queued", g->queued);
	jw_ki64(w, "requests", (int64_t)g->requests);
	jw_ki64(w, "preemptions", (int64_t)g->preemptions);
	jw_ki64(w, "prompt_tokens", (int64_t)g->prompt_tokens);
	jw_ki64(w, "cached_tokens", (int64_t)g->cached_tokens);
	jw_ki64(w, "generated_tokens", (int64_t)g->generated_tokens);
	jw_kf64(w, "open_ms", (double)l->open_ns / 1e6);
	jw_kf64(w, "idle_ms", (double)l->idle_ns / 1e6);
	jw_end(w);
}

static void get_live(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	(void)rq;
	struct buf out = {0};
	struct jw w = {.out = &out};
	jw_obj(&w);
	jw_kf64(&w, "clock_ms", (double)clock_mono_ns() / 1e6);
	jw_ki64(&w, "memory_bytes", setting_int(c, "engine.memory_bytes"));
	jw_key(&w, "models");
	jw_arr(&w);
	uint64_t used = endpoint_each_live(c, write_live, &w);
	jw_end(&w);
	jw_ki64(&w, "used_bytes", (int64_t)used);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&out);
}

static void post_load(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	enum err e = endpoint_load(c, http_param(rq, "name"), &et);
	if (e)
		http_reply_error(rs, e, &et);
	else
		http_reply(rs, 200, "application/json", S("{\"loaded\":true}"));
}

static void post_unload(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	enum err e = endpoint_unload(c, http_param(rq, "name"), &et);
	if (e)
		http_reply_error(rs, e, &et);
	else
		http_reply(rs, 200, "application/json", S("{\"loaded\":false}"));
}

const struct shape live_shapes[N_LIVE_SHAPES] = {
	{"ModelLive",
		"{ name, base?: string, purpose: \"chat\" | \"embed\" | \"rerank\", state: "
		"\"open\" | "
		"\"opening\", users: int, "
		"bytes: int, weight_bytes: int, kv_bytes: int, work_bytes: int, kv_tokens: int, "
		"kv_tokens_used: int, kv_tokens_max: int, running: int, running_max: int, queued: "
		"int, "
		"requests: int, preemptions: int, "
		"prompt_tokens: int, cached_tokens: int, generated_tokens: int, open_ms: number, "
		"idle_ms: number }"},
};

const struct route live_routes[N_LIVE_ROUTES] = {
	{HTTP_GET, "/api/v1/models/live", get_live, PERM_MODEL_READ,
		"What the open models do and take now; clock_ms is for rates between two of these",
		NULL, NULL,
		"{ clock_ms: number, memory_bytes: int, models: ModelLive[], used_bytes: int }", 0},
	{HTTP_GET, "/api/v1/models/{name}/plan", get_plan, PERM_MODEL_READ,
		"What a model would take beside its file, from the file's header alone: with the "
		"settings, or with those given here",
		"{ context_tokens?: int, sequences?: int, kv_tokens?: int, kv_type?: \"f16\" | "
		"\"q8\" }",
		NULL,
		"{ name, purpose: \"chat\" | \"embed\" | \"rerank\", architecture, weights, "
		"parameters: "
		"int, file_bytes: int, mapped_bytes: int, weight_bytes: int, pass_bytes: int, "
		"threads: "
		"int, thread_bytes: int, context_tokens: int, context_tokens_max: int, sequences: "
		"int, "
		"kv_type: \"f16\" | \"q8\", kv_token_bytes: int, kv_tokens: int, kv_bytes: int, "
		"drafting_bytes: int, total_bytes: int, least_bytes: int, memory_bytes: int, "
		"used_bytes: "
		"int, open: boolean, fits: \"now\" | \"after_closing\" | \"not_now\" | \"never\" }",
		0},
	{HTTP_POST, "/api/v1/models/{name}/load", post_load, PERM_MODEL_MANAGE,
		"Open a model, closing others that nobody uses when memory is short", NULL, NULL,
		"{ loaded: boolean }", 0},
	{HTTP_POST, "/api/v1/models/{name}/unload", post_unload, PERM_MODEL_MANAGE,
		"Close a model that nobody uses", NULL, NULL, "{ loaded: boolean }", 0},
	{HTTP_POST, "/api/v1/models/{name}/bench", post_bench, PERM_MODEL_MANAGE,
		"Measure how fast a local model (default: the default one) reads and writes", NULL,
		"{ streams?: int, prompt_tokens?: int, tokens?: int }",
		"{ model, weights, parameters: int, streams: int, streams_max: int, prompt_tokens: "
		"int, tokens: int, read_tokens_per_s: number, written_tokens_per_s: number, "
		"first_token_ms: number }",
		0},
};
