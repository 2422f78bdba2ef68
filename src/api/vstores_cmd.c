/* `croft stores`, `make`, `show`, `add`, `search`, `rm`: vector stores from the command line. */
#include "api/vstores.h"

#include "base/clock.h"
#include "module/cmd.h"

#include <stdio.h>
#include <stdlib.h>

enum { WAIT_MS = 200 };

static enum err ask(struct cmd *cmd, enum http_method method, const char *path, struct str json,
	struct buf *body, yyjson_doc **doc, struct errtext *et)
{
	enum err e = cmd_call(cmd, method, path, json, body, et);
	return e ? e : json_parse(buf_str(body), doc, et);
}

/* ---- which store ---- */

static enum err one_page(struct cmd *cmd, struct str after, struct str name, struct buf *id,
	unsigned *found, struct buf *last, bool *more, struct errtext *et)
{
	struct buf path = {0}, body = {0};
	yyjson_doc *doc = NULL;
	yyjson_val *o;
	size_t i, n;
	buf_addf(&path, "/v1/vector_stores?limit=100%s%.*s", after.n ? "&after=" : "",
		STR_FMT(after));
	enum err e = ask(cmd, HTTP_GET, buf_c(&path), (struct str){0}, &body, &doc, et);
	yyjson_val *root = yyjson_doc_get_root(doc);
	yyjson_arr_foreach(yyjson_obj_get(root, "data"), i, n, o)
	{
		if (!str_eq(json_str(o, "name"), name))
			continue;
		buf_clear(id);
		buf_adds(id, json_str(o, "id"));
		++*found;
	}
	buf_clear(last);
	buf_adds(last, json_str(root, "last_id"));
	*more = json_bool(root, "has_more", false);
	yyjson_doc_free(doc);
	buf_free(&path);
	buf_free(&body);
	return e;
}

/* The first argument: an id, or the name of one store. Appends the id. */
static enum err want_store(struct cmd *cmd, struct buf *id, struct errtext *et)
{
	struct id parsed;
	struct buf last = {0};
	unsigned found = 0;
	bool more = true;
	struct str name = cmd_arg(cmd, 0);
	enum err e = OK;
	if (!name.n)
		return err_set(et, ERR_INVALID, "name a vector store: `croft stores` lists them");
	if (vstore_id_parse(name, &parsed)) {
		buf_adds(id, name);
		return id->err;
	}
	while (more && !e) {
		struct buf from = {0};
		buf_adds(&from, buf_str(&last));
		e = one_page(cmd, buf_str(&from), name, id, &found, &last, &more, et);
		buf_free(&from);
	}
	buf_free(&last);
	if (!e && found != 1)
		e = err_set(et, found ? ERR_CONFLICT : ERR_NOT_FOUND,
			"%u vector stores have the name %.*s%s", found,
			STR_FMT(str_sub(name, 0, 80)),
			found ? ": give an id" : "; `croft stores` lists them");
	return e;
}

/* ---- list, show ---- */

static void key_size(char out[32], int64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB"};
	double v = (double)bytes;
	size_t u = 0;
	for (; v >= 1024 && u + 1 < ARRAY_LEN(units); u++)
		v /= 1024;
	snprintf(out, 32, u ? "%.1f %s" : "%.0f %s", v, units[u]);
}

static void list_row(struct cmd_table *t, yyjson_val *o)
{
	yyjson_val *n = yyjson_obj_get(o, "file_counts");
	char size[32];
	key_size(size, json_i64(o, "usage_bytes", 0));
	cmd_cell(t, "%.*s", STR_FMT(json_str(o, "id")));
	cmd_cell(t, "%lld", (long long)json_i64(n, "total", 0));
	cmd_cell(t, "%s", size);
	cmd_cell(t, "%.*s", STR_FMT(json_str(o, "status")));
	cmd_cell(t, "%.*s", STR_FMT(json_str(o, "name")));
}

enum err run_stores(struct cmd *cmd, struct errtext *et)
{
	static const char *const titles[] = {"ID", "FILES", "SIZE", "STATUS", "NAME"};
	struct buf body = {0};
	yyjson_doc *doc = NULL;
	enum err e =
		ask(cmd, HTTP_GET, "/v1/vector_stores?limit=100", (struct str){0}, &body, &doc, et);
	if (!e && cmd_json(cmd)) {
		cmd_outf(cmd, "%s\n", buf_c(&body));
	} else if (!e) {
		yyjson_val *root = yyjson_doc_get_root(doc), *o;
		struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
		size_t i, n;
		yyjson_arr_foreach(yyjson_obj_get(root, "data"), i, n, o) list_row(t, o);
		cmd_table_end(t);
		if (json_bool(root, "has_more", false))
			cmd_note(cmd, "the newest 100 are shown");
	}
	yyjson_doc_free(doc);
	buf_free(&body);
	return e;
}

static void print_time(struct cmd *cmd, const char *key, int64_t s)
{
	char when[CLOCK_TEXT];
	if (!s)
		return;
	clock_rfc3339(s * 1000, when);
	cmd_outf(cmd, "%-12s %s\n", key, when);
}

static void print_head(struct cmd *cmd, yyjson_val *o)
{
	yyjson_val *n = yyjson_obj_get(o, "file_counts");
	char size[32];
	key_size(size, json_i64(o, "usage_bytes", 0));
	cmd_outf(cmd, "%-12s %.*s\n", "store", STR_FMT(json_str(o, "id")));
	if (json_str(o, "name").n)
		cmd_outf(cmd, "%-12s %.*s\n", "name", STR_FMT(json_str(o, "name")));
	cmd_outf(cmd, "%-12s %.*s\n", "status", STR_FMT(json_str(o, "status")));
	print_time(cmd, "created", json_i64(o, "created_at", 0));
	print_time(cmd, "used", json_i64(o, "last_active_at", 0));
	print_time(cmd, "expires", json_i64(o, "expires_at", 0));
	cmd_outf(cmd, "%-12s %s\n", "size", size);
	cmd_outf(cmd, "%-12s %lld completed, %lld in progress, %lld failed, %lld cancelled\n\n",
		"files", (long long)json_i64(n, "completed", 0),
		(long long)json_i64(n, "in_progress", 0), (long long)json_i64(n, "failed", 0),
		(long long)json_i64(n, "cancelled", 0));
}

static enum err print_files(struct cmd *cmd, struct str id, struct errtext *et)
{
	static const char *const titles[] = {"FILE", "STATUS", "CHUNKS", "ERROR"};
	struct buf path = {0}, body = {0};
	yyjson_doc *doc = NULL;
	yyjson_val *o;
	size_t i, n;
	buf_addf(&path, "/v1/vector_stores/%.*s/files?limit=100", STR_FMT(id));
	enum err e = ask(cmd, HTTP_GET, buf_c(&path), (struct str){0}, &body, &doc, et);
	if (!e) {
		struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
		yyjson_val *root = yyjson_doc_get_root(doc);
		yyjson_arr_foreach(yyjson_obj_get(root, "data"), i, n, o)
		{
			yyjson_val *s =
				yyjson_obj_get(yyjson_obj_get(o, "chunking_strategy"), "static");
			cmd_cell(t, "%.*s", STR_FMT(json_str(o, "id")));
			cmd_cell(t, "%.*s", STR_FMT(json_str(o, "status")));
			cmd_cell(t, "%lld/%lld", (long long)json_i64(s, "max_chunk_size_tokens", 0),
				(long long)json_i64(s, "chunk_overlap_tokens", 0));
			cmd_cell(t, "%.*s",
				STR_FMT(json_str(yyjson_obj_get(o, "last_error"), "message")));
		}
		cmd_table_end(t);
		if (json_bool(root, "has_more", false))
			cmd_note(cmd, "the newest 100 files are shown");
	}
	yyjson_doc_free(doc);
	buf_free(&path);
	buf_free(&body);
	return e;
}

enum err run_stores_show(struct cmd *cmd, struct errtext *et)
{
	struct buf id = {0}, path = {0}, body = {0};
	yyjson_doc *doc = NULL;
	enum err e = want_store(cmd, &id, et);
	buf_addf(&path, "/v1/vector_stores/%.*s", STR_FMT(buf_str(&id)));
	e = e ? e : ask(cmd, HTTP_GET, buf_c(&path), (struct str){0}, &body, &doc, et);
	if (!e && cmd_json(cmd)) {
		cmd_outf(cmd, "%s\n", buf_c(&body));
	} else if (!e) {
		print_head(cmd, yyjson_doc_get_root(doc));
		e = print_files(cmd, buf_str(&id), et);
	}
	yyjson_doc_free(doc);
	buf_free(&id);
	buf_free(&path);
	buf_free(&body);
	return e;
}

/* ---- make, rm ---- */

enum err run_stores_make(struct cmd *cmd, struct errtext *et)
{
	struct buf in = {0}, body = {0};
	yyjson_doc *doc = NULL;
	struct str days = cmd_opt(cmd, "days");
	int64_t n = 0;
	struct jw w = {.out = &in};
	if (days.n && !str_i64(days, &n))
		return err_set(et, ERR_INVALID, "--days must be a number");
	jw_obj(&w);
	jw_kstr(&w, "name", cmd_arg(cmd, 0).n ? cmd_arg(cmd, 0) : S(""));
	if (days.n) {
		jw_key(&w, "expires_after");
		jw_obj(&w);
		jw_kc(&w, "anchor", "last_active_at");
		jw_ki64(&w, "days", n);
		jw_end(&w);
	}
	jw_end(&w);
	enum err e = ask(cmd, HTTP_POST, "/v1/vector_stores", buf_str(&in), &body, &doc, et);
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&body));
	else if (!e)
		cmd_outf(cmd, "%.*s\n", STR_FMT(json_str(yyjson_doc_get_root(doc), "id")));
	yyjson_doc_free(doc);
	buf_free(&in);
	buf_free(&body);
	return e;
}

enum err run_stores_rm(struct cmd *cmd, struct errtext *et)
{
	struct buf id = {0}, path = {0}, body = {0};
	enum err e = want_store(cmd, &id, et);
	buf_addf(&path, "/v1/vector_stores/%.*s", STR_FMT(buf_str(&id)));
	e = e ? e : cmd_call(cmd, HTTP_DELETE, buf_c(&path), (struct str){0}, &body, et);
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&body));
	else if (!e)
		cmd_note(cmd, "%.*s is removed; its files stay", STR_FMT(buf_str(&id)));
	buf_free(&id);
	buf_free(&path);
	buf_free(&body);
	return e;
}

/* ---- add ---- */

static void add_part(
	struct buf *b, const char *boundary, const char *name, struct str filename, struct str data)
{
	buf_addf(b, "--%s\r\ncontent-disposition: form-data; name=\"%s\"", boundary, name);
	if (filename.n) {
		buf_addc(b, "; filename=\"");
		for (size_t i = 0; i < filename.n; i++) {
			if (filename.p[i] == '"' || filename.p[i] == '\\')
				buf_putc(b, '\\');
			buf_putc(
				b, filename.p[i] < ' ' && filename.p[i] >= 0 ? '_' : filename.p[i]);
		}
		buf_putc(b, '"');
	}
	buf_addc(b, "\r\n\r\n");
	buf_adds(b, data);
	buf_addc(b, "\r\n");
}

static enum err upload(struct cmd *cmd, struct str path, struct buf *id, struct errtext *et)
{
	struct buf name = {0}, form = {0}, body = {0};
	struct os_map m = {0};
	yyjson_doc *doc = NULL;
	char boundary[ID_HEX + 1];
	size_t slash = str_rchr(path, '/');
	id_hex(id_new(), boundary);
	buf_addf(&name, "multipart/form-data; boundary=%s", boundary);
	const struct http_pair type = {S("content-type"), buf_str(&name)};
	char *file = str_dup(path);
	enum err e = file ? os_map_file(file, &m, et) : err_set(et, ERR_NOMEM, "no memory");
	free(file);
	if (!e) {
		add_part(&form, boundary, "purpose", S(""), S("assistants"));
		add_part(&form, boundary, "file",
			slash == STR_NONE ? path : str_sub(path, slash + 1, path.n),
			str_mk(m.p, m.n));
		buf_addf(&form, "--%s--\r\n", boundary);
		e = form.err ? err_set(et, ERR_NOMEM, "no memory for %.*s", STR_FMT(path))
			     : cmd_send(cmd, HTTP_POST, "/v1/files", &type, 1, buf_str(&form),
				       &body, et);
	}
	e = e ? e : json_parse(buf_str(&body), &doc, et);
	if (!e)
		buf_adds(id, json_str(yyjson_doc_get_root(doc), "id"));
	os_unmap(&m);
	yyjson_doc_free(doc);
	buf_free(&name);
	buf_free(&form);
	buf_free(&body);
	return e ? e : id->err;
}

/* KEY=VALUE: a number or a boolean when it looks like one. */
static enum err write_attributes(struct cmd *cmd, struct jw *w, struct errtext *et)
{
	struct str s;
	jw_obj(w);
	for (size_t i = 0; (s = cmd_opt_at(cmd, "attribute", i)).p; i++) {
		size_t at = str_chr(s, '=');
		yyjson_doc *doc = NULL;
		if (at == STR_NONE || !at)
			return err_set(et, ERR_INVALID, "--attribute is KEY=VALUE, not %.*s",
				STR_FMT(str_sub(s, 0, 80)));
		struct str value = str_sub(s, at + 1, s.n);
		bool json = !json_parse(value, &doc, NULL);
		yyjson_val *v = yyjson_doc_get_root(doc);
		jw_key_str(w, str_sub(s, 0, at));
		if (json && (yyjson_is_num(v) || yyjson_is_bool(v)))
			jw_val(w, v);
		else
			jw_str(w, value);
		yyjson_doc_free(doc);
	}
	jw_end(w);
	return OK;
}

static enum err write_chunks(struct cmd *cmd, struct jw *w, struct errtext *et)
{
	struct str size = cmd_opt(cmd, "chunk-tokens"), overlap = cmd_opt(cmd, "chunk-overlap");
	int64_t n, k = 0;
	if (!size.n && !overlap.n)
		return OK;
	if (!str_i64(size, &n) || (overlap.n && !str_i64(overlap, &k)))
		return err_set(et, ERR_INVALID,
			"--chunk-tokens, and --chunk-overlap with it, must be numbers");
	jw_key(w, "chunking_strategy");
	jw_obj(w);
	jw_kc(w, "type", "static");
	jw_key(w, "static");
	jw_obj(w);
	jw_ki64(w, "max_chunk_size_tokens", n);
	jw_ki64(w, "chunk_overlap_tokens", k);
	jw_end(w);
	jw_end(w);
	return OK;
}

/* Everything that was uploaded, as one batch. */
static enum err make_batch(struct cmd *cmd, struct str store, const struct buf *ids,
	struct buf *batch, struct errtext *et)
{
	struct buf in = {0}, path = {0}, body = {0};
	struct str rest = buf_str(ids), id;
	yyjson_doc *doc = NULL;
	struct jw w = {.out = &in};
	jw_obj(&w);
	jw_key(&w, "file_ids");
	jw_arr(&w);
	while (rest.n && str_next(&rest, '\n', &id))
		if (id.n)
			jw_str(&w, id);
	jw_end(&w);
	jw_key(&w, "attributes");
	enum err e = write_attributes(cmd, &w, et);
	e = e ? e : write_chunks(cmd, &w, et);
	jw_end(&w);
	buf_addf(&path, "/v1/vector_stores/%.*s/file_batches", STR_FMT(store));
	e = e ? e : ask(cmd, HTTP_POST, buf_c(&path), buf_str(&in), &body, &doc, et);
	if (!e)
		buf_addf(batch, "%.*s/%.*s", STR_FMT(buf_str(&path)),
			STR_FMT(json_str(yyjson_doc_get_root(doc), "id")));
	yyjson_doc_free(doc);
	buf_free(&in);
	buf_free(&path);
	buf_free(&body);
	return e ? e : batch->err;
}

static enum err wait_for(struct cmd *cmd, const char *batch, struct buf *body, struct errtext *et)
{
	struct progress *p = progress_begin(cmd, "indexing", "files", 0);
	bool over = false;
	enum err e = OK;
	while (!e && !over) {
		yyjson_doc *doc = NULL;
		buf_clear(body);
		e = ask(cmd, HTTP_GET, batch, (struct str){0}, body, &doc, et);
		yyjson_val *o = yyjson_doc_get_root(doc), *n = yyjson_obj_get(o, "file_counts");
		int64_t total = json_i64(n, "total", 0), left = json_i64(n, "in_progress", 0);
		over = !e && !str_eq_c(json_str(o, "status"), "in_progress");
		if (!e)
			progress_at(p, (uint64_t)(total - left), (uint64_t)total, NULL);
		yyjson_doc_free(doc);
		if (!e && cancelled(cmd_cancel(cmd)))
			e = err_set(et, ERR_CANCELLED,
				"interrupted; the server goes on with the files");
		if (!e && !over)
			clock_sleep_ms(WAIT_MS);
	}
	progress_end(p, NULL);
	return e;
}

/* What failed, each with its reason. */
static enum err tell_failures(struct cmd *cmd, const char *batch, struct errtext *et)
{
	struct buf path = {0}, body = {0};
	yyjson_doc *doc = NULL;
	yyjson_val *o;
	size_t i, n, failed = 0;
	buf_addf(&path, "%s/files?filter=failed&limit=100", batch);
	enum err e = ask(cmd, HTTP_GET, buf_c(&path), (struct str){0}, &body, &doc, et);
	yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc), "data"), i, n, o)
	{
		failed++;
		cmd_note(cmd, "%.*s: %.*s", STR_FMT(json_str(o, "id")),
			STR_FMT(json_str(yyjson_obj_get(o, "last_error"), "message")));
	}
	yyjson_doc_free(doc);
	buf_free(&path);
	buf_free(&body);
	return !e && failed ? err_set(et, ERR_INVALID, "%zu files could not be indexed", failed)
			    : e;
}

enum err run_stores_add(struct cmd *cmd, struct errtext *et)
{
	struct buf store = {0}, ids = {0}, batch = {0}, body = {0};
	enum err e = cmd_n_args(cmd) < 2
			     ? err_set(et, ERR_INVALID, "name a vector store and the files to add")
			     : want_store(cmd, &store, et);
	for (size_t i = 1; i < cmd_n_args(cmd) && !e; i++) {
		struct buf id = {0};
		e = upload(cmd, cmd_arg(cmd, i), &id, et);
		if (!e && !cmd_json(cmd))
			cmd_outf(cmd, "%.*s  %.*s\n", STR_FMT(buf_str(&id)),
				STR_FMT(cmd_arg(cmd, i)));
		buf_adds(&ids, buf_str(&id));
		buf_putc(&ids, '\n');
		buf_free(&id);
	}
	cmd_flush(cmd);
	e = e ? e : make_batch(cmd, buf_str(&store), &ids, &batch, et);
	bool wait = !e && cmd_remote(cmd) && !cmd_flag(cmd, "no-wait");
	if (wait)
		e = wait_for(cmd, buf_c(&batch), &body, et);
	else if (!e)
		cmd_note(cmd, "a running server (croft up) indexes them in the background");
	if (!e && cmd_json(cmd) && wait)
		cmd_outf(cmd, "%s\n", buf_c(&body));
	if (wait)
		e = e ? e : tell_failures(cmd, buf_c(&batch), et);
	buf_free(&store);
	buf_free(&ids);
	buf_free(&batch);
	buf_free(&body);
	return e;
}

/* ---- search ---- */

static void print_hit(struct cmd *cmd, size_t number, yyjson_val *h)
{
	yyjson_val *part = yyjson_arr_get(yyjson_obj_get(h, "content"), 0);
	struct str text = json_str(part, "text");
	struct str shown = str_sub(text, 0, utf8_complete_prefix(str_sub(text, 0, 300)));
	cmd_outf(cmd, "%s%zu. %.*s%s  %.*s\n   %sscore %.4f%s\n   ", cmd_style(cmd, "bold"), number,
		STR_FMT(json_str(h, "filename")), cmd_style(cmd, "reset"),
		STR_FMT(json_str(h, "file_id")), cmd_style(cmd, "cyan"), json_f64(h, "score", 0),
		cmd_style(cmd, "reset"));
	for (size_t k = 0; k < shown.n; k++)
		cmd_outf(cmd, "%c", (unsigned char)shown.p[k] < 0x20 ? ' ' : shown.p[k]);
	cmd_outf(cmd, "%s\n\n", shown.n < text.n ? " ..." : "");
}

static enum err write_query(struct cmd *cmd, struct buf *out, struct errtext *et)
{
	struct buf text = {0};
	struct str most = cmd_opt(cmd, "k"), filter = cmd_opt(cmd, "filter");
	struct str ranker = cmd_opt(cmd, "ranker"), threshold = cmd_opt(cmd, "threshold");
	yyjson_doc *doc = NULL;
	int64_t k;
	double least;
	struct jw w = {.out = out};
	for (size_t i = 1; i < cmd_n_args(cmd); i++)
		buf_addf(&text, "%s%.*s", i > 1 ? " " : "", STR_FMT(cmd_arg(cmd, i)));
	jw_obj(&w);
	jw_kstr(&w, "query", buf_str(&text));
	if (most.n && str_i64(most, &k))
		jw_ki64(&w, "max_num_results", k);
	if (cmd_flag(cmd, "rewrite"))
		jw_kbool(&w, "rewrite_query", true);
	enum err e = filter.n ? json_parse(filter, &doc, et) : OK;
	if (!e && doc) {
		jw_key(&w, "filters");
		jw_val(&w, yyjson_doc_get_root(doc));
	}
	if (!e && threshold.n && !str_f64(threshold, &least))
		e = err_set(et, ERR_INVALID, "--threshold: a number from 0 to 1 is expected");
	if (!e && (ranker.n || threshold.n)) {
		jw_key(&w, "ranking_options");
		jw_obj(&w);
		if (ranker.n)
			jw_kstr(&w, "ranker", ranker);
		if (threshold.n)
			jw_kf64(&w, "score_threshold", least);
		jw_end(&w);
	}
	jw_end(&w);
	yyjson_doc_free(doc);
	buf_free(&text);
	return e;
}

/* What was searched beside the query, and who ordered it. */
static void print_how(struct cmd *cmd, yyjson_val *o)
{
	yyjson_val *own = yyjson_obj_get(o, "croft"), *v;
	struct str ranker = json_str(own, "ranker");
	size_t i, n;
	yyjson_arr_foreach(yyjson_obj_get(o, "search_query"), i, n, v)
	{
		if (i)
			cmd_outf(cmd, "searched too: %.*s\n", STR_FMT(json_val_str(v)));
	}
	yyjson_arr_foreach(yyjson_obj_get(own, "notes"), i, n, v)
		cmd_outf(cmd, "note: %.*s\n", STR_FMT(json_val_str(v)));
	if (ranker.n)
		cmd_outf(cmd, "ordered by %.*s\n", STR_FMT(ranker));
}

enum err run_stores_search(struct cmd *cmd, struct errtext *et)
{
	struct buf id = {0}, path = {0}, in = {0}, body = {0};
	yyjson_doc *doc = NULL;
	enum err e = want_store(cmd, &id, et);
	buf_addf(&path, "/v1/vector_stores/%.*s/search", STR_FMT(buf_str(&id)));
	e = e ? e : write_query(cmd, &in, et);
	e = e ? e : ask(cmd, HTTP_POST, buf_c(&path), buf_str(&in), &body, &doc, et);
	if (!e && cmd_json(cmd)) {
		cmd_outf(cmd, "%s\n", buf_c(&body));
	} else if (!e) {
		yyjson_val *o = yyjson_doc_get_root(doc), *hits = yyjson_obj_get(o, "data"), *h;
		size_t i, n;
		print_how(cmd, o);
		yyjson_arr_foreach(hits, i, n, h) print_hit(cmd, i + 1, h);
		if (!yyjson_arr_size(hits))
			cmd_outf(cmd, "nothing was found\n");
	}
	yyjson_doc_free(doc);
	buf_free(&id);
	buf_free(&path);
	buf_free(&in);
	buf_free(&body);
	return e;
}
