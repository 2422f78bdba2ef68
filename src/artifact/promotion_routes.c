/* /api/v1/promotion/rules; checks, approvals and the gate of a version. */
#include "access/access.h"
#include "artifact/promotion.h"
#include "artifact/registry_cmd.h"
#include "base/clock.h"

/* ---- rules ---- */

static void rule_object(struct jw *w, const struct promotion_rule *r)
{
	char hex[ID_HEX + 1];
	id_hex(r->id, hex);
	jw_obj(w);
	jw_kc(w, "id", hex);
	jw_kstr(w, "kind", r->kind);
	jw_kstr(w, "name", r->name);
	jw_kstr(w, "alias", r->alias);
	jw_key(w, "checks");
	jw_arr(w);
	for (size_t i = 0; i < r->n_checks; i++)
		jw_str(w, r->checks[i]);
	jw_end(w);
	jw_ki64(w, "approvals", r->approvals);
	jw_kstr(w, "creator", r->creator);
	json_time(w, "created", r->created_ms);
	jw_end(w);
}

static void get_rules(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct reg_call k;
	struct promotion_rule *list = NULL;
	size_t n = 0;
	enum err e = reg_begin(&k, c, rq, rs, TX_READ);
	if (!e)
		e = rule_list(k.tx, k.project, rq->arena, &list, &n, &k.et);
	jw_obj(&k.w);
	jw_key(&k.w, "rules");
	jw_arr(&k.w);
	for (size_t i = 0; i < n && !e; i++)
		rule_object(&k.w, &list[i]);
	jw_end(&k.w);
	jw_end(&k.w);
	reg_end(&k, e, 200);
}

static enum err parse_checks(struct reg_call *k, struct promotion_rule *r)
{
	yyjson_val *list = yyjson_obj_get(k->body, "checks"), *v;
	size_t i, n;
	r->checks = arena_array_of(k->rq->arena, RULE_CHECKS_MAX, struct str);
	if (!r->checks)
		return err_set(&k->et, ERR_NOMEM, "no memory");
	if ((list && !yyjson_is_arr(list)) || yyjson_arr_size(list) > RULE_CHECKS_MAX)
		return err_set(&k->et, ERR_INVALID,
			"checks: a list of at most %d names is expected", RULE_CHECKS_MAX);
	yyjson_arr_foreach(list, i, n, v)
	{
		struct str name = json_val_str(v);
		if (!name.n || name.n > 200)
			return err_set(&k->et, ERR_INVALID, "checks: names are expected");
		r->checks[r->n_checks++] = name;
	}
	return OK;
}

static enum err parse_rule(struct reg_call *k, struct promotion_rule *r)
{
	*r = (struct promotion_rule){.id = id_new(),
		.kind = S("*"),
		.name = S("*"),
		.creator = k->rq->who->name,
		.created_ms = clock_unix_ms()};
	enum err e = json_want_str(k->body, "kind", &r->kind, &k->et);
	if (!e)
		e = json_want_str(k->body, "name", &r->name, &k->et);
	if (!e)
		e = json_want_str(k->body, "alias", &r->alias, &k->et);
	if (!e)
		e = json_want_i64(k->body, "approvals", 0, APPROVALS_MAX, &r->approvals, &k->et);
	if (!e && !str_eq_c(r->kind, "*"))
		e = kind_check(r->kind, &k->et);
	if (!e && (!r->alias.n || r->alias.n > ALIAS_MAX || !r->name.n ||
			  r->name.n > ARTIFACT_NAME_MAX))
		e = err_set(&k->et, ERR_INVALID,
			"alias, name: say which aliases (and of which names) the rule is for: "
			"prod, "
			"prod-*, *");
	if (!e)
		e = parse_checks(k, r);
	if (!e && !r->n_checks && !r->approvals)
		e = err_set(&k->et, ERR_INVALID,
			"checks, approvals: a rule wants at least one of them");
	return e;
}

static enum err audit_rule(struct reg_call *k, const char *action, const struct promotion_rule *r)
{
	struct buf subject = {0}, detail = {0};
	struct jw w = {.out = &detail};
	buf_addf(&subject, "%.*s/%.*s@%.*s", STR_FMT(r->kind), STR_FMT(r->name), STR_FMT(r->alias));
	rule_object(&w, r);
	enum err e =
		audit_add(k->tx, k->rq->who, action, buf_str(&subject), buf_str(&detail), &k->et);
	buf_free(&subject);
	buf_free(&detail);
	return e;
}

static void post_rule(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct reg_call k;
	struct promotion_rule r, *all;
	size_t n = 0;
	enum err e = reg_begin(&k, c, rq, rs, TX_WRITE);
	if (!e)
		e = parse_rule(&k, &r);
	if (!e)
		e = rule_list(k.tx, k.project, rq->arena, &all, &n, &k.et);
	if (!e && n >= RULES_MAX)
		e = err_set(
			&k.et, ERR_LIMIT, "there are %d rules, more are not possible", RULES_MAX);
	if (!e)
		e = rule_put(k.tx, k.project, &r, &k.et);
	if (!e)
		e = audit_rule(&k, "promotion.rule", &r);
	if (!e)
		rule_object(&k.w, &r);
	reg_end(&k, e, 201);
}

static void delete_rule(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct reg_call k;
	struct promotion_rule *list = NULL;
	struct id id;
	size_t n = 0;
	bool found = false;
	enum err e = reg_begin(&k, c, rq, rs, TX_WRITE);
	if (!e && !id_parse(http_param(rq, "id"), &id))
		e = err_set(&k.et, ERR_INVALID, "the id of a rule has 32 hex digits");
	if (!e)
		e = rule_list(k.tx, k.project, rq->arena, &list, &n, &k.et);
	for (size_t i = 0; i < n && !e; i++)
		if (memcmp(list[i].id.b, id.b, sizeof id.b) == 0)
			e = audit_rule(&k, "promotion.rule_end", &list[i]);
	if (!e)
		e = rule_end(k.tx, k.project, id, &found, &k.et);
	if (!e && !found)
		e = err_set(&k.et, ERR_NOT_FOUND, "there is no such rule");
	jw_obj(&k.w);
	jw_kbool(&k.w, "deleted", true);
	jw_end(&k.w);
	reg_end(&k, e, 200);
}

/* ---- the gate ---- */

static void requirement_object(struct jw *w, const struct requirement *r)
{
	jw_obj(w);
	jw_kc(w, "type", r->check.n ? "check" : "approval");
	jw_kbool(w, "met", r->met);
	jw_kstr(w, "why", r->why);
	if (r->check.n)
		jw_kstr(w, "check", r->check);
	else {
		jw_ki64(w, "have", r->have);
		jw_ki64(w, "want", r->want);
	}
	if (r->fact.seq) {
		jw_key(w, "result");
		json_fact(w, &r->fact);
	}
	jw_end(w);
}

static enum err facts_member(
	struct reg_call *k, const char *key, const char *what, const struct artifact_version *v)
{
	struct fact *list = NULL;
	size_t n = 0;
	enum err e = facts_now(
		k->tx, v->artifact, v->version, str_c(what), k->rq->arena, &list, &n, &k->et);
	jw_key(&k->w, key);
	jw_arr(&k->w);
	for (size_t i = 0; i < n && !e; i++)
		json_fact(&k->w, &list[i]);
	jw_end(&k->w);
	return e;
}

static enum err gate_object(struct reg_call *k, const struct artifact *of,
	const struct artifact_version *v, struct str alias)
{
	struct gate g = {0};
	enum err e = gate_look(k->tx, k->rq->who, of, alias, v->version, k->rq->arena, &g, &k->et);
	jw_obj(&k->w);
	jw_kstr(&k->w, "alias", alias);
	jw_ki64(&k->w, "version", v->version);
	jw_kbool(&k->w, "open", g.open);
	jw_key(&k->w, "requirements");
	jw_arr(&k->w);
	for (size_t i = 0; i < g.n; i++)
		requirement_object(&k->w, &g.list[i]);
	jw_end(&k->w);
	if (!e)
		e = facts_member(k, "checks", "check", v);
	if (!e)
		e = facts_member(k, "approvals", "approval", v);
	jw_kbool(&k->w, "may_break_glass", may(k->rq, PERM_ARTIFACT_BREAK));
	jw_end(&k->w);
	return e;
}

static enum err find(struct reg_call *k, struct artifact *of, struct artifact_version *v)
{
	enum err e = reg_artifact(k, of);
	return e ? e : reg_version(k, of, v);
}

static void get_gate(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct reg_call k;
	struct artifact of;
	struct artifact_version v;
	struct str alias = http_query(rq, "alias");
	enum err e = reg_begin(&k, c, rq, rs, TX_READ);
	if (!e)
		e = find(&k, &of, &v);
	if (!e)
		e = alias_check(alias.p ? alias : S(""), &k.et);
	if (!e)
		e = gate_object(&k, &of, &v, alias);
	reg_end(&k, e, 200);
}

/* ---- checks and approvals ---- */

static enum err parse_check(struct reg_call *k, struct check_result *r)
{
	struct str verdict = {0}, run = {0}, expires = {0};
	enum err e = json_want_str(k->body, "name", &r->name, &k->et);
	if (!e)
		e = json_want_str(k->body, "verdict", &verdict, &k->et);
	if (!e)
		e = json_want_str(k->body, "run", &run, &k->et);
	if (!e)
		e = json_want_str(k->body, "note", &r->note, &k->et);
	if (!e)
		e = json_want_str(k->body, "expires", &expires, &k->et);
	r->pass = str_eq_c(verdict, "pass");
	if (!e && !r->pass && !str_eq_c(verdict, "fail"))
		e = err_set(&k->et, ERR_INVALID, "verdict: pass or fail");
	if (!e && run.n && !id_parse(run, &r->run))
		e = err_set(&k->et, ERR_INVALID, "run: an id of 32 hex digits is expected");
	if (!e && expires.n && !parse_time(expires, true, &r->expires_ms))
		e = err_set(&k->et, ERR_INVALID, "expires: a date or a time is expected");
	return e;
}

static enum err link_evidence(
	struct reg_call *k, const struct check_result *r, const struct artifact_version *v)
{
	if (id_is_zero(r->run))
		return OK;
	return lineage_add(k->tx, k->rq->who,
		&(struct edge){.node = node_run(k->rq->arena, r->run),
			.kind = EDGE_USED,
			.source = node_version(k->rq->arena, v->artifact, v->version),
			.detail = S("{\"as\":\"check\"}")},
		&k->et);
}

static void post_check(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct reg_call k;
	struct artifact of;
	struct artifact_version v;
	struct check_result r = {0};
	enum err e = reg_begin(&k, c, rq, rs, TX_WRITE);
	if (!e)
		e = find(&k, &of, &v);
	if (!e)
		e = parse_check(&k, &r);
	if (!e)
		e = check_record(k.tx, rq->who, of.id, v.version, &r, &k.et);
	if (!e)
		e = link_evidence(&k, &r, &v);
	jw_obj(&k.w);
	if (!e)
		e = facts_member(&k, "checks", "check", &v);
	jw_end(&k.w);
	reg_end(&k, e, 201);
}

static void change_approval(
	struct croft *c, struct http_request *rq, struct http_response *rs, bool revoke)
{
	struct reg_call k;
	struct artifact of;
	struct artifact_version v;
	struct str note = http_query(rq, "note");
	enum err e = reg_begin(&k, c, rq, rs, TX_WRITE);
	if (!e)
		e = find(&k, &of, &v);
	if (!e)
		e = json_want_str(k.body, "note", &note, &k.et);
	if (!e)
		e = approval_set(k.tx, rq->who, of.id, v.version, http_param(rq, "alias"), revoke,
			note, &k.et);
	if (!e)
		e = gate_object(&k, &of, &v, http_param(rq, "alias"));
	reg_end(&k, e, 200);
}

static void put_approval(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	change_approval(c, rq, rs, false);
}

static void delete_approval(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	change_approval(c, rq, rs, true);
}

static const struct shape shapes[] = {
	{"PromotionRule", "{ id: id, kind: string, name: string, alias: string, checks: string[], "
			  "approvals: int, creator: string, created: string }"},
	{"PromotionRequirement",
		"{ type: \"check\" | \"approval\", met: boolean, why: string, check?: string, "
		"have?: int, want?: int, result?: ArtifactFact }"},
	{"PromotionGate",
		"{ alias: string, version: int, open: boolean, requirements: "
		"PromotionRequirement[], "
		"checks: ArtifactFact[], approvals: ArtifactFact[], may_break_glass: boolean }"},
};

#define VERSION "/api/v1/artifacts/{kind}/{name}/versions/{version}"

static const struct route routes[] = {
	{HTTP_GET, "/api/v1/promotion/rules", get_rules, PERM_ARTIFACT_READ,
		"List what promotions need", NULL, NULL, "{ rules: PromotionRule[] }", 0},
	{HTTP_POST, "/api/v1/promotion/rules", post_rule, PERM_ARTIFACT_RULE,
		"Demand checks or approvals before an alias points at a version", NULL,
		"{ kind?: string, name?: string, alias: string, checks?: string[], "
		"approvals?: int }",
		"PromotionRule", 0},
	{HTTP_DELETE, "/api/v1/promotion/rules/{id}", delete_rule, PERM_ARTIFACT_RULE, "End a rule",
		NULL, NULL, "{ deleted: boolean }", 0},
	{HTTP_GET, VERSION "/promotion", get_gate, PERM_ARTIFACT_READ,
		"What an alias still wants of a version", "{ alias: string }", NULL,
		"PromotionGate", 0},
	{HTTP_POST, VERSION "/checks", post_check, PERM_ARTIFACT_WRITE,
		"Record the result of a check", NULL,
		"{ name: string, verdict: \"pass\" | \"fail\", run?: id, expires?: string, "
		"note?: string }",
		"{ checks: ArtifactFact[] }", 0},
	{HTTP_PUT, VERSION "/approvals/{alias}", put_approval, PERM_ARTIFACT_APPROVE,
		"Approve a version for an alias", NULL, "{ note?: string }", "PromotionGate", 0},
	{HTTP_DELETE, VERSION "/approvals/{alias}", delete_approval, PERM_ARTIFACT_APPROVE,
		"Take one's approval back", "{ note?: string }", NULL, "PromotionGate", 0},
};

const struct module promotion_module = {.name = "promotion",
	TABLE(routes),
	TABLE(shapes),
	.commands = promotion_commands,
	.n_commands = ARRAY_LEN(promotion_commands)};
