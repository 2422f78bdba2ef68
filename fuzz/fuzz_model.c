/* A model's file from outside, opened as far as it goes: settings, tensors, tokenizer; and if it
 * opens, a few tokens through it. Within 64 MiB, whatever the header says. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "engine/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool yes)
{
	if (!yes)
		__builtin_trap();
}

static void use(struct model *m)
{
	enum { N = 3 };
	struct errtext et = {0};
	const struct model_info *i = model_info(m);
	int32_t ids[N];
	for (int k = 0; k < N; k++)
		ids[k] = k % (int32_t)i->vocab;
	if (i->vocab > 4096 || i->width > 4096)
		return;
	if (i->task == MODEL_DECODER) {
		float *logits = calloc((size_t)N * i->vocab, sizeof *logits);
		must(logits != NULL);
		if (model_logits(m, NULL, ids, N, logits, NULL, &et))
			must(et.msg[0]);
		free(logits);
	} else if (i->embedding_dim) {
		float *out = calloc(i->embedding_dim, sizeof *out);
		struct str text = S("a b");
		must(out != NULL);
		if (embed_texts(m, &text, 1, true, out, NULL, NULL, NULL, &et))
			must(et.msg[0]);
		free(out);
	} else {
		struct str text = S("a b");
		float score;
		bool cut;
		if (rank_texts(m, text, &text, 1, 0, &score, &cut, NULL, NULL, &et))
			must(et.msg[0]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[64];
	struct generator_options g = {.context_tokens = 64, .context_at_most = true};
	struct model_options o = {.threads = 1, .memory_max = 64 << 20, .generator = &g};
	struct memory_plan plan;
	struct model *m;
	struct errtext et = {0};
	int fd = memfd_create("model", 0);
	if (fd < 0)
		return 0;
	if (write(fd, data, size) == (ssize_t)size) {
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		enum err planned = memory_plan_of(path, &o, &plan, &et);
		must(!planned || et.msg[0]);
		enum err e = model_open(path, &o, &m, &et);
		must(!e || et.msg[0]);
		must(e || !planned); /* what opens had a plan, and within the limit */
		must(e || model_info(m)->resident_bytes <= 64 << 20);
		if (!e) {
			use(m);
			model_unref(m);
		}
	}
	close(fd);
	return 0;
}
