/* What the engine computes, for the oracles in tools/oracle (bench_engine.c measures how fast).
 *
 *	engine_dump tokens MODEL              stdin: text; stdout: ids, one a line
 *	engine_dump logits MODEL [ADAPTER]    stdin: ids, one a line; stdout: f32 [n][vocab]
 *	engine_dump embed MODEL [query|document]
 *	                                      stdin: texts, one a line; stdout: f32 [n][dim]
 *	engine_dump rank MODEL                stdin: query, documents, one a line; stdout: scores
 *	engine_dump greedy MODEL N            stdin: a prompt's text; stdout: N tokens' text */
#include "base/os.h"
#include "engine/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct errtext et;

static void must(enum err e)
{
	if (!e)
		return;
	fprintf(stderr, "engine_dump: %s\n", err_text(e, &et));
	exit(err_exit(e));
}

static struct buf input(void)
{
	struct buf b = {0};
	char part[65536];
	for (ssize_t n; (n = read(0, part, sizeof part)) > 0;)
		buf_add(&b, part, (size_t)n);
	must(b.err);
	return b;
}

static struct model *open_model(const char *path)
{
	struct model *m;
	must(model_open(path, &(struct model_options){0}, &m, &et));
	return m;
}

static int tokens(struct model *m)
{
	struct buf text = input();
	struct tokens t = {0};
	must(tokenizer_encode(model_tokenizer(m), buf_str(&text),
		TOKENIZE_ADD_SPECIAL | TOKENIZE_SPECIAL, &t, &et));
	for (size_t i = 0; i < t.n; i++)
		printf("%d\n", t.id[i]);
	tokens_free(&t);
	buf_free(&text);
	return 0;
}

static int logits(struct model *m, const char *adapter)
{
	struct adapter *a = NULL;
	if (adapter)
		must(adapter_open(adapter, m, NULL, &a, &et));
	struct buf text = input();
	struct str rest = buf_str(&text), line;
	size_t n = 0, vocab = model_info(m)->vocab;
	int32_t *ids = malloc((text.n + 1) * sizeof *ids);
	int64_t v;
	while (ids && str_next_line(&rest, &line))
		if (str_i64(str_trim(line), &v))
			ids[n++] = (int32_t)v;
	float *out = malloc(n * vocab * sizeof *out + 1);
	if (!ids || !out)
		must(ERR_NOMEM);
	must(model_logits(m, a, ids, n, out, NULL, &et));
	fwrite(out, sizeof *out, n * vocab, stdout);
	adapter_unref(a);
	free(out);
	free(ids);
	buf_free(&text);
	return 0;
}

static int embed(struct model *m, struct str as)
{
	struct buf text = input();
	struct str rest = buf_str(&text), line, *texts = malloc((text.n + 1) * sizeof *texts);
	size_t n = 0, dim = model_info(m)->embedding_dim;
	while (texts && str_next_line(&rest, &line))
		texts[n++] = line;
	float *out = malloc(n * dim * sizeof *out + 1);
	if (!texts || !out)
		must(ERR_NOMEM);
	enum embed_as role = str_eq_c(as, "query")      ? EMBED_QUERY
			     : str_eq_c(as, "document") ? EMBED_DOCUMENT
							: EMBED_PLAIN;
	must(embed_texts_as(m, role, texts, n, true, out, NULL, NULL, NULL, &et));
	fwrite(out, sizeof *out, n * dim, stdout);
	free(out);
	free(texts);
	buf_free(&text);
	return 0;
}

/* The first line is the query: a score for each of the others. */
static int rank(struct model *m)
{
	struct buf text = input();
	struct str rest = buf_str(&text), line, query, *docs = malloc((text.n + 1) * sizeof *docs);
	size_t n = 0;
	if (!docs || !str_next_line(&rest, &query))
		must(ERR_INVALID);
	while (str_next_line(&rest, &line))
		docs[n++] = line;
	float *score = malloc(n * sizeof *score + 1);
	bool *cut = malloc(n + 1);
	if (!score || !cut)
		must(ERR_NOMEM);
	must(rank_texts(m, query, docs, n, 0, score, cut, NULL, NULL, &et));
	for (size_t i = 0; i < n; i++)
		printf("%.9g\n", (double)score[i]);
	free(score);
	free(cut);
	free(docs);
	buf_free(&text);
	return 0;
}

static int greedy(struct model *m, unsigned n)
{
	struct buf text = input();
	struct tokens t = {0};
	struct generator *g;
	struct gen_result res;
	must(tokenizer_encode(model_tokenizer(m), buf_str(&text),
		TOKENIZE_ADD_SPECIAL | TOKENIZE_SPECIAL, &t, &et));
	must(generator_new(m, &(struct generator_options){.sequences_max = 1}, &g, &et));
	struct gen_request r = {.prompt = t.id,
		.n_prompt = t.n,
		.max_tokens = n,
		.sampling = SAMPLING_DEFAULT,
		.top_logprobs = -1};
	r.sampling.temperature = 0;
	must(generator_run(g, &r, &res, &et));
	fwrite(buf_c(&res.text), 1, res.text.n, stdout);
	buf_free(&res.text);
	generator_free(g);
	tokens_free(&t);
	buf_free(&text);
	return 0;
}

static int usage(void)
{
	fprintf(stderr, "engine_dump tokens|logits|embed|rank|greedy MODEL ...\n");
	return 2;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return usage();
	struct str what = str_c(argv[1]);
	unsigned a = argc > 3 ? (unsigned)atoi(argv[3]) : 0;
	struct model *m = open_model(argv[2]);
	int rc;
	if (str_eq_c(what, "tokens"))
		rc = tokens(m);
	else if (str_eq_c(what, "logits"))
		rc = logits(m, argc > 3 ? argv[3] : NULL);
	else if (str_eq_c(what, "embed"))
		rc = embed(m, str_c(argc > 3 ? argv[3] : ""));
	else if (str_eq_c(what, "rank"))
		rc = rank(m);
	else if (str_eq_c(what, "greedy"))
		rc = greedy(m, a);
	else
		rc = usage();
	model_unref(m);
	return rc;
}
