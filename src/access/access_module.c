/* The rows of the access module. */
#include "access/access_int.h"

static const struct route routes[] = {
	/* signing in */
	{HTTP_POST, "/api/v1/session", post_session, PERM_PUBLIC,
		"Sign in with name and password: sets the session's cookie", NULL,
		"{ name, password }", "{ signed_in: boolean }", 8192},
	{HTTP_DELETE, "/api/v1/session", delete_session, PERM_SIGNED_IN, "Sign out", NULL, NULL,
		"{ signed_in: boolean }", 8192},
	{HTTP_GET, "/api/v1/me", get_me, PERM_SIGNED_IN,
		"Who makes this request, in which project, with which permissions", NULL, NULL,
		"Me", 0},
	{HTTP_PUT, "/api/v1/me/password", put_password, PERM_SIGNED_IN,
		"Change one's password; ends one's other sessions", NULL, "{ old?, new }",
		"{ changed: boolean }", 8192},
	/* keys */
	{HTTP_GET, "/api/v1/keys", get_keys, PERM_SIGNED_IN,
		"Keys: one's own, and others' that one may manage; newest first", "{ user? }", NULL,
		"{ keys: ApiKey[] }", 0},
	{HTTP_POST, "/api/v1/keys", post_key, PERM_SIGNED_IN, "Make a key: it is shown this once",
		NULL, "{ user?, name?, project?, permissions?: string[], expires_in? }",
		"ApiKey & { key }", 65536},
	{HTTP_POST, "/api/v1/keys/{id}/rotate", rotate_key, PERM_SIGNED_IN,
		"Replace a key: the old one is valid for a grace period (24h)", NULL, "{ grace? }",
		"ApiKey & { key }", 8192},
	{HTTP_DELETE, "/api/v1/keys/{id}", delete_key, PERM_SIGNED_IN,
		"Revoke a key, by its id or the prefix that is shown", NULL, NULL,
		"{ revoked: boolean }", 8192},
	/* users */
	{HTTP_GET, "/api/v1/users", get_users, PERM_ACCESS_MANAGE, "Users and service accounts",
		NULL, NULL, "{ users: User[] }", 0},
	{HTTP_POST, "/api/v1/users", post_user, PERM_ACCESS_MANAGE,
		"Add a user or a service account", NULL,
		"{ name, kind?: \"person\" | \"service\", display?, password?, role?: string | "
		"null }",
		"User", 65536},
	{HTTP_PATCH, "/api/v1/users/{name}", patch_user, PERM_ACCESS_MANAGE,
		"Change a user; role is the one in every project", NULL,
		"{ display?, password?, disabled?: boolean, role?: string | null }", "User", 65536},
	{HTTP_DELETE, "/api/v1/users/{name}", delete_user, PERM_ACCESS_MANAGE,
		"Remove a user with memberships, keys and sessions", NULL, NULL,
		"{ done: boolean }", 8192},
	/* roles */
	{HTTP_GET, "/api/v1/permissions", get_permissions, PERM_SIGNED_IN, "What roles are made of",
		NULL, NULL, "{ permissions: Permission[] }", 0},
	{HTTP_GET, "/api/v1/roles", get_roles, PERM_SIGNED_IN, "Roles", NULL, NULL,
		"{ roles: Role[] }", 0},
	{HTTP_PUT, "/api/v1/roles/{name}", put_role, PERM_ACCESS_MANAGE,
		"Make or change a role of one's own", NULL,
		"{ about?, permissions: string[], rules? }", "{ done: boolean }", 65536},
	{HTTP_DELETE, "/api/v1/roles/{name}", delete_role, PERM_ACCESS_MANAGE, "Remove a role",
		NULL, NULL, "{ done: boolean }", 8192},
	/* projects */
	{HTTP_GET, "/api/v1/projects", get_projects, PERM_SIGNED_IN,
		"The projects that one is a member of", NULL, NULL, "{ projects: Project[] }", 0},
	{HTTP_POST, "/api/v1/projects", post_project, PERM_ACCESS_MANAGE, "Add a project", NULL,
		"{ name, about? }", "{ done: boolean }", 65536},
	{HTTP_PATCH, "/api/v1/projects/{name}", patch_project, PERM_ACCESS_MANAGE,
		"Describe a project, archive it (nobody reaches it then), or bring it back", NULL,
		"{ about?, archived?: boolean }", "{ done: boolean }", 65536},
	{HTTP_GET, "/api/v1/members", get_members, PERM_MEMBER_MANAGE,
		"Members of the request's project", NULL, NULL, "{ project, members: Member[] }",
		0},
	{HTTP_PUT, "/api/v1/members/{user}", put_member, PERM_MEMBER_MANAGE,
		"Make a user a member of the request's project, or change the role", NULL,
		"{ role, rules? }", "{ done: boolean }", 65536},
	{HTTP_DELETE, "/api/v1/members/{user}", delete_member, PERM_MEMBER_MANAGE,
		"Take a member out of the request's project", NULL, NULL, "{ done: boolean }",
		8192},
	/* the audit log */
	{HTTP_GET, "/api/v1/audit", get_audit, PERM_AUDIT_READ, "What was done, newest first",
		"{ actor?, action?, subject?, project?, from?, to?, before?: int, limit?: int }",
		NULL, "{ records: AuditRecord[], next: int | null }", 0},
	{HTTP_GET, "/api/v1/audit/export", get_audit_export, PERM_AUDIT_READ,
		"The chain as JSON lines, oldest first; the last line is its head",
		"{ after?: int, limit?: int }", NULL, NULL, 0},
	{HTTP_GET, "/api/v1/audit/verify", get_audit_verify, PERM_AUDIT_READ,
		"Check the whole chain, and that it still holds a record that was noted",
		"{ seq?: int, hash? }", NULL,
		"{ ok: boolean, records: int, head, problem: string | null }", 0},
};

static const struct shape shapes[] = {
	{"AuditRecord", "{ seq: int, time: string, actor_id: id | null, actor, project, action, "
			"subject, detail: any, hash }"},
	{"Me", "{ name, display, kind: \"person\" | \"service\" | \"local\", "
	       "method: \"open\" | \"local\" | \"session\" | \"key\", project: string | null, "
	       "permissions: string[], everywhere: string[], projects: string[], "
	       "password: boolean }"},
	{"ApiKey", "{ id: id, user, name, prefix, project: string | null, "
		   "permissions: string[] | null, created: string, expires: string | null, "
		   "revoked: string | null, used: string | null, "
		   "state: \"valid\" | \"expired\" | \"revoked\" }"},
	{"User", "{ id: id, name, display, kind: \"person\" | \"service\", disabled: boolean, "
		 "password: boolean, role: string | null, projects: { project, role }[], "
		 "created: string }"},
	{"Permission", "{ name, about, everywhere: boolean /* only of roles in every project */ }"},
	{"Role", "{ name, about, builtin: boolean, permissions: string[], rules }"},
	{"Project", "{ name, about, archived: boolean, role: string | null }"},
	{"Member", "{ user, display, kind: \"person\" | \"service\", role, rules, "
		   "everywhere: boolean }"},
};

static const struct setting settings[] = {
	{"session.idle", SET_DURATION, "12h", "A session ends when it was not used for so long",
		60000, 90ll * 24 * 3600 * 1000},
	{"session.max", SET_DURATION, "7d", "A session ends so long after signing in", 60000,
		365ll * 24 * 3600 * 1000},
	{"session.secure", SET_BOOL, "false",
		"Send the session's cookie over TLS only; for a TLS proxy in front", 0, 0},
	{"session.tries", SET_INT, "10",
		"So many failed tries in 15 minutes close an account for 15 minutes", 3, 1000},
	{"session.address_tries", SET_INT, "50",
		"The same for an address that tries accounts; 0: no limit", 0, 100000},
};

/* ---- commands ---- */

static const struct option user_add_options[] = {
	{"admin", 0, NULL, "With the role admin in every project"},
	{"role", 'r', "ROLE", "With this role in every project"},
	{"service", 0, NULL, "A service account: keys only, no password"},
	{"display", 0, "TEXT", "The name that people see"},
	{"password", 0, NULL, "Ask for a password (or read a line of standard input)"},
};
static const struct option user_set_options[] = {
	{"role", 'r', "ROLE", "The role in every project; none: no such role"},
	{"disable", 0, NULL, "Let nobody in as this user"},
	{"enable", 0, NULL, "Let the user in again"},
	{"display", 0, "TEXT", "The name that people see"},
	{"password", 0, NULL, "Ask for a password (or read a line of standard input)"},
};
static const struct option key_ls_options[] = {
	{"user", 'u', "USER", "Only this user's"},
};
static const struct option key_add_options[] = {
	{"user", 'u', "USER", "Whose key it is to be; yours if not given"},
	{"project", 0, "PROJECT", "Bind the key to this project"},
	{"permissions", 0, "LIST", "No more than these (run.read,run.write)"},
	{"expires", 0, "TIME", "Valid for so long (90d); without: until revoked"},
};
static const struct option key_rotate_options[] = {
	{"grace", 0, "TIME", "So long the old key stays valid (24h); 0: not at all"},
};
static const struct option role_ls_options[] = {
	{"permissions", 0, NULL, "List the permissions that roles are made of"},
};
static const struct option role_set_options[] = {
	{"permissions", 0, "LIST", "What it gives (artifact.read,artifact.alias)"},
	{"rules", 0, "TEXT", "Rules on single artifacts, or @FILE with them"},
	{"about", 0, "TEXT", "What it is for"},
};
static const struct option project_add_options[] = {
	{"about", 0, "TEXT", "What it is for"},
};
static const struct option project_set_options[] = {
	{"about", 0, "TEXT", "What it is for"},
	{"archive", 0, NULL, "Let nobody reach it any more; nothing is deleted"},
	{"restore", 0, NULL, "Bring it back"},
};
static const struct option member_set_options[] = {
	{"rules", 0, "TEXT", "Rules on single artifacts, or @FILE with them"},
};
static const struct option audit_ls_options[] = {
	{"actor", 'a', "NAME", "Only what NAME did"},
	{"action", 0, "ACTION", "Only this action; \"key.*\": all of keys"},
	{"subject", 0, "TEXT", "Only what was done to this; \"x*\": what begins so"},
	{"from", 0, "TIME", "From then on (2026-05-03, 2026-05-03T12:00:00Z)"},
	{"to", 0, "TIME", "Before then"},
	{"limit", 'n', "N", "At most so many (100)"},
};
static const struct option audit_verify_options[] = {
	{"since", 0, "FILE", "And that the log still holds what FILE exported"},
	{"head", 0, "HASH", "FILE's chain must end with this hash"},
};

#define OPTIONS(t) t, ARRAY_LEN(t)

static const struct command commands[] = {
	{"whoami", run_whoami, "", NULL, 0, "Show who you are to the API, and what you may do",
		NULL},
	{"user ls", run_user_ls, "", NULL, 0, "List users and service accounts", NULL},
	{"user add", run_user_add, "NAME", OPTIONS(user_add_options), "Add a user",
		"Once there is a user, whoever comes over the network needs credentials; commands "
		"on the data\ndirectory itself do not. Example:\n\n"
		"  croft user add ada --admin --password"},
	{"user set", run_user_set, "NAME", OPTIONS(user_set_options), "Change a user", NULL},
	{"user rm", run_user_rm, "NAME", NULL, 0, "Remove a user, with keys and sessions", NULL},
	{"key ls", run_key_ls, "", OPTIONS(key_ls_options), "List API keys", NULL},
	{"key add", run_key_add, "[NAME]", OPTIONS(key_add_options),
		"Make an API key and print it, once",
		"Example:\n\n  croft key add nightly --user ci --project churn --expires 90d"},
	{"key rotate", run_key_rotate, "KEY", OPTIONS(key_rotate_options),
		"Replace a key; the old one stays valid for a while",
		"KEY is the beginning that `croft key ls` shows, or the key's id."},
	{"key revoke", run_key_revoke, "KEY", NULL, 0, "End a key at once",
		"KEY is the beginning that `croft key ls` shows, or the key's id."},
	{"role ls", run_role_ls, "", OPTIONS(role_ls_options), "List roles and what they give",
		NULL},
	{"role set", run_role_set, "NAME", OPTIONS(role_set_options),
		"Make or change a role of your own",
		"Example: may move any alias but prod\n\n"
		"  croft role set mover --permissions artifact.read,artifact.alias \\\n"
		"      --rules \"deny artifact.alias where alias = 'prod'\""},
	{"role rm", run_role_rm, "NAME", NULL, 0, "Remove a role of your own", NULL},
	{"project ls", run_project_ls, "", NULL, 0, "List the projects you are a member of", NULL},
	{"project add", run_project_add, "NAME", OPTIONS(project_add_options), "Add a project",
		NULL},
	{"project set", run_project_set, "NAME", OPTIONS(project_set_options),
		"Describe, archive or restore a project", NULL},
	{"member ls", run_member_ls, "", NULL, 0, "List the members of a project", NULL},
	{"member set", run_member_set, "USER ROLE", OPTIONS(member_set_options),
		"Give a user a role in a project",
		"Example:\n\n  croft member set grace editor --project churn"},
	{"member rm", run_member_rm, "USER", NULL, 0, "Take a user out of a project", NULL},
	{"audit ls", run_audit_ls, "", OPTIONS(audit_ls_options),
		"List what was done, newest first", NULL},
	{"audit export", run_audit_export, "FILE", NULL, 0, "Write the audit log to a file",
		"One JSON object per line; the last line is the chain's head. FILE is made, never "
		"overwritten;\n- is standard output. Example:\n\n  croft audit export audit.jsonl"},
	{"audit verify", run_audit_verify, "[FILE]", OPTIONS(audit_verify_options),
		"Prove that the audit log was not changed",
		"Without FILE the log of the instance is checked. With FILE an exported one, "
		"offline: no data\ndirectory and no server is needed. Examples:\n\n"
		"  croft audit verify\n  croft audit verify audit.jsonl\n"
		"  croft audit verify --since audit.jsonl"},
};

const struct module access_module = {
	.name = "access",
	.migrations = access_migrations,
	.n_migrations = N_ACCESS_MIGRATIONS,
	TABLE(routes),
	TABLE(shapes),
	TABLE(commands),
	TABLE(settings),
	.init = access_init,
	.start = access_start,
	.stop = access_stop,
	.metrics = access_metrics,
};
