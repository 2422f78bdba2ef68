/* The options of whatever command asks for passages, and their members of a request. */
#ifndef RAG_QUERY_CMD_H
#define RAG_QUERY_CMD_H
#include "module/cmd.h"

#define RAG_STAGE_OPTIONS                                                                          \
	{"rewrite", 0, NULL, "A chat model rewrites the question; both are searched"},             \
		{"decompose", 0, NULL, "It takes the question apart; the parts are searched too"}, \
		{"hyde", 0, NULL, "It writes a passage that would answer, to look for the like"},  \
		{"query-model", 0, "NAME", "Which chat model or provider does that"},              \
		{"derive-filters", 0, NULL, "Types, tags and dates in the question are filters"},  \
		{"derive-by", 0, "HOW", "By rules or by a chat model: rules, model"},              \
		{"diversity", 0, "X", "0..1: how much passages must differ from better ones"},     \
		{"half-life", 0, "DAYS", "A document so much older counts half as much"},          \
		{"parent", 0, NULL, "Give the section that a passage stands in"},                  \
	{                                                                                          \
		"neighbours", 0, "N", "Give N passages before and after it"                        \
	}
enum { N_RAG_STAGE_OPTIONS = 10 };

/* Of an open object: k, method, collection, rerank, weights, stages and filters, as far as the
 * command has those options: number, method, collection, rerank, rerank-model, rerank-depth,
 * dense-weight, path, type, tag, from, to and the stages'. */
enum err rag_query_members(struct cmd *cmd, struct jw *w, struct errtext *et) MUST_CHECK;

#endif
