/* A collection recovered from a file: filled where nobody sees it, then put in its place. */
#include "access/access.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "collection/alias.h"
#include "collection/bundle.h"
#include "collection/version_int.h"

enum { AT_ONCE = 1000, LEFT_MS = 86400000 /* what nobody can be filling any more */ };

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a snapshot of a collection");
}

struct recovering {
	struct croft *c;
	const struct http_request *rq;
	struct str collection;
	struct arena *a;
	struct bundle_reader r;
	struct str stage; /* a project that is none */
	int64_t staged, former;
};

/* ---- filling ---- */

static enum err check_identities(
	struct recovering *x, const struct collection *k, struct errtext *et)
{
	for (size_t i = 0; i < x->r.n_spaces; i++) {
		const struct space *want = &x->r.spaces[i];
		const struct space *s = collection_space(k, want->name);
		if (s && want->identity.n && !str_eq(s->identity, want->identity))
			return err_set(et, ERR_CONFLICT,
				"the vectors of the snapshot were made by another %.*s than the "
				"one "
				"that is installed",
				STR_FMT(want->model));
	}
	return OK;
}

static enum err fill(struct recovering *x, struct errtext *et)
{
	struct collection *k = NULL;
	size_t n = 1;
	enum err e = collection_open(x->c, x->stage, x->collection, &k, x->rq->cancel, et);
	if (!e)
		x->staged = k->number;
	e = e ? e : check_identities(x, k, et);
	while (!e && n) {
		struct collection_item *items;
		struct arena *a = arena_new(0);
		e = a ? bundle_next(&x->r, AT_ONCE, a, &items, &n, et) : no_memory(et);
		if (!e && n)
			e = collection_put(k, items, n, NULL, x->rq->cancel, et);
		arena_free(a);
	}
	collection_close(k);
	return e;
}

/* ---- taking the place ---- */

static enum err note(struct recovering *x, struct tx *tx, struct errtext *et)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_ki64(&w, "items", x->r.items);
	jw_kbool(&w, "replaced", x->former != 0);
	jw_end(&w);
	enum err e = b.err ? no_memory(et)
			   : audit_add(tx, x->rq->who, "collection.recover", x->collection,
				     buf_str(&b), et);
	buf_free(&b);
	return e;
}

static enum err make_room(struct recovering *x, struct tx *tx, struct errtext *et)
{
	struct collection_row r;
	char text[24];
	enum err e = store_collection_by_name(tx, project_of(x->rq), x->collection, x->a, &r, et);
	if (e)
		return e == ERR_NOT_FOUND ? OK : e;
	if (!str_eq(r.name, x->collection))
		return err_set(et, ERR_CONFLICT,
			"%.*s is an alias: recover the collection %.*s by its own name",
			STR_FMT(x->collection), STR_FMT(r.name));
	x->former = r.number;
	e = store_aliases_move(tx, r.number, x->staged, et);
	e = e ? e : store_collection_drop(tx, r.number, et);
	snprintf(text, sizeof text, "%lld", (long long)r.number);
	return e ? e : db_notify(tx, COLLECTION_CHANNEL, str_c(text), et);
}

static enum err take_place(struct tx *tx, void *ctx, struct errtext *et)
{
	struct recovering *x = ctx;
	enum err e = make_room(x, tx, et);
	e = e ? e : store_collection_rename(tx, x->staged, project_of(x->rq), x->collection, et);
	return e ? e : note(x, tx, et);
}

/* ---- what was left by one that was interrupted ---- */

static void tidy(struct croft *c, struct arena *a)
{
	struct errtext et = {0};
	struct tx *tx;
	struct collection_row *rows = NULL;
	size_t n = 0;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, &et);
	if (!e) {
		e = store_collections_staged(tx, clock_unix_ms() - LEFT_MS, a, &rows, &n, &et);
		db_rollback(tx);
	}
	for (size_t i = 0; i < n && !e; i++)
		e = collection_delete(c, rows[i].project, rows[i].name, &et);
	if (e)
		log_warn("what interrupted recoveries of collections left: %s", err_text(e, &et));
}

enum err bundle_recover(struct croft *c, const struct http_request *rq, struct str collection,
	struct str file, struct errtext *et)
{
	char id[ID_HEX + 1];
	struct recovering x = {.c = c, .rq = rq, .collection = collection, .a = arena_new(0)};
	id_hex(id_new(), id);
	x.stage = x.a ? arena_fmt(x.a, STAGED_PREFIX "%s", id) : S("");
	enum err e = x.stage.n ? collection_name_check(collection, et) : no_memory(et);
	e = e ? e : bundle_open(file, x.a, &x.r, et);
	if (!e)
		tidy(c, x.a);
	struct collection_info was = {.backend = ""};
	struct errtext none;
	if (!e && collection_find(c, project_of(rq), collection, x.a, &was, &none))
		was.backend = "";
	e = e ? e
	      : collection_create_in(
			c, x.stage, collection, x.r.spaces, x.r.n_spaces, str_c(was.backend), et);
	bool staged = !e;
	e = e ? e : fill(&x, et);
	e = e ? e : db_write(croft_db(c), take_place, &x, et);
	struct errtext swept;
	if (e && staged && collection_delete(c, x.stage, collection, &swept))
		log_warn("a recovery that failed: %s", swept.msg);
	if (!e) {
		collections_forget(c, x.staged); /* it is opened anew, under its name */
		if (x.former)
			collection_gone(c, x.former);
	}
	arena_free(x.a);
	return e;
}
