/* API keys: made (and shown) once, listed, rotated, revoked.
 *
 * A key never gives more than its user has, nor more than the credentials it was made with. */
#include "access/access_int.h"
#include "base/clock.h"

enum { GRACE_MAX_MS = 30 * 24 * 3600 * 1000ll };
#define EXPIRES_MAX_MS (10ll * 366 * 24 * 3600 * 1000)

/* ---- wire ---- */

static void key_members(struct jw *w, const struct dir_key *k, int64_t now)
{
	char id[ID_HEX + 1];
	id_hex(k->id, id);
	jw_kc(w, "id", id);
	jw_kstr(w, "user", k->user ? k->user->name : S(""));
	jw_kstr(w, "name", k->name);
	jw_kstr(w, "prefix", k->prefix);
	jw_key(w, "project");
	k->project.n ? jw_str(w, k->project) : jw_null(w);
	jw_key(w, "permissions");
	k->mask == PERMS_ALL ? jw_null(w) : perms_json(w, k->mask);
	time_or_null(w, "created", k->created_ms);
	time_or_null(w, "expires", k->expires_ms);
	time_or_null(w, "revoked", k->revoked_ms);
	time_or_null(w, "used", atomic_load(&k->used_ms));
	jw_kc(w, "state",
		k->revoked_ms                           ? "revoked"
		: k->expires_ms && now >= k->expires_ms ? "expired"
							: "valid");
}

/* Whose keys a request may see and end: its own, with access.manage all, with member.manage those
 * that are bound to its project. */
static bool may_see(const struct http_request *rq, const struct dir_key *k)
{
	const struct access_context *x = context_of(rq);
	if (may(rq, PERM_ACCESS_MANAGE) || (x && k->user && same_id(k->user->id, x->user->id)))
		return true;
	return may(rq, PERM_MEMBER_MANAGE) && k->project.n && str_eq(k->project, project_of(rq));
}

void get_keys(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct directory *d = access_directory(c);
	struct str user = http_query(rq, "user");
	int64_t now = clock_unix_ms();
	struct buf out = {0};
	struct jw w = {.out = &out};
	jw_obj(&w);
	jw_key(&w, "keys");
	jw_arr(&w);
	for (size_t i = d->n_keys; i-- > 0;) {
		const struct dir_key *k = &d->keys[i];
		if (!may_see(rq, k) || (user.n && k->user && !str_eq(user, k->user->name)))
			continue;
		jw_obj(&w);
		key_members(&w, k, now);
		jw_end(&w);
	}
	jw_end(&w);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&out);
	directory_unref(d);
}

/* ---- making ---- */

struct making {
	const struct http_request *rq;
	const struct dir_user *user;
	struct key_row row;
	const struct dir_key *old; /* that this one replaces; NULL: none */
	int64_t old_expires_ms;
};

static enum err write_key(struct tx *tx, void *ctx, struct errtext *et)
{
	struct making *m = ctx;
	struct buf detail = {0};
	struct jw w = {.out = &detail};
	jw_obj(&w);
	jw_kstr(&w, "user", m->user->name);
	jw_kstr(&w, "name", m->row.name);
	jw_key(&w, "project");
	m->row.project.n ? jw_str(&w, m->row.project) : jw_null(&w);
	if (m->row.perms.n)
		jw_kstr(&w, "permissions", m->row.perms);
	time_or_null(&w, "expires", m->row.expires_ms);
	if (m->old)
		jw_kstr(&w, "replaces", m->old->prefix);
	jw_end(&w);
	enum err e = store_key_put(tx, &m->row, et);
	if (!e && m->old)
		e = store_key_end(tx, m->old->id, m->old_expires_ms, 0, et);
	if (!e)
		e = audit_in(tx, m->rq->who, m->row.project, m->old ? "key.rotate" : "key.add",
			m->row.prefix, buf_str(&detail), et);
	buf_free(&detail);
	return e;
}

/* Makes the secret, stores its hash, and answers with it. */
static void make_key(struct croft *c, struct making *m, struct http_response *rs)
{
	struct errtext et = {0};
	char secret[KEY_TEXT + 1];
	key_make(secret);
	m->row.id = id_new();
	m->row.user = m->user->id;
	m->row.prefix = str_mk(secret, KEY_PREFIX);
	m->row.created_ms = clock_unix_ms();
	sha256_of(str_c(secret), m->row.hash);
	enum err e = access_change(c, write_key, m, &et);
	if (e) {
		http_reply_error(rs, e, &et);
		return;
	}
	struct directory *d = access_directory(c);
	const struct dir_key *k = directory_key_by_id(d, m->row.id);
	struct buf out = {0};
	struct jw w = {.out = &out};
	jw_obj(&w);
	if (k)
		key_members(&w, k, m->row.created_ms);
	jw_kc(&w, "key", secret);
	jw_end(&w);
	http_set_header(rs, "cache-control", S("no-store"));
	http_reply_json(rs, 201, &w);
	buf_free(&out);
	directory_unref(d);
}

static enum err whose_key(const struct http_request *rq, const struct directory *d, struct str name,
	const struct dir_user **out, struct errtext *et)
{
	const struct access_context *x = context_of(rq);
	struct dir_user *u = NULL;
	if (!name.n && !x)
		return err_set(et, ERR_INVALID, "user: say whose key it is to be");
	if (x && (!name.n || str_eq(name, x->user->name))) {
		*out = x->user;
		return OK;
	}
	enum err e = need(rq, PERM_ACCESS_MANAGE, et);
	if (!e)
		e = find_user(d, name, &u, et);
	if (!e)
		e = may_govern(rq, u, et);
	if (!e)
		*out = u;
	return e;
}

/* Every key is in every server's memory: a user's are limited. */
static enum err room_for_key(
	const struct directory *d, const struct dir_user *u, struct errtext *et)
{
	size_t n = 0;
	for (size_t i = 0; i < d->n_keys; i++)
		n += d->keys[i].user == u;
	return n < KEYS_MAX ? OK
			    : err_set(et, ERR_LIMIT,
				      "%.*s has %zu keys, also ended ones, and no more are kept: "
				      "those that ended 90 days ago make room",
				      STR_FMT(u->name), n);
}

/* Permissions of the key: those asked for, never beyond those of the key that asks. */
static enum err key_perms(
	const struct http_request *rq, yyjson_val *o, struct str *out, struct errtext *et)
{
	const struct access_context *x = context_of(rq);
	yyjson_val *list = yyjson_obj_get(o, "permissions"), *v;
	struct buf words = {0};
	uint64_t mask = PERMS_ALL;
	size_t i, n;
	enum err e = OK;
	if (yyjson_is_arr(list)) {
		yyjson_arr_foreach(list, i, n, v)
		{
			buf_adds(&words, json_val_str(v));
			buf_putc(&words, ' ');
		}
		e = perms_parse(buf_str(&words), &mask, et);
		if (!e && !mask)
			e = err_set(et, ERR_INVALID, "permissions: a key without any is of no use");
	} else if (list && !yyjson_is_null(list)) {
		e = err_set(et, ERR_INVALID, "permissions: a list of words is expected");
	}
	if (!e && x && x->key && (mask & ~x->key->mask) && mask != PERMS_ALL)
		e = err_set(et, ERR_FORBIDDEN,
			"permissions: the key that you use has not all of them itself");
	if (!e && x && x->key)
		mask &= x->key->mask;
	buf_clear(&words);
	if (mask != PERMS_ALL)
		perms_text(&words, mask);
	*out = arena_str(rq->arena, buf_str(&words));
	buf_free(&words);
	return e;
}

static enum err key_project(const struct http_request *rq, const struct directory *d, yyjson_val *o,
	struct str *out, struct errtext *et)
{
	const struct access_context *x = context_of(rq);
	struct str project = {0};
	enum err e = json_want_str(o, "project", &project, et);
	if (e)
		return e;
	if (x && x->key && x->key->project.n) {
		if (project.n && !str_eq(project, x->key->project))
			return err_set(et, ERR_FORBIDDEN,
				"project: the key that you use is bound to %.*s",
				STR_FMT(x->key->project));
		project = x->key->project;
	}
	const struct dir_project *p = project.n ? directory_project(d, project) : NULL;
	bool sees = p &&
		    (!x || directory_member(x->user, S("*")) || directory_member(x->user, project));
	if (project.n && !sees)
		return err_set(et, ERR_NOT_FOUND,
			"there is no project %.*s, or you are no member of it",
			STR_FMT(str_sub(project, 0, NAME_MAX_BYTES)));
	*out = project;
	return OK;
}

/* "90d", or null: never. */
static enum err key_expiry(
	const struct http_request *rq, yyjson_val *o, int64_t *out, struct errtext *et)
{
	const struct access_context *x = context_of(rq);
	struct str text = {0};
	uint64_t ms = 0;
	enum err e = json_want_str(o, "expires_in", &text, et);
	if (e)
		return e;
	if (text.n && (!str_duration_ms(text, &ms) || !ms || ms > (uint64_t)EXPIRES_MAX_MS))
		return err_set(et, ERR_INVALID,
			"expires_in: a duration of at most ten years is expected, such as 90d");
	int64_t until = ms ? clock_unix_ms() + (int64_t)ms : 0;
	if (x && x->key && x->key->expires_ms)
		until = until ? MIN(until, x->key->expires_ms) : x->key->expires_ms;
	*out = until;
	return OK;
}

void post_key(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct directory *d = access_directory(c);
	struct making m = {.rq = rq};
	struct str user = {0};
	yyjson_val *o;
	enum err e = body_object(rq, &o, &et);
	if (!e)
		e = json_want_str(o, "user", &user, &et);
	if (!e)
		e = json_want_str(o, "name", &m.row.name, &et);
	if (!e && m.row.name.n > 200)
		e = err_set(&et, ERR_INVALID, "name: at most 200 bytes");
	if (!e)
		e = whose_key(rq, d, user, &m.user, &et);
	if (!e)
		e = room_for_key(d, directory_user_by_id(d, m.user->id), &et);
	if (!e)
		e = key_perms(rq, o, &m.row.perms, &et);
	if (!e)
		e = key_project(rq, d, o, &m.row.project, &et);
	if (!e)
		e = key_expiry(rq, o, &m.row.expires_ms, &et);
	if (e)
		http_reply_error(rs, e, &et);
	else
		make_key(c, &m, rs);
	directory_unref(d);
}

/* ---- ending ---- */

/* By its id or the beginning that is shown; what may not be seen is not there. */
static enum err find_key(const struct http_request *rq, const struct directory *d,
	const struct dir_key **out, struct errtext *et)
{
	struct str text = http_param(rq, "id");
	struct id id;
	const struct dir_key *k = id_parse(text, &id) ? directory_key_by_id(d, id) : NULL;
	for (size_t i = 0; i < d->n_keys && !k && text.n == KEY_PREFIX; i++)
		if (str_eq(d->keys[i].prefix, text))
			k = &d->keys[i];
	if (!k || !may_see(rq, k))
		return err_set(
			et, ERR_NOT_FOUND, "there is no key %.*s", STR_FMT(str_sub(text, 0, 40)));
	*out = k;
	return OK;
}

void rotate_key(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct directory *d = access_directory(c);
	const struct dir_key *k = NULL;
	const struct access_context *x = context_of(rq);
	struct str grace = {0};
	uint64_t grace_ms = 24 * 3600 * 1000;
	int64_t now = clock_unix_ms();
	struct buf perms = {0};
	yyjson_val *o;
	enum err e = find_key(rq, d, &k, &et);
	if (!e)
		e = body_object(rq, &o, &et);
	if (!e)
		e = json_want_str(o, "grace", &grace, &et);
	if (!e && grace.n && !str_eq_c(grace, "0") &&
		(!str_duration_ms(grace, &grace_ms) || grace_ms > GRACE_MAX_MS))
		e = err_set(&et, ERR_INVALID,
			"grace: a duration of at most 30d is expected, such as 24h, or 0");
	if (str_eq_c(grace, "0"))
		grace_ms = 0;
	if (!e)
		e = room_for_key(d, k->user, &et);
	if (!e && (k->revoked_ms || (k->expires_ms && now >= k->expires_ms)))
		e = err_set(&et, ERR_CONFLICT, "the key has ended: make a new one");
	/* the new secret is the key's user's: handing it to another needs what making one needs */
	if (!e && !(x && same_id(x->user->id, k->user->id))) {
		e = need(rq, PERM_ACCESS_MANAGE, &et);
		if (!e)
			e = may_govern(rq, k->user, &et);
	}
	if (!e && x && x->key && x->key != k && (k->mask & ~x->key->mask))
		e = err_set(
			&et, ERR_FORBIDDEN, "the key that you use has less rights than that one");
	if (e) {
		http_reply_error(rs, e, &et);
		directory_unref(d);
		return;
	}
	if (k->mask != PERMS_ALL)
		perms_text(&perms, k->mask);
	int64_t end = now + (int64_t)grace_ms;
	struct making m = {.rq = rq,
		.user = k->user,
		.old = k,
		.old_expires_ms = k->expires_ms ? MIN(k->expires_ms, end) : MAX(end, 1),
		.row = {.name = k->name, .project = k->project, .perms = buf_str(&perms)}};
	if (k->expires_ms) /* as long as the old one had */
		m.row.expires_ms = now + (k->expires_ms - k->created_ms);
	make_key(c, &m, rs);
	buf_free(&perms);
	directory_unref(d);
}

struct revoking {
	const struct http_request *rq;
	const struct dir_key *key;
};

static enum err write_revoked(struct tx *tx, void *ctx, struct errtext *et)
{
	struct revoking *r = ctx;
	struct buf detail = {0};
	struct jw w = {.out = &detail};
	jw_obj(&w);
	jw_kstr(&w, "user", r->key->user ? r->key->user->name : S(""));
	jw_kstr(&w, "name", r->key->name);
	jw_end(&w);
	enum err e = store_key_end(tx, r->key->id, r->key->expires_ms, clock_unix_ms(), et);
	if (!e)
		e = audit_in(tx, r->rq->who, r->key->project, "key.revoke", r->key->prefix,
			buf_str(&detail), et);
	buf_free(&detail);
	return e;
}

void delete_key(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct directory *d = access_directory(c);
	struct revoking r = {.rq = rq};
	enum err e = find_key(rq, d, &r.key, &et);
	if (!e && !r.key->revoked_ms)
		e = access_change(c, write_revoked, &r, &et);
	if (e)
		http_reply_error(rs, e, &et);
	else
		http_reply(rs, 200, "application/json", S("{\"revoked\":true}"));
	directory_unref(d);
}
