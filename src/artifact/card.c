/* Making a card: gathering what can be measured, then the claims. */
#include "artifact/card.h"
#include "artifact/artifact_int.h"
#include "artifact/registry_int.h"
#include "artifact/signature.h"
#include "base/room.h"

#include <stdio.h>
#include <stdlib.h>

enum { SMALL_FILE_MAX = 256 << 10 };

/* ---- files: of the tree, or of the folder of an installed model ---- */

struct gather {
	struct card_source *s;
	size_t root, cap;
	struct errtext *et;
};

static enum err add_file(struct gather *g, struct card_file f)
{
	struct card_source *s = g->s;
	if (!arena_room(s->a, s->files, s->n_files, g->cap))
		return err_set(g->et, ERR_NOMEM, "no memory for a card");
	s->files[s->n_files++] = f;
	return OK;
}

static enum err read_small(struct card_source *s, const struct tree *t, const char *folder,
	struct str path, struct buf *out)
{
	if (t) {
		const struct tree_file *f = tree_find(t, path);
		char *to = f && f->size && f->size <= SMALL_FILE_MAX ? buf_reserve(out, f->size)
								     : NULL;
		if (!to || tree_read(croft_blobs(s->c), f, 0, to, f->size, NULL))
			return ERR_NOT_FOUND;
		out->n += f->size;
		return OK;
	}
	char full[1400];
	snprintf(full, sizeof full, "%s/%.*s", folder, STR_FMT(path));
	return os_read_file(full, SMALL_FILE_MAX, out, NULL);
}

/* A licence by its own words. */
static struct str licence_of(struct str text)
{
	static const struct {
		const char *words, *id;
	} known[] = {{"Apache License", "Apache-2.0"}, {"MIT License", "MIT"},
		{"Permission is hereby granted, free of charge", "MIT"},
		{"GNU AFFERO GENERAL PUBLIC LICENSE", "AGPL-3.0"},
		{"GNU GENERAL PUBLIC LICENSE", "GPL-3.0"},
		{"Redistribution and use in source and binary forms", "BSD-3-Clause"},
		{"Attribution-ShareAlike 4.0", "CC-BY-SA-4.0"},
		{"Attribution 4.0 International", "CC-BY-4.0"}, {"CC0 1.0 Universal", "CC0-1.0"}};
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (str_find(text, str_c(known[i].words)) != STR_NONE)
			return str_c(known[i].id);
	return S("");
}

/* `license: x` in the front matter of a README. */
static struct str front_matter_licence(struct arena *a, struct str text)
{
	struct str line;
	if (!str_next_line(&text, &line) || !str_eq_c(str_trim(line), "---"))
		return S("");
	while (str_next_line(&text, &line) && !str_eq_c(str_trim(line), "---"))
		if (str_starts(line, S("license:"))) {
			struct str v = str_trim(str_sub(line, 8, line.n));
			while (v.n && (v.p[0] == '"' || v.p[0] == '\''))
				v = str_sub(v, 1, v.n - 1);
			return v.n < 100 ? arena_str(a, v) : S("");
		}
	return S("");
}

static bool is_licence_name(struct str path)
{
	static const char *const names[] = {
		"LICENSE", "LICENCE", "LICENSE.txt", "LICENSE.md", "LICENCE.txt", "COPYING"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq_nocase(path, str_c(names[i])))
			return true;
	return false;
}

static void look_inside(struct card_source *s, const struct tree *t, const char *folder)
{
	for (size_t i = 0; i < s->n_files; i++) {
		struct str path = s->files[i].path;
		struct buf text = {0};
		bool licence = is_licence_name(path), readme = str_eq_c(path, "README.md");
		if (str_eq_c(path, "tokenizer.json"))
			s->tokenizer = s->files[i].sha256;
		if ((licence || readme) && !read_small(s, t, folder, path, &text)) {
			struct str id = licence ? licence_of(buf_str(&text)) : S("");
			if (licence && !s->licence.n && id.n) {
				s->licence = id;
				s->licence_from = path;
			}
			if (readme)
				s->readme_licence = front_matter_licence(s->a, buf_str(&text));
		}
		buf_free(&text);
	}
}

static enum err on_file(void *ctx, const char *path, enum err err, const char *reason)
{
	struct gather *g = ctx;
	struct card_file f = {.path = str_c(path + g->root), .bytes = os_file_size(path)};
	if (err || str_eq_c(f.path, MODEL_MANIFEST))
		return OK;
	enum err e = row_copy(g->s->a, f.path, &f.path, g->et);
	f.sha256 = S("");
	if (!e && str_eq_c(f.path, "tokenizer.json")) {
		char hex[SHA256_HEX + 1];
		struct os_map map;
		if (!os_map_file(path, &map, NULL)) {
			sha256_hex_of(str_mk(map.p, map.n), hex);
			os_unmap(&map);
			e = row_copy(g->s->a, str_c(hex), &f.sha256, g->et);
		}
	}
	return e ? e : add_file(g, f);
}

static enum err installed_files(struct card_source *s, struct errtext *et)
{
	char folder[1024], name[MODEL_NAME_MAX + 1];
	snprintf(name, sizeof name, "%.*s", STR_FMT(s->v->name));
	models_path(s->c, name, folder);
	struct gather g = {.s = s, .root = strlen(folder) + 1, .et = et};
	if (!os_is_dir(folder))
		return OK;
	enum err e = os_walk(folder, false, on_file, &g, et);
	if (!e)
		look_inside(s, NULL, folder);
	return e;
}

static enum err stored_files(struct card_source *s, struct errtext *et)
{
	struct tree *t;
	char digest[SHA256_HEX + 1];
	struct gather g = {.s = s, .et = et};
	snprintf(digest, sizeof digest, "%.*s", STR_FMT(s->v->digest));
	if (!tree_digest_ok(s->v->digest) || tree_load(croft_blobs(s->c), digest, &t, NULL))
		return OK; /* kept elsewhere, or collected */
	enum err e = OK;
	for (size_t i = 0; i < t->n_files && !e; i++) {
		struct card_file f = {.bytes = (int64_t)t->files[i].size};
		e = row_copy(s->a, t->files[i].path, &f.path, et);
		if (!e)
			e = row_copy(s->a, str_c(t->files[i].sha256), &f.sha256, et);
		if (!e)
			e = add_file(&g, f);
	}
	if (!e)
		look_inside(s, t, NULL);
	tree_free(t);
	return e;
}

/* ---- lineage ---- */

static void push(struct str **list, size_t *n, struct arena *a, struct str v)
{
	if (!*list)
		*list = arena_array_of(a, CARD_LIST_MAX, struct str);
	if (*list && v.p && *n < CARD_LIST_MAX)
		(*list)[(*n)++] = v;
}

static enum err lineage(
	struct card_source *s, struct tx *tx, struct str project, struct errtext *et)
{
	struct graph g;
	struct str start = node_version(s->a, s->v->artifact, s->v->version);
	enum err e = lineage_walk(tx, project, start, false, 20, 500, s->a, &g, et);
	for (size_t i = 1; i < g.n_nodes && !e; i++) {
		struct str id = g.nodes[i].id;
		struct artifact_version v;
		if (str_starts(id, S("run:"))) {
			if (g.nodes[i].depth == 1)
				push(&s->runs, &s->n_runs, s->a, id);
			continue;
		}
		enum err found = node_find_version(tx, project, id, s->a, &v, NULL);
		if (found == ERR_NOT_FOUND) {
			push(&s->sources, &s->n_sources, s->a, id);
			continue;
		}
		e = found;
		struct str label = e ? id
				     : arena_fmt(s->a, "%.*s/%.*s:%lld", STR_FMT(v.kind),
					       STR_FMT(v.name), (long long)v.version);
		if (str_eq_c(v.kind, "dataset") || str_eq_c(v.kind, "document-set"))
			push(&s->datasets, &s->n_datasets, s->a, label);
		else if (str_eq_c(v.kind, "model"))
			push(&s->bases, &s->n_bases, s->a, label);
		push(&s->sources, &s->n_sources, s->a, label);
	}
	return e;
}

/* ---- runs ---- */

static enum err metrics(struct card_source *s, struct str project, struct errtext *et)
{
	run_metrics_fn fn = artifact_run_metrics_fn(s->c);
	struct id run = s->v->run;
	if (!fn || id_is_zero(run))
		return OK;
	s->metrics = arena_array_of(s->a, CARD_LIST_MAX, struct card_metric);
	if (!s->metrics)
		return err_set(et, ERR_NOMEM, "no memory for a card");
	struct run_metric list[CARD_LIST_MAX];
	size_t n = 0;
	enum err e = fn(s->c, project, run, s->a, list, CARD_LIST_MAX, &n, et);
	for (size_t i = 0; i < n && !e; i++)
		s->metrics[s->n_metrics++] = (struct card_metric){list[i].name, list[i].value, run};
	return e == ERR_NOT_FOUND ? OK : e;
}

/* ---- the fields ---- */

static enum err claim_of(struct tx *tx, const struct card *card, struct str key, struct arena *a,
	struct fact *out, bool *found, struct errtext *et)
{
	enum err e = fact_now(
		tx, card->artifact.id, card->version.version, S("claim"), key, a, out, found, et);
	if (e || *found)
		return e;
	e = fact_now(tx, card->artifact.id, 0, S("claim"), key, a, out, found, et);
	if (e || *found || !str_eq_c(key, "description"))
		return e;
	e = fact_now(tx, card->artifact.id, card->version.version, S("description"), S(""), a, out,
		found, et);
	if (!e && !*found)
		e = fact_now(tx, card->artifact.id, 0, S("description"), S(""), a, out, found, et);
	return e;
}

static enum err make_field(struct tx *tx, struct card *card, const struct card_row *row,
	struct arena *a, struct errtext *et)
{
	struct card_field *f = &card->fields[card->n++];
	struct buf value = {0}, from = {0};
	struct fact claim;
	bool claimed = false;
	*f = (struct card_field){
		.row = row, .value = S(""), .from = S(""), .who = S(""), .claim = {0}};
	if (row->measure)
		row->measure(&card->source, &value, &from);
	enum err e = claim_of(tx, card, str_c(row->key), a, &claim, &claimed, et);
	if (!e && value.n) {
		f->state = CARD_MEASURED;
		f->value = arena_str(a, buf_str(&value));
		f->from = arena_str(a, buf_str(&from));
		f->ms = card->version.created_ms;
		if (claimed)
			f->claim = claim.value;
	} else if (!e && claimed) {
		f->state = CARD_CLAIM;
		f->value = claim.value;
	}
	if (!e && claimed) {
		f->who = claim.who;
		f->ms = claim.valid_ms;
	}
	if (!e && (value.err || from.err || !f->value.p || !f->from.p))
		e = err_set(et, ERR_NOMEM, "no memory for a card");
	buf_free(&value);
	buf_free(&from);
	return e;
}

static void free_doc(void *doc)
{
	yyjson_doc_free(doc);
}

static enum err gather(struct croft *c, struct tx *tx, struct str project, struct card *card,
	struct arena *a, struct errtext *et)
{
	struct card_source *s = &card->source;
	struct signature list[SIGNATURES_MAX];
	struct fact f;
	yyjson_doc *doc;
	*s = (struct card_source){.c = c,
		.v = &card->version,
		.a = a,
		.licence = S(""),
		.readme_licence = S(""),
		.tokenizer = S("")};
	enum err e = json_parse(card->version.metadata, &doc, et);
	if (e)
		return e;
	s->metadata = yyjson_doc_get_root(doc);
	if (!arena_on_free(a, free_doc, doc))
		return err_set(et, ERR_NOMEM, "no memory for a card");
	e = fact_now(tx, card->artifact.id, card->version.version, S("installed"), S(""), a, &f,
		&s->installed, et);
	if (!e)
		e = s->installed ? installed_files(s, et) : stored_files(s, et);
	if (!e)
		e = lineage(s, tx, project, et);
	if (!e)
		e = facts_now(tx, card->artifact.id, card->version.version, S("check"), a,
			&s->checks, &s->n_checks, et);
	if (!e)
		e = signature_list(tx, card->artifact.id, card->version.version, a, list,
			&s->n_signatures, et);
	return e ? e : metrics(s, project, et);
}

enum err card_make(struct croft *c, struct tx *tx, struct str project, const struct artifact *of,
	const struct artifact_version *v, struct arena *a, struct card *out, struct errtext *et)
{
	*out = (struct card){.artifact = *of, .version = *v};
	enum err e = gather(c, tx, project, out, a, et);
	if (!e)
		e = facts_now(tx, of->id, v->version, S("tag"), a, &out->tags, &out->n_tags, et);
	for (size_t i = 0; i < n_card_rows && !e && out->n < CARD_FIELDS_MAX; i++)
		if (card_row_find(of->kind, str_c(card_rows[i].key)) == &card_rows[i])
			e = make_field(tx, out, &card_rows[i], a, et);
	return e;
}

const struct card_field *card_get(const struct card *card, const char *key)
{
	static const struct card_field none = {.value = {"", 0}, .from = {"", 0}, .who = {"", 0}};
	for (size_t i = 0; i < card->n; i++)
		if (strcmp(card->fields[i].row->key, key) == 0)
			return &card->fields[i];
	return &none;
}
