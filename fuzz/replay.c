/* Feeds the files of a folder (or the files named) to a fuzz target, as a normal TAP test:
 *	build/fuzz/fuzz_x [FILE or FOLDER...]      (without: fuzz/corpus/fuzz_x)
 * A crash, a sanitizer report or more than 10 seconds on one input is the failure. */
#include "base/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err feed(void *ctx, const char *path, enum err err, const char *reason)
{
	unsigned *n = ctx;
	struct buf b = {0};
	if (!err && !os_read_file(path, 0, &b, NULL)) {
		printf("# %s\n", path);
		fflush(stdout);
		alarm(10);
		/* an exact-size copy, so that a read past the end is seen */
		uint8_t *copy = malloc(b.n ? b.n : 1);
		if (copy && b.n)
			memcpy(copy, b.p, b.n);
		LLVMFuzzerTestOneInput(copy, b.n);
		free(copy);
		alarm(0);
		(*n)++;
	}
	buf_free(&b);
	return OK;
}

int main(int argc, char **argv)
{
	unsigned n = 0;
	const char *name = strrchr(argv[0], '/'), *root = getenv("CROFT_SOURCE_ROOT");
	char corpus[1024];
	snprintf(corpus, sizeof corpus, "%s/fuzz/corpus/%s", root ? root : CROFT_SOURCE_ROOT,
		name ? name + 1 : argv[0]);
	for (int i = 1; i < argc; i++)
		os_walk(argv[i], true, feed, &n, NULL);
	if (argc == 1)
		os_walk(corpus, true, feed, &n, NULL);
	LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
	printf("ok 1 - %u inputs replayed\n1..1\n", n);
	return 0;
}
