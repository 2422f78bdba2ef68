/* Cards as Markdown with the Hub's YAML front matter, and as a CycloneDX 1.6 ML-BOM. */
#include "artifact/card.h"
#include "artifact/registry_int.h"
#include "base/clock.h"

#include <stdio.h>

/* ---- Markdown ---- */

/* JSON strings are YAML strings. */
static void yaml_text(struct buf *out, const char *key, struct str v)
{
	if (!v.n)
		return;
	buf_addf(out, "%s: ", key);
	json_escape(out, v);
	buf_putc(out, '\n');
}

static void yaml_list(struct buf *out, const char *key, const struct str *v, size_t n)
{
	if (!n)
		return;
	buf_addf(out, "%s:\n", key);
	for (size_t i = 0; i < n; i++) {
		buf_addc(out, "- ");
		json_escape(out, v[i]);
		buf_putc(out, '\n');
	}
}

/* "en, de" of a claim as a list. */
static void yaml_words(struct buf *out, const char *key, struct str text)
{
	struct str part, words[32];
	size_t n = 0;
	while (text.n && n < ARRAY_LEN(words) && str_next(&text, ',', &part))
		if (str_trim(part).n)
			words[n++] = str_trim(part);
	yaml_list(out, key, words, n);
}

/* The Hub's model-index: which metric, of which run. */
static void yaml_metrics(const struct card *card, struct buf *out)
{
	const struct card_source *s = &card->source;
	char hex[ID_HEX + 1];
	if (!s->n_metrics)
		return;
	buf_addc(out, "model-index:\n- name: ");
	json_escape(out, card->artifact.name);
	buf_addc(out, "\n  results:\n  - task:\n      type: ");
	const struct card_field *task = card_get(card, "task");
	json_escape(out, task->value.n ? task->value : S("other"));
	buf_addc(out, "\n    dataset:\n      name: ");
	json_escape(out, s->n_datasets ? s->datasets[0] : S("unknown"));
	buf_addc(out, "\n      type: ");
	json_escape(out, s->n_datasets ? s->datasets[0] : S("unknown"));
	buf_addc(out, "\n    metrics:\n");
	for (size_t i = 0; i < s->n_metrics; i++) {
		struct jw w = {.out = out};
		buf_addc(out, "    - type: ");
		json_escape(out, s->metrics[i].name);
		buf_addc(out, "\n      value: ");
		jw_f64(&w, s->metrics[i].value);
		buf_putc(out, '\n');
	}
	id_hex(s->metrics[0].run, hex);
	buf_addf(out, "    source:\n      name: run\n      url: \"run:%s\"\n", hex);
}

/* The Hub writes licences in lower case. */
static void yaml_licence(const struct card *card, struct buf *out)
{
	char lower[100];
	struct str v = card_get(card, "licence")->value;
	size_t n = MIN(v.n, sizeof lower);
	for (size_t i = 0; i < n; i++)
		lower[i] = (char)(v.p[i] >= 'A' && v.p[i] <= 'Z' ? v.p[i] + 32 : v.p[i]);
	yaml_text(out, "license", str_mk(lower, n));
}

static void front_matter(const struct card *card, struct buf *out)
{
	const struct card_source *s = &card->source;
	bool dataset = str_eq_c(card->artifact.kind, "dataset");
	buf_addc(out, "---\n");
	yaml_licence(card, out);
	yaml_words(out, "language", card_get(card, "languages")->value);
	if (dataset) {
		yaml_text(out, "pretty_name", card->artifact.name);
		yaml_list(out, "source_datasets", s->datasets, s->n_datasets);
	} else {
		yaml_text(out, "pipeline_tag", card_get(card, "task")->value);
		yaml_list(out, "base_model", s->bases, s->n_bases);
		yaml_list(out, "datasets", s->datasets, s->n_datasets);
		yaml_metrics(card, out);
	}
	buf_addf(out, "croft:\n  version: %lld\n  digest: ", (long long)card->version.version);
	json_escape(out, card->version.digest);
	buf_addc(out, "\n---\n\n");
}

/* Text of people in a Markdown table cell: one line, no markup of its own. */
static void cell(struct buf *out, struct str v)
{
	for (size_t i = 0; i < v.n; i++) {
		char c = v.p[i];
		if (c == '\n' || c == '\r')
			buf_addc(out, "<br>");
		else if (strchr("|<>`*_[]\\", c))
			buf_addf(out, "\\%c", c);
		else
			buf_putc(out, c);
	}
}

static void field_line(const struct card_field *f, struct buf *out)
{
	char when[CLOCK_TEXT];
	clock_rfc3339(f->ms, when);
	buf_addf(out, "| %s | ", f->row->title);
	if (f->state == CARD_MISSING) {
		buf_addc(out, "*missing* | |\n");
		return;
	}
	cell(out, f->value);
	if (f->state == CARD_MEASURED) {
		buf_addc(out, " | measured: ");
		cell(out, f->from);
		if (f->claim.p && !str_eq(f->claim, f->value)) {
			buf_addc(out, "<br>claimed otherwise by ");
			cell(out, f->who);
			buf_addc(out, ": ");
			cell(out, f->claim);
		}
	} else {
		buf_addc(out, " | claim by ");
		cell(out, f->who);
		buf_addf(out, ", %.10s", when);
	}
	buf_addc(out, " |\n");
}

void card_markdown(const struct card *card, struct buf *out)
{
	front_matter(card, out);
	buf_addf(out, "# ");
	cell(out, card->artifact.name);
	buf_addf(out, ", version %lld\n", (long long)card->version.version);
	for (int s = 0; s < CARD_SECTIONS; s++) {
		size_t n = 0, have = 0;
		for (size_t i = 0; i < card->n; i++) {
			n += (int)card->fields[i].row->section == s;
			have += (int)card->fields[i].row->section == s &&
				card->fields[i].state != CARD_MISSING;
		}
		if (!n)
			continue;
		buf_addf(out, "\n## %s\n\n%zu of %zu fields are filled.\n\n",
			card_section_titles[s], have, n);
		buf_addc(out, "| Field | Value | Where it is from |\n| --- | --- | --- |\n");
		for (size_t i = 0; i < card->n; i++)
			if ((int)card->fields[i].row->section == s)
				field_line(&card->fields[i], out);
	}
}

/* ---- CycloneDX 1.6 ---- */

static void hashes(struct jw *w, struct str sha256)
{
	if (sha256.n != SHA256_HEX)
		return;
	jw_key(w, "hashes");
	jw_arr(w);
	jw_obj(w);
	jw_kc(w, "alg", "SHA-256");
	jw_kstr(w, "content", sha256);
	jw_end(w);
	jw_end(w);
}

static void licences(struct jw *w, struct str licence)
{
	if (!licence.n)
		return;
	jw_key(w, "licenses");
	jw_arr(w);
	jw_obj(w);
	jw_key(w, "license");
	jw_obj(w);
	jw_kstr(w, "name", licence);
	jw_end(w);
	jw_end(w);
	jw_end(w);
}

static void texts(struct jw *w, const char *key, const struct card_field *f)
{
	if (f->state == CARD_MISSING)
		return;
	jw_key(w, key);
	jw_arr(w);
	jw_str(w, f->value);
	jw_end(w);
}

static void parameters_object(const struct card *card, struct jw *w)
{
	const struct card_source *s = &card->source;
	jw_key(w, "modelParameters");
	jw_obj(w);
	if (card_get(card, "task")->value.n)
		jw_kstr(w, "task", card_get(card, "task")->value);
	if (card_get(card, "architecture")->value.n)
		jw_kstr(w, "modelArchitecture", card_get(card, "architecture")->value);
	if (s->n_datasets) {
		jw_key(w, "datasets");
		jw_arr(w);
		for (size_t i = 0; i < s->n_datasets; i++) {
			jw_obj(w);
			jw_kstr(w, "ref", s->datasets[i]);
			jw_end(w);
		}
		jw_end(w);
	}
	jw_end(w);
}

static void analysis_object(const struct card *card, struct jw *w)
{
	const struct card_source *s = &card->source;
	if (!s->n_metrics)
		return;
	jw_key(w, "quantitativeAnalysis");
	jw_obj(w);
	jw_key(w, "performanceMetrics");
	jw_arr(w);
	for (size_t i = 0; i < s->n_metrics; i++) {
		jw_obj(w);
		jw_kstr(w, "type", s->metrics[i].name);
		jw_key(w, "value");
		jw_fmt(w, "%.9g", s->metrics[i].value);
		jw_end(w);
	}
	jw_end(w);
	jw_end(w);
}

static void considerations_object(const struct card *card, struct jw *w)
{
	const struct card_field *bias = card_get(card, "bias_mitigation");
	jw_key(w, "considerations");
	jw_obj(w);
	texts(w, "users", card_get(card, "intended_users"));
	texts(w, "useCases", card_get(card, "intended_use"));
	texts(w, "technicalLimitations", card_get(card, "limitations"));
	if (bias->state != CARD_MISSING) {
		jw_key(w, "ethicalConsiderations");
		jw_arr(w);
		jw_obj(w);
		jw_kc(w, "name", "unwanted bias");
		jw_kstr(w, "mitigationStrategy", bias->value);
		jw_end(w);
		jw_end(w);
	}
	jw_end(w);
}

/* What has no place in the schema is a property; where it is from stays with it. */
static void properties(const struct card *card, struct jw *w)
{
	jw_key(w, "properties");
	jw_arr(w);
	for (size_t i = 0; i < card->n; i++) {
		const struct card_field *f = &card->fields[i];
		if (f->state == CARD_MISSING)
			continue;
		jw_obj(w);
		jw_key(w, "name");
		jw_fmt(w, "croft:%s:%s", f->state == CARD_MEASURED ? "measured" : "claim",
			f->row->key);
		jw_kstr(w, "value", f->value);
		jw_end(w);
	}
	jw_end(w);
}

static void model_component(const struct card *card, struct jw *w)
{
	bool model = str_eq_c(card->artifact.kind, "model");
	jw_obj(w);
	jw_kc(w, "type", model ? "machine-learning-model" : "data");
	jw_key(w, "bom-ref");
	jw_fmt(w, "%.*s/%.*s:%lld", STR_FMT(card->artifact.kind), STR_FMT(card->artifact.name),
		(long long)card->version.version);
	jw_kstr(w, "name", card->artifact.name);
	jw_key(w, "version");
	jw_fmt(w, "%lld", (long long)card->version.version);
	if (card_get(card, "description")->value.n)
		jw_kstr(w, "description", card_get(card, "description")->value);
	hashes(w, card->version.digest);
	licences(w, card_get(card, "licence")->value);
	if (model) {
		jw_key(w, "modelCard");
		jw_obj(w);
		parameters_object(card, w);
		analysis_object(card, w);
		considerations_object(card, w);
		jw_end(w);
	}
	properties(card, w);
	jw_end(w);
}

static void other_components(const struct card *card, struct jw *w)
{
	const struct card_source *s = &card->source;
	for (size_t i = 0; i < s->n_datasets; i++) {
		jw_obj(w);
		jw_kc(w, "type", "data");
		jw_kstr(w, "bom-ref", s->datasets[i]);
		jw_kstr(w, "name", s->datasets[i]);
		jw_end(w);
	}
	for (size_t i = 0; i < s->n_bases; i++) {
		jw_obj(w);
		jw_kc(w, "type", "machine-learning-model");
		jw_kstr(w, "bom-ref", s->bases[i]);
		jw_kstr(w, "name", s->bases[i]);
		jw_end(w);
	}
	for (size_t i = 0; i < s->n_files && i < 10000; i++) {
		jw_obj(w);
		jw_kc(w, "type", "file");
		jw_key(w, "bom-ref");
		jw_fmt(w, "file:%.*s", STR_FMT(s->files[i].path));
		jw_kstr(w, "name", s->files[i].path);
		hashes(w, s->files[i].sha256);
		jw_end(w);
	}
}

static void dependencies(const struct card *card, struct jw *w)
{
	const struct card_source *s = &card->source;
	jw_key(w, "dependencies");
	jw_arr(w);
	jw_obj(w);
	jw_key(w, "ref");
	jw_fmt(w, "%.*s/%.*s:%lld", STR_FMT(card->artifact.kind), STR_FMT(card->artifact.name),
		(long long)card->version.version);
	jw_key(w, "dependsOn");
	jw_arr(w);
	for (size_t i = 0; i < s->n_datasets; i++)
		jw_str(w, s->datasets[i]);
	for (size_t i = 0; i < s->n_bases; i++)
		jw_str(w, s->bases[i]);
	jw_end(w);
	jw_end(w);
	jw_end(w);
}

void card_cyclonedx(const struct card *card, struct jw *w)
{
	char hex[ID_HEX + 1], now[CLOCK_TEXT];
	id_hex(id_new(), hex);
	clock_rfc3339(clock_unix_ms(), now);
	jw_obj(w);
	jw_kc(w, "bomFormat", "CycloneDX");
	jw_kc(w, "specVersion", "1.6");
	jw_key(w, "serialNumber");
	jw_fmt(w, "urn:uuid:%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
	jw_ki64(w, "version", 1);
	jw_key(w, "metadata");
	jw_obj(w);
	jw_kc(w, "timestamp", now);
	jw_key(w, "tools");
	jw_obj(w);
	jw_key(w, "components");
	jw_arr(w);
	jw_obj(w);
	jw_kc(w, "type", "application");
	jw_kc(w, "name", "croft");
	jw_kc(w, "version", CROFT_VERSION);
	jw_end(w);
	jw_end(w);
	jw_end(w);
	jw_end(w);
	jw_key(w, "components");
	jw_arr(w);
	model_component(card, w);
	other_components(card, w);
	jw_end(w);
	dependencies(card, w);
	jw_end(w);
}
