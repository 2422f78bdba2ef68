/* bench_mask TOKENIZER CASES [WORK]: how long the mask of a whole vocabulary takes, token by token
 *along the texts of some languages (mask_cases.py). Each text is read twice: with a language that
 *no request had before (nothing is cached), and with one that others had.
 *
 * WORK is written for mask_peer.py: the tokens' bytes, and the texts as ids. A row:
 *	name, tokens, ms to compile, then median, 99th percentile and most of us per mask: new,
 *known */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "base/hash.h"
#include "base/json.h"
#include "base/os.h"
#include "engine/gguf.h"
#include "engine/mask.h"
#include "text/constraint.h"

struct times {
	double *us;
	size_t n, cap;
};

struct bench {
	struct tokenizer *tk;
	struct masker *k;
	struct jw *work;
	struct errtext et;
};

static void die(const char *what, const struct errtext *et)
{
	fprintf(stderr, "bench_mask: %s: %s\n", what, et->msg);
	exit(1);
}

/* The thread's own time: what else the machine does is not to be seen. */
static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void note(struct times *t, uint64_t from_ns)
{
	double us = (double)(now_ns() - from_ns) / 1e3;
	if (t->n == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 1024;
		t->us = realloc(t->us, t->cap * sizeof *t->us);
		if (!t->us)
			abort();
	}
	t->us[t->n++] = us;
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

static void print(struct times *t)
{
	qsort(t->us, t->n, sizeof *t->us, by_value);
	printf("\t%.1f\t%.1f\t%.1f", t->us[t->n / 2], t->us[t->n * 99 / 100], t->us[t->n - 1]);
	free(t->us);
	*t = (struct times){0};
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

/* Follows the text, and times the mask before each token. */
static void follow(
	struct bench *b, const struct language *l, const struct tokens *text, struct times *t)
{
	struct mask *x;
	const uint64_t *allowed;
	bool over;
	if (mask_new(b->k, l, &x, &b->et))
		die("a language", &b->et);
	for (size_t i = 0; i < text->n; i++) {
		uint64_t from = now_ns();
		if (mask_next(x, &allowed, &b->et))
			die("a mask", &b->et);
		note(t, from);
		if (!mask_has(allowed, text->id[i])) {
			snprintf(b->et.msg, sizeof b->et.msg, "token %zu of a text is not allowed",
				i);
			die("a text", &b->et);
		}
		if (mask_take(x, text->id[i], &over, &b->et))
			die("a token", &b->et);
	}
	if (!matcher_may_end(mask_matcher(x)))
		die("a text is no text of its language", &b->et);
	mask_free(x);
}

static void one_text(struct bench *b, enum constraint_kind kind, struct str source, struct str text,
	const struct constraint *known, struct times t[2], struct times *compiled)
{
	struct tokens ids = {0};
	struct constraints *k = constraints_new(1);
	struct constraint *c;
	if (!k || tokenizer_encode(b->tk, text, 0, &ids, &b->et))
		die("a text", &b->et);
	uint64_t from = now_ns();
	if (constraint_get(k, kind, source, &c, &b->et))
		die("a language", &b->et);
	note(compiled, from);
	follow(b, constraint_language(c), &ids, &t[0]);
	follow(b, constraint_language(known), &ids, &t[1]);
	if (b->work) {
		jw_arr(b->work);
		for (size_t i = 0; i < ids.n; i++)
			jw_i64(b->work, ids.id[i]);
		jw_end(b->work);
	}
	constraint_put(k, c);
	constraints_free(k);
	tokens_free(&ids);
}

static enum constraint_kind kind_of(struct str s)
{
	return str_eq_c(s, "grammar")  ? CONSTRAINT_GRAMMAR
	       : str_eq_c(s, "regex")  ? CONSTRAINT_REGEX
	       : str_eq_c(s, "choice") ? CONSTRAINT_CHOICE
	       : str_eq_c(s, "schema") ? CONSTRAINT_SCHEMA
				       : CONSTRAINT_OBJECT;
}

static void one_case(struct bench *b, yyjson_val *v)
{
	struct constraints *k = constraints_new(1);
	struct constraint *known;
	struct times t[2] = {0}, compiled = {0}, first = {0};
	enum constraint_kind kind = kind_of(json_str(v, "kind"));
	yyjson_val *texts = yyjson_obj_get(v, "texts"), *text;
	size_t i, n;
	if (!k || constraint_get(k, kind, json_str(v, "source"), &known, &b->et))
		die("a language", &b->et);
	if (b->work)
		jw_arr(b->work);
	yyjson_arr_foreach(texts, i, n, text)
	{
		one_text(b, kind, json_str(v, "source"), json_val_str(text), known, t, &compiled);
		if (i == 0) { /* the known language is known from here on */
			first = t[1];
			t[1] = (struct times){0};
		}
	}
	if (b->work)
		jw_end(b->work);
	qsort(compiled.us, compiled.n, sizeof *compiled.us, by_value);
	printf("%.*s\t%zu\t%.2f", STR_FMT(json_str(v, "name")), t[0].n,
		compiled.us[compiled.n / 2] / 1e3);
	print(&t[0]);
	print(&t[1]);
	putchar('\n');
	free(compiled.us);
	free(first.us);
	constraint_put(k, known);
	constraints_free(k);
}

static void write_tokens(struct bench *b, struct jw *w)
{
	size_t n = tokenizer_vocab_size(b->tk);
	struct buf piece = {0}, coded = {0};
	jw_ki64(w, "eos", tokenizer_eos(b->tk));
	jw_key(w, "tokens");
	jw_arr(w);
	for (size_t i = 0; i < n; i++) {
		buf_clear(&piece);
		buf_clear(&coded);
		tokenizer_piece(b->tk, (int32_t)i, false, &piece);
		base64_encode(&coded, buf_str(&piece));
		jw_str(w, buf_str(&coded));
	}
	jw_end(w);
	buf_free(&piece);
	buf_free(&coded);
}

int main(int argc, char **argv)
{
	struct bench b = {0};
	struct buf cases = {0}, out = {0};
	struct jw w = {.out = &out};
	yyjson_doc *doc = NULL;
	yyjson_val *v;
	size_t i, n;
	if (argc < 3) {
		fprintf(stderr, "usage: bench_mask TOKENIZER CASES [WORK]\n");
		return 2;
	}
	if (load(argv[1], &b.tk, &b.et) || os_read_file(argv[2], 0, &cases, &b.et) ||
		json_parse(buf_str(&cases), &doc, &b.et))
		die(argv[1], &b.et);
	uint64_t from = now_ns();
	if (masker_new(b.tk, 0, 0, &b.k, &b.et))
		die("the trie", &b.et);
	double built_ms = (double)(now_ns() - from) / 1e6;
	jw_obj(&w);
	if (argc > 3) {
		b.work = &w;
		write_tokens(&b, &w);
		jw_key(&w, "texts");
		jw_arr(&w);
	}
	yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n, v) one_case(&b, v);
	if (argc > 3) {
		jw_end(&w);
		jw_end(&w);
		if (!jw_done(&w) || os_write_atomic(argv[3], buf_str(&out), &b.et))
			die(argv[3], &b.et);
	}
	struct masker_stats s;
	masker_stats(b.k, &s);
	printf("#\t%zu tokens; trie of %zu nodes, %.1f MB, built in %.0f ms; %zu masks cached in "
	       "%.1f MB\n",
		tokenizer_vocab_size(b.tk), s.trie_nodes, (double)s.trie_bytes / 1e6, built_ms,
		s.cache_entries, (double)s.cache_bytes / 1e6);
	masker_free(b.k);
	tokenizer_free(b.tk);
	yyjson_doc_free(doc);
	buf_free(&cases);
	buf_free(&out);
	return 0;
}
