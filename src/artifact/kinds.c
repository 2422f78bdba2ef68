/* The kinds of artifacts. To add one: a row. */
#include "artifact/registry_int.h"

const struct artifact_kind artifact_kinds[] = {
	{"dataset", "datasets", "rows or files to train, evaluate or look things up in"},
	{"document-set", "document sets", "documents as they were ingested"},
	{"collection", "collections", "embeddings and their indexes"},
	{"vector-collection", "collections of vectors", "items with vectors and payloads"},
	{"model", "models", "weights, tokenizer and configuration"},
	{"prompt", "prompts", "texts and messages with variables"},
	{"flow", "flows", "graphs of steps"},
	{"policy", "policies", "rules and limits"},
	{"suite", "check suites", "checks that belong together"},
	{"environment", "environments", "packages, images, lock files"},
};
const size_t n_artifact_kinds = ARRAY_LEN(artifact_kinds);

bool kind_ok(struct str kind)
{
	for (size_t i = 0; i < n_artifact_kinds; i++)
		if (str_eq_c(kind, artifact_kinds[i].name))
			return true;
	return false;
}

enum err kind_check(struct str kind, struct errtext *et)
{
	if (kind_ok(kind))
		return OK;
	struct buf have = {0};
	for (size_t i = 0; i < n_artifact_kinds; i++)
		buf_addf(&have, "%s%s", i ? ", " : "", artifact_kinds[i].name);
	err_set(et, ERR_INVALID, "there is no kind of artifact called '%.*s'; the kinds are %s",
		STR_FMT(str_sub(kind, 0, 60)), buf_c(&have));
	buf_free(&have);
	return ERR_INVALID;
}

/* Any text that can stand in a reference: no '/', ':', '@', no control characters. */
enum err artifact_name_check(struct str name, struct errtext *et)
{
	if (!name.n)
		return err_set(et, ERR_INVALID, "name: an artifact needs a name");
	if (name.n > ARTIFACT_NAME_MAX)
		return err_set(et, ERR_INVALID, "name: %zu bytes, the limit is %d", name.n,
			ARTIFACT_NAME_MAX);
	if (!utf8_valid(name) || str_trim(name).n != name.n || str_eq_c(name, ".") ||
		str_eq_c(name, ".."))
		return err_set(
			et, ERR_INVALID, "name: UTF-8 without white space at its ends is expected");
	for (size_t i = 0; i < name.n; i++) {
		unsigned char ch = (unsigned char)name.p[i];
		if (ch < 0x20 || ch == 0x7F || strchr("/:@", ch))
			return err_set(et, ERR_INVALID,
				"name: '/', ':', '@' and control characters cannot be part of "
				"the name '%.*s'",
				STR_FMT(str_sub(name, 0, 100)));
	}
	return OK;
}

/* An alias is a word; one that reads as a version number would be ambiguous. */
enum err alias_check(struct str alias, struct errtext *et)
{
	if (!alias.n || alias.n > ALIAS_MAX)
		return err_set(
			et, ERR_INVALID, "alias: 1 to %d characters are expected", ALIAS_MAX);
	for (size_t i = 0; i < alias.n; i++) {
		unsigned char ch = (unsigned char)alias.p[i];
		bool word = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
			    (ch >= '0' && ch <= '9') || ch == '_' || ch == '-' || ch == '.';
		if (!word)
			return err_set(et, ERR_INVALID,
				"alias: letters, digits, '_', '-' and '.' are allowed in '%.*s'",
				STR_FMT(str_sub(alias, 0, 100)));
	}
	bool number = true;
	for (size_t i = alias.p[0] == 'v' || alias.p[0] == 'V'; i < alias.n; i++)
		number &= alias.p[i] >= '0' && alias.p[i] <= '9';
	if (str_eq_nocase(alias, S("latest")) || (number && !str_eq_nocase(alias, S("v"))))
		return err_set(et, ERR_INVALID,
			"alias: '%.*s' would read as a version: choose another word",
			STR_FMT(alias));
	return OK;
}
