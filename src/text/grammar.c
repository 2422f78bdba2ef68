/* Grammars as languages. A regular one is one cell. Of the others, the bottom cell is DONE; above
 * it stand, for each call that has not ended, an AFTER cell with the state to go on in, and on top
 * a READ cell with a state that reads bytes. A call at the very end of its part leaves no cell, so
 * that recursion to the right takes no room. */
#include "text/grammar.h"

#include <stdlib.h>
#include "text/dfa.h"
#include "text/grammar_int.h"

enum { COMPILED_MAX = 128 << 20 };

enum kind { READ, AFTER, ARRIVED, DONE };

struct grammar {
	struct language language;
	struct arena *a;
	struct net net;
	const struct dfa *dfa; /* instead of the net */
};

/* ---- walking the network ---- */

static void arrive(struct machine *m, const struct net *net, uint32_t state,
	const struct cell *below, bool may_end);

static void go_into(
	struct machine *m, const struct net *net, const struct call *c, const struct cell *below)
{
	const struct cell *up = below;
	if (!(net->flags[c->target] & STATE_LAST))
		up = machine_cell(m, &(struct cell){.up = below, .kind = AFTER, .a = c->target});
	/* the same rule may be reached on many ways */
	if (up && machine_once(m, &(struct cell){.up = up, .kind = ARRIVED, .a = c->start}))
		arrive(m, net, c->start, up, false);
}

/* Emits what stands above `below` once `state` is reached. A part that has just been called does
 * not end at once: its caller went on without it, too. */
static void arrive(struct machine *m, const struct net *net, uint32_t state,
	const struct cell *below, bool may_end)
{
	if (net->flags[state] & STATE_READS)
		machine_emit(m, &(struct cell){.up = below, .kind = READ, .a = state});
	for (uint32_t i = net->first_call[state]; i < net->first_call[state + 1]; i++)
		go_into(m, net, &net->calls[i], below);
	if (may_end && net->flags[state] & STATE_ENDS)
		machine_pop(m, &(struct cell){.up = below}, (struct result){0});
}

static void start(struct machine *m, const void *self)
{
	const struct grammar *g = self;
	const struct cell *done = machine_cell(m, &(struct cell){.kind = DONE});
	if (done)
		arrive(m, &g->net, g->net.start, done, true);
}

static void step(struct machine *m, const struct cell *c, uint8_t byte)
{
	const struct grammar *g = machine_language(m);
	if (c->kind != READ)
		return;
	uint32_t next = g->net.next[c->a * g->net.n_classes + g->net.class_of[byte]];
	if (next != NO_STATE)
		arrive(m, &g->net, next, c->up, true);
}

static void resume(struct machine *m, const struct cell *c, struct result r)
{
	const struct grammar *g = machine_language(m);
	(void)r;
	if (c->kind == DONE)
		machine_emit(m, c);
	else
		arrive(m, &g->net, c->a, c->up, true);
}

static bool ends(struct machine *m, const struct cell *c)
{
	(void)m;
	return c->kind == DONE;
}

static const struct language_ops net_ops = {start, step, resume, ends, NULL};

/* ---- walking an automaton: one cell, whose a is the state ---- */

static void dfa_begin(struct machine *m, const void *self)
{
	const struct grammar *g = self;
	if (g->dfa)
		machine_emit(m, &(struct cell){.kind = READ, .a = dfa_start(g->dfa)});
}

static void dfa_read(struct machine *m, const struct cell *c, uint8_t byte)
{
	const struct grammar *g = machine_language(m);
	uint32_t next = dfa_step(g->dfa, c->a, byte);
	if (next != DFA_DEAD)
		machine_emit(m, &(struct cell){.kind = READ, .a = next});
}

static void dfa_resume(struct machine *m, const struct cell *c, struct result r)
{
	(void)m, (void)c, (void)r; /* nothing stands above another */
}

static bool dfa_ends(struct machine *m, const struct cell *c)
{
	const struct grammar *g = machine_language(m);
	return dfa_accept(g->dfa, c->a) != 0;
}

static const struct language_ops dfa_ops = {dfa_begin, dfa_read, dfa_resume, dfa_ends, NULL};

/* ---- the whole ---- */

static enum err compile(struct grammar *g, struct str text, struct errtext *et)
{
	struct rules r = {.a = arena_new(COMPILED_MAX)};
	struct nfa f = {0};
	enum err e = r.a ? rules_parse_gbnf(&r, text, et) : err_set(et, ERR_NOMEM, "no memory");
	if (!e)
		e = rules_check(&r, et);
	if (!e)
		e = nfa_build(&f, &r, et);
	if (!e)
		e = net_build(&g->net, &f, g->a, et);
	nfa_free(&f);
	map_free(&r.names);
	free(r.v);
	arena_free(r.a);
	return e;
}

static struct grammar *grammar_new(const struct language_ops *ops)
{
	struct grammar *g = calloc(1, sizeof *g);
	if (g)
		g->a = arena_new(COMPILED_MAX);
	if (!g || !g->a) {
		grammar_free(g);
		return NULL;
	}
	g->language = (struct language){.ops = ops, .self = g, .id = language_id()};
	return g;
}

static enum err finish(struct grammar *g, enum err e, struct grammar **out)
{
	if (e)
		grammar_free(g);
	else
		*out = g;
	return e;
}

enum err grammar_gbnf(struct str text, struct grammar **out, struct errtext *et)
{
	struct grammar *g = grammar_new(&net_ops);
	if (!g)
		return err_set(et, ERR_NOMEM, "no memory for the grammar");
	return finish(g, compile(g, text, et), out);
}

enum err grammar_regex(struct str pattern, struct grammar **out, struct errtext *et)
{
	struct grammar *g = grammar_new(&dfa_ops);
	if (!g)
		return err_set(et, ERR_NOMEM, "no memory for the expression");
	enum err e = dfa_regex(g->a, pattern, DFA_WHOLE, &g->dfa, et);
	if (!e && !g->dfa)
		e = err_set(et, ERR_INVALID, "no text matches the expression");
	return finish(g, e, out);
}

enum err grammar_texts(const struct str *texts, size_t n, struct grammar **out, struct errtext *et)
{
	struct grammar *g = grammar_new(&dfa_ops);
	if (!g)
		return err_set(et, ERR_NOMEM, "no memory for the texts");
	enum err e = n ? dfa_texts(g->a, texts, n, &g->dfa, et)
		       : err_set(et, ERR_INVALID, "there are no texts to choose from");
	return finish(g, e, out);
}

void grammar_free(struct grammar *g)
{
	if (!g)
		return;
	arena_free(g->a);
	free(g);
}

const struct language *grammar_language(const struct grammar *g)
{
	return &g->language;
}

size_t grammar_bytes(const struct grammar *g)
{
	return sizeof *g + arena_used(g->a);
}
