/* How fast documents become text. Reads the shared data (or $CROFT_SHARED_DATA):
 *	build/bench/bench_doc [FILE...]
 * One row a format: files, megabytes of source, MB/s, pages/s where there are pages. */
#include "base/clock.h"
#include "base/os.h"
#include "base/proc.h"
#include "text/doc.h"
#include "text/unicode.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct sum {
	unsigned files, failed;
	size_t bytes, text, pages, blocks;
	uint64_t ns, ns_terms;
	const char *ending;
};

static bool term(void *ctx, struct str t, uint32_t from, uint32_t to)
{
	++*(size_t *)ctx;
	return true;
}

static enum err one(void *ctx, const char *path, enum err err, const char *reason)
{
	struct sum *s = ctx;
	struct buf b = {0};
	struct doc *d;
	struct errtext et;
	size_t terms = 0;
	if (err || strstr(path, "groundtruth") ||
		(s->ending && !str_ends_nocase(str_c(path), str_c(s->ending))))
		return OK;
	if (os_read_file(path, 0, &b, &et))
		return OK;
	uint64_t t = clock_mono_ns();
	enum err e = doc_parse(buf_str(&b), path, NULL, &d, &et);
	s->ns += clock_mono_ns() - t;
	s->files++;
	s->bytes += b.n;
	if (e) {
		s->failed++;
	} else {
		s->text += d->text.n;
		s->pages += d->n_pages;
		s->blocks += d->n_blocks;
		t = clock_mono_ns();
		(void)!unicode_terms(d->text, "en", term, &terms);
		s->ns_terms += clock_mono_ns() - t;
		doc_free(d);
	}
	buf_free(&b);
	return OK;
}

static void row(const char *name, const char *path, const char *ending)
{
	struct sum s = {.ending = ending};
	struct errtext et;
	if (os_walk(path, false, one, &s, &et) || !s.files)
		return;
	double seconds = (double)s.ns / 1e9;
	printf("%-10s %6u files %8.2f MB %8.1f MB/s", name, s.files, (double)s.bytes / 1e6,
		(double)s.bytes / 1e6 / seconds);
	if (s.pages)
		printf(" %8.0f pages/s", (double)s.pages / seconds);
	else
		printf("                 ");
	printf("  terms %6.1f MB/s  %u failed\n",
		(double)s.text / 1e3 / ((double)s.ns_terms / 1e6 + 1e-9), s.failed);
}

static void archive(const char *name, const char *data, const char *rel, const char *ending)
{
	char path[512], dir[] = "/tmp/croft-bench-XXXXXX";
	struct proc_result r;
	struct errtext et;
	snprintf(path, sizeof path, "%s/%s", data, rel);
	if (!os_exists(path) || !mkdtemp(dir))
		return;
	const char *argv[] = {"tar", "xJf", path, "-C", dir, NULL};
	if (!proc_run(&(struct proc_spec){.argv = argv}, &r, &et)) {
		proc_result_release(&r);
		row(name, dir, ending);
	}
	os_remove_tree(dir, NULL);
}

int main(int argc, char **argv)
{
	const char *data = getenv("CROFT_SHARED_DATA");
	char path[512];
	for (int i = 1; i < argc; i++)
		row(argv[i], argv[i], NULL);
	if (argc > 1)
		return 0;
	data = data ? data : "../shared/data";
	archive("html", data, "docs/postgresql-17-html.tar.xz", ".html");
	archive("text", data, "docs/rfc-std.tar.xz", ".txt");
	static const char *const kinds[] = {
		"pdf", "docx", "pptx", "xlsx", "csv", "md", "odf", "html", "email"};
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		snprintf(path, sizeof path, "%s/docs/parse/%s", data, kinds[i]);
		row(kinds[i], path, NULL);
	}
	return 0;
}
