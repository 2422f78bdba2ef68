/* Routes that compare versions and bring them together: diff, merge. */
#include "collection/version_routes.h"
#include "base/clock.h"
#include "collection/item_json.h"
#include "collection/wire.h"

#include <math.h>
#include <stdlib.h>

enum { LIST_DEFAULT = 20, LIST_MAX = 1000, RESOLVE_MAX = 10000 };

static struct str name_of(const struct http_request *rq)
{
	return http_param(rq, "name");
}

/* ---- what is compared ---- */

struct end { /* of a comparison */
	struct version *v;
	struct str label; /* "faq:3", "now" */
};

static enum err end_open(struct croft *c, struct http_request *rq, struct str ref, struct end *out,
	struct errtext *et)
{
	struct artifact_version v;
	struct vlive live;
	struct tree_sum sum = {0};
	struct vcounts counts;
	enum err e;
	if (str_eq_c(ref, "now")) {
		e = version_build(c, project_of(rq), name_of(rq), false, rq->arena, &live, &sum,
			&counts, rq->cancel, et);
		out->label = S("now");
		return e ? e : version_load(c, sum.digest, &out->v, rq->cancel, et);
	}
	e = version_named(c, project_of(rq), name_of(rq), ref, rq->arena, &v, et);
	if (!e)
		out->label =
			arena_fmt(rq->arena, "%.*s:%lld", STR_FMT(v.name), (long long)v.version);
	return e ? e : version_load(c, v.digest.p, &out->v, rq->cancel, et);
}

/* from absent: the version that the live items came from. */
static enum err begin_open(struct croft *c, struct http_request *rq, struct str ref,
	struct end *out, struct errtext *et)
{
	struct vlive live;
	struct artifact_version v = {.version = 0};
	if (ref.n)
		return end_open(c, rq, ref, out, et);
	enum err e = version_live_now(c, project_of(rq), name_of(rq), rq->arena, &live, et);
	if (!e && live.head.version)
		e = version_of_head(c, &live.head, rq->arena, &v, et);
	out->label =
		v.version ? arena_fmt(rq->arena, "%.*s:%lld", STR_FMT(v.name), (long long)v.version)
			  : S("nothing");
	return e ? e : version_load(c, live.head.digest.p, &out->v, rq->cancel, et);
}

/* ---- diff ---- */

struct asked {
	int64_t limit, skip;
	struct item_id after;
	bool by_distance, payloads, some[VCHANGES];
	bool paging; /* not the first page by id: nothing is summed up again */
};

static enum err asked_changes(struct str list, struct asked *q, struct errtext *et)
{
	struct str word;
	for (size_t i = 0; i < VCHANGES; i++)
		q->some[i] = !list.n;
	while (list.n && str_next(&list, ',', &word)) {
		size_t i = 0;
		while (i < VCHANGES && !str_eq_c(word, vchange_word((enum vchange)i)))
			i++;
		if (i == VCHANGES)
			return err_set(et, ERR_INVALID,
				"change must be of added, removed, moved, changed");
		q->some[i] = true;
	}
	return OK;
}

static enum err diff_query(const struct http_request *rq, struct asked *q, struct errtext *et)
{
	struct str n = http_query(rq, "limit"), skip = http_query(rq, "skip"),
		   after = http_query(rq, "after"), sort = http_query(rq, "sort");
	q->limit = LIST_DEFAULT;
	if (n.p && (!str_i64(n, &q->limit) || q->limit < 0 || q->limit > LIST_MAX))
		return err_set(et, ERR_INVALID, "limit must be a number from 0 to %d", LIST_MAX);
	if (skip.p && (!str_i64(skip, &q->skip) || q->skip < 0))
		return err_set(et, ERR_INVALID, "skip must be a number");
	if (sort.n && !str_eq_c(sort, "id") && !str_eq_c(sort, "distance"))
		return err_set(et, ERR_INVALID, "sort must be id or distance");
	q->by_distance = str_eq_c(sort, "distance");
	q->payloads = str_eq_c(http_query(rq, "payloads"), "true");
	q->paging = after.n && !q->by_distance;
	enum err e = after.n ? item_id_parse(after, &q->after, et) : OK;
	return e ? e : asked_changes(http_query(rq, "change"), q, et);
}

static struct str id_of(const struct vdelta *d)
{
	return d->after ? d->after->id : d->before->id;
}

static int farthest_first(const void *a, const void *b)
{
	const struct vdelta *x = *(const struct vdelta *const *)a,
			    *y = *(const struct vdelta *const *)b;
	float p = isnan(x->distance) ? -1 : x->distance, q = isnan(y->distance) ? -1 : y->distance;
	return p != q ? (p > q ? -1 : 1) : str_cmp(id_of(x), id_of(y));
}

struct page {
	struct vdelta **list;
	size_t n;
	bool more;
};

static enum err cut_page(const struct asked *q, struct vdiff *d, struct arena *a, struct page *out,
	struct errtext *et)
{
	struct vdelta **list = arena_array_of(a, d->n + 1, struct vdelta *);
	size_t n = 0;
	if (!list)
		return err_set(et, ERR_NOMEM, "no memory for a list of changes");
	for (size_t i = 0; i < d->n; i++)
		if (q->some[d->list[i].change] &&
			(!q->paging || str_cmp(id_of(&d->list[i]), item_id_bytes(&q->after)) > 0))
			list[n++] = &d->list[i];
	if (q->by_distance && n)
		qsort(list, n, sizeof *list, farthest_first);
	size_t skip = MIN((size_t)q->skip, n);
	out->list = list + skip;
	out->n = MIN(n - skip, (size_t)q->limit);
	out->more = n - skip > out->n;
	return OK;
}

static void write_summary(struct jw *w, const struct vdiff *d)
{
	jw_key(w, "summary");
	jw_obj(w);
	for (size_t i = 0; i < VCHANGES; i++)
		jw_ki64(w, vchange_word((enum vchange)i), (int64_t)d->counts[i]);
	jw_ki64(w, "same", (int64_t)d->same);
	jw_ki64(w, "moved_and_changed", (int64_t)d->payloads);
	jw_key(w, "distance");
	jw_obj(w);
	jw_ki64(w, "measured", (int64_t)d->measured);
	jw_kf64(w, "mean", d->mean);
	jw_kf64(w, "median", d->median);
	jw_kf64(w, "p95", d->p95);
	jw_kf64(w, "max", d->max);
	jw_key(w, "edges");
	jw_arr(w);
	for (size_t i = 0; i <= VDIFF_BINS; i++)
		jw_f32(w, vdiff_edges[i]);
	jw_end(w);
	jw_key(w, "items");
	jw_arr(w);
	for (size_t i = 0; i < VDIFF_BINS; i++)
		jw_i64(w, (int64_t)d->bins[i]);
	jw_end(w);
	jw_end(w);
	jw_end(w);
}

static enum err write_payload(struct jw *w, const char *key, struct vreader *r,
	const struct vitem *it, struct errtext *et)
{
	struct vrecord record;
	jw_key(w, key);
	if (!it) {
		jw_null(w);
		return OK;
	}
	yyjson_doc *doc = NULL;
	enum err e = vreader_get(r, it, &record, et);
	e = e ? e : json_parse(record.payload, &doc, et);
	if (!e)
		jw_val(w, yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	return e;
}

static void write_id(struct jw *w, struct str bytes)
{
	struct item_id id = {.n = (uint8_t)bytes.n};
	memcpy(id.b, bytes.p, bytes.n);
	item_json_write_id(w, &id);
}

static enum err write_delta(struct jw *w, const struct vdelta *d, struct vreader r[2],
	bool payloads, struct errtext *et)
{
	enum err e = OK;
	jw_obj(w);
	jw_key(w, "id");
	write_id(w, id_of(d));
	jw_kc(w, "change", vchange_word(d->change));
	jw_key(w, "distance");
	isnan(d->distance) ? jw_null(w) : jw_f32(w, d->distance);
	jw_kbool(w, "payload", d->payload);
	if (payloads) {
		e = write_payload(w, "before", &r[0], d->before, et);
		e = e ? e : write_payload(w, "after", &r[1], d->after, et);
	}
	jw_end(w);
	return e;
}

static enum err write_page(struct jw *w, const struct page *p, const struct asked *q,
	const struct end ends[2], struct errtext *et)
{
	struct vreader r[2] = {{.v = ends[0].v}, {.v = ends[1].v}};
	enum err e = OK;
	jw_key(w, "items");
	jw_arr(w);
	for (size_t i = 0; i < p->n && !e; i++)
		e = write_delta(w, p->list[i], r, q->payloads, et);
	jw_end(w);
	vreader_end(&r[0]);
	vreader_end(&r[1]);
	jw_key(w, "next");
	if (!p->more || !p->n)
		jw_null(w);
	else if (q->by_distance)
		jw_i64(w, q->skip + (int64_t)p->n);
	else
		write_id(w, id_of(p->list[p->n - 1]));
	return e;
}

static enum err write_diff(struct jw *w, struct http_request *rq, const struct asked *q,
	const struct end ends[2], struct errtext *et)
{
	struct vdiff d = {0};
	struct page p = {0};
	enum err e = version_diff(ends[0].v, ends[1].v, &d, et);
	if (!e && !q->paging)
		e = version_measure_all(ends[0].v, ends[1].v, &d, rq->cancel, et);
	e = e ? e : cut_page(q, &d, rq->arena, &p, et);
	if (!e && q->paging)
		e = version_measure(ends[0].v, ends[1].v, p.list, p.n, rq->cancel, et);
	static const char *const names[] = {"from", "to"};
	for (size_t i = 0; i < 2; i++) {
		jw_key(w, names[i]);
		jw_obj(w);
		jw_kstr(w, "version", ends[i].label);
		jw_ki64(w, "items", e ? 0 : (int64_t)ends[i].v->n);
		jw_end(w);
	}
	if (!e && !q->paging)
		write_summary(w, &d);
	e = e ? e : write_page(w, &p, q, ends, et);
	vdiff_free(&d);
	return e;
}

void get_diff(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct asked q = {0};
	struct end ends[2] = {{0}};
	struct str to = http_query(rq, "to");
	struct buf b = {0};
	struct jw w = {.out = &b};
	enum err e = diff_query(rq, &q, &et);
	e = e ? e : begin_open(c, rq, http_query(rq, "from"), &ends[0], &et);
	e = e ? e : end_open(c, rq, to.n ? to : S("now"), &ends[1], &et);
	jw_obj(&w);
	e = e ? e : write_diff(&w, rq, &q, ends, &et);
	jw_end(&w);
	version_put(c, ends[0].v);
	version_put(c, ends[1].v);
	wire_reply(rs, e, &et, &w);
}

/* ---- merge ---- */

static bool side_of(struct str word, enum vtake *out)
{
	*out = str_eq_c(word, "ours")     ? TAKE_OURS
	       : str_eq_c(word, "theirs") ? TAKE_THEIRS
					  : TAKE_NONE;
	return *out != TAKE_NONE;
}

static int by_id(const void *a, const void *b)
{
	const struct vresolve *x = a, *y = b;
	return str_cmp(item_id_bytes(&x->id), item_id_bytes(&y->id));
}

static enum err parse_field(
	struct vresolve *r, yyjson_val *key, yyjson_val *value, struct errtext *et)
{
	struct str field = json_val_str(key);
	if (field.n && field.p[0] != '/')
		return err_set(et, ERR_INVALID,
			"resolve: \"%.*s\" names no field; they begin with / (\"/payload/price\", "
			"\"/vector\", \"/text\"), as conflicts do",
			STR_FMT(str_sub(field, 0, 100)));
	r->fields[r->n_fields].field = field;
	return side_of(json_val_str(value), &r->fields[r->n_fields++].take)
		       ? OK
		       : err_set(et, ERR_INVALID, "resolve: \"%.*s\" must be ours or theirs",
				 STR_FMT(str_sub(field, 0, 100)));
}

static enum err parse_fields(struct vresolve *r, yyjson_val *o, struct arena *a, struct errtext *et)
{
	yyjson_val *key, *value;
	size_t i, n = yyjson_obj_size(o);
	enum err e = n <= RESOLVE_MAX
			     ? OK
			     : err_set(et, ERR_INVALID, "resolve: at most %d fields of an item",
				       RESOLVE_MAX);
	r->fields = e ? NULL : arena_alloc(a, (n + 1) * sizeof *r->fields);
	if (!e && !r->fields)
		e = err_set(et, ERR_NOMEM, "no memory for a merge");
	if (e)
		return e;
	yyjson_obj_foreach(o, i, n, key, value)
	{
		e = e ? e : parse_field(r, key, value, et);
	}
	return e;
}

/* {"ID": "ours" | "theirs" | {"/payload/price": "ours", ...}}: a number is written as text there.
 */
static enum err parse_resolve(yyjson_val *o, struct arena *a, struct vmerge *q, struct errtext *et)
{
	yyjson_val *key, *value;
	size_t i, n = yyjson_obj_size(o);
	if (!o)
		return OK;
	if (!yyjson_is_obj(o) || n > RESOLVE_MAX)
		return err_set(et, ERR_INVALID,
			"resolve must be an object of at most %d ids, each with ours, theirs, or "
			"an object of fields",
			RESOLVE_MAX);
	struct vresolve *list = arena_array_of(a, n + 1, struct vresolve);
	enum err e = list ? OK : err_set(et, ERR_NOMEM, "no memory for a merge");
	if (e)
		return e;
	q->n_resolve = 0;
	yyjson_obj_foreach(o, i, n, key, value)
	{
		struct vresolve *r = &list[q->n_resolve++];
		*r = (struct vresolve){.take = TAKE_NONE};
		e = e ? e : item_id_parse(json_val_str(key), &r->id, et);
		if (!e && yyjson_is_obj(value))
			e = parse_fields(r, value, a, et);
		else if (!e && !side_of(json_val_str(value), &r->take))
			e = err_set(et, ERR_INVALID,
				"resolve: \"%.*s\" must be ours, theirs, or an object of fields",
				STR_FMT(str_sub(json_val_str(key), 0, 100)));
	}
	if (q->n_resolve)
		qsort(list, q->n_resolve, sizeof *list, by_id);
	q->resolve = list;
	return e;
}

static enum err parse_merge(struct http_request *rq, yyjson_val *o, struct vmerge *q,
	int64_t *limit, int64_t *skip, struct errtext *et)
{
	struct str prefer = S("");
	enum err e = json_want_str(o, "from", &q->from, et);
	if (!e && !q->from.n)
		e = err_set(et, ERR_INVALID,
			"from: say what is merged, a collection or a version of one (name:3)");
	e = e ? e : json_want_str(o, "prefer", &prefer, et);
	if (!e && prefer.n && !side_of(prefer, &q->prefer))
		e = err_set(et, ERR_INVALID, "prefer must be ours or theirs");
	e = e ? e : json_want_str(o, "message", &q->message, et);
	e = e ? e : json_want_bool(o, "dry_run", &q->dry_run, et);
	e = e ? e : json_want_i64(o, "limit", 0, LIST_MAX, limit, et);
	e = e ? e : json_want_i64(o, "skip", 0, INT64_MAX, skip, et);
	return e ? e : parse_resolve(item_json_get(o, "resolve"), rq->arena, q, et);
}

static const char *did_word(enum vchange c)
{
	return c == VCHANGE_PAYLOAD ? "changed" : vchange_word(c);
}

static void write_values(struct jw *w, const struct vconflict *x)
{
	static const char *const names[] = {"base", "ours", "theirs"};
	if (!x->values[0].n && !x->values[1].n && !x->values[2].n) {
		jw_null(w);
		return;
	}
	jw_obj(w);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		jw_key(w, names[i]);
		jw_raw(w, x->values[i].n ? x->values[i] : S("null"));
	}
	jw_end(w);
}

static void write_conflicts(struct jw *w, const struct vmerged *m, size_t limit, size_t skip)
{
	jw_key(w, "conflicts");
	jw_obj(w);
	jw_ki64(w, "count", (int64_t)m->n_conflicts);
	jw_ki64(w, "resolved", (int64_t)m->resolved);
	jw_key(w, "items");
	jw_arr(w);
	for (size_t i = skip; i < m->n_conflicts && i - skip < limit; i++) {
		const struct vconflict *x = &m->conflicts[i];
		jw_obj(w);
		jw_key(w, "id");
		item_json_write_id(w, &x->id);
		jw_kstr(w, "field", x->field);
		jw_kc(w, "ours", did_word(x->ours));
		jw_kc(w, "theirs", did_word(x->theirs));
		jw_key(w, "values");
		write_values(w, x);
		jw_end(w);
	}
	jw_end(w);
	jw_end(w);
}

static enum err write_merged(struct jw *w, struct croft *c, struct http_request *rq,
	const struct vmerged *m, struct errtext *et)
{
	jw_kbool(w, "merged", m->merged);
	jw_kbool(w, "nothing", m->nothing);
	jw_kbool(w, "filling", m->filling);
	jw_key(w, "base");
	if (m->base.version)
		jw_fmt(w, "%.*s:%lld", STR_FMT(m->base.name), (long long)m->base.version);
	else
		jw_null(w);
	jw_kstr(w, "from", m->theirs);
	jw_key(w, "kept");
	m->kept ? jw_i64(w, m->kept) : jw_null(w);
	jw_ki64(w, "added", m->counts.added);
	jw_ki64(w, "removed", m->counts.removed);
	jw_ki64(w, "changed", m->counts.changed);
	jw_ki64(w, "combined", (int64_t)m->combined);
	jw_key(w, "version");
	if (!m->merged) {
		jw_null(w);
		return OK;
	}
	jw_obj(w);
	enum err e = version_write(w, c, project_of(rq), &m->v, rq->arena, et);
	jw_end(w);
	return e;
}

void post_merge(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct vmerged m = {0};
	struct vmerge q = {.project = project_of(rq),
		.name = name_of(rq),
		.message = S(""),
		.who = rq->who,
		.cancel = rq->cancel};
	int64_t limit = LIST_DEFAULT, skip = 0;
	yyjson_val *o = NULL;
	struct buf b = {0};
	struct jw w = {.out = &b};
	enum err e = wire_body(rq, &o, &et);
	e = e ? e : parse_merge(rq, o, &q, &limit, &skip, &et);
	q.limit = (size_t)limit;
	q.skip = (size_t)skip;
	e = e ? e : version_merge(c, &q, rq->arena, &m, &et);
	jw_obj(&w);
	e = e ? e : write_merged(&w, c, rq, &m, &et);
	write_conflicts(&w, &m, (size_t)limit, (size_t)skip);
	jw_end(&w);
	wire_reply(rs, e, &et, &w);
}
