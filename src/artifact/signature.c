/* What was signed against what is here; the policy at the load of a model. */
#include "artifact/signature.h"
#include "artifact/artifact_int.h"
#include "artifact/dsse.h"
#include "artifact/registry_int.h"
#include "base/log.h"

#include <stdio.h>

/* ---- what is here ---- */

static enum err manifest_installed(struct croft *c, const struct artifact_version *v,
	bool with_ours, struct manifest *out, struct errtext *et)
{
	char path[1024], name[MODEL_NAME_MAX + 1];
	snprintf(name, sizeof name, "%.*s", STR_FMT(v->name));
	models_path(c, name, path);
	return manifest_of_folder(path, with_ours ? NULL : MODEL_MANIFEST, out, et);
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

enum err installed_trust(struct croft *c, struct str name, struct errtext *et)
{
	struct str policy = setting_text(c, "signing.verify");
	struct arena *a = NULL;
	struct artifact_version v;
	struct signature list[SIGNATURES_MAX];
	struct str keys[SIGNATURES_MAX];
	size_t n = 0, n_keys = 0;
	struct verdict verdict = {0};
	if (str_eq_c(policy, "off"))
		return OK;
	a = arena_new(0);
	enum err e = a ? find_installed(c, name, a, &v, list, &n, et)
		       : err_set(et, ERR_NOMEM, "no memory");
	if (!e)
		e = signature_trusted(c, a, keys, &n_keys, et);
	if (!e)
		e = signature_check(c, &v, true, list, n, keys, n_keys, a, &verdict, et);
	if (!e && !verdict.n_valid)
		e = err_set(et, ERR_FORBIDDEN,
			"the model %.*s is not opened: %.*s "
			"(setting signing.verify: require)",
			STR_FMT(name), STR_FMT(verdict.problem));
	arena_free(a);
	if (e && str_eq_c(policy, "warn")) {
		log_warn("the signature of the model %.*s: %s", STR_FMT(name), err_text(e, et));
		return OK;
	}
	return e;
}
