/* Users, roles, projects and memberships. Reading comes from the directory; each change is one
 * transaction with its record in the audit log. */
#include "access/access_int.h"
#include "base/clock.h"

#include <ctype.h>

/* ---- what routes share ---- */

bool name_ok(struct str name)
{
	if (!name.n || name.n > NAME_MAX_BYTES || !isalnum((unsigned char)name.p[0]))
		return false;
	for (size_t i = 0; i < name.n; i++) {
		unsigned char ch = (unsigned char)name.p[i];
		if (!islower(ch) && !isdigit(ch) && !strchr("._-@", ch))
			return false;
	}
	return true;
}

enum err want_name(yyjson_val *o, const char *key, struct str *out, struct errtext *et)
{
	struct str name = {0};
	enum err e = json_want_str(o, key, &name, et);
	if (!e && !name_ok(name))
		e = err_set(et, ERR_INVALID, "%s: \"%.*s\" is no name: " NAME_RULE, key,
			STR_FMT(str_sub(name, 0, NAME_MAX_BYTES)));
	if (!e)
		*out = name;
	return e;
}

static void free_doc(void *doc)
{
	yyjson_doc_free(doc);
}

enum err body_object(const struct http_request *rq, yyjson_val **out, struct errtext *et)
{
	yyjson_doc *doc;
	enum err e = json_parse(rq->body.n ? rq->body : S("{}"), &doc, et);
	if (e)
		return e;
	if (!arena_on_free(rq->arena, free_doc, doc)) {
		yyjson_doc_free(doc);
		return err_set(et, ERR_NOMEM, "no memory for a request");
	}
	*out = yyjson_doc_get_root(doc);
	return yyjson_is_obj(*out) ? OK : err_set(et, ERR_INVALID, "a JSON object is expected");
}

void time_or_null(struct jw *w, const char *key, int64_t ms)
{
	char text[CLOCK_TEXT];
	clock_rfc3339(ms, text);
	jw_kc(w, key, ms ? text : NULL);
}

static enum err want_text(yyjson_val *o, const char *key, struct str *out, struct errtext *et)
{
	enum err e = json_want_str(o, key, out, et);
	if (!e && out->n > TEXT_MAX_BYTES)
		e = err_set(et, ERR_INVALID, "%s: at most %d bytes", key, TEXT_MAX_BYTES);
	if (!e && out->n && memchr(out->p, 0, out->n))
		e = err_set(et, ERR_INVALID, "%s: a NUL character cannot be kept", key);
	return e;
}

enum err find_user(
	const struct directory *d, struct str name, struct dir_user **out, struct errtext *et)
{
	struct dir_user *u = directory_user(d, name);
	if (!u)
		return err_set(et, ERR_NOT_FOUND, "there is no user %.*s",
			STR_FMT(str_sub(name, 0, NAME_MAX_BYTES)));
	*out = u;
	return OK;
}

static enum err within(const struct http_request *rq, uint64_t mask, uint64_t own, const char *what,
	struct errtext *et)
{
	struct buf words = {0};
	if (!(mask & ~own))
		return OK;
	perms_text(&words, mask & ~own);
	enum err e = err_set(et, ERR_FORBIDDEN,
		"%s gives more than you have yourself in this place: %.300s", what, buf_c(&words));
	buf_free(&words);
	return e;
}

enum err may_govern(const struct http_request *rq, const struct dir_user *u, struct errtext *et)
{
	uint64_t all = 0;
	for (const struct dir_member *m = u->members; m; m = m->next)
		all |= m->mask;
	return within(rq, all, rq->who->house, "this user's role", et);
}

/* A change of one row, and the record of it. */
struct change {
	const struct http_request *rq;
	const char *action;
	struct str subject;
	struct buf detail;
	struct jw w;
	struct user_row user;
	struct str project, role, about, rules, perms;
	bool archived, end_sessions, set_role;
};

static void change_begin(
	struct change *ch, const struct http_request *rq, const char *action, struct str subject)
{
	*ch = (struct change){.rq = rq, .action = action, .subject = subject};
	ch->w.out = &ch->detail;
	jw_obj(&ch->w);
}

static enum err change_note(struct tx *tx, struct change *ch, struct errtext *et)
{
	return audit_in(
		tx, ch->rq->who, ch->project, ch->action, ch->subject, buf_str(&ch->detail), et);
}

static enum err change_run(
	struct croft *c, struct change *ch, access_change_fn fn, struct errtext *et)
{
	jw_end(&ch->w);
	enum err e =
		ch->detail.err ? err_set(et, ERR_NOMEM, "no memory") : access_change(c, fn, ch, et);
	buf_free(&ch->detail);
	return e;
}

static void reply_done(struct http_response *rs, enum err e, const struct errtext *et)
{
	if (e)
		http_reply_error(rs, e, et);
	else
		http_reply(rs, 200, "application/json", S("{\"done\":true}"));
}

/* What follows when a request was read: the change, unless e says what was wrong, and the answer.
 */
static void change_end(struct croft *c, struct http_response *rs, struct directory *d,
	struct change *ch, enum err e, access_change_fn fn, struct errtext *et)
{
	if (!e)
		e = change_run(c, ch, fn, et);
	else
		buf_free(&ch->detail);
	directory_unref(d);
	reply_done(rs, e, et);
}

static void list_begin(struct jw *w, const char *key)
{
	jw_obj(w);
	jw_key(w, key);
	jw_arr(w);
}

static void list_end(struct http_response *rs, struct jw *w)
{
	jw_end(w);
	jw_end(w);
	http_reply_json(rs, 200, w);
	buf_free(w->out);
}

/* ---- users ---- */

static void user_json(struct jw *w, const struct dir_user *u)
{
	const struct dir_member *all = directory_member(u, S("*"));
	char id[ID_HEX + 1];
	id_hex(u->id, id);
	jw_obj(w);
	jw_kc(w, "id", id);
	jw_kstr(w, "name", u->name);
	jw_kstr(w, "display", u->display);
	jw_kc(w, "kind", u->service ? "service" : "person");
	jw_kbool(w, "disabled", u->disabled);
	jw_kbool(w, "password", u->has_password);
	jw_key(w, "role");
	all ? jw_str(w, all->role) : jw_null(w);
	jw_key(w, "projects");
	jw_arr(w);
	for (const struct dir_member *m = u->members; m; m = m->next) {
		if (m == all)
			continue;
		jw_obj(w);
		jw_kstr(w, "project", m->project);
		jw_kstr(w, "role", m->role);
		jw_end(w);
	}
	jw_end(w);
	time_or_null(w, "created", u->created_ms);
	jw_end(w);
}

void get_users(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct directory *d = access_directory(c);
	struct buf out = {0};
	struct jw w = {.out = &out};
	list_begin(&w, "users");
	for (size_t i = 0; i < d->n_users; i++)
		user_json(&w, &d->users[i]);
	list_end(rs, &w);
	directory_unref(d);
}

static void reply_user(struct croft *c, struct http_response *rs, int status, struct str name)
{
	struct directory *d = access_directory(c);
	const struct dir_user *u = directory_user(d, name);
	struct buf out = {0};
	struct jw w = {.out = &out};
	if (u)
		user_json(&w, u);
	else
		jw_null(&w);
	http_reply_json(rs, status, &w);
	buf_free(&out);
	directory_unref(d);
}

/* A role in every project: "" or null takes it away. */
static enum err house_role(const struct http_request *rq, const struct directory *d, yyjson_val *o,
	struct change *ch, struct errtext *et)
{
	yyjson_val *v = yyjson_obj_get(o, "role");
	enum err e = json_want_str(o, "role", &ch->role, et);
	ch->set_role = v != NULL;
	if (e || !ch->role.n)
		return e;
	const struct dir_role *role = directory_role(d, ch->role);
	if (!role)
		return err_set(et, ERR_INVALID, "role: there is no role %.*s",
			STR_FMT(str_sub(ch->role, 0, NAME_MAX_BYTES)));
	jw_kstr(&ch->w, "role", ch->role);
	return within(rq, role->mask, rq->who->house, "the role", et);
}

/* hash lives as long as the change. */
static enum err new_password(
	yyjson_val *o, struct change *ch, char hash[PASSWORD_HASH], struct errtext *et)
{
	struct str password = {0};
	enum err e = json_want_str(o, "password", &password, et);
	if (e || !password.p)
		return e;
	if (ch->user.service)
		return err_set(
			et, ERR_INVALID, "password: a service account has none, make a key for it");
	e = password_check_policy(password, et);
	if (!e)
		e = password_hash(password, hash, et);
	if (e)
		return e;
	ch->user.password = str_c(hash);
	ch->end_sessions = true;
	jw_kbool(&ch->w, "password", true);
	return OK;
}

static enum err set_house_role(struct tx *tx, struct change *ch, struct errtext *et)
{
	if (!ch->set_role)
		return OK;
	return ch->role.n ? store_member_put(tx, ch->user.id, S("*"), ch->role, S(""), et)
			  : store_member_delete(tx, ch->user.id, S("*"), et);
}

static enum err write_user(struct tx *tx, void *ctx, struct errtext *et)
{
	struct change *ch = ctx;
	struct str hash = ch->user.password;
	bool taken = false;
	enum err e = store_user_named(tx, ch->user.name, &taken, et);
	if (!e && taken && str_eq_c(str_c(ch->action), "user.add"))
		e = err_set(
			et, ERR_CONFLICT, "there is a user %.*s already", STR_FMT(ch->user.name));
	struct arena *a = arena_new(1 << 16);
	if (!e && !a)
		e = err_set(et, ERR_NOMEM, "no memory");
	/* what is not changed stays: the directory does not have it */
	if (!e && !hash.n && !str_eq_c(str_c(ch->action), "user.add"))
		e = store_user_password(tx, ch->user.id, a, &ch->user.password, et);
	if (!e)
		e = store_user_put(tx, &ch->user, et);
	if (!e)
		e = set_house_role(tx, ch, et);
	if (!e && (ch->end_sessions || ch->user.disabled))
		e = store_sessions_end(tx, ch->user.id, NULL, et);
	arena_free(a);
	return e ? e : change_note(tx, ch, et);
}

void post_user(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct directory *d = access_directory(c);
	struct change ch;
	struct str kind = S("person");
	char hash[PASSWORD_HASH];
	yyjson_val *o;
	change_begin(&ch, rq, "user.add", (struct str){0});
	ch.user = (struct user_row){.id = id_new(), .created_ms = clock_unix_ms()};
	enum err e = body_object(rq, &o, &et);
	if (!e)
		e = want_name(o, "name", &ch.user.name, &et);
	if (!e)
		e = json_want_str(o, "kind", &kind, &et);
	if (!e && !str_eq_c(kind, "person") && !str_eq_c(kind, "service"))
		e = err_set(&et, ERR_INVALID, "kind: person or service is expected");
	ch.user.service = str_eq_c(kind, "service");
	jw_kstr(&ch.w, "kind", kind);
	if (!e)
		e = want_text(o, "display", &ch.user.display, &et);
	if (!e)
		e = house_role(rq, d, o, &ch, &et);
	if (!e)
		e = new_password(o, &ch, hash, &et);
	ch.subject = ch.user.name;
	if (!e)
		e = change_run(c, &ch, write_user, &et);
	else
		buf_free(&ch.detail);
	directory_unref(d);
	if (e)
		http_reply_error(rs, e, &et);
	else
		reply_user(c, rs, 201, ch.user.name);
}

void patch_user(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct directory *d = access_directory(c);
	struct dir_user *u = NULL;
	struct change ch;
	char hash[PASSWORD_HASH];
	yyjson_val *o;
	change_begin(&ch, rq, "user.change", http_param(rq, "name"));
	enum err e = find_user(d, ch.subject, &u, &et);
	if (!e)
		e = may_govern(rq, u, &et);
	if (!e)
		e = body_object(rq, &o, &et);
	if (!e) {
		ch.user = (struct user_row){.id = u->id,
			.name = u->name,
			.display = u->display,
			.service = u->service,
			.disabled = u->disabled,
			.created_ms = u->created_ms};
		e = want_text(o, "display", &ch.user.display, &et);
	}
	if (!e)
		e = json_want_bool(o, "disabled", &ch.user.disabled, &et);
	if (!e && ch.user.disabled != u->disabled)
		jw_kbool(&ch.w, "disabled", ch.user.disabled);
	if (!e)
		e = house_role(rq, d, o, &ch, &et);
	if (!e)
		e = new_password(o, &ch, hash, &et);
	if (!e && ch.set_role && !ch.role.n)
		jw_kc(&ch.w, "role", NULL);
	if (!e)
		e = change_run(c, &ch, write_user, &et);
	else
		buf_free(&ch.detail);
	if (e)
		http_reply_error(rs, e, &et);
	else
		reply_user(c, rs, 200, u->name);
	directory_unref(d);
}

static enum err remove_user(struct tx *tx, void *ctx, struct errtext *et)
{
	struct change *ch = ctx;
	enum err e = store_user_delete(tx, ch->user.id, et);
	return e ? e : change_note(tx, ch, et);
}

void delete_user(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct directory *d = access_directory(c);
	struct dir_user *u = NULL;
	struct change ch;
	change_begin(&ch, rq, "user.remove", http_param(rq, "name"));
	enum err e = find_user(d, ch.subject, &u, &et);
	if (!e)
		e = may_govern(rq, u, &et);
	if (!e) {
		ch.user.id = u->id;
		e = change_run(c, &ch, remove_user, &et);
	} else {
		buf_free(&ch.detail);
	}
	directory_unref(d);
	reply_done(rs, e, &et);
}

/* ---- permissions and roles ---- */

void get_permissions(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct buf out = {0};
	struct jw w = {.out = &out};
	list_begin(&w, "permissions");
	for (unsigned p = PERM_SIGNED_IN + 1; p < PERM_COUNT; p++) {
		jw_obj(&w);
		jw_kc(&w, "name", perm_word((enum perm)p));
		jw_kc(&w, "about", perm_about((enum perm)p));
		jw_kbool(&w, "everywhere", (perms_house() & PERM_BIT(p)) != 0);
		jw_end(&w);
	}
	list_end(rs, &w);
}

void get_roles(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct directory *d = access_directory(c);
	struct buf out = {0};
	struct jw w = {.out = &out};
	list_begin(&w, "roles");
	for (size_t i = 0; i < d->n_roles; i++) {
		const struct dir_role *r = &d->roles[i];
		jw_obj(&w);
		jw_kstr(&w, "name", r->name);
		jw_kstr(&w, "about", r->about);
		jw_kbool(&w, "builtin", r->builtin);
		jw_key(&w, "permissions");
		perms_json(&w, r->mask);
		jw_kstr(&w, "rules", r->rules_text);
		jw_end(&w);
	}
	list_end(rs, &w);
	directory_unref(d);
}

static enum err write_role(struct tx *tx, void *ctx, struct errtext *et)
{
	struct change *ch = ctx;
	enum err e = store_role_put(tx, ch->subject, ch->about, ch->perms, ch->rules, et);
	return e ? e : change_note(tx, ch, et);
}

static enum err role_perms(
	const struct http_request *rq, yyjson_val *o, struct change *ch, struct errtext *et)
{
	yyjson_val *list = yyjson_obj_get(o, "permissions"), *v;
	struct buf words = {0};
	uint64_t mask = 0;
	size_t i, n;
	yyjson_arr_foreach(list, i, n, v)
	{
		buf_adds(&words, json_val_str(v));
		buf_putc(&words, ' ');
	}
	enum err e = perms_parse(buf_str(&words), &mask, et);
	if (!e && !mask)
		e = err_set(et, ERR_INVALID, "permissions: a list of at least one is expected");
	if (!e)
		e = within(rq, mask, rq->who->house, "the role", et);
	buf_clear(&words);
	perms_text(&words, mask);
	ch->perms = arena_str(rq->arena, buf_str(&words));
	jw_kstr(&ch->w, "permissions", buf_str(&words));
	buf_free(&words);
	return e;
}

static enum err want_rules(
	const struct http_request *rq, yyjson_val *o, struct change *ch, struct errtext *et)
{
	struct rules *rules;
	enum err e = json_want_str(o, "rules", &ch->rules, et);
	if (!e)
		e = rules_parse(ch->rules, rq->arena, &rules, et);
	if (!e && ch->rules.n)
		jw_kstr(&ch->w, "rules", ch->rules);
	return e;
}

static enum err custom_role(struct str name, struct errtext *et)
{
	uint64_t mask;
	if (!name_ok(name))
		return err_set(et, ERR_INVALID, "\"%.*s\" is no name for a role: " NAME_RULE,
			STR_FMT(str_sub(name, 0, NAME_MAX_BYTES)));
	return builtin_role_mask(name, &mask)
		       ? err_set(et, ERR_CONFLICT, "%.*s is a built-in role: it stays as it is",
				 STR_FMT(name))
		       : OK;
}

void put_role(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct directory *d = access_directory(c);
	struct change ch;
	yyjson_val *o;
	change_begin(&ch, rq, "role.put", http_param(rq, "name"));
	enum err e = custom_role(ch.subject, &et);
	const struct dir_role *old = e ? NULL : directory_role(d, ch.subject);
	if (!e && old)
		e = within(rq, old->mask, rq->who->house, "the role", &et);
	if (!e)
		e = body_object(rq, &o, &et);
	if (!e)
		e = want_text(o, "about", &ch.about, &et);
	if (!e)
		e = role_perms(rq, o, &ch, &et);
	if (!e)
		e = want_rules(rq, o, &ch, &et);
	change_end(c, rs, d, &ch, e, write_role, &et);
}

static enum err remove_role(struct tx *tx, void *ctx, struct errtext *et)
{
	struct change *ch = ctx;
	enum err e = store_role_delete(tx, ch->subject, et);
	return e ? e : change_note(tx, ch, et);
}

void delete_role(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct directory *d = access_directory(c);
	struct change ch;
	change_begin(&ch, rq, "role.remove", http_param(rq, "name"));
	enum err e = custom_role(ch.subject, &et);
	if (!e && !directory_role(d, ch.subject))
		e = err_set(&et, ERR_NOT_FOUND, "there is no role %.*s", STR_FMT(ch.subject));
	for (size_t i = 0; i < d->n_members && !e; i++)
		if (str_eq(d->members[i].role, ch.subject))
			e = err_set(&et, ERR_CONFLICT,
				"%.*s still has this role: give its holders another one first",
				STR_FMT(d->members[i].user ? d->members[i].user->name : S("")));
	change_end(c, rs, d, &ch, e, remove_role, &et);
}

/* ---- projects ---- */

static const struct dir_member *membership(const struct http_request *rq, struct str project)
{
	const struct access_context *x = context_of(rq);
	const struct dir_member *one = directory_member(x->user, project);
	return one ? one : directory_member(x->user, S("*"));
}

void get_projects(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct directory *d = access_directory(c);
	struct buf out = {0};
	struct jw w = {.out = &out};
	list_begin(&w, "projects");
	for (size_t i = 0; i < d->n_projects; i++) {
		const struct dir_project *p = &d->projects[i];
		const struct dir_member *m = context_of(rq) ? membership(rq, p->name) : NULL;
		const struct access_context *x = context_of(rq);
		if ((x && !m) || (p->archived && !may(rq, PERM_ACCESS_MANAGE)) ||
			(x && x->key && x->key->project.n && !str_eq(x->key->project, p->name)))
			continue;
		jw_obj(&w);
		jw_kstr(&w, "name", p->name);
		jw_kstr(&w, "about", p->about);
		jw_kbool(&w, "archived", p->archived);
		jw_key(&w, "role");
		m ? jw_str(&w, m->role) : jw_null(&w);
		jw_end(&w);
	}
	list_end(rs, &w);
	directory_unref(d);
}

static enum err write_project(struct tx *tx, void *ctx, struct errtext *et)
{
	struct change *ch = ctx;
	enum err e = store_project_put(tx, ch->subject, ch->about, ch->archived, et);
	return e ? e : change_note(tx, ch, et);
}

void post_project(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct directory *d = access_directory(c);
	struct change ch;
	yyjson_val *o;
	change_begin(&ch, rq, "project.add", (struct str){0});
	enum err e = body_object(rq, &o, &et);
	if (!e)
		e = want_name(o, "name", &ch.subject, &et);
	if (!e)
		e = want_text(o, "about", &ch.about, &et);
	if (!e && directory_project(d, ch.subject))
		e = err_set(
			&et, ERR_CONFLICT, "there is a project %.*s already", STR_FMT(ch.subject));
	change_end(c, rs, d, &ch, e, write_project, &et);
}

void patch_project(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct directory *d = access_directory(c);
	struct change ch;
	yyjson_val *o;
	change_begin(&ch, rq, "project.change", http_param(rq, "name"));
	const struct dir_project *p = directory_project(d, ch.subject);
	enum err e = p ? body_object(rq, &o, &et)
		       : err_set(&et, ERR_NOT_FOUND, "there is no project %.*s",
				 STR_FMT(str_sub(ch.subject, 0, NAME_MAX_BYTES)));
	if (!e) {
		ch.about = p->about;
		ch.archived = p->archived;
		e = want_text(o, "about", &ch.about, &et);
	}
	if (!e)
		e = json_want_bool(o, "archived", &ch.archived, &et);
	if (!e && ch.archived && str_eq_c(p->name, "default"))
		e = err_set(&et, ERR_CONFLICT, "the project default cannot be archived");
	if (!e && ch.archived != p->archived)
		jw_kbool(&ch.w, "archived", ch.archived);
	change_end(c, rs, d, &ch, e, write_project, &et);
}

/* ---- members of the request's project ---- */

static void member_json(struct jw *w, const struct dir_member *m)
{
	jw_obj(w);
	jw_kstr(w, "user", m->user->name);
	jw_kstr(w, "display", m->user->display);
	jw_kc(w, "kind", m->user->service ? "service" : "person");
	jw_kstr(w, "role", m->role);
	jw_kstr(w, "rules", m->rules_text);
	jw_kbool(w, "everywhere", str_eq_c(m->project, "*"));
	jw_end(w);
}

void get_members(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct directory *d = access_directory(c);
	struct str project = project_of(rq);
	struct buf out = {0};
	struct jw w = {.out = &out};
	jw_obj(&w);
	jw_kstr(&w, "project", project);
	jw_key(&w, "members");
	jw_arr(&w);
	for (size_t i = d->n_members; i-- > 0;) {
		const struct dir_member *m = &d->members[i];
		if (m->user && (str_eq(m->project, project) || str_eq_c(m->project, "*")))
			member_json(&w, m);
	}
	list_end(rs, &w);
	directory_unref(d);
}

/* Who is bound by rules could undo them by giving another account the role without them. */
static enum err unbound(const struct http_request *rq, struct errtext *et)
{
	const struct access_context *x = context_of(rq);
	for (size_t i = 0; x && i < x->n_grants; i++)
		if (x->grants[i]->rules || x->grants[i]->role_rules)
			return err_set(et, ERR_FORBIDDEN,
				"your role is bound by rules: who is may not manage members");
	return OK;
}

static enum err member_of_path(const struct http_request *rq, const struct directory *d,
	struct change *ch, struct errtext *et)
{
	struct dir_user *u = NULL;
	ch->project = project_of(rq);
	jw_kstr(&ch->w, "project", ch->project);
	enum err e = find_user(d, ch->subject, &u, et);
	if (!e)
		e = unbound(rq, et);
	if (e)
		return e;
	ch->user.id = u->id;
	const struct dir_member *old = directory_member(u, ch->project);
	return old ? within(rq, old->mask, rq->who->perms, "the member's present role", et) : OK;
}

static enum err write_member(struct tx *tx, void *ctx, struct errtext *et)
{
	struct change *ch = ctx;
	enum err e = store_member_put(tx, ch->user.id, ch->project, ch->role, ch->rules, et);
	return e ? e : change_note(tx, ch, et);
}

void put_member(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct directory *d = access_directory(c);
	struct change ch;
	yyjson_val *o;
	change_begin(&ch, rq, "member.put", http_param(rq, "user"));
	enum err e = member_of_path(rq, d, &ch, &et);
	if (!e)
		e = body_object(rq, &o, &et);
	if (!e)
		e = want_name(o, "role", &ch.role, &et);
	const struct dir_role *role = e ? NULL : directory_role(d, ch.role);
	if (!e && !role)
		e = err_set(&et, ERR_INVALID, "role: there is no role %.*s", STR_FMT(ch.role));
	if (!e)
		e = within(rq, role->mask & ~perms_house(), rq->who->perms, "the role", &et);
	if (!e)
		e = want_rules(rq, o, &ch, &et);
	jw_kstr(&ch.w, "role", ch.role);
	change_end(c, rs, d, &ch, e, write_member, &et);
}

static enum err remove_member(struct tx *tx, void *ctx, struct errtext *et)
{
	struct change *ch = ctx;
	enum err e = store_member_delete(tx, ch->user.id, ch->project, et);
	return e ? e : change_note(tx, ch, et);
}

void delete_member(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct directory *d = access_directory(c);
	struct change ch;
	change_begin(&ch, rq, "member.remove", http_param(rq, "user"));
	enum err e = member_of_path(rq, d, &ch, &et);
	const struct dir_user *u = e ? NULL : directory_user(d, ch.subject);
	if (!e && !directory_member(u, ch.project))
		e = err_set(&et, ERR_NOT_FOUND, "%.*s is no member of %.*s", STR_FMT(ch.subject),
			STR_FMT(ch.project));
	change_end(c, rs, d, &ch, e, remove_member, &et);
}
