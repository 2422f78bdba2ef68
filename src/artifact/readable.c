/* Rules on single artifacts when something is read: of an artifact, of a version, and of content
 * that is asked for by its digest. Where no rule is about reading, nothing is looked up. */
#include "access/access.h"
#include "artifact/registry_int.h"
#include "artifact/tree_int.h"

static enum err add_tags(struct tx *tx, struct id artifact, int64_t version, struct arena *a,
	struct http_pair *tags, size_t max, size_t *n, struct errtext *et)
{
	struct fact *list;
	size_t k = 0;
	enum err e = facts_now(tx, artifact, version, S("tag"), a, &list, &k, et);
	for (size_t i = 0; i < k && !e; i++) {
		if (*n == max)
			return err_set(et, ERR_LIMIT, "more than %zu tags", max);
		tags[(*n)++] = (struct http_pair){list[i].name, list[i].value};
	}
	return e;
}

/* That point at the version; version 0: all. */
static enum err add_aliases(struct tx *tx, struct id artifact, int64_t version, struct arena *a,
	struct str **out, size_t *n, struct errtext *et)
{
	struct fact *list;
	size_t k = 0;
	enum err e = facts_now(tx, artifact, 0, S("alias"), a, &list, &k, et);
	struct str *names = e ? NULL : arena_array_of(a, k + 1, struct str);
	if (e)
		return e;
	if (!names)
		return err_set(et, ERR_NOMEM, "no memory");
	for (size_t i = 0; i < k; i++) {
		int64_t to = 0;
		if (!version || (str_i64(list[i].value, &to) && to == version))
			names[(*n)++] = list[i].name;
	}
	*out = names;
	return OK;
}

enum err artifact_readable(struct tx *tx, const struct http_request *rq, struct id artifact,
	struct str kind, struct str name, int64_t version, struct errtext *et)
{
	enum { TAGS_MAX = 1000 };
	struct rule_subject s = {.kind = kind, .name = name};
	struct str *aliases = NULL;
	if (!access_ruled(rq, PERM_ARTIFACT_READ))
		return OK;
	struct arena *a = arena_new(8 << 20);
	struct http_pair *tags = a ? arena_array_of(a, TAGS_MAX, struct http_pair) : NULL;
	enum err e = tags ? add_tags(tx, artifact, 0, a, tags, TAGS_MAX, &s.n_tags, et)
			  : err_set(et, ERR_NOMEM, "no memory");
	if (!e && version)
		e = add_tags(tx, artifact, version, a, tags, TAGS_MAX, &s.n_tags, et);
	if (!e)
		e = add_aliases(tx, artifact, version, a, &aliases, &s.n_aliases, et);
	s.tags = tags;
	s.aliases = aliases;
	if (!e)
		e = access_rule(rq, PERM_ARTIFACT_READ, &s, et);
	if (e == ERR_FORBIDDEN && !version && s.n_aliases) {
		s.n_aliases = 0; /* it may have other versions than those with aliases */
		e = access_rule(rq, PERM_ARTIFACT_READ, &s, et);
	}
	arena_free(a);
	return e;
}

/* Content that is no version's: whoever stored it reads it, and whom the rules let read what has
 * neither kind nor name. */
static enum err unnamed_readable(struct tx *tx, const struct http_request *rq, struct str digest,
	bool *yes, struct errtext *et)
{
	static const struct rule_subject nameless;
	struct str creator = {0};
	struct errtext why;
	enum err e = tree_row_creator(tx, project_of(rq), digest, rq->arena, &creator, et);
	if (!e)
		*yes = (creator.n && str_eq(creator, rq->who->name)) ||
		       !access_rule(rq, PERM_ARTIFACT_READ, &nameless, &why);
	return e;
}

enum err tree_readable(
	struct tx *tx, const struct http_request *rq, struct str digest, struct errtext *et)
{
	struct artifact_version *v;
	struct errtext why = {0};
	size_t n = 0;
	bool yes = false;
	if (!access_ruled(rq, PERM_ARTIFACT_READ))
		return OK;
	enum err e = versions_with_digest(tx, project_of(rq), digest, rq->arena, &v, &n, et);
	if (!e && !n)
		e = unnamed_readable(tx, rq, digest, &yes, et);
	for (size_t i = 0; i < n && !e && !yes; i++) {
		enum err one = artifact_readable(
			tx, rq, v[i].artifact, v[i].kind, v[i].name, v[i].version, &why);
		yes = one == OK;
		if (one && one != ERR_FORBIDDEN) {
			*et = why;
			e = one;
		}
	}
	return e || yes ? e
			: err_set(et, ERR_NOT_FOUND,
				  "there is no tree %.16s in this project that you may read",
				  digest.p);
}
