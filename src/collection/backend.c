/* Where the vectors of a collection are searched. To add a backend: its struct, its line here. */
#include "collection/collection_int.h"

const struct backend backend_embedded = {.name = "embedded"};

static const struct backend *const backends[] = {&backend_embedded, &backend_pgvector};

const struct backend *backend_find(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(backends); i++)
		if (str_eq_c(name, backends[i]->name))
			return backends[i];
	return name.n ? NULL : &backend_embedded;
}

enum err backend_choose(
	struct croft *c, struct str name, const struct backend **out, struct errtext *et)
{
	bool said = name.n > 0;
	struct buf known = {0};
	if (!said)
		name = setting_text(c, "collection.backend");
	*out = backend_find(name);
	if (*out)
		return OK;
	for (size_t i = 0; i < ARRAY_LEN(backends); i++)
		buf_addf(&known, "%s%s", i ? ", " : "", backends[i]->name);
	err_set(et, ERR_INVALID, "%s: no backend is called %.*s; there are %s",
		said ? "backend" : "the setting collection.backend", STR_FMT(str_sub(name, 0, 100)),
		buf_c(&known));
	buf_free(&known);
	return ERR_INVALID;
}

enum err backend_in_memory(const struct collection *k, const char *doing, struct errtext *et)
{
	return k->backend->open
		       ? err_set(et, ERR_UNSUPPORTED,
				 "%s needs the index in this server's memory, and the collection "
				 "%.*s "
				 "is kept in %s: croft collections move %.*s --backend embedded",
				 doing, STR_FMT(k->name), k->backend->name, STR_FMT(k->name))
		       : OK;
}
