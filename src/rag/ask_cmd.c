/* croft ask: the answer as it comes, its citations with how far each can be trusted, the sources
 * and the best sentences. */
#include "rag/ask.h"

const struct option ask_options[] = {
	{"number", 'k', "K", "How many passages to retrieve (setting rag.top_k)"},
	{"method", 'm', "NAME", "hybrid, dense or bm25"},
	{"path", 0, "GLOB", "Only documents whose path or name matches"},
	{"type", 0, "TYPE", "Only documents of this type: pdf, docx, html, ..."},
	{"tag", 't', "TAG", "Only documents with this tag"},
	{"from", 0, "DATE", "Only documents of this date or later: 2026-05-03"},
	{"to", 0, "DATE", "Only documents of this date or earlier"},
	{"collection", 'c', "NAME", "The collection (default)"},
	{"model", 0, "NAME", "The chat model (setting chat.model)"},
	{"temperature", 0, "T", "0 (the default): the likeliest words; up to 2"},
	{"seed", 0, "N", "For a temperature above 0: the same seed, the same answer"},
	{"max-tokens", 0, "N", "The longest answer (setting rag.answer_tokens)"},
	RAG_STAGE_OPTIONS,
};

struct printer {
	struct cmd *cmd;
	bool streamed;     /* something of the answer stands on the terminal */
	struct buf answer; /* the last event's JSON */
	struct errtext failure;
	enum err e;
};

static enum err error_of(yyjson_val *root, struct errtext *et)
{
	yyjson_val *o = yyjson_obj_get(root, "error");
	struct str code = json_str(o, "code"), message = json_str(o, "message");
	for (int e = OK + 1; e < ERR_COUNT; e++)
		if (str_eq_c(code, err_word((enum err)e)))
			return err_set(et, (enum err)e, "%.*s", STR_FMT(message));
	return err_set(et, ERR_INTERNAL, "%.*s", STR_FMT(message));
}

static enum err on_event(void *ctx, struct str event, struct str data)
{
	struct printer *p = ctx;
	struct errtext et = {0};
	bool token = str_eq_c(event, "token"), error = str_eq_c(event, "error");
	if (str_eq_c(event, "answer")) {
		buf_clear(&p->answer);
		buf_adds(&p->answer, data);
		return p->answer.err;
	}
	if (!error && !(token && term_is_tty() && !cmd_json(p->cmd)))
		return OK;
	yyjson_doc *doc;
	enum err e = json_parse(data, &doc, &et);
	if (e)
		return e;
	if (error) {
		p->e = error_of(yyjson_doc_get_root(doc), &p->failure);
	} else {
		cmd_out(p->cmd, json_str(yyjson_doc_get_root(doc), "text"));
		cmd_flush(p->cmd);
		p->streamed = true;
	}
	yyjson_doc_free(doc);
	return OK;
}

static void print_place(struct cmd *cmd, yyjson_val *o)
{
	cmd_outf(cmd, "%.*s", STR_FMT(json_str(o, "title")));
	if (json_i64(o, "page", 0))
		cmd_outf(cmd, ", page %lld", (long long)json_i64(o, "page", 0));
}

static void print_quote(struct cmd *cmd, struct str quote)
{
	size_t shown = utf8_complete_prefix(str_sub(quote, 0, 240));
	for (size_t i = 0; i < shown; i++)
		cmd_outf(cmd, "%c", (unsigned char)quote.p[i] < 0x20 ? ' ' : quote.p[i]);
	cmd_outf(cmd, "%s", shown < quote.n ? " ..." : "");
}

static void print_citations(struct cmd *cmd, yyjson_val *list)
{
	size_t i, n;
	yyjson_val *t;
	if (yyjson_arr_size(list))
		cmd_outf(cmd, "\n%sCitations%s\n", cmd_style(cmd, "bold"), cmd_style(cmd, "reset"));
	yyjson_arr_foreach(list, i, n, t)
	{
		struct str status = json_str(t, "status"), why = json_str(t, "reason");
		bool bad = str_eq_c(status, "unsupported");
		int64_t number = json_i64(t, "n", 0);
		if (number)
			cmd_outf(cmd, "  [%lld] ", (long long)number);
		else
			cmd_outf(cmd, "  [-] ");
		cmd_outf(cmd, "%s%.*s%s", cmd_style(cmd, bad ? "red" : "green"), STR_FMT(status),
			cmd_style(cmd, "reset"));
		if (number && str_eq_c(json_str(t, "added_by"), "check"))
			cmd_outf(cmd, " (added by the check)");
		if (bad)
			cmd_outf(cmd, ": %.*s; nearest", STR_FMT(why));
		cmd_outf(cmd, " \"");
		print_quote(cmd, json_str(t, "quote"));
		cmd_outf(cmd, "\"\n");
	}
}

static void print_list(struct cmd *cmd, const char *title, yyjson_val *list, const char *text)
{
	size_t i, n;
	yyjson_val *t;
	if (yyjson_arr_size(list))
		cmd_outf(cmd, "\n%s%s%s\n", cmd_style(cmd, "bold"), title, cmd_style(cmd, "reset"));
	yyjson_arr_foreach(list, i, n, t)
	{
		cmd_outf(cmd, "  [%lld] ", (long long)json_i64(t, "n", 0));
		if (json_str(t, "title").n) {
			print_place(cmd, t);
			cmd_outf(cmd, "\n      %s%.*s%s\n", cmd_style(cmd, "dim"),
				STR_FMT(json_str(t, "path")), cmd_style(cmd, "reset"));
		} else {
			print_quote(cmd, json_str(t, text));
			cmd_outf(cmd, "\n");
		}
	}
}

static void print_answer(struct printer *p, yyjson_val *o)
{
	struct cmd *cmd = p->cmd;
	struct str reason = json_str(o, "reason");
	bool replaced = json_str(o, "generated").p != NULL;
	if (p->streamed)
		cmd_outf(cmd, "\n");
	if (reason.n && p->streamed)
		cmd_outf(cmd, "\n");
	if (!p->streamed || (replaced && !json_i64(o, "lead_to", 0)) ||
		!json_bool(o, "grounded", true))
		cmd_outf(cmd, "%.*s\n", STR_FMT(json_str(o, "answer")));
	if (reason.n)
		cmd_outf(cmd, "%s(%.*s)%s\n", cmd_style(cmd, "yellow"), STR_FMT(reason),
			cmd_style(cmd, "reset"));
	else if (json_i64(o, "lead_to", 0))
		cmd_outf(cmd,
			"%s(the first sentence is quoted from the passages, the rest is the "
			"model's)%s\n",
			cmd_style(cmd, "dim"), cmd_style(cmd, "reset"));
	print_citations(cmd, yyjson_obj_get(o, "citations"));
	print_list(cmd, "Sources", yyjson_obj_get(o, "sources"), "quote");
	print_list(cmd, "Best sentences", yyjson_obj_get(o, "best"), "text");
	yyjson_val *t = yyjson_obj_get(o, "timings"), *u = yyjson_obj_get(o, "usage");
	cmd_outf(cmd,
		"\n%s%.*s  retrieved in %.0f ms, read %lld tokens in %.0f ms, wrote %lld in %.0f "
		"ms, "
		"checked in %.0f ms%s\n",
		cmd_style(cmd, "dim"), STR_FMT(json_str(o, "model")), json_f64(t, "retrieve_ms", 0),
		(long long)json_i64(u, "prompt_tokens", 0), json_f64(t, "prompt_ms", 0),
		(long long)json_i64(u, "completion_tokens", 0), json_f64(t, "decode_ms", 0),
		json_f64(t, "check_ms", 0), cmd_style(cmd, "reset"));
}

static enum err number_member(struct cmd *cmd, struct jw *w, const char *option, const char *key,
	bool fraction, struct errtext *et)
{
	struct str s = cmd_opt(cmd, option);
	double f = 0;
	int64_t i = 0;
	if (!s.p)
		return OK;
	if (fraction ? !str_f64(s, &f) : !str_i64(s, &i))
		return err_set(
			et, ERR_INVALID, "--%s must be a number, not \"%.*s\"", option, STR_FMT(s));
	if (fraction)
		jw_kf64(w, key, f);
	else
		jw_ki64(w, key, i);
	return OK;
}

enum err run_ask(struct cmd *cmd, struct errtext *et)
{
	struct buf text = {0}, body = {0};
	struct printer p = {.cmd = cmd};
	yyjson_doc *doc = NULL;
	query_text(cmd, &text);
	struct jw w = {.out = &body};
	jw_obj(&w);
	jw_kstr(&w, "question", buf_str(&text));
	if (cmd_opt(cmd, "model").n)
		jw_kstr(&w, "model", cmd_opt(cmd, "model"));
	enum err e =
		str_trim(buf_str(&text)).n
			? OK
			: err_set(et, ERR_INVALID,
				  "say what to ask: croft ask \"how long is the notice period?\"");
	if (!e)
		e = number_member(cmd, &w, "temperature", "temperature", true, et);
	if (!e)
		e = number_member(cmd, &w, "seed", "seed", false, et);
	if (!e)
		e = number_member(cmd, &w, "max-tokens", "max_tokens", false, et);
	if (!e)
		e = rag_query_members(cmd, &w, et);
	jw_end(&w);
	if (!e)
		e = cmd_stream(cmd, HTTP_POST, "/api/v1/ask", buf_str(&body), on_event, &p, et);
	if (!e && p.e) {
		e = p.e;
		if (et)
			*et = p.failure;
	}
	if (!e && !p.answer.n)
		e = err_set(et, ERR_NETWORK, "the server ended without an answer");
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&p.answer));
	else if (!e)
		e = json_parse(buf_str(&p.answer), &doc, et);
	if (!e && doc) {
		print_trail(cmd, yyjson_doc_get_root(doc));
		print_answer(&p, yyjson_doc_get_root(doc));
	}
	yyjson_doc_free(doc);
	buf_free(&p.answer);
	buf_free(&text);
	buf_free(&body);
	return e;
}
