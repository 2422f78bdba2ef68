/* What the engine computes, for the oracles in tools/oracle and for bench/bench_engine.py.
 *
 *	engine_dump tokens MODEL              stdin: text; stdout: ids, one a line
 *	engine_dump logits MODEL              stdin: ids, one a line; stdout: f32 [n][vocab]
 *	engine_dump embed MODEL               stdin: texts, one a line; stdout: f32 [n][dim]
 *	engine_dump greedy MODEL N            stdin: a prompt's text; stdout: N tokens' text
 *	engine_dump speed MODEL THREADS       prompt of 512, decoding of 128: tokens/s
 *	engine_dump embed-speed MODEL THREADS LENGTH N    sequences/s
 *	engine_dump load MODEL THREADS        milliseconds, resident MiB */
#include "base/clock.h"
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

static struct model *open_model(const char *path, unsigned threads)
{
	struct model *m;
	must(model_open(path, &(struct model_options){.threads = threads}, &m, &et));
	return m;
}

static double resident_mib(void)
{
	unsigned long all = 0, res = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	if (f && fscanf(f, "%lu %lu", &all, &res) != 2)
		res = 0;
	if (f)
		fclose(f);
	return (double)res * (double)sysconf(_SC_PAGESIZE) / 1048576;
}

static double since(uint64_t t)
{
	return (double)(clock_mono_ns() - t) * 1e-9;
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

static int logits(struct model *m)
{
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
	must(model_logits(m, ids, n, out, NULL, &et));
	fwrite(out, sizeof *out, n * vocab, stdout);
	free(out);
	free(ids);
	buf_free(&text);
	return 0;
}

static int embed(struct model *m)
{
	struct buf text = input();
	struct str rest = buf_str(&text), line, *texts = malloc((text.n + 1) * sizeof *texts);
	size_t n = 0, dim = model_info(m)->embedding_dim;
	while (texts && str_next_line(&rest, &line))
		texts[n++] = line;
	float *out = malloc(n * dim * sizeof *out + 1);
	if (!texts || !out)
		must(ERR_NOMEM);
	must(embed_texts(m, texts, n, true, out, NULL, NULL, NULL, &et));
	fwrite(out, sizeof *out, n * dim, stdout);
	free(out);
	free(texts);
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

static int speed(struct model *m)
{
	enum { PROMPT = 512, DECODE = 128, TRIES = 3 };
	struct generator *g;
	int32_t ids[PROMPT];
	double prompt = 0, decode = 0;
	must(generator_new(m,
		&(struct generator_options){.context_tokens = 1024, .sequences_max = 1}, &g, &et));
	for (int k = 0; k < TRIES; k++) {
		struct gen_result res;
		for (int i = 0; i < PROMPT;
			i++) /* another beginning each time: nothing is cached */
			ids[i] = (i * 7919 + k * 104729 + 1) % 40000 + 100;
		struct gen_request r = {.prompt = ids,
			.n_prompt = PROMPT,
			.max_tokens = DECODE + 1,
			.sampling = SAMPLING_DEFAULT,
			.top_logprobs = -1};
		r.sampling.temperature = 0;
		must(generator_run(g, &r, &res, &et));
		double p = PROMPT / ((double)res.prompt_ns * 1e-9);
		double d = (res.completion_tokens - 1) / ((double)res.decode_ns * 1e-9);
		prompt = p > prompt ? p : prompt;
		decode = d > decode ? d : decode;
		buf_free(&res.text);
	}
	printf("%.1f %.1f\n", prompt, decode);
	generator_free(g);
	return 0;
}

static int embed_speed(struct model *m, size_t length, size_t n)
{
	size_t dim = model_info(m)->embedding_dim;
	struct tokens *t = calloc(n, sizeof *t);
	float *out = malloc(n * dim * sizeof *out);
	if (!t || !out)
		must(ERR_NOMEM);
	for (size_t i = 0; i < n; i++) {
		t[i].id = malloc(length * sizeof *t[i].id);
		t[i].n = length;
		for (size_t j = 0; j < length && t[i].id; j++)
			t[i].id[j] = (int32_t)((i * 31 + j * 7919) % 28000 + 1000);
	}
	double best = 0;
	for (int k = 0; k < 3; k++) {
		uint64_t start = clock_mono_ns();
		must(embed_tokens(m, t, n, out, NULL, &et));
		double s = (double)n / since(start);
		best = s > best ? s : best;
	}
	printf("%.1f\n", best);
	for (size_t i = 0; i < n; i++)
		free(t[i].id);
	free(t);
	free(out);
	return 0;
}

static int load(struct model *m)
{
	struct buf plan = {0};
	model_plan(m, &plan);
	fprintf(stderr, "%s", buf_c(&plan));
	buf_free(&plan);
	printf("%.1f %.1f\n", (double)model_info(m)->load_ns * 1e-6, resident_mib());
	return 0;
}

static int usage(void)
{
	fprintf(stderr,
		"engine_dump tokens|logits|embed|greedy|speed|embed-speed|load MODEL ...\n");
	return 2;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return usage();
	struct str what = str_c(argv[1]);
	unsigned a = argc > 3 ? (unsigned)atoi(argv[3]) : 0;
	bool timed =
		str_eq_c(what, "speed") || str_eq_c(what, "embed-speed") || str_eq_c(what, "load");
	struct model *m = open_model(argv[2], timed ? a : 0);
	int rc;
	if (str_eq_c(what, "tokens"))
		rc = tokens(m);
	else if (str_eq_c(what, "logits"))
		rc = logits(m);
	else if (str_eq_c(what, "embed"))
		rc = embed(m);
	else if (str_eq_c(what, "greedy"))
		rc = greedy(m, a);
	else if (str_eq_c(what, "speed"))
		rc = speed(m);
	else if (str_eq_c(what, "embed-speed") && argc > 5)
		rc = embed_speed(m, (size_t)atoi(argv[4]), (size_t)atoi(argv[5]));
	else if (str_eq_c(what, "load"))
		rc = load(m);
	else
		rc = usage();
	model_unref(m);
	return rc;
}
