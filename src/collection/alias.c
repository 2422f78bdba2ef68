/* Aliases: changes of them, in one transaction with their records in the audit log. */
#include "collection/alias.h"
#include "access/access.h"
#include "base/clock.h"
#include "collection/collection_int.h"

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for aliases");
}

struct changing {
	const struct principal *who;
	struct str project;
	const struct alias_change *changes;
	size_t n;
	struct arena *a;
	struct tx *tx;
	struct errtext *et;
};

/* ---- what stands there ---- */

/* What an alias stands for; number 0: there is no such alias. */
static enum err stands_for(struct changing *x, struct str alias, struct collection_row *out)
{
	*out = (struct collection_row){.name = S("")};
	enum err e = store_alias(x->tx, x->project, alias, &out->number, x->et);
	return e || !out->number ? e
				 : store_collection_by_number(x->tx, out->number, x->a, out, x->et);
}

static enum err find_target(struct changing *x, struct str name, struct collection_row *out)
{
	enum err e = store_collection_by_name(x->tx, x->project, name, x->a, out, x->et);
	return e || str_eq(out->name, name)
		       ? e
		       : err_set(x->et, ERR_INVALID,
				 "%.*s is itself an alias, of %.*s: an alias stands for a "
				 "collection",
				 STR_FMT(name), STR_FMT(out->name));
}

/* May this be an alias's name? */
static enum err free_name(struct changing *x, struct str name)
{
	struct collection_row r;
	struct errtext none;
	enum err e = collection_name_check(name, x->et);
	if (e)
		return e;
	e = store_collection_by_name(x->tx, x->project, name, x->a, &r, &none);
	if (e == ERR_NOT_FOUND)
		return OK;
	if (e)
		*x->et = none;
	return e || !str_eq(r.name, name) ? e
					  : err_set(x->et, ERR_CONFLICT,
						    "there is a collection %.*s: an alias needs "
						    "another name",
						    STR_FMT(name));
}

static enum err room_for_one(struct changing *x)
{
	int64_t n = 0;
	enum err e = store_alias_count(x->tx, x->project, &n, x->et);
	return e || n < ALIASES_MAX
		       ? e
		       : err_set(x->et, ERR_LIMIT, "a project has at most %d aliases", ALIASES_MAX);
}

/* ---- changes ---- */

static enum err note(
	struct changing *x, struct str alias, struct str from, struct str to, struct str renamed)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	if (from.n)
		jw_kstr(&w, "from", from);
	if (to.n)
		jw_kstr(&w, "to", to);
	if (renamed.n)
		jw_kstr(&w, "renamed", renamed);
	jw_end(&w);
	enum err e =
		b.err ? no_memory(x->et)
		      : audit_add(x->tx, x->who, "collection.alias", alias, buf_str(&b), x->et);
	buf_free(&b);
	return e;
}

static enum err set(struct changing *x, const struct alias_change *k)
{
	struct collection_row target, before;
	enum err e = free_name(x, k->name);
	e = e ? e : find_target(x, k->to, &target);
	e = e ? e : stands_for(x, k->name, &before);
	if (!e && !before.number)
		e = room_for_one(x);
	e = e ? e
	      : store_alias_put(x->tx, x->project, k->name, target.number, clock_unix_ms(), x->et);
	return e ? e : note(x, k->name, before.name, target.name, S(""));
}

static enum err missing(struct changing *x, struct str alias)
{
	return err_set(x->et, ERR_NOT_FOUND, "there is no alias %.*s",
		STR_FMT(str_sub(alias, 0, COLLECTION_NAME_MAX)));
}

static enum err drop(struct changing *x, const struct alias_change *k)
{
	struct collection_row before;
	enum err e = stands_for(x, k->name, &before);
	if (!e && !before.number)
		return k->missing_ok ? OK : missing(x, k->name);
	e = e ? e : store_alias_drop(x->tx, x->project, k->name, x->et);
	return e ? e : note(x, k->name, before.name, S(""), S(""));
}

static enum err rename_it(struct changing *x, const struct alias_change *k)
{
	struct collection_row before, other;
	enum err e = free_name(x, k->to);
	e = e ? e : stands_for(x, k->name, &before);
	if (!e && !before.number)
		return missing(x, k->name);
	e = e ? e : stands_for(x, k->to, &other);
	e = e ? e : store_alias_drop(x->tx, x->project, k->name, x->et);
	e = e ? e
	      : store_alias_put(x->tx, x->project, k->to, before.number, clock_unix_ms(), x->et);
	return e ? e : note(x, k->to, other.name, before.name, k->name);
}

static enum err change_in(struct tx *tx, void *ctx, struct errtext *et)
{
	struct changing *x = ctx;
	enum err e = OK;
	x->tx = tx;
	x->et = et;
	for (size_t i = 0; i < x->n && !e; i++) {
		const struct alias_change *k = &x->changes[i];
		e = k->kind == ALIAS_SET    ? set(x, k)
		    : k->kind == ALIAS_DROP ? drop(x, k)
					    : rename_it(x, k);
		if (e && x->n > 1)
			e = err_wrap(et, e, "change %zu (none was made)", i);
	}
	return e;
}

enum err collection_aliases_change(struct croft *c, const struct principal *who, struct str project,
	const struct alias_change *changes, size_t n, struct errtext *et)
{
	struct changing x = {
		.who = who, .project = project, .changes = changes, .n = n, .a = arena_new(0)};
	enum err e = n > ALIAS_CHANGES_MAX
			     ? err_set(et, ERR_TOO_LARGE,
				       "%zu changes of aliases; at most %d go into one call", n,
				       ALIAS_CHANGES_MAX)
		     : x.a ? db_write(croft_db(c), change_in, &x, et)
			   : no_memory(et);
	arena_free(x.a);
	return e;
}

/* ---- listing ---- */

enum err collection_aliases(struct croft *c, struct str project, struct str of, struct arena *a,
	struct alias **out, size_t *n, struct errtext *et)
{
	struct tx *tx;
	struct collection_row k = {0};
	struct alias *list = NULL;
	size_t n_list = 0, kept = 0;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	if (of.n)
		e = store_collection_by_name(tx, project, of, a, &k, et);
	e = e ? e : store_aliases(tx, project, a, &list, &n_list, et);
	db_rollback(tx);
	for (size_t i = 0; i < n_list && !e; i++)
		if (!of.n || str_eq(list[i].collection, k.name))
			list[kept++] = list[i];
	if (!e) {
		*out = list;
		*n = kept;
	}
	return e;
}
