/* Retrieval quality on sets in the BEIR layout: DATA/<set>/corpus.jsonl[.xz], queries.jsonl[.xz],
 * qrels.tsv. One row a set and method: nDCG@10, recall@10, recall@100. Terms, embeddings, scores
 * and fusion are the product's own functions; a document is one item (title and text), and what
 * the embedding model cannot read of it is left out, as its reference library does.
 *
 *	bench_retrieval MODEL DATA [SET...]
 *
 * CROFT_BENCH_CACHE=folder keeps the vectors. CROFT_BENCH_RERANK=folder of a cross-encoder adds
 *rows for the hybrid whose best CROFT_BENCH_DEPTH (20) documents it orders: alone, and with weights
 * beside the search's relevance, as the product has them. CROFT_BENCH_QUERIES=N: every set's first
 * N judged queries only, in all rows. CROFT_BENCH_WEIGHT=X: what the dense side weighs in the
 *hybrid, as rag.dense_weight in percent (100).
 */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/map.h"
#include "kernels/kernels.h"
#include "eval/metrics.h"
#include "rag/rag_int.h"
#include "text/unicode.h"

enum { TOP = 100, BATCH = 64, DEPTH = 20, DOC_TOKENS = 4096 };

/* What the cross-encoder weighs in the rows of it. */
static const float rerank_weights[] = {1, 0.5f, 0.25f};
enum { RERANK_ROWS = 3 };

static struct model *reranker; /* NULL: no such rows */
static size_t rerank_depth = DEPTH, queries_max = SIZE_MAX;
static float dense_weight = 1;

static void die(enum err e, const struct errtext *et)
{
	fflush(stdout);
	fprintf(stderr, "bench_retrieval: %s\n", err_text(e, et));
	exit(1);
}

static void must(enum err e, const struct errtext *et)
{
	if (e)
		die(e, et);
}

/* DIR/NAME, or DIR/NAME.xz unpacked. */
static bool slurp(const char *dir, const char *name, struct buf *out)
{
	struct errtext et = {0};
	struct buf path = {0}, command = {0};
	buf_addf(&path, "%s/%s", dir, name);
	bool plain = os_exists(buf_c(&path));
	if (plain) {
		must(os_read_file(buf_c(&path), 0, out, &et), &et);
	} else {
		buf_addc(&path, ".xz");
		buf_addf(&command, "xz -dc -- '%s'", buf_c(&path));
		FILE *f = os_exists(buf_c(&path)) ? popen(buf_c(&command), "r") : NULL;
		char *to;
		size_t k;
		while (f && (to = buf_reserve(out, 1 << 16)) && (k = fread(to, 1, 1 << 16, f)) > 0)
			out->n += k;
		plain = f && !pclose(f) && out->n;
	}
	buf_free(&path);
	buf_free(&command);
	return plain;
}

struct texts {
	struct str *id, *text;
	size_t n;
};

/* A JSONL file of _id, title, text. */
static void read_texts(const char *dir, const char *name, struct arena *a, struct texts *out)
{
	struct errtext et = {0};
	struct buf b = {0}, joined = {0};
	if (!slurp(dir, name, &b)) {
		err_set(&et, ERR_NOT_FOUND, "%s/%s is not there", dir, name);
		die(ERR_NOT_FOUND, &et);
	}
	struct str rest = buf_str(&b), line;
	size_t lines = 1;
	while (str_next_line(&rest, &line))
		lines++;
	out->id = arena_array_of(a, lines, struct str);
	out->text = arena_array_of(a, lines, struct str);
	for (rest = buf_str(&b); str_next_line(&rest, &line);) {
		if (!str_trim(line).n)
			continue;
		yyjson_doc *doc;
		enum err e = json_parse(line, &doc, &et);
		must(err_wrap(&et, e, "%s/%s, row %zu", dir, name, out->n + 1), &et);
		yyjson_val *o = yyjson_doc_get_root(doc);
		buf_clear(&joined);
		chunk_index_text(
			json_str(o, "title"), (struct str){0}, json_str(o, "text"), 0, &joined);
		out->id[out->n] = arena_str(a, json_str(o, "_id"));
		out->text[out->n++] = arena_str(a, buf_str(&joined));
		yyjson_doc_free(doc);
	}
	buf_free(&b);
	buf_free(&joined);
}

/* ---- embedding, with a cache on request ---- */

static float *embed(
	struct model *m, enum embed_as as, const char *set, const char *what, const struct texts *t)
{
	struct errtext et = {0};
	uint32_t dim = model_info(m)->embedding_dim;
	size_t bytes = t->n * dim * sizeof(float), truncated, tokens;
	float *v = malloc(bytes + 1);
	const char *cache = getenv("CROFT_BENCH_CACHE");
	struct buf path = {0}, have = {0};
	buf_addf(&path, "%s/%s.%s.%.16s.f32", cache ? cache : "", set, what, model_identity(m));
	if (cache && os_file_size(buf_c(&path)) == (int64_t)bytes &&
		!os_read_file(buf_c(&path), bytes, &have, NULL)) {
		memcpy(v, have.p, bytes);
	} else {
		for (size_t i = 0; i < t->n; i += BATCH)
			must(embed_texts_as(m, as, t->text + i, MIN(BATCH, t->n - i), true,
				     v + i * dim, &truncated, &tokens, NULL, &et),
				&et);
		if (cache)
			must(os_write_atomic(buf_c(&path), str_mk(v, bytes), &et), &et);
	}
	buf_free(&path);
	buf_free(&have);
	return v;
}

/* ---- judgements and measures ---- */

struct judged {
	uint32_t query, item;
	double grade;
};

static int by_query(const void *a, const void *b)
{
	const struct judged *x = a, *y = b;
	return x->query != y->query ? (x->query > y->query) - (x->query < y->query)
				    : (y->grade > x->grade) - (y->grade < x->grade);
}

static void index_ids(struct map *m, const struct texts *t)
{
	for (size_t i = 0; i < t->n; i++)
		map_put(m, t->id[i], (void *)(uintptr_t)(i + 1));
}

/* query-id, corpus-id, grade; only grades above 0 count. Sorted by query, then grade. */
static struct judged *read_qrels(
	const char *dir, const struct texts *queries, const struct texts *corpus, size_t *n)
{
	struct errtext et = {0};
	struct buf b = {0};
	struct map qs = {0}, ds = {0};
	if (!slurp(dir, "qrels.tsv", &b)) {
		err_set(&et, ERR_NOT_FOUND, "%s/qrels.tsv is not there", dir);
		die(ERR_NOT_FOUND, &et);
	}
	index_ids(&qs, queries);
	index_ids(&ds, corpus);
	struct judged *out = malloc((b.n / 4 + 1) * sizeof *out);
	struct str rest = buf_str(&b), line;
	for (*n = 0; str_next_line(&rest, &line);) {
		struct str q = {0}, d = {0}, g = {0};
		double grade = 0;
		str_next(&line, '\t', &q);
		str_next(&line, '\t', &d);
		str_next(&line, '\t', &g);
		uintptr_t qi = (uintptr_t)map_get(&qs, q), di = (uintptr_t)map_get(&ds, d);
		if (qi && di && str_f64(str_trim(g), &grade) && grade > 0)
			out[(*n)++] = (struct judged){(uint32_t)qi - 1, (uint32_t)di - 1, grade};
	}
	qsort(out, *n, sizeof *out, by_query);
	map_free(&qs);
	map_free(&ds);
	buf_free(&b);
	return out;
}

static struct eval_scores measure(
	const struct fused *hits, size_t n, const struct judged *rel, size_t n_rel)
{
	uint64_t ranked[TOP];
	struct eval_judged *judged = malloc((n_rel + 1) * sizeof *judged);
	if (!judged)
		exit(1);
	for (size_t i = 0; i < n; i++)
		ranked[i] = hits[i].key;
	for (size_t r = 0; r < n_rel; r++)
		judged[r] = (struct eval_judged){rel[r].item, rel[r].grade};
	struct eval_scores m = eval_measure(ranked, n, judged, n_rel);
	free(judged);
	return m;
}

/* ---- reranking ---- */

struct reread {
	struct fused hit;
	float mixed;
};

static int by_mixed(const void *a, const void *b)
{
	const struct reread *x = a, *y = b;
	if (x->mixed != y->mixed)
		return x->mixed < y->mixed ? 1 : -1;
	return x->hit.score < y->hit.score ? 1 : x->hit.score > y->hit.score ? -1 : 0;
}

/* The list of a hybrid search, its best documents read once and ordered with each weight. */
static void rerank(struct str query, const struct texts *corpus, const struct fused *hits, size_t n,
	const struct fusion_info *info, const struct judged *rel, size_t n_rel,
	struct eval_scores *sum)
{
	struct errtext et = {0};
	size_t depth = MIN(n, rerank_depth), tokens;
	struct str docs[TOP];
	float score[TOP];
	bool cut[TOP];
	struct reread read[TOP];
	struct fused out[TOP];
	for (size_t i = 0; i < depth; i++)
		docs[i] = corpus->text[hits[i].key];
	if (depth)
		must(rank_texts(reranker, query, docs, depth, DOC_TOKENS, score, cut, &tokens, NULL,
			     &et),
			&et);
	for (size_t w = 0; w < RERANK_ROWS; w++) {
		for (size_t i = 0; i < depth; i++) {
			float relevance = MAX(0, MIN(1, hits[i].score / (1 + info->weight)));
			float said = 1 / (1 + expf(-score[i]));
			read[i] = (struct reread){hits[i],
				rerank_weights[w] * said + (1 - rerank_weights[w]) * relevance};
		}
		qsort(read, depth, sizeof *read, by_mixed);
		for (size_t i = 0; i < n; i++)
			out[i] = i < depth ? read[i].hit : hits[i];
		struct eval_scores got = measure(out, n, rel, n_rel);
		for (size_t v = 0; v < EVAL_METRICS; v++)
			sum[w].v[v] += got.v[v];
	}
}

/* ---- one set ---- */

struct bench_set {
	struct texts corpus, queries;
	float *vectors, *query_vectors;
	struct language_count languages[LANGUAGES_MAX];
	size_t n_languages;
	struct vindex *dense;
	struct bm25 *bm25;
};

static void index_corpus(struct bench_set *s, const struct model *m)
{
	struct errtext et = {0};
	must(vindex_new(
		     &(struct vindex_options){.dim = model_info(m)->embedding_dim}, &s->dense, &et),
		&et);
	must(bm25_new(NULL, &s->bm25), &et);
	for (size_t i = 0; i < s->corpus.n; i++) {
		struct arena *scratch = arena_new(0);
		struct str *terms;
		size_t n;
		const char *language = unicode_guess_language(s->corpus.text[i]);
		language_add(s->languages, &s->n_languages, language);
		must(rag_terms(s->corpus.text[i], language, scratch, &terms, &n, &et), &et);
		must(bm25_put(s->bm25, i, terms, n, &et), &et);
		arena_free(scratch);
	}
	must(bm25_publish(s->bm25, &et), &et);
	uint64_t *keys = malloc((s->corpus.n + 1) * sizeof *keys);
	for (size_t i = 0; i < s->corpus.n; i++)
		keys[i] = i;
	must(vindex_put(s->dense, keys, s->vectors, s->corpus.n, NULL, &et), &et);
	free(keys);
}

static void run_set(struct model *m, const char *data, const char *name)
{
	static const char *const methods[] = {
		[RAG_BM25] = "bm25", [RAG_DENSE] = "dense", [RAG_HYBRID] = "hybrid"};
	static const enum rag_method order[] = {RAG_BM25, RAG_DENSE, RAG_HYBRID};
	struct errtext et = {0};
	struct arena *a = arena_new(0);
	struct bench_set s = {0};
	struct buf dir = {0};
	uint32_t dim = model_info(m)->embedding_dim;
	buf_addf(&dir, "%s/%s", data, name);
	read_texts(buf_c(&dir), "corpus.jsonl", a, &s.corpus);
	read_texts(buf_c(&dir), "queries.jsonl", a, &s.queries);
	size_t n_rel;
	struct judged *rel = read_qrels(buf_c(&dir), &s.queries, &s.corpus, &n_rel);
	s.vectors = embed(m, EMBED_DOCUMENT, name, "corpus", &s.corpus);
	s.query_vectors = embed(m, EMBED_QUERY, name, "asked", &s.queries);
	index_corpus(&s, m);
	struct eval_scores sum[3] = {0}, reranked[RERANK_ROWS] = {0};
	size_t asked = 0;
	for (size_t i = 0, end; i < n_rel && asked < queries_max; i = end) {
		uint32_t qi = rel[i].query;
		struct arena *scratch = arena_new(0);
		struct fusion_query q = {.balance = dense_weight,
			.vector = s.query_vectors + (size_t)qi * dim,
			.fit = rag_fit(model_tokenizer(m), s.queries.text[qi])};
		struct str *terms;
		uint32_t *word_at;
		for (end = i; end < n_rel && rel[end].query == qi;)
			end++;
		must(rag_terms_in(s.queries.text[qi], s.languages, s.n_languages, scratch, &terms,
			     &word_at, &q.n_terms, &et),
			&et);
		q.terms = terms;
		q.word_at = word_at;
		for (size_t k = 0; k < ARRAY_LEN(order); k++) {
			struct fused hits[TOP];
			size_t n = 0;
			struct fusion_info info = {0};
			q.method = order[k];
			must(rag_rank(s.dense, s.bm25, &q, TOP, hits, &n, &info, NULL, &et), &et);
			if (reranker && order[k] == RAG_HYBRID)
				rerank(s.queries.text[qi], &s.corpus, hits, n, &info, rel + i,
					end - i, reranked);
			struct eval_scores got = measure(hits, n, rel + i, end - i);
			for (size_t v = 0; v < EVAL_METRICS; v++)
				sum[k].v[v] += got.v[v];
		}
		asked++;
		arena_free(scratch);
	}
	for (size_t k = 0; k < ARRAY_LEN(order) && asked; k++)
		printf("%s %s %.4f %.4f %.4f\n", name, methods[order[k]],
			sum[k].v[EVAL_NDCG10] / (double)asked,
			sum[k].v[EVAL_RECALL10] / (double)asked,
			sum[k].v[EVAL_RECALL100] / (double)asked);
	for (size_t w = 0; w < RERANK_ROWS && reranker && asked; w++)
		printf("%s hybrid+rerank:%zu:mix=%g %.4f %.4f %.4f\n", name, rerank_depth,
			(double)rerank_weights[w], reranked[w].v[EVAL_NDCG10] / (double)asked,
			reranked[w].v[EVAL_RECALL10] / (double)asked,
			reranked[w].v[EVAL_RECALL100] / (double)asked);
	fflush(stdout);
	vindex_free(s.dense);
	bm25_free(s.bm25);
	free(s.vectors);
	free(s.query_vectors);
	free(rel);
	buf_free(&dir);
	arena_free(a);
}

static void read_settings(void)
{
	struct errtext et = {0};
	const char *rerank_with = getenv("CROFT_BENCH_RERANK"),
		   *depth = getenv("CROFT_BENCH_DEPTH");
	const char *queries = getenv("CROFT_BENCH_QUERIES");
	int64_t n;
	if (depth && *depth && str_i64(str_c(depth), &n) && n > 0)
		rerank_depth = MIN((size_t)n, (size_t)TOP);
	const char *weight = getenv("CROFT_BENCH_WEIGHT");
	if (weight && *weight && str_i64(str_c(weight), &n) && n > 0)
		dense_weight = (float)n / 100;
	if (queries && *queries && str_i64(str_c(queries), &n) && n > 0)
		queries_max = (size_t)n;
	if (rerank_with && *rerank_with)
		must(model_open(rerank_with, &(struct model_options){0}, &reranker, &et), &et);
}

static int is_set(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

int main(int argc, char **argv)
{
	struct errtext et = {0};
	struct model *m;
	if (argc < 3) {
		fprintf(stderr, "usage: bench_retrieval MODEL DATA [SET...]\n");
		return 2;
	}
	must(kern_init(&et), &et);
	must(model_open(argv[1], &(struct model_options){0}, &m, &et), &et);
	read_settings();
	printf("set method nDCG@10 recall@10 recall@100\n");
	for (int i = 3; i < argc; i++)
		run_set(m, argv[2], argv[i]);
	struct dirent **entries = NULL;
	int n = argc > 3 ? 0 : scandir(argv[2], &entries, is_set, alphasort);
	if (n < 0)
		must(err_errno(&et, "%s", argv[2]), &et);
	int sets = 0;
	for (int i = 0; i < n; i++) {
		struct buf qrels = {0};
		buf_addf(&qrels, "%s/%s/qrels.tsv", argv[2], entries[i]->d_name);
		if (os_exists(buf_c(&qrels))) {
			run_set(m, argv[2], entries[i]->d_name);
			sets++;
		}
		buf_free(&qrels);
		free(entries[i]);
	}
	free(entries);
	model_unref(m);
	model_unref(reranker);
	if (argc == 3 && !sets) {
		fprintf(stderr, "bench_retrieval: no set (a folder with qrels.tsv) in %s\n",
			argv[2]);
		return 1;
	}
	return 0;
}
