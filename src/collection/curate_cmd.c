/* croft collections curate: look for duplicates, outliers, samples, labels; show them; write them
 * into the items or into a dataset. */
#include "collection/bulk.h"
#include "collection/wire.h"

enum { SHOWN = 10, TEXT_SHOWN = 100 };

const struct option collection_curate_options[] = {
	{"threshold", 't', "NUMBER",
		"duplicates: the least cosine (0.95), or the largest distance; outliers: the least "
		"score; propagate: the least confidence"},
	{"keep", 0, "NAME", "duplicates: first, last, centre, longest or highest stays"},
	{"keep-field", 0, "NAME", "The field that is longest or highest (text)"},
	{"label", 'l', "FIELD", "The field of the payload that holds an item's class"},
	{"scores", 0, "FIELD", "sample: the field with a model's probabilities"},
	{"method", 'm', "NAME",
		"outliers: lof, distance; sample: centre, uncertain; mislabelled: joint, "
		"noise_rate"},
	{"neighbours", 'k', "N", "How many neighbours are asked (10; of outliers 20)"},
	{"share", 0, "NUMBER", "outliers: this share of the items (0.01)"},
	{"count", 'n', "N", "sample: how many (100)"},
	{"alpha", 0, "NUMBER", "propagate: how much comes from neighbours (0.8)"},
	{"holdout", 0, "NUMBER", "propagate: the share of labels that is hidden and guessed (0.2)"},
	{"seed", 0, "N", "The same seed gives the same result (0)"},
	{"diverse", 0, NULL, "sample: uncertain ones that are far from each other"},
	{"exact", 0, NULL, "duplicates: look at all pairs, however long that takes"},
	{"space", 0, "NAME", "The vectors of this name"},
	{"filter", 'f', "JSON", "Only items that match, in the words of searches"},
	{"tag", 0, NULL, "Write what was found into the items"},
	{"field", 0, "NAME", "The field that --tag and --dataset write"},
	{"relabel", 0, NULL, "Write the labels that are offered into the label's field"},
	{"delete", 0, NULL, "Delete the duplicates that do not stay, or the outliers"},
	{"dataset", 'd', "NAME", "Make a version of this dataset"},
	{"items", 0, "NAME", "Of --dataset: rest (without what was found), found, or all"},
	{"vectors", 0, NULL, "Of --dataset: with the vectors"},
	{"show", 0, "N", "How many are shown (10)"},
};

/* ---- asking ---- */

static enum err options_body(struct cmd *cmd, struct buf *b, struct errtext *et)
{
	static const struct {
		const char *option, *key;
		enum { TEXT, NUMBER, YES, OBJECT } type;
	} keys[] = {{"threshold", "threshold", NUMBER}, {"keep", "keep", TEXT},
		{"keep-field", "keep_field", TEXT}, {"label", "label", TEXT},
		{"scores", "scores", TEXT}, {"method", "method", TEXT},
		{"neighbours", "neighbours", NUMBER}, {"share", "share", NUMBER},
		{"count", "count", NUMBER}, {"alpha", "alpha", NUMBER},
		{"holdout", "holdout", NUMBER}, {"seed", "seed", NUMBER},
		{"diverse", "diverse", YES}, {"exact", "exact", YES}, {"space", "space", TEXT},
		{"filter", "filter", OBJECT}};
	struct jw w = {.out = b};
	enum err e = OK;
	jw_obj(&w);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		struct str s = cmd_opt(cmd, keys[i].option);
		int64_t whole;
		double d;
		if (!s.p)
			continue;
		if (keys[i].type == YES)
			jw_kbool(&w, keys[i].key, true);
		else if (keys[i].type == OBJECT)
			e = e ? e : wire_json(&w, keys[i].option, keys[i].key, s, et);
		else if (keys[i].type == TEXT)
			jw_kstr(&w, keys[i].key, s);
		else if (str_i64(s, &whole))
			jw_ki64(&w, keys[i].key, whole);
		else if (str_f64(s, &d))
			jw_kf64(&w, keys[i].key, d);
		else
			e = err_set(et, ERR_INVALID, "--%s must be a number", keys[i].option);
	}
	jw_end(&w);
	return e;
}

/* ---- showing ---- */

static void value_cell(struct cmd_table *t, yyjson_val *v)
{
	struct buf b = {0};
	if (yyjson_is_str(v))
		buf_adds(&b, json_val_str(v));
	else if (v && !yyjson_is_null(v))
		jw_val(&(struct jw){.out = &b}, v);
	cmd_cell(t, "%s", buf_c(&b));
	buf_free(&b);
}

static void text_cell(struct cmd_table *t, yyjson_val *payload)
{
	struct buf b = {0};
	struct str text = json_str(payload, "text");
	if (text.n)
		buf_adds(&b, str_sub(text, 0, TEXT_SHOWN));
	else
		jw_val(&(struct jw){.out = &b}, payload);
	for (size_t i = 0; i < b.n; i++)
		if ((unsigned char)b.p[i] < ' ')
			b.p[i] = ' ';
	cmd_cell(t, "%.*s", (int)utf8_complete_prefix(str_sub(buf_str(&b), 0, TEXT_SHOWN)),
		buf_c(&b));
	buf_free(&b);
}

static void print_cases(struct cmd *cmd, enum curate_kind kind, yyjson_val *cases)
{
	static const char *const twins[] = {"GROUP", "ID", "", "NEAR", "TEXT"};
	static const char *const labels[] = {"ID", "GIVEN", "OFFERED", "SCORE", "TEXT"};
	static const char *const plain[] = {"RANK", "ID", "SCORE", "TEXT"};
	bool labelled = kind == CURATE_MISLABELLED || kind == CURATE_PROPAGATE;
	struct cmd_table *t = kind == CURATE_DUPLICATES ? cmd_table(cmd, twins, 5)
			      : labelled                ? cmd_table(cmd, labels, 5)
							: cmd_table(cmd, plain, 4);
	yyjson_val *c;
	size_t i, n;
	yyjson_arr_foreach(cases, i, n, c)
	{
		if (kind == CURATE_DUPLICATES)
			cmd_cell(t, "%lld", (long long)json_i64(c, "group", 0));
		else if (!labelled)
			cmd_cell(t, "%lld", (long long)json_i64(c, "rank", 0));
		value_cell(t, yyjson_obj_get(c, "id"));
		if (kind == CURATE_DUPLICATES)
			cmd_cell(t, "%s", json_bool(c, "kept", false) ? "stays" : "");
		if (labelled) {
			value_cell(t, yyjson_obj_get(c, "given"));
			value_cell(t, yyjson_obj_get(c, "offered"));
		}
		cmd_cell(t, "%.4f", json_f64(c, "score", 0));
		text_cell(t, yyjson_obj_get(c, "payload"));
	}
	cmd_table_end(t);
}

static void print_classes(struct cmd *cmd, yyjson_val *classes)
{
	static const char *const titles[] = {"CLASS", "ITEMS", "SHARE", "AMONG OWN", "WIDTH"};
	struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
	yyjson_val *c;
	size_t i, n;
	yyjson_arr_foreach(classes, i, n, c)
	{
		value_cell(t, yyjson_obj_get(c, "label"));
		cmd_cell(t, "%lld", (long long)json_i64(c, "items", 0));
		cmd_cell(t, "%.1f %%", 100 * json_f64(c, "share", 0));
		cmd_cell(t, "%.1f %%", 100 * json_f64(c, "own", 0));
		cmd_cell(t, "%.4f", json_f64(c, "width", 0));
	}
	cmd_table_end(t);
}

/* Figures as "name 12, name 0.5": a person reads what the API says. */
static void print_summary(struct cmd *cmd, yyjson_val *r)
{
	struct buf b = {0};
	yyjson_val *key, *value;
	size_t i, n;
	buf_addf(&b, "%lld items", (long long)json_i64(r, "items", 0));
	yyjson_obj_foreach(yyjson_obj_get(r, "summary"), i, n, key, value)
	{
		if (yyjson_is_ctn(value) || yyjson_is_null(value))
			continue;
		buf_addf(&b, ", %s ", yyjson_get_str(key));
		if (yyjson_is_real(value))
			buf_addf(&b, "%.4g", yyjson_get_real(value));
		else
			jw_val(&(struct jw){.out = &b}, value);
	}
	for (char *c = b.p; c && *c; c++)
		if (*c == '_')
			*c = ' ';
	cmd_outf(cmd, "%s; change %lld, %.1f s\n", buf_c(&b), (long long)json_i64(r, "seq", 0),
		(double)json_i64(r, "took_ms", 0) / 1000);
	buf_free(&b);
}

static enum err show(
	struct cmd *cmd, const char *url, enum curate_kind kind, int64_t shown, struct errtext *et)
{
	struct buf reply = {0}, ask = {0};
	yyjson_doc *doc = NULL;
	buf_addf(&ask, "%s?limit=%lld", url, (long long)shown);
	enum err e = cmd_call(cmd, HTTP_GET, buf_c(&ask), (struct str){0}, &reply, et);
	e = e ? e : json_parse(buf_str(&reply), &doc, et);
	yyjson_val *r = yyjson_obj_get(yyjson_doc_get_root(doc), "result");
	if (!e && !yyjson_is_obj(r))
		e = err_set(et, ERR_NOT_FOUND, "the result was deleted meanwhile");
	if (!e && cmd_json(cmd)) {
		cmd_outf(cmd, "%s\n", buf_c(&reply));
	} else if (!e) {
		print_summary(cmd, r);
		if (kind == CURATE_BALANCE)
			print_classes(cmd, yyjson_obj_get(yyjson_obj_get(r, "summary"), "classes"));
		if (yyjson_arr_size(yyjson_obj_get(r, "cases")))
			print_cases(cmd, kind, yyjson_obj_get(r, "cases"));
		if (json_i64(r, "total", 0) > shown && kind != CURATE_BALANCE)
			cmd_note(cmd, "%lld more are not shown; --show N shows more",
				(long long)(json_i64(r, "total", 0) - shown));
	}
	yyjson_doc_free(doc);
	buf_free(&reply);
	buf_free(&ask);
	return e;
}

/* ---- what becomes of it ---- */

static enum err call(struct cmd *cmd, const struct buf *body, const char *url, const char *tail,
	const char *doing, yyjson_doc **doc, struct errtext *et)
{
	struct buf reply = {0}, to = {0}, of = {0};
	buf_addf(&to, "%s/%s", url, tail);
	buf_addc(&of, "/api/v1/collections/");
	url_encode(&of, cmd_arg(cmd, 0));
	enum err e = bulk_call(cmd, buf_c(&of), buf_c(&to), buf_str(body), doing, &reply, doc, et);
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&reply));
	buf_free(&reply);
	buf_free(&to);
	buf_free(&of);
	return e;
}

static enum err apply(struct cmd *cmd, const char *url, const char *action, struct errtext *et)
{
	struct buf body = {0};
	struct jw w = {.out = &body};
	yyjson_doc *doc = NULL;
	jw_obj(&w);
	jw_kc(&w, "action", action);
	if (cmd_opt(cmd, "field").n)
		jw_kstr(&w, "field", cmd_opt(cmd, "field"));
	jw_end(&w);
	enum err e = call(cmd, &body, url, "apply", "writing", &doc, et);
	if (!e && !cmd_json(cmd))
		cmd_outf(cmd, "%lld items were %s\n",
			(long long)json_i64(yyjson_doc_get_root(doc), "items", 0),
			*action == 'd'   ? "deleted"
			: *action == 'l' ? "labelled"
					 : "tagged");
	yyjson_doc_free(doc);
	buf_free(&body);
	return e;
}

static enum err dataset(struct cmd *cmd, const char *url, struct errtext *et)
{
	struct buf body = {0};
	struct jw w = {.out = &body};
	yyjson_doc *doc = NULL;
	jw_obj(&w);
	jw_kstr(&w, "dataset", cmd_opt(cmd, "dataset"));
	if (cmd_opt(cmd, "items").n)
		jw_kstr(&w, "items", cmd_opt(cmd, "items"));
	if (cmd_opt(cmd, "field").n)
		jw_kstr(&w, "field", cmd_opt(cmd, "field"));
	jw_kbool(&w, "vectors", cmd_flag(cmd, "vectors"));
	jw_end(&w);
	enum err e = call(cmd, &body, url, "dataset", "writing", &doc, et);
	if (!e && !cmd_json(cmd))
		bulk_print_dataset(cmd, yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	buf_free(&body);
	return e;
}

static enum err begin(struct cmd *cmd, const char *url, struct errtext *et)
{
	struct buf body = {0}, reply = {0};
	enum err e = options_body(cmd, &body, et);
	e = e ? e : cmd_call(cmd, HTTP_POST, url, buf_str(&body), &reply, et);
	if (!e) {
		struct progress *p = progress_begin(cmd, "curating", "", 0);
		e = wire_wait(cmd, url, "?limit=0", p, et);
		progress_end(p, NULL);
	}
	buf_free(&body);
	buf_free(&reply);
	return e;
}

enum err run_collections_curate(struct cmd *cmd, struct errtext *et)
{
	struct buf url = {0};
	enum curate_kind kind;
	int64_t shown = SHOWN;
	if (cmd_n_args(cmd) != 2 || !curate_parse_kind(cmd_arg(cmd, 1), &kind))
		return err_set(et, ERR_INVALID,
			"name the collection and what is looked for: duplicates, outliers, sample, "
			"propagate, mislabelled or balance");
	if (cmd_opt(cmd, "show").p &&
		(!str_i64(cmd_opt(cmd, "show"), &shown) || shown < 0 || shown > CURATE_PAGE_MAX))
		return err_set(et, ERR_INVALID, "--show is a number from 0 to %d", CURATE_PAGE_MAX);
	buf_addc(&url, "/api/v1/collections/");
	url_encode(&url, cmd_arg(cmd, 0));
	buf_addf(&url, "/curate/%s", curate_word(kind));
	enum err e = begin(cmd, buf_c(&url), et);
	e = e ? e : show(cmd, buf_c(&url), kind, shown, et);
	if (!e && cmd_opt(cmd, "dataset").p)
		e = dataset(cmd, buf_c(&url), et);
	if (!e && cmd_flag(cmd, "tag"))
		e = apply(cmd, buf_c(&url), "tag", et);
	if (!e && cmd_flag(cmd, "relabel"))
		e = apply(cmd, buf_c(&url), "label", et);
	if (!e && cmd_flag(cmd, "delete"))
		e = apply(cmd, buf_c(&url), "delete", et);
	buf_free(&url);
	return e;
}
