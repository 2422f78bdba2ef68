/* croft collections commit, versions, restore, copy, branch. */
#include "collection/version_int.h"
#include "collection/wire.h"

const struct option collection_commit_options[] = {
	{"message", 'm', "TEXT", "What the version is"},
	{"tag", 't', "NAME", "A name that points at it"},
	{"compact", 0, NULL, "With nothing in its data of items that were deleted"},
};
const struct option collection_versions_options[] = {
	{"number", 'n', "N", "How many, the newest first (20)"},
};
const struct option collection_restore_options[] = {
	{"message", 'm', "TEXT", "Why"},
	{"discard", 0, NULL, "Do not keep what has changed since the last version"},
};
const struct option collection_copy_options[] = {
	{"from", 0, "VERSION", "Of this version instead of what is there now"},
};

static enum err want_args(struct cmd *cmd, size_t n, const char *what, struct errtext *et)
{
	return cmd_n_args(cmd) == n ? OK : err_set(et, ERR_INVALID, "%s", what);
}

/* ---- versions ---- */

static void change_cell(struct cmd_table *t, yyjson_val *v)
{
	cmd_cell(t, "+%lld -%lld ~%lld", (long long)json_i64(v, "added", 0),
		(long long)json_i64(v, "removed", 0), (long long)json_i64(v, "changed", 0));
}

static void about_cell(struct cmd_table *t, yyjson_val *v)
{
	struct buf b = {0};
	yyjson_val *tag;
	size_t i, n;
	struct str from = json_str(v, "from"), by = json_str(v, "made_by");
	yyjson_arr_foreach(yyjson_obj_get(v, "tags"), i, n, tag)
		buf_addf(&b, "[%.*s] ", STR_FMT(json_val_str(tag)));
	if (from.n)
		buf_addf(&b, "%.*s of %.*s ", STR_FMT(by), STR_FMT(from));
	buf_adds(&b, json_str(v, "message"));
	cmd_cell(t, "%s", buf_c(&b));
	buf_free(&b);
}

static void print_versions(struct cmd *cmd, yyjson_val *o)
{
	static const char *const titles[] = {"VERSION", "ITEMS", "CHANGE", "MADE", "WHAT"};
	yyjson_val *list = yyjson_obj_get(o, "versions"), *state = yyjson_obj_get(o, "state"), *v;
	size_t i, n;
	if (yyjson_arr_size(list)) {
		struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
		yyjson_arr_foreach(list, i, n, v)
		{
			cmd_cell(t, "%lld", (long long)json_i64(v, "version", 0));
			cmd_cell(t, "%lld", (long long)json_i64(v, "items", 0));
			change_cell(t, v);
			cmd_cell(t, "%.16s", json_str(v, "created").p);
			about_cell(t, v);
		}
		cmd_table_end(t);
	} else {
		cmd_note(cmd, "There is no version yet: croft collections commit NAME -m \"...\"");
	}
	struct str head = json_str(state, "head"), origin = json_str(state, "origin");
	if (origin.n)
		cmd_note(cmd, "It began as a copy of %.*s", STR_FMT(origin));
	if (!yyjson_is_obj(state))
		cmd_note(cmd,
			"The collection itself was deleted: `croft collections copy` brings a "
			"version back");
	else if (json_bool(state, "changed", false) && head.n)
		cmd_note(cmd, "The items have changed since %.*s", STR_FMT(head));
}

enum err run_collections_versions(struct cmd *cmd, struct errtext *et)
{
	struct buf reply = {0}, tail = {0};
	yyjson_doc *doc = NULL;
	struct str n = cmd_opt(cmd, "number");
	buf_addf(&tail, "/versions%s", n.n ? "?limit=" : "");
	if (n.n)
		url_encode(&tail, n);
	enum err e = wire_call(cmd, HTTP_GET, buf_c(&tail), (struct str){0}, &reply, &doc, et);
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&reply));
	else if (!e)
		print_versions(cmd, yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	buf_free(&reply);
	buf_free(&tail);
	return e;
}

/* ---- commit, restore ---- */

static void print_made(struct cmd *cmd, yyjson_val *v, const char *nothing)
{
	long long version = (long long)json_i64(v, "version", 0);
	if (!json_bool(v, "made", true)) {
		cmd_outf(cmd, "version %lld: %s\n", version, nothing);
		return;
	}
	if (json_i64(v, "kept", 0))
		cmd_outf(cmd, "what had changed is kept as version %lld\n",
			(long long)json_i64(v, "kept", 0));
	cmd_outf(cmd, "version %lld: %lld items, +%lld -%lld ~%lld\n", version,
		(long long)json_i64(v, "items", 0), (long long)json_i64(v, "added", 0),
		(long long)json_i64(v, "removed", 0), (long long)json_i64(v, "changed", 0));
}

static enum err post(struct cmd *cmd, const char *tail, struct buf *body, const char *nothing,
	struct errtext *et)
{
	struct buf reply = {0};
	yyjson_doc *doc = NULL;
	enum err e = wire_call(cmd, HTTP_POST, tail, buf_str(body), &reply, &doc, et);
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&reply));
	else if (!e)
		print_made(cmd, yyjson_doc_get_root(doc), nothing);
	wire_note_filling(cmd, yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	buf_free(&reply);
	buf_free(body);
	return e;
}

enum err run_collections_commit(struct cmd *cmd, struct errtext *et)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	if (cmd_opt(cmd, "message").n)
		jw_kstr(&w, "message", cmd_opt(cmd, "message"));
	if (cmd_opt(cmd, "tag").n)
		jw_kstr(&w, "tag", cmd_opt(cmd, "tag"));
	jw_kbool(&w, "compact", cmd_flag(cmd, "compact"));
	jw_end(&w);
	return post(cmd, "/versions", &b, "nothing has changed since", et);
}

enum err run_collections_restore(struct cmd *cmd, struct errtext *et)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	enum err e = want_args(cmd, 2, "name the collection and the version", et);
	if (e)
		return e;
	jw_obj(&w);
	jw_kstr(&w, "version", cmd_arg(cmd, 1));
	if (cmd_opt(cmd, "message").n)
		jw_kstr(&w, "message", cmd_opt(cmd, "message"));
	jw_kbool(&w, "discard", cmd_flag(cmd, "discard"));
	jw_end(&w);
	return post(cmd, "/restore", &b, "the items are its own already", et);
}

/* ---- copy, branch ---- */

static enum err copy(struct cmd *cmd, const char *tail, struct errtext *et)
{
	struct buf b = {0}, reply = {0};
	struct jw w = {.out = &b};
	yyjson_doc *doc = NULL;
	enum err e = want_args(cmd, 2, "name the collection, and what the new one is called", et);
	if (e)
		return e;
	jw_obj(&w);
	jw_kstr(&w, "to", cmd_arg(cmd, 1));
	if (cmd_opt(cmd, "from").n)
		jw_kstr(&w, "from", cmd_opt(cmd, "from"));
	jw_end(&w);
	e = wire_call(cmd, HTTP_POST, tail, buf_str(&b), &reply, &doc, et);
	yyjson_val *o = yyjson_doc_get_root(doc);
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&reply));
	else if (!e)
		cmd_outf(cmd, "%.*s has the %lld items of %.*s\n", STR_FMT(json_str(o, "name")),
			(long long)json_i64(o, "items", 0), STR_FMT(json_str(o, "origin")));
	yyjson_doc_free(doc);
	buf_free(&reply);
	buf_free(&b);
	return e;
}

enum err run_collections_copy(struct cmd *cmd, struct errtext *et)
{
	return copy(cmd, "/copy", et);
}

enum err run_collections_branch(struct cmd *cmd, struct errtext *et)
{
	return copy(cmd, "/branch", et);
}
