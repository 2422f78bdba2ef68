/* Signing in and out; who am I. */
#include "access/access_int.h"
#include "base/clock.h"

#include <stdio.h>

/* ---- who am I ---- */

static void projects_of(struct jw *w, const struct directory *d, const struct dir_user *u)
{
	jw_arr(w);
	for (size_t i = 0; i < d->n_projects; i++) {
		const struct dir_project *p = &d->projects[i];
		if (!p->archived &&
			(!u || directory_member(u, p->name) || directory_member(u, S("*"))))
			jw_str(w, p->name);
	}
	jw_end(w);
}

void me_json(struct jw *w, struct croft *c, const struct http_request *rq)
{
	const struct access_context *x = context_of(rq);
	struct directory *d = access_directory(c);
	const struct dir_user *u = x ? x->user : NULL;
	jw_obj(w);
	jw_kstr(w, "name", rq->who->name);
	jw_kstr(w, "display", u && u->display.n ? u->display : rq->who->name);
	jw_kc(w, "kind", !u ? "local" : u->service ? "service" : "person");
	jw_kc(w, "method",
		!u           ? (access_is_open(c, d) ? "open" : "local")
		: x->session ? "session"
			     : "key");
	jw_key(w, "project");
	str_eq(rq->who->project, NO_PROJECT) ? jw_null(w) : jw_str(w, rq->who->project);
	jw_key(w, "permissions");
	perms_json(w, rq->who->perms);
	jw_key(w, "everywhere");
	perms_json(w, rq->who->house);
	jw_key(w, "projects");
	projects_of(w, d, u);
	jw_kbool(w, "password", u && u->has_password);
	jw_end(w);
	directory_unref(d);
}

static void reply_me(struct croft *c, const struct http_request *rq, struct http_response *rs)
{
	struct buf out = {0};
	struct jw w = {.out = &out};
	me_json(&w, c, rq);
	http_reply_json(rs, 200, &w);
	buf_free(&out);
}

void get_me(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	reply_me(c, rq, rs);
}

/* ---- signing in ---- */

static struct str address_of(const struct http_request *rq)
{
	size_t colon = str_rchr(rq->peer, ':');
	return colon == STR_NONE ? rq->peer : str_sub(rq->peer, 0, colon);
}

/* Names of the two counts of failures: the account's and the address's. */
struct tries {
	struct str account, address;
	unsigned account_max, address_max;
};

static bool tries_of(
	struct croft *c, const struct http_request *rq, struct str name, struct tries *t)
{
	t->account = arena_fmt(rq->arena, "account %.*s", STR_FMT(str_sub(name, 0, 256)));
	t->address = arena_fmt(rq->arena, "address %.*s", STR_FMT(address_of(rq)));
	t->account_max = (unsigned)setting_int(c, "session.tries");
	t->address_max = (unsigned)setting_int(c, "session.address_tries");
	return t->account.p && t->address.p;
}

static enum err may_try(struct croft *c, const struct tries *t, struct http_response *rs,
	int64_t now, struct errtext *et)
{
	struct access *a = access_of(c);
	int64_t wait = throttle_wait_ms(a->throttle, t->account, now);
	int64_t other = t->address_max ? throttle_wait_ms(a->throttle, t->address, now) : 0;
	char seconds[24];
	wait = MAX(wait, other);
	if (!wait)
		return OK;
	snprintf(seconds, sizeof seconds, "%lld", (long long)(wait + 999) / 1000);
	http_set_header(rs, "retry-after", str_c(seconds));
	return err_set(et, ERR_BUSY,
		"too many failed tries: signing in is closed for this name or address for %s s",
		seconds);
}

struct locked {
	const struct dir_user *user;
	struct str address;
};

static enum err note_lock(struct tx *tx, void *ctx, struct errtext *et)
{
	struct locked *l = ctx;
	struct buf detail = {0};
	struct jw w = {.out = &detail};
	jw_obj(&w);
	jw_kstr(&w, "address", l->address);
	jw_end(&w);
	enum err e = audit_in(tx, NULL, S(""), "session.lock", l->user->name, buf_str(&detail), et);
	buf_free(&detail);
	return e;
}

/* Only lock-outs of accounts that exist are noted: strangers cannot fill the log. */
static void count_failure(struct croft *c, const struct http_request *rq, const struct tries *t,
	const struct dir_user *u, int64_t now)
{
	struct access *a = access_of(c);
	bool locks = throttle_fail(a->throttle, t->account, now, t->account_max);
	if (t->address_max)
		throttle_fail(a->throttle, t->address, now, t->address_max);
	if (!locks || !u)
		return;
	struct locked l = {u, address_of(rq)};
	struct errtext et;
	struct tx *tx;
	if (db_begin(croft_db(c), TX_WRITE, &tx, &et))
		return;
	if (note_lock(tx, &l, &et))
		db_rollback(tx);
	else if (db_commit(tx, &et))
		return;
}

static enum err stored_password(struct croft *c, const struct http_request *rq,
	const struct dir_user *u, struct str *out, struct errtext *et)
{
	struct tx *tx;
	*out = S("");
	if (!u)
		return OK;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = store_user_password(tx, u->id, rq->arena, out, et);
	db_rollback(tx);
	return e == ERR_NOT_FOUND ? OK : e;
}

/* One answer for an unknown name, a wrong password, an account without one and a disabled one, and
 * one duration. */
static enum err sign_in(struct croft *c, const struct http_request *rq, struct http_response *rs,
	struct str name, struct str password, struct id *out, struct errtext *et)
{
	struct directory *d = access_directory(c);
	const struct dir_user *u = directory_user(d, name);
	struct tries t;
	struct str stored;
	bool ok = false;
	int64_t now = clock_unix_ms();
	enum err e = tries_of(c, rq, name, &t) ? may_try(c, &t, rs, now, et)
					       : err_set(et, ERR_NOMEM, "no memory");
	if (!e)
		e = stored_password(c, rq, u, &stored, et);
	if (!e)
		e = password_verify(password, stored, &ok, et);
	if (!e && (!ok || !u || u->disabled)) {
		count_failure(c, rq, &t, u, now);
		e = err_set(et, ERR_UNAUTHENTICATED, "the name or the password is wrong");
	}
	if (!e) {
		throttle_clear(access_of(c)->throttle, t.account);
		*out = u->id;
	}
	directory_unref(d);
	return e;
}

void post_session(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct str name = {0}, password = {0};
	struct id user;
	yyjson_val *o;
	enum err e = body_object(rq, &o, &et);
	if (!e)
		e = json_want_str(o, "name", &name, &et);
	if (!e)
		e = json_want_str(o, "password", &password, &et);
	if (!e && (!name.n || !password.n || password.n > PASSWORD_MAX))
		e = err_set(&et, ERR_INVALID, "name and password are needed");
	if (!e)
		e = sign_in(c, rq, rs, name, password, &user, &et);
	if (!e)
		e = session_open(c, rq, rs, user, "password", &et);
	if (e)
		http_reply_error(rs, e, &et);
	else
		http_reply(rs, 200, "application/json", S("{\"signed_in\":true}"));
}

/* ---- signing out ---- */

struct ending {
	const struct principal *who;
	uint8_t hash[SHA256_BYTES];
};

static enum err end_session(struct tx *tx, void *ctx, struct errtext *et)
{
	struct ending *x = ctx;
	enum err e = store_session_delete(tx, x->hash, et);
	return e ? e
		 : audit_in(tx, x->who, S(""), "session.close", x->who->name, (struct str){0}, et);
}

enum err session_close(struct croft *c, const struct http_request *rq, struct http_response *rs,
	struct errtext *et)
{
	const struct access_context *x = context_of(rq);
	struct ending ending = {.who = rq->who};
	enum err e = OK;
	if (x && x->session) {
		memcpy(ending.hash, x->session_hash, SHA256_BYTES);
		e = access_change(c, end_session, &ending, et);
		session_drop(c, x->session_hash);
	}
	if (!e)
		session_forget(c, rq, rs);
	return e;
}

void delete_session(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	enum err e = session_close(c, rq, rs, &et);
	if (e) {
		http_reply_error(rs, e, &et);
		return;
	}
	http_reply(rs, 200, "application/json", S("{\"signed_in\":false}"));
}

/* ---- one's own password ---- */

struct password_change {
	const struct http_request *rq;
	struct user_row row;
};

static enum err write_password(struct tx *tx, void *ctx, struct errtext *et)
{
	struct password_change *p = ctx;
	const struct access_context *x = context_of(p->rq);
	enum err e = store_user_put(tx, &p->row, et);
	if (!e) /* whoever else is signed in as this user no longer is */
		e = store_sessions_end(tx, p->row.id, x->session ? x->session_hash : NULL, et);
	return e ? e
		 : audit_in(tx, p->rq->who, S(""), "user.password", p->row.name, (struct str){0},
			   et);
}

static enum err change_password(struct croft *c, struct http_request *rq, struct http_response *rs,
	struct str old, struct str wanted, struct errtext *et)
{
	const struct access_context *x = context_of(rq);
	char hash[PASSWORD_HASH];
	struct id user;
	if (!x || x->user->service)
		return err_set(et, ERR_INVALID, "only a person has a password");
	if (!x->session)
		return err_set(
			et, ERR_FORBIDDEN, "sign in to change the password: a key does not do");
	enum err e = password_check_policy(wanted, et);
	if (!e && x->user->has_password)
		e = sign_in(c, rq, rs, x->user->name, old, &user, et);
	if (!e)
		e = password_hash(wanted, hash, et);
	if (e)
		return e == ERR_UNAUTHENTICATED
			       ? err_set(et, ERR_FORBIDDEN, "the old password is wrong")
			       : e;
	struct password_change change = {.rq = rq,
		.row = {.id = x->user->id,
			.name = x->user->name,
			.display = x->user->display,
			.password = str_c(hash),
			.created_ms = x->user->created_ms}};
	return access_change(c, write_password, &change, et);
}

void put_password(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct str old = {0}, wanted = {0};
	yyjson_val *o;
	enum err e = body_object(rq, &o, &et);
	if (!e)
		e = json_want_str(o, "old", &old, &et);
	if (!e)
		e = json_want_str(o, "new", &wanted, &et);
	if (!e)
		e = change_password(c, rq, rs, old, wanted, &et);
	if (e)
		http_reply_error(rs, e, &et);
	else
		http_reply(rs, 200, "application/json", S("{\"changed\":true}"));
}
