/* What a move wants and what is there; checks, approvals, the broken glass. */
#include "artifact/promotion.h"
#include "access/access.h"
#include "artifact/registry_int.h"
#include "base/clock.h"
#include "base/room.h"

#include <stdio.h>

/* ---- rules ---- */

/* * any run of bytes, ? one byte; linear, with one place to go back to. */
static bool glob(struct str p, struct str v)
{
	size_t i = 0, j = 0, star = STR_NONE, mark = 0;
	while (j < v.n) {
		if (i < p.n && p.p[i] == '*') {
			star = i++;
			mark = j;
		} else if (i < p.n && (p.p[i] == '?' || p.p[i] == v.p[j])) {
			i++;
			j++;
		} else if (star != STR_NONE) {
			i = star + 1;
			j = ++mark;
		} else {
			return false;
		}
	}
	while (i < p.n && p.p[i] == '*')
		i++;
	return i == p.n;
}

bool rule_is_for(const struct promotion_rule *r, const struct artifact *of)
{
	return glob(r->kind, of->kind) && glob(r->name, of->name);
}

bool rule_fits(const struct promotion_rule *r, const struct artifact *of, struct str alias)
{
	return rule_is_for(r, of) && glob(r->alias, alias);
}

/* ---- what is there ---- */

struct look {
	struct tx *tx;
	const struct principal *who;
	const struct artifact *of;
	struct str alias;
	int64_t version;
	struct arena *a;
	struct gate *g;
	struct errtext *et;
	size_t cap;
};

static enum err add(struct look *l, struct requirement r)
{
	struct gate *g = l->g;
	if (!arena_room(l->a, g->list, g->n, l->cap))
		return err_set(l->et, ERR_NOMEM, "no memory");
	if (!r.why.p)
		return err_set(l->et, ERR_NOMEM, "no memory");
	g->open &= r.met;
	g->list[g->n++] = r;
	return OK;
}

static int64_t expiry(struct str detail)
{
	yyjson_doc *doc;
	int64_t ms = 0;
	if (json_parse(detail, &doc, NULL))
		return 0;
	ms = json_i64(yyjson_doc_get_root(doc), "expires_ms", 0);
	yyjson_doc_free(doc);
	return ms;
}

static enum err want_check(struct look *l, struct str name)
{
	struct requirement r = {.check = name};
	bool found = false;
	for (size_t i = 0; i < l->g->n; i++)
		if (str_eq(l->g->list[i].check, name))
			return OK; /* another rule wants it too */
	enum err e = fact_now(
		l->tx, l->of->id, l->version, S("check"), name, l->a, &r.fact, &found, l->et);
	if (e)
		return e;
	int64_t ends = found ? expiry(r.fact.detail) : 0;
	char when[CLOCK_TEXT];
	clock_rfc3339(ends, when);
	if (!found) {
		r.fact = (struct fact){0};
		r.why = arena_fmt(l->a, "the check '%.*s' has no result for version %lld",
			STR_FMT(name), (long long)l->version);
	} else if (!str_eq_c(r.fact.value, "pass")) {
		r.why = arena_fmt(l->a, "the check '%.*s' failed", STR_FMT(name));
	} else if (ends && ends <= clock_unix_ms()) {
		r.why = arena_fmt(l->a, "the check '%.*s' passed, but that expired at %s",
			STR_FMT(name), when);
	} else {
		r.met = true;
		r.why = arena_fmt(l->a, "the check '%.*s' passed", STR_FMT(name));
	}
	return add(l, r);
}

/* Approvals are facts called ALIAS:APPROVER. */
static enum err count_approvals(struct look *l, int64_t *n)
{
	struct fact *list;
	size_t k = 0;
	*n = 0;
	enum err e = facts_now(l->tx, l->of->id, l->version, S("approval"), l->a, &list, &k, l->et);
	for (size_t i = 0; i < k && !e; i++) {
		size_t colon = str_chr(list[i].name, ':');
		struct str by = str_sub(list[i].name, colon + 1, list[i].name.n);
		bool this_alias = str_eq(str_sub(list[i].name, 0, colon), l->alias);
		*n += this_alias && !str_eq(by, l->who->name);
	}
	return e;
}

static enum err want_approvals(struct look *l, int64_t want)
{
	struct requirement r = {.want = want};
	enum err e = count_approvals(l, &r.have);
	if (e)
		return e;
	r.met = r.have >= want;
	r.why = arena_fmt(l->a,
		"%lld of %lld approval%s of version %lld for @%.*s by others than %.*s",
		(long long)MIN(r.have, want), (long long)want, want == 1 ? "" : "s",
		(long long)l->version, STR_FMT(l->alias),
		STR_FMT(l->who->name.n ? l->who->name : S("local")));
	return add(l, r);
}

enum err gate_look(struct tx *tx, const struct principal *who, const struct artifact *of,
	struct str alias, int64_t version, struct arena *a, struct gate *out, struct errtext *et)
{
	struct promotion_rule *rules;
	size_t n = 0;
	int64_t approvals = 0;
	struct gate g = {.open = true, .detail = S("")};
	struct look l = {tx, who, of, alias, version, a, &g, et, 0};
	enum err e = rule_list(tx, who->project, a, &rules, &n, et);
	for (size_t i = 0; i < n && !e; i++) {
		if (!rule_fits(&rules[i], of, alias))
			continue;
		approvals = MAX(approvals, rules[i].approvals);
		for (size_t k = 0; k < rules[i].n_checks && !e; k++)
			e = want_check(&l, rules[i].checks[k]);
	}
	if (!e && approvals)
		e = want_approvals(&l, approvals);
	if (!e)
		*out = g;
	return e;
}

/* ---- passing ---- */

static void missing_text(const struct gate *g, struct buf *out)
{
	for (size_t i = 0; i < g->n; i++)
		if (!g->list[i].met)
			buf_addf(out, "%s%s%.*s", out->n ? "; " : "",
				g->list[i].check.n ? "" : "there are ", STR_FMT(g->list[i].why));
}

static struct str missing_json(const struct gate *g, struct arena *a)
{
	struct buf out = {0};
	struct jw w = {.out = &out};
	jw_obj(&w);
	jw_kbool(&w, "break_glass", true);
	jw_key(&w, "missing");
	jw_arr(&w);
	for (size_t i = 0; i < g->n; i++)
		if (!g->list[i].met)
			jw_str(&w, g->list[i].why);
	jw_end(&w);
	jw_end(&w);
	struct str json = arena_str(a, buf_str(&out));
	buf_free(&out);
	return json;
}

static enum err may_break(const struct principal *who, const struct artifact *of,
	const struct alias_move *m, struct errtext *et)
{
	struct http_request as = {.who = who};
	if (!str_trim(m->reason).n)
		return err_set(et, ERR_INVALID, "breaking the glass needs a reason");
	return access_rule(&as, PERM_ARTIFACT_BREAK,
		&(struct rule_subject){.kind = of->kind, .name = of->name, .alias = m->alias}, et);
}

enum err gate_pass(struct tx *tx, const struct principal *who, const struct artifact *of,
	const struct alias_move *m, struct arena *a, struct gate *out, struct errtext *et)
{
	struct gate g = {0};
	enum err e = gate_look(tx, who, of, m->alias, m->version, a, &g, et);
	if (!e && !g.open && m->break_glass) {
		e = may_break(who, of, m, et);
		g.broken = !e;
		if (!e)
			g.detail = missing_json(&g, a);
		if (!e && !g.detail.p)
			e = err_set(et, ERR_NOMEM, "no memory");
	} else if (!e && !g.open) {
		struct buf missing = {0};
		missing_text(&g, &missing);
		e = err_set(et, ERR_FORBIDDEN, "%.*s/%.*s@%.*s cannot point at version %lld: %s",
			STR_FMT(of->kind), STR_FMT(of->name), STR_FMT(m->alias),
			(long long)m->version, buf_c(&missing));
		buf_free(&missing);
	}
	if (!e)
		*out = g;
	return e;
}

enum err gate_audit(struct tx *tx, const struct principal *who, const struct artifact *of,
	const struct alias_move *m, const struct gate *g, struct errtext *et)
{
	struct buf subject = {0}, detail = {0};
	struct jw w = {.out = &detail};
	buf_addf(&subject, "%.*s/%.*s@%.*s", STR_FMT(of->kind), STR_FMT(of->name),
		STR_FMT(m->alias));
	jw_obj(&w);
	jw_ki64(&w, "version", m->version);
	jw_kstr(&w, "reason", m->reason);
	jw_key(&w, "missing");
	jw_arr(&w);
	for (size_t i = 0; i < g->n; i++)
		if (!g->list[i].met)
			jw_str(&w, g->list[i].why);
	jw_end(&w);
	jw_end(&w);
	enum err e =
		audit_add(tx, who, "artifact.break_glass", buf_str(&subject), buf_str(&detail), et);
	buf_free(&subject);
	buf_free(&detail);
	return e;
}

/* ---- recording ---- */

enum err check_record(struct tx *tx, const struct principal *who, struct id artifact,
	int64_t version, const struct check_result *r, struct errtext *et)
{
	char hex[ID_HEX + 1];
	struct buf detail = {0};
	struct jw w = {.out = &detail};
	if (!r->name.n || r->name.n > 200)
		return err_set(et, ERR_INVALID, "name: a check's name has 1 to 200 bytes");
	jw_obj(&w);
	if (!id_is_zero(r->run)) {
		id_hex(r->run, hex);
		jw_kc(&w, "run", hex);
	}
	if (r->expires_ms)
		jw_ki64(&w, "expires_ms", r->expires_ms);
	jw_end(&w);
	enum err e = fact_add(tx, who,
		&(struct fact){.artifact = artifact,
			.version = version,
			.what = S("check"),
			.name = r->name,
			.value = r->pass ? S("pass") : S("fail"),
			.reason = r->note,
			.detail = buf_str(&detail)},
		NULL, et);
	buf_free(&detail);
	return e;
}

enum err approval_set(struct tx *tx, const struct principal *who, struct id artifact,
	int64_t version, struct str alias, bool revoke, struct str note, struct errtext *et)
{
	struct buf name = {0};
	struct arena *a = arena_new(1 << 20);
	struct fact there;
	bool found = false;
	struct str by = who->name.n ? who->name : S("local");
	enum err e = a ? alias_check(alias, et) : err_set(et, ERR_NOMEM, "no memory");
	buf_addf(&name, "%.*s:%.*s", STR_FMT(alias), STR_FMT(by));
	if (!e)
		e = fact_now(tx, artifact, version, S("approval"), buf_str(&name), a, &there,
			&found, et);
	if (!e && revoke && !found)
		e = err_set(et, ERR_NOT_FOUND, "%.*s has not approved version %lld for @%.*s",
			STR_FMT(by), (long long)version, STR_FMT(alias));
	if (!e)
		e = fact_add(tx, who,
			&(struct fact){.artifact = artifact,
				.version = version,
				.what = S("approval"),
				.name = buf_str(&name),
				.value = revoke ? (struct str){0} : S("approved"),
				.reason = note},
			NULL, et);
	buf_free(&name);
	arena_free(a);
	return e;
}
