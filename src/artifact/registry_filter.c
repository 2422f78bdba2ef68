/* What artifacts are searched by (text/filter.h): the names, and what an artifact has under them.
 */
#include "artifact/registry_int.h"

enum { G_ARTIFACT, G_TAG, G_ALIAS };
enum {
	K_KIND,
	K_NAME,
	K_DESCRIPTION,
	K_CREATOR,
	K_CREATED,
	K_UPDATED,
	K_VERSIONS,
	K_ALIAS,
	K_TEXT
};

static const struct filter_key keys[] = {
	[K_KIND] = {.names = {"kind"}},
	[K_NAME] = {.names = {"name"}},
	[K_DESCRIPTION] = {.names = {"description"}},
	[K_CREATOR] = {.names = {"creator"}},
	[K_CREATED] = {.names = {"created"}, .type = FILTER_TIME},
	[K_UPDATED] = {.names = {"updated"}, .type = FILTER_TIME},
	[K_VERSIONS] = {.names = {"versions", "last_version"}, .type = FILTER_NUMBER},
	[K_ALIAS] = {.names = {"alias"}, .flags = FILTER_ALIASES},
	[K_TEXT] = {.names = {"text"}},
};

static const struct filter_group groups[] = {
	[G_ARTIFACT] = {.names = {"artifact", "attribute", "attributes"},
		.keys = keys,
		.n_keys = ARRAY_LEN(keys)},
	[G_TAG] = {.names = {"tag", "tags"}},
	[G_ALIAS] = {.names = {"alias", "aliases"}, .type = FILTER_NUMBER},
};

const struct filter_language artifact_language = {.groups = groups, .n_groups = ARRAY_LEN(groups)};

struct facts {
	const struct fact *v;
	size_t n;
};

/* The at-th fact of this kind about the artifact or, with a name, of that name. */
static const struct fact *fact_of(
	const struct facts *f, const char *what, struct str name, size_t at)
{
	for (size_t i = 0; i < f->n; i++)
		if (str_eq_c(f->v[i].what, what) && (!name.p || str_eq(f->v[i].name, name)) &&
			(!f->v[i].version || str_eq_c(f->v[i].what, "alias")) && !at--)
			return &f->v[i];
	return NULL;
}

static bool any_text(const struct facts *f, const struct artifact *v, size_t at, struct str *out)
{
	if (at < 2) {
		*out = at ? v->description : v->name;
		return true;
	}
	const struct fact *tag = fact_of(f, "tag", (struct str){0}, (at - 2) / 2);
	if (tag)
		*out = at % 2 ? tag->value : tag->name;
	return tag != NULL;
}

static bool value_of(void *ctx, const void *item, const struct filter_name *n, size_t at,
	struct filter_value *out)
{
	const struct artifact *v = item;
	const struct facts *facts = ctx;
	const struct fact *f;
	int64_t number = 0;
	if (n->group == G_ARTIFACT && n->index == K_TEXT)
		return any_text(facts, v, at, &out->text);
	if (n->group == G_ARTIFACT && n->index == K_ALIAS) {
		f = fact_of(facts, "alias", (struct str){0}, at);
		if (f)
			out->text = f->name;
		return f != NULL;
	}
	if (at)
		return false;
	out->is_number = n->type != FILTER_TEXT;
	if (n->group != G_ARTIFACT) {
		f = fact_of(facts, n->group == G_TAG ? "tag" : "alias", n->key, 0);
		if (f && n->group == G_TAG)
			out->text = f->value;
		else if (f && str_i64(f->value, &number))
			out->number = (double)number;
		return f != NULL;
	}
	out->text = n->index == K_KIND          ? v->kind
		    : n->index == K_NAME        ? v->name
		    : n->index == K_DESCRIPTION ? v->description
						: v->creator;
	out->number = (double)(n->index == K_CREATED   ? v->created_ms
			       : n->index == K_UPDATED ? v->updated_ms
						       : v->last_version);
	return true;
}

bool artifact_matches(
	const struct filter *f, const struct artifact *v, const struct fact *now, size_t n)
{
	struct facts facts = {now, n};
	return filter_match(f, &(struct filter_subject){value_of, &facts}, v);
}
