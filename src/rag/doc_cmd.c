/* croft ingest, croft docs */
#include "rag/rag_int.h"

#include "base/clock.h"
#include "base/room.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

const struct option ingest_options[] = {
	{"collection", 'c', "NAME", "Collection to put them in (default)"},
	{"tag", 't', "A,B", "Tags of the documents"},
	{"name", 0, "NAME", "Name of the document read from standard input"},
	{"no-prune", 0, NULL, "Keep documents whose files are gone"},
	{"only", 0, NULL, "Remove every other document of the collection"},
};

const struct option docs_options[] = {
	{"collection", 'c', "NAME", "Only this collection"},
	{"failed", 0, NULL, "Only those that could not be read"},
	{"titles", 0, NULL, "Print titles only, one a line"},
};

struct file {
	char *path; /* absolute */
	int64_t bytes, mtime_ms;
	char sha256[SHA256_HEX + 1];
	bool upload;
};

struct failure {
	char *path, *code, *message;
};

struct ingest {
	struct cmd *cmd;
	struct str collection, tags;
	struct file *files;
	size_t n, cap;
	struct map by_path;
	struct buf roots; /* JSON strings, separated by commas */
	struct failure *failures;
	size_t n_failures, cap_failures;
	size_t indexed, unchanged, removed, embedded, reused;
	uint64_t bytes;
	struct buf set; /* the version of the document set; empty: none */
	bool set_made;
	enum err e;
};

static void note_failure(struct ingest *in, struct str path, const char *code, struct str message)
{
	if (!heap_room(in->failures, in->n_failures, in->cap_failures))
		return;
	in->failures[in->n_failures++] =
		(struct failure){str_dup(path), str_dup(str_c(code)), str_dup(message)};
}

static enum err add_file(void *ctx, const char *path, enum err err, const char *reason)
{
	struct ingest *in = ctx;
	struct stat st;
	char full[PATH_MAX];
	if (cancelled(cmd_cancel(in->cmd)))
		return ERR_CANCELLED;
	if (!err && (stat(path, &st) || !realpath(path, full))) {
		err = err_from_errno(errno);
		reason = strerror(errno);
	}
	if (!err && !utf8_valid(str_c(full))) {
		err = ERR_INVALID;
		reason = "the name is not UTF-8";
	}
	if (err) {
		note_failure(in, str_c(path), err_word(err), str_c(reason));
		return OK;
	}
	if (map_get(&in->by_path, str_c(full)))
		return OK;
	if (!heap_room(in->files, in->n, in->cap))
		return ERR_NOMEM;
	struct file *f = &in->files[in->n++];
	*f = (struct file){.path = str_dup(str_c(full)),
		.bytes = st.st_size,
		.mtime_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000};
	return f->path && map_put(&in->by_path, str_c(f->path), (void *)(uintptr_t)in->n)
		       ? OK
		       : ERR_NOMEM;
}

static enum err add_path(struct ingest *in, const char *path, struct errtext *et)
{
	char full[PATH_MAX];
	if (os_is_dir(path) && realpath(path, full)) {
		struct buf root = {0};
		buf_addf(&root, "%s%s", full, strcmp(full, "/") ? "/" : "");
		if (in->roots.n)
			buf_putc(&in->roots, ',');
		json_escape(&in->roots, buf_str(&root));
		buf_free(&root);
	}
	return os_walk(path, false, add_file, in, et);
}

/* A path, or a pattern that the shell has left alone. */
static enum err add_argument(struct ingest *in, struct str arg, struct errtext *et)
{
	char *path = str_dup(arg);
	enum err e;
	if (!path)
		return ERR_NOMEM;
	if (!os_exists(path) && strpbrk(path, "*?[")) {
		glob_t g = {0};
		e = glob(path, 0, NULL, &g) ? err_set(et, ERR_NOT_FOUND, "nothing matches %s", path)
					    : OK;
		for (size_t i = 0; i < g.gl_pathc && !e; i++)
			e = add_path(in, g.gl_pathv[i], et);
		globfree(&g);
	} else {
		e = add_path(in, path, et);
	}
	free(path);
	return e;
}

/* ---- the plan ---- */

static enum err hash_file(struct file *f, struct errtext *et)
{
	struct os_map m = {0};
	if (f->bytes == 0) {
		sha256_hex_of(S(""), f->sha256);
		return OK;
	}
	enum err e = os_map_file(f->path, &m, et);
	if (!e)
		sha256_hex_of(str_mk(m.p, m.n), f->sha256);
	os_unmap(&m);
	return e;
}

static void plan_json(const struct ingest *in, bool prune, struct buf *out)
{
	struct jw w = {.out = out};
	struct buf roots = {0};
	buf_addf(&roots, "[%s]", cmd_flag(in->cmd, "only") ? "\"\"" : buf_c(&in->roots));
	jw_obj(&w);
	if (in->collection.n)
		jw_kstr(&w, "collection", in->collection);
	jw_kbool(&w, "prune", prune);
	jw_key(&w, "roots");
	jw_raw(&w, buf_str(&roots));
	jw_key(&w, "files");
	jw_arr(&w);
	for (size_t i = 0; i < in->n; i++) {
		const struct file *f = &in->files[i];
		jw_obj(&w);
		jw_kc(&w, "path", f->path);
		jw_ki64(&w, "bytes", f->bytes);
		jw_ki64(&w, "mtime_ms", f->mtime_ms);
		if (f->sha256[0])
			jw_kc(&w, "sha256", f->sha256);
		jw_end(&w);
	}
	jw_end(&w);
	jw_end(&w);
	buf_free(&roots);
}

static struct file *file_of(struct ingest *in, yyjson_val *path)
{
	uintptr_t at = (uintptr_t)map_get(&in->by_path, json_val_str(path));
	return at ? &in->files[at - 1] : NULL;
}

static enum err ask_plan(struct ingest *in, bool *again, struct errtext *et)
{
	struct buf body = {0}, reply = {0};
	yyjson_doc *doc = NULL;
	yyjson_val *v;
	size_t i, max;
	plan_json(in, !cmd_flag(in->cmd, "no-prune"), &body);
	enum err e =
		cmd_call(in->cmd, HTTP_POST, "/api/v1/ingest/plan", buf_str(&body), &reply, et);
	if (!e)
		e = json_parse(buf_str(&reply), &doc, et);
	yyjson_val *o = doc ? yyjson_doc_get_root(doc) : NULL;
	*again = false;
	yyjson_arr_foreach(yyjson_obj_get(o, "hash"), i, max, v)
	{
		struct file *f = file_of(in, v);
		if (f && !e) {
			*again = true;
			e = hash_file(f, et);
		}
	}
	in->removed += yyjson_arr_size(yyjson_obj_get(o, "removed"));
	if (!*again && !e) {
		in->unchanged = (size_t)json_i64(o, "unchanged", 0);
		yyjson_arr_foreach(yyjson_obj_get(o, "upload"), i, max, v)
		{
			struct file *f = file_of(in, v);
			if (f)
				f->upload = true;
		}
		yyjson_arr_foreach(yyjson_obj_get(o, "failed"), i, max, v)
		{
			char *code = str_dup(json_str(v, "code"));
			note_failure(
				in, json_str(v, "path"), code ? code : "", json_str(v, "message"));
			free(code);
		}
		in->unchanged -= MIN(in->unchanged, yyjson_arr_size(yyjson_obj_get(o, "failed")));
	}
	yyjson_doc_free(doc);
	buf_free(&body);
	buf_free(&reply);
	return e;
}

/* ---- sending ---- */

static void query_param(struct buf *b, const char *name, struct str value)
{
	buf_addf(b, "%c%s=", memchr(b->p, '?', b->n) ? '&' : '?', name);
	url_encode(b, value);
}

static enum err send_document(
	struct ingest *in, struct str path, int64_t mtime_ms, struct str bytes, struct errtext *et)
{
	struct buf url = {0}, reply = {0};
	yyjson_doc *doc = NULL;
	buf_addc(&url, "/api/v1/documents/by-path");
	query_param(&url, "path", path);
	if (in->collection.n)
		query_param(&url, "collection", in->collection);
	if (in->tags.p)
		query_param(&url, "tags", in->tags);
	buf_addf(&url, "&mtime_ms=%lld", (long long)mtime_ms);
	static const struct http_pair type[] = {
		{{"content-type", 12}, {"application/octet-stream", 24}}};
	enum err e = cmd_send(in->cmd, HTTP_PUT, buf_c(&url), type, 1, bytes, &reply, et);
	if (!e)
		e = json_parse(buf_str(&reply), &doc, et);
	if (!e) {
		yyjson_val *o = yyjson_doc_get_root(doc), *error = yyjson_obj_get(o, "error");
		struct str outcome = json_str(o, "outcome");
		if (str_eq_c(outcome, "failed")) {
			char *code = str_dup(json_str(error, "code"));
			note_failure(in, path, code ? code : "", json_str(error, "message"));
			free(code);
		} else if (str_eq_c(outcome, "indexed")) {
			in->indexed++;
		} else {
			in->unchanged++;
		}
		in->embedded += (size_t)json_i64(o, "embedded", 0);
		in->reused += (size_t)json_i64(o, "reused", 0);
		in->bytes += bytes.n;
	}
	yyjson_doc_free(doc);
	buf_free(&url);
	buf_free(&reply);
	return e;
}

/* An error about this file is noted; one about everything (no server, no space) ends the work. */
static bool about_one_file(enum err e)
{
	return e == ERR_NOT_FOUND || e == ERR_FORBIDDEN || e == ERR_INVALID || e == ERR_TOO_LARGE ||
	       e == ERR_CORRUPT || e == ERR_LIMIT || e == ERR_UNSUPPORTED;
}

static enum err send_file(struct ingest *in, struct file *f, struct errtext *et)
{
	struct os_map m = {0};
	enum err e = f->bytes ? os_map_file(f->path, &m, et) : OK;
	if (!e)
		e = send_document(in, str_c(f->path), f->mtime_ms, str_mk(m.p ? m.p : "", m.n), et);
	os_unmap(&m);
	if (e && about_one_file(e)) {
		note_failure(in, str_c(f->path), err_word(e), str_c(err_text(e, et)));
		e = OK;
	}
	return e;
}

static enum err send_files(struct ingest *in, struct errtext *et)
{
	size_t total = 0, done = 0;
	for (size_t i = 0; i < in->n; i++)
		total += in->files[i].upload;
	if (!total)
		return OK;
	struct progress *p = progress_begin(in->cmd, "indexing", "files", total);
	enum err e = OK;
	for (size_t i = 0; i < in->n && !e; i++) {
		if (!in->files[i].upload)
			continue;
		if (cancelled(cmd_cancel(in->cmd)))
			e = ERR_CANCELLED;
		const char *slash = strrchr(in->files[i].path, '/');
		progress_at(p, done++, total, slash ? slash + 1 : in->files[i].path);
		if (!e)
			e = send_file(in, &in->files[i], et);
	}
	progress_end(p, NULL);
	return e;
}

static enum err send_stdin(struct ingest *in, struct errtext *et)
{
	struct str name = cmd_opt(in->cmd, "name");
	struct buf b = {.max = (size_t)512 << 20};
	if (!name.n)
		return err_set(et, ERR_INVALID,
			"reading standard input needs a name: croft ingest - --name notes.md");
	enum err e = os_read_file("/dev/stdin", b.max, &b, et);
	if (!e)
		e = send_document(in, name, 0, buf_str(&b), et);
	buf_free(&b);
	return e;
}

/* All that this command has changed becomes one version of the document set. */
static enum err commit_set(struct ingest *in, struct errtext *et)
{
	struct buf body = {0}, reply = {0};
	struct jw w = {.out = &body};
	yyjson_doc *doc = NULL;
	jw_obj(&w);
	if (in->collection.n)
		jw_kstr(&w, "collection", in->collection);
	jw_end(&w);
	enum err e =
		cmd_call(in->cmd, HTTP_POST, "/api/v1/ingest/commit", buf_str(&body), &reply, et);
	if (!e)
		e = json_parse(buf_str(&reply), &doc, et);
	yyjson_val *o = doc ? yyjson_doc_get_root(doc) : NULL;
	buf_adds(&in->set, json_str(o, "document_set"));
	in->set_made = json_bool(o, "made", false);
	yyjson_doc_free(doc);
	buf_free(&body);
	buf_free(&reply);
	return e;
}

/* ---- the report ---- */

static void print_json(struct ingest *in)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_ki64(&w, "indexed", (int64_t)in->indexed);
	jw_ki64(&w, "unchanged", (int64_t)in->unchanged);
	jw_ki64(&w, "removed", (int64_t)in->removed);
	jw_ki64(&w, "embedded", (int64_t)in->embedded);
	jw_ki64(&w, "reused", (int64_t)in->reused);
	jw_key(&w, "document_set");
	in->set.n ? jw_str(&w, buf_str(&in->set)) : jw_null(&w);
	jw_kbool(&w, "document_set_made", in->set_made);
	jw_key(&w, "failed");
	jw_arr(&w);
	for (size_t i = 0; i < in->n_failures; i++) {
		jw_obj(&w);
		jw_kc(&w, "path", in->failures[i].path);
		jw_kc(&w, "code", in->failures[i].code);
		jw_kc(&w, "message", in->failures[i].message);
		jw_end(&w);
	}
	jw_end(&w);
	jw_end(&w);
	cmd_outf(in->cmd, "%s\n", buf_c(&b));
	buf_free(&b);
}

static void print_report(struct ingest *in, double seconds)
{
	cmd_outf(in->cmd, "%zu indexed, %zu unchanged, %zu removed, %zu failed", in->indexed,
		in->unchanged, in->removed, in->n_failures);
	if (in->indexed)
		cmd_outf(in->cmd, " in %.1f s (%zu chunks embedded, %zu reused)", seconds,
			in->embedded, in->reused);
	cmd_outf(in->cmd, "\n");
	if (in->set.n)
		cmd_outf(in->cmd, "%s%s\n", buf_c(&in->set), in->set_made ? "" : ", as before");
	if (!in->n_failures)
		return;
	cmd_outf(in->cmd, "\n%sNot indexed:%s\n", cmd_style(in->cmd, "bold"),
		cmd_style(in->cmd, "reset"));
	for (size_t i = 0; i < in->n_failures; i++)
		cmd_outf(in->cmd, "  %s\n    %s%s%s\n", in->failures[i].path,
			cmd_style(in->cmd, "red"), in->failures[i].message,
			cmd_style(in->cmd, "reset"));
}

static void release(struct ingest *in)
{
	for (size_t i = 0; i < in->n; i++)
		free(in->files[i].path);
	for (size_t i = 0; i < in->n_failures; i++) {
		free(in->failures[i].path);
		free(in->failures[i].code);
		free(in->failures[i].message);
	}
	free(in->files);
	free(in->failures);
	map_free(&in->by_path);
	buf_free(&in->roots);
	buf_free(&in->set);
}

enum err run_ingest(struct cmd *cmd, struct errtext *et)
{
	struct ingest in = {
		.cmd = cmd, .collection = cmd_opt(cmd, "collection"), .tags = cmd_opt(cmd, "tag")};
	uint64_t start = clock_mono_ns();
	bool from_stdin = false, again = true;
	enum err e = OK;
	if (!cmd_n_args(cmd))
		return err_set(et, ERR_INVALID,
			"name files, folders or patterns, or - for standard input");
	for (size_t i = 0; i < cmd_n_args(cmd) && !e; i++) {
		if (str_eq_c(cmd_arg(cmd, i), "-"))
			from_stdin = true;
		else
			e = add_argument(&in, cmd_arg(cmd, i), et);
	}
	if (!e && from_stdin)
		e = send_stdin(&in, et);
	for (int round = 0; round < 2 && again && !e && (in.n || in.roots.n); round++)
		e = ask_plan(&in, &again, et);
	if (!e)
		e = send_files(&in, et);
	if (!e)
		e = commit_set(&in, et);
	if (!e || in.indexed || in.n_failures) {
		if (cmd_json(cmd))
			print_json(&in);
		else
			print_report(&in, (double)(clock_mono_ns() - start) / 1e9);
	}
	if (!e && in.n_failures && !in.indexed && !in.unchanged)
		e = err_set(et, ERR_INVALID, "none of the files could be indexed");
	release(&in);
	return e;
}

/* ---- docs ---- */

static void print_docs(struct cmd *cmd, yyjson_val *list)
{
	static const char *const titles[] = {"ID", "TYPE", "CHUNKS", "TITLE", "PATH"};
	size_t i, n;
	yyjson_val *d;
	if (cmd_flag(cmd, "titles")) {
		yyjson_arr_foreach(list, i, n, d)
			cmd_outf(cmd, "%.*s\n", STR_FMT(json_str(d, "title")));
		return;
	}
	struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
	yyjson_arr_foreach(list, i, n, d)
	{
		bool failed = str_eq_c(json_str(d, "status"), "failed");
		struct str title = failed ? json_str(yyjson_obj_get(d, "error"), "message")
					  : json_str(d, "title");
		cmd_cell(t, "%.*s", STR_FMT(json_str(d, "id")));
		cmd_cell(t, "%.*s", STR_FMT(json_str(d, "type")));
		if (failed)
			cmd_cell(t, "failed");
		else
			cmd_cell(t, "%lld", (long long)json_i64(d, "chunks", 0));
		cmd_cell(t, "%.*s", STR_FMT(title));
		cmd_cell(t, "%.*s", STR_FMT(json_str(d, "path")));
	}
	cmd_table_end(t);
}

/* All pages of the list. */
enum err run_docs(struct cmd *cmd, struct errtext *et)
{
	struct buf url = {0}, reply = {0};
	char after[ID_HEX + 1] = "";
	enum err e = OK;
	do {
		yyjson_doc *doc = NULL;
		buf_clear(&url);
		buf_clear(&reply);
		buf_addc(&url, "/api/v1/documents?limit=1000");
		if (cmd_flag(cmd, "failed"))
			buf_addc(&url, "&status=failed");
		if (cmd_opt(cmd, "collection").n)
			query_param(&url, "collection", cmd_opt(cmd, "collection"));
		if (*after)
			buf_addf(&url, "&after=%s", after);
		e = cmd_call(cmd, HTTP_GET, buf_c(&url), (struct str){0}, &reply, et);
		if (!e)
			e = json_parse(buf_str(&reply), &doc, et);
		if (e)
			break;
		struct str next = json_str(yyjson_doc_get_root(doc), "next");
		snprintf(after, sizeof after, "%.*s", STR_FMT(next));
		if (cmd_json(cmd))
			cmd_outf(cmd, "%s\n", buf_c(&reply));
		else
			print_docs(cmd, yyjson_obj_get(yyjson_doc_get_root(doc), "documents"));
		yyjson_doc_free(doc);
	} while (*after);
	buf_free(&url);
	buf_free(&reply);
	return e;
}

static enum err doc_call(struct cmd *cmd, enum http_method method, const char *tail,
	struct buf *reply, struct errtext *et)
{
	struct buf url = {0};
	if (!cmd_n_args(cmd))
		return err_set(
			et, ERR_INVALID, "name the document by its id; `croft docs` lists them");
	buf_addc(&url, "/api/v1/documents/");
	url_encode(&url, cmd_arg(cmd, 0));
	buf_addc(&url, tail);
	enum err e = cmd_call(cmd, method, buf_c(&url), (struct str){0}, reply, et);
	buf_free(&url);
	return e;
}

enum err run_docs_show(struct cmd *cmd, struct errtext *et)
{
	struct buf reply = {0}, chunks = {0};
	yyjson_doc *doc = NULL, *list = NULL;
	enum err e = doc_call(cmd, HTTP_GET, "", &reply, et);
	if (!e)
		e = doc_call(cmd, HTTP_GET, "/chunks", &chunks, et);
	if (!e && cmd_json(cmd)) {
		cmd_outf(cmd, "{\"document\":%s,%s\n", buf_c(&reply), buf_c(&chunks) + 1);
	} else if (!e) {
		e = json_parse(buf_str(&reply), &doc, et);
		if (!e)
			e = json_parse(buf_str(&chunks), &list, et);
	}
	if (!e && doc && list) {
		yyjson_val *d = yyjson_doc_get_root(doc), *v;
		size_t i, n;
		struct str error = json_str(yyjson_obj_get(d, "error"), "message");
		cmd_outf(cmd, "%s%.*s%s\n%.*s\n", cmd_style(cmd, "bold"),
			STR_FMT(json_str(d, "title")), cmd_style(cmd, "reset"),
			STR_FMT(json_str(d, "path")));
		cmd_outf(cmd,
			"%.*s, %lld bytes, %lld pages, version %lld, language %.*s, added %.*s\n",
			STR_FMT(json_str(d, "type")), (long long)json_i64(d, "bytes", 0),
			(long long)json_i64(d, "pages", 0), (long long)json_i64(d, "version", 0),
			STR_FMT(json_str(d, "language")), STR_FMT(json_str(d, "added")));
		if (error.n)
			cmd_outf(cmd, "%sfailed: %.*s%s\n", cmd_style(cmd, "red"), STR_FMT(error),
				cmd_style(cmd, "reset"));
		yyjson_arr_foreach(yyjson_obj_get(d, "warnings"), i, n, v)
			cmd_outf(cmd, "warning: %s\n", yyjson_get_str(v));
		yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(list), "chunks"), i, n, v)
		{
			cmd_outf(cmd, "\n%schunk %lld  bytes %lld-%lld  %lld tokens",
				cmd_style(cmd, "dim"), (long long)json_i64(v, "id", 0),
				(long long)json_i64(v, "from", 0), (long long)json_i64(v, "to", 0),
				(long long)json_i64(v, "tokens", 0));
			if (json_i64(v, "page", 0))
				cmd_outf(cmd, "  page %lld", (long long)json_i64(v, "page", 0));
			cmd_outf(cmd, "  %.*s%s\n%.*s\n", STR_FMT(json_str(v, "heading_path")),
				cmd_style(cmd, "reset"), STR_FMT(json_str(v, "text")));
		}
	}
	yyjson_doc_free(doc);
	yyjson_doc_free(list);
	buf_free(&reply);
	buf_free(&chunks);
	return e;
}

enum err run_docs_rm(struct cmd *cmd, struct errtext *et)
{
	struct buf reply = {0};
	enum err e = doc_call(cmd, HTTP_DELETE, "", &reply, et);
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&reply));
	else if (!e)
		cmd_outf(cmd, "deleted %.*s\n", STR_FMT(cmd_arg(cmd, 0)));
	buf_free(&reply);
	return e;
}
