/* The OpenAI routes over a model of the test's own: a token is a byte, an answer is a script. What
 * is judged is the wire: statuses, codes, order and content of chunks, runs. */
#include "api/api_int.h"
#include "base/clock.h"
#include "endpoint/remote.h"
#include "tap.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the model ---- */

enum { CONTEXT = 64, VOCAB = 300, DIM = 3 };

static struct {
	const char *script;
	const char *scripts[4]; /* one for each run, when the first is there */
	const char *template;
	enum gen_finish finish;
	enum err fail_at_start;
	int fail_after; /* tokens; -1: never */
	struct gen_request seen;
	uint64_t seeds[8];
	unsigned runs, cancel_after;
	struct cancel *cancel;
	char prompt[4096];
	char read[4096]; /* by the last run, as text */
	size_t n_read;
	size_t context; /* 0: CONTEXT */
	unsigned held;  /* a bit for each run: held to a language */
} model_says;

struct endpoint {
	int kind;
};
static struct endpoint chat_endpoint = {1}, embed_endpoint = {2};
static int endpoints_out;

static enum err endpoint_of(struct endpoint *ep, const char *known, struct str name,
	struct endpoint **out, struct errtext *et)
{
	if (name.n && !str_eq_c(name, known))
		return err_set(et, ERR_NOT_FOUND,
			"the model '%.*s' is not installed: croft pull it", STR_FMT(name));
	endpoints_out++;
	*out = ep;
	return OK;
}

enum err endpoint_chat(struct croft *c, struct str name, struct endpoint **out, struct errtext *et)
{
	return endpoint_of(&chat_endpoint, "tiny", name, out, et);
}

enum err endpoint_embed(struct croft *c, struct str name, struct endpoint **out, struct errtext *et)
{
	return endpoint_of(&embed_endpoint, "vectors", name, out, et);
}

const struct adapter *endpoint_adapter(const struct endpoint *e)
{
	return NULL;
}

struct str endpoint_base(const struct endpoint *e)
{
	return S("");
}

struct str endpoint_base_sha256(const struct endpoint *e)
{
	return S("");
}

void endpoint_share(const struct endpoint *e, struct gen_request *g, const struct principal *who,
	struct str project)
{
}

void endpoint_put(struct endpoint *e)
{
	endpoints_out -= e != NULL;
}

struct str endpoint_name(const struct endpoint *e)
{
	return e->kind == 1 ? S("tiny") : S("vectors");
}

struct model *endpoint_model(const struct endpoint *e)
{
	return (struct model *)e;
}

struct generator *endpoint_generator(const struct endpoint *e)
{
	return (struct generator *)e;
}

struct remote *endpoint_remote(const struct endpoint *e)
{
	return NULL;
}

/* there are no providers: none of these is called */
enum err endpoint_remote_chat(struct croft *c, struct endpoint *ep, struct run *run,
	const struct chat_request *r, struct chat_result *out, struct errtext *text)
{
	return err_set(text, ERR_UNSUPPORTED, "no provider");
}

struct remote *remote_find(struct croft *c, struct str name)
{
	return NULL;
}

void remote_put(struct remote *p)
{
}

struct str remote_name(const struct remote *p)
{
	return S("");
}

struct str remote_kind_word(const struct remote *p)
{
	return S("");
}

int64_t remote_created_ms(const struct remote *p)
{
	return 0;
}

void remote_each(struct croft *c, bool (*fn)(void *ctx, const struct remote *p), void *ctx)
{
}

enum err remote_embed(struct croft *c, struct remote *p, struct run *run, const struct str *texts,
	size_t n, int64_t dimensions, const struct cancel *cancel, struct remote_vectors *out,
	struct errtext *text)
{
	return err_set(text, ERR_UNSUPPORTED, "no provider");
}

void remote_vectors_free(struct remote_vectors *v)
{
}

struct str endpoint_sha256(const struct endpoint *e)
{
	return S("5ca1ab1e");
}

static struct constraints *constraints;

enum err endpoint_constraint_get(struct croft *c, enum constraint_kind kind, struct str source,
	struct constraint **out, struct errtext *et)
{
	if (!constraints)
		constraints = constraints_new(4);
	return constraint_get(constraints, kind, source, out, et);
}

void endpoint_constraint_put(struct croft *c, struct constraint *k)
{
	if (k)
		constraint_put(constraints, k);
}

const struct tokenizer *model_tokenizer(const struct model *m)
{
	return (const struct tokenizer *)m;
}

const struct model_info *model_info(const struct model *m)
{
	static const struct model_info info = {.embedding_dim = DIM, .context_max = CONTEXT};
	return &info;
}

enum err model_chat_render(const struct model *m, const struct chat_message *msgs, size_t n,
	const struct chat_vars *v, struct buf *out, bool *used_default, struct errtext *et)
{
	for (size_t i = 0; i < n; i++)
		buf_addf(out, "%.*s:%.*s;", STR_FMT(msgs[i].role), STR_FMT(msgs[i].content));
	*used_default = true;
	snprintf(model_says.prompt, sizeof model_says.prompt, "%s", buf_c(out));
	return OK;
}

enum err tokenizer_encode(const struct tokenizer *tk, struct str text, unsigned flags,
	struct tokens *out, struct errtext *et)
{
	out->cap = out->n + text.n + 1;
	out->id = realloc(out->id, out->cap * sizeof *out->id);
	if (flags & TOKENIZE_OFFSETS) {
		out->from = calloc(out->cap, sizeof *out->from);
		out->to = calloc(out->cap, sizeof *out->to);
	}
	for (size_t i = 0; i < text.n; i++)
		out->id[out->n++] = (unsigned char)text.p[i];
	return OK;
}

void tokens_free(struct tokens *t)
{
	free(t->id);
	free(t->from);
	free(t->to);
}

/* Bytes 1 to 5 are control tokens. */
static const char *const controls[] = {
	"", "<tool_call>", "</tool_call>", "<think>", "</think>", "<|odd|>"};

void tokenizer_piece(const struct tokenizer *tk, int32_t id, bool special, struct buf *out)
{
	if (id > 0 && id < 6)
		buf_addc(out, special ? controls[id] : "");
	else
		buf_putc(out, (char)id);
}

struct str tokenizer_chat_template(const struct tokenizer *tk)
{
	return str_c(model_says.template ? model_says.template : "");
}

enum err tokenizer_decode(
	const struct tokenizer *tk, const int32_t *ids, size_t n, bool special, struct buf *out)
{
	for (size_t i = 0; i < n; i++)
		buf_putc(out, (char)ids[i]);
	return OK;
}

enum err model_score(struct model *m, const struct adapter *a, const int32_t *ids, size_t n,
	uint32_t n_top, float *logprob, struct token_logprob *top, const struct cancel *cancel,
	struct errtext *et)
{
	for (size_t i = 1; i < n; i++) {
		logprob[i] = -(float)i;
		for (uint32_t k = 0; k < n_top; k++) /* two that read the same */
			top[i * n_top + k] =
				(struct token_logprob){k == 1 ? 'x' + 256 : 'x', -0.5f - (float)k};
	}
	return OK;
}

bool tokenizer_is_control(const struct tokenizer *tk, int32_t id)
{
	return id > 0 && id < 6;
}

uint32_t generator_context(const struct generator *g)
{
	return (uint32_t)(model_says.context ? model_says.context : CONTEXT);
}

size_t tokenizer_vocab_size(const struct tokenizer *tk)
{
	return VOCAB;
}

enum err generator_run(struct generator *g, const struct gen_request *r, struct gen_result *out,
	struct errtext *et)
{
	static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER; /* choices are answered together */
	pthread_mutex_lock(&mu);
	struct str script = str_c(model_says.script);
	if (model_says.scripts[0])
		script = str_c(model_says.runs < 4 ? model_says.scripts[model_says.runs] : "");
	model_says.seen = *r;
	model_says.held = model_says.held << 1 | (r->language != NULL);
	model_says.n_read = MIN(r->n_prompt, sizeof model_says.read - 1);
	for (size_t i = 0; i < model_says.n_read; i++)
		model_says.read[i] = (char)r->prompt[i];
	model_says.seeds[model_says.runs++ % 8] = r->sampling.seed;
	pthread_mutex_unlock(&mu);
	if (model_says.fail_at_start)
		return err_set(et, model_says.fail_at_start, "the queue is full");
	if (r->n_prompt >= generator_context(g))
		return err_set(et, ERR_TOO_LARGE,
			"the prompt has %zu tokens, the model's context is %d", r->n_prompt,
			CONTEXT);
	*out = (struct gen_result){.prompt_tokens = (uint32_t)r->n_prompt,
		.finish = model_says.finish,
		.decode_ns = 5000000};
	struct token_logprob top[3] = {{'a', -0.1f}, {'b', -1.5f}, {'c', -2}};
	for (size_t i = 0; i < script.n;) {
		uint32_t cp;
		size_t n = utf8_decode(str_sub(script, i, script.n), &cp);
		if (r->max_tokens && out->completion_tokens == r->max_tokens) {
			out->finish = GEN_LENGTH;
			break;
		}
		if (model_says.fail_after == (int)out->completion_tokens)
			return err_set(et, ERR_INTERNAL, "the engine broke");
		if (model_says.cancel && model_says.cancel_after == out->completion_tokens)
			cancel_set(model_says.cancel);
		if (cancelled(r->cancel)) {
			out->finish = GEN_CANCELLED;
			break;
		}
		bool control = script.p[i] > 0 && script.p[i] < 6;
		struct gen_event ev = {.text = str_sub(script, i, control ? i : i + n),
			.token = (unsigned char)script.p[i],
			.index = out->completion_tokens++,
			.logprob = -0.25f,
			.top = top,
			.n_top = r->top_logprobs > 0 ? (uint32_t)r->top_logprobs : 0};
		buf_adds(&out->text, ev.text);
		if (r->on_token && !r->on_token(r->ctx, &ev)) {
			out->finish = GEN_CANCELLED;
			break;
		}
		i += n;
	}
	return OK;
}

enum err embed_texts_as(struct model *m, enum embed_as as, const struct str *texts, size_t n,
	bool truncate, float *out, size_t *n_truncated, size_t *n_tokens,
	const struct cancel *cancel, struct errtext *et)
{
	for (size_t i = 0; i < n; i++) {
		if (texts[i].n > CONTEXT)
			return err_set(et, ERR_TOO_LARGE,
				"text %zu has %zu tokens, the limit is %d", i, texts[i].n, CONTEXT);
		*n_tokens += texts[i].n;
		for (int k = 0; k < DIM; k++)
			out[i * DIM + (size_t)k] = (float)texts[i].n / (float)(k + 3);
	}
	return OK;
}

enum err embed_tokens(struct model *m, const struct tokens *seqs, size_t n, float *out,
	const struct cancel *cancel, struct errtext *et)
{
	for (size_t i = 0; i < n; i++)
		for (int k = 0; k < DIM; k++)
			out[i * DIM + (size_t)k] = (float)seqs[i].n / (float)(k + 3);
	return OK;
}

enum err installed_list(struct croft *c, struct arena *a, struct installed_model **out, size_t *n,
	struct errtext *et)
{
	static struct installed_model all[2];
	all[0] = (struct installed_model){.name = S("tiny"), .path = S("/")};
	all[1] = (struct installed_model){.name = S("org/vectors:1"), .purpose = PURPOSE_EMBED};
	*out = all;
	*n = 2;
	return OK;
}

enum err installed_find(struct croft *c, struct str name, enum model_purpose purpose,
	struct arena *a, struct installed_model *out, struct errtext *et)
{
	*out = (struct installed_model){.name = S("tiny"), .path = S("/")};
	return OK;
}

/* ---- the house ---- */

static struct croft *house(void)
{
	static const struct module *const modules[] = {&run_module, &api_module};
	struct croft_options o = {
		.modules = modules, .n_modules = ARRAY_LEN(modules), .home = tap_tmpdir()};
	struct croft *c;
	struct errtext et;
	CHECK_OK(croft_open(&o, &c, &et), &et);
	memset(&model_says, 0, sizeof model_says);
	model_says.script = "Hello, wörld";
	model_says.fail_after = -1;
	return c;
}

struct got {
	int status;
	struct buf body;
	char run[ID_HEX + 1];
};

static void on_head(void *ctx, int status, const struct http_pair *h, size_t n)
{
	struct got *g = ctx;
	g->status = status;
	for (size_t i = 0; i < n; i++)
		if (str_eq_c(h[i].name, "x-croft-run"))
			snprintf(g->run, sizeof g->run, "%.*s", STR_FMT(h[i].value));
}

static enum err on_data(void *ctx, struct str data)
{
	buf_adds(&((struct got *)ctx)->body, data);
	return OK;
}

static struct got call(struct croft *c, enum http_method m, const char *path, const char *body)
{
	struct got g = {0};
	struct http_local to = {on_head, on_data, &g};
	struct errtext et;
	CHECK_OK(http_local_run(croft_handle, c, m, str_c(path), NULL, 0, str_c(body),
			 model_says.cancel, &to, &et),
		&et);
	CHECK_INT(endpoints_out, 0);
	return g;
}

/* Replaces what differs from run to run, so that whole bodies can be compared. */
static const char *normal(struct got *g)
{
	static struct buf out;
	buf_clear(&out);
	struct str s = buf_str(&g->body);
	for (size_t i = 0; i < s.n; i++) {
		struct str rest = str_sub(s, i, s.n);
		if (str_starts(rest, str_c(g->run)) && *g->run) {
			buf_addc(&out, "RUN");
			i += ID_HEX - 1;
		} else if (str_starts(rest, S("\"created\":"))) {
			buf_addc(&out, "\"created\":T");
			for (i += 10; s.p[i] >= '0' && s.p[i] <= '9'; i++)
				;
			i--;
		} else {
			buf_putc(&out, s.p[i]);
		}
	}
	return buf_c(&out);
}

#define HEAD(object)                                    \
	"{\"id\":\"chatcmpl-RUN\",\"object\":\"" object \
	"\",\"created\":T,\"model\":\"tiny\",\"system_fingerprint\":\"croft-" CROFT_VERSION "\","

static void check_body(struct got g, int status, const char *want)
{
	CHECK_INT(g.status, status);
	CHECK_STR(str_c(normal(&g)), want);
	buf_free(&g.body);
}

/* Choices are written together, and their events come as they are: here those of the first before
 * those of the second, and what is of neither last. */
static void part_choices(struct got *g)
{
	static const char *const of[] = {"\"index\":0", "\"index\":1"};
	struct buf out = {0};
	for (unsigned i = 0; i <= ARRAY_LEN(of); i++) {
		struct str rest = buf_str(&g->body);
		for (size_t end; (end = str_find(rest, S("\n\n"))) != STR_NONE;) {
			struct str event = str_sub(rest, 0, end + 2);
			unsigned k = 0;
			while (k < ARRAY_LEN(of) && str_find(event, str_c(of[k])) == STR_NONE)
				k++;
			if (k == i)
				buf_adds(&out, event);
			rest = str_sub(rest, end + 2, rest.n);
		}
	}
	buf_free(&g->body);
	g->body = out;
}

/* ---- chat ---- */

static void test_api_openai__chat(void)
{
	struct croft *c = house();
	struct got g = call(c, HTTP_POST, "/v1/chat/completions",
		"{\"model\":\"tiny\",\"messages\":[{\"role\":\"developer\",\"content\":\"be\"},"
		"{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
		"{\"type\":\"text\",\"text\":\"b\"}]}],\"user\":\"x\",\"metadata\":{\"a\":\"b\"},"
		"\"store\":true,\"response_format\":{\"type\":\"text\"},\"tools\":[],\"stop\":"
		"null}");
	CHECK_STR(str_c(model_says.prompt), "system:be;user:ab;");
	check_body(g, 200,
		HEAD("chat.completion") "\"choices\":[{\"index\":0,\"message\":{\"role\":"
					"\"assistant\","
					"\"content\":\"Hello, wörld\",\"refusal\":null,"
					"\"annotations\":[]},\"logprobs\":null,"
					"\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":"
					"18,"
					"\"completion_tokens\":12,\"total_tokens\":30,"
					"\"prompt_tokens_details\":{\"cached_tokens\":0}}}");
	CHECK_NEAR(model_says.seen.sampling.temperature, 1, 0);
	CHECK_NEAR(model_says.seen.sampling.top_p, 1, 0);
	CHECK_INT(model_says.seen.max_tokens, 0);
	CHECK_INT(model_says.seen.top_logprobs, -1);
	croft_close(c);
}

#define MESSAGES "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

static void test_api_openai__parameters(void)
{
	struct croft *c = house();
	struct got g = call(c, HTTP_POST, "/v1/chat/completions",
		"{" MESSAGES ",\"model\":\"default\",\"temperature\":0.5,\"top_p\":0.9,\"top_k\":7,"
		"\"min_p\":0.05,\"repeat_penalty\":1.1,\"presence_penalty\":-1,"
		"\"frequency_penalty\":2,\"seed\":42,\"n\":3,\"stop\":[\"x\",\"yz\"],"
		"\"max_completion_tokens\":4,\"logit_bias\":{\"65\":-100,\"66\":1.5},"
		"\"logprobs\":true,\"top_logprobs\":2}");
	CHECK_INT(g.status, 200);
	const struct sampling *s = &model_says.seen.sampling;
	CHECK_NEAR(s->temperature, 0.5, 0);
	CHECK_NEAR(s->top_p, 0.9f, 0);
	CHECK_INT(s->top_k, 7);
	CHECK_NEAR(s->min_p, 0.05f, 0);
	CHECK_NEAR(s->repeat_penalty, 1.1f, 0);
	CHECK_NEAR(s->presence_penalty, -1, 0);
	CHECK_NEAR(s->frequency_penalty, 2, 0);
	CHECK_INT(s->n_bias, 2);
	CHECK_INT(model_says.seen.n_stop, 0); /* they are looked for in the text alone */
	CHECK_INT(model_says.seen.max_tokens, 4);
	CHECK_INT(model_says.runs, 3);
	unsigned seeds = 0; /* the choices are answered together: in any order */
	for (unsigned i = 0; i < 3; i++)
		seeds |= model_says.seeds[i] - 42 < 3 ? 1u << (model_says.seeds[i] - 42) : 8;
	CHECK_INT(seeds, 7);
	CHECK(str_find(buf_str(&g.body),
		      S("\"index\":2,\"message\":{\"role\":\"assistant\",\"content\":\"Hell\"")) !=
		STR_NONE);
	CHECK(str_find(buf_str(&g.body), S("\"finish_reason\":\"length\"")) != STR_NONE);
	CHECK(str_find(buf_str(&g.body),
		      S("{\"content\":[{\"token\":\"H\",\"logprob\":-0.25,\"bytes\":[72],"
			"\"top_logprobs\":[{\"token\":\"a\",")) != STR_NONE);
	CHECK(str_find(buf_str(&g.body), S("\"completion_tokens\":12,\"total_tokens\":20")) !=
		STR_NONE);
	buf_free(&g.body);
	croft_close(c);
}

/* ---- tools and thoughts: several runs, one answer ---- */

#define TOOL                                                                              \
	"\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{" \
	"\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}}}}}]"
/* templates of ours are read by their words only */
#define KNOWS "tools <tool_call> {\"name"

static yyjson_val *first_choice(struct got *g, yyjson_doc **doc)
{
	struct errtext et;
	CHECK_INT(g->status, 200);
	CHECK_OK(json_parse(buf_str(&g->body), doc, &et), &et);
	return yyjson_arr_get_first(yyjson_obj_get(yyjson_doc_get_root(*doc), "choices"));
}

static void check_answer(struct got g, const char *want)
{
	yyjson_doc *doc = NULL;
	yyjson_val *c = first_choice(&g, &doc), *m = yyjson_obj_get(c, "message"), *call;
	struct buf b = {0};
	size_t i, n;
	buf_addf(&b, "%.*s|%.*s|%.*s", STR_FMT(json_str(c, "finish_reason")),
		STR_FMT(json_str(m, "reasoning_content")), STR_FMT(json_str(m, "content")));
	yyjson_arr_foreach(yyjson_obj_get(m, "tool_calls"), i, n, call)
	{
		yyjson_val *f = yyjson_obj_get(call, "function");
		buf_addf(&b, "|%.*s %.*s", STR_FMT(json_str(f, "name")),
			STR_FMT(json_str(f, "arguments")));
	}
	CHECK_STR(buf_str(&b), want);
	buf_free(&b);
	yyjson_doc_free(doc);
	buf_free(&g.body);
}

static void says(const char *template, const char *a, const char *b, const char *c, const char *d)
{
	model_says.context = 2000;
	model_says.template = template;
	model_says.scripts[0] = a;
	model_says.scripts[1] = b;
	model_says.scripts[2] = c;
	model_says.scripts[3] = d;
	model_says.runs = model_says.held = 0;
}

static void test_api_openai__tools(void)
{
	struct croft *c = house();
	/* auto: the run stops where a call begins; the call is held; any text again */
	says(KNOWS, "Well.\n<tool_call>{never", "{\"name\": \"f\", \"arguments\": {\"a\": 1}}", "",
		"");
	check_answer(call(c, HTTP_POST, "/v1/chat/completions", "{" MESSAGES "," TOOL "}"),
		"tool_calls||Well.|f {\"a\": 1}");
	CHECK_INT(model_says.held, 2); /* the second of three */
	CHECK(str_ends(str_mk(model_says.read, model_says.n_read),
		S("Well.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": "
		  "1}}\n</tool_call>")));
	/* two calls, and text after them */
	says(KNOWS, "<tool_call>", "{\"name\": \"f\", \"arguments\": {}}", "\n Bye", "");
	check_answer(call(c, HTTP_POST, "/v1/chat/completions", "{" MESSAGES "," TOOL "}"),
		"tool_calls||\n Bye|f {}");
	/* required: what follows the call is another one, or taken back */
	says(KNOWS, "{\"name\": \"f\", \"arguments\": {\"a\": 2}}", "\n<tool_call>",
		"{\"name\": \"f\", \"arguments\": {\"a\": 3}}", "And so on.");
	check_answer(call(c, HTTP_POST, "/v1/chat/completions",
			     "{" MESSAGES "," TOOL ",\"tool_choice\":\"required\"}"),
		"tool_calls|||f {\"a\": 2}|f {\"a\": 3}");
	CHECK_INT(model_says.held, 10); /* 1010 */
	/* none: text is text */
	says(KNOWS, "<tool_call>{\"name\": \"f\", \"arguments\": {}}", "", "", "");
	check_answer(call(c, HTTP_POST, "/v1/chat/completions",
			     "{" MESSAGES "," TOOL ",\"tool_choice\":\"none\"}"),
		"stop||<tool_call>{\"name\": \"f\", \"arguments\": {}}");
	/* cut off within a call */
	says(KNOWS, "{\"name\": \"f\", \"arguments\": {\"a\": 2}}", "", "", "");
	check_answer(
		call(c, HTTP_POST, "/v1/chat/completions",
			"{" MESSAGES "," TOOL ",\"tool_choice\":\"required\",\"max_tokens\":30}"),
		"length|||f {\"a");
	/* the signs are control tokens, which are no text; others stay unseen */
	says(KNOWS, "A\005b.\001", "{\"name\": \"f\", \"arguments\": {}}", "\n\001",
		"{\"name\": \"f\", \"arguments\": {\"a\": 4}}");
	check_answer(call(c, HTTP_POST, "/v1/chat/completions", "{" MESSAGES "," TOOL "}"),
		"tool_calls||Ab.|f {}|f {\"a\": 4}");
	CHECK_INT(model_says.held, 10); /* 01010: the fifth run said nothing */
	/* a family without a sign: kept back until it is clear */
	says("tools ipython \"parameters\"", "{\"name\": \"f\", \"parameters\": {}}", "", "", "");
	check_answer(call(c, HTTP_POST, "/v1/chat/completions", "{" MESSAGES "," TOOL "}"),
		"tool_calls|||f {}");
	says("tools ipython \"parameters\"", "{\"city\": 1}", "", "", "");
	check_answer(call(c, HTTP_POST, "/v1/chat/completions", "{" MESSAGES "," TOOL "}"),
		"stop||{\"city\": 1}");
	croft_close(c);
}

static void test_api_openai__thoughts(void)
{
	struct croft *c = house();
	says("<think>", "<think>\nHm.\n</think>\n\nYes.", NULL, NULL, NULL);
	check_answer(call(c, HTTP_POST, "/v1/chat/completions", "{" MESSAGES ",\"stop\":\"Hm\"}"),
		"stop|Hm.|Yes.");
	/* a format holds what comes after the thought */
	says("<think>", "<think>Hm.</think>\nnever", "{}", NULL, NULL);
	check_answer(call(c, HTTP_POST, "/v1/chat/completions",
			     "{" MESSAGES ",\"response_format\":{\"type\":\"json_object\"}}"),
		"stop|Hm.|{}");
	CHECK_INT(model_says.held, 1);
	CHECK(str_ends(str_mk(model_says.read, model_says.n_read), S("</think>")));
	/* and all of it, when there is none: what was tried is taken back */
	says("<think>", "Sure", "{}", NULL, NULL);
	check_answer(call(c, HTTP_POST, "/v1/chat/completions",
			     "{" MESSAGES ",\"response_format\":{\"type\":\"json_object\"}}"),
		"stop||{}");
	CHECK(!str_ends(str_mk(model_says.read, model_says.n_read), S("Sure")));
	/* calls after thoughts */
	says(KNOWS "<think>", "<think>I must.</think>", "{\"name\": \"f\", \"arguments\": {}}", "",
		"");
	check_answer(call(c, HTTP_POST, "/v1/chat/completions",
			     "{" MESSAGES "," TOOL ",\"tool_choice\":\"required\"}"),
		"tool_calls|I must.||f {}");
	says("<think>", "\003Hm.\004\n\nYes.", NULL, NULL, NULL);
	check_answer(call(c, HTTP_POST, "/v1/chat/completions", "{" MESSAGES "}"), "stop|Hm.|Yes.");
	/* an endless thought */
	says("<think>", "<think>Hm hm hm", NULL, NULL, NULL);
	check_answer(call(c, HTTP_POST, "/v1/chat/completions", "{" MESSAGES ",\"max_tokens\":9}"),
		"length|Hm|");
	croft_close(c);
}

#define CHUNK(rest) "data: " HEAD("chat.completion.chunk") rest "}\n\n"
#define DELTA(index, delta, finish)                           \
	"\"choices\":[{\"index\":" #index ",\"delta\":" delta \
	",\"logprobs\":null,\"finish_reason\":" finish "}]"

static void test_api_openai__stream(void)
{
	struct croft *c = house();
	model_says.script = "Ö!";
	struct got g = call(c, HTTP_POST, "/v1/chat/completions", "{" MESSAGES ",\"stream\":true}");
	check_body(g, 200,
		CHUNK(DELTA(0, "{\"role\":\"assistant\",\"content\":\"\"}", "null"))
			CHUNK(DELTA(0, "{\"content\":\"Ö\"}", "null"))
				CHUNK(DELTA(0, "{\"content\":\"!\"}", "null"))
					CHUNK(DELTA(0, "{}", "\"stop\"")) "data: [DONE]\n\n");
	g = call(c, HTTP_POST, "/v1/chat/completions",
		"{" MESSAGES ",\"stream\":true,\"n\":2,\"max_tokens\":1,"
		"\"stream_options\":{\"include_usage\":true,\"include_obfuscation\":false}}");
#define NO_USAGE ",\"usage\":null"
	part_choices(&g);
	check_body(g, 200,
		CHUNK(DELTA(0, "{\"role\":\"assistant\",\"content\":\"\"}", "null") NO_USAGE) CHUNK(
			DELTA(0, "{\"content\":\"Ö\"}", "null") NO_USAGE) CHUNK(DELTA(0, "{}",
			"\"length\"") NO_USAGE) CHUNK(DELTA(1,
			"{\"role\":\"assistant\",\"content\":\"\"}", "null")
				NO_USAGE) CHUNK(DELTA(1, "{\"content\":\"Ö\"}", "null") NO_USAGE)
			CHUNK(DELTA(1, "{}", "\"length\"") NO_USAGE) CHUNK(
				"\"choices\":[],\"usage\":{\"prompt_tokens\":8,"
				"\"completion_tokens\":2,\"total_tokens\":10,"
				"\"prompt_tokens_details\":{\"cached_tokens\":0}}") "data: "
										    "[DONE]\n\n");
	/* nothing to say is a whole stream too */
	model_says.script = "";
	g = call(c, HTTP_POST, "/v1/chat/completions", "{" MESSAGES ",\"stream\":true}");
	check_body(g, 200,
		CHUNK(DELTA(0, "{\"role\":\"assistant\",\"content\":\"\"}", "null"))
			CHUNK(DELTA(0, "{}", "\"stop\"")) "data: [DONE]\n\n");
	/* before the first token an error has its status, after it it is an event */
	model_says.script = "abc";
	model_says.fail_after = 0;
	g = call(c, HTTP_POST, "/v1/chat/completions", "{" MESSAGES ",\"stream\":true}");
	CHECK_INT(g.status, 500);
	buf_free(&g.body);
	model_says.fail_after = 1;
	g = call(c, HTTP_POST, "/v1/chat/completions", "{" MESSAGES ",\"stream\":true}");
	CHECK_INT(g.status, 200);
	CHECK(str_ends(buf_str(&g.body),
		S("data: {\"error\":{\"message\":\"the engine broke\",\"type\":\"server_error\","
		  "\"param\":null,\"code\":\"internal\"}}\n\n")));
	buf_free(&g.body);
	croft_close(c);
}

static void check_error(struct croft *c, const char *path, const char *body, int status,
	const char *code, const char *param)
{
	struct got g = call(c, HTTP_POST, path, body);
	yyjson_doc *doc;
	struct errtext et;
	CHECK_OK(json_parse(buf_str(&g.body), &doc, &et), &et);
	yyjson_val *e = yyjson_obj_get(yyjson_doc_get_root(doc), "error");
	struct str got_code = json_str(e, "code"), got_param = json_str(e, "param");
	if (g.status != status || !str_eq_c(got_code, code) ||
		!str_eq_c(got_param, param ? param : "") || !json_str(e, "message").n ||
		!json_str(e, "type").n)
		FAIL("%s gives %d %.*s", body, g.status, STR_FMT(buf_str(&g.body)));
	yyjson_doc_free(doc);
	buf_free(&g.body);
}

static void test_api_openai__errors(void)
{
	struct croft *c = house();
	static const struct {
		const char *body;
		const char *code, *param;
	} rows[] = {
		{"", "invalid_json", NULL},
		{"[]", "invalid_type", NULL},
		{"{\"model\":1," MESSAGES "}", "invalid_type", "model"},
		{"{\"model\":\"tiny\"}", "missing_required_parameter", "messages"},
		{"{\"messages\":[]}", "invalid_value", "messages"},
		{"{\"messages\":{}}", "invalid_type", "messages"},
		{"{\"messages\":[1]}", "invalid_type", "messages[0]"},
		{"{\"messages\":[{\"role\":\"king\",\"content\":\"\"}]}", "invalid_value",
			"messages[0].role"},
		{"{\"messages\":[{\"role\":\"user\"}]}", "missing_required_parameter",
			"messages[0].content"},
		{"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}",
			"unsupported_value", "messages[0].content"},
		{"{" MESSAGES ",\"temperature\":2.1}", "invalid_value", "temperature"},
		{"{" MESSAGES ",\"temperature\":\"1\"}", "invalid_type", "temperature"},
		{"{" MESSAGES ",\"top_p\":-0.1}", "invalid_value", "top_p"},
		{"{" MESSAGES ",\"n\":9}", "invalid_value", "n"},
		{"{" MESSAGES ",\"n\":0}", "invalid_value", "n"},
		{"{" MESSAGES ",\"max_tokens\":0}", "invalid_value", "max_tokens"},
		{"{" MESSAGES ",\"max_tokens\":1.5}", "invalid_type", "max_tokens"},
		{"{" MESSAGES ",\"max_tokens\":99999999999999999999}", "invalid_type",
			"max_tokens"},
		{"{" MESSAGES ",\"stop\":[\"\"]}", "invalid_value", "stop"},
		{"{" MESSAGES ",\"stop\":3}", "invalid_type", "stop"},
		{"{" MESSAGES ",\"stream\":\"yes\"}", "invalid_type", "stream"},
		{"{" MESSAGES ",\"stream_options\":{}}", "invalid_value", "stream_options"},
		{"{" MESSAGES ",\"top_logprobs\":2}", "invalid_value", "top_logprobs"},
		{"{" MESSAGES ",\"logprobs\":true,\"top_logprobs\":21}", "invalid_value",
			"top_logprobs"},
		{"{" MESSAGES ",\"logit_bias\":{\"x\":1}}", "invalid_value", "logit_bias"},
		{"{" MESSAGES ",\"logit_bias\":{\"1\":101}}", "invalid_value", "logit_bias"},
		{"{" MESSAGES ",\"logit_bias\":{\"300\":1}}", "invalid_value", "logit_bias"},
		{"{" MESSAGES ",\"response_format\":{\"type\":\"xml\"}}", "invalid_value",
			"response_format.type"},
		{"{" MESSAGES ",\"response_format\":3}", "invalid_type", "response_format"},
		{"{" MESSAGES ",\"response_format\":{\"type\":\"json_schema\"}}",
			"missing_required_parameter", "response_format.json_schema"},
		{"{" MESSAGES ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{}}}",
			"missing_required_parameter", "response_format.json_schema.name"},
		{"{" MESSAGES ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{"
		 "\"name\":\"x\"}}}",
			"missing_required_parameter", "response_format.json_schema.schema"},
		{"{" MESSAGES ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":"
		 "{\"name\":\"x\",\"schema\":{\"type\":\"strin\"}}}}",
			"invalid_value", "response_format"},
		{"{" MESSAGES ",\"guided_json\":3}", "invalid_type", "guided_json"},
		{"{" MESSAGES ",\"guided_json\":\"{\"}", "invalid_value", "guided_json"},
		{"{" MESSAGES ",\"grammar\":\"root ::= x\"}", "invalid_value", "grammar"},
		{"{" MESSAGES ",\"guided_regex\":\"(a\"}", "invalid_value", "guided_regex"},
		{"{" MESSAGES ",\"guided_regex\":\"(a)\\\\1\"}", "invalid_value", "guided_regex"},
		{"{" MESSAGES ",\"guided_choice\":[]}", "invalid_type", "guided_choice"},
		{"{" MESSAGES ",\"guided_choice\":[1]}", "invalid_value", "guided_choice"},
		{"{" MESSAGES ",\"grammar_lazy\":true}", "unsupported_parameter", "grammar_lazy"},
		{"{" MESSAGES ",\"structured_outputs\":{\"regex\":1}}", "invalid_type",
			"structured_outputs.regex"},
		{"{" MESSAGES ",\"structured_outputs\":{\"structural_tag\":{}}}",
			"unsupported_parameter", "structured_outputs.structural_tag"},
		{"{" MESSAGES ",\"guided_regex\":\"a\",\"guided_choice\":[\"a\"]}", "invalid_value",
			"guided_choice"},
		{"{" MESSAGES ",\"tools\":[{\"type\":\"function\"}]}", "invalid_type",
			"tools[0].function"},
		{"{" MESSAGES ",\"tools\":[{\"type\":\"custom\"}]}", "unsupported_value",
			"tools[0].type"},
		{"{" MESSAGES ",\"tools\":{}}", "invalid_type", "tools"},
		{"{" MESSAGES ",\"functions\":[{\"name\":\"a b\"}]}", "invalid_value",
			"functions[0].name"},
		{"{" MESSAGES ",\"tool_choice\":{\"type\":\"function\",\"function\":{"
		 "\"name\":\"f\"}}}",
			"invalid_value", "tool_choice"},
		{"{" MESSAGES ",\"reasoning_effort\":\"much\"}", "invalid_value",
			"reasoning_effort"},
		{"{\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}",
			"missing_required_parameter", "messages[0].tool_call_id"},
		{"{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{}]}]}", "invalid_type",
			"messages[0].tool_calls[0]"},
		{"{" MESSAGES ",\"tool_choice\":\"required\"}", "invalid_value", "tool_choice"},
		{"{" MESSAGES ",\"modalities\":[\"audio\"]}", "unsupported_parameter",
			"modalities"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_error(
			c, "/v1/chat/completions", rows[i].body, 400, rows[i].code, rows[i].param);
	check_error(c, "/v1/chat/completions", "{\"model\":\"gpt-9\"," MESSAGES "}", 404,
		"model_not_found", "model");
	check_error(c, "/v1/chat/completions",
		"{\"messages\":[{\"role\":\"user\",\"content\":\"0123456789012345678901234567890123"
		"4567890123456789012345678901234567890\"}]}",
		400, "context_length_exceeded", "messages");
	model_says.fail_at_start = ERR_BUSY;
	check_error(c, "/v1/chat/completions", "{" MESSAGES "}", 429, "busy", NULL);
	croft_close(c);
}

static void test_api_openai__cancel(void)
{
	struct croft *c = house();
	struct cancel gone = {0};
	model_says.cancel = &gone;
	model_says.cancel_after = 3;
	struct got g = call(c, HTTP_POST, "/v1/chat/completions", "{" MESSAGES ",\"stream\":true}");
	CHECK(str_find(buf_str(&g.body), S("[DONE]")) == STR_NONE);
	CHECK(str_find(buf_str(&g.body), S("finish_reason\":\"stop")) == STR_NONE);
	struct errtext et;
	CHECK_OK(run_flush(c, &et), &et);
	model_says.cancel = NULL;
	char path[100];
	snprintf(path, sizeof path, "/api/v1/runs/%s", g.run);
	buf_free(&g.body);
	g = call(c, HTTP_GET, path, "");
	CHECK_INT(g.status, 200);
	CHECK(str_find(buf_str(&g.body), S("\"status\":\"error\"")) != STR_NONE);
	CHECK(str_find(buf_str(&g.body), S("client went away")) != STR_NONE);
	buf_free(&g.body);
	croft_close(c);
}

static void test_api_openai__runs(void)
{
	struct croft *c = house();
	struct got g = call(c, HTTP_POST, "/v1/chat/completions", "{" MESSAGES "}");
	char path[100];
	struct errtext et;
	CHECK_OK(run_flush(c, &et), &et);
	snprintf(path, sizeof path, "/api/v1/runs/%s", g.run);
	buf_free(&g.body);
	g = call(c, HTTP_GET, path, "");
	static const char *const wanted[] = {"\"kind\":\"chat\"", "\"name\":\"hi\"",
		"\"prompt_tokens\":8", "\"completion_tokens\":12", "\"model\":\"tiny\"",
		"\"decode_ms\":5", "\"output\":\"Hello, wörld\"", "\"name\":\"generate\"",
		"\"input\":[{\"role\":\"user\",\"content\":\"hi\"}]"};
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
		if (str_find(buf_str(&g.body), str_c(wanted[i])) == STR_NONE)
			FAIL("no %s in %s", wanted[i], buf_c(&g.body));
	buf_free(&g.body);
	croft_close(c);
}

/* ---- completions, embeddings, models ---- */

static void test_api_openai__completions(void)
{
	struct croft *c = house();
	struct got g = call(c, HTTP_POST, "/v1/completions",
		"{\"prompt\":\"Once\",\"max_tokens\":2,\"logprobs\":1}");
	CHECK_INT(g.status, 200);
	CHECK(str_find(buf_str(&g.body), S("\"object\":\"text_completion\"")) != STR_NONE);
	CHECK(str_find(buf_str(&g.body),
		      S("\"text\":\"He\",\"logprobs\":{\"tokens\":[\"H\",\"e\"],"
			"\"token_logprobs\":[-0.25,-0.25],\"top_logprobs\":[{\"a\":")) != STR_NONE);
	buf_free(&g.body);
	g = call(c, HTTP_POST, "/v1/completions", "{\"prompt\":[72,105],\"stream\":true}");
	CHECK_INT(model_says.seen.n_prompt, 2);
	CHECK_INT(model_says.seen.max_tokens, 16);
	CHECK(str_find(buf_str(&g.body), S("\"choices\":[{\"index\":0,\"text\":\"H\"")) !=
		STR_NONE);
	CHECK(str_ends(buf_str(&g.body), S("data: [DONE]\n\n")));
	buf_free(&g.body);
	g = call(c, HTTP_POST, "/v1/completions", "{\"prompt\":[\"a\",\"b\"],\"n\":2}");
	CHECK(str_find(buf_str(&g.body), S("\"index\":3")) != STR_NONE);
	buf_free(&g.body);
	check_error(c, "/v1/completions", "{\"prompt\":\"\"}", 400, "invalid_value", "prompt");
	check_error(c, "/v1/completions", "{}", 400, "missing_required_parameter", "prompt");
	check_error(c, "/v1/completions", "{\"prompt\":[300]}", 400, "invalid_value", "prompt");
	check_error(c, "/v1/completions", "{\"prompt\":[-1]}", 400, "invalid_type", "prompt");
	/* what lm-eval asks for: scores of the prompt's own tokens, by ids */
	g = call(c, HTTP_POST, "/v1/completions",
		"{\"prompt\":[[72,105]],\"echo\":true,\"logprobs\":2,\"max_tokens\":1}");
	CHECK_INT(g.status, 200);
	CHECK(str_find(buf_str(&g.body),
		      S("\"text\":\"HiH\",\"logprobs\":{\"tokens\":[\"H\",\"i\",\"H\"],"
			"\"token_logprobs\":[null,-1,-0.25],\"top_logprobs\":[null,{\"x\":-0.5},{"
			"\"a\":")) != STR_NONE);
	CHECK(str_find(buf_str(&g.body), S("\"text_offset\":[0,1,2]")) != STR_NONE);
	buf_free(&g.body);
	check_error(c, "/v1/completions", "{\"prompt\":\"a\",\"suffix\":\"b\"}", 400,
		"unsupported_parameter", "suffix");
	croft_close(c);
}

static void test_api_openai__embeddings(void)
{
	struct croft *c = house();
	check_body(
		call(c, HTTP_POST, "/v1/embeddings", "{\"input\":\"abc\",\"model\":\"vectors\"}"),
		200,
		"{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,"
		"\"embedding\":[1,0.75,0.6]}],\"model\":\"vectors\","
		"\"usage\":{\"prompt_tokens\":3,\"total_tokens\":3}}");
	check_body(call(c, HTTP_POST, "/v1/embeddings",
			   "{\"input\":[[1,2,3]],\"encoding_format\":\"base64\",\"dimensions\":3}"),
		200,
		"{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,"
		"\"embedding\":\"AACAPwAAQD+amRk/\"}],\"model\":\"vectors\","
		"\"usage\":{\"prompt_tokens\":3,\"total_tokens\":3}}");
	static const struct {
		const char *body, *code, *param;
	} rows[] = {{"{}", "missing_required_parameter", "input"},
		{"{\"input\":[]}", "invalid_value", "input"},
		{"{\"input\":\"\"}", "invalid_value", "input"},
		{"{\"input\":[\"a\",\"\"]}", "invalid_value", "input"},
		{"{\"input\":[\"a\",[1]]}", "invalid_type", "input"},
		{"{\"input\":{}}", "invalid_type", "input"},
		{"{\"input\":[300]}", "invalid_value", "input"},
		{"{\"input\":\"a\",\"encoding_format\":\"hex\"}", "invalid_value",
			"encoding_format"},
		{"{\"input\":\"a\",\"dimensions\":2}", "unsupported_parameter", "dimensions"},
		{"{\"input\":\"01234567890123456789012345678901234567890123456789012345678901234"
		 "56789\"}",
			"context_length_exceeded", "input"}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_error(c, "/v1/embeddings", rows[i].body, 400, rows[i].code, rows[i].param);
	check_error(c, "/v1/embeddings", "{\"input\":\"a\",\"model\":\"x\"}", 404,
		"model_not_found", "model");
	croft_close(c);
}

static void test_api_openai__models(void)
{
	struct croft *c = house();
	struct got g = call(c, HTTP_GET, "/v1/models", "");
	CHECK_INT(g.status, 200);
	CHECK(str_starts(buf_str(&g.body),
		S("{\"object\":\"list\",\"data\":[{\"id\":\"tiny\",\"object\":\"model\",")));
	buf_free(&g.body);
	g = call(c, HTTP_GET, "/v1/models/org%2Fvectors%3A1", "");
	CHECK_INT(g.status, 200);
	CHECK(str_starts(buf_str(&g.body), S("{\"id\":\"org/vectors:1\",\"object\":\"model\",")));
	buf_free(&g.body);
	g = call(c, HTTP_GET, "/v1/models/default", "");
	CHECK_INT(g.status, 200);
	buf_free(&g.body);
	g = call(c, HTTP_GET, "/v1/models/none", "");
	CHECK_INT(g.status, 404);
	CHECK(str_find(buf_str(&g.body), S("\"code\":\"model_not_found\"")) != STR_NONE);
	buf_free(&g.body);
	croft_close(c);
}

TESTS(T(test_api_openai__chat), T(test_api_openai__parameters), T(test_api_openai__tools),
	T(test_api_openai__thoughts), T(test_api_openai__stream), T(test_api_openai__errors),
	T(test_api_openai__cancel), T(test_api_openai__runs), T(test_api_openai__completions),
	T(test_api_openai__embeddings), T(test_api_openai__models))
