/* What was signed against what is here; the policy at the load of a model. */
#include "artifact/signature.h"
#include "artifact/artifact_int.h"
#include "artifact/dsse.h"
#include "artifact/registry_int.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- what is here ---- */

static enum err manifest_installed(struct croft *c, const struct artifact_version *v,
	bool with_ours, struct manifest *out, struct errtext *et)
{
	char path[1024], name[MODEL_NAME_MAX + 1];
	snprintf(name, sizeof name, "%.*s", STR_FMT(v->name));
	models_path(c, name, path);
	return manifest_of_folder(path, with_ours ? NULL : MODEL_MANIFEST, NULL, out, et);
}

static enum err manifest_stored(
	struct croft *c, const struct artifact_version *v, struct manifest *out, struct errtext *et)
{
	struct tree *t;
	char digest[SHA256_HEX + 1];
	snprintf(digest, sizeof digest, "%.*s", STR_FMT(v->digest));
	enum err e = tree_load(croft_blobs(c), digest, &t, et);
	if (e)
		return e;
	e = tree_verify(croft_blobs(c), t, NULL, et);
	if (!e)
		e = manifest_of_tree(t, out, et);
	tree_free(t);
	return e;
}

enum err version_manifest(struct croft *c, const struct artifact_version *v, bool installed,
	bool with_ours, struct manifest *out, struct errtext *et)
{
	if (installed)
		return manifest_installed(c, v, with_ours, out, et);
	if (tree_digest_ok(v->digest))
		return manifest_stored(c, v, out, et);
	return err_set(et, ERR_UNSUPPORTED,
		"%.*s/%.*s:%lld is kept elsewhere (%.*s): there is nothing here to sign or verify",
		STR_FMT(v->kind), STR_FMT(v->name), (long long)v->version,
		STR_FMT(str_sub(v->source, 0, 200)));
}

/* ---- keys that are trusted ---- */

enum err signature_trusted(
	struct croft *c, struct arena *a, struct str *keys, size_t *n, struct errtext *et)
{
	struct str rest = setting_text(c, "signing.trusted"), part;
	*n = 0;
	while (rest.n && str_next(&rest, ',', &part)) {
		struct buf pem = {0}, path = {0};
		part = str_trim(part);
		if (!part.n)
			continue;
		if (*n == SIGNATURES_MAX)
			return err_set(et, ERR_INVALID, "signing.trusted: at most %d keys",
				SIGNATURES_MAX);
		if (part.p[0] != '/')
			buf_addf(&path, "%s/", croft_home(c));
		buf_adds(&path, part);
		enum err e = os_read_file(buf_c(&path), KEY_PEM_MAX, &pem, et);
		if (!e)
			e = row_copy(a, buf_str(&pem), &keys[*n], et);
		buf_free(&pem);
		buf_free(&path);
		if (e)
			return err_wrap(et, e, "signing.trusted");
		++*n;
	}
	return OK;
}

/* ---- checking ---- */

static bool lists_ours(const struct manifest *m)
{
	for (size_t i = 0; i < m->n; i++)
		if (str_eq_c(m->files[i].path, MODEL_MANIFEST))
			return true;
	return false;
}

/* By any of the keys: the signed statement. */
static enum err signed_by(const struct signature *s, const struct str *keys, size_t n_keys,
	struct manifest *out, struct errtext *et)
{
	enum err e = err_set(et, ERR_FORBIDDEN, "it is not signed by a key that is trusted");
	for (size_t i = 0; i < n_keys; i++) {
		struct buf payload = {0};
		struct errtext why = {0};
		enum err one = dsse_verify(s->bundle, keys[i], &payload, &why);
		if (!one)
			one = statement_parse(buf_str(&payload), out, &why);
		buf_free(&payload);
		if (!one)
			return OK;
		if (one != ERR_FORBIDDEN || n_keys == 1) {
			*et = why;
			e = one;
		}
	}
	return e;
}

static enum err check_one(struct croft *c, const struct artifact_version *v, bool installed,
	const struct signature *s, const struct str *keys, size_t n_keys, struct arena *a,
	struct verdict *out, struct errtext *et)
{
	struct manifest was = {.a = a}, is = {.a = a};
	enum err e = signed_by(s, keys, n_keys, &was, et);
	if (!e)
		e = version_manifest(c, v, installed, lists_ours(&was), &is, et);
	if (!e) {
		out->files = is.n;
		out->bytes = is.bytes;
		e = manifest_compare(&is, &was, et);
	}
	manifest_free(&was);
	manifest_free(&is);
	return e;
}

enum err signature_check(struct croft *c, const struct artifact_version *v, bool installed,
	const struct signature *list, size_t n, const struct str *keys, size_t n_keys,
	struct arena *a, struct verdict *out, struct errtext *et)
{
	*out = (struct verdict){.n_signatures = n, .problem = S("")};
	if (!n)
		out->problem = S("it is not signed");
	else if (!n_keys)
		out->problem = S("no key is trusted: set signing.trusted, or name a key");
	for (size_t i = 0; i < n && n_keys; i++) {
		struct errtext why = {0};
		enum err e = check_one(c, v, installed, &list[i], keys, n_keys, a, out, &why);
		if (e == ERR_IO || e == ERR_NOMEM) {
			*et = why;
			return e;
		}
		if (!e)
			out->n_valid++;
		else if (row_copy(a, str_c(err_text(e, &why)), &out->problem, et))
			return ERR_NOMEM;
	}
	if (out->n_valid)
		out->problem = S("");
	return OK;
}

/* ---- at the load of a model ---- */

static enum err find_installed(struct croft *c, struct str name, struct arena *a,
	struct artifact_version *v, struct signature *list, size_t *n, struct errtext *et)
{
	struct tx *tx;
	struct artifact of;
	struct fact *facts;
	size_t k = 0;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = artifact_find(tx, registry_self.project, S("model"), name, a, &of, et);
	if (!e)
		e = facts_now(tx, of.id, -1, S("installed"), a, &facts, &k, et);
	if (!e && !k)
		e = err_set(
			et, ERR_NOT_FOUND, "model/%.*s has no installed version", STR_FMT(name));
	if (!e)
		e = artifact_get_version(tx, of.id, facts[k - 1].version, a, v, et);
	if (!e)
		e = signature_list(tx, of.id, v->version, a, list, n, et);
	db_rollback(tx);
	return e;
}

/* What a model may be while it is opened: each statement that a trusted key signed, until a file
 * says that it is another. Then the reason is kept, and the next one counts. */
struct trust {
	struct croft *c;
	struct arena *a;
	bool warn;
	char name[MODEL_NAME_MAX + 1], folder[1024];
	struct manifest may[SIGNATURES_MAX];
	bool out[SIGNATURES_MAX]; /* no longer */
	size_t n;
	struct manifest seen; /* files that were looked at, with their hashes */
	struct errtext why;
	enum err failed;
};

static void trust_free(struct trust *t)
{
	for (size_t i = 0; i < t->n; i++)
		manifest_free(&t->may[i]);
	manifest_free(&t->seen);
	arena_free(t->a);
	free(t);
}

/* Every statement that a trusted key has signed. */
static enum err read_statements(struct trust *t, struct errtext *et)
{
	struct artifact_version v;
	struct signature list[SIGNATURES_MAX];
	struct str keys[SIGNATURES_MAX];
	size_t n = 0, n_keys = 0;
	enum err e = find_installed(t->c, str_c(t->name), t->a, &v, list, &n, et);
	if (!e)
		e = signature_trusted(t->c, t->a, keys, &n_keys, et);
	if (!e && !n)
		e = err_set(et, ERR_FORBIDDEN, "it is not signed");
	else if (!e && !n_keys)
		e = err_set(
			et, ERR_FORBIDDEN, "no key is trusted: set signing.trusted, or name a key");
	enum err last = OK;
	for (size_t i = 0; i < n && !e; i++) {
		struct manifest *m = &t->may[t->n];
		*m = (struct manifest){.a = t->a};
		last = signed_by(&list[i], keys, n_keys, m, et);
		if (last)
			manifest_free(m);
		t->n += !last;
	}
	return e ? e : t->n ? OK : last;
}

static enum err refuse(struct trust *t, enum err e, struct errtext *et)
{
	t->failed = e;
	if (!t->warn)
		return e == ERR_NOMEM || e == ERR_IO ? e
						     : err_set(et, ERR_FORBIDDEN,
							       "the model %s is not opened: %s "
							       "(setting signing.verify: require)",
							       t->name, t->why.msg);
	log_warn("the signature of the model %s: %s", t->name, t->why.msg);
	return OK;
}

enum err trust_begin(struct croft *c, struct str name, struct trust **out, struct errtext *et)
{
	struct str policy = setting_text(c, "signing.verify");
	*out = NULL;
	if (str_eq_c(policy, "off"))
		return OK;
	struct trust *t = calloc(1, sizeof *t);
	if (!t || !(t->a = arena_new(0))) {
		free(t);
		return err_set(et, ERR_NOMEM, "no memory to check a signature");
	}
	t->c = c;
	t->warn = str_eq_c(policy, "warn");
	t->seen.a = t->a;
	snprintf(t->name, sizeof t->name, "%.*s", STR_FMT(name));
	models_path(c, t->name, t->folder);
	enum err e = read_statements(t, &t->why);
	if (e)
		e = refuse(t, e, et);
	if (e || t->failed) {
		trust_free(t);
		return e;
	}
	*out = t;
	return OK;
}

/* The path of a file below the model's folder. */
static bool below(const struct trust *t, const char *path, struct str *rel)
{
	size_t n = strlen(t->folder);
	if (strncmp(path, t->folder, n) || path[n] != '/')
		return false;
	*rel = str_c(path + n + 1);
	return true;
}

static enum err look_at_file(
	struct trust *t, const char *path, struct str bytes, struct errtext *et)
{
	struct str rel;
	char hex[SHA256_HEX + 1];
	bool any = false;
	if (!below(t, path, &rel))
		return err_set(et, ERR_CORRUPT, "%s is not in the model's folder", path);
	sha256_hex_of(bytes, hex);
	enum err e = manifest_add(&t->seen, rel, hex, et);
	for (size_t i = 0; i < t->n && !e; i++) {
		const struct manifest_file *f = manifest_find(&t->may[i], rel);
		if (t->out[i] || (f && !strcmp(f->sha256, hex))) {
			any |= !t->out[i];
			continue;
		}
		t->out[i] = true;
		err_set(et, ERR_CORRUPT,
			f ? "%.*s is not what was signed" : "%.*s is not among the signed files",
			STR_FMT(str_sub(rel, 0, 200)));
	}
	return e ? e : any ? OK : ERR_CORRUPT;
}

enum err trust_file(void *trust, const char *path, struct str bytes, struct errtext *et)
{
	struct trust *t = trust;
	if (!t || t->failed)
		return OK;
	enum err e = look_at_file(t, path, bytes, &t->why);
	return e ? refuse(t, e, et) : OK;
}

/* The other files of the folder, which the model did not read, and that none is missing. */
static enum err look_at_folder(struct trust *t, struct errtext *et)
{
	enum err e = err_set(et, ERR_CORRUPT, "nothing fits what was signed");
	for (size_t i = 0; i < t->n; i++) {
		struct manifest is = {.a = t->a};
		if (t->out[i])
			continue;
		e = manifest_of_folder(t->folder, lists_ours(&t->may[i]) ? NULL : MODEL_MANIFEST,
			&t->seen, &is, et);
		if (!e)
			e = manifest_compare(&is, &t->may[i], et);
		manifest_free(&is);
		if (!e || e == ERR_NOMEM)
			break;
	}
	return e;
}

enum err trust_end(struct trust *t, struct errtext *et)
{
	if (!t)
		return OK;
	enum err e = t->failed ? OK : look_at_folder(t, &t->why);
	if (e)
		e = refuse(t, e, et);
	trust_free(t);
	return e;
}
