/* Routes of versions: list, make, show, delete, restore, copy, branch; and reading as of one. */
#include "collection/version_routes.h"
#include "access/access.h"
#include "collection/asof.h"
#include "base/clock.h"
#include "collection/item_json.h"
#include "collection/wire.h"

enum { LIST_DEFAULT = 20, LIST_MAX = 1000 };

static struct str name_of(const struct http_request *rq)
{
	return http_param(rq, "name");
}

/* ---- one version as JSON ---- */

static void write_tags(struct jw *w, int64_t version, const struct fact *aliases, size_t n)
{
	int64_t at;
	jw_key(w, "tags");
	jw_arr(w);
	for (size_t i = 0; i < n; i++)
		if (str_i64(aliases[i].value, &at) && at == version)
			jw_str(w, aliases[i].name);
	jw_end(w);
}

/* "faq:3" of each parent that is still known. */
static enum err write_parents(struct jw *w, struct tx *tx, struct str project,
	const struct artifact_version *v, struct arena *a, struct errtext *et)
{
	struct id ids[2];
	int64_t versions[2];
	size_t n = 0;
	enum err e = version_parents(v, ids, versions, &n, et);
	jw_key(w, "parents");
	jw_arr(w);
	for (size_t i = 0; i < n && !e; i++) {
		struct artifact of;
		e = artifact_get(tx, project, ids[i], a, &of, et);
		if (!e)
			jw_fmt(w, "%.*s:%lld", STR_FMT(of.name), (long long)versions[i]);
		e = e == ERR_NOT_FOUND ? OK : e;
	}
	jw_end(w);
	return e;
}

static enum err write_members(struct jw *w, struct tx *tx, struct str project,
	const struct artifact_version *v, struct arena *a, struct errtext *et)
{
	static const char *const numbers[] = {"seq", "items", "added", "removed", "changed"};
	struct fact *aliases = NULL;
	char t[CLOCK_TEXT];
	yyjson_doc *doc = NULL;
	size_t n = 0;
	enum err e = facts_now(tx, v->artifact, 0, S("alias"), a, &aliases, &n, et);
	e = e ? e : json_parse(v->metadata.n ? v->metadata : S("{}"), &doc, et);
	if (e)
		return e;
	yyjson_val *o = yyjson_doc_get_root(doc);
	jw_ki64(w, "version", v->version);
	jw_key(w, "artifact");
	jw_fmt(w, "%.*s/%.*s:%lld", STR_FMT(v->kind), STR_FMT(v->name), (long long)v->version);
	jw_kstr(w, "digest", v->digest);
	jw_kstr(w, "message", v->description);
	write_tags(w, v->version, aliases, n);
	jw_kstr(w, "by", v->creator);
	clock_rfc3339(v->created_ms, t);
	jw_kc(w, "created", t);
	jw_ki64(w, "bytes", v->bytes);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		jw_ki64(w, numbers[i], json_i64(o, numbers[i], 0));
	jw_key(w, "made_by");
	jw_str(w, json_str(o, "made_by").p ? json_str(o, "made_by") : S("push"));
	jw_key(w, "from");
	json_str(o, "from").p ? jw_str(w, json_str(o, "from")) : jw_null(w);
	e = write_parents(w, tx, project, v, a, et);
	yyjson_doc_free(doc);
	return e;
}

enum err version_write(struct jw *w, struct croft *c, struct str project,
	const struct artifact_version *v, struct arena *a, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = write_members(w, tx, project, v, a, et);
	db_rollback(tx);
	return e;
}

/* ---- the list ---- */

static enum err list_query(
	const struct http_request *rq, int64_t *limit, int64_t *before, struct errtext *et)
{
	struct str n = http_query(rq, "limit"), b = http_query(rq, "before");
	*limit = LIST_DEFAULT;
	*before = 0;
	if (n.p && (!str_i64(n, limit) || *limit < 1 || *limit > LIST_MAX))
		return err_set(et, ERR_INVALID, "limit must be a number from 1 to %d", LIST_MAX);
	if (b.p && (!str_i64(b, before) || *before < 1))
		return err_set(et, ERR_INVALID, "before must be the number of a version");
	return OK;
}

/* Where the live items stand: the members that say it, null when there are none. */
static enum err write_state(
	struct jw *w, struct tx *tx, struct http_request *rq, bool *live, struct errtext *et)
{
	struct vlive x;
	struct artifact of = {.name = S("")};
	enum err e = version_live(tx, project_of(rq), name_of(rq), rq->arena, &x, et);
	*live = !e;
	if (e == ERR_NOT_FOUND) {
		jw_key(w, "state");
		jw_null(w);
		return OK;
	}
	if (!e && x.head.version)
		e = artifact_get(tx, project_of(rq), x.head.artifact, rq->arena, &of, et);
	e = e == ERR_NOT_FOUND ? OK : e;
	if (e)
		return e;
	jw_key(w, "state");
	jw_obj(w);
	jw_ki64(w, "seq", x.row.seq);
	jw_ki64(w, "items", x.row.items);
	jw_key(w, "head");
	if (x.head.version)
		jw_fmt(w, "%.*s:%lld", STR_FMT(of.name), (long long)x.head.version);
	else
		jw_null(w);
	jw_key(w, "head_seq");
	x.headed ? jw_i64(w, x.head.seq) : jw_null(w);
	jw_kbool(w, "changed", !vlive_clean(&x));
	jw_kbool(w, "lazy", vlive_lazy(&x));
	jw_key(w, "origin");
	x.head.origin.n ? jw_str(w, x.head.origin) : jw_null(w);
	jw_end(w);
	return OK;
}

static enum err write_list(struct jw *w, struct tx *tx, struct http_request *rq, int64_t limit,
	int64_t before, bool live, struct errtext *et)
{
	struct artifact of;
	struct artifact_version *list = NULL;
	size_t n = 0;
	enum err e = artifact_find(tx, project_of(rq), S(VERSION_KIND),
		version_artifact(name_of(rq), rq->arena), rq->arena, &of, et);
	if (e && (e != ERR_NOT_FOUND || !live))
		return e == ERR_NOT_FOUND ? err_set(et, e, "there is no collection %.*s",
						    STR_FMT(str_sub(name_of(rq), 0, 255)))
					  : e;
	e = e ? OK : version_list(tx, &of, before, limit + 1, false, rq->arena, &list, &n, et);
	jw_key(w, "versions");
	jw_arr(w);
	for (size_t i = 0; i < MIN(n, (size_t)limit) && !e; i++) {
		if (artifact_readable(tx, rq, of.id, of.kind, of.name, list[i].version, NULL))
			continue;
		jw_obj(w);
		e = write_members(w, tx, project_of(rq), &list[i], rq->arena, et);
		jw_end(w);
	}
	jw_end(w);
	jw_key(w, "next");
	n > (size_t)limit ? jw_i64(w, list[limit - 1].version) : jw_null(w);
	return e;
}

void get_versions(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct buf b = {0};
	struct jw w = {.out = &b};
	struct tx *tx = NULL;
	int64_t limit, before;
	bool live = false;
	enum err e = list_query(rq, &limit, &before, &et);
	e = e ? e : db_begin(croft_db(c), TX_READ, &tx, &et);
	jw_obj(&w);
	e = e ? e : write_state(&w, tx, rq, &live, &et);
	e = e ? e : write_list(&w, tx, rq, limit, before, live, &et);
	jw_end(&w);
	db_rollback(tx);
	wire_reply(rs, e, &et, &w);
}

/* ---- one ---- */

void get_version(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct artifact_version v;
	struct buf b = {0};
	struct jw w = {.out = &b};
	enum err e = version_named(
		c, project_of(rq), name_of(rq), http_param(rq, "version"), rq->arena, &v, &et);
	jw_obj(&w);
	e = e ? e : version_write(&w, c, project_of(rq), &v, rq->arena, &et);
	jw_end(&w);
	wire_reply(rs, e, &et, &w);
}

void post_version(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct vcommitted made = {0};
	struct vcommit q = {.project = project_of(rq),
		.name = name_of(rq),
		.message = S(""),
		.tag = S(""),
		.who = rq->who,
		.cancel = rq->cancel};
	yyjson_val *o = NULL;
	struct buf b = {0};
	struct jw w = {.out = &b};
	enum err e = wire_body(rq, &o, &et);
	e = e ? e : json_want_str(o, "message", &q.message, &et);
	e = e ? e : json_want_str(o, "tag", &q.tag, &et);
	e = e ? e : json_want_bool(o, "compact", &q.compact, &et);
	e = e ? e : version_commit(c, &q, rq->arena, &made, &et);
	jw_obj(&w);
	jw_kbool(&w, "made", made.made);
	e = e ? e : version_write(&w, c, project_of(rq), &made.v, rq->arena, &et);
	jw_end(&w);
	wire_reply(rs, e, &et, &w);
}

struct deleting {
	struct http_request *rq;
	const struct artifact_version *v;
};

static enum err delete_in(struct tx *tx, void *ctx, struct errtext *et)
{
	struct deleting *d = ctx;
	struct artifact of;
	enum err e = artifact_get(tx, project_of(d->rq), d->v->artifact, d->rq->arena, &of, et);
	return e ? e : version_delete(tx, d->rq->who, &of, d->v->version, S(""), et);
}

void delete_version(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct artifact_version v;
	struct deleting d = {rq, &v};
	struct buf b = {0};
	struct jw w = {.out = &b};
	enum err e = version_named(
		c, project_of(rq), name_of(rq), http_param(rq, "version"), rq->arena, &v, &et);
	e = e ? e : db_write(croft_db(c), delete_in, &d, &et);
	if (!e)
		asof_forget(c, v.digest.p);
	jw_obj(&w);
	jw_kbool(&w, "deleted", true);
	jw_end(&w);
	wire_reply(rs, e, &et, &w);
}

/* ---- restore ---- */

void post_restore(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct vrestored done = {0};
	struct vrestore q = {.project = project_of(rq),
		.name = name_of(rq),
		.message = S(""),
		.who = rq->who,
		.cancel = rq->cancel};
	yyjson_val *o = NULL;
	struct buf b = {0};
	struct jw w = {.out = &b};
	enum err e = wire_body(rq, &o, &et);
	e = e ? e : version_ref(o, "version", rq->arena, &q.ref, &et);
	if (!e && !q.ref.n)
		e = err_set(&et, ERR_INVALID, "say which version: a number, a tag or a time");
	e = e ? e : json_want_str(o, "message", &q.message, &et);
	e = e ? e : json_want_bool(o, "discard", &q.discard, &et);
	e = e ? e : version_restore(c, &q, rq->arena, &done, &et);
	jw_obj(&w);
	jw_kbool(&w, "made", done.made);
	jw_kbool(&w, "filling", done.filling);
	jw_key(&w, "kept");
	done.kept ? jw_i64(&w, done.kept) : jw_null(&w);
	e = e ? e : version_write(&w, c, project_of(rq), &done.v, rq->arena, &et);
	jw_end(&w);
	wire_reply(rs, e, &et, &w);
}

/* ---- copies ---- */

static void copy(struct croft *c, struct http_request *rq, struct http_response *rs, bool branch)
{
	struct errtext et = {0};
	struct vcopy q = {.project = project_of(rq),
		.name = name_of(rq),
		.ref = S(""),
		.branch = branch,
		.who = rq->who,
		.cancel = rq->cancel};
	struct vlive x = {0};
	yyjson_val *o = NULL;
	struct buf b = {0};
	struct jw w = {.out = &b};
	enum err e = wire_body(rq, &o, &et);
	e = e ? e : json_want_str(o, "to", &q.to, &et);
	e = e ? e : version_ref(o, "from", rq->arena, &q.ref, &et);
	if (!e && !q.to.n)
		e = err_set(&et, ERR_INVALID, "to: say what the new collection is called");
	e = e ? e : version_copy(c, &q, rq->arena, &x, &et);
	jw_obj(&w);
	jw_kstr(&w, "name", q.to);
	jw_ki64(&w, "items", x.row.items);
	jw_kstr(&w, "origin", x.head.origin);
	jw_end(&w);
	wire_reply(rs, e, &et, &w);
}

void post_copy(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	copy(c, rq, rs, false);
}

void post_branch(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	copy(c, rq, rs, true);
}

/* ---- reading as of a version ---- */

enum err version_ref(
	yyjson_val *o, const char *key, struct arena *a, struct str *out, struct errtext *et)
{
	yyjson_val *v = item_json_get(o, key);
	if (yyjson_is_uint(v))
		*out = arena_fmt(a, "%llu", (unsigned long long)yyjson_get_uint(v));
	else if (yyjson_is_str(v))
		*out = json_val_str(v);
	else if (v)
		return err_set(
			et, ERR_INVALID, "%s must be a version: a number, a tag or a time", key);
	return OK;
}

/* What is read: a version, or of a copy that has no items yet the one that it begins with. */
struct view {
	struct version *v;
	struct artifact_version about; /* .version 0: of a copy without a history */
	struct str as_of;
};

static enum err view_open(struct croft *c, struct http_request *rq, struct str ref, struct view *x,
	struct errtext *et)
{
	struct vlive live;
	enum err e;
	*x = (struct view){.as_of = ref};
	if (ref.n) {
		e = version_named(c, project_of(rq), name_of(rq), ref, rq->arena, &x->about, et);
		return e ? e : version_load(c, x->about.digest.p, &x->v, rq->cancel, et);
	}
	e = version_live_now(c, project_of(rq), name_of(rq), rq->arena, &live, et);
	if (!e && live.head.version)
		e = version_of_head(c, &live.head, rq->arena, &x->about, et);
	return e ? e : version_load(c, live.head.digest.p, &x->v, rq->cancel, et);
}

/* "seq", "version", "artifact": what was read. */
void version_members(struct jw *w, const struct artifact_version *v)
{
	yyjson_doc *doc = NULL;
	if (v->metadata.n && json_parse(v->metadata, &doc, NULL))
		doc = NULL;
	jw_ki64(w, "seq", json_i64(yyjson_doc_get_root(doc), "seq", 0));
	yyjson_doc_free(doc);
	jw_key(w, "version");
	v->version ? jw_i64(w, v->version) : jw_null(w);
	jw_key(w, "artifact");
	if (v->version)
		jw_fmt(w, "%.*s/%.*s:%lld", STR_FMT(v->kind), STR_FMT(v->name),
			(long long)v->version);
	else
		jw_null(w);
}

struct live_mark live_mark(const struct collection *k)
{
	struct live_mark m = {0};
	if (k) {
		m.turn = atomic_load(&k->turn);
		m.seq = atomic_load(&k->shown);
	}
	return m;
}

void live_members(struct jw *w, const struct collection *k, struct live_mark before)
{
	int64_t head = atomic_load(&k->head);
	bool clean = head && before.seq == atomic_load(&k->head_seq) && !(before.turn & 1) &&
		     before.turn == atomic_load(&k->turn);
	jw_ki64(w, "seq", before.seq);
	jw_key(w, "version");
	clean ? jw_i64(w, head) : jw_null(w);
	jw_key(w, "artifact");
	if (clean) {
		struct arena *a = arena_new(0);
		struct str name = a ? version_artifact(k->name, a) : S("");
		jw_fmt(w, VERSION_KIND "/%.*s:%lld", STR_FMT(name), (long long)head);
		arena_free(a);
	} else {
		jw_null(w);
	}
}

void items_of_version(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct view x = {0};
	struct collection_item *items = NULL;
	struct item_id from;
	struct str after = http_query(rq, "from"), n = http_query(rq, "limit");
	int64_t limit = LIST_DEFAULT;
	size_t got = 0;
	struct buf b = {0};
	struct jw w = {.out = &b};
	yyjson_val yes = {.tag = YYJSON_TYPE_BOOL | YYJSON_SUBTYPE_TRUE};
	bool vectors = str_eq_c(http_query(rq, "vectors"), "true");
	enum err e =
		n.p && (!str_i64(n, &limit) || limit < 1 || limit > LIST_MAX)
			? err_set(&et, ERR_INVALID, "limit must be a number from 1 to %d", LIST_MAX)
			: OK;
	e = e || !after.p ? e : item_id_parse(after, &from, &et);
	e = e ? e : view_open(c, rq, http_query(rq, "as_of"), &x, &et);
	e = e ? e
	      : version_scroll(x.v, NULL, after.p ? &from : NULL, (size_t)limit + 1,
			(struct item_want){true, vectors}, rq->arena, &items, &got, rq->cancel,
			&et);
	jw_obj(&w);
	jw_key(&w, "items");
	jw_arr(&w);
	for (size_t i = 0; i < MIN(got, (size_t)limit); i++) {
		jw_obj(&w);
		item_json_write(&w, &items[i], &yes, vectors ? &yes : NULL);
		jw_end(&w);
	}
	jw_end(&w);
	jw_key(&w, "next");
	if (!e && got > (size_t)limit)
		item_json_write_id(&w, &items[limit].id);
	else
		jw_null(&w);
	version_members(&w, &x.about);
	jw_end(&w);
	version_put(c, x.v);
	wire_reply(rs, e, &et, &w);
}

/* ---- counting ---- */

static enum err count_live(struct collection *k, struct http_request *rq, yyjson_val *filter,
	size_t *n, struct errtext *et)
{
	const struct cond *cond = NULL;
	enum err e = collection_filter(k, filter, rq->arena, &cond, et);
	if (!e && !cond)
		*n = collection_count(k);
	return e || !cond ? e : collection_count_matching(k, cond, n, et);
}

static enum err count_version(struct croft *c, struct http_request *rq, struct str ref,
	yyjson_val *filter, struct jw *w, struct errtext *et)
{
	const struct cond *cond = NULL;
	struct view x = {0};
	size_t n = 0;
	enum err e = view_open(c, rq, ref, &x, et);
	e = e ? e : version_filter(x.v, filter, rq->arena, &cond, et);
	e = e ? e : version_count_items(x.v, cond, &n, rq->cancel, et);
	jw_ki64(w, "count", (int64_t)n);
	version_members(w, &x.about);
	version_put(c, x.v);
	return e;
}

void count_items(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct collection *k = NULL;
	struct str ref = S("");
	yyjson_val *o = NULL;
	size_t n = 0;
	struct buf b = {0};
	struct jw w = {.out = &b};
	enum err e = wire_body(rq, &o, &et);
	yyjson_val *filter = e ? NULL : item_json_get(o, "filter");
	e = e ? e : version_ref(o, "as_of", rq->arena, &ref, &et);
	if (!e && !ref.n)
		e = collection_open_filled(c, project_of(rq), name_of(rq), &k, rq->cancel, &et);
	jw_obj(&w);
	if (!e && !k) {
		e = count_version(c, rq, ref, filter, &w, &et);
	} else if (!e) {
		struct live_mark before = live_mark(k);
		e = count_live(k, rq, filter, &n, &et);
		jw_ki64(&w, "count", (int64_t)n);
		live_members(&w, k, before);
	}
	jw_end(&w);
	collection_close(k);
	wire_reply(rs, e, &et, &w);
}
