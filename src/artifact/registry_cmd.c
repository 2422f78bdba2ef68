/* `croft artifact ...`: thin calls of /api/v1/artifacts and /api/v1/lineage. */
#include "artifact/registry_cmd.h"
#include "artifact/transfer.h"
#include "base/map.h"

/* ---- printing ---- */

static void print_tags(struct cmd *cmd, yyjson_val *tags)
{
	yyjson_val *k, *v;
	size_t i, n;
	yyjson_obj_foreach(tags, i, n, k, v)
	{
		struct str value = json_val_str(v), line = value;
		str_next_line(&value, &line);
		cmd_outf(cmd, "%s%-12s%s %.*s = %.*s%s\n", cmd_style(cmd, "dim"), i ? "" : "tags",
			cmd_style(cmd, "reset"), STR_FMT(json_val_str(k)),
			STR_FMT(str_sub(line, 0, utf8_complete_prefix(str_sub(line, 0, 200)))),
			value.n || line.n > 200 ? " ..." : "");
	}
}

static void print_when(struct cmd *cmd)
{
	struct str as_of = cmd_opt(cmd, "as-of"), known = cmd_opt(cmd, "known-at");
	if (as_of.n)
		print_field(cmd, "as of", as_of);
	if (known.n)
		print_field(cmd, "as known at", known);
}

static void print_version(struct cmd *cmd, yyjson_val *v)
{
	struct buf line = {0};
	cmd_outf(cmd, "%s%.*s/%.*s:%lld%s\n", cmd_style(cmd, "bold"), STR_FMT(json_str(v, "kind")),
		STR_FMT(json_str(v, "name")), (long long)json_i64(v, "version", 0),
		cmd_style(cmd, "reset"));
	print_when(cmd);
	print_field(cmd, "description", json_str(v, "description"));
	print_field(cmd, "digest", json_str(v, "digest"));
	print_field(cmd, "source", json_str(v, "source"));
	print_field(cmd, "run", json_str(v, "run"));
	buf_addf(&line, "%.*s by %.*s", STR_FMT(json_str(v, "created")),
		STR_FMT(json_str(v, "creator")));
	print_field(cmd, "created", buf_str(&line));
	buf_clear(&line);
	yyjson_val *aliases = yyjson_obj_get(v, "aliases"), *alias;
	size_t i, n;
	yyjson_arr_foreach(aliases, i, n, alias)
		buf_addf(&line, "%s@%.*s", i ? ", " : "", STR_FMT(json_val_str(alias)));
	print_field(cmd, "aliases", buf_str(&line));
	buf_clear(&line);
	yyjson_val *meta = yyjson_obj_get(v, "metadata");
	if (yyjson_obj_size(meta)) {
		struct jw w = {.out = &line};
		jw_val(&w, meta);
		print_field(cmd, "metadata", buf_str(&line));
	}
	print_tags(cmd, yyjson_obj_get(v, "tags"));
	if (json_bool(v, "deleted", false))
		cmd_outf(cmd, "%sdeleted%s\n", cmd_style(cmd, "red"), cmd_style(cmd, "reset"));
	buf_free(&line);
}

static void print_artifact(struct cmd *cmd, yyjson_val *v)
{
	yyjson_val *alias;
	size_t i, n;
	cmd_outf(cmd, "%s%.*s/%.*s%s\n", cmd_style(cmd, "bold"), STR_FMT(json_str(v, "kind")),
		STR_FMT(json_str(v, "name")), cmd_style(cmd, "reset"));
	print_when(cmd);
	print_field(cmd, "description", json_str(v, "description"));
	yyjson_arr_foreach(yyjson_obj_get(v, "aliases"), i, n, alias)
	{
		cmd_outf(cmd, "%s%-12s%s @%.*s -> %lld since ", cmd_style(cmd, "dim"),
			i ? "" : "aliases", cmd_style(cmd, "reset"),
			STR_FMT(json_str(alias, "alias")),
			(long long)json_i64(alias, "version", 0));
		print_time(cmd, json_str(alias, "since"));
		cmd_outf(cmd, " by %.*s%s%s%s\n", STR_FMT(json_str(alias, "by")),
			cmd_style(cmd, "red"),
			json_bool(alias, "break_glass", false) ? " BREAK GLASS" : "",
			cmd_style(cmd, "reset"));
	}
	print_tags(cmd, yyjson_obj_get(v, "tags"));
}

static void version_table(struct cmd *cmd, yyjson_val *versions)
{
	static const char *const titles[] = {
		"VERSION", "CREATED (UTC)", "BY", "ALIASES", "CONTENT", "DESCRIPTION"};
	struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
	yyjson_val *v, *alias;
	size_t i, n, k, m;
	yyjson_arr_foreach(versions, i, n, v)
	{
		struct str at = json_str(v, "created"), digest = json_str(v, "digest");
		struct buf names = {0};
		yyjson_arr_foreach(yyjson_obj_get(v, "aliases"), k, m, alias)
			buf_addf(&names, "%s@%.*s", k ? " " : "", STR_FMT(json_val_str(alias)));
		cmd_cell(t, "%lld", (long long)json_i64(v, "version", 0));
		cmd_cell(t, "%.*s %.*s", STR_FMT(str_sub(at, 0, 10)), STR_FMT(str_sub(at, 11, 19)));
		cmd_cell(t, "%.*s", STR_FMT(json_str(v, "creator")));
		cmd_cell(t, "%s", buf_c(&names));
		digest.n ? cmd_cell(t, "%.*s", STR_FMT(str_sub(digest, 0, 12)))
			 : cmd_cell(t, "%.*s", STR_FMT(json_str(v, "source")));
		cmd_cell(t, "%.*s", STR_FMT(json_str(v, "description")));
		buf_free(&names);
	}
	cmd_table_end(t);
}

/* ---- ls, show ---- */

static enum err artifact_ls(struct cmd *cmd, struct errtext *et)
{
	static const char *const titles[] = {
		"KIND", "NAME", "VERSIONS", "ALIASES", "UPDATED (UTC)", "DESCRIPTION"};
	struct answer r;
	struct buf path = {0};
	buf_addc(&path, "/api/v1/artifacts");
	add_query(&path, "kind", cmd_opt(cmd, "kind"));
	add_query(&path, "name", cmd_n_args(cmd) ? cmd_arg(cmd, 0) : cmd_opt(cmd, "name"));
	add_query(&path, "filter", cmd_opt(cmd, "filter"));
	add_query(&path, "limit", cmd_opt(cmd, "limit"));
	enum err e = reg_api(cmd, HTTP_GET, &path, (struct str){0}, true, &r, et);
	if (!e && r.root) {
		struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
		yyjson_val *v, *alias;
		size_t i, n, k, m;
		yyjson_arr_foreach(yyjson_obj_get(r.root, "artifacts"), i, n, v)
		{
			struct str at = json_str(v, "updated");
			struct buf names = {0};
			yyjson_arr_foreach(yyjson_obj_get(v, "aliases"), k, m, alias)
				buf_addf(&names, "%s@%.*s:%lld", k ? " " : "",
					STR_FMT(json_str(alias, "alias")),
					(long long)json_i64(alias, "version", 0));
			cmd_cell(t, "%.*s", STR_FMT(json_str(v, "kind")));
			cmd_cell(t, "%.*s", STR_FMT(json_str(v, "name")));
			cmd_cell(t, "%lld", (long long)json_i64(v, "last_version", 0));
			cmd_cell(t, "%s", buf_c(&names));
			cmd_cell(t, "%.*s %.*s", STR_FMT(str_sub(at, 0, 10)),
				STR_FMT(str_sub(at, 11, 16)));
			cmd_cell(t, "%.*s", STR_FMT(json_str(v, "description")));
			buf_free(&names);
		}
		cmd_table_end(t);
	}
	answer_free(&r);
	buf_free(&path);
	return e;
}

static enum err show_one(struct cmd *cmd, struct target *t, struct errtext *et)
{
	struct answer r;
	buf_addc(&t->path, "/versions");
	add_version(&t->path, &t->ref);
	add_times(cmd, &t->path);
	enum err e = reg_api(cmd, HTTP_GET, &t->path, (struct str){0}, true, &r, et);
	if (!e && r.root)
		print_version(cmd, r.root);
	answer_free(&r);
	return e;
}

static enum err show_all(struct cmd *cmd, struct target *t, struct errtext *et)
{
	struct answer r;
	struct buf path = {0};
	buf_adds(&path, buf_str(&t->path));
	add_times(cmd, &path);
	enum err e = reg_api(cmd, HTTP_GET, &path, (struct str){0}, true, &r, et);
	bool printed = !e && r.root;
	if (printed)
		print_artifact(cmd, r.root);
	answer_free(&r);
	buf_free(&path);
	if (!printed || cmd_opt(cmd, "as-of").p || cmd_opt(cmd, "known-at").p)
		return e;
	buf_addc(&t->path, "/versions?limit=20");
	e = reg_api(cmd, HTTP_GET, &t->path, (struct str){0}, false, &r, et);
	if (!e) {
		int64_t count = json_i64(r.root, "count", 0);
		cmd_outf(cmd, "\n");
		version_table(cmd, yyjson_obj_get(r.root, "versions"));
		if (count > 20)
			cmd_outf(cmd, "%lld more versions\n", (long long)count - 20);
	}
	answer_free(&r);
	return e;
}

static enum err artifact_show(struct cmd *cmd, struct errtext *et)
{
	struct target t = {0};
	enum err e =
		want_args(cmd, 1, "name it: croft artifact show KIND/NAME[:VERSION|@ALIAS]", et);
	if (!e)
		e = target(cmd, cmd_arg(cmd, 0), &t, et);
	if (!e)
		e = t.ref.alias.n || t.ref.version ? show_one(cmd, &t, et) : show_all(cmd, &t, et);
	buf_free(&t.path);
	return e;
}

/* ---- add, rm ---- */

static enum err artifact_add(struct cmd *cmd, struct errtext *et)
{
	struct target t = {0};
	struct answer r;
	struct buf body = {0};
	struct jw w = {.out = &body};
	enum err e = want_args(cmd, 1, "name it: croft artifact add KIND/NAME --source URI", et);
	if (!e)
		e = ref_parse(cmd_arg(cmd, 0), &t.ref, et);
	if (!e && !t.ref.kind.n)
		e = err_set(et, ERR_INVALID, "say the kind: croft artifact add dataset/NAME");
	if (e)
		return e;
	buf_addf(&t.path, "/api/v1/artifacts/%.*s/", STR_FMT(t.ref.kind));
	url_encode(&t.path, t.ref.name);
	buf_addc(&t.path, "/versions");
	static const char *const texts[] = {"source", "digest", "description", "run"};
	jw_obj(&w);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (cmd_opt(cmd, texts[i]).p)
			jw_kstr(&w, texts[i], cmd_opt(cmd, texts[i]));
	if (cmd_n_args(cmd) > 1) {
		jw_key(&w, "inputs");
		jw_arr(&w);
		for (size_t i = 1; i < cmd_n_args(cmd); i++)
			jw_str(&w, cmd_arg(cmd, i));
		jw_end(&w);
	}
	jw_end(&w);
	e = reg_api(cmd, HTTP_POST, &t.path, buf_str(&body), true, &r, et);
	if (!e && r.root)
		cmd_outf(cmd, "%.*s/%.*s:%lld\n", STR_FMT(json_str(r.root, "kind")),
			STR_FMT(json_str(r.root, "name")),
			(long long)json_i64(r.root, "version", 0));
	answer_free(&r);
	buf_free(&body);
	buf_free(&t.path);
	return e;
}

static enum err artifact_rm(struct cmd *cmd, struct errtext *et)
{
	struct target t = {0};
	struct answer r = {0};
	enum err e = want_args(cmd, 1, "name it: croft artifact rm KIND/NAME[:VERSION]", et);
	if (!e)
		e = target(cmd, cmd_arg(cmd, 0), &t, et);
	if (!e && (t.ref.alias.n || t.ref.version)) {
		buf_addc(&t.path, "/versions");
		add_version(&t.path, &t.ref);
	}
	add_query(&t.path, "reason", cmd_opt(cmd, "reason"));
	if (!e)
		e = reg_api(cmd, HTTP_DELETE, &t.path, (struct str){0}, true, &r, et);
	if (!e && r.root)
		cmd_outf(cmd, "deleted %.*s; its history stays\n", STR_FMT(cmd_arg(cmd, 0)));
	answer_free(&r);
	buf_free(&t.path);
	return e;
}

/* ---- tag, alias ---- */

static enum err resolved_version(
	struct cmd *cmd, const struct target *t, int64_t *version, struct errtext *et)
{
	struct answer r;
	struct buf path = {0};
	buf_adds(&path, buf_str(&t->path));
	buf_addc(&path, "/versions");
	add_version(&path, &t->ref);
	enum err e = reg_api(cmd, HTTP_GET, &path, (struct str){0}, false, &r, et);
	if (!e)
		*version = json_i64(r.root, "version", 0);
	answer_free(&r);
	buf_free(&path);
	return e;
}

static enum err tag_one(struct cmd *cmd, const struct target *t, int64_t version, struct str text,
	struct errtext *et)
{
	struct answer r;
	struct buf path = {0}, body = {0};
	struct jw w = {.out = &body};
	size_t eq = str_chr(text, '=');
	bool rm = cmd_flag(cmd, "rm");
	if (!rm && eq == STR_NONE)
		return err_set(et, ERR_INVALID, "'%.*s': KEY=VALUE is expected, or --rm KEY",
			STR_FMT(text));
	buf_adds(&path, buf_str(&t->path));
	buf_addc(&path, "/tags/");
	url_encode(&path, rm ? text : str_sub(text, 0, eq));
	if (version)
		buf_addf(&path, "?version=%lld", (long long)version);
	jw_obj(&w);
	if (!rm)
		jw_kstr(&w, "value", str_sub(text, eq + 1, text.n));
	jw_end(&w);
	enum err e = reg_api(cmd, rm ? HTTP_DELETE : HTTP_PUT, &path,
		rm ? (struct str){0} : buf_str(&body), true, &r, et);
	answer_free(&r);
	buf_free(&path);
	buf_free(&body);
	return e;
}

static enum err artifact_tag(struct cmd *cmd, struct errtext *et)
{
	struct target t = {0};
	int64_t version = 0;
	enum err e = want_args(
		cmd, 2, "croft artifact tag KIND/NAME[:VERSION] KEY=VALUE..., or --rm KEY...", et);
	if (!e)
		e = target(cmd, cmd_arg(cmd, 0), &t, et);
	if (!e && (t.ref.alias.n || t.ref.version))
		e = resolved_version(cmd, &t, &version, et);
	for (size_t i = 1; i < cmd_n_args(cmd) && !e; i++)
		e = tag_one(cmd, &t, version, cmd_arg(cmd, i), et);
	buf_free(&t.path);
	return e;
}

static bool broke_glass(yyjson_val *artifact, struct str alias)
{
	yyjson_val *v;
	size_t i, n;
	yyjson_arr_foreach(yyjson_obj_get(artifact, "aliases"), i, n,
		v) if (str_eq(json_str(v, "alias"), alias)) return json_bool(v, "break_glass",
		false);
	return false;
}

static enum err artifact_alias(struct cmd *cmd, struct errtext *et)
{
	struct target t = {0};
	struct answer r = {0};
	struct buf body = {0};
	struct jw w = {.out = &body};
	int64_t version = 0;
	bool rm = cmd_flag(cmd, "rm");
	enum err e = want_args(cmd, 2,
		"croft artifact alias KIND/NAME:VERSION ALIAS, or --rm KIND/NAME ALIAS", et);
	if (!e)
		e = target(cmd, cmd_arg(cmd, 0), &t, et);
	if (!e && !rm)
		e = resolved_version(cmd, &t, &version, et);
	struct str alias = e ? S("") : cmd_arg(cmd, 1);
	if (alias.n && alias.p[0] == '@')
		alias = str_sub(alias, 1, alias.n);
	buf_addc(&t.path, "/aliases/");
	url_encode(&t.path, alias);
	jw_obj(&w);
	jw_ki64(&w, "version", version);
	if (cmd_opt(cmd, "reason").p)
		jw_kstr(&w, "reason", cmd_opt(cmd, "reason"));
	if (cmd_opt(cmd, "valid").p)
		jw_kstr(&w, "valid", cmd_opt(cmd, "valid"));
	if (cmd_flag(cmd, "break-glass"))
		jw_kbool(&w, "break_glass", true);
	jw_end(&w);
	if (rm)
		add_query(&t.path, "reason", cmd_opt(cmd, "reason"));
	if (!e)
		e = reg_api(cmd, rm ? HTTP_DELETE : HTTP_PUT, &t.path,
			rm ? (struct str){0} : buf_str(&body), true, &r, et);
	if (!e && r.root && rm)
		cmd_outf(cmd, "@%.*s is taken away\n", STR_FMT(alias));
	else if (!e && r.root)
		cmd_outf(cmd, "%s/%.*s@%.*s -> version %lld\n", t.kind, STR_FMT(t.ref.name),
			STR_FMT(alias), (long long)version);
	if (!e && !rm && cmd_flag(cmd, "break-glass") && r.root && broke_glass(r.root, alias))
		cmd_note(cmd,
			"BREAK GLASS: the promotion rules were not met; this is in the history and "
			"in the audit log, with your reason");
	answer_free(&r);
	buf_free(&body);
	buf_free(&t.path);
	return e;
}

/* ---- history, retract ---- */

static void print_facts(struct cmd *cmd, yyjson_val *facts)
{
	static const char *const titles[] = {"SEQ", "HOLDS FROM", "RECORDED", "BY", "WHAT", "NOW"};
	struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
	yyjson_val *f;
	size_t i, n;
	yyjson_arr_foreach(facts, i, n, f)
	{
		struct str valid = json_str(f, "valid"), at = json_str(f, "recorded"),
			   name = json_str(f, "name"), value = json_str(f, "value"),
			   reason = json_str(f, "reason");
		int64_t version = json_i64(f, "version", 0), retracts = json_i64(f, "retracts", 0);
		cmd_cell(t, "%lld", (long long)json_i64(f, "seq", 0));
		cmd_cell(t, "%.*s %.*s", STR_FMT(str_sub(valid, 0, 10)),
			STR_FMT(str_sub(valid, 11, 19)));
		cmd_cell(t, "%.*s %.*s", STR_FMT(str_sub(at, 0, 10)), STR_FMT(str_sub(at, 11, 19)));
		cmd_cell(t, "%.*s", STR_FMT(json_str(f, "by")));
		const char *space = name.n ? " " : "";
		version ? cmd_cell(t, "%.*s%s%.*s of %lld", STR_FMT(json_str(f, "what")), space,
				  STR_FMT(name), (long long)version)
			: cmd_cell(t, "%.*s%s%.*s", STR_FMT(json_str(f, "what")), space,
				  STR_FMT(name));
		if (retracts)
			cmd_cell(t, "fact %lld was wrong: %.*s", (long long)retracts,
				STR_FMT(reason));
		else
			cmd_cell(t, "%s%.*s%s%.*s%s",
				json_bool(yyjson_obj_get(f, "detail"), "break_glass", false)
					? "BREAK GLASS "
					: "",
				STR_FMT(value.p ? value : S("ended")), reason.n ? " (" : "",
				STR_FMT(reason), reason.n ? ")" : "");
	}
	cmd_table_end(t);
}

static enum err artifact_history(struct cmd *cmd, struct errtext *et)
{
	struct target t = {0};
	struct answer r = {0};
	enum err e = want_args(cmd, 1, "name it: croft artifact history KIND/NAME", et);
	if (!e)
		e = target(cmd, cmd_arg(cmd, 0), &t, et);
	buf_addc(&t.path, "/history");
	if (t.ref.alias.n) {
		add_query(&t.path, "what", S("alias"));
		add_query(&t.path, "key", t.ref.alias);
	}
	if (t.ref.version)
		buf_addf(&t.path, "?version=%lld", (long long)t.ref.version);
	add_query(&t.path, "limit", cmd_opt(cmd, "limit"));
	if (!e)
		e = reg_api(cmd, HTTP_GET, &t.path, (struct str){0}, true, &r, et);
	if (!e && r.root)
		print_facts(cmd, yyjson_obj_get(r.root, "facts"));
	answer_free(&r);
	buf_free(&t.path);
	return e;
}

static enum err artifact_retract(struct cmd *cmd, struct errtext *et)
{
	struct target t = {0};
	struct answer r = {0};
	struct buf body = {0};
	struct jw w = {.out = &body};
	enum err e = want_args(cmd, 2,
		"croft artifact retract KIND/NAME SEQ --reason TEXT (SEQ: see history)", et);
	if (!e)
		e = target(cmd, cmd_arg(cmd, 0), &t, et);
	buf_addc(&t.path, "/history/");
	if (!e)
		url_encode(&t.path, cmd_arg(cmd, 1));
	buf_addc(&t.path, "/retract");
	jw_obj(&w);
	jw_kstr(&w, "reason", cmd_opt(cmd, "reason"));
	jw_end(&w);
	if (!e)
		e = reg_api(cmd, HTTP_POST, &t.path, buf_str(&body), true, &r, et);
	if (!e && r.root)
		cmd_outf(cmd, "fact %.*s no longer counts; it stays in the history\n",
			STR_FMT(cmd_arg(cmd, 1)));
	answer_free(&r);
	buf_free(&body);
	buf_free(&t.path);
	return e;
}

/* ---- diff ---- */

static enum err fetch_version(
	struct cmd *cmd, struct str text, struct answer *out, struct errtext *et)
{
	struct buf path = {0};
	buf_addc(&path, "/api/v1/artifacts/resolve");
	add_query(&path, "ref", text);
	enum err e = reg_api(cmd, HTTP_GET, &path, (struct str){0}, false, out, et);
	buf_free(&path);
	return e;
}

static bool val_same(yyjson_val *a, yyjson_val *b)
{
	return a && b ? yyjson_equals(a, b) : a == b;
}

static void print_val(
	struct cmd *cmd, const char *sign, const char *style, struct str key, yyjson_val *v)
{
	struct buf text = {0};
	struct jw w = {.out = &text};
	jw_val(&w, v);
	cmd_outf(cmd, "%s%s %.*s: %.*s%s\n", cmd_style(cmd, style), sign, STR_FMT(key),
		STR_FMT(buf_str(&text)), cmd_style(cmd, "reset"));
	buf_free(&text);
}

/* Members of both objects; returns how many differ. */
static unsigned diff_objects(struct cmd *cmd, yyjson_val *a, yyjson_val *b)
{
	unsigned changed = 0;
	yyjson_val *k, *v;
	size_t i, n;
	yyjson_obj_foreach(a, i, n, k, v)
	{
		struct str key = json_val_str(k);
		yyjson_val *other = yyjson_obj_getn(b, key.p, key.n);
		if (val_same(v, other))
			continue;
		changed++;
		print_val(cmd, "-", "red", key, v);
		if (other)
			print_val(cmd, "+", "green", key, other);
	}
	yyjson_obj_foreach(b, i, n, k, v)
	{
		struct str key = json_val_str(k);
		if (yyjson_obj_getn(a, key.p, key.n))
			continue;
		changed++;
		print_val(cmd, "+", "green", key, v);
	}
	return changed;
}

static unsigned diff_versions(struct cmd *cmd, yyjson_val *a, yyjson_val *b)
{
	static const char *const fields[] = {
		"digest", "source", "bytes", "run", "description", "creator", "created", "aliases"};
	static const char *const objects[] = {"metadata", "tags"};
	unsigned changed = 0;
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		yyjson_val *x = yyjson_obj_get(a, fields[i]), *y = yyjson_obj_get(b, fields[i]);
		if (val_same(x, y))
			continue;
		changed++;
		print_val(cmd, "-", "red", str_c(fields[i]), x);
		print_val(cmd, "+", "green", str_c(fields[i]), y);
	}
	for (size_t i = 0; i < ARRAY_LEN(objects); i++) {
		yyjson_val *x = yyjson_obj_get(a, objects[i]), *y = yyjson_obj_get(b, objects[i]);
		if (val_same(x, y))
			continue;
		cmd_outf(cmd, "%s:\n", objects[i]);
		changed += diff_objects(cmd, x, y);
	}
	return changed;
}

/* The second version may leave out what is the same: "2", "@prod". */
static enum err fetch_second(
	struct cmd *cmd, yyjson_val *first, struct answer *out, struct errtext *et)
{
	struct str text = cmd_arg(cmd, 1);
	struct buf ref = {0};
	int64_t version;
	bool number = str_i64(text, &version), alias = text.n && text.p[0] == '@';
	if (number || alias)
		buf_addf(&ref, "%.*s/%.*s%s", STR_FMT(json_str(first, "kind")),
			STR_FMT(json_str(first, "name")), number ? ":" : "");
	buf_adds(&ref, text);
	enum err e = fetch_version(cmd, buf_str(&ref), out, et);
	buf_free(&ref);
	return e;
}

static enum err artifact_diff(struct cmd *cmd, struct errtext *et)
{
	struct answer a = {0}, b = {0};
	const struct diff_options o = {cmd_flag(cmd, "rows"), cmd_opt(cmd, "key")};
	enum err e = want_args(cmd, 2, "name two versions: croft artifact diff A B", et);
	if (!e)
		e = fetch_version(cmd, cmd_arg(cmd, 0), &a, et);
	if (!e)
		e = fetch_second(cmd, a.root, &b, et);
	if (!e && cmd_json(cmd)) {
		cmd_outf(cmd, "[%s,%s]\n", buf_c(&a.body), buf_c(&b.body));
	} else if (!e) {
		cmd_outf(cmd, "%s--- %.*s/%.*s:%lld\n+++ %.*s/%.*s:%lld%s\n",
			cmd_style(cmd, "bold"), STR_FMT(json_str(a.root, "kind")),
			STR_FMT(json_str(a.root, "name")),
			(long long)json_i64(a.root, "version", 0),
			STR_FMT(json_str(b.root, "kind")), STR_FMT(json_str(b.root, "name")),
			(long long)json_i64(b.root, "version", 0), cmd_style(cmd, "reset"));
		if (!diff_versions(cmd, a.root, b.root))
			cmd_outf(cmd, "no difference\n");
		e = tree_print_diff(
			cmd, json_str(a.root, "digest"), json_str(b.root, "digest"), &o, et);
	}
	answer_free(&a);
	answer_free(&b);
	return e;
}

/* ---- lineage: a tree; a node that was printed already is named only ---- */

struct picture {
	struct cmd *cmd;
	yyjson_val *nodes, *edges;
	bool down;
	struct map printed;
	struct map labels; /* id -> the node's object */
};

static void label(struct picture *t, struct str id, struct buf *out)
{
	yyjson_val *v = map_get(&t->labels, id);
	buf_adds(out, v ? json_str(v, "label") : id);
	if (v && json_bool(v, "deleted", false))
		buf_addc(out, " (deleted)");
}

static void branch(struct picture *t, struct str id, struct buf *indent, unsigned depth)
{
	const char *from = t->down ? "source" : "node", *to = t->down ? "node" : "source";
	static const char *const up_words[] = {"used", "produced by", "derived from"};
	static const char *const down_words[] = {"used by", "produced", "source of"};
	yyjson_val *e;
	size_t i, n, left = 0;
	yyjson_arr_foreach(t->edges, i, n, e) left += str_eq(json_str(e, from), id);
	yyjson_arr_foreach(t->edges, i, n, e)
	{
		enum edge_kind kind = EDGE_USED;
		struct str other = json_str(e, to);
		if (!str_eq(json_str(e, from), id) || !edge_parse(json_str(e, "kind"), &kind))
			continue;
		bool last = --left == 0, seen = map_get(&t->printed, other) != NULL;
		struct buf line = {0};
		label(t, other, &line);
		cmd_outf(t->cmd, "%s%s%s%s%s %s%s\n", buf_c(indent),
			last ? "\xE2\x94\x94\xE2\x94\x80 " : "\xE2\x94\x9C\xE2\x94\x80 ",
			cmd_style(t->cmd, "dim"), (t->down ? down_words : up_words)[kind],
			cmd_style(t->cmd, "reset"), buf_c(&line), seen ? " (above)" : "");
		buf_free(&line);
		if (seen || depth >= GRAPH_DEPTH_MAX || !map_put(&t->printed, other, t))
			continue;
		size_t keep = indent->n;
		buf_addc(indent, last ? "   " : "\xE2\x94\x82  ");
		branch(t, other, indent, depth + 1);
		indent->n = keep;
		if (indent->p)
			indent->p[keep] = 0;
	}
}

static void print_tree(struct cmd *cmd, yyjson_val *root, bool down)
{
	struct picture t = {.cmd = cmd,
		.nodes = yyjson_obj_get(root, "nodes"),
		.edges = yyjson_obj_get(root, "edges"),
		.down = down};
	struct buf indent = {0}, line = {0};
	yyjson_val *v;
	size_t i, n;
	yyjson_arr_foreach(t.nodes, i, n, v) if (!map_put(&t.labels, json_str(v, "id"), v)) break;
	struct str start = json_str(yyjson_arr_get_first(t.nodes), "id");
	label(&t, start, &line);
	cmd_outf(cmd, "%s%s%s\n", cmd_style(cmd, "bold"), buf_c(&line), cmd_style(cmd, "reset"));
	if (map_put(&t.printed, start, &t))
		branch(&t, start, &indent, 0);
	if (!yyjson_arr_size(t.edges))
		cmd_outf(cmd, down ? "nothing depends on it\n"
				   : "nothing is known of where it comes from\n");
	if (json_bool(root, "cut", false))
		cmd_outf(cmd, "%sthere is more: --depth, --nodes%s\n", cmd_style(cmd, "yellow"),
			cmd_style(cmd, "reset"));
	map_free(&t.labels);
	map_free(&t.printed);
	buf_free(&indent);
	buf_free(&line);
}

static enum err artifact_lineage(struct cmd *cmd, struct errtext *et)
{
	struct answer r = {0};
	struct buf path = {0};
	bool down = cmd_flag(cmd, "down");
	enum err e = want_args(cmd, 1,
		"name a version, a run or a URI: croft artifact lineage KIND/NAME:VERSION", et);
	if (e)
		return e;
	struct str format = cmd_opt(cmd, "format");
	buf_addf(&path, "/api/v1/lineage/%s?direction=%s", format.n ? "export" : "graph",
		down ? "down" : "up");
	add_query(&path, "format", format);
	add_query(&path, "of", cmd_arg(cmd, 0));
	add_query(&path, "depth", cmd_opt(cmd, "depth"));
	add_query(&path, "nodes", cmd_opt(cmd, "nodes"));
	e = reg_api(cmd, HTTP_GET, &path, (struct str){0}, true, &r, et);
	if (!e && r.root && format.n)
		cmd_outf(cmd, "%s\n", buf_c(&r.body));
	else if (!e && r.root)
		print_tree(cmd, r.root, down);
	answer_free(&r);
	buf_free(&path);
	return e;
}

static enum err lineage_link(struct cmd *cmd, struct errtext *et)
{
	struct answer r = {0};
	struct buf path = {0}, body = {0};
	struct jw w = {.out = &body};
	enum err e =
		want_args(cmd, 3, "croft artifact link NODE used|produced|derived_from SOURCE", et);
	if (e)
		return e;
	buf_addc(&path, "/api/v1/lineage/edges");
	jw_obj(&w);
	jw_kstr(&w, "node", cmd_arg(cmd, 0));
	jw_kstr(&w, "kind", cmd_arg(cmd, 1));
	jw_kstr(&w, "source", cmd_arg(cmd, 2));
	jw_end(&w);
	e = reg_api(cmd, HTTP_POST, &path, buf_str(&body), true, &r, et);
	if (!e && r.root)
		cmd_outf(cmd, "recorded\n");
	answer_free(&r);
	buf_free(&path);
	buf_free(&body);
	return e;
}

/* ---- verify ---- */

static enum err verify_facts(struct cmd *cmd, struct errtext *et)
{
	if (cmd_n_args(cmd))
		return verify_version(cmd, et);
	struct answer r = {0};
	struct buf path = {0};
	buf_addc(&path, "/api/v1/artifacts/verify");
	enum err e = reg_api(cmd, HTTP_POST, &path,
		cmd_flag(cmd, "repair") ? S("{\"repair\":true}") : S("{}"), false, &r, et);
	if (!e && cmd_json(cmd)) {
		cmd_outf(cmd, "%s\n", buf_c(&r.body));
	} else if (!e) {
		cmd_outf(cmd, "%lld facts, %lld versions; newest hash %.*s\n",
			(long long)json_i64(r.root, "facts", 0),
			(long long)json_i64(r.root, "versions", 0),
			STR_FMT(json_str(r.root, "head")));
		if (json_i64(r.root, "stale", 0))
			cmd_outf(cmd, "%lld present values were not what the facts say%s\n",
				(long long)json_i64(r.root, "stale", 0),
				json_bool(r.root, "repaired", false)
					? ": put right"
					: ": --repair derives them again");
	}
	if (!e && !json_bool(r.root, "ok", false)) {
		int64_t bad = json_i64(r.root, "first_bad_fact", 0);
		e = bad ? err_set(et, ERR_CORRUPT,
				  "the chain of facts is broken at %lld: something was edited",
				  (long long)bad)
			: err_set(et, ERR_CORRUPT,
				  "%lld versions differ from the facts that made them, %lld "
				  "present values are stale",
				  (long long)json_i64(r.root, "bad_versions", 0),
				  (long long)json_i64(r.root, "stale", 0));
	}
	answer_free(&r);
	buf_free(&path);
	return e;
}

#define AT_OPTIONS                                                                   \
	{"as-of", 0, "TIME", "As it was then; a date is the end of that day (UTC)"}, \
	{                                                                            \
		"known-at", 0, "TIME", "With what had been written down until then"  \
	}

static const struct option diff_options[] = {
	{"rows", 0, NULL, "Which rows, and the figures of columns that differ"},
	{"key", 'k', "COLUMN",
		"The column that names a row (id, key, uuid, path if there is one)"}};
static const struct option ls_options[] = {{"kind", 0, "KIND", "Of one kind"},
	{"name", 0, "TEXT", "With this text in the name"},
	{"filter", 'f', "FILTER", "for instance: tags.team = 'nlp' AND alias = 'prod'"},
	{"limit", 0, "N", "At most so many (100)"}};
static const struct option show_options[] = {AT_OPTIONS};
static const struct option add_options[] = {{"source", 0, "URI", "Where it is kept"},
	{"digest", 0, "HEX", "Digest of its content"}, {"run", 0, "ID", "The run that produced it"},
	{"description", 0, "TEXT", "What is new in it"}};
static const struct option rm_options[] = {{"reason", 0, "TEXT", "Why"}};
static const struct option tag_options[] = {{"rm", 0, NULL, "Remove the tags named"}};
static const struct option alias_options[] = {{"rm", 0, NULL, "Take the alias away"},
	{"reason", 0, "TEXT", "Why"},
	{"valid", 0, "TIME", "Since when it is so: corrects the past without hiding it"},
	{"break-glass", 0, NULL, "Past the promotion rules: recorded, loud, needs --reason"}};
static const struct option history_options[] = {{"limit", 0, "N", "At most so many (100)"}};
static const struct option retract_options[] = {{"reason", 0, "TEXT", "Why it was wrong"}};
static const struct option lineage_options[] = {
	{"down", 0, NULL, "What depends on it (without: where it comes from)"},
	{"format", 0, "prov|openlineage", "Print W3C PROV-JSON or OpenLineage events"},
	{"depth", 0, "N", "Steps at most (20)"}, {"nodes", 0, "N", "Nodes at most (500)"}};
static const struct option verify_options[] = {
	{"key", 0, "FILE", "With REF: the public key; without: signing.trusted"},
	{"repair", 0, NULL, "Derive stale present values again from the facts"}};

const struct command registry_commands[N_REGISTRY_COMMANDS] = {
	{"artifact ls", artifact_ls, "[TEXT]", OPTIONS(ls_options), "List artifacts", NULL},
	{"artifact show", artifact_show, "REF", OPTIONS(show_options),
		"Show an artifact or a version, now or as of a time",
		"REF is KIND/NAME, KIND/NAME:VERSION or KIND/NAME@ALIAS; the kind may be left out\n"
		"when one artifact only has the name.\n\n"
		"Examples:\n"
		"  croft artifact show model/churn\n"
		"  croft artifact show model/churn@prod --as-of 2026-05-03 --known-at 2026-05-05"},
	{"artifact add", artifact_add, "KIND/NAME [INPUT...]", OPTIONS(add_options),
		"Add a version that is kept elsewhere, derived from INPUTs",
		"Example:\n"
		"  croft artifact add dataset/faq --source s3://bucket/faq-3.jsonl dataset/raw:7"},
	{"artifact rm", artifact_rm, "REF", OPTIONS(rm_options),
		"Delete an artifact or a version; its history stays", NULL},
	{"artifact tag", artifact_tag, "REF KEY=VALUE...", OPTIONS(tag_options),
		"Set or remove tags", NULL},
	{"artifact alias", artifact_alias, "REF ALIAS", OPTIONS(alias_options),
		"Point an alias at a version",
		"Examples:\n"
		"  croft artifact alias model/churn:3 prod --reason 'passed the suite'\n"
		"  croft artifact alias model/churn:2 prod --valid 2026-05-02T09:00:00Z --reason "
		"late"},
	{"artifact history", artifact_history, "REF", OPTIONS(history_options),
		"Facts about an artifact, one version (:N) or one alias (@ALIAS)", NULL},
	{"artifact retract", artifact_retract, "REF SEQ", OPTIONS(retract_options),
		"Say that a fact was wrong; it stays in the history", NULL},
	{"artifact diff", artifact_diff, "REF REF", OPTIONS(diff_options), "Compare two versions",
		"What differs of their facts, which files came, went and changed, and of CSV, TSV "
		"and "
		"JSON lines how many rows. The second may be a number or an alias of the same "
		"artifact.\n\n"
		"Examples:\n"
		"  croft artifact diff dataset/faq:1 2 --rows\n"
		"  croft artifact diff document-set/default:1 @latest"},
	{"artifact lineage", artifact_lineage, "REF", OPTIONS(lineage_options),
		"Where it comes from, or what depends on it", NULL},
	{"artifact link", lineage_link, "NODE KIND SOURCE", NULL, 0,
		"Record lineage: NODE used, produced or derived_from SOURCE",
		"NODE and SOURCE are references, run:ID or URIs.\n\n"
		"Example:\n"
		"  croft artifact link run:0198c0ffee0198c0ffee0198c0ffee01 used dataset/faq:3"},
	{"artifact verify", verify_facts, "[REF]", OPTIONS(verify_options),
		"Check a version's files against its signature, or all facts",
		"With REF the files are read and compared with what was signed. Without, the chain "
		"of\nfacts is checked, and the present state that is derived from it.\n\n"
		"Examples:\n"
		"  croft artifact verify model/churn:3 --key release.pem.pub\n"
		"  croft artifact verify"},
};
