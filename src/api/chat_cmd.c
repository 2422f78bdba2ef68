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
	struct buf messages;                                     /* JSON, comma separated */
	struct buf answer;                                       /* of the present turn */
	struct buf last;                                         /* the last question, for /again */
	size_t before_last;                                      /* of messages: where it begins */
	struct buf model, system, temperature, seed, max_tokens; /* "": as the option or default */
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

static enum err number(struct jw *w, const struct buf *value, const char *key, struct errtext *et)
{
	struct str s = buf_str(value);
	int64_t i;
	double d;
	if (!s.n)
		return OK;
	if (!str_f64(s, &d))
		return err_set(et, ERR_INVALID, "%s wants a number, not \"%.*s\"", key, STR_FMT(s));
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
	struct jw first = {.out = &list};
	buf_putc(&list, '[');
	if (c->system.n) {
		jw_obj(&first);
		jw_kc(&first, "role", "system");
		jw_kstr(&first, "content", buf_str(&c->system));
		jw_end(&first);
		if (c->messages.n)
			buf_putc(&list, ',');
	}
	buf_adds(&list, buf_str(&c->messages));
	buf_putc(&list, ']');
	jw_obj(&w);
	if (c->model.n)
		jw_kstr(&w, "model", buf_str(&c->model));
	jw_key(&w, "messages");
	jw_raw(&w, buf_str(&list));
	enum err e = number(&w, &c->temperature, "temperature", et);
	e = e ? e : number(&w, &c->seed, "seed", et);
	e = e ? e : number(&w, &c->max_tokens, "max_tokens", et);
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
	c->before_last = c->messages.n;
	c->e = OK;
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
	if (e)
		c->messages.n = c->before_last; /* as if it had not been asked */
	else
		add_message(c, "assistant", buf_str(&c->answer));
	buf_free(&request);
	buf_free(&reply);
	return e;
}

/* ---- lines that are commands */

static void put(struct buf *b, struct str value)
{
	buf_clear(b);
	buf_adds(b, value);
}

static void help(struct chat *c)
{
	cmd_note(c->cmd, "/again           ask the last question again");
	cmd_note(c->cmd, "/new             begin a new conversation");
	cmd_note(c->cmd, "/system TEXT     what the model is told first; without TEXT: nothing");
	cmd_note(c->cmd, "/model NAME      who answers from now on; without NAME: the default");
	cmd_note(c->cmd, "/set NAME VALUE  temperature, seed or max_tokens");
	cmd_note(c->cmd, "/quit            the end, as Ctrl+D is");
}

static void set_number(struct chat *c, struct str rest)
{
	size_t space = str_chr(rest, ' ');
	struct str name = str_sub(rest, 0, space == STR_NONE ? rest.n : space),
		   value = space == STR_NONE ? S("") : str_trim(str_sub(rest, space, rest.n));
	if (str_eq_c(name, "temperature"))
		put(&c->temperature, value);
	else if (str_eq_c(name, "seed"))
		put(&c->seed, value);
	else if (str_eq_c(name, "max_tokens"))
		put(&c->max_tokens, value);
	else
		cmd_note(c->cmd, "/set temperature, seed or max_tokens; not \"%.*s\"",
			STR_FMT(name));
}

static enum err again(struct chat *c, struct errtext *et)
{
	if (!c->last.n) {
		cmd_note(c->cmd, "nothing has been asked yet");
		return OK;
	}
	c->messages.n = c->before_last;
	return turn(c, buf_str(&c->last), et);
}

/* *ends is set by /quit. */
static enum err command(struct chat *c, struct str line, bool *ends, struct errtext *et)
{
	size_t space = str_chr(line, ' ');
	struct str word = str_sub(line, 0, space == STR_NONE ? line.n : space),
		   rest = space == STR_NONE ? S("") : str_trim(str_sub(line, space, line.n));
	if (str_eq_c(word, "/again"))
		return again(c, et);
	if (str_eq_c(word, "/new"))
		c->messages.n = c->last.n = 0;
	else if (str_eq_c(word, "/system"))
		put(&c->system, rest);
	else if (str_eq_c(word, "/model"))
		put(&c->model, rest);
	else if (str_eq_c(word, "/set"))
		set_number(c, rest);
	else if (str_eq_c(word, "/quit"))
		*ends = true;
	else if (str_eq_c(word, "/help"))
		help(c);
	else
		cmd_note(c->cmd, "there is no %.*s; /help lists what there is", STR_FMT(word));
	return OK;
}

static enum err line_of(struct chat *c, struct str text, bool *ends, struct errtext *et)
{
	if (text.n > LINE_MAX_BYTES)
		return err_set(
			et, ERR_TOO_LARGE, "a line may have at most %d bytes", LINE_MAX_BYTES);
	if (text.p[0] == '/')
		return command(c, text, ends, et);
	put(&c->last, text);
	return turn(c, text, et);
}

/* Worth going on after: the next line may say it better. */
static bool is_passing(enum err e)
{
	return e == ERR_INVALID || e == ERR_NOT_FOUND || e == ERR_TOO_LARGE || e == ERR_LIMIT ||
	       e == ERR_UNSUPPORTED || err_retryable(e);
}

/* Lines until there are no more; empty ones are passed over. */
static enum err converse(struct chat *c, struct errtext *et)
{
	char *line = NULL;
	size_t cap = 0;
	enum err e = OK;
	bool asks = isatty(STDIN_FILENO) && term_is_tty() && !cmd_json(c->cmd);
	bool ends = false;
	while (!e && !ends && !cancelled(cmd_cancel(c->cmd))) {
		if (asks) {
			cmd_outf(c->cmd, "%s>%s ", cmd_style(c->cmd, "bold"),
				cmd_style(c->cmd, "reset"));
			cmd_flush(c->cmd);
		}
		ssize_t n = getline(&line, &cap, stdin);
		if (n < 0)
			break;
		struct str text = str_trim(str_mk(line, (size_t)n));
		struct errtext why = {0};
		e = text.n ? line_of(c, text, &ends, &why) : OK;
		if (e && is_passing(e)) {
			cmd_note(c->cmd, "error: %s", err_text(e, &why));
			e = OK;
		} else if (e && et) {
			*et = why;
		}
	}
	free(line);
	return e;
}

/* An option is named as it was typed; a value of /set when it is used. */
static enum err number_option(
	struct cmd *cmd, const char *name, struct buf *out, struct errtext *et)
{
	struct str s = cmd_opt(cmd, name);
	double d;
	if (s.n && !str_f64(s, &d))
		return err_set(
			et, ERR_INVALID, "--%s wants a number, not \"%.*s\"", name, STR_FMT(s));
	buf_adds(out, s);
	return OK;
}

enum err run_chat(struct cmd *cmd, struct errtext *et)
{
	struct chat c = {.cmd = cmd};
	struct buf text = {0};
	for (size_t i = 0; i < cmd_n_args(cmd); i++)
		buf_addf(&text, "%s%.*s", i ? " " : "", STR_FMT(cmd_arg(cmd, i)));
	buf_adds(&c.system, cmd_opt(cmd, "system"));
	buf_adds(&c.model, cmd_opt(cmd, "model"));
	enum err e = number_option(cmd, "temperature", &c.temperature, et);
	e = e ? e : number_option(cmd, "seed", &c.seed, et);
	e = e ? e : number_option(cmd, "max-tokens", &c.max_tokens, et);
	if (!e)
		e = text.n ? turn(&c, buf_str(&text), et) : converse(&c, et);
	buf_free(&text);
	buf_free(&c.messages);
	buf_free(&c.answer);
	buf_free(&c.last);
	buf_free(&c.system);
	buf_free(&c.model);
	buf_free(&c.temperature);
	buf_free(&c.seed);
	buf_free(&c.max_tokens);
	return e;
}
