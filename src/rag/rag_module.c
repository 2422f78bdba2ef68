/* The rows of documents, search and answers. */
#include "rag/ask.h"

enum { UPLOAD_MAX = 512 << 20, PLAN_MAX = 256 << 20 };

static const struct route routes[] = {
	{HTTP_GET, "/api/v1/documents", get_documents, PERM_DOCUMENT_READ,
		"List documents, newest first",
		"{ status?, type?, q?, collection?, limit?: int, after?: id }", NULL,
		"{ documents: Document[], total: int, failed: int, next: id | null }", 0},
	{HTTP_POST, "/api/v1/documents", post_documents, PERM_DOCUMENT_WRITE,
		"Upload and index files", NULL, "{ file: file, collection?, tags? }",
		"{ documents: (Document & Outcome)[] }", UPLOAD_MAX},
	{HTTP_PUT, "/api/v1/documents/by-path", put_document, PERM_DOCUMENT_WRITE,
		"Index one file, sent as the body, under a path",
		"{ path, collection?, tags?, mtime_ms?: int }", NULL, "Document & Outcome",
		UPLOAD_MAX},
	{HTTP_POST, "/api/v1/ingest/plan", post_plan, PERM_DOCUMENT_WRITE,
		"Say which files of a tree must be sent or hashed; remove those that are gone",
		NULL,
		"{ collection?, roots: string[], prune?: boolean, files: { path, bytes: int, "
		"mtime_ms: int, "
		"sha256? }[] }",
		"{ upload: string[], hash: string[], unchanged: int, removed: string[], "
		"failed: { path, code, message }[] }",
		PLAN_MAX},
	{HTTP_POST, "/api/v1/ingest/commit", post_ingest_commit, PERM_DOCUMENT_WRITE,
		"Make a version of the collection's document set now, unless the newest is the "
		"same",
		NULL, "{ collection? }", "{ document_set: string | null, made: boolean }", 0},
	{HTTP_GET, "/api/v1/documents/{id}", get_document, PERM_DOCUMENT_READ, "One document", NULL,
		NULL, "Document", 0},
	{HTTP_GET, "/api/v1/documents/{id}/text", get_text, PERM_DOCUMENT_READ,
		"Its extracted text and blocks", NULL, NULL,
		"{ document: Document, text, blocks: Block[] }", 0},
	{HTTP_GET, "/api/v1/documents/{id}/chunks", get_chunks, PERM_DOCUMENT_READ, "Its chunks",
		NULL, NULL, "{ chunks: Chunk[] }", 0},
	{HTTP_GET, "/api/v1/documents/{id}/content", get_content, PERM_DOCUMENT_READ,
		"The original bytes", NULL, NULL, NULL, 0},
	{HTTP_DELETE, "/api/v1/documents/{id}", delete_document, PERM_DOCUMENT_WRITE,
		"Delete a document and everything of it that can be found", NULL, NULL,
		"{ deleted: boolean }", 0},
	{HTTP_POST, "/api/v1/search", post_search, PERM_DOCUMENT_READ, "Find passages", NULL,
		"{ query, k?: int, method?: Method, collection?, filters?: Filters, rerank?: "
		"boolean | { model?, depth?: int, weight?: number }, weights?: { dense?: number, "
		"bm25?: number } } "
		"& Stages",
		"Trail & { hits: Hit[], document_set: string | null, document_changes: int, run: "
		"id, "
		"took_ms: number }",
		0},
	{HTTP_POST, "/api/v1/ask", post_ask, PERM_DOCUMENT_READ,
		"Answer a question from the documents; events run, passages, best, token..., "
		"answer",
		NULL,
		"{ question, model?, k?: int, method?: Method, collection?, filters?: Filters, "
		"rerank?: boolean | { model?, depth?: int, weight?: number }, weights?: { dense?: "
		"number, bm25?: "
		"number }, "
		"temperature?: number, seed?: int, max_tokens?: int, stream?: boolean } & Stages",
		"Answer & { passages: (Hit & { n: int })[] }", 0},
};

static const struct shape shapes[] = {
	{"Document", "{ id: id, path, title, type, collection, status: \"indexed\" | \"failed\", "
		     "error: { code, message } | null, warnings: string[], bytes: int, pages: int, "
		     "chunks: int, language, author, tags: string[], sha256, version: int, "
		     "created: string | null, added: string, updated: string }"},
	{"Outcome", "{ outcome: \"indexed\" | \"unchanged\" | \"failed\", embedded: int, reused: "
		    "int }"},
	{"Block", "{ kind, from: int, to: int, page: int, level: int }"},
	{"Chunk", "{ id: int, document: id, from: int, to: int, page: int, heading_path, tokens: "
		  "int, text }"},
	{"Stages", "{ rewrite?: boolean, decompose?: boolean, hyde?: boolean, query_model?, "
		   "query_timeout_ms?: int, "
		   "derive_filters?: boolean | \"auto\" | \"rules\" | \"model\", diversity?: "
		   "number, recency?: boolean | { "
		   "half_life_days?: "
		   "number, weight?: number, field? }, context?: boolean | { parent?: boolean, "
		   "neighbours?: int, tokens?: int } }"},
	{"DerivedFilters", "{ type?, tag?, from?, to?, attributes?: object, by: \"rules\" | "
			   "\"model\", words: object, dropped: boolean }"},
	{"Trail",
		"{ searched: { as: \"question\" | \"rewritten\" | \"part\", text }[], "
		"hypothetical_passage: string | null, derived_filters: DerivedFilters | null, "
		"notes: string[], stages: { stage, took_ms: number, passages: int, note: string | "
		"null }[] }"},
	{"Method", "\"hybrid\" | \"dense\" | \"bm25\""},
	{"Filters", "{ path?, type?, tag?, from?, to? }"},
	{"Hit", "{ chunk: int, document: id, path, title, type, page: int, heading_path, from: "
		"int, to: int, "
		"text, score: number, dense: number | null, dense_rank: int | null, bm25: number | "
		"null, "
		"bm25_rank: int | null, rerank?: number, rank_before?: int, age?: number, pieces?: "
		"{ chunk: int, from: int, to: int }[], why: { term, score: "
		"number, tf: int, df: int }[] }"},
	{"BestSentence", "{ n: int, text, score: number, document: id, page: int, from: int, to: "
			 "int }"},
	{"Citation", "{ n: int, status: \"verbatim\" | \"supported\" | \"unsupported\", added_by: "
		     "\"model\" | \"check\", reason: string | null, answer_from: int, answer_to: "
		     "int, quote, score: number, document: id, title, path, page: int, from: int, "
		     "to: int }"},
	{"Source",
		"{ n: int, document: id, title, path, page: int, heading_path, quote, from: int, "
		"to: int }"},
	{"Answer",
		"Trail & { answer, grounded: boolean, reason: string | null, support: number, "
		"lead_to: "
		"int, generated: string | null, citations: Citation[], sources: Source[], best: "
		"BestSentence[], "
		"usage: { prompt_tokens: int, completion_tokens: int, passages_used: int }, "
		"timings: { retrieve_ms: number, prompt_ms: number, decode_ms: number, check_ms: "
		"number, total_ms: number }, document_set: string | null, document_changes: int, "
		"model, run: id }"},
};

static const struct setting settings[] = {
	{"rag.answer_support", SET_INT, "20",
		"Below this chance (%) that the passages hold an answer, none is written", 0, 100},
	{"rag.answer_tokens", SET_INT, "200", "Tokens of the longest answer", 1, 65536},
	{"rag.lead_below", SET_INT, "1000",
		"The answers of models with fewer million parameters begin with the best sentence "
		"of the passages; 0: none do",
		0, 1 << 20},
	{"rag.prompt_tokens", SET_INT, "1200",
		"Tokens of a question's prompt; passages beyond are left out, and the run says so",
		128, 1 << 20},
	{"rag.top_k", SET_INT, "6", "Passages that a question retrieves", 1, 100},
	{"rag.dense_weight", SET_INT, "100",
		"What the dense side of a hybrid search weighs beside words, in percent of what "
		"was measured best on many sets",
		1, 10000},
	{"rag.rewrite", SET_BOOL, "false", "A chat model rewrites the question; both are searched",
		0, 0},
	{"rag.decompose", SET_BOOL, "false",
		"A chat model takes the question apart; the parts are searched beside it", 0, 0},
	{"rag.hyde", SET_BOOL, "false",
		"A chat model writes the passage that would answer the question; what is like it "
		"is looked for",
		0, 0},
	{"rag.query_model", SET_TEXT, "",
		"The endpoint of those three and of filters: a chat model or a provider; empty: "
		"the default",
		0, 0},
	{"rag.query_timeout", SET_DURATION, "20s",
		"How long they may take together; then the question is searched as it is", 100,
		600000},
	{"rag.rerank_depth", SET_INT, "0",
		"How many of the best passages a cross-encoder (rerank.model) reads; 0: none", 0,
		1000},
	{"rag.rerank_weight", SET_INT, "100",
		"What the cross-encoder weighs beside the search's own relevance, in percent; "
		"100: it alone",
		1, 100},
	{"rag.derive_filters", SET_BOOL, "false",
		"Types, tags, attributes and dates that the question names become filters", 0, 0},
	{"rag.derive_by", SET_TEXT, "auto",
		"Who reads them from the question: rules, model (a chat model, rag.query_model), "
		"or auto: the model where rag.query_model names one, else rules",
		0, 0},
	{"rag.diversity", SET_INT, "0",
		"What unlikeness to better passages weighs beside relevance, in percent", 0, 100},
	{"rag.half_life_days", SET_INT, "0",
		"A document so much older counts half as much; 0: age does not count", 0, 1000000},
	{"rag.recency_weight", SET_INT, "50",
		"How much of a passage's score its age can take, in percent", 1, 100},
	{"rag.date_field", SET_TEXT, "",
		"What age is counted from: empty (the document's own date, else when it was "
		"added), added, updated, or an attribute",
		0, 0},
	{"rag.parent", SET_BOOL, "false",
		"The section that a passage stands in is given, and not the passage", 0, 0},
	{"rag.neighbours", SET_INT, "0", "So many passages before and after one are given too", 0,
		20},
	{"rag.context_tokens", SET_INT, "600",
		"Tokens of what is given for one passage, with its section or neighbours", 16,
		65536},
	{"rag.chunk_tokens", SET_INT, "200", "Tokens of the embedding model in a chunk", 16, 8192},
	{"rag.chunk_overlap", SET_INT, "30", "Tokens that a chunk repeats of the one before", 0,
		4096},
};

static const struct command commands[] = {
	{"ingest", run_ingest, "PATH...", ingest_options, N_INGEST_OPTIONS,
		"Index files and folders",
		"PATH is a file, a folder, a pattern, or - for standard input (with --name). "
		"Unchanged files\n"
		"are skipped, changed ones re-embed only what changed, files that are gone from a "
		"folder\n"
		"named here are removed from the index. Example:\n\n"
		"  croft ingest ~/papers --tag physics"},
	{"docs", run_docs, "", docs_options, N_DOCS_OPTIONS, "List documents", NULL},
	{"docs show", run_docs_show, "ID", NULL, 0, "Show a document and its chunks", NULL},
	{"docs rm", run_docs_rm, "ID", NULL, 0, "Delete a document", NULL},
	{"ask", run_ask, "QUESTION", ask_options, N_ASK_OPTIONS,
		"Answer a question from the documents, with citations",
		"Every sentence is checked against the passages: verbatim, supported or "
		"unsupported. "
		"The best\n"
		"sentences of the passages stand beside what the model writes. Example:\n\n"
		"  croft ask how long is the notice period"},
	{"search", run_search, "QUERY", search_options, N_SEARCH_OPTIONS,
		"Find passages, with their scores",
		"Example:\n\n  croft search \"notice period\" -k 3 --type pdf"},
};

const struct module rag_module = {
	.name = "rag",
	.migrations = rag_migrations,
	.n_migrations = 5,
	TABLE(routes),
	TABLE(shapes),
	TABLE(settings),
	TABLE(commands),
	.init = rag_init,
	.start = rag_start,
	.stop = rag_stop,
	.ready = rag_ready,
	.blobs = rag_blobs,
	.metrics = rag_metrics,
	.status = rag_status,
};
