/* POST /tokenize, POST /detokenize, GET /tokenizer_info: what a model reads a text as, in the
 * shapes of vLLM, which lm-evaluation-harness and others look for at the server's root. */
#include "api/api_int.h"

/* An embedder or a cross-encoder when that is what the name is of, else what answers chats. */
static enum err find_model(struct croft *c, struct http_request *rq, struct str name,
	struct endpoint **out, struct api_error *x)
{
	struct installed_model *all = NULL;
	size_t n = 0;
	enum model_purpose purpose = PURPOSE_CHAT;
	enum err e = name.n ? installed_list(c, rq->arena, &all, &n, &x->et) : OK;
	for (size_t i = 0; i < n && !e; i++)
		if (str_eq(all[i].name, name))
			purpose = all[i].purpose;
	struct endpoint *ep = NULL;
	if (!e)
		e = endpoint_open(c, name, purpose, &ep, &x->et);
	if (!e)
		e = endpoint_need_model(ep, "tokens", &x->et);
	if (e) {
		endpoint_put(ep);
		return api_fail_from(x, e, "model");
	}
	*out = ep;
	return OK;
}

static int64_t context_of(const struct endpoint *ep)
{
	struct generator *g = endpoint_generator(ep);
	return g ? generator_context(g) : model_info(endpoint_model(ep))->context_max;
}

static enum err encode_chat(struct croft *c, struct http_request *rq, struct endpoint *ep,
	struct tokens *out, struct api_error *x)
{
	struct chat_params p;
	enum err e = api_parse_chat(rq->body, rq->arena, &p, x);
	if (e)
		return e;
	if (!endpoint_generator(ep))
		return api_fail(x, ERR_INVALID, "unsupported_value", "messages",
			"messages: %.*s is no chat model", STR_FMT(endpoint_name(ep)));
	struct chat_request r = api_chat_request(&p, rq->who, rq->cancel);
	e = chat_prompt_tokens(c, ep, &r, out, &x->et);
	return e ? api_fail_from(x, e, "messages") : OK;
}

static enum err encode(struct croft *c, struct http_request *rq, const struct tokenize_params *p,
	struct endpoint *ep, struct tokens *out, struct api_error *x)
{
	if (p->conversation)
		return encode_chat(c, rq, ep, out, x);
	unsigned flags = TOKENIZE_SPECIAL | (p->add_special ? TOKENIZE_ADD_SPECIAL : 0);
	enum err e =
		tokenizer_encode(model_tokenizer(endpoint_model(ep)), p->text, flags, out, &x->et);
	return e ? api_fail_from(x, e, "prompt") : OK;
}

static void write_pieces(struct jw *w, const struct tokenizer *tk, const struct tokens *t)
{
	struct buf piece = {0};
	jw_arr(w);
	for (size_t i = 0; i < t->n; i++) {
		buf_clear(&piece);
		tokenizer_piece(tk, t->id[i], true, &piece);
		jw_str(w, buf_str(&piece));
	}
	jw_end(w);
	buf_free(&piece);
}

static void reply_tokens(
	struct http_response *rs, const struct endpoint *ep, const struct tokens *t, bool pieces)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_ki64(&w, "count", (int64_t)t->n);
	jw_ki64(&w, "max_model_len", context_of(ep));
	jw_key(&w, "tokens");
	jw_arr(&w);
	for (size_t i = 0; i < t->n; i++)
		jw_i64(&w, t->id[i]);
	jw_end(&w);
	jw_key(&w, "token_strs");
	if (pieces)
		write_pieces(&w, model_tokenizer(endpoint_model(ep)), t);
	else
		jw_null(&w);
	jw_kstr(&w, "model", endpoint_name(ep));
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

static void tokenize(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct tokenize_params p;
	struct api_error x = {0};
	struct endpoint *ep = NULL;
	struct tokens t = {0};
	enum err e = api_parse_tokenize(rq->body, rq->arena, &p, &x);
	e = e ? e : find_model(c, rq, p.model, &ep, &x);
	e = e ? e : encode(c, rq, &p, ep, &t, &x);
	if (e)
		api_reply_error(rs, &x);
	else
		reply_tokens(rs, ep, &t, p.pieces);
	tokens_free(&t);
	endpoint_put(ep);
}

static enum err decode(
	const struct prompt *in, const struct tokenizer *tk, struct buf *out, struct api_error *x)
{
	for (size_t i = 0; i < in->n_ids; i++)
		if ((size_t)in->ids[i] >= tokenizer_vocab_size(tk))
			return api_fail(x, ERR_INVALID, "invalid_value", "tokens",
				"tokens[%zu]: %d is no token of this model; it has %zu", i,
				(int)in->ids[i], tokenizer_vocab_size(tk));
	enum err e = tokenizer_decode(tk, in->ids, in->n_ids, true, out);
	return e ? api_fail(x, e, NULL, NULL, "no memory for the text") : OK;
}

static void detokenize(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct detokenize_params p;
	struct api_error x = {0};
	struct endpoint *ep = NULL;
	struct buf text = {0}, b = {0};
	enum err e = api_parse_detokenize(rq->body, rq->arena, &p, &x);
	e = e ? e : find_model(c, rq, p.model, &ep, &x);
	e = e ? e : decode(&p.tokens, model_tokenizer(endpoint_model(ep)), &text, &x);
	if (e) {
		api_reply_error(rs, &x);
	} else {
		struct jw w = {.out = &b};
		jw_obj(&w);
		jw_kstr(&w, "prompt", buf_str(&text));
		jw_end(&w);
		http_reply_json(rs, 200, &w);
	}
	buf_free(&text);
	buf_free(&b);
	endpoint_put(ep);
}

static void write_piece(struct jw *w, const char *key, const struct tokenizer *tk, int32_t id)
{
	struct buf piece = {0};
	jw_key(w, key);
	if (id >= 0) {
		tokenizer_piece(tk, id, true, &piece);
		jw_str(w, buf_str(&piece));
	} else {
		jw_null(w);
	}
	buf_free(&piece);
}

static void info(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct endpoint *ep = NULL;
	struct str name = http_query(rq, "model");
	if (find_model(c, rq, str_eq_c(name, "default") ? S("") : name, &ep, &x)) {
		api_reply_error(rs, &x);
		return;
	}
	const struct tokenizer *tk = model_tokenizer(endpoint_model(ep));
	struct str template = tokenizer_chat_template(tk);
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_kstr(&w, "model", endpoint_name(ep));
	jw_kc(&w, "tokenizer_class", tokenizer_kind(tk));
	jw_ki64(&w, "vocab_size", (int64_t)tokenizer_vocab_size(tk));
	jw_ki64(&w, "model_max_length", context_of(ep));
	write_piece(&w, "bos_token", tk, tokenizer_bos(tk));
	write_piece(&w, "eos_token", tk, tokenizer_eos(tk));
	jw_key(&w, "chat_template");
	if (template.n)
		jw_str(&w, template);
	else
		jw_null(&w);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
	endpoint_put(ep);
}

static const struct route routes[] = {
	{HTTP_POST, "/tokenize", tokenize, PERM_MODEL_USE,
		"The tokens of a text, or of a conversation as the model would read it", NULL,
		"TokenizeRequest",
		"{ count: int, max_model_len: int, tokens: int[], token_strs: string[] | null, "
		"model }",
		0},
	{HTTP_POST, "/detokenize", detokenize, PERM_MODEL_USE, "The text of tokens", NULL,
		"{ model?, tokens: int[] }", "{ prompt }", 0},
	{HTTP_GET, "/tokenizer_info", info, PERM_MODEL_READ, "What a model's tokenizer is",
		"{ model? }", NULL,
		"{ model, tokenizer_class, vocab_size: int, model_max_length: int, "
		"bos_token: string | null, eos_token: string | null, chat_template: string | null "
		"}",
		0},
};

static const struct shape shapes[] = {
	{"TokenizeRequest",
		"{ model?, prompt?, messages?: OpenAIMessage[], tools?: { type: \"function\", "
		"function: OpenAIFunction }[], add_special_tokens?: boolean, "
		"return_token_strs?: boolean }"},
};

static const struct option tokenize_options[] = {
	{"model", 'm', "MODEL", "An installed model (setting chat.model)"},
	{"count", 0, NULL, "Only how many there are"},
	{"special", 0, NULL, "With what the model itself puts around a text (BOS, [CLS], ...)"},
	{"ids", 0, NULL, "The arguments are token ids: print their text"},
};

static const struct command commands[] = {
	{"tokenize", run_tokenize, "TEXT...|-", tokenize_options, ARRAY_LEN(tokenize_options),
		"The tokens that a model reads a text as, or the text of tokens",
		"- is standard input, byte for byte. A piece that is a part of a character shows "
		"as U+FFFD.\n\n"
		"  croft tokenize 'How many are these?'\n"
		"  croft tokenize --count - <book.txt\n"
		"  croft tokenize --ids 19556 905"},
};

const struct module tokenize_module = {
	.name = "tokenize",
	TABLE(routes),
	TABLE(shapes),
	TABLE(commands),
};
