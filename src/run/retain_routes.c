/* /api/v1/retention: policies, what they would do, doing it now; holds of runs. */
#include "run/retain_int.h"
#include "access/access.h"
#include "base/clock.h"
#include "base/json.h"

#include <stdio.h>

enum { PLAN_MAX = 10000, PLAN_LIST = 1000, HOLDS_MAX = 500 };

static void finish(struct http_response *rs, enum err e, struct errtext *et, struct jw *w)
{
	if (e)
		http_reply_error(rs, e, et);
	else
		http_reply_json(rs, 200, w);
	buf_free(w->out);
}

/* ---- policies ---- */

static void write_policy(struct jw *w, const char *key, const struct retain_policy *p)
{
	jw_key(w, key);
	jw_obj(w);
	for (int i = 0; i < RETAIN_FIELDS; i++) {
		jw_key(w, retain_fields[i]);
		p->v[i] < 0 ? jw_null(w) : jw_i64(w, p->v[i]);
	}
	jw_end(w);
}

/* The row, and what holds with it. */
static enum err write_row(struct tx *tx, struct str project, int64_t experiment,
	const struct retain_policy *above, struct jw *w, struct errtext *et)
{
	struct retain_policy own, all = *above;
	enum err e = retain_store_row(tx, project, experiment, &own, et);
	if (!e)
		e = retain_store_apply(tx, project, experiment, &all, et);
	write_policy(w, "policy", &own);
	write_policy(w, "effective", &all);
	return e;
}

static enum err write_experiments(struct tx *tx, struct str project, struct arena *a,
	const struct retain_policy *above, struct jw *w, struct errtext *et)
{
	int64_t *list = NULL;
	size_t n = 0;
	enum err e = retain_store_rows(tx, project, a, &list, &n, et);
	jw_key(w, "experiments");
	jw_arr(w);
	for (size_t i = 0; !e && i < n; i++) {
		jw_obj(w);
		jw_key(w, "experiment");
		jw_fmt(w, "%lld", (long long)list[i]);
		e = write_row(tx, project, list[i], above, w, et);
		jw_end(w);
	}
	jw_end(w);
	return e;
}

static void get_retention(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct tx *tx;
	struct buf b = {0};
	struct jw w = {.out = &b};
	struct str project = project_of(rq);
	struct retain_policy p;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, &et);
	retain_settings(c, &p);
	jw_obj(&w);
	write_policy(&w, "settings", &p);
	if (!e) {
		jw_key(&w, "project");
		jw_obj(&w);
		e = write_row(tx, project, -1, &p, &w, &et);
		jw_end(&w);
		if (!e)
			e = retain_store_apply(tx, project, -1, &p, &et);
		if (!e)
			e = write_experiments(tx, project, rq->arena, &p, &w, &et);
		db_rollback(tx);
	}
	jw_end(&w);
	finish(rs, e, &et, &w);
}

struct setting_of {
	const struct principal *who;
	struct str project;
	int64_t experiment;
	struct retain_policy change; /* -2: as it is; -1: inherited */
	struct retain_policy now;
};

static enum err audit_policy(struct tx *tx, const struct setting_of *s, struct errtext *et)
{
	char subject[64] = "retention";
	struct buf b = {0};
	struct jw w = {.out = &b};
	if (s->experiment >= 0)
		snprintf(subject, sizeof subject, "retention of experiment %lld",
			(long long)s->experiment);
	jw_obj(&w);
	write_policy(&w, "policy", &s->now);
	jw_end(&w);
	enum err e = audit_add(tx, s->who, "retention.set", str_c(subject), buf_str(&b), et);
	buf_free(&b);
	return e;
}

static enum err set_in(struct tx *tx, void *ctx, struct errtext *et)
{
	struct setting_of *s = ctx;
	struct experiment x;
	struct arena *a = arena_new(0);
	enum err e = a ? retain_store_row(tx, s->project, s->experiment, &s->now, et)
		       : err_set(et, ERR_NOMEM, "no memory for a policy");
	if (!e && s->experiment >= 0)
		e = experiment_store_get(tx, s->project, s->experiment, a, &x, et);
	for (int i = 0; i < RETAIN_FIELDS; i++)
		if (s->change.v[i] > -2)
			s->now.v[i] = s->change.v[i];
	if (!e)
		e = retain_store_set(
			tx, s->project, s->experiment, &s->now, s->who->name, clock_unix_ms(), et);
	arena_free(a);
	return e ? e : audit_policy(tx, s, et);
}

/* null: inherited; absent: as it is. */
static enum err read_change(yyjson_val *body, struct retain_policy *out, struct errtext *et)
{
	enum err e = OK;
	for (int i = 0; !e && i < RETAIN_FIELDS; i++) {
		yyjson_val *v = yyjson_obj_get(body, retain_fields[i]);
		bool level = i == RETAIN_LEVEL;
		out->v[i] = v && yyjson_is_null(v) ? -1 : -2;
		if (v && !yyjson_is_null(v))
			e = json_want_i64(
				body, retain_fields[i], level, level ? 3 : 36500, &out->v[i], et);
	}
	return e;
}

static void put_retention(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	yyjson_doc *doc = NULL;
	struct setting_of s = {.who = rq->who, .project = project_of(rq), .experiment = -1};
	struct buf b = {0};
	struct jw w = {.out = &b};
	enum err e = json_parse(rq->body, &doc, &et);
	yyjson_val *body = yyjson_doc_get_root(doc), *x = yyjson_obj_get(body, "experiment");
	if (!e && x && (!str_i64(json_val_str(x), &s.experiment) || s.experiment < 0))
		e = err_set(&et, ERR_INVALID, "experiment: its number as a text is expected");
	if (!e)
		e = read_change(body, &s.change, &et);
	yyjson_doc_free(doc);
	if (!e)
		e = db_write(croft_db(c), set_in, &s, &et);
	jw_obj(&w);
	write_policy(&w, "policy", &s.now);
	jw_end(&w);
	finish(rs, e, &et, &w);
}

/* ---- passes ---- */

static const char *const actions[RETAIN_LEVEL] = {"delete", "purge", "roll_up"};

struct listing {
	struct jw *w;
	size_t n;
};

static void write_item(void *ctx, const struct retain_item *it)
{
	struct listing *l = ctx;
	char hex[ID_HEX + 1], at[CLOCK_TEXT];
	if (l->n++ >= PLAN_LIST)
		return;
	id_hex(it->run->id, hex);
	clock_rfc3339(it->action == RETAIN_PURGE ? it->run->at : it->run->at / 1000000, at);
	jw_obj(l->w);
	jw_kc(l->w, "id", hex);
	jw_kc(l->w, "name", it->run->name);
	jw_key(l->w, "experiment");
	jw_fmt(l->w, "%lld", (long long)it->experiment);
	jw_kc(l->w, "action", actions[it->action]);
	jw_kc(l->w, "since", at);
	jw_kc(l->w, "policy", it->policy);
	jw_key(l->w, "kept");
	it->kept ? jw_c(l->w, it->kept) : jw_null(l->w);
	jw_ki64(l->w, "points", (int64_t)it->rolled.points);
	jw_ki64(l->w, "buckets", (int64_t)it->rolled.buckets);
	jw_end(l->w);
}

static void write_counts(struct jw *w, const struct retain_counts *n)
{
	jw_key(w, "counts");
	jw_obj(w);
	for (int i = 0; i < RETAIN_LEVEL; i++)
		jw_ki64(w, actions[i], (int64_t)n->runs[i]);
	jw_ki64(w, "experiments", (int64_t)n->experiments);
	jw_ki64(w, "kept", (int64_t)n->kept);
	jw_ki64(w, "points", (int64_t)n->points);
	jw_ki64(w, "buckets", (int64_t)n->buckets);
	jw_end(w);
}

static void get_plan(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct buf b = {0};
	struct jw w = {.out = &b};
	struct listing l = {.w = &w};
	struct str at = http_query(rq, "at");
	char text[CLOCK_TEXT];
	struct retain_pass p = {.c = c,
		.project = project_of(rq),
		.now_ms = clock_unix_ms(),
		.dry = true,
		.max = PLAN_MAX,
		.seen = write_item,
		.ctx = &l};
	enum err e = OK;
	if (at.n && !clock_parse_rfc3339(at, &p.now_ms))
		e = err_set(&et, ERR_INVALID, "at: a time such as 2027-01-31 is expected");
	clock_rfc3339(p.now_ms, text);
	jw_obj(&w);
	jw_kc(&w, "at", text);
	jw_key(&w, "runs");
	jw_arr(&w);
	if (!e)
		e = retain_run_pass(&p, &et);
	jw_end(&w);
	write_counts(&w, &p.counts);
	jw_kbool(&w, "more", p.more || l.n > PLAN_LIST);
	jw_end(&w);
	finish(rs, e, &et, &w);
}

static bool gone(void *ctx)
{
	const struct http_request *rq = ctx;
	return cancelled(rq->cancel);
}

static void post_run(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct buf b = {0};
	struct jw w = {.out = &b};
	struct retain_pass p = {.c = c,
		.who = rq->who,
		.project = project_of(rq),
		.now_ms = clock_unix_ms(),
		.stop = gone,
		.ctx = rq};
	enum err e = retain_run_pass(&p, &et);
	jw_obj(&w);
	write_counts(&w, &p.counts);
	jw_end(&w);
	finish(rs, e, &et, &w);
}

/* ---- holds ---- */

static enum err run_of(const struct http_request *rq, struct id *id, struct errtext *et)
{
	return id_parse(http_param(rq, "id"), id)
		       ? OK
		       : err_set(et, ERR_INVALID, "the id of a run has 32 hex digits");
}

static void put_hold(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct id id;
	yyjson_doc *doc = NULL;
	struct str reason = {0};
	struct buf b = {0};
	struct jw w = {.out = &b};
	enum err e = run_of(rq, &id, &et);
	if (!e)
		e = json_parse(rq->body, &doc, &et);
	if (!e)
		e = json_want_str(yyjson_doc_get_root(doc), "reason", &reason, &et);
	if (!e)
		e = retain_hold(c, rq->who, project_of(rq), id, reason, &et);
	yyjson_doc_free(doc);
	jw_obj(&w);
	jw_end(&w);
	finish(rs, e, &et, &w);
}

static void delete_hold(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct id id;
	struct buf b = {0};
	struct jw w = {.out = &b};
	enum err e = run_of(rq, &id, &et);
	if (!e)
		e = retain_release(c, rq->who, project_of(rq), id, &et);
	jw_obj(&w);
	jw_end(&w);
	finish(rs, e, &et, &w);
}

static void get_holds(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct buf b = {0};
	struct jw w = {.out = &b};
	struct run_hold *v = NULL;
	size_t n = 0;
	int64_t before = INT64_MAX;
	char hex[ID_HEX + 1], at[CLOCK_TEXT];
	struct str given = http_query(rq, "before");
	enum err e = OK;
	if (given.n && !clock_parse_rfc3339(given, &before))
		e = err_set(&et, ERR_INVALID, "before: a time is expected");
	if (!e)
		e = retain_holds(c, project_of(rq), before, HOLDS_MAX, rq->arena, &v, &n, &et);
	jw_obj(&w);
	jw_key(&w, "holds");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++) {
		id_hex(v[i].run, hex);
		clock_rfc3339(v[i].at_ms, at);
		jw_obj(&w);
		jw_kc(&w, "run", hex);
		jw_kstr(&w, "name", v[i].name);
		jw_kstr(&w, "reason", v[i].reason);
		jw_kstr(&w, "who", v[i].who);
		jw_kc(&w, "since", at);
		jw_end(&w);
	}
	jw_end(&w);
	jw_end(&w);
	finish(rs, e, &et, &w);
}

/* ---- rows ---- */

#define CHANGE                                                \
	"delete_days?: int | null, purge_days?: int | null, " \
	"rollup_days?: int | null, rollup_level?: int | null"
#define COUNTS                                                                           \
	"counts: { delete: int, purge: int, roll_up: int, experiments: int, kept: int, " \
	"points: int, buckets: int }"

const struct shape retain_shapes[2] = {
	{"RetentionPolicy", "{ delete_days: int | null, purge_days: int | null, "
			    "rollup_days: int | null, rollup_level: int | null }"},
	{"RetentionItem",
		"{ id: id, name, experiment, action: \"delete\" | \"purge\" | \"roll_up\", "
		"since, policy, kept: string | null, points: int, buckets: int }"},
};

const struct route retain_routes[7] = {
	{HTTP_GET, "/api/v1/retention", get_retention, PERM_RUN_READ,
		"How long runs of experiments are kept", NULL, NULL,
		"{ settings: RetentionPolicy, "
		"project: { policy: RetentionPolicy, effective: RetentionPolicy }, "
		"experiments: { experiment, policy: RetentionPolicy, effective: RetentionPolicy "
		"}[] }",
		0},
	{HTTP_PUT, "/api/v1/retention", put_retention, PERM_RUN_DELETE,
		"Set how long runs are kept, in the project or in one experiment; null inherits",
		NULL, "{ experiment?: string, " CHANGE " }", "{ policy: RetentionPolicy }", 0},
	{HTTP_GET, "/api/v1/retention/plan", get_plan, PERM_RUN_READ,
		"What the policies would do now, or at a time; nothing is changed",
		"{ at?: string }", NULL, "{ at, runs: RetentionItem[], " COUNTS ", more: boolean }",
		0},
	{HTTP_POST, "/api/v1/retention/run", post_run, PERM_RUN_DELETE,
		"Carry the policies out now", NULL, NULL, "{ " COUNTS " }", 0},
	{HTTP_GET, "/api/v1/retention/holds", get_holds, PERM_RUN_READ,
		"Runs on hold, newest first", "{ before?: string }", NULL,
		"{ holds: { run: id, name, reason, who, since }[] }", 0},
	{HTTP_PUT, "/api/v1/runs/{id}/hold", put_hold, PERM_RUN_DELETE,
		"Put a run on hold: nothing removes it", NULL, "{ reason?: string }", "object", 0},
	{HTTP_DELETE, "/api/v1/runs/{id}/hold", delete_hold, PERM_RUN_DELETE,
		"Release a run from hold", NULL, NULL, "object", 0},
};
