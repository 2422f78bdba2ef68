/* `croft promote ...`: rules, checks, approvals, what is missing. */
#include "artifact/registry_cmd.h"

static enum err version_path(
	struct cmd *cmd, size_t arg, const char *after, struct target *t, struct errtext *et)
{
	enum err e = target(cmd, cmd_arg(cmd, arg), t, et);
	buf_addc(&t->path, "/versions");
	add_version(&t->path, &t->ref);
	buf_addc(&t->path, after);
	return e;
}

static struct str bare_alias(struct str alias)
{
	return alias.n && alias.p[0] == '@' ? str_sub(alias, 1, alias.n) : alias;
}

/* ---- rules ---- */

static void checks_text(yyjson_val *rule, struct buf *out)
{
	yyjson_val *v;
	size_t i, n;
	int64_t approvals = json_i64(rule, "approvals", 0);
	yyjson_arr_foreach(yyjson_obj_get(rule, "checks"), i, n, v)
		buf_addf(out, "%s%.*s", i ? ", " : "", STR_FMT(json_val_str(v)));
	if (approvals)
		buf_addf(out, "%s%lld approval%s", out->n ? ", " : "", (long long)approvals,
			approvals == 1 ? "" : "s");
}

static enum err rules_ls(struct cmd *cmd, struct errtext *et)
{
	static const char *const titles[] = {"KIND", "NAME", "ALIAS", "WANTS", "BY", "ID"};
	struct answer r;
	struct buf path = {0};
	buf_addc(&path, "/api/v1/promotion/rules");
	enum err e = reg_api(cmd, HTTP_GET, &path, (struct str){0}, true, &r, et);
	if (!e && r.root) {
		struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
		yyjson_val *v;
		size_t i, n;
		yyjson_arr_foreach(yyjson_obj_get(r.root, "rules"), i, n, v)
		{
			struct buf wants = {0};
			checks_text(v, &wants);
			cmd_cell(t, "%.*s", STR_FMT(json_str(v, "kind")));
			cmd_cell(t, "%.*s", STR_FMT(json_str(v, "name")));
			cmd_cell(t, "@%.*s", STR_FMT(json_str(v, "alias")));
			cmd_cell(t, "%s", buf_c(&wants));
			cmd_cell(t, "%.*s", STR_FMT(json_str(v, "creator")));
			cmd_cell(t, "%.*s", STR_FMT(json_str(v, "id")));
			buf_free(&wants);
		}
		cmd_table_end(t);
	}
	answer_free(&r);
	buf_free(&path);
	return e;
}

static enum err rule_add(struct cmd *cmd, struct errtext *et)
{
	struct answer r = {0};
	struct buf path = {0}, body = {0};
	struct jw w = {.out = &body};
	struct str approvals = cmd_opt(cmd, "approvals"), part;
	int64_t n = 0;
	enum err e = want_args(cmd, 1, "croft promote rule ALIAS --checks A,B --approvals N", et);
	if (!e && approvals.p && !str_i64(approvals, &n))
		e = err_set(et, ERR_INVALID, "--approvals: a number is expected");
	if (e)
		return e;
	buf_addc(&path, "/api/v1/promotion/rules");
	jw_obj(&w);
	jw_kstr(&w, "alias", bare_alias(cmd_arg(cmd, 0)));
	if (cmd_opt(cmd, "kind").p)
		jw_kstr(&w, "kind", cmd_opt(cmd, "kind"));
	if (cmd_opt(cmd, "name").p)
		jw_kstr(&w, "name", cmd_opt(cmd, "name"));
	jw_key(&w, "checks");
	jw_arr(&w);
	for (struct str rest = cmd_opt(cmd, "checks"); rest.n && str_next(&rest, ',', &part);)
		if (str_trim(part).n)
			jw_str(&w, str_trim(part));
	jw_end(&w);
	jw_ki64(&w, "approvals", n);
	jw_end(&w);
	e = reg_api(cmd, HTTP_POST, &path, buf_str(&body), true, &r, et);
	if (!e && r.root)
		cmd_outf(cmd, "rule %.*s\n", STR_FMT(json_str(r.root, "id")));
	answer_free(&r);
	buf_free(&path);
	buf_free(&body);
	return e;
}

static enum err rule_rm(struct cmd *cmd, struct errtext *et)
{
	struct answer r = {0};
	struct buf path = {0};
	enum err e = want_args(cmd, 1, "croft promote unrule ID (see: croft promote rules)", et);
	if (e)
		return e;
	buf_addc(&path, "/api/v1/promotion/rules/");
	url_encode(&path, cmd_arg(cmd, 0));
	e = reg_api(cmd, HTTP_DELETE, &path, (struct str){0}, true, &r, et);
	if (!e && r.root)
		cmd_outf(cmd, "the rule has ended\n");
	answer_free(&r);
	buf_free(&path);
	return e;
}

/* ---- the gate ---- */

static void print_gate(struct cmd *cmd, yyjson_val *gate)
{
	yyjson_val *v;
	size_t i, n;
	bool open = json_bool(gate, "open", false);
	cmd_outf(cmd, "%s@%.*s %s version %lld%s\n", cmd_style(cmd, open ? "green" : "yellow"),
		STR_FMT(json_str(gate, "alias")), open ? "may point at" : "cannot point at",
		(long long)json_i64(gate, "version", 0), cmd_style(cmd, "reset"));
	yyjson_arr_foreach(yyjson_obj_get(gate, "requirements"), i, n, v)
	{
		bool met = json_bool(v, "met", false);
		cmd_outf(cmd, "  %s%s%s %.*s\n", cmd_style(cmd, met ? "green" : "red"),
			met ? "+" : "-", cmd_style(cmd, "reset"), STR_FMT(json_str(v, "why")));
	}
	if (!n)
		cmd_outf(cmd, "  no rule is for this alias\n");
	yyjson_arr_foreach(yyjson_obj_get(gate, "approvals"), i, n, v)
	{
		struct str name = json_str(v, "name");
		cmd_outf(cmd, "  approved (alias:person) %.*s, ", STR_FMT(name));
		print_time(cmd, json_str(v, "valid"));
		cmd_outf(cmd, " %.*s\n", STR_FMT(json_str(v, "reason")));
	}
}

static enum err promote_show(struct cmd *cmd, struct errtext *et)
{
	struct target t = {0};
	struct answer r = {0};
	enum err e = want_args(cmd, 2, "croft promote show KIND/NAME:VERSION ALIAS", et);
	if (!e)
		e = version_path(cmd, 0, "/promotion", &t, et);
	if (!e) {
		add_query(&t.path, "alias", bare_alias(cmd_arg(cmd, 1)));
		e = reg_api(cmd, HTTP_GET, &t.path, (struct str){0}, true, &r, et);
	}
	if (!e && r.root)
		print_gate(cmd, r.root);
	answer_free(&r);
	buf_free(&t.path);
	return e;
}

static enum err promote_check(struct cmd *cmd, struct errtext *et)
{
	static const char *const texts[] = {"run", "expires", "note"};
	struct target t = {0};
	struct answer r = {0};
	struct buf body = {0};
	struct jw w = {.out = &body};
	enum err e = want_args(cmd, 3, "croft promote check KIND/NAME:VERSION CHECK pass|fail", et);
	if (!e)
		e = version_path(cmd, 0, "/checks", &t, et);
	if (!e) {
		jw_obj(&w);
		jw_kstr(&w, "name", cmd_arg(cmd, 1));
		jw_kstr(&w, "verdict", cmd_arg(cmd, 2));
		for (size_t i = 0; i < ARRAY_LEN(texts); i++)
			if (cmd_opt(cmd, texts[i]).p)
				jw_kstr(&w, texts[i], cmd_opt(cmd, texts[i]));
		jw_end(&w);
		e = reg_api(cmd, HTTP_POST, &t.path, buf_str(&body), true, &r, et);
	}
	if (!e && r.root)
		cmd_outf(cmd, "recorded\n");
	answer_free(&r);
	buf_free(&body);
	buf_free(&t.path);
	return e;
}

static enum err approval(struct cmd *cmd, bool revoke, struct errtext *et)
{
	struct target t = {0};
	struct answer r = {0};
	struct buf body = {0};
	struct jw w = {.out = &body};
	enum err e = want_args(cmd, 2, "croft promote approve KIND/NAME:VERSION ALIAS", et);
	if (!e)
		e = version_path(cmd, 0, "/approvals/", &t, et);
	if (!e) {
		url_encode(&t.path, bare_alias(cmd_arg(cmd, 1)));
		jw_obj(&w);
		if (cmd_opt(cmd, "note").p)
			jw_kstr(&w, "note", cmd_opt(cmd, "note"));
		jw_end(&w);
		if (revoke)
			add_query(&t.path, "note", cmd_opt(cmd, "note"));
		e = reg_api(cmd, revoke ? HTTP_DELETE : HTTP_PUT, &t.path,
			revoke ? (struct str){0} : buf_str(&body), true, &r, et);
	}
	if (!e && r.root)
		print_gate(cmd, r.root);
	answer_free(&r);
	buf_free(&body);
	buf_free(&t.path);
	return e;
}

static enum err promote_approve(struct cmd *cmd, struct errtext *et)
{
	return approval(cmd, false, et);
}

static enum err promote_revoke(struct cmd *cmd, struct errtext *et)
{
	return approval(cmd, true, et);
}

static const struct option rule_options[] = {{"kind", 0, "KIND", "Of artifacts of this kind (all)"},
	{"name", 0, "PATTERN", "Of artifacts called so, with * and ? (all)"},
	{"checks", 0, "A,B", "These checks must have passed"},
	{"approvals", 0, "N", "So many others must have approved"}};
static const struct option check_options[] = {{"run", 0, "ID", "The run that is the evidence"},
	{"expires", 0, "TIME", "Until when the result counts"},
	{"note", 0, "TEXT", "What was seen"}};
static const struct option note_options[] = {{"note", 0, "TEXT", "Why"}};

const struct command promotion_commands[N_PROMOTION_COMMANDS] = {
	{"promote rules", rules_ls, "", NULL, 0, "List what promotions need", NULL},
	{"promote rule", rule_add, "ALIAS", OPTIONS(rule_options),
		"Demand checks or approvals before an alias points at a version",
		"Example:\n"
		"  croft promote rule prod --kind model --checks accuracy,safety --approvals 1"},
	{"promote unrule", rule_rm, "ID", NULL, 0, "End a rule", NULL},
	{"promote show", promote_show, "REF ALIAS", NULL, 0,
		"What an alias still wants of a version", NULL},
	{"promote check", promote_check, "REF CHECK pass|fail", OPTIONS(check_options),
		"Record the result of a check", NULL},
	{"promote approve", promote_approve, "REF ALIAS", OPTIONS(note_options),
		"Approve a version for an alias", NULL},
	{"promote revoke", promote_revoke, "REF ALIAS", OPTIONS(note_options),
		"Take one's approval back", NULL},
};
