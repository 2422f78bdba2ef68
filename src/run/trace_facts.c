/* What a span says about itself: type, model, tokens, cost, session, input and output, from
 * whichever convention it follows. To add a name: its row in `names`. */
#include "run/trace_int.h"
#include "base/json.h"

enum slot {
	F_NONE,
	F_KIND, /* words of several conventions, see `types` */
	F_MODEL,
	F_TOKENS_IN,
	F_TOKENS_OUT,
	F_COST,
	F_USAGE, /* JSON objects with several of them */
	F_COSTS,
	F_SESSION,
	F_USER,
	F_INPUT,
	F_OUTPUT,
	F_TRACE_NAME,
	F_TOOL, /* its presence says that this is a tool's call */
	F_SLOTS
};

/* Of several names for one thing the one with the highest rank counts. */
static const struct {
	struct str name;
	unsigned char slot, rank;
} names[] = {
	{S("openinference.span.kind"), F_KIND, 9},
	{S("gen_ai.operation.name"), F_KIND, 8},
	{S("langfuse.observation.type"), F_KIND, 7},
	{S("mlflow.spanType"), F_KIND, 6},
	{S("traceloop.span.kind"), F_KIND, 5},
	{S("gen_ai.response.model"), F_MODEL, 9},
	{S("gen_ai.request.model"), F_MODEL, 8},
	{S("llm.model_name"), F_MODEL, 7},
	{S("embedding.model_name"), F_MODEL, 7},
	{S("reranker.model_name"), F_MODEL, 7},
	{S("langfuse.observation.model.name"), F_MODEL, 6},
	{S("mlflow.llm.model"), F_MODEL, 5},
	{S("gen_ai.usage.input_tokens"), F_TOKENS_IN, 9},
	{S("gen_ai.usage.prompt_tokens"), F_TOKENS_IN, 8},
	{S("llm.token_count.prompt"), F_TOKENS_IN, 7},
	{S("llm.usage.prompt_tokens"), F_TOKENS_IN, 6},
	{S("gen_ai.usage.output_tokens"), F_TOKENS_OUT, 9},
	{S("gen_ai.usage.completion_tokens"), F_TOKENS_OUT, 8},
	{S("llm.token_count.completion"), F_TOKENS_OUT, 7},
	{S("llm.usage.completion_tokens"), F_TOKENS_OUT, 6},
	{S("gen_ai.usage.cost"), F_COST, 9},
	{S("llm.cost.total"), F_COST, 8},
	{S("langfuse.observation.usage_details"), F_USAGE, 9},
	{S("mlflow.chat.tokenUsage"), F_USAGE, 8},
	{S("langfuse.observation.cost_details"), F_COSTS, 9},
	{S("mlflow.llm.cost"), F_COSTS, 8},
	{S("session.id"), F_SESSION, 9},
	{S("langfuse.session.id"), F_SESSION, 8},
	{S("gen_ai.conversation.id"), F_SESSION, 7},
	{S("user.id"), F_USER, 9},
	{S("langfuse.user.id"), F_USER, 8},
	{S("enduser.id"), F_USER, 7},
	{S("langfuse.trace.input"), F_INPUT, 10},
	{S("gen_ai.input.messages"), F_INPUT, 9},
	{S("input.value"), F_INPUT, 8},
	{S("langfuse.observation.input"), F_INPUT, 7},
	{S("mlflow.spanInputs"), F_INPUT, 6},
	{S("gen_ai.prompt"), F_INPUT, 5},
	{S("gen_ai.tool.call.arguments"), F_INPUT, 5},
	{S("gen_ai.retrieval.query.text"), F_INPUT, 5},
	{S("traceloop.entity.input"), F_INPUT, 4},
	{S("langfuse.trace.output"), F_OUTPUT, 10},
	{S("gen_ai.output.messages"), F_OUTPUT, 9},
	{S("output.value"), F_OUTPUT, 8},
	{S("langfuse.observation.output"), F_OUTPUT, 7},
	{S("mlflow.spanOutputs"), F_OUTPUT, 6},
	{S("gen_ai.completion"), F_OUTPUT, 5},
	{S("gen_ai.tool.call.result"), F_OUTPUT, 5},
	{S("gen_ai.retrieval.documents"), F_OUTPUT, 5},
	{S("traceloop.entity.output"), F_OUTPUT, 4},
	{S("langfuse.trace.name"), F_TRACE_NAME, 9},
	{S("mlflow.traceName"), F_TRACE_NAME, 8},
	{S("mcp.method.name"), F_TOOL, 1},
	{S("gen_ai.tool.name"), F_TOOL, 2},
};

/* Words of all conventions, in lower case, to ours. */
static const struct {
	const char *word, *type;
} types[] = {
	{"llm", "llm"}, /* OpenInference */
	{"embedding", "embedding"},
	{"chain", "chain"},
	{"retriever", "retriever"},
	{"reranker", "reranker"},
	{"tool", "tool"},
	{"agent", "agent"},
	{"guardrail", "guardrail"},
	{"evaluator", "evaluator"},
	{"prompt", "prompt"},
	{"chat", "llm"}, /* OpenTelemetry */
	{"text_completion", "llm"},
	{"generate_content", "llm"},
	{"embeddings", "embedding"},
	{"retrieval", "retriever"},
	{"execute_tool", "tool"},
	{"create_agent", "agent"},
	{"invoke_agent", "agent"},
	{"invoke_workflow", "chain"},
	{"plan", "chain"},
	{"create_memory", "memory"},
	{"search_memory", "memory"},
	{"update_memory", "memory"},
	{"upsert_memory", "memory"},
	{"delete_memory", "memory"},
	{"create_memory_store", "memory"},
	{"delete_memory_store", "memory"},
	{"generation", "llm"}, /* Langfuse */
	{"event", "event"},
	{"chat_model", "llm"}, /* MLflow */
	{"parser", "parser"},
	{"memory", "memory"},
	{"workflow", "chain"},
	{"task", "chain"},
};

const char *trace_type_of(struct str word)
{
	if (word.n >= 2 && word.p[0] == '"' && word.p[word.n - 1] == '"')
		word = str_sub(word, 1, word.n - 1); /* MLflow writes every value as JSON */
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (str_eq_nocase(word, str_c(types[i].word)))
			return types[i].type;
	return NULL;
}

const char *trace_type_word(struct str type, size_t at)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (str_eq_c(type, types[i].type) && !at--)
			return types[i].word;
	return NULL;
}

static int64_t number(const struct otel_value *v)
{
	int64_t i = 0;
	if (v->type == OTEL_INT)
		i = v->i;
	else if (v->type == OTEL_DOUBLE && v->f >= 0 && v->f < 9e15)
		i = (int64_t)v->f;
	else if (v->type == OTEL_STR && !str_i64(v->s, &i))
		i = 0;
	return i < 0 ? 0 : MIN(i, (int64_t)1 << 53);
}

static double amount(const struct otel_value *v)
{
	double f = 0;
	if (v->type == OTEL_DOUBLE)
		f = v->f;
	else if (v->type == OTEL_INT)
		f = (double)v->i;
	else if (v->type == OTEL_STR && !str_f64(v->s, &f))
		f = 0;
	return f > 0 && f < 1e12 ? f : 0; /* NaN too becomes 0 */
}

static struct str text(const struct otel_value *v)
{
	return v->type == OTEL_STR ? v->s : (struct str){"", 0};
}

/* {"input": 1, "output": 2}, {"input_tokens": ...}, {"prompt_tokens": ...} */
static void usage_json(struct str json, struct trace_facts *out)
{
	static const char *const in[] = {"input", "input_tokens", "prompt_tokens"};
	static const char *const to[] = {"output", "output_tokens", "completion_tokens"};
	yyjson_doc *doc;
	if (json.n > 4096 || json_parse(json, &doc, NULL))
		return;
	yyjson_val *root = yyjson_doc_get_root(doc);
	for (size_t i = 0; i < ARRAY_LEN(in); i++) {
		out->tokens_in = MAX(out->tokens_in, json_i64(root, in[i], 0));
		out->tokens_out = MAX(out->tokens_out, json_i64(root, to[i], 0));
	}
	yyjson_doc_free(doc);
}

static void costs_json(struct str json, struct trace_facts *out)
{
	yyjson_doc *doc;
	if (json.n > 4096 || json_parse(json, &doc, NULL))
		return;
	yyjson_val *root = yyjson_doc_get_root(doc);
	double total = json_f64(root, "total", json_f64(root, "total_cost", -1));
	if (total < 0)
		total = json_f64(root, "input", 0) + json_f64(root, "output", 0);
	out->cost = total > 0 && total < 1e12 ? total : 0;
	yyjson_doc_free(doc);
}

/* Both come as JSON in a text or as structured values. */
static void with_json(const struct otel_value *v, void (*fn)(struct str, struct trace_facts *),
	struct trace_facts *out)
{
	if (v->type == OTEL_STR) {
		fn(v->s, out);
	} else if (v->type == OTEL_MAP) {
		struct buf b = {.max = 8192};
		struct jw w = {.out = &b};
		trace_value_json(&w, v);
		fn(buf_str(&b), out);
		buf_free(&b);
	}
}

static void find(const struct otel_span *s, struct otel_value got[F_SLOTS])
{
	unsigned char rank[F_SLOTS] = {0};
	struct pb m = pb_of(s->raw);
	struct str key;
	struct otel_value v;
	while (otel_next_attr(&m, OTEL_SPAN_ATTRS, &key, &v))
		for (size_t i = 0; i < ARRAY_LEN(names); i++) {
			if (names[i].name.n != key.n || memcmp(names[i].name.p, key.p, key.n))
				continue;
			unsigned slot = names[i].slot;
			if (names[i].rank > rank[slot]) {
				rank[slot] = names[i].rank;
				got[slot] = v;
			}
			break;
		}
}

static bool calls_model(const char *type)
{
	/* agents and chains repeat what the calls within them used */
	return strcmp(type, "llm") == 0 || strcmp(type, "embedding") == 0 ||
	       strcmp(type, "reranker") == 0;
}

void trace_facts_read(const struct otel_span *s, struct trace_facts *out)
{
	struct otel_value got[F_SLOTS] = {0};
	find(s, got);
	*out = (struct trace_facts){
		.type = trace_type_of(text(&got[F_KIND])),
		.model = text(&got[F_MODEL]),
		.session = text(&got[F_SESSION]),
		.user = text(&got[F_USER]),
		.trace_name = text(&got[F_TRACE_NAME]),
		.input = got[F_INPUT],
		.output = got[F_OUTPUT],
		.tokens_in = number(&got[F_TOKENS_IN]),
		.tokens_out = number(&got[F_TOKENS_OUT]),
		.cost = amount(&got[F_COST]),
	};
	if (!out->tokens_in && !out->tokens_out)
		with_json(&got[F_USAGE], usage_json, out);
	if (!out->cost)
		with_json(&got[F_COSTS], costs_json, out);
	if (!out->type)
		out->type = got[F_TOOL].type ? "tool"
			    : out->model.n   ? "llm"
			    : s->kind == 2   ? "server"
			    : s->kind == 3   ? "client"
			    : s->kind == 4   ? "producer"
			    : s->kind == 5   ? "consumer"
					     : "span";
	out->calls_model = calls_model(out->type);
}

void trace_facts_own(struct str kind, yyjson_val *a, struct trace_facts *out)
{
	*out = (struct trace_facts){.type = trace_type_of(kind)};
	if (!out->type)
		out->type = "span";
	out->calls_model = calls_model(out->type);
	out->model = json_str(a, "model");
	out->tokens_in = json_i64(a, "prompt_tokens", json_i64(a, "tokens.prompt", 0));
	out->tokens_out = json_i64(a, "completion_tokens", json_i64(a, "tokens.completion", 0));
}
