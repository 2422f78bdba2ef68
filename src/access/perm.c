/* Sets of permissions, and the roles that every instance has.
 *
 * The built-in roles are derived from the permissions' words, so that a new permission has its
 * place without a list to keep: what reads is a viewer's, what writes an editor's, what deletes or
 * approves a maintainer's, everything else an admin's. */
#include "access/access_int.h"

const struct builtin_role builtin_roles[N_BUILTIN_ROLES] = {
	{"viewer", "See and ask everything of the project"},
	{"editor", "And change and use it: models, documents, runs, artifacts, aliases"},
	{"maintainer", "And delete, approve, and read its audit log"},
	{"admin", "And manage its members, keys and secrets"},
};

/* Those that belong to the whole instance: a role in a single project does not give them. */
uint64_t perms_house(void)
{
	uint64_t mask = 0;
	for (unsigned p = PERM_SIGNED_IN + 1; p < PERM_COUNT; p++) {
		struct str word = str_c(perm_word((enum perm)p));
		if (p != PERM_MEMBER_MANAGE && p != PERM_SECRET_MANAGE &&
			(str_starts(word, S("system.")) || str_ends(word, S(".manage"))))
			mask |= PERM_BIT(p);
	}
	return mask;
}

/* The first of builtin_roles that has it. */
static unsigned rank_of(enum perm p)
{
	static const struct {
		const char *ending;
		unsigned rank;
	} rows[] = {{".read", 0}, {".use", 1}, {".write", 1}, {".assess", 1}, {".alias", 1},
		{".delete", 2}, {".approve", 2}};
	struct str word = str_c(perm_word(p));
	if (p == PERM_AUDIT_READ)
		return 2;
	if (p == PERM_SYSTEM_READ)
		return 3;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (str_ends(word, str_c(rows[i].ending)))
			return rows[i].rank;
	return 3;
}

bool builtin_role_mask(struct str name, uint64_t *mask)
{
	for (unsigned i = 0; i < N_BUILTIN_ROLES; i++) {
		if (!str_eq_c(name, builtin_roles[i].name))
			continue;
		*mask = 0;
		for (unsigned p = PERM_SIGNED_IN + 1; p < PERM_COUNT; p++)
			if (rank_of((enum perm)p) <= i)
				*mask |= PERM_BIT(p);
		return true;
	}
	return false;
}

static bool separator(char c)
{
	return c == ' ' || c == ',' || c == '\n' || c == '\t' || c == '\r';
}

enum err perms_parse(struct str words, uint64_t *mask, struct errtext *et)
{
	uint64_t all = 0;
	for (size_t i = 0; i < words.n;) {
		size_t from = i;
		enum perm p;
		while (i < words.n && !separator(words.p[i]))
			i++;
		struct str word = str_sub(words, from, i++);
		if (!word.n)
			continue;
		if (!perm_parse(word, &p))
			return err_set(et, ERR_INVALID,
				"there is no permission %.*s: `croft role ls --permissions` lists "
				"them",
				STR_FMT(str_sub(word, 0, 80)));
		all |= PERM_BIT(p);
	}
	*mask = all;
	return OK;
}

/* Words of permissions that this version does not know (an older one's) give nothing. */
uint64_t perms_known(struct str words)
{
	uint64_t mask = 0;
	struct str rest = words, word;
	enum perm p;
	while (str_next(&rest, ' ', &word))
		if (perm_parse(word, &p))
			mask |= PERM_BIT(p);
	return mask;
}

void perms_text(struct buf *out, uint64_t mask)
{
	const char *sep = "";
	for (unsigned p = PERM_SIGNED_IN + 1; p < PERM_COUNT; p++)
		if (mask & PERM_BIT(p)) {
			buf_addf(out, "%s%s", sep, perm_word((enum perm)p));
			sep = " ";
		}
}

void perms_json(struct jw *w, uint64_t mask)
{
	jw_arr(w);
	for (unsigned p = PERM_SIGNED_IN + 1; p < PERM_COUNT; p++)
		if (mask & PERM_BIT(p))
			jw_c(w, perm_word((enum perm)p));
	jw_end(w);
}
