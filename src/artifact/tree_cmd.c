/* `croft artifact push`, `croft artifact pull`, `croft artifact gc`. */
#include "artifact/registry_int.h"
#include "artifact/transfer.h"
#include "artifact/tree_int.h"
#include "module/cmd.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void size_text(int64_t bytes, char out[24])
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
	double v = (double)bytes;
	size_t i = 0;
	for (; v >= 1000 && i + 1 < ARRAY_LEN(units); i++)
		v /= 1000;
	snprintf(out, 24, i && v < 100 ? "%.1f %s" : "%.0f %s", v, units[i]);
}

/* ---- without a server: events of our own process ---- */

struct working {
	struct progress *progress;
	struct tree_pushed sum;
	bool done;
	enum err err;
	struct errtext et;
};

static void show(void *ctx, uint64_t done, uint64_t total, const char *what)
{
	progress_at(((struct working *)ctx)->progress, done, total, what);
}

static enum err error_word(struct str word)
{
	for (int e = 1; e < ERR_COUNT; e++)
		if (str_eq_c(word, err_word((enum err)e)))
			return (enum err)e;
	return ERR_INTERNAL;
}

static enum err on_event(void *ctx, struct str name, struct str data)
{
	struct working *k = ctx;
	yyjson_doc *doc;
	if (json_parse(data, &doc, NULL))
		return OK;
	yyjson_val *root = yyjson_doc_get_root(doc), *error = yyjson_obj_get(root, "error");
	if (str_eq_c(name, "progress")) {
		char what[128];
		snprintf(what, sizeof what, "%.*s",
			STR_FMT(str_sub(json_str(root, "what"), 0, 100)));
		show(k, (uint64_t)json_i64(root, "done", 0), (uint64_t)json_i64(root, "total", 0),
			what);
	} else if (str_eq_c(name, "done")) {
		snprintf(k->sum.digest, sizeof k->sum.digest, "%.*s",
			STR_FMT(json_str(root, "digest")));
		k->sum.files = (uint64_t)json_i64(root, "files", 0);
		k->sum.bytes = (uint64_t)json_i64(root, "bytes", 0);
		k->done = true;
	} else if (str_eq_c(name, "error")) {
		k->err = err_set(&k->et, error_word(json_str(error, "code")), "%.*s",
			STR_FMT(json_str(error, "message")));
	}
	yyjson_doc_free(doc);
	return OK;
}

static enum err work_here(struct cmd *cmd, const char *route, const char *member, const char *path,
	bool follow_links, struct working *k, struct errtext *et)
{
	struct buf body = {0};
	struct jw w = {.out = &body};
	jw_obj(&w);
	jw_kc(&w, member, path);
	if (follow_links)
		jw_kbool(&w, "follow_links", true);
	jw_end(&w);
	enum err e = cmd_stream(cmd, HTTP_POST, route, buf_str(&body), on_event, k, et);
	buf_free(&body);
	if (!e && k->err) {
		e = k->err;
		*et = k->et;
	}
	if (!e && !k->done)
		e = err_set(et, ERR_INTERNAL, "the work ended without a result");
	return e;
}

/* ---- push ---- */

static enum err push_tree(
	struct cmd *cmd, const char *path, struct tree_pushed *out, struct errtext *et)
{
	char whole[PATH_MAX];
	if (!realpath(path, whole))
		return err_errno(et, "%s", path);
	struct working k = {.progress = progress_begin(cmd, "push", "B", 0)};
	struct tree_options o = {.follow_links = cmd_flag(cmd, "follow-links"),
		.progress = show,
		.ctx = &k,
		.cancel = cmd_cancel(cmd)};
	enum err e = cmd_remote(cmd) ? tree_push(cmd, whole, &o, &k.sum, et)
				     : work_here(cmd, "/api/v1/trees/add", "path", whole,
					       o.follow_links, &k, et);
	progress_end(k.progress, NULL);
	if (!e)
		*out = k.sum;
	return e;
}

/* KIND/NAME; the kind may be left out when there is one artifact of that name. */
static enum err find_artifact(
	struct cmd *cmd, struct str text, struct ref *r, char kind[64], struct errtext *et)
{
	enum err e = ref_parse(text, r, et);
	if (e)
		return e;
	if (r->alias.n || r->version)
		return err_set(et, ERR_INVALID,
			"a push makes a new version: name the artifact only, as in model/NAME; "
			"--alias points an alias at it");
	if (r->kind.n) {
		snprintf(kind, 64, "%.*s", STR_FMT(r->kind));
		return kind_check(r->kind, et);
	}
	struct buf path = {0}, body = {0};
	yyjson_doc *doc = NULL;
	yyjson_val *v;
	size_t i, n;
	unsigned found = 0;
	buf_addc(&path, "/api/v1/artifacts?limit=1000&name=");
	url_encode(&path, r->name);
	e = cmd_call(cmd, HTTP_GET, buf_c(&path), (struct str){0}, &body, et);
	if (!e)
		e = json_parse(buf_str(&body), &doc, et);
	yyjson_arr_foreach(
		yyjson_obj_get(doc ? yyjson_doc_get_root(doc) : NULL, "artifacts"), i, n, v)
	{
		if (!str_eq(json_str(v, "name"), r->name))
			continue;
		snprintf(kind, 64, "%.*s", STR_FMT(json_str(v, "kind")));
		found++;
	}
	if (!e && found != 1)
		e = err_set(et, ERR_INVALID, "say the kind, as in model/%.*s or dataset/%.*s",
			STR_FMT(r->name), STR_FMT(r->name));
	yyjson_doc_free(doc);
	buf_free(&path);
	buf_free(&body);
	return e;
}

static void version_body(struct cmd *cmd, const struct tree_pushed *sum, struct buf *out)
{
	static const char *const texts[] = {"description", "run", "source"};
	struct jw w = {.out = out};
	jw_obj(&w);
	jw_kc(&w, "digest", sum->digest);
	jw_ki64(&w, "bytes", (int64_t)sum->bytes);
	jw_kbool(&w, "reuse", true);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (cmd_opt(cmd, texts[i]).p)
			jw_kstr(&w, texts[i], cmd_opt(cmd, texts[i]));
	if (cmd_n_args(cmd) > 2) {
		jw_key(&w, "inputs");
		jw_arr(&w);
		for (size_t i = 2; i < cmd_n_args(cmd); i++)
			jw_str(&w, cmd_arg(cmd, i));
		jw_end(&w);
	}
	jw_end(&w);
}

static enum err point_alias(
	struct cmd *cmd, const char *artifact, int64_t version, struct errtext *et)
{
	struct str alias = cmd_opt(cmd, "alias");
	struct buf path = {0}, body = {0}, answer = {0};
	if (!alias.n)
		return OK;
	buf_addf(&path, "%s/aliases/", artifact);
	url_encode(&path, alias);
	buf_addf(&body, "{\"version\":%lld}", (long long)version);
	enum err e = cmd_call(cmd, HTTP_PUT, buf_c(&path), buf_str(&body), &answer, et);
	buf_free(&path);
	buf_free(&body);
	buf_free(&answer);
	return e;
}

static void print_pushed(
	struct cmd *cmd, yyjson_val *root, const struct tree_pushed *sum, struct str answer)
{
	char bytes[24], sent[24];
	if (cmd_json(cmd)) {
		cmd_outf(cmd, "%.*s\n", STR_FMT(answer));
		return;
	}
	size_text((int64_t)sum->bytes, bytes);
	size_text((int64_t)sum->sent, sent);
	cmd_outf(cmd, "%.*s/%.*s:%lld  %.12s  %llu file%s, %s", STR_FMT(json_str(root, "kind")),
		STR_FMT(json_str(root, "name")), (long long)json_i64(root, "version", 0),
		sum->digest, (unsigned long long)sum->files, sum->files == 1 ? "" : "s", bytes);
	if (cmd_remote(cmd))
		cmd_outf(cmd, ", %s sent", sent);
	cmd_outf(cmd, "\n");
}

static enum err artifact_push(struct cmd *cmd, struct errtext *et)
{
	struct ref ref;
	struct tree_pushed sum;
	char kind[64];
	struct buf path = {0}, body = {0}, answer = {0};
	yyjson_doc *doc = NULL;
	if (cmd_n_args(cmd) < 2)
		return err_set(et, ERR_INVALID,
			"name the files and the artifact: croft artifact push PATH KIND/NAME");
	enum err e = find_artifact(cmd, cmd_arg(cmd, 1), &ref, kind, et);
	if (!e)
		e = push_tree(cmd, cmd_arg(cmd, 0).p, &sum, et);
	if (e)
		return e;
	buf_addf(&path, "/api/v1/artifacts/%s/", kind);
	url_encode(&path, ref.name);
	size_t base = path.n;
	buf_addc(&path, "/versions");
	version_body(cmd, &sum, &body);
	e = path.err || body.err
		    ? err_set(et, ERR_NOMEM, "no memory")
		    : cmd_call(cmd, HTTP_POST, buf_c(&path), buf_str(&body), &answer, et);
	if (!e)
		e = json_parse(buf_str(&answer), &doc, et);
	if (!e) {
		path.p[base] = 0;
		e = point_alias(cmd, path.p, json_i64(yyjson_doc_get_root(doc), "version", 0), et);
	}
	if (!e)
		print_pushed(cmd, yyjson_doc_get_root(doc), &sum, buf_str(&answer));
	yyjson_doc_free(doc);
	buf_free(&path);
	buf_free(&body);
	buf_free(&answer);
	return e;
}

/* ---- pull ---- */

/* The tree that a reference, or the digest itself, names. */
static enum err find_digest(
	struct cmd *cmd, struct str text, char digest[SHA256_HEX + 1], struct errtext *et)
{
	struct buf path = {0}, body = {0};
	yyjson_doc *doc = NULL;
	if (tree_digest_ok(text)) {
		snprintf(digest, SHA256_HEX + 1, "%.*s", STR_FMT(text));
		return OK;
	}
	buf_addc(&path, "/api/v1/artifacts/resolve?ref=");
	url_encode(&path, text);
	enum err e = cmd_call(cmd, HTTP_GET, buf_c(&path), (struct str){0}, &body, et);
	if (!e)
		e = json_parse(buf_str(&body), &doc, et);
	if (!e) {
		struct str d = json_str(yyjson_doc_get_root(doc), "digest");
		if (tree_digest_ok(d))
			snprintf(digest, SHA256_HEX + 1, "%.*s", STR_FMT(d));
		else
			e = err_set(et, ERR_NOT_FOUND,
				"%.*s has no files here: it was registered, not pushed",
				STR_FMT(text));
	}
	yyjson_doc_free(doc);
	buf_free(&path);
	buf_free(&body);
	return e;
}

static enum err absolute(struct str dir, char out[PATH_MAX], struct errtext *et)
{
	char here[PATH_MAX] = "";
	if (dir.p[0] != '/' && !getcwd(here, sizeof here))
		return err_errno(et, "the working folder");
	int n = snprintf(out, PATH_MAX, "%s%s%.*s", here, *here ? "/" : "", STR_FMT(dir));
	return n < PATH_MAX ? OK : err_set(et, ERR_INVALID, "the path is too long");
}

static enum err artifact_pull(struct cmd *cmd, struct errtext *et)
{
	char digest[SHA256_HEX + 1], dir[PATH_MAX], bytes[24];
	if (cmd_n_args(cmd) != 2 || !cmd_arg(cmd, 1).n)
		return err_set(et, ERR_INVALID,
			"name the version and a new folder: croft artifact pull REF DIR");
	enum err e = find_digest(cmd, cmd_arg(cmd, 0), digest, et);
	if (!e)
		e = absolute(cmd_arg(cmd, 1), dir, et);
	if (e)
		return e;
	struct working k = {.progress = progress_begin(cmd, "pull", "B", 0)};
	struct tree_options o = {.progress = show, .ctx = &k, .cancel = cmd_cancel(cmd)};
	struct tree_sum sum;
	if (cmd_remote(cmd)) {
		e = tree_pull(cmd, str_c(digest), dir, &o, &sum, et);
	} else {
		char route[128];
		snprintf(route, sizeof route, "/api/v1/trees/%s/extract", digest);
		e = work_here(cmd, route, "dir", dir, false, &k, et);
		sum = (struct tree_sum){.files = k.sum.files, .bytes = k.sum.bytes};
	}
	progress_end(k.progress, NULL);
	if (e)
		return e;
	size_text((int64_t)sum.bytes, bytes);
	if (cmd_json(cmd))
		cmd_outf(cmd, "{\"digest\":\"%s\",\"files\":%llu,\"bytes\":%llu}\n", digest,
			(unsigned long long)sum.files, (unsigned long long)sum.bytes);
	else
		cmd_outf(cmd, "%.12s  %llu file%s, %s, verified, in %.*s\n", digest,
			(unsigned long long)sum.files, sum.files == 1 ? "" : "s", bytes,
			STR_FMT(cmd_arg(cmd, 1)));
	return OK;
}

/* ---- gc ---- */

static enum err artifact_gc(struct cmd *cmd, struct errtext *et)
{
	struct buf body = {0}, answer = {0};
	struct jw w = {.out = &body};
	yyjson_doc *doc = NULL;
	char bytes[24];
	jw_obj(&w);
	if (cmd_opt(cmd, "grace").p)
		jw_kstr(&w, "grace", cmd_opt(cmd, "grace"));
	if (cmd_flag(cmd, "dry-run"))
		jw_kbool(&w, "dry_run", true);
	jw_end(&w);
	enum err e = cmd_call(cmd, HTTP_POST, "/api/v1/trees/gc", buf_str(&body), &answer, et);
	if (!e)
		e = json_parse(buf_str(&answer), &doc, et);
	yyjson_val *root = doc ? yyjson_doc_get_root(doc) : NULL;
	size_text(json_i64(root, "bytes", 0), bytes);
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&answer));
	else if (!e)
		cmd_outf(cmd, "%s%lld trees, %lld blobs, %s; %lld blobs are kept\n",
			cmd_flag(cmd, "dry-run") ? "would remove " : "removed ",
			(long long)json_i64(root, "trees", 0),
			(long long)json_i64(root, "blobs", 0), bytes,
			(long long)json_i64(root, "kept", 0));
	yyjson_doc_free(doc);
	buf_free(&body);
	buf_free(&answer);
	return e;
}

static const struct option push_options[] = {
	{"alias", 0, "NAME", "Point this alias at the new version"},
	{"description", 0, "TEXT", "What is new in it"},
	{"run", 0, "ID", "The run that produced it"},
	{"source", 0, "URI", "Where it came from"},
	{"follow-links", 0, NULL, "Store what links lead to, also outside the folder"},
};

static const struct option gc_options[] = {
	{"grace", 0, "TIME", "Spare what is younger (at least 1h; default artifact.gc_grace)"},
	{"dry-run", 0, NULL, "Only say what would be removed"},
};

const struct command tree_commands[3] = {
	{"artifact push", artifact_push, "PATH KIND/NAME [INPUT...]", push_options,
		ARRAY_LEN(push_options), "Store a file or folder as a new version",
		"Files are cut into chunks by their content; only chunks that are not there yet "
		"are "
		"sent\n"
		"and stored, so a push that was cut off goes on where it ended, and versions share "
		"what\n"
		"is equal. Pushing the same files again makes no new version. INPUTs are what it "
		"was made\n"
		"from: references, runs or URIs.\n\n"
		"  croft artifact push ./my-model model/my-model --alias candidate dataset/faq:3"},
	{"artifact pull", artifact_pull, "REF DIR", NULL, 0, "Write a version into a new folder",
		"REF is [KIND/]NAME, NAME:VERSION, NAME@ALIAS, or the digest of a tree. Every "
		"chunk "
		"is\n"
		"verified; DIR appears when it is complete. A pull that was cut off goes on.\n\n"
		"  croft artifact pull model/my-model@prod ./my-model"},
	{"artifact gc", artifact_gc, "", gc_options, ARRAY_LEN(gc_options),
		"Remove stored content that nothing needs",
		"Trees that no version names (also those of deleted versions) and chunks that no "
		"tree has\n"
		"are removed when they are older than the grace. Nothing is removed while a tree "
		"cannot\n"
		"be read."},
};
