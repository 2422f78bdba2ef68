/* Three versions into one, item by item, and field by field where both sides have changed an item
 * (version_fields.c).
 *
 * What only one side has changed since the base is taken from there; what both have changed in the
 * same way is that; what both have changed otherwise is a conflict, for which somebody says ours or
 * theirs. Nothing is written before all are resolved: then the merged tree, and after it the live
 * items, the version with both parents and the head in one transaction. */
#include "collection/version_fields.h"

#include "base/room.h"

#include <stdlib.h>

enum { ANCESTORS_MAX = 20000, TRIES = 4 };

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory to merge collections");
}

/* ---- the base: the newest version that both come from ---- */

struct vnode {
	struct id artifact;
	int64_t version;
};

struct walk {
	struct tx *tx;
	struct str project;
	struct arena *a;
	struct map seen; /* artifact and version, to anything */
	struct vnode *queue;
	size_t n;
};

static struct str key_of(const struct vnode *x)
{
	return str_mk(x, sizeof *x);
}

static enum err push(struct walk *w, struct vnode x, struct errtext *et)
{
	struct vnode *at = &w->queue[w->n];
	memset(at, 0, sizeof *at); /* it is a key as it lies */
	at->artifact = x.artifact;
	at->version = x.version;
	if (map_get(&w->seen, key_of(at)))
		return OK;
	if (w->n == ANCESTORS_MAX - 1)
		return err_set(et, ERR_LIMIT, "a history of more than %d versions", ANCESTORS_MAX);
	if (!map_put(&w->seen, key_of(at), w))
		return no_memory(et);
	w->n++;
	return OK;
}

/* A version of this project's, or ERR_NOT_FOUND: what metadata name is not believed. */
static enum err version_at(
	struct walk *w, const struct vnode *x, struct artifact_version *out, struct errtext *et)
{
	struct artifact of;
	enum err e = artifact_get(w->tx, w->project, x->artifact, w->a, &of, et);
	e = e ? e : artifact_get_version(w->tx, x->artifact, x->version, w->a, out, et);
	if (!e && !str_eq_c(of.kind, VERSION_KIND))
		e = ERR_NOT_FOUND;
	if (!e) {
		out->kind = of.kind;
		out->name = of.name;
	}
	return e;
}

/* All that x comes from, itself first. found: told of each. */
static enum err walk_up(struct walk *w, struct vnode x,
	enum err (*found)(void *ctx, const struct vnode *x, const struct artifact_version *v,
		struct errtext *et),
	void *ctx, struct errtext *et)
{
	w->queue = arena_array_of(w->a, ANCESTORS_MAX, struct vnode);
	enum err e = w->queue ? push(w, x, et) : no_memory(et);
	for (size_t at = 0; at < w->n && !e; at++) {
		struct artifact_version v;
		struct id ids[2];
		int64_t versions[2];
		size_t n = 0;
		e = version_at(w, &w->queue[at], &v, et);
		if (e == ERR_NOT_FOUND) {
			e = OK;
			continue;
		}
		e = e ? e : found(ctx, &w->queue[at], &v, et);
		e = e ? e : version_parents(&v, ids, versions, &n, et);
		for (size_t i = 0; i < n && !e; i++)
			e = push(w, (struct vnode){ids[i], versions[i]}, et);
	}
	return e;
}

struct common {
	const struct map *ours;
	struct artifact_version base;
	bool found;
};

static enum err note(
	void *ctx, const struct vnode *x, const struct artifact_version *v, struct errtext *et)
{
	return OK;
}

static enum err note_common(
	void *ctx, const struct vnode *x, const struct artifact_version *v, struct errtext *et)
{
	struct common *k = ctx;
	if (v->deleted || !map_get(k->ours, key_of(x)))
		return OK;
	if (!k->found || v->created_ms > k->base.created_ms)
		k->base = *v;
	k->found = true;
	return OK;
}

static enum err find_base(struct croft *c, struct str project, struct vnode ours,
	struct vnode theirs, struct arena *a, struct artifact_version *out, struct errtext *et)
{
	struct walk up = {.project = project, .a = a}, down = {.project = project, .a = a};
	struct common k = {.ours = &up.seen};
	struct tx *tx;
	if (!ours.version || !theirs.version)
		return OK;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	up.tx = down.tx = tx;
	e = walk_up(&up, ours, note, NULL, et);
	e = e ? e : walk_up(&down, theirs, note_common, &k, et);
	db_rollback(tx);
	map_free(&up.seen);
	map_free(&down.seen);
	e = e || !k.found ? e : tree_granted(c, project, k.base.digest.p, et);
	if (!e && k.found)
		*out = k.base;
	return e;
}

/* ---- the sides ---- */

struct side {
	struct vnode node; /* version 0: of changes that are no version (a dry run) */
	struct str digest, label;
	int64_t kept;
};

/* What a collection holds now: as a version, or in a dry run as a tree that is nobody's. */
static enum err live_side(struct croft *c, const struct vmerge *q, struct str name,
	struct str message, struct arena *a, struct side *out, struct errtext *et)
{
	struct vlive x;
	struct tree_sum sum;
	struct vcounts counts;
	struct vcommitted made;
	enum err e;
	if (q->dry_run) {
		e = version_build(c, q->project, name, false, a, &x, &sum, &counts, q->cancel, et);
		if (!e)
			*out = (struct side){{x.head.artifact, x.head.version},
				arena_str(a, str_c(sum.digest)), name, 0};
		return e || out->digest.p ? e : no_memory(et);
	}
	e = version_commit(c,
		&(struct vcommit){.project = q->project,
			.name = name,
			.message = message,
			.who = q->who,
			.cancel = q->cancel},
		a, &made, et);
	if (!e)
		*out = (struct side){{made.v.artifact, made.v.version}, made.v.digest,
			arena_fmt(a, "%.*s:%lld", STR_FMT(made.v.name), (long long)made.v.version),
			made.made ? made.v.version : 0};
	return e;
}

static enum err their_side(struct croft *c, const struct vmerge *q, struct arena *a,
	struct side *out, struct errtext *et)
{
	struct artifact_version v;
	if (str_chr(q->from, ':') == STR_NONE)
		return live_side(c, q, q->from,
			arena_fmt(a, "Before it was merged into %.*s", STR_FMT(q->name)), a, out,
			et);
	enum err e = version_named(c, q->project, q->name, q->from, a, &v, et);
	if (!e)
		*out = (struct side){{v.artifact, v.version}, v.digest,
			arena_fmt(a, "%.*s:%lld", STR_FMT(v.name), (long long)v.version), 0};
	return e;
}

/* ---- item by item ---- */

struct merging {
	const struct vmerge *q;
	const struct version *base, *ours, *theirs;
	struct vwriter *w; /* NULL: only looked at */
	struct arena *a;
	struct vmerged *out;
	size_t cap;
};

static bool equal(const struct vitem *x, const struct vitem *y)
{
	return !x || !y ? x == y : version_same(x, y);
}

static enum vchange did(const struct vitem *base, const struct vitem *side)
{
	return !base ? VCHANGE_ADDED : !side ? VCHANGE_REMOVED : VCHANGE_PAYLOAD;
}

static const struct vresolve *resolve_of(const struct vmerge *q, struct str id)
{
	size_t low = 0, high = q->n_resolve;
	while (low < high) {
		size_t mid = (low + high) / 2;
		int cmp = str_cmp(item_id_bytes(&q->resolve[mid].id), id);
		if (cmp == 0)
			return &q->resolve[mid];
		low = cmp < 0 ? mid + 1 : low;
		high = cmp < 0 ? high : mid;
	}
	return NULL;
}

/* Values are kept of those that somebody looks at. */
static enum err add_conflict(
	struct merging *m, struct str id, const struct vconflict *c, struct errtext *et)
{
	struct vmerged *out = m->out;
	if (!arena_room(m->a, out->conflicts, out->n_conflicts, m->cap))
		return no_memory(et);
	size_t at = out->n_conflicts++;
	struct vconflict *x = &out->conflicts[at];
	bool looked_at = at >= m->q->skip && at - m->q->skip < m->q->limit;
	*x = *c;
	x->id.n = (uint8_t)id.n;
	memcpy(x->id.b, id.p, id.n);
	x->field = arena_str(m->a, c->field);
	for (size_t i = 0; i < 3; i++)
		x->values[i] = looked_at && c->values[i].n ? arena_str(m->a, c->values[i]) : S("");
	return x->field.p && x->values[0].p && x->values[1].p && x->values[2].p ? OK
										: no_memory(et);
}

static enum err take(struct merging *m, const struct vitem *o, const struct vitem *t, bool theirs,
	struct errtext *et)
{
	const struct vitem *it = theirs ? t : o;
	if (theirs && !equal(o, t)) {
		m->out->counts.added += !o;
		m->out->counts.removed += !t;
		m->out->counts.changed += o && t;
	}
	return m->w && it ? vwriter_keep(m->w, theirs ? m->theirs : m->ours, it, et) : OK;
}

/* One side has deleted what the other has changed. */
static enum err merge_whole(struct merging *m, const struct vitem *b, const struct vitem *o,
	const struct vitem *t, struct str id, struct errtext *et)
{
	enum vtake say = vresolve_field(resolve_of(m->q, id), m->q->prefer, S(""));
	if (say == TAKE_NONE)
		return add_conflict(m, id,
			&(struct vconflict){.field = S(""), .ours = did(b, o), .theirs = did(b, t)},
			et);
	m->out->resolved++;
	return take(m, o, t, say == TAKE_THEIRS, et);
}

struct merging_item {
	struct merging *m;
	struct str id;
};

static void note_resolved(void *ctx)
{
	const struct merging_item *x = ctx;
	x->m->out->resolved++;
}

static enum err note_conflict(void *ctx, const struct vconflict *c, struct errtext *et)
{
	const struct merging_item *x = ctx;
	return add_conflict(x->m, x->id, c, et);
}

/* What came of the fields: one of the sides, or both together. */
static enum err take_record(struct merging *m, const struct vitem *o, const struct vitem *t,
	const struct vrecord *r, struct errtext *et)
{
	struct vitem it = {.id = o->id};
	version_sums(r, &it);
	if (version_same(&it, o) || version_same(&it, t))
		return take(m, o, t, !version_same(&it, o), et);
	m->out->counts.changed++;
	m->out->combined++;
	return m->w ? vwriter_add(m->w, &it, r, et) : OK;
}

static enum err merge_fields(struct merging *m, const struct vitem *b, const struct vitem *o,
	const struct vitem *t, struct str id, struct errtext *et)
{
	const struct version *of[3] = {m->base, m->ours, m->theirs};
	const struct vitem *items[3] = {b, o, t};
	struct merging_item x = {m, id};
	struct vrecord records[3], merged;
	char *bytes[3] = {NULL};
	bool conflict = false;
	struct arena *a = arena_new(0);
	enum err e = a ? OK : no_memory(et);
	for (size_t i = 0; i < 3 && !e; i++)
		e = items[i] ? vrecord_alone(of[i], items[i], &bytes[i], &records[i], et) : OK;
	struct vfields f = {.record = {b ? &records[0] : NULL, &records[1], &records[2]},
		.of = {of[0], of[1], of[2]},
		.resolve = resolve_of(m->q, id),
		.prefer = m->q->prefer,
		.resolved = note_resolved,
		.conflict = note_conflict,
		.ctx = &x};
	e = e ? e : vfields_merge(&f, a, &merged, &conflict, et);
	if (!e && !conflict)
		e = take_record(m, o, t, &merged, et);
	for (size_t i = 0; i < 3; i++)
		free(bytes[i]);
	arena_free(a);
	return e;
}

static enum err merge_one(struct merging *m, const struct vitem *b, const struct vitem *o,
	const struct vitem *t, struct str id, struct errtext *et)
{
	if (equal(o, t) || equal(b, t))
		return take(m, o, t, false, et);
	if (equal(b, o))
		return take(m, o, t, true, et);
	return o && t ? merge_fields(m, b, o, t, id, et) : merge_whole(m, b, o, t, id, et);
}

static struct str lower(struct str least, const struct version *v, size_t at)
{
	return at < v->n && (!least.p || str_cmp(v->items[at].id, least) < 0) ? v->items[at].id
									      : least;
}

static const struct vitem *next_is(const struct version *v, size_t *at, struct str id)
{
	return *at < v->n && str_eq(v->items[*at].id, id) ? &v->items[(*at)++] : NULL;
}

static enum err merge_items(struct merging *m, struct errtext *et)
{
	size_t b = 0, o = 0, t = 0;
	enum err e = OK;
	while (!e) {
		struct str id = lower((struct str){0}, m->base, b);
		id = lower(id, m->ours, o);
		id = lower(id, m->theirs, t);
		if (!id.p)
			break;
		const struct vitem *x = next_is(m->base, &b, id), *y = next_is(m->ours, &o, id),
				   *z = next_is(m->theirs, &t, id);
		e = cancelled(m->q->cancel) ? err_set(et, ERR_CANCELLED, "cancelled")
					    : merge_one(m, x, y, z, id, et);
	}
	return e;
}

static void forget_counts(struct vmerged *out)
{
	out->conflicts = NULL;
	out->n_conflicts = out->resolved = out->combined = 0;
	out->counts = (struct vcounts){0};
}

/* The merged tree, granted; only called when no conflict is left. */
static enum err write_merged(
	struct croft *c, struct merging *m, struct tree_sum *sum, struct errtext *et)
{
	enum err e = vwriter_open(c, m->ours, &m->w, et);
	if (e)
		return e;
	forget_counts(m->out);
	m->cap = 0;
	e = merge_items(m, et);
	if (e) {
		vwriter_drop(m->w);
		return e;
	}
	e = vwriter_finish(m->w, m->ours->config, sum, et);
	return e ? e : tree_grant(c, m->q->who, sum->digest, et);
}

/* ---- the whole ---- */

struct merge_try {
	struct side ours, theirs;
	struct artifact_version base;
	struct head_row head;
	bool raced, filling;
};

static enum err switch_to(struct croft *c, struct merging *m, struct merge_try *x,
	const struct tree_sum *sum, struct errtext *et)
{
	const struct vmerge *q = m->q;
	struct version *to = NULL;
	struct vswitch s = {.c = c,
		.who = q->who,
		.project = q->project,
		.name = q->name,
		.from = m->ours,
		.action = "collection.merge",
		.a = m->a,
		.cancel = q->cancel};
	enum err e = version_live_now(c, q->project, q->name, m->a, &s.seen, et);
	x->raced = !e && (!vlive_clean(&s.seen) || !str_eq_c(s.seen.head.digest, m->ours->digest));
	if (e || x->raced)
		return e;
	e = version_load(c, sum->digest, &to, q->cancel, et);
	s.to = to;
	if (!e)
		s.make = (struct vmake){.project = q->project,
			.name = q->name,
			.message = q->message,
			.digest = sum->digest,
			.bytes = (int64_t)sum->bytes,
			.items = (int64_t)to->n,
			.counts = m->out->counts,
			.parent = &s.seen.head,
			.other = {x->theirs.node.artifact, x->theirs.node.version},
			.made_by = "merge",
			.detail = x->theirs.label};
	e = e ? e : version_switch(&s, &x->head, &x->raced, &x->filling, et);
	version_put(c, to);
	return e;
}

static bool already(const struct merge_try *x)
{
	return x->base.version && x->base.version == x->theirs.node.version &&
	       !memcmp(&x->base.artifact, &x->theirs.node.artifact, sizeof x->base.artifact) &&
	       str_eq(x->base.digest, x->theirs.digest);
}

static enum err merge_loaded(
	struct croft *c, struct merging *m, struct merge_try *x, struct errtext *et)
{
	struct vmerged *out = m->out;
	struct tree_sum sum;
	if (!version_same_spaces(m->ours, m->theirs))
		return err_set(et, ERR_CONFLICT,
			"%.*s and %.*s have vectors of other kinds: they cannot be merged",
			STR_FMT(m->q->name), STR_FMT(m->q->from));
	enum err e = merge_items(m, et);
	out->nothing = !e && already(x);
	if (e || out->n_conflicts || m->q->dry_run || out->nothing)
		return e;
	e = write_merged(c, m, &sum, et);
	e = e ? e : switch_to(c, m, x, &sum, et);
	out->merged = !e && !x->raced;
	out->filling = x->filling;
	return e;
}

static enum err try_merge(struct croft *c, const struct vmerge *q, struct arena *a,
	struct merge_try *x, struct vmerged *out, struct errtext *et)
{
	struct version *v[3] = {NULL};
	struct str message = arena_fmt(a, "Before %.*s was merged", STR_FMT(q->from));
	enum err e = their_side(c, q, a, &x->theirs, et);
	e = e ? e : live_side(c, q, q->name, message, a, &x->ours, et);
	e = e ? e : find_base(c, q->project, x->ours.node, x->theirs.node, a, &x->base, et);
	e = e ? e : version_load(c, x->base.version ? x->base.digest.p : "", &v[0], q->cancel, et);
	e = e ? e : version_load(c, x->ours.digest.p, &v[1], q->cancel, et);
	e = e ? e : version_load(c, x->theirs.digest.p, &v[2], q->cancel, et);
	struct merging m = {.q = q, .base = v[0], .ours = v[1], .theirs = v[2], .a = a, .out = out};
	forget_counts(out);
	e = e ? e : merge_loaded(c, &m, x, et);
	for (size_t i = 0; i < ARRAY_LEN(v); i++)
		version_put(c, v[i]);
	return e;
}

enum err version_merge(struct croft *c, const struct vmerge *q, struct arena *a,
	struct vmerged *out, struct errtext *et)
{
	struct vmerged done = {0};
	struct merge_try x = {.raced = true};
	enum err e = q->dry_run ? OK : version_fill(c, q->project, q->name, q->cancel, et);
	for (int i = 0; i < TRIES && !e && x.raced; i++) {
		x = (struct merge_try){0};
		e = try_merge(c, q, a, &x, &done, et);
		done.kept = x.ours.kept ? x.ours.kept : done.kept;
	}
	if (!e && x.raced)
		e = err_set(et, ERR_BUSY,
			"%.*s is written to all the time: nothing was merged, try again",
			STR_FMT(q->name));
	e = e || !done.merged ? e : version_of_head(c, &x.head, a, &done.v, et);
	done.base = x.base;
	done.theirs = x.theirs.label;
	if (!e)
		*out = done;
	return e;
}
