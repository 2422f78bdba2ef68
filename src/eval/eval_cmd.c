/* croft eval retrieval: reads a folder, sends what is not kept yet, prints the comparison. */
#include "eval/eval_int.h"

#include <stdlib.h>

enum { BATCH = 100, SETTINGS_MAX = 32, CHUNKS_MAX = 16, WORSE_SHOWN = 5 };

struct eval_run {
	struct cmd *cmd;
	struct folder folder;
	struct str collection;
	int64_t chunks[SETTINGS_MAX + CHUNKS_MAX]; /* lengths that are wanted, each once */
	size_t n_chunks;
	struct buf request, result;
	struct errtext *et;
};

static void want_chunks(struct eval_run *r, int64_t tokens)
{
	for (size_t i = 0; i < r->n_chunks; i++)
		if (r->chunks[i] == tokens)
			return;
	if (r->n_chunks < ARRAY_LEN(r->chunks))
		r->chunks[r->n_chunks++] = tokens;
}

static enum err option_i64(struct cmd *cmd, const char *option, int64_t *out, struct errtext *et)
{
	struct str s = cmd_opt(cmd, option);
	if (!s.n || str_i64(s, out))
		return OK;
	return err_set(et, ERR_INVALID, "--%s must be a number, not \"%.*s\"", option, STR_FMT(s));
}

/* ---- settings: "hybrid:weight=2:rerank=50:chunk=128:k=300:hyde:diversity=0.3" ---- */

struct spec {
	struct str method, rerank_model;
	double weight, mix;
	int64_t rerank, chunk, k;
	struct rag_stages stages;
};

/* The stages are switched by their name, or have a number. */
static bool parse_stage(struct str key, struct str value, struct rag_stages *s)
{
	double number = 0;
	struct {
		const char *name;
		bool *flag;
	} flags[] = {{"rewrite", &s->rewrite}, {"decompose", &s->decompose}, {"hyde", &s->hyde},
		{"filters", &s->derive_filters}};
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (str_eq_c(key, flags[i].name) && !value.n)
			return *flags[i].flag = true;
	if (str_eq_c(key, "query"))
		return (s->model = value).n > 0;
	if (!str_f64(value, &number) || number <= 0)
		return false;
	if (str_eq_c(key, "diversity")) {
		s->diversity = (float)number;
		return number <= 1;
	}
	s->half_life_days = number;
	return str_eq_c(key, "halflife");
}

static enum err parse_part(struct eval_run *r, struct str part, struct spec *s)
{
	struct str rest = part, key = {0}, value;
	str_next(&rest, '=', &key);
	value = rest;
	bool ok = false;
	if (str_eq_c(key, "weight"))
		ok = str_f64(value, &s->weight) && s->weight > 0;
	else if (str_eq_c(key, "rerank"))
		ok = str_i64(value, &s->rerank) && s->rerank > 0;
	else if (str_eq_c(key, "chunk"))
		ok = str_i64(value, &s->chunk) && s->chunk > 0;
	else if (str_eq_c(key, "k"))
		ok = str_i64(value, &s->k) && s->k > 0;
	else if (str_eq_c(key, "mix"))
		ok = str_f64(value, &s->mix) && s->mix > 0 && s->mix <= 1;
	else if (str_eq_c(key, "model"))
		ok = (s->rerank_model = value).n > 0;
	else
		ok = parse_stage(key, value, &s->stages);
	return ok ? OK
		  : err_set(r->et, ERR_INVALID,
			    "--setting: \"%.*s\" is not understood; weight=X, rerank=DEPTH, "
			    "model=NAME, mix=X, chunk=TOKENS, k=N, rewrite, decompose, hyde, "
			    "query=NAME, "
			    "filters, diversity=X and halflife=DAYS are",
			    STR_FMT(part));
}

static enum err parse_spec(struct eval_run *r, struct str text, struct spec *s)
{
	struct str part;
	enum err e = OK;
	*s = (struct spec){0};
	str_next(&text, ':', &s->method);
	while (!e && str_next(&text, ':', &part))
		e = parse_part(r, part, s);
	if (!e && (s->rerank_model.n || s->mix > 0) && !s->rerank)
		s->rerank = 50;
	return e;
}

static void write_rerank(struct jw *w, struct str model, int64_t depth, double mix)
{
	jw_key(w, "rerank");
	jw_obj(w);
	if (model.n)
		jw_kstr(w, "model", model);
	if (depth)
		jw_ki64(w, "depth", depth);
	if (mix > 0)
		jw_kf64(w, "weight", mix);
	jw_end(w);
}

static void write_spec(struct eval_run *r, const struct spec *s, struct jw *w)
{
	jw_obj(w);
	jw_kstr(w, "method", s->method);
	if (s->weight > 0) {
		jw_key(w, "weights");
		jw_obj(w);
		jw_kf64(w, "dense", s->weight);
		jw_end(w);
	}
	if (s->rerank)
		write_rerank(w, s->rerank_model, s->rerank, s->mix);
	if (s->chunk)
		jw_ki64(w, "chunk_tokens", s->chunk);
	if (s->k)
		jw_ki64(w, "k", s->k);
	if (r->collection.n)
		jw_kstr(w, "collection", r->collection);
	rag_stages_write(w, &s->stages);
	jw_end(w);
}

static enum err write_settings(struct eval_run *r, struct jw *w)
{
	static const struct str usual[] = {{"hybrid", 6}, {"dense", 5}, {"bm25", 4}};
	enum err e = OK;
	bool asked = cmd_opt(r->cmd, "setting").p;
	jw_key(w, "settings");
	jw_arr(w);
	for (size_t i = 0; !e; i++) {
		struct spec s;
		struct str text = asked                  ? cmd_opt_at(r->cmd, "setting", i)
				  : i < ARRAY_LEN(usual) ? usual[i]
							 : (struct str){0};
		if (!text.p)
			break;
		e = parse_spec(r, text, &s);
		if (!e && r->collection.n && s.chunk)
			e = err_set(r->et, ERR_INVALID,
				"chunk= is for corpora that are filled here: a collection has its "
				"own");
		want_chunks(r, s.chunk);
		if (!e)
			write_spec(r, &s, w);
	}
	jw_end(w);
	return e;
}

/* "128,200,320" */
static enum err write_numbers(
	struct eval_run *r, const char *option, const char *key, bool chunks, struct jw *w)
{
	struct str rest = cmd_opt(r->cmd, option), part;
	int64_t n;
	jw_key(w, key);
	jw_arr(w);
	if (chunks) { /* the configuration's own is where the search begins */
		jw_i64(w, 0);
		want_chunks(r, 0);
	}
	while (str_next(&rest, ',', &part)) {
		if (!str_i64(str_trim(part), &n) || n <= 0)
			return err_set(r->et, ERR_INVALID,
				"--%s must be numbers separated by commas", option);
		if (chunks)
			want_chunks(r, n);
		jw_i64(w, n);
	}
	jw_end(w);
	return OK;
}

/* "0.3,0.7" */
static enum err write_reals(struct eval_run *r, const char *option, const char *key, struct jw *w)
{
	struct str rest = cmd_opt(r->cmd, option), part;
	double number;
	if (!rest.n)
		return OK;
	jw_key(w, key);
	jw_arr(w);
	while (str_next(&rest, ',', &part)) {
		if (!str_f64(str_trim(part), &number) || number <= 0)
			return err_set(r->et, ERR_INVALID,
				"--%s must be numbers separated by commas", option);
		jw_f64(w, number);
	}
	jw_end(w);
	return OK;
}

/* Values of stages that the tuner tries beside none. */
static enum err write_stages(struct eval_run *r, struct jw *w)
{
	static const char *const lists[][2] = {
		{"diversities", "diversity"}, {"half-lives", "half_life_days"}};
	struct str rest = cmd_opt(r->cmd, "stages"), part;
	enum err e = OK;
	if (rest.n) {
		jw_key(w, "stages");
		jw_arr(w);
		while (str_next(&rest, ',', &part))
			jw_str(w, str_trim(part));
		jw_end(w);
	}
	if (cmd_opt(r->cmd, "query-model").n)
		jw_kstr(w, "query_model", cmd_opt(r->cmd, "query-model"));
	for (size_t i = 0; i < ARRAY_LEN(lists) && !e; i++)
		e = write_reals(r, lists[i][0], lists[i][1], w);
	return e;
}

static enum err write_tune_rerank(struct eval_run *r, struct jw *w)
{
	struct str rest = cmd_opt(r->cmd, "rerank-model"), part;
	jw_key(w, "rerank");
	jw_obj(w);
	if (rest.n) {
		jw_key(w, "models");
		jw_arr(w);
		while (str_next(&rest, ',', &part))
			jw_str(w, str_trim(part));
		jw_end(w);
	}
	enum err e = write_numbers(r, "rerank-depths", "depths", false, w);
	e = e ? e : write_reals(r, "rerank-weights", "weights", w);
	jw_end(w);
	return e;
}

static enum err write_tune(struct eval_run *r, struct jw *w)
{
	int64_t trials = 0;
	enum err e = option_i64(r->cmd, "trials", &trials, r->et);
	jw_key(w, "tune");
	jw_obj(w);
	if (trials)
		jw_ki64(w, "trials", trials);
	if (r->collection.n)
		jw_kstr(w, "collection", r->collection);
	e = e ? e : write_numbers(r, "chunk-tokens", "chunk_tokens", true, w);
	if (!e && cmd_opt(r->cmd, "rerank-depths").n)
		e = write_tune_rerank(r, w);
	else if (!e && (cmd_opt(r->cmd, "rerank-model").n || cmd_opt(r->cmd, "rerank-weights").n))
		e = err_set(r->et, ERR_INVALID, "--rerank-depths: say to which depths it reads");
	e = e ? e : write_stages(r, w);
	jw_end(w);
	return e;
}

static enum err write_request(struct eval_run *r)
{
	struct jw w = {.out = &r->request};
	struct cmd *cmd = r->cmd;
	int64_t seed = 1, resamples = 1000, most = 0;
	size_t n;
	struct buf name = {0};
	enum err e = option_i64(cmd, "seed", &seed, r->et);
	e = e ? e : option_i64(cmd, "resamples", &resamples, r->et);
	e = e ? e : option_i64(cmd, "queries", &most, r->et);
	if (e)
		return e;
	jw_obj(&w);
	jw_kstr(&w, "name", r->folder.name);
	if (!r->collection.n)
		jw_kc(&w, "digest", r->folder.digest);
	buf_addf(&name, "retrieval %.*s", STR_FMT(r->folder.name));
	if (!cmd_flag(cmd, "no-record"))
		jw_kstr(&w, "experiment",
			cmd_opt(cmd, "experiment").n ? cmd_opt(cmd, "experiment") : buf_str(&name));
	jw_ki64(&w, "seed", seed);
	jw_ki64(&w, "resamples", resamples);
	e = cmd_flag(cmd, "tune") ? write_tune(r, &w) : write_settings(r, &w);
	e = e ? e : folder_queries(&r->folder, (size_t)MAX(most, 0), &w, &n, r->et);
	jw_end(&w);
	buf_free(&name);
	if (!e && !jw_done(&w))
		e = err_set(r->et, ERR_NOMEM, "no memory for the request");
	return e;
}

/* ---- filling ---- */

static enum err is_ready(struct eval_run *r, int64_t chunk, bool *ready)
{
	struct buf path = {0}, reply = {0};
	yyjson_doc *doc = NULL;
	buf_addf(&path, "/api/v1/eval/corpora/%s?chunk_tokens=%lld", r->folder.digest,
		(long long)chunk);
	*ready = false;
	enum err e = cmd_call(r->cmd, HTTP_GET, buf_c(&path), S(""), &reply, r->et);
	if (!e)
		e = json_parse(buf_str(&reply), &doc, r->et);
	if (!e)
		*ready = json_bool(yyjson_doc_get_root(doc), "ready", false);
	yyjson_doc_free(doc);
	buf_free(&path);
	buf_free(&reply);
	return e == ERR_NOT_FOUND ? OK : e;
}

static enum err write_document(struct jw *w, struct str line, size_t row, struct errtext *et)
{
	yyjson_doc *doc;
	enum err e = json_parse(line, &doc, et);
	if (e)
		return err_wrap(et, e, "corpus.jsonl, row %zu", row);
	yyjson_val *o = yyjson_doc_get_root(doc), *id = yyjson_obj_get(o, "_id");
	jw_obj(w);
	jw_key(w, "id");
	if (yyjson_is_int(id))
		jw_fmt(w, "%lld", (long long)yyjson_get_sint(id));
	else
		jw_str(w, json_val_str(id));
	jw_kstr(w, "title", json_str(o, "title"));
	jw_kstr(w, "text", json_str(o, "text"));
	jw_end(w);
	yyjson_doc_free(doc);
	return OK;
}

/* One piece of the corpus; *more: there is something behind it. */
static enum err send_piece(
	struct eval_run *r, int64_t chunk, struct str *rest, size_t *row, bool *more)
{
	struct buf body = {0}, path = {0}, reply = {0};
	struct jw w = {.out = &body};
	struct str line;
	enum err e = OK;
	size_t n = 0;
	jw_obj(&w);
	jw_kstr(&w, "name", r->folder.name);
	jw_ki64(&w, "chunk_tokens", chunk);
	jw_kbool(&w, "first", !*row);
	jw_key(&w, "documents");
	jw_arr(&w);
	while (!e && n < BATCH && str_next_line(rest, &line)) {
		++*row;
		if (!str_trim(line).n)
			continue;
		e = write_document(&w, line, *row, r->et);
		n++;
	}
	*more = str_trim(*rest).n > 0;
	jw_end(&w);
	jw_kbool(&w, "done", !*more);
	jw_end(&w);
	buf_addf(&path, "/api/v1/eval/corpora/%s", r->folder.digest);
	if (!e)
		e = cmd_call(r->cmd, HTTP_POST, buf_c(&path), buf_str(&body), &reply, r->et);
	buf_free(&body);
	buf_free(&path);
	buf_free(&reply);
	return e;
}

enum err folder_fill(struct cmd *cmd, const struct folder *f, int64_t chunk, struct errtext *et)
{
	struct eval_run one = {.cmd = cmd, .folder = *f, .et = et}, *r = &one;
	bool ready, more = true;
	struct str rest = buf_str(&r->folder.corpus), line, count = rest;
	size_t total = 0, row = 0;
	enum err e = is_ready(r, chunk, &ready);
	if (e || ready)
		return e;
	while (str_next_line(&count, &line))
		total++;
	struct progress *p = progress_begin(r->cmd, "indexing the corpus", "documents", total);
	while (!e && more) {
		e = send_piece(r, chunk, &rest, &row, &more);
		progress_at(p, row, total, NULL);
	}
	progress_end(p, NULL);
	return e;
}

/* ---- the answer ---- */

static enum err error_of_word(struct str word)
{
	for (int e = 1; e < ERR_COUNT; e++)
		if (str_eq_c(word, err_word((enum err)e)))
			return (enum err)e;
	return ERR_IO;
}

/* "trial 7 of 24: hybrid w0.5 +rerank 20; best 0.9811 hybrid" */
static void show_progress(struct progress *p, yyjson_val *o)
{
	struct str doing = json_str(o, "setting"), best = json_str(o, "best");
	struct buf b = {0};
	if (json_i64(o, "trials", 0))
		buf_addf(&b, "trial %lld of %lld: ", (long long)json_i64(o, "trial", 0),
			(long long)json_i64(o, "trials", 0));
	buf_adds(&b, doing);
	if (best.n)
		buf_addf(&b, "; best %.*s", STR_FMT(best));
	progress_at(p, (uint64_t)json_i64(o, "done", 0), (uint64_t)json_i64(o, "total", 0),
		b.n ? buf_c(&b) : NULL);
	buf_free(&b);
}

enum err listen_to(void *listening, struct str event, struct str data)
{
	struct listening *l = listening;
	yyjson_doc *doc = NULL;
	if (str_eq_c(event, "result")) {
		buf_clear(l->result);
		buf_adds(l->result, data);
		return OK;
	}
	enum err e = json_parse(data, &doc, l->et);
	yyjson_val *o = e ? NULL : yyjson_doc_get_root(doc);
	if (!e && str_eq_c(event, "progress"))
		show_progress(l->progress, o);
	if (!e && str_eq_c(event, "error")) {
		o = yyjson_obj_get(o, "error");
		e = err_set(l->et, error_of_word(json_str(o, "code")), "%.*s",
			STR_FMT(json_str(o, "message")));
	}
	yyjson_doc_free(doc);
	return e;
}

static enum err ask(struct eval_run *r)
{
	struct listening l = {.progress = progress_begin(r->cmd, "searching", "queries", 0),
		.result = &r->result,
		.et = r->et};
	enum err e = cmd_stream(r->cmd, HTTP_POST, "/api/v1/eval/retrieval", buf_str(&r->request),
		listen_to, &l, r->et);
	progress_end(l.progress, NULL);
	if (!e && !r->result.n)
		e = err_set(r->et, ERR_IO, "the server ended without a result");
	return e;
}

/* ---- printing ---- */

static yyjson_val *metric_of(yyjson_val *setting, const char *group, int m)
{
	return yyjson_obj_get(yyjson_obj_get(setting, group), eval_metric_keys[m]);
}

static void print_means(struct cmd *cmd, yyjson_val *settings)
{
	static const char *const titles[] = {
		"SETTING", "nDCG@10", "R@10", "R@100", "MRR@10", "MAP", "P@10"};
	struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
	size_t i, n;
	yyjson_val *s;
	yyjson_arr_foreach(settings, i, n, s)
	{
		cmd_cell(t, "%.*s", STR_FMT(json_str(s, "label")));
		for (int m = 0; m < EVAL_METRICS; m++)
			cmd_cell(t, "%.4f", json_f64(metric_of(s, "metrics", m), "mean", 0));
	}
	cmd_table_end(t);
}

static void print_changes(struct cmd *cmd, yyjson_val *settings)
{
	static const char *const titles[] = {
		"nDCG@10 OF", "95 % OF MEAN", "CHANGE", "95 % OF CHANGE", "P", "+/-"};
	struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
	size_t i, n;
	yyjson_val *s;
	yyjson_arr_foreach(settings, i, n, s)
	{
		yyjson_val *m = metric_of(s, "metrics", EVAL_NDCG10);
		yyjson_val *d = metric_of(s, "against_first", EVAL_NDCG10);
		cmd_cell(t, "%.*s", STR_FMT(json_str(s, "label")));
		cmd_cell(t, "%.4f..%.4f", json_f64(m, "low", 0), json_f64(m, "high", 0));
		if (!d) { /* the first: nothing to compare with */
			for (int k = 0; k < 4; k++)
				cmd_cell(t, "%s", "");
			continue;
		}
		cmd_cell(t, "%+.4f", json_f64(d, "mean", 0));
		cmd_cell(t, "%+.4f..%+.4f", json_f64(d, "low", 0), json_f64(d, "high", 0));
		cmd_cell(t, "%.3f", json_f64(d, "p", 0));
		cmd_cell(t, "%lld/%lld", (long long)json_i64(d, "better", 0),
			(long long)json_i64(d, "worse", 0));
	}
	cmd_table_end(t);
}

static void print_worse(struct cmd *cmd, yyjson_val *settings)
{
	size_t i, n, k, m;
	yyjson_val *s, *q;
	yyjson_arr_foreach(settings, i, n, s)
	{
		yyjson_val *worse = yyjson_obj_get(s, "worse");
		if (!yyjson_arr_size(worse))
			continue;
		cmd_outf(cmd, "\n%s%.*s: queries that got worse%s\n", cmd_style(cmd, "bold"),
			STR_FMT(json_str(s, "label")), cmd_style(cmd, "reset"));
		yyjson_arr_foreach(worse, k, m, q)
		{
			struct str text = json_str(q, "text");
			if (k == WORSE_SHOWN)
				break;
			size_t shown = utf8_complete_prefix(str_sub(text, 0, 56));
			cmd_outf(cmd, "  %.3f -> %.3f  %.*s%s\n", json_f64(q, "before", 0),
				json_f64(q, "after", 0), (int)shown, text.p,
				shown < text.n ? "..." : "");
		}
	}
}

static void print_advice(struct cmd *cmd, yyjson_val *o)
{
	yyjson_val *config = yyjson_obj_get(o, "configuration"), *key, *value;
	yyjson_val *query = yyjson_obj_get(o, "query"), *rerank = yyjson_obj_get(query, "rerank");
	size_t i, n;
	cmd_outf(cmd, "\nchosen after %zu trials on %lld other queries; in croft.yaml:\n",
		yyjson_arr_size(yyjson_obj_get(o, "trials")),
		(long long)json_i64(o, "queries_to_tune", 0));
	if (yyjson_obj_size(config))
		cmd_outf(cmd, "  rag:\n");
	yyjson_obj_foreach(config, i, n, key, value)
	{
		char *text = yyjson_val_write(value, 0, NULL);
		cmd_outf(cmd, "    %s: %s\n", yyjson_get_str(key) + strlen("rag."),
			text ? text : "");
		free(text);
	}
	cmd_outf(cmd, "and with each search: method %.*s", STR_FMT(json_str(query, "method")));
	if (rerank)
		cmd_outf(cmd, ", rerank %.*s to depth %lld, weight %g",
			STR_FMT(json_str(rerank, "model")), (long long)json_i64(rerank, "depth", 0),
			json_f64(rerank, "weight", 1));
	cmd_outf(cmd, "\n");
}

/* All that were tried, as they were tried. */
static void print_trials(struct cmd *cmd, yyjson_val *trials)
{
	static const char *const titles[] = {"TRIAL", "SETTING", "nDCG@10"};
	struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
	size_t i, n;
	yyjson_val *s;
	yyjson_arr_foreach(trials, i, n, s)
	{
		cmd_cell(t, "%zu", i + 1);
		cmd_cell(t, "%.*s", STR_FMT(json_str(s, "label")));
		cmd_cell(t, "%.4f", json_f64(s, "ndcg_at_10", 0));
	}
	cmd_table_end(t);
	cmd_outf(cmd, "\n");
}

static void print_pairs(struct cmd *cmd, yyjson_val *o)
{
	yyjson_val *pairs = yyjson_obj_get(o, "pairs");
	int64_t read = json_i64(pairs, "read", 0), kept = json_i64(pairs, "kept", 0);
	if (read)
		cmd_outf(cmd, "cross-encoders read %lld pairs; %lld more had been read before\n",
			(long long)read, (long long)kept);
}

static void print(struct cmd *cmd, yyjson_val *o)
{
	yyjson_val *settings = yyjson_obj_get(o, "settings");
	int64_t missing = json_i64(o, "judged_documents_never_found", 0);
	cmd_outf(cmd, "%.*s: %lld queries", STR_FMT(json_str(o, "name")),
		(long long)json_i64(o, "queries", 0));
	if (json_i64(o, "queries_without_judgement", 0))
		cmd_outf(cmd, " (%lld without a relevant document left out)",
			(long long)json_i64(o, "queries_without_judgement", 0));
	cmd_outf(cmd, ", %.*s\n", STR_FMT(json_str(o, "model")));
	if (missing)
		cmd_outf(cmd, "%lld of %lld judged documents were in no list\n", (long long)missing,
			(long long)json_i64(o, "judged_documents", 0));
	cmd_outf(cmd, "\n");
	if (yyjson_arr_size(yyjson_obj_get(o, "trials")))
		print_trials(cmd, yyjson_obj_get(o, "trials"));
	print_means(cmd, settings);
	cmd_outf(cmd, "\n");
	print_changes(cmd, settings);
	print_worse(cmd, settings);
	if (yyjson_obj_get(o, "trials"))
		print_advice(cmd, o);
	print_pairs(cmd, o);
	yyjson_val *x = yyjson_obj_get(o, "experiment");
	if (yyjson_is_int(x))
		cmd_outf(cmd, "\nrecorded: croft experiments runs %lld\n",
			(long long)yyjson_get_sint(x));
}

/* ---- the command ---- */

static enum err forget(struct eval_run *r)
{
	struct buf path = {0}, reply = {0};
	buf_addf(&path, "/api/v1/eval/corpora/%s", r->folder.digest);
	enum err e = cmd_call(r->cmd, HTTP_DELETE, buf_c(&path), S(""), &reply, r->et);
	if (!e && cmd_json(r->cmd))
		cmd_outf(r->cmd, "%s\n", buf_c(&reply));
	else if (!e)
		cmd_outf(r->cmd, "what was kept of %.*s is removed; recorded runs stay\n",
			STR_FMT(r->folder.name));
	buf_free(&path);
	buf_free(&reply);
	return e;
}

static enum err compare(struct eval_run *r)
{
	yyjson_doc *doc = NULL;
	enum err e = write_request(r);
	for (size_t i = 0; i < r->n_chunks && !e && !r->collection.n; i++)
		e = folder_fill(r->cmd, &r->folder, r->chunks[i], r->et);
	e = e ? e : ask(r);
	if (!e && cmd_json(r->cmd)) {
		cmd_out(r->cmd, buf_str(&r->result));
		cmd_out(r->cmd, S("\n"));
	} else if (!e) {
		e = json_parse(buf_str(&r->result), &doc, r->et);
		if (!e)
			print(r->cmd, yyjson_doc_get_root(doc));
	}
	yyjson_doc_free(doc);
	return e;
}

enum err run_eval_retrieval(struct cmd *cmd, struct errtext *et)
{
	struct eval_run r = {.cmd = cmd, .et = et, .collection = cmd_opt(cmd, "collection")};
	if (cmd_n_args(cmd) != 1)
		return err_set(et, ERR_INVALID,
			"name one folder with corpus.jsonl, queries.jsonl and qrels");
	char *path = str_dup(cmd_arg(cmd, 0));
	enum err e = path ? folder_read(path, cmd_opt(cmd, "qrels"), !r.collection.n, &r.folder,
				    cmd_cancel(cmd), et)
			  : err_set(et, ERR_NOMEM, "no memory");
	bool read = !e;
	if (!e)
		e = cmd_flag(cmd, "forget") ? forget(&r) : compare(&r);
	if (read)
		folder_release(&r.folder);
	free(path);
	buf_free(&r.request);
	buf_free(&r.result);
	return e;
}
