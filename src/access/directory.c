/* Users, keys, roles and members in memory. A directory is made whole, published with one pointer
 * and never changed (but for the times at which keys were used); requests hold references, so an
 * old one lives until its last request has ended. */
#include "access/access_int.h"

#include <stdlib.h>

static void release(struct directory *d)
{
	map_free(&d->user_by_name);
	map_free(&d->user_by_id);
	map_free(&d->key_by_hash);
	map_free(&d->key_by_id);
	map_free(&d->project_by_name);
	map_free(&d->role_by_name);
	arena_free(d->arena);
	free(d);
}

void directory_unref(struct directory *d)
{
	if (d && atomic_fetch_sub(&d->refs, 1) == 1)
		release(d);
}

enum err directory_load(struct tx *tx, struct directory **out, struct errtext *et)
{
	struct directory *d = calloc(1, sizeof *d);
	if (!d)
		return err_set(et, ERR_NOMEM, "no memory for users and keys");
	atomic_init(&d->refs, 1);
	d->arena = arena_new(0);
	enum err e = d->arena ? store_directory(tx, d, et)
			      : err_set(et, ERR_NOMEM, "no memory for users and keys");
	if (e) {
		release(d);
		return e;
	}
	*out = d;
	return OK;
}

struct dir_user *directory_user(const struct directory *d, struct str name)
{
	return map_get(&d->user_by_name, name);
}

struct dir_user *directory_user_by_id(const struct directory *d, struct id id)
{
	return map_get(&d->user_by_id, str_mk(id.b, sizeof id.b));
}

struct dir_key *directory_key(const struct directory *d, const uint8_t hash[SHA256_BYTES])
{
	return map_get(&d->key_by_hash, str_mk(hash, SHA256_BYTES));
}

struct dir_key *directory_key_by_id(const struct directory *d, struct id id)
{
	return map_get(&d->key_by_id, str_mk(id.b, sizeof id.b));
}

struct dir_project *directory_project(const struct directory *d, struct str name)
{
	return map_get(&d->project_by_name, name);
}

struct dir_role *directory_role(const struct directory *d, struct str name)
{
	return map_get(&d->role_by_name, name);
}

struct dir_member *directory_member(const struct dir_user *u, struct str project)
{
	for (struct dir_member *m = u->members; m; m = m->next)
		if (str_eq(m->project, project))
			return m;
	return NULL;
}
