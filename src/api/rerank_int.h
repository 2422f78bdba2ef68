/* What a request to rerank asks. */
#ifndef API_RERANK_INT_H
#define API_RERANK_INT_H
#include "api/api_int.h"

enum { RERANK_DOCUMENTS_MAX = 1000 };

struct rerank_params {
	struct str model, query;
	struct str *docs;
	size_t n;
	int64_t top_n, doc_tokens; /* top_n 0: all */
	bool texts;                /* asked, and answered, as text-embeddings-inference has it */
	bool documents, raw, cut;  /* documents are wanted back; raw scores; cutting is allowed */
};

/* Texts are the arena's. An error names the parameter. */
enum err rerank_parse(
	struct str body, struct arena *a, struct rerank_params *p, struct api_error *x) MUST_CHECK;

#endif
