/* The statement to sign, signatures of a version, and their verification. Private keys stay with
 * the command: the server sees signatures and public keys only. */
#include "artifact/registry_cmd.h"
#include "artifact/signature.h"

/* The version of the path, and whether its files are this machine's installed model. */
static enum err find(
	struct reg_call *k, struct artifact *of, struct artifact_version *v, bool *installed)
{
	struct fact f;
	enum err e = reg_artifact(k, of);
	if (!e)
		e = reg_version(k, of, v);
	if (!e)
		e = fact_now(k->tx, of->id, v->version, S("installed"), S(""), k->rq->arena, &f,
			installed, &k->et);
	return e;
}

/* Files are read without a transaction. */
static void end_tx(struct reg_call *k)
{
	db_rollback(k->tx);
	k->tx = NULL;
}

static void get_statement(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct reg_call k;
	struct artifact of;
	struct artifact_version v;
	bool installed = false;
	struct manifest m = {.a = rq->arena};
	enum err e = reg_begin(&k, c, rq, rs, TX_READ);
	if (!e)
		e = find(&k, &of, &v, &installed);
	end_tx(&k);
	if (!e)
		e = version_manifest(c, &v, installed, false, &m, &k.et);
	if (!e)
		statement_write(&m, v.name, installed ? MODEL_MANIFEST : NULL, &k.out);
	if (!e && k.out.err)
		e = err_set(&k.et, ERR_NOMEM, "no memory for a statement");
	if (e)
		http_reply_error(rs, e, &k.et);
	else
		http_reply(rs, 200, "application/json", buf_str(&k.out));
	manifest_free(&m);
	buf_free(&k.out);
	yyjson_doc_free(k.doc);
}

static enum err write_list(struct reg_call *k, const struct artifact_version *v)
{
	struct signature list[SIGNATURES_MAX];
	size_t n = 0;
	enum err e = signature_list(k->tx, v->artifact, v->version, k->rq->arena, list, &n, &k->et);
	jw_obj(&k->w);
	jw_key(&k->w, "signatures");
	jw_arr(&k->w);
	for (size_t i = 0; i < n && !e; i++) {
		jw_obj(&k->w);
		jw_kc(&k->w, "key", list[i].hint);
		jw_kstr(&k->w, "by", list[i].who);
		json_time(&k->w, "created", list[i].created_ms);
		jw_key(&k->w, "bundle");
		jw_raw(&k->w, list[i].bundle);
		jw_end(&k->w);
	}
	jw_end(&k->w);
	jw_end(&k->w);
	return e;
}

static void get_signatures(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct reg_call k;
	struct artifact of;
	struct artifact_version v;
	bool installed;
	enum err e = reg_begin(&k, c, rq, rs, TX_READ);
	if (!e)
		e = find(&k, &of, &v, &installed);
	if (!e)
		e = write_list(&k, &v);
	reg_end(&k, e, 200);
}

static void post_signature(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct reg_call k;
	struct artifact of;
	struct artifact_version v;
	bool installed;
	enum err e = reg_begin(&k, c, rq, rs, TX_WRITE);
	if (!e)
		e = find(&k, &of, &v, &installed);
	if (!e)
		e = signature_put(k.tx, rq->who, &v, rq->body, &k.et);
	if (!e)
		e = write_list(&k, &v);
	reg_end(&k, e, 201);
}

static void write_verdict(struct reg_call *k, const struct verdict *v)
{
	jw_obj(&k->w);
	jw_kbool(&k->w, "ok", v->n_valid > 0);
	jw_ki64(&k->w, "signatures", (int64_t)v->n_signatures);
	jw_ki64(&k->w, "valid", (int64_t)v->n_valid);
	jw_ki64(&k->w, "files", (int64_t)v->files);
	jw_ki64(&k->w, "bytes", (int64_t)v->bytes);
	jw_kstr(&k->w, "problem", v->problem);
	jw_end(&k->w);
}

static void post_verify(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct reg_call k;
	struct artifact of;
	struct artifact_version v;
	struct signature list[SIGNATURES_MAX];
	struct str keys[SIGNATURES_MAX], given = {0};
	size_t n = 0, n_keys = 0;
	bool installed = false;
	struct verdict verdict = {0};
	enum err e = reg_begin(&k, c, rq, rs, TX_READ);
	if (!e)
		e = find(&k, &of, &v, &installed);
	if (!e)
		e = signature_list(k.tx, of.id, v.version, rq->arena, list, &n, &k.et);
	if (!e)
		e = json_want_str(k.body, "public_key", &given, &k.et);
	end_tx(&k);
	if (!e && given.n) {
		keys[0] = given;
		n_keys = 1;
	} else if (!e) {
		e = signature_trusted(c, rq->arena, keys, &n_keys, &k.et);
	}
	if (!e)
		e = signature_check(
			c, &v, installed, list, n, keys, n_keys, rq->arena, &verdict, &k.et);
	if (!e)
		write_verdict(&k, &verdict);
	reg_end(&k, e, 200);
}

#define VERSION "/api/v1/artifacts/{kind}/{name}/versions/{version}"

static const struct shape shapes[] = {
	{"ArtifactSignature", "{ key: string, by: string, created: string, bundle: object }"},
};

static const struct route routes[] = {
	{HTTP_GET, VERSION "/statement", get_statement, PERM_ARTIFACT_READ,
		"The in-toto statement about a version's files, to sign it", NULL, NULL, "object",
		0},
	{HTTP_GET, VERSION "/signatures", get_signatures, PERM_ARTIFACT_READ,
		"Signatures of a version, as Sigstore bundles", NULL, NULL,
		"{ signatures: ArtifactSignature[] }", 0},
	{HTTP_POST, VERSION "/signatures", post_signature, PERM_ARTIFACT_WRITE,
		"Add a signature: a Sigstore bundle", NULL, "object",
		"{ signatures: ArtifactSignature[] }", MODEL_SIGNATURE_MAX},
	{HTTP_POST, VERSION "/verify", post_verify, PERM_ARTIFACT_READ,
		"Read a version's files and compare them with what was signed", NULL,
		"{ public_key?: string }",
		"{ ok: boolean, signatures: int, valid: int, files: int, bytes: int, "
		"problem: string }",
		0},
};

const struct module signature_module = {.name = "signature",
	TABLE(routes),
	TABLE(shapes),
	.commands = signature_commands,
	.n_commands = ARRAY_LEN(signature_commands)};
