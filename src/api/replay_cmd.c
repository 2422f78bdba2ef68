/* `croft replay RUN`: a recorded chat request asked again with the same seed, and the answer beside
 * the recorded one, byte for byte. */
#include "api/api_int.h"
#include "module/cmd.h"

#include <stdio.h>
#include <stdlib.h>

enum { AROUND = 24 };

struct replay {
	struct cmd *cmd;
	yyjson_doc *before, *after; /* the runs */
	char run[ID_HEX + 1];       /* the new one */
};

static enum err get_run(struct cmd *cmd, struct str id, yyjson_doc **out, struct errtext *et)
{
	struct buf path = {0}, body = {0};
	struct id parsed;
	if (!id_parse(id, &parsed))
		return err_set(et, ERR_INVALID, "the id of a run has 32 hex digits: croft runs");
	buf_addf(&path, "/api/v1/runs/%.*s", STR_FMT(id));
	enum err e = cmd_call(cmd, HTTP_GET, buf_c(&path), (struct str){0}, &body, et);
	if (!e)
		e = json_parse(buf_str(&body), out, et);
	buf_free(&path);
	buf_free(&body);
	return e;
}

/* The attributes of the k-th span of a name; NULL when there are fewer. */
static yyjson_val *span_at(yyjson_doc *run, const char *name, size_t k)
{
	yyjson_val *s;
	size_t i, n;
	yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(run), "spans"), i, n, s)
	{
		if (str_eq_c(json_str(s, "name"), name) && !k--)
			return yyjson_obj_get(s, "attributes");
	}
	return NULL;
}

/* The k-th answer: several of one request end in any order, and their spans say which they are. */
static yyjson_val *answer_at(yyjson_doc *run, size_t k)
{
	for (size_t i = 0;; i++) {
		yyjson_val *a = span_at(run, "generate", i);
		yyjson_val *choice = yyjson_obj_get(a, "choice");
		if (!a || (choice ? yyjson_get_uint(choice) == k : i == k))
			return a;
	}
}

/* The recorded request with the seed that it got, whole and with its receipt. */
static enum err write_request(
	struct replay *r, yyjson_val *receipt, struct buf *out, struct errtext *et)
{
	static const char *const ours[] = {"stream", "stream_options", "seed", "receipt"};
	yyjson_val *k, *v;
	size_t i, n;
	struct jw w = {.out = out};
	jw_obj(&w);
	yyjson_obj_foreach(yyjson_obj_get(span_at(r->before, "request", 0), "input"), i, n, k, v)
	{
		bool own = false;
		for (size_t j = 0; j < ARRAY_LEN(ours); j++)
			own |= str_eq_c(json_val_str(k), ours[j]);
		if (!own) {
			jw_key_str(&w, json_val_str(k));
			jw_val(&w, v);
		}
	}
	jw_key(&w, "seed");
	jw_val(&w, yyjson_obj_get(receipt, "seed"));
	jw_kbool(&w, "receipt", true);
	jw_end(&w);
	return jw_done(&w) ? OK : err_set(et, ERR_NOMEM, "no memory for the request");
}

static enum err ask_again(struct replay *r, yyjson_val *receipt, struct errtext *et)
{
	struct buf request = {0}, body = {0};
	yyjson_doc *reply = NULL;
	enum err e = write_request(r, receipt, &request, et);
	if (!e)
		e = cmd_call(
			r->cmd, HTTP_POST, "/v1/chat/completions", buf_str(&request), &body, et);
	if (!e)
		e = json_parse(buf_str(&body), &reply, et);
	if (!e) {
		struct str id =
			json_str(yyjson_obj_get(yyjson_doc_get_root(reply), "croft"), "run");
		snprintf(r->run, sizeof r->run, "%.*s", STR_FMT(id));
		e = get_run(r->cmd, id, &r->after, et);
	}
	yyjson_doc_free(reply);
	buf_free(&request);
	buf_free(&body);
	return e;
}

static void text_of(yyjson_val *v, struct buf *out)
{
	struct jw w = {.out = out};
	if (yyjson_is_str(v))
		buf_adds(out, json_val_str(v));
	else if (v)
		jw_val(&w, v);
}

static struct str around(const struct buf *b, size_t at)
{
	struct str s = str_sub(buf_str(b), at, at + AROUND);
	return str_sub(s, 0, utf8_complete_prefix(s));
}

/* True when a member is the same in both; says where not. */
static bool same(struct replay *r, yyjson_val *a, yyjson_val *b, size_t answer, const char *key)
{
	struct buf x = {0}, y = {0};
	size_t at = 0;
	text_of(yyjson_obj_get(a, key), &x);
	text_of(yyjson_obj_get(b, key), &y);
	bool equal = str_eq(buf_str(&x), buf_str(&y));
	while (at < x.n && at < y.n && x.p[at] == y.p[at])
		at++;
	while (at && at < x.n && (x.p[at] & 0xc0) == 0x80)
		at--; /* to the beginning of a code point */
	if (!equal && !cmd_json(r->cmd))
		cmd_outf(r->cmd,
			"answer %zu, %s: differs at byte %zu\n  then  %.*s\n  now   %.*s\n", answer,
			key, at, STR_FMT(around(&x, at)), STR_FMT(around(&y, at)));
	buf_free(&x);
	buf_free(&y);
	return equal;
}

/* What the answers were made with, as far as it could have changed. */
static void compare_receipts(struct replay *r, yyjson_val *a, yyjson_val *b)
{
	static const char *const keys[] = {"model", "model_sha256", "base", "base_sha256",
		"template_sha256", "engine", "context_tokens"};
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		struct buf x = {0}, y = {0};
		text_of(yyjson_obj_get(yyjson_obj_get(a, "receipt"), keys[i]), &x);
		text_of(yyjson_obj_get(yyjson_obj_get(b, "receipt"), keys[i]), &y);
		if (!str_eq(buf_str(&x), buf_str(&y)))
			cmd_note(r->cmd, "%s was %s, and is %s", keys[i], buf_c(&x), buf_c(&y));
		buf_free(&x);
		buf_free(&y);
	}
}

static size_t compare(struct replay *r, size_t *answers)
{
	static const char *const keys[] = {"reasoning", "output", "tool_calls", "finish_reason"};
	size_t k = 0, differ = 0;
	for (yyjson_val *a; (a = answer_at(r->before, k)); k++) {
		yyjson_val *b = answer_at(r->after, k);
		bool equal = true;
		compare_receipts(r, a, b);
		for (size_t i = 0; i < ARRAY_LEN(keys); i++)
			equal = same(r, a, b, k, keys[i]) && equal;
		differ += !equal;
	}
	*answers = k;
	return differ;
}

static enum err find(struct replay *r, yyjson_val **receipt, struct errtext *et)
{
	yyjson_val *input = yyjson_obj_get(span_at(r->before, "request", 0), "input");
	*receipt = yyjson_obj_get(answer_at(r->before, 0), "receipt");
	if (!yyjson_is_obj(input) || !yyjson_is_obj(*receipt))
		return err_set(et, ERR_INVALID,
			"the run keeps no whole chat request with an answer of a local model; "
			"runs.value_max says how long one may be");
	return OK;
}

enum err run_replay(struct cmd *cmd, struct errtext *et)
{
	struct replay r = {.cmd = cmd};
	yyjson_val *receipt = NULL;
	size_t answers = 0, differ = 0;
	if (cmd_n_args(cmd) != 1)
		return err_set(et, ERR_INVALID, "one run: croft replay RUN");
	enum err e = get_run(cmd, cmd_arg(cmd, 0), &r.before, et);
	e = e ? e : find(&r, &receipt, et);
	e = e ? e : ask_again(&r, receipt, et);
	if (!e) {
		differ = compare(&r, &answers);
		if (cmd_json(cmd))
			cmd_outf(cmd,
				"{\"reproduced\":%s,\"answers\":%zu,\"differ\":%zu,\"run\":\"%s\"}"
				"\n",
				differ ? "false" : "true", answers, differ, r.run);
		else if (!differ)
			cmd_outf(cmd, "reproduced: %zu answer%s, byte for byte (run %s)\n", answers,
				answers == 1 ? "" : "s", r.run);
		if (differ)
			e = err_set(et, ERR_CONFLICT, "%zu of %zu answers differ (run %s)", differ,
				answers, r.run);
	}
	yyjson_doc_free(r.before);
	yyjson_doc_free(r.after);
	return e;
}
