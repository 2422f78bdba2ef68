/* Documents, retrieval and answers.
 *
 * A document is an immutable version (the SHA-256 of its bytes) under a path; its chunks, vectors
 * and keyword terms are written in the same transaction as the document row, and the in-memory
 * indexes change right after the commit: a document that was acknowledged is searchable, one that
 * was deleted is not, and both stay so after kill -9. */
#ifndef RAG_RAG_H
#define RAG_RAG_H
#include "module/module.h"

extern const struct module rag_module;

struct rag_filter {
	struct str path_glob, type, tag;
	int64_t from_ms, to_ms; /* of the document's date; 0: open */
};

enum rag_method { RAG_HYBRID, RAG_DENSE, RAG_BM25 };

struct rag_query {
	struct str text;
	struct str project;    /* only its documents are searched; "": "default" */
	struct str collection; /* "" : "default" */
	size_t k;              /* 0: the setting rag.top_k */
	enum rag_method method;
	struct rag_filter filter;
};

struct rag_hit {
	int64_t chunk;
	struct id document;
	struct str path, title, heading_path, text, type;
	uint32_t page, from, to;        /* bytes of the document's extracted text */
	float score, dense, bm25;       /* fused; each method's own */
	uint32_t dense_rank, bm25_rank; /* from 1; 0: not among its candidates */
};

/* Hits are in `a`. */
enum err rag_search(struct croft *c, const struct rag_query *q, struct arena *a,
	struct rag_hit **hits, size_t *n, const struct cancel *cancel,
	struct errtext *et) MUST_CHECK;

#endif
