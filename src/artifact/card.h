/* Cards: what is known of a version, section by section (those of NVIDIA's Model Card++ and of data
 * cards). A field is measured, with where the measurement is; or a claim, with who wrote it and
 * when; or missing, which shows. To add a field: a row in card_fields.c. */
#ifndef ARTIFACT_CARD_H
#define ARTIFACT_CARD_H
#include "artifact/registry.h"
#include "artifact/tree.h"

enum card_section {
	CARD_OVERVIEW,
	CARD_BIAS,
	CARD_EXPLAINABILITY,
	CARD_PRIVACY,
	CARD_SAFETY,
	CARD_SECTIONS
};
enum card_state { CARD_MISSING, CARD_MEASURED, CARD_CLAIM };

enum { CARD_FIELDS_MAX = 64, CARD_LIST_MAX = 100, CARD_CLAIM_MAX = 20000 };

struct card_metric {
	struct str name;
	double value;
	struct id run;
};

struct card_file {
	struct str path, sha256; /* sha256 "": not known without reading */
	int64_t bytes;           /* -1: not known */
};

/* What the fields are measured from, gathered once. */
struct card_source {
	struct croft *c;
	const struct artifact_version *v;
	struct arena *a;
	yyjson_val *metadata; /* of the version */
	bool installed;
	struct card_file *files;
	size_t n_files;
	struct str licence, licence_from; /* SPDX id or words; the file */
	struct str readme_licence;
	struct str tokenizer;                          /* sha256 of tokenizer.json */
	struct str *datasets, *bases, *sources, *runs; /* labels, from lineage */
	size_t n_datasets, n_bases, n_sources, n_runs;
	struct card_metric *metrics;
	size_t n_metrics;
	struct fact *checks;
	size_t n_checks, n_signatures;
};

struct card_row {
	const char *key, *title;
	enum card_section section;
	const char *kind; /* "model", "dataset", "*" */
	/* The measured value into value and where it is from into `from`; nothing: not measured.
	 * NULL: only people can say. */
	void (*measure)(const struct card_source *s, struct buf *value, struct buf *from);
};
extern const struct card_row card_rows[];
extern const size_t n_card_rows;
const struct card_row *card_row_find(struct str kind, struct str key);
extern const char *const card_section_names[CARD_SECTIONS];
extern const char *const card_section_titles[CARD_SECTIONS];

struct card_field {
	const struct card_row *row;
	enum card_state state;
	struct str value, from, who; /* from: of what is measured; who: of a claim */
	int64_t ms;
	struct str claim; /* beside a measured value: what was claimed; .p NULL: nothing */
};

struct card {
	struct card_source source;
	struct artifact artifact;
	struct artifact_version version;
	struct card_field fields[CARD_FIELDS_MAX];
	size_t n;
	struct fact *tags;
	size_t n_tags;
};

/* Reads rows in the transaction. Small files (licence, README) are read, nothing else. */
enum err card_make(struct croft *c, struct tx *tx, struct str project, const struct artifact *of,
	const struct artifact_version *v, struct arena *a, struct card *out,
	struct errtext *et) MUST_CHECK;
const struct card_field *card_get(const struct card *card, const char *key); /* never NULL */

/* Exports: Markdown with the Hub's YAML on top; CycloneDX 1.6; Croissant 1.1. */
void card_markdown(const struct card *card, struct buf *out);
void card_cyclonedx(const struct card *card, struct jw *w);
enum err card_croissant(const struct card *card, struct jw *w, struct errtext *et) MUST_CHECK;

#endif
