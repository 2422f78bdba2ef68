/* A collection moved from one backend to another, as a whole or not at all.
 *
 * The new place is filled in small transactions while the old one serves; the last transaction
 * takes in what changed meanwhile and makes the new place the collection's. Servers that have it
 * open see that in its row and open it anew. */
#include "access/access.h"
#include "collection/version_int.h"
#include "base/log.h"

#include <stdio.h>

struct moving {
	struct croft *c;
	const struct principal *who;
	struct arena *a;
	struct collection_row row;
	const struct backend *from, *to;
};

static enum err note(const struct moving *x, struct tx *tx, struct errtext *et)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_kc(&w, "from", x->from->name);
	jw_kc(&w, "to", x->to->name);
	jw_end(&w);
	enum err e = b.err ? err_set(et, b.err, "no memory for the audit log")
			   : audit_add(tx, x->who, "collection.move", x->row.name, buf_str(&b), et);
	buf_free(&b);
	return e;
}

static enum err switch_in(struct moving *x, struct tx *tx, struct errtext *et)
{
	char number[24];
	struct collection_row now;
	struct str name = x->to == &backend_embedded ? S("") : str_c(x->to->name);
	enum err e = store_collection_by_number(tx, x->row.number, x->a, &now, et);
	if (!e && backend_find(now.backend) != x->from)
		e = err_set(et, ERR_CONFLICT, "the collection was moved meanwhile");
	if (!e && x->to->settle)
		e = x->to->settle(tx, &now, et);
	e = e ? e : store_collection_backend(tx, now.number, name, et);
	e = e ? e : note(x, tx, et);
	snprintf(number, sizeof number, "%lld", (long long)x->row.number);
	return e ? e : db_notify(tx, COLLECTION_CHANNEL, str_c(number), et);
}

static void clean_up(struct croft *c, const struct backend *b, int64_t number)
{
	struct errtext et = {0};
	if (b->forget && b->forget(c, number, &et))
		log_warn("what a collection left in %s: %s", b->name, et.msg);
}

static enum err move(struct moving *x, const struct cancel *cancel, struct errtext *et)
{
	struct tx *tx;
	enum err e = x->to->fill ? x->to->fill(x->c, &x->row, cancel, et) : OK;
	e = e ? e : db_begin(croft_db(x->c), TX_WRITE, &tx, et);
	if (!e)
		e = db_finish(tx, switch_in(x, tx, et), et);
	if (e && e != ERR_CONFLICT)
		clean_up(x->c, x->to, x->row.number);
	if (e)
		return e;
	collections_forget(x->c, x->row.number);
	clean_up(x->c, x->from, x->row.number);
	return OK;
}

static enum err look(struct moving *x, struct str project, struct str name, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(x->c), TX_READ, &tx, et);
	if (e)
		return e;
	e = store_collection_by_name(tx, project, name, x->a, &x->row, et);
	db_rollback(tx);
	x->from = e ? NULL : backend_find(x->row.backend);
	return e || x->from ? e
			    : err_set(et, ERR_CORRUPT, "the backend %.*s is not known",
				      STR_FMT(x->row.backend));
}

enum err collection_move(struct croft *c, const struct principal *who, struct str project,
	struct str name, struct str backend, const struct cancel *cancel, struct errtext *et)
{
	struct moving x = {.c = c, .who = who, .a = arena_new(0)};
	if (!x.a)
		return err_set(et, ERR_NOMEM, "no memory for moving a collection");
	enum err e = backend.n ? backend_choose(c, backend, &x.to, et)
			       : err_set(et, ERR_INVALID, "say where to: backend");
	e = e ? e : version_fill(c, project, name, cancel, et); /* a copy gets items of its own */
	e = e ? e : look(&x, project, name, et);
	if (!e && x.from != x.to)
		e = move(&x, cancel, et);
	arena_free(x.a);
	return e;
}
