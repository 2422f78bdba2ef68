/* The answer to a prompt: one or more runs of the generator, each going on where the last one
 * stopped, so that each can be held to a language of its own.
 *
 *	what was asked for             the runs
 *	text, perhaps calls            any text; where a call begins, the run stops there;
 *	                               a call, held to its schema; any text again, ...
 *	a call, or a certain one       thoughts; the beginning of a call is put there by us;
 *	                               a call; another beginning may follow, or nothing
 *	text of a format               thoughts; text, held to the format
 *
 * Beginnings and ends that we put there join the prompt as tokens, as the model was taught them;
 * keys and values of what was written before are known to the generator, so the next run starts at
 * once. A token that crosses the place where a run stops is taken back, and what of it counts is
 * encoded anew.
 *
 * Text on its way: token -> thinking -> calls -> stop strings -> event. */
#include "endpoint/chat_int.h"

#include "base/hash.h"

#include <stdlib.h>

enum phase {
	ANY,      /* text is text */
	THOUGHTS, /* a thought, or stop and take back what was written */
	ANOTHER,  /* a call's beginning, or stop and take back */
};

struct answer {
	struct chat_turn *t;
	const struct chat_request *r;
	const struct tokenizer *tk;
	enum phase phase;
	struct thinking thinking;
	struct toolcall_parser parser;
	bool parses; /* calls are looked for */
	struct stopper stopper;
	struct str *names;
	bool *free;      /* [n_tools]: its schema cannot be enforced */
	size_t n_prompt; /* of the turn's tokens */
	bool fed;        /* the parser has read something */

	/* the present run */
	struct tokens fresh; /* written by it */
	struct buf said;     /* its text */
	const struct gen_event *token;
	bool told;      /* the token came with text */
	size_t untaken; /* bytes at the end of its text that nobody wants yet */
	bool halt;      /* the run stops here, the answer does not */
	bool take_back; /* and what it wrote does not count */
	bool over;      /* the answer stops */
	bool refused;   /* on_event wants no more */
	uint32_t counted;
	enum err e;
	unsigned runs;
	struct errtext *et;
};

static enum err no_memory(struct answer *a)
{
	return err_set(a->et, ERR_NOMEM, "no memory for the answer");
}

/* ---- events ---- */

static void send(struct answer *a, const struct chat_event *ev)
{
	if (a->refused)
		return;
	if (a->r->on_event && !a->r->on_event(a->r->ctx, ev))
		a->refused = a->over = true;
}

static void send_text(struct answer *a, struct str text)
{
	bool wanted = a->r->top_logprobs >= 0 && a->token && a->token->token >= 0 && !a->told;
	buf_adds(&a->t->res.text, text);
	if (!text.n && !wanted)
		return;
	a->told = true;
	send(a, &(struct chat_event){
			.kind = CHAT_TEXT, .text = text, .token = wanted ? a->token : NULL});
}

static void text(struct answer *a, struct str s)
{
	int hit = -1;
	if (a->over)
		return;
	if (a->r->n_stop)
		s = stopper_add(&a->stopper, s, &hit);
	if (s.n)
		send_text(a, s);
	if (hit >= 0) {
		a->t->res.finish = CHAT_STOP_STRING;
		buf_adds(&a->t->res.stop_string, a->r->stop[hit]);
		a->over = true;
	}
}

/* Ids say nothing, differ within a conversation, and are the same when the answer is. */
static void make_id(struct answer *a, unsigned call, struct buf *out)
{
	char hex[SHA256_HEX + 1];
	struct buf b = {0};
	buf_addf(&b, "%llu %u ", (unsigned long long)a->r->sampling.seed, call);
	buf_add(&b, a->t->ids.id, a->t->ids.n * sizeof *a->t->ids.id);
	sha256_hex_of(buf_str(&b), hex);
	buf_free(&b);
	unsigned n = a->t->manner.family->id_length;
	buf_addf(out, n ? "%.*s" : "call_%.*s", n ? (int)n : 24, hex);
}

static struct chat_call *present_call(struct answer *a)
{
	struct chat_result *r = &a->t->res;
	return r->n_calls ? &r->calls[r->n_calls - 1] : NULL;
}

static void call_begins(struct answer *a, struct str name)
{
	struct chat_result *r = &a->t->res;
	if (!r->calls)
		r->calls = calloc(CHAT_CALLS_MAX, sizeof *r->calls);
	if (!r->calls || r->n_calls == CHAT_CALLS_MAX) {
		a->e = r->calls ? err_set(a->et, ERR_LIMIT, "more than %d calls in one answer",
					  CHAT_CALLS_MAX)
				: no_memory(a);
		a->over = true;
		return;
	}
	struct chat_call *c = &r->calls[r->n_calls];
	make_id(a, (unsigned)r->n_calls, &c->id);
	buf_adds(&c->name, name);
	if (c->id.err || c->name.err)
		a->e = no_memory(a);
	r->n_calls++;
	send(a, &(struct chat_event){.kind = CHAT_CALL,
			.call = (unsigned)r->n_calls - 1,
			.id = buf_str(&c->id),
			.name = buf_str(&c->name)});
}

static bool blank(struct str s)
{
	return !str_trim(s).n;
}

static void reasoning(struct answer *a, struct str s)
{
	buf_adds(&a->t->res.reasoning, s);
	send(a, &(struct chat_event){.kind = CHAT_REASONING, .text = s});
}

static void from_parser(void *ctx, const struct toolcall_event *ev)
{
	struct answer *a = ctx;
	struct chat_call *c = present_call(a);
	if (a->over)
		return;
	switch (ev->kind) {
	case TOOLCALL_TEXT:
		if (a->phase == ANY)
			text(a, ev->text);
		else if (!blank(ev->text))
			a->halt = a->take_back = true;
		break;
	case TOOLCALL_THOUGHT:
		reasoning(a, ev->text);
		break;
	case TOOLCALL_BEGIN:
		call_begins(a, ev->text);
		break;
	case TOOLCALL_ARGUMENTS:
		buf_adds(&c->arguments, ev->text);
		send(a, &(struct chat_event){.kind = CHAT_ARGUMENTS,
				.call = (unsigned)a->t->res.n_calls - 1,
				.text = ev->text});
		break;
	case TOOLCALL_END:
		send(a, &(struct chat_event){
				.kind = CHAT_CALL_END, .call = (unsigned)a->t->res.n_calls - 1});
		a->over |= a->r->one_call;
		break;
	}
}

static bool prompt_opens(const struct answer *a)
{
	const struct toolcall_messages *m = a->t->manner.family->messages;
	return m && str_ends(a->t->prompt, str_c(m->opened));
}

/* Before the parser reads anything: where an answer is several messages, the prompt has begun the
 * first, and a thought has ended it. */
static void begin_parsing(struct answer *a)
{
	if (!a->fed && prompt_opens(a) && !a->thinking.thought)
		toolcall_force(&a->parser, &a->t->manner.family->syntax[0]);
	a->fed = true;
}

static void to_parser(struct answer *a, struct str s)
{
	begin_parsing(a);
	size_t took = toolcall_add(&a->parser, s);
	buf_adds(&a->said, str_sub(s, 0, took));
	if (a->parser.todo.err || a->said.err)
		a->e = no_memory(a);
	a->untaken = s.n - took;
	a->halt |= !a->parser.certain && toolcall_paused(&a->parser);
}

static void from_thinking(void *ctx, bool thought, struct str s)
{
	struct answer *a = ctx;
	if (thought) {
		reasoning(a, s);
	} else if (a->phase == THOUGHTS) {
		a->halt = a->take_back = true;
	} else if (a->parses) {
		to_parser(a, s);
	} else {
		text(a, s);
	}
}

/* ---- one run of the generator ---- */

static bool holds(const char *sign, struct str piece)
{
	return sign && str_find(str_c(sign), piece) != STR_NONE;
}

static bool is_sign(const struct answer *a, struct str piece)
{
	const struct thinking_signs *th = a->t->manner.thinks;
	if (th && (holds(th->open, piece) || holds(th->close, piece)))
		return true;
	const struct toolcall_family *f = a->t->manner.family;
	bool any = a->parses && holds(f->close, piece);
	for (size_t i = 0; a->parses && i < ARRAY_LEN(f->syntax) && f->syntax[i].begin; i++) {
		const struct toolcall_syntax *s = &f->syntax[i];
		any |= holds(s->begin, piece) || holds(s->end, piece) || holds(s->drop, piece) ||
		       holds(s->between, piece);
	}
	const struct toolcall_messages *m = a->parses ? f->messages : NULL;
	for (const char *const *end = m ? m->ends : NULL; end && *end; end++)
		any |= holds(*end, piece);
	return any || (m && holds(m->after_name, piece));
}

static bool push(struct tokens *t, int32_t id)
{
	if (t->n >= t->cap) {
		size_t cap = 2 * t->n + 64;
		int32_t *p = realloc(t->id, cap * sizeof *p);
		if (!p)
			return false;
		t->id = p;
		t->cap = cap;
	}
	t->id[t->n++] = id;
	return true;
}

/* The token counts, or as much of its text as was taken. */
static void keep_token(struct answer *a, int32_t id, struct str piece)
{
	if (!a->untaken)
		a->e = push(&a->fresh, id) ? a->e : no_memory(a);
	else if (a->untaken < piece.n)
		a->e = tokenizer_encode(a->tk, str_sub(piece, 0, piece.n - a->untaken),
			TOKENIZE_SPECIAL, &a->fresh, a->et);
	a->untaken = 0;
}

static bool on_token(void *ctx, const struct gen_event *g)
{
	struct answer *a = ctx;
	struct buf sign = {0};
	struct str piece = g->text;
	bool thought = a->thinking.inside || a->parser.thought;
	a->token = g;
	a->told = false;
	if (!piece.n && g->token >= 0 && tokenizer_is_control(a->tk, g->token)) {
		tokenizer_piece(a->tk, g->token, true, &sign);
		if (sign.n && is_sign(a, buf_str(&sign)))
			piece = buf_str(&sign);
	}
	size_t took = thinking_add(&a->thinking, piece, a->phase == THOUGHTS, from_thinking, a);
	if (a->phase == THOUGHTS && a->thinking.decided) {
		a->halt = true;
		a->untaken = piece.n - took;
	}
	thought |= a->thinking.inside || a->parser.thought;
	a->t->res.reasoning_tokens += g->token >= 0 && thought;
	if (g->token >= 0)
		keep_token(a, g->token, piece);
	if (!thought && a->parser.state == TC_TEXT && !a->halt && !a->over)
		send_text(a, S(""));
	a->token = NULL;
	buf_free(&sign);
	return !a->halt && !a->over && !a->e;
}

static void account(struct answer *a, const struct gen_result *g)
{
	struct chat_result *to = &a->t->res;
	if (!a->runs) {
		to->prompt_tokens = g->prompt_tokens;
		to->cached_tokens = g->cached_tokens;
		to->first_token_ns = g->first_token_ns;
	}
	to->completion_tokens += g->completion_tokens;
	to->drafted_tokens += g->drafted_tokens;
	to->accepted_tokens += g->accepted_tokens;
	to->queued_ns += g->queued_ns;
	to->prompt_ns += g->prompt_ns;
	to->decode_ns += g->decode_ns;
	a->counted += g->completion_tokens;
	a->runs++;
}

static bool append(struct tokens *to, const struct tokens *from)
{
	for (size_t i = 0; i < from->n; i++)
		if (!push(to, from->id[i]))
			return false;
	return true;
}

/* The answer is as long as it may be: there is no run any more. */
static bool is_full(struct answer *a)
{
	uint32_t most = a->r->max_tokens;
	bool full =
		a->runs && ((most && a->counted >= most) ||
				   a->t->ids.n >= generator_context(endpoint_generator(a->t->ep)));
	if (full) {
		a->t->res.finish = CHAT_LENGTH;
		a->over = true;
	}
	return full;
}

static enum err run(struct answer *a, enum phase phase, const struct language *language)
{
	const struct chat_request *r = a->r;
	if (a->over || is_full(a))
		return OK;
	a->phase = phase;
	a->halt = a->take_back = false;
	a->fresh.n = 0;
	buf_clear(&a->said);
	struct gen_request q = {.prompt = a->t->ids.id,
		.n_prompt = a->t->ids.n,
		.max_tokens = r->max_tokens ? r->max_tokens - a->counted : 0,
		.sampling = r->sampling,
		.top_logprobs = r->top_logprobs,
		.language = language,
		.priority = r->priority,
		.goes_on = a->runs > 0,
		.cancel = r->cancel,
		.on_token = on_token,
		.ctx = a};
	struct gen_result g = {0};
	endpoint_share(a->t->ep, &q, r->who, r->who ? r->who->project : S(""));
	q.sampling.seed += (uint64_t)a->runs * 0x9E3779B97F4A7C15u;
	enum err e = generator_run(endpoint_generator(a->t->ep), &q, &g, a->et);
	if (!e)
		account(a, &g);
	if (!e && a->e)
		e = a->e;
	if (!e && (a->refused || (g.finish == GEN_CANCELLED && !a->halt && !a->over)))
		e = err_set(a->et, ERR_CANCELLED, "the client went away");
	if (!e && g.finish == GEN_LENGTH && !a->halt && !a->over) {
		a->t->res.finish = CHAT_LENGTH;
		a->over = true;
	}
	if (!e && !a->take_back && !append(&a->t->ids, &a->fresh))
		e = no_memory(a);
	buf_free(&g.text);
	return e;
}

/* Ours, and not the model's: it joins the prompt. `read`: and the parser reads it. */
static enum err put(struct answer *a, struct str s, bool read)
{
	if (a->over || !s.n)
		return OK;
	if (read) {
		begin_parsing(a);
		toolcall_add(&a->parser, s);
	}
	return a->e ? a->e : tokenizer_encode(a->tk, s, TOKENIZE_SPECIAL, &a->t->ids, a->et);
}

/* ---- calls ---- */

static enum err run_held(struct answer *a, struct constraint *k)
{
	enum err e = run(a, ANY, constraint_language(k));
	endpoint_constraint_put(a->t->c, k);
	return e;
}

static size_t tool_called(const struct answer *a, struct str name)
{
	size_t i = 0;
	while (i + 1 < a->r->n_tools && !str_eq(a->r->tools[i].name, name))
		i++;
	return i;
}

/* The name: written by the model when there are several. */
static enum err write_name(struct answer *a, size_t *tool)
{
	struct constraint *k = NULL;
	size_t n = 0;
	for (size_t i = 0; i < a->r->n_tools; i++)
		if (chat_tool_wanted(a->r, i)) {
			*tool = i;
			n++;
		}
	if (n == 1)
		return put(a, a->r->tools[*tool].name, true);
	enum err e = chat_tools_names(a->t->c, a->r, &k, a->et);
	e = e ? e : run_held(a, k);
	*tool = tool_called(a, buf_str(&a->said));
	return e;
}

/* The parser stands behind the sign of a call or, of a message, behind its header. */
static enum err write_named(struct answer *a)
{
	const struct toolcall_messages *m = a->t->manner.family->messages;
	struct constraint *k = NULL;
	size_t tool = 0;
	enum err e = OK;
	if (!a->parser.walk.told) {
		e = put(a, str_c(m ? m->call : ""), true);
		e = e ? e : write_name(a, &tool);
		e = e ? e : put(a, str_c(m ? m->after_name : a->parser.syntax->between), true);
	}
	if (e || a->over)
		return e;
	tool = tool_called(a, buf_str(&a->parser.walk.key));
	e = chat_tools_arguments(a->t->c, a->r, tool, a->free[tool], &k, a->et);
	return e ? e : run_held(a, k);
}

/* What comes next among several: written by the model, or by us when there is no choice. */
static enum err write_choice(struct answer *a, const struct chat_xml *x, struct buf *chosen)
{
	struct buf list = {0};
	struct constraint *k = NULL;
	enum err e = OK;
	buf_clear(chosen);
	if (chat_xml_choices(x, &list, chosen) == 1) {
		e = put(a, buf_str(chosen), true);
	} else {
		e = list.err ? no_memory(a)
			     : endpoint_constraint_get(
				       a->t->c, CONSTRAINT_CHOICE, buf_str(&list), &k, a->et);
		e = e ? e : run_held(a, k);
		buf_clear(chosen);
		buf_adds(chosen, buf_str(&a->said));
	}
	buf_free(&list);
	return e || !chosen->err ? e : no_memory(a);
}

static enum err write_value(struct answer *a, struct chat_xml *x, struct str chosen)
{
	struct constraint *k = NULL;
	bool ends;
	enum err e = chat_xml_value(a->t->c, x, chosen, &k, &ends, a->et);
	e = e ? e : run_held(a, k);
	return e ? e : put(a, ends ? S("\n") : S("\n</parameter>\n"), true);
}

/* One argument after the other. Those of a tool that cannot be enforced are the model's. */
static enum err write_xml(struct answer *a, bool *whole)
{
	struct chat_xml x = {0};
	struct buf chosen = {0};
	size_t tool = 0;
	enum err e = put(a, str_c(a->parser.syntax->after), true);
	*whole = false;
	e = e ? e : write_name(a, &tool);
	if (e || a->over)
		return e;
	a->parser.certain = !a->free[tool];
	e = put(a, str_c(a->parser.syntax->between), true);
	if (e || a->free[tool])
		return e;
	*whole = true;
	e = chat_xml_open(a->r, tool, &x, a->et);
	do {
		e = e ? e : write_choice(a, &x, &chosen);
		if (e || a->over || str_eq_c(buf_str(&chosen), "</function>"))
			break;
		e = write_value(a, &x, buf_str(&chosen));
	} while (!e && !a->over);
	chat_xml_free(&x);
	buf_free(&chosen);
	return e;
}

/* The parser stands behind a call's beginning; afterwards behind its end. */
static enum err write_call(struct answer *a)
{
	const struct toolcall_syntax *s = a->parser.syntax;
	struct constraint *k = NULL;
	bool whole = true;
	enum err e = OK;
	a->parser.certain = true;
	if (s->shape == TOOLCALL_XML) {
		e = write_xml(a, &whole);
	} else if (s->shape == TOOLCALL_NAMED || s->shape == TOOLCALL_MESSAGE) {
		e = write_named(a);
	} else {
		e = put(a, str_c(s->after), true);
		e = e ? e : chat_tools_calls(a->t->c, a->r, s, a->free, &k, a->et);
		e = e ? e : run_held(a, k);
	}
	if (!e && whole)
		e = put(a, str_c(s->end), true);
	a->parser.certain = false;
	return e;
}

/* A message of ours begins, be it that the prompt has begun one. */
static enum err begin_message(struct answer *a, const char *header)
{
	const struct toolcall_messages *m = a->t->manner.family->messages;
	bool begun = prompt_opens(a) && a->t->ids.n == a->n_prompt;
	enum err e = begun ? OK : put(a, str_c(m->opened), false);
	return e ? e : put(a, str_c(header), false);
}

/* Any text, and calls where the model begins one. */
static enum err write_freely(struct answer *a)
{
	const struct toolcall_family *f = a->t->manner.family;
	enum err e = OK;
	do {
		e = run(a, ANY, NULL);
		if (!e && a->halt && !a->over)
			e = write_call(a);
		else
			break;
		if (f->messages && !f->syntax[0].again)
			break; /* the call ends the answer */
	} while (!e && !a->over);
	return e;
}

/* Calls, one at least. */
static enum err write_calls(struct answer *a)
{
	const struct toolcall_family *f = a->t->manner.family;
	const struct toolcall_syntax *s = &f->syntax[0];
	enum err e = f->messages ? begin_message(a, "") : put(a, str_c(s->begin), false);
	toolcall_force(&a->parser, s);
	a->fed = true;
	e = e ? e : write_call(a);
	while (!e && s->again && !a->over) {
		e = run(a, ANOTHER, NULL);
		if (e || a->over || a->take_back || !toolcall_paused(&a->parser))
			break;
		e = write_call(a);
	}
	return e;
}

/* ---- the whole ---- */

static bool forced(const struct chat_request *r)
{
	return r->tool_choice == TOOLS_REQUIRED || r->tool_choice == TOOLS_NAMED;
}

static bool any_strict(const struct chat_request *r)
{
	bool any = false;
	for (size_t i = 0; i < r->n_tools; i++)
		any |= r->tools[i].strict;
	return any;
}

static enum toolcall_value meant(void *ctx, struct str tool, struct str argument)
{
	const struct answer *a = ctx;
	return chat_xml_meant(a->r, tool, argument, a->parser.certain);
}

static enum err prepare_tools(struct answer *a)
{
	const struct chat_request *r = a->r;
	const struct toolcall_family *f = a->t->manner.family;
	bool none = !r->n_tools || r->tool_choice == TOOLS_NONE;
	a->parses = !none || f->messages;
	a->parser = (struct toolcall_parser){
		.family = f, .none = none, .on = from_parser, .ctx = a, .meant = meant};
	if (none)
		return OK;
	a->names = calloc(r->n_tools, sizeof *a->names);
	a->free = calloc(r->n_tools, sizeof *a->free);
	if (!a->names || !a->free)
		return no_memory(a);
	for (size_t i = 0; i < r->n_tools; i++)
		a->names[i] = r->tools[i].name;
	a->parser.names = a->names;
	a->parser.n_names = r->n_tools;
	a->parser.pause = true;
	a->parser.pause_bare = any_strict(r);
	return chat_tools_compile(a->t->c, r, &f->syntax[0], a->free, a->et);
}

/* What follows is no thought, whether the model has ended one or not. */
static enum err stop_thinking(struct answer *a)
{
	struct thinking *t = &a->thinking;
	struct buf b = {0};
	if (a->over)
		return OK;
	if (t->inside) {
		thinking_end(t, from_thinking, a);
		buf_addf(&b, "%s%s", t->signs->close, t->signs->after);
	}
	enum err e = put(a, buf_str(&b), false);
	buf_free(&b);
	t->held.n = 0;
	t->inside = false;
	t->decided = t->spoke = true;
	return e;
}

static enum err write_answer(struct answer *a)
{
	const struct chat_request *r = a->r;
	bool force = a->parses && forced(r);
	struct constraint *k = NULL;
	enum err e = OK;
	if (r->format && !force) {
		e = endpoint_constraint_get(a->t->c, r->format, r->format_source, &k, a->et);
		a->parses = false;
	}
	if (!e && (force || k) && a->thinking.signs && r->reasoning != REASONING_OFF)
		e = run(a, THOUGHTS, NULL);
	if (!e && (force || k))
		e = stop_thinking(a);
	if (!e && k && a->t->manner.family->messages)
		e = begin_message(a, a->t->manner.family->messages->user);
	if (!e && force)
		e = write_calls(a);
	else if (!e)
		e = k ? run(a, ANY, constraint_language(k)) : write_freely(a);
	endpoint_constraint_put(a->t->c, k);
	return e;
}

/* What was held back, when nothing cut the answer off. */
static void flush(struct answer *a)
{
	enum chat_finish *f = &a->t->res.finish;
	bool stopped = *f == CHAT_STOP_STRING, took_back = a->take_back;
	bool calls_end = a->over && a->r->one_call && a->t->res.n_calls;
	a->over = stopped || calls_end;
	a->phase = ANY;
	a->halt = false;
	if (!took_back)
		thinking_end(&a->thinking, from_thinking, a);
	if (a->parses && !took_back)
		toolcall_end(&a->parser);
	if (a->r->n_stop && !stopped) {
		struct str rest = stopper_end(&a->stopper);
		if (rest.n)
			send_text(a, rest);
	}
	if (a->t->res.n_calls && *f == CHAT_STOP)
		*f = CHAT_TOOL_CALLS;
}

enum err chat_answer(struct chat_turn *t, struct errtext *et)
{
	struct answer a = {.t = t,
		.r = t->r,
		.tk = model_tokenizer(endpoint_model(t->ep)),
		.thinking.signs = t->manner.thinks,
		.et = et};
	a.thinking.inside = thinking_is_open(t->manner.thinks, t->prompt);
	a.n_prompt = t->ids.n;
	enum err e = stopper_init(&a.stopper, t->r->stop, t->r->n_stop, et);
	e = e ? e : prepare_tools(&a);
	e = e ? e : write_answer(&a);
	if (!e) {
		flush(&a);
		e = a.e;
		if (!e && a.refused)
			e = err_set(et, ERR_CANCELLED, "the client went away");
	}
	for (size_t i = 0; i < t->res.n_calls && !e; i++)
		if (t->res.calls[i].arguments.err)
			e = no_memory(&a);
	t->misread = a.parser.misread;
	thinking_free(&a.thinking);
	buf_free(&a.said);
	toolcall_free(&a.parser);
	stopper_free(&a.stopper);
	tokens_free(&a.fresh);
	free(a.names);
	free(a.free);
	return e;
}
