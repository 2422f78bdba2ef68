/* Rules on single artifacts: what they forbid, and what is no rule. */
#include "tap.h"
#include "access/access_int.h"

static struct errtext et;

static const struct http_pair nlp[] = {{S("team"), S("nlp")}, {S("stage"), S("it's")}};
static const struct rule_subject prod = {
	.kind = S("model"), .name = S("churn"), .alias = S("prod"), .tags = nlp, .n_tags = 2};
static const struct rule_subject plain = {.kind = S("dataset"), .name = S("users/eu")};

static bool accepts(const char *text, enum perm p, const struct rule_subject *s, struct str *by)
{
	static struct arena *a;
	struct rules *r;
	arena_free(a);
	a = arena_new(0);
	*by = S("");
	CHECK_OK(rules_parse(str_c(text), a, &r, &et), &et);
	return rules_accept(r, p, s, by);
}

static void test_access_rule__deny_and_allow(void)
{
	static const struct {
		const char *text;
		enum perm p;
		const struct rule_subject *s;
		bool yes;
	} cases[] = {
		{"", PERM_ARTIFACT_ALIAS, &prod, true},
		{"# nothing\n\n", PERM_ARTIFACT_ALIAS, &prod, true},
		{"deny artifact.alias where alias = 'prod'", PERM_ARTIFACT_ALIAS, &prod, false},
		{"deny artifact.alias where alias = 'prod'", PERM_ARTIFACT_WRITE, &prod, true},
		{"deny artifact.alias where alias = 'prod'", PERM_ARTIFACT_ALIAS, &plain, true},
		{"deny artifact.alias where alias != 'prod'", PERM_ARTIFACT_ALIAS, &plain, false},
		{"deny artifact.* where kind = 'model'", PERM_ARTIFACT_DELETE, &prod, false},
		{"deny artifact.*", PERM_ARTIFACT_DELETE, &plain, false},
		{"allow artifact.write where kind = 'dataset'", PERM_ARTIFACT_WRITE, &plain, true},
		{"allow artifact.write where kind = 'dataset'", PERM_ARTIFACT_WRITE, &prod, false},
		{"allow artifact.write where kind = 'dataset'", PERM_ARTIFACT_DELETE, &prod, true},
		{"allow artifact.write where kind = 'dataset'\nallow artifact.write where tag.team "
		 "= 'nlp'",
			PERM_ARTIFACT_WRITE, &prod, true},
		{"allow artifact.write; deny artifact.write where tag.team in ('cv', 'nlp')",
			PERM_ARTIFACT_WRITE, &prod, false},
		{"allow artifact.write where tag.team not in ('cv', 'nlp')", PERM_ARTIFACT_WRITE,
			&plain, true},
		{"deny artifact.write where tag.stage = 'it''s'", PERM_ARTIFACT_WRITE, &prod,
			false},
		{"deny artifact.write where tag.stage = \"it's\"", PERM_ARTIFACT_WRITE, &prod,
			false},
		{"deny artifact.write where name like 'users/*'", PERM_ARTIFACT_WRITE, &plain,
			false},
		{"deny artifact.write where name like 'ch?rn'", PERM_ARTIFACT_WRITE, &prod, false},
		{"deny artifact.write where name like 'ch?'", PERM_ARTIFACT_WRITE, &prod, true},
		{"deny artifact.write where name not like '*eu'", PERM_ARTIFACT_WRITE, &plain,
			true},
		{"deny artifact.write where alias like '*'", PERM_ARTIFACT_WRITE, &plain, true},
		/* and binds closer than or */
		{"deny artifact.write where kind = 'x' and kind = 'y' or name = 'churn'",
			PERM_ARTIFACT_WRITE, &prod, false},
		{"deny artifact.write where kind = 'x' and (kind = 'y' or name = 'churn')",
			PERM_ARTIFACT_WRITE, &prod, true},
		{"deny artifact.write where not not kind = 'model' AND NOT alias = 'dev'",
			PERM_ARTIFACT_WRITE, &prod, false},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str by;
		if (accepts(cases[i].text, cases[i].p, cases[i].s, &by) != cases[i].yes)
			FAIL("case %zu: %s", i, cases[i].text);
	}
}

static void test_access_rule__the_denial_names_the_rule(void)
{
	struct str by;
	const char *text = "allow artifact.alias  # any\n"
			   "  deny artifact.alias where alias = 'prod' # but this\n";
	CHECK(!accepts(text, PERM_ARTIFACT_ALIAS, &prod, &by));
	CHECK_STR(by, "deny artifact.alias where alias = 'prod'");
	CHECK(!accepts(
		"allow artifact.alias where alias = 'dev'", PERM_ARTIFACT_ALIAS, &prod, &by));
	CHECK_STR(by, "allow artifact.alias where alias = 'dev'");
}

static void test_access_rule__what_is_no_rule(void)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"permit artifact.alias", "line 1, column 1: allow or deny"},
		{"deny", "a permission is expected"},
		{"deny nothing.real", "a permission is expected"},
		{"deny nothing.*", "a permission is expected"},
		{"deny artifact.alias\ndeny artifact.alias where",
			"line 2, column 26: a name is expected"},
		{"deny artifact.alias where owner = 'x'",
			"column 27: owner is not known here; known are kind, name, alias, tag.KEY"},
		{"deny artifact.alias where tag. = 'x'", "a key is expected"},
		{"deny artifact.alias where alias > 'x'", "=, !=, like, in"},
		{"deny artifact.alias where alias = prod", "a text in quotes"},
		{"deny artifact.alias where alias = 'prod", "not closed"},
		{"deny artifact.alias where alias in 'prod'", "( behind IN is expected"},
		{"deny artifact.alias where alias in ('prod'", ", or ) is expected"},
		{"deny artifact.alias where (alias = 'prod'", ") is expected"},
		{"deny artifact.alias where alias = 'prod' alias = 'x'", "the end of the rule"},
		{"deny artifact.alias alias = 'prod'", "the end of the rule"},
		{"deny artifact.alias where alias = 'a\xFF'", "UTF-8"},
	};
	struct arena *a = arena_new(0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rules *r;
		CHECK_ERR(rules_parse(str_c(cases[i].text), a, &r, &et), ERR_INVALID);
		if (!strstr(et.msg, cases[i].says))
			FAIL("%s says: %s", cases[i].text, et.msg);
	}
	struct buf deep = {0};
	struct rules *r;
	buf_addc(&deep, "deny artifact.alias where ");
	for (int i = 0; i < 5000; i++)
		buf_addc(&deep, "(");
	CHECK_ERR(rules_parse(buf_str(&deep), a, &r, &et), ERR_INVALID);
	buf_clear(&deep);
	for (int i = 0; i < 65; i++)
		buf_addc(&deep, "deny artifact.alias\n");
	CHECK_ERR(rules_parse(buf_str(&deep), a, &r, &et), ERR_INVALID);
	buf_free(&deep);
	arena_free(a);
}

static void test_access_perm__built_in_roles(void)
{
	static const struct {
		const char *role, *has, *has_not;
	} cases[] = {
		{"viewer", "document.read run.read artifact.read model.read",
			"model.use document.write run.write artifact.alias audit.read system.read "
			"member.manage"},
		{"editor",
			"document.write run.write run.assess artifact.write artifact.alias "
			"model.use",
			"run.delete artifact.delete artifact.approve audit.read member.manage"},
		{"maintainer", "run.delete artifact.delete artifact.approve audit.read",
			"member.manage access.manage secret.manage model.manage system.read"},
		{"admin", "member.manage access.manage secret.manage model.manage system.manage",
			""},
	};
	uint64_t mask, words, below = 0;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CHECK(builtin_role_mask(str_c(cases[i].role), &mask));
		CHECK_OK(perms_parse(str_c(cases[i].has), &words, &et), &et);
		CHECK((mask & words) == words);
		CHECK_OK(perms_parse(str_c(cases[i].has_not), &words, &et), &et);
		CHECK((mask & words) == 0);
		CHECK((mask & below) == below); /* each has what the one before has */
		below = mask;
	}
	CHECK_OK(
		perms_parse(S("system.read system.manage access.manage model.manage"), &words, &et),
		&et);
	CHECK((perms_house() & words) == words);
	CHECK(!(perms_house() & (PERM_BIT(PERM_MEMBER_MANAGE) | PERM_BIT(PERM_SECRET_MANAGE))));
	CHECK(!builtin_role_mask(S("owner"), &mask));
	CHECK_ERR(perms_parse(S("run.read, run.dance"), &words, &et), ERR_INVALID);
	CHECK_INT(perms_known(S("run.read gone.word")), PERM_BIT(PERM_RUN_READ));
}

static void test_access_key__checksum_and_entropy(void)
{
	char a[KEY_TEXT + 1], b[KEY_TEXT + 1];
	key_make(a);
	key_make(b);
	CHECK(strcmp(a, b) != 0);
	CHECK(strlen(a) == KEY_TEXT && key_well_formed(str_c(a)));
	/* any one character changed, and any cut, shows without a look-up */
	for (size_t i = 0; i < KEY_TEXT; i++) {
		char old = a[i];
		a[i] = old == 'x' ? 'y' : 'x';
		CHECK(!key_well_formed(str_c(a)));
		a[i] = old;
		CHECK(!key_well_formed(str_sub(str_c(a), 0, i)));
	}
	/* every digit occurs at each place: 43 digits carry 256 bits */
	bool seen[62] = {false};
	static const char digits[] =
		"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	for (int i = 0; i < 4000; i++) {
		key_make(a);
		seen[strchr(digits, a[20]) - digits] = true;
	}
	for (size_t i = 0; i < ARRAY_LEN(seen); i++)
		CHECK(seen[i]);
}

TESTS(T(test_access_rule__deny_and_allow), T(test_access_rule__the_denial_names_the_rule),
	T(test_access_rule__what_is_no_rule), T(test_access_perm__built_in_roles),
	T(test_access_key__checksum_and_entropy))
