/* The module: rows of the faces. */
#include "api/api_int.h"
#include "api/mlflow_trace.h"
#include "api/otlp.h"

/* To add a route: its row here, its handler in the file of its face. */
static const struct route routes[] = {
	{HTTP_GET, "/v1/models", openai_models, PERM_MODEL_READ, "List the installed models", NULL,
		NULL, "{ object: \"list\", data: OpenAIModel[] }", 0},
	{HTTP_GET, "/v1/models/{id...}", openai_model, PERM_MODEL_READ, "Show an installed model",
		NULL, NULL, "OpenAIModel", 0},
	{HTTP_POST, "/v1/chat/completions", openai_chat, PERM_MODEL_USE,
		"Answer a conversation; with stream, as server-sent events", NULL, "OpenAIChat",
		"object", 0},
	{HTTP_POST, "/v1/completions", openai_completion, PERM_MODEL_USE,
		"Continue a text; with stream, as server-sent events", NULL, "OpenAICompletion",
		"object", 0},
	{HTTP_POST, "/v1/embeddings", openai_embed, PERM_MODEL_USE, "Embed texts", NULL,
		"OpenAIEmbedding", "object", 0},
	{HTTP_POST, "/v1/traces", otlp_traces, PERM_RUN_WRITE,
		"Store OpenTelemetry spans (OTLP/HTTP, protobuf or JSON)", NULL, NULL, "object",
		64 << 20},
	{HTTP_POST, "/api/public/otel/v1/traces", otlp_traces, PERM_RUN_WRITE,
		"The same, where Langfuse's clients send it", NULL, NULL, "object", 64 << 20},
	{HTTP_POST, "/v1/logs", otlp_logs, PERM_RUN_WRITE,
		"Store OpenTelemetry log records (OTLP/HTTP, protobuf or JSON)", NULL, NULL,
		"object", 64 << 20},
	{HTTP_POST, "/v1/metrics", otlp_metrics, PERM_RUN_WRITE,
		"Refused: OpenTelemetry metrics are not taken", NULL, NULL, "object", 64 << 20},
	MLFLOW_TRACE_ROUTES,
};

#define SAMPLING                                                                                   \
	"model?, stream?: boolean, stream_options?: { include_usage?: boolean }, n?: int, "        \
	"max_tokens?: int, temperature?: number, top_p?: number, top_k?: int, min_p?: number, "    \
	"repeat_penalty?: number, presence_penalty?: number, frequency_penalty?: number, "         \
	"seed?: int, stop?: string | string[], logit_bias?: object, "                              \
	"response_format?: { type: \"text\" | \"json_object\" | \"json_schema\", json_schema?: { " \
	"name, strict?: boolean, schema: object } }, json_schema?: object, guided_json?: object "  \
	"| "                                                                                       \
	"string, grammar?, guided_regex?, "                                                        \
	"guided_grammar?, guided_choice?: string[], structured_outputs?: { json?: object | "       \
	"string, "                                                                                 \
	"regex?, grammar?, "                                                                       \
	"choice?: string[], json_object?: boolean }, "

static const struct shape shapes[] = {
	{"OpenAIModel", "{ id, object: \"model\", created: int, owned_by, root, parent: string | "
			"null, purpose: \"chat\" | "
			"\"embed\" | \"rerank\" | \"remote\" }"},
	{"OpenAIMessage",
		"{ role: \"system\" | \"developer\" | \"user\" | \"assistant\" | "
		"\"tool\" | \"function\", content?: string | { type: \"text\", text }[], "
		"name?, tool_call_id?, tool_calls?: { id, type: \"function\", function: { "
		"name, arguments } }[] }"},
	{"OpenAIFunction", "{ name, description?, parameters?: object, strict?: boolean }"},
	{"OpenAIChat", "{ " SAMPLING "max_completion_tokens?: int, logprobs?: boolean, "
		       "top_logprobs?: int, messages: OpenAIMessage[], "
		       "tools?: { type: \"function\", function: OpenAIFunction }[], "
		       "tool_choice?: string | object, parallel_tool_calls?: boolean, "
		       "functions?: OpenAIFunction[], function_call?: string | object, "
		       "reasoning_effort?, chat_template_kwargs?: object, receipt?: boolean }"},
	{"OpenAICompletion", "{ " SAMPLING "logprobs?: int, "
			     "prompt: string | string[] | int[] | int[][] }"},
	{"OpenAIEmbedding", "{ model?, input: string | string[] | int[] | int[][], "
			    "encoding_format?: \"float\" | \"base64\", dimensions?: int, "
			    "input_type?: \"query\" | \"document\" }"},
};

static const struct option text_options[] = {
	{"exact", 0, NULL, "A line end at the end of the text belongs to it"}};

#define SCHEMA_OPTIONS                                                                          \
	{"strict", 0, NULL, "Only as a model writes: properties in order, no odd white space"}, \
	{                                                                                       \
		"loose-types", 0, NULL,                                                         \
			"Read types as function schemas write them: dict, float, any"           \
	}

static const struct option accept_options[] = {SCHEMA_OPTIONS};
static const struct option sample_options[] = {
	SCHEMA_OPTIONS,
	{"count", 'n', "N", "How many; 1 if not given"},
	{"seed", 0, "N", "Of the first one; the next ones count up. 0 if not given"},
};

static const struct command commands[] = {
	{"grammar accept", run_grammar_accept, "GRAMMAR FILE", text_options,
		ARRAY_LEN(text_options), "Follow a text by a grammar (GBNF), byte by byte",
		"The grammar and the text are files; - is standard input. Exits with 0 when a "
		"model that "
		"is "
		"held to the\n"
		"grammar could write the text. An error names the first byte that it could not, or "
		"what is wrong\n"
		"with the grammar.\n\n"
		"  echo 'root ::= [a-z]+ \"!\"' >g.gbnf; echo hello! | croft grammar accept g.gbnf "
		"-"},
	{"regex accept", run_regex_accept, "PATTERN FILE", text_options, ARRAY_LEN(text_options),
		"Follow a text by a regular expression, byte by byte",
		"The expression must match the whole text, which is a file, or - for standard "
		"input.\n\n"
		"  echo 2026-11-27 | croft regex accept '\\d{4}-\\d\\d-\\d\\d' -"},
	{"chat", run_chat, "MESSAGE...", chat_options, N_CHAT_OPTIONS,
		"Talk with a model: one message, or line by line",
		"Without a message each line of standard input is a turn; the model is told the "
		"whole conversation.\n"
		"Lines that begin with / are commands: /help lists them. "
		"What it thinks before it answers is dim. --json prints the replies of the API. "
		"Examples:\n\n"
		"  croft chat name three rivers --temperature 0\n"
		"  croft chat --system 'Answer in one sentence.'"},
	{"replay", run_replay, "RUN", NULL, 0,
		"Ask a recorded chat request again, and compare the answers byte for byte",
		"The same model, prompt, sampling and seed give the same answer. Says reproduced, "
		"or where an\n"
		"answer differs and what has changed since: model, template, engine. Exits with 0 "
		"when all are\n"
		"reproduced."},
	{"schema accept", run_schema_accept, "SCHEMA INSTANCE", accept_options,
		ARRAY_LEN(accept_options), "Follow a JSON text by a JSON Schema, byte by byte",
		"SCHEMA and INSTANCE are files; - is standard input. Exits with 0 when a model "
		"that is held to the\n"
		"schema could write the instance. An error names the first byte that it could not, "
		"or what of\n"
		"the schema cannot be enforced.\n\n"
		"  echo '{\"type\":\"integer\",\"maximum\":9}' >s.json; echo 7 | croft schema "
		"accept s.json -"},
	{"schema sample", run_schema_sample, "SCHEMA", sample_options, ARRAY_LEN(sample_options),
		"Random JSON texts that a JSON Schema allows, one a line",
		"For tests of what reads them. The same seed gives the same texts."},
};

const struct module api_module = {
	.name = "api",
	TABLE(routes),
	TABLE(shapes),
	TABLE(commands),
};
