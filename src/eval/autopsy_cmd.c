/* croft eval autopsy: questions from a file, a folder or the command line; where each was lost. */
#include "eval/autopsy.h"

#include "base/os.h"

#include <stdlib.h>

enum { FILE_MAX = 64 << 20, EXAMPLES_SHOWN = 3 };

const struct option autopsy_options[] = {
	{"question", 'q', "TEXT", "One question"},
	{"answer", 'a', "TEXT", "Its answer; may be given again for another wording"},
	{"document", 'd', "PATH", "Where it stands: path, name or id"},
	{"passage", 0, "TEXT", "In which words"},
	{"qrels", 0, "FILE", "Of a folder: judgements (qrels/test.tsv, else qrels.tsv)"},
	{"questions", 'n', "N", "Only the first N questions"},
	{"generate", 'g', NULL, "Ask the chat model, too, and look into its answers"},
	{"model", 0, "NAME", "Which one (setting chat.model)"},
	{"collection", 'c', "NAME", "The collection (default)"},
	{"number", 'k', "K", "Passages for each question (setting rag.top_k)"},
	{"method", 'm', "NAME", "hybrid, dense or bm25"},
	{"rerank", 0, NULL, "Order the best anew with a cross-encoder"},
	{"rerank-model", 0, "MODEL", "Which one (setting rerank.model)"},
	{"rerank-depth", 0, "N", "How many of the best it reads (50)"},
	{"dense-weight", 0, "X", "How much more embeddings weigh than words in hybrid"},
	RAG_STAGE_OPTIONS,
};

struct post_mortem {
	struct cmd *cmd;
	struct jw w;
	struct buf request, result;
	size_t n;     /* questions so far */
	int64_t most; /* 0: all */
	char *path;   /* the folder's name lies in it */
	struct folder folder;
	bool has_folder;
	struct map documents; /* query -> its first relevant document, on the heap */
	struct errtext *et;
};

/* ---- questions ---- */

static void write_given(struct post_mortem *p)
{
	struct str answer;
	jw_obj(&p->w);
	jw_kstr(&p->w, "question", cmd_opt(p->cmd, "question"));
	jw_key(&p->w, "answers");
	jw_arr(&p->w);
	for (size_t i = 0; (answer = cmd_opt_at(p->cmd, "answer", i)).p; i++)
		jw_str(&p->w, answer);
	jw_end(&p->w);
	if (cmd_opt(p->cmd, "document").n)
		jw_kstr(&p->w, "document", cmd_opt(p->cmd, "document"));
	if (cmd_opt(p->cmd, "passage").n)
		jw_kstr(&p->w, "passage", cmd_opt(p->cmd, "passage"));
	jw_end(&p->w);
	p->n = 1;
}

static void write_member(struct post_mortem *p, yyjson_val *o, const char *key, const char *other)
{
	yyjson_val *v = yyjson_obj_get(o, key);
	v = v || !other ? v : yyjson_obj_get(o, other);
	if (!v)
		return;
	jw_key(&p->w, key);
	if (yyjson_is_int(v) && other)
		jw_fmt(&p->w, "%lld", (long long)yyjson_get_sint(v));
	else
		jw_val(&p->w, v);
}

static enum err write_line(struct post_mortem *p, struct str line, size_t row)
{
	yyjson_doc *doc;
	enum err e = json_parse(line, &doc, p->et);
	if (e)
		return err_wrap(p->et, e, "row %zu", row);
	yyjson_val *o = yyjson_doc_get_root(doc);
	struct str id = json_str(o, "_id");
	const char *document = p->has_folder ? map_get(&p->documents, id) : NULL;
	jw_obj(&p->w);
	write_member(p, o, "id", "_id");
	write_member(p, o, "question", "text");
	write_member(p, o, "answer", NULL);
	write_member(p, o, "answers", NULL);
	write_member(p, o, "passage", NULL);
	if (document)
		jw_kc(&p->w, "document", document);
	else
		write_member(p, o, "document", NULL);
	jw_end(&p->w);
	p->n++;
	yyjson_doc_free(doc);
	return OK;
}

static enum err write_lines(struct post_mortem *p, struct str text)
{
	struct str line;
	enum err e = OK;
	for (size_t row = 1; !e && str_next_line(&text, &line); row++)
		if (str_trim(line).n && (!p->most || p->n < (size_t)p->most))
			e = write_line(p, line, row);
	return e;
}

static enum err take_qrel(void *ctx, struct str query, struct str document, double grade)
{
	struct post_mortem *p = ctx;
	if (grade <= 0 || map_get(&p->documents, query))
		return OK;
	char *copy = str_dup(document);
	if (copy && map_put(&p->documents, query, copy))
		return OK;
	free(copy);
	return err_set(p->et, ERR_NOMEM, "no memory for judgements");
}

static enum err write_folder(struct post_mortem *p, const char *path)
{
	bool own = cmd_opt(p->cmd, "collection").n > 0;
	enum err e = folder_read(
		path, cmd_opt(p->cmd, "qrels"), !own, &p->folder, cmd_cancel(p->cmd), p->et);
	p->has_folder = !e;
	e = e ? e : folder_qrels(&p->folder, take_qrel, p, p->et);
	return e ? e : write_lines(p, buf_str(&p->folder.queries));
}

static enum err write_file(struct post_mortem *p, struct str name)
{
	struct buf text = {0};
	p->path = str_dup(name);
	enum err e = p->path ? OK : err_set(p->et, ERR_NOMEM, "no memory");
	if (!e && os_is_dir(p->path)) {
		e = write_folder(p, p->path);
	} else if (!e) {
		const char *path = str_eq_c(name, "-") ? "/dev/stdin" : p->path;
		e = os_read_file(path, FILE_MAX, &text, p->et);
		e = e ? e : write_lines(p, buf_str(&text));
	}
	buf_free(&text);
	return e;
}

static enum err write_request(struct post_mortem *p)
{
	struct cmd *cmd = p->cmd;
	bool given = cmd_opt(cmd, "question").n > 0;
	struct str most = cmd_opt(cmd, "questions");
	if (given == (cmd_n_args(cmd) == 1) || cmd_n_args(cmd) > 1)
		return err_set(p->et, ERR_INVALID,
			"name a file with questions, or ask one: --question and --answer");
	if (most.n && (!str_i64(most, &p->most) || p->most < 1))
		return err_set(p->et, ERR_INVALID, "--questions must be a number, not \"%.*s\"",
			STR_FMT(most));
	p->w = (struct jw){.out = &p->request};
	jw_obj(&p->w);
	jw_key(&p->w, "questions");
	jw_arr(&p->w);
	enum err e = OK;
	if (given)
		write_given(p);
	else
		e = write_file(p, cmd_arg(cmd, 0));
	jw_end(&p->w);
	if (cmd_flag(cmd, "generate"))
		jw_kbool(&p->w, "generate", true);
	if (cmd_opt(cmd, "model").n)
		jw_kstr(&p->w, "model", cmd_opt(cmd, "model"));
	if (p->has_folder && !cmd_opt(cmd, "collection").n)
		jw_kc(&p->w, "digest", p->folder.digest);
	e = e ? e : rag_query_members(cmd, &p->w, p->et);
	jw_end(&p->w);
	if (!e && !jw_done(&p->w))
		e = err_set(p->et, ERR_NOMEM, "no memory for the request");
	return e;
}

/* ---- printing ---- */

static void print_rank(struct cmd *cmd, const char *name, yyjson_val *v)
{
	if (yyjson_is_int(v))
		cmd_outf(cmd, "%s %lld", name, (long long)yyjson_get_sint(v));
	else
		cmd_outf(cmd, "%s nowhere", name);
}

static void print_path(struct cmd *cmd, yyjson_val *path)
{
	size_t i, n;
	yyjson_val *s;
	if (!yyjson_arr_size(path))
		return;
	cmd_outf(cmd, "  rank after ");
	yyjson_arr_foreach(path, i, n, s)
	{
		yyjson_val *rank = yyjson_obj_get(s, "rank");
		cmd_outf(cmd, "%s%.*s ", i ? " > " : "", STR_FMT(json_str(s, "stage")));
		if (yyjson_is_int(rank))
			cmd_outf(cmd, "%lld", (long long)yyjson_get_sint(rank));
		else
			cmd_outf(cmd, "not there");
	}
	cmd_outf(cmd, "\n");
}

static void print_case(struct cmd *cmd, yyjson_val *v)
{
	yyjson_val *ranks = yyjson_obj_get(v, "ranks"), *note;
	size_t i, n;
	cmd_outf(cmd, "%s%.*s%s: %.*s\n", cmd_style(cmd, "bold"), STR_FMT(json_str(v, "stage")),
		cmd_style(cmd, "reset"), STR_FMT(json_str(v, "why")));
	if (json_str(v, "document").n)
		cmd_outf(cmd, "  document   %.*s", STR_FMT(json_str(v, "document")));
	if (json_i64(v, "page", 0))
		cmd_outf(cmd, ", page %lld", (long long)json_i64(v, "page", 0));
	if (json_i64(v, "places", 0) > 1)
		cmd_outf(cmd, " (of %lld places)", (long long)json_i64(v, "places", 0));
	if (json_str(v, "document").n)
		cmd_outf(cmd, "\n");
	if (json_str(v, "quote").n)
		cmd_outf(cmd, "  text       ...%.*s...\n", STR_FMT(json_str(v, "quote")));
	if (yyjson_is_obj(ranks)) {
		cmd_outf(cmd, "  ranks      ");
		print_rank(cmd, "words", yyjson_obj_get(ranks, "keyword"));
		print_rank(cmd, ", meaning", yyjson_obj_get(ranks, "dense"));
		print_rank(cmd, ", both", yyjson_obj_get(ranks, "fused"));
		cmd_outf(cmd, "\n");
	}
	print_path(cmd, yyjson_obj_get(v, "path"));
	if (json_str(v, "answer").n)
		cmd_outf(cmd, "  answer     %.*s\n", STR_FMT(json_str(v, "answer")));
	if (json_str(v, "generated").n)
		cmd_outf(cmd, "  written    %.*s\n", STR_FMT(json_str(v, "generated")));
	yyjson_arr_foreach(yyjson_obj_get(v, "notes"), i, n, note)
		cmd_outf(cmd, "  note       %.*s\n", STR_FMT(json_val_str(note)));
	if (!str_eq_c(json_str(v, "stage"), lost_word(LOST_NOTHING)))
		cmd_outf(cmd, "  remedy     %.*s\n", STR_FMT(json_str(v, "remedy")));
}

static void print_counts(struct cmd *cmd, yyjson_val *o)
{
	static const char *const titles[] = {"STAGE", "QUESTIONS", "SHARE"};
	struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
	double all = (double)json_i64(o, "questions", 1);
	size_t i, n;
	yyjson_val *s;
	yyjson_arr_foreach(yyjson_obj_get(o, "stages"), i, n, s)
	{
		int64_t count = json_i64(s, "questions", 0);
		if (!count)
			continue;
		cmd_cell(t, "%.*s", STR_FMT(json_str(s, "stage")));
		cmd_cell(t, "%lld", (long long)count);
		cmd_cell(t, "%.1f %%", 100 * (double)count / all);
	}
	cmd_table_end(t);
}

static void print_examples(struct cmd *cmd, yyjson_val *cases, struct str stage)
{
	size_t i, n, shown = 0;
	yyjson_val *v;
	yyjson_arr_foreach(cases, i, n, v)
	{
		if (!str_eq(json_str(v, "stage"), stage) || shown++ >= EXAMPLES_SHOWN)
			continue;
		cmd_outf(cmd, "  %.*s\n    %s%.*s: %.*s%s\n", STR_FMT(json_str(v, "question")),
			cmd_style(cmd, "dim"), STR_FMT(json_str(v, "id")),
			STR_FMT(json_str(v, "why")), cmd_style(cmd, "reset"));
	}
}

static void print(struct cmd *cmd, yyjson_val *o)
{
	yyjson_val *cases = yyjson_obj_get(o, "cases"), *s;
	size_t i, n;
	if (yyjson_arr_size(cases) == 1) {
		print_case(cmd, yyjson_arr_get_first(cases));
		return;
	}
	cmd_outf(cmd, "%lld questions, %lld documents\n\n", (long long)json_i64(o, "questions", 0),
		(long long)json_i64(o, "documents", 0));
	print_counts(cmd, o);
	yyjson_arr_foreach(yyjson_obj_get(o, "stages"), i, n, s)
	{
		struct str stage = json_str(s, "stage");
		if (!json_i64(s, "questions", 0) || str_eq_c(stage, lost_word(LOST_NOTHING)))
			continue;
		cmd_outf(cmd, "\n%s%.*s%s: %.*s\n", cmd_style(cmd, "bold"), STR_FMT(stage),
			cmd_style(cmd, "reset"), STR_FMT(json_str(s, "remedy")));
		print_examples(cmd, cases, stage);
	}
}

/* ---- the command ---- */

static enum err ask(struct post_mortem *p)
{
	struct listening l = {.progress = progress_begin(p->cmd, "looking", "questions", p->n),
		.result = &p->result,
		.et = p->et};
	enum err e = cmd_stream(p->cmd, HTTP_POST, "/api/v1/eval/autopsy", buf_str(&p->request),
		listen_to, &l, p->et);
	progress_end(l.progress, NULL);
	if (!e && !p->result.n)
		e = err_set(p->et, ERR_IO, "the server ended without a result");
	return e;
}

static void release(struct post_mortem *p)
{
	struct str key;
	void *value;
	for (size_t i = 0; map_next(&p->documents, &i, &key, &value);)
		free(value);
	map_free(&p->documents);
	if (p->has_folder)
		folder_release(&p->folder);
	free(p->path);
	buf_free(&p->request);
	buf_free(&p->result);
}

enum err run_eval_autopsy(struct cmd *cmd, struct errtext *et)
{
	struct post_mortem p = {.cmd = cmd, .et = et};
	yyjson_doc *doc = NULL;
	enum err e = write_request(&p);
	if (!e && p.has_folder && !cmd_opt(cmd, "collection").n)
		e = folder_fill(cmd, &p.folder, 0, et);
	e = e ? e : ask(&p);
	if (!e && cmd_json(cmd)) {
		cmd_out(cmd, buf_str(&p.result));
		cmd_out(cmd, S("\n"));
	} else if (!e) {
		e = json_parse(buf_str(&p.result), &doc, et);
		if (!e)
			print(cmd, yyjson_doc_get_root(doc));
	}
	yyjson_doc_free(doc);
	release(&p);
	return e;
}
