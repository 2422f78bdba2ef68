/* SQL of logins by OpenID Connect: which account belongs to whom at which issuer, and which roles
 * came from there. */
#include "access/oidc_int.h"

const struct migration oidc_migrations[N_OIDC_MIGRATIONS] = {
	{1, "accounts and roles of issuers",
		"CREATE TABLE oidc_account (issuer TEXT NOT NULL, subject TEXT NOT NULL,"
		" person BLOB NOT NULL REFERENCES access_user (id) ON DELETE CASCADE,"
		" created_ms BIGINT NOT NULL, seen_ms BIGINT NOT NULL,"
		" PRIMARY KEY (issuer, subject));"
		"CREATE INDEX oidc_account_by_person ON oidc_account (person);"
		"CREATE TABLE oidc_grant ("
		" person BLOB NOT NULL REFERENCES access_user (id) ON DELETE CASCADE,"
		" project TEXT NOT NULL, role TEXT NOT NULL, PRIMARY KEY (person, project))"},
};

enum err oidc_account_get(struct tx *tx, struct str issuer, struct str subject, struct id *user,
	bool *found, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT person FROM oidc_account WHERE issuer = ? AND subject = ?", P_TEXT(issuer),
		P_TEXT(subject));
	if (e)
		return e;
	*found = row_next(r, &e, et);
	if (*found)
		*user = row_id(r, 0);
	row_free(r);
	return e;
}

enum err oidc_account_put(struct tx *tx, struct str issuer, struct str subject, struct id user,
	int64_t now_ms, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO oidc_account (issuer, subject, person, created_ms, seen_ms)"
		" VALUES (?, ?, ?, ?, ?) ON CONFLICT (issuer, subject) DO UPDATE SET"
		" seen_ms = excluded.seen_ms",
		P_TEXT(issuer), P_TEXT(subject), P_ID(user), P_I64(now_ms), P_I64(now_ms));
}

/* ---- roles ---- */

struct grants {
	struct oidc_role of[ROLES_MAX + 1]; /* group is empty */
	size_t n;
};

static enum err read_grants(struct tx *tx, const char *sql, struct id user, struct arena *a,
	struct grants *g, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et, sql, P_ID(user));
	if (e)
		return e;
	while (g->n < ARRAY_LEN(g->of) && row_next(r, &e, et)) {
		struct oidc_role *role = &g->of[g->n];
		role->project = arena_str(a, row_text(r, 0));
		role->role = arena_str(a, row_text(r, 1));
		if (role->project.p && role->role.p)
			g->n++;
	}
	row_free(r);
	return e;
}

static const struct oidc_role *in_project(const struct oidc_role *of, size_t n, struct str project)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(of[i].project, project))
			return &of[i];
	return NULL;
}

/* Takes back what is not wanted any more, unless a person has changed it since. */
static enum err take_back(struct tx *tx, struct id user, const struct grants *given,
	const struct grants *members, const struct oidc_role *want, size_t n, bool *changed,
	struct errtext *et)
{
	enum err e = OK;
	for (size_t i = 0; i < given->n && !e; i++) {
		const struct oidc_role *g = &given->of[i];
		const struct oidc_role *m = in_project(members->of, members->n, g->project);
		if (in_project(want, n, g->project))
			continue;
		*changed = true;
		if (m && str_eq(m->role, g->role))
			e = store_member_delete(tx, user, g->project, et);
		if (!e)
			e = db_exec(tx, et,
				"DELETE FROM oidc_grant WHERE person = ? AND project = ?",
				P_ID(user), P_TEXT(g->project));
	}
	return e;
}

static enum err give(
	struct tx *tx, struct id user, const struct oidc_role *role, struct errtext *et)
{
	enum err e = access_member_set(tx, user, role->project, role->role, et);
	return e ? e
		 : db_exec(tx, et,
			   "INSERT INTO oidc_grant (person, project, role) VALUES (?, ?, ?)"
			   " ON CONFLICT (person, project) DO UPDATE SET role = excluded.role",
			   P_ID(user), P_TEXT(role->project), P_TEXT(role->role));
}

enum err oidc_grants_set(struct tx *tx, struct id user, const struct oidc_role *want, size_t n,
	bool *changed, struct errtext *et)
{
	struct arena *a = arena_new(1 << 20);
	struct grants *g = a ? arena_array_of(a, 2, struct grants) : NULL;
	struct grants *given = g, *members = g ? g + 1 : NULL;
	enum err e = g ? read_grants(tx, "SELECT project, role FROM oidc_grant WHERE person = ?",
				 user, a, given, et)
		       : err_set(et, ERR_NOMEM, "no memory for roles");
	if (!e)
		e = read_grants(tx, "SELECT project, role FROM access_member WHERE person = ?",
			user, a, members, et);
	if (!e)
		e = take_back(tx, user, given, members, want, n, changed, et);
	for (size_t i = 0; i < n && !e; i++) {
		const struct oidc_role *had = in_project(given->of, given->n, want[i].project);
		const struct oidc_role *m = in_project(members->of, members->n, want[i].project);
		bool ours = !m || (had && str_eq(had->role, m->role));
		if (!ours || (m && str_eq(m->role, want[i].role)))
			continue;
		*changed = true;
		e = give(tx, user, &want[i], et);
	}
	arena_free(a);
	return e;
}
