/* The policy signing.verify while a model is opened: what was signed is opened; a file that is
 * exchanged after the check began, even between two reads, is not. */
#include "tap.h"
#include "access/access.h"
#include "artifact/artifact.h"
#include "artifact/dsse.h"
#include "artifact/signature.h"
#include "base/os.h"
#include "engine/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static const struct module *const modules[] = {
	&access_module, &registry_module, &signature_module, &artifact_module};
static struct errtext et;
#define NAME "all-minilm-l6-v2"

static struct croft *open_with(const char *policy)
{
	static char verify[64];
	struct croft *c;
	snprintf(verify, sizeof verify, "%s", policy);
	const struct http_pair flags[] = {
		{S("signing.verify"), str_c(verify)}, {S("signing.trusted"), S("trusted.pub")}};
	struct croft_options o = {.modules = modules,
		.n_modules = ARRAY_LEN(modules),
		.home = tap_tmpdir(),
		.flags = flags,
		.n_flags = ARRAY_LEN(flags)};
	CHECK_OK(croft_open(&o, &c, &et), &et);
	return c;
}

static void path_of(struct croft *c, const char *rel, char out[1200])
{
	snprintf(out, 1200, "%s/models/" NAME "/%s", croft_home(c), rel);
}

/* Signs what is installed. */
static void sign(struct croft *c)
{
	struct arena *a = arena_new(0);
	struct artifact of;
	struct artifact_version v;
	struct manifest m = {.a = a};
	struct buf private = {0}, public = {0}, statement = {0}, bundle = {0};
	struct tx *tx;
	char path[1200];
	CHECK_OK(dsse_key_make(&private, &public, &et), &et);
	snprintf(path, sizeof path, "%s/trusted.pub", croft_home(c));
	CHECK_OK(os_write_atomic(path, buf_str(&public), &et), &et);
	CHECK_OK(db_begin(croft_db(c), TX_WRITE, &tx, &et), &et);
	CHECK_OK(artifact_find(tx, S("default"), S("model"), S(NAME), a, &of, &et), &et);
	CHECK_OK(artifact_get_version(tx, of.id, 1, a, &v, &et), &et);
	CHECK_OK(version_manifest(c, &v, true, false, &m, &et), &et);
	statement_write(&m, S(NAME), MODEL_MANIFEST, &statement);
	CHECK_OK(dsse_sign(buf_str(&private), buf_str(&statement), &bundle, &et), &et);
	CHECK_OK(signature_put(tx, &registry_self, &v, buf_str(&bundle), &et), &et);
	CHECK_OK(db_commit(tx, &et), &et);
	manifest_free(&m);
	struct buf *bufs[] = {&private, &public, &statement, &bundle};
	for (size_t i = 0; i < ARRAY_LEN(bufs); i++)
		buf_free(bufs[i]);
	arena_free(a);
}

static void setup(void)
{
	struct croft *c = open_with("off");
	struct buf name = {0};
	char path[1200];
	CHECK_OK(model_pull(c, str_c(tap_model("minilm")), S(NAME), NULL, NULL, NULL, &name, &et),
		&et);
	buf_free(&name);
	path_of(c, "", path);
	CHECK(chmod(path, 0700) == 0);
	sign(c);
	croft_close(c);
}

/* Another file under the same name, as an attacker would: renamed into its place. */
static void exchange(struct croft *c, const char *rel)
{
	char path[1200];
	struct buf b = {0};
	path_of(c, rel, path);
	CHECK_OK(os_read_file(path, 0, &b, &et), &et);
	if (str_ends(str_c(rel), S(".safetensors")))
		b.p[b.n - 1] ^= 1; /* another weight */
	else
		buf_putc(&b, ' ');
	CHECK_OK(os_write_atomic(path, buf_str(&b), &et), &et);
	buf_free(&b);
}

struct attack {
	struct croft *c;
	struct trust *t;
	const char *after, *rel; /* when `after` was looked at, `rel` is exchanged */
	unsigned files;
};

static enum err attacked(void *ctx, const char *path, struct str bytes, struct errtext *why)
{
	struct attack *k = ctx;
	enum err e = trust_file(k->t, path, bytes, why);
	k->files++;
	if (k->after && str_ends(str_c(path), str_c(k->after))) {
		exchange(k->c, k->rel);
		k->after = NULL;
	}
	return e;
}

/* As an endpoint does it; the model is used once, so that all of it is read. */
static enum err try(struct croft *c, const char *before, const char *after, const char *rel)
{
	struct attack k = {.c = c, .after = after, .rel = rel};
	struct model *m = NULL;
	char path[1200];
	path_of(c, "", path);
	path[strlen(path) - 1] = 0;
	enum err e = trust_begin(c, S(NAME), &k.t, &et);
	if (before)
		exchange(c, before);
	struct model_options o = {.threads = 1, .check = {attacked, &k}};
	if (!e)
		e = model_open(path, &o, &m, &et);
	struct errtext ignored;
	enum err end = trust_end(k.t, e ? &ignored : &et);
	if (m) {
		CHECK(k.files >= 4); /* weights, configurations, tokenizer */
		model_unref(m);
	}
	return e ? e : end;
}

static void test_artifact_trust__what_was_signed_is_opened(void)
{
	setup();
	struct croft *c = open_with("require");
	CHECK_OK(try(c, NULL, NULL, NULL), &et);
	/* what the model does not read counts as well */
	char path[1200];
	path_of(c, "EXTRA.txt", path);
	CHECK_OK(os_write_atomic(path, S("not signed"), &et), &et);
	CHECK_ERR(try(c, NULL, NULL, NULL), ERR_FORBIDDEN);
	CHECK(strstr(et.msg, "EXTRA.txt is not among the signed files"));
	croft_close(c);
}

static void test_artifact_trust__a_file_exchanged_after_the_check_began(void)
{
	static const char *const files[] = {
		"model.safetensors", "tokenizer.json", "config.json", "1_Pooling/config.json"};
	setup();
	struct croft *c = open_with("require");
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		char path[1200], kept[1300];
		path_of(c, files[i], path);
		snprintf(kept, sizeof kept, "%s/kept", croft_home(c));
		CHECK(rename(path, kept) == 0);
		struct buf b = {0};
		CHECK_OK(os_read_file(kept, 0, &b, &et), &et);
		CHECK_OK(os_write_atomic(path, buf_str(&b), &et), &et);
		buf_free(&b);
		CHECK_ERR(try(c, files[i], NULL, NULL), ERR_FORBIDDEN);
		if (!strstr(et.msg, "is not what was signed"))
			FAIL("%s: %s", files[i], et.msg);
		CHECK(rename(kept, path) == 0);
		CHECK_OK(try(c, NULL, NULL, NULL), &et);
	}
	/* the tokenizer while the weights are being looked at */
	CHECK_ERR(try(c, NULL, "model.safetensors", "tokenizer.json"), ERR_FORBIDDEN);
	croft_close(c);
}

/* What was mapped and looked at stays what it was, whatever stands under its name afterwards. */
static void test_artifact_trust__a_file_exchanged_after_it_was_mapped(void)
{
	setup();
	struct croft *c = open_with("require");
	CHECK_OK(try(c, NULL, "model.safetensors", "model.safetensors"), &et);
	CHECK_ERR(try(c, NULL, NULL, NULL), ERR_FORBIDDEN); /* the next time */
	croft_close(c);
	c = open_with("warn");
	CHECK_OK(try(c, NULL, NULL, NULL), &et);
	croft_close(c);
	c = open_with("off");
	CHECK_OK(try(c, NULL, NULL, NULL), &et);
	croft_close(c);
}

TESTS(T_LONG(test_artifact_trust__what_was_signed_is_opened, 60),
	T_LONG(test_artifact_trust__a_file_exchanged_after_the_check_began, 60),
	T_LONG(test_artifact_trust__a_file_exchanged_after_it_was_mapped, 60))
