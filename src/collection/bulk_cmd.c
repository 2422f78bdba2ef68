/* croft collections set-field, make-dataset, jobs: work on many items, waited for. */
#include "collection/bulk.h"
#include "collection/wire.h"

const struct option collection_set_field_options[] = {
	{"filter", 'f', "JSON", "Only items that match, in the words of searches"},
	{"yes", 'y', NULL, "Without --filter: all items"},
};
const struct option collection_make_dataset_options[] = {
	{"filter", 'f', "JSON", "Only items that match, in the words of searches"},
	{"vectors", 0, NULL, "With the vectors"},
	{"description", 0, "TEXT", "What the version is"},
};
const struct option collection_jobs_options[] = {
	{"cancel", 0, "JOB", "Cancel this one; what it has done stays"},
};

static void url_of(struct cmd *cmd, const char *tail, struct buf *out)
{
	buf_addc(out, "/api/v1/collections/");
	url_encode(out, cmd_arg(cmd, 0));
	buf_addc(out, tail);
}

enum err bulk_call(struct cmd *cmd, const char *name_url, const char *url, struct str body,
	const char *doing, struct buf *reply, yyjson_doc **doc, struct errtext *et)
{
	struct buf job = {0};
	struct progress *p = progress_begin(cmd, doing, "", 0);
	enum err e = cmd_call(cmd, HTTP_POST, url, body, reply, et);
	e = e ? e : json_parse(buf_str(reply), doc, et);
	struct str id = e ? (struct str){0} : json_str(yyjson_doc_get_root(*doc), "id");
	if (!e && id.n) {
		buf_addf(&job, "%s/bulk/%.*s", name_url, STR_FMT(id));
		yyjson_doc_free(*doc);
		*doc = NULL;
		e = wire_wait(cmd, buf_c(&job), "", p, et);
		buf_clear(reply);
		e = e ? e : cmd_call(cmd, HTTP_GET, buf_c(&job), (struct str){0}, reply, et);
		e = e ? e : json_parse(buf_str(reply), doc, et);
	}
	progress_end(p, NULL);
	buf_free(&job);
	return e;
}

void bulk_print_dataset(struct cmd *cmd, yyjson_val *job)
{
	yyjson_val *d = yyjson_obj_get(job, "dataset");
	cmd_outf(cmd, "dataset/%.*s:%lld  %.12s  %lld rows\n", STR_FMT(json_str(d, "name")),
		(long long)json_i64(d, "version", 0), json_str(d, "digest").p,
		(long long)json_i64(d, "rows", 0));
}

static enum err filter_member(struct cmd *cmd, struct jw *w, struct errtext *et)
{
	struct str filter = cmd_opt(cmd, "filter");
	if (filter.n)
		return wire_json(w, "filter", "filter", filter, et);
	jw_key(w, "filter");
	jw_raw(w, S("{}"));
	return OK;
}

static enum err do_call(struct cmd *cmd, const char *tail, struct buf *body, const char *doing,
	void (*print)(struct cmd *cmd, yyjson_val *job), struct errtext *et)
{
	struct buf of = {0}, url = {0}, reply = {0};
	yyjson_doc *doc = NULL;
	url_of(cmd, "", &of);
	url_of(cmd, tail, &url);
	enum err e =
		bulk_call(cmd, buf_c(&of), buf_c(&url), buf_str(body), doing, &reply, &doc, et);
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&reply));
	else if (!e)
		print(cmd, yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	buf_free(&of);
	buf_free(&url);
	buf_free(&reply);
	return e;
}

static void print_set(struct cmd *cmd, yyjson_val *job)
{
	cmd_outf(cmd, "%lld items were set\n", (long long)json_i64(job, "items", 0));
}

/* What is JSON is that value; anything else is a text. */
static void write_value(struct jw *w, struct str text)
{
	yyjson_doc *doc = NULL;
	struct errtext ignored;
	jw_key(w, "value");
	if (json_parse(text, &doc, &ignored))
		jw_str(w, text);
	else
		jw_val(w, yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
}

enum err run_collections_set_field(struct cmd *cmd, struct errtext *et)
{
	struct buf body = {0};
	struct jw w = {.out = &body};
	if (cmd_n_args(cmd) != 3)
		return err_set(et, ERR_INVALID, "name the collection, the field and the value");
	if (!cmd_opt(cmd, "filter").n && !cmd_flag(cmd, "yes"))
		return err_set(
			et, ERR_INVALID, "say which items (--filter), or --yes for all of them");
	jw_obj(&w);
	jw_kstr(&w, "field", cmd_arg(cmd, 1));
	write_value(&w, cmd_arg(cmd, 2));
	enum err e = filter_member(cmd, &w, et);
	jw_end(&w);
	e = e ? e : do_call(cmd, "/bulk/set", &body, "setting", print_set, et);
	buf_free(&body);
	return e;
}

enum err run_collections_make_dataset(struct cmd *cmd, struct errtext *et)
{
	struct buf body = {0};
	struct jw w = {.out = &body};
	if (cmd_n_args(cmd) != 2)
		return err_set(et, ERR_INVALID, "name the collection and the dataset");
	jw_obj(&w);
	jw_kstr(&w, "dataset", cmd_arg(cmd, 1));
	jw_kbool(&w, "vectors", cmd_flag(cmd, "vectors"));
	if (cmd_opt(cmd, "description").n)
		jw_kstr(&w, "description", cmd_opt(cmd, "description"));
	enum err e = filter_member(cmd, &w, et);
	jw_end(&w);
	e = e ? e : do_call(cmd, "/bulk/dataset", &body, "writing", bulk_print_dataset, et);
	buf_free(&body);
	return e;
}

static void print_jobs(struct cmd *cmd, yyjson_val *jobs)
{
	static const char *const titles[] = {"JOB", "WHAT", "STATE", "ITEMS", "BEGUN"};
	struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
	yyjson_val *j;
	size_t i, n;
	yyjson_arr_foreach(jobs, i, n, j)
	{
		yyjson_val *p = yyjson_obj_get(j, "progress");
		int64_t total = json_i64(p, "total", 0);
		cmd_cell(t, "%.*s", STR_FMT(json_str(j, "id")));
		cmd_cell(t, "%.*s", STR_FMT(json_str(j, "what")));
		if (total)
			cmd_cell(t, "%.*s %lld %%", STR_FMT(json_str(j, "state")),
				(long long)(100 * json_i64(p, "done", 0) / total));
		else
			cmd_cell(t, "%.*s", STR_FMT(json_str(j, "state")));
		cmd_cell(t, "%lld", (long long)json_i64(j, "items", 0));
		cmd_cell(t, "%.19s", json_str(j, "begun").p);
	}
	cmd_table_end(t);
}

enum err run_collections_jobs(struct cmd *cmd, struct errtext *et)
{
	struct buf url = {0}, reply = {0};
	yyjson_doc *doc = NULL;
	struct str job = cmd_opt(cmd, "cancel");
	if (cmd_n_args(cmd) != 1)
		return err_set(et, ERR_INVALID, "name the collection");
	url_of(cmd, "/bulk", &url);
	if (job.n) {
		buf_putc(&url, '/');
		url_encode(&url, job);
	}
	enum err e = cmd_call(
		cmd, job.n ? HTTP_DELETE : HTTP_GET, buf_c(&url), (struct str){0}, &reply, et);
	e = e ? e : json_parse(buf_str(&reply), &doc, et);
	yyjson_val *o = yyjson_doc_get_root(doc);
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&reply));
	else if (!e && job.n)
		cmd_outf(cmd, "cancelled after %lld items\n", (long long)json_i64(o, "items", 0));
	else if (!e)
		print_jobs(cmd, yyjson_obj_get(o, "jobs"));
	yyjson_doc_free(doc);
	buf_free(&url);
	buf_free(&reply);
	return e;
}
