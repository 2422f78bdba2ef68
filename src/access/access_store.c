/* SQL of projects, users, roles, memberships, keys and sessions. Few rows, written seldom, read
 * whole into the directory; only passwords and sessions are read one by one. */
#include "access/access_int.h"
#include "base/clock.h"

const struct migration access_migrations[N_ACCESS_MIGRATIONS] = {
	{1, "audit log",
		"CREATE TABLE audit ("
		" seq BIGINT PRIMARY KEY, time_ms BIGINT NOT NULL, actor_id BLOB NOT NULL,"
		" actor TEXT NOT NULL, project TEXT NOT NULL, action TEXT NOT NULL,"
		" subject TEXT NOT NULL, detail TEXT NOT NULL, prev BLOB NOT NULL, hash BLOB NOT "
		"NULL);"
		"CREATE INDEX audit_by_time ON audit (time_ms);"
		"CREATE INDEX audit_by_actor ON audit (actor, seq);"
		"CREATE INDEX audit_by_action ON audit (action, seq);"
		"CREATE INDEX audit_by_subject ON audit (subject, seq);"
		"CREATE INDEX audit_by_project ON audit (project, seq);"},
	{2, "projects, users, roles, memberships, keys, sessions",
		"CREATE TABLE access_project (name TEXT PRIMARY KEY, about TEXT NOT NULL,"
		" archived BIGINT NOT NULL, created_ms BIGINT NOT NULL);"
		"INSERT INTO access_project (name, about, archived, created_ms)"
		" VALUES ('default', 'What names no other project', 0, 0);"
		"CREATE TABLE access_user (id BLOB PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
		" display TEXT NOT NULL, service BIGINT NOT NULL, disabled BIGINT NOT NULL,"
		" password TEXT NOT NULL, created_ms BIGINT NOT NULL);"
		"CREATE TABLE access_role (name TEXT PRIMARY KEY, about TEXT NOT NULL,"
		" perms TEXT NOT NULL, rules TEXT NOT NULL);"
		"CREATE TABLE access_member (person BLOB NOT NULL REFERENCES access_user (id) ON "
		"DELETE CASCADE,"
		" project TEXT NOT NULL, role TEXT NOT NULL, rules TEXT NOT NULL,"
		" PRIMARY KEY (person, project));"
		"CREATE TABLE access_key (id BLOB PRIMARY KEY,"
		" person BLOB NOT NULL REFERENCES access_user (id) ON DELETE CASCADE,"
		" name TEXT NOT NULL, prefix TEXT NOT NULL, hash BLOB NOT NULL UNIQUE,"
		" project TEXT NOT NULL, perms TEXT NOT NULL, created_ms BIGINT NOT NULL,"
		" expires_ms BIGINT NOT NULL, revoked_ms BIGINT NOT NULL, used_ms BIGINT NOT NULL);"
		"CREATE INDEX access_key_by_person ON access_key (person);"
		"CREATE TABLE access_session (hash BLOB PRIMARY KEY,"
		" person BLOB NOT NULL REFERENCES access_user (id) ON DELETE CASCADE,"
		" method TEXT NOT NULL, address TEXT NOT NULL, agent TEXT NOT NULL,"
		" created_ms BIGINT NOT NULL, seen_ms BIGINT NOT NULL, expires_ms BIGINT NOT "
		"NULL);"
		"CREATE INDEX access_session_by_person ON access_session (person);"
		"CREATE INDEX access_session_by_expiry ON access_session (expires_ms);"
		"CREATE TABLE access_secret (name TEXT PRIMARY KEY, value BLOB NOT NULL);"
		"CREATE TABLE access_version (name TEXT PRIMARY KEY, value BIGINT NOT NULL);"
		"INSERT INTO access_version (name, value) VALUES ('directory', 1);"},
};

static struct str text_or_empty(struct str s)
{
	return s.p ? s : S("");
}

/* ---- users ---- */

enum err store_user_put(struct tx *tx, const struct user_row *u, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO access_user (id, name, display, service, disabled, password, "
		"created_ms) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
		"display = excluded.display, disabled = excluded.disabled, "
		"password = excluded.password",
		P_ID(u->id), P_TEXT(u->name), P_TEXT(text_or_empty(u->display)), P_I64(u->service),
		P_I64(u->disabled), P_TEXT(text_or_empty(u->password)), P_I64(u->created_ms));
}

enum err store_user_named(struct tx *tx, struct str name, bool *taken, struct errtext *et)
{
	struct row *r;
	enum err e =
		db_query(tx, &r, et, "SELECT id FROM access_user WHERE name = ?", P_TEXT(name));
	if (e)
		return e;
	bool there = row_next(r, &e, et);
	row_free(r);
	if (!e)
		*taken = there;
	return e;
}

enum err store_user_delete(struct tx *tx, struct id id, struct errtext *et)
{
	static const char *const statements[] = {"DELETE FROM access_session WHERE person = ?",
		"DELETE FROM access_key WHERE person = ?",
		"DELETE FROM access_member WHERE person = ?",
		"DELETE FROM access_user WHERE id = ?"};
	enum err e = OK;
	for (size_t i = 0; i < ARRAY_LEN(statements) && !e; i++)
		e = db_exec(tx, et, statements[i], P_ID(id));
	return e;
}

enum err store_user_password(
	struct tx *tx, struct id id, struct arena *a, struct str *out, struct errtext *et)
{
	struct row *r;
	enum err e =
		db_query(tx, &r, et, "SELECT password FROM access_user WHERE id = ?", P_ID(id));
	if (e)
		return e;
	struct str s = {0};
	if (row_next(r, &e, et)) {
		s = arena_str(a, row_text(r, 0));
		if (!s.p)
			e = err_set(et, ERR_NOMEM, "no memory");
	} else if (!e) {
		e = err_set(et, ERR_NOT_FOUND, "there is no such user");
	}
	row_free(r);
	if (!e)
		*out = s;
	return e;
}

/* ---- keys ---- */

enum err store_key_put(struct tx *tx, const struct key_row *k, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO access_key (id, person, name, prefix, hash, project, perms, "
		"created_ms, expires_ms, revoked_ms, used_ms) "
		"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		P_ID(k->id), P_ID(k->user), P_TEXT(text_or_empty(k->name)),
		P_TEXT(text_or_empty(k->prefix)), P_BLOB(str_mk(k->hash, SHA256_BYTES)),
		P_TEXT(text_or_empty(k->project)), P_TEXT(text_or_empty(k->perms)),
		P_I64(k->created_ms), P_I64(k->expires_ms), P_I64(k->revoked_ms),
		P_I64(k->used_ms));
}

enum err store_key_end(
	struct tx *tx, struct id id, int64_t expires_ms, int64_t revoked_ms, struct errtext *et)
{
	return db_exec(tx, et, "UPDATE access_key SET expires_ms = ?, revoked_ms = ? WHERE id = ?",
		P_I64(expires_ms), P_I64(revoked_ms), P_ID(id));
}

enum err store_key_used(struct tx *tx, struct id id, int64_t ms, struct errtext *et)
{
	return db_exec(tx, et, "UPDATE access_key SET used_ms = ? WHERE id = ? AND used_ms < ?",
		P_I64(ms), P_ID(id), P_I64(ms));
}

/* ---- roles, projects, memberships ---- */

enum err store_role_put(struct tx *tx, struct str name, struct str about, struct str perms,
	struct str rules, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO access_role (name, about, perms, rules) VALUES (?, ?, ?, ?) "
		"ON CONFLICT (name) DO UPDATE SET about = excluded.about, perms = excluded.perms, "
		"rules = excluded.rules",
		P_TEXT(name), P_TEXT(text_or_empty(about)), P_TEXT(text_or_empty(perms)),
		P_TEXT(text_or_empty(rules)));
}

enum err store_role_delete(struct tx *tx, struct str name, struct errtext *et)
{
	return db_exec(tx, et, "DELETE FROM access_role WHERE name = ?", P_TEXT(name));
}

enum err store_project_put(
	struct tx *tx, struct str name, struct str about, bool archived, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO access_project (name, about, archived, created_ms) VALUES (?, ?, ?, "
		"?) "
		"ON CONFLICT (name) DO UPDATE SET about = excluded.about, "
		"archived = excluded.archived",
		P_TEXT(name), P_TEXT(text_or_empty(about)), P_I64(archived),
		P_I64(clock_unix_ms()));
}

enum err store_member_put(struct tx *tx, struct id user, struct str project, struct str role,
	struct str rules, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO access_member (person, project, role, rules) VALUES (?, ?, ?, ?) "
		"ON CONFLICT (person, project) DO UPDATE SET role = excluded.role, "
		"rules = excluded.rules",
		P_ID(user), P_TEXT(project), P_TEXT(role), P_TEXT(text_or_empty(rules)));
}

enum err store_member_delete(struct tx *tx, struct id user, struct str project, struct errtext *et)
{
	return db_exec(tx, et, "DELETE FROM access_member WHERE person = ? AND project = ?",
		P_ID(user), P_TEXT(project));
}

/* ---- sessions ---- */

enum err store_session_put(struct tx *tx, const struct session_row *s, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO access_session (hash, person, method, address, agent, created_ms, "
		"seen_ms, expires_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		P_BLOB(str_mk(s->hash, SHA256_BYTES)), P_ID(s->user),
		P_TEXT(text_or_empty(s->method)), P_TEXT(text_or_empty(s->address)),
		P_TEXT(text_or_empty(s->agent)), P_I64(s->created_ms), P_I64(s->seen_ms),
		P_I64(s->expires_ms));
}

enum err store_session_get(struct tx *tx, const uint8_t hash[SHA256_BYTES], struct arena *a,
	struct session_row *out, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT person, method, address, agent, created_ms, seen_ms, expires_ms "
		"FROM access_session WHERE hash = ?",
		P_BLOB(str_mk(hash, SHA256_BYTES)));
	if (e)
		return e;
	if (row_next(r, &e, et)) {
		*out = (struct session_row){.user = row_id(r, 0),
			.method = a ? arena_str(a, row_text(r, 1)) : S(""),
			.address = a ? arena_str(a, row_text(r, 2)) : S(""),
			.agent = a ? arena_str(a, row_text(r, 3)) : S(""),
			.created_ms = row_i64(r, 4),
			.seen_ms = row_i64(r, 5),
			.expires_ms = row_i64(r, 6)};
		memcpy(out->hash, hash, SHA256_BYTES);
	} else if (!e) {
		e = err_set(et, ERR_NOT_FOUND, "there is no such session");
	}
	row_free(r);
	return e;
}

enum err store_session_seen(
	struct tx *tx, const uint8_t hash[SHA256_BYTES], int64_t ms, struct errtext *et)
{
	return db_exec(tx, et,
		"UPDATE access_session SET seen_ms = ? WHERE hash = ? AND seen_ms < ?", P_I64(ms),
		P_BLOB(str_mk(hash, SHA256_BYTES)), P_I64(ms));
}

enum err store_session_delete(struct tx *tx, const uint8_t hash[SHA256_BYTES], struct errtext *et)
{
	return db_exec(tx, et, "DELETE FROM access_session WHERE hash = ?",
		P_BLOB(str_mk(hash, SHA256_BYTES)));
}

enum err store_sessions_end(struct tx *tx, struct id user, const uint8_t *but, struct errtext *et)
{
	static const uint8_t none[SHA256_BYTES];
	return db_exec(tx, et, "DELETE FROM access_session WHERE person = ? AND hash <> ?",
		P_ID(user), P_BLOB(str_mk(but ? but : none, SHA256_BYTES)));
}

enum err store_sessions_limit(struct tx *tx, struct id user, int64_t keep, struct errtext *et)
{
	return db_exec(tx, et,
		"DELETE FROM access_session WHERE person = ? AND hash NOT IN (SELECT hash FROM "
		"access_session WHERE person = ? ORDER BY created_ms DESC LIMIT ?)",
		P_ID(user), P_ID(user), P_I64(keep));
}

enum err store_keys_prune(struct tx *tx, int64_t before_ms, struct errtext *et)
{
	return db_exec(tx, et,
		"DELETE FROM access_key WHERE (revoked_ms > 0 AND revoked_ms < ?) "
		"OR (expires_ms > 0 AND expires_ms < ?)",
		P_I64(before_ms), P_I64(before_ms));
}

enum err store_sessions_prune(struct tx *tx, int64_t now_ms, int64_t idle_ms, struct errtext *et)
{
	return db_exec(tx, et, "DELETE FROM access_session WHERE expires_ms < ? OR seen_ms < ?",
		P_I64(now_ms), P_I64(now_ms - idle_ms));
}

/* ---- the version and the secrets ---- */

enum err store_version(struct tx *tx, int64_t *out, struct errtext *et)
{
	struct row *r;
	enum err e =
		db_query(tx, &r, et, "SELECT value FROM access_version WHERE name = 'directory'");
	if (e)
		return e;
	int64_t v = 0;
	if (row_next(r, &e, et))
		v = row_i64(r, 0);
	else if (!e)
		e = err_set(et, ERR_CORRUPT, "the version of users and keys is missing");
	row_free(r);
	if (!e)
		*out = v;
	return e;
}

enum err store_version_raise(struct tx *tx, struct errtext *et)
{
	return db_exec(
		tx, et, "UPDATE access_version SET value = value + 1 WHERE name = 'directory'");
}

enum err store_secret(
	struct tx *tx, const char *name, uint8_t out[32], bool *found, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(
		tx, &r, et, "SELECT value FROM access_secret WHERE name = ?", P_TEXT(str_c(name)));
	if (e)
		return e;
	*found = false;
	if (row_next(r, &e, et)) {
		struct str v = row_blob(r, 0);
		if (v.n == 32) {
			memcpy(out, v.p, 32);
			*found = true;
		} else {
			e = err_set(et, ERR_CORRUPT, "the secret %s has not 32 bytes", name);
		}
	}
	row_free(r);
	return e;
}

enum err store_secret_put(
	struct tx *tx, const char *name, const uint8_t value[32], struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO access_secret (name, value) VALUES (?, ?) ON CONFLICT (name) DO "
		"NOTHING",
		P_TEXT(str_c(name)), P_BLOB(str_mk(value, 32)));
}

/* ---- the directory ---- */

/* Reads every row of a table into an array of the arena; `take` fills one. */
struct load {
	struct directory *d;
	struct arena *a;
	bool no_memory;
};

static struct str keep(struct load *l, struct str s)
{
	struct str copy = arena_str(l->a, s);
	l->no_memory |= !copy.p;
	return copy;
}

static enum err count(struct tx *tx, const char *sql, size_t *n, struct errtext *et)
{
	struct row *r;
	enum err e = db_query_n(tx, &r, et, sql, NULL, 0);
	if (e)
		return e;
	if (row_next(r, &e, et))
		*n = (size_t)row_i64(r, 0);
	row_free(r);
	return e;
}

static void *array(struct load *l, size_t n, size_t size)
{
	void *p = arena_array(l->a, n + 1, size);
	l->no_memory |= !p;
	return p;
}

static enum err load_projects(struct tx *tx, struct load *l, struct errtext *et)
{
	struct directory *d = l->d;
	size_t n = 0;
	struct row *r = NULL;
	enum err e = count(tx, "SELECT count(*) FROM access_project", &n, et);
	if (!e && !(d->projects = array(l, n, sizeof *d->projects)))
		e = err_set(et, ERR_NOMEM, "no memory for projects");
	if (!e)
		e = db_query(tx, &r, et,
			"SELECT name, about, archived FROM access_project ORDER BY name");
	while (!e && d->n_projects < n && row_next(r, &e, et)) {
		struct dir_project *p = &d->projects[d->n_projects++];
		*p = (struct dir_project){
			keep(l, row_text(r, 0)), keep(l, row_text(r, 1)), row_i64(r, 2) != 0};
		l->no_memory |= !map_put(&d->project_by_name, p->name, p);
	}
	row_free(r);
	return e;
}

static void read_role(struct row *r, struct load *l, struct dir_role *role)
{
	*role = (struct dir_role){.name = keep(l, row_text(r, 0)),
		.about = keep(l, row_text(r, 1)),
		.mask = perms_known(row_text(r, 2)),
		.rules_text = keep(l, row_text(r, 3))};
	/* rules that no longer parse (a permission is gone) must not open what they closed */
	if (rules_parse(role->rules_text, l->a, &role->rules, NULL))
		role->mask = 0;
}

static enum err load_roles(struct tx *tx, struct load *l, struct errtext *et)
{
	struct directory *d = l->d;
	size_t n = 0;
	struct row *r = NULL;
	enum err e = count(tx, "SELECT count(*) FROM access_role", &n, et);
	if (!e && !(d->roles = array(l, n + N_BUILTIN_ROLES, sizeof *d->roles)))
		e = err_set(et, ERR_NOMEM, "no memory for roles");
	for (size_t i = 0; i < N_BUILTIN_ROLES && !e; i++) {
		struct dir_role *role = &d->roles[d->n_roles++];
		*role = (struct dir_role){.name = str_c(builtin_roles[i].name),
			.about = str_c(builtin_roles[i].about),
			.rules_text = S(""),
			.builtin = true};
		builtin_role_mask(role->name, &role->mask);
	}
	if (!e)
		e = db_query(tx, &r, et,
			"SELECT name, about, perms, rules FROM access_role ORDER BY name");
	while (!e && d->n_roles < n + N_BUILTIN_ROLES && row_next(r, &e, et))
		read_role(r, l, &d->roles[d->n_roles++]);
	for (size_t i = 0; i < d->n_roles && !e; i++)
		l->no_memory |= !map_put(&d->role_by_name, d->roles[i].name, &d->roles[i]);
	row_free(r);
	return e;
}

static enum err load_users(struct tx *tx, struct load *l, struct errtext *et)
{
	struct directory *d = l->d;
	size_t n = 0;
	struct row *r = NULL;
	enum err e = count(tx, "SELECT count(*) FROM access_user", &n, et);
	if (!e && !(d->users = array(l, n, sizeof *d->users)))
		e = err_set(et, ERR_NOMEM, "no memory for users");
	if (!e)
		e = db_query(tx, &r, et,
			"SELECT id, name, display, service, disabled, "
			"CASE WHEN password = '' THEN 0 ELSE 1 END, created_ms "
			"FROM access_user ORDER BY name");
	while (!e && d->n_users < n && row_next(r, &e, et)) {
		struct dir_user *u = &d->users[d->n_users++];
		*u = (struct dir_user){.id = row_id(r, 0),
			.name = keep(l, row_text(r, 1)),
			.display = keep(l, row_text(r, 2)),
			.service = row_i64(r, 3) != 0,
			.disabled = row_i64(r, 4) != 0,
			.has_password = row_i64(r, 5) != 0,
			.created_ms = row_i64(r, 6)};
		l->no_memory |= !map_put(&d->user_by_name, u->name, u) ||
				!map_put(&d->user_by_id, str_mk(u->id.b, 16), u);
	}
	row_free(r);
	return e;
}

static void read_member(struct row *r, struct load *l, struct dir_member *m)
{
	struct rules *rules = NULL;
	struct id id = row_id(r, 0);
	struct dir_role *role = map_get(&l->d->role_by_name, row_text(r, 2));
	*m = (struct dir_member){.user = map_get(&l->d->user_by_id, str_mk(id.b, 16)),
		.project = keep(l, row_text(r, 1)),
		.role = keep(l, row_text(r, 2)),
		.rules_text = keep(l, row_text(r, 3)),
		.mask = role ? role->mask : 0,
		.role_rules = role ? role->rules : NULL};
	if (rules_parse(m->rules_text, l->a, &rules, NULL))
		m->mask = 0;
	m->rules = rules;
	if (!str_eq_c(m->project, "*"))
		m->mask &= ~perms_house();
	if (m->user) {
		m->next = m->user->members;
		m->user->members = m;
	}
}

static enum err load_members(struct tx *tx, struct load *l, struct errtext *et)
{
	struct directory *d = l->d;
	size_t n = 0;
	struct row *r = NULL;
	enum err e = count(tx, "SELECT count(*) FROM access_member", &n, et);
	if (!e && !(d->members = array(l, n, sizeof *d->members)))
		e = err_set(et, ERR_NOMEM, "no memory for members");
	if (!e)
		e = db_query(tx, &r, et,
			"SELECT person, project, role, rules FROM access_member "
			"ORDER BY project DESC, person DESC");
	while (!e && d->n_members < n && row_next(r, &e, et))
		read_member(r, l, &d->members[d->n_members++]);
	row_free(r);
	return e;
}

static void read_key(struct row *r, struct load *l, struct dir_key *k)
{
	struct id user = row_id(r, 1);
	struct str hash = row_blob(r, 4), perms = row_text(r, 6);
	k->id = row_id(r, 0);
	k->user = map_get(&l->d->user_by_id, str_mk(user.b, 16));
	k->name = keep(l, row_text(r, 2));
	k->prefix = keep(l, row_text(r, 3));
	if (hash.n == SHA256_BYTES)
		memcpy(k->hash, hash.p, SHA256_BYTES);
	k->project = keep(l, row_text(r, 5));
	k->mask = perms.n ? perms_known(perms) : PERMS_ALL;
	k->created_ms = row_i64(r, 7);
	k->expires_ms = row_i64(r, 8);
	k->revoked_ms = row_i64(r, 9);
	k->stored_used_ms = row_i64(r, 10);
	atomic_init(&k->used_ms, k->stored_used_ms);
	l->no_memory |= !map_put(&l->d->key_by_hash, str_mk(k->hash, SHA256_BYTES), k) ||
			!map_put(&l->d->key_by_id, str_mk(k->id.b, 16), k);
}

static enum err load_keys(struct tx *tx, struct load *l, struct errtext *et)
{
	struct directory *d = l->d;
	size_t n = 0;
	struct row *r = NULL;
	enum err e = count(tx, "SELECT count(*) FROM access_key", &n, et);
	if (!e && !(d->keys = array(l, n, sizeof *d->keys)))
		e = err_set(et, ERR_NOMEM, "no memory for keys");
	if (!e)
		e = db_query(tx, &r, et,
			"SELECT id, person, name, prefix, hash, project, perms, created_ms, "
			"expires_ms, revoked_ms, used_ms FROM access_key ORDER BY id");
	while (!e && d->n_keys < n && row_next(r, &e, et))
		read_key(r, l, &d->keys[d->n_keys++]);
	row_free(r);
	return e;
}

enum err store_directory(struct tx *tx, struct directory *d, struct errtext *et)
{
	struct load l = {.d = d, .a = d->arena};
	enum err e = store_version(tx, &d->version, et);
	if (!e)
		e = load_projects(tx, &l, et);
	if (!e)
		e = load_roles(tx, &l, et);
	if (!e)
		e = load_users(tx, &l, et);
	if (!e)
		e = load_members(tx, &l, et);
	if (!e)
		e = load_keys(tx, &l, et);
	if (!e && l.no_memory)
		e = err_set(et, ERR_NOMEM, "no memory for users and keys");
	return e;
}
