/* bench_tokenizer MODEL.gguf|tokenizer.json TEXTS [OFFSETS]: MB/s of one thread over a file with
 * one JSON string on each line (bench/tokenizer_peer.py prints the reference library's on the
 * same). The texts are read first; the best of five rounds counts, in the processor's time. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "base/json.h"
#include "base/os.h"
#include "engine/gguf.h"
#include "engine/tokenizer.h"

static double cpu_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct texts {
	struct buf all;
	struct str *s;
	size_t n, bytes;
};

static enum err read_texts(const char *path, struct texts *t, struct errtext *et)
{
	enum err e = os_read_file(path, 0, &t->all, et);
	struct str rest = buf_str(&t->all), line;
	size_t cap = 0;
	while (!e && str_next_line(&rest, &line)) {
		yyjson_doc *doc;
		e = json_parse(line, &doc, et);
		if (e)
			break;
		if (t->n == cap)
			t->s = realloc(t->s, (cap = cap ? cap * 2 : 1024) * sizeof *t->s);
		struct str s = json_val_str(yyjson_doc_get_root(doc));
		t->s[t->n++] = str_mk(str_dup(s), s.n);
		t->bytes += s.n;
		yyjson_doc_free(doc);
	}
	return e;
}

static enum err load(const char *path, struct tokenizer **tk, struct errtext *et)
{
	struct gguf *g = NULL;
	struct buf json = {0};
	enum err e;
	if (str_ends(str_c(path), S(".gguf"))) {
		e = gguf_open(path, NULL, &g, et);
		e = e ? e : tokenizer_from_gguf(g, tk, et);
	} else {
		e = os_read_file(path, 0, &json, et);
		e = e ? e : tokenizer_from_json(buf_str(&json), (struct str){0}, tk, et);
	}
	gguf_free(g);
	buf_free(&json);
	return e;
}

int main(int argc, char **argv)
{
	struct errtext et = {0};
	struct texts t = {0};
	struct tokenizer *tk = NULL;
	struct tokens out = {0};
	unsigned flags = TOKENIZE_SPECIAL | (argc > 3 ? TOKENIZE_OFFSETS : 0);
	if (argc < 3) {
		fprintf(stderr, "usage: %s MODEL.gguf|tokenizer.json TEXTS.jsonl [OFFSETS]\n",
			argv[0]);
		return 2;
	}
	enum err e = read_texts(argv[2], &t, &et);
	double start = cpu_s();
	e = e ? e : load(argv[1], &tk, &et);
	double load_ms = (cpu_s() - start) * 1e3, best = 1e30;
	size_t n = 0;
	for (int round = 0; round < 5 && !e; round++) {
		start = cpu_s();
		n = 0;
		for (size_t i = 0; i < t.n && !e; i++) {
			out.n = 0;
			e = tokenizer_encode(tk, t.s[i], flags, &out, &et);
			n += out.n;
		}
		double s = cpu_s() - start;
		best = s < best ? s : best;
	}
	if (e)
		fprintf(stderr, "%s\n", err_text(e, &et));
	else
		printf("%-20s load %6.1f ms  %8.2f MB/s  %zu texts, %.1f MB, %zu tokens\n",
			tokenizer_kind(tk), load_ms, (double)t.bytes / 1e6 / best, t.n,
			(double)t.bytes / 1e6, n);
	for (size_t i = 0; i < t.n; i++)
		free((char *)t.s[i].p);
	free(t.s);
	buf_free(&t.all);
	tokens_free(&out);
	tokenizer_free(tk);
	return e ? 1 : 0;
}
