/* `croft chat`: a conversation on the terminal, one line a turn; or one message and its answer. */
#include "api/api_int.h"
#include "module/cmd.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 1 << 20 };

const struct option chat_options[N_CHAT_OPTIONS] = {
	{"model", 'm', "NAME", "The model (setting chat.model)"},
	{"system", 's', "TEXT", "What the model is told before the conversation"},
	{"temperature", 't', "T", "0: the likeliest words; up to 2. 1 if not given"},
	{"seed", 0, "N", "The same seed, the same answer"},
	{"max-tokens", 0, "N", "The longest answer"},
};

struct chat {
	struct cmd *cmd;
	struct buf messages; /* JSON, comma separated */
	struct buf answer;   /* of the present turn */
	bool thinks;
	enum err e;
	struct errtext failure;
};

static void add_message(struct chat *c, const char *role, struct str text)
{
	struct jw w = {.out = &c->messages};
	if (c->messages.n)
		buf_putc(&c->messages, ',');
	jw_obj(&w);
	jw_kc(&w, "role", role);
	jw_kstr(&w, "content", text);
	jw_end(&w);
}

static enum err number(
	struct chat *c, struct jw *w, const char *option, const char *key, struct errtext *et)
{
	struct str s = cmd_opt(c->cmd, option);
	int64_t i;
	double d;
	if (!s.p)
		return OK;
	if (!str_f64(s, &d))
		return err_set(et, ERR_INVALID, "--%s wants a number", option);
	jw_key(w, key);
	if (str_i64(s, &i))
		jw_i64(w, i);
	else
		jw_f64(w, d);
	return OK;
}

static enum err write_request(struct chat *c, bool stream, struct buf *out, struct errtext *et)
{
	struct buf list = {0};
	struct jw w = {.out = out};
	buf_addf(&list, "[%s]", buf_c(&c->messages));
	jw_obj(&w);
	if (cmd_opt(c->cmd, "model").n)
		jw_kstr(&w, "model", cmd_opt(c->cmd, "model"));
	jw_key(&w, "messages");
	jw_raw(&w, buf_str(&list));
	enum err e = number(c, &w, "temperature", "temperature", et);
	e = e ? e : number(c, &w, "seed", "seed", et);
	e = e ? e : number(c, &w, "max-tokens", "max_tokens", et);
	jw_kbool(&w, "stream", stream);
	jw_end(&w);
	if (!e && (list.err || !jw_done(&w)))
		e = err_set(et, ERR_NOMEM, "no memory for the conversation");
	buf_free(&list);
	return e;
}

/* Thoughts are dim, and end where the answer begins. */
static void show(struct chat *c, yyjson_val *delta)
{
	struct str thought = json_str(delta, "reasoning_content"),
		   text = json_str(delta, "content");
	if (thought.n) {
		if (!c->thinks)
			cmd_outf(c->cmd, "%s", cmd_style(c->cmd, "dim"));
		c->thinks = true;
		cmd_out(c->cmd, thought);
	}
	if (text.n) {
		if (c->thinks)
			cmd_outf(c->cmd, "%s\n\n", cmd_style(c->cmd, "reset"));
		c->thinks = false;
		cmd_out(c->cmd, text);
		buf_adds(&c->answer, text);
	}
	cmd_flush(c->cmd);
}

static enum err on_data(void *ctx, struct str event, struct str data)
{
	struct chat *c = ctx;
	yyjson_doc *doc;
	if (str_eq_c(data, "[DONE]"))
		return OK;
	enum err e = json_parse(data, &doc, &c->failure);
	if (e)
		return e;
	yyjson_val *root = yyjson_doc_get_root(doc), *error = yyjson_obj_get(root, "error");
	if (error)
		c->e = err_set(
			&c->failure, ERR_INTERNAL, "%.*s", STR_FMT(json_str(error, "message")));
	else
		show(c, yyjson_obj_get(
				yyjson_arr_get_first(yyjson_obj_get(root, "choices")), "delta"));
	yyjson_doc_free(doc);
	return c->answer.err;
}

static void note_whole(struct chat *c, struct str reply)
{
	yyjson_doc *doc;
	cmd_outf(c->cmd, "%.*s\n", STR_FMT(reply));
	if (json_parse(reply, &doc, NULL))
		return;
	yyjson_val *choices = yyjson_obj_get(yyjson_doc_get_root(doc), "choices");
	buf_adds(&c->answer,
		json_str(yyjson_obj_get(yyjson_arr_get_first(choices), "message"), "content"));
	yyjson_doc_free(doc);
}

static enum err turn(struct chat *c, struct str text, struct errtext *et)
{
	struct buf request = {0}, reply = {0};
	bool stream = !cmd_json(c->cmd);
	add_message(c, "user", text);
	buf_clear(&c->answer);
	enum err e = write_request(c, stream, &request, et);
	if (!e && stream)
		e = cmd_stream(c->cmd, HTTP_POST, "/v1/chat/completions", buf_str(&request),
			on_data, c, et);
	else if (!e)
		e = cmd_call(
			c->cmd, HTTP_POST, "/v1/chat/completions", buf_str(&request), &reply, et);
	if (!e && c->e) {
		e = c->e;
		if (et)
			*et = c->failure;
	}
	if (!e && stream)
		cmd_outf(c->cmd, "%s\n", c->thinks ? cmd_style(c->cmd, "reset") : "");
	else if (!e)
		note_whole(c, buf_str(&reply));
	c->thinks = false;
	cmd_flush(c->cmd);
	add_message(c, "assistant", buf_str(&c->answer));
	buf_free(&request);
	buf_free(&reply);
	return e;
}

/* Lines until there are no more; empty ones are passed over. */
static enum err converse(struct chat *c, struct errtext *et)
{
	char *line = NULL;
	size_t cap = 0;
	enum err e = OK;
	bool asks = isatty(STDIN_FILENO) && term_is_tty() && !cmd_json(c->cmd);
	while (!e && !cancelled(cmd_cancel(c->cmd))) {
		if (asks) {
			cmd_outf(c->cmd, "%s>%s ", cmd_style(c->cmd, "bold"),
				cmd_style(c->cmd, "reset"));
			cmd_flush(c->cmd);
		}
		ssize_t n = getline(&line, &cap, stdin);
		if (n < 0)
			break;
		struct str text = str_trim(str_mk(line, (size_t)n));
		if (text.n > LINE_MAX_BYTES)
			e = err_set(et, ERR_TOO_LARGE, "a line may have at most %d bytes",
				LINE_MAX_BYTES);
		else if (text.n)
			e = turn(c, text, et);
	}
	free(line);
	return e;
}

enum err run_chat(struct cmd *cmd, struct errtext *et)
{
	struct chat c = {.cmd = cmd};
	struct buf text = {0};
	for (size_t i = 0; i < cmd_n_args(cmd); i++)
		buf_addf(&text, "%s%.*s", i ? " " : "", STR_FMT(cmd_arg(cmd, i)));
	if (cmd_opt(cmd, "system").n)
		add_message(&c, "system", cmd_opt(cmd, "system"));
	enum err e = text.n ? turn(&c, buf_str(&text), et) : converse(&c, et);
	buf_free(&text);
	buf_free(&c.messages);
	buf_free(&c.answer);
	return e;
}
