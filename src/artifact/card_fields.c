/* The fields of cards, and how those that can be measured are. To add one: a row. */
#include "artifact/card.h"

#include <stdlib.h>

const char *const card_section_names[CARD_SECTIONS] = {
	"overview", "bias", "explainability", "privacy", "safety"};
const char *const card_section_titles[CARD_SECTIONS] = {
	"Overview", "Bias", "Explainability", "Privacy", "Safety & Security"};

/* ---- from the version's metadata: what the engine or the maker found in the files ---- */

static void from_metadata(
	const struct card_source *s, const char *key, struct buf *value, struct buf *from)
{
	yyjson_val *v = yyjson_obj_get(s->metadata, key);
	struct jw w = {.out = value};
	if (!v || yyjson_is_null(v) || yyjson_equals_str(v, ""))
		return;
	yyjson_is_str(v) ? buf_adds(value, json_val_str(v)) : jw_val(&w, v);
	buf_addf(from, "metadata:%s", key);
}

static void architecture(const struct card_source *s, struct buf *value, struct buf *from)
{
	from_metadata(s, "architecture", value, from);
}
static void parameters(const struct card_source *s, struct buf *value, struct buf *from)
{
	from_metadata(s, "parameters", value, from);
}
static void dtype(const struct card_source *s, struct buf *value, struct buf *from)
{
	from_metadata(s, "weights", value, from);
}
static void context(const struct card_source *s, struct buf *value, struct buf *from)
{
	from_metadata(s, "context", value, from);
}

static void task(const struct card_source *s, struct buf *value, struct buf *from)
{
	struct str purpose = json_str(s->metadata, "purpose");
	if (!purpose.n)
		return;
	buf_addc(value, str_eq_c(purpose, "embed")    ? "feature-extraction"
			: str_eq_c(purpose, "rerank") ? "text-ranking"
						      : "text-generation");
	buf_addc(from, "metadata:purpose");
}

/* ---- from the row ---- */

static void digest(const struct card_source *s, struct buf *value, struct buf *from)
{
	if (!s->v->digest.n)
		return;
	buf_addf(value, "sha256:%.*s", STR_FMT(s->v->digest));
	buf_addc(from, "version");
}

static void size(const struct card_source *s, struct buf *value, struct buf *from)
{
	int64_t bytes = s->v->bytes;
	for (size_t i = 0; !s->v->bytes && i < s->n_files; i++)
		bytes += MAX(s->files[i].bytes, 0);
	if (!bytes)
		return;
	buf_addf(value, "%lld bytes", (long long)bytes);
	if (s->n_files)
		buf_addf(value, " in %zu files", s->n_files);
	buf_addc(from, "version");
}

static void origin(const struct card_source *s, struct buf *value, struct buf *from)
{
	if (!s->v->source.n)
		return;
	buf_adds(value, s->v->source);
	buf_addc(from, "version");
}

/* ---- from files ---- */

static void licence(const struct card_source *s, struct buf *value, struct buf *from)
{
	struct str known = json_str(s->metadata, "licence");
	if (s->licence.n) {
		buf_adds(value, s->licence);
		buf_addf(from, "file:%.*s", STR_FMT(s->licence_from));
	} else if (s->readme_licence.n) {
		buf_adds(value, s->readme_licence);
		buf_addc(from, "file:README.md");
	} else if (known.n) {
		buf_adds(value, known);
		buf_addc(from, "metadata:licence");
	}
}

static void tokenizer(const struct card_source *s, struct buf *value, struct buf *from)
{
	if (!s->tokenizer.n)
		return;
	buf_addf(value, "sha256:%.*s", STR_FMT(s->tokenizer));
	buf_addc(from, "file:tokenizer.json");
}

static int cmp_str(const void *x, const void *y)
{
	return str_cmp(*(const struct str *)x, *(const struct str *)y);
}

static void formats(const struct card_source *s, struct buf *value, struct buf *from)
{
	struct str *ends = s->n_files ? calloc(s->n_files, sizeof *ends) : NULL;
	if (!ends)
		return;
	for (size_t i = 0; i < s->n_files; i++) {
		size_t dot = str_rchr(s->files[i].path, '.');
		ends[i] = dot == STR_NONE ? S("(none)")
					  : str_sub(s->files[i].path, dot, s->files[i].path.n);
	}
	qsort(ends, s->n_files, sizeof *ends, cmp_str);
	for (size_t i = 0, j; i < s->n_files && value->n < 500; i = j) {
		for (j = i; j < s->n_files && str_eq(ends[i], ends[j]);)
			j++;
		buf_addf(value, "%s%.*s (%zu)", value->n ? ", " : "", STR_FMT(ends[i]), j - i);
	}
	buf_addc(from, "files");
	free(ends);
}

/* ---- from lineage ---- */

static void list(const struct str *v, size_t n, struct buf *value, struct buf *from)
{
	for (size_t i = 0; i < n; i++)
		buf_addf(value, "%s%.*s", i ? ", " : "", STR_FMT(v[i]));
	if (n)
		buf_addc(from, "lineage");
}

static void datasets(const struct card_source *s, struct buf *value, struct buf *from)
{
	list(s->datasets, s->n_datasets, value, from);
}
static void bases(const struct card_source *s, struct buf *value, struct buf *from)
{
	list(s->bases, s->n_bases, value, from);
}
static void provenance(const struct card_source *s, struct buf *value, struct buf *from)
{
	list(s->sources, s->n_sources, value, from);
}
static void runs(const struct card_source *s, struct buf *value, struct buf *from)
{
	list(s->runs, s->n_runs, value, from);
}

/* ---- from runs and checks ---- */

static void evaluation(const struct card_source *s, struct buf *value, struct buf *from)
{
	for (size_t i = 0; i < s->n_metrics; i++)
		buf_addf(value, "%s%.*s = %.6g", i ? ", " : "", STR_FMT(s->metrics[i].name),
			s->metrics[i].value);
	if (s->n_metrics) {
		char hex[ID_HEX + 1];
		id_hex(s->metrics[0].run, hex);
		buf_addf(from, "run:%s", hex);
	}
}

/* Results of checks whose name begins so; "": of all. */
static void checks(
	const struct card_source *s, const char *prefix, struct buf *value, struct buf *from)
{
	for (size_t i = 0; i < s->n_checks; i++) {
		const struct fact *f = &s->checks[i];
		if (!str_starts(f->name, str_c(prefix)))
			continue;
		buf_addf(value, "%s%.*s: %.*s", value->n ? ", " : "", STR_FMT(f->name),
			STR_FMT(f->value));
		if (from->n == 0)
			buf_addf(from, "fact:%lld", (long long)f->seq);
	}
}

static void all_checks(const struct card_source *s, struct buf *value, struct buf *from)
{
	checks(s, "", value, from);
}
static void bias_checks(const struct card_source *s, struct buf *value, struct buf *from)
{
	checks(s, "bias", value, from);
}
static void pii_checks(const struct card_source *s, struct buf *value, struct buf *from)
{
	checks(s, "pii", value, from);
}
static void safety_checks(const struct card_source *s, struct buf *value, struct buf *from)
{
	checks(s, "safety", value, from);
}

static void signatures(const struct card_source *s, struct buf *value, struct buf *from)
{
	if (!s->n_signatures)
		return;
	buf_addf(value, "signed by %zu key%s", s->n_signatures, s->n_signatures == 1 ? "" : "s");
	buf_addc(from, "signatures");
}

const struct card_row card_rows[] = {
	{"description", "Description", CARD_OVERVIEW, "*", NULL},
	{"licence", "Licence", CARD_OVERVIEW, "*", licence},
	{"task", "Task", CARD_OVERVIEW, "model", task},
	{"architecture", "Architecture", CARD_OVERVIEW, "model", architecture},
	{"parameters", "Parameters", CARD_OVERVIEW, "model", parameters},
	{"dtype", "Number format of the weights", CARD_OVERVIEW, "model", dtype},
	{"context", "Context, in tokens", CARD_OVERVIEW, "model", context},
	{"tokenizer", "Tokenizer", CARD_OVERVIEW, "model", tokenizer},
	{"formats", "File formats", CARD_OVERVIEW, "*", formats},
	{"size", "Size", CARD_OVERVIEW, "*", size},
	{"digest", "Digest of the content", CARD_OVERVIEW, "*", digest},
	{"source", "Source", CARD_OVERVIEW, "*", origin},
	{"base_model", "Derived from", CARD_OVERVIEW, "model", bases},
	{"training_data", "Training data", CARD_OVERVIEW, "model", datasets},
	{"training_run", "Made by", CARD_OVERVIEW, "*", runs},
	{"evaluation", "Evaluation", CARD_OVERVIEW, "model", evaluation},
	{"languages", "Languages", CARD_OVERVIEW, "*", NULL},
	{"intended_use", "Intended use", CARD_OVERVIEW, "*", NULL},
	{"contact", "Contact", CARD_OVERVIEW, "*", NULL},
	{"collection_method", "How it was collected", CARD_OVERVIEW, "dataset", NULL},
	{"labelling_method", "How it was labelled", CARD_OVERVIEW, "dataset", NULL},

	{"bias_measured", "Measured bias", CARD_BIAS, "*", bias_checks},
	{"bias_groups", "Groups considered, and whether they took part", CARD_BIAS, "*", NULL},
	{"bias_mitigation", "Measures taken against unwanted bias", CARD_BIAS, "*", NULL},

	{"intended_users", "Intended users", CARD_EXPLAINABILITY, "*", NULL},
	{"how_it_works", "How an output comes about", CARD_EXPLAINABILITY, "model", NULL},
	{"verified", "Checks", CARD_EXPLAINABILITY, "*", all_checks},
	{"limitations", "Known limitations and risks", CARD_EXPLAINABILITY, "*", NULL},
	{"out_of_scope", "What it is not for", CARD_EXPLAINABILITY, "*", NULL},

	{"provenance", "Where the data comes from", CARD_PRIVACY, "*", provenance},
	{"pii_measured", "Personal data found by checks", CARD_PRIVACY, "*", pii_checks},
	{"personal_data", "Personal data", CARD_PRIVACY, "*", NULL},
	{"consent", "Consent", CARD_PRIVACY, "*", NULL},
	{"retention", "Removal and correction of data", CARD_PRIVACY, "*", NULL},

	{"safety_measured", "Safety checks", CARD_SAFETY, "*", safety_checks},
	{"signature", "Signatures", CARD_SAFETY, "*", signatures},
	{"use_restrictions", "Restrictions of use", CARD_SAFETY, "*", NULL},
	{"access_restrictions", "Restrictions of access", CARD_SAFETY, "*", NULL},
	{"life_critical", "Impact where lives are at stake", CARD_SAFETY, "model", NULL},
};
const size_t n_card_rows = ARRAY_LEN(card_rows);

const struct card_row *card_row_find(struct str kind, struct str key)
{
	for (size_t i = 0; i < n_card_rows; i++)
		if (str_eq_c(key, card_rows[i].key) &&
			(card_rows[i].kind[0] == '*' || str_eq_c(kind, card_rows[i].kind)))
			return &card_rows[i];
	return NULL;
}
