/* `croft artifact key|sign|signature`, and `croft artifact verify REF`. */
#include "artifact/dsse.h"
#include "artifact/registry_cmd.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static enum err path_of(struct cmd *cmd, struct target *t, const char *after, struct errtext *et)
{
	enum err e = target(cmd, cmd_arg(cmd, 0), t, et);
	buf_addc(&t->path, "/versions");
	add_version(&t->path, &t->ref);
	buf_addc(&t->path, after);
	return e;
}

static enum err read_file(struct str path, size_t max, struct buf *out, struct errtext *et)
{
	char *c = str_dup(path);
	enum err e = c ? os_read_file(c, max, out, et) : err_set(et, ERR_NOMEM, "no memory");
	free(c);
	return e;
}

/* ---- key ---- */

static enum err key_make(struct cmd *cmd, struct errtext *et)
{
	struct buf private = {0}, public = {0}, name = {0}, other = {0};
	enum err e = want_args(cmd, 1, "croft artifact key FILE", et);
	if (!e) {
		buf_adds(&name, cmd_arg(cmd, 0));
		buf_addf(&other, "%.*s.pub", STR_FMT(cmd_arg(cmd, 0)));
		if (os_exists(buf_c(&name)) || os_exists(buf_c(&other)))
			e = err_set(et, ERR_CONFLICT, "%s is there already: keys are not replaced",
				buf_c(&name));
	}
	if (!e)
		e = dsse_key_make(&private, &public, et);
	if (!e)
		e = os_write_atomic(buf_c(&name), buf_str(&private), et);
	if (!e)
		e = os_write_atomic(buf_c(&other), buf_str(&public), et);
	if (!e)
		cmd_outf(cmd, "private key %s (keep it secret), public key %s\n", buf_c(&name),
			buf_c(&other));
	if (private.p)
		explicit_bzero(private.p, private.n);
	buf_free(&private);
	buf_free(&public);
	buf_free(&name);
	buf_free(&other);
	return e;
}

/* ---- sign ---- */

/* The statement is signed here: the private key does not leave this process. */
static enum err make_bundle(
	struct cmd *cmd, struct str key_file, struct buf *bundle, struct errtext *et)
{
	struct target t = {0};
	struct buf statement = {0}, pem = {0};
	enum err e = path_of(cmd, &t, "/statement", et);
	if (!e)
		e = read_file(key_file, KEY_PEM_MAX, &pem, et);
	if (!e)
		e = cmd_call(cmd, HTTP_GET, buf_c(&t.path), (struct str){0}, &statement, et);
	if (!e)
		e = dsse_sign(buf_str(&pem), buf_str(&statement), bundle, et);
	if (pem.p)
		explicit_bzero(pem.p, pem.n);
	buf_free(&pem);
	buf_free(&statement);
	buf_free(&t.path);
	return e;
}

static enum err artifact_sign(struct cmd *cmd, struct errtext *et)
{
	struct target t = {0};
	struct answer r = {0};
	struct buf bundle = {0};
	struct str key = cmd_opt(cmd, "key"), ready = cmd_opt(cmd, "signature");
	enum err e = want_args(cmd, 1, "croft artifact sign REF --key FILE", et);
	if (!e && key.n == 0 && ready.n == 0)
		e = err_set(et, ERR_INVALID,
			"say with which key: --key FILE (croft artifact key makes one), or attach "
			"a "
			"signature: --signature FILE");
	if (!e && ready.n)
		e = read_file(ready, BUNDLE_MAX, &bundle, et);
	else if (!e)
		e = make_bundle(cmd, key, &bundle, et);
	if (!e)
		e = path_of(cmd, &t, "/signatures", et);
	if (!e)
		e = reg_api(cmd, HTTP_POST, &t.path, buf_str(&bundle), true, &r, et);
	if (!e && r.root)
		cmd_outf(cmd, "signed %.*s\n", STR_FMT(cmd_arg(cmd, 0)));
	answer_free(&r);
	buf_free(&bundle);
	buf_free(&t.path);
	return e;
}

static enum err artifact_signature(struct cmd *cmd, struct errtext *et)
{
	struct target t = {0};
	struct answer r = {0};
	struct buf out = {0};
	struct jw w = {.out = &out};
	enum err e = want_args(cmd, 1, "croft artifact signature REF", et);
	if (!e)
		e = path_of(cmd, &t, "/signatures", et);
	if (!e)
		e = reg_api(cmd, HTTP_GET, &t.path, (struct str){0}, true, &r, et);
	yyjson_val *first = yyjson_arr_get_first(yyjson_obj_get(r.root, "signatures"));
	if (!e && r.root && !first)
		e = err_set(et, ERR_NOT_FOUND, "%.*s is not signed", STR_FMT(cmd_arg(cmd, 0)));
	if (!e && r.root) {
		jw_val(&w, yyjson_obj_get(first, "bundle"));
		cmd_outf(cmd, "%s\n", buf_c(&out));
	}
	answer_free(&r);
	buf_free(&out);
	buf_free(&t.path);
	return e;
}

/* ---- verify ---- */

enum err verify_version(struct cmd *cmd, struct errtext *et)
{
	struct target t = {0};
	struct answer r = {0};
	struct buf body = {0}, pem = {0};
	struct jw w = {.out = &body};
	enum err e = path_of(cmd, &t, "/verify", et);
	if (!e && cmd_opt(cmd, "key").n)
		e = read_file(cmd_opt(cmd, "key"), KEY_PEM_MAX, &pem, et);
	jw_obj(&w);
	if (pem.n)
		jw_kstr(&w, "public_key", buf_str(&pem));
	jw_end(&w);
	if (!e)
		e = reg_api(cmd, HTTP_POST, &t.path, buf_str(&body), false, &r, et);
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&r.body));
	if (!e && !json_bool(r.root, "ok", false))
		e = err_set(et, ERR_CORRUPT, "%.*s: %.*s", STR_FMT(cmd_arg(cmd, 0)),
			STR_FMT(json_str(r.root, "problem")));
	else if (!e && !cmd_json(cmd))
		cmd_outf(cmd, "%.*s is what was signed: %lld file%s, %lld bytes\n",
			STR_FMT(cmd_arg(cmd, 0)), (long long)json_i64(r.root, "files", 0),
			json_i64(r.root, "files", 0) == 1 ? "" : "s",
			(long long)json_i64(r.root, "bytes", 0));
	answer_free(&r);
	buf_free(&body);
	buf_free(&pem);
	buf_free(&t.path);
	return e;
}

static const struct option sign_options[] = {
	{"key", 0, "FILE", "The private key (PEM: EC P-256, P-384, P-521, Ed25519)"},
	{"signature", 0, "FILE", "Attach this Sigstore bundle, made elsewhere, instead"}};

const struct command signature_commands[N_SIGNATURE_COMMANDS] = {
	{"artifact key", key_make, "FILE", NULL, 0, "Make a key for signing: FILE and FILE.pub",
		NULL},
	{"artifact sign", artifact_sign, "REF", OPTIONS(sign_options), "Sign a version's files",
		"The signature is a Sigstore bundle over an in-toto statement, as the OpenSSF's\n"
		"model_signing writes and reads it. The private key stays here.\n\n"
		"Example:\n"
		"  croft artifact sign model/churn:3 --key release.pem"},
	{"artifact signature", artifact_signature, "REF", NULL, 0,
		"Print the newest signature of a version: a Sigstore bundle", NULL},
};
