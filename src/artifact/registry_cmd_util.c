/* What the registry's commands share: calls, references on the command line, printing. */
#include "artifact/registry_cmd.h"

#include <stdio.h>

/* ---- calls ---- */

void answer_free(struct answer *r)
{
	yyjson_doc_free(r->doc);
	buf_free(&r->body);
	*r = (struct answer){0};
}

/* Calls and parses; with --json it prints the answer, and root stays NULL. */
enum err reg_api(struct cmd *cmd, enum http_method method, const struct buf *path, struct str json,
	bool show, struct answer *out, struct errtext *et)
{
	*out = (struct answer){0};
	if (path->err)
		return err_set(et, ERR_NOMEM, "no memory");
	enum err e = cmd_call(cmd, method, buf_c(path), json, &out->body, et);
	if (!e && show && cmd_json(cmd)) {
		cmd_outf(cmd, "%s\n", buf_c(&out->body));
		return OK;
	}
	if (!e)
		e = json_parse(buf_str(&out->body), &out->doc, et);
	if (!e)
		out->root = yyjson_doc_get_root(out->doc);
	return e;
}

void add_query(struct buf *path, const char *name, struct str value)
{
	if (!value.p)
		return;
	buf_addf(path, "%s%s=", str_chr(buf_str(path), '?') == STR_NONE ? "?" : "&", name);
	url_encode(path, value);
}

void add_times(struct cmd *cmd, struct buf *path)
{
	add_query(path, "as_of", cmd_opt(cmd, "as-of"));
	add_query(path, "known_at", cmd_opt(cmd, "known-at"));
}

/* The kind that an artifact of that name has, when there is one only. */
static enum err find_kind(struct cmd *cmd, struct str name, char kind[64], struct errtext *et)
{
	struct answer r;
	struct buf path = {0}, have = {0};
	unsigned found = 0;
	buf_addc(&path, "/api/v1/artifacts?limit=1000&name=");
	url_encode(&path, name);
	enum err e = reg_api(cmd, HTTP_GET, &path, (struct str){0}, false, &r, et);
	yyjson_val *v;
	size_t i, n;
	yyjson_arr_foreach(yyjson_obj_get(r.root, "artifacts"), i, n, v)
	{
		if (!str_eq(json_str(v, "name"), name))
			continue;
		snprintf(kind, 64, "%.*s", STR_FMT(json_str(v, "kind")));
		buf_addf(&have, "%s%s/%.*s", found++ ? ", " : "", kind, STR_FMT(name));
	}
	if (!e && !found)
		e = err_set(et, ERR_NOT_FOUND, "there is no artifact called '%.*s'", STR_FMT(name));
	if (!e && found > 1)
		e = err_set(et, ERR_INVALID, "say which: %s", buf_c(&have));
	answer_free(&r);
	buf_free(&path);
	buf_free(&have);
	return e;
}

enum err target(struct cmd *cmd, struct str text, struct target *t, struct errtext *et)
{
	*t = (struct target){0};
	enum err e = ref_parse(text, &t->ref, et);
	if (e)
		return e;
	if (t->ref.kind.n)
		snprintf(t->kind, sizeof t->kind, "%.*s", STR_FMT(t->ref.kind));
	else
		e = find_kind(cmd, t->ref.name, t->kind, et);
	buf_addf(&t->path, "/api/v1/artifacts/%s/", t->kind);
	url_encode(&t->path, t->ref.name);
	return e;
}

enum err want_args(struct cmd *cmd, size_t n, const char *usage, struct errtext *et)
{
	if (cmd_n_args(cmd) >= n)
		return OK;
	return err_set(et, ERR_INVALID, "%s", usage);
}

/* The version part of a target as a path segment. */
void add_version(struct buf *path, const struct ref *r)
{
	if (r->alias.n) {
		buf_putc(path, '/');
		url_encode(path, r->alias);
	} else if (r->version) {
		buf_addf(path, "/%lld", (long long)r->version);
	} else {
		buf_addc(path, "/latest");
	}
}

void print_time(struct cmd *cmd, struct str t)
{
	cmd_outf(cmd, "%.*s %.*s", STR_FMT(str_sub(t, 0, 10)), STR_FMT(str_sub(t, 11, 19)));
}

void print_field(struct cmd *cmd, const char *name, struct str value)
{
	if (value.n)
		cmd_outf(cmd, "%s%-12s%s %.*s\n", cmd_style(cmd, "dim"), name,
			cmd_style(cmd, "reset"), STR_FMT(value));
}
