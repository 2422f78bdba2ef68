/* The rows of evaluation. */
#include "eval/autopsy.h"

enum { CORPUS_MAX = 256 << 20, QUERIES_MAX = 256 << 20 };

static const struct route routes[] = {
	{HTTP_GET, "/api/v1/eval/corpora", get_corpora, PERM_DOCUMENT_READ,
		"Corpora that evaluation keeps", NULL, NULL, "{ corpora: EvalCorpus[] }", 0},
	{HTTP_GET, "/api/v1/eval/corpora/{digest}", get_corpus, PERM_DOCUMENT_READ,
		"One of them, as it is cut into chunks", "{ chunk_tokens?: int }", NULL,
		"EvalCorpus", 0},
	{HTTP_POST, "/api/v1/eval/corpora/{digest}", post_corpus, PERM_DOCUMENT_WRITE,
		"Add documents to a corpus; done says that these are the last", NULL,
		"{ name?, chunk_tokens?: int, first?: boolean, done?: boolean, documents: { id, "
		"title?, text }[] }",
		"EvalCorpus", CORPUS_MAX},
	{HTTP_DELETE, "/api/v1/eval/corpora/{digest}", delete_corpus, PERM_DOCUMENT_WRITE,
		"Remove a corpus, however it was cut", NULL, NULL,
		"{ collections: int, documents: int }", 0},
	{HTTP_POST, "/api/v1/eval/retrieval", post_retrieval, PERM_DOCUMENT_READ,
		"Measure retrieval on judged queries; events progress, result", NULL,
		"{ name?, digest?, experiment?, seed?: int, resamples?: int, queries: { id, text "
		"}[], qrels: (string | number)[][], settings?: EvalSetting[], tune?: { "
		"trials?: int, collection?, chunk_tokens?: int[], rerank?: { model?, models?: "
		"string[], "
		"depths: int[], weights?: number[] }, stages?: string[], query_model?, diversity?: "
		"number[], half_life_days?: "
		"number[] } }",
		"{ name, queries: int, queries_without_judgement: int, judged_documents: int, "
		"judged_documents_never_found: int, seed: int, resamples: int, model, space, "
		"experiment: int | null, settings: EvalResult[], queries_to_tune?: int, trials?: "
		"object[], configuration?: object, query?: object, pairs: { read: int, kept: int } "
		"}",
		QUERIES_MAX},
	{HTTP_POST, "/api/v1/collections/{name}/migrations/judge", post_moved, PERM_DOCUMENT_WRITE,
		"Answer judged queries in both spaces of a migration and compare the measures; the "
		"migration keeps the result",
		NULL, "{ name?, space?, queries: { id, text }[], qrels: (string | number)[][] }",
		"MigrationJudged", QUERIES_MAX},
	{HTTP_POST, "/api/v1/eval/autopsy", post_autopsy, PERM_DOCUMENT_READ,
		"For questions with known answers, the stage that lost them; events progress, "
		"result",
		NULL,
		"{ questions: { id?, question, answer?, answers?: (string | object)[], document?, "
		"passage? }[], generate?: boolean, model?, digest?, k?: int, method?: Method, "
		"collection?, filters?: Filters, rerank?: boolean | { model?, depth?: int, "
		"weight?: number }, "
		"weights?: { dense?: number, bm25?: number } } & Stages",
		"{ questions: int, documents: int, generated: boolean, stages: { stage, questions: "
		"int, remedy, examples: string[] }[], cases: AutopsyCase[], run: id, took_ms: "
		"number }",
		QUERIES_MAX},
};

static const struct shape shapes[] = {
	{"MigrationJudged", "{ name, queries: int, queries_without_judgement: int, metrics: { "
			    "metric, from: Interval, to: Interval, difference: Interval, p: "
			    "number, better: int, worse: int }[] }"},
	{"EvalCorpus", "{ digest, name, collection, chunk_tokens: int, documents: int, failed: "
		       "int, ready: boolean, updated }"},
	{"AutopsyCase",
		"{ id, question, stage, why, remedy, document: string | null, page: int, quote: "
		"string | null, places: int, ranks: { keyword: int | null, dense: int | null, "
		"fused: "
		"int | null } | null, path: { stage, rank: int | null }[], rank: int | null, "
		"passages: int, answer: string | null, generated: string | null, notes: string[] "
		"}"},
	{"EvalSetting",
		"Stages & { label?, method?: Method, k?: int, rerank?: boolean | { model?, depth?: "
		"int, weight?: number }, weights?: { dense?: number, bm25?: number }, "
		"chunk_tokens?: int, "
		"collection?, filters?: Filters }"},
	{"EvalResult", "Stages & { label, method: Method, k: int, rerank: { model, depth: int, "
		       "weight: number } | null, "
		       "dense_weight: number, chunk_tokens: int, collection, document_set, "
		       "metrics: object, against_first?: object, worse?: { query, text, before: "
		       "number, after: number }[], took_ms: number, run: id | null }"},
};

static const struct option retrieval_options[] = {
	{"setting", 's', "SETTING",
		"hybrid, dense or bm25, with :weight=X :rerank=N :model=NAME :mix=X :chunk=N :k=N "
		":rewrite "
		":decompose :hyde :query=NAME :filters :diversity=X :halflife=DAYS; may be given "
		"again"},
	{"collection", 'c', "NAME", "A collection that holds the corpus already"},
	{"qrels", 0, "FILE", "Judgements (qrels/test.tsv, else qrels.tsv)"},
	{"queries", 'n', "N", "Only the first N queries"},
	{"seed", 0, "N", "Of resampling and splits (1)"},
	{"resamples", 0, "N", "Of the bootstrap and the permutation test (1000)"},
	{"experiment", 'e', "NAME", "Where it is recorded (retrieval FOLDER)"},
	{"no-record", 0, NULL, "Record no runs"},
	{"tune", 0, NULL, "Search for the best setting on half of the queries"},
	{"trials", 0, "N", "At most so many settings are tried (24)"},
	{"chunk-tokens", 0, "N,N", "Lengths of chunks to try beside the configuration's"},
	{"rerank-depths", 0, "N,N", "Depths of reranking to try"},
	{"rerank-model", 0, "NAME,NAME", "With which cross-encoders"},
	{"rerank-weights", 0, "X,X",
		"What they weigh beside the search's relevance, to try beside the configuration's"},
	{"stages", 0, "NAME,NAME", "Of rewrite, decompose, hyde, derive_filters: to try each"},
	{"query-model", 0, "NAME", "The chat model or provider of the first three"},
	{"diversities", 0, "X,X", "Diversities (0..1) to try"},
	{"half-lives", 0, "DAYS,DAYS", "Half-lives of documents to try"},
	{"forget", 0, NULL, "Remove what was kept of the folder's corpus"},
};

static const struct option migration_options[] = {
	{"space", 0, "NAME", "Which vectors, when there are several kinds"},
	{"qrels", 0, "FILE", "Judgements (qrels/test.tsv, else qrels.tsv)"},
	{"queries", 'n', "N", "Only the first N queries"},
};

static const struct command commands[] = {
	{"eval retrieval", run_eval_retrieval, "FOLDER", retrieval_options,
		ARRAY_LEN(retrieval_options),
		"Measure retrieval on a folder of judged queries, and compare settings",
		"FOLDER has corpus.jsonl, queries.jsonl and qrels/*.tsv, as BEIR's sets have. The "
		"first setting\n"
		"is what the others are compared with. Examples:\n\n"
		"  croft eval retrieval scifact\n"
		"  croft eval retrieval scifact -s hybrid -s hybrid:weight=2 -s hybrid:rerank=50\n"
		"  croft eval retrieval scifact --tune --chunk-tokens 128,320"},
	{"eval migration", run_eval_migration, "NAME FOLDER", migration_options,
		ARRAY_LEN(migration_options),
		"Compare a collection's present and next model on a folder of judged queries",
		"The collection is moving to another model (croft collections migrate) and its ids "
		"are those of\n"
		"the judgements. FOLDER has queries.jsonl and qrels/*.tsv. Example:\n\n"
		"  croft eval migration faq faq-judged"},
	{"eval autopsy", run_eval_autopsy, "[FILE]", autopsy_options, N_AUTOPSY_OPTIONS,
		"Say which stage lost the answer of a question",
		"FILE has a question in each line, {\"question\", \"answer\", \"document\"?, "
		"\"passage\"?}; a folder\n"
		"as BEIR's sets have it, whose queries have answers, is searched as croft eval "
		"retrieval\n"
		"does. Examples:\n\n"
		"  croft eval autopsy -q 'how long is the notice period' -a 'three months'\n"
		"  croft eval autopsy questions.jsonl --rerank --generate"},
};

const struct module eval_module = {
	.name = "eval",
	.migrations = eval_migrations,
	.n_migrations = 1,
	TABLE(routes),
	TABLE(shapes),
	TABLE(commands),
};
