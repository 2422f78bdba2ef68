/* croft collections aliases, alias: other names of collections. */
#include "collection/collection_int.h"
#include "collection/wire.h"

const struct option collection_alias_options[] = {
	{"rm", 0, NULL, "Delete the alias; the collection stays"},
};

static enum err print_aliases(struct cmd *cmd, struct str reply, struct errtext *et)
{
	yyjson_doc *doc = NULL;
	yyjson_val *list, *x;
	size_t i, n;
	if (cmd_json(cmd)) {
		cmd_outf(cmd, "%.*s\n", STR_FMT(reply));
		return OK;
	}
	enum err e = json_parse(reply, &doc, et);
	list = yyjson_obj_get(yyjson_doc_get_root(doc), "aliases");
	if (!e && !yyjson_arr_size(list))
		cmd_outf(cmd, "There are no aliases. `croft collections alias ALIAS NAME` makes "
			      "one.\n");
	yyjson_arr_foreach(list, i, n, x) cmd_outf(cmd, "%s%.*s%s -> %.*s  since %.*s\n",
		cmd_style(cmd, "bold"), STR_FMT(json_str(x, "name")), cmd_style(cmd, "reset"),
		STR_FMT(json_str(x, "collection")), STR_FMT(json_str(x, "moved")));
	yyjson_doc_free(doc);
	return e;
}

enum err run_collections_aliases(struct cmd *cmd, struct errtext *et)
{
	struct buf url = {0}, reply = {0};
	buf_addc(&url, "/api/v1/collection-aliases");
	if (cmd_n_args(cmd)) {
		buf_addc(&url, "?collection=");
		url_encode(&url, cmd_arg(cmd, 0));
	}
	enum err e = cmd_call(cmd, HTTP_GET, buf_c(&url), (struct str){0}, &reply, et);
	e = e ? e : print_aliases(cmd, buf_str(&reply), et);
	buf_free(&url);
	buf_free(&reply);
	return e;
}

enum err run_collections_alias(struct cmd *cmd, struct errtext *et)
{
	struct buf url = {0}, body = {0}, reply = {0};
	struct jw w = {.out = &body};
	bool rm = cmd_flag(cmd, "rm");
	if (cmd_n_args(cmd) != (rm ? 1 : 2))
		return err_set(et, ERR_INVALID,
			rm ? "name the alias" : "name the alias and the collection");
	buf_addc(&url, "/api/v1/collection-aliases/");
	url_encode(&url, cmd_arg(cmd, 0));
	if (!rm) {
		jw_obj(&w);
		jw_kstr(&w, "collection", cmd_arg(cmd, 1));
		jw_end(&w);
	}
	enum err e =
		cmd_call(cmd, rm ? HTTP_DELETE : HTTP_PUT, buf_c(&url), buf_str(&body), &reply, et);
	e = e ? e : print_aliases(cmd, buf_str(&reply), et);
	buf_free(&url);
	buf_free(&body);
	buf_free(&reply);
	return e;
}
