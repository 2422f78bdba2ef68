/* The file of providers: YAML, read as a tree. */
#include "access/oidc_int.h"

#include <stddef.h>
#include <stdlib.h>
#include <yaml.h>

struct reader {
	yaml_document_t *doc;
	const char *path;
	struct arena *arena;
	struct errtext *et;
};

static enum err fail(struct reader *r, const yaml_node_t *at, const char *what, struct str name)
{
	return err_set(r->et, ERR_INVALID, "%s:%zu: %s%s%.*s", r->path,
		at ? at->start_mark.line + 1 : (size_t)1, what, name.n ? " " : "",
		STR_FMT(str_sub(name, 0, 80)));
}

static struct str scalar(const yaml_node_t *n)
{
	return n && n->type == YAML_SCALAR_NODE
		       ? str_mk(n->data.scalar.value, n->data.scalar.length)
		       : (struct str){0};
}

static enum err take(struct reader *r, const yaml_node_t *n, struct str *out)
{
	struct str s = scalar(n);
	if (!s.p || s.n > 2000 || memchr(s.p, 0, s.n))
		return fail(r, n, "a single value is expected", (struct str){0});
	*out = arena_str(r->arena, s);
	return out->p ? OK : err_set(r->et, ERR_NOMEM, "no memory for %s", r->path);
}

/* ---- roles and subjects: mappings of scalars ---- */

static size_t pairs(const yaml_node_t *n)
{
	return (size_t)(n->data.mapping.pairs.top - n->data.mapping.pairs.start);
}

static enum err pair(struct reader *r, const yaml_node_t *n, size_t i, struct str *key,
	const yaml_node_t **value)
{
	const yaml_node_pair_t *p = &n->data.mapping.pairs.start[i];
	*value = yaml_document_get_node(r->doc, p->value);
	return take(r, yaml_document_get_node(r->doc, p->key), key);
}

/* "admin" (in every project) or "editor@churn". */
static void split_role(struct str text, struct oidc_role *out)
{
	size_t at = str_chr(text, '@');
	out->role = str_sub(text, 0, at);
	out->project = at == STR_NONE ? S("*") : str_sub(text, at + 1, text.n);
}

static enum err read_roles(struct reader *r, const yaml_node_t *n, struct oidc_provider *p)
{
	if (n->type != YAML_MAPPING_NODE || pairs(n) > ROLES_MAX)
		return fail(r, n, "roles: a mapping of groups to roles is expected, as in",
			S("data-team: editor@churn"));
	p->roles = arena_array_of(r->arena, pairs(n) + 1, struct oidc_role);
	if (!p->roles)
		return err_set(r->et, ERR_NOMEM, "no memory for %s", r->path);
	for (size_t i = 0; i < pairs(n); i++) {
		struct oidc_role *role = &p->roles[p->n_roles];
		const yaml_node_t *v;
		struct str text;
		enum err e = pair(r, n, i, &role->group, &v);
		if (!e)
			e = take(r, v, &text);
		if (e)
			return e;
		split_role(text, role);
		if (!name_ok(role->role) ||
			(!str_eq_c(role->project, "*") && !name_ok(role->project)))
			return fail(r, v, "this is neither ROLE nor ROLE@PROJECT:", text);
		p->n_roles++;
	}
	return OK;
}

static enum err read_subjects(struct reader *r, const yaml_node_t *n, struct oidc_provider *p)
{
	if (n->type != YAML_MAPPING_NODE || pairs(n) > ROLES_MAX)
		return fail(r, n, "service_accounts: a mapping of subjects to accounts is expected",
			(struct str){0});
	p->subjects = arena_array_of(r->arena, pairs(n) + 1, struct oidc_subject);
	if (!p->subjects)
		return err_set(r->et, ERR_NOMEM, "no memory for %s", r->path);
	for (size_t i = 0; i < pairs(n); i++) {
		const yaml_node_t *v;
		struct oidc_subject *s = &p->subjects[p->n_subjects++];
		enum err e = pair(r, n, i, &s->subject, &v);
		if (!e)
			e = take(r, v, &s->user);
		if (e)
			return e;
	}
	return OK;
}

/* ---- a provider ---- */

/* Adding a key: a row here, a member of struct oidc_provider. */
static const struct {
	const char *name;
	size_t at;
} keys[] = {
	{"name", offsetof(struct oidc_provider, name)},
	{"title", offsetof(struct oidc_provider, title)},
	{"issuer", offsetof(struct oidc_provider, issuer)},
	{"client_id", offsetof(struct oidc_provider, client_id)},
	{"client_secret", offsetof(struct oidc_provider, client_secret)},
	{"scopes", offsetof(struct oidc_provider, scopes)},
	{"ca", offsetof(struct oidc_provider, ca)},
	{"name_claim", offsetof(struct oidc_provider, name_claim)},
	{"display_claim", offsetof(struct oidc_provider, display_claim)},
	{"groups_claim", offsetof(struct oidc_provider, groups_claim)},
	{"default_role", offsetof(struct oidc_provider, default_role)},
	{"audience", offsetof(struct oidc_provider, audience)},
};

static enum err read_member(
	struct reader *r, struct oidc_provider *p, struct str key, const yaml_node_t *v)
{
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (str_eq_c(key, keys[i].name))
			return take(r, v, (struct str *)((char *)p + keys[i].at));
	if (str_eq_c(key, "roles"))
		return read_roles(r, v, p);
	if (str_eq_c(key, "service_accounts"))
		return read_subjects(r, v, p);
	if (str_eq_c(key, "userinfo")) {
		p->userinfo = str_eq_c(scalar(v), "true");
		return p->userinfo || str_eq_c(scalar(v), "false")
			       ? OK
			       : fail(r, v, "userinfo: true or false is expected", (struct str){0});
	}
	return fail(r, v, "there is no key", key);
}

static bool is_loopback_http(struct str url)
{
	static const char *const hosts[] = {"http://localhost", "http://127.0.0.1", "http://[::1]"};
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		struct str h = str_c(hosts[i]);
		if (str_starts(url, h) && (url.n == h.n || url.p[h.n] == ':' || url.p[h.n] == '/'))
			return true;
	}
	return false;
}

static void set_default(struct str *s, struct str value)
{
	if (!s->n)
		*s = value;
}

static enum err finish(struct reader *r, const yaml_node_t *n, struct oidc_provider *p)
{
	struct oidc_role role = {0};
	if (!name_ok(p->name))
		return fail(r, n, "a provider needs a name:", S(NAME_RULE));
	if (!p->issuer.n || !p->client_id.n)
		return fail(r, n, "issuer and client_id are needed for", p->name);
	/* only a test's provider may do without TLS */
	if (!str_starts(p->issuer, S("https://")) && !is_loopback_http(p->issuer))
		return fail(r, n, "the issuer must begin with https://, not", p->issuer);
	if (p->default_role.n) {
		split_role(p->default_role, &role);
		if (!name_ok(role.role) || (!str_eq_c(role.project, "*") && !name_ok(role.project)))
			return fail(r, n,
				"default_role is neither ROLE nor ROLE@PROJECT:", p->default_role);
	}
	if (p->n_subjects && !p->audience.n)
		return fail(r, n, "service_accounts need an audience in", p->name);
	set_default(&p->title, p->name);
	set_default(&p->scopes, S("openid profile email"));
	set_default(&p->name_claim, S("preferred_username"));
	set_default(&p->display_claim, S("name"));
	set_default(&p->groups_claim, S("groups"));
	pthread_mutex_init(&p->fetching, NULL);
	pthread_mutex_init(&p->mu, NULL);
	return OK;
}

static enum err read_provider(struct reader *r, const yaml_node_t *n, struct oidc_config *c)
{
	struct oidc_provider p = {0};
	if (n->type != YAML_MAPPING_NODE)
		return fail(r, n, "a provider is a mapping", (struct str){0});
	for (size_t i = 0; i < pairs(n); i++) {
		struct str key;
		const yaml_node_t *v;
		enum err e = pair(r, n, i, &key, &v);
		if (!e)
			e = read_member(r, &p, key, v);
		if (e)
			return e;
	}
	for (size_t i = 0; i < c->n; i++)
		if (str_eq(c->providers[i].name, p.name))
			return fail(r, n, "there are two providers with the name", p.name);
	enum err e = finish(r, n, &p);
	if (!e)
		c->providers[c->n++] = p;
	return e;
}

static enum err read_root(struct reader *r, struct oidc_config *c)
{
	const yaml_node_t *root = yaml_document_get_root_node(r->doc), *v;
	if (!root || root->type != YAML_MAPPING_NODE)
		return fail(r, root, "the file must be a mapping with", S("providers:"));
	for (size_t i = 0; i < pairs(root); i++) {
		struct str key;
		enum err e = pair(r, root, i, &key, &v);
		if (!e && str_eq_c(key, "public_url")) {
			e = take(r, v, &c->public_url);
			while (str_ends(c->public_url, S("/")))
				c->public_url.n--;
		} else if (!e && str_eq_c(key, "providers") && v->type == YAML_SEQUENCE_NODE) {
			const yaml_node_item_t *it = v->data.sequence.items.start;
			for (; it < v->data.sequence.items.top && !e; it++)
				e = c->n == PROVIDERS_MAX
					    ? fail(r, v, "there are too many providers",
						      (struct str){0})
					    : read_provider(
						      r, yaml_document_get_node(r->doc, *it), c);
		} else if (!e) {
			e = fail(r, v, "expected are public_url and a list of providers, not", key);
		}
		if (e)
			return e;
	}
	return OK;
}

enum err oidc_config_parse(
	struct str yaml, const char *path, struct oidc_config *out, struct errtext *et)
{
	yaml_parser_t parser;
	yaml_document_t doc;
	struct oidc_config c = {.arena = arena_new(1 << 20)};
	if (c.arena)
		c.providers = arena_array_of(c.arena, PROVIDERS_MAX, struct oidc_provider);
	if (!c.providers || !yaml_parser_initialize(&parser)) {
		arena_free(c.arena);
		return err_set(et, ERR_NOMEM, "no memory for %s", path);
	}
	yaml_parser_set_input_string(&parser, (const unsigned char *)yaml.p, yaml.n);
	enum err e;
	if (yaml_parser_load(&parser, &doc)) {
		struct reader r = {&doc, path, c.arena, et};
		e = read_root(&r, &c);
		yaml_document_delete(&doc);
	} else {
		e = err_set(et, ERR_INVALID, "%s:%zu: not YAML: %s", path,
			parser.problem_mark.line + 1, parser.problem ? parser.problem : "");
	}
	yaml_parser_delete(&parser);
	if (e)
		oidc_config_free(&c);
	else
		*out = c;
	return e;
}

void oidc_config_free(struct oidc_config *c)
{
	for (size_t i = 0; i < c->n; i++) {
		oidc_meta_unref(c->providers[i].meta);
		pthread_mutex_destroy(&c->providers[i].fetching);
		pthread_mutex_destroy(&c->providers[i].mu);
	}
	arena_free(c->arena);
	*c = (struct oidc_config){0};
}
