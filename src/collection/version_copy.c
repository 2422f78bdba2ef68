/* Copies and branches: a new collection that begins with a version and no rows of its own. A branch
 * knows where it comes from, so that it can be merged; a copy begins a history of its own. */
#include "collection/version_int.h"
#include "access/access.h"
#include "base/clock.h"

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a copy of a collection");
}

struct copying {
	const struct vcopy *q;
	struct arena *a;
	struct artifact_version of;
	struct vlive *out;
};

static enum err audit(const struct copying *k, struct tx *tx, struct errtext *et)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_kstr(&w, "to", k->q->to);
	jw_ki64(&w, "version", k->of.version);
	jw_end(&w);
	enum err e = b.err ? no_memory(et)
			   : audit_add(tx, k->q->who,
				     k->q->branch ? "collection.branch" : "collection.copy",
				     k->q->name, buf_str(&b), et);
	buf_free(&b);
	return e;
}

/* It is searched by words as the other one is now; a version does not know of that. */
static enum err copy_keyword(const struct copying *k, struct tx *tx, struct errtext *et)
{
	struct collection_row from;
	struct str config;
	enum err e = store_collection_by_name(tx, k->q->project, k->q->name, k->a, &from, et);
	if (e)
		return e == ERR_NOT_FOUND ? OK : e;
	e = store_keyword(tx, from.number, k->a, &config, et);
	return e || !config.n ? e : store_keyword_put(tx, k->out->row.number, config, et);
}

static enum err add_in(struct tx *tx, void *ctx, struct errtext *et)
{
	struct copying *k = ctx;
	struct vlive *x = k->out;
	enum err e = store_collection_add(tx, &x->row, et);
	e = e ? e : store_head_put(tx, &x->head, et);
	e = e ? e : copy_keyword(k, tx, et);
	return e ? e : audit(k, tx, et);
}

/* The version that is copied: the one that is named, or one of what is there now. */
static enum err find_it(struct croft *c, struct copying *k, struct errtext *et)
{
	const struct vcopy *q = k->q;
	struct vcommitted made;
	struct str message = arena_fmt(k->a, "Before it was %s %.*s",
		q->branch ? "branched to" : "copied to", STR_FMT(q->to));
	if (q->ref.n)
		return version_named(c, q->project, q->name, q->ref, k->a, &k->of, et);
	enum err e = message.p ? version_commit(c,
					 &(struct vcommit){.project = q->project,
						 .name = q->name,
						 .message = message,
						 .who = q->who,
						 .cancel = q->cancel},
					 k->a, &made, et)
			       : no_memory(et);
	if (!e)
		k->of = made.v;
	return e;
}

static enum err make_rows(struct copying *k, const struct version *v, struct errtext *et)
{
	enum { FIRST = 1 };
	const struct vcopy *q = k->q;
	int64_t now = clock_unix_ms();
	struct str origin =
		arena_fmt(k->a, "%.*s:%lld", STR_FMT(k->of.name), (long long)k->of.version);
	struct str config;
	if (!origin.p)
		return no_memory(et);
	enum err e = config_settled(v->config, k->a, &config, et);
	if (e)
		return e;
	*k->out = (struct vlive){.headed = true};
	k->out->row = (struct collection_row){.number = collection_number(),
		.project = q->project,
		.name = q->to,
		.config = config,
		.seq = FIRST,
		.items = (int64_t)v->n,
		.created_ms = now,
		.updated_ms = now};
	k->out->head = (struct head_row){.collection = k->out->row.number,
		.artifact = k->of.artifact,
		.version = q->branch ? k->of.version : 0,
		.seq = FIRST,
		.digest = k->of.digest,
		.origin = origin,
		.done = S("")};
	return OK;
}

enum err version_copy(struct croft *c, const struct vcopy *q, struct arena *a, struct vlive *out,
	struct errtext *et)
{
	struct copying k = {.q = q, .a = a, .out = out};
	struct version *v = NULL;
	enum err e = collection_name_check(q->to, et);
	e = e ? e : find_it(c, &k, et);
	e = e ? e : version_load(c, k.of.digest.p, &v, q->cancel, et);
	e = e ? e : make_rows(&k, v, et);
	e = e ? e : db_write(croft_db(c), add_in, &k, et);
	if (!e) /* config is the version's */
		out->row.config = S("");
	version_put(c, v);
	return e;
}
