/* What the engine does by itself, one JSON object a line; bench/engine.py sets it beside its peers.
 *
 *	bench_engine generate|generate_q8|sample MODEL THREADS PROMPT_TOKENS DECODE_TOKENS STREAMS \
 *		[ADAPTER...]
 *	bench_engine prefix MODEL THREADS PREFIX_TOKENS MORE_TOKENS REPEATS
 *	bench_engine embed|embed_bf16 MODEL THREADS TOKENS BATCH CALLS
 *
 * Prompts are pseudo-random token ids; end tokens are forbidden, so that every run does the same.
 * `sample` draws at temperature 1 from all tokens, `generate` takes the most likely, `generate_q8`
 * with keys and values as bytes. Streams take the adapters in turn.
 */
#include "base/clock.h"
#include "base/json.h"
#include "engine/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static void die(enum err e, const struct errtext *et)
{
	fprintf(stderr, "bench_engine: %s\n", err_text(e, et));
	exit(1);
}

static unsigned number(const char *s)
{
	uint64_t v = 0;
	if (!str_u64(str_c(s), &v))
		die(ERR_INVALID, NULL);
	return (unsigned)v;
}

static int32_t *random_ids(unsigned n, unsigned vocab, unsigned seed)
{
	int32_t *ids = malloc(n * sizeof *ids);
	for (unsigned i = 0; ids && i < n; i++) {
		seed = seed * 1664525 + 1013904223;
		ids[i] = (int32_t)(1000 % vocab + (seed >> 8) % (vocab / 2));
	}
	return ids;
}

struct stream {
	struct generator *g;
	struct gen_request rq;
	struct gen_result res;
	enum err e;
	struct errtext et;
};

static void *run_stream(void *arg)
{
	struct stream *s = arg;
	s->e = generator_run(s->g, &s->rq, &s->res, &s->et);
	return NULL;
}

static void report(const char *what, double value)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_kc(&w, "what", what);
	jw_kf64(&w, "value", value);
	jw_end(&w);
	printf("%s\n", buf_c(&b));
	buf_free(&b);
}

static void common(double load_ms)
{
	struct rusage ru;
	getrusage(RUSAGE_SELF, &ru);
	report("load_ms", load_ms);
	report("rss_mb", (double)ru.ru_maxrss / 1024);
}

struct how {
	float temperature;
	bool q8;
	char **adapters;
	unsigned n_adapters;
};

static struct adapter *open_adapter(struct model *m, const char *path)
{
	struct adapter *a;
	struct errtext et;
	enum err e = adapter_open(path, m, NULL, &a, &et);
	if (e)
		die(e, &et);
	return a;
}

static void generate(
	struct model *m, struct how how, unsigned prompt, unsigned decode, unsigned streams)
{
	struct generator *g;
	struct errtext et;
	struct generator_options o = {.context_tokens = prompt + decode + 8,
		.sequences_max = streams,
		.kv_tokens = (uint64_t)streams * (prompt + decode + 64),
		.kv_q8 = how.q8,
		.no_drafts = true}; /* the peer guesses nothing either */
	enum err e = generator_new(m, &o, &g, &et);
	if (e)
		die(e, &et);
	struct logit_bias never[8];
	size_t n_never = 0;
	const struct tokenizer *tk = model_tokenizer(m);
	for (int32_t id = 0; id < (int32_t)tokenizer_vocab_size(tk) && n_never < ARRAY_LEN(never);
		id++)
		if (tokenizer_is_end(tk, id))
			never[n_never++] = (struct logit_bias){id, -1000};
	struct stream *s = calloc(streams, sizeof *s);
	pthread_t *t = calloc(streams, sizeof *t);
	struct adapter **a = calloc(how.n_adapters + 1, sizeof(struct adapter *));
	if (!s || !t || !a)
		die(ERR_NOMEM, NULL);
	for (unsigned i = 0; i < how.n_adapters; i++)
		a[i] = open_adapter(m, how.adapters[i]);
	for (unsigned i = 0; i < streams; i++)
		s[i] = (struct stream){.g = g,
			.rq = {.prompt = random_ids(prompt, model_info(m)->vocab, i + 1),
				.n_prompt = prompt,
				.max_tokens = decode,
				.top_logprobs = -1,
				.adapter = how.n_adapters ? a[i % how.n_adapters] : NULL,
				.sampling = {.temperature = how.temperature,
					.top_p = 1,
					.repeat_penalty = 1,
					.bias = never,
					.n_bias = n_never}}};
	uint64_t start = clock_mono_ns(), prompt_ns = 0;
	for (unsigned i = 0; i < streams; i++)
		if ((e = thread_start(&t[i], run_stream, &s[i], "stream", &et)))
			die(e, &et);
	unsigned tokens = 0;
	for (unsigned i = 0; i < streams; i++) {
		pthread_join(t[i], NULL);
		if (s[i].e)
			die(s[i].e, &s[i].et);
		tokens += s[i].res.completion_tokens;
		prompt_ns = MAX(prompt_ns, s[i].res.first_token_ns);
	}
	double total = (double)(clock_mono_ns() - start) / 1e9;
	if (streams == 1) {
		report("prompt_tps", prompt / ((double)s[0].res.prompt_ns / 1e9));
		report("decode_tps", (tokens - 1) / ((double)s[0].res.decode_ns / 1e9));
	} else {
		report("streams_tps", (tokens - streams) / (total - (double)prompt_ns / 1e9));
	}
	struct generator_stats stats;
	generator_stats(g, &stats);
	report("kv_mb", (double)stats.kv_bytes / (1 << 20));
	for (unsigned i = 0; i < streams; i++) {
		buf_free(&s[i].res.text);
		free((void *)s[i].rq.prompt);
	}
	free(s);
	free(t);
	generator_free(g);
	for (unsigned i = 0; i < how.n_adapters; i++)
		adapter_unref(a[i]);
	free(a);
}

static uint64_t first_token_ns(struct generator *g, const int32_t *prompt, unsigned n)
{
	struct errtext et;
	struct gen_result res;
	struct gen_request rq = {.prompt = prompt,
		.n_prompt = n,
		.max_tokens = 1,
		.top_logprobs = -1,
		.sampling = {.top_p = 1, .repeat_penalty = 1}};
	enum err e = generator_run(g, &rq, &res, &et);
	if (e)
		die(e, &et);
	buf_free(&res.text);
	return res.first_token_ns;
}

/* Time to the first token of a prompt whose beginning was seen, in percent of the first time. */
static void prefix(struct model *m, unsigned prefix, unsigned more, unsigned repeats)
{
	struct generator *g;
	struct errtext et;
	struct generator_options o = {.context_tokens = prefix + more + 8, .sequences_max = 2};
	enum err e = generator_new(m, &o, &g, &et);
	if (e)
		die(e, &et);
	unsigned n = prefix + more, vocab = model_info(m)->vocab;
	double first = 0, again = 1e18;
	for (unsigned i = 0; i < repeats; i++) {
		int32_t *ids = random_ids(n, vocab, 100 + i),
			*tail = random_ids(more, vocab, 7 + i);
		if (!ids || !tail)
			die(ERR_NOMEM, NULL);
		double a = (double)first_token_ns(g, ids, n);
		memcpy(ids + prefix, tail, more * sizeof *tail);
		double b = (double)first_token_ns(g, ids, n);
		if (b / a < again)
			again = b / a, first = a;
		free(ids);
		free(tail);
	}
	report("first_ms", first / 1e6);
	report("again_percent", 100 * again);
	generator_free(g);
}

static void embed(struct model *m, unsigned tokens, unsigned batch, unsigned calls)
{
	struct errtext et;
	uint32_t dim = model_info(m)->embedding_dim;
	struct tokens *seqs = calloc(batch, sizeof *seqs);
	float *out = malloc((size_t)batch * dim * sizeof *out);
	if (!seqs || !out || !dim)
		die(ERR_INVALID, NULL);
	for (unsigned i = 0; i < batch; i++)
		seqs[i] = (struct tokens){.id = random_ids(tokens, model_info(m)->vocab, i + 1),
			.n = tokens,
			.cap = tokens};
	uint64_t best = UINT64_MAX, start = 0;
	for (unsigned i = 0; i <= calls; i++) { /* the first one warms up */
		start = clock_mono_ns();
		enum err e = embed_tokens(m, seqs, batch, out, NULL, &et);
		if (e)
			die(e, &et);
		if (i)
			best = MIN(best, clock_mono_ns() - start);
	}
	report("embed_sps", batch / ((double)best / 1e9));
	for (unsigned i = 0; i < batch; i++)
		tokens_free(&seqs[i]);
	free(seqs);
	free(out);
}

int main(int argc, char **argv)
{
	if (argc < 7)
		die(ERR_INVALID,
			&(struct errtext){"usage stands at the head of bench/bench_engine.c"});
	struct model *m;
	struct errtext et;
	struct model_options o = {
		.threads = number(argv[3]), .bf16 = strcmp(argv[1], "embed_bf16") == 0};
	uint64_t start = clock_mono_ns();
	enum err e = model_open(argv[2], &o, &m, &et);
	if (e)
		die(e, &et);
	double load_ms = (double)(clock_mono_ns() - start) / 1e6;
	if (strncmp(argv[1], "embed", 5) == 0)
		embed(m, number(argv[4]), number(argv[5]), number(argv[6]));
	else if (strcmp(argv[1], "prefix") == 0)
		prefix(m, number(argv[4]), number(argv[5]), number(argv[6]));
	else
		generate(m,
			(struct how){.temperature = strcmp(argv[1], "sample") == 0,
				.q8 = strcmp(argv[1], "generate_q8") == 0,
				.adapters = argv + 7,
				.n_adapters = (unsigned)argc - 7},
			number(argv[4]), number(argv[5]), number(argv[6]));
	common(load_ms);
	model_unref(m);
	return 0;
}
